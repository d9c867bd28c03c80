/*
 * registration/register_room.c: commands in the admin room, and what its bot
 * answers. A command with tokens in it is redacted whatever comes of it, and
 * if we are killed before that, by the next who gets there.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* Others may type commands meanwhile; this many events are looked at. */
#define EVENTS 30
/* Where older commands are looked for: as many pages, each of as many events as
 * Conduit gives at once. */
#define TIDY_PAGES 10
#define TIDY_EVENTS 100

/* --- a command ------------------------------------------------------------ */

static enum rc make_txn(struct command *c, struct err *e)
{
	struct secret txn = { 0 };

	if (secret_random_hex(&txn, 8) != RC_OK)
		return err_set(e, RC_IO, "no random number could be made");
	memcpy(c->txn, "muster-register-", 17);
	memcpy(c->txn + 16, secret_bytes(&txn), txn.n + 1);
	secret_fini(&txn);
	return RC_OK;
}

static enum rc send_command(struct visit *v, struct command *c, struct err *e)
{
	const char *text = buf_str(&c->text);
	enum rc rc = hs_send_text(v->o->plain, NULL, v->room, c->txn, text,
		&v->arena, &c->event, e);

	/* It may be there all the same; the same transaction id finds out
	 * what has to be redacted. */
	if (rc == RC_TIMEOUT || rc == RC_NETWORK)
		rc = hs_send_text(v->o->plain, NULL, v->room, c->txn, text,
			&v->arena, &c->event, e);
	if (c->secret &&
		(rc == RC_TIMEOUT || rc == RC_NETWORK || rc == RC_STOPPING))
		register_say(v->o,
			"the command may have arrived all the same, and it has "
			"the tokens in it: run `muster register` again, which "
			"takes away what it finds of it in #admins:%s",
			v->o->server_name);
	if (rc == RC_FORBIDDEN)
		return visit_no_admin(v, e);
	return rc;
}

/* A parser's message may quote what it parsed. */
static const char *quotable(const struct visit *v, const char *text)
{
	return register_has_token(v->o->reg, text)
		? "(its words have a token in them)"
		: text;
}

/* Its words, kept; with a token in them they do not stay in the room. */
static bool take_answer(
	struct visit *v, struct command *c, const struct hs_message *m)
{
	struct command redaction = { 0 };
	struct err why = { 0 };

	c->said = arena_strdup(&v->arena, m->body);
	if (!c->secret || !register_has_token(v->o->reg, m->body))
		return c->said;
	if (make_txn(&redaction, &why) != RC_OK ||
		hs_redact(v->o->plain, NULL, v->room, m->event_id,
			redaction.txn, "it had tokens in it", &why) != RC_OK)
		register_say(v->o,
			"the answer %s in #admins:%s has tokens in it and "
			"could not be redacted: redact it by hand (%s)",
			m->event_id, v->o->server_name, why.text);
	return c->said;
}

/* Looks at what is newer than our command; *other: the bot's newest words
 * that are no answer. */
static enum rc look_for_answer(struct visit *v, struct command *c,
	struct arena *a, bool *found, const char **other, struct err *e)
{
	struct hs_messages newest = { 0 };
	enum rc rc = hs_recent_messages(
		v->o->plain, v->room, NULL, EVENTS, a, &newest, e);

	if (rc != RC_OK)
		return rc;
	*other = NULL;
	for (size_t i = 0; i < newest.n; i++) {
		const struct hs_message *m = &newest.items[i];

		if (text_eq(m->event_id, c->event))
			break;
		if (!text_eq(m->sender, v->bot) || !m->body)
			continue;
		*found = c->is_answer(c, m->body, &rc, e);
		if (*found)
			return take_answer(v, c, m) ? rc : err_nomem(e);
		if (!*other)
			*other = m->body;
	}
	return RC_OK;
}

static enum rc no_answer(const struct visit *v, const struct command *c,
	const char *other, struct err *e)
{
	return err_set(e, RC_TIMEOUT,
		"%s's %s did not answer the command in %lld ms%s%.200s: look "
		"into #admins:%s; a restart of %s wakes the bot up",
		v->d->name, v->bot, (long long)c->answer_ms,
		other ? ", it only said: " : "",
		other ? quotable(v, other) : "", v->o->server_name, v->d->name);
}

static enum rc await_answer(struct visit *v, struct command *c, struct err *e)
{
	int64_t end = clock_mono_ms() + c->answer_ms, pause = 50;
	bool found = false;
	enum rc rc;

