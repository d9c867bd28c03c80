/*
 * base/json.c: json-c's home. json-c aborts on a wrong type and bends values
 * from one type to another; so only this file calls it, looks at the type
 * first, and gives it only text that our own scanner took.
 */
#include "base/json.h"

#include <json-c/json.h>

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_priv.h"
#include "base/limits.h"

#include "base/poison.h"

struct json {
	struct json_object *root;
};

/* json-c counts a scalar as a level of its own. */
#define TOKENER_DEPTH (LIMIT_JSON_DEPTH + 2)

/* The text has been checked: what fails here is memory. */
static enum rc build(
	const char *p, size_t n, struct json_object **ret, struct err *e)
{
	struct json_tokener *t = json_tokener_new_ex(TOKENER_DEPTH);

	if (!t)
		return err_nomem(e);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	struct json_object *root = json_tokener_parse_ex(t, p, (int)n);
	enum json_tokener_error error = json_tokener_get_error(t);
	size_t end = json_tokener_get_parse_end(t);
	if (error == json_tokener_continue && !root && end == n) {
		/* A number at the top ends only with the byte after it. */
		root = json_tokener_parse_ex(t, "\n", 1);
		error = json_tokener_get_error(t);
	}
	json_tokener_free(t);
	if (error == json_tokener_success && end == n) {
		*ret = root;
		return RC_OK;
	}
	json_object_put(root);
	return err_nomem(e);
}

static enum rc parse(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	size_t end;

	if (n > INT_MAX)
		return err_set(e, RC_INVALID, "%s: %zu bytes are too many",
			where ? where : "JSON", n);
	enum rc rc = json_check(p, n, where, &end, e);
	if (rc != RC_OK)
		return rc;
	struct json *doc = calloc(1, sizeof(*doc));
	if (!doc)
		return err_nomem(e);
	rc = build(p, end, &doc->root, e);
	if (rc != RC_OK) {
		free(doc);
		return rc;
	}
	*ret = doc;
	return RC_OK;
}

enum rc json_parse_any(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	return parse(p, n, where, ret, e);
}

enum rc json_parse(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e)
{
	struct json *doc = NULL;
	int line, column;

	enum rc rc = parse(p, n, where, &doc, e);
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

void json_free(struct json *doc)
{
	if (!doc)
		return;
	json_object_put(doc->root);
	free(doc);
}

struct js json_root(const struct json *doc)
{
	return (struct js){ doc->root };
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

bool js_i64(struct js v, int64_t min, int64_t max, int64_t *ret)
{
	if (js_type(v) != JS_INT)
		return false;
	int64_t n = json_object_get_int64(v.v);
	/* json-c gives the nearest end for what does not fit. */
	if (n == INT64_MIN || n == INT64_MAX || n < min || n > max)
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

static void write_int(struct js v, struct buf *out)
{
	int64_t n = json_object_get_int64(v.v);

	/* json-c keeps what is over INT64_MAX as unsigned. */
	if (n == INT64_MAX)
		buf_addf(out, "%" PRIu64, json_object_get_uint64(v.v));
	else
		buf_addf(out, "%" PRId64, n);
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
		write_int(v, out);
		break;
	case JS_DOUBLE:
		/* The parser leaves a double its own spelling. */
		buf_add(out, json_object_get_userdata(v.v));
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
