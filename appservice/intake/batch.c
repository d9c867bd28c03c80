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

/* So much may a clock be ahead of ours. */
#define AHEAD_MS ((int64_t)3600000)

/* What is done with an event. */
enum interest {
	MEMBER,    /* who is in a room */
	STATE,     /* the room's state of this type, with an empty state key */
	REDACTION, /* takes away what one of those says */
	MESSAGE,   /* who writes to whom, where that is asked for */
};

/* The events that matter; of all others only the type is looked at. */
static const struct interesting {
	const char *type;
	enum interest interest;
} interesting[] = {
	{ "m.room.member", MEMBER },
	{ "m.room.message", MESSAGE },
	{ "m.room.tombstone", STATE },
	{ "m.room.canonical_alias", STATE },
	{ "m.room.power_levels", STATE },
	{ "m.room.join_rules", STATE },
	{ "m.room.redaction", REDACTION },
	{ "m.room.name", STATE },
	{ "m.room.create", STATE },
	{ "m.room.topic", STATE },
	{ "m.room.history_visibility", STATE },
	{ "m.room.encryption", STATE },
};

static const char *const memberships[] = {
	"invite",
	"join",
	"leave",
	"ban",
	"knock",
};

/* What is read of an event, all in one pass. */
enum field {
	ALL,
	TYPE,
	EVENT_ID,
	ROOM_ID,
	SENDER,
	STATE_KEY,
	TIME,
	CONTENT,
	MEMBERSHIP,
	REDACTS_NOW,
	REDACTS_THEN,
	FIELDS
};
static const struct json_pick fields[FIELDS] = {
	[ALL] = { .path = "" },
	[TYPE] = { .path = "type" },
	[EVENT_ID] = { .path = "event_id" },
	[ROOM_ID] = { .path = "room_id" },
	[SENDER] = { .path = "sender" },
	[STATE_KEY] = { .path = "state_key" },
	[TIME] = { .path = "origin_server_ts" },
	[CONTENT] = { .path = "content" },
	[MEMBERSHIP] = { .path = "content.membership" },
	/* Room versions from 11 on, and before. */
	[REDACTS_NOW] = { .path = "content.redacts" },
	[REDACTS_THEN] = { .path = "redacts" },
};

/* One event while it is read. The first thing wrong is the reason; NULL also
 * when there was no memory for it, which the arena knows. */
