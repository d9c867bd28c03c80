/*
 * registration/register.c: registering with a homeserver, whatever its kind:
 * look whether it is so already, else do what the kind asks for, then prove
 * that both sides know each other.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

enum standing {
	STANDS_NOT,          /* our token is not known */
	STANDS_WITHOUT_USER, /* it is; of a dry run, which makes no user */
	STANDS_OTHERWISE,    /* it is, but by an older registration */
	STANDS_UNREACHED,    /* it is, but the homeserver does not reach us */
	STANDS_UNNOTED,      /* proven, but nobody noted that it was finished */
	STANDS_PROVEN,
};

void register_say(const struct register_options *o, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!o->say)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	o->say(o->arg, line);
}

enum rc register_stopped(const struct register_options *o, struct err *e)
{
	if (!o->stop || !atomic_load(o->stop))
		return RC_OK;
	return err_set(e, RC_STOPPING, "interrupted: run it again");
}

bool register_has_token(const struct registration *r, const char *text)
{
	return strstr(text, secret_bytes(&r->as_token)) ||
		strstr(text, secret_bytes(&r->hs_token));
}

static void own_id(const struct register_options *o, char ret[LIMIT_ID + 1])
{
	snprintf(ret, LIMIT_ID + 1, "@%s:%s", o->reg->sender_localpart,
		o->server_name);
}

/* --- proof ---------------------------------------------------------------- */

static enum rc make_sender(const struct register_options *o, struct err *e)
{
	struct secret password = { 0 };
	enum rc rc = RC_OK;

	/* An account without a password counts as a guest there. Nobody ever
	 * knows this one. */
	if (dialect_of(o->kind))
		rc = secret_random_hex(&password, 32);
	if (rc != RC_OK)
		return err_set(e, rc, "no random password could be made");
	rc = hs_register(o->as, o->reg->sender_localpart,
		secret_is_set(&password) ? &password : NULL, e);
	secret_fini(&password);
	return rc == RC_EXISTS ? RC_OK : rc;
}

/* Who we are does not exist there, and it is not our own user: that is there,
 * or not to be had by our token. */
static bool is_other_sender(const struct register_options *o)
{
	struct hs_whoami who = { 0 };
	char own[LIMIT_ID + 1];

	own_id(o, own);
	enum rc rc = hs_whoami(o->as, own, &who, NULL);
	return o->kind == HS_CONDUIT && (rc == RC_OK || rc == RC_EXCLUSIVE);
}

/* whoami, with our own user made where that is what was missing. *other: who we
 * are there does not exist, and is not our own user. */
static enum rc who_are_we(const struct register_options *o,
	struct hs_whoami *ret, bool *other, struct err *e)
{
	struct arena a = { 0 };
	const char *room = NULL;
	enum rc rc = hs_whoami(o->as, NULL, ret, e), named = RC_OK;

	if (rc != RC_FORBIDDEN)
		return rc;
	/* Not on a server of another name. */
	if (o->kind == HS_CONDUIT)
		named = hs_admin_room(o->plain, o->server_name, &a, &room, e);
	arena_free(&a);
	if (named != RC_OK)
		return named;
	*other = is_other_sender(o);
	if (*other || o->dry_run)
		return rc;
	register_say(o, "making @%s:%s, this service's own user",
		o->reg->sender_localpart, o->server_name);
	rc = make_sender(o, e);
	if (rc == RC_OK)
		rc = hs_whoami(o->as, NULL, ret, e);
	*other = rc == RC_FORBIDDEN && o->kind == HS_CONDUIT;
	return rc;
}

/* *ours: the token is that of our sender. Another server's name is a mistake
 * in the configuration. */
