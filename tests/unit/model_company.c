/*
 * tests/unit/model_company.c: small companies, each in up to three states:
 * people come, go and move, teams get other names, rooms are declared and not.
 * The fleets are made of texts, by the code that makes all fleets.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/model.h"
#include "tests/unit/test.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

const char *const user_ids[USERS] = { "@ann:example.org", "@bob:example.org",
	"@cleo:example.org", "@dora:example.org", "@emil:example.org",
	"@fay:example.org", "@muster:example.org", "@zed:elsewhere.org",
	"@zoe:elsewhere.org" };

#define TEN(n)                                                                 \
	"!" n "0:example.org", "!" n "1:example.org", "!" n "2:example.org",   \
		"!" n "3:example.org", "!" n "4:example.org",                  \
		"!" n "5:example.org", "!" n "6:example.org",                  \
		"!" n "7:example.org", "!" n "8:example.org",                  \
		"!" n "9:example.org"
const char *const room_ids[ROOMS] = { TEN("0"), TEN("1"), TEN("2"), TEN("3"),
	TEN("4"), TEN("5"), "!60:example.org", "!61:example.org",
	"!62:example.org", "!63:example.org" };

int user_of(const char *id)
{
	for (int u = 0; id && u < USERS; u++)
		if (strcmp(user_ids[u], id) == 0)
			return u;
	return NOBODY;
}

int room_of_id(const char *id)
{
	return id ? (id[1] - '0') * 10 + id[2] - '0' : NOBODY;
}

/* --- chance -------------------------------------------------------------------- */

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a + 0x9e3779b97f4a7c15u * (b + 1);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t chance_next(struct chance *c)
{
	c->state += 0x9e3779b97f4a7c15u;
	return mix(c->state, 0);
}

unsigned chance_of(struct chance *c, unsigned n)
{
	return (unsigned)(chance_next(c) >> 33) % n;
}

/* --- making one -------------------------------------------------------------------- */

static void random_person(struct spec_person *p, struct chance *by)
{
	p->department = (unsigned char)chance_of(by, 2);
	p->team = (unsigned char)chance_of(by, 3); /* 2: none */
	p->level = (unsigned char)chance_of(by, 4);
	p->manager = (signed char)((int)chance_of(by, PEOPLE + 3) - 3);
}

static void random_rule(struct spec *s, size_t i, struct chance *by)
{
	struct spec_rule *r = &s->rules[i];
	*r = (struct spec_rule){ .kind = EVERYONE + chance_of(by, CREW),
		.strict = chance_of(by, 3) == 0,
		.topic = chance_of(by, 2) == 0,
		.join = chance_of(by, 5) == 0 ? JOIN_PUBLIC : JOIN_INVITE };
	if (chance_of(by, 6) == 0)
		r->join = JOIN_RESTRICTED;
	for (size_t k = 0; k < RULES; k++)
		if (k != i && s->rules[k].kind == r->kind)
			r->kind = RULE_NONE;
}

static void change(struct spec *s, struct chance *by)
{
	for (unsigned n = 1 + chance_of(by, 3); n > 0; n--) {
		struct spec_person *p = &s->people[chance_of(by, PEOPLE)];
		switch (chance_of(by, 8)) {
		case 0:
		case 1:
			p->in = !p->in;
			break;
		case 2:
		case 3:
			random_person(p, by);
			break;
		case 4:
		case 5:
			s->team_renamed[chance_of(by, 2)] ^= true;
			/* Together they are harder than each alone. */
			if (chance_of(by, 2))
				random_person(p, by);
			break;
		case 6:
			random_rule(s, chance_of(by, RULES), by);
			break;
		default:
			p->renamed = !p->renamed;
		}
	}
}

