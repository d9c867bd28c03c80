/*
 * The files that an agent of OpenClaw starts from, copied into its own
 * workspace. What was copied is remembered by its digest, so that a file that
 * the agent has never touched follows the fleet's, and its own work stays.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/ways_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

static const char *const names[] = { "IDENTITY.md", "AGENTS.md", "SOUL.md",
	"PROTOCOL.md", "HEARTBEAT.md", "TOOLS.md", "USER.md", "org.json" };
#define NAMES ARRAY_LEN(names)

struct copying {
	int from, to; /* directories */
	const char *from_path, *to_path;
	char copied[NAMES][SHA256_HEX]; /* digests; "": never */
	struct buf text;                /* one file at a time */
};

/* --- what was copied -------------------------------------------------- */

/* A memory that is damaged is none: then what is there is the agent's own. */
static enum rc recall(struct copying *c, const char *memory, struct err *e)
{
	struct json *doc = NULL;
	struct buf text;

	buf_init(&text, LIMIT_SMALL_BODY);
	enum rc rc = file_read(memory, &text, e);
	if (rc == RC_OK &&
		json_parse(buf_str(&text), text.n, NULL, &doc, NULL) == RC_OK)
		for (size_t i = 0; i < NAMES; i++) {
			const char *s = js_get_str(json_root(doc), names[i]);
			if (s && strlen(s) == SHA256_HEX - 1)
				snprintf(c->copied[i], SHA256_HEX, "%s", s);
		}
	json_free(doc);
	buf_free(&text);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc remember(
	const struct copying *c, const char *memory, struct err *e)
{
	struct buf text;
	struct jb jb;

	buf_init(&text, LIMIT_SMALL_BODY);
	jb_init(&jb, &text);
	jb_obj(&jb, NULL);
	for (size_t i = 0; i < NAMES; i++)
		if (*c->copied[i])
			jb_str(&jb, names[i], c->copied[i]);
	jb_end_obj(&jb);
	buf_addc(&text, '\n');
	enum rc rc = buf_rc(&text) == RC_OK
		? file_replace(memory, text.p, text.n, 0600, e)
		: err_nomem(e);
	buf_free(&text);
	return rc;
}

/* --- one file --------------------------------------------------------- */

/* The digest of a file, whose text is in c->text then; "" when it is not
 * there. */
static enum rc digest_of(struct copying *c, int dirfd, const char *name,
	char ret[SHA256_HEX], struct err *e)
{
	*ret = '\0';
	enum rc rc = file_read_at(dirfd, name, &c->text, e);
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK && !sha256_hex(buf_str(&c->text), c->text.n, ret))
		return err_nomem(e);
	return rc;
}

enum verdict { LEAVE, TAKE, KNOW }; /* KNOW: as it is there already */

/* What to do about a file that has the digest `want` where it comes from and
 * `have` where it goes. */
static enum verdict judge(
	const char *want, const char *have, const char *copied)
{
	if (!*want)
		return LEAVE;
	if (text_eq(want, have))
		return KNOW;
	/* Neither there nor ever copied, or as it was copied. */
	return text_eq(have, copied) ? TAKE : LEAVE;
}

/* As digest_of(); what is no file of ours (a link, a directory, something huge)
 * is RC_EXISTS. */
static enum rc look_at(struct copying *c, int dirfd, const char *path,
	const char *name, char ret[SHA256_HEX], struct err *e)
{
	enum rc rc = digest_of(c, dirfd, name, ret, e);
	if (rc == RC_OK)
		return rc;
	err_wrap(e, rc, "%s", path);
	return rc == RC_INVALID || rc == RC_TOO_LARGE ? RC_EXISTS : rc;
}

/* c->text is the file that is to be there. */
static enum rc take(struct copying *c, const char *name, struct err *e)
{
	enum rc rc = file_replace_at(
		c->to, name, buf_str(&c->text), c->text.n, 0644, -1, -1, e);
	return rc == RC_OK ? rc : err_wrap(e, rc, "%s", c->to_path);
}

/* *changed when there is something new to remember. */
static enum rc copy_one(
	struct copying *c, size_t i, bool *changed, struct err *e)
{
	char want[SHA256_HEX], have[SHA256_HEX];
	const char *name = names[i];

	/* First where it goes, so that c->text is what comes. */
	enum rc rc = look_at(c, c->to, c->to_path, name, have, e);
	if (rc == RC_OK)
		rc = look_at(c, c->from, c->from_path, name, want, e);
	if (rc == RC_EXISTS) {
		say("%s: not copied", e->text);
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	enum verdict verdict = judge(want, have, c->copied[i]);
	if (verdict == TAKE)
		rc = take(c, name, e);
	if (rc != RC_OK || verdict == LEAVE || text_eq(want, c->copied[i]))
		return rc;
	snprintf(c->copied[i], SHA256_HEX, "%s", want);
	*changed = true;
	return RC_OK;
}

/* --- all of them ------------------------------------------------------ */

static enum rc open_dir(const char *path, int flags, int *ret, struct err *e)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	if (*ret >= 0)
		return RC_OK;
	int why = errno;
	return err_set(e, why == ENOENT ? RC_NOT_FOUND : RC_IO,
		"the workspace %s: %s", path,
		why == ENOTDIR && flags ? "a symbolic link, or no directory"
					: strerror(why));
}

static bool same_directory(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
		x.st_ino == y.st_ino;
}

static enum rc copy_all(struct copying *c, const char *memory, struct err *e)
{
	bool changed = false;
	enum rc rc = recall(c, memory, e);
	for (size_t i = 0; rc == RC_OK && i < NAMES; i++)
		rc = copy_one(c, i, &changed, e);
	/* Also what was done before something failed. */
	if (changed) {
		enum rc kept = remember(c, memory, rc == RC_OK ? e : NULL);
		rc = rc == RC_OK ? kept : rc;
	}
	return rc;
}

enum rc workspace_copy(
	const char *from, const char *to, const char *memory, struct err *e)
{
	struct copying c = {
		.from = -1, .to = -1, .from_path = from, .to_path = to
	};
	buf_init(&c.text, LIMIT_ORG_FILE);
	enum rc rc = open_dir(from, 0, &c.from, e);
	if (rc != RC_OK)
		goto out;
	rc = file_mkdirs(to, 0755, e);
	if (rc == RC_OK)
		rc = open_dir(to, O_NOFOLLOW, &c.to, e);
	if (rc == RC_OK && !same_directory(c.from, c.to))
		rc = copy_all(&c, memory, e);
out:
	buf_free(&c.text);
	if (c.from >= 0)
		close(c.from);
	if (c.to >= 0)
		close(c.to);
	return rc;
}
