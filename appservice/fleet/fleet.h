/*
 * appservice/fleet/fleet.h: what is declared: who is in the organisation, who
 * of them is deployed as an agent, who is human, and which rooms they should
 * be in. Made from the configuration and the fleet's files; no network, no
 * clock, no store.
 *
 * A struct fleet owns everything in it (one arena) and is read-only once
 * loaded: any thread may read it.
 */
#ifndef APPSERVICE_FLEET_FLEET_H
#define APPSERVICE_FLEET_FLEET_H

#include "base/arena.h"
#include "base/report.h"
#include "base/yaml.h"

struct person {
	const char *user_id;
	const char *localpart;
	const char *name;       /* display name; never NULL */
	const char *department; /* NULL: none */
	const char *team;       /* NULL: none */
	const char *level;      /* "VP", "Director", "Manager", "IC"; NULL */
	const char *manager;    /* user id; NULL */
	bool human;             /* never created, never impersonated */
	bool deployed;   /* an agent of the fleet now, or a human of it */
	bool bot;        /* the task bot: all-employees only, no department */
	size_t agent_no; /* of an agent: its place among the fleet's agents */
	struct place place;
};

enum join_rule { JOIN_INVITE, JOIN_RESTRICTED, JOIN_PUBLIC };

/* A level that the policy gives somebody beside the fleet's humans. */
struct grant {
	const char *user_id;
	int64_t level;
};

/* What only a room of the policy has. */
struct room_policy {
	const char *rule; /* the alias as the policy has it, "{team}-team": what
			     the room is for, whatever the team is called */
	enum join_rule join_rule;
	const char **allow; /* JOIN_RESTRICTED: keys of the declared rooms whose
			       members may join; sorted */
	size_t n_allow;
	const char *history; /* "shared" …; NULL: not said, left as it is */
	bool encryption;
	const struct grant *grants; /* by user id */
	size_t n_grants;
};

struct room {
	const char *key;   /* alias, or "@a @b" sorted: the store's key */
	const char *alias; /* full; NULL for a direct room */
	const char *alias_localpart;
	const char *name;  /* NULL: none (direct rooms between agents) */
	const char *topic; /* NULL: none */
	bool direct;
	bool strict; /* whoever is not a member is removed, humans too */
	const struct room_policy *policy; /* NULL for a direct room */
	const struct person **members;    /* sorted by user id */
	size_t n_members;
	/* Direct rooms: who makes it (always an agent) and who is invited. */
	const struct person *maker, *other;
};

struct fleet {
	struct arena arena;
	const char *server_name;
	const struct person **people; /* everybody of the files, humans and the
					 bot too; by user id */
	size_t n_people;
	size_t n_named; /* people as the organisation's file has them; without
			   one, by hand; the bot is no person */
	const struct person **agents; /* deployed agents, by user id */
	size_t n_agents;
	const struct person **humans; /* of the fleet, by user id */
	size_t n_humans;
	struct room *rooms; /* policy rooms by alias, then direct by key */
	size_t n_rooms, n_direct; /* n_rooms counts all; n_direct of them */
	/* The registration's namespaces (namespace: declared): every agent
	 * that may be deployed, and every alias of department and team of the
	 * whole organisation. Sorted, no duplicates. */
	const char **declared_users;
	size_t n_declared_users;
	const char **declared_aliases;
	size_t n_declared_aliases;
};

/* From where; all borrowed while loading. */
struct fleet_source {
	const char *server_name;
	const char *sender;      /* localpart of the service's own user */
	const char *prefix;      /* namespace prefix; NULL: declared */
	const char *config_path; /* the reference fleet's config; NULL */
	const char *org_path;    /* the organisation; NULL */
	struct place config_at, org_at; /* where the two are named */
	const char *self_path; /* our own file, for what stands in it */
	/* Where the next three stand, if not there: a variable. */
	const char *humans_path, *agents_path, *rooms_path;
	const struct yaml_node *humans; /* fleet.humans: list of user ids, or
					   {id, name}; NULL */
	const struct yaml_node *agents; /* fleet.agents; NULL */
	const struct yaml_node *rooms;  /* rooms: policy; NULL: the default */
	bool manager_report, manager_peers, team_peers; /* direct: */
};

/*
 * Reads the files and makes the fleet. Everything wrong is a finding in
 * `report` with file, line and column; RC_INVALID when there was an error
 * (the fleet is empty then), RC_NOMEM. Free with fleet_free().
 *
 * Checked: files there and well-formed; every person has name, level,
 * department, matrixId; ids of the strict grammar and of this server (humans
 * of fleet.humans may be elsewhere); no control character in a name, a
 * department or a team, no name over 256 characters; no two people with one
 * localpart, nor differing in case only; nobody is the sender or `conduit`;
 * reportsTo exists and has no cycle; unknown keys in our own nodes, and near
 * misses in the fleet's files ("did you mean"); departments in its
 * configuration; a human in the namespace; two rooms with one alias, or one
 * with #admins; alias over 255 bytes; with a prefix: every agent has it and no
 * human does.
 */
MUST_CHECK enum rc fleet_load(const struct fleet_source *src, struct fleet *ret,
	struct report *report, struct err *e);
void fleet_free(struct fleet *f);

/* What two fleets have not in common, counted. */
struct fleet_counts {
	size_t came, gone, changed; /* changed: in anything that is declared */
};
struct fleet_diff {
	struct fleet_counts agents, rooms;
};
struct fleet_diff fleet_compare(
	const struct fleet *was, const struct fleet *is);

/* By user id; NULL when not there. */
const struct person *fleet_person(const struct fleet *f, const char *user_id);
const struct room *fleet_room(const struct fleet *f, const char *key);
bool room_has_member(const struct room *r, const char *user_id);

#endif
