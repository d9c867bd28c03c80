/*
 * store/store.h: what should be and what is, as rows in SQLite (sqlite3's
 * home). One connection, one mutex: any thread may call anything. Reads copy
 * into the caller's arena. Writes happen between store_begin() and
 * store_commit(), which hold the mutex for this thread: nothing slow, and
 * never the network, in between. A commit is on disk when it returns
 * (WAL, synchronous=FULL), but for that of store_begin_light().
 *
 * No access token and no password is ever stored.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/secret.h"

struct store;

/* Where it is: on a network file system other rules hold, see
 * network_priv.h. */
enum store_place {
	STORE_AUTO, /* the file system says it */
	STORE_NETWORK,
	STORE_LOCAL,
};

/* Who has a store of a network file system. */
struct store_holder {
	char words[400];
	int64_t silent_ms;   /* for so long nothing was heard of it */
	int64_t takeover_ms; /* when it is so long the store is taken over */
};

/* For how long nothing is heard of a holder before another one takes over, and
 * the longest. */
#define STORE_TAKEOVER_MS 60000
#define STORE_TAKEOVER_MAX_MS 600000

struct store_options {
	enum store_place place;
	int64_t takeover_ms; /* 0: STORE_TAKEOVER_MS */
	/* On a network: somebody has it, and is waited for; asked many times a
	 * second. False: not any longer. NULL: nobody is waited for. */
	bool (*waiting)(void *arg, const struct store_holder *h);
	/* On a network: it is ours no more. By a thread of its own; nothing
	 * can be written from here on. NULL: nobody wants to know. */
	void (*lost)(void *arg, const char *why);
	void *arg;
};

/*
 * Opens (or makes) the database, brings its schema up to date (a backup by
 * VACUUM INTO beside it before the first migration of an existing one), and
 * has it alone for as long as it is open: by the lock `<path>.lock`, on a
 * network by the lease in its directory. RC_BUSY: another service has it, the
 * text says who; RC_STOPPING: it is not waited for any longer; RC_VERSION: a
 * newer version made it; RC_CORRUPT: not our database; RC_IO.
 */
MUST_CHECK enum rc store_open_with(const char *path,
	const struct store_options *o, struct store **ret, struct err *e);
/* With all options 0. */
MUST_CHECK enum rc store_open(
	const char *path, struct store **ret, struct err *e);
/* For looking only, without the lock, while a service may be running;
 * RC_NOT_FOUND when there is none; RC_BUSY when a service has it on a network,
 * where it cannot be shared. Writes are refused. */
MUST_CHECK enum rc store_open_readonly(
	const char *path, struct store **ret, struct err *e);
/* Checkpoints and closes; NULL is fine. */
void store_close(struct store *s);

/*
 * Whether anything may be done outward in its name; asked before each act, by
 * any thread. RC_STOPPING once it is lost, or may be: on a network, when the
 * file system has not taken a heartbeat for half the time after which another
 * service takes over.
 */
MUST_CHECK enum rc store_may_act(struct store *s, struct err *e);
/* What is begun then has to be over within this; 0: nobody else could act. */
int64_t store_act_ms(const struct store *s);

/* BEGIN IMMEDIATE, taking the mutex. Every store_…_set/add/… below needs it
 * and is undone with it. RC_CORRUPT: the file was removed or replaced, and what
 * would be written would be lost; RC_STOPPING as store_may_act(). */
MUST_CHECK enum rc store_begin(struct store *s, struct err *e);
/* The same for what nobody would miss after a power cut: its commit does not
 * wait for the disk. The death of the process loses nothing of it, and what is
 * committed after it is on the disk only together with it. */
MUST_CHECK enum rc store_begin_light(struct store *s, struct err *e);
/* RC_STOPPING: it was written, but who has taken over may not see it. */
MUST_CHECK enum rc store_commit(struct store *s, struct err *e);
/* Undoes it; does nothing when no transaction is open. */
void store_rollback(struct store *s);
/* A write works: one did in the last 30 s and none has failed since, else one
 * is tried; and the file is where it was. */
MUST_CHECK enum rc store_check(struct store *s, struct err *e);

/* --- is it well? ----------------------------------------------------------- */

