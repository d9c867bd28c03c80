/*
 * Reads the events of a transaction into what the store is told. Only
 * memberships and a few kinds of room state matter to us; of everything else
 * only the type is looked at. One bad event is set aside with the reason: a
 * homeserver that is refused a batch sends it for ever.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"
#include "base/limits.h"
#include "matrix/id.h"

#include "base/poison.h"

/* The state of a room that the plan looks at, all with an empty state key. */
static const char *const state_types[] = {
	"m.room.name",
	"m.room.power_levels",
	"m.room.create",
	"m.room.join_rules",
	"m.room.canonical_alias",
	"m.room.tombstone",
};

static const char *const memberships[] = {
	"invite",
	"join",
	"leave",
	"ban",
	"knock",
};

static const char *find(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (text_eq(words[i], word))
			return words[i];
	return NULL;
}

/* One event while it is read. The first thing wrong is the reason; NULL also
 * when there was no memory for it, which the arena knows. */
struct reading {
	struct arena *arena;
	struct js event;
	bool bad;
	const char *reason;
};

PRINTF_LIKE(2, 3)
static void wrong(struct reading *r, const char *format, ...)
{
	char text[512];
	va_list args;

	if (r->bad)
		return;
	r->bad = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r->reason = arena_strdup(r->arena, text);
}

/* "missing", or the type that it has instead. */
static const char *found(struct js object, const char *key)
{
	if (!js_has(object, key))
		return "nothing";
	return js_type_name(js_type(js_get(object, key)));
}

static const char *need_str(
	struct reading *r, struct js object, const char *key)
{
	const char *s = js_get_str(object, key);

	if (!s)
		wrong(r, "%s: expected a string, found %s", key,
			found(object, key));
	return s;
}

/* An identifier, copied; NULL when it is none. */
static const char *need_id(struct reading *r, const char *key, char sigil)
{
	const char *s = need_str(r, r->event, key);

	if (!s)
		return NULL;
	if (s[0] != sigil || !s[1] || strlen(s) > LIMIT_ID) {
		wrong(r,
			"%s: expected an identifier: %c and more, at most %d "
			"bytes",
			key, sigil, LIMIT_ID);
		return NULL;
	}
	return arena_strdup(r->arena, s);
}

static void read_membership(struct reading *r, struct batch_event *ev)
{
	struct str localpart, server;

	ev->user_id = need_id(r, "state_key", '@');
	if (ev->user_id && !id_split(ev->user_id, '@', &localpart, &server))
		wrong(r, "state_key: expected a user id, @localpart:server");
	const char *word =
		need_str(r, js_get(r->event, "content"), "membership");
	ev->membership = find(memberships, ARRAY_LEN(memberships), word);
	if (!ev->membership)
		wrong(r,
			"membership: expected invite, join, leave, ban or "
			"knock");
}

static void read_state(
	struct reading *r, struct buf *scratch, struct batch_event *ev)
{
	buf_clear(scratch);
	js_write(js_get(r->event, "content"), scratch);
	if (buf_rc(scratch) == RC_TOO_LARGE)
		wrong(r, "content: over %zu bytes", scratch->max);
	ev->content = arena_strdup(r->arena, buf_str(scratch));
}

/*
 * A time in the future would win over everything that comes after it, and the
 * room's other servers choose it: what has arrived has happened.
 */
static int64_t happened_ms(int64_t origin_ts, int64_t now_ms)
{
	return origin_ts > now_ms ? now_ms : origin_ts;
}

/* What memberships and state have in common, then the rest. */
static struct batch_event read_wanted(
	struct reading *r, struct batch *b, const char *type, bool member)
{
	struct batch_event ev = { .type = type };
	int64_t origin_ts = 0;

	if (js_type(js_get(r->event, "content")) != JS_OBJ)
		wrong(r, "content: expected an object, found %s",
			found(r->event, "content"));
	ev.room_id = need_id(r, "room_id", '!');
	ev.event_id = need_id(r, "event_id", '$');
	if (!js_get_i64(r->event, "origin_server_ts", &origin_ts))
		wrong(r,
			"origin_server_ts: expected milliseconds since 1970, "
			"found %s",
			found(r->event, "origin_server_ts"));
	ev.origin_ts = happened_ms(origin_ts, b->now_ms);
	if (member)
		read_membership(r, &ev);
	else
		read_state(r, &b->content, &ev);
	return ev;
}

