/*
 * The documents of the admin API: the declared fleet beside what the store
 * knows of it.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/ops/doctor.h"
#include "appservice/ops/figures.h"
#include "appservice/ops/views.h"
#include "appservice/reconcile/plan.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reload.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define LIST_LIMIT 1000 /* rows of the journal and of the audit log */

const struct view views[] = {
	{ "status", view_status, false },
	{ "agents", view_agents, false },
	{ "rooms", view_rooms, false },
	{ "plan", view_plan, false },
	{ "doctor", view_doctor, true },
	{ "journal", view_journal, false },
	{ "quarantine", view_quarantine, false },
	{ "audit", view_audit, false },
};
const size_t n_views = ARRAY_LEN(views);

const struct view *view_by_name(const char *name)
{
	for (size_t i = 0; i < n_views; i++)
		if (text_eq(views[i].name, name))
			return &views[i];
	return NULL;
}

/* --- agents -------------------------------------------------------------- */

/* An agent that nothing is known of yet is only declared. */
static const struct store_agent unknown_agent = { .state = AGENT_DECLARED };

static void write_time(struct jb *b, const char *name, int64_t ms)
{
	if (ms > 0)
		jb_int(b, name, ms);
	else
		jb_null(b, name);
}

static void write_agent(struct jb *b, const struct person *p,
	const struct store_agent *row, bool leaving)
{
	jb_obj(b, NULL);
	jb_str(b, "user_id", p->user_id);
	jb_str(b, "name", p->name);
	jb_str(b, "department", p->department);
	jb_str(b, "team", p->team);
	jb_str(b, "level", p->level);
	jb_str(b, "state", agent_state_name(row->state));
	jb_bool(b, "leaving", leaving);
	jb_str(b, "device_id", row->device_id);
	jb_int(b, "generation", row->generation);
	jb_int(b, "acked_generation", row->acked_generation);
	jb_int(b, "since_ms", row->since_ms);
	jb_int(b, "written_generation", row->written_generation);
	write_time(b, "written_ms", row->written_ms);
	write_time(b, "acked_ms", row->acked_ms);
	jb_str(b, "acked_by", row->acked_by);
	write_time(b, "token_seen_ms", row->token_seen_ms);
	write_time(b, "exposed_ms", row->exposed_ms);
	write_time(b, "revoke_ms", row->revoke_ms);
	jb_str(b, "revoke_why", row->revoke_ms ? row->revoke_why : NULL);
	jb_str(b, "rotation",
		row->rotation.state == ROTATION_NONE
			? NULL
			: rotation_state_name(row->rotation.state));
	write_time(b, "rotation_ms", row->rotation.state_ms);
	jb_str(b, "rotation_why", row->rotation.why);
	jb_str(b, "rotation_error", row->rotation.error);
	jb_int(b, "rotate_every_ms", row->rotate_every_ms);
	jb_str(b, "error", row->error);
	jb_end_obj(b);
}

/* As it was declared last. */
static void write_leaver(
	struct jb *b, const struct store_agent *row, bool leaving)
{
	const struct person p = { .user_id = row->user_id,
		.name = row->name,
		.department = row->department,
		.team = row->team,
		.level = row->level };
	write_agent(b, &p, row, leaving);
}

/* What holds of it: its own, or that of all. */
static void settle_every(struct store_snapshot *now)
{
	for (size_t i = 0; i < now->n_agents; i++) {
		int64_t *every = &now->agents[i].rotate_every_ms;
		if (*every == 0)
			*every = now->rotate_every_ms;
		else if (*every < 0)
			*every = 0;
	}
}

static void write_agents(
	struct jb *b, const struct fleet *f, const struct store_snapshot *now)
{
	for (size_t i = 0; i < f->n_agents; i++) {
		const struct store_agent *row =
			snapshot_agent(now, f->agents[i]->user_id);
		write_agent(b, f->agents[i], row ? row : &unknown_agent, false);
	}
	for (size_t i = 0; i < now->n_agents; i++) {
		const struct store_agent *row = &now->agents[i];
		const bool leaving = agent_is_leaving(f, row);
		if (leaving || agent_has_left(f, row))
			write_leaver(b, row, leaving);
	}
}

