/*
 * Files that are watched, by what stat() says of them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appservice/filewatch.h"
#include "base/file.h"
#include "base/str.h"

#include "base/poison.h"

/* Whatever makes a file another, or its folder; not every write, since a busy
 * database may be in the same folder. */
#define EVENTS                                                                 \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |            \
		IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
/* Clocks of file systems tick more coarsely than ours, and others' may differ
 * a little. */
#define COARSE_MS 2000

/* All 0: there is none. */
struct print {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
};

struct watched {
	char *path, *dir;
	int wd; /* of its folder; -1: none */
	struct print known, last;
};

struct filewatch {
	int fd; /* inotify's; -1: none */
	struct watched files[FILEWATCH_FILES];
	size_t n;
	bool unsettled; /* `last` differed from `known` */
	int64_t next_look_ms, next_sure_ms;
};

static const struct print changed_since = { .dev = UINT64_MAX };

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct print print_of(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return (struct print){ 0 };
	return (struct print){ .dev = (uint64_t)st.st_dev,
		.ino = (uint64_t)st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = ns_of(st.st_mtim),
		.ctime_ns = ns_of(st.st_ctim) };
}

static bool print_eq(const struct print *a, const struct print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* --- being told ------------------------------------------------------------- */

struct filewatch *filewatch_new(void)
{
	struct filewatch *w = calloc(1, sizeof(*w));
	if (w)
		w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return w;
}

void filewatch_free(struct filewatch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++) {
		free(w->files[i].path);
		free(w->files[i].dir);
	}
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

bool filewatch_is_told(const struct filewatch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->files[i].wd < 0)
			return false;
	return w->fd >= 0;
}

static bool is_used(const struct filewatch *w, int wd)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->files[i].wd == wd)
			return true;
	return false;
}

/* A folder that is another now, or is there by now; asking for one that is
 * watched changes nothing. */
static void watch_folders(struct filewatch *w)
{
	for (size_t i = 0; i < w->n && w->fd >= 0; i++) {
		int old = w->files[i].wd;
		w->files[i].wd = inotify_add_watch(
			w->fd, w->files[i].dir, EVENTS | IN_ONLYDIR);
		if (old >= 0 && !is_used(w, old))
			inotify_rm_watch(w->fd, old);
	}
}

/* Which file it was does not matter: looking at three costs less than knowing.
 * As many as a round has room for; what is left is told the next time. */
static bool was_told(const struct filewatch *w)
{
	char events[4096];
	ssize_t n = 1;
	bool told = false;
	for (int i = 0; i < 64 && n > 0; i++) {
		n = w->fd >= 0 ? read(w->fd, events, sizeof(events)) : -1;
		told = told || n > 0;
	}
	return told;
}

/* --- which ------------------------------------------------------------------ */

static const struct watched *find(const struct filewatch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++)
		if (text_eq(w->files[i].path, path))
			return &w->files[i];
	return NULL;
}

static bool add(struct filewatch *w, const char *path, int64_t read_ms)
{
	struct watched *f = &w->files[w->n++];
	*f = (struct watched){ .path = strdup(path), .dir = path_dir(path) };
	f->wd = -1;
	f->known = print_of(path);
	if (f->known.ctime_ns / 1000000 > read_ms - COARSE_MS)
		f->known = changed_since;
	return f->path && f->dir;
}

enum rc filewatch_set(struct filewatch *w,
	const char *const paths[FILEWATCH_FILES], int64_t read_ms,
	struct err *e)
{
	struct filewatch next = { .fd = w->fd, .unsettled = w->unsettled };
	bool ok = true;
	for (size_t i = 0; i < FILEWATCH_FILES; i++) {
		if (!paths[i] || find(&next, paths[i]))
			continue;
		const struct watched *old = find(w, paths[i]);
		ok = add(&next, paths[i], read_ms) && ok;
		if (!old)
			continue;
		next.files[next.n - 1].known = old->known;
		next.files[next.n - 1].wd = old->wd;
	}
	struct filewatch gone = *w;
	if (ok)
		*w = next;
	else
		gone = next;
	for (size_t i = 0; i < gone.n; i++) {
		if (ok && gone.files[i].wd >= 0 &&
			!is_used(w, gone.files[i].wd))
			inotify_rm_watch(w->fd, gone.files[i].wd);
		free(gone.files[i].path);
		free(gone.files[i].dir);
	}
	watch_folders(w);
	return ok ? RC_OK : err_nomem(e);
}

/* --- looking ---------------------------------------------------------------- */

/* *same: each as at the look before. */
static bool differ(struct filewatch *w, bool *same)
{
	bool other = false;
	*same = w->unsettled;
	for (size_t i = 0; i < w->n; i++) {
		struct watched *f = &w->files[i];
		const struct print now = print_of(f->path);
		other = other || !print_eq(&now, &f->known);
		*same = *same && print_eq(&now, &f->last);
		f->last = now;
	}
	return other;
}

bool filewatch_changed(struct filewatch *w, int64_t now_ms)
{
	bool same = false;
	if (now_ms < w->next_look_ms)
		return false;
	w->next_look_ms = now_ms + FILEWATCH_TICK_MS;
	bool told = was_told(w);
	if (!told && !w->unsettled && now_ms < w->next_sure_ms)
		return false;
	if (now_ms >= w->next_sure_ms) {
		w->next_sure_ms = now_ms + FILEWATCH_SURE_MS;
		watch_folders(w);
	}
	w->unsettled = differ(w, &same);
	return w->unsettled && same;
}

void filewatch_take(struct filewatch *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->files[i].known = print_of(w->files[i].path);
	w->unsettled = false;
}

bool filewatch_still(struct filewatch *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct print now = print_of(w->files[i].path);
		if (print_eq(&now, &w->files[i].known))
			continue;
		w->next_sure_ms = 0;
		return false;
	}
	return true;
}
