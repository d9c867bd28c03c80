/*
 * appservice/filewatch.h: have files changed, and are they whole again? They
 * are told apart by what stat() says of what their paths lead to, so it does
 * not matter how they are replaced: written in place, by rename, or by another
 * symbolic link. inotify on their folders only says that it is time to look;
 * where it says nothing (none can be had, a network file system, a link far
 * above) they are looked at every FILEWATCH_SURE_MS all the same.
 *
 * One thread. The time is the caller's, monotonic.
 */
#ifndef APPSERVICE_FILEWATCH_H
#define APPSERVICE_FILEWATCH_H

#include "base/base.h"

#define FILEWATCH_FILES 3
#define FILEWATCH_TICK_MS 1000  /* between two looks at what is changing */
#define FILEWATCH_SURE_MS 10000 /* at the latest */

struct filewatch;

/* Of no files yet; NULL: out of memory. */
MUST_CHECK struct filewatch *filewatch_new(void);
void filewatch_free(struct filewatch *w);
/* Whether the system tells of changes; false: only the look is left. */
bool filewatch_is_told(const struct filewatch *w);

/*
 * These are the files, NULL: one less; those that were among them are known as
 * they were. Of another it is known how it is now, if it is as old as when
 * reading began (wall time); else it counts as changed.
 */
MUST_CHECK enum rc filewatch_set(struct filewatch *w,
	const char *const paths[FILEWATCH_FILES], int64_t read_ms,
	struct err *e);

/* Another than is known, and the same at two looks FILEWATCH_TICK_MS apart:
 * whoever writes has ended. May be called as often as one likes. */
bool filewatch_changed(struct filewatch *w, int64_t now_ms);

/* About to be read: how they are now is known. */
void filewatch_take(struct filewatch *w);
/* Have been read: they still are as they were taken; else they are looked at
 * soon. */
bool filewatch_still(struct filewatch *w);

#endif
