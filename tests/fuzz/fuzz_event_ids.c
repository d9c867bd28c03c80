/*
 * Room, user and event ids as they come in an event: they may be historical,
 * but must have their sigil and at most 255 bytes. The input has one in each
 * line.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/json.h"
#include "matrix/id.h"

#include "base/poison.h"

static void write_event(struct buf *out, char *const ids[3])
{
	struct jb b;

	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_arr(&b, "events");
	jb_obj(&b, NULL);
	jb_str(&b, "type", "m.room.member");
	jb_str(&b, "room_id", ids[0]);
	jb_str(&b, "sender", "@s:hs");
	jb_str(&b, "state_key", ids[1]);
	jb_str(&b, "event_id", ids[2]);
	jb_int(&b, "origin_server_ts", 1);
	jb_obj(&b, "content");
	jb_str(&b, "membership", "join");
	jb_end_obj(&b);
	jb_end_obj(&b);
	jb_end_arr(&b);
	jb_end_obj(&b);
	HOLDS(buf_rc(out) == RC_OK);
}

static bool is_id(const char *id, char sigil)
{
	return id[0] == sigil && id[1] && strlen(id) <= 255;
}

static bool is_user(const char *id)
{
	const char *colon = strchr(id, ':');

	return is_id(id, '@') && colon && colon[1];
}

static void check(char *const ids[3])
{
	struct batch b;
	struct buf body;
	struct err e = { 0 };
	bool not_json = false;
	bool good = is_id(ids[0], '!') && is_user(ids[1]) && is_id(ids[2], '$');

	HOLDS(id_room_ok(ids[0]) == (ids[0][0] == '!' && ids[0][1]));
	buf_init(&body, 1 << 20);
	write_event(&body, ids);
	struct str text = { body.p, body.n };
	HOLDS(batch_read(&b, text, 1, false, &not_json, &e) == RC_OK);
	HOLDS(b.seen == 1 && b.n == good && b.bad_seen == !good);
	if (good) {
		HOLDS(text_eq(b.events[0].room_id, ids[0]));
		HOLDS(text_eq(b.events[0].user_id, ids[1]));
		HOLDS(text_eq(b.events[0].event_id, ids[2]));
	}
	batch_free(&b);
	buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);
	struct str rest = str_of(text);
	struct arena a = { 0 };
	char *ids[3];

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct str line = fuzz_line(&rest);
		ids[i] = arena_strndup(&a, line.p, line.n);
	}
	/* Else the writer puts other characters in their place. */
	if (utf8_valid(text, strlen(text), NULL))
		check(ids);
	arena_free(&a);
	free(text);
	return 0;
}
