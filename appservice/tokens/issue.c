/*
 * Issuing a token and handing it over: the steps `login` and `hand_off`.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

static const char *public_url(const struct app *app)
{
	return config_text(&app->config, SET_HS_PUBLIC_URL);
}

static const char *device_of(const struct app *app)
{
	return config_text(&app->config, SET_HANDOFF_DEVICE);
}

static enum rc open_dir(struct work *w, int *fd, struct err *e)
{
	const struct setting_value *owner =
		&w->app->config.v[SET_HANDOFF_OWNER];
	const struct person *p = w->step->person;
	enum rc rc = tokens_root_check(w->app, e);
	if (rc != RC_OK)
		return rc;
	return handoff_dir_make(config_text(&w->app->config, SET_HANDOFF_ROOT),
		p->department, p->localpart, owner->uid, owner->gid, fd, e);
}

/* Why an agent has no good token stays with it until the next success. */
static enum rc failed(struct work *w, enum rc rc, struct err *e)
{
	struct store *s = w->app->store;
	if (rc == RC_STOPPING || rc == RC_NETWORK || rc == RC_TIMEOUT)
		return rc;
	if (store_begin(s, NULL) == RC_OK &&
		store_agent_error(s, w->step->subject, e ? e->text : NULL,
			NULL) == RC_OK &&
		store_commit(s, NULL) == RC_OK)
		return rc;
	store_rollback(s);
	return rc;
}

/* --- login ------------------------------------------------------------------ */

/* Is the token of a file that lies there the agent's, on its device? */
static enum rc token_is_good(
	struct work *w, const struct handoff *h, bool *good, struct err *e)
{
	struct hs *as_agent = NULL;
	struct hs_whoami me = { 0 };
	*good = false;
	if (h->revoked_ms || !text_eq(h->user_id, w->step->subject) ||
		!text_eq(h->device_id, device_of(w->app)))
		return RC_OK;
	enum rc rc = app_client(w->app, &h->access_token, &as_agent, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_whoami(as_agent, NULL, &me, e);
	if (rc == RC_OK)
		*good = text_eq(me.user_id, h->user_id) &&
			text_eq(me.device_id, h->device_id);
	else if (tokens_is_dead(rc, as_agent))
		rc = RC_OK;
	else
		rc = err_wrap(e, rc, "is the token in its file still good?");
	hs_free(as_agent);
	/* It is not the service's own token that was refused. */
	return rc == RC_UNAUTHORIZED ? RC_REMOTE : rc;
}

static enum rc record_file(
	struct work *w, const struct handoff *h, struct err *e)
{
	struct store *s = w->app->store;
	char digest[SHA256_HEX];
	const int64_t now = clock_wall_ms();
	sha256_hex(secret_bytes(&h->access_token), h->access_token.n, digest);
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_handed_off(s, w->step->subject, h->device_id,
			h->generation, digest, now, e);
	const struct store_audit row = { .ms = now,
		.actor = "muster",
		.action = "take_over_token",
		.subject = w->step->subject,
		.detail = "the file's token is right" };
	if (rc == RC_OK)
		rc = store_audit_add(s, &row, e);
	return work_end(w, rc, e);
}

static bool is_rotation(const struct store_agent *row)
{
	return row->rotation.state == ROTATION_CLEAR;
}

/* What was asked for is done by this login, also by one that came for another
 * reason: nobody had to be asked (its tokens were taken away, say). Who wants
 * the old token's end gets it by a login for that alone. */
static bool is_wanted(const struct store_agent *row)
{
	const enum rotation_state st = row->rotation.state;
	return is_rotation(row) ||
		(!row->rotation.at_once &&
			(st == ROTATION_WAITING || st == ROTATION_ASKED));
}

/* That of a login: new, and nobody else can have it. */
static enum rc record_new(struct work *w, const struct store_agent *row,
	int64_t generation, struct err *e)
{
	struct store *s = w->app->store;
	const char *who = w->step->subject;
	const struct store_audit audit = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "rotate",
		.subject = who,
		.detail = row->rotation.why };
	enum rc rc = store_agent_exposed(s, who, 0, e);
	if (rc == RC_OK)
		rc = store_rotation_logged_in(s, who,
			is_rotation(row) && row->rotation.at_once, generation,
			audit.ms, e);
	if (rc == RC_OK && is_wanted(row))
		rc = store_audit_add(s, &audit, e);
	return rc;
}

