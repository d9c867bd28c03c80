/*
 * The verbs that work on files: check, registration, config; and what
 * all verbs share.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appservice/newtokens.h"
#include "appservice/ops/verbs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

int cli_fail(int status, const char *fmt, ...)
{
	va_list ap;
	fflush(stdout);
	fputs("muster: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

static void print_report(const struct report *r)
{
	struct buf text;
	buf_init(&text, LIMIT_DOCUMENT);
	report_write(r, &text);
	fputs(buf_str(&text), stderr);
	buf_free(&text);
}

/* The status when the configuration cannot be used, and the words. */
static int refuse(enum rc rc, const struct report *report, const struct err *e)
{
	if (rc == RC_INVALID && report->errors > 0) {
		print_report(report);
		return cli_fail(EXIT_WRONG,
			"%zu finding%s; nothing was done: correct %s and try "
			"again",
			report->errors, report->errors == 1 ? "" : "s",
			report->errors == 1 ? "it" : "them");
	}
	return cli_fail(
		rc == RC_NOMEM ? EXIT_FAILED : EXIT_WRONG, "%s", e->text);
}

static int load(struct cli *cli, struct app *app, enum app_use use,
	struct report *report)
{
	struct err e = { 0 };
	app_init(app);
	enum rc rc = app_load(app, cli->config_path, use, report, &e);
	if (rc != RC_OK)
		return refuse(rc, report, &e);
	app_setup_log(&app->config);
	return EXIT_OK;
}

int cli_load(struct cli *cli, struct app *app, enum app_use use)
{
	struct report report;
	report_init(&report);
	int status = load(cli, app, use, &report);
	/* A service's stderr is its log. */
	if (status == EXIT_OK && use == FOR_SERVICE)
		app_log_findings("a warning about the configuration", &report);
	else if (status == EXIT_OK)
		print_report(&report);
	report_free(&report);
	return status;
}

/* Where nothing is known of the file but that it is no YAML, the environment and
 * the default say where the service listens: it may well run, with what it has
 * read before. */
