/*
 * tests/unit/test_policy.c: which rooms there are and who is in them. The
 * digests and counts of whole fleets were computed by another program from
 * the same files.
 */
#include "appservice/fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/test.h"

#include "base/poison.h"

static void assert_members(
	const struct fleet_case *c, const char *key, const char *want)
{
	struct buf got;
	const struct room *r = fleet_room(&c->fleet, key);
	if (!r)
		fail_msg("no room %s", key);
	buf_init(&got, 64 * KIB);
	for (size_t i = 0; i < r->n_members; i++)
		buf_addf(&got, "%s%s", i ? " " : "", r->members[i]->localpart);
	assert_string_equal(buf_str(&got), want);
	buf_free(&got);
}

static void assert_name(
	const struct fleet_case *c, const char *key, const char *want)
{
	const struct room *r = fleet_room(&c->fleet, key);
	if (!r)
		fail_msg("no room %s", key);
	assert_string_equal(r->name, want);
}

struct totals {
	const char *server;
	bool config;
	size_t n_rooms, n_direct, n_aliases;
	const char *members, *direct, *aliases; /* digests */
};

static void check_totals(const char *folder, const struct totals *t)
{
	struct fleet_case c;
	char hex[65];
	case_init(&c);
	c.src.server_name = t->server;
	case_folder(&c, folder, t->config);
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_direct, t->n_direct);
	assert_int_equal(c.fleet.n_rooms, t->n_rooms + t->n_direct);
	assert_int_equal(c.fleet.n_declared_aliases, t->n_aliases);
	digest_members(&c.fleet, hex);
	assert_string_equal(hex, t->members);
	digest_direct(&c.fleet, hex);
	assert_string_equal(hex, t->direct);
	digest_aliases(&c.fleet, hex);
	assert_string_equal(hex, t->aliases);
	/* Sorted, so that every one is found. */
	for (size_t i = 0; i < c.fleet.n_rooms; i++) {
		const struct room *r = &c.fleet.rooms[i];
		assert_ptr_equal(fleet_room(&c.fleet, r->key), r);
	}
	case_free(&c);
}

static void test_reference_totals(void **state)
{
	static const char aliases[] = "1ddc0169fc16d217f9deb09e8a70826c"
				      "861a53ab76ef2eb4c4e0a6899ac81d4f";
	static const struct totals chosen = { "anycompany.corp", true, 4, 25,
		39,
		"cfde8e25e2bd21a516fc857ff6b67b8e"
		"baffe4bb43277065e3b4f3f2ae0b490a",
		"24a9be328748d98680ad20f05c1dcac6"
		"220048ca5994f690bec0d61aaa1f878c",
		aliases };
	static const struct totals everybody = { "anycompany.corp", false, 38,
		22163, 39,
		"c346abecef2d7b10824a54c4d7d53e10"
		"849e4fc78c6842119fe2e36e34edfaf5",
		"c794557eed09fd6231ca5b8377c1aa8d"
		"720fe60b5531a316f952a6578bc354e5",
		aliases };
	const char *fixtures = getenv("MUSTER_FIXTURES");
	(void)state;
	if (!fixtures)
		return;
	check_totals(fixtures, &chosen);
	check_totals(fixtures, &everybody);
}

static void test_example_totals(void **state)
{
	static const char aliases[] = "ac1fa5eb62cf2bcf5345b79050d5b682"
				      "e29592b630632e45407b0500465a8798";
	static const struct totals chosen = { "fleet.example", true, 5, 14, 26,
		"58aa092b4316c61e529e8035927141fa"
		"321fe16412d88d35a32b06d7efe99170",
		"1798be5b64abd96dbaf5daea0209a04d"
		"96aa81df7893339c157340d3e389dd8f",
		aliases };
	static const struct totals everybody = { "fleet.example", false, 25,
		30040, 26,
		"04a6586c39c09b981f60a72c8f0cc842"
		"5ecdc2b90293a332eb9cb55c0ffe1887",
		"d6ce5da336eea5e6e76dfd46b7069a62"
		"7f30bcf661f094fc57e739c71a47192f",
		aliases };
	(void)state;
	check_totals(examples_folder(), &chosen);
	check_totals(examples_folder(), &everybody);
}

