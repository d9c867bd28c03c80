/*
 * Watched files, with a clock of our own: told by inotify, found by looking,
 * and never while they are being written.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appservice/filewatch.h"
#include "base/clock.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define SOON FILEWATCH_TICK_MS
#define SURE FILEWATCH_SURE_MS

struct fixture {
	char dir[96];
	struct filewatch *w;
	int64_t now;
	struct err e;
};

static const char *in(const struct fixture *f, const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
	return path;
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	int fd = open(in(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void link_to(const struct fixture *f, const char *to, const char *name)
{
	assert_int_equal(symlink(to, in(f, "new-link")), 0);
	assert_int_equal(rename(in(f, "new-link"), in(f, name)), 0);
}

/* In time to come: whatever is there is older than this reading. */
static void watch(struct fixture *f, const char *a, const char *b)
{
	char one[256], two[256];
	snprintf(one, sizeof(one), "%s", in(f, a));
	snprintf(two, sizeof(two), "%s", b ? in(f, b) : "");
	const char *const paths[FILEWATCH_FILES] = { one, b ? two : NULL };
	assert_ok(filewatch_set(f->w, paths, clock_wall_ms() + SURE, &f->e),
		f->e);
}

static bool look(struct fixture *f, int64_t after)
{
	f->now += after;
	return filewatch_changed(f->w, f->now);
}

/* Nothing is unsettled, and the next sure look is SURE away. */
static void calm(struct fixture *f)
{
	assert_false(look(f, SURE));
	assert_false(look(f, SOON));
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s/muster-watch-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->w = filewatch_new();
	assert_non_null(f->w);
	f->now = 1000000;
	put(f, "org.json", "[1]");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "org.json", "other.json",
		"new.json", "one/org.json", "two/org.json", "one", "two",
		"..data", "current", "org", "late/org.json", "late" };
	struct fixture *f = *state;
	filewatch_free(f->w);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (unlink(in(f, names[i])) != 0)
			rmdir(in(f, names[i]));
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void test_nothing_happens(void **state)
{
	struct fixture *f = *state;
	watch(f, "org.json", NULL);
	assert_true(filewatch_is_told(f->w));
	for (int i = 0; i < 30; i++)
		assert_false(look(f, SOON));
	put(f, "other.json", "a neighbour");
	assert_false(look(f, SOON));
	assert_false(look(f, SOON));
}

/* Seen at the next look, and believed once it is the same at another. */
static void test_written_in_place(void **state)
{
	struct fixture *f = *state;
	watch(f, "org.json", NULL);
	calm(f);
	put(f, "org.json", "[1, 2]");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	assert_true(look(f, SOON)); /* until it is taken */
	filewatch_take(f->w);
	assert_true(filewatch_still(f->w));
	assert_false(look(f, SOON));
	assert_false(look(f, SURE));
}