void company_make(struct company *c, struct chance *by)
{
	const unsigned size = 1 + chance_of(by, PEOPLE);
	*c = (struct company){ .n = 1 + chance_of(by, VERSIONS) };
	struct spec *first = &c->versions[0];
	for (unsigned i = 0; i < PEOPLE; i++) {
		c->human[i] = i > 0 && chance_of(by, 4) == 0;
		random_person(&first->people[i], by);
		first->people[i].in = i < size;
	}
	for (size_t i = 0; i < 1 + chance_of(by, RULES); i++)
		random_rule(first, i, by);
	if (first->rules[0].kind == RULE_NONE)
		first->rules[0].kind = EVERYONE;
	for (size_t v = 1; v < c->n; v++) {
		c->versions[v] = c->versions[v - 1];
		change(&c->versions[v], by);
	}
}

/* --- as text --------------------------------------------------------------------------- */

static const char *localpart(int u)
{
	static const char *const names[PEOPLE] = { "ann", "bob", "cleo", "dora",
		"emil", "fay" };
	return names[u];
}

static bool manages(const struct spec *s, int who, int manager)
{
	/* Reports come after their managers: no cycles. */
	return manager >= 0 && manager < who && s->people[manager].in;
}

static void write_person(
	const struct company *c, const struct spec *s, int u, struct buf *out)
{
	static const char *const departments[] = { "Lab", "Shop" };
	static const char *const teams[2][2] = { { "Optics", "Lenses" },
		{ "Press", "Media" } };
	static const char *const levels[] = { "VP", "Director", "Manager",
		"IC" };
	const struct spec_person *p = &s->people[u];
	buf_addf(out, "- {id: %s, name: %s%s, department: %s, level: %s",
		localpart(u), localpart(u), p->renamed ? " the Great" : "",
		departments[p->department], levels[p->level]);
	if (p->team < 2)
		buf_addf(out, ", team: %s",
			teams[p->team][s->team_renamed[p->team]]);
	if (manages(s, u, p->manager))
		buf_addf(out, ", manager: '%s'",
			c->human[p->manager] ? user_ids[p->manager]
					     : localpart(p->manager));
	buf_add(out, "}\n");
}

static void write_crew(const struct spec *s, struct buf *out)
{
	const char *comma = "";
	buf_add(out, "{members: [");
	for (int u = 0; u < PEOPLE; u += 2)
		if (s->people[u].in) {
			buf_addf(out, "%s'%s'", comma, user_ids[u]);
			comma = ", ";
		}
	buf_add(out, "]}");
}

static bool has_rule(const struct spec *s, enum rule_kind kind)
{
	for (size_t i = 0; i < RULES; i++)
		if (s->rules[i].kind == kind)
			return true;
	return false;
}

static void write_rule(
	const struct spec *s, const struct spec_rule *r, struct buf *out)
{
	static const char *const texts[][2] = {
		[EVERYONE] = { "all-hands", "{everyone: true}" },
		[HEADS] = { "{department}-heads", "{level: [VP, Director]}" },
		[TEAM] = { "{team}-team", "{team: '{team}'}" },
		[DEPARTMENT] = { "{department}-all",
			"{department: '{department}'}" },
		[CREW] = { "crew", NULL },
	};
	buf_addf(out, "- {alias: '%s', members: ", texts[r->kind][0]);
	if (r->kind == CREW)
		write_crew(s, out);
	else
		buf_add(out, texts[r->kind][1]);
	if (r->strict)
		buf_add(out, ", strict: true");
	if (r->topic)
		buf_add(out, ", topic: Work");
	if (r->join == JOIN_PUBLIC)
		buf_add(out, ", join_rule: public");
	if (r->join == JOIN_RESTRICTED && r->kind != EVERYONE &&
		has_rule(s, EVERYONE))
		buf_add(out, ", join_rule: {restricted: all-hands}");
	buf_add(out, "}\n");
}

static bool is_crew(const struct spec *s)
{
	return s->people[0].in || s->people[2].in || s->people[4].in;
}

static bool is_written(const struct spec *s, const struct spec_rule *r)
{
	return r->kind != RULE_NONE && (r->kind != CREW || is_crew(s));
}

