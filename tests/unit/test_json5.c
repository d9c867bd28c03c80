/*
 * tests/unit/test_json5.c: JSON5 written as JSON. What it means is asked of
 * the parser of JSON, so that spaces do not matter.
 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"

#include "base/poison.h"

static enum rc parse(const char *text, size_t n, struct buf *out, struct err *e)
{
	struct json *doc = NULL;
	struct buf plain;

	buf_init(&plain, MIB);
	json5_to_json(text, n, &plain);
	assert_rc(buf_rc(&plain), RC_OK);
	enum rc rc = json_parse_any(buf_str(&plain), plain.n, "f", &doc, e);
	if (rc == RC_OK)
		js_write(json_root(doc), out);
	json_free(doc);
	buf_free(&plain);
	return rc;
}

static void means(const char *text, const char *want)
{
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, MIB);
	assert_ok(parse(text, strlen(text), &out, &e), e);
	assert_string_equal(buf_str(&out), want);
	buf_free(&out);
}

static void refused(const char *text, const char *words)
{
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, MIB);
	if (parse(text, strlen(text), &out, &e) == RC_OK)
		fail_msg("taken: %s as %s", text, buf_str(&out));
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in: %s", words, e.text);
	buf_free(&out);
}

static void test_json_is_json5(void **state)
{
	(void)state;
	means("{\"a\":[1,-2.5e+3,true,false,null,\"x\\n\\u00e9\\\\\\\"\"],"
	      "\"b\":{}}",
		"{\"a\":[1,-2.5e+3,true,false,null,\"x\\né\\\\\\\"\"],"
		"\"b\":{}}");
	means("\"http://a/*b*/c\"", "\"http://a/*b*/c\"");
	means("[\"a,]\", \"//\", \"'\"]", "[\"a,]\",\"//\",\"'\"]");
}

static void test_comments(void **state)
{
	(void)state;
	means("// one\n{/* two\n * three */\"a\"/**/:1//\n}//", "{\"a\":1}");
	means("/***/[1/**/,/*,*/2]", "[1,2]");
}

static void test_commas_at_the_end(void **state)
{
	(void)state;
	means("{\"a\":[1,2,],}", "{\"a\":[1,2]}");
	means("[1, // the last\n]", "[1]");
	refused("[,]", "f:1:2");
	refused("{,}", "f:1:2");
	refused("[1,,]", "f:1:4");
}

static void test_names(void **state)
{
	(void)state;
	means("{a:1,$include:'x',_b1 : true , c\n:null,true:false,\xC3\xA9:2}",
		"{\"a\":1,\"$include\":\"x\",\"_b1\":true,\"c\":null,"
		"\"true\":false,\"é\":2}");
	means("{a\xC2\xA0:1,\\u0062:2}", "{\"a\":1,\"b\":2}");
	refused("{a:b}", "f:1:6: found 'b'");
	refused("{a-b:1}", "f:1:");
	refused("[Infinity, NaN]", "f:1:2: found 'I'");
}

static void test_strings(void **state)
{
	(void)state;
	means("'it\\'s \"so\"'", "\"it's \\\"so\\\"\"");
	means("'\\x41\\v\\q\\\nb'", "\"A\\u000bqb\"");
	means("'a\\\r\nb\tc'", "\"ab\\tc\"");
	refused("'a\nb'", "f:1:");
	refused("'a", "f:1:");
	refused("\"a'", "f:1:");
	refused("'\\0'", "f:1:");
	refused("'a\\", "f:1:");
}

static void test_numbers(void **state)
{
	(void)state;
	means("[+1,-1,.5,5.,-.5,5.e2,0xFF,-0x10,0]",
		"[1,-1,0.5,5.0,-0.5,5.0e2,255,-16,0]");
	refused("0x", "f:1:2");
	refused("0x11111111111111111", "f:1:2");
	refused("01", "f:1:2");
	refused("1.2.3", "f:1:4");
	refused("+-1", "f:1:1");
	refused("1/**/2", "f:1:");
	refused("+", "f:1:1");
	refused(".", "f:1:1");
}

static void test_spaces(void **state)
{
	(void)state;
	means("\xEF\xBB\xBF{\xC2\xA0\"a\"\v:\f1\xE2\x80\xA9}\xE3\x80\x80",
		"{\"a\":1}");
	means("[1,\xE2\x80\x83 2]", "[1,2]");
}

/* What is wrong is named by the line that it stands in. */
static void test_lines_stay(void **state)
{
	(void)state;
	refused("{\n// a\n/* b\n c */ d: 'x',\n\n e: ?\n}", "f:6:");
}

static void test_not_closed(void **state)
{
	(void)state;
	refused("/* a", "f:1:1");
	refused("{a:1", "f:1:");
	refused("/", "f:1:1");
	refused("", "f:1:1");
}

/* Of any beginning of a text it makes something, and goes nowhere else. */
static void test_cut_anywhere(void **state)
{
	static const char text[] = "{a:'\\x41\\\n\\u0041',/*c*/\"b\":[+.5,0x1F,"
				   "-1.e+9,],// d\n\xE2\x80\x83$c:null,}";
	struct err e = { 0 };
	struct buf out;
	(void)state;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		/* Of its own, so that a step beyond its end is seen. */
		char *tight = malloc(n ? n : 1);
		assert_non_null(tight);
		memcpy(tight, text, n);
		buf_init(&out, MIB);
		(void)parse(tight, n, &out, &e);
		buf_free(&out);
		free(tight);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_is_json5),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_commas_at_the_end),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_spaces),
		cmocka_unit_test(test_lines_stay),
		cmocka_unit_test(test_not_closed),
		cmocka_unit_test(test_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
