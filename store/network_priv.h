/*
 * store/network_priv.h: a store on a network file system. Locks alone do not
 * keep two services apart there: one that was cut off, or stood still, goes on
 * where it was. So one of them at a time has the lease (lease.c), and each
 * begins with a file of its own, state.<epoch>.db, made from that of the one
 * before (epoch.c): whatever an older one still writes, it writes into a file
 * that nobody reads any more.
 */
#ifndef STORE_NETWORK_PRIV_H
#define STORE_NETWORK_PRIV_H

#include <stdint.h>

#include "store/store.h"

/* What the network file systems have in statfs(2)'s f_type. */
bool network_is_magic(uint32_t magic);
/* Whether the store in this directory is to be kept as one of a network. */
MUST_CHECK enum rc network_wanted(
	const char *dir, enum store_place place, bool *ret, struct err *e);

/* --- lease_who.c: a process, so that its end is known ------------------------ */

struct who {
	char host[256];
	char boot[64];  /* the boot that it is of; "": not known */
	char space[64]; /* its namespace of process ids; "" */
	int64_t pid;
	char began[32]; /* tells it from a later one of this number */
};

/* Of this process; what cannot be found out is "". */
void who_am_i(struct who *ret);
/* Ran on this machine, and does no more. */
bool who_is_dead(const struct who *w);

/* --- lease_record.c ------------------------------------------------------------ */

/* Each epoch writes in a page of its own: two clients never share one, of which
 * the one would write back what it remembers of the other's. */
#define LEASE_SLOTS 16
#define LEASE_SLOT 4096
#define LEASE_RECORD 1024
#define LEASE_BYTES ((off_t)LEASE_SLOTS * LEASE_SLOT)
#define LEASE_EPOCH_MAX (INT64_C(1) << 40)
/* The byte that an epoch locks is so far behind those that are written. */
#define LEASE_LOCKS_AT (INT64_C(1) << 50)

/* What who has the lease says there, over and over. */
struct lease_record {
	int64_t epoch, beat;
	char store[256]; /* the name of the file that is configured */
	struct who who;
	int64_t since_ms;    /* of its own clock: for people */
	int64_t takeover_ms; /* for so long it may be silent */
	bool ended;
};
/* The record of a slot; false: there is none that can be read. */
bool lease_record_read(
	const char slot[LEASE_RECORD], int index, struct lease_record *ret);
/* Onto the disk. errno says why it failed. */
MUST_CHECK bool lease_record_write(int fd, const struct lease_record *r);
/* Opens the file, never anything else in its place, which lease_spoiled() says;
 * RC_NOT_FOUND. */
MUST_CHECK enum rc lease_open(
	const char *path, int flags, int *ret, struct err *e);
/* RC_IO: what it is ("is a pipe"), what it must be, and what to do. */
enum rc lease_spoiled(const char *path, const char *what, struct err *e);
/* The newest record of the file, by the epoch, and its bytes; epoch 0: there is
 * none. The file is opened each time, which makes NFS show what is there now. */
MUST_CHECK enum rc lease_record_newest(const char *path,
	struct lease_record *ret, char raw[LEASE_RECORD], struct err *e);
/* "pid 12 on HOST since 2026-01-02T03:04:05.678Z" */
void lease_record_words(const struct lease_record *r, char *out, size_t room);

/* --- lease.c ------------------------------------------------------------------ */

struct lease;

/*
 * Takes the lease of the directory, by waiting if need be and as options say:
 * RC_BUSY when they do not wait, RC_STOPPING when they do no more; RC_INVALID
 * when it is that of a store of another name. From then on
 * it is held: a thread writes the heartbeat, another one looks at how old it is.
 */
MUST_CHECK enum rc lease_take(const char *dir, const char *store,
	const struct store_options *o, struct lease **ret, struct err *e);
/* The directory's lease is another store's. */
MUST_CHECK enum rc lease_is_foreign(
	const char *dir, const char *store, bool *foreign, struct err *e);
int64_t lease_epoch(const struct lease *l);
/* It was taken from one who was silent, and may be there still. */
bool lease_was_silent(const struct lease *l);
/* RC_STOPPING, for ever, once the heartbeat is late. */
MUST_CHECK enum rc lease_may_act(struct lease *l, struct err *e);
/* Who was allowed to act has so long before anybody else may be. */
int64_t lease_act_ms(const struct lease *l);
/* Says that it has ended, unless it is lost. */
void lease_free(struct lease *l);
/* For who only looks: somebody has it now. */
MUST_CHECK enum rc lease_is_held(const char *dir, bool *held,
	struct store_holder *holder, struct err *e);

/* --- epoch.c ------------------------------------------------------------------- */

struct epochs {
	int64_t newest; /* of a database that is whole; 0: there is none */
	int64_t before; /* of the one before it; 0 */
	int64_t top;    /* of any file */
};
/* By a look at the directory that is new each time. */
MUST_CHECK enum rc epochs_look(
	const char *dir, struct epochs *ret, struct err *e);
/* "<dir>/state.<epoch><suffix>"; free it. */
MUST_CHECK char *epoch_path(const char *dir, int64_t epoch, const char *suffix);
#define EPOCH_DB ".db"

/*
 * Makes the database of the lease's epoch: a copy of the newest one, or of the
 * file at `path` where there is none, or an empty one. It is there whole or not
 * at all, and is what counts from then on; what is older than the one it was
 * made of is removed.
 */
MUST_CHECK enum rc epoch_begin(
	const char *dir, const char *path, struct lease *l, struct err *e);
/* Back to the file at `path`; nothing else is left afterwards. */
MUST_CHECK enum rc epoch_bring_home(
	const char *dir, const char *path, struct lease *l, struct err *e);
/* What is left of epochs of which none is whole, while nobody makes one. */
void epoch_tidy(const char *dir);

#endif
