/*
 * The environment's part of the configuration: MUSTER_<SECTION>_<KEY>.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/config_priv.h"
#include "base/str.h"

#include "base/poison.h"

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

/* A structure is YAML there as well: MUSTER_FLEET_HUMANS='["@kim:x.org"]'.
 * NULL: it is none, which is a finding. */
static const struct yaml_node *parse(
	struct loader *l, enum setting s, const char *text)
{
	struct yaml_doc *doc = &l->c->env_docs[s];
	struct err e = { 0 };
	if (yaml_parse(text, strlen(text), l->file, doc, &e) == RC_OK)
		return doc->root;
	report_parsed(l->r, l->file, e.text);
	l->c->v[s].wrong = true;
	return NULL;
}

/* {file: PATH} and its like, as in the file. Whatever else begins with a brace
 * is taken as the secret, and refused when it is used: a JSON object is what
 * the secret was kept in. */
static void take_secret(struct loader *l, enum setting s, const char *text)
{
	static const char *const forms[] = { "file", "env", "secret" };
	struct yaml_doc *doc = &l->c->env_docs[s];
	const struct yaml_node *map = NULL;
	if (*text == '{' &&
		yaml_parse(text, strlen(text), NULL, doc, NULL) == RC_OK)
		map = doc->root;
	for (size_t i = 0; map && i < ARRAY_LEN(forms); i++) {
		if (yaml_get(map, forms[i]) && !map->keys[0]->quoted) {
			config_take_node(l, s, map);
			return;
		}
	}
	config_take_text(l, s, text);
}

/* `declared`, or the other form that the file knows: {prefix: agent-}. Either
 * is instead of a prefix in the file. */
static void take_namespace(struct loader *l, const char *text)
{
	l->c->v[SET_NAMESPACE_PREFIX] = l->c->v[SET_NAMESPACE];
	if (!*text)
		return;
	if (*text != '{') {
		config_take_text(l, SET_NAMESPACE, text);
		return;
	}
	const struct yaml_node *map = parse(l, SET_NAMESPACE, text);
	if (map && map->type == YAML_MAP)
		config_take_section(l, map, "namespace", 1);
	if (map && !config_text(l->c, SET_NAMESPACE_PREFIX))
		config_wrong(l, SET_NAMESPACE,
			"must be declared, or {prefix: agent-} with a prefix");
}

/* Two variables for one thing: which of them is meant? */
static bool prefix_is_said(struct loader *l, const char *text)
{
	const char *other = getenv("MUSTER_NAMESPACE");
	if (!other || !*other)
		return false;
	if (*text)
		report_error(l->r, l->file, 0, 0,
			"MUSTER_NAMESPACE is set as well: leave one of the two "
			"out");
	return true;
}

/* It replaces what the file says; an empty one leaves nothing but the
 * setting's default. */
static void take_variable(struct loader *l, enum setting s, const char *text)
{
	if (s == SET_NAMESPACE_PREFIX && prefix_is_said(l, text))
		return;
	const struct setting_value *was = &l->c->v[s];
	l->c->v[s] = (struct setting_value){ .source = FROM_ENVIRONMENT,
		.file = l->file,
		.overruled = was->source == FROM_FILE ? was->line : 0,
		.uid = -1,
		.gid = -1 };
	if (s == SET_NAMESPACE)
		take_namespace(l, text);
	else if (!*text)
		return;
	else if (setting_infos[s].type == SETTING_SECRET)
		take_secret(l, s, text);
	else if (setting_infos[s].type == SETTING_NODE)
		config_take_node(l, s, parse(l, s, text));
	else
		config_take_text(l, s, text);
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

void config_take_environment(struct loader *l)
{
	struct loader env = *l;
	env.from = FROM_ENVIRONMENT;
	warn_of_unknown(l);
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		char name[64];
		config_env_name((enum setting)i, name);
		const char *text = arena_strdup(&l->c->arena, getenv(name));
		env.file = text ? arena_strdup(&l->c->arena, name) : NULL;
		if (env.file)
			take_variable(&env, (enum setting)i, text);
	}
}
