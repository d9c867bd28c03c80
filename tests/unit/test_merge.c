/*
 * tests/unit/test_merge.c: documents laid over each other, and edited.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"

#include "base/poison.h"

/* Texts here are written with single quotes, for reading. */
static struct json *doc(const char *text)
{
	struct json *ret = NULL;
	struct err e = { 0 };
	char *copy;

	if (!text)
		return NULL;
	copy = strdup(text);
	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	assert_ok(json_parse_any(copy, strlen(copy), "test", &ret, &e), e);
	free(copy);
	return ret;
}

/* Compact, with single quotes. */
static void assert_text(const struct buf *got, const char *want)
{
	struct json *d = NULL;
	struct err e = { 0 };
	struct buf text;

	assert_rc(buf_rc(got), RC_OK);
	buf_init(&text, MIB);
	assert_ok(json_parse_any(got->p, got->n, "result", &d, &e), e);
	js_write(json_root(d), &text);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '"')
			text.p[i] = '\'';
	assert_string_equal(buf_str(&text), want);
	json_free(d);
	buf_free(&text);
}

static void merges(
	const char *base, const char *seed, const char *own, const char *want)
{
	struct json *b = doc(base), *s = doc(seed), *o = doc(own);
	struct buf out;

	buf_init(&out, MIB);
	merge_three(json_root(b), json_root(s), json_root(o), &out);
	assert_text(&out, want);
	buf_free(&out);
	json_free(b);
	json_free(s);
	json_free(o);
}

static void edits(const char *text, const struct merge_edit *e, size_t n,
	const char *want)
{
	struct json *d = doc(text);
	struct buf out;

	buf_init(&out, MIB);
	merge_edit(json_root(d), e, n, &out);
	assert_text(&out, want);
	buf_free(&out);
	json_free(d);
}

static void same(const char *a, const char *b, bool want)
{
	struct json *x = doc(a), *y = doc(b);

	if (merge_same(json_root(x), json_root(y)) != want ||
		merge_same(json_root(y), json_root(x)) != want)
		fail_msg("%s and %s", a, b);
	json_free(x);
	json_free(y);
}

static void test_same(void **state)
{
	(void)state;
	same("{'a':1,'b':[true,null]}", "{'b':[true,null],'a':1}", true);
	same("{'a':1}", "{'a':1,'b':1}", false);
	same("{'a':null}", "{'b':null}", false);
	same("[1,2]", "[2,1]", false);
	same("[1]", "[1,1]", false);
	same("'x'", "'x'", true);
	same("'1'", "1", false);
	same("true", "false", false);
	same("null", "false", false);
	same("{}", "[]", false);
	same("0.70", "0.7", true);
	same("1", "1.0", true);
	same("1e3", "1000", true);
	same("0.7", "0.8", false);
	same("9007199254740993", "9007199254740992", false);
	same("123456789012345678901234567890", "123456789012345678901234567891",
		false);
}

/* Nobody changed anything; the agent did; the seed did. */
static void test_one_side_changes(void **state)
{
	(void)state;
	merges("{'a':1}", "{'a':1}", "{'a':1}", "{'a':1}");
	merges("{'a':1}", "{'a':1}", "{'a':2}", "{'a':2}");
	merges("{'a':1}", "{'a':3}", "{'a':1}", "{'a':3}");
	merges("{'a':1}", "{'a':1,'b':2}", "{'a':1}", "{'a':1,'b':2}");
	merges("{'a':1}", "{'a':1}", "{'a':1,'b':2}", "{'a':1,'b':2}");
	merges("{'a':1,'b':2}", "{'a':1}", "{'a':1,'b':2}", "{'a':1}");
	merges("{'a':1,'b':2}", "{'a':1,'b':2}", "{'a':1}", "{'a':1}");
	/* Written anew by somebody who sorts and spells otherwise. */
	merges("{'a':{'x':0.70,'y':[1]}}", "{'a':{'x':0.9,'y':[1]}}",
		"{'a':{'y':[1],'x':0.7}}", "{'a':{'y':[1],'x':0.9}}");
}

/* Both did: what the agent did stays. */
static void test_both_change(void **state)
{
	(void)state;
	merges("{'a':1}", "{'a':3}", "{'a':2}", "{'a':2}");
	merges("{'a':1}", "{'a':3}", "{}", "{}");
	merges("{'a':1}", "{}", "{'a':2}", "{'a':2}");
	merges("{}", "{'a':3}", "{'a':2}", "{'a':2}");
	merges("{'a':[1]}", "{'a':[1,2]}", "{'a':[0,1]}", "{'a':[0,1]}");
	/* But what the one did beside what the other did is no conflict. */
	merges("{'a':{'x':1,'y':1}}", "{'a':{'x':2,'y':1}}",
		"{'a':{'x':1,'y':2}}", "{'a':{'x':2,'y':2}}");
	merges("{'a':{'x':1}}", "{'a':{'x':1,'z':{'q':1}}}",
		"{'a':{'x':1,'y':2}}", "{'a':{'x':1,'y':2,'z':{'q':1}}}");
}

