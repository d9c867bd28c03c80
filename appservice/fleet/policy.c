/*
 * appservice/fleet/policy.c: from the room policy and the people to rooms.
 *
 * A rule makes one room, or one for each department or team of the whole
 * organisation. Those in which somebody deployed is are the fleet's; the
 * aliases of all are declared, so that more people can be deployed later.
 */
#include "appservice/fleet/policy_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static int by_group(const void *a, const void *b)
{
	const struct draft *x = *(struct draft *const *)a;
	const struct draft *y = *(struct draft *const *)b;
	int c = text_order(x->person.department, y->person.department);
	if (!c)
		c = text_order(x->person.team, y->person.team);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int by_part(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a;
	const struct group *y = *(struct group *const *)b;
	int c = text_order(x->part, y->part);
	return c ? c : text_order(x->department, y->department);
}

/* alias_part(), remembering when memory ran out. */
static const char *part_of(struct policy *p, const char *name)
{
	const char *part = alias_part(&p->ld->scratch, name);
	if (!part)
		p->ld->scratch.failed = true;
	return part;
}

/* Marks the teams whose alias another department's team would have too. */
static void mark_shared(struct policy *p)
{
	struct arena *a = &p->ld->scratch;
	struct group **list =
		arena_array(a, p->n_groups, sizeof(struct group *));
	size_t n = 0;
	for (size_t i = 0; list && i < p->n_groups; i++) {
		struct group *g = &p->groups[i];
		if (!g->team)
			continue;
		g->part = part_of(p, g->team);
		list[n++] = g;
	}
	if (!arena_ok(a) || !n)
		return;
	qsort(list, n, sizeof(*list), by_part);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n; end++) {
			if (!text_eq(list[i]->part, list[end]->part))
				break;
		}
		bool shared = !text_eq(
			list[i]->department, list[end - 1]->department);
		for (size_t k = i; k < end; k++)
			list[k]->shared = shared;
	}
}

static void make_groups(struct policy *p)
{
	struct load *ld = p->ld;
	struct draft **list =
		arena_array(&ld->scratch, ld->n_people, sizeof(struct draft *));
	if (!list || !ld->n_people)
		return;
	memcpy(list, ld->people, ld->n_people * sizeof(*list));
	qsort(list, ld->n_people, sizeof(*list), by_group);
	struct group *g = NULL;
	for (size_t i = 0; i < ld->n_people; i++) {
		const struct person *who = &list[i]->person;
		if (g && text_eq(g->department, who->department) &&
			text_eq(g->team, who->team)) {
			list[i]->group = p->n_groups - 1;
			g->n++;
			continue;
		}
		list[i]->group = p->n_groups;
		g = arena_push(&ld->scratch, &p->groups, &p->n_groups,
			&p->groups_cap, sizeof(*g));
		if (!g)
			return;
		g->department = who->department;
		g->team = who->team;
		g->people = &list[i];
		g->n = 1;
	}
	mark_shared(p);
}

/* The template with its braces filled, values as parts of an alias or as they
 * are. */
static char *fill(struct policy *p, struct arena *a, const char *text,
	const struct group *g, bool alias)
{
	struct buf out;
	buf_init(&out, 64 * KIB);
	for (const char *s = text; *s;) {
		bool dept = text_starts(s, "{department}");
		if (!dept && !text_starts(s, "{team}")) {
			buf_addc(&out, *s++);
			continue;
		}
		const char *v = !g ? "" : dept ? g->department : g->team;
		if (v && alias)
			v = part_of(p, v);
		buf_add(&out, v ? v : "");
		s = strchr(s, '}') + 1;
	}
	char *copy = arena_strdup(a, buf_str(&out));
	if (buf_rc(&out) == RC_NOMEM)
		a->failed = true;
	buf_free(&out);
	return copy;
}

/* "{team}-x" as "{department}-{team}-x", which tells two teams apart. */
static const char *qualify(struct policy *p, const char *text, char between)
{
	const char *at = strstr(text, "{team}");
	if (!at || strstr(text, "{department}"))
		return text;
	const char *more = arena_printf(&p->ld->scratch, "%.*s{department}%c%s",
		(int)(at - text), text, between, at);
	return more ? more : text;
}

/* The rule's name; without one the alias in words. */
static const char *room_name(struct policy *p, const struct rule *r,
	const struct group *g, bool full)
{
	const char *text = r->name;
	if (!text) {
		char *words = arena_strdup(&p->ld->scratch, r->alias);
		for (char *c = words; c && *c; c++) {
			if (*c == '-')
				*c = ' ';
		}
		text = words ? words : r->alias;
	}
	if (full)
		text = qualify(p, text, ' ');
	char *name = fill(p, p->ld->keep, text, g, false);
	if (name && !r->name && *name >= 'a' && *name <= 'z')
		*name = (char)(*name - 'a' + 'A');
	return name;
}

