/*
 * An agent's directory for one test.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/handoff_fixture.h"

#include "base/poison.h"

int spot_set_up(void **state)
{
	struct spot *s = calloc(1, sizeof(*s));
	const char *tmp = getenv("TMPDIR");
	struct err e = { 0 };
	snprintf(s->top, sizeof(s->top), "%s/test-handoff-XXXXXX",
		tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(s->top))
		return -1;
	snprintf(s->root, sizeof(s->root), "%s/root", s->top);
	snprintf(s->path, sizeof(s->path), "%s/D/anna", s->root);
	*state = s;
	if (mkdir(s->root, 0755) != 0 ||
		handoff_dir_make(s->root, "D", "anna", -1, -1, &s->fd, &e) !=
			RC_OK)
		return -1;
	return 0;
}

void spot_remove(int dirfd_, const char *name)
{
	if (unlinkat(dirfd_, name, 0) == 0)
		return;
	int fd = openat(dirfd_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			spot_remove(dirfd(dir), d->d_name);
	if (dir)
		closedir(dir);
	unlinkat(dirfd_, name, AT_REMOVEDIR);
}

int spot_tear_down(void **state)
{
	struct spot *s = *state;
	close(s->fd);
	spot_remove(AT_FDCWD, s->top);
	free(s);
	return 0;
}

static void token_of(int64_t generation, char out[64])
{
	snprintf(out, 64, "the-token-of-%lld", (long long)generation);
}

void spot_make(struct handoff *h, int64_t generation)
{
	struct secret s = { 0 };
	char token[64];
	token_of(generation, token);
	assert_rc(secret_set(&s, token, strlen(token)), RC_OK);
	assert_rc(handoff_set(h, generation, SPOT_USER, "MUSTER", SPOT_URL, &s,
			  1772000000000),
		RC_OK);
	secret_fini(&s);
}

void spot_write(int dirfd_, int64_t generation)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	spot_make(&h, generation);
	assert_ok(handoff_write(dirfd_, &h, -1, -1, &e), e);
	handoff_fini(&h);
}

int64_t spot_generation(int dirfd_)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	char token[64];
	enum rc rc = handoff_look(dirfd_, &h, &e);
	if (rc == RC_NOT_FOUND)
		return 0;
	assert_ok(rc, e);
	int64_t generation = h.generation;
	token_of(generation, token);
	if (!h.revoked_ms)
		assert_true(
			secret_equal(&h.access_token, token, strlen(token)));
	assert_string_equal(h.user_id, SPOT_USER);
	generation = h.revoked_ms ? -generation : generation;
	handoff_fini(&h);
	return generation;
}

struct handoff_grave spot_grave(int64_t generation)
{
	return (struct handoff_grave){ generation, SPOT_USER, "MUSTER",
		SPOT_URL, 1772000000001 };
}

struct handoff_ack spot_answer(int64_t generation)
{
	return (struct handoff_ack){ .generation = generation,
		.user_id = SPOT_USER,
		.device_id = "MUSTER",
		.at_ms = 1772000000123,
		.agent = "host/1" };
}

struct handoff_request spot_request(int64_t generation)
{
	return (struct handoff_request){
		.generation = generation, .wait_ms = 30000, .why = "every day"
	};
}

void spot_put(int dirfd_, const char *name, const char *text)
{
	int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

bool spot_exists(int dirfd_, const char *name)
{
	struct stat st;
	return fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void spot_age(int dirfd_, const char *name, time_t at)
{
	struct timespec t[2] = { { .tv_sec = at }, { .tv_sec = at } };
	assert_int_equal(utimensat(dirfd_, name, t, AT_SYMLINK_NOFOLLOW), 0);
}

static int look_over(int dirfd_, const char *but, char other[256])
{
	int n = 0;
	int fd = openat(dirfd_, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	assert_non_null(dir);
	other[0] = '\0';
	for (struct dirent *d; (d = readdir(dir));) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
			!strcmp(d->d_name, SPOT_LOCK))
			continue;
		n++;
		if (strcmp(d->d_name, but) != 0)
			snprintf(other, 256, "%s", d->d_name);
	}
	closedir(dir);
	return n;
}

int spot_count(int dirfd_)
{
	char other[256];
	return look_over(dirfd_, "", other);
}

const char *spot_other(int dirfd_, const char *name)
{
	static char other[256];
	look_over(dirfd_, name, other);
	return other;
}
