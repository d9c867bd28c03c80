/*
 * base/clock.c: the time, and how long to wait before trying again.
 */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/secret.h"

#include "base/poison.h"

#define YEAR_10000_MS INT64_C(253402300800000)

static int64_t now_us(clockid_t id)
{
	struct timespec t;

	/* Cannot fail: both clocks exist and the address is good. */
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

int64_t clock_boot_ms(void)
{
	return now_us(CLOCK_BOOTTIME) / 1000;
}

struct timespec clock_after(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t ns = t.tv_nsec + (ms % 1000) * 1000000;
	t.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	return t;
}

void clock_sleep_ms(int64_t ms)
{
	if (ms <= 0)
		return;
	struct timespec t = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};
	nanosleep(&t, NULL);
}

void clock_format(int64_t wall_ms, char out[25])
{
	struct tm tm;
	char text[64];

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms >= YEAR_10000_MS)
		wall_ms = YEAR_10000_MS - 1;
	time_t seconds = (time_t)(wall_ms / 1000);
	gmtime_r(&seconds, &tm);
	/* By way of a larger buffer: the compiler cannot know the ranges. */
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
	memcpy(out, text, 24);
	out[24] = '\0';
}

int64_t backoff_ms(int attempt, int64_t base_ms, int64_t max_ms)
{
	int64_t wait = base_ms;

	for (int i = 1; i < attempt && wait < max_ms; i++)
		wait = wait > max_ms / 2 ? max_ms : wait * 2;
	if (wait > max_ms)
		wait = max_ms;
	if (wait <= 0)
		return 0;
	int64_t half = wait - wait / 2;
	return half + (int64_t)random_below((uint64_t)(wait - half) + 1);
}
