/*
 * tests/unit/store_fixture.h: a store in a fresh directory, for one test.
 */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "tests/unit/test.h"

#include "store/store.h"

struct store_fixture {
	char dir[200];
	char path[256];
	struct store *s; /* open */
	struct arena a;  /* for what is read */
	struct err e;
};

/* cmocka's setup and teardown; *state is the fixture. */
int store_fixture_open(void **state);
int store_fixture_close(void **state);
/* Closes and opens it again. */
void store_fixture_reopen(struct store_fixture *f);
/* Runs SQL on the database by a connection of its own; the first column of
 * the first row as a number. */
int64_t store_fixture_sql(struct store_fixture *f, const char *sql);

/*
 * Another process opens the store and commits for ever, each time the next
 * number as the notes "first" and "last" with one transaction counted between
 * them, until it is killed some time after it told that `after` is committed.
 * The last number that it told.
 */
int64_t store_kill_in_the_middle(
	const char *path, enum store_place place, int64_t after);

/* A change in a transaction of its own. */
#define WRITE(f, change)                                                       \
	do {                                                                   \
		assert_ok(store_begin((f)->s, &(f)->e), (f)->e);               \
		assert_ok(change, (f)->e);                                     \
		assert_ok(store_commit((f)->s, &(f)->e), (f)->e);              \
	} while (0)
/* One that is refused, and undone. */
#define WRITE_RC(f, change, want)                                              \
	do {                                                                   \
		assert_ok(store_begin((f)->s, &(f)->e), (f)->e);               \
		assert_rc(change, want);                                       \
		store_rollback((f)->s);                                        \
	} while (0)

#define STORE_TEST(fn)                                                         \
	cmocka_unit_test_setup_teardown(                                       \
		fn, store_fixture_open, store_fixture_close)

#endif
