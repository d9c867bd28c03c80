/*
 * For people: who has which token since when, and what is wrong.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/ops/print_priv.h"
#include "appservice/ops/rotation_words.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define BY_CHARACTERS 24
#define DAY_MS (INT64_C(20) * 3600 * 1000)        /* nearly */
#define YEAR_MS (INT64_C(300) * 24 * 3600 * 1000) /* nearly */

/* --- agents ------------------------------------------------------------------ */

/* "08:17Z" of what is not a day old, "11-26" of what is not a year old, else the
 * whole date: in a table that fits a terminal. */
static const char *when_short(struct arena *a, struct js row, const char *key)
{
	const int64_t ms = doc_number(row, key);
	char text[25];
	if (ms == 0)
		return "";
	clock_format(ms, text);
	const int64_t age = clock_wall_ms() - ms;
	if (age > YEAR_MS)
		return arena_printf(a, "%.10s", text);
	return age > DAY_MS ? arena_printf(a, "%.5s", text + 5)
			    : arena_printf(a, "%.5sZ", text + 11);
}

/* What is wrong with it. */
static const char *remark(struct js row)
{
	const char *error = js_get_str(row, "error");
	if (error)
		return error;
	return doc_number(row, "exposed_ms") > 0
		? "others could read its token: `muster rotate` it with --now"
		: NULL;
}

/* "logged_in, error" */
static const char *state_of(struct arena *a, struct js row)
{
	const char *state = js_get_str(row, "state");
	bool leaving = false;
	js_get_bool(row, "leaving", &leaving);
	const bool error =
		js_get_str(row, "error") && !text_eq(state, "blocked");
	return arena_printf(a, "%s%s%s", state, leaving ? ", leaving" : "",
		error ? ", error" : "");
}

/* When, or which generation was the last to be. */
static const char *when_or_last(struct arena *a, struct js row,
	const char *when, const char *generation)
{
	const int64_t last = doc_number(row, generation);
	if (last > 0 && last < doc_number(row, "generation"))
		return arena_printf(a, "gen %lld", (long long)last);
	return when_short(a, row, when);
}

static bool is_done(const char *rotation)
{
	return !rotation || text_eq(rotation, "done");
}

static void print_rotation(struct js row)
{
	struct arena a = { 0 };
	const char *why = js_get_str(row, "rotation_why");
	const char *error = js_get_str(row, "rotation_error");
	const char *state = js_get_str(row, "rotation");
	const bool over = rotation_is_over(state);
	printf("rotation: %s: %s (%s%s%s%s)\n", js_get_str(row, "user_id"),
		over && error ? error : rotation_words_of(state),
		over ? "" : "since ", doc_when(&a, row, "rotation_ms"),
		why ? ": " : "", why ? why : "");
	arena_free(&a);
}

/* What was asked for, and is not done. */
static void print_wishes(struct js row)
{
	struct arena a = { 0 };
	const char *why = js_get_str(row, "revoke_why");
	if (doc_number(row, "revoke_ms") > 0)
		printf("to be ended: the tokens of %s, since %s%s%s\n",
			js_get_str(row, "user_id"),
			doc_when(&a, row, "revoke_ms"), why ? ": " : "",
			why ? why : "");
	if (!is_done(js_get_str(row, "rotation")))
		print_rotation(row);
	arena_free(&a);
}

void print_agents(struct js doc)
{
	static const char *const names[] = { "AGENT", "NAME", "STATE", "GEN",
		"WRITTEN", "ACKED", "BY", "" };
	struct table t = { 0 };
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(doc); i++) {
		struct js row = js_at(doc, i);
		table_cell(&t, js_get_str(row, "user_id"));
		table_cell(&t, js_get_str(row, "name"));
		table_cell(&t, state_of(&t.a, row));
		table_int(&t, doc_number(row, "generation"));
		table_cell(&t,
			when_or_last(
				&t.a, row, "written_ms", "written_generation"));
		table_cell(&t,
			when_or_last(
				&t.a, row, "acked_ms", "acked_generation"));
		table_cell(&t,
			doc_excerpt(&t.a, js_get_str(row, "acked_by"),
				BY_CHARACTERS));
		table_cell(&t, remark(row));
	}
	table_print(&t);
	for (size_t i = 0; i < js_len(doc); i++)
		print_wishes(js_at(doc, i));
}

/* --- doctor ------------------------------------------------------------------- */

static bool is_said_before(const struct table *t, const char *why)
{
	for (size_t i = 1; i < t->n; i += 2)
		if (text_eq(t->cells[i], why))
			return true;
	return false;
}

/* Each reason once: a thousand agents may share one. */
static void print_reasons(struct js findings)
{
	struct table t = { 0 };
	static const char *const names[] = { "CHECK", "WHY IT MATTERS" };
	putchar('\n');
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < js_len(findings); i++) {
		const char *why = js_get_str(js_at(findings, i), "why");
		if (is_said_before(&t, why))
			continue;
		table_cell(&t, js_get_str(js_at(findings, i), "check"));
		table_cell(&t, why);
	}
	table_print(&t);
}

static void print_fingerprints(struct js secrets)
{
	for (size_t i = 0; i < js_len(secrets); i++) {
		struct js row = js_at(secrets, i);
		bool trimmed = false;
		js_get_bool(row, "newline_trimmed", &trimmed);
		printf("%s%s %s%s", i ? ", " : "secrets, by fingerprint: ",
			js_get_str(row, "name"), js_get_str(row, "fingerprint"),
			trimmed ? " (without the newline at its end)" : "");
	}
	if (js_len(secrets) > 0)
		putchar('\n');
}

void print_doctor(struct js doc)
{
	static const char *const keys[] = { "check", "subject", "what", "fix" };
	static const char *const names[] = { "CHECK", "WHO", "WHAT",
		"WHAT MENDS IT" };
	struct js findings = js_get(doc, "findings");
	const size_t n = js_len(findings);
	struct table t = { 0 };
	bool service = false;
	js_get_bool(doc, "service", &service);
	puts(service ? "the running service was asked about its agents, and "
		       "all else was looked at from here"
		     : "no service runs: the files, the store and the "
		       "homeserver were looked at from here");
	print_fingerprints(js_get(doc, "secrets"));
	if (n == 0) {
		printf("nothing is wrong, in %lld looks\n",
			(long long)doc_number(doc, "checked"));
		return;
	}
	table_titles(&t, ARRAY_LEN(names), names);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			table_cell(&t, js_get_str(js_at(findings, i), keys[k]));
	table_print(&t);
	print_reasons(findings);
	printf("\n%zu finding%s\n", n, n == 1 ? "" : "s");
}
