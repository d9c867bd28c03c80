/*
 * What the policy says of a room's state: when the plan sets it, how soon, and
 * what it becomes.
 */
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

#define CORE "#core:example.org"
#define ROOMS_OF(core)                                                         \
	BY_HAND "rooms:\n- {alias: all-employees, members: {everyone: "        \
		"true}}\n"                                                     \
		"- {alias: core, members: {members: [ada, bob]}" core "}\n"
#define ALL_SAID                                                               \
	", name: The Core, topic: Ours, history: joined, encryption: true,"    \
	" join_rule: {restricted: all-employees}, extra_power: {bob: 50}"

/* Of CORE, whose members may come from EVERYONE, "!0:example.org". */
struct wrong {
	enum room_state st;
	const char *content; /* NULL: not known */
	bool right;
};

static void open_core(struct world *w, const char *self)
{
	world_open_as(w, self, false);
	world_whole(w);
	assert_string_equal(world_room(w, EVERYONE)->room_id, "!0:example.org");
}

/* Each alone is set, whatever else the content has; and nothing is when it is
 * as declared. */
static void assert_judged(struct world *w, const struct wrong *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *is =
			world_room(w, CORE)->state[cases[i].st].content;
		w->no = i;
		world_state(w, CORE, cases[i].st, cases[i].content);
		world_assert(w,
			cases[i].right ? ""
				       : arena_printf(&w->a,
						 "set_state %s in " CORE "\n",
						 room_state_type(cases[i].st)));
		world_state(w, CORE, cases[i].st, is);
		world_assert(w, "");
	}
}

static void all_that_can_be_said(void **state)
{
	(void)state;
	static const struct wrong cases[] = {
		{ ROOM_STATE_NAME, NULL, false },
		/* Redacted. */
		{ ROOM_STATE_NAME, "{}", false },
		{ ROOM_STATE_NAME, "{\"name\":\"the core\"}", false },
		{ ROOM_STATE_NAME, "{\"name\":5}", false },
		{ ROOM_STATE_NAME, "{\"a\":1,\"name\":\"The \\u0043ore\"}",
			true },
		{ ROOM_STATE_TOPIC, NULL, false },
		{ ROOM_STATE_TOPIC, "{\"topic\":\"\"}", false },
		{ ROOM_STATE_TOPIC, "{\"topic\":\"Ours\",\"m.topic\":{}}",
			true },
		{ ROOM_STATE_HISTORY, NULL, false },
		{ ROOM_STATE_HISTORY, "{\"history_visibility\":\"shared\"}",
			false },
		{ ROOM_STATE_ENCRYPTION, NULL, false },
		{ ROOM_STATE_ENCRYPTION, "{}", false },
		/* Whatever it is, it cannot be taken back. */
		{ ROOM_STATE_ENCRYPTION, "{\"algorithm\":\"m.other\"}", true },
		{ ROOM_STATE_ALIAS, NULL, false },
		{ ROOM_STATE_ALIAS, "{\"alt_aliases\":[\"" CORE "\"]}", false },
		{ ROOM_STATE_ALIAS, "{\"alias\":\"#kern:example.org\"}",
			false },
		{ ROOM_STATE_ALIAS,
			"{\"alias\":\"" CORE "\",\"alt_aliases\":[\"#x:y\"]}",
			true },
		{ ROOM_STATE_JOIN_RULES, NULL, false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"invite\"}", false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"public\"}", false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"restricted\"}",
			false },
		{ ROOM_STATE_JOIN_RULES,
			"{\"join_rule\":\"restricted\",\"allow\":"
			"[{\"room_id\":\"!9:example.org\"}]}",
			false },
		{ ROOM_STATE_JOIN_RULES,
			"{\"join_rule\":\"invite\",\"allow\":"
			"[{\"room_id\":\"!0:example.org\"}]}",
			false },
		/* One room more. */
		{ ROOM_STATE_JOIN_RULES,
			"{\"join_rule\":\"restricted\",\"allow\":"
			"[{\"room_id\":\"!0:example.org\"},"
			"{\"room_id\":\"!9:example.org\"}]}",
			false },
		{ ROOM_STATE_JOIN_RULES,
			"{\"join_rule\":\"restricted\",\"allow\":"
			"[{\"type\":\"m.room_membership\","
			"\"room_id\":\"!0:example.org\"}]}",
			true },
		{ ROOM_STATE_POWER, NULL, false },
		{ ROOM_STATE_POWER, "{\"users\":{\"" S "\":100}}", false },
		{ ROOM_STATE_POWER, "{\"users\":{\"" S "\":100,\"" H "\":100}}",
			false },
		{ ROOM_STATE_POWER,
			"{\"users\":{\"" S "\":100,\"" H "\":100,\"" B
			"\":51}}",
			false },
		{ ROOM_STATE_POWER,
			"{\"users\":{\"" S "\":100,\"" H "\":99,\"" B "\":50}}",
			false },
		{ ROOM_STATE_POWER,
			"{\"ban\":7,\"users\":{\"" S "\":100,\"" H "\":101,\"" B
			"\":\"50\",\"" X "\":75}}",
			true },
	};
	struct world w;

	open_core(&w, ROOMS_OF(ALL_SAID));
	world_assert(&w, "");
	assert_judged(&w, cases, ARRAY_LEN(cases));
	world_close(&w);
}

