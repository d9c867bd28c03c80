/*
 * OpenClaw: its credentials in a file that its configuration includes and that
 * it watches, the configuration itself made of the fleet's and what the agent
 * has made of it, and the files of its workspace.
 *
 * The included file is only ever replaced by rename: OpenClaw's watch of a file
 * that is unlinked is gone for good. It has four keys: one that OpenClaw does
 * not know, and it stays with the old token.
 */
#define _XOPEN_SOURCE 700 /* realpath() */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ways_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define CONFIG "openclaw.json"
#define TOKEN_BYTES 32 /* of the gateway's token */

struct openclaw {
	char *state;     /* the directory of OpenClaw's state */
	char *config;    /* its configuration */
	char *ours;      /* our directory in its state */
	char *include;   /* the file with the token */
	char *seed_path; /* the fleet's configuration; NULL: none */
	char *workspace; /* NULL: none */
	char *roots;     /* where it may include from */
	char *pause, *resume;
	struct json *seed; /* what seed_path has; NULL: nothing */
	bool configured;
};

/* --- where everything lies -------------------------------------------- */

static const char *setting(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static enum rc find_state(struct openclaw *c, struct err *e)
{
	const char *state = setting("OPENCLAW_STATE_DIR");
	if (state) {
		c->state = path_absolute(state);
		return c->state ? RC_OK : err_nomem(e);
	}
	const char *home = setting("OPENCLAW_HOME");
	home = home ? home : setting("HOME");
	if (!home)
		return err_set(e, RC_INVALID,
			"where is OpenClaw's state? set OPENCLAW_STATE_DIR, or "
			"HOME");
	char *at = path_absolute(home);
	c->state = at ? path_join(at, ".openclaw") : NULL;
	free(at);
	return c->state ? RC_OK : err_nomem(e);
}

/* Given, or where it is by default. */
static char *given_or(const char *given, const char *dir, const char *name)
{
	return given ? path_absolute(given) : path_join(dir, name);
}

static enum rc find_files(
	struct openclaw *c, const struct options *o, struct err *e)
{
	c->ours = path_join(c->state, "muster");
	if (!c->ours)
		return err_nomem(e);
	c->config = given_or(setting("OPENCLAW_CONFIG_PATH"), c->state, CONFIG);
	c->include = given_or(o->output, c->ours, "matrix.json");
	return c->config && c->include ? RC_OK : err_nomem(e);
}

static enum rc find_seed(
	struct openclaw *c, const struct options *o, struct err *e)
{
	if (o->workspace) {
		c->workspace = path_absolute(o->workspace);
		if (!c->workspace)
			return err_nomem(e);
	}
	if (!o->workspace && !o->merge)
		return RC_OK;
	c->seed_path = given_or(o->merge, c->workspace, CONFIG);
	return c->seed_path ? RC_OK : err_nomem(e);
}

static enum rc make_directories(const struct openclaw *c, struct err *e)
{
	char *of_config = path_dir(c->config);
	enum rc rc = of_config ? file_mkdirs(c->ours, 0700, e) : err_nomem(e);
	if (rc == RC_OK)
		rc = file_mkdirs(of_config, 0700, e);
	free(of_config);
	return rc;
}

/* OpenClaw looks at where a path really leads. */
static enum rc find_roots(struct openclaw *c, struct err *e)
{
	const char *more = setting(OPENCLAW_ROOTS);
	char real[PATH_MAX];
	struct buf text;
	char *dir = c->include ? path_dir(c->include) : NULL;

	if (!dir)
		return err_nomem(e);
	bool found = realpath(dir, real);
	int why = errno;
	free(dir);
	if (!found)
		return err_set(e, RC_IO, "the directory of %s: %s", c->include,
			strerror(why));
	buf_init(&text, 64 * KIB);
	if (more)
		buf_addf(&text, "%s:", more);
	buf_add(&text, real);
	c->roots = buf_take(&text);
	buf_free(&text);
	/* It is absolute, so there is a slash. */
	const char *slash = strrchr(c->include, '/');
	char *include = path_join(real, slash ? slash + 1 : c->include);
	free(c->include);
	c->include = include;
	return c->roots && c->include ? RC_OK : err_nomem(e);
}

/* --- configurations --------------------------------------------------- */

static enum rc parse_config(const char *text, size_t n, const char *name,
	struct json **ret, struct err *e)
{
	struct buf plain;
	/* A name of one letter gets quotes: three for one. */
	buf_init(&plain, 4 * n + 64);
	json5_to_json(text, n, &plain);
	enum rc rc = buf_rc(&plain) == RC_OK
		? json_parse(buf_str(&plain), plain.n, name, ret, e)
		: err_nomem(e);
	buf_wipe(&plain);
	return rc;
}

static enum rc read_config(const char *path, struct json **ret, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE);
	enum rc rc = file_read(path, &text, e);
	if (rc == RC_OK)
		rc = parse_config(buf_str(&text), text.n, path, ret, e);
	buf_wipe(&text);
	return rc;
}

