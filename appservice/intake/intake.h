/*
 * appservice/intake/intake.h: the Application Service API, as the homeserver
 * calls it. A transaction is parsed event by event and committed with its id
 * in one store transaction before it is answered 200: a 200 is a promise.
 *
 * struct intake is shared by the listener's threads; what it points to outlives
 * it.
 */
#ifndef APPSERVICE_INTAKE_INTAKE_H
#define APPSERVICE_INTAKE_INTAKE_H

#include <stdatomic.h>

#include "appservice/http_server.h"
#include "store/store.h"

struct intake {
	/* NULL: only ping is served (`muster register`); all else is answered
	 * 503, since it may be asked again. */
	struct store *store;
	/* Membership or room state changed: the reconciler should look. */
	void (*changed)(void *arg);
	/* Something in a transaction, or all of it, could not be read: what it
	 * said is not known (may be NULL). */
	void (*refused)(void *arg);
	/* The homeserver reached us by a ping with this transaction id (NULL:
	 * none). */
	void (*pinged)(void *arg, const char *txn);
	/*
	 * Is this one of our agents, and does it exist by now (GET users)? May
	 * take seconds. RC_OK; RC_NOT_FOUND: none that we vouch for; anything
	 * else: it cannot be said yet, in words.
	 */
	enum rc (*need_user)(void *arg, const char *user_id, struct err *e);
	/* The same of a room's alias, at once (GET rooms). */
	enum rc (*has_alias)(void *arg, const char *alias, struct err *e);
	void *arg;
	/* Messages are read for whom they mention (NULL: they are not). */
	const atomic_bool *mentions;
	/* No refused transaction is noted; false also when that is not known.
	 * Ours alone. */
	atomic_bool nothing_refused;
};

/* The routes: transactions, ping, users, rooms, thirdparty, and the legacy
 * paths (AS sections 0.1, 7). Handlers expect a struct intake as
 * http_server_options.arg. */
extern const struct route intake_routes[];
extern const size_t intake_n_routes;

/*
 * Parses a transaction's body and commits it. What a PUT answers, without
 * HTTP: RC_OK (applied or repeated), RC_INVALID with *not_json said, RC_IO.
 */
struct intake_result {
	bool repeated, not_json, changed;
	size_t events, applied, quarantined;
};
MUST_CHECK enum rc intake_transaction(struct intake *in, const char *txn_id,
	const char *body, size_t n, struct intake_result *ret, struct err *e);

/*
 * Reads what is in quarantine under this id again, and commits what comes of
 * it. RC_OK also when it stays: then the reason says why. RC_NOT_FOUND, RC_IO.
 */
struct intake_retry {
	bool left; /* it could be read, and is in quarantine no more */
	bool changed;
	size_t events, applied;
	size_t quarantined; /* those of a whole transaction, anew */
	const char *reason; /* in the arena */
};
MUST_CHECK enum rc intake_retry(struct store *s, int64_t id, struct arena *a,
	struct intake_retry *ret, struct err *e);

#endif