static void test_reference_rooms(void **state)
{
	static const char *const pairs[][2] = {
		{ "aaron.phillips", "austin.bailey" },
		{ "aaron.phillips", "evelyn.thompson" },
		{ "aaron.phillips", "manu.mishra" },
		{ "allison.butler", "allison.lopez" },
		{ "allison.butler", "allison.roberts" },
		{ "allison.butler", "angel.baker" },
		{ "allison.butler", "anthony.hernandez" },
		{ "allison.butler", "beau.martinez" },
		{ "allison.butler", "evelyn.thompson" },
		{ "allison.lopez", "allison.roberts" },
		{ "allison.lopez", "angel.baker" },
		{ "allison.lopez", "anthony.hernandez" },
		{ "allison.lopez", "beau.martinez" },
		{ "allison.lopez", "evelyn.thompson" },
		{ "allison.roberts", "angel.baker" },
		{ "allison.roberts", "anthony.hernandez" },
		{ "allison.roberts", "beau.martinez" },
		{ "allison.roberts", "evelyn.thompson" },
		{ "angel.baker", "anthony.hernandez" },
		{ "angel.baker", "beau.martinez" },
		{ "angel.baker", "evelyn.thompson" },
		{ "anthony.hernandez", "beau.martinez" },
		{ "anthony.hernandez", "evelyn.thompson" },
		{ "austin.bailey", "evelyn.thompson" },
		{ "beau.martinez", "evelyn.thompson" },
	};
	const char *fixtures = getenv("MUSTER_FIXTURES");
	struct fleet_case c;
	(void)state;
	if (!fixtures)
		return;
	case_init(&c);
	c.src.server_name = "anycompany.corp";
	case_folder(&c, fixtures, true);
	assert_loaded(&c, 0);
	assert_members(&c, "#all-employees:anycompany.corp",
		"aaron.phillips allison.butler allison.lopez allison.roberts "
		"angel.baker anthony.hernandez austin.bailey beau.martinez "
		"evelyn.thompson manu.mishra task.assignments");
	assert_members(&c, "#engineering-leadership:anycompany.corp",
		"aaron.phillips austin.bailey evelyn.thompson");
	assert_members(&c, "#frontend-team:anycompany.corp", "austin.bailey");
	assert_members(&c, "#infrastructure-team:anycompany.corp",
		"allison.butler allison.lopez allison.roberts angel.baker "
		"anthony.hernandez beau.martinez evelyn.thompson");
	assert_int_equal(c.fleet.n_rooms, 4 + ARRAY_LEN(pairs));
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		char key[128];
		const struct room *r = &c.fleet.rooms[4 + i];
		snprintf(key, sizeof(key),
			"@%s:anycompany.corp @%s:anycompany.corp", pairs[i][0],
			pairs[i][1]);
		assert_string_equal(r->key, key);
		assert_true(r->direct);
		assert_null(r->alias);
		assert_int_equal(r->n_members, 2);
		assert_string_equal(r->maker->localpart, pairs[i][0]);
		assert_string_equal(r->other->localpart, pairs[i][1]);
		if (i == 2)
			assert_string_equal(r->name, "Aaron Phillips");
		else
			assert_null(r->name);
	}
	case_free(&c);
}

static void test_example_names(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.server_name = "fleet.example";
	case_folder(&c, examples_folder(), false);
	assert_loaded(&c, 0);
	assert_name(&c, "#all-employees:fleet.example", "All employees");
	assert_name(&c, "#customer-care-leadership:fleet.example",
		"Customer Care leadership");
	assert_name(&c, "#research-tooling-team:fleet.example",
		"Research Tooling team");
	assert_name(&c, "#quality-&-safety-team:fleet.example",
		"Quality & Safety team");
	assert_null(fleet_room(&c.fleet, "#tooling-team:fleet.example"));
	assert_null(
		fleet_room(&c.fleet, "#executive-leadership:fleet.example"));
	const struct room *r =
		fleet_room(&c.fleet, "#all-employees:fleet.example");
	assert_string_equal(r->alias_localpart, "all-employees");
	assert_string_equal(r->alias, r->key);
	assert_true(room_has_member(r, "@philippa.tidewater:fleet.example"));
	assert_false(room_has_member(r, "@task.desk:fleet.example"));
	case_free(&c);
}

/* --- policies --- */

