/*
 * appservice/fleet/rules_priv.h: the room policy as it was read, and what its
 * files share. rules.c reads the entries, matcher.c who is in a room (and says
 * of each person whether), access.c who may come in, read and rule; policy.c
 * makes rooms of it.
 *
 * Rules are made once and not changed but for what is found out when all
 * people are known: who an id is, which room an alias.
 */
#ifndef APPSERVICE_FLEET_RULES_PRIV_H
#define APPSERVICE_FLEET_RULES_PRIV_H

#include "appservice/fleet/fleet_priv.h"

#define NOBODY SIZE_MAX

/* The words of a matcher for department or team, among the rule's. */
struct words {
	size_t first, n; /* n == 0: any */
};

/* A department's or a team's name, a template. */
struct word {
	const char *text;
	bool own; /* it is {team}: the one of the room's department, not of
		     another with a team of that name */
};

/* An id of the policy. */
struct named {
	const char *user_id, *label;
	struct place place;
	size_t person; /* index of the settled people, or NOBODY */
};

/* What somebody must be: all that is set must hold. */
struct matcher {
	bool own; /* of the department or the team that the room is for */
	const char *const *levels; /* n_levels == 0: any */
	size_t n_levels;
	struct words departments, teams;
	struct named *ids; /* by person, once resolved */
	size_t n_ids;
	const struct matcher *all, *any, *except;
	size_t n_all, n_any, n_except; /* except: none of these may hold */
};

/* {restricted: ALIAS}. */
struct allowed {
	const char *alias; /* a template */
	const char *label;
	struct place place;
};

/* One entry of extra_power. */
struct power {
	const char *level; /* NULL: for the one of `who` */
	struct named who;
	int64_t power;
	bool used;
};

/* One entry of the room policy; texts are templates. */
struct rule {
	const char *alias, *name, *topic;
	bool by_department, by_team; /* one room for each */
	struct matcher members;
	const struct word *words; /* of all its matchers */
	size_t n_words;
	bool strict, encryption;
	const char *history;
	enum join_rule join_rule;
	const struct allowed *allowed;
	size_t n_allowed;
	struct power *powers; /* by person, once resolved; levels last */
	size_t n_powers;
	struct place place;
};

/* An entry that is being read. */
struct reading {
	struct load *ld;
	const struct yaml_node *v;
	const char *label; /* rooms[3] */
	struct rule rule;
	struct word *words;
	size_t n_words, words_cap;
};

/* A room that is being filled. */
struct scope {
	const struct rule *rule;
	const char *department;   /* that the room is for; NULL */
	size_t first, end;        /* the groups of people it is for */
	const char *const *words; /* the rule's, filled */
};

/* rules.c: for those who read an entry. */

/* An error: "label.key: what". */
void rule_tell(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *what);
/* The template may stand in the rule: braces are closed and known, and its
 * alias has them too. Else a finding. */
bool rule_template_ok(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *text);
/* It may be the alias of a room; else a finding. */
bool rule_alias_ok(const struct reading *rd, const char *label,
	const struct yaml_node *at, const char *key, const char *text);
/* The same in lower case, its white space as `-`. */
const char *rule_alias(const struct reading *rd, const char *text);
/* What is one of something or a list of them. */
size_t node_count(const struct yaml_node *v);
const struct yaml_node *node_item(const struct yaml_node *v, size_t i);
/* " (did you mean X?)", or nothing. */
const char *did_you_mean(
	struct load *ld, const char *word, const char *const *words, size_t n);

/* matcher.c */

/* The members of a rule, a tree, into rd->rule; what is wrong is a finding. */
void matcher_read(struct reading *rd, const struct yaml_node *v);
/* Who the ids are, once all people are known; findings for unknown ones. */
void matcher_resolve(struct load *ld, const struct matcher *m);
/* It may hold for people of other groups than the room's. */
bool matcher_reaches(const struct matcher *m);
bool matcher_holds(
	const struct matcher *m, const struct draft *d, const struct scope *s);

/* access.c */

/* join_rule, history, encryption, extra_power. */
void access_read(struct reading *rd);
/* Who is named, and whether that is right; findings. */
void access_resolve(struct load *ld, const struct rule *r);
/* The grants of a room with these members, sorted by index. */
void access_grant(struct load *ld, const struct rule *r,
	struct draft *const *members, size_t n, struct room_policy *ret);
/* When all rooms were made: who got nothing. */
void access_tell_unused(struct load *ld, const struct rule *r);
/* An id that is to be looked up later; false: it is none, or the service's
 * own (findings). */
bool named_read(struct reading *rd, const char *label,
	const struct yaml_node *at, const char *text, struct named *ret);
/* Finds the person; a finding when there is none. */
void named_find(struct load *ld, struct named *who);

#endif
