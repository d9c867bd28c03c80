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
 * May the room of this key be kept in that one: are we in it, or may we come in,
 * and have we the power? *why NULL: yes; else the words for what is missing.
 * `before`: the room whose place it is to take; NULL: of none. Where we came in
 * by ourselves, and nothing came of it, we leave again.
 */
MUST_CHECK enum rc room_may_be_kept(struct app *app, struct hs *hs,
	const char *room_id, const char *before, const char *key,
	struct arena *a, const char **why, struct err *e);
/* We were in that room for this key, nothing came of it, and nobody has asked us
 * in since then. */
MUST_CHECK enum rc room_was_in_vain(struct app *app, const char *key,
	const char *room_id, struct arena *a, bool *ret, struct err *e);

/* Looks whether something can be done by now about rooms that are held; *n:
 * about how many still nothing can. Errors as observe_all(). */
MUST_CHECK enum rc observe_held(
	struct app *app, struct hs *hs, size_t *n, struct err *e);

/*
 * The regular look: the sender's joined_rooms, and joined_members of each
 * declared room of the policy that exists; the whole room where that shows
 * something new, or where what we did was not confirmed. A room that we are not
 * in any more is looked up by its alias, and forgotten when two looks have not
 * found it; *soon: the second should not wait long. But for the first look of a
 * service, a few direct rooms as well. Stops at the first RC_NETWORK,
 * RC_TIMEOUT, RC_UNAUTHORIZED or RC_STOPPING.
 */
MUST_CHECK enum rc observe_all(
	struct app *app, struct hs *hs, bool first, bool *soon, struct err *e);

#endif
