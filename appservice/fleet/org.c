/*
 * appservice/fleet/org.c: reads the organisation (org.json): of each person
 * name, level, department, team, matrixId and reportsTo. What else stands
 * there belongs to other programs.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* Where a person's object stands in the text. */
struct spot {
	const char *p;
	size_t n;
	int line, column;
};

/* A walk over text that was parsed already; it never leaves the text. */
struct walk {
	const char *p, *end;
	int line, column; /* columns count characters */
};

static void walk_step(struct walk *w)
{
	unsigned char c = (unsigned char)*w->p++;
	if (c == '\n') {
		w->line++;
		w->column = 1;
	} else if ((c & 0xc0) != 0x80) {
		w->column++;
	}
}

static char walk_peek(struct walk *w)
{
	while (w->p < w->end && strchr(" \t\r\n", *w->p))
		walk_step(w);
	return w->p < w->end ? *w->p : '\0';
}

static void walk_string(struct walk *w)
{
	walk_step(w);
	while (w->p < w->end && *w->p != '"') {
		if (*w->p == '\\')
			walk_step(w);
		if (w->p < w->end)
			walk_step(w);
	}
	if (w->p < w->end)
		walk_step(w);
}

static void walk_value(struct walk *w)
{
	int depth = 0;
	do {
		char c = walk_peek(w);
		if (c == '"') {
			walk_string(w);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (w->p < w->end)
			walk_step(w);
		/* The rest of a number or a word. */
		while (!depth && w->p < w->end && !strchr(",]} \t\r\n", *w->p))
			walk_step(w);
	} while (depth > 0 && w->p < w->end);
}

static bool walk_skip(struct walk *w, char c)
{
	if (walk_peek(w) != c || w->p == w->end)
		return false;
	walk_step(w);
	return true;
}

static struct spot *walk_elements(struct walk *w, struct arena *a, size_t *n)
{
	struct spot *spots = NULL;
	size_t cap = 0;
	*n = 0;
	if (!walk_skip(w, '['))
		return NULL;
	while (w->p < w->end && walk_peek(w) != ']') {
		struct spot *s = arena_push(a, &spots, n, &cap, sizeof(*s));
		if (!s)
			return NULL;
		*s = (struct spot){ w->p, 0, w->line, w->column };
		walk_value(w);
		s->n = (size_t)(w->p - s->p);
		walk_skip(w, ',');
	}
	walk_skip(w, ']');
	return spots;
}

/* A key as it is written, and where. */
struct walk_key {
	struct str text;
	int line, column;
};

/* The next member's key, and on to its value; at first from the brace. */
static bool walk_member(struct walk *w, struct walk_key *key)
{
	if (!walk_skip(w, '{'))
		walk_skip(w, ',');
	if (walk_peek(w) != '"')
		return false;
	*key = (struct walk_key){ { w->p + 1, 0 }, w->line, w->column };
	walk_string(w);
	key->text.n = (size_t)(w->p - key->text.p - 1);
	walk_skip(w, ':');
	return true;
}

/* The elements of the top object's `people`. */
static struct spot *find_spots(
	const struct buf *text, struct arena *a, size_t *n)
{
	struct walk w = { text->p, text->p + text->n, 1, 1 };
	struct walk_key key;
	struct spot *spots = NULL;
	*n = 0;
	while (walk_member(&w, &key)) {
		if (str_eq(key.text, "people") && walk_peek(&w) == '[')
			spots = walk_elements(&w, a, n);
		else
			walk_value(&w);
	}
	return spots;
}

/* One person being read. */
struct entry {
	struct load *ld;
	struct js v;
	struct spot spot;
	char label[48]; /* people[3] */
};

/* Where a key's value stands, or the person when it has none. */
static struct place entry_place(const struct entry *en, const char *key)
{
	struct place at = { en->ld->org_file, en->spot.line, en->spot.column };
	int line, column;
	if (!en->spot.n || !js_has(en->v, key))
		return at;
	if (json_locate(en->spot.p, en->spot.n, key, &line, &column)) {
		at.column = line == 1 ? at.column + column - 1 : column;
		at.line += line - 1;
	}
	return at;
}

static const char *entry_text(
	const struct entry *en, const char *key, bool required)
{
	struct js v = js_get(en->v, key);
	const char *text = js_str(v);
	if (text && *text)
		return arena_strdup(en->ld->keep, text);
	if (!required && js_type(v) == JS_NULL)
		return NULL;
	struct place at = entry_place(en, key);
	if (!js_has(en->v, key))
		fault(en->ld, at, "%s: \"%s\" is missing", en->label, key);
	else
		fault(en->ld, at, "%s.%s: expected a text%s, found %s",
			en->label, key, required ? "" : " or null",
			text ? "an empty one" : js_type_name(js_type(v)));
	return NULL;
}

static const char *entry_level(const struct entry *en)
{
	const char *text = entry_text(en, "level", true);
	return text ? level_of(en->ld, entry_place(en, "level"), en->label,
			      text, true)
		    : NULL;
}

/* Tells of the keys of an object at w that are near to one of `missing`. */
static void walk_typos(struct load *ld, struct walk w, const char *label,
	const char *const *missing, size_t n)
{
	struct walk_key key;
	while (walk_member(&w, &key)) {
		struct place at = { ld->org_file, key.line, key.column };
		for (size_t i = 0; i < n; i++) {
			if (is_near_key(key.text, missing[i]))
				typo_tell(ld, at, label, key.text, missing[i]);
		}
		walk_value(&w);
	}
}

static void entry_typos(const struct entry *en)
{
	static const char *const known[] = { "name", "level", "department",
		"team", "matrixId", "reportsTo" };
	const char *missing[ARRAY_LEN(known)];
	const struct spot *s = &en->spot;
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!js_has(en->v, known[i]))
			missing[n++] = known[i];
	}
	struct walk w = { s->p, s->p + s->n, s->line, s->column };
	if (n && s->n)
		walk_typos(en->ld, w, en->label, missing, n);
}

