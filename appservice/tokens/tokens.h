/*
 * appservice/tokens/tokens.h: an agent's token: issued by a login, held in
 * memory until it is in its file, handed over, acknowledged. A token is never
 * stored: one that was lost on the way is replaced by logging in again with
 * the same device.
 *
 * struct tokens is shared by all workers and locks for itself.
 */
#ifndef APPSERVICE_TOKENS_TOKENS_H
#define APPSERVICE_TOKENS_TOKENS_H

#include "appservice/app.h"

struct handoff;
struct work;

MUST_CHECK struct tokens *tokens_new(void);
void tokens_free(struct tokens *t);

/* A token that is not in its file yet. keep copies it; take moves it out:
 * false when there is none. */
MUST_CHECK enum rc tokens_keep(struct tokens *t, const char *user_id,
	int64_t generation, const struct secret *token);
bool tokens_take(struct tokens *t, const char *user_id, int64_t *generation,
	struct secret *token);
bool tokens_in_hand(struct tokens *t, const char *user_id);

/*
 * Whether the homeserver gives application services logins at all: asked before
 * the first one (RC_UNSUPPORTED, in words), and one that gives none is left
 * alone for an hour, however many agents wait.
 */
MUST_CHECK enum rc tokens_may_log_in(
	struct tokens *t, struct hs *hs, struct err *e);
/* A login was refused because there are none. */
void tokens_no_logins(struct tokens *t, const struct err *why);
/* Somebody says that it does by now: asked again. */
void tokens_ask_again(struct tokens *t);
/* For how long nobody is to try; 0: now. */
int64_t tokens_no_logins_ms(struct tokens *t);

/*
 * The step `login`: a file that is there and whose token is right is taken
 * over (after a lost store); one that cannot be read is a failure; otherwise
 * logs in on the agent's device. Before the login the store says that the agent
 * has no good token, so that a crash in between ends in another login.
 */
MUST_CHECK enum rc step_login(struct work *w, struct err *e);
/* The step `hand_off`: the token in hand goes into matrix.json, after whatever
 * generation got there before it. */
MUST_CHECK enum rc step_hand_off(struct work *w, struct err *e);

/* The step `revoke` (revoke.c): of an agent that is retired, or whose tokens an
 * operator wants ended, which is blocked then. */
MUST_CHECK enum rc step_revoke(struct work *w, struct err *e);
#define TOKENS_GIVE_NEW                                                        \
	"`muster rotate` or `muster retry` with its name gives it a new one"
/* What stands in the error of who has no token any more, before the reason. */
#define TOKENS_NO_TOMBSTONE "its file could not be replaced by a tombstone"
/* The tombstone that lies in the place of an agent's file: the generation of
 * the token that was taken away; 0: there is none. */
int64_t tokens_buried(struct app *app, const char *user_id);

/*
 * Rotations that were asked for (rotate.c): asks agents to pause, a few at a
 * time, looks for their answers, and gives up on those who are late. *open:
 * there are some that have not ended; *clear: one more is clear to log in, which
 * the plan does. By the loop's thread.
 */
MUST_CHECK enum rc tokens_rotate(
	struct app *app, bool *open, bool *clear, struct err *e);
/* Every handoff.check, asks the homeserver about the token in the file of one
 * agent, each in its turn (check.c); one that it does not know gets a new one:
 * *lost. By the loop's thread, with its client's gate. */
MUST_CHECK enum rc tokens_check_one(struct app *app, bool *lost, struct err *e);

/* Asks the homeserver whose the token in a hand-off is. RC_REVOKED: it does not
 * know it; any other failure says nothing of the token. */
MUST_CHECK enum rc tokens_whoami(struct app *app, const struct handoff *h,
	struct hs_whoami *ret, struct err *e);
/* What is wrong with a whole file, in words: it is not what the store knows, or
 * names another homeserver or device than these. NULL: nothing. */
const char *tokens_wrong_with(const struct handoff *h,
	const struct store_agent *row, const char *url, const char *device);

/*
 * Compares each handed-off file with what the store knows of it: an agent
 * whose file is gone, broken or another gets a new login; of one whose file
 * cannot be read that is said (its error), until it can. Local reads only.
 */
MUST_CHECK enum rc tokens_check_files(struct app *app, struct err *e);
/* How the error of such an agent begins, and whether it is that. */
#define TOKENS_UNSEEN "its hand-off cannot be looked at: "
bool tokens_is_unseen(const struct store_agent *row);

#define TOKENS_LOST_MAX 1000

/* What is known of files of which the store is not to know, zeroed at first. */
struct tokens_lost {
	uint64_t unknown[TOKENS_LOST_MAX]; /* hashes of users that the
					      homeserver does not know */
	size_t n;
	bool told;    /* that there are files that are none of ours */
	bool trouble; /* the root could not be read the last time */
};
/*
 * Looks below the root of the hand-off for files of agents of ours that the
 * store does not know (it was lost) and that are declared no longer, which only
 * their files tell by now, and takes them into the store, so that they are
 * retired like any. Local reads, and one question to the homeserver for each that
 * it has found: is there such an account? RC_NETWORK and so on when there is no
 * answer.
 */
MUST_CHECK enum rc tokens_find_lost(struct app *app, struct hs *hs,
	struct tokens_lost *lost, struct err *e);

/* Looks for acknowledgements of agents that have not answered yet. */
MUST_CHECK enum rc tokens_look_for_acks(struct app *app, struct err *e);

#endif
