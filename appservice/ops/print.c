/*
 * The documents for people: tables, and a few words for what is no table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/print_priv.h"
#include "appservice/ops/verbs.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

/* --- rooms ------------------------------------------------------------------ */

static bool is_whole(struct js room)
{
	return js_get_str(room, "room_id") &&
		js_len(js_get(room, "missing")) == 0 &&
		js_len(js_get(room, "held")) == 0 &&
		!js_get_str(room, "held_why") &&
		doc_number(room, "missing_since_ms") == 0;
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
	table_cell(t, room_title(&t->a, room));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		table_int(t, (int64_t)js_len(js_get(room, lists[i])));
	table_cell(t,
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
			doc_when(a, removal, "at_ms"));
	else if (ban)
		printf("banned, seen at %s", doc_when(a, removal, "at_ms"));
	else
		printf("not found there at %s", doc_when(a, removal, "at_ms"));
	printf("%s: `muster retry %s` asks it in again\n",
		!ban && doc_number(removal, "times") > 1 ? ", twice" : "", who);
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
	if (doc_number(room, "missing_since_ms") > 0)
		printf("missing: %s: not found since %s: when the next look "
		       "does not find it either, it is made again\n",
			room_title(&a, room),
			doc_when(&a, room, "missing_since_ms"));
	arena_free(&a);
}

static void print_rooms(struct js doc)
{
	static const char *const names[] = { "ROOM", "DECLARED", "JOINED",
		"INVITED", "MISSING", "EXTRA", "HELD", "ROOM ID" };
	struct table t = { 0 };
	size_t direct = 0, whole = 0;
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js room = js_at(doc, i);
		bool is_direct = text_eq(js_get_str(room, "kind"), "direct");
		direct += is_direct;
		whole += is_direct && is_whole(room);
		if (!is_direct || !is_whole(room))
			room_row(&t, room);
	}
	table_print(&t);
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
	const int64_t removals = doc_number(doc, "removals");
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
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(steps); i++) {
		struct js st = js_at(steps, i);
		const char *room = js_get_str(st, "room");
		table_cell(&t, js_get_str(st, "kind"));
		table_cell(&t,
			text_eq(room, js_get_str(st, "subject"))
				? ""
				: js_get_str(st, "subject"));
		table_cell(&t, room);
		table_cell(&t, js_get_str(st, "reason"));
	}
	table_print(&t);
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
	table_titles(&t, n, names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		for (size_t k = 0; k < n; k++) {
			if (text_ends(keys[k], "ms"))
				table_cell(&t, doc_when(&t.a, row, keys[k]));
			else if (js_type(js_get(row, keys[k])) == JS_INT)
				table_int(&t, doc_number(row, keys[k]));
			else
				table_cell(&t, js_get_str(row, keys[k]));
		}
	}
	table_print(&t);
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

static void print_quarantine(struct js doc)
{
	static const char *const names[] = { "ID", "UTC", "TRANSACTION",
		"EVENT", "WHY", "BYTES" };
	struct table t = { 0 };
	if (js_len(doc) == 0) {
		puts("nothing is in quarantine");
		return;
	}
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		table_int(&t, doc_number(row, "id"));
		table_cell(&t, doc_when(&t.a, row, "received_ms"));
		table_cell(&t,
			doc_excerpt(&t.a, js_get_str(row, "txn_id"),
				SHOWN_CHARACTERS));
		if (doc_number(row, "index") < 0)
			table_cell(&t, "all");
		else
			table_int(&t, doc_number(row, "index"));
		table_cell(&t, js_get_str(row, "reason"));
		table_cell(&t,
			doc_excerpt(&t.a, js_get_str(row, "bytes"),
				SHOWN_CHARACTERS));
	}
	table_print(&t);
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
	const int64_t left = doc_number(direct, "left_s");
	const int64_t most = doc_number(direct, "per_minute");
	const int64_t rate = doc_number(direct, "rate");
	printf("direct rooms %s: %lld pairs declared, %lld of %lld rooms made",
		js_get_str(direct, "mode"),
		(long long)doc_number(direct, "declared"),
		(long long)doc_number(direct, "made"),
		(long long)doc_number(direct, "wanted"));
	if (doc_number(direct, "later") > 0)
		printf("; %lld to be made, %lld a minute, %lld:%02lld minutes "
		       "left",
			(long long)doc_number(direct, "later"),
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
	if (doc_number(removals, "waiting") > (int64_t)n)
		printf("  and %lld more\n",
			(long long)(doc_number(removals, "waiting") -
				(int64_t)n));
}

static void print_revocations(struct js revocations)
{
	struct js agents = js_get(revocations, "agents");
	const int64_t n = doc_number(revocations, "pending");
	if (n == 0)
		return;
	printf("to be ended  the tokens of %lld agent%s\n", (long long)n,
		n == 1 ? "" : "s");
	for (size_t i = 0; i < js_len(agents); i++)
		printf("  %s\n", js_str(js_at(agents, i)));
}

