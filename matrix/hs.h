/*
 * matrix/hs.h: the client-server API of one homeserver as typed calls.
 *
 * A struct hs is a client with one token and one kept-alive connection; one
 * thread at a time. All clients of a program share a struct hs_gate: it counts
 * requests and writes and holds everybody back when the homeserver said so
 * (429). Calls that act for somebody take `as`, the full user id to assert
 * (appservice identity assertion), NULL for the token's own user.
 *
 * Results: RC_OK; RC_UNAUTHORIZED (401: the token is not known); RC_FORBIDDEN
 * (403); RC_EXCLUSIVE (M_EXCLUSIVE); RC_NOT_FOUND (404, but not M_UNRECOGNIZED
 * or one without an error code, which say nothing of the thing asked for);
 * RC_EXISTS (M_USER_IN_USE, M_ROOM_IN_USE, 409); RC_UNSUPPORTED
 * (M_APPSERVICE_LOGIN_UNSUPPORTED); RC_LIMITED (429 for longer than a call
 * waits); RC_REMOTE (any other answer, or one that is not what the
 * specification says); RC_INVALID (an empty id; a token that cannot be sent);
 * RC_NETWORK, RC_TIMEOUT, RC_TOO_LARGE, RC_STOPPING as http_do(). The
 * error text has the method and path, the status and the homeserver's own
 * words, never a token; hs_failure() has the details of the last failure.
 * Outputs are untouched on failure. Strings are allocated in the arena given.
 */
#ifndef MATRIX_HS_H
#define MATRIX_HS_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/secret.h"
#include "matrix/http.h"

struct hs;

enum hs_kind {
	HS_UNKNOWN,
	HS_CONDUIT,
	HS_TUWUNEL,
	HS_SYNAPSE,
	HS_DENDRITE,
};
/* "conduit" …; "unknown". */
const char *hs_kind_name(enum hs_kind k);
/* HS_UNKNOWN for a word that is none. */
enum hs_kind hs_kind_of(const char *name);
/* A login on a device ends the token that the device had: seen of Conduit. Others
 * let it live until the device goes. */
bool hs_login_ends_token(enum hs_kind k);

/* Shared by all clients of one homeserver; any thread. */
struct hs_gate;
MUST_CHECK struct hs_gate *hs_gate_new(void);
void hs_gate_free(struct hs_gate *g);
int64_t hs_gate_requests(const struct hs_gate *g);
/* Requests that may have changed something: neither GET nor a ping. */
int64_t hs_gate_writes(const struct hs_gate *g);

struct hs_options {
	const char *url;     /* base, with or without one trailing slash */
	const char *ca_file; /* NULL: the system's */
	const struct secret *token; /* copied; NULL: none yet */
	struct hs_gate *gate;       /* outlives us; NULL: one of our own */
	const atomic_bool *stop;    /* outlives us; NULL: none */
	/* Asked before each request: may anything be sent? NULL: it may. */
	bool (*may_send)(void *arg);
	void *arg;
	int timeout_ms;      /* of one request; 0: 30 s */
	int64_t patience_ms; /* how long a call waits for a rate limit to end,
				all in all; 0: 5 min, a minute at a time */
};

MUST_CHECK enum rc hs_new(
	const struct hs_options *o, struct hs **ret, struct err *e);
void hs_free(struct hs *hs);
/* From now on a call has this long, with what a rate limit makes it wait; 0: as
 * it was made. */
void hs_hurry(struct hs *hs, int64_t ms);
/* From now on this flag stops it (outlives us; NULL: none). */
void hs_set_stop(struct hs *hs, const atomic_bool *stop);
/* Sessions opened by password are of this device from now on, so that one which
 * was left behind ends with the next (Conduit). NULL: each of a new one; a
 * literal, or it outlives us. */
void hs_use_device(struct hs *hs, const char *device_id);
/* Replaces the token (a copy is taken). */
MUST_CHECK enum rc hs_use_token(struct hs *hs, const struct secret *token);

struct hs_failure {
	int status; /* 0: no answer */
	char errcode[64];
	int64_t retry_after_ms; /* -1: not said */
};
/* Of the last call that failed; borrowed until the next call. */
const struct hs_failure *hs_failure(const struct hs *hs);

/* What was in the way of the last call's answer. */
enum http_trouble hs_trouble(const struct hs *hs);
/* The homeserver's clock, as its last answer said; 0: it did not. */
int64_t hs_date_ms(const struct hs *hs);

/* --- the server ------------------------------------------------------- */

/* GET /versions without a token: it is there. server (64 bytes, may be NULL)
 * gets the Server header. */
