/*
 * Percent-encoding, both ways.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/http_server_priv.h"

#include "base/poison.h"

/* The same by the C library; false where there is a bad escape or a NUL. */
static bool decode(const char *s, char *out, size_t *n)
{
	for (*n = 0; *s; (*n)++) {
		char digits[3] = "";
		if (*s != '%') {
			out[*n] = *s++;
			continue;
		}
		if (strspn(s + 1, "0123456789abcdefABCDEF") < 2)
			return false;
		memcpy(digits, s + 1, 2);
		out[*n] = (char)strtol(digits, NULL, 16);
		if (!out[*n])
			return false;
		s += 3;
	}
	return utf8_valid(out, *n, NULL);
}

static void check_decoding(struct arena *a, const char *text)
{
	char *want = arena_alloc(a, strlen(text) + 1);
	size_t n = 0;
	bool good = decode(text, want, &n);
	/* A block of just this size: what is behind a piece of a path is no
	 * part of it. */
	size_t length = strlen(text);
	char *piece = malloc(length ? length : 1);
	HOLDS(piece);
	memcpy(piece, text, length);

	char *got = percent_decode(a, (struct str){ piece, length });
	HOLDS(!got == !good);
	HOLDS(!got || (strlen(got) == n && !memcmp(got, want, n)));
	HOLDS(arena_ok(a));
	free(piece);
}

static void check_encoding(struct arena *a, const char *text)
{
	struct buf out;

	buf_init(&out, 3 * strlen(text));
	buf_add_url(&out, text);
	HOLDS(buf_rc(&out) == RC_OK);
	HOLDS(MATCHES("([A-Za-z0-9._~-]|%[0-9A-F]{2})*", buf_str(&out)));
	char *back = percent_decode(a, str_of(buf_str(&out)));
	if (utf8_valid(text, strlen(text), NULL))
		HOLDS(text_eq(back, text));
	else
		HOLDS(!back);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);
	struct arena a = { 0 };

	check_decoding(&a, text);
	check_encoding(&a, text);
	arena_free(&a);
	free(text);
	return 0;
}
