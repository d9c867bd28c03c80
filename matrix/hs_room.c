/*
 * matrix/hs_room.c: rooms: making and finding them, who is in them, state and
 * messages.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/hs_priv.h"
#include "matrix/id.h"

#include "base/poison.h"

#define ROOM HS_CLIENT "/rooms/%"

/* --- small parts shared by the calls ----------------------------------- */

/* An object of strings in a buffer; NULL ends the pairs, a NULL value leaves
 * its member out. */
static void make_body(struct buf *body, const char *const pairs[])
{
	struct jb b;
	hs_body_begin(body, &b);
	for (size_t i = 0; pairs[i] != NULL; i += 2) {
		if (pairs[i + 1] != NULL)
			jb_str(&b, pairs[i], pairs[i + 1]);
	}
	jb_end_obj(&b);
}

/* The answer's room id into the arena; frees doc. */
static enum rc give_room_id(struct hs *hs, struct json *doc, struct arena *a,
	const char **ret, struct err *e)
{
	enum rc rc = RC_OK;
	const char *id = js_get_str(json_root(doc), "room_id");
	if (id == NULL || !id_room_ok(id)) {
		rc = hs_bad_answer(hs, "room_id", e);
	} else {
		const char *copy = arena_strdup(a, id);
		if (copy == NULL)
			rc = err_nomem(e);
		else
			*ret = copy;
	}
	json_free(doc);
	return rc;
}

/* POST to a room with strings in the body. */
static enum rc post_room(struct hs *hs, const char *path, const char *as,
	const char *room_id, const char *const pairs[], struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = path,
		.ids = { room_id },
		.as = as,
	};
	struct buf body;
	make_body(&body, pairs);
	return hs_request_body(hs, call, &body, NULL, e);
}

/* --- making, finding, joining ------------------------------------------ */

enum rc hs_create_room(struct hs *hs, const char *as, const char *body,
	struct arena *a, const char **ret_room_id, struct err *e)
{
	struct hs_call call = {
		.method = "POST",
		.path = HS_CLIENT "/createRoom",
		.as = as,
		.body = body,
	};
	struct json *doc = NULL;
	struct err why = { 0 };
	enum rc rc = hs_request(hs, &call, &doc, &why);
	if (rc == RC_OK)
		return give_room_id(hs, doc, a, ret_room_id, e);
	/* Conduit had asked the service, which said that it had the room. */
	if (rc == RC_REMOTE && strstr(why.text, "Appservice lied to us"))
		rc = RC_NOT_FOUND;
	return err_set(e, rc, "%s", why.text);
}

enum rc hs_resolve_alias(struct hs *hs, const char *alias, struct arena *a,
	const char **ret_room_id, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/directory/room/%",
		.ids = { alias },
		.anonymous = true,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	return rc == RC_OK ? give_room_id(hs, doc, a, ret_room_id, e) : rc;
}

/* Of an alias of another server Conduit says 500 M_UNKNOWN; a proxy that is in
 * trouble has no errcode. */
static bool is_no_room(enum rc rc, const struct hs_failure *f)
{
	return rc == RC_NOT_FOUND || rc == RC_FORBIDDEN ||
		(rc == RC_REMOTE && f->errcode[0]);
}

enum rc hs_admin_room(struct hs *hs, const char *server_name, struct arena *a,
	const char **ret_room_id, struct err *e)
{
	struct err why = { 0 };
	const char *alias = id_alias(a, "admins", server_name);
	if (alias == NULL)
		return err_nomem(e);
	enum rc rc = hs_resolve_alias(hs, alias, a, ret_room_id, &why);
	if (is_no_room(rc, hs_failure(hs)))
		return err_set(e, RC_INVALID,
			"the homeserver at %s has no %s, so it is not %s: "
			"correct homeserver.url or homeserver.server_name (it "
			"said: %s)",
			hs->base, alias, server_name, why.text);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "%s", why.text);
}

enum rc hs_set_alias(
	struct hs *hs, const char *alias, const char *room_id, struct err *e)
{
	struct hs_call call = {
		.method = "PUT",
		.path = HS_CLIENT "/directory/room/%",
		.ids = { alias },
	};
	struct buf body;
	make_body(&body, (const char *[]){ "room_id", room_id, NULL });
	return hs_request_body(hs, call, &body, NULL, e);
}

