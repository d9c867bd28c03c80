/*
 * The order in which a file is replaced, since that is what a crash and a
 * second host see: the linker puts us between the code and its system calls
 * (--wrap, in the Makefile), where they are written down, and may fail.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "handoff/handoff.h"

#include "base/poison.h"

#define NAME "matrix.json"
#define LOCK ".matrix.json.lock"
#define REPLACED "create chmod write fsync close rename fsync-dir"
#define HANDED                                                                 \
	"lock unlink-ack create chmod chown write fsync close rename "         \
	"fsync-dir open read"

/* --- what was called ------------------------------------------------------ */

static struct {
	bool on;
	char said[512];
	int temp; /* the temporary file's descriptor */
	char temp_name[256];
	const char *fails; /* this call does, with `error` */
	int error;
	void (*then)(void *arg); /* after the directory was synced */
	void *arg;
} calls = { .temp = -1 };

static void record(void)
{
	memset(&calls, 0, sizeof(calls));
	calls.on = true;
	calls.temp = -1;
}

static void record_failing(const char *call, int error)
{
	record();
	calls.fails = call;
	calls.error = error;
}

/* Writes it down, the same one in a row once; true: it is to fail. */
static bool call(const char *what)
{
	size_t n = strlen(calls.said), k = strlen(what);
	bool again = n >= k && strcmp(calls.said + n - k, what) == 0 &&
		(n == k || calls.said[n - k - 1] == ' ');
	if (!again)
		snprintf(calls.said + n, sizeof(calls.said) - n, "%s%s",
			n ? " " : "", what);
	if (!calls.fails || strcmp(calls.fails, what) != 0)
		return false;
	errno = calls.error;
	return true;
}

static bool is_dir(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Nobody but the owner may read it, and it is empty as yet. */
static bool is_private(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600 &&
		st.st_uid == geteuid();
}

int __real_openat(int dirfd_, const char *name, int flags, ...);
int __wrap_openat(int dirfd_, const char *name, int flags, ...);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __real_unlinkat(int dirfd_, const char *name, int flags);
int __wrap_unlinkat(int dirfd_, const char *name, int flags);

int __wrap_openat(int dirfd_, const char *name, int flags, ...)
{
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list ap;
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (!calls.on)
		return __real_openat(dirfd_, name, flags, mode);
	if (!(flags & O_CREAT)) {
		if (call("open"))
			return -1;
		return __real_openat(dirfd_, name, flags);
	}
	if (strcmp(name, LOCK) == 0)
		return call("lock") ? -1
				    : __real_openat(dirfd_, name, flags, mode);
	bool right = (flags & O_EXCL) && mode == 0600 && calls.temp < 0 &&
		name[0] == '.' && strcmp(name, NAME) != 0;
	if (call(right ? "create" : "create-wrong"))
		return -1;
	snprintf(calls.temp_name, sizeof(calls.temp_name), "%s", name);
	calls.temp = __real_openat(dirfd_, name, flags, mode);
	return calls.temp;
}

int __wrap_fchmod(int fd, mode_t mode)
{
	if (calls.on &&
		call(fd == calls.temp && mode == 0600 ? "chmod"
						      : "chmod-wrong"))
		return -1;
	return __real_fchmod(fd, mode);
}

int __wrap_fchown(int fd, uid_t uid, gid_t gid)
{
	bool right = fd == calls.temp && uid == getuid() && gid == getgid();
	if (calls.on && call(right ? "chown" : "chown-wrong"))
		return -1;
	return __real_fchown(fd, uid, gid);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	if (!calls.on)
		return __real_write(fd, p, n);
	bool right = fd == calls.temp && is_private(fd);
	if (call(right ? "write" : "write-wrong"))
		return -1;
	return __real_write(fd, p, n > 100 ? 100 : n); /* in pieces */
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	if (calls.on && call("read"))
		return -1;
	return __real_read(fd, p, n);
}

int __wrap_fsync(int fd)
{
	if (!calls.on)
		return __real_fsync(fd);
	const char *what = is_dir(fd) ? "fsync-dir"
		: fd == calls.temp    ? "fsync"
				      : "fsync-wrong";
	if (call(what))
		return -1;
	int done = __real_fsync(fd);
	if (is_dir(fd) && calls.then) {
		calls.on = false;
		calls.then(calls.arg);
		calls.on = true;
	}
	return done;
}

int __wrap_close(int fd)
{
	bool ours = calls.on && calls.temp >= 0 && fd == calls.temp;
	if (ours)
		calls.temp = -1;
	bool fails = ours && call("close");
	int done = __real_close(fd);
	if (fails)
		errno = calls.error;
	return fails ? -1 : done;
}

int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	bool right = from == to && strcmp(old, calls.temp_name) == 0 &&
		strcmp(new, NAME) == 0 && calls.temp < 0;
	if (calls.on && call(right ? "rename" : "rename-wrong"))
		return -1;
	return __real_renameat(from, old, to, new);
}