enum rc view_agents(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	struct jb b;
	enum rc rc = app_snapshot(app, &a, &now, e);
	jb_init(&b, out);
	jb_arr(&b, NULL);
	settle_every(&now);
	if (rc == RC_OK)
		write_agents(&b, &app->fleet, &now);
	jb_end_arr(&b);
	arena_free(&a);
	return rc;
}

/* --- plan --------------------------------------------------------------------- */

void plan_write_steps(struct jb *b, const struct plan *plan)
{
	jb_arr(b, "steps");
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *st = &plan->steps[i];
		jb_obj(b, NULL);
		jb_str(b, "kind", step_kind_name(st->kind));
		jb_str(b, "subject", st->subject);
		jb_str(b, "room", st->where);
		jb_str(b, "reason", st->reason);
		jb_end_obj(b);
	}
	jb_end_arr(b);
}

enum rc view_plan(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct plan plan = { 0 };
	struct jb b;
	enum rc rc = reconcile_plan(app, &a, &plan, e);
	jb_init(&b, out);
	jb_obj(&b, NULL);
	plan_write_steps(&b, &plan);
	jb_int(&b, "removals", (int64_t)plan.removals);
	jb_end_obj(&b);
	arena_free(&a);
	return rc;
}

/* --- status --------------------------------------------------------------------- */

static void say_ready(struct app *app, bool try_store, struct jb *why)
{
	struct reconcile_state st;
	struct err e = { 0 };
	if (!app->reconcile) {
		jb_str(why, NULL, "the service is not running");
		return;
	}
	reconcile_state(app->reconcile, &st);
	if (!st.connected)
		jb_str(why, NULL,
			st.why[0] ? st.why
				  : "the homeserver has not answered yet");
	if (st.connected && !st.reached)
		jb_str(why, NULL,
			st.ping[0] ? st.ping
				   : "the homeserver has not reached us yet");
	if (st.connected && !st.repaired)
		jb_str(why, NULL, "the first repair is still going on");
	if (!st.store_ok)
		jb_str(why, NULL, "the store cannot be used: see the log");
	else if (try_store && store_check(app->store, &e) != RC_OK)
		jb_str(why, NULL, e.text);
}

bool view_ready(struct app *app, struct buf *why_not)
{
	struct jb b;
	struct buf unsaid;
	buf_init(&unsaid, LIMIT_SMALL_BODY);
	struct buf *out = why_not ? why_not : &unsaid;
	buf_clear(out);
	jb_init(&b, out);
	jb_arr(&b, NULL);
	say_ready(app, why_not != NULL, &b);
	jb_end_arr(&b);
	bool ready = text_eq(buf_str(out), "[]");
	buf_free(&unsaid);
	return ready;
}

static void write_counters(struct jb *b, const struct figures *f)
{
	jb_obj(b, "journal");
	jb_int(b, "waiting", f->waiting);
	jb_int(b, "failed", f->failed);
	jb_end_obj(b);
	jb_obj(b, "transactions");
	jb_int(b, "seen", f->txn.seen);
	jb_int(b, "repeated", f->txn.repeated);
	jb_int(b, "events", f->txn.events);
	jb_int(b, "applied", f->txn.applied);
	jb_int(b, "quarantined", f->txn.quarantined);
	jb_int(b, "ephemeral", f->txn.ephemeral);
	jb_int(b, "to_device", f->txn.to_device);
	jb_int(b, "device_lists", f->txn.device_lists);
	jb_int(b, "key_counts", f->txn.key_counts);
	jb_int(b, "refused", f->txn.refused);
	jb_int(b, "last_ms", f->txn.last_ms);
	jb_end_obj(b);
	jb_obj(b, "quarantine");
	jb_int(b, "kept", f->quarantine.kept);
	jb_int(b, "bytes", f->quarantine.bytes);
	jb_int(b, "dropped", f->quarantine.dropped);
	jb_end_obj(b);
}

