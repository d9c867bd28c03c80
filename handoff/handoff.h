/*
 * handoff/handoff.h: the hand-off of a token through a shared directory, for
 * both sides. `matrix.json` is one file that holds everything that must match;
 * it is replaced whole, its generation only grows, and it carries a digest of
 * its own fields. The agent answers in `ack.<generation>.json`, a new name
 * each time. Before a rotation the service asks in `rotate.<generation>.json`,
 * and the agent, its program paused, says so in `paused.<generation>.json`. When
 * the agent is to have no token any more, a tombstone takes the file's place: it
 * says of which generation, and when. Built for NFS (EFS) as it is mounted by
 * default: the directory is opened before each look, nothing is linked, and no
 * change notification is trusted.
 *
 * Everything here works on an open directory (handoff_dir_open) and is
 * thread-safe for different directories. Secrets are wiped when freed.
 */
#ifndef HANDOFF_HANDOFF_H
#define HANDOFF_HANDOFF_H

#include "base/buf.h"
#include "base/secret.h"

#define HANDOFF_FILE "matrix.json"
#define HANDOFF_FORMAT 1
/* One login a millisecond for 30 years: a larger number is no generation. */
#define HANDOFF_GENERATION_MAX (INT64_C(1) << 40)
/* A file that is further ahead than this of what is known was not numbered by
 * us: nobody logs in a million times unseen. The agent can write its own
 * directory, and must not bring its generations to their end. */
#define HANDOFF_GENERATION_LEAP 1000000
bool handoff_is_far(int64_t generation, int64_t known);

/* 1 to max bytes of UTF-8 without control characters: what may stand in a
 * line of a digest, a header or a terminal. */
bool handoff_value_ok(const char *s, size_t max);

struct handoff {
	int64_t generation; /* from 1 */
	char *user_id, *device_id, *homeserver;
	struct secret access_token;
	int64_t issued_ms;
	int64_t revoked_ms; /* of a tombstone, which has no token and no
			       issued_ms; 0: of a hand-off */
};

/* Sets all fields of *h, which is zeroed or holds an older one (copies).
 * RC_INVALID: a generation under 1, a text that is empty or has control
 * characters, an id over 255 bytes. */
MUST_CHECK enum rc handoff_set(struct handoff *h, int64_t generation,
	const char *user_id, const char *device_id, const char *homeserver,
	const struct secret *token, int64_t issued_ms);
void handoff_fini(struct handoff *h);
/* SHA-256 of the values of generation, user_id, device_id, homeserver and
 * access_token (of a tombstone revoked_ms), each followed by a newline, in hex:
 * the file's "sha256". "" when there is no memory for it. */
void handoff_digest(const struct handoff *h, char out[SHA256_HEX]);

/* The directory of an agent under a root: <root>/<department>/<localpart>,
 * "_" for no department. Free it. */
MUST_CHECK char *handoff_path(
	const char *root, const char *department, const char *localpart);

/*
 * Opens the agent's directory below root (which exists) for writing, making it
 * (and the department's) mode 0755 when missing, component by component, never
 * through a symbolic link. uid/gid -1: as they are; otherwise the agent's
 * directory becomes theirs. RC_INVALID for a name that is no directory's
 * ("..", a slash); RC_IO with the reason and path.
 */
MUST_CHECK enum rc handoff_dir_make(const char *root, const char *department,
	const char *localpart, int64_t uid, int64_t gid, int *ret_fd,
	struct err *e);
/* Opens an existing directory (no symbolic link) for a look; RC_NOT_FOUND. A
 * new descriptor each time is what makes NFS show what is there now. For who
 * knows no root: whatever leads to it is followed. */
MUST_CHECK enum rc handoff_dir_open(
	const char *path, int *ret_fd, struct err *e);
/* The same for a path of handoff_path(), of which no part below the root may be
 * a symbolic link. RC_NOT_FOUND; RC_INVALID; RC_IO also where there is no
 * root. */
MUST_CHECK enum rc handoff_dir_find(
	const char *path, int *ret_fd, struct err *e);

/*
 * Writes the file: refuses (RC_EXISTS) when the one that is there has the same
 * or a newer generation that is not far ahead, and says who wrote it; temporary
 * file O_EXCL, mode 0600 and owner before the content, fsync, rename, directory
 * fsync, read back and compared. An acknowledgement of this generation is
 * removed before: it is of another file that had its number. A damaged file is
 * replaced; one of a newer format is not (RC_VERSION). One writer at a time, by a
 * lock beside it, so that no generation goes back; RC_BUSY: another one has it,
 * or somebody wrote over ours. RC_STALE: open the directory anew, and try once
 * more. Whatever fails, the old file stays whole.
 */
