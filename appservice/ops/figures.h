/*
 * appservice/ops/figures.h: what is counted: `status` shows it as JSON,
 * /metrics for Prometheus. Any thread.
 */
#ifndef APPSERVICE_OPS_FIGURES_H
#define APPSERVICE_OPS_FIGURES_H

#include "appservice/app.h"

struct figures {
	int64_t ready;    /* 1, or 0 */
	int64_t uptime_s; /* 0: the service does not run */
	int64_t wrong; /* 1: the configuration's files are, and the old one is in
			     force */
	int64_t outdated; /* 1: the registration does not cover the fleet */
	int64_t agents[AGENT_STATES]; /* of the fleet, by state */
	int64_t rooms, direct_rooms;  /* declared ones that exist */
	int64_t steps;                /* that the plan has now */
	int64_t unanswered, held;     /* not as declared, but no step */
	int64_t waiting, failed;      /* rows of the journal */
	struct store_txn_counts txn;
	struct store_quarantine_total quarantine;
	int64_t requests, writes; /* that the homeserver got since the start */
};

/* why_not: as view_ready() says; NULL: whether the store can be written is not
 * tried, and nothing is. */
MUST_CHECK enum rc figures_take(struct app *app, struct figures *ret,
	struct buf *why_not, struct err *e);

/* In the text format that Prometheus reads. */
void figures_write(const struct figures *f, struct buf *out);
#define FIGURES_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
