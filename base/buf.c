/*
 * base/buf.c: the one growing buffer. It grows by copying and wiping the old
 * bytes rather than by realloc(), which would leave copies of a token behind
 * where buf_wipe() cannot reach them.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/str.h"

#include "base/poison.h"

#define CAP_MIN ((size_t)64)

void buf_init(struct buf *b, size_t max)
{
	assert(max < SIZE_MAX / 2);
	*b = (struct buf){ .max = max };
}

void buf_init_fixed(struct buf *b, char *room, size_t size)
{
	assert(size > 0);
	room[0] = '\0';
	*b = (struct buf){ .p = room, .cap = size, .max = size - 1 };
}

void buf_free(struct buf *b)
{
	if (!b)
		return;
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

void buf_wipe(struct buf *b)
{
	if (b && b->p)
		wipe(b->p, b->cap);
	buf_free(b);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->rc = RC_OK;
	if (b->p)
		b->p[0] = '\0';
}

enum rc buf_rc(const struct buf *b)
{
	return b->rc;
}

const char *buf_str(const struct buf *b)
{
	return b->p ? b->p : "";
}

static bool grow(struct buf *b, size_t need)
{
	size_t cap = b->cap < CAP_MIN ? CAP_MIN : b->cap * 2;

	if (cap > b->max + 1)
		cap = b->max + 1;
	if (cap < need)
		cap = need;
	char *p = malloc(cap);
	if (!p) {
		b->rc = RC_NOMEM;
		return false;
	}
	if (b->p) {
		memcpy(p, b->p, b->n + 1);
		wipe(b->p, b->n);
		free(b->p);
	}
	b->p = p;
	b->cap = cap;
	return true;
}

/* Room for n more bytes and the NUL; false, and sticky, when there is none. */
static bool reserve(struct buf *b, size_t n)
{
	if (b->rc != RC_OK)
		return false;
	if (n > b->max - b->n) {
		b->rc = RC_TOO_LARGE;
		return false;
	}
	size_t need = b->n + n + 1;
	return need <= b->cap || grow(b, need);
}

void buf_add(struct buf *b, const char *s)
{
	buf_addn(b, s, strlen(s));
}

void buf_addn(struct buf *b, const void *p, size_t n)
{
	if (n == 0 || !reserve(b, n))
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_addc(struct buf *b, char c)
{
	buf_addn(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->rc = RC_NOMEM;
		return;
	}
	if (n == 0 || !reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

/* One character that cannot stand in a JSON string as it is. */
static void add_json_escape(struct buf *b, unsigned char c)
{
	static const char named[] = "\"\\\b\f\n\r\t";
	static const char letter[] = "\"\\bfnrt";
	const char *at = strchr(named, c);

	if (at)
		buf_addf(b, "\\%c", letter[at - named]);
	else
		buf_addf(b, "\\u%04x", c);
}

void buf_add_json_str(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	size_t run = 0; /* where the run not yet added starts */
	size_t i = 0;

	buf_addc(b, '"');
	while (i < n) {
		unsigned char c = (unsigned char)s[i];
		if (c < 0x80 && c >= 0x20 && c != '"' && c != '\\') {
			i++;
			continue;
		}
		uint32_t cp;
		size_t len = c < 0x80 ? 0 : utf8_next(s + i, n - i, &cp);
		if (len > 0) {
			i += len;
			continue;
		}
		buf_addn(b, s + run, i - run);
		if (c < 0x80)
			add_json_escape(b, c);
		else
			buf_add(b, "\xEF\xBF\xBD");
		run = ++i;
	}
	buf_addn(b, s + run, n - run);
	buf_addc(b, '"');
}

void buf_add_url(struct buf *b, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	while (*s) {
		size_t n = strspn(s, plain);
		buf_addn(b, s, n);
		s += n;
		if (*s)
			buf_addf(b, "%%%02X", (unsigned char)*s++);
	}
}

void buf_add_hex(struct buf *b, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) {
		char pair[3];
		hex_encode(bytes + i, 1, pair);
		buf_addn(b, pair, 2);
	}
}

char *buf_take(struct buf *b)
{
	if (b->rc != RC_OK)
		return NULL;
	char *p = b->p ? b->p : calloc(1, 1);
	if (!p)
		return NULL;
	b->p = NULL;
	buf_free(b);
	return p;
}
