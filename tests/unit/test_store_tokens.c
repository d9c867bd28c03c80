/*
 * tests/unit/test_store_tokens.c: new tokens that somebody asked for, how often
 * they are wanted, and tokens that are to end.
 */
#include "tests/unit/store_fixture.h"

#include <string.h>

#include "base/str.h"

#include "base/poison.h"

#define ANNA "@anna:example.org"
#define BERT "@bert:example.org"
#define CARL "@carl:example.org"
#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void declare(struct store_fixture *f, const char *id)
{
	const struct store_agent a = { .user_id = id };

	WRITE(f, store_agent_declare(f->s, &a, 1, &f->e));
}

static void hand_off(struct store_fixture *f, const char *id,
	int64_t generation, int64_t now_ms)
{
	WRITE(f,
		store_agent_login(
			f->s, id, "MUSTER", generation, now_ms, &f->e));
	WRITE(f,
		store_agent_handed_off(
			f->s, id, "MUSTER", generation, DIGEST, now_ms, &f->e));
}

static void answer(struct store_fixture *f, const char *id, int64_t generation,
	int64_t now_ms)
{
	WRITE(f,
		store_agent_acked(
			f->s, id, generation, 7, "task 9", now_ms, &f->e));
}

static struct store_agent get(struct store_fixture *f, const char *id)
{
	struct store_agent a = { .user_id = NULL };

	assert_ok(store_agent_get(f->s, id, &f->a, &a, &f->e), f->e);
	return a;
}

static enum rotation_state state_of(struct store_fixture *f, const char *id)
{
	return get(f, id).rotation.state;
}

static void want_because(
	struct store_fixture *f, const char *id, int64_t run, const char *why)
{
	const struct store_rotation r = { .run = run, .why = why };

	WRITE(f, store_rotation_want(f->s, id, &r, run, &f->e));
}

static void want(struct store_fixture *f, const char *id, int64_t run)
{
	want_because(f, id, run, "why not");
}

static void set_why(struct store_fixture *f, const char *id,
	enum rotation_state st, const char *why, int64_t now_ms)
{
	const struct store_agent was = get(f, id);
	bool moved = false;

	WRITE(f,
		store_rotation_move(
			f->s, &was, st, why, now_ms, &moved, &f->e));
	assert_true(moved);
}

static void set(struct store_fixture *f, const char *id, enum rotation_state st)
{
	set_why(f, id, st, NULL, 50);
}

static void ask(struct store_fixture *f, const char *id, int64_t generation,
	int64_t now_ms)
{
	const struct store_agent was = get(f, id);
	bool moved = false;

	WRITE(f,
		store_rotation_ask(
			f->s, &was, generation, now_ms, &moved, &f->e));
	assert_true(moved);
}

/* A login for what is wanted, and its hand-off. */
static void log_in(struct store_fixture *f, const char *id, bool at_once,
	int64_t generation, int64_t now_ms)
{
	WRITE(f,
		store_rotation_logged_in(
			f->s, id, at_once, generation, now_ms, &f->e));
	hand_off(f, id, generation, now_ms);
}

static size_t open_ones(struct store_fixture *f)
{
	struct store_agent *rows = NULL;
	size_t n = 99;

	assert_ok(store_rotations_open(f->s, &f->a, &rows, &n, &f->e), f->e);
	return n;
}

/* How many a run has; the state of the first. */
static size_t of_run(
	struct store_fixture *f, int64_t run, enum rotation_state st)
{
	struct store_agent *rows = NULL;
	size_t n = 99;

	assert_ok(store_rotations_of_run(f->s, run, &f->a, &rows, &n, &f->e),
		f->e);
	if (n > 0)
		assert_int_equal(rows[0].rotation.state, st);
	return n;
}

