/*
 * Secrets of the configuration: where they are, what they may look like, and
 * reading them when they are needed.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/config_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

void config_take_secret(
	struct loader *l, enum setting s, const struct yaml_node *n)
{
	struct setting_value *v = &l->c->v[s];
	const char *file = yaml_str(yaml_get(n, "file"));
	const char *env = yaml_str(yaml_get(n, "env"));
	if (yaml_str(n)) {
		config_take_text(l, s, yaml_str(n));
		return;
	}
	if (yaml_get(n, "secret")) {
		config_wrong(l, s,
			"{secret: ARN} is not supported by this version: hand "
			"the value over by {env: NAME} or {file: PATH}");
		return;
	}
	if (n->type != YAML_MAP || n->n != 1 || (!file && !env)) {
		config_wrong(
			l, s, "must be a text, {file: PATH} or {env: NAME}");
		return;
	}
	if (!*(file ? file : env)) {
		config_wrong(l, s, "must name a %s, not nothing",
			file ? "file" : "variable");
		return;
	}
	v->secret = file ? SECRET_FILE : SECRET_ENV;
	v->text = file ? config_in_dir(l->c, file) : env;
}

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

/* The text where it is now, and in *from what to call that place. */
static enum rc secret_text(const struct setting_value *v, const char **from,
	struct buf *text, struct err *e)
{
	const char *env = NULL;
	*from = v->text;
	switch (v->secret) {
	case SECRET_FILE:
		return secret_from_file(v->text, text, e);
	case SECRET_ENV:
		env = getenv(v->text);
		if (!env || !*env)
			return err_set(e, RC_NOT_FOUND,
				"the environment has no %s", v->text);
		buf_add(text, env);
		return RC_OK;
	case SECRET_PLAIN:
		break;
	}
	*from = "its value";
	buf_add(text, v->text);
	return RC_OK;
}

enum rc config_secret(const struct config *c, enum setting s,
	struct secret *ret, struct err *e)
{
	const struct setting_value *v = &c->v[s];
	const char *from = NULL;
	struct buf text;
	if (!v->text)
		return RC_OK;
	buf_init(&text, LIMIT_SECRET_FILE);
	enum rc rc = secret_text(v, &from, &text, e);
	const char *bad =
		rc == RC_OK ? check_secret(buf_str(&text), text.n) : NULL;
	if (bad)
		rc = err_set(e, RC_INVALID, "%s %s", from, bad);
	if (rc == RC_OK)
		rc = secret_set(ret, text.p, text.n);
	buf_wipe(&text);
	return rc == RC_OK ? rc : err_wrap(e, rc, "%s", setting_infos[s].path);
}

static void check_one(const struct config *c, enum setting s,
	enum secret_use use, struct report *r)
{
	const struct setting_value *v = &c->v[s];
	const struct place at = config_place(c, s);
	struct secret secret = { 0 };
	struct err e = { 0 };
	enum rc rc = config_secret(c, s, &secret, &e);
	secret_fini(&secret);
	if (rc == RC_OK)
		return;
	/* On an empty server `muster register` makes it. */
	if (rc == RC_NOT_FOUND && s == SET_ADMIN_PASSWORD &&
		v->secret == SECRET_FILE)
		return;
	bool absent = rc == RC_NOT_FOUND || rc == RC_IO;
	const char *more = absent ? ": `muster register` needs it" : "";
	if (use == SECRETS_SHOWN || (use == SECRETS_CHECKED && absent))
		report_warning(
			r, at.file, at.line, at.column, "%s%s", e.text, more);
	else
		report_error(
			r, at.file, at.line, at.column, "%s%s", e.text, more);
}

void config_check_secrets(
	const struct config *c, enum secret_use use, struct report *r)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (setting_infos[i].type == SETTING_SECRET)
			check_one(c, (enum setting)i, use, r);
}
