/*
 * tests/unit/test_store_network.c: a store on a network file system: its files,
 * who has it, what is lost when (nothing), what a commit costs.
 */
#include "tests/unit/network_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "store/store_priv.h"
#include "tests/unit/store_fixture.h"

#include "base/poison.h"

/* Long enough for a machine that has other things to do, and no test waits for
 * the first. */
#define LONG_MS 600000
#define SHORT_MS 6000

static void assert_says(const struct network_fixture *f, const char *words)
{
	if (!strstr(f->e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", f->e.text, words);
}

static void assert_put(struct network_fixture *f, const char *name)
{
	assert_ok(network_put(f->s, name, "put", &f->e), f->e);
}

static void assert_there(struct network_fixture *f, const char *name)
{
	const char *value = network_get(f, name);

	if (!value)
		fail_msg("the note %s is lost", name);
}

/* --- its files ------------------------------------------------------------------- */

static void test_each_start_is_an_epoch(void **state)
{
	struct network_fixture *f = *state;

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_true(network_has(f, "state.1.db"));
	assert_true(network_has(f, "lease"));
	assert_false(network_has(f, "muster.db"));
	assert_put(f, "a");
	network_close(f);

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "a");
	assert_put(f, "b");
	assert_true(network_has(f, "state.1.db"));
	assert_true(network_has(f, "state.2.db"));
	network_close(f);

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "a");
	assert_there(f, "b");
	assert_int_equal(network_count(f, "state.1."), 0);
	assert_true(network_has(f, "state.2.db"));
	assert_true(network_has(f, "state.3.db"));
	assert_int_equal(network_count(f, ".part"), 0);
}

