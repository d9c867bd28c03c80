/*
 * appservice/app.h: what the parts of the service share. Everything hangs off
 * one struct app, which main owns; the parts get it passed. Made in steps, so
 * that a verb loads only what it needs; app_free() takes a half-made one.
 *
 * Configuration, fleet and registration are read-only, but for one moment: the
 * loop's thread exchanges them between two plans, when they were read anew
 * (appservice/reload.h). It and its workers read them as they like; any other
 * thread holds app_hold() for as long as it looks at them, or at what they
 * point to, and neither waits for anybody meanwhile nor calls it again. Store,
 * gate, tokens and wanted lock for themselves.
 */
#ifndef APPSERVICE_APP_H
#define APPSERVICE_APP_H

#include <pthread.h>
#include <stdatomic.h>

#include "appservice/config.h"
#include "appservice/fleet/fleet.h"
#include "matrix/hs.h"
#include "registration/registration.h"
#include "store/store.h"

struct tokens;
struct wanted;
struct reconcile;
struct reload;
struct standby;

struct app {
	pthread_rwlock_t lock; /* of the next three, and what is in them */
	struct config config;
	struct fleet fleet;
	struct registration reg;
	struct store *store;
	struct hs_gate *gate;
	struct tokens *tokens;
	struct wanted *wanted;
	struct reconcile *reconcile;
	struct reload *reload;
	struct standby *standby; /* while it waits for the store */
	/* The configuration of the start, once there is a later one, which has
	 * from it what holds until the end. */
	struct config first;
	char *sender_id;      /* "@muster:server" */
	atomic_bool mentions; /* ask for direct rooms: messages are read */
	atomic_int kind;      /* enum hs_kind, once known */
	int64_t started_ms;
};

/*
 * The stop flag, raised by a signal: nothing new is begun. The second is raised
 * when what was running has had its time: requests end at once.
 */
extern atomic_bool app_stop, app_abort;

/* Empty; what it is made of comes by the functions below. */
void app_init(struct app *app);
/* All of it, also when it is half made. */
void app_free(struct app *app);

/* Configuration, fleet and registration stay as they are until app_let_go(). */
void app_hold(struct app *app);
void app_let_go(struct app *app);

/* What somebody is going to do: what of the configuration they need, besides
 * the settings and the fleet. */
enum app_use {
	FOR_FILES,    /* nothing else */
	FOR_SERVICE,  /* the homeserver is asked */
	FOR_REGISTER, /* the secrets are used, too */
	FOR_CHECK,    /* is all of it right? */
};
/* Configuration, then the fleet that it names. Findings go to report;
 * RC_INVALID when there are errors. */
MUST_CHECK enum rc app_load(struct app *app, const char *config_path,
	enum app_use use, struct report *report, struct err *e);

/*
 * For a running service: the same file and what it names, read anew into
 * *next, which is made here and freed with app_free() in any case; nothing else
 * is touched. Settings that hold until the end stay as they are, with a warning
 * where they differ.
 */
MUST_CHECK enum rc app_load_anew(const struct app *app, struct app *next,
	struct report *report, struct err *e);
/* Configuration and fleet are those of *next from now on, which gets what was
 * in force and nobody needs any more. By the loop's thread, between two plans. */
void app_exchange(struct app *app, struct app *next);

/* As log.level and log.format say. */
void app_setup_log(const struct config *c);
/* Findings as warnings in the log, each with its place. */
void app_log_findings(const char *msg, const struct report *r);

/*
 * What the registration should be, with new tokens. Where the store is open,
 * agents that are declared no more are in it until they are retired, since
 * until then they are acted for.
 */
MUST_CHECK enum rc app_make_registration(
	struct app *app, struct registration *ret, struct err *e);
/*
 * A declared user or alias that the homeserver does not keep for us by this
 * registration, or a human whom it does; NULL: there is none. The first of
 * these users are in `users`, with their number.
 */
#define UNCOVERED_USERS 20
const char *app_uncovered(const struct app *app, const struct registration *reg,
	const char *users[UNCOVERED_USERS], size_t *n_users);
/* One whom the registration leaves alone: a human of the fleet, where there is
 * one of this server, else nobody's id; NULL: it has that too. */