/* RC_CORRUPT: it is not whole, the text says where. Reads all of it, and holds
 * the mutex meanwhile. */
MUST_CHECK enum rc store_whole(struct store *s, struct err *e);

/* The file system of the directory where a store is, or would be. */
struct store_spot {
	bool network; /* it is one of a network */
	int64_t free_bytes;
};
MUST_CHECK enum rc store_look_at_place(
	const char *path, struct store_spot *ret, struct err *e);

/* --- notes: small facts by name ------------------------------------------- */

/* *ret NULL when there is none. */
MUST_CHECK enum rc store_note_get(struct store *s, const char *name,
	struct arena *a, const char **ret, struct err *e);
MUST_CHECK enum rc store_note_set(
	struct store *s, const char *name, const char *value, struct err *e);

/* --- agents (and the service's own user) ---------------------------------- */

#define AGENT_STATE_TABLE(X)                                                   \
	X(DECLARED, "declared")                                                \
	X(REGISTERED, "registered")                                            \
	X(LOGGED_IN, "logged_in")                                              \
	X(HANDED_OFF, "handed_off")                                            \
	X(ACKNOWLEDGED, "acknowledged")                                        \
	X(RETIRED, "retired")                                                  \
	X(BLOCKED, "blocked")

enum agent_state {
#define X(name, word) AGENT_##name,
	AGENT_STATE_TABLE(X)
#undef X
		AGENT_STATES
};
const char *agent_state_name(enum agent_state st);

/* A new token that somebody asked for. */
#define ROTATION_TABLE(X)                                                      \
	X(NONE, "")                                                            \
	X(WAITING, "waiting") /* its turn has not come */                      \
	X(ASKED, "asked")   /* to pause: rotate.<generation>.json is there */  \
	X(CLEAR, "clear")   /* it may log in */                                \
	X(ISSUED, "issued") /* in its file, and not acknowledged yet */        \
	X(DONE, "done")                                                        \
	X(UNANSWERED, "unanswered") /* it did not pause: it has its old one */ \
	X(UNACKNOWLEDGED, "unacknowledged")                                    \
	X(STOPPED, "stopped") /* before its turn: others had trouble */        \
	X(FAILED, "failed")

enum rotation_state {
#define X(name, word) ROTATION_##name,
	ROTATION_TABLE(X)
#undef X
		ROTATION_STATES
};
const char *rotation_state_name(enum rotation_state st);

struct store_rotation {
	enum rotation_state state;
	int64_t run;        /* those that were asked for together have one */
	bool at_once;       /* waits for nobody; ends the old token itself */
	bool answering;     /* the agent was asked to pause */
	int64_t asked;      /* for which it was asked last; 0: never */
	int64_t generation; /* of the login for it; 0: not yet */
	const char *why;    /* NULL */
	int64_t state_ms;
	const char *error; /* NULL: none */
};

struct store_agent {
	const char *user_id;
	bool sender;   /* the service's own user */
	bool declared; /* in the fleet now */
	/* As declared, for those who look without the files. */
	const char *name, *department, *team, *level; /* may be NULL */
	enum agent_state state;
	const char *device_id;    /* NULL before the first login */
	int64_t generation;       /* of the newest login; 0: none */
	int64_t acked_generation; /* 0: none */
	int64_t since_ms;         /* in this state */
	const char *shown_name;   /* display name on the homeserver; NULL: not
				     known to be set */
	const char *token_sha256; /* hex, of the handed-off token; NULL */
	const char *error;        /* NULL: none */
	/* Of the newest hand-off; 0, NULL: not yet. */
	int64_t written_generation, written_ms, acked_ms;
	const char *acked_by;
	int64_t revoke_ms; /* since when its tokens are to be ended; 0: not */
	const char *revoke_why;  /* NULL */
	int64_t rotate_every_ms; /* 0: as all agents */
	int64_t exposed_ms;    /* since when it is known that others could read
			       its token; 0: not */
	int64_t token_seen_ms; /* the homeserver knew its token; 0: never
				     asked */
	struct store_rotation rotation;
	bool may_leave;     /* when it is not declared any more, without being
			   asked for again */
	bool token_in_hand; /* not stored: set by who holds it */
};