static void entry_read(const struct entry *en)
{
	struct load *ld = en->ld;
	struct place here = { ld->org_file, en->spot.line, en->spot.column };
	if (js_type(en->v) != JS_OBJ) {
		fault(ld, here, "%s: expected a person ({...}), found %s",
			en->label, js_type_name(js_type(en->v)));
		return;
	}
	entry_typos(en);
	const char *name = entry_text(en, "name", true);
	const char *level = entry_level(en);
	const char *department = entry_text(en, "department", true);
	const char *team = entry_text(en, "team", false);
	name_check(ld, entry_place(en, "name"), en->label, "name", name);
	word_check(ld, entry_place(en, "department"), en->label, "department",
		department);
	word_check(ld, entry_place(en, "team"), en->label, "team", team);
	const char *boss = entry_text(en, "reportsTo", false);
	const char *id = entry_text(en, "matrixId", true);
	if (!id)
		return;
	struct draft *d = roster_add(ld, FROM_ORG, id, false, false,
		entry_place(en, "matrixId"), en->label);
	if (!d)
		return;
	if (name) {
		d->person.name = name;
		d->named = true;
	}
	d->person.level = level;
	d->person.department = department;
	d->person.team = team;
	d->person.human = text_eq(level, "CEO");
	d->reports_to = boss;
	d->manager_at = entry_place(en, "reportsTo");
}

static void read_people(struct load *ld, const struct buf *text, struct js root)
{
	struct js people = js_get(root, "people");
	if (js_type(people) != JS_ARR) {
		static const char *const missing[] = { "people" };
		struct walk w = { text->p, text->p + text->n, 1, 1 };
		struct place at = { ld->org_file, 1, 1 };
		if (!js_has(root, "people"))
			walk_typos(ld, w, "", missing, ARRAY_LEN(missing));
		json_locate(text->p, text->n, "people", &at.line, &at.column);
		fault(ld, at, "expected \"people\", a list of persons%s%s",
			js_has(root, "people") ? ", found " : "",
			js_has(root, "people") ? js_type_name(js_type(people))
					       : "");
		return;
	}
	size_t n = js_len(people), n_spots;
	struct spot *spots = find_spots(text, &ld->scratch, &n_spots);
	for (size_t i = 0; i < n; i++) {
		struct entry en = { .ld = ld, .v = js_at(people, i) };
		if (n_spots == n)
			en.spot = spots[i];
		snprintf(en.label, sizeof(en.label), "people[%zu]", i);
		entry_read(&en);
	}
}

void org_read(struct load *ld)
{
	struct buf text;
	struct err e = { 0 };
	struct json *doc = NULL;

	if (!ld->src->org_path)
		return;
	buf_init(&text, LIMIT_ORG_FILE);
	if (!read_whole(ld, ld->org_file, ld->src->org_at, "fleet.org", &text))
		goto out;
	enum rc rc = json_parse_unique(
		buf_str(&text), text.n, ld->org_file, &doc, &e);
	if (rc == RC_NOMEM)
		ld->scratch.failed = true;
	else if (rc != RC_OK)
		report_parsed(ld->report, ld->org_file, e.text);
	else
		read_people(ld, &text, json_root(doc));
	typo_end(ld, ld->org_file);
out:
	json_free(doc);
	buf_free(&text);
}
