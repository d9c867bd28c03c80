/*
 * appservice/fleet/rules.c: reads the room policy: which rooms there are.
 */
#include "appservice/fleet/rules_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static const char *const heads[] = { "VP", "Director" };
static const struct word own_team = { "{team}", true };

/* Everybody, the heads of each department, each team. */
static const struct rule default_rules[] = {
	{ .alias = "all-employees", .members = { .own = true } },
	{ .alias = "{department}-leadership",
		.by_department = true,
		.members = { .own = true,
			.levels = heads,
			.n_levels = ARRAY_LEN(heads) } },
	{ .alias = "{team}-team",
		.by_team = true,
		.words = &own_team,
		.n_words = 1,
		.members = { .own = true, .teams = { 0, 1 } } },
};

void rule_tell(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *what)
{
	fault(rd->ld, node_place(rd->ld->rooms_file, at), "%s.%s: %s", label,
		key, what);
}

size_t node_count(const struct yaml_node *v)
{
	return v->type == YAML_SEQ ? v->n : 1;
}

const struct yaml_node *node_item(const struct yaml_node *v, size_t i)
{
	return v->type == YAML_SEQ ? v->items[i] : v;
}

const char *did_you_mean(
	struct load *ld, const char *word, const char *const *words, size_t n)
{
	const char *near = nearest_word(word, words, n);
	const char *text = !near
		? NULL
		: arena_printf(&ld->scratch, " (did you mean %s?)", near);
	return text ? text : "";
}

/* What stands between braces: *dept and *team say which were met. */
static bool braces_ok(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *text,
	bool *dept, bool *team)
{
	for (const char *p = strchr(text, '{'); p; p = strchr(p, '{')) {
		const char *end = strchr(p, '}');
		size_t n = end ? (size_t)(end - p - 1) : 0;
		struct str word = { p + 1, n };
		if (!end) {
			rule_tell(rd, label, at, key, "a { without its }");
			return false;
		}
		if (str_eq(word, "department")) {
			*dept = true;
		} else if (str_eq(word, "team")) {
			*team = true;
		} else {
			fault(rd->ld, node_place(rd->ld->rooms_file, at),
				"%s.%s: \"{%.*s}\" is unknown: expected "
				"{department} or {team}",
				label, key, (int)n, p + 1);
			return false;
		}
		p = end;
	}
	return true;
}

bool rule_template_ok(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *text)
{
	bool dept = false, team = false;
	const struct rule *r = &rd->rule;
	if (!braces_ok(rd, label, at, key, text, &dept, &team))
		return false;
	if (team && !r->by_team) {
		rule_tell(rd, label, at, key,
			"{team} can only stand here when it is in the alias");
		return false;
	}
	if (dept && !r->by_team && !r->by_department) {
		rule_tell(rd, label, at, key,
			"{department} can only stand here when it (or {team}) "
			"is in the alias");
		return false;
	}
	return true;
}

bool rule_alias_ok(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *text)
{
	bool odd = *text == '#';
	for (const char *p = text; *p; p++)
		odd = odd || *p == ':' || (unsigned char)*p <= ' ';
	if (odd)
		rule_tell(rd, label, at, key,
			"expected only what stands between # and :, without "
			"white space");
	return !odd;
}

const char *rule_alias(const struct reading *rd, const char *text)
{
	const char *part = alias_part(rd->ld->keep, text);
	if (!part)
		rd->ld->keep->failed = true;
	return part;
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
			rule_tell(rd, rd->label, at ? at : rd->v, "alias",
				"is missing");
		return;
	}
	(void)rule_alias_ok(rd, rd->label, at, "alias", r->alias);
	if (!braces_ok(rd, rd->label, at, "alias", r->alias, &dept, &team))
		return;
	r->by_team = team;
	r->by_department = dept && !team;
	/* What stands in the rule is written like what is put into it. */
	r->alias = rule_alias(rd, r->alias);
}

/* A text that may name what the alias names. */
static const char *read_template(struct reading *rd, const char *key)
{
	const char *text =
		node_text(rd->ld, rd->ld->rooms_file, rd->label, rd->v, key);
	if (text)
		(void)rule_template_ok(
			rd, rd->label, yaml_get(rd->v, key), key, text);
	return text;
}

static void read_members(struct reading *rd)
{
	const struct yaml_node *v = yaml_get(rd->v, "members");
	if (yaml_is_null(v))
		rule_tell(rd, rd->label, v ? v : rd->v, "members",
			"is missing: who is in the room, such as "
			"{everyone: true}");
	else
		matcher_read(rd, v);
}

static void read_rule(
	struct load *ld, const struct yaml_node *v, size_t i, struct rule *ret)
{
	static const char *const known[] = { "alias", "name", "topic",
		"members", "strict", "join_rule", "history", "encryption",
		"extra_power" };
	char label[32];
	snprintf(label, sizeof(label), "rooms[%zu]", i);
	struct reading rd = { .ld = ld, .v = v, .label = label };
	rd.rule.place = node_place(ld->rooms_file, v);
	if (!node_is_map(ld, ld->rooms_file, label, v, known, ARRAY_LEN(known)))
		return;
	read_alias(&rd);
	rd.rule.name = read_template(&rd, "name");
	rd.rule.topic = read_template(&rd, "topic");
	read_members(&rd);
	const struct yaml_node *strict = yaml_get(v, "strict");
	if (!yaml_is_null(strict) && !yaml_bool(strict, &rd.rule.strict))
		rule_tell(
			&rd, label, strict, "strict", "expected true or false");
	access_read(&rd);
	rd.rule.words = rd.words;
	rd.rule.n_words = rd.n_words;
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
