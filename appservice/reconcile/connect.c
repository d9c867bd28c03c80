/*
 * The first contact: nothing is written before it is clear who is there.
 */
#include "appservice/reconcile/connect.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static enum rc note_kind(struct app *app, enum hs_kind kind, struct err *e)
{
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = store_note_set(
			app->store, NOTE_HS_KIND, hs_kind_name(kind), e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

/* The kind is asked for until it is known, unless it is configured. */
static enum rc find_kind(struct app *app, struct hs *hs, struct err *e)
{
	struct arena a = { 0 };
	const char *known = NULL;
	enum rc rc = store_note_get(app->store, NOTE_HS_KIND, &a, &known, e);
	enum hs_kind kind = hs_kind_of(config_text(&app->config, SET_HS_KIND));
	if (rc == RC_OK && kind == HS_UNKNOWN && known) {
		atomic_store(&app->kind, (int)hs_kind_of(known));
	} else if (rc == RC_OK) {
		rc = app_detect(app, hs, e);
		kind = (enum hs_kind)atomic_load(&app->kind);
		if (rc == RC_OK && kind != HS_UNKNOWN)
			rc = note_kind(app, kind, e);
	}
	arena_free(&a);
	return rc;
}

/* whoami says who we are there; its server must be the configured one. */
static enum rc check_name(
	struct app *app, const struct hs_whoami *me, struct err *e)
{
	const char *want = config_text(&app->config, SET_HS_NAME);
	struct str localpart, server;
	if (text_eq(me->user_id, app->sender_id))
		return RC_OK;
	if (!id_split(me->user_id, '@', &localpart, &server))
		return err_set(e, RC_REMOTE, "whoami answered no user id");
	if (!str_eq(server, want))
		return err_set(e, RC_INVALID,
			"the homeserver at %s is %.*s, the configuration says "
			"%s: correct homeserver.url or homeserver.server_name",
			config_text(&app->config, SET_HS_URL), (int)server.n,
			server.p, want);
	return err_set(e, RC_INVALID,
		"the homeserver knows our token as %s, the configuration says "
		"%s: run `muster registration`, then `muster register`",
		me->user_id, app->sender_id);
}

/* Before our own user exists Conduit does not say who we are; but it has the
 * admin room of its own name. */
static enum rc check_name_by_alias(
	struct app *app, struct hs *hs, struct err *e)
{
	struct arena a = { 0 };
	const char *room_id = NULL;
	if (atomic_load(&app->kind) != HS_CONDUIT)
		return RC_OK;
	enum rc rc = hs_admin_room(
		hs, config_text(&app->config, SET_HS_NAME), &a, &room_id, e);
	arena_free(&a);
	return rc;
}

enum rc connect_to(
	struct app *app, struct hs *hs, char server[64], struct err *e)
{
	struct hs_whoami me = { 0 };
	enum rc rc = app_reach(app, hs, server, e);
	if (rc == RC_OK)
		rc = find_kind(app, hs, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_whoami(hs, NULL, &me, e);
	if (rc == RC_UNAUTHORIZED)
		return err_set(e, rc,
			"the homeserver does not know our token: run `muster "
			"register`");
	if (rc == RC_FORBIDDEN)
		return check_name_by_alias(app, hs, e);
	return rc == RC_OK ? check_name(app, &me, e) : rc;
}
