/*
 * appservice/ops/asks.h: what the admin API is asked to do: retire, approve,
 * retry, direct, rotate, revoke. Each writes down what is wanted, wakes the loop and answers at
 * once; how far it is says GET /v1/progress, which the command line asks until
 * it is done. Any thread.
 */
#ifndef APPSERVICE_OPS_ASKS_H
#define APPSERVICE_OPS_ASKS_H

#include "appservice/http_server.h"

/* {"user": U}; U is a user id, or a localpart, everywhere. */
void ask_retire(struct http_call *c);
/* {} */
void ask_approve(struct http_call *c);
/* {"step": ID}, {"user": U}, {"room": ALIAS} or {} for everything. */
void ask_retry(struct http_call *c);
/* {"users": [U, U]} */
void ask_direct(struct http_call *c);
/* {"users": [U…]} or {"all": true}; "every_ms", "now", "why" (asks_tokens.c) */
void ask_rotate(struct http_call *c);
/* {"user": U}, "why" */
void ask_revoke(struct http_call *c);

/*
 * ?since_ms=T, the asked_ms of the answer to one of those, and of whom: user=,
 * room= (an alias, or two users with a space between them), leaving=1 for
 * those who were let go, or none of them for steps that are tried again:
 * {pending, failed: [{id, kind, subject, room, error}], why_not, state, error,
 * room_id, held_why, held: [rooms]}. run=N: of the rotations of one run, instead,
 * {pending, may_take_ms, why_not, rotations: [{user_id, state, generation,
 * since_ms, error}]}. pending: steps to come; those that have
 * failed since, or wait for one that has, are none.
 */
void get_progress(struct http_call *c);

#endif
