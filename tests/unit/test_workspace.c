/*
 * tests/unit/test_workspace.c: the files of an agent's workspace, copied and
 * never over its own work.
 */
#include "tests/unit/folder.h"

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ways_priv.h"

#include "base/poison.h"

static void copied(void)
{
	struct err e = { 0 };
	assert_ok(workspace_copy(in_folder("seed"), in_folder("own"),
			  in_folder("memory"), &e),
		e);
}

static void assert_file(const char *name, const char *want)
{
	const char *got = file_text(name);
	if (!want) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	assert_string_equal(got, want);
}

static void test_all_of_them_and_no_other(void **state)
{
	static const char *const all[] = { "IDENTITY.md", "AGENTS.md",
		"SOUL.md", "PROTOCOL.md", "HEARTBEAT.md", "TOOLS.md", "USER.md",
		"org.json" };
	char name[64];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		snprintf(name, sizeof(name), "seed/%s", all[i]);
		put_file(name, all[i]);
	}
	put_file("seed/openclaw.json", "{}");
	put_file("seed/MEMORY.md", "not ours");
	copied();
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		snprintf(name, sizeof(name), "own/%s", all[i]);
		assert_file(name, all[i]);
		assert_int_equal(file_mode(name), 0644);
	}
	assert_file("own/openclaw.json", NULL);
	assert_file("own/MEMORY.md", NULL);
	assert_int_equal(file_mode("memory"), 0600);
}

static void test_untouched_follows(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "one");
	copied();
	put_file("seed/SOUL.md", "two");
	copied();
	assert_file("own/SOUL.md", "two");
	copied();
	put_file("seed/SOUL.md", "");
	copied();
	assert_file("own/SOUL.md", "");
	put_file("seed/SOUL.md", "three");
	copied();
	assert_file("own/SOUL.md", "three");
}

static void test_own_work_stays(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "one");
	copied();
	put_file("own/SOUL.md", "mine");
	copied();
	assert_file("own/SOUL.md", "mine");
	put_file("seed/SOUL.md", "two");
	copied();
	assert_file("own/SOUL.md", "mine");
	/* Taken up again when the two are the same. */
	put_file("own/SOUL.md", "two");
	copied();
	put_file("seed/SOUL.md", "three");
	copied();
	assert_file("own/SOUL.md", "three");
}

static void test_removed_stays_removed(void **state)
{
	(void)state;
	put_file("seed/USER.md", "one");
	copied();
	assert_int_equal(unlink(in_folder("own/USER.md")), 0);
	put_file("seed/USER.md", "two");
	copied();
	assert_file("own/USER.md", NULL);
	/* And what is gone from the seed stays with the agent. */
	put_file("seed/TOOLS.md", "tools");
	copied();
	assert_int_equal(unlink(in_folder("seed/TOOLS.md")), 0);
	copied();
	assert_file("own/TOOLS.md", "tools");
}

/* What was there before us may be anybody's work. */
static void test_there_before(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "one");
	put_file("seed/USER.md", "user");
	put_file("own/SOUL.md", "older");
	put_file("own/USER.md", "user");
	copied();
	assert_file("own/SOUL.md", "older");
	put_file("seed/USER.md", "newer");
	copied();
	assert_file("own/USER.md", "newer");
}

/* Killed after the file and before the memory: the next time it is known. */
static void test_memory_is_late(void **state)
{
	char before[1024];
	(void)state;

	put_file("seed/SOUL.md", "one");
	copied();
	snprintf(before, sizeof(before), "%s", file_text("memory"));
	put_file("seed/SOUL.md", "two");
	copied();
	put_file("memory", before);
	copied();
	put_file("seed/SOUL.md", "three");
	copied();
	assert_file("own/SOUL.md", "three");
}

static void test_memory_is_damaged(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "one");
	put_file("own/SOUL.md", "mine");
	put_file("memory", "{\"SOUL.md\": 7, \"USER.md\": \"short\"");
	copied();
	assert_file("own/SOUL.md", "mine");
	put_file("memory", "{\"SOUL.md\": 7, \"USER.md\": \"short\"}");
	put_file("seed/USER.md", "user");
	copied();
	assert_file("own/SOUL.md", "mine");
	assert_file("own/USER.md", "user");
}

static void link_to(const char *what, const char *name)
{
	assert_int_equal(symlink(what, in_folder(name)), 0);
}

/* A link would bring the agent what it may not read, or write where it may
 * not. */
static void test_no_links(void **state)
{
	(void)state;
	put_file("secret", "a secret");
	put_file("seed/SOUL.md", "soul");
	put_file("seed/TOOLS.md", "tools");
	put_file("own/x", "x");
	link_to("../secret", "seed/IDENTITY.md");
	link_to("/dev/zero", "seed/org.json");
	link_to("../secret", "own/SOUL.md");
	link_to("../not-there", "own/TOOLS.md");
	copied();
	assert_file("own/IDENTITY.md", NULL);
	assert_file("own/org.json", NULL);
	assert_file("secret", "a secret");
	assert_file("not-there", NULL);
}

static void test_no_special_files(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "soul");
	assert_int_equal(mkfifo(in_folder("seed/USER.md"), 0600), 0);
	assert_int_equal(mkdir(in_folder("seed/TOOLS.md"), 0700), 0);
	put_file("own/x", "x");
	assert_int_equal(mkfifo(in_folder("own/SOUL.md"), 0600), 0);
	copied();
	assert_file("own/USER.md", NULL);
	assert_int_equal(file_mode("own/SOUL.md"), 0600);
}

static void refused(const char *from, const char *to, const char *words)
{
	struct err e = { 0 };
	enum rc rc = workspace_copy(
		in_folder(from), in_folder(to), in_folder("memory"), &e);
	assert_int_not_equal(rc, RC_OK);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in: %s", words, e.text);
}

static void test_no_folder(void **state)
{
	(void)state;
	put_file("seed/SOUL.md", "soul");
	put_file("file", "x");
	refused("nowhere", "own", "nowhere: No such file");
	refused("file", "own", "file: Not a directory");
	refused("seed", "file", "file: Not a directory");
	/* The agent's workspace is a link: whereto is not ours to say. */
	put_file("elsewhere/x", "x");
	link_to("elsewhere", "own");
	refused("seed", "own", "a symbolic link");
	assert_file("elsewhere/SOUL.md", NULL);
}

/* The workspace is where it comes from: nothing to copy. */
static void test_one_and_the_same(void **state)
{
	struct err e = { 0 };
	(void)state;
	put_file("seed/SOUL.md", "soul");
	assert_ok(workspace_copy(in_folder("seed"), in_folder("seed"),
			  in_folder("memory"), &e),
		e);
	assert_null(file_text("memory"));
}

#define IN_FOLDER(test)                                                        \
	cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_all_of_them_and_no_other),
		IN_FOLDER(test_untouched_follows),
		IN_FOLDER(test_own_work_stays),
		IN_FOLDER(test_removed_stays_removed),
		IN_FOLDER(test_there_before),
		IN_FOLDER(test_memory_is_late),
		IN_FOLDER(test_memory_is_damaged),
		IN_FOLDER(test_no_links),
		IN_FOLDER(test_no_special_files),
		IN_FOLDER(test_no_folder),
		IN_FOLDER(test_one_and_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
