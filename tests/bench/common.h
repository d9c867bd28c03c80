/*
 * tests/bench/common.h: what the load generator and the bare loop share: the
 * size of the set of memberships they change, random numbers that are the same
 * in every run of one seed, and the times that single transactions took.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SET_ROOMS 200
#define SET_USERS 1000

/* splitmix64; the state is the seed. */
struct random {
	uint64_t state;
};

uint64_t random_next(struct random *r);
/* A number in [0, n). */
uint32_t random_number(struct random *r, uint32_t n);

uint64_t now_ns(void);

/* How long each took, in units of 100 ns. */
struct times {
	uint32_t *v;
	size_t n;
};

bool times_init(struct times *t);
void times_fini(struct times *t);
/* False when there is no room for more. */
bool times_add(struct times *t, uint64_t ns);
void times_sort(struct times *t);
/* Microseconds that this part of them (0 to 1) took at most; sorted. */
double times_us(const struct times *t, double part);
/* "p50_us": 1, "p90_us": 2, "p99_us": 3, "max_us": 4; sorted. */
void times_print(const struct times *t);

/* An option's value; prints the usage and ends the program when it is none. */
uint64_t option_number(
	const char *text, uint64_t min, uint64_t max, const char *usage);
void wrong_use(const char *usage) __attribute__((noreturn));

#endif
