/*
 * registration/register_conduit.c: registering with Conduit, which knows one
 * way: an administrator types a command, tokens and all, into the admin room,
 * and a bot answers there.
 */
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* An event is at most 64 KiB; this leaves room for what is around the text. */
#define COMMAND_MAX (60 * KIB)

/* --- before anything is written ------------------------------------------- */

/* What all agents begin with; what they might, where there is nothing. */
static struct str common_prefix(const struct register_options *o)
{
	const char *first = o->n_probe > 1 ? o->probe_users[0] + 1 : "";
	size_t n = strcspn(first, ":");

	for (size_t i = 1; i < o->n_probe; i++) {
		const char *other = o->probe_users[i] + 1;
		size_t same = 0;

		while (same < n && other[same] == first[same])
			same++;
		n = same;
	}
	return n > 1 ? (struct str){ first, n } : (struct str){ "agent-", 6 };
}

static enum rc make_command(struct command *c, const char *bot, struct err *e)
{
	const struct str prefix = common_prefix(c->o);
	struct buf as_json;
	size_t size;
	enum rc rc;

	buf_addf(&c->text, "%s: register-appservice\n```\n", bot);
	rc = registration_yaml(c->o->reg, &c->text);
	buf_add(&c->text, "```\n");
	if (rc == RC_OK)
		rc = buf_rc(&c->text);
	buf_init(&as_json, 8 * LIMIT_REGISTRATION_FILE);
	buf_add_json_str(&as_json, buf_str(&c->text));
	size = as_json.n;
	if (rc == RC_OK)
		rc = buf_rc(&as_json);
	buf_wipe(&as_json);
	if (rc != RC_OK)
		return err_set(e, rc, "the registration: %s", rc_words(rc));
	if (size > COMMAND_MAX)
		return err_set(e, RC_TOO_LARGE,
			"the registration takes %zu KiB, but Conduit gets it "
			"as a message, which has room for %zu: give the agents "
			"ids that begin alike, and put this line into "
			"muster.yaml: namespace: {prefix: %.*s}",
			size / KIB, COMMAND_MAX / KIB, (int)prefix.n, prefix.p);
	return RC_OK;
}

static enum rc prepare(struct command *c, struct err *e)
{
	struct arena a = { 0 };
	const char *bot = id_user(&a, "conduit", c->o->server_name);
	enum rc rc = RC_OK;

	if (!bot)
		rc = err_nomem(e);
	else if (registration_matches(c->o->reg, NS_USERS, bot))
		rc = err_set(e, RC_INVALID,
			"the users namespace matches %s, the homeserver's own "
			"user: make it narrower",
			bot);
	else
		rc = make_command(c, bot, e);
	arena_free(&a);
	return rc;
}

/* --- what the bot answers ------------------------------------------------- */

static const struct {
	const char *starts, *words;
} refusals[] = {
	{ "Failed to register appservice: ",
		"Conduit does not take the registration" },
	{ "Could not parse appservice config: ",
		"Conduit cannot read the registration" },
	{ "Expected code block",
		"Conduit does not understand how the registration is sent (a "
		"newer version?)" },
	{ "Failed to parse admin command: ",
		"Conduit does not know the command register-appservice (a "
		"newer version?)" },
	{ "error: unrecognized subcommand",
		"Conduit does not know the command register-appservice (a "
		"newer version?)" },
};

/* The bot tells of other things too, so only texts that we know count. */
static bool is_registered(
	const struct command *c, const char *text, enum rc *ret, struct err *e)
{
	const char *done = "Appservice registered with ID: ";
	const struct registration *r = c->o->reg;

	if (text_starts(text, done)) {
		const char *id = text + strlen(done);
		size_t n = strlen(r->id);

		*ret = RC_OK;
		return strncmp(id, r->id, n) == 0 &&
			(!id[n] || text_eq(id + n, "."));
	}
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (!text_starts(text, refusals[i].starts))
			continue;
		*ret = err_set(e, RC_REMOTE, "%s: \"%.300s\". Check %s",
			refusals[i].words,
			register_has_token(r, text)
				? "(its words have a token in them)"
				: text,
			c->o->registration_path);
		return true;
	}
	return false;
}

enum rc register_conduit_dry(const struct register_options *o, struct err *e)
{
	struct command c = { .o = o };
	enum rc rc;

	buf_init(&c.text, LIMIT_REGISTRATION_FILE);
	rc = prepare(&c, e);
	buf_wipe(&c.text);
	return rc == RC_OK
		? visit_dry(o,
			  "register it by a message, which is redacted "
			  "afterwards,",
			  e)
		: rc;
}

/* --- all of it ------------------------------------------------------------ */

enum rc register_conduit(const struct register_options *o, int64_t answer_ms,
	bool unknown, bool *entered, struct err *e)
{
	struct visit v = { .o = o };
	struct command c = { .secret = true,
		.is_answer = is_registered,
		.o = o,
		.answer_ms = answer_ms };
	enum rc rc;

	*entered = false;
	buf_init(&c.text, LIMIT_REGISTRATION_FILE);
	rc = prepare(&c, e);
	if (rc == RC_OK)
		rc = visit_begin(&v, o, e);
	*entered = rc == RC_OK;
	if (rc == RC_OK)
		rc = visit_tidy(&v, e);
	if (rc == RC_OK && unknown)
		rc = visit_taken(&v, answer_ms, e);
	if (rc == RC_OK) {
		register_say(o, "registering \"%s\" in #admins:%s as %s",
			o->reg->id, o->server_name, v.session.user_id);
		register_forget(o);
		rc = visit_command(&v, &c, e);
	}
	bool emergency = rc == RC_OK && visit_is_emergency(&v);
	visit_end(&v);
	if (emergency)
		register_say(o,
			"the emergency password has done its work: take "
			"CONDUIT_EMERGENCY_PASSWORD away now and restart "
			"Conduit, and homeserver.admin here");
	buf_wipe(&c.text);
	return rc;
}
