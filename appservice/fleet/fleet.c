/*
 * appservice/fleet/fleet.c: makes the fleet of its files, step by step, and
 * answers questions about it.
 */
#include "appservice/fleet/fleet_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "matrix/id.h"

#include "base/poison.h"

#define FAULT_MAX 1024

void fault(struct load *ld, struct place at, const char *fmt, ...)
{
	char text[FAULT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_error(ld->report, at.file, at.line, at.column, "%s", text);
}

void caution(struct load *ld, struct place at, const char *fmt, ...)
{
	char text[FAULT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_warning(ld->report, at.file, at.line, at.column, "%s", text);
}

bool read_whole(struct load *ld, const char *path, struct place at,
	const char *setting, struct buf *out)
{
	struct err e = { 0 };
	enum rc rc = file_read(path, out, &e);
	if (rc == RC_OK)
		return true;
	if (rc == RC_NOMEM)
		ld->scratch.failed = true;
	else if (rc == RC_NOT_FOUND)
		fault(ld, at, "%s: there is no such file: %s", setting, path);
	else
		fault(ld, at, "%s: %s", setting, e.text);
	return false;
}

/* False when nothing else can be judged by it. */
static bool check_source(struct load *ld)
{
	const struct fleet_source *src = ld->src;
	struct place here = { ld->self_file, 1, 1 };
	if (!id_server_ok(src->server_name)) {
		fault(ld, here,
			"homeserver.server_name: \"%s\" is no server name: "
			"expected a host name, perhaps with :port",
			src->server_name);
		return false;
	}
	/* An empty list says it, too: there are none, perhaps none any more. */
	if (!src->org_path && yaml_is_null(src->agents)) {
		fault(ld, here,
			"nothing says who the agents are: set fleet.org "
			"(perhaps with fleet.config) or fleet.agents");
		return false;
	}
	return true;
}

static bool has_memory(const struct load *ld)
{
	return arena_ok(ld->keep) && arena_ok(&ld->scratch) &&
		arena_ok(&ld->report->arena);
}

static void load_all(struct load *ld)
{
	size_t before = ld->report->errors;
	if (!check_source(ld))
		return;
	org_read(ld);
	chart_read(ld);
	byhand_read(ld);
	strays_tell(ld);
	rules_read(ld);
	if (!has_memory(ld))
		return;
	roster_settle(ld);
	check_people(ld);
	/* Whom wrong people bring in, and their rooms, would only bring
	 * findings that are none. */
	if (ld->report->errors == before && has_memory(ld))
		chart_choose(ld);
	check_namespace(ld);
	if (ld->report->errors != before || !has_memory(ld))
		return;
	roster_publish(ld);
	if (has_memory(ld))
		policy_build(ld);
}

/* They outlive the source, as the people's places do. */
static void keep_paths(struct load *ld)
{
	const struct fleet_source *src = ld->src;
	const char *self = src->self_path ? src->self_path : "";
	ld->self_file = arena_strdup(ld->keep, self);
	ld->org_file = arena_strdup(ld->keep, src->org_path);
	ld->chart_file = arena_strdup(ld->keep, src->config_path);
	ld->humans_file = arena_strdup(
		ld->keep, src->humans_path ? src->humans_path : self);
	ld->agents_file = arena_strdup(
		ld->keep, src->agents_path ? src->agents_path : self);
	ld->rooms_file = arena_strdup(
		ld->keep, src->rooms_path ? src->rooms_path : self);
}

enum rc fleet_load(const struct fleet_source *src, struct fleet *ret,
	struct report *report, struct err *e)
{
	struct fleet f = { .n_people = 0 };
	arena_init(&f.arena);
	struct load ld = {
		.src = src, .fleet = &f, .keep = &f.arena, .report = report
	};
	arena_init(&ld.scratch);
	size_t before = report->errors;
	enum rc rc = RC_OK;

	f.server_name = arena_strdup(ld.keep, src->server_name);
	keep_paths(&ld);
	if (has_memory(&ld))
		load_all(&ld);
	if (!has_memory(&ld))
		rc = err_nomem(e);
	else if (report->errors != before)
		rc = err_set(e, RC_INVALID, "the fleet has %zu error%s",
			report->errors - before,
			report->errors - before == 1 ? "" : "s");
	arena_free(&ld.scratch);
	if (rc != RC_OK) {
		arena_free(&f.arena);
		f = (struct fleet){ .n_people = 0 };
	}
	*ret = f;
	return rc;
}

void fleet_free(struct fleet *f)
{
	if (!f)
		return;
	arena_free(&f->arena);
	*f = (struct fleet){ .n_people = 0 };
}

static int person_cmp(const void *key, const void *item)
{
	const struct person *p = *(const struct person *const *)item;
	return strcmp(key, p->user_id);
}

static int room_cmp(const void *key, const void *item)
{
	const struct room *r = item;
	return strcmp(key, r->key);
}

static const struct person *find_person(
	const char *user_id, const struct person **list, size_t n)
{
	const struct person **found = !n
		? NULL
		: bsearch(user_id, list, n, sizeof(*list), person_cmp);
	return found ? *found : NULL;
}

const struct person *fleet_person(const struct fleet *f, const char *user_id)
{
	return find_person(user_id, f->people, f->n_people);
}

const struct room *fleet_room(const struct fleet *f, const char *key)
{
	size_t n = f->n_rooms - f->n_direct;
	const struct room *rooms = f->rooms;
	if (*key == '@') {
		rooms += n;
		n = f->n_direct;
	}
	return n ? bsearch(key, rooms, n, sizeof(*rooms), room_cmp) : NULL;
}

bool room_has_member(const struct room *r, const char *user_id)
{
	return find_person(user_id, r->members, r->n_members);
}
