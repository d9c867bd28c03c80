/*
 * The heads of a request: where it ends, and who sends it. The input has one
 * in each line.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appservice/http_server_priv.h"

#include "base/poison.h"

#define TOKEN "fuzz-token"

/* What was said, told by other means. */
struct said {
	int lengths, codings, authorizations;
	const char *length, *coding, *authorization;
	bool bad_name;
};

static void hear(struct said *s, const char *name, const char *value)
{
	s->bad_name |= !MATCHES("[][A-Za-z0-9!#$%&'*+.^_`|~-]+", name) ||
		strpbrk(name, "[]");
	if (!strcasecmp(name, "Content-Length")) {
		s->lengths++;
		s->length = value;
	}
	if (!strcasecmp(name, "Transfer-Encoding")) {
		s->codings++;
		s->coding = value;
	}
	if (!strcasecmp(name, "Authorization")) {
		s->authorizations++;
		s->authorization = value;
	}
}

static void check_framing(const struct heads *h, const struct said *s)
{
	bool clear = !s->bad_name && s->lengths + s->codings <= 1;
	bool chunked = s->coding && !strcasecmp(s->coding, "chunked");

	HOLDS(framing_ok(h, true) == (clear && (!s->codings || chunked)));
	HOLDS(framing_ok(h, false) == (clear && !s->codings));
	if (!framing_ok(h, true))
		return;
	if (!s->length) {
		HOLDS(declared_length(h) == 0);
	} else if (!MATCHES("[0-9]+", s->length)) {
		HOLDS(declared_length(h) == INT64_MAX);
	} else { /* the C library's largest is ours */
		errno = 0;
		HOLDS(declared_length(h) == strtoll(s->length, NULL, 10));
	}
}

static void check_token(const struct heads *h, const struct said *s)
{
	unsigned char digest[SHA256_LEN];
	struct secret want = { 0 };
	struct presented p = { .digest = &want };

	HOLDS(sha256(TOKEN, strlen(TOKEN), digest));
	HOLDS(secret_set(&want, (const char *)digest, sizeof(digest)) == RC_OK);
	present_header(&p, h);
	HOLDS(p.right ==
		(s->authorizations == 1 &&
			MATCHES("[Bb][Ee][Aa][Rr][Ee][Rr] +" TOKEN "[ \t]*",
				s->authorization)));
	HOLDS(p.right + p.wrong + p.malformed == (s->authorizations > 0));
	secret_fini(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);
	struct str rest = str_of(text);
	struct arena a = { 0 };
	struct heads h = { 0 };
	struct said s = { 0 };

	while (rest.n) {
		bool colon;
		struct str value = fuzz_line(&rest);
		struct str name = str_cut(&value, ':', &colon);
		char *key = arena_strndup(&a, name.p, name.n);
		while (value.n && *value.p == ' ')
			value = (struct str){ value.p + 1, value.n - 1 };
		char *said = arena_strndup(&a, value.p, value.n);
		heads_add(&h, key, said);
		hear(&s, key, said);
	}
	check_framing(&h, &s);
	check_token(&h, &s);
	arena_free(&a);
	free(text);
	return 0;
}
