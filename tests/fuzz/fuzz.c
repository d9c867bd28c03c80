/*
 * tests/fuzz/fuzz.c: what the fuzz targets share.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <regex.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

noreturn void fuzz_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

char *fuzz_text(const uint8_t *p, size_t n)
{
	char *text = strndup((const char *)p, n);

	HOLDS(text);
	return text;
}

bool fuzz_has(const void *p, size_t n, const char *text)
{
	const char *at = p;
	size_t m = strlen(text);

	for (size_t i = 0; i + m <= n; i++)
		if (memcmp(at + i, text, m) == 0)
			return true;
	return false;
}

struct str fuzz_line(struct str *rest)
{
	return str_cut(rest, '\n', NULL);
}

bool fuzz_matches(void **compiled, const char *pattern, const char *text)
{
	if (!*compiled) {
		*compiled = calloc(1, sizeof(regex_t));
		HOLDS(*compiled);
		HOLDS(regcomp(*compiled, pattern, REG_EXTENDED | REG_NOSUB) ==
			0);
	}
	return regexec(*compiled, text, 0, NULL, 0) == 0;
}

bool fuzz_is_server(const char *text)
{
	const char *port = strrchr(text, ':');

	if (strlen(text) > 255)
		return false;
	if (MATCHES("[A-Za-z0-9.-]+|\\[[A-Fa-f0-9:.]{2,45}\\]", text))
		return true;
	return MATCHES("([A-Za-z0-9.-]+|\\[[A-Fa-f0-9:.]{2,45}\\])"
		       ":(0|[1-9][0-9]{0,4})",
		       text) &&
		strtol(port + 1, NULL, 10) <= 65535;
}

bool fuzz_is_clean(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return utf8_valid(text, strlen(text), NULL);
}

/* --- a folder ------------------------------------------------------------- */

static char folder[300];
static struct store *store;
static sqlite3 *db;

static void remove_all(void)
{
	char path[600];

	store_close(store);
	sqlite3_close(db);
	DIR *dir = opendir(folder);
	for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		if (d->d_name[0] != '.')
			unlink(path);
	}
	if (dir)
		closedir(dir);
	rmdir(folder);
}

/* In memory where that is possible: each commit is synced. */
const char *fuzz_dir(void)
{
	const char *top = getenv("TMPDIR");

	if (folder[0])
		return folder;
	if (!top)
		top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/muster-fuzz-XXXXXX", top);
	HOLDS(mkdtemp(folder));
	HOLDS(atexit(remove_all) == 0);
	return folder;
}

struct store *fuzz_store(void)
{
	char path[400];
	struct err e = { 0 };

	if (store)
		return store;
	log_setup(LOG_ERROR, LOG_JSON);
	snprintf(path, sizeof(path), "%s/muster.db", fuzz_dir());
	if (store_open(path, &store, &e) != RC_OK)
		fuzz_broken(path, 0, e.text);
	HOLDS(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) ==
		SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return store;
}

/* --- what the store holds ------------------------------------------------- */

/* Statements are kept, by where their text stands. */
static sqlite3_stmt *statement(const char *sql)
{
	static struct {
		const char *sql;
		sqlite3_stmt *q;
	} known[16];
	size_t i = 0;

	while (known[i].sql && known[i].sql != sql)
		HOLDS(++i < ARRAY_LEN(known));
	if (!known[i].sql) {
		known[i].sql = sql;
		if (sqlite3_prepare_v2(db, sql, -1, &known[i].q, NULL))
			fuzz_broken(sql, 0, sqlite3_errmsg(db));
	}
	return known[i].q;
}

int64_t fuzz_sql(const char *sql, int64_t number)
{
	sqlite3_stmt *q = statement(sql);

	sqlite3_bind_int64(q, 1, number);
	HOLDS(sqlite3_step(q) == SQLITE_ROW);
	int64_t ret = sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return ret;
}

void fuzz_sql_texts(const char *sql, void (*fn)(const char *p, size_t n))
{
	sqlite3_stmt *q = statement(sql);
	int code;

	while ((code = sqlite3_step(q)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(q); i++) {
			const void *p = sqlite3_column_text(q, i);
			if (p)
				fn(p, (size_t)sqlite3_column_bytes(q, i));
		}
	HOLDS(code == SQLITE_DONE);
	sqlite3_reset(q);
}
