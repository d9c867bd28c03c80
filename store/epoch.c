/*
 * store/epoch.c: the files of a store on a network: state.<epoch>.db, of which
 * the newest counts. So there is one moment at which a new epoch begins, the
 * rename that gives its file this name, and nobody can turn it back: who was
 * overtaken and comes late with an older one has made a file that nobody looks
 * at.
 *
 * The copy is made of a file that its owner may still write to, if it stood
 * still and goes on in just this moment. It can only be in the middle of one
 * commit or of one checkpoint, since it may begin nothing any more. Of a commit
 * the log has all or nothing that counts. A checkpoint changes pages of the
 * database which are also in the log; the log is copied later, and goes before.
 * It is emptied only by the next commit, and never removed: the owner leaves it
 * there when it ends.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "store/network_priv.h"
#include "store/store_priv.h"

#include "base/poison.h"

#define PREFIX "state."
#define PART ".part"
#define LOG "-wal"
/* What a local store leaves when it has become one of a network. */
#define ASIDE ".local.bak"
#define CHUNK (256 * KIB)

char *epoch_path(const char *dir, int64_t epoch, const char *suffix)
{
	char name[64];

	snprintf(name, sizeof(name), PREFIX "%lld%s", (long long)epoch, suffix);
	return path_join(dir, name);
}

static char *beside(const char *path, const char *suffix)
{
	const size_t room = strlen(path) + strlen(suffix) + 1;
	char *out = malloc(room);

	if (out)
		snprintf(out, room, "%s%s", path, suffix);
	return out;
}

static enum rc fail(const char *path, struct err *e)
{
	return err_set(e, RC_IO, "%s: %s", path, strerror(errno));
}

/* --- which there are ----------------------------------------------------------- */

/* The epoch of a file's name, and what stands after it; 0: it is none. */
static int64_t epoch_of(const char *name, const char **rest)
{
	int64_t epoch = 0;
	struct str s = str_of(name);

	if (!text_starts(name, PREFIX))
		return 0;
	s.p += strlen(PREFIX);
	s.n = strspn(s.p, "0123456789");
	*rest = s.p + s.n;
	return **rest == '.' && str_i64(s, 1, LEASE_EPOCH_MAX, &epoch) ? epoch
								       : 0;
}

/* Calls fn for each of them. */
static enum rc each_file(const char *dir,
	void (*fn)(
		int64_t epoch, const char *name, const char *rest, void *arg),
	void *arg, struct err *e)
{
	struct dirent *d;
	const char *rest = NULL;
	DIR *list = opendir(dir);

	if (!list)
		return fail(dir, e);
	/* What readdir() fails with it says in errno alone. */
	for (errno = 0; (d = readdir(list)) != NULL; errno = 0) {
		const int64_t epoch = epoch_of(d->d_name, &rest);
		if (epoch)
			fn(epoch, d->d_name, rest, arg);
	}
	enum rc rc = errno ? fail(dir, e) : RC_OK;
	closedir(list);
	return rc;
}

static void note_epoch(
	int64_t epoch, const char *name, const char *rest, void *arg)
{
	struct epochs *files = arg;

	(void)name;
	if (epoch > files->top)
		files->top = epoch;
	if (!text_eq(rest, EPOCH_DB))
		return;
	if (epoch > files->newest) {
		files->before = files->newest;
		files->newest = epoch;
	} else if (epoch > files->before) {
		files->before = epoch;
	}
}

enum rc epochs_look(const char *dir, struct epochs *ret, struct err *e)
{
	*ret = (struct epochs){ 0 };
	return each_file(dir, note_epoch, ret, e);
}

/* --- a copy ------------------------------------------------------------------------ */

static enum rc write_all(
	int fd, const char *p, size_t n, const char *path, struct err *e)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return fail(path, e);
		p += done;
		n -= (size_t)done;
	}
	return RC_OK;
}

