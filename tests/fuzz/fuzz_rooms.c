/*
 * The policy of rooms. What is refused is refused with a place; of what is
 * taken, each room is whole, and in a room for all is whom its `members` let
 * in, which is asked here once more of the text itself.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/fleet/fleet.h"

#include "base/poison.h"

static const char staff[] =
	"agents:\n"
	"- {id: ann, department: Lab, level: VP}\n"
	"- {id: bob, department: Lab, team: Core, level: Director}\n"
	"- {id: cat, department: Lab, team: Core, level: IC}\n"
	"- {id: dan, department: Shop, team: core, level: IC}\n"
	"- {id: eve, department: Shop, team: Till, level: Manager}\n"
	"- {id: fay, team: Till}\n"
	"humans: [boss, \"@far:away.net\"]\n";

static bool holds(const struct yaml_node *v, const struct person *who);

/* The value is the word, or a list that has it. */
static bool names(const struct yaml_node *v, const char *word)
{
	if (v->type != YAML_SEQ)
		return text_eq(yaml_str(v), word);
	for (size_t i = 0; i < v->n; i++) {
		if (text_eq(yaml_str(v->items[i]), word))
			return true;
	}
	return false;
}

/* How many of one matcher or a list of them hold. */
static size_t count(const struct yaml_node *v, const struct person *who)
{
	size_t n = 0;
	if (v->type != YAML_SEQ)
		return holds(v, who);
	for (size_t i = 0; i < v->n; i++)
		n += holds(v->items[i], who);
	return n;
}

static bool key_holds(
	const char *key, const struct yaml_node *v, const struct person *who)
{
	if (yaml_is_null(v) || text_eq(key, "everyone"))
		return true;
	if (text_eq(key, "level"))
		return who->level && names(v, who->level);
	if (text_eq(key, "department"))
		return who->department && names(v, who->department);
	if (text_eq(key, "team"))
		return who->team && names(v, who->team);
	if (text_eq(key, "members"))
		return names(v, who->user_id) ||
			(text_ends(who->user_id, ":example.org") &&
				names(v, who->localpart));
	if (text_eq(key, "any"))
		return count(v, who) > 0;
	if (text_eq(key, "all"))
		return count(v, who) == v->n;
	HOLDS(text_eq(key, "except"));
	return !count(v, who);
}

static bool holds(const struct yaml_node *v, const struct person *who)
{
	HOLDS(v->type == YAML_MAP && v->n);
	for (size_t i = 0; i < v->n; i++) {
		if (!key_holds(v->keys[i]->text, v->items[i], who))
			return false;
	}
	return true;
}

/* A room for all has whom its text lets in. */
static void check_for_all(const struct fleet *f, const struct yaml_node *rule)
{
	size_t n = 0;
	const struct yaml_node *members = yaml_get(rule, "members");
	const struct room *r = NULL;
	for (size_t i = 0; i < f->n_rooms && !r; i++) {
		if (text_eq(f->rooms[i].policy->rule,
			    yaml_str(yaml_get(rule, "alias"))))
			r = &f->rooms[i];
	}
	for (size_t i = 0; i < f->n_people; i++) {
		if (!holds(members, f->people[i]))
			continue;
		n++;
		/* Two may have one alias where only one has members. */
		HOLDS(r && room_has_member(r, f->people[i]->user_id));
	}
	HOLDS(!n || n == r->n_members);
}

/* Its alias stands in the room as it is written: small, and no braces. */
static bool is_plain(const struct yaml_node *rule)
{
	const char *alias = yaml_str(yaml_get(rule, "alias"));
	return alias && MATCHES("[a-z0-9-]+", alias);
}

static void check_policy(const struct fleet *f, const struct room *r)
{
	const struct room_policy *p = r->policy;
	HOLDS(p && p->rule && *p->rule);
	HOLDS((p->join_rule == JOIN_RESTRICTED) == (p->n_allow > 0));
	for (size_t i = 0; i < p->n_allow; i++) {
		const struct room *other = fleet_room(f, p->allow[i]);
		HOLDS(other && other != r);
		HOLDS(!i || strcmp(p->allow[i - 1], p->allow[i]) < 0);
	}
	HOLDS(!p->history ||
		MATCHES("shared|invited|joined|world_readable", p->history));
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct grant *g = &p->grants[i];
		HOLDS(room_has_member(r, g->user_id));
		HOLDS(!fleet_person(f, g->user_id)->human);
		HOLDS(g->level >= 0 && g->level <= 100);
		HOLDS(!i || strcmp(g[-1].user_id, g->user_id) < 0);
	}
}

static void check_room(const struct fleet *f, const struct room *r)
{
	HOLDS(!r->direct && r->n_members && r->n_members <= f->n_people);
	HOLDS(text_eq(r->key, r->alias) && fleet_room(f, r->key) == r);
	HOLDS(r->name && *r->alias == '#');
	for (size_t i = 1; i < r->n_members; i++)
		HOLDS(strcmp(r->members[i - 1]->user_id,
			      r->members[i]->user_id) < 0);
	check_policy(f, r);
}

static void check_fleet(const struct fleet *f, const struct yaml_node *rooms)
{
	HOLDS(f->n_people == 8 && !f->n_direct);
	for (size_t i = 0; i < f->n_rooms; i++)
		check_room(f, &f->rooms[i]);
	for (size_t i = 0; rooms->type == YAML_SEQ && i < rooms->n; i++) {
		if (is_plain(rooms->items[i]))
			check_for_all(f, rooms->items[i]);
	}
}

static void check_report(const struct report *r, enum rc rc)
{
	HOLDS((rc == RC_OK) == (r->errors == 0));
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->items[i];
		HOLDS(*f->text && text_eq(f->file, "rooms"));
		HOLDS(f->line > 0 && f->column > 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct yaml_doc people, doc;
	struct report report;
	struct fleet fleet;
	struct err e = { 0 };

	if (yaml_parse((const char *)p, n, "rooms", &doc, &e) != RC_OK)
		return 0;
	HOLDS(yaml_parse(staff, strlen(staff), "staff", &people, &e) == RC_OK);
	struct fleet_source src = { .server_name = "example.org",
		.sender = "muster",
		.self_path = "rooms",
		.agents = yaml_get(people.root, "agents"),
		.humans = yaml_get(people.root, "humans"),
		.rooms = doc.root };
	report_init(&report);
	enum rc rc = fleet_load(&src, &fleet, &report, &e);
	check_report(&report, rc);
	if (rc == RC_OK && !yaml_is_null(doc.root))
		check_fleet(&fleet, doc.root);
	fleet_free(&fleet);
	report_free(&report);
	yaml_doc_free(&people);
	yaml_doc_free(&doc);
	return 0;
}
