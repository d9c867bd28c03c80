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
	const char *base, *path, *method;
	void **compiled; /* one for each route */
};

static bool has_path(const struct asked *a, size_t i)
{
	char regex[2048];

	regex[0] = '\0';
	if (!a->compiled[i])
		to_regex(a->base, intake_routes[i].pattern, regex,
			sizeof(regex));
	return fuzz_matches(&a->compiled[i], regex, a->path);
}

static bool has_method(const struct asked *a, size_t i)
{
	return !strcmp(intake_routes[i].method, a->method) ||
		(!strcmp(a->method, "HEAD") &&
			!strcmp(intake_routes[i].method, "GET"));
}

/* The pattern with the parameters put in is the path. */
static void check_params(const struct asked *a, const struct route_match *m)
{
	const char *at = a->path + strlen(a->base);
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

static void check(const struct asked *a)
{
	struct route_table t = { intake_routes, intake_n_routes, a->base };
	struct buf allow;
	const struct route *want = NULL;
	bool known = false;

	HOLDS(intake_n_routes <= ROUTES);
	for (size_t i = 0; i < intake_n_routes && !want; i++) {
		if (!has_path(a, i))
			continue;
		known = true;
		if (has_method(a, i))
			want = &intake_routes[i];
	}
	struct route_match m = route_find(&t, a->path, a->method);
	HOLDS(m.route == want && m.path_known == known);
	buf_init(&allow, 255);
	route_allow(&t, a->path, &allow);
	HOLDS(buf_rc(&allow) == RC_OK && !allow.n == !known);
	if (known && !want)
		HOLDS(!is_listed(buf_str(&allow), a->method));
	buf_free(&allow);
	if (!want)
		return;
	check_params(a, &m);
	for (size_t i = 0; i < m.n; i++)
		check_param(m.params[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void *compiled[2][ROUTES];
	char *text = fuzz_text(p, n);
	struct asked a = { "", strchr(text, ' '), text, compiled[0] };

	if (a.path) {
		text[a.path - text] = '\0';
		a.path++;
		check(&a);
		a.base = "/base/path";
		a.compiled = compiled[1];
		check(&a);
	}
	free(text);
	return 0;
}
