/*
 * registration/registration.c: making a registration from what is wanted, and
 * comparing two.
 */
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

#define TOKEN_BYTES 32

const char *registration_id_fault(const char *id)
{
	if (!*id)
		return "is empty";
	for (const char *p = id; *p; p++) {
		if (*p == '|')
			return "has a |, which Synapse refuses";
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "has a control character";
	}
	return NULL;
}

/* Conduit stops sending to anybody when one service's URL is none. */
const char *registration_url_fault(const char *url)
{
	const char *host = text_starts(url, "http://") ? url + 7
		: text_starts(url, "https://")         ? url + 8
						       : NULL;

	if (!host)
		return "does not start with http:// or https://";
	if (!*host || strchr("/:", *host))
		return "has no host";
	for (const char *p = host; *p; p++) {
		if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
			return "has a character that a URL may not have";
		if (strchr("?#@", *p))
			return "has more than a host, a port and a path";
	}
	return NULL;
}

const char *registration_sender_fault(const char *localpart)
{
	if (!*localpart)
		return "is empty";
	if (strchr(localpart, '=') || strchr(localpart, '+'))
		return "has a = or +, which Synapse refuses";
	if (!id_localpart_ok(str_of(localpart)))
		return "may only have a-z 0-9 . _ - and /";
	return NULL;
}

/* Conduit puts the token into a URL as it is. */
const char *registration_token_fault(const char *token)
{
	if (!*token)
		return "is empty";
	for (const char *p = token; *p; p++) {
		bool ok = (*p >= '0' && *p <= '9') ||
			(*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			strchr("-._~", *p);

		if (!ok)
			return "has a character other than A-Z a-z 0-9 - . _ "
			       "~";
	}
	return NULL;
}

char *registration_url_copy(struct arena *a, const char *url)
{
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		n--;
	return arena_strndup(a, url, n);
}

static enum rc check_want(const struct registration_want *w, struct err *e)
{
	const char *fault = registration_id_fault(w->id);

	if (fault)
		return err_set(e, RC_INVALID, "appservice.id %s", fault);
	fault = registration_sender_fault(w->sender_localpart);
	if (fault)
		return err_set(e, RC_INVALID, "appservice.sender %s", fault);
	fault = w->url ? registration_url_fault(w->url) : NULL;
	if (fault)
		return err_set(e, RC_INVALID, "appservice.url %s", fault);
	if (!id_server_ok(w->server_name))
		return err_set(e, RC_INVALID,
			"homeserver.server_name is \"%s\", which is no server "
			"name",
			w->server_name);
	if (w->prefix && !id_localpart_ok(str_of(w->prefix)))
		return err_set(e, RC_INVALID,
			"namespace.prefix is \"%s\", but may only have a-z 0-9 "
			". _ = - / and +",
			w->prefix);
	return RC_OK;
}

/* `^@(a\.b|c):server\.name$` */
static enum rc list_pattern(struct buf *out, char sigil, const char *const *ids,
	size_t n, const char *server, struct err *e)
{
	struct buf name;
	enum rc rc = RC_OK;

	buf_init(&name, LIMIT_ID);
	buf_addc(out, '^');
	buf_addc(out, sigil);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct str localpart, host;

		if (!id_split(ids[i], sigil, &localpart, &host) ||
			localpart.n == 0 || !str_eq(host, server)) {
			rc = err_set(e, RC_INVALID,
				"%s cannot be in the namespace: it is no id of "
				"%s",
				ids[i], server);
			break;
		}
		buf_clear(&name);
		buf_addn(&name, localpart.p, localpart.n);
		rc = buf_rc(&name);
		buf_addc(out, i ? '|' : '(');
		namespace_escape(out, buf_str(&name));
	}
	buf_add(out, "):");
	namespace_escape(out, server);
	buf_addc(out, '$');
	buf_free(&name);
	return rc;
}

static void prefix_pattern(
	struct buf *out, const char *prefix, const char *server)
{
	buf_add(out, "^@");
	namespace_escape(out, prefix);
	buf_add(out, "[a-z0-9._=/+-]+:");
	namespace_escape(out, server);
	buf_addc(out, '$');
}

/* Makes the pattern in `text` the only one of its kind. */
static enum rc set_pattern(struct registration *r, enum ns_kind kind,
	const struct buf *text, struct err *e)
{
	struct namespace *ns = arena_array(&r->arena, 1, sizeof(*ns));

	if (buf_rc(text) == RC_TOO_LARGE)
		return err_set(e, RC_TOO_LARGE,
			"the %s namespace is over %zu bytes",
			namespace_kind_name(kind), text->max);
	if (!ns || buf_rc(text) != RC_OK)
		return err_nomem(e);
	ns->exclusive = true;
	ns->regex = arena_strdup(&r->arena, buf_str(text));
	if (!ns->regex)
		return err_nomem(e);
	r->ns[kind].items = ns;
	r->ns[kind].n = 1;
	return namespace_compile(ns, e);
}

