/*
 * Doing a step: one function for each kind, and the common end of them all.
 */
#include <string.h>

#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"

#include "base/poison.h"

static enum rc create_room(struct work *w, struct err *e)
{
	return w->step->room->direct ? step_direct_create(w, e)
				     : step_create_room(w, e);
}

enum rc work_do(struct work *w, struct err *e)
{
	static enum rc (*const by_kind[STEP_KINDS])(
		struct work *, struct err *) = {
		[STEP_REGISTER] = step_register,
		[STEP_PROFILE] = step_profile,
		[STEP_LOGIN] = step_login,
		[STEP_HAND_OFF] = step_hand_off,
		[STEP_CREATE_ROOM] = create_room,
		[STEP_SET_STATE] = step_set_state,
		[STEP_INVITE] = step_invite,
		[STEP_JOIN] = step_join,
		[STEP_LEAVE] = step_leave,
		[STEP_KICK] = step_kick,
		[STEP_REVOKE] = step_revoke,
		[STEP_DIRECT_MARK] = step_direct_mark,
	};
	if (!by_kind[w->step->kind])
		return err_set(e, RC_INVALID, "no step of kind %s is done here",
			step_kind_name(w->step->kind));
	return by_kind[w->step->kind](w, e);
}

enum rc work_end(struct work *w, enum rc rc, struct err *e)
{
	struct store *s = w->app->store;
	if (rc == RC_OK)
		rc = store_journal_done(s, w->journal_id, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum rc work_nothing(struct work *w, struct err *e)
{
	return work_end(w, store_begin(w->app->store, e), e);
}

enum rc work_block(struct work *w, const char *why, struct err *e)
{
	struct store *s = w->app->store;
	const char *who = w->step->subject;
	w->blocked = true;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_state(
			s, who, AGENT_BLOCKED, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_agent_error(s, who, why, e);
	rc = work_end(w, rc, e);
	return rc == RC_OK ? err_set(e, RC_FORBIDDEN, "%s", why) : rc;
}
