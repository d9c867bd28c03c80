/*
 * matrix/hs_server.c: what is asked of the homeserver itself: which one it
 * is, what it can do, whose our token is, whether it reaches us.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "matrix/hs_priv.h"
#include "matrix/id.h"

#include "base/poison.h"

static const char *const KINDS[] = {
	[HS_UNKNOWN] = "unknown",
	[HS_CONDUIT] = "conduit",
	[HS_TUWUNEL] = "tuwunel",
	[HS_SYNAPSE] = "synapse",
	[HS_DENDRITE] = "dendrite",
};

const char *hs_kind_name(enum hs_kind k)
{
	return KINDS[k];
}

enum hs_kind hs_kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
		if (text_eq(KINDS[i], name))
			return (enum hs_kind)i;
	}
	return HS_UNKNOWN;
}

bool hs_login_ends_token(enum hs_kind k)
{
	return k == HS_CONDUIT;
}

enum rc hs_versions(struct hs *hs, char server[64], struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = "/_matrix/client/versions",
		.anonymous = true,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct js versions = js_get(json_root(doc), "versions");
	if (js_type(versions) != JS_ARR)
		rc = hs_bad_answer(hs, "list of versions", e);
	else if (server != NULL)
		memcpy(server, hs->answer.server, sizeof(hs->answer.server));
	json_free(doc);
	return rc;
}

/* What `GET /` of the two Conduits answers. */
static enum hs_kind kind_of_greeting(const char *body)
{
	if (text_starts(body, "Hello from Conduit!"))
		return HS_CONDUIT;
	if (text_starts(body, "hewwo from tuwunel"))
		return HS_TUWUNEL;
	return HS_UNKNOWN;
}

static enum rc ask_greeting(struct hs *hs, enum hs_kind *ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET", .path = "/", .anonymous = true
	};
	enum rc rc = hs_exchange(hs, &call, e);
	if (rc != RC_OK)
		return rc;
	/* Trouble says nothing about the kind; 404 does. */
	if (hs->answer.status >= 500)
		return hs_finish(hs, NULL, e);
	*ret = kind_of_greeting(buf_str(&hs->answer.body));
	return RC_OK;
}

/* A document that anybody is given; *doc NULL: any other answer. */
static enum rc ask_anybody(
	struct hs *hs, const char *path, struct json **doc, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = path,
		.anonymous = true,
	};
	enum rc rc = hs_exchange(hs, &call, e);

	if (rc == RC_OK && hs_finish(hs, doc, NULL) != RC_OK)
		*doc = NULL;
	return rc;
}

/* Where a proxy keeps `/` for itself, Tuwunel still says its name here. */
static enum rc ask_name(struct hs *hs, enum hs_kind *ret, struct err *e)
{
	struct json *doc = NULL;
	enum rc rc = ask_anybody(hs, "/_tuwunel/server_version", &doc, e);
	if (!doc)
		return rc;
	const char *name = js_get_str(json_root(doc), "name");
	if (name != NULL && text_eq_nocase(name, "tuwunel"))
		*ret = HS_TUWUNEL;
	json_free(doc);
	return RC_OK;
}

/* Those that talk to other servers tell them what they are; Dendrite nobody
 * else, and neither does Synapse behind a proxy that says its own name. */
static enum rc ask_version(struct hs *hs, enum hs_kind *ret, struct err *e)
{
	struct json *doc = NULL;
	enum rc rc = ask_anybody(hs, "/_matrix/federation/v1/version", &doc, e);
	if (!doc)
		return rc;
	const char *name = js_get_str(js_get(json_root(doc), "server"), "name");
	for (size_t i = 0; i < ARRAY_LEN(KINDS) && name; i++)
		if (text_eq_nocase(name, KINDS[i]))
			*ret = (enum hs_kind)i;
	json_free(doc);
	return RC_OK;
}

