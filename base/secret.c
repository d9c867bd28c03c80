/*
 * base/secret.c: secrets, random numbers and digests, by OpenSSL.
 */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

#define RANDOM_MAX 64 /* bytes of one secret; a token has 32 */

enum rc secret_set(struct secret *s, const char *p, size_t n)
{
	if (n == SIZE_MAX)
		return RC_NOMEM;
	char *copy = malloc(n + 1);
	if (!copy)
		return RC_NOMEM;
	if (n > 0)
		memcpy(copy, p, n);
	copy[n] = '\0';
	secret_fini(s);
	*s = (struct secret){ .bytes = copy, .n = n };
	return RC_OK;
}

void secret_fini(struct secret *s)
{
	if (!s)
		return;
	if (s->bytes)
		wipe(s->bytes, s->n);
	free(s->bytes);
	*s = (struct secret){ 0 };
}

bool secret_is_set(const struct secret *s)
{
	return s->bytes != NULL;
}

/* Digests have one length: comparing them tells nothing about the bytes. */
bool secret_equal(const struct secret *a, const char *p, size_t n)
{
	unsigned char ours[SHA256_LEN];
	unsigned char theirs[SHA256_LEN];

	if (!a->bytes || !p)
		return false;
	bool equal = sha256(a->bytes, a->n, ours) && sha256(p, n, theirs) &&
		sha256_equal(ours, theirs);
	wipe(ours, sizeof(ours));
	return equal;
}

const char *secret_bytes(const struct secret *s)
{
	return s->bytes;
}

void secret_fingerprint(const struct secret *s, char out[9])
{
	unsigned char digest[SHA256_LEN];

	if (s->bytes && sha256(s->bytes, s->n, digest))
		hex_encode(digest, 4, out);
	else
		memcpy(out, "--------", 9);
}

enum rc secret_random_hex(struct secret *s, size_t n)
{
	unsigned char raw[RANDOM_MAX];
	char hex[2 * RANDOM_MAX + 1];

	if (n > sizeof(raw))
		return RC_INVALID;
	enum rc rc = random_bytes(raw, n);
	if (rc == RC_OK) {
		hex_encode(raw, n, hex);
		rc = secret_set(s, hex, 2 * n);
		wipe(hex, sizeof(hex));
	}
	wipe(raw, sizeof(raw));
	return rc;
}

enum rc random_bytes(void *p, size_t n)
{
	if (n > INT_MAX || RAND_bytes(p, (int)n) != 1)
		return RC_IO;
	return RC_OK;
}

uint64_t random_below(uint64_t below)
{
	uint64_t v;

	if (below == 0)
		return 0;
	/* What is left over at the top would favour small numbers. */
	uint64_t fair = UINT64_MAX - UINT64_MAX % below;
	do {
		if (random_bytes(&v, sizeof(v)) != RC_OK)
			return below / 2;
	} while (v >= fair);
	return v % below;
}

void wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

bool sha256(const void *p, size_t n, unsigned char out[SHA256_LEN])
{
	if (EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) == 1)
		return true;
	memset(out, 0, SHA256_LEN);
	return false;
}

bool sha256_equal(const void *a, const void *b)
{
	return CRYPTO_memcmp(a, b, SHA256_LEN) == 0;
}

bool sha256_hex(const void *p, size_t n, char out[SHA256_HEX])
{
	unsigned char digest[SHA256_LEN];
	bool done = sha256(p, n, digest);

	hex_encode(digest, sizeof(digest), out);
	return done;
}

void sha256_begin(struct sha256 *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	h->ctx = ctx;
	h->failed = !ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
	if (!h->failed && EVP_DigestUpdate(h->ctx, p, n) != 1)
		h->failed = true;
}

bool sha256_end(struct sha256 *h, unsigned char out[SHA256_LEN])
{
	bool done = !h->failed && EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;

	EVP_MD_CTX_free(h->ctx);
	*h = (struct sha256){ .failed = true };
	return done;
}

void hex_encode(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}