/* Declares an agent (or the sender): new in state declared, or its declared
 * columns updated. */
MUST_CHECK enum rc store_agent_declare(struct store *s,
	const struct store_agent *a, int64_t now_ms, struct err *e);
/* From here on in this transaction, what is declared again is: every other
 * agent and room becomes undeclared. */
MUST_CHECK enum rc store_declare_begin(struct store *s, struct err *e);
/* All of it was: of rooms that are declared no longer nobody is a declared
 * member. */
MUST_CHECK enum rc store_declare_end(struct store *s, struct err *e);

/* Moves to a state and clears the error; since_ms changes when it differs. */
MUST_CHECK enum rc store_agent_state(struct store *s, const char *user_id,
	enum agent_state st, int64_t now_ms, struct err *e);
/* It is let go, by an operator or because few go. Those who are let go while
 * others of them are on their way go together: may_leave stays theirs when they
 * are retired, until somebody is let go after the last of them. */
MUST_CHECK enum rc store_agent_may_leave(
	struct store *s, const char *user_id, struct err *e);
/* One that is not declared, and of which nothing is known yet but where its file
 * is and what is in it: state handed_off, or retired (no token_sha256). Whoever
 * is known stays as they are. */
MUST_CHECK enum rc store_agent_found(struct store *s,
	const struct store_agent *a, int64_t now_ms, struct err *e);
/* An operator wants its tokens ended. */
MUST_CHECK enum rc store_agent_revoke(struct store *s, const char *user_id,
	const char *why, int64_t now_ms, struct err *e);
/* Its tokens were ended: state retired, or blocked, and so is its hand-off;
 * nobody has to want it any more, nor a new token. */
MUST_CHECK enum rc store_agent_revoked(struct store *s, const char *user_id,
	enum agent_state st, int64_t now_ms, struct err *e);
/* Sets (or clears, with NULL) the error text. */
MUST_CHECK enum rc store_agent_error(
	struct store *s, const char *user_id, const char *text, struct err *e);
MUST_CHECK enum rc store_agent_shown_name(
	struct store *s, const char *user_id, const char *name, struct err *e);
/* A login happened: state logged_in, device, generation (must be larger, else
 * RC_EXISTS). */
MUST_CHECK enum rc store_agent_login(struct store *s, const char *user_id,
	const char *device_id, int64_t generation, int64_t now_ms,
	struct err *e);
/* The token of a generation was written: state handed_off; a row in handoff.
 * A generation newer than the one known becomes it (a file that is taken
 * over); an older one is RC_EXISTS. */
MUST_CHECK enum rc store_agent_handed_off(struct store *s, const char *user_id,
	const char *device_id, int64_t generation, const char *token_sha256,
	int64_t now_ms, struct err *e);
/* The agent answered: state acknowledged (when it is the newest generation);
 * `by` is what the acknowledgement says of who. An agent that is blocked or
 * retired stays so. RC_NOT_FOUND: this generation was not handed off. */
MUST_CHECK enum rc store_agent_acked(struct store *s, const char *user_id,
	int64_t generation, int64_t acked_ms, const char *by, int64_t now_ms,
	struct err *e);

/* Others could read its token's file (0: it has another token). */
MUST_CHECK enum rc store_agent_exposed(
	struct store *s, const char *user_id, int64_t ms, struct err *e);
/* The homeserver has known its token. */
MUST_CHECK enum rc store_agent_token_seen(
	struct store *s, const char *user_id, int64_t now_ms, struct err *e);

/* --- rotations: new tokens that somebody asked for ------------------------- */

/* One is wanted (state waiting), in the place of what was wanted before; one that
 * is under way, and at once when this one is, becomes one of this run, for this
 * one's reason if it has any. */
MUST_CHECK enum rc store_rotation_want(struct store *s, const char *user_id,
	const struct store_rotation *r, int64_t now_ms, struct err *e);
/*
 * The rotation of an agent as it was read moves on; *moved (may be NULL): it
 * was still that one, in that state. Somebody else may have moved it meanwhile,
 * or wanted another, and then nothing is changed.
 */
MUST_CHECK enum rc store_rotation_move(struct store *s,
	const struct store_agent *was, enum rotation_state st,
	const char *error, int64_t now_ms, bool *moved, struct err *e);
