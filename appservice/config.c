/*
 * Reads muster.yaml along the table of settings: each key of the file leads to
 * a row or is unknown. Then the environment, the defaults, and what must be
 * true of all settings together.
 */
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/config_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

const struct setting_info setting_infos[SETTING_COUNT] = {
#define X(id, path, type, def, allowed, reload, help)                          \
	{ path, SETTING_##type, def, allowed, reload, help },
	SETTINGS(X)
#undef X
};

#define FINDING_MAX 1024
#define SENDER_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* A finding at a node of what is being read. */
static void complain(struct loader *l, const struct yaml_node *at,
	const char *path, const char *what)
{
	report_error(l->r, l->file, at->line, at->column, "%s: %s", path, what);
}

struct place config_place(const struct config *c, enum setting s)
{
	const struct setting_value *v = &c->v[s];
	if (v->source == FROM_DEFAULT)
		return (struct place){ c->path, 1, 1 };
	return (struct place){ v->file, v->line, v->column };
}

void config_wrong(struct loader *l, enum setting s, const char *fmt, ...)
{
	struct setting_value *v = &l->c->v[s];
	struct place at = config_place(l->c, s);
	/* A variable's name says which setting it is. */
	bool named = v->source == FROM_ENVIRONMENT && v->line == 0;
	char text[FINDING_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_error(l->r, at.file, at.line, at.column, "%s%s%s",
		named ? "" : setting_infos[s].path, named ? "" : ": ", text);
	v->wrong = true;
	v->text = NULL;
	v->node = NULL;
}

const char *config_in_dir(struct config *c, const char *path)
{
	char *joined = path_join(c->dir, path);
	const char *kept = arena_strdup(&c->arena, joined);
	free(joined);
	return kept;
}

/* --- the file ----------------------------------------------------------- */

void config_take_text(struct loader *l, enum setting s, const char *text)
{
	const struct setting_info *info = &setting_infos[s];
	struct setting_value *v = &l->c->v[s];
	v->text = text;
	if (!text) /* out of memory: the arena remembers it */
		return;
	const char *bad = config_check_value(&l->c->arena, info, v);
	if (bad)
		config_wrong(l, s, "%s", bad);
}

void config_take_node(
	struct loader *l, enum setting s, const struct yaml_node *n)
{
	struct setting_value *v = &l->c->v[s];
	if (yaml_is_null(n))
		return;
	*v = (struct setting_value){ .source = l->from,
		.file = l->file,
		.line = n->line,
		.column = n->column,
		.uid = -1,
		.gid = -1 };
	if (setting_infos[s].type == SETTING_NODE)
		v->node = n;
	else if (setting_infos[s].type == SETTING_SECRET)
		config_take_secret(l, s, n);
	else if (yaml_str(n))
		config_take_text(l, s, yaml_str(n));
	else
		config_wrong(l, s, "must be a text, not %s", yaml_type_name(n));
}

static bool is_section(const char *path)
{
	size_t n = strlen(path);
	for (size_t s = 0; s < SETTING_COUNT; s++)
		if (text_starts(setting_infos[s].path, path) &&
			setting_infos[s].path[n] == '.')
			return true;
	return false;
}

/* The setting with this path; SETTING_COUNT: none. */
static enum setting find_setting(const char *path)
{
	size_t s = 0;
	while (s < SETTING_COUNT && !text_eq(setting_infos[s].path, path))
		s++;
	return (enum setting)s;
}

/* The known key nearest to a wrong one, among those with the same parent. */
static const char *nearest_key(struct arena *a, const char *path)
{
	const char *dot = strrchr(path, '.');
	size_t parent = dot ? (size_t)(dot - path) + 1 : 0;
	const char *best = NULL;
	int least = 3;
	for (size_t s = 0; s < SETTING_COUNT; s++) {
		const char *known = setting_infos[s].path;
		if (strncmp(known, path, parent) != 0)
			continue;
		struct str rest = str_of(known + parent);
		struct str head = str_cut(&rest, '.', NULL);
		const char *word = arena_strndup(a, head.p, head.n);
		int d = word ? str_distance(path + parent, word, least) : least;
		if (d < least) {
			least = d;
			best = word;
		}
	}
	return best;
}

static void unknown_key(
	struct loader *l, const struct yaml_node *key, const char *path)
{
	const char *near = nearest_key(&l->c->arena, path);
	report_error(l->r, l->file, key->line, key->column,
		near ? "unknown setting \"%s\": did you mean \"%s\"?"
		     : "unknown setting \"%s\" (`muster config` lists them)",
		path, near);
}

void config_take_section(struct loader *l, const struct yaml_node *map,
	const char *prefix, int depth)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct yaml_node *key = map->keys[i],
				       *val = map->items[i];
		const char *path = arena_printf(&l->c->arena, "%s%s%s", prefix,
			*prefix ? "." : "", key->text);
		if (!path)
			return;
		enum setting s = find_setting(path);
		bool deeper =
			val->type == YAML_MAP && is_section(path) && depth < 4;
		if (deeper)
			config_take_section(l, val, path, depth + 1);
		else if (s != SETTING_COUNT)
			config_take_node(l, s, val);
		else if (is_section(path) && !yaml_is_null(val))
			complain(l, val, path, "must be a map of settings");
		else if (!is_section(path))
			unknown_key(l, key, path);
	}
}

