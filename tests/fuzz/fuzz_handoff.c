/*
 * The files of a hand-off, in a directory into which others can write. The
 * input is a matrix.json, an acknowledgement, a request, and a name.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "handoff/handoff.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

static void put(int dir, const char *name, const void *p, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	HOLDS(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

static bool is_value(const char *s)
{
	return s && *s && fuzz_is_clean(s);
}

static void check_handoff(const struct handoff *h)
{
	const char *token = secret_bytes(&h->access_token);

	HOLDS(h->generation > 0 && h->generation <= HANDOFF_GENERATION_MAX);
	HOLDS(h->issued_ms >= 0 && h->revoked_ms >= 0);
	HOLDS(is_value(h->user_id) && strlen(h->user_id) <= 255);
	HOLDS(is_value(h->device_id) && strlen(h->device_id) <= 255);
	HOLDS(is_value(h->homeserver));
	/* One or the other. */
	HOLDS(is_value(token) != (h->revoked_ms > 0));
}

static enum rc read_back(int dir, struct err *e)
{
	struct handoff h = { 0 };

	enum rc rc = handoff_look(dir, &h, e);
	if (rc == RC_OK)
		check_handoff(&h);
	else
		HOLDS(rc == RC_CORRUPT || rc == RC_VERSION ||
			rc == RC_TOO_LARGE);
	const enum rc want = rc == RC_OK && h.revoked_ms ? RC_REVOKED : rc;
	handoff_fini(&h);
	HOLDS(handoff_read(dir, &h, e) == want);
	handoff_fini(&h);
	return want;
}

/* Copies a member but for the digest. */
static bool copy_member(const char *key, struct js v, void *arg)
{
	if (!text_eq(key, "sha256"))
		jb_js(arg, key, v);
	return true;
}

/* The same with the digest that its fields have. */
static void check_signed(int dir, struct js file)
{
	static const char *const keys[] = { "user_id", "device_id",
		"homeserver", "access_token" };
	const bool grave = js_has(file, "revoked_ms");
	struct buf values, text;
	struct jb b;
	struct err e = { 0 };
	char sum[SHA256_HEX];
	int64_t generation = 0, revoked_ms = 0;

	buf_init(&values, 1 << 20);
	js_get_i64(file, "generation", &generation);
	buf_addf(&values, "%" PRId64 "\n", generation);
	for (size_t i = 0; i < ARRAY_LEN(keys) - grave; i++) {
		const char *v = js_get_str(file, keys[i]);
		buf_add(&values, v ? v : "");
		buf_addc(&values, '\n');
	}
	js_get_i64(file, "revoked_ms", &revoked_ms);
	if (grave)
		buf_addf(&values, "%" PRId64 "\n", revoked_ms);
	HOLDS(sha256_hex(values.p, values.n, sum));
	buf_init(&text, 1 << 20);
	jb_init(&b, &text);
	jb_obj(&b, NULL);
	js_each(file, copy_member, &b);
	jb_str(&b, "sha256", sum);
	jb_end_obj(&b);
	put(dir, HANDOFF_FILE, text.p, text.n);
	if (read_back(dir, &e))
		HOLDS(!strstr(e.text, "damaged"));
	buf_free(&values);
	buf_free(&text);
}

static void check_ack(int dir, const char *p, size_t n)
{
	struct handoff_ack ack;
	struct err e = { 0 };
	int64_t newest = 0;

	put(dir, "ack.7.json", p, n);
	enum rc rc = handoff_ack_read(dir, 7, &ack, &e);
	HOLDS(rc == RC_OK || rc == RC_CORRUPT || rc == RC_TOO_LARGE);
	if (rc == RC_OK)
		HOLDS(ack.generation == 7 && ack.at_ms >= 0 &&
			is_value(ack.user_id) && is_value(ack.device_id) &&
			is_value(ack.agent));
	HOLDS(handoff_newest(dir, 1, &newest, &e) == RC_OK && newest == 7);
}

static void check_request(int dir, const char *p, size_t n)
{
	struct handoff_request q;
	struct err e = { 0 };
	int64_t newest = -1;

	put(dir, "rotate.7.json", p, n);
	enum rc rc = handoff_request_read(dir, 7, &q, &e);
	HOLDS(rc == RC_OK || rc == RC_CORRUPT || rc == RC_TOO_LARGE);
	HOLDS(handoff_request_newest(dir, 1, &newest, NULL) == RC_OK);
	HOLDS(newest == (rc == RC_OK ? 7 : 0));
	if (rc == RC_OK)
		HOLDS(q.generation == 7 && q.wait_ms > 0 &&
			q.wait_ms <= 600000 && strlen(q.why) <= 200 &&
			fuzz_is_clean(q.why));
	else
		HOLDS(fuzz_is_clean(e.text));
}

static void check_name(const char *name)
{
	struct str kind;
	int64_t generation = handoff_name_generation(str_of(name), &kind);
	char again[64];

	HOLDS((generation > 0) ==
		(MATCHES("(ack|rotate|paused)\\.[1-9][0-9]{0,15}\\.json",
			 name) &&
			strtoll(strchr(name, '.') + 1, NULL, 10) <=
				JSON_INT_MAX));
	if (generation <= 0)
		return;
	snprintf(again, sizeof(again), "%.*s.%" PRId64 ".json", (int)kind.n,
		kind.p, generation);
	HOLDS(!strcmp(again, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int dir = -1;
	struct json *doc = NULL;
	struct err e = { 0 };
	char *text = fuzz_text(p, n);

	if (dir < 0)
		dir = open(fuzz_dir(), O_RDONLY | O_DIRECTORY);
	HOLDS(dir >= 0);
	put(dir, HANDOFF_FILE, p, n);
	if (read_back(dir, &e))
		HOLDS(fuzz_is_clean(e.text));
	if (json_parse((const char *)p, n, NULL, &doc, NULL) == RC_OK)
		check_signed(dir, json_root(doc));
	json_free(doc);
	check_ack(dir, (const char *)p, n);
	check_request(dir, (const char *)p, n);
	check_name(text);
	free(text);
	return 0;
}
