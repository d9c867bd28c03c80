/*
 * rotate and revoke: new tokens for agents, or none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appservice/ops/errand.h"
#include "appservice/ops/rotation_words.h"
#include "appservice/tokens/tokens.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define STEP_MS 500 /* of errand_wait() */
#define EVERY_MIN_MS 60000
#define EVERY_MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

/* --- rotate ------------------------------------------------------------------- */

/* --every T in milliseconds; 0: never, -1: it was not said. */
static bool read_every(const struct cli *cli, int64_t *ret)
{
	*ret = -1;
	if (!cli->every)
		return true;
	*ret = 0;
	return text_eq(cli->every, "never") ||
		(str_duration(str_of(cli->every), EVERY_MAX_MS, ret) &&
			*ret >= EVERY_MIN_MS);
}

static int check_rotate(const struct cli *cli, int64_t *every_ms)
{
	if (cli->all == (cli->argc > 0))
		return cli_fail(EXIT_WRONG,
			"rotate takes users, or --all: `muster agents` lists "
			"them");
	if (!read_every(cli, every_ms))
		return cli_fail(EXIT_WRONG,
			"--every %s: expected a duration such as 12h or 30d, "
			"of at least a minute and at most ten years, or never",
			cli->every);
	if (*every_ms == 0 && cli->now)
		return cli_fail(EXIT_WRONG,
			"--every never makes no new token: say --now without "
			"it");
	return EXIT_OK;
}

static void write_body(
	const struct cli *cli, int64_t every_ms, struct buf *body)
{
	struct jb b;
	jb_init(&b, body);
	jb_obj(&b, NULL);
	if (cli->all)
		jb_bool(&b, "all", true);
	else
		jb_arr(&b, "users");
	for (int i = 0; i < cli->argc; i++)
		jb_str(&b, NULL, cli->argv[i]);
	if (!cli->all)
		jb_end_arr(&b);
	jb_bool(&b, "now", cli->now);
	if (every_ms >= 0)
		jb_int(&b, "every_ms", every_ms);
	if (cli->why)
		jb_str(&b, "why", cli->why);
	jb_end_obj(&b);
}

static bool is_done(struct js row)
{
	return text_eq(js_get_str(row, "state"), "done");
}

/* What has become of it, or how far it is. */
static void tell_rotation(struct js row)
{
	const char *state = js_get_str(row, "state");
	const char *why = js_get_str(row, "error");
	if (why && rotation_is_over(state))
		printf("%s: %s\n", js_get_str(row, "user_id"), why);
	else
		printf("%s: %s%s%s\n", js_get_str(row, "user_id"),
			rotation_words_of(state), why ? ": " : "",
			why ? why : "");
}

/* Those who have not got one, each with the reason; how many they are. */
static size_t tell_not_done(const struct errand *r)
{
	struct js rows = js_get(errand_progress(r), "rotations");
	size_t n = 0;
	for (size_t i = 0; i < js_len(rows); i++) {
		struct js row = js_at(rows, i);
		if (is_done(row))
			continue;
		n++;
		if (!r->cli->json)
			tell_rotation(row);
	}
	return n;
}

static int tell_rotated(const struct errand *r)
{
	const size_t n = js_len(js_get(errand_asked(r), "agents"));
	const size_t known = js_len(js_get(errand_progress(r), "rotations"));
	const size_t without = tell_not_done(r);
	const size_t with = known - without;
	if (!r->cli->json && with > 0)
		printf("%zu agent%s a new token\n", with,
			with == 1 ? " has" : "s have");
	if (!r->cli->json && with > 0 &&
		errand_flag(errand_asked(r), "old_token_lives"))
		puts("this homeserver lets an old token live beside the new "
		     "one until its device goes: where it is in the wrong "
		     "hands, use --now");
	if (known < n)
		return cli_fail(EXIT_DIFFERS,
			"pending: for %zu of %zu agents somebody has asked "
			"anew meanwhile: `muster agents` shows how far it is",
			n - known, n);
	return without == 0
		? EXIT_OK
		: cli_fail(EXIT_FAILED,
			  "%zu of %zu agents did not get a new token, or did "
			  "not take it",
			  without, n);
}

