/*
 * base/yaml.h: YAML (libyaml's home). A document becomes a tree of nodes that
 * know their line and column; aliases, tags, duplicate keys, more than 16
 * levels and more than 100,000 nodes are refused. A plain scalar is what YAML
 * says (null, true, 12), a quoted one always a string.
 *
 * The document owns its nodes. Not thread-safe.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/arena.h"
#include "base/buf.h"

enum yaml_type { YAML_NULL, YAML_SCALAR, YAML_SEQ, YAML_MAP };

struct yaml_node {
	enum yaml_type type;
	int line, column; /* from 1 */
	bool quoted;      /* scalars: written with quotes or as a block */
	const char *text; /* scalars: NUL-terminated UTF-8 without NUL */
	size_t n;         /* items of a sequence, pairs of a map */
	struct yaml_node **items; /* of a sequence, or the values of a map */
	struct yaml_node **keys;  /* of a map; always scalars */
};

struct yaml_doc {
	struct arena arena;
	struct yaml_node *root; /* NULL node type for an empty document */
};

/* Parses n bytes; on failure RC_INVALID and the text is
 * "where:line:column: what is wrong". Free with yaml_doc_free(). */
MUST_CHECK enum rc yaml_parse(const char *p, size_t n, const char *where,
	struct yaml_doc *ret, struct err *e);
void yaml_doc_free(struct yaml_doc *doc);

/* Value of a map's key; NULL when m is NULL, no map, or has none. */
const struct yaml_node *yaml_get(const struct yaml_node *m, const char *key);
/* NULL node, or a plain `null`, `~` or nothing. */
bool yaml_is_null(const struct yaml_node *v);
/* A scalar's text (a plain null is none); NULL otherwise. */
const char *yaml_str(const struct yaml_node *v);
/* A plain true or false. */
bool yaml_bool(const struct yaml_node *v, bool *ret);
/* A plain decimal integer. */
bool yaml_int(
	const struct yaml_node *v, int64_t min, int64_t max, int64_t *ret);
/* "a list", "a text" … for messages. */
const char *yaml_type_name(const struct yaml_node *v);

/*
 * The writer (libyaml's emitter): block style; strings that YAML would read as
 * something else are quoted by it. Sticky error in out.
 */
struct yaml_writer;
MUST_CHECK struct yaml_writer *yaml_writer_new(struct buf *out);
void yw_map(struct yaml_writer *w, const char *key);
void yw_seq(struct yaml_writer *w, const char *key);
void yw_end_map(struct yaml_writer *w);
void yw_end_seq(struct yaml_writer *w);
/* A string, always double-quoted. */
void yw_str(struct yaml_writer *w, const char *key, const char *v);
void yw_bool(struct yaml_writer *w, const char *key, bool v);
/* Ends the document and frees the writer; RC_OK when all was written. */
MUST_CHECK enum rc yaml_writer_finish(struct yaml_writer *w);

#endif
