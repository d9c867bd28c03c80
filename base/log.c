/*
 * base/log.c: a line is built in a stack buffer and written at once. It is
 * never longer than PIPE_BUF, so that lines of several threads or processes
 * on one pipe do not mix; a value that does not fit ends in "…", the pairs
 * after it are left out.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define LINE_MAX_BYTES 4096 /* Linux's PIPE_BUF */
#define VALUE_MAX 1024
#define CUT "\xE2\x80\xA6" /* … */
#define ENDING 8           /* room kept for what closes a cut line: …"}\n */

static atomic_int the_level = LOG_INFO;
static atomic_int the_format = LOG_JSON;

struct line {
	char p[LINE_MAX_BYTES];
	size_t n;
	bool full;
};

void log_setup(enum log_level level, enum log_format format)
{
	atomic_store(&the_level, (int)level);
	atomic_store(&the_format, (int)format);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&the_level);
}

void log_at_most(enum log_level level)
{
	if (log_enabled(level))
		atomic_store(&the_level, (int)level);
}

static bool fits(const struct line *l, size_t n)
{
	return !l->full && l->n + n <= sizeof(l->p) - ENDING;
}

/* All of it or nothing, and nothing after something that did not fit. */
static void put(struct line *l, const char *p, size_t n)
{
	if (!fits(l, n)) {
		l->full = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

/* Into the room that put() keeps. */
static void close_with(struct line *l, const char *s)
{
	size_t n = strlen(s);

	memcpy(l->p + l->n, s, n);
	l->n += n;
}

/* The first character of s as it stands in a JSON string; its length in s. */
static size_t put_char(struct line *l, const char *s, size_t n)
{
	char escape[8];
	uint32_t cp;
	size_t len = utf8_next(s, n, &cp);

	if (len == 0) {
		put(l, "\xEF\xBF\xBD", 3);
		return 1;
	}
	if (cp == '"' || cp == '\\') {
		escape[0] = '\\';
		escape[1] = (char)cp;
		put(l, escape, 2);
	} else if (cp < 0x20 || cp == 0x7F) {
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)cp);
		put(l, escape, 6);
	} else {
		put(l, s, len);
	}
	return len;
}

static void put_escaped(struct line *l, const char *s)
{
	size_t n = strlen(s);
	size_t i = 0;

	while (i < n && i < VALUE_MAX && !l->full)
		i += put_char(l, s + i, n - i);
	if (i < n || l->full)
		close_with(l, CUT);
}

static void put_quoted(struct line *l, const char *s)
{
	put(l, "\"", 1);
	put_escaped(l, s);
	close_with(l, "\"");
}

/* Needs no quotes in a line of text. */
static bool is_word(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c <= ' ' || c >= 0x7F || strchr("\"\\=", c))
			return false;
	}
	return true;
}

static void put_pair(struct line *l, const struct log_pair *pair, bool json)
{
	char head[128]; /* keys are constants of the program, and short */
	char number[24];

	snprintf(head, sizeof(head), json ? ",\"%s\":" : " %s=", pair->key);
	snprintf(number, sizeof(number), "%" PRId64, pair->number);
	/* A key without at least the start of its value would be no JSON. */
	if (!fits(l, strlen(head) + sizeof(number))) {
		l->full = true;
		return;
	}
	put(l, head, strlen(head));
	if (!pair->text)
		put(l, number, strlen(number));
	else if (!json && is_word(pair->text))
		put_escaped(l, pair->text);
	else
		put_quoted(l, pair->text);
}

static void put_head(
	struct line *l, enum log_level level, const char *msg, bool json)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error",
		[LOG_WARN] = "warn",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};
	char ts[25];
	char head[80];

	clock_format(clock_wall_ms(), ts);
	snprintf(head, sizeof(head),
		json ? "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":" : "%s %-5s ",
		ts, names[level]);
	put(l, head, strlen(head));
	if (json)
		put_quoted(l, msg);
	else
		put_escaped(l, msg);
}

static void write_line(const struct line *l)
{
	size_t done = 0;

	/* One write in practice; more only where a signal or a full disk cut
	 * it short. A log that cannot be written is no reason to stop. */
	while (done < l->n) {
		ssize_t n = write(STDERR_FILENO, l->p + done, l->n - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void log_line(enum log_level level, const char *msg,
	const struct log_pair *pairs, size_t n)
{
	struct line l;
	int saved = errno;

	if (!log_enabled(level))
		return;
	bool json = atomic_load(&the_format) == LOG_JSON;
	l.n = 0;
	l.full = false;
	put_head(&l, level, msg, json);
	for (size_t i = 0; i < n; i++)
		put_pair(&l, &pairs[i], json);
	close_with(&l, json ? "}\n" : "\n");
	write_line(&l);
	errno = saved;
}
