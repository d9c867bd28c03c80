/*
 * appservice/fleet/chart.c: the fleet's own configuration (config.yaml): its
 * chief, its task bot, and how many of whom each department deploys. Keys that
 * are not named here belong to other programs.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define QUOTA_MAX 1000000

/* In the order of fleet_levels. */
static const char *const quota_keys[N_LEVELS] = { "vp", "directors", "managers",
	"ics" };

/* A section of the file; NULL when it is not there, or (a finding) no map. */
static const struct yaml_node *section(struct load *ld,
	const struct yaml_node *root, const char *key, const char *const *known,
	size_t n)
{
	const struct yaml_node *v = yaml_get(root, key);
	if (yaml_is_null(v))
		return NULL;
	if (v->type == YAML_MAP) {
		node_typos(ld, ld->chart_file, key, v, known, n);
		return v;
	}
	fault(ld, node_place(ld->chart_file, v),
		"%s: expected a map (key: value), found %s", key,
		yaml_type_name(v));
	return NULL;
}

/* A person at the top can only be the chief, under whatever name. */
static void find_ceo(struct load *ld, const struct yaml_node *root)
{
	if (yaml_get(root, "ceo"))
		return;
	for (size_t i = 0; i < root->n; i++) {
		struct str key = str_of(root->keys[i]->text);
		if (yaml_get(root->items[i], "matrixId") &&
			!is_near_key(key, "ceo"))
			typo_tell(ld, node_place(ld->chart_file, root->keys[i]),
				"", key, "ceo");
	}
}

static void read_ceo(struct load *ld, const struct yaml_node *root)
{
	static const char *const known[] = { "name", "matrixId" };
	find_ceo(ld, root);
	const struct yaml_node *ceo =
		section(ld, root, "ceo", known, ARRAY_LEN(known));
	if (!ceo)
		return;
	const char *file = ld->chart_file;
	const char *id = node_text(ld, file, "ceo", ceo, "matrixId");
	const char *name = node_text(ld, file, "ceo", ceo, "name");
	const struct yaml_node *at = yaml_get(ceo, "matrixId");
	name_check(ld, node_place(file, yaml_get(ceo, "name")), "ceo", "name",
		name);
	if (!id) {
		if (yaml_is_null(at))
			fault(ld, node_place(file, at ? at : ceo),
				"ceo: \"matrixId\" is missing");
		return;
	}
	struct draft *d = roster_add(ld, FROM_CHART, id, false, false,
		node_place(file, at), "ceo.matrixId");
	if (!d)
		return;
	ld->ceo_named = true;
	d->mention = d->person.human = d->person.deployed = true;
	if (name) {
		d->person.name = name;
		d->named = true;
	}
}

static void read_bot(struct load *ld, const struct yaml_node *root)
{
	static const char key[] = "taskAssignmentBotMatrixId";
	static const char *const known[] = { key };
	const struct yaml_node *center =
		section(ld, root, "commandCenter", known, ARRAY_LEN(known));
	const char *id =
		node_text(ld, ld->chart_file, "commandCenter", center, key);
	if (!id)
		return;
	struct draft *d = roster_add(ld, FROM_CHART, id, false, false,
		node_place(ld->chart_file, yaml_get(center, key)),
		"commandCenter.taskAssignmentBotMatrixId");
	if (d)
		d->person.bot = d->person.deployed = true;
}

static void read_domain(struct load *ld, const struct yaml_node *root)
{
	static const char *const known[] = { "domain" };
	const struct yaml_node *matrix =
		section(ld, root, "matrix", known, ARRAY_LEN(known));
	const char *domain =
		node_text(ld, ld->chart_file, "matrix", matrix, "domain");
	if (domain && !text_eq(domain, ld->src->server_name))
		fault(ld,
			node_place(ld->chart_file, yaml_get(matrix, "domain")),
			"matrix.domain is \"%s\", but homeserver.server_name "
			"is \"%s\": they must be the same",
			domain, ld->src->server_name);
}