static enum rc check_name(const struct register_options *o,
	const struct hs_whoami *who, bool *ours, struct err *e)
{
	struct str localpart, server;
	char own[LIMIT_ID + 1];

	/* Dendrite leaves the server away for a service's own user. */
	*ours = text_eq(who->user_id, o->reg->sender_localpart);
	if (*ours)
		return RC_OK;
	if (!id_split(who->user_id, '@', &localpart, &server))
		return err_set(e, RC_REMOTE,
			"the homeserver says that we are \"%s\", which is no "
			"user id",
			who->user_id);
	if (!str_eq(server, o->server_name))
		return err_set(e, RC_INVALID,
			"the homeserver is %.*s, the configuration says %s "
			"(homeserver.server_name)",
			(int)server.n, server.p, o->server_name);
	own_id(o, own);
	*ours = text_eq(who->user_id, own);
	return RC_OK;
}

/* *missing: the first id that the homeserver does not count as ours, or
 * NULL. An id that is ours but not made yet is fine. */
static enum rc probe(
	const struct register_options *o, const char **missing, struct err *e)
{
	enum ns_side side = NS_UNSAID;

	*missing = NULL;
	for (size_t i = 0; i < o->n_probe; i++) {
		enum rc rc = registration_side(
			o->as, o->kind, o->probe_users[i], &side, e);

		if (rc != RC_OK)
			return rc;
		if (side != NS_OUTSIDE)
			continue;
		*missing = o->probe_users[i];
		return RC_OK;
	}
	return RC_OK;
}

/* *wide: one whom our registration leaves alone is in the one that the
 * homeserver has; else NULL. */
static enum rc probe_outside(
	const struct register_options *o, const char **wide, struct err *e)
{
	const char *id = o->probe_outside;
	enum ns_side side = NS_UNSAID;
	enum rc rc = RC_OK;

	*wide = NULL;
	if (!id || (!dialect_of(o->kind) && o->kind != HS_SYNAPSE) ||
		registration_owns(o->reg, o->server_name, id) ||
		registration_matches(o->reg, NS_USERS, id))
		return RC_OK;
	rc = registration_side(o->as, o->kind, id, &side, e);
	*wide = rc == RC_OK && side == NS_INSIDE ? id : NULL;
	return rc;
}

/* Conduit says M_CONNECTION_FAILED also when the answer was a refusal. */
static const struct {
	const char *errcode, *before, *after;
} ping_words[] = {
	{ "M_CONNECTION_FAILED", "the homeserver does not get through to",
		"(appservice.url): it must lead to this service from where the "
		"homeserver runs, and what listens there must have read this "
		"registration" },
	{ "M_CONNECTION_TIMEOUT", "the homeserver got no answer in time from",
		"(appservice.url): look for a firewall between them, or "
		"another program at that address" },
	{ "M_BAD_STATUS", "the homeserver was turned away at",
		"(appservice.url): something else listens there, or a service "
		"that has read another registration" },
	{ "M_URL_NOT_SET",
		"the homeserver has a registration without a URL; ours says",
		"(appservice.url): register it anew" },
	{ "M_FORBIDDEN",
		"the homeserver knows our token under another id; the URL "
		"would be",
		"- go back to that appservice.id, or run `muster unregister` "
		"with it first" },
};

/* Dendrite has no ping, as no homeserver had before version 1.7 of the
 * specification. */
static bool has_no_ping(const struct hs_failure *f)
{
	return (f->status == 404 || f->status == 405) &&
		text_eq(f->errcode, "M_UNRECOGNIZED");
}

static enum rc blindly(const struct register_options *o, struct err *e)
{
	return err_set(e, RC_REMOTE,
		"the homeserver reaches something at %s (appservice.url), but "
		"not us: whatever listens there answers anybody, with no token "
		"too. Correct appservice.url, or end that program",
		o->reg->url);
}

/* What it says of a ping that failed; also where it waits for what listens
 * there for longer than we wait for it. */
static const char *ping_errcode(const struct register_options *o, enum rc rc)
{
	return rc == RC_TIMEOUT ? "M_CONNECTION_TIMEOUT"
				: hs_failure(o->as)->errcode;
}

