/*
 * registration/register_taken.c: is somebody else in our namespace already? No
 * homeserver says it; but Conduit lets nobody log in by password who is in the
 * namespace of a service, whatever the password is, and Tuwunel has no such name
 * to give away.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* So many agents are tried, from all over the fleet. */
#define TRIED 32

/* RC_EXCLUSIVE: in a service's namespace. */
static enum rc try_agent(const struct register_options *o, const char *id,
	const struct secret *password, struct err *e)
{
	struct hs_session s = { 0 };
	struct str localpart, server;
	char name[LIMIT_ID + 1];
	enum rc rc;

	if (o->kind == HS_TUWUNEL && id_split(id, '@', &localpart, &server)) {
		snprintf(name, sizeof(name), "%.*s", (int)localpart.n,
			localpart.p);
		return hs_username_free(o->plain, name, e);
	}
	rc = hs_login_password(o->plain, id, password, &s, e);
	secret_fini(&s.token);
	return rc;
}

/* *taken: in another service's. */
static enum rc look_at(const struct register_options *o, const char *id,
	const struct secret *password, bool *taken, struct err *e)
{
	enum rc rc = try_agent(o, id, password, e);

	*taken = rc == RC_EXCLUSIVE;
	/* Else there is no such account, one of another password, or one. */
	return *taken || rc == RC_FORBIDDEN || rc == RC_EXISTS ? RC_OK : rc;
}

/* In what is registered with our token, so nobody else's matter. */
static bool is_ours(const struct register_options *o, const char *id)
{
	struct hs_whoami who;

	return hs_whoami(o->as, id, &who, NULL) != RC_EXCLUSIVE;
}

static enum rc find_taken(const struct register_options *o, bool unknown,
	const char **ret, struct err *e)
{
	const size_t step = unknown ? o->n_probe / TRIED + 1 : 1;
	size_t tried = 0;
	bool taken = false;
	struct secret password = { 0 };
	enum rc rc = secret_random_hex(&password, 32);

	if (rc != RC_OK)
		return err_set(e, rc, "no random password could be made");
	for (size_t i = 0; i < o->n_probe && tried < TRIED; i += step) {
		rc = register_stopped(o, e);
		if (rc == RC_OK && !unknown && is_ours(o, o->probe_users[i]))
			continue;
		tried++;
		if (rc == RC_OK)
			rc = look_at(
				o, o->probe_users[i], &password, &taken, e);
		*ret = taken ? o->probe_users[i] : NULL;
		if (rc != RC_OK || taken)
			break;
	}
	secret_fini(&password);
	return rc;
}

/* Which one it is only an administrator is told, by a message. */
enum rc register_taken_dry(
	const struct register_options *o, bool unknown, struct err *e)
{
	const char *taken = NULL;
	enum rc rc = find_taken(o, unknown, &taken, e);

	if (rc != RC_OK || !taken)
		return rc;
	if (!unknown)
		return err_set(e, RC_EXISTS,
			"another service on the homeserver has %s in its "
			"namespace: two of them would act for the same agents. "
			"Without --dry-run nothing is registered either, and "
			"it is said which one it is",
			taken);
	register_say(o,
		"a service on the homeserver has %s in its namespace: \"%s\" "
		"with another as_token would be replaced; for any other "
		"nothing would be registered, and it would be named",
		taken, o->reg->id);
	return RC_OK;
}

#define LIST "Appservices ("

static bool is_list(
	const struct command *c, const char *text, enum rc *ret, struct err *e)
{
	const struct dialect *d = dialect_of(c->o->kind);
	const char *list = dialect_says(d, text, LIST);

	*ret = RC_OK;
	if (list && strstr(list, "): "))
		return true;
	if (!text_starts(text, "Failed to parse admin command: ") &&
		!text_starts(text, "error: "))
		return false;
	*ret = err_set(e, RC_REMOTE,
		"%s does not say which services it has: \"%.300s\"", d->name,
		text);
	return true;
}

/* "Appservices (2): a, b" has this id in it. */
static bool list_has(const char *list, const char *id)
{
	const size_t n = strlen(id);

	for (const char *at = list; at; at = strstr(at, ", ")) {
		at += 2;
		if (strncmp(at, id, n) == 0 &&
			(!at[n] || text_starts(at + n, ", ")))
			return true;
	}
	return false;
}