static int by_index(const void *a, const void *b)
{
	const struct draft *x = *(struct draft *const *)a;
	const struct draft *y = *(struct draft *const *)b;
	return (x->index > y->index) - (x->index < y->index);
}

/* The words of the rule's matchers, for this group. */
static const char *const *fill_words(
	struct policy *p, const struct rule *r, const struct group *g)
{
	struct arena *a = &p->ld->scratch;
	const char **words = arena_array(a, r->n_words, sizeof(char *));
	for (size_t i = 0; words && i < r->n_words; i++) {
		const char *text = r->words[i].text;
		words[i] =
			strchr(text, '{') ? fill(p, a, text, g, false) : text;
	}
	return words;
}

/* Who of n people is in the room, by user id, to p->members. */
static size_t choose(struct policy *p, const struct scope *s,
	struct draft **people, size_t n)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		if (people[i]->person.deployed &&
			matcher_holds(&s->rule->members, people[i], s))
			p->members[found++] = people[i];
	}
	if (found)
		qsort(p->members, found, sizeof(*p->members), by_index);
	return found;
}

/* Where to look when the room is wrong: the rule, or who brought it. */
static struct place made_place(const struct rule *r, const struct group *g)
{
	return g && !r->place.line ? g->people[0]->person.place : r->place;
}

static bool declare(struct policy *p, const char *alias, struct place at)
{
	const char **slot = arena_push(&p->ld->scratch, &p->aliases,
		&p->n_aliases, &p->aliases_cap, sizeof(*slot));
	if (!slot)
		return false;
	*slot = alias;
	if (strlen(alias) > LIMIT_ID)
		fault(p->ld, at,
			"the room alias %.80s... is %zu bytes long; %d are "
			"allowed, with # and server",
			alias, strlen(alias), LIMIT_ID);
	else if (!id_alias_ok(alias))
		fault(p->ld, at, "%s is no room alias", alias);
	return true;
}

char *policy_alias(struct policy *p, const char *text, const struct group *g)
{
	if (g && g->shared && g->department && strstr(text, "{team}"))
		text = qualify(p, text, '-');
	return fill(p, p->ld->keep, text, g, true);
}

/* Members, and what they may do; false when there are none. */
static bool fill_room(struct policy *p, const struct rule *r,
	const struct group *g, size_t n_groups, struct made *m)
{
	struct load *ld = p->ld;
	struct scope s = { .rule = r, .end = p->n_groups };
	struct draft **people = ld->people;
	size_t n = ld->n_people, found = 0;
	if (g) {
		s.department = g->department;
		s.first = (size_t)(g - p->groups);
		s.end = s.first + n_groups;
	}
	if (g && !matcher_reaches(&r->members)) {
		people = g->people;
		n = 0;
		for (size_t i = 0; i < n_groups; i++)
			n += g[i].n;
	}
	s.words = fill_words(p, r, g);
	if (s.words)
		found = choose(p, &s, people, n);
	m->policy = arena_alloc(ld->keep, sizeof(*m->policy));
	m->room.members = arena_array(ld->keep, found, sizeof(struct person *));
	if (!found || !m->policy || !m->room.members)
		return false;
	m->room.n_members = found;
	for (size_t i = 0; i < found; i++)
		m->room.members[i] = &p->members[i]->person;
	access_grant(ld, r, p->members, found, m->policy);
	return true;
}

static void fill_policy(const struct rule *r, struct made *m)
{
	m->policy->rule = r->alias;
	m->policy->join_rule = r->join_rule;
	m->policy->history = r->history;
	m->policy->encryption = r->encryption;
	m->room.policy = m->policy;
}

/* The rule's room for groups of a department, or one team (NULL: for all). */
static void make_room(struct policy *p, const struct rule *r,
	const struct group *g, size_t n_groups)
{
	struct made m = { .rule = r, .group = g, .order = p->n_made };
	struct room *room = &m.room;
	if (g && !g->department && strstr(r->alias, "{department}"))
		return;
	room->strict = r->strict;
	room->alias_localpart = policy_alias(p, r->alias, g);
	if (!room->alias_localpart)
		return;
	if (text_eq(room->alias_localpart, "admins"))
		fault(p->ld, made_place(r, g),
			"#admins is Conduit's own room of administrators: "
			"choose another alias");
	room->alias = room->key = id_alias(
		p->ld->keep, room->alias_localpart, p->ld->src->server_name);
	if (!room->alias || !declare(p, room->alias, made_place(r, g)) ||
		!fill_room(p, r, g, n_groups, &m))
		return;
	room->name = room_name(
		p, r, g, g && r->by_team && g->shared && g->department);
	if (r->topic)
		room->topic = fill(p, p->ld->keep, r->topic, g, false);
	fill_policy(r, &m);
	struct made *slot = arena_push(
		&p->ld->scratch, &p->made, &p->n_made, &p->made_cap, sizeof(m));
	if (slot)
		*slot = m;
}

