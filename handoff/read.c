/*
 * Reading what lies in a shared directory: anything may lie there, so nothing
 * is followed, waited for, or believed before its digest is right.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

static bool is_trusted(int dirfd, uid_t uid)
{
	struct stat dir;
	return uid == 0 || uid == geteuid() ||
		(fstat(dirfd, &dir) == 0 && uid == dir.st_uid);
}

/* It is a file that one of us can have written, and nobody else's under a
 * second name. */
static enum rc check_file(
	int dirfd, const char *name, const struct stat *st, struct err *e)
{
	if (!S_ISREG(st->st_mode))
		return err_set(e, RC_CORRUPT,
			"%s: is %s, expected a regular file", name,
			kind_of(st->st_mode));
	if (st->st_nlink > 1)
		return err_set(e, RC_CORRUPT,
			"%s: has %lu names (hard links), so that it may be "
			"another's: it is not taken for ours",
			name, (unsigned long)st->st_nlink);
	if (!is_trusted(dirfd, st->st_uid))
		return err_set(e, RC_CORRUPT,
			"%s: belongs to uid %lu, who is neither we, nor root, "
			"nor the owner of its directory: it is not taken for "
			"ours",
			name, (unsigned long)st->st_uid);
	return RC_OK;
}

static enum rc not_readable(
	const char *name, const struct stat *st, struct err *e)
{
	return err_set(e, RC_IO,
		"%s: belongs to uid %lu, mode %03o, and we are uid %lu: run "
		"the service and the agent as one user, or set handoff.owner "
		"(the service then needs CAP_CHOWN and CAP_DAC_OVERRIDE)",
		name, (unsigned long)st->st_uid, (unsigned)st->st_mode & 0777u,
		(unsigned long)geteuid());
}

/* A name that was looked at, and is another now or cannot be opened. */
static enum rc not_opened(const char *name, int error, struct err *e)
{
	if (error == ENOENT)
		return err_set(e, RC_NOT_FOUND, "%s: is not there", name);
	if (error == ELOOP || error == ENXIO)
		return err_set(e, RC_CORRUPT,
			"%s: is a %s, expected a regular file", name,
			error == ELOOP ? "symbolic link" : "socket");
	return file_error(e, error, "%s", name);
}

static enum rc read_all(
	int fd, const char *name, struct buf *out, struct err *e)
{
	char piece[4096];
	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_error(e, errno, "%s", name);
		if (n == 0)
			break;
		buf_addn(out, piece, (size_t)n);
		if (buf_rc(out) != RC_OK)
			break;
	}
	wipe(piece, sizeof(piece));
	if (buf_rc(out) == RC_TOO_LARGE)
		return err_set(e, RC_TOO_LARGE,
			"%s: is larger than %zu bytes, no file of ours", name,
			out->max);
	return buf_rc(out) == RC_OK ? RC_OK : err_nomem(e);
}

static enum rc read_regular(
	int dirfd, const char *name, struct buf *out, struct err *e)
{
	struct stat st;
	/* Before it is opened: that alone has an effect on some devices. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return not_opened(name, errno, e);
	enum rc rc = check_file(dirfd, name, &st, e);
	if (rc != RC_OK)
		return rc;
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	int fd = openat(dirfd, name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return not_readable(name, &st, e);
	if (fd < 0)
		return not_opened(name, errno, e);
	/* Again: it may be another one by now. */
	if (fstat(fd, &st) != 0)
		rc = file_error(e, errno, "%s", name);
	else
		rc = check_file(dirfd, name, &st, e);
	if (rc == RC_OK)
		rc = read_all(fd, name, out, e);
	close(fd);
	return rc;
}

enum rc handoff_load(
	int dirfd, const char *name, struct json **ret, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_HANDOFF_FILE);
	enum rc rc = read_regular(dirfd, name, &text, e);
	if (rc == RC_STALE) { /* replaced on another host while it was read */
		buf_clear(&text);
		rc = read_regular(dirfd, name, &text, e);
	}
	if (rc == RC_OK && text.n == 0)
		rc = err_set(e, RC_CORRUPT, "%s: is empty", name);
	if (rc == RC_OK) {
		/* The parser's own words may quote the token. */
		rc = json_parse(text.p, text.n, NULL, ret, NULL);
		if (rc == RC_NOMEM)
			rc = err_nomem(e);
		else if (rc != RC_OK)
			rc = err_set(e, RC_CORRUPT,
				"%s: is not a JSON object: torn while it was "
				"written, or not ours",
				name);
	}
	buf_wipe(&text);
	return rc;
}

static enum rc bad_field(struct js file, const char *name, const char *key,
	const char *expected, struct err *e)
{
	if (!js_has(file, key))
		return err_set(
			e, RC_CORRUPT, "%s: \"%s\" is missing", name, key);
	return err_set(e, RC_CORRUPT, "%s: \"%s\" is %s, expected %s", name,
		key, js_type_name(js_type(js_get(file, key))), expected);
}

enum rc handoff_get_text(struct js file, const char *name, const char *key,
	size_t max, const char **ret, struct err *e)
{
	const char *s = js_get_str(file, key);
	if (!s)
		return bad_field(file, name, key, "a string", e);
	if (!handoff_value_ok(s, max))
		return err_set(e, RC_CORRUPT,
			"%s: \"%s\" is empty, longer than %zu bytes or has "
			"control characters",
			name, key, max);
	*ret = s;
	return RC_OK;
}

enum rc handoff_get_number(struct js file, const char *name, const char *key,
	int64_t min, int64_t *ret, struct err *e)
{
	if (js_i64(js_get(file, key), min, JSON_INT_MAX, ret))
		return RC_OK;
	if (js_type(js_get(file, key)) == JS_INT)
		return err_set(
			e, RC_CORRUPT, "%s: \"%s\" is out of range", name, key);
	return bad_field(file, name, key, "a whole number", e);
}

