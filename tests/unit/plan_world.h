/*
 * tests/unit/plan_world.h: a fleet and a snapshot of the store in which all is
 * as the fleet says, for tests that change one thing and look at the plan.
 */
#ifndef TESTS_UNIT_PLAN_WORLD_H
#define TESTS_UNIT_PLAN_WORLD_H

#include "appservice/reconcile/plan.h"
#include "tests/unit/fleet_case.h"
#include "tests/unit/test.h"

#define A "@ada:example.org"
#define B "@bob:example.org"
#define C "@cleo:example.org"
#define H "@hanna:example.org"
#define S "@muster:example.org"
#define X "@stranger:elsewhere.org"
#define EVERYONE "#all-employees:example.org"
#define LEADERS "#lab-leadership:example.org"
#define OPTICS "#optics-team:example.org"

/* Two removals within these are one too many: an hour, and ten minutes. */
#define RESPECT_MS 3600000
#define LOST_MS 600000
#define LONG_AFTER_MS 1000000 /* since rooms were made, at 0 */

/* Ada leads Bob; Cleo is alone; Hanna is human and Ada's manager. */
#define HANNA "humans: [{id: '" H "', name: Hanna}]\n"
#define ADA                                                                    \
	"- {id: ada, name: Ada, department: Lab, level: VP, manager: '" H "'}" \
	"\n"
#define BOB                                                                    \
	"- {id: bob, name: Bob, department: Lab, team: Optics, level: IC,"     \
	" manager: ada}\n"
#define CLEO "- {id: cleo, name: Cleo}\n"
#define BY_HAND HANNA "agents:\n" ADA BOB CLEO

#define WORLD_FLEETS 3
#define WORLD_SPARE 64 /* rows of each kind that a test may add */

struct world {
	struct fleet_case cases[WORLD_FLEETS];
	size_t n_cases;
	const struct fleet *f; /* the newest */
	struct arena a;
	struct store_snapshot now; /* nothing is known */
	struct plan_how how;       /* direct rooms at once, all of them */
	struct plan plan;
	size_t no; /* of the case: said when a plan is not as expected */
};

/* A fleet by hand: humans, agents and rooms; without direct rooms when `pairs`
 * is false. */
void world_open_as(struct world *w, const char *self, bool pairs);
/* The reference fleet: the agents that its configuration chooses, or (`all`)
 * all of its organisation. */
void world_open_reference(struct world *w, bool all);
/* BY_HAND with direct rooms. */
void world_open(struct world *w);
void world_close(struct world *w);
/* From now on this is declared; the snapshot stays as it is. */
void world_declare(struct world *w, const char *self, bool pairs);

/* Everything is as declared. */
void world_whole(struct world *w);
struct store_agent *world_agent(struct world *w, const char *id);
struct store_agent *world_add_agent(
	struct world *w, const char *id, enum agent_state st);
struct store_room *world_room(struct world *w, const char *key);
/* A room of the policy that is not declared (any more), with the sender. */
struct store_room *world_add_room(
	struct world *w, const char *key, const char *rule, const char *id);
/* One that another has replaced. */
struct store_room *world_add_old(
	struct world *w, const char *key, const char *id);
void room_set_member(struct world *w, struct store_room *r, const char *user,
	const char *is);
/* The same by the room's key; NULL: the row goes away. */
void world_member(
	struct world *w, const char *key, const char *user, const char *is);
void world_mark(
	struct world *w, const char *key, const char *user, bool marked);
/* Content as JSON text; NULL: not known. */
void world_state(struct world *w, const char *key, enum room_state st,
	const char *content);
/* `by` removed the user, or (NULL) it was not found there. */
struct store_removal *world_removal(struct world *w, const char *key,
	const char *user, const char *by, int64_t at_ms);

void world_plan(struct world *w);
/* The plan, a line a step: "invite @x in #room by @y". */
void world_assert(struct world *w, const char *want);
/* The same, without the steps of rooms in which the line is not. */
void world_assert_of(struct world *w, const char *where, const char *want);
/* A step of the newest plan; `where` NULL: any. Fails without one. */
const struct step *world_step(struct world *w, enum step_kind kind,
	const char *subject, const char *where);
/* Why nothing can be done about a room; NULL: something can. */
const char *world_trouble(const struct world *w, const char *where);
/* Each step comes after those it needs and those it waits for, by ranks that do
 * not fall; no step is there twice; who comes into several rooms for the first
 * time comes into one after the other. */
void world_assert_order(struct world *w);

#endif
