/*
 * base/json_priv.h: the scanner of JSON text that json.c checks with before
 * json-c sees a byte, and that finds places in it. Allocates nothing.
 */
#ifndef BASE_JSON_PRIV_H
#define BASE_JSON_PRIV_H

#include "base/json.h"

/*
 * p is one JSON value (RFC 8259, UTF-8, no NUL in any form, within the limits
 * of base/limits.h); *end is where it ends, white space not counted. On
 * failure RC_INVALID, "line:column: found …, expected …".
 */
MUST_CHECK enum rc json_check(const char *p, size_t n, const char *where,
	size_t *end, struct err *e);

#endif
