/*
 * store/migrate.c: brings a database's schema up to date. The migrations are
 * the files of store/migrations/, embedded when the program is built.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "store/store_priv.h"

#include "base/poison.h"

const struct migration migrations[] = {
#include "store/migrations.inc"
};
const size_t n_migrations = ARRAY_LEN(migrations);

enum rc private_file(const char *path, struct err *e)
{
	int fd = open(
		path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno != EEXIST)
		return err_set(e, RC_IO, "store %s: cannot be made: %s", path,
			strerror(errno));
	if (fd >= 0)
		close(fd);
	return RC_OK;
}

enum rc migrate_identify(sqlite3 *db, const char *path, int newest,
	int *ret_version, struct err *e)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(db, SQL_IDENTITY, -1, &q, NULL) != SQLITE_OK ||
		sqlite3_step(q) != SQLITE_ROW) {
		enum rc rc = db_fail(db, path, e);
		sqlite3_finalize(q);
		return rc;
	}
	int id = sqlite3_column_int(q, 0);
	int version = sqlite3_column_int(q, 1);
	bool empty = sqlite3_column_int64(q, 2) == 0;
	sqlite3_finalize(q);

	if (empty && id == 0 && version == 0) {
		*ret_version = 0;
		return RC_OK;
	}
	if (id != SQL_APPLICATION_ID || version < 1)
		return err_set(e, RC_CORRUPT,
			"store %s: a database of another program (application "
			"id %d, expected %d): name another file in store.path",
			path, id, SQL_APPLICATION_ID);
	if (version > newest)
		return err_set(e, RC_VERSION,
			"store %s: made by a newer muster (its schema is %d, "
			"this one knows up to %d): use that version, or bring "
			"back the backup made before it",
			path, version, newest);
	*ret_version = version;
	return RC_OK;
}

static enum rc exec(
	sqlite3 *db, const char *path, const char *sql, struct err *e)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, path, e);
	return RC_OK;
}

/* VACUUM INTO leaves the file in the system's memory. */
static enum rc sync_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0) {
		enum rc rc = err_set(
			e, RC_IO, "backup %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	close(fd);
	return RC_OK;
}

/* A backup of the same version left by an attempt before is replaced. */
static enum rc backup(sqlite3 *db, const char *path, int version, struct err *e)
{
	enum rc rc = RC_NOMEM;
	sqlite3_stmt *q = NULL;
	struct buf to;

	buf_init(&to, LIMIT_SMALL_BODY);
	buf_addf(&to, "%s.v%d.bak", path, version);
	rc = buf_rc(&to);
	if (rc != RC_OK) {
		err_set(e, rc, "store %s: name of the backup", path);
		goto out;
	}
	if (unlink(buf_str(&to)) != 0 && errno != ENOENT) {
		rc = err_set(e, RC_IO, "store %s: %s is in the way: %s", path,
			buf_str(&to), strerror(errno));
		goto out;
	}
	rc = private_file(buf_str(&to), e);
	if (rc != RC_OK)
		goto out;
	if (sqlite3_prepare_v2(db, SQL_BACKUP, -1, &q, NULL) != SQLITE_OK ||
		sqlite3_bind_text(q, 1, buf_str(&to), -1, SQLITE_STATIC) !=
			SQLITE_OK ||
		sqlite3_step(q) != SQLITE_DONE) {
		rc = db_fail(db, path, e);
		err_wrap(e, rc, "backup %s", buf_str(&to));
		goto out;
	}
	rc = sync_file(buf_str(&to), e);
out:
	sqlite3_finalize(q);
	buf_free(&to);
	return rc;
}

/* One of them, within the transaction. */
static enum rc apply(
	sqlite3 *db, const char *path, const struct migration *m, struct err *e)
{
	struct buf sql;

	buf_init(&sql, LIMIT_CONFIG_FILE);
	for (const char *const *line = m->lines; *line; line++)
		buf_add(&sql, *line);
	buf_addf(&sql, SQL_STAMP, SQL_APPLICATION_ID, m->version);
	enum rc rc = buf_rc(&sql);
	if (rc != RC_OK)
		err_set(e, rc, "%s", rc_words(rc));
	else
		rc = exec(db, path, buf_str(&sql), e);
	buf_free(&sql);
	return rc == RC_OK ? rc : err_wrap(e, rc, "migration %s", m->name);
}

/* All that are missing at once: who looks at a new store while it is made
 * finds nothing, or all of it. */
static enum rc apply_all(sqlite3 *db, const char *path, int version,
	const struct migration *list, size_t n, struct err *e)
{
	enum rc rc = exec(db, path, SQL_MIGRATE, e);

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (list[i].version > version)
			rc = apply(db, path, &list[i], e);
	if (rc == RC_OK)
		rc = exec(db, path, SQL_MIGRATED, e);
	if (rc != RC_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, SQL_UNDO, NULL, NULL, NULL);
	return rc;
}

enum rc migrate(sqlite3 *db, const char *path, int version,
	const struct migration *list, size_t n, struct err *e)
{
	if (version >= list[n - 1].version)
		return RC_OK;
	/* An empty one has nothing to lose. */
	enum rc rc = version == 0 ? RC_OK : backup(db, path, version, e);
	return rc == RC_OK ? apply_all(db, path, version, list, n, e) : rc;
}
