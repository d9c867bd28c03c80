/*
 * The body of a transaction, as far as it is only read: what is JSON, where its
 * events stand, and which of them can be used. Each event is read as it would
 * be alone.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"

#include "base/poison.h"

#define NOW 2000000000000

/* Not to be read, though JSON: nested too deep, a NUL, too many values. */
static bool is_limit(const struct err *e)
{
	return strstr(e->text, "found too many levels") ||
		strstr(e->text, "found \\u0000") ||
		strstr(e->text, "found more values");
}

/* What a parser of the whole body says, as far as it can. */
static void check_whole(struct str body, enum rc rc, bool not_json, size_t seen)
{
	struct json *doc = NULL;
	struct err e = { 0 };

	if (json_parse_any(body.p, body.n, NULL, &doc, &e) != RC_OK) {
		/* Refused, but as JSON of another kind. What is in the events
		 * is not looked at before. */
		if (rc != RC_OK && !not_json && !is_limit(&e) &&
			!strstr(body.p, "events"))
			fuzz_broken("called JSON", 0, e.text);
		return;
	}
	struct js events = js_get(json_root(doc), "events");
	struct json_pick twice = { .path = "events" };
	HOLDS(json_pick(body.p, body.n, &twice, 1, NULL) == RC_OK);
	HOLDS(!not_json);
	HOLDS((rc == RC_OK) ==
		(js_type(events) == JS_ARR && !twice.twice));
	HOLDS(rc != RC_OK || seen == js_len(events));
	json_free(doc);
}

/* What is around the events is JSON. */
static void check_around(struct str body, struct str events)
{
	size_t before = (size_t)(events.p - body.p);
	size_t after = body.n - before - events.n;
	char *text = malloc(before + after);
	struct json *doc = NULL;
	struct err e = { 0 };

	HOLDS(text);
	memcpy(text, body.p, before);
	memcpy(text + before, events.p + events.n, after);
	if (json_parse(text, before + after, NULL, &doc, &e) != RC_OK &&
		!is_limit(&e))
		fuzz_broken("around the events", 0, e.text);
	json_free(doc);
	free(text);
}

/* One event of the body, in a body of its own. */
static void read_alone(struct str event, size_t *good, size_t *bad)
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
	HOLDS(batch_read(&b, text, NOW, &not_json, &e) == RC_OK);
	HOLDS(b.seen == 1 && b.n + b.bad_seen <= 1);
	*good += b.n;
	*bad += b.bad_seen;
	batch_free(&b);
	buf_free(&body);
}

static void check_alone(struct str body, const struct batch *b)
{
	struct str events, event;
	struct extras extras = { 0 };
	bool not_json = false;
	size_t n = 0, good = 0, bad = 0;

	HOLDS(split_begin(body, &events, &extras, &not_json, NULL) == RC_OK);
	check_around(body, events);
	for (; split_next(&events, &event); n++) {
		HOLDS(event.n > 0 && event.p >= body.p &&
			event.p + event.n < body.p + body.n);
		read_alone(event, &good, &bad);
	}
	HOLDS(n == b->seen && good == b->n && bad == b->bad_seen);
}

static bool is_text(const char *s, size_t max)
{
	return s && strlen(s) <= max && utf8_valid(s, strlen(s), NULL);
}

static void check_event(const struct batch_event *ev)
{
	HOLDS(is_text(ev->room_id, 255) && ev->room_id[0] == '!');
	HOLDS(is_text(ev->event_id, 255) && ev->event_id[0] == '$');
	HOLDS(ev->origin_ts <= NOW);
	HOLDS(!ev->membership == !ev->user_id);
	if (ev->membership) {
		HOLDS(MATCHES("invite|join|leave|ban|knock", ev->membership));
		HOLDS(is_text(ev->user_id, 255));
		HOLDS(MATCHES("@[^:]*:(.|\n)+", ev->user_id));
	} else {
		HOLDS(MATCHES("m[.]room[.][a-z_]+", ev->type));
		HOLDS(is_text(ev->content, 65536) && ev->content[0] == '{');
	}
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
	struct str body = { (const char *)p, n };
	struct batch b;
	struct err e = { 0 };
	bool not_json = false;

	enum rc rc = batch_read(&b, body, NOW, &not_json, &e);
	HOLDS(rc == RC_OK || rc == RC_INVALID);
	HOLDS(!not_json || rc == RC_INVALID);
	HOLDS(rc == RC_OK || fuzz_is_clean(e.text));
	check_whole(body, rc, not_json, b.seen);
	if (rc == RC_OK) {
		check_batch(&b);
		check_alone(body, &b);
	}
	batch_free(&b);
	return 0;
}