/* Of what the policy does not speak the room has what it has. */
static void what_is_not_said(void **state)
{
	(void)state;
	static const struct wrong cases[] = {
		{ ROOM_STATE_TOPIC, "{\"topic\":\"People chose it\"}", true },
		{ ROOM_STATE_HISTORY,
			"{\"history_visibility\":\"world_readable\"}", true },
		{ ROOM_STATE_ENCRYPTION, "{\"algorithm\":\"m.other\"}", true },
		/* Without a name it is the alias in words. */
		{ ROOM_STATE_NAME, "{\"name\":\"Other\"}", false },
		/* Nobody comes in who is not asked in. */
		{ ROOM_STATE_JOIN_RULES, NULL, false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"public\"}", false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"knock\"}", false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"invite\"}", true },
	};
	struct world w;

	open_core(&w, ROOMS_OF(""));
	assert_judged(&w, cases, ARRAY_LEN(cases));
	world_close(&w);
}

static void a_public_room(void **state)
{
	(void)state;
	static const struct wrong cases[] = {
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"invite\"}", false },
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"public\"}", true },
	};
	struct world w;

	open_core(&w, ROOMS_OF(", join_rule: public"));
	assert_judged(&w, cases, ARRAY_LEN(cases));
	world_close(&w);
}

/* It is said when the other room is there. */
static void restricted_to_a_room_that_is_not_made(void **state)
{
	(void)state;
	static const char invite[] = "{\"join_rule\":\"invite\"}";
	struct world w;

	open_core(&w, ROOMS_OF(ALL_SAID));
	world_state(&w, CORE, ROOM_STATE_JOIN_RULES, invite);
	world_room(&w, EVERYONE)->room_id = NULL;
	world_assert_of(&w, CORE, "");
	world_room(&w, EVERYONE)->room_id = "!0:example.org";
	world_assert_of(&w, CORE, "set_state m.room.join_rules in " CORE "\n");
	world_close(&w);
}

/* Before its creation has arrived a room is not judged, nor is what is no JSON:
 * the next look says what there is. */
static void what_cannot_be_judged(void **state)
{
	(void)state;
	struct world w;

	open_core(&w, ROOMS_OF(ALL_SAID));
	for (size_t i = 0; i < ROOM_STATES; i++)
		world_state(&w, CORE, (enum room_state)i, NULL);
	world_assert(&w, "");
	world_room(&w, CORE)->state = NULL;
	world_assert(&w, "");
	world_close(&w);

	open_core(&w, ROOMS_OF(ALL_SAID));
	for (size_t i = 0; i < ROOM_STATES; i++)
		if (i != ROOM_STATE_CREATE)
			world_state(&w, CORE, (enum room_state)i, "{\"name\":");
	world_assert(&w, "");
	world_close(&w);
}

/* In a room that was just made, what is missing may be in the next transaction;
 * what has come is judged. */
static void what_is_still_arriving(void **state)
{
	(void)state;
	struct world w;

	open_core(&w, ROOMS_OF(ALL_SAID));
	struct store_room *core = world_room(&w, CORE);
	assert_string_equal(core->maker, S);
	assert_string_not_equal(core->members[0].user_id, S);
	for (size_t i = 0; i < core->n_members; i++) {
		core->members[i].origin_ts = 100000;
		core->members[i].source = "action";
	}
	world_state(&w, CORE, ROOM_STATE_TOPIC, NULL);
	w.how.now_ms = 100000;
	world_assert(&w, "");
	w.how.now_ms = 104999;
	world_assert(&w, "");
	/* Nor where the homeserver's clock is a little ahead. */
	w.how.now_ms = 95001;
	world_assert(&w, "");
	w.how.now_ms = 105000;
	world_assert(&w, "set_state m.room.topic in " CORE "\n");
	w.how.now_ms = 95000;
	world_assert(&w, "set_state m.room.topic in " CORE "\n");
	w.how.now_ms = 100000;
	world_assert(&w, "");
	core->maker = "@somebody:example.org";
	world_assert(&w, "set_state m.room.topic in " CORE "\n");
	core->maker = S;
	world_assert(&w, "");
	/* What came after all that. */
	core->members[0].source = "event";
	world_assert(&w, "set_state m.room.topic in " CORE "\n");
	core->members[0].source = "action";
	world_state(&w, CORE, ROOM_STATE_TOPIC, "{}");
	world_assert(&w, "set_state m.room.topic in " CORE "\n");
	world_close(&w);
}

