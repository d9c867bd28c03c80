/*
 * registration/registration_file.c: the registration as a YAML file. What is
 * read may have been written by hand or by another program, so every fault is
 * told with its place.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/yaml.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* --- writing -------------------------------------------------------------- */

static void write_namespaces(
	struct yaml_writer *w, const struct registration *r, enum ns_kind kind)
{
	yw_seq(w, namespace_kind_name(kind));
	for (size_t i = 0; i < r->ns[kind].n; i++) {
		yw_map(w, NULL);
		yw_bool(w, "exclusive", r->ns[kind].items[i].exclusive);
		yw_str(w, "regex", r->ns[kind].items[i].regex);
		yw_end_map(w);
	}
	yw_end_seq(w);
}

enum rc registration_yaml(const struct registration *r, struct buf *out)
{
	struct yaml_writer *w = yaml_writer_new(out);

	if (!w)
		return RC_NOMEM;
	yw_map(w, NULL);
	yw_str(w, "id", r->id);
	yw_str(w, "url", r->url);
	yw_str(w, "as_token", secret_bytes(&r->as_token));
	yw_str(w, "hs_token", secret_bytes(&r->hs_token));
	yw_str(w, "sender_localpart", r->sender_localpart);
	yw_bool(w, "rate_limited", r->rate_limited);
	yw_map(w, "namespaces");
	for (int kind = 0; kind < NS_KINDS; kind++)
		if (r->ns[kind].n)
			write_namespaces(w, r, (enum ns_kind)kind);
	yw_end_map(w);
	yw_end_map(w);
	return yaml_writer_finish(w);
}

/* Whatever a homeserver could read of the old one it can read of this one. */
static enum rc replace(const char *path, const struct buf *text, struct err *e)
{
	struct stat st;

	if (stat(path, &st) != 0 || (st.st_mode & 077) != S_IRGRP)
		return file_replace(path, buf_str(text), text->n, 0600, e);
	enum rc rc = file_replace_for_group(
		path, buf_str(text), text->n, (int64_t)st.st_gid, e);
	return rc == RC_OK ? rc
			   : err_wrap(e, rc,
				     "%s can be read by group %ld, of which "
				     "our user has to be one to keep it so "
				     "(else `chmod 600` it)",
				     path, (long)st.st_gid);
}

enum rc registration_write(
	const char *path, const struct registration *r, struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_REGISTRATION_FILE);
	rc = registration_yaml(r, &text);
	if (rc == RC_OK)
		rc = file_mkdirs_of(path, 0755, e);
	if (rc == RC_OK)
		rc = replace(path, &text, e);
	else
		err_set(e, rc, "%s cannot be written: %s", path, rc_words(rc));
	buf_wipe(&text);
	return rc;
}

/* --- reading -------------------------------------------------------------- */

struct reading {
	const char *path;
	const struct yaml_node *root;
	struct registration r;
	struct report *report;
	struct err *e;
};

static enum rc wrong(const struct reading *in, const struct yaml_node *at,
	const char *key, const char *fault)
{
	return err_set(in->e, RC_INVALID, "%s:%d:%d: %s %s", in->path, at->line,
		at->column, key, fault);
}

static enum rc wrong_type(const struct reading *in, const struct yaml_node *at,
	const char *key, const char *want)
{
	return err_set(in->e, RC_INVALID, "%s:%d:%d: %s must be %s, not %s",
		in->path, at->line, at->column, key, want, yaml_type_name(at));
}

/* Null is a value only where it is allowed; a number is no text. */
static enum rc read_text(const struct reading *in, const struct yaml_node *v,
	const char *key, const char **ret)
{
	const char *text = yaml_str(v);
	int64_t number;
	bool flag;

	if (!text)
		return wrong_type(in, v, key, "a text");
	if (yaml_bool(v, &flag) || yaml_int(v, INT64_MIN, INT64_MAX, &number))
		return wrong(in, v, key, "must be a text: put it in quotes");
	*ret = text;
	return RC_OK;
}

