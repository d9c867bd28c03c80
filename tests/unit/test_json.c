/*
 * tests/unit/test_json.c: what is JSON and what is not, reading values,
 * finding places, writing.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

#include "base/poison.h"

static struct json *parse(const char *text)
{
	struct json *doc = NULL;
	struct err e = { 0 };

	assert_ok(json_parse_any(text, strlen(text), NULL, &doc, &e), e);
	return doc;
}

/* What a text looks like after being read and written. */
static void assert_round(const char *text, const char *want)
{
	struct json *doc = parse(text);
	struct buf b;

	buf_init(&b, 10000);
	js_write(json_root(doc), &b);
	assert_string_equal(buf_str(&b), want);
	buf_free(&b);
	json_free(doc);
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "1:1: found the end of the text, expected a value" },
		{ " \n ", "2:2: found the end of the text, expected a value" },
		{ "{\"a\":1,}",
			"1:8: found '}', expected a key in double quotes" },
		{ "{\"a\":1",
			"1:7: found the end of the text, expected ',' or '}'" },
		{ "{\"a\":[1 2]}", "1:9: found '2', expected ',' or ']'" },
		{ "{\"a\":[1,]}", "1:9: found ']', expected a value" },
		{ "{\"a\" 1}", "1:6: found '1', expected ':' after a key" },
		{ "{'a':1}",
			"1:2: found ''', expected a key in double quotes" },
		{ "{\"a\":'b'}", "1:6: found ''', expected a value" },
		{ "{\"a\":NaN}", "1:6: found 'N', expected a value" },
		{ "{\"a\":-Infinity}", "1:7: found 'I', expected a digit" },
		{ "{\"a\":TRUE}", "1:6: found 'T', expected a value" },
		{ "{\"a\":tru}", "1:6: found 't', expected a value" },
		{ "{\"a\":01}",
			"1:7: found a number that starts with 0, expected "
			"one without leading zeros" },
		{ "{\"a\":1.}", "1:8: found '}', expected a digit" },
		{ "{\"a\":1e}", "1:8: found '}', expected a digit" },
		{ "{\"a\":+1}", "1:6: found '+', expected a value" },
		{ "{\"a\":1} x",
			"1:9: found 'x', expected the end of the text" },
		{ "{}{}", "1:3: found '{', expected the end of the text" },
		{ "{ // c\n}",
			"1:3: found '/', expected a key in double quotes" },
		{ "{\"a\":\"b\n\"}",
			"1:8: found the end of the line in a string, "
			"expected a closing \"" },
		{ "{\"a\":\"b\r\n\"}",
			"1:8: found the end of the line in a string, "
			"expected a closing \"" },
		{ "{\"a\":\"b\tc\"}",
			"1:8: found a control character in a string, "
			"expected an escape such as \\t" },
		{ "{\"a\":\"b",
			"1:6: found a string that does not end, "
			"expected a closing \"" },
		{ "{\"a\":\"\\x\"}",
			"1:7: found an escape that JSON does not have, "
			"expected one of \\\" \\\\ \\/ \\b \\f "
			"\\n \\r \\t \\uXXXX" },
		{ "{\"a\":\"\\u12g4\"}",
			"1:7: found \\u without four hex digits, "
			"expected four of them, as in \\u00e9" },
		{ "{\"a\":\"\\u12",
			"1:7: found \\u without four hex digits, "
			"expected four of them, as in \\u00e9" },
		{ "{\"a\":\"\\",
			"1:7: found an escape that JSON does not have, "
			"expected one of \\\" \\\\ \\/ \\b \\f "
			"\\n \\r \\t \\uXXXX" },
		{ "{\"user\\u0000x\":1}",
			"1:7: found \\u0000, expected text without a NUL" },
		{ "{\"a\":\"\\\\\\u0000\"}",
			"1:9: found \\u0000, expected text without a NUL" },
		{ "{\"a\":\"\xC0\xAF\"}", "1:7: found text that is not UTF-8" },
		{ "{\"a\":\"\xED\xA0\x80\"}",
			"1:7: found text that is not UTF-8" },
		{ "{\n\t\"\xC3\xA9\": x}", "2:7: found 'x', expected a value" },
		{ "{\"a\":\x01}",
			"1:6: found the control character 0x01, "
			"expected a value" },
		{ "\xEF\xBB\xBF{}",
			"1:1: found a byte order mark, expected a value" },
		{ "[1]", "1:1: found an array, expected an object" },
		{ "\n \"x\"", "2:2: found a string, expected an object" },
		{ "null", "1:1: found null, expected an object" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *doc = NULL;
		struct err e = { 0 };
		const char *text = cases[i].text;
		assert_rc(json_parse(text, strlen(text), NULL, &doc, &e),
			RC_INVALID);
		assert_string_equal(e.text, cases[i].want);
		assert_null(doc);
	}
}

