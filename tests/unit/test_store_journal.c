/*
 * tests/unit/test_store_journal.c: the steps of the plan.
 */
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/poison.h"

#define ANNA "@anna:example.org"
#define ROOM "#glass:example.org"

static struct store_step step(
	const char *kind, const char *subject, const char *room)
{
	return (struct store_step){ .kind = kind,
		.subject = subject,
		.room = room,
		.reason = "declared",
		.id = -1,
		.attempt = 99 };
}

static void sync(struct store_fixture *f, struct store_step *steps, size_t n,
	int64_t now_ms)
{
	WRITE(f, store_journal_sync(f->s, steps, n, now_ms, &f->a, &f->e));
}

static struct store_step *list(struct store_fixture *f, size_t limit, size_t *n)
{
	struct store_step *rows = NULL;

	assert_ok(
		store_journal_list(f->s, limit, &f->a, &rows, n, &f->e), f->e);
	return rows;
}

static void assert_counts(
	struct store_fixture *f, int64_t want_waiting, int64_t want_failed)
{
	int64_t waiting = -1, failed = -1;

	assert_ok(store_journal_counts(f->s, &waiting, &failed, &f->e), f->e);
	assert_int_equal(waiting, want_waiting);
	assert_int_equal(failed, want_failed);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(journal_state_name(JOURNAL_WAITING), "waiting");
	assert_string_equal(journal_state_name(JOURNAL_RUNNING), "running");
	assert_string_equal(journal_state_name(JOURNAL_FAILED), "failed");
	assert_string_equal(journal_state_name(JOURNAL_DONE), "done");
}

static void test_new_steps(void **state)
{
	struct store_fixture *f = *state;
	struct store_step steps[] = {
		step("invite", ANNA, ROOM),
		step("invite", ANNA, "#other:example.org"),
		step("register", ANNA, NULL),
		step("join", ANNA, ROOM),
	};
	size_t n = 0;

	assert_counts(f, 0, 0);
	sync(f, steps, 4, 1000);
	for (size_t i = 0; i < 4; i++) {
		assert_true(steps[i].id > 0);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(steps[i].id, steps[j].id);
		assert_int_equal(steps[i].state, JOURNAL_WAITING);
		assert_int_equal(steps[i].attempt, 0);
		assert_int_equal(steps[i].created_ms, 1000);
		assert_int_equal(steps[i].updated_ms, 1000);
		assert_int_equal(steps[i].next_attempt_ms, 0);
		assert_null(steps[i].error);
	}
	assert_counts(f, 4, 0);
	const struct store_step *rows = list(f, 10, &n);
	assert_int_equal(n, 4);
	assert_int_equal(rows[0].id, steps[3].id);
	assert_string_equal(rows[0].kind, "join");
	assert_string_equal(rows[0].subject, ANNA);
	assert_string_equal(rows[0].room, ROOM);
	assert_string_equal(rows[0].reason, "declared");
	assert_null(rows[1].room);
	list(f, 3, &n);
	assert_int_equal(n, 3);
}

/* What is planned again keeps its row; what is not planned any more goes. */
static void test_sync_again(void **state)
{
	struct store_fixture *f = *state;
	struct store_step first[] = { step("register", ANNA, NULL),
		step("invite", ANNA, ROOM), step("join", ANNA, ROOM) };
	struct store_step second[] = { step("join", ANNA, ROOM),
		step("leave", ANNA, ROOM), step("register", ANNA, NULL) };
	size_t n = 0;

	sync(f, first, 3, 1000);
	WRITE(f, store_journal_start(f->s, first[2].id, 1100, &f->e));
	WRITE(f,
		store_journal_failed(f->s, first[2].id, "refused", false, 5000,
			1200, &f->e));
	second[2].reason = "asked for";
	sync(f, second, 3, 2000);
	assert_int_equal(second[0].id, first[2].id);
	assert_int_equal(second[0].state, JOURNAL_FAILED);
	assert_int_equal(second[0].attempt, 1);
	assert_int_equal(second[0].created_ms, 1000);
	assert_int_equal(second[0].updated_ms, 1200);
	assert_int_equal(second[0].next_attempt_ms, 5000);
	assert_string_equal(second[0].error, "refused");
	assert_true(second[1].id > first[2].id);
	assert_int_equal(second[1].created_ms, 2000);
	assert_int_equal(second[2].id, first[0].id);
	const struct store_step *rows = list(f, 10, &n);
	assert_int_equal(n, 3);
	assert_string_equal(rows[2].reason, "asked for");
	assert_counts(f, 2, 1);

	sync(f, NULL, 0, 3000);
	list(f, 10, &n);
	assert_int_equal(n, 0);
	/* The removed row's number is not given again. */
	struct store_step third = step("join", ANNA, ROOM);
	sync(f, &third, 1, 4000);
	assert_true(third.id > second[1].id);
	assert_int_equal(third.attempt, 0);
}

