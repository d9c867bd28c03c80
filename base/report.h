/*
 * base/report.h: what is wrong with the files a person wrote: findings with
 * file, line and column, collected so that all are told at once. The owner
 * calls report_free(). Not thread-safe.
 */
#ifndef BASE_REPORT_H
#define BASE_REPORT_H

#include "base/arena.h"
#include "base/buf.h"

/* Where something was written; line 0: somewhere in there. */
struct place {
	const char *file;
	int line, column;
};

struct finding {
	const char *file; /* "" when it belongs to no file */
	int line;         /* 0: the whole file */
	int column;
	bool warning; /* told, but not fatal */
	const char *text;
};

struct report {
	struct arena arena;
	struct finding *items;
	size_t n, cap;
	size_t errors; /* findings that are no warnings */
};

/* Empty. */
void report_init(struct report *r);
void report_free(struct report *r);
/* Adds an error; line 0: no line. After 100 findings the rest is only
 * counted. */
void report_error(struct report *r, const char *file, int line, int column,
	const char *fmt, ...) PRINTF_LIKE(5, 6);
void report_warning(struct report *r, const char *file, int line, int column,
	const char *fmt, ...) PRINTF_LIKE(5, 6);
/* An error of a parser in its words, "file:line:column: text" as far as they
 * have a place; else it is about the whole of `file`. */
void report_parsed(struct report *r, const char *file, const char *text);
/* "file:line:column: text\n" for each, as far as it has them. */
void report_write(const struct report *r, struct buf *out);

#endif
