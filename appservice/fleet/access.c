/*
 * appservice/fleet/access.c: who may come into a room uninvited, read what was
 * said before, read it at all, and rule in it.
 */
#include "appservice/fleet/rules_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

#define POWER_MAX 100 /* the service's own */

static const char *const levels[] = { "CEO", "VP", "Director", "Manager",
	"IC" };

/* --- people by id --- */

bool named_read(struct reading *rd, const char *label,
	const struct yaml_node *at, const char *text, struct named *ret)
{
	struct load *ld = rd->ld;
	struct str localpart, server;
	struct place place = node_place(ld->rooms_file, at);
	const char *id = roster_id(ld, text, true);
	if (!id)
		return false;
	if (!id_split(id, '@', &localpart, &server) || !localpart.n ||
		!utf8_printable(id, strlen(id))) {
		fault(ld, place,
			"%s: \"%s\" is no user id: expected a name or "
			"@name:%s",
			label, text, ld->src->server_name);
		return false;
	}
	if (str_eq(localpart, ld->src->sender) &&
		id_is_local(id, ld->src->server_name)) {
		fault(ld, place,
			"%s: %s is the service's own user, which is in every "
			"room and keeps its power: it cannot be named",
			label, id);
		return false;
	}
	*ret = (struct named){ id, label, place, NOBODY };
	return true;
}

void named_find(struct load *ld, struct named *who)
{
	const struct draft *d = roster_find(ld, who->user_id);
	who->person = d ? d->index : NOBODY;
	if (!d)
		caution(ld, who->place, "%s: nobody has the id %s", who->label,
			who->user_id);
}

/* --- join_rule --- */

static void read_allowed(struct reading *rd, const char *label,
	const struct yaml_node *at, struct allowed *ret)
{
	static const char key[] = "restricted";
	const char *text = yaml_str(at);
	if (!text || !*text) {
		rule_tell(rd, label, at, key,
			"expected the alias of a room of the policy, or a list "
			"of them");
		return;
	}
	if (!rule_alias_ok(rd, label, at, key, text) ||
		!rule_template_ok(rd, label, at, key, text))
		return;
	ret->alias = rule_alias(rd, text);
	ret->label = label;
	ret->place = node_place(rd->ld->rooms_file, at);
	if (text_eq(ret->alias, rd->rule.alias))
		rule_tell(rd, label, at, key,
			"this is the room itself: expected the alias of "
			"another one");
}

static void read_restricted(struct reading *rd, const struct yaml_node *v)
{
	static const char *const known[] = { "restricted" };
	struct load *ld = rd->ld;
	const char *label =
		arena_printf(&ld->scratch, "%s.join_rule", rd->label);
	if (!label ||
		!node_is_map(
			ld, ld->rooms_file, label, v, known, ARRAY_LEN(known)))
		return;
	const struct yaml_node *list = yaml_get(v, "restricted");
	size_t n = list && !yaml_is_null(list) ? node_count(list) : 0;
	if (!n) {
		rule_tell(rd, label, list ? list : v, "restricted",
			"is missing: the alias of the room whose members may "
			"join");
		return;
	}
	struct allowed *allowed =
		arena_array(&ld->scratch, n, sizeof(*allowed));
	if (!allowed)
		return;
	for (size_t i = 0; i < n; i++)
		read_allowed(rd, label, node_item(list, i), &allowed[i]);
	rd->rule.join_rule = JOIN_RESTRICTED;
	rd->rule.allowed = allowed;
	rd->rule.n_allowed = n;
}

