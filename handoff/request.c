/*
 * The service asks for a pause before a rotation, and takes it back when
 * nothing comes of it.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define TRIES 8 /* newer names that hold no request */

static bool why_ok(const char *why)
{
	return !*why || handoff_value_ok(why, HANDOFF_WHY_MAX);
}

static enum rc get_why(struct js file, const char *name,
	char out[HANDOFF_WHY_MAX + 1], struct err *e)
{
	const char *why = js_get_str(file, "why");
	if (!why || !why_ok(why))
		return err_set(e, RC_CORRUPT,
			"%s: \"why\" is no text, longer than %d bytes or has "
			"control characters",
			name, HANDOFF_WHY_MAX);
	memcpy(out, why, strlen(why) + 1);
	return RC_OK;
}

static enum rc decode(struct js file, const char *name, int64_t generation,
	struct handoff_request *ret, struct err *e)
{
	struct handoff_request q = { .generation = generation };
	enum rc rc =
		handoff_get_number(file, name, "wait_ms", 1, &q.wait_ms, e);
	if (rc == RC_OK)
		rc = get_why(file, name, q.why, e);
	if (rc != RC_OK)
		return rc;
	if (q.wait_ms > HANDOFF_WAIT_MAX_MS)
		q.wait_ms = HANDOFF_WAIT_MAX_MS;
	*ret = q;
	return RC_OK;
}

enum rc handoff_request_read(int dirfd, int64_t generation,
	struct handoff_request *ret, struct err *e)
{
	char name[HANDOFF_NAME_MAX];
	struct json *doc = NULL;
	enum rc rc = handoff_note_load(
		dirfd, HANDOFF_ROTATE, generation, name, &doc, e);
	if (rc == RC_OK)
		rc = decode(json_root(doc), name, generation, ret, e);
	json_free(doc);
	return rc;
}

static bool writable(const struct handoff_request *q)
{
	return q->generation >= 1 && q->generation <= HANDOFF_GENERATION_MAX &&
		q->wait_ms >= 1 && q->wait_ms <= HANDOFF_WAIT_MAX_MS &&
		why_ok(q->why);
}

/* A damaged request is none: it may be written over. */
static enum rc may_ask(
	int dirfd, const struct handoff_request *q, struct err *e)
{
	struct handoff_request old;
	enum rc rc = handoff_request_read(dirfd, q->generation, &old, e);
	if (handoff_is_none(rc))
		return RC_OK;
	return rc != RC_OK
		? rc
		: err_set(e, RC_EXISTS, "generation %lld is asked for already",
			  (long long)q->generation);
}

static enum rc ask(int dirfd, const struct handoff_request *q, int64_t uid,
	int64_t gid, struct err *e)
{
	struct handoff_note n;
	handoff_note_begin(&n, HANDOFF_ROTATE, q->generation);
	jb_int(&n.jb, "wait_ms", q->wait_ms);
	jb_str(&n.jb, "why", q->why);
	return handoff_note_put(&n, dirfd, uid, gid, e);
}

enum rc handoff_request_write(int dirfd, const struct handoff_request *q,
	int64_t uid, int64_t gid, struct err *e)
{
	if (!writable(q))
		return err_set(e, RC_INVALID,
			"a request's generation must be from 1, its time from "
			"1 to %lld ms, its reason up to %d bytes without "
			"control characters",
			(long long)HANDOFF_WAIT_MAX_MS, HANDOFF_WHY_MAX);
	enum rc rc = may_ask(dirfd, q, e);
	if (rc == RC_OK)
		rc = handoff_remove(dirfd, HANDOFF_PAUSED, q->generation, e);
	return rc == RC_OK ? ask(dirfd, q, uid, gid, e) : rc;
}

struct asked {
	int64_t known, below, generation;
};

static void note_asked(int dirfd, const char *name, void *arg)
{
	(void)dirfd;
	struct asked *a = arg;
	struct str kind;
	int64_t of = handoff_name_generation(str_of(name), &kind);
	if (str_eq(kind, HANDOFF_ROTATE) && of > a->known && of < a->below &&
		of > a->generation && !handoff_is_far(of, a->known))
		a->generation = of;
}

/* What holds no request is passed over, or a stranger's name would hide the one
 * that there is; not any number of such, as this is asked every second. */
enum rc handoff_request_newest(
	int dirfd, int64_t known, int64_t *ret, struct err *e)
{
	struct asked a = { .known = known, .below = INT64_MAX };
	struct handoff_request q;
	for (int i = 0; i < TRIES; i++) {
		a.generation = 0;
		enum rc rc = handoff_each_name(dirfd, note_asked, &a, e);
		if (rc != RC_OK)
			return rc;
		if (a.generation == 0 ||
			!handoff_is_none(handoff_request_read(
				dirfd, a.generation, &q, NULL)))
			break;
		a.below = a.generation;
		a.generation = 0;
	}
	*ret = a.generation;
	return RC_OK;
}

enum rc handoff_remove(
	int dirfd, const char *kind, int64_t generation, struct err *e)
{
	char name[HANDOFF_NAME_MAX];
	handoff_name(kind, generation, name);
	/* A directory of that name says nothing. */
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT || errno == EISDIR)
		return RC_OK;
	return file_error(e, errno, "%s: cannot be removed", name);
}

enum rc handoff_request_remove(int dirfd, int64_t generation, struct err *e)
{
	return handoff_remove(dirfd, HANDOFF_ROTATE, generation, e);
}

int64_t handoff_request_left_ms(int dirfd, const struct handoff_request *q)
{
	char name[HANDOFF_NAME_MAX];
	struct stat st;
	time_t now;
	handoff_name(HANDOFF_ROTATE, q->generation, name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		file_clock_at(dirfd, name, &now, NULL) != RC_OK ||
		now - st.st_mtim.tv_sec > q->wait_ms / 1000)
		return 0;
	int64_t age_ms = (int64_t)(now - st.st_mtim.tv_sec) * 1000;
	return age_ms < 0 ? q->wait_ms : q->wait_ms - age_ms;
}
