/*
 * tests/unit/network_fixture.h: a store as on a network file system, in a fresh
 * directory (of a local disk: the code is the same), and another process that
 * has it, does as it is told, and may be killed or made to stand still.
 */
#ifndef TESTS_UNIT_NETWORK_FIXTURE_H
#define TESTS_UNIT_NETWORK_FIXTURE_H

#include "tests/unit/test.h"

#include <sys/types.h>

#include "store/store.h"

struct network_fixture {
	char dir[200];
	char path[256];  /* as it is configured: nothing needs to be there */
	struct store *s; /* NULL: not open */
	struct arena a;
	struct err e;
};

int network_fixture_open(void **state);
int network_fixture_close(void **state);
#define NETWORK_TEST(fn)                                                       \
	cmocka_unit_test_setup_teardown(                                       \
		fn, network_fixture_open, network_fixture_close)

/* A file of the directory. */
const char *network_file(struct network_fixture *f, const char *name);
bool network_has(struct network_fixture *f, const char *name);
/* How many names there are of which this is a part. */
int network_count(const struct network_fixture *f, const char *part);

/* Opens f->s, in this place, waiting for nobody. */
enum rc network_open(struct network_fixture *f, enum store_place place);
void network_close(struct network_fixture *f);
/* A note of the store in a transaction of its own. */
enum rc network_put(
	struct store *s, const char *name, const char *value, struct err *e);
const char *network_get(struct network_fixture *f, const char *name);

struct other {
	pid_t pid;
	int to, from; /* orders and what came of them */
	int lost;     /* becomes readable when it is told of its loss */
};

enum order {
	OTHER_PUT = 'p',    /* a note "other" in a transaction of its own */
	OTHER_BEGIN = 'b',  /* a transaction with the note "late" */
	OTHER_COMMIT = 'c', /* and its end */
	OTHER_MAY_ACT = 'm',
	OTHER_CLOSE = 'q', /* and exits */
};

/* Has it open when this returns. takeover_ms as in the options. */
void other_start(struct other *o, const char *path, int64_t takeover_ms);
/* Gives an order and waits for the result code. */
enum rc other_do(struct other *o, enum order order);
/* Gives an order only; and the result code of one that was given. */
void other_tell(struct other *o, enum order order);
enum rc other_result(struct other *o);
/* Waits until it was told that its store is lost. */
bool other_is_lost(struct other *o);
/* By a signal that ends it (0: it ends by itself); it is gone afterwards. */
void other_end(struct other *o, int sig);

#endif