static void read_join_rule(struct reading *rd)
{
	static const char *const words[] = { "invite", "public", "restricted" };
	const struct yaml_node *v = yaml_get(rd->v, "join_rule");
	const char *text = yaml_str(v);
	struct load *ld = rd->ld;
	if (yaml_is_null(v) || text_eq(text, "invite"))
		return;
	if (v->type == YAML_MAP)
		read_restricted(rd, v);
	else if (text_eq(text, "public"))
		rd->rule.join_rule = JOIN_PUBLIC;
	else if (text_eq(text, "restricted"))
		rule_tell(rd, rd->label, v, "join_rule",
			"restricted to the members of which room? expected "
			"{restricted: ALIAS}");
	else
		fault(ld, node_place(ld->rooms_file, v),
			"%s.join_rule: %s%s%s is no join rule: expected "
			"invite, public or {restricted: ALIAS}%s",
			rd->label, text ? "\"" : "",
			text ? text : yaml_type_name(v), text ? "\"" : "",
			text ? did_you_mean(ld, text, words, ARRAY_LEN(words))
			     : "");
	if (rd->rule.join_rule != JOIN_INVITE && rd->rule.strict)
		caution(ld, node_place(ld->rooms_file, v),
			"%s.join_rule: who joins without being declared is "
			"removed again, since the room is strict",
			rd->label);
}

/* --- history, encryption --- */

static void read_history(struct reading *rd)
{
	static const char *const words[] = { "shared", "invited", "joined",
		"world_readable" };
	const struct yaml_node *v = yaml_get(rd->v, "history");
	const char *text = yaml_str(v);
	struct load *ld = rd->ld;
	if (yaml_is_null(v))
		return;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (text_eq(text, words[i]))
			rd->rule.history = words[i];
	}
	if (rd->rule.history)
		return;
	fault(ld, node_place(ld->rooms_file, v),
		"%s.history: expected shared, invited, joined or "
		"world_readable, found %s%s%s%s",
		rd->label, text ? "\"" : "", text ? text : yaml_type_name(v),
		text ? "\"" : "",
		text ? did_you_mean(ld, text, words, ARRAY_LEN(words)) : "");
}

static void read_encryption(struct reading *rd)
{
	const struct yaml_node *v = yaml_get(rd->v, "encryption");
	if (yaml_is_null(v))
		return;
	if (!yaml_bool(v, &rd->rule.encryption))
		rule_tell(rd, rd->label, v, "encryption",
			"expected true or false");
	if (!rd->rule.encryption)
		return;
	caution(rd->ld, node_place(rd->ld->rooms_file, v),
		"%s.encryption: what is said there can be read neither by "
		"agents that are not set up for encryption nor by muster, "
		"which sees no mention in it, so that none makes a direct "
		"room on demand; who is in the room is never encrypted and "
		"stays as declared; encryption can never be switched off "
		"again in a room",
		rd->label);
}

/* --- extra_power --- */

/* A level, or somebody's id. */
static bool read_whom(struct reading *rd, const char *label,
	const struct yaml_node *key, struct power *ret)
{
	struct load *ld = rd->ld;
	bool small = true;
	ret->who.label = label;
	ret->who.place = node_place(ld->rooms_file, key);
	ret->who.person = NOBODY;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (text_eq(key->text, levels[i]))
			ret->level = levels[i];
	}
	if (ret->level)
		return true;
	for (const char *p = key->text; *p; p++)
		small = small && (*p < 'A' || *p > 'Z');
	if (*key->text == '@' || small)
		return named_read(rd, label, key, key->text, &ret->who);
	fault(ld, ret->who.place,
		"%s: \"%s\" is neither a level (CEO, VP, Director, Manager, "
		"IC) nor an id%s",
		label, key->text,
		did_you_mean(ld, key->text, levels, ARRAY_LEN(levels)));
	return false;
}

static bool read_power(struct reading *rd, const char *label,
	const struct yaml_node *key, const struct yaml_node *v,
	struct power *ret)
{
	struct load *ld = rd->ld;
	bool ok = read_whom(rd, label, key, ret);
	if (!yaml_int(v, 0, POWER_MAX, &ret->power)) {
		fault(ld, node_place(ld->rooms_file, v),
			"%s.%s: expected a number from 0 to %d, found %s",
			label, key->text, POWER_MAX,
			v->type == YAML_SCALAR && !v->quoted
				? v->text
				: yaml_type_name(v));
		return false;
	}
	if (text_eq(ret->level, "CEO") && ret->power < POWER_MAX)
		fault(ld, ret->who.place,
			"%s: the CEO is a human, and humans of the fleet keep "
			"%d",
			label, POWER_MAX);
	return ok;
}