static enum rc make_namespaces(struct registration *r,
	const struct registration_want *w, struct err *e)
{
	struct buf text;
	enum rc rc = RC_OK;

	buf_init(&text, LIMIT_REGISTRATION_FILE);
	if (w->prefix)
		prefix_pattern(&text, w->prefix, w->server_name);
	else if (w->n_users)
		rc = list_pattern(
			&text, '@', w->users, w->n_users, w->server_name, e);
	if (rc == RC_OK && (w->prefix || w->n_users))
		rc = set_pattern(r, NS_USERS, &text, e);
	buf_clear(&text);
	if (rc == RC_OK && w->n_aliases) {
		rc = list_pattern(&text, '#', w->aliases, w->n_aliases,
			w->server_name, e);
		if (rc == RC_OK)
			rc = set_pattern(r, NS_ALIASES, &text, e);
	}
	buf_free(&text);
	return rc;
}

enum rc registration_make(const struct registration_want *w,
	struct registration *ret, struct err *e)
{
	struct registration r = { 0 };
	enum rc rc = check_want(w, e);

	if (rc != RC_OK)
		return rc;
	r.id = arena_strdup(&r.arena, w->id);
	r.url = w->url ? registration_url_copy(&r.arena, w->url) : NULL;
	r.sender_localpart = arena_strdup(&r.arena, w->sender_localpart);
	if (!arena_ok(&r.arena))
		rc = err_nomem(e);
	if (rc == RC_OK)
		rc = make_namespaces(&r, w, e);
	if (rc == RC_OK &&
		(secret_random_hex(&r.as_token, TOKEN_BYTES) != RC_OK ||
			secret_random_hex(&r.hs_token, TOKEN_BYTES) != RC_OK))
		rc = err_set(e, RC_IO,
			"the system's random number generator gave nothing");
	if (rc != RC_OK) {
		registration_free(&r);
		return rc;
	}
	*ret = r;
	return RC_OK;
}

void registration_free(struct registration *r)
{
	if (!r)
		return;
	for (int kind = 0; kind < NS_KINDS; kind++)
		for (size_t i = 0; i < r->ns[kind].n; i++)
			namespace_free(&r->ns[kind].items[i]);
	secret_fini(&r->as_token);
	secret_fini(&r->hs_token);
	arena_free(&r->arena);
	*r = (struct registration){ 0 };
}

static bool same_namespaces(const struct registration *a,
	const struct registration *b, enum ns_kind kind)
{
	if (a->ns[kind].n != b->ns[kind].n)
		return false;
	for (size_t i = 0; i < a->ns[kind].n; i++) {
		const struct namespace *x = &a->ns[kind].items[i];
		const struct namespace *y = &b->ns[kind].items[i];

		if (!text_eq(x->regex, y->regex) ||
			x->exclusive != y->exclusive)
			return false;
	}
	return true;
}

bool registration_same(const struct registration *a,
	const struct registration *b, const char **what)
{
	const char *differs = NULL;

	if (!text_eq(a->id, b->id))
		differs = "id";
	else if (!text_eq(a->url, b->url))
		differs = "url";
	else if (!text_eq(a->sender_localpart, b->sender_localpart))
		differs = "sender_localpart";
	else if (a->rate_limited != b->rate_limited)
		differs = "rate_limited";
	else if (!same_namespaces(a, b, NS_USERS))
		differs = "namespaces.users";
	else if (!same_namespaces(a, b, NS_ALIASES))
		differs = "namespaces.aliases";
	else if (!same_namespaces(a, b, NS_ROOMS))
		differs = "namespaces.rooms";
	if (differs && what)
		*what = differs;
	return !differs;
}

enum rc registration_keep_tokens(
	struct registration *r, const struct registration *from)
{
	struct secret as = { 0 }, hs = { 0 };
	enum rc rc = secret_set(
		&as, secret_bytes(&from->as_token), from->as_token.n);

	if (rc == RC_OK)
		rc = secret_set(
			&hs, secret_bytes(&from->hs_token), from->hs_token.n);
	if (rc != RC_OK) {
		secret_fini(&as);
		return rc;
	}
	secret_fini(&r->as_token);
	secret_fini(&r->hs_token);
	r->as_token = as;
	r->hs_token = hs;
	return RC_OK;
}
