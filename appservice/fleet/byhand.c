/*
 * appservice/fleet/byhand.c: people who stand in our own configuration:
 * fleet.humans and fleet.agents.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdio.h>

#include "base/str.h"

#include "base/poison.h"

static void read_human(
	struct load *ld, const struct yaml_node *v, const char *label)
{
	static const char *const known[] = { "id", "name" };
	const char *name = NULL;
	const struct yaml_node *id = v;
	if (!yaml_str(v)) {
		if (!node_is_map(ld, ld->humans_file, label, v, known,
			    ARRAY_LEN(known)))
			return;
		name = node_text(ld, ld->humans_file, label, v, "name");
		name_check(ld, node_place(ld->humans_file, yaml_get(v, "name")),
			label, "name", name);
		id = yaml_get(v, "id");
	}
	const char *text = yaml_str(id);
	if (!text || !*text) {
		fault(ld, node_place(ld->humans_file, id ? id : v),
			"%s: expected the id of a person, @name:server", label);
		return;
	}
	struct draft *d = roster_add(ld, FROM_HUMANS, text, true, true,
		node_place(ld->humans_file, id), label);
	if (!d)
		return;
	d->mention = d->person.human = d->person.deployed = true;
	if (name) {
		d->person.name = name;
		d->named = true;
	}
}

/* The department or the team. */
static const char *read_word(struct load *ld, const char *label,
	const struct yaml_node *v, const char *key)
{
	const char *text = node_text(ld, ld->agents_file, label, v, key);
	word_check(ld, node_place(ld->agents_file, yaml_get(v, key)), label,
		key, text);
	return text;
}

static void read_agent(
	struct load *ld, const struct yaml_node *v, const char *label)
{
	static const char *const known[] = { "id", "name", "department", "team",
		"level", "manager" };
	const char *file = ld->agents_file;
	if (!node_is_map(ld, file, label, v, known, ARRAY_LEN(known)))
		return;
	const char *id = node_text(ld, file, label, v, "id");
	if (!id) {
		if (yaml_is_null(yaml_get(v, "id")))
			fault(ld, node_place(file, v), "%s: \"id\" is missing",
				label);
		return;
	}
	struct draft *d = roster_add(ld, FROM_AGENTS, id, true, false,
		node_place(file, yaml_get(v, "id")), label);
	const char *name = node_text(ld, file, label, v, "name");
	name_check(
		ld, node_place(file, yaml_get(v, "name")), label, "name", name);
	const char *level = node_text(ld, file, label, v, "level");
	const char *boss = node_text(ld, file, label, v, "manager");
	if (!d)
		return;
	if (name) {
		d->person.name = name;
		d->named = true;
	}
	d->person.department = read_word(ld, label, v, "department");
	d->person.team = read_word(ld, label, v, "team");
	d->person.deployed = true;
	if (level)
		d->person.level =
			level_of(ld, node_place(file, yaml_get(v, "level")),
				label, level, false);
	if (boss) {
		d->reports_to = roster_id(ld, boss, true);
		d->manager_at = node_place(file, yaml_get(v, "manager"));
	}
}

static void read_list(struct load *ld, const char *file,
	const struct yaml_node *list, const char *name,
	void (*read)(struct load *, const struct yaml_node *, const char *))
{
	if (!node_is_list(ld, file, name, list))
		return;
	for (size_t i = 0; i < list->n; i++) {
		char label[48];
		snprintf(label, sizeof(label), "%s[%zu]", name, i);
		read(ld, list->items[i], label);
	}
}

void byhand_read(struct load *ld)
{
	read_list(ld, ld->agents_file, ld->src->agents, "fleet.agents",
		read_agent);
	read_list(ld, ld->humans_file, ld->src->humans, "fleet.humans",
		read_human);
}
