/*
 * Loading what the service works with, in the order in which one thing needs
 * the other; every check that can be made without the homeserver is made here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/app.h"
#include "appservice/reconcile/wanted.h"
#include "appservice/reload.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

atomic_bool app_stop, app_abort;

/* Who exchanges is not kept waiting by many who look. */
static void lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void app_init(struct app *app)
{
	*app = (struct app){ 0 };
	lock_init(&app->lock);
	app->started_ms = clock_wall_ms();
}

void app_free(struct app *app)
{
	reload_free(app->reload);
	wanted_free(app->wanted);
	tokens_free(app->tokens);
	store_close(app->store);
	hs_gate_free(app->gate);
	registration_free(&app->reg);
	fleet_free(&app->fleet);
	config_free(&app->config);
	config_free(&app->first);
	free(app->sender_id);
	pthread_rwlock_destroy(&app->lock);
	*app = (struct app){ 0 };
}

bool app_stopping(void)
{
	return atomic_load(&app_stop);
}

void app_hold(struct app *app)
{
	pthread_rwlock_rdlock(&app->lock);
}

void app_let_go(struct app *app)
{
	pthread_rwlock_unlock(&app->lock);
}

void app_setup_log(const struct config *c)
{
	static const char *const levels[] = { "error", "warn", "info",
		"debug" };
	const char *level = config_text(c, SET_LOG_LEVEL);
	enum log_level l = LOG_INFO;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (text_eq(level, levels[i]))
			l = (enum log_level)i;
	log_setup(l,
		text_eq(config_text(c, SET_LOG_FORMAT), "text") ? LOG_TEXT
								: LOG_JSON);
}

void app_log_findings(const char *msg, const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->items[i];
		log_warn(msg, LS("text", f->text), LS("file", f->file),
			LI("line", f->line), LI("column", f->column));
	}
}

static struct fleet_source fleet_source_of(const struct config *c)
{
	return (struct fleet_source){
		.server_name = config_text(c, SET_HS_NAME),
		.sender = config_text(c, SET_AS_SENDER),
		.prefix = config_text(c, SET_NAMESPACE_PREFIX),
		.config_path = config_text(c, SET_FLEET_CONFIG),
		.org_path = config_text(c, SET_FLEET_ORG),
		.config_at = config_place(c, SET_FLEET_CONFIG),
		.org_at = config_place(c, SET_FLEET_ORG),
		.self_path = c->path,
		.humans_path = config_place(c, SET_FLEET_HUMANS).file,
		.agents_path = config_place(c, SET_FLEET_AGENTS).file,
		.rooms_path = config_place(c, SET_ROOMS).file,
		.humans = c->v[SET_FLEET_HUMANS].node,
		.agents = c->v[SET_FLEET_AGENTS].node,
		.rooms = c->v[SET_ROOMS].node,
		.manager_report = config_bool(c, SET_DIRECT_MANAGER),
		.manager_peers = config_bool(c, SET_DIRECT_PEERS),
		.team_peers = config_bool(c, SET_DIRECT_TEAM),
	};
}

/* Without these there is no telling what the fleet is. */
static bool has_fleet(const struct config *c)
{
	static const enum setting needed[] = { SET_HS_NAME, SET_AS_SENDER,
		SET_FLEET_ORG, SET_FLEET_CONFIG, SET_FLEET_HUMANS,
		SET_FLEET_AGENTS, SET_ROOMS };
	if (!c->readable || !config_text(c, SET_HS_NAME))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (c->v[needed[i]].wrong)
			return false;
	return config_is_set(c, SET_FLEET_ORG) ||
		config_is_set(c, SET_FLEET_AGENTS);
}

static void check_files(
	const struct config *c, enum app_use use, struct report *report)
{
	if (use != FOR_FILES)
		config_check_ca_file(c, report);
	if (use == FOR_REGISTER || use == FOR_CHECK)
		config_check_secrets(c,
			use == FOR_CHECK ? SECRETS_CHECKED : SECRETS_USED,
			report);
}

/* Is this localpart one that the registration reserves for us? Homeservers
 * write it in small letters, however it is typed. */
static bool is_reserved(const struct app *app, const char *localpart)
{
	const char *prefix = config_text(&app->config, SET_NAMESPACE_PREFIX);
	const char *sender = config_text(&app->config, SET_AS_SENDER);
	struct arena a = { 0 };
	const char *id = id_user(&a, localpart, app->fleet.server_name);
	const char *head = prefix ? arena_strndup(&a, localpart,
					    strnlen(localpart, strlen(prefix)))
				  : NULL;
	bool found = text_eq_nocase(localpart, sender) ||
		(prefix && text_eq_nocase(head, prefix));
	for (size_t i = 0; id && i < app->fleet.n_declared_users && !found; i++)
		found = text_eq_nocase(app->fleet.declared_users[i], id);
	arena_free(&a);
	return found;
}

/* Whoever is ours never has a password: the first `register` on an empty
 * server would make an agent its administrator. */
