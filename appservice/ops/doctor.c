/*
 * What is wrong: the table of checks, what they look at, and the document.
 */
#include "appservice/ops/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/ops/doctor_priv.h"
#include "appservice/reconcile/plan.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

static const struct check checks[] = {
	{ "agent", check_agents },
	{ "directory", check_directories },
	{ "file", check_files },
	{ "token", check_tokens },
	{ "acknowledgement", check_acks },
	{ "rotation", check_rotations },
	{ "revocation", check_revocations },
};

/* --- for the checks -------------------------------------------------------- */

void doctor_find(struct doctor *d, const char *subject, const char *what,
	const char *why, const char *fix)
{
	struct symptom *f = arena_push(
		d->a, &d->findings, &d->n_findings, &d->cap, sizeof(*f));
	if (f)
		*f = (struct symptom){ d->check, subject, what, why, fix };
}

void doctor_each(
	struct doctor *d, void (*run)(struct doctor *d, struct patient *p))
{
	for (size_t i = 0; i < d->n; i++)
		run(d, &d->patients[i]);
	d->checked += d->n;
}

const char *doctor_verb(struct doctor *d, const char *verb, const char *user,
	const char *options)
{
	return arena_printf(d->a, "%s`muster %s %s%s`",
		d->serving ? "" : "`muster serve`, then ", verb, user, options);
}

const char *doctor_quote(struct arena *a, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+=@:%,";
	struct buf out;
	if (*text && text[strspn(text, plain)] == '\0')
		return text;
	buf_init(&out, LIMIT_SMALL_BODY);
	buf_addc(&out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_add(&out, "'\\'");
		buf_addc(&out, *text);
	}
	buf_addc(&out, '\'');
	const char *quoted = arena_strdup(a, buf_str(&out));
	buf_free(&out);
	return quoted;
}

const char *doctor_time(struct arena *a, int64_t ms)
{
	char text[25];
	clock_format(ms, text);
	return arena_printf(a, "%.10s %.8s", text, text + 11);
}

bool patient_has_file(const struct patient *p)
{
	return p->row.state == AGENT_HANDED_OFF ||
		p->row.state == AGENT_ACKNOWLEDGED;
}

bool patient_is_without(const struct patient *p)
{
	return p->row.generation > 0 &&
		(p->row.state == AGENT_REGISTERED ||
			p->row.state == AGENT_LOGGED_IN);
}

/* --- who is looked at ------------------------------------------------------- */

/* Who has left is nobody's business any more. */
static bool is_of_interest(const struct app *app, const struct store_agent *row)
{
	const struct person *p = fleet_person(&app->fleet, row->user_id);
	return !row->sender &&
		((p && p->deployed && !p->human) ||
			agent_is_leaving(&app->fleet, row));
}

static const char *path_of(struct doctor *d, const struct store_agent *row)
{
	const struct person *p = fleet_person(&d->app->fleet, row->user_id);
	struct str localpart, server;
	if (!id_split(row->user_id, '@', &localpart, &server))
		return NULL;
	const char *name = arena_strndup(d->a, localpart.p, localpart.n);
	char *path = name ? handoff_path(d->root,
				    p ? p->department : row->department, name)
			  : NULL;
	const char *ret = arena_strdup(d->a, path);
	free(path);
	return ret;
}

static void take_settings(struct doctor *d, const struct config *c)
{
	const struct setting_value *owner = &c->v[SET_HANDOFF_OWNER];
	d->root = arena_strdup(d->a, config_text(c, SET_HANDOFF_ROOT));
	d->url = arena_strdup(d->a, config_text(c, SET_HS_URL));
	d->public_url = arena_strdup(d->a, config_text(c, SET_HS_PUBLIC_URL));
	d->device = arena_strdup(d->a, config_text(c, SET_HANDOFF_DEVICE));
	d->uid = owner->uid;
	d->gid = owner->gid;
	d->wait_ms = config_int(c, SET_HANDOFF_WAIT);
}

/* Copies what of the fleet is needed: it is not held while files are looked
 * at. */
static enum rc admit(struct doctor *d, struct err *e)
{
	struct store_snapshot now = { 0 };
	enum rc rc = app_snapshot(d->app, d->a, &now, e);
	if (rc != RC_OK)
		return rc;
	take_settings(d, &d->app->config);
	d->patients = arena_array(d->a, now.n_agents + 1, sizeof(*d->patients));
	if (!arena_ok(d->a) || !d->patients)
		return err_nomem(e);
	for (size_t i = 0; i < now.n_agents; i++) {
		const struct store_agent *row = &now.agents[i];
		if (!is_of_interest(d->app, row))
			continue;
		struct patient *p = &d->patients[d->n++];
		p->row = *row;
		if (row->generation > 0)
			p->path = path_of(d, row);
	}
	return arena_ok(d->a) ? RC_OK : err_nomem(e);
}

/* --- the document ------------------------------------------------------------ */

static void write_findings(const struct doctor *d, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_arr(&b, "findings");
	for (size_t i = 0; i < d->n_findings; i++) {
		const struct symptom *f = &d->findings[i];
		jb_obj(&b, NULL);
		jb_str(&b, "check", f->check);
		jb_str(&b, "subject", f->subject);
		jb_str(&b, "what", f->what);
		jb_str(&b, "why", f->why);
		jb_str(&b, "fix", f->fix);
		jb_end_obj(&b);
	}
	jb_end_arr(&b);
	jb_int(&b, "checked", (int64_t)d->checked);
	jb_bool(&b, "service", d->serving);
	jb_end_obj(&b);
}

enum rc view_doctor(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct doctor d = { .app = app,
		.a = &a,
		.serving = app->reconcile != NULL,
		.now_ms = clock_wall_ms() };
	app_hold(app);
	enum rc rc = admit(&d, e);
	app_let_go(app);
	if (rc == RC_OK) {
		doctor_look(&d);
		for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
			d.check = checks[i].name;
			checks[i].run(&d);
		}
		write_findings(&d, out);
	}
	if (rc == RC_OK && !arena_ok(&a))
		rc = err_nomem(e);
	for (size_t i = 0; i < d.n; i++)
		handoff_fini(&d.patients[i].file);
	arena_free(&a);
	return rc;
}
