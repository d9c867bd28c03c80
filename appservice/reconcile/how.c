/*
 * What a plan depends on beside fleet and snapshot, and a plan made of it.
 */
#include "appservice/reconcile/reconcile.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define DIRECT_FEW 1000
#define DIRECT_SHOWN 5000 /* of those that will be made; others are counted */

/* At once, as long as they are no more than a homeserver makes in a minute or
 * two, and keeps without noticing. */
enum direct_mode reconcile_direct_mode(const struct app *app)
{
	const char *word = config_text(&app->config, SET_DIRECT_CREATE);
	if (text_eq(word, "auto"))
		return app->fleet.n_direct <= DIRECT_FEW ? DIRECT_EAGER
							 : DIRECT_ON_DEMAND;
	if (text_eq(word, "eager"))
		return DIRECT_EAGER;
	return text_eq(word, "off") ? DIRECT_OFF : DIRECT_ON_DEMAND;
}

struct plan_how reconcile_how(const struct app *app, size_t direct_most)
{
	const int64_t respect = config_int(&app->config, SET_RESPECT_WINDOW);
	const int64_t looks = 3 * config_int(&app->config, SET_INTERVAL);
	return (struct plan_how){ .sender_id = app->sender_id,
		.sender_name = config_text(&app->config, SET_AS_SENDER_NAME),
		.respect_ms = respect,
		.lost_ms = looks < respect ? looks : respect,
		.now_ms = clock_wall_ms(),
		.direct = reconcile_direct_mode(app),
		.direct_most = direct_most };
}

enum rc reconcile_plan_from(struct app *app, const struct store_snapshot *now,
	struct arena *a, struct plan *ret, struct err *e)
{
	const struct plan_how how = reconcile_how(app, DIRECT_SHOWN);
	return plan_make(&app->fleet, &how, now, a, ret, e);
}

enum rc reconcile_plan(
	struct app *app, struct arena *a, struct plan *ret, struct err *e)
{
	struct store_snapshot now = { 0 };
	enum rc rc = app_snapshot(app, a, &now, e);
	return rc == RC_OK ? reconcile_plan_from(app, &now, a, ret, e) : rc;
}
