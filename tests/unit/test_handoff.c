/*
 * The hand-off through a directory: what is written is what is read, what is
 * not ours is told apart, and generations only grow.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "handoff/handoff.h"

#include "base/poison.h"

#define USER "@aaron.phillips:anycompany.corp"
#define URL "http://conduit.anycompany.corp:6167"
#define TOKEN "syt_secret_token"
/* printf '7\n@aaron.phillips:anycompany.corp\nMUSTER\n'\
 * 'http://conduit.anycompany.corp:6167\nsyt_secret_token\n' | sha256sum */
#define DIGEST                                                                 \
	"ba91b870e3eb1cb07f31a689eed298e8b31424d64d7d1bdf5e329fb9e70d7d95"
#define FIELDS                                                                 \
	"\"user_id\":\"" USER "\",\"device_id\":\"MUSTER\",\"homeserver\":"    \
	"\"" URL "\",\"access_token\":\"" TOKEN                                \
	"\",\"issued_ms\":1772000000000"
#define FILE_7                                                                 \
	"{\"muster\":1,\"generation\":7," FIELDS ",\"sha256\":\"" DIGEST "\"}"

/* printf '7\n@aaron.phillips:anycompany.corp\nMUSTER\n'\
 * 'http://conduit.anycompany.corp:6167\n1772000000001\n' | sha256sum */
#define GRAVE_DIGEST                                                           \
	"38405ef05b4d7a7ffe76c30a40164445c4b47e351d979cfa8db1f473591084bf"
#define WHO                                                                    \
	"\"user_id\":\"" USER "\",\"device_id\":\"MUSTER\",\"homeserver\":"    \
	"\"" URL "\""
#define GRAVE_7                                                                \
	"{\"muster\":1,\"generation\":7," WHO                                  \
	",\"revoked_ms\":1772000000001,\"sha256\":\"" GRAVE_DIGEST "\"}"

/* A fresh directory; everything below it is removed at the end. */
struct place {
	char path[256];
	int fd;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");
	snprintf(p->path, sizeof(p->path), "%s/test-handoff-XXXXXX",
		tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(p->path))
		return -1;
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return p->fd < 0 ? -1 : 0;
}

static void remove_all(int dirfd_, const char *name)
{
	if (unlinkat(dirfd_, name, 0) == 0)
		return;
	DIR *dir = fdopendir(
		openat(dirfd_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			remove_all(dirfd(dir), d->d_name);
	if (dir)
		closedir(dir);
	unlinkat(dirfd_, name, AT_REMOVEDIR);
}

static int tear_down(void **state)
{
	struct place *p = *state;
	close(p->fd);
	remove_all(AT_FDCWD, p->path);
	free(p);
	return 0;
}

static void put(int dirfd_, const char *name, const char *text, size_t n)
{
	int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void put_file(struct place *p, const char *text)
{
	put(p->fd, HANDOFF_FILE, text, strlen(text));
}

static bool exists(int dirfd_, const char *name)
{
	struct stat st;
	return fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void age(struct place *p, const char *name, time_t at)
{
	struct timespec t[2] = { { .tv_sec = at }, { .tv_sec = at } };
	assert_int_equal(utimensat(p->fd, name, t, 0), 0);
}

/* Names in the directory but "." and ".." and the writers' lock. */
static int count(const char *path)
{
	int n = -2;
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		n += strcmp(d->d_name, ".matrix.json.lock") != 0;
	closedir(dir);
	return n;
}

static void make(struct handoff *h, int64_t generation, const char *token)
{
	struct secret s = { 0 };
	assert_rc(secret_set(&s, token, strlen(token)), RC_OK);
	assert_rc(handoff_set(h, generation, USER, "MUSTER", URL, &s,
			  1772000000000),
		RC_OK);
	secret_fini(&s);
}

static void write_generation(struct place *p, int64_t generation)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	make(&h, generation, TOKEN);
	assert_ok(handoff_write(p->fd, &h, -1, -1, &e), e);
	handoff_fini(&h);
}

static int64_t generation_there(struct place *p)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	assert_ok(handoff_read(p->fd, &h, &e), e);
	int64_t generation = h.generation;
	handoff_fini(&h);
	return generation;
}

/* The file is refused with rc, in words that have `word` and no token. */
static void assert_refused(struct place *p, enum rc rc, const char *word)
{
	struct handoff h = { .generation = 99 };
	struct err e = { 0 };
	assert_int_equal(handoff_read(p->fd, &h, &e), rc);
	assert_int_equal(h.generation, 99);
	if (!strstr(e.text, word))
		fail_msg("\"%s\" does not say \"%s\"", e.text, word);
	assert_null(strstr(e.text, TOKEN));
}

static void digest_is_of_five_lines(void **state)
{
	(void)state;
	struct handoff h = { 0 };
	make(&h, 7, TOKEN);
	char sum[SHA256_HEX];
	handoff_digest(&h, sum);
	assert_string_equal(sum, DIGEST);
	handoff_fini(&h);
}

static void set_refuses_what_cannot_be_handed_over(void **state)
{
	(void)state;
	struct handoff h = { 0 };
	struct secret s = { 0 };
	char long_id[300];
	memset(long_id, 'a', sizeof(long_id));
	long_id[256] = '\0';
	assert_rc(secret_set(&s, "t", 1), RC_OK);
	assert_rc(handoff_set(&h, 0, USER, "D", URL, &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, "", "D", URL, &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, long_id, "D", URL, &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, USER, "D\n", URL, &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, USER, "D", "\xff", &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, USER, "D", NULL, &s, 0), RC_INVALID);
	assert_rc(handoff_set(&h, 1, USER, "D", URL, &s, -1), RC_INVALID);
	long_id[255] = '\0';
	assert_rc(handoff_set(&h, 1, long_id, "D", URL, &s, 0), RC_OK);
	assert_rc(secret_set(&s, "t\0u", 3), RC_OK);
	assert_rc(handoff_set(&h, 2, USER, "D", URL, &s, 0), RC_INVALID);
	assert_int_equal(h.generation, 1);
	secret_fini(&s);
	assert_rc(handoff_set(&h, 2, USER, "D", URL, &s, 0), RC_INVALID);
	handoff_fini(&h);
	handoff_fini(&h);
	handoff_fini(NULL);
}

static void path_has_a_place_for_those_without_department(void **state)
{
	(void)state;
	char *path = handoff_path("run", "Human Resources", "a.b");
	assert_string_equal(path, "run/Human Resources/a.b");
	free(path);
	path = handoff_path("/run", NULL, "a.b");
	assert_string_equal(path, "/run/_/a.b");
	free(path);
	path = handoff_path("/run", "", "a.b");
	assert_string_equal(path, "/run/_/a.b");
	free(path);
}

static void written_file_is_what_the_format_says(void **state)
{
	struct place *p = *state;
	write_generation(p, 7);
	char text[1024] = "";
	int fd = openat(p->fd, HANDOFF_FILE, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, FILE_7 "\n");
	struct stat st;
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(count(p->path), 1);
}

static void read_gives_every_field(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	put_file(p, FILE_7);
	assert_ok(handoff_read(p->fd, &h, &e), e);
	assert_int_equal(h.generation, 7);
	assert_string_equal(h.user_id, USER);
	assert_string_equal(h.device_id, "MUSTER");
	assert_string_equal(h.homeserver, URL);
	assert_true(secret_equal(&h.access_token, TOKEN, strlen(TOKEN)));
	assert_true(h.issued_ms == 1772000000000);
	handoff_fini(&h);
}

static void odd_characters_survive(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 }, got = { 0 };
	struct err e = { 0 };
	struct secret s = { 0 };
	assert_rc(secret_set(&s, "a\"b\\c/d\xc3\xa9", 9), RC_OK);
	assert_rc(handoff_set(&h, 1, "@\xe6\x97\xa5:x", "D\"\\", URL, &s, 0),
		RC_OK);
	assert_ok(handoff_write(p->fd, &h, -1, -1, &e), e);
	assert_ok(handoff_read(p->fd, &got, &e), e);
	assert_string_equal(got.user_id, "@\xe6\x97\xa5:x");
	assert_string_equal(got.device_id, "D\"\\");
	assert_true(secret_equal(&got.access_token, "a\"b\\c/d\xc3\xa9", 9));
	secret_fini(&s);
	handoff_fini(&h);
	handoff_fini(&got);
}

static void generations_never_go_back(void **state)
{
	struct place *p = *state;
	write_generation(p, 7);
	struct handoff h = { 0 };
	struct err e = { 0 };
	make(&h, 7, "other");
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_EXISTS);
	assert_null(strstr(e.text, "other"));
	make(&h, 6, "other");
	age(p, HANDOFF_FILE, 1772000000);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_EXISTS);
	char who[100];
	snprintf(who, sizeof(who),
		"generation 7 (written 2026-02-25T06:13:20.000Z, uid %lu)",
		(unsigned long)geteuid());
	if (!strstr(e.text, who))
		fail_msg("\"%s\" does not say \"%s\"", e.text, who);
	make(&h, 8, "other");
	assert_ok(handoff_write(p->fd, &h, -1, -1, &e), e);
	assert_int_equal(generation_there(p), 8);
	assert_int_equal(count(p->path), 1);
	handoff_fini(&h);
}

