/*
 * Reads muster.yaml along the table of settings: each key of the file leads to
 * a row or is unknown; each row's value is checked by its type.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

const struct setting_info setting_infos[SETTING_COUNT] = {
#define X(id, path, type, def, allowed, help)                                  \
	{ path, SETTING_##type, def, allowed, help },
	SETTINGS(X)
#undef X
};

struct loader {
	struct config *c;
	struct report *r;
};

static void complain(struct loader *l, const struct yaml_node *at,
	const char *path, const char *what)
{
	report_error(l->r, l->c->path, at ? at->line : 0, at ? at->column : 0,
		"%s: %s", path, what);
}

/* --- one value by its type --------------------------------------------- */

static bool word_allowed(const char *allowed, const char *word)
{
	struct str rest = str_of(allowed);
	while (rest.n > 0)
		if (str_eq(str_cut(&rest, '|', NULL), word))
			return true;
	return false;
}

static bool in_range(const struct setting_info *info, int64_t v)
{
	if (!info->allowed)
		return true;
	struct str max = str_of(info->allowed);
	struct str min = str_cut(&max, '.', NULL);
	max.p += 1;
	max.n -= 1;
	int64_t lo = 0, hi = 0;
	if (info->type == SETTING_INT)
		return str_i64(min, INT64_MIN, INT64_MAX, &lo) &&
			str_i64(max, INT64_MIN, INT64_MAX, &hi) && v >= lo &&
			v <= hi;
	return str_duration(min, INT64_MAX, &lo) &&
		str_duration(max, INT64_MAX, &hi) && v >= lo && v <= hi;
}

static const char *check_url(const char *text)
{
	size_t scheme = text_starts(text, "https://") ? 8
		: text_starts(text, "http://")        ? 7
						      : 0;
	if (scheme == 0)
		return "must begin with http:// or https://";
	const char *host = text + scheme;
	if (*host == '\0' || *host == '/' || *host == ':')
		return "has no host";
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '"' || *p == '?' ||
			*p == '#' || *p == '@' || (unsigned char)*p > 126)
			return "has a character that a base URL may not have";
	return NULL;
}

static const char *check_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	int64_t port = 0;
	if (!colon || colon == text ||
		!str_i64(str_of(colon + 1), 0, 65535, &port))
		return "must be host:port, such as 127.0.0.1:29400";
	return NULL;
}

static const char *check_owner(struct setting_value *v)
{
	struct str gid = str_of(v->text);
	bool found = false;
	struct str uid = str_cut(&gid, ':', &found);
	if (!found || !str_i64(uid, 0, INT32_MAX, &v->uid) ||
		!str_i64(gid, 0, INT32_MAX, &v->gid))
		return "must be \"uid:gid\" in numbers, such as \"1000:1000\"";
	return NULL;
}

/* Checks v->text and fills in the number; NULL when it is right. */
static const char *check_value(struct arena *a, const struct setting_info *info,
	struct setting_value *v)
{
	switch (info->type) {
	case SETTING_URL:
		return check_url(v->text);
	case SETTING_SERVER:
		return id_server_ok(v->text)
			? NULL
			: "is no server name (a host name, perhaps with a "
			  "port)";
	case SETTING_ADDRESS:
		return check_address(v->text);
	case SETTING_OWNER:
		return check_owner(v);
	case SETTING_WORD:
		return word_allowed(info->allowed, v->text)
			? NULL
			: arena_printf(a, "must be one of %s, not \"%s\"",
				  info->allowed, v->text);
	case SETTING_BOOL:
		v->number = text_eq(v->text, "true");
		return v->number || text_eq(v->text, "false")
			? NULL
			: "must be true or false";
	case SETTING_INT:
		return str_i64(str_of(v->text), INT64_MIN, INT64_MAX,
			       &v->number) &&
				in_range(info, v->number)
			? NULL
			: arena_printf(
				  a, "must be a number in %s", info->allowed);
	case SETTING_DURATION:
		return str_duration(str_of(v->text), INT64_MAX, &v->number) &&
				in_range(info, v->number)
			? NULL
			: arena_printf(a,
				  "must be a duration such as 500ms, 5s, 5m "
				  "or 1h, in %s",
				  info->allowed);
	case SETTING_TEXT:
		return *v->text ? NULL : "must not be empty";
	case SETTING_PATH:
	case SETTING_SECRET:
	case SETTING_NODE:
		break;
	}
	return NULL;
}