/* The same: one that waited is asked to pause for this generation, also where
 * somebody else has asked for as much meanwhile, */
MUST_CHECK enum rc store_rotation_ask(struct store *s,
	const struct store_agent *was, int64_t generation, int64_t now_ms,
	bool *moved, struct err *e);
/* or waits again. */
MUST_CHECK enum rc store_rotation_again(struct store *s,
	const struct store_agent *was, int64_t now_ms, struct err *e);
/* A login was made: whatever rotation is open is done with the hand-off of that,
 * or of a later generation (or, when the agent was asked to pause, with the
 * acknowledgement); one that is wanted at once only when the login was made at
 * once, too. */
MUST_CHECK enum rc store_rotation_logged_in(struct store *s,
	const char *user_id, bool at_once, int64_t generation, int64_t now_ms,
	struct err *e);
/* Were the last two of a run that had to acknowledge not acknowledged? */
MUST_CHECK enum rc store_rotation_in_trouble(
	struct store *s, int64_t run, bool *ret, struct err *e);
/* Those of a run that still wait are not asked any more. */
MUST_CHECK enum rc store_rotation_stop(struct store *s, int64_t run,
	const char *why, int64_t now_ms, struct err *e);
/* Agents whose rotation has not ended, by run and id. */
MUST_CHECK enum rc store_rotations_open(struct store *s, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e);
/* The agents of a run, whatever became of it, by id. */
MUST_CHECK enum rc store_rotations_of_run(struct store *s, int64_t run,
	struct arena *a, struct store_agent **ret, size_t *n, struct err *e);
/* How often a new token is wanted: of one agent (-1: never by itself, 0: as of
 * all), or (NULL) of all, whatever was said of single ones before; 0: never. */
MUST_CHECK enum rc store_rotate_every(
	struct store *s, const char *user_id, int64_t every_ms, struct err *e);
/* What holds for all agents of whom nothing else was said. */
MUST_CHECK enum rc store_rotate_every_all(
	struct store *s, struct arena *a, int64_t *ret, struct err *e);
/* Declared agents whose token is older than that; those whose last rotation did
 * not go well within an hour have time. */
MUST_CHECK enum rc store_rotations_due(struct store *s, int64_t now_ms,
	struct arena *a, struct store_agent **ret, size_t *n, struct err *e);

/* --- rooms ---------------------------------------------------------------- */

/* The state of a room that the plan looks at. */
#define ROOM_STATE_TABLE(X)                                                    \
	X(CREATE, "m.room.create")                                             \
	X(NAME, "m.room.name")                                                 \
	X(TOPIC, "m.room.topic")                                               \
	X(POWER, "m.room.power_levels")                                        \
	X(JOIN_RULES, "m.room.join_rules")                                     \
	X(HISTORY, "m.room.history_visibility")                                \
	X(ENCRYPTION, "m.room.encryption")                                     \
	X(ALIAS, "m.room.canonical_alias")                                     \
	X(TOMBSTONE, "m.room.tombstone")

enum room_state {
#define X(name, type) ROOM_STATE_##name,
	ROOM_STATE_TABLE(X)
#undef X
		ROOM_STATES
};
const char *room_state_type(enum room_state st);
/* ROOM_STATES when it is none of these. */
enum room_state room_state_of(const char *type);

/* The newest state of a type in a room. */
struct store_state {
	const char *content; /* JSON text; NULL: not known */
	const char *type;    /* said by store_state_of_event() alone */
	const char *sender;  /* NULL: not known (seen by a look) */
	int64_t origin_ts;
};

/* What somebody is in a room that has a key. */
struct store_member {
	const char *user_id, *membership, *source;
	int64_t origin_ts;
	bool marked; /* has it in its m.direct (as we wrote or saw it) */
};

/*
 * A room we care for, by its key: "#alias:server" for a room of the policy,
 * "@a:server @b:server" (sorted) for a direct room. room_id NULL until it
 * exists.
 */
