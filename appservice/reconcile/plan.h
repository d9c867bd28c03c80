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
	const char *subject; /* whose account, who joins …; create_room: the
				room's key; set_state: the event's type */
	const struct person *person; /* the subject, when it is an agent */
	const struct room *room; /* declared; NULL for accounts, and rooms that
				    are only left */
	const char *where;   /* the room for people and the journal: its key, or
			      the id of one that another has replaced; NULL */
	const char *room_id; /* of a room that is only left, or followed */
	const char *from;    /* set_state: the key that the room has until now;
				NULL: the same */
	const char *actor;  /* who asks the homeserver: user id; NULL: sender */
	const char *reason; /* why, for people */
	int need[STEP_NEEDS];  /* steps that must have succeeded; -1: none */
	int after[STEP_AFTER]; /* steps that must have ended; -1: none */
	int lane;              /* steps of one lane run one after the other */
	int rank;              /* lower ones first */
	unsigned char kind; /* enum step_kind; there may be a million steps */
	bool last; /* only when every other step has ended (direct_mark) */
	bool background; /* whatever else comes up goes first */
};

/* A room about which nothing can be done, and why. */
struct trouble {
	const char *where, *why;
};

struct plan {
	struct step *steps;
	size_t n, cap;
	int lanes;
	/* Not as declared, but nobody's turn: humans who have not answered,
	 * agents that somebody keeps out, blocked agents, agents to be retired
	 * when somebody says so. */
	size_t unanswered, held, blocked, removals;
	size_t held_rooms; /* of those in troubles: somebody must do something */
	size_t removals_of; /* how many there are, those included */
	struct trouble *troubles;
	size_t n_troubles, troubles_cap;
	/* Direct rooms: that should be, that are, and that will be made by a
	 * later plan. */
	size_t direct, direct_made, direct_later;
	size_t direct_next; /* with which a later plan goes on; 0: the first */
};

enum direct_mode { DIRECT_EAGER, DIRECT_ON_DEMAND, DIRECT_OFF };
const char *direct_mode_name(enum direct_mode mode); /* as the setting has it */

/* Whatever else a plan depends on. */
struct plan_how {
	const char *sender_id, *sender_name; /* the service's own user */
	/* An agent that is removed twice within respect_ms is left alone, and
	 * so is anybody who twice within lost_ms is not where the homeserver
	 * said they were. */
	int64_t respect_ms, lost_ms;
	int64_t now_ms; /* wall clock */
	enum direct_mode direct;
	size_t direct_most; /* so many direct rooms are made at most, */
	size_t direct_from; /* beginning with this one of the fleet's */
};

/*
 * Everything is allocated in `a`; the plan points into fleet and snapshot.
 */
MUST_CHECK enum rc plan_make(const struct fleet *f, const struct plan_how *how,
	const struct store_snapshot *now, struct arena *a, struct plan *ret,
	struct err *e);

/* --- a snapshot, looked into ------------------------------------------------- */

/* The rows of a snapshot; NULL when there is none. */
const struct store_agent *snapshot_agent(
	const struct store_snapshot *now, const char *user_id);
const struct store_room *snapshot_room(
	const struct store_snapshot *now, const char *key);
/* Of a room (which may be NULL); NULL when nothing is known. */
const struct store_member *room_member(
	const struct store_room *row, const char *user_id);
/* "join", "invite" …; NULL when nothing is known. */
const char *room_membership(const struct store_room *row, const char *user_id);
/* The content of a room's state as JSON text; NULL when it is not known. */
const char *room_state_content(
	const struct store_room *row, enum room_state st);
/* The room that has taken this one's place, as the tombstone in it says; NULL:
 * none has. */
const char *room_successor(const struct store_room *row, struct arena *a);
/* The room that a tombstone's content (JSON text, or NULL) names; NULL. */
const char *tombstone_leads_to(const char *content, struct arena *a);
/* Who has removed the user from the room, oldest first: *n of them. */
const struct store_removal *snapshot_removals(const struct store_snapshot *now,
	const struct store_room *row, const char *user_id, size_t *n);
