/*
 * appservice/fleet/node.c: reading YAML nodes, with the finding that says
 * what was expected where something else stands.
 */
#include "appservice/fleet/fleet_priv.h"

#include "base/str.h"

#include "base/poison.h"

struct place node_place(const char *file, const struct yaml_node *v)
{
	return (struct place){ file, v ? v->line : 0, v ? v->column : 0 };
}

bool node_is_map(struct load *ld, const char *file, const char *label,
	const struct yaml_node *v, const char *const *known, size_t n)
{
	if (v->type != YAML_MAP) {
		fault(ld, node_place(file, v),
			"%s: expected a map (key: value), found %s", label,
			yaml_type_name(v));
		return false;
	}
	for (size_t i = 0; i < v->n; i++) {
		const char *key = v->keys[i]->text;
		bool ok = false;
		for (size_t k = 0; k < n && !ok; k++)
			ok = text_eq(key, known[k]);
		if (ok)
			continue;
		const char *near = nearest_word(key, known, n);
		fault(ld, node_place(file, v->keys[i]),
			"%s: unknown key \"%s\"%s%s%s", label, key,
			near ? ": did you mean " : "", near ? near : "",
			near ? "?" : "");
	}
	return true;
}

bool node_is_list(struct load *ld, const char *file, const char *label,
	const struct yaml_node *v)
{
	if (yaml_is_null(v))
		return false;
	if (v->type == YAML_SEQ)
		return true;
	fault(ld, node_place(file, v), "%s: expected a list, found %s", label,
		yaml_type_name(v));
	return false;
}

const char *node_text(struct load *ld, const char *file, const char *label,
	const struct yaml_node *map, const char *key)
{
	const struct yaml_node *v = yaml_get(map, key);
	if (yaml_is_null(v))
		return NULL;
	const char *text = yaml_str(v);
	if (text && *text)
		return arena_strdup(ld->keep, text);
	fault(ld, node_place(file, v), "%s.%s: expected a text, found %s",
		label, key, text ? "an empty one" : yaml_type_name(v));
	return NULL;
}
