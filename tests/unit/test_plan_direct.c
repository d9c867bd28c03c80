/*
 * The part of the plan for direct rooms: when a pair gets one, how many at
 * once, their names, and the agents' lists of them.
 */
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

#define AB A " " B
#define AH A " " H
#define MAKE_AB "create_room in " AB " by " A "\njoin " B " in " AB "\n"
#define MAKE_AH "create_room in " AH " by " A "\n"
#define MARK_A "direct_mark " A "\n"
#define MARK_B "direct_mark " B "\n"

/* All but the direct rooms is there. */
static void open_without_direct(struct world *w)
{
	static const char *const keys[] = { AB, AH };

	world_open(w);
	world_whole(w);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct store_room *r = world_room(w, keys[i]);
		r->room_id = r->maker = NULL;
		r->n_members = 0;
		r->state = NULL;
	}
}

static void assert_counts(
	const struct world *w, size_t direct, size_t made, size_t later)
{
	assert_int_equal(w->plan.direct, direct);
	assert_int_equal(w->plan.direct_made, made);
	assert_int_equal(w->plan.direct_later, later);
}

/* --- which of them are made ---------------------------------------------------- */

static void when_they_are_made(void **state)
{
	(void)state;
	struct world w;

	open_without_direct(&w);
	world_assert(&w, MAKE_AB MAKE_AH MARK_A MARK_B);
	assert_counts(&w, 2, 0, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(w.plan.steps[i].rank, RANK_DIRECT);
		assert_true(w.plan.steps[i].background);
	}

	w.how.direct = DIRECT_ON_DEMAND;
	world_assert(&w, "");
	assert_counts(&w, 0, 0, 0);
	world_room(&w, AH)->wanted = true;
	world_assert(&w, MAKE_AH MARK_A);
	assert_counts(&w, 1, 0, 0);
	world_room(&w, AB)->wanted = true;
	world_assert(&w, MAKE_AB MAKE_AH MARK_A MARK_B);
	assert_counts(&w, 2, 0, 0);

	w.how.direct = DIRECT_OFF;
	world_assert(&w, "");
	assert_counts(&w, 0, 0, 0);
	world_close(&w);
}

/* Of a store that has never heard of a pair nobody has asked for it. */
static void a_pair_without_a_row(void **state)
{
	(void)state;
	struct world w;

	open_without_direct(&w);
	struct store_room *last = &w.now.rooms[w.now.n_rooms - 1];
	assert_string_equal(last->key, AH);
	w.now.n_rooms--;
	w.how.direct = DIRECT_ON_DEMAND;
	world_assert(&w, "");
	w.how.direct = DIRECT_EAGER;
	world_assert(&w, MAKE_AB MAKE_AH MARK_A MARK_B);
	world_close(&w);
}

/* A room that is there is kept in any mode; but only where some are to be made
 * is another made for it. */
static void those_that_are_there(void **state)
{
	(void)state;
	static const enum direct_mode modes[] = { DIRECT_EAGER,
		DIRECT_ON_DEMAND, DIRECT_OFF };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct world w;
		world_open(&w);
		world_whole(&w);
		w.how.direct = modes[i];
		w.no = i;
		world_assert(&w, "");
		assert_counts(&w, 2, 2, 0);
		world_member(&w, AB, B, "leave");
		world_assert(&w,
			"invite " B " in " AB " by " A "\njoin " B " in " AB
			"\n");
		world_member(&w, AB, A, "leave");
		bool off = modes[i] == DIRECT_OFF;
		world_assert(&w, off ? "" : MAKE_AB MARK_A MARK_B);
		assert_counts(&w, 2, 2, 0);
		world_close(&w);
	}
}

static void so_many_at_once(void **state)
{
	(void)state;
	struct world w;

	open_without_direct(&w);
	w.how.direct_most = 1;
	world_assert(&w, MAKE_AB MARK_A MARK_B);
	assert_counts(&w, 2, 0, 1);
	w.how.direct_most = 0;
	world_assert(&w, "");
	assert_counts(&w, 2, 0, 2);
	w.how.direct_most = 2;
	world_assert(&w, MAKE_AB MAKE_AH MARK_A MARK_B);
	assert_counts(&w, 2, 0, 0);
	world_close(&w);

	/* They take turns, so that some that fail are in nobody's way. */
	open_without_direct(&w);
	w.how.direct_most = 1;
	world_assert(&w, MAKE_AB MARK_A MARK_B);
	assert_int_equal(w.plan.direct_next, 1);
	w.how.direct_from = 1;
	world_assert(&w, MAKE_AH MARK_A);
	assert_counts(&w, 2, 0, 1);
	assert_int_equal(w.plan.direct_next, 0);
	world_close(&w);

	/* What is there is kept all the same, and does not count. */
	world_open(&w);
	world_whole(&w);
	w.how.direct_most = 0;
	world_member(&w, AB, B, "invite");
	world_assert(&w, "join " B " in " AB "\n");
	assert_counts(&w, 2, 2, 0);
	world_room(&w, AH)->room_id = NULL;
	world_room(&w, AH)->n_members = 0;
	world_assert(&w, "join " B " in " AB "\n");
	assert_counts(&w, 2, 1, 1);
	w.how.direct_most = 1;
	world_assert(&w, "join " B " in " AB "\n" MAKE_AH MARK_A);
	world_close(&w);
}

