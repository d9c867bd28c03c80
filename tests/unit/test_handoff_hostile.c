/*
 * A neighbour on the shared file system who means harm: whatever is put in the
 * place of one of our files, or of a directory. Nobody waits for it, takes it
 * for ours, writes through it, or ends with it.
 */
#define _XOPEN_SOURCE 700 /* mknodat() */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

#define STRANGER 54321
#define OUTSIDE "../../../outside" /* as the agent's directory sees it */

/* --- what is outside: good files of generation 7, somebody else's ---------- */

struct outside {
	int fd;
	char before[1024];
};

static void make_outside(struct spot *s, struct outside *o)
{
	struct err e = { 0 };
	const struct handoff_ack a = spot_answer(7);
	const struct handoff_request q = spot_request(7);
	assert_int_equal(mkdirat(s->fd, OUTSIDE, 0755), 0);
	o->fd = openat(s->fd, OUTSIDE, O_RDONLY | O_DIRECTORY);
	spot_write(o->fd, 7);
	assert_ok(handoff_request_write(o->fd, &q, -1, -1, &e), e);
	assert_ok(handoff_ack_write(o->fd, &a, &e), e);
	assert_ok(handoff_paused_write(o->fd, &a, &e), e);
	assert_ok(
		file_replace_at(o->fd, SPOT_LOCK, "kept", 4, 0600, -1, -1, &e),
		e);
}

/* Bytes, mode, owner, names and time of it. */
static void describe(const struct outside *o, const char *name, char out[1024])
{
	struct stat st;
	char text[700] = "";
	int fd = openat(o->fd, name, O_RDONLY | O_NOFOLLOW);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	snprintf(out, 1024, "%s %o %u %u %ld.%09ld %lu", text, st.st_mode,
		st.st_uid, st.st_gid, (long)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, (unsigned long)st.st_ino);
}

/* --- what is put in the place of a file ------------------------------------ */

static void link_outside(const struct spot *s, const char *name)
{
	char to[100];
	snprintf(to, sizeof(to), OUTSIDE "/%s", name);
	assert_int_equal(symlinkat(to, s->fd, name), 0);
}

static void link_to_itself(const struct spot *s, const char *name)
{
	assert_int_equal(symlinkat(name, s->fd, name), 0);
}

static void link_to_nothing(const struct spot *s, const char *name)
{
	assert_int_equal(symlinkat(OUTSIDE "/made", s->fd, name), 0);
}

static void pipe_there(const struct spot *s, const char *name)
{
	assert_int_equal(mkfifoat(s->fd, name, 0666), 0);
}

static void directory_there(const struct spot *s, const char *name)
{
	assert_int_equal(mkdirat(s->fd, name, 0777), 0);
}