static void test_running_is_seen_after_a_restart(void **state)
{
	struct store_fixture *f = *state;
	struct store_step a = step("login", ANNA, NULL), b = a;

	sync(f, &a, 1, 1000);
	WRITE(f, store_journal_start(f->s, a.id, 1100, &f->e));
	store_fixture_reopen(f);
	sync(f, &b, 1, 2000);
	assert_int_equal(b.id, a.id);
	assert_int_equal(b.state, JOURNAL_RUNNING);
	assert_int_equal(b.attempt, 1);
	assert_true(b.unsure);
	assert_counts(f, 1, 0);
}

/* Once it may have been done, that stays so until it is done. */
static void test_unsure_until_done(void **state)
{
	static const struct {
		bool unsure[3]; /* how the attempts ended */
		bool after[3];  /* and what is known then */
	} cases[] = {
		{ { false, false, false }, { false, false, false } },
		{ { false, true, false }, { false, true, true } },
		{ { true, false, false }, { true, true, true } },
	};
	struct store_fixture *f = *state;

	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		struct store_step a = step("register", ANNA, NULL);

		sync(f, &a, 1, 1000);
		assert_false(a.unsure);
		for (size_t i = 0; i < 3; i++) {
			WRITE(f, store_journal_start(f->s, a.id, 1, &f->e));
			WRITE(f,
				store_journal_failed(f->s, a.id, "no",
					cases[c].unsure[i], 2, 2, &f->e));
			sync(f, &a, 1, 3000);
			assert_int_equal(a.unsure, cases[c].after[i]);
		}
		WRITE(f, store_journal_done(f->s, a.id, 4000, &f->e));
	}
	/* Cut off, and refused the next time. */
	struct store_step b = step("register", ANNA, NULL);
	sync(f, &b, 1, 5000);
	WRITE(f, store_journal_start(f->s, b.id, 1, &f->e));
	store_fixture_reopen(f);
	WRITE(f, store_journal_start(f->s, b.id, 2, &f->e));
	WRITE(f, store_journal_failed(f->s, b.id, "no", false, 3, 3, &f->e));
	sync(f, &b, 1, 6000);
	assert_true(b.unsure);
}

/* A room or an account that may have been made is not forgotten when it is not
 * its turn; it is no other step's. */
static void test_unsure_outlives_a_plan(void **state)
{
	struct store_fixture *f = *state;
	struct store_step steps[] = { step("create_room", ROOM, ROOM),
		step("register", ANNA, NULL), step("invite", ANNA, ROOM),
		step("create_room", "#other:b", "#other:b") };
	size_t n = 0;

	sync(f, steps, 4, 1000);
	WRITE(f, store_journal_start(f->s, steps[0].id, 1100, &f->e));
	for (size_t i = 1; i < 4; i++) {
		WRITE(f, store_journal_start(f->s, steps[i].id, 1100, &f->e));
		WRITE(f,
			store_journal_failed(f->s, steps[i].id, "no answer",
				i < 3, 5000, 1200, &f->e));
	}
	sync(f, NULL, 0, 2000);
	list(f, 10, &n);
	assert_int_equal(n, 2);
	struct store_step again[] = { step("create_room", ROOM, ROOM),
		step("register", ANNA, NULL),
		step("create_room", "#other:b", "#other:b") };
	sync(f, again, 3, 3000);
	assert_true(again[0].unsure && again[1].unsure);
	assert_int_equal(again[0].id, steps[0].id);
	assert_false(again[2].unsure);
}

