/*
 * appservice/fleet/matcher.c: who is in a room: a tree of what somebody must
 * be or must not be, read from `members` and asked of each person.
 *
 * In the rooms of a department or a team it is about the people of that
 * department or team, unless it says otherwise by naming somebody: an id, or,
 * inside of any, all and except, another department or team.
 */
#include "appservice/fleet/rules_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "base/poison.h"

/* A YAML document ends at 16 levels, of which each of these takes two. */
#define DEPTH_MAX 6

static const char *const known[] = { "everyone", "level", "department", "team",
	"members", "any", "all", "except" };

/* A matcher being read, and where in the tree it is. */
struct node {
	struct reading *rd;
	const struct yaml_node *v;
	const char *label; /* rooms[3].members.any[0] */
	int depth;         /* from 1 */
	bool except;       /* inside of one */
};

static void read_matcher(const struct node *at, struct matcher *ret);

static void tell(const struct node *at, const struct yaml_node *v,
	const char *key, const char *what)
{
	rule_tell(at->rd, at->label, v, key, what);
}

/* The value of a key, NULL when nothing is said; an empty list is a finding. */
static const struct yaml_node *value_of(const struct node *at, const char *key)
{
	const struct yaml_node *v = yaml_get(at->v, key);
	if (yaml_is_null(v))
		return NULL;
	if (node_count(v))
		return v;
	tell(at, v, key, "the list is empty");
	return NULL;
}

static void read_everyone(const struct node *at)
{
	bool everyone = false;
	const struct yaml_node *v = yaml_get(at->v, "everyone");
	if (!yaml_is_null(v) && (!yaml_bool(v, &everyone) || !everyone))
		tell(at, v, "everyone",
			"expected true (leave it out otherwise)");
}

static void read_levels(const struct node *at, struct matcher *ret)
{
	struct load *ld = at->rd->ld;
	const struct yaml_node *v = value_of(at, "level");
	size_t n = v ? node_count(v) : 0;
	const char **levels = arena_array(&ld->scratch, n, sizeof(char *));
	if (!levels)
		return;
	ret->levels = levels;
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = node_item(v, i);
		const char *text = yaml_str(item);
		if (!text)
			tell(at, item, "level", "expected a level or a list");
		const char *level = !text
			? NULL
			: level_of(ld, node_place(ld->rooms_file, item),
				  at->label, text, true);
		if (level)
			levels[ret->n_levels++] = level;
	}
}

/* Of a department or a team. */
static void read_words(
	const struct node *at, const char *key, bool own, struct words *ret)
{
	struct reading *rd = at->rd;
	const struct yaml_node *v = value_of(at, key);
	ret->first = rd->n_words;
	for (size_t i = 0; v && i < node_count(v); i++) {
		const struct yaml_node *item = node_item(v, i);
		const char *text = yaml_str(item);
		if (!text || !*text) {
			fault(rd->ld, node_place(rd->ld->rooms_file, item),
				"%s.%s: expected a text or a list of texts, "
				"found %s",
				at->label, key,
				text ? "an empty one" : yaml_type_name(item));
			continue;
		}
		if (!rule_template_ok(rd, at->label, item, key, text))
			continue;
		struct word *w = arena_push(&rd->ld->scratch, &rd->words,
			&rd->n_words, &rd->words_cap, sizeof(*w));
		if (!w)
			return;
		w->text = arena_strdup(&rd->ld->scratch, text);
		w->own = own && strstr(text, "{team}");
		ret->n++;
	}
}

static void read_ids(const struct node *at, struct matcher *ret)
{
	struct reading *rd = at->rd;
	const struct yaml_node *v = value_of(at, "members");
	size_t n = v ? node_count(v) : 0;
	if (v && v->type != YAML_SEQ) {
		fault(rd->ld, node_place(rd->ld->rooms_file, v),
			"%s.members: expected a list of ids, found %s",
			at->label, yaml_type_name(v));
		return;
	}
	const char *label =
		arena_printf(&rd->ld->scratch, "%s.members", at->label);
	ret->ids = arena_array(&rd->ld->scratch, n, sizeof(*ret->ids));
	for (size_t i = 0; label && ret->ids && i < n; i++) {
		const struct yaml_node *item = v->items[i];
		const char *text = yaml_str(item);
		if (!text)
			tell(at, item, "members",
				"expected the id of a person");
		else if (named_read(
				 rd, label, item, text, &ret->ids[ret->n_ids]))
			ret->n_ids++;
	}
}

/* any, all or except. */
static const struct matcher *read_inner(
	const struct node *at, const char *key, bool except, size_t *ret_n)
{
	struct arena *a = &at->rd->ld->scratch;
	const struct yaml_node *v = value_of(at, key);
	bool list = v && v->type == YAML_SEQ;
	if (!v)
		return NULL;
	if (!list && !except) {
		tell(at, v, key, "expected a list of what somebody may be");
		return NULL;
	}
	size_t n = node_count(v);
	struct matcher *inner = arena_array(a, n, sizeof(*inner));
	for (size_t i = 0; inner && i < n; i++) {
		struct node next = { at->rd, node_item(v, i), NULL,
			at->depth + 1, at->except || except };
		next.label = list
			? arena_printf(a, "%s.%s[%zu]", at->label, key, i)
			: arena_printf(a, "%s.%s", at->label, key);
		if (next.label)
			read_matcher(&next, &inner[i]);
	}
	*ret_n = inner ? n : 0;
	return inner;
}

