/*
 * appservice/tokens/tokens_priv.h: what the files of tokens/ share: where an
 * agent's directory is, and since when it was asked to pause.
 */
#ifndef APPSERVICE_TOKENS_TOKENS_PRIV_H
#define APPSERVICE_TOKENS_TOKENS_PRIV_H

#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"

/* Opens the directory of an agent of the fleet for a look; RC_NOT_FOUND. */
MUST_CHECK enum rc tokens_open_dir(
	struct app *app, const char *user_id, int *fd, struct err *e);

/*
 * How long is waited for an agent's answer: of each the last question is known,
 * for as long as the service runs. By the clock that goes on while the machine
 * sleeps, as the agent's may.
 */
enum question {
	QUESTION_PAUSE, /* it was asked to pause for this generation */
	QUESTION_ACK,   /* its newer token is there to be acknowledged */
};
/* It was asked just now, and may take so long. */
MUST_CHECK enum rc tokens_ask(struct tokens *t, const char *user_id,
	enum question what, int64_t generation, int64_t wait_ms);
/* What of that is left, below 0 when it is over, and (may be NULL) how much it
 * was; false: it was not asked. */
bool tokens_left_ms(struct tokens *t, const char *user_id, enum question what,
	int64_t generation, int64_t *ret, int64_t *ret_wait);
/* What is left to begin a login for an agent that was asked to pause for this
 * generation: of the last part of its patience nothing is. */
bool tokens_login_left_ms(
	struct app *app, const char *user_id, int64_t generation, int64_t *ret);

/* Has the agent acknowledged the generation that the row has? Writes it down,
 * and (may be NULL) says it. */
MUST_CHECK enum rc tokens_look_for_ack(struct app *app,
	const struct store_agent *row, bool *ret, struct err *e);
/* Has an agent of which no acknowledgement is known, and which has a token, just
 * begun to run? Whosever turn it is to be looked at. */
MUST_CHECK enum rc tokens_has_begun(struct app *app,
	const struct store_agent *row, bool *ret, struct err *e);

/* Is it so long since the last time that this was true? Of rotations that come
 * by themselves, and of checks (the first of which is not at once). */
bool tokens_due(struct tokens *t, int64_t every_ms);
bool tokens_check_due(struct tokens *t, int64_t every_ms);
/* Who was checked last; "". Room for TOKENS_USER_MAX bytes, to be set. */
#define TOKENS_USER_MAX 256
char *tokens_checked_last(struct tokens *t);
/* The answer says that the homeserver itself does not know the token; or it is
 * none, since it cannot be sent. Anything else may be the word of a proxy, or of
 * a bad day. */
bool tokens_is_dead(enum rc rc, const struct hs *hs);

/* With which of n the next so many are to begin. */
size_t tokens_turn(struct tokens *t, size_t n, size_t many);
/* Its token is not good: state registered, and why; the plan does the rest. */
MUST_CHECK enum rc tokens_needs_login(
	struct app *app, const char *user_id, const char *why, struct err *e);

/* Between why an agent is blocked and what could not be done besides; and how
 * that begins. */
#define TOKENS_BESIDES "; "
#define TOKENS_ENDED_BUT "its tokens were ended, but "
/* Puts a tombstone in the place of the agent's file, if it ever had one. */
MUST_CHECK enum rc tokens_bury(
	const struct app *app, const struct store_agent *row, struct err *e);
/* Is it said of the agent that there is none? */
bool tokens_has_no_tombstone(const struct store_agent *row);
/* Once more; what cannot be done is told, and no error. */
MUST_CHECK enum rc tokens_bury_again(
	struct app *app, const struct store_agent *row, struct err *e);

/* Is this the device that the root was on the last time? Of another root than
 * last time the first is. By any thread. */
bool tokens_is_root(struct tokens *t, const char *root, uint64_t device);
void tokens_set_root(struct tokens *t, uint64_t device);
/* RC_IO: another file system is in the place of the runtime directory, and
 * nothing of it says anything of the agents. */
MUST_CHECK enum rc tokens_root_check(const struct app *app, struct err *e);
/* It is the right one: an agent's file was found in it. */
void tokens_root_found(const struct app *app);

/* The agent's directory, as it was declared last. Free it; RC_INVALID for an id
 * that is none. */
MUST_CHECK enum rc tokens_path(const struct app *app,
	const struct store_agent *row, char **ret, struct err *e);

/* Does a human of the fleet have the name of the step's subject? */
bool tokens_is_human(const struct work *w);
/*
 * Ends the token that was handed to an agent whose name a human has now: by the
 * token itself, for nothing is done in the name of a human. *left: why it could
 * not be ended, and what to do, when there is no such token; else untouched.
 */
MUST_CHECK enum rc tokens_end_given(struct work *w,
	const struct store_agent *row, const char **left, struct err *e);

#endif
