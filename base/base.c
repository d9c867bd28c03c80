/*
 * base/base.c: the words of the result codes, the one error type, and memory.
 */
#include "base/base.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

const char *rc_words(enum rc rc)
{
	static const char *const words[] = {
#define X(name, text) [RC_##name] = text,
		RC_TABLE(X)
#undef X
	};

	if ((size_t)rc >= ARRAY_LEN(words))
		return "unknown result";
	return words[rc];
}

/* Formatted aside first: the arguments may point into the old text. */
static void set_text(struct err *e, const char *fmt, va_list ap)
	PRINTF_LIKE(2, 0);

static void set_text(struct err *e, const char *fmt, va_list ap)
{
	char text[sizeof(e->text) + 1]; /* shows what would come next */
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		n = 0;
	size_t len = (size_t)n;
	if (len >= sizeof(e->text)) {
		len = sizeof(e->text) - 1;
		/* Not in the middle of a character. */
		while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
			len--;
	}
	memcpy(e->text, text, len);
	e->text[len] = '\0';
}

enum rc err_set(struct err *e, enum rc rc, const char *fmt, ...)
{
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		set_text(e, fmt, ap);
		va_end(ap);
		e->rc = rc;
	}
	return rc;
}

enum rc err_wrap(struct err *e, enum rc rc, const char *fmt, ...)
{
	if (!e)
		return rc;

	struct err prefix;
	va_list ap;
	va_start(ap, fmt);
	set_text(&prefix, fmt, ap);
	va_end(ap);
	return err_set(e, e->rc, "%s: %s", prefix.text, e->text);
}

enum rc err_nomem(struct err *e)
{
	return err_set(e, RC_NOMEM, "out of memory");
}

void give_back_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
