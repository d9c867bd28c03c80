/*
 * JSON: what is JSON is told byte by byte as well; what is read and written
 * again is the same; every way to ask for a value stays within it, and those
 * that need no document find what is in one.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

#include "base/poison.h"

/* --- a document ----------------------------------------------------------- */

struct place {
	const char *p; /* the text */
	size_t n;
};

static void look(struct js v);

static bool look_at_member(const char *key, struct js v, void *arg)
{
	struct js object = *(struct js *)arg;

	HOLDS(js_has(object, key) && js_get(object, key).v == v.v);
	HOLDS(utf8_valid(key, strlen(key), NULL));
	look(v);
	return true;
}

static void look(struct js v)
{
	enum js_type t = js_type(v);
	const char *s = js_str(v);
	int64_t number = 7;

	HOLDS(*js_type_name(t));
	HOLDS(!s == (t != JS_STR));
	HOLDS(!s || utf8_valid(s, strlen(s), NULL));
	HOLDS(!js_i64(v, -5, 5, &number) || t == JS_INT);
	HOLDS(number >= -5 && number <= 7);
	HOLDS(!js_at(v, js_len(v)).v);
	for (size_t i = 0; i < js_len(v); i++)
		look(js_at(v, i));
	HOLDS(js_each(v, look_at_member, &v));
}

static bool find_member(const char *key, struct js v, void *arg)
{
	const struct place *at = arg;
	int line = 0, column = 0;

	(void)v;
	/* Of a text without escapes each key can be found. */
	if (*key && !strpbrk(key, ".[") && !memchr(at->p, '\\', at->n))
		HOLDS(json_locate(at->p, at->n, key, &line, &column) &&
			line > 0 && column > 0);
	return true;
}

static void write_clean(struct js v, struct buf *out)
{
	buf_init(out, 1 << 24);
	js_write(v, out);
	HOLDS(buf_rc(out) == RC_OK);
	HOLDS(fuzz_is_clean(buf_str(out)) || memchr(out->p, 0x7f, out->n));
	HOLDS(strlen(out->p) == out->n && utf8_valid(out->p, out->n, NULL));
}

/* Read, written, read, written: as the first time. */
static void check_again(struct js first)
{
	struct json *doc = NULL;
	struct buf once, twice;

	write_clean(first, &once);
	HOLDS(json_parse_any(once.p, once.n, NULL, &doc, NULL) == RC_OK);
	write_clean(json_root(doc), &twice);
	HOLDS(once.n == twice.n && !memcmp(once.p, twice.p, once.n));
	json_free(doc);
	/* A key that was there twice is there once now. */
	enum rc rc = json_parse_unique(once.p, once.n, "again", &doc, NULL);
	HOLDS((rc == RC_OK) == (js_type(first) == JS_OBJ));
	if (rc == RC_OK)
		json_free(doc);
	buf_free(&once);
	buf_free(&twice);
}

/* --- what is refused ------------------------------------------------------ */

static void check_refusal(const struct err *e, const char *where)
{
	HOLDS(e->rc == RC_INVALID);
	HOLDS(!strncmp(e->text, where, strlen(where)));
	HOLDS(fuzz_is_clean(e->text));
	HOLDS(MATCHES("[^:]*:[1-9][0-9]*:[1-9][0-9]*: found .+", e->text));
}

static bool object_only(const char *p, size_t n)
{
	struct json *doc = NULL;
	struct err e = { 0 };

	bool unique = json_parse_unique(p, n, "a", &doc, &e) == RC_OK;
	if (unique)
		json_free(doc);
	else
		check_refusal(&e, "a:");
	bool object = json_parse(p, n, "b", &doc, &e) == RC_OK;
	if (object)
		json_free(doc);
	else
		check_refusal(&e, "b:");
	HOLDS(object || !unique);
	return object;
}

/* Nothing but the escape of a NUL is another character afterwards. */
static void check_replaced(const char *p, size_t n, const struct err *why)
{
	char *copy = malloc(n ? n : 1);
	struct json *doc = NULL;
	struct err e = { 0 };

	HOLDS(copy);
	memcpy(copy, p, n);
	json_replace_nul(copy, n);
	for (size_t i = 0; i < n; i++) {
		if (copy[i] == p[i])
			continue;
		/* It differs from its first zero on. */
		HOLDS(i >= 2 && i + 4 <= n);
		HOLDS(!memcmp(p + i - 2, "\\u0000", 6));
		HOLDS(!memcmp(copy + i - 2, "\\ufffd", 6));
		i += 3;
	}
	if (json_parse_any(copy, n, NULL, &doc, &e) == RC_OK)
		json_free(doc);
	else
		HOLDS(!strstr(e.text, "found \\u0000"));
	/* What was refused for something else is refused as before. */
	if (!*why->text)
		HOLDS(!*e.text);
	free(copy);
}

/* --- byte by byte --------------------------------------------------------- */

/* A value and the path that leads to it. */
struct value {
	const char *path; /* NULL: none does */
	const char *begin, *end;
};