MUST_CHECK enum rc hs_versions(struct hs *hs, char server[64], struct err *e);
/* By what it says of itself: the Server header, `GET /`, its version. */
MUST_CHECK enum rc hs_detect(struct hs *hs, enum hs_kind *ret, struct err *e);
/* What the homeserver says its name is, as it says to other servers; RC_NOT_FOUND
 * when it does not, as Conduit where it does not federate. */
MUST_CHECK enum rc hs_server_name(struct hs *hs, char ret[256], struct err *e);
/* GET /capabilities: the default room version ("" when not said). */
MUST_CHECK enum rc hs_default_room_version(
	struct hs *hs, const char *as, char ret[32], struct err *e);

/* --- who we are ------------------------------------------------------- */

struct hs_whoami {
	char user_id[256];
	char device_id[256]; /* "" when none */
	bool guest;
};
MUST_CHECK enum rc hs_whoami(
	struct hs *hs, const char *as, struct hs_whoami *ret, struct err *e);
/* POST /appservice/{id}/ping: the homeserver calls us back before it answers.
 * AS-88. */
MUST_CHECK enum rc hs_ping(struct hs *hs, const char *appservice_id,
	const char *txn, int64_t *duration_ms, struct err *e);

/* --- accounts --------------------------------------------------------- */

/* Registers a user of our namespace, always with inhibit_login (AS-108,
 * AS-109); password NULL: none. RC_EXISTS: it is there already. */
MUST_CHECK enum rc hs_register(struct hs *hs, const char *localpart,
	const struct secret *password, struct err *e);

struct hs_session {
	char user_id[256];
	char device_id[256];
	struct secret token; /* the caller's to secret_fini() */
};
/* GET /login: RC_UNSUPPORTED when it offers application services none; RC_OK
 * also when it cannot be told. AS-113. */
MUST_CHECK enum rc hs_login_offered(struct hs *hs, struct err *e);
/* Login of a user of our namespace (AS-112). RC_UNSUPPORTED: there are none for
 * application services, in words for the operator. */
MUST_CHECK enum rc hs_login(struct hs *hs, const char *user_id,
	const char *device_id, const char *device_name, struct hs_session *ret,
	struct err *e);
MUST_CHECK enum rc hs_login_password(struct hs *hs, const char *user,
	const struct secret *password, struct hs_session *ret, struct err *e);
/* Registers a human account by password: m.login.dummy, or the registration
 * token where one is given. RC_EXISTS when the name is taken. */
MUST_CHECK enum rc hs_register_password(struct hs *hs, const char *username,
	const struct secret *password, const struct secret *registration_token,
	struct hs_session *ret, struct err *e);
/* GET /register/available: RC_EXISTS when the name is taken. */
MUST_CHECK enum rc hs_username_free(
	struct hs *hs, const char *localpart, struct err *e);
/* Whether anybody who comes may make an account: without a token, a captcha or a
 * mail address. Asks for the ways to register, and makes none. */
MUST_CHECK enum rc hs_registration_open(
	struct hs *hs, bool *ret, struct err *e);
/* A user id or device id of hs_whoami() or of a session, for people: only what is
 * one, and has not the token in it; else words. Borrowed. */
const char *hs_user_words(const char *user_id, const struct secret *token);
const char *hs_device_words(const char *device, const struct secret *token);
/* Ends this client's own token. Not for the as_token (AS-139). */
MUST_CHECK enum rc hs_logout(struct hs *hs, struct err *e);
/* Ends every token of this user and its devices. `as` is never NULL or empty
 * (RC_INVALID): that would end those of the service itself (AS-139). */
MUST_CHECK enum rc hs_logout_all(struct hs *hs, const char *as, struct err *e);

/* Whether the user has the device, and how many it has in all. */
MUST_CHECK enum rc hs_device(struct hs *hs, const char *as,
	const char *device_id, bool *has, size_t *count, struct err *e);

/* The display name; *ret NULL when there is none. */
MUST_CHECK enum rc hs_display_name(struct hs *hs, const char *user_id,
	struct arena *a, const char **ret, struct err *e);
MUST_CHECK enum rc hs_set_display_name(struct hs *hs, const char *as,
	const char *user_id, const char *name, struct err *e);

/* Account data as JSON text; RC_NOT_FOUND when there is none. */
MUST_CHECK enum rc hs_account_data(struct hs *hs, const char *as,
	const char *type, struct buf *ret, struct err *e);
MUST_CHECK enum rc hs_set_account_data(struct hs *hs, const char *as,
	const char *type, const char *json, struct err *e);

/* --- rooms ------------------------------------------------------------ */

/* body: the whole request as JSON. */
MUST_CHECK enum rc hs_create_room(struct hs *hs, const char *as,
	const char *body, struct arena *a, const char **ret_room_id,
	struct err *e);
/* RC_NOT_FOUND: no such alias. No token needed. */
MUST_CHECK enum rc hs_resolve_alias(struct hs *hs, const char *alias,
	struct arena *a, const char **ret_room_id, struct err *e);