enum rc hs_delete_alias(struct hs *hs, const char *alias, struct err *e)
{
	struct hs_call call = {
		.method = "DELETE",
		.path = HS_CLIENT "/directory/room/%",
		.ids = { alias },
	};
	return hs_request(hs, &call, NULL, e);
}

enum rc hs_invite(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, struct err *e)
{
	return post_room(hs, ROOM "/invite", as, room_id,
		(const char *[]){ "user_id", user_id, NULL }, e);
}

/* Of a room that it does not know Conduit says 500, and only in words that it
 * is not in trouble itself. */
static bool is_no_room_to_join(enum rc rc, const struct err *why)
{
	return rc == RC_REMOTE &&
		(strstr(why->text,
			 "No server available to assist in "
			 "joining") ||
			strstr(why->text, "Federation is disabled"));
}

enum rc hs_join(
	struct hs *hs, const char *as, const char *room_id, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = post_room(
		hs, ROOM "/join", as, room_id, (const char *[]){ NULL }, &why);
	if (is_no_room_to_join(rc, &why))
		rc = RC_NOT_FOUND;
	return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
}

enum rc hs_leave(
	struct hs *hs, const char *as, const char *room_id, struct err *e)
{
	return post_room(
		hs, ROOM "/leave", as, room_id, (const char *[]){ NULL }, e);
}

/* That there is nobody to kick is M_BAD_STATE for Conduit, and for Synapse of
 * one who is banned; of others it says so in words alone. */
static bool is_not_in(
	enum rc rc, const struct hs_failure *f, const struct err *why)
{
	return (rc == RC_REMOTE || rc == RC_FORBIDDEN) &&
		(text_eq(f->errcode, "M_BAD_STATE") ||
			strstr(why->text, "target user is not in the room"));
}

enum rc hs_kick(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, const char *reason, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = post_room(hs, ROOM "/kick", as, room_id,
		(const char *[]){ "user_id", user_id, "reason", reason, NULL },
		&why);
	if (is_not_in(rc, hs_failure(hs), &why))
		rc = RC_NOT_FOUND;
	return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
}

enum rc hs_unban(struct hs *hs, const char *as, const char *room_id,
	const char *user_id, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = post_room(hs, ROOM "/unban", as, room_id,
		(const char *[]){ "user_id", user_id, NULL }, &why);
	if (rc != RC_OK && text_eq(hs_failure(hs)->errcode, "M_BAD_STATE"))
		return RC_OK;
	return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
}

/* --- who is where ------------------------------------------------------ */

/* A growing list of ids. */
struct id_list {
	struct arena *a;
	struct hs_ids ids;
	size_t cap;
};

static bool add_id(struct id_list *l, const char *id)
{
	const char **place = arena_push(
		l->a, &l->ids.ids, &l->ids.n, &l->cap, sizeof(*l->ids.ids));
	if (place == NULL)
		return false;
	*place = arena_strdup(l->a, id);
	return *place != NULL;
}

static bool add_key(const char *key, struct js v, void *arg)
{
	(void)v;
	return add_id(arg, key);
}

enum rc hs_joined_rooms(struct hs *hs, const char *as, struct arena *a,
	struct hs_ids *ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/joined_rooms",
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct id_list l = { .a = a };
	struct js rooms = js_get(json_root(doc), "joined_rooms");
	if (js_type(rooms) != JS_ARR)
		rc = hs_bad_answer(hs, "list of joined_rooms", e);
	for (size_t i = 0; i < js_len(rooms) && rc == RC_OK; i++) {
		const char *id = js_str(js_at(rooms, i));
		if (id != NULL && !add_id(&l, id))
			rc = err_nomem(e);
	}
	if (rc == RC_OK)
		*ret = l.ids;
	json_free(doc);
	return rc;
}

