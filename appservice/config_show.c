/*
 * The configuration for people: what every setting is and where it came from
 * (`muster config`), and a commented file to start from (`muster init`).
 */
#include <string.h>

#include "appservice/config.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define EXAMPLE_URL "http://127.0.0.1:6167"
#define EXAMPLE_NAME "example.org"
#define EXAMPLE_AGENTS "[{id: helper, name: Helper, department: Lab}]"

static const char *const source_names[] = { "default", "file", "environment" };

static void show_secret(const struct config *c, enum setting s, struct jb *b)
{
	const struct setting_value *v = &c->v[s];
	struct secret secret = { 0 };
	struct err e = { 0 };
	char print[9];
	bool trimmed = false;
	if (!v->text) {
		jb_null(b, "value");
	} else if (config_secret_trimmed(c, s, &secret, &trimmed, &e) ==
		RC_OK) {
		secret_fingerprint(&secret, print);
		jb_str(b, "fingerprint", print);
		jb_bool(b, "newline_trimmed", trimmed);
	} else {
		jb_str(b, "error", e.text);
	}
	if (v->text && v->secret != SECRET_PLAIN)
		jb_str(b, v->secret == SECRET_FILE ? "file" : "env", v->text);
	secret_fini(&secret);
}

static void write_scalar(const struct yaml_node *n, struct buf *out)
{
	bool b = false;
	int64_t number = 0;
	if (yaml_bool(n, &b))
		buf_add(out, b ? "true" : "false");
	else if (yaml_int(n, INT64_MIN, INT64_MAX, &number))
		buf_add(out, n->text);
	else
		buf_add_json_str(out, n->text);
}

/* A structure as one line of JSON, which is YAML, too. */
static void write_node(const struct yaml_node *n, struct buf *out)
{
	bool map = n->type == YAML_MAP;
	if (yaml_is_null(n)) {
		buf_add(out, "null");
		return;
	}
	if (n->type == YAML_SCALAR) {
		write_scalar(n, out);
		return;
	}
	buf_addc(out, map ? '{' : '[');
	for (size_t i = 0; i < n->n; i++) {
		buf_add(out, i ? ", " : "");
		if (map) {
			buf_add_json_str(out, n->keys[i]->text);
			buf_add(out, ": ");
		}
		write_node(n->items[i], out);
	}
	buf_addc(out, map ? '}' : ']');
}

static void show_value(const struct config *c, enum setting s, struct jb *b)
{
	const struct setting_value *v = &c->v[s];
	const char *prefix = config_text(c, SET_NAMESPACE_PREFIX);
	struct buf text;
	buf_init(&text, LIMIT_DOCUMENT);
	if (s == SET_NAMESPACE && prefix)
		buf_addf(&text, "{prefix: %s}", prefix);
	else if (v->node)
		write_node(v->node, &text);
	else if (setting_infos[s].type == SETTING_NODE && setting_infos[s].def)
		buf_add(&text, setting_infos[s].def);
	else if (v->text)
		buf_add(&text, v->text);
	jb_str(b, "value", text.n > 0 ? buf_str(&text) : NULL);
	buf_free(&text);
}

static void show_setting(const struct config *c, enum setting s, struct jb *b)
{
	const struct setting_value *v = &c->v[s];
	if (s == SET_NAMESPACE && config_is_set(c, SET_NAMESPACE_PREFIX))
		v = &c->v[SET_NAMESPACE_PREFIX]; /* which says it */
	jb_obj(b, NULL);
	jb_str(b, "path", setting_infos[s].path);
	if (setting_infos[s].type == SETTING_SECRET)
		show_secret(c, s, b);
	else
		show_value(c, s, b);
	jb_str(b, "from", source_names[v->source]);
	jb_bool(b, "reloadable", setting_infos[s].reload == RELOAD_YES);
	if (v->source == FROM_FILE)
		jb_int(b, "line", v->line);
	if (v->source == FROM_ENVIRONMENT)
		jb_str(b, "variable", v->file);
	if (v->overruled > 0)
		jb_int(b, "overruled_line", v->overruled);
	jb_end_obj(b);
}

void config_write_json(const struct config *c, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "file", c->path);
	jb_arr(&b, "settings");
	for (size_t i = 0; i < SETTING_COUNT; i++)
		show_setting(c, (enum setting)i, &b);
	jb_end_arr(&b);
	jb_end_obj(&b);
}

/* Opens the sections of `path` that differ from those of `last`; returns the
 * key that is left and its depth. */
static const char *open_sections(
	struct buf *out, const char *last, const char *path, int *depth)
{
	struct str rest = str_of(path), old = str_of(last ? last : "");
	bool same = true, more = false;
	*depth = 0;
	for (;;) {
		struct str part = str_cut(&rest, '.', &more);
		struct str was = str_cut(&old, '.', NULL);
		if (!more)
			return part.p;
		same = same && part.n == was.n &&
			memcmp(part.p, was.p, part.n) == 0;
		if (!same)
			buf_addf(out, "%s%*s%.*s:\n", *depth ? "" : "\n",
				*depth * 2, "", (int)part.n, part.p);
		*depth += 1;
	}
}

/* What stands there without a comment; NULL: the default does. */
static const char *value_of(const struct config_known *k, enum setting s)
{
	switch (s) {
	case SET_HS_URL:
		return k->url ? k->url : EXAMPLE_URL;
	case SET_HS_NAME:
		return k->server_name ? k->server_name : EXAMPLE_NAME;
	case SET_FLEET_ORG:
		return k->org;
	case SET_FLEET_CONFIG:
		return k->org ? k->config : NULL;
	case SET_FLEET_AGENTS:
		return k->org ? NULL : EXAMPLE_AGENTS;
	case SET_ADMIN_USER:
		return k->admin;
	case SET_ADMIN_PASSWORD:
		return k->admin ? "{file: secrets/admin-password}" : NULL;
	default:
		return NULL;
	}
}

/* What holds when nothing is given, beside that. */
static const char *default_of(const struct config_known *k, enum setting s)
{
	const char *def = setting_infos[s].def;
	if (s == SET_HS_PUBLIC_URL)
		return k->url ? k->url : EXAMPLE_URL;
	return def ? def : "null";
}

void config_write_template(const struct config_known *k, struct buf *out)
{
	buf_add(out,
		"# muster.yaml: relative paths are relative to this file; "
		"every\n"
		"# setting can be overridden by MUSTER_<SECTION>_<KEY>.\n"
		"# Commented lines show the default. A change of what is "
		"marked "
		"(at the start)\n# is taken up when the service is started "
		"again, of all else while it runs.\n");
	const char *last = NULL;
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		const char *value = value_of(k, (enum setting)i);
		if (i == SET_NAMESPACE_PREFIX)
			continue; /* an alternative to `namespace: declared` */
		int depth = 0;
		const char *key = open_sections(out, last, info->path, &depth);
		/* A localpart may look like a number. */
		const char *quote = value && i == SET_ADMIN_USER ? "\"" : "";
		buf_addf(out, "%s%*s%s%s: %s%s%s  # %s%s\n", depth ? "" : "\n",
			depth * 2, "", value ? "" : "# ", key, quote,
			value ? value : default_of(k, (enum setting)i), quote,
			info->help,
			info->reload == RELOAD_YES ? "" : " (at the start)");
		last = info->path;
	}
}