/* A path relative to the configuration's folder. */
static const char *in_dir(struct config *c, const char *path)
{
	char *joined = path_join(c->dir, path);
	const char *kept = arena_strdup(&c->arena, joined);
	free(joined);
	return kept;
}

/* --- the file ----------------------------------------------------------- */

static void take_secret(struct loader *l, const struct yaml_node *n,
	const char *path, struct setting_value *v)
{
	const char *plain = yaml_str(n);
	if (plain) {
		v->secret = SECRET_PLAIN;
		v->text = plain;
		return;
	}
	const char *file = yaml_str(yaml_get(n, "file"));
	const char *env = yaml_str(yaml_get(n, "env"));
	if (yaml_get(n, "secret"))
		complain(l, n, path,
			"{secret: ARN} is not supported by this version: hand "
			"the value over by {env: NAME} or {file: PATH}");
	else if (n->type != YAML_MAP || n->n != 1 || (!file && !env))
		complain(l, n, path,
			"must be a text, {file: PATH} or {env: NAME}");
	v->secret = file ? SECRET_FILE : SECRET_ENV;
	v->text = file ? in_dir(l->c, file) : env;
}

static void take_value(
	struct loader *l, enum setting s, const struct yaml_node *n)
{
	const struct setting_info *info = &setting_infos[s];
	struct setting_value *v = &l->c->v[s];
	if (yaml_is_null(n))
		return;
	v->source = FROM_FILE;
	v->line = n->line;
	v->column = n->column;
	if (info->type == SETTING_NODE) {
		v->node = n;
		return;
	}
	if (info->type == SETTING_SECRET) {
		take_secret(l, n, info->path, v);
		return;
	}
	const char *text = yaml_str(n);
	if (!text) {
		complain(l, n, info->path,
			arena_printf(&l->c->arena, "must be a text, not %s",
				yaml_type_name(n)));
		return;
	}
	v->text = text;
	const char *bad = check_value(&l->c->arena, info, v);
	if (bad)
		complain(l, n, info->path, bad);
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
	report_error(l->r, l->c->path, key->line, key->column,
		near ? "unknown setting \"%s\": did you mean \"%s\"?"
		     : "unknown setting \"%s\" (`muster config` lists them)",
		path, near);
}

static void walk(struct loader *l, const struct yaml_node *m,
	const char *prefix, int depth)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct yaml_node *key = m->keys[i], *val = m->items[i];
		const char *path = arena_printf(&l->c->arena, "%s%s%s", prefix,
			*prefix ? "." : "", key->text);
		if (!path)
			return;
		enum setting s = find_setting(path);
		bool deeper =
			val->type == YAML_MAP && is_section(path) && depth < 4;
		if (deeper)
			walk(l, val, path, depth + 1);
		else if (s != SETTING_COUNT)
			take_value(l, s, val);
		else if (is_section(path) && !yaml_is_null(val))
			complain(l, val, path, "must be a map of settings");
		else if (!is_section(path))
			unknown_key(l, key, path);
	}
}

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
	if (rc == RC_OK) {
		struct err bad = { 0 };
		rc = yaml_parse(text.p ? text.p : "", text.n, l->c->path,
			&l->c->doc, &bad);
		if (rc == RC_INVALID)
			report_error(l->r, "", 0, 0, "%s", bad.text);
		else if (rc != RC_OK)
			err_set(e, rc, "%s", bad.text);
	}
	buf_free(&text);
	if (rc != RC_OK)
		return rc;
	struct yaml_node *root = l->c->doc.root;
	if (root && root->type == YAML_MAP)
		walk(l, root, "", 0);
	else if (!yaml_is_null(root))
		complain(l, root, "the file", "must be a map of settings");
	return RC_OK;
}

/* --- environment, defaults, what must be there ---------------------------- */

