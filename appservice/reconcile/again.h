/*
 * appservice/reconcile/again.h: a room's state that somebody changes back as
 * often as it is set (another bot, perhaps) is not set at the speed of
 * machines: each time is an event for everybody in the room.
 */
#ifndef APPSERVICE_RECONCILE_AGAIN_H
#define APPSERVICE_RECONCILE_AGAIN_H

#include "appservice/reconcile/plan.h"

/* So often in so long; what an operator changes by hand is less. */
#define AGAIN_MOST 5
#define AGAIN_WITHIN_MS 600000

/* What was done of late. */
struct again {
	struct store_step *rows;
	size_t n;
};

/* For the steps of a plan; allocated in `a`. */
MUST_CHECK enum rc again_find(struct store *s, const struct plan *plan,
	struct arena *a, struct again *ret, struct err *e);
/* When the step may be done once more; 0: now. */
int64_t again_due_ms(const struct again *g, const struct step *st);

#endif