static void a_number_out_of_reach_is_no_generation(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	/* 1,000,000 after the 6 that was known. */
	write_generation(p, 1000006);
	make(&h, 7, TOKEN);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_EXISTS);
	write_generation(p, 1000007);
	assert_ok(handoff_write(p->fd, &h, -1, -1, &e), e);
	assert_int_equal(generation_there(p), 7);
	/* 2^40, the largest that can be read. */
	write_generation(p, 1099511627776);
	make(&h, 8, TOKEN);
	assert_ok(handoff_write(p->fd, &h, -1, -1, &e), e);
	assert_int_equal(generation_there(p), 8);
	handoff_fini(&h);
}

static void writer_replaces_damage_but_not_the_future(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	put_file(p, "{\"muster\":1,\"gen");
	write_generation(p, 3);
	assert_int_equal(generation_there(p), 3);
	put_file(p, "{\"muster\":2}");
	make(&h, 4, TOKEN);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_VERSION);
	assert_refused(p, RC_VERSION, "format 2");
	handoff_fini(&h);
}

static void symlink_is_replaced_not_followed(void **state)
{
	struct place *p = *state;
	put(p->fd, "victim", "x", 1);
	assert_int_equal(symlinkat("victim", p->fd, HANDOFF_FILE), 0);
	assert_refused(p, RC_CORRUPT, "symbolic link");
	write_generation(p, 1);
	struct stat st;
	assert_int_equal(fstatat(p->fd, "victim", &st, 0), 0);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(generation_there(p), 1);
}

static void failed_write_leaves_nothing_behind(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	/* A directory in the way: the rename fails, as root too. */
	assert_int_equal(mkdirat(p->fd, HANDOFF_FILE, 0755), 0);
	make(&h, 1, TOKEN);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_IO);
	assert_null(strstr(e.text, TOKEN));
	assert_int_equal(count(p->path), 1);
	assert_refused(p, RC_CORRUPT, "directory");
	assert_int_equal(unlinkat(p->fd, HANDOFF_FILE, AT_REMOVEDIR), 0);

	write_generation(p, 1);
	make(&h, 2, TOKEN);
	/* A descriptor that cannot be written to: the old file stays. */
	if (geteuid() != 0) {
		assert_int_equal(fchmod(p->fd, 0500), 0);
		assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_IO);
		assert_int_equal(fchmod(p->fd, 0700), 0);
		assert_int_equal(generation_there(p), 1);
	} else {
		/* Root may give files away, with their directory. */
		assert_int_equal(fchown(p->fd, 12345, 54321), 0);
		assert_ok(handoff_write(p->fd, &h, 12345, 54321, &e), e);
		struct stat st;
		assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &st, 0), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 54321);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	handoff_fini(&h);
}

static void what_cannot_be_written_is_known_before(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	write_generation(p, 7);
	assert_ok(handoff_writable(p->fd, -1, -1, &e), e);
	assert_int_equal(generation_there(p), 7);
	assert_int_equal(count(p->path), 1);
	assert_int_equal(unlinkat(p->fd, HANDOFF_FILE, 0), 0);
	assert_int_equal(mkdirat(p->fd, HANDOFF_FILE, 0755), 0);
	assert_rc(handoff_writable(p->fd, -1, -1, &e), RC_IO);
	assert_non_null(strstr(e.text, "a directory"));
	assert_int_equal(unlinkat(p->fd, HANDOFF_FILE, AT_REMOVEDIR), 0);

	/* For somebody else: root can, nobody else. */
	enum rc rc = handoff_writable(p->fd, 12345, 54321, &e);
	assert_rc(rc, geteuid() == 0 ? RC_OK : RC_IO);
	if (rc != RC_OK) {
		assert_non_null(strstr(e.text, "CAP_CHOWN"));
		assert_non_null(strstr(e.text, "CAP_DAC_OVERRIDE"));
	}
	assert_int_equal(count(p->path), 0);
}

