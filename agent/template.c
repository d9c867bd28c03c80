/*
 * A file of the program's own form with {{placeholders}} for the fields of the
 * hand-off. It is checked once, before anything is waited for; then filling it
 * cannot fail but for want of memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

enum field {
	ACCESS_TOKEN,
	USER_ID,
	DEVICE_ID,
	HOMESERVER,
	GENERATION,
	ISSUED_MS,
};

static const char *const fields[] = {
	[ACCESS_TOKEN] = "access_token",
	[USER_ID] = "user_id",
	[DEVICE_ID] = "device_id",
	[HOMESERVER] = "homeserver",
	[GENERATION] = "generation",
	[ISSUED_MS] = "issued_ms",
};

struct template
{
	char *text;
	size_t n;
	bool json;
};

/* What a template is made of, piece by piece. */
struct piece {
	struct str source; /* as it stands */
	bool is_placeholder;
	int field;             /* of a placeholder; -1: there is none such */
	struct str name, text; /* of a placeholder; of anything else */
};

static struct str skip(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

static struct str trim(struct str s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
		s = skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int field_of(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_eq(name, fields[i]))
			return (int)i;
	return -1;
}

/* At "{{". What it does not close is one to its end of line. */
static struct piece placeholder(struct str rest)
{
	struct piece p = { .is_placeholder = true, .field = -1 };
	size_t n = 2;
	while (n < rest.n && rest.p[n] != '\n' && rest.p[n] != '{' &&
		!str_starts(skip(rest, n), "}}"))
		n++;
	bool closed = str_starts(skip(rest, n), "}}");
	p.name = trim((struct str){ rest.p + 2, n - 2 });
	p.source = (struct str){ rest.p, closed ? n + 2 : n };
	if (closed)
		p.field = field_of(p.name);
	return p;
}

/* Takes the next piece off *rest; false at the end. */
static bool next_piece(struct str *rest, struct piece *ret)
{
	if (rest->n == 0)
		return false;
	if (str_starts(*rest, "{{{{")) { /* stands for two of them */
		*ret = (struct piece){ .source = { rest->p, 4 },
			.text = { rest->p, 2 } };
	} else if (str_starts(*rest, "{{")) {
		*ret = placeholder(*rest);
	} else {
		size_t n = 1;
		while (n < rest->n && !str_starts(skip(*rest, n), "{{"))
			n++;
		struct str s = { rest->p, n };
		*ret = (struct piece){ .source = s, .text = s };
	}
	*rest = skip(*rest, ret->source.n);
	return true;
}

static enum rc not_a_field(const struct template *t, const struct piece *p,
	const char *name, struct err *e)
{
	struct buf known;
	int line, column;
	size_t n = p->name.n < 60 ? p->name.n : 60;

	buf_init(&known, 512);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		buf_addf(&known, "%s{{%s}}", i ? ", " : "", fields[i]);
	text_place(t->text, (size_t)(p->source.p - t->text), &line, &column);
	bool shown =
		utf8_valid(p->name.p, n, NULL) && utf8_printable(p->name.p, n);
	bool closed = p->source.n >= 4 &&
		memcmp(p->source.p + p->source.n - 2, "}}", 2) == 0;
	enum rc rc = err_set(e, RC_INVALID,
		"%s:%d:%d: {{%.*s%s is no placeholder; there are %s, and {{{{ "
		"for two braces",
		name, line, column, shown ? (int)n : 0, p->name.p,
		closed ? "}}" : " without its end", buf_str(&known));
	buf_free(&known);
	return rc;
}

static enum rc check_placeholders(
	const struct template *t, const char *name, struct err *e)
{
	struct str rest = { t->text, t->n };
	struct piece p;

	while (next_piece(&rest, &p))
		if (p.is_placeholder && p.field < 0)
			return not_a_field(t, &p, name, e);
	return RC_OK;
}

/* Whether the text is JSON, when there is a number, which may stand in a
 * string and outside of one, in each placeholder's place. With spaces after
 * it, so that lines and columns are the template's. */
static enum rc check_json(
	const struct template *t, const char *name, struct err *e)
{
	struct str rest = { t->text, t->n };
	struct json *doc = NULL;
	struct buf tried;
	struct piece p;

	buf_init(&tried, t->n);
	while (next_piece(&rest, &p)) {
		if (p.is_placeholder)
			buf_addc(&tried, '0');
		else
			buf_addn(&tried, p.text.p, p.text.n);
		size_t less = p.source.n - (p.is_placeholder ? 1 : p.text.n);
		while (less-- > 0)
			buf_addc(&tried, ' ');
	}
	enum rc rc = buf_rc(&tried) == RC_OK
		? json_parse_any(buf_str(&tried), tried.n, name, &doc, e)
		: err_nomem(e);
	/* A number alone is JSON, and more often the file of a bare value. */
	enum js_type type = js_type(json_root(doc));
	if (rc == RC_OK && type != JS_OBJ && type != JS_ARR)
		rc = err_set(e, RC_INVALID,
			"%s: neither an object nor an array of JSON", name);
	json_free(doc);
	buf_wipe(&tried);
	return rc;
}

enum rc template_new(const char *p, size_t n, const char *name,
	bool must_be_json, struct template **ret, struct err *e)
{
	struct template *t = calloc(1, sizeof(*t));
	if (!t)
		return err_nomem(e);
	enum rc rc = RC_OK;
	t->n = n;
	t->text = malloc(n + 1);
	if (!t->text) {
		rc = err_nomem(e);
		goto out;
	}
	memcpy(t->text, p, n);
	t->text[n] = '\0';
	rc = check_placeholders(t, name, e);
	if (rc != RC_OK)
		goto out;
	struct err why = { 0 };
	enum rc json = check_json(t, name, &why);
	t->json = json == RC_OK;
	if (json == RC_NOMEM || (json != RC_OK && must_be_json))
		rc = err_set(e, json, "%s", why.text);
out:
	if (rc == RC_OK)
		*ret = t;
	else
		template_free(t);
	return rc;
}

void template_free(struct template *t)
{
	if (!t)
		return;
	/* It may have secrets of its own. */
	if (t->text)
		wipe(t->text, t->n);
	free(t->text);
	free(t);
}

bool template_is_json_name(const char *path)
{
	return text_ends(path, ".json");
}

/* In JSON, in a string or not; elsewhere as it is. */
static void add_text(struct buf *out, const char *s, bool json, bool in_string)
{
	struct buf quoted;

	if (!json) {
		buf_add(out, s);
		return;
	}
	buf_init(&quoted, 6 * strlen(s) + 3);
	buf_add_json_str(&quoted, s);
	if (buf_rc(&quoted) != RC_OK)
		out->rc = RC_NOMEM;
	else if (in_string)
		buf_addn(out, quoted.p + 1, quoted.n - 2);
	else
		buf_addn(out, quoted.p, quoted.n);
	buf_wipe(&quoted);
}

/* Whether valid JSON is inside a string after these bytes of it. */
static bool after(struct str s, bool in_string)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			in_string = !in_string;
		else if (in_string && s.p[i] == '\\')
			i++;
	}
	return in_string;
}