static enum rc copy_bytes(int from, const char *from_path, int to,
	const char *to_path, struct lease *l, struct err *e)
{
	enum rc rc = RC_OK;
	char *chunk = malloc(CHUNK);

	if (!chunk)
		return err_nomem(e);
	while (rc == RC_OK) {
		ssize_t n = read(from, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = fail(from_path, e);
		if (n <= 0)
			break;
		rc = write_all(to, chunk, (size_t)n, to_path, e);
		if (rc == RC_OK)
			rc = lease_may_act(l, e);
	}
	free(chunk);
	return rc;
}

/* What is open as `from`, into a new file, which is on the disk then. */
static enum rc copy_open(int from, const char *from_path, const char *to_path,
	struct lease *l, struct err *e)
{
	int to = open(to_path,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (to < 0)
		return fail(to_path, e);
	enum rc rc = copy_bytes(from, from_path, to, to_path, l, e);
	if (rc == RC_OK && fsync(to) != 0)
		rc = fail(to_path, e);
	/* A network file system may tell only here that it is full. */
	if (close(to) != 0 && rc == RC_OK)
		rc = fail(to_path, e);
	return rc;
}

/* A database and its log. The log is opened first and copied last. */
static enum rc copy_pair(const char *from, const char *from_log, const char *to,
	const char *to_log, struct lease *l, struct err *e)
{
	int db = -1, log = open(from_log, O_RDONLY | O_CLOEXEC);

	if (log < 0 && errno != ENOENT)
		return fail(from_log, e);
	enum rc rc = RC_OK;
	db = open(from, O_RDONLY | O_CLOEXEC);
	if (db < 0)
		rc = fail(from, e);
	if (rc == RC_OK)
		rc = copy_open(db, from, to, l, e);
	if (rc == RC_OK && log >= 0)
		rc = copy_open(log, from_log, to_log, l, e);
	if (log >= 0)
		close(log);
	if (db >= 0)
		close(db);
	return rc;
}

/* --- is it whole? -------------------------------------------------------------------- */

static enum rc run(
	sqlite3 *db, const char *path, const char *sql, struct err *e)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, path, e);
	return RC_OK;
}

static enum rc check_whole(sqlite3 *db, const char *from, struct err *e)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(db, SQL_WHOLE, -1, &q, NULL) != SQLITE_OK ||
		sqlite3_step(q) != SQLITE_ROW) {
		rc = db_fail(db, from, e);
	} else {
		const char *said = (const char *)sqlite3_column_text(q, 0);
		if (!text_eq(said, "ok"))
			rc = err_set(e, RC_CORRUPT,
				"store %s: is damaged (%s): bring back a "
				"backup, or the file of the epoch before it",
				from, said ? said : "out of memory");
	}
	sqlite3_finalize(q);
	return rc;
}

/* Takes the log of a copy into it, and looks whether it is one of ours and
 * whole. `from` is for the words. */
static enum rc settle(const char *path, const char *from, struct err *e)
{
	sqlite3 *db = NULL;
	int version = 0;

	int code = sqlite3_open_v2(path, &db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_EXRESCODE,
		NULL);
	if (!db)
		return err_nomem(e);
	enum rc rc = code == SQLITE_OK ? RC_OK : db_fail(db, from, e);
	if (rc == RC_OK)
		rc = run(db, from, SQL_ALONE, e);
	if (rc == RC_OK)
		rc = migrate_identify(db, from,
			migrations[n_migrations - 1].version, &version, e);
	if (rc == RC_OK)
		rc = check_whole(db, from, e);
	if (rc == RC_OK)
		rc = run(db, from, SQL_WRITE_BACK, e);
	code = sqlite3_close(db);
	if (rc == RC_OK && code != SQLITE_OK)
		rc = err_set(e, RC_IO, "store %s: cannot be closed", from);
	return rc;
}