/* --- the tombstone --------------------------------------------------------- */

static struct handoff_grave grave_of(int64_t generation)
{
	return (struct handoff_grave){ generation, USER, "MUSTER", URL,
		1772000000001 };
}

static enum rc revoke(struct place *p, int64_t generation, struct err *e)
{
	const struct handoff_grave g = grave_of(generation);
	return handoff_revoke(p->path, &g, -1, -1, e);
}

static void read_text(struct place *p, char text[1024])
{
	memset(text, 0, 1024);
	int fd = openat(p->fd, HANDOFF_FILE, O_RDONLY);
	assert_true(read(fd, text, 1023) > 0);
	close(fd);
}

static void a_tombstone_is_what_the_format_says(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char text[1024];
	write_generation(p, 7);
	put(p->fd, "ack.7.json", "{}", 2);
	assert_ok(revoke(p, 7, &e), e);
	read_text(p, text);
	assert_string_equal(text, GRAVE_7 "\n");
	struct stat st;
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* What was answered stays answered. */
	assert_true(exists(p->fd, "ack.7.json"));
	assert_int_equal(count(p->path), 2);
}

static void a_tombstone_is_told_apart(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	put_file(p, GRAVE_7);
	assert_refused(p, RC_REVOKED,
		"revoked at 2026-02-25T06:13:20.001Z (generation 7)");
	assert_true(handoff_is_none(RC_REVOKED));
	assert_ok(handoff_look(p->fd, &h, &e), e);
	assert_int_equal(h.generation, 7);
	assert_string_equal(h.user_id, USER);
	assert_string_equal(h.device_id, "MUSTER");
	assert_string_equal(h.homeserver, URL);
	assert_true(h.revoked_ms == 1772000000001);
	assert_int_equal(h.issued_ms, 0);
	assert_false(secret_is_set(&h.access_token));
	handoff_fini(&h);

	put_file(p, FILE_7);
	assert_ok(handoff_look(p->fd, &h, &e), e);
	assert_int_equal(h.revoked_ms, 0);
	assert_true(secret_is_set(&h.access_token));
	handoff_fini(&h);
}

static void a_damaged_tombstone_is_none(void **state)
{
	struct place *p = *state;
	for (size_t i = 0; i < strlen(GRAVE_7); i++) {
		put(p->fd, HANDOFF_FILE, GRAVE_7, i);
		assert_refused(p, RC_CORRUPT, i ? "JSON" : "empty");
		char text[] = GRAVE_7;
		text[i] = text[i] == '0' ? '1' : '0';
		put(p->fd, HANDOFF_FILE, text, sizeof(text) - 1);
		struct handoff h = { 0 };
		struct err e = { 0 };
		enum rc rc = handoff_look(p->fd, &h, &e);
		if (rc != RC_CORRUPT && rc != RC_VERSION)
			fail_msg("byte %zu: %s", i, rc_words(rc));
	}
	static const struct {
		const char *text, *word;
	} cases[] = {
		{ "{\"muster\":1,\"generation\":7," FIELDS
		  ",\"revoked_ms\":1,\"sha256\":\"" DIGEST "\"}",
			"\"access_token\" and \"revoked_ms\"" },
		{ "{\"muster\":1,\"generation\":7," WHO
		  ",\"revoked_ms\":0,\"sha256\":\"" GRAVE_DIGEST "\"}",
			"\"revoked_ms\" is out of range" },
		{ "{\"muster\":1,\"generation\":7," WHO
		  ",\"revoked_ms\":null,\"sha256\":\"" GRAVE_DIGEST "\"}",
			"\"revoked_ms\" is null" },
		{ "{\"muster\":1,\"generation\":7," WHO
		  ",\"revoked_ms\":1772000000001}",
			"\"sha256\" is missing" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_file(p, cases[i].text);
		assert_refused(p, RC_CORRUPT, cases[i].word);
	}
}

static void generations_go_on_after_a_tombstone(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	assert_ok(revoke(p, 7, &e), e);
	make(&h, 7, TOKEN);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_EXISTS);
	assert_refused(p, RC_REVOKED, "generation 7");
	write_generation(p, 8);
	assert_int_equal(generation_there(p), 8);
	handoff_fini(&h);
}

static void what_a_tombstone_takes_the_place_of(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	assert_ok(revoke(p, 1, &e), e); /* of nothing */
	write_generation(p, 3);
	assert_ok(revoke(p, 4, &e), e);
	write_generation(p, 8);
	assert_rc(revoke(p, 7, &e), RC_EXISTS);
	assert_non_null(strstr(e.text, "generation 8"));
	assert_int_equal(generation_there(p), 8);
	assert_ok(revoke(p, 8, &e), e);
	assert_rc(revoke(p, 7, &e), RC_EXISTS);
	assert_refused(p, RC_REVOKED, "generation 8");

	put_file(p, "{\"muster\":1,\"gen"); /* torn */
	assert_ok(revoke(p, 8, &e), e);
	assert_refused(p, RC_REVOKED, "generation 8");
	write_generation(p, 1000008); /* a million ahead is near, */
	assert_rc(revoke(p, 8, &e), RC_EXISTS);
	write_generation(p, 1000009); /* more is far */
	assert_ok(revoke(p, 8, &e), e);
	assert_refused(p, RC_REVOKED, "generation 8");
	put_file(p, "{\"muster\":2}");
	assert_rc(revoke(p, 9, &e), RC_VERSION);
	assert_int_equal(count(p->path), 1);
}

static void a_tombstone_is_set_once(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct stat before, after;
	struct handoff_grave g = grave_of(7);
	assert_ok(revoke(p, 7, &e), e);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &before, 0), 0);
	g.revoked_ms += 5000;
	assert_ok(handoff_revoke(p->path, &g, -1, -1, &e), e);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_refused(p, RC_REVOKED, "06:13:20.001Z");
	/* That of somebody else is not this one; nor one that all may read. */
	g.user_id = "@b:hs";
	assert_ok(handoff_revoke(p->path, &g, -1, -1, &e), e);
	assert_refused(p, RC_REVOKED, "06:13:25.001Z");
	assert_int_equal(fchmodat(p->fd, HANDOFF_FILE, 0644, 0), 0);
	assert_ok(handoff_revoke(p->path, &g, -1, -1, &e), e);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &after, 0), 0);
	assert_int_equal(after.st_mode & 07777, 0600);
}

