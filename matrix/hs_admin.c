/*
 * matrix/hs_admin.c: what only an administrator of the homeserver may, by
 * Synapse's API for them, of which others have parts.
 */
#include "base/str.h"
#include "matrix/hs_priv.h"

#include "base/poison.h"

#define ADMIN "/_synapse/admin"

enum rc hs_is_admin(struct hs *hs, bool *ret, struct err *e)
{
	const char *me = NULL;
	enum rc rc = hs_actor(hs, NULL, &me, e);
	if (rc != RC_OK)
		return rc;
	struct hs_call call = {
		.method = "GET",
		.path = ADMIN "/v1/users/%/admin",
		.ids = { me },
	};
	struct json *doc = NULL;
	rc = hs_request(hs, &call, &doc, e);
	const int status = rc == RC_OK ? 0 : hs->failure.status;
	/* There is no such thing, or it is for others. */
	if (status >= 400 && status < 500 && status != 401 && status != 429) {
		*ret = false;
		return RC_OK;
	}
	if (rc == RC_OK) {
		*ret = false;
		js_get_bool(json_root(doc), "admin", ret);
	}
	json_free(doc);
	return rc;
}

enum rc hs_make_room_admin(
	struct hs *hs, const char *room_id, const char *user_id, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = ADMIN "/v1/rooms/%/make_room_admin",
		.ids = { room_id },
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "user_id", user_id);
	jb_end_obj(&b);
	return hs_request_body(hs, call, &body, NULL, e);
}

enum rc hs_reset_password(struct hs *hs, const char *user_id,
	const struct secret *password, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = ADMIN "/v1/reset_password/%",
		.ids = { user_id },
	};
	struct buf body;
	struct jb b;
	hs_body_begin(&body, &b);
	jb_str(&b, "new_password", secret_bytes(password));
	jb_bool(&b, "logout_devices", false);
	jb_end_obj(&b);
	return hs_request_body(hs, call, &body, NULL, e);
}