/* *reached false: e says in words why the homeserver does not reach us. What
 * is registered under another id is no matter of that. */
static enum rc ping(
	const struct register_options *o, bool *reached, struct err *e)
{
	struct err why = { 0 };
	struct secret txn = { 0 };
	int64_t took = 0;
	enum rc rc;

	*reached = true;
	if (!o->reg->url)
		return RC_OK;
	rc = secret_random_hex(&txn, 8);
	if (rc != RC_OK)
		return err_set(e, rc, "no random number could be made");
	rc = hs_ping(o->as, o->reg->id, secret_bytes(&txn), &took, &why);
	secret_fini(&txn);
	if (rc == RC_OK) {
		*reached = !registration_answered_blindly(o->reg);
		if (!*reached)
			return blindly(o, e);
		register_say(o, "the homeserver reaches us at %s in %lld ms",
			o->reg->url, (long long)took);
		return RC_OK;
	}
	if (has_no_ping(hs_failure(o->as))) {
		register_say(o,
			"whether the homeserver reaches us at %s it cannot be "
			"asked: the first event will show it",
			o->reg->url);
		return RC_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(ping_words); i++) {
		if (!text_eq(ping_errcode(o, rc), ping_words[i].errcode))
			continue;
		*reached = text_eq(ping_words[i].errcode, "M_FORBIDDEN");
		return err_set(e, rc, "%s %s %s. It said: %s",
			ping_words[i].before, o->reg->url, ping_words[i].after,
			why.text);
	}
	return err_set(e, rc, "%s", why.text);
}

/* What is registered with our token is another than we have: ours all the
 * same, or another service's, with which it would have the token in common?
 * sender NULL: there is no such user. */
static enum rc check_id(
	const struct register_options *o, const char *sender, struct err *e)
{
	struct arena a = { 0 };
	const char *id = NULL;

	if (register_is_known_as(o, o->reg->id))
		return RC_OK;
	if (!sender)
		id = register_known_as(o, CONDUIT_ANSWER_MS, &a);
	enum rc rc = err_set(e, RC_EXISTS,
		"another service on the homeserver, %s %s, has the "
		"as_token of %s: no two may have the same. If it is this one "
		"under an older appservice.id, go back to that id, or run "
		"`muster unregister` with it first; else remove the file, so "
		"that one with new tokens is made",
		sender       ? "whose user is"
			: id ? "which is"
			     : "whose user is yet to be made",
		sender       ? sender
			: id ? id
			     : "there",
		o->registration_path);
	arena_free(&a);
	return rc;
}

/* It has us as we are now, as far as it says, and whether it reaches us: with
 * another URL or hs_token, which somebody gave it by hand, it does not. */
static enum rc look_back(const struct register_options *o, enum noted noted,
	enum standing *ret, struct err *e)
{
	bool reached = false;
	enum rc rc = ping(o, &reached, e);
	if (rc != RC_OK && reached)
		return rc;
	*ret = !reached                                      ? STANDS_UNREACHED
		: noted == NOTED_NONE && register_by_room(o) ? STANDS_UNNOTED
							     : STANDS_PROVEN;
	return RC_OK;
}

static void say_namespace(
	const struct register_options *o, const char *missing, const char *wide)
{
	if (missing)
		register_say(o, "registered, but without %s", missing);
	if (wide)
		register_say(o,
			"registered, but with %s in the namespace, who is not "
			"in that of %s",
			wide, o->registration_path);
}

/* *other: whom it lets us act as is not what our registration says; said. */
static enum rc compare(const struct register_options *o,
	const struct hs_whoami *who, bool *other, struct err *e)
{
	const char *missing = NULL, *wide = NULL;
	bool ours = false;
	enum rc rc = check_name(o, who, &ours, e);

	if (rc == RC_OK)
		rc = probe(o, &missing, e);
	if (rc == RC_OK)
		rc = probe_outside(o, &wide, e);
	if (rc != RC_OK)
		return rc;
	*other = !ours || missing || wide;
	if (!ours)
		register_say(o, "registered, but the service's user is %s",
			who->user_id);
	else
		say_namespace(o, missing, wide);
	return RC_OK;
}

