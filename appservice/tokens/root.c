/*
 * The runtime directory is a shared file system, and what is mounted may be
 * mounted no more: then an empty directory of our own disk is in its place. Every
 * agent's file would be gone, every agent be logged in anew, which ends the tokens
 * of those that run, and the new ones be written where nobody looks.
 */
#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/log.h"
#include "handoff/handoff.h"

#include "base/poison.h"

static const char *root_of(const struct app *app)
{
	return config_text(&app->config, SET_HANDOFF_ROOT);
}

enum rc tokens_root_check(const struct app *app, struct err *e)
{
	uint64_t device = 0;
	struct err why = { 0 };
	/* What cannot be looked at is told of by whoever wants to use it. */
	if (handoff_root_device(root_of(app), &device, &why) != RC_OK ||
		tokens_is_root(app->tokens, root_of(app), device))
		return RC_OK;
	return err_set(e, RC_IO,
		"%s is on another file system than when the service began: is "
		"the shared one mounted there? If this one is meant, restart "
		"the service",
		root_of(app));
}

void tokens_root_found(const struct app *app)
{
	uint64_t device = 0;
	struct err why = { 0 };
	if (handoff_root_device(root_of(app), &device, &why) != RC_OK ||
		tokens_is_root(app->tokens, root_of(app), device))
		return;
	log_info("the runtime directory was mounted again",
		LS("handoff.root", root_of(app)));
	tokens_set_root(app->tokens, device);
}
