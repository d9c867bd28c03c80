/*
 * tests/unit/test_template.c: files of a program's own form, filled with the
 * fields of a hand-off.
 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

static struct handoff given(const char *token)
{
	struct handoff h = { 0 };
	struct secret s = { 0 };
	assert_rc(secret_set(&s, token, strlen(token)), RC_OK);
	assert_rc(handoff_set(&h, 7, "@aaron.phillips:anycompany.corp",
			  "MUSTER", "http://conduit.anycompany.corp:6167", &s,
			  1772000000000),
		RC_OK);
	secret_fini(&s);
	return h;
}

static void filled_with(
	const char *text, const char *token, bool json, const char *want)
{
	struct template *t = NULL;
	struct err e = { 0 };
	struct buf out;
	struct handoff h = given(token);

	buf_init(&out, MIB);
	assert_ok(template_new(text, strlen(text), "t", json, &t, &e), e);
	assert_ok(template_fill(t, &h, h.homeserver, &out, &e), e);
	assert_string_equal(buf_str(&out), want);
	template_free(t);
	handoff_fini(&h);
	buf_wipe(&out);
}

static void filled(const char *text, const char *want)
{
	filled_with(text, "t0p_secret", false, want);
}

static void refused(const char *text, bool json, const char *words)
{
	struct template *t = NULL;
	struct err e = { 0 };
	assert_rc(template_new(
			  text, strlen(text), "matrix.json.in", json, &t, &e),
		RC_INVALID);
	assert_null(t);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in: %s", words, e.text);
}

static void test_every_field(void **state)
{
	(void)state;
	filled("u={{user_id}}\nd={{device_id}}\nh={{homeserver}}\n"
	       "t={{access_token}}\ng={{generation}}\ni={{issued_ms}}\n",
		"u=@aaron.phillips:anycompany.corp\nd=MUSTER\n"
		"h=http://conduit.anycompany.corp:6167\nt=t0p_secret\n"
		"g=7\ni=1772000000000\n");
}

static void test_where_it_stands(void **state)
{
	(void)state;
	filled("", "");
	filled("{{access_token}}", "t0p_secret");
	filled("{{ access_token }}{{\tdevice_id}}", "t0p_secretMUSTER");
	filled("a{b}c}}d", "a{b}c}}d");
	filled("{{{{access_token}}", "{{access_token}}");
	filled("{{{{{{generation}}", "{{7");
}

static void test_another_homeserver_is_told(void **state)
{
	struct template *t = NULL;
	struct err e = { 0 };
	struct buf out;
	struct handoff h = given("x");
	(void)state;

	buf_init(&out, 256);
	assert_ok(template_new("{{homeserver}}", 14, "t", false, &t, &e), e);
	assert_ok(template_fill(t, &h, "https://other.example", &out, &e), e);
	assert_string_equal(buf_str(&out), "https://other.example");
	template_free(t);
	handoff_fini(&h);
	buf_free(&out);
}

/* A token with everything that JSON escapes, in JSON and elsewhere. */
static void test_json_is_escaped(void **state)
{
	(void)state;
	filled_with("{\"token\": \"{{access_token}}\"}", "a\"b\\c", true,
		"{\"token\": \"a\\\"b\\\\c\"}");
	filled_with("{\"t\": \"say \\\"{{access_token}}\\\" \\\\\", \"g\": "
		    "{{generation}}}",
		"a\"b", false,
		"{\"t\": \"say \\\"a\\\"b\\\" \\\\\", \"g\": 7}");
	filled_with("{\"{{user_id}}\": [{{access_token}}, {{issued_ms}}]}",
		"a\"b", false,
		"{\"@aaron.phillips:anycompany.corp\": [\"a\\\"b\", "
		"1772000000000]}");
	filled_with("token: \"{{access_token}}\"", "a\"b\\c", false,
		"token: \"a\"b\\c\"");
	/* Braces of JSON itself are no placeholder's. */
	filled_with("{\"a\":{\"b\":{\"t\":{{generation}}}}}", "x", true,
		"{\"a\":{\"b\":{\"t\":7}}}");
}

static void test_unknown_placeholder(void **state)
{
	(void)state;
	refused("a\nb {{acces_token}}", false,
		"matrix.json.in:2:3: {{acces_token}} is no placeholder");
	refused("{{}}", false, "matrix.json.in:1:1: {{}} is no");
	refused("é{{user_id", false,
		"matrix.json.in:1:2: {{user_id without its end");
	refused("{{user_id\n}}", false, "1:1: {{user_id without its end");
	refused("{{user_id}", false, "without its end");
	refused("{{{user_id}}}", false, "1:1: {{");
	refused("{{a\xff}}", false, "1:1: {{}} is no placeholder");
	refused("{{\x1b[2J}}", false, "1:1: {{}} is no placeholder");
	refused("{{ACCESS_TOKEN}}", false, "{{access_token}}");
}

static void test_json_that_is_none(void **state)
{
	(void)state;
	/* The column is the template's, not that of what was tried. */
	refused("{\"a\": \"{{access_token}}\", \"b\": }", true,
		"matrix.json.in:1:32: found '}'");
	refused("{\"a\": {{access_token}}x}", true, "1:23: found 'x'");
	refused("", true, "1:1: found the end");
	refused("{{access_token}}", true, "neither an object nor an array");
	/* Where nothing says that it is JSON, it is a text. */
	filled("{\"a\": {{access_token}}x}", "{\"a\": t0p_secretx}");
}

static void test_json_by_name(void **state)
{
	(void)state;
	assert_true(template_is_json_name("/a/config.json"));
	assert_false(template_is_json_name("/a/config.json5"));
	assert_false(template_is_json_name("config.yaml"));
}

/* What becomes too long is an error, and not a torn file. */
static void test_no_room(void **state)
{
	struct template *t = NULL;
	struct err e = { 0 };
	struct buf out;
	struct handoff h = given("t0p_secret");
	(void)state;

	buf_init(&out, 12);
	assert_ok(
		template_new("{{access_token}}12", 18, "t", false, &t, &e), e);
	assert_ok(template_fill(t, &h, "", &out, &e), e);
	buf_free(&out);
	buf_init(&out, 11);
	assert_rc(template_fill(t, &h, "", &out, &e), RC_TOO_LARGE);
	template_free(t);
	handoff_fini(&h);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_where_it_stands),
		cmocka_unit_test(test_another_homeserver_is_told),
		cmocka_unit_test(test_json_is_escaped),
		cmocka_unit_test(test_unknown_placeholder),
		cmocka_unit_test(test_json_that_is_none),
		cmocka_unit_test(test_json_by_name),
		cmocka_unit_test(test_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
