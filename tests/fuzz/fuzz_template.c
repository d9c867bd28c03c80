/*
 * Templates: what is taken can be filled; one that has to be JSON is JSON
 * filled, too, whatever stands in the fields.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"

#include "base/poison.h"

/* All that means something in JSON, or here. */
static char token[] = "a\"b\\c{{user_id}}/\xC3\xA9";

static void check(const struct template *t, struct str text, bool is_json)
{
	struct handoff h = { .generation = 7,
		.user_id = token,
		.device_id = token,
		.access_token = { .bytes = token, .n = sizeof(token) - 1 },
		.issued_ms = 1 };
	struct json *doc = NULL;
	struct buf out;

	buf_init(&out, 1 << 26);
	HOLDS(template_fill(t, &h, "http://h", &out, NULL) == RC_OK);
	/* Without braces there is nothing to fill. */
	if (!fuzz_has(text.p, text.n, "{{"))
		HOLDS(out.n == text.n &&
			(text.n == 0 || !memcmp(out.p, text.p, text.n)));
	if (is_json)
		HOLDS(json_parse_any(out.p, out.n, NULL, &doc, NULL) == RC_OK);
	json_free(doc);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str text = { (const char *)p, n };
	struct template *t = NULL;
	struct err e = { 0 };

	for (int json = 0; json < 2; json++) {
		enum rc rc = template_new(
			text.p, text.n, "t.json", json == 1, &t, &e);
		HOLDS(rc == RC_OK || rc == RC_INVALID);
		HOLDS((rc == RC_OK) == (t != NULL));
		if (rc == RC_OK)
			check(t, text, json == 1);
		else
			HOLDS(fuzz_is_clean(e.text) &&
				strncmp(e.text, "t.json:", 7) == 0);
		template_free(t);
		t = NULL;
	}
	return 0;
}
