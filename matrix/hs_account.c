/*
 * matrix/hs_account.c: accounts of the homeserver: registering, logging in and
 * out, devices, profile and account data.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/hs_priv.h"
#include "matrix/id.h"

#include "base/poison.h"

#define SERVICE_TYPE "m.login.application_service"

static void put_identifier(struct jb *b, const char *user)
{
	jb_obj(b, "identifier");
	jb_str(b, "type", "m.id.user");
	jb_str(b, "user", user);
	jb_end_obj(b);
}

/* --- registering and logging in ---------------------------------------- */

/* A homeserver may in theory register another name than was asked for. */
static bool registered(struct js root, const char *localpart)
{
	struct str got, server;
	const char *id = js_get_str(root, "user_id");
	return id != NULL && id_split(id, '@', &got, &server) &&
		str_eq(got, localpart);
}

enum rc hs_register(struct hs *hs, const char *localpart,
	const struct secret *password, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/register",
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "type", SERVICE_TYPE);
	jb_str(&b, "username", localpart);
	jb_bool(&b, "inhibit_login", true);
	if (password != NULL && secret_is_set(password))
		jb_str(&b, "password", secret_bytes(password));
	jb_end_obj(&b);

	struct json *doc = NULL;
	enum rc rc = hs_request_body(hs, call, &body, &doc, e);
	if (rc != RC_OK)
		return rc;
	if (!registered(json_root(doc), localpart))
		rc = hs_bad_answer(hs, "user_id of the name we asked for", e);
	json_free(doc);
	return rc;
}

/* Takes the token out of the answer and wipes the parser's copy. */
static enum rc take_token(
	struct hs *hs, struct js root, struct secret *ret, struct err *e)
{
	const char *token = js_get_str(root, "access_token");
	if (token == NULL || *token == '\0')
		return hs_bad_answer(hs, "access_token", e);
	size_t n = strlen(token);
	enum rc rc = secret_set(ret, token, n);
	wipe((void *)(uintptr_t)token, n);
	return rc == RC_OK ? RC_OK : err_nomem(e);
}

/* Reads what login and register answer; user_id NULL: any will do. */
static enum rc take_session(struct hs *hs, struct js root, const char *user_id,
	struct hs_session *ret, struct err *e)
{
	struct hs_session s = { 0 };
	enum rc rc = take_token(hs, root, &s.token, e);
	if (rc != RC_OK)
		return rc;
	if (!hs_copy_str(root, "user_id", s.user_id, sizeof(s.user_id)))
		rc = hs_bad_answer(hs, "user_id", e);
	else if (!hs_copy_str(
			 root, "device_id", s.device_id, sizeof(s.device_id)))
		rc = hs_bad_answer(hs, "device_id", e);
	else if (user_id != NULL && strcmp(user_id, s.user_id) != 0)
		rc = hs_bad_answer(hs, "user_id that we asked for", e);

	if (rc == RC_OK)
		*ret = s;
	else
		secret_fini(&s.token);
	return rc;
}

static enum rc no_logins(struct err *e)
{
	return err_set(e, RC_UNSUPPORTED,
		"this homeserver gives application services no logins "
		"(MSC4190), and an agent's token comes of one: use a "
		"homeserver that gives them, such as Conduit, or Synapse "
		"without the Matrix Authentication Service and without "
		"io.element.msc4190 in the registration");
}

/* It has no such endpoint; a proxy's 404 says nothing of that. */
static bool is_unrecognized(const struct hs *hs)
{
	return hs->failure.status == 404 &&
		strcmp(hs->failure.errcode, "M_UNRECOGNIZED") == 0;
}

static bool offers(struct js flows, const char *type)
{
	for (size_t i = 0; i < js_len(flows); i++)
		if (text_eq(js_get_str(js_at(flows, i), "type"), type))
			return true;
	return false;
}

enum rc hs_login_offered(struct hs *hs, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/login",
		.anonymous = true,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc == RC_OK) {
		struct js flows = js_get(json_root(doc), "flows");
		if (js_type(flows) == JS_ARR && !offers(flows, SERVICE_TYPE))
			rc = no_logins(e);
		json_free(doc);
		return rc;
	}
	if (is_unrecognized(hs))
		return no_logins(e);
	const int status = hs->failure.status;
	return status >= 400 && status < 500 && status != 429 ? RC_OK : rc;
}

