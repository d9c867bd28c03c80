/*
 * handoff/handoff_priv.h: what the files of handoff/ share: reading a small
 * JSON file that a stranger may have put there.
 */
#ifndef HANDOFF_HANDOFF_PRIV_H
#define HANDOFF_HANDOFF_PRIV_H

#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "handoff/handoff.h"

/* What the service has to have where handoff.owner is not its own user: to
 * give away, and to write and read what is given away. */
#define HANDOFF_OWNER_NEEDS                                                    \
	"handoff.owner needs the capabilities CAP_CHOWN and CAP_DAC_OVERRIDE"

/* "paused.9007199254740991.json" and its like. */
#define HANDOFF_NAME_MAX 64
#define HANDOFF_ACK "ack"
#define HANDOFF_ROTATE "rotate"
#define HANDOFF_PAUSED "paused"

/* The name of a generation's file of this kind. */
void handoff_name(
	const char *kind, int64_t generation, char out[HANDOFF_NAME_MAX]);

/*
 * A generation's small file, which holds no secret: JSON that begins with the
 * generation; who writes it adds the other members to jb in between.
 */
struct handoff_note {
	char name[HANDOFF_NAME_MAX];
	struct buf text;
	struct jb jb;
};
void handoff_note_begin(
	struct handoff_note *n, const char *kind, int64_t generation);
/* Replaces the file, in any case ends the note; uid and gid as handoff_write(),
 * -1: whoever writes it. */
MUST_CHECK enum rc handoff_note_put(struct handoff_note *n, int dirfd,
	int64_t uid, int64_t gid, struct err *e);
/* Its document, to be freed, and its name; results as handoff_read(), and
 * RC_CORRUPT where it says another generation than its name does. */
MUST_CHECK enum rc handoff_note_load(int dirfd, const char *kind,
	int64_t generation, char name[HANDOFF_NAME_MAX], struct json **ret,
	struct err *e);
/* "ack.7.json" and its like: the generation, and which kind ("ack"); 0 for any
 * other name. */
int64_t handoff_name_generation(struct str name, struct str *kind);

/* What may be the name of a directory below the root, or RC_INVALID. */
MUST_CHECK enum rc handoff_name_ok(
	const char *what, const char *name, struct err *e);
MUST_CHECK enum rc handoff_root_open(
	const char *root, int *ret_fd, struct err *e);
/* As handoff_dir_find(), and the root (unless ret_root is NULL). */
MUST_CHECK enum rc handoff_find(
	const char *path, int *ret_root, int *ret_fd, struct err *e);

/*
 * One writer at a time: a lock that ends with its holder, waited for a short
 * time (RC_BUSY). *ret_fd is -1 where the file system has no locks. close() it.
 */
#define HANDOFF_LOCK ".matrix.json.lock"
MUST_CHECK enum rc handoff_lock(int dirfd, int *ret_fd, struct err *e);

typedef void handoff_visit(int dirfd, const char *name, void *arg);
/* Visits each name in the directory, in no order. RC_TOO_LARGE: there are more
 * than anybody but a stranger makes. */
MUST_CHECK enum rc handoff_each_name(
	int dirfd, handoff_visit *visit, void *arg, struct err *e);

/* Removes the generation's file of this kind, if there is one: it is of
 * something else that had this number. */
MUST_CHECK enum rc handoff_remove(
	int dirfd, const char *kind, int64_t generation, struct err *e);

/* As handoff_set(), a tombstone. */
MUST_CHECK enum rc handoff_set_revoked(
	struct handoff *h, const struct handoff_grave *g);

/*
 * Reads the regular file `name` as one JSON object; results as
 * handoff_read(). Nothing of the content is ever in the text.
 */
MUST_CHECK enum rc handoff_load(
	int dirfd, const char *name, struct json **ret, struct err *e);
/* The member as a value of at most max bytes (borrowed), or RC_CORRUPT. */
MUST_CHECK enum rc handoff_get_text(struct js file, const char *name,
	const char *key, size_t max, const char **ret, struct err *e);
/* The member as a number of at least min, or RC_CORRUPT. */
MUST_CHECK enum rc handoff_get_number(struct js file, const char *name,
	const char *key, int64_t min, int64_t *ret, struct err *e);

#endif
