/*
 * Writing the file: never back in generations, never over what a newer version
 * wrote, and proved by reading it again.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

static enum rc encode(const struct handoff *h, struct buf *out, struct err *e)
{
	char sum[SHA256_HEX];
	handoff_digest(h, sum);
	if (!*sum)
		return err_nomem(e);
	struct jb jb;
	jb_init(&jb, out);
	jb_obj(&jb, NULL);
	jb_int(&jb, "muster", HANDOFF_FORMAT);
	jb_int(&jb, "generation", h->generation);
	jb_str(&jb, "user_id", h->user_id);
	jb_str(&jb, "device_id", h->device_id);
	jb_str(&jb, "homeserver", h->homeserver);
	if (h->revoked_ms) {
		jb_int(&jb, "revoked_ms", h->revoked_ms);
	} else {
		jb_str(&jb, "access_token", secret_bytes(&h->access_token));
		jb_int(&jb, "issued_ms", h->issued_ms);
	}
	jb_str(&jb, "sha256", sum);
	jb_end_obj(&jb);
	buf_addc(out, '\n');
	if (buf_rc(out) == RC_TOO_LARGE)
		return err_set(e, RC_TOO_LARGE,
			HANDOFF_FILE ": would be larger than %zu bytes",
			out->max);
	return buf_rc(out) == RC_OK ? RC_OK : err_nomem(e);
}

/* Who wrote the file that is there, and when, as far as it shows. */
static void tell_writer(int dirfd, char out[64])
{
	struct stat st;
	char when[25];
	snprintf(out, 64, "of an unknown writer");
	if (fstatat(dirfd, HANDOFF_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	int64_t s = (int64_t)st.st_mtime;
	if (s > INT64_MAX / 1000)
		s = INT64_MAX / 1000;
	clock_format(s < 0 ? 0 : s * 1000, when);
	snprintf(
		out, 64, "written %s, uid %lu", when, (unsigned long)st.st_uid);
}

/* What is there may be replaced: nothing, something damaged, or older; or of a
 * number that the generation before ours could not lead to. */
static enum rc may_replace(int dirfd, const struct handoff *h, struct err *e)
{
	struct handoff old = { 0 };
	char writer[64];
	enum rc rc = handoff_look(dirfd, &old, e);
	if (handoff_is_none(rc))
		return RC_OK;
	if (rc == RC_OK && old.generation >= h->generation &&
		!handoff_is_far(old.generation, h->generation - 1)) {
		tell_writer(dirfd, writer);
		rc = err_set(e, RC_EXISTS,
			HANDOFF_FILE ": holds generation %lld (%s), which "
				     "%lld must not replace",
			(long long)old.generation, writer,
			(long long)h->generation);
	}
	handoff_fini(&old);
	return rc;
}

static bool same_who(const struct handoff *a, const struct handoff *b)
{
	return text_eq(a->user_id, b->user_id) &&
		text_eq(a->device_id, b->device_id) &&
		text_eq(a->homeserver, b->homeserver);
}

static bool same(const struct handoff *a, const struct handoff *b)
{
	return a->generation == b->generation && a->issued_ms == b->issued_ms &&
		a->revoked_ms == b->revoked_ms && same_who(a, b) &&
		(a->revoked_ms ||
			secret_equal(&a->access_token,
				secret_bytes(&b->access_token),
				b->access_token.n));
}

static enum rc check_owner(int dirfd, int64_t uid, int64_t gid, struct err *e)
{
	struct stat st;
	if (fstatat(dirfd, HANDOFF_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return file_error(e, errno, HANDOFF_FILE);
	if ((st.st_mode & 0777) == 0600 &&
		(uid == -1 || st.st_uid == (uid_t)uid) &&
		(gid == -1 || st.st_gid == (gid_t)gid))
		return RC_OK;
	return err_set(e, RC_IO,
		HANDOFF_FILE ": has mode %03o and owner %lu:%lu after it was "
			     "written, expected mode 600 and owner %lld:%lld",
		(unsigned)st.st_mode & 0777u, (unsigned long)st.st_uid,
		(unsigned long)st.st_gid, (long long)uid, (long long)gid);
}

/* The file as a reader finds it is h. */
static enum rc read_back(int dirfd, const struct handoff *h, int64_t uid,
	int64_t gid, struct err *e)
{
	struct handoff got = { 0 };
	enum rc rc = handoff_look(dirfd, &got, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "reading it back");
	if (!same(&got, h))
		rc = err_set(e, RC_BUSY,
			HANDOFF_FILE ": somebody else wrote generation %lld "
				     "over ours",
			(long long)got.generation);
	handoff_fini(&got);
	return rc == RC_OK ? check_owner(dirfd, uid, gid, e) : rc;
}

static bool somebody_else(int64_t uid, int64_t gid)
{
	return (uid != -1 && (uid_t)uid != geteuid()) ||
		(gid != -1 && (gid_t)gid != getegid());
}

/* Whether the lock can be had, now that a file can be written. */
static enum rc try_lock(int dirfd, struct err *e)
{
	int lock = -1;
	enum rc rc = handoff_lock(dirfd, &lock, e);
	if (lock >= 0)
		close(lock);
	return rc;
}

enum rc handoff_writable(int dirfd, int64_t uid, int64_t gid, struct err *e)
{
	struct stat st;
	struct err why = { 0 };
	if (fstatat(dirfd, HANDOFF_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISDIR(st.st_mode))
		return err_set(e, RC_IO,
			HANDOFF_FILE ": is a directory, which no file can "
				     "replace: remove it");
	enum rc rc = file_try_at(dirfd, HANDOFF_FILE, 0600, uid, gid, &why);
	if (rc == RC_OK)
		return try_lock(dirfd, e);
	return err_set(e, rc, "%s%s", why.text,
		somebody_else(uid, gid) ? " (" HANDOFF_OWNER_NEEDS ")" : "");
}

/* Writes what may be written, and reads it again. */
static enum rc put(int dirfd, const struct handoff *h, int64_t uid, int64_t gid,
	struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_HANDOFF_FILE);
	enum rc rc = encode(h, &text, e);
	if (rc == RC_OK)
		rc = file_replace_at(
			dirfd, HANDOFF_FILE, text.p, text.n, 0600, uid, gid, e);
	buf_wipe(&text);
	if (rc == RC_OK)
		return read_back(dirfd, h, uid, gid, e);
	if (read_back(dirfd, h, uid, gid, NULL) == RC_OK && fsync(dirfd) == 0)
		return RC_OK; /* NFS may report a rename that happened as
				 failed */
	return rc;
}

static enum rc write_locked(int dirfd, const struct handoff *h, int64_t uid,
	int64_t gid, struct err *e)
{
	enum rc rc = may_replace(dirfd, h, e);
	if (rc == RC_OK)
		/* Before the file is there: afterwards it may be its
		 * reader's. */
		rc = handoff_remove(dirfd, HANDOFF_ACK, h->generation, e);
	return rc == RC_OK ? put(dirfd, h, uid, gid, e) : rc;
}

enum rc handoff_write(int dirfd, const struct handoff *h, int64_t uid,
	int64_t gid, struct err *e)
{
	int lock = -1;
	enum rc rc = handoff_lock(dirfd, &lock, e);
	if (rc == RC_OK)
		rc = write_locked(dirfd, h, uid, gid, e);
	if (lock >= 0)
		close(lock);
	return rc;
}

/* The same again: owner and mode are then as they should be, and whoever has
 * the old file open, or another name of it, has no part in the new one. */
static enum rc write_again(int dirfd, int64_t uid, int64_t gid, struct err *e)
{
	struct handoff h = { 0 };
	enum rc rc = handoff_look(dirfd, &h, e);
	if (rc == RC_OK)
		rc = put(dirfd, &h, uid, gid, e);
	handoff_fini(&h);
	return rc;
}

static enum rc settle_locked(int dirfd, int64_t uid, int64_t gid, struct err *e)
{
	if (check_owner(dirfd, uid, gid, NULL) != RC_OK)
		return write_again(dirfd, uid, gid, e);
	/* EINVAL: a file system without directories to sync. */
	if (fsync(dirfd) != 0 && errno != EINVAL)
		return file_error(e, errno, "the directory of " HANDOFF_FILE);
	return RC_OK;
}

enum rc handoff_settle(int dirfd, int64_t uid, int64_t gid, struct err *e)
{
	int lock = -1;
	enum rc rc = handoff_lock(dirfd, &lock, e);
	if (rc == RC_OK)
		rc = settle_locked(dirfd, uid, gid, e);
	if (lock >= 0)
		close(lock);
	return rc;
}

/* --- the tombstone ------------------------------------------------------- */

/* What is there may end: *done when it has. */
static enum rc may_bury(
	int dirfd, const struct handoff *h, bool *done, struct err *e)
{
	struct handoff old = { 0 };
	char writer[64];
	enum rc rc = handoff_look(dirfd, &old, e);
	*done = rc == RC_OK && old.revoked_ms &&
		old.generation == h->generation && same_who(&old, h);
	if (handoff_is_none(rc))
		return RC_OK;
	if (rc == RC_OK && old.generation > h->generation &&
		!handoff_is_far(old.generation, h->generation)) {
		tell_writer(dirfd, writer);
		rc = err_set(e, RC_EXISTS,
			HANDOFF_FILE ": holds generation %lld (%s), and only "
				     "%lld and older are to be revoked",
			(long long)old.generation, writer,
			(long long)h->generation);
	}
	handoff_fini(&old);
	return rc;
}

static enum rc bury_locked(int dirfd, const struct handoff *h, int64_t uid,
	int64_t gid, struct err *e)
{
	bool done = false;
	enum rc rc = may_bury(dirfd, h, &done, e);
	if (rc != RC_OK)
		return rc;
	return done ? settle_locked(dirfd, uid, gid, e)
		    : put(dirfd, h, uid, gid, e);
}

static enum rc bury(int dirfd, const struct handoff *h, int64_t uid,
	int64_t gid, struct err *e)
{
	int lock = -1;
	/* Who keeps it locked does not keep the token. */
	if (handoff_lock(dirfd, &lock, NULL) != RC_OK)
		lock = -1;
	enum rc rc = bury_locked(dirfd, h, uid, gid, e);
	if (lock >= 0)
		close(lock);
	return rc;
}

static enum rc bury_below(const char *path, const struct handoff *h,
	int64_t uid, int64_t gid, struct err *e)
{
	int fd = -1;
	enum rc rc = handoff_dir_find(path, &fd, e);
	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	rc = bury(fd, h, uid, gid, e);
	close(fd);
	return rc;
}

enum rc handoff_revoke(const char *path, const struct handoff_grave *g,
	int64_t uid, int64_t gid, struct err *e)
{
	struct handoff h = { 0 };
	enum rc rc = handoff_set_revoked(&h, g);
	if (rc != RC_OK)
		return err_set(e, rc, "a tombstone: %s", rc_words(rc));
	rc = bury_below(path, &h, uid, gid, e);
	if (rc == RC_STALE)
		rc = bury_below(path, &h, uid, gid, e);
	handoff_fini(&h);
	return rc;
}
