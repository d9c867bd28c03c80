/*
 * Giving the program what it is to have: told of it by its own way, with a
 * pause before where it has one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

#include "base/poison.h"

#define RESUME_MS 60000

enum pause {
	PAUSE_NOT,     /* it cannot be given another token */
	PAUSE_NOTHING, /* nothing to do: it looks for a new one by itself */
	PAUSE_END,     /* by ending it */
	PAUSE_COMMAND,
};

static const char *pause_command(const struct agent *a)
{
	return a->o.pause ? a->o.pause : deliver_pause_command(a);
}

static const char *resume_command(const struct agent *a)
{
	return a->o.resume ? a->o.resume : deliver_resume_command(a);
}

static enum pause how(const struct agent *a)
{
	if (a->o.pause)
		return PAUSE_COMMAND;
	if (a->o.reload == RELOAD_RESTART)
		return PAUSE_END;
	if (a->o.how == FOR_ENV)
		return PAUSE_NOT;
	return pause_command(a) ? PAUSE_COMMAND : PAUSE_NOTHING;
}

bool give_can(const struct agent *a)
{
	return how(a) != PAUSE_NOT;
}

/* A command of the program's, with the environment that it has. */
static enum rc run(const struct give *g, const char *what, const char *command,
	int64_t limit_ms, struct err *e)
{
	char **env = deliver_env(g->a);
	if (!env)
		return err_nomem(e);
	enum rc rc = supervise_command(g->s, what, command, env, limit_ms, e);
	deliver_env_free(env);
	return rc;
}

static enum rc stop(struct give *g, struct err *e)
{
	enum rc rc = supervise_stop(g->s);
	g->down = g->down || rc == RC_OK;
	return rc == RC_OK ? rc : err_set(e, rc, "%s", rc_words(rc));
}

static enum rc start(struct give *g, struct err *e)
{
	char **env = deliver_env(g->a);
	if (!env)
		return err_nomem(e);
	enum rc rc = supervise_start(g->s, env);
	deliver_env_free(env);
	if (rc != RC_OK)
		return err_set(e, rc, "%s", rc_words(rc));
	g->down = false;
	say("generation %" PRId64 " of %s: program started again",
		g->a->now.generation, g->a->now.user_id);
	return RC_OK;
}

static enum rc resume(struct give *g, struct err *e)
{
	if (how(g->a) != PAUSE_COMMAND)
		return RC_OK;
	return run(g, "the command that resumes the program",
		resume_command(g->a), RESUME_MS, e);
}

static enum rc pause_by_command(struct give *g, int64_t limit_ms, struct err *e)
{
	enum rc rc = run(g, "the command that pauses the program",
		pause_command(g->a), limit_ms, e);
	if (rc == RC_OK || rc == RC_STOPPING)
		return rc;
	/* It may have come half way. */
	struct err why = { 0 };
	if (resume(g, &why) != RC_OK)
		say("%s", why.text);
	return rc;
}

enum rc give_pause(struct give *g, int64_t limit_ms, struct err *e)
{
	if (g->paused)
		return RC_OK;
	enum rc rc = RC_OK;
	switch (how(g->a)) {
	case PAUSE_NOT: /* give_can() */
	case PAUSE_NOTHING:
		break;
	case PAUSE_END:
		rc = stop(g, e);
		break;
	case PAUSE_COMMAND:
		rc = pause_by_command(g, limit_ms, e);
		break;
	}
	g->paused = rc == RC_OK;
	return rc;
}

/* The program is to hear of a token that it does not have. */
static enum rc tell(struct give *g, struct err *e)
{
	switch (g->a->o.reload) {
	case RELOAD_NONE:
		return RC_OK;
	case RELOAD_SIGNAL:
		return supervise_signal(g->s, g->a->o.reload_signal);
	case RELOAD_RESTART:
		break;
	}
	return g->down ? RC_OK : stop(g, e);
}

enum rc give_on(struct give *g, struct err *e)
{
	enum rc rc = g->stale ? tell(g, e) : RC_OK;
	if (rc == RC_OK && g->down)
		rc = start(g, e);
	if (rc != RC_OK)
		return rc;
	g->stale = false;
	if (g->paused)
		rc = resume(g, e);
	g->paused = g->paused && rc != RC_OK;
	return rc;
}
