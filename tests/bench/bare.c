/*
 * The limit: the commits of the service without a service. Random memberships
 * of 200 rooms and 1,000 users, N rows a commit, in a write-ahead log with
 * synchronous=FULL, by prepared statements and integer keys:
 *
 *   membership (key INTEGER PRIMARY KEY,       room * 2^32 + user
 *               word INTEGER, origin_ts INTEGER)
 *
 * One statement a row: an upsert that the larger time wins. Nothing is parsed,
 * no name is looked up, no transaction is remembered (with --ids it is: a
 * table of id and digest, a row a commit, the last 1,000 of them). Checkpoints
 * come between the measured commits, and the log is as long as it gets before
 * they begin, as in a service that has run for a while: to write over a file is
 * faster than to make it longer. Prints one JSON object.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/common.h"

#include "base/poison.h"

/* The log is written back when it is longer than this. */
#define LOG_BYTES (4 * 1024 * 1024)
/* Transactions that --ids remembers. */
#define REMEMBERED 1000

static const char usage[] =
	"usage: bare --store FILE [options]\n"
	"  --per N            rows in a commit (30)\n"
	"  --transactions N, --seconds N: when to end (5 s)\n"
	"  --page N           bytes of a page (1024)\n"
	"  --filled           all 200,000 rows are there before it begins\n"
	"  --ids              remember the transactions, too\n"
	"  --seed N           (1)\n";

struct bare {
	const char *path;
	unsigned per, page;
	uint64_t transactions, seconds;
	bool filled, ids;
	struct random random;
	int64_t clock, n_ids;
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *put, *id, *trim;
	struct times times;
	size_t log_frames;
	uint64_t in_commits, in_checkpoints;
};

enum {
	OPT_STORE = 1,
	OPT_PER,
	OPT_TRANSACTIONS,
	OPT_SECONDS,
	OPT_PAGE,
	OPT_FILLED,
	OPT_IDS,
	OPT_SEED,
};

static const struct option long_options[] = {
	{ "store", required_argument, NULL, OPT_STORE },
	{ "per", required_argument, NULL, OPT_PER },
	{ "transactions", required_argument, NULL, OPT_TRANSACTIONS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "page", required_argument, NULL, OPT_PAGE },
	{ "filled", no_argument, NULL, OPT_FILLED },
	{ "ids", no_argument, NULL, OPT_IDS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ 0 },
};

static void read_options(struct bare *b, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (option) {
		case OPT_STORE:
			b->path = optarg;
			break;
		case OPT_PER:
			b->per = (unsigned)option_number(
				optarg, 1, 100000, usage);
			break;
		case OPT_TRANSACTIONS:
			b->transactions =
				option_number(optarg, 1, UINT32_MAX, usage);
			break;
		case OPT_SECONDS:
			b->seconds = option_number(optarg, 1, 86400, usage);
			break;
		case OPT_PAGE:
			b->page = (unsigned)option_number(
				optarg, 512, 65536, usage);
			break;
		case OPT_FILLED:
			b->filled = true;
			break;
		case OPT_IDS:
			b->ids = true;
			break;
		case OPT_SEED:
			b->random.state =
				option_number(optarg, 0, UINT32_MAX, usage);
			break;
		default:
			wrong_use(usage);
		}
	if (optind != argc || !b->path)
		wrong_use(usage);
	if (!b->transactions && !b->seconds)
		b->seconds = 5;
}

static void check(struct bare *b, bool good)
{
	if (good)
		return;
	fprintf(stderr, "bare: %s: %s\n", b->path, sqlite3_errmsg(b->db));
	exit(1);
}