/* Where a person wrote it; of what a homeserver sends the last one counts. */
static void refuses_a_key_twice(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "{\"a\":1,\n \"b\":2,\n \"a\":3}",
			"f:3:2: found the key \"a\" a second time, expected "
			"each key of an object once" },
		{ "{\"x\":[{\"a\":{},\"\\u0061\":1}]}",
			"f:1:15: found the key \"\\u0061\" a second time, "
			"expected each key of an object once" },
		{ "{\"a\":null,\"a\":null}",
			"f:1:11: found the key \"a\" a second time, expected "
			"each key of an object once" },
		{ "[1]", "f:1:1: found an array, expected an object" },
	};
	static const char beside[] =
		"{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]},\"A\":3,\"\":{}}";
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *text = cases[i].text;
		assert_rc(json_parse_unique(text, strlen(text), "f", &doc, &e),
			RC_INVALID);
		assert_string_equal(e.text, cases[i].want);
		assert_null(doc);
	}
	assert_ok(json_parse_unique(beside, strlen(beside), "f", &doc, &e), e);
	json_free(doc);
	assert_ok(
		json_parse(cases[0].text, strlen(cases[0].text), "f", &doc, &e),
		e);
	json_free(doc);
}

/* A long key is told in part, and no character of it is cut. */
static void refuses_a_long_key_twice(void **state)
{
	char key[121], text[300], want[110];
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	memset(key, 'k', 120);
	memcpy(key + 99, "\xC3\xA9", 2);
	key[120] = '\0';
	snprintf(want, sizeof(want), "\"%.99s\" a", key);
	snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", key, key);
	assert_rc(json_parse_unique(text, strlen(text), NULL, &doc, &e),
		RC_INVALID);
	assert_non_null(strstr(e.text, want));
}

static void reads_many_keys(void **state)
{
	struct json *doc = NULL;
	struct err e = { 0 };
	struct buf b;
	int64_t v = 0;

	(void)state;
	buf_init(&b, 4 * MIB);
	buf_addc(&b, '{');
	for (int i = 0; i < 100000; i++)
		buf_addf(&b, "\"k%d\":%d,\n", i, i);
	size_t n = b.n;
	buf_add(&b, "\"last\":1}");
	assert_ok(json_parse_unique(buf_str(&b), b.n, NULL, &doc, &e), e);
	assert_true(js_get_i64(json_root(doc), "k99999", &v));
	assert_int_equal(v, 99999);
	json_free(doc);
	b.n = n;
	buf_add(&b, "\"k50000\":1}");
	assert_rc(json_parse_unique(buf_str(&b), b.n, NULL, &doc, &e),
		RC_INVALID);
	assert_string_equal(e.text,
		"100001:1: found the key \"k50000\" a second time, expected "
		"each key of an object once");
	buf_free(&b);
}

