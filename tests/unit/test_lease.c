/*
 * tests/unit/test_lease.c: who has the lease of a network store: the record,
 * what ends it, and a file system that does not answer: the linker puts us
 * between the code and fsync() (--wrap, in the Makefile).
 */
#define _GNU_SOURCE /* F_OFD_SETLK; and alloca(), which is not wanted */
#include "tests/unit/network_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/network_priv.h"

#undef alloca
#include "base/poison.h"

#define STORE "muster.db"
#define SHORT_MS 1200
/* A heartbeat every other second, and none is late on a machine that has other
 * things to do. */
#define BEATS_MS 24000
/* For half as long it may hang: no test waits for more. */
#define HANG_MS 8000
/* No heartbeat comes in this time. */
#define LONG_MS 600000

/* --- a file system that hangs, or fails ------------------------------------------ */

static struct {
	atomic_bool hangs;
	atomic_int error;
	sem_t hung, go_on;
} disk;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	if (atomic_load(&disk.hangs)) {
		sem_post(&disk.hung);
		while (sem_wait(&disk.go_on) != 0)
			continue;
	}
	errno = atomic_load(&disk.error);
	return errno ? -1 : __real_fsync(fd);
}

/* --- what is told of a loss --------------------------------------------------------- */

struct loss {
	sem_t told;
	char why[512];
};

static void on_lost(void *arg, const char *why)
{
	struct loss *loss = arg;

	snprintf(loss->why, sizeof(loss->why), "%s", why);
	sem_post(&loss->told);
}

static struct lease *take(
	struct network_fixture *f, struct loss *loss, int64_t takeover_ms)
{
	const struct store_options o = {
		.takeover_ms = takeover_ms, .lost = on_lost, .arg = loss
	};
	struct lease *l = NULL;

	sem_init(&loss->told, 0, 0);
	assert_ok(lease_take(f->dir, STORE, &o, &l, &f->e), f->e);
	return l;
}

static void wait_for_loss(struct loss *loss, const char *words)
{
	while (sem_wait(&loss->told) != 0)
		continue;
	if (!strstr(loss->why, words))
		fail_msg("\"%s\" does not say \"%s\"", loss->why, words);
}

/* --- the record ----------------------------------------------------------------------- */

static const struct lease_record some = { .epoch = 18,
	.beat = 5,
	.store = STORE,
	.who = { .host = "ip-10-0-0-1",
		.boot = "b",
		.space = "pid:[1]",
		.pid = 12,
		.began = "77" },
	.since_ms = INT64_C(1772712000123),
	.takeover_ms = 60000 };

static void write_some(struct network_fixture *f, const struct lease_record *r)
{
	FILE *file = fopen(network_file(f, "lease"), "r+");

	if (!file)
		file = fopen(network_file(f, "lease"), "w+");
	assert_non_null(file);
	assert_true(lease_record_write(fileno(file), r));
	fclose(file);
}

static void test_record(void **state)
{
	struct network_fixture *f = *state;
	const char *path = network_file(f, "lease");
	struct lease_record got;
	char raw[LEASE_RECORD], words[200];

	/* None at all, and none of a file that is empty. */
	assert_ok(lease_record_newest(path, &got, raw, &f->e), f->e);
	assert_int_equal(got.epoch, 0);
	write_some(f, &some);
	assert_ok(lease_record_newest(path, &got, raw, &f->e), f->e);
	assert_int_equal(got.epoch, 18);
	assert_int_equal(got.beat, 5);
	assert_int_equal(got.takeover_ms, 60000);
	assert_false(got.ended);
	assert_string_equal(got.store, STORE);
	assert_string_equal(got.who.began, "77");
	lease_record_words(&got, words, sizeof(words));
	assert_string_equal(
		words, "pid 12 on ip-10-0-0-1 since 2026-03-05T12:00:00.123Z");

	/* The newest counts, wherever it stands. */
	struct lease_record r = some;
	r.epoch = 17;
	write_some(f, &r);
	r.epoch = 31;
	r.ended = true;
	write_some(f, &r);
	r.epoch = 4;
	write_some(f, &r);
	assert_ok(lease_record_newest(path, &got, raw, &f->e), f->e);
	assert_int_equal(got.epoch, 31);
	assert_true(got.ended);
}

