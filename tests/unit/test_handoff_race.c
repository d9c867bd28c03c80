/*
 * Several services that know nothing of each other rotate one agent's token two
 * thousand times, while eight readers look: each of them sees whole files only,
 * and never an older generation after a newer one.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

#define ROTATIONS 2000
#define WRITERS 4
#define READERS 8
#define ATTEMPTS 100

/* The order of writes is what counts here, not that they last. */
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

struct race {
	const char *path;
	atomic_int next;    /* generation, to be written */
	atomic_int written; /* so many were */
	atomic_bool failed, done;
	struct err why; /* of the first that failed */
};

static void failed(struct race *r, const char *what, const char *why)
{
	if (!atomic_exchange(&r->failed, true))
		err_set(&r->why, RC_CORRUPT, "%s: %s", what, why);
}

/* Whoever comes late with its number is refused, and takes the next; who was not
 * let in, as there is no queue, comes again. */
static bool rotate(struct race *r, int64_t generation, struct err *e)
{
	struct handoff h = { 0 };
	int fd = -1;
	spot_make(&h, generation);
	enum rc rc = handoff_dir_find(r->path, &fd, e);
	if (rc == RC_OK)
		rc = RC_BUSY;
	for (int i = 0; i < ATTEMPTS && rc == RC_BUSY; i++)
		rc = handoff_write(fd, &h, -1, -1, e);
	if (fd >= 0)
		close(fd);
	handoff_fini(&h);
	if (rc == RC_OK)
		atomic_fetch_add(&r->written, 1);
	return rc == RC_OK || rc == RC_EXISTS;
}

static void *write_on(void *arg)
{
	struct race *r = arg;
	struct err e = { 0 };
	int generation;
	while ((generation = atomic_fetch_add(&r->next, 1)) <= ROTATIONS)
		if (!rotate(r, generation, &e))
			failed(r, "writing", e.text);
	return NULL;
}

static enum rc look(struct race *r, struct handoff *h, struct err *e)
{
	int fd = -1;
	enum rc rc = handoff_dir_open(r->path, &fd, e);
	if (rc == RC_OK)
		rc = handoff_read(fd, h, e);
	if (fd >= 0)
		close(fd);
	return rc;
}

static bool is_the_token(const struct handoff *h)
{
	char token[64];
	snprintf(token, sizeof(token), "the-token-of-%lld",
		(long long)h->generation);
	return secret_equal(&h->access_token, token, strlen(token));
}

static void *read_on(void *arg)
{
	struct race *r = arg;
	int64_t seen = 0;
	bool last = false;
	while (!last) {
		struct handoff h = { 0 };
		struct err e = { 0 };
		last = atomic_load(&r->done);
		enum rc rc = look(r, &h, &e);
		if (rc != RC_OK)
			failed(r, "reading", e.text);
		else if (h.generation < seen)
			failed(r, "reading", "a generation went back");
		else if (!is_the_token(&h))
			failed(r, "reading", "another generation's token");
		else if (h.generation == seen)
			clock_sleep_ms(1); /* so that it gets on */
		else
			seen = h.generation;
		handoff_fini(&h);
	}
	if (seen != ROTATIONS)
		failed(r, "reading", "the last generation was not seen");
	return NULL;
}

static void generations_never_go_back(void **state)
{
	struct spot *s = *state;
	struct race r = { .path = s->path };
	pthread_t writers[WRITERS], readers[READERS];
	atomic_store(&r.next, 2);
	spot_write(s->fd, 1);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, read_on, &r), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(
			pthread_create(&writers[i], NULL, write_on, &r), 0);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&r.done, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	if (atomic_load(&r.failed))
		fail_msg("%s", r.why.text);
	print_message("%d of %d were not too late\n", atomic_load(&r.written),
		ROTATIONS - 1);
	assert_int_equal(spot_generation(s->fd), ROTATIONS);
	/* Nothing half done is left, and the answers are swept. */
	assert_int_equal(spot_count(s->fd), 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, spot_set_up, spot_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(generations_never_go_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
