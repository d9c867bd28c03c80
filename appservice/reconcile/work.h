/*
 * appservice/reconcile/work.h: doing one step of the plan. A worker has its own
 * client of the homeserver; a step's function asks the homeserver first, then
 * commits what came of it together with the end of its journal row.
 *
 * RC_OK: done. Anything else: to be tried again later, unless w->blocked or
 * w->held was set (an agent, or a room, that waits for a person). One thread for
 * each struct work.
 */
#ifndef APPSERVICE_RECONCILE_WORK_H
#define APPSERVICE_RECONCILE_WORK_H

#include "appservice/app.h"
#include "appservice/reconcile/plan.h"

struct work {
	struct app *app;
	struct hs *hs; /* with the as_token */
	const struct step *step;
	int64_t journal_id;
	int64_t since_ms; /* wall time before anything was asked: what comes of
			     the step is newer */
	int64_t tried_ms; /* when it was tried before */
	bool interrupted; /* it was tried before, and perhaps done: an answer
			     may be lost by our end, theirs, or on the way */
	bool asked;       /* said by the step: what it asked for may have been
			     done, whatever comes now */
	bool blocked;     /* said by the step */
	bool held;        /* said by the step: its room waits for somebody */
	bool idle;        /* said by the step: nothing was to be done */
	struct arena a;   /* for the step's strings */
};

/* Does it, by its kind. */
MUST_CHECK enum rc work_do(struct work *w, struct err *e);

/*
 * The end of a step's own transaction, which it opened with store_begin() and
 * did its changes in, the last of which returned rc: on RC_OK the journal row
 * is done and all of it is committed, else undone. Returns the final rc.
 */
MUST_CHECK enum rc work_end(struct work *w, enum rc rc, struct err *e);
/* Nothing had to change: only the journal row is done. */
MUST_CHECK enum rc work_nothing(struct work *w, struct err *e);
/* An agent that waits for a person: state blocked, with the words. */
MUST_CHECK enum rc work_block(struct work *w, const char *why, struct err *e);

/* The row of the step's room, by the key that it has until now; RC_NOT_FOUND:
 * it does not exist yet. */
MUST_CHECK enum rc work_room(
	struct work *w, struct store_room *row, struct err *e);
/* What the policy's state depends on, of a room that was made by maker. */
struct state_how work_state_how(struct work *w, const char *maker);
/* The alias of the step's room leads to this one. Where it leads to another
 * room of ours that is what that one was called before, and is taken off it;
 * RC_EXISTS: it leads to somebody else's. */
MUST_CHECK enum rc work_lead_alias(
	struct work *w, const char *room_id, struct err *e);

/* The kinds (step_account.c, step_room.c, step_state.c, step_member.c, step_direct.c,
 * tokens/). */
MUST_CHECK enum rc step_register(struct work *w, struct err *e);
MUST_CHECK enum rc step_profile(struct work *w, struct err *e);
MUST_CHECK enum rc step_create_room(struct work *w, struct err *e);
MUST_CHECK enum rc step_set_state(struct work *w, struct err *e);
MUST_CHECK enum rc step_invite(struct work *w, struct err *e);
MUST_CHECK enum rc step_join(struct work *w, struct err *e);
MUST_CHECK enum rc step_leave(struct work *w, struct err *e);
MUST_CHECK enum rc step_kick(struct work *w, struct err *e);
MUST_CHECK enum rc step_direct_create(struct work *w, struct err *e);
MUST_CHECK enum rc step_direct_mark(struct work *w, struct err *e);

/* The step's subject leaves the rooms that carry our mark and that the store
 * does not know: nothing else tells of them when it is retired. */
MUST_CHECK enum rc work_leave_strays(struct work *w, struct err *e);

/*
 * What an agent already has on the homeserver, after a lost store or an
 * interrupted creation: direct rooms that are listed in its m.direct or carry
 * our mark are found again. Commits by itself.
 */
MUST_CHECK enum rc direct_find(
	struct work *w, const struct person *agent, struct err *e);

/*
 * What an interrupted creation left: the room that `as` (NULL: the sender) is
 * in, that the store does not know and that carries our mark for this key;
 * *ret NULL when there is none. Waits a little for one, because a homeserver
 * does not stop making a room when we are gone; one that it did stop making is
 * left, since nobody could come into it.
 */
MUST_CHECK enum rc room_left_behind(struct work *w, const char *as,
	const char *key, const char **ret, struct err *e);

/* What the audit log calls it when a ban stands that an operator wanted taken
 * back; the subject is the agent, the detail says where, and in whose words. */
#define REFUSED_UNBAN "refuse_unban"

/* The key in m.room.create's content that says which of our rooms it is. */
#define ROOM_MARK "muster.key"

#endif
