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

/* What the command line looks at, in this order: what comes later needs what
 * comes before. */
static const struct check here[] = {
	{ "service", check_service, 0 },
	{ "configuration", check_configuration, 0 },
	{ "secret", check_secrets, HAS_SETTINGS },
	{ "store", check_store, HAS_SETTINGS },
	{ "space", check_space, HAS_SETTINGS },
	{ "root", check_root, HAS_SETTINGS },
	{ "registration", check_registration, HAS_CONFIGURATION },
	{ "homeserver", check_homeserver, HAS_SETTINGS },
	{ "clock", check_clock, HAS_HOMESERVER },
	{ "accounts", check_accounts, HAS_HOMESERVER },
	{ "sender", check_sender, HAS_HOMESERVER | HAS_REGISTRATION },
	{ "namespace", check_covered, HAS_TOKEN },
	{ "ping", check_way_back, HAS_TOKEN },
	{ "administrator", check_administrator, HAS_TOKEN },
};

/* What the running service answers for, where there is one. */
static const struct check of_agents[] = {
	{ "agent", check_agents, HAS_AGENTS },
	{ "directory", check_directories, HAS_AGENTS },
	{ "file", check_files, HAS_AGENTS },
	{ "token", check_tokens, HAS_AGENTS },
	{ "acknowledgement", check_acks, HAS_AGENTS },
	{ "rotation", check_rotations, HAS_AGENTS },
	{ "revocation", check_revocations, HAS_AGENTS },
};

static void run_all(struct doctor *d, const struct check *checks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((checks[i].needs & ~d->has) != 0)
			continue;
		d->check = checks[i].name;
		checks[i].run(d);
	}
}

/* --- for the checks -------------------------------------------------------- */

void doctor_find(struct doctor *d, const char *subject, const char *what,
	const char *why, const char *fix)
{
	struct symptom *f = arena_push(
		d->a, &d->findings, &d->n_findings, &d->cap, sizeof(*f));
	if (f)
		*f = (struct symptom){ d->check, subject ? subject : "-", what,
			why, fix };
}

const char *doctor_at(struct doctor *d, enum setting s)
{
	const struct place at = config_place(&d->app->config, s);
	return arena_printf(d->a, "%s (%s:%d)", setting_infos[s].path, at.file,
		at.line > 0 ? at.line : 1);
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

static void write_secret(struct jb *b, const char *name,
	const struct secret *secret, bool trimmed)
{
	char print[9];
	if (!secret_is_set(secret))
		return;
	secret_fingerprint(secret, print);
	jb_obj(b, NULL);
	jb_str(b, "name", name);
	jb_str(b, "fingerprint", print);
	jb_bool(b, "newline_trimmed", trimmed);
	jb_end_obj(b);
}

/* So that two sides can be compared. */
static void write_secrets(const struct doctor *d, struct jb *b)
{
	jb_arr(b, "secrets");
	write_secret(b, "as_token", &d->app->reg.as_token, false);
	write_secret(b, "hs_token", &d->app->reg.hs_token, false);
	for (int s = 0; (d->has & HAS_SETTINGS) && s < SETTING_COUNT; s++) {
		struct secret secret = { 0 };
		bool trimmed = false;
		if (setting_infos[s].type != SETTING_SECRET)
			continue;
		if (config_secret_trimmed(&d->app->config, (enum setting)s,
			    &secret, &trimmed, NULL) == RC_OK)
			write_secret(
				b, setting_infos[s].path, &secret, trimmed);
		secret_fini(&secret);
	}
	jb_end_arr(b);
}

static void write_document(
	const struct doctor *d, bool secrets, struct buf *out)
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
	if (secrets)
		write_secrets(d, &b);
	jb_end_obj(&b);
}

/* --- all of it ---------------------------------------------------------------- */

/* The agents and what is theirs, by the files and the store. */
static enum rc look_at_agents(struct doctor *d, struct err *e)
{
	app_hold(d->app);
	enum rc rc = admit(d, e);
	app_let_go(d->app);
	if (rc != RC_OK)
		return rc;
	doctor_look(d);
	d->has |= HAS_AGENTS;
	run_all(d, of_agents, ARRAY_LEN(of_agents));
	return RC_OK;
}

static void discharge(struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++)
		handoff_fini(&d->patients[i].file);
	hs_free(d->as);
	hs_free(d->plain);
	arena_free(d->a);
}

enum rc view_doctor(struct app *app, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct doctor d = { .app = app,
		.a = &a,
		.serving = app->reconcile != NULL,
		.now_ms = clock_wall_ms() };
	enum rc rc = look_at_agents(&d, e);
	if (rc == RC_OK)
		write_document(&d, false, out);
	if (rc == RC_OK && !arena_ok(&a))
		rc = err_nomem(e);
	discharge(&d);
	return rc;
}

static const char *copy(struct doctor *d, struct js finding, const char *key)
{
	const char *text = js_get_str(finding, key);
	return arena_strdup(d->a, text ? text : "-");
}

/* What the service has found. */
static enum rc take_document(
	struct doctor *d, const char *text, size_t n, struct err *e)
{
	struct json *doc = NULL;
	int64_t checked = 0;
	enum rc rc = json_parse(text, n, NULL, &doc, e);
	if (rc != RC_OK)
		return rc;
	struct js list = js_get(json_root(doc), "findings");
	for (size_t i = 0; i < js_len(list); i++) {
		struct js f = js_at(list, i);
		d->check = copy(d, f, "check");
		doctor_find(d, copy(d, f, "subject"), copy(d, f, "what"),
			copy(d, f, "why"), copy(d, f, "fix"));
	}
	if (js_get_i64(json_root(doc), "checked", &checked))
		d->checked += (size_t)checked;
	json_free(doc);
	return RC_OK;
}

/* By whoever sees them best. */
static enum rc hear_of_agents(
	struct doctor *d, const struct doctor_case *c, struct err *e)
{
	if (c->document)
		return take_document(d, c->document, c->document_n, e);
	const unsigned needs = HAS_CONFIGURATION | HAS_STORE;
	return !c->silence && (d->has & needs) == needs ? look_at_agents(d, e)
							: RC_OK;
}

enum rc doctor_write(
	const struct doctor_case *c, struct buf *out, struct err *e)
{
	struct arena a = { 0 };
	struct doctor d = { .app = c->app,
		.a = &a,
		.serving = c->document || c->silence,
		.now_ms = clock_wall_ms(),
		.has = (c->readable ? HAS_SETTINGS : 0) |
			(c->whole ? HAS_CONFIGURATION : 0),
		.config_path = c->config_path,
		.report = c->report,
		.service = c->silence,
		.listening = c->listening,
		.occupied = c->occupied };
	run_all(&d, here, ARRAY_LEN(here));
	enum rc rc = hear_of_agents(&d, c, e);
	if (rc == RC_OK)
		write_document(&d, true, out);
	if (rc == RC_OK && !arena_ok(&a))
		rc = err_nomem(e);
	discharge(&d);
	return rc;
}
