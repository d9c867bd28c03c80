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
		v->secret = SECRET_PLAIN;
		v->text = yaml_str(n);
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
