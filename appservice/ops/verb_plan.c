/*
 * The verb for the plan: of what holds now, or of another configuration on what
 * the store of this one knows. Nothing is touched, and nobody is asked.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "appservice/ops/verbs.h"
#include "appservice/ops/views.h"
#include "appservice/reconcile/reconcile.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* What the fleet of another homeserver changes is no change of this one. */
static int check_same(const struct cli *cli, const struct config *now,
	const struct config *new)
{
	static const enum setting same[] = { SET_HS_NAME, SET_HS_URL };
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		const char *is = config_text(now, same[i]);
		const char *other = config_text(new, same[i]);
		if (is && !text_eq(is, other))
			return cli_fail(EXIT_WRONG,
				"%s: %s is %s, and that of %s is %s: a plan is "
				"made for one homeserver",
				cli->with, setting_infos[same[i]].path, other,
				cli->config_path, is);
	}
	return EXIT_OK;
}

static enum rc write_plan(
	struct app *next, struct buf *out, bool *differs, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	struct plan plan = { 0 };
	struct jb b;
	enum rc rc = app_snapshot(next, &a, &now, e);
	if (rc == RC_OK)
		rc = reconcile_plan_from(next, &now, &a, &plan, e);
	jb_init(&b, out);
	jb_obj(&b, NULL);
	if (rc == RC_OK) {
		plan_write_steps(&b, &plan);
		rc = plan_write_summary(&b, &next->fleet, &now, &plan, &a, e);
	}
	jb_int(&b, "removals", (int64_t)plan.removals);
	jb_end_obj(&b);
	*differs = plan.n > 0 || plan.removals > 0;
	arena_free(&a);
	return rc == RC_OK ? buf_rc(out) : rc;
}

/* The store that there is, or none. */
static int show(struct cli *cli, const struct config *now, struct app *next)
{
	struct buf out;
	struct err e = { 0 };
	bool differs = false;
	buf_init(&out, LIMIT_DOCUMENT);
	enum rc rc = store_open_readonly(
		config_text(now, SET_STORE_PATH), &next->store, &e);
	if (rc == RC_NOT_FOUND)
		rc = RC_OK;
	if (rc == RC_OK)
		rc = write_plan(next, &out, &differs, &e);
	if (rc == RC_OK && cli->json)
		puts(buf_str(&out));
	else if (rc == RC_OK)
		print_view("plan", buf_str(&out), out.n);
	buf_free(&out);
	if (rc != RC_OK)
		return cli_fail(EXIT_FAILED, "%s", e.text);
	return differs ? EXIT_DIFFERS : EXIT_OK;
}

static int plan_with(struct cli *cli)
{
	static const enum setting needed[] = { SET_HS_NAME, SET_HS_URL,
		SET_STORE_PATH };
	struct app now, next;
	struct cli other = *cli;
	other.config_path = cli->with;
	if (access(cli->with, F_OK) != 0 && errno == ENOENT)
		return cli_fail(EXIT_WRONG,
			"%s: there is no such file: make it of a copy of %s",
			cli->with, cli->config_path);
	app_init(&next);
	int status = cli_load_settings(cli, &now, needed, ARRAY_LEN(needed));
	if (status == EXIT_OK)
		status = cli_load(&other, &next, FOR_FILES);
	if (status == EXIT_OK)
		status = check_same(cli, &now.config, &next.config);
	if (status == EXIT_OK)
		status = show(cli, &now.config, &next);
	app_free(&next);
	app_free(&now);
	return status;
}

int verb_plan(struct cli *cli)
{
	return cli->with ? plan_with(cli) : verb_view(cli);
}