static enum rc sync_path(const char *path, int flags, struct err *e)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return fail(path, e);
	/* EINVAL: a file system without directories to sync. */
	enum rc rc = fsync(fd) == 0 || errno == EINVAL ? RC_OK : fail(path, e);
	if (close(fd) != 0 && rc == RC_OK)
		rc = fail(path, e);
	return rc;
}

/* --- making the next one --------------------------------------------------------------- */

struct making {
	struct lease *l;
	const char *dir;
	const char *path; /* of the store, as it is configured */
	struct epochs files;
	char *from, *from_log; /* NULL: of nothing */
	char *part, *part_log;
};

static void making_fini(struct making *m)
{
	free(m->from);
	free(m->from_log);
	free(m->part);
	free(m->part_log);
}

/* What the new one is made of: the newest, else the local one. */
static enum rc find_source(struct making *m, struct err *e)
{
	struct stat st;

	enum rc rc = epochs_look(m->dir, &m->files, e);
	if (rc != RC_OK)
		return rc;
	if (m->files.newest)
		m->from = epoch_path(m->dir, m->files.newest, EPOCH_DB);
	else if (stat(m->path, &st) == 0)
		m->from = strdup(m->path);
	else if (errno == ENOENT)
		return RC_OK;
	else
		return fail(m->path, e);
	m->from_log = m->from ? beside(m->from, LOG) : NULL;
	return m->from_log ? RC_OK : err_nomem(e);
}

static enum rc start_making(struct making *m, struct err *e)
{
	const int64_t epoch = lease_epoch(m->l);

	m->part = epoch_path(m->dir, epoch, PART);
	m->part_log = epoch_path(m->dir, epoch, PART LOG);
	if (!m->part || !m->part_log)
		return err_nomem(e);
	/* Of a lease that was removed, and began at 1 again. */
	unlink(m->part);
	unlink(m->part_log);
	return find_source(m, e);
}

static enum rc fill(struct making *m, struct err *e)
{
	if (!m->from)
		return private_file(m->part, e);
	enum rc rc =
		copy_pair(m->from, m->from_log, m->part, m->part_log, m->l, e);
	if (rc == RC_OK)
		rc = settle(m->part, m->from, e);
	return rc == RC_OK ? sync_path(m->part, O_RDWR, e) : rc;
}

static enum rc make(struct making *m, struct err *e)
{
	struct epochs now;

	enum rc rc = start_making(m, e);
	if (rc == RC_OK)
		rc = fill(m, e);
	if (rc == RC_OK)
		rc = epochs_look(m->dir, &now, e);
	if (rc == RC_OK &&
		(now.newest != m->files.newest || now.top > lease_epoch(m->l)))
		rc = err_set(e, RC_BUSY,
			"store %s: another service has begun epoch %lld "
			"meanwhile",
			m->path, (long long)now.top);
	if (rc == RC_OK)
		rc = lease_may_act(m->l, e);
	if (rc != RC_OK && m->part && m->part_log) {
		unlink(m->part);
		unlink(m->part_log);
	}
	return rc;
}

/* NFS may report a rename that happened as failed. */
static enum rc move(const char *from, const char *to, struct err *e)
{
	struct stat st;

	if (rename(from, to) == 0)
		return RC_OK;
	const int why = errno;
	if (stat(from, &st) != 0 && errno == ENOENT && stat(to, &st) == 0)
		return RC_OK;
	errno = why;
	return fail(to, e);
}

/* --- what is not needed any more --------------------------------------------------------- */

struct sweep {
	const char *dir;
	int64_t below; /* every file of an older epoch */
	int64_t parts; /* what is not whole, of an older one than this */
	int why;       /* errno of what could not be removed */
};