/* As it is now, else as it was when the service ran last. */
static const char *kind_of(struct app *app, struct arena *a)
{
	enum hs_kind kind = (enum hs_kind)atomic_load(&app->kind);
	const char *noted = NULL;
	if (kind == HS_UNKNOWN && app->store &&
		store_note_get(app->store, NOTE_HS_KIND, a, &noted, NULL) ==
			RC_OK &&
		noted)
		return noted;
	return hs_kind_name(kind);
}

/* Conduit does not say its version, so it is null there. */
static void write_homeserver(
	struct jb *b, struct app *app, const struct figures *f)
{
	struct reconcile_state st = { 0 };
	struct arena a = { 0 };
	if (app->reconcile)
		reconcile_state(app->reconcile, &st);
	jb_obj(b, "homeserver");
	jb_str(b, "kind", kind_of(app, &a));
	jb_str(b, "url", config_text(&app->config, SET_HS_URL));
	jb_str(b, "server_name", config_text(&app->config, SET_HS_NAME));
	jb_str(b, "version", st.server[0] ? st.server : NULL);
	jb_int(b, "requests", f->requests);
	jb_int(b, "writes", f->writes);
	jb_end_obj(b);
	arena_free(&a);
}

/* Without a service the files are what is in force. */
static void write_configuration(struct jb *b, struct app *app)
{
	struct reload_state st = { 0 };
	if (app->reload)
		reload_state(app, &st);
	jb_obj(b, "configuration");
	if (app->reload)
		jb_int(b, "loaded_ms", st.loaded_ms);
	else
		jb_null(b, "loaded_ms");
	jb_str(b, "error", st.error[0] ? st.error : NULL);
	jb_str(b, "registration",
		!app->reload          ? NULL
			: st.outdated ? "outdated"
				      : "current");
	jb_end_obj(b);
}

static void write_direct(
	struct jb *b, const struct app *app, const struct figures *f)
{
	jb_obj(b, "direct");
	jb_str(b, "mode", direct_mode_name(reconcile_direct_mode(app)));
	jb_int(b, "declared", f->direct_declared);
	jb_int(b, "wanted", f->direct_wanted);
	jb_int(b, "made", f->direct_made);
	jb_int(b, "later", f->direct_later);
	jb_int(b, "per_minute", f->direct_per_minute);
	jb_int(b, "rate", f->direct_rate);
	jb_int(b, "left_s", f->direct_left_s);
	jb_end_obj(b);
}

/* Agents who wait for somebody to let them go. */
static void write_removals(struct jb *b, const struct figures *f)
{
	char why[160];
	snprintf(why, sizeof(why),
		"%lld of %lld agents are not declared any more: nothing of it "
		"is done until `muster approve`",
		(long long)f->removals, (long long)f->removals_of);
	jb_obj(b, "removals");
	jb_int(b, "waiting", f->removals);
	jb_arr(b, "agents");
	for (size_t i = 0; i < f->n_leavers; i++)
		jb_str(b, NULL, f->leavers[i]);
	jb_end_arr(b);
	jb_str(b, "why", f->removals > 0 ? why : NULL);
	jb_end_obj(b);
}

/* What an operator asked for: tokens that are to be ended, and new ones. */
static void write_tokens(struct jb *b, const struct figures *f)
{
	jb_obj(b, "revocations");
	jb_int(b, "pending", f->revoking);
	jb_arr(b, "agents");
	for (size_t i = 0; i < f->n_revoked; i++)
		jb_str(b, NULL, f->revoked[i]);
	jb_end_arr(b);
	jb_end_obj(b);
	jb_obj(b, "acknowledgements");
	jb_int(b, "late", f->late);
	jb_end_obj(b);
	jb_obj(b, "rotations");
	for (int st = ROTATION_WAITING; st < ROTATION_STATES; st++)
		if (f->rotations[st])
			jb_int(b, rotation_state_name((enum rotation_state)st),
				f->rotations[st]);
	jb_int(b, "every_ms", f->rotate_every_ms);
	jb_end_obj(b);
}

