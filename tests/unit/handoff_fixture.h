/*
 * tests/unit/handoff_fixture.h: an agent's directory below a root, made for one
 * test, and files of it that are known by their generation alone.
 */
#ifndef TESTS_UNIT_HANDOFF_FIXTURE_H
#define TESTS_UNIT_HANDOFF_FIXTURE_H

#include <sys/stat.h>

#include "handoff/handoff.h"

#define SPOT_USER "@anna:example.org"
#define SPOT_URL "http://127.0.0.1:6167"
#define SPOT_LOCK ".matrix.json.lock"

struct spot {
	char top[128];  /* all of it: the root is in it, and what is outside */
	char root[160]; /* top/root */
	char path[200]; /* root/D/anna */
	int fd;         /* of that */
};

/* cmocka's fixtures. */
int spot_set_up(void **state);
int spot_tear_down(void **state);

/* The hand-off of a generation, with a token that tells it. */
void spot_make(struct handoff *h, int64_t generation);
/* Fails the test when it cannot be written. */
void spot_write(int dirfd, int64_t generation);
/* The generation that is there, and whole, a tombstone's as less than zero; 0 for
 * none. Fails the test for anything else. */
int64_t spot_generation(int dirfd);
struct handoff_grave spot_grave(int64_t generation);
struct handoff_ack spot_answer(int64_t generation);
struct handoff_request spot_request(int64_t generation);

void spot_put(int dirfd, const char *name, const char *text);
bool spot_exists(int dirfd, const char *name);
void spot_age(int dirfd, const char *name, time_t at);
/* Names in it but the lock's. */
int spot_count(int dirfd);
/* The first of them that is neither `name` nor the lock's; "". */
const char *spot_other(int dirfd, const char *name);
/* Also a directory, with all in it. */
void spot_remove(int dirfd, const char *name);

#endif
