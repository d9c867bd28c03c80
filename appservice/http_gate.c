/*
 * Whether bytes are the whole head of one request, so plain that nobody can
 * read it in two ways. The HTTP library takes bare line feeds, folded headers
 * and spaces where none belong, and says in HTML what it does not take; so it
 * is not shown a connection before this has passed.
 */
#include <string.h>
#include <strings.h>

#include "appservice/http_server_priv.h"
#include "base/poison.h"

/* What the library makes of a head: a record for each field, query parameter
 * and cookie (72 bytes), and the cookies a second time. It has to fit into a
 * connection's memory together with the head and the answer's. */
#define RECORD 80
#define COST_MAX (HEAD_MAX + 10 * KIB)

/* Cuts a token off that this character follows. */
static bool cut_token(struct str *rest, char after, struct str *token)
{
	size_t n = 0;

	while (n < rest->n && is_token(rest->p[n]))
		n++;
	if (!n || n == rest->n || rest->p[n] != after)
		return false;
	*token = (struct str){ rest->p, n };
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1": 200, and whether it is that one; 505 for other numbers. */
static int check_version(struct str v, bool *http_1_1)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !is_digit(v.p[5]) ||
		v.p[6] != '.' || !is_digit(v.p[7]))
		return 400;
	*http_1_1 = v.p[7] == '1';
	return v.p[5] == '1' && v.p[7] <= '1' ? 200 : 505;
}

/* A path, a path with a server before it, or the `*` of OPTIONS. */
static bool target_ok(struct str target)
{
	for (size_t i = 0; i < target.n; i++)
		if (target.p[i] == '#' || target.p[i] == '\t' ||
			target.p[i] == 0x7f)
			return false;
	return target.n &&
		(target.p[0] == '/' || str_eq(target, "*") ||
			origin_form(target).n);
}

/* The request line, without its end. */
static int check_line(struct str line, struct gate *g)
{
	struct str method, target;
	bool found;

	if (!cut_token(&line, ' ', &method))
		return 400;
	target = str_cut(&line, ' ', &found);
	if (!found || !target_ok(target))
		return 400;
	if (memchr(target.p, '?', target.n))
		g->cost += RECORD;
	for (size_t i = 0; i < target.n; i++)
		if (target.p[i] == '&')
			g->cost += RECORD;
	return check_version(line, &g->http_1_1);
}

static bool is_name(struct str name, const char *want)
{
	return name.n == strlen(want) && !strncasecmp(name.p, want, name.n);
}

/* Digits; 413 for a number that is beyond counting. */
static int check_length(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!is_digit(value.p[i]))
			return 400;
	if (!value.n)
		return 400;
	while (value.n && value.p[0] == '0') {
		value.p++;
		value.n--;
	}
	return value.n > 19 ? 413 : 200;
}

static void count_cookies(struct gate *g, struct str value)
{
	g->cost += value.n + RECORD;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == ';' || value.p[i] == ',')
			g->cost += RECORD;
}

/* A header line, without its end. */
static int check_field(struct str line, struct gate *g)
{
	struct str name;

	if (!cut_token(&line, ':', &name) || memchr(line.p, 0x7f, line.n))
		return 400;
	while (line.n && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.n--;
	}
	g->cost += RECORD;
	if (is_name(name, "host"))
		g->hosts++;
	else if (is_name(name, "cookie"))
		count_cookies(g, line);
	else if (is_name(name, "content-length"))
		return check_length(line);
	return 200;
}

/* At the empty line. */
static int check_all(const struct gate *g)
{
	if (g->hosts > 1 || (!g->hosts && g->http_1_1))
		return 400;
	return g->seen + g->cost > COST_MAX ? 431 : 200;
}

/* A whole line, without its end; 0: more must come. */
static int check_next(struct str line, struct gate *g)
{
	int status;

	if (g->lines && !line.n)
		return check_all(g);
	status = g->lines ? check_field(line, g) : check_line(line, g);
	g->lines++;
	return status == 200 ? 0 : status;
}

int gate_check(struct gate *g, const char *p, size_t n)
{
	int status = 0;

	if (n > HEAD_MAX)
		n = HEAD_MAX;
	while (g->seen < n && !status) {
		size_t i = g->seen++;
		bool after_cr = i > g->begun && p[i - 1] == '\r';

		if (p[i] != '\n') {
			/* Bytes of UTF-8 are allowed, as ever they are signed. */
			unsigned char c = (unsigned char)p[i];
			if (after_cr || (c < ' ' && c != '\t' && c != '\r'))
				return 400;
			continue;
		}
		if (!after_cr)
			return 400;
		status = check_next(
			(struct str){ p + g->begun, i - 1 - g->begun }, g);
		g->begun = g->seen;
	}
	if (!status && n == HEAD_MAX)
		return g->lines ? 431 : 414;
	return status;
}
