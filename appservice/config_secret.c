/*
 * Secrets of the configuration: where they are, what they may look like, and
 * reading them when they are needed.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/config_priv.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define LONGEST_KEY 64
#define SHOWN_KEYS 4

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

/* Whoever made the secret called it so: nothing else is taken for a name. */
static bool is_key(const char *key)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.-";
	size_t n = strlen(key);
	return n > 0 && n <= LONGEST_KEY && key[strspn(key, plain)] == '\0';
}

struct keys {
	struct buf text;               /* "a", "b" */
	const char *setting;           /* "homeserver.admin.password" */
	char example[LONGEST_KEY + 1]; /* the first, or one that is called so */
	size_t n;
};

/* "password" of homeserver.admin.password, "token" of registration_token. */
static bool is_called_so(const char *setting, const char *key)
{
	const size_t n = strlen(setting), own = strlen(key);
	return own < n && text_ends(setting, key) &&
		strchr("._", setting[n - own - 1]);
}

static bool add_key(const char *key, struct js value, void *arg)
{
	struct keys *keys = arg;
	if (js_type(value) != JS_STR || !is_key(key))
		return true;
	if (keys->n == 0 || is_called_so(keys->setting, key))
		memcpy(keys->example, key, strlen(key) + 1);
	if (keys->n < SHOWN_KEYS)
		buf_addf(&keys->text, "%s\"%s\"", keys->n ? ", " : "", key);
	else if (keys->n == SHOWN_KEYS)
		buf_add(&keys->text, ", ...");
	keys->n++;
	return true;
}

/* What Secrets Manager hands over whole, where one of its keys is meant. */
static const char *say_object(
	struct arena *a, enum setting s, const char *p, size_t n)
{
	struct keys keys = { .setting = setting_infos[s].path };
	struct json *doc = NULL;
	const char *said = "is a JSON object where the bare value is expected: "
			   "name the key of the secret in the task's "
			   "`valueFrom` (ARN:key::)";
	buf_init(&keys.text, LIMIT_SMALL_BODY);
	if (json_parse(p, n, NULL, &doc, NULL) == RC_OK &&
		!js_each(json_root(doc), add_key, &keys))
		keys.n = 0;
	json_free(doc);
	if (keys.n > 0)
		said = arena_printf(a,
			"is a JSON object where the bare value is expected: it "
			"has the key%s %s: end the ARN in the task's "
			"`valueFrom` with %s: `ARN:%s::`",
			keys.n > 1 ? "s" : "", buf_str(&keys.text),
			keys.n > 1 ? "the one that is meant, as in" : "it",
			keys.example);
	buf_free(&keys.text);
	return said;
}

/* What is not seen, and comes along when a text is copied. */
static const char *const unseen[] = { " ", "\xC2\xA0", "\xE2\x80\x8B",
	"\xE3\x80\x80", "\xEF\xBB\xBF" };

static bool has_blank_around(const char *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(unseen); i++) {
		const size_t len = strlen(unseen[i]);
		if (n >= len &&
			(memcmp(p, unseen[i], len) == 0 ||
				memcmp(p + n - len, unseen[i], len) == 0))
			return true;
	}
	return false;
}

/* Where a document would begin. */
static const char *first_seen(const char *p)
{
	if (text_starts(p, "\xEF\xBB\xBF"))
		p += 3;
	return p + strspn(p, " \t\r\n");
}

/* A bare value, not JSON; a password may have blanks inside. Says what is
 * wrong. */
static const char *check_secret(
	struct arena *a, enum setting s, const char *p, size_t n)
{
	const char *first = first_seen(p);
	if (n == 0)
		return "is empty: store the bare value there";
	if (*first == '{')
		return say_object(a, s, first, n - (size_t)(first - p));
	if (*first == '"')
		return "is a quoted JSON string where the bare value is "
		       "expected: store it without the quotes, or as the value "
		       "of a key that the task's `valueFrom` names "
		       "(ARN:key::)";
	if (has_blank_around(p, n))
		return "begins or ends with a blank: store the bare value";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7F)
			return "has a control character in it: store the bare "
			       "value, which is one line of text";
	return NULL;
}

/* An editor, or `echo`, puts line ends there. */
static bool trim(struct buf *text)
{
	const size_t n = text->n;
	while (text->n > 0 &&
		(text->p[text->n - 1] == '\n' || text->p[text->n - 1] == '\r'))
		text->p[--text->n] = '\0';
	return text->n < n;
}

