/*
 * tests/unit/test_fleet_wrong.c: every way in which the fleet's files can be
 * wrong, with its place and the words.
 */
#include "appservice/fleet/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/fleet_texts.h"
#include "tests/unit/test.h"

#include "base/poison.h"

static void test_missing_files(void **state)
{
	struct fleet_case c;
	(void)state;
	case_init(&c);
	c.src.org_path = "/nowhere/org.json";
	c.src.config_path = "/nowhere/config.yaml";
	c.src.org_at = (struct place){ "muster.yaml", 7, 8 };
	c.src.config_at = (struct place){ "MUSTER_FLEET_CONFIG", 0, 0 };
	case_load(&c);
	assert_errors(&c, 2);
	assert_found(&c,
		"muster.yaml:7:8: fleet.org: there is no such file: "
		"/nowhere/org.json");
	assert_found(&c,
		"MUSTER_FLEET_CONFIG: fleet.config: there is no such file: "
		"/nowhere/config.yaml");
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
		"muster.yaml:1:1: homeserver.server_name: \"exa mple.org\" is "
		"no server name: expected a host name, perhaps with :port");
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

static void test_control_characters(void **state)
{
	struct fleet_case c;
	(void)state;
	case_run(&c,
		"{\"people\": [\n"
		"{\"name\": \"A\\nB\", \"level\": \"IC\",\n"
		"\"department\": \"D\\u007f\",\n"
		"\"team\": \"\\u009fT\",\n"
		"\"matrixId\": \"@a:example.org\"},\n"
		"{\"name\": \"\\u00a0 ~\", \"level\": \"IC\",\n"
		"\"department\": \"D\", \"matrixId\": \"@b:example.org\"}]}",
		"ceo: {matrixId: \"@c:example.org\", name: \"C\\x1f\"}\n"
		"departments: {}\n",
		"agents:\n"
		"- {id: d, name: \"\\t\", department: \"\\x85\","
		" team: \"x\\x01\"}\n"
		"humans: [{id: e, name: \"\\x1b[1m\"}]\n");
	assert_found(&c,
		"org.json:2:10: people[0].name has a control character "
		"(U+000A)");
	assert_found(&c,
		"org.json:3:15: people[0].department has a control character "
		"(U+007F)");
	assert_found(&c,
		"org.json:4:9: people[0].team has a control character "
		"(U+009F)");
	assert_found(&c,
		"config.yaml:1:41: ceo.name has a control character (U+001F)");
	assert_found(&c,
		"muster.yaml:2:17: fleet.agents[0].name has a control "
		"character (U+0009)");
	assert_found(&c,
		"muster.yaml:2:35: fleet.agents[0].department has a control "
		"character (U+0085)");
	assert_found(&c,
		"muster.yaml:2:49: fleet.agents[0].team has a control "
		"character (U+0001)");
	assert_found(&c,
		"muster.yaml:3:24: fleet.humans[0].name has a control "
		"character (U+001B)");
	assert_errors(&c, 8);
	case_free(&c);
}

/* Characters are counted, not bytes. */
static void test_long_names(void **state)
{
	struct fleet_case c;
	char name[2 * 257 + 1] = "", self[1200];
	(void)state;
	for (size_t i = 0; i < 257; i++)
		memcpy(name + 2 * i, "\xc3\xbc", 3);
	snprintf(self, sizeof(self), "agents: [{id: a, name: %s}]\n", name + 2);
	case_run(&c, NULL, NULL, self);
	assert_loaded(&c, 0);
	case_free(&c);
	snprintf(self, sizeof(self),
		"agents: [{id: a, name: %s}]\nhumans: [{id: b, name: %s}]\n",
		name, name);
	case_run(&c, NULL, NULL, self);
	assert_found(&c,
		"muster.yaml:1:24: fleet.agents[0].name is 257 characters "
		"long; 256 are allowed");
	assert_found(&c,
		"muster.yaml:2:24: fleet.humans[0].name is 257 characters "
		"long; 256 are allowed");
	assert_errors(&c, 2);
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
		"the name of a directory: no slash, not . or ..");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_server_name),
		cmocka_unit_test(test_org_shape),
		cmocka_unit_test(test_org_key_twice),
		cmocka_unit_test(test_org_columns),
		cmocka_unit_test(test_org_fields),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long_names),
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
