/*
 * Accounts: registering an agent (or the service's own user) and its display
 * name.
 *
 * The homeserver answers M_USER_IN_USE alike for an account of ours whose
 * answer was lost and for somebody else's. Ours are told by what only we know
 * or do: a login in our store, our device, or a registration of ours that was
 * cut off, of an account that nobody ever logged in to.
 */
#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static bool is_sender(const struct work *w)
{
	return text_eq(w->step->subject, w->app->sender_id);
}

static enum rc set_registered(
	struct work *w, bool found, const char *shown, struct err *e)
{
	struct store *s = w->app->store;
	const char *who = w->step->subject;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_state(
			s, who, AGENT_REGISTERED, clock_wall_ms(), e);
	if (rc == RC_OK && shown)
		rc = store_agent_shown_name(s, who, shown, e);
	if (rc == RC_OK && found) {
		const struct store_audit row = { .ms = clock_wall_ms(),
			.actor = "muster",
			.action = "take_over",
			.subject = who,
			.detail = "the account was there and is ours" };
		rc = store_audit_add(s, &row, e);
	}
	return work_end(w, rc, e);
}

/* Is the account that is there one that we made? */
static enum rc is_ours(struct work *w, bool *ours, struct err *e)
{
	struct store_agent row = { 0 };
	enum rc rc = store_agent_get(
		w->app->store, w->step->subject, &w->a, &row, e);
	if (rc != RC_OK)
		return rc;
	if (is_sender(w) || row.generation > 0) {
		*ours = true;
		return RC_OK;
	}
	bool has = false;
	size_t devices = 0;
	rc = hs_device(w->hs, w->step->subject,
		config_text(&w->app->config, SET_HANDOFF_DEVICE), &has,
		&devices, e);
	if (rc == RC_OK)
		*ours = has || (w->interrupted && devices == 0);
	return rc;
}

/* The store is lost, and only the tombstone tells that it had tokens, and that
 * they were taken away: nobody but an operator gives it one again. */
static enum rc stay_blocked(struct work *w, int64_t generation, struct err *e)
{
	struct store *s = w->app->store;
	const char *who = w->step->subject;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_login(s, who,
			config_text(&w->app->config, SET_HANDOFF_DEVICE),
			generation, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	if (rc != RC_OK)
		return rc;
	return work_block(w, "its tokens were taken away: " TOKENS_GIVE_NEW, e);
}

/* muster adopt leaves alone whom nobody in the fleet has met, unless it is
 * named. */
static enum rc block_stranger(struct work *w, struct err *e)
{
	const struct person *p = w->step->person;
	const char *why = arena_printf(&w->a,
		"an account that is not ours has this name: stop the service "
		"and run `muster adopt %s`, which takes it over, or give the "
		"agent another id",
		p ? p->localpart : w->step->subject);
	return why ? work_block(w, why, e) : err_nomem(e);
}

/* The account exists: ours, then what it shows and has is taken over. */
static enum rc take_over(struct work *w, struct err *e)
{
	bool ours = false;
	enum rc rc = is_ours(w, &ours, e);
	const int64_t buried = rc == RC_OK && !ours
		? tokens_buried(w->app, w->step->subject)
		: 0;
	if (rc != RC_OK)
		return rc;
	if (buried > 0)
		return stay_blocked(w, buried, e);
	if (!ours)
		return block_stranger(w, e);
	const char *shown = NULL;
	rc = hs_display_name(w->hs, w->step->subject, &w->a, &shown, e);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	if (!is_sender(w)) {
		rc = direct_find(w, w->step->person, e);
		if (rc != RC_OK)
			return rc;
	}
	return set_registered(w, true, shown, e);
}

/* On Conduit an account without a password counts as a guest, and as one that
 * was deactivated; so on Tuwunel, which comes of it. */
static enum rc forgettable_password(
	const struct work *w, struct secret *password)
{
	const char *wanted = config_text(&w->app->config, SET_PASSWORD);
	const enum hs_kind kind = (enum hs_kind)atomic_load(&w->app->kind);
	if ((kind != HS_CONDUIT && kind != HS_TUWUNEL) ||
		!text_eq(wanted, "random"))
		return RC_OK;
	return secret_random_hex(password, 32);
}

enum rc step_register(struct work *w, struct err *e)
{
	struct secret password = { 0 };
	struct str localpart, server;
	if (!id_split(w->step->subject, '@', &localpart, &server))
		return err_set(
			e, RC_INVALID, "%s is no user id", w->step->subject);
	const char *name = arena_strndup(&w->a, localpart.p, localpart.n);
	enum rc rc = name ? forgettable_password(w, &password) : RC_NOMEM;
	if (rc != RC_OK)
		return err_set(e, rc, "no password could be made");
	w->asked = true;
	rc = hs_register(
		w->hs, name, secret_is_set(&password) ? &password : NULL, e);
	secret_fini(&password);
	if (rc == RC_OK)
		return set_registered(w, false, NULL, e);
	if (rc == RC_EXISTS) {
		w->asked = false; /* not this time */
		return take_over(w, e);
	}
	if (rc == RC_EXCLUSIVE && !is_sender(w))
		return work_block(w, OUTSIDE_NAMESPACE, e);
	return rc;
}

/* It may be the new one from here on, though nobody hears of it; and the old one
 * may be declared again before this is tried again. */
static enum rc doubt_name(struct work *w, struct err *e)
{
	struct store *s = w->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_shown_name(s, w->step->subject, NULL, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum rc step_profile(struct work *w, struct err *e)
{
	const char *who = w->step->subject;
	const char *name = w->step->person
		? w->step->person->name
		: config_text(&w->app->config, SET_AS_SENDER_NAME);
	struct store_agent row = { 0 };
	enum rc rc = store_agent_get(w->app->store, who, &w->a, &row, e);
	if (rc != RC_OK)
		return rc;
	if (text_eq(row.shown_name, name))
		return work_nothing(w, e);
	if (row.shown_name)
		rc = doubt_name(w, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_set_display_name(
		w->hs, is_sender(w) ? NULL : who, who, name, e);
	if (rc != RC_OK)
		return rc;
	rc = store_begin(w->app->store, e);
	if (rc == RC_OK)
		rc = store_agent_shown_name(w->app->store, who, name, e);
	return work_end(w, rc, e);
}
