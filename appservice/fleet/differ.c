/*
 * What differs between two fleets: both are sorted alike, so one pass over
 * each list tells.
 */
#include <string.h>

#include "appservice/fleet/fleet.h"
#include "base/str.h"

#include "base/poison.h"

static bool same_person(const void *x, const void *y)
{
	const struct person *a = *(const struct person *const *)x;
	const struct person *b = *(const struct person *const *)y;
	return text_eq(a->name, b->name) &&
		text_eq(a->department, b->department) &&
		text_eq(a->team, b->team) && text_eq(a->level, b->level) &&
		text_eq(a->manager, b->manager) && a->human == b->human &&
		a->deployed == b->deployed && a->bot == b->bot;
}

static bool same_policy(
	const struct room_policy *a, const struct room_policy *b)
{
	if (!a || !b)
		return a == b;
	bool same = text_eq(a->rule, b->rule) && a->join_rule == b->join_rule &&
		a->n_allow == b->n_allow && text_eq(a->history, b->history) &&
		a->encryption == b->encryption && a->n_grants == b->n_grants;
	for (size_t i = 0; same && i < a->n_allow; i++)
		same = text_eq(a->allow[i], b->allow[i]);
	for (size_t i = 0; same && i < a->n_grants; i++)
		same = text_eq(a->grants[i].user_id, b->grants[i].user_id) &&
			a->grants[i].level == b->grants[i].level;
	return same;
}

static bool same_room(const void *x, const void *y)
{
	const struct room *a = x, *b = y;
	bool same = text_eq(a->alias, b->alias) && text_eq(a->name, b->name) &&
		text_eq(a->topic, b->topic) && a->direct == b->direct &&
		a->strict == b->strict && a->n_members == b->n_members &&
		same_policy(a->policy, b->policy);
	for (size_t i = 0; same && i < a->n_members; i++)
		same = text_eq(a->members[i]->user_id, b->members[i]->user_id);
	return same;
}

static int person_order(const void *x, const void *y)
{
	const struct person *a = *(const struct person *const *)x;
	const struct person *b = *(const struct person *const *)y;
	return strcmp(a->user_id, b->user_id);
}

static int room_order(const void *x, const void *y)
{
	const struct room *a = x, *b = y;
	return a->direct != b->direct ? (int)a->direct - (int)b->direct
				      : strcmp(a->key, b->key);
}

struct list {
	const void *items;
	size_t n, size;
};

static const void *at(const struct list *l, size_t i)
{
	return (const char *)l->items + i * l->size;
}

static struct fleet_counts compare(const struct list *was,
	const struct list *is, int (*order)(const void *, const void *),
	bool (*same)(const void *, const void *))
{
	struct fleet_counts c = { 0 };
	size_t i = 0, k = 0;
	while (i < was->n || k < is->n) {
		int by = i == was->n ? 1
			: k == is->n ? -1
				     : order(at(was, i), at(is, k));
		c.gone += by < 0;
		c.came += by > 0;
		c.changed += by == 0 && !same(at(was, i), at(is, k));
		i += by <= 0;
		k += by >= 0;
	}
	return c;
}

struct fleet_diff fleet_compare(const struct fleet *was, const struct fleet *is)
{
	const struct list agents[] = { { was->agents, was->n_agents,
					       sizeof(*was->agents) },
		{ is->agents, is->n_agents, sizeof(*is->agents) } };
	const struct list rooms[] = { { was->rooms, was->n_rooms,
					      sizeof(*was->rooms) },
		{ is->rooms, is->n_rooms, sizeof(*is->rooms) } };
	struct fleet_diff d = { compare(&agents[0], &agents[1], person_order,
					same_person),
		compare(&rooms[0], &rooms[1], room_order, same_room) };
	return d;
}
