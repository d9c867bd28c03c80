/*
 * matrix/hs_priv.h: what the parts of the homeserver client share. hs.c has
 * the client and the one function that sends (hs_request()); hs_gate.c the
 * common pause; hs_answer.c reads status and error code; hs_server.c,
 * hs_account.c and hs_room.c are the calls, each a path, a body and what is
 * taken from the answer.
 */
#ifndef MATRIX_HS_PRIV_H
#define MATRIX_HS_PRIV_H

#include "matrix/hs.h"
#include "matrix/http.h"

#define HS_CLIENT "/_matrix/client/v3"

struct hs {
	struct http *http;
	char *base; /* without a slash at its end */
	struct secret token;
	struct hs_gate *gate;
	struct hs_gate *own_gate; /* when none was given */
	const atomic_bool *stop;
	bool (*may_send)(void *arg);
	void *arg;
	int timeout_ms,
		timeout_made_ms; /* made: as long as nothing hurries it */
	int64_t pause_max_ms;    /* the longest single wait */
	int64_t spend_max_ms, spend_made_ms; /* all waits of one call */
	struct hs_failure failure;
	struct http_answer answer; /* of the call that runs */
	struct buf url;
	char where[200];    /* "PUT /path", for error texts */
	char *own_id;       /* whose the token is; NULL: not asked yet */
	const char *device; /* of sessions by password; NULL: a new one */
};

struct hs_call {
	const char *method;
	const char *path;   /* each `%` is replaced by the next of ids */
	const char *ids[3]; /* percent-encoded on their way in */
	const char *query;  /* ready for a URL; NULL: none */
	const char *as;
	bool anonymous;   /* without the token */
	const char *body; /* JSON; NULL: none */
	bool harmless;    /* no write, though it is not a GET */
	bool list;        /* the answer is an array */
};

/* --- hs.c ------------------------------------------------------------- */

/*
 * Sends and waits as long as the homeserver says 429: RC_OK means that there
 * is an answer of any other status in hs->answer.
 */
MUST_CHECK enum rc hs_exchange(
	struct hs *hs, const struct hs_call *call, struct err *e);
/*
 * What the answer means; for 2xx the parsed one, which must be an object (ret
 * may be NULL). What was received is wiped.
 */
MUST_CHECK enum rc hs_finish(struct hs *hs, struct json **ret, struct err *e);
/* Both; the answer may be a list, where the call says so. */
MUST_CHECK enum rc hs_request(struct hs *hs, const struct hs_call *call,
	struct json **ret, struct err *e);
/* A body that is an object, into which members go; the caller ends it. */
void hs_body_begin(struct buf *body, struct jb *b);
/* hs_request() with a body that was built, which is wiped. */
MUST_CHECK enum rc hs_request_body(struct hs *hs, struct hs_call call,
	struct buf *body, struct json **ret, struct err *e);
/* The last call's answer of 2xx lacks what it must have. */
enum rc hs_bad_answer(struct hs *hs, const char *what, struct err *e);

/* --- hs_server.c ------------------------------------------------------ */

/* The user that a call acts for: `as`, or whose the token is (asked once). */
MUST_CHECK enum rc hs_actor(
	struct hs *hs, const char *as, const char **ret, struct err *e);

/* --- hs_gate.c -------------------------------------------------------- */

/* One request more; a write may change something. */
void hs_gate_count(struct hs_gate *g, bool write);
/* Nobody sends for so long. */
void hs_gate_close(struct hs_gate *g, int64_t ms);
/* How long nobody may send yet; 0 when open. */
int64_t hs_gate_closed_ms(const struct hs_gate *g);

/* --- hs_answer.c ------------------------------------------------------ */

#define HS_WORDS 201 /* 200 bytes of the homeserver's words, and a NUL */

/*
 * Reads an answer that is not 2xx: fills *f and words (printable, without the
 * token) and returns what it means.
 */
enum rc hs_read_failure(const struct http_answer *a, const struct secret *token,
	struct hs_failure *f, char words[HS_WORDS]);
/* Copies a string member that must be there, not empty, and fit. */
MUST_CHECK bool hs_copy_str(struct js v, const char *key, char *ret, size_t n);
/* A string member in the arena; NULL when missing or out of memory. */
const char *hs_arena_str(struct arena *a, struct js v, const char *key);
/* Replaces what is in ret by v as JSON text. */
MUST_CHECK enum rc hs_give_json(struct js v, struct buf *ret, struct err *e);

#endif
