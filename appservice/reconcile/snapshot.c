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

static int member_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct store_member *)row)->user_id);
}

const struct store_member *room_member(
	const struct store_room *row, const char *user_id)
{
	if (!row || row->n_members == 0)
		return NULL;
	return bsearch(user_id, row->members, row->n_members,
		sizeof(*row->members), member_cmp);
}

const char *room_membership(const struct store_room *row, const char *user_id)
{
	const struct store_member *m = room_member(row, user_id);
	return m ? m->membership : NULL;
}

const char *room_state_content(const struct store_room *row, enum room_state st)
{
	return row && row->state ? row->state[st].content : NULL;
}

const char *tombstone_leads_to(const char *content, struct arena *a)
{
	struct json *doc = NULL;
	if (!content ||
		json_parse(content, strlen(content), NULL, &doc, NULL) != RC_OK)
		return NULL;
	const char *id = js_get_str(json_root(doc), "replacement_room");
	const char *ret = id && *id == '!' ? arena_strdup(a, id) : NULL;
	json_free(doc);
	return ret;
}

const char *room_successor(const struct store_room *row, struct arena *a)
{
	if (!row)
		return NULL;
	const char *id = tombstone_leads_to(
		room_state_content(row, ROOM_STATE_TOMBSTONE), a);
	return text_eq(id, row->room_id) ? NULL : id;
}

static int removal_cmp(
	const struct store_removal *r, const char *room_id, const char *user_id)
{
	int c = strcmp(r->room_id, room_id);
	return c ? c : strcmp(r->user_id, user_id);
}

const struct store_removal *snapshot_removals(const struct store_snapshot *now,
	const struct store_room *row, const char *user_id, size_t *n)
{
	size_t lo = 0, hi = row && row->room_id ? now->n_removals : 0;
	*n = 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (removal_cmp(&now->removals[mid], row->room_id, user_id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct store_removal *first = now->removals + lo;
	while (row && row->room_id && lo + *n < now->n_removals &&
		removal_cmp(first + *n, row->room_id, user_id) == 0)
		*n += 1;
	return *n > 0 ? first : NULL;
}

/* Twice too soon: once may be an accident. An invitation of ours that was lost
 * after somebody's removal is the first of its kind. */
static bool is_again(const struct plan_how *how, const struct store_removal *r)
{
	if (r[0].by && !r[1].by)
		return false;
	const int64_t within = r[1].by ? how->respect_ms : how->lost_ms;
	return r[1].at_ms - r[0].at_ms <= within;
}

bool member_is_held(const struct plan_how *how,
	const struct store_snapshot *now, const struct store_room *row,
	const char *user_id, const struct store_removal **last)
{
	size_t n = 0;
	const struct store_removal *r =
		snapshot_removals(now, row, user_id, &n);
	const char *is = room_membership(row, user_id);
	if (last)
		*last = n > 0 ? &r[n - 1] : NULL;
	if (text_eq(is, "join") || text_eq(is, "invite"))
		return false;
	if (n > 0 && r[n - 1].asked)
		return false;
	if (text_eq(is, "ban"))
		return true;
	if (n == 0)
		return false;
	/* Out of a room of two by the other's hand, which is no accident. */
	const bool put_out =
		row->direct && r[n - 1].by && !text_eq(r[n - 1].by, user_id);
	return r[n - 1].ban || put_out || (n > 1 && is_again(how, &r[n - 2]));
}