/* What is gone from the seed goes, and what the agent has put into it stays. */
static void test_seed_loses(void **state)
{
	(void)state;
	merges("{'a':{'x':1}}", "{}", "{'a':{'x':1,'y':2}}", "{'a':{'y':2}}");
	merges("{'a':{'x':1}}", "{}", "{'a':{'x':2}}", "{'a':{'x':2}}");
	merges("{'a':{'x':1}}", "{}", "{'a':7}", "{'a':7}");
	merges("{'a':7}", "{}", "{'a':{'x':1}}", "{'a':{'x':1}}");
	merges("{'a':[1]}", "{}", "{'a':[1,2]}", "{'a':[1,2]}");
}

static void test_kinds_change(void **state)
{
	(void)state;
	merges("{'a':1}", "{'a':{'x':1}}", "{'a':1}", "{'a':{'x':1}}");
	merges("{'a':{'x':1}}", "{'a':1}", "{'a':{'x':1}}", "{'a':1}");
	merges("{'a':{'x':1}}", "{'a':1}", "{'a':{'x':2}}", "{'a':{'x':2}}");
	merges("{'a':1}", "{'a':{'x':1,'y':1}}", "{'a':{'x':2}}",
		"{'a':{'x':2,'y':1}}");
	merges("{'a':null}", "{'a':1}", "{'a':null}", "{'a':1}");
	merges("{'a':1}", "{'a':1}", "{'a':null}", "{'a':null}");
}

/* The first time: no memory of a seed, or nothing of the agent's. */
static void test_no_base(void **state)
{
	(void)state;
	merges(NULL, "{'a':{'x':1,'y':1},'b':1}", "{'a':{'x':2},'c':1}",
		"{'a':{'x':2,'y':1},'c':1,'b':1}");
	merges(NULL, "{'a':1}", NULL, "{'a':1}");
	merges(NULL, NULL, "{'a':1}", "{'a':1}");
	merges(NULL, NULL, NULL, "{}");
	merges("[]", "3", "'x'", "{}");
}

static void test_written_for_people(void **state)
{
	struct json *d = doc("{'a':[1,{}],'b':{},'c':[]}");
	struct buf out;
	(void)state;

	buf_init(&out, MIB);
	merge_edit(json_root(d), NULL, 0, &out);
	assert_string_equal(buf_str(&out),
		"{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {},\n"
		"  \"c\": []\n}\n");
	buf_free(&out);
	json_free(d);
}

static void test_edits(void **state)
{
	(void)state;
	const struct merge_edit change[] = {
		{ .path = "a.b.c", .json = "1" },
		{ .path = "a.b.d" },
		{ .path = "x", .json = "\"y\"" },
		{ .path = "a.e", .json = "true", .missing = true },
		{ .path = "q.r" },
	};
	const size_t n = ARRAY_LEN(change);
	edits("{}", change, n, "{'a':{'b':{'c':1},'e':true},'x':'y'}");
	edits("{'a':{'b':{'c':0,'d':0,'k':0},'e':null,'f':0},'q':{'r':0,'s':0},"
	      "'x':[]}",
		change, n,
		"{'a':{'b':{'c':1,'k':0},'e':null,'f':0},'q':{'s':0},"
		"'x':'y'}");
	/* Where an object is expected and is none, one is made, but not to
	 * take something out of it. */
	edits("{'a':'text','q':'text'}", change, n,
		"{'a':{'b':{'c':1},'e':true},'q':'text','x':'y'}");
	edits("{'a':{'b':[1]}}", change, n,
		"{'a':{'b':{'c':1},'e':true},'x':'y'}");
	edits("[1]", change, 1, "{'a':{'b':{'c':1}}}");
	edits("[1]", change + 1, 1, "[1]");
}

/* A dot in a key of the document is no step. */
static void test_dots_in_keys(void **state)
{
	(void)state;
	const struct merge_edit change[] = { { .path = "a.b", .json = "1" } };
	edits("{'a.b':0}", change, 1, "{'a.b':0,'a':{'b':1}}");
	edits("{'a':{'b.c':0}}", change, 1, "{'a':{'b.c':0,'b':1}}");
	edits("{'a.b':{'b':0},'':0}", change, 1,
		"{'a.b':{'b':0},'':0,'a':{'b':1}}");
}

/* As deep as a document may be. */
static void test_deep(void **state)
{
	struct buf text;
	(void)state;

	buf_init(&text, MIB);
	for (int i = 0; i < LIMIT_JSON_DEPTH - 1; i++)
		buf_add(&text, "{'a':");
	buf_add(&text, "{}");
	for (int i = 0; i < LIMIT_JSON_DEPTH - 1; i++)
		buf_addc(&text, '}');
	merges(text.p, text.p, text.p, text.p);
	merges(NULL, "{'a':{}}", text.p, text.p);
	merges(NULL, text.p, "{'a':{}}", text.p);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_one_side_changes),
		cmocka_unit_test(test_both_change),
		cmocka_unit_test(test_seed_loses),
		cmocka_unit_test(test_kinds_change),
		cmocka_unit_test(test_no_base),
		cmocka_unit_test(test_written_for_people),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_dots_in_keys),
		cmocka_unit_test(test_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