struct store_room {
	const char *key;
	const char *room_id;
	const char *maker; /* who made it, when it was us; may be NULL */
	const char *rule;  /* struct room_policy's; NULL: not known */
	const char *held;  /* why nothing can be done about it; NULL */
	int64_t held_ms;
	int64_t missing_ms; /* since when looks do not find it; 0: they do */
	/* In a snapshot only. ROOM_STATES of them, or NULL: nothing is known
	 * (of a direct room more than the name never is). */
	struct store_state *state;
	struct store_member *members; /* by user id */
	size_t n_members;
	bool direct;
	bool declared;
	bool wanted; /* a direct room that somebody asked for */
};

struct store_membership {
	const char *room_id, *user_id, *membership;
	const char *event_id; /* NULL: not from an event; never read back */
	int64_t origin_ts;
	const char *source; /* "event", "poll", "action" */
};

/* Somebody took an agent out of a room where it is declared. */
struct store_removal {
	const char *room_id, *user_id;
	const char *by; /* NULL: not known, a look did not find it there */
	bool ban;
	bool asked; /* an operator wants it back all the same */
	int64_t at_ms;
	const char *event_id; /* NULL; never read back */
};

MUST_CHECK enum rc store_room_declare(
	struct store *s, const struct store_room *r, struct err *e);
/* The members a declared room should have; replaces what was declared. */
MUST_CHECK enum rc store_room_members_declare(struct store *s, const char *key,
	const char *const *users, size_t n, struct err *e);
/* The room of a key exists: its id and who made it (NULL: somebody else). */
MUST_CHECK enum rc store_room_found(struct store *s, const char *key,
	const char *room_id, const char *maker, struct err *e);
/* The room of a key is gone: forgets its id. */
MUST_CHECK enum rc store_room_lost(
	struct store *s, const char *key, struct err *e);
/* The homeserver has forgotten everything: so does the store, but for who and
 * what is declared, and for the agents' generations. */
MUST_CHECK enum rc store_forget(struct store *s, struct err *e);
/* The room of a key gets another key, that of a declared room without an id of
 * its own: a team has another name now. */
MUST_CHECK enum rc store_room_rename(
	struct store *s, const char *from, const char *to, struct err *e);
/* The room is not what another room of its rule was before. */
MUST_CHECK enum rc store_room_unrule(
	struct store *s, const char *key, struct err *e);
/* Another room has taken its place: the old one is to be left. */
MUST_CHECK enum rc store_room_replaced(struct store *s, const char *key,
	const char *new_room_id, struct err *e);
/* The room of a key is out of reach: as store_room_lost(), and the room is to be
 * left by whoever of ours is in it. */
MUST_CHECK enum rc store_room_given_up(
	struct store *s, const char *key, struct err *e);
/* Is it an old room, which is still to be left? */
MUST_CHECK enum rc store_old_room_is(
	struct store *s, const char *room_id, bool *ret, struct err *e);
/* An old room has been left by all of ours. */
MUST_CHECK enum rc store_old_room_left(
	struct store *s, const char *room_id, struct err *e);
/* Somebody asked for a pair's direct room; *new (may be NULL) says whether it
 * was not asked for before. RC_NOT_FOUND: it is not declared. */
MUST_CHECK enum rc store_room_want(
	struct store *s, const char *key, bool *new, struct err *e);
/* A look found the room (missing_ms 0), or has not found it since then. */
MUST_CHECK enum rc store_room_looked(struct store *s, const char *key,
	int64_t now_ms, int64_t missing_ms, struct err *e);
/* Why nothing can be done about it; NULL: something can. */
MUST_CHECK enum rc store_room_hold(struct store *s, const char *key,
	const char *why, int64_t now_ms, struct err *e);
/* Marks a direct room as being in the m.direct of a user. */
MUST_CHECK enum rc store_mark_add(struct store *s, const char *room_id,
	const char *user_id, struct err *e);

/* --- those who were removed ------------------------------------------------ */

/*
 * Writes it down, where the user is an agent that has been declared in this room
 * since before (or, when nobody has done it, anybody who has) and it is not our
 * own user who did it; of each the last two are kept. What a look found is taken over by the event that says who it was. A
 * leave of somebody who was banned takes the ban back. Before the membership
 * itself is set.
 */
MUST_CHECK enum rc store_removal_add(
	struct store *s, const struct store_removal *r, struct err *e);