struct reader {
	const char *p, *end;
	int depth;
	bool nul, deep; /* there is one; it goes deeper than is followed */
	struct arena a;
	struct value *values;
	size_t n, cap;
};

static bool read_value(struct reader *r, const char *path);

static bool at(const struct reader *r, const char *any)
{
	return r->p < r->end && *r->p && strchr(any, *r->p);
}

static bool take(struct reader *r, const char *any)
{
	bool is = at(r, any);

	r->p += is;
	return is;
}

static void read_space(struct reader *r)
{
	while (take(r, " \t\r\n"))
		;
}

static bool read_escape(struct reader *r)
{
	if (take(r, "\"\\/bfnrt"))
		return true;
	if (!take(r, "u"))
		return false;
	const char *digits = r->p;
	for (int i = 0; i < 4; i++)
		if (!take(r, "0123456789abcdefABCDEF"))
			return false;
	r->nul |= memcmp(digits, "0000", 4) == 0;
	return true;
}

static bool read_string(struct reader *r)
{
	const char *begin = r->p;

	if (!take(r, "\""))
		return false;
	while (!at(r, "\"")) {
		if (r->p == r->end || (unsigned char)*r->p < 0x20)
			return false;
		if (*r->p++ == '\\' && !read_escape(r))
			return false;
	}
	r->p++;
	return utf8_valid(begin, (size_t)(r->p - begin), NULL);
}

static bool read_digits(struct reader *r)
{
	bool any = false;

	while (take(r, "0123456789"))
		any = true;
	return any;
}

static bool read_number(struct reader *r)
{
	take(r, "-");
	if (!take(r, "0") && !read_digits(r))
		return false;
	if (take(r, ".") && !read_digits(r))
		return false;
	if (!take(r, "eE"))
		return true;
	take(r, "+-");
	return read_digits(r);
}

static bool read_word(struct reader *r, const char *word)
{
	for (; *word; word++)
		if (r->p == r->end || *r->p++ != *word)
			return false;
	return true;
}

/* The path of a member: keys with a dot in them, and empty ones, have none. */
static const char *path_of(
	struct reader *r, const char *path, const char *key, size_t n)
{
	struct json *doc = NULL;
	const char *ret = NULL;

	if (json_parse_any(key, n, NULL, &doc, NULL) != RC_OK)
		return NULL;
	const char *name = js_str(json_root(doc));
	if (path && *name && !strchr(name, '.'))
		ret = arena_printf(
			&r->a, "%s%s%s", path, *path ? "." : "", name);
	json_free(doc);
	return ret;
}

static bool read_member(struct reader *r, const char *path)
{
	const char *key = r->p;

	if (!read_string(r))
		return false;
	path = path_of(r, path, key, (size_t)(r->p - key));
	read_space(r);
	return take(r, ":") && read_value(r, path);
}

static bool read_container(struct reader *r, const char *path)
{
	bool object = *r->p++ == '{';
	const char *close = object ? "}" : "]";

	if (++r->depth > LIMIT_JSON_DEPTH) {
		r->deep = true;
		return false;
	}
	read_space(r);
	if (!at(r, close)) {
		do {
			read_space(r);
			if (object ? !read_member(r, path)
				   : !read_value(r, NULL))
				return false;
		} while (take(r, ","));
	}
	r->depth--;
	return take(r, close);
}

static bool read_any(struct reader *r, const char *path)
{
	if (at(r, "{["))
		return read_container(r, path);
	if (at(r, "\""))
		return read_string(r);
	if (at(r, "t"))
		return read_word(r, "true");
	if (at(r, "f"))
		return read_word(r, "false");
	if (at(r, "n"))
		return read_word(r, "null");
	return read_number(r);
}

static bool read_value(struct reader *r, const char *path)
{
	read_space(r);
	struct value v = { .path = path, .begin = r->p };
	if (!read_any(r, path))
		return false;
	v.end = r->p;
	struct value *place = arena_push(
		&r->a, &r->values, &r->n, &r->cap, sizeof(*r->values));
	HOLDS(place);
	*place = v;
	read_space(r);
	return true;
}

static enum js_type type_of(const struct value *v)
{
	switch (*v->begin) {
	case '{':
		return JS_OBJ;
	case '[':
		return JS_ARR;
	case '"':
		return JS_STR;
	case 't':
	case 'f':
		return JS_BOOL;
	case 'n':
		return JS_NULL;
	}
	for (const char *c = v->begin; c < v->end; c++)
		if (strchr(".eE", *c))
			return JS_DOUBLE;
	return JS_INT;
}

/* --- picked --------------------------------------------------------------- */

/* The value that a path leads to, of a document. */
static struct js find(struct js v, const char *path)
{
	struct str rest = str_of(path);
	char key[2100];

	while (rest.n) {
		struct str one = str_cut(&rest, '.', NULL);
		HOLDS(one.n < sizeof(key));
		memcpy(key, one.p, one.n);
		key[one.n] = '\0';
		v = js_get(v, key);
	}
	return v;
}

