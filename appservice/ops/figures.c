/*
 * The figures of the service, and the table of their names for Prometheus.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "appservice/ops/doctor.h"
#include "appservice/ops/figures.h"
#include "appservice/ops/views.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reload.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* --- taking them ----------------------------------------------------------- */

static void count_fleet(const struct app *app, const struct store_snapshot *now,
	struct figures *f)
{
	for (size_t i = 0; i < app->fleet.n_agents; i++) {
		const struct store_agent *row =
			snapshot_agent(now, app->fleet.agents[i]->user_id);
		f->agents[row ? row->state : AGENT_DECLARED]++;
	}
	for (size_t i = 0; i < now->n_agents; i++) {
		const struct store_agent *row = &now->agents[i];
		f->agents[row->state] += agent_is_leaving(&app->fleet, row) ||
			agent_has_left(&app->fleet, row);
	}
	for (size_t i = 0; i < app->fleet.n_rooms; i++) {
		const struct room *room = &app->fleet.rooms[i];
		const struct store_room *row = snapshot_room(now, room->key);
		if (row && row->room_id)
			(*(room->direct ? &f->direct_rooms : &f->rooms))++;
	}
}

/* Only those who are asked about. */
static void name_leavers(const struct app *app,
	const struct store_snapshot *now, struct figures *f)
{
	for (size_t i = 0; f->removals > 0 && i < now->n_agents; i++) {
		const struct store_agent *row = &now->agents[i];
		if (f->n_leavers < LEAVERS_SHOWN && !row->may_leave &&
			agent_is_leaving(&app->fleet, row))
			f->leavers[f->n_leavers++] = row->user_id;
	}
}

static void count_direct(
	const struct app *app, const struct plan *plan, struct figures *f)
{
	f->direct_declared = (int64_t)app->fleet.n_direct;
	f->direct_wanted = (int64_t)plan->direct;
	f->direct_made = (int64_t)plan->direct_made;
	for (size_t i = 0; i < plan->n; i++) {
		const struct step *st = &plan->steps[i];
		f->direct_later +=
			st->kind == STEP_CREATE_ROOM && st->room->direct;
	}
	f->direct_per_minute = config_int(&app->config, SET_DIRECT_PER_MINUTE);
	if (app->reconcile)
		f->direct_rate = reconcile_direct_rate(app->reconcile);
	/* As fast as it may be, or as the homeserver lets it. */
	const int64_t rate =
		f->direct_rate > 0 && f->direct_rate < f->direct_per_minute
		? f->direct_rate
		: f->direct_per_minute;
	f->direct_left_s = (f->direct_later * 60 + rate - 1) / rate;
}

static void count_tokens(const struct app *app,
	const struct store_snapshot *now, struct figures *f)
{
	f->rotate_every_ms = now->rotate_every_ms;
	const int64_t wait = config_int(&app->config, SET_HANDOFF_WAIT);
	const int64_t at = clock_wall_ms();
	for (size_t i = 0; i < now->n_agents; i++) {
		const struct store_agent *row = &now->agents[i];
		f->rotations[row->rotation.state]++;
		f->late += ack_is_late(row, wait, at);
		if (!row->revoke_ms)
			continue;
		f->revoking++;
		if (f->n_revoked < LEAVERS_SHOWN)
			f->revoked[f->n_revoked++] = row->user_id;
	}
}

static enum rc count_plan(struct app *app, const struct store_snapshot *now,
	struct arena *a, struct figures *f, struct err *e)
{
	struct plan plan = { 0 };
	enum rc rc = reconcile_plan_from(app, now, a, &plan, e);
	if (rc != RC_OK)
		return rc;
	f->steps = (int64_t)plan.n;
	f->unanswered = (int64_t)plan.unanswered;
	f->held = (int64_t)plan.held;
	f->troubles = (int64_t)plan.n_troubles;
	f->removals = (int64_t)plan.removals;
	f->removals_of = (int64_t)plan.removals_of;
	name_leavers(app, now, f);
	count_tokens(app, now, f);
	count_direct(app, &plan, f);
	f->direct_mode[reconcile_direct_mode(app)] = 1;
	return RC_OK;
}

