/*
 * store/agents.c: the users of our namespace, and what was handed to them.
 */
#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static const char *const states[] = {
#define X(name, word) word,
	AGENT_STATE_TABLE(X)
#undef X
};

const char *agent_state_name(enum agent_state st)
{
	return st < AGENT_STATES ? states[st] : "unknown";
}

enum rc store_declare_begin(struct store *s, struct err *e)
{
	enum rc rc = store_write(s, SQL_AGENTS_UNDECLARE, NO_ARGS, e);

	if (rc == RC_OK)
		rc = store_write(s, SQL_ROOMS_UNDECLARE, NO_ARGS, e);
	return rc;
}

/* Whoever is declared in such a room again is so since then: what happened in
 * between does not count. */
enum rc store_declare_end(struct store *s, struct err *e)
{
	return store_write(s, SQL_MEMBERS_UNDECLARE, NO_ARGS, e);
}

enum rc store_agent_declare(struct store *s, const struct store_agent *a,
	int64_t now_ms, struct err *e)
{
	return store_write(s, SQL_AGENT_DECLARE,
		ARGS(T(a->user_id), N(a->sender), T(a->name), T(a->department),
			T(a->team), T(a->level), N(now_ms)),
		e);
}

enum rc store_agent_found(struct store *s, const struct store_agent *a,
	int64_t now_ms, struct err *e)
{
	const enum agent_state st =
		a->token_sha256 ? AGENT_HANDED_OFF : AGENT_RETIRED;
	enum rc rc = store_write(s, SQL_AGENT_FOUND,
		ARGS(T(a->user_id), T(a->name), T(a->department),
			T(agent_state_name(st)), T(a->device_id),
			N(a->generation), N(now_ms)),
		e);

	if (rc != RC_OK || !a->token_sha256 || sqlite3_changes(s->db) == 0)
		return rc;
	return store_write(s, SQL_HANDOFF_SET,
		ARGS(T(a->user_id), N(a->generation), T(a->token_sha256),
			T(a->device_id), N(now_ms)),
		e);
}

enum rc store_agent_state(struct store *s, const char *user_id,
	enum agent_state st, int64_t now_ms, struct err *e)
{
	return store_change(s, SQL_AGENT_STATE,
		ARGS(T(user_id), T(agent_state_name(st)), N(now_ms)), "agent",
		user_id, e);
}

enum rc store_agent_may_leave(
	struct store *s, const char *user_id, struct err *e)
{
	enum rc rc = store_write(s, SQL_LEAVERS_FORGET, NO_ARGS, e);

	return rc == RC_OK ? store_change(s, SQL_AGENT_MAY_LEAVE,
				     ARGS(T(user_id)), "agent", user_id, e)
			   : rc;
}

enum rc store_agent_revoked(struct store *s, const char *user_id,
	enum agent_state st, int64_t now_ms, struct err *e)
{
	enum rc rc = store_write(
		s, SQL_HANDOFF_REVOKED, ARGS(T(user_id), N(now_ms)), e);

	if (rc == RC_OK)
		rc = store_change(s, SQL_AGENT_REVOKED, ARGS(T(user_id)),
			"agent", user_id, e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_ROTATION_END, ARGS(T(user_id)), e);
	return rc == RC_OK ? store_agent_state(s, user_id, st, now_ms, e) : rc;
}

enum rc store_agent_revoke(struct store *s, const char *user_id,
	const char *why, int64_t now_ms, struct err *e)
{
	return store_change(s, SQL_AGENT_REVOKE,
		ARGS(T(user_id), N(now_ms), T(why)), "agent", user_id, e);
}

enum rc store_agent_exposed(
	struct store *s, const char *user_id, int64_t ms, struct err *e)
{
	return store_change(s, SQL_AGENT_EXPOSED, ARGS(T(user_id), N(ms)),
		"agent", user_id, e);
}

