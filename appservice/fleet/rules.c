/*
 * appservice/fleet/rules.c: reads the room policy: which rooms there are and
 * what a member must be.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static const char *const heads[] = { "VP", "Director" };

/* Everybody, the heads of each department, each team. */
static const struct rule default_rules[] = {
	{ .alias = "all-employees", .everyone = true },
	{ .alias = "{department}-leadership",
		.by_department = true,
		.levels = heads,
		.n_levels = ARRAY_LEN(heads) },
	{ .alias = "{team}-team", .by_team = true, .team = "{team}" },
};

/* One entry being read. */
struct reading {
	struct load *ld;
	const struct yaml_node *v;
	const char *label;   /* rooms[3] */
	const char *members; /* rooms[3].members */
	struct rule rule;
};

static void tell(struct load *ld, const char *label, const struct yaml_node *at,
	const char *key, const char *what)
{
	fault(ld, node_place(ld->rooms_file, at), "%s.%s: %s", label, key,
		what);
}

/* What stands between braces: *dept and *team say which were met. */
static bool braces_ok(struct load *ld, const char *label,
	const struct yaml_node *at, const char *key, const char *text,
	bool *dept, bool *team)
{
	for (const char *p = strchr(text, '{'); p; p = strchr(p, '{')) {
		const char *end = strchr(p, '}');
		size_t n = end ? (size_t)(end - p - 1) : 0;
		struct str word = { p + 1, n };
		if (!end) {
			tell(ld, label, at, key, "a { without its }");
			return false;
		}
		if (str_eq(word, "department")) {
			*dept = true;
		} else if (str_eq(word, "team")) {
			*team = true;
		} else {
			fault(ld, node_place(ld->rooms_file, at),
				"%s.%s: \"{%.*s}\" is unknown: expected "
				"{department} or {team}",
				label, key, (int)n, p + 1);
			return false;
		}
		p = end;
	}
	return true;
}

static void read_alias(struct reading *rd)
{
	struct rule *r = &rd->rule;
	const struct yaml_node *at = yaml_get(rd->v, "alias");
	bool dept = false, team = false;
	r->alias = node_text(
		rd->ld, rd->ld->rooms_file, rd->label, rd->v, "alias");
	if (!r->alias) {
		if (yaml_is_null(at))
			tell(rd->ld, rd->label, at ? at : rd->v, "alias",
				"is missing");
		return;
	}
	bool odd = *r->alias == '#';
	for (const char *p = r->alias; *p; p++)
		odd = odd || *p == ':' || (unsigned char)*p <= ' ';
	if (odd)
		tell(rd->ld, rd->label, at, "alias",
			"expected only what stands between # and :, without "
			"white space");
	if (!braces_ok(rd->ld, rd->label, at, "alias", r->alias, &dept, &team))
		return;
	r->by_team = team;
	r->by_department = dept && !team;
	/* What stands in the rule is written like what is put into it. */
	r->alias = alias_part(rd->ld->keep, r->alias);
	if (!r->alias)
		rd->ld->keep->failed = true;
}

/* A text that may name what the alias names. */
static const char *read_template(struct reading *rd, const char *label,
	const struct yaml_node *map, const char *key)
{
	struct load *ld = rd->ld;
	bool dept = false, team = false;
	const struct rule *r = &rd->rule;
	const char *text = node_text(ld, ld->rooms_file, label, map, key);
	const struct yaml_node *at = yaml_get(map, key);
	if (!text || !braces_ok(ld, label, at, key, text, &dept, &team))
		return text;
	if (team && !r->by_team)
		tell(ld, label, at, key,
			"{team} can only stand here when it is in the alias");
	else if (dept && !r->by_team && !r->by_department)
		tell(ld, label, at, key,
			"{department} can only stand here when it (or {team}) "
			"is in the alias");
	return text;
}