/* It takes our token, as that of `who`. */
static enum rc look_closer(const struct register_options *o,
	const struct hs_whoami *who, enum standing *ret, struct err *e)
{
	enum noted noted = NOTED_NONE;
	bool other = false;
	enum rc rc = compare(o, who, &other, e);

	if (rc != RC_OK)
		return rc;
	*ret = STANDS_OTHERWISE;
	if (!other && dialect_of(o->kind))
		noted = register_noted(o);
	if (other || noted == NOTED_OTHER)
		return check_id(o, who->user_id, e);
	return look_back(o, noted, ret, e);
}

/* How things stand; for STANDS_UNREACHED, and for a failure, e has words. */
static enum rc look(
	const struct register_options *o, enum standing *ret, struct err *e)
{
	struct hs_whoami who = { 0 };
	bool other = false;
	enum rc rc = who_are_we(o, &who, &other, e);
	*ret = STANDS_NOT;
	if (rc == RC_UNAUTHORIZED)
		return RC_OK;
	if (rc == RC_FORBIDDEN && other) {
		*ret = STANDS_OTHERWISE;
		register_say(o,
			"registered, but the service's user is another than "
			"@%s:%s, and does not exist",
			o->reg->sender_localpart, o->server_name);
		return check_id(o, NULL, e);
	}
	if (rc == RC_FORBIDDEN && o->dry_run) {
		*ret = STANDS_WITHOUT_USER;
		return RC_OK;
	}
	return rc == RC_OK ? look_closer(o, &who, ret, e) : rc;
}

/* The token is known, and it is that of our own user. */
static enum rc prove_token(const struct register_options *o, struct err *e)
{
	struct hs_whoami who = { 0 };
	bool ours = false;
	enum rc rc = make_sender(o, e);

	if (rc == RC_OK)
		rc = hs_whoami(o->as, NULL, &who, e);
	if (rc != RC_OK)
		return err_wrap(e, rc,
			"registered, but the homeserver does not take the "
			"token");
	rc = check_name(o, &who, &ours, e);
	if (rc == RC_OK && !ours)
		rc = err_set(e, RC_REMOTE,
			"registered, but the token makes us %s: another "
			"registration has the same as_token",
			who.user_id);
	if (rc == RC_OK)
		register_say(o, "the homeserver takes our token: we are %s",
			who.user_id);
	return rc;
}

/* The namespace is ours, and the homeserver reaches us. */
static enum rc prove_reach(const struct register_options *o, struct err *e)
{
	const char *missing = NULL;
	bool reached = false;
	enum rc rc = probe(o, &missing, e);

	if (rc == RC_OK && missing)
		rc = err_set(e, RC_EXCLUSIVE,
			"registered, but the homeserver does not count %s as "
			"ours: it is not in the namespace of %s",
			missing, o->registration_path);
	return rc == RC_OK ? ping(o, &reached, e) : rc;
}

/* --- all of it ------------------------------------------------------------ */

enum rc register_dry(struct err *e)
{
	return err_set(e, RC_PENDING,
		"nothing was changed: that would be done without --dry-run");
}

static enum rc register_anew(const struct register_options *o,
	enum standing standing, bool *entered, struct err *e)
{
	enum rc rc = register_stopped(o, e);

	if (rc != RC_OK)
		return rc;
	if (!register_by_room(o))
		return standing == STANDS_NOT ? register_by_file(o, e)
					      : register_by_restart(o, e);
	if (o->dry_run) {
		rc = register_taken_dry(o, standing == STANDS_NOT, e);
		return rc == RC_OK ? register_conduit_dry(o, e) : rc;
	}
	rc = register_conduit(
		o, CONDUIT_ANSWER_MS, standing == STANDS_NOT, entered, e);
	if (rc == RC_OK)
		rc = prove_token(o, e);
	if (rc != RC_OK)
		return rc;
	register_note(o);
	return prove_reach(o, e);
}

