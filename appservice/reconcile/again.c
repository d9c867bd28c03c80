/*
 * How often a step was done of late: the journal knows.
 */
#include "appservice/reconcile/again.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

static const enum step_kind undone[AGAIN_KINDS] = { STEP_SET_STATE, STEP_KICK,
	STEP_LEAVE };

static bool has_kind(const struct plan *plan, enum step_kind kind)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->steps[i].kind == kind)
			return true;
	return false;
}

enum rc again_find(struct store *s, const struct plan *plan, struct arena *a,
	struct again *ret, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	enum rc rc = RC_OK;
	*ret = (struct again){ .of = { { .n = 0 } } };
	for (size_t i = 0; i < AGAIN_KINDS && rc == RC_OK; i++)
		if (has_kind(plan, undone[i]))
			rc = store_journal_done_of(s, step_kind_name(undone[i]),
				now_ms - AGAIN_WITHIN_MS, now_ms, a,
				&ret->of[i].rows, &ret->of[i].n, e);
	return rc;
}

static int64_t due_ms(const struct done_of_late *of, const struct step *st)
{
	int times = 0;
	for (size_t i = 0; i < of->n; i++) {
		const struct store_step *row = &of->rows[i];
		if (text_eq(row->subject, st->subject) &&
			text_eq(row->room, st->where) && ++times == AGAIN_MOST)
			return row->updated_ms + AGAIN_WITHIN_MS;
	}
	return 0;
}

int64_t again_due_ms(const struct again *g, const struct step *st)
{
	/* Another alias comes of the files alone, and everybody who is to come
	 * in waits for it. */
	if (st->from)
		return 0;
	for (size_t i = 0; i < AGAIN_KINDS; i++)
		if (st->kind == undone[i])
			return due_ms(&g->of[i], st);
	return 0;
}
