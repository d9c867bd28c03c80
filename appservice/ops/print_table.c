/*
 * Tables whose columns are as wide as what is in them, and what stands in them.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/ops/print_priv.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

void table_cell(struct table *t, const char *text)
{
	const char **at =
		arena_push(&t->a, &t->cells, &t->n, &t->cap, sizeof(*t->cells));
	if (at)
		*at = text ? text : "";
}

void table_int(struct table *t, int64_t v)
{
	table_cell(t, arena_printf(&t->a, "%lld", (long long)v));
}

void table_titles(struct table *t, size_t n, const char *const *names)
{
	t->columns = n;
	for (size_t i = 0; i < n; i++)
		table_cell(t, names[i]);
}

/* Columns of what a terminal shows, near enough: code points. */
static int shown_width(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void table_print(struct table *t)
{
	int width[MAX_COLUMNS] = { 0 };
	for (size_t i = 0; i < t->n; i++) {
		int w = shown_width(t->cells[i]);
		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	int behind = 0; /* spaces that stand before the next text */
	for (size_t i = 0; i < t->n; i++) {
		const char *text = t->cells[i];
		const int spare = width[i % t->columns] - shown_width(text);
		if (*text) {
			printf("%*s%s", behind, "", text);
			behind = 0;
		}
		behind += spare + 2;
		if (i % t->columns == t->columns - 1) {
			putchar('\n');
			behind = 0;
		}
	}
	arena_free(&t->a);
	*t = (struct table){ 0 };
}

const char *doc_when(struct arena *a, struct js row, const char *key)
{
	int64_t ms = 0;
	char text[25];
	if (!js_get_i64(row, key, &ms) || ms == 0)
		return "";
	clock_format(ms, text);
	return arena_printf(a, "%.10s %.8s", text, text + 11);
}

int64_t doc_number(struct js row, const char *key)
{
	int64_t v = 0;
	return js_get_i64(row, key, &v) ? v : 0;
}

/* Neither a control character nor one that turns the direction of the text. */
static bool is_plain(uint32_t cp)
{
	return cp >= 0x20 && (cp < 0x7f || cp > 0x9f) &&
		(cp < 0x202a || cp > 0x202e) && (cp < 0x2066 || cp > 0x2069);
}

const char *doc_excerpt(struct arena *a, const char *text, size_t most)
{
	size_t n = text ? strlen(text) : 0, i = 0, characters = 0;
	struct buf out;
	buf_init(&out, LIMIT_SMALL_BODY);
	while (i < n && characters++ < most) {
		uint32_t cp = 0;
		size_t length = utf8_next(text + i, n - i, &cp);
		if (length && is_plain(cp))
			buf_addn(&out, text + i, length);
		else
			buf_addc(&out, '?');
		i += length ? length : 1;
	}
	if (i < n)
		buf_add(&out, "\xe2\x80\xa6");
	const char *shown = arena_strdup(a, buf_str(&out));
	buf_free(&out);
	return shown;
}
