/*
 * Taking up a changed configuration. The files are read into a second struct
 * app; only when all of it is right, and declared in the store, it becomes what
 * is in force.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/filewatch.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reload.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* A registration that the homeserver does not take is tried again. */
#define RETRY_BASE_MS 10000
#define RETRY_MAX_MS 900000 /* a quarter of an hour */

struct reload {
	struct filewatch *files;
	atomic_bool asked; /* by SIGHUP */

	pthread_mutex_t lock;
	struct reload_state state;

	/* The loop's own. */
	bool due;
	bool said;    /* that the registration is behind, in these words */
	bool by_file; /* the homeserver has it by a file: no command changes it */
	int failures;
	int64_t next_try_ms; /* monotonic */
};

/* --- what others ask -------------------------------------------------------- */

void reload_ask(struct app *app)
{
	atomic_store(&app->reload->asked, true);
	reconcile_wake(app->reconcile);
}

void reload_state(struct app *app, struct reload_state *ret)
{
	struct reload *r = app->reload;
	pthread_mutex_lock(&r->lock);
	*ret = r->state;
	pthread_mutex_unlock(&r->lock);
}

/* The first thing that is wrong; NULL: nothing is. */
static void set_error(struct reload *r, const struct report *report)
{
	const struct finding *f = NULL;
	for (size_t i = 0; report && i < report->n && !f; i++)
		if (!report->items[i].warning)
			f = &report->items[i];
	pthread_mutex_lock(&r->lock);
	r->state.error[0] = '\0';
	if (f && f->line > 0)
		snprintf(r->state.error, sizeof(r->state.error), "%s:%d:%d: %s",
			f->file, f->line, f->column, f->text);
	else if (f)
		snprintf(r->state.error, sizeof(r->state.error), "%s%s%s",
			f->file, *f->file ? ": " : "", f->text);
	if (!report)
		r->state.loaded_ms = clock_wall_ms();
	pthread_mutex_unlock(&r->lock);
}

/* --- the registration ------------------------------------------------------- */

/* Does it still cover the fleet? */
static void check_covered(struct app *app)
{
	struct reload *r = app->reload;
	const char *users[UNCOVERED_USERS];
	size_t n = 0;
	bool outdated = app_uncovered(app, &app->reg, users, &n) != NULL;
	pthread_mutex_lock(&r->lock);
	r->state.outdated = outdated;
	pthread_mutex_unlock(&r->lock);
	r->said = false;
	r->failures = 0;
	r->next_try_ms = 0;
}

/* Ours and with the tokens in force: others are taken up when the homeserver
 * takes them (appservice/newtokens.h). */
static enum rc check_registration(const struct app *app, const char *path,
	const struct registration *next, struct err *e)
{
	const char *what = NULL;
	const struct secret *as = &app->reg.as_token, *hs = &app->reg.hs_token;
	if (!secret_equal(&next->as_token, secret_bytes(as), as->n) ||
		!secret_equal(&next->hs_token, secret_bytes(hs), hs->n))
		return err_set(e, RC_INVALID,
			"%s has other tokens: they take effect once the "
			"homeserver does not take the old ones any more",
			path);
	if (!registration_same(next, &app->reg, &what) &&
		!text_starts(what, "namespaces."))
		return err_set(e, RC_INVALID,
			"%s: %s is another than at the start: it takes effect "
			"at the next start",
			path, what);
	return app_check_namespace(app, next, path, e);
}

/* Somebody may have run `muster registration`, and told the homeserver. */
static enum rc read_registration(struct app *app, struct err *e)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	struct registration next = { 0 };
	struct err why = { 0 };
	enum rc rc = registration_read(path, &next, NULL, &why);
	if (rc == RC_OK)
		rc = check_registration(app, path, &next, &why);
	if (rc == RC_OK)
		rc = app_take_registration(app, &next, NULL, e);
	else
		log_warn("the registration stays as it was",
			LS("error", why.text));
	registration_free(&next);
	return why.rc == RC_OK ? rc : RC_OK;
}

