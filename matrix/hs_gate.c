/*
 * matrix/hs_gate.c: what all clients of one homeserver share: the counts, and
 * the moment until which nobody sends. Only atomics, no lock: each value
 * stands for itself.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "matrix/hs_priv.h"

#include "base/poison.h"

/* A homeserver that asks for days is asked again after an hour. */
#define CLOSED_MAX_MS ((int64_t)3600 * 1000)

struct hs_gate {
	_Atomic int64_t requests;
	_Atomic int64_t writes;
	_Atomic int64_t closed_until; /* monotonic milliseconds */
};

struct hs_gate *hs_gate_new(void)
{
	return calloc(1, sizeof(struct hs_gate));
}

void hs_gate_free(struct hs_gate *g)
{
	free(g);
}

int64_t hs_gate_requests(const struct hs_gate *g)
{
	return atomic_load(&g->requests);
}

int64_t hs_gate_writes(const struct hs_gate *g)
{
	return atomic_load(&g->writes);
}

void hs_gate_count(struct hs_gate *g, bool write)
{
	atomic_fetch_add(&g->requests, 1);
	if (write)
		atomic_fetch_add(&g->writes, 1);
}

void hs_gate_close(struct hs_gate *g, int64_t ms)
{
	if (ms > CLOSED_MAX_MS)
		ms = CLOSED_MAX_MS;
	int64_t until = clock_mono_ms() + ms;
	int64_t seen = atomic_load(&g->closed_until);
	while (seen < until &&
		!atomic_compare_exchange_weak(&g->closed_until, &seen, until))
		;
}

int64_t hs_gate_closed_ms(const struct hs_gate *g)
{
	int64_t left = atomic_load(&g->closed_until) - clock_mono_ms();
	return left > 0 ? left : 0;
}