static enum rc count_rows(struct app *app, struct figures *f, struct err *e)
{
	if (!app->store)
		return RC_OK;
	enum rc rc =
		store_journal_counts(app->store, &f->waiting, &f->failed, e);
	if (rc == RC_OK)
		rc = store_txn_counts(app->store, &f->txn, e);
	if (rc == RC_OK)
		rc = store_quarantine_total(app->store, &f->quarantine, e);
	return rc;
}

enum rc figures_take(struct app *app, struct arena *a, struct figures *ret,
	struct buf *why_not, struct err *e)
{
	struct store_snapshot now = { 0 };
	struct figures f = { .ready = view_ready(app, why_not),
		.requests = hs_gate_requests(app->gate),
		.writes = hs_gate_writes(app->gate) };
	struct reload_state loaded = { 0 };
	if (app->reload)
		reload_state(app, &loaded);
	f.wrong = loaded.error[0] != '\0';
	f.outdated = loaded.outdated;
	if (app->reconcile)
		f.uptime_s = (clock_wall_ms() - app->started_ms) / 1000;
	enum rc rc = app_snapshot(app, a, &now, e);
	if (rc == RC_OK) {
		count_fleet(app, &now, &f);
		rc = count_plan(app, &now, a, &f, e);
	}
	if (rc == RC_OK)
		rc = count_rows(app, &f, e);
	if (rc == RC_OK)
		*ret = f;
	return rc;
}

/* --- for Prometheus ---------------------------------------------------------- */

#define AT(member) offsetof(struct figures, member)

