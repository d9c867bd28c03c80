/*
 * What is wrong with what a person wrote: the configuration, the secrets that it
 * names, and the registration file.
 */
#include <string.h>
#include <sys/stat.h>

#include "appservice/ops/doctor_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* --- the service -------------------------------------------------------------- */

/* One that runs, and does not say how its agents are. */
void check_service(struct doctor *d)
{
	d->checked++;
	if (d->service)
		doctor_find(d, config_text(&d->app->config, SET_OPS_SOCKET),
			arena_strdup(d->a, d->service),
			"how its agents are nobody knows meanwhile",
			"see its log; `muster status` says when it is ready");
}

/* --- the configuration --------------------------------------------------------- */

static const char *place_of(struct doctor *d, const struct finding *f)
{
	const char *file = *f->file ? f->file : d->config_path;
	if (f->line == 0)
		return arena_strdup(d->a, file);
	return arena_printf(d->a, "%s:%d:%d", file, f->line, f->column);
}

static void find_written(
	struct doctor *d, const struct finding *f, const char *fix)
{
	const char *why = f->warning
		? "the service runs with it, but perhaps not as it was meant"
		: d->serving ? "the service goes on with what it had before"
			     : "nothing starts with it";
	doctor_find(d, place_of(d, f), arena_strdup(d->a, f->text), why, fix);
}

void check_configuration(struct doctor *d)
{
	const char *path = doctor_quote(d->a, d->config_path);
	d->checked++;
	for (size_t i = 0; i < d->report->n; i++)
		find_written(d, &d->report->items[i],
			d->has & HAS_SETTINGS
				? arena_printf(d->a,
					  "correct it; then `muster -c %s "
					  "check`",
					  path)
				: arena_printf(d->a,
					  "`muster init` writes one; another "
					  "is named by `muster -c FILE`, or "
					  "correct %s",
					  path));
}

/* --- secrets -------------------------------------------------------------------- */

/* Others can do with what lies there more than these modes say. */
static bool is_exposed(const char *path, mode_t others)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		(st.st_mode & others);
}

/* The file that it is in. */
static const char *file_of_secret(
	const struct doctor *d, const struct setting_value *v)
{
	if (v->secret == SECRET_ENV)
		return NULL;
	if (v->secret == SECRET_FILE)
		return v->text;
	return v->source == FROM_FILE ? d->app->config.path : NULL;
}

static void find_exposed_secret(
	struct doctor *d, enum setting s, const char *path, const char *said)
{
	doctor_find(d, doctor_at(d, s), said,
		"muster does not use it: who has read it can do what we do "
		"with it",
		arena_printf(d->a,
			"`chmod 600 %s`; where somebody has read it, change it "
			"at the homeserver as well",
			doctor_quote(d->a, path)));
}

static const char *fix_secret(struct doctor *d, const struct setting_value *v)
{
	const char *shown = "`muster config` shows its fingerprint then";
	const char *path = file_of_secret(d, v);
	if (v->secret == SECRET_FILE)
		return arena_printf(d->a,
			"put a file with the bare secret there: `(umask 077; "
			"cat >%s)` takes it from the terminal, up to Ctrl-D; "
			"%s",
			doctor_quote(d->a, path), shown);
	if (v->secret == SECRET_ENV || !path)
		return arena_printf(d->a,
			"give %s the bare secret, where muster is started; %s",
			v->secret == SECRET_ENV ? v->text : v->file, shown);
	return arena_printf(
		d->a, "correct it in %s, line %d; %s", path, v->line, shown);
}

static void check_secret(struct doctor *d, enum setting s)
{
	struct secret secret = { 0 };
	struct err e = { 0 };
	const struct setting_value *v = &d->app->config.v[s];
	const char *path = file_of_secret(d, v);
	enum rc rc = config_secret(&d->app->config, s, &secret, &e);
	const char *said = arena_strdup(d->a, e.text);
	secret_fini(&secret);
	d->checked++;
	/* On an empty server `muster register` makes it. */
	if (rc == RC_OK ||
		(rc == RC_NOT_FOUND && s == SET_ADMIN_PASSWORD &&
			v->secret == SECRET_FILE))
		return;
	if (rc == RC_INVALID && path && is_exposed(path, 077))
		find_exposed_secret(d, s, path, said);
	else
		doctor_find(d, doctor_at(d, s), said,
			rc == RC_NOT_FOUND || rc == RC_IO
				? "`muster register` needs it, and the service "
				  "where it registers again"
				: "it is not what the homeserver knows, and "
				  "muster does not try it",
			fix_secret(d, v));
}

void check_secrets(struct doctor *d)
{
	for (int s = 0; s < SETTING_COUNT; s++)
		if (setting_infos[s].type == SETTING_SECRET)
			check_secret(d, (enum setting)s);
}

/* --- the registration file ----------------------------------------------------- */

static void find_warnings(
	struct doctor *d, const char *path, const struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		doctor_find(d, path, arena_strdup(d->a, r->items[i].text),
			"the homeserver gives others to the service than are "
			"meant",
			"`muster registration`, then `muster register`");
}

static void find_exposed(struct doctor *d, const char *path, const char *what)
{
	doctor_find(d, path, what,
		"who has its tokens is the homeserver to us, and us to the "
		"homeserver; nothing starts with it",
		arena_printf(d->a,
			"`chmod 600 %s`, or 640 where the homeserver reads it "
			"by its group; where somebody else has read it "
			"`muster registration --new-tokens`, then `muster "
			"register` replace them",
			doctor_quote(d->a, path)));
}

static void find_no_registration(
	struct doctor *d, const char *path, const struct err *e)
{
	const char *said = arena_strdup(d->a, e->text);
	/* Who reads it as another user may be of its group. */
	if (is_exposed(path, REGISTRATION_OTHERS))
		find_exposed(d, path, said);
	else
		doctor_find(d, path, said,
			e->rc == RC_NOT_FOUND
				? "without it the homeserver knows nothing of "
				  "the service"
				: "the service does not start with it, or "
				  "cannot act for everybody",
			"`muster registration`, then `muster register`");
}

void check_registration(struct doctor *d)
{
	const char *path = config_text(&d->app->config, SET_AS_REGISTRATION);
	struct report r;
	struct err e = { 0 };
	bool other = false;
	report_init(&r);
	d->checked++;
	/* Who leaves stands in the store: without it others are not wrong. */
	enum rc rc = app_load_registration(
		d->app, d->has & HAS_STORE ? NULL : &other, &r, &e);
	if (d->app->reg.id)
		d->has |= HAS_REGISTRATION;
	if (rc != RC_OK)
		find_no_registration(d, path, &e);
	else
		find_warnings(d, path, &r);
	report_free(&r);
}
