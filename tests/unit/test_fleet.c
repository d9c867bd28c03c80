/*
 * tests/unit/test_fleet.c: who is in the fleet: the files read, people chosen,
 * and every way in which the files can be wrong, with its place.
 */
#include "appservice/fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/fleet/fleet_priv.h"
#include "base/str.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/test.h"

#include "base/poison.h"

/* A person of org.json on a line of its own. */
#define P(name, level, dept, team, id, boss)                                   \
	"{\"name\":\"" name "\",\"level\":\"" level                            \
	"\",\"department\":\"" dept "\",\"team\":" team ",\"matrixId\":\"" id  \
	":example.org\",\"reportsTo\":" boss "}"
#define B(id) "\"" id ":example.org\""
#define ORG(people) "{\"people\":[\n" people "\n]}\n"
#define CEO P("Zoe Chief", "CEO", "Executive", "null", "@zoe", "null")

#define SMALL_ORG                                                              \
	ORG(CEO ",\n" P("Vera", "VP", "Lab", "null", "@vera",                  \
		B("@zoe")) ",\n" P("Dora", "Director", "Lab", "\"Core\"",      \
		"@dora", B("@vera")) ",\n" P("Mia", "Manager", "Lab",          \
		"\"Core\"", "@mia", B("@dora")) ",\n" P("Ida", "IC", "Lab",    \
		"\"Core\"", "@ida", B("@mia")) ",\n" P("Ola", "IC", "Lab",     \
		"\"Core\"", "@ola", B("@mia")))

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

#define CONFIG(counts)                                                         \
	"ceo: {name: Zoe Chief, matrixId: \"@zoe:example.org\"}\n"             \
	"departments:\n"                                                       \
	"  Lab: {enabled: true, " counts "}\n"

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
		"muster.yaml: nothing says who the agents are: set fleet.org "
		"(perhaps with fleet.config) or fleet.agents");
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: []\nhumans: [\"@x:y.z\"]\n");
	assert_errors(&c, 1);
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: {id: x}\nhumans: ~\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:1:9: fleet.agents: expected a list, found a map");
	case_free(&c);
}

/* --- wrong files --- */

static void test_missing_files(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.org_path = c.paths[0];
	c.src.config_path = c.paths[1];
	case_load(&c);
	assert_errors(&c, 2);
	assert_found(
		&c, "org.json: there is no such file (fleet.org names it)");
	assert_found(&c,
		"config.yaml: there is no such file (fleet.config names it)");
	case_free(&c);
}

static void test_server_name(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	case_files(&c, SMALL_ORG, NULL, NULL);
	c.src.server_name = "exa mple.org";
	case_load(&c);
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml: homeserver.server_name: \"exa mple.org\" is no "
		"server name: expected a host name, perhaps with :port");
	case_free(&c);
}

static void test_org_shape(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, "{\"people\": [\n  1,,\n]}", NULL, NULL);
	assert_errors(&c, 1);
	assert_int_equal(c.report.items[0].line, 2);
	assert_int_equal(c.report.items[0].column, 5);
	case_free(&c);
	case_run(&c, "{\n \"poeple\": []}", NULL, NULL);
	assert_errors(&c, 1);
	assert_found(
		&c, "org.json:1:1: expected \"people\", a list of persons");
	assert_found(&c,
		"org.json:2:2: warning: \"poeple\" is not read: did you mean "
		"people?");
	case_free(&c);
	case_run(&c, "{\n \"people\": {}}", NULL, NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:2:12: expected \"people\", a list of persons, found "
		"an object");
	case_free(&c);
}

/* Also where both say the same. */
static void test_org_key_twice(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\":[\n" CEO ",\n"
		"{\"name\":\"A\",\"level\":\"IC\",\"department\":\"D\",\n"
		" \"matrixId\":\"@a:example.org\",\n \"level\": \"IC\"}]}",
		NULL, NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:5:2: found the key \"level\" a second time, expected "
		"each key of an object once");
	case_free(&c);
}

