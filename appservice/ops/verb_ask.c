/*
 * The verbs that ask the running service for something: it is written down
 * there, then the service is asked how far it is until it is done, has failed,
 * or has taken longer than it may.
 */
#include <stdio.h>
#include <stdlib.h>

#include "appservice/ops/errand.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* --- retire, approve --------------------------------------------------------- */

static int finish_retire(struct errand *r, const char *id)
{
	int status = errand_wait(r, "user", id, 4, errand_is_over);
	if (status == EXIT_OK)
		status = errand_tell_failed(r);
	const char *state = js_get_str(errand_progress(r), "state");
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
	int status =
		errand_begin_with(&r, "/v1/retire", "user", cli->argv[0], 0);
	const char *id = js_get_str(errand_asked(&r), "user_id");
	if (status == EXIT_OK && !errand_flag(errand_asked(&r), "retired"))
		status = finish_retire(&r, id);
	else if (status == EXIT_OK && !cli->json)
		printf("%s is retired already\n", id);
	status = errand_tell_json(&r, status);
	errand_end(&r);
	return status;
}

int verb_approve(struct cli *cli)
{
	struct errand r = { .cli = cli };
	int status = errand_begin(&r, "/v1/approve", "{}");
	const size_t n = js_len(js_get(errand_asked(&r), "agents"));
	if (status == EXIT_OK && n > 0)
		status = errand_wait(
			&r, "leaving", "1", (int64_t)n, errand_is_over);
	if (status == EXIT_OK && n > 0)
		status = errand_tell_failed(&r);
	if (status == EXIT_OK && !cli->json && n > 0)
		printf("%zu agent%s retired: out of their rooms, their tokens "
		       "are ended\n",
			n, n == 1 ? " is" : "s are");
	else if (status == EXIT_OK && !cli->json)
		puts("nobody waits to be let go: there is nothing to approve");
	status = errand_tell_json(&r, status);
	errand_end(&r);
	return status;
}

/* --- retry ------------------------------------------------------------------- */

/* Somebody keeps it out still. */
static int tell_held(const struct errand *r, const char *id)
{
	struct js held = js_get(errand_progress(r), "held");
	struct js refused = js_get(errand_progress(r), "refused");
	const char *why =
		js_len(refused) > 0 ? js_str(js_at(refused, 0)) : NULL;
	if (js_len(held) == 0)
		return EXIT_OK;
	return cli_fail(EXIT_FAILED, "%s is still kept out of %zu room%s: %s",
		id, js_len(held), js_len(held) == 1 ? "" : "s",
		why ? why : js_str(js_at(held, 0)));
}

static void tell_tried(
	const char *id, int64_t steps, struct js rooms, bool blocked)
{
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
}

static int finish_user(struct errand *r, const char *id)
{
	struct js rooms = js_get(errand_asked(r), "held");
	const int64_t steps = errand_number(errand_asked(r), "steps");
	const bool blocked = errand_flag(errand_asked(r), "was_blocked");
	int status = errand_wait(r, "user", id,
		steps + 2 * (int64_t)js_len(rooms) + (blocked ? 4 : 0),
		errand_is_over);
	if (status == EXIT_OK)
		status = errand_tell_failed(r);
	if (status == EXIT_OK &&
		text_eq(js_get_str(errand_progress(r), "state"), "blocked"))
		status = cli_fail(EXIT_FAILED, "%s is blocked: %s", id,
			js_get_str(errand_progress(r), "error"));
	if (status == EXIT_OK)
		status = tell_held(r, id);
	if (status == EXIT_OK && !r->cli->json)
		tell_tried(id, steps, rooms, blocked);
	return status;
}

static int finish_room(struct errand *r, const char *key)
{
	const int64_t steps = errand_number(errand_asked(r), "steps");
	int status = errand_wait(r, "room", key, steps + 4, errand_is_over);
	const char *why = js_get_str(errand_progress(r), "held_why");
	if (status == EXIT_OK)
		status = errand_tell_failed(r);
	if (status == EXIT_OK && why)
		status = cli_fail(EXIT_FAILED, "%s: %s", key, why);
	if (status == EXIT_OK && !r->cli->json)
		printf("%s is as declared, as far as it can be\n", key);
	return status;
}

static int finish_steps(struct errand *r)
{
	const int64_t steps = errand_number(errand_asked(r), "steps");
	const char *state = js_get_str(errand_asked(r), "state");
	if (steps == 0) {
		if (!r->cli->json && state)
			printf("step %lld is %s: only what has failed is tried "
			       "again\n",
				(long long)errand_number(
					errand_asked(r), "step"),
				state);
		else if (!r->cli->json)
			puts("no step has failed");
		return EXIT_OK;
	}
	int status = errand_wait(r, NULL, NULL, steps, errand_is_over);
	if (status == EXIT_OK)
		status = errand_tell_failed(r);
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
	int status =
		errand_begin_with(&r, "/v1/retry", key, step ? NULL : what, id);
	if (status == EXIT_OK && text_eq(key, "user"))
		status = finish_user(
			&r, js_get_str(errand_asked(&r), "user_id"));
	else if (status == EXIT_OK && text_eq(key, "room"))
		status = finish_room(&r, js_get_str(errand_asked(&r), "room"));
	else if (status == EXIT_OK)
		status = finish_steps(&r);
	status = errand_tell_json(&r, status);
	errand_end(&r);
	return status;
}

/* --- direct ------------------------------------------------------------------ */

static bool has_room(const struct errand *r)
{
	return js_get_str(errand_progress(r), "room_id") || errand_is_over(r);
}

static int finish_direct(struct errand *r)
{
	int status = errand_wait(
		r, "room", js_get_str(errand_asked(r), "room"), 4, has_room);
	const char *id = js_get_str(errand_progress(r), "room_id");
	if (status == EXIT_OK && !id)
		status = errand_tell_failed(r);
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
	int status = errand_begin(&r, "/v1/direct", buf_str(&body));
	const char *id = js_get_str(errand_asked(&r), "room_id");
	if (status == EXIT_OK && !id)
		status = finish_direct(&r);
	else if (status == EXIT_OK && !cli->json)
		printf("%s is there already\n", id);
	status = errand_tell_json(&r, status);
	buf_free(&body);
	errand_end(&r);
	return status;
}
