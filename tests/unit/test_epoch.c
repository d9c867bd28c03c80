/*
 * tests/unit/test_epoch.c: taking over a network store, moving one in and
 * bringing it home, cut off or failing at each of its system calls: the linker
 * puts us between the code and them (--wrap, in the Makefile).
 */
#include "tests/unit/network_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "store/network_priv.h"

#include "base/poison.h"

#define DIED 77
#define CALLS_MAX 500

/* --- what goes wrong -------------------------------------------------------- */

static struct {
	bool on;
	int n;     /* calls so far */
	int at;    /* this one is it */
	int error; /* it fails with this; 0: the process dies before it */
	bool reached;
} trouble;

static bool fails(void)
{
	if (!trouble.on || ++trouble.n != trouble.at)
		return false;
	trouble.reached = true;
	if (!trouble.error)
		_exit(DIED);
	errno = trouble.error;
	return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list ap;
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	/* Of /proc nothing is written. */
	if (strncmp(path, "/proc/", 6) != 0 && fails())
		return -1;
	return __real_open(path, flags, mode);
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails() ? -1 : __real_pwrite(fd, p, n, at);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	return fails() ? -1 : __real_write(fd, p, n);
}

int __wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t size)
{
	return fails() ? -1 : __real_ftruncate(fd, size);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails() ? -1 : __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
	return fails() ? -1 : __real_unlink(path);
}

/* --- one try ------------------------------------------------------------------ */

/* More than the lease takes, so that a small disk has room for that. */
#define LARGE 200000

/* Ends without closing, as if killed: what was written last is in the log. */
static void write_and_die(struct network_fixture *f, enum store_place place,
	const char *name, size_t size)
{
	static char large[LARGE];
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		memset(large, 'x', size - 1);
		_exit(network_open(f, place) != RC_OK ||
			network_put(f->s, name, large, NULL) != RC_OK);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The files of the one as they are, in the other. */
static void copy_files(struct network_fixture *from, struct network_fixture *to)
{
	struct buf bytes;
	DIR *dir = opendir(from->dir);

	assert_non_null(dir);
	buf_init(&bytes, (size_t)64 << 20);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		assert_ok(file_read(network_file(from, d->d_name), &bytes,
				  &from->e),
			from->e);
		assert_ok(file_replace(network_file(to, d->d_name), bytes.p,
				  bytes.n, 0600, &to->e),
			to->e);
	}
	closedir(dir);
	buf_free(&bytes);
}

enum outcome { NO_SUCH_CALL, OPENED, FAILED };

/* In another process, which dies in it, or afterwards: so nobody waits for it. */
static enum outcome open_in_trouble(
	struct network_fixture *f, enum store_place place, int at, int error)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		trouble.at = at;
		trouble.error = error;
		trouble.on = true;
		const enum rc rc = network_open(f, place);
		trouble.on = false;
		if (rc == RC_OK)
			(void)!network_put(f->s, "trouble", "put", NULL);
		_exit(!trouble.reached        ? NO_SUCH_CALL
				: rc == RC_OK ? OPENED
					      : FAILED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != DIED)
		return (enum outcome)WEXITSTATUS(status);
	assert_int_equal(error, 0);
	return FAILED;
}

static void assert_notes(
	struct network_fixture *f, const char *const *names, int call)
{
	for (; *names; names++)
		if (!network_get(f, *names))
			fail_msg("call %d: the note %s is lost", call, *names);
}

static const char *const both[] = { "first", "second", NULL };

struct move {
	enum store_place from, to;
};

/* Whatever came of it, the next one finds all, and leaves no litter. */
static void check_after(
	struct network_fixture *f, const struct move *m, int at, bool opened)
{
	static const char *const after[] = { "after", NULL };

	assert_ok(network_open(f, m->to), f->e);
	assert_notes(f, both, at);
	if (opened && !network_get(f, "trouble"))
		fail_msg("call %d: it was opened, and what it wrote is lost",
			at);
	assert_ok(network_put(f->s, "after", "put", &f->e), f->e);
	network_close(f);
	assert_ok(network_open(f, m->to), f->e);
	assert_notes(f, both, at);
	assert_notes(f, after, at);
	/* Two databases, and their logs. */
	const int most = m->to == STORE_LOCAL ? 0 : 4;
	if (network_count(f, "state.") > most || network_count(f, ".part") > 0)
		fail_msg("call %d: it leaves litter", at);
	network_close(f);
}