static void write_spec(
	const struct company *c, const struct spec *s, struct buf *out)
{
	const char *title = "humans:\n";
	for (int u = 0; u < PEOPLE; u++)
		if (s->people[u].in && c->human[u]) {
			buf_addf(out, "%s- '%s'\n", title, user_ids[u]);
			title = "";
		}
	buf_add(out, "agents:\n");
	for (int u = 0; u < PEOPLE; u++)
		if (s->people[u].in && !c->human[u])
			write_person(c, s, u, out);
	title = "rooms:\n";
	for (size_t i = 0; i < RULES; i++) {
		if (!is_written(s, &s->rules[i]))
			continue;
		buf_add(out, title);
		write_rule(s, &s->rules[i], out);
		title = "";
	}
	if (*title)
		buf_add(out, "rooms: []\n");
}

void company_print(const struct company *c)
{
	for (size_t v = 0; v < c->n; v++) {
		struct buf text;
		buf_init(&text, LIMIT_DOCUMENT);
		write_spec(c, &c->versions[v], &text);
		print_message("company, version %zu:\n%s", v, buf_str(&text));
		buf_free(&text);
	}
}

/* --- as fleets ------------------------------------------------------------------------------ */

static bool load(const char *text, struct fleet *ret)
{
	struct err e = { 0 };
	struct yaml_doc doc = { 0 };
	struct report report;
	report_init(&report);
	if (yaml_parse(text, strlen(text), "muster.yaml", &doc, &e) != RC_OK)
		return false;
	const struct fleet_source src = { .server_name = "example.org",
		.sender = "muster",
		.self_path = "muster.yaml",
		.humans = yaml_get(doc.root, "humans"),
		.agents = yaml_get(doc.root, "agents"),
		.rooms = yaml_get(doc.root, "rooms"),
		.manager_report = true,
		.manager_peers = true,
		.team_peers = true };
	enum rc rc = fleet_load(&src, ret, &report, &e);
	report_free(&report);
	yaml_doc_free(&doc);
	return rc == RC_OK;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool add_keys(struct company *c, const struct fleet *f)
{
	for (size_t i = 0; i < f->n_rooms; i++) {
		bool known = false;
		for (size_t k = 0; k < c->n_keys && !known; k++)
			known = text_eq(c->keys[k], f->rooms[i].key);
		if (known)
			continue;
		if (c->n_keys == KEYS)
			return false;
		c->keys[c->n_keys++] = f->rooms[i].key;
	}
	return true;
}

int company_key(const struct company *c, const char *key)
{
	const char *const *at = key && c->n_keys > 0
		? bsearch(&key, c->keys, c->n_keys, sizeof(c->keys[0]), by_text)
		: NULL;
	return at ? (int)(at - c->keys) : NOBODY;
}

static void declare(struct company *c, size_t v)
{
	for (size_t i = 0; i < c->fleets[v].n_rooms; i++) {
		const struct room *room = &c->fleets[v].rooms[i];
		struct declared *d = &c->declared[v][company_key(c, room->key)];
		d->room = room;
		for (size_t m = 0; m < room->n_members; m++)
			d->members |= 1u << user_of(room->members[m]->user_id);
	}
}

bool company_load(struct company *c)
{
	bool good = true;
	c->n_keys = 0;
	memset(c->fleets, 0, sizeof(c->fleets));
	memset(c->declared, 0, sizeof(c->declared));
	for (size_t v = 0; v < c->n && good; v++) {
		struct buf text;
		buf_init(&text, LIMIT_DOCUMENT);
		write_spec(c, &c->versions[v], &text);
		good = load(buf_str(&text), &c->fleets[v]) &&
			add_keys(c, &c->fleets[v]);
		buf_free(&text);
	}
	if (!good) {
		company_free(c);
		return false;
	}
	qsort(c->keys, c->n_keys, sizeof(c->keys[0]), by_text);
	for (size_t v = 0; v < c->n; v++)
		declare(c, v);
	return true;
}

void company_free(struct company *c)
{
	for (size_t v = 0; v < c->n; v++)
		fleet_free(&c->fleets[v]);
	memset(c->fleets, 0, sizeof(c->fleets));
}
