/*
 * tests/unit/test_openclaw.c: what OpenClaw is given: its credentials, its
 * configuration made of the fleet's and the agent's, its workspace.
 */
#include "tests/unit/folder.h"

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ways_priv.h"
#include "base/limits.h"

#include "base/poison.h"

/* As the reference fleet writes it for each agent. */
static const char seed[] =
	"{\n"
	"  \"tools\": {\"profile\": \"full\"},\n"
	"  \"agents\": {\"defaults\": {\"model\": {\"primary\": \"m/1\"},\n"
	"    \"heartbeat\": {\"every\": \"5m\"}}},\n"
	"  \"plugins\": {\"allow\": [\"matrix\", \"people\"],\n"
	"    \"entries\": {\"matrix\": {\"enabled\": true}}},\n"
	"  \"channels\": {\"matrix\": {\n"
	"    \"enabled\": true,\n"
	"    \"homeserver\": \"http://conduit.anycompany.corp:6167\",\n"
	"    \"userId\": \"@a:anycompany.corp\",\n"
	"    \"password\": \"old\", \"accessToken\": \"old\",\n"
	"    \"deviceId\": \"OLD\",\n"
	"    \"dm\": {\"policy\": \"open\", \"allowFrom\": [\"*\"]},\n"
	"    \"groupPolicy\": \"open\", \"autoJoin\": \"always\"}},\n"
	"  \"gateway\": {\"mode\": \"local\", \"port\": 20206}\n"
	"}\n";

static const char *const variables[] = { "OPENCLAW_STATE_DIR",
	"OPENCLAW_CONFIG_PATH", "OPENCLAW_INCLUDE_ROOTS", "OPENCLAW_HOME",
	"OPENCLAW_GATEWAY_TOKEN" };

