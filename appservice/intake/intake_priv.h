/*
 * appservice/intake/intake_priv.h: from the text of a transaction to what the
 * store is told: split.c finds the events in the text, batch.c reads them one
 * by one, transaction.c commits them.
 */
#ifndef APPSERVICE_INTAKE_INTAKE_PRIV_H
#define APPSERVICE_INTAKE_INTAKE_PRIV_H

#include "appservice/intake/intake.h"
#include "base/arena.h"

/* --- split.c -------------------------------------------------------------- */

/*
 * Finds the inside of the array `events` without reading it. RC_INVALID, with
 * *not_json said, when the body is not one whole JSON object or has no such
 * array.
 */
MUST_CHECK enum rc split_begin(
	struct str body, struct str *events, bool *not_json, struct err *e);
/* Takes the next element's text off; false at the end. */
bool split_next(struct str *events, struct str *ret);

/* --- batch.c -------------------------------------------------------------- */

/* What of an event is kept. */
struct batch_event {
	const char *room_id, *event_id;
	const char *user_id, *membership; /* of a member event */
	const char *type, *content; /* of state; the content as compact JSON */
	const char *redacts; /* of a redaction: the event that it is of */
	int64_t origin_ts;
};

struct batch_bad {
	int64_t index;
	const char *bytes; /* at most LIMIT_EVENT of the text */
	const char *reason;
};

struct batch {
	struct arena arena;
	struct buf content; /* scratch */
	int64_t now_ms;
	size_t seen; /* events of every kind */
	struct batch_event *events;
	size_t n, cap;
	struct batch_bad *bad; /* the first LIMIT_QUARANTINE */
	size_t n_bad, bad_cap;
	size_t bad_seen;
	unsigned char digest[SHA256_LEN]; /* of the ordered event ids */
};

/* Reads a transaction; on failure as split_begin(), or RC_NOMEM. To be freed
 * either way. */
MUST_CHECK enum rc batch_read(struct batch *b, struct str body, int64_t now_ms,
	bool *not_json, struct err *e);
void batch_free(struct batch *b);
/* The beginning of a text, as something that the store takes. */
const char *batch_excerpt(struct arena *a, struct str text);

/* --- redact.c ------------------------------------------------------------- */

/* What is left of a state event's content (JSON) after its redaction. */
MUST_CHECK enum rc redact_content(
	const char *type, const char *content, struct buf *out, struct err *e);

#endif