/* Columns count characters, not bytes. */
static void test_org_columns(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"ü\":\"ü\",\"people\":[{\"name\":\"n\",\"level\":\"IC\","
		"\"department\":\"D\",\"matrixId\":5}]}",
		NULL, NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:1:73: people[0].matrixId: expected a text, found an "
		"integer");
	case_free(&c);
}

static void test_org_fields(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"note\": \"ü \\\"people\\\": [1]\", \"people\": [\n"
		"  \"Bob\",\n"
		"  {\"level\": \"IC\", \"department\": null,"
		" \"matrixId\": \"@a:example.org\"},\n"
		"  {\n"
		"    \"name\": \"ö\", \"level\": \"Directer\",\n"
		"    \"department\": \"\",\n"
		"    \"team\": [\"x]\"], \"matrixId\": \"@b:else.org\",\n"
		"    \"reportsTo\": {\"id\": \"}\"}\n"
		"  }, {\"name\": 5, \"level\": \"IC\", \"department\": \"D\","
		" \"matrixId\": \"@Cé:example.org\"},\n"
		"  {\"name\": \"n\", \"level\": \"IC\","
		" \"department\": \"D\"}\n"
		"]}",
		NULL, NULL);
	assert_found(&c,
		"org.json:2:3: people[0]: expected a person ({...}), found a "
		"string");
	assert_found(&c, "org.json:3:3: people[1]: \"name\" is missing");
	assert_found(&c,
		"org.json:3:33: people[1].department: expected a text, found "
		"null");
	assert_found(&c,
		"org.json:5:27: people[2].level: \"Directer\" is no level: "
		"expected CEO, VP, Director, Manager or IC (did you mean "
		"Director?)");
	assert_found(&c,
		"org.json:6:19: people[2].department: expected a text, found "
		"an empty one");
	assert_found(&c,
		"org.json:7:13: people[2].team: expected a text or null, found "
		"an array");
	assert_found(&c,
		"org.json:7:33: people[2]: \"@b:else.org\" is not of this "
		"server: expected @...:example.org (homeserver.server_name)");
	assert_found(&c,
		"org.json:8:18: people[2].reportsTo: expected a text or null, "
		"found an object");
	assert_found(&c,
		"org.json:9:15: people[3].name: expected a text, found an "
		"integer");
	assert_found(&c, "org.json:10:3: people[4]: \"matrixId\" is missing");
	assert_int_equal(c.report.items[8].line, 9);
	assert_int_equal(c.report.items[8].column, 64);
	assert_errors(&c, 11);
	case_free(&c);
}

static void test_people_checks(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		ORG(P("A", "IC", "D", "null", "@a", B("@gone")) ",\n" P("A2",
			"IC", "D", "null", "@a", "null") ",\n" P("M", "IC", "D",
			"null", "@muster", "null") ",\n" P("C", "IC", "D",
			"null", "@conduit", "null") ",\n" P("S", "IC", "../x",
			"null", "@s", "null") ",\n" P("L", "IC", "D", "null",
			"@x/y", "null") ",\n" P("U", "IC", "D", "null", "@A",
			"null") ",\n" P("E", "IC", "D", "null", "@e", B("@a"))),
		NULL, "agents: [{id: e}]\nhumans: [\"@e:example.org\"]\n");
	assert_found(&c,
		"org.json:2:95: @a:example.org reports to @gone:example.org, "
		"who is not there");
	assert_found(&c,
		"org.json:8:66: @A:example.org differs from @a:example.org "
		"(org.json:2) only in upper and lower case");
	assert_found(&c,
		"org.json:3:67: @a:example.org is there twice: also at "
		"org.json:2; every agent needs an id of its own");
	assert_found(&c,
		"muster.yaml:1:15: @e:example.org is there twice: also at "
		"org.json:9; every agent needs an id of its own");
	assert_found(&c,
		"org.json:4:66: @muster:example.org is the service's own user "
		"(appservice.sender): nobody else can have its id");
	assert_found(&c,
		"org.json:5:66: @conduit:example.org is the homeserver's own "
		"user: nobody else can have its id");
	assert_found(&c,
		"org.json:6:69: @s:example.org: department \"../x\" cannot be "
		"the name of a directory: no slash or control character, not "
		". or ..");
	assert_found(&c,
		"org.json:7:66: @x/y:example.org: the name before the colon "
		"cannot be the name of the agent's directory: no slash, not . "
		"or ..");
	assert_errors(&c, 9); /* and the upper-case letter itself */
	case_free(&c);
}

