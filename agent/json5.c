/*
 * JSON5 written as JSON: what OpenClaw reads its configuration as, and people
 * and agents therefore write. Only the spelling is changed; whether the whole
 * makes sense is for the parser of JSON to say.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"

#include "base/poison.h"

struct reader {
	const char *p;
	size_t n, i;
	struct buf *out;
	char last; /* that was written and is no space */
};

/* The byte `ahead` of where we are; 0 behind the end. */
static char look(const struct reader *r, size_t ahead)
{
	return r->i + ahead < r->n ? r->p[r->i + ahead] : '\0';
}

static bool at(const struct reader *r, const char *s)
{
	size_t len = strlen(s);
	return r->n - r->i >= len && memcmp(r->p + r->i, s, len) == 0;
}

static void put(struct reader *r, char c)
{
	buf_addc(r->out, c);
	r->last = c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Of a name without quotes. Everything beyond ASCII: which of it is a letter,
 * OpenClaw knows. */
static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		c == '$' || c == '\\' || (unsigned char)c >= 0x80;
}

/* Bytes of a space of JSON5 that is none of JSON; 0: it is not. */
static size_t wide_space(const struct reader *r)
{
	static const char *const spaces[] = { "\v", "\f", "\xC2\xA0",
		"\xEF\xBB\xBF", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE3\x80\x80",
		"\xE1\x9A\x80", "\xE2\x81\x9F", "\xE2\x80\xAF" };
	for (size_t k = 0; k < ARRAY_LEN(spaces); k++)
		if (at(r, spaces[k]))
			return strlen(spaces[k]);
	bool general = at(r, "\xE2\x80") && (unsigned char)look(r, 2) >= 0x80 &&
		(unsigned char)look(r, 2) <= 0x8A;
	return general ? 3 : 0;
}

/* The length of a comment; 0: there is none. */
static size_t comment(const struct reader *r)
{
	size_t n = 2;
	if (at(r, "//")) {
		while (r->i + n < r->n && look(r, n) != '\n')
			n++;
		return n;
	}
	if (!at(r, "/*"))
		return 0;
	for (; r->i + n < r->n; n++)
		if (look(r, n) == '*' && look(r, n + 1) == '/')
			return n + 2;
	return 0; /* not closed: left for the parser */
}

/* The length of the space or comment where we are; 0: there is none. */
static size_t space(const struct reader *r)
{
	char c = look(r, 0);
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return 1;
	return c == '/' ? comment(r) : wide_space(r);
}

/* Over it, of which the ends of lines stay; false: there is none. */
static bool skip_one(struct reader *r)
{
	size_t n = space(r);
	for (size_t k = 0; k < n; k++)
		if (look(r, k) == '\n')
			buf_addc(r->out, '\n');
	if (n > 0 && look(r, 0) != '\n')
		buf_addc(r->out, ' ');
	r->i += n;
	return n > 0;
}

/* What comes after the spaces. */
static char next_after(const struct reader *r)
{
	struct reader then = *r;
	size_t n;
	while (then.i < then.n && (n = space(&then)) > 0)
		then.i += n;
	return look(&then, 0);
}

/* An escape inside a string. */
static void escape(struct reader *r)
{
	char c = look(r, 1);
	r->i += 2;
	switch (c) {
	case '\r':
		if (look(r, 0) == '\n')
			r->i++;
		return;
	case '\n': /* the line goes on */
		return;
	case 'x':
		buf_add(r->out, "\\u00"); /* the digits follow */
		return;
	case 'v':
		buf_add(r->out, "\\u000b");
		return;
	case '0':
		buf_add(r->out, "\\u0000");
		return;
	default:
		if (c && strchr("\"\\/bfnrtu", c))
			buf_addc(r->out, '\\');
		buf_addc(r->out, c);
	}
}

