/*
 * Documents laid over each other: what an agent has made of a configuration
 * that it was given, and what it is given now. Writes text; it is read again by
 * whoever wants to go on with it.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* --- writing, for people to read -------------------------------------- */

struct pen {
	struct buf *out;
	int depth;
	bool empty; /* nothing yet in what is open */
};

static void new_line(struct pen *pen)
{
	buf_addc(pen->out, '\n');
	for (int i = 0; i < pen->depth; i++)
		buf_add(pen->out, "  ");
}

static void open_with(struct pen *pen, char c)
{
	buf_addc(pen->out, c);
	pen->depth++;
	pen->empty = true;
}

static void close_with(struct pen *pen, char c)
{
	pen->depth--;
	if (!pen->empty)
		new_line(pen);
	buf_addc(pen->out, c);
	pen->empty = false;
}

/* What stands before a value; the key is NULL in an array. */
static void begin(struct pen *pen, const char *key)
{
	if (!pen->empty)
		buf_addc(pen->out, ',');
	pen->empty = false;
	new_line(pen);
	if (key) {
		buf_add_json_str(pen->out, key);
		buf_add(pen->out, ": ");
	}
}

static void put(struct pen *pen, struct js v);

static bool put_member(const char *key, struct js v, void *arg)
{
	begin(arg, key);
	put(arg, v);
	return true;
}

static void put(struct pen *pen, struct js v)
{
	switch (js_type(v)) {
	case JS_OBJ:
		open_with(pen, '{');
		js_each(v, put_member, pen);
		close_with(pen, '}');
		break;
	case JS_ARR:
		open_with(pen, '[');
		for (size_t i = 0; i < js_len(v); i++) {
			begin(pen, NULL);
			put(pen, js_at(v, i));
		}
		close_with(pen, ']');
		break;
	default:
		js_write(v, pen->out);
	}
}

/* --- the same --------------------------------------------------------- */

/* Numbers and truths as they are spelled; of numbers what they are, as whoever
 * writes them again may spell them otherwise. */
static bool same_scalar(struct js a, struct js b)
{
	char one[64], two[64];
	struct buf x, y;

	buf_init_fixed(&x, one, sizeof(one));
	buf_init_fixed(&y, two, sizeof(two));
	js_write(a, &x);
	js_write(b, &y);
	if (buf_rc(&x) != RC_OK || buf_rc(&y) != RC_OK)
		return false;
	if (text_eq(buf_str(&x), buf_str(&y)))
		return true;
	/* Integers that no double tells apart do differ. */
	if (js_type(a) != JS_DOUBLE && js_type(b) != JS_DOUBLE)
		return false;
	double n = strtod(buf_str(&x), NULL), m = strtod(buf_str(&y), NULL);
	return !(n < m) && !(n > m);
}

struct compare {
	struct js other;
	size_t n;
};

static bool same_member(const char *key, struct js v, void *arg)
{
	struct compare *c = arg;
	c->n++;
	return js_has(c->other, key) && merge_same(v, js_get(c->other, key));
}

static bool count_member(const char *key, struct js v, void *arg)
{
	size_t *n = arg;
	(void)key;
	(void)v;
	(*n)++;
	return true;
}

static bool same_object(struct js a, struct js b)
{
	struct compare c = { .other = b };
	size_t n = 0;
	if (!js_each(a, same_member, &c))
		return false;
	js_each(b, count_member, &n);
	return n == c.n;
}

static bool same_array(struct js a, struct js b)
{
	if (js_len(a) != js_len(b))
		return false;
	for (size_t i = 0; i < js_len(a); i++)
		if (!merge_same(js_at(a, i), js_at(b, i)))
			return false;
	return true;
}

static bool is_number(struct js v)
{
	return js_type(v) == JS_INT || js_type(v) == JS_DOUBLE;
}

bool merge_same(struct js a, struct js b)
{
	if (is_number(a) && is_number(b))
		return same_scalar(a, b);
	if (js_type(a) != js_type(b))
		return false;
	switch (js_type(a)) {
	case JS_OBJ:
		return same_object(a, b);
	case JS_ARR:
		return same_array(a, b);
	case JS_STR:
		return text_eq(js_str(a), js_str(b));
	default:
		return same_scalar(a, b);
	}
}

/* --- three documents -------------------------------------------------- */

struct three {
	struct pen *pen;
	struct js base, seed, own; /* the objects of one level */
};

static void put_three(
	struct pen *pen, struct js base, struct js seed, struct js own);

/* What becomes of a member that own still has. */
static void put_kept(struct three *t, const char *key)
{
	struct js base = js_get(t->base, key);
	struct js seed = js_get(t->seed, key);
	struct js own = js_get(t->own, key);
	bool untouched = js_has(t->base, key) && merge_same(own, base);
	bool gone = !js_has(t->seed, key);

	if (gone && untouched)
		return;
	begin(t->pen, key);
	/* Of what is gone, what the agent has put into it stays. */
	bool inside =
		js_type(seed) == JS_OBJ || (gone && js_type(base) == JS_OBJ);
	if (inside && js_type(own) == JS_OBJ)
		put_three(t->pen, base, seed, own);
	else
		put(t->pen, untouched ? seed : own);
}

