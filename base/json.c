/*
 * base/json.c: json-c's home. Its objects hold a document; the text is read by
 * our own scanner (json_scan.c) and written by js_write(). json-c aborts on a
 * wrong type and bends values from one type to another: only this file calls
 * it, and looks at the type first.
 */
#include "base/json.h"

#include <json-c/json.h>

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_priv.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

struct json {
	struct json_object *root;
	struct arena arena; /* keys, and spellings of numbers */
};

#define KEY_SHOWN 100 /* bytes of a key in a message */
#define ARRAY_ROOM 4  /* json-c's own 32 cost 256 bytes even for [] */

struct builder {
	struct json *doc;
	struct json_object *open[LIMIT_JSON_DEPTH];
	size_t depth;
	const char *key;  /* of the member that comes next */
	struct buf text;  /* scratch */
	bool unique;      /* refuse a key that its object has already, */
	struct str twice; /* which is this one, as it stands in the text */
};

/* Puts v (NULL: null) where it belongs, and owns it also on failure. */
static bool attach(struct builder *b, struct json_object *v)
{
	int rc = 0;

	if (b->depth == 0) {
		b->doc->root = v;
		return true;
	}
	struct json_object *parent = b->open[b->depth - 1];
	if (json_object_get_type(parent) == json_type_array)
		rc = json_object_array_add(parent, v);
	else /* with a key of ours: json-c leaks its copy on a failure */
		rc = json_object_object_add_ex(
			parent, b->key, v, JSON_C_OBJECT_KEY_IS_CONSTANT);
	if (rc != 0)
		json_object_put(v);
	return rc == 0;
}

/* A value that json-c gives as NULL when out of memory. */
static bool attach_new(struct builder *b, struct json_object *v)
{
	return v && attach(b, v);
}

static bool open_container(struct builder *b, struct json_object *v)
{
	if (!attach_new(b, v))
		return false;
	b->open[b->depth++] = v;
	return true;
}

/* What a key or string token stands for; not NUL-terminated. */
static bool unescape(struct builder *b, struct str *s)
{
	if (!memchr(s->p, '\\', s->n))
		return true;
	buf_clear(&b->text);
	(void)json_unescape(&b->text, s->p, s->n);
	*s = (struct str){ buf_str(&b->text), b->text.n };
	return buf_rc(&b->text) == RC_OK;
}

static bool add_string(struct builder *b, struct str s)
{
	return unescape(b, &s) &&
		attach_new(b, json_object_new_string_len(s.p, (int)s.n));
}

static bool take_key(struct builder *b, struct str s)
{
	struct str written = s;

	if (!unescape(b, &s))
		return false;
	b->key = arena_strndup(&b->doc->arena, s.p, s.n);
	if (!b->key)
		return false;
	if (b->unique &&
		json_object_object_get_ex(
			b->open[b->depth - 1], b->key, NULL)) {
		b->twice = written;
		return false;
	}
	return true;
}

/* A number that is no int64_t: only its spelling is kept, beside v. */
static bool add_spelling(struct builder *b, struct json_object *v, struct str s)
{
	char *text = arena_strndup(&b->doc->arena, s.p, s.n);

	if (!v || !text) {
		json_object_put(v);
		return false;
	}
	json_object_set_userdata(v, text, NULL);
	return attach(b, v);
}

static bool add_integer(struct builder *b, struct str s)
{
	int64_t v = 0;

	if (str_eq(s, "-0") || str_i64(s, INT64_MIN, INT64_MAX, &v))
		return attach_new(b, json_object_new_int64(v));
	return add_spelling(b, json_object_new_int64(0), s);
}

static bool take(void *arg, enum json_token t, const char *p, size_t n)
{
	struct builder *b = arg;
	struct str s = { p, n };

	switch (t) {
	case JSON_OPEN_OBJ:
		return open_container(b, json_object_new_object());
	case JSON_OPEN_ARR:
		return open_container(b, json_object_new_array_ext(ARRAY_ROOM));
	case JSON_CLOSE:
		b->depth--;
		break;
	case JSON_KEY:
		return take_key(b, s);
	case JSON_STRING:
		return add_string(b, s);
	case JSON_INTEGER:
		return add_integer(b, s);
	case JSON_FRACTION:
		return add_spelling(b, json_object_new_double(0), s);
	case JSON_WORD:
		if (*p == 'n')
			return attach(b, NULL);
		return attach_new(b, json_object_new_boolean(*p == 't'));
	}
	return true;
}