static void socket_there(const struct spot *s, const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int here = open(".", O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0 && here >= 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", name);
	assert_int_equal(fchdir(s->fd), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(fchdir(here), 0);
	close(here);
	close(fd);
}

static void hard_link(const struct spot *s, const char *name)
{
	char to[100];
	snprintf(to, sizeof(to), OUTSIDE "/%s", name);
	assert_int_equal(linkat(s->fd, to, s->fd, name, 0), 0);
}

/* A good one, but not of anybody who may have written it. */
static void of_a_stranger(const struct spot *s, const char *name)
{
	char text[700] = "", from[100];
	snprintf(from, sizeof(from), OUTSIDE "/%s", name);
	int fd = openat(s->fd, from, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	spot_put(s->fd, name, text);
	assert_int_equal(fchownat(s->fd, name, STRANGER, STRANGER, 0), 0);
}

static void a_gigabyte(const struct spot *s, const char *name)
{
	int fd = openat(s->fd, name, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, 1 << 30), 0);
	close(fd);
}

/* /dev/zero: it never ends. */
static void device_there(const struct spot *s, const char *name)
{
	assert_int_equal(
		mknodat(s->fd, name, S_IFCHR | 0666, makedev(1, 5)), 0);
}

static const struct thing {
	void (*plant)(const struct spot *s, const char *name);
	const char *word;
	enum rc rc;
	bool by_root; /* nobody else can make one */
	bool stays;   /* no file can be renamed to it */
	bool locks;   /* it can be locked: it is a file */
} things[] = {
	{ link_outside, "a symbolic link", RC_CORRUPT, false, false, false },
	{ link_to_itself, "a symbolic link", RC_CORRUPT, false, false, false },
	{ link_to_nothing, "a symbolic link", RC_CORRUPT, false, false, false },
	{ pipe_there, "a pipe", RC_CORRUPT, false, false, false },
	{ directory_there, "a directory", RC_CORRUPT, false, true, false },
	{ socket_there, "a socket", RC_CORRUPT, false, false, false },
	{ hard_link, "2 names", RC_CORRUPT, false, false, true },
	{ of_a_stranger, "uid 54321", RC_CORRUPT, true, false, true },
	{ a_gigabyte, "larger than 16384", RC_TOO_LARGE, false, false, true },
	{ device_there, "a device", RC_CORRUPT, true, false, false },
};

static const char *const names[] = { HANDOFF_FILE, "ack.7.json",
	"paused.7.json", "rotate.7.json" };

static enum rc read_it(int dirfd_, const char *name, struct err *e)
{
	struct handoff h = { 0 };
	struct handoff_ack a;
	struct handoff_request q;
	enum rc rc;
	if (!strcmp(name, HANDOFF_FILE)) {
		rc = handoff_read(dirfd_, &h, e);
		handoff_fini(&h);
		return rc;
	}
	if (name[0] == 'r')
		return handoff_request_read(dirfd_, 7, &q, e);
	return name[0] == 'a' ? handoff_ack_read(dirfd_, 7, &a, e)
			      : handoff_paused_read(dirfd_, 7, &a, e);
}

/* A generation after the one outside, where that matters to nobody. */
static enum rc write_it(int dirfd_, const char *name, struct err *e)
{
	struct handoff h = { 0 };
	const struct handoff_ack a = spot_answer(7);
	const struct handoff_request q = spot_request(7);
	if (!strcmp(name, HANDOFF_FILE)) {
		spot_make(&h, 1);
		enum rc rc = handoff_write(dirfd_, &h, -1, -1, e);
		handoff_fini(&h);
		return rc;
	}
	if (name[0] == 'r')
		return handoff_request_write(dirfd_, &q, -1, -1, e);
	return name[0] == 'a' ? handoff_ack_write(dirfd_, &a, e)
			      : handoff_paused_write(dirfd_, &a, e);
}

typedef void visit_thing(
	struct spot *s, const struct thing *t, const char *name);

/* Each thing in each place, with a way out should somebody wait for it. */
static void each(
	struct spot *s, visit_thing *visit, const char *const *at, size_t n)
{
	struct outside o;
	char before[1024], after[1024];
	make_outside(s, &o);
	for (size_t i = 0; i < ARRAY_LEN(things) * n; i++) {
		const struct thing *t = &things[i / n];
		const char *name = at[i % n];
		if (t->by_root && geteuid() != 0)
			continue;
		describe(&o, name, before);
		t->plant(s, name);
		alarm(60);
		visit(s, t, name);
		alarm(0);
		spot_remove(s->fd, name);
		spot_remove(s->fd, HANDOFF_FILE);
		describe(&o, name, after);
		assert_string_equal(after, before);
		assert_false(spot_exists(o.fd, "made"));
		assert_int_equal(spot_count(s->fd), 0);
		assert_int_equal(spot_count(o.fd), 4);
	}
	close(o.fd);
}

static void is_refused(struct spot *s, const struct thing *t, const char *name)
{
	struct err e = { 0 };
	enum rc rc = read_it(s->fd, name, &e);
	if (rc != t->rc || !strstr(e.text, t->word) || !strstr(e.text, name))
		fail_msg("%s: %s: %s", t->word, rc_words(rc), e.text);
	assert_null(strstr(e.text, "the-token"));
}

static void nothing_else_is_taken_for_ours(void **state)
{
	each(*state, is_refused, names, ARRAY_LEN(names));
}

static void is_replaced(struct spot *s, const struct thing *t, const char *name)
{
	struct err e = { 0 };
	struct stat st;
	enum rc rc = write_it(s->fd, name, &e);
	if (t->stays) {
		assert_rc(rc, RC_IO);
		assert_non_null(strstr(e.text, "remove the directory"));
		return;
	}
	if (rc != RC_OK)
		fail_msg("%s, %s: %s", t->word, name, e.text);
	assert_int_equal(fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_nlink == 1 &&
		st.st_uid == geteuid());
	assert_ok(read_it(s->fd, name, &e), e);
}

static void a_writer_replaces_it(void **state)
{
	each(*state, is_replaced, names, ARRAY_LEN(names));
}

static void is_buried(struct spot *s, const struct thing *t, const char *name)
{
	const struct handoff_grave g = spot_grave(3);
	struct err e = { 0 };
	enum rc rc = handoff_revoke(s->path, &g, -1, -1, &e);
	if (t->stays) {
		assert_rc(rc, RC_IO);
		return;
	}
	if (rc != RC_OK)
		fail_msg("%s, %s: %s", t->word, name, e.text);
	assert_int_equal(spot_generation(s->fd), -3);
}

static void a_tombstone_replaces_it(void **state)
{
	static const char *const file[] = { HANDOFF_FILE };
	each(*state, is_buried, file, 1);
}

/* An answer of before is of another file. */
static void is_no_answer(
	struct spot *s, const struct thing *t, const char *name)
{
	struct err e = { 0 };
	struct handoff h = { 0 };
	const struct handoff_request q = spot_request(7);
	const bool ack = name[0] == 'a';
	spot_make(&h, 7);
	if (ack)
		assert_ok(handoff_write(s->fd, &h, -1, -1, &e), e);
	else
		assert_ok(handoff_request_write(s->fd, &q, -1, -1, &e), e);
	handoff_fini(&h);
	/* A directory says nothing, and stays. */
	assert_int_equal(spot_exists(s->fd, name), t->stays);
	spot_remove(s->fd, "rotate.7.json");
}

static void it_is_removed_as_an_answer(void **state)
{
	static const char *const answers[] = { "ack.7.json", "paused.7.json" };
	each(*state, is_no_answer, answers, 2);
}

static void is_no_lock(struct spot *s, const struct thing *t, const char *name)
{
	struct err e = { 0 };
	struct handoff h = { 0 };
	const struct handoff_grave g = spot_grave(1);
	spot_make(&h, 1);
	enum rc rc = handoff_write(s->fd, &h, -1, -1, &e);
	if (t->locks && rc != RC_OK)
		fail_msg("%s: %s", t->word, e.text);
	if (!t->locks) {
		assert_rc(rc, RC_IO);
		assert_non_null(strstr(e.text, "remove it"));
		assert_int_equal(spot_generation(s->fd), 0);
		assert_rc(handoff_writable(s->fd, -1, -1, &e), RC_IO);
	}
	handoff_fini(&h);
	/* A token is taken away whatever is there. */
	assert_ok(handoff_revoke(s->path, &g, -1, -1, &e), e);
	assert_int_equal(spot_generation(s->fd), -1);
	assert_true(spot_exists(s->fd, name));
}

static void it_is_no_lock(void **state)
{
	static const char *const lock[] = { SPOT_LOCK };
	struct spot *s = *state;
	each(s, is_no_lock, lock, 1);
}

/* What is swept is a name, not where it leads; halves are files. */
static void is_swept(struct spot *s, const struct thing *t, const char *name)
{
	static const char half[] = ".matrix.json.00000000deadbeef";
	struct err e = { 0 };
	if (t->plant == hard_link)
		return; /* it has the age of what is outside */
	assert_int_equal(renameat(s->fd, name, s->fd, half), 0);
	spot_age(s->fd, half, 1000);
	t->plant(s, name);
	assert_ok(handoff_clean(s->fd, 10, &e), e);
	assert_int_equal(spot_exists(s->fd, half), !t->locks);
	assert_int_equal(spot_exists(s->fd, name), t->stays);
	spot_remove(s->fd, half);
}

static void it_is_swept(void **state)
{
	static const char *const old[] = { "ack.7.json" };
	each(*state, is_swept, old, 1);
}

/* --- in the place of a directory ------------------------------------------- */

static void put_link(const struct spot *s, const char *name, const char *to)
{
	char away[100];
	snprintf(away, sizeof(away), "%s.away", name);
	int top = open(s->root, O_RDONLY | O_DIRECTORY);
	assert_int_equal(renameat(top, name, top, away), 0);
	assert_int_equal(symlinkat(to, top, name), 0);
	close(top);
}

static void assert_nobody_follows(struct spot *s, const struct outside *o)
{
	struct err e = { 0 };
	const struct handoff_grave g = spot_grave(9);
	char before[1024], after[1024];
	uint32_t bits;
	int fd = -7;
	describe(o, HANDOFF_FILE, before);
	assert_rc(
		handoff_dir_make(s->root, "D", "anna", -1, -1, &fd, &e), RC_IO);
	assert_non_null(strstr(e.text, "symbolic link"));
	assert_rc(handoff_dir_find(s->path, &fd, &e), RC_IO);
	assert_non_null(strstr(e.text, "symbolic link"));
	assert_rc(handoff_revoke(s->path, &g, -1, -1, &e), RC_IO);
	assert_rc(handoff_inspect(s->path, -1, -1, &bits, &e), RC_IO);
	assert_ok(handoff_remove_elsewhere(s->root, "E", "anna", SPOT_USER, &e),
		e);
	assert_int_equal(fd, -7);
	describe(o, HANDOFF_FILE, after);
	assert_string_equal(after, before);
}

static void no_directory_is_followed(void **state)
{
	struct spot *s = *state;
	struct outside o;
	struct err e = { 0 };
	int fd = -7;
	make_outside(s, &o);
	put_link(s, "D/anna", "../../outside");
	assert_nobody_follows(s, &o);
	assert_rc(handoff_dir_open(s->path, &fd, &e), RC_IO);
	close(o.fd);
}

static void no_department_is_followed(void **state)
{
	struct spot *s = *state;
	struct outside o;
	make_outside(s, &o);
	assert_int_equal(symlinkat(".", o.fd, "anna"), 0);
	put_link(s, "D", "../outside");
	assert_nobody_follows(s, &o);
	assert_int_equal(unlinkat(o.fd, "anna", 0), 0);
	assert_int_equal(mkdirat(o.fd, "anna", 0755), 0);
	assert_int_equal(
		renameat(o.fd, HANDOFF_FILE, o.fd, "anna/" HANDOFF_FILE), 0);
	int inner = openat(o.fd, "anna", O_RDONLY | O_DIRECTORY);
	const struct outside in = { .fd = inner };
	assert_nobody_follows(s, &in);
	close(inner);
	close(o.fd);
}

/* Between the look and the write: what was opened is written to, not what the
 * name leads to by then. */
static void a_directory_is_replaced_by_a_link(void **state)
{
	struct spot *s = *state;
	struct outside o;
	char before[1024], after[1024];
	make_outside(s, &o);
	describe(&o, HANDOFF_FILE, before);
	put_link(s, "D/anna", "../../outside");
	spot_write(s->fd, 8);
	assert_int_equal(spot_generation(s->fd), 8);
	describe(&o, HANDOFF_FILE, after);
	assert_string_equal(after, before);
	assert_int_equal(spot_count(o.fd), 4);
	close(o.fd);
}

static void no_name_leads_out_of_the_root(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	static const char *const bad[] = { "", "anna", "/anna", "/D/", "/D/..",
		"/../outside", "//anna", "/./anna", "/D/." };
	char path[300];
	int fd = -7;
	for (size_t i = 3; i < ARRAY_LEN(bad); i++) {
		snprintf(path, sizeof(path), "%s%s", s->root, bad[i]);
		assert_rc(handoff_dir_find(path, &fd, &e), RC_INVALID);
	}
	for (size_t i = 0; i < 3; i++)
		assert_rc(handoff_dir_find(bad[i], &fd, &e), RC_INVALID);
	assert_rc(handoff_remove_elsewhere(
			  s->root, "E", "../anna", SPOT_USER, &e),
		RC_INVALID);
	assert_int_equal(fd, -7);
}

/* A root that is not there is no end of a token. */
static void no_root_is_told_from_no_directory(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	const struct handoff_grave g = spot_grave(1);
	char path[300];
	snprintf(path, sizeof(path), "%s/none/D/anna", s->top);
	assert_rc(handoff_revoke(path, &g, -1, -1, &e), RC_IO);
	assert_non_null(strstr(e.text, "mount the shared file system"));
	snprintf(path, sizeof(path), "%s/none/anna", s->root);
	assert_ok(handoff_revoke(path, &g, -1, -1, &e), e);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, spot_set_up, spot_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_else_is_taken_for_ours),
		CASE(a_writer_replaces_it),
		CASE(a_tombstone_replaces_it),
		CASE(it_is_removed_as_an_answer),
		CASE(it_is_no_lock),
		CASE(it_is_swept),
		CASE(no_directory_is_followed),
		CASE(no_department_is_followed),
		CASE(a_directory_is_replaced_by_a_link),
		CASE(no_name_leads_out_of_the_root),
		CASE(no_root_is_told_from_no_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
