/*
 * matrix/hs.c: the homeserver client: its life, and the one way in which a
 * request is built, sent, held back by a rate limit, sent again and judged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/hs_priv.h"

#include "base/poison.h"

#define TIMEOUT_MS 30000
/* A caller with a journal schedules longer waits better than we do. */
#define PAUSE_MAX_MS ((int64_t)60 * 1000)
#define SPEND_MAX_MS ((int64_t)300 * 1000)
/* Our own back-off, and the least that is waited whatever we are told. */
#define BACKOFF_MS 1000
#define PAUSE_MIN_MS 50
/* How long a raised stop flag may go unseen. */
#define SLICE_MS 100
#define PATH_SHOWN 160

/* --- life ------------------------------------------------------------- */

static enum rc check_url(const char *url, struct err *e)
{
	const char *host = NULL;
	if (text_starts(url, "http://"))
		host = url + strlen("http://");
	else if (text_starts(url, "https://"))
		host = url + strlen("https://");
	if (host == NULL)
		return err_set(e, RC_INVALID,
			"the homeserver's URL must begin with http:// or "
			"https://");
	if (*host == '\0' || *host == '/')
		return err_set(
			e, RC_INVALID, "the homeserver's URL names no host");
	if (strpbrk(host, "@?# \t\r\n") != NULL)
		return err_set(e, RC_INVALID,
			"the homeserver's URL may have a host, a port and a "
			"path, and no user, query, fragment or space");
	return RC_OK;
}

static char *base_of(const char *url)
{
	size_t n = strlen(url);
	return strndup(url, text_ends(url, "/") ? n - 1 : n);
}

static enum rc build(struct hs *hs, const struct hs_options *o, struct err *e)
{
	hs->base = base_of(o->url);
	if (o->gate == NULL)
		hs->own_gate = hs_gate_new();
	hs->gate = o->gate != NULL ? o->gate : hs->own_gate;
	if (hs->base == NULL || hs->gate == NULL)
		return err_nomem(e);
	if (o->token != NULL && hs_use_token(hs, o->token) != RC_OK)
		return err_nomem(e);

	struct http_options http = { .ca_file = o->ca_file, .stop = o->stop };
	return http_new(&http, &hs->http, e);
}

enum rc hs_new(const struct hs_options *o, struct hs **ret, struct err *e)
{
	enum rc rc = check_url(o->url, e);
	if (rc != RC_OK)
		return rc;
	struct hs *hs = calloc(1, sizeof(*hs));
	if (hs == NULL)
		return err_nomem(e);

	hs->stop = o->stop;
	hs->may_send = o->may_send;
	hs->arg = o->arg;
	hs->timeout_made_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
	hs->spend_made_ms = o->patience_ms > 0 ? o->patience_ms : SPEND_MAX_MS;
	hs_hurry(hs, 0);
	hs->failure.retry_after_ms = -1;
	http_answer_init(&hs->answer);
	buf_init(&hs->url, LIMIT_SMALL_BODY);

	rc = build(hs, o, e);
	if (rc != RC_OK) {
		hs_free(hs);
		return rc;
	}
	*ret = hs;
	return RC_OK;
}

void hs_free(struct hs *hs)
{
	if (hs == NULL)
		return;
	http_free(hs->http);
	http_answer_free(&hs->answer);
	buf_free(&hs->url);
	secret_fini(&hs->token);
	hs_gate_free(hs->own_gate);
	free(hs->own_id);
	free(hs->base);
	free(hs);
}

void hs_hurry(struct hs *hs, int64_t ms)
{
	hs->timeout_ms = ms > 0 && ms < hs->timeout_made_ms
		? (int)ms
		: hs->timeout_made_ms;
	hs->spend_max_ms =
		ms > 0 && ms < hs->spend_made_ms ? ms : hs->spend_made_ms;
	hs->pause_max_ms = hs->spend_max_ms < PAUSE_MAX_MS ? hs->spend_max_ms
							   : PAUSE_MAX_MS;
}

void hs_set_stop(struct hs *hs, const atomic_bool *stop)
{
	hs->stop = stop;
	http_set_stop(hs->http, stop);
}

void hs_use_device(struct hs *hs, const char *device_id)
{
	hs->device = device_id;
}

enum rc hs_use_token(struct hs *hs, const struct secret *token)
{
	enum rc rc = secret_set(&hs->token, secret_bytes(token), token->n);
	if (rc != RC_OK)
		return rc;
	free(hs->own_id);
	hs->own_id = NULL;
	return RC_OK;
}

