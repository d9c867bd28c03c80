/*
 * The body of a transaction, as far as it is only read: what is JSON, where its
 * events stand, and which of them can be used. Each event is read as it would
 * be alone, and as a document of it says.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"

#include "base/poison.h"

#define NOW 2000000000000
#define TWICE "events: found a second time"

/* What came of a body. */
struct outcome {
	struct str body;
	enum rc rc;
	bool not_json;
	size_t seen;
	const char *words;
};

static bool called_twice(const struct outcome *o)
{
	return o->rc == RC_INVALID && !o->not_json &&
		text_starts(o->words, TWICE);
}

/* Not to be read, though JSON: nested too deep, too many values. */
static bool is_limit(const struct err *e)
{
	return strstr(e->text, "found too many levels") ||
		strstr(e->text, "found more values");
}

static size_t count(struct str text, const char *word)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += str_starts((struct str){ text.p + i, text.n - i }, word);
	return n;
}

/* --- the body ------------------------------------------------------------- */

/* A copy in which no NUL is a reason to refuse it. */
static char *without_nul(struct str body)
{
	char *text = malloc(body.n ? body.n : 1);

	HOLDS(text);
	if (body.n)
		memcpy(text, body.p, body.n);
	json_replace_nul(text, body.n);
	return text;
}

/* All of it is JSON. */
static void check_json(
	const struct outcome *o, const char *text, struct js whole)
{
	struct js events = js_get(whole, "events");
	struct json_pick pick = { .path = "events" };

	HOLDS(!o->not_json);
	HOLDS(json_pick(text, o->body.n, &pick, 1, NULL) == RC_OK);
	HOLDS(called_twice(o) == pick.twice);
	HOLDS((o->rc == RC_OK) == (js_type(events) == JS_ARR && !pick.twice));
	HOLDS(o->rc != RC_OK || o->seen == js_len(events));
}

/* What is no JSON is called so, unless it is so in the events only: and these
 * are read, or there twice. */
static void check_whole(const struct outcome *o)
{
	char *text = without_nul(o->body);
	struct json *doc = NULL;
	struct err e = { 0 };

	if (json_parse_any(text, o->body.n, NULL, &doc, &e) == RC_OK) {
		check_json(o, text, json_root(doc));
	} else if (o->rc == RC_INVALID && !o->not_json && !is_limit(&e)) {
		if (!called_twice(o))
			fuzz_broken("called JSON", 0, e.text);
		HOLDS(count(o->body, "events") > 1 || count(o->body, "\\u"));
	}
	json_free(doc);
	free(text);
}

/* What is around the events is JSON. */
static void check_around(struct str body, struct str events)
{
	size_t before = (size_t)(events.p - body.p);
	size_t after = body.n - before - events.n;
	struct json *doc = NULL;
	struct buf around;
	struct err e = { 0 };

	buf_init(&around, 1 << 24);
	buf_addn(&around, body.p, before);
	buf_addn(&around, events.p + events.n, after);
	char *text = without_nul((struct str){ around.p, around.n });
	if (json_parse(text, around.n, NULL, &doc, &e) != RC_OK &&
		!is_limit(&e))
		fuzz_broken("around the events", 0, e.text);
	json_free(doc);
	free(text);
	buf_free(&around);
}

/* --- a body that can be used, changed ------------------------------------- */

#define CUTS 8

static enum rc read_again(struct str body, bool *not_json, struct err *e)
{
	struct batch b;

	enum rc rc = batch_read(&b, body, NOW, false, not_json, e);
	batch_free(&b);
	return rc;
}

/* One that was cut off is never taken for a whole one. */
static void check_cut(struct str body)
{
	size_t whole = body.n;

	while (body.p[whole - 1] != '}')
		whole--;
	size_t step = whole / CUTS + 1;
	for (size_t n = whole - 1; n > 0; n -= n < step ? n : step) {
		char *cut = malloc(n);
		bool not_json = false;
		HOLDS(cut);
		memcpy(cut, body.p, n);
		HOLDS(read_again((struct str){ cut, n }, &not_json, NULL) ==
			RC_INVALID);
		HOLDS(not_json);
		free(cut);
	}
}

