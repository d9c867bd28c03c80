/*
 * store/store.c: opening and closing the database, the one mutex, and
 * transactions.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* For how long what was written shows that it can be. */
#define WRITTEN_MS 30000
/* What is written to see whether there is room again: more than what most
 * transactions of the homeserver need. */
#define CHECK_BYTES ((size_t)128 * 1024)

static const struct {
	const char *name;
	const char *text;
} statements[] = {
#define X(name, text) { #name, text },
	SQL_TABLE(X)
#undef X
};

void store_lock(struct store *s)
{
	int failed = pthread_mutex_lock(&s->mutex);
	assert(!failed);
}

void store_unlock(struct store *s)
{
	int failed = pthread_mutex_unlock(&s->mutex);
	assert(!failed);
}

static struct store *store_new(const char *path)
{
	pthread_mutexattr_t attr;
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->lock_fd = -1;
	s->name = strdup(path);
	s->path = strdup(path);
	if (!s->name || !s->path || pthread_mutexattr_init(&attr) != 0)
		goto fail;
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	int failed = pthread_mutex_init(&s->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	if (failed)
		goto fail;
	return s;
fail:
	free(s->name);
	free(s->path);
	free(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	assert(!s->writing);
	keeper_stop(s);
	for (size_t i = 0; i < ARRAY_LEN(s->statements); i++)
		sqlite3_finalize(s->statements[i]);
	/* The last one to close writes the log back and removes it; on a
	 * network it stays (epoch.c). */
	int code = sqlite3_close(s->db);
	assert(code == SQLITE_OK);
	place_drop(s);
	lease_free(s->lease);
	ids_fini(&s->ids);
	pthread_mutex_destroy(&s->mutex);
	free(s->name);
	free(s->path);
	free(s);
}

/* Errors are told with the path; a directory that cannot be written would
 * else be told as "unable to open database file". */
static enum rc check_directory(const char *path, struct err *e)
{
	enum rc rc = RC_OK;
	char *dir = path_dir(path);

	if (!dir)
		return err_nomem(e);
	if (access(dir, W_OK | X_OK) != 0)
		rc = err_set(e, RC_IO,
			"store %s: its directory %s cannot be written: %s: "
			"make it our user's, or put store.path elsewhere",
			path, dir, strerror(errno));
	free(dir);
	return rc;
}

static enum rc configure(struct store *s, struct err *e)
{
	static const struct {
		int option, value;
	} options[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 },
		{ SQLITE_DBCONFIG_DQS_DDL, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (sqlite3_db_config(s->db, options[i].option,
			    options[i].value, NULL) != SQLITE_OK)
			return db_fail(s->db, s->path, e);
	sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	return RC_OK;
}

/* `vfs`: how SQLite uses the file system; NULL: as usual. */
static enum rc open_database(
	struct store *s, int flags, const char *vfs, struct err *e)
{
	int code = sqlite3_open_v2(s->path, &s->db,
		flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);

	if (!s->db)
		return err_nomem(e);
	if (code != SQLITE_OK)
		return db_fail(s->db, s->path, e);
	return configure(s, e);
}

static enum rc exec(struct store *s, const char *sql, struct err *e)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(s->db, s->path, e);
	return RC_OK;
}

/* SQLite answers with the mode it could get, not with an error. */
static enum rc use_wal(struct store *s, struct err *e)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(s->db, SQL_JOURNAL_MODE, -1, &q, NULL) !=
			SQLITE_OK ||
		sqlite3_step(q) != SQLITE_ROW) {
		rc = db_fail(s->db, s->path, e);
	} else {
		const char *mode = (const char *)sqlite3_column_text(q, 0);
		if (!mode || strcmp(mode, "wal") != 0)
			rc = err_set(e, RC_IO,
				"store %s: the file system cannot keep a "
				"write-ahead log (journal mode %s): put the "
				"store on a local disk",
				s->path, mode ? mode : "unknown");
	}
	sqlite3_finalize(q);
	return rc;
}

static enum rc prepare(struct store *s, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		if (sqlite3_prepare_v3(s->db, statements[i].text, -1,
			    SQLITE_PREPARE_PERSISTENT, &s->statements[i],
			    NULL) != SQLITE_OK) {
			enum rc rc = db_fail(s->db, s->path, e);
			return err_wrap(
				e, rc, "statement %s", statements[i].name);
		}
	return RC_OK;
}

static int newest_version(void)
{
	return migrations[n_migrations - 1].version;
}

/* Which file it is, so that store_check() knows it again. */
static enum rc remember_place(struct store *s, struct err *e)
{
	struct stat st;

	if (stat(s->path, &st) != 0)
		return err_set(
			e, RC_IO, "store %s: %s", s->path, strerror(errno));
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return RC_OK;
}

/* On a network nobody else has the file, and nothing is written when it is
 * closed: whoever takes over may be copying it. */