enum rc hs_joined_members(struct hs *hs, const char *as, const char *room_id,
	struct arena *a, struct hs_ids *ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = ROOM "/joined_members",
		.ids = { room_id },
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct id_list l = { .a = a };
	struct js joined = js_get(json_root(doc), "joined");
	if (js_type(joined) != JS_OBJ)
		rc = hs_bad_answer(hs, "object of joined members", e);
	else if (!js_each(joined, add_key, &l))
		rc = err_nomem(e);
	else
		*ret = l.ids;
	json_free(doc);
	return rc;
}

/* --- state ------------------------------------------------------------- */

/* An empty key is left out of the path, with its slash. */
static const char *state_path(const char *key)
{
	return *key == '\0' ? ROOM "/state/%" : ROOM "/state/%/%";
}

static bool is_wanted(const char *type, const char *const *types)
{
	for (; types != NULL && *types != NULL; types++) {
		if (text_eq(type, *types))
			return true;
	}
	return types == NULL;
}

static bool is_state(struct js event)
{
	return js_get_str(event, "type") != NULL &&
		js_get_str(event, "state_key") != NULL &&
		js_get_str(event, "event_id") != NULL &&
		js_get_str(event, "sender") != NULL &&
		js_type(js_get(event, "content")) == JS_OBJ;
}

static bool add_state(struct arena *a, struct hs_state_events *all, size_t *cap,
	struct js event, struct buf *text)
{
	struct hs_state_event *s =
		arena_push(a, &all->items, &all->n, cap, sizeof(*s));
	buf_clear(text);
	js_write(js_get(event, "content"), text);
	if (s == NULL || buf_rc(text) != RC_OK)
		return false;
	s->type = hs_arena_str(a, event, "type");
	s->state_key = hs_arena_str(a, event, "state_key");
	s->event_id = hs_arena_str(a, event, "event_id");
	s->sender = hs_arena_str(a, event, "sender");
	s->content = arena_strndup(a, text->p, text->n);
	if (!js_get_i64(event, "origin_server_ts", &s->origin_ts))
		s->origin_ts = 0;
	return arena_ok(a);
}

enum rc hs_room_state(struct hs *hs, const char *as, const char *room_id,
	const char *const *types, struct arena *a, struct hs_state_events *ret,
	struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = ROOM "/state",
		.ids = { room_id },
		.as = as,
		.list = true,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;

	struct hs_state_events all = { 0 };
	size_t cap = 0;
	struct buf text;
	buf_init(&text, LIMIT_ANSWER);
	struct js events = json_root(doc);
	for (size_t i = 0; i < js_len(events) && rc == RC_OK; i++) {
		struct js event = js_at(events, i);
		if (is_state(event) &&
			is_wanted(js_get_str(event, "type"), types) &&
			!add_state(a, &all, &cap, event, &text))
			rc = err_nomem(e);
	}
	if (rc == RC_OK)
		*ret = all;
	buf_free(&text);
	json_free(doc);
	return rc;
}

enum rc hs_state(struct hs *hs, const char *as, const char *room_id,
	const char *type, const char *key, struct buf *ret, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = state_path(key),
		.ids = { room_id, type, key },
		.as = as,
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc == RC_OK)
		rc = hs_give_json(json_root(doc), ret, e);
	json_free(doc);
	return rc;
}

enum rc hs_set_state(struct hs *hs, const char *as, const char *room_id,
	const char *type, const char *key, const char *json, struct err *e)
{
	struct hs_call call = {
		.method = "PUT",
		.path = state_path(key),
		.ids = { room_id, type, key },
		.as = as,
		.body = json,
	};
	return hs_request(hs, &call, NULL, e);
}

enum rc hs_unlist_room(
	struct hs *hs, const char *room_id, bool *was, struct err *e)
{
	struct hs_call call = {
		.method = "GET",
		.path = HS_CLIENT "/directory/list/room/%",
		.ids = { room_id },
	};
	struct json *doc = NULL;
	enum rc rc = hs_request(hs, &call, &doc, e);
	if (rc != RC_OK)
		return rc;
	const char *now = js_get_str(json_root(doc), "visibility");
	const bool listed = text_eq(now, "public");
	json_free(doc);
	call.method = "PUT";
	call.body = "{\"visibility\":\"private\"}";
	if (listed)
		rc = hs_request(hs, &call, NULL, e);
	if (rc == RC_OK && was != NULL)
		*was = listed;
	return rc;
}

