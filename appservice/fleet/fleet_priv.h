/*
 * appservice/fleet/fleet_priv.h: what the files of this folder share while a
 * fleet is being made.
 *
 * A load goes: read (org.c, chart.c, byhand.c) every mention of a person into
 * drafts; settle (roster.c) them into people, one draft a person; check
 * (check.c) who may be there and who reports to whom; choose (chart.c) who is
 * deployed, and check that they are in the namespace; then rooms (rules.c with
 * what is read for it, policy.c, direct.c). What is wrong goes to the report and
 * the load goes on; running out of memory is remembered by the two arenas and
 * looked at once, at the end.
 */
#ifndef APPSERVICE_FLEET_FLEET_PRIV_H
#define APPSERVICE_FLEET_FLEET_PRIV_H

#include "appservice/fleet/fleet.h"
#include "base/str.h"

#define N_LEVELS 4 /* that agents may have: VP, Director, Manager, IC */
extern const char *const fleet_levels[N_LEVELS];

/* Past this nobody wants them, and the homeserver could not hold them. */
#define LIMIT_DIRECT_ROOMS 2000000

enum origin { FROM_ORG, FROM_CHART, FROM_AGENTS, FROM_HUMANS };

/* A person while the fleet is being made. */
struct draft {
	struct person person; /* what the fleet hands out */
	enum origin origin;
	bool mention;            /* only says "this one is human" */
	bool named;              /* person.name was written, not made up */
	size_t order;            /* in which the files name them */
	size_t index;            /* in the settled list */
	size_t group;            /* department and team, as policy.c has them */
	const char *reports_to;  /* full id as written; NULL */
	struct place manager_at; /* where that is written */
	struct draft *boss;      /* the same, resolved */
	bool chosen;             /* the fleet's configuration deploys them */
	const char *sort_name;   /* for choosing */
	size_t walk;             /* which walk up the hierarchy came by */
};

/* Of one enabled department, how many of each level. */
struct quota {
	const char *department;
	size_t want[N_LEVELS];
	struct place place;
};

/* An id that should be of our server and is of another one. */
struct stray {
	const char *id, *server, *label;
	struct place place;
};

struct load {
	const struct fleet_source *src;
	struct fleet *fleet;
	struct arena *keep;   /* the fleet's own */
	struct arena scratch; /* gone after loading */
	struct report *report;
	/* Copies of the source's paths that live as long as the fleet. */
	const char *self_file, *org_file, *chart_file;
	const char *humans_file, *agents_file, *rooms_file;
	struct draft **people; /* mentions first, settled people then */
	size_t n_people, people_cap;
	struct quota *quotas;
	size_t n_quotas, quotas_cap;
	bool ceo_named; /* by the fleet's configuration */
	size_t n_typos; /* of the file that is being read */
	struct stray *strays;
	size_t n_strays, strays_cap;
	size_t n_ours;            /* ids that should be of our server */
	const struct rule *rules; /* rules_priv.h */
	size_t n_rules;
};

/* fleet.c: small things for all. */

/* An error (a warning) at a place. */
void fault(struct load *ld, struct place at, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void caution(struct load *ld, struct place at, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* A whole file into out; a finding at the setting that names it and false
 * when that failed. */
MUST_CHECK bool read_whole(struct load *ld, const char *path, struct place at,
	const char *setting, struct buf *out);

/* names.c */

/* Of a person's name, department or team (NULL: none): a finding when it has
 * a control character. */
void word_check(struct load *ld, struct place at, const char *label,
	const char *key, const char *text);
/* The same of the name, and that it is not too long to be shown. */
void name_check(struct load *ld, struct place at, const char *label,
	const char *key, const char *text);
/* As strcmp, NULL (no department, no team) first and equal to itself. */
int text_order(const char *a, const char *b);
/* Lower case, Latin letters without their marks: how names are sorted. */
char *name_fold(struct arena *a, const char *name);
/* "task.assignments" as "Task Assignments". */
char *name_of_localpart(struct arena *a, const char *localpart);
/* The word that was probably meant; NULL: none is near. */
const char *nearest_word(const char *word, const char *const *words, size_t n);
/* The one of the levels (CEO only where `chief` allows it); else NULL and a
 * finding. */
const char *level_of(struct load *ld, struct place at, const char *label,
	const char *text, bool chief);

/* node.c: reading our own nodes and the fleet's configuration. */

/* Where a node stands, for a finding. */
struct place node_place(const char *file, const struct yaml_node *v);
/* A map with these keys only; findings otherwise. False: it is no map. */
bool node_is_map(struct load *ld, const char *file, const char *label,
	const struct yaml_node *v, const char *const *known, size_t n);
bool node_is_list(struct load *ld, const char *file, const char *label,
	const struct yaml_node *v);
/* The text of a map's key, in the fleet's arena; NULL when it is not there,
 * null, or (a finding) no text. */
const char *node_text(struct load *ld, const char *file, const char *label,
	const struct yaml_node *map, const char *key);

/* typo.c: keys that are not read, but near to one that is (a warning). */

/* Is word what somebody wrote who meant key? */
bool is_near_key(struct str word, const char *key);
/* The first few of a file are told one by one, the others counted. */
void typo_tell(struct load *ld, struct place at, const char *label,
	struct str word, const char *meant);
/* When a file was read. */
void typo_end(struct load *ld, const char *file);
/* Those of a map; label "" is the file's top. */
void node_typos(struct load *ld, const char *file, const char *label,
	const struct yaml_node *map, const char *const *known, size_t n);

/* stray.c: ids of another server, told when all were read. */

/* One id that is of `server` and should be of ours. */
void stray_add(struct load *ld, const char *id, const char *server,
	struct place at, const char *label);
void strays_tell(struct load *ld);

/* Reading. */
void org_read(struct load *ld);
void chart_read(struct load *ld);
void byhand_read(struct load *ld);

/* roster.c */

/*
 * A new draft for the id as it was written: a bare localpart (where `bare`
 * allows it) gets our server; the grammar is checked, and that it is on our
 * server unless it is `abroad`. NULL only when out of memory: a bad id is a
 * finding, and stays, so that it is not missed elsewhere.
 */
struct draft *roster_add(struct load *ld, enum origin origin, const char *id,
	bool bare, bool abroad, struct place at, const char *label);
/* An id as written, completed. */
const char *roster_id(struct load *ld, const char *text, bool bare);
/* Sorted by id, one draft a person, bosses found. */
void roster_settle(struct load *ld);
struct draft *roster_find(const struct load *ld, const char *user_id);
/* After choosing: the fleet's lists of people. */
void roster_publish(struct load *ld);

/* check.c: whose ids clash, who reports to nobody or in a circle. */
void check_people(struct load *ld);
void chart_choose(struct load *ld);
/* After choosing: with a prefix, every agent has it and no human does. */
void check_namespace(struct load *ld);
void rules_read(struct load *ld);
/* The fleet's rooms; findings when two share an alias. */
void policy_build(struct load *ld);
/* The pairs that have a direct room, as indexes of people: low << 32 | high,
 * sorted, each once, in the scratch arena. */
uint64_t *direct_pairs(struct load *ld, size_t *ret_n);
void direct_room(struct load *ld, uint64_t pair, struct room *ret);

#endif
