/*
 * registration/namespace.c: the patterns of a registration (PCRE2's home).
 *
 * A pattern that is nothing but a list of names, `^@(a\.b|c):server$`, is what
 * a fleet of declared names has. It is taken apart into a sorted list: a
 * search in it takes the same time for ten names as for ten thousand, while
 * PCRE2 tries one alternative after the other and refuses compiled patterns
 * over 64 KiB. Everything else is PCRE2's.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "matrix/id.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* (a+)+$ and its like stop here, after a millisecond. */
#define MATCH_LIMIT 100000

/* What POSIX gives a meaning outside brackets; the others agree. */
#define META ".^$*+?()[{|\\"

struct program {
	pcre2_code *code; /* NULL: a list */
	pcre2_match_context *limits;
	struct arena arena; /* of the list */
	struct str prefix, suffix;
	struct str *names; /* sorted */
	size_t n;
};

const char *namespace_kind_name(enum ns_kind kind)
{
	static const char *const names[NS_KINDS] = {
		[NS_USERS] = "users",
		[NS_ALIASES] = "aliases",
		[NS_ROOMS] = "rooms",
	};

	return names[kind];
}

void namespace_escape(struct buf *out, const char *literal)
{
	for (const char *p = literal; *p; p++) {
		if (strchr(META, *p))
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z');
}

/*
 * Copies what stands for itself to *w, up to an operator or the end, and
 * returns where it stopped; NULL at an escape that is no plain character.
 */
static const char *take_literal(const char *p, char **w, struct str *ret)
{
	char *start = *w;

	for (; *p; p++) {
		if (*p == '\\') {
			p++;
			if (!*p || is_alnum(*p))
				return NULL;
		} else if (strchr(META, *p)) {
			break;
		}
		*(*w)++ = *p;
	}
	*ret = (struct str){ .p = start, .n = (size_t)(*w - start) };
	return p;
}

static int str_order(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int d = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return d ? d : (x->n > y->n) - (x->n < y->n);
}

/*
 * Takes `^prefix(name|name)suffix$` apart. False when the pattern is anything
 * else, which includes running out of memory: PCRE2 is asked then.
 */
static bool list_parse(struct program *g, const char *regex)
{
	char *w = arena_alloc(&g->arena, strlen(regex) + 1);
	size_t cap = 0;
	const char *p;

	if (!w || *regex != '^')
		return false;
	p = take_literal(regex + 1, &w, &g->prefix);
	if (!p || *p != '(')
		return false;
	do {
		struct str *name = arena_push(
			&g->arena, &g->names, &g->n, &cap, sizeof(*name));

		if (!name)
			return false;
		p = take_literal(p + 1, &w, name);
	} while (p && *p == '|');
	if (!p || *p != ')')
		return false;
	p = take_literal(p + 1, &w, &g->suffix);
	if (!p || !text_eq(p, "$"))
		return false;
	qsort(g->names, g->n, sizeof(g->names[0]), str_order);
	return true;
}

static bool list_has(const struct program *g, const char *id)
{
	struct str name = str_of(id);
	size_t ends = g->prefix.n + g->suffix.n;

	if (name.n < ends || memcmp(id, g->prefix.p, g->prefix.n) != 0 ||
		memcmp(id + name.n - g->suffix.n, g->suffix.p, g->suffix.n) !=
			0)
		return false;
	name.p += g->prefix.n;
	name.n -= ends;
	return bsearch(&name, g->names, g->n, sizeof(name), str_order) != NULL;
}

static void program_free(struct program *g)
{
	if (!g)
		return;
	pcre2_code_free(g->code);
	pcre2_match_context_free(g->limits);
	arena_free(&g->arena);
	free(g);
}

static enum rc pcre_compile(struct program *g, const char *regex, struct err *e)
{
	int error = 0;
	PCRE2_SIZE at = 0;
	PCRE2_UCHAR text[160] = { 0 };

	g->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
		&error, &at, NULL);
	if (!g->code && error == PCRE2_ERROR_NOMEMORY)
		return err_nomem(e);
	if (!g->code) {
		pcre2_get_error_message(error, text, sizeof(text));
		return err_set(e, RC_INVALID,
			"the pattern does not compile: %s, after %zu bytes",
			(const char *)text, (size_t)at);
	}
	g->limits = pcre2_match_context_create(NULL);
	if (!g->limits)
		return err_nomem(e);
	pcre2_set_match_limit(g->limits, MATCH_LIMIT);
	return RC_OK;
}

enum rc namespace_compile(struct namespace *ns, struct err *e)
{
	struct program *g = calloc(1, sizeof(*g));
	enum rc rc = RC_OK;

	if (!g)
		return err_nomem(e);
	if (!list_parse(g, ns->regex)) {
		arena_free(&g->arena);
		rc = pcre_compile(g, ns->regex, e);
	}
	if (rc != RC_OK) {
		program_free(g);
		return rc;
	}
	namespace_free(ns);
	ns->compiled = g;
	return RC_OK;
}

void namespace_free(struct namespace *ns)
{
	program_free(ns->compiled);
	ns->compiled = NULL;
}

/* Passing the limit, like text that is no UTF-8, is no match. */
static bool pcre_matches(const struct program *g, const char *id, bool whole)
{
	uint32_t how = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int n = -1;

	if (data)
		n = pcre2_match(g->code, (PCRE2_SPTR)id, strlen(id), 0, how,
			data, g->limits);
	pcre2_match_data_free(data);
	return n >= 0;
}

static bool any_matches(const struct registration *r, enum ns_kind kind,
	const char *id, bool whole)
{
	for (size_t i = 0; i < r->ns[kind].n; i++) {
		const struct program *g = r->ns[kind].items[i].compiled;

		if (!g)
			continue;
		if (g->code ? pcre_matches(g, id, whole) : list_has(g, id))
			return true;
	}
	return false;
}

bool registration_matches(
	const struct registration *r, enum ns_kind kind, const char *id)
{
	return any_matches(r, kind, id, false);
}

bool registration_owns(const struct registration *r, const char *server_name,
	const char *user_id)
{
	struct str localpart, server;

	if (!id_split(user_id, '@', &localpart, &server) ||
		!str_eq(server, server_name))
		return false;
	return str_eq(localpart, r->sender_localpart) ||
		any_matches(r, NS_USERS, user_id, true);
}

/* The last character of the class that begins at p. */
static const char *end_of_class(const char *p)
{
	/* ^ and ] stand for themselves at its start */
	p += p[1] == '^';
	p += p[1] == ']';
	while (p[1] && p[1] != ']')
		p++;
	return p + (p[1] == ']');
}

struct namespace_traits namespace_look(const char *regex)
{
	struct namespace_traits t = { .anchored = *regex == '^',
		.portable = true };
	int depth = 0;
	bool end = false; /* what we saw last is a $ of the outermost level */

	for (const char *p = regex; *p; p++) {
		end = *p == '$' && depth == 0;
		if (*p == '\\' && p[1]) {
			t.portable = t.portable && !is_alnum(*++p);
		} else if (*p == '[') {
			p = end_of_class(p);
		} else if (*p == '(') {
			depth++;
			t.portable = t.portable && p[1] != '?';
		} else if (*p == ')') {
			depth--;
		} else if (*p == '|' && depth == 0) {
			t.anchored = false;
		}
	}
	t.anchored = t.anchored && end;
	return t;
}