/* What is wrong with the key b->twice of the text p. */
static enum rc refuse_key(const struct builder *b, const char *p,
	const char *where, struct err *e)
{
	struct str key = b->twice;
	int line, column;

	text_place(p, (size_t)(key.p - p) - 1, &line, &column);
	if (key.n > KEY_SHOWN) {
		key.n = KEY_SHOWN;
		while ((key.p[key.n] & 0xC0) == 0x80)
			key.n--;
	}
	/* What a terminal takes for an order is not shown. */
	bool shown = utf8_printable(key.p, key.n);
	return err_set(e, RC_INVALID,
		"%s%s%d:%d: found %s%.*s%s a second time, expected each key of "
		"an object once",
		where ? where : "", where ? ":" : "", line, column,
		shown ? "the key \"" : "a key", shown ? (int)key.n : 0, key.p,
		shown ? "\"" : "");
}

void json_replace_nul(char *p, size_t n)
{
	static const char nul[] = "u0000", instead[] = "ufffd";
	const size_t len = sizeof(nul) - 1;

	for (size_t i = 0; i + len < n; i++) {
		if (p[i] != '\\')
			continue;
		/* What follows a backslash is no backslash of its own. */
		i++;
		if (memcmp(p + i, nul, len) == 0)
			memcpy(p + i, instead, len);
	}
}

static enum rc parse(const char *p, size_t n, const char *where, bool unique,
	struct json **ret, struct err *e)
{
	if (n > INT_MAX)
		return err_set(e, RC_INVALID, "%s: %zu bytes are too many",
			where ? where : "JSON", n);
	struct json *doc = calloc(1, sizeof(*doc));
	if (!doc)
		return err_nomem(e);
	struct builder b = { .doc = doc, .unique = unique };
	buf_init(&b.text, n);
	enum rc rc = json_scan(p, n, where, take, &b, e);
	buf_wipe(&b.text);
	if (b.twice.p)
		rc = refuse_key(&b, p, where, e);
	if (rc != RC_OK)
		json_free(doc);
	else
		*ret = doc;
	return rc;
}

enum rc json_parse_any(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	return parse(p, n, where, false, ret, e);
}

static enum rc parse_object(const char *p, size_t n, const char *where,
	bool unique, struct json **ret, struct err *e)
{
	struct json *doc = NULL;
	int line, column;

	enum rc rc = parse(p, n, where, unique, &doc, e);
	if (rc != RC_OK)
		return rc;
	enum js_type type = js_type(json_root(doc));
	if (type != JS_OBJ) {
		json_free(doc);
		json_locate(p, n, "", &line, &column);
		return err_set(e, RC_INVALID,
			"%s%s%d:%d: found %s, expected an object",
			where ? where : "", where ? ":" : "", line, column,
			js_type_name(type));
	}
	*ret = doc;
	return RC_OK;
}

enum rc json_parse(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	return parse_object(p, n, where, false, ret, e);
}

enum rc json_parse_unique(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	return parse_object(p, n, where, true, ret, e);
}

void json_free(struct json *doc)
{
	if (!doc)
		return;
	json_object_put(doc->root);
	arena_free(&doc->arena);
	free(doc);
}

struct js json_root(const struct json *doc)
{
	return (struct js){ doc ? doc->root : NULL };
}

enum js_type js_type(struct js v)
{
	switch (json_object_get_type(v.v)) {
	case json_type_null:
		return JS_NULL;
	case json_type_boolean:
		return JS_BOOL;
	case json_type_double:
		return JS_DOUBLE;
	case json_type_int:
		return JS_INT;
	case json_type_object:
		return JS_OBJ;
	case json_type_array:
		return JS_ARR;
	case json_type_string:
		return JS_STR;
	}
	return JS_NULL;
}

const char *js_type_name(enum js_type t)
{
	static const char *const names[] = {
		[JS_NULL] = "null",
		[JS_BOOL] = "a boolean",
		[JS_INT] = "an integer",
		[JS_DOUBLE] = "a number with a fraction",
		[JS_STR] = "a string",
		[JS_ARR] = "an array",
		[JS_OBJ] = "an object",
	};

	return names[t];
}