static void pairs_that_cannot_have_one(void **state)
{
	(void)state;
	struct world w;

	open_without_direct(&w);
	world_agent(&w, B)->state = AGENT_BLOCKED;
	world_assert(&w, MAKE_AH MARK_A);
	assert_counts(&w, 2, 0, 0);
	world_agent(&w, A)->state = AGENT_BLOCKED;
	world_assert(&w, "");
	world_close(&w);
}

/* --- people who are put out ------------------------------------------------------ */

/* For the two of them once is enough. */
static void a_removal_counts_at_once(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, AB, B, "leave");
	world_removal(&w, AB, B, X, 7);
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	world_member(&w, AB, B, "join");
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 0);
	world_close(&w);

	/* Who is not found was not removed, unless it is so again. */
	world_open(&w);
	world_whole(&w);
	world_member(&w, AB, B, "leave");
	world_removal(&w, AB, B, NULL, 7);
	world_assert(
		&w, "invite " B " in " AB " by " A "\njoin " B " in " AB "\n");
	world_removal(&w, AB, B, NULL, 7 + LOST_MS);
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	world_close(&w);
}

/* No second room is made for an agent that was put out of the first. */
static void who_would_make_it_is_out(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_removal(&w, AH, A, H, 7);
	world_member(&w, AH, A, "leave");
	world_mark(&w, AH, A, false);
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	/* Nor by way of its being alone there before. */
	world_member(&w, AH, H, "leave");
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	/* An operator wants it back. */
	w.now.removals[0].asked = true;
	world_member(&w, AH, H, "join");
	world_assert(&w, MAKE_AH MARK_A);
	assert_int_equal(w.plan.held, 0);
	world_close(&w);
}

/* --- names ------------------------------------------------------------------------ */

#define RENAMED                                                                \
	HANNA "agents:\n"                                                      \
	      "- {id: ada, name: Ada L., department: Lab, level: VP, "         \
	      "manager: '" H "'}\n" BOB CLEO

/* A human sees who it is by the room's name; between agents there is none. */
static void an_agent_has_another_name(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_declare(&w, RENAMED, true);
	world_assert(&w,
		"profile " A "\nset_state m.room.name in " AH " by " A "\n");
	assert_int_equal(w.plan.steps[0].rank, RANK_LATER);
	assert_int_equal(w.plan.steps[1].rank, RANK_LATER);
	world_agent(&w, A)->shown_name = "Ada L.";
	world_state(&w, AH, ROOM_STATE_NAME, "{\"name\":\"Ada L.\"}");
	world_assert(&w, "");
	/* What is not known is not judged; a name that was taken away is. */
	world_state(&w, AH, ROOM_STATE_NAME, NULL);
	world_assert(&w, "");
	world_state(&w, AH, ROOM_STATE_NAME, "{}");
	world_assert(&w, "set_state m.room.name in " AH " by " A "\n");
	world_room(&w, AH)->state = NULL;
	world_assert(&w, "");
	world_state(&w, AB, ROOM_STATE_NAME, "{\"name\":\"Any\"}");
	world_assert(&w, "");
	world_close(&w);
}

/* --- the agents' lists --------------------------------------------------------------- */

/* One step writes all of an agent's list, when all else has ended; it waits for
 * a room that is made only when nothing else is missing. */
static void lists_that_lack_some(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_mark(&w, AB, A, false);
	world_mark(&w, AH, A, false);
	world_assert(&w, MARK_A);
	const struct step *st = &w.plan.steps[0];
	assert_true(st->last);
	assert_int_equal(st->rank, RANK_DIRECT + 1);
	assert_string_equal(st->actor, A);
	assert_string_equal(st->person->user_id, A);
	assert_int_equal(st->need[0], -1);

	/* Hanna's list is hers. */
	world_mark(&w, AB, A, true);
	world_mark(&w, AH, A, true);
	world_mark(&w, AH, H, false);
	world_assert(&w, "");

	world_room(&w, AH)->room_id = NULL;
	world_room(&w, AH)->n_members = 0;
	world_assert(&w, MAKE_AH MARK_A);
	assert_int_equal(w.plan.steps[1].need[0], 0);
	world_mark(&w, AB, A, false);
	world_assert(&w, MAKE_AH MARK_A);
	assert_int_equal(w.plan.steps[1].need[0], -1);

	/* A blocked one writes nothing. */
	world_agent(&w, A)->state = AGENT_BLOCKED;
	world_assert(&w, "");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_they_are_made),
		cmocka_unit_test(a_pair_without_a_row),
		cmocka_unit_test(those_that_are_there),
		cmocka_unit_test(so_many_at_once),
		cmocka_unit_test(pairs_that_cannot_have_one),
		cmocka_unit_test(a_removal_counts_at_once),
		cmocka_unit_test(who_would_make_it_is_out),
		cmocka_unit_test(an_agent_has_another_name),
		cmocka_unit_test(lists_that_lack_some),
	};

	return cmocka_run_group_tests_name(
		"plan: direct rooms", tests, NULL, NULL);
}