enum http_trouble hs_trouble(const struct hs *hs)
{
	return http_trouble(hs->http);
}

int64_t hs_date_ms(const struct hs *hs)
{
	return hs->answer.date_ms;
}

const struct hs_failure *hs_failure(const struct hs *hs)
{
	return &hs->failure;
}

/* --- one request ------------------------------------------------------ */

/* "PUT /path" without the query, cut where it is long. */
static void note_where(struct hs *hs, const char *method, size_t path_at)
{
	const char *path = buf_str(&hs->url) + path_at;
	size_t n = strcspn(path, "?");
	snprintf(hs->where, sizeof(hs->where), "%s %.*s%s", method,
		(int)(n < PATH_SHOWN ? n : PATH_SHOWN), path,
		n < PATH_SHOWN ? "" : "\xe2\x80\xa6");
}

static enum rc build_url(
	struct hs *hs, const struct hs_call *call, struct err *e)
{
	struct buf *url = &hs->url;
	size_t next = 0;
	bool missing = false;

	buf_clear(url);
	buf_add(url, hs->base);
	size_t path_at = url->n;
	for (const char *p = call->path; *p != '\0'; p++) {
		if (*p != '%') {
			buf_addc(url, *p);
			continue;
		}
		const char *id = call->ids[next++];
		if (id == NULL || *id == '\0')
			missing = true;
		else
			buf_add_url(url, id);
	}
	if (call->query != NULL)
		buf_addf(url, "?%s", call->query);
	if (call->as != NULL) {
		buf_add(url, call->query != NULL ? "&user_id=" : "?user_id=");
		buf_add_url(url, call->as);
	}
	if (buf_rc(url) == RC_NOMEM)
		return err_nomem(e);
	if (missing || buf_rc(url) != RC_OK)
		return err_set(e, RC_INVALID,
			"%s %s: an identifier is empty or too long",
			call->method, call->path);
	note_where(hs, call->method, path_at);
	return RC_OK;
}

/* The last thing before a request goes out. */
static enum rc may_send(struct hs *hs, struct err *e)
{
	if (hs->may_send == NULL || hs->may_send(hs->arg))
		return RC_OK;
	return err_set(e, RC_STOPPING,
		"%s: not sent: another service may act by now", hs->where);
}

/* Waits until the gate is open, if that is soon enough. */
static enum rc wait_open(struct hs *hs, int64_t *spent, struct err *e)
{
	for (;;) {
		if (hs->stop != NULL && atomic_load(hs->stop))
			return err_set(e, RC_STOPPING, "%s: we are stopping",
				hs->where);
		int64_t left = hs_gate_closed_ms(hs->gate);
		if (left == 0)
			return may_send(hs, e);
		if (left > hs->pause_max_ms ||
			*spent + left > hs->spend_max_ms) {
			hs->failure.retry_after_ms = left;
			return err_set(e, RC_LIMITED,
				"%s: the homeserver limits our rate and wants "
				"a pause of %lld s (Synapse: `rate_limited: "
				"false` in the registration)",
				hs->where, (long long)(left + 999) / 1000);
		}
		int64_t slice = left < SLICE_MS ? left : SLICE_MS;
		clock_sleep_ms(slice);
		*spent += slice;
	}
}

/* After 429: everybody holds back as long as the homeserver says. */
static void hold_back(struct hs *hs, int attempt)
{
	char words[HS_WORDS];
	(void)hs_read_failure(&hs->answer, &hs->token, &hs->failure, words);
	int64_t ms = hs->failure.retry_after_ms;
	if (ms < 0)
		ms = backoff_ms(attempt, BACKOFF_MS, hs->pause_max_ms);
	hs_gate_close(hs->gate, ms > PAUSE_MIN_MS ? ms : PAUSE_MIN_MS);
}

enum rc hs_exchange(struct hs *hs, const struct hs_call *call, struct err *e)
{
	hs->failure = (struct hs_failure){ .retry_after_ms = -1 };
	enum rc rc = build_url(hs, call, e);
	if (rc != RC_OK)
		return rc;

	const bool write = !call->harmless && strcmp(call->method, "GET") != 0;
	struct http_request q = {
		.method = call->method,
		.url = buf_str(&hs->url),
		.bearer = call->anonymous ? NULL : &hs->token,
		.body = call->body,
		.body_n = call->body != NULL ? strlen(call->body) : 0,
		.timeout_ms = hs->timeout_ms,
		/* Done twice, it may be seen twice. */
		.once = write,
	};
	int64_t spent = 0;
	for (int attempt = 1;; attempt++) {
		rc = wait_open(hs, &spent, e);
		if (rc != RC_OK)
			return rc;
		hs_gate_count(hs->gate, write);
		rc = http_do(hs->http, &q, &hs->answer, e);
		if (rc != RC_OK)
			return err_wrap(e, rc, "%s", hs->where);
		/* What was refused for its rate was not done, so the same
		 * request may be sent again. */
		if (hs->answer.status != 429)
			return RC_OK;
		hold_back(hs, attempt);
	}
}

