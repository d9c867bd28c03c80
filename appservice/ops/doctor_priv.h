/*
 * appservice/ops/doctor_priv.h: what the checks of doctor share.
 */
#ifndef APPSERVICE_OPS_DOCTOR_PRIV_H
#define APPSERVICE_OPS_DOCTOR_PRIV_H

#include "appservice/ops/doctor.h"
#include "base/arena.h"
#include "handoff/handoff.h"

/* An agent, as the store and its directory have it. */
struct patient {
	struct store_agent row;
	const char *path; /* of its directory; NULL: it never had one */
	bool looked;      /* what follows was looked at */
	enum rc seen;     /* of handoff_inspect(), and why it failed */
	const char *seen_why;
	uint32_t bits;
	enum rc read; /* of its file, and why it failed */
	const char *read_why;
	struct handoff file;
	const char *wrong; /* with a whole file; NULL: nothing */
};

struct symptom {
	const char *check, *subject, *what, *why, *fix;
};

/* What a check needs to be of any use, and what earlier ones found to be there. */
enum doctor_has {
	HAS_SETTINGS = 1 << 0,      /* the file was read */
	HAS_CONFIGURATION = 1 << 1, /* and nothing in it is wrong */
	HAS_HOMESERVER = 1 << 2,    /* it answers */
	HAS_REGISTRATION = 1 << 3,  /* its file was read */
	HAS_TOKEN = 1 << 4,         /* and the homeserver knows its token */
	HAS_AGENTS = 1 << 5,        /* they were looked at */
	HAS_STORE = 1 << 6,         /* it can be read, or there is none yet */
};

struct doctor {
	struct app *app;
	struct arena *a;
	bool serving; /* a service runs */
	int64_t now_ms;
	unsigned has; /* of enum doctor_has */

	/* Of the command line alone. */
	const char *config_path;
	const struct report *report; /* of the configuration */
	const char *service;  /* why the service says nothing; NULL: it does */
	bool listening;       /* pings are answered by us */
	const char *occupied; /* why they are not; NULL: a service does */
	struct hs *as, *plain;

	/* Of the configuration. */
	const char *root, *url, *public_url, *device;
	int64_t uid, gid, wait_ms;

	struct patient *patients;
	size_t n;
	size_t unseen; /* of those: the time was over */
	struct symptom *findings;
	size_t n_findings, cap;
	size_t checked;    /* so many subjects by so many checks */
	const char *check; /* that is at work */
};

/* One kind of thing that can be wrong, of whomever or whatever. It counts what
 * it looks at. */
struct check {
	const char *name;
	void (*run)(struct doctor *d);
	unsigned needs; /* of enum doctor_has: else it is passed over */
};

/* The strings are constant, or of the arena. */
void doctor_find(struct doctor *d, const char *subject, const char *what,
	const char *why, const char *fix);
/* The same of the setting that a check is about, with its place. */
const char *doctor_at(struct doctor *d, enum setting s);
/* Runs it on each agent, and counts them. */
void doctor_each(
	struct doctor *d, void (*run)(struct doctor *d, struct patient *p));

/* "`muster WORDS`", which a service must run for. */
const char *doctor_verb(struct doctor *d, const char *verb, const char *user,
	const char *options);
/* As a shell takes it for one word. */
const char *doctor_quote(struct arena *a, const char *text);
const char *doctor_time(struct arena *a, int64_t ms);

/* Its token was handed over, and should lie in its file. */
bool patient_has_file(const struct patient *p);
/* It had a token, which is not good any more, and none has come since. */
bool patient_is_without(const struct patient *p);

/* doctor_config.c */
void check_service(struct doctor *d);
void check_configuration(struct doctor *d);
void check_secrets(struct doctor *d);
void check_registration(struct doctor *d);
/* doctor_store.c */
void check_store(struct doctor *d);
void check_space(struct doctor *d);
/* doctor_root.c */
/* Where mkdir would begin: the nearest directory that there is. */
const char *doctor_nearest(struct doctor *d, const char *path);
void check_root(struct doctor *d);
/* doctor_reach.c: there and back */
void check_homeserver(struct doctor *d);
void check_way_back(struct doctor *d);
/* doctor_homeserver.c */
/* What makes it have the registration that we have. */
const char *doctor_fix_registered(struct doctor *d);
void check_clock(struct doctor *d);
void check_accounts(struct doctor *d);
void check_sender(struct doctor *d);
void check_covered(struct doctor *d);
void check_administrator(struct doctor *d);

/* doctor_files.c: looks at the directories; what is wrong with them, and with
 * the files there. */
void doctor_look(struct doctor *d);
void check_directories(struct doctor *d);
void check_files(struct doctor *d);
/* doctor_tokens.c */
void check_agents(struct doctor *d);
void check_tokens(struct doctor *d);
void check_acks(struct doctor *d);
void check_revocations(struct doctor *d);
void check_rotations(struct doctor *d);

#endif