static void test_nobody_else_may_read_its_files(void **state)
{
	struct network_fixture *f = *state;
	static const char *const names[] = { "state.1.db", "state.1.db-wal",
		"lease" };
	struct stat st;

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_put(f, "a");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(stat(network_file(f, names[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void test_settings(void **state)
{
	struct network_fixture *f = *state;
	static const struct {
		const char *sql, *want;
	} settings[] = {
		{ "PRAGMA locking_mode", "exclusive" },
		{ "PRAGMA journal_mode", "wal" },
		{ "PRAGMA synchronous", "2" },
		{ "PRAGMA foreign_keys", "1" },
		{ "PRAGMA page_size", "1024" },
	};

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		sqlite3_stmt *q = NULL;
		assert_int_equal(sqlite3_prepare_v2(f->s->db, settings[i].sql,
					 -1, &q, NULL),
			SQLITE_OK);
		assert_int_equal(sqlite3_step(q), SQLITE_ROW);
		assert_string_equal(
			sqlite3_column_text(q, 0), settings[i].want);
		sqlite3_finalize(q);
	}
}

/* A local store becomes one of a network, and that one local again. */
static void test_moves_in_and_out(void **state)
{
	struct network_fixture *f = *state;

	assert_ok(network_open(f, STORE_LOCAL), f->e);
	assert_put(f, "local");
	network_close(f);

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "local");
	assert_put(f, "network");
	assert_false(network_has(f, "muster.db"));
	assert_true(network_has(f, "muster.db.local.bak"));
	network_close(f);

	assert_ok(network_open(f, STORE_LOCAL), f->e);
	assert_there(f, "local");
	assert_there(f, "network");
	assert_put(f, "local again");
	assert_int_equal(network_count(f, "state."), 0);
	network_close(f);

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "network");
	assert_there(f, "local again");
	network_close(f);
	/* What is local and older does not come back. */
	assert_ok(network_open(f, STORE_LOCAL), f->e);
	assert_there(f, "local again");
}

/* What a killed local service left in its log moves in, too. */
static void test_moves_in_with_its_log(void **state)
{
	struct network_fixture *f = *state;
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		_exit(network_open(f, STORE_LOCAL) != RC_OK ||
			network_put(f->s, "local", "put", NULL) != RC_OK);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(network_has(f, "muster.db-wal"));

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "local");
}

static void test_a_local_service_is_not_robbed(void **state)
{
	struct network_fixture *f = *state;
	struct store *second = NULL;
	const struct store_options o = { .place = STORE_NETWORK };

	assert_ok(network_open(f, STORE_LOCAL), f->e);
	assert_rc(store_open_with(f->path, &o, &second, &f->e), RC_BUSY);
	assert_says(f, "muster.db.lock is held by pid ");
	assert_int_equal(network_count(f, "state."), 0);
	assert_put(f, "still mine");
}

/* Of another program, or of a newer version: it is left where it is. */
static void test_what_is_not_ours_stays(void **state)
{
	struct network_fixture *f = *state;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_rc(network_open(f, STORE_NETWORK), RC_CORRUPT);
	assert_says(f, "another program");
	assert_true(network_has(f, "muster.db"));
	assert_int_equal(network_count(f, "state."), 0);
}

/* The newest file is damaged: nothing is made of it, and nothing removed. */
static void test_damaged(void **state)
{
	struct network_fixture *f = *state;
	char noise[4096];

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_put(f, "a");
	network_close(f);
	assert_ok(network_open(f, STORE_NETWORK), f->e);
	network_close(f);
	memset(noise, 0x5a, sizeof(noise));
	int fd = open(network_file(f, "state.2.db"), O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(
		pwrite(fd, noise, sizeof(noise), 2048), (ssize_t)sizeof(noise));
	close(fd);
	/* What its log has would hide that. */
	assert_int_equal(unlink(network_file(f, "state.2.db-wal")), 0);

	assert_rc(network_open(f, STORE_NETWORK), RC_CORRUPT);
	assert_says(f, "state.2.db");
	assert_true(network_has(f, "state.1.db"));
	assert_true(network_has(f, "state.2.db"));
	assert_false(network_has(f, "state.3.db"));
	assert_int_equal(network_count(f, ".part"), 0);
}

static void test_one_store_in_a_directory(void **state)
{
	struct network_fixture *f = *state;
	struct store *other = NULL;
	const char *path = network_file(f, "other.db");
	const struct store_options network = { .place = STORE_NETWORK };

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	network_close(f);
	assert_rc(store_open_with(path, &network, &other, &f->e), RC_INVALID);
	assert_says(f, "has the store muster.db already");
	/* A local one beside it has nothing to do with it. */
	assert_ok(store_open(path, &other, &f->e), f->e);
	store_close(other);
	assert_true(network_has(f, "state.1.db"));
}

/* --- who has it -------------------------------------------------------------------- */

static void test_second_is_told_who_has_it(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	char pid[40];

	other_start(&other, f->path, LONG_MS);
	snprintf(pid, sizeof(pid), "by pid %ld on ", (long)other.pid);
	assert_rc(network_open(f, STORE_NETWORK), RC_BUSY);
	assert_says(f, pid);
	assert_says(f, " since 20");
	other_end(&other, 0);
	assert_ok(network_open(f, STORE_NETWORK), f->e);
}

struct wait {
	struct other *other;
	struct store_holder holder;
	int asked;
	int enough; /* then it does not go on; 0: for ever */
	int end_at; /* then the other one ends */
};

static bool on_waiting(void *arg, const struct store_holder *h)
{
	struct wait *w = arg;

	w->holder = *h;
	w->asked++;
	if (w->asked == w->end_at)
		other_end(w->other, 0);
	return w->asked != w->enough;
}

static enum rc wait_for_it(
	struct network_fixture *f, struct wait *w, int64_t takeover_ms)
{
	const struct store_options o = { .place = STORE_NETWORK,
		.takeover_ms = takeover_ms,
		.waiting = on_waiting,
		.arg = w };

	return store_open_with(f->path, &o, &f->s, &f->e);
}

static void test_waits_until_the_first_ends(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	struct wait w = { .other = &other, .end_at = 3 };

	other_start(&other, f->path, LONG_MS);
	assert_rc(other_do(&other, OTHER_PUT), RC_OK);
	assert_ok(wait_for_it(f, &w, LONG_MS), f->e);
	assert_true(w.asked >= 3);
	assert_there(f, "other");
	assert_true(network_has(f, "state.2.db"));
}

static void test_waits_as_long_as_it_should(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	struct wait w = { .other = &other, .enough = 2 };
	char words[64];

	other_start(&other, f->path, LONG_MS);
	assert_rc(wait_for_it(f, &w, SHORT_MS), RC_STOPPING);
	assert_int_equal(w.asked, 2);
	snprintf(words, sizeof(words), "pid %ld on ", (long)other.pid);
	assert_non_null(strstr(w.holder.words, words));
	/* The longer one of the two counts. */
	assert_int_equal(w.holder.takeover_ms, LONG_MS);
	other_end(&other, 0);
}

/* All that was told is there. */
static void test_killed(void **state)
{
	struct network_fixture *f = *state;

	for (int64_t round = 1; round <= 8; round++) {
		const int64_t told = store_kill_in_the_middle(
			f->path, STORE_NETWORK, round * 7);
		assert_ok(network_open(f, STORE_NETWORK), f->e);
		const int64_t first =
			strtoll(network_get(f, "first"), NULL, 10);
		const int64_t last = strtoll(network_get(f, "last"), NULL, 10);
		assert_int_equal(first, last);
		assert_in_range(last, told, told + 1);
		network_close(f);
	}
}

/* It stands still in the middle of a commit; the other one takes over, and it
 * comes back. */
static void test_silent(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	struct wait w = { .other = &other };
	int status = 0;

	assert_ok(network_open(f, STORE_NETWORK), f->e);
	network_close(f);
	other_start(&other, f->path, SHORT_MS);
	assert_rc(other_do(&other, OTHER_PUT), RC_OK);
	assert_rc(other_do(&other, OTHER_MAY_ACT), RC_OK);
	assert_rc(other_do(&other, OTHER_BEGIN), RC_OK);
	kill(other.pid, SIGSTOP);
	assert_int_equal(waitpid(other.pid, &status, WUNTRACED), other.pid);
	assert_true(WIFSTOPPED(status));
	other_tell(&other, OTHER_COMMIT);

	assert_ok(wait_for_it(f, &w, SHORT_MS), f->e);
	assert_true(w.holder.silent_ms >= SHORT_MS - 200);
	assert_there(f, "other");
	assert_put(f, "ours");
	/* What the silent one may have in use stays. */
	assert_true(network_has(f, "state.1.db"));
	assert_true(network_has(f, "state.2.db"));
	assert_true(network_has(f, "state.3.db"));

	kill(other.pid, SIGCONT);
	assert_rc(other_result(&other), RC_STOPPING);
	assert_rc(other_do(&other, OTHER_MAY_ACT), RC_STOPPING);
	assert_rc(other_do(&other, OTHER_PUT), RC_STOPPING);
	assert_rc(other_do(&other, OTHER_BEGIN), RC_STOPPING);
	assert_true(other_is_lost(&other));
	other_end(&other, 0);

	assert_null(network_get(f, "late"));
	assert_ok(store_may_act(f->s, &f->e), f->e);
	network_close(f);
	assert_ok(network_open(f, STORE_NETWORK), f->e);
	assert_there(f, "ours");
	assert_null(network_get(f, "late"));
	assert_int_equal(network_count(f, "state.1."), 0);
	assert_int_equal(network_count(f, "state.2."), 0);
}

/* The heartbeats keep it, however long somebody waits. */
static void test_who_is_not_silent_keeps_it(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	struct wait w = { .other = &other, .enough = SHORT_MS / 50 + 10 };

	other_start(&other, f->path, SHORT_MS);
	assert_rc(wait_for_it(f, &w, SHORT_MS), RC_STOPPING);
	assert_true(w.holder.silent_ms < SHORT_MS);
	assert_rc(other_do(&other, OTHER_PUT), RC_OK);
	other_end(&other, 0);
}

/* --- for looking only ------------------------------------------------------------------- */

static void test_readonly_while_somebody_has_it(void **state)
{
	struct network_fixture *f = *state;
	struct other other;
	struct store *r = NULL;
	char words[64];

	other_start(&other, f->path, LONG_MS);
	snprintf(words, sizeof(words), "by pid %ld on ", (long)other.pid);
	assert_rc(store_open_readonly(f->path, &r, &f->e), RC_BUSY);
	assert_says(f, words);
	assert_says(f, "socket");
	other_end(&other, 0);
}

static void read_whole(
	struct network_fixture *f, const char *name, struct buf *out)
{
	buf_init(out, (size_t)64 << 20);
	assert_ok(file_read(network_file(f, name), out, &f->e), f->e);
}

/* What a killed one left in its log is seen, and left as it is. */
static void test_readonly_when_nobody_has_it(void **state)
{
	struct network_fixture *f = *state;
	static const char *const names[] = { "state.1.db", "state.1.db-wal",
		"lease" };
	struct other other;
	struct buf before[ARRAY_LEN(names)], after;

	other_start(&other, f->path, LONG_MS);
	assert_rc(other_do(&other, OTHER_PUT), RC_OK);
	other_end(&other, SIGKILL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		read_whole(f, names[i], &before[i]);

	assert_ok(store_open_readonly(f->path, &f->s, &f->e), f->e);
	assert_there(f, "other");
	assert_rc(store_begin(f->s, &f->e), RC_FORBIDDEN);
	network_close(f);
	assert_int_equal(network_count(f, "-shm"), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		read_whole(f, names[i], &after);
		assert_int_equal(after.n, before[i].n);
		assert_memory_equal(after.p, before[i].p, after.n);
		buf_free(&after);
		buf_free(&before[i]);
	}
}

static void test_readonly_of_none(void **state)
{
	struct network_fixture *f = *state;
	struct store *r = NULL;

	assert_rc(store_open_readonly(f->path, &r, &f->e), RC_NOT_FOUND);
}

/* --- what a commit costs ------------------------------------------------------------------- */

/* Stands between SQLite and the files, of which there are two kinds: a database
 * and its log. Writes that follow each other in a file are one: so are they on
 * their way to a file server. */
static struct {
	sqlite3_vfs vfs, *real;
	struct kind {
		sqlite3_io_methods methods;
		const sqlite3_io_methods *real;
	} kinds[4];
	int writes, syncs, locks, shared;
	const void *file;
	sqlite3_int64 end;
} count;

/* The methods of the file are the first of its kind. */
static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
	return ((const struct kind *)(const void *)file->pMethods)->real;
}

static int count_write(
	sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	count.writes += count.file != file || count.end != at;
	count.file = file;
	count.end = at + n;
	return real_of(file)->xWrite(file, p, n, at);
}

static int count_sync(sqlite3_file *file, int flags)
{
	count.syncs++;
	count.file = NULL;
	return real_of(file)->xSync(file, flags);
}

static int count_lock(sqlite3_file *file, int how)
{
	count.locks++;
	return real_of(file)->xLock(file, how);
}

static int count_unlock(sqlite3_file *file, int how)
{
	count.locks++;
	return real_of(file)->xUnlock(file, how);
}

static int count_map(
	sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	count.shared++;
	return real_of(file)->xShmMap(file, page, size, extend, ret);
}

static int count_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	count.shared++;
	return real_of(file)->xShmLock(file, at, n, flags);
}

static struct kind *kind_of(const sqlite3_io_methods *real)
{
	struct kind *k = count.kinds;

	while (k->real && k->real != real)
		assert_true(++k < count.kinds + ARRAY_LEN(count.kinds));
	if (k->real)
		return k;
	k->real = real;
	k->methods = *real;
	k->methods.xWrite = count_write;
	k->methods.xSync = count_sync;
	k->methods.xLock = count_lock;
	k->methods.xUnlock = count_unlock;
	k->methods.xShmMap = count_map;
	k->methods.xShmLock = count_shm_lock;
	return k;
}

static int count_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
	int flags, int *ret)
{
	(void)vfs;
	int code = count.real->xOpen(count.real, name, file, flags, ret);
	if (code == SQLITE_OK && file->pMethods)
		file->pMethods = &kind_of(file->pMethods)->methods;
	return code;
}

