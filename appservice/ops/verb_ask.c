/*
 * The verbs that ask the running service for something: it is written down
 * there, then the service is asked how far it is until it is done, has failed,
 * or has taken longer than it may.
 */
#include <stdio.h>
#include <stdlib.h>

#include "appservice/ops/verbs.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define WAIT_MS 10000 /* longer than it may take */
#define STEP_MS 500   /* that is: so long for each step, or agent */
#define WAIT_MAX_MS 600000
#define POLL_MS 50
#define POLL_MAX_MS 1000
#define SHOWN 10 /* failed steps in words */

struct errand {
	struct cli *cli;
	struct app app;
	struct json *asked;    /* what the service answered */
	struct json *progress; /* and how far it is; NULL: not asked */
};

static struct js asked(const struct errand *r)
{
	return json_root(r->asked);
}

static struct js progress(const struct errand *r)
{
	return json_root(r->progress);
}

static int64_t number(struct js doc, const char *key)
{
	int64_t n = 0;
	return js_get_i64(doc, key, &n) ? n : 0;
}

static bool flag(struct js doc, const char *key)
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

static int begin(struct errand *r, const char *path, const char *body)
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
static int begin_with(struct errand *r, const char *path, const char *key,
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
	int status = begin(r, path, buf_str(&body));
	buf_free(&body);
	return status;
}

static void end(struct errand *r)
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
static bool is_over(const struct errand *r)
{
	return number(progress(r), "pending") == 0;
}

static bool has_room(const struct errand *r)
{
	return js_get_str(progress(r), "room_id") || is_over(r);
}

/* What was asked for is written down: whatever becomes of us, it goes on. */
static int tell_pending(const struct errand *r, const char *why)
{
	const char *away = js_get_str(progress(r), "why_not");
	return cli_fail(EXIT_DIFFERS,
		"pending: it is written down, and goes on by itself: %s",
		why            ? why
			: away ? away
			       : "there are steps to come, `muster plan` lists "
				 "them");
}

/* `of` is what GET /v1/progress takes beside the time. */
static int wait_until(struct errand *r, const char *of, const char *value,
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
		(long long)number(asked(r), "asked_ms"));
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
		(long long)number(row, "id"), js_get_str(row, "kind"), who,
		room && !text_eq(room, who) ? " in " : "",
		room && !text_eq(room, who) ? room : "",
		js_get_str(row, "error"));
}

/* Steps that have failed since, with the homeserver's words. */
static int tell_failed(const struct errand *r)
{
	struct js failed = js_get(progress(r), "failed");
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
static int tell_json(const struct errand *r, int status)
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
	jb_js(&b, "asked", asked(r));
	jb_js(&b, "progress", progress(r));
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
	return status;
}

/* --- retire, approve --------------------------------------------------------- */

static int finish_retire(struct errand *r, const char *id)
{
	int status = wait_until(r, "user", id, 4, is_over);
	if (status == EXIT_OK)
		status = tell_failed(r);
	const char *state = js_get_str(progress(r), "state");
	if (status == EXIT_OK && !text_eq(state, "retired"))
		status = cli_fail(EXIT_FAILED, "%s is %s: declared again?", id,
			state ? state : "unknown");
	if (status == EXIT_OK && !r->cli->json)
		printf("%s is retired: it has left its rooms, its tokens are "
		       "ended\n",
			id);
	return status;
}

int verb_retire(struct cli *cli)
{
	struct errand r = { .cli = cli };
	if (cli->argc != 1)
		return cli_fail(EXIT_WRONG,
			"retire takes one user: `muster agents` lists them");
	int status = begin_with(&r, "/v1/retire", "user", cli->argv[0], 0);
	const char *id = js_get_str(asked(&r), "user_id");
	if (status == EXIT_OK && !flag(asked(&r), "retired"))
		status = finish_retire(&r, id);
	else if (status == EXIT_OK && !cli->json)
		printf("%s is retired already\n", id);
	status = tell_json(&r, status);
	end(&r);
	return status;
}

int verb_approve(struct cli *cli)
{
	struct errand r = { .cli = cli };
	int status = begin(&r, "/v1/approve", "{}");
	const size_t n = js_len(js_get(asked(&r), "agents"));
	if (status == EXIT_OK && n > 0)
		status = wait_until(&r, "leaving", "1", (int64_t)n, is_over);
	if (status == EXIT_OK && n > 0)
		status = tell_failed(&r);
	if (status == EXIT_OK && !cli->json && n > 0)
		printf("%zu agent%s retired: out of their rooms, their tokens "
		       "are ended\n",
			n, n == 1 ? " is" : "s are");
	else if (status == EXIT_OK && !cli->json)
		puts("nobody waits to be let go: there is nothing to approve");
	status = tell_json(&r, status);
	end(&r);
	return status;
}

/* --- retry ------------------------------------------------------------------- */

/* Somebody keeps it out still. */
static int tell_held(const struct errand *r, const char *id)
{
	struct js held = js_get(progress(r), "held");
	struct js refused = js_get(progress(r), "refused");
	const char *why =
		js_len(refused) > 0 ? js_str(js_at(refused, 0)) : NULL;
	if (js_len(held) == 0)
		return EXIT_OK;
	return cli_fail(EXIT_FAILED, "%s is still kept out of %zu room%s: %s",
		id, js_len(held), js_len(held) == 1 ? "" : "s",
		why ? why : js_str(js_at(held, 0)));
}

