/*
 * appservice/reconcile/again.h: what somebody undoes as often as it is done
 * (another bot, perhaps: a room's name, or who comes back as often as it is put
 * out) is not done at the speed of machines: each time is an event for everybody
 * in the room.
 */
#ifndef APPSERVICE_RECONCILE_AGAIN_H
#define APPSERVICE_RECONCILE_AGAIN_H

#include "appservice/reconcile/plan.h"

/* So often in so long; what an operator changes by hand is less. */
#define AGAIN_MOST 15
#define AGAIN_WITHIN_MS 600000
#define AGAIN_WORDS                                                            \
	"done 15 times in ten minutes, and undone by somebody each time: it "  \
	"waits for ten minutes"

/* Kinds that somebody may undo: set_state, kick, leave. */
#define AGAIN_KINDS 3

/* What was done of late, by kind. */
struct again {
	struct done_of_late {
		struct store_step *rows;
		size_t n;
	} of[AGAIN_KINDS];
};

/* For the steps of a plan; allocated in `a`. */
MUST_CHECK enum rc again_find(struct store *s, const struct plan *plan,
	struct arena *a, struct again *ret, struct err *e);
/* When the step may be done once more; 0: now. */
int64_t again_due_ms(const struct again *g, const struct step *st);

#endif