/* The document says the same. */
static void check_picked(const struct json_pick *pick, struct js v)
{
	int64_t number = 0, picked = 0;
	struct arena a = { 0 };

	HOLDS(js_type(v) == pick->type);
	const char *s = json_pick_str(pick, &a);
	if (pick->type == JS_STR && !s) /* half of a pair has no text */
		HOLDS(fuzz_has(pick->text.p, pick->text.n, "\\ud") ||
			fuzz_has(pick->text.p, pick->text.n, "\\uD"));
	else
		HOLDS(text_eq(s, js_str(v)));
	HOLDS(json_pick_i64(pick, &picked) ==
		js_i64(v, -JSON_INT_MAX, JSON_INT_MAX, &number));
	HOLDS(number == picked);
	arena_free(&a);
	if (pick->type != JS_OBJ && pick->type != JS_ARR)
		return;
	struct json *doc = NULL;
	struct buf one, other;
	HOLDS(json_parse_any(pick->text.p, pick->text.n, NULL, &doc, NULL) ==
		RC_OK);
	write_clean(json_root(doc), &one);
	write_clean(v, &other);
	HOLDS(text_eq(buf_str(&one), buf_str(&other)));
	json_free(doc);
	buf_free(&one);
	buf_free(&other);
}

/* The values of a path, all but the last in *last. */
static size_t values_of(
	const struct reader *r, const char *path, const struct value **last)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->values[i].path && !strcmp(r->values[i].path, path)) {
			*last = &r->values[i];
			n++;
		}
	return n;
}

/* Something that the path goes through is there twice. */
static bool is_doubtful(const struct reader *r, const char *path)
{
	const struct value *last;
	char begin[2100];

	for (const char *dot = strchr(path, '.'); dot;
		dot = strchr(dot + 1, '.')) {
		size_t n = (size_t)(dot - path);
		HOLDS(n < sizeof(begin));
		memcpy(begin, path, n);
		begin[n] = '\0';
		if (values_of(r, begin, &last) > 1)
			return true;
	}
	return false;
}

static void check_pick(
	const struct reader *r, const struct json_pick *pick, struct js root)
{
	const struct value *v = NULL;
	size_t n = values_of(r, pick->path, &v);

	HOLDS(pick->found == (n > 0) && pick->twice == (n > 1));
	if (n) {
		size_t quote = type_of(v) == JS_STR;
		HOLDS(pick->type == type_of(v));
		HOLDS(pick->text.p == v->begin + quote);
		HOLDS(pick->text.p + pick->text.n == v->end - quote);
	}
	if (is_doubtful(r, pick->path))
		return;
	if (n)
		check_picked(pick, find(root, pick->path));
	else
		HOLDS(!find(root, pick->path).v);
}

/* Paths have no longer key. */
static bool can_pick(const char *path)
{
	return path && !MATCHES("(.*[.])?[^.]{60,}([.].*)?", path);
}

/* As many of the paths as can be asked for, and some that are in few texts. */
static void check_picks(const struct reader *r, struct str text, struct js root)
{
	static const char *const paths[] = { "a", "a.b", "b.a", "a.a.a", "",
		"content.membership", "content", "type", "a.b.c", "x" };
	struct json_pick picks[JSON_PICKS] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		picks[n++].path = paths[i];
	for (size_t i = r->n; i > 0 && n < JSON_PICKS; i--)
		if (can_pick(r->values[i - 1].path))
			picks[n++].path = r->values[i - 1].path;
	HOLDS(json_pick(text.p, text.n, picks, n, NULL) == RC_OK);
	for (size_t i = 0; i < n; i++)
		check_pick(r, &picks[i], root);
}

/* doc: NULL, it is none. */
static void check_read(struct str text, const struct json *doc)
{
	struct reader r = { .p = text.p, .end = text.p + text.n };
	struct json_pick all = { .path = "" };

	bool good = read_value(&r, "") && r.p == r.end;
	HOLDS(json_valid(text.p, text.n) == (good || r.deep));
	good &= !r.nul && !r.deep;
	HOLDS(good == (doc != NULL));
	HOLDS(good == (json_pick(text.p, text.n, &all, 1, NULL) == RC_OK));
	if (good)
		check_picks(&r, text, json_root(doc));
	arena_free(&r.a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct place text = { (const char *)p, n };
	struct json *doc = NULL;
	struct err e = { 0 };
	int line = 0, column = 0;

	bool good = json_parse_any(text.p, n, "x", &doc, &e) == RC_OK;
	if (good) {
		look(json_root(doc));
		check_again(json_root(doc));
		js_each(json_root(doc), find_member, &text);
	} else {
		check_refusal(&e, "x:");
	}
	HOLDS(object_only(text.p, n) ==
		(good && js_type(json_root(doc)) == JS_OBJ));
	HOLDS(json_locate(text.p, n, "", &line, &column) == good);
	check_replaced(text.p, n, &e);
	check_read((struct str){ text.p, n }, doc);
	json_free(doc);
	return 0;
}