/* When most ids are of one other server, that is one finding. */
static void test_other_server(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	case_files(&c, SMALL_ORG,
		"ceo: {matrixId: \"@zoe:example.org\"}\n"
		"departments: {}\n",
		"agents: [{id: a}, {id: \"@b:third.org\"}]\n"
		"humans: [\"@x:fourth.org\", \"@y:fourth.org\"]\n");
	c.src.server_name = "example.com";
	case_load(&c);
	assert_errors(&c, 2);
	assert_found(&c,
		"org.json:2:83: 7 of 9 user ids are of the server example.org, "
		"this one first, but homeserver.server_name is example.com: "
		"correct homeserver.server_name, or the ids in the file");
	assert_found(&c,
		"muster.yaml:1:24: fleet.agents[1]: \"@b:third.org\" is not of "
		"this server: expected @...:example.com "
		"(homeserver.server_name)");
	case_free(&c);
}

/* Half of them are not most. */
static void test_other_servers(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, NULL, NULL,
		"agents: [{id: \"@a:other.org\"}, {id: b},\n"
		"  {id: c}, {id: \"@d:other.org\"}]\n");
	assert_errors(&c, 2);
	assert_found(&c,
		"muster.yaml:2:17: fleet.agents[3]: \"@d:other.org\" is not of "
		"this server: expected @...:example.org "
		"(homeserver.server_name)");
	case_free(&c);
	case_run(&c, NULL, NULL, "agents: [{id: \"@a:other.org\"}]\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"muster.yaml:1:15: fleet.agents[0]: \"@a:other.org\" is not of "
		"this server: expected @...:example.org "
		"(homeserver.server_name)");
	case_free(&c);
}

/* A whole organisation of another server. */
static void test_example_elsewhere(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.server_name = "fleet.examples";
	case_folder(&c, examples_folder(), true);
	assert_errors(&c, 2);
	assert_non_null(strstr(c.report.items[1].text,
		"1003 of 1003 user ids are of the server fleet.example, this "
		"one first, but homeserver.server_name is fleet.examples: "));
	assert_non_null(strstr(c.report.items[0].text, "matrix.domain is"));
	case_free(&c);
}

static void test_circles(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		ORG(P("A", "IC", "D", "null", "@a", B("@b")) ",\n" P(
			"C", "IC", "D", "null", "@c", B("@b")) ",\n" P("B",
			"IC", "D", "null", "@b", B("@d")) ",\n" P("D", "IC",
			"D", "null", "@d", B("@c")) ",\n" P("S", "IC", "D",
			"null", "@s", B("@s"))),
		NULL, NULL);
	assert_errors(&c, 2);
	assert_found(&c,
		"org.json:3:95: the reports go round in a circle: "
		"@c:example.org, who reports to @b:example.org, who reports "
		"to @d:example.org, who reports to @c:example.org again");
	assert_found(&c,
		"org.json:6:95: the reports go round in a circle: "
		"@s:example.org, who reports to @s:example.org again");
	case_free(&c);
}

static void test_prefix(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.prefix = "agent-";
	case_files(&c, NULL, NULL,
		"agents: [{id: agent-a}, {id: b}]\n"
		"humans: [\"@agent-h:example.org\", \"@h:example.org\",\n"
		"  \"@agent-x:elsewhere.org\"]\n");
	case_load(&c);
	assert_errors(&c, 2);
	assert_found(&c,
		"muster.yaml:1:30: @b:example.org is not in the namespace: an "
		"agent's id must start with \"agent-\" (namespace.prefix)");
	assert_found(&c,
		"muster.yaml:2:10: @agent-h:example.org is a human, but in the "
		"namespace of the agents (namespace.prefix \"agent-\"): the "
		"service must not own it");
	case_free(&c);
}

