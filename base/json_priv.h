/*
 * base/json_priv.h: the scanner of JSON text, which json.c builds its
 * documents from.
 */
#ifndef BASE_JSON_PRIV_H
#define BASE_JSON_PRIV_H

#include "base/json.h"

enum json_token {
	JSON_OPEN_OBJ,
	JSON_OPEN_ARR,
	JSON_CLOSE,
	JSON_KEY, /* as it stands between the quotes, as is a string */
	JSON_STRING,
	JSON_INTEGER,
	JSON_FRACTION, /* a number with a point or an exponent */
	JSON_WORD,     /* true, false, null */
};

/* Takes the token whose text is p[0..n); false when out of memory. */
typedef bool json_take(void *arg, enum json_token t, const char *p, size_t n);

/*
 * Goes through p, one JSON value (RFC 8259, UTF-8, no NUL in any form, within
 * the limits of base/limits.h). RC_INVALID, "line:column: found …, expected …"
 * when it is none; RC_NOMEM when `take` says false.
 */
MUST_CHECK enum rc json_scan(const char *p, size_t n, const char *where,
	json_take *take, void *arg, struct err *e);

/* Adds what a key or string token stands for; false when it has half of a
 * surrogate pair, which stands for nothing (and becomes U+FFFD). */
bool json_unescape(struct buf *out, const char *p, size_t n);

#endif