static int set_up(void **state)
{
	if (folder_make(state) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	setenv("OPENCLAW_STATE_DIR", in_folder("state"), 1);
	put_file("work/openclaw.json", seed);
	return 0;
}

static struct handoff given(int64_t generation, const char *token)
{
	struct handoff h = { 0 };
	struct secret s = { 0 };
	assert_rc(secret_set(&s, token, strlen(token)), RC_OK);
	assert_rc(handoff_set(&h, generation, "@a:anycompany.corp", "MUSTER",
			  "http://conduit.anycompany.corp:6167", &s, 1),
		RC_OK);
	secret_fini(&s);
	return h;
}

static struct options in_work(void)
{
	static char name[] = "openclaw";
	static char *program[] = { name, NULL };
	static char work[1024];
	snprintf(work, sizeof(work), "%s", in_folder("work"));
	return (struct options){
		.how = FOR_OPENCLAW, .workspace = work, .program = program
	};
}

static struct openclaw *made(const struct options *o)
{
	struct openclaw *c = NULL;
	struct err e = { 0 };
	assert_ok(openclaw_new(o, &c, &e), e);
	return c;
}

static void deliver(struct openclaw *c, int64_t generation, const char *token,
	const char *homeserver)
{
	struct err e = { 0 };
	struct handoff h = given(generation, token);
	assert_ok(openclaw_deliver(c, &h, homeserver, &e), e);
	handoff_fini(&h);
}

#define HOMESERVER "http://conduit.anycompany.corp:6167"

/* One start of the agent. */
static void start(void)
{
	const struct options o = in_work();
	struct openclaw *c = made(&o);
	deliver(c, 7, "syt_seven", HOMESERVER);
	openclaw_free(c);
}

/* What stands at a path of a file, as JSON; "" when nothing does. */
static const char *value_in(const char *file, const char *path)
{
	static char found[2048];
	struct json *d = NULL;
	struct err e = { 0 };
	struct buf out;
	const char *text = file_text(file);

	assert_non_null(text);
	assert_ok(json_parse(text, strlen(text), file, &d, &e), e);
	struct js v = json_root(d);
	char key[64];
	bool there = true;
	while (*path && there) {
		size_t n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		there = js_has(v, key);
		v = js_get(v, key);
		path += n + (path[n] == '.');
	}
	buf_init(&out, MIB);
	if (there)
		js_write(v, &out);
	snprintf(found, sizeof(found), "%s", buf_str(&out));
	buf_free(&out);
	json_free(d);
	return found;
}

static const char *config(const char *path)
{
	return value_in("state/openclaw.json", path);
}

/* The agent or somebody changes its configuration. */
static void change(const struct merge_edit *edits, size_t n)
{
	struct json *d = NULL;
	struct err e = { 0 };
	struct buf out;
	const char *text = file_text("state/openclaw.json");

	assert_non_null(text);
	assert_ok(json_parse(text, strlen(text), "config", &d, &e), e);
	buf_init(&out, MIB);
	merge_edit(json_root(d), edits, n, &out);
	put_file("state/openclaw.json", buf_str(&out));
	buf_free(&out);
	json_free(d);
}

/* --- the include ------------------------------------------------------ */

static void test_include_is_exact(void **state)
{
	(void)state;
	start();
	assert_string_equal(file_text("state/muster/matrix.json"),
		"{\"homeserver\":\"http://conduit.anycompany.corp:6167\","
		"\"userId\":\"@a:anycompany.corp\",\"deviceId\":\"MUSTER\","
		"\"accessToken\":\"syt_seven\"}\n");
	assert_int_equal(file_mode("state/muster/matrix.json"), 0600);
	assert_int_equal(file_mode("state/muster"), 0700);
}

/* The file is another one, the name never without one: the old one, kept open
 * here, still has the old token. */
static void test_include_is_renamed_over(void **state)
{
	const struct options o = in_work();
	struct openclaw *c = made(&o);
	struct stat before, after;
	(void)state;

	deliver(c, 7, "syt_seven", HOMESERVER);
	FILE *old = fopen(in_folder("state/muster/matrix.json"), "r");
	assert_non_null(old);
	assert_int_equal(fstat(fileno(old), &before), 0);
	put_file("state/openclaw.json", "{\"the\": \"agent's\"}");
	deliver(c, 8, "syt_eight", "https://elsewhere.example");
	assert_int_equal(
		stat(in_folder("state/muster/matrix.json"), &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	char line[512] = "";
	assert_non_null(fgets(line, sizeof(line), old));
	assert_non_null(strstr(line, "syt_seven"));
	fclose(old);
	assert_string_equal(value_in("state/muster/matrix.json", "accessToken"),
		"\"syt_eight\"");
	assert_string_equal(value_in("state/muster/matrix.json", "homeserver"),
		"\"https://elsewhere.example\"");
	/* A rotation leaves the configuration alone. */
	assert_string_equal(
		file_text("state/openclaw.json"), "{\"the\": \"agent's\"}");
	openclaw_free(c);
}

static void test_include_elsewhere(void **state)
{
	struct options o = in_work();
	char want[1100], output[1024];
	struct openclaw *c;
	(void)state;

	put_file("run/x", "");
	assert_int_equal(symlink("run", in_folder("link")), 0);
	snprintf(output, sizeof(output), "%s", in_folder("link/token.json"));
	o.output = output;
	setenv("OPENCLAW_INCLUDE_ROOTS", "/etc/openclaw", 1);
	c = made(&o);
	deliver(c, 7, "syt_seven", HOMESERVER);
	/* OpenClaw wants to know where it really is. */
	assert_string_equal(openclaw_include(c), in_folder("run/token.json"));
	snprintf(want, sizeof(want), "/etc/openclaw:%s", in_folder("run"));
	assert_string_equal(openclaw_roots(c), want);
	snprintf(want, sizeof(want), "\"%s\"", in_folder("run/token.json"));
	assert_string_equal(config("channels.matrix.$include"), want);
	assert_non_null(file_text("run/token.json"));
	openclaw_free(c);
	/* A directory that is not there is said before anything is waited
	 * for. */
	struct err e = { 0 };
	snprintf(output, sizeof(output), "%s", in_folder("nowhere/t.json"));
	c = NULL;
	assert_rc(openclaw_new(&o, &c, &e), RC_IO);
	assert_null(c);
	assert_non_null(strstr(e.text, "nowhere/t.json: No such file"));
}

/* --- the configuration ------------------------------------------------ */

static void test_config_is_the_seed_with_ours(void **state)
{
	char want[1100];
	(void)state;
	start();
	snprintf(want, sizeof(want), "\"%s\"",
		in_folder("state/muster/matrix.json"));
	assert_string_equal(config("channels.matrix.$include"), want);
	assert_string_equal(config("channels.matrix.homeserver"), "");
	assert_string_equal(config("channels.matrix.userId"), "");
	assert_string_equal(config("channels.matrix.deviceId"), "");
	assert_string_equal(config("channels.matrix.accessToken"), "");
	assert_string_equal(config("channels.matrix.password"), "");
	assert_string_equal(config("channels.matrix.dm"),
		"{\"policy\":\"open\",\"allowFrom\":[\"*\"]}");
	assert_string_equal(config("channels.matrix.autoJoin"), "\"always\"");
	assert_string_equal(config("channels.matrix.network"),
		"{\"dangerouslyAllowPrivateNetwork\":true}");
	snprintf(want, sizeof(want), "\"%s\"", in_folder("work"));
	assert_string_equal(config("agents.defaults.workspace"), want);
	assert_string_equal(
		config("agents.defaults.heartbeat.every"), "\"5m\"");
	assert_string_equal(config("browser"),
		"{\"executablePath\":\"/usr/bin/chromium\",\"headless\":true}");
	assert_string_equal(config("gateway.port"), "20206");
	assert_int_equal(strlen(config("gateway.auth.token")), 64 + 2);
	assert_int_equal(file_mode("state/openclaw.json"), 0600);
	assert_int_equal(file_mode("state/muster/seed.json"), 0600);
	/* Nowhere a token of Matrix. */
	assert_null(strstr(file_text("state/openclaw.json"), "syt_"));
	assert_null(strstr(file_text("state/muster/seed.json"), "syt_"));
	assert_null(strstr(file_text("state/muster/seed.json"), "old"));
}

static void test_public_homeserver(void **state)
{
	const struct options o = in_work();
	struct openclaw *c = made(&o);
	(void)state;
	deliver(c, 7, "syt_seven", "https://8.8.8.8");
	assert_string_equal(config("channels.matrix.network"), "");
	openclaw_free(c);
	/* One that is private now, unless somebody has said otherwise. */
	start();
	assert_string_equal(config("channels.matrix.network."
				   "dangerouslyAllowPrivateNetwork"),
		"true");
	const struct merge_edit no[] = {
		{ .path = "channels.matrix.network."
			  "dangerouslyAllowPrivateNetwork",
			.json = "false" }
	};
	change(no, 1);
	start();
	assert_string_equal(config("channels.matrix.network."
				   "dangerouslyAllowPrivateNetwork"),
		"false");
}

static void test_gateway_token_is_kept(void **state)
{
	char first[128];
	(void)state;
	start();
	snprintf(first, sizeof(first), "%s", config("gateway.auth.token"));
	start();
	assert_string_equal(config("gateway.auth.token"), first);
	/* Another agent has another one, also where the seed has one. */
	assert_int_equal(rename(in_folder("state"), in_folder("other")), 0);
	put_file("work/openclaw.json",
		"{\"gateway\":{\"auth\":{\"mode\":\"token\",\"token\":"
		"\"everybody's\"}}}");
	start();
	assert_int_equal(strlen(config("gateway.auth.token")), 64 + 2);
	assert_string_not_equal(config("gateway.auth.token"), first);
	assert_string_equal(config("gateway.auth.mode"), "\"token\"");
	/* A reference to where it is stays. */
	const struct merge_edit reference[] = { { .path = "gateway.auth.token",
		.json = "{\"source\":\"env\",\"id\":\"X\"}" } };
	change(reference, 1);
	start();
	assert_string_equal(config("gateway.auth.token"),
		"{\"source\":\"env\",\"id\":\"X\"}");
	const struct merge_edit nothing[] = { { .path = "gateway.auth.token",
		.json = "\"\"" } };
	change(nothing, 1);
	start();
	assert_int_equal(strlen(config("gateway.auth.token")), 64 + 2);
}

static void test_gateway_token_of_the_environment(void **state)
{
	(void)state;
	setenv("OPENCLAW_GATEWAY_TOKEN", "given", 1);
	start();
	assert_string_equal(config("gateway.auth.token"), "");
	assert_null(strstr(file_text("state/openclaw.json"), "given"));
}

static void test_agents_changes_survive(void **state)
{
	const struct merge_edit own[] = {
		{ .path = "agents.defaults.heartbeat.every", .json = "\"1h\"" },
		{ .path = "tools.more", .json = "[1]" },
		{ .path = "channels.matrix.autoJoin" },
		/* What OpenClaw may write out beside the include would stand
		 * against the next token. */
		{ .path = "channels.matrix.accessToken", .json = "\"x\"" },
		{ .path = "channels.matrix.homeserver", .json = "\"x\"" },
		{ .path = "browser.headless", .json = "false" },
		{ .path = "agents.defaults.workspace", .json = "\"/x\"" },
	};
	char want[1100];
	(void)state;
	start();
	change(own, ARRAY_LEN(own));
	put_file("work/openclaw.json",
		"{\"agents\":{\"defaults\":{\"model\":{\"primary\":\"m/2\"},"
		"\"heartbeat\":{\"every\":\"10m\"}}},\"channels\":{\"matrix\":"
		"{\"autoJoin\":\"always\",\"groupPolicy\":\"allowlist\","
		"\"dm\":{\"policy\":\"open\",\"allowFrom\":[\"*\"]}}}}");
	start();
	assert_string_equal(
		config("agents.defaults.heartbeat.every"), "\"1h\"");
	assert_string_equal(config("agents.defaults.model.primary"), "\"m/2\"");
	/* Gone from the seed, but for what the agent has put there. */
	assert_string_equal(config("tools"), "{\"more\":[1]}");
	assert_string_equal(config("plugins"), "");
	assert_string_equal(
		config("channels.matrix.groupPolicy"), "\"allowlist\"");
	assert_string_equal(config("channels.matrix.autoJoin"), "");
	assert_string_equal(config("channels.matrix.accessToken"), "");
	assert_string_equal(config("channels.matrix.homeserver"), "");
	assert_string_equal(config("browser.headless"), "false");
	snprintf(want, sizeof(want), "\"%s\"", in_folder("work"));
	assert_string_equal(config("agents.defaults.workspace"), want);
}

/* Killed after the configuration and before what it was made from. */
static void test_base_is_late(void **state)
{
	char before[16 * 1024];
	(void)state;
	start();
	snprintf(before, sizeof(before), "%s",
		file_text("state/muster/seed.json"));
	put_file("work/openclaw.json", "{\"a\":1,\"b\":1}");
	start();
	put_file("state/muster/seed.json", before);
	put_file("work/openclaw.json", "{\"a\":1,\"b\":1}");
	start();
	put_file("work/openclaw.json", "{\"a\":2}");
	start();
	assert_string_equal(config("a"), "2");
	assert_string_equal(config("b"), "");
	assert_string_equal(config("tools"), "");
}

/* Nothing new: the files are not touched, so OpenClaw has nothing to reload. */
static void test_nothing_new(void **state)
{
	struct stat before, after;
	(void)state;
	start();
	assert_int_equal(stat(in_folder("state/openclaw.json"), &before), 0);
	start();
	assert_int_equal(stat(in_folder("state/openclaw.json"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void test_json5(void **state)
{
	(void)state;
	put_file("work/openclaw.json",
		"// the fleet's\n{channels: {matrix: {autoJoin: "
		"'always',},},}");
	start();
	assert_string_equal(config("channels.matrix.autoJoin"), "\"always\"");
	put_file("state/openclaw.json",
		"{\n // mine\n own: +1, channels: {matrix: {autoJoin: "
		"'always'}}}");
	start();
	assert_string_equal(config("own"), "1");
	assert_string_equal(config("channels.matrix.autoJoin"), "\"always\"");
}

static void refused(const struct options *o, enum rc want, const char *words)
{
	struct openclaw *c = NULL;
	struct err e = { 0 };
	assert_rc(openclaw_new(o, &c, &e), want);
	assert_null(c);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in: %s", words, e.text);
}

static char *nested(size_t depth)
{
	struct buf text;
	buf_init(&text, 16 * MIB);
	for (size_t i = 0; i < depth; i++)
		buf_add(&text, "{\"a\":");
	buf_add(&text, "1");
	for (size_t i = 0; i < depth; i++)
		buf_addc(&text, '}');
	return buf_take(&text);
}

/* Before anything is waited for, with the place. */
static void test_bad_seed(void **state)
{
	struct options o = in_work();
	(void)state;
	put_file("work/openclaw.json", "{\n  \"a\": 1 \"b\"\n}");
	refused(&o, RC_INVALID, "work/openclaw.json:2:10: found '\"'");
	put_file("work/openclaw.json", "[]");
	refused(&o, RC_INVALID, "found an array, expected an object");
	put_file("work/openclaw.json", "");
	refused(&o, RC_INVALID, "work/openclaw.json:1:1: found the end");
	put_file("work/openclaw.json", "{\"a\": \"\xff\"}");
	refused(&o, RC_INVALID, "not UTF-8");
	char *deep = nested(100000);
	assert_non_null(deep);
	put_file("work/openclaw.json", deep);
	refused(&o, RC_INVALID, "work/openclaw.json:1:");
	free(deep);
	assert_int_equal(
		truncate(in_folder("work/openclaw.json"), (off_t)(5 * MIB)), 0);
	refused(&o, RC_TOO_LARGE, "work/openclaw.json is too large");
	assert_int_equal(unlink(in_folder("work/openclaw.json")), 0);
	assert_int_equal(mkdir(in_folder("work/openclaw.json"), 0700), 0);
	refused(&o, RC_INVALID, "is a directory");
}

/* As deep as it may be, and then put into a place that makes it deeper. */
static void test_deep_seed(void **state)
{
	(void)state;
	char *deep = nested(LIMIT_JSON_DEPTH - 1);
	assert_non_null(deep);
	put_file("work/openclaw.json", deep);
	free(deep);
	start();
	start();
	assert_int_equal(strncmp(config("a"), "{\"a\":{\"a\":", 10), 0);
}

static void test_no_seed(void **state)
{
	struct options o = in_work();
	(void)state;
	assert_int_equal(unlink(in_folder("work/openclaw.json")), 0);
	refused(&o, RC_NOT_FOUND, "there is no configuration of OpenClaw");
	o.workspace = NULL;
	refused(&o, RC_NOT_FOUND, "WORKSPACE_PATH");
	/* The agent's own is enough. */
	put_file("state/openclaw.json", "{\"own\":1}");
	struct openclaw *c = made(&o);
	deliver(c, 7, "syt_seven", HOMESERVER);
	openclaw_free(c);
	assert_string_equal(config("own"), "1");
	assert_string_not_equal(config("channels.matrix.$include"), "");
	assert_string_equal(config("agents"), "");
	/* But what was asked for by name must be there. */
	o.merge = "/nowhere/seed.json";
	refused(&o, RC_NOT_FOUND, "/nowhere/seed.json does not exist");
}

static void test_seed_by_name(void **state)
{
	struct options o = in_work();
	char merge[1024];
	(void)state;
	put_file("fleet/a.json", "{\"from\":\"fleet\"}");
	snprintf(merge, sizeof(merge), "%s", in_folder("fleet/a.json"));
	o.merge = merge;
	struct openclaw *c = made(&o);
	deliver(c, 7, "syt_seven", HOMESERVER);
	openclaw_free(c);
	assert_string_equal(config("from"), "\"fleet\"");
	assert_string_equal(config("tools"), "");
}

/* What OpenClaw could not read either does not keep the agent from coming
 * up. */
static void test_bad_own(void **state)
{
	static const char *const bad[] = { "", "{\"a\": 1", "[]", "nonsense",
		"{\"a\": \"\xff\"}" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start();
		put_file("state/openclaw.json", bad[i]);
		start();
		assert_string_equal(config("tools"), "{\"profile\":\"full\"}");
		assert_string_equal(
			file_text("state/openclaw.json.unreadable"), bad[i]);
	}
	char *deep = nested(100000);
	assert_non_null(deep);
	put_file("state/openclaw.json", deep);
	free(deep);
	start();
	assert_string_equal(config("tools"), "{\"profile\":\"full\"}");
	assert_int_equal(
		truncate(in_folder("state/openclaw.json"), (off_t)(5 * MIB)),
		0);
	start();
	assert_string_equal(config("tools"), "{\"profile\":\"full\"}");
}

/* Whatever stands in the places that are ours. */
static void test_odd_own(void **state)
{
	static const char *const odd[] = { "{\"channels\":[]}",
		"{\"channels\":{\"matrix\":\"x\"}}", "{\"gateway\":7}",
		"{\"gateway\":{\"auth\":[1]}}", "{\"agents\":null}",
		"{\"channels.matrix\":{\"accessToken\":\"x\"}}",
		"{\"channels\":{\"matrix\":{\"$include\":[\"/etc/x\"]}}}" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		start();
		put_file("state/openclaw.json", odd[i]);
		start();
		assert_string_equal(config("channels.matrix.accessToken"), "");
		assert_string_not_equal(
			config("channels.matrix.$include"), "[\"/etc/x\"]");
		assert_string_not_equal(config("channels.matrix.$include"), "");
		assert_int_equal(strlen(config("gateway.auth.token")), 64 + 2);
	}
}

/* --- where everything lies -------------------------------------------- */

static void test_places(void **state)
{
	const struct options o = in_work();
	(void)state;
	setenv("OPENCLAW_CONFIG_PATH", in_folder("etc/claw.json"), 1);
	start();
	assert_non_null(file_text("etc/claw.json"));
	assert_null(file_text("state/openclaw.json"));
	unsetenv("OPENCLAW_CONFIG_PATH");

	unsetenv("OPENCLAW_STATE_DIR");
	char *home = strdup(getenv("HOME") ? getenv("HOME") : "");
	assert_non_null(home);
	setenv("HOME", in_folder("home"), 1);
	start();
	assert_non_null(file_text("home/.openclaw/openclaw.json"));
	setenv("OPENCLAW_HOME", in_folder("home2"), 1);
	start();
	assert_non_null(file_text("home2/.openclaw/openclaw.json"));
	unsetenv("OPENCLAW_HOME");
	unsetenv("HOME");
	refused(&o, RC_INVALID, "set OPENCLAW_STATE_DIR, or HOME");
	setenv("HOME", home, 1);
	free(home);
}

static void test_workspace_is_copied(void **state)
{
	(void)state;
	put_file("work/SOUL.md", "soul");
	start();
	assert_string_equal(file_text("state/workspace/SOUL.md"), "soul");
	put_file("state/workspace/SOUL.md", "mine");
	put_file("work/SOUL.md", "soul 2");
	start();
	assert_string_equal(file_text("state/workspace/SOUL.md"), "mine");
}

static void test_commands(void **state)
{
	struct options o = in_work();
	static char path[] = "/opt/it's here/openclaw", word[] = "node";
	static char *elsewhere[] = { path, NULL };
	static char *node[] = { word, NULL };
	static char *none[] = { NULL };
	static const struct {
		char **program;
		const char *word;
	} all[] = {
		{ NULL, "'openclaw'" },
		{ elsewhere, "'/opt/it'\\''s here/openclaw'" },
		{ node, "openclaw" },
		{ none, "openclaw" },
	};
	char want[512];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		o.program = all[i].program ? all[i].program : o.program;
		struct openclaw *c = made(&o);
		snprintf(want, sizeof(want),
			"while said=$(%s gateway call channels.stop --params "
			"'{\"channel\":\"matrix\"}' --timeout 20000); do case "
			"$said in *'\"stopped\": true'*) exit 0 ;; esac; sleep "
			"1; done; exit 1",
			all[i].word);
		assert_string_equal(openclaw_pause(c), want);
		snprintf(want, sizeof(want),
			"sleep 1; %s gateway call channels.start --params "
			"'{\"channel\":\"matrix\"}' --timeout 20000",
			all[i].word);
		assert_string_equal(openclaw_resume(c), want);
		openclaw_free(c);
	}
}

/* Writes an `openclaw` that is asked three times, and the last time says so. */
static void put_cli(const char *last)
{
	char text[1024];
	snprintf(text, sizeof(text),
		"#!/bin/sh\necho \"$*\" >>'%s'\n"
		"[ \"$(wc -l <'%s')\" -ge 3 ] && { echo '%s'; exit $?; }\n"
		"echo '  \"stopped\": false'\n",
		in_folder("asked"), in_folder("asked"), last);
	put_file("bin/openclaw", text);
	assert_int_equal(chmod(in_folder("bin/openclaw"), 0755), 0);
}

/* The pause is over when OpenClaw says that it has stopped, and not before. */
static void test_pause_waits(void **state)
{
	struct options o = in_work();
	static char program[1024];
	static char *argv[] = { program, NULL };
	(void)state;
	snprintf(program, sizeof(program), "%s", in_folder("bin/openclaw"));
	o.program = argv;
	struct openclaw *c = made(&o);
	put_cli("  \"stopped\": true");
	assert_int_equal(system(openclaw_pause(c)), 0);
	assert_string_equal(file_text("asked"),
		"gateway call channels.stop --params "
		"{\"channel\":\"matrix\"} --timeout 20000\n"
		"gateway call channels.stop --params "
		"{\"channel\":\"matrix\"} --timeout 20000\n"
		"gateway call channels.stop --params "
		"{\"channel\":\"matrix\"} --timeout 20000\n");
	/* One that cannot be reached is not paused. */
	put_file("bin/openclaw", "#!/bin/sh\nexit 1\n");
	assert_int_equal(chmod(in_folder("bin/openclaw"), 0755), 0);
	assert_int_not_equal(system(openclaw_pause(c)), 0);
	openclaw_free(c);
}

static void test_what_overrules(void **state)
{
	(void)state;
	assert_true(openclaw_overrules("MATRIX_DEFAULT_ACCESS_TOKEN=x"));
	assert_true(openclaw_overrules("MATRIX_PASSWORD=x"));
	assert_false(openclaw_overrules("MATRIX_OPS_ACCESS_TOKEN=x"));
	assert_false(openclaw_overrules("MATRIX_DOMAIN=x"));
}

/* The reference fleet's own files, where they are. */
static void test_reference_fleet(void **state)
{
	static const char *const agents[] = { "aaron.phillips",
		"allison.butler", "allison.lopez", "allison.roberts",
		"angel.baker", "anthony.hernandez", "austin.bailey",
		"beau.martinez", "evelyn.thompson" };
	const char *fixtures = getenv("MUSTER_FIXTURES");
	struct options o = in_work();
	char merge[1024], prompt[2048];
	(void)state;
	for (size_t i = 0; fixtures && i < ARRAY_LEN(agents); i++) {
		snprintf(merge, sizeof(merge),
			"%s/workspaces/Engineering/%s/openclaw.json", fixtures,
			agents[i]);
		o.merge = merge;
		struct openclaw *c = made(&o);
		deliver(c, 7, "syt_seven", HOMESERVER);
		openclaw_free(c);
		assert_string_equal(config("channels.matrix.userId"), "");
		snprintf(prompt, sizeof(prompt), "%s",
			config("channels.matrix.groups.*.systemPrompt"));
		assert_int_equal(strncmp(prompt, "\"You are", 8), 0);
		assert_string_equal(
			config("channels.matrix.threadReplies"), "\"always\"");
		assert_string_equal(
			config("session.agentToAgent.maxPingPongTurns"), "0");
		assert_string_equal(config("plugins.load.paths"),
			"[\"/opt/plugins/people/people.js\","
			"\"/opt/plugins/command-center/command-center.js\"]");
		assert_int_equal(
			rename(in_folder("state"), in_folder(agents[i])), 0);
	}
}

#define IN_FOLDER(test)                                                        \
	cmocka_unit_test_setup_teardown(test, set_up, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_include_is_exact),
		IN_FOLDER(test_include_is_renamed_over),
		IN_FOLDER(test_include_elsewhere),
		IN_FOLDER(test_config_is_the_seed_with_ours),
		IN_FOLDER(test_public_homeserver),
		IN_FOLDER(test_gateway_token_is_kept),
		IN_FOLDER(test_gateway_token_of_the_environment),
		IN_FOLDER(test_agents_changes_survive),
		IN_FOLDER(test_base_is_late),
		IN_FOLDER(test_nothing_new),
		IN_FOLDER(test_json5),
		IN_FOLDER(test_bad_seed),
		IN_FOLDER(test_deep_seed),
		IN_FOLDER(test_no_seed),
		IN_FOLDER(test_seed_by_name),
		IN_FOLDER(test_bad_own),
		IN_FOLDER(test_odd_own),
		IN_FOLDER(test_places),
		IN_FOLDER(test_workspace_is_copied),
		IN_FOLDER(test_commands),
		IN_FOLDER(test_pause_waits),
		IN_FOLDER(test_what_overrules),
		IN_FOLDER(test_reference_fleet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