/* RC_OK when its settings could be looked at, whatever is wrong with them. */
static enum rc read_file(struct loader *l, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE);
	enum rc rc = file_read(l->c->path, &text, e);
	if (rc == RC_NOT_FOUND)
		rc = err_set(e, RC_NOT_FOUND,
			"%s: there is no configuration here; `muster init` "
			"writes one, `-c FILE` names another",
			l->c->path);
	if (rc == RC_OK)
		rc = yaml_parse(text.p ? text.p : "", text.n, l->c->path,
			&l->c->doc, e);
	buf_free(&text);
	if (rc != RC_OK)
		return rc;
	struct yaml_node *root = l->c->doc.root;
	if (root && root->type == YAML_MAP)
		config_take_section(l, root, "", 0);
	else if (root && !yaml_is_null(root))
		return err_set(e, RC_INVALID,
			"%s:%d:%d: the file must be a map of settings",
			l->c->path, root->line, root->column);
	return RC_OK;
}

/* --- defaults, what must be true of all ------------------------------------ */

/* As it is shown and handed on: what follows is put behind it. */
static void strip_slashes(struct loader *l, enum setting s)
{
	struct setting_value *v = &l->c->v[s];
	size_t n = v->text ? strlen(v->text) : 0;
	while (n > 0 && v->text[n - 1] == '/')
		n--;
	v->text = v->text ? arena_strndup(&l->c->arena, v->text, n) : NULL;
}

static void take_defaults(struct loader *l)
{
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		struct setting_value *v = &l->c->v[i];
		if (!v->text && info->def && info->type != SETTING_NODE) {
			v->text = info->def;
			(void)config_check_value(&l->c->arena, info, v);
		}
		if (v->text && info->type == SETTING_PATH)
			v->text = config_in_dir(l->c, v->text);
	}
	strip_slashes(l, SET_HS_URL);
	strip_slashes(l, SET_HS_PUBLIC_URL);
	if (!config_text(l->c, SET_HS_PUBLIC_URL))
		l->c->v[SET_HS_PUBLIC_URL].text = config_text(l->c, SET_HS_URL);
}

static bool is_missing(const struct config *c, enum setting s)
{
	return !config_is_set(c, s) && !c->v[s].wrong;
}

static void check_given(struct loader *l)
{
	const struct config *c = l->c;
	if (is_missing(c, SET_HS_URL))
		config_wrong(l, SET_HS_URL,
			"must be given: how muster reaches the homeserver");
	if (is_missing(c, SET_HS_NAME))
		config_wrong(l, SET_HS_NAME,
			"must be given: the part after the colon in its ids");
	if (is_missing(c, SET_FLEET_ORG) && is_missing(c, SET_FLEET_AGENTS))
		report_error(l->r, c->path, 1, 1,
			"fleet: must have `org` (a file) or `agents` (a list)");
	if (config_is_set(c, SET_FLEET_CONFIG) && is_missing(c, SET_FLEET_ORG))
		config_wrong(l, SET_FLEET_CONFIG,
			"selects people of fleet.org, which is not given");
}

/* The homeserver's own user is nobody's agent. */
static void check_prefix(struct loader *l)
{
	const char *prefix = config_text(l->c, SET_NAMESPACE_PREFIX);
	if (prefix && text_starts("conduit", prefix))
		config_wrong(l, SET_NAMESPACE_PREFIX,
			"\"%s\" covers @conduit, the homeserver's own user: "
			"choose a longer one",
			prefix);
}

/* It stands in URLs, which not all homeservers unquote alike. */
static void check_sender(struct loader *l)
{
	const char *sender = config_text(l->c, SET_AS_SENDER);
	if (!sender)
		return;
	if (sender[strspn(sender, SENDER_CHARS)] != '\0')
		config_wrong(l, SET_AS_SENDER,
			"\"%s\" is no localpart for the service's user: only "
			"a-z 0-9 . _ - may be in it",
			sender);
	else if (text_eq(sender, "conduit"))
		config_wrong(l, SET_AS_SENDER,
			"@conduit is the homeserver's own user: choose another "
			"name");
}