static size_t read_want(struct load *ld, const char *department,
	const struct yaml_node *v, const char *key)
{
	int64_t n = 0;
	const struct yaml_node *want = yaml_get(v, key);
	if (yaml_int(want, 0, QUOTA_MAX, &n))
		return (size_t)n;
	if (yaml_is_null(want))
		fault(ld, node_place(ld->chart_file, v),
			"departments.%s: \"%s\" is missing: how many of them "
			"are deployed",
			department, key);
	else
		fault(ld, node_place(ld->chart_file, want),
			"departments.%s.%s: expected a number from 0 to %d, "
			"found %s",
			department, key, QUOTA_MAX,
			yaml_str(want) ? yaml_str(want) : yaml_type_name(want));
	return 0;
}

/* Of a department that deploys nobody the numbers do not matter. */
static void department_typos(struct load *ld, const char *name,
	const struct yaml_node *v, bool enabled)
{
	static const char *const flag[] = { "enabled" };
	char label[128];
	snprintf(label, sizeof(label), "departments.%s", name);
	node_typos(ld, ld->chart_file, label, v, flag, ARRAY_LEN(flag));
	if (enabled)
		node_typos(ld, ld->chart_file, label, v, quota_keys, N_LEVELS);
}

static void read_department(
	struct load *ld, const struct yaml_node *key, const struct yaml_node *v)
{
	bool enabled = false;
	const struct yaml_node *flag = yaml_get(v, "enabled");
	if (yaml_is_null(v))
		return;
	if (v->type != YAML_MAP) {
		fault(ld, node_place(ld->chart_file, v),
			"departments.%s: expected a map (key: value), found %s",
			key->text, yaml_type_name(v));
		return;
	}
	if (!yaml_is_null(flag) && !yaml_bool(flag, &enabled))
		fault(ld, node_place(ld->chart_file, flag),
			"departments.%s.enabled: expected true or false, "
			"found %s",
			key->text,
			yaml_str(flag) ? yaml_str(flag) : yaml_type_name(flag));
	department_typos(ld, key->text, v, enabled);
	if (!enabled)
		return;
	struct quota *q = arena_push(&ld->scratch, &ld->quotas, &ld->n_quotas,
		&ld->quotas_cap, sizeof(*q));
	if (!q)
		return;
	q->department = arena_strdup(&ld->scratch, key->text);
	q->place = node_place(ld->chart_file, key);
	for (size_t i = 0; i < N_LEVELS; i++)
		q->want[i] = read_want(ld, key->text, v, quota_keys[i]);
}

static void read_departments(struct load *ld, const struct yaml_node *root)
{
	static const char key[] = "departments";
	const struct yaml_node *at = yaml_get(root, key);
	const struct yaml_node *list = section(ld, root, key, NULL, 0);
	if (yaml_is_null(at) && ld->src->org_path)
		fault(ld, node_place(ld->chart_file, at ? at : root),
			"\"departments\" is missing: how many of each "
			"department are deployed ({}: nobody)");
	for (size_t i = 0; list && i < list->n; i++)
		read_department(ld, list->keys[i], list->items[i]);
	if (ld->n_quotas && !ld->src->org_path)
		fault(ld, ld->quotas[0].place,
			"departments choose from the organisation, but "
			"fleet.org is not set: name its org.json there");
}

static void read_root(struct load *ld, const struct yaml_node *root)
{
	static const char *const known[] = { "ceo", "matrix", "commandCenter",
		"departments" };
	if (!root || root->type != YAML_MAP) {
		fault(ld, node_place(ld->chart_file, root),
			"expected the fleet's configuration (ceo, matrix, "
			"departments ...), found %s",
			root ? yaml_type_name(root) : "nothing");
		return;
	}
	node_typos(ld, ld->chart_file, "", root, known, ARRAY_LEN(known));
	read_domain(ld, root);
	read_ceo(ld, root);
	read_bot(ld, root);
	read_departments(ld, root);
	typo_end(ld, ld->chart_file);
}