/* With something before its first member. */
static void check_changed(struct str body)
{
	static const struct {
		const char *text;
		bool twice; /* else no JSON */
	} members[] = {
		{ "\"events\":0,", true },
		{ "\"events\":[{x}],", true },
		{ "\"\\u0065vents\":[],", true },
		{ "\"events\":[{]}],", false },
		{ "\"event\":[{x}],", false },
		{ "x,", false },
	};
	const char *open = memchr(body.p, '{', body.n);
	size_t before = (size_t)(open - body.p) + 1;
	size_t i = body.n % ARRAY_LEN(members);
	bool not_json = false;
	struct buf text;
	struct err e = { 0 };

	buf_init(&text, 1 << 24);
	buf_addn(&text, body.p, before);
	buf_add(&text, members[i].text);
	buf_addn(&text, body.p + before, body.n - before);
	struct str more = { text.p, text.n };
	HOLDS(read_again(more, &not_json, &e) == RC_INVALID);
	HOLDS(not_json == !members[i].twice);
	HOLDS(text_starts(e.text, TWICE) == members[i].twice);
	buf_free(&text);
}

/* --- one event ------------------------------------------------------------ */

static bool is_text(const char *s, size_t max)
{
	return s && strlen(s) <= max && utf8_valid(s, strlen(s), NULL);
}

static bool is_id(const char *s, char sigil)
{
	return is_text(s, 255) && s[0] == sigil && s[1];
}

static bool is_user(const char *s)
{
	return is_id(s, '@') && MATCHES("@[^:]*:(.|\n)+", s);
}

static bool is_membership(const char *s)
{
	return s && MATCHES("invite|join|leave|ban|knock", s);
}

static bool is_state(const char *type)
{
	return MATCHES("m[.]room[.](tombstone|canonical_alias|power_levels|"
		       "join_rules|name|create)",
		type);
}

/* A member's text. Half of a surrogate pair is U+FFFD in a document, and no
 * text. */
static const char *text_of(struct js v, const char *key)
{
	const char *s = js_get_str(v, key);

	return s && !strstr(s, "\xef\xbf\xbd") ? s : NULL;
}

/* It may have a U+FFFD of its own. */
static bool is_unclear(struct str event)
{
	return count(event, "\\uf") || count(event, "\\uF") ||
		count(event, "\xef\xbf\xbd");
}

enum outlook { IGNORED, USED, SET_ASIDE };

/* The members that all kinds need. */
static bool is_whole(struct js event)
{
	int64_t time;

	return js_type(js_get(event, "content")) == JS_OBJ &&
		is_id(text_of(event, "room_id"), '!') &&
		is_id(text_of(event, "event_id"), '$') &&
		is_user(text_of(event, "sender")) &&
		js_i64(js_get(event, "origin_server_ts"), -JSON_INT_MAX,
			JSON_INT_MAX, &time);
}

static const char *find_redacted(struct js event)
{
	struct js content = js_get(event, "content");

	return text_of(js_has(content, "redacts") ? content : event, "redacts");
}

/* What a document of it says; none: it cannot be read. */
static enum outlook expect(const struct json *doc)
{
	struct js event = json_root(doc);
	const char *type = text_of(event, "type");
	const char *key = js_get_str(event, "state_key");
	struct js content = js_get(event, "content");
	bool good = is_whole(event);

	if (!type)
		return SET_ASIDE;
	if (text_eq(type, "m.room.member")) {
		good &= is_user(text_of(event, "state_key")) &&
			is_membership(text_of(content, "membership"));
	} else if (text_eq(type, "m.room.redaction")) {
		good &= is_id(find_redacted(event), '$');
	} else {
		if (!is_state(type) || !js_has(event, "state_key"))
			return IGNORED;
		if (key && *key)
			return IGNORED;
		good &= key != NULL;
	}
	return good ? USED : SET_ASIDE;
}

static void compare(const struct batch_event *ev, struct js event)
{
	int64_t time = 0;
	struct buf content;

	HOLDS(js_get_i64(event, "origin_server_ts", &time));
	HOLDS(ev->origin_ts == (time < NOW ? time : NOW));
	HOLDS(text_eq(ev->type, js_get_str(event, "type")));
	HOLDS(text_eq(ev->room_id, js_get_str(event, "room_id")));
	HOLDS(text_eq(ev->event_id, js_get_str(event, "event_id")));
	if (ev->user_id)
		HOLDS(text_eq(ev->user_id, js_get_str(event, "state_key")));
	if (ev->membership)
		HOLDS(text_eq(ev->membership,
			js_get_str(js_get(event, "content"), "membership")));
	if (ev->redacts)
		HOLDS(text_eq(ev->redacts, find_redacted(event)));
	if (!ev->content)
		return;
	buf_init(&content, 65536);
	js_write(js_get(event, "content"), &content);
	HOLDS(text_eq(ev->content, buf_str(&content)));
	buf_free(&content);
}