/* A look at at_ms has found that the user is out by this event. Where that was
 * known, and the user was asked in since by us, it was lost; which counts as a
 * removal by nobody. */
MUST_CHECK enum rc store_removal_lost(
	struct store *s, const struct store_removal *r, struct err *e);
/* An operator wants the agent back wherever it was removed: its removals are
 * forgotten, but for bans, which are asked about. *n: how many there were. */
MUST_CHECK enum rc store_removals_forgive(struct store *s, const char *user_id,
	int64_t now_ms, size_t *n, struct err *e);
/* What an operator asked for was refused. */
MUST_CHECK enum rc store_removal_refused(struct store *s, const char *room_id,
	const char *user_id, struct err *e);

/* --- memberships and state ------------------------------------------------- */

/*
 * A membership as seen: applied when it is not older (origin_ts) than what is
 * there; of equal times the later call wins, but not the same event once more. An
 * event that says what an action of ours or a poll has already said takes over
 * id and time.
 * *changed (may be NULL): the membership is another than before, in a room that
 * has a key; of others nobody asks.
 */
MUST_CHECK enum rc store_membership_set(struct store *s,
	const struct store_membership *m, bool *changed, struct err *e);
/* What a look at the room said: these users are joined at at_ms; others whose
 * row says join and is not newer have left. Rows that say so already stay as
 * they are. */
MUST_CHECK enum rc store_membership_poll(struct store *s, const char *room_id,
	const char *const *joined, size_t n, int64_t at_ms, bool *changed,
	struct err *e);
/* What a look at all member events of the room said: it has some of these
 * users alone. Rows of others that only an action or an earlier look wrote,
 * not newer than at_ms, are removed: nothing came of what they say. */
MUST_CHECK enum rc store_membership_only(struct store *s, const char *room_id,
	const char *const *users, size_t n, int64_t at_ms, struct err *e);
/* State of a room as seen (m.room.name, m.room.power_levels, m.room.create's
 * version …); kept for every room we are in. Older ones are ignored. Where a
 * room says something else of what has taken its place it is not held any more. */
MUST_CHECK enum rc store_state_set(struct store *s, const char *room_id,
	const char *type, const char *content, const char *event_id,
	const char *sender, int64_t origin_ts, bool *changed, struct err *e);

/* The state that this event made, if it is still there and is not redacted;
 * else RC_NOT_FOUND. */
MUST_CHECK enum rc store_state_of_event(struct store *s, const char *room_id,
	const char *event_id, struct arena *a, struct store_state *ret,
	struct err *e);

/* What is left of it after its redaction; its event does not come back. */
MUST_CHECK enum rc store_state_redact(struct store *s, const char *room_id,
	const char *type, const char *content, struct err *e);

/* --- everything that is, for the plan ------------------------------------- */

struct store_snapshot {
	struct store_agent *agents; /* by user_id */
	size_t n_agents;
	struct store_room *rooms; /* by key */
	size_t n_rooms;
	/* Rooms that another one has replaced, by room id: key, id and
	 * members. */
	struct store_room *old;
	size_t n_old;
	int64_t rotate_every_ms;        /* of all agents; 0: never by itself */
	struct store_removal *removals; /* by room_id, user_id, time */
	size_t n_removals;
};
/* One consistent view. */
MUST_CHECK enum rc store_snapshot(struct store *s, struct arena *a,
	struct store_snapshot *ret, struct err *e);

/* One row each; RC_NOT_FOUND. */
MUST_CHECK enum rc store_agent_get(struct store *s, const char *user_id,
	struct arena *a, struct store_agent *ret, struct err *e);
MUST_CHECK enum rc store_room_get(struct store *s, const char *key,
	struct arena *a, struct store_room *ret, struct err *e);
/* The declared agent after this id ("": the first) whose token was handed over;
 * RC_NOT_FOUND: there are no more. */
MUST_CHECK enum rc store_agent_next(struct store *s, const char *user_id,
	struct arena *a, struct store_agent *ret, struct err *e);
/* The declared agents in state handed_off: those who have not answered. */
MUST_CHECK enum rc store_agents_unanswered(struct store *s, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e);
/* By room id, for a room that has a key. */
MUST_CHECK enum rc store_room_by_id(struct store *s, const char *room_id,
	struct arena *a, struct store_room *ret, struct err *e);
