/*
 * Looking things up in a snapshot of the store: its arrays are sorted.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/plan.h"
#include "base/str.h"

#include "base/poison.h"

static int agent_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct store_agent *)row)->user_id);
}

const struct store_agent *snapshot_agent(
	const struct store_snapshot *now, const char *user_id)
{
	if (now->n_agents == 0)
		return NULL;
	return bsearch(user_id, now->agents, now->n_agents,
		sizeof(*now->agents), agent_cmp);
}

static int room_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct store_room *)row)->key);
}

const struct store_room *snapshot_room(
	const struct store_snapshot *now, const char *key)
{
	if (now->n_rooms == 0)
		return NULL;
	return bsearch(
		key, now->rooms, now->n_rooms, sizeof(*now->rooms), room_cmp);
}

/* The first row that is not before (room_id, ""). */
static size_t first_member(
	const struct store_snapshot *now, const char *room_id)
{
	size_t lo = 0, hi = now->n_memberships;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strcmp(now->memberships[mid].room_id, room_id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct store_membership *snapshot_members(
	const struct store_snapshot *now, const char *room_id, size_t *n)
{
	*n = 0;
	if (now->n_memberships == 0)
		return NULL;
	size_t first = first_member(now, room_id), end = first;
	while (end < now->n_memberships &&
		text_eq(now->memberships[end].room_id, room_id))
		end++;
	*n = end - first;
	return now->memberships + first;
}

static int member_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct store_membership *)row)->user_id);
}

const char *snapshot_membership(const struct store_snapshot *now,
	const char *room_id, const char *user_id)
{
	size_t n = 0;
	const struct store_membership *rows =
		snapshot_members(now, room_id, &n);
	if (n == 0)
		return NULL;
	const struct store_membership *row =
		bsearch(user_id, rows, n, sizeof(*rows), member_cmp);
	return row ? row->membership : NULL;
}

static int mark_cmp(const void *a, const void *b)
{
	const struct store_mark *x = a, *y = b;
	int c = strcmp(x->room_id, y->room_id);
	return c != 0 ? c : strcmp(x->user_id, y->user_id);
}

bool snapshot_marked(const struct store_snapshot *now, const char *room_id,
	const char *user_id)
{
	struct store_mark want = { room_id, user_id };
	return now->n_marks > 0 &&
		bsearch(&want, now->marks, now->n_marks, sizeof(want),
			mark_cmp) != NULL;
}
