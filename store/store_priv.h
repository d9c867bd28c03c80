/*
 * store/store_priv.h: what the files of store/ share: the open store, how a
 * statement is run and its rows are read, migrations.
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "store/network_priv.h"
#include "store/sql.h"
#include "store/store.h"

/* How long to wait for an operator's sqlite3 shell. */
#define STORE_BUSY_MS 5000

enum sql {
#define X(name, text) SQL_##name,
	SQL_TABLE(X)
#undef X
		SQL_STATEMENTS
};

/* Ids whose numbers are known; each has one place. */
struct ids {
	struct known_id {
		char *id; /* NULL: nothing is here */
		int64_t no;
		/* Whether it is that of a room with a key, as of then. */
		uint64_t looked;
		bool has_key;
	} known[4096];
	uint64_t rooms; /* how often rooms have changed; looked is one more */
	bool unsure;    /* some were made in a transaction that is still open */
};

/* The transactions that transaction_seen has. */
struct window {
	struct window_entry {
		uint64_t id;     /* a hash */
		uint64_t digest; /* its beginning */
	} entries[STORE_TXN_WINDOW];
	/* Chains of entries, by slot and one. */
	uint16_t first[16384], next[STORE_TXN_WINDOW];
	int64_t last_seq;
	bool unsure; /* some are of a transaction that is still open */
	bool stale;  /* that one was undone: to be loaded again */
};

struct keeper {
	pthread_t thread;
	pthread_cond_t due; /* with the store's mutex */
	int every, next;    /* pages of log between checkpoints, to the next */
	int64_t page;       /* bytes */
	int64_t used, room; /* bytes of log that count, and that there are */
	bool running, asked, ending;
};

struct store {
	char *name; /* as it is configured */
	char *path; /* of the database; on a network, that of its epoch */
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_STATEMENTS];
	bool writable;       /* false: opened for looking only */
	int lock_fd;         /* -1: none */
	struct lease *lease; /* on a network; NULL */
	dev_t dev;           /* which file the database is */
	ino_t ino;
	/*
	 * Recursive: between store_begin() and store_commit() one thread holds
	 * it and may call everything. So who holds it and finds `writing` set
	 * knows that the transaction is its own.
	 */
	pthread_mutex_t mutex;
	bool writing;
	bool no_sync; /* commits do not wait for the disk just now */
	struct ids ids;
	struct window window;
	struct keeper keeper;
	int64_t written_ms; /* monotonic: when something was last written; 0:
			       not yet, or something failed since */
};

/* Everything that uses the connection is between these; whoever has it may take
 * it again. */
void store_lock(struct store *s);
void store_unlock(struct store *s);

/* --- place.c: which file it is, and that it is ours ---------------------- */

/* s->path, and the lock or the lease. */
MUST_CHECK enum rc place_take(
	struct store *s, const struct store_options *o, struct err *e);
/* The lock; the lease goes with lease_free(). */
void place_drop(struct store *s);
/* s->path for one who looks; *alone: it is that of a network. RC_BUSY: somebody
 * has it there. */
MUST_CHECK enum rc place_find(struct store *s, bool *alone, struct err *e);

/* --- stmt.c: statements, their arguments and rows ------------------------- */

/* The last error of a connection as a result code and in words. */
enum rc db_fail(sqlite3 *db, const char *path, struct err *e);

/* What a parameter is bound to: T("text"), N(number), B(bytes, length). The
 * bytes are borrowed until the statement is done. */
struct arg {
	enum { ARG_TEXT, ARG_NUMBER, ARG_BYTES } type;
	const void *p; /* NULL: SQL's NULL */
	int64_t n;
};
#define T(v) ((struct arg){ .type = ARG_TEXT, .p = (const char *){ v } })
#define N(v) ((struct arg){ .type = ARG_NUMBER, .n = (v) })
#define B(v, len) ((struct arg){ .type = ARG_BYTES, .p = (v), .n = (len) })
#define ARGS(...)                                                              \
	(const struct arg[]){ __VA_ARGS__ },                                   \
		sizeof((const struct arg[]){ __VA_ARGS__ }) /                  \
		sizeof(struct arg)
#define NO_ARGS NULL, 0

/* The mutex must be held from stmt_get() to stmt_done(). */
sqlite3_stmt *stmt_get(
	struct store *s, enum sql id, const struct arg *args, size_t n);
/* Goes to the next row; *row false: there is none. */
MUST_CHECK enum rc stmt_step(
	struct store *s, sqlite3_stmt *q, bool *row, struct err *e);
/* Resets it and lets go of its arguments; on every path. */
void stmt_done(sqlite3_stmt *q);
/* Runs a statement that gives no rows. */
MUST_CHECK enum rc stmt_run(struct store *s, enum sql id,
	const struct arg *args, size_t n, struct err *e);

/* Runs a change; the caller must have a transaction open. */
MUST_CHECK enum rc store_write(struct store *s, enum sql id,
	const struct arg *args, size_t n, struct err *e);
