/*
 * base/secret.h: bytes that must not be seen. A secret is a length and bytes
 * in a type of its own, so that no formatter prints it by accident; it is
 * compared in constant time and overwritten before it is freed. The owner
 * calls secret_fini(). Not thread-safe.
 *
 * Also the random numbers and digests of the program (OpenSSL's home).
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/base.h"

#define SHA256_LEN 32
#define SHA256_HEX 65 /* with the NUL */

struct secret {
	char *bytes; /* NUL-terminated; NULL: none */
	size_t n;
};

/* A copy of n bytes; what was in *s before is wiped. */
MUST_CHECK enum rc secret_set(struct secret *s, const char *p, size_t n);
void secret_fini(struct secret *s);
bool secret_is_set(const struct secret *s);
/* Same length and bytes, in time that depends on neither. */
bool secret_equal(const struct secret *a, const char *p, size_t n);
/* The bytes, for handing over to an API; NULL when none. Do not keep it. */
const char *secret_bytes(const struct secret *s);
/* 8 hex digits of SHA-256: what may be shown, so two sides can compare;
 * "--------" when there is none. */
void secret_fingerprint(const struct secret *s, char out[9]);
/* n random bytes (at most 64) as 2n hex characters, from the system's
 * generator. */
MUST_CHECK enum rc secret_random_hex(struct secret *s, size_t n);

MUST_CHECK enum rc random_bytes(void *p, size_t n);
/* A random number in [0, below); 0 when below is 0. For jitter only. */
uint64_t random_below(uint64_t below);
void wipe(void *p, size_t n);

/* False, and zeros, when OpenSSL could not (it allocates). */
bool sha256(const void *p, size_t n, unsigned char out[SHA256_LEN]);
/* In constant time. */
bool sha256_equal(const void *a, const void *b);
bool sha256_hex(const void *p, size_t n, char out[SHA256_HEX]);

/* SHA-256 of a sequence of parts. */
struct sha256 {
	void *ctx;
	bool failed;
};
void sha256_begin(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *p, size_t n);
/* Ends it; false when OpenSSL could not. */
MUST_CHECK bool sha256_end(struct sha256 *h, unsigned char out[SHA256_LEN]);

/* n bytes to 2n hex characters and a NUL. */
void hex_encode(const void *p, size_t n, char *out);

#endif