const char *app_stranger(
	const struct app *app, const struct registration *reg, struct arena *a);
/* A registration must not cover a human, nor the server's own bot; `path` is
 * for the words. */
MUST_CHECK enum rc app_check_namespace(const struct app *app,
	const struct registration *reg, const char *path, struct err *e);
/*
 * Reads the registration file and checks that it is what the configuration
 * and fleet want; RC_NOT_FOUND and RC_INVALID say which command mends it. Other
 * namespaces are an error as well, unless *other is asked for: then it says
 * whether they are others (people or teams came or went since), and those who
 * are outside are blocked when their turn comes.
 */
MUST_CHECK enum rc app_load_registration(
	struct app *app, bool *other, struct report *report, struct err *e);

/* The fingerprints of the registration's tokens and of the configured secrets, in
 * the log, so that two services can be compared. */
void app_log_fingerprints(const struct app *app);

/* The path of appservice.url, which every route hangs under (AS-06); "" when
 * it has none. */
const char *app_base_path(const struct app *app);

/* A client of the homeserver; token NULL: the as_token of the registration. */
MUST_CHECK enum rc app_client(struct app *app, const struct secret *token,
	struct hs **ret, struct err *e);
/* One without any token. */
MUST_CHECK enum rc app_client_plain(
	struct app *app, struct hs **ret, struct err *e);

/* A homeserver answers there, or in words what to do about it. server: as for
 * hs_versions(). */
MUST_CHECK enum rc app_reach(
	const struct app *app, struct hs *hs, char server[64], struct err *e);
/* The configured kind, else what the homeserver says; remembered. */
MUST_CHECK enum rc app_detect(struct app *app, struct hs *hs, struct err *e);

/*
 * Registers `reg`, which has our tokens, with the homeserver, as
 * registration_register() says; `probe`: users who must be in its namespace.
 * In the place of app->reg, another, it makes no account: who registered that is
 * an administrator. Our listener is up.
 */
MUST_CHECK enum rc app_register(struct app *app, const struct registration *reg,
	const char *const *probe, size_t n_probe,
	void (*say)(void *arg, const char *line), void *arg, struct err *e);
/* Takes app->reg back, as registration_unregister() says, or only says what
 * that would be. */
MUST_CHECK enum rc app_unregister(struct app *app, bool dry_run,
	void (*say)(void *arg, const char *line), void *arg, struct err *e);
/* What app_register() of app->reg would do. */
MUST_CHECK enum rc app_register_dry(struct app *app, const char *const *probe,
	size_t n_probe, void (*say)(void *arg, const char *line), void *arg,
	struct err *e);
/* The registration is that of *next from now on, which gets the old one, by the
 * loop's thread, between two plans; those who were outside its namespace are
 * let in. `row` (may be NULL) says why. */
MUST_CHECK enum rc app_take_registration(struct app *app,
	struct registration *next, const struct store_audit *row,
	struct err *e);

/* Why an agent outside the registered namespace is blocked; taken back once a
 * registration covers it. */
#define OUTSIDE "outside the namespace that the homeserver knows: "
#define OUTSIDE_NAMESPACE                                                      \
	OUTSIDE "run `muster registration`, then `muster register`, and send " \
		"the service SIGHUP"

/* The note in the store of which kind the homeserver is. */
#define NOTE_HS_KIND "hs_kind"

/* Opens the store, as `o` says what to do when somebody else has it, and
 * declares the fleet in it. */
MUST_CHECK enum rc app_open_store(
	struct app *app, const struct store_options *o, struct err *e);
/* Declares a fleet, which is to be the service's, in the store. */
MUST_CHECK enum rc app_declare(
	struct app *app, const struct fleet *fleet, struct err *e);
/* The runtime root exists (it is made) and can be written. */
MUST_CHECK enum rc app_check_runtime(const struct app *app, struct err *e);

/* One consistent view of the store, with what is in hand marked; an empty one
 * when there is no store. */
MUST_CHECK enum rc app_snapshot(struct app *app, struct arena *a,
	struct store_snapshot *ret, struct err *e);

/* Asked between steps, waits and retries. */
bool app_stopping(void);

#endif
