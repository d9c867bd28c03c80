/*
 * tests/unit/network_fixture.c: a store as on a network file system, and
 * another process that has it.
 */
#include "tests/unit/network_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/folder.h"

#include "base/poison.h"

int network_fixture_open(void **state)
{
	struct network_fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(f);
	/* In memory where there is such a place: a disk that others keep busy
	 * may be late with a heartbeat. */
	if (access("/dev/shm", W_OK | X_OK) == 0)
		tmp = "/dev/shm";
	snprintf(f->dir, sizeof(f->dir), "%s/muster-network-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/muster.db", f->dir);
	*state = f;
	return 0;
}

int network_fixture_close(void **state)
{
	struct network_fixture *f = *state;

	if (f->s)
		store_rollback(f->s);
	network_close(f);
	arena_free(&f->a);
	folder_remove_all(f->dir);
	free(f);
	return 0;
}

const char *network_file(struct network_fixture *f, const char *name)
{
	const size_t room = sizeof(f->dir) + 64;
	char *path = arena_alloc(&f->a, room);

	assert_non_null(path);
	snprintf(path, room, "%s/%s", f->dir, name);
	return path;
}

bool network_has(struct network_fixture *f, const char *name)
{
	return access(network_file(f, name), F_OK) == 0;
}

int network_count(const struct network_fixture *f, const char *part)
{
	int n = 0;
	DIR *dir = opendir(f->dir);

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir)) != NULL;)
		n += strstr(d->d_name, part) != NULL;
	closedir(dir);
	return n;
}

enum rc network_open(struct network_fixture *f, enum store_place place)
{
	const struct store_options o = { .place = place };

	return store_open_with(f->path, &o, &f->s, &f->e);
}

void network_close(struct network_fixture *f)
{
	store_close(f->s);
	f->s = NULL;
}

enum rc network_put(
	struct store *s, const char *name, const char *value, struct err *e)
{
	enum rc rc = store_begin(s, e);

	if (rc != RC_OK)
		return rc;
	rc = store_note_set(s, name, value, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

const char *network_get(struct network_fixture *f, const char *name)
{
	const char *value = "unset";

	assert_ok(store_note_get(f->s, name, &f->a, &value, &f->e), f->e);
	return value;
}

/* --- the other one ------------------------------------------------------------ */

static void on_lost(void *arg, const char *why)
{
	const int fd = *(const int *)arg;

	(void)!write(fd, why, 1);
}

static enum rc obey(struct store *s, char order)
{
	enum rc rc = RC_INVALID;

	switch (order) {
	case OTHER_PUT:
		return network_put(s, "other", "put", NULL);
	case OTHER_BEGIN:
		rc = store_begin(s, NULL);
		return rc == RC_OK ? store_note_set(s, "late", "put", NULL)
				   : rc;
	case OTHER_COMMIT:
		return store_commit(s, NULL);
	case OTHER_MAY_ACT:
		return store_may_act(s, NULL);
	default:
		return rc;
	}
}

static _Noreturn void be_other(const char *path, int64_t takeover_ms,
	int orders, int results, int lost)
{
	struct store *s = NULL;
	char order;
	const struct store_options o = { .place = STORE_NETWORK,
		.takeover_ms = takeover_ms,
		.lost = on_lost,
		.arg = &lost };
	unsigned char rc = (unsigned char)store_open_with(path, &o, &s, NULL);

	while (write(results, &rc, 1) == 1 && rc != RC_NOMEM &&
		read(orders, &order, 1) == 1 && order != OTHER_CLOSE)
		rc = (unsigned char)obey(s, order);
	store_close(s);
	_exit(0);
}

void other_start(struct other *o, const char *path, int64_t takeover_ms)
{
	int orders[2], results[2], lost[2];

	assert_int_equal(pipe(orders), 0);
	assert_int_equal(pipe(results), 0);
	assert_int_equal(pipe(lost), 0);
	o->pid = fork();
	assert_true(o->pid >= 0);
	if (o->pid == 0) {
		close(orders[1]);
		close(results[0]);
		close(lost[0]);
		be_other(path, takeover_ms, orders[0], results[1], lost[1]);
	}
	close(orders[0]);
	close(results[1]);
	close(lost[1]);
	o->to = orders[1];
	o->from = results[0];
	o->lost = lost[0];
	assert_rc(other_result(o), RC_OK);
}

void other_tell(struct other *o, enum order order)
{
	const char byte = (char)order;

	assert_int_equal(write(o->to, &byte, 1), 1);
}

enum rc other_result(struct other *o)
{
	unsigned char rc;

	assert_int_equal(read(o->from, &rc, 1), 1);
	return (enum rc)rc;
}

enum rc other_do(struct other *o, enum order order)
{
	other_tell(o, order);
	return other_result(o);
}

bool other_is_lost(struct other *o)
{
	char byte;

	return read(o->lost, &byte, 1) == 1;
}

void other_end(struct other *o, int sig)
{
	int status;

	if (sig)
		kill(o->pid, sig);
	else
		other_tell(o, OTHER_CLOSE);
	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	close(o->to);
	close(o->from);
	close(o->lost);
}
