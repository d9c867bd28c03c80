/*
 * The documents for people: tables whose columns are as wide as what is in
 * them, and a few words for what is no table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/verbs.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define MAX_COLUMNS 8

struct table {
	struct arena a;
	size_t columns;
	const char **cells; /* row by row, titles first */
	size_t n, cap;
};

static void cell(struct table *t, const char *text)
{
	const char **at =
		arena_push(&t->a, &t->cells, &t->n, &t->cap, sizeof(*t->cells));
	if (at)
		*at = text ? text : "";
}

static void cell_int(struct table *t, int64_t v)
{
	cell(t, arena_printf(&t->a, "%lld", (long long)v));
}

static void titles(struct table *t, size_t n, const char *const *names)
{
	t->columns = n;
	for (size_t i = 0; i < n; i++)
		cell(t, names[i]);
}

/* Columns of what a terminal shows, near enough: code points. */
static int shown_width(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_table(struct table *t)
{
	int width[MAX_COLUMNS] = { 0 };
	for (size_t i = 0; i < t->n; i++) {
		int w = shown_width(t->cells[i]);
		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->n; i++) {
		bool last = i % t->columns == t->columns - 1;
		fputs(t->cells[i], stdout);
		if (last)
			putchar('\n');
		else
			printf("%*s",
				width[i % t->columns] -
					shown_width(t->cells[i]) + 2,
				"");
	}
	arena_free(&t->a);
	*t = (struct table){ 0 };
}

static const char *when(struct arena *a, struct js row, const char *key)
{
	int64_t ms = 0;
	char text[25];
	if (!js_get_i64(row, key, &ms) || ms == 0)
		return "";
	clock_format(ms, text);
	return arena_printf(a, "%.10s %.8s", text, text + 11);
}

static int64_t number(struct js row, const char *key)
{
	int64_t v = 0;
	return js_get_i64(row, key, &v) ? v : 0;
}

/* --- agents, rooms ---------------------------------------------------------- */

static void print_agents(struct js doc)
{
	static const char *const names[] = { "AGENT", "NAME", "DEPARTMENT",
		"TEAM", "STATE", "GENERATION", "SINCE (UTC)", "" };
	struct table t = { 0 };
	titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		cell(&t, js_get_str(row, "user_id"));
		cell(&t, js_get_str(row, "name"));
		cell(&t, js_get_str(row, "department"));
		cell(&t, js_get_str(row, "team"));
		bool leaving = false;
		js_get_bool(row, "leaving", &leaving);
		cell(&t,
			leaving ? arena_printf(&t.a, "%s, leaving",
					  js_get_str(row, "state"))
				: js_get_str(row, "state"));
		cell_int(&t, number(row, "generation"));
		cell(&t, when(&t.a, row, "since_ms"));
		cell(&t, js_get_str(row, "error"));
	}
	print_table(&t);
}

static bool is_whole(struct js room)
{
	return js_get_str(room, "room_id") &&
		js_len(js_get(room, "missing")) == 0 &&
		js_len(js_get(room, "held")) == 0 &&
		!js_get_str(room, "held_why") &&
		number(room, "missing_since_ms") == 0;
}

/* A direct room is shown by its two people. */
static const char *room_title(struct arena *a, struct js room)
{
	const char *alias = js_get_str(room, "alias");
	struct js who = js_get(room, "declared");
	if (alias)
		return alias;
	return arena_printf(
		a, "%s %s", js_str(js_at(who, 0)), js_str(js_at(who, 1)));
}

static void room_row(struct table *t, struct js room)
{
	static const char *const lists[] = { "declared", "joined", "invited",
		"missing", "extra", "held" };
	cell(t, room_title(&t->a, room));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		cell_int(t, (int64_t)js_len(js_get(room, lists[i])));
	cell(t,
		js_get_str(room, "room_id") ? js_get_str(room, "room_id")
					    : "(not made yet)");
}

/* "held: @x in #y: removed by @z at <time>, twice: …" */
static void print_removal(struct arena *a, struct js room, struct js removal)
{
	const char *who = js_get_str(removal, "user_id");
	const char *by = js_get_str(removal, "by");
	bool ban = false;
	js_get_bool(removal, "ban", &ban);
	printf("held: %s in %s: ", who, room_title(a, room));
	if (by)
		printf("%s by %s at %s", ban ? "banned" : "removed", by,
			when(a, removal, "at_ms"));
	else if (ban)
		printf("banned, seen at %s", when(a, removal, "at_ms"));
	else
		printf("not found there at %s", when(a, removal, "at_ms"));
	printf("%s: `muster retry %s` asks it in again\n",
		!ban && number(removal, "times") > 1 ? ", twice" : "", who);
}

