/*
 * appservice/config_priv.h: what the files of the configuration share while it
 * is read. A value comes from the file (config.c) or the environment
 * (config_env.c), is checked by its type (config_value.c), and what is wrong
 * is told with the place where it stands.
 */
#ifndef APPSERVICE_CONFIG_PRIV_H
#define APPSERVICE_CONFIG_PRIV_H

#include "appservice/config.h"

struct loader {
	struct config *c;
	struct report *r;
	const char *file; /* what is being read: the file, or a variable */
	enum setting_source from;
};

/* A finding about a setting, at its value; it counts as not given then. */
void config_wrong(struct loader *l, enum setting s, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Checks v->text and fills in the number; what is wrong in words, NULL when
 * nothing is. */
const char *config_check_value(struct arena *a, const struct setting_info *info,
	struct setting_value *v);

/* The value as text, which lives as long as the configuration. */
void config_take_text(struct loader *l, enum setting s, const char *text);
/* The same as it stands in a document. */
void config_take_node(
	struct loader *l, enum setting s, const struct yaml_node *n);
/* The settings of a section. */
void config_take_section(struct loader *l, const struct yaml_node *map,
	const char *section, int depth);
void config_take_secret(
	struct loader *l, enum setting s, const struct yaml_node *n);
void config_take_environment(struct loader *l);

/* A path relative to the configuration's folder. */
const char *config_in_dir(struct config *c, const char *path);

#endif
