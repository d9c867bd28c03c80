/*
 * tests/bench/events.h: events as a homeserver sends them, made by copying
 * pieces that are ready, so that making them costs a fraction of sending them.
 */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include "base/buf.h"
#include "tests/bench/common.h"

/* KIND_FILL: everybody joins every room, once and in order. */
enum kind {
	KIND_AGENTS,
	KIND_OTHERS,
	KIND_MESSAGES,
	KIND_MIXED,
	KIND_FILL,
	KINDS,
};

extern const char *const kind_words[KINDS];

/* Whose membership becomes what in which room. */
struct change {
	unsigned room, user;
	bool agent;
	const char *word; /* NULL: it was no membership */
};

struct world {
	struct random random;
	const char *server;
	char **rooms, **others, **agents;
	unsigned n_rooms, n_others, n_agents;
	uint64_t filled;
};

/* The agents are the lines of this file; without one, as many as there are
 * others. False, and it is said on stderr, when that cannot be had. */
MUST_CHECK bool world_init(struct world *w, const char *server, uint64_t seed,
	unsigned n_rooms, const char *agents_file);
void world_fini(struct world *w);

/* Adds one event. */
struct change event_add(struct world *w, enum kind kind, struct buf *out);

/* So many (at most 64) random characters of an id: A-Z a-z 0-9 - _ */
void add_id(struct buf *out, struct random *r, size_t n);

#endif