enum rc hs_login(struct hs *hs, const char *user_id, const char *device_id,
	const char *device_name, struct hs_session *ret, struct err *e)
{
	struct hs_call call = { .method = "POST", .path = HS_CLIENT "/login" };
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "type", SERVICE_TYPE);
	put_identifier(&b, user_id);
	if (device_id != NULL)
		jb_str(&b, "device_id", device_id);
	if (device_name != NULL)
		jb_str(&b, "initial_device_display_name", device_name);
	jb_end_obj(&b);

	struct json *doc = NULL;
	enum rc rc = hs_request_body(hs, call, &body, &doc, e);
	if (rc == RC_OK)
		rc = take_session(hs, json_root(doc), user_id, ret, e);
	else if (rc == RC_UNSUPPORTED || is_unrecognized(hs))
		rc = no_logins(e);
	json_free(doc);
	return rc;
}

static void put_device(struct jb *b, const struct hs *hs)
{
	if (hs->device != NULL)
		jb_str(b, "device_id", hs->device);
	jb_str(b, "initial_device_display_name", "muster");
}

enum rc hs_login_password(struct hs *hs, const char *user,
	const struct secret *password, struct hs_session *ret, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/login",
		.anonymous = true,
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "type", "m.login.password");
	put_identifier(&b, user);
	jb_str(&b, "password", secret_bytes(password));
	put_device(&b, hs);
	jb_end_obj(&b);

	struct json *doc = NULL;
	enum rc rc = hs_request_body(hs, call, &body, &doc, e);
	if (rc == RC_OK)
		rc = take_session(hs, json_root(doc), NULL, ret, e);
	json_free(doc);
	return rc;
}

/* --- a human account --------------------------------------------------- */

#define STAGE_TOKEN "m.login.registration_token"
#define STAGE_DUMMY "m.login.dummy"

struct human {
	const char *username;
	const struct secret *password;
	const struct secret *registration_token; /* NULL: none */
};

/* One stage of the registration's interactive authentication. */
static enum rc try_stage(struct hs *hs, const struct human *h,
	const char *stage, const char *session, struct err *e)
{
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "username", h->username);
	jb_str(&b, "password", secret_bytes(h->password));
	put_device(&b, hs);
	jb_obj(&b, "auth");
	jb_str(&b, "type", stage);
	if (strcmp(stage, STAGE_TOKEN) == 0)
		jb_str(&b, "token", secret_bytes(h->registration_token));
	if (*session != '\0')
		jb_str(&b, "session", session);
	jb_end_obj(&b);
	jb_end_obj(&b);

	enum rc rc = buf_rc(&body);
	if (rc == RC_OK) {
		struct hs_call call = {
			.method = "POST",
			.path = HS_CLIENT "/register",
			.anonymous = true,
			.body = buf_str(&body),
		};
		rc = hs_exchange(hs, &call, e);
	} else {
		rc = err_set(e, rc, "the registration is too large to send");
	}
	buf_wipe(&body);
	return rc;
}

/* Is one of the ways to register nothing that keeps anybody out? */
static bool has_open_flow(struct js flows)
{
	for (size_t i = 0; i < js_len(flows); i++) {
		struct js stages = js_get(js_at(flows, i), "stages");
		bool open = js_type(stages) == JS_ARR;
		for (size_t k = 0; k < js_len(stages); k++) {
			const char *stage = js_str(js_at(stages, k));
			open = open &&
				(text_eq(stage, "m.login.dummy") ||
					text_eq(stage, "m.login.terms"));
		}
		if (open)
			return true;
	}
	return false;
}

/* The homeserver took the token and wants another stage, as Synapse does, or it
 * asks for no token at all. */
static bool wants_more(const struct hs *hs, char *session, size_t n)
{
	const struct http_answer *a = &hs->answer;
	struct json *doc = NULL;
	if (a->status != 401 ||
		json_parse(buf_str(&a->body), a->body.n, NULL, &doc, NULL) !=
			RC_OK)
		return false;
	struct js root = json_root(doc);
	struct js completed = js_get(root, "completed");
	bool more = false;
	for (size_t i = 0; i < js_len(completed); i++) {
		if (text_eq(js_str(js_at(completed, i)), STAGE_TOKEN))
			more = hs_copy_str(root, "session", session, n);
	}
	/* Conduit has forgotten the session of what failed. */
	more = more || has_open_flow(js_get(root, "flows"));
	json_free(doc);
	return more;
}

enum rc hs_register_password(struct hs *hs, const char *username,
	const struct secret *password, const struct secret *registration_token,
	struct hs_session *ret, struct err *e)
{
	struct human h = { username, password, registration_token };
	bool token =
		registration_token != NULL && secret_is_set(registration_token);
	char session[256] = "";
	enum rc rc = try_stage(
		hs, &h, token ? STAGE_TOKEN : STAGE_DUMMY, session, e);
	if (rc == RC_OK && token && wants_more(hs, session, sizeof(session)))
		rc = try_stage(hs, &h, STAGE_DUMMY, session, e);
	if (rc != RC_OK)
		return rc;

