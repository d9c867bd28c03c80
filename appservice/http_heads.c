/*
 * What a request's headers say of its framing and of who sends it. The HTTP
 * library takes two lengths, or a length together with chunks, and a header
 * whose name ends in a space; a proxy before us may read each of them another
 * way, and then one request is two.
 */
#include <string.h>

#include "appservice/http_server_priv.h"
#include "base/poison.h"

bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || (c && strchr("-_!#$%&'*+.^`|~", c));
}

static bool header_name_ok(const char *name)
{
	size_t n = 0;

	while (is_token(name[n]))
		n++;
	return n && !name[n];
}

void heads_add(struct heads *h, const char *name, const char *value)
{
	if (!header_name_ok(name))
		h->bad_name = true;
	if (text_eq_nocase(name, "content-length")) {
		h->lengths++;
		h->length = value;
	} else if (text_eq_nocase(name, "transfer-encoding")) {
		h->codings++;
		h->coding = value;
	} else if (text_eq_nocase(name, "authorization")) {
		h->authorizations++;
		h->authorization = value;
	} else if (text_eq_nocase(name, "expect")) {
		h->expects = true;
	}
}

bool framing_ok(const struct heads *h, bool http_1_1)
{
	if (h->bad_name || h->lengths > 1 || h->codings > 1)
		return false;
	if (!h->codings)
		return true;
	return !h->lengths && http_1_1 && text_eq_nocase(h->coding, "chunked");
}

int64_t declared_length(const struct heads *h)
{
	if (!h->length)
		return 0;
	struct str digits = str_of(h->length);
	while (digits.n > 1 && digits.p[0] == '0') {
		digits.p++;
		digits.n--;
	}
	int64_t n;
	return str_i64(digits, 0, INT64_MAX, &n) ? n : INT64_MAX;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str bearer_token(const char *value)
{
	struct str none = { "", 0 };
	struct str rest = str_of(value);
	bool found;
	struct str scheme = str_cut(&rest, ' ', &found);
	char word[sizeof("bearer")] = "";

	if (!found || scheme.n != sizeof(word) - 1)
		return none;
	memcpy(word, scheme.p, scheme.n);
	if (!text_eq_nocase(word, "bearer"))
		return none;
	while (rest.n && rest.p[0] == ' ') {
		rest.p++;
		rest.n--;
	}
	/* White space behind a value is no part of it (RFC 9110 5.5). */
	while (rest.n && is_blank(rest.p[rest.n - 1]))
		rest.n--;
	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] <= ' ' || rest.p[i] == 0x7f)
			return none;
	return rest;
}

static bool is_right(const struct presented *p, struct str token)
{
	unsigned char digest[SHA256_LEN];

	return sha256(token.p, token.n, digest) &&
		((p->digest->n == SHA256_LEN &&
			 sha256_equal(secret_bytes(p->digest), digest)) ||
			(p->is_right && p->is_right(p->arg, digest)));
}

void present_token(struct presented *p, struct str token)
{
	if (!token.n)
		p->malformed = true;
	else if (is_right(p, token))
		p->right = true;
	else
		p->wrong = true;
}

void present_header(struct presented *p, const struct heads *h)
{
	if (h->authorizations == 1)
		present_token(p, bearer_token(h->authorization));
	else if (h->authorizations)
		p->malformed = true;
}