enum rc store_agent_token_seen(
	struct store *s, const char *user_id, int64_t now_ms, struct err *e)
{
	return store_change(s, SQL_AGENT_TOKEN_SEEN,
		ARGS(T(user_id), N(now_ms)), "agent", user_id, e);
}

enum rc store_agent_error(
	struct store *s, const char *user_id, const char *text, struct err *e)
{
	return store_change(s, SQL_AGENT_ERROR, ARGS(T(user_id), T(text)),
		"agent", user_id, e);
}

enum rc store_agent_shown_name(
	struct store *s, const char *user_id, const char *name, struct err *e)
{
	return store_change(s, SQL_AGENT_SHOWN_NAME, ARGS(T(user_id), T(name)),
		"agent", user_id, e);
}

static enum rc newest_generation(
	struct store *s, const char *user_id, int64_t *ret, struct err *e)
{
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_AGENT_GENERATION, ARGS(T(user_id)));
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		*ret = sqlite3_column_int64(q, 0);
	stmt_done(q);
	store_unlock(s);
	if (rc == RC_OK && !row)
		rc = err_set(
			e, RC_NOT_FOUND, "no agent %s in the store", user_id);
	return rc;
}

/* The generation becomes the newest; lower ones than `least` are refused. */
static enum rc set_device(struct store *s, const char *user_id,
	const char *device_id, int64_t generation, bool again, struct err *e)
{
	int64_t newest = 0;
	enum rc rc = newest_generation(s, user_id, &newest, e);

	if (rc != RC_OK)
		return rc;
	if (generation < newest || (generation == newest && !again))
		return err_set(e, RC_EXISTS,
			"%s: generation %lld is not newer than %lld", user_id,
			(long long)generation, (long long)newest);
	return store_change(s, SQL_AGENT_DEVICE,
		ARGS(T(user_id), T(device_id), N(generation)), "agent", user_id,
		e);
}

enum rc store_agent_login(struct store *s, const char *user_id,
	const char *device_id, int64_t generation, int64_t now_ms,
	struct err *e)
{
	enum rc rc = set_device(s, user_id, device_id, generation, false, e);

	if (rc != RC_OK)
		return rc;
	return store_agent_state(s, user_id, AGENT_LOGGED_IN, now_ms, e);
}

enum rc store_agent_handed_off(struct store *s, const char *user_id,
	const char *device_id, int64_t generation, const char *token_sha256,
	int64_t now_ms, struct err *e)
{
	enum rc rc = set_device(s, user_id, device_id, generation, true, e);

	if (rc == RC_OK)
		rc = store_write(s, SQL_HANDOFF_SET,
			ARGS(T(user_id), N(generation), T(token_sha256),
				T(device_id), N(now_ms)),
			e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_HANDOFF_TRIM,
			ARGS(T(user_id), N(generation)), e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_ROTATION_ISSUED,
			ARGS(T(user_id), N(generation), N(now_ms)), e);
	if (rc == RC_OK)
		rc = store_agent_state(s, user_id, AGENT_HANDED_OFF, now_ms, e);
	return rc;
}

/*
 * Only what was handed off is answered: an agent that is blocked or retired
 * stays so, however late its answer is seen.
 */
enum rc store_agent_acked(struct store *s, const char *user_id,
	int64_t generation, int64_t acked_ms, const char *by, int64_t now_ms,
	struct err *e)
{
	enum rc rc = store_change(s, SQL_HANDOFF_ACKED,
		ARGS(T(user_id), N(generation), N(acked_ms), T(by)),
		"hand-off of this generation to", user_id, e);

	if (rc == RC_OK)
		rc = store_write(
			s, SQL_AGENT_ACKED, ARGS(T(user_id), N(generation)), e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_ROTATION_ANSWERED,
			ARGS(T(user_id), N(generation), N(now_ms)), e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_AGENT_ANSWERED,
			ARGS(T(user_id), N(generation), N(now_ms)), e);
	return rc;
}
