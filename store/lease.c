/*
 * store/lease.c: one service at a time has the store of a network file system.
 *
 * Who has it is an epoch: a number, a byte of the lease file that is locked, and
 * a record in the file that changes with every heartbeat. The next epoch may
 * begin when the last one has said that it ended; when its process ran on this
 * very machine and is gone; or when its record has not changed for takeover_ms,
 * by the clock of the one who waits. Clocks of two machines are never compared.
 * The one who has it stops half that time after the beginning of the last
 * heartbeat that came through: it may act for no longer, whatever keeps its
 * threads from knowing. That its lock is free proves nothing (a file server
 * forgets the locks of a machine that is cut off), nor that it is held (who
 * stands still holds it): it keeps apart those who wait, and it makes the
 * heartbeat of who has lost it fail.
 *
 * The lock is one of fcntl(2) that belongs to the open file (F_OFD_SETLK). NFS
 * sends it as a lock of these bytes, and writes with it, so that they fail with
 * EIO once it is lost. One of flock(2) locks the whole file there, and only one
 * could wait; one that belongs to the process goes with any descriptor of the
 * file that is closed.
 */
#define _GNU_SOURCE /* F_OFD_SETLK; and alloca(), which is not wanted */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/network_priv.h"

#undef alloca
#include "base/poison.h"

/* Of the time of a takeover. */
#define BEATS 12 /* a heartbeat each twelfth */
#define LATE 2   /* who has it may act for a half */
#define LOOKS 60 /* who waits looks so often */
#define LOOK_MIN_MS 50
#define LOOK_MAX_MS 1000
/* Between two looks it is asked so often whether to go on waiting. */
#define SLICE_MS 50

struct lease {
	char *dir, *path;
	int fd; /* that has the lock; -1: none yet */
	struct lease_record mine;
	int64_t beat_ms, late_ms;
	bool was_silent;         /* the one before */
	_Atomic int64_t good_ms; /* when the last good heartbeat began */
	atomic_bool lost;        /* and stays it */
	void (*on_lost)(void *arg, const char *why);
	void *arg;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct err why; /* a heartbeat has failed */
	bool ending;
	pthread_t beater, watcher;
	bool beating, watching;
};

/* --- the file and its locks -------------------------------------------------- */

static int lock_byte(int fd, int cmd, struct flock *l, int64_t epoch)
{
	int got;

	*l = (struct flock){ .l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = LEASE_LOCKS_AT + epoch,
		.l_len = 1 };
	do
		got = fcntl(fd, cmd, l);
	while (got != 0 && errno == EINTR);
	return got;
}

static enum rc fail_lock(const char *path, struct err *e)
{
	return err_set(e, RC_IO,
		"%s cannot be locked: %s: a store on a network needs a file "
		"system that locks bytes, as NFS 4 does",
		path, strerror(errno));
}

static enum rc is_locked(
	const char *path, int64_t epoch, bool *ret, struct err *e)
{
	struct flock l;
	int fd = -1;

	*ret = false;
	enum rc rc = lease_open(path, O_RDONLY, &fd, e);
	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	if (lock_byte(fd, F_OFD_GETLK, &l, epoch) != 0)
		rc = fail_lock(path, e);
	else
		*ret = l.l_type != F_UNLCK;
	close(fd);
	return rc;
}

static char *lease_path(const char *dir)
{
	return path_join(dir, "lease");
}

/* Never empty: a read at the end of an empty file tells nothing (NFS). */
static enum rc open_lease(const char *path, int *ret, struct err *e)
{
	struct stat st;
	int fd = -1;

	enum rc rc = lease_open(path, O_RDWR | O_CREAT, &fd, e);
	if (rc != RC_OK)
		return rc;
	if (fstat(fd, &st) == 0 &&
		(st.st_size >= LEASE_BYTES ||
			ftruncate(fd, LEASE_BYTES) == 0)) {
		*ret = fd;
		return RC_OK;
	}
	rc = err_set(
		e, RC_IO, "%s cannot be written: %s", path, strerror(errno));
	close(fd);
	return rc;
}

/* --- holding it ------------------------------------------------------------------ */

static bool is_late(struct lease *l)
{
	return clock_boot_ms() - atomic_load(&l->good_ms) >= l->late_ms;
}

