/*
 * `muster register`: the registration with the homeserver, proven both ways.
 * For the way back we answer the homeserver's ping ourselves, unless a running
 * service does it on the same address. `muster unregister` takes it back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "appservice/newtokens.h"
#include "appservice/ops/verbs.h"
#include "base/file.h"
#include "base/str.h"

#include "base/poison.h"

static void say(void *arg, const char *line)
{
	const struct cli *cli = arg;
	fprintf(cli->json ? stderr : stdout, "%s\n", line);
	fflush(stdout);
}

#define ENDING                                                                 \
	"\nending, once no token is left in the admin room (again: at once)\n"

static enum rc run(struct cli *cli, struct app *app, struct err *e)
{
	const char **ids = calloc(app->fleet.n_agents + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < app->fleet.n_agents; i++)
		ids[i] = app->fleet.agents[i]->user_id;
	const size_t n = app->fleet.n_agents;
	enum rc rc = RC_OK;
	if (!ids)
		rc = err_nomem(e);
	else if (cli->dry_run)
		rc = app_register_dry(app, ids, n, say, cli, e);
	else
		rc = app_register(app, &app->reg, ids, n, say, cli, e);
	free(ids);
	return rc;
}

/* --- new tokens ------------------------------------------------------------- */

/* Those that wait beside the registration, in what it says now; *path, which is
 * freed by the caller, NULL: none do. */
static enum rc read_new_tokens(struct app *app, char **path, struct err *e)
{
	struct registration next = { 0 };
	char *beside = newtokens_path(app);
	if (!beside)
		return err_nomem(e);
	enum rc rc = newtokens_read(beside, &next, e);
	if (rc == RC_NOT_FOUND) {
		free(beside);
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = registration_keep_tokens(&app->reg, &next);
	registration_free(&next);
	*path = beside;
	return rc;
}

static enum rc use_new_tokens(
	struct cli *cli, struct app *app, char **path, struct err *e)
{
	enum rc rc = read_new_tokens(app, path, e);
	if (rc != RC_OK || !*path)
		return rc;
	if (!cli->dry_run)
		rc = registration_write(*path, &app->reg, e);
	if (rc == RC_OK)
		say(cli,
			"with the new tokens of `muster registration "
			"--new-tokens`");
	return rc;
}

/* They are what the homeserver takes, or will read. */
static enum rc put_new_tokens(
	const struct app *app, const char *path, struct err *e)
{
	enum rc rc = registration_write(
		config_text(&app->config, SET_AS_REGISTRATION), &app->reg, e);
	if (rc == RC_OK && unlink(path) != 0 && errno != ENOENT)
		rc = file_error(e, errno, "%s", path);
	return rc;
}

static int status_of(enum rc rc, const struct err *e)
{
	switch (rc) {
	case RC_OK:
		return EXIT_OK;
	case RC_PENDING:
		return cli_fail(EXIT_DIFFERS, "%s", e->text);
	case RC_INVALID:
		return cli_fail(EXIT_WRONG, "%s", e->text);
	default:
		return cli_fail(EXIT_FAILED, "%s", e->text);
	}
}

/* The configuration, and the registration file as it says. */
static int prepare(struct cli *cli, struct app *app)
{
	bool changed = false;
	int status = cli_load(cli, app, FOR_REGISTER);
	if (status == EXIT_OK)
		status = cli->dry_run ? cli_registration_dry(app, &changed)
				      : cli_registration(app, &changed);
	if (status == EXIT_OK && changed) {
		char line[600];
		snprintf(line, sizeof(line), "%s %s",
			cli->dry_run ? "would write" : "wrote",
			config_text(&app->config, SET_AS_REGISTRATION));
		say(cli, line);
	}
	return status;
}

/* While pings are answered, by us or by whoever has the address. */
static enum rc run_answering(struct cli *cli, struct app *app, struct err *e)
{
	struct intake intake = { 0 };
	struct http_server *server = NULL;
	enum rc rc = cli_listen(app, &app->reg.hs_token, &intake, &server, e);
	if (rc == RC_BUSY) {
		say(cli,
			"appservice.listen is in use: a running `muster "
			"serve`, or another `muster register`, answers the "
			"homeserver, presumably");
		rc = RC_OK;
	}
	if (rc == RC_OK)
		rc = run(cli, app, e);
	http_server_stop(server, 2000);
	return rc;
}

static int do_register(struct cli *cli)
{
	struct app app;
	struct err e = { 0 }, why = { 0 };
	char *beside = NULL;
	int status = prepare(cli, &app);
	if (status != EXIT_OK) {
		app_free(&app);
		return status;
	}
	cli_catch_signals(ENDING);
	enum rc rc = use_new_tokens(cli, &app, &beside, &e);
	if (rc == RC_OK)
		rc = run_answering(cli, &app, &e);
	if (beside && !cli->dry_run && (rc == RC_OK || rc == RC_PENDING) &&
		put_new_tokens(&app, beside, &why) != RC_OK)
		rc = err_set(&e, why.rc,
			"registered, but not put into force: %s", why.text);
	free(beside);
	status = status_of(rc, &e);
	if (cli->json)
		printf("{\"registered\":%s}\n", rc == RC_OK ? "true" : "false");
	app_free(&app);
	return status;
}

int verb_register(struct cli *cli)
{
	const int turn = cli_turn_begin(cli);
	int status = do_register(cli);
	cli_turn_end(turn);
	return status;
}

/* --- unregister ------------------------------------------------------------- */

/* A service that runs would lose its agents in the middle of its work. */
static enum rc refuse_running(const struct app *app, struct err *e)
{
	struct http_answer answer;
	http_answer_init(&answer);
	enum rc rc = cli_ask(app, "GET", "/v1/status", &answer, NULL);
	http_answer_free(&answer);
	if (rc != RC_OK)
		return RC_OK;
	return err_set(e, RC_BUSY,
		"`muster serve` is running: end it first, the homeserver will "
		"not let it in any more");
}

/* Its tokens are taken back, by the id of the configuration: whatever else it
 * says. */
static enum rc read_file(struct app *app, struct err *e)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	enum rc rc = registration_read(path, &app->reg, NULL, e);
	if (rc == RC_NOT_FOUND)
		return err_set(e, RC_NOT_FOUND,
			"%s: there is no registration file, and what is taken "
			"back is what it says. If it was lost: `muster "
			"register` makes one and registers it in the place of "
			"the old one, which can be taken back then",
			path);
	if (rc == RC_OK)
		app->reg.id = config_text(&app->config, SET_AS_ID);
	return rc;
}

