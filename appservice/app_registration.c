/*
 * The registration as the configuration and the fleet want it, against the one
 * that there is; and making it known to the homeserver.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/app.h"
#include "base/log.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

#define STRANGER "muster-doctor-stranger" /* nobody's name */

/* --- what it should be ------------------------------------------------------ */

static struct registration_want want_of(const struct app *app)
{
	const struct config *c = &app->config;
	return (struct registration_want){
		.id = config_text(c, SET_AS_ID),
		.url = config_text(c, SET_AS_URL),
		.sender_localpart = config_text(c, SET_AS_SENDER),
		.server_name = config_text(c, SET_HS_NAME),
		.prefix = config_text(c, SET_NAMESPACE_PREFIX),
		.users = app->fleet.declared_users,
		.n_users = app->fleet.n_declared_users,
		.aliases = app->fleet.declared_aliases,
		.n_aliases = app->fleet.n_declared_aliases,
	};
}

/* There is an account of ours, declared or not: it has rooms to leave, and what
 * it wrote stays its own. Unless a human has its name now. */
static bool is_kept(const struct app *app, const struct store_agent *row)
{
	const struct person *p = fleet_person(&app->fleet, row->user_id);
	struct str localpart, server;
	return !row->sender && !(p && p->human) &&
		row->state != AGENT_DECLARED && row->state != AGENT_BLOCKED &&
		id_split(row->user_id, '@', &localpart, &server) &&
		str_eq(server, app->fleet.server_name);
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A room of ours that is not declared just now keeps its alias. */
static bool is_kept_room(const struct app *app, const struct store_room *row)
{
	const char *server = strchr(row->key, ':');
	return !row->direct && row->room_id && server &&
		text_eq(server + 1, app->fleet.server_name);
}

/* Sorted, each once. */
static size_t make_unique(const char **list, size_t n)
{
	size_t unique = 0;
	qsort(list, n, sizeof(*list), name_cmp);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || !text_eq(list[i], list[unique - 1]))
			list[unique++] = list[i];
	return unique;
}

/* What is ours and declared no longer, beside what is declared. */
static enum rc add_kept(struct app *app, struct arena *a,
	struct registration_want *want, struct err *e)
{
	struct store_snapshot now = { 0 };
	size_t users = 0, aliases = 0;
	enum rc rc =
		app->store ? store_snapshot(app->store, a, &now, e) : RC_OK;
	if (rc != RC_OK || now.n_agents == 0)
		return rc;
	const char **all_users =
		arena_array(a, want->n_users + now.n_agents, sizeof(char *));
	const char **all_aliases =
		arena_array(a, want->n_aliases + now.n_rooms, sizeof(char *));
	if (!all_users || !all_aliases)
		return err_nomem(e);
	for (; users < want->n_users; users++)
		all_users[users] = want->users[users];
	for (size_t i = 0; i < now.n_agents; i++)
		if (is_kept(app, &now.agents[i]))
			all_users[users++] = now.agents[i].user_id;
	for (; aliases < want->n_aliases; aliases++)
		all_aliases[aliases] = want->aliases[aliases];
	for (size_t i = 0; i < now.n_rooms; i++)
		if (is_kept_room(app, &now.rooms[i]))
			all_aliases[aliases++] = now.rooms[i].key;
	want->users = all_users;
	want->n_users = make_unique(all_users, users);
	want->aliases = all_aliases;
	want->n_aliases = make_unique(all_aliases, aliases);
	return RC_OK;
}

enum rc app_make_registration(
	struct app *app, struct registration *ret, struct err *e)
{
	struct arena a = { 0 };
	struct registration_want want = want_of(app);
	enum rc rc = want.prefix ? RC_OK : add_kept(app, &a, &want, e);
	if (rc == RC_OK)
		rc = registration_make(&want, ret, e);
	arena_free(&a);
	return rc;
}

/* --- what it is ------------------------------------------------------------- */

