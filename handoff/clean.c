/*
 * Sweeping the agent's directory: the answers of old generations, and what a
 * writer that died left behind. Whatever else lies there stays.
 */
#include "handoff/handoff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define KEPT_BACK 2
#define STALE_MS 60000
#define TEMP_HEX 16 /* the random end of a temporary file's name */

static const char *const kinds[] = { "ack", "rotate", "paused" };

/* "ack.7.json" and its like: the generation; 0 for any other name. */
static int64_t generation_of(struct str name)
{
	struct str kind = str_cut(&name, '.', NULL);
	struct str number = str_cut(&name, '.', NULL);
	int64_t generation;
	if (!str_eq(name, "json") ||
		!str_i64(number, 1, JSON_INT_MAX, &generation))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(kind, kinds[i]))
			return generation;
	return 0;
}

/* ".NAME.RANDOM", as file_replace_at() makes it of one of our names. */
static bool is_temporary(const char *name)
{
	size_t n = strlen(name);
	if (name[0] != '.' || n < TEMP_HEX + 3 ||
		name[n - TEMP_HEX - 1] != '.' ||
		strspn(name + n - TEMP_HEX, "0123456789abcdef") != TEMP_HEX)
		return false;
	struct str made_of = { name + 1, n - TEMP_HEX - 2 };
	return str_eq(made_of, HANDOFF_FILE) || generation_of(made_of) > 0;
}

static bool is_stale(int dirfd, const char *name, int64_t now_ms)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	return now_ms - (int64_t)st.st_mtime * 1000 > STALE_MS;
}

static bool has_had_its_day(
	int dirfd, const char *name, int64_t generation, int64_t now_ms)
{
	int64_t of = generation_of(str_of(name));
	if (of > 0)
		return of < generation - KEPT_BACK;
	return is_temporary(name) && is_stale(dirfd, name, now_ms);
}

static enum rc sweep(
	DIR *dir, int64_t generation, int64_t now_ms, struct err *e)
{
	enum rc rc = RC_OK;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry && errno)
			return err_set(e, RC_IO, "%s", strerror(errno));
		if (!entry)
			return rc;
		const char *name = entry->d_name;
		if (!has_had_its_day(dirfd(dir), name, generation, now_ms))
			continue;
		if (unlinkat(dirfd(dir), name, 0) != 0 && errno != ENOENT &&
			rc == RC_OK)
			rc = err_set(e, RC_IO, "%s: cannot be removed: %s",
				name, strerror(errno));
	}
}

enum rc handoff_clean(
	int dirfd, int64_t generation, int64_t now_ms, struct err *e)
{
	/* A descriptor of its own: reading moves its place, closedir() ends
	 * it. */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int why = errno;
		if (fd >= 0)
			close(fd);
		return err_set(e, RC_IO, "%s", strerror(why));
	}
	enum rc rc = sweep(dir, generation, now_ms, e);
	closedir(dir);
	return rc;
}
