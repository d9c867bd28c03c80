/*
 * appservice/fleet/link.c: the rooms that are restricted to the members of
 * others.
 */
#include "appservice/fleet/policy_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int alias_cmp(const void *key, const void *item)
{
	return strcmp(key, ((const struct made *)item)->room.alias);
}

/* The other room that has this alias; NULL: there is none now. */
static const struct made *find_other(
	struct policy *p, const char *text, const struct made *m)
{
	const char *localpart = policy_alias(p, text, m->group);
	const char *alias = !localpart
		? NULL
		: id_alias(&p->ld->scratch, localpart, p->ld->src->server_name);
	const struct made *found = !alias
		? NULL
		: bsearch(alias, p->made, p->n_made, sizeof(*found), alias_cmp);
	return found == m ? NULL : found;
}

/* Whose members may join; false when there is no such room. */
static bool link_room(struct policy *p, const struct made *m)
{
	const struct rule *r = m->rule;
	const char **allow =
		arena_array(p->ld->keep, r->n_allowed, sizeof(char *));
	size_t n = 0, kept = 0;
	for (size_t i = 0; allow && i < r->n_allowed; i++) {
		const struct made *other =
			find_other(p, r->allowed[i].alias, m);
		if (other)
			allow[n++] = other->room.key;
	}
	if (n)
		qsort(allow, n, sizeof(*allow), by_text);
	for (size_t i = 0; i < n; i++) {
		if (!i || strcmp(allow[i], allow[kept - 1]) != 0)
			allow[kept++] = allow[i];
	}
	m->policy->allow = allow;
	m->policy->n_allow = kept;
	if (!kept)
		m->policy->join_rule = JOIN_INVITE;
	return kept > 0;
}

/* The rooms of a rule that restricts to others. */
static void link_rule(struct policy *p, const struct rule *r)
{
	size_t n = 0;
	const char *first = NULL;
	for (size_t i = 0; i < p->n_made; i++) {
		const struct made *m = &p->made[i];
		if (m->rule != r || link_room(p, m))
			continue;
		first = n++ ? first : m->room.alias;
	}
	if (n == 1)
		caution(p->ld, r->allowed[0].place,
			"%s.restricted: there is no such room for %s now: it "
			"is by invitation",
			r->allowed[0].label, first);
	else if (n)
		caution(p->ld, r->allowed[0].place,
			"%s.restricted: there is no such room for %s and %zu "
			"more now: they are by invitation",
			r->allowed[0].label, first, n - 1);
}

/* A room of the policy has the alias, or could have. */
static bool is_declared(struct policy *p, const char *text)
{
	struct load *ld = p->ld;
	const struct fleet *f = ld->fleet;
	for (size_t i = 0; strchr(text, '{') && i < ld->n_rules; i++) {
		if (text_eq(ld->rules[i].alias, text))
			return true;
	}
	const char *alias = id_alias(&ld->scratch, text, ld->src->server_name);
	return alias && f->n_declared_aliases &&
		bsearch(&alias, f->declared_aliases, f->n_declared_aliases,
			sizeof(alias), by_text);
}

static void check_allowed(struct policy *p, const struct allowed *a)
{
	struct load *ld = p->ld;
	if (is_declared(p, a->alias))
		return;
	const char **known =
		arena_array(&ld->scratch, ld->n_rules, sizeof(char *));
	for (size_t i = 0; known && i < ld->n_rules; i++)
		known[i] = ld->rules[i].alias;
	fault(ld, a->place,
		"%s.restricted: no room of the policy has the alias \"%s\"%s",
		a->label, a->alias,
		known ? did_you_mean(ld, a->alias, known, ld->n_rules) : "");
}

void policy_link(struct policy *p)
{
	for (size_t i = 0; i < p->ld->n_rules; i++) {
		const struct rule *r = &p->ld->rules[i];
		for (size_t k = 0; k < r->n_allowed; k++)
			check_allowed(p, &r->allowed[k]);
		if (r->join_rule == JOIN_RESTRICTED && p->n_made)
			link_rule(p, r);
	}
}