/* Who may come in and read is set before humans are asked in; names are when all
 * else is done. */
static void which_state_is_early(void **state)
{
	(void)state;
	struct world w;

	open_core(&w, ROOMS_OF(ALL_SAID));
	for (size_t i = 0; i < ROOM_STATES; i++)
		if (i != ROOM_STATE_CREATE)
			world_state(&w, CORE, (enum room_state)i, "{}");
	world_state(&w, CORE, ROOM_STATE_POWER,
		"{\"users\":{\"" S "\":100,\"" H "\":100}}");
	world_member(&w, CORE, B, "leave");
	world_member(&w, EVERYONE, H, NULL);
	world_assert(&w,
		"invite " B " in " CORE "\njoin " B " in " CORE "\n"
		"set_state m.room.join_rules in " CORE "\n"
		"set_state m.room.history_visibility in " CORE "\n"
		"set_state m.room.encryption in " CORE "\n"
		"invite " H " in " EVERYONE "\n"
		"set_state m.room.power_levels in " CORE "\n"
		"set_state m.room.canonical_alias in " CORE "\n"
		"set_state m.room.name in " CORE "\n"
		"set_state m.room.topic in " CORE "\n");
	for (size_t i = 0; i < w.plan.n; i++) {
		const struct step *st = &w.plan.steps[i];
		if (st->kind != STEP_SET_STATE)
			continue;
		bool early = i < 5;
		assert_int_equal(
			st->rank, early ? RANK_EARLY_STATE : RANK_LATER);
		assert_int_equal(st->background, !early);
		assert_null(st->actor);
		assert_null(st->from);
	}
	assert_string_equal(
		world_step(&w, STEP_SET_STATE, "m.room.encryption", CORE)
			->reason,
		"it is not encrypted");
	assert_string_equal(
		world_step(&w, STEP_SET_STATE, "m.room.topic", CORE)->reason,
		"its topic is another");
	world_close(&w);
}

/* --- what it becomes ---------------------------------------------------------- */

static const char *id_of(void *arg, const char *key)
{
	(void)arg;
	return text_eq(key, EVERYONE) ? "!all:example.org" : NULL;
}

static void what_is_written(void **state)
{
	(void)state;
	static const struct {
		enum room_state st;
		const char *now, *becomes;
	} cases[] = {
		{ ROOM_STATE_NAME, "{\"a\":1}", "{\"name\":\"The Core\"}" },
		{ ROOM_STATE_TOPIC, "{}", "{\"topic\":\"Ours\"}" },
		{ ROOM_STATE_HISTORY, "{}",
			"{\"history_visibility\":\"joined\"}" },
		{ ROOM_STATE_ENCRYPTION, "{}",
			"{\"algorithm\":\"m.megolm.v1.aes-sha2\"}" },
		{ ROOM_STATE_JOIN_RULES,
			"{\"allow\":[{\"room_id\":\"!9:example.org\"}]}",
			"{\"join_rule\":\"restricted\",\"allow\":[{\"type\":"
			"\"m.room_membership\",\"room_id\":"
			"\"!all:example.org\"}]}" },
		{ ROOM_STATE_POWER, "{\"users\":{\"" X "\":75}}",
			"{\"users\":{\"" X "\":75,\"" H "\":100,\"" B
			"\":50}}" },
		/* What led to it before still does, once. */
		{ ROOM_STATE_ALIAS, "{}",
			"{\"alias\":\"" CORE "\",\"alt_aliases\":[]}" },
		{ ROOM_STATE_ALIAS,
			"{\"alias\":\"#kern:example.org\",\"alt_aliases\":"
			"[\"#x:y\",\"" CORE
			"\",5,\"#kern:example.org\",\"#z:y\"]}",
			"{\"alias\":\"" CORE "\",\"alt_aliases\":["
			"\"#kern:example.org\",\"#x:y\",\"#z:y\"]}" },
		{ ROOM_STATE_ALIAS, "{\"alias\":5,\"alt_aliases\":\"#x:y\"}",
			"{\"alias\":\"" CORE "\",\"alt_aliases\":[]}" },
	};
	struct world w;
	struct buf out;
	struct err e = { 0 };

	open_core(&w, ROOMS_OF(ALL_SAID));
	const struct room *room = fleet_room(w.f, CORE);
	const struct state_how how = { .fleet = w.f,
		.sender_id = S,
		.maker = S,
		.create = "{}",
		.id_of = id_of };
	buf_init(&out, KIB);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *doc = NULL;
		assert_false(
			state_is_right(&how, room, cases[i].st, cases[i].now));
		assert_ok(json_parse(cases[i].now, strlen(cases[i].now), NULL,
				  &doc, &e),
			e);
		buf_clear(&out);
		state_write(&how, room, cases[i].st, json_root(doc), &out);
		assert_string_equal(buf_str(&out), cases[i].becomes);
		assert_true(
			state_is_right(&how, room, cases[i].st, buf_str(&out)));
		json_free(doc);
	}
	buf_free(&out);
	world_close(&w);
}