MUST_CHECK enum rc handoff_write(int dirfd, const struct handoff *h,
	int64_t uid, int64_t gid, struct err *e);

/* Whose token was revoked when. */
struct handoff_grave {
	int64_t generation; /* the last that there was, from 1 */
	const char *user_id, *device_id, *homeserver;
	int64_t revoked_ms; /* from 1 */
};
/*
 * Puts a tombstone into the agent's directory (of handoff_path(), as
 * handoff_dir_find()), with the same care as handoff_write(), in the place of
 * whatever file is there, whoever keeps it locked: only one of a newer
 * generation that is not far ahead stays (RC_EXISTS), and one of a newer format
 * (RC_VERSION). Where this generation's tombstone is already, it stays, with
 * its time. RC_OK when there is no directory. RC_INVALID as handoff_set().
 */
MUST_CHECK enum rc handoff_revoke(const char *path,
	const struct handoff_grave *g, int64_t uid, int64_t gid, struct err *e);

/* The end of a handoff_write() that was cut off after the file was there: the
 * directory is synced. A file whose owner or mode is not as it should be is
 * written again, as it is, with these. */
MUST_CHECK enum rc handoff_settle(
	int dirfd, int64_t uid, int64_t gid, struct err *e);

/* Whether nobody but its owner can read the file. */
bool handoff_is_private(int dirfd);

/*
 * Removes the agent's file from the directories that it has under other
 * departments, where it was before it moved: the token in it is dead, or should
 * not be found by whoever comes there next. Only files that name this user;
 * what cannot be removed is RC_IO, after the rest was.
 */
MUST_CHECK enum rc handoff_remove_elsewhere(const char *root,
	const char *department, const char *localpart, const char *user_id,
	struct err *e);

/* Where a file may be: below a root, in a department. */
struct handoff_place {
	int dirfd;              /* of the department */
	const char *department; /* NULL: of those without one */
	const char *localpart;
};
typedef void handoff_visit_place(const struct handoff_place *at, void *arg);
/* Visits every name in every directory of the root, in no order, none of which
 * may be an agent's; so many names at most. RC_IO: the root cannot be read. */
MUST_CHECK enum rc handoff_each_place(const char *root, size_t most,
	handoff_visit_place *visit, void *arg, struct err *e);
/* As handoff_look(); RC_NOT_FOUND also when it is no directory. */
MUST_CHECK enum rc handoff_place_look(
	const struct handoff_place *at, struct handoff *ret, struct err *e);

/*
 * Whether handoff_write() could write here now, as far as that can be tried
 * without touching the file: asked before a login, which may end the token that
 * is in it.
 */
MUST_CHECK enum rc handoff_writable(
	int dirfd, int64_t uid, int64_t gid, struct err *e);

/*
 * Reads and verifies the file: RC_NOT_FOUND; RC_CORRUPT (torn, not JSON, a
 * field missing or of the wrong type, digest wrong; no regular file; one that
 * has another name as well, or belongs neither to us nor to root nor to the
 * directory's owner: it may be somebody else's); RC_VERSION (made by a newer
 * format); RC_TOO_LARGE; RC_REVOKED (a tombstone); RC_IO. The text says which,
 * never the token. *ret is overwritten; handoff_fini() it.
 */
MUST_CHECK enum rc handoff_read(int dirfd, struct handoff *ret, struct err *e);
/* As handoff_read(), and a tombstone is RC_OK, too: for who goes on after its
 * generation. */
MUST_CHECK enum rc handoff_look(int dirfd, struct handoff *ret, struct err *e);
/* Whether that result says that there is no hand-off: nothing, a tombstone, or
 * no file of ours. Any other failure leaves open what is there. */
bool handoff_is_none(enum rc rc);

struct handoff_ack {
	int64_t generation;
	char user_id[256];
	char device_id[256];
	int64_t at_ms;
	char agent[128]; /* who answers: a task, a host and process */
};
/* Writes ack.<generation>.json; one that is there already is fine (a damaged
 * one is replaced). RC_INVALID for a text as in handoff_set(). */
MUST_CHECK enum rc handoff_ack_write(
	int dirfd, const struct handoff_ack *ack, struct err *e);
/* Reads ack.<generation>.json; RC_NOT_FOUND, RC_CORRUPT as above. */
MUST_CHECK enum rc handoff_ack_read(
	int dirfd, int64_t generation, struct handoff_ack *ret, struct err *e);

/* Which file system the root is on, until it is mounted again; RC_IO as for
 * handoff_dir_make(). */
MUST_CHECK enum rc handoff_root_device(
	const char *root, uint64_t *ret, struct err *e);

/* --- a rotation, in two phases ---------------------------------------------- */