/* The seed; that there is none is fine where it was not asked for by name and
 * the agent has a configuration already. */
static enum rc read_seed(
	struct openclaw *c, const struct options *o, struct err *e)
{
	if (c->seed_path) {
		enum rc rc = read_config(c->seed_path, &c->seed, e);
		if (rc != RC_NOT_FOUND || o->merge)
			return rc;
	}
	if (c->config && access(c->config, R_OK) == 0)
		return RC_OK;
	return err_set(e, RC_NOT_FOUND,
		"there is no configuration of OpenClaw: neither %s nor %s: say "
		"--merge FILE, or put one there",
		c->config,
		c->seed_path ? c->seed_path
			     : "a workspace (--workspace, "
			       "WORKSPACE_PATH, " OPENCLAW_WORKSPACE_PLACE ")");
}

/* A document after edits, for whoever goes on with it. */
static enum rc edited(struct js v, const struct merge_edit *edits, size_t n,
	struct json **ret, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_ORG_FILE);
	merge_edit(v, edits, n, &text);
	enum rc rc = buf_rc(&text) == RC_OK
		? json_parse(buf_str(&text), text.n, NULL, ret, e)
		: err_nomem(e);
	buf_wipe(&text);
	return rc;
}

/* What is ours to say, so neither seed nor agent says it. */
#define OURS                                                                   \
	{ .path = "channels.matrix.$include" },                                \
		{ .path = "channels.matrix.homeserver" },                      \
		{ .path = "channels.matrix.userId" },                          \
		{ .path = "channels.matrix.deviceId" },                        \
		{ .path = "channels.matrix.accessToken" },                     \
		{ .path = "channels.matrix.password" },                        \
		{ .path = "agents.defaults.workspace" },                       \
	{                                                                      \
		.path = "gateway.auth.token"                                   \
	}

static enum rc without_ours(struct js v, struct json **ret, struct err *e)
{
	static const struct merge_edit edits[] = { OURS };
	return edited(v, edits, ARRAY_LEN(edits), ret, e);
}

/* The seed as every agent's: a browser without a screen, and a homeserver on
 * the fleet's own network allowed. */
static enum rc complete_seed(const struct openclaw *c, bool private,
	struct json **ret, struct err *e)
{
	const struct merge_edit edits[] = { OURS,
		{ .path = "browser.executablePath",
			.json = "\"/usr/bin/chromium\"" },
		{ .path = "browser.headless", .json = "true" },
		{ .path = "channels.matrix.network."
			  "dangerouslyAllowPrivateNetwork",
			.json = "true",
			.missing = true } };
	return edited(json_root(c->seed), edits,
		ARRAY_LEN(edits) - (private ? 0 : 1), ret, e);
}

struct configs {
	struct json *own, *stripped; /* the agent's, and without what is ours */
	struct json *base;           /* the seed that it was made from */
	struct json *seed;
	struct json *merged;
	char *base_path;
};

static void configs_free(struct configs *k)
{
	json_free(k->own);
	json_free(k->stripped);
	json_free(k->base);
	json_free(k->seed);
	json_free(k->merged);
	free(k->base_path);
}

/* What OpenClaw could not read either is put aside, so that the agent comes
 * up and nothing is lost. */
static enum rc put_aside(const char *path, const char *why, struct err *e)
{
	char aside[PATH_MAX];
	int n = snprintf(aside, sizeof(aside), "%s.unreadable", path);
	if (n < 0 || (size_t)n >= sizeof(aside) || rename(path, aside) != 0)
		return err_set(e, RC_IO, "%s, and it cannot be put aside: %s",
			why, strerror(errno));
	say("%s: put aside as %s, the fleet's is taken", why, aside);
	return RC_OK;
}

static enum rc read_own(
	const struct openclaw *c, struct configs *k, struct err *e)
{
	enum rc rc = read_config(c->config, &k->own, e);
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_INVALID || rc == RC_TOO_LARGE) {
		struct err why = *e;
		return put_aside(c->config, why.text, e);
	}
	if (rc != RC_OK)
		return rc;
	rc = without_ours(json_root(k->own), &k->stripped, e);
	if (rc != RC_OK)
		return rc;
	/* A memory that is damaged is none. */
	rc = read_config(k->base_path, &k->base, e);
	return rc == RC_NOMEM || rc == RC_IO ? rc : RC_OK;
}

