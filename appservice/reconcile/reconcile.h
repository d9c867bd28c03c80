/*
 * appservice/reconcile/reconcile.h: the loop that makes what is become what
 * should be: connect, look, plan, perform, wait. One thread of its own;
 * everything public may be called by any thread.
 */
#ifndef APPSERVICE_RECONCILE_RECONCILE_H
#define APPSERVICE_RECONCILE_RECONCILE_H

#include "appservice/app.h"
#include "appservice/reconcile/plan.h"

struct reconcile;

/* Needs config, fleet, registration and store. */
MUST_CHECK enum rc reconcile_new(
	struct app *app, struct reconcile **ret, struct err *e);
/* NULL is fine; stop it first. */
void reconcile_free(struct reconcile *r);

/*
 * The first contact, before anything is written: is the homeserver there, does
 * it know our token, is it the one that the configuration names. RC_OK;
 * RC_UNAUTHORIZED and RC_INVALID are for a person to mend; anything else
 * (RC_NETWORK) may pass.
 */
MUST_CHECK enum rc reconcile_connect(struct reconcile *r, struct err *e);

MUST_CHECK enum rc reconcile_start(struct reconcile *r, struct err *e);
/* Raises app_stop and waits for what is running, after grace_ms with
 * app_abort. */
void reconcile_stop(struct reconcile *r, int grace_ms);

/* Something changed: look at the plan soon. */
void reconcile_wake(struct reconcile *r);
/* Something that the homeserver said was lost: look at all rooms soon. */
void reconcile_doubt(struct reconcile *r);
/* The homeserver asks for the alias of a room of ours, which it does not know
 * then: it is looked for soon, and set again. False: it is known to lead nowhere
 * now. Any thread. */
bool reconcile_alias_asked(struct reconcile *r, const char *alias);
/* The homeserver reached us; by a ping, of which `txn` is the id (NULL: it has
 * none). */
void reconcile_reached(struct reconcile *r);
void reconcile_pinged(struct reconcile *r, const char *txn);

struct reconcile_state {
	bool connected;   /* the homeserver answers and accepts our token */
	bool reached;     /* it has reached us */
	bool repaired;    /* the first look and its plan are done */
	bool store_ok;    /* the last commit worked */
	int64_t looks_ms; /* monotonic: since when it looks at what there is,
			     and plans nothing; 0: it does not */
	char why[512];    /* not connected, in words */
	char ping[512];   /* not reached, in words */
	char server[64];  /* what the homeserver calls itself; "" nothing */
};
void reconcile_state(struct reconcile *r, struct reconcile_state *ret);

/* A direct room was made just now; and how many are in a minute, as it goes (0:
 * that cannot be said). */
void reconcile_made_direct(struct reconcile *r);
int64_t reconcile_direct_rate(struct reconcile *r);

/* When direct rooms are made, by the configuration and how many there are. */
enum direct_mode reconcile_direct_mode(const struct app *app);
/* What a plan depends on beside fleet and snapshot. */
struct plan_how reconcile_how(const struct app *app, size_t direct_most);

/* The plan as it is now; everything in `a`. */
MUST_CHECK enum rc reconcile_plan(
	struct app *app, struct arena *a, struct plan *ret, struct err *e);
/* The plan of a snapshot, which it points into. */
MUST_CHECK enum rc reconcile_plan_from(struct app *app,
	const struct store_snapshot *now, struct arena *a, struct plan *ret,
	struct err *e);

#endif
