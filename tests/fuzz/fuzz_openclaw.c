/*
 * What OpenClaw's configuration goes through: JSON that is read as JSON5 is the
 * same; what was written as JSON is so again; laid over each other, whoever has
 * changed nothing gets what the other has; edits are made and nothing else.
 *
 * The input is three documents, a line each: what there was, what the fleet
 * has now, what the agent has.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"

#include "base/poison.h"

/* A document of JSON5; NULL when it is none. */
static struct json *read(struct str text)
{
	struct json *doc = NULL, *again = NULL;
	struct buf plain, twice;

	buf_init(&plain, 8 * text.n + 64);
	json5_to_json(text.p, text.n, &plain);
	HOLDS(buf_rc(&plain) == RC_OK);
	if (json_parse_any(buf_str(&plain), plain.n, NULL, &doc, NULL) != RC_OK)
		goto out;
	buf_init(&twice, 8 * plain.n + 64);
	json5_to_json(buf_str(&plain), plain.n, &twice);
	HOLDS(json_parse_any(buf_str(&twice), twice.n, NULL, &again, NULL) ==
		RC_OK);
	HOLDS(merge_same(json_root(doc), json_root(again)));
	json_free(again);
	buf_free(&twice);
out:
	buf_free(&plain);
	return doc;
}

static void check_json(struct str text)
{
	struct json *strict = NULL, *doc = read(text);

	if (json_parse_any(text.p, text.n, NULL, &strict, NULL) == RC_OK) {
		HOLDS(doc);
		HOLDS(merge_same(json_root(strict), json_root(doc)));
	}
	json_free(strict);
	json_free(doc);
}

static void merges_to(
	struct js base, struct js seed, struct js own, struct js want)
{
	struct json *got = NULL;
	struct buf out;

	buf_init(&out, 1 << 26);
	merge_three(base, seed, own, &out);
	HOLDS(buf_rc(&out) == RC_OK);
	HOLDS(json_parse(out.p, out.n, NULL, &got, NULL) == RC_OK);
	HOLDS(!want.v || merge_same(json_root(got), want));
	json_free(got);
	buf_free(&out);
}

static void check_edits(struct js v)
{
	static const struct merge_edit edits[] = {
		{ .path = "a.b", .json = "[1]" },
		{ .path = "a.c" },
		{ .path = "d" },
		{ .path = "e.f.g", .json = "2", .missing = true },
	};
	struct json *got = NULL;
	struct buf out;

	buf_init(&out, 1 << 26);
	merge_edit(v, edits, ARRAY_LEN(edits), &out);
	enum rc rc = json_parse(buf_str(&out), out.n, NULL, &got, NULL);
	/* It may have become deeper than a document may be. */
	HOLDS(rc == RC_OK || rc == RC_INVALID);
	if (rc == RC_OK) {
		struct js root = json_root(got);
		struct js a = js_get(root, "a");
		HOLDS(js_len(js_get(a, "b")) == 1 && !js_has(a, "c"));
		HOLDS(!js_has(root, "d"));
		HOLDS(js_has(js_get(js_get(root, "e"), "f"), "g"));
	}
	json_free(got);
	buf_clear(&out);
	merge_edit(v, NULL, 0, &out);
	got = NULL;
	HOLDS(json_parse_any(out.p, out.n, NULL, &got, NULL) == RC_OK);
	HOLDS(merge_same(json_root(got), v));
	json_free(got);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct js nothing = { NULL };
	struct str rest = { (const char *)p, n };
	struct json *docs[3];

	check_json(rest);
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		docs[i] = read(fuzz_line(&rest));
		if (docs[i] && js_type(json_root(docs[i])) != JS_OBJ) {
			json_free(docs[i]);
			docs[i] = NULL;
		}
	}
	const struct js base = json_root(docs[0]), seed = json_root(docs[1]),
			own = json_root(docs[2]);
	merges_to(base, seed, own, nothing);
	if (docs[0] && docs[1])
		merges_to(base, seed, base, seed);
	if (docs[0] && docs[2])
		merges_to(base, base, own, own);
	if (docs[1])
		merges_to(base, seed, seed, seed);
	if (docs[2])
		check_edits(own);
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		json_free(docs[i]);
	return 0;
}
