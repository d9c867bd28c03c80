/*
 * matrix/hs_answer.c: reading what the homeserver says: status and error code
 * to a result, its words made fit to be shown, and members of answers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/hs_priv.h"

#include "base/poison.h"

/* These say more than the status they come with, which differs. */
static const struct {
	const char *errcode;
	enum rc rc;
} CODES[] = {
	{ "M_EXCLUSIVE", RC_EXCLUSIVE },
	{ "M_USER_IN_USE", RC_EXISTS },
	{ "M_ROOM_IN_USE", RC_EXISTS },
	{ "M_APPSERVICE_LOGIN_UNSUPPORTED", RC_UNSUPPORTED },
	{ "IO.ELEMENT.MSC4190.M_APPSERVICE_LOGIN_UNSUPPORTED", RC_UNSUPPORTED },
};

static enum rc meaning(int status, const char *errcode)
{
	for (size_t i = 0; i < ARRAY_LEN(CODES); i++) {
		if (strcmp(CODES[i].errcode, errcode) == 0)
			return CODES[i].rc;
	}
	switch (status) {
	case 401:
		return RC_UNAUTHORIZED;
	case 403:
		return RC_FORBIDDEN;
	case 404:
		/* A proxy, or an endpoint that the homeserver does not know:
		 * says nothing about the thing we asked for. */
		if (*errcode == '\0' || strcmp(errcode, "M_UNRECOGNIZED") == 0)
			return RC_REMOTE;
		return RC_NOT_FOUND;
	case 409:
		return RC_EXISTS;
	case 429:
		return RC_LIMITED;
	default:
		return RC_REMOTE;
	}
}

static bool is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f);
}

/* How to show the character at p: *shown (m bytes of it); the bytes taken. */
static size_t show(const char *p, size_t n, const struct secret *token,
	const char **shown, size_t *m)
{
	if (token->n > 0 && n >= token->n &&
		memcmp(p, token->bytes, token->n) == 0) {
		*shown = "***";
		*m = 3;
		return token->n;
	}
	uint32_t cp = 0;
	size_t taken = utf8_next(p, n, &cp);
	*shown = p;
	*m = taken;
	if (taken == 0 || is_control(cp)) {
		*shown = taken == 0 ? "?" : " ";
		*m = 1;
	}
	return taken > 0 ? taken : 1;
}

static void make_words(
	const char *p, size_t n, const struct secret *token, char *words)
{
	size_t used = 0;
	while (n > 0) {
		const char *shown = NULL;
		size_t m = 0;
		size_t taken = show(p, n, token, &shown, &m);
		if (used + m >= HS_WORDS)
			break;
		memcpy(words + used, shown, m);
		used += m;
		p += taken;
		n -= taken;
	}
	words[used] = '\0';
}

static void read_errcode(struct js root, char *ret, size_t n)
{
	const char *s = js_get_str(root, "errcode");
	ret[0] = '\0';
	if (s == NULL || strlen(s) >= n)
		return;
	for (const char *p = s; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f)
			return;
	}
	memcpy(ret, s, strlen(s) + 1);
}

enum rc hs_read_failure(const struct http_answer *a, const struct secret *token,
	struct hs_failure *f, char words[HS_WORDS])
{
	struct json *doc = NULL;
	if (json_parse(buf_str(&a->body), a->body.n, NULL, &doc, NULL) != RC_OK)
		doc = NULL; /* a proxy's page, or nothing at all */
	struct js root = { 0 };
	if (doc != NULL)
		root = json_root(doc);

	f->status = a->status;
	read_errcode(root, f->errcode, sizeof(f->errcode));
	f->retry_after_ms = a->retry_after_ms;
	int64_t ms = 0;
	if (f->retry_after_ms < 0 && js_get_i64(root, "retry_after_ms", &ms) &&
		ms > 0)
		f->retry_after_ms = ms;

	const char *error = js_get_str(root, "error");
	if (error != NULL) {
		/* Conduit puts the code before its words, as we do. */
		size_t n = strlen(f->errcode);
		if (n > 0 && strncmp(error, f->errcode, n) == 0 &&
			text_starts(error + n, ": "))
			error += n + 2;
		make_words(error, strlen(error), token, words);
	} else {
		make_words(buf_str(&a->body), a->body.n, token, words);
	}
	json_free(doc);
	return meaning(f->status, f->errcode);
}

bool hs_copy_str(struct js v, const char *key, char *ret, size_t n)
{
	const char *s = js_get_str(v, key);
	if (s == NULL || *s == '\0' || strlen(s) >= n)
		return false;
	memcpy(ret, s, strlen(s) + 1);
	return true;
}

const char *hs_arena_str(struct arena *a, struct js v, const char *key)
{
	return arena_strdup(a, js_get_str(v, key));
}

enum rc hs_give_json(struct js v, struct buf *ret, struct err *e)
{
	struct buf text;
	buf_init(&text, ret->max);
	js_write(v, &text);
	enum rc rc = buf_rc(&text);
	if (rc != RC_OK) {
		buf_free(&text);
		return rc == RC_NOMEM
			? err_nomem(e)
			: err_set(e, rc, "larger than %zu bytes", ret->max);
	}
	buf_free(ret);
	*ret = text;
	return RC_OK;
}