static void where_no_tombstone_is_set(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char path[300];
	snprintf(path, sizeof(path), "%s/nowhere", p->path);
	struct handoff_grave g = grave_of(7);
	assert_ok(handoff_revoke(path, &g, -1, -1, &e), e);
	assert_false(exists(p->fd, "nowhere"));
	assert_int_equal(mkdirat(p->fd, HANDOFF_FILE, 0755), 0);
	assert_rc(revoke(p, 7, &e), RC_IO);
	assert_int_equal(unlinkat(p->fd, HANDOFF_FILE, AT_REMOVEDIR), 0);

	assert_rc(revoke(p, 0, &e), RC_INVALID);
	assert_rc(revoke(p, HANDOFF_GENERATION_MAX + 1, &e), RC_INVALID);
	g.revoked_ms = 0;
	assert_rc(handoff_revoke(p->path, &g, -1, -1, &e), RC_INVALID);
	g = grave_of(7);
	g.device_id = NULL;
	assert_rc(handoff_revoke(p->path, &g, -1, -1, &e), RC_INVALID);
	assert_int_equal(count(p->path), 0);
}

static void too_large_a_value_is_not_written(void **state)
{
	struct place *p = *state;
	struct handoff h = { 0 };
	struct err e = { 0 };
	static char token[16 * 1024];
	memset(token, 'a', sizeof(token) - 1);
	write_generation(p, 1);
	make(&h, 2, token);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_TOO_LARGE);
	assert_int_equal(generation_there(p), 1);
	handoff_fini(&h);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	struct place *p = *state;
	assert_refused(p, RC_NOT_FOUND, "not there");
	char path[300];
	snprintf(path, sizeof(path), "%s/" HANDOFF_FILE, p->path);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(60); /* a reader that waits for the writer ends the test */
	assert_refused(p, RC_CORRUPT, "pipe");
	alarm(0);
	assert_int_equal(unlinkat(p->fd, HANDOFF_FILE, 0), 0);

	static char huge[16 * 1024 + 1];
	memset(huge, ' ', sizeof(huge));
	put(p->fd, HANDOFF_FILE, huge, sizeof(huge));
	assert_refused(p, RC_TOO_LARGE, "larger than 16384");
}

static void every_torn_file_is_refused(void **state)
{
	struct place *p = *state;
	for (size_t n = 0; n < strlen(FILE_7); n++) {
		put(p->fd, HANDOFF_FILE, FILE_7, n);
		assert_refused(p, RC_CORRUPT, n ? "JSON" : "empty");
	}
	/* A hole in the middle, as a file system leaves it after a crash. */
	char holed[] = FILE_7;
	memset(holed + 100, 0, 8);
	put(p->fd, HANDOFF_FILE, holed, sizeof(holed) - 1);
	assert_refused(p, RC_CORRUPT, "JSON");
}

static void every_changed_byte_is_noticed(void **state)
{
	struct place *p = *state;
	for (size_t i = 0; i < strlen(FILE_7); i++) {
		char text[] = FILE_7;
		text[i] = text[i] == '0' ? '1' : '0';
		put(p->fd, HANDOFF_FILE, text, sizeof(text) - 1);
		struct handoff h = { 0 };
		struct err e = { 0 };
		enum rc rc = handoff_read(p->fd, &h, &e);
		/* The time of issue alone is not in the digest. */
		const char *issued = strstr(FILE_7, "1772000000000");
		size_t at = (size_t)(issued - FILE_7);
		if (i >= at && i < at + 13)
			assert_rc(rc, i == at ? RC_CORRUPT : RC_OK);
		else if (rc != RC_CORRUPT && rc != RC_VERSION)
			fail_msg("byte %zu: %s", i, rc_words(rc));
		if (rc == RC_OK)
			handoff_fini(&h);
	}
}

static void wrong_fields_are_named(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *text, *word;
		enum rc rc;
	} cases[] = {
		{ "[]", "JSON", RC_CORRUPT },
		{ "{}", "not written by muster", RC_CORRUPT },
		{ "{\"access_token\":\"" TOKEN "\"}", "not written by muster",
			RC_CORRUPT },
		{ "{\"muster\":\"1\"}", "\"muster\" is a string", RC_CORRUPT },
		{ "{\"muster\":0}", "\"muster\" is out of range", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":9007199254740991}",
			"any generation", RC_CORRUPT },
		{ "{\"muster\":2,\"secret\":\"" TOKEN "\"}", "newer",
			RC_VERSION },
		{ "{\"muster\":1," FIELDS "}", "\"generation\" is missing",
			RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":\"7\"," FIELDS "}",
			"\"generation\" is a string", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":0," FIELDS "}",
			"\"generation\" is out of range", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7.0," FIELDS "}",
			"\"generation\" is", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7," FIELDS "}",
			"\"sha256\" is missing", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7," FIELDS ",\"sha256\":\"\"}",
			"\"sha256\" is empty", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":8," FIELDS
		  ",\"sha256\":\"" DIGEST "\"}",
			"\"sha256\" is not", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7,\"user_id\":null}",
			"\"user_id\" is null", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7,\"user_id\":\"" USER "\"}",
			"\"device_id\" is missing", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7,\"user_id\":\"" USER
		  "\",\"device_id\":\"a\\nb\"}",
			"\"device_id\" is empty, longer", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7,\"user_id\":\"" USER
		  "\",\"device_id\":\"D\",\"homeserver\":[]}",
			"\"homeserver\" is", RC_CORRUPT },
		{ "{\"muster\":1,\"generation\":7,\"user_id\":\"" USER
		  "\",\"device_id\":\"D\",\"homeserver\":\"" URL "\"}",
			"\"access_token\" is missing", RC_CORRUPT },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_file(p, cases[i].text);
		assert_refused(p, cases[i].rc, cases[i].word);
	}
}

static void fields_of_later_versions_are_ignored(void **state)
{
	struct place *p = *state;
	put_file(p,
		"{\"sealed\":{\"a\":[1]},\"muster\":1,\"generation\":7," FIELDS
		",\"sha256\":\"" DIGEST "\"}");
	assert_int_equal(generation_there(p), 7);
}

