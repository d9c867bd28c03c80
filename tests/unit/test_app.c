/*
 * A configuration that is read anew: what holds until the end, what does not,
 * and whose memory it is.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/app.h"
#include "base/file.h"
#include "base/str.h"
#include "tests/unit/test.h"

#include "base/poison.h"

struct fixture {
	char dir[96], path[128];
	struct app app;
	struct report report;
	struct err e;
};

static void write_config(struct fixture *f, const char *text)
{
	assert_ok(file_replace(f->path, text, strlen(text), 0600, &f->e), f->e);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s/muster-app-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/muster.yaml", f->dir);
	app_init(&f->app);
	report_init(&f->report);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	app_free(&f->app);
	report_free(&f->report);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was made */
	free(f);
	return 0;
}

static void start(struct fixture *f, const char *text)
{
	write_config(f, text);
	assert_ok(app_load(&f->app, f->path, FOR_SERVICE, &f->report, &f->e),
		f->e);
}

static enum rc load_anew(struct fixture *f, struct app *next, const char *text)
{
	report_free(&f->report);
	report_init(&f->report);
	write_config(f, text);
	return app_load_anew(&f->app, next, &f->report, &f->e);
}

#define BASE "homeserver: {url: 'http://127.0.0.1:1', server_name: x.org}\n"
#define AGENTS(list) "fleet: {agents: [" list "]}\n"

static void test_a_reloadable_setting(void **state)
{
	struct fixture *f = *state;
	struct app next;
	start(f, BASE AGENTS("{id: ann}") "reconcile: {interval: 7m}\n");
	assert_ok(
		load_anew(f, &next,
			BASE AGENTS("{id: ann}, {id: bob}") "reconcile: "
							    "{interval: 9s}\n"),
		f->e);
	assert_int_equal(f->report.n, 0);
	/* Nothing is another yet. */
	assert_int_equal(config_int(&f->app.config, SET_INTERVAL), 7 * 60000);
	assert_int_equal(f->app.fleet.n_agents, 1);
	app_exchange(&f->app, &next);
	app_free(&next);
	assert_int_equal(config_int(&f->app.config, SET_INTERVAL), 9000);
	assert_int_equal(f->app.fleet.n_agents, 2);
	assert_string_equal(f->app.fleet.agents[1]->user_id, "@bob:x.org");
}

/* Said with its place; value and memory stay those of the start, also after
 * many. */
static void test_a_setting_that_holds(void **state)
{
	struct fixture *f = *state;
	struct app next;
	start(f, BASE AGENTS("{id: ann}"));
	const char *url = config_text(&f->app.config, SET_HS_URL);
	const char *root = config_text(&f->app.config, SET_HANDOFF_ROOT);
	for (int i = 0; i < 3; i++) {
		assert_ok(load_anew(f, &next,
				  "homeserver: {url: 'http://other:1', "
				  "server_name: x.org}\n" AGENTS(
					  "{id: bob}") "handoff: {root: "
						       "elsewhere}\n"),
			f->e);
		assert_int_equal(f->report.n, 2);
		assert_true(f->report.items[0].warning);
		assert_string_equal(f->report.items[0].text,
			"homeserver.url: a change of it takes effect at the "
			"next start: until then it is as it was");
		assert_string_equal(f->report.items[0].file, f->path);
		assert_int_equal(f->report.items[0].line, 1);
		assert_true(
			text_starts(f->report.items[1].text, "handoff.root: "));
		assert_int_equal(f->report.items[1].line, 3);
		app_exchange(&f->app, &next);
		app_free(&next);
		assert_ptr_equal(config_text(&f->app.config, SET_HS_URL), url);
		assert_ptr_equal(
			config_text(&f->app.config, SET_HS_PUBLIC_URL), url);
		assert_ptr_equal(
			config_text(&f->app.config, SET_HANDOFF_ROOT), root);
		assert_string_equal(url, "http://127.0.0.1:1");
	}
	assert_string_equal(f->app.fleet.agents[0]->user_id, "@bob:x.org");
}

/* The fleet is made with what holds: the old server's name, not the new one. */
static void test_the_fleet_of_what_holds(void **state)
{
	struct fixture *f = *state;
	struct app next;
	start(f, BASE AGENTS("{id: ann}"));
	assert_ok(load_anew(f, &next,
			  "homeserver: {url: 'http://127.0.0.1:1', "
			  "server_name: y.org}\n" AGENTS("{id: ann}")),
		f->e);
	assert_int_equal(f->report.n, 1);
	assert_string_equal(next.fleet.agents[0]->user_id, "@ann:x.org");
	app_free(&next);
}

static void test_wrong_leaves_everything(void **state)
{
	static const char *const wrong[] = {
		BASE AGENTS("{id: ann}") "reconcile: {interval: soon}\n",
		BASE AGENTS("{id: ann}, {id: ann}"),
		BASE "fleet: {org: nowhere.json}\n",
		"homeserver: [",
		BASE AGENTS("{id: ann}") "handoff: {owner: me}\n",
	};
	struct fixture *f = *state;
	struct app next;
	start(f, BASE AGENTS("{id: ann}"));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_rc(load_anew(f, &next, wrong[i]), RC_INVALID);
		assert_true(f->report.errors > 0);
		app_free(&next);
	}
	assert_int_equal(unlink(f->path), 0);
	assert_rc(
		app_load_anew(&f->app, &next, &f->report, &f->e), RC_NOT_FOUND);
	assert_true(f->report.errors > 0);
	app_free(&next);
	assert_int_equal(f->app.fleet.n_agents, 1);
	assert_string_equal(
		config_text(&f->app.config, SET_HS_URL), "http://127.0.0.1:1");
}

/* Who is an administrator is no agent, whichever of the two came later. */
static void test_an_administrator_who_becomes_an_agent(void **state)
{
	struct fixture *f = *state;
	struct app next;
	start(f, BASE AGENTS("{id: ann}"));
	assert_rc(load_anew(f, &next,
			  "homeserver: {url: 'http://127.0.0.1:1', "
			  "server_name: x.org, admin: {user: ann}}\n" AGENTS(
				  "{id: ann}")),
		RC_INVALID);
	app_free(&next);
}

/* Another configuration beside the one in force, to compare the two. */
static void test_two_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct app other;
	start(f, BASE AGENTS("{id: ann}"));
	write_config(f, BASE AGENTS("{id: ann, name: Annette}, {id: bob}"));
	app_init(&other);
	assert_ok(
		app_load(&other, f->path, FOR_FILES, &f->report, &f->e), f->e);
	const struct fleet_diff d = fleet_compare(&f->app.fleet, &other.fleet);
	assert_int_equal(d.agents.came, 1);
	assert_int_equal(d.agents.gone, 0);
	assert_int_equal(d.agents.changed, 1);
	app_free(&other);
	assert_string_equal(f->app.fleet.agents[0]->user_id, "@ann:x.org");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_reloadable_setting),
		TEST(test_a_setting_that_holds),
		TEST(test_the_fleet_of_what_holds),
		TEST(test_wrong_leaves_everything),
		TEST(test_an_administrator_who_becomes_an_agent),
		TEST(test_two_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
