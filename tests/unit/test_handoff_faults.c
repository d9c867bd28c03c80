/*
 * Every call to the system fails once, in every way in which a shared file
 * system does, and once somebody comes between it and the one before: the linker
 * puts us there (--wrap, in the Makefile). The old file stays whole or the new
 * one is there, nothing half done is, and the words say what to do.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

/* --- between the code and the system --------------------------------------- */

static struct {
	bool on;
	int n, at;  /* calls so far; the one that fails */
	int error;  /* with this */
	int failed; /* that is how often one did */
	bool always;
	char what[32];
	/* Before a file of this name is opened, once: */
	void (*before)(const struct spot *s);
	const char *name;
	const struct spot *spot;
	int opened; /* files, since then */
	bool endless;
	int64_t skip_ms;
} sys;

static int lock_held;

static void quiet(void)
{
	memset(&sys, 0, sizeof(sys));
}

static bool fails(const char *what)
{
	if (!sys.on)
		return false;
	sys.n++;
	if (sys.n != sys.at && !(sys.always && sys.failed > 0))
		return false;
	snprintf(sys.what, sizeof(sys.what), "%s", what);
	sys.failed++;
	errno = sys.error;
	return true;
}

static void come_between(const char *name)
{
	sys.opened++;
	if (!sys.before || strncmp(name, sys.name, strlen(sys.name)) != 0)
		return;
	void (*before)(const struct spot *s) = sys.before;
	sys.before = NULL;
	before(sys.spot);
}

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __real_openat(int dirfd_, const char *name, int flags, ...);
int __wrap_openat(int dirfd_, const char *name, int flags, ...);
int __real_mkdirat(int dirfd_, const char *name, mode_t mode);
int __wrap_mkdirat(int dirfd_, const char *name, mode_t mode);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_fstatat(int dirfd_, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int dirfd_, const char *name, struct stat *st, int flags);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);
int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __real_unlinkat(int dirfd_, const char *name, int flags);
int __wrap_unlinkat(int dirfd_, const char *name, int flags);
struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);
int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int __wrap_open(const char *name, int flags, ...)
{
	/* Nobody makes a file by it here. */
	return fails("open") ? -1 : __real_open(name, flags);
}

int __wrap_openat(int dirfd_, const char *name, int flags, ...)
{
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list ap;
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (fails("openat"))
		return -1;
	come_between(name);
	return __real_openat(dirfd_, name, flags, mode);
}

int __wrap_mkdirat(int dirfd_, const char *name, mode_t mode)
{
	return fails("mkdirat") ? -1 : __real_mkdirat(dirfd_, name, mode);
}

int __wrap_fstat(int fd, struct stat *st)
{
	return fails("fstat") ? -1 : __real_fstat(fd, st);
}

int __wrap_fstatat(int dirfd_, const char *name, struct stat *st, int flags)
{
	return fails("fstatat") ? -1 : __real_fstatat(dirfd_, name, st, flags);
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return fails("fchmod") ? -1 : __real_fchmod(fd, mode);
}

int __wrap_fchown(int fd, uid_t uid, gid_t gid)
{
	return fails("fchown") ? -1 : __real_fchown(fd, uid, gid);
}

int __wrap_flock(int fd, int how)
{
	come_between("locking");
	return fails("flock") ? -1 : __real_flock(fd, how);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	return fails("write") ? -1 : __real_write(fd, p, n > 100 ? 100 : n);
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	return fails("read") ? -1 : __real_read(fd, p, n);
}

/* No power is cut here, so nothing waits for the disk. */
int __wrap_fsync(int fd)
{
	(void)fd;
	return fails("fsync") ? -1 : 0;
}

/* It is closed all the same: so does the system it. */
int __wrap_close(int fd)
{
	bool failed = fails("close");
	int done = __real_close(fd);
	if (failed)
		errno = sys.error;
	return failed ? -1 : done;
}

int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	return fails("renameat") ? -1 : __real_renameat(from, old, to, new);
}

int __wrap_unlinkat(int dirfd_, const char *name, int flags)
{
	return fails("unlinkat") ? -1 : __real_unlinkat(dirfd_, name, flags);
}

struct dirent *__wrap_readdir(DIR *dir)
{
	static struct dirent one = { .d_name = "one" };
	if (sys.endless)
		return &one;
	return fails("readdir") ? NULL : __real_readdir(dir);
}

int64_t __wrap_clock_mono_ms(void)
{
	static int64_t skipped;
	skipped += sys.skip_ms;
	return __real_clock_mono_ms() + skipped;
}

/* --- what is done, and how it may have ended -------------------------------- */

