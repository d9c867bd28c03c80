/*
 * Room aliases: the grammar, and how a name becomes a part of one.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "matrix/id.h"
#include "matrix/id_priv.h"

#include "base/poison.h"

static void check_grammar(const char *alias)
{
	struct str localpart = { "", 0 }, server = { "", 0 };
	const char *colon = strchr(alias, ':');

	bool good = id_alias_ok(alias);
	HOLDS(good ==
		(MATCHES("#[^:]+:.+", alias) && strlen(alias) <= 255 &&
			utf8_valid(alias, (size_t)(colon - alias), NULL) &&
			fuzz_is_server(colon + 1)));
	if (!good)
		return;
	HOLDS(id_split(alias, '#', &localpart, &server));
	HOLDS(id_is_local(alias, server.p));
}

/* A character of a part: none that ends one, and lower as far as it goes. */
static void check_part(const char *part)
{
	uint32_t cp = 0;

	for (size_t i = 0, n = strlen(part); i < n;) {
		size_t length = utf8_next(part + i, n - i, &cp);
		HOLDS(length > 0);
		HOLDS(cp > 0x20 && cp != ':' && (cp < 0x7f || cp > 0xa0));
		HOLDS(lower_cp(cp) == cp);
		i += length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *name = fuzz_text(p, n);
	struct arena a = { 0 };

	check_grammar(name);
	char *part = alias_part(&a, name);
	HOLDS(part);
	HOLDS(!*part == !*name);
	HOLDS(strlen(part) <= 2 * strlen(name));
	check_part(part);
	HOLDS(text_eq(alias_part(&a, part), part));
	char *alias = id_alias(&a, part, "hs.example:8448");
	HOLDS(id_alias_ok(alias) == (*part && strlen(alias) <= 255));
	arena_free(&a);
	free(name);
	return 0;
}
