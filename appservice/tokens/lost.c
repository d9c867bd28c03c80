/*
 * Agents that are declared no longer and that a lost store has forgotten: their
 * files are where they were, and tell of them. Anybody may have written there:
 * what is believed is a whole file of a user of ours, in the directory of that
 * name, of an account that there is.
 */
#include <string.h>

#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"
#include "matrix/id.h"

#include "base/poison.h"

struct search {
	struct app *app;
	struct tokens_lost *lost;
	struct arena a;
	struct store_agent *found;
	size_t n, cap;
	size_t strange;      /* files that are not what they should be */
	const char *example; /* one of them */
	enum rc rc;          /* of the store */
	struct err *e;
};

static bool is_known_nowhere(const struct tokens_lost *lost, const char *id)
{
	const uint64_t hash = text_hash(id);
	for (size_t i = 0; i < lost->n; i++)
		if (lost->unknown[i] == hash)
			return true;
	return false;
}

/* A user of our namespace who is no agent, and no human, of the fleet. */
static bool may_be_lost(const struct search *q, const char *id)
{
	const struct person *p = fleet_person(&q->app->fleet, id);
	const char *why = NULL;
	return id_user_ok(id, &why) && !text_eq(id, q->app->sender_id) &&
		!(p && (p->human || p->deployed)) &&
		registration_owns(
			&q->app->reg, q->app->fleet.server_name, id) &&
		!is_known_nowhere(q->lost, id);
}

static bool is_in_store(struct search *q, const char *id)
{
	struct arena a = { 0 };
	struct store_agent row = { 0 };
	enum rc rc = store_agent_get(q->app->store, id, &a, &row, q->e);
	arena_free(&a);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		q->rc = rc;
	return rc != RC_NOT_FOUND;
}

static void strange(struct search *q, const struct handoff_place *at)
{
	if (q->strange++ == 0)
		q->example = arena_printf(&q->a, "%s/%s",
			at->department ? at->department : "_", at->localpart);
}

/* Who was in several departments has the newest file where it was last. */
static struct store_agent *place_for(
	struct search *q, const char *id, int64_t generation)
{
	for (size_t i = 0; i < q->n; i++)
		if (text_eq(q->found[i].user_id, id))
			return q->found[i].generation < generation
				? &q->found[i]
				: NULL;
	return q->n < TOKENS_LOST_MAX ? arena_push(&q->a, &q->found, &q->n,
						&q->cap, sizeof(*q->found))
				      : NULL;
}

static void add(struct search *q, const struct handoff_place *at,
	const char *id, const struct handoff *h)
{
	char digest[SHA256_HEX] = "";
	struct store_agent *row = place_for(q, id, h->generation);
	if (!row)
		return;
	if (!h->revoked_ms)
		sha256_hex(secret_bytes(&h->access_token), h->access_token.n,
			digest);
	*row = (struct store_agent){ .user_id = arena_strdup(&q->a, id),
		.name = arena_strdup(&q->a, at->localpart),
		.department = arena_strdup(&q->a, at->department),
		.device_id = arena_strdup(&q->a, h->device_id),
		.generation = h->generation,
		.token_sha256 =
			h->revoked_ms ? NULL : arena_strdup(&q->a, digest) };
}

static void look_at(const struct handoff_place *at, void *arg)
{
	struct search *q = arg;
	struct arena a = { 0 };
	struct handoff h = { 0 };
	const char *id = id_user(&a, at->localpart, q->app->fleet.server_name);
	if (id && q->rc == RC_OK && may_be_lost(q, id) && !is_in_store(q, id)) {
		enum rc rc = handoff_place_look(at, &h, NULL);
		if (rc == RC_OK && text_eq(h.user_id, id) &&
			!handoff_is_far(h.generation, 0))
			add(q, at, id, &h);
		else if (rc != RC_NOT_FOUND)
			strange(q, at);
	}
	handoff_fini(&h);
	arena_free(&a);
}

static enum rc take_in(
	struct app *app, const struct store_agent *row, struct err *e)
{
	struct store *s = app->store;
	const int64_t now = clock_wall_ms();
	const struct store_audit audit = { .ms = now,
		.actor = "muster",
		.action = "find",
		.subject = row->user_id,
		.detail = "its hand-off file is there, and it is declared no "
			  "longer" };
	log_warn("an agent that is declared no longer was found by its file",
		LS("agent", row->user_id), LI("generation", row->generation));
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_found(s, row, now, e);
	if (rc == RC_OK)
		rc = store_audit_add(s, &audit, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

static enum rc take_in_if_there(
	struct search *q, struct hs *hs, const struct store_agent *row)
{
	struct hs_whoami who;
	enum rc rc = hs_whoami(hs, row->user_id, &who, q->e);
	if (rc == RC_OK)
		return take_in(q->app, row, q->e);
	if (rc != RC_FORBIDDEN && rc != RC_EXCLUSIVE)
		return rc;
	log_info("a hand-off file is of nobody whom the homeserver knows",
		LS("user", row->user_id));
	if (q->lost->n < TOKENS_LOST_MAX)
		q->lost->unknown[q->lost->n++] = text_hash(row->user_id);
	return RC_OK;
}

static void tell(struct search *q)
{
	if (q->strange == 0 || q->lost->told)
		return;
	q->lost->told = true;
	log_warn("files below handoff.root are of no agent that is known, and "
		 "are not as they should be: they are left alone",
		LI("files", q->strange),
		LS("first", q->example ? q->example : ""));
}

static void tell_trouble(struct tokens_lost *lost, enum rc rc, const char *why)
{
	if (rc != RC_OK && !lost->trouble)
		log_warn("handoff.root could not be looked at",
			LS("error", why));
	lost->trouble = rc != RC_OK;
}

enum rc tokens_find_lost(
	struct app *app, struct hs *hs, struct tokens_lost *lost, struct err *e)
{
	struct search q = { .app = app, .lost = lost, .rc = RC_OK, .e = e };
	struct err why = { 0 };
	tell_trouble(lost,
		handoff_each_place(config_text(&app->config, SET_HANDOFF_ROOT),
			LIMIT_HANDOFF_PLACES, look_at, &q, &why),
		why.text);
	enum rc rc = q.rc;
	if (rc == RC_OK && !arena_ok(&q.a))
		rc = err_nomem(e);
	for (size_t i = 0; i < q.n && rc == RC_OK; i++)
		rc = take_in_if_there(&q, hs, &q.found[i]);
	if (rc == RC_OK)
		tell(&q);
	arena_free(&q.a);
	return rc;
}