static enum rc write_2(struct spot *s, struct err *e)
{
	struct handoff h = { 0 };
	spot_make(&h, 2);
	sys.on = true;
	enum rc rc = handoff_write(s->fd, &h, getuid(), getgid(), e);
	sys.on = false;
	handoff_fini(&h);
	return rc;
}

static enum rc revoke_2(struct spot *s, struct err *e)
{
	const struct handoff_grave g = spot_grave(2);
	sys.on = true;
	enum rc rc = handoff_revoke(s->path, &g, getuid(), getgid(), e);
	sys.on = false;
	return rc;
}

/* By an owner that is as it is, so that it is looked at alone. */
static enum rc settle(struct spot *s, struct err *e)
{
	assert_int_equal(fchmodat(s->fd, HANDOFF_FILE, 0640, 0), 0);
	sys.on = true;
	enum rc rc = handoff_settle(s->fd, -1, -1, e);
	sys.on = false;
	return rc;
}

static enum rc writable(struct spot *s, struct err *e)
{
	sys.on = true;
	enum rc rc = handoff_writable(s->fd, -1, -1, e);
	sys.on = false;
	return rc;
}

static enum rc make_dir(struct spot *s, struct err *e)
{
	int fd = -1;
	spot_remove(s->fd, "../../E");
	sys.on = true;
	enum rc rc = handoff_dir_make(
		s->root, "E", "ben", getuid(), getgid(), &fd, e);
	sys.on = false;
	if (rc == RC_OK)
		assert_true(spot_exists(s->fd, "../../E/ben"));
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum rc read_1(struct spot *s, struct err *e)
{
	struct handoff h = { 0 };
	int fd = -1;
	sys.on = true;
	enum rc rc = handoff_dir_find(s->path, &fd, e);
	if (rc == RC_OK)
		rc = handoff_read(fd, &h, e);
	sys.on = false;
	if (rc == RC_OK)
		assert_int_equal(h.generation, 1);
	handoff_fini(&h);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum rc ask(struct spot *s, struct err *e)
{
	const struct handoff_request q = spot_request(2);
	struct handoff_request got;
	sys.on = true;
	enum rc rc = handoff_request_write(s->fd, &q, -1, -1, e);
	sys.on = false;
	enum rc there = handoff_request_read(s->fd, 2, &got, NULL);
	assert_true(there == RC_OK || (rc != RC_OK && there == RC_NOT_FOUND));
	spot_remove(s->fd, "rotate.2.json");
	return rc;
}

static enum rc answer(struct spot *s, struct err *e)
{
	const struct handoff_ack a = spot_answer(2);
	struct handoff_ack got;
	sys.on = true;
	enum rc rc = handoff_ack_write(s->fd, &a, e);
	sys.on = false;
	enum rc there = handoff_ack_read(s->fd, 2, &got, NULL);
	assert_true(there == RC_OK || (rc != RC_OK && there == RC_NOT_FOUND));
	spot_remove(s->fd, "ack.2.json");
	return rc;
}

static enum rc take_back(struct spot *s, struct err *e)
{
	spot_put(s->fd, "rotate.2.json", "{}");
	sys.on = true;
	enum rc rc = handoff_request_remove(s->fd, 2, e);
	sys.on = false;
	assert_int_equal(spot_exists(s->fd, "rotate.2.json"), rc != RC_OK);
	spot_remove(s->fd, "rotate.2.json");
	return rc;
}

static enum rc number(struct spot *s, struct err *e)
{
	int64_t newest = -1;
	spot_put(s->fd, "ack.7.json", "{}");
	sys.on = true;
	enum rc rc = handoff_newest(s->fd, 1, &newest, e);
	sys.on = false;
	assert_int_equal(newest, rc == RC_OK ? 7 : -1);
	spot_remove(s->fd, "ack.7.json");
	return rc;
}

static enum rc sweep(struct spot *s, struct err *e)
{
	static const char half[] = ".matrix.json.00000000deadbeef";
	spot_put(s->fd, half, "x");
	spot_age(s->fd, half, 1000);
	sys.on = true;
	enum rc rc = handoff_clean(s->fd, 1, e);
	sys.on = false;
	/* What cannot be looked at stays: there is always a next time. */
	if (rc == RC_OK && strcmp(sys.what, "fstatat") != 0)
		assert_false(spot_exists(s->fd, half));
	spot_remove(s->fd, half);
	return rc;
}

static enum rc move(struct spot *s, struct err *e)
{
	sys.on = true;
	enum rc rc = handoff_remove_elsewhere(
		s->root, "E", "anna", "@ben:example.org", e);
	sys.on = false;
	return rc;
}

static enum rc inspect(struct spot *s, struct err *e)
{
	uint32_t bits = 77;
	sys.on = true;
	enum rc rc = handoff_inspect(s->path, -1, -1, &bits, e);
	sys.on = false;
	assert_int_equal(bits, rc == RC_OK ? 0 : 77);
	return rc;
}

static const struct deed {
	const char *name;
	enum rc (*does)(struct spot *s, struct err *e);
	int64_t after; /* the generation that it leaves of 1 */
	bool by_path;  /* it opens its directory itself */
} deeds[] = {
	{ "write", write_2, 2, false },
	{ "revoke", revoke_2, -2, true },
	{ "settle", settle, 1, false },
	{ "writable", writable, 1, false },
	{ "make_dir", make_dir, 1, true },
	{ "read", read_1, 1, true },
	{ "ask", ask, 1, false },
	{ "answer", answer, 1, false },
	{ "take_back", take_back, 1, false },
	{ "number", number, 1, false },
	{ "sweep", sweep, 1, false },
	{ "move", move, 1, true },
	{ "inspect", inspect, 1, true },
};

static const struct way {
	int error;
	const char *todo; /* in the words */
} ways[] = {
	{ ENOSPC, "make room" },
	{ EDQUOT, "raise the quota" },
	{ EACCES, "right to it" },
	{ ESTALE, "mount it again" },
	{ EROFS, "writable" },
	{ EIO, "system's log" },
	{ ENOMEM, "out of memory" },
};

static void assert_told(
	const struct deed *d, const struct way *w, enum rc rc, const char *text)
{
	const bool told =
		strstr(text, strerror(w->error)) && strstr(text, w->todo);
	/* Here it is who can read it that has to be told. */
	const bool owner = w->error == EACCES &&
		strstr(text, "run the service and the agent as one user");
	const bool right_rc = w->error == ESTALE ? rc == RC_STALE : rc == RC_IO;
	if (!right_rc || !(told || owner) || strstr(text, "the-token"))
		fail_msg("%s, call %d (%s), %s: %s: %s", d->name, sys.n,
			sys.what, strerror(w->error), rc_words(rc), text);
}

/* Whatever was done of it, it can be done now. */
static void assert_whole(
	struct spot *s, const struct deed *d, const struct way *w, enum rc rc)
{
	int64_t there = spot_generation(s->fd);
	if (there != d->after && (rc == RC_OK || there != 1))
		fail_msg("%s, %s of %s: generation %lld", d->name,
			strerror(w->error), sys.what, (long long)there);
	/* What cannot be removed stays until it is swept. */
	if (strcmp(sys.what, "unlinkat") != 0)
		assert_string_equal(spot_other(s->fd, HANDOFF_FILE), "");
}

static void start_with_1(const struct spot *s)
{
	quiet();
	if (spot_generation(s->fd) == 1)
		return;
	spot_remove(s->fd, HANDOFF_FILE);
	spot_write(s->fd, 1);
}

/* The n-th call fails so; false: there are not as many. */
static bool fail_at(
	struct spot *s, const struct deed *d, const struct way *w, int n)
{
	struct err e = { 0 };
	start_with_1(s);
	sys.at = n;
	sys.error = w->error;
	enum rc rc = d->does(s, &e);
	if (rc != RC_OK)
		assert_told(d, w, rc, e.text);
	if (d->by_path && w->error == ESTALE && rc != RC_OK)
		fail_msg("%s: not tried again after %s", d->name, sys.what);
	assert_whole(s, d, w, rc);
	const bool failed = sys.failed > 0;
	start_with_1(s);
	assert_ok(d->does(s, &e), e);
	assert_int_equal(spot_generation(s->fd), d->after);
	for (const char *half; *(half = spot_other(s->fd, HANDOFF_FILE));)
		spot_remove(s->fd, half);
	return failed;
}

static void each_call_fails_in_each_way(void **state)
{
	struct spot *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(deeds); i++)
		for (size_t j = 0; j < ARRAY_LEN(ways); j++) {
			int n = 1;
			while (fail_at(s, &deeds[i], &ways[j], n))
				n++;
			assert_in_range(n, 2, 200);
		}
}

/* From some call on all of them: a disk that is gone stays gone. */
static void from_each_call_on_all_fail(void **state)
{
	struct spot *s = *state;
	struct err e;
	int n = 1;
	do {
		start_with_1(s);
		sys.at = n++;
		sys.error = EIO;
		sys.always = true;
		enum rc rc = write_2(s, &e);
		int64_t there = spot_generation(s->fd);
		assert_true(there == 2 || (there == 1 && rc != RC_OK));
		for (const char *half;
			*(half = spot_other(s->fd, HANDOFF_FILE));)
			spot_remove(s->fd, half);
	} while (sys.failed > 0);
	assert_in_range(n, 10, 200);
}

/* --- somebody comes between ------------------------------------------------- */

static void be_a_pipe(const struct spot *s)
{
	assert_int_equal(unlinkat(s->fd, HANDOFF_FILE, 0), 0);
	assert_int_equal(mkfifoat(s->fd, HANDOFF_FILE, 0600), 0);
}

static void be_a_link(const struct spot *s)
{
	assert_int_equal(
		renameat(s->fd, HANDOFF_FILE, s->fd, "../../../outside"), 0);
	assert_int_equal(symlinkat("../../../outside", s->fd, HANDOFF_FILE), 0);
}

static void be_linked(const struct spot *s)
{
	assert_int_equal(linkat(s->fd, HANDOFF_FILE, s->fd, "../two", 0), 0);
}

static void be_gone(const struct spot *s)
{
	assert_int_equal(unlinkat(s->fd, HANDOFF_FILE, 0), 0);
}

static void be_newer(const struct spot *s)
{
	spot_write(s->fd, 5);
}

static void it_changes_after_the_look(void **state)
{
	struct spot *s = *state;
	static const struct {
		void (*before)(const struct spot *s);
		enum rc rc;
		const char *word;
	} cases[] = {
		{ be_a_pipe, RC_CORRUPT, "a pipe" },
		{ be_a_link, RC_CORRUPT, "a symbolic link" },
		{ be_linked, RC_CORRUPT, "2 names" },
		{ be_gone, RC_NOT_FOUND, "not there" },
		{ be_newer, RC_OK, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct handoff h = { 0 };
		struct err e = { 0 };
		quiet();
		spot_remove(s->fd, HANDOFF_FILE);
		spot_write(s->fd, 1);
		sys.before = cases[i].before;
		sys.name = HANDOFF_FILE;
		sys.spot = s;
		alarm(60);
		assert_rc(handoff_read(s->fd, &h, &e), cases[i].rc);
		alarm(0);
		if (cases[i].rc != RC_OK)
			assert_non_null(strstr(e.text, cases[i].word));
		else
			assert_int_equal(h.generation, 5);
		assert_null(sys.before);
		handoff_fini(&h);
	}
	quiet();
}

/* Some devices do something when they are opened. */
static void what_is_no_file_is_not_opened(void **state)
{
	struct spot *s = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	assert_int_equal(mkfifoat(s->fd, HANDOFF_FILE, 0600), 0);
	quiet();
	assert_rc(handoff_read(s->fd, &h, &e), RC_CORRUPT);
	assert_int_equal(sys.opened, 0);
}

static void lock_be_a_link(const struct spot *s)
{
	spot_remove(s->fd, SPOT_LOCK);
	assert_int_equal(symlinkat("../../../outside", s->fd, SPOT_LOCK), 0);
}

static void lock_be_a_pipe(const struct spot *s)
{
	spot_remove(s->fd, SPOT_LOCK);
	assert_int_equal(mkfifoat(s->fd, SPOT_LOCK, 0600), 0);
}

static void the_lock_changes_after_the_look(void **state)
{
	struct spot *s = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	spot_make(&h, 1);
	quiet();
	sys.spot = s;
	sys.name = SPOT_LOCK;
	sys.before = lock_be_a_link;
	assert_rc(handoff_write(s->fd, &h, -1, -1, &e), RC_IO);
	assert_false(spot_exists(s->fd, "../../../outside"));
	spot_remove(s->fd, SPOT_LOCK);
	sys.before = lock_be_a_pipe;
	alarm(60);
	assert_rc(handoff_write(s->fd, &h, -1, -1, &e), RC_IO);
	alarm(0);
	assert_non_null(strstr(e.text, "remove it"));
	assert_int_equal(spot_count(s->fd), 0);
	handoff_fini(&h);
	quiet();
}

/* Before the temporary file is opened again, it is a pipe. */
static void temp_be_a_pipe(const struct spot *s)
{
	char name[256];
	snprintf(name, sizeof(name), "%s", spot_other(s->fd, HANDOFF_FILE));
	assert_int_equal(unlinkat(s->fd, name, 0), 0);
	assert_int_equal(mkfifoat(s->fd, name, 0600), 0);
}

static void arm(const struct spot *s)
{
	(void)s;
	sys.before = temp_be_a_pipe;
}

static void a_try_waits_for_no_pipe(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	quiet();
	sys.spot = s;
	sys.name = ".f.";
	sys.before = arm;
	alarm(60);
	assert_ok(file_try_at(s->fd, "f", 0600, -1, -1, &e), e);
	alarm(0);
	assert_null(sys.before);
	assert_int_equal(spot_count(s->fd), 0);
}

/* --- the lock ----------------------------------------------------------------- */

static void who_keeps_the_lock_keeps_no_token(void **state)
{
	struct spot *s = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	const struct handoff_grave g = spot_grave(1);
	spot_write(s->fd, 1);
	int fd = openat(s->fd, SPOT_LOCK, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	quiet();
	sys.skip_ms = 300;
	spot_make(&h, 2);
	assert_rc(handoff_write(s->fd, &h, -1, -1, &e), RC_BUSY);
	assert_non_null(strstr(e.text, "a second service"));
	assert_rc(handoff_writable(s->fd, -1, -1, &e), RC_BUSY);
	assert_rc(handoff_settle(s->fd, -1, -1, &e), RC_BUSY);
	assert_int_equal(spot_generation(s->fd), 1);
	assert_ok(handoff_revoke(s->path, &g, -1, -1, &e), e);
	assert_int_equal(spot_generation(s->fd), -1);
	quiet();
	assert_int_equal(close(fd), 0);
	assert_ok(handoff_write(s->fd, &h, -1, -1, &e), e);
	handoff_fini(&h);
}

static void another_lock(const struct spot *s)
{
	assert_int_equal(unlinkat(s->fd, SPOT_LOCK, 0), 0);
	spot_put(s->fd, SPOT_LOCK, "");
}

static void another_lock_that_is_held(const struct spot *s)
{
	another_lock(s);
	lock_held = openat(s->fd, SPOT_LOCK, O_RDWR);
	assert_int_equal(__real_flock(lock_held, LOCK_EX | LOCK_NB), 0);
}

static void another_lock_each_time(const struct spot *s)
{
	another_lock(s);
	sys.before = another_lock_each_time;
}

/* The lock of a file that is there no more keeps nobody out. */
static void the_lock_is_replaced(void **state)
{
	struct spot *s = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	spot_write(s->fd, 1);
	spot_make(&h, 2);
	quiet();
	sys.spot = s;
	sys.name = "locking";
	sys.skip_ms = 300;
	sys.before = another_lock_that_is_held;
	assert_rc(handoff_write(s->fd, &h, -1, -1, &e), RC_BUSY);
	assert_non_null(strstr(e.text, "a second service"));
	close(lock_held);
	sys.before = another_lock_each_time;
	assert_rc(handoff_write(s->fd, &h, -1, -1, &e), RC_BUSY);
	assert_non_null(strstr(e.text, "all the time"));
	assert_int_equal(spot_generation(s->fd), 1);
	sys.before = another_lock;
	assert_ok(handoff_write(s->fd, &h, -1, -1, &e), e);
	assert_int_equal(spot_generation(s->fd), 2);
	handoff_fini(&h);
	quiet();
}

static void where_there_are_no_locks(void **state)
{
	struct spot *s = *state;
	static const int none[] = { ENOLCK, EOPNOTSUPP, EBADF, ENOSYS };
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct err e = { 0 };
		quiet();
		spot_remove(s->fd, HANDOFF_FILE);
		spot_write(s->fd, 1);
		/* The lock is looked at, opened, looked at, taken. */
		sys.at = 4;
		sys.error = none[i];
		assert_ok(write_2(s, &e), e);
		assert_string_equal(sys.what, "flock");
	}
	quiet();
}

static void a_directory_without_end(void **state)
{
	struct spot *s = *state;
	struct err e = { 0 };
	int64_t newest = -1;
	quiet();
	sys.endless = true;
	assert_rc(handoff_newest(s->fd, 0, &newest, &e), RC_TOO_LARGE);
	assert_non_null(strstr(e.text, "100000 names"));
	assert_int_equal(newest, -1);
	assert_rc(handoff_request_newest(s->fd, 0, &newest, &e), RC_TOO_LARGE);
	assert_rc(handoff_clean(s->fd, 1, &e), RC_TOO_LARGE);
	quiet();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, spot_set_up, spot_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_call_fails_in_each_way),
		CASE(from_each_call_on_all_fail),
		CASE(it_changes_after_the_look),
		CASE(what_is_no_file_is_not_opened),
		CASE(the_lock_changes_after_the_look),
		CASE(a_try_waits_for_no_pipe),
		CASE(who_keeps_the_lock_keeps_no_token),
		CASE(the_lock_is_replaced),
		CASE(where_there_are_no_locks),
		CASE(a_directory_without_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
