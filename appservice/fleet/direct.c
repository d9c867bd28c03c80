/*
 * appservice/fleet/direct.c: who talks to whom alone: a manager with each
 * report, those who share a manager, those who share a team.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

/* First only counted (list NULL), then written. */
struct pairs {
	struct load *ld;
	uint64_t *list;
	size_t n;
};

static int by_pair(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* People are sorted by id, so the lower index is the smaller id. */
static void pair_add(
	struct pairs *p, const struct draft *a, const struct draft *b)
{
	uint64_t low = a->index < b->index ? a->index : b->index;
	uint64_t high = a->index < b->index ? b->index : a->index;
	if (p->list)
		p->list[p->n] = low << 32 | high;
	p->n++;
}

static bool is_agent(const struct draft *d)
{
	return d->person.deployed && !d->person.human && !d->person.bot;
}

static bool has_boss(const struct draft *d)
{
	return d->boss;
}

static bool has_team(const struct draft *d)
{
	return d->person.team;
}

static int by_boss(const void *a, const void *b)
{
	const struct draft *x = *(struct draft *const *)a;
	const struct draft *y = *(struct draft *const *)b;
	size_t p = x->boss->index, q = y->boss->index;
	return (p > q) - (p < q);
}

static int by_team(const void *a, const void *b)
{
	const struct person *x = &(*(struct draft *const *)a)->person;
	const struct person *y = &(*(struct draft *const *)b)->person;
	int c = text_order(x->department, y->department);
	return c ? c : strcmp(x->team, y->team);
}

/* Every two agents that compare equal, among those that have what it takes. */
static void add_peers(struct pairs *p, bool (*has)(const struct draft *),
	int (*compare)(const void *, const void *))
{
	struct load *ld = p->ld;
	struct draft **list =
		arena_array(&ld->scratch, ld->n_people, sizeof(struct draft *));
	size_t n = 0;
	for (size_t i = 0; list && i < ld->n_people; i++) {
		if (is_agent(ld->people[i]) && has(ld->people[i]))
			list[n++] = ld->people[i];
	}
	if (!n)
		return;
	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n; end++) {
			if (compare(&list[i], &list[end]) != 0)
				break;
		}
		size_t k = end - i;
		if (!p->list) {
			p->n += k * (k - 1) / 2;
			continue;
		}
		for (size_t a = i; a < end; a++) {
			for (size_t b = a + 1; b < end; b++)
				pair_add(p, list[a], list[b]);
		}
	}
}

/* Who reports to whom; one of the two is an agent. */
static void add_reports(struct pairs *p)
{
	for (size_t i = 0; i < p->ld->n_people; i++) {
		const struct draft *d = p->ld->people[i], *boss = d->boss;
		if (!boss || !d->person.deployed || !boss->person.deployed)
			continue;
		if (d->person.bot || boss->person.bot)
			continue;
		if (is_agent(d) || is_agent(boss))
			pair_add(p, d, boss);
	}
}

static void add_all(struct pairs *p)
{
	const struct fleet_source *src = p->ld->src;
	p->n = 0;
	if (src->manager_report)
		add_reports(p);
	if (src->manager_peers)
		add_peers(p, has_boss, by_boss);
	if (src->team_peers)
		add_peers(p, has_team, by_team);
}

uint64_t *direct_pairs(struct load *ld, size_t *ret_n)
{
	struct pairs p = { .ld = ld };
	*ret_n = 0;
	add_all(&p);
	if (p.n > LIMIT_DIRECT_ROOMS) {
		fault(ld, (struct place){ ld->self_file, 0, 0 },
			"direct: about %zu direct rooms, more than %d: switch "
			"off team_peers or manager_peers, or make the teams "
			"smaller",
			p.n, LIMIT_DIRECT_ROOMS);
		return NULL;
	}
	if (!p.n)
		return NULL;
	p.list = arena_array(&ld->scratch, p.n, sizeof(uint64_t));
	if (!p.list)
		return NULL;
	add_all(&p);
	qsort(p.list, p.n, sizeof(uint64_t), by_pair);
	size_t n = 1;
	for (size_t i = 1; i < p.n; i++) {
		if (p.list[i] != p.list[n - 1])
			p.list[n++] = p.list[i];
	}
	*ret_n = n;
	return p.list;
}

void direct_room(struct load *ld, uint64_t pair, struct room *ret)
{
	const struct person *low = &ld->people[pair >> 32]->person;
	const struct person *high = &ld->people[pair & UINT32_MAX]->person;
	const struct person **both =
		arena_array(ld->keep, 2, sizeof(struct person *));
	const char *key =
		arena_printf(ld->keep, "%s %s", low->user_id, high->user_id);
	if (!both || !key)
		return;
	both[0] = low;
	both[1] = high;
	*ret = (struct room){
		.key = key, .direct = true, .members = both, .n_members = 2
	};
	/* A human sees nothing but the name when invited. */
	ret->maker = low->human ? high : low;
	ret->other = low->human ? low : high;
	if (ret->other->human)
		ret->name = ret->maker->name;
}
