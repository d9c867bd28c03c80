/*
 * appservice/app.h: what the parts of the service share. Everything hangs off
 * one struct app, which main owns; the parts get it passed. Made in steps, so
 * that a verb loads only what it needs; app_free() takes a half-made one.
 *
 * After loading, config, fleet, registration and options are read-only; store,
 * gate, tokens and wanted lock for themselves.
 */
#ifndef APPSERVICE_APP_H
#define APPSERVICE_APP_H

#include <stdatomic.h>

#include "appservice/config.h"
#include "appservice/fleet/fleet.h"
#include "matrix/hs.h"
#include "registration/registration.h"
#include "store/store.h"

struct tokens;
struct wanted;
struct reconcile;

struct app {
	struct config config;
	struct fleet fleet;
	struct registration reg;
	struct store *store;
	struct hs_gate *gate;
	struct tokens *tokens;
	struct wanted *wanted;
	struct reconcile *reconcile;
	char *sender_id; /* "@muster:server" */
	atomic_int kind; /* enum hs_kind, once known */
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

/* What the registration file should say. */
struct registration_want app_want(const struct app *app);
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

/* The path of appservice.url, which every route hangs under (AS-06); "" when
 * it has none. */
const char *app_base_path(const struct app *app);

/* A client of the homeserver; token NULL: the as_token of the registration. */
MUST_CHECK enum rc app_client(struct app *app, const struct secret *token,
	struct hs **ret, struct err *e);
/* One without any token. */
MUST_CHECK enum rc app_client_plain(
	struct app *app, struct hs **ret, struct err *e);

/* The configured kind, else what the homeserver says; remembered. */
MUST_CHECK enum rc app_detect(struct app *app, struct hs *hs, struct err *e);

/* Why an agent outside the registered namespace is blocked; taken back when a
 * service starts with a registration that covers it. */
#define OUTSIDE_NAMESPACE                                                      \
	"outside the namespace that the homeserver knows: run `muster "        \
	"registration`, then `muster register`, and start again"

/* The note in the store of which kind the homeserver is. */
#define NOTE_HS_KIND "hs_kind"

/* Opens the store and declares the fleet in it. */
MUST_CHECK enum rc app_open_store(struct app *app, struct err *e);
/* The runtime root exists (it is made) and can be written. */
MUST_CHECK enum rc app_check_runtime(const struct app *app, struct err *e);

/* One consistent view of the store, with what is in hand marked; an empty one
 * when there is no store. */
MUST_CHECK enum rc app_snapshot(struct app *app, struct arena *a,
	struct store_snapshot *ret, struct err *e);

/* Asked between steps, waits and retries. */
bool app_stopping(void);

#endif
