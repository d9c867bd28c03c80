/*
 * registration/unregister.c: taking the registration back: only where the
 * homeserver takes our own tokens, so that it is no other service's.
 */
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* *known: the homeserver takes our token. That of another's registration, by
 * mistake, or of an older id, is refused. */
static enum rc look(
	const struct register_options *o, bool *known, struct err *e)
{
	struct hs_whoami who = { 0 };
	struct err why = { 0 };
	int64_t took = 0;
	enum rc rc = hs_whoami(o->as, NULL, &who, &why);

	*known = rc != RC_UNAUTHORIZED;
	if (!*known)
		return RC_OK;
	if (rc != RC_OK && rc != RC_FORBIDDEN) /* its own user is missing */
		return err_set(e, rc, "%s", why.text);
	/* Nobody needs to answer: it says first when the id is another. */
	if (rc == RC_OK &&
		hs_ping(o->as, o->reg->id, "unregister", &took, &why) !=
			RC_OK &&
		text_eq(hs_failure(o->as)->errcode, "M_FORBIDDEN"))
		return err_set(e, RC_INVALID,
			"the homeserver has the as_token of %s for another "
			"service than \"%s\", whose user is %s: set "
			"appservice.id to the id of that one, if it is meant",
			o->registration_path, o->reg->id, who.user_id);
	return RC_OK;
}

#define REFUSED "Failed to unregister appservice: "

static bool is_unregistered(
	const struct command *c, const char *text, enum rc *ret, struct err *e)
{
	const struct dialect *d = dialect_of(c->o->kind);
	const char *said = dialect_says(d, text, REFUSED);

	if (dialect_says(d, text, "Appservice unregistered")) {
		*ret = RC_OK;
		return true;
	}
	if (!said && !text_starts(text, "Failed to parse admin command: ") &&
		!text_starts(text, "error: "))
		return false;
	said = said ? said : text;
	*ret = err_set(e,
		text_starts(said, REFUSED "Cannot unregister config")
			? RC_UNSUPPORTED
			: RC_REMOTE,
		"%s does not take \"%s\" back: \"%.*s\"", d->name,
		c->o->reg->id, dialect_words(d, said), said);
	return true;
}

enum rc visit_withdraw(
	struct visit *v, int64_t answer_ms, bool must, struct err *e)
{
	const char *id = v->o->reg->id;
	const char *quote = v->d->wraps ? "" : "'";
	struct command c = { .is_answer = is_unregistered,
		.o = v->o,
		.must = must,
		.answer_ms = answer_ms };
	enum rc rc;

	if (v->d->wraps && strpbrk(id, " \t"))
		return err_set(e, RC_INVALID,
			"the id \"%s\" has a blank in it, and no command of "
			"%s can name it: take the registration out there by "
			"hand, and set another appservice.id",
			id, v->d->name);
	buf_init(&c.text, LIMIT_SMALL_BODY);
	/* Where the bot splits it as a shell does, in quotes. */
	dialect_command(&c.text, v->d, v->bot, v->d->withdraw);
	buf_addf(&c.text, " %s%s%s", quote, id, quote);
	rc = buf_rc(&c.text) == RC_OK ? visit_command(v, &c, e) : err_nomem(e);
	buf_free(&c.text);
	return rc;
}

static enum rc by_command(const struct register_options *o, struct err *e)
{
	struct visit v = { .o = o };
	enum rc rc = visit_begin(&v, o, e);

	if (rc == RC_OK)
		rc = visit_tidy(&v, e);
	if (rc == RC_OK) {
		register_say(o, "taking \"%s\" back in #admins:%s as %s",
			o->reg->id, o->server_name, v.session.user_id);
		register_forget(o);
		rc = visit_withdraw(&v, CONDUIT_ANSWER_MS, false, e);
	}
	visit_end(&v);
	if (rc != RC_UNSUPPORTED)
		return rc;
	register_unnote(o);
	return unregister_by_file(o, e);
}

static enum rc prove(const struct register_options *o, struct err *e)
{
	bool known = false;
	enum rc rc = look(o, &known, e);

	if (rc != RC_OK || known)
		return err_wrap(e, rc == RC_OK ? RC_REMOTE : rc,
			"taken back, but the homeserver still takes the token");
	register_say(o, "the homeserver does not take our token any more");
	return RC_OK;
}

enum rc registration_unregister(
	const struct register_options *options, struct err *e)
{
	struct register_options as_it_is = *options, *o = &as_it_is;
	bool known = false;
	enum rc rc = hs_versions(o->plain, NULL, e);

	o->no_account = true;
	if (rc != RC_OK)
		return err_wrap(e, rc,
			"no homeserver answers: is it running, and is "
			"homeserver.url right?");
	rc = look(o, &known, e);
	if (rc != RC_OK)
		return rc;
	if (!known) {
		register_say(o,
			"the homeserver does not know the tokens of %s: "
			"nothing to do",
			o->registration_path);
		return RC_OK;
	}
	if (!register_by_room(o))
		return unregister_by_file(o, e);
	if (o->dry_run)
		return visit_dry(o, "take it back", e);
	rc = by_command(o, e);
	return rc == RC_OK ? prove(o, e) : rc;
}
