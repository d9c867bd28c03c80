/*
 * tests/unit/test_yaml.c: what YAML is taken and what is refused, and the
 * writer.
 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/yaml.h"

#include "base/poison.h"

static struct yaml_doc parse(const char *text)
{
	struct yaml_doc doc = { 0 };
	struct err e = { 0 };

	assert_ok(yaml_parse(text, strlen(text), "f", &doc, &e), e);
	return doc;
}

static void reads_a_tree(void **state)
{
	struct yaml_doc doc = parse("# comment\n"
				    "server: {name: \"a b\", port: 80}\n"
				    "list:\n"
				    "- one\n"
				    "- - two\n"
				    "  - 'it''s'\n"
				    "text: |\n"
				    "  line\n"
				    "empty:\n"
				    "caf\xC3\xA9: \xC3\xA9 # c\n");
	const struct yaml_node *root = doc.root;
	const struct yaml_node *server = yaml_get(root, "server");
	const struct yaml_node *list = yaml_get(root, "list");

	(void)state;
	assert_int_equal(root->type, YAML_MAP);
	assert_int_equal(root->n, 5);
	assert_int_equal(root->line, 2);
	assert_int_equal(root->column, 1);
	assert_string_equal(yaml_str(yaml_get(server, "name")), "a b");
	assert_true(yaml_get(server, "name")->quoted);
	assert_int_equal(yaml_get(server, "name")->line, 2);
	assert_int_equal(yaml_get(server, "name")->column, 16);
	assert_int_equal(list->type, YAML_SEQ);
	assert_int_equal(list->n, 2);
	assert_string_equal(yaml_str(list->items[0]), "one");
	assert_string_equal(yaml_str(list->items[1]->items[1]), "it's");
	assert_int_equal(list->items[1]->items[1]->line, 6);
	assert_int_equal(list->items[1]->items[1]->column, 5);
	assert_string_equal(yaml_str(yaml_get(root, "text")), "line\n");
	assert_true(yaml_get(root, "text")->quoted);
	assert_true(yaml_is_null(yaml_get(root, "empty")));
	assert_string_equal(root->keys[4]->text, "caf\xC3\xA9");
	/* Columns are characters, not bytes. */
	assert_int_equal(root->items[4]->column, 7);
	assert_null(yaml_get(root, "none"));
	assert_null(yaml_get(NULL, "x"));
	assert_null(yaml_get(list, "x"));
	yaml_doc_free(&doc);
	yaml_doc_free(&doc);
	yaml_doc_free(NULL);
}

static void reads_nothing(void **state)
{
	static const char *const texts[] = { "", "\n", "# c\n", "---\n", "~",
		"null\n", "\xEF\xBB\xBF" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct yaml_doc doc = parse(texts[i]);
		assert_non_null(doc.root);
		assert_true(yaml_is_null(doc.root));
		assert_true(doc.root->line >= 1 && doc.root->column >= 1);
		yaml_doc_free(&doc);
	}
}