static void refuses_a_nul(void **state)
{
	static const char inside[] = "{\"a\":\"b\0c\"}";
	static const char between[] = "{\"a\":\0001}";
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	assert_rc(json_parse(inside, sizeof(inside) - 1, "f.json", &doc, &e),
		RC_INVALID);
	assert_string_equal(e.text,
		"f.json:1:8: found a control character in a string, expected "
		"an escape such as \\t");
	assert_rc(json_parse(between, sizeof(between) - 1, "f.json", &doc, &e),
		RC_INVALID);
	assert_string_equal(e.text,
		"f.json:1:6: found the control character 0x00, expected a "
		"value");
	/* Behind the document. */
	assert_rc(json_parse("{}", 3, NULL, &doc, &e), RC_INVALID);
	assert_null(doc);
}

static void replaces_nul(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "" },
		{ "\"a\\u0000b\"", "\"a\\ufffdb\"" },
		{ "\"\\u0000\\u0000\"", "\"\\ufffd\\ufffd\"" },
		/* A backslash and letters, and then a backslash and a NUL. */
		{ "\"\\\\u0000\"", "\"\\\\u0000\"" },
		{ "\"\\\\\\u0000\"", "\"\\\\\\ufffd\"" },
		{ "\"u0000 \\u0001\"", "\"u0000 \\u0001\"" },
		{ "\\u000", "\\u000" },
		{ "\\", "\\" },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "%s", cases[i].text);
		json_replace_nul(text, strlen(text));
		assert_string_equal(text, cases[i].want);
	}
}

/* The text need not end in a NUL, and bytes behind it do not count. */
static void reads_only_its_bytes(void **state)
{
	static const char text[] = "12345}";
	char *copy = malloc(2);
	struct json *doc = NULL;
	struct err e = { 0 };
	int64_t v = 0;

	(void)state;
	assert_ok(json_parse_any(text, 3, NULL, &doc, &e), e);
	assert_true(js_i64(json_root(doc), 0, 1000, &v));
	assert_int_equal(v, 123);
	json_free(doc);
	assert_non_null(copy);
	memcpy(copy, "{}", 2);
	assert_ok(json_parse(copy, 2, NULL, &doc, &e), e);
	json_free(doc);
	assert_rc(json_parse(copy, 1, NULL, &doc, &e), RC_INVALID);
	free(copy);
}

static void limits_depth(void **state)
{
	char text[2 * 65 + 2];
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	for (size_t depth = 64; depth <= 65; depth++) {
		memset(text, '[', depth);
		text[depth] = '1';
		memset(text + depth + 1, ']', depth);
		enum rc rc =
			json_parse_any(text, 2 * depth + 1, NULL, &doc, &e);
		assert_rc(rc, depth == 64 ? RC_OK : RC_INVALID);
		if (depth == 64)
			json_free(doc);
	}
	assert_string_equal(e.text,
		"1:65: found too many levels of nesting, expected at most 64");

	/* Beside each other they are no levels. */
	struct buf b;
	buf_init(&b, 1000);
	buf_add(&b, "[0");
	for (int i = 0; i < 70; i++)
		buf_add(&b, i % 2 ? ",{}" : ",[]");
	buf_addc(&b, ']');
	assert_ok(json_parse_any(buf_str(&b), b.n, NULL, &doc, &e), e);
	assert_int_equal(js_len(json_root(doc)), 71);
	json_free(doc);
	buf_free(&b);
}

static void limits_values(void **state)
{
	size_t n = 2 * (size_t)LIMIT_JSON_VALUES + 1;
	char *text = malloc(n);
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	/* The array itself and one value too many. */
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = i % 2 ? '1' : ',';
	text[0] = '[';
	text[n - 1] = ']';
	assert_rc(json_parse_any(text, n, NULL, &doc, &e), RC_INVALID);
	assert_non_null(strstr(e.text,
		"found more values than are "
		"read at once, expected at "
		"most 2000000"));
	free(text);
}

