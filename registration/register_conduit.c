/*
 * registration/register_conduit.c: registering with Conduit, which knows one
 * way: an administrator types a command, tokens and all, into the admin room,
 * and a bot answers there. With Tuwunel it is the same, but that it takes no id
 * that it has: that is taken out first.
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
	const struct dialect *d = dialect_of(c->o->kind);
	const struct str prefix = common_prefix(c->o);
	struct buf as_json;
	size_t size;
	enum rc rc;

	dialect_command(&c->text, d, bot, d->enrol);
	buf_add(&c->text, "\n```\n");
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
			"the registration takes %zu KiB, but %s gets it as a "
			"message, which has room for %zu: give the agents ids "
			"that begin alike, and put this line into muster.yaml: "
			"namespace: {prefix: %.*s}",
			size / KIB, d->name, COMMAND_MAX / KIB, (int)prefix.n,
			prefix.p);
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
	{ "Failed to register appservice: ", "does not take the registration" },
	{ "Could not parse appservice config", "cannot read the registration" },
	{ "Expected code block",
		"does not understand how the registration is sent (a newer "
		"version?)" },
	{ "Failed to parse admin command: ",
		"does not know the command to register (a newer version?)" },
	{ "error: unrecognized subcommand",
		"does not know the command to register (a newer version?)" },
};

/* The id is that of the line, which may end with a full stop. */
static bool is_our_id(const struct registration *r, const char *line)
{
	size_t n = strlen(r->id);

	if (strncmp(line, r->id, n) != 0)
		return false;
	line += n;
	line += *line == '.';
	return !*line || *line == '\n';
}

/* The bot tells of other things too, so only texts that we know count.
 * RC_EXISTS: it has our id, and does not replace it. */
static bool is_registered(
	const struct command *c, const char *text, enum rc *ret, struct err *e)
{
	const char *done = "Appservice registered with ID: ";
	const char *has = "Failed to register appservice: Duplicate id: ";
	const struct registration *r = c->o->reg;
	const struct dialect *d = dialect_of(c->o->kind);
	const char *said = dialect_says(d, text, done);

	*ret = RC_OK;
	if (said)
		return is_our_id(r, said + strlen(done));
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		said = dialect_says(d, text, refusals[i].starts);
		if (!said)
			continue;
		bool quotes = register_has_token(r, said);

		*ret = err_set(e,
			text_starts(said, has) ? RC_EXISTS : RC_REMOTE,
			"%s %s: \"%.*s\". Check %s", d->name, refusals[i].words,
			quotes ? 300 : dialect_words(d, said),
			quotes ? "(its words have a token in them)" : said,
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

/* RC_UNSUPPORTED: it is there by a file, and was left as it is. */
static enum rc enrol(struct visit *v, struct command *c, struct err *e)
{
	const struct register_options *o = v->o;
	enum rc rc = visit_command(v, c, e);

	if (rc != RC_EXISTS)
		return rc;
	register_say(o,
		"%s has \"%s\" and replaces nothing: taking it out, and "
		"registering it again",
		v->d->name, o->reg->id);
	rc = register_stopped(o, e);
	/* From then on it is nowhere: no end before it is back. */
	if (rc == RC_OK)
		rc = visit_withdraw(v, c->answer_ms, true, e);
	if (rc != RC_OK)
		return rc;
	c->must = true;
	rc = visit_command(v, c, e);
	return rc == RC_OK
		? rc
		: err_wrap(e, rc,
			  "\"%s\" was taken out and is not back: run "
			  "`muster register` again",
			  o->reg->id);
}

static enum rc visit_and_enrol(
	struct visit *v, struct command *c, bool unknown, struct err *e)
{
	const struct register_options *o = v->o;
	enum rc rc = visit_tidy(v, e);

	if (rc == RC_OK)
		rc = visit_taken(v, c->answer_ms, unknown, e);
	if (rc != RC_OK)
		return rc;
	register_say(o, "registering \"%s\" in #admins:%s as %s", o->reg->id,
		o->server_name, v->session.user_id);
	register_forget(o);
	return enrol(v, c, e);
}

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
		rc = visit_and_enrol(&v, &c, unknown, e);
	bool emergency = rc == RC_OK && visit_is_emergency(&v);
	visit_end(&v);
	if (emergency)
		register_say(o,
			"the emergency password has done its work: take "
			"%s_EMERGENCY_PASSWORD away now and restart %s, and "
			"homeserver.admin here",
			v.d->env, v.d->name);
	buf_wipe(&c.text);
	if (rc != RC_UNSUPPORTED)
		return rc;
	register_say(o, "\"%s\" is registered by a file there", o->reg->id);
	register_unnote(o);
	return register_by_file(o, e);
}

enum rc register_tidy(
	const struct register_options *o, bool *entered, struct err *e)
{
	struct visit v = { .o = o };
	enum rc rc = visit_begin(&v, o, e);

	*entered = rc == RC_OK;
	if (rc == RC_OK)
		rc = visit_tidy(&v, e);
	visit_end(&v);
	return rc;
}
