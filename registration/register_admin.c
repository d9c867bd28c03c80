/*
 * registration/register_admin.c: an administrator's session on Conduit or
 * Tuwunel: by the password, or with an account that is made, which on an empty
 * server is the administrator's. It is always of one device: a session that
 * somebody was killed in ends with the next.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

#define DEVICE "MUSTER_REGISTER"

/* Of a dialect's name and env. */
#define NOBODY_KNOWS                                                           \
	"If nobody knows an administrator any more: start %s with "            \
	"%s_EMERGENCY_PASSWORD for this once and set homeserver.admin.user "   \
	"to conduit, its password to that"

/* --- the administrator's session ------------------------------------------ */

static enum rc make_account(
	struct visit *v, const struct secret *password, struct err *e)
{
	enum rc rc = hs_register_password(v->o->plain, v->o->admin_user,
		password, v->o->registration_token, &v->session, e);

	v->made = rc == RC_OK;
	if (rc == RC_OK)
		register_say(v->o, "made the account %s", v->session.user_id);
	return rc;
}

bool visit_is_emergency(const struct visit *v)
{
	return text_eq(v->o->admin_user, "conduit");
}

static enum rc refused_account(const struct register_options *o, enum rc rc,
	const struct err *why, struct err *e)
{
	const struct dialect *d = dialect_of(o->kind);
	bool token =
		o->registration_token && secret_is_set(o->registration_token);

	if (rc == RC_EXISTS)
		return err_set(e, rc,
			"the account %s exists already: put its password into "
			"%s. " NOBODY_KNOWS,
			o->admin_user, o->admin_password_file, d->name, d->env);
	if (rc == RC_UNAUTHORIZED && token)
		return err_set(e, rc,
			"the registration token in "
			"homeserver.registration_token is not the one that "
			"%s has (%s_REGISTRATION_TOKEN): the account %s was "
			"refused. It said: %s",
			d->name, d->env, o->admin_user, why->text);
	if (rc == RC_UNAUTHORIZED)
		return err_set(e, rc,
			"the homeserver asks for a registration token to make "
			"the account %s: set homeserver.registration_token "
			"(registration_token: {file: PATH}) to what it has "
			"(%s_REGISTRATION_TOKEN). It said: %s",
			o->admin_user, d->env, why->text);
	if (rc == RC_FORBIDDEN)
		return err_set(e, rc,
			"the homeserver makes no accounts, so not %s either: "
			"set %s_ALLOW_REGISTRATION=true there for this once, "
			"or use an account that is an administrator. It said: "
			"%s",
			o->admin_user, d->env, why->text);
	return err_set(e, rc, "%s", why->text);
}

static const char *password_place(const struct register_options *o)
{
	return o->admin_password_file ? o->admin_password_file
				      : "homeserver.admin.password";
}

static enum rc wrong_password(const struct register_options *o, struct err *e)
{
	return err_set(e, RC_FORBIDDEN,
		"the password for %s in %s is not right", o->admin_user,
		password_place(o));
}

/* Its account is there already, and so is its password, with Conduit. */
static enum rc no_emergency_password(const struct visit *v, struct err *e)
{
	return err_set(e, RC_INVALID,
		"the emergency password is not here: write the one that %s has "
		"in %s_EMERGENCY_PASSWORD into %s",
		v->d->name, v->d->env, password_place(v->o));
}

/* Neither the login nor the account: which of the two it is. */
static enum rc refused_both(
	const struct register_options *o, const struct err *why, struct err *e)
{
	if (hs_username_free(o->plain, o->admin_user, NULL) == RC_EXISTS)
		return wrong_password(o, e);
	return err_set(e, RC_FORBIDDEN,
		"the homeserver does not take the password for %s in %s, nor "
		"make that account: %s",
		o->admin_user, password_place(o), why->text);
}

static enum rc no_password(const struct register_options *o, struct err *e)
{
	return err_set(e, RC_INVALID,
		"homeserver.admin.password is not set: %s needs one "
		"(password: {file: PATH} makes it on a new server)",
		o->admin_user);
}

/* An account can be made, as far as it can be told without making one. */
static enum rc check_open(const struct register_options *o, struct err *e)
{
	const struct dialect *d = dialect_of(o->kind);
	bool open = false;
	enum rc rc = hs_registration_open(o->plain, &open, e);

	if (rc != RC_OK || open ||
		(o->registration_token && secret_is_set(o->registration_token)))
		return rc;
	return err_set(e, RC_FORBIDDEN,
		"the homeserver would not make the account %s: set "
		"homeserver.registration_token (registration_token: {file: "
		"PATH}) to what it has (%s_REGISTRATION_TOKEN), or, if it has "
		"none, %s_ALLOW_REGISTRATION=true there for this once",
		o->admin_user, d->env, d->env);
}

/* What it finds who has no session yet, and makes no account. RC_OK: there is
 * none of this name. */
static enum rc find_account(
	const struct register_options *o, bool known, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = hs_username_free(o->plain, o->admin_user, &why);

	if (rc == RC_EXISTS && known)
		return wrong_password(o, e);
	if (rc == RC_EXISTS && o->admin_password_file)
		return refused_account(o, rc, &why, e);
	if (!known && !o->admin_password_file)
		return no_password(o, e);
	return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
}

/* What is taken back, or registered anew by the service itself, has an
 * administrator, who is not made for it. */
static enum rc no_account(const struct visit *v, struct err *e)
{
	return err_set(e, RC_FORBIDDEN,
		"there is no account %s on the homeserver, and none is made: "
		"set homeserver.admin to an administrator. " NOBODY_KNOWS,
		v->o->admin_user, v->d->name, v->d->env);
}

