/*
 * appservice/reconcile/perform.h: performing a plan: every step is a journal
 * row first; then a bounded set of workers takes steps in the order of their
 * priority, as soon as what they need has happened. Called by one thread, which
 * waits for the end.
 */
#ifndef APPSERVICE_RECONCILE_PERFORM_H
#define APPSERVICE_RECONCILE_PERFORM_H

#include "appservice/app.h"
#include "appservice/reconcile/plan.h"

/* What else there is to do while a plan is being performed: nothing; something
 * that goes before steps in the background; something that goes before all. */
enum pressing { PRESSING_NOT, PRESSING_SOON, PRESSING_ALL };

struct perform_result {
	size_t done, failed, blocked, put_off; /* steps; those that found
						  nothing to do in none */
	size_t direct_made;      /* direct rooms, among those done */
	int64_t next_attempt_ms; /* wall time of the earliest put-off or failed
				    step; 0: none */
	enum pressing cut_short; /* not all was done, for something pressed */
	enum rc offline; /* RC_OK, or why the homeserver cannot be used */
	char why[512];   /* offline, in words */
};

/*
 * Returns when every step has ended, was put off until its time, or the
 * homeserver went away, something pressed, or the service is stopping. RC_OK
 * also when steps failed: they are in the journal. A store that fails ends it,
 * and that is returned. Meanwhile `meanwhile` is called about every second, by
 * the thread that waits, and says what presses.
 */
MUST_CHECK enum rc perform(struct app *app, const struct plan *plan,
	struct hs *const *clients, size_t n_clients,
	enum pressing (*meanwhile)(struct app *app), struct perform_result *ret,
	struct err *e);

#endif
