/*
 * The plan: nothing when everything is as declared; from nothing, everything;
 * and for every single difference exactly its steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

#include "appservice/reconcile/plan.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/fleet_case.h"

#include "base/poison.h"

#define A "@ada:example.org"
#define B "@bob:example.org"
#define C "@cleo:example.org"
#define H "@hanna:example.org"
#define S "@muster:example.org"
#define EVERYONE "#all-employees:example.org"
#define LEADERS "#lab-leadership:example.org"

static const struct plan_sender sender = { S, "Muster" };

/* Ada leads Bob; Cleo is alone; Hanna is human and Ada's manager. */
static const char *const by_hand =
	"humans: [{id: '" H "', name: Hanna}]\n"
	"agents:\n"
	"- {id: ada, name: Ada, department: Lab, level: VP, manager: '" H "'}\n"
	"- {id: bob, name: Bob, department: Lab, team: Optics, level: IC,"
	" manager: ada}\n"
	"- {id: cleo, name: Cleo}\n";

struct world {
	struct fleet_case c;
	struct arena a;
	struct store_snapshot now;
	struct plan plan;
};

static int by_room_user(const void *x, const void *y)
{
	const struct store_membership *a = x, *b = y;
	int c = strcmp(a->room_id, b->room_id);

	return c != 0 ? c : strcmp(a->user_id, b->user_id);
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const struct store_room *)x)->key,
		((const struct store_room *)y)->key);
}

static int by_user(const void *x, const void *y)
{
	return strcmp(((const struct store_agent *)x)->user_id,
		((const struct store_agent *)y)->user_id);
}

static int by_mark(const void *x, const void *y)
{
	const struct store_mark *a = x, *b = y;
	int c = strcmp(a->room_id, b->room_id);

	return c != 0 ? c : strcmp(a->user_id, b->user_id);
}

static void sort(struct store_snapshot *n)
{
	qsort(n->agents, n->n_agents, sizeof(*n->agents), by_user);
	qsort(n->rooms, n->n_rooms, sizeof(*n->rooms), by_key);
	qsort(n->memberships, n->n_memberships, sizeof(*n->memberships),
		by_room_user);
	qsort(n->marks, n->n_marks, sizeof(*n->marks), by_mark);
}

static void add_member(struct world *w, const char *room_id, const char *user)
{
	w->now.memberships[w->now.n_memberships++] =
		(struct store_membership){ .room_id = room_id,
			.user_id = user,
			.membership = "join",
			.source = "event" };
}

static void add_room(struct world *w, const struct room *room, size_t i)
{
	struct store_snapshot *n = &w->now;
	const char *id = arena_printf(&w->a, "!%zu:example.org", i);

	n->rooms[n->n_rooms++] = (struct store_room){
		.key = room->key,
		.direct = room->direct,
		.declared = true,
		.room_id = id,
		.name = room->name,
		.version = "11",
		.power = room->direct ? NULL : "{\"users\":{\"" H "\":100}}",
	};
	if (!room->direct)
		add_member(w, id, S);
	for (size_t m = 0; m < room->n_members; m++) {
		add_member(w, id, room->members[m]->user_id);
		if (room->direct && !room->members[m]->human)
			n->marks[n->n_marks++] = (struct store_mark){ id,
				room->members[m]->user_id };
	}
}

/* Everything as declared, with room for one more of each. */
static void make_whole(struct world *w)
{
	const struct fleet *f = &w->c.fleet;
	struct store_snapshot *n = &w->now;

	n->agents = arena_array(&w->a, f->n_agents + 2, sizeof(*n->agents));
	n->rooms = arena_array(&w->a, f->n_rooms + 1, sizeof(*n->rooms));
	n->memberships = arena_array(&w->a, 200, sizeof(*n->memberships));
	n->marks = arena_array(&w->a, 100, sizeof(*n->marks));
	n->agents[n->n_agents++] = (struct store_agent){ .user_id = S,
		.sender = true,
		.state = AGENT_REGISTERED,
		.shown_name = "Muster" };
	for (size_t i = 0; i < f->n_agents; i++)
		n->agents[n->n_agents++] = (struct store_agent){
			.user_id = f->agents[i]->user_id,
			.declared = true,
			.state = AGENT_ACKNOWLEDGED,
			.generation = 3,
			.shown_name = f->agents[i]->name,
		};
	for (size_t i = 0; i < f->n_rooms; i++)
		add_room(w, &f->rooms[i], i);
	sort(n);
}

