/*
 * base/buf.h: the one growing buffer. Its cap is given at birth; going over
 * it, or out of memory, is remembered (sticky) and later calls do nothing, so
 * a writer checks once, with buf_rc(). Always NUL-terminated. The owner frees
 * it. Not thread-safe.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
	char *p;    /* NUL-terminated; NULL while empty */
	size_t n;   /* bytes in it, the NUL not counted */
	size_t cap; /* bytes allocated */
	size_t max; /* n never exceeds this */
	enum rc rc;
};

/* Empty; nothing is allocated yet. */
void buf_init(struct buf *b, size_t max);
/* Empty, in room of the caller's, which it never leaves: at most size - 1
 * bytes, and nothing to free. */
void buf_init_fixed(struct buf *b, char *room, size_t size);
/* Frees the bytes; the buffer may be used again with the same max. */
void buf_free(struct buf *b);
/* As buf_free(), but overwrites the bytes first: for what held a secret. */
void buf_wipe(struct buf *b);
/* Empties it and forgets an error; keeps the memory. */
void buf_clear(struct buf *b);
/* RC_OK, or the first of RC_NOMEM and RC_TOO_LARGE that happened. */
enum rc buf_rc(const struct buf *b);
/* The text; "" while empty. Valid until the next change. */
const char *buf_str(const struct buf *b);

/* Appending; what does not fit is left out whole and noted in rc. */
void buf_add(struct buf *b, const char *s);
void buf_addn(struct buf *b, const void *p, size_t n);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* s as a JSON string, quotes included; invalid UTF-8 becomes U+FFFD. */
void buf_add_json_str(struct buf *b, const char *s);
/* s percent-encoded as one path segment or query value (RFC 3986
 * unreserved characters stay). */
void buf_add_url(struct buf *b, const char *s);
/* n bytes as 2n lower-case hex characters. */
void buf_add_hex(struct buf *b, const void *p, size_t n);

/* Moves the text out; the caller frees it with free(). NULL on an error or
 * when out of memory; an empty buffer gives "". */
char *buf_take(struct buf *b);

#endif