/* What a table has no place for. */
static void print_room_words(struct js room)
{
	struct arena a = { 0 };
	struct js removals = js_get(room, "removals");
	const char *why = js_get_str(room, "held_why");
	for (size_t i = 0; i < js_len(removals); i++)
		print_removal(&a, room, js_at(removals, i));
	if (why)
		printf("trouble: %s: %s\n", room_title(&a, room), why);
	if (number(room, "missing_since_ms") > 0)
		printf("missing: %s: not found since %s: when the next look "
		       "does not find it either, it is made again\n",
			room_title(&a, room),
			when(&a, room, "missing_since_ms"));
	arena_free(&a);
}

static void print_rooms(struct js doc)
{
	static const char *const names[] = { "ROOM", "DECLARED", "JOINED",
		"INVITED", "MISSING", "EXTRA", "HELD", "ROOM ID" };
	struct table t = { 0 };
	size_t direct = 0, whole = 0;
	titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js room = js_at(doc, i);
		bool is_direct = text_eq(js_get_str(room, "kind"), "direct");
		direct += is_direct;
		whole += is_direct && is_whole(room);
		if (!is_direct || !is_whole(room))
			room_row(&t, room);
	}
	print_table(&t);
	printf("direct rooms: %zu, of which %zu are as declared%s\n", direct,
		whole, direct > 0 ? " (--json lists them)" : "");
	for (size_t i = 0; i < js_len(doc); i++)
		print_room_words(js_at(doc, i));
}

/* --- plan, journal, quarantine, audit -------------------------------------------- */

static void print_plan(struct js doc)
{
	static const char *const names[] = { "STEP", "WHO", "ROOM", "WHY" };
	struct table t = { 0 };
	struct js steps = js_get(doc, "steps");
	const int64_t removals = number(doc, "removals");
	const bool with = js_has(doc, "summary");
	if (with)
		print_summary(js_get(doc, "summary"), removals);
	else if (removals > 0)
		printf("%lld agents are not declared any more: nothing of it "
		       "is done until `muster approve`\n",
			(long long)removals);
	if (js_len(steps) == 0) {
		puts(with ? "no steps"
				: removals > 0
				? "nothing else to do"
				: "nothing to do: everything is as declared");
		return;
	}
	titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(steps); i++) {
		struct js st = js_at(steps, i);
		const char *room = js_get_str(st, "room");
		cell(&t, js_get_str(st, "kind"));
		cell(&t,
			text_eq(room, js_get_str(st, "subject"))
				? ""
				: js_get_str(st, "subject"));
		cell(&t, room);
		cell(&t, js_get_str(st, "reason"));
	}
	print_table(&t);
	printf("%zu step%s\n", js_len(steps), js_len(steps) == 1 ? "" : "s");
}

/* Lists whose columns are members of their rows as they stand. */
static void print_list(struct js doc, size_t n, const char *const *keys,
	const char *const *names, const char *nothing)
{
	struct table t = { 0 };
	if (js_len(doc) == 0) {
		puts(nothing);
		return;
	}
	titles(&t, n, names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		for (size_t k = 0; k < n; k++) {
			if (text_ends(keys[k], "ms"))
				cell(&t, when(&t.a, row, keys[k]));
			else if (js_type(js_get(row, keys[k])) == JS_INT)
				cell_int(&t, number(row, keys[k]));
			else
				cell(&t, js_get_str(row, keys[k]));
		}
	}
	print_table(&t);
}

static void print_journal(struct js doc)
{
	static const char *const keys[] = { "updated_ms", "state", "kind",
		"subject", "room", "attempt", "next_attempt_ms", "error" };
	static const char *const names[] = { "UTC", "STATE", "STEP", "WHO",
		"ROOM", "ATTEMPT", "AGAIN", "ERROR" };
	print_list(doc, ARRAY_LEN(keys), keys, names, "no step yet");
}

#define SHOWN_CHARACTERS 60

/* The beginning of what a stranger wrote, with nothing in it that a terminal
 * would obey. */