/* One room for each run of groups that are of one department. */
static void make_departments(struct policy *p, const struct rule *r)
{
	for (size_t i = 0, end; i < p->n_groups; i = end) {
		const struct group *g = &p->groups[i];
		for (end = i + 1; end < p->n_groups; end++) {
			if (!text_eq(g->department, p->groups[end].department))
				break;
		}
		make_room(p, r, g, end - i);
	}
}

static void make_rule(struct policy *p, const struct rule *r)
{
	size_t before = p->n_made;
	if (r->by_department)
		make_departments(p, r);
	else if (!r->by_team)
		make_room(p, r, NULL, 0);
	for (size_t i = 0; r->by_team && i < p->n_groups; i++) {
		if (p->groups[i].team)
			make_room(p, r, &p->groups[i], 1);
	}
	if (p->n_made > before)
		access_tell_unused(p->ld, r);
	else if (r->place.line)
		caution(p->ld, r->place,
			"nobody who is deployed would be in \"%s\": there is "
			"no such room for now",
			r->alias);
}

static int by_alias(const void *a, const void *b)
{
	const struct made *x = a, *y = b;
	int c = strcmp(x->room.alias, y->room.alias);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static const char *describe(struct policy *p, const struct made *m)
{
	const struct group *g = m->group;
	const char *dept = g && g->department ? g->department : "none";
	const char *text = m->rule->alias;
	if (g && m->rule->by_team)
		text = arena_printf(&p->ld->scratch,
			"that of team \"%s\" of department \"%s\"", g->team,
			dept);
	else if (g)
		text = arena_printf(
			&p->ld->scratch, "that of department \"%s\"", dept);
	else
		text = arena_printf(
			&p->ld->scratch, "that of the policy's \"%s\"", text);
	return text ? text : "";
}

static void check_aliases(struct policy *p)
{
	for (size_t i = 1; i < p->n_made; i++) {
		const struct made *x = &p->made[i - 1], *y = &p->made[i];
		if (!text_eq(x->room.alias, y->room.alias))
			continue;
		fault(p->ld, made_place(y->rule, y->group),
			"two rooms would have the alias %s: %s and %s: %s",
			y->room.alias, describe(p, x), describe(p, y),
			x->rule == y->rule ? "rename one of the two"
					   : "give one rule another alias");
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void publish_aliases(struct policy *p)
{
	struct fleet *f = p->ld->fleet;
	f->declared_aliases =
		arena_array(p->ld->keep, p->n_aliases, sizeof(char *));
	if (!f->declared_aliases || !p->n_aliases)
		return;
	qsort(p->aliases, p->n_aliases, sizeof(*p->aliases), by_text);
	for (size_t i = 0; i < p->n_aliases; i++) {
		if (!i || strcmp(p->aliases[i - 1], p->aliases[i]) != 0)
			f->declared_aliases[f->n_declared_aliases++] =
				p->aliases[i];
	}
}

static void publish_rooms(struct policy *p)
{
	struct fleet *f = p->ld->fleet;
	size_t n_pairs = 0;
	const uint64_t *pairs = direct_pairs(p->ld, &n_pairs);
	struct room *rooms = arena_array(
		p->ld->keep, p->n_made + n_pairs, sizeof(struct room));
	if (!rooms)
		return;
	for (size_t i = 0; i < p->n_made; i++)
		rooms[i] = p->made[i].room;
	for (size_t i = 0; i < n_pairs; i++)
		direct_room(p->ld, pairs[i], &rooms[p->n_made + i]);
	f->rooms = rooms;
	f->n_rooms = p->n_made + n_pairs;
	f->n_direct = n_pairs;
}

void policy_build(struct load *ld)
{
	struct policy p = { .ld = ld };
	make_groups(&p);
	p.members =
		arena_array(&ld->scratch, ld->n_people, sizeof(struct draft *));
	for (size_t i = 0; i < ld->n_rules; i++) {
		matcher_resolve(ld, &ld->rules[i].members);
		access_resolve(ld, &ld->rules[i]);
	}
	for (size_t i = 0; i < ld->n_rules && arena_ok(&ld->scratch); i++)
		make_rule(&p, &ld->rules[i]);
	if (!arena_ok(ld->keep) || !arena_ok(&ld->scratch))
		return;
	if (p.n_made)
		qsort(p.made, p.n_made, sizeof(*p.made), by_alias);
	check_aliases(&p);
	publish_aliases(&p);
	policy_link(&p);
	publish_rooms(&p);
}
