/*
 * base/str.h: reading strings without copying them: slices, numbers,
 * durations, UTF-8, nearness of words. Nothing here allocates, has state or
 * depends on the locale.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"

/* A borrowed piece of text; not NUL-terminated. */
struct str {
	const char *p;
	size_t n;
};

/* Of a text; borrowed. NULL: empty. */
struct str str_of(const char *s);
bool str_eq(struct str a, const char *b);
bool str_starts(struct str s, const char *prefix);
/* Takes what stands before the first c off *rest and returns it; the whole
 * and an empty rest when there is none (found, if not NULL, says which). */
struct str str_cut(struct str *rest, char c, bool *found);

/* a and b are the same text; NULL equals only NULL. */
bool text_eq(const char *a, const char *b);
bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);
/* FNV-1a, its halves folded so that the low bits are good ones. */
uint64_t text_hash(const char *s);
/* ASCII letters only. */
bool text_eq_nocase(const char *a, const char *b);

/* A whole decimal number in [min, max], nothing before or after it, no `+`
 * and no leading zeros: one way to write each number. */
bool str_i64(struct str s, int64_t min, int64_t max, int64_t *ret);
/* `500ms`, `5s`, `5m`, `1h`, `2d` to milliseconds, at most max_ms. */
bool str_duration(struct str s, int64_t max_ms, int64_t *ret_ms);

/* n bytes are well-formed UTF-8 (no overlong form, no surrogate, nothing over
 * U+10FFFF); *bad (if not NULL) is the first wrong byte's offset. */
bool utf8_valid(const char *p, size_t n, size_t *bad);
/* n bytes of valid UTF-8 are for people to see: no control characters, which a
 * terminal may take for orders. */
bool utf8_printable(const char *p, size_t n);
/* Decodes the code point at p (n > 0 bytes of valid UTF-8): its length in
 * bytes, 0 when invalid. */
size_t utf8_next(const char *p, size_t n, uint32_t *cp);
/* Writes cp at out (4 bytes of room) and returns the length. */
size_t utf8_put(char *out, uint32_t cp);

/* Line and column (from 1, in characters) of the byte p[at], for messages. */
void text_place(const char *p, size_t at, int *line, int *column);

/* Edits between two words, swaps counted as one; stops counting at max. */
int str_distance(const char *a, const char *b, int max);

#endif
