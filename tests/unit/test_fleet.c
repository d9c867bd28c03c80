/*
 * tests/unit/test_fleet.c: who is in the fleet: the files read, people chosen.
 */
#include "appservice/fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/fleet/fleet_priv.h"
#include "base/str.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/fleet_texts.h"
#include "tests/unit/test.h"

#include "base/poison.h"

static void assert_people(const struct person **list, size_t n,
	const char *const *want, size_t n_want)
{
	for (size_t i = 0; i < n && i < n_want; i++)
		assert_string_equal(list[i]->user_id, want[i]);
	assert_int_equal(n, n_want);
}

static bool is_deployed(const struct fleet_case *c, const char *id)
{
	const struct person *p = fleet_person(&c->fleet, id);
	assert_non_null(p);
	return p->deployed;
}

/* --- whole fleets --- */

static void test_reference_chosen(void **state)
{
	static const char *const agents[] = {
		"@aaron.phillips:anycompany.corp",
		"@allison.butler:anycompany.corp",
		"@allison.lopez:anycompany.corp",
		"@allison.roberts:anycompany.corp",
		"@angel.baker:anycompany.corp",
		"@anthony.hernandez:anycompany.corp",
		"@austin.bailey:anycompany.corp",
		"@beau.martinez:anycompany.corp",
		"@evelyn.thompson:anycompany.corp",
		"@task.assignments:anycompany.corp",
	};
	static const char *const humans[] = { "@manu.mishra:anycompany.corp" };
	const char *fixtures = getenv("MUSTER_FIXTURES");
	struct fleet_case c;
	(void)state;
	if (!fixtures)
		return;
	case_init(&c);
	c.src.server_name = "anycompany.corp";
	case_folder(&c, fixtures, true);
	assert_loaded(&c, 0);
	assert_people(
		c.fleet.agents, c.fleet.n_agents, agents, ARRAY_LEN(agents));
	assert_people(c.fleet.humans, c.fleet.n_humans, humans, 1);
	assert_int_equal(c.fleet.n_people, 1002);
	assert_int_equal(c.fleet.n_named, 1001);
	assert_int_equal(c.fleet.n_declared_users, 1001);

	const struct person *bot = fleet_person(&c.fleet, agents[9]);
	assert_true(bot->bot);
	assert_string_equal(bot->name, "Task Assignments");
	assert_null(bot->department);
	const struct person *roberts = fleet_person(&c.fleet, agents[3]);
	assert_string_equal(roberts->name, "Allison Roberts");
	assert_string_equal(roberts->localpart, "allison.roberts");
	assert_string_equal(roberts->department, "Engineering");
	assert_string_equal(roberts->team, "Infrastructure");
	assert_string_equal(roberts->level, "IC");
	assert_string_equal(roberts->manager, "@allison.lopez:anycompany.corp");
	assert_false(roberts->human);
	assert_false(is_deployed(&c, "@samantha.reed:anycompany.corp"));
	case_free(&c);
}

static void test_reference_everybody(void **state)
{
	const char *fixtures = getenv("MUSTER_FIXTURES");
	struct fleet_case c;
	(void)state;
	if (!fixtures)
		return;
	case_init(&c);
	c.src.server_name = "anycompany.corp";
	case_folder(&c, fixtures, false);
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_people, 1001);
	assert_int_equal(c.fleet.n_agents, 1000);
	assert_int_equal(c.fleet.n_humans, 1);
	assert_int_equal(c.fleet.n_declared_users, 1000);
	case_free(&c);
}

static void test_example_chosen(void **state)
{
	static const char *const agents[] = {
		"@adaeze.eriksen:fleet.example",
		"@adaeze.verhoeven:fleet.example",
		"@alda.bekele:fleet.example",
		"@asa.iyer:fleet.example",
		"@asa.tchaikov:fleet.example",
		"@bram.zoltan:fleet.example",
		"@brigida.hashimoto:fleet.example",
		"@gerda.madsen:fleet.example",
		"@task.desk:fleet.example",
		"@tove.rantala:fleet.example",
	};
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.server_name = "fleet.example";
	case_folder(&c, examples_folder(), true);
	assert_loaded(&c, 0);
	assert_people(
		c.fleet.agents, c.fleet.n_agents, agents, ARRAY_LEN(agents));
	assert_int_equal(c.fleet.n_people, 1002);
	assert_int_equal(c.fleet.n_named, 1001);
	assert_string_equal(
		fleet_person(&c.fleet, agents[3])->name, "Åsa Iyer");
	/* Where the files say so: the 2nd person's matrixId. */
	const struct person *vp = fleet_person(&c.fleet, agents[0]);
	const struct person *ceo = c.fleet.humans[0];
	assert_string_equal(ceo->user_id, "@philippa.tidewater:fleet.example");
	assert_int_equal(vp->place.column, 19);
	assert_int_equal(
		fleet_person(&c.fleet, "@task.desk:fleet.example")->place.line,
		20);
	case_free(&c);
}