/* Whom the fleet's configuration chooses must be in it, nobody else. */
static void test_prefix_chosen(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.prefix = "v";
	case_files(&c, SMALL_ORG,
		CONFIG("vp: 1, directors: 1, managers: 0, ics: 0"), NULL);
	case_load(&c);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:4:79: @dora:example.org is not in the namespace: an "
		"agent's id must start with \"v\" (namespace.prefix)");
	case_free(&c);

	case_init(&c);
	c.src.prefix = "v";
	case_files(&c, SMALL_ORG,
		CONFIG("vp: 1, directors: 0, managers: 0, ics: 0"), NULL);
	case_load(&c);
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_agents, 1);
	case_free(&c);
}

static void test_prefix_human(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.prefix = "z";
	case_files(&c, SMALL_ORG,
		CONFIG("vp: 0, directors: 0, managers: 0, ics: 0"), NULL);
	case_load(&c);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:2:83: @zoe:example.org is a human, but in the "
		"namespace of the agents (namespace.prefix \"z\"): the "
		"service must not own it");
	case_free(&c);
}

/* It is told together with what is wrong with others. */
static void test_prefix_and_more(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.prefix = "v";
	case_files(&c, SMALL_ORG,
		CONFIG("vp: 1, directors: 1, managers: 0, ics: 0"),
		"agents: [{id: b}, {id: v2, manager: nobody}]\n"
		"humans: [vic]\n");
	case_load(&c);
	assert_errors(&c, 3);
	case_free(&c);
}

static void test_human_and_agent(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"ceo: {matrixId: \"@extra:example.org\"}\n"
		"commandCenter: {taskAssignmentBotMatrixId: "
		"\"@ida:example.org\"}\n"
		"departments: {}\n",
		"agents: [{id: extra}]\n");
	assert_errors(&c, 2);
	assert_found(&c,
		"config.yaml:1:17: @extra:example.org is said to be a human "
		"here and an agent at muster.yaml:1");
	assert_found(&c,
		"config.yaml:2:44: @ida:example.org is there twice: also at "
		"org.json:6; every agent needs an id of its own");
	case_free(&c);
}

static void test_config_wrong(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"ceo: {name: Zoe, matrixId: \"@zoe:example.com\"}\n"
		"matrix:\n"
		"  domain: example.com\n"
		"commandCenter: {taskAssignmentBotMatrixId: [x]}\n"
		"other: programs\n"
		"departments:\n"
		"  Lab: {enabled: yes, vp: 1}\n"
		"  Ops: {enabled: true, vp: -1, directors: two, managers: 0}\n"
		"  Pit: 3\n",
		NULL);
	assert_found(&c,
		"config.yaml:1:28: ceo.matrixId: \"@zoe:example.com\" is not "
		"of this server: expected @...:example.org "
		"(homeserver.server_name)");
	assert_found(&c,
		"config.yaml:3:11: matrix.domain is \"example.com\", but "
		"homeserver.server_name is \"example.org\": they must be the "
		"same");
	assert_found(&c,
		"config.yaml:4:44: commandCenter.taskAssignmentBotMatrixId: "
		"expected a text, found a list");
	assert_found(&c,
		"config.yaml:7:18: departments.Lab.enabled: expected true or "
		"false, found yes");
	assert_found(&c,
		"config.yaml:8:28: departments.Ops.vp: expected a number from "
		"0 to 1000000, found -1");
	assert_found(&c,
		"config.yaml:8:43: departments.Ops.directors: expected a "
		"number from 0 to 1000000, found two");
	assert_found(&c,
		"config.yaml:8:8: departments.Ops: \"ics\" is missing: how "
		"many of them are deployed");
	assert_found(&c,
		"config.yaml:9:8: departments.Pit: expected a map (key: "
		"value), found a text");
	assert_errors(&c, 8);
	case_free(&c);

	case_run(&c, NULL, CONFIG("vp: 1, directors: 0, managers: 0, ics: 0"),
		"agents: [{id: a}]\n");
	assert_errors(&c, 1);
	assert_found(&c,
		"config.yaml:3:3: departments choose from the organisation, "
		"but fleet.org is not set: name its org.json there");
	case_free(&c);

	case_run(&c, SMALL_ORG, "ceo:\n\tname: x\n", NULL);
	assert_errors(&c, 1);
	assert_string_equal(c.report.items[0].file, c.src.config_path);
	assert_int_equal(c.report.items[0].line, 2);
	case_free(&c);
}