struct js js_get(struct js v, const char *key)
{
	struct json_object *found = NULL;

	if (js_type(v) == JS_OBJ)
		json_object_object_get_ex(v.v, key, &found);
	return (struct js){ found };
}

bool js_has(struct js v, const char *key)
{
	return js_type(v) == JS_OBJ &&
		json_object_object_get_ex(v.v, key, NULL);
}

size_t js_len(struct js v)
{
	return js_type(v) == JS_ARR ? json_object_array_length(v.v) : 0;
}

struct js js_at(struct js v, size_t i)
{
	if (i >= js_len(v))
		return (struct js){ NULL };
	return (struct js){ json_object_array_get_idx(v.v, i) };
}

const char *js_str(struct js v)
{
	return js_type(v) == JS_STR ? json_object_get_string(v.v) : NULL;
}

const char *js_get_str(struct js v, const char *key)
{
	return js_str(js_get(v, key));
}

const char *js_large(struct js v)
{
	return js_type(v) == JS_INT ? json_object_get_userdata(v.v) : NULL;
}

bool js_i64(struct js v, int64_t min, int64_t max, int64_t *ret)
{
	if (js_type(v) != JS_INT || js_large(v))
		return false;
	int64_t n = json_object_get_int64(v.v);
	if (n < min || n > max)
		return false;
	*ret = n;
	return true;
}

bool js_get_i64(struct js v, const char *key, int64_t *ret)
{
	return js_i64(js_get(v, key), -JSON_INT_MAX, JSON_INT_MAX, ret);
}

bool js_get_bool(struct js v, const char *key, bool *ret)
{
	struct js member = js_get(v, key);

	if (js_type(member) != JS_BOOL)
		return false;
	*ret = json_object_get_boolean(member.v);
	return true;
}

bool js_each(struct js v, bool (*fn)(const char *key, struct js v, void *arg),
	void *arg)
{
	if (js_type(v) != JS_OBJ)
		return true;
	struct json_object_iterator at = json_object_iter_begin(v.v);
	struct json_object_iterator end = json_object_iter_end(v.v);
	while (!json_object_iter_equal(&at, &end)) {
		struct js member = { json_object_iter_peek_value(&at) };
		if (!fn(json_object_iter_peek_name(&at), member, arg))
			return false;
		json_object_iter_next(&at);
	}
	return true;
}

static void write_number(struct js v, struct buf *out)
{
	const char *spelling = json_object_get_userdata(v.v);

	if (spelling)
		buf_add(out, spelling);
	else
		buf_addf(out, "%" PRId64, json_object_get_int64(v.v));
}

struct members {
	struct buf *out;
	bool more;
};

static bool write_member(const char *key, struct js v, void *arg)
{
	struct members *m = arg;

	if (m->more)
		buf_addc(m->out, ',');
	m->more = true;
	buf_add_json_str(m->out, key);
	buf_addc(m->out, ':');
	js_write(v, m->out);
	return true;
}

static void write_object(struct js v, struct buf *out)
{
	struct members m = { .out = out };

	buf_addc(out, '{');
	js_each(v, write_member, &m);
	buf_addc(out, '}');
}

static void write_array(struct js v, struct buf *out)
{
	size_t n = js_len(v);

	buf_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_addc(out, ',');
		js_write(js_at(v, i), out);
	}
	buf_addc(out, ']');
}

/* Not json-c's own writer: that one keeps its text inside the object, and
 * loses pieces of it without a word when memory is short. */
void js_write(struct js v, struct buf *out)
{
	switch (js_type(v)) {
	case JS_NULL:
		buf_add(out, "null");
		break;
	case JS_BOOL:
		buf_add(out, json_object_get_boolean(v.v) ? "true" : "false");
		break;
	case JS_INT:
	case JS_DOUBLE:
		write_number(v, out);
		break;
	case JS_STR:
		buf_add_json_str(out, json_object_get_string(v.v));
		break;
	case JS_ARR:
		write_array(v, out);
		break;
	case JS_OBJ:
		write_object(v, out);
		break;
	}
}
