/*
 * appservice/ops/errand.h: what a verb asks the running service for: it is
 * written down there, then the service is asked how far it is until it is done,
 * has failed, or has taken longer than it may.
 */
#ifndef APPSERVICE_OPS_ERRAND_H
#define APPSERVICE_OPS_ERRAND_H

#include "appservice/ops/verbs.h"

struct errand {
	struct cli *cli;
	struct app app;
	struct json *asked;    /* what the service answered */
	struct json *progress; /* and how far it is; NULL: not asked */
};

/* POSTs it; EXIT_OK, or the status to end with (said already). To be ended in
 * any case. */
int errand_begin(struct errand *r, const char *path, const char *body);
/* The same with {"key": value}; value NULL: {"key": id}; key NULL: {}. */
int errand_begin_with(struct errand *r, const char *path, const char *key,
	const char *value, int64_t id);
void errand_end(struct errand *r);

/* What the service said to the request, and of it the last time that it was
 * asked how far it is; borrowed from r. */
struct js errand_asked(const struct errand *r);
struct js errand_progress(const struct errand *r);
/* A member; 0, false when it is not there. */
int64_t errand_number(struct js doc, const char *key);
bool errand_flag(struct js doc, const char *key);

/* Nothing is to come any more: it is done, or has failed. */
bool errand_is_over(const struct errand *r);
/* Waits until it is over, at most as long as so many steps may take; `of` and
 * value are what GET /v1/progress takes beside the time. */
int errand_wait(struct errand *r, const char *of, const char *value,
	int64_t steps, bool (*over)(const struct errand *r));
/* Steps that have failed since, with the homeserver's words. */
int errand_tell_failed(const struct errand *r);
/* With --json one document, whatever came of it; the status. */
int errand_tell_json(const struct errand *r, int status);

#endif