void config_env_name(enum setting s, char out[64])
{
	size_t n = 0;
	for (const char *p = "MUSTER_"; *p; p++)
		out[n++] = *p;
	for (const char *p = setting_infos[s].path; *p && n < 63; p++)
		out[n++] = *p == '.'               ? '_'
			: (*p >= 'a' && *p <= 'z') ? (char)(*p - 'a' + 'A')
						   : *p;
	out[n] = '\0';
}

/* A structure is YAML there as well: MUSTER_FLEET_HUMANS='["@kim:x.org"]'. */
static void take_structure(
	struct loader *l, enum setting s, const char *name, const char *text)
{
	struct yaml_doc *doc = &l->c->env_docs[s];
	struct err e = { 0 };
	if (yaml_parse(text, strlen(text), name, doc, &e) != RC_OK) {
		report_error(l->r, "", 0, 0, "%s", e.text);
		return;
	}
	l->c->v[s] = (struct setting_value){ .source = FROM_ENVIRONMENT,
		.node = yaml_is_null(doc->root) ? NULL : doc->root,
		.uid = -1,
		.gid = -1 };
}

/* What the program, its tests and muster-agent read besides the settings. */
static bool is_known_variable(const char *name, size_t n)
{
	static const char *const others[] = { "MUSTER_CONFIG",
		"MUSTER_AGENT_NAME", "MUSTER_BIN", "MUSTER_AGENT_BIN",
		"MUSTER_FIXTURES", "MUSTER_EXAMPLES", "MUSTER_TEST_SEED" };
	const struct str var = { name, n };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (str_eq(var, others[i]))
			return true;
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		char known[64];
		config_env_name((enum setting)i, known);
		if (str_eq(var, known))
			return true;
	}
	return false;
}

extern char **environ;

/* Others may have variables that begin alike, so this is no error. */
static void warn_of_unknown(struct loader *l)
{
	for (char **v = environ; *v; v++) {
		size_t n = strcspn(*v, "=");
		if (text_starts(*v, "MUSTER_") && !is_known_variable(*v, n))
			report_warning(l->r, "", 0, 0,
				"the environment's %.*s is no setting "
				"(`muster config` lists them)",
				(int)n, *v);
	}
}

static void take_environment(struct loader *l)
{
	warn_of_unknown(l);
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		struct setting_value *v = &l->c->v[i];
		char name[64];
		config_env_name((enum setting)i, name);
		const char *text = getenv(name);
		if (!text)
			continue;
		if (info->type == SETTING_NODE) {
			take_structure(l, (enum setting)i, name, text);
			continue;
		}
		*v = (struct setting_value){ .source = FROM_ENVIRONMENT,
			.uid = -1,
			.gid = -1,
			.text = arena_strdup(&l->c->arena, text) };
		if (!*text && info->type != SETTING_SECRET) {
			v->text = NULL; /* set to nothing: back to none */
			continue;
		}
		const char *bad =
			v->text ? check_value(&l->c->arena, info, v) : NULL;
		if (bad)
			report_error(l->r, "", 0, 0, "%s: %s", name, bad);
	}
}

static void take_defaults(struct loader *l)
{
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		struct setting_value *v = &l->c->v[i];
		if (!v->text && info->def && v->source == FROM_DEFAULT) {
			v->text = info->def;
			(void)check_value(&l->c->arena, info, v);
		}
		if (v->text && info->type == SETTING_PATH)
			v->text = in_dir(l->c, v->text);
	}
}

