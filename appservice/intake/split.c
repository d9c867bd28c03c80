/*
 * Where the events stand in a transaction's text. The parser is given one
 * event at a time: one that it refuses (nested too deep, \u0000, no UTF-8) then
 * spoils only itself, and a large body never becomes a large tree in memory. What
 * stands inside an event is not looked at here, but for where it ends: a body
 * that was cut off is noticed, since its brackets do not close. What stands
 * around the events must be JSON.
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"

#include "base/poison.h"

static void skip(struct str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static bool at(const struct str *s, char c)
{
	return s->n && s->p[0] == c;
}

static void skip_space(struct str *s)
{
	while (at(s, ' ') || at(s, '\t') || at(s, '\n') || at(s, '\r'))
		skip(s, 1);
}

/* Skips one character, and white space before it. */
static bool take(struct str *s, char c)
{
	skip_space(s);
	if (!at(s, c))
		return false;
	skip(s, 1);
	return true;
}

/* A quote ends a string unless it stands behind an odd number of
 * backslashes. */
static bool is_escaped(const char *quote, const char *begin)
{
	size_t n = 0;

	while (quote - n > begin && *(quote - n - 1) == '\\')
		n++;
	return n % 2 == 1;
}

/* Behind the string that opens here; NULL when it does not end. */
static const char *string_end(const char *p, const char *end)
{
	const char *begin = p + 1, *quote = p;

	do {
		quote++;
		quote = memchr(quote, '"', (size_t)(end - quote));
	} while (quote && is_escaped(quote, begin));
	return quote ? quote + 1 : NULL;
}

static bool skip_to(struct str *s, const char *p)
{
	if (!p)
		return false;
	s->n -= (size_t)(p - s->p);
	s->p = p;
	return true;
}

/* At the opening quote. */
static bool skip_string(struct str *s)
{
	return skip_to(s, string_end(s->p, s->p + s->n));
}

/* The bytes of which there are none in the most of a text. */
static bool is_structure(char c)
{
	return c == '"' || c == '{' || c == '}' || c == '[' || c == ']';
}

/* At an opening bracket of either kind. */
static bool skip_nested(struct str *s)
{
	const char *p = s->p, *end = s->p + s->n;
	size_t depth = 0;

	while (p && p < end) {
		char c = *p;
		if (!is_structure(c)) {
			p++;
			continue;
		}
		if (c == '"') {
			p = string_end(p, end);
			continue;
		}
		p++;
		if (c == '{' || c == '[')
			depth++;
		else if (--depth == 0)
			return skip_to(s, p);
	}
	return false;
}

/* A number, true, false, null, or what looks like one. */
static bool skip_word(struct str *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789+-.";
	size_t n = 0;

	while (n < s->n && memchr(letters, s->p[n], sizeof(letters) - 1))
		n++;
	skip(s, n);
	return n > 0;
}

static bool skip_value(struct str *s)
{
	skip_space(s);
	if (at(s, '"'))
		return skip_string(s);
	if (at(s, '{') || at(s, '['))
		return skip_nested(s);
	return skip_word(s);
}

/* Behind the opening bracket. */
static bool skip_elements(struct str *s)
{
	if (take(s, ']'))
		return true;
	do {
		if (!skip_value(s))
			return false;
	} while (take(s, ','));
	return take(s, ']');
}

/* What was found of a transaction. */
struct found {
	struct str events; /* .p NULL: no array of the name */
	bool twice;        /* then which of them counts is anybody's guess */
	bool any;
	struct extras *extras;
};

/* A key, quotes included, stands for a name. It may do so with escapes. */
static bool key_is(struct str key, const char *name)
{
	struct json_pick pick = { .path = "" };
	struct arena a = { 0 };

	if (!memchr(key.p, '\\', key.n))
		return str_eq((struct str){ key.p + 1, key.n - 2 }, name);
	bool is = json_pick(key.p, key.n, &pick, 1, NULL) == RC_OK &&
		text_eq(json_pick_str(&pick, &a), name);
	arena_free(&a);
	return is;
}

static void note_events(struct found *f)
{
	f->twice = f->any;
	f->any = true;
}

/* At a value: all of it. */
static bool take_value(struct str *s, struct str *ret)
{
	skip_space(s);
	*ret = (struct str){ s->p, 0 };
	bool good = skip_value(s);
	ret->n = (size_t)(s->p - ret->p);
	return good;
}

/* The same of the events: what is in their array. What is in the events is
 * looked at one by one. */
static bool take_events(struct str *s, struct found *f)
{
	note_events(f);
	if (!take(s, '['))
		return false;
	f->events.p = s->p;
	bool good = skip_elements(s);
	f->events.n = good ? (size_t)(s->p - f->events.p) - 1 : 0;
	return good;
}

static bool skip_member(struct str *s, struct found *f)
{
	struct str key, value;

	if (!take_value(s, &key) || key.p[0] != '"' ||
		!json_valid(key.p, key.n) || !take(s, ':'))
		return false;
	bool events = key_is(key, "events");
	skip_space(s);
	if (events && at(s, '['))
		return take_events(s, f);
	if (!take_value(s, &value) || !json_valid(value.p, value.n))
		return false;
	if (events)
		note_events(f);
	extras_take(f->extras, key, value);
	return true;
}

static bool skip_object(struct str *s, struct found *f)
{
	if (!take(s, '{'))
		return false;
	if (take(s, '}'))
		return true;
	do {
		if (!skip_member(s, f))
			return false;
	} while (take(s, ','));
	return take(s, '}');
}

static bool is_whole(struct str *rest)
{
	skip_space(rest);
	return !rest->n;
}

enum rc split_begin(struct str body, struct str *events, struct extras *extras,
	bool *not_json, struct err *e)
{
	struct found f = { .extras = extras };
	struct str rest = body;

	*not_json = false;
	skip_space(&rest);
	bool object = at(&rest, '{');
	bool good = object ? skip_object(&rest, &f) && is_whole(&rest)
			   : json_valid(body.p, body.n);
	if (!good) {
		*not_json = true;
		return err_set(e, RC_INVALID,
			"the body is not JSON, or not all of it: %zu bytes, "
			"good up to byte %zu",
			body.n, body.n - rest.n);
	}
	if (!object)
		return err_set(
			e, RC_INVALID, "expected an object with \"events\"");
	if (f.twice)
		return err_set(e, RC_INVALID,
			"events: found a second time, expected each key once");
	if (!f.events.p)
		return err_set(e, RC_INVALID, "events: expected an array");
	*events = f.events;
	return RC_OK;
}

bool split_next(struct str *events, struct str *ret)
{
	skip_space(events);
	const char *from = events->p;
	if (!events->n || !skip_value(events))
		return false;
	*ret = (struct str){ from, (size_t)(events->p - from) };
	take(events, ',');
	return true;
}
