/*
 * tests/unit/test_rules.c: the language of `rooms`: each word, each mistake
 * with its place, and whom trees of any, all and except leave in a room.
 */
#include "appservice/fleet/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/test.h"

#include "base/poison.h"

/* Two departments, a team name in both, a human here and one elsewhere. Rooms
 * begin at line 10. */
#define STAFF                                                                  \
	"agents:\n"                                                            \
	"  - {id: ann, department: Big Lab, level: VP}\n"                      \
	"  - {id: bob, department: Big Lab, team: Core, level: Director}\n"    \
	"  - {id: cat, department: Big Lab, team: Core, level: IC}\n"          \
	"  - {id: dan, department: Shop, team: Core, level: IC}\n"             \
	"  - {id: eve, department: Shop, team: Till, level: Manager}\n"        \
	"  - {id: fay, team: Till}\n"                                          \
	"humans: [boss, \"@far:away.net\"]\n"                                  \
	"rooms:\n"

static const struct room *room_of(const struct fleet_case *c, const char *alias)
{
	char key[128];
	snprintf(key, sizeof(key), "#%s:example.org", alias);
	const struct room *r = fleet_room(&c->fleet, key);
	if (!r)
		fail_msg("no room %s", key);
	return r;
}

static void assert_members(
	const struct fleet_case *c, const char *alias, const char *want)
{
	struct buf got;
	const struct room *r = room_of(c, alias);
	buf_init(&got, 64 * KIB);
	for (size_t i = 0; i < r->n_members; i++)
		buf_addf(&got, "%s%s", i ? " " : "", r->members[i]->localpart);
	assert_string_equal(buf_str(&got), want);
	buf_free(&got);
}

/* "name=50 other=7" */
static void assert_grants(
	const struct fleet_case *c, const char *alias, const char *want)
{
	struct buf got;
	const struct room_policy *p = room_of(c, alias)->policy;
	buf_init(&got, 64 * KIB);
	for (size_t i = 0; i < p->n_grants; i++)
		buf_addf(&got, "%s%s=%d", i ? " " : "", p->grants[i].user_id,
			(int)p->grants[i].level);
	assert_string_equal(buf_str(&got), want);
	buf_free(&got);
}

static void assert_rule(const struct fleet_case *c, const char *alias,
	enum join_rule rule, const char *allow)
{
	struct buf got;
	const struct room_policy *p = room_of(c, alias)->policy;
	assert_int_equal(p->join_rule, rule);
	buf_init(&got, 64 * KIB);
	for (size_t i = 0; i < p->n_allow; i++)
		buf_addf(&got, "%s%s", i ? " " : "", p->allow[i]);
	assert_string_equal(buf_str(&got), allow);
	buf_free(&got);
}

/* --- who is in it --- */

struct who {
	const char *members, *want; /* want NULL: nobody */
};