static enum rc merge(struct configs *k, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_ORG_FILE);
	merge_three(json_root(k->base), json_root(k->seed),
		json_root(k->stripped), &text);
	enum rc rc = buf_rc(&text) == RC_OK
		? json_parse(buf_str(&text), text.n, NULL, &k->merged, e)
		: err_nomem(e);
	buf_wipe(&text);
	return rc;
}

/* Whether the gateway asks for a token; where it asks for something else, a
 * token beside that would keep it from starting. One in the environment is the
 * program's by itself. */
static bool wants_token(struct js config)
{
	struct js auth = js_get(js_get(config, "gateway"), "auth");
	const char *mode = js_get_str(auth, "mode");

	if (setting("OPENCLAW_GATEWAY_TOKEN"))
		return false;
	return mode ? text_eq(mode, "token") : !js_has(auth, "password");
}

/* The gateway's token, as JSON: the one that the agent has, which may be a
 * reference to where it is, else a new one. */
static enum rc gateway_token(struct js own, struct buf *out, struct err *e)
{
	struct js auth = js_get(js_get(own, "gateway"), "auth");
	struct js token = js_get(auth, "token");
	const char *text = js_str(token);
	struct secret fresh = { 0 };

	if (js_type(token) == JS_OBJ || (text && *text)) {
		js_write(token, out);
	} else {
		enum rc rc = secret_random_hex(&fresh, TOKEN_BYTES);
		if (rc != RC_OK)
			return err_set(
				e, rc, "the gateway's token: %s", rc_words(rc));
		buf_add_json_str(out, secret_bytes(&fresh));
		secret_fini(&fresh);
	}
	return buf_rc(out) == RC_OK ? RC_OK : err_nomem(e);
}

/* What is ours to say, as JSON; "" is nothing. */
struct values {
	struct buf include, workspace, token;
};

static enum rc values_find(struct values *v, const struct openclaw *c,
	const struct configs *k, struct err *e)
{
	buf_add_json_str(&v->include, c->include);
	if (c->workspace)
		buf_add_json_str(&v->workspace, c->workspace);
	if (buf_rc(&v->include) != RC_OK || buf_rc(&v->workspace) != RC_OK)
		return err_nomem(e);
	if (!wants_token(json_root(k->merged)))
		return RC_OK;
	return gateway_token(json_root(k->own), &v->token, e);
}

static const char *json_or_none(const struct buf *b)
{
	return b->n ? buf_str(b) : NULL;
}

/* What the file is to be: the merged one with what is ours. */
static enum rc compose(const struct openclaw *c, const struct configs *k,
	struct buf *out, struct err *e)
{
	struct values v;
	buf_init(&v.include, 64 * KIB);
	buf_init(&v.workspace, 64 * KIB);
	buf_init(&v.token, 64 * KIB);
	enum rc rc = values_find(&v, c, k, e);
	const struct merge_edit edits[] = {
		{ .path = "channels.matrix.$include",
			.json = json_or_none(&v.include) },
		{ .path = "agents.defaults.workspace",
			.json = json_or_none(&v.workspace) },
		{ .path = "gateway.auth.token",
			.json = json_or_none(&v.token) },
	};
	if (rc == RC_OK) {
		merge_edit(json_root(k->merged), edits, ARRAY_LEN(edits), out);
		rc = buf_rc(out) == RC_OK ? RC_OK : err_nomem(e);
	}
	buf_free(&v.include);
	buf_free(&v.workspace);
	buf_wipe(&v.token);
	return rc;
}

/* Writes it unless it is there already. */
static enum rc keep(const char *path, const struct buf *text, struct err *e)
{
	struct buf now;
	buf_init(&now, LIMIT_ORG_FILE);
	bool same = file_read(path, &now, NULL) == RC_OK && now.n == text->n &&
		memcmp(now.p, text->p, text->n) == 0;
	buf_wipe(&now);
	return same ? RC_OK : file_replace(path, text->p, text->n, 0600, e);
}

/* What the agent's configuration is made from this time, for the next one. */
static enum rc keep_base(const struct configs *k, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_ORG_FILE);
	merge_edit(json_root(k->seed), NULL, 0, &text);
	enum rc rc = buf_rc(&text) == RC_OK ? keep(k->base_path, &text, e)
					    : err_nomem(e);
	buf_wipe(&text);
	return rc;
}

/* The configuration first: killed in between, what it already has of the new
 * seed is no change of the agent's next time, as the seed says the same. */
static enum rc write_configs(
	const struct openclaw *c, struct configs *k, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_ORG_FILE);
	enum rc rc = compose(c, k, &text, e);
	if (rc == RC_OK)
		rc = keep(c->config, &text, e);
	if (rc == RC_OK)
		rc = keep_base(k, e);
	buf_wipe(&text);
	return rc;
}

