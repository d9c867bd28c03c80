/*
 * base/arena.c: blocks in a list; what is asked for is cut off the first. A
 * large piece gets a block of its own behind the first, whose rest stays in
 * use.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

#define BLOCK_MIN ((size_t)1024)
#define BLOCK_MAX ((size_t)64 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, cap;
	alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	struct arena_block *b = a->head;
	while (b) {
		struct arena_block *next = b->next;
		free(b);
		b = next;
	}
	arena_init(a);
}

bool arena_ok(const struct arena *a)
{
	return !a->failed;
}

/* calloc, so that the bytes are zero without being written twice. */
static struct arena_block *block_new(size_t cap)
{
	struct arena_block *b = calloc(1, sizeof(*b) + cap);

	if (b)
		b->cap = cap;
	return b;
}

static struct arena_block *block_for(struct arena *a, size_t n)
{
	struct arena_block *head = a->head;

	if (head && head->cap - head->used >= n)
		return head;

	size_t cap = head ? head->cap * 2 : BLOCK_MIN;
	if (cap > BLOCK_MAX)
		cap = BLOCK_MAX;
	bool large = n > cap / 4;
	struct arena_block *b = block_new(large ? n : cap);
	if (!b)
		return NULL;
	if (head && large) {
		b->next = head->next;
		head->next = b;
	} else {
		b->next = head;
		a->head = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);

	if (a->failed || n > SIZE_MAX / 2)
		goto fail;

	size_t room = n == 0 ? align : (n + align - 1) / align * align;
	struct arena_block *b = block_for(a, room);
	if (!b)
		goto fail;
	void *p = b->bytes + b->used;
	b->used += room;
	a->used += n;
	return p;

fail:
	a->failed = true;
	return NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / size) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, n * size);
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	if (n == SIZE_MAX) {
		a->failed = true;
		return NULL;
	}
	char *copy = arena_alloc(a, n + 1);
	if (copy && n > 0)
		memcpy(copy, s, n);
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		a->failed = true;
		return NULL;
	}
	text = arena_alloc(a, (size_t)n + 1);
	if (!text)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

void *arena_push(
	struct arena *a, void *array, size_t *n, size_t *cap, size_t size)
{
	unsigned char *items;

	/* `array` is the address of a pointer of any type. */
	memcpy(&items, array, sizeof(items));
	if (*n >= *cap) {
		size_t more = *cap == 0 ? 8 : *cap * 2;
		unsigned char *grown = arena_array(a, more, size);
		if (!grown)
			return NULL;
		if (*n > 0)
			memcpy(grown, items, *n * size);
		memcpy(array, &grown, sizeof(grown));
		items = grown;
		*cap = more;
	}
	void *place = items + *n * size;
	memset(place, 0, size);
	(*n)++;
	return place;
}
