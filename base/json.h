/*
 * base/json.h: JSON (json-c's home). Reading is strict: UTF-8 checked by our
 * own validator, no NUL, a depth and a size limit, the top level an object
 * unless said otherwise. Typed getters tell missing, null and wrong type
 * apart and name the path in words. Writing is by a sticky builder that never
 * needs a check before its end.
 *
 * A struct json owns its document; struct js is a borrowed place in it, valid
 * as long as the document. Neither crosses a thread.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#define JSON_INT_MAX ((int64_t)9007199254740991) /* Matrix: 2^53 - 1 */

struct json; /* a parsed document */

/* A value in a document; .v NULL is JSON null or nothing. */
struct js {
	void *v;
};

enum js_type {
	JS_NULL,
	JS_BOOL,
	JS_INT,
	JS_DOUBLE,
	JS_STR,
	JS_ARR,
	JS_OBJ,
};

/*
 * Parses n bytes. On failure RC_INVALID (RC_NOMEM) and the text is
 * "line:column: what was found"; `where` (may be NULL) is put before it as
 * "where:line:column: ". Free with json_free().
 */
MUST_CHECK enum rc json_parse(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e);
/* As json_parse(), and an object that has a key twice is refused: for files
 * that people write. Of what others send the last one counts. */
MUST_CHECK enum rc json_parse_unique(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e);
/*
 * Puts U+FFFD for each NUL that a string of this JSON text has (as \u0000):
 * json_parse() refuses a text with one, because no string here can hold it.
 * For what others send and one string must not spoil.
 */
void json_replace_nul(char *p, size_t n);
/* As json_parse(), any type at the top. */
MUST_CHECK enum rc json_parse_any(const char *p, size_t n, const char *where,
	struct json **ret, struct err *e);
void json_free(struct json *doc);
/* NULL has a root of nothing. */
struct js json_root(const struct json *doc);

/* JS_NULL also where there is nothing at all. */
enum js_type js_type(struct js v);
const char *js_type_name(enum js_type t); /* "a string", "an object" … */

/* Member of an object; js with .v NULL when v is no object or has none. */
struct js js_get(struct js v, const char *key);
/* True when the object has the key, also when it is null. */
bool js_has(struct js v, const char *key);
size_t js_len(struct js v);             /* of an array; 0 for anything else */
struct js js_at(struct js v, size_t i); /* .v NULL when out of range */

/* The string, NULL when it is none. Borrowed. */
const char *js_str(struct js v);
/* The member string; NULL when missing or not a string. */
const char *js_get_str(struct js v, const char *key);
bool js_i64(struct js v, int64_t min, int64_t max, int64_t *ret);
bool js_get_i64(struct js v, const char *key, int64_t *ret);
/* A whole number that is no int64_t, as it is spelled; NULL for anything else.
 * Borrowed. */
const char *js_large(struct js v);
bool js_get_bool(struct js v, const char *key, bool *ret);

/* Calls fn for each member of an object, in order; stops when fn says false
 * and returns false then. */
bool js_each(struct js v, bool (*fn)(const char *key, struct js v, void *arg),
	void *arg);

/* Appends v, compact, as UTF-8, slashes not escaped. */
void js_write(struct js v, struct buf *out);

/* The text is JSON, whatever our limits are: it may have NUL, any number of
 * values, and anything at all behind the level of nesting that we follow. */
bool json_valid(const char *p, size_t n);

/* --- a few values of a text, without a document of it --------------------- */

#define JSON_PICKS 32

/* A value that is wanted, and what json_pick() found. */
struct json_pick {
	const char *path; /* "content.membership"; "" is all of it */
	bool found, twice;
	enum js_type type;
	struct str text; /* of the text; of a string what is in its quotes */
};

/*
 * Finds at most JSON_PICKS values of a text, by members of objects; checks all
 * of the text as json_parse_any() does, and allocates nothing. Of a key that
 * its object has twice the last one counts, and `twice` is said; of an object
 * on the way that is there twice its own pick says it, if it is wanted. On
 * failure what was found before it is there.
 */
MUST_CHECK enum rc json_pick(const char *p, size_t n, struct json_pick *picks,
	size_t n_picks, struct err *e);
/* What a string stands for, in the arena: NULL when it was not found, is none,
 * or has half of a surrogate pair, which every parser reads as it likes. */
const char *json_pick_str(const struct json_pick *pick, struct arena *a);
/* A whole number within Matrix's range. */
bool json_pick_i64(const struct json_pick *pick, int64_t *ret);

/*
 * Where in the text p (valid JSON) the value at a path such as
 * `people[3].reportsTo` starts: line and column from 1. False when there is no
 * such value (then the nearest parent's place is given). For error messages.
 */
bool json_locate(
	const char *p, size_t n, const char *path, int *line, int *column);

/*
 * The writer: jb_obj/jb_arr open, jb_end closes; a key is NULL inside arrays
 * and at the top. Writes compact JSON straight into the buffer, whose sticky
 * error is the only one. Depth at most 32.
 */
struct jb {
	struct buf *out;
	int depth;
	bool comma[33];
};
void jb_init(struct jb *b, struct buf *out);
void jb_obj(struct jb *b, const char *key);
void jb_arr(struct jb *b, const char *key);
void jb_end_obj(struct jb *b);
void jb_end_arr(struct jb *b);
void jb_str(struct jb *b, const char *key, const char *v); /* NULL: null */
void jb_int(struct jb *b, const char *key, int64_t v);
void jb_bool(struct jb *b, const char *key, bool v);
void jb_null(struct jb *b, const char *key);
/* v as it stands in its document. */
void jb_js(struct jb *b, const char *key, struct js v);
/* Text that is JSON already (trusted). */
void jb_raw(struct jb *b, const char *key, const char *json);

#endif
