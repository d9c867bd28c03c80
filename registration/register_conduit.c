/*
 * registration/register_conduit.c: registering with Conduit, which knows one
 * way: an administrator types a command, tokens and all, into the admin room,
 * and a bot answers there. So the message is redacted and the session ended
 * whatever happens after.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* An event is at most 64 KiB; this leaves room for what is around the text. */
#define COMMAND_MAX (60 * KIB)
/* Others may type commands meanwhile; this many messages are looked at. */
#define MESSAGES 30

struct visit {
	const struct register_options *o;
	struct arena arena;
	struct buf command; /* has the tokens */
	struct hs_session session;
	const char *bot, *room, *event;
	char txn[64];
};

/* --- before anything is written ------------------------------------------- */

static enum rc make_command(struct visit *v, struct err *e)
{
	struct buf as_json;
	size_t size;
	enum rc rc;

	buf_addf(&v->command, "%s: register-appservice\n```\n", v->bot);
	rc = registration_yaml(v->o->reg, &v->command);
	buf_add(&v->command, "```\n");
	if (rc == RC_OK)
		rc = buf_rc(&v->command);
	buf_init(&as_json, 8 * LIMIT_REGISTRATION_FILE);
	buf_add_json_str(&as_json, buf_str(&v->command));
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
			"a common prefix and set namespace: {prefix: …}",
			size / KIB, COMMAND_MAX / KIB);
	return RC_OK;
}

static enum rc prepare(struct visit *v, struct err *e)
{
	struct secret txn = { 0 };

	if (!v->o->admin_user)
		return err_set(e, RC_INVALID,
			"homeserver.admin is not set: only an administrator "
			"can register a service with Conduit. Set "
			"homeserver.admin.user and homeserver.admin.password "
			"(on a new server the account is made)");
	v->bot = id_user(&v->arena, "conduit", v->o->server_name);
	if (!v->bot)
		return err_nomem(e);
	if (registration_matches(v->o->reg, NS_USERS, v->bot))
		return err_set(e, RC_INVALID,
			"the users namespace matches %s, the homeserver's own "
			"user: make it narrower",
			v->bot);
	if (secret_random_hex(&txn, 8) != RC_OK)
		return err_set(e, RC_IO, "no random number could be made");
	memcpy(v->txn, "muster-register-", 17);
	memcpy(v->txn + 16, secret_bytes(&txn), txn.n + 1);
	secret_fini(&txn);
	return make_command(v, e);
}

/* --- the administrator's session ------------------------------------------ */

static enum rc make_account(
	struct visit *v, const struct secret *password, struct err *e)
{
	enum rc rc = hs_register_password(v->o->plain, v->o->admin_user,
		password, v->o->registration_token, &v->session, e);

	if (rc == RC_OK)
		register_say(v->o, "made the account %s", v->session.user_id);
	return rc;
}

/* The password is there: log in, or make the account that it is for. */
static enum rc enter_with_password(struct visit *v, struct err *e)
{
	const struct register_options *o = v->o;
	const char *where = o->admin_password_file
		? o->admin_password_file
		: "homeserver.admin.password";
	struct err why = { 0 };
	enum rc rc = hs_login_password(
		o->plain, o->admin_user, o->admin_password, &v->session, e);

	if (rc != RC_FORBIDDEN)
		return rc;
	if (text_eq(o->admin_user, "conduit"))
		return err_set(e, RC_FORBIDDEN,
			"the emergency password in %s is not right: is Conduit "
			"running with CONDUIT_EMERGENCY_PASSWORD set to it?",
			where);
	rc = make_account(v, o->admin_password, &why);
	if (rc == RC_EXISTS)
		return err_set(e, RC_FORBIDDEN,
			"the password for %s in %s is not right", o->admin_user,
			where);
	if (rc == RC_OK || rc == RC_NETWORK || rc == RC_TIMEOUT ||
		rc == RC_STOPPING)
		return err_set(e, rc, "%s", why.text);
	return err_set(e, RC_FORBIDDEN,
		"the homeserver does not take the password for %s in %s, nor "
		"make that account: %s",
		o->admin_user, where, why.text);
}

static enum rc keep_password(
	const char *path, const struct secret *password, struct err *e)
{
	char *dir = path_dir(path);
	enum rc rc;

	if (!dir)
		return err_nomem(e);
	rc = access(path, F_OK) == 0
		? err_set(e, RC_EXISTS,
			  "%s is there, but no password was read from it", path)
		: file_mkdirs(dir, 0700, e);
	if (rc == RC_OK)
		rc = file_replace(
			path, secret_bytes(password), password->n, 0600, e);
	free(dir);
	return rc;
}

