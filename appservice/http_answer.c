/*
 * Answers that say no: one table from result codes to HTTP status and Matrix
 * error code, and the body that every one of them has.
 */
#include "appservice/http_server_priv.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/poison.h"

/* What a handler's failure is to the client. */
static const struct answer {
	int status;
	const char *errcode;
} answers[] = {
	[RC_OK] = { 200, "M_UNKNOWN" },
	[RC_NOMEM] = { 500, "M_UNKNOWN" },
	[RC_INVALID] = { 400, "M_INVALID_PARAM" },
	[RC_NOT_FOUND] = { 404, "M_NOT_FOUND" },
	[RC_EXISTS] = { 409, "M_UNKNOWN" },
	[RC_TOO_LARGE] = { 413, "M_TOO_LARGE" },
	[RC_BUSY] = { 503, "M_UNKNOWN" },
	[RC_IO] = { 500, "M_UNKNOWN" },
	[RC_NETWORK] = { 502, "M_UNKNOWN" },
	[RC_TIMEOUT] = { 504, "M_UNKNOWN" },
	[RC_UNAUTHORIZED] = { 401, "M_UNKNOWN_TOKEN" },
	[RC_FORBIDDEN] = { 403, "M_FORBIDDEN" },
	[RC_EXCLUSIVE] = { 400, "M_EXCLUSIVE" },
	[RC_LIMITED] = { 429, "M_LIMIT_EXCEEDED" },
	[RC_REMOTE] = { 502, "M_UNKNOWN" },
	[RC_CORRUPT] = { 500, "M_UNKNOWN" },
	[RC_VERSION] = { 500, "M_UNKNOWN" },
	[RC_PENDING] = { 503, "M_UNKNOWN" },
	[RC_REVOKED] = { 500, "M_UNKNOWN" },
	[RC_UNSUPPORTED] = { 502, "M_UNKNOWN" },
	[RC_STOPPING] = { 503, "M_UNKNOWN" },
};

void http_call_fail(
	struct http_call *c, int status, const char *errcode, const char *text)
{
	struct jb b;

	c->status = status;
	c->content_type = NULL;
	buf_clear(&c->answer);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_str(&b, "errcode", errcode);
	jb_str(&b, "error", text);
	jb_end_obj(&b);
}

void http_call_error(struct http_call *c, enum rc rc, const char *text)
{
	/* Some code that the table does not know is a fault of ours. */
	const struct answer *a = &answers[RC_IO];

	if ((size_t)rc < ARRAY_LEN(answers) && rc != RC_OK)
		a = &answers[rc];
	http_call_fail(c, a->status, a->errcode, text);
}

/* Somebody should look when the homeserver is refused; but strangers must not
 * fill the log. */
void log_refusal(struct http_server *s, const char *route, int status,
	const char *answer)
{
	int64_t now = clock_mono_ms();

	if (status < 400 || now - atomic_load(&s->refusal_logged_ms) < 1000)
		return;
	atomic_store(&s->refusal_logged_ms, now);
	log_warn("request refused", LS("route", route), LI("status", status),
		LS("answer", answer));
}