/* Two departments, a team name in both, heads, a human among them. */
#define STAFF                                                                  \
	"agents:\n"                                                            \
	"  - {id: ann, department: Big Lab, level: VP, manager: boss}\n"       \
	"  - {id: bob, department: Big Lab, team: Core, level: Director,"      \
	" manager: ann}\n"                                                     \
	"  - {id: cat, department: Big Lab, team: Core, level: IC,"            \
	" manager: bob}\n"                                                     \
	"  - {id: dan, department: Shop, team: core, level: IC,"               \
	" manager: ann}\n"                                                     \
	"  - {id: eve, department: Shop, team: Till, level: Manager,"          \
	" manager: boss}\n"                                                    \
	"  - {id: fay, team: Till}\n"                                          \
	"humans: [{id: boss, name: The Boss}, \"@far:away.net\"]\n"

static void test_default_rooms(void **state)
{
	static const char *const aliases[] = { "#all-employees:example.org",
		"#big-lab-core-team:example.org",
		"#big-lab-leadership:example.org",
		"#shop-core-team:example.org", "#shop-leadership:example.org",
		"#shop-till-team:example.org", "#till-team:example.org" };
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL, STAFF);
	assert_loaded(&c, 0);
	assert_members(&c, "#all-employees:example.org",
		"ann bob boss cat dan eve far fay");
	assert_members(&c, "#big-lab-core-team:example.org", "bob cat");
	assert_members(&c, "#shop-core-team:example.org", "dan");
	assert_members(&c, "#shop-till-team:example.org", "eve");
	assert_members(&c, "#till-team:example.org", "fay");
	assert_members(&c, "#big-lab-leadership:example.org", "ann bob");
	assert_null(fleet_room(&c.fleet, "#shop-leadership:example.org"));
	assert_name(&c, "#shop-core-team:example.org", "Shop core team");
	assert_name(&c, "#till-team:example.org", "Till team");
	assert_int_equal(c.fleet.n_declared_aliases, ARRAY_LEN(aliases));
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		assert_string_equal(c.fleet.declared_aliases[i], aliases[i]);
	case_free(&c);
}

static void test_own_rooms(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		STAFF "rooms:\n"
		      "  - alias: lobby\n"
		      "    name: The lobby\n"
		      "    topic: Come in\n"
		      "    members: {everyone: true}\n"
		      "    strict: true\n"
		      "  - {alias: \"Heads-{department}\", topic: \"of "
		      "{department}\","
		      " members: {level: [VP, Manager], everyone: true}}\n"
		      "  - {alias: \"x-{team}\", name: \"Team {team}\","
		      " members: {team: \"{team}\", level: IC}}\n"
		      "  - {alias: \"{team}/{department}\","
		      " members: {department: \"{department}\"}}\n"
		      "  - {alias: shop, members: {department: Shop}}\n"
		      "  - {alias: none, members: {team: Corps}}\n");
	assert_loaded(&c, 1);
	assert_found(&c,
		"muster.yaml:19:5: warning: nobody who is deployed would be in "
		"\"none\": there is no such room for now");
	const struct room *r = fleet_room(&c.fleet, "#lobby:example.org");
	assert_string_equal(r->name, "The lobby");
	assert_string_equal(r->topic, "Come in");
	assert_true(r->strict);
	assert_int_equal(r->n_members, 8);
	assert_members(&c, "#heads-big-lab:example.org", "ann");
	assert_members(&c, "#heads-shop:example.org", "eve");
	r = fleet_room(&c.fleet, "#heads-shop:example.org");
	assert_string_equal(r->topic, "of Shop");
	assert_string_equal(r->name, "Heads Shop");
	assert_false(r->strict);
	assert_members(&c, "#x-big-lab-core:example.org", "cat");
	assert_name(&c, "#x-big-lab-core:example.org", "Team Big Lab Core");
	assert_members(&c, "#x-shop-core:example.org", "dan");
	assert_null(fleet_room(&c.fleet, "#x-till:example.org"));
	assert_members(&c, "#core/big-lab:example.org", "bob cat");
	assert_members(&c, "#till/shop:example.org", "eve");
	assert_members(&c, "#shop:example.org", "dan eve");
	/* lobby, 2 heads, 2 x, 3 with a slash (fay has no department), shop */
	assert_int_equal(c.fleet.n_rooms - c.fleet.n_direct, 9);
	case_free(&c);
	case_run(&c, NULL, NULL, STAFF "rooms: []\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_rooms, c.fleet.n_direct);
	case_free(&c);
}

