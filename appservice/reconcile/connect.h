/*
 * appservice/reconcile/connect.h: is the homeserver there, does it know our
 * token, and is it the one that the configuration names?
 */
#ifndef APPSERVICE_RECONCILE_CONNECT_H
#define APPSERVICE_RECONCILE_CONNECT_H

#include "appservice/app.h"

/* As reconcile_connect(); `server` gets what it calls itself. Learns its kind.
 * With the as_token. */
MUST_CHECK enum rc connect_to(
	struct app *app, struct hs *hs, char server[64], struct err *e);

#endif