/* An old acknowledgement of this generation is not of this file. */
static const char *unlinking(const char *name)
{
	if (strncmp(name, "ack.", 4) == 0)
		return "unlink-ack";
	return strcmp(name, calls.temp_name) == 0 ? "unlink" : "unlink-wrong";
}

int __wrap_unlinkat(int dirfd_, const char *name, int flags)
{
	if (calls.on)
		call(unlinking(name));
	return __real_unlinkat(dirfd_, name, flags);
}

/* --- a directory ---------------------------------------------------------- */

struct place {
	char path[256];
	int fd;
	struct handoff first, second;
};

static void make(struct handoff *h, int64_t generation, const char *token)
{
	struct secret s = { 0 };
	assert_rc(secret_set(&s, token, strlen(token)), RC_OK);
	assert_rc(handoff_set(h, generation, "@anna:example.org", "MUSTER",
			  "http://127.0.0.1:6167", &s, 1772000000000),
		RC_OK);
	secret_fini(&s);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");
	snprintf(p->path, sizeof(p->path), "%s/test-order-XXXXXX",
		tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(p->path))
		return -1;
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make(&p->first, 1, "the-first-token");
	make(&p->second, 2, "the-second-token");
	*state = p;
	return p->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	calls.on = false;
	unlinkat(p->fd, NAME, 0);
	unlinkat(p->fd, LOCK, 0);
	close(p->fd);
	rmdir(p->path);
	handoff_fini(&p->first);
	handoff_fini(&p->second);
	free(p);
	return 0;
}

static void write_first(const struct place *p)
{
	struct err e = { 0 };
	calls.on = false;
	assert_ok(handoff_write(p->fd, &p->first, -1, -1, &e), e);
}

/* The file is this one, whole; and there is nothing else. */
static void assert_only(const struct place *p, const struct handoff *want)
{
	struct handoff got = { 0 };
	struct err e = { 0 };
	calls.on = false;
	assert_ok(handoff_read(p->fd, &got, &e), e);
	assert_int_equal(got.generation, want->generation);
	assert_string_equal(secret_bytes(&got.access_token),
		secret_bytes(&want->access_token));
	handoff_fini(&got);
	DIR *dir = opendir(p->path);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, "..") &&
			strcmp(d->d_name, LOCK))
			assert_string_equal(d->d_name, NAME);
	closedir(dir);
}

/* --- in this order, and no other ------------------------------------------ */

static void test_handed_over(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	record();
	assert_ok(handoff_write(p->fd, &p->first, getuid(), getgid(), &e), e);
	assert_string_equal(calls.said, HANDED);
	assert_only(p, &p->first);
}

static void test_handed_over_again(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	write_first(p);
	record();
	assert_ok(handoff_write(p->fd, &p->second, getuid(), getgid(), &e), e);
	/* It looks first whether what is there may be replaced. */
	assert_string_equal(calls.said,
		"lock open read unlink-ack create chmod chown write fsync "
		"close rename fsync-dir open read");
	assert_only(p, &p->second);
}

static void test_revoked(void **state)
{
	const struct place *p = *state;
	const struct handoff_grave g = { 1, "@anna:example.org", "MUSTER",
		"http://127.0.0.1:6167", 1772000000001 };
	struct err e = { 0 };
	write_first(p);
	record();
	assert_ok(handoff_revoke(p->path, &g, getuid(), getgid(), &e), e);
	assert_string_equal(calls.said,
		"open lock open read create chmod chown write fsync close "
		"rename fsync-dir open read");
	/* Once more: it is there, and lasts. */
	record();
	assert_ok(handoff_revoke(p->path, &g, getuid(), getgid(), &e), e);
	assert_string_equal(calls.said, "open lock open read fsync-dir");
	calls.on = false;
}

