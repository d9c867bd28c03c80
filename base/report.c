/*
 * base/report.c: findings, collected and printed.
 */
#include "base/report.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

#define SHOWN_MAX 100 /* of each kind: nobody reads more at once */
#define TEXT_MAX 2048

void report_init(struct report *r)
{
	*r = (struct report){ 0 };
	arena_init(&r->arena);
}

void report_free(struct report *r)
{
	if (!r)
		return;
	arena_free(&r->arena);
	report_init(r);
}

static void add(struct report *r, bool warning, const char *file, int line,
	int column, const char *text)
{
	size_t errors_shown = r->errors < SHOWN_MAX ? r->errors : SHOWN_MAX;
	size_t shown = warning ? r->n - errors_shown : errors_shown;

	if (!warning)
		r->errors++;
	if (shown >= SHOWN_MAX)
		return;
	struct finding *f =
		arena_push(&r->arena, &r->items, &r->n, &r->cap, sizeof(*f));
	if (!f)
		return;
	const char *name = arena_strdup(&r->arena, file ? file : "");
	const char *copy = arena_strdup(&r->arena, text);
	*f = (struct finding){
		.file = name ? name : "",
		.line = line,
		.column = column,
		.warning = warning,
		.text = copy ? copy : "out of memory",
	};
}

void report_error(struct report *r, const char *file, int line, int column,
	const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(r, false, file, line, column, text);
}

void report_warning(struct report *r, const char *file, int line, int column,
	const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(r, true, file, line, column, text);
}

void report_parsed(struct report *r, const char *file, const char *text)
{
	int64_t line = 0, column = 0;

	if (text_starts(text, file) && text_starts(text + strlen(file), ":"))
		text += strlen(file) + 1;
	struct str rest = str_of(text);
	bool placed = str_i64(str_cut(&rest, ':', NULL), 1, INT32_MAX, &line) &&
		str_i64(str_cut(&rest, ':', NULL), 1, INT32_MAX, &column);
	if (placed)
		text = rest.p;
	else
		line = column = 0;
	report_error(r, file, (int)line, (int)column, "%s",
		text + strspn(text, " "));
}

void report_write(const struct report *r, struct buf *out)
{
	size_t errors = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->items[i];
		if (f->file[0])
			buf_addf(out, "%s:", f->file);
		if (f->line > 0)
			buf_addf(out, "%d:", f->line);
		if (f->line > 0 && f->column > 0)
			buf_addf(out, "%d:", f->column);
		if (f->file[0] || f->line > 0)
			buf_addc(out, ' ');
		buf_addf(out, "%s%s\n", f->warning ? "warning: " : "", f->text);
		errors += !f->warning;
	}
	if (r->errors > errors)
		buf_addf(out, "and %zu more errors\n", r->errors - errors);
}