static void sweep_one(
	int64_t epoch, const char *name, const char *rest, void *arg)
{
	struct sweep *s = arg;

	if (epoch >= s->below && !(epoch < s->parts && text_starts(rest, PART)))
		return;
	char *path = path_join(s->dir, name);
	if (!path)
		s->why = ENOMEM;
	else if (unlink(path) != 0 && errno != ENOENT)
		s->why = errno;
	free(path);
}

static enum rc sweep(
	const char *dir, int64_t below, int64_t parts, struct err *e)
{
	struct sweep s = { dir, below, parts, 0 };

	enum rc rc = each_file(dir, sweep_one, &s, e);
	if (rc == RC_OK && s.why)
		rc = err_set(e, RC_IO, "%s: an old file cannot be removed: %s",
			dir, strerror(s.why));
	return rc;
}

/* The local one, which does not count any more, must not be taken for the
 * store. */
static void set_aside(const char *path)
{
	char *log = beside(path, LOG), *shm = beside(path, "-shm");
	char *to = beside(path, ASIDE), *to_log = beside(path, ASIDE LOG);

	if (log && shm && to && to_log && access(path, F_OK) == 0) {
		unlink(to);
		unlink(to_log);
		rename(log, to_log);
		rename(path, to);
		unlink(shm);
	}
	free(log);
	free(shm);
	free(to);
	free(to_log);
}

enum rc epoch_begin(
	const char *dir, const char *path, struct lease *l, struct err *e)
{
	struct making m = { .l = l, .dir = dir, .path = path };
	const int64_t epoch = lease_epoch(l);
	char *to = epoch_path(dir, epoch, EPOCH_DB);

	enum rc rc = to ? make(&m, e) : err_nomem(e);
	assert(rc != RC_OK || m.part);
	if (rc == RC_OK)
		rc = move(m.part, to, e);
	if (rc == RC_OK)
		rc = sync_path(dir, O_RDONLY | O_DIRECTORY, e);
	if (rc == RC_OK) {
		set_aside(path);
		/* What stays is removed by the next one. Of a silent one the
		 * file that its own was made of stays, too: a file server may
		 * hold up who removes what it thinks that one has (an NFS
		 * delegation), and with it our heartbeat, which looks at the
		 * directory. */
		const bool silent = lease_was_silent(l);
		(void)!sweep(dir, silent ? m.files.before : m.files.newest,
			epoch, NULL);
	}
	making_fini(&m);
	free(to);
	return rc;
}

/* --- back to a local one ------------------------------------------------------------------ */

/* The file first, while those of the network still count; a log that lies
 * beside it belongs to another. */
static enum rc put_home(struct making *m, struct err *e)
{
	char *log = beside(m->path, LOG), *shm = beside(m->path, "-shm");
	enum rc rc = log && shm ? RC_OK : err_nomem(e);

	if (rc == RC_OK) {
		unlink(log);
		unlink(shm);
		rc = move(m->part, m->path, e);
	}
	if (rc == RC_OK)
		rc = sync_path(m->dir, O_RDONLY | O_DIRECTORY, e);
	free(log);
	free(shm);
	return rc;
}

enum rc epoch_bring_home(
	const char *dir, const char *path, struct lease *l, struct err *e)
{
	struct making m = { .l = l, .dir = dir, .path = path };

	enum rc rc = make(&m, e);
	if (rc == RC_OK && m.files.newest)
		rc = put_home(&m, e);
	/* The newest is removed last: as long as it is there, it counts, and
	 * all of this is done again. An older one must not count instead. */
	if (rc == RC_OK && m.files.newest)
		rc = sweep(dir, m.files.newest, lease_epoch(l) + 1, e);
	if (rc == RC_OK && m.files.newest) {
		if (unlink(m.from) != 0 && errno != ENOENT)
			rc = fail(m.from, e);
		else
			unlink(m.from_log);
	}
	making_fini(&m);
	return rc;
}

void epoch_tidy(const char *dir)
{
	(void)!sweep(dir, LEASE_EPOCH_MAX + 1, 0, NULL);
}
