/*
 * store/lease_record.c: what stands in the lease file: for each epoch a line of
 * JSON at a place of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "store/network_priv.h"

#include "base/poison.h"

static bool copy(struct js v, const char *key, char *out, size_t room)
{
	const char *text = js_get_str(v, key);
	const size_t n = text ? strlen(text) : 0;

	/* It is shown to people, and anybody of this directory may write it. */
	if (!text || n >= room || !utf8_printable(text, n))
		return false;
	memcpy(out, text, n + 1);
	return true;
}

static bool read_fields(struct js v, struct lease_record *r)
{
	struct who *w = &r->who;

	return js_get_i64(v, "beat", &r->beat) &&
		js_get_i64(v, "epoch", &r->epoch) &&
		js_get_i64(v, "pid", &w->pid) &&
		js_get_i64(v, "since_ms", &r->since_ms) &&
		js_get_i64(v, "takeover_ms", &r->takeover_ms) &&
		js_get_bool(v, "ended", &r->ended) &&
		copy(v, "store", r->store, sizeof(r->store)) &&
		copy(v, "host", w->host, sizeof(w->host)) &&
		copy(v, "boot", w->boot, sizeof(w->boot)) &&
		copy(v, "space", w->space, sizeof(w->space)) &&
		copy(v, "began", w->began, sizeof(w->began));
}

bool lease_record_read(
	const char slot[LEASE_RECORD], int index, struct lease_record *ret)
{
	struct lease_record r = { 0 };
	struct json *doc = NULL;
	const char *end = memchr(slot, '\n', LEASE_RECORD);

	if (!end ||
		json_parse(slot, (size_t)(end - slot), NULL, &doc, NULL) !=
			RC_OK)
		return false;
	const bool ok = read_fields(json_root(doc), &r) && r.epoch > 0 &&
		r.epoch <= LEASE_EPOCH_MAX && r.epoch % LEASE_SLOTS == index &&
		r.takeover_ms >= 0 && r.takeover_ms <= STORE_TAKEOVER_MAX_MS;
	json_free(doc);
	if (ok)
		*ret = r;
	return ok;
}

/* The beat first: what is torn is another record than the one before. */
static void write_fields(struct jb *b, const struct lease_record *r)
{
	jb_obj(b, NULL);
	jb_int(b, "beat", r->beat);
	jb_int(b, "epoch", r->epoch);
	jb_str(b, "store", r->store);
	jb_str(b, "host", r->who.host);
	jb_int(b, "pid", r->who.pid);
	jb_str(b, "began", r->who.began);
	jb_str(b, "boot", r->who.boot);
	jb_str(b, "space", r->who.space);
	jb_int(b, "since_ms", r->since_ms);
	jb_int(b, "takeover_ms", r->takeover_ms);
	jb_bool(b, "ended", r->ended);
	jb_end_obj(b);
}

bool lease_record_write(int fd, const struct lease_record *r)
{
	char slot[LEASE_RECORD] = { 0 };
	const off_t at = (off_t)(r->epoch % LEASE_SLOTS) * LEASE_SLOT;
	struct buf out;
	struct jb b;
	ssize_t n;

	buf_init_fixed(&out, slot, sizeof(slot));
	jb_init(&b, &out);
	write_fields(&b, r);
	buf_addc(&out, '\n');
	if (buf_rc(&out) != RC_OK) {
		errno = ENAMETOOLONG;
		return false;
	}
	do
		n = pwrite(fd, slot, sizeof(slot), at);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && n != (ssize_t)sizeof(slot))
		errno = ENOSPC;
	return n == (ssize_t)sizeof(slot) && fsync(fd) == 0;
}

enum rc lease_spoiled(const char *path, const char *what, struct err *e)
{
	return err_set(e, RC_IO,
		"%s %s: it must be a plain file, which nobody but the services "
		"of this store may touch: stop all of them, remove it, and "
		"start one",
		path, what);
}

/* What is in its place; NULL: a file. */
static const char *spoiled_by(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
		return NULL;
	return S_ISDIR(st.st_mode)     ? "is a directory"
		: S_ISFIFO(st.st_mode) ? "is a pipe"
				       : "is a device";
}

static enum rc fail_open(const char *path, int error, struct err *e)
{
	if (error == ENOENT)
		return err_set(e, RC_NOT_FOUND, "%s is not there", path);
	if (error == EISDIR)
		return lease_spoiled(path, "is a directory", e);
	if (error == ELOOP)
		return lease_spoiled(path, "is a symbolic link", e);
	if (error == ENXIO)
		return lease_spoiled(path, "is a socket", e);
	(void)file_error(e, error, "%s cannot be opened", path);
	if (e)
		e->rc = RC_IO; /* it was opened anew just now */
	return RC_IO;
}

enum rc lease_open(const char *path, int flags, int *ret, struct err *e)
{
	/* Whatever is there, nobody is waited for. */
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return fail_open(path, errno, e);
	const char *what = spoiled_by(fd);
	if (!what) {
		*ret = fd;
		return RC_OK;
	}
	close(fd);
	return lease_spoiled(path, what, e);
}

static bool read_area(int fd, char *area)
{
	size_t have = 0;
	ssize_t n = 1;

	memset(area, 0, LEASE_BYTES);
	while (have < LEASE_BYTES && n != 0) {
		n = pread(fd, area + have, LEASE_BYTES - have, (off_t)have);
		if (n < 0 && errno != EINTR)
			return false;
		have += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void find_newest(
	const char *area, struct lease_record *ret, char raw[LEASE_RECORD])
{
	for (int i = 0; i < LEASE_SLOTS; i++) {
		const char *slot = area + (size_t)i * LEASE_SLOT;
		struct lease_record r = { 0 };
		if (!lease_record_read(slot, i, &r) || r.epoch <= ret->epoch)
			continue;
		*ret = r;
		memcpy(raw, slot, LEASE_RECORD);
	}
}

enum rc lease_record_newest(const char *path, struct lease_record *ret,
	char raw[LEASE_RECORD], struct err *e)
{
	char *area = malloc(LEASE_BYTES);
	int fd = -1;

	if (!area)
		return err_nomem(e);
	memset(ret, 0, sizeof(*ret));
	memset(raw, 0, LEASE_RECORD);
	enum rc rc = lease_open(path, O_RDONLY, &fd, e);
	if (rc == RC_OK && !read_area(fd, area))
		rc = err_set(e, RC_IO, "%s cannot be read: %s", path,
			strerror(errno));
	if (rc == RC_OK)
		find_newest(area, ret, raw);
	if (fd >= 0)
		close(fd);
	free(area);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

void lease_record_words(const struct lease_record *r, char *out, size_t room)
{
	char since[25];

	clock_format(r->since_ms, since);
	snprintf(out, room, "pid %lld on %s since %s", (long long)r->who.pid,
		r->who.host, since);
}
