/*
 * User ids: taken apart, and held to the grammar of those that we make.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "matrix/id.h"

#include "base/poison.h"

static void check_parts(const char *id, struct str localpart, struct str server)
{
	struct arena a = { 0 };

	HOLDS(localpart.p == id + 1);
	HOLDS(server.p == localpart.p + localpart.n + 1);
	HOLDS(server.p[-1] == ':' && server.n > 0 && !server.p[server.n]);
	HOLDS(!memchr(localpart.p, ':', localpart.n));
	HOLDS(strlen(id) <= 255);
	char *local = arena_strndup(&a, localpart.p, localpart.n);
	HOLDS(text_eq(id_user(&a, local, server.p), id));
	HOLDS(id_is_local(id, server.p) && !id_is_local(id, server.p + 1));
	HOLDS(id_localpart_ok(localpart) == MATCHES("[a-z0-9._=/+-]+", local));
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *id = fuzz_text(p, n);
	const char *why = NULL, *colon = strchr(id, ':');
	struct str localpart, server;

	bool parts = id_split(id, '@', &localpart, &server);
	HOLDS(parts ==
		(id[0] == '@' && colon && colon[1] && strlen(id) <= 255));
	if (parts)
		check_parts(id, localpart, server);
	bool good = id_user_ok(id, &why);
	HOLDS(good == !why);
	HOLDS(good ==
		(parts && MATCHES("@[a-z0-9._=/+-]+:[^@]+", id) &&
			fuzz_is_server(server.p)));
	free(id);
	return 0;
}