/* It stands in the configuration, which may be for everybody's eyes. */
static enum rc plain_text(const struct config *c, const struct setting_value *v,
	struct buf *text, struct err *e)
{
	enum rc rc =
		v->source == FROM_FILE ? file_check_private(c->path, e) : RC_OK;
	if (rc == RC_OK)
		buf_add(text, v->text);
	else if (rc == RC_INVALID && e)
		rc = err_set(e, rc,
			"its value stands in the configuration, which others "
			"can read: `chmod 600 %s`, or put it into a file of "
			"its own: {file: PATH}",
			c->path);
	return rc;
}

/* The text where it is now, and in *from what to call that place. */
static enum rc secret_text(const struct config *c,
	const struct setting_value *v, const char **from, struct buf *text,
	struct err *e)
{
	const char *env = NULL;
	*from = v->text;
	switch (v->secret) {
	case SECRET_FILE:
		return file_read_private(v->text, text, e);
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
	return plain_text(c, v, text, e);
}

enum rc config_secret_trimmed(const struct config *c, enum setting s,
	struct secret *ret, bool *trimmed, struct err *e)
{
	const struct setting_value *v = &c->v[s];
	const char *from = NULL;
	struct arena a = { 0 };
	struct buf text;
	*trimmed = false;
	if (!v->text)
		return RC_OK;
	buf_init(&text, LIMIT_SECRET_FILE);
	enum rc rc = secret_text(c, v, &from, &text, e);
	if (rc == RC_OK)
		*trimmed = trim(&text);
	const char *bad = rc == RC_OK
		? check_secret(&a, s, buf_str(&text), text.n)
		: NULL;
	if (bad)
		rc = err_set(e, RC_INVALID, "%s %s", from, bad);
	if (rc == RC_OK)
		rc = secret_set(ret, text.p, text.n);
	buf_wipe(&text);
	arena_free(&a);
	return rc == RC_OK ? rc : err_wrap(e, rc, "%s", setting_infos[s].path);
}

enum rc config_secret(const struct config *c, enum setting s,
	struct secret *ret, struct err *e)
{
	bool trimmed = false;
	return config_secret_trimmed(c, s, ret, &trimmed, e);
}

/* Who takes it as it stands has another secret. */
static void note_trimmed(const struct config *c, enum setting s,
	const struct secret *secret, struct report *r)
{
	const struct setting_value *v = &c->v[s];
	const struct place at = config_place(c, s);
	char print[9];
	secret_fingerprint(secret, print);
	report_warning(r, at.file, at.line, at.column,
		"%s: %s ends with a newline, which is not taken for a part of "
		"it: without it the fingerprint is %s",
		setting_infos[s].path,
		v->secret == SECRET_PLAIN ? "its value" : v->text, print);
}

static void report_unusable(const struct config *c, enum setting s,
	enum secret_use use, const struct err *e, struct report *r)
{
	const struct place at = config_place(c, s);
	bool absent = e->rc == RC_NOT_FOUND || e->rc == RC_IO;
	const char *more = absent ? ": `muster register` needs it" : "";
	if (use == SECRETS_SHOWN || (use == SECRETS_CHECKED && absent))
		report_warning(
			r, at.file, at.line, at.column, "%s%s", e->text, more);
	else
		report_error(
			r, at.file, at.line, at.column, "%s%s", e->text, more);
}

static void check_one(const struct config *c, enum setting s,
	enum secret_use use, struct report *r)
{
	const struct setting_value *v = &c->v[s];
	struct secret secret = { 0 };
	struct err e = { 0 };
	bool trimmed = false;
	enum rc rc = config_secret_trimmed(c, s, &secret, &trimmed, &e);
	if (rc == RC_OK && trimmed)
		note_trimmed(c, s, &secret, r);
	secret_fini(&secret);
	if (rc == RC_OK)
		return;
	/* On an empty server `muster register` makes it. */
	if (rc == RC_NOT_FOUND && s == SET_ADMIN_PASSWORD &&
		v->secret == SECRET_FILE)
		return;
	report_unusable(c, s, use, &e, r);
}

void config_check_secrets(
	const struct config *c, enum secret_use use, struct report *r)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (setting_infos[i].type == SETTING_SECRET)
			check_one(c, (enum setting)i, use, r);
}