/* A `muster register` that was killed may have made known the tokens that wait
 * beside the registration, and not put them into force. */
static enum rc take_back_new_tokens(
	struct cli *cli, struct app *app, struct err *e)
{
	char *beside = NULL;
	enum rc rc = read_new_tokens(app, &beside, e);
	if (rc == RC_OK && beside) {
		char line[600];
		snprintf(line, sizeof(line),
			"and with the new tokens that wait in %s, and are the "
			"ones of the next `muster register`:",
			beside);
		say(cli, line);
		rc = app_unregister(app, cli->dry_run, say, cli, e);
	}
	free(beside);
	return rc;
}

static int do_unregister(struct cli *cli)
{
	struct app app;
	struct err e = { 0 };
	int status = cli_load(cli, &app, FOR_REGISTER);
	if (status != EXIT_OK) {
		app_free(&app);
		return status;
	}
	cli_catch_signals(ENDING);
	enum rc rc = read_file(&app, &e);
	if (rc == RC_OK)
		rc = refuse_running(&app, &e);
	if (rc == RC_OK)
		rc = app_unregister(&app, cli->dry_run, say, cli, &e);
	if (rc == RC_OK)
		rc = take_back_new_tokens(cli, &app, &e);
	if (rc == RC_OK)
		say(cli,
			"the accounts, their rooms and the tokens that agents "
			"were given stay as they are: `muster register` has "
			"them again, and `muster revoke` ends a token");
	status = status_of(rc, &e);
	if (cli->json)
		printf("{\"registered\":%s}\n", rc == RC_OK ? "false" : "null");
	app_free(&app);
	return status;
}

int verb_unregister(struct cli *cli)
{
	const int turn = cli_turn_begin(cli);
	int status = do_unregister(cli);
	cli_turn_end(turn);
	return status;
}