/* A human is where the files say that the human belongs. */
static void test_human_members(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\":[{\"name\":\"Vi\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"matrixId\":\"@vi:example.org\"},"
		"{\"name\":\"Ed\",\"level\":\"Director\","
		"\"department\":\"Lab\",\"team\":\"T\","
		"\"matrixId\":\"@ed:example.org\","
		"\"reportsTo\":\"@vi:example.org\"},"
		"{\"name\":\"Zoe\",\"level\":\"CEO\","
		"\"department\":\"Head\",\"matrixId\":\"@zoe:example.org\"}]}",
		NULL,
		"humans: [\"@vi:example.org\"]\n"
		"rooms:\n"
		"  - {alias: all, members: {everyone: true}}\n"
		"  - {alias: \"{department}\","
		" members: {level: [VP, Director]}}\n"
		"  - {alias: top, members: {level: [CEO, VP]}}\n");
	assert_loaded(&c, 0);
	assert_members(&c, "#lab:example.org", "ed vi");
	assert_members(&c, "#all:example.org", "ed vi zoe");
	assert_members(&c, "#top:example.org", "vi zoe");
	assert_null(fleet_room(&c.fleet, "#head:example.org"));
	assert_int_equal(c.fleet.n_direct, 1);
	assert_string_equal(c.fleet.rooms[c.fleet.n_rooms - 1].name, "Ed");
	case_free(&c);
}

static void test_wrong_rules(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a}]\n"
		"rooms:\n"
		"  - {alais: x, members: {everyone: true}}\n"
		"  - {alias: \"#x:example.org\", members: {everyone: true}}\n"
		"  - {alias: \"{teem}\", members: {everyone: no}}\n"
		"  - {alias: \"{team\", members: {}}\n"
		"  - {alias: y, name: \"{team}\"}\n"
		"  - {alias: \"{department}\", members: {team: \"{team}\","
		" levels: IC}}\n"
		"  - {alias: z, topic: \"{department}\", strict: maybe,"
		" members: {level: [IC, Boss, [x]]}}\n"
		"  - all\n"
		"  - {alias: w, members: {level: [], team: ~}}\n"
		"  - {alias: v, members: {team: ~}}\n");
	assert_found(&c,
		"muster.yaml:3:6: rooms[0]: unknown key \"alais\": did you "
		"mean alias?");
	assert_found(&c, "muster.yaml:3:5: rooms[0].alias: is missing");
	assert_found(&c,
		"muster.yaml:4:13: rooms[1].alias: expected only what stands "
		"between # and :, without white space");
	assert_found(&c,
		"muster.yaml:5:13: rooms[2].alias: \"{teem}\" is unknown: "
		"expected {department} or {team}");
	assert_found(&c,
		"muster.yaml:5:43: rooms[2].members.everyone: expected true "
		"(leave it out otherwise)");
	assert_found(&c, "muster.yaml:6:13: rooms[3].alias: a { without its }");
	assert_found(&c,
		"muster.yaml:6:31: rooms[3].members: is empty: expected "
		"everyone, level, department, team, members, any, all or "
		"except");
	assert_found(&c,
		"muster.yaml:7:22: rooms[4].name: {team} can only stand here "
		"when it is in the alias");
	assert_found(&c,
		"muster.yaml:7:5: rooms[4].members: is missing: who is in the "
		"room, such as {everyone: true}");
	assert_found(&c,
		"muster.yaml:8:45: rooms[5].members.team: {team} can only "
		"stand here "
		"when it is in the alias");
	assert_found(&c,
		"muster.yaml:8:55: rooms[5].members: unknown key \"levels\": "
		"did you mean level?");
	assert_found(&c,
		"muster.yaml:9:23: rooms[6].topic: {department} can only stand "
		"here when it (or {team}) is in the alias");
	assert_found(&c,
		"muster.yaml:9:47: rooms[6].strict: expected true or false");
	assert_found(&c,
		"muster.yaml:9:76: rooms[6].members.level: \"Boss\" is no "
		"level: expected CEO, VP, Director, Manager or IC");
	assert_found(&c,
		"muster.yaml:9:82: rooms[6].members.level: expected a level or "
		"a list");
	assert_found(&c,
		"muster.yaml:10:5: rooms[7]: expected a map (key: value), "
		"found a text");
	assert_found(&c,
		"muster.yaml:11:33: rooms[8].members.level: the list is empty");
	assert_found(&c,
		"muster.yaml:12:25: rooms[9].members: is empty: expected "
		"everyone, level, department, team, members, any, all or "
		"except");
	assert_errors(&c, 18);
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: [{id: a}]\nrooms: all\n");
	assert_errors(&c, 1);
	assert_found(
		&c, "muster.yaml:2:8: rooms: expected a list, found a text");
	case_free(&c);
}

