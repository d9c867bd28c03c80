/*
 * base/clock.h: the time, as integer milliseconds. Wall time is what is
 * stored and shown; monotonic time is what is waited by. Any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <time.h>

#include "base/base.h"

/* Milliseconds since 1970. */
int64_t clock_wall_ms(void);
/* Milliseconds since some moment; never goes back. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* The same, and it goes on while the machine sleeps. */
int64_t clock_boot_ms(void);
/* The moment that is ms from now, for a condition that waits by the monotonic
 * clock. */
struct timespec clock_after(int64_t ms);
/* Sleeps; returns early on a signal. */
void clock_sleep_ms(int64_t ms);

/* "2026-03-05T12:00:00.123Z" (25 bytes with the NUL). */
void clock_format(int64_t wall_ms, char out[25]);

/*
 * When to try again after `attempt` failures (1 is the first): between half
 * and all of base_ms doubled each time, at most max_ms.
 */
int64_t backoff_ms(int attempt, int64_t base_ms, int64_t max_ms);

#endif