static void read_powers(struct reading *rd)
{
	struct load *ld = rd->ld;
	const struct yaml_node *v = yaml_get(rd->v, "extra_power");
	if (yaml_is_null(v))
		return;
	const char *label =
		arena_printf(&ld->scratch, "%s.extra_power", rd->label);
	if (v->type != YAML_MAP) {
		rule_tell(rd, rd->label, v, "extra_power",
			"expected a map of ids or levels, such as "
			"{VP: 50}");
		return;
	}
	struct power *list = arena_array(&ld->scratch, v->n, sizeof(*list));
	rd->rule.powers = list;
	for (size_t i = 0; label && list && i < v->n; i++) {
		if (read_power(rd, label, v->keys[i], v->items[i],
			    &list[rd->rule.n_powers]))
			rd->rule.n_powers++;
	}
}

void access_read(struct reading *rd)
{
	read_join_rule(rd);
	read_history(rd);
	read_encryption(rd);
	read_powers(rd);
}

/* --- who has it --- */

/* By person; levels last. */
static int by_person(const void *a, const void *b)
{
	const struct power *x = a, *y = b;
	if (x->who.person != y->who.person)
		return x->who.person < y->who.person ? -1 : 1;
	int c = (x->who.place.line > y->who.place.line) -
		(x->who.place.line < y->who.place.line);
	return c ? c : x->who.place.column - y->who.place.column;
}

static void find_power(struct load *ld, struct power *p)
{
	if (p->level)
		return;
	named_find(ld, &p->who);
	if (p->who.person != NOBODY &&
		ld->people[p->who.person]->person.human && p->power < POWER_MAX)
		fault(ld, p->who.place,
			"%s: %s is a human of the fleet, and these keep %d",
			p->who.label, p->who.user_id, POWER_MAX);
}

void access_resolve(struct load *ld, const struct rule *r)
{
	for (size_t i = 0; i < r->n_powers; i++)
		find_power(ld, &r->powers[i]);
	if (r->n_powers)
		qsort(r->powers, r->n_powers, sizeof(*r->powers), by_person);
	for (size_t i = 1; i < r->n_powers; i++) {
		const struct named *x = &r->powers[i - 1].who;
		const struct named *y = &r->powers[i].who;
		if (y->person == NOBODY || x->person != y->person)
			continue;
		fault(ld, y->place, "%s: %s is there twice", y->label,
			y->user_id);
		r->powers[i].used = true;
	}
}

/* What the policy says of a member: by id, else by level; the list goes on at
 * *at with members of higher index. */
static struct power *power_of(
	const struct rule *r, const struct draft *d, size_t *at)
{
	while (*at < r->n_powers && r->powers[*at].who.person < d->index)
		++*at;
	if (*at < r->n_powers && r->powers[*at].who.person == d->index)
		return &r->powers[*at];
	for (size_t i = r->n_powers; i-- > 0;) {
		struct power *p = &r->powers[i];
		if (p->who.person != NOBODY)
			break;
		if (p->level && text_eq(p->level, d->person.level))
			return p;
	}
	return NULL;
}

void access_grant(struct load *ld, const struct rule *r,
	struct draft *const *members, size_t n, struct room_policy *ret)
{
	size_t at = 0, found = 0;
	if (!r->n_powers)
		return;
	struct grant *grants = arena_array(ld->keep, n, sizeof(*grants));
	for (size_t i = 0; grants && i < n; i++) {
		struct power *p = power_of(r, members[i], &at);
		if (!p)
			continue;
		p->used = true;
		if (!members[i]->person.human)
			grants[found++] =
				(struct grant){ members[i]->person.user_id,
					p->power };
	}
	ret->grants = grants;
	ret->n_grants = grants ? found : 0;
}

void access_tell_unused(struct load *ld, const struct rule *r)
{
	for (size_t i = 0; i < r->n_powers; i++) {
		const struct power *p = &r->powers[i];
		if (p->used || p->who.person == NOBODY ||
			!ld->people[p->who.person]->person.deployed)
			continue;
		caution(ld, p->who.place, "%s: %s is not in the room",
			p->who.label, p->who.user_id);
	}
}