static void check_whole(struct loader *l)
{
	struct config *c = l->c;
	if (!config_text(c, SET_HS_URL))
		complain(l, NULL, "homeserver.url",
			"must be given: how muster reaches the homeserver");
	if (!config_text(c, SET_HS_NAME))
		complain(l, NULL, "homeserver.server_name",
			"must be given: the part after the colon in its ids");
	if (!config_text(c, SET_FLEET_ORG) && !c->v[SET_FLEET_AGENTS].node)
		complain(l, NULL, "fleet",
			"must have `org` (a file) or `agents` (a list)");
	if (config_text(c, SET_FLEET_CONFIG) && !config_text(c, SET_FLEET_ORG))
		complain(l, NULL, "fleet.config",
			"selects people of fleet.org, which is not given");
	const char *sender = config_text(c, SET_AS_SENDER);
	if (sender && !id_localpart_ok(str_of(sender)))
		report_error(l->r, c->path, c->v[SET_AS_SENDER].line,
			c->v[SET_AS_SENDER].column,
			"appservice.sender: \"%s\" is no localpart (a-z 0-9 . "
			"_ = - / + only)",
			sender);
	const char *id = config_text(c, SET_AS_ID);
	if (id && strchr(id, '|'))
		report_error(l->r, c->path, c->v[SET_AS_ID].line,
			c->v[SET_AS_ID].column,
			"appservice.id: must not have a `|`");
}

enum rc config_load(const char *path, struct config *ret, struct report *report,
	struct err *e)
{
	struct config c = { 0 };
	struct loader l = { .c = &c, .r = report };
	arena_init(&c.arena);
	for (size_t i = 0; i < SETTING_COUNT; i++)
		c.v[i].uid = c.v[i].gid = -1;
	char *dir = path_dir(path);
	c.path = arena_strdup(&c.arena, path);
	c.dir = arena_strdup(&c.arena, dir ? dir : ".");
	free(dir);
	size_t before = report->errors;
	enum rc rc = c.path && c.dir ? read_file(&l, e) : err_nomem(e);
	if (rc == RC_OK) {
		take_environment(&l);
		take_defaults(&l);
		check_whole(&l);
		if (!arena_ok(&c.arena))
			rc = err_nomem(e);
	}
	if (report->errors > before && rc != RC_NOMEM)
		rc = err_set(
			e, RC_INVALID, "%s: the configuration is wrong", path);
	if (rc == RC_OK)
		*ret = c;
	else
		config_free(&c);
	return rc;
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

/* --- secrets -------------------------------------------------------------- */

/* A bare value, not JSON; a password may have blanks inside. Says what is
 * wrong. */
static const char *check_secret(const char *p, size_t n)
{
	if (n == 0)
		return "is empty";
	if (p[0] == '{')
		return "is a JSON object where the bare value is expected: "
		       "name the key of the secret in the task's `valueFrom` "
		       "(ARN:key::)";
	if (p[0] == '"')
		return "is a quoted JSON string where the bare value is "
		       "expected: store it without the quotes";
	if (p[0] == ' ' || p[n - 1] == ' ')
		return "begins or ends with a blank";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ')
			return "has a control character in it";
	return NULL;
}

static enum rc secret_from_file(
	const char *path, struct buf *text, struct err *e)
{
	enum rc rc = file_read(path, text, e);
	if (rc != RC_OK)
		return rc;
	while (text->n > 0 &&
		(text->p[text->n - 1] == '\n' || text->p[text->n - 1] == '\r'))
		text->p[--text->n] = '\0';
	return RC_OK;
}

enum rc config_secret(const struct config *c, enum setting s,
	struct secret *ret, struct err *e)
{
	const struct setting_value *v = &c->v[s];
	const char *name = setting_infos[s].path;
	if (!v->text)
		return RC_OK;
	struct buf text;
	buf_init(&text, LIMIT_SECRET_FILE);
	enum rc rc = RC_OK;
	const char *from = v->text;
	if (v->source == FROM_ENVIRONMENT || v->secret == SECRET_PLAIN) {
		buf_add(&text, v->text);
		from = "its value";
	} else if (v->secret == SECRET_FILE) {
		rc = secret_from_file(v->text, &text, e);
	} else {
		const char *env = getenv(v->text);
		if (!env)
			rc = err_set(e, RC_INVALID,
				"%s: the environment has no variable %s", name,
				v->text);
		else
			buf_add(&text, env);
	}
	const char *bad =
		rc == RC_OK ? check_secret(buf_str(&text), text.n) : NULL;
	if (bad)
		rc = err_set(e, RC_INVALID, "%s: %s %s", name, from, bad);
	if (rc == RC_OK)
		rc = secret_set(ret, text.p, text.n);
	buf_wipe(&text);
	return rc;
}
