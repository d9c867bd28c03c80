/*
 * What the policy says of a room's state: for each type when it is right, and
 * what it should be. The plan asks whether; the step that sets it asks again,
 * of what the homeserver has, and writes the rest as it stands.
 */
#include <string.h>

#include "appservice/reconcile/plan.h"
#include "base/str.h"

#include "base/poison.h"

/* --- texts ------------------------------------------------------------------- */

static void write_text(const char *key, const char *text, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, key, text);
	jb_end_obj(&b);
}

static bool name_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	(void)how;
	return !room->name || text_eq(js_get_str(now, "name"), room->name);
}

static void name_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	(void)how;
	(void)now;
	write_text("name", room->name, out);
}

static bool topic_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	(void)how;
	return !room->topic || text_eq(js_get_str(now, "topic"), room->topic);
}

static void topic_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	(void)how;
	(void)now;
	write_text("topic", room->topic, out);
}

static bool history_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	(void)how;
	return !room->policy || !room->policy->history ||
		text_eq(js_get_str(now, "history_visibility"),
			room->policy->history);
}

static void history_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	(void)how;
	(void)now;
	write_text("history_visibility", room->policy->history, out);
}

/* Once it is there it stays. */
static bool encryption_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	(void)how;
	return !room->policy || !room->policy->encryption ||
		js_get_str(now, "algorithm");
}

static void encryption_write(const struct state_how *how,
	const struct room *room, struct js now, struct buf *out)
{
	(void)how;
	(void)room;
	(void)now;
	write_text("algorithm", "m.megolm.v1.aes-sha2", out);
}

/* --- who may come in ------------------------------------------------------------ */

static const char *join_rule_word(enum join_rule rule)
{
	static const char *const words[] = {
		[JOIN_INVITE] = "invite",
		[JOIN_RESTRICTED] = "restricted",
		[JOIN_PUBLIC] = "public",
	};
	return words[rule];
}

static bool allows(struct js list, const char *room_id)
{
	for (size_t i = 0; i < js_len(list); i++)
		if (text_eq(js_get_str(js_at(list, i), "room_id"), room_id))
			return true;
	return false;
}

static bool join_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	const struct room_policy *policy = room->policy;
	if (!policy)
		return true;
	struct js list = js_get(now, "allow");
	size_t n = 0;
	bool all = true;
	for (size_t i = 0; i < policy->n_allow; i++) {
		const char *id = how->id_of(how->arg, policy->allow[i]);
		/* It is set when all of them are there. */
		if (!id)
			return true;
		all = all && allows(list, id);
		n++;
	}
	return text_eq(js_get_str(now, "join_rule"),
		       join_rule_word(policy->join_rule)) &&
		(policy->join_rule != JOIN_RESTRICTED ||
			(all && js_len(list) == n));
}

static void join_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	const struct room_policy *policy = room->policy;
	struct jb b;
	(void)now;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "join_rule", join_rule_word(policy->join_rule));
	if (policy->join_rule == JOIN_RESTRICTED) {
		jb_arr(&b, "allow");
		for (size_t i = 0; i < policy->n_allow; i++) {
			jb_obj(&b, NULL);
			jb_str(&b, "type", "m.room_membership");
			jb_str(&b, "room_id",
				how->id_of(how->arg, policy->allow[i]));
			jb_end_obj(&b);
		}
		jb_end_arr(&b);
	}
	jb_end_obj(&b);
}

/* --- power ------------------------------------------------------------------------ */

/*
 * Whoever made a room that has creators stands above all in it, without being
 * named; in a room that is not ours this may be the human.
 */
static bool may_give_power(const struct state_how *how)
{
	char version[32];
	room_version(how->create, version);
	return text_eq(how->maker, how->sender_id) ||
		(version[0] && !room_version_has_creators(version));
}

static bool power_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	return !may_give_power(how) ||
		power_levels_right(how->fleet, room, now);
}

static void power_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	power_levels_write(how->fleet, room, now, out);
}

/* --- its alias ---------------------------------------------------------------------- */

static bool alias_right(
	const struct state_how *how, const struct room *room, struct js now)
{
	(void)how;
	return text_eq(js_get_str(now, "alias"), room->alias);
}

/* So many of what others have listed are asked about. */
#define ALIASES_MAX 16

struct aliases {
	const struct state_how *how;
	struct jb *b;
	const char *first, *written;
	size_t asked;
};

/* One that leads elsewhere, or nowhere, is no alias of this room: Synapse takes
 * none of them then. */
static void copy_alias(struct aliases *a, const char *alias)
{
	if (!alias || text_eq(alias, a->first) || text_eq(alias, a->written) ||
		a->asked == ALIASES_MAX)
		return;
	a->asked++;
	if (!a->how->leads_to ||
		a->how->leads_to(a->how->arg, alias, a->how->room_id))
		jb_str(a->b, NULL, alias);
}

/* What it was called before still leads to it. */
static void alias_write(const struct state_how *how, const struct room *room,
	struct js now, struct buf *out)
{
	struct jb b;
	struct js more = js_get(now, "alt_aliases");
	struct aliases a = { .how = how, .b = &b, .first = room->alias };
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "alias", room->alias);
	jb_arr(&b, "alt_aliases");
	copy_alias(&a, js_get_str(now, "alias"));
	a.written = js_get_str(now, "alias");
	for (size_t i = 0; i < js_len(more); i++)
		copy_alias(&a, js_str(js_at(more, i)));
	jb_end_arr(&b);
	jb_end_obj(&b);
}

/* --- the table ---------------------------------------------------------------------- */

static const struct declared_state {
	enum room_state state;
	bool early;
	/* NULL for now: an object without members. */
	bool (*right)(const struct state_how *how, const struct room *room,
		struct js now);
	void (*write)(const struct state_how *how, const struct room *room,
		struct js now, struct buf *out);
} declared[] = {
	{ ROOM_STATE_JOIN_RULES, true, join_right, join_write },
	{ ROOM_STATE_HISTORY, true, history_right, history_write },
	{ ROOM_STATE_ENCRYPTION, true, encryption_right, encryption_write },
	{ ROOM_STATE_POWER, false, power_right, power_write },
	{ ROOM_STATE_ALIAS, false, alias_right, alias_write },
	{ ROOM_STATE_NAME, false, name_right, name_write },
	{ ROOM_STATE_TOPIC, false, topic_right, topic_write },
};

enum room_state declared_state(size_t i)
{
	return i < ARRAY_LEN(declared) ? declared[i].state : ROOM_STATES;
}

static const struct declared_state *find(enum room_state st)
{
	for (size_t i = 0; i < ARRAY_LEN(declared); i++)
		if (declared[i].state == st)
			return &declared[i];
	return NULL;
}

bool state_is_early(enum room_state st)
{
	const struct declared_state *d = find(st);
	return d && d->early;
}

bool state_is_right(const struct state_how *how, const struct room *room,
	enum room_state st, const char *content)
{
	const struct declared_state *d = find(st);
	struct json *doc = NULL;
	const char *text = content ? content : "{}";
	if (!d)
		return true;
	if (json_parse(text, strlen(text), NULL, &doc, NULL) != RC_OK)
		return true; /* not ours to repair */
	const bool right = d->right(how, room, json_root(doc));
	json_free(doc);
	return right;
}

void state_write(const struct state_how *how, const struct room *room,
	enum room_state st, struct js now, struct buf *out)
{
	const struct declared_state *d = find(st);
	if (d)
		d->write(how, room, now, out);
}
