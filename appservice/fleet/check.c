/*
 * appservice/fleet/check.c: what must be true of the people before anything
 * is made of them.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

/* One name of a path, on any file system; control characters were told of. */
static bool is_file_name(const char *s)
{
	if (text_eq(s, ".") || text_eq(s, "..") || strlen(s) > 255)
		return false;
	return !strchr(s, '/');
}

/* An agent's token is handed over in <root>/<department>/<localpart>/. */
static void check_directory(struct load *ld, const struct person *p)
{
	if (!is_file_name(p->localpart))
		fault(ld, p->place,
			"%s: the name before the colon cannot be the name of "
			"the agent's directory: no slash, not . or ..",
			p->user_id);
	if (p->department && !is_file_name(p->department))
		fault(ld, p->place,
			"%s: department \"%s\" cannot be the name of a "
			"directory: no slash, not . or ..",
			p->user_id, p->department);
}

static void check_local(struct load *ld, const struct person *p)
{
	if (text_eq_nocase(p->localpart, ld->src->sender))
		fault(ld, p->place,
			"%s is the service's own user (appservice.sender): "
			"nobody else can have its id",
			p->user_id);
	else if (text_eq_nocase(p->localpart, "conduit"))
		fault(ld, p->place,
			"%s is the homeserver's own user: nobody else can have "
			"its id",
			p->user_id);
}

static int by_id_nocase(const void *a, const void *b)
{
	const struct person *x = &(*(struct draft *const *)a)->person;
	const struct person *y = &(*(struct draft *const *)b)->person;
	const char *p = x->user_id, *q = y->user_id;
	for (; *p && *q; p++, q++) {
		int c = *p >= 'A' && *p <= 'Z' ? *p + 32 : *p;
		int d = *q >= 'A' && *q <= 'Z' ? *q + 32 : *q;
		if (c != d)
			return c - d;
	}
	return (*p != '\0') - (*q != '\0');
}

static void check_case(struct load *ld)
{
	struct draft **list =
		arena_array(&ld->scratch, ld->n_people, sizeof(struct draft *));
	if (!list || !ld->n_people)
		return;
	memcpy(list, ld->people, ld->n_people * sizeof(struct draft *));
	qsort(list, ld->n_people, sizeof(struct draft *), by_id_nocase);
	for (size_t i = 1; i < ld->n_people; i++) {
		const struct person *p = &list[i - 1]->person;
		const struct person *q = &list[i]->person;
		if (by_id_nocase(&list[i - 1], &list[i]) ||
			!id_is_local(q->user_id, ld->src->server_name))
			continue;
		if (list[i - 1]->order > list[i]->order) {
			const struct person *swap = p;
			p = q;
			q = swap;
		}
		fault(ld, q->place,
			"%s differs from %s (%s:%d) only in upper and lower "
			"case",
			q->user_id, p->user_id, p->place.file, p->place.line);
	}
}

/* Tells of the circle that d is in, from the one whom the files name first. */
static void tell_circle(struct load *ld, struct draft *d)
{
	struct draft *first = d;
	for (struct draft *at = d->boss; at != d; at = at->boss) {
		if (at->order < first->order)
			first = at;
	}
	struct buf chain;
	buf_init(&chain, 1024);
	buf_add(&chain, first->person.user_id);
	size_t shown = 0;
	for (struct draft *at = first->boss; at != first; at = at->boss) {
		if (++shown <= 10)
			buf_addf(&chain, ", who reports to %s",
				at->person.user_id);
	}
	if (shown > 10)
		buf_addf(&chain, ", and so on over %zu more", shown - 10);
	fault(ld, first->manager_at,
		"the reports go round in a circle: %s, who reports to %s again",
		buf_str(&chain), first->person.user_id);
	buf_free(&chain);
}

/* Every walk up marks whom it meets; meeting one's own mark is a circle. */
static void check_circles(struct load *ld)
{
	for (size_t i = 0; i < ld->n_people; i++) {
		struct draft *d = ld->people[i];
		while (d && !d->walk) {
			d->walk = i + 1;
			d = d->boss;
		}
		if (d && d->walk == i + 1)
			tell_circle(ld, d);
	}
}

static void check_boss(struct load *ld, const struct draft *d)
{
	if (d->reports_to && !d->boss)
		fault(ld, d->manager_at, "%s reports to %s, who is not there",
			d->person.user_id, d->reports_to);
}

void check_people(struct load *ld)
{
	for (size_t i = 0; i < ld->n_people; i++) {
		const struct person *p = &ld->people[i]->person;
		check_boss(ld, ld->people[i]);
		if (id_is_local(p->user_id, ld->src->server_name))
			check_local(ld, p);
		if (!p->human)
			check_directory(ld, p);
	}
	check_case(ld);
	check_circles(ld);
}

void check_namespace(struct load *ld)
{
	const char *prefix = ld->src->prefix;
	for (size_t i = 0; prefix && i < ld->n_people; i++) {
		const struct draft *d = ld->people[i];
		const struct person *p = &d->person;
		if (!id_is_local(p->user_id, ld->src->server_name))
			continue;
		bool inside = text_starts(p->localpart, prefix);
		if (p->human && inside)
			fault(ld, p->place,
				"%s is a human, but in the namespace of the "
				"agents (namespace.prefix \"%s\"): the service "
				"must not own it",
				p->user_id, prefix);
		if (!p->human && (p->deployed || d->chosen) && !inside)
			fault(ld, p->place,
				"%s is not in the namespace: an agent's id "
				"must start with \"%s\" (namespace.prefix)",
				p->user_id, prefix);
	}
}