/* The same, quickly and often: is there such a room? */
MUST_CHECK enum rc store_room_has_key(
	struct store *s, const char *room_id, bool *ret, struct err *e);
/* "join", "invite" …; *ret NULL when there is no row. */
MUST_CHECK enum rc store_membership_get(struct store *s, const char *room_id,
	const char *user_id, struct arena *a, const char **ret, struct err *e);
/* The declared direct rooms of a user that exist, by key. */
MUST_CHECK enum rc store_direct_rooms(struct store *s, const char *user_id,
	struct arena *a, struct store_room **ret, size_t *n, struct err *e);

/* The declared direct rooms that exist and were not looked at since then, those
 * first that were not for longest. */
MUST_CHECK enum rc store_rooms_unlooked(struct store *s, int64_t since_ms,
	size_t limit, struct arena *a, struct store_room **ret, size_t *n,
	struct err *e);
/* Is there a membership in the room that only an action of ours says, older
 * than that? */
MUST_CHECK enum rc store_room_unconfirmed(struct store *s, const char *room_id,
	int64_t before_ms, bool *ret, struct err *e);

/* Members as declared, by room key then user: for those who look without the
 * files. */
struct store_declared_member {
	const char *key, *user_id;
};
MUST_CHECK enum rc store_declared_members(struct store *s, struct arena *a,
	struct store_declared_member **ret, size_t *n, struct err *e);

/* --- the journal ---------------------------------------------------------- */

enum journal_state {
	JOURNAL_WAITING,
	JOURNAL_RUNNING,
	JOURNAL_FAILED, /* to be tried again at next_attempt_ms */
	JOURNAL_DONE,
};
const char *journal_state_name(enum journal_state st);

struct store_step {
	int64_t id;          /* given by the store */
	const char *kind;    /* "register" … (INTERFACE) */
	const char *subject; /* user id, or room key */
	const char *room;    /* room key; NULL */
	const char *reason;  /* why it is planned; NULL */
	enum journal_state state;
	int attempt; /* how often it was started */
	bool unsure; /* one of those may have been done all the same */
	int64_t created_ms, updated_ms, next_attempt_ms;
	const char *error;
};

/*
 * Makes the unfinished rows of the journal be exactly these steps: a step that
 * is there already (kind, subject and room) keeps its row, its id, state,
 * attempt, unsure, next_attempt_ms and error are filled in; a new one gets a
 * row; unfinished rows of no step are removed, but for rooms and accounts that
 * may have been made unheard. A row still running is one that
 * was interrupted: its state comes back as JOURNAL_RUNNING, and it is unsure.
 * Start, done and failed are RC_NOT_FOUND for a row that is done or was
 * removed.
 */
MUST_CHECK enum rc store_journal_sync(struct store *s, struct store_step *steps,
	size_t n, int64_t now_ms, struct arena *a, struct err *e);
MUST_CHECK enum rc store_journal_start(
	struct store *s, int64_t id, int64_t now_ms, struct err *e);
MUST_CHECK enum rc store_journal_done(
	struct store *s, int64_t id, int64_t now_ms, struct err *e);
/* unsure: this attempt may have been done all the same. */
MUST_CHECK enum rc store_journal_failed(struct store *s, int64_t id,
	const char *error, bool unsure, int64_t next_attempt_ms, int64_t now_ms,
	struct err *e);
/* The newest rows, unfinished ones first. Of done rows the newest 1,000 are
 * kept. */
MUST_CHECK enum rc store_journal_list(struct store *s, size_t limit,
	struct arena *a, struct store_step **ret, size_t *n, struct err *e);
/* Those of a kind that were done in this time, the newest first. */
MUST_CHECK enum rc store_journal_done_of(struct store *s, const char *kind,
	int64_t since_ms, int64_t until_ms, struct arena *a,
	struct store_step **ret, size_t *n, struct err *e);
/* One row; RC_NOT_FOUND. */
MUST_CHECK enum rc store_journal_get(struct store *s, int64_t id,
	struct arena *a, struct store_step *ret, struct err *e);