static void count_from_zero(void)
{
	count.writes = count.syncs = count.locks = count.shared = 0;
	count.file = NULL;
}

static void test_a_commit_is_one_write_and_one_sync(void **state)
{
	struct network_fixture *f = *state;

	count.real = sqlite3_vfs_find("unix");
	count.vfs = *count.real;
	count.vfs.zName = "counting";
	count.vfs.xOpen = count_open;
	assert_int_equal(sqlite3_vfs_register(&count.vfs, 1), SQLITE_OK);
	enum rc rc = network_open(f, STORE_NETWORK);
	assert_int_equal(sqlite3_vfs_register(count.real, 1), SQLITE_OK);
	assert_ok(rc, f->e);
	assert_true(count.writes > 0 && count.syncs > 0 && count.locks > 0);
	assert_int_equal(count.shared, 0);

	assert_put(f, "first"); /* of this log */
	count_from_zero();
	for (int i = 0; i < 100; i++) {
		char name[24];
		snprintf(name, sizeof(name), "note %d", i);
		assert_put(f, name);
	}
	assert_int_equal(count.writes, 100);
	assert_int_equal(count.syncs, 100);
	assert_int_equal(count.locks, 0);
	assert_int_equal(count.shared, 0);

	/* One that changes many pages is no more; what is read is nothing. */
	char large[40000];
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	count_from_zero();
	assert_ok(network_put(f->s, "large", large, &f->e), f->e);
	assert_int_equal(count.writes, 1);
	assert_int_equal(count.syncs, 1);
	count_from_zero();
	assert_there(f, "large");
	assert_int_equal(count.writes + count.syncs + count.locks, 0);
	assert_int_equal(network_count(f, "-shm"), 0);
	network_close(f);
	assert_int_equal(sqlite3_vfs_unregister(&count.vfs), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NETWORK_TEST(test_each_start_is_an_epoch),
		NETWORK_TEST(test_nobody_else_may_read_its_files),
		NETWORK_TEST(test_settings),
		NETWORK_TEST(test_moves_in_and_out),
		NETWORK_TEST(test_moves_in_with_its_log),
		NETWORK_TEST(test_a_local_service_is_not_robbed),
		NETWORK_TEST(test_what_is_not_ours_stays),
		NETWORK_TEST(test_damaged),
		NETWORK_TEST(test_one_store_in_a_directory),
		NETWORK_TEST(test_second_is_told_who_has_it),
		NETWORK_TEST(test_waits_until_the_first_ends),
		NETWORK_TEST(test_waits_as_long_as_it_should),
		NETWORK_TEST(test_killed),
		NETWORK_TEST(test_silent),
		NETWORK_TEST(test_who_is_not_silent_keeps_it),
		NETWORK_TEST(test_readonly_while_somebody_has_it),
		NETWORK_TEST(test_readonly_when_nobody_has_it),
		NETWORK_TEST(test_readonly_of_none),
		NETWORK_TEST(test_a_commit_is_one_write_and_one_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
