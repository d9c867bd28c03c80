/*
 * appservice/fleet/policy_priv.h: the rooms while they are being made, for
 * policy.c, which makes them, and link.c, which finds one room's others.
 */
#ifndef APPSERVICE_FLEET_POLICY_PRIV_H
#define APPSERVICE_FLEET_POLICY_PRIV_H

#include "appservice/fleet/rules_priv.h"

/* The people of one team of one department; either may be NULL. */
struct group {
	const char *department, *team;
	struct draft **people;
	size_t n;
	const char *part; /* the team as part of an alias */
	bool shared;      /* another department has a team of that name */
};

/* A room, and what it was made for. */
struct made {
	struct room room;
	struct room_policy *policy; /* the room's */
	const struct rule *rule;
	const struct group *group; /* the first of them; NULL: everybody */
	size_t order;
};

struct policy {
	struct load *ld;
	struct group *groups; /* by department, then team */
	size_t n_groups, groups_cap;
	struct draft **members; /* of the room that is being filled */
	struct made *made;      /* by alias, in the end */
	size_t n_made, made_cap;
	const char **aliases;
	size_t n_aliases, aliases_cap;
};

/* An alias without server, for a group (NULL: for all). */
char *policy_alias(struct policy *p, const char *text, const struct group *g);
/* The rooms whose members may join others; findings where they are missing.
 * Rooms are sorted and the fleet's aliases known. */
void policy_link(struct policy *p);

#endif
