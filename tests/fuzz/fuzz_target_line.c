/*
 * The target of a request: which route it has, and its parameters. The input
 * is the method, a space, and the target.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/http_server_priv.h"
#include "appservice/intake/intake.h"

#include "base/poison.h"

#define ROUTES 64

/* What needs no token, beside something that does. */
static const struct route open_routes[] = {
	{ .method = "GET", .pattern = "/health" },
	{ .method = "POST", .pattern = "/health", .flags = ROUTE_HS_TOKEN },
	{ .method = "GET", .pattern = "/o/{a}/{b*}" },
	{ .method = "HEAD", .pattern = "/head" },
};
static const char *const methods[] = { "GET", "HEAD", "PUT", "POST", "DELETE" };

/* A pattern as a regular expression. */
static void to_regex(const char *base, const char *pattern, char *out, size_t n)
{
	size_t at = (size_t)snprintf(out, n, "^%s", base);

	while (*pattern) {
		HOLDS(at + 8 < n);
		if (*pattern != '{') {
			at += (size_t)snprintf(
				out + at, n - at, "[%c]", *pattern++);
			continue;
		}
		const char *end = strchr(pattern, '}');
		at += (size_t)snprintf(out + at, n - at, "%s",
			end[-1] == '*' ? ".+" : "[^/]+");
		pattern = end + 1;
	}
	out[at] = '$';
	out[at + 1] = '\0';
}

struct asked {
	struct route_table table;
	const char *path, *method;
	void **compiled; /* one for each route */
};

static bool has_path(const struct asked *a, size_t i)
{
	const struct route *r = &a->table.routes[i];
	char regex[2048];

	if (a->table.no_legacy && r->flags & ROUTE_LEGACY)
		return false;
	regex[0] = '\0';
	if (!a->compiled[i])
		to_regex(a->table.base_path, r->pattern, regex, sizeof(regex));
	return fuzz_matches(&a->compiled[i], regex, a->path);
}

/* Of what anybody can read there is a HEAD. */
static bool has_method(const struct asked *a, size_t i)
{
	const struct route *r = &a->table.routes[i];

	if (!strcmp(a->method, "HEAD") && !strcmp(r->method, "GET"))
		return !(r->flags & ROUTE_HS_TOKEN);
	return !strcmp(r->method, a->method);
}

/* The pattern with the parameters put in is the path. */
static void check_params(const struct asked *a, const struct route_match *m)
{
	const char *at = a->path + strlen(a->table.base_path);
	const char *want = m->route->pattern;
	size_t n = 0;

	while (*want) {
		if (*want != '{') {
			HOLDS(*at++ == *want++);
			continue;
		}
		HOLDS(n < m->n && m->params[n].p == at && m->params[n].n > 0);
		at += m->params[n++].n;
		want = strchr(want, '}') + 1;
	}
	HOLDS(!*at && n == m->n);
}

static void check_param(struct str param)
{
	struct arena a = { 0 };

	const char *text = percent_decode(&a, param);
	if (text) {
		HOLDS(strlen(text) <= param.n && *text);
		HOLDS(utf8_valid(text, strlen(text), NULL));
	}
	arena_free(&a);
}

static bool is_listed(const char *list, const char *word)
{
	struct str rest = str_of(list);

	while (rest.n) {
		struct str one = str_cut(&rest, ',', NULL);
		while (one.n && *one.p == ' ')
			one = (struct str){ one.p + 1, one.n - 1 };
		if (str_eq(one, word))
			return true;
	}
	return false;
}

/* What a client is told is what there is. */
static void check_allow(const struct asked *a, bool known)
{
	struct asked other = *a;
	struct buf allow;

	buf_init(&allow, 255);
	route_allow(&a->table, a->path, &allow);
	HOLDS(buf_rc(&allow) == RC_OK && !allow.n == !known);
	for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
		bool has = false;
		other.method = methods[m];
		for (size_t i = 0; i < a->table.n; i++)
			has |= has_path(&other, i) && has_method(&other, i);
		HOLDS(is_listed(buf_str(&allow), methods[m]) == has);
	}
	buf_free(&allow);
}

static void check(const struct asked *a)
{
	const struct route *want = NULL;
	bool known = false;

	HOLDS(a->table.n <= ROUTES);
	for (size_t i = 0; i < a->table.n && !want; i++) {
		if (!has_path(a, i))
			continue;
		known = true;
		if (has_method(a, i))
			want = &a->table.routes[i];
	}
	struct route_match m = route_find(&a->table, a->path, a->method);
	HOLDS(m.route == want && m.path_known == known);
	check_allow(a, known);
	if (!want)
		return;
	check_params(a, &m);
	for (size_t i = 0; i < m.n; i++)
		check_param(m.params[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct route_table tables[] = {
		{ open_routes, ARRAY_LEN(open_routes), "", false },
		{ intake_routes, 0, "", false },
		{ intake_routes, 0, "/base/path", true },
	};
	static void *compiled[ARRAY_LEN(tables)][ROUTES];
	char *text = fuzz_text(p, n);
	char *space = strchr(text, ' ');
	struct asked a = { .method = text };

	for (size_t i = 0; space && i < ARRAY_LEN(tables); i++) {
		*space = '\0';
		a.path = space + 1;
		a.table = tables[i];
		if (a.table.routes == intake_routes)
			a.table.n = intake_n_routes;
		a.compiled = compiled[i];
		check(&a);
	}
	free(text);
	return 0;
}
