/*
 * The plan alone: a fleet's files, a store, and how long it takes to read the
 * store and to find the difference. With --fill everything that is declared is
 * written into the store first, as events have it; with --fill direct only the
 * direct rooms are. Prints one JSON object; with --steps the plan's steps are
 * in it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/app.h"
#include "appservice/reconcile/reconcile.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/bench/common.h"

#include "base/poison.h"

static const char usage[] =
	"usage: plan --config FILE [option...]\n"
	"  --fill all|direct  what is declared is there (a store of our own)\n"
	"  --times N          read and plan so often (5)\n"
	"  --steps            show the steps\n";

#define SHOWN_STEPS 1000

struct bench {
	const char *config;
	bool fill_all, fill_direct, steps;
	unsigned times;
	struct app app;
	struct err e;
	double load_ms, declare_ms, fill_ms;
	unsigned rooms; /* that were filled in */
};

static void check(struct bench *b, const char *what, enum rc rc)
{
	if (rc == RC_OK)
		return;
	fprintf(stderr, "plan: %s: %s\n", what, b->e.text);
	exit(1);
}

static double ms_since(uint64_t from)
{
	return (double)(now_ns() - from) / 1e6;
}

/* --- memory ------------------------------------------------------------------ */

/* Of /proc/self/status, in bytes. */
static int64_t status(const char *name)
{
	char line[256];
	int64_t kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (text_starts(line, name) && line[strlen(name)] == ':')
			kib = strtoll(line + strlen(name) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib * 1024;
}

/* From here on VmHWM is the most since now. */
static void forget_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	if (f) {
		fputs("5", f);
		fclose(f);
	}
}

/* --- a store in which all is as declared --------------------------------------- */

static void room_id_of(const struct bench *b, char ret[64])
{
	snprintf(ret, 64, "!filled%07u:%s", b->rooms, b->app.fleet.server_name);
}

static void fill_member(struct bench *b, const char *room_id, const char *user)
{
	char event[96];
	const struct store_membership m = { .room_id = room_id,
		.user_id = user,
		.membership = "join",
		.event_id = event,
		.origin_ts = b->app.started_ms,
		.source = "event" };

	snprintf(event, sizeof(event), "$%s %.40s", room_id, user);
	check(b, "a membership",
		store_membership_set(b->app.store, &m, NULL, &b->e));
}

static const char *id_of(void *arg, const char *key)
{
	(void)arg;
	(void)key;
	return NULL;
}

static void fill_state(
	struct bench *b, const struct room *room, const char *room_id)
{
	const struct state_how how = { .fleet = &b->app.fleet,
		.sender_id = b->app.sender_id,
		.maker = b->app.sender_id,
		.create = "{\"room_version\":\"11\"}",
		.id_of = id_of };
	struct buf content;

	buf_init(&content, LIMIT_ANSWER);
	for (size_t i = 0; declared_state(i) != ROOM_STATES; i++) {
		enum room_state st = declared_state(i);
		if (state_is_right(&how, room, st, "{}"))
			continue;
		buf_clear(&content);
		state_write(&how, room, st, (struct js){ 0 }, &content);
		check(b, "a state",
			store_state_set(b->app.store, room_id,
				room_state_type(st), buf_str(&content),
				"$state", b->app.sender_id, b->app.started_ms,
				NULL, &b->e));
	}
	check(b, "a creation",
		store_state_set(b->app.store, room_id, "m.room.create",
			how.create, "$create", b->app.sender_id,
			b->app.started_ms, NULL, &b->e));
	buf_free(&content);
}

static void fill_room(struct bench *b, const struct room *room)
{
	struct store *s = b->app.store;
	const char *maker =
		room->direct ? room->maker->user_id : b->app.sender_id;
	char room_id[64];

	b->rooms++;
	room_id_of(b, room_id);
	check(b, room->key,
		store_room_found(s, room->key, room_id, maker, &b->e));
	check(b, room->key,
		store_room_looked(s, room->key, b->app.started_ms, 0, &b->e));
	for (size_t i = 0; i < room->n_members; i++) {
		const struct person *who = room->members[i];
		fill_member(b, room_id, who->user_id);
		if (room->direct && !who->human)
			check(b, "a mark",
				store_mark_add(
					s, room_id, who->user_id, &b->e));
	}
	if (!room->direct) {
		fill_member(b, room_id, b->app.sender_id);
		fill_state(b, room, room_id);
	}
}

static void fill_agent(struct bench *b, const char *user_id, const char *name)
{
	static const char digest[] = "0000000000000000000000000000000000000000"
				     "000000000000000000000000";
	const char *device = config_text(&b->app.config, SET_HANDOFF_DEVICE);
	const int64_t now = b->app.started_ms;
	struct store *s = b->app.store;

	check(b, user_id,
		store_agent_state(s, user_id, AGENT_REGISTERED, now, &b->e));
	check(b, user_id, store_agent_shown_name(s, user_id, name, &b->e));
	if (text_eq(user_id, b->app.sender_id))
		return;
	check(b, user_id, store_agent_login(s, user_id, device, 1, now, &b->e));
	check(b, user_id,
		store_agent_handed_off(
			s, user_id, device, 1, digest, now, &b->e));
}