#define HANDOFF_WAIT_MAX_MS (INT64_C(10) * 60 * 1000)
#define HANDOFF_WHY_MAX 200 /* bytes */

struct handoff_request {
	int64_t generation; /* that is to come */
	int64_t wait_ms;    /* for how long the program may stay paused: a
			       duration, as two hosts' clocks differ */
	char why[HANDOFF_WHY_MAX + 1]; /* in words; "" */
};
/* The service asks: rotate.<generation>.json, mode 0644, the owner as the
 * file's. RC_EXISTS: this number was asked for already. */
MUST_CHECK enum rc handoff_request_write(int dirfd,
	const struct handoff_request *q, int64_t uid, int64_t gid,
	struct err *e);
/* RC_NOT_FOUND, RC_CORRUPT as above. A wait_ms that is longer than
 * HANDOFF_WAIT_MAX_MS is cut to it. */
MUST_CHECK enum rc handoff_request_read(int dirfd, int64_t generation,
	struct handoff_request *ret, struct err *e);
/* The newest generation that is asked for here, newer than `known` and not far
 * ahead of it; 0: none. */
MUST_CHECK enum rc handoff_request_newest(
	int dirfd, int64_t known, int64_t *ret, struct err *e);
/* For how long who asked still waits for an answer, by the clock of the file
 * system alone; 0: no more, or the request is gone. */
int64_t handoff_request_left_ms(int dirfd, const struct handoff_request *q);
/* Nothing came of it: an agent that sees it only now shall not pause. Nothing
 * there is fine. */
MUST_CHECK enum rc handoff_request_remove(
	int dirfd, int64_t generation, struct err *e);
/* The agent's answer: paused.<generation>.json, as an acknowledgement. */
MUST_CHECK enum rc handoff_paused_write(
	int dirfd, const struct handoff_ack *paused, struct err *e);
MUST_CHECK enum rc handoff_paused_read(
	int dirfd, int64_t generation, struct handoff_ack *ret, struct err *e);

/* The newest generation that any name here has (ack, rotate, paused) and that
 * is not far ahead of `known`; 0: none. A new one is numbered after it: where
 * store and file are lost, and where a number was skipped. */
MUST_CHECK enum rc handoff_newest(
	int dirfd, int64_t known, int64_t *ret, struct err *e);

/*
 * Removes what belongs to generations more than two back (ack, rotate,
 * paused), and our own temporary files that are older than a minute by the
 * clock of their file system.
 */
MUST_CHECK enum rc handoff_clean(int dirfd, int64_t generation, struct err *e);

/* --- what is wrong with it -------------------------------------------------- */

/* X(name, words): what can be wrong with a hand-off as it lies there. */
#define HANDOFF_FINDING_TABLE(X)                                               \
	X(DIR_DEVICE,                                                          \
		"its directory is on another device than handoff.root: "       \
		"unmount what is mounted there")                               \
	X(DIR_WRITABLE,                                                        \
		"its directory, the department's or handoff.root can be "      \
		"written by others than its owner: chmod go-w")                \
	X(DIR_OWNER,                                                           \
		"its directory is not the agent's, which cannot answer "       \
		"there: chown it to handoff.owner")                            \
	X(FILE_MISSING, "there is no " HANDOFF_FILE)                           \
	X(FILE_KIND, HANDOFF_FILE " is no regular file: remove it")            \
	X(FILE_VISIBLE,                                                        \
		HANDOFF_FILE " can be read by others than its owner, who may " \
			     "have done so: rotate the token")                 \
	X(FILE_UNREADABLE,                                                     \
		HANDOFF_FILE " cannot be read by its owner: rotate the token") \
	X(FILE_OWNER,                                                          \
		HANDOFF_FILE " belongs to another user than the agent, which " \
			     "cannot read it: rotate the token")               \
	X(FILE_LINKED,                                                         \
		HANDOFF_FILE " has another name as well (a hard link), by "    \
			     "which it can be read: rotate the token")

enum handoff_finding {
#define X(name, words) HANDOFF_##name,
	HANDOFF_FINDING_TABLE(X)
#undef X
		HANDOFF_FINDINGS
};
const char *handoff_finding_words(enum handoff_finding finding);

/*
 * What is wrong with the hand-off in the directory of handoff_path(), whose owner
 * should be uid:gid (-1: file and directory of one owner): *ret has bit 1 << f
 * for each finding f, 0 when all is well. Only looks at owners and modes, so
 * that the token is read by nobody. As handoff_dir_find(): RC_NOT_FOUND when
 * there is no directory, RC_IO also for a symbolic link in its place.
 */
MUST_CHECK enum rc handoff_inspect(const char *path, int64_t uid, int64_t gid,
	uint32_t *ret, struct err *e);

#endif