static void say(void *arg, const char *line)
{
	(void)arg;
	log_info("registering", LS("text", line));
}

static enum rc audit_and_take(struct app *app, struct registration *next,
	const char *first, struct err *e)
{
	struct arena a = { 0 };
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "register",
		.subject = app->sender_id,
		.detail = arena_printf(&a,
			"the registration did not fit the fleet (%s): "
			"registered again",
			first) };
	enum rc rc = row.detail ? app_take_registration(app, next, &row, e)
				: err_nomem(e);
	arena_free(&a);
	return rc;
}

/* The homeserver first: a file that is older than what it knows is found out at
 * the next start, one that is newer is not. */
static enum rc register_again(struct app *app, struct err *e)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	const char *users[UNCOVERED_USERS];
	struct registration next = { 0 };
	size_t n = 0;
	const char *first = app_uncovered(app, &app->reg, users, &n);
	enum rc rc = app_make_registration(app, &next, e);
	if (rc == RC_OK)
		rc = registration_keep_tokens(&next, &app->reg);
	if (rc == RC_OK)
		rc = app_check_namespace(app, &next, path, e);
	if (rc == RC_OK)
		rc = app_register(app, &next, users, n, say, NULL, e);
	if (rc == RC_OK)
		rc = registration_write(path, &next, e);
	if (rc == RC_OK)
		rc = audit_and_take(app, &next, first ? first : "", e);
	registration_free(&next);
	return rc;
}

static bool is_able(const struct app *app)
{
	return registration_has_room((enum hs_kind)atomic_load(&app->kind)) &&
		config_text(&app->config, SET_ADMIN_USER) &&
		!app->reload->by_file;
}

/* Only the loop writes it, so it may read it without the lock. */
static bool registration_due(const struct app *app)
{
	const struct reload *r = app->reload;
	return r->state.outdated && !(r->said && !is_able(app)) &&
		clock_mono_ms() >= r->next_try_ms;
}

static void say_behind(struct app *app)
{
	const char *users[UNCOVERED_USERS];
	size_t n = 0;
	const char *first = app_uncovered(app, &app->reg, users, &n);
	app->reload->said = true;
	log_warn("the registration is behind the fleet's files: run `muster "
		 "registration`, then `muster register`, and send SIGHUP",
		LS("file", config_text(&app->config, SET_AS_REGISTRATION)),
		LS("first", first));
}

void reload_registration(struct app *app)
{
	struct reload *r = app->reload;
	struct err e = { 0 };
	if (!registration_due(app))
		return;
	if (!is_able(app)) {
		say_behind(app);
		return;
	}
	enum rc rc = register_again(app, &e);
	if (rc == RC_STOPPING)
		return;
	if (rc == RC_PENDING) {
		r->by_file = true;
		say_behind(app);
		return;
	}
	if (rc == RC_OK) {
		check_covered(app);
		log_info("registered again, since the fleet has changed",
			LS("file",
				config_text(
					&app->config, SET_AS_REGISTRATION)));
		return;
	}
	int64_t pause = backoff_ms(++r->failures, RETRY_BASE_MS, RETRY_MAX_MS);
	r->next_try_ms = clock_mono_ms() + pause;
	log_warn("the registration is behind the fleet's files, and could not "
		 "be made anew",
		LS("error", e.text), LI("again_in_ms", pause));
}

/* --- the files -------------------------------------------------------------- */

static enum rc watch_files(
	struct app *app, const struct config *c, int64_t read_ms, struct err *e)
{
	const char *const paths[FILEWATCH_FILES] = { c->path,
		config_text(c, SET_FLEET_CONFIG),
		config_text(c, SET_FLEET_ORG) };
	return filewatch_set(app->reload->files, paths, read_ms, e);
}