void chart_read(struct load *ld)
{
	struct buf text;
	struct yaml_doc doc = { 0 };
	struct err e = { 0 };

	if (!ld->src->config_path)
		return;
	buf_init(&text, LIMIT_CONFIG_FILE);
	if (!read_whole(ld, ld->chart_file, ld->src->config_at, "fleet.config",
		    &text))
		goto out;
	enum rc rc =
		yaml_parse(buf_str(&text), text.n, ld->chart_file, &doc, &e);
	if (rc == RC_NOMEM)
		ld->scratch.failed = true;
	else if (rc != RC_OK)
		report_parsed(ld->report, ld->chart_file, e.text);
	else
		read_root(ld, doc.root);
out:
	yaml_doc_free(&doc);
	buf_free(&text);
}

static int by_name(const void *a, const void *b)
{
	const struct draft *x = *(struct draft *const *)a;
	const struct draft *y = *(struct draft *const *)b;
	int c = strcmp(x->sort_name, y->sort_name);
	if (!c)
		c = strcmp(x->person.name, y->person.name);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static bool is_of(const struct draft *d, const char *department)
{
	return d->origin == FROM_ORG &&
		text_eq(d->person.department, department);
}

/* Whom the quota's level may be filled with: below a VP, who reports to
 * somebody chosen one level up. */
static bool eligible(const struct draft *d, const struct quota *q, size_t level)
{
	const struct person *p = &d->person;
	if (!is_of(d, q->department) || !text_eq(p->level, fleet_levels[level]))
		return false;
	if (!level)
		return true;
	const struct draft *boss = d->boss;
	return boss && boss->chosen &&
		text_eq(boss->person.department, q->department) &&
		text_eq(boss->person.level, fleet_levels[level - 1]);
}

static void choose_level(struct load *ld, const struct quota *q, size_t level,
	struct draft **pool)
{
	size_t n = 0, want = q->want[level];
	if (!want)
		return;
	for (size_t i = 0; i < ld->n_people; i++) {
		struct draft *d = ld->people[i];
		if (!eligible(d, q, level))
			continue;
		d->sort_name = name_fold(&ld->scratch, d->person.name);
		if (!d->sort_name)
			return;
		pool[n++] = d;
	}
	if (n)
		qsort(pool, n, sizeof(*pool), by_name);
	for (size_t i = 0; i < n && i < want; i++)
		pool[i]->chosen = true;
	if (n < want)
		caution(ld, q->place,
			"departments.%s.%s asks for %zu, the organisation has "
			"%zu%s",
			q->department, quota_keys[level], want, n,
			level ? " who report to somebody chosen above them"
			      : "");
}

/* Says so when nobody of the organisation is of the department. */
static bool has_people(struct load *ld, const struct quota *q)
{
	size_t n = 0;
	for (size_t i = 0; i < ld->n_people; i++) {
		if (is_of(ld->people[i], q->department))
			return true;
	}
	const char **names =
		arena_array(&ld->scratch, ld->n_people, sizeof(char *));
	for (size_t i = 0; names && i < ld->n_people; i++) {
		const struct draft *d = ld->people[i];
		if (d->origin == FROM_ORG && d->person.department)
			names[n++] = d->person.department;
	}
	const char *near = nearest_word(q->department, names, n);
	caution(ld, q->place,
		"departments.%s: nobody in the organisation is of it%s%s%s",
		q->department, near ? ": did you mean " : "", near ? near : "",
		near ? "?" : "");
	return false;
}

void chart_choose(struct load *ld)
{
	struct draft **pool =
		arena_array(&ld->scratch, ld->n_people, sizeof(struct draft *));
	if (!pool)
		return;
	for (size_t i = 0; i < ld->n_quotas; i++) {
		const struct quota *q = &ld->quotas[i];
		if (!has_people(ld, q))
			continue;
		for (size_t level = 0; level < N_LEVELS; level++)
			choose_level(ld, q, level, pool);
	}
}
