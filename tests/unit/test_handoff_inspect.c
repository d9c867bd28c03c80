/*
 * What is wrong with a hand-off as it lies there.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

static uint32_t found(const struct spot *s, int64_t uid, int64_t gid)
{
	struct err e = { 0 };
	uint32_t bits = 0xffffffff;
	assert_ok(handoff_inspect(s->path, uid, gid, &bits, &e), e);
	return bits;
}

static void assert_found(const struct spot *s, enum handoff_finding f)
{
	uint32_t bits = found(s, -1, -1);
	if (bits != UINT32_C(1) << f)
		fail_msg("%#x, not \"%s\"", bits, handoff_finding_words(f));
}

static void nothing_is_wrong(void **state)
{
	struct spot *s = *state;
	assert_found(s, HANDOFF_FILE_MISSING);
	spot_write(s->fd, 1);
	assert_int_equal(found(s, -1, -1), 0);
	assert_int_equal(found(s, geteuid(), getegid()), 0);
}

static void a_mode_that_shows_it(void **state)
{
	struct spot *s = *state;
	static const mode_t shown[] = { 0640, 0604, 0644, 0666, 0620, 0601,
		0677 };
	spot_write(s->fd, 1);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		assert_int_equal(fchmodat(s->fd, HANDOFF_FILE, shown[i], 0), 0);
		assert_found(s, HANDOFF_FILE_VISIBLE);
		assert_false(handoff_is_private(s->fd));
	}
	assert_int_equal(fchmodat(s->fd, HANDOFF_FILE, 0200, 0), 0);
	assert_found(s, HANDOFF_FILE_UNREADABLE);
	assert_int_equal(fchmodat(s->fd, HANDOFF_FILE, 0400, 0), 0);
	assert_int_equal(found(s, -1, -1), 0);
	assert_true(handoff_is_private(s->fd));
}

static void a_second_name(void **state)
{
	struct spot *s = *state;
	spot_write(s->fd, 1);
	assert_int_equal(linkat(s->fd, HANDOFF_FILE, s->fd, "copy", 0), 0);
	assert_found(s, HANDOFF_FILE_LINKED);
}

static void no_file(void **state)
{
	struct spot *s = *state;
	assert_int_equal(symlinkat("elsewhere", s->fd, HANDOFF_FILE), 0);
	assert_found(s, HANDOFF_FILE_KIND);
	assert_int_equal(unlinkat(s->fd, HANDOFF_FILE, 0), 0);
	assert_int_equal(mkdirat(s->fd, HANDOFF_FILE, 0755), 0);
	assert_found(s, HANDOFF_FILE_KIND);
}

static void owners(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	const uint32_t both = UINT32_C(1) << HANDOFF_DIR_OWNER |
		UINT32_C(1) << HANDOFF_FILE_OWNER;
	spot_write(s->fd, 1);
	assert_int_equal(found(s, 54321, -1), both);
	assert_int_equal(found(s, -1, 54321), both);
	if (geteuid() != 0)
		return;
	/* File and directory are to be one user's. */
	assert_int_equal(fchown(s->fd, 12345, 12345), 0);
	assert_found(s, HANDOFF_FILE_OWNER);
	assert_int_equal(
		found(s, 12345, -1), UINT32_C(1) << HANDOFF_FILE_OWNER);
	assert_ok(handoff_settle(s->fd, 12345, 12345, &e), e);
	assert_int_equal(found(s, 12345, 12345), 0);
	assert_int_equal(found(s, -1, -1), 0);
}

static void others_can_write_there(void **state)
{
	struct spot *s = *state;
	spot_write(s->fd, 1);
	assert_int_equal(fchmod(s->fd, 0775), 0);
	assert_found(s, HANDOFF_DIR_WRITABLE);
	assert_int_equal(fchmod(s->fd, 0755), 0);
	assert_int_equal(fchmodat(s->fd, "..", 0757, 0), 0);
	assert_found(s, HANDOFF_DIR_WRITABLE);
	assert_int_equal(fchmodat(s->fd, "..", 0755, 0), 0);
	assert_int_equal(chmod(s->root, 0777), 0);
	assert_found(s, HANDOFF_DIR_WRITABLE);
	assert_int_equal(chmod(s->root, 01777), 0);
	assert_int_equal(found(s, -1, -1), 0);
}

/* Nothing below the root is on another device here, but what is mounted. */
static void another_device(void **state)
{
	struct spot *s = *state;
	struct stat here, there;
	uint32_t bits = 0;
	struct err e = { 0 };
	if (stat("/", &here) != 0 || stat("/proc/self", &there) != 0 ||
		here.st_dev == there.st_dev)
		fail_msg("/proc is no device of its own");
	assert_ok(handoff_inspect("//proc/tty", -1, -1, &bits, &e), e);
	assert_true(bits & UINT32_C(1) << HANDOFF_DIR_DEVICE);
	spot_write(s->fd, 1);
	assert_false(found(s, -1, -1) & UINT32_C(1) << HANDOFF_DIR_DEVICE);
}

static void what_cannot_be_looked_at(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	uint32_t bits = 77;
	char path[300];
	snprintf(path, sizeof(path), "%s/D/ben", s->root);
	assert_rc(handoff_inspect(path, -1, -1, &bits, &e), RC_NOT_FOUND);
	assert_int_equal(symlinkat("anna", s->fd, "../ben"), 0);
	assert_rc(handoff_inspect(path, -1, -1, &bits, &e), RC_IO);
	assert_non_null(strstr(e.text, "symbolic link"));
	snprintf(path, sizeof(path), "%s/none/D/ben", s->root);
	assert_rc(handoff_inspect(path, -1, -1, &bits, &e), RC_IO);
	assert_non_null(strstr(e.text, "hand-off root"));
	assert_int_equal(bits, 77);
}

static void each_finding_has_words(void **state)
{
	(void)state;
	for (int f = 0; f < HANDOFF_FINDINGS; f++)
		assert_true(strlen(handoff_finding_words(
				    (enum handoff_finding)f)) > 10);
	assert_string_equal(handoff_finding_words(HANDOFF_FINDINGS), "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, spot_set_up, spot_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_wrong),
		CASE(a_mode_that_shows_it),
		CASE(a_second_name),
		CASE(no_file),
		CASE(owners),
		CASE(others_can_write_there),
		CASE(another_device),
		CASE(what_cannot_be_looked_at),
		cmocka_unit_test(each_finding_has_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
