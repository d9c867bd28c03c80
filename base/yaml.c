/*
 * base/yaml.c: the reader of YAML, on libyaml. It works on events, so that it can
 * refuse what is too deep or too much before it is built; what it accepts is
 * the part of YAML that reads the same everywhere.
 */
#include "base/yaml.h"

#include <yaml.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

#define DEPTH_MAX 16
#define NODES_MAX 100000
/* Before libyaml's words, which do not say what they are about. */
#define NO_YAML "the YAML cannot be read: "

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one we are at */
	bool have_event;
	const char *text;
	size_t n;
	const char *where;
	struct arena *arena;
	struct err *e;
	enum rc rc;
	size_t nodes;
	int depth;
};

static struct yaml_node *read_node(struct reader *r);

/* Remembers the first failure; NULL, for callers that return a node. */
static void *fail_at(struct reader *r, int line, int column, const char *fmt,
	...) PRINTF_LIKE(4, 5);

static void *fail_at(
	struct reader *r, int line, int column, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (r->rc != RC_OK)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->rc = err_set(r->e, RC_INVALID, "%s%s%d:%d: %s",
		r->where ? r->where : "", r->where ? ":" : "", line, column,
		text);
	return NULL;
}

static void *fail_here(struct reader *r, const char *what)
{
	const yaml_mark_t *m = &r->event.start_mark;

	return fail_at(r, (int)m->line + 1, (int)m->column + 1, "%s", what);
}

static void *fail_nomem(struct reader *r)
{
	if (r->rc == RC_OK)
		r->rc = err_nomem(r->e);
	return NULL;
}

/* What libyaml says is wrong. */
static void fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	int line = (int)p->problem_mark.line + 1;
	int column = (int)p->problem_mark.column + 1;

	if (p->error == YAML_MEMORY_ERROR) {
		fail_nomem(r);
		return;
	}
	if (p->error == YAML_READER_ERROR)
		text_place(r->text,
			p->problem_offset < r->n ? p->problem_offset : r->n,
			&line, &column);
	if (p->context && (int)p->context_mark.line + 1 != line)
		fail_at(r, line, column,
			NO_YAML "%s (%s that starts in line %d)", p->problem,
			p->context, (int)p->context_mark.line + 1);
	else
		fail_at(r, line, column, NO_YAML "%s", p->problem);
}

/* Goes to the next event. */
static bool next(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event =
		r->rc == RC_OK && yaml_parser_parse(&r->parser, &r->event) == 1;
	if (!r->have_event)
		fail_parser(r);
	return r->have_event;
}

static bool is_null_word(const char *s)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static struct yaml_node *read_scalar(struct reader *r, struct yaml_node *node)
{
	const char *value = (const char *)r->event.data.scalar.value;
	size_t n = r->event.data.scalar.length;

	if (memchr(value, '\0', n))
		return fail_here(r, "a text with a NUL in it");
	node->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	node->type =
		!node->quoted && is_null_word(value) ? YAML_NULL : YAML_SCALAR;
	node->text = arena_strndup(r->arena, value, n);
	if (!node->text || !next(r))
		return NULL;
	return node;
}

static struct yaml_node *read_seq(struct reader *r, struct yaml_node *node)
{
	size_t cap = 0;

	node->type = YAML_SEQ;
	if (!next(r))
		return NULL;
	while (r->event.type != YAML_SEQUENCE_END_EVENT) {
		struct yaml_node *item = read_node(r);
		if (!item)
			return NULL;
		struct yaml_node **place = arena_push(r->arena, &node->items,
			&node->n, &cap, sizeof(struct yaml_node *));
		if (!place)
			return NULL;
		*place = item;
	}
	return next(r) ? node : NULL;
}

static int compare_keys(const void *a, const void *b)
{
	const struct yaml_node *const *left = a;
	const struct yaml_node *const *right = b;
	int order = strcmp((*left)->text, (*right)->text);

	if (order != 0)
		return order;
	if ((*left)->line != (*right)->line)
		return (*left)->line < (*right)->line ? -1 : 1;
	return (*left)->column < (*right)->column ? -1 : 1;
}

/* By sorting: a map may have a hundred thousand keys. */
static bool no_duplicates(struct reader *r, const struct yaml_node *map)
{
	size_t size = sizeof(struct yaml_node *);

	if (map->n < 2)
		return true;
	struct yaml_node **sorted = arena_array(r->arena, map->n, size);
	if (!sorted)
		return false;
	memcpy(sorted, map->keys, map->n * size);
	qsort(sorted, map->n, size, compare_keys);
	for (size_t i = 1; i < map->n; i++) {
		const struct yaml_node *key = sorted[i];
		if (strcmp(sorted[i - 1]->text, key->text) != 0)
			continue;
		fail_at(r, key->line, key->column,
			"the key \"%.100s\" is there already, in line %d",
			key->text, sorted[i - 1]->line);
		return false;
	}
	return true;
}

static bool read_pair(
	struct reader *r, struct yaml_node *map, size_t *key_cap, size_t *cap)
{
	size_t size = sizeof(struct yaml_node *);
	size_t n = map->n; /* both arrays grow by one */

	if (r->event.type != YAML_SCALAR_EVENT) {
		fail_here(r, "a key must be a text");
		return false;
	}
	struct yaml_node *key = read_node(r);
	if (!key)
		return false;
	key->type = YAML_SCALAR;
	struct yaml_node **key_place =
		arena_push(r->arena, &map->keys, &n, key_cap, size);
	struct yaml_node *value = read_node(r);
	if (!key_place || !value)
		return false;
	struct yaml_node **place =
		arena_push(r->arena, &map->items, &map->n, cap, size);
	if (!place)
		return false;
	*key_place = key;
	*place = value;
	return true;
}