static void fill(struct bench *b)
{
	const struct fleet *f = &b->app.fleet;
	const uint64_t from = now_ns();

	check(b, "the store", store_begin(b->app.store, &b->e));
	if (b->fill_all)
		fill_agent(b, b->app.sender_id,
			config_text(&b->app.config, SET_AS_SENDER_NAME));
	for (size_t i = 0; b->fill_all && i < f->n_agents; i++)
		fill_agent(b, f->agents[i]->user_id, f->agents[i]->name);
	for (size_t i = 0; i < f->n_rooms; i++)
		if (b->fill_all || f->rooms[i].direct)
			fill_room(b, &f->rooms[i]);
	check(b, "the store", store_commit(b->app.store, &b->e));
	b->fill_ms = ms_since(from);
}

/* --- what is measured ------------------------------------------------------------- */

static void load(struct bench *b)
{
	struct report report;
	uint64_t from = now_ns();

	report_init(&report);
	app_init(&b->app);
	enum rc rc = app_load(&b->app, b->config, FOR_FILES, &report, &b->e);
	for (size_t i = 0; i < report.n; i++)
		fprintf(stderr, "%s:%d: %s\n", report.items[i].file,
			report.items[i].line, report.items[i].text);
	check(b, b->config, rc);
	report_free(&report);
	b->load_ms = ms_since(from);
	from = now_ns();
	const struct store_options alone = { 0 };
	check(b, "the store", app_open_store(&b->app, &alone, &b->e));
	b->declare_ms = ms_since(from);
}

static void show_steps(const struct plan *p)
{
	fputs(", \"steps\": [", stdout);
	for (size_t i = 0; i < p->n && i < SHOWN_STEPS; i++)
		printf("%s[\"%s\", \"%s\", \"%s\"]", i ? ", " : "",
			step_kind_name(p->steps[i].kind), p->steps[i].subject,
			p->steps[i].where ? p->steps[i].where : "");
	fputs("]", stdout);
}

static void show(
	struct bench *b, const struct plan *p, const struct store_snapshot *now)
{
	const struct fleet *f = &b->app.fleet;

	printf("\"people\": %zu, \"agents\": %zu, \"pairs\": %zu, "
	       "\"rooms\": %zu, \"rows\": %zu, \"n_steps\": %zu, "
	       "\"unanswered\": %zu, \"load_ms\": %.3f, \"declare_ms\": %.3f, "
	       "\"fill_ms\": %.3f",
		f->n_people, f->n_agents, f->n_direct, f->n_rooms - f->n_direct,
		now->n_rooms, p->n, p->unanswered, b->load_ms, b->declare_ms,
		b->fill_ms);
	if (b->steps)
		show_steps(p);
}

/* Reads and plans; the times are the shortest, the memory is the most. */
static void measure(struct bench *b)
{
	const struct plan_how how = reconcile_how(&b->app, SIZE_MAX);
	double snapshot_ms = 0, plan_ms = 0;
	int64_t used = 0;

	printf("{\"anon_loaded\": %lld, ", (long long)status("RssAnon"));
	forget_peak();
	for (unsigned n = 0; n < b->times; n++) {
		struct arena a = { 0 };
		struct store_snapshot now = { 0 };
		struct plan plan = { 0 };
		uint64_t from = now_ns();
		check(b, "the snapshot",
			app_snapshot(&b->app, &a, &now, &b->e));
		double took = ms_since(from);
		if (n == 0 || took < snapshot_ms)
			snapshot_ms = took;
		const size_t before = a.used;
		from = now_ns();
		check(b, "the plan",
			plan_make(&b->app.fleet, &how, &now, &a, &plan, &b->e));
		took = ms_since(from);
		if (n == 0 || took < plan_ms)
			plan_ms = took;
		used = (int64_t)a.used;
		if (n + 1 == b->times) {
			show(b, &plan, &now);
			printf(", \"snapshot_bytes\": %zu, \"plan_bytes\": %zu",
				before, a.used - before);
		}
		arena_free(&a);
	}
	/* What is no anonymous memory is the program and its libraries. */
	printf(", \"snapshot_ms\": %.3f, \"plan_ms\": %.3f, \"arena\": %lld, "
	       "\"peak\": %lld, \"peak_private\": %lld}\n",
		snapshot_ms, plan_ms, (long long)used,
		(long long)status("VmHWM"),
		(long long)(status("VmHWM") - status("RssFile")));
}

static void read_options(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "fill", required_argument, NULL, 'f' },
		{ "times", required_argument, NULL, 't' },
		{ "steps", no_argument, NULL, 's' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 'c':
			b->config = optarg;
			break;
		case 'f':
			b->fill_all = text_eq(optarg, "all");
			b->fill_direct = text_eq(optarg, "direct");
			if (!b->fill_all && !b->fill_direct)
				wrong_use(usage);
			break;
		case 't':
			b->times =
				(unsigned)option_number(optarg, 1, 1000, usage);
			break;
		case 's':
			b->steps = true;
			break;
		default:
			wrong_use(usage);
		}
	if (optind != argc || !b->config)
		wrong_use(usage);
}

int main(int argc, char **argv)
{
	struct bench b = { .times = 5 };

	read_options(&b, argc, argv);
	load(&b);
	if (b.fill_all || b.fill_direct)
		fill(&b);
	measure(&b);
	app_free(&b.app);
	return 0;
}
