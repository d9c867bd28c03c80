/*
 * tests/unit/test_store_people.c: people who are removed, leave and come back,
 * and rooms that are renamed, replaced, not found and held.
 */
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define SENDER "@muster:example.org"
#define ANNA "@anna:example.org"
#define BERT "@bert:example.org"
#define CARL "@carl:example.org"   /* an agent, declared in no room */
#define HANNA "@hanna:example.org" /* human */
#define X "@stranger:elsewhere.org"
#define GLASS "#glass:example.org"
#define CLEAR "#clear:example.org"
#define PAIR ANNA " " BERT
#define R1 "!one:example.org"
#define R2 "!two:example.org"
#define R3 "!three:example.org"

static void declare_agent(struct store_fixture *f, const char *id, bool sender)
{
	const struct store_agent a = { .user_id = id, .sender = sender };

	assert_ok(store_agent_declare(f->s, &a, 1, &f->e), f->e);
}

static void declare_room(struct store_fixture *f, const char *key, bool direct,
	const char *const *users, size_t n)
{
	const struct store_room r = { .key = key, .direct = direct };

	assert_ok(store_room_declare(f->s, &r, &f->e), f->e);
	assert_ok(store_room_members_declare(f->s, key, users, n, &f->e), f->e);
}

/* Three agents; a room of two of them and a human; and a pair. */
static void declare_all(struct store_fixture *f)
{
	static const char *const users[] = { ANNA, BERT, HANNA };

	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	declare_agent(f, SENDER, true);
	declare_agent(f, ANNA, false);
	declare_agent(f, BERT, false);
	declare_agent(f, CARL, false);
	declare_room(f, GLASS, false, users, 3);
	declare_room(f, CLEAR, false, users, 3);
	declare_room(f, PAIR, true, users, 2);
	assert_ok(store_declare_end(f->s, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
}

static void declare_and_find(struct store_fixture *f)
{
	declare_all(f);
	/* The times in these tests are small. */
	store_fixture_sql(f, "UPDATE declared_member SET since_ms = 0");
	WRITE(f, store_room_found(f->s, GLASS, R1, SENDER, &f->e));
	WRITE(f, store_room_found(f->s, PAIR, R2, ANNA, &f->e));
}

static struct store_snapshot snapshot(struct store_fixture *f)
{
	struct store_snapshot all = { .n_rooms = 99 };

	assert_ok(store_snapshot(f->s, &f->a, &all, &f->e), f->e);
	return all;
}

static struct store_room get_room(struct store_fixture *f, const char *key)
{
	struct store_room r = { .key = NULL };

	assert_ok(store_room_get(f->s, key, &f->a, &r, &f->e), f->e);
	return r;
}

static struct store_agent get_agent(struct store_fixture *f, const char *id)
{
	struct store_agent a = { .user_id = NULL };

	assert_ok(store_agent_get(f->s, id, &f->a, &a, &f->e), f->e);
	return a;
}

/* --- removals -------------------------------------------------------------- */

static void removed(struct store_fixture *f, const char *room, const char *user,
	const char *by, int64_t at_ms, const char *event)
{
	const struct store_removal r = { .room_id = room,
		.user_id = user,
		.by = by,
		.at_ms = at_ms,
		.event_id = event };

	WRITE(f, store_removal_add(f->s, &r, &f->e));
}

static void banned(struct store_fixture *f, const char *room, const char *user,
	int64_t at_ms, const char *event)
{
	const struct store_removal r = { .room_id = room,
		.user_id = user,
		.by = X,
		.ban = true,
		.at_ms = at_ms,
		.event_id = event };

	WRITE(f, store_removal_add(f->s, &r, &f->e));
}

static void member(struct store_fixture *f, const char *room, const char *user,
	const char *is, const char *event, int64_t at_ms)
{
	const struct store_membership m = { .room_id = room,
		.user_id = user,
		.membership = is,
		.event_id = event,
		.origin_ts = at_ms,
		.source = event ? "event" : "action" };

	WRITE(f, store_membership_set(f->s, &m, NULL, &f->e));
}

/* All removals, "room user by when[ ban][ asked]; …"; nobody: "-". */
static const char *removals(struct store_fixture *f)
{
	struct store_snapshot all = snapshot(f);
	const char *text = "";

	for (size_t i = 0; i < all.n_removals; i++) {
		const struct store_removal *r = &all.removals[i];
		text = arena_printf(&f->a, "%s%.4s %.5s %.5s %lld%s%s; ", text,
			r->room_id, r->user_id, r->by ? r->by : "-",
			(long long)r->at_ms, r->ban ? " ban" : "",
			r->asked ? " asked" : "");
	}
	return text;
}

static void test_removals(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	assert_string_equal(removals(f), "");
	removed(f, R1, ANNA, X, 100, "$1");
	removed(f, R1, ANNA, X, 100, "$1"); /* told twice */
	removed(f, R1, ANNA, X, 900, "$1"); /* with whatever time */
	assert_string_equal(removals(f), "!one @anna @stra 100; ");
	removed(f, R2, BERT, ANNA, 50, "$2");
	removed(f, R1, BERT, HANNA, 70, "$3");
	assert_string_equal(removals(f),
		"!one @anna @stra 100; !one @bert @hann 70; "
		"!two @bert @anna 50; ");
	/* At the same time, but two events. */
	removed(f, R1, BERT, HANNA, 70, "$4");
	assert_string_equal(removals(f),
		"!one @anna @stra 100; !one @bert @hann 70; "
		"!one @bert @hann 70; !two @bert @anna 50; ");
}

static void test_the_last_two_removals(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	removed(f, R1, BERT, X, 5, "$0");
	removed(f, R1, ANNA, X, 200, "$2");
	removed(f, R1, ANNA, HANNA, 300, "$3");
	removed(f, R1, ANNA, X, 100, "$1"); /* late */
	assert_string_equal(removals(f),
		"!one @anna @stra 200; !one @anna @hann 300; "
		"!one @bert @stra 5; ");
	removed(f, R1, ANNA, X, 400, "$4");
	assert_string_equal(removals(f),
		"!one @anna @hann 300; !one @anna @stra 400; "
		"!one @bert @stra 5; ");
}

/* A look cannot say who it was; the event that came late can. */
static void test_a_look_is_taken_over(void **state)
{
	static const char *const here[] = { BERT };
	struct store_fixture *f = *state;

	declare_and_find(f);
	member(f, R1, ANNA, "join", "$j", 10);
	member(f, R1, BERT, "join", "$k", 10);
	WRITE(f, store_membership_poll(f->s, R1, here, 1, 500, NULL, &f->e));
	assert_string_equal(removals(f), "!one @anna - 500; ");
	/* The same look again finds nothing new. */
	WRITE(f, store_membership_poll(f->s, R1, here, 1, 600, NULL, &f->e));
	assert_string_equal(removals(f), "!one @anna - 500; ");
	removed(f, R1, ANNA, X, 400, "$1");
	assert_string_equal(removals(f), "!one @anna @stra 400; ");
	removed(f, R1, ANNA, X, 400, "$1");
	assert_string_equal(removals(f), "!one @anna @stra 400; ");
	/* There is none left that another could take. */
	removed(f, R1, ANNA, X, 450, "$2");
	assert_string_equal(
		removals(f), "!one @anna @stra 400; !one @anna @stra 450; ");
}

static void test_a_look_before_the_event(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	removed(f, R1, ANNA, NULL, 500, NULL);
	/* What happened after the look is something else. */
	removed(f, R1, ANNA, X, 501, "$1");
	assert_string_equal(
		removals(f), "!one @anna - 500; !one @anna @stra 501; ");
	/* Of two looks the newer one is taken. */
	removed(f, R1, BERT, NULL, 500, NULL);
	removed(f, R1, BERT, NULL, 700, NULL);
	removed(f, R1, BERT, X, 650, "$2");
	assert_string_equal(removals(f),
		"!one @anna - 500; !one @anna @stra 501; "
		"!one @bert - 500; !one @bert @stra 650; ");
}

/* What an action of ours said did not come about. */
static void test_nothing_came_of_it(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	member(f, R1, ANNA, "invite", NULL, 100);
	member(f, R1, X, "invite", NULL, 100);
	member(f, R1, BERT, "join", NULL, 600);
	WRITE(f, store_membership_only(f->s, R1, NULL, 0, 500, &f->e));
	assert_string_equal(removals(f), "!one @anna - 500; ");
}

static void test_an_unban(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	removed(f, R1, ANNA, HANNA, 50, "$0");
	banned(f, R1, ANNA, 100, "$1");
	banned(f, R2, ANNA, 100, "$2");
	banned(f, R1, BERT, 100, "$3");
	member(f, R1, ANNA, "ban", "$1", 100);
	member(f, R2, ANNA, "ban", "$2", 100);
	assert_string_equal(removals(f),
		"!one @anna @hann 50; !one @anna @stra 100 ban; "
		"!one @bert @stra 100 ban; !two @anna @stra 100 ban; ");
	/* It takes the ban back, and removes nobody. */
	removed(f, R1, ANNA, X, 200, "$4");
	member(f, R1, ANNA, "leave", "$4", 200);
	assert_string_equal(removals(f),
		"!one @anna @hann 50; !one @bert @stra 100 ban; "
		"!two @anna @stra 100 ban; ");
	/* Who is not banned any more can be kicked. */
	removed(f, R1, ANNA, X, 300, "$5");
	assert_string_equal(removals(f),
		"!one @anna @hann 50; !one @anna @stra 300; "
		"!one @bert @stra 100 ban; !two @anna @stra 100 ban; ");
}

static void test_removals_that_do_not_matter(void **state)
{
	struct store_fixture *f = *state;
	static const char *const users[] = { ANNA };

	declare_and_find(f);
	removed(f, R1, ANNA, SENDER, 1, "$1"); /* we did it */
	removed(f, R1, CARL, X, 1, "$2");      /* not declared there */
	removed(f, R2, CARL, X, 1, "$3");
	removed(f, R3, ANNA, X, 1, "$4");   /* no room of ours */
	removed(f, R1, SENDER, X, 1, "$5"); /* no member of any */
	removed(f, R1, HANNA, X, 1, "$6");  /* a human's own matter */
	removed(f, R1, HANNA, HANNA, 1, "$7");
	assert_string_equal(removals(f), "");
	/* But where it is whom the homeserver has lost. */
	removed(f, R1, HANNA, NULL, 9, NULL);
	assert_string_equal(removals(f), "!one @hann - 9; ");

	/* An agent or a room that is declared no longer. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	declare_agent(f, SENDER, true);
	declare_agent(f, ANNA, false);
	declare_room(f, PAIR, true, users, 1);
	assert_ok(store_commit(f->s, &f->e), f->e);
	removed(f, R1, ANNA, X, 1, "$8");
	removed(f, R2, BERT, X, 1, "$9");
	assert_string_equal(removals(f), "!one @hann - 9; ");
	removed(f, R2, ANNA, X, 1, "$10");
	assert_string_equal(
		removals(f), "!one @hann - 9; !two @anna @stra 1; ");
}

/* A room that was declared no longer for a while: who left it then, and is
 * heard of only now, did what was declared. */
static void test_a_leave_of_before_it_was_declared_again(void **state)
{
	struct store_fixture *f = *state;
	static const char *const users[] = { ANNA, BERT };

	declare_and_find(f);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	declare_agent(f, SENDER, true);
	declare_agent(f, ANNA, false);
	declare_agent(f, BERT, false);
	declare_room(f, CLEAR, false, users, 2);
	assert_ok(store_declare_end(f->s, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	declare_all(f);
	removed(f, R1, ANNA, ANNA, 5, "$1");
	removed(f, R2, ANNA, ANNA, 5, "$2");
	assert_string_equal(removals(f), "");
	removed(f, R2, ANNA, ANNA, clock_wall_ms() + 1000, "$3");
	assert_int_equal(snapshot(f).n_removals, 1);
}

static void test_an_operator_forgives(void **state)
{
	struct store_fixture *f = *state;
	size_t n = 99;

	declare_and_find(f);
	WRITE(f, store_removals_forgive(f->s, ANNA, 1000, &n, &f->e));
	assert_int_equal(n, 0);
	removed(f, R1, ANNA, X, 100, "$1");
	removed(f, R1, ANNA, X, 200, "$2");
	removed(f, R1, BERT, X, 200, "$3");
	banned(f, R2, ANNA, 300, "$4");
	member(f, R1, ANNA, "leave", "$2", 200);
	member(f, R2, ANNA, "ban", "$4", 300);
	member(f, R2, BERT, "ban", "$5", 300);
	/* In a room that is none of ours a ban is nobody's to ask about. */
	member(f, R3, ANNA, "ban", "$6", 300);
	WRITE(f, store_removals_forgive(f->s, ANNA, 1000, &n, &f->e));
	assert_int_equal(n, 3);
	assert_string_equal(removals(f),
		"!one @bert @stra 200; !two @anna - 1000 ban asked; ");

	WRITE(f, store_removal_refused(f->s, R2, ANNA, &f->e));
	assert_string_equal(
		removals(f), "!one @bert @stra 200; !two @anna - 1000 ban; ");
	/* Once more is once more. */
	WRITE(f, store_removals_forgive(f->s, ANNA, 2000, &n, &f->e));
	assert_int_equal(n, 1);
	assert_string_equal(removals(f),
		"!one @bert @stra 200; !two @anna - 2000 ban asked; ");
}

/* --- rooms ------------------------------------------------------------------ */

static void test_a_room_is_renamed(void **state)
{
	struct store_fixture *f = *state;
	bool ours = false;

	declare_and_find(f);
	member(f, R1, ANNA, "join", "$1", 10);
	WRITE(f, store_room_rename(f->s, GLASS, CLEAR, &f->e));
	assert_null(get_room(f, GLASS).room_id);
	assert_null(get_room(f, GLASS).maker);
	assert_string_equal(get_room(f, CLEAR).room_id, R1);
	assert_string_equal(get_room(f, CLEAR).maker, SENDER);
	struct store_snapshot all = snapshot(f);
	assert_string_equal(all.rooms[0].key, CLEAR);
	assert_int_equal(all.rooms[0].n_members, 1);
	assert_int_equal(all.rooms[1].n_members, 0);
	assert_ok(store_room_has_key(f->s, R1, &ours, &f->e), f->e);
	assert_true(ours);

	/* What is not there, or has a room, or is not known, stays. */
	WRITE_RC(f, store_room_rename(f->s, GLASS, CLEAR, &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_room_rename(f->s, CLEAR, "#no:such", &f->e),
		RC_NOT_FOUND);
	WRITE_RC(f, store_room_rename(f->s, "#no:such", GLASS, &f->e),
		RC_NOT_FOUND);
	WRITE(f, store_room_found(f->s, GLASS, R3, NULL, &f->e));
	WRITE_RC(f, store_room_rename(f->s, CLEAR, GLASS, &f->e), RC_NOT_FOUND);
	assert_string_equal(get_room(f, GLASS).room_id, R3);
	assert_string_equal(get_room(f, CLEAR).room_id, R1);
}

static void test_a_room_is_replaced(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	member(f, R1, ANNA, "join", "$1", 10);
	member(f, R1, BERT, "leave", "$2", 10);
	member(f, R3, ANNA, "invite", "$3", 10);
	WRITE(f, store_room_replaced(f->s, GLASS, R3, &f->e));
	struct store_room r = get_room(f, GLASS);
	assert_string_equal(r.room_id, R3);
	assert_null(r.maker);
	struct store_snapshot all = snapshot(f);
	assert_int_equal(all.n_old, 1);
	assert_string_equal(all.old[0].room_id, R1);
	assert_string_equal(all.old[0].key, GLASS);
	assert_int_equal(all.old[0].n_members, 2);
	assert_string_equal(all.old[0].members[0].user_id, ANNA);
	assert_string_equal(all.old[0].members[0].membership, "join");
	assert_string_equal(all.old[0].members[1].membership, "leave");
	assert_int_equal(all.rooms[1].n_members, 1);

	/* By itself it is not, however often that is said. */
	WRITE(f, store_room_replaced(f->s, GLASS, R3, &f->e));
	assert_int_equal(snapshot(f).n_old, 1);
	/* Back again. */
	WRITE(f, store_room_replaced(f->s, GLASS, R1, &f->e));
	all = snapshot(f);
	assert_int_equal(all.n_old, 1);
	assert_string_equal(all.old[0].room_id, R3);
	assert_string_equal(get_room(f, GLASS).room_id, R1);
	WRITE(f, store_room_replaced(f->s, PAIR, "!0:e", &f->e));
	all = snapshot(f);
	assert_int_equal(all.n_old, 2);
	assert_string_equal(all.old[0].room_id, R3);
	assert_string_equal(all.old[1].room_id, R2);
	WRITE(f, store_old_room_left(f->s, R3, &f->e));
	all = snapshot(f);
	assert_int_equal(all.n_old, 1);
	assert_string_equal(all.old[0].room_id, R2);
	/* One that had no room has none to be left. */
	WRITE(f, store_room_replaced(f->s, CLEAR, R3, &f->e));
	assert_int_equal(snapshot(f).n_old, 1);
	assert_string_equal(get_room(f, CLEAR).room_id, R3);
	WRITE_RC(f, store_room_replaced(f->s, "#no:such", R3, &f->e),
		RC_NOT_FOUND);
}

static void test_a_room_is_given_up(void **state)
{
	struct store_fixture *f = *state;
	bool old = true;

	declare_and_find(f);
	assert_int_equal(store_old_room_is(f->s, R1, &old, &f->e), RC_OK);
	assert_false(old);
	WRITE(f, store_room_given_up(f->s, GLASS, &f->e));
	assert_null(get_room(f, GLASS).room_id);
	struct store_snapshot all = snapshot(f);
	assert_int_equal(all.n_old, 1);
	assert_string_equal(all.old[0].room_id, R1);
	assert_string_equal(all.old[0].key, GLASS);
	assert_int_equal(store_old_room_is(f->s, R1, &old, &f->e), RC_OK);
	assert_true(old);
	assert_int_equal(store_old_room_is(f->s, R2, &old, &f->e), RC_OK);
	assert_false(old);
	/* Nothing more to give up. */
	WRITE(f, store_room_given_up(f->s, GLASS, &f->e));
	assert_int_equal(snapshot(f).n_old, 1);
	WRITE_RC(f, store_room_given_up(f->s, "#no:such", &f->e), RC_NOT_FOUND);
}

static void test_a_pair_is_wanted(void **state)
{
	struct store_fixture *f = *state;
	bool new = false;

	declare_all(f);
	assert_false(get_room(f, PAIR).wanted);
	WRITE(f, store_room_want(f->s, PAIR, &new, &f->e));
	assert_true(new);
	assert_true(get_room(f, PAIR).wanted);
	WRITE(f, store_room_want(f->s, PAIR, &new, &f->e));
	assert_false(new);
	WRITE(f, store_room_want(f->s, PAIR, NULL, &f->e));
	/* Declared again it still is. */
	declare_all(f);
	assert_true(get_room(f, PAIR).wanted);
	/* Not a direct room; none at all; and one that is declared no more. */
	WRITE_RC(f, store_room_want(f->s, GLASS, &new, &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_room_want(f->s, BERT " " CARL, &new, &f->e),
		RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, BERT " " CARL));
	WRITE(f, store_declare_begin(f->s, &f->e));
	WRITE_RC(f, store_room_want(f->s, PAIR, &new, &f->e), RC_NOT_FOUND);
}

static void test_a_room_is_looked_for(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	WRITE(f, store_room_looked(f->s, GLASS, 200, 150, &f->e));
	assert_int_equal(get_room(f, GLASS).missing_ms, 150);
	assert_string_equal(get_room(f, GLASS).room_id, R1);
	WRITE(f, store_room_looked(f->s, GLASS, 300, 0, &f->e));
	assert_int_equal(get_room(f, GLASS).missing_ms, 0);

	WRITE(f, store_room_hold(f->s, GLASS, "taken", 400, &f->e));
	assert_string_equal(get_room(f, GLASS).held, "taken");
	assert_int_equal(get_room(f, GLASS).held_ms, 400);
	/* Since when, not when it was last said. */
	WRITE(f, store_room_hold(f->s, GLASS, "taken", 500, &f->e));
	assert_int_equal(get_room(f, GLASS).held_ms, 400);
	WRITE(f, store_room_hold(f->s, GLASS, "deaf", 600, &f->e));
	assert_string_equal(get_room(f, GLASS).held, "deaf");
	assert_int_equal(get_room(f, GLASS).held_ms, 600);
	WRITE(f, store_room_hold(f->s, GLASS, NULL, 700, &f->e));
	assert_null(get_room(f, GLASS).held);

	/* Nor is it when it says something else of what has its place. */
	WRITE(f, store_room_hold(f->s, GLASS, "taken", 750, &f->e));
	WRITE(f,
		store_state_set(f->s, R1, "m.room.name", "{}", "$1", X, 750,
			NULL, &f->e));
	assert_string_equal(get_room(f, GLASS).held, "taken");
	WRITE(f,
		store_state_set(f->s, R1, "m.room.tombstone", "{\"a\":1}", "$2",
			X, 760, NULL, &f->e));
	assert_null(get_room(f, GLASS).held);
	WRITE(f, store_room_hold(f->s, GLASS, "taken", 770, &f->e));
	WRITE(f,
		store_state_set(f->s, R1, "m.room.tombstone", "{\"a\":1}", NULL,
			NULL, 780, NULL, &f->e));
	assert_string_equal(get_room(f, GLASS).held, "taken");
	WRITE(f, store_state_redact(f->s, R1, "m.room.tombstone", "{}", &f->e));
	assert_null(get_room(f, GLASS).held);

	/* A room that is found is neither missing nor held. */
	WRITE(f, store_room_hold(f->s, GLASS, "taken", 800, &f->e));
	WRITE(f, store_room_looked(f->s, GLASS, 800, 800, &f->e));
	WRITE(f, store_room_found(f->s, GLASS, R3, NULL, &f->e));
	assert_null(get_room(f, GLASS).held);
	assert_int_equal(get_room(f, GLASS).missing_ms, 0);
}

/* Which direct rooms come next to be looked at: "a b ", by who is in them. */
static const char *unlooked(
	struct store_fixture *f, int64_t since_ms, size_t limit)
{
	struct store_room *rows = NULL;
	const char *text = "";
	size_t n = 99;

	assert_ok(store_rooms_unlooked(
			  f->s, since_ms, limit, &f->a, &rows, &n, &f->e),
		f->e);
	for (size_t i = 0; i < n; i++)
		text = arena_printf(
			&f->a, "%s%s ", text, strchr(rows[i].key, ' ') + 2);
	return text;
}

static void test_rooms_to_look_at(void **state)
{
	static const char *const keys[] = { "@a:e @b:e", "@a:e @c:e",
		"@a:e @d:e", "@a:e @e:e" };
	static const int64_t looked[] = { 300, 100, 200, 50 };
	struct store_fixture *f = *state;
	char id[8];

	declare_and_find(f);
	assert_string_equal(unlooked(f, 1000, 9), ""); /* it was just found */
	WRITE(f, store_room_looked(f->s, GLASS, 1, 0, &f->e));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct store_room r = { .key = keys[i], .direct = true };
		WRITE(f, store_room_declare(f->s, &r, &f->e));
		if (i == 3) /* it does not exist */
			continue;
		snprintf(id, sizeof(id), "!%zu:e", i);
		WRITE(f, store_room_found(f->s, keys[i], id, NULL, &f->e));
		WRITE(f, store_room_looked(f->s, keys[i], looked[i], 0, &f->e));
	}
	assert_string_equal(unlooked(f, 1000, 9), "c:e d:e b:e ");
	assert_string_equal(unlooked(f, 1000, 2), "c:e d:e ");
	assert_string_equal(unlooked(f, 200, 9), "c:e ");
	assert_string_equal(unlooked(f, 201, 9), "c:e d:e ");
	assert_string_equal(unlooked(f, 100, 9), "");
	WRITE(f, store_room_looked(f->s, keys[1], 400, 0, &f->e));
	assert_string_equal(unlooked(f, 1000, 9), "d:e b:e c:e ");
	WRITE(f, store_declare_begin(f->s, &f->e));
	assert_string_equal(unlooked(f, 1000, 9), "");
}

static bool unconfirmed(
	struct store_fixture *f, const char *room_id, int64_t before_ms)
{
	bool ret = false;

	assert_ok(store_room_unconfirmed(f->s, room_id, before_ms, &ret, &f->e),
		f->e);
	return ret;
}

static void test_what_only_we_said(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	assert_false(unconfirmed(f, R1, 1000));
	member(f, R1, BERT, "join", "$1", 10);
	assert_false(unconfirmed(f, R1, 1000));
	member(f, R1, ANNA, "invite", NULL, 100);
	assert_true(unconfirmed(f, R1, 101));
	assert_false(unconfirmed(f, R1, 100));
	assert_false(unconfirmed(f, R2, 1000));
	member(f, R1, ANNA, "invite", "$2", 90);
	assert_false(unconfirmed(f, R1, 1000));
}

/* A homeserver that has forgotten everything has forgotten this as well. */
static void test_forget(void **state)
{
	struct store_fixture *f = *state;

	declare_and_find(f);
	removed(f, R1, ANNA, X, 100, "$1");
	WRITE(f, store_room_replaced(f->s, GLASS, R3, &f->e));
	WRITE(f, store_room_hold(f->s, GLASS, "taken", 5, &f->e));
	WRITE(f, store_room_looked(f->s, GLASS, 5, 5, &f->e));
	WRITE(f, store_room_want(f->s, PAIR, NULL, &f->e));
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_RETIRED, 5, &f->e));
	WRITE(f, store_agent_state(f->s, BERT, AGENT_BLOCKED, 5, &f->e));
	WRITE(f, store_forget(f->s, &f->e));
	struct store_snapshot all = snapshot(f);
	assert_int_equal(all.n_removals, 0);
	assert_int_equal(all.n_old, 0);
	assert_null(get_room(f, GLASS).room_id);
	assert_null(get_room(f, GLASS).held);
	assert_int_equal(get_room(f, GLASS).missing_ms, 0);
	/* What people asked for, and who has left, stays. */
	assert_true(get_room(f, PAIR).wanted);
	assert_int_equal(get_agent(f, ANNA).state, AGENT_RETIRED);
	assert_int_equal(get_agent(f, BERT).state, AGENT_DECLARED);
}

/* --- agents ------------------------------------------------------------------ */

#define DIGEST                                                                 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void hand_off(struct store_fixture *f, int64_t generation)
{
	WRITE(f,
		store_agent_handed_off(f->s, ANNA, "DEV", generation, DIGEST,
			generation, &f->e));
}

static void test_an_agent_is_retired(void **state)
{
	struct store_fixture *f = *state;

	declare_all(f);
	hand_off(f, 1);
	hand_off(f, 2);
	WRITE(f, store_agent_error(f->s, ANNA, "broken", &f->e));
	WRITE(f, store_agent_may_leave(f->s, ANNA, &f->e));
	assert_true(get_agent(f, ANNA).may_leave);
	WRITE_RC(f, store_agent_may_leave(f->s, "@no:such", &f->e),
		RC_NOT_FOUND);
	WRITE_RC(f,
		store_agent_revoked(f->s, "@no:such", AGENT_RETIRED, 50, &f->e),
		RC_NOT_FOUND);
	WRITE(f, store_agent_revoked(f->s, ANNA, AGENT_RETIRED, 50, &f->e));
	struct store_agent a = get_agent(f, ANNA);
	assert_int_equal(a.state, AGENT_RETIRED);
	assert_int_equal(a.since_ms, 50);
	assert_int_equal(a.generation, 2);
	assert_null(a.error);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM handoff WHERE "
				 "revoked_ms = 50"),
		2);
	/* Again, and what was answered late: it stays so, since then. */
	WRITE(f, store_agent_revoked(f->s, ANNA, AGENT_RETIRED, 60, &f->e));
	WRITE(f, store_agent_acked(f->s, ANNA, 2, 55, "pid 1", 70, &f->e));
	a = get_agent(f, ANNA);
	assert_int_equal(a.state, AGENT_RETIRED);
	assert_int_equal(a.since_ms, 50);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM handoff WHERE "
				 "revoked_ms = 50"),
		2);
	/* A new token is not revoked. */
	hand_off(f, 3);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM handoff WHERE "
				 "generation = 3 AND revoked_ms IS NULL"),
		1);
}