static struct yaml_node *read_map(struct reader *r, struct yaml_node *node)
{
	size_t key_cap = 0;
	size_t cap = 0;

	node->type = YAML_MAP;
	if (!next(r))
		return NULL;
	while (r->event.type != YAML_MAPPING_END_EVENT)
		if (!read_pair(r, node, &key_cap, &cap))
			return NULL;
	return no_duplicates(r, node) && next(r) ? node : NULL;
}

/* Anchors, aliases and tags: what they mean differs between readers. */
static bool is_plain_yaml(struct reader *r)
{
	const yaml_event_t *ev = &r->event;
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;

	if (ev->type == YAML_ALIAS_EVENT) {
		fail_here(r, "an alias (*name), which is not supported");
		return false;
	}
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	if (anchor) {
		fail_here(r, "an anchor (&name), which is not supported");
		return false;
	}
	if (tag) {
		fail_here(r,
			"a tag (!name), which is not supported; text that "
			"starts with ! needs quotes");
		return false;
	}
	return true;
}

/* Reads the node we are at and goes to the event after it. */
static struct yaml_node *read_node(struct reader *r)
{
	struct yaml_node *ret = NULL;

	if (!is_plain_yaml(r))
		return NULL;
	if (++r->nodes > NODES_MAX)
		return fail_here(r, "more than 100,000 values");
	struct yaml_node *node = arena_alloc(r->arena, sizeof(*node));
	if (!node)
		return NULL;
	node->line = (int)r->event.start_mark.line + 1;
	node->column = (int)r->event.start_mark.column + 1;
	if (r->event.type == YAML_SCALAR_EVENT)
		return read_scalar(r, node);
	if (r->depth == DEPTH_MAX)
		return fail_here(r, "more than 16 levels");
	r->depth++;
	if (r->event.type == YAML_SEQUENCE_START_EVENT)
		ret = read_seq(r, node);
	else if (r->event.type == YAML_MAPPING_START_EVENT)
		ret = read_map(r, node);
	r->depth--;
	return ret;
}

/* Stream start, at most one document, stream end. */
static struct yaml_node *read_stream(struct reader *r)
{
	struct yaml_node *root = NULL;

	if (!next(r)) /* the stream's start */
		return NULL;
	if (!next(r))
		return NULL;
	if (r->event.type == YAML_STREAM_END_EVENT) {
		root = arena_alloc(r->arena, sizeof(*root));
		if (root)
			root->line = root->column = 1;
		return root;
	}
	if (!next(r))
		return NULL;
	root = read_node(r);
	if (!root || !next(r))
		return NULL;
	if (r->event.type != YAML_STREAM_END_EVENT)
		return fail_here(r, "a second document in the same file");
	return root;
}

static void read_text(struct reader *r, struct yaml_doc *doc)
{
	size_t bad;
	int line, column;

	if (!utf8_valid(r->text, r->n, &bad)) {
		text_place(r->text, bad, &line, &column);
		fail_at(r, line, column, "text that is not UTF-8");
		return;
	}
	if (yaml_parser_initialize(&r->parser) != 1) {
		fail_nomem(r);
		return;
	}
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&r->parser, (const unsigned char *)r->text, r->n);
	doc->root = read_stream(r);
	if (!doc->root)
		fail_nomem(r); /* unless something else failed first */
	if (r->have_event)
		yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

enum rc yaml_parse(const char *p, size_t n, const char *where,
	struct yaml_doc *ret, struct err *e)
{
	struct yaml_doc doc = { 0 };
	struct reader r = {
		.text = p,
		.n = n,
		.where = where,
		.arena = &doc.arena,
		.e = e,
	};

	/* A byte order mark says nothing in UTF-8. */
	if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
		r.text += 3;
		r.n -= 3;
	}
	read_text(&r, &doc);
	if (r.rc != RC_OK) {
		arena_free(&doc.arena);
		return r.rc;
	}
	*ret = doc;
	return RC_OK;
}

void yaml_doc_free(struct yaml_doc *doc)
{
	if (!doc)
		return;
	arena_free(&doc->arena);
	doc->root = NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *m, const char *key)
{
	if (!m || m->type != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->keys[i]->text, key) == 0)
			return m->items[i];
	return NULL;
}

bool yaml_is_null(const struct yaml_node *v)
{
	return !v || v->type == YAML_NULL;
}

const char *yaml_str(const struct yaml_node *v)
{
	return v && v->type == YAML_SCALAR ? v->text : NULL;
}

/* A plain scalar's text, "" for anything else. */
static const char *plain(const struct yaml_node *v)
{
	const char *text = yaml_str(v);

	return text && !v->quoted ? text : "";
}

bool yaml_bool(const struct yaml_node *v, bool *ret)
{
	static const char *const words[] = { "false", "False", "FALSE", "true",
		"True", "TRUE" };
	const char *text = plain(v);

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i >= 3;
			return true;
		}
	}
	return false;
}

bool yaml_int(const struct yaml_node *v, int64_t min, int64_t max, int64_t *ret)
{
	return str_i64(str_of(plain(v)), min, max, ret);
}

const char *yaml_type_name(const struct yaml_node *v)
{
	if (yaml_is_null(v))
		return "nothing";
	switch (v->type) {
	case YAML_SEQ:
		return "a list";
	case YAML_MAP:
		return "a map";
	case YAML_NULL:
	case YAML_SCALAR:
		break;
	}
	return "a text";
}