static void test_what_is_known_of_a_hand_off(void **state)
{
	struct store_fixture *f = *state;
	declare(f, ANNA);
	assert_int_equal(get(f, ANNA).written_ms, 0);
	hand_off(f, ANNA, 1, 5);
	assert_int_equal(get(f, ANNA).written_ms, 5);
	assert_int_equal(get(f, ANNA).acked_ms, 0);
	answer(f, ANNA, 1, 9);
	assert_int_equal(get(f, ANNA).acked_ms, 7);
	assert_string_equal(get(f, ANNA).acked_by, "task 9");
	hand_off(f, ANNA, 2, 11);
	assert_int_equal(get(f, ANNA).written_ms, 11);
	assert_null(get(f, ANNA).acked_by);
	WRITE(f, store_agent_token_seen(f->s, ANNA, 12, &f->e));
	assert_int_equal(get(f, ANNA).token_seen_ms, 12);
}

static void test_a_rotation(void **state)
{
	struct store_fixture *f = *state;
	declare(f, ANNA);
	hand_off(f, ANNA, 1, 5);
	answer(f, ANNA, 1, 9);
	assert_int_equal(state_of(f, ANNA), ROTATION_NONE);
	assert_int_equal(open_ones(f), 0);
	want(f, ANNA, 40);
	assert_int_equal(state_of(f, ANNA), ROTATION_WAITING);
	assert_int_equal(open_ones(f), 1);
	ask(f, ANNA, 2, 41);
	const struct store_rotation r = get(f, ANNA).rotation;
	assert_int_equal(r.state, ROTATION_ASKED);
	assert_int_equal(r.asked, 2);
	assert_int_equal(r.generation, 0);
	assert_int_equal(r.run, 40);
	assert_int_equal(r.state_ms, 41);
	assert_true(r.answering && !r.at_once);
	assert_string_equal(r.why, "why not");
	set(f, ANNA, ROTATION_CLEAR);
	log_in(f, ANNA, false, 2, 60);
	assert_int_equal(state_of(f, ANNA), ROTATION_ISSUED);
	assert_int_equal(open_ones(f), 1);
	/* A late answer of before is none. */
	answer(f, ANNA, 1, 61);
	assert_int_equal(state_of(f, ANNA), ROTATION_ISSUED);
	answer(f, ANNA, 2, 62);
	assert_int_equal(state_of(f, ANNA), ROTATION_DONE);
	assert_int_equal(open_ones(f), 0);
	/* The number stays used up. */
	want(f, ANNA, 70);
	assert_int_equal(get(f, ANNA).rotation.asked, 2);
	assert_int_equal(get(f, ANNA).rotation.generation, 0);
}

/* Nobody was asked, so nobody has to answer. */
static void test_at_once(void **state)
{
	struct store_fixture *f = *state;
	declare(f, ANNA);
	hand_off(f, ANNA, 1, 5);
	want(f, ANNA, 40);
	set(f, ANNA, ROTATION_CLEAR);
	/* Another one that was read before: the old token is no new one. */
	hand_off(f, ANNA, 2, 55);
	assert_int_equal(state_of(f, ANNA), ROTATION_CLEAR);
	log_in(f, ANNA, false, 3, 60);
	assert_int_equal(state_of(f, ANNA), ROTATION_DONE);
	assert_int_equal(get(f, ANNA).rotation.generation, 3);
	/* A login of another reason will do, if the file has it. */
	want(f, ANNA, 70);
	log_in(f, ANNA, false, 4, 71);
	assert_int_equal(state_of(f, ANNA), ROTATION_DONE);
	/* But not for a token that is in the wrong hands. */
	const struct store_rotation r = { .run = 80, .at_once = true };
	WRITE(f, store_rotation_want(f->s, ANNA, &r, 80, &f->e));
	log_in(f, ANNA, false, 5, 81);
	assert_int_equal(state_of(f, ANNA), ROTATION_WAITING);
	set(f, ANNA, ROTATION_CLEAR);
	log_in(f, ANNA, true, 6, 82);
	assert_int_equal(state_of(f, ANNA), ROTATION_DONE);
}