/* Those who are let go while others are on their way go together; whoever is let
 * go after the last of them does not. */
static void test_who_is_let_go_together(void **state)
{
	struct store_fixture *f = *state;

	declare_all(f);
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_REGISTERED, 1, &f->e));
	WRITE(f, store_agent_state(f->s, BERT, AGENT_REGISTERED, 1, &f->e));
	WRITE(f, store_declare_begin(f->s, &f->e));
	WRITE(f, store_agent_may_leave(f->s, ANNA, &f->e));
	WRITE(f, store_agent_may_leave(f->s, BERT, &f->e));
	WRITE(f, store_agent_revoked(f->s, ANNA, AGENT_RETIRED, 50, &f->e));
	WRITE(f, store_agent_may_leave(f->s, BERT, &f->e));
	assert_true(get_agent(f, ANNA).may_leave);
	WRITE(f, store_agent_revoked(f->s, BERT, AGENT_RETIRED, 60, &f->e));
	assert_true(get_agent(f, ANNA).may_leave);
	assert_true(get_agent(f, BERT).may_leave);
	WRITE(f, store_agent_may_leave(f->s, BERT, &f->e));
	assert_false(get_agent(f, ANNA).may_leave);
	assert_true(get_agent(f, BERT).may_leave);
}

/* By its file, when the store knew nothing. */
static void test_an_agent_is_found(void **state)
{
	struct store_fixture *f = *state;
	const struct store_agent found = { .user_id = "@dora:example.org",
		.name = "dora",
		.department = "Lab",
		.device_id = "DEV",
		.generation = 7,
		.token_sha256 = DIGEST };
	struct store_agent row = found;

	declare_all(f);
	WRITE(f, store_agent_found(f->s, &row, 50, &f->e));
	struct store_agent a = get_agent(f, found.user_id);
	assert_int_equal(a.state, AGENT_HANDED_OFF);
	assert_false(a.declared);
	assert_false(a.sender);
	assert_false(a.may_leave);
	assert_string_equal(a.name, "dora");
	assert_string_equal(a.department, "Lab");
	assert_string_equal(a.device_id, "DEV");
	assert_string_equal(a.token_sha256, DIGEST);
	assert_int_equal(a.generation, 7);
	assert_int_equal(a.since_ms, 50);
	/* Whoever is known stays as they are. */
	row.generation = 9;
	WRITE(f, store_agent_found(f->s, &row, 60, &f->e));
	row.user_id = ANNA;
	WRITE(f, store_agent_found(f->s, &row, 60, &f->e));
	assert_int_equal(get_agent(f, found.user_id).generation, 7);
	assert_int_equal(get_agent(f, ANNA).generation, 0);
	assert_int_equal(
		store_fixture_sql(f, "SELECT count(*) FROM handoff"), 1);
	/* One whose tokens were ended. */
	row = found;
	row.user_id = "@emil:example.org";
	row.token_sha256 = NULL;
	WRITE(f, store_agent_found(f->s, &row, 70, &f->e));
	a = get_agent(f, row.user_id);
	assert_int_equal(a.state, AGENT_RETIRED);
	assert_int_equal(a.generation, 7);
	assert_null(a.token_sha256);
}