enum rc app_check_namespace(const struct app *app,
	const struct registration *reg, const char *path, struct err *e)
{
	const char *server = config_text(&app->config, SET_HS_NAME);
	struct arena a = { 0 };
	const char *bot = id_user(&a, "conduit", server);
	enum rc rc = bot ? RC_OK : err_nomem(e);
	if (rc == RC_OK && registration_matches(reg, NS_USERS, bot))
		rc = err_set(e, RC_INVALID,
			"%s: the namespace covers %s, the homeserver's own "
			"user",
			path, bot);
	for (size_t i = 0; i < app->fleet.n_humans && rc == RC_OK; i++) {
		const char *id = app->fleet.humans[i]->user_id;
		if (registration_owns(reg, server, id))
			rc = err_set(e, RC_INVALID,
				"%s: the namespace covers %s, who is human: "
				"run `muster registration`, then `muster "
				"register`",
				path, id);
	}
	arena_free(&a);
	return rc;
}

const char *app_uncovered(const struct app *app, const struct registration *reg,
	const char *users[UNCOVERED_USERS], size_t *n_users)
{
	const struct fleet *f = &app->fleet;
	const char *first = NULL;
	*n_users = 0;
	for (size_t i = 0; i < f->n_agents && *n_users < UNCOVERED_USERS; i++)
		if (!registration_matches(reg, NS_USERS, f->agents[i]->user_id))
			users[(*n_users)++] = f->agents[i]->user_id;
	if (*n_users > 0)
		return users[0];
	for (size_t i = 0; i < f->n_rooms - f->n_direct && !first; i++)
		if (!registration_matches(reg, NS_ALIASES, f->rooms[i].alias))
			first = f->rooms[i].alias;
	for (size_t i = 0; i < f->n_humans && !first; i++)
		if (registration_owns(
			    reg, f->server_name, f->humans[i]->user_id))
			first = f->humans[i]->user_id;
	return first;
}

const char *app_stranger(
	const struct app *app, const struct registration *reg, struct arena *a)
{
	const struct fleet *f = &app->fleet;
	const char *id = NULL;
	for (size_t i = 0; i < f->n_humans && !id; i++) {
		struct str localpart, server;
		if (id_split(f->humans[i]->user_id, '@', &localpart, &server) &&
			str_eq(server, f->server_name))
			id = f->humans[i]->user_id;
	}
	if (!id)
		id = id_user(a, STRANGER, f->server_name);
	return id && !registration_owns(reg, f->server_name, id) ? id : NULL;
}

/* Is it what the configuration and the fleet's files say? */
static enum rc compare(
	struct app *app, const char *path, bool *other, struct err *e)
{
	struct registration wanted = { 0 };
	const char *what = NULL;
	enum rc rc = app_make_registration(app, &wanted, e);
	if (rc != RC_OK)
		return rc;
	bool same = registration_same(&app->reg, &wanted, &what);
	registration_free(&wanted);
	if (other)
		*other = !same && text_starts(what, "namespaces.");
	if (same || (other && *other))
		return RC_OK;
	return err_set(e, RC_INVALID,
		"%s: %s is not what the configuration says: run `muster "
		"registration`, then `muster register`",
		path, what);
}

enum rc app_load_registration(
	struct app *app, bool *other, struct report *report, struct err *e)
{
	const char *path = config_text(&app->config, SET_AS_REGISTRATION);
	enum rc rc = registration_read(path, &app->reg, report, e);
	if (rc == RC_NOT_FOUND)
		return err_set(e, rc,
			"%s: there is no registration yet: run `muster "
			"registration`, then `muster register`",
			path);
	if (rc == RC_OK)
		rc = app_check_namespace(app, &app->reg, path, e);
	return rc == RC_OK ? compare(app, path, other, e) : rc;
}

static void print_setting(const struct config *c, enum setting s, char out[9])
{
	struct secret secret = { 0 };
	if (config_secret(c, s, &secret, NULL) != RC_OK)
		secret_fini(&secret);
	secret_fingerprint(&secret, out);
	secret_fini(&secret);
}