static void directory_is_made_with_its_department(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	mode_t old = umask(077);
	int fd = -1;
	assert_ok(handoff_dir_make(
			  p->path, "Human Resources", "a.b", -1, -1, &fd, &e),
		e);
	umask(old);
	struct stat st, want;
	assert_int_equal(fstatat(p->fd, "Human Resources/a.b", &want, 0), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_ino == want.st_ino);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(p->fd, "Human Resources", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	close(fd);
	/* Again, with a mode of somebody's choice: it stays. */
	assert_int_equal(fchmodat(p->fd, "Human Resources/a.b", 0700, 0), 0);
	assert_ok(handoff_dir_make(
			  p->path, "Human Resources", "a.b", -1, -1, &fd, &e),
		e);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(fd);
	assert_ok(handoff_dir_make(p->path, NULL, "c", -1, -1, &fd, &e), e);
	close(fd);
	assert_true(exists(p->fd, "_/c"));
}

/* The end of a write that was cut off: the file is there, as it should be. */
static void a_cut_off_write_is_finished(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct stat before, after;

	assert_rc(handoff_settle(p->fd, -1, -1, &e), RC_NOT_FOUND);
	write_generation(p, 3);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &before, 0), 0);
	assert_ok(handoff_settle(p->fd, -1, -1, &e), e);
	assert_ok(handoff_settle(p->fd, geteuid(), getegid(), &e), e);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	put_file(p, "{");
	assert_int_equal(fchmodat(p->fd, HANDOFF_FILE, 0644, 0), 0);
	assert_rc(handoff_settle(p->fd, -1, -1, &e), RC_CORRUPT);
	assert_int_equal(count(p->path), 1);
}

/* Not the old file: somebody may have it open. */
static void a_file_that_others_can_read_is_written_again(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct stat st;
	char text[1024] = "";

	write_generation(p, 3);
	assert_int_equal(fchmodat(p->fd, HANDOFF_FILE, 0644, 0), 0);
	int old = openat(p->fd, HANDOFF_FILE, O_RDONLY);
	assert_ok(handoff_settle(p->fd, -1, -1, &e), e);
	assert_int_equal(generation_there(p), 3);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstat(old, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_true(read(old, text, sizeof(text) - 1) > 0);
	close(old);
	assert_int_equal(count(p->path), 1);

	enum rc rc = handoff_settle(p->fd, 54321, -1, &e);
	if (geteuid() != 0) {
		assert_rc(rc, RC_IO);
		return;
	}
	/* Root, in a directory that is not that user's: nobody would know
	 * whose it is. */
	assert_rc(rc, RC_CORRUPT);
	write_generation(p, 3);
	assert_int_equal(fchown(p->fd, 54321, 54321), 0);
	assert_ok(handoff_settle(p->fd, 54321, -1, &e), e);
	assert_int_equal(fstatat(p->fd, HANDOFF_FILE, &st, 0), 0);
	assert_int_equal(st.st_uid, 54321);
	assert_int_equal(generation_there(p), 3);
}

static void directory_is_the_agents_own(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int fd = -1;
	enum rc rc = handoff_dir_make(p->path, "D", "a", 12345, -1, &fd, &e);
	if (geteuid() != 0) {
		assert_rc(rc, RC_IO);
		assert_non_null(strstr(e.text, "CAP_CHOWN"));
		assert_non_null(strstr(e.text, "CAP_DAC_OVERRIDE"));
		return;
	}
	assert_rc(rc, RC_OK);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, getegid());
	close(fd);
	assert_int_equal(fstatat(p->fd, "D", &st, 0), 0);
	assert_int_equal(st.st_uid, geteuid());
}

static void make_fails(struct place *p, const char *department,
	const char *localpart, enum rc want, const char *word)
{
	struct err e = { 0 };
	int fd = -7;
	assert_rc(handoff_dir_make(
			  p->path, department, localpart, -1, -1, &fd, &e),
		want);
	assert_int_equal(fd, -7);
	if (!strstr(e.text, word))
		fail_msg("\"%s\" does not say \"%s\"", e.text, word);
}

/* A hand-off of this user in department/a of the place. */
static void put_in(struct place *p, const char *department, const char *user)
{
	struct handoff h = { 0 };
	struct secret token = { 0 };
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(secret_set(&token, "syt_x", 5), RC_OK);
	assert_int_equal(
		handoff_set(&h, 1, user, "MUSTER", "http://hs", &token, 1),
		RC_OK);
	assert_ok(
		handoff_dir_make(p->path, department, "a", -1, -1, &fd, &e), e);
	assert_ok(handoff_write(fd, &h, -1, -1, &e), e);
	close(fd);
	handoff_fini(&h);
	secret_fini(&token);
}

static void who_moves_leaves_nothing_behind(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	put_in(p, "Old", "@a:hs");
	put_in(p, NULL, "@a:hs");
	put_in(p, "New", "@a:hs");
	put_in(p, "Other fleet", "@a:elsewhere");
	assert_int_equal(symlinkat("New", p->fd, "Link"), 0);
	char path[300];
	snprintf(path, sizeof(path), "%s/Old/a", p->path);
	const struct handoff_grave g = { 1, "@a:hs", "MUSTER", "http://hs", 9 };
	assert_ok(handoff_revoke(path, &g, -1, -1, &e), e);
	assert_ok(
		handoff_remove_elsewhere(p->path, "New", "a", "@a:hs", &e), e);
	assert_false(exists(p->fd, "Old/a/" HANDOFF_FILE));
	assert_false(exists(p->fd, "_/a/" HANDOFF_FILE));
	assert_true(exists(p->fd, "New/a/" HANDOFF_FILE));
	assert_true(exists(p->fd, "Other fleet/a/" HANDOFF_FILE));
	assert_rc(handoff_remove_elsewhere("/nowhere", "New", "a", "@a:hs", &e),
		RC_IO);
}

