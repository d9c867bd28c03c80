/*
 * What another configuration would change, for people.
 */
#include <stdio.h>

#include "appservice/ops/verbs.h"
#include "base/str.h"

#include "base/poison.h"

#define SHOWN 10

static int64_t number(struct js doc, const char *key)
{
	int64_t n = 0;
	return js_get_i64(doc, key, &n) ? n : 0;
}

static void print_more(size_t n, const char *before)
{
	if (n > SHOWN)
		printf("%sand %zu more", before, n - SHOWN);
	putchar('\n');
}

/* "join the fleet: 2: @x, @y" */
static void print_ids(const char *what, struct js list)
{
	const size_t n = js_len(list);
	if (n == 0)
		return;
	printf("%s: %zu: ", what, n);
	for (size_t i = 0; i < n && i < SHOWN; i++)
		printf("%s%s", i ? ", " : "", js_str(js_at(list, i)));
	print_more(n, " ");
}

static void print_rooms_of(const char *words, struct js list)
{
	for (size_t i = 0; i < js_len(list); i++)
		printf("%s%s", i ? ", " : words, js_str(js_at(list, i)));
}

static void print_move(struct js row)
{
	struct js out = js_get(row, "out_of"), into = js_get(row, "into");
	printf("%s: ", js_get_str(row, "user_id"));
	print_rooms_of("out of ", out);
	if (js_len(out) > 0 && js_len(into) > 0)
		fputs("; ", stdout);
	print_rooms_of("into ", into);
}

static void print_renamed(struct js row)
{
	printf("%s becomes %s, and keeps its room", js_get_str(row, "from"),
		js_get_str(row, "to"));
}

static void print_changed(struct js row)
{
	printf("%s: %s", js_get_str(row, "room"), js_get_str(row, "type"));
}

static void print_name(struct js row)
{
	printf("%s: \"%s\" becomes \"%s\"", js_get_str(row, "user_id"),
		js_get_str(row, "from"), js_get_str(row, "to"));
}

/* One line for each. */
static void print_rows(
	const char *what, struct js list, void (*print)(struct js row))
{
	const size_t n = js_len(list);
	if (n == 0)
		return;
	printf("%s: %zu:\n", what, n);
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		fputs("  ", stdout);
		print(js_at(list, i));
		if (i + 1 < n && i + 1 < SHOWN)
			putchar('\n');
	}
	print_more(n, "\n  ");
}

static void print_number(const char *what, int64_t n)
{
	if (n > 0)
		printf("%s: %lld\n", what, (long long)n);
}

void print_summary(struct js summary, int64_t removals)
{
	print_ids("join the fleet", js_get(summary, "agents_join"));
	print_ids("leave the fleet", js_get(summary, "agents_leave"));
	if (removals > 0)
		printf("%lld agent%s would be retired: more than a third of "
		       "the fleet: nothing of that is done until `muster "
		       "approve`\n",
			(long long)removals, removals == 1 ? "" : "s");
	print_rows("change rooms", js_get(summary, "moves"), print_move);
	print_ids("rooms made", js_get(summary, "rooms_made"));
	print_rows("rooms renamed", js_get(summary, "rooms_renamed"),
		print_renamed);
	print_ids("rooms dissolved", js_get(summary, "rooms_dissolved"));
	print_rows("rooms changed", js_get(summary, "rooms_changed"),
		print_changed);
	print_number(
		"direct rooms to be made", number(summary, "direct_rooms"));
	print_rows("display names", js_get(summary, "names"), print_name);
	print_number(
		"invitations of humans", number(summary, "humans_invited"));
	print_number("strangers asked out", number(summary, "kicked"));
}
