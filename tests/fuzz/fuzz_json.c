/*
 * JSON: what is read and written again is the same, and every way to ask for a
 * value stays within it.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#include "base/poison.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct place at = { (const char *)p, n };
	struct json *doc = NULL;
	struct err e = { 0 };
	int line = 0, column = 0;

	bool good = json_parse_any(at.p, n, "x", &doc, &e) == RC_OK;
	if (good) {
		look(json_root(doc));
		check_again(json_root(doc));
		js_each(json_root(doc), find_member, &at);
	} else {
		check_refusal(&e, "x:");
	}
	HOLDS(object_only(at.p, n) ==
		(good && js_type(json_root(doc)) == JS_OBJ));
	HOLDS(json_locate(at.p, n, "", &line, &column) == good);
	check_replaced(at.p, n, &e);
	json_free(doc);
	return 0;
}