static enum rc say_account(const struct visit *v, bool known, struct err *e)
{
	const struct register_options *o = v->o;
	enum rc rc = find_account(o, known, e);

	if (rc == RC_OK)
		rc = o->no_account ? no_account(v, e) : check_open(o, e);
	if (rc == RC_OK)
		register_say(o,
			"would make the account %s, with %s: it is the "
			"administrator if it is the first on the homeserver",
			o->admin_user,
			known ? "the password that is configured"
			      : "a password for it in the file of "
				"homeserver.admin.password");
	return rc;
}

/* The password is there: log in, or make the account that it is for. */
static enum rc enter_with_password(struct visit *v, struct err *e)
{
	const struct register_options *o = v->o;
	struct err why = { 0 };
	enum rc rc = hs_login_password(
		o->plain, o->admin_user, o->admin_password, &v->session, e);

	if (rc == RC_EXCLUSIVE)
		return err_set(e, rc,
			"%s is in the namespace of a service on the "
			"homeserver, where nobody logs in by password: set "
			"another homeserver.admin. " NOBODY_KNOWS,
			o->admin_user, v->d->name, v->d->env);
	if (rc != RC_FORBIDDEN)
		return rc;
	if (visit_is_emergency(v))
		return err_set(e, RC_FORBIDDEN,
			"the emergency password in %s is not right: is %s "
			"running with %s_EMERGENCY_PASSWORD set to it?",
			password_place(o), v->d->name, v->d->env);
	if (o->dry_run || o->no_account)
		return say_account(v, true, e);
	rc = make_account(v, o->admin_password, &why);
	if (rc == RC_EXISTS)
		return wrong_password(o, e);
	if (rc != RC_FORBIDDEN && rc != RC_UNAUTHORIZED)
		return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
	struct err words = { 0 };
	(void)!refused_account(o, rc, &why, &words);
	return refused_both(o, &words, e);
}

static enum rc keep_password(
	const char *path, const struct secret *password, struct err *e)
{
	enum rc rc = access(path, F_OK) == 0
		? err_set(e, RC_EXISTS,
			  "%s is there, but no password was read from it", path)
		: file_mkdirs_of(path, 0700, e);

	if (rc == RC_OK)
		rc = file_replace(
			path, secret_bytes(password), password->n, 0600, e);
	return rc;
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
		return no_password(v->o, e);
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
	hs_use_device(v->o->plain, DEVICE);
	if (password && secret_is_set(password))
		rc = enter_with_password(v, e);
	else if (visit_is_emergency(v))
		rc = no_emergency_password(v, e);
	else
		rc = v->o->dry_run || v->o->no_account
			? say_account(v, false, e)
			: enter_by_new_account(v, e);
	if (rc == RC_OK && secret_is_set(&v->session.token))
		rc = hs_use_token(v->o->plain, &v->session.token);
	return rc;
}

static enum rc no_admin(const struct register_options *o, struct err *e)
{
	return err_set(e, RC_INVALID,
		"homeserver.admin is not set: only an administrator can "
		"register a service with %s. Set homeserver.admin.user and "
		"homeserver.admin.password (on a new server the account is "
		"made). " NOBODY_KNOWS,
		dialect_of(o->kind)->name, dialect_of(o->kind)->name,
		dialect_of(o->kind)->env);
}

enum rc visit_begin(
	struct visit *v, const struct register_options *o, struct err *e)
{
	enum rc rc;

	*v = (struct visit){ .o = o, .d = dialect_of(o->kind) };
	if (!o->admin_user)
		return no_admin(o, e);
	v->bot = id_user(&v->arena, "conduit", o->server_name);
	if (!v->bot)
		return err_nomem(e);
	rc = hs_admin_room(o->plain, o->server_name, &v->arena, &v->room, e);
	/* From here on what was begun is taken back before we end. */
	hs_set_stop(o->plain, o->abort);
	return rc == RC_OK ? enter(v, e) : rc;
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

void visit_end(struct visit *v)
{
	leave(v);
	hs_set_stop(v->o->plain, v->o->stop);
	secret_fini(&v->session.token);
	arena_free(&v->arena);
}

enum rc visit_no_admin(const struct visit *v, struct err *e)
{
	return err_set(e, RC_FORBIDDEN,
		"%s is no administrator of the homeserver%s: have it invited "
		"to #admins:%s by one, or set another "
		"homeserver.admin. " NOBODY_KNOWS,
		v->session.user_id,
		v->made ? ", since it is not the first account there" : "",
		v->o->server_name, v->d->name, v->d->env);
}

/* --- what would be done --------------------------------------------------- */

/* Whether whoever is logged in may say anything there. */
static enum rc check_admin(const struct visit *v, struct err *e)
{
	struct arena a = { 0 };
	struct hs_ids ids = { 0 };
	enum rc rc = hs_joined_members(v->o->plain, NULL, v->room, &a, &ids, e);

	arena_free(&a);
	if (rc == RC_FORBIDDEN)
		return visit_no_admin(v, e);
	if (rc == RC_OK)
		register_say(v->o, "would log in as %s, an administrator",
			v->o->admin_user);
	return rc;
}

enum rc visit_dry(
	const struct register_options *o, const char *what, struct err *e)
{
	struct visit v = { .o = o };
	enum rc rc = visit_begin(&v, o, e);

	if (rc == RC_OK && secret_is_set(&v.session.token))
		rc = check_admin(&v, e);
	visit_end(&v);
	if (rc != RC_OK)
		return rc;
	register_say(o, "would %s in #admins:%s", what, o->server_name);
	return register_dry(e);
}