static void test_one_alias_twice(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents:\n"
		"  - {id: a, department: Lab, team: Red Team}\n"
		"  - {id: b, department: Lab, team: red  team}\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:3:10: two rooms would have the alias "
		"#red-team-team:example.org: that of team \"Red Team\" of "
		"department \"Lab\" and that of team \"red  team\" of "
		"department \"Lab\": rename one of the two");
	case_free(&c);
	case_run(&c, NULL, NULL,
		"agents: [{id: a, department: All}]\n"
		"rooms:\n"
		"  - {alias: \"{department}-hands\","
		" members: {everyone: true}}\n"
		"  - {alias: all-hands, members: {everyone: true}}\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:4:5: two rooms would have the alias "
		"#all-hands:example.org: that of department \"All\" and that "
		"of the policy's \"all-hands\": give one rule another alias");
	case_free(&c);
}

/* Where the other would have no members there is only one room. */
static void test_one_alias_once(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a, level: IC}]\n"
		"rooms:\n"
		"  - {alias: x, members: {level: VP}}\n"
		"  - {alias: x, members: {level: IC}}\n");
	assert_loaded(&c, 1);
	assert_members(&c, "#x:example.org", "a");
	assert_int_equal(c.fleet.n_declared_aliases, 1);
	case_free(&c);
}

static void test_alias_length(void **state)
{
	struct fleet_case c;
	char self[512], team[256];
	(void)state;
	/* # and -team:example.org are 18 bytes. */
	memset(team, 'x', sizeof(team));
	team[237] = '\0';
	snprintf(self, sizeof(self),
		"agents: [{id: a, department: Lab, team: %s}]\n", team);
	case_run(&c, NULL, NULL, self);
	assert_loaded(&c, 0);
	case_free(&c);
	team[237] = 'x';
	team[238] = '\0';
	snprintf(self, sizeof(self),
		"agents: [{id: a, department: Lab, team: %s}]\n", team);
	case_run(&c, NULL, NULL, self);
	assert_errors(&c, 1);
	assert_non_null(strstr(c.report.items[0].text,
		"... is 256 bytes long; 255 are allowed, with # and server"));
	assert_int_equal(c.report.items[0].line, 1);
	assert_int_equal(c.report.items[0].column, 15);
	case_free(&c);
}

static void test_room_of_administrators(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: a, department: ADMINS}]\n"
		"rooms:\n"
		"  - {alias: \"{department}\","
		" members: {department: \"{department}\"}}\n"
		"  - {alias: admins-too, members: {everyone: true}}\n");
	assert_found(&c,
		"muster.yaml:3:5: #admins is Conduit's own room of "
		"administrators: choose another alias");
	assert_errors(&c, 1);
	case_free(&c);
}

/* --- direct rooms --- */

static void assert_pairs(bool reports, bool peers, bool team, const char *want)
{
	struct fleet_case c;
	struct buf got;
	case_init(&c);
	case_files(&c, NULL, NULL, STAFF "rooms: []\n");
	c.src.manager_report = reports;
	c.src.manager_peers = peers;
	c.src.team_peers = team;
	case_load(&c);
	assert_loaded(&c, 0);
	buf_init(&got, 64 * KIB);
	for (size_t i = 0; i < c.fleet.n_rooms; i++) {
		const struct room *r = &c.fleet.rooms[i];
		buf_addf(&got, "%s%s>%s", i ? " " : "", r->maker->localpart,
			r->other->localpart);
	}
	assert_string_equal(buf_str(&got), want);
	buf_free(&got);
	case_free(&c);
}

