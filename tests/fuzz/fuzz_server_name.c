/*
 * Server names: a DNS name, IPv4 or [IPv6], perhaps with a port.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "matrix/id.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *name = fuzz_text(p, n);

	HOLDS(id_server_ok(name) == fuzz_is_server(name));
	free(name);
	return 0;
}