static enum rc refused(struct hs *hs, struct err *e)
{
	char words[HS_WORDS];
	struct hs_failure *f = &hs->failure;
	enum rc rc = hs_read_failure(&hs->answer, &hs->token, f, words);
	if (f->status >= 300 && f->status < 400)
		return err_set(e, rc,
			"%s: %d, a redirect: set the homeserver's URL to where "
			"it really answers",
			hs->where, f->status);
	if (words[0] == '\0' && f->errcode[0] == '\0')
		return err_set(e, rc,
			"%s: %d with an empty answer (the homeserver's log "
			"may say why)",
			hs->where, f->status);
	return err_set(e, rc, "%s: %d%s%s%s%s", hs->where, f->status,
		f->errcode[0] != '\0' ? " " : "", f->errcode,
		words[0] != '\0' ? ": " : "", words);
}

static enum rc parse_list(
	const struct buf *body, struct json **ret, struct err *why)
{
	struct json *doc = NULL;
	enum rc rc = json_parse_any(buf_str(body), body->n, NULL, &doc, why);
	if (rc != RC_OK)
		return rc;
	const enum js_type type = js_type(json_root(doc));
	if (type != JS_ARR) {
		json_free(doc);
		return err_set(why, RC_INVALID, "it is %s", js_type_name(type));
	}
	*ret = doc;
	return RC_OK;
}

static enum rc finish(
	struct hs *hs, bool list, struct json **ret, struct err *e)
{
	const struct http_answer *a = &hs->answer;
	struct json *doc = NULL;
	enum rc rc = RC_OK;
	if (a->status < 200 || a->status >= 300) {
		rc = refused(hs, e);
		goto out;
	}
	/* Anybody may call themselves anything. */
	if (a->body.n > 0)
		json_replace_nul(hs->answer.body.p, hs->answer.body.n);
	struct err why;
	rc = list ? parse_list(&a->body, &doc, &why)
		  : json_parse(buf_str(&a->body), a->body.n, NULL, &doc, &why);
	if (rc == RC_NOMEM) {
		rc = err_nomem(e);
		goto out;
	}
	if (rc != RC_OK) {
		/* `why` shows one character: an answer may hold a token. */
		hs->failure.status = a->status;
		rc = err_set(e, RC_REMOTE,
			"%s: %d, but the answer is not a JSON %s (%s): is a "
			"homeserver behind this URL?",
			hs->where, a->status, list ? "array" : "object",
			why.text);
		goto out;
	}
	if (ret != NULL) {
		*ret = doc;
		doc = NULL;
	}
out:
	json_free(doc);
	buf_wipe(&hs->answer.body);
	return rc;
}

enum rc hs_finish(struct hs *hs, struct json **ret, struct err *e)
{
	return finish(hs, false, ret, e);
}

enum rc hs_request(struct hs *hs, const struct hs_call *call, struct json **ret,
	struct err *e)
{
	enum rc rc = hs_exchange(hs, call, e);
	return rc == RC_OK ? finish(hs, call->list, ret, e) : rc;
}

void hs_body_begin(struct buf *body, struct jb *b)
{
	buf_init(body, LIMIT_REQUEST);
	jb_init(b, body);
	jb_obj(b, NULL);
}

enum rc hs_request_body(struct hs *hs, struct hs_call call, struct buf *body,
	struct json **ret, struct err *e)
{
	enum rc rc = buf_rc(body);
	if (rc == RC_OK) {
		call.body = buf_str(body);
		rc = hs_request(hs, &call, ret, e);
	} else if (rc == RC_NOMEM) {
		rc = err_nomem(e);
	} else {
		rc = err_set(e, rc, "%s %s: over %zu bytes to send",
			call.method, call.path, body->max);
	}
	buf_wipe(body);
	return rc;
}

enum rc hs_bad_answer(struct hs *hs, const char *what, struct err *e)
{
	hs->failure.status = hs->answer.status;
	return err_set(e, RC_REMOTE, "%s: %d, but the answer has no %s",
		hs->where, hs->answer.status, what);
}
