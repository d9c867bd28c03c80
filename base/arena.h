/*
 * base/arena.h: memory that is freed all at once. A document, a snapshot or a
 * plan owns one arena and everything in it points into it; nothing is freed
 * alone.
 *
 * Running out of memory is sticky: the call returns NULL, arena_ok() is false
 * from then on, so a builder may check once at its end. Not thread-safe: one
 * owner at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"

struct arena {
	struct arena_block *head;
	size_t used; /* bytes given out, for tests and limits */
	bool failed;
};

/* An empty arena; allocates nothing. `struct arena a = {0};` is the same. */
void arena_init(struct arena *a);
/* Frees everything that was given out; the arena is empty and usable again. */
void arena_free(struct arena *a);
/* False once an allocation has failed. */
bool arena_ok(const struct arena *a);

/* n bytes, zeroed, aligned for anything; NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t n);
/* n elements of size bytes, zeroed, overflow-checked. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A copy of a string; NULL stays NULL. */
char *arena_strdup(struct arena *a, const char *s);
/* A NUL-terminated copy of n bytes. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * A growing array inside the arena: makes room for one more element at
 * *array (*n used, *cap there), counts it in *n and returns its zeroed place,
 * or NULL. The array may move; the old place stays valid until the arena goes.
 */
void *arena_push(
	struct arena *a, void *array, size_t *n, size_t *cap, size_t size);

#endif