static bool leads_to(void *arg, const char *alias, const char *room_id)
{
	size_t *asked = arg;
	*asked += 1;
	return text_eq(room_id, "!core:example.org") &&
		strstr(alias, "dead") == NULL;
}

/* What leads elsewhere is no name of the room, and not all that others have
 * listed is asked about. */
static void what_leads_to_the_room(void **state)
{
	(void)state;
	static const char now[] =
		"{\"alias\":\"#dead:y\",\"alt_aliases\":[\"#x:y\",\"#dead:y\","
		"\"" CORE "\",\"#deadtoo:y\"";
	struct world w;
	struct buf text, out;
	struct err e = { 0 };
	struct json *doc = NULL;
	size_t asked = 0;

	open_core(&w, ROOMS_OF(ALL_SAID));
	const struct room *room = fleet_room(w.f, CORE);
	const struct state_how how = { .leads_to = leads_to,
		.room_id = "!core:example.org",
		.arg = &asked };
	buf_init(&text, 16 * KIB);
	buf_init(&out, 16 * KIB);
	buf_add(&text, now);
	for (size_t i = 0; i < 100; i++)
		buf_addf(&text, ",\"#n%zu:y\"", i);
	buf_add(&text, "]}");
	assert_ok(json_parse(text.p, text.n, NULL, &doc, &e), e);
	state_write(&how, room, ROOM_STATE_ALIAS, json_root(doc), &out);
	json_free(doc);
	assert_int_equal(asked, 16);
	assert_ok(json_parse(out.p, out.n, NULL, &doc, &e), e);
	struct js more = js_get(json_root(doc), "alt_aliases");
	assert_int_equal(js_len(more), 14);
	assert_string_equal(js_str(js_at(more, 0)), "#x:y");
	assert_string_equal(js_str(js_at(more, 1)), "#n0:y");
	assert_string_equal(js_str(js_at(more, 13)), "#n12:y");
	json_free(doc);
	buf_free(&text);
	buf_free(&out);
	world_close(&w);
}

/* The creation, and what has taken a room's place, are nobody's to set. */
static void which_states_are_declared(void **state)
{
	(void)state;
	bool declared[ROOM_STATES] = { false };
	size_t n = 0;

	for (; declared_state(n) != ROOM_STATES; n++) {
		assert_false(declared[declared_state(n)]);
		declared[declared_state(n)] = true;
	}
	assert_int_equal(n, ROOM_STATES - 2);
	assert_false(declared[ROOM_STATE_CREATE]);
	assert_false(declared[ROOM_STATE_TOMBSTONE]);
	assert_true(state_is_right(NULL, NULL, ROOM_STATE_CREATE, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_can_be_said),
		cmocka_unit_test(what_is_not_said),
		cmocka_unit_test(a_public_room),
		cmocka_unit_test(restricted_to_a_room_that_is_not_made),
		cmocka_unit_test(what_cannot_be_judged),
		cmocka_unit_test(what_is_still_arriving),
		cmocka_unit_test(which_state_is_early),
		cmocka_unit_test(what_is_written),
		cmocka_unit_test(what_leads_to_the_room),
		cmocka_unit_test(which_states_are_declared),
	};

	return cmocka_run_group_tests_name(
		"plan: state of rooms", tests, NULL, NULL);
}