	for (;;) {
		struct arena a = { 0 };
		const char *other = NULL;
		bool last = clock_mono_ms() >= end;

		rc = look_for_answer(v, c, &a, &found, &other, e);
		if (rc == RC_OK && !found && !c->must)
			rc = register_stopped(v->o, e);
		if (rc == RC_OK && !found && last)
			rc = no_answer(v, c, other, e);
		arena_free(&a);
		if (found || rc != RC_OK)
			return rc;
		clock_sleep_ms(pause);
		pause = pause < 800 ? pause * 2 : pause;
	}
}

/* The tokens are gone from the room, or it is told where they are. */
static enum rc redact_command(
	struct visit *v, struct command *c, enum rc so_far, struct err *e)
{
	struct err why = { 0 };
	char txn[80] = "";
	size_t n = strlen(c->txn);

	memcpy(txn, c->txn, n);
	memcpy(txn + n, "-redact", 8);
	if (hs_redact(v->o->plain, NULL, v->room, c->event, txn,
		    "it had tokens in it", &why) == RC_OK)
		return so_far;
	register_say(v->o,
		"the message %s in #admins:%s has the tokens in it and could "
		"not be redacted: run `muster register` again, or redact it by "
		"hand",
		c->event, v->o->server_name);
	if (so_far != RC_OK)
		return so_far;
	return err_set(e, why.rc,
		"registered, but the message %s in #admins:%s, which has the "
		"tokens in it, could not be redacted: run `muster register` "
		"again, or redact it by hand (%s)",
		c->event, v->o->server_name, why.text);
}

enum rc visit_command(struct visit *v, struct command *c, struct err *e)
{
	enum rc rc = c->must ? RC_OK : register_stopped(v->o, e);

	c->event = NULL;
	if (rc == RC_OK)
		rc = make_txn(c, e);
	if (rc == RC_OK)
		rc = send_command(v, c, e);
	if (rc == RC_OK)
		rc = await_answer(v, c, e);
	return c->event && c->secret ? redact_command(v, c, rc, e) : rc;
}

/* --- what was left -------------------------------------------------------- */

/* The line says `id: ID`, in quotes or not. */
static bool is_id_line(const char *line, const char *id)
{
	const char *blank = " \t", *end = " \t\r\n";
	size_t n = strlen(id);

	line += strspn(line, blank);
	if (!text_starts(line, "id:"))
		return false;
	line += 3;
	line += strspn(line, blank);
	if (*line == '"' || *line == '\'')
		end = *line++ == '"' ? "\"" : "'";
	return strncmp(line, id, n) == 0 && (!line[n] || strchr(end, line[n]));
}

/* `@conduit:SERVER: register-appservice`, `!admin appservices register` */
static bool is_enrolment(const struct visit *v, const char *body)
{
	const char *line = strchr(body, '\n');
	const char *word = strstr(body, v->d->enrol);

	return line && word && word < line &&
		(text_starts(body, v->bot) ||
			(v->d->begin && text_starts(body, "!admin")));
}

/* It is a command that registers our id: typed by us or by whomever, it has
 * tokens in it that are, or were, ours. */
static bool registers_us(const struct visit *v, const char *body)
{
	const char *line = strchr(body, '\n');

	if (!is_enrolment(v, body))
		return false;
	for (; line; line = strchr(line + 1, '\n'))
		if (is_id_line(line + 1, v->o->reg->id))
			return true;
	return false;
}

static void redact_left(struct visit *v, const struct hs_message *m)
{
	struct command c = { .event = m->event_id };
	struct err why = { 0 };

	if (make_txn(&c, &why) == RC_OK &&
		hs_redact(v->o->plain, NULL, v->room, m->event_id, c.txn,
			"it had tokens in it", &why) == RC_OK) {
		register_say(v->o,
			"took the tokens out of an older command by %s in "
			"#admins:%s",
			m->sender, v->o->server_name);
		return;
	}
	register_say(v->o,
		"an older command, %s by %s in #admins:%s, has tokens in it "
		"and could not be redacted: redact it by hand (%s)",
		m->event_id, m->sender, v->o->server_name, why.text);
}

enum rc visit_tidy(struct visit *v, struct err *e)
{
	struct arena a = { 0 };
	const char *from = NULL;
	enum rc rc = RC_OK;

	for (int page = 0; page < TIDY_PAGES && rc == RC_OK; page++) {
		struct hs_messages some = { 0 };

		rc = register_stopped(v->o, e);
		if (rc == RC_OK)
			rc = hs_recent_messages(v->o->plain, v->room, from,
				TIDY_EVENTS, &a, &some, e);
		for (size_t i = 0; i < some.n; i++)
			if (registers_us(v, some.items[i].body))
				redact_left(v, &some.items[i]);
		from = some.older;
		if (!from)
			break;
	}
	arena_free(&a);
	return rc;
}