/* In a room for all. */
static void test_trees(void **state)
{
	static const struct who cases[] = {
		{ "{everyone: true}", "ann bob boss cat dan eve far fay" },
		{ "{level: VP}", "ann" },
		{ "{level: [IC, Manager]}", "cat dan eve" },
		{ "{department: Shop}", "dan eve" },
		{ "{department: [Shop, Big Lab], level: IC}", "cat dan" },
		{ "{team: Core}", "bob cat dan" },
		{ "{team: [Core, Till], department: Shop}", "dan eve" },
		{ "{team: core}", NULL },
		{ "{members: [eve, \"@far:away.net\", boss]}", "boss eve far" },
		{ "{members: [\"@bob:example.org\"]}", "bob" },
		{ "{members: [ann, eve], level: VP}", "ann" },
		{ "{any: [{level: VP}, {team: Till}]}", "ann eve fay" },
		{ "{any: [{level: VP}]}", "ann" },
		{ "{all: [{team: Core}, {level: IC}]}", "cat dan" },
		{ "{all: [{team: Core}, {members: [cat, eve]}]}", "cat" },
		{ "{except: {level: IC}}", "ann bob boss eve far fay" },
		{ "{everyone: true, except: [{level: IC}, {members: "
		  "[\"@far:away.net\"]}]}",
			"ann bob boss eve fay" },
		{ "{team: Core, except: {department: Shop}}", "bob cat" },
		{ "{any: [{level: IC}, {level: VP}], department: Big Lab}",
			"ann cat" },
		{ "{any: [{level: IC}, {level: VP}],"
		  " all: [{department: Big Lab}, {team: Core}]}",
			"cat" },
		/* whoever is in Core, except what is not a VP or cat */
		{ "{team: Core, except: {except: {any: [{level: VP},"
		  " {members: [cat]}]}}}",
			"cat" },
		{ "{any: [{all: [{team: Core}, {except: {level: IC}}]},"
		  " {any: [{members: [\"@far:away.net\"]}]}]}",
			"bob far" },
		{ "{except: {everyone: true}}", NULL },
		{ "{level: CEO}", NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char self[2048];
		struct fleet_case c;
		snprintf(self, sizeof(self),
			STAFF "  - {alias: x, members: %s}\n",
			cases[i].members);
		case_run(&c, NULL, NULL, self);
		assert_loaded(&c, cases[i].want ? 0 : 1);
		if (cases[i].want)
			assert_members(&c, "x", cases[i].want);
		else
			assert_int_equal(c.fleet.n_rooms, c.fleet.n_direct);
		case_free(&c);
	}
}

struct teams {
	const char *members;
	const char *lab_core, *shop_core, *till; /* NULL: no such room */
};

/* In the rooms of the teams; two of them have one name. */
static void test_trees_of_teams(void **state)
{
	static const struct teams cases[] = {
		{ "{team: \"{team}\"}", "bob cat", "dan", "eve" },
		{ "{everyone: true}", "bob cat", "dan", "eve" },
		{ "{level: IC}", "cat", "dan", NULL },
		/* at the top all is about the team's own people */
		{ "{department: Shop}", NULL, "dan", "eve" },
		{ "{department: \"{department}\"}", "bob cat", "dan", "eve" },
		{ "{team: Core, level: IC}", "cat", "dan", NULL },
		/* an id is whoever it is */
		{ "{members: [eve, bob]}", "bob eve", "bob eve", "bob eve" },
		{ "{any: [{team: \"{team}\"}, {members: [boss]}]}",
			"bob boss cat", "boss dan", "boss eve" },
		{ "{any: [{level: IC}, {members: [ann]}]}", "ann cat",
			"ann dan", "ann" },
		/* inside, department and team are taken by their word */
		{ "{any: [{team: \"{team}\"},"
		  " {department: \"{department}\", level: VP}]}",
			"ann bob cat", "dan", "eve" },
		{ "{any: [{everyone: true}, {department: Shop}]}",
			"bob cat dan eve", "dan eve", "dan eve" },
		{ "{any: [{team: [\"{team}\", Till]}]}", "bob cat eve fay",
			"dan eve fay", "eve fay" },
		{ "{any: [{team: Core}]}", "bob cat dan", "bob cat dan",
			"bob cat dan" },
		{ "{all: [{department: \"{department}\"}, {level: VP}]}", NULL,
			NULL, NULL },
		{ "{all: [{department: \"{department}\"},"
		  " {any: [{department: Big Lab}, {members: [eve]}]}]}",
			"ann bob cat", "eve", "eve" },
		{ "{any: [{everyone: true}, {members: [cat]}],"
		  " except: {level: Director}}",
			"cat", "cat dan", "cat eve" },
		{ "{members: [bob, dan, eve], except: {team: \"{team}\"}}",
			"dan eve", "bob eve", "bob dan" },
		/* and so is a level inside of except */
		{ "{members: [ann, dan, eve], except: {level: VP}}", "dan eve",
			"dan eve", "dan eve" },
		{ "{everyone: true, level: [IC, Director],"
		  " except: [{members: [bob]}]}",
			"cat", "dan", NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char self[2048];
		struct fleet_case c;
		const struct teams *t = &cases[i];
		snprintf(self, sizeof(self),
			STAFF "  - {alias: \"x-{department}-{team}\","
			      " members: %s}\n",
			t->members);
		case_run(&c, NULL, NULL, self);
		size_t n = (t->lab_core ? 1u : 0u) + (t->shop_core ? 1u : 0u) +
			(t->till ? 1u : 0u);
		assert_loaded(&c, n ? 0 : 1);
		assert_int_equal(c.fleet.n_rooms - c.fleet.n_direct, n);
		if (t->lab_core)
			assert_members(&c, "x-big-lab-core", t->lab_core);
		if (t->shop_core)
			assert_members(&c, "x-shop-core", t->shop_core);
		if (t->till)
			assert_members(&c, "x-shop-till", t->till);
		case_free(&c);
	}
}

static void test_trees_of_departments(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: \"{department}\","
		" members: {any: [{level: [VP, Manager]}, {members: [fay]}]}}\n"
		"  - {alias: \"{department}-both\", members: {any:"
		" [{department: [\"{department}\", Shop]}]}}\n"
		"  - {alias: \"{department}-not\","
		" members: {except: {team: Core}}}\n");
	assert_loaded(&c, 0);
	assert_members(&c, "big-lab", "ann fay");
	assert_members(&c, "shop", "eve fay");
	assert_members(&c, "big-lab-both", "ann bob cat dan eve");
	assert_members(&c, "shop-both", "dan eve");
	assert_members(&c, "big-lab-not", "ann");
	assert_members(&c, "shop-not", "eve");
	case_free(&c);
}

/* Whoever is not deployed, and whoever is not there. */
static void test_ids(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\":[{\"name\":\"Vi\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"matrixId\":\"@vi:example.org\"},"
		"{\"name\":\"Wu\",\"level\":\"VP\","
		"\"department\":\"Shop\",\"matrixId\":\"@wu:example.org\"}]}",
		"departments:\n"
		"  Lab: {enabled: true, vp: 1, directors: 0, managers: 0,"
		" ics: 0}\n"
		"commandCenter:\n"
		"  taskAssignmentBotMatrixId: \"@bot:example.org\"\n",
		"rooms:\n"
		"- alias: x\n"
		"  members:\n"
		"    any:\n"
		"    - members: [vi, wu, bot, gone]\n"
		"    - members:\n"
		"      - \"@far:away.net\"\n");
	assert_loaded(&c, 2);
	assert_found(&c,
		"muster.yaml:5:30: warning: rooms[0].members.any[0].members: "
		"nobody has the id @gone:example.org");
	assert_found(&c,
		"muster.yaml:7:9: warning: rooms[0].members.any[1].members: "
		"nobody has the id @far:away.net");
	assert_members(&c, "x", "bot vi");
	case_free(&c);
}

