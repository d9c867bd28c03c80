/*
 * How often a room's state was set of late: the journal knows.
 */
#include "appservice/reconcile/again.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

enum rc again_find(struct store *s, const struct plan *plan, struct arena *a,
	struct again *ret, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	bool any = false;
	*ret = (struct again){ .n = 0 };
	for (size_t i = 0; i < plan->n && !any; i++)
		any = plan->steps[i].kind == STEP_SET_STATE;
	return any ? store_journal_done_of(s, step_kind_name(STEP_SET_STATE),
			     now_ms - AGAIN_WITHIN_MS, now_ms, a, &ret->rows,
			     &ret->n, e)
		   : RC_OK;
}

int64_t again_due_ms(const struct again *g, const struct step *st)
{
	int times = 0;
	if (st->kind != STEP_SET_STATE)
		return 0;
	for (size_t i = 0; i < g->n; i++) {
		const struct store_step *row = &g->rows[i];
		if (text_eq(row->subject, st->subject) &&
			text_eq(row->room, st->where) && ++times == AGAIN_MOST)
			return row->updated_ms + AGAIN_WITHIN_MS;
	}
	return 0;
}