static void test_an_agent_comes_back(void **state)
{
	struct store_fixture *f = *state;
	const struct store_agent again = {
		.user_id = ANNA, .name = "Anna II", .team = "Glass"
	};

	declare_all(f);
	hand_off(f, 4);
	WRITE(f, store_declare_begin(f->s, &f->e));
	WRITE(f, store_agent_may_leave(f->s, ANNA, &f->e));
	WRITE(f, store_agent_revoked(f->s, ANNA, AGENT_RETIRED, 50, &f->e));
	WRITE(f, store_agent_declare(f->s, &again, 90, &f->e));
	struct store_agent a = get_agent(f, ANNA);
	assert_int_equal(a.state, AGENT_REGISTERED);
	assert_int_equal(a.since_ms, 90);
	assert_true(a.declared);
	assert_false(a.may_leave);
	assert_string_equal(a.name, "Anna II");
	assert_string_equal(a.team, "Glass");
	/* The same agent: a new generation. */
	assert_int_equal(a.generation, 4);
	WRITE_RC(
		f, store_agent_login(f->s, ANNA, "D", 4, 95, &f->e), RC_EXISTS);
	WRITE(f, store_agent_login(f->s, ANNA, "D", 5, 95, &f->e));
	/* Declared as it was, nothing begins anew. */
	WRITE(f, store_agent_declare(f->s, &again, 99, &f->e));
	a = get_agent(f, ANNA);
	assert_int_equal(a.state, AGENT_LOGGED_IN);
	assert_int_equal(a.since_ms, 95);
	/* Nor for one that is blocked. */
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_BLOCKED, 100, &f->e));
	WRITE(f, store_agent_declare(f->s, &again, 110, &f->e));
	assert_int_equal(get_agent(f, ANNA).state, AGENT_BLOCKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_removals),
		STORE_TEST(test_the_last_two_removals),
		STORE_TEST(test_a_look_is_taken_over),
		STORE_TEST(test_a_look_before_the_event),
		STORE_TEST(test_nothing_came_of_it),
		STORE_TEST(test_an_unban),
		STORE_TEST(test_removals_that_do_not_matter),
		STORE_TEST(test_a_leave_of_before_it_was_declared_again),
		STORE_TEST(test_an_operator_forgives),
		STORE_TEST(test_a_room_is_renamed),
		STORE_TEST(test_a_room_is_replaced),
		STORE_TEST(test_a_room_is_given_up),
		STORE_TEST(test_a_pair_is_wanted),
		STORE_TEST(test_a_room_is_looked_for),
		STORE_TEST(test_rooms_to_look_at),
		STORE_TEST(test_what_only_we_said),
		STORE_TEST(test_forget),
		STORE_TEST(test_an_agent_is_retired),
		STORE_TEST(test_who_is_let_go_together),
		STORE_TEST(test_an_agent_is_found),
		STORE_TEST(test_an_agent_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
