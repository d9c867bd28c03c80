/*
 * appservice/ops/figures.h: what is counted: `status` shows it as JSON,
 * /metrics for Prometheus. Any thread.
 */
#ifndef APPSERVICE_OPS_FIGURES_H
#define APPSERVICE_OPS_FIGURES_H

#include "appservice/app.h"
#include "appservice/reconcile/plan.h"

#define LEAVERS_SHOWN 20

struct figures {
	int64_t ready;    /* 1, or 0 */
	int64_t uptime_s; /* 0: the service does not run */
	int64_t wrong; /* 1: the configuration's files are, and the old one is in
			     force */
	int64_t outdated; /* 1: the registration does not cover the fleet */
	int64_t agents
		[AGENT_STATES]; /* by state; who leaves and has left, too */
	int64_t rooms, direct_rooms; /* declared ones that exist */
	int64_t steps;               /* that the plan has now */
	int64_t unanswered, held;    /* not as declared, but no step */
	int64_t troubles;            /* rooms that cannot be kept */
	/* Agents whom an operator has to let go; how many there are in all. */
	int64_t removals, removals_of;
	const char *leavers[LEAVERS_SHOWN]; /* the first of them, by id */
	size_t n_leavers;
	/* Agents whose tokens are to be ended; the first of them, by id. */
	int64_t revoking;
	const char *revoked[LEAVERS_SHOWN];
	size_t n_revoked;
	int64_t rotations[ROTATION_STATES]; /* the last of each agent */
	int64_t rotate_every_ms;            /* of all agents; 0: never */
	int64_t late; /* agents who have not acknowledged in time */
	/* Pairs; those who should have a room by now; rooms that are, and that
	 * are to be made, in so many seconds. */
	int64_t direct_declared, direct_wanted, direct_made, direct_later;
	int64_t direct_per_minute, direct_left_s;
	int64_t direct_rate; /* a minute, as it goes; 0: not known */
	int64_t direct_mode[DIRECT_OFF + 1]; /* 1 for the one that holds */
	int64_t waiting, failed;             /* rows of the journal */
	struct store_txn_counts txn;
	struct store_quarantine_total quarantine;
	int64_t requests, writes; /* that the homeserver got since the start */
};

/* why_not: as view_ready() says; NULL: whether the store can be written is not
 * tried, and nothing is. Strings are in `a`. */
MUST_CHECK enum rc figures_take(struct app *app, struct arena *a,
	struct figures *ret, struct buf *why_not, struct err *e);

/* In the text format that Prometheus reads. */
void figures_write(const struct figures *f, struct buf *out);
#define FIGURES_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