/* Somebody who is out of the room, and stays so until somebody says: banned, or
 * removed twice; from a direct room once. *last (may be NULL) is the last
 * removal, NULL when nothing is known of one. */
bool member_is_held(const struct plan_how *how,
	const struct store_snapshot *now, const struct store_room *row,
	const char *user_id, const struct store_removal **last);

/* An account of ours whose owner is not in the fleet any more, and which is to
 * be retired: at once, or when somebody says so. Or one that a human has now:
 * only what we had given it ends. */
bool agent_is_leaving(const struct fleet *f, const struct store_agent *row);
/* One that was retired. */
bool agent_has_left(const struct fleet *f, const struct store_agent *row);

/* --- what the policy says of a room's state ---------------------------------- */

/* Beside the room itself. */
struct state_how {
	const struct fleet *fleet;
	const char *sender_id;
	const char *maker;  /* of the room, when it was us; may be NULL */
	const char *create; /* m.room.create's content; NULL: not known */
	/* The id of another declared room; NULL: it is not there yet. */
	const char *(*id_of)(void *arg, const char *key);
	/* The alias leads to this room. NULL: not asked, all do. */
	bool (*leads_to)(void *arg, const char *alias, const char *room_id);
	const char *room_id; /* for leads_to */
	void *arg;
};

/* Which states the policy speaks of, those first that say who may come in;
 * ROOM_STATES ends it. */
enum room_state declared_state(size_t i);
/* It says who may come in, or read: not put off. */
bool state_is_early(enum room_state st);
/* The content (JSON text; NULL: there is none) is as declared, or the policy
 * says nothing of it, or it cannot be said yet. */
bool state_is_right(const struct state_how *how, const struct room *room,
	enum room_state st, const char *content);
/* The content as it should be, made of what is. */
void state_write(const struct state_how *how, const struct room *room,
	enum room_state st, struct js now, struct buf *out);

/* --- power ------------------------------------------------------------------- */

/*
 * The m.room.power_levels users object that a room of the policy should have,
 * as JSON text: the fleet's humans 100, whom the policy names as it says, and
 * the sender 100 unless creators stand above all (room version 12 and later).
 */
bool room_version_has_creators(const char *version);
void room_power_users(const struct fleet *f, const struct room *room,
	const char *sender, const char *version, struct buf *out);
/* Is it so in this content, and the content as it should be: levels in strings
 * (AS-155) as the numbers that they mean. */
bool power_levels_right(
	const struct fleet *f, const struct room *room, struct js content);
void power_levels_write(const struct fleet *f, const struct room *room,
	struct js content, struct buf *out);
/* The content with somebody's level in it; who else has which stays. */
void power_levels_grant(
	struct js content, const char *user_id, int64_t level, struct buf *out);
/* "11" …; "1" when the creation names none; *ret holds 32 bytes. NULL content:
 * "". */
void room_version(const char *create, char ret[32]);

/* What the service's own user may do in a room. */
struct power {
	bool known;     /* else everything is tried */
	bool above_all; /* it made a room that has creators */
	int64_t mine, invite, kick, state; /* state: of names and topics */
	int64_t levels;                    /* of the power levels themselves */
	struct json *doc;
};
/* maker, create, create_sender, levels (contents) may be NULL. To be closed. */
void power_open(struct power *p, const char *sender, const char *maker,
	const char *create, const char *create_sender, const char *levels);
void power_close(struct power *p);
bool power_is_enough(const struct power *p, int64_t needed);
/* The level of somebody; INT64_MIN when not known. */
int64_t power_of(const struct power *p, const char *user_id);
/* All that keeping a room needs; words for what is missing otherwise. */
bool power_keeps_room(const struct power *p);

#endif