static enum rc read_required(
	const struct reading *in, const char *key, const struct yaml_node **ret)
{
	*ret = yaml_get(in->root, key);
	return *ret ? RC_OK : wrong(in, in->root, key, "is missing");
}

/* A required text without a fault. */
static enum rc read_checked(const struct reading *in, const char *key,
	const char *(*fault)(const char *), const char **ret)
{
	const struct yaml_node *v = NULL;
	const char *text = NULL;
	enum rc rc = read_required(in, key, &v);

	if (rc == RC_OK)
		rc = read_text(in, v, key, &text);
	if (rc != RC_OK)
		return rc;
	if (fault(text))
		return wrong(in, v, key, fault(text));
	*ret = text;
	return RC_OK;
}

static enum rc read_names(struct reading *in)
{
	const char *id = NULL, *sender = NULL, *url = NULL;
	const struct yaml_node *v = NULL;
	struct arena *a = &in->r.arena;
	enum rc rc = read_checked(in, "id", registration_id_fault, &id);

	if (rc == RC_OK)
		rc = read_checked(in, "sender_localpart",
			registration_sender_fault, &sender);
	if (rc == RC_OK)
		rc = read_required(in, "url", &v);
	if (rc == RC_OK && !yaml_is_null(v))
		rc = read_checked(in, "url", registration_url_fault, &url);
	if (rc != RC_OK)
		return rc;
	in->r.id = arena_strdup(a, id);
	in->r.sender_localpart = arena_strdup(a, sender);
	in->r.url = url ? registration_url_copy(a, url) : NULL;
	return arena_ok(a) ? RC_OK : err_nomem(in->e);
}

static enum rc read_token(
	struct reading *in, const char *key, struct secret *ret)
{
	const char *text = NULL;
	enum rc rc = read_checked(in, key, registration_token_fault, &text);

	if (rc != RC_OK || !text)
		return rc;
	rc = secret_set(ret, text, strlen(text));
	return rc == RC_OK ? rc : err_nomem(in->e);
}

static enum rc read_tokens(struct reading *in)
{
	enum rc rc = read_token(in, "as_token", &in->r.as_token);

	if (rc == RC_OK)
		rc = read_token(in, "hs_token", &in->r.hs_token);
	if (rc == RC_OK &&
		secret_equal(&in->r.as_token, secret_bytes(&in->r.hs_token),
			in->r.hs_token.n))
		return wrong(in, yaml_get(in->root, "hs_token"), "hs_token",
			"is the same as as_token: each needs its own");
	return rc;
}

static void warn_about(
	const struct reading *in, const struct yaml_node *at, const char *regex)
{
	struct namespace_traits traits = namespace_look(regex);

	if (!in->report)
		return;
	if (!traits.anchored)
		report_warning(in->report, in->path, at->line, at->column,
			"the pattern is not anchored at both ends: write ^…$, "
			"alternatives in a group, or some homeservers match "
			"more than you mean");
	if (!traits.portable)
		report_warning(in->report, in->path, at->line, at->column,
			"the pattern uses \\ before a letter or digit, or (?, "
			"which not every homeserver reads the same way");
}

static enum rc read_namespace(struct reading *in, const struct yaml_node *v,
	const char *where, struct namespace *ret)
{
	const struct yaml_node *regex = yaml_get(v, "regex");
	const struct yaml_node *exclusive = yaml_get(v, "exclusive");
	const char *text = NULL;
	struct err why = { 0 };
	enum rc rc;

	if (v->type != YAML_MAP)
		return wrong_type(in, v, where, "a map");
	if (!regex || !exclusive)
		return wrong(in, v, where,
			regex ? "has no exclusive: true or false"
			      : "has no regex");
	rc = read_text(in, regex, "regex", &text);
	if (rc != RC_OK)
		return rc;
	if (!yaml_bool(exclusive, &ret->exclusive))
		return wrong_type(in, exclusive, "exclusive", "true or false");
	ret->regex = arena_strdup(&in->r.arena, text);
	if (!ret->regex)
		return err_nomem(in->e);
	rc = namespace_compile(ret, &why);
	if (rc != RC_OK)
		return err_set(in->e, rc, "%s:%d:%d: %s", in->path, regex->line,
			regex->column, why.text);
	warn_about(in, regex, text);
	return RC_OK;
}

