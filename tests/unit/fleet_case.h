/*
 * tests/unit/fleet_case.h: a fleet made of texts in a directory of its own,
 * and the findings it gave.
 */
#ifndef TESTS_UNIT_FLEET_CASE_H
#define TESTS_UNIT_FLEET_CASE_H

#include "appservice/fleet/fleet.h"

struct fleet_case {
	char dir[256];
	char paths[3][320]; /* org.json, config.yaml, muster.yaml */
	struct yaml_doc self;
	struct fleet_source src;
	struct fleet fleet;
	struct report report;
	struct err e;
	enum rc rc;
};

/* server example.org, sender muster, all direct rooms, nothing else. */
void case_init(struct fleet_case *c);
void case_free(struct fleet_case *c);
/* The files; NULL: none. Of `self` the nodes humans, agents and rooms. */
void case_files(struct fleet_case *c, const char *org, const char *config,
	const char *self);
/* Files that are there already: org.json and config.yaml of a folder. */
void case_folder(struct fleet_case *c, const char *folder, bool config);
void case_load(struct fleet_case *c);
/* case_init, case_files, case_load. */
void case_run(struct fleet_case *c, const char *org, const char *config,
	const char *self);

/* Fails, with all findings, unless this one ("org.json:2:3: text", without
 * the directory) is among them. */
void assert_found(const struct fleet_case *c, const char *finding);
/* No errors, and this many warnings. */
void assert_loaded(const struct fleet_case *c, size_t warnings);
/* Exactly n errors. */
void assert_errors(const struct fleet_case *c, size_t n);

/* examples/fleet, wherever the tests run. */
const char *examples_folder(void);

/* SHA-256 of each direct room's key; of "alias member" of the others; of each
 * declared alias; a newline after each. */
void digest_direct(const struct fleet *f, char out[65]);
void digest_members(const struct fleet *f, char out[65]);
void digest_aliases(const struct fleet *f, char out[65]);

#endif