/* At each call of it, in a store of its own. What was not closed is waited for
 * by nobody: it ran here, and is dead. */
static int trouble_at_each_call(const struct move *m, int error)
{
	int at = 0;
	enum outcome outcome = FAILED;
	void *state = NULL;

	assert_int_equal(network_fixture_open(&state), 0);
	struct network_fixture *template = state;
	write_and_die(template, m->from, "first", 100);
	write_and_die(template, m->from, "second", 100);
	while (outcome != NO_SUCH_CALL) {
		assert_true(++at < CALLS_MAX);
		assert_int_equal(network_fixture_open(&state), 0);
		struct network_fixture *f = state;
		copy_files(template, f);
		outcome = open_in_trouble(f, m->to, at, error);
		check_after(f, m, at, outcome == OPENED);
		assert_int_equal(network_fixture_close(&state), 0);
	}
	state = template;
	assert_int_equal(network_fixture_close(&state), 0);
	return at;
}

/* Taking over, moving in, coming home. */
static const struct move moves[] = { { STORE_NETWORK, STORE_NETWORK },
	{ STORE_LOCAL, STORE_NETWORK }, { STORE_NETWORK, STORE_LOCAL } };

static void test_killed_at_each_call(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(moves); i++)
		assert_true(trouble_at_each_call(&moves[i], 0) > 15);
}

static void test_each_call_fails(void **state)
{
	(void)state;
	static const int errors[] = { ENOSPC, EIO, ESTALE };

	for (size_t i = 0; i < ARRAY_LEN(moves); i++)
		assert_true(trouble_at_each_call(&moves[i], errors[i]) > 15);
}

/* --- a full disk -------------------------------------------------------------------- */

/* A file that may not grow is a full disk, for SQLite too. */
static _Noreturn void open_on_a_full_disk(
	struct network_fixture *f, rlim_t room)
{
	const struct rlimit limit = { room, room };

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		_exit(99);
	_exit((int)network_open(f, STORE_NETWORK));
}

static void test_full_disk(void **state)
{
	struct network_fixture *f = *state;
	int status = 0, failed = 0;

	write_and_die(f, STORE_NETWORK, "first", LARGE);
	write_and_die(f, STORE_NETWORK, "second", LARGE);
	/* From what the lease takes to what is enough. */
	for (rlim_t room = 64 * 1024; room < 1024 * 1024; room += 16 * 1024) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			open_on_a_full_disk(f, room);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		failed += WEXITSTATUS(status) == RC_IO;
		if (WEXITSTATUS(status) == RC_OK)
			break;
		assert_int_equal(WEXITSTATUS(status), RC_IO);
		assert_int_equal(network_count(f, ".part"), 0);
	}
	assert_int_equal(WEXITSTATUS(status), RC_OK);
	assert_true(failed > 0);
	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_notes(f, both, 0);
}

/* --- which files there are ------------------------------------------------------------- */

static void make(struct network_fixture *f, const char *name)
{
	assert_ok(
		file_replace(network_file(f, name), "", 0, 0600, &f->e), f->e);
}

static void test_names(void **state)
{
	struct network_fixture *f = *state;
	static const char *const others[] = { "state.db", "state.x.db",
		"state.01.db", "state.0.db", "state.-1.db", "state.9",
		"state.99999999999999999999.db", "mystate.9.db", "state.9db",
		"State.9.db" };
	struct epochs files = { 0 };

	assert_ok(epochs_look(f->dir, &files, &f->e), f->e);
	assert_int_equal(files.newest, 0);
	assert_int_equal(files.top, 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		make(f, others[i]);
	assert_ok(epochs_look(f->dir, &files, &f->e), f->e);
	assert_int_equal(files.top, 0);
	make(f, "state.9.db");
	make(f, "state.10.db");
	make(f, "state.10.db-wal");
	make(f, "state.12.part");
	make(f, "state.11.db-wal");
	assert_ok(epochs_look(f->dir, &files, &f->e), f->e);
	assert_int_equal(files.newest, 10);
	assert_int_equal(files.before, 9);
	assert_int_equal(files.top, 12);
	assert_rc(
		epochs_look(network_file(f, "nowhere"), &files, &f->e), RC_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_each_call),
		cmocka_unit_test(test_each_call_fails),
		NETWORK_TEST(test_full_disk),
		NETWORK_TEST(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