/* --- choosing --- */

static void test_choose_by_name(void **state)
{
	struct fleet_case c;
	(void)state;
	/* As a person sorts: Älva is before Bea, case does not count, and of
	 * two with one name the first of the file comes first. */
	case_run(&c,
		ORG(CEO ",\n" P("Vera", "VP", "Lab", "null", "@vera",
			B("@zoe")) ",\n" P("Dora", "Director", "Lab",
			"\"Core\"", "@dora", B("@vera")) ",\n" P("Mia",
			"Manager", "Lab", "\"Core\"", "@mia",
			B("@dora")) ",\n" P("Bea", "IC", "Lab", "\"Core\"",
			"@bea", B("@mia")) ",\n" P("Älva", "IC", "Lab",
			"\"Core\"", "@alva", B("@mia")) ",\n" P("bart", "IC",
			"Lab", "\"Core\"", "@bart", B("@mia")) ",\n" P("Bea",
			"IC", "Lab", "\"Core\"", "@abea", B("@mia"))),
		CONFIG("vp: 1, directors: 1, managers: 1, ics: 3"), NULL);
	assert_loaded(&c, 0);
	assert_true(is_deployed(&c, "@alva:example.org"));
	assert_true(is_deployed(&c, "@bart:example.org"));
	assert_true(is_deployed(&c, "@bea:example.org"));
	assert_false(is_deployed(&c, "@abea:example.org"));
	case_free(&c);
}

static void test_choose_by_chain(void **state)
{
	struct fleet_case c;
	(void)state;
	/* Abel's director was not chosen, so Abel cannot be, though he is
	 * first by name; nor can the IC who reports to a director. */
	case_run(&c,
		ORG(CEO ",\n" P("Vera", "VP", "Lab", "null", "@vera",
			B("@zoe")) ",\n" P("Anna", "Director", "Lab",
			"\"Core\"", "@anna", B("@vera")) ",\n" P("Dora",
			"Director", "Lab", "\"Edge\"", "@dora",
			B("@vera")) ",\n" P("Abel", "Manager", "Lab",
			"\"Edge\"", "@abel", B("@dora")) ",\n" P("Mia",
			"Manager", "Lab", "\"Core\"", "@mia",
			B("@anna")) ",\n" P("Ada", "IC", "Lab", "\"Core\"",
			"@ada", B("@anna")) ",\n" P("Ola", "IC", "Lab",
			"\"Core\"", "@ola", B("@mia"))),
		CONFIG("vp: 1, directors: 1, managers: 2, ics: 9"), NULL);
	assert_loaded(&c, 2);
	assert_found(&c,
		"config.yaml:3:3: warning: departments.Lab.managers asks for "
		"2, the organisation has 1 who report to somebody chosen "
		"above them");
	assert_int_equal(c.fleet.n_agents, 4);
	assert_true(is_deployed(&c, "@mia:example.org"));
	assert_true(is_deployed(&c, "@ola:example.org"));
	assert_false(is_deployed(&c, "@ada:example.org"));
	/* All of them may be deployed one day. */
	assert_int_equal(c.fleet.n_declared_users, 7);
	case_free(&c);
}

static void test_choose_disabled(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"departments:\n"
		"  Lab: {enabled: false, vp: 1}\n"
		"  Labs: {enabled: true, vp: 1, directors: 0, managers: 0,"
		" ics: 0}\n",
		NULL);
	assert_loaded(&c, 1);
	assert_found(&c,
		"config.yaml:3:3: warning: departments.Labs: nobody in the "
		"organisation is of it: did you mean Lab?");
	assert_int_equal(c.fleet.n_agents, 0);
	/* No ceo in the configuration: the organisation's is. */
	assert_int_equal(c.fleet.n_humans, 1);
	case_free(&c);
}