struct reading {
	struct arena *arena;
	struct json_pick field[FIELDS];
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

/* "nothing", or the type that it has instead. */
static const char *found(const struct json_pick *p)
{
	return p->found ? js_type_name(p->type) : "nothing";
}

/* What a parser reads one way and the next another way is not guessed at. */
static bool once(struct reading *r, const struct json_pick *p)
{
	if (p->twice)
		wrong(r, "%s: found a second time in its object", p->path);
	return !p->twice;
}

static const char *need_str(struct reading *r, enum field f)
{
	const struct json_pick *p = &r->field[f];

	if (!once(r, p))
		return NULL;
	const char *s = json_pick_str(p, r->arena);
	if (!s && p->found && p->type == JS_STR)
		wrong(r, "%s: half of a surrogate pair is no character",
			p->path);
	else if (!s)
		wrong(r, "%s: expected a string, found %s", p->path, found(p));
	return s;
}

/* An identifier; NULL when it is none. */
static const char *need_id(struct reading *r, enum field f, char sigil)
{
	const char *s = need_str(r, f);

	if (!s)
		return NULL;
	if (s[0] == sigil && s[1] && strlen(s) <= LIMIT_ID)
		return s;
	wrong(r, "%s: expected an identifier: %c and more, at most %d bytes",
		r->field[f].path, sigil, LIMIT_ID);
	return NULL;
}

static const char *need_user(struct reading *r, enum field f)
{
	struct str localpart, server;
	const char *s = need_id(r, f, '@');

	if (s && !id_split(s, '@', &localpart, &server))
		wrong(r, "%s: expected a user id, @localpart:server",
			r->field[f].path);
	return s;
}

static void read_membership(struct reading *r, struct batch_event *ev)
{
	ev->user_id = need_user(r, STATE_KEY);
	const char *word = need_str(r, MEMBERSHIP);
	for (size_t i = 0; i < ARRAY_LEN(memberships); i++)
		if (text_eq(memberships[i], word))
			ev->membership = memberships[i];
	if (!ev->membership)
		wrong(r,
			"content.membership: expected invite, join, leave, ban "
			"or knock");
}

/* As compact JSON, so that two spellings of the same are equal. */
static void read_content(struct reading *r, struct batch *b, const char **ret)
{
	struct str text = r->field[CONTENT].text;
	struct json *doc = NULL;
	struct err why = { 0 };

	if (text.n > LIMIT_CONTENT_TEXT) {
		wrong(r, "content: over %zu bytes", LIMIT_CONTENT_TEXT);
		return;
	}
	enum rc rc = json_parse_unique(text.p, text.n, "content", &doc, &why);
	if (rc == RC_NOMEM)
		r->arena->failed = true;
	else if (rc)
		wrong(r, "%s", why.text);
	buf_clear(&b->content);
	js_write(json_root(doc), &b->content);
	json_free(doc);
	if (buf_rc(&b->content) == RC_TOO_LARGE)
		wrong(r, "content: over %zu bytes", b->content.max);
	*ret = arena_strdup(r->arena, buf_str(&b->content));
}

static void read_redaction(struct reading *r, struct batch_event *ev)
{
	bool now = r->field[REDACTS_NOW].found;

	ev->redacts = need_id(r, now ? REDACTS_NOW : REDACTS_THEN, '$');
}

/*
 * Events are ordered by the clocks of their servers, which may be ahead of
 * ours. But a time far in the future would win over everything that comes after
 * it, and anybody's server may choose it: what has arrived has happened.
 */
static int64_t happened_ms(int64_t origin_ts, int64_t now_ms)
{
	return origin_ts > now_ms + AHEAD_MS ? now_ms : origin_ts;
}

/* What all kinds have in common, then the rest. */
static struct batch_event read_wanted(
	struct reading *r, struct batch *b, const struct interesting *what)
{
	const struct json_pick *content = &r->field[CONTENT];
	struct batch_event ev = { .type = what->type };
	int64_t origin_ts = 0;