/* The whole id of a user of this server is as good as the localpart. */
static void check_admin(struct loader *l)
{
	struct setting_value *v = &l->c->v[SET_ADMIN_USER];
	const char *ours = config_text(l->c, SET_HS_NAME);
	struct str localpart, server;
	if (!v->text || !ours || (*v->text != '@' && !strchr(v->text, ':')))
		return;
	if (!id_split(v->text, '@', &localpart, &server) || localpart.n == 0)
		config_wrong(l, SET_ADMIN_USER,
			"\"%s\" is no user id: expected @name:%s, or the name "
			"alone",
			v->text, ours);
	else if (!str_eq(server, ours))
		config_wrong(l, SET_ADMIN_USER,
			"%s is of another server: only a user of %s "
			"(homeserver.server_name) can register with it",
			v->text, ours);
	else
		v->text = arena_strndup(&l->c->arena, localpart.p, localpart.n);
}

static void check_whole(struct loader *l)
{
	const struct config *c = l->c;
	check_given(l);
	check_prefix(l);
	check_sender(l);
	check_admin(l);
	if (strchr(config_text(c, SET_AS_ID), '|'))
		config_wrong(l, SET_AS_ID, "must not have a `|`");
	const char *socket = config_text(c, SET_OPS_SOCKET);
	if (socket && strlen(socket) > SOCKET_PATH_MAX)
		config_wrong(l, SET_OPS_SOCKET,
			"the path of a socket has at most %zu bytes, and %s "
			"has %zu: choose a shorter one",
			SOCKET_PATH_MAX, socket, strlen(socket));
}

void config_check_ca_file(const struct config *c, struct report *r)
{
	const char *path = config_text(c, SET_CA_FILE);
	const struct place at = config_place(c, SET_CA_FILE);
	struct buf text;
	struct err e = { 0 };
	if (!path)
		return;
	buf_init(&text, LIMIT_CONFIG_FILE);
	if (file_read(path, &text, &e) != RC_OK)
		report_error(r, at.file, at.line, at.column,
			"homeserver.ca_file: %s", e.text);
	buf_free(&text);
}

static void take_the_rest(struct loader *l)
{
	config_take_environment(l);
	take_defaults(l);
}

static enum rc load(struct loader *l, struct err *e)
{
	size_t before = l->r->errors;
	enum rc rc = l->c->path && l->c->dir ? read_file(l, e) : err_nomem(e);
	if (rc != RC_OK) {
		if (rc != RC_NOMEM)
			report_parsed(l->r, l->c->path, e->text);
		if (rc == RC_INVALID)
			take_the_rest(l);
		return rc;
	}
	take_the_rest(l);
	check_whole(l);
	l->c->readable = true;
	if (!arena_ok(&l->c->arena))
		return err_nomem(e);
	if (l->r->errors > before)
		return err_set(e, RC_INVALID, "%s: the configuration is wrong",
			l->c->path);
	return RC_OK;
}

enum rc config_load(const char *path, struct config *ret, struct report *report,
	struct err *e)
{
	struct config c = { 0 };
	struct err why = { 0 };
	arena_init(&c.arena);
	for (size_t i = 0; i < SETTING_COUNT; i++)
		c.v[i].uid = c.v[i].gid = -1;
	char *dir = path_dir(path);
	c.path = arena_strdup(&c.arena, path);
	c.dir = arena_strdup(&c.arena, dir ? dir : ".");
	free(dir);
	struct loader l = {
		.c = &c, .r = report, .file = c.path, .from = FROM_FILE
	};
	enum rc rc = load(&l, &why);
	if (rc != RC_OK)
		err_set(e, rc, "%s", why.text);
	if (rc == RC_OK || rc == RC_INVALID)
		*ret = c;
	else
		config_free(&c);
	return rc;
}

/* As it was given, wherever that stands. */
static bool is_same(
	const struct setting_value *a, const struct setting_value *b)
{
	/* Defaults may come from another setting, of which it is told. */
	return (a->source == FROM_DEFAULT && b->source == FROM_DEFAULT) ||
		(text_eq(a->text, b->text) && a->secret == b->secret);
}

void config_hold(
	struct config *next, const struct config *now, struct report *r)
{
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		struct place at = config_place(next, (enum setting)i);
		if (info->reload == RELOAD_YES)
			continue;
		if (!next->v[i].wrong && !is_same(&next->v[i], &now->v[i]))
			report_warning(r, at.file, at.line, at.column,
				"%s: a change of it takes effect at the next "
				"start: until then it is as it was",
				info->path);
		next->v[i] = now->v[i];
	}
}

void config_free(struct config *c)
{
	yaml_doc_free(&c->doc);
	for (size_t i = 0; i < SETTING_COUNT; i++)
		yaml_doc_free(&c->env_docs[i]);
	arena_free(&c->arena);
	*c = (struct config){ 0 };
}

const char *config_text(const struct config *c, enum setting s)
{
	return c->v[s].text;
}

int64_t config_int(const struct config *c, enum setting s)
{
	return c->v[s].number;
}

bool config_bool(const struct config *c, enum setting s)
{
	return c->v[s].number != 0;
}

bool config_is_set(const struct config *c, enum setting s)
{
	return c->v[s].text != NULL || c->v[s].node != NULL;
}