static void test_wrong_trees(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a}]\n"
		"rooms:\n"
		"- {alias: a, members: {any: {level: VP}}}\n"
		"- {alias: b, members: {all: VP}}\n"
		"- {alias: c, members: {any: []}}\n"
		"- {alias: d, members: {all: []}}\n"
		"- {alias: e, members: {except: []}}\n"
		"- {alias: f, members: {members: []}}\n"
		"- {alias: g, members: {members: ann}}\n"
		"- {alias: h, members: {members: [[ann], \"@x\", muster,"
		" \"\", \"@:example.org\"]}}\n"
		"- {alias: i, members: {any: [{}, {exxept: 1}, IC]}}\n"
		"- {alias: j, members: {except: [{level: Vp}]}}\n"
		"- {alias: k, members: {except: {team: \"{team}\"}}}\n"
		"- {alias: l, members: {all: [{department:"
		" [A, \"{department}\", [], \"\"]}]}}\n"
		"- {alias: m, members: {department: {}, team: []}}\n"
		"- {alias: n, members: {any: [{everyone: false}]}}\n"
		"- {alias: \"{team}\", members: {any: [{team: \"{tea}\"}]}}\n");
	assert_found(&c,
		"muster.yaml:3:29: rooms[0].members.any: expected a list of "
		"what somebody may be");
	assert_found(&c,
		"muster.yaml:4:29: rooms[1].members.all: expected a list of "
		"what somebody may be");
	assert_found(&c,
		"muster.yaml:5:29: rooms[2].members.any: the list is empty");
	assert_found(&c,
		"muster.yaml:6:29: rooms[3].members.all: the list is empty");
	assert_found(&c,
		"muster.yaml:7:32: rooms[4].members.except: the list is empty");
	assert_found(&c,
		"muster.yaml:8:33: rooms[5].members.members: the list is "
		"empty");
	assert_found(&c,
		"muster.yaml:9:33: rooms[6].members.members: expected a list "
		"of ids, found a text");
	assert_found(&c,
		"muster.yaml:10:34: rooms[7].members.members: expected the id "
		"of a person");
	assert_found(&c,
		"muster.yaml:10:41: rooms[7].members.members: \"@x\" is no "
		"user id: expected a name or @name:example.org");
	assert_found(&c,
		"muster.yaml:10:47: rooms[7].members.members: "
		"@muster:example.org is the service's own user, which is in "
		"every room and keeps its power: it cannot be named");
	assert_found(&c,
		"muster.yaml:10:55: rooms[7].members.members: \"\" is no user "
		"id: expected a name or @name:example.org");
	assert_found(&c,
		"muster.yaml:10:59: rooms[7].members.members: "
		"\"@:example.org\" is no user id: expected a name or "
		"@name:example.org");
	assert_found(&c,
		"muster.yaml:11:30: rooms[8].members.any[0]: is empty: "
		"expected everyone, level, department, team, members, any, all "
		"or except");
	assert_found(&c,
		"muster.yaml:11:35: rooms[8].members.any[1]: unknown key "
		"\"exxept\": did you mean except?");
	assert_found(&c,
		"muster.yaml:11:47: rooms[8].members.any[2]: expected a map "
		"(key: value), found a text");
	assert_found(&c,
		"muster.yaml:12:41: rooms[9].members.except[0].level: \"Vp\" "
		"is no level: expected CEO, VP, Director, Manager or IC (did "
		"you mean VP?)");
	assert_found(&c,
		"muster.yaml:13:39: rooms[10].members.except.team: {team} can "
		"only stand here when it is in the alias");
	assert_found(&c,
		"muster.yaml:14:47: rooms[11].members.all[0].department: "
		"{department} can only stand here when it (or {team}) is in "
		"the alias");
	assert_found(&c,
		"muster.yaml:14:63: rooms[11].members.all[0].department: "
		"expected a text or a list of texts, found a list");
	assert_found(&c,
		"muster.yaml:14:67: rooms[11].members.all[0].department: "
		"expected a text or a list of texts, found an empty one");
	assert_found(&c,
		"muster.yaml:15:36: rooms[12].members.department: expected a "
		"text or a list of texts, found a map");
	assert_found(&c,
		"muster.yaml:15:46: rooms[12].members.team: the list is "
		"empty");
	assert_found(&c,
		"muster.yaml:16:41: rooms[13].members.any[0].everyone: "
		"expected true (leave it out otherwise)");
	assert_found(&c,
		"muster.yaml:17:44: rooms[14].members.any[0].team: \"{tea}\" "
		"is unknown: expected {department} or {team}");
	assert_errors(&c, 24);
	case_free(&c);
}

