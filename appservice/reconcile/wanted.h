/*
 * appservice/reconcile/wanted.h: accounts that the homeserver asks for (AS-91).
 * Who asks does not register anything: the loop is told that it is urgent, and
 * its `register` step does it, the only one that there is; so it happens once,
 * however many ask. Any thread.
 */
#ifndef APPSERVICE_RECONCILE_WANTED_H
#define APPSERVICE_RECONCILE_WANTED_H

#include "appservice/app.h"

MUST_CHECK struct wanted *wanted_new(void);
void wanted_free(struct wanted *w);

/*
 * Is the account of this user of ours there? When it is not yet, waits until it
 * is, or it is known that it will not be soon, at most as long as an answer may
 * take; the work goes on then. RC_OK; RC_NOT_FOUND: it is not one that we
 * vouch for (blocked, retired, not declared); RC_BUSY: too many wait already;
 * RC_PENDING: there is no connection; RC_STOPPING, RC_TIMEOUT, RC_IO, or what
 * became of the step.
 */
MUST_CHECK enum rc wanted_account(
	struct app *app, const char *user_id, struct err *e);

/* --- for the loop ----------------------------------------------------------- */

/* Does anybody wait for this user (NULL: for anybody)? */
bool wanted_is(struct wanted *w, const char *user_id);
/* What came of it, for those who wait for this user (NULL: for all). */
void wanted_tell(
	struct wanted *w, const char *user_id, enum rc rc, const char *why);

#endif