static void test_done(void **state)
{
	struct store_fixture *f = *state;
	struct store_step a = step("login", ANNA, NULL), again = a;
	size_t n = 0;

	sync(f, &a, 1, 1000);
	WRITE(f, store_journal_start(f->s, a.id, 1100, &f->e));
	WRITE(f,
		store_journal_failed(
			f->s, a.id, "timed out", true, 1300, 1200, &f->e));
	WRITE(f, store_journal_start(f->s, a.id, 1300, &f->e));
	WRITE(f, store_journal_done(f->s, a.id, 1400, &f->e));
	assert_counts(f, 0, 0);
	const struct store_step *rows = list(f, 10, &n);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].state, JOURNAL_DONE);
	assert_int_equal(rows[0].attempt, 2);
	assert_int_equal(rows[0].updated_ms, 1400);
	assert_null(rows[0].error);

	/* It is over: the same step is a new one, and this one stays. */
	WRITE_RC(f, store_journal_start(f->s, a.id, 1500, &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_journal_done(f->s, a.id, 1500, &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_journal_failed(f->s, a.id, "x", false, 1, 1, &f->e),
		RC_NOT_FOUND);
	sync(f, &again, 1, 2000);
	assert_int_not_equal(again.id, a.id);
	sync(f, NULL, 0, 3000);
	rows = list(f, 10, &n);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].id, a.id);
}

static void test_twice_in_a_plan(void **state)
{
	struct store_fixture *f = *state;
	struct store_step steps[] = { step("join", ANNA, ROOM),
		step("join", ANNA, ROOM) };
	size_t n = 0;

	sync(f, steps, 2, 1000);
	assert_int_equal(steps[0].id, steps[1].id);
	list(f, 10, &n);
	assert_int_equal(n, 1);
}

static void test_rollback(void **state)
{
	struct store_fixture *f = *state;
	struct store_step a = step("login", ANNA, NULL);

	sync(f, &a, 1, 1000);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_journal_done(f->s, a.id, 1100, &f->e), f->e);
	assert_counts(f, 0, 0);
	store_rollback(f->s);
	assert_counts(f, 1, 0);
}

/* n steps with names of their own, in the fixture's arena. */
static struct store_step *many(struct store_fixture *f, size_t n)
{
	struct store_step *steps = arena_array(&f->a, n, sizeof(*steps));

	assert_non_null(steps);
	for (size_t i = 0; i < n; i++)
		steps[i] = step("invite",
			arena_printf(&f->a, "@u%zu:example.org", i), ROOM);
	assert_true(arena_ok(&f->a));
	return steps;
}

