/*
 * The accounts that agents' names have: what each one is, and making it ours.
 *
 * `M_USER_IN_USE` says the same of an account of the old fleet and of anybody
 * else's, so what an account does is looked at: one of the fleet is in its
 * rooms. One that nobody ever logged in to is taken, too: it may be ours, made
 * just before the store was lost.
 */
#include "appservice/adopt/adopt_priv.h"
#include "appservice/reconcile/plan.h"
#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* --- looking ---------------------------------------------------------------- */

/* The store has made it, or it has logged in for us. */
static bool is_known(const struct store_agent *row)
{
	return row && row->state != AGENT_DECLARED &&
		(row->state != AGENT_BLOCKED || row->generation > 0);
}

/* Nobody has made it: some homeservers act for whom they do not have. */
static enum rc is_nobody(struct adopt *ad, const struct adopt_agent *agent,
	bool *ret, struct err *e)
{
	const char *name = NULL;
	*ret = false;
	if (agent->devices > 0 || agent->rooms.n > 0)
		return RC_OK;
	enum rc rc = hs_display_name(
		ad->hs, agent->person->user_id, &ad->a, &name, e);
	if (rc == RC_OK)
		*ret = !name;
	return rc;
}

/* Of an account that is there and that the store does not know. */
static enum rc look_at_account(
	struct adopt *ad, struct adopt_agent *agent, struct err *e)
{
	const char *who = agent->person->user_id;
	bool has = false, nobody = false;
	enum rc rc = hs_device(ad->hs, who,
		config_text(&ad->app->config, SET_HANDOFF_DEVICE), &has,
		&agent->devices, e);
	if (rc == RC_OK)
		rc = is_nobody(ad, agent, &nobody, e);
	if (rc != RC_OK)
		return rc;
	if (has)
		agent->is = ADOPT_AGENT_OURS;
	else if (tokens_buried(ad->app, who) > 0)
		agent->is = ADOPT_AGENT_REVOKED;
	else if (nobody)
		agent->is = ADOPT_AGENT_ABSENT;
	else if (ad->admin_room &&
		adopt_contains(&agent->rooms, ad->admin_room))
		agent->is = ADOPT_AGENT_ADMIN;
	return RC_OK;
}

static enum rc look_at_agent(
	struct adopt *ad, struct adopt_agent *agent, struct err *e)
{
	const char *who = agent->person->user_id;
	struct hs_whoami me = { 0 };
	const bool known = is_known(snapshot_agent(&ad->now, who));
	agent->is = known ? ADOPT_AGENT_OURS : ADOPT_AGENT_STRANGER;
	/* Synapse says the same of one who is outside and of one who is not
	 * there. */
	if (!registration_matches(&ad->app->reg, NS_USERS, who)) {
		agent->is = ADOPT_AGENT_OUTSIDE;
		return RC_OK;
	}
	enum rc rc = hs_whoami(ad->hs, who, &me, e);
	if (rc == RC_OK)
		rc = hs_joined_rooms(ad->hs, who, &ad->a, &agent->rooms, e);
	if (rc == RC_FORBIDDEN)
		agent->is = ADOPT_AGENT_ABSENT;
	else if (rc == RC_EXCLUSIVE)
		agent->is = ADOPT_AGENT_OUTSIDE;
	else
		return rc == RC_OK && !known ? look_at_account(ad, agent, e)
					     : rc;
	return RC_OK;
}

enum rc adopt_look_at_agents(struct adopt *ad, struct err *e)
{
	const struct fleet *f = &ad->app->fleet;
	enum rc rc = RC_OK;
	ad->agents = arena_array(&ad->a, f->n_agents + 1, sizeof(*ad->agents));
	if (!ad->agents)
		return err_nomem(e);
	ad->n_agents = f->n_agents;
	for (size_t i = 0; i < f->n_agents && rc == RC_OK; i++) {
		ad->agents[i].person = f->agents[i];
		rc = look_at_agent(ad, &ad->agents[i], e);
		if (rc == RC_OK)
			rc = adopt_stopped(e);
	}
	return rc;
}

/* --- whose it is ------------------------------------------------------------ */

static bool is_in_policy_room(
	const struct adopt *ad, const struct adopt_agent *agent)
{
	for (size_t i = 0; i < ad->n_rooms; i++)
		if (ad->rooms[i].room_id &&
			adopt_contains(&agent->rooms, ad->rooms[i].room_id))
			return true;
	return false;
}

static bool meets_another(
	const struct adopt *ad, const struct adopt_agent *agent)
{
	for (size_t i = 0; i < ad->n_agents; i++) {
		const struct adopt_agent *other = &ad->agents[i];
		for (size_t k = 0; other != agent && k < other->rooms.n; k++)
			if (adopt_contains(&agent->rooms, other->rooms.ids[k]))
				return true;
	}
	return false;
}