/* A human in the chain keeps the seat, and is not made an agent. */
static void test_choose_human_vp(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		CONFIG("vp: 1, directors: 1, managers: 0, ics: 0"),
		"humans: [\"@vera:example.org\"]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_humans, 2);
	assert_int_equal(c.fleet.n_agents, 1);
	assert_true(fleet_person(&c.fleet, "@vera:example.org")->human);
	assert_string_equal(c.fleet.agents[0]->user_id, "@dora:example.org");
	assert_int_equal(c.fleet.n_declared_users, 4);
	case_free(&c);
}

/* The organisation knows the chief's name, department and level. */
static void test_ceo_in_org(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"ceo: {name: Another Name, matrixId: \"@zoe:example.org\"}\n"
		"departments: {}\n",
		"humans: [{id: h, name: First}, {id: h, name: Second}]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_humans, 2);
	assert_string_equal(c.fleet.humans[0]->name, "First");
	const struct person *ceo = c.fleet.humans[1];
	assert_string_equal(ceo->name, "Zoe Chief");
	assert_string_equal(ceo->department, "Executive");
	assert_string_equal(ceo->level, "CEO");
	assert_true(ceo->deployed);
	case_free(&c);
}

static void test_ceo_not_in_org(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"ceo: {name: Ann Other, matrixId: \"@ann:example.org\"}\n"
		"departments: {}\n",
		NULL);
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_humans, 1);
	assert_string_equal(c.fleet.humans[0]->name, "Ann Other");
	assert_int_equal(c.fleet.humans[0]->place.line, 1);
	assert_int_equal(c.fleet.humans[0]->place.column, 34);
	/* A chief is never an agent, the fleet's or not. */
	assert_true(fleet_person(&c.fleet, "@zoe:example.org")->human);
	assert_false(is_deployed(&c, "@zoe:example.org"));
	case_free(&c);
}

/* --- by hand --- */

static void test_by_hand(void **state)
{
	static const char *const agents[] = { "@helper.two:example.org",
		"@helper:example.org" };
	static const char *const humans[] = { "@ann:example.org",
		"@Bob:elsewhere.net:8448" };
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"humans:\n"
		"  - \"@Bob:elsewhere.net:8448\"\n"
		"  - {id: \"@ann:example.org\", name: Ann}\n"
		"agents:\n"
		"  - {id: helper, name: Helper, department: Lab, level: IC,"
		" manager: helper.two}\n"
		"  - id: \"@helper.two:example.org\"\n"
		"    manager: \"@ann:example.org\"\n"
		"    team: ~\n");
	assert_loaded(&c, 0);
	assert_people(c.fleet.agents, c.fleet.n_agents, agents, 2);
	assert_int_equal(c.fleet.n_humans, 2);
	assert_int_equal(c.fleet.n_named, 4);
	assert_string_equal(c.fleet.humans[0]->user_id, humans[1]);
	assert_string_equal(c.fleet.humans[1]->user_id, humans[0]);
	assert_string_equal(c.fleet.humans[1]->name, "Ann");
	const struct person *p = fleet_person(&c.fleet, agents[0]);
	assert_string_equal(p->name, "Helper Two");
	assert_string_equal(p->manager, "@ann:example.org");
	assert_null(p->department);
	assert_null(p->level);
	p = fleet_person(&c.fleet, agents[1]);
	assert_string_equal(p->manager, agents[0]);
	assert_string_equal(p->department, "Lab");
	assert_int_equal(p->place.line, 5);
	assert_int_equal(p->place.column, 10);
	assert_null(fleet_person(&c.fleet, "@nobody:example.org"));
	case_free(&c);
}

static void test_by_hand_and_org(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		CONFIG("vp: 1, directors: 0, managers: 0, "
		       "ics: 0"),
		"agents: [{id: extra, manager: vera, department: Lab}]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_agents, 2);
	assert_int_equal(c.fleet.n_declared_users, 6);
	case_free(&c);
}