static void directory_is_never_elsewhere(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkdirat(p->fd, "elsewhere", 0755), 0);
	assert_int_equal(symlinkat("elsewhere", p->fd, "Sales"), 0);
	make_fails(p, "Sales", "a", RC_IO, "symbolic link");
	assert_false(exists(p->fd, "elsewhere/a"));
	assert_int_equal(symlinkat("../elsewhere", p->fd, "elsewhere/b"), 0);
	make_fails(p, "elsewhere", "b", RC_IO, "symbolic link");
	put(p->fd, "file", "", 0);
	make_fails(p, "file", "a", RC_IO, "no directory");
	make_fails(p, "..", "a", RC_INVALID, "department");
	make_fails(p, "a/b", "a", RC_INVALID, "department");
	make_fails(p, "D", "..", RC_INVALID, "agent");
	make_fails(p, "D", "../x", RC_INVALID, "agent");
	make_fails(p, "D", "", RC_INVALID, "agent");
	assert_false(exists(p->fd, "D"));

	struct err e = { 0 };
	int fd = -7;
	assert_rc(handoff_dir_make(
			  "/nonexistent/root", "D", "a", -1, -1, &fd, &e),
		RC_IO);
	assert_non_null(strstr(e.text, "/nonexistent/root"));
}

static void look_tells_missing_from_wrong(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	char path[300];
	int fd = -7;
	snprintf(path, sizeof(path), "%s/a/b", p->path);
	assert_rc(handoff_dir_open(path, &fd, &e), RC_NOT_FOUND);
	assert_int_equal(fd, -7);
	assert_int_equal(mkdirat(p->fd, "a", 0755), 0);
	assert_int_equal(symlinkat("..", p->fd, "a/b"), 0);
	assert_rc(handoff_dir_open(path, &fd, &e), RC_IO);
	assert_non_null(strstr(e.text, "symbolic link"));
	assert_int_equal(unlinkat(p->fd, "a/b", 0), 0);
	assert_int_equal(mkdirat(p->fd, "a/b", 0755), 0);
	assert_ok(handoff_dir_open(path, &fd, &e), e);
	close(fd);
	assert_ok(handoff_dir_open(p->path, &fd, &e), e);
	close(fd);
}

static struct handoff_ack an_ack(int64_t generation, const char *agent)
{
	struct handoff_ack ack = { .generation = generation,
		.user_id = USER,
		.device_id = "MUSTER",
		.at_ms = 1772000000123 };
	snprintf(ack.agent, sizeof(ack.agent), "%s", agent);
	return ack;
}

