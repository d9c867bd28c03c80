/*
 * tests/unit/test_store_rooms.c: rooms, who should be in them and who is, and
 * the snapshot that the plan is made from.
 */
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

#define ANNA "@anna:example.org"
#define BERT "@bert:example.org"
#define CARL "@carl:example.org"
#define GLASS "#glass:example.org"
#define PAIR ANNA " " BERT
#define R1 "!one:example.org"
#define R2 "!two:example.org"

static const struct store_room glass = { .key = GLASS, .rule = "{team}" };
static const struct store_room pair = { .key = PAIR, .direct = true };

static void declare_rooms(struct store_fixture *f)
{
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	assert_ok(store_room_declare(f->s, &glass, &f->e), f->e);
	assert_ok(store_room_declare(f->s, &pair, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
}

static struct store_snapshot snapshot(struct store_fixture *f)
{
	struct store_snapshot all = { .n_rooms = 99 };

	assert_ok(store_snapshot(f->s, &f->a, &all, &f->e), f->e);
	return all;
}

/* --- rooms ---------------------------------------------------------------- */

static void test_rooms(void **state)
{
	struct store_fixture *f = *state;

	assert_int_equal(snapshot(f).n_rooms, 0);
	declare_rooms(f);
	struct store_snapshot all = snapshot(f);
	assert_int_equal(all.n_rooms, 2);
	const struct store_room *r = &all.rooms[0], *d = &all.rooms[1];
	assert_string_equal(r->key, GLASS);
	assert_string_equal(r->rule, "{team}");
	assert_false(r->direct);
	assert_true(r->declared);
	assert_null(r->room_id);
	assert_null(r->maker);
	assert_null(r->state);
	assert_int_equal(r->n_members, 0);
	assert_string_equal(d->key, PAIR);
	assert_null(d->rule);
	assert_true(d->direct);

	WRITE(f, store_room_found(f->s, GLASS, R1, ANNA, &f->e));
	WRITE(f, store_room_found(f->s, PAIR, R2, NULL, &f->e));
	/* Declared again, and the other one not: what was found stays. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	assert_ok(store_room_declare(f->s, &glass, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	all = snapshot(f);
	assert_string_equal(all.rooms[0].room_id, R1);
	assert_string_equal(all.rooms[0].maker, ANNA);
	assert_true(all.rooms[0].declared);
	assert_string_equal(all.rooms[1].room_id, R2);
	assert_null(all.rooms[1].maker);
	assert_false(all.rooms[1].declared);

	WRITE(f, store_room_lost(f->s, GLASS, &f->e));
	assert_null(snapshot(f).rooms[0].room_id);
	assert_null(snapshot(f).rooms[0].maker);
	WRITE_RC(f, store_room_lost(f->s, "#no:such", &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_room_found(f->s, "#no:such", R1, NULL, &f->e),
		RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, "#no:such"));
}

static void assert_members(
	struct store_fixture *f, const char *const *want, size_t n_want)
{
	struct store_declared_member *m = NULL;
	size_t n = 0;

	assert_ok(store_declared_members(f->s, &f->a, &m, &n, &f->e), f->e);
	assert_int_equal(n, n_want);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(m[i].key, GLASS);
		assert_string_equal(m[i].user_id, want[i]);
	}
}

static void test_declared_members(void **state)
{
	static const char *const three[] = { CARL, ANNA, BERT, ANNA };
	static const char *const sorted[] = { ANNA, BERT, CARL };
	static const char *const other[] = { BERT, "@dora:example.org" };
	struct store_fixture *f = *state;

	declare_rooms(f);
	WRITE(f, store_room_members_declare(f->s, GLASS, three, 4, &f->e));
	assert_members(f, sorted, 3);
	WRITE(f, store_room_members_declare(f->s, GLASS, other, 2, &f->e));
	assert_members(f, other, 2);
	WRITE(f, store_room_members_declare(f->s, GLASS, NULL, 0, &f->e));
	assert_members(f, NULL, 0);
	WRITE_RC(f,
		store_room_members_declare(f->s, "#no:such", three, 1, &f->e),
		RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, "#no:such"));

	/* Members of a room that is not declared any more are not told. */
	WRITE(f, store_room_members_declare(f->s, GLASS, other, 2, &f->e));
	WRITE(f, store_declare_begin(f->s, &f->e));
	assert_members(f, NULL, 0);
}

/* A mark is told with the member that it is of. */
static void test_marks(void **state)
{
	static const char *const both[] = { ANNA, BERT };
	struct store_fixture *f = *state;

	declare_rooms(f);
	WRITE(f, store_room_found(f->s, PAIR, R2, ANNA, &f->e));
	WRITE(f, store_membership_poll(f->s, R2, both, 2, 5, NULL, &f->e));
	WRITE(f, store_mark_add(f->s, R2, BERT, &f->e));
	WRITE(f, store_mark_add(f->s, R2, CARL, &f->e)); /* is not there */
	WRITE(f, store_mark_add(f->s, R1, ANNA, &f->e)); /* another room */
	WRITE(f, store_mark_add(f->s, R1, ANNA, &f->e));
	const struct store_room *d = &snapshot(f).rooms[1];
	assert_string_equal(d->key, PAIR);
	assert_int_equal(d->n_members, 2);
	assert_string_equal(d->members[0].user_id, ANNA);
	assert_false(d->members[0].marked);
	assert_string_equal(d->members[1].user_id, BERT);
	assert_true(d->members[1].marked);
	assert_int_equal(
		store_fixture_sql(f, "SELECT count(*) FROM direct_mark"), 3);
	/* Another room of the two has no marks yet. */
	WRITE(f, store_room_found(f->s, PAIR, R1, ANNA, &f->e));
	WRITE(f, store_membership_poll(f->s, R1, both, 2, 5, NULL, &f->e));
	d = &snapshot(f).rooms[1];
	assert_true(d->members[0].marked);
	assert_false(d->members[1].marked);
}

static void test_one_room(void **state)
{
	static const char *const both[] = { ANNA, BERT };
	struct store_fixture *f = *state;
	struct store_room r = { .key = "untouched" }, *rows = NULL;
	size_t n = 9;

	declare_rooms(f);
	WRITE(f, store_room_members_declare(f->s, PAIR, both, 2, &f->e));
	WRITE(f, store_room_members_declare(f->s, GLASS, both, 2, &f->e));
	assert_ok(
		store_direct_rooms(f->s, ANNA, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0); /* it does not exist yet */
	assert_rc(store_room_by_id(f->s, R2, &f->a, &r, &f->e), RC_NOT_FOUND);
	assert_string_equal(r.key, "untouched");
	WRITE(f, store_room_found(f->s, PAIR, R2, ANNA, &f->e));
	WRITE(f, store_room_found(f->s, GLASS, R1, NULL, &f->e));
	assert_ok(
		store_direct_rooms(f->s, ANNA, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].key, PAIR);
	assert_string_equal(rows[0].room_id, R2);
	assert_ok(
		store_direct_rooms(f->s, CARL, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0);

	assert_ok(store_room_get(f->s, GLASS, &f->a, &r, &f->e), f->e);
	assert_string_equal(r.room_id, R1);
	assert_ok(store_room_by_id(f->s, R2, &f->a, &r, &f->e), f->e);
	assert_string_equal(r.key, PAIR);
	assert_rc(store_room_get(f->s, "#no:such", &f->a, &r, &f->e),
		RC_NOT_FOUND);
}

/* --- memberships ---------------------------------------------------------- */

static struct store_membership event(
	const char *membership, const char *event_id, int64_t origin_ts)
{
	return (struct store_membership){ .room_id = R1,
		.user_id = ANNA,
		.membership = membership,
		.event_id = event_id,
		.origin_ts = origin_ts,
		.source = "event" };
}

static struct store_membership own(
	const char *source, const char *membership, int64_t origin_ts)
{
	struct store_membership m = event(membership, NULL, origin_ts);

	m.source = source;
	return m;
}

static bool set(struct store_fixture *f, struct store_membership m)
{
	bool changed = false;

	WRITE(f, store_membership_set(f->s, &m, &changed, &f->e));
	return changed;
}

/* The first room's members; all others have none. */
static const struct store_room *only_room(struct store_fixture *f)
{
	struct store_snapshot all = snapshot(f);

	for (size_t i = 1; i < all.n_rooms; i++)
		assert_int_equal(all.rooms[i].n_members, 0);
	return all.rooms;
}

/* The row of ANNA in R1, which a room must be found for. */
static void assert_row(struct store_fixture *f, const char *membership,
	int64_t origin_ts, const char *source)
{
	const struct store_room *r = only_room(f);

	assert_string_equal(r->room_id, R1);
	assert_int_equal(r->n_members, 1);
	const struct store_member *m = &r->members[0];
	assert_string_equal(m->user_id, ANNA);
	assert_string_equal(m->membership, membership);
	assert_int_equal(m->origin_ts, origin_ts);
	assert_string_equal(m->source, source);
}

static void find_room(struct store_fixture *f)
{
	declare_rooms(f);
	WRITE(f, store_room_found(f->s, GLASS, R1, NULL, &f->e));
}

static void test_membership_order(void **state)
{
	struct store_fixture *f = *state;

	find_room(f);
	assert_true(set(f, event("invite", "$1", 100)));
	assert_true(set(f, event("join", "$2", 200)));
	assert_false(set(f, event("leave", "$0", 150)));
	assert_row(f, "join", 200, "event");
	/* The same again, and another of the same time: the later call. */
	assert_false(set(f, event("join", "$2", 200)));
	assert_true(set(f, event("leave", "$3", 200)));
	assert_row(f, "leave", 200, "event");
	/* Another event that says the same is no change, but newer. */
	assert_false(set(f, event("leave", "$4", 300)));
	assert_row(f, "leave", 300, "event");

	const char *now = "unset";
	assert_ok(
		store_membership_get(f->s, R1, ANNA, &f->a, &now, &f->e), f->e);
	assert_string_equal(now, "leave");
	assert_ok(
		store_membership_get(f->s, R2, ANNA, &f->a, &now, &f->e), f->e);
	assert_null(now);
}

static void test_membership_takes_over(void **state)
{
	static const char *const sources[] = { "action", "poll" };
	struct store_fixture *f = *state;

	find_room(f);
	for (int64_t i = 0; i < 2; i++) {
		int64_t t = i * 1000;
		assert_true(set(f, own(sources[i], "join", t + 500)));
		/* Older, and something else: no. */
		assert_false(set(f, event("leave", "$a", t + 490)));
		assert_row(f, "join", t + 500, sources[i]);
		/* The invitation that was joined within its millisecond. */
		assert_false(set(f, event("invite", "$e", t + 500)));
		assert_row(f, "join", t + 500, sources[i]);
		/* Older, and the same: it is the one. */
		assert_false(set(f, event("join", "$b", t + 480)));
		assert_row(f, "join", t + 480, "event");
		/* An older event does not take over an event. */
		assert_false(set(f, event("join", "$c", t + 470)));
		assert_row(f, "join", t + 480, "event");
		/* Nor does an older word of ours. */
		assert_false(set(f, own("poll", "join", t + 470)));
		assert_false(set(f, own("action", "leave", t + 470)));
		assert_row(f, "join", t + 480, "event");
		/* Nor does a newer one that says the same. */
		assert_false(set(f, own(sources[i], "join", t + 600)));
		assert_row(f, "join", t + 480, "event");
		assert_true(set(f, own("action", "leave", t + 900)));
		assert_row(f, "leave", t + 900, "action");
		/* A word of ours is not taken over by an older one. */
		assert_false(set(f, own("poll", "leave", t + 890)));
		assert_row(f, "leave", t + 900, "action");
	}
}

/* Whatever the order in which six events come, the newest is what is. */
static void test_membership_every_order(void **state)
{
	struct store_fixture *f = *state;
	const struct store_membership history[6] = {
		event("invite", "$1", 100),
		event("join", "$2", 200),
		event("leave", "$3", 300),
		event("invite", "$4", 400),
		event("leave", "$5", 500),
		event("join", "$6", 600),
	};
	int order[6], orders = 0;

	find_room(f);
	/* All numbers of six digits in base six, less those with a repeat. */
	for (int number = 0; number < 6 * 6 * 6 * 6 * 6 * 6; number++) {
		unsigned used = 0;
		for (int i = 0, rest = number; i < 6; i++, rest /= 6) {
			order[i] = rest % 6;
			used |= 1U << order[i];
		}
		if (used != 0x3f)
			continue;
		orders++;
		assert_ok(store_begin(f->s, &f->e), f->e);
		for (int i = 0; i < 6; i++)
			assert_ok(store_membership_set(f->s, &history[order[i]],
					  NULL, &f->e),
				f->e);
		assert_row(f, "join", 600, "event");
		store_rollback(f->s);
		arena_free(&f->a);
	}
	assert_int_equal(orders, 720);
	assert_int_equal(only_room(f)->n_members, 0);
}

static void test_membership_refuses(void **state)
{
	struct store_fixture *f = *state;
	struct store_membership m = event("joined", "$1", 100);

	find_room(f);
	WRITE_RC(f, store_membership_set(f->s, &m, NULL, &f->e), RC_INVALID);
	m = own("rumour", "join", 100);
	WRITE_RC(f, store_membership_set(f->s, &m, NULL, &f->e), RC_INVALID);
	/* A refused one does not undo its neighbours. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	m = event("knock", "$1", 100);
	assert_ok(store_membership_set(f->s, &m, NULL, &f->e), f->e);
	m = event("gone", "$2", 200);
	assert_rc(store_membership_set(f->s, &m, NULL, &f->e), RC_INVALID);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_row(f, "knock", 100, "event");
}

/* What of a snapshot's rows is said of a user: "join poll 500". */
static const char *said(struct store_fixture *f, const char *user_id)
{
	const struct store_room *r = only_room(f);

	for (size_t i = 0; i < r->n_members; i++)
		if (strcmp(r->members[i].user_id, user_id) == 0)
			return arena_printf(&f->a, "%s %s %lld",
				r->members[i].membership, r->members[i].source,
				(long long)r->members[i].origin_ts);
	return "nothing";
}

static bool poll(struct store_fixture *f, const char *const *joined, size_t n,
	int64_t at_ms)
{
	bool changed = false;

	WRITE(f,
		store_membership_poll(
			f->s, R1, joined, n, at_ms, &changed, &f->e));
	return changed;
}

static void test_poll(void **state)
{
	static const char *const joined[] = { CARL, ANNA };
	struct store_fixture *f = *state;
	struct store_membership m = event("join", "$a", 100);

	find_room(f);
	set(f, m);
	m.user_id = BERT;
	set(f, m);
	m.user_id = "@dora:example.org";
	m.membership = "invite";
	set(f, m);
	m.user_id = "@emil:example.org"; /* came after the look */
	m.membership = "join";
	m.origin_ts = 501;
	set(f, m);
	m.room_id = R2; /* another room */
	m.origin_ts = 100;
	set(f, m);

	assert_true(poll(f, joined, 2, 500));
	assert_string_equal(said(f, ANNA), "join event 100");
	assert_string_equal(said(f, BERT), "leave poll 500");
	assert_string_equal(said(f, CARL), "join poll 500");
	assert_string_equal(said(f, "@dora:example.org"), "invite event 100");
	assert_string_equal(said(f, "@emil:example.org"), "join event 501");
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM membership WHERE "
				 "room_id = '" R2 "' AND membership = 'join'"),
		1);
	/* The same look again finds nothing new. */
	assert_false(poll(f, joined, 2, 500));
	assert_string_equal(said(f, BERT), "leave poll 500");
	/* An old look, seen late, changes nothing that is newer. */
	static const char *const late[] = { BERT };
	assert_false(poll(f, late, 1, 50));
	assert_string_equal(said(f, ANNA), "join event 100");
	assert_string_equal(said(f, BERT), "leave poll 500");
	/* Nobody is there. */
	assert_true(poll(f, NULL, 0, 700));
	assert_string_equal(said(f, ANNA), "leave poll 700");
	assert_string_equal(said(f, CARL), "leave poll 700");
	assert_string_equal(said(f, "@emil:example.org"), "leave poll 700");
}

/* --- state ---------------------------------------------------------------- */

static bool set_state(struct store_fixture *f, const char *type,
	const char *content, int64_t origin_ts)
{
	static int events;
	bool changed = false;
	char event_id[20];

	snprintf(event_id, sizeof(event_id), "$%d", events++);
	WRITE(f,
		store_state_set(f->s, R1, type, content, event_id, BERT,
			origin_ts, &changed, &f->e));
	return changed;
}

/* What only we said goes when a look at everybody does not find it. */
static void test_only(void **state)
{
	static const char *const users[] = { ANNA };
	struct store_fixture *f = *state;
	struct store_membership m = event("invite", NULL, 100);

	find_room(f);
	m.source = "action";
	set(f, m);
	m.user_id = BERT;
	set(f, m);
	m.user_id = CARL; /* invited after the look */
	m.origin_ts = 501;
	set(f, m);
	m.user_id = "@dora:example.org";
	m.origin_ts = 100;
	m.source = "event";
	set(f, m);
	m.source = "action";
	m.room_id = R2;
	set(f, m);

	WRITE(f, store_membership_only(f->s, R1, users, 1, 500, &f->e));
	assert_string_equal(said(f, ANNA), "invite action 100");
	assert_string_equal(said(f, BERT), "nothing");
	assert_string_equal(said(f, CARL), "invite action 501");
	assert_string_equal(said(f, "@dora:example.org"), "invite event 100");
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM membership WHERE "
				 "room_id = '" R2 "'"),
		1);
}

/* What the snapshot has of a type in GLASS; NULL: nothing. */
static const char *content(struct store_fixture *f, enum room_state st)
{
	const struct store_room *r = snapshot(f).rooms;

	return r->state ? r->state[st].content : NULL;
}

static void test_state(void **state)
{
	struct store_fixture *f = *state;

	find_room(f);
	assert_null(snapshot(f).rooms[0].state);
	assert_true(
		set_state(f, "m.room.name", "{\"name\":\"Gl\\u00e4s\"}", 5));
	assert_true(set_state(
		f, "m.room.power_levels", "{\"users\":{\"@a:b\":100}}", 5));
	assert_true(
		set_state(f, "m.room.create", "{\"room_version\":\"10\"}", 5));
	/* As it came. */
	assert_string_equal(
		content(f, ROOM_STATE_NAME), "{\"name\":\"Gl\\u00e4s\"}");
	assert_string_equal(
		content(f, ROOM_STATE_POWER), "{\"users\":{\"@a:b\":100}}");
	assert_string_equal(
		content(f, ROOM_STATE_CREATE), "{\"room_version\":\"10\"}");
	assert_null(content(f, ROOM_STATE_TOPIC));
	const struct store_state *st =
		&snapshot(f).rooms[0].state[ROOM_STATE_POWER];
	assert_string_equal(st->sender, BERT);
	assert_int_equal(st->origin_ts, 5);

	assert_false(set_state(f, "m.room.name", "{\"name\":\"old\"}", 4));
	assert_string_equal(
		content(f, ROOM_STATE_NAME), "{\"name\":\"Gl\\u00e4s\"}");
	assert_false(
		set_state(f, "m.room.name", "{\"name\":\"Gl\\u00e4s\"}", 6));
	assert_false(set_state(f, "m.room.name", "{\"name\":\"old\"}", 5));
	assert_true(set_state(f, "m.room.name", "{\"name\":\"new\"}", 6));
	assert_string_equal(content(f, ROOM_STATE_NAME), "{\"name\":\"new\"}");
}

/* Each type that the plan looks at is found in its place, and no other. */
static void test_state_types(void **state)
{
	static const char *const types[] = { "m.room.create", "m.room.name",
		"m.room.topic", "m.room.power_levels", "m.room.join_rules",
		"m.room.history_visibility", "m.room.encryption",
		"m.room.canonical_alias", "m.room.tombstone" };
	struct store_fixture *f = *state;
	char text[64];

	find_room(f);
	assert_int_equal(ARRAY_LEN(types), ROOM_STATES);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(room_state_of(types[i]), i);
		assert_string_equal(
			room_state_type((enum room_state)i), types[i]);
		snprintf(text, sizeof(text), "{\"no\":%zu}", i);
		assert_true(set_state(f, types[i], text, 5));
	}
	assert_int_equal(room_state_of("m.room.member"), ROOM_STATES);
	assert_null(room_state_type(ROOM_STATES));
	assert_true(set_state(f, "org.example", "{}", 5));
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		snprintf(text, sizeof(text), "{\"no\":%zu}", i);
		assert_string_equal(content(f, (enum room_state)i), text);
	}
}