void app_log_fingerprints(const struct app *app)
{
	char as[9], hs[9], admin[9], token[9];
	secret_fingerprint(&app->reg.as_token, as);
	secret_fingerprint(&app->reg.hs_token, hs);
	print_setting(&app->config, SET_ADMIN_PASSWORD, admin);
	print_setting(&app->config, SET_REGISTRATION_TOKEN, token);
	log_info("secrets by their fingerprints", LS("as_token", as),
		LS("hs_token", hs), LS("admin_password", admin),
		LS("registration_token", token));
}

/* --- making it known --------------------------------------------------------- */

static enum rc prepare(struct app *app, struct hs **as, struct hs **plain,
	struct secret *password, struct secret *token, struct err *e)
{
	enum rc rc = app_client(app, NULL, as, e);
	if (rc == RC_OK)
		rc = app_client_plain(app, plain, e);
	if (rc == RC_OK) {
		hs_set_stop(*as, &app_stop);
		hs_set_stop(*plain, &app_stop);
	}
	if (rc == RC_OK)
		rc = config_secret(
			&app->config, SET_ADMIN_PASSWORD, password, e);
	if (rc == RC_NOT_FOUND) /* on an empty server it is made */
		rc = RC_OK;
	if (rc == RC_OK)
		rc = config_secret(
			&app->config, SET_REGISTRATION_TOKEN, token, e);
	if (rc == RC_OK)
		rc = app_reach(app, *plain, NULL, e);
	if (rc == RC_OK && atomic_load(&app->kind) == HS_UNKNOWN)
		rc = app_detect(app, *plain, e);
	return rc;
}

/* `what` as the configuration says, and as the caller has filled in *given. */
static enum rc with_homeserver(struct app *app,
	const struct register_options *given,
	enum rc (*what)(const struct register_options *o, struct err *e),
	struct err *e)
{
	struct register_options o = *given;
	struct hs *as = NULL, *plain = NULL;
	struct secret password = { 0 }, token = { 0 };
	const struct setting_value *file = &app->config.v[SET_ADMIN_PASSWORD];
	enum rc rc = prepare(app, &as, &plain, &password, &token, e);
	if (rc == RC_OK) {
		o.as = as;
		o.plain = plain;
		o.server_name = config_text(&app->config, SET_HS_NAME);
		o.kind = (enum hs_kind)atomic_load(&app->kind);
		o.registration_path =
			config_text(&app->config, SET_AS_REGISTRATION);
		o.admin_user = config_text(&app->config, SET_ADMIN_USER);
		o.admin_password_file =
			file->secret == SECRET_FILE ? file->text : NULL;
		o.admin_password = &password;
		o.registration_token = &token;
		o.stop = &app_stop;
		o.abort = &app_abort;
		rc = what(&o, e);
	}
	secret_fini(&password);
	secret_fini(&token);
	hs_free(as);
	hs_free(plain);
	return rc;
}

static enum rc do_register(
	struct app *app, const struct register_options *o, struct err *e)
{
	struct arena a = { 0 };
	struct register_options more = *o;
	more.probe_outside = app_stranger(app, o->reg, &a);
	enum rc rc = with_homeserver(app, &more, registration_register, e);
	arena_free(&a);
	return rc;
}

enum rc app_register(struct app *app, const struct registration *reg,
	const char *const *probe, size_t n_probe,
	void (*say)(void *arg, const char *line), void *arg, struct err *e)
{
	const struct register_options o = {
		.reg = reg,
		.probe_users = probe,
		.n_probe = n_probe,
		.no_account = reg != &app->reg,
		.say = say,
		.arg = arg,
	};
	return do_register(app, &o, e);
}

enum rc app_register_dry(struct app *app, const char *const *probe,
	size_t n_probe, void (*say)(void *arg, const char *line), void *arg,
	struct err *e)
{
	const struct register_options o = {
		.reg = &app->reg,
		.probe_users = probe,
		.n_probe = n_probe,
		.dry_run = true,
		.say = say,
		.arg = arg,
	};
	return do_register(app, &o, e);
}

enum rc app_unregister(struct app *app, bool dry_run,
	void (*say)(void *arg, const char *line), void *arg, struct err *e)
{
	struct register_options o = {
		.reg = &app->reg, .dry_run = dry_run, .say = say, .arg = arg
	};
	return with_homeserver(app, &o, registration_unregister, e);
}
