/*
 * appservice/intake/intake_priv.h: from the text of a transaction to what the
 * store is told: split.c finds the events in the text, batch.c reads them one
 * by one, transaction.c commits them. extras.c counts what else there is,
 * retry.c reads again what was set aside.
 */
#ifndef APPSERVICE_INTAKE_INTAKE_PRIV_H
#define APPSERVICE_INTAKE_INTAKE_PRIV_H

#include "appservice/intake/intake.h"
#include "base/arena.h"

/* --- extras.c ------------------------------------------------------------- */

enum extra_kind {
	EXTRA_EPHEMERAL,
	EXTRA_TO_DEVICE,
	EXTRA_DEVICE_LISTS,
	EXTRA_KEY_COUNTS,
	EXTRA_FALLBACK_KEYS,
	EXTRA_KINDS
};

/* How much there was of each; place: by which of its names (0: none). */
struct extras {
	size_t n[EXTRA_KINDS], place[EXTRA_KINDS];
};

/* A member of a transaction: its name in quotes, and its value, both as text.
 * Those that are not known are ignored. */
void extras_take(struct extras *x, struct str key, struct str value);

/* --- split.c -------------------------------------------------------------- */

/*
 * Finds the inside of the array `events` without reading it. RC_INVALID, with
 * *not_json said, when the body is not one whole JSON object or has no such
 * array. The other members are counted.
 */
MUST_CHECK enum rc split_begin(struct str body, struct str *events,
	struct extras *extras, bool *not_json, struct err *e);
/* Takes the next element's text off; false at the end. */
bool split_next(struct str *events, struct str *ret);

/* --- batch.c -------------------------------------------------------------- */

/* What of an event is kept. */
struct batch_event {
	const char *room_id, *event_id;
	const char *sender;
	const char *user_id, *membership; /* of a member event */
	const char *type, *content; /* of state; the content as compact JSON */
	const char *redacts;   /* of a redaction: the event that it is of */
	const char **mentions; /* of a message: whom it mentions */
	size_t n_mentions;
	int64_t origin_ts;
};

struct batch_bad {
	int64_t index;
	const char *bytes; /* at most LIMIT_EVENT of the text */
	bool partial;      /* that is not all of it, or not as it was */
	const char *reason;
};

struct batch {
	struct arena arena;
	struct buf content; /* scratch */
	int64_t now_ms;
	bool mentions; /* messages are read for them */
	size_t seen;   /* events of every kind */
	struct batch_event *events;
	size_t n, cap;
	struct batch_bad *bad; /* the first LIMIT_QUARANTINE */
	size_t n_bad, bad_cap;
	size_t bad_seen;
	struct extras extras;
	unsigned char digest[SHA256_LEN]; /* of the ordered event ids */
};

/* Reads a transaction; on failure as split_begin(), or RC_NOMEM. To be freed
 * either way. `mentions`: messages, too, for whom they mention. */
MUST_CHECK enum rc batch_read(struct batch *b, struct str body, int64_t now_ms,
	bool mentions, bool *not_json, struct err *e);
void batch_free(struct batch *b);
/* The beginning of a text, as something that the store takes; *partial: it is
 * not all of it, or not as it was. */
const char *batch_excerpt(struct arena *a, struct str text, bool *partial);

/* --- mentions.c ----------------------------------------------------------- */

/* Most that are looked at in one message. */
#define MENTIONS_MAX 32
/* Whom a message's content (JSON text) mentions, in the arena; *n 0: nobody,
 * or it is not as it should be. */
void mentions_read(
	struct str content, struct arena *a, const char ***ret, size_t *n);
/* The direct rooms of its sender with those it mentions are wanted; *changed:
 * some were not. */
MUST_CHECK enum rc mentions_apply(struct store *s, const struct batch_event *ev,
	bool *changed, struct err *e);

/* --- transaction.c: parts of a store transaction that is open ------------- */

/* Applies a batch's events, counting them. */
MUST_CHECK enum rc batch_apply(struct store *s, const struct batch *b,
	struct intake_result *ret, struct err *e);
/* Puts its bad events into quarantine. */
MUST_CHECK enum rc batch_quarantine(struct store *s, const char *txn_id,
	const struct batch *b, struct err *e);
/* What a batch adds to the counters, all but `seen`. */
struct store_txn_counts batch_counts(
	const struct batch *b, const struct intake_result *r);

/* --- redact.c ------------------------------------------------------------- */

/* What is left of a state event's content (JSON) after its redaction. */
MUST_CHECK enum rc redact_content(
	const char *type, const char *content, struct buf *out, struct err *e);

#endif