/* --- messages ---------------------------------------------------------- */

enum rc hs_send_text(struct hs *hs, const char *as, const char *room_id,
	const char *txn, const char *text, struct arena *a,
	const char **ret_event_id, struct err *e)
{
	struct hs_call call = {
		.method = "PUT",
		.path = ROOM "/send/m.room.message/%",
		.ids = { room_id, txn },
		.as = as,
	};
	struct buf body;
	struct json *doc = NULL;
	make_body(&body,
		(const char *[]){ "msgtype", "m.text", "body", text, NULL });
	enum rc rc = hs_request_body(hs, call, &body, &doc, e);
	if (rc != RC_OK)
		return rc;

	const char *id = js_get_str(json_root(doc), "event_id");
	const char *copy = arena_strdup(a, id);
	if (id == NULL)
		rc = hs_bad_answer(hs, "event_id", e);
	else if (copy == NULL)
		rc = err_nomem(e);
	else
		*ret_event_id = copy;
	json_free(doc);
	return rc;
}

enum rc hs_redact(struct hs *hs, const char *as, const char *room_id,
	const char *event_id, const char *txn, const char *reason,
	struct err *e)
{
	struct hs_call call = {
		.method = "PUT",
		.path = ROOM "/redact/%/%",
		.ids = { room_id, event_id, txn },
		.as = as,
	};
	struct buf body;
	make_body(&body, (const char *[]){ "reason", reason, NULL });
	return hs_request_body(hs, call, &body, NULL, e);
}

/* Text as people and bots write it; one that was redacted has no body. */
static bool is_text(struct js event)
{
	struct js content = js_get(event, "content");
	const char *msgtype = js_get_str(content, "msgtype");
	return text_eq(js_get_str(event, "type"), "m.room.message") &&
		(text_eq(msgtype, "m.text") || text_eq(msgtype, "m.notice")) &&
		js_get_str(content, "body") != NULL &&
		js_get_str(event, "event_id") != NULL &&
		js_get_str(event, "sender") != NULL;
}

static bool add_message(
	struct arena *a, struct hs_messages *all, size_t *cap, struct js event)
{
	struct hs_message *m =
		arena_push(a, &all->items, &all->n, cap, sizeof(*m));
	if (m == NULL)
		return false;
	m->event_id = hs_arena_str(a, event, "event_id");
	m->sender = hs_arena_str(a, event, "sender");
	m->body = hs_arena_str(a, js_get(event, "content"), "body");
	return m->event_id != NULL && m->sender != NULL && m->body != NULL;
}

enum rc hs_recent_messages(struct hs *hs, const char *room_id, const char *from,
	int limit, struct arena *a, struct hs_messages *ret, struct err *e)
{
	struct buf query;
	buf_init(&query, LIMIT_SMALL_BODY);
	buf_addf(&query, "dir=b&limit=%d", limit);
	if (from != NULL) {
		buf_add(&query, "&from=");
		buf_add_url(&query, from);
	}
	struct hs_call call = {
		.method = "GET",
		.path = ROOM "/messages",
		.ids = { room_id },
		.query = buf_str(&query),
	};
	struct json *doc = NULL;
	enum rc rc = buf_rc(&query) == RC_OK ? hs_request(hs, &call, &doc, e)
					     : err_nomem(e);
	buf_free(&query);
	if (rc != RC_OK)
		return rc;

	struct hs_messages all = { 0 };
	size_t cap = 0;
	struct js chunk = js_get(json_root(doc), "chunk");
	if (js_type(chunk) != JS_ARR)
		rc = hs_bad_answer(hs, "list of messages", e);
	for (size_t i = 0; i < js_len(chunk) && rc == RC_OK; i++) {
		struct js event = js_at(chunk, i);
		if (is_text(event) && !add_message(a, &all, &cap, event))
			rc = err_nomem(e);
	}
	if (rc == RC_OK && js_len(chunk) > 0)
		all.older = hs_arena_str(a, json_root(doc), "end");
	if (rc == RC_OK)
		*ret = all;
	json_free(doc);
	return rc;
}
