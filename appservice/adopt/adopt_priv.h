/*
 * appservice/adopt/adopt_priv.h: what the files of this folder share.
 */
#ifndef APPSERVICE_ADOPT_ADOPT_PRIV_H
#define APPSERVICE_ADOPT_ADOPT_PRIV_H

#include "appservice/adopt/adopt.h"

/* After these nothing else would work either. */
bool adopt_is_fatal(enum rc rc);
/* One line to whoever listens; cut at 511 bytes. */
void adopt_say(const struct adopt *ad, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool adopt_contains(const struct hs_ids *ids, const char *id);
/* A text of an event's content, in the arena; NULL, also of no event. */
const char *adopt_text_in(
	const struct hs_state_event *ev, const char *key, struct arena *a);
/* Is the agent meant by this word: its id, or its localpart? */
bool adopt_is_called(const struct person *p, const char *word);
/* A row of the audit log, within a transaction: adopted, and how. detail NULL:
 * out of memory. */
MUST_CHECK enum rc adopt_audit(struct adopt *ad, const char *subject,
	const char *detail, struct err *e);
/* RC_STOPPING once a signal has come. */
MUST_CHECK enum rc adopt_stopped(struct err *e);

/* agents.c */
MUST_CHECK enum rc adopt_look_at_agents(struct adopt *ad, struct err *e);
/* Decides who is to be taken, once rooms and agents are known. */
void adopt_judge_agents(struct adopt *ad);
/* Ends its old tokens, and makes it ours. */
MUST_CHECK enum rc adopt_take_agent(
	struct adopt *ad, struct adopt_agent *agent, struct err *e);

/* rooms.c */
MUST_CHECK enum rc adopt_find_rooms(struct adopt *ad, struct err *e);
/* From whom power comes, as far as agents and owner are known. */
MUST_CHECK enum rc adopt_look_at_room(
	struct adopt *ad, struct adopt_room *r, struct err *e);
MUST_CHECK enum rc adopt_take_room(
	struct adopt *ad, struct adopt_room *r, struct err *e);
/* It is to be taken up. */
bool adopt_room_is_open(const struct adopt_room *r);

/* direct.c: its direct rooms that nobody lists, into the store. */
MUST_CHECK enum rc adopt_find_direct(
	struct adopt *ad, const struct adopt_agent *agent, struct err *e);

/* finish.c: the steps of the plan that finish it. */
MUST_CHECK enum rc adopt_finish(struct adopt *ad, struct err *e);

/* owner.c */
void adopt_owner_leave(struct adopt *ad);

#endif