/* Of a direct room there is nothing to look at but its name. */
static void test_state_of_a_direct_room(void **state)
{
	struct store_fixture *f = *state;

	declare_rooms(f);
	WRITE(f, store_room_found(f->s, PAIR, R1, ANNA, &f->e));
	assert_true(set_state(f, "m.room.topic", "{\"topic\":\"t\"}", 5));
	assert_null(snapshot(f).rooms[1].state);
	assert_true(set_state(f, "m.room.name", "{\"name\":\"n\"}", 5));
	const struct store_room *d = &snapshot(f).rooms[1];
	assert_string_equal(
		d->state[ROOM_STATE_NAME].content, "{\"name\":\"n\"}");
	assert_null(d->state[ROOM_STATE_TOPIC].content);
}

/* --- the snapshot --------------------------------------------------------- */

static void test_snapshot_has_rooms_with_a_key_only(void **state)
{
	struct store_fixture *f = *state;
	struct store_membership m = event("join", "$1", 100);

	find_room(f);
	set(f, m);
	m.user_id = "@0:example.org";
	set(f, m);
	m.room_id = "!stranger:example.org";
	set(f, m);
	m.room_id = R2;
	set(f, m);
	WRITE(f, store_room_found(f->s, PAIR, R2, NULL, &f->e));
	struct store_snapshot all = snapshot(f);
	assert_int_equal(all.n_rooms, 2);
	assert_int_equal(all.rooms[0].n_members, 2);
	assert_string_equal(all.rooms[0].members[0].user_id, "@0:example.org");
	assert_string_equal(all.rooms[0].members[1].user_id, ANNA);
	assert_int_equal(all.rooms[1].n_members, 1);
	assert_string_equal(all.rooms[1].members[0].user_id, "@0:example.org");
	/* Two keys of one room: it is the room of both. */
	WRITE(f, store_room_found(f->s, PAIR, R1, NULL, &f->e));
	all = snapshot(f);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(all.rooms[i].n_members, 2);
		assert_string_equal(all.rooms[i].members[1].user_id, ANNA);
	}
}