/* Whoever has read it moves only what he has read. */
static void test_somebody_was_faster(void **state)
{
	struct store_fixture *f = *state;
	const struct store_rotation stolen = { .run = 50, .at_once = true };
	bool moved = true;
	declare(f, ANNA);
	hand_off(f, ANNA, 1, 5);
	want(f, ANNA, 40);
	const struct store_agent waiting = get(f, ANNA);
	ask(f, ANNA, 2, 41);
	const struct store_agent asked = get(f, ANNA);
	/* Wanted once more: it is the same, for the reason that was said last. */
	want_because(f, ANNA, 42, "once more");
	assert_int_equal(state_of(f, ANNA), ROTATION_ASKED);
	assert_int_equal(get(f, ANNA).rotation.run, 42);
	want_because(f, ANNA, 43, NULL);
	assert_int_equal(get(f, ANNA).rotation.run, 43);
	assert_string_equal(get(f, ANNA).rotation.why, "once more");
	/* At once: it is not. */
	WRITE(f, store_rotation_want(f->s, ANNA, &stolen, 50, &f->e));
	assert_int_equal(state_of(f, ANNA), ROTATION_WAITING);
	WRITE(f,
		store_rotation_move(f->s, &asked, ROTATION_UNANSWERED, "late",
			51, &moved, &f->e));
	assert_false(moved);
	WRITE(f, store_rotation_ask(f->s, &waiting, 3, 52, &moved, &f->e));
	assert_false(moved);
	WRITE(f, store_rotation_again(f->s, &asked, 53, &f->e));
	const struct store_rotation r = get(f, ANNA).rotation;
	assert_int_equal(r.state, ROTATION_WAITING);
	assert_true(r.at_once && !r.answering);
	assert_int_equal(r.run, 50);
	assert_int_equal(r.asked, 2);
	assert_int_equal(r.state_ms, 50);
}

static void asked_and_issued(
	struct store_fixture *f, const char *id, int64_t now_ms)
{
	ask(f, id, 2, now_ms);
	set(f, id, ROTATION_CLEAR);
	log_in(f, id, false, 2, now_ms);
}

static bool in_trouble(struct store_fixture *f)
{
	bool ret = false;

	assert_ok(store_rotation_in_trouble(f->s, 40, &ret, &f->e), f->e);
	return ret;
}

static void late(struct store_fixture *f, const char *id, int64_t now_ms)
{
	set_why(f, id, ROTATION_UNACKNOWLEDGED, "late", now_ms);
}

static void test_two_in_a_row(void **state)
{
	struct store_fixture *f = *state;
	static const char *const all[] = { ANNA, BERT, CARL };

	for (size_t i = 0; i < 3; i++) {
		declare(f, all[i]);
		hand_off(f, all[i], 1, 5);
		want(f, all[i], 40);
	}
	asked_and_issued(f, ANNA, 50);
	late(f, ANNA, 60);
	assert_false(in_trouble(f));
	asked_and_issued(f, BERT, 61);
	answer(f, BERT, 2, 62);
	assert_false(in_trouble(f));
	asked_and_issued(f, CARL, 63);
	late(f, CARL, 64);
	assert_false(in_trouble(f)); /* between them one has answered */
	late(f, BERT, 65);
	assert_true(in_trouble(f));
	assert_int_equal(of_run(f, 40, ROTATION_UNACKNOWLEDGED), 3);
	assert_int_equal(of_run(f, 41, ROTATION_NONE), 0);
	/* It answers after all. */
	answer(f, CARL, 2, 66);
	assert_int_equal(state_of(f, CARL), ROTATION_DONE);
	assert_false(in_trouble(f));
	want(f, CARL, 40);
	WRITE(f, store_rotation_stop(f->s, 40, "stop", 67, &f->e));
	assert_int_equal(state_of(f, CARL), ROTATION_STOPPED);
	assert_string_equal(get(f, CARL).rotation.error, "stop");
	assert_int_equal(state_of(f, ANNA), ROTATION_UNACKNOWLEDGED);
}

static size_t due(struct store_fixture *f, int64_t now_ms)
{
	struct store_agent *rows = NULL;
	size_t n = 99;

	assert_ok(store_rotations_due(f->s, now_ms, &f->a, &rows, &n, &f->e),
		f->e);
	return n;
}

#define HOUR INT64_C(3600000)