/* Conduit's room of administrators. Every Conduit has one, so that none by this
 * name of the server says that the server is another: RC_INVALID, in words
 * about homeserver.url and homeserver.server_name. */
MUST_CHECK enum rc hs_admin_room(struct hs *hs, const char *server_name,
	struct arena *a, const char **ret_room_id, struct err *e);
MUST_CHECK enum rc hs_set_alias(
	struct hs *hs, const char *alias, const char *room_id, struct err *e);
/* RC_NOT_FOUND: there was none. RC_EXCLUSIVE: it is not in our namespace. */
MUST_CHECK enum rc hs_delete_alias(
	struct hs *hs, const char *alias, struct err *e);
MUST_CHECK enum rc hs_invite(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, struct err *e);
MUST_CHECK enum rc hs_join(
	struct hs *hs, const char *as, const char *room_id, struct err *e);
MUST_CHECK enum rc hs_leave(
	struct hs *hs, const char *as, const char *room_id, struct err *e);
/* RC_NOT_FOUND: the user is not in the room, as far as the homeserver says it
 * (Conduit: of one who never was; Synapse: always). RC_FORBIDDEN: we may not,
 * or are not in the room ourselves. */
MUST_CHECK enum rc hs_kick(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, const char *reason, struct err *e);

/* Takes a ban back. RC_OK also when there is none any more, as the homeserver
 * says it (Conduit: of one who never was there; Synapse: of one who was). */
MUST_CHECK enum rc hs_unban(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, struct err *e);

struct hs_ids {
	const char **ids;
	size_t n;
};
MUST_CHECK enum rc hs_joined_rooms(struct hs *hs, const char *as,
	struct arena *a, struct hs_ids *ret, struct err *e);
MUST_CHECK enum rc hs_joined_members(struct hs *hs, const char *as,
	const char *room_id, struct arena *a, struct hs_ids *ret,
	struct err *e);

struct hs_state_event {
	const char *type, *state_key, *content; /* JSON text of an object */
	const char *event_id, *sender;
	int64_t origin_ts; /* 0: not said */
};
struct hs_state_events {
	struct hs_state_event *items;
	size_t n;
};
/* The room's state events of these types (NULL ends them; no list: of every
 * type), in one request. What is no state event is passed over. */
MUST_CHECK enum rc hs_room_state(struct hs *hs, const char *as,
	const char *room_id, const char *const *types, struct arena *a,
	struct hs_state_events *ret, struct err *e);
/* Content of a state event as JSON text; RC_NOT_FOUND when there is none. */
MUST_CHECK enum rc hs_state(struct hs *hs, const char *as, const char *room_id,
	const char *type, const char *key, struct buf *ret, struct err *e);
MUST_CHECK enum rc hs_set_state(struct hs *hs, const char *as,
	const char *room_id, const char *type, const char *key,
	const char *json, struct err *e);

/* The room stands in the server's public list of rooms no more; *was (may be
 * NULL): it did. */
MUST_CHECK enum rc hs_unlist_room(
	struct hs *hs, const char *room_id, bool *was, struct err *e);

/* Sends m.room.message text; txn must be unique in the whole program
 * (AS-121) and the same when tried again. */
MUST_CHECK enum rc hs_send_text(struct hs *hs, const char *as,
	const char *room_id, const char *txn, const char *text, struct arena *a,
	const char **ret_event_id, struct err *e);
MUST_CHECK enum rc hs_redact(struct hs *hs, const char *as, const char *room_id,
	const char *event_id, const char *txn, const char *reason,
	struct err *e);

struct hs_message {
	const char *event_id, *sender, *body;
};
struct hs_messages {
	struct hs_message *items; /* newest first */
	size_t n;
	const char *older; /* where those before begin; NULL: nowhere */
};
/* Text messages among the newest `limit` events, or among those from an `older`
 * on (NULL: the newest). Needs a token with a device (conduit.md 2.3). */
MUST_CHECK enum rc hs_recent_messages(struct hs *hs, const char *room_id,
	const char *from, int limit, struct arena *a, struct hs_messages *ret,
	struct err *e);

/* --- what only an administrator of Synapse may, and who else has its API ---- */

/* Is our token's user one? False also where there is no such API. */
MUST_CHECK enum rc hs_is_admin(struct hs *hs, bool *ret, struct err *e);
/* Gives somebody the power that the most powerful local user has in the room,
 * and asks them in. */
MUST_CHECK enum rc hs_make_room_admin(
	struct hs *hs, const char *room_id, const char *user_id, struct err *e);
/* Another password; the sessions stay. */
MUST_CHECK enum rc hs_reset_password(struct hs *hs, const char *user_id,
	const struct secret *password, struct err *e);

#endif