/* Rows of one name stand together; the first has its help. */
static const struct metric {
	const char *name, *labels, *type, *help;
	size_t at;
} metrics[] = {
	{ "muster_ready", "", "gauge",
		"1 while everything works and the first repair is done.",
		AT(ready) },
	{ "muster_uptime_seconds", "", "gauge", "Since the start.",
		AT(uptime_s) },
	{ "muster_configuration_wrong", "", "gauge",
		"1 while the files are wrong and the old configuration holds.",
		AT(wrong) },
	{ "muster_registration_outdated", "", "gauge",
		"1 while the registration does not cover the fleet.",
		AT(outdated) },
#define X(id, word)                                                            \
	{ "muster_agents", "{state=\"" word "\"}", "gauge",                    \
		"Agents by state, with those who leave and have left.",        \
		AT(agents[AGENT_##id]) },
	AGENT_STATE_TABLE(X)
#undef X
		{ "muster_rooms", "{kind=\"room\"}", "gauge",
			"Declared rooms that exist.", AT(rooms) },
	{ "muster_rooms", "{kind=\"direct\"}", NULL, NULL, AT(direct_rooms) },
	{ "muster_plan_steps", "", "gauge",
		"Steps between what is declared and what is.", AT(steps) },
	{ "muster_unanswered_invitations", "", "gauge",
		"Humans who are asked into a declared room and have not come.",
		AT(unanswered) },
	{ "muster_held_members", "", "gauge",
		"Agents whom somebody keeps out of a declared room.",
		AT(held) },
	{ "muster_troubles", "", "gauge",
		"Rooms that cannot be kept as declared.", AT(troubles) },
	{ "muster_revocations_pending", "", "gauge",
		"Agents whose tokens are to be ended.", AT(revoking) },
	{ "muster_acknowledgements_late", "", "gauge",
		"Agents who have not acknowledged their token in time.",
		AT(late) },
	{ "muster_removals_waiting", "", "gauge",
		"Agents not declared any more, until somebody lets them go.",
		AT(removals) },
	{ "muster_direct_mode", "{mode=\"eager\"}", "gauge",
		"1 for when direct rooms are made.",
		AT(direct_mode[DIRECT_EAGER]) },
	{ "muster_direct_mode", "{mode=\"on_demand\"}", NULL, NULL,
		AT(direct_mode[DIRECT_ON_DEMAND]) },
	{ "muster_direct_mode", "{mode=\"off\"}", NULL, NULL,
		AT(direct_mode[DIRECT_OFF]) },
	{ "muster_direct_rooms", "{of=\"declared\"}", "gauge",
		"Pairs: declared; to have a room by now; having one; whose "
		"room is to be made.",
		AT(direct_declared) },
	{ "muster_direct_rooms", "{of=\"wanted\"}", NULL, NULL,
		AT(direct_wanted) },
	{ "muster_direct_rooms", "{of=\"made\"}", NULL, NULL, AT(direct_made) },
	{ "muster_direct_rooms", "{of=\"later\"}", NULL, NULL,
		AT(direct_later) },
	{ "muster_direct_per_minute", "", "gauge",
		"Direct rooms made in a minute at most.",
		AT(direct_per_minute) },
	{ "muster_direct_left_seconds", "", "gauge",
		"Until those that are to be made are, as it goes.",
		AT(direct_left_s) },
	{ "muster_journal_steps", "{state=\"waiting\"}", "gauge",
		"Unfinished rows of the journal.", AT(waiting) },
	{ "muster_journal_steps", "{state=\"failed\"}", NULL, NULL,
		AT(failed) },
	{ "muster_transactions_total", "", "counter",
		"Transactions from the homeserver, in the store's life.",
		AT(txn.seen) },
	{ "muster_transactions_repeated_total", "", "counter",
		"Those of them that had come before.", AT(txn.repeated) },
	{ "muster_transactions_refused_total", "", "counter",
		"Requests that were no transaction, answered 400.",
		AT(txn.refused) },
	{ "muster_events_total", "", "counter", "Events in transactions.",
		AT(txn.events) },
	{ "muster_events_applied_total", "", "counter",
		"Events of which something was kept.", AT(txn.applied) },
	{ "muster_events_quarantined_total", "", "counter",
		"Events that could not be read.", AT(txn.quarantined) },
	{ "muster_quarantine_kept", "", "gauge",
		"Events in quarantine, and whole transactions.",
		AT(quarantine.kept) },
	{ "muster_quarantine_bytes", "", "gauge", "What they take.",
		AT(quarantine.bytes) },
	{ "muster_quarantine_dropped_total", "", "counter",
		"Those that left because it was full.",
		AT(quarantine.dropped) },
	{ "muster_ephemeral_total", "", "counter",
		"Typing, receipts and presence in transactions.",
		AT(txn.ephemeral) },
	{ "muster_to_device_total", "", "counter",
		"Messages to devices in transactions.", AT(txn.to_device) },
	{ "muster_device_lists_total", "", "counter",
		"Users whose devices changed, or who left, in transactions.",
		AT(txn.device_lists) },
	{ "muster_key_counts_total", "", "counter",
		"Users whose keys were counted in transactions.",
		AT(txn.key_counts) },
	{ "muster_homeserver_requests_total", "", "counter",
		"Requests to the homeserver since the start.", AT(requests) },
	{ "muster_homeserver_writes_total", "", "counter",
		"Those of them that may change something.", AT(writes) },
};

void figures_write(const struct figures *f, struct buf *out)
{
	const char *last = "";
	buf_addf(out,
		"# HELP muster_build_info The version.\n"
		"# TYPE muster_build_info gauge\n"
		"muster_build_info{version=\"%s\"} 1\n",
		MUSTER_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
		const struct metric *m = &metrics[i];
		if (!text_eq(m->name, last))
			buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name,
				m->help, m->name, m->type);
		last = m->name;
		int64_t value;
		memcpy(&value, (const char *)f + m->at, sizeof(value));
		buf_addf(out, "%s%s %" PRId64 "\n", m->name, m->labels, value);
	}
	/* The only one that is no whole number. */
	buf_addf(out,
		"# HELP muster_transaction_last_timestamp_seconds When the "
		"newest transaction came.\n"
		"# TYPE muster_transaction_last_timestamp_seconds gauge\n"
		"muster_transaction_last_timestamp_seconds %" PRId64
		".%03" PRId64 "\n",
		f->txn.last_ms / 1000, f->txn.last_ms % 1000);
}