static enum rc configure(
	const struct openclaw *c, const char *homeserver, struct err *e)
{
	struct configs k = { .base_path = path_join(c->ours, "seed.json") };
	enum rc rc = k.base_path ? read_own(c, &k, e) : err_nomem(e);
	if (rc == RC_OK)
		rc = complete_seed(
			c, openclaw_is_private(homeserver), &k.seed, e);
	if (rc == RC_OK)
		rc = merge(&k, e);
	if (rc == RC_OK)
		rc = write_configs(c, &k, e);
	configs_free(&k);
	return rc;
}

/* --- the workspace ---------------------------------------------------- */

static enum rc copy_workspace(const struct openclaw *c, struct err *e)
{
	if (!c->workspace)
		return RC_OK;
	char *to = path_join(c->state, "workspace");
	char *memory = path_join(c->ours, "copied.json");
	enum rc rc = to && memory ? workspace_copy(c->workspace, to, memory, e)
				  : err_nomem(e);
	free(to);
	free(memory);
	return rc;
}

/* --- the door --------------------------------------------------------- */

static enum rc find_calls(
	struct openclaw *c, const struct options *o, struct err *e)
{
	c->pause = openclaw_call_stop(o);
	c->resume = openclaw_call_start(o);
	return c->pause && c->resume ? RC_OK : err_nomem(e);
}

static enum rc find_all(
	struct openclaw *c, const struct options *o, struct err *e)
{
	enum rc rc = find_state(c, e);
	if (rc == RC_OK)
		rc = find_files(c, o, e);
	if (rc == RC_OK)
		rc = find_seed(c, o, e);
	if (rc == RC_OK)
		rc = find_calls(c, o, e);
	return rc;
}

enum rc openclaw_new(
	const struct options *o, struct openclaw **ret, struct err *e)
{
	struct openclaw *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	enum rc rc = find_all(c, o, e);
	if (rc == RC_OK)
		rc = read_seed(c, o, e);
	if (rc == RC_OK)
		rc = make_directories(c, e);
	if (rc == RC_OK)
		rc = find_roots(c, e);
	if (rc == RC_OK)
		*ret = c;
	else
		openclaw_free(c);
	return rc;
}

void openclaw_free(struct openclaw *c)
{
	if (!c)
		return;
	free(c->state);
	free(c->config);
	free(c->ours);
	free(c->include);
	free(c->seed_path);
	free(c->workspace);
	free(c->roots);
	free(c->pause);
	free(c->resume);
	json_free(c->seed);
	free(c);
}

static enum rc write_include(const struct openclaw *c, const struct handoff *h,
	const char *homeserver, struct err *e)
{
	struct buf text;
	struct jb jb;
	buf_init(&text, LIMIT_HANDOFF_FILE);
	jb_init(&jb, &text);
	jb_obj(&jb, NULL);
	jb_str(&jb, "homeserver", homeserver);
	jb_str(&jb, "userId", h->user_id);
	jb_str(&jb, "deviceId", h->device_id);
	jb_str(&jb, "accessToken", secret_bytes(&h->access_token));
	jb_end_obj(&jb);
	buf_addc(&text, '\n');
	enum rc rc = buf_rc(&text) == RC_OK
		? file_replace(c->include, text.p, text.n, 0600, e)
		: err_nomem(e);
	buf_wipe(&text);
	return rc;
}

enum rc openclaw_deliver(struct openclaw *c, const struct handoff *h,
	const char *homeserver, struct err *e)
{
	enum rc rc = write_include(c, h, homeserver, e);
	if (rc != RC_OK || c->configured)
		return rc;
	rc = copy_workspace(c, e);
	if (rc == RC_OK)
		rc = configure(c, homeserver, e);
	if (rc != RC_OK)
		return rc;
	c->configured = true;
	/* From now on only the include is written. */
	json_free(c->seed);
	c->seed = NULL;
	give_back_memory();
	return RC_OK;
}

const char *openclaw_include(const struct openclaw *c)
{
	return c->include;
}

const char *openclaw_pause(const struct openclaw *c)
{
	return c->pause;
}

const char *openclaw_resume(const struct openclaw *c)
{
	return c->resume;
}

const char *openclaw_roots(const struct openclaw *c)
{
	return c->roots;
}

const char *openclaw_workspace(const struct openclaw *c)
{
	return c->workspace ? c->workspace : setting(OPENCLAW_WORKSPACE);
}

const char *openclaw_default_workspace(void)
{
	struct stat st;
	return stat(OPENCLAW_WORKSPACE_PLACE, &st) == 0 && S_ISDIR(st.st_mode)
		? OPENCLAW_WORKSPACE_PLACE
		: NULL;
}

bool openclaw_overrules(const char *variable)
{
	return text_starts(variable, "MATRIX_DEFAULT_") ||
		text_starts(variable, "MATRIX_PASSWORD=");
}
