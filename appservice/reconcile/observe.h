/*
 * appservice/reconcile/observe.h: looking at the homeserver and writing what is
 * there into the store: what transactions have missed. Any thread with a
 * client of its own.
 */
#ifndef APPSERVICE_RECONCILE_OBSERVE_H
#define APPSERVICE_RECONCILE_OBSERVE_H

#include "appservice/app.h"

/*
 * Everything about one room, as `as` (who is in it) sees it: all members and
 * the state we use. Commits it under the key when that is not NULL (the room is
 * ours from then on; maker NULL: the sender if it carries our mark, else
 * somebody else).
 */
MUST_CHECK enum rc observe_room(struct app *app, struct hs *hs, const char *as,
	const char *room_id, const char *key, const char *maker, struct err *e);

/*
 * The regular look: the sender's joined_rooms, and joined_members of each
 * declared room of the policy that exists. A room that we are not in any more
 * is looked up by its alias and forgotten when that is gone. Stops at the
 * first RC_NETWORK, RC_TIMEOUT, RC_UNAUTHORIZED or RC_STOPPING.
 */
MUST_CHECK enum rc observe_all(struct app *app, struct hs *hs, struct err *e);

#endif