	struct json *doc = NULL;
	rc = hs_finish(hs, &doc, e);
	if (rc == RC_OK)
		rc = take_session(hs, json_root(doc), NULL, ret, e);
	json_free(doc);
	return rc;
}

enum rc hs_username_free(struct hs *hs, const char *localpart, struct err *e)
{
	struct buf query;
	buf_init(&query, LIMIT_SMALL_BODY);
	buf_add(&query, "username=");
	buf_add_url(&query, localpart);
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/register/available",
		.query = buf_str(&query),
		.anonymous = true,
	};
	enum rc rc = buf_rc(&query) == RC_OK ? hs_request(hs, &call, NULL, e)
					     : err_nomem(e);
	buf_free(&query);
	return rc;
}

enum rc hs_registration_open(struct hs *hs, bool *ret, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/register",
		.anonymous = true,
		.body = "{\"inhibit_login\":true}",
		.harmless = true,
	};
	struct json *doc = NULL;
	enum rc rc = hs_exchange(hs, &call, e);
	if (rc != RC_OK)
		return rc;
	const int status = hs->answer.status;
	if (status == 401 &&
		json_parse(buf_str(&hs->answer.body), hs->answer.body.n, NULL,
			&doc, NULL) == RC_OK) {
		*ret = has_open_flow(js_get(json_root(doc), "flows"));
		json_free(doc);
		return RC_OK;
	}
	/* Forbidden, or there is no such thing; 200: it asked nothing at all. */
	if (status == 200 || status == 403 || status == 404) {
		*ret = status == 200;
		return RC_OK;
	}
	rc = hs_finish(hs, NULL, e);
	return rc == RC_OK ? hs_bad_answer(hs, "list of flows", e) : rc;
}

enum rc hs_logout(struct hs *hs, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/logout",
		.body = "{}",
	};
	return hs_request(hs, &call, NULL, e);
}

enum rc hs_logout_all(struct hs *hs, const char *as, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/logout/all",
		.as = as,
		.body = "{}",
	};
	if (as == NULL || *as == '\0')
		return err_set(e, RC_INVALID,
			"POST %s: whose sessions are to end is not said",
			call.path);
	return hs_request(hs, &call, NULL, e);
}

/* --- what belongs to an account ---------------------------------------- */

enum rc hs_device(struct hs *hs, const char *as, const char *device_id,
	bool *has, size_t *count, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/devices",
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct js devices = js_get(json_root(doc), "devices");
	if (js_type(devices) != JS_ARR) {
		rc = hs_bad_answer(hs, "list of devices", e);
	} else {
		*has = false;
		*count = js_len(devices);
		for (size_t i = 0; i < *count; i++) {
			if (text_eq(js_get_str(js_at(devices, i), "device_id"),
				    device_id))
				*has = true;
		}
	}
	json_free(doc);
	return rc;
}

enum rc hs_display_name(struct hs *hs, const char *user_id, struct arena *a,
	const char **ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/profile/%/displayname",
		.ids = { user_id },
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc == RC_NOT_FOUND) { /* how some say that there is none */
		*ret = NULL;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;

	const char *name = js_get_str(json_root(doc), "displayname");
	if (name != NULL && *name == '\0')
		name = NULL;
	const char *copy = arena_strdup(a, name);
	if (name != NULL && copy == NULL)
		rc = err_nomem(e);
	else
		*ret = copy;
	json_free(doc);
	return rc;
}

enum rc hs_set_display_name(struct hs *hs, const char *as, const char *user_id,
	const char *name, struct err *e)
{
	struct hs_call call = {
		.method = "PUT",
		.path = HS_CLIENT "/profile/%/displayname",
		.ids = { user_id },
		.as = as,
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "displayname", name);
	jb_end_obj(&b);
	return hs_request_body(hs, call, &body, NULL, e);
}

enum rc hs_account_data(struct hs *hs, const char *as, const char *type,
	struct buf *ret, struct err *e)
{
	const char *user = NULL;
	enum rc rc = hs_actor(hs, as, &user, e);
	if (rc != RC_OK)
		return rc;
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/user/%/account_data/%",
		.ids = { user, type },
		.as = as,
	};
	struct json *doc = NULL;
	rc = hs_request(hs, &call, &doc, e);
	if (rc == RC_OK)
		rc = hs_give_json(json_root(doc), ret, e);
	json_free(doc);
	return rc;
}

enum rc hs_set_account_data(struct hs *hs, const char *as, const char *type,
	const char *json, struct err *e)
{
	const char *user = NULL;
	enum rc rc = hs_actor(hs, as, &user, e);
	if (rc != RC_OK)
		return rc;
	struct hs_call call = {
		.method = "PUT",
		.path = HS_CLIENT "/user/%/account_data/%",
		.ids = { user, type },
		.as = as,
		.body = json,
	};
	return hs_request(hs, &call, NULL, e);
}