static void scalars(void **state)
{
	struct yaml_doc doc = parse("[null, ~, Null, 'null', true, 'true', yes,"
				    " False, 12, '12', -3, 012, 0x10, 1.5]");
	const struct yaml_node *const *v =
		(const struct yaml_node *const *)doc.root->items;
	bool b = false;
	int64_t n = 99;

	(void)state;
	assert_int_equal(doc.root->n, 14);
	assert_true(yaml_is_null(v[0]));
	assert_null(yaml_str(v[0]));
	assert_true(yaml_is_null(v[1]));
	assert_true(yaml_is_null(v[2]));
	assert_false(yaml_is_null(v[3]));
	assert_string_equal(yaml_str(v[3]), "null");
	assert_true(yaml_bool(v[4], &b));
	assert_true(b);
	assert_false(yaml_bool(v[5], &b));
	assert_false(yaml_bool(v[6], &b));
	assert_true(b);
	assert_true(yaml_bool(v[7], &b));
	assert_false(b);
	assert_true(yaml_int(v[8], 0, 100, &n));
	assert_int_equal(n, 12);
	assert_false(yaml_int(v[8], 0, 11, &n));
	assert_false(yaml_int(v[9], 0, 100, &n));
	assert_true(yaml_int(v[10], -10, 0, &n));
	assert_int_equal(n, -3);
	/* Octal or decimal: readers differ. */
	assert_false(yaml_int(v[11], 0, 100, &n));
	assert_false(yaml_int(v[12], 0, 100, &n));
	assert_false(yaml_int(v[13], 0, 100, &n));
	assert_false(yaml_int(NULL, 0, 100, &n));
	assert_false(yaml_bool(doc.root, &b));
	assert_int_equal(n, -3);
	assert_string_equal(yaml_type_name(v[0]), "nothing");
	assert_string_equal(yaml_type_name(NULL), "nothing");
	assert_string_equal(yaml_type_name(v[8]), "a text");
	assert_string_equal(yaml_type_name(doc.root), "a list");
	yaml_doc_free(&doc);
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "a: 1\nb: &x 1\n",
			"f:2:4: an anchor (&name), which is not supported" },
		{ "b: *x\n",
			"f:1:4: an alias (*name), which is not supported" },
		{ "- &x [*x]\n",
			"f:1:3: an anchor (&name), which is not supported" },
		{ "a: !foo 1", "f:1:4: a tag " },
		{ "a: !!int 1", "f:1:4: a tag " },
		{ "a: ! foo\n", "f:1:4: a tag " },
		{ "\xC3\xA9: [1, ! b]\n", "f:1:8: a tag " },
		{ "x: \xF0\x9F\x98\x80\r\na: ! 'foo'\n", "f:2:4: a tag " },
		{ "a: ! [1]", "f:1:4: a tag " },
		{ "--- !\na: b\n", "f:1:5: a tag " },
		{ "!k a: b\n", "f:1:1: a tag " },
		{ "b: 1\na: 1\nc: {}\na: 2\n",
			"f:4:1: the key \"a\" is there already, in line 2" },
		{ "x: {a: 1, 'a': 2}\n",
			"f:1:11: the key \"a\" is there already, in line 1" },
		{ "a: 1\n---\nb: 1\n",
			"f:2:1: a second document in the same file" },
		{ "a: [1\nb: 2\n",
			"f:2:2: the YAML cannot be read: did not find expected "
			"',' or ']'" },
		{ "a:\n\t- b\n",
			"f:2:1: the YAML cannot be read: found character that "
			"cannot start any token" },
		{ "a: b: c\n",
			"f:1:5: the YAML cannot be read: mapping values are "
			"not allowed" },
		{ "? [a]\n: b\n", "f:1:3: a key must be a text" },
		{ "a: \"\\0\"\n", "f:1:4: a text with a NUL in it" },
		{ "a: \"\\u0000x\"\n", "f:1:4: a text with a NUL in it" },
		{ "\xC3\xA9: \x01\n",
			"f:1:4: the YAML cannot be read: control characters "
			"are not allowed" },
		{ "a: b\nc: \xFF\n", "f:2:4: text that is not UTF-8" },
		{ "a: \xED\xA0\x80\n", "f:1:4: text that is not UTF-8" },
		{ "a: \"open\nb: 1\n",
			"f:3:1: the YAML cannot be read: found unexpected end "
			"of stream" },
		{ "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
			"f:1:17: more than 16 levels" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct yaml_doc doc = { 0 };
		struct err e = { 0 };
		const char *text = cases[i].text;
		assert_rc(yaml_parse(text, strlen(text), "f", &doc, &e),
			RC_INVALID);
		e.text[strlen(cases[i].want)] = '\0';
		assert_string_equal(e.text, cases[i].want);
		assert_null(doc.root);
	}
}

static void takes_what_only_looks_wrong(void **state)
{
	static const char *const texts[] = {
		"a: '!x'\nb: \"! y\"\nc: 'a *x & y'\n",
		"a: |\n  !x\n",
		"a: x ! y\n",
		"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
		"\xEF\xBB\xBF"
		"a: \xC3\xA9\nb: '!'\n",
		"a: {b: 1}\nb: {b: 1}\n",
		"[[], {}, [], {}, [], {}, [], {}, [], {}, [], {}, [], {}, [], "
		"{}, [], {}, [], {}]",
		"a: 1\r\nb: \"x\"\r\n",
		"%YAML 1.1\n---\na: 1\n...\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct yaml_doc doc = parse(texts[i]);
		yaml_doc_free(&doc);
	}
}

static void limits_nodes(void **state)
{
	enum { ITEMS = 100000 };
	struct yaml_doc doc = { 0 };
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, MIB);
	for (int i = 0; i < ITEMS - 1; i++)
		buf_add(&b, "- a\n");
	assert_ok(yaml_parse(buf_str(&b), b.n, NULL, &doc, &e), e);
	assert_int_equal(doc.root->n, ITEMS - 1);
	yaml_doc_free(&doc);
	buf_add(&b, "- a\n");
	assert_rc(yaml_parse(buf_str(&b), b.n, NULL, &doc, &e), RC_INVALID);
	assert_string_equal(e.text, "100000:3: more than 100,000 values");
	buf_free(&b);
}

static void finds_duplicates_among_many(void **state)
{
	enum { KEYS = 40000 };
	struct yaml_doc doc = { 0 };
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, MIB);
	for (int i = 0; i < KEYS; i++)
		buf_addf(&b, "k%d: 1\n", i);
	assert_ok(yaml_parse(buf_str(&b), b.n, "f", &doc, &e), e);
	yaml_doc_free(&doc);
	buf_add(&b, "k777: 2\n");
	assert_rc(yaml_parse(buf_str(&b), b.n, "f", &doc, &e), RC_INVALID);
	assert_string_equal(e.text,
		"f:40001:1: the key \"k777\" is there already, in line 778");
	buf_free(&b);
}