static void world_open(struct world *w)
{
	memset(w, 0, sizeof(*w));
	case_run(&w->c, NULL, NULL, by_hand);
	assert_loaded(&w->c, 0);
}

static void world_close(struct world *w)
{
	arena_free(&w->a);
	case_free(&w->c);
}

static void plan(struct world *w)
{
	struct err e = { 0 };

	assert_ok(plan_make(&w->c.fleet, &sender, &w->now, &w->a, &w->plan, &e),
		e);
}

/* The plan as text, a line a step: "invite @x #room". */
static void assert_plan(struct world *w, const char *want)
{
	struct buf text;

	buf_init(&text, LIMIT_DOCUMENT);
	plan(w);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		bool of_room = st->room && text_eq(st->subject, st->room->key);
		buf_addf(&text, "%s%s%s%s%s%s%s\n", step_kind_name(st->kind),
			of_room ? "" : " ", of_room ? "" : st->subject,
			st->room ? " in " : "", st->room ? st->room->key : "",
			st->actor && !text_eq(st->actor, st->subject) ? " by "
								      : "",
			st->actor && !text_eq(st->actor, st->subject)
				? st->actor
				: "");
	}
	assert_string_equal(buf_str(&text), want);
	buf_free(&text);
}

static struct store_agent *agent(struct world *w, const char *id)
{
	for (size_t i = 0; i < w->now.n_agents; i++)
		if (text_eq(w->now.agents[i].user_id, id))
			return &w->now.agents[i];
	fail_msg("no agent %s", id);
	return NULL;
}

static struct store_room *room(struct world *w, const char *key)
{
	for (size_t i = 0; i < w->now.n_rooms; i++)
		if (text_eq(w->now.rooms[i].key, key))
			return &w->now.rooms[i];
	fail_msg("no room %s", key);
	return NULL;
}

/* NULL: the row goes away. */
static void set_member(
	struct world *w, const char *key, const char *user, const char *is)
{
	const char *id = room(w, key)->room_id;

	for (size_t i = 0; i < w->now.n_memberships; i++) {
		struct store_membership *m = &w->now.memberships[i];
		if (!text_eq(m->room_id, id) || !text_eq(m->user_id, user))
			continue;
		if (is)
			m->membership = is;
		else
			*m = w->now.memberships[--w->now.n_memberships];
		sort(&w->now);
		return;
	}
	assert_non_null(is);
	add_member(w, id, user);
	w->now.memberships[w->now.n_memberships - 1].membership = is;
	sort(&w->now);
}

/* --- tests ------------------------------------------------------------------ */

static void nothing_is_known(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	assert_plan(&w,
		"register " S "\nprofile " S "\n"
		"register " A "\nprofile " A "\nlogin " A "\nhand_off " A "\n"
		"register " B "\nprofile " B "\nlogin " B "\nhand_off " B "\n"
		"register " C "\nprofile " C "\nlogin " C "\nhand_off " C "\n"
		"create_room in " EVERYONE "\n"
		"invite " A " in " EVERYONE "\njoin " A " in " EVERYONE "\n"
		"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE "\n"
		"invite " C " in " EVERYONE "\njoin " C " in " EVERYONE "\n"
		"invite " H " in " EVERYONE "\n"
		"create_room in " LEADERS "\n"
		"invite " A " in " LEADERS "\njoin " A " in " LEADERS "\n"
		"create_room in #optics-team:example.org\n"
		"invite " B " in #optics-team:example.org\n"
		"join " B " in #optics-team:example.org\n"
		"create_room in " A " " B " by " A "\n"
		"join " B " in " A " " B "\n"
		"create_room in " A " " H " by " A "\n"
		"direct_mark " A "\ndirect_mark " B "\n");
	world_close(&w);
}