static void reads_typed_values(void **state)
{
	struct json *doc = parse("{\"s\":\"text\",\"n\":null,\"i\":-7,"
				 "\"b\":true,\"d\":1.5,\"o\":{\"k\":\"v\"},"
				 "\"a\":[1,\"two\",null],\"digits\":\"12\"}");
	struct js root = json_root(doc);
	struct js a = js_get(root, "a");
	int64_t i = 99;
	bool b = false;

	(void)state;
	assert_int_equal(js_type(root), JS_OBJ);
	assert_string_equal(js_get_str(root, "s"), "text");
	assert_null(js_get_str(root, "i"));
	assert_null(js_get_str(root, "none"));
	assert_string_equal(js_get_str(js_get(root, "o"), "k"), "v");

	/* Missing, null and wrong type are told apart. */
	assert_true(js_has(root, "n"));
	assert_null(js_get(root, "n").v);
	assert_false(js_has(root, "none"));
	assert_false(js_has(a, "n"));
	assert_int_equal(js_type(js_get(root, "n")), JS_NULL);
	assert_int_equal(js_type(js_get(root, "d")), JS_DOUBLE);

	/* No coercion, whatever json-c would do. */
	assert_false(js_get_i64(root, "digits", &i));
	assert_false(js_get_i64(root, "b", &i));
	assert_false(js_get_i64(root, "d", &i));
	assert_false(js_get_i64(root, "n", &i));
	assert_int_equal(i, 99);
	assert_true(js_get_i64(root, "i", &i));
	assert_int_equal(i, -7);
	assert_false(js_get_bool(root, "s", &b));
	assert_false(js_get_bool(root, "i", &b));
	assert_true(js_get_bool(root, "b", &b));
	assert_true(b);

	assert_int_equal(js_len(a), 3);
	assert_string_equal(js_str(js_at(a, 1)), "two");
	assert_null(js_at(a, 2).v);
	assert_null(js_at(a, 3).v);
	assert_null(js_at(a, SIZE_MAX).v);
	json_free(doc);
}

/* json-c aborts the program on most of these. */
static void survives_wrong_types(void **state)
{
	static const char *const texts[] = { "1", "1.5", "\"x\"", "true",
		"null", "[]", "{}" };
	int64_t i;
	bool b;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
		struct json *doc = parse(texts[k]);
		struct js v = json_root(doc);
		assert_int_equal(js_len(v), 0);
		assert_null(js_at(v, 0).v);
		assert_null(js_get(v, "a").v);
		assert_null(js_get_str(v, "a"));
		assert_false(js_has(v, "a"));
		assert_false(js_get_i64(v, "a", &i));
		assert_false(js_get_bool(v, "a", &b));
		assert_true(js_each(v, NULL, NULL));
		json_free(doc);
	}
	json_free(NULL);
}

static void checks_the_range_of_integers(void **state)
{
	static const struct {
		const char *text;
		bool fits;
	} cases[] = {
		{ "9007199254740991", true },
		{ "-9007199254740991", true },
		{ "9007199254740992", false },
		{ "-9007199254740992", false },
		{ "9223372036854775808", false },
		{ "18446744073709551615", false },
		{ "99999999999999999999999", false },
		{ "-99999999999999999999999", false },
		{ "1e3", false },
		{ "1.0", false },
		{ "-0", true },
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[64];
		snprintf(text, sizeof(text), "{\"v\":%s}", cases[i].text);
		struct json *doc = parse(text);
		assert_int_equal(
			js_get_i64(json_root(doc), "v", &v), cases[i].fits);
		/* Not even the widest range takes what is no int64_t. */
		if (strlen(cases[i].text) > 18)
			assert_false(js_i64(js_get(json_root(doc), "v"),
				INT64_MIN, INT64_MAX, &v));
		const char *large = js_large(js_get(json_root(doc), "v"));
		if (strlen(cases[i].text) > 18)
			assert_string_equal(large, cases[i].text);
		else
			assert_null(large);
		json_free(doc);
	}
	struct json *doc = parse("5");
	assert_false(js_i64(json_root(doc), 6, 10, &v));
	assert_false(js_i64(json_root(doc), 0, 4, &v));
	assert_true(js_i64(json_root(doc), 5, 5, &v));
	json_free(doc);
}

