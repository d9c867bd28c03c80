/*
 * tests/unit/fleet_case.c: see fleet_case.h.
 */
#include "tests/unit/fleet_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/secret.h"
#include "tests/unit/test.h"

#include "base/poison.h"

static const char *const names[] = { "org.json", "config.yaml", "muster.yaml" };

void case_init(struct fleet_case *c)
{
	const char *tmp = getenv("TMPDIR");
	*c = (struct fleet_case){
		.src = { .server_name = "example.org",
			.sender = "muster",
			.manager_report = true,
			.manager_peers = true,
			.team_peers = true },
	};
	snprintf(c->dir, sizeof(c->dir), "%s/muster-fleet-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(c->dir));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		snprintf(c->paths[i], sizeof(c->paths[i]), "%s/%s", c->dir,
			names[i]);
	c->src.self_path = c->paths[2];
	report_init(&c->report);
}

void case_free(struct fleet_case *c)
{
	fleet_free(&c->fleet);
	report_free(&c->report);
	yaml_doc_free(&c->self);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(c->paths[i]);
	rmdir(c->dir);
}

static void write_text(
	struct fleet_case *c, size_t i, const char *text, const char **ret)
{
	if (!text)
		return;
	assert_ok(file_replace(c->paths[i], text, strlen(text), 0600, &c->e),
		c->e);
	*ret = c->paths[i];
}

void case_files(struct fleet_case *c, const char *org, const char *config,
	const char *self)
{
	write_text(c, 0, org, &c->src.org_path);
	write_text(c, 1, config, &c->src.config_path);
	if (!self)
		return;
	assert_ok(
		yaml_parse(self, strlen(self), "muster.yaml", &c->self, &c->e),
		c->e);
	c->src.humans = yaml_get(c->self.root, "humans");
	c->src.agents = yaml_get(c->self.root, "agents");
	c->src.rooms = yaml_get(c->self.root, "rooms");
}

void case_folder(struct fleet_case *c, const char *folder, bool config)
{
	snprintf(c->paths[0], sizeof(c->paths[0]), "%s/org.json", folder);
	snprintf(c->paths[1], sizeof(c->paths[1]), "%s/config.yaml", folder);
	c->src.org_path = c->paths[0];
	c->src.config_path = config ? c->paths[1] : NULL;
	case_load(c);
	/* They are not ours to remove. */
	c->paths[0][0] = c->paths[1][0] = '\0';
}

void case_load(struct fleet_case *c)
{
	c->rc = fleet_load(&c->src, &c->fleet, &c->report, &c->e);
}

void case_run(struct fleet_case *c, const char *org, const char *config,
	const char *self)
{
	case_init(c);
	case_files(c, org, config, self);
	case_load(c);
}

/* All findings, without the directory. */
static void findings(const struct fleet_case *c, struct buf *out)
{
	struct buf all;
	size_t n = strlen(c->dir);
	buf_init(&all, MIB);
	report_write(&c->report, &all);
	for (const char *p = buf_str(&all); *p;) {
		if (strncmp(p, c->dir, n) == 0 && p[n] == '/')
			p += n + 1;
		else
			buf_addc(out, *p++);
	}
	buf_free(&all);
}

void assert_found(const struct fleet_case *c, const char *finding)
{
	struct buf all, line;
	buf_init(&all, MIB);
	buf_init(&line, MIB);
	buf_addc(&all, '\n');
	findings(c, &all);
	buf_addf(&line, "\n%s\n", finding);
	bool there = strstr(buf_str(&all), buf_str(&line)) != NULL;
	if (!there)
		print_error("missing: %s\nfound:%s", finding, buf_str(&all));
	buf_free(&all);
	buf_free(&line);
	assert_true(there);
}

static void print_findings(const struct fleet_case *c)
{
	struct buf all;
	buf_init(&all, MIB);
	findings(c, &all);
	print_error("found:\n%s", buf_str(&all));
	buf_free(&all);
}

void assert_loaded(const struct fleet_case *c, size_t warnings)
{
	if (c->rc != RC_OK || c->report.n != warnings)
		print_findings(c);
	assert_rc(c->rc, RC_OK);
	assert_int_equal(c->report.errors, 0);
	assert_int_equal(c->report.n, warnings);
}

void assert_errors(const struct fleet_case *c, size_t n)
{
	if (c->rc != RC_INVALID || c->report.errors != n)
		print_findings(c);
	assert_rc(c->rc, RC_INVALID);
	assert_int_equal(c->report.errors, n);
	assert_int_equal(c->fleet.n_people, 0);
}

const char *examples_folder(void)
{
	const char *folder = getenv("MUSTER_EXAMPLES");
	return folder ? folder : "examples/fleet";
}

static void digest(struct buf *text, char out[65])
{
	assert_rc(buf_rc(text), RC_OK);
	sha256_hex(buf_str(text), text->n, out);
	buf_free(text);
}

void digest_direct(const struct fleet *f, char out[65])
{
	struct buf text;
	buf_init(&text, 64 * MIB);
	for (size_t i = 0; i < f->n_rooms; i++) {
		if (f->rooms[i].direct)
			buf_addf(&text, "%s\n", f->rooms[i].key);
	}
	digest(&text, out);
}

void digest_members(const struct fleet *f, char out[65])
{
	struct buf text;
	buf_init(&text, 64 * MIB);
	for (size_t i = 0; i < f->n_rooms; i++) {
		const struct room *r = &f->rooms[i];
		for (size_t k = 0; !r->direct && k < r->n_members; k++)
			buf_addf(&text, "%s %s\n", r->alias,
				r->members[k]->user_id);
	}
	digest(&text, out);
}

void digest_aliases(const struct fleet *f, char out[65])
{
	struct buf text;
	buf_init(&text, 64 * MIB);
	for (size_t i = 0; i < f->n_declared_aliases; i++)
		buf_addf(&text, "%s\n", f->declared_aliases[i]);
	digest(&text, out);
}