/* What may not stand in a string of JSON as it is. */
static void plain(struct reader *r, char c)
{
	if (c == '"')
		buf_add(r->out, "\\\"");
	else if (c == '\t')
		buf_add(r->out, "\\t");
	else
		buf_addc(r->out, c);
	r->i++;
}

static void string(struct reader *r)
{
	char quote = look(r, 0);
	r->i++;
	put(r, '"');
	while (r->i < r->n && look(r, 0) != quote && look(r, 0) != '\n') {
		if (look(r, 0) == '\\' && r->i + 1 < r->n)
			escape(r);
		else
			plain(r, look(r, 0));
	}
	if (r->i < r->n && look(r, 0) == quote) {
		put(r, '"');
		r->i++;
	}
}

static void hexadecimal(struct reader *r)
{
	size_t n = 2;
	while (look(r, n) && strchr("0123456789abcdefABCDEF", look(r, n)))
		n++;
	char text[17] = "";
	if (n > 2 && n - 2 < sizeof(text)) {
		memcpy(text, r->p + r->i + 2, n - 2);
		buf_addf(r->out, "%llu", strtoull(text, NULL, 16));
	} else { /* no number, or none of JSON's */
		buf_addn(r->out, r->p + r->i, n);
	}
	r->i += n;
}

static void digits(struct reader *r)
{
	if (look(r, 0) == '.')
		buf_addc(r->out, '0');
	while (is_digit(look(r, 0)) || look(r, 0) == '.') {
		char c = look(r, 0);
		buf_addc(r->out, c);
		r->i++;
		if (c == '.' && !is_digit(look(r, 0)))
			buf_addc(r->out, '0');
	}
}

static void exponent(struct reader *r)
{
	if (look(r, 0) != 'e' && look(r, 0) != 'E')
		return;
	do {
		buf_addc(r->out, look(r, 0));
		r->i++;
	} while (
		is_digit(look(r, 0)) || look(r, 0) == '+' || look(r, 0) == '-');
}

/* At a sign, a digit or a point. */
static void number(struct reader *r)
{
	char sign = look(r, 0);
	if (sign == '-')
		put(r, '-');
	if (sign == '-' || sign == '+')
		r->i++;
	r->last = '0';
	if (at(r, "0x") || at(r, "0X")) {
		hexadecimal(r);
		return;
	}
	digits(r);
	exponent(r);
}

static bool at_number(const struct reader *r)
{
	char c = look(r, 0), next = look(r, 1);
	if (c == '.' || c == '+' || c == '-')
		return is_digit(next) || next == '.';
	return is_digit(c);
}

/* A comma behind which an object or array ends, unless nothing is before it. */
static bool at_last_comma(const struct reader *r)
{
	if (look(r, 0) != ',' || strchr(",{[", r->last))
		return false;
	struct reader then = *r;
	then.i++;
	char next = next_after(&then);
	return next == '}' || next == ']';
}

/* A key gets quotes; true, false and null are what they are. */
static void name(struct reader *r)
{
	size_t from = r->i;
	while (r->i < r->n && !wide_space(r) &&
		(is_name(look(r, 0)) || is_digit(look(r, 0))))
		r->i++;
	bool key = next_after(r) == ':' && r->last != ':';
	if (key)
		buf_addc(r->out, '"');
	buf_addn(r->out, r->p + from, r->i - from);
	if (key)
		buf_addc(r->out, '"');
	r->last = 'a';
}

static void one(struct reader *r)
{
	char c = look(r, 0);
	if (skip_one(r))
		return;
	if (c == '"' || c == '\'') {
		string(r);
	} else if (at_number(r)) {
		number(r);
	} else if (is_name(c)) {
		name(r);
	} else if (at_last_comma(r)) {
		buf_addc(r->out, ' ');
		r->i++;
	} else {
		put(r, c);
		r->i++;
	}
}

void json5_to_json(const char *p, size_t n, struct buf *out)
{
	struct reader r = { .p = p, .n = n, .out = out };
	while (r.i < n && buf_rc(out) == RC_OK)
		one(&r);
}
