/*
 * Random numbers, times and options of the programs that measure.
 */
#include "tests/bench/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"

#include "base/poison.h"

/* 64 MB of addresses, of which only what is used becomes memory. */
#define TIMES_MAX ((size_t)16 * 1024 * 1024)

uint64_t random_next(struct random *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t random_number(struct random *r, uint32_t n)
{
	return (uint32_t)(((random_next(r) >> 32) * n) >> 32);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool times_init(struct times *t)
{
	*t = (struct times){ .v = calloc(TIMES_MAX, sizeof(*t->v)) };
	return t->v;
}

void times_fini(struct times *t)
{
	free(t->v);
}

bool times_add(struct times *t, uint64_t ns)
{
	if (t->n == TIMES_MAX)
		return false;
	t->v[t->n++] =
		ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
	return true;
}

static int by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void times_sort(struct times *t)
{
	qsort(t->v, t->n, sizeof(*t->v), by_size);
}

double times_us(const struct times *t, double part)
{
	if (!t->n)
		return 0;
	return t->v[(size_t)(part * (double)(t->n - 1))] / 10.0;
}

void times_print(const struct times *t)
{
	printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
	       "\"max_us\": %.1f",
		times_us(t, 0.50), times_us(t, 0.90), times_us(t, 0.99),
		times_us(t, 1));
}

void wrong_use(const char *usage)
{
	fputs(usage, stderr);
	exit(2);
}

uint64_t option_number(
	const char *text, uint64_t min, uint64_t max, const char *usage)
{
	int64_t v = 0;

	if (!str_i64(str_of(text), (int64_t)min, (int64_t)max, &v))
		wrong_use(usage);
	return (uint64_t)v;
}
