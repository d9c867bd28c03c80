/*
 * base/json_scan.c: a scanner of JSON text. It decides what is JSON (json-c
 * takes single quotes, NaN, raw control characters and broken UTF-8, and cuts
 * a key at its \u0000), says where the text is wrong, and finds the place of a
 * value by its path.
 */
#include "base/json_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

struct scan {
	const char *p;
	size_t n;
	size_t i; /* where we are; after a failure, what is wrong */
	int depth;
	size_t values;
	const char *problem;  /* a whole sentence, or */
	const char *expected; /* what should have been found */
	/* The deepest value on the path looked for. */
	const char *path;
	size_t place;
	size_t reached; /* bytes of the path that led to it */
};

static bool scan_value(struct scan *s, const char *path);

static bool expected(struct scan *s, const char *what)
{
	s->expected = what;
	return false;
}

static bool problem(struct scan *s, const char *what)
{
	s->problem = what;
	return false;
}

/* The byte we are at; -1 at the end. */
static int peek(const struct scan *s)
{
	return s->i < s->n ? (unsigned char)s->p[s->i] : -1;
}

static void skip_space(struct scan *s)
{
	while (s->i < s->n && s->p[s->i] != '\0' &&
		strchr(" \t\r\n", s->p[s->i]))
		s->i++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a backslash. */
static bool scan_escape(struct scan *s)
{
	size_t left = s->n - s->i;
	const char *at = s->p + s->i;

	if (left >= 2 && at[1] != '\0' && strchr("\"\\/bfnrt", at[1])) {
		s->i += 2;
		return true;
	}
	if (left < 2 || at[1] != 'u')
		return problem(s, "an escape that JSON does not have");
	for (size_t k = 2; k < 6; k++)
		if (k >= left || !is_hex((unsigned char)at[k]))
			return problem(s, "\\u without four hex digits");
	if (memcmp(at + 2, "0000", 4) == 0)
		return problem(s, "\\u0000, which is refused");
	s->i += 6;
	return true;
}

/* At the opening quote. */
static bool scan_string(struct scan *s)
{
	size_t start = s->i++;

	for (;;) {
		int c = peek(s);
		if (c < 0) {
			s->i = start;
			return problem(s, "a string that does not end");
		}
		if (c == '"') {
			s->i++;
			return true;
		}
		if (c == '\\') {
			if (!scan_escape(s))
				return false;
		} else if (c < 0x20) {
			return problem(s, "a control character in a string");
		} else if (c < 0x80) {
			s->i++;
		} else {
			uint32_t cp;
			size_t len = utf8_next(s->p + s->i, s->n - s->i, &cp);
			if (len == 0)
				return problem(s, "text that is not UTF-8");
			s->i += len;
		}
	}
}

static bool scan_digits(struct scan *s)
{
	if (!is_digit(peek(s)))
		return expected(s, "a digit");
	while (is_digit(peek(s)))
		s->i++;
	return true;
}

static bool scan_number(struct scan *s)
{
	if (peek(s) == '-')
		s->i++;
	if (peek(s) == '0') {
		s->i++;
		if (is_digit(peek(s)))
			return problem(s, "a number that starts with 0");
	} else if (!scan_digits(s)) {
		return false;
	}
	if (peek(s) == '.') {
		s->i++;
		if (!scan_digits(s))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->i++;
		if (peek(s) == '+' || peek(s) == '-')
			s->i++;
		return scan_digits(s);
	}
	return true;
}

static bool scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t k = 0; k < ARRAY_LEN(words); k++) {
		size_t len = strlen(words[k]);
		if (s->n - s->i >= len &&
			memcmp(s->p + s->i, words[k], len) == 0) {
			s->i += len;
			return true;
		}
	}
	return expected(s, "a value");
}

/* What is left of the path behind this key; NULL when it is not on it. */
static const char *path_key(const char *path, const char *key, size_t n)
{
	if (!path || !*path || strncmp(path, key, n) != 0)
		return NULL;
	path += n;
	if (*path == '.')
		return path + 1;
	return *path == '[' || *path == '\0' ? path : NULL;
}