static bool take_own(const char *key, struct js v, void *arg)
{
	(void)v;
	put_kept(arg, key);
	return true;
}

static bool take_new(const char *key, struct js v, void *arg)
{
	struct three *t = arg;
	/* What own has not, though it was in its base, it has removed. */
	if (!js_has(t->own, key) && !js_has(t->base, key)) {
		begin(t->pen, key);
		put(t->pen, v);
	}
	return true;
}

/* In own's order, then what is new. */
static void put_three(
	struct pen *pen, struct js base, struct js seed, struct js own)
{
	struct three t = { pen, base, seed, own };
	open_with(pen, '{');
	js_each(own, take_own, &t);
	js_each(seed, take_new, &t);
	close_with(pen, '}');
}

void merge_three(struct js base, struct js seed, struct js own, struct buf *out)
{
	struct pen pen = { .out = out };
	put_three(&pen, base, seed, own);
	buf_addc(out, '\n');
}

/* --- edits ------------------------------------------------------------ */

#define EDITS 32

struct level {
	struct pen *pen;
	const struct merge_edit *edits;
	const char *rest[EDITS]; /* of each path, at this level; NULL: it leads
				    elsewhere, or is done */
	size_t n;
};

static void put_level(struct level *l, struct js v);

static bool first_is(const char *rest, const char *key)
{
	size_t n = strlen(key);
	return strncmp(rest, key, n) == 0 && (!rest[n] || rest[n] == '.');
}

/* The level inside of key, its paths taken off this one; whether there are
 * any. */
static bool step_down(struct level *l, const char *key, struct level *ret)
{
	bool any = false;
	*ret = (struct level){ .pen = l->pen, .edits = l->edits, .n = l->n };
	for (size_t i = 0; i < l->n; i++) {
		if (!l->rest[i] || !first_is(l->rest[i], key) ||
			!l->rest[i][strlen(key)])
			continue;
		ret->rest[i] = l->rest[i] + strlen(key) + 1;
		l->rest[i] = NULL;
		any = true;
	}
	return any;
}

/* The edit of this very member, taken off; NULL: none. */
static const struct merge_edit *edit_of(struct level *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->rest[i] && text_eq(l->rest[i], key)) {
			l->rest[i] = NULL;
			return &l->edits[i];
		}
	}
	return NULL;
}

static void put_raw(struct pen *pen, const char *key, const char *json)
{
	begin(pen, key);
	buf_add(pen->out, json);
}

static bool edit_member(const char *key, struct js v, void *arg)
{
	struct level *l = arg, inner;
	/* A dot is what stands between keys. */
	const struct merge_edit *edit =
		strchr(key, '.') ? NULL : edit_of(l, key);
	if (edit && !edit->missing) {
		if (edit->json)
			put_raw(l->pen, key, edit->json);
		return true;
	}
	begin(l->pen, key);
	if (!strchr(key, '.') && step_down(l, key, &inner))
		put_level(&inner, v);
	else
		put(l->pen, v);
	return true;
}

/* Some path of this level ends in a value that is to be made. */
static bool makes_something(const struct level *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->rest[i] && l->edits[i].json)
			return true;
	return false;
}

/* What the document did not have. */
static void put_missing(struct level *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!l->rest[i] || !l->edits[i].json)
			continue;
		char key[64];
		size_t n = strcspn(l->rest[i], ".");
		if (n >= sizeof(key))
			continue;
		memcpy(key, l->rest[i], n);
		key[n] = '\0';
		const struct merge_edit *edit = edit_of(l, key);
		struct level inner;
		if (edit) {
			put_raw(l->pen, key, edit->json);
		} else if (step_down(l, key, &inner)) {
			begin(l->pen, key);
			put_level(&inner, (struct js){ NULL });
		}
	}
}

static void put_level(struct level *l, struct js v)
{
	if (js_type(v) != JS_OBJ && !makes_something(l)) {
		put(l->pen, v);
		return;
	}
	open_with(l->pen, '{');
	js_each(v, edit_member, l);
	put_missing(l);
	close_with(l->pen, '}');
}

void merge_edit(
	struct js v, const struct merge_edit *edits, size_t n, struct buf *out)
{
	struct pen pen = { .out = out };
	struct level top = {
		.pen = &pen, .edits = edits, .n = n < EDITS ? n : EDITS
	};
	for (size_t i = 0; i < top.n; i++)
		top.rest[i] = edits[i].path;
	put_level(&top, v);
	buf_addc(out, '\n');
}
