/*
 * New tokens of the registration: who may come in with them, and taking them
 * up.
 */
#include "appservice/newtokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

void newtokens_init(struct newtokens *n, struct app *app)
{
	*n = (struct newtokens){ .app = app };
	pthread_mutex_init(&n->lock, NULL);
}

void newtokens_fini(struct newtokens *n)
{
	if (n->app)
		pthread_mutex_destroy(&n->lock);
}

char *newtokens_path(const struct app *app)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	const size_t size = strlen(path) + sizeof(".next");
	char *next = malloc(size);
	if (next)
		snprintf(next, size, "%s.next", path);
	return next;
}

enum rc newtokens_read(
	const char *path, struct registration *ret, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = registration_read(path, ret, NULL, &why);

	if (rc == RC_OK || rc == RC_NOT_FOUND)
		return rc;
	return err_set(e, rc,
		"%s: the new tokens that wait there cannot be read: remove "
		"that file, and run `muster registration --new-tokens` again "
		"if they are wanted",
		why.text);
}

/* --- who comes in ----------------------------------------------------------- */

/* Is it in force? If not, where the files are, which the caller frees: the
 * configuration may be exchanged in the next moment. */
static bool in_force(struct app *app, const unsigned char digest[SHA256_LEN],
	char *paths[NEWTOKENS_FILES])
{
	unsigned char now[SHA256_LEN];
	app_hold(app);
	const struct secret *token = &app->reg.hs_token;
	bool right = sha256(secret_bytes(token), token->n, now) &&
		sha256_equal(now, digest);
	if (!right) {
		paths[0] = newtokens_path(app);
		paths[1] =
			strdup(config_text(&app->config, SET_AS_REGISTRATION));
	}
	app_let_go(app);
	return right;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Read only when it is another than the last time: strangers may ask as often
 * as they like. */
static bool in_file(struct newtokens *n, size_t i, const char *path,
	const unsigned char digest[SHA256_LEN])
{
	struct registration r = { 0 };
	struct stat now;
	if (!path || stat(path, &now) != 0)
		return false;
	pthread_mutex_lock(&n->lock);
	if (!is_same_file(&now, &n->file[i].seen)) {
		n->file[i].seen = now;
		n->file[i].there =
			registration_read(path, &r, NULL, NULL) == RC_OK &&
			sha256(secret_bytes(&r.hs_token), r.hs_token.n,
				n->file[i].digest);
		registration_free(&r);
	}
	bool right =
		n->file[i].there && sha256_equal(n->file[i].digest, digest);
	pthread_mutex_unlock(&n->lock);
	return right;
}

bool newtokens_is_right(void *newtokens, const unsigned char digest[SHA256_LEN])
{
	struct newtokens *n = newtokens;
	char *paths[NEWTOKENS_FILES] = { NULL };
	bool right = in_force(n->app, digest, paths);
	for (size_t i = 0; i < NEWTOKENS_FILES; i++) {
		right = right || in_file(n, i, paths[i], digest);
		free(paths[i]);
	}
	return right;
}

bool newtokens_changed(const struct app *app, struct stat *seen)
{
	struct stat now;
	if (stat(config_text(&app->config, SET_AS_REGISTRATION), &now) != 0 ||
		is_same_file(&now, seen))
		return false;
	*seen = now;
	return true;
}

/* --- taking them up --------------------------------------------------------- */

/* Another token, and all else that holds until the end as it is. */
static bool may_follow(const struct app *app, const struct registration *next)
{
	const struct secret *token = &app->reg.as_token;
	const char *what = NULL;
	return !secret_equal(&next->as_token, secret_bytes(token), token->n) &&
		(registration_same(next, &app->reg, &what) ||
			text_starts(what, "namespaces."));
}

static bool is_taken_there(struct app *app, const struct registration *next)
{
	struct hs *hs = NULL;
	struct hs_whoami who = { 0 };
	enum rc rc = app_client(app, &next->as_token, &hs, NULL);
	if (rc == RC_OK)
		rc = hs_whoami(hs, NULL, &who, NULL);
	hs_free(hs);
	return rc == RC_OK && text_eq(who.user_id, app->sender_id);
}

static enum rc take_file(
	struct app *app, const char *path, bool *taken, struct err *e)
{
	struct registration next = { 0 };
	enum rc rc = registration_read(path, &next, NULL, NULL);
	if (rc == RC_OK)
		rc = app_check_namespace(app, &next, path, NULL);
	*taken = rc == RC_OK && may_follow(app, &next) &&
		is_taken_there(app, &next);
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "register",
		.subject = app->sender_id,
		.detail = "the registration has new tokens" };
	rc = *taken ? app_take_registration(app, &next, &row, e) : RC_OK;
	registration_free(&next);
	if (*taken && rc == RC_OK)
		log_info("the tokens of the registration are others now",
			LS("file", path));
	return rc;
}

enum rc newtokens_take(struct app *app, bool *taken, struct err *e)
{
	*taken = false;
	char *next = newtokens_path(app);
	if (!next)
		return err_nomem(e);
	enum rc rc = take_file(
		app, config_text(&app->config, SET_AS_REGISTRATION), taken, e);
	if (rc == RC_OK && !*taken)
		rc = take_file(app, next, taken, e);
	free(next);
	return rc;
}
