/*
 * A writer is killed at every one of its system calls, before it and after it
 * (ptrace): whoever reads finds what was there before or what was to come, whole,
 * the next writer is not held up, and what was left half done is swept.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

#define MAX_STOPS 1000
#define UNTRACED 99
#define SYSCALL_STOP (SIGTRAP | 0x80)

struct deed {
	const char *name;
	enum rc (*does)(const struct spot *s);
	void (*before)(const struct spot *s);
	/* Fails the test for what is neither before nor after; `ended`: it was
	 * not killed. */
	void (*check)(const struct spot *s, bool ended);
};

/* Nobody cuts the power, so only who is killed waits for the disk. */
static bool in_child;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	return in_child ? __real_fsync(fd) : 0;
}

/* --- a child that is killed -------------------------------------------------- */

static pid_t start(const struct spot *s, const struct deed *d)
{
	int status = 0;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(UNTRACED);
		in_child = true;
		raise(SIGSTOP);
		_exit(d->does(s) == RC_OK ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNTRACED)
		skip(); /* some containers allow it to nobody */
	assert_true(WIFSTOPPED(status));
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
			(void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)),
		0);
	return pid;
}

/* On to where it enters or leaves the next call: false when it has ended. */
static bool next_stop(pid_t pid, int *status)
{
	int signal = 0;
	do {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL,
					 (void *)(intptr_t)signal),
			0);
		assert_int_equal(waitpid(pid, status, 0), pid);
		if (!WIFSTOPPED(*status))
			return false;
		signal = WSTOPSIG(*status);
	} while (signal != SYSCALL_STOP);
	return true;
}

/* Does it up to the n-th stop, and is killed there; false: it came to its end
 * before. */
static bool killed_at(const struct spot *s, const struct deed *d, int n)
{
	int status = 0;
	pid_t pid = start(s, d);
	for (int i = 0; i < n; i++)
		if (!next_stop(pid, &status)) {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return true;
}

/* --- what it does ------------------------------------------------------------ */

static enum rc write_it(const struct spot *s, int64_t generation)
{
	struct handoff h = { 0 };
	spot_make(&h, generation);
	enum rc rc = handoff_write(s->fd, &h, -1, -1, NULL);
	handoff_fini(&h);
	return rc;
}

static enum rc write_2(const struct spot *s)
{
	return write_it(s, 2);
}

static enum rc bury_2(const struct spot *s)
{
	const struct handoff_grave g = spot_grave(2);
	return handoff_revoke(s->path, &g, -1, -1, NULL);
}

static enum rc settle(const struct spot *s)
{
	return handoff_settle(s->fd, -1, -1, NULL);
}

static enum rc ask(const struct spot *s)
{
	const struct handoff_request q = spot_request(2);
	return handoff_request_write(s->fd, &q, -1, -1, NULL);
}

static enum rc answer(const struct spot *s)
{
	const struct handoff_ack a = spot_answer(2);
	return handoff_paused_write(s->fd, &a, NULL);
}

static char *delivered(const struct spot *s)
{
	static char path[300];
	snprintf(path, sizeof(path), "%s/delivered", s->path);
	return path;
}

static enum rc deliver(const struct spot *s)
{
	return file_replace(delivered(s), "the second\n", 11, 0600, NULL);
}

static enum rc make_and_write(const struct spot *s)
{
	struct handoff h = { 0 };
	int fd = -1;
	spot_make(&h, 2);
	enum rc rc = handoff_dir_make(s->root, "E", "ben", -1, -1, &fd, NULL);
	if (rc == RC_OK)
		rc = handoff_write(fd, &h, -1, -1, NULL);
	if (fd >= 0)
		close(fd);
	handoff_fini(&h);
	return rc;
}

/* --- before and after --------------------------------------------------------- */

static void nothing(const struct spot *s)
{
	spot_remove(s->fd, HANDOFF_FILE);
	spot_remove(s->fd, "rotate.2.json");
	spot_remove(s->fd, "paused.2.json");
	spot_remove(s->fd, "delivered");
	spot_remove(s->fd, "../../E");
}

static void generation_1(const struct spot *s)
{
	nothing(s);
	spot_write(s->fd, 1);
}

static void shown_to_all(const struct spot *s)
{
	generation_1(s);
	assert_int_equal(fchmodat(s->fd, HANDOFF_FILE, 0644, 0), 0);
}

static void one_delivered(const struct spot *s)
{
	struct err e = { 0 };
	nothing(s);
	assert_ok(file_replace(delivered(s), "the first\n", 10, 0600, &e), e);
}

static void is_0_or_2(const struct spot *s, bool ended)
{
	int64_t there = spot_generation(s->fd);
	assert_true(there == 2 || (!ended && there == 0));
}

static void is_1_or_2(const struct spot *s, bool ended)
{
	int64_t there = spot_generation(s->fd);
	assert_true(there == 2 || (!ended && there == 1));
}

static void is_1_or_buried(const struct spot *s, bool ended)
{
	int64_t there = spot_generation(s->fd);
	assert_true(there == -2 || (!ended && there == 1));
}

static void is_1_and_private(const struct spot *s, bool ended)
{
	struct stat st;
	assert_int_equal(spot_generation(s->fd), 1);
	assert_int_equal(fstatat(s->fd, HANDOFF_FILE, &st, 0), 0);
	assert_true((st.st_mode & 0777) == 0600 ||
		(!ended && (st.st_mode & 0777) == 0644));
}

static void is_asked_or_not(const struct spot *s, bool ended)
{
	struct handoff_request q = { 0 };
	int64_t newest = -1;
	struct err e = { 0 };
	enum rc rc = handoff_request_read(s->fd, 2, &q, &e);
	assert_ok(handoff_request_newest(s->fd, 1, &newest, &e), e);
	if (rc == RC_NOT_FOUND && !ended)
		return;
	assert_ok(rc, e);
	assert_int_equal(q.wait_ms, 30000);
	assert_int_equal(newest, 2);
}

static void is_answered_or_not(const struct spot *s, bool ended)
{
	struct handoff_ack a = { 0 };
	struct err e = { 0 };
	enum rc rc = handoff_paused_read(s->fd, 2, &a, &e);
	if (rc == RC_NOT_FOUND && !ended)
		return;
	assert_ok(rc, e);
	assert_string_equal(a.agent, "host/1");
}

static void is_the_first_or_the_second(const struct spot *s, bool ended)
{
	struct buf b;
	struct err e = { 0 };
	buf_init(&b, 100);
	assert_ok(file_read(delivered(s), &b, &e), e);
	if (strcmp(buf_str(&b), "the second\n") != 0) {
		assert_false(ended);
		assert_string_equal(buf_str(&b), "the first\n");
	}
	buf_free(&b);
}

static void is_made_or_can_be(const struct spot *s, bool ended)
{
	struct err e = { 0 };
	int fd = openat(s->fd, "../../E/ben", O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0 || !ended);
	if (fd >= 0) {
		int64_t there = spot_generation(fd);
		assert_true(there == 2 || (!ended && there == 0));
		close(fd);
	}
	assert_ok(handoff_dir_make(s->root, "E", "ben", -1, -1, &fd, &e), e);
	spot_write(fd, 3);
	close(fd);
}

static const struct deed deeds[] = {
	{ "the first write", write_2, nothing, is_0_or_2 },
	{ "a write", write_2, generation_1, is_1_or_2 },
	{ "a tombstone", bury_2, generation_1, is_1_or_buried },
	{ "a file put right", settle, shown_to_all, is_1_and_private },
	{ "a request", ask, nothing, is_asked_or_not },
	{ "an answer", answer, nothing, is_answered_or_not },
	{ "a delivery", deliver, one_delivered, is_the_first_or_the_second },
	{ "a new directory", make_and_write, nothing, is_made_or_can_be },
};

/* --- at every call ------------------------------------------------------------- */

/* A temporary file; "" for none. */
static void find_half(const struct spot *s, char half[256])
{
	DIR *dir = opendir(s->path);
	assert_non_null(dir);
	half[0] = '\0';
	for (struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] == '.' && strlen(d->d_name) > 20)
			snprintf(half, 256, "%s", d->d_name);
	closedir(dir);
}