struct filling {
	const struct template *t;
	const struct handoff *h;
	const char *homeserver;
	struct buf *out;
	bool in_string; /* of JSON */
};

static void add_field(struct filling *f, enum field field)
{
	const struct handoff *h = f->h;
	const char *text = NULL;

	switch (field) {
	case ACCESS_TOKEN:
		text = secret_bytes(&h->access_token);
		break;
	case USER_ID:
		text = h->user_id;
		break;
	case DEVICE_ID:
		text = h->device_id;
		break;
	case HOMESERVER:
		text = f->homeserver;
		break;
	case GENERATION:
		buf_addf(f->out, "%" PRId64, h->generation);
		break;
	case ISSUED_MS:
		buf_addf(f->out, "%" PRId64, h->issued_ms);
		break;
	}
	if (text)
		add_text(f->out, text, f->t->json, f->in_string);
}

enum rc template_fill(const struct template *t, const struct handoff *h,
	const char *homeserver, struct buf *out, struct err *e)
{
	struct filling f = {
		.t = t, .h = h, .homeserver = homeserver, .out = out
	};
	struct str rest = { t->text, t->n };
	struct piece p;

	while (next_piece(&rest, &p)) {
		if (p.is_placeholder) {
			add_field(&f, (enum field)p.field);
			continue;
		}
		buf_addn(out, p.text.p, p.text.n);
		f.in_string = after(p.text, f.in_string);
	}
	if (buf_rc(out) == RC_TOO_LARGE)
		return err_set(e, RC_TOO_LARGE,
			"the template becomes longer than %zu bytes", out->max);
	return buf_rc(out) == RC_OK ? RC_OK : err_nomem(e);
}
