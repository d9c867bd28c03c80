/*
 * appservice/ops/api.h: the admin API: HTTP and JSON over a Unix socket, and
 * its read-only health part over TCP. Handlers get the struct app.
 */
#ifndef APPSERVICE_OPS_API_H
#define APPSERVICE_OPS_API_H

#include "appservice/app.h"
#include "appservice/http_server.h"

/* GET /v1/NAME for each view, what can be asked for, and the health routes. */
extern const struct route api_routes[];
extern const size_t api_n_routes;
/* The health routes and the metrics: for ops.listen. */
extern const struct route health_routes[];
extern const size_t health_n_routes;

#endif