static int finish_rotate(struct errand *r)
{
	char run[32];
	const size_t n = js_len(js_get(errand_asked(r), "agents"));
	if (n == 0) {
		if (!r->cli->json)
			puts("there is no agent with a token");
		return EXIT_OK;
	}
	snprintf(run, sizeof(run), "%" PRId64,
		errand_number(errand_asked(r), "run"));
	int status = errand_wait(r, "run", run,
		(int64_t)n +
			errand_number(errand_asked(r), "may_take_ms") / STEP_MS,
		errand_is_over);
	if (status == EXIT_OK)
		return tell_rotated(r);
	(void)tell_not_done(r);
	return status;
}

/* Nothing comes of it that could be waited for. */
static int tell_unscheduled(const struct errand *r)
{
	const size_t n = js_len(js_get(errand_asked(r), "agents"));
	if (r->cli->json)
		return EXIT_OK;
	if (r->cli->all)
		printf("no agent gets a new token by itself any more");
	else
		printf("%zu agent%s no new token by %s any more", n,
			n == 1 ? " gets" : "s get",
			n == 1 ? "itself" : "themselves");
	puts(": only that was changed, and every token is as it was");
	return EXIT_OK;
}

int verb_rotate(struct cli *cli)
{
	struct errand r = { .cli = cli };
	struct buf body;
	int64_t every_ms = -1;
	int status = check_rotate(cli, &every_ms);
	if (status != EXIT_OK)
		return status;
	buf_init(&body, LIMIT_SMALL_BODY);
	write_body(cli, every_ms, &body);
	status = errand_begin(&r, "/v1/rotate", buf_str(&body));
	if (status == EXIT_OK)
		status = every_ms == 0 ? tell_unscheduled(&r)
				       : finish_rotate(&r);
	status = errand_tell_json(&r, status);
	buf_free(&body);
	errand_end(&r);
	return status;
}

/* --- revoke -------------------------------------------------------------------- */

/* Tried again until it is done, whatever is in the way. */
static int tell_revoking(const struct errand *r)
{
	struct js failed = js_at(js_get(errand_progress(r), "failed"), 0);
	const char *why = js_get_str(failed, "error");
	return cli_fail(EXIT_DIFFERS,
		"pending: it is written down, and tried again by itself%s%s; "
		"`muster status` shows it until it is done",
		why ? ": " : "", why ? why : "");
}

/* Its error has what could not be done, after the rest. */
static void tell_revoked(const struct errand *r, const char *id, bool blocked)
{
	const char *error = js_get_str(errand_progress(r), "error");
	const char *left = error ? strstr(error, TOKENS_NO_TOMBSTONE) : NULL;
	printf("%s has no token any more: the homeserver knows none of its "
	       "devices, and %s; it stays %s\n",
		id, left ? left : "a tombstone is in the place of its hand-off",
		blocked ? "blocked until `muster rotate` or `muster retry`"
			: "retired");
}

static int finish_revoke(struct errand *r, const char *id)
{
	int status = errand_wait(r, "user", id, 4, errand_is_over);
	const char *state = js_get_str(errand_progress(r), "state");
	if (status == EXIT_OK && errand_flag(errand_progress(r), "revoking"))
		return tell_revoking(r);
	if (status == EXIT_OK && !text_eq(state, "blocked") &&
		!text_eq(state, "retired"))
		status = cli_fail(EXIT_FAILED, "%s is %s: let go meanwhile?",
			id, state ? state : "unknown");
	if (status == EXIT_OK && !r->cli->json)
		tell_revoked(r, id, text_eq(state, "blocked"));
	return status;
}

int verb_revoke(struct cli *cli)
{
	struct errand r = { .cli = cli };
	struct buf body;
	struct jb b;
	if (cli->argc != 1)
		return cli_fail(EXIT_WRONG,
			"revoke takes one user: `muster agents` lists them");
	buf_init(&body, LIMIT_SMALL_BODY);
	jb_init(&b, &body);
	jb_obj(&b, NULL);
	jb_str(&b, "user", cli->argv[0]);
	if (cli->why)
		jb_str(&b, "why", cli->why);
	jb_end_obj(&b);
	int status = errand_begin(&r, "/v1/revoke", buf_str(&body));
	const char *id = js_get_str(errand_asked(&r), "user_id");
	if (status == EXIT_OK && !errand_flag(errand_asked(&r), "revoked"))
		status = finish_revoke(&r, id);
	else if (status == EXIT_OK && !cli->json)
		printf("%s has no token: its tokens were ended before\n", id);
	status = errand_tell_json(&r, status);
	buf_free(&body);
	errand_end(&r);
	return status;
}