/* Tuwunel replaces nothing: what works there is not taken out to be put in
 * again, and may be there by a file. */
static enum rc finish_there(
	const struct register_options *o, bool *entered, struct err *e)
{
	enum rc rc;

	if (o->dry_run)
		return visit_dry(o, "look for tokens that may lie", e);
	rc = register_tidy(o, entered, e);
	if (rc == RC_OK)
		register_note(o);
	return rc;
}

/*
 * It works, and by whom it was registered nobody noted: somebody by hand, or we
 * were killed before the end, and then the tokens lie in the admin room. So it
 * is done once more, to its end; where that cannot be begun, it works all the
 * same.
 */
static enum rc finish(const struct register_options *o, struct err *e)
{
	const bool again = o->kind == HS_CONDUIT;
	bool entered = false;
	struct err why = { 0 };
	enum rc rc = RC_OK;

	if (!o->admin_user)
		goto out;
	register_say(o, "registered, but not noted as finished: %s",
		again ? "registering again" : "looking for tokens left behind");
	rc = again ? register_anew(o, STANDS_UNNOTED, &entered, &why)
		   : finish_there(o, &entered, &why);
	if (rc == RC_OK && !again)
		goto out;
	if (rc == RC_OK)
		return rc;
	if (entered || rc == RC_STOPPING || rc == RC_PENDING)
		return err_set(e, rc, "%s", why.text);
	register_say(o,
		"(not looked for tokens that may lie in #admins:%s: %s)",
		o->server_name, why.text);
out:
	register_say(o, "already registered: nothing to do");
	return RC_OK;
}

/* It has us, but does not reach us. Registering anew may mend that, if there is
 * a way to: RC_OK. */
static enum rc unreached(
	const struct register_options *o, const struct err *why, struct err *e)
{
	if (!register_by_room(o))
		return err_set(e, why->rc,
			"if %s has changed since the homeserver started: %s, "
			"and run `muster register` again. Now %s",
			o->registration_path, register_restart_words(o),
			why->text);
	if (!o->admin_user)
		return err_set(e, why->rc,
			"if it was registered with another URL or hs_token: "
			"set homeserver.admin, and `muster register` registers "
			"it again. Now %s",
			why->text);
	const bool none = text_eq(hs_failure(o->as)->errcode, "M_URL_NOT_SET");
	register_say(o, "registered, but %s%s",
		none ? "" : "with another URL or hs_token, or ", why->text);
	return RC_OK;
}

enum rc registration_register(const struct register_options *o, struct err *e)
{
	enum standing standing = STANDS_NOT;
	bool entered = false;
	struct err why = { 0 };
	enum rc rc = hs_versions(o->plain, NULL, &why);

	if (rc != RC_OK)
		return err_set(e, rc,
			"no homeserver answers: is it running, and is "
			"homeserver.url right? (%s)",
			why.text);
	rc = look(o, &standing, &why);
	if (rc != RC_OK)
		return err_set(e, rc, "%s", why.text);
	if (standing == STANDS_UNREACHED)
		rc = unreached(o, &why, e);
	if (rc != RC_OK)
		return rc;
	if (standing == STANDS_PROVEN) {
		register_say(o, "already registered: nothing to do");
		return RC_OK;
	}
	if (standing == STANDS_WITHOUT_USER) {
		register_say(o,
			"registered; would make @%s:%s, this service's own "
			"user, and prove the rest",
			o->reg->sender_localpart, o->server_name);
		return register_dry(e);
	}
	return standing == STANDS_UNNOTED
		? finish(o, e)
		: register_anew(o, standing, &entered, e);
}
