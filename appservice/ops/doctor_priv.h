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

struct doctor {
	struct app *app;
	struct arena *a;
	bool serving; /* within the running service */
	int64_t now_ms;
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
};

/* The strings are constant, or of the arena. */
void doctor_find(struct doctor *d, const char *subject, const char *what,
	const char *why, const char *fix);
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