enum rc lease_may_act(struct lease *l, struct err *e)
{
	if (!atomic_load(&l->lost) && is_late(l))
		atomic_store(&l->lost, true);
	if (!atomic_load(&l->lost))
		return RC_OK;
	return err_set(e, RC_STOPPING,
		"the lease of the store in %s is lost: another service may "
		"have it",
		l->dir);
}

int64_t lease_act_ms(const struct lease *l)
{
	return l->mine.takeover_ms - l->late_ms;
}

bool lease_was_silent(const struct lease *l)
{
	return l->was_silent;
}

int64_t lease_epoch(const struct lease *l)
{
	return l->mine.epoch;
}

/* Nobody else has begun, and the file is the same. */
static enum rc check_ours(const struct lease *l, struct err *e)
{
	struct epochs files;
	struct stat ours, there;

	enum rc rc = epochs_look(l->dir, &files, e);
	if (rc != RC_OK)
		return rc;
	if (files.top > l->mine.epoch)
		return err_set(e, RC_BUSY,
			"another service has begun epoch %lld",
			(long long)files.top);
	/* The path is said by who hears of it. */
	if (fstat(l->fd, &ours) != 0)
		return err_set(e, RC_IO, "%s", strerror(errno));
	if (lstat(l->path, &there) != 0)
		return errno == ENOENT
			? err_set(e, RC_IO,
				  "it was removed, and nobody but the services "
				  "of this store may touch it: stop all of "
				  "them, and start one")
			: err_set(e, RC_IO, "%s", strerror(errno));
	if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return err_set(e, RC_IO,
			"it was replaced, and nobody but the services of this "
			"store may touch it: stop all of them, remove it, and "
			"start one");
	return RC_OK;
}

/* One heartbeat; it counts from its beginning, and not when it came late. */
static enum rc beat(struct lease *l, struct err *e)
{
	const int64_t began = clock_boot_ms();

	l->mine.beat++;
	/* Who is late does not say that it lives. */
	if (lease_may_act(l, NULL) == RC_OK &&
		!lease_record_write(l->fd, &l->mine))
		return err_set(e, RC_IO, "the heartbeat cannot be written: %s",
			strerror(errno));
	enum rc rc = check_ours(l, e);
	if (rc != RC_OK)
		return rc;
	if (lease_may_act(l, NULL) != RC_OK)
		return err_set(e, RC_TIMEOUT,
			"the heartbeat was late: the one before began %lld ms "
			"ago",
			(long long)(clock_boot_ms() -
				atomic_load(&l->good_ms)));
	atomic_store(&l->good_ms, began);
	return RC_OK;
}

/* Until the time is over, or it is to end. The lock is held. */
static void wait_at_most(struct lease *l, int64_t ms)
{
	const struct timespec until = clock_after(ms);

	while (!l->ending && l->why.rc == RC_OK)
		if (pthread_cond_timedwait(&l->changed, &l->lock, &until) != 0)
			break;
}