/* Without it nobody of the organisation would be deployed, silently. */
static void test_config_without_departments(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG, "# all of it\nmatrix: {domain: example.org}\n",
		NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"config.yaml:2:1: \"departments\" is missing: how many of each "
		"department are deployed ({}: nobody)");
	case_free(&c);

	case_run(&c, SMALL_ORG, "departments:\n", NULL);
	assert_errors(&c, 1);
	assert_int_equal(c.report.items[0].line, 1);
	case_free(&c);

	/* Where there is no organisation, they could choose nobody. */
	case_run(&c, NULL, "ceo: {matrixId: \"@ann:example.org\"}\n",
		"agents: [{id: a}]\n");
	assert_loaded(&c, 0);
	assert_int_equal(c.fleet.n_humans, 1);
	case_free(&c);
}

static void test_config_typos(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"chief: {name: Zoe, matrixId: \"@ann:example.org\"}\n"
		"matirx: {domain: example.com}\n"
		"commandCenter:\n"
		"  taskAssignmentBotMatrixID: \"@bot:example.org\"\n"
		"departmnts:\n"
		"  Lab: {enabled: true}\n",
		NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"config.yaml:1:1: warning: \"chief\" is not read: did you mean "
		"ceo?");
	assert_found(&c,
		"config.yaml:2:1: warning: \"matirx\" is not read: did you "
		"mean matrix?");
	assert_found(&c,
		"config.yaml:4:3: warning: commandCenter: "
		"\"taskAssignmentBotMatrixID\" is not read: did you mean "
		"taskAssignmentBotMatrixId?");
	assert_found(&c,
		"config.yaml:5:1: warning: \"departmnts\" is not read: did you "
		"mean departments?");
	assert_int_equal(c.report.n, 5);
	case_free(&c);

	case_run(&c, SMALL_ORG,
		"CEO: {nam: Zoe, matrix_id: \"@ann:example.org\"}\n"
		"command_center: {}\n"
		"matrix: {Domain: example.com}\n"
		"departments:\n"
		"  Lab: {enabeld: true, vps: 1}\n"
		"  Ops: {enabled: false, vps: 1}\n",
		NULL);
	assert_loaded(&c, 4);
	assert_found(&c,
		"config.yaml:1:1: warning: \"CEO\" is not read: did you mean "
		"ceo?");
	assert_found(&c,
		"config.yaml:2:1: warning: \"command_center\" is not read: did "
		"you mean commandCenter?");
	assert_found(&c,
		"config.yaml:3:10: warning: matrix: \"Domain\" is not read: "
		"did you mean domain?");
	assert_found(&c,
		"config.yaml:5:9: warning: departments.Lab: \"enabeld\" is not "
		"read: did you mean enabled?");
	case_free(&c);

	case_run(&c, SMALL_ORG,
		"ceo: {name: Zoe, matrix_id: \"@ann:example.org\"}\n"
		"departments:\n"
		"  Lab: {enabled: true, vp: 1, director: 1, managers: 0, "
		"ics: 0}\n",
		NULL);
	assert_errors(&c, 2);
	assert_found(&c,
		"config.yaml:1:18: warning: ceo: \"matrix_id\" is not read: "
		"did you mean matrixId?");
	assert_found(&c,
		"config.yaml:3:31: warning: departments.Lab: \"director\" is "
		"not read: did you mean directors?");
	assert_int_equal(c.report.n, 4);
	case_free(&c);
}