/* A half is private, and gone after a minute: the temporary file of a delivery
 * is its own matter. */
static int sweep(const struct spot *s, const struct deed *d)
{
	struct err e = { 0 };
	struct stat st;
	char half[256];
	find_half(s, half);
	if (!*half)
		return 0;
	assert_int_equal(fstatat(s->fd, half, &st, AT_SYMLINK_NOFOLLOW), 0);
	if (st.st_size > 0 && d->check != is_asked_or_not &&
		d->check != is_answered_or_not)
		assert_int_equal(st.st_mode & 0777, 0600);
	assert_ok(handoff_clean(s->fd, 3, &e), e);
	assert_true(spot_exists(s->fd, half));
	spot_age(s->fd, half, time(NULL) - 62);
	assert_ok(handoff_clean(s->fd, 3, &e), e);
	if (d->does == deliver)
		spot_remove(s->fd, half);
	assert_false(spot_exists(s->fd, half));
	return 1;
}

static void killed_at_every_call(void **state)
{
	const struct spot *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
		const struct deed *d = &deeds[i];
		int n = 0, halves = 0;
		bool killed = true;
		for (; killed && n < MAX_STOPS; n++) {
			d->before(s);
			killed = killed_at(s, d, n);
			d->check(s, !killed);
			halves += sweep(s, d);
			spot_write(s->fd, 3);
			assert_int_equal(spot_generation(s->fd), 3);
		}
		print_message("%s: killed %d times, %d times in the middle\n",
			d->name, n - 1, halves);
		/* Each of its calls was one: to make, mode, write, sync,
		 * close, rename. */
		assert_in_range(n, 20, MAX_STOPS - 1);
		if (d->check != is_made_or_can_be)
			assert_in_range(halves, 10, MAX_STOPS);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, spot_set_up, spot_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(killed_at_every_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