/* State is what has a state key, whatever its type. */
static void read_event(struct reading *r, struct batch *b)
{
	if (js_type(r->event) != JS_OBJ) {
		wrong(r, "expected an object, found %s",
			js_type_name(js_type(r->event)));
		return;
	}
	const char *type = need_str(r, r->event, "type");
	if (!type || !js_has(r->event, "state_key"))
		return;
	bool member = text_eq(type, "m.room.member");
	const char *state = find(state_types, ARRAY_LEN(state_types), type);
	if (!member && !state)
		return;
	const char *key = need_str(r, r->event, "state_key");
	if (!member && (!key || *key))
		return;
	struct batch_event ev = read_wanted(r, b, state, member);
	if (r->bad)
		return;
	struct batch_event *place = arena_push(
		r->arena, &b->events, &b->n, &b->cap, sizeof(*b->events));
	if (place)
		*place = ev;
}

/* Bytes that are no text become a question mark each. */
const char *batch_excerpt(struct arena *a, struct str text)
{
	size_t n = text.n < LIMIT_EVENT ? text.n : LIMIT_EVENT;
	char *out = arena_strndup(a, text.p, n);

	for (size_t i = 0; out && i < n;) {
		uint32_t cp;
		size_t length = utf8_next(out + i, n - i, &cp);
		if (!length || !cp) {
			out[i] = '?';
			length = 1;
		}
		i += length;
	}
	return out;
}

static void set_aside(struct batch *b, struct str text, const char *reason)
{
	b->bad_seen++;
	if (b->n_bad == LIMIT_QUARANTINE)
		return;
	struct batch_bad *bad = arena_push(
		&b->arena, &b->bad, &b->n_bad, &b->bad_cap, sizeof(*b->bad));
	if (!bad)
		return;
	*bad = (struct batch_bad){
		.index = (int64_t)b->seen,
		.bytes = batch_excerpt(&b->arena, text),
		.reason = reason,
	};
}

static void add_to_digest(struct sha256 *digest, const char *event_id)
{
	const char *id = event_id ? event_id : "?";

	sha256_add(digest, id, strlen(id));
	sha256_add(digest, "\n", 1);
}

static enum rc add_event(
	struct batch *b, struct sha256 *digest, struct str text, struct err *e)
{
	struct reading r = { .arena = &b->arena };
	struct json *doc = NULL;
	struct err why = { 0 };

	enum rc rc = json_parse_any(text.p, text.n, NULL, &doc, &why);
	if (rc == RC_NOMEM)
		return err_nomem(e);
	if (rc == RC_OK) {
		r.event = json_root(doc);
		read_event(&r, b);
		add_to_digest(digest, js_get_str(r.event, "event_id"));
	} else {
		wrong(&r, "%s", why.text);
		add_to_digest(digest, NULL);
	}
	if (r.bad)
		set_aside(b, text, r.reason);
	b->seen++;
	json_free(doc);
	if (!arena_ok(&b->arena) || buf_rc(&b->content) == RC_NOMEM)
		return err_nomem(e);
	return RC_OK;
}

enum rc batch_read(struct batch *b, struct str body, int64_t now_ms,
	bool *not_json, struct err *e)
{
	struct str events, text;
	struct sha256 digest;

	*b = (struct batch){ .now_ms = now_ms };
	buf_init(&b->content, LIMIT_EVENT);
	enum rc rc = split_begin(body, &events, not_json, e);
	if (rc)
		return rc;
	sha256_begin(&digest);
	while (!rc && split_next(&events, &text)) {
		if (b->seen == LIMIT_EVENTS)
			rc = err_set(e, RC_INVALID, "events: more than %d",
				LIMIT_EVENTS);
		else
			rc = add_event(b, &digest, text, e);
	}
	if (!sha256_end(&digest, b->digest) && !rc)
		rc = err_nomem(e);
	return rc;
}

void batch_free(struct batch *b)
{
	buf_free(&b->content);
	arena_free(&b->arena);
}