static void test_by_hand_wrong(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"humans: [{nam: x}, 7, \"@x:\", {id: \"@UP:example.org\"}]\n"
		"agents:\n"
		"  - {id: a, deparment: Lab}\n"
		"  - {name: b}\n"
		"  - {id: c, level: Manger}\n"
		"  - {id: \"@d:other.org\", team: [x]}\n"
		"  - just text\n"
		"  - {id: e f, manager: nobody}\n"
		"  - {id: g, level: CEO, name: \"\"}\n");
	assert_errors(&c, 14);
	assert_found(&c,
		"muster.yaml:1:11: fleet.humans[0]: unknown key \"nam\": did "
		"you mean name?");
	assert_found(&c,
		"muster.yaml:1:10: fleet.humans[0]: expected the id of a "
		"person, @name:server");
	assert_found(&c,
		"muster.yaml:1:23: fleet.humans[2]: \"@x:\" is no user id: "
		"expected @name:example.org");
	assert_found(&c,
		"muster.yaml:1:35: fleet.humans[3]: user id "
		"\"@UP:example.org\" has an upper-case letter");
	assert_found(&c,
		"muster.yaml:3:13: fleet.agents[0]: unknown key \"deparment\": "
		"did you mean department?");
	assert_found(&c, "muster.yaml:4:5: fleet.agents[1]: \"id\" is missing");
	assert_found(&c,
		"muster.yaml:5:20: fleet.agents[2].level: \"Manger\" is no "
		"level: expected VP, Director, Manager or IC (did you mean "
		"Manager?)");
	assert_found(&c,
		"muster.yaml:6:10: fleet.agents[3]: \"@d:other.org\" is not of "
		"this server: expected @...:example.org "
		"(homeserver.server_name)");
	assert_found(&c,
		"muster.yaml:6:32: fleet.agents[3].team: expected a text, "
		"found a list");
	assert_found(&c,
		"muster.yaml:7:5: fleet.agents[4]: expected a map (key: "
		"value), found a text");
	assert_found(&c,
		"muster.yaml:8:24: @e f:example.org reports to "
		"@nobody:example.org, who is not there");
	assert_found(&c,
		"muster.yaml:9:20: fleet.agents[6].level: \"CEO\" is no level: "
		"expected VP, Director, Manager or IC");
	assert_found(&c,
		"muster.yaml:9:31: fleet.agents[6].name: expected a text, "
		"found an empty one");
	case_free(&c);
}

static void test_nobody(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL, NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:1:1: nothing says who the agents are: set "
		"fleet.org "
		"(perhaps with fleet.config) or fleet.agents");
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: ~\nhumans: [\"@x:y.z\"]\n");
	assert_errors(&c, 1);
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: []\nhumans: [\"@x:y.z\"]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_agents, 0);
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: {id: x}\nhumans: ~\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:1:9: fleet.agents: expected a list, found a map");
	case_free(&c);
}

/* --- names --- */

static void test_names(void **state)
{
	static const char *const pairs[][2] = { { "task.assignments",
							"Task Assignments" },
		{ "a-b__c/d", "A B C D" }, { "..x.", "X" }, { "...", "..." },
		{ "r2d2", "R2d2" }, { "7up", "7up" } };
	static const char *const folds[][2] = { { "ÅSA Ñandú", "asa nandu" },
		{ "Łódź", "lodz" }, { "Œuvre ŒŒ", "oeuvre oeoe" },
		{ "Straße", "strasse" }, { "Þór ſs Žž", "thor ss zz" },
		{ "e\xcc\x81t\xc3\xa9 ×", "ete ×" }, { "Ωμ", "Ωμ" } };
	struct arena a = { 0 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		assert_string_equal(
			name_of_localpart(&a, pairs[i][0]), pairs[i][1]);
	for (size_t i = 0; i < ARRAY_LEN(folds); i++)
		assert_string_equal(name_fold(&a, folds[i][0]), folds[i][1]);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference_chosen),
		cmocka_unit_test(test_reference_everybody),
		cmocka_unit_test(test_example_chosen),
		cmocka_unit_test(test_choose_by_name),
		cmocka_unit_test(test_choose_by_chain),
		cmocka_unit_test(test_choose_disabled),
		cmocka_unit_test(test_choose_human_vp),
		cmocka_unit_test(test_ceo_in_org),
		cmocka_unit_test(test_ceo_not_in_org),
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_by_hand_and_org),
		cmocka_unit_test(test_by_hand_wrong),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