static void test_how_often(void **state)
{
	struct store_fixture *f = *state;
	declare(f, ANNA);
	declare(f, BERT);
	hand_off(f, ANNA, 1, HOUR);
	hand_off(f, BERT, 1, HOUR);
	assert_int_equal(due(f, 1000 * HOUR), 0);
	WRITE(f, store_rotate_every(f->s, ANNA, 2 * HOUR, &f->e));
	assert_int_equal(due(f, 3 * HOUR - 1), 0);
	assert_int_equal(due(f, 3 * HOUR), 1);
	/* One that is asked for already, or did not go well just now. */
	want(f, ANNA, 3 * HOUR);
	assert_int_equal(due(f, 3 * HOUR), 0);
	set_why(f, ANNA, ROTATION_UNANSWERED, "no", 3 * HOUR);
	assert_int_equal(due(f, 4 * HOUR - 1), 0);
	assert_int_equal(due(f, 4 * HOUR), 1);
	/* One that went well is done at once when it is due again. */
	WRITE(f,
		store_rotation_move(f->s,
			&(struct store_agent){ .user_id = ANNA,
				.rotation = get(f, ANNA).rotation },
			ROTATION_DONE, NULL, 4 * HOUR, NULL, &f->e));
	assert_int_equal(due(f, 4 * HOUR), 1);
	/* Never, for one. */
	WRITE(f, store_rotate_every(f->s, ANNA, -1, &f->e));
	assert_int_equal(due(f, 1000 * HOUR), 0);
	/* All of them; what was said of one is of no matter then. */
	WRITE(f, store_rotate_every(f->s, NULL, 9 * HOUR, &f->e));
	assert_int_equal(due(f, 9 * HOUR), 0);
	assert_int_equal(due(f, 10 * HOUR), 2);
	WRITE(f, store_rotate_every(f->s, NULL, 0, &f->e));
	assert_int_equal(due(f, 1000 * HOUR), 0);
}

static void test_tokens_that_are_to_end(void **state)
{
	struct store_fixture *f = *state;
	declare(f, ANNA);
	hand_off(f, ANNA, 1, 5);
	want(f, ANNA, 8);
	WRITE(f, store_agent_revoke(f->s, ANNA, "why not", 9, &f->e));
	assert_int_equal(get(f, ANNA).revoke_ms, 9);
	assert_string_equal(get(f, ANNA).revoke_why, "why not");
	WRITE(f, store_agent_revoked(f->s, ANNA, AGENT_BLOCKED, 10, &f->e));
	assert_int_equal(get(f, ANNA).revoke_ms, 0);
	assert_null(get(f, ANNA).revoke_why);
	assert_int_equal(get(f, ANNA).state, AGENT_BLOCKED);
	assert_int_equal(state_of(f, ANNA), ROTATION_NONE);
	/* An answer that is seen late does not bring it back, nor does a
	 * homeserver that has forgotten everything. */
	answer(f, ANNA, 1, 11);
	assert_int_equal(get(f, ANNA).state, AGENT_BLOCKED);
	WRITE(f, store_forget(f->s, &f->e));
	assert_int_equal(get(f, ANNA).state, AGENT_BLOCKED);
}

static void test_one_after_the_other(void **state)
{
	struct store_fixture *f = *state;
	struct store_agent a = { .user_id = NULL };

	declare(f, ANNA);
	declare(f, BERT);
	declare(f, CARL);
	hand_off(f, ANNA, 1, 5);
	hand_off(f, CARL, 1, 5);
	assert_ok(store_agent_next(f->s, "", &f->a, &a, &f->e), f->e);
	assert_string_equal(a.user_id, ANNA);
	assert_ok(store_agent_next(f->s, ANNA, &f->a, &a, &f->e), f->e);
	assert_string_equal(a.user_id, CARL);
	assert_int_equal(
		store_agent_next(f->s, CARL, &f->a, &a, &f->e), RC_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_what_is_known_of_a_hand_off),
		STORE_TEST(test_a_rotation),
		STORE_TEST(test_at_once),
		STORE_TEST(test_somebody_was_faster),
		STORE_TEST(test_two_in_a_row),
		STORE_TEST(test_how_often),
		STORE_TEST(test_tokens_that_are_to_end),
		STORE_TEST(test_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