static void test_depth(void **state)
{
	static const char start[] = STAFF "  - alias: x\n"
					  "    members: ";
	struct fleet_case c;
	(void)state;
	/* 5 inside of `members` are as many as there may be */
	for (int deep = 5; deep <= 6; deep++) {
		struct buf self;
		buf_init(&self, 64 * KIB);
		buf_add(&self, start);
		for (int i = 0; i < deep; i++)
			buf_add(&self, i % 2 ? "{all: [" : "{any: [");
		buf_add(&self, "{level: VP}");
		for (int i = 0; i < deep; i++)
			buf_add(&self, "]}");
		buf_add(&self, "\n");
		case_run(&c, NULL, NULL, buf_str(&self));
		if (deep == 5) {
			assert_loaded(&c, 0);
			assert_members(&c, "x", "ann");
		} else {
			assert_errors(&c, 1);
			assert_found(&c,
				"muster.yaml:11:56: rooms[0].members.any[0]."
				"all[0].any[0].all[0].any[0].all[0]: any, all "
				"and except are nested more than 5 deep");
		}
		case_free(&c);
		buf_free(&self);
	}
}

/* --- what else a room says --- */

static void test_policy_of_rooms(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: A, members: {everyone: true}}\n"
		"  - {alias: b, members: {everyone: true}, join_rule: invite,"
		" history: shared, encryption: false}\n"
		"  - {alias: c, members: {everyone: true}, join_rule: public,"
		" history: world_readable}\n"
		"  - {alias: \"X {Team}\", members: {everyone: true}}\n");
	assert_errors(&c, 2);
	case_free(&c);
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: A, members: {everyone: true}}\n"
		"  - {alias: b, members: {everyone: true}, join_rule: invite,"
		" history: shared, encryption: false}\n"
		"  - {alias: c, members: {everyone: true}, join_rule: public,"
		" history: world_readable}\n"
		"  - {alias: \"X-{team}\", members: {everyone: true},"
		" history: invited, topic: \"{team} of {department}\"}\n"
		"  - {alias: e, members: {level: VP}, history: joined,"
		" encryption: true, strict: true, join_rule: ~}\n");
	assert_loaded(&c, 1);
	assert_found(&c,
		"muster.yaml:14:67: warning: rooms[4].encryption: what is said "
		"there can be read neither by agents that are not set up for "
		"encryption nor by muster, which sees no mention in it, so "
		"that none makes a direct room on demand; who is in the room "
		"is never encrypted and stays as declared; encryption can "
		"never be switched off again in a room");
	const struct room_policy *p = room_of(&c, "a")->policy;
	assert_string_equal(p->rule, "a");
	assert_int_equal(p->join_rule, JOIN_INVITE);
	assert_null(p->history);
	assert_false(p->encryption);
	assert_int_equal(p->n_allow + p->n_grants, 0);
	p = room_of(&c, "b")->policy;
	assert_int_equal(p->join_rule, JOIN_INVITE);
	assert_string_equal(p->history, "shared");
	assert_false(p->encryption);
	p = room_of(&c, "c")->policy;
	assert_int_equal(p->join_rule, JOIN_PUBLIC);
	assert_string_equal(p->history, "world_readable");
	const struct room *r = room_of(&c, "x-shop-core");
	assert_string_equal(r->policy->rule, "x-{team}");
	assert_string_equal(r->policy->history, "invited");
	assert_string_equal(r->topic, "Core of Shop");
	r = room_of(&c, "e");
	assert_string_equal(r->policy->history, "joined");
	assert_true(r->policy->encryption);
	assert_true(r->strict);
	case_free(&c);
}

