/*
 * appservice/standby.h: a service that waits for its store. On a network file
 * system another service may have it, on another host: this one then stands by,
 * until that one ends or falls silent.
 */
#ifndef APPSERVICE_STANDBY_H
#define APPSERVICE_STANDBY_H

#include "appservice/app.h"

/*
 * app_open_store(), waiting if need be. Meanwhile the admin socket and
 * ops.listen say for whom, and the log at once and every minute; nothing listens
 * at appservice.listen. RC_STOPPING: a signal has ended it. Once it is open it
 * may be lost: then the process ends at once.
 */
MUST_CHECK enum rc standby_open_store(struct app *app, struct err *e);

#endif