static enum rc refused_account(const struct register_options *o, enum rc rc,
	const struct err *why, struct err *e)
{
	switch (rc) {
	case RC_EXISTS:
		return err_set(e, rc,
			"the account %s exists already: put its password into "
			"%s",
			o->admin_user, o->admin_password_file);
	case RC_UNAUTHORIZED:
	case RC_FORBIDDEN:
		if (o->registration_token &&
			secret_is_set(o->registration_token))
			return err_set(e, rc,
				"the registration token in "
				"homeserver.registration_token is not the one "
				"that Conduit has "
				"(CONDUIT_REGISTRATION_TOKEN), or it makes no "
				"accounts (CONDUIT_ALLOW_REGISTRATION=true "
				"there for this once): the account %s was "
				"refused. It said: %s",
				o->admin_user, why->text);
		return err_set(e, rc,
			"the homeserver does not make the account %s: set "
			"CONDUIT_ALLOW_REGISTRATION=true there for this once, "
			"and homeserver.registration_token here if it asks for "
			"one. It said: %s",
			o->admin_user, why->text);
	default:
		return err_set(e, rc, "%s", why->text);
	}
}

/*
 * There is no password yet: make one and the account. It is on the disk
 * before the account is there, so that neither is ever without the other; a
 * definite no takes it away again.
 */
static enum rc enter_by_new_account(struct visit *v, struct err *e)
{
	const char *path = v->o->admin_password_file;
	struct secret password = { 0 };
	struct err why = { 0 };
	enum rc rc;

	if (!path)
		return err_set(e, RC_INVALID,
			"homeserver.admin.password is not set: %s needs one "
			"(password: {file: PATH} makes it on a new server)",
			v->o->admin_user);
	rc = secret_random_hex(&password, 32);
	if (rc != RC_OK)
		return err_set(e, rc, "no random password could be made");
	rc = keep_password(path, &password, e);
	if (rc != RC_OK)
		goto out;
	rc = make_account(v, &password, &why);
	bool refused = rc != RC_OK && hs_failure(v->o->plain)->status >= 400 &&
		hs_failure(v->o->plain)->status < 500;
	if (refused)
		unlink(path);
	else
		register_say(v->o, "made a password for %s: %s",
			v->o->admin_user, path);
	if (rc != RC_OK)
		rc = refused_account(v->o, rc, &why, e);
out:
	secret_fini(&password);
	return rc;
}

static enum rc enter(struct visit *v, struct err *e)
{
	const struct secret *password = v->o->admin_password;
	enum rc rc = register_stopped(v->o, e);

	if (rc != RC_OK)
		return rc;
	rc = password && secret_is_set(password) ? enter_with_password(v, e)
						 : enter_by_new_account(v, e);

	if (rc == RC_OK)
		rc = hs_use_token(v->o->plain, &v->session.token);
	return rc;
}

/* --- the command and its answer ------------------------------------------- */

static enum rc send_command(struct visit *v, struct err *e)
{
	const char *text = buf_str(&v->command);
	enum rc rc = hs_send_text(v->o->plain, NULL, v->room, v->txn, text,
		&v->arena, &v->event, e);

	/* It may be there all the same; the same transaction id finds out
	 * what has to be redacted. */
	if (rc == RC_TIMEOUT || rc == RC_NETWORK)
		rc = hs_send_text(v->o->plain, NULL, v->room, v->txn, text,
			&v->arena, &v->event, e);
	if (rc == RC_TIMEOUT || rc == RC_NETWORK || rc == RC_STOPPING)
		register_say(v->o,
			"the command may have arrived all the same: if there "
			"is one of now in #admins:%s, redact it by hand, it "
			"has the tokens in it",
			v->o->server_name);
	if (rc == RC_FORBIDDEN)
		return err_set(e, rc,
			"%s is no administrator of the homeserver: have it "
			"invited to #admins:%s by one, or set another "
			"homeserver.admin",
			v->session.user_id, v->o->server_name);
	return rc;
}

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

/* A parser's message may quote what it parsed. */
static const char *quotable(const struct visit *v, const char *text)
{
	const struct registration *r = v->o->reg;

	return strstr(text, secret_bytes(&r->as_token)) ||
			strstr(text, secret_bytes(&r->hs_token))
		? "(its words have a token in them)"
		: text;
}

/*
 * Whether this is the answer. The bot does not say what it answers, and tells
 * of other things too, so only texts that we know count.
 */
static bool is_answer(
	const struct visit *v, const char *text, enum rc *ret, struct err *e)
{
	const char *done = "Appservice registered with ID: ";

	if (text_starts(text, done)) {
		const char *id = text + strlen(done);
		size_t n = strlen(v->o->reg->id);

		*ret = RC_OK;
		return strncmp(id, v->o->reg->id, n) == 0 &&
			(!id[n] || text_eq(id + n, "."));
	}
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (!text_starts(text, refusals[i].starts))
			continue;
		*ret = err_set(e, RC_REMOTE, "%s: \"%.300s\". Check %s",
			refusals[i].words, quotable(v, text),
			v->o->registration_path);
		return true;
	}
	return false;
}