static void *beater_main(void *arg)
{
	struct lease *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->ending) {
		struct err why = { 0 };
		if (l->why.rc == RC_OK)
			wait_at_most(l, l->beat_ms);
		else /* that was the last one */
			pthread_cond_wait(&l->changed, &l->lock);
		if (l->ending || l->why.rc != RC_OK)
			continue;
		pthread_mutex_unlock(&l->lock);
		if (beat(l, &why) != RC_OK)
			atomic_store(&l->lost, true);
		pthread_mutex_lock(&l->lock);
		l->why = why;
		if (why.rc != RC_OK)
			pthread_cond_broadcast(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* A heartbeat may hang for as long as the file server is away: so it is another
 * thread that sees that it is late. */
static void *watcher_main(void *arg)
{
	struct lease *l = arg;
	struct err why = { .rc = RC_TIMEOUT,
		.text = "the heartbeat is late: the file system does not "
			"answer" };

	pthread_mutex_lock(&l->lock);
	while (!l->ending && lease_may_act(l, NULL) == RC_OK)
		wait_at_most(l, l->beat_ms / 4 + 1);
	const bool lost = !l->ending;
	if (l->why.rc != RC_OK)
		why = l->why;
	pthread_mutex_unlock(&l->lock);
	err_wrap(&why, why.rc, "%s", l->path);
	if (lost && l->on_lost)
		l->on_lost(l->arg, why.text);
	return NULL;
}

static enum rc start_threads(struct lease *l, struct err *e)
{
	l->beating = pthread_create(&l->beater, NULL, beater_main, l) == 0;
	l->watching = l->beating &&
		pthread_create(&l->watcher, NULL, watcher_main, l) == 0;
	return l->watching ? RC_OK
			   : err_set(e, RC_NOMEM, "no thread could be started");
}

/* --- its life -------------------------------------------------------------------- */

static enum rc lease_new(const char *dir, const char *store,
	const struct store_options *o, struct lease **ret, struct err *e)
{
	pthread_condattr_t attr;
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		return err_nomem(e);
	l->fd = -1;
	l->dir = strdup(dir);
	l->path = lease_path(dir);
	l->on_lost = o->lost;
	l->arg = o->arg;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	who_am_i(&l->mine.who);
	snprintf(l->mine.store, sizeof(l->mine.store), "%s", store);
	l->mine.since_ms = clock_wall_ms();
	l->mine.takeover_ms =
		o->takeover_ms ? o->takeover_ms : STORE_TAKEOVER_MS;
	l->beat_ms = l->mine.takeover_ms / BEATS;
	l->late_ms = l->mine.takeover_ms / LATE;
	if (l->dir && l->path) {
		*ret = l;
		return RC_OK;
	}
	lease_free(l);
	return err_nomem(e);
}

static void end_threads(struct lease *l)
{
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	if (l->beating)
		pthread_join(l->beater, NULL);
	if (l->watching)
		pthread_join(l->watcher, NULL);
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	end_threads(l);
	if (l->beating && lease_may_act(l, NULL) == RC_OK) {
		l->mine.ended = true;
		/* Else its silence tells the next one. */
		(void)!lease_record_write(l->fd, &l->mine);
	}
	if (l->fd >= 0)
		close(l->fd);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l->path);
	free(l->dir);
	free(l);
}

/* --- waiting for it ----------------------------------------------------------------- */

struct hunt {
	struct lease *l;
	const struct store_options *o;
	/* What was seen last, and since when it is so. */
	struct lease_record newest;
	char raw[LEASE_RECORD];
	int64_t top; /* the newest epoch of all */
	int64_t since_ms;
};

static enum rc look(struct hunt *h, struct err *e)
{
	struct epochs files;
	struct lease_record newest;
	char raw[LEASE_RECORD];

	enum rc rc = epochs_look(h->l->dir, &files, e);
	if (rc == RC_OK)
		rc = lease_record_newest(h->l->path, &newest, raw, e);
	if (rc != RC_OK)
		return rc;
	if (newest.epoch && !text_eq(newest.store, h->l->mine.store))
		return err_set(e, RC_INVALID,
			"store: %s has the store %s already, and a directory "
			"of a network file system has one: name another in "
			"store.path",
			h->l->dir, newest.store);
	/* There are files of a later one: who made them is not known. */
	if (newest.epoch < files.top) {
		memset(&newest, 0, sizeof(newest));
		memset(raw, 0, sizeof(raw));
	}
	const int64_t top = newest.epoch ? newest.epoch : files.top;
	if (!h->since_ms || top != h->top ||
		memcmp(raw, h->raw, sizeof(raw)) != 0)
		h->since_ms = clock_boot_ms();
	h->newest = newest;
	h->top = top;
	memcpy(h->raw, raw, sizeof(raw));
	return RC_OK;
}

static int64_t takeover_ms(const struct hunt *h)
{
	const int64_t ours = h->l->mine.takeover_ms;

	return h->newest.takeover_ms > ours ? h->newest.takeover_ms : ours;
}

static enum rc may_begin(struct hunt *h, bool *ret, struct err *e)
{
	bool locked = true;
	enum rc rc = RC_OK;
	const bool over = h->newest.epoch &&
		(h->newest.ended || who_is_dead(&h->newest.who));

	if (over)
		rc = is_locked(h->l->path, h->top, &locked, e);
	const bool at_once = !h->top || (over && !locked);
	*ret = at_once || clock_boot_ms() - h->since_ms >= takeover_ms(h);
	h->l->was_silent = !at_once;
	return rc;
}

/* Under the lock of the next epoch nobody else begins it; but somebody may have
 * done it just before. */
static enum rc claim(struct hunt *h, struct err *e)
{
	struct lease *l = h->l;
	struct flock lock;
	const int64_t top = h->top, since = h->since_ms;

	enum rc rc = open_lease(l->path, &l->fd, e);
	if (rc != RC_OK)
		return rc;
	if (lock_byte(l->fd, F_OFD_SETLK, &lock, top + 1) != 0)
		return errno == EAGAIN || errno == EACCES
			? RC_BUSY
			: fail_lock(l->path, e);
	rc = look(h, e);
	if (rc != RC_OK)
		return rc;
	if (h->top != top || h->since_ms != since)
		return RC_BUSY;
	l->mine.epoch = top + 1;
	atomic_store(&l->good_ms, clock_boot_ms());
	if (!lease_record_write(l->fd, &l->mine))
		return err_set(e, RC_IO, "%s cannot be written: %s", l->path,
			strerror(errno));
	return RC_OK;
}

static void describe(const struct hunt *h, struct store_holder *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (h->newest.epoch)
		lease_record_words(&h->newest, ret->words, sizeof(ret->words));
	else
		snprintf(ret->words, sizeof(ret->words),
			"a service that is not known (state.%lld.db is there "
			"and no lease of it)",
			(long long)h->top);
	ret->silent_ms = clock_boot_ms() - h->since_ms;
	ret->takeover_ms = takeover_ms(h);
}

/* Until the next look. */
static enum rc pause_hunt(struct hunt *h, struct err *e)
{
	struct store_holder holder;
	int64_t left = h->l->mine.takeover_ms / LOOKS;

	left = left < LOOK_MIN_MS    ? LOOK_MIN_MS
		: left > LOOK_MAX_MS ? LOOK_MAX_MS
				     : left;
	describe(h, &holder);
	if (!h->o->waiting)
		return err_set(e, RC_BUSY, "the store in %s is in use: by %s",
			h->l->dir, holder.words);
	for (; left > 0; left -= SLICE_MS) {
		if (!h->o->waiting(h->o->arg, &holder))
			return err_set(e, RC_STOPPING,
				"the store in %s is not waited for any more",
				h->l->dir);
		clock_sleep_ms(left < SLICE_MS ? left : SLICE_MS);
	}
	return RC_OK;
}

/* One try; RC_BUSY: not yet. */
static enum rc try_claim(struct hunt *h, struct err *e)
{
	bool free = false;

	enum rc rc = look(h, e);
	if (rc == RC_OK)
		rc = may_begin(h, &free, e);
	if (rc == RC_OK)
		rc = free ? claim(h, e) : RC_BUSY;
	if (rc != RC_OK && h->l->fd >= 0) {
		close(h->l->fd);
		h->l->fd = -1;
	}
	return rc;
}

enum rc lease_take(const char *dir, const char *store,
	const struct store_options *o, struct lease **ret, struct err *e)
{
	struct hunt h = { .o = o };

	enum rc rc = lease_new(dir, store, o, &h.l, e);
	if (rc != RC_OK || !h.l)
		return rc;
	for (;;) {
		rc = try_claim(&h, e);
		if (rc != RC_BUSY)
			break;
		rc = pause_hunt(&h, e);
		if (rc != RC_OK)
			break;
	}
	if (rc == RC_OK)
		rc = start_threads(h.l, e);
	if (rc == RC_OK)
		*ret = h.l;
	else
		lease_free(h.l);
	return rc;
}

enum rc lease_is_held(
	const char *dir, bool *held, struct store_holder *holder, struct err *e)
{
	struct lease_record newest;
	char raw[LEASE_RECORD];
	char *path = lease_path(dir);

	*held = false;
	memset(holder, 0, sizeof(*holder));
	if (!path)
		return err_nomem(e);
	enum rc rc = lease_record_newest(path, &newest, raw, e);
	if (rc == RC_OK && newest.epoch)
		rc = is_locked(path, newest.epoch, held, e);
	if (rc == RC_OK && *held)
		lease_record_words(
			&newest, holder->words, sizeof(holder->words));
	free(path);
	return rc;
}

enum rc lease_is_foreign(
	const char *dir, const char *store, bool *foreign, struct err *e)
{
	struct lease_record newest;
	char raw[LEASE_RECORD];
	char *path = lease_path(dir);

	if (!path)
		return err_nomem(e);
	enum rc rc = lease_record_newest(path, &newest, raw, e);
	*foreign = rc == RC_OK && newest.epoch && !text_eq(newest.store, store);
	free(path);
	return rc;
}
