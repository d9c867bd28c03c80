/*
 * `muster adopt`: a fleet that was run with passwords becomes ours. It writes
 * into the store, so no service runs beside it; the homeserver's transactions
 * are taken here meanwhile, or it would count its failures.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "appservice/adopt/adopt.h"
#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "appservice/ops/verbs.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

static void say(void *arg, const char *line)
{
	const struct cli *cli = arg;
	fprintf(cli->json ? stderr : stdout, "%s\n", line);
	fflush(stdout);
}

/* --- the store, and the homeserver's side of it ------------------------------ */

static enum rc in_use(const struct app *app, struct err *e)
{
	struct err who = *e;
	return err_set(e, RC_BUSY,
		"`muster adopt` writes into the store %s itself: stop the "
		"service that has it, run this again, and start the service "
		"after it (%.200s)",
		config_text(&app->config, SET_STORE_PATH), who.text);
}

static enum rc open_store(const struct cli *cli, struct app *app, struct err *e)
{
	const struct store_options nobody_is_waited_for = { 0 };
	enum rc rc;
	if (cli->dry_run) {
		rc = store_open_readonly(
			config_text(&app->config, SET_STORE_PATH), &app->store,
			e);
		if (rc == RC_NOT_FOUND)
			rc = RC_OK;
	} else {
		rc = app_check_runtime(app, e);
		if (rc == RC_OK)
			rc = app_open_store(app, &nobody_is_waited_for, e);
	}
	return rc == RC_BUSY ? in_use(app, e) : rc;
}

static void on_changed(void *arg)
{
	(void)arg; /* the service looks when it begins */
}

static enum rc not_now(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return err_set(e, RC_PENDING, "muster adopt is at work: %s", id);
}

static enum rc listen(struct app *app, struct intake *intake,
	struct http_server **ret, struct err *e)
{
	*intake = (struct intake){ .store = app->store,
		.changed = on_changed,
		.need_user = not_now,
		.has_alias = not_now,
		.arg = app };
	enum rc rc = cli_listen(app, &app->reg.hs_token, intake, ret, e);
	/* Whoever listens there: what it does not take comes again. */
	return rc == RC_BUSY ? RC_OK : rc;
}

/* --- asking ------------------------------------------------------------------ */

/* A line of stdin without its end; false when there is none. */
static bool read_line(char *line, size_t size)
{
	if (!fgets(line, (int)size, stdin))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

static bool is_terminal(void)
{
	return isatty(STDIN_FILENO) == 1;
}

/* What is typed is not shown. */
static bool read_dark(const char *prompt, char *line, size_t size)
{
	struct termios was, dark;
	if (!is_terminal() || tcgetattr(STDIN_FILENO, &was) != 0)
		return read_line(line, size);
	dark = was;
	dark.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &dark);
	fputs(prompt, stderr);
	const bool there = read_line(line, size);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fputc('\n', stderr);
	return there;
}

static enum rc ask_secret(
	const char *whose, bool token, struct secret *ret, struct err *e)
{
	const char *what = token ? "access token" : "password";
	char line[1024], prompt[400];
	snprintf(prompt, sizeof(prompt),
		"the %s of %.255s, which is used now and not kept: ", what,
		whose);
	enum rc rc = read_dark(prompt, line, sizeof(line)) && line[0]
		? secret_set(ret, line, strlen(line))
		: RC_NOT_FOUND;
	wipe(line, sizeof(line));
	if (rc == RC_NOT_FOUND)
		return err_set(e, RC_INVALID,
			"no %s was given for %s: it is the first line of the "
			"standard input",
			what, whose);
	return rc == RC_OK ? rc : err_nomem(e);
}

static bool confirmed(const struct cli *cli, const struct adopt *ad)
{
	char line[64] = "";
	if (cli->yes)
		return true;
	if (!is_terminal())
		return false;
	fprintf(stderr,
		"take over what can be (%zu)? The old sessions of the agents "
		"end at once. [y/N] ",
		adopt_open(ad));
	return read_line(line, sizeof(line)) &&
		(text_eq(line, "y") || text_eq(line, "yes"));
}

/* --- the old owner ----------------------------------------------------------- */

/* Somebody is of use: for power, or to end passwords. */
static bool needs_owner(const struct adopt *ad)
{
	const enum hs_kind kind = (enum hs_kind)atomic_load(&ad->app->kind);
	return adopt_powerless(ad) > 0 ||
		(kind != HS_CONDUIT && adopt_open(ad) > 0);
}

/* The configured administrator's password; else it is asked for. */
static enum rc owner_secret(const struct cli *cli, const struct app *app,
	const char *user, struct secret *ret, bool *configured, struct err *e)
{
	const char *admin = config_text(&app->config, SET_ADMIN_USER);
	enum rc rc = RC_OK;
	if (!cli->token && adopt_same_user(app, user, admin))
		rc = config_secret(&app->config, SET_ADMIN_PASSWORD, ret, e);
	*configured = secret_is_set(ret);
	if (*configured || (rc != RC_OK && rc != RC_NOT_FOUND))
		return rc;
	return ask_secret(user ? user : "the old owner", cli->token, ret, e);
}

static const char *ask_name(const struct adopt *ad, char line[256])
{
	const size_t n = adopt_powerless(ad);
	if (n == 0 || !is_terminal() || app_stopping())
		return NULL;
	fprintf(stderr,
		"%zu room%s: none of ours has power there. Who made them? (a "
		"user; nobody: leave it empty) ",
		n, n == 1 ? "" : "s");
	return read_line(line, 256) && line[0] ? line : NULL;
}