/* The default policy has one too; direct rooms have none. */
static void test_policy_everywhere(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a, department: Lab, team: T, level: VP},"
		" {id: b, department: Lab, team: T, level: IC}]\n");
	assert_loaded(&c, 0);
	assert_string_equal(
		room_of(&c, "all-employees")->policy->rule, "all-employees");
	assert_string_equal(room_of(&c, "lab-leadership")->policy->rule,
		"{department}-leadership");
	assert_string_equal(room_of(&c, "t-team")->policy->rule, "{team}-team");
	assert_int_equal(c.fleet.n_direct, 1);
	assert_null(c.fleet.rooms[3].policy);
	case_free(&c);
}

static void test_restricted(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: all, members: {everyone: true}}\n"
		"  - {alias: vip, members: {level: VP},"
		" join_rule: {restricted: ALL}}\n"
		"  - {alias: \"{department}\", members: {everyone: true},"
		" join_rule: {restricted: [vip, all, vip]}}\n"
		"  - {alias: \"{team}\", members: {everyone: true},"
		" join_rule: {restricted: [\"{department}\", all]}}\n"
		"  - {alias: \"{team}-x\", members: {level: [IC, Manager]},"
		" join_rule: {restricted: \"{team}\"}}\n"
		"  - {alias: y, members: {level: IC},"
		" join_rule: {restricted: [shop, big-lab-core]}}\n"
		"  - {alias: open, members: {level: IC}, join_rule: public}\n");
	assert_loaded(&c, 0);
	assert_rule(&c, "all", JOIN_INVITE, "");
	assert_rule(&c, "vip", JOIN_RESTRICTED, "#all:example.org");
	assert_rule(&c, "shop", JOIN_RESTRICTED,
		"#all:example.org #vip:example.org");
	assert_rule(&c, "big-lab-core", JOIN_RESTRICTED,
		"#all:example.org #big-lab:example.org");
	/* fay's team has no department */
	assert_rule(&c, "till", JOIN_RESTRICTED, "#all:example.org");
	assert_rule(
		&c, "shop-core-x", JOIN_RESTRICTED, "#shop-core:example.org");
	assert_rule(&c, "big-lab-core-x", JOIN_RESTRICTED,
		"#big-lab-core:example.org");
	assert_rule(&c, "y", JOIN_RESTRICTED,
		"#big-lab-core:example.org #shop:example.org");
	assert_rule(&c, "open", JOIN_PUBLIC, "");
	case_free(&c);
}

/* Where the room to be a member of is missing. */
static void test_restricted_lacking(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: \"{department}-vp\", members: {level: VP}}\n"
		"  - {alias: \"{department}\", members: {everyone: true},\n"
		"     join_rule: {restricted: \"{department}-vp\"}}\n"
		"  - {alias: \"{team}\", members: {everyone: true},\n"
		"     join_rule: {restricted: [shop-vp]}}\n"
		"  - {alias: ceo, members: {level: CEO},\n"
		"     join_rule: {restricted: shop}}\n"
		"  - {alias: \"{department}-z\", members: {everyone: true},\n"
		"     join_rule: {restricted: shop-z}}\n");
	assert_loaded(&c, 4);
	assert_found(&c,
		"muster.yaml:12:30: warning: rooms[1].join_rule.restricted: "
		"there is no such room for #shop:example.org now: it is by "
		"invitation");
	assert_found(&c,
		"muster.yaml:14:31: warning: rooms[2].join_rule.restricted: "
		"there is no such room for #big-lab-core:example.org and 3 "
		"more now: they are by invitation");
	assert_found(&c,
		"muster.yaml:15:5: warning: nobody who is deployed would be in "
		"\"ceo\": there is no such room for now");
	assert_found(&c,
		"muster.yaml:18:30: warning: rooms[4].join_rule.restricted: "
		"there is no such room for #shop-z:example.org now: it is by "
		"invitation");
	assert_rule(&c, "shop", JOIN_INVITE, "");
	assert_rule(&c, "big-lab", JOIN_RESTRICTED, "#big-lab-vp:example.org");
	assert_rule(&c, "big-lab-core", JOIN_INVITE, "");
	assert_rule(&c, "shop-z", JOIN_INVITE, "");
	assert_rule(&c, "big-lab-z", JOIN_RESTRICTED, "#shop-z:example.org");
	case_free(&c);
}