/* Two looks at the same moment are one. */
static void test_half_written(void **state)
{
	struct fixture *f = *state;
	watch(f, "org.json", NULL);
	calm(f);
	put(f, "org.json", "[1,");
	assert_false(look(f, SOON));
	assert_false(look(f, 0));
	assert_false(look(f, SOON - 1));
	put(f, "org.json", "[1, 2,");
	assert_false(look(f, SOON));
	put(f, "org.json", "[1, 2, 3,");
	assert_false(look(f, SOON));
	put(f, "org.json", "[1, 2, 3, 4]");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

static void test_written_while_it_is_read(void **state)
{
	struct fixture *f = *state;
	watch(f, "org.json", NULL);
	calm(f);
	filewatch_take(f->w);
	put(f, "org.json", "[1, 2]");
	assert_false(filewatch_still(f->w));
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

static void test_replaced_by_rename(void **state)
{
	struct fixture *f = *state;
	put(f, "new.json", "[2]"); /* as long, as old */
	watch(f, "org.json", NULL);
	calm(f);
	assert_int_equal(rename(in(f, "new.json"), in(f, "org.json")), 0);
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

static void test_gone_and_back(void **state)
{
	struct fixture *f = *state;
	watch(f, "org.json", NULL);
	calm(f);
	assert_int_equal(rename(in(f, "org.json"), in(f, "new.json")), 0);
	assert_false(look(f, SOON));
	assert_int_equal(rename(in(f, "new.json"), in(f, "org.json")), 0);
	/* A rename is a change of the inode. */
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	assert_int_equal(unlink(in(f, "org.json")), 0);
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	assert_false(look(f, SURE));
	put(f, "org.json", "[1]");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

static void test_back_as_it_was(void **state)
{
	struct fixture *f = *state;
	put(f, "other.json", "[9]");
	watch(f, "org", NULL); /* a link that is not there yet */
	calm(f);
	link_to(f, "other.json", "org");
	assert_false(look(f, SOON));
	assert_int_equal(unlink(in(f, "org")), 0);
	assert_false(look(f, SOON));
	assert_false(look(f, SOON));
	assert_false(look(f, SURE));
}

/* Whoever reads finds out that nothing is another. */
static void test_touched(void **state)
{
	struct fixture *f = *state;
	const struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };
	watch(f, "org.json", NULL);
	calm(f);
	assert_int_equal(utimensat(AT_FDCWD, in(f, "org.json"), times, 0), 0);
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

/* Kubernetes: org.json -> ..data/org.json, ..data -> one; then ..data -> two,
 * by rename. The file's own folder tells of it. */
static void test_links_as_of_a_config_map(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mkdir(in(f, "one"), 0700), 0);
	assert_int_equal(mkdir(in(f, "two"), 0700), 0);
	put(f, "one/org.json", "[1]");
	put(f, "two/org.json", "[2]");
	link_to(f, "one", "..data");
	link_to(f, "..data/org.json", "org");
	watch(f, "org", NULL);
	calm(f);
	link_to(f, "two", "..data");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

/* current/org.json, and `current` is turned to another folder: nothing tells,
 * but from the sure look on the new folder is the one that is watched. */
static void test_link_above(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mkdir(in(f, "one"), 0700), 0);
	assert_int_equal(mkdir(in(f, "two"), 0700), 0);
	put(f, "one/org.json", "[1]");
	put(f, "two/org.json", "[2]");
	link_to(f, "one", "current");
	watch(f, "current/org.json", NULL);
	calm(f);
	link_to(f, "two", "current");
	assert_false(look(f, SOON));
	assert_false(look(f, SOON));
	assert_false(look(f, SURE - 3 * SOON)); /* the sure one */
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	put(f, "two/org.json", "[2, 3]");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
}

static void test_folder_that_comes_late(void **state)
{
	struct fixture *f = *state;
	watch(f, "late/org.json", NULL);
	assert_false(filewatch_is_told(f->w));
	calm(f);
	assert_int_equal(mkdir(in(f, "late"), 0700), 0);
	put(f, "late/org.json", "[1]");
	assert_false(look(f, SOON));
	assert_false(look(f, SURE)); /* the sure one */
	assert_true(filewatch_is_told(f->w));
	assert_true(look(f, SOON));
}

/* No descriptor is left for inotify. */
static void test_without_inotify(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, none;
	filewatch_free(f->w);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ 0, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	f->w = filewatch_new();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	watch(f, "org.json", NULL);
	assert_false(filewatch_is_told(f->w));
	calm(f);
	put(f, "org.json", "[1, 2]");
	for (int64_t t = 2 * SOON; t < SURE; t += SOON)
		assert_false(look(f, SOON));
	assert_false(look(f, SOON)); /* the sure one */
	assert_true(look(f, SOON));
}

/* What is known of a file stays known when another comes beside it. */
static void test_another_file_beside(void **state)
{
	struct fixture *f = *state;
	put(f, "other.json", "[1]");
	watch(f, "org.json", NULL);
	calm(f);
	put(f, "org.json", "[1, 2]");
	watch(f, "org.json", "other.json");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	put(f, "other.json", "[1, 2]");
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	watch(f, "org.json", NULL);
	put(f, "other.json", "[1, 2, 3]");
	assert_false(look(f, SOON));
	assert_false(look(f, SURE));
}

/* Written when reading had begun: it may have been read before that. */
static void test_as_new_as_the_reading(void **state)
{
	struct fixture *f = *state;
	const char *const paths[FILEWATCH_FILES] = { in(f, "org.json") };
	struct stat st;
	assert_int_equal(stat(paths[0], &st), 0);
	const int64_t then = st.st_ctim.tv_sec * INT64_C(1000) +
		st.st_ctim.tv_nsec / 1000000;
	assert_ok(filewatch_set(f->w, paths, then, &f->e), f->e);
	assert_false(look(f, SOON));
	assert_true(look(f, SOON));
	filewatch_take(f->w);
	assert_false(look(f, SURE));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_happens),
		TEST(test_written_in_place),
		TEST(test_half_written),
		TEST(test_written_while_it_is_read),
		TEST(test_replaced_by_rename),
		TEST(test_gone_and_back),
		TEST(test_back_as_it_was),
		TEST(test_touched),
		TEST(test_links_as_of_a_config_map),
		TEST(test_link_above),
		TEST(test_folder_that_comes_late),
		TEST(test_without_inotify),
		TEST(test_another_file_beside),
		TEST(test_as_new_as_the_reading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