static enum rc be_alone(struct store *s, struct err *e)
{
	if (sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
		    NULL) != SQLITE_OK)
		return db_fail(s->db, s->path, e);
	return exec(s, SQL_ALONE, e);
}

/* The file, and nobody else has it. */
static enum rc take(
	struct store *s, const struct store_options *o, struct err *e)
{
	enum rc rc = check_directory(s->name, e);
	if (rc == RC_OK)
		rc = place_take(s, o, e);
	s->writable = rc == RC_OK;
	if (rc == RC_OK)
		rc = private_file(s->path, e);
	if (rc == RC_OK)
		rc = remember_place(s, e);
	if (rc == RC_OK)
		rc = open_database(s, SQLITE_OPEN_READWRITE, NULL, e);
	return rc == RC_OK && s->lease ? be_alone(s, e) : rc;
}

static enum rc open_writable(
	struct store *s, const struct store_options *o, struct err *e)
{
	int version = 0;

	enum rc rc = take(s, o, e);
	if (rc == RC_OK)
		rc = migrate_identify(
			s->db, s->path, newest_version(), &version, e);
	/* From here on it is ours, and is changed. */
	if (rc == RC_OK && version == 0)
		rc = exec(s, SQL_PAGES, e);
	if (rc == RC_OK)
		rc = use_wal(s, e);
	if (rc == RC_OK)
		rc = exec(s, SQL_DURABLE, e);
	if (rc == RC_OK)
		rc = migrate(
			s->db, s->name, version, migrations, n_migrations, e);
	/* Not before: a migration may rebuild a table others refer to. */
	if (rc == RC_OK)
		rc = exec(s, SQL_FOREIGN_KEYS, e);
	return rc == RC_OK ? store_may_act(s, e) : rc;
}

/* One of a network, that nobody has, is read without locks, which would need the
 * right to write, and without SQLite's shared memory. */
static enum rc open_found(struct store *s, bool alone, struct err *e)
{
	struct stat st;

	if (stat(s->path, &st) != 0)
		return err_set(e, errno == ENOENT ? RC_NOT_FOUND : RC_IO,
			"store %s: %s", s->path, strerror(errno));
	enum rc rc = open_database(
		s, SQLITE_OPEN_READONLY, alone ? "unix-none" : NULL, e);
	return rc == RC_OK && alone ? be_alone(s, e) : rc;
}

static enum rc open_readonly(struct store *s, struct err *e)
{
	int version = 0;
	bool alone = false;

	enum rc rc = place_find(s, &alone, e);
	if (rc == RC_OK)
		rc = open_found(s, alone, e);
	if (rc == RC_OK)
		rc = migrate_identify(
			s->db, s->path, newest_version(), &version, e);
	if (rc != RC_OK)
		return rc;
	if (version == 0)
		return err_set(e, RC_NOT_FOUND,
			"store %s: empty; the service has not begun it yet",
			s->path);
	if (version < newest_version())
		return err_set(e, RC_VERSION,
			"store %s: made by an older muster (its schema is %d, "
			"this one needs %d): start the service once, it brings "
			"it up to date",
			s->path, version, newest_version());
	return RC_OK;
}

/* What one who writes has besides. */
static enum rc begin_keeping(struct store *s, struct err *e)
{
	enum rc rc = window_load(s, e);

	return rc == RC_OK ? keeper_start(s, e) : rc;
}

static enum rc finish(
	struct store *s, enum rc rc, struct store **ret, struct err *e)
{
	if (rc == RC_OK)
		rc = prepare(s, e);
	if (rc == RC_OK && s->writable)
		rc = begin_keeping(s, e);
	if (rc == RC_OK)
		*ret = s;
	else
		store_close(s);
	return rc;
}

enum rc store_open_with(const char *path, const struct store_options *o,
	struct store **ret, struct err *e)
{
	struct store *s = store_new(path);

	return s ? finish(s, open_writable(s, o, e), ret, e) : err_nomem(e);
}

enum rc store_open(const char *path, struct store **ret, struct err *e)
{
	const struct store_options o = { .place = STORE_AUTO };

	return store_open_with(path, &o, ret, e);
}

enum rc store_open_readonly(const char *path, struct store **ret, struct err *e)
{
	struct store *s = store_new(path);

	return s ? finish(s, open_readonly(s, e), ret, e) : err_nomem(e);
}

enum rc store_may_act(struct store *s, struct err *e)
{
	return s->lease ? lease_may_act(s->lease, e) : RC_OK;
}

int64_t store_act_ms(const struct store *s)
{
	return s->lease ? lease_act_ms(s->lease) : 0;
}

/* A file that was removed can be written to for as long as it is open; what is
 * written is gone with us. On a network the heartbeat looks after that. */
static enum rc check_place(struct store *s, struct err *e)
{
	struct stat st;

	if (s->lease)
		return lease_may_act(s->lease, e);
	if (stat(s->path, &st) == 0 && st.st_dev == s->dev &&
		st.st_ino == s->ino)
		return RC_OK;
	return err_set(e, RC_CORRUPT,
		"store %s was removed or replaced while the service runs: "
		"start the service again",
		s->path);
}