static void test_a_record_that_is_none(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"{}\n",
		"{\"beat\":1,\"epoch\":1}\n",
		/* in another's place, under 1, without an end, and with a
		 * control character */
		"{\"beat\":1,\"epoch\":2,\"store\":\"s\",\"host\":\"h\","
		"\"pid\":1,\"began\":\"\",\"boot\":\"\",\"space\":\"\","
		"\"since_ms\":1,\"takeover_ms\":1,\"ended\":false}\n",
		"{\"beat\":1,\"epoch\":-15,\"store\":\"s\",\"host\":\"h\","
		"\"pid\":1,\"began\":\"\",\"boot\":\"\",\"space\":\"\","
		"\"since_ms\":1,\"takeover_ms\":1,\"ended\":false}\n",
		"{\"beat\":1,\"epoch\":1,\"store\":\"s\",\"host\":\"h\","
		"\"pid\":1,\"began\":\"\",\"boot\":\"\",\"space\":\"\","
		"\"since_ms\":1,\"takeover_ms\":1,\"ended\":false}",
		"{\"beat\":1,\"epoch\":1,\"store\":\"s\","
		"\"host\":\"\\u001b[2J\","
		"\"pid\":1,\"began\":\"\",\"boot\":\"\",\"space\":\"\","
		"\"since_ms\":1,\"takeover_ms\":1,\"ended\":false}\n",
		/* who would never be taken over from */
		"{\"beat\":1,\"epoch\":1,\"store\":\"s\",\"host\":\"h\","
		"\"pid\":1,\"began\":\"\",\"boot\":\"\",\"space\":\"\","
		"\"since_ms\":1,\"takeover_ms\":600001,\"ended\":false}\n",
	};
	struct lease_record r;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char slot[LEASE_RECORD] = { 0 };
		memcpy(slot, texts[i], strlen(texts[i]));
		if (lease_record_read(slot, 1, &r))
			fail_msg("taken for a record: %s", texts[i]);
	}
}

/* --- a process ------------------------------------------------------------------------- */

static void test_a_process_that_is_gone(void **state)
{
	(void)state;
	struct who me, other;
	int status;

	who_am_i(&me);
	assert_int_equal(me.pid, getpid());
	assert_false(who_is_dead(&me));

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	other = me;
	other.pid = pid;
	/* Not waited for yet, and of another beginning at that: dead, too. */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(who_is_dead(&other));
	/* Another process of this number. */
	other = me;
	snprintf(other.began, sizeof(other.began), "1");
	assert_true(who_is_dead(&other));

	/* Elsewhere it cannot be known. */
	other.pid = pid;
	snprintf(other.host, sizeof(other.host), "another");
	assert_false(who_is_dead(&other));
	other = me;
	other.pid = pid;
	other.boot[0] ^= 1;
	assert_false(who_is_dead(&other));
	other = me;
	other.pid = pid;
	other.space[0] ^= 1;
	assert_false(who_is_dead(&other));
	other = me;
	other.pid = pid;
	other.boot[0] = '\0';
	assert_false(who_is_dead(&other));
}

/* --- taking it --------------------------------------------------------------------------- */

static void test_one_after_the_other(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *second = NULL;
	const struct store_options o = { 0 };

	struct lease *l = take(f, &loss, LONG_MS);
	assert_int_equal(lease_epoch(l), 1);
	assert_ok(lease_may_act(l, &f->e), f->e);
	assert_rc(lease_take(f->dir, STORE, &o, &second, &f->e), RC_BUSY);
	lease_free(l);
	l = take(f, &loss, LONG_MS);
	assert_int_equal(lease_epoch(l), 2);
	lease_free(l);
}