static void exec(struct bare *b, const char *sql)
{
	check(b, sqlite3_exec(b->db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static sqlite3_stmt *prepare(struct bare *b, const char *sql)
{
	sqlite3_stmt *q = NULL;

	check(b,
		sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
			&q, NULL) == SQLITE_OK);
	return q;
}

static void step(struct bare *b, sqlite3_stmt *q)
{
	check(b, sqlite3_step(q) == SQLITE_DONE);
	sqlite3_reset(q);
}

static void open_store(struct bare *b)
{
	char pages[64];

	/* From an empty file, which must not be somebody's store. */
	if (access(b->path, F_OK) == 0) {
		fprintf(stderr, "bare: %s is there already\n", b->path);
		exit(1);
	}
	check(b, sqlite3_open(b->path, &b->db) == SQLITE_OK);
	snprintf(pages, sizeof(pages), "PRAGMA page_size=%u", b->page);
	exec(b, pages);
	exec(b,
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		"PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16000;"
		"CREATE TABLE membership (key INTEGER PRIMARY KEY,"
		" word INTEGER NOT NULL, origin_ts INTEGER NOT NULL) STRICT;"
		"CREATE TABLE seen (seq INTEGER PRIMARY KEY,"
		" txn_id TEXT NOT NULL UNIQUE, digest BLOB NOT NULL) STRICT");
	b->begin = prepare(b, "BEGIN IMMEDIATE");
	b->commit = prepare(b, "COMMIT");
	b->put = prepare(b,
		"INSERT INTO membership VALUES (?1, ?2, ?3)"
		" ON CONFLICT (key) DO UPDATE SET word = excluded.word,"
		" origin_ts = excluded.origin_ts"
		" WHERE excluded.origin_ts >= origin_ts");
	b->id = prepare(b, "INSERT INTO seen VALUES (?1, ?2, ?3)");
	b->trim = prepare(b, "DELETE FROM seen WHERE seq <= ?1");
}

static void put(struct bare *b, uint32_t room, uint32_t user, int word)
{
	sqlite3_bind_int64(b->put, 1, (int64_t)room << 32 | user);
	sqlite3_bind_int(b->put, 2, word);
	sqlite3_bind_int64(b->put, 3, b->clock++);
	step(b, b->put);
}

static void put_random(struct bare *b)
{
	uint32_t room = random_number(&b->random, SET_ROOMS);
	uint32_t user = random_number(&b->random, SET_USERS);

	put(b, room, user, (int)random_number(&b->random, 5));
}

static void put_id(struct bare *b)
{
	uint64_t digest[4];
	char id[44];

	for (int i = 0; i < 4; i++)
		digest[i] = random_next(&b->random);
	snprintf(id, sizeof(id), "%016" PRIx64 "%016" PRIx64 "%011u", digest[0],
		digest[1], (unsigned)b->n_ids);
	sqlite3_bind_int64(b->id, 1, ++b->n_ids);
	sqlite3_bind_text(b->id, 2, id, 43, SQLITE_STATIC);
	sqlite3_bind_blob(b->id, 3, digest, sizeof(digest), SQLITE_STATIC);
	step(b, b->id);
	sqlite3_clear_bindings(b->id);
	sqlite3_bind_int64(b->trim, 1, b->n_ids - REMEMBERED);
	step(b, b->trim);
}

static void fill(struct bare *b)
{
	step(b, b->begin);
	for (uint32_t room = 0; room < SET_ROOMS; room++)
		for (uint32_t user = 0; user < SET_USERS; user++)
			put(b, room, user, 0);
	step(b, b->commit);
}

static void checkpoint(struct bare *b, int mode)
{
	uint64_t from = now_ns();

	check(b,
		sqlite3_wal_checkpoint_v2(b->db, "main", mode, NULL, NULL) ==
			SQLITE_OK);
	b->log_frames = 0;
	b->in_checkpoints += now_ns() - from;
}

/* SQLite says how long the log is. */
static int after_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct bare *b = arg;

	(void)db;
	(void)name;
	b->log_frames = (size_t)frames;
	return SQLITE_OK;
}

/* Makes the log as long as it will get; what it is made of goes again. */
static void lengthen_log(struct bare *b)
{
	exec(b, "BEGIN; CREATE TABLE filler (x BLOB);");
	for (int i = 0; i < LOG_BYTES / 65536 * 9 / 8; i++)
		exec(b, "INSERT INTO filler VALUES (zeroblob(65536))");
	exec(b, "COMMIT");
	checkpoint(b, SQLITE_CHECKPOINT_RESTART);
	exec(b, "DROP TABLE filler");
	checkpoint(b, SQLITE_CHECKPOINT_RESTART);
	b->in_checkpoints = 0;
}

static bool one_commit(struct bare *b)
{
	uint64_t from = now_ns();

	step(b, b->begin);
	for (unsigned i = 0; i < b->per; i++)
		put_random(b);
	if (b->ids)
		put_id(b);
	step(b, b->commit);
	uint64_t took = now_ns() - from;
	b->in_commits += took;
	return times_add(&b->times, took);
}

static void run(struct bare *b)
{
	uint64_t began = now_ns();

	while ((!b->transactions || b->times.n < b->transactions) &&
		(!b->seconds || now_ns() - began < b->seconds * 1000000000)) {
		if (!one_commit(b))
			break;
		if (b->log_frames * (b->page + 24) > LOG_BYTES)
			checkpoint(b, SQLITE_CHECKPOINT_RESTART);
	}
}

static int64_t count_rows(struct bare *b)
{
	sqlite3_stmt *q = prepare(b, "SELECT count(*) FROM membership");

	check(b, sqlite3_step(q) == SQLITE_ROW);
	int64_t n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

static void report(struct bare *b)
{
	double seconds = (double)b->in_commits / 1e9;
	double n = (double)b->times.n;

	times_sort(&b->times);
	printf("{\"per\": %u, \"page\": %u, \"filled\": %s, \"ids\": %s, "
	       "\"seconds\": %.3f, \"checkpoints_s\": %.3f, "
	       "\"transactions\": %zu, \"rows\": %" PRId64
	       ", \"events_per_s\": %.1f, \"transactions_per_s\": %.1f, ",
		b->per, b->page, b->filled ? "true" : "false",
		b->ids ? "true" : "false", seconds,
		(double)b->in_checkpoints / 1e9, b->times.n, count_rows(b),
		n * b->per / seconds, n / seconds);
	times_print(&b->times);
	puts("}");
}

int main(int argc, char **argv)
{
	struct bare b = {
		.per = 30, .page = 1024, .random = { 1 }, .clock = 1
	};

	read_options(&b, argc, argv);
	if (!times_init(&b.times))
		return 1;
	open_store(&b);
	sqlite3_wal_hook(b.db, after_commit, &b);
	if (b.filled)
		fill(&b);
	lengthen_log(&b);
	run(&b);
	report(&b);
	sqlite3_stmt *all[] = { b.begin, b.commit, b.put, b.id, b.trim };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		sqlite3_finalize(all[i]);
	times_fini(&b.times);
	return sqlite3_close(b.db) == SQLITE_OK ? 0 : 1;
}