static void add_level(
	struct reading *rd, const struct yaml_node *v, const char **levels)
{
	struct place at = node_place(rd->ld->rooms_file, v);
	const char *text = yaml_str(v);
	if (!text) {
		tell(rd->ld, rd->members, v, "level",
			"expected a level or a list");
		return;
	}
	const char *level = level_of(rd->ld, at, rd->members, text, true);
	if (level)
		levels[rd->rule.n_levels++] = level;
}

static void read_levels(struct reading *rd, const struct yaml_node *v)
{
	if (yaml_is_null(v))
		return;
	bool list = v->type == YAML_SEQ;
	const char **levels = arena_array(
		&rd->ld->scratch, list ? v->n + 1 : 1, sizeof(char *));
	if (!levels)
		return;
	rd->rule.levels = levels;
	if (!list)
		add_level(rd, v, levels);
	for (size_t i = 0; list && i < v->n; i++)
		add_level(rd, v->items[i], levels);
	if (list && !v->n)
		tell(rd->ld, rd->members, v, "level", "the list is empty");
}

static void read_members(struct reading *rd)
{
	static const char *const known[] = { "everyone", "level", "department",
		"team" };
	struct rule *r = &rd->rule;
	const struct yaml_node *v = yaml_get(rd->v, "members");
	if (yaml_is_null(v)) {
		tell(rd->ld, rd->label, v ? v : rd->v, "members",
			"is missing: who is in the room, such as "
			"{everyone: true}");
		return;
	}
	if (!node_is_map(rd->ld, rd->ld->rooms_file, rd->members, v, known,
		    ARRAY_LEN(known)))
		return;
	const struct yaml_node *everyone = yaml_get(v, "everyone");
	if (!yaml_is_null(everyone) &&
		(!yaml_bool(everyone, &r->everyone) || !r->everyone))
		tell(rd->ld, rd->members, everyone, "everyone",
			"expected true (leave it out otherwise)");
	read_levels(rd, yaml_get(v, "level"));
	r->department = read_template(rd, rd->members, v, "department");
	r->team = read_template(rd, rd->members, v, "team");
	bool any = false;
	for (size_t i = 0; i < v->n; i++)
		any = any || !yaml_is_null(v->items[i]);
	if (!any)
		tell(rd->ld, rd->label, v, "members",
			"is empty: expected everyone, level, department or "
			"team");
}

static void read_rule(
	struct load *ld, const struct yaml_node *v, size_t i, struct rule *ret)
{
	static const char *const known[] = { "alias", "name", "topic",
		"members", "strict" };
	char label[32], members[48];
	snprintf(label, sizeof(label), "rooms[%zu]", i);
	snprintf(members, sizeof(members), "%s.members", label);
	struct reading rd = { ld, v, label, members, { .alias = NULL } };
	rd.rule.place = node_place(ld->rooms_file, v);
	if (!node_is_map(ld, ld->rooms_file, label, v, known, ARRAY_LEN(known)))
		return;
	read_alias(&rd);
	rd.rule.name = read_template(&rd, label, v, "name");
	rd.rule.topic = read_template(&rd, label, v, "topic");
	read_members(&rd);
	const struct yaml_node *strict = yaml_get(v, "strict");
	if (!yaml_is_null(strict) && !yaml_bool(strict, &rd.rule.strict))
		tell(ld, label, strict, "strict", "expected true or false");
	*ret = rd.rule;
}

void rules_read(struct load *ld)
{
	const struct yaml_node *list = ld->src->rooms;
	if (yaml_is_null(list)) {
		ld->rules = default_rules;
		ld->n_rules = ARRAY_LEN(default_rules);
		return;
	}
	if (!node_is_list(ld, ld->rooms_file, "rooms", list))
		return;
	struct rule *rules =
		arena_array(&ld->scratch, list->n + 1, sizeof(*rules));
	if (!rules)
		return;
	for (size_t i = 0; i < list->n; i++)
		read_rule(ld, list->items[i], i, &rules[i]);
	ld->rules = rules;
	ld->n_rules = list->n;
}
