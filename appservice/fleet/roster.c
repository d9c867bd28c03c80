/*
 * appservice/fleet/roster.c: the list of people. While the files are read
 * everybody they mention is added; settling makes one person of all mentions
 * of an id; publishing fills the fleet.
 */
#include "appservice/fleet/fleet_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

const char *roster_id(struct load *ld, const char *text, bool bare)
{
	if (bare && *text != '@')
		return id_user(ld->keep, text, ld->src->server_name);
	return arena_strdup(ld->keep, text);
}

static void check_id(struct load *ld, const char *id, bool abroad,
	struct place at, const char *label)
{
	struct str localpart, server;
	const char *why = "";
	if (strlen(id) > LIMIT_ID) {
		fault(ld, at,
			"%s: user id \"%.80s...\" is %zu bytes long; %d are "
			"allowed",
			label, id, strlen(id), LIMIT_ID);
		return;
	}
	if (!id_split(id, '@', &localpart, &server)) {
		fault(ld, at, "%s: \"%s\" is no user id: expected @name:%s",
			label, id, ld->src->server_name);
		return;
	}
	ld->n_ours += !abroad;
	if (id_is_local(id, ld->src->server_name)) {
		if (!id_user_ok(id, &why))
			fault(ld, at, "%s: user id \"%s\" %s", label, id, why);
		return;
	}
	if (!abroad)
		stray_add(ld, id, id + (server.p - id), at, label);
	else if (!id_server_ok(id + (server.p - id)))
		fault(ld, at, "%s: \"%.*s\" is no server name", label,
			(int)server.n, server.p);
}

struct draft *roster_add(struct load *ld, enum origin origin, const char *id,
	bool bare, bool abroad, struct place at, const char *label)
{
	const char *full = roster_id(ld, id, bare);
	struct draft *d = arena_alloc(ld->keep, sizeof(*d));
	struct draft **slot = arena_push(&ld->scratch, &ld->people,
		&ld->n_people, &ld->people_cap, sizeof(struct draft *));
	if (!full || !d || !slot)
		return NULL;
	check_id(ld, full, abroad, at, label);
	struct str localpart = str_of(full), server;
	(void)!id_split(full, '@', &localpart, &server);
	*slot = d;
	d->origin = origin;
	d->order = ld->n_people;
	d->person.user_id = full;
	d->person.localpart = arena_strndup(ld->keep, localpart.p, localpart.n);
	if (!d->person.localpart)
		return NULL;
	d->person.name = name_of_localpart(ld->keep, d->person.localpart);
	d->person.place = at;
	return d;
}

static int by_id(const void *a, const void *b)
{
	const struct draft *x = *(struct draft *const *)a;
	const struct draft *y = *(struct draft *const *)b;
	int c = strcmp(x->person.user_id, y->person.user_id);
	if (c)
		return c;
	/* Who is told of comes before who is only said to be human. */
	if (x->mention != y->mention)
		return x->mention ? 1 : -1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Puts what `more` says of the same id into d. */
static void merge(struct load *ld, struct draft *d, const struct draft *more)
{
	const struct person *p = &d->person;
	if (!more->mention) {
		fault(ld, more->person.place,
			"%s is there twice: also at %s:%d; every agent "
			"needs an id of its own",
			p->user_id, p->place.file, p->place.line);
		return;
	}
	if (!d->mention && (d->origin != FROM_ORG)) {
		fault(ld, more->person.place,
			"%s is said to be a human here and an agent at "
			"%s:%d",
			p->user_id, p->place.file, p->place.line);
		return;
	}
	d->person.human = d->person.deployed = true;
	if (!d->named && more->named) {
		d->person.name = more->person.name;
		d->named = true;
	}
}

static void find_bosses(struct load *ld)
{
	for (size_t i = 0; i < ld->n_people; i++) {
		struct draft *d = ld->people[i];
		assert(d);
		d->index = i;
		if (d->reports_to)
			d->boss = roster_find(ld, d->reports_to);
		if (d->boss)
			d->person.manager = d->boss->person.user_id;
	}
}

/* Of the organisation, before anybody is chosen or mentioned: all when
 * nothing chooses, and its chief unless another one is named. */
static void deploy_org(struct load *ld)
{
	for (size_t i = 0; i < ld->n_people; i++) {
		struct draft *d = ld->people[i];
		if (d->origin == FROM_ORG)
			d->person.deployed = d->person.human
				? !ld->ceo_named
				: !ld->src->config_path;
	}
}

void roster_settle(struct load *ld)
{
	size_t n = 0;
	deploy_org(ld);
	if (ld->n_people)
		qsort(ld->people, ld->n_people, sizeof(struct draft *), by_id);
	for (size_t i = 0; i < ld->n_people; i++) {
		struct draft *d = ld->people[i];
		struct draft *last = n ? ld->people[n - 1] : NULL;
		if (last && text_eq(last->person.user_id, d->person.user_id))
			merge(ld, last, d);
		else
			ld->people[n++] = d;
	}
	ld->n_people = n;
	find_bosses(ld);
}

struct draft *roster_find(const struct load *ld, const char *user_id)
{
	size_t lo = 0, hi = ld->n_people;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(user_id, ld->people[mid]->person.user_id);
		if (!c)
			return ld->people[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

void roster_publish(struct load *ld)
{
	struct fleet *f = ld->fleet;
	size_t n = ld->n_people;
	f->people = arena_array(ld->keep, n, sizeof(struct person *));
	f->agents = arena_array(ld->keep, n, sizeof(struct person *));
	f->humans = arena_array(ld->keep, n, sizeof(struct person *));
	f->declared_users = arena_array(ld->keep, n, sizeof(char *));
	if (!arena_ok(ld->keep))
		return;
	for (size_t i = 0; i < n; i++) {
		struct draft *d = ld->people[i];
		struct person *p = &d->person;
		p->deployed |= d->chosen;
		f->people[f->n_people++] = p;
		f->n_named +=
			ld->src->org_path ? d->origin == FROM_ORG : !p->bot;
		if (!p->human)
			f->declared_users[f->n_declared_users++] = p->user_id;
		if (p->deployed && p->human)
			f->humans[f->n_humans++] = p;
		else if (p->deployed)
			p->agent_no = f->n_agents, f->agents[f->n_agents++] = p;
	}
}
