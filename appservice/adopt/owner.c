/*
 * The old owner of the rooms, or an administrator of the homeserver: their
 * session is used for what only they may do, and ended.
 */
#include <stdio.h>

#include "appservice/adopt/adopt_priv.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

bool adopt_same_user(const struct app *app, const char *one, const char *two)
{
	struct arena a = { 0 };
	const char *server = app->fleet.server_name;
	const char *x = one && *one != '@' ? id_user(&a, one, server) : one;
	const char *y = two && *two != '@' ? id_user(&a, two, server) : two;
	const bool same = x && text_eq(x, y);
	arena_free(&a);
	return same;
}

static enum rc log_in(struct adopt *ad, const char *user,
	const struct secret *password, struct err *e)
{
	struct hs_session session = { 0 };
	struct err why = { 0 };
	enum rc rc =
		hs_login_password(ad->owner, user, password, &session, &why);
	if (rc == RC_FORBIDDEN)
		return err_set(e, rc, "the password of %s is not right", user);
	if (rc == RC_EXCLUSIVE)
		return err_set(e, rc,
			"%s is in the namespace of the agents, where nobody "
			"has a password: name the human who made the rooms",
			user);
	if (rc != RC_OK)
		return err_set(e, rc, "%s", why.text);
	rc = hs_use_token(ad->owner, &session.token);
	ad->owner_session = rc == RC_OK;
	snprintf(ad->owner_id, sizeof(ad->owner_id), "%s", session.user_id);
	secret_fini(&session.token);
	return rc == RC_OK ? rc : err_nomem(e);
}

static enum rc take_token(struct adopt *ad, const char *user,
	const struct secret *token, struct err *e)
{
	struct hs_whoami me = { 0 };
	enum rc rc = hs_use_token(ad->owner, token);
	if (rc == RC_OK)
		rc = hs_whoami(ad->owner, NULL, &me, e);
	if (rc == RC_UNAUTHORIZED)
		return err_set(e, RC_FORBIDDEN,
			"the homeserver does not know the token that was "
			"given");
	if (rc != RC_OK)
		return rc;
	if (user && !adopt_same_user(ad->app, user, me.user_id))
		return err_set(e, RC_FORBIDDEN,
			"the token that was given is that of %s, not of %s",
			me.user_id, user);
	snprintf(ad->owner_id, sizeof(ad->owner_id), "%s", me.user_id);
	return RC_OK;
}

/* What they may do in the rooms where nobody else may. */
static enum rc judge_rooms(struct adopt *ad, struct err *e)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; i < ad->n_rooms && rc == RC_OK; i++)
		if (ad->rooms[i].is == ADOPT_ROOM_MISSING)
			rc = adopt_look_at_room(ad, &ad->rooms[i], e);
	return rc;
}

enum rc adopt_owner_enter(struct adopt *ad, const char *user,
	const struct secret *secret, bool is_token, struct err *e)
{
	adopt_owner_leave(ad); /* whoever was asked before */
	enum rc rc = app_client_plain(ad->app, &ad->owner, e);
	if (rc == RC_OK)
		rc = is_token ? take_token(ad, user, secret, e)
			      : log_in(ad, user, secret, e);
	if (rc == RC_OK)
		rc = hs_is_admin(ad->owner, &ad->owner_is_admin, e);
	if (rc == RC_OK)
		rc = judge_rooms(ad, e);
	if (rc != RC_OK)
		adopt_owner_leave(ad);
	return rc;
}

bool adopt_owner_helps(const struct adopt *ad)
{
	bool helps = ad->owner && ad->owner_is_admin;
	for (size_t i = 0; i < ad->n_rooms && !helps; i++)
		helps = ad->rooms[i].is == ADOPT_ROOM_OWNER;
	return helps;
}

void adopt_owner_leave(struct adopt *ad)
{
	struct err e = { 0 };
	if (ad->owner_session && hs_logout(ad->owner, &e) != RC_OK)
		adopt_say(ad,
			"the session that was begun for %s could not be ended: "
			"%s",
			ad->owner_id, e.text);
	hs_free(ad->owner);
	ad->owner = NULL;
	ad->owner_session = ad->owner_is_admin = false;
}