/* Keys of other programs, and near ones beside the right one. */
static void test_config_of_others(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c, SMALL_ORG,
		"chief: {matrixId: \"@ann:example.org\"}\n"
		"ceo: {matrixId: \"@zoe:example.org\", matrixID: x, tile: y}\n"
		"department: x\n"
		"models: {primary: x}\n"
		"infrastructure: {ecs: {cpu: 1}, region: x}\n"
		"ecs: {}\n"
		"cdn: {}\n"
		"metrics: {}\n"
		"defaults: {skills: [people]}\n"
		"agents: {\"@ida:example.org\": {model: x}}\n"
		"matrix: {homeserver: \"http://h\", main: x}\n"
		"commandCenter: {publicUrl: \"http://c\"}\n"
		"departments:\n"
		"  Lab: {enabled: false, vp: 0, vps: 1, skills: [x]}\n",
		NULL);
	assert_loaded(&c, 0);
	case_free(&c);
}

static void test_org_typos(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\": [\n"
		" {\"name\": \"Mia\", \"level\": \"IC\", \"department\": "
		"\"D\",\n"
		"  \"matrixId\": \"@mia:example.org\", \"title\": \"}\",\n"
		"  \"x\": {\"Team\": 1}, \"reportTo\": null, \"Team\": "
		"\"T\"},\n"
		" {\"name\": \"Ida\", \"level\": \"IC\", \"department\": "
		"\"D\",\n"
		"  \"matrixId\": \"@ida:example.org\", \"team\": null,\n"
		"  \"Team\": \"T\", \"reportsTo\": null, \"reportTo\": 1},\n"
		" {\"nam\": \"Zoe\", \"level\": \"IC\", \"department\": "
		"\"D\",\n"
		"  \"matrixId\": \"@zoe:example.org\"}\n"
		"]}",
		NULL, NULL);
	assert_errors(&c, 1);
	assert_found(&c,
		"org.json:4:21: warning: people[0]: \"reportTo\" is not read: "
		"did you mean reportsTo?");
	assert_found(&c,
		"org.json:4:39: warning: people[0]: \"Team\" is not read: did "
		"you mean team?");
	assert_found(&c,
		"org.json:8:3: warning: people[2]: \"nam\" is not read: did "
		"you mean name?");
	assert_int_equal(c.report.n, 4);
	case_free(&c);
}

/* A generator's mistake is told ten times, not a thousand. */
static void test_org_typos_many(void **state)
{
	struct fleet_case c;
	struct buf org;
	(void)state;
	buf_init(&org, 1000000);
	buf_add(&org, "{\"people\":[\n");
	for (int i = 0; i < 1000; i++)
		buf_addf(&org,
			"%s{\"name\":\"N\",\"level\":\"IC\","
			"\"department\":\"D\",\"matrixId\":"
			"\"@p%d:example.org\",\"reportTo\":null}",
			i ? ",\n" : "", i);
	buf_add(&org, "]}");
	case_run(&c, buf_str(&org), NULL, NULL);
	assert_loaded(&c, 11);
	assert_found(&c,
		"org.json:11:72: warning: people[9]: \"reportTo\" is not "
		"read: did you mean reportsTo?");
	assert_found(&c,
		"org.json: warning: and 990 more keys that are not read, but "
		"near to one that is");
	case_free(&c);
	buf_free(&org);
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
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_server_name),
		cmocka_unit_test(test_org_shape),
		cmocka_unit_test(test_org_key_twice),
		cmocka_unit_test(test_org_columns),
		cmocka_unit_test(test_org_fields),
		cmocka_unit_test(test_people_checks),
		cmocka_unit_test(test_other_server),
		cmocka_unit_test(test_other_servers),
		cmocka_unit_test(test_example_elsewhere),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_chosen),
		cmocka_unit_test(test_prefix_human),
		cmocka_unit_test(test_prefix_and_more),
		cmocka_unit_test(test_human_and_agent),
		cmocka_unit_test(test_config_wrong),
		cmocka_unit_test(test_config_without_departments),
		cmocka_unit_test(test_config_typos),
		cmocka_unit_test(test_config_of_others),
		cmocka_unit_test(test_org_typos),
		cmocka_unit_test(test_org_typos_many),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
