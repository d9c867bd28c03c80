/*
 * appservice/reload.h: a changed configuration takes effect in a running
 * service: muster.yaml, the files of the fleet that it names, and the
 * registration file are read anew when the first ones change, and on SIGHUP.
 * What is wrong changes nothing. Settings that are not `reloadable` in
 * appservice/settings.h stay as they were at the start.
 *
 * A registration that does not cover the fleet is registered again, where that
 * is possible (Conduit, with homeserver.admin).
 */
#ifndef APPSERVICE_RELOAD_H
#define APPSERVICE_RELOAD_H

#include "appservice/app.h"

/* For a loaded app with its registration, as app->reload. */
MUST_CHECK enum rc reload_new(struct app *app, struct err *e);
void reload_free(struct reload *r);

/* --- any thread ------------------------------------------------------------- */

/* Read everything anew soon, whether it has changed or not. */
void reload_ask(struct app *app);

struct reload_state {
	int64_t loaded_ms; /* when what is in force was read */
	char error[512];   /* what is wrong with the files now; "": nothing */
	bool outdated;     /* the registration does not cover the fleet */
};
void reload_state(struct app *app, struct reload_state *ret);

/* --- the loop's thread -------------------------------------------------------- */

/* Is there something for the next two? Called about every second, between steps
 * as well; costs next to nothing. */
bool reload_tick(struct app *app);
/*
 * Reads anew, if it is due, and exchanges what is in force: only between two
 * plans. *exchanged: it is another now. Files that are wrong are said in the
 * log, and RC_OK; anything else is the store's trouble, and it stays due.
 */
MUST_CHECK enum rc reload_now(struct app *app, bool *exchanged, struct err *e);
/* Registers again, if it is due; with a connection. What comes of it is said
 * in the log. */
void reload_registration(struct app *app);

#endif
