/*
 * tests/unit/model.h: a model of everything around the plan, small enough for a
 * hundred thousand cases: a company that changes, a homeserver (what is), a
 * store (what is known of it), people who interfere, and a performer whose
 * steps fail, are done without an answer, or are answered without being done.
 *
 * A case is data: the company, what was there before, who does what when, and a
 * seed from which every other chance follows by what it is about. So a case
 * that fails stays the same when what does not matter is taken out of it.
 */
#ifndef TESTS_UNIT_MODEL_H
#define TESTS_UNIT_MODEL_H

#include "appservice/reconcile/plan.h"

#define PEOPLE 6
enum { SENDER = PEOPLE, ZED, ZOE, USERS }; /* Zed and Zoe are strangers */
#define NOBODY (-1)
#define RULES 3
#define VERSIONS 3
#define KEYS 48
#define ROOMS 64
#define HAPPENINGS 12

/* --- a company (model_company.c) ---------------------------------------------- */

struct spec_person {
	bool in, renamed;
	unsigned char department, team, level;
	signed char manager;
};

enum rule_kind {
	RULE_NONE,
	EVERYONE,
	HEADS,
	TEAM,
	DEPARTMENT,
	CREW,
	RULES_ALL
};

struct spec_rule {
	enum rule_kind kind;
	bool strict, topic;
	enum join_rule join;
};

/* One state of a company. */
struct spec {
	struct spec_person people[PEOPLE];
	struct spec_rule rules[RULES];
	bool team_renamed[2];
};

/* Of a key in one version of the company. */
struct declared {
	const struct room *room; /* NULL: not declared */
	unsigned members;        /* a bit for each user */
};

struct company {
	struct spec versions[VERSIONS];
	size_t n;
	bool human[PEOPLE];
	/* Made by company_load(). */
	struct fleet fleets[VERSIONS];
	const char *keys[KEYS]; /* of all versions, sorted */
	size_t n_keys;
	struct declared declared[VERSIONS][KEYS];
};

extern const char *const user_ids[USERS];
extern const char *const room_ids[ROOMS];
int user_of(const char *id);
int room_of_id(const char *id);

/* A stream of random numbers. */
struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *c);
/* Below n. */
unsigned chance_of(struct chance *c, unsigned n);
uint64_t mix(uint64_t a, uint64_t b);

void company_make(struct company *c, struct chance *by);
/* False: no fleet can be made of it (of a company that was made smaller). */
bool company_load(struct company *c);
void company_free(struct company *c);
void company_print(const struct company *c);
int company_key(const struct company *c, const char *key);

/* --- a case (model_case.c) ------------------------------------------------------ */

enum what {
	/* Before the beginning, or later. */
	GET_IN,
	GET_INVITED,
	GET_OUT,
	GET_BANNED,
	GET_UNBANNED,
	KNOCK_AT,
	LOSE_ROOM,
	LOSE_POWER,
	GAIN_POWER,
	UPGRADE,
	TAKE_ALIAS,
	/* Before the beginning alone. */
	BE_FOREIGN,
	LOSE_STORE,
	/* Later alone. */
	CHANGE,
	RESTART,
	APPROVE,
	RETRY,
	WANT,
	A_DAY,
	LOOK,
	WHAT_ALL
};

struct happening {
	enum what what;
	int round; /* before it; -1: before the beginning */
	int user, by;
	char key[96];
	bool told; /* the store learns of it by an event, some time */
	int more;  /* which version; how */
};

enum fault { DONE, NOT_DONE, UNANSWERED, LIED, FAULTS };

struct model_case {
	struct company *company;
	uint64_t seed;
	bool whole; /* everything was as declared before */
	bool state; /* with the rooms' state, which costs time */
	enum direct_mode direct;
	size_t direct_most;
	unsigned faults[FAULTS]; /* of a hundred steps */
	unsigned late, never;    /* of a hundred events */
	int rounds;              /* in which something may go wrong */
	struct happening happenings[HAPPENINGS];
	size_t n;
};

void case_make(struct model_case *c, struct company *company, uint64_t seed);
void case_print(const struct model_case *c);

/* --- what is (model_server.c) ----------------------------------------------------- */

enum is { NOT, JOIN, INVITE, LEAVE, BAN, KNOCK };
extern const char *const is_words[];

struct server_member {
	enum is is;
	int by, event;
	int64_t ts;
	int level;
	int asked; /* so often by ours */
	bool marked;
};

struct server_state {
	const char *content;
	int by, event;
	int64_t ts;
};

struct member_row {
	enum is is;
	int source; /* 0 event, 1 poll, 2 action */
	int event;  /* 0: none */
	int64_t ts;
	bool marked;
};

struct removal {
	int by, event;
	bool ban, asked;
	int64_t at;
};

#define REMOVALS 2
struct removals {
	struct removal r[REMOVALS + 1];
	size_t n;
};

/* A room as it is, and what the store knows of it. */
struct model_room {
	int key; /* our mark in it; NOBODY */
	bool direct, dead;
	bool followed;          /* another one has its place, by an upgrade */
	int creator, successor; /* NOBODY */
	int invite_level;
	enum join_rule join;
	struct server_member m[USERS];
	struct server_state state[ROOM_STATES];

