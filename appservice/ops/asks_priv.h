/*
 * appservice/ops/asks_priv.h: what the files of asks share: asks.c, and
 * asks_tokens.c.
 */
#ifndef APPSERVICE_OPS_ASKS_PRIV_H
#define APPSERVICE_OPS_ASKS_PRIV_H

#include "appservice/app.h"
#include "appservice/ops/asks.h"
#include "base/json.h"

/* One request: what it says, and what is known. */
struct ask {
	struct app *app;
	struct arena a;
	struct js body;
	struct store_snapshot now;
	int64_t at_ms;
	struct jb out;
	struct store_audit audit; /* action NULL: nothing was asked for */
};

/* Reads the body, takes a snapshot, holds the configuration and lets fn answer;
 * what it says goes into q->out, an object that is open. */
void ask_answer(
	struct http_call *c, enum rc (*fn)(struct ask *q, struct err *e));
/* Ends the store's transaction that fn has opened, with rc, and writes down that
 * it was asked for; then the loop is woken. */
MUST_CHECK enum rc ask_commit(struct ask *q, enum rc rc, struct err *e);

/* A user id, or a localpart of our server, as a user id. */
MUST_CHECK enum rc ask_full_id(
	struct ask *q, const char *text, const char **ret, struct err *e);
MUST_CHECK enum rc ask_no_such_agent(const char *id, struct err *e);

/* How long so many rotations may take: four at a time, who each may take their
 * time to pause, and to acknowledge. */
int64_t ask_rotations_take_ms(const struct app *app, int64_t n);

#endif
