/*
 * YAML, as people write it: what is refused is refused with its place, what is
 * taken is a tree within its bounds, and a text that is written is read again.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

#include "base/poison.h"

static void look(const struct yaml_node *v, int depth)
{
	int64_t number;
	bool truth;

	HOLDS(v && v->line > 0 && v->column > 0 && depth <= 16);
	HOLDS(*yaml_type_name(v));
	if (v->type == YAML_SCALAR)
		HOLDS(v->text && utf8_valid(v->text, strlen(v->text), NULL));
	if (v->type == YAML_SCALAR || v->type == YAML_NULL)
		HOLDS(!v->n);
	HOLDS(!yaml_str(v) == (v->type != YAML_SCALAR));
	if (yaml_bool(v, &truth) || yaml_int(v, -9, 9, &number))
		HOLDS(v->type == YAML_SCALAR && !v->quoted);
	for (size_t i = 0; i < v->n; i++) {
		if (v->type == YAML_MAP) {
			HOLDS(v->keys[i]->type == YAML_SCALAR);
			HOLDS(yaml_get(v, v->keys[i]->text) == v->items[i]);
		}
		look(v->items[i], depth + 1);
	}
}

static void check_reading(const char *p, size_t n)
{
	struct yaml_doc doc;
	struct err e = { 0 };

	if (yaml_parse(p, n, "x", &doc, &e) == RC_OK) {
		look(doc.root, 0);
		yaml_doc_free(&doc);
		return;
	}
	HOLDS(e.rc == RC_INVALID);
	HOLDS(MATCHES("x:[1-9][0-9]*:[1-9][0-9]*: (.|\n)+", e.text));
}

static void check_writing(const char *text)
{
	struct buf out;
	struct yaml_doc doc;
	struct err e = { 0 };

	buf_init(&out, 1 << 24);
	struct yaml_writer *w = yaml_writer_new(&out);
	HOLDS(w);
	yw_map(w, NULL);
	yw_str(w, "text", text);
	yw_seq(w, "list");
	yw_str(w, NULL, text);
	yw_bool(w, NULL, true);
	yw_end_seq(w);
	yw_end_map(w);
	HOLDS(yaml_writer_finish(w) == RC_OK);
	if (yaml_parse(out.p, out.n, NULL, &doc, &e) != RC_OK)
		fuzz_broken(__FILE__, __LINE__, e.text);
	HOLDS(text_eq(yaml_str(yaml_get(doc.root, "text")), text));
	const struct yaml_node *list = yaml_get(doc.root, "list");
	HOLDS(list->n == 2 && text_eq(yaml_str(list->items[0]), text));
	yaml_doc_free(&doc);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);

	check_reading((const char *)p, n);
	if (utf8_valid(text, strlen(text), NULL))
		check_writing(text);
	free(text);
	return 0;
}
