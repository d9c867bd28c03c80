/*
 * What is left of a state event's content when it was redacted (client-server
 * API, room versions 11 and before, "Redactions").
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"

#include "base/poison.h"

#define ALL_KEYS "*"
#define KEYS_MAX 12

/* Of a type that is not here nothing is left. */
static const struct rule {
	const char *type;
	const char *keeps[KEYS_MAX];
} rules[] = {
	{ "m.room.power_levels",
		{ "ban", "events", "events_default", "invite", "kick", "redact",
			"state_default", "users", "users_default" } },
	{ "m.room.join_rules", { "join_rule", "allow" } },
	{ "m.room.history_visibility", { "history_visibility" } },
	{ "m.room.create", { ALL_KEYS } },
};

struct leaving {
	const struct rule *rule; /* NULL: nothing stays */
	struct jb out;
};

static bool stays(const struct rule *rule, const char *key)
{
	for (size_t i = 0; rule && i < KEYS_MAX && rule->keeps[i]; i++)
		if (text_eq(rule->keeps[i], ALL_KEYS) ||
			text_eq(rule->keeps[i], key))
			return true;
	return false;
}

static bool leave_member(const char *key, struct js v, void *arg)
{
	struct leaving *l = arg;

	if (stays(l->rule, key))
		jb_js(&l->out, key, v);
	return true;
}

enum rc redact_content(
	const char *type, const char *content, struct buf *out, struct err *e)
{
	struct leaving l = { .rule = NULL };
	struct json *doc = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (text_eq(rules[i].type, type))
			l.rule = &rules[i];
	enum rc rc = json_parse(content, strlen(content), "content", &doc, e);
	if (rc)
		return rc;
	jb_init(&l.out, out);
	jb_obj(&l.out, NULL);
	js_each(json_root(doc), leave_member, &l);
	jb_end_obj(&l.out);
	json_free(doc);
	return buf_rc(out) ? err_set(e, buf_rc(out), "out of memory") : RC_OK;
}