/* Somebody is about to begin: nothing is written yet. */
static void test_the_next_epoch_is_locked(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *l = NULL;
	const struct store_options o = { 0 };
	struct flock lock = { .l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = LEASE_LOCKS_AT + 1,
		.l_len = 1 };

	int fd = open(network_file(f, "lease"), O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_rc(lease_take(f->dir, STORE, &o, &l, &f->e), RC_BUSY);
	close(fd);
	l = take(f, &loss, LONG_MS);
	assert_int_equal(lease_epoch(l), 1);
	lease_free(l);
}

/* One of another machine: whatever its lock says, its silence is waited for. */
static bool never_mind(void *arg, const struct store_holder *h)
{
	int64_t *silent = arg;

	*silent = h->silent_ms;
	return true;
}

static void test_free_lock_of_another_machine(void **state)
{
	struct network_fixture *f = *state;
	int64_t silent = -1;
	const struct store_options o = {
		.takeover_ms = 100, .waiting = never_mind, .arg = &silent
	};
	struct lease_record r = some;
	struct lease *l = NULL;

	r.takeover_ms = SHORT_MS;
	write_some(f, &r);
	const int64_t began = clock_boot_ms();
	assert_ok(lease_take(f->dir, STORE, &o, &l, &f->e), f->e);
	assert_true(clock_boot_ms() - began >= SHORT_MS);
	assert_true(silent >= 0); /* it was asked */
	assert_int_equal(lease_epoch(l), 19);
	lease_free(l);
}

static void test_another_machine_that_has_ended(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease_record r = some;

	r.ended = true;
	write_some(f, &r);
	struct lease *l = take(f, &loss, LONG_MS);
	assert_int_equal(lease_epoch(l), 19);
	lease_free(l);
}

/* Files, and nothing that says whose: somebody may have them. */
static void test_files_without_a_lease(void **state)
{
	struct network_fixture *f = *state;
	int64_t silent = -1;
	const struct store_options none = { 0 };
	const struct store_options o = {
		.takeover_ms = SHORT_MS, .waiting = never_mind, .arg = &silent
	};
	struct lease *l = NULL;

	assert_ok(
		file_replace(network_file(f, "state.7.db"), "", 0, 0600, &f->e),
		f->e);
	assert_rc(lease_take(f->dir, STORE, &none, &l, &f->e), RC_BUSY);
	const int64_t began = clock_boot_ms();
	assert_ok(lease_take(f->dir, STORE, &o, &l, &f->e), f->e);
	assert_true(clock_boot_ms() - began >= SHORT_MS);
	assert_int_equal(lease_epoch(l), 8);
	lease_free(l);
}

/* Many at once want it of one that has ended: one gets it. They begin, and end,
 * when the other end of a pipe is closed. */
struct crowd {
	int go[2], done[2], end[2];
};

static _Noreturn void try_to_take(const char *dir, const struct crowd *c)
{
	const struct store_options o = { .takeover_ms = LONG_MS };
	struct lease *l = NULL;
	char byte;

	close(c->go[1]);
	close(c->end[1]);
	(void)!read(c->go[0], &byte, 1);
	enum rc rc = lease_take(dir, STORE, &o, &l, NULL);
	byte = rc == RC_OK ? 'y' : rc == RC_BUSY ? 'n' : '?';
	(void)!write(c->done[1], &byte, 1);
	(void)!read(c->end[0], &byte, 1);
	lease_free(l);
	_exit(0);
}

static void let_many_try(struct network_fixture *f)
{
	enum { MANY = 8 };
	struct crowd c;
	pid_t pids[MANY];
	int status, got = 0;
	char byte;

	assert_int_equal(pipe(c.go), 0);
	assert_int_equal(pipe(c.done), 0);
	assert_int_equal(pipe(c.end), 0);
	for (int i = 0; i < MANY; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			try_to_take(f->dir, &c);
	}
	close(c.go[1]);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(read(c.done[0], &byte, 1), 1);
		assert_int_not_equal(byte, '?');
		got += byte == 'y';
	}
	close(c.end[1]);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	close(c.go[0]);
	close(c.end[0]);
	close(c.done[0]);
	close(c.done[1]);
	assert_int_equal(got, 1);
}

static void test_many_want_it(void **state)
{
	struct network_fixture *f = *state;

	for (int round = 0; round < 10; round++)
		let_many_try(f);
}

/* --- losing it ---------------------------------------------------------------------------- */

static void assert_lost(struct network_fixture *f, struct lease *l)
{
	assert_rc(lease_may_act(l, &f->e), RC_STOPPING);
	assert_non_null(strstr(f->e.text, "is lost"));
}

/* What it says at its end: nothing, when it is lost. */
static bool said_its_end(struct network_fixture *f)
{
	struct lease_record r;
	char raw[LEASE_RECORD];

	assert_ok(lease_record_newest(network_file(f, "lease"), &r, raw, &f->e),
		f->e);
	return r.ended;
}

static void test_heartbeat_hangs(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *l = take(f, &loss, HANG_MS);
	int hung = -1;

	atomic_store(&disk.hangs, true);
	for (int i = 0; i < 6000 && hung != 0; i++) {
		hung = sem_trywait(&disk.hung);
		clock_sleep_ms(10);
	}
	assert_int_equal(hung, 0);
	wait_for_loss(&loss, "the file system does not answer");
	assert_lost(f, l);
	/* Nor does it come back when the answer comes. */
	atomic_store(&disk.hangs, false);
	sem_post(&disk.go_on);
	lease_free(l);
	assert_false(said_its_end(f));
}