	struct member_row known[USERS];
	struct server_state seen[ROOM_STATES];
	struct removals removals[USERS];
	bool whole_look;
	int old_key; /* NOBODY: not one to be left */
};

struct model_account {
	bool exists, foreign, device, token;
	const char *name;
};

struct model_agent {
	bool row, declared, may_leave, in_hand;
	enum agent_state state;
	int64_t generation;
	const char *shown;
};

struct model_row {
	bool row, declared, wanted;
	int room, maker; /* NOBODY */
	const char *rule, *held;
	int64_t missing, looked;
	int64_t since[USERS]; /* a declared member; 0: none */
};

struct event {
	int room, user; /* NOBODY: state */
	enum room_state type;
	enum is is;
	int by, id, due;
	int64_t ts;
	const char *content;
};
#define EVENTS 2048

/* A step of the journal that was tried and is not done. */
struct tried {
	enum step_kind kind;
	const char *subject, *where;
	bool unsure, planned;
	int attempts;
};
#define TRIED 256

struct world {
	const struct model_case *c;
	const struct company *company;
	const struct fleet *fleet;
	const struct declared *declared;
	int version, round;
	int64_t now;
	struct arena texts;
	/* What is. */
	struct model_account accounts[USERS];
	struct model_room rooms[ROOMS];
	int n_rooms;
	int alias[KEYS]; /* leads to this room; NOBODY */
	struct event events[EVENTS];
	int n_events, event_id;
	/* What is known. */
	struct model_agent agents[USERS];
	struct model_row rows[KEYS];
	struct tried tried[TRIED];
	size_t n_tried;
	bool forgot; /* all that was known, once */
	/* What the service cannot know: that something was made without an
	 * answer (the journal forgets steps that are planned no longer), or
	 * before the store was lost. */
	bool half_made[KEYS], half_known[USERS];
	/* The step that is being done. */
	enum fault fault;
	int lies;
	bool progress;
	bool waits; /* for somebody who takes an alias off a room */
	bool trace;
	char wrong[512]; /* "": nothing */
};

/* Says what is wrong; the first one counts. */
void wrong(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void trace(const struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

int server_room(struct world *w, int key, int creator, bool direct);
/* Whatever the homeserver's rules say of it. */
void server_put(struct world *w, int room, int user, enum is is, int by);
void server_state(struct world *w, int room, enum room_state type, int by,
	const char *content);
void server_levels(struct world *w, int room, int by);
bool server_is_in(const struct world *w, int room, int user);
/* As the client-server API has it. */
enum rc server_invite(struct world *w, int room, int by, int user);
enum rc server_join(struct world *w, int room, int user);
enum rc server_leave(struct world *w, int room, int user);
enum rc server_kick(struct world *w, int room, int by, int user);
enum rc server_unban(struct world *w, int room, int by, int user);
enum rc server_set_state(struct world *w, int room, int by,
	enum room_state type, const char *content);
/* Makes a declared room. */
enum rc server_create(struct world *w, int key, int by, int *ret);

/* --- what is known (model_known.c) ------------------------------------------------- */

void known_declare(struct world *w, int version);
void known_lose(struct world *w);
/* It is let go. */
void known_let_go(struct world *w, int user);
bool known_has_key(const struct world *w, int room);
bool known_member(struct world *w, int room, int user, enum is is, int source,
	int event, int64_t ts);
void known_removal(struct world *w, int room, int user, struct removal r);
void known_state(struct world *w, int room, enum room_state type,
	struct server_state st);
void known_place(struct world *w, int key, int room, int maker);
/* Events whose time has come; all of them. */
void known_deliver(struct world *w, bool all);
/* As a joined member sees it. */
enum rc look_at_room(struct world *w, int as, int room);
/* The regular look. */
void look(struct world *w);
const char *may_be_kept(struct world *w, int room);

struct shot {
	struct store_agent agents[USERS];
	struct store_room rooms[KEYS], old[ROOMS];
	struct store_member members[ROOMS * USERS];
	struct store_removal removals[ROOMS * USERS * REMOVALS];
	struct store_state states[KEYS][ROOM_STATES];
	struct store_snapshot now;
};
void known_shot(const struct world *w, struct shot *s);

/* --- doing it (model_perform.c, model_steps.c) -------------------------------------- */

/* True: it succeeded, as far as we know. */
bool model_step(struct world *w, const struct step *st, bool *unsure);
void model_perform(struct world *w, const struct plan *p);

/* --- what must hold (model_check.c) --------------------------------------------------- */

void check_plan(struct world *w, const struct plan *p);
void check_create(struct world *w, int key);
void check_end(struct world *w);
/* Kept out, by what the store knows. */
bool is_kept_out(const struct world *w, int room, int user);

/* --- a run (model_run.c) ----------------------------------------------------------------- */

void happen(struct world *w, const struct happening *h);
/* "" when all is well. */
const char *model_run(const struct model_case *c, bool trace);
/* Takes out whatever is not needed for it to fail. */
void model_shrink(struct model_case *c);

#define WORLD_RESPECT_MS ((int64_t)24 * 3600 * 1000)
#define WORLD_LOST_MS ((int64_t)15 * 60 * 1000)

#endif