/* The same for an index, "[3]". */
static const char *path_index(const char *path, size_t index)
{
	char text[32];

	if (!path || *path != '[')
		return NULL;
	snprintf(text, sizeof(text), "[%zu]", index);
	size_t n = strlen(text);
	if (strncmp(path, text, n) != 0)
		return NULL;
	path += n;
	return *path == '.' ? path + 1 : path;
}

static bool scan_member(struct scan *s, const char *path)
{
	if (peek(s) != '"')
		return expected(s, "a key in double quotes");
	size_t start = s->i + 1;
	if (!scan_string(s))
		return false;
	const char *rest = path_key(path, s->p + start, s->i - 1 - start);
	skip_space(s);
	if (peek(s) != ':')
		return expected(s, "':' after a key");
	s->i++;
	skip_space(s);
	return scan_value(s, rest);
}

/* At '{' or '['. */
static bool scan_container(struct scan *s, const char *path)
{
	bool object = peek(s) == '{';
	int close = object ? '}' : ']';
	size_t count = 0;

	if (++s->depth > LIMIT_JSON_DEPTH)
		return problem(s, "too many levels of nesting");
	s->i++;
	skip_space(s);
	while (count > 0 || peek(s) != close) {
		bool ok = object ? scan_member(s, path)
				 : scan_value(s, path_index(path, count));
		if (!ok)
			return false;
		count++;
		skip_space(s);
		if (peek(s) == close)
			break;
		if (peek(s) != ',')
			return expected(
				s, object ? "',' or '}'" : "',' or ']'");
		s->i++;
		skip_space(s);
	}
	s->i++;
	s->depth--;
	return true;
}

/* At a value; path is what is left of the path looked for, NULL off it. */
static bool scan_value(struct scan *s, const char *path)
{
	if (++s->values > LIMIT_JSON_VALUES)
		return problem(s, "more values than are read at once");
	/* As deep as the last: of two equal keys, the last one counts. */
	if (path && (size_t)(path - s->path) >= s->reached) {
		s->reached = (size_t)(path - s->path);
		s->place = s->i;
	}
	int c = peek(s);
	if (c == '{' || c == '[')
		return scan_container(s, path);
	if (c == '"')
		return scan_string(s);
	if (c == '-' || is_digit(c))
		return scan_number(s);
	return scan_word(s);
}

static bool scan_text(struct scan *s, size_t *end)
{
	skip_space(s);
	if (!scan_value(s, s->path))
		return false;
	*end = s->i;
	skip_space(s);
	return s->i == s->n || expected(s, "the end of the text");
}

/* What stands where the text is wrong, for a person. */
static void describe(const struct scan *s, char *out, size_t room)
{
	uint32_t cp;
	int c = peek(s);
	size_t len = c < 0 ? 0 : utf8_next(s->p + s->i, s->n - s->i, &cp);

	if (c < 0)
		snprintf(out, room, "the end of the text");
	else if (len == 0)
		snprintf(out, room, "text that is not UTF-8");
	else if (cp == 0xFEFF)
		snprintf(out, room, "a byte order mark");
	else if (c < 0x20 || c == 0x7F)
		snprintf(
			out, room, "the control character 0x%02x", (unsigned)c);
	else
		snprintf(out, room, "'%.*s'", (int)len, s->p + s->i);
}

enum rc json_check(
	const char *p, size_t n, const char *where, size_t *end, struct err *e)
{
	struct scan s = { .p = p, .n = n };
	char found[48];
	int line, column;

	if (scan_text(&s, end))
		return RC_OK;
	text_place(p, s.i, &line, &column);
	const char *colon = where ? ":" : "";
	if (!where)
		where = "";
	if (s.problem)
		return err_set(e, RC_INVALID, "%s%s%d:%d: found %s", where,
			colon, line, column, s.problem);
	describe(&s, found, sizeof(found));
	return err_set(e, RC_INVALID, "%s%s%d:%d: found %s, expected %s", where,
		colon, line, column, found, s.expected);
}

bool json_locate(
	const char *p, size_t n, const char *path, int *line, int *column)
{
	struct scan s = { .p = p, .n = n, .path = path };
	size_t end;
	bool valid = scan_text(&s, &end);

	text_place(p, s.place, line, column);
	return valid && s.reached == strlen(path);
}
