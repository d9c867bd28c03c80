/*
 * store/health.c: is the database whole, is there room for it, and where is it?
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* Without the indexes' order, which a large one would take long for. */
#define SQL_QUICK "PRAGMA quick_check(1)"

/* The first thing that it names, in one line: a title stands above it. */
static enum rc damaged(const struct store *s, const char *said, struct err *e)
{
	const char *line = said ? strchr(said, '\n') : NULL;

	line = line ? line + 1 : said ? said : "out of memory";
	return err_set(e, RC_CORRUPT, "store %s: is damaged (%.*s)", s->path,
		(int)strcspn(line, "\n"), line);
}

enum rc store_whole(struct store *s, struct err *e)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	store_lock(s);
	if (sqlite3_prepare_v2(s->db, SQL_QUICK, -1, &q, NULL) != SQLITE_OK ||
		sqlite3_step(q) != SQLITE_ROW) {
		rc = db_fail(s->db, s->path, e);
	} else {
		const char *said = (const char *)sqlite3_column_text(q, 0);
		if (!text_eq(said, "ok"))
			rc = damaged(s, said, e);
	}
	sqlite3_finalize(q);
	store_unlock(s);
	return rc;
}

enum rc store_look_at_place(
	const char *path, struct store_spot *ret, struct err *e)
{
	struct statvfs fs;
	char *dir = path_dir(path);

	if (!dir)
		return err_nomem(e);
	enum rc rc = network_wanted(dir, STORE_AUTO, &ret->network, e);
	if (rc == RC_OK && statvfs(dir, &fs) != 0)
		rc = err_set(e, RC_IO, "store: %s: %s", dir, strerror(errno));
	if (rc == RC_OK)
		ret->free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	free(dir);
	return rc;
}