static void test_direct_kinds(void **state)
{
	(void)state;
	assert_pairs(false, false, false, "");
	assert_pairs(true, false, false,
		"ann>bob ann>boss ann>dan bob>cat eve>boss");
	assert_pairs(false, true, false, "ann>eve bob>dan");
	/* dan's core is not the Core of the other department, nor fay's Till,
	 * who has no department, that of the Shop. */
	assert_pairs(false, false, true, "bob>cat");
	assert_pairs(true, true, true,
		"ann>bob ann>boss ann>dan ann>eve bob>cat bob>dan eve>boss");
}

/* A team without a department is a team, and one of its own. */
static void test_direct_without_department(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents:\n"
		"  - {id: ann, team: Till}\n"
		"  - {id: bob, team: Till}\n"
		"  - {id: cat, team: Till, department: Shop}\n"
		"  - {id: dan, team: Core}\n"
		"  - {id: eve}\n"
		"  - {id: fay}\n");
	assert_loaded(&c, 0);
	assert_members(&c, "#till-team:example.org", "ann bob");
	assert_int_equal(c.fleet.n_direct, 1);
	assert_non_null(
		fleet_room(&c.fleet, "@ann:example.org @bob:example.org"));
	case_free(&c);
}

static void test_direct_humans(void **state)
{
	struct fleet_case c;
	(void)state;
	/* Two humans, one the other's boss, both of one team with the agent;
	 * and the bot, who knows nobody. */
	case_run(&c,
		"{\"people\":[{\"name\":\"Zoe\",\"level\":\"CEO\","
		"\"department\":\"Lab\",\"team\":\"T\","
		"\"matrixId\":\"@zoe:example.org\"},"
		"{\"name\":\"Vi\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"team\":\"T\","
		"\"reportsTo\":\"@zoe:example.org\","
		"\"matrixId\":\"@vi:example.org\"},"
		"{\"name\":\"Ed\",\"level\":\"VP\","
		"\"department\":\"Lab\",\"team\":\"T\","
		"\"reportsTo\":\"@zoe:example.org\","
		"\"matrixId\":\"@zz.ed:example.org\"}]}",
		"ceo: {matrixId: \"@zoe:example.org\"}\n"
		"commandCenter: {taskAssignmentBotMatrixId: "
		"\"@bot:example.org\"}\n"
		"departments: {Lab: {enabled: true, vp: 2, directors: 0,"
		" managers: 0, ics: 0}}\n",
		"humans: [\"@vi:example.org\"]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_direct, 1);
	const struct room *r =
		fleet_room(&c.fleet, "@zoe:example.org @zz.ed:example.org");
	assert_non_null(r);
	assert_string_equal(r->name, "Ed");
	assert_string_equal(r->maker->localpart, "zz.ed");
	assert_string_equal(r->other->localpart, "zoe");
	assert_members(&c, "#all-employees:example.org", "bot vi zoe zz.ed");
	case_free(&c);
}

static void test_direct_limit(void **state)
{
	struct fleet_case c;
	struct buf self;
	(void)state;
	buf_init(&self, MIB);
	buf_add(&self, "agents:\n");
	/* 2,001 people of one team are 2,001,000 pairs. */
	for (int i = 0; i < 2001; i++)
		buf_addf(&self, "- {id: a%d, department: D, team: T}\n", i);
	case_run(&c, NULL, NULL, buf_str(&self));
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml: direct: about 2001000 direct rooms, more than "
		"2000000: switch off team_peers or manager_peers, or make the "
		"teams smaller");
	case_free(&c);
	buf_free(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_totals),
		cmocka_unit_test(test_example_totals),
		cmocka_unit_test(test_reference_rooms),
		cmocka_unit_test(test_example_names),
		cmocka_unit_test(test_default_rooms),
		cmocka_unit_test(test_own_rooms),
		cmocka_unit_test(test_human_members),
		cmocka_unit_test(test_wrong_rules),
		cmocka_unit_test(test_one_alias_twice),
		cmocka_unit_test(test_one_alias_once),
		cmocka_unit_test(test_alias_length),
		cmocka_unit_test(test_room_of_administrators),
		cmocka_unit_test(test_direct_kinds),
		cmocka_unit_test(test_direct_without_department),
		cmocka_unit_test(test_direct_humans),
		cmocka_unit_test(test_direct_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