static enum rc enter(const struct cli *cli, struct adopt *ad, const char *user,
	struct err *e)
{
	struct secret secret = { 0 };
	bool configured = false;
	enum rc rc = owner_secret(cli, ad->app, user, &secret, &configured, e);
	if (rc == RC_OK)
		rc = adopt_owner_enter(ad, user, &secret, cli->token, e);
	secret_fini(&secret);
	if (rc == RC_FORBIDDEN && configured) {
		const struct err why = *e;
		err_set(e, rc,
			"%s: it is homeserver.admin.password, correct that, or "
			"name another with --owner",
			why.text);
	}
	return rc;
}

/* Who is configured; the emergency user has no rooms. */
static const char *configured_owner(const struct adopt *ad)
{
	const char *admin = config_text(&ad->app->config, SET_ADMIN_USER);
	return admin && !text_eq(admin, "conduit") ? admin : NULL;
}

/* Who is named; else who is configured, and where that is of no use, whom a
 * person names now. */
static enum rc bring_owner(
	const struct cli *cli, struct adopt *ad, struct err *e)
{
	char line[256] = "";
	enum rc rc = RC_OK;
	if (!needs_owner(ad))
		return RC_OK;
	if (cli->owner || cli->token)
		return enter(cli, ad, cli->owner, e);
	const char *admin = configured_owner(ad);
	if (admin)
		rc = enter(cli, ad, admin, e);
	if (rc != RC_OK || adopt_owner_helps(ad))
		return rc;
	const char *user = ask_name(ad, line);
	return user ? enter(cli, ad, user, e) : RC_OK;
}

/* --- the verb ---------------------------------------------------------------- */

static void print_json(const struct cli *cli, const struct adopt *ad)
{
	struct buf out;
	if (!cli->json)
		return;
	buf_init(&out, LIMIT_DOCUMENT);
	adopt_write_json(ad, cli->dry_run, &out);
	puts(buf_str(&out));
	buf_free(&out);
}

static void print(struct cli *cli, const struct adopt *ad)
{
	adopt_tell(ad, say, cli);
	print_json(cli, ad);
}

static int end(struct cli *cli, const struct adopt *ad)
{
	const size_t open = adopt_open(ad), left = adopt_left(ad);
	if (open + left == 0) {
		say(cli,
			cli->dry_run ? "nothing is to be taken over"
				     : "done: next, `muster serve`");
		return EXIT_OK;
	}
	if (cli->dry_run)
		return cli_fail(EXIT_DIFFERS,
			"nothing was done: %zu to be taken over, %zu left "
			"alone",
			open, left);
	if (open == 0)
		return cli_fail(EXIT_DIFFERS,
			"done, but for %zu that %s left alone: see above", left,
			left == 1 ? "was" : "were");
	return cli_fail(EXIT_DIFFERS,
		"%zu could not be taken over yet, %zu left alone: see above",
		open, left);
}

/* What was done is told, also where something has ended it. */
static enum rc do_it(struct cli *cli, struct adopt *ad, struct err *e)
{
	struct intake intake;
	struct http_server *server = NULL;
	adopt_tell(ad, say, cli);
	if (!confirmed(cli, ad)) {
		print_json(cli, ad);
		return err_set(e, RC_PENDING,
			"nothing was done: answer y, or run it with --yes");
	}
	enum rc rc = listen(ad->app, &intake, &server, e);
	if (rc != RC_OK)
		return rc;
	rc = adopt_do(ad, e);
	http_server_stop(server, 2000);
	print(cli, ad);
	return rc;
}

static enum rc look(struct cli *cli, struct adopt *ad, struct err *e)
{
	enum rc rc = open_store(cli, ad->app, e);
	if (rc == RC_OK)
		rc = adopt_look(ad, e);
	if (rc == RC_OK)
		rc = bring_owner(cli, ad, e);
	return rc == RC_OK && app_stopping()
		? err_set(e, RC_STOPPING, "ended by a signal: nothing was done")
		: rc;
}

static enum rc look_and_do(struct cli *cli, struct adopt *ad, struct err *e)
{
	enum rc rc = look(cli, ad, e);
	if (rc != RC_OK)
		return rc;
	if (!cli->dry_run && adopt_open(ad) > 0)
		return do_it(cli, ad, e);
	print(cli, ad);
	return RC_OK;
}

static int status_of(enum rc rc, const struct err *e)
{
	if (rc == RC_PENDING)
		return cli_fail(EXIT_DIFFERS, "%s", e->text);
	return cli_fail(
		rc == RC_NOT_FOUND ? EXIT_WRONG : EXIT_FAILED, "%s", e->text);
}

static int run(struct cli *cli, struct app *app)
{
	struct err e = { 0 };
	bool other = false;
	struct adopt ad = { .app = app,
		.names = (const char *const *)cli->argv,
		.n_names = (size_t)cli->argc,
		.say = say,
		.arg = cli };
	enum rc rc = app_load_registration(app, &other, NULL, &e);
	if (rc == RC_INVALID)
		return cli_fail(EXIT_WRONG, "%s", e.text);
	if (rc == RC_OK)
		rc = look_and_do(cli, &ad, &e);
	int status = rc == RC_OK ? end(cli, &ad) : status_of(rc, &e);
	adopt_free(&ad);
	return status;
}

int verb_adopt(struct cli *cli)
{
	struct app app;
	int status = cli_load(cli, &app, FOR_SERVICE);
	if (status == EXIT_OK) {
		/* No buffer keeps what is typed. */
		setvbuf(stdin, NULL, _IONBF, 0);
		cli_catch_signals("\nending after this one (again: at once)\n");
		status = run(cli, &app);
	}
	app_free(&app);
	return status;
}