static void test_wrong_access(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a}]\n"
		"rooms:\n"
		"- {alias: a, members: {everyone: true}, join_rule: publi}\n"
		"- {alias: b, members: {everyone: true}, join_rule: restrict}\n"
		"- {alias: c, members: {everyone: true}, join_rule: restricted}"
		"\n"
		"- {alias: d, members: {everyone: true}, join_rule: [public]}\n"
		"- {alias: e, members: {everyone: true},"
		" join_rule: {restrictd: a}}\n"
		"- {alias: f, members: {everyone: true},"
		" join_rule: {restricted: []}}\n"
		"- {alias: g, members: {everyone: true},"
		" join_rule: {restricted: [\"\", {}, \"#a:b\", G,"
		" \"{team}\", \"{\"]}}\n"
		"- {alias: h, members: {everyone: true}, history: share}\n"
		"- {alias: i, members: {everyone: true}, history: [shared]}\n"
		"- {alias: j, members: {everyone: true}, history: \"\"}\n"
		"- {alias: k, members: {everyone: true}, encryption: \"true\"}"
		"\n"
		"- {alias: l, members: {everyone: true}, encrypt: true}\n"
		"- {alias: m, members: {everyone: true}, join_rule: knock}\n");
	assert_found(&c,
		"muster.yaml:3:52: rooms[0].join_rule: \"publi\" is no join "
		"rule: expected invite, public or {restricted: ALIAS} (did you "
		"mean public?)");
	assert_found(&c,
		"muster.yaml:4:52: rooms[1].join_rule: \"restrict\" is no join "
		"rule: expected invite, public or {restricted: ALIAS} (did you "
		"mean restricted?)");
	assert_found(&c,
		"muster.yaml:5:52: rooms[2].join_rule: restricted to the "
		"members of which room? expected {restricted: ALIAS}");
	assert_found(&c,
		"muster.yaml:6:52: rooms[3].join_rule: a list is no join rule: "
		"expected invite, public or {restricted: ALIAS}");
	assert_found(&c,
		"muster.yaml:7:53: rooms[4].join_rule: unknown key "
		"\"restrictd\": did you mean restricted?");
	assert_found(&c,
		"muster.yaml:7:52: rooms[4].join_rule.restricted: is missing: "
		"the alias of the room whose members may join");
	assert_found(&c,
		"muster.yaml:8:65: rooms[5].join_rule.restricted: is missing: "
		"the alias of the room whose members may join");
	assert_found(&c,
		"muster.yaml:9:66: rooms[6].join_rule.restricted: expected the "
		"alias of a room of the policy, or a list of them");
	assert_found(&c,
		"muster.yaml:9:70: rooms[6].join_rule.restricted: expected the "
		"alias of a room of the policy, or a list of them");
	assert_found(&c,
		"muster.yaml:9:74: rooms[6].join_rule.restricted: expected "
		"only what stands between # and :, without white space");
	assert_found(&c,
		"muster.yaml:9:82: rooms[6].join_rule.restricted: this is the "
		"room itself: expected the alias of another one");
	assert_found(&c,
		"muster.yaml:9:85: rooms[6].join_rule.restricted: {team} can "
		"only stand here when it is in the alias");
	assert_found(&c,
		"muster.yaml:9:95: rooms[6].join_rule.restricted: a { without "
		"its }");
	assert_found(&c,
		"muster.yaml:10:50: rooms[7].history: expected shared, "
		"invited, joined or world_readable, found \"share\" (did you "
		"mean shared?)");
	assert_found(&c,
		"muster.yaml:11:50: rooms[8].history: expected shared, "
		"invited, joined or world_readable, found a list");
	assert_found(&c,
		"muster.yaml:12:50: rooms[9].history: expected shared, "
		"invited, joined or world_readable, found \"\"");
	assert_found(&c,
		"muster.yaml:13:53: rooms[10].encryption: expected true or "
		"false");
	assert_found(
		&c, "muster.yaml:14:41: rooms[11]: unknown key \"encrypt\"");
	assert_found(&c,
		"muster.yaml:15:52: rooms[12].join_rule: \"knock\" is no join "
		"rule: expected invite, public or {restricted: ALIAS}");
	assert_errors(&c, 19);
	case_free(&c);
}