static void names_types(void **state)
{
	(void)state;
	assert_string_equal(js_type_name(JS_STR), "a string");
	assert_string_equal(js_type_name(JS_OBJ), "an object");
	assert_string_equal(js_type_name(JS_NULL), "null");
}

static bool collect(const char *key, struct js v, void *arg)
{
	struct buf *b = arg;

	buf_addf(b, "%s=", key);
	js_write(v, b);
	buf_addc(b, ' ');
	return strcmp(key, "stop") != 0;
}

static void walks_members(void **state)
{
	struct json *doc = parse("{\"z\":1,\"a\":null,\"stop\":[],\"y\":2}");
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_false(js_each(json_root(doc), collect, &b));
	assert_string_equal(buf_str(&b), "z=1 a=null stop=[] ");
	json_free(doc);
	buf_clear(&b);
	doc = parse("{\"b\":true,\"a\":{}}");
	assert_true(js_each(json_root(doc), collect, &b));
	assert_string_equal(buf_str(&b), "b=true a={} ");
	json_free(doc);
	buf_free(&b);
}

static void writes_what_it_read(void **state)
{
	(void)state;
	assert_round(" { \"a\" : [ 1 , 2.50 , 1e400 , null ] } ",
		"{\"a\":[1,2.50,1e400,null]}");
	assert_round("\"a\\/b \\u00e9\\n\"", "\"a/b \xC3\xA9\\n\"");
	assert_round("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
	/* Half a pair is no character. */
	assert_round("\"\\ud800\"", "\"\xEF\xBF\xBD\"");
	assert_round("\"\\ud800\\u0041\"",
		"\"\xEF\xBF\xBD"
		"A\"");
	assert_round("\"\\udc00\\udc00\"", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
	assert_round("\"\\\\u0000\"", "\"\\\\u0000\"");
	assert_round("-9223372036854775808", "-9223372036854775808");
	assert_round("-99999999999999999999999", "-99999999999999999999999");
	assert_round("0.1", "0.1");
	assert_round("false", "false");
	assert_round("null", "null");
	assert_round("12", "12");
	assert_round("[]", "[]");
	assert_round("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}");
}

static void locates(void **state)
{
	static const char text[] =
		"{\n"
		"  \"people\": [\n"
		"    {\"id\": \"a\"},\n"
		"    {\"id\": \"\xC3\xA9\", \"reportsTo\": 7}\n"
		"  ],\n"
		"  \"a.b\": {\"c\": [[1, 2]]},\n"
		"  \"peop\": 1, \"x\": 1, \"x\": 2, \"\": 3\n"
		"}\n";
	static const struct {
		const char *path;
		int line, column;
		bool found;
	} cases[] = {
		{ "", 1, 1, true },
		{ "people", 2, 13, true },
		{ "people[0]", 3, 5, true },
		{ "people[1].id", 4, 12, true },
		{ "people[1].reportsTo", 4, 30, true },
		{ "people[2]", 2, 13, false },
		{ "people[1].none", 4, 5, false },
		{ "people[1].id.x", 4, 12, false },
		{ "a.b.c[0][1]", 6, 21, true },
		{ "peop", 7, 11, true },
		{ "x", 7, 27, true },
		{ "none.at.all", 1, 1, false },
		{ "[0]", 1, 1, false },
	};
	int line, column;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool found = json_locate(
			text, sizeof(text) - 1, cases[i].path, &line, &column);
		assert_int_equal(found, cases[i].found);
		assert_int_equal(line, cases[i].line);
		assert_int_equal(column, cases[i].column);
	}
	assert_false(json_locate("{\"a\":", 5, "a", &line, &column));
}

static void builds(void **state)
{
	struct json *doc = parse("{\"k\":[1,2]}");
	struct buf b;
	struct jb jb;

	(void)state;
	buf_init(&b, 1000);
	jb_init(&jb, &b);
	jb_obj(&jb, NULL);
	jb_str(&jb, "s", "a\"b");
	jb_str(&jb, "none", NULL);
	jb_int(&jb, "i", INT64_MIN);
	jb_arr(&jb, "list");
	jb_bool(&jb, NULL, true);
	jb_obj(&jb, NULL);
	jb_int(&jb, "n", 0);
	jb_end_obj(&jb);
	jb_obj(&jb, NULL);
	jb_null(&jb, "k\n");
	jb_end_obj(&jb);
	jb_end_arr(&jb);
	jb_js(&jb, "doc", json_root(doc));
	jb_js(&jb, "missing", js_get(json_root(doc), "x"));
	jb_raw(&jb, "raw", "{\"x\":0}");
	jb_bool(&jb, "last", false);
	jb_end_obj(&jb);
	assert_rc(buf_rc(&b), RC_OK);
	assert_string_equal(buf_str(&b),
		"{\"s\":\"a\\\"b\",\"none\":null,\"i\":-9223372036854775808,"
		"\"list\":[true,{\"n\":0},{\"k\\n\":null}],\"doc\":{\"k\":[1,2]"
		"},"
		"\"missing\":null,\"raw\":{\"x\":0},\"last\":false}");
	json_free(doc);
	buf_free(&b);

	/* Too small a buffer: told once, at the end. */
	buf_init(&b, 8);
	jb_init(&jb, &b);
	jb_arr(&jb, NULL);
	for (int i = 0; i < 31; i++)
		jb_arr(&jb, NULL);
	for (int i = 0; i < 32; i++)
		jb_end_arr(&jb);
	assert_rc(buf_rc(&b), RC_TOO_LARGE);
	buf_free(&b);
}

/* --- a few values --------------------------------------------------------- */

static void pick(const char *text, struct json_pick *picks, size_t n)
{
	struct err e = { 0 };

	assert_ok(json_pick(text, strlen(text), picks, n, &e), e);
}

static void assert_picked(
	const struct json_pick *p, enum js_type type, const char *text)
{
	assert_true(p->found);
	assert_int_equal(p->type, type);
	if (!str_eq(p->text, text))
		fail_msg("%s: expected %s, found %.*s", p->path, text,
			(int)p->text.n, p->text.p);
}

static void test_pick(void **state)
{
	struct json_pick p[] = { { .path = "" }, { .path = "a" },
		{ .path = "b" }, { .path = "b.c" }, { .path = "b.c.d" },
		{ .path = "n" }, { .path = "no" }, { .path = "b.no" },
		{ .path = "x" }, { .path = "t" } };

	(void)state;
	pick("{\"a\":\"q\\\"\",\"b\":{\"a\":1,\"c\":{\"d\":[1,{\"a\":2}]}},"
	     "\"n\":-12,\"list\":[{\"no\":1}],\"x\":null, \"t\" : true }",
		p, ARRAY_LEN(p));
	assert_int_equal(p[0].type, JS_OBJ);
	assert_int_equal(p[0].text.n, 93);
	assert_picked(&p[1], JS_STR, "q\\\"");
	assert_picked(&p[2], JS_OBJ, "{\"a\":1,\"c\":{\"d\":[1,{\"a\":2}]}}");
	assert_picked(&p[3], JS_OBJ, "{\"d\":[1,{\"a\":2}]}");
	assert_picked(&p[4], JS_ARR, "[1,{\"a\":2}]");
	assert_picked(&p[5], JS_INT, "-12");
	assert_false(p[6].found);
	assert_false(p[7].found);
	assert_picked(&p[8], JS_NULL, "null");
	assert_picked(&p[9], JS_BOOL, "true");
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		assert_false(p[i].twice);
}

static void test_pick_twice(void **state)
{
	struct json_pick p[] = { { .path = "a" }, { .path = "b.a" },
		{ .path = "abc" } };

	(void)state;
	/* A key is what it stands for, and another than one it begins. */
	pick("{\"a\":1,\"b\":{\"a\":2},\"\\u0061\":3,\"ab\":4,\"abcd\":5,"
	     "\"\":6,\"b.a\":7}",
		p, ARRAY_LEN(p));
	assert_picked(&p[0], JS_INT, "3");
	assert_true(p[0].twice);
	assert_picked(&p[1], JS_INT, "2");
	assert_false(p[1].twice);
	assert_false(p[2].found);
}

static void test_pick_none(void **state)
{
	static const char *const texts[] = { "[]", "3", "\"a\"", "null",
		"[{\"a\":1}]", "{}" };
	static const char *const wrong[] = { "", "{", "{\"a\":1", "{\"a\":1}x",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\xc0\xaf\"}", "{'a':1}" };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct json_pick p = { .path = "a" };
		pick(texts[i], &p, 1);
		assert_false(p.found);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct json_pick p = { .path = "a" };
		assert_rc(json_pick(wrong[i], strlen(wrong[i]), &p, 1, &e),
			RC_INVALID);
	}
}