enum rc reload_new(struct app *app, struct err *e)
{
	struct reload *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	pthread_mutex_init(&r->lock, NULL);
	r->files = filewatch_new();
	r->state.loaded_ms = app->started_ms;
	app->reload = r;
	if (!r->files)
		return err_nomem(e);
	check_covered(app);
	enum rc rc = watch_files(app, &app->config, app->started_ms, e);
	log_debug("changes of the configuration are watched for",
		LS("by", filewatch_is_told(r->files) ? "inotify" : "looking"));
	return rc;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	filewatch_free(r->files);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

bool reload_tick(struct app *app)
{
	struct reload *r = app->reload;
	if (atomic_load(&r->asked) ||
		filewatch_changed(r->files, clock_mono_ms()))
		r->due = true;
	return r->due || registration_due(app);
}

static void log_taken(const struct app *app, const struct fleet_diff *d,
	bool asked, int64_t since)
{
	log_info("the configuration was read again",
		LS("why", asked ? "SIGHUP" : "a file changed"),
		LI("agents", app->fleet.n_agents),
		LI("agents_came", d->agents.came),
		LI("agents_gone", d->agents.gone),
		LI("agents_changed", d->agents.changed),
		LI("rooms", app->fleet.n_rooms),
		LI("rooms_came", d->rooms.came),
		LI("rooms_gone", d->rooms.gone),
		LI("rooms_changed", d->rooms.changed),
		LI("ms", clock_mono_ms() - since));
}

/* The store is written only where something declared is another. */
static enum rc take(struct app *app, struct app *next, bool asked,
	int64_t since, struct err *e)
{
	const struct fleet_diff d = fleet_compare(&app->fleet, &next->fleet);
	const struct fleet_counts *a = &d.agents, *b = &d.rooms;
	bool other = a->came + a->gone + a->changed + b->came + b->gone +
			b->changed >
		0;
	enum rc rc = other ? app_declare(app, &next->fleet, e) : RC_OK;
	if (rc != RC_OK)
		return rc;
	app_exchange(app, next);
	app_setup_log(&app->config);
	set_error(app->reload, NULL);
	log_taken(app, &d, asked, since);
	rc = read_registration(app, e);
	check_covered(app);
	return rc;
}

static void say_wrong(
	struct reload *r, struct report *report, const struct err *why)
{
	if (report->errors == 0)
		report_error(report, "", 0, 0, "%s", why->text);
	app_log_findings("a finding about the changed configuration", report);
	log_warn("the changed configuration is wrong: the old one stays in "
		 "force",
		LI("findings", report->errors));
	set_error(r, report);
}

enum rc reload_now(struct app *app, bool *exchanged, struct err *e)
{
	struct reload *r = app->reload;
	struct app next;
	struct report report;
	struct err why = { 0 };
	*exchanged = false;
	if (!r->due)
		return RC_OK;
	const int64_t read_ms = clock_wall_ms(), since = clock_mono_ms();
	bool asked = atomic_exchange(&r->asked, false);
	report_init(&report);
	filewatch_take(r->files);
	enum rc rc = app_load_anew(app, &next, &report, &why);
	bool still = filewatch_still(r->files);
	if (still && next.config.readable && rc != RC_NOMEM)
		rc = watch_files(app, &next.config, read_ms, &why) == RC_OK
			? rc
			: RC_NOMEM;
	if (!still) {
		/* Read while it was written: the next look finds it. */
		rc = RC_OK;
	} else if (rc == RC_NOMEM) {
		err_set(e, rc, "%s", why.text);
	} else if (rc != RC_OK) {
		say_wrong(r, &report, &why);
		rc = RC_OK;
	} else {
		app_log_findings("a warning about the configuration", &report);
		rc = take(app, &next, asked, since, e);
		*exchanged = rc == RC_OK;
	}
	r->due = rc != RC_OK;
	app_free(&next);
	report_free(&report);
	return rc;
}
