/*
 * appservice/reconcile/plan_priv.h: what the files of the plan share: plan.c
 * (accounts, the order), plan_rooms.c, plan_direct.c, plan_leave.c.
 */
#ifndef APPSERVICE_RECONCILE_PLAN_PRIV_H
#define APPSERVICE_RECONCILE_PLAN_PRIV_H

#include "appservice/reconcile/plan.h"
#include "base/str.h"

#define NONE (-1)

/*
 * Ranks: what comes first. Agents' accounts in their order, and among them,
 * for every AHEAD of them, the rooms of one: so the first agent works while the
 * last is still being made, and tokens are hardly later than without any rooms.
 */
#define AHEAD 16
#define RANK_SENDER 0
#define RANK_LEAVERS 1
#define RANK_AGENT(no) (2 + (int)(no))
#define RANK_ROOMS_OF(no) (2 + AHEAD * ((int)(no) + 1))
#define RANK_EARLY_STATE (1 << 26) /* of rooms that are there */
#define RANK_HUMANS (1 << 27)
#define RANK_DIRECT (1 << 28)
#define RANK_LATER (1 << 29)

/* Two steps of which the second is not begun before the first has ended:
 * those that bring a newcomer into rooms. */
struct bringing {
	int step, place;
};

struct planner {
	const struct fleet *f;
	const struct plan_how *how;
	const struct store_snapshot *now;
	struct arena *a;
	struct plan *plan;
	int sender_ready; /* the sender's step that others wait for */
	int *ready;       /* by agent: its account's step others wait for */
	bool *usable;     /* by agent: has an account or gets one */
	int lane, rank;   /* of the steps that are added */
	struct bringing *brings;
	size_t n_brings, brings_cap;
	/* By row of the snapshot's rooms. */
	bool *taken; /* a renamed room has it */
	int *lanes;  /* the lane of the room's steps, and one; 0: none yet */
};

/* A declared room and what there is of it. */
struct room_now {
	const struct room *room;
	const struct store_room *row; /* NULL: does not exist */
	int created;                  /* the step that makes it */
	struct power power;
};

static inline bool is_room(const struct store_room *row)
{
	return row && row->room_id;
}

/* In the room, or asked into it. */
static inline bool member_is_in(const struct store_member *m)
{
	return text_eq(m->membership, "join") ||
		text_eq(m->membership, "invite");
}

/* plan.c */
struct step *plan_add(struct planner *p, enum step_kind kind,
	const char *subject, const char *reason);
int plan_index(const struct planner *p, const struct step *st);
void plan_need(struct step *st, int which);
struct step *plan_room_step(struct planner *p, enum step_kind kind,
	const struct room_now *r, const char *subject, const char *actor,
	const char *reason);
/* The lane of the steps of a room, whatever part of the plan they are from; NULL:
 * of one that is not there yet. */
int plan_lane(struct planner *p, const struct store_room *row);
/* A step that brings somebody into a room: see newcomers in plan.c. */
void plan_brings(struct planner *p, const struct step *st, const char *user_id);
void plan_trouble(struct planner *p, const char *where, const char *why);
/* An agent of the fleet by its id; NULL. */
const struct person *plan_agent(const struct fleet *f, const char *user_id);
/* It waits for no person. */
bool plan_usable(const struct planner *p, const struct person *who);
/* An agent of the fleet whose account is known to be ours: before it is
 * registered the account of its name may be anybody's. */
bool plan_may_act_for(const struct planner *p, const char *user_id);

/* plan_rooms.c */
void plan_policy_rooms(struct planner *p);
/* One agent that should be in the room: `inviter` asks it in (NULL: the
 * sender), then it joins as itself. */
void plan_agent_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *inviter);
/* A human is asked once, and then it is theirs to answer. */
void plan_human_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *inviter);
void plan_create(
	struct planner *p, struct room_now *r, const char *actor, int rank);

/* plan_direct.c */
void plan_direct_rooms(struct planner *p);

/* plan_leave.c: those who are declared no longer, and rooms that are not. */
void plan_leavers(struct planner *p);

#endif