static void print_late(struct js acknowledgements)
{
	const int64_t n = doc_number(acknowledgements, "late");
	if (n > 0)
		printf("late         %lld agent%s not acknowledged in time: "
		       "`muster doctor` names them\n",
			(long long)n, n == 1 ? " has" : "s have");
}

static void print_states(struct js rotations)
{
	const char *before = "rotations    ";
	for (int st = ROTATION_WAITING; st < ROTATION_STATES; st++) {
		const char *name = rotation_state_name((enum rotation_state)st);
		const int64_t n = doc_number(rotations, name);
		if (n == 0)
			continue;
		printf("%s%lld %s", before, (long long)n, name);
		before = ", ";
	}
	putchar('\n');
}

/* Unless all that were asked for are done. */
static void print_rotations(struct js doc)
{
	struct js rotations = js_get(doc, "rotations");
	int64_t others = 0;
	for (int st = ROTATION_WAITING; st < ROTATION_STATES; st++)
		if (st != ROTATION_DONE)
			others += doc_number(rotations,
				rotation_state_name((enum rotation_state)st));
	if (others > 0)
		print_states(rotations);
	const int64_t every = doc_number(rotations, "every_ms");
	if (every > 0)
		printf("new tokens   every %g hours\n",
			(double)every / 3600000);
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
		js_get_str(hs, "url"), (long long)doc_number(hs, "requests"),
		(long long)doc_number(hs, "writes"));
	print_configuration(js_get(doc, "configuration"));
	print_counts("agents", doc, "agents");
	printf("rooms        %lld and %lld direct rooms\n",
		(long long)doc_number(doc, "rooms"),
		(long long)doc_number(doc, "direct_rooms"));
	int64_t unanswered = doc_number(doc, "unanswered");
	int64_t held = doc_number(doc, "held");
	if (unanswered > 0 || held > 0)
		printf("not our turn %lld invitations that humans have not "
		       "answered, %lld members held out\n",
			(long long)unanswered, (long long)held);
	print_direct(js_get(doc, "direct"));
	print_removals(js_get(doc, "removals"));
	print_revocations(js_get(doc, "revocations"));
	print_late(js_get(doc, "acknowledgements"));
	print_rotations(doc);
	if (doc_number(doc, "troubles") > 0)
		printf("troubles     %lld: `muster rooms` says which rooms "
		       "cannot be kept as declared\n",
			(long long)doc_number(doc, "troubles"));
	print_counts("journal", doc, "journal");
	struct js txn = js_get(doc, "transactions");
	printf("transactions %lld, %lld of them repeated, %lld refused; %lld "
	       "events, %lld applied, %lld quarantined\n",
		(long long)doc_number(txn, "seen"),
		(long long)doc_number(txn, "repeated"),
		(long long)doc_number(txn, "refused"),
		(long long)doc_number(txn, "events"),
		(long long)doc_number(txn, "applied"),
		(long long)doc_number(txn, "quarantined"));
	printf("beside events %lld ephemeral, %lld to devices, %lld device "
	       "lists, %lld key counts\n",
		(long long)doc_number(txn, "ephemeral"),
		(long long)doc_number(txn, "to_device"),
		(long long)doc_number(txn, "device_lists"),
		(long long)doc_number(txn, "key_counts"));
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

/* A variable overrules the file without a word but this. */
static const char *source_words(struct table *t, struct js row)
{
	const char *variable = js_get_str(row, "variable");
	int64_t line = 0;
	if (!variable)
		return js_get_str(row, "from");
	if (!js_get_i64(row, "overruled_line", &line))
		return variable;
	return arena_printf(
		&t->a, "%s, not line %lld", variable, (long long)line);
}

static void print_config(struct js doc)
{
	static const char *const names[] = { "SETTING", "FROM", "RELOAD",
		"VALUE" };
	struct table t = { 0 };
	struct js rows = js_get(doc, "settings");
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(rows); i++) {
		struct js row = js_at(rows, i);
		const char *print = js_get_str(row, "fingerprint");
		const char *bad = js_get_str(row, "error");
		const char *value = js_get_str(row, "value");
		table_cell(&t, js_get_str(row, "path"));
		table_cell(&t, source_words(&t, row));
		bool reloadable = false;
		js_get_bool(row, "reloadable", &reloadable);
		table_cell(&t, reloadable ? "yes" : "no");
		table_cell(&t,
			print ? arena_printf(&t.a, "(secret, %s)", print)
				: bad   ? "(secret, cannot be read)"
				: value ? value
					: "-");
	}
	table_print(&t);
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
		{ "doctor", print_doctor },
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
