/*
 * Errands: see errand.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "appservice/ops/errand.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define WAIT_MS 10000        /* longer than it may take */
#define STEP_MS INT64_C(500) /* that is: so long for each step, or agent */
#define WAIT_MAX_MS (INT64_C(24) * 3600 * 1000)
#define POLL_MS 50
#define POLL_MAX_MS 1000
#define SHOWN 10 /* failed steps in words */

struct js errand_asked(const struct errand *r)
{
	return json_root(r->asked);
}

struct js errand_progress(const struct errand *r)
{
	return json_root(r->progress);
}

int64_t errand_number(struct js doc, const char *key)
{
	int64_t n = 0;
	return js_get_i64(doc, key, &n) ? n : 0;
}

bool errand_flag(struct js doc, const char *key)
{
	bool yes = false;
	return js_get_bool(doc, key, &yes) && yes;
}

/* --- asking ---------------------------------------------------------------- */

/* An answer's document; what is refused is wrong use when it is our fault. */
static int take(const struct http_answer *answer, struct json **ret)
{
	struct err e = { 0 };
	if (json_parse(answer->body.p, answer->body.n, NULL, ret, &e) != RC_OK)
		return cli_fail(
			EXIT_FAILED, "the service's answer: %s", e.text);
	if (answer->status == 200)
		return EXIT_OK;
	const char *why = js_get_str(json_root(*ret), "error");
	const bool ours = answer->status == 400 || answer->status == 404;
	return cli_fail(ours ? EXIT_WRONG : EXIT_FAILED, "%s",
		why ? why : buf_str(&answer->body));
}

int errand_begin(struct errand *r, const char *path, const char *body)
{
	struct http_answer answer;
	struct err e = { 0 };
	int status = cli_load_socket(r->cli, &r->app);
	if (status != EXIT_OK)
		return status;
	http_answer_init(&answer);
	enum rc rc = cli_post(&r->app, path, body, &answer, &e);
	if (rc == RC_NETWORK)
		cli_silence(&r->app, &e);
	status = rc == RC_OK
		? take(&answer, &r->asked)
		: cli_fail(rc == RC_TIMEOUT ? EXIT_DIFFERS : EXIT_FAILED, "%s",
			  e.text);
	http_answer_free(&answer);
	return status;
}

/* Writes "key": value, where the value is one word of the command line. */
int errand_begin_with(struct errand *r, const char *path, const char *key,
	const char *value, int64_t id)
{
	struct buf body;
	struct jb b;
	buf_init(&body, LIMIT_SMALL_BODY);
	jb_init(&b, &body);
	jb_obj(&b, NULL);
	if (key && value)
		jb_str(&b, key, value);
	else if (key)
		jb_int(&b, key, id);
	jb_end_obj(&b);
	int status = errand_begin(r, path, buf_str(&body));
	buf_free(&body);
	return status;
}

void errand_end(struct errand *r)
{
	json_free(r->asked);
	json_free(r->progress);
	app_free(&r->app);
}

/* --- waiting --------------------------------------------------------------- */

static enum rc look(struct errand *r, const char *path, struct err *e)
{
	struct http_answer answer;
	struct json *doc = NULL;
	http_answer_init(&answer);
	enum rc rc = cli_ask(&r->app, "GET", path, &answer, e);
	if (rc == RC_NETWORK)
		cli_silence(&r->app, e);
	if (rc == RC_OK && answer.status != 200)
		rc = err_set(e, RC_REMOTE, "the service answered %d: %s",
			answer.status, buf_str(&answer.body));
	if (rc == RC_OK)
		rc = json_parse(
			answer.body.p, answer.body.n, "progress", &doc, e);
	if (rc == RC_OK) {
		json_free(r->progress);
		r->progress = doc;
	}
	http_answer_free(&answer);
	return rc;
}

/* Nothing is to come any more: it is done, or has failed. */
bool errand_is_over(const struct errand *r)
{
	return errand_number(errand_progress(r), "pending") == 0;
}

/* What was asked for is written down: whatever becomes of us, it goes on. */
static int tell_pending(const struct errand *r, const char *why)
{
	const char *away = js_get_str(errand_progress(r), "why_not");
	const char *in_way = js_get_str(errand_progress(r), "in_way");
	return cli_fail(EXIT_DIFFERS,
		"pending: it is written down, and goes on by itself: %s",
		why            ? why
			: away ? away
			: in_way
			? in_way
			: "there are steps to come, `muster plan` lists "
			  "them");
}

/* `of` is what GET /v1/progress takes beside the time. */
int errand_wait(struct errand *r, const char *of, const char *value,
	int64_t steps, bool (*over)(const struct errand *r))
{
	struct buf path;
	struct err e = { 0 };
	int64_t most = WAIT_MS + steps * STEP_MS, poll = POLL_MS;
	if (most > WAIT_MAX_MS)
		most = WAIT_MAX_MS;
	const int64_t until = clock_mono_ms() + most;
	buf_init(&path, LIMIT_SMALL_BODY);
	buf_addf(&path, "/v1/progress?since_ms=%lld",
		(long long)errand_number(errand_asked(r), "asked_ms"));
	if (of && value) {
		buf_addf(&path, "&%s=", of);
		buf_add_url(&path, value);
	}
	enum rc rc = look(r, buf_str(&path), &e);
	while (rc == RC_OK && !over(r) && clock_mono_ms() < until) {
		clock_sleep_ms(poll);
		poll = poll * 3 / 2 < POLL_MAX_MS ? poll * 3 / 2 : POLL_MAX_MS;
		rc = look(r, buf_str(&path), &e);
	}
	buf_free(&path);
	if (rc != RC_OK)
		return tell_pending(r, e.text);
	return over(r) ? EXIT_OK : tell_pending(r, NULL);
}

/* --- what came of it ------------------------------------------------------- */

static void print_failed(struct js row)
{
	const char *room = js_get_str(row, "room");
	const char *who = js_get_str(row, "subject");
	printf("step %lld failed: %s %s%s%s: %s\n",
		(long long)errand_number(row, "id"), js_get_str(row, "kind"),
		who, room && !text_eq(room, who) ? " in " : "",
		room && !text_eq(room, who) ? room : "",
		js_get_str(row, "error"));
}

/* Steps that have failed since, with the homeserver's words. */
int errand_tell_failed(const struct errand *r)
{
	struct js failed = js_get(errand_progress(r), "failed");
	const size_t n = js_len(failed);
	if (n == 0)
		return EXIT_OK;
	for (size_t i = 0; !r->cli->json && i < n && i < SHOWN; i++)
		print_failed(js_at(failed, i));
	return cli_fail(EXIT_FAILED,
		"%zu step%s failed, and will be tried again by %s: %s", n,
		n == 1 ? "" : "s", n == 1 ? "itself" : "themselves",
		js_get_str(js_at(failed, 0), "error"));
}

/* One document, whatever comes of it. */
int errand_tell_json(const struct errand *r, int status)
{
	static const char *const words[] = { "done", "failed", "wrong",
		"pending" };
	struct buf out;
	struct jb b;
	if (!r->cli->json || !r->asked || status == EXIT_WRONG)
		return status;
	buf_init(&out, LIMIT_DOCUMENT);
	jb_init(&b, &out);
	jb_obj(&b, NULL);
	jb_str(&b, "result", words[status]);
	jb_js(&b, "asked", errand_asked(r));
	jb_js(&b, "progress", errand_progress(r));
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
	return status;
}
