/*
 * appservice/adopt/adopt.h: moving over a fleet that was run with passwords:
 * its accounts, the rooms with the declared aliases and the direct rooms become
 * ours, and nothing of what is in them is lost.
 *
 * First everything is looked at, and nothing changed; then what was found is
 * done, in an order in which each step may be the last one: see adopt_do(). One
 * thread; a struct adopt is zeroed, filled in, and freed with adopt_free().
 */
#ifndef APPSERVICE_ADOPT_ADOPT_H
#define APPSERVICE_ADOPT_ADOPT_H

#include "appservice/app.h"

/* What the account of a declared agent is. */
#define ADOPT_AGENT_TABLE(X)                                                   \
	X(OURS, "ours", "ours already")                                        \
	X(OLD, "old", "an old account of the fleet")                           \
	X(UNUSED, "unused", "an account that nobody has ever used")            \
	X(STRANGER, "stranger",                                                \
		"somebody else's, as it seems: it is in no room of the fleet") \
	X(ADMIN, "administrator", "an administrator of the homeserver")        \
	X(REVOKED, "revoked", "ours, and its tokens were taken away")          \
	X(OUTSIDE, "outside", "outside the namespace of the registration")     \
	X(ABSENT, "absent", "not there yet")

enum adopt_agent_is {
#define X(name, word, words) ADOPT_AGENT_##name,
	ADOPT_AGENT_TABLE(X)
#undef X
};

struct adopt_agent {
	const struct person *person;
	enum adopt_agent_is is;
	bool take; /* it is to become ours */
	size_t devices;
	struct hs_ids rooms;  /* that it is in */
	struct hs_ids others; /* of them, that nothing declares; once taken */
	bool taken;           /* its old tokens are dead, and it is ours */
	bool handed_off;      /* its new token is in its file */
	bool password;        /* its old one may work still */
	const char *why;      /* it could not be done; NULL */
};

/* What there is of a declared room, and from whom power in it comes. */
#define ADOPT_ROOM_TABLE(X)                                                    \
	X(NONE, "none")   /* it is not there yet */                            \
	X(OURS, "ours")   /* already */                                        \
	X(READY, "ready") /* our user has power in it, and may come in */      \
	X(AGENT, "agent") /* an agent has it */                                \
	X(OWNER, "owner") /* the old owner has it */                           \
	X(ADMIN, "administrator") /* of the homeserver */                      \
	X(MISSING, "missing")

enum adopt_room_is {
#define X(name, word) ADOPT_ROOM_##name,
	ADOPT_ROOM_TABLE(X)
#undef X
};

struct adopt_room {
	const struct room *room;
	enum adopt_room_is is;
	const char *room_id; /* NULL: there is none */
	const char *by;      /* who gives power; NULL: nobody has to */
	bool done, unlisted;
	bool closed;     /* who was not asked in could come in until now */
	bool unseen;     /* nobody whom we may act for is in it */
	size_t absent;   /* declared members that are not in it; 0 as well where
			  nobody can see it */
	const char *why; /* what is missing, or could not be done; NULL */
};

struct adopt {
	struct app *app; /* the store is there, but for a look without one */
	struct hs *hs;   /* with the as_token; ours */
	const char *const *names; /* only these agents, and also where their
				     account seems to be somebody else's */
	size_t n_names;           /* 0: all agents */
	/* Says what is being done, one line a step; never a secret. */
	void (*say)(void *arg, const char *line);
	void *arg;

	/* The old owner, or an administrator: adopt_owner_enter(). */
	struct hs *owner; /* NULL: nobody */
	char owner_id[256];
	bool owner_session; /* that we have begun */
	bool owner_is_admin;

	struct arena a; /* of what follows */
	struct store_snapshot now;
	const char *admin_room; /* Conduit's; NULL */
	struct adopt_agent *agents;
	size_t n_agents;
	struct adopt_room *rooms;
	size_t n_rooms;
	size_t direct; /* declared direct rooms that are in the store */
};

/*
 * Looks at everything: does the homeserver know us; each account, each room.
 * Changes nothing anywhere. RC_UNAUTHORIZED: we are not registered; RC_NOT_FOUND:
 * one of the names is no agent's.
 */
MUST_CHECK enum rc adopt_look(struct adopt *ad, struct err *e);
void adopt_free(struct adopt *ad);

/* How many agents and rooms are to be taken over; and how many stay as they
 * are, and need somebody. */
size_t adopt_open(const struct adopt *ad);
size_t adopt_left(const struct adopt *ad);
/* Rooms in which nobody whom we may act for has the power. */
size_t adopt_powerless(const struct adopt *ad);

/* The same user, each as an id or as a localpart of our server? */
bool adopt_same_user(const struct app *app, const char *one, const char *two);

/*
 * Logs the old owner in, by password (whose session adopt_free() ends) or by a
 * token of theirs, which stays as it is, and looks what power they have in the
 * rooms that lack it. user NULL: whose the token is. Nothing is kept. Somebody
 * who was there before, and did not help, leaves.
 */
MUST_CHECK enum rc adopt_owner_enter(struct adopt *ad, const char *user,
	const struct secret *secret, bool is_token, struct err *e);
/* They give power in a room, or administer the homeserver. */
bool adopt_owner_helps(const struct adopt *ad);

/*
 * Does it, in this order:
 *
 * 1. Power: our user is asked into each room, is given power, comes in, and the
 *    store takes the room up. Agents and their programs do not notice.
 * 2. Each account: its direct rooms are taken up, then its old tokens end, then
 *    the store says that it is ours.
 * 3. By the steps of the plan, each a row of the journal: names, logins,
 *    hand-offs, and who may come into the rooms.
 *
 * What was interrupted, or failed, is found by the next look as it is by then,
 * and done; or, from the commit of 2 on, by the service. One agent or room that
 * cannot be done is told, and keeps nobody else from it. RC_STOPPING: a signal.
 */
MUST_CHECK enum rc adopt_do(struct adopt *ad, struct err *e);

/* What was found, and what has become of it: as lines for people, as JSON. */
void adopt_tell(const struct adopt *ad,
	void (*say)(void *arg, const char *line), void *arg);
void adopt_write_json(const struct adopt *ad, bool dry_run, struct buf *out);

#endif