static enum rc read_namespaces(
	struct reading *in, const struct yaml_node *all, enum ns_kind kind)
{
	static const char *const where[NS_KINDS] = {
		[NS_USERS] = "namespaces.users",
		[NS_ALIASES] = "namespaces.aliases",
		[NS_ROOMS] = "namespaces.rooms",
	};
	const struct yaml_node *list = yaml_get(all, namespace_kind_name(kind));
	struct namespace *items;
	enum rc rc = RC_OK;

	if (!list)
		return RC_OK;
	if (list->type != YAML_SEQ)
		return wrong_type(in, list, where[kind], "a list");
	if (list->n == 0)
		return RC_OK;
	items = arena_array(&in->r.arena, list->n, sizeof(*items));
	if (!items)
		return err_nomem(in->e);
	in->r.ns[kind].items = items;
	in->r.ns[kind].n = list->n;
	for (size_t i = 0; i < list->n && rc == RC_OK; i++)
		rc = read_namespace(in, list->items[i], where[kind], &items[i]);
	return rc;
}

/* The optional keys that have a type; ones we do not know are nobody's
 * mistake (AS-18). */
static enum rc read_optional(struct reading *in)
{
	static const char *const flags[] = { "rate_limited",
		"receive_ephemeral" };
	const struct yaml_node *protocols = yaml_get(in->root, "protocols");
	bool value[ARRAY_LEN(flags)] = { true, false };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const struct yaml_node *v = yaml_get(in->root, flags[i]);

		if (v && !yaml_bool(v, &value[i]))
			return wrong_type(in, v, flags[i], "true or false");
	}
	in->r.rate_limited = value[0];
	if (!protocols)
		return RC_OK;
	if (protocols->type != YAML_SEQ)
		return wrong_type(in, protocols, "protocols", "a list");
	for (size_t i = 0; i < protocols->n; i++)
		if (!yaml_str(protocols->items[i]))
			return wrong_type(in, protocols->items[i], "protocols",
				"a list of texts");
	return RC_OK;
}

static enum rc read_all(struct reading *in)
{
	const struct yaml_node *all = NULL;
	enum rc rc;

	if (!in->root || in->root->type != YAML_MAP)
		return err_set(in->e, RC_INVALID,
			"%s:1:1: is no registration: a map with id, url, "
			"as_token … was expected",
			in->path);
	rc = read_names(in);
	if (rc == RC_OK)
		rc = read_tokens(in);
	if (rc == RC_OK)
		rc = read_optional(in);
	if (rc == RC_OK)
		rc = read_required(in, "namespaces", &all);
	if (rc == RC_OK && all->type != YAML_MAP)
		rc = wrong_type(in, all, "namespaces", "a map");
	for (int kind = 0; kind < NS_KINDS && rc == RC_OK; kind++)
		rc = read_namespaces(in, all, (enum ns_kind)kind);
	return rc;
}

enum rc registration_read(const char *path, struct registration *ret,
	struct report *report, struct err *e)
{
	struct reading in = { .path = path, .report = report, .e = e };
	struct yaml_doc doc = { 0 };
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_REGISTRATION_FILE);
	rc = file_read_for_group(path, &text, e);
	if (rc == RC_OK)
		rc = yaml_parse(buf_str(&text), text.n, path, &doc, e);
	if (rc != RC_OK)
		goto out;
	in.root = doc.root;
	rc = read_all(&in);
	if (rc != RC_OK)
		goto out;
	*ret = in.r;
	in.r = (struct registration){ 0 };
out:
	registration_free(&in.r);
	yaml_doc_free(&doc);
	buf_wipe(&text);
	return rc;
}
