/*
 * Numbers, durations and the nearness of words. The input has a text in its
 * first line and another in its second.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/poison.h"

/* There is one way to write each number: as the C library does. */
static bool is_number(const char *text, int64_t *v)
{
	char again[32];

	errno = 0;
	*v = strtoll(text, NULL, 10);
	snprintf(again, sizeof(again), "%" PRId64, *v);
	return !errno && !strcmp(text, again);
}

static void check_number(const char *text, int64_t bound)
{
	int64_t got = 77, want;
	bool good = is_number(text, &want);

	HOLDS(str_i64(str_of(text), INT64_MIN, INT64_MAX, &got) == good);
	HOLDS(got == (good ? want : 77));
	HOLDS(str_i64(str_of(text), bound, INT64_MAX, &got) ==
		(good && want >= bound));
	HOLDS(str_i64(str_of(text), INT64_MIN, bound, &got) ==
		(good && want <= bound));
}

static void check_duration(const char *text, int64_t max)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 } };
	size_t digits = strspn(text, "0123456789");
	char *number = strndup(text, digits);
	int64_t got = 77, want = 77, v;
	bool good = false;

	if (is_number(number, &v))
		for (size_t i = 0; i < ARRAY_LEN(units); i++)
			if (!strcmp(text + digits, units[i].name))
				good = !__builtin_mul_overflow(
					       v, units[i].ms, &want) &&
					want <= max;
	HOLDS(str_duration(str_of(text), max, &got) == good);
	HOLDS(!good || got == want);
	free(number);
}

static void check_words(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), more = n > m ? n : m;
	int far = str_distance(a, b, 1000);

	HOLDS(far == str_distance(b, a, 1000));
	HOLDS((far == 0) == !strcmp(a, b));
	HOLDS(more > 64 ? far == 0 || far == 1000 : (size_t)far <= more);
	HOLDS(str_distance(a, b, 3) == (far < 3 ? far : 3));
	HOLDS(text_eq(a, b) == !strcmp(a, b));
	HOLDS(text_eq_nocase(a, b) == text_eq_nocase(b, a));
	HOLDS(!text_starts(a, b) || n >= m);
	HOLDS(!text_ends(a, b) || !strcmp(a + n - m, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);
	struct str rest = str_of(text);
	struct arena arena = { 0 };
	struct str line = fuzz_line(&rest);
	int64_t bound;

	char *a = arena_strndup(&arena, line.p, line.n);
	char *b = arena_strndup(&arena, rest.p, rest.n);
	if (!is_number(b, &bound))
		bound = INT64_MAX;
	check_number(a, bound);
	check_duration(a, bound < 0 ? 0 : bound);
	check_words(a, b);
	arena_free(&arena);
	free(text);
	return 0;
}
