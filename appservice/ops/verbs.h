/*
 * appservice/ops/verbs.h: the verbs of the command line. One table; usage and
 * the nearest word for a mistyped one come from it. Each verb returns the exit
 * status: 0 done or fine, 1 it failed (the last line of stderr says why), 2
 * wrong use or configuration, 3 fine, but not as declared.
 */
#ifndef APPSERVICE_OPS_VERBS_H
#define APPSERVICE_OPS_VERBS_H

#include <stdio.h>

#include "appservice/app.h"
#include "base/json.h"
#include "matrix/http.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_WRONG = 2, EXIT_DIFFERS = 3 };

struct cli {
	const char *config_path;
	bool json;
	const char *with; /* --with: another configuration; NULL */
	/* of rotate and revoke */
	const char *every, *why; /* NULL */
	bool all, now;
	/* of adopt */
	const char *owner; /* --owner: whose power is used; NULL */
	bool yes, token;
	bool dry_run;    /* of register, unregister and adopt */
	bool new_tokens; /* of registration */
	const char *homeserver, *server_name; /* of init; NULL. The first of
						 healthcheck, too: this one, not
						 the service */
	const char *wait;                     /* of healthcheck; NULL */
	int argc;                             /* what follows the verb */
	char **argv;
	const struct verb *verb;
};

struct verb {
	const char *name, *args, *help;
	int max_args;
	int (*run)(struct cli *cli);
	const char *example; /* one command line, for --help */
};
extern const struct verb verbs[];
extern const size_t n_verbs;

/* What a verb may be told, in the same way. */
struct verb_option {
	const char *name;
	const char *value; /* what its value is called; NULL: takes none */
	int key;
	const char *verbs; /* those that take it; NULL: every one */
	const char *help;
};
extern const struct verb_option verb_options[];
extern const size_t n_verb_options;

/* The verb of this name; NULL: there is none. */
const struct verb *verb_find(const char *name);
bool verb_takes(const struct verb *v, const struct verb_option *o);
/* For --json. */
bool verb_has_document(const struct verb *v);
/* The list of verbs. */
void verb_usage(FILE *to);
/* There is no such verb, or no such option (of v; NULL: of any verb): says so,
 * and the nearest one. The status. */
int verb_none(const char *name);
int verb_no_option(const struct verb *v, const char *word);

/* Each does what it is named for, and says so; the exit code. */
int verb_init(struct cli *cli);
int verb_check(struct cli *cli);
int verb_registration(struct cli *cli);
int verb_register(struct cli *cli);
int verb_unregister(struct cli *cli);
int verb_adopt(struct cli *cli);
int verb_serve(struct cli *cli);
int verb_view(struct cli *cli); /* status, agents, rooms, plan … */
int verb_plan(struct cli *cli);
int verb_doctor(struct cli *cli);
int verb_quarantine(struct cli *cli);
int verb_retire(struct cli *cli);
int verb_approve(struct cli *cli);
int verb_retry(struct cli *cli);
int verb_direct(struct cli *cli);
int verb_rotate(struct cli *cli);
int verb_revoke(struct cli *cli);
int verb_healthcheck(struct cli *cli);
int verb_config(struct cli *cli);
int verb_help(struct cli *cli);
int verb_version(struct cli *cli);

struct http_server;
struct intake;
/* Serves the Application Service API at appservice.listen, as the service does, to
 * who has hs_token; logs no more than errors from then on. RC_BUSY: somebody
 * listens there. http_server_stop(). */
MUST_CHECK enum rc cli_listen(const struct app *app,
	const struct secret *hs_token, struct intake *intake,
	struct http_server **ret, struct err *e);
/* From now on a signal to end sets app_stop, and a second one app_abort; the first
 * says these words (kept, not copied) on stderr. */
void cli_catch_signals(const char *words);
/* The last line of stderr; returns the status. */
int cli_fail(int status, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Loads configuration and fleet and prints every finding; EXIT_OK, or the
 * status to end with (said already). */
int cli_load(struct cli *cli, struct app *app, enum app_use use);
/* Reads these settings only: what is wrong elsewhere is no matter. */
int cli_load_settings(
	struct cli *cli, struct app *app, const enum setting *needed, size_t n);
/* Reads only as much as says where a running service is asked (ops.socket):
 * what is wrong elsewhere is no matter of that. */
int cli_load_socket(struct cli *cli, struct app *app);
/* One request to the admin socket; RC_NETWORK when no service runs. */
MUST_CHECK enum rc cli_ask(const struct app *app, const char *method,
	const char *path, struct http_answer *answer, struct err *e);
/* The same with a JSON body; sent once. */
MUST_CHECK enum rc cli_post(const struct app *app, const char *path,
	const char *body, struct http_answer *answer, struct err *e);
/* The words for that. */
void cli_silence(const struct app *app, struct err *e);
/* A document of the running service, else from the files and the store;
 * EXIT_OK, or the status to end with (said already). */
int cli_document(struct cli *cli, const char *name, struct buf *out);
/*
 * Waits for other processes that write this configuration's registration, and
 * keeps them waiting until cli_turn_end(): before the configuration is read, as
 * they may write what it names. Where nothing can be locked, or in a dry run, it
 * waits for nobody.
 */
int cli_turn_begin(const struct cli *cli);
void cli_turn_end(int turn);
/* What `registration` does; also the first part of `register`. *changed: the
 * file was written. */
int cli_registration(struct app *app, bool *changed);
/* The same without writing: app->reg is what would be in the file; *changed: it
 * would be written. */
int cli_registration_dry(struct app *app, bool *changed);

/* What another configuration would change, in words. */
void print_summary(struct js summary, int64_t removals);
/* A document in words, as a table; json is what a view wrote. */
void print_view(const char *name, const char *json, size_t n);

#endif