static bool says(const struct node *at, const char *key)
{
	return !yaml_is_null(yaml_get(at->v, key));
}

static bool says_nothing(const struct node *at)
{
	bool any = false;
	for (size_t i = 0; i < at->v->n; i++)
		any = any || !yaml_is_null(at->v->items[i]);
	return !any;
}

/* It is about the room's own people: it names nobody else. */
static bool is_own(const struct node *at)
{
	if (says(at, "members") || says(at, "any") || says(at, "all"))
		return false;
	if (at->depth == 1)
		return true;
	return !at->except && !says(at, "department") && !says(at, "team");
}

static void read_matcher(const struct node *at, struct matcher *ret)
{
	struct load *ld = at->rd->ld;
	if (at->depth > DEPTH_MAX) {
		fault(ld, node_place(ld->rooms_file, at->v),
			"%s: any, all and except are nested more than %d deep",
			at->label, DEPTH_MAX - 1);
		return;
	}
	if (!node_is_map(ld, ld->rooms_file, at->label, at->v, known,
		    ARRAY_LEN(known)))
		return;
	if (says_nothing(at)) {
		fault(ld, node_place(ld->rooms_file, at->v),
			"%s: is empty: expected everyone, level, department, "
			"team, members, any, all or except",
			at->label);
		return;
	}
	read_everyone(at);
	read_levels(at, ret);
	read_words(at, "department", false, &ret->departments);
	read_words(at, "team", !says(at, "department"), &ret->teams);
	read_ids(at, ret);
	ret->any = read_inner(at, "any", false, &ret->n_any);
	ret->all = read_inner(at, "all", false, &ret->n_all);
	ret->except = read_inner(at, "except", true, &ret->n_except);
	ret->own = is_own(at);
}

void matcher_read(struct reading *rd, const struct yaml_node *v)
{
	struct node top = { rd, v, NULL, 1, false };
	top.label = arena_printf(&rd->ld->scratch, "%s.members", rd->label);
	if (top.label)
		read_matcher(&top, &rd->rule.members);
}

static int by_person(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return (x->person > y->person) - (x->person < y->person);
}

static void resolve_list(struct load *ld, const struct matcher *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		matcher_resolve(ld, &list[i]);
}

void matcher_resolve(struct load *ld, const struct matcher *m)
{
	for (size_t i = 0; i < m->n_ids; i++)
		named_find(ld, &m->ids[i]);
	if (m->n_ids)
		qsort(m->ids, m->n_ids, sizeof(*m->ids), by_person);
	resolve_list(ld, m->any, m->n_any);
	resolve_list(ld, m->all, m->n_all);
	resolve_list(ld, m->except, m->n_except);
}

bool matcher_reaches(const struct matcher *m)
{
	bool any = !m->n_any;
	if (m->own)
		return false;
	for (size_t i = 0; i < m->n_all; i++) {
		if (!matcher_reaches(&m->all[i]))
			return false;
	}
	for (size_t i = 0; i < m->n_any && !any; i++)
		any = matcher_reaches(&m->any[i]);
	return any;
}

static bool has_level(const struct matcher *m, const char *level)
{
	for (size_t i = 0; i < m->n_levels; i++) {
		if (text_eq(m->levels[i], level))
			return true;
	}
	return !m->n_levels;
}

static bool has_word(const struct scope *s, const struct words *list,
	const char *word, const char *department)
{
	for (size_t i = list->first; i < list->first + list->n; i++) {
		if (s->rule->words[i].own &&
			!text_eq(s->department, department))
			continue;
		if (text_eq(s->words[i], word))
			return true;
	}
	return !list->n;
}

static bool has_id(const struct matcher *m, size_t person)
{
	struct named key = { .person = person };
	return !m->n_ids ||
		bsearch(&key, m->ids, m->n_ids, sizeof(key), by_person);
}

/* One of the list, or all of it, holds. */
static bool list_holds(const struct matcher *list, size_t n, bool all,
	const struct draft *d, const struct scope *s)
{
	for (size_t i = 0; i < n; i++) {
		if (matcher_holds(&list[i], d, s) != all)
			return !all;
	}
	return all;
}

bool matcher_holds(
	const struct matcher *m, const struct draft *d, const struct scope *s)
{
	const struct person *who = &d->person;
	if (m->own && (d->group < s->first || d->group >= s->end))
		return false;
	return has_id(m, d->index) && has_level(m, who->level) &&
		has_word(
			s, &m->departments, who->department, who->department) &&
		has_word(s, &m->teams, who->team, who->department) &&
		list_holds(m->all, m->n_all, true, d, s) &&
		(!m->n_any || list_holds(m->any, m->n_any, false, d, s)) &&
		!list_holds(m->except, m->n_except, false, d, s);
}
