/*
 * appservice/ops/views.h: what is, as the JSON documents of the admin API
 * (INTERFACE: agents, rooms, plan, status …). The running service answers with
 * them, and so does the command line from the files and the store when no
 * service runs. Any thread; they only read.
 */
#ifndef APPSERVICE_OPS_VIEWS_H
#define APPSERVICE_OPS_VIEWS_H

#include "appservice/app.h"
#include "appservice/reconcile/plan.h"
#include "base/json.h"

MUST_CHECK enum rc view_agents(struct app *app, struct buf *out, struct err *e);
MUST_CHECK enum rc view_rooms(struct app *app, struct buf *out, struct err *e);
MUST_CHECK enum rc view_plan(struct app *app, struct buf *out, struct err *e);
/* app->reconcile NULL: the service does not run. */
MUST_CHECK enum rc view_status(struct app *app, struct buf *out, struct err *e);
MUST_CHECK enum rc view_journal(
	struct app *app, struct buf *out, struct err *e);
MUST_CHECK enum rc view_quarantine(
	struct app *app, struct buf *out, struct err *e);
MUST_CHECK enum rc view_audit(struct app *app, struct buf *out, struct err *e);

/* The member `steps` of a plan's document. */
void plan_write_steps(struct jb *b, const struct plan *plan);

/* The member `summary`: what the plan of another fleet changes. */
MUST_CHECK enum rc plan_write_summary(struct jb *b, const struct fleet *f,
	const struct store_snapshot *now, const struct plan *plan,
	struct arena *a, struct err *e);

/* Ready, else why not: what is in the buffer becomes a JSON array of texts. With
 * a buffer it is tried whether the store can be written. */
bool view_ready(struct app *app, struct buf *why_not);

/* The documents by name: what GET /v1/NAME and the verb NAME show. */
struct view {
	const char *name;
	enum rc (*write)(struct app *app, struct buf *out, struct err *e);
	bool waits; /* may have to wait: holds the fleet itself, for a moment */
};
extern const struct view views[];
extern const size_t n_views;
/* NULL when there is no such document. */
const struct view *view_by_name(const char *name);

#endif