static enum rc check_format(struct js file, struct err *e)
{
	int64_t format;
	if (!js_has(file, "muster"))
		return err_set(e, RC_CORRUPT,
			HANDOFF_FILE ": \"muster\" is missing: the file was "
				     "not written by muster");
	enum rc rc =
		handoff_get_number(file, HANDOFF_FILE, "muster", 1, &format, e);
	if (rc == RC_OK && format > HANDOFF_FORMAT)
		return err_set(e, RC_VERSION,
			HANDOFF_FILE ": has format %lld, made by a newer "
				     "muster; this one knows up to %d: "
				     "upgrade this side",
			(long long)format, HANDOFF_FORMAT);
	return rc;
}

/* What the file says; borrowed from its document. */
struct fields {
	struct handoff_grave who; /* revoked_ms 0: a hand-off */
	int64_t issued_ms;
	const char *token, *sum;
};

/* What a hand-off has, or a tombstone; what has both is neither. */
static enum rc read_rest(struct js file, struct fields *f, struct err *e)
{
	static const char name[] = HANDOFF_FILE;
	if (js_has(file, "revoked_ms") && js_has(file, "access_token"))
		return err_set(e, RC_CORRUPT,
			"%s: has \"access_token\" and \"revoked_ms\"", name);
	if (js_has(file, "revoked_ms"))
		return handoff_get_number(
			file, name, "revoked_ms", 1, &f->who.revoked_ms, e);
	enum rc rc = handoff_get_text(
		file, name, "access_token", LIMIT_HANDOFF_FILE, &f->token, e);
	if (rc == RC_OK)
		rc = handoff_get_number(
			file, name, "issued_ms", 0, &f->issued_ms, e);
	return rc;
}

static enum rc read_fields(struct js file, struct fields *f, struct err *e)
{
	static const char name[] = HANDOFF_FILE;
	const struct {
		const char *key;
		size_t max;
		const char **ret;
	} texts[] = {
		{ "user_id", LIMIT_ID, &f->who.user_id },
		{ "device_id", LIMIT_ID, &f->who.device_id },
		{ "homeserver", LIMIT_HANDOFF_FILE, &f->who.homeserver },
	};
	enum rc rc = handoff_get_number(
		file, name, "generation", 1, &f->who.generation, e);
	if (rc == RC_OK && f->who.generation > HANDOFF_GENERATION_MAX)
		rc = err_set(e, RC_CORRUPT,
			"%s: \"generation\" is larger than any generation",
			name);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(texts); i++)
		rc = handoff_get_text(file, name, texts[i].key, texts[i].max,
			texts[i].ret, e);
	if (rc == RC_OK)
		rc = read_rest(file, f, e);
	if (rc == RC_OK)
		rc = handoff_get_text(
			file, name, "sha256", SHA256_HEX - 1, &f->sum, e);
	return rc;
}

static enum rc check_digest(
	const struct handoff *h, const char *sum, struct err *e)
{
	char want[SHA256_HEX];
	handoff_digest(h, want);
	if (text_eq(sum, want))
		return RC_OK;
	return err_set(e, RC_CORRUPT,
		HANDOFF_FILE ": \"sha256\" is not that of its fields: damaged, "
			     "or written by something else");
}

static enum rc take_token(const struct fields *f, struct handoff *h)
{
	struct secret token = { 0 };
	enum rc rc = secret_set(&token, f->token, strlen(f->token));
	if (rc == RC_OK)
		rc = handoff_set(h, f->who.generation, f->who.user_id,
			f->who.device_id, f->who.homeserver, &token,
			f->issued_ms);
	secret_fini(&token);
	return rc;
}

static enum rc decode(struct js file, struct handoff *ret, struct err *e)
{
	struct fields f = { 0 };
	struct handoff h = { 0 };

	enum rc rc = check_format(file, e);
	if (rc == RC_OK)
		rc = read_fields(file, &f, e);
	if (rc != RC_OK)
		return rc;
	/* The fields are good, so only memory can be wanting. */
	rc = f.who.revoked_ms ? handoff_set_revoked(&h, &f.who)
			      : take_token(&f, &h);
	rc = rc == RC_OK ? check_digest(&h, f.sum, e) : err_nomem(e);
	if (rc == RC_OK)
		*ret = h;
	else
		handoff_fini(&h);
	return rc;
}

bool handoff_is_none(enum rc rc)
{
	return rc == RC_NOT_FOUND || rc == RC_CORRUPT || rc == RC_TOO_LARGE ||
		rc == RC_REVOKED;
}

enum rc handoff_read(int dirfd, struct handoff *ret, struct err *e)
{
	struct handoff h = { 0 };
	char when[25];
	enum rc rc = handoff_look(dirfd, &h, e);
	if (rc == RC_OK && h.revoked_ms) {
		clock_format(h.revoked_ms, when);
		rc = err_set(e, RC_REVOKED,
			HANDOFF_FILE ": the token was revoked at %s "
				     "(generation %lld)",
			when, (long long)h.generation);
	}
	if (rc == RC_OK)
		*ret = h;
	else
		handoff_fini(&h);
	return rc;
}

enum rc handoff_look(int dirfd, struct handoff *ret, struct err *e)
{
	struct json *doc = NULL;
	enum rc rc = handoff_load(dirfd, HANDOFF_FILE, &doc, e);
	if (rc == RC_OK)
		rc = decode(json_root(doc), ret, e);
	json_free(doc);
	return rc;
}