static void check_admin(const struct app *app, struct report *report)
{
	const char *admin = config_text(&app->config, SET_ADMIN_USER);
	const struct place at = config_place(&app->config, SET_ADMIN_USER);
	if (admin && is_reserved(app, admin))
		report_error(report, at.file, at.line, at.column,
			"homeserver.admin.user: %s is an agent, or would be in "
			"the namespace of the agents: name a human",
			admin);
}

/* All of it, so that everything that is wrong is told at once. `now`: what it
 * comes after in a running service; NULL: nothing. */
static enum rc load_all(struct app *app, const char *path, enum app_use use,
	const struct config *now, struct report *report, struct err *e)
{
	const struct config *c = &app->config;
	size_t before = report->errors;
	enum rc rc = config_load(path, &app->config, report, e);
	if (!c->readable)
		return rc;
	if (now)
		config_hold(&app->config, now, report);
	check_files(c, use, report);
	if (has_fleet(c)) {
		const struct fleet_source src = fleet_source_of(c);
		rc = fleet_load(&src, &app->fleet, report, e);
	}
	if (rc == RC_OK)
		check_admin(app, report);
	if (rc == RC_OK && report->errors > before)
		rc = err_set(
			e, RC_INVALID, "%s: the configuration is wrong", path);
	return rc;
}

enum rc app_load(struct app *app, const char *config_path, enum app_use use,
	struct report *report, struct err *e)
{
	enum rc rc = load_all(app, config_path, use, NULL, report, e);
	if (rc != RC_OK)
		return rc;
	struct arena a = { 0 };
	const char *id = id_user(&a, config_text(&app->config, SET_AS_SENDER),
		app->fleet.server_name);
	app->sender_id = id ? strdup(id) : NULL;
	arena_free(&a);
	app->gate = hs_gate_new();
	app->tokens = tokens_new();
	app->wanted = wanted_new();
	if (!app->sender_id || !app->gate || !app->tokens || !app->wanted)
		return err_nomem(e);
	return RC_OK;
}

enum rc app_load_anew(const struct app *app, struct app *next,
	struct report *report, struct err *e)
{
	app_init(next);
	return load_all(
		next, app->config.path, FOR_SERVICE, &app->config, report, e);
}

void app_exchange(struct app *app, struct app *next)
{
	const struct config config = app->config;
	const struct fleet fleet = app->fleet;
	pthread_rwlock_wrlock(&app->lock);
	app->config = next->config;
	app->fleet = next->fleet;
	pthread_rwlock_unlock(&app->lock);
	next->config = config;
	next->fleet = fleet;
	if (app->first.path)
		return;
	app->first = config;
	next->config = (struct config){ 0 };
}

const char *app_base_path(const struct app *app)
{
	const char *url = config_text(&app->config, SET_AS_URL);
	const char *path = strchr(strchr(url, '/') + 2, '/');
	return path && !text_eq(path, "/") ? path : "";
}

#define REQUEST_MS 30000 /* of one request, as hs.h has it */

/* On a network file system the store may be another service's by now. */
static bool may_send(void *arg)
{
	const struct app *app = arg;
	return !app->store || store_may_act(app->store, NULL) == RC_OK;
}

/* So that no request of ours is under way when another service begins to act; 0:
 * as usual. */
static int request_ms(const struct app *app)
{
	const int64_t most = app->store ? store_act_ms(app->store) : 0;
	return most > 0 && most < REQUEST_MS ? (int)most : 0;
}

static enum rc client(struct app *app, const struct secret *token,
	struct hs **ret, struct err *e)
{
	const struct hs_options o = {
		.url = config_text(&app->config, SET_HS_URL),
		.ca_file = config_text(&app->config, SET_CA_FILE),
		.timeout_ms = request_ms(app),
		.token = token,
		.gate = app->gate,
		.stop = &app_abort,
		.may_send = may_send,
		.arg = app,
	};
	return hs_new(&o, ret, e);
}

enum rc app_client(struct app *app, const struct secret *token, struct hs **ret,
	struct err *e)
{
	return client(app, token ? token : &app->reg.as_token, ret, e);
}

enum rc app_client_plain(struct app *app, struct hs **ret, struct err *e)
{
	return client(app, NULL, ret, e);
}

enum rc app_reach(
	const struct app *app, struct hs *hs, char server[64], struct err *e)
{
	struct err why = { 0 };
	enum rc rc = hs_versions(hs, server, &why);
	if (rc == RC_OK || rc == RC_STOPPING || rc == RC_NOMEM)
		return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
	return err_set(e, rc,
		"no homeserver answers at %s: start it, or correct "
		"homeserver.url; `muster doctor` looks closer (%s)",
		config_text(&app->config, SET_HS_URL), why.text);
}

enum rc app_detect(struct app *app, struct hs *hs, struct err *e)
{
	enum hs_kind kind = hs_kind_of(config_text(&app->config, SET_HS_KIND));
	enum rc rc = RC_OK;
	if (kind == HS_UNKNOWN)
		rc = hs_detect(hs, &kind, e);
	if (rc == RC_OK)
		atomic_store(&app->kind, (int)kind);
	return rc;
}