enum rc view_status(struct app *app, struct buf *out, struct err *e)
{
	struct figures f = { 0 };
	struct jb b;
	struct arena a = { 0 };
	struct buf why_not;
	buf_init(&why_not, LIMIT_SMALL_BODY);
	enum rc rc = figures_take(app, &a, &f, &why_not, e);
	if (rc != RC_OK)
		goto out;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "version", MUSTER_VERSION);
	jb_int(&b, "uptime_s", f.uptime_s);
	jb_bool(&b, "ready", f.ready);
	jb_raw(&b, "why_not", buf_str(&why_not));
	jb_obj(&b, "agents");
	for (int st = 0; st < AGENT_STATES; st++)
		if (f.agents[st])
			jb_int(&b, agent_state_name((enum agent_state)st),
				f.agents[st]);
	jb_end_obj(&b);
	jb_int(&b, "rooms", f.rooms);
	jb_int(&b, "direct_rooms", f.direct_rooms);
	jb_int(&b, "unanswered", f.unanswered);
	jb_int(&b, "held", f.held);
	jb_int(&b, "troubles", f.troubles);
	write_direct(&b, app, &f);
	write_removals(&b, &f);
	write_tokens(&b, &f);
	write_counters(&b, &f);
	write_homeserver(&b, app, &f);
	write_configuration(&b, app);
	jb_end_obj(&b);
out:
	buf_free(&why_not);
	arena_free(&a);
	return rc;
}

/* --- lists ------------------------------------------------------------------------- */

enum rc view_journal(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct store_step *rows = NULL;
	size_t n = 0;
	struct jb b;
	enum rc rc = app->store
		? store_journal_list(app->store, LIST_LIMIT, &a, &rows, &n, e)
		: RC_OK;
	jb_init(&b, out);
	jb_arr(&b, NULL);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		jb_obj(&b, NULL);
		jb_int(&b, "id", rows[i].id);
		jb_str(&b, "kind", rows[i].kind);
		jb_str(&b, "subject", rows[i].subject);
		jb_str(&b, "room", rows[i].room);
		jb_str(&b, "state", journal_state_name(rows[i].state));
		jb_int(&b, "attempt", rows[i].attempt);
		jb_int(&b, "created_ms", rows[i].created_ms);
		jb_int(&b, "updated_ms", rows[i].updated_ms);
		jb_int(&b, "next_attempt_ms", rows[i].next_attempt_ms);
		jb_str(&b, "error", rows[i].error);
		jb_end_obj(&b);
	}
	jb_end_arr(&b);
	arena_free(&a);
	return rc;
}

enum rc view_quarantine(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct store_quarantined *rows = NULL;
	size_t n = 0;
	struct jb b;
	enum rc rc = app->store
		? store_quarantine_list(app->store, &a, &rows, &n, e)
		: RC_OK;
	jb_init(&b, out);
	jb_arr(&b, NULL);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		jb_obj(&b, NULL);
		jb_int(&b, "id", rows[i].id);
		jb_str(&b, "txn_id", rows[i].txn_id);
		jb_int(&b, "index", rows[i].index);
		jb_str(&b, "reason", rows[i].reason);
		jb_str(&b, "bytes", rows[i].bytes);
		jb_bool(&b, "partial", rows[i].partial);
		jb_int(&b, "received_ms", rows[i].received_ms);
		jb_end_obj(&b);
	}
	jb_end_arr(&b);
	arena_free(&a);
	return rc;
}

enum rc view_audit(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct store_audit *rows = NULL;
	size_t n = 0;
	struct jb b;
	enum rc rc = app->store
		? store_audit_list(app->store, LIST_LIMIT, &a, &rows, &n, e)
		: RC_OK;
	jb_init(&b, out);
	jb_arr(&b, NULL);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		jb_obj(&b, NULL);
		jb_int(&b, "ms", rows[i].ms);
		jb_str(&b, "actor", rows[i].actor);
		jb_str(&b, "action", rows[i].action);
		jb_str(&b, "subject", rows[i].subject);
		jb_str(&b, "detail", rows[i].detail);
		jb_end_obj(&b);
	}
	jb_end_arr(&b);
	arena_free(&a);
	return rc;
}
