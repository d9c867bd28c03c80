/*
 * appservice/reconcile/plan.h: the difference between what is declared (the
 * fleet) and what is (a snapshot of the store), as steps. A pure function: no
 * store, no network, no clock; the same inputs give the same plan.
 *
 * The order of the steps is their priority. What must have happened before a
 * step is in its `need`; steps of one lane (an agent, a room) never overlap.
 */
#ifndef APPSERVICE_RECONCILE_PLAN_H
#define APPSERVICE_RECONCILE_PLAN_H

#include "appservice/fleet/fleet.h"
#include "base/json.h"
#include "store/store.h"

#define STEP_KIND_TABLE(X)                                                     \
	X(REGISTER, "register")                                                \
	X(PROFILE, "profile")                                                  \
	X(LOGIN, "login")                                                      \
	X(HAND_OFF, "hand_off")                                                \
	X(CREATE_ROOM, "create_room")                                          \
	X(SET_STATE, "set_state")                                              \
	X(INVITE, "invite")                                                    \
	X(JOIN, "join")                                                        \
	X(KICK, "kick")                                                        \
	X(LEAVE, "leave")                                                      \
	X(DIRECT_MARK, "direct_mark")                                          \
	X(REVOKE, "revoke")

enum step_kind {
#define X(name, word) STEP_##name,
	STEP_KIND_TABLE(X)
#undef X
		STEP_KINDS
};
const char *step_kind_name(enum step_kind k);

#define STEP_NEEDS 3
#define STEP_AFTER 2

struct step {
	enum step_kind kind;
	const char *subject; /* whose account, who joins …; create_room: the
				room's key; set_state: the event's type */
	const struct person *person; /* the subject, when it is an agent */
	const struct room *room;     /* NULL for accounts */
	const char *actor;  /* who asks the homeserver: user id; NULL: sender */
	const char *reason; /* why, for people */
	int need[STEP_NEEDS];  /* steps that must have succeeded; -1: none */
	int after[STEP_AFTER]; /* steps that must have ended; -1: none */
	int lane;              /* steps of one lane run one after the other */
	bool last; /* only when every other step has ended (direct_mark) */
};

struct plan {
	struct step *steps;
	size_t n, cap;
	int lanes;
	/* Not as declared, but nobody's turn: humans who have not answered,
	 * banned members, blocked agents. */
	size_t unanswered, held, blocked;
};

/* Who the service's own user is. */
struct plan_sender {
	const char *user_id;
	const char *name; /* display name */
};

/*
 * Everything is allocated in `a`; the plan points into fleet and snapshot.
 */
MUST_CHECK enum rc plan_make(const struct fleet *f,
	const struct plan_sender *sender, const struct store_snapshot *now,
	struct arena *a, struct plan *ret, struct err *e);

/* The rows of a snapshot; NULL when there is none. */
const struct store_agent *snapshot_agent(
	const struct store_snapshot *now, const char *user_id);
const struct store_room *snapshot_room(
	const struct store_snapshot *now, const char *key);
/* "join", "invite" …; NULL when nothing is known. */
const char *snapshot_membership(const struct store_snapshot *now,
	const char *room_id, const char *user_id);
/* The rows of one room: *n of them. */
const struct store_membership *snapshot_members(
	const struct store_snapshot *now, const char *room_id, size_t *n);
bool snapshot_marked(const struct store_snapshot *now, const char *room_id,
	const char *user_id);

/*
 * The m.room.power_levels users object that a room of the policy should have,
 * as JSON text: the fleet's humans 100, and the sender 100 unless creators
 * stand above all (room version 12 and later).
 */
bool room_version_has_creators(const char *version);
void room_power_users(const struct fleet *f, const char *sender,
	const char *version, struct buf *out);
/* These power_levels with the fleet's humans raised to 100; levels in strings
 * (AS-155) as the numbers that they mean. */
void room_power_raised(
	const struct fleet *f, struct js content, struct buf *out);
/* Every human of the fleet has 100 in this power_levels content. */
bool room_power_right(const struct fleet *f, const char *content);

#endif