/* Failed rows of an id (0: any), a subject and a room (NULL: any) are to be
 * tried again now; *n: how many they are. */
MUST_CHECK enum rc store_journal_hurry(struct store *s, int64_t id,
	const char *subject, const char *room, int64_t now_ms, size_t *n,
	struct err *e);
/* Those that were hurried at this time and have not ended since, and those
 * that have failed since then, by subject, kind and room. */
MUST_CHECK enum rc store_journal_hurried(struct store *s, int64_t since_ms,
	struct arena *a, struct store_step **ret, size_t *n, struct err *e);
/* Unfinished rows; running ones count as waiting. */
MUST_CHECK enum rc store_journal_counts(
	struct store *s, int64_t *waiting, int64_t *failed, struct err *e);

/* --- transactions --------------------------------------------------------- */

/* How many are remembered. A homeserver has one in flight at a time, so that
 * one would do for it; a day of a lively fleet does no harm. */
#define STORE_TXN_WINDOW 10000

/* Remembered with this digest (of the ordered event ids). Within a store
 * transaction nobody else adds one. Before one it may be false after something
 * was undone, never true of what was. */
bool store_txn_seen(struct store *s, const char *txn_id,
	const unsigned char digest[SHA256_LEN]);
/* Remembers it; of the window the oldest leaves. */
MUST_CHECK enum rc store_txn_add(struct store *s, const char *txn_id,
	const unsigned char digest[SHA256_LEN], int64_t now_ms, struct err *e);

struct store_quarantined {
	int64_t id;
	const char *txn_id;
	int64_t index;     /* of the event in its transaction; -1: all of it */
	const char *bytes; /* JSON text as received */
	const char *reason;
	int64_t received_ms;
	bool partial; /* the bytes are not all that came, or not as it came */
};
/* Keeps it, of at most LIMIT_EVENT bytes; at most LIMIT_QUARANTINE rows of
 * LIMIT_QUARANTINE_BYTES in all, the oldest leave. */
MUST_CHECK enum rc store_quarantine_add(
	struct store *s, const struct store_quarantined *q, struct err *e);
/* Counts n more that there was no room for. */
MUST_CHECK enum rc store_quarantine_skip(
	struct store *s, int64_t n, struct err *e);
MUST_CHECK enum rc store_quarantine_list(struct store *s, struct arena *a,
	struct store_quarantined **ret, size_t *n, struct err *e);
/* One row; RC_NOT_FOUND. */
MUST_CHECK enum rc store_quarantine_get(struct store *s, int64_t id,
	struct arena *a, struct store_quarantined *ret, struct err *e);
MUST_CHECK enum rc store_quarantine_reason(
	struct store *s, int64_t id, const char *reason, struct err *e);
MUST_CHECK enum rc store_quarantine_remove(
	struct store *s, int64_t id, struct err *e);

struct store_quarantine_total {
	int64_t kept, bytes;
	int64_t dropped; /* left because it was full */
};
MUST_CHECK enum rc store_quarantine_total(
	struct store *s, struct store_quarantine_total *ret, struct err *e);

struct store_txn_counts {
	int64_t seen, repeated; /* transactions; seen: the repeated ones too */
	int64_t events, applied, quarantined;
	/* Elements of what a transaction may have beside events. */
	int64_t ephemeral, to_device, device_lists, key_counts;
	int64_t refused; /* transactions that were none; not among seen */
	int64_t last_ms;
};
/* Adds all of these, and sets last_ms where it is not 0; they survive
 * restarts. */
MUST_CHECK enum rc store_txn_count(
	struct store *s, const struct store_txn_counts *more, struct err *e);
MUST_CHECK enum rc store_txn_counts(
	struct store *s, struct store_txn_counts *ret, struct err *e);

/* --- the audit log: append-only ------------------------------------------- */

struct store_audit {
	int64_t ms;
	const char *actor, *action, *subject, *detail;
};
MUST_CHECK enum rc store_audit_add(
	struct store *s, const struct store_audit *row, struct err *e);
/* The newest, newest first. */
MUST_CHECK enum rc store_audit_list(struct store *s, size_t limit,
	struct arena *a, struct store_audit **ret, size_t *n, struct err *e);

#endif