/* The owner stays as it is: then nobody changes it. */
static void test_replaced(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	char path[300];
	snprintf(path, sizeof(path), "%s/" NAME, p->path);
	record();
	assert_ok(file_replace(path, "x", 1, 0600, &e), e);
	assert_string_equal(calls.said, REPLACED);
}

/* Whatever our umask is, nobody else has it open when the content comes. */
static void test_private_under_any_umask(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	mode_t before = umask(0);
	record();
	enum rc rc = handoff_write(p->fd, &p->first, getuid(), getgid(), &e);
	umask(0777);
	if (rc == RC_OK) {
		record();
		rc = handoff_write(p->fd, &p->second, -1, -1, &e);
	}
	umask(before);
	assert_ok(rc, e);
	assert_string_equal(calls.said,
		"lock open read unlink-ack create chmod write fsync close "
		"rename fsync-dir open read");
}

/* --- one of them fails ---------------------------------------------------- */

static const struct {
	const char *call, *said;
	int error;
} failures[] = {
	{ "create", "", EACCES },
	{ "chmod", " chmod close unlink", EPERM },
	{ "chown", " chmod chown close unlink", EPERM },
	{ "write", " chmod chown write close unlink", ENOSPC },
	{ "fsync", " chmod chown write fsync close unlink", EIO },
	{ "close", " chmod chown write fsync close unlink", EDQUOT },
	{ "rename", " chmod chown write fsync close rename unlink", EIO },
};

/* The old file is there as it was, and nothing half done beside it. */
static void test_one_fails(void **state)
{
	const struct place *p = *state;
	write_first(p);
	for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++) {
		struct err e = { 0 };
		record_failing(failures[i].call, failures[i].error);
		assert_rc(handoff_write(
				  p->fd, &p->second, getuid(), getgid(), &e),
			RC_IO);
		assert_non_null(strstr(e.text, strerror(failures[i].error)));
		/* In the end it looks whether it was done all the same. */
		char said[256];
		snprintf(said, sizeof(said),
			"lock open read unlink-ack create%s open read",
			failures[i].said);
		assert_string_equal(calls.said, said);
		assert_only(p, &p->first);
	}
}

/* That it lasts is not known then, so it is not said. */
static void test_directory_is_not_synced(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	record_failing("fsync-dir", EIO);
	assert_rc(handoff_write(p->fd, &p->first, -1, -1, &e), RC_IO);
	assert_only(p, &p->first);
}

static void test_directory_cannot_be_synced(void **state)
{
	const struct place *p = *state;
	struct err e = { 0 };
	record_failing("fsync-dir", EINVAL);
	assert_ok(handoff_write(p->fd, &p->first, -1, -1, &e), e);
	assert_only(p, &p->first);
}

/* --- somebody comes between ----------------------------------------------- */

/* One who does not heed our lock. */
static void write_second(void *arg)
{
	const struct place *p = arg;
	struct err e = { 0 };
	calls.then = NULL;
	assert_int_equal(unlinkat(p->fd, LOCK, 0), 0);
	assert_ok(handoff_write(p->fd, &p->second, -1, -1, &e), e);
}

static void damage(void *arg)
{
	const struct place *p = arg;
	calls.then = NULL;
	int fd = openat(p->fd, NAME, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "{", 1), 1);
	close(fd);
}

static void test_somebody_writes_over_it(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	record();
	calls.then = write_second;
	calls.arg = p;
	assert_rc(handoff_write(p->fd, &p->first, -1, -1, &e), RC_BUSY);
	assert_only(p, &p->second);
}

static void test_it_is_not_what_was_written(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	record();
	calls.then = damage;
	calls.arg = p;
	assert_rc(handoff_write(p->fd, &p->first, -1, -1, &e), RC_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handed_over),
		TEST(test_handed_over_again),
		TEST(test_revoked),
		TEST(test_replaced),
		TEST(test_private_under_any_umask),
		TEST(test_one_fails),
		TEST(test_directory_is_not_synced),
		TEST(test_directory_cannot_be_synced),
		TEST(test_somebody_writes_over_it),
		TEST(test_it_is_not_what_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