static void needs_come_first(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	plan(&w);
	for (size_t i = 0; i < w.plan.n; i++) {
		const struct step *st = &w.plan.steps[i];
		bool needs = false;
		for (size_t k = 0; k < STEP_NEEDS; k++) {
			needs |= st->need[k] >= 0;
			assert_true(st->need[k] < (int)i);
		}
		/* Who was not let in does not knock. */
		if (st->kind == STEP_JOIN && st[-1].kind == STEP_INVITE)
			assert_int_equal(st->need[2], (int)i - 1);
		/* Only the very first step needs nothing. */
		assert_int_equal(needs, i > 0);
		/* Nobody is invited before it has its name. */
		if (st->kind == STEP_INVITE && st->person)
			assert_int_equal(
				w.plan.steps[st->need[1]].kind, STEP_PROFILE);
	}
	world_close(&w);
}

/* The order in which steps bring `who` into rooms, each after the one before:
 * room keys, a space after each; "unordered" where two may cross. */
static void assert_brought(struct world *w, const char *who, const char *want)
{
	int before = -1;
	struct buf text;

	buf_init(&text, KIB);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		bool maker = st->kind == STEP_CREATE_ROOM &&
			text_eq(st->actor ? st->actor : S, who);
		bool other = st->kind == STEP_CREATE_ROOM && st->room->direct &&
			text_eq(st->room->other->user_id, who);
		bool asked =
			st->kind == STEP_INVITE && text_eq(st->subject, who);
		if (!maker && !other && !asked)
			continue;
		if (before >= 0 && st->after[0] != before &&
			st->after[1] != before)
			buf_addf(&text, "unordered ");
		buf_addf(&text, "%s ", st->room->key);
		before = (int)i;
	}
	assert_string_equal(buf_str(&text), want);
	buf_free(&text);
}

static void newcomers_come_into_one_room_after_the_other(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	plan(&w);
	assert_brought(
		&w, S, EVERYONE " " LEADERS " #optics-team:example.org ");
	assert_brought(&w, A, EVERYONE " " LEADERS " " A " " B " " A " " H " ");
	assert_brought(
		&w, B, EVERYONE " #optics-team:example.org " A " " B " ");
	assert_brought(&w, C, EVERYONE " ");
	assert_brought(&w, H, EVERYONE " " A " " H " ");

	/* Who is in one of them waits for nobody. */
	make_whole(&w);
	set_member(&w, EVERYONE, A, NULL);
	set_member(&w, LEADERS, A, NULL);
	plan(&w);
	assert_brought(&w, A, EVERYONE " unordered " LEADERS " ");
	for (size_t i = 0; i < w.plan.n; i++)
		for (size_t k = 0; k < STEP_AFTER; k++)
			assert_int_equal(w.plan.steps[i].after[k], -1);
	world_close(&w);
}

static void everything_is_there(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	assert_plan(&w, "");
	assert_int_equal(w.plan.held + w.plan.blocked + w.plan.unanswered, 0);
	world_close(&w);
}

static void an_agent_differs(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);

	agent(&w, B)->state = AGENT_DECLARED;
	assert_plan(&w, "register " B "\nlogin " B "\nhand_off " B "\n");
	agent(&w, B)->state = AGENT_REGISTERED;
	assert_plan(&w, "login " B "\nhand_off " B "\n");
	agent(&w, B)->state = AGENT_LOGGED_IN;
	assert_plan(&w, "login " B "\nhand_off " B "\n");
	agent(&w, B)->token_in_hand = true;
	assert_plan(&w, "hand_off " B "\n");
	agent(&w, B)->state = AGENT_HANDED_OFF;
	assert_plan(&w, "");
	agent(&w, B)->shown_name = "B";
	assert_plan(&w, "profile " B "\n");
	agent(&w, B)->shown_name = NULL;
	assert_plan(&w, "profile " B "\n");
	agent(&w, B)->shown_name = "Bob";
	agent(&w, S)->shown_name = "muster";
	assert_plan(&w, "profile " S "\n");
	world_close(&w);
}

static void a_blocked_agent_is_left_alone(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	agent(&w, B)->state = AGENT_BLOCKED;
	set_member(&w, EVERYONE, B, NULL);
	room(&w, A " " B)->room_id = NULL;
	assert_plan(&w, "");
	assert_int_equal(w.plan.blocked, 1);
	world_close(&w);
}

