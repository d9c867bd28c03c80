/*
 * store/keeper.c: the thread that looks after the log. It writes the log's
 * pages back into the database (a checkpoint) when it has become long. SQLite
 * would do that within a commit, that is before a homeserver gets its answer;
 * here it is done when nobody writes. On the same connection: two connections,
 * of which one writes while the other checkpoints, can spoil the file (SQLite
 * up to 3.51.2, "WAL-reset bug").
 *
 * It also makes room for the log ahead of the commits. The sync of a file that
 * has grown writes its length as well: a third of the time of a small commit.
 * What stands behind the log's last commit is never read: its salts are wrong.
 */
#include <string.h>

#include "base/limits.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* A checkpoint costs as much as some hundred commits; this is one in
 * thousands. */
#define LOG_BYTES ((int64_t)(64 * MIB))

/* How much room is made at a time, and how much there should always be. */
#define ROOM_BYTES ((int64_t)MIB)
#define ROOM_LEFT ((int64_t)(256 * KIB))
/* A page in the log has a head, and so has the log. */
#define FRAME_HEAD 24
#define LOG_HEAD 32

static int64_t log_bytes(const struct keeper *k, int pages)
{
	return LOG_HEAD + pages * (k->page + FRAME_HEAD);
}

/* The end of a commit, with the mutex held. */
static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *s = arg;
	struct keeper *k = &s->keeper;

	(void)db;
	(void)name;
	k->used = log_bytes(k, pages);
	if (pages < k->every)
		k->next = k->every;
	if (pages >= k->next || k->used > k->room - ROOM_LEFT) {
		k->asked = true;
		pthread_cond_signal(&k->due);
	}
	return SQLITE_OK;
}

/* Somebody who reads holds back the end of the log, and a full disk all of it:
 * it is tried again when the log is longer by as much. */
static void checkpoint(struct store *s)
{
	struct keeper *k = &s->keeper;
	int log = 0, done = 0;

	int code = sqlite3_wal_checkpoint_v2(
		s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done);
	bool whole = code == SQLITE_OK && done == log;
	k->next = whole ? k->every : (log > 0 ? log : k->next) + k->every;
}

/* Behind the log's end, and behind what there is already. What cannot be had
 * SQLite asks for itself, and says so. */
static void write_room(struct store *s)
{
	static const unsigned char zeros[16 * KIB];
	struct keeper *k = &s->keeper;
	sqlite3_file *log = NULL;
	sqlite3_int64 at = 0;

	if (sqlite3_file_control(s->db, NULL, SQLITE_FCNTL_JOURNAL_POINTER,
		    &log) != SQLITE_OK ||
		!log || !log->pMethods ||
		log->pMethods->xFileSize(log, &at) != SQLITE_OK)
		return;
	const int64_t end =
		(k->used + ROOM_BYTES) / ROOM_BYTES * ROOM_BYTES + ROOM_LEFT;
	while (at < end &&
		log->pMethods->xWrite(log, zeros, sizeof(zeros), at) ==
			SQLITE_OK)
		at += (int64_t)sizeof(zeros);
	if (at > k->room)
		k->room = at;
}

/* As one who writes, so that nobody does: an operator's program appends to the
 * log where it ends, as we do. It is not waited for. */
static void make_room(struct store *s)
{
	struct keeper *k = &s->keeper;

	/* Not before there is a little more of it, whatever comes of this. */
	k->room = k->used + ROOM_LEFT;
	sqlite3_busy_timeout(s->db, 0);
	enum rc rc = stmt_run(s, SQL_BEGIN, NO_ARGS, NULL);
	sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	if (rc != RC_OK)
		return;
	write_room(s);
	(void)!stmt_run(s, SQL_ROLLBACK, NO_ARGS, NULL);
}

static void keep(struct store *s)
{
	struct keeper *k = &s->keeper;

	k->asked = false;
	if (store_may_act(s, NULL) != RC_OK)
		return;
	if (k->used > k->room - ROOM_LEFT)
		make_room(s);
	if (k->used >= log_bytes(k, k->next))
		checkpoint(s);
}

/* Where commits follow each other without a pause the thread hardly gets its
 * turn; then one of them has to do it. */
void keeper_help(struct store *s)
{
	struct keeper *k = &s->keeper;

	if (k->running && k->used > 2 * log_bytes(k, k->every))
		keep(s);
}

static void *keeper_main(void *arg)
{
	struct store *s = arg;
	struct keeper *k = &s->keeper;

	store_lock(s);
	while (!k->ending) {
		if (k->asked)
			keep(s);
		else
			pthread_cond_wait(&k->due, &s->mutex);
	}
	store_unlock(s);
	return NULL;
}

static enum rc page_bytes(struct store *s, struct err *e)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(s->db, SQL_PAGE_SIZE, -1, &q, NULL) !=
			SQLITE_OK ||
		sqlite3_step(q) != SQLITE_ROW)
		rc = db_fail(s->db, s->path, e);
	else
		s->keeper.page = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return rc;
}

enum rc keeper_start(struct store *s, struct err *e)
{
	struct keeper *k = &s->keeper;
	enum rc rc = page_bytes(s, e);

	if (rc != RC_OK)
		return rc;
	k->every = (int)(LOG_BYTES / k->page);
	k->next = k->every;
	/* A network file system sends a file's new length with what is
	 * written. */
	if (s->lease)
		k->room = INT64_MAX;
	if (pthread_cond_init(&k->due, NULL) != 0)
		return err_set(e, RC_IO, "store %s: no condition", s->path);
	int failed = pthread_create(&k->thread, NULL, keeper_main, s);
	if (failed) {
		pthread_cond_destroy(&k->due);
		return err_set(e, RC_IO, "store %s: starting a thread: %s",
			s->path, strerror(failed));
	}
	k->running = true;
	sqlite3_wal_hook(s->db, on_commit, s);
	return RC_OK;
}

void keeper_stop(struct store *s)
{
	struct keeper *k = &s->keeper;

	if (!k->running)
		return;
	store_lock(s);
	sqlite3_wal_hook(s->db, NULL, NULL);
	k->ending = true;
	pthread_cond_signal(&k->due);
	store_unlock(s);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->due);
	k->running = false;
}