static const char *excerpt(struct arena *a, const char *text)
{
	size_t n = text ? strlen(text) : 0, i = 0, characters = 0;
	struct buf out;
	buf_init(&out, LIMIT_SMALL_BODY);
	while (i < n && characters++ < SHOWN_CHARACTERS) {
		uint32_t cp = 0;
		size_t length = utf8_next(text + i, n - i, &cp);
		bool plain = length && cp >= 0x20 && (cp < 0x7f || cp > 0x9f) &&
			(cp < 0x202a || cp > 0x202e) &&
			(cp < 0x2066 || cp > 0x2069);
		if (plain)
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

static void print_quarantine(struct js doc)
{
	static const char *const names[] = { "ID", "UTC", "TRANSACTION",
		"EVENT", "WHY", "BYTES" };
	struct table t = { 0 };
	if (js_len(doc) == 0) {
		puts("nothing is in quarantine");
		return;
	}
	titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		cell_int(&t, number(row, "id"));
		cell(&t, when(&t.a, row, "received_ms"));
		cell(&t, excerpt(&t.a, js_get_str(row, "txn_id")));
		if (number(row, "index") < 0)
			cell(&t, "all");
		else
			cell_int(&t, number(row, "index"));
		cell(&t, js_get_str(row, "reason"));
		cell(&t, excerpt(&t.a, js_get_str(row, "bytes")));
	}
	print_table(&t);
}

static void print_audit(struct js doc)
{
	static const char *const keys[] = { "ms", "actor", "action", "subject",
		"detail" };
	static const char *const names[] = { "UTC", "WHO", "DID", "TO",
		"DETAIL" };
	print_list(doc, ARRAY_LEN(keys), keys, names, "nothing yet");
}

/* --- status, config ------------------------------------------------------------------ */

static bool print_count(const char *key, struct js v, void *arg)
{
	int64_t n = 0;
	bool *first = arg;
	js_i64(v, 0, JSON_INT_MAX, &n);
	printf("%s%lld %s", *first ? "" : ", ", (long long)n, key);
	*first = false;
	return true;
}

static void print_counts(const char *title, struct js doc, const char *key)
{
	bool first = true;
	printf("%-13s", title);
	js_each(js_get(doc, key), print_count, &first);
	puts(first ? "none" : "");
}

/* Only what is not as it should be. */
static void print_configuration(struct js doc)
{
	const char *error = js_get_str(doc, "error");
	if (error)
		printf("configuration wrong, so the old one is in force: %s\n",
			error);
	if (text_eq(js_get_str(doc, "registration"), "outdated"))
		puts("registration does not cover the fleet: `muster "
		     "registration`, `muster register`, SIGHUP");
}

/* How far the direct rooms are, and how long it takes. */
static void print_direct(struct js direct)
{
	const int64_t left = number(direct, "left_s");
	const int64_t most = number(direct, "per_minute");
	const int64_t rate = number(direct, "rate");
	printf("direct rooms %s: %lld pairs declared, %lld of %lld rooms made",
		js_get_str(direct, "mode"),
		(long long)number(direct, "declared"),
		(long long)number(direct, "made"),
		(long long)number(direct, "wanted"));
	if (number(direct, "later") > 0)
		printf("; %lld to be made, %lld a minute, %lld:%02lld minutes "
		       "left",
			(long long)number(direct, "later"),
			(long long)(rate > 0 && rate < most ? rate : most),
			(long long)(left / 60), (long long)(left % 60));
	putchar('\n');
}

static void print_removals(struct js removals)
{
	struct js agents = js_get(removals, "agents");
	const size_t n = js_len(agents);
	if (!js_get_str(removals, "why"))
		return;
	printf("held back    %s\n", js_get_str(removals, "why"));
	for (size_t i = 0; i < n; i++)
		printf("  %s\n", js_str(js_at(agents, i)));
	if (number(removals, "waiting") > (int64_t)n)
		printf("  and %lld more\n",
			(long long)(number(removals, "waiting") - (int64_t)n));
}

static void print_revocations(struct js revocations)
{
	struct js agents = js_get(revocations, "agents");
	const int64_t n = number(revocations, "pending");
	if (n == 0)
		return;
	printf("to be ended  the tokens of %lld agent%s\n", (long long)n,
		n == 1 ? "" : "s");
	for (size_t i = 0; i < js_len(agents); i++)
		printf("  %s\n", js_str(js_at(agents, i)));
}

/* Unless all that were asked for are done. */
static void print_rotations(struct js doc)
{
	struct js rotations = js_get(doc, "rotations");
	int64_t others = 0;
	for (int st = ROTATION_WAITING; st < ROTATION_STATES; st++)
		if (st != ROTATION_DONE)
			others += number(rotations,
				rotation_state_name((enum rotation_state)st));
	if (others > 0)
		print_counts("rotations", doc, "rotations");
}

static void print_status(struct js doc)
{
	bool ready = false;
	struct js why = js_get(doc, "why_not"), hs = js_get(doc, "homeserver");
	js_get_bool(doc, "ready", &ready);
	printf("muster %s, %s\n", js_get_str(doc, "version"),
		ready ? "ready" : "not ready:");
	for (size_t i = 0; i < js_len(why); i++)
		printf("  %s\n", js_str(js_at(why, i)));
	printf("homeserver   %s (%s) at %s; %lld requests, %lld of them "
	       "writes\n",
		js_get_str(hs, "server_name"), js_get_str(hs, "kind"),
		js_get_str(hs, "url"), (long long)number(hs, "requests"),
		(long long)number(hs, "writes"));
	print_configuration(js_get(doc, "configuration"));
	print_counts("agents", doc, "agents");
	printf("rooms        %lld and %lld direct rooms\n",
		(long long)number(doc, "rooms"),
		(long long)number(doc, "direct_rooms"));
	int64_t unanswered = number(doc, "unanswered");
	int64_t held = number(doc, "held");
	if (unanswered > 0 || held > 0)
		printf("not our turn %lld invitations that humans have not "
		       "answered, %lld members held out\n",
			(long long)unanswered, (long long)held);
	print_direct(js_get(doc, "direct"));
	print_removals(js_get(doc, "removals"));
	print_revocations(js_get(doc, "revocations"));
	print_rotations(doc);
	if (number(doc, "troubles") > 0)
		printf("troubles     %lld: `muster rooms` says which rooms "
		       "cannot be kept as declared\n",
			(long long)number(doc, "troubles"));
	print_counts("journal", doc, "journal");
	struct js txn = js_get(doc, "transactions");
	printf("transactions %lld, %lld of them repeated, %lld refused; %lld "
	       "events, %lld applied, %lld quarantined\n",
		(long long)number(txn, "seen"),
		(long long)number(txn, "repeated"),
		(long long)number(txn, "refused"),
		(long long)number(txn, "events"),
		(long long)number(txn, "applied"),
		(long long)number(txn, "quarantined"));
	printf("beside events %lld ephemeral, %lld to devices, %lld device "
	       "lists, %lld key counts\n",
		(long long)number(txn, "ephemeral"),
		(long long)number(txn, "to_device"),
		(long long)number(txn, "device_lists"),
		(long long)number(txn, "key_counts"));
	print_counts("quarantine", doc, "quarantine");
}

static void print_health(struct js doc)
{
	bool ready = false;
	struct js why = js_get(doc, "why_not");
	js_get_bool(doc, "ready", &ready);
	fputs(ready ? "ready" : "not ready", stdout);
	for (size_t i = 0; i < js_len(why); i++)
		printf("%s%s", i ? "; " : ": ", js_str(js_at(why, i)));
	putchar('\n');
}

static void print_config(struct js doc)
{
	static const char *const names[] = { "SETTING", "FROM", "RELOAD",
		"VALUE" };
	struct table t = { 0 };
	struct js rows = js_get(doc, "settings");
	titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(rows); i++) {
		struct js row = js_at(rows, i);
		const char *print = js_get_str(row, "fingerprint");
		const char *bad = js_get_str(row, "error");
		const char *value = js_get_str(row, "value");
		cell(&t, js_get_str(row, "path"));
		cell(&t, js_get_str(row, "from"));
		bool reloadable = false;
		js_get_bool(row, "reloadable", &reloadable);
		cell(&t, reloadable ? "yes" : "no");
		cell(&t,
			print ? arena_printf(&t.a, "(secret, %s)", print)
				: bad   ? "(secret, cannot be read)"
				: value ? value
					: "-");
	}
	print_table(&t);
}

void print_view(const char *name, const char *text, size_t n)
{
	static const struct {
		const char *name;
		void (*print)(struct js doc);
	} by_name[] = {
		{ "agents", print_agents },
		{ "rooms", print_rooms },
		{ "plan", print_plan },
		{ "journal", print_journal },
		{ "quarantine", print_quarantine },
		{ "audit", print_audit },
		{ "status", print_status },
		{ "config", print_config },
		{ "health", print_health },
	};
	struct json *doc = NULL;
	if (json_parse_any(text, n, NULL, &doc, NULL) != RC_OK) {
		puts(text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(by_name); i++)
		if (text_eq(by_name[i].name, name))
			by_name[i].print(json_root(doc));
	json_free(doc);
}