/* All of the list but this one, in the words of a sentence; how many. */
static size_t others(struct buf *out, const char *list, const char *id)
{
	const size_t ours = strlen(id);
	size_t n = 0;

	for (const char *at = list; at; at = strstr(at, ", ")) {
		const char *end = strstr(at + 2, ", ");
		size_t size = 0;

		at += 2;
		size = end ? (size_t)(end - at) : strlen(at);
		if (size == ours && strncmp(at, id, size) == 0)
			continue;
		buf_addf(out, "%s%.*s", n++ ? ", " : "", (int)size, at);
	}
	return n;
}

static enum rc say_whose(struct visit *v, const char *taken, const char *list,
	bool unknown, struct err *e)
{
	const struct register_options *o = v->o;
	struct buf how, whose;
	size_t n;
	enum rc rc = RC_OK;

	if (unknown && list_has(list, o->reg->id)) {
		register_say(o,
			"\"%s\" is registered there with another as_token: it "
			"is replaced",
			o->reg->id);
		return RC_OK;
	}
	buf_init(&how, LIMIT_SMALL_BODY);
	buf_init(&whose, LIMIT_SMALL_BODY);
	n = others(&whose, list, o->reg->id);
	if (n == 0) /* it is gone by now */
		goto out;
	dialect_command(&how, v->d, v->bot, v->d->withdraw);
	rc = err_set(e, RC_EXISTS,
		"another service on the homeserver has %s in its namespace, "
		"%s %.300s: two of them would act for the same agents. If it "
		"is an older one of this fleet, take it back: send "
		"\"%s ID\" to #admins:%s, or set appservice.id to its id",
		taken, n > 1 ? "one of" : "which is", buf_str(&whose),
		buf_str(&how), o->server_name);
out:
	buf_free(&how);
	buf_free(&whose);
	return rc;
}

/* *list: ": a, b", in the visit's arena. */
static enum rc ask_for_list(
	struct visit *v, int64_t answer_ms, const char **list, struct err *e)
{
	struct command c = {
		.is_answer = is_list, .o = v->o, .answer_ms = answer_ms
	};
	enum rc rc;

	buf_init(&c.text, LIMIT_SMALL_BODY);
	dialect_command(&c.text, v->d, v->bot, v->d->list);
	rc = buf_rc(&c.text) == RC_OK ? visit_command(v, &c, e) : err_nomem(e);
	if (rc == RC_OK)
		*list = strstr(dialect_says(v->d, c.said, LIST), "): ") + 1;
	buf_free(&c.text);
	return rc;
}

enum rc visit_taken(
	struct visit *v, int64_t answer_ms, bool unknown, struct err *e)
{
	const char *taken = NULL, *list = NULL;
	enum rc rc = find_taken(v->o, unknown, &taken, e);

	if (rc != RC_OK || !taken)
		return rc;
	rc = ask_for_list(v, answer_ms, &list, e);
	return rc == RC_OK ? say_whose(v, taken, list, unknown, e) : rc;
}

bool register_is_known_as(const struct register_options *o, const char *id)
{
	int64_t took = 0;

	return hs_ping(o->as, id, "whose", &took, NULL) == RC_OK ||
		!text_eq(hs_failure(o->as)->errcode, "M_FORBIDDEN");
}

static const char *find_known(struct visit *v, const char *list)
{
	for (const char *at = list; at; at = strstr(at, ", ")) {
		const char *end = strstr(at + 2, ", ");
		const char *id = NULL;

		at += 2;
		id = arena_strndup(
			&v->arena, at, end ? (size_t)(end - at) : strlen(at));
		if (!id || register_stopped(v->o, NULL) != RC_OK)
			return NULL;
		if (register_is_known_as(v->o, id))
			return id;
	}
	return NULL;
}

const char *register_known_as(
	const struct register_options *o, int64_t answer_ms, struct arena *a)
{
	struct visit v = { .o = o };
	const char *list = NULL, *id = NULL;

	if (o->dry_run || !o->admin_user || !dialect_of(o->kind))
		return NULL;
	if (visit_begin(&v, o, NULL) == RC_OK &&
		ask_for_list(&v, answer_ms, &list, NULL) == RC_OK)
		id = find_known(&v, list);
	id = id ? arena_strdup(a, id) : NULL;
	visit_end(&v);
	return id;
}
