/*
 * Which route a path has. Paths are matched as they were sent and decoded
 * afterwards, segment by segment: decoded first, an alias with %2F in it would
 * be two segments.
 */
#include <string.h>
#include <strings.h>

#include "appservice/http_server_priv.h"
#include "base/poison.h"

static bool is_param(struct str segment)
{
	return segment.n > 2 && segment.p[0] == '{';
}

static bool takes_rest(struct str segment)
{
	return is_param(segment) && segment.p[segment.n - 2] == '*';
}

static bool same(struct str a, struct str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* Matches a path against one pattern, filling in the parameters. */
static bool path_matches(
	const char *pattern, struct str path, struct route_match *m)
{
	struct str want = str_of(pattern);
	bool more_want = true, more_path = true;

	m->n = 0;
	while (more_want && more_path) {
		struct str segment = str_cut(&want, '/', &more_want);
		struct str whole = path;
		struct str got = str_cut(&path, '/', &more_path);

		if (takes_rest(segment)) {
			got = whole;
			more_path = false;
		}
		if (!is_param(segment)) {
			if (!same(segment, got))
				return false;
			continue;
		}
		if (!got.n || m->n == ROUTE_PARAMS)
			return false;
		m->params[m->n++] = got;
	}
	return more_want == more_path;
}

static bool row_matches(const struct route_table *t, const struct route *r,
	struct str path, struct route_match *m)
{
	return !(t->no_legacy && r->flags & ROUTE_LEGACY) &&
		path_matches(r->pattern, path, m);
}

/* What anybody can read can be asked about: the body is left out when it is
 * sent. Matrix knows no HEAD, AS-21. */
static bool answers_head(const struct route *r)
{
	return text_eq(r->method, "GET") && !(r->flags & ROUTE_HS_TOKEN);
}

/* The path less the prefix; false when it does not have it. */
static bool cut_base(const struct route_table *t, struct str *path)
{
	size_t n = strlen(t->base_path);

	if (!str_starts(*path, t->base_path))
		return false;
	path->p += n;
	path->n -= n;
	return true;
}

struct route_match route_find(
	const struct route_table *t, const char *path, const char *method)
{
	struct route_match m = { 0 };
	struct str rest = str_of(path);

	if (!cut_base(t, &rest))
		return m;
	for (size_t i = 0; i < t->n; i++) {
		const struct route *r = &t->routes[i];

		if (!row_matches(t, r, rest, &m))
			continue;
		m.path_known = true;
		if (text_eq(r->method, method) ||
			(answers_head(r) && text_eq(method, "HEAD"))) {
			m.route = r;
			return m;
		}
	}
	return m;
}

void route_allow(const struct route_table *t, const char *path, struct buf *out)
{
	struct route_match m;
	struct str rest = str_of(path);

	if (!cut_base(t, &rest))
		return;
	for (size_t i = 0; i < t->n; i++) {
		const struct route *r = &t->routes[i];

		if (!row_matches(t, r, rest, &m))
			continue;
		if (out->n)
			buf_add(out, ", ");
		buf_add(out, r->method);
		if (answers_head(r))
			buf_add(out, ", HEAD");
	}
}

static bool skip_nocase(struct str *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s->n < n || strncasecmp(s->p, prefix, n) != 0)
		return false;
	s->p += n;
	s->n -= n;
	return true;
}

struct str origin_form(struct str target)
{
	struct str none = { "", 0 };

	if (!skip_nocase(&target, "http://") &&
		!skip_nocase(&target, "https://"))
		return none;
	size_t n = 0;
	while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
		n++;
	if (!n)
		return none;
	if (n == target.n || target.p[n] == '?')
		return str_of("/");
	return (struct str){ target.p + n, target.n - n };
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

char *percent_decode(struct arena *a, struct str s)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			out[n++] = s.p[i];
			continue;
		}
		if (s.n - i < 3)
			return NULL;
		int high = hex_value(s.p[i + 1]), low = hex_value(s.p[i + 2]);
		if (high < 0 || low < 0 || (!high && !low))
			return NULL;
		out[n++] = (char)(high << 4 | low);
		i += 2;
	}
	return utf8_valid(out, n, NULL) ? out : NULL;
}