static void test_snapshot_in_a_transaction(void **state)
{
	struct store_fixture *f = *state;

	find_room(f);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_room_lost(f->s, GLASS, &f->e), f->e);
	assert_null(snapshot(f).rooms[0].room_id);
	store_rollback(f->s);
	assert_string_equal(snapshot(f).rooms[0].room_id, R1);
}

/* Texts outlive the rows they came from, and equal ones are kept once. */
static void test_snapshot_is_a_copy(void **state)
{
	struct store_fixture *f = *state;
	enum { N = 1000 };
	char user[40];

	find_room(f);
	assert_ok(store_begin(f->s, &f->e), f->e);
	for (int i = 0; i < N; i++) {
		struct store_membership m = event("join", NULL, i);
		snprintf(user, sizeof(user), "@u%04d:example.org", i);
		m.user_id = user;
		assert_ok(store_membership_set(f->s, &m, NULL, &f->e), f->e);
	}
	assert_ok(store_commit(f->s, &f->e), f->e);
	struct store_snapshot all = snapshot(f);
	WRITE(f, store_membership_poll(f->s, R1, NULL, 0, 5000, NULL, &f->e));
	assert_int_equal(all.rooms[0].n_members, N);
	for (int i = 0; i < N; i++) {
		const struct store_member *m = &all.rooms[0].members[i];
		snprintf(user, sizeof(user), "@u%04d:example.org", i);
		assert_string_equal(m->user_id, user);
		assert_string_equal(m->membership, "join");
		assert_int_equal(m->origin_ts, i);
		assert_ptr_equal(m->source, all.rooms[0].members[0].source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_rooms),
		STORE_TEST(test_declared_members),
		STORE_TEST(test_marks),
		STORE_TEST(test_one_room),
		STORE_TEST(test_membership_order),
		STORE_TEST(test_membership_takes_over),
		STORE_TEST(test_membership_every_order),
		STORE_TEST(test_membership_refuses),
		STORE_TEST(test_poll),
		STORE_TEST(test_only),
		STORE_TEST(test_state),
		STORE_TEST(test_state_types),
		STORE_TEST(test_state_of_a_direct_room),
		STORE_TEST(test_snapshot_has_rooms_with_a_key_only),
		STORE_TEST(test_snapshot_in_a_transaction),
		STORE_TEST(test_snapshot_is_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