/* A key that is there twice is for nobody to interpret. */
static void check_expected(const struct batch *b, struct str event)
{
	struct json *doc = NULL;
	struct err e = { 0 };

	enum rc rc = json_parse_unique(event.p, event.n, NULL, &doc, &e);
	if (is_unclear(event) || strstr(e.text, "a second time"))
		goto out;
	if (rc != RC_OK || expect(doc) == SET_ASIDE) {
		HOLDS(b->bad_seen == 1);
	} else {
		HOLDS(b->n == (expect(doc) == USED) && !b->bad_seen);
		if (b->n)
			compare(&b->events[0], json_root(doc));
	}
out:
	if (rc == RC_OK)
		json_free(doc);
}

struct alone {
	size_t seen, used, bad;
	struct sha256 digest;
	bool unsure;
};

/* The digest is of what the events are called; of one that is called nothing, of
 * its text. */
static void add_id(struct alone *a, struct str event)
{
	struct json *doc = NULL;
	const char *id = NULL;

	if (json_parse_any(event.p, event.n, NULL, &doc, NULL) == RC_OK)
		id = text_of(json_root(doc), "event_id");
	sha256_add(&a->digest, id ? id : event.p, id ? strlen(id) : event.n);
	sha256_add(&a->digest, "\n", 1);
	a->unsure |= is_unclear(event);
	json_free(doc);
}

/* One event of the body, in a body of its own. */
static void read_alone(struct alone *a, struct str event)
{
	struct buf body;
	struct batch b;
	struct err e = { 0 };
	bool not_json = false;

	buf_init(&body, 1 << 24);
	buf_add(&body, "{\"events\":[");
	buf_addn(&body, event.p, event.n);
	buf_add(&body, "]}");
	struct str text = { body.p, body.n };
	HOLDS(batch_read(&b, text, NOW, false, &not_json, &e) == RC_OK);
	HOLDS(b.seen == 1 && b.n + b.bad_seen <= 1);
	check_expected(&b, event);
	add_id(a, event);
	a->seen++;
	a->used += b.n;
	a->bad += b.bad_seen;
	batch_free(&b);
	buf_free(&body);
}

static void check_alone(struct str body, const struct batch *b)
{
	struct str events, event;
	struct extras extras = { 0 };
	struct alone a = { 0 };
	unsigned char digest[SHA256_LEN];
	bool not_json = false;

	HOLDS(split_begin(body, &events, &extras, &not_json, NULL) == RC_OK);
	check_around(body, events);
	sha256_begin(&a.digest);
	while (split_next(&events, &event)) {
		HOLDS(event.n > 0 && event.p >= body.p &&
			event.p + event.n < body.p + body.n);
		read_alone(&a, event);
	}
	HOLDS(sha256_end(&a.digest, digest));
	HOLDS(a.seen == b->seen && a.used == b->n && a.bad == b->bad_seen);
	HOLDS(a.unsure || !memcmp(digest, b->digest, sizeof(digest)));
}

/* --- all of them ---------------------------------------------------------- */

static void check_event(const struct batch_event *ev)
{
	HOLDS(is_id(ev->room_id, '!') && is_id(ev->event_id, '$'));
	HOLDS(ev->origin_ts <= NOW);
	HOLDS(!ev->membership == !ev->user_id);
	if (ev->membership)
		HOLDS(is_membership(ev->membership) && is_user(ev->user_id) &&
			!ev->content && !ev->redacts);
	else if (ev->redacts)
		HOLDS(is_id(ev->redacts, '$') && !ev->content);
	else
		HOLDS(is_state(ev->type) && is_text(ev->content, 65536) &&
			ev->content[0] == '{');
}

static void check_batch(const struct batch *b)
{
	HOLDS(b->n + b->bad_seen <= b->seen);
	HOLDS(b->n_bad == (b->bad_seen < 1000 ? b->bad_seen : 1000));
	for (size_t i = 0; i < b->n; i++)
		check_event(&b->events[i]);
	for (size_t i = 0; i < b->n_bad; i++) {
		HOLDS(b->bad[i].index >= 0);
		HOLDS((size_t)b->bad[i].index < b->seen);
		HOLDS(is_text(b->bad[i].bytes, 65536));
		HOLDS(fuzz_is_clean(b->bad[i].reason) && *b->bad[i].reason);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct outcome o = { .body = { (const char *)p, n } };
	struct batch b;
	struct err e = { 0 };

	o.rc = batch_read(&b, o.body, NOW, false, &o.not_json, &e);
	o.seen = b.seen;
	o.words = e.text;
	HOLDS(o.rc == RC_OK || o.rc == RC_INVALID);
	HOLDS(!o.not_json || o.rc == RC_INVALID);
	HOLDS(o.rc == RC_OK || fuzz_is_clean(e.text));
	check_whole(&o);
	if (o.rc == RC_OK) {
		check_batch(&b);
		check_alone(o.body, &b);
		check_cut(o.body);
		check_changed(o.body);
	}
	batch_free(&b);
	return 0;
}