enum rc hs_detect(struct hs *hs, enum hs_kind *ret, struct err *e)
{
	char server[64];
	enum hs_kind kind = HS_UNKNOWN;
	enum rc rc = hs_versions(hs, server, e);
	if (rc != RC_OK)
		return rc;

	if (text_starts(server, "Synapse/"))
		kind = HS_SYNAPSE;
	if (kind == HS_UNKNOWN)
		rc = ask_greeting(hs, &kind, e);
	if (rc == RC_OK && kind == HS_UNKNOWN)
		rc = ask_name(hs, &kind, e);
	if (rc == RC_OK && kind == HS_UNKNOWN)
		rc = ask_version(hs, &kind, e);
	if (rc == RC_OK)
		*ret = kind;
	return rc;
}

enum rc hs_server_name(struct hs *hs, char ret[256], struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = "/_matrix/key/v2/server",
		.anonymous = true,
	};
	enum rc rc = hs_exchange(hs, &call, e);
	if (rc != RC_OK)
		return rc;

	struct json *doc = NULL;
	char name[256];
	/* Whatever else it answers, it does not say it. */
	bool said = hs_finish(hs, &doc, NULL) == RC_OK &&
		hs_copy_str(json_root(doc), "server_name", name, 256) &&
		id_server_ok(name);
	json_free(doc);
	if (!said)
		return err_set(e, RC_NOT_FOUND, "it does not say its name");
	memcpy(ret, name, sizeof(name));
	return RC_OK;
}

enum rc hs_default_room_version(
	struct hs *hs, const char *as, char ret[32], struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/capabilities",
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct js all = js_get(json_root(doc), "capabilities");
	if (!hs_copy_str(js_get(all, "m.room_versions"), "default", ret, 32))
		ret[0] = '\0';
	json_free(doc);
	return RC_OK;
}

/* Whose the token is need not be asked again. */
static enum rc remember(struct hs *hs, const char *user_id, struct err *e)
{
	char *copy = strdup(user_id);
	if (copy == NULL)
		return err_nomem(e);
	free(hs->own_id);
	hs->own_id = copy;
	return RC_OK;
}

enum rc hs_whoami(
	struct hs *hs, const char *as, struct hs_whoami *ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/account/whoami",
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct hs_whoami who = { 0 };
	struct js root = json_root(doc);
	if (!hs_copy_str(root, "user_id", who.user_id, sizeof(who.user_id))) {
		rc = hs_bad_answer(hs, "user_id", e);
	} else {
		if (!hs_copy_str(root, "device_id", who.device_id,
			    sizeof(who.device_id)))
			who.device_id[0] = '\0';
		if (!js_get_bool(root, "is_guest", &who.guest))
			who.guest = false;
		if (as == NULL)
			rc = remember(hs, who.user_id, e);
	}
	if (rc == RC_OK)
		*ret = who;
	json_free(doc);
	return rc;
}

enum rc hs_actor(struct hs *hs, const char *as, const char **ret, struct err *e)
{
	if (as == NULL && hs->own_id == NULL) {
		struct hs_whoami who;
		enum rc rc = hs_whoami(hs, NULL, &who, e);
		if (rc != RC_OK)
			return rc;
	}
	*ret = as != NULL ? as : hs->own_id;
	return RC_OK;
}

enum rc hs_ping(struct hs *hs, const char *appservice_id, const char *txn,
	int64_t *duration_ms, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = "/_matrix/client/v1/appservice/%/ping",
		.ids = { appservice_id },
		.harmless = true,
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "transaction_id", txn);
	jb_end_obj(&b);

	struct json *doc = NULL;
	enum rc rc = hs_request_body(hs, call, &body, &doc, e);
	if (rc != RC_OK)
		return rc;
	int64_t ms = 0;
	if (!js_get_i64(json_root(doc), "duration_ms", &ms))
		rc = hs_bad_answer(hs, "duration_ms", e);
	else
		*duration_ms = ms;
	json_free(doc);
	return rc;
}
