/*
 * Sweeping the agent's directory: the answers of old generations, and what a
 * writer that died left behind. Whatever else lies there stays.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define KEPT_BACK 2
#define STALE_MS 60000
#define TEMP_HEX 16 /* the random end of a temporary file's name */

/* ".NAME.RANDOM", as file_replace_at() makes it of one of our names. */
static bool is_temporary(const char *name)
{
	size_t n = strlen(name);
	if (name[0] != '.' || n < TEMP_HEX + 3 ||
		name[n - TEMP_HEX - 1] != '.' ||
		strspn(name + n - TEMP_HEX, "0123456789abcdef") != TEMP_HEX)
		return false;
	struct str made_of = { name + 1, n - TEMP_HEX - 2 };
	struct str kind;
	return str_eq(made_of, HANDOFF_FILE) ||
		handoff_name_generation(made_of, &kind) > 0;
}

static bool is_stale(int dirfd, const char *name, int64_t now_ms)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	return now_ms - (int64_t)st.st_mtime * 1000 > STALE_MS;
}

struct sweep {
	int64_t generation, now_ms;
	enum rc rc; /* of the first that could not be removed */
	struct err *e;
};

static bool has_had_its_day(int dirfd, const char *name, const struct sweep *s)
{
	struct str kind;
	int64_t of = handoff_name_generation(str_of(name), &kind);
	if (of > 0)
		return of < s->generation - KEPT_BACK;
	return is_temporary(name) && is_stale(dirfd, name, s->now_ms);
}

static void sweep(int dirfd, const char *name, void *arg)
{
	struct sweep *s = arg;
	if (!has_had_its_day(dirfd, name, s))
		return;
	if (unlinkat(dirfd, name, 0) != 0 && errno != ENOENT && s->rc == RC_OK)
		s->rc = err_set(s->e, RC_IO, "%s: cannot be removed: %s", name,
			strerror(errno));
}

enum rc handoff_clean(
	int dirfd, int64_t generation, int64_t now_ms, struct err *e)
{
	struct sweep s = { generation, now_ms, RC_OK, e };
	enum rc rc = handoff_each_name(dirfd, sweep, &s, e);
	return rc == RC_OK ? s.rc : rc;
}