static void test_heartbeat_fails(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *l = take(f, &loss, BEATS_MS);

	/* As NFS says that the lock is lost. */
	atomic_store(&disk.error, EIO);
	wait_for_loss(&loss, "cannot be written: Input/output error");
	assert_lost(f, l);
	atomic_store(&disk.error, 0);
	lease_free(l);
	assert_false(said_its_end(f));
}

static void test_another_one_has_begun(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *l = take(f, &loss, BEATS_MS);

	assert_ok(file_replace(
			  network_file(f, "state.2.part"), "", 0, 0600, &f->e),
		f->e);
	wait_for_loss(&loss, "another service has begun epoch 2");
	assert_lost(f, l);
	lease_free(l);
}

static void test_file_is_replaced(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease *l = take(f, &loss, BEATS_MS);

	assert_ok(file_replace(network_file(f, "lease"), "", 0, 0600, &f->e),
		f->e);
	wait_for_loss(&loss,
		"/lease: it was replaced, and nobody but the services of this "
		"store may touch it: stop all of them, remove it, and start "
		"one");
	assert_lost(f, l);
	lease_free(l);
	l = take(f, &loss, BEATS_MS);
	assert_int_equal(unlink(network_file(f, "lease")), 0);
	wait_for_loss(&loss,
		"/lease: it was removed, and nobody but the services of this "
		"store may touch it: stop all of them, and start one");
	/* The path stands there once. */
	assert_null(strstr(strstr(loss.why, "/lease") + 1, "/lease"));
	lease_free(l);
}

static void assert_spoiled(struct network_fixture *f, const char *what)
{
	const struct store_options o = { .takeover_ms = LONG_MS };
	struct store_holder holder;
	struct lease *l = NULL;
	char words[512];
	bool held;

	snprintf(words, sizeof(words),
		"%s/lease %s: it must be a plain file, which nobody but the "
		"services of this store may touch: stop all of them, remove "
		"it, and start one",
		f->dir, what);
	assert_rc(lease_take(f->dir, STORE, &o, &l, &f->e), RC_IO);
	assert_string_equal(f->e.text, words);
	assert_rc(lease_is_held(f->dir, &held, &holder, &f->e), RC_IO);
	assert_string_equal(f->e.text, words);
}

static void test_something_else_in_its_place(void **state)
{
	struct network_fixture *f = *state;
	const char *path = network_file(f, "lease");
	struct loss loss;

	assert_int_equal(mkdir(path, 0700), 0);
	assert_spoiled(f, "is a directory");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_spoiled(f, "is a pipe");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_spoiled(f, "is a symbolic link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
	assert_spoiled(f, "is a socket");
	/* And what was said is what helps. */
	assert_int_equal(unlink(path), 0);
	lease_free(take(f, &loss, LONG_MS));
}

static void test_heartbeats_are_written(void **state)
{
	struct network_fixture *f = *state;
	struct loss loss;
	struct lease_record r = { 0 };
	char raw[LEASE_RECORD];
	struct lease *l = take(f, &loss, 12000);

	/* One a second. */
	for (int i = 0; i < 600 && r.beat < 2; i++) {
		clock_sleep_ms(50);
		assert_ok(lease_record_newest(
				  network_file(f, "lease"), &r, raw, &f->e),
			f->e);
	}
	assert_true(r.beat >= 2);
	assert_ok(lease_may_act(l, &f->e), f->e);
	lease_free(l);
	assert_true(said_its_end(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NETWORK_TEST(test_record),
		NETWORK_TEST(test_a_record_that_is_none),
		NETWORK_TEST(test_a_process_that_is_gone),
		NETWORK_TEST(test_one_after_the_other),
		NETWORK_TEST(test_the_next_epoch_is_locked),
		NETWORK_TEST(test_free_lock_of_another_machine),
		NETWORK_TEST(test_another_machine_that_has_ended),
		NETWORK_TEST(test_files_without_a_lease),
		NETWORK_TEST(test_many_want_it),
		NETWORK_TEST(test_heartbeat_hangs),
		NETWORK_TEST(test_heartbeat_fails),
		NETWORK_TEST(test_another_one_has_begun),
		NETWORK_TEST(test_file_is_replaced),
		NETWORK_TEST(test_something_else_in_its_place),
		NETWORK_TEST(test_heartbeats_are_written),
	};

	sem_init(&disk.hung, 0, 0);
	sem_init(&disk.go_on, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
