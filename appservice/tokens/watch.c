/*
 * What became of a handed-off token: is its file still there, and has the agent
 * answered. Reads of the runtime directory only; the homeserver is not asked.
 */
#include <stdlib.h>
#include <unistd.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

enum rc tokens_open_dir(
	struct app *app, const char *user_id, int *fd, struct err *e)
{
	const struct person *p = fleet_person(&app->fleet, user_id);
	if (!p)
		return err_set(
			e, RC_NOT_FOUND, "%s is not in the fleet", user_id);
	char *path = handoff_path(config_text(&app->config, SET_HANDOFF_ROOT),
		p->department, p->localpart);
	enum rc rc = path ? handoff_dir_find(path, fd, e) : err_nomem(e);
	free(path);
	return rc;
}

#define SOON_MS 5000
#define IN_TURN 64

bool tokens_is_unseen(const struct store_agent *row)
{
	return row->error && text_starts(row->error, TOKENS_UNSEEN);
}

const char *tokens_wrong_with(const struct handoff *h,
	const struct store_agent *row, const char *url, const char *device)
{
	char digest[SHA256_HEX];
	sha256_hex(secret_bytes(&h->access_token), h->access_token.n, digest);
	if (!text_eq(h->user_id, row->user_id))
		return "its file is another agent's";
	if (h->generation != row->generation)
		return "its file has another generation";
	if (!text_eq(digest, row->token_sha256))
		return "its file has another token";
	if (!text_eq(h->homeserver, url))
		return "its file names another homeserver";
	if (!text_eq(h->device_id, device))
		return "its file names another device";
	return NULL;
}

