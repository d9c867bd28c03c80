/*
 * The first bytes of a connection: whether they are the whole head of one
 * request, and a plain one. However they come in pieces, the verdict is that
 * of all of them, and what is plain is told by other means.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appservice/http_server_priv.h"

#include "base/poison.h"

#define TOKEN "[0-9A-Za-z!#$%&'*+.^_`|~-]+"
#define TARGET "(/[^ #]*|[*]|[Hh][Tt][Tt][Pp][Ss]?://[^/?# ][^ #]*)"

/* What was found of a head, line by line. */
struct seen {
	size_t lines, hosts;
	bool http_1_1, wrong, huge_length, other_version;
};

static bool has_control(struct str line)
{
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < ' ' && line.p[i] != '\t')
			return true;
	return false;
}

static void see_first(struct seen *s, const char *line)
{
	size_t n = strlen(line);

	s->http_1_1 = text_ends(line, " HTTP/1.1");
	s->other_version = !s->http_1_1 && !text_ends(line, " HTTP/1.0");
	s->wrong = strchr(line, '\t') || n < 9 ||
		!MATCHES(TOKEN " " TARGET " HTTP/[0-9][.][0-9]", line);
}

static void see_length(struct seen *s, const char *value)
{
	s->wrong |= !MATCHES("[ \t]*[0-9]+", value);
	s->huge_length = MATCHES("[ \t]*0*[1-9][0-9]{19,}", value);
}

static void see_field(struct seen *s, const char *line)
{
	const char *colon = strchr(line, ':');

	if (!MATCHES(TOKEN ":.*", line)) {
		s->wrong = true;
		return;
	}
	s->hosts += !strncasecmp(line, "host:", 5);
	if (!strncasecmp(line, "content-length:", 15))
		see_length(s, colon + 1);
}

/* What is told of a whole line; 0: nothing yet. */
static int see_line(struct seen *s, struct str line)
{
	char *text = fuzz_text((const uint8_t *)line.p, line.n);

	/* That one is refused when its line is whole. */
	s->wrong = has_control(line) || memchr(line.p, 0x7f, line.n);
	if (s->wrong)
		;
	else if (!s->lines)
		see_first(s, text);
	else
		see_field(s, text);
	s->lines++;
	free(text);
	if (s->wrong)
		return 400;
	if (s->lines == 1 && s->other_version)
		return 505;
	return s->huge_length ? 413 : 0;
}

/* The verdict, as far as lines and their number decide it. */
static int expect(const char *p, size_t n)
{
	struct str rest = { p, n };
	struct seen s = { 0 };

	while (rest.n) {
		const char *end = memchr(rest.p, '\n', rest.n);
		size_t length = end ? (size_t)(end - rest.p) : rest.n;
		struct str line = { rest.p, length };
		bool cr = length && line.p[length - 1] == '\r';
		line.n -= cr;
		if (!end)
			return has_control(line) ? 400 : 0;
		if (!cr)
			return 400;
		rest = (struct str){ end + 1, rest.n - length - 1 };
		if (s.lines && !line.n)
			return s.hosts > 1 || (s.http_1_1 && !s.hosts) ? 400
								       : 200;
		int status = see_line(&s, line);
		if (status)
			return status;
	}
	return 0;
}

/* There are so many things in it that it may be too costly. */
static bool may_cost(const char *p, size_t n)
{
	size_t things = 2;

	for (size_t i = 0; i < n; i++)
		things += p[i] != '\0' && strchr("&;,\n", p[i]);
	return 2 * n + 80 * 2 * things > HEAD_MAX + 10 * KIB;
}

static void check_pieces(const char *p, size_t n, int whole)
{
	struct gate g = { 0 };
	size_t step = n % 5 + 1, at = 0;
	int status = 0;

	while (!status && at < n) {
		at += step < n - at ? step : n - at;
		status = gate_check(&g, p, at);
	}
	HOLDS(status == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *text = (const char *)p;
	struct gate g = { 0 };

	if (n >= HEAD_MAX)
		return 0;
	int status = gate_check(&g, text, n);
	HOLDS(g.seen <= n);
	check_pieces(text, n, status);
	int want = expect(text, n);
	if (status == 431)
		HOLDS(want == 200 && may_cost(text, n));
	else
		HOLDS(status == want);
	return 0;
}
