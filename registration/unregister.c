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

static bool is_unregistered(
	const struct command *c, const char *text, enum rc *ret, struct err *e)
{
	if (text_starts(text, "Appservice unregistered")) {
		*ret = RC_OK;
		return true;
	}
	if (!text_starts(text, "Failed to unregister appservice: ") &&
		!text_starts(text, "Failed to parse admin command: ") &&
		!text_starts(text, "error: "))
		return false;
	*ret = err_set(e, RC_REMOTE,
		"Conduit does not take \"%s\" back: \"%.300s\"", c->o->reg->id,
		text);
	return true;
}

static enum rc by_command(const struct register_options *o, struct err *e)
{
	struct visit v = { .o = o };
	struct command c = { .is_answer = is_unregistered,
		.o = o,
		.answer_ms = CONDUIT_ANSWER_MS };
	enum rc rc = visit_begin(&v, o, e);

	buf_init(&c.text, LIMIT_SMALL_BODY);
	if (rc == RC_OK)
		rc = visit_tidy(&v, e);
	if (rc == RC_OK) {
		/* The bot splits it as a shell does. */
		buf_addf(&c.text, "%s: unregister-appservice '%s'", v.bot,
			o->reg->id);
		rc = buf_rc(&c.text);
	}
	if (rc == RC_OK) {
		register_say(o, "taking \"%s\" back in #admins:%s as %s",
			o->reg->id, o->server_name, v.session.user_id);
		register_forget(o);
		rc = visit_command(&v, &c, e);
	}
	visit_end(&v);
	buf_free(&c.text);
	return rc;
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

enum rc registration_unregister(const struct register_options *o, struct err *e)
{
	bool known = false;
	enum rc rc = hs_versions(o->plain, NULL, e);

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
	if (o->kind != HS_CONDUIT)
		return unregister_by_file(o, e);
	if (o->dry_run)
		return visit_dry(o, "take it back", e);
	rc = by_command(o, e);
	return rc == RC_OK ? prove(o, e) : rc;
}
