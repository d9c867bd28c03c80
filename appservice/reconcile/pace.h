/*
 * appservice/reconcile/pace.h: how many of something were done in each second
 * of the last minute, so that no more than so many are done within any minute.
 */
#ifndef APPSERVICE_RECONCILE_PACE_H
#define APPSERVICE_RECONCILE_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_SECONDS 60

struct pace {
	struct {
		int64_t second, done;
	} at[PACE_SECONDS];
};

/* Times are of the monotonic clock. */
void pace_count(struct pace *p, int64_t now_ms);
/* How many more may be done now. */
size_t pace_left(const struct pace *p, int64_t most, int64_t now_ms);
/* In how many milliseconds that will be more again. */
int64_t pace_wait_ms(const struct pace *p, int64_t now_ms);
/* So many are done in a minute, as it goes; 0: that cannot be said. */
int64_t pace_rate(const struct pace *p, int64_t now_ms);

#endif