/* Told when all rooms are known. */
static void test_wrong_restricted(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF "  - {alias: lobby, members: {everyone: true}}\n"
		      "  - {alias: \"{team}-x\", members: {everyone: true},\n"
		      "     join_rule: {restricted: [loby, \"{team}-y\","
		      " big-lab-core-x, core-x, shop]}}\n");
	assert_errors(&c, 4);
	assert_found(&c,
		"muster.yaml:12:31: rooms[1].join_rule.restricted: no room of "
		"the policy has the alias \"loby\" (did you mean lobby?)");
	assert_found(&c,
		"muster.yaml:12:37: rooms[1].join_rule.restricted: no room of "
		"the policy has the alias \"{team}-y\" (did you mean "
		"{team}-x?)");
	assert_found(&c,
		"muster.yaml:12:65: rooms[1].join_rule.restricted: no room of "
		"the policy has the alias \"core-x\"");
	assert_found(&c,
		"muster.yaml:12:73: rooms[1].join_rule.restricted: no room of "
		"the policy has the alias \"shop\"");
	case_free(&c);
}

static void test_open_and_strict(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF "  - {alias: a, members: {everyone: true},\n"
		      "     join_rule: public, strict: true}\n"
		      "  - {alias: b, members: {everyone: true},\n"
		      "     join_rule: {restricted: a}, strict: true}\n"
		      "  - {alias: c, members: {everyone: true},\n"
		      "     join_rule: invite, strict: true}\n");
	assert_loaded(&c, 2);
	assert_found(&c,
		"muster.yaml:11:17: warning: rooms[0].join_rule: who joins "
		"without being declared is removed again, since the room is "
		"strict");
	assert_found(&c,
		"muster.yaml:13:17: warning: rooms[1].join_rule: who joins "
		"without being declared is removed again, since the room is "
		"strict");
	case_free(&c);
}

/* --- power --- */

static void test_powers(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: all, members: {everyone: true}, extra_power:\n"
		"     {IC: 10, fay: 0, VP: 50, \"@dan:example.org\": 100,"
		" boss: 100}}\n"
		"  - {alias: \"{team}\", members: {everyone: true},"
		" extra_power: {bob: 60, VP: 99, Director: 50, IC: 1}}\n"
		"  - {alias: none, members: {level: IC}, extra_power: {}}\n");
	assert_loaded(&c, 0);
	assert_grants(&c, "all",
		"@ann:example.org=50 @cat:example.org=10 "
		"@dan:example.org=100 @fay:example.org=0");
	assert_grants(
		&c, "big-lab-core", "@bob:example.org=60 @cat:example.org=1");
	assert_grants(&c, "shop-core", "@dan:example.org=1");
	assert_grants(&c, "till", "");
	assert_grants(&c, "none", "");
	case_free(&c);
}

/* A human of the organisation keeps 100, whatever their level is given. */
static void test_powers_of_humans(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\":[{\"name\":\"Vi\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"matrixId\":\"@vi:example.org\"},"
		"{\"name\":\"Wu\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"matrixId\":\"@wu:example.org\"},"
		"{\"name\":\"Zoe\",\"level\":\"CEO\","
		"\"department\":\"Head\",\"matrixId\":\"@zoe:example.org\"}]}",
		NULL,
		"humans: [\"@vi:example.org\"]\n"
		"rooms:\n"
		"- {alias: all, members: {everyone: true},"
		" extra_power: {VP: 50, CEO: 100}}\n");
	assert_loaded(&c, 0);
	assert_members(&c, "all", "vi wu zoe");
	assert_grants(&c, "all", "@wu:example.org=50");
	case_free(&c);
}

static void test_powers_without_use(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF
		"  - {alias: all, members: {level: IC},\n"
		"     extra_power: {ann: 50,\n"
		"      gone: 1, \"@x:away.net\": 2, cat: 3, Manager: 4}}\n"
		"  - {alias: \"{team}\", members: {everyone: true},"
		" extra_power: {cat: 2}}\n"
		"  - {alias: ceo, members: {level: CEO},"
		" extra_power: {cat: 2}}\n");
	assert_loaded(&c, 4);
	assert_found(&c,
		"muster.yaml:11:20: warning: rooms[0].extra_power: "
		"@ann:example.org is not in the room");
	assert_found(&c,
		"muster.yaml:12:7: warning: rooms[0].extra_power: nobody has "
		"the id @gone:example.org");
	assert_found(&c,
		"muster.yaml:12:16: warning: rooms[0].extra_power: nobody has "
		"the id @x:away.net");
	assert_grants(&c, "all", "@cat:example.org=3");
	case_free(&c);
}

