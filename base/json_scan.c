/*
 * base/json_scan.c: the scanner of JSON text. It decides what is JSON, says
 * where a text is wrong, and finds the place of a value by its path. It stands
 * in for json-c's tokener, which takes single quotes, NaN, raw control
 * characters and broken UTF-8, cuts a key at its \u0000, and crashes when
 * memory is short.
 */
#include "base/json_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* A limit's number as text. */
#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

struct scan {
	const char *p;
	size_t n;
	size_t i; /* where we are; after a failure, what is wrong */
	int depth;
	size_t values;
	/* After a failure; neither: out of memory. */
	const char *problem;  /* what was found; NULL: what stands there */
	const char *expected; /* what should have been; NULL: who knows */
	json_take *take;      /* NULL: only the place is wanted */
	void *arg;
	bool loose; /* NUL and any number of values are JSON as well, */
	bool deep;  /* and so is what nests deeper than we follow */
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

static bool problem(struct scan *s, const char *what, const char *want)
{
	s->problem = what;
	s->expected = want;
	return false;
}

/* Hands over the token between two places. */
static bool token(struct scan *s, enum json_token t, size_t start, size_t end)
{
	return !s->take || s->take(s->arg, t, s->p + start, end - start);
}

/* The byte we are at; -1 at the end. */
static int peek(const struct scan *s)
{
	return s->i < s->n ? (unsigned char)s->p[s->i] : -1;
}

static bool is_space(int c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_space(struct scan *s)
{
	while (is_space(peek(s)))
		s->i++;
}

/* What stands in a string for itself, and is one byte. */
static bool is_plain(int c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
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
		return problem(s, "an escape that JSON does not have",
			"one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
	for (size_t k = 2; k < 6; k++)
		if (k >= left || !is_hex((unsigned char)at[k]))
			return problem(s, "\\u without four hex digits",
				"four of them, as in \\u00e9");
	if (!s->loose && memcmp(at + 2, "0000", 4) == 0)
		return problem(s, "\\u0000", "text without a NUL");
	s->i += 6;
	return true;
}

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The high bits of those of eight bytes that are 0; above the first of them
 * others may be set. */
static uint64_t zeros(uint64_t eight)
{
	return (eight - EIGHT(1)) & ~eight & EIGHT(0x80);
}

/* The same of those that are not plain. */
static uint64_t not_plain(uint64_t eight)
{
	return (eight & EIGHT(0x80)) |
		((eight - EIGHT(0x20)) & ~eight & EIGHT(0x80)) |
		zeros(eight ^ EIGHT('"')) | zeros(eight ^ EIGHT('\\'));
}

/* How many bytes stand before the first whose high bit is set. */
static size_t bytes_before(uint64_t bits)
{
	const uint16_t one = 1;
	bool little_endian = *(const unsigned char *)&one == 1;

	return little_endian ? (size_t)__builtin_ctzll(bits) / 8 : 0;
}

/* Most of a text is this: eight bytes at a time. */
static void skip_plain(struct scan *s)
{
	size_t i = s->i;

	while (s->n - i >= sizeof(uint64_t)) {
		uint64_t eight;
		memcpy(&eight, s->p + i, sizeof(eight));
		uint64_t bits = not_plain(eight);
		if (bits) {
			i += bytes_before(bits);
			break;
		}
		i += sizeof(eight);
	}
	while (i < s->n && is_plain((unsigned char)s->p[i]))
		i++;
	s->i = i;
}

/* At the opening quote; t is JSON_KEY or JSON_STRING. */
static bool scan_string(struct scan *s, enum json_token t)
{
	size_t start = s->i++;

	for (;;) {
		skip_plain(s);
		int c = peek(s);
		if (c < 0) {
			s->i = start;
			return problem(s, "a string that does not end",
				"a closing \"");
		}
		if (c == '"') {
			s->i++;
			return token(s, t, start + 1, s->i - 1);
		}
		if (c == '\\') {
			if (!scan_escape(s))
				return false;
		} else if (c == '\n' || c == '\r') {
			return problem(s, "the end of the line in a string",
				"a closing \"");
		} else if (c < 0x20) {
			return problem(s, "a control character in a string",
				"an escape such as \\t");
		} else {
			uint32_t cp;
			size_t len = utf8_next(s->p + s->i, s->n - s->i, &cp);
			if (len == 0)
				return problem(
					s, "text that is not UTF-8", NULL);
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

static bool scan_exponent(struct scan *s)
{
	s->i++;
	if (peek(s) == '+' || peek(s) == '-')
		s->i++;
	return scan_digits(s);
}

static bool scan_number(struct scan *s)
{
	enum json_token t = JSON_INTEGER;
	size_t start = s->i;

	if (peek(s) == '-')
		s->i++;
	if (peek(s) == '0') {
		s->i++;
		if (is_digit(peek(s)))
			return problem(s, "a number that starts with 0",
				"one without leading zeros");
	} else if (!scan_digits(s)) {
		return false;
	}
	if (peek(s) == '.') {
		t = JSON_FRACTION;
		s->i++;
		if (!scan_digits(s))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		t = JSON_FRACTION;
		if (!scan_exponent(s))
			return false;
	}
	return token(s, t, start, s->i);
}

static bool scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t k = 0; k < ARRAY_LEN(words); k++) {
		size_t len = strlen(words[k]);
		if (s->n - s->i >= len &&
			memcmp(s->p + s->i, words[k], len) == 0) {
			s->i += len;
			return token(s, JSON_WORD, s->i - len, s->i);
		}
	}
	return expected(s, "a value");
}

/* What is left of the path behind this key; NULL when it is not on it, as an
 * empty key never is. */
static const char *path_key(const char *path, const char *key, size_t n)
{
	if (!path || n == 0 || strncmp(path, key, n) != 0)
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
	if (!scan_string(s, JSON_KEY))
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

	s->deep = s->depth >= LIMIT_JSON_DEPTH;
	if (++s->depth > LIMIT_JSON_DEPTH)
		return problem(s, "too many levels of nesting",
			"at most " TEXT_OF(LIMIT_JSON_DEPTH));
	s->i++;
	if (!token(s, object ? JSON_OPEN_OBJ : JSON_OPEN_ARR, s->i - 1, s->i))
		return false;
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
	return token(s, JSON_CLOSE, s->i - 1, s->i);
}

/* At a value; path is what is left of the path looked for, NULL off it. */
static bool scan_value(struct scan *s, const char *path)
{
	if (++s->values > LIMIT_JSON_VALUES && !s->loose)
		return problem(s, "more values than are read at once",
			"at most " TEXT_OF(LIMIT_JSON_VALUES));
	/* As deep as the last: of two equal keys, the last one counts. */
	if (path && (size_t)(path - s->path) >= s->reached) {
		s->reached = (size_t)(path - s->path);
		s->place = s->i;
	}
	int c = peek(s);
	if (c == '{' || c == '[')
		return scan_container(s, path);
	if (c == '"')
		return scan_string(s, JSON_STRING);
	if (c == '-' || is_digit(c))
		return scan_number(s);
	return scan_word(s);
}

static bool scan_text(struct scan *s)
{
	skip_space(s);
	if (!scan_value(s, s->path))
		return false;
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
	else if (!utf8_printable(s->p + s->i, len))
		snprintf(out, room, "the control character 0x%02x",
			(unsigned)cp);
	else
		snprintf(out, room, "'%.*s'", (int)len, s->p + s->i);
}

enum rc json_scan(const char *p, size_t n, const char *where, json_take *take,
	void *arg, struct err *e)
{
	struct scan s = { .p = p, .n = n, .take = take, .arg = arg };
	char found[48];
	int line, column;

	if (scan_text(&s))
		return RC_OK;
	if (!s.problem && !s.expected)
		return err_nomem(e);
	text_place(p, s.i, &line, &column);
	const char *colon = where ? ":" : "";
	if (!where)
		where = "";
	describe(&s, found, sizeof(found));
	return err_set(e, RC_INVALID, "%s%s%d:%d: found %s%s%s", where, colon,
		line, column, s.problem ? s.problem : found,
		s.expected ? ", expected " : "", s.expected ? s.expected : "");
}

bool json_valid(const char *p, size_t n)
{
	struct scan s = { .p = p, .n = n, .loose = true };

	return scan_text(&s) || s.deep;
}

bool json_locate(
	const char *p, size_t n, const char *path, int *line, int *column)
{
	struct scan s = { .p = p, .n = n, .path = path };
	bool valid = scan_text(&s);

	text_place(p, s.place, line, column);
	return valid && s.reached == strlen(path);
}

/* The four hex digits at p, which the scanner has seen. */
static uint32_t hex4(const char *p)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		uint32_t c = (unsigned char)p[i];
		v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

/* At \uXXXX; returns how many bytes it takes. Half of a surrogate pair is no
 * character: it becomes U+FFFD, and *whole false. */
static size_t unescape_unicode(
	struct buf *out, const char *p, size_t n, bool *whole)
{
	char utf8[4];
	size_t used = 6;
	uint32_t cp = hex4(p + 2);

	if (cp >= 0xD800 && cp <= 0xDFFF) {
		uint32_t low = 0;
		if (cp < 0xDC00 && n >= 12 && p[6] == '\\' && p[7] == 'u')
			low = hex4(p + 8);
		if (low >= 0xDC00 && low <= 0xDFFF) {
			cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
			used = 12;
		} else {
			cp = 0xFFFD;
			*whole = false;
		}
	}
	buf_addn(out, utf8, utf8_put(utf8, cp));
	return used;
}

bool json_unescape(struct buf *out, const char *p, size_t n)
{
	static const char names[] = "bfnrt";
	static const char values[] = "\b\f\n\r\t";
	bool whole = true;

	while (n > 0) {
		const char *at = memchr(p, '\\', n);
		size_t run = at ? (size_t)(at - p) : n;
		buf_addn(out, p, run);
		p += run;
		n -= run;
		if (n == 0)
			break;
		size_t used = 2;
		const char *name = strchr(names, p[1]);
		if (p[1] == 'u')
			used = unescape_unicode(out, p, n, &whole);
		else
			buf_addc(out, name ? values[name - names] : p[1]);
		p += used;
		n -= used;
	}
	return whole;
}