/* --- the store ------------------------------------------------------------- */

static enum rc declare_agents(
	struct app *app, const struct fleet *fleet, int64_t now, struct err *e)
{
	struct store_agent row = { .user_id = app->sender_id,
		.sender = true,
		.declared = true,
		.name = config_text(&app->config, SET_AS_SENDER_NAME) };
	enum rc rc = store_agent_declare(app->store, &row, now, e);
	for (size_t i = 0; i < fleet->n_agents && rc == RC_OK; i++) {
		const struct person *p = fleet->agents[i];
		row = (struct store_agent){ .user_id = p->user_id,
			.declared = true,
			.name = p->name,
			.department = p->department,
			.team = p->team,
			.level = p->level };
		rc = store_agent_declare(app->store, &row, now, e);
	}
	return rc;
}

static enum rc declare_room(
	struct app *app, const struct room *room, struct err *e)
{
	const struct store_room row = { .key = room->key,
		.direct = room->direct,
		.declared = true,
		.rule = room->policy ? room->policy->rule : NULL };
	enum rc rc = store_room_declare(app->store, &row, e);
	if (rc != RC_OK)
		return rc;
	const char **ids = calloc(room->n_members + 1, sizeof(*ids));
	if (!ids)
		return err_nomem(e);
	for (size_t i = 0; i < room->n_members; i++)
		ids[i] = room->members[i]->user_id;
	rc = store_room_members_declare(
		app->store, room->key, ids, room->n_members, e);
	free(ids);
	return rc;
}

/* Who was outside the namespace and is inside now gets another chance. */
static enum rc let_in(struct app *app, int64_t now, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot all = { 0 };
	enum rc rc = store_snapshot(app->store, &a, &all, e);
	for (size_t i = 0; i < all.n_agents && rc == RC_OK; i++) {
		const struct store_agent *row = &all.agents[i];
		if (row->state == AGENT_BLOCKED && row->error &&
			text_starts(row->error, OUTSIDE) &&
			registration_matches(&app->reg, NS_USERS, row->user_id))
			rc = store_agent_state(app->store, row->user_id,
				AGENT_DECLARED, now, e);
	}
	arena_free(&a);
	return rc;
}

enum rc app_declare(struct app *app, const struct fleet *fleet, struct err *e)
{
	enum rc rc = store_begin(app->store, e);
	if (rc != RC_OK)
		return rc;
	rc = store_declare_begin(app->store, e);
	if (rc == RC_OK)
		rc = declare_agents(app, fleet, clock_wall_ms(), e);
	for (size_t i = 0; i < fleet->n_rooms && rc == RC_OK; i++)
		rc = declare_room(app, &fleet->rooms[i], e);
	if (rc == RC_OK)
		rc = store_declare_end(app->store, e);
	if (rc == RC_OK)
		rc = let_in(app, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

enum rc app_take_registration(struct app *app, struct registration *next,
	const struct store_audit *row, struct err *e)
{
	const struct registration old = app->reg;
	pthread_rwlock_wrlock(&app->lock);
	app->reg = *next;
	pthread_rwlock_unlock(&app->lock);
	*next = old;
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = let_in(app, clock_wall_ms(), e);
	if (rc == RC_OK && row)
		rc = store_audit_add(app->store, row, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

static enum store_place store_place(const struct config *c)
{
	const char *network = config_text(c, SET_STORE_NETWORK);
	return text_eq(network, "true")     ? STORE_NETWORK
		: text_eq(network, "false") ? STORE_LOCAL
					    : STORE_AUTO;
}

enum rc app_open_store(
	struct app *app, const struct store_options *o, struct err *e)
{
	struct store_options options = *o;
	options.place = store_place(&app->config);
	options.takeover_ms = config_int(&app->config, SET_STORE_TAKEOVER);
	const char *path = config_text(&app->config, SET_STORE_PATH);
	enum rc rc = file_mkdirs_of(path, 0700, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "store.path");
	rc = store_open_with(path, &options, &app->store, e);
	return rc == RC_OK ? app_declare(app, &app->fleet, e) : rc;
}

enum rc app_check_runtime(const struct app *app, struct err *e)
{
	const char *root = config_text(&app->config, SET_HANDOFF_ROOT);
	enum rc rc = file_mkdirs(root, 0755, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "handoff.root");
	if (access(root, W_OK | X_OK) != 0)
		return err_set(e, RC_IO,
			"handoff.root: %s cannot be written by us: %s", root,
			strerror(errno));
	return RC_OK;
}

enum rc app_snapshot(struct app *app, struct arena *a,
	struct store_snapshot *ret, struct err *e)
{
	struct store_snapshot now = { 0 };
	enum rc rc =
		app->store ? store_snapshot(app->store, a, &now, e) : RC_OK;
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < now.n_agents; i++)
		now.agents[i].token_in_hand =
			tokens_in_hand(app->tokens, now.agents[i].user_id);
	*ret = now;
	return RC_OK;
}