static void ack_is_written_once(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_ack got, ack = an_ack(7, "host/1");
	assert_rc(handoff_ack_read(p->fd, 7, &got, &e), RC_NOT_FOUND);
	assert_ok(handoff_ack_write(p->fd, &ack, &e), e);
	char text[512] = "";
	int fd = openat(p->fd, "ack.7.json", O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text,
		"{\"generation\":7,\"user_id\":\"" USER "\",\"device_id\":"
		"\"MUSTER\",\"at_ms\":1772000000123,\"agent\":\"host/1\"}\n");
	struct stat st;
	assert_int_equal(fstatat(p->fd, "ack.7.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);

	struct handoff_ack second = an_ack(7, "host/2");
	assert_ok(handoff_ack_write(p->fd, &second, &e), e);
	assert_ok(handoff_ack_read(p->fd, 7, &got, &e), e);
	assert_int_equal(got.generation, 7);
	assert_string_equal(got.user_id, USER);
	assert_string_equal(got.device_id, "MUSTER");
	assert_string_equal(got.agent, "host/1");
	assert_true(got.at_ms == 1772000000123);
	assert_rc(handoff_ack_read(p->fd, 8, &got, &e), RC_NOT_FOUND);

	struct handoff_ack bad = an_ack(9, "a\033[2Jb");
	assert_rc(handoff_ack_write(p->fd, &bad, &e), RC_INVALID);
	assert_int_equal(count(p->path), 1);
}

static void an_ack_of_another_file_ends_with_the_new_one(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff h = { 0 };
	static const char *const names[] = { "ack.6.json", "ack.7.json",
		"ack.8.json" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put(p->fd, names[i], "x", 1);
	write_generation(p, 7);
	assert_true(exists(p->fd, "ack.6.json"));
	assert_false(exists(p->fd, "ack.7.json"));
	assert_true(exists(p->fd, "ack.8.json"));
	/* What is refused changes nothing: it may be this file's. */
	put(p->fd, "ack.7.json", "x", 1);
	make(&h, 7, TOKEN);
	assert_rc(handoff_write(p->fd, &h, -1, -1, &e), RC_EXISTS);
	assert_true(exists(p->fd, "ack.7.json"));
	/* A directory is no answer, and not in the way. */
	assert_int_equal(unlinkat(p->fd, "ack.8.json", 0), 0);
	assert_int_equal(mkdirat(p->fd, "ack.8.json", 0755), 0);
	write_generation(p, 8);
	handoff_fini(&h);
}

static void newest_number_is_found(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int64_t newest = -1;
	assert_ok(handoff_newest(p->fd, 0, &newest, &e), e);
	assert_int_equal(newest, 0);
	static const char *const names[] = { "ack.9.json", "ack.12.json",
		"ack.3.json", "ack.013.json", "note.17.json", "ack.16.json.tmp",
		"ack.1000003.json", "ack.9007199254740991.json" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put(p->fd, names[i], "x", 1);
	assert_ok(handoff_newest(p->fd, 0, &newest, &e), e);
	assert_int_equal(newest, 12);
	assert_ok(handoff_newest(p->fd, 2, &newest, &e), e);
	assert_int_equal(newest, 12);
	put(p->fd, "paused.14.json", "x", 1);
	assert_ok(handoff_newest(p->fd, 0, &newest, &e), e);
	assert_int_equal(newest, 14);
	put(p->fd, "rotate.15.json", "x", 1);
	assert_ok(handoff_newest(p->fd, 0, &newest, &e), e);
	assert_int_equal(newest, 15);
	/* Not more than a million ahead. */
	assert_ok(handoff_newest(p->fd, 3, &newest, &e), e);
	assert_int_equal(newest, 1000003);
}

static void damaged_ack_is_refused_and_replaced(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_ack got = { .generation = 99 };
	static const char *const bad[] = {
		"{\"generation\":7",
		"{\"generation\":8,\"user_id\":\"" USER
		"\",\"device_id\":\"D\",\"at_ms\":1,\"agent\":\"x\"}",
		"{\"generation\":7,\"user_id\":\"" USER
		"\",\"device_id\":\"D\",\"at_ms\":\"1\",\"agent\":\"x\"}",
		"{\"generation\":7,\"user_id\":\"" USER
		"\",\"device_id\":\"D\",\"at_ms\":1,\"agent\":\"\\u001b[2J\"}",
		"{\"generation\":7}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put(p->fd, "ack.7.json", bad[i], strlen(bad[i]));
		assert_rc(handoff_ack_read(p->fd, 7, &got, &e), RC_CORRUPT);
		assert_int_equal(got.generation, 99);
	}
	struct handoff_ack ack = an_ack(7, "host/1");
	assert_ok(handoff_ack_write(p->fd, &ack, &e), e);
	assert_ok(handoff_ack_read(p->fd, 7, &got, &e), e);
	assert_string_equal(got.agent, "host/1");
}

/* --- a rotation, in two phases -------------------------------------------- */

static struct handoff_request a_request(int64_t generation, const char *why)
{
	struct handoff_request q = { .generation = generation,
		.wait_ms = 30000 };
	snprintf(q.why, sizeof(q.why), "%s", why);
	return q;
}

static void ask(struct place *p, int64_t generation)
{
	struct err e = { 0 };
	const struct handoff_request q = a_request(generation, "every day");
	assert_ok(handoff_request_write(p->fd, &q, -1, -1, &e), e);
}

static void request_is_what_the_format_says(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_request got;
	char text[512] = "";
	assert_rc(handoff_request_read(p->fd, 8, &got, &e), RC_NOT_FOUND);
	ask(p, 8);
	int fd = openat(p->fd, "rotate.8.json", O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text,
		"{\"generation\":8,\"wait_ms\":30000,"
		"\"why\":\"every day\"}\n");
	struct stat st;
	assert_int_equal(fstatat(p->fd, "rotate.8.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_ok(handoff_request_read(p->fd, 8, &got, &e), e);
	assert_int_equal(got.generation, 8);
	assert_int_equal(got.wait_ms, 30000);
	assert_string_equal(got.why, "every day");

	/* A number is asked for once. */
	const struct handoff_request again = a_request(8, "");
	assert_rc(handoff_request_write(p->fd, &again, -1, -1, &e), RC_EXISTS);
	assert_non_null(strstr(e.text, "8 is asked for already"));
	assert_int_equal(count(p->path), 1);

	assert_ok(handoff_request_remove(p->fd, 8, &e), e);
	assert_int_equal(count(p->path), 0);
	assert_ok(handoff_request_remove(p->fd, 8, &e), e);
	if (geteuid() != 0)
		return;
	assert_ok(handoff_request_write(p->fd, &again, 12345, 54321, &e), e);
	assert_int_equal(fstatat(p->fd, "rotate.8.json", &st, 0), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 54321);
}

static void request_that_cannot_be_made(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_request q = a_request(0, "");
	assert_rc(handoff_request_write(p->fd, &q, -1, -1, &e), RC_INVALID);
	q = a_request(8, "a\033[2Jb");
	assert_rc(handoff_request_write(p->fd, &q, -1, -1, &e), RC_INVALID);
	q = a_request(8, "");
	q.wait_ms = 0;
	assert_rc(handoff_request_write(p->fd, &q, -1, -1, &e), RC_INVALID);
	q.wait_ms = 600001;
	assert_rc(handoff_request_write(p->fd, &q, -1, -1, &e), RC_INVALID);
	assert_int_equal(count(p->path), 0);
}

static void damaged_request_is_refused_and_replaced(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_request got = { .generation = 99 };
	static const char *const bad[] = {
		"{\"generation\":8,\"wait_ms\":30000",
		"{\"generation\":9,\"wait_ms\":30000,\"why\":\"\"}",
		"{\"generation\":8,\"wait_ms\":0,\"why\":\"\"}",
		"{\"generation\":8,\"wait_ms\":-1,\"why\":\"\"}",
		"{\"generation\":8,\"wait_ms\":\"1\",\"why\":\"\"}",
		"{\"generation\":8,\"wait_ms\":1,\"why\":null}",
		"{\"generation\":8,\"wait_ms\":1}",
		"{\"generation\":8,\"wait_ms\":1,\"why\":\"a\\nb\"}",
		"{\"why\":\"\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put(p->fd, "rotate.8.json", bad[i], strlen(bad[i]));
		assert_rc(handoff_request_read(p->fd, 8, &got, &e), RC_CORRUPT);
		assert_int_equal(got.generation, 99);
		assert_non_null(strstr(e.text, "rotate.8.json"));
	}
	char text[300];
	snprintf(text, sizeof(text),
		"{\"generation\":8,\"wait_ms\":1,\"why\":\"%0201d\"}", 0);
	put(p->fd, "rotate.8.json", text, strlen(text));
	assert_rc(handoff_request_read(p->fd, 8, &got, &e), RC_CORRUPT);
	snprintf(text, sizeof(text),
		"{\"generation\":8,\"wait_ms\":1,\"why\":\"%0200d\"}", 0);
	put(p->fd, "rotate.8.json", text, strlen(text));
	assert_ok(handoff_request_read(p->fd, 8, &got, &e), e);
	assert_int_equal(strlen(got.why), 200);

	/* Nobody is paused for longer than ten minutes. */
	static const char forever[] = "{\"generation\":8,\"wait_ms\":"
				      "9007199254740991,\"why\":\"\"}";
	put(p->fd, "rotate.8.json", forever, sizeof(forever) - 1);
	assert_ok(handoff_request_read(p->fd, 8, &got, &e), e);
	assert_int_equal(got.wait_ms, 600000);

	put(p->fd, "rotate.8.json", bad[0], strlen(bad[0]));
	ask(p, 8);
	assert_ok(handoff_request_read(p->fd, 8, &got, &e), e);
	assert_string_equal(got.why, "every day");
}

static void newest_request_is_found(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	int64_t newest = -1;
	assert_ok(handoff_request_newest(p->fd, 7, &newest, &e), e);
	assert_int_equal(newest, 0);
	ask(p, 7);
	assert_ok(handoff_request_newest(p->fd, 7, &newest, &e), e);
	assert_int_equal(newest, 0);
	ask(p, 8);
	ask(p, 10);
	ask(p, 1000008);
	put(p->fd, "ack.11.json", "x", 1);
	put(p->fd, "paused.12.json", "x", 1);
	/* A stranger's names hide nothing. */
	put(p->fd, "rotate.13.json", "x", 1);
	assert_int_equal(mkdirat(p->fd, "rotate.14.json", 0755), 0);
	assert_int_equal(
		symlinkat("rotate.10.json", p->fd, "rotate.15.json"), 0);
	assert_int_equal(mkfifoat(p->fd, "rotate.16.json", 0644), 0);
	assert_ok(handoff_request_newest(p->fd, 7, &newest, &e), e);
	assert_int_equal(newest, 10);
	assert_ok(handoff_request_newest(p->fd, 8, &newest, &e), e);
	assert_int_equal(newest, 1000008);
	assert_ok(handoff_request_newest(p->fd, 1000008, &newest, &e), e);
	assert_int_equal(newest, 0);
}

static void paused_is_an_answer_of_its_own(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };
	struct handoff_ack got, paused = an_ack(8, "host/1");
	char text[512] = "";
	assert_rc(handoff_paused_read(p->fd, 8, &got, &e), RC_NOT_FOUND);
	assert_ok(handoff_paused_write(p->fd, &paused, &e), e);
	int fd = openat(p->fd, "paused.8.json", O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text,
		"{\"generation\":8,\"user_id\":\"" USER "\",\"device_id\":"
		"\"MUSTER\",\"at_ms\":1772000000123,\"agent\":\"host/1\"}\n");
	assert_rc(handoff_ack_read(p->fd, 8, &got, &e), RC_NOT_FOUND);
	/* There already is fine. */
	paused = an_ack(8, "host/2");
	assert_ok(handoff_paused_write(p->fd, &paused, &e), e);
	assert_ok(handoff_paused_read(p->fd, 8, &got, &e), e);
	assert_int_equal(got.generation, 8);
	assert_string_equal(got.agent, "host/1");
	paused = an_ack(9, "");
	assert_rc(handoff_paused_write(p->fd, &paused, &e), RC_INVALID);

	/* It answers no request that comes after it. */
	ask(p, 8);
	assert_rc(handoff_paused_read(p->fd, 8, &got, &e), RC_NOT_FOUND);
	paused = an_ack(8, "host/3");
	assert_ok(handoff_paused_write(p->fd, &paused, &e), e);
	const struct handoff_request again = a_request(8, "");
	assert_rc(handoff_request_write(p->fd, &again, -1, -1, &e), RC_EXISTS);
	assert_ok(handoff_paused_read(p->fd, 8, &got, &e), e);
	assert_string_equal(got.agent, "host/3");
}

static void clean_takes_only_what_is_ours_and_over(void **state)
{
	struct place *p = *state;
	static const char *const stay[] = { "ack.8.json", "ack.10.json",
		"paused.9.json", "rotate.11.json", HANDOFF_FILE, "ack.07.json",
		"ack.x.json", "ack.-1.json", "notes.1.json", "ack.1.json.bak",
		".matrix.json.0123456789abcdef", /* fresh */
		".matrix.json.0123456789abcdeX", ".bashrc.0123456789abcdef",
		".matrix.json.0123", ".nfs00000000000000010000001a",
		".matrix.json.lock" };
	static const char *const go[] = { "ack.7.json", "ack.1.json",
		"paused.7.json", "rotate.2.json",
		".matrix.json.00000000deadbeef",
		".ack.10.json.00000000deadbeef",
		".rotate.11.json.00000000deadbeef",
		".paused.11.json.00000000deadbeef" };
	const time_t now = time(NULL);
	for (size_t i = 0; i < ARRAY_LEN(stay); i++) {
		put(p->fd, stay[i], "x", 1);
		age(p, stay[i], 1000);
	}
	for (size_t i = 0; i < ARRAY_LEN(go); i++) {
		put(p->fd, go[i], "x", 1);
		age(p, go[i], now - 62);
	}
	age(p, ".matrix.json.0123456789abcdef", now - 50);
	struct err e = { 0 };
	assert_ok(handoff_clean(p->fd, 10, &e), e);
	for (size_t i = 0; i < ARRAY_LEN(stay); i++)
		if (!exists(p->fd, stay[i]))
			fail_msg("%s is gone", stay[i]);
	for (size_t i = 0; i < ARRAY_LEN(go); i++)
		if (exists(p->fd, go[i]))
			fail_msg("%s is still there", go[i]);
	/* The second time it reads the same directory anew. */
	age(p, ".matrix.json.0123456789abcdef", now - 62);
	assert_ok(handoff_clean(p->fd, 10, &e), e);
	assert_false(exists(p->fd, ".matrix.json.0123456789abcdef"));
	/* All it made itself is gone. */
	assert_int_equal(count(p->path), ARRAY_LEN(stay) - 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_is_of_five_lines),
		cmocka_unit_test(set_refuses_what_cannot_be_handed_over),
		cmocka_unit_test(path_has_a_place_for_those_without_department),
		CASE(written_file_is_what_the_format_says),
		CASE(read_gives_every_field),
		CASE(odd_characters_survive),
		CASE(generations_never_go_back),
		CASE(a_number_out_of_reach_is_no_generation),
		CASE(writer_replaces_damage_but_not_the_future),
		CASE(symlink_is_replaced_not_followed),
		CASE(failed_write_leaves_nothing_behind),
		CASE(what_cannot_be_written_is_known_before),
		CASE(a_tombstone_is_what_the_format_says),
		CASE(a_tombstone_is_told_apart),
		CASE(a_damaged_tombstone_is_none),
		CASE(generations_go_on_after_a_tombstone),
		CASE(what_a_tombstone_takes_the_place_of),
		CASE(a_tombstone_is_set_once),
		CASE(where_no_tombstone_is_set),
		CASE(too_large_a_value_is_not_written),
		CASE(what_is_no_file_is_refused_at_once),
		CASE(every_torn_file_is_refused),
		CASE(every_changed_byte_is_noticed),
		CASE(wrong_fields_are_named),
		CASE(fields_of_later_versions_are_ignored),
		CASE(directory_is_made_with_its_department),
		CASE(a_cut_off_write_is_finished),
		CASE(a_file_that_others_can_read_is_written_again),
		CASE(directory_is_the_agents_own),
		CASE(who_moves_leaves_nothing_behind),
		CASE(directory_is_never_elsewhere),
		CASE(look_tells_missing_from_wrong),
		CASE(ack_is_written_once),
		CASE(an_ack_of_another_file_ends_with_the_new_one),
		CASE(newest_number_is_found),
		CASE(damaged_ack_is_refused_and_replaced),
		CASE(request_is_what_the_format_says),
		CASE(request_that_cannot_be_made),
		CASE(damaged_request_is_refused_and_replaced),
		CASE(newest_request_is_found),
		CASE(paused_is_an_answer_of_its_own),
		CASE(clean_takes_only_what_is_ours_and_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
