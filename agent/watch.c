/*
 * A nap that ends early when a hand-off or a request is put into the directory,
 * or when it is no more itself. Where nobody tells (inotify is used up, a
 * network file system) it is a nap.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define WHAT                                                                   \
	(IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |            \
		IN_DONT_FOLLOW)
/* Whoever writes there all the time shall not keep us busy. */
#define REST_MS 20

struct watch {
	int wake;   /* an eventfd */
	int notify; /* -1: none */
	int place;  /* what is watched; -1: nothing */
	dev_t dev;
	ino_t ino;
	int64_t hint_ms; /* when there was one last */
};

struct watch *watch_new(void)
{
	struct watch *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->place = -1;
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->wake >= 0)
		return w;
	watch_free(w);
	return NULL;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->wake >= 0)
		close(w->wake);
	if (w->notify >= 0)
		close(w->notify);
	free(w);
}

void watch_on(struct watch *w, const char *path, dev_t dev, ino_t ino)
{
	if (w->notify < 0 || (w->place >= 0 && w->dev == dev && w->ino == ino))
		return;
	if (w->place >= 0)
		inotify_rm_watch(w->notify, w->place);
	w->place = inotify_add_watch(w->notify, path, WHAT);
	w->dev = dev;
	w->ino = ino;
}

static bool is_hint(struct watch *w, const struct inotify_event *event)
{
	if (event->wd != w->place)
		return false; /* the place before */
	if (!(event->mask & IN_MOVED_TO)) {
		w->place = -1;
		return true;
	}
	return event->len > 0 &&
		(text_eq(event->name, HANDOFF_FILE) ||
			text_starts(event->name, "rotate."));
}

/* Reads what came: whether something of it is for us. */
static bool take_hints(struct watch *w)
{
	/* Aligned as an event is. */
	union {
		struct inotify_event event;
		char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	} room;
	bool hint = false;
	ssize_t n = read(w->notify, room.bytes, sizeof(room.bytes));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *event =
			(const void *)(room.bytes + at);
		hint = is_hint(w, event) || hint;
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return hint;
}

/* Until something can be read, a signal or the end; whether we are to go on
 * napping. */
static bool nap(struct watch *w, int64_t left_ms)
{
	struct pollfd fds[] = { { .fd = w->wake, .events = POLLIN },
		{ .fd = w->notify, .events = POLLIN } };
	if (poll(fds, ARRAY_LEN(fds), (int)left_ms) <= 0)
		return false;
	if (fds[0].revents) {
		uint64_t count;
		ssize_t n = read(w->wake, &count, sizeof(count));
		(void)n;
		return false;
	}
	return !take_hints(w);
}

void watch_nap(struct watch *w, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;
	int64_t left = ms;
	while (left > 0 && nap(w, left))
		left = until - clock_mono_ms();
	int64_t rest = w->hint_ms + REST_MS - clock_mono_ms();
	if (left > 0 && rest > 0)
		clock_sleep_ms(rest);
	if (left > 0)
		w->hint_ms = clock_mono_ms();
}

void watch_wake(struct watch *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->wake, &one, sizeof(one));
	(void)n;
}