enum rc tokens_needs_login(
	struct app *app, const char *user_id, const char *why, struct err *e)
{
	log_warn("an agent needs a new token", LS("agent", user_id),
		LS("why", why));
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = store_agent_state(app->store, user_id, AGENT_REGISTERED,
			clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_agent_error(app->store, user_id, why, e);
	const struct store_audit audit = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "replace_token",
		.subject = user_id,
		.detail = why };
	if (rc == RC_OK)
		rc = store_audit_add(app->store, &audit, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

int64_t tokens_buried(struct app *app, const char *user_id)
{
	struct handoff there = { 0 };
	int fd = -1;
	const bool buried = tokens_open_dir(app, user_id, &fd, NULL) == RC_OK &&
		handoff_look(fd, &there, NULL) == RC_OK &&
		there.revoked_ms > 0 && text_eq(there.user_id, user_id);
	const int64_t generation = buried ? there.generation : 0;
	if (fd >= 0)
		close(fd);
	handoff_fini(&there);
	return generation;
}

#define EXPOSED                                                                \
	"its file could be read by others, who may have its token: `muster "   \
	"rotate` it with --now"

/* It is known of the agent until its next token, and in the audit for ever. */
static enum rc record_exposed(
	struct app *app, const char *user_id, struct err *e)
{
	struct store *s = app->store;
	const struct store_audit audit = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "exposed",
		.subject = user_id,
		.detail = EXPOSED };
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_exposed(s, user_id, audit.ms, e);
	if (rc == RC_OK)
		rc = store_audit_add(s, &audit, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* What a writer that was killed left beside a good file, and a mode by which
 * others can read it. */
static enum rc tidy(
	struct app *app, const struct store_agent *row, int fd, struct err *e)
{
	const struct setting_value *owner = &app->config.v[SET_HANDOFF_OWNER];
	struct err why = { 0 };
	(void)!handoff_clean(fd, row->generation, NULL);
	if (handoff_is_private(fd))
		return RC_OK;
	enum rc rc = handoff_settle(fd, owner->uid, owner->gid, &why);
	log_warn("an agent's hand-off could be read by others, who may have "
		 "its token: rotate it",
		LS("agent", row->user_id),
		LS("now", rc == RC_OK ? "it is private again" : why.text));
	return record_exposed(app, row->user_id, e);
}

/* What is said of an agent whose file cannot be looked at, or is not said any
 * more (NULL). */
static enum rc record_unseen(struct app *app, const struct store_agent *row,
	const char *text, struct err *e)
{
	enum rc rc = store_begin_light(app->store, e);
	if (rc == RC_OK)
		rc = store_agent_error(app->store, row->user_id, text, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

/* What is not known may be good, and a login might end it: nothing follows but
 * that it is told, until it can be looked at again. */
static enum rc tell_unseen(struct app *app, const struct store_agent *row,
	const char *why, struct err *e)
{
	const bool said = tokens_is_unseen(row);
	struct err text = { 0 };
	if (!why)
		return said ? record_unseen(app, row, NULL, e) : RC_OK;
	log_warn("an agent's hand-off cannot be looked at",
		LS("agent", row->user_id), LS("why", why));
	/* Another reason why it has no new token is not hidden. */
	if (row->error && !said)
		return RC_OK;
	(void)err_set(&text, RC_IO, TOKENS_UNSEEN "%s", why);
	return said && text_eq(row->error, text.text)
		? RC_OK
		: record_unseen(app, row, text.text, e);
}

static enum rc look_at_file(struct app *app, const struct store_agent *row,
	struct handoff *h, struct err *why, enum rc *told, struct err *e)
{
	int fd = -1;
	enum rc rc = tokens_open_dir(app, row->user_id, &fd, why);
	if (rc == RC_OK)
		rc = handoff_read(fd, h, why);
	if (rc == RC_OK)
		*told = tidy(app, row, fd, e);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum rc check_file(
	struct app *app, const struct store_agent *row, struct err *e)
{
	struct handoff h = { 0 };
	struct err why = { 0 };
	enum rc told = RC_OK;
	enum rc rc = look_at_file(app, row, &h, &why, &told, e);
	const bool unseen = rc != RC_OK && !handoff_is_none(rc);
	if (told == RC_OK)
		told = tell_unseen(app, row, unseen ? why.text : NULL, e);
	if (told != RC_OK || unseen) {
		handoff_fini(&h);
		return told;
	}
	const char *wrong = rc == RC_OK
		? tokens_wrong_with(&h, row,
			  config_text(&app->config, SET_HS_PUBLIC_URL),
			  config_text(&app->config, SET_HANDOFF_DEVICE))
		: rc == RC_NOT_FOUND ? "its file is gone"
				     : why.text;
	handoff_fini(&h);
	return wrong ? tokens_needs_login(app, row->user_id, wrong, e) : RC_OK;
}

static bool has_file(const struct store_agent *row)
{
	return row->state == AGENT_HANDED_OFF ||
		row->state == AGENT_ACKNOWLEDGED;
}

static bool is_in_place(
	struct app *app, const struct store_agent *row, const char *url)
{
	struct handoff h = { 0 };
	int fd = -1;
	const bool is = row->declared && has_file(row) &&
		tokens_open_dir(app, row->user_id, &fd, NULL) == RC_OK &&
		handoff_read(fd, &h, NULL) == RC_OK &&
		!tokens_wrong_with(&h, row, url,
			config_text(&app->config, SET_HANDOFF_DEVICE));
	if (fd >= 0)
		close(fd);
	handoff_fini(&h);
	return is;
}

/* Another file system in the place of the root, on which no agent's file is,
 * says nothing of them. */
static bool is_away(struct app *app, const struct store_snapshot *now)
{
	const char *url = config_text(&app->config, SET_HS_PUBLIC_URL);
	struct err why = { 0 };
	if (tokens_root_check(app, &why) == RC_OK)
		return false;
	for (size_t i = 0; i < now->n_agents; i++)
		if (is_in_place(app, &now->agents[i], url)) {
			tokens_root_found(app);
			return false;
		}
	log_warn("the agents' files cannot be looked at", LS("why", why.text));
	return true;
}

static enum rc check_agent(
	struct app *app, const struct store_agent *row, struct err *e)
{
	const struct person *p = fleet_person(&app->fleet, row->user_id);
	if (tokens_has_no_tombstone(row))
		return tokens_bury_again(app, row, e);
	return p && row->declared && has_file(row) ? check_file(app, row, e)
						   : RC_OK;
}

enum rc tokens_check_files(struct app *app, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	enum rc rc = app_snapshot(app, &a, &now, e);
	const bool away = rc == RC_OK && is_away(app, &now);
	for (size_t i = 0; i < now.n_agents && rc == RC_OK && !away; i++)
		rc = check_agent(app, &now.agents[i], e);
	arena_free(&a);
	return rc;
}

static enum rc record_ack(struct app *app, const struct handoff_ack *ack,
	const char *user_id, struct err *e)
{
	log_info("an agent has taken its token", LS("agent", user_id),
		LI("generation", ack->generation), LS("by", ack->agent));
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = store_agent_acked(app->store, user_id, ack->generation,
			ack->at_ms, ack->agent, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

enum rc tokens_look_for_ack(struct app *app, const struct store_agent *row,
	bool *ret, struct err *e)
{
	struct handoff_ack ack = { 0 };
	int fd = -1;
	bool answered =
		tokens_open_dir(app, row->user_id, &fd, NULL) == RC_OK &&
		handoff_ack_read(fd, row->generation, &ack, NULL) == RC_OK &&
		text_eq(ack.user_id, row->user_id) &&
		text_eq(ack.device_id, row->device_id);
	if (fd >= 0)
		close(fd);
	if (ret)
		*ret = answered;
	return answered ? record_ack(app, &ack, row->user_id, e) : RC_OK;
}

enum rc tokens_has_begun(struct app *app, const struct store_agent *row,
	bool *ret, struct err *e)
{
	*ret = row->acked_generation > 0;
	if (*ret || row->state != AGENT_HANDED_OFF)
		return RC_OK;
	return tokens_look_for_ack(app, row, ret, e);
}

/* Its answer is about to come, or is waited for. */
static bool is_pressing(const struct store_agent *row)
{
	const int64_t age = clock_wall_ms() - row->since_ms;
	return row->rotation.state == ROTATION_ISSUED ||
		(age >= 0 && age < SOON_MS);
}

/* Who has a token and does not answer is not running: of those so many are
 * looked at each time, in turns. */
enum rc tokens_look_for_acks(struct app *app, struct err *e)
{
	struct arena a = { 0 };
	struct store_agent *agents = NULL;
	size_t n = 0;
	enum rc rc = store_agents_unanswered(app->store, &a, &agents, &n, e);
	const size_t from = tokens_turn(app->tokens, n, IN_TURN);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if ((i + n - from) % n < IN_TURN || is_pressing(&agents[i]))
			rc = tokens_look_for_ack(app, &agents[i], NULL, e);
	arena_free(&a);
	return rc;
}