static bool listens(const struct config *c)
{
	const char *path = config_text(c, SET_OPS_SOCKET);
	struct stat st;
	return path && stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int load_some(struct cli *cli, struct app *app,
	const enum setting *needed, size_t n,
	bool (*enough)(const struct config *))
{
	struct report report;
	struct err e = { 0 };
	const struct config *c = &app->config;
	report_init(&report);
	app_init(app);
	enum rc rc = config_load(cli->config_path, &app->config, &report, &e);
	bool all = c->readable || (enough && enough(c));
	for (size_t i = 0; i < n && all; i++)
		all = !c->v[needed[i]].wrong;
	if (all)
		rc = RC_OK;
	int status = rc == RC_OK ? EXIT_OK : refuse(rc, &report, &e);
	report_free(&report);
	return status;
}

int cli_load_settings(
	struct cli *cli, struct app *app, const enum setting *needed, size_t n)
{
	return load_some(cli, app, needed, n, NULL);
}

int cli_load_socket(struct cli *cli, struct app *app)
{
	static const enum setting needed[] = { SET_OPS_SOCKET };
	return load_some(cli, app, needed, ARRAY_LEN(needed), listens);
}

/* --- check ------------------------------------------------------------------ */

static void check_json(const struct app *app, const struct report *r, bool ok)
{
	struct buf out;
	struct jb b;
	buf_init(&out, LIMIT_DOCUMENT);
	jb_init(&b, &out);
	jb_obj(&b, NULL);
	jb_bool(&b, "ok", ok);
	jb_arr(&b, "findings");
	for (size_t i = 0; i < r->n; i++) {
		jb_obj(&b, NULL);
		jb_str(&b, "file", r->items[i].file);
		jb_int(&b, "line", r->items[i].line);
		jb_int(&b, "column", r->items[i].column);
		jb_bool(&b, "warning", r->items[i].warning);
		jb_str(&b, "text", r->items[i].text);
		jb_end_obj(&b);
	}
	jb_end_arr(&b);
	jb_int(&b, "people", (int64_t)app->fleet.n_named);
	jb_int(&b, "agents", (int64_t)app->fleet.n_agents);
	jb_int(&b, "humans", (int64_t)app->fleet.n_humans);
	jb_int(&b, "rooms",
		(int64_t)(app->fleet.n_rooms - app->fleet.n_direct));
	jb_int(&b, "direct_rooms", (int64_t)app->fleet.n_direct);
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void check_said(const char *path, const struct fleet *f)
{
	size_t rooms = f->n_rooms - f->n_direct;
	printf("%s is fine: %zu %s, %zu agent%s, %zu human%s of the fleet; "
	       "%zu room%s and %zu direct room%s\n",
		path, f->n_named, f->n_named == 1 ? "person" : "people",
		f->n_agents, plural(f->n_agents), f->n_humans,
		plural(f->n_humans), rooms, plural(rooms), f->n_direct,
		plural(f->n_direct));
}

int verb_check(struct cli *cli)
{
	struct app app;
	struct report report;
	report_init(&report);
	int status = load(cli, &app, FOR_CHECK, &report);
	if (cli->json)
		check_json(&app, &report, status == EXIT_OK);
	if (status == EXIT_OK && !cli->json) {
		print_report(&report);
		check_said(cli->config_path, &app.fleet);
	}
	report_free(&report);
	app_free(&app);
	return status;
}

/* --- registration ----------------------------------------------------------------- */

/* What the file should be: the wanted content with the old tokens. */
static enum rc make_registration(struct app *app,
	const struct registration *old, const char *path,
	struct registration *made, struct err *e)
{
	enum rc rc = app_make_registration(app, made, e);
	if (rc == RC_OK && old)
		rc = registration_keep_tokens(made, old);
	return rc == RC_OK ? app_check_namespace(app, made, path, e) : rc;
}

/* app->reg is it from now on, and the file, if it is to be written. */
static enum rc renew(struct app *app, const struct registration *old,
	const char *path, bool write, struct report *report, struct err *e)
{
	struct registration made = { 0 };
	enum rc rc = make_registration(app, old, path, &made, e);
	registration_free(&app->reg);
	if (rc == RC_OK && !write) {
		app->reg = made;
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = registration_write(path, &made, e);
	registration_free(&made);
	return rc == RC_OK ? app_load_registration(app, NULL, report, e) : rc;
}

static int provide_registration(struct app *app, bool write, bool *changed)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	struct registration old = { 0 };
	struct report report;
	struct err e = { 0 };
	report_init(&report);
	*changed = false;
	/* Who is leaving stands in the store; without one nobody is. One that
	 * may not be read now is not one that says so. */
	enum rc rc = store_open_readonly(
		config_text(&app->config, SET_STORE_PATH), &app->store, &e);
	if (rc != RC_BUSY)
		rc = registration_read(path, &old, &report, &e);
	bool there = rc == RC_OK;
	if (there)
		rc = app_load_registration(app, NULL, NULL, &e);
	if (rc == RC_NOT_FOUND || (there && rc == RC_INVALID)) {
		rc = renew(app, there ? &old : NULL, path, write, &report, &e);
		*changed = rc == RC_OK;
	}
	print_report(&report);
	report_free(&report);
	registration_free(&old);
	return rc == RC_OK
		? EXIT_OK
		: cli_fail(rc == RC_INVALID ? EXIT_WRONG : EXIT_FAILED, "%s",
			  e.text);
}

int cli_registration(struct app *app, bool *changed)
{
	return provide_registration(app, true, changed);
}

int cli_registration_dry(struct app *app, bool *changed)
{
	return provide_registration(app, false, changed);
}

static void registration_said(const struct app *app, bool json, bool changed)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	char as[9], hs[9];
	secret_fingerprint(&app->reg.as_token, as);
	secret_fingerprint(&app->reg.hs_token, hs);
	if (!json) {
		printf("%s %s (as_token %s, hs_token %s by fingerprint)\n",
			path,
			changed ? "was written"
				: "is there and as it should be",
			as, hs);
		puts("next: `muster register` makes it known to the "
		     "homeserver; on Synapse it says which line belongs into "
		     "homeserver.yaml");
		return;
	}
	struct buf out;
	struct jb b;
	buf_init(&out, LIMIT_DOCUMENT);
	jb_init(&b, &out);
	jb_obj(&b, NULL);
	jb_str(&b, "path", path);
	jb_bool(&b, "written", changed);
	jb_str(&b, "id", app->reg.id);
	jb_str(&b, "url", app->reg.url);
	jb_str(&b, "as_token_fingerprint", as);
	jb_str(&b, "hs_token_fingerprint", hs);
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
}

/* Beside the registration, which stays in force; once only, as those may be
 * known to the homeserver by now. */
static int new_tokens(struct app *app)
{
	struct registration next = { 0 };
	struct err e = { 0 };
	char *path = newtokens_path(app);
	enum rc rc = path ? RC_OK : err_nomem(&e);
	bool there = path && access(path, F_OK) == 0;
	if (rc == RC_OK && there)
		rc = newtokens_read(path, &next, &e);
	if (rc == RC_OK && !there)
		rc = app_make_registration(app, &next, &e);
	if (rc == RC_OK && !there)
		rc = registration_write(path, &next, &e);
	if (rc == RC_OK)
		fprintf(stderr,
			"new tokens %s %s: `muster register` puts them into "
			"force\n",
			there ? "were waiting already in" : "are in", path);
	registration_free(&next);
	free(path);
	if (rc == RC_OK)
		return EXIT_OK;
	return cli_fail(
		rc == RC_INVALID ? EXIT_WRONG : EXIT_FAILED, "%s", e.text);
}

int verb_registration(struct cli *cli)
{
	struct app app;
	bool changed = false;
	const int turn = cli_turn_begin(cli);
	int status = cli_load(cli, &app, FOR_FILES);
	if (status == EXIT_OK)
		status = cli_registration(&app, &changed);
	/* A file that was just made has new ones. */
	if (status == EXIT_OK && cli->new_tokens)
		status = new_tokens(&app);
	if (status == EXIT_OK)
		registration_said(&app, cli->json, changed);
	app_free(&app);
	cli_turn_end(turn);
	return status;
}

/* --- config --------------------------------------------------------------------- */

int verb_config(struct cli *cli)
{
	struct config config = { 0 };
	struct report report;
	struct buf out;
	struct err e = { 0 };
	report_init(&report);
	buf_init(&out, LIMIT_DOCUMENT);
	enum rc rc = config_load(cli->config_path, &config, &report, &e);
	int status = rc == RC_OK ? EXIT_OK : refuse(rc, &report, &e);
	if (status == EXIT_OK) {
		config_check_secrets(&config, SECRETS_SHOWN, &report);
		print_report(&report);
		config_write_json(&config, &out);
		if (cli->json)
			puts(buf_str(&out));
		else
			print_view("config", buf_str(&out), out.n);
	}
	buf_free(&out);
	report_free(&report);
	config_free(&config);
	return status;
}

int verb_version(struct cli *cli)
{
	if (cli->json)
		puts("{\"version\":\"" MUSTER_VERSION "\"}");
	else
		puts("muster " MUSTER_VERSION);
	return EXIT_OK;
}