static void reads_the_reference_fleet(void **state)
{
	const char *dir = getenv("MUSTER_FIXTURES");
	struct yaml_doc doc = { 0 };
	struct err e = { 0 };
	struct buf b;

	(void)state;
	if (!dir)
		return;
	char *path = path_join(dir, "config.yaml");
	assert_non_null(path);
	buf_init(&b, LIMIT_CONFIG_FILE);
	assert_ok(file_read(path, &b, &e), e);
	assert_ok(yaml_parse(buf_str(&b), b.n, path, &doc, &e), e);
	assert_int_equal(doc.root->type, YAML_MAP);
	assert_non_null(yaml_get(doc.root, "ceo"));
	yaml_doc_free(&doc);
	buf_free(&b);
	free(path);
}

static void writes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10000);
	struct yaml_writer *w = yaml_writer_new(&b);
	assert_non_null(w);
	yw_map(w, NULL);
	yw_str(w, "id", "true");
	yw_str(w, "url", NULL);
	yw_str(w, "text", "a\n\"b\\ caf\xC3\xA9");
	yw_bool(w, "rate_limited", false);
	yw_map(w, "namespaces");
	yw_seq(w, "users");
	yw_map(w, NULL);
	yw_bool(w, "exclusive", true);
	yw_str(w, "regex", "^@a\\.b:c$");
	yw_end_map(w);
	yw_str(w, NULL, "item");
	yw_end_seq(w);
	yw_seq(w, "rooms");
	yw_end_seq(w);
	yw_end_map(w);
	yw_str(w, "io.example/key", "");
	yw_end_map(w);
	assert_rc(yaml_writer_finish(w), RC_OK);
	assert_string_equal(buf_str(&b),
		"id: \"true\"\n"
		"url: null\n"
		"text: \"a\\n\\\"b\\\\ caf\xC3\xA9\"\n"
		"rate_limited: false\n"
		"namespaces:\n"
		"  users:\n"
		"  - exclusive: true\n"
		"    regex: \"^@a\\\\.b:c$\"\n"
		"  - \"item\"\n"
		"  rooms: []\n"
		"\"io.example/key\": \"\"\n");

	struct yaml_doc doc = parse(buf_str(&b));
	assert_string_equal(
		yaml_str(yaml_get(doc.root, "text")), "a\n\"b\\ caf\xC3\xA9");
	yaml_doc_free(&doc);
	buf_free(&b);
}

/* A long regular expression stays on its line. */
static void writes_long_texts(void **state)
{
	char text[5000];
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 40 == 7 ? ' ' : 'x';
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, 10000);
	struct yaml_writer *w = yaml_writer_new(&b);
	yw_map(w, NULL);
	yw_str(w, "k", text);
	yw_end_map(w);
	assert_rc(yaml_writer_finish(w), RC_OK);
	assert_ptr_equal(strchr(buf_str(&b), '\n'), buf_str(&b) + b.n - 1);
	struct yaml_doc doc = parse(buf_str(&b));
	assert_string_equal(yaml_str(yaml_get(doc.root, "k")), text);
	yaml_doc_free(&doc);
	buf_free(&b);
}

static void writer_errors_are_sticky(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	struct yaml_writer *w = yaml_writer_new(&b);
	yw_map(w, NULL);
	yw_str(w, "key", "longer than ten bytes");
	yw_end_map(w);
	assert_rc(yaml_writer_finish(w), RC_TOO_LARGE);
	buf_free(&b);

	buf_init(&b, 1000);
	w = yaml_writer_new(&b);
	yw_map(w, NULL);
	yw_str(w, "key", "\xFF");
	yw_str(w, "more", "x");
	yw_end_map(w);
	assert_rc(yaml_writer_finish(w), RC_INVALID);
	buf_free(&b);

	/* A map that is not closed. */
	w = yaml_writer_new(&b);
	yw_map(w, NULL);
	assert_rc(yaml_writer_finish(w), RC_INVALID);
	buf_free(&b);
	assert_rc(yaml_writer_finish(NULL), RC_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_tree),
		cmocka_unit_test(reads_nothing),
		cmocka_unit_test(scalars),
		cmocka_unit_test(refuses),
		cmocka_unit_test(takes_what_only_looks_wrong),
		cmocka_unit_test(limits_nodes),
		cmocka_unit_test(finds_duplicates_among_many),
		cmocka_unit_test(reads_the_reference_fleet),
		cmocka_unit_test(writes),
		cmocka_unit_test(writes_long_texts),
		cmocka_unit_test(writer_errors_are_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