	if (once(r, content) && content->type != JS_OBJ)
		wrong(r, "content: expected an object, found %s",
			found(content));
	ev.room_id = need_id(r, ROOM_ID, '!');
	ev.event_id = need_id(r, EVENT_ID, '$');
	ev.sender = need_user(r, SENDER);
	if (once(r, &r->field[TIME]) &&
		!json_pick_i64(&r->field[TIME], &origin_ts))
		wrong(r,
			"origin_server_ts: expected milliseconds since 1970, "
			"found %s",
			found(&r->field[TIME]));
	ev.origin_ts = happened_ms(origin_ts, b->now_ms);
	if (what->interest == MEMBER)
		read_membership(r, &ev);
	else if (what->interest == REDACTION)
		read_redaction(r, &ev);
	else if (!r->bad)
		read_content(r, b, &ev.content);
	return ev;
}

static const struct interesting *find_interesting(struct reading *r)
{
	struct str type = r->field[TYPE].text;

	/* Few need the copy that one with escapes does. */
	if (memchr(type.p, '\\', type.n))
		type = str_of(need_str(r, TYPE));
	for (size_t i = 0; i < ARRAY_LEN(interesting); i++)
		if (str_eq(type, interesting[i].type))
			return &interesting[i];
	return NULL;
}

/* State is what has a state key, whatever its type. A member event without one
 * is nothing at all. */
static bool matters(struct reading *r, const struct interesting *what)
{
	const struct json_pick *key = &r->field[STATE_KEY];

	if (what->interest != STATE)
		return true;
	if (!key->found || !once(r, key))
		return false;
	if (key->type != JS_STR)
		wrong(r, "state_key: expected a string, found %s", found(key));
	return key->type == JS_STR && key->text.n == 0;
}

static void add(struct reading *r, struct batch *b, struct batch_event ev)
{
	struct batch_event *place = arena_push(
		r->arena, &b->events, &b->n, &b->cap, sizeof(*b->events));
	if (place)
		*place = ev;
}

/* One that mentions nobody, or is not as it should be, is nothing to us. */
static void read_message(struct reading *r, struct batch *b)
{
	const struct json_pick *content = &r->field[CONTENT],
			       *sender = &r->field[SENDER];
	struct batch_event ev = { .type = "m.room.message" };

	if (content->twice || content->type != JS_OBJ || sender->twice)
		return;
	mentions_read(content->text, r->arena, &ev.mentions, &ev.n_mentions);
	if (ev.n_mentions == 0)
		return;
	ev.sender = json_pick_str(sender, r->arena);
	ev.room_id = json_pick_str(&r->field[ROOM_ID], r->arena);
	if (ev.sender && ev.room_id)
		add(r, b, ev);
}

static void read_event(struct reading *r, struct batch *b)
{
	const struct json_pick *all = &r->field[ALL], *type = &r->field[TYPE];

	if (all->type != JS_OBJ) {
		wrong(r, "expected an object, found %s",
			js_type_name(all->type));
		return;
	}
	if (!once(r, type))
		return;
	if (!type->found || type->type != JS_STR) {
		wrong(r, "type: expected a string, found %s", found(type));
		return;
	}
	const struct interesting *what = find_interesting(r);
	if (!what || !matters(r, what))
		return;
	if (what->interest == MESSAGE) {
		if (b->mentions)
			read_message(r, b);
		return;
	}
	struct batch_event ev = read_wanted(r, b, what);
	if (!r->bad)
		add(r, b, ev);
}

/* Bytes that are no text become a question mark each. */
const char *batch_excerpt(struct arena *a, struct str text, bool *partial)
{
	size_t n = text.n < LIMIT_EVENT ? text.n : LIMIT_EVENT;
	char *out = arena_strndup(a, text.p, n);

	*partial = n < text.n;
	for (size_t i = 0; out && i < n;) {
		uint32_t cp;
		size_t length = utf8_next(out + i, n - i, &cp);
		if (!length || !cp) {
			*partial = true;
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
		.reason = reason,
	};
	bad->bytes = batch_excerpt(&b->arena, text, &bad->partial);
}

/* An event without an id is known by all of its text. */
static void add_to_digest(struct batch *b, struct sha256 *digest,
	const struct json_pick *id, struct str text)
{
	const char *s = json_pick_str(id, &b->arena);

	if (s)
		text = str_of(s);
	sha256_add(digest, text.p, text.n);
	sha256_add(digest, "\n", 1);
}

static enum rc add_event(
	struct batch *b, struct sha256 *digest, struct str text, struct err *e)
{
	struct reading r = { .arena = &b->arena };
	struct err why = { 0 };

	memcpy(r.field, fields, sizeof(fields));
	enum rc rc = json_pick(text.p, text.n, r.field, FIELDS, &why);
	if (rc == RC_NOMEM)
		return err_nomem(e);
	if (rc) {
		wrong(&r, "%s", why.text);
		r.field[EVENT_ID].found = false;
	} else {
		read_event(&r, b);
	}
	add_to_digest(b, digest, &r.field[EVENT_ID], text);
	if (r.bad)
		set_aside(b, text, r.reason);
	b->seen++;
	if (!arena_ok(&b->arena) || buf_rc(&b->content) == RC_NOMEM)
		return err_nomem(e);
	return RC_OK;
}

enum rc batch_read(struct batch *b, struct str body, int64_t now_ms,
	bool mentions, bool *not_json, struct err *e)
{
	struct str events, text;
	struct sha256 digest;

	*b = (struct batch){ .now_ms = now_ms, .mentions = mentions };
	buf_init(&b->content, LIMIT_EVENT);
	enum rc rc = split_begin(body, &events, &b->extras, not_json, e);
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
