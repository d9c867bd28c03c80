/*
 * Whose files there are below a root: each place is visited, whatever lies
 * there, and none is that only a link leads to.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

#define USER "@ada:example.org"

struct root {
	char path[256];
	int fd;
};

static int set_up(void **state)
{
	struct root *r = calloc(1, sizeof(*r));
	const char *tmp = getenv("TMPDIR");
	snprintf(r->path, sizeof(r->path), "%s/test-roots-XXXXXX",
		tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(r->path))
		return -1;
	r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = r;
	return r->fd < 0 ? -1 : 0;
}

static void remove_all(int at, const char *name)
{
	if (unlinkat(at, name, 0) == 0)
		return;
	DIR *dir = fdopendir(
		openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			remove_all(dirfd(dir), d->d_name);
	if (dir)
		closedir(dir);
	unlinkat(at, name, AT_REMOVEDIR);
}

static int tear_down(void **state)
{
	struct root *r = *state;
	close(r->fd);
	remove_all(AT_FDCWD, r->path);
	free(r);
	return 0;
}

static void make_dir(const struct root *r, const char *path)
{
	assert_int_equal(mkdirat(r->fd, path, 0755), 0);
}

static void make_file(const struct root *r, const char *path, const char *text)
{
	const size_t n = strlen(text);
	int fd = openat(r->fd, path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void hand_off(const struct root *r, const char *department,
	const char *localpart, int64_t generation)
{
	struct handoff h = { 0 };
	struct secret token = { 0 };
	struct err e = { 0 };
	int fd = -1;

	assert_ok(handoff_dir_make(
			  r->path, department, localpart, -1, -1, &fd, &e),
		e);
	assert_rc(secret_set(&token, "t", 1), RC_OK);
	assert_rc(handoff_set(&h, generation, USER, "D", "http://h", &token, 1),
		RC_OK);
	assert_ok(handoff_write(fd, &h, -1, -1, &e), e);
	handoff_fini(&h);
	secret_fini(&token);
	close(fd);
}

/* "department/localpart": what a look finds there. */
struct seen {
	char name[64];
	enum rc rc;
	int64_t generation;
};

struct visits {
	struct seen seen[16];
	size_t n;
};

static void note(const struct handoff_place *at, void *arg)
{
	struct visits *v = arg;
	struct handoff h = { 0 };
	struct seen *s = &v->seen[v->n++];

	assert_in_range(v->n, 1, ARRAY_LEN(v->seen));
	snprintf(s->name, sizeof(s->name), "%s/%s",
		at->department ? at->department : "none", at->localpart);
	s->rc = handoff_place_look(at, &h, NULL);
	s->generation = h.generation;
	handoff_fini(&h);
}

static const struct seen *find(const struct visits *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->seen[i].name, name) == 0)
			return &v->seen[i];
	fail_msg("%s was not visited", name);
	return NULL;
}

static void each_place(void **state)
{
	const struct root *r = *state;
	struct visits v = { .n = 0 };
	struct err e = { 0 };

	hand_off(r, "Lab", "ada", 7);
	hand_off(r, NULL, "ada", 3);
	make_dir(r, "Lab/empty");
	make_dir(r, "Lab/torn");
	make_file(r, "Lab/torn/matrix.json", "{\"muster\":1,");
	make_file(r, "Lab/note", "no directory");
	assert_int_equal(symlinkat("ada", r->fd, "Lab/link"), 0);
	/* No places. */
	make_dir(r, "Lab/.hidden");
	make_dir(r, ".snapshot");
	make_dir(r, ".snapshot/ada");
	make_file(r, "readme", "no directory");
	assert_int_equal(symlinkat("Lab", r->fd, "Again"), 0);
	assert_ok(handoff_each_place(r->path, 100, note, &v, &e), e);
	assert_int_equal(v.n, 6);
	assert_rc(find(&v, "Lab/ada")->rc, RC_OK);
	assert_int_equal(find(&v, "Lab/ada")->generation, 7);
	assert_int_equal(find(&v, "none/ada")->generation, 3);
	assert_rc(find(&v, "Lab/empty")->rc, RC_NOT_FOUND);
	assert_rc(find(&v, "Lab/note")->rc, RC_NOT_FOUND);
	assert_rc(find(&v, "Lab/link")->rc, RC_NOT_FOUND);
	assert_rc(find(&v, "Lab/torn")->rc, RC_CORRUPT);
}

static void a_tombstone_is_seen(void **state)
{
	const struct root *r = *state;
	struct visits v = { .n = 0 };
	struct err e = { 0 };
	const struct handoff_grave g = { 9, USER, "D", "http://h", 5 };
	char path[300];

	hand_off(r, "Lab", "ada", 7);
	snprintf(path, sizeof(path), "%s/Lab/ada", r->path);
	assert_ok(handoff_revoke(path, &g, -1, -1, &e), e);
	assert_ok(handoff_each_place(r->path, 100, note, &v, &e), e);
	assert_rc(find(&v, "Lab/ada")->rc, RC_OK);
	assert_int_equal(find(&v, "Lab/ada")->generation, 9);
}

/* However much somebody has put there. */
static void so_many_at_most(void **state)
{
	const struct root *r = *state;
	struct visits v = { .n = 0 };
	struct err e = { 0 };

	make_dir(r, "Lab");
	make_dir(r, "Lab/a");
	make_dir(r, "Lab/b");
	make_dir(r, "Lab/c");
	assert_ok(handoff_each_place(r->path, 3, note, &v, &e), e);
	assert_int_equal(v.n, 2); /* the department is one of three */
	v.n = 0;
	assert_ok(handoff_each_place(r->path, 0, note, &v, &e), e);
	assert_int_equal(v.n, 0);
}

static void no_root(void **state)
{
	const struct root *r = *state;
	struct visits v = { .n = 0 };
	struct err e = { 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/gone", r->path);
	assert_rc(handoff_each_place(path, 100, note, &v, &e), RC_IO);
	assert_non_null(strstr(e.text, "gone"));
	assert_int_equal(v.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_tombstone_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			so_many_at_most, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_root, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