/* Whether commits wait for the disk. Nothing is said to SQLite while it is as
 * it should be. */
static enum rc wait_for_disk(struct store *s, bool wait, struct err *e)
{
	if (s->no_sync == !wait)
		return RC_OK;
	enum rc rc = exec(s, wait ? SQL_SYNC : SQL_NO_SYNC, e);
	if (rc == RC_OK)
		s->no_sync = !wait;
	return rc;
}

static enum rc begin(struct store *s, bool sync, struct err *e)
{
	if (!s->writable)
		return err_set(e, RC_FORBIDDEN,
			"store %s: opened for looking only", s->path);
	store_lock(s);
	assert(!s->writing);
	enum rc rc = check_place(s, e);
	if (rc == RC_OK && s->window.stale)
		rc = window_load(s, e);
	if (rc == RC_OK)
		rc = wait_for_disk(s, sync, e);
	if (rc == RC_OK)
		rc = stmt_run(s, SQL_BEGIN, NO_ARGS, e);
	if (rc == RC_OK) {
		s->writing = true;
	} else {
		s->written_ms = 0;
		store_unlock(s);
	}
	return rc;
}

enum rc store_begin(struct store *s, struct err *e)
{
	return begin(s, true, e);
}

enum rc store_begin_light(struct store *s, struct err *e)
{
	return begin(s, false, e);
}

/* Ends this thread's transaction: locked twice here, unlocked for good. */
static void end_writing(struct store *s, bool committed)
{
	ids_settle(&s->ids, committed);
	window_settle(&s->window, committed);
	s->writing = false;
	store_unlock(s);
}

void store_rollback(struct store *s)
{
	store_lock(s);
	if (s->writing) {
		/* A failure to undo would show at the next store_begin(). */
		if (!sqlite3_get_autocommit(s->db))
			(void)!stmt_run(s, SQL_ROLLBACK, NO_ARGS, NULL);
		s->written_ms = 0;
		end_writing(s, false);
	}
	store_unlock(s);
}

/* Pages so far. A change that changes nothing writes none. */
static int pages_written(struct store *s)
{
	int n = 0, most = 0;

	(void)sqlite3_db_status(
		s->db, SQLITE_DBSTATUS_CACHE_WRITE, &n, &most, 0);
	return n;
}

enum rc store_commit(struct store *s, struct err *e)
{
	store_lock(s);
	assert(s->writing);
	int before = pages_written(s);
	enum rc rc = stmt_run(s, SQL_COMMIT, NO_ARGS, e);
	if (rc == RC_OK) {
		if (pages_written(s) != before)
			s->written_ms = clock_mono_ms();
		end_writing(s, true);
		/* Not yet lost, so whoever takes over finds it. */
		rc = store_may_act(s, e);
		if (rc == RC_OK)
			keeper_help(s);
	} else {
		store_rollback(s);
	}
	store_unlock(s);
	return rc;
}

/* Another text each time, since SQLite writes nothing when nothing is
 * different. After a failure it is a long one: on a full disk a short one may
 * still have its place where the log was before. */
static enum rc touch(struct store *s, bool failed, struct err *e)
{
	char now[25];
	struct buf text;

	buf_init(&text, CHECK_BYTES);
	clock_format(clock_wall_ms(), now);
	buf_addf(&text, "%s %lld %*s", now, (long long)clock_mono_us(),
		failed ? (int)(CHECK_BYTES / 2) : 0, "");
	enum rc rc = buf_rc(&text);
	if (rc == RC_OK)
		rc = store_note_set(s, "checked", buf_str(&text), e);
	else
		err_nomem(e);
	buf_free(&text);
	return rc;
}

enum rc store_check(struct store *s, struct err *e)
{
	enum rc rc = store_begin(s, e);

	if (rc != RC_OK)
		return rc;
	int64_t written_ms = s->written_ms;
	if (written_ms && clock_mono_ms() - written_ms < WRITTEN_MS) {
		store_lock(s);
		store_rollback(s);
		s->written_ms = written_ms;
		store_unlock(s);
		return RC_OK;
	}
	rc = touch(s, !written_ms, e);
	if (rc == RC_OK)
		return store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum rc store_note_get(struct store *s, const char *name, struct arena *a,
	const char **ret, struct err *e)
{
	bool row = false;
	const char *value = NULL;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_NOTE_GET, ARGS(T(name)));
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		value = column_text(q, 0, a);
	stmt_done(q);
	store_unlock(s);

	if (rc == RC_OK && row && !value)
		return err_nomem(e);
	if (rc == RC_OK)
		*ret = value;
	return rc;
}

enum rc store_note_set(
	struct store *s, const char *name, const char *value, struct err *e)
{
	if (!value)
		return store_write(s, SQL_NOTE_REMOVE, ARGS(T(name)), e);
	return store_write(s, SQL_NOTE_SET, ARGS(T(name), T(value)), e);
}