static void test_wrong_powers(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: ann}]\n"
		"rooms:\n"
		"- {alias: a, members: {everyone: true}, extra_power: 50}\n"
		"- alias: b\n"
		"  members: {everyone: true}\n"
		"  extra_power:\n"
		"    Directer: 50\n"
		"    Boss: 50\n"
		"    \"@ann\": 50\n"
		"    muster: 100\n"
		"    \"@muster:example.org\": 1\n"
		"    ann: 101\n"
		"    VP: -1\n"
		"    IC: \"5\"\n"
		"    Manager: [5]\n"
		"    CEO: 99\n"
		"    muster2: ~\n");
	assert_found(&c,
		"muster.yaml:3:54: rooms[0].extra_power: expected a map of ids "
		"or levels, such as {VP: 50}");
	assert_found(&c,
		"muster.yaml:7:5: rooms[1].extra_power: \"Directer\" is "
		"neither a level (CEO, VP, Director, Manager, IC) nor an id "
		"(did you mean Director?)");
	assert_found(&c,
		"muster.yaml:8:5: rooms[1].extra_power: \"Boss\" is neither a "
		"level (CEO, VP, Director, Manager, IC) nor an id");
	assert_found(&c,
		"muster.yaml:9:5: rooms[1].extra_power: \"@ann\" is no user "
		"id: expected a name or @name:example.org");
	assert_found(&c,
		"muster.yaml:10:5: rooms[1].extra_power: @muster:example.org "
		"is the service's own user, which is in every room and keeps "
		"its power: it cannot be named");
	assert_found(&c,
		"muster.yaml:11:5: rooms[1].extra_power: @muster:example.org "
		"is the service's own user, which is in every room and keeps "
		"its power: it cannot be named");
	assert_found(&c,
		"muster.yaml:12:10: rooms[1].extra_power.ann: expected a "
		"number from 0 to 100, found 101");
	assert_found(&c,
		"muster.yaml:13:9: rooms[1].extra_power.VP: expected a number "
		"from 0 to 100, found -1");
	assert_found(&c,
		"muster.yaml:14:9: rooms[1].extra_power.IC: expected a number "
		"from 0 to 100, found a text");
	assert_found(&c,
		"muster.yaml:15:14: rooms[1].extra_power.Manager: expected a "
		"number from 0 to 100, found a list");
	assert_found(&c,
		"muster.yaml:16:5: rooms[1].extra_power: the CEO is a human, "
		"and humans of the fleet keep 100");
	assert_found(&c,
		"muster.yaml:17:14: rooms[1].extra_power.muster2: expected a "
		"number from 0 to 100, found nothing");
	assert_errors(&c, 12);
	case_free(&c);
}

/* What is known only when the people are. */
static void test_wrong_people_of_powers(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF "  - {alias: a, members: {everyone: true},"
		      " extra_power:\n"
		      "     {boss: 50, \"@far:away.net\": 99, ann: 1,"
		      " \"@ann:example.org\": 1}}\n");
	assert_errors(&c, 3);
	assert_found(&c,
		"muster.yaml:11:7: rooms[0].extra_power: @boss:example.org is "
		"a human of the fleet, and these keep 100");
	assert_found(&c,
		"muster.yaml:11:17: rooms[0].extra_power: @far:away.net is a "
		"human of the fleet, and these keep 100");
	assert_found(&c,
		"muster.yaml:11:46: rooms[0].extra_power: @ann:example.org is "
		"there twice");
	assert_int_equal(c.report.n, 3);
	case_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_trees_of_teams),
		cmocka_unit_test(test_trees_of_departments),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_wrong_trees),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_policy_of_rooms),
		cmocka_unit_test(test_policy_everywhere),
		cmocka_unit_test(test_restricted),
		cmocka_unit_test(test_restricted_lacking),
		cmocka_unit_test(test_wrong_access),
		cmocka_unit_test(test_wrong_restricted),
		cmocka_unit_test(test_open_and_strict),
		cmocka_unit_test(test_powers),
		cmocka_unit_test(test_powers_of_humans),
		cmocka_unit_test(test_powers_without_use),
		cmocka_unit_test(test_wrong_powers),
		cmocka_unit_test(test_wrong_people_of_powers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