/* Looks at what is newer than our command; *other: the bot's newest words
 * that are no answer. */
static enum rc look_for_answer(struct visit *v, struct arena *a, bool *found,
	const char **other, struct err *e)
{
	struct hs_messages newest = { 0 };
	enum rc rc = hs_recent_messages(
		v->o->plain, v->room, MESSAGES, a, &newest, e);

	if (rc != RC_OK)
		return rc;
	*other = NULL;
	for (size_t i = 0; i < newest.n; i++) {
		const struct hs_message *m = &newest.items[i];

		if (text_eq(m->event_id, v->event))
			break;
		if (!text_eq(m->sender, v->bot) || !m->body)
			continue;
		*found = is_answer(v, m->body, &rc, e);
		if (*found)
			return rc;
		if (!*other)
			*other = m->body;
	}
	return RC_OK;
}

static enum rc await_answer(struct visit *v, int64_t answer_ms, struct err *e)
{
	int64_t end = clock_mono_ms() + answer_ms, pause = 50;
	bool found = false;
	enum rc rc;

	for (;;) {
		struct arena a = { 0 };
		const char *other = NULL;
		bool last = clock_mono_ms() >= end;

		rc = look_for_answer(v, &a, &found, &other, e);
		if (rc == RC_OK && !found)
			rc = register_stopped(v->o, e);
		if (rc == RC_OK && !found && last)
			rc = err_set(e, RC_TIMEOUT,
				"Conduit's %s did not answer the command in "
				"%lld ms%s%.200s: look into #admins:%s; a "
				"restart of Conduit wakes the bot up",
				v->bot, (long long)answer_ms,
				other ? ", it only said: " : "",
				other ? quotable(v, other) : "",
				v->o->server_name);
		arena_free(&a);
		if (found || rc != RC_OK)
			return rc;
		clock_sleep_ms(pause);
		pause = pause < 800 ? pause * 2 : pause;
	}
}

/* --- and away again ------------------------------------------------------- */

/* The tokens are gone from the room, or it is told where they are. */
static enum rc redact_command(struct visit *v, enum rc so_far, struct err *e)
{
	struct err why = { 0 };
	char txn[80] = "";
	size_t n = strlen(v->txn);

	memcpy(txn, v->txn, n);
	memcpy(txn + n, "-redact", 8);
	if (hs_redact(v->o->plain, NULL, v->room, v->event, txn,
		    "it had tokens in it", &why) == RC_OK)
		return so_far;
	register_say(v->o,
		"the message %s in #admins:%s has the tokens in it and could "
		"not be redacted: redact it by hand",
		v->event, v->o->server_name);
	if (so_far != RC_OK)
		return so_far;
	return err_set(e, why.rc,
		"registered, but the message %s in #admins:%s, which has the "
		"tokens in it, could not be redacted: redact it by hand (%s)",
		v->event, v->o->server_name, why.text);
}

static void leave(struct visit *v)
{
	static const struct secret none = { 0 };
	struct err why = { 0 };

	if (!secret_is_set(&v->session.token))
		return;
	if (hs_logout(v->o->plain, &why) != RC_OK)
		register_say(v->o,
			"the session %s of %s could not be ended: %s",
			v->session.device_id, v->session.user_id, why.text);
	if (hs_use_token(v->o->plain, &none) != RC_OK)
		register_say(v->o, "out of memory");
}

enum rc register_conduit(
	const struct register_options *o, int64_t answer_ms, struct err *e)
{
	struct visit v = { .o = o };
	enum rc rc;

	buf_init(&v.command, LIMIT_REGISTRATION_FILE);
	rc = prepare(&v, e);
	if (rc == RC_OK)
		rc = hs_admin_room(
			o->plain, o->server_name, &v.arena, &v.room, e);
	/* From here on what was begun is taken back before we end. */
	hs_set_stop(o->plain, o->abort);
	if (rc == RC_OK)
		rc = enter(&v, e);
	if (rc == RC_OK)
		rc = register_stopped(o, e);
	if (rc == RC_OK) {
		register_say(o, "registering \"%s\" in #admins:%s as %s",
			o->reg->id, o->server_name, v.session.user_id);
		register_forget(o);
		rc = send_command(&v, e);
	}
	if (rc == RC_OK)
		rc = await_answer(&v, answer_ms, e);
	if (v.event)
		rc = redact_command(&v, rc, e);
	leave(&v);
	hs_set_stop(o->plain, o->stop);
	secret_fini(&v.session.token);
	buf_wipe(&v.command);
	arena_free(&v.arena);
	return rc;
}