static bool is_named(const struct adopt *ad, const struct person *p)
{
	for (size_t i = 0; i < ad->n_names; i++)
		if (adopt_is_called(p, ad->names[i]))
			return true;
	return false;
}

static void judge(struct adopt *ad, struct adopt_agent *agent)
{
	const bool named = is_named(ad, agent->person);
	if (agent->is == ADOPT_AGENT_STRANGER) {
		if (is_in_policy_room(ad, agent) || meets_another(ad, agent))
			agent->is = ADOPT_AGENT_OLD;
		else if (agent->devices == 0 && agent->rooms.n == 0)
			agent->is = ADOPT_AGENT_UNUSED;
	}
	switch (agent->is) {
	case ADOPT_AGENT_OLD:
	case ADOPT_AGENT_UNUSED:
		agent->take = named || ad->n_names == 0;
		break;
	case ADOPT_AGENT_STRANGER:
	case ADOPT_AGENT_ADMIN:
		agent->take = named;
		break;
	default:
		break;
	}
}

void adopt_judge_agents(struct adopt *ad)
{
	for (size_t i = 0; i < ad->n_agents; i++)
		judge(ad, &ad->agents[i]);
}

/* --- taking it -------------------------------------------------------------- */

/* Where homeservers let a password in beside us, it is one that nobody knows
 * from here on. */
static enum rc end_password(
	struct adopt *ad, struct adopt_agent *agent, struct err *e)
{
	const enum hs_kind kind = (enum hs_kind)atomic_load(&ad->app->kind);
	struct secret password = { 0 };
	agent->password = agent->is != ADOPT_AGENT_UNUSED && kind != HS_CONDUIT;
	if (!agent->password || !ad->owner || !ad->owner_is_admin)
		return RC_OK;
	enum rc rc = secret_random_hex(&password, 32);
	if (rc == RC_OK)
		rc = hs_reset_password(
			ad->owner, agent->person->user_id, &password, e);
	else
		err_set(e, rc, "no random password could be made");
	secret_fini(&password);
	if (rc == RC_OK)
		agent->password = false;
	return rc;
}

/* Every token ends, and so it is, or it is no end. */
static enum rc end_tokens(struct adopt *ad, const char *who, struct err *e)
{
	bool has = false;
	size_t devices = 0;
	enum rc rc = hs_logout_all(ad->hs, who, e);
	if (rc == RC_OK)
		rc = hs_device(ad->hs, who,
			config_text(&ad->app->config, SET_HANDOFF_DEVICE), &has,
			&devices, e);
	if (rc == RC_OK && devices > 0)
		rc = err_set(e, RC_REMOTE,
			"%s still has %zu device%s after all its sessions were "
			"to end: is its old program still logging in? Stop it, "
			"and run `muster adopt` again",
			who, devices, devices == 1 ? "" : "s");
	return rc;
}

static enum rc make_ours(struct adopt *ad, const struct adopt_agent *agent,
	const char *shown, struct err *e)
{
	struct store *s = ad->app->store;
	const char *who = agent->person->user_id;
	const int64_t now = clock_wall_ms();
	const char *detail = arena_printf(&ad->a,
		"an account that was there: %zu session%s ended, in %zu room%s",
		agent->devices, agent->devices == 1 ? "" : "s", agent->rooms.n,
		agent->rooms.n == 1 ? "" : "s");
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_state(s, who, AGENT_REGISTERED, now, e);
	if (rc == RC_OK && shown)
		rc = store_agent_shown_name(s, who, shown, e);
	if (rc == RC_OK)
		rc = adopt_audit(ad, who, detail, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* Its direct rooms before all: whoever takes the account for ours, we by then or
 * the service, knows of them. */
enum rc adopt_take_agent(
	struct adopt *ad, struct adopt_agent *agent, struct err *e)
{
	const char *who = agent->person->user_id, *shown = NULL;
	struct work w = { .app = ad->app, .hs = ad->hs };
	adopt_say(ad, "taking over %s", who);
	enum rc rc = hs_display_name(ad->hs, who, &ad->a, &shown, e);
	if (rc == RC_OK)
		rc = direct_find(&w, agent->person, e);
	arena_free(&w.a);
	if (rc == RC_OK)
		rc = adopt_find_direct(ad, agent, e);
	if (rc == RC_OK)
		rc = end_password(ad, agent, e);
	if (rc == RC_OK)
		rc = end_tokens(ad, who, e);
	if (rc == RC_OK)
		rc = make_ours(ad, agent, shown, e);
	agent->taken = rc == RC_OK;
	return rc;
}
