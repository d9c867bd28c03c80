/*
 * A verb that answers the homeserver itself where no service does: pings, and
 * transactions where it has a store for them.
 */
#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "appservice/ops/verbs.h"
#include "base/log.h"

#include "base/poison.h"

enum rc cli_listen(const struct app *app, const struct secret *hs_token,
	struct intake *intake, struct http_server **ret, struct err *e)
{
	unsigned char digest[SHA256_LEN];
	/* A verb says itself what it does; a line for each transaction would
	 * bury that, where nobody has asked for it. */
	if (!log_enabled(LOG_DEBUG))
		log_at_most(LOG_ERROR);
	if (!sha256(secret_bytes(hs_token), hs_token->n, digest))
		return err_nomem(e);
	const struct http_server_options o = {
		.listen = config_text(&app->config, SET_AS_LISTEN),
		.routes = intake_routes,
		.n_routes = intake_n_routes,
		.token_digest = digest,
		.base_path = app_base_path(app),
		.no_legacy = !config_bool(&app->config, SET_AS_LEGACY_PATHS),
		.no_query_token =
			!config_bool(&app->config, SET_AS_QUERY_TOKEN),
		.arg = intake,
	};
	return http_server_start(&o, ret, e);
}