static void test_pick_str(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "{\"a\":\"plain\"}", "plain" },
		{ "{\"a\":\"\"}", "" },
		{ "{\"a\":\"\\u00e9\\ud83d\\ude00\\n\\/\"}",
			"\xc3\xa9\xf0\x9f\x98\x80\n/" },
		{ "{\"a\":\"x\\ud800\"}", NULL },
		{ "{\"a\":\"\\udc00\"}", NULL },
		{ "{\"a\":5}", NULL },
		{ "{}", NULL },
	};
	struct arena a = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_pick p = { .path = "a" };
		pick(cases[i].text, &p, 1);
		const char *s = json_pick_str(&p, &a);
		if (!text_eq(s, cases[i].want))
			fail_msg("%s: %s", cases[i].text, s ? s : "nothing");
	}
	assert_true(arena_ok(&a));
	arena_free(&a);
}

static void test_pick_i64(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t want;
	} cases[] = {
		{ "{\"a\":12}", true, 12 },
		{ "{\"a\":-0}", true, 0 },
		{ "{\"a\":9007199254740991}", true, 9007199254740991 },
		{ "{\"a\":9007199254740992}", false, 0 },
		{ "{\"a\":1.0}", false, 0 },
		{ "{\"a\":1e3}", false, 0 },
		{ "{\"a\":\"1\"}", false, 0 },
		{ "{}", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_pick p = { .path = "a" };
		int64_t v = 0;
		pick(cases[i].text, &p, 1);
		if (json_pick_i64(&p, &v) != cases[i].good ||
			v != cases[i].want)
			fail_msg("%s: %lld", cases[i].text, (long long)v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_a_key_twice),
		cmocka_unit_test(refuses_a_long_key_twice),
		cmocka_unit_test(reads_many_keys),
		cmocka_unit_test(refuses_a_nul),
		cmocka_unit_test(replaces_nul),
		cmocka_unit_test(reads_only_its_bytes),
		cmocka_unit_test(limits_depth),
		cmocka_unit_test(limits_values),
		cmocka_unit_test(reads_typed_values),
		cmocka_unit_test(survives_wrong_types),
		cmocka_unit_test(checks_the_range_of_integers),
		cmocka_unit_test(names_types),
		cmocka_unit_test(walks_members),
		cmocka_unit_test(writes_what_it_read),
		cmocka_unit_test(locates),
		cmocka_unit_test(builds),
		cmocka_unit_test(test_pick),
		cmocka_unit_test(test_pick_twice),
		cmocka_unit_test(test_pick_none),
		cmocka_unit_test(test_pick_str),
		cmocka_unit_test(test_pick_i64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