/* A token in hand: written down as a login, and kept for the file. */
static enum rc record_login(struct work *w, const struct store_agent *row,
	int64_t generation, const struct secret *token, bool new, struct err *e)
{
	struct store *s = w->app->store;
	if (tokens_keep(w->app->tokens, w->step->subject, generation, token) !=
		RC_OK)
		return err_nomem(e);
	/* The token is in memory alone: when that is gone, so may this be. */
	enum rc rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_agent_login(s, w->step->subject, device_of(w->app),
			generation, clock_wall_ms(), e);
	if (rc == RC_OK && new)
		rc = record_new(w, row, generation, e);
	return work_end(w, rc, e);
}

/* From here on the token in the file may be dead (Conduit ends the old one at a
 * login), whatever becomes of us. */
static enum rc doubt_token(struct work *w, struct err *e)
{
	struct store *s = w->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_state(s, w->step->subject, AGENT_REGISTERED,
			clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* A program that is paused goes on with its old token when its patience is at
 * its end: so long may the login take. */
static enum rc not_too_late(
	struct work *w, const struct store_agent *row, struct err *e)
{
	int64_t left = 0;
	if (!is_rotation(row) || !row->rotation.answering ||
		row->rotation.generation > 0) /* one was made already */
		return RC_OK;
	if (!tokens_login_left_ms(
		    w->app, row->user_id, row->rotation.asked, &left) ||
		left <= 0)
		return err_set(e, RC_PENDING,
			"it was too late for a login: the agent does not wait "
			"any more");
	hs_hurry(w->hs, left);
	return RC_OK;
}

/* Who says that a token is in the wrong hands wants its end, too: some
 * homeservers let it live beside the new one, until its device goes. */
static enum rc end_old(
	struct work *w, const struct store_agent *row, struct err *e)
{
	const enum hs_kind kind = (enum hs_kind)atomic_load(&w->app->kind);
	if (!is_rotation(row) || !row->rotation.at_once ||
		hs_login_ends_token(kind))
		return RC_OK;
	return hs_logout_all(w->hs, w->step->subject, e);
}

/* Everything that can be found out before the old token may be dead. */
static enum rc may_log_in(
	struct work *w, int dirfd, const struct store_agent *row, struct err *e)
{
	const struct setting_value *owner =
		&w->app->config.v[SET_HANDOFF_OWNER];
	enum rc rc = handoff_writable(dirfd, owner->uid, owner->gid, e);
	if (rc == RC_OK)
		rc = tokens_may_log_in(w->app->tokens, w->hs, e);
	return rc == RC_OK ? not_too_late(w, row, e) : rc;
}

/* Synapse logs nobody in who was deactivated, and no asking again helps. */
static void say_deactivated(struct work *w, struct err *e)
{
	const char *who = w->step->subject;
	if (!text_eq(hs_failure(w->hs)->errcode, "M_USER_DEACTIVATED"))
		return;
	(void)!err_set(e, RC_FORBIDDEN,
		"%s was deactivated on the homeserver: have an administrator "
		"make it active again (Synapse: `PUT "
		"/_synapse/admin/v2/users/%s` with {\"deactivated\": false}), "
		"or give the agent another id",
		who, who);
}

static enum rc ask_for_login(struct work *w, const struct store_agent *row,
	int64_t generation, struct err *e)
{
	const char *who = w->step->subject;
	struct hs_session session = { 0 };
	enum rc rc = doubt_token(w, e);
	if (rc == RC_OK)
		rc = end_old(w, row, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_login(w->hs, who, device_of(w->app), "muster", &session, e);
	if (rc == RC_UNSUPPORTED)
		tokens_no_logins(w->app->tokens, e);
	if (rc == RC_FORBIDDEN)
		say_deactivated(w, e);
	if (rc == RC_OK && !text_eq(session.user_id, who))
		rc = err_set(e, RC_REMOTE,
			"the homeserver logged in %s instead of %s",
			hs_user_words(session.user_id, &session.token), who);
	if (rc == RC_OK)
		rc = record_login(w, row, generation, &session.token, true, e);
	secret_fini(&session.token);
	return rc;
}

static enum rc log_in(struct work *w, int dirfd, const struct store_agent *row,
	int64_t generation, struct err *e)
{
	enum rc rc = may_log_in(w, dirfd, row, e);
	if (rc == RC_OK)
		rc = ask_for_login(w, row, generation, e);
	hs_hurry(w->hs, 0);
	return rc;
}

/* The file that is there, a tombstone too; one far ahead of the store is as good as damaged. One
 * of which nothing can be said may hold a good token, which a login might
 * end. */
static enum rc read_old(
	int fd, int64_t known, struct handoff *old, bool *there, struct err *e)
{
	enum rc rc = handoff_look(fd, old, e);
	*there = rc == RC_OK && !handoff_is_far(old->generation, known);
	return handoff_is_none(rc) ? RC_OK : rc;
}

/* The number after all that were ever seen here, or asked for: an answer that
 * comes late is one to nothing. An agent that waits for a certain one gets
 * that. */
static int64_t next_after(
	const struct store_agent *row, int64_t newest, int64_t named)
{
	const int64_t asked = row->rotation.asked;
	if (is_rotation(row) && row->rotation.answering && asked > newest)
		return asked;
	const int64_t last = named > newest ? named : newest;
	return (asked > last ? asked : last) + 1;
}

/* A new generation, for the good token of a file or for that of a new login. */
static enum rc begin_generation(struct work *w, int dirfd,
	const struct store_agent *row, int64_t newest,
	const struct secret *good, struct err *e)
{
	int64_t named = 0;
	enum rc rc = handoff_newest(dirfd, newest, &named, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "the directory of its hand-off");
	const int64_t next = next_after(row, newest, named);
	return good ? record_login(w, row, next, good, false, e)
		    : log_in(w, dirfd, row, next, e);
}

/* A rotation's new token, too, which got there before we were killed, or one
 * that came after it, of which a store from a backup does not know: its agent
 * may go on with it already. */
static bool may_stay(const struct store_agent *row, const struct handoff *old)
{
	return !is_rotation(row) ||
		(row->rotation.generation > 0 &&
			old->generation >= row->rotation.generation);
}

/* What lies there is taken over where it is as it should be. */
static enum rc log_in_or_take(struct work *w, int fd,
	const struct store_agent *row, const struct handoff *old, bool there,
	struct err *e)
{
	bool good = false;
	int64_t newest = row->generation;
	enum rc rc = there && may_stay(row, old)
		? token_is_good(w, old, &good, e)
		: RC_OK;
	if (rc != RC_OK)
		return rc;
	if (there && old->generation > newest)
		newest = old->generation;
	if (good && old->generation >= row->generation &&
		text_eq(old->homeserver, public_url(w->app)))
		return record_file(w, old, e);
	return begin_generation(
		w, fd, row, newest, good ? &old->access_token : NULL, e);
}

/* Nobody ran it, so nobody was to be asked, and somebody does by now: a token
 * that is in use is not ended before there was a pause. */
static enum rc ask_after_all(
	struct work *w, const struct store_agent *row, bool *ret, struct err *e)
{
	struct store *s = w->app->store;
	*ret = false;
	if (!is_rotation(row) || row->rotation.at_once ||
		row->rotation.answering || row->rotation.generation > 0)
		return RC_OK;
	enum rc rc = tokens_has_begun(w->app, row, ret, e);
	if (rc != RC_OK || !*ret)
		return rc;
	rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_rotation_again(s, row, clock_wall_ms(), e);
	return work_end(w, rc, e);
}

static enum rc log_in_now(
	struct work *w, const struct store_agent *row, struct err *e)
{
	struct handoff old = { 0 };
	bool there = false;
	int fd = -1;
	enum rc rc = open_dir(w, &fd, e);
	if (rc != RC_OK)
		return rc;
	rc = read_old(fd, row->generation, &old, &there, e);
	if (rc == RC_OK)
		rc = log_in_or_take(w, fd, row, &old, there, e);
	close(fd);
	handoff_fini(&old);
	return rc;
}

enum rc step_login(struct work *w, struct err *e)
{
	struct store_agent row = { 0 };
	bool asked = false;
	enum rc rc = store_agent_get(
		w->app->store, w->step->subject, &w->a, &row, e);
	if (rc == RC_OK)
		rc = ask_after_all(w, &row, &asked, e);
	if (rc == RC_OK && !asked)
		rc = log_in_now(w, &row, e);
	return rc == RC_OK ? rc : failed(w, rc, e);
}

/* --- hand-off ------------------------------------------------------------------ */

static enum rc write_as(struct work *w, int dirfd, int64_t generation,
	const struct secret *token, struct err *e)
{
	const struct setting_value *owner =
		&w->app->config.v[SET_HANDOFF_OWNER];
	struct handoff h = { 0 };
	enum rc rc = store_may_act(w->app->store, e);
	if (rc != RC_OK)
		return rc;
	rc = handoff_set(&h, generation, w->step->subject, device_of(w->app),
		public_url(w->app), token, clock_wall_ms());
	if (rc != RC_OK)
		return err_set(e, rc, "the hand-off of %s: %s",
			w->step->subject, rc_words(rc));
	rc = handoff_write(dirfd, &h, owner->uid, owner->gid, e);
	handoff_fini(&h);
	return rc;
}

/* A file is there that ours must not replace. Ours it may be: written, but its
 * commit was lost. A stranger's would be in the way for ever, so the token in
 * hand becomes the generation after it. */
static enum rc overtake(struct work *w, int dirfd, int64_t *generation,
	const struct secret *token, struct err *e)
{
	struct handoff there = { 0 };
	enum rc rc = handoff_look(dirfd, &there, e);
	if (rc != RC_OK)
		return rc;
	const bool ours = there.generation == *generation &&
		secret_equal(
			&there.access_token, secret_bytes(token), token->n);
	if (!ours && there.generation >= *generation &&
		!handoff_is_far(there.generation, *generation - 1)) {
		log_warn("an agent's file was ahead of the store",
			LS("agent", w->step->subject),
			LI("generation", *generation),
			LI("found", there.generation));
		*generation = there.generation + 1;
	}
	handoff_fini(&there);
	if (!ours)
		return write_as(w, dirfd, *generation, token, e);
	const struct setting_value *owner =
		&w->app->config.v[SET_HANDOFF_OWNER];
	return handoff_settle(dirfd, owner->uid, owner->gid, e);
}

/* Where the agent was before it moved nobody shall find a token. */
static void remove_old_place(struct work *w)
{
	const struct person *p = w->step->person;
	struct err e = { 0 };
	if (handoff_remove_elsewhere(
		    config_text(&w->app->config, SET_HANDOFF_ROOT),
		    p->department, p->localpart, p->user_id, &e) != RC_OK)
		log_warn("an old hand-off file could not be removed",
			LS("agent", p->user_id), LS("error", e.text));
}

static enum rc write_file_once(struct work *w, int64_t *generation,
	const struct secret *token, struct err *e)
{
	int fd = -1;
	enum rc rc = open_dir(w, &fd, e);
	if (rc != RC_OK)
		return rc;
	rc = write_as(w, fd, *generation, token, e);
	if (rc == RC_EXISTS)
		rc = overtake(w, fd, generation, token, e);
	if (rc == RC_OK) /* leftovers are a matter of tidiness only */
		(void)!handoff_clean(fd, *generation, NULL);
	close(fd);
	return rc;
}

static enum rc write_file(struct work *w, int64_t *generation,
	const struct secret *token, struct err *e)
{
	enum rc rc = write_file_once(w, generation, token, e);
	/* The directory went away under us on its server. */
	if (rc == RC_STALE)
		rc = write_file_once(w, generation, token, e);
	if (rc == RC_OK)
		remove_old_place(w);
	return rc;
}

/* *generation grows when another file was in the way. */
static enum rc hand_off(struct work *w, int64_t *generation,
	const struct secret *token, struct err *e)
{
	struct store *s = w->app->store;
	char digest[SHA256_HEX];
	enum rc rc = write_file(w, generation, token, e);
	if (rc != RC_OK)
		return rc;
	sha256_hex(secret_bytes(token), token->n, digest);
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_handed_off(s, w->step->subject,
			device_of(w->app), *generation, digest, clock_wall_ms(),
			e);
	return work_end(w, rc, e);
}

/* No token in hand: either the login took a file over, or it is lost. */
static enum rc nothing_in_hand(struct work *w, struct err *e)
{
	struct store *s = w->app->store;
	struct store_agent row = { 0 };
	enum rc rc = store_agent_get(s, w->step->subject, &w->a, &row, e);
	if (rc != RC_OK)
		return rc;
	if (row.state == AGENT_LOGGED_IN) {
		rc = store_begin(s, e);
		if (rc == RC_OK)
			rc = store_agent_state(s, w->step->subject,
				AGENT_REGISTERED, clock_wall_ms(), e);
		return work_end(w, rc, e);
	}
	return work_nothing(w, e);
}

enum rc step_hand_off(struct work *w, struct err *e)
{
	struct secret token = { 0 };
	int64_t generation = 0;
	if (!tokens_take(w->app->tokens, w->step->subject, &generation, &token))
		return nothing_in_hand(w, e);
	enum rc rc = hand_off(w, &generation, &token, e);
	if (rc != RC_OK) {
		/* It stays in hand for the next attempt. */
		enum rc kept = tokens_keep(
			w->app->tokens, w->step->subject, generation, &token);
		if (kept != RC_OK)
			rc = kept;
	}
	secret_fini(&token);
	return rc == RC_OK ? rc : failed(w, rc, e);
}
