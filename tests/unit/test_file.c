/*
 * tests/unit/test_file.c: reading, replacing and locking files, and paths.
 */
#include "tests/unit/folder.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#include "base/poison.h"

static size_t count_entries(void)
{
	DIR *d = opendir(in_folder(""));
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

static void assert_content(const char *path, const char *want)
{
	struct buf b;
	struct err e = { 0 };

	buf_init(&b, 1000);
	assert_ok(file_read(path, &b, &e), e);
	assert_string_equal(buf_str(&b), want);
	buf_free(&b);
}

static void replaces_and_reads(void **state)
{
	const char *path = in_folder("f");
	struct err e = { 0 };
	struct stat st;

	(void)state;
	mode_t mask = umask(0077);
	assert_ok(file_replace(path, "one", 3, 0644, &e), e);
	assert_content(path, "one");
	assert_int_equal(stat(path, &st), 0);
	/* The mode that was asked for, whatever the umask. */
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_ok(file_replace(path, "", 0, 0600, &e), e);
	umask(mask);
	assert_content(path, "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count_entries(), 1);
}

/* Who has the old file open keeps the old bytes. */
static void replaces_at_once(void **state)
{
	const char *path = in_folder("f");
	struct err e = { 0 };
	char old[4] = { 0 };

	(void)state;
	assert_ok(file_replace(path, "old", 3, 0600, &e), e);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_ok(file_replace(path, "new", 3, 0600, &e), e);
	assert_int_equal(read(fd, old, 3), 3);
	assert_string_equal(old, "old");
	close(fd);
	assert_content(path, "new");
	unlink(path);
}

static void replaces_in_an_open_directory(void **state)
{
	struct err e = { 0 };
	int fd = open(in_folder(""), O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_true(fd >= 0);
	assert_ok(file_replace_at(fd, "x", "abc", 3, 0600, (int64_t)getuid(),
			  (int64_t)getgid(), &e),
		e);
	assert_content(in_folder("x"), "abc");
	assert_rc(file_replace_at(fd, "a/b", "", 0, 0600, -1, -1, &e),
		RC_INVALID);
	assert_rc(file_replace_at(fd, "", "", 0, 0600, -1, -1, &e), RC_INVALID);
	close(fd);
	unlink(in_folder("x"));
}

static void a_failed_replacement_leaves_nothing(void **state)
{
	struct err e = { 0 };
	char name[300];

	(void)state;
	/* A directory cannot be replaced by a file. */
	assert_int_equal(mkdir(in_folder("d"), 0700), 0);
	assert_rc(file_replace(in_folder("d"), "x", 1, 0600, &e), RC_IO);
	assert_non_null(strstr(e.text, "cannot replace d"));
	assert_int_equal(count_entries(), 1);
	rmdir(in_folder("d"));

	assert_rc(file_replace(in_folder("no/f"), "x", 1, 0600, &e),
		RC_NOT_FOUND);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_rc(file_replace(in_folder(name), "x", 1, 0600, &e), RC_INVALID);
	assert_int_equal(count_entries(), 0);
}

static void a_try_leaves_everything_as_it_was(void **state)
{
	struct err e = { 0 };
	int fd = open(in_folder(""), O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_ok(file_replace(in_folder("f"), "abc", 3, 0600, &e), e);
	assert_ok(file_try_at(fd, "f", 0600, -1, -1, &e), e);
	assert_ok(file_try_at(fd, "g", 0600, (int64_t)getuid(),
			  (int64_t)getgid(), &e),
		e);
	assert_rc(file_try_at(fd, "a/b", 0600, -1, -1, &e), RC_INVALID);
	assert_content(in_folder("f"), "abc");
	assert_int_equal(count_entries(), 1);
	close(fd);
	unlink(in_folder("f"));
}

/* Files may have 100 bytes at most: what a full disk is like. */
static enum rc try_where_nothing_fits(int fd, struct err *e)
{
	struct rlimit before, small;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 100;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	enum rc rc = file_try_at(fd, "f", 0600, -1, -1, e);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	return rc;
}

static void a_try_finds_out_what_would_fail(void **state)
{
	struct err e = { 0 };
	int fd = open(in_folder(""), O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_rc(try_where_nothing_fits(fd, &e), RC_IO);
	assert_non_null(strstr(e.text, "cannot write f"));
	/* As somebody for whom modes count. */
	const uid_t us = geteuid(), nobody = 65534;
	if (us == 0) {
		assert_int_equal(fchown(fd, nobody, (gid_t)-1), 0);
		assert_int_equal(seteuid(nobody), 0);
	}
	enum rc unreadable = file_try_at(fd, "f", 0, -1, -1, &e);
	struct err no_room = { 0 };
	assert_int_equal(fchmod(fd, 0500), 0);
	enum rc unwritable = file_try_at(fd, "f", 0600, -1, -1, &no_room);
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(seteuid(us), 0);
	assert_rc(unreadable, RC_IO);
	assert_non_null(strstr(e.text, "cannot read back f"));
	assert_rc(unwritable, RC_IO);
	assert_non_null(strstr(no_room.text, "cannot write f"));
	assert_int_equal(count_entries(), 0);
	close(fd);
}

static void refuses_what_is_no_file(void **state)
{
	struct buf b;
	struct err e = { 0 };

	(void)state;
	buf_init(&b, 10);
	assert_rc(file_read(in_folder("none"), &b, &e), RC_NOT_FOUND);
	assert_non_null(strstr(e.text, "/none does not exist"));
	assert_rc(file_read(in_folder(""), &b, &e), RC_INVALID);
	assert_non_null(strstr(e.text, "is a directory"));
	/* Would block for ever if it waited for a writer. */
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_rc(file_read(in_folder("fifo"), &b, &e), RC_INVALID);
	assert_non_null(strstr(e.text, "is a special file"));
	unlink(in_folder("fifo"));
	buf_free(&b);
}

static void assert_private(unsigned mode, const char *why_not)
{
	const char *path = in_folder("f");
	struct buf b;
	struct err e = { 0 };

	buf_init(&b, 100);
	assert_int_equal(chmod(path, mode), 0);
	enum rc rc = file_read_private(path, &b, &e);
	if (why_not) {
		assert_rc(rc, RC_INVALID);
		assert_non_null(strstr(e.text, why_not));
		assert_int_equal(b.n, 0);
	} else {
		assert_ok(rc, e);
		assert_string_equal(buf_str(&b), "secret");
	}
	buf_free(&b);
}

static void a_secret_is_nobody_elses(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_ok(file_replace(in_folder("f"), "secret", 6, 0600, &e), e);
	assert_private(0600, NULL);
	assert_private(0700, NULL);
	assert_private(0640, "can be read by others (mode 0640): `chmod 600`");
	assert_private(0604, "can be read by others (mode 0604)");
	assert_private(0620, "can be changed by others (mode 0620)");
	assert_private(0602, "can be changed by others");
	assert_private(0601, "can be used by others");
	assert_private(0666, "can be read by others");
}

/* Whoever starts services hands them out like this. */
static void a_secret_of_root_may_be_for_a_group(void **state)
{
	struct err e = { 0 };
	const char *path = in_folder("f");

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_ok(file_replace(path, "secret", 6, 0600, &e), e);
	assert_int_equal(chown(path, 0, 4711), 0);
	assert_int_equal(chmod(in_folder(""), 0755), 0);
	assert_private(0640, "can be read by others");
	assert_int_equal(chmod(path, 0640), 0);
	struct buf b;
	buf_init(&b, 100);
	assert_int_equal(setegid(4711) | seteuid(4711), 0);
	enum rc for_group = file_read_private(path, &b, &e);
	assert_int_equal(seteuid(0) | setegid(0), 0);
	assert_int_equal(chmod(path, 0660), 0);
	assert_int_equal(setegid(4711) | seteuid(4711), 0);
	enum rc changed = file_read_private(path, &b, NULL);
	assert_int_equal(seteuid(0) | setegid(0), 0);
	buf_free(&b);
	assert_ok(for_group, e);
	assert_rc(changed, RC_INVALID);
}

static void reads_up_to_its_limit(void **state)
{
	const char *path = in_folder("f");
	struct buf b;
	struct err e = { 0 };

	(void)state;
	assert_ok(file_replace(path, "0123456789", 10, 0600, &e), e);
	buf_init(&b, 10);
	buf_add(&b, "before");
	assert_ok(file_read(path, &b, &e), e);
	assert_string_equal(buf_str(&b), "0123456789");
	buf_free(&b);
	buf_init(&b, 9);
	assert_rc(file_read(path, &b, &e), RC_TOO_LARGE);
	assert_non_null(strstr(e.text, "more than 9 bytes"));
	buf_free(&b);
	unlink(path);
	/* Its size is said to be 0, and is not. */
	buf_init(&b, 5);
	assert_rc(file_read("/proc/self/status", &b, &e), RC_TOO_LARGE);
	buf_free(&b);
}

static void reads_large_files(void **state)
{
	enum { SIZE = 300000 };
	char *text = malloc(SIZE);
	struct buf b;
	struct err e = { 0 };

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < SIZE; i++)
		text[i] = (char)(i % 251);
	assert_ok(file_replace(in_folder("f"), text, SIZE, 0600, &e), e);
	buf_init(&b, SIZE);
	assert_ok(file_read(in_folder("f"), &b, &e), e);
	assert_int_equal(b.n, SIZE);
	assert_memory_equal(b.p, text, SIZE);
	buf_free(&b);
	free(text);
	unlink(in_folder("f"));
}

static void makes_directories(void **state)
{
	struct err e = { 0 };
	struct stat st;

	(void)state;
	assert_ok(file_mkdirs(in_folder("a b//c/d/"), 0755, &e), e);
	assert_ok(file_mkdirs(in_folder("a b/c/d"), 0755, &e), e);
	assert_int_equal(stat(in_folder("a b/c/d"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_ok(file_replace(in_folder("file"), "", 0, 0600, &e), e);
	assert_rc(file_mkdirs(in_folder("file/x"), 0755, &e), RC_IO);
	assert_non_null(strstr(e.text, "file: Not a directory"));
	assert_ok(file_mkdirs("/", 0755, &e), e);
	folder_remove_all(in_folder("a b"));
	unlink(in_folder("file"));
}

static void locks_once(void **state)
{
	struct err e = { 0 };
	const char *path = in_folder("lock");
	int fd = -1;
	int second = 99;

	(void)state;
	assert_ok(file_lock(path, "muster serve, pid 17 on host", &fd, &e), e);
	/* The same process is refused too, and told by whom. */
	assert_rc(file_lock(path, "me", &second, &e), RC_BUSY);
	assert_non_null(
		strstr(e.text, "is held by muster serve, pid 17 on host"));
	assert_int_equal(second, 99);
	/* Another descriptor of the file, closed, does not drop the lock. */
	int other = open(path, O_RDWR);
	close(other);
	assert_rc(file_lock(path, "me", &second, &e), RC_BUSY);
	close(fd);
	assert_ok(file_lock(path, "next\x1b[31m\nline two", &fd, &e), e);
	assert_rc(file_lock(path, "me", &second, &e), RC_BUSY);
	assert_true(strstr(e.text, "is held by next?[31m") &&
		!strstr(e.text, "line two"));
	close(fd);
	assert_content(path, "next\x1b[31m\nline two\n");
	unlink(path);
}

static void locks_between_processes(void **state)
{
	struct err e = { 0 };
	const char *path = in_folder("lock");
	int go[2], status;
	int fd = -1;
	char byte;

	(void)state;
	assert_int_equal(pipe(go), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bool locked = file_lock(path, "child", &fd, &e) == RC_OK;
		if (write(go[1], locked ? "y" : "n", 1) != 1)
			_exit(2);
		pause();
		_exit(0);
	}
	assert_int_equal(read(go[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_rc(file_lock(path, "parent", &fd, &e), RC_BUSY);
	assert_non_null(strstr(e.text, "is held by child"));
	/* Even a killed process lets it go. */
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_ok(file_lock(path, "parent", &fd, &e), e);
	close(fd);
	close(go[0]);
	close(go[1]);
	assert_rc(file_lock(in_folder("no/lock"), "x", &fd, &e), RC_NOT_FOUND);
	unlink(path);
}

static void paths(void **state)
{
	static const struct {
		const char *base, *path, *want;
	} joins[] = {
		{ "a", "b", "a/b" },
		{ "a/", "b/c", "a/b/c" },
		{ "/", "b", "/b" },
		{ "a", "/b", "/b" },
		{ "", "b", "b" },
	};
	static const struct {
		const char *path, *want;
	} dirs[] = {
		{ "a/b", "a" },
		{ "a/b/c", "a/b" },
		{ "a", "." },
		{ "", "." },
		{ "/", "/" },
		{ "/a", "/" },
		{ "//a", "/" },
		{ "a//b", "a" },
		{ "a/b/", "a" },
		{ "a/", "." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
		char *got = path_join(joins[i].base, joins[i].path);
		assert_string_equal(got, joins[i].want);
		free(got);
	}
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		char *got = path_dir(dirs[i].path);
		assert_string_equal(got, dirs[i].want);
		free(got);
	}
}

static void reads_no_links(void **state)
{
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	int fd = open(in_folder(""), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_ok(file_replace(in_folder("f"), "text", 4, 0600, &e), e);
	assert_ok(file_read_at(fd, "f", &b, &e), e);
	assert_string_equal(buf_str(&b), "text");
	assert_int_equal(symlink("f", in_folder("link")), 0);
	assert_rc(file_read_at(fd, "link", &b, &e), RC_INVALID);
	assert_string_equal(e.text, "link is a symbolic link");
	assert_string_equal(buf_str(&b), "");
	assert_rc(file_read_at(fd, "none", &b, &e), RC_NOT_FOUND);
	close(fd);
	buf_free(&b);
}

static void leave(const char *name, int seconds_ago)
{
	struct timespec then[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_sec = time(NULL) - seconds_ago } };
	struct err e = { 0 };

	assert_ok(file_replace(in_folder(name), "t", 1, 0600, &e), e);
	assert_int_equal(utimensat(AT_FDCWD, in_folder(name), then, 0), 0);
}

static void knows_its_temporary_files(void **state)
{
	static const struct {
		const char *name, *of; /* NULL: it is none */
	} cases[] = {
		{ ".f.0123456789abcdef", "f" },
		{ ".a.json.0000000000000000", "a.json" },
		{ "..0123456789abcdef", NULL },
		{ ".f.0123456789abcde", NULL },
		{ ".f.0123456789abcdeg", NULL },
		{ ".f.0123456789ABCDEF", NULL },
		{ ".f.00123456789abcdef", NULL },
		{ "f.0123456789abcdef", NULL },
		{ ".f", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str of = { NULL, 0 };
		bool is = file_is_temporary(cases[i].name, &of);
		assert_int_equal(is, cases[i].of != NULL);
		assert_true(!is || str_eq(of, cases[i].of));
	}
}

static void cleans_what_killed_writers_left(void **state)
{
	static const struct {
		const char *name;
		int seconds_ago;
		bool goes;
	} files[] = {
		{ ".f.0123456789abcdef", 3600, true },
		{ ".f.fedcba9876543210", 120, true },
		{ ".f.00000000deadbeef", 20, false },
		{ ".g.0123456789abcdef", 3600, false },
		{ ".f.json.0123456789abcdef", 3600, false },
		{ "f", 3600, false },
	};
	struct err e = { 0 };

	(void)state;
	int fd = open(in_folder(""), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		leave(files[i].name, files[i].seconds_ago);
	assert_int_equal(symlink("f", in_folder(".f.1111111111111111")), 0);
	for (int times = 0; times < 2; times++)
		assert_ok(file_clean_at(fd, "f", &e), e);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(access(in_folder(files[i].name), F_OK) == 0,
			!files[i].goes);
	struct stat st;
	assert_int_equal(lstat(in_folder(".f.1111111111111111"), &st), 0);
	close(fd);
	assert_rc(file_clean_at(fd, "f", &e), RC_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			replaces_and_reads, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			replaces_at_once, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(replaces_in_an_open_directory,
			folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			a_failed_replacement_leaves_nothing, folder_make,
			folder_remove),
		cmocka_unit_test_setup_teardown(
			a_try_leaves_everything_as_it_was, folder_make,
			folder_remove),
		cmocka_unit_test_setup_teardown(a_try_finds_out_what_would_fail,
			folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			refuses_what_is_no_file, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			reads_up_to_its_limit, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			reads_large_files, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			makes_directories, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			locks_once, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			locks_between_processes, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			reads_no_links, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			a_secret_is_nobody_elses, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(
			a_secret_of_root_may_be_for_a_group, folder_make,
			folder_remove),
		cmocka_unit_test(knows_its_temporary_files),
		cmocka_unit_test_setup_teardown(cleans_what_killed_writers_left,
			folder_make, folder_remove),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