static void a_member_differs(void **state)
{
	(void)state;
	static const struct {
		const char *is, *steps;
		size_t held;
	} cases[] = {
		{ "invite", "join " B " in " EVERYONE "\n", 0 },
		{ "leave",
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
		{ "knock",
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
		{ "ban", "", 1 },
		{ NULL,
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
	};
	struct world w;

	world_open(&w);
	make_whole(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_member(&w, EVERYONE, B, cases[i].is);
		assert_plan(&w, cases[i].steps);
		assert_int_equal(w.plan.held, cases[i].held);
	}
	world_close(&w);
}

static void a_human_is_asked_once(void **state)
{
	(void)state;
	static const struct {
		const char *is, *steps;
		size_t unanswered;
	} cases[] = {
		{ "invite", "", 1 },
		{ "leave", "", 1 },
		{ "ban", "", 1 },
		{ "knock", "invite " H " in " EVERYONE "\n", 0 },
		{ NULL, "invite " H " in " EVERYONE "\n", 0 },
	};
	struct world w;

	world_open(&w);
	make_whole(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_member(&w, EVERYONE, H, cases[i].is);
		assert_plan(&w, cases[i].steps);
		assert_int_equal(w.plan.unanswered, cases[i].unanswered);
	}
	world_close(&w);
}

static void somebody_else_is_in_the_room(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	set_member(&w, LEADERS, "@stranger:elsewhere.org", "join");
	set_member(&w, LEADERS, H, "join");
	assert_plan(&w, "");
	set_member(&w, LEADERS, C, "join");
	assert_plan(&w, "leave " C " in " LEADERS "\n");
	set_member(&w, LEADERS, C, "leave");
	assert_plan(&w, "");
	world_close(&w);
}

static void a_room_is_gone(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	room(&w, LEADERS)->room_id = NULL;
	assert_plan(&w,
		"create_room in " LEADERS "\ninvite " A " in " LEADERS
		"\njoin " A " in " LEADERS "\n");
	world_close(&w);
}

static void room_state_differs(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	room(&w, LEADERS)->name = "Another";
	assert_plan(&w, "set_state m.room.name in " LEADERS "\n");
	room(&w, LEADERS)->name = NULL; /* not known: nothing is done blindly */
	assert_plan(&w, "");
	room(&w, LEADERS)->power = "{\"users\":{\"" H "\":50}}";
	assert_plan(&w, "set_state m.room.power_levels in " LEADERS "\n");
	room(&w, LEADERS)->power = "{}";
	assert_plan(&w, "set_state m.room.power_levels in " LEADERS "\n");
	/* Who made it may stand above all without being named. */
	room(&w, LEADERS)->version = "12";
	assert_plan(&w, "");
	room(&w, LEADERS)->maker = S;
	assert_plan(&w, "set_state m.room.power_levels in " LEADERS "\n");
	room(&w, LEADERS)->power = NULL;
	assert_plan(&w, "");
	world_close(&w);
}

static void a_direct_room_differs(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	set_member(&w, A " " B, B, "invite");
	assert_plan(&w, "join " B " in " A " " B "\n");
	set_member(&w, A " " B, B, "leave");
	assert_plan(&w,
		"invite " B " in " A " " B " by " A "\njoin " B " in " A " " B
		"\n");
	set_member(&w, A " " B, B, "join");
	set_member(&w, A " " B, A, "leave");
	assert_plan(&w,
		"invite " A " in " A " " B " by " B "\njoin " A " in " A " " B
		"\n");
	/* Nobody of ours is left in it: another one. */
	set_member(&w, A " " B, B, "leave");
	assert_plan(&w,
		"create_room in " A " " B " by " A "\njoin " B " in " A " " B
		"\ndirect_mark " A "\ndirect_mark " B "\n");
	world_close(&w);
}

static void a_direct_room_with_a_human(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	set_member(&w, A " " H, H, NULL);
	assert_plan(&w, "invite " H " in " A " " H " by " A "\n");
	set_member(&w, A " " H, H, "leave");
	assert_plan(&w, "");
	/* Nor by way of another room, when the agent leaves as well. */
	set_member(&w, A " " H, A, "leave");
	assert_plan(&w, "");
	assert_int_equal(w.plan.unanswered, 1);
	set_member(&w, A " " H, H, "ban");
	assert_plan(&w, "");
	set_member(&w, A " " H, H, "invite");
	assert_plan(
		&w, "create_room in " A " " H " by " A "\ndirect_mark " A "\n");
	set_member(&w, A " " H, A, "ban");
	assert_plan(&w, "");
	assert_int_equal(w.plan.held, 1);
	world_close(&w);
}

static void a_mark_is_missing(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	make_whole(&w);
	const char *id = room(&w, A " " B)->room_id;
	for (size_t i = 0; i < w.now.n_marks; i++)
		if (text_eq(w.now.marks[i].room_id, id) &&
			text_eq(w.now.marks[i].user_id, B)) {
			w.now.marks[i] = w.now.marks[--w.now.n_marks];
			break;
		}
	sort(&w.now);
	assert_plan(&w, "direct_mark " B "\n");
	assert_true(w.plan.steps[0].last);
	world_close(&w);
}

/* AS-148, AS-152. */
static void power_by_room_version(void **state)
{
	(void)state;
	static const struct {
		const char *version, *users;
	} cases[] = {
		{ "6", "{\"" S "\":100,\"" H "\":100}" },
		{ "11", "{\"" S "\":100,\"" H "\":100}" },
		/* From 12 on the creator stands above and must not be listed. */
		{ "12", "{\"" H "\":100}" },
		{ "org.example.new", "{\"" H "\":100}" },
	};
	struct world w;
	struct buf out;

	world_open(&w);
	buf_init(&out, KIB);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&out);
		room_power_users(&w.c.fleet, S, cases[i].version, &out);
		assert_string_equal(buf_str(&out), cases[i].users);
	}
	buf_free(&out);
	world_close(&w);
}

static void power_is_raised_and_nothing_else(void **state)
{
	(void)state;
	static const char was[] = "{\"ban\":50,\"users\":{\"@x:y\":75,\"" H
				  "\":0},\"events\":{\"m.room.name\":50}}";
	static const char more[] = "{\"users\":{\"" H "\":150}}";
	struct world w;
	struct buf out;
	struct json *doc = NULL;
	struct err e = { 0 };

	world_open(&w);
	buf_init(&out, KIB);
	assert_ok(json_parse(was, strlen(was), NULL, &doc, &e), e);
	room_power_raised(&w.c.fleet, json_root(doc), &out);
	assert_string_equal(buf_str(&out),
		"{\"ban\":50,\"events\":{\"m.room.name\":50},\"users\":"
		"{\"@x:y\":75,\"" H "\":100}}");
	assert_true(room_power_right(&w.c.fleet, buf_str(&out)));
	assert_false(room_power_right(&w.c.fleet, was));
	json_free(doc);
	/* Nobody is lowered: who has more may have it from an equal. */
	assert_true(room_power_right(&w.c.fleet, more));
	assert_ok(json_parse(more, strlen(more), NULL, &doc, &e), e);
	buf_clear(&out);
	room_power_raised(&w.c.fleet, json_root(doc), &out);
	assert_string_equal(buf_str(&out), more);
	json_free(doc);
	buf_free(&out);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known),
		cmocka_unit_test(needs_come_first),
		cmocka_unit_test(newcomers_come_into_one_room_after_the_other),
		cmocka_unit_test(everything_is_there),
		cmocka_unit_test(an_agent_differs),
		cmocka_unit_test(a_blocked_agent_is_left_alone),
		cmocka_unit_test(a_member_differs),
		cmocka_unit_test(a_human_is_asked_once),
		cmocka_unit_test(somebody_else_is_in_the_room),
		cmocka_unit_test(a_room_is_gone),
		cmocka_unit_test(room_state_differs),
		cmocka_unit_test(a_direct_room_differs),
		cmocka_unit_test(a_direct_room_with_a_human),
		cmocka_unit_test(a_mark_is_missing),
		cmocka_unit_test(power_by_room_version),
		cmocka_unit_test(power_is_raised_and_nothing_else),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
