/*
 * Counting by the second, in a ring of a minute.
 */
#include "appservice/reconcile/pace.h"

#include "base/poison.h"

/* From fewer seconds nothing is concluded. */
#define ENOUGH_SECONDS 5

void pace_count(struct pace *p, int64_t now_ms)
{
	const int64_t now = now_ms / 1000;
	const size_t i = (size_t)(now % PACE_SECONDS);
	if (p->at[i].second != now) {
		p->at[i].second = now;
		p->at[i].done = 0;
	}
	p->at[i].done++;
}

/* Of the last minute; *first is the oldest second in which something was. */
static int64_t done(const struct pace *p, int64_t now, int64_t *first)
{
	int64_t n = 0;
	*first = now;
	for (size_t i = 0; i < PACE_SECONDS; i++) {
		if (p->at[i].done == 0 || p->at[i].second <= now - PACE_SECONDS)
			continue;
		n += p->at[i].done;
		if (p->at[i].second < *first)
			*first = p->at[i].second;
	}
	return n;
}

size_t pace_left(const struct pace *p, int64_t most, int64_t now_ms)
{
	int64_t first;
	const int64_t n = done(p, now_ms / 1000, &first);
	return n < most ? (size_t)(most - n) : 0;
}

int64_t pace_wait_ms(const struct pace *p, int64_t now_ms)
{
	int64_t first;
	const int64_t now = now_ms / 1000;
	done(p, now, &first);
	return (first + PACE_SECONDS + 1 - now) * 1000;
}

int64_t pace_rate(const struct pace *p, int64_t now_ms)
{
	int64_t first;
	const int64_t now = now_ms / 1000, n = done(p, now, &first);
	const int64_t seconds = now - first + 1;
	return seconds < ENOUGH_SECONDS ? 0 : n * 60 / seconds;
}