static void test_done_rows_are_bounded(void **state)
{
	struct store_fixture *f = *state;
	enum { N = 1200 };
	size_t n = 0;

	struct store_step *steps = many(f, N + 1);
	sync(f, steps, N + 1, 1000);
	assert_ok(store_begin(f->s, &f->e), f->e);
	for (size_t i = 0; i < N; i++)
		assert_ok(store_journal_done(
				  f->s, steps[N - 1 - i].id, 2000, &f->e),
			f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	const struct store_step *rows = list(f, 5000, &n);
	assert_int_equal(n, 1001);
	/* First what is not finished, then what was finished last. */
	assert_int_equal(rows[0].id, steps[N].id);
	assert_int_equal(rows[0].state, JOURNAL_WAITING);
	assert_int_equal(rows[1].id, steps[0].id);
	assert_int_equal(rows[1000].id, steps[999].id);
}

/* The bound is far above what it computes (for a quarter of a second), and far
 * below what one look through the journal per step would. */
static void test_fifty_thousand(void **state)
{
	struct store_fixture *f = *state;
	enum { N = 50000 };

	struct store_step *steps = many(f, N);
	clock_t began = clock();
	sync(f, steps, N, 1000);
	assert_counts(f, N, 0);
	int64_t first = steps[0].id, last = steps[N - 1].id;
	sync(f, steps, N, 2000);
	assert_int_equal(steps[0].id, first);
	assert_int_equal(steps[N - 1].id, last);
	assert_int_equal(steps[N - 1].created_ms, 1000);
	sync(f, steps, N / 2, 3000);
	assert_counts(f, N / 2, 0);
	assert_true((clock() - began) / CLOCKS_PER_SEC < 20);
}

static void break_off(struct store_fixture *f, int64_t id, int64_t now_ms)
{
	WRITE(f, store_journal_start(f->s, id, now_ms - 1, &f->e));
	WRITE(f,
		store_journal_failed(f->s, id, "refused", false, now_ms + 60000,
			now_ms, &f->e));
}

static void hurry(struct store_fixture *f, int64_t id, const char *subject,
	const char *room, int64_t now_ms, size_t want)
{
	size_t n = 99;

	WRITE(f,
		store_journal_hurry(
			f->s, id, subject, room, now_ms, &n, &f->e));
	assert_int_equal(n, want);
}

static size_t hurried(
	struct store_fixture *f, int64_t since_ms, struct store_step **rows)
{
	size_t n = 99;

	assert_ok(store_journal_hurried(f->s, since_ms, &f->a, rows, &n, &f->e),
		f->e);
	return n;
}

static struct store_step get(struct store_fixture *f, int64_t id)
{
	struct store_step row = { 0 };

	assert_ok(store_journal_get(f->s, id, &f->a, &row, &f->e), f->e);
	return row;
}

static void test_get(void **state)
{
	struct store_fixture *f = *state;
	struct store_step steps[] = { step("invite", ANNA, ROOM) }, row = { 0 };

	sync(f, steps, 1, 1000);
	break_off(f, steps[0].id, 2000);
	row = get(f, steps[0].id);
	assert_int_equal(row.id, steps[0].id);
	assert_string_equal(row.kind, "invite");
	assert_string_equal(row.room, ROOM);
	assert_int_equal(row.state, JOURNAL_FAILED);
	assert_int_equal(row.next_attempt_ms, 62000);
	assert_string_equal(row.error, "refused");
	row.id = 7;
	assert_int_equal(
		store_journal_get(f->s, steps[0].id + 1, &f->a, &row, &f->e),
		RC_NOT_FOUND);
	assert_int_equal(row.id, 7);
}

/* Only what has failed, and is of all that is named. */
static void test_hurry(void **state)
{
	struct store_fixture *f = *state;
	struct store_step steps[] = {
		step("invite", ANNA, ROOM),
		step("invite", ANNA, "#other:example.org"),
		step("invite", "@ben:example.org", ROOM),
		step("login", ANNA, NULL),
		step("join", ANNA, ROOM),
	};

	sync(f, steps, 5, 1000);
	for (size_t i = 0; i < 4; i++)
		break_off(f, steps[i].id, 2000);
	hurry(f, steps[4].id, NULL, NULL, 3000, 0);
	hurry(f, steps[1].id, NULL, NULL, 3001, 1);
	assert_int_equal(get(f, steps[1].id).next_attempt_ms, 3001);
	assert_int_equal(get(f, steps[1].id).updated_ms, 2000);
	assert_int_equal(get(f, steps[0].id).next_attempt_ms, 62000);
	hurry(f, 0, ANNA, NULL, 3002, 3);
	hurry(f, 0, NULL, ROOM, 3003, 2);
	hurry(f, 0, ANNA, ROOM, 3004, 1);
	hurry(f, 0, "@nobody:example.org", NULL, 3005, 0);
	hurry(f, 0, NULL, NULL, 3006, 4);
	assert_int_equal(get(f, steps[4].id).next_attempt_ms, 0);
}

/* Hurried and not tried, running, failed once more, done. */
static void test_what_came_of_it(void **state)
{
	struct store_fixture *f = *state;
	struct store_step *rows = NULL,
			  steps[] = {
				  step("invite", ANNA, ROOM),
				  step("invite", "@ben:example.org", ROOM),
				  step("login", ANNA, NULL),
				  step("join", ANNA, ROOM),
			  };

	sync(f, steps, 4, 1000);
	for (size_t i = 0; i < 3; i++)
		break_off(f, steps[i].id, 2000);
	assert_int_equal(hurried(f, 5000, &rows), 0);
	assert_int_equal(hurried(f, 2000, &rows), 3);
	hurry(f, 0, ANNA, NULL, 5000, 2);
	assert_int_equal(hurried(f, 5000, &rows), 2);
	/* By subject, kind and room. */
	assert_string_equal(rows[0].kind, "invite");
	assert_string_equal(rows[1].kind, "login");
	WRITE(f, store_journal_start(f->s, steps[0].id, 5001, &f->e));
	assert_int_equal(hurried(f, 5000, &rows), 2);
	assert_int_equal(rows[0].state, JOURNAL_RUNNING);
	break_off(f, steps[0].id, 5002);
	assert_int_equal(hurried(f, 5000, &rows), 2);
	assert_int_equal(rows[0].state, JOURNAL_FAILED);
	assert_int_equal(rows[0].updated_ms, 5002);
	WRITE(f, store_journal_start(f->s, steps[2].id, 5003, &f->e));
	WRITE(f, store_journal_done(f->s, steps[2].id, 5004, &f->e));
	assert_int_equal(hurried(f, 5000, &rows), 1);
	assert_int_equal(rows[0].id, steps[0].id);
	/* Who was not asked for and fails meanwhile is told of, too. */
	break_off(f, steps[1].id, 5005);
	assert_int_equal(hurried(f, 5000, &rows), 2);
	assert_string_equal(rows[1].subject, "@ben:example.org");
}

/* Of a kind, in a time, the newest first; what is not done is none of it. */
static void test_done_of_a_kind(void **state)
{
	struct store_fixture *f = *state;
	struct store_step *rows = NULL;
	size_t n = 99;
	for (int64_t ms = 1000; ms <= 4000; ms += 1000) {
		struct store_step steps[] = { step("set_state", "m.room.name",
						      ROOM),
			step("invite", ANNA, ROOM) };
		sync(f, steps, 2, ms);
		for (size_t i = 0; i < 2; i++) {
			WRITE(f,
				store_journal_start(
					f->s, steps[i].id, ms, &f->e));
			WRITE(f,
				store_journal_done(
					f->s, steps[i].id, ms, &f->e));
		}
	}
	struct store_step open = step("set_state", "m.room.topic", ROOM);
	sync(f, &open, 1, 3000);
	assert_ok(store_journal_done_of(f->s, "set_state", 2000, 3000, &f->a,
			  &rows, &n, &f->e),
		f->e);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].updated_ms, 3000);
	assert_int_equal(rows[1].updated_ms, 2000);
	assert_string_equal(rows[1].subject, "m.room.name");
	assert_string_equal(rows[1].room, ROOM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		STORE_TEST(test_new_steps),
		STORE_TEST(test_sync_again),
		STORE_TEST(test_running_is_seen_after_a_restart),
		STORE_TEST(test_unsure_until_done),
		STORE_TEST(test_unsure_outlives_a_plan),
		STORE_TEST(test_done),
		STORE_TEST(test_twice_in_a_plan),
		STORE_TEST(test_rollback),
		STORE_TEST(test_done_rows_are_bounded),
		STORE_TEST(test_get),
		STORE_TEST(test_done_of_a_kind),
		STORE_TEST(test_hurry),
		STORE_TEST(test_what_came_of_it),
		STORE_TEST(test_fifty_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