/* The same for a change to one row: RC_NOT_FOUND, with `what` and `name` in
 * words, when there was no such row. */
MUST_CHECK enum rc store_change(struct store *s, enum sql id,
	const struct arg *args, size_t n, const char *what, const char *name,
	struct err *e);

/* Whether a query has a row, and (where number is not NULL) what its first
 * column says. */
MUST_CHECK enum rc store_ask(struct store *s, enum sql id,
	const struct arg *args, size_t n, bool *row, int64_t *number,
	struct err *e);

/* A column's text in the arena; NULL for NULL. */
const char *column_text(sqlite3_stmt *q, int column, struct arena *a);

/* Equal texts once: for columns that say the same in thousands of rows. */
struct intern {
	struct arena *a; /* where the texts are */
	const char **slots;
	size_t n, cap;
};
/* The text kept for s; NULL for NULL, or when out of memory (a->failed). */
const char *intern(struct intern *t, const char *s);
void intern_fini(struct intern *t);
const char *column_intern(sqlite3_stmt *q, int column, struct intern *t);

/* A query's rows as an array in an arena. */
struct rows {
	enum sql list;
	enum sql count; /* how many there will be; SQL_STATEMENTS: not known */
	const struct arg *args;
	size_t n_args;
	size_t size; /* of an element */
	/* Fills one; what cannot be allocated is seen in the arena. */
	void (*read)(sqlite3_stmt *q, void *element, struct intern *t);
};
/* What a query of a count says; *ret stays for SQL_STATEMENTS. The mutex must be
 * held. */
MUST_CHECK enum rc rows_count(
	struct store *s, enum sql id, size_t *ret, struct err *e);
/* The mutex must be held. *ret is given as the address of any pointer. */
MUST_CHECK enum rc rows_read(struct store *s, const struct rows *r,
	struct intern *t, void *ret, size_t *n, struct err *e);
/* The same with mutex and interning of its own. */
MUST_CHECK enum rc store_list(struct store *s, const struct rows *r,
	struct arena *a, void *ret, size_t *n, struct err *e);

/* A limit as SQL takes it. */
int64_t sql_limit(size_t limit);

/* A query's first column. */
MUST_CHECK enum rc store_names(struct store *s, enum sql id,
	const struct arg *args, size_t n_args, struct arena *a,
	const char ***ret, size_t *n, struct err *e);

/* A sorted copy of names, to look them up in. */
struct names {
	const char **v;
	size_t n;
};
MUST_CHECK enum rc names_init(
	struct names *t, const char *const *v, size_t n, struct err *e);
bool names_has(const struct names *t, const char *name);
void names_fini(struct names *t);

/* --- members.c ------------------------------------------------------------ */

/* The words that the numbers in `member` stand for. */
const char *membership_word(int64_t no);
const char *source_word(int64_t no);

/* --- ids.c ---------------------------------------------------------------- */

/* The mutex must be held. *no 0: nobody has used the id. */
MUST_CHECK enum rc id_number(
	struct store *s, const char *id, int64_t *no, struct err *e);
/* Makes one; within a transaction. */
MUST_CHECK enum rc id_number_make(
	struct store *s, const char *id, int64_t *no, struct err *e);
/* Some room has got another id. */
void ids_rooms_changed(struct ids *t);
/* The transaction has ended. */
void ids_settle(struct ids *t, bool committed);
void ids_fini(struct ids *t);

/* --- window.c ------------------------------------------------------------- */

/* From the table. The mutex must be held. */
MUST_CHECK enum rc window_load(struct store *s, struct err *e);
bool window_has(struct window *w, const char *txn_id,
	const unsigned char digest[SHA256_LEN]);
/* The open transaction remembers this one; its number. */
int64_t window_add(struct window *w, const char *txn_id,
	const unsigned char digest[SHA256_LEN]);
/* The transaction has ended. */
void window_settle(struct window *w, bool committed);

/* --- keeper.c ------------------------------------------------------------- */

MUST_CHECK enum rc keeper_start(struct store *s, struct err *e);
/* After a commit, with the mutex held and no transaction open. */
void keeper_help(struct store *s);
/* Does nothing when it was not started. */
void keeper_stop(struct store *s);

/* --- migrate.c ------------------------------------------------------------ */

struct migration {
	int version;
	const char *name;
	const char *const *lines; /* NULL-terminated */
};
extern const struct migration migrations[];
extern const size_t n_migrations;

/* Whose database it is: *version 0 for an empty one. RC_CORRUPT when it is not
 * ours, RC_VERSION when it is newer than `newest`. */
MUST_CHECK enum rc migrate_identify(
	sqlite3 *db, const char *path, int newest, int *version, struct err *e);
/* Applies what is missing, in one transaction, after a backup beside it of a
 * database that has something to lose. The list is not empty. */
MUST_CHECK enum rc migrate(sqlite3 *db, const char *path, int version,
	const struct migration *list, size_t n, struct err *e);
/* Makes an empty file that is ours alone; an existing one stays as it is. */
MUST_CHECK enum rc private_file(const char *path, struct err *e);

#endif