static int finish_user(struct errand *r, const char *id)
{
	struct js rooms = js_get(asked(r), "held");
	const int64_t steps = number(asked(r), "steps");
	const bool blocked = flag(asked(r), "was_blocked");
	int status = wait_until(r, "user", id,
		steps + 2 * (int64_t)js_len(rooms) + (blocked ? 4 : 0),
		is_over);
	if (status == EXIT_OK)
		status = tell_failed(r);
	if (status == EXIT_OK &&
		text_eq(js_get_str(progress(r), "state"), "blocked"))
		status = cli_fail(EXIT_FAILED, "%s is blocked: %s", id,
			js_get_str(progress(r), "error"));
	if (status == EXIT_OK)
		status = tell_held(r, id);
	if (status != EXIT_OK || r->cli->json)
		return status;
	if (steps == 0 && js_len(rooms) == 0 && !blocked)
		printf("nothing of %s had failed, and nobody keeps it out\n",
			id);
	for (size_t i = 0; i < js_len(rooms); i++)
		printf("%s is in %s again, or invited\n", id,
			js_str(js_at(rooms, i)));
	if (blocked)
		printf("%s is not blocked any more\n", id);
	if (steps > 0)
		printf("%lld step%s of %s done\n", (long long)steps,
			steps == 1 ? "" : "s", id);
	return status;
}

static int finish_room(struct errand *r, const char *key)
{
	const int64_t steps = number(asked(r), "steps");
	int status = wait_until(r, "room", key, steps + 4, is_over);
	const char *why = js_get_str(progress(r), "held_why");
	if (status == EXIT_OK)
		status = tell_failed(r);
	if (status == EXIT_OK && why)
		status = cli_fail(EXIT_FAILED, "%s: %s", key, why);
	if (status == EXIT_OK && !r->cli->json)
		printf("%s is as declared, as far as it can be\n", key);
	return status;
}

static int finish_steps(struct errand *r)
{
	const int64_t steps = number(asked(r), "steps");
	const char *state = js_get_str(asked(r), "state");
	if (steps == 0) {
		if (!r->cli->json && state)
			printf("step %lld is %s: only what has failed is tried "
			       "again\n",
				(long long)number(asked(r), "step"), state);
		else if (!r->cli->json)
			puts("no step has failed");
		return EXIT_OK;
	}
	int status = wait_until(r, NULL, NULL, steps, is_over);
	if (status == EXIT_OK)
		status = tell_failed(r);
	if (status == EXIT_OK && !r->cli->json)
		printf("%lld step%s tried again, and done\n", (long long)steps,
			steps == 1 ? " was" : "s were");
	return status;
}

/* A number is a step, what begins with # a room, everything else a user. */
int verb_retry(struct cli *cli)
{
	struct errand r = { .cli = cli };
	const char *what = cli->argc > 0 ? cli->argv[0] : NULL;
	int64_t id = 0;
	const bool step = what && str_i64(str_of(what), 1, JSON_INT_MAX, &id);
	const char *key = !what ? NULL
		: step          ? "step"
		: *what == '#'  ? "room"
				: "user";
	int status = begin_with(&r, "/v1/retry", key, step ? NULL : what, id);
	if (status == EXIT_OK && text_eq(key, "user"))
		status = finish_user(&r, js_get_str(asked(&r), "user_id"));
	else if (status == EXIT_OK && text_eq(key, "room"))
		status = finish_room(&r, js_get_str(asked(&r), "room"));
	else if (status == EXIT_OK)
		status = finish_steps(&r);
	status = tell_json(&r, status);
	end(&r);
	return status;
}

/* --- direct ------------------------------------------------------------------ */

static int finish_direct(struct errand *r)
{
	int status = wait_until(
		r, "room", js_get_str(asked(r), "room"), 4, has_room);
	const char *id = js_get_str(progress(r), "room_id");
	if (status == EXIT_OK && !id)
		status = tell_failed(r);
	if (status == EXIT_OK && !id)
		status = cli_fail(EXIT_FAILED,
			"no room can be made for the two now: `muster agents` "
			"says who is blocked, `muster rooms` who is kept out");
	if (status == EXIT_OK && !r->cli->json)
		puts(id);
	return status;
}

int verb_direct(struct cli *cli)
{
	struct errand r = { .cli = cli };
	struct buf body;
	struct jb b;
	if (cli->argc != 2)
		return cli_fail(EXIT_WRONG,
			"direct takes the two users whose room it is");
	buf_init(&body, LIMIT_SMALL_BODY);
	jb_init(&b, &body);
	jb_obj(&b, NULL);
	jb_arr(&b, "users");
	jb_str(&b, NULL, cli->argv[0]);
	jb_str(&b, NULL, cli->argv[1]);
	jb_end_arr(&b);
	jb_end_obj(&b);
	int status = begin(&r, "/v1/direct", buf_str(&body));
	const char *id = js_get_str(asked(&r), "room_id");
	if (status == EXIT_OK && !id)
		status = finish_direct(&r);
	else if (status == EXIT_OK && !cli->json)
		printf("%s is there already\n", id);
	status = tell_json(&r, status);
	buf_free(&body);
	end(&r);
	return status;
}
