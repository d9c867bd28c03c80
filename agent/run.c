/*
 * `muster-agent run`: wait, deliver, start, follow, and end as the program
 * ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/file.h"
#include "base/limits.h"
#include "matrix/http.h"

#include "base/poison.h"

/* Who acknowledges: $MUSTER_AGENT_NAME, else host/process. */
static enum rc set_name(struct agent *a, struct err *e)
{
	const char *given = getenv("MUSTER_AGENT_NAME");
	char host[64] = "";
	int n;
	if (given && *given) {
		n = snprintf(a->name, sizeof(a->name), "%s", given);
	} else {
		gethostname(host, sizeof(host) - 1);
		n = snprintf(a->name, sizeof(a->name), "%s/%ld",
			*host ? host : "localhost", (long)getpid());
	}
	if (n > 0 && (size_t)n < sizeof(a->name) &&
		handoff_value_ok(a->name, sizeof(a->name) - 1))
		return RC_OK;
	return err_set(e, RC_INVALID,
		"MUSTER_AGENT_NAME must be UTF-8 text of at most %zu bytes "
		"without control characters",
		sizeof(a->name) - 1);
}

/* What would be found out only when there is somebody to be asked. */
static enum rc check_ca_file(const char *path, struct err *e)
{
	struct buf text;
	if (!path)
		return RC_OK;
	buf_init(&text, LIMIT_CONFIG_FILE);
	enum rc rc = file_read(path, &text, e);
	buf_free(&text);
	return rc == RC_OK ? rc : err_wrap(e, rc, "--ca-file");
}

static enum rc agent_init(
	struct agent *a, const struct options *o, struct err *e)
{
	*a = (struct agent){ .o = *o, .private_fd = -1 };
	enum rc rc = set_name(a, e);
	if (rc == RC_OK)
		rc = check_ca_file(o->ca_file, e);
	if (rc == RC_OK)
		rc = http_global_init(e);
	if (rc != RC_OK)
		return rc;
	a->gate = hs_gate_new();
	a->watch = watch_new();
	return a->gate && a->watch ? deliver_prepare(a, e) : err_nomem(e);
}

static void agent_fini(struct agent *a)
{
	deliver_free(a);
	free(a->token_file);
	free(a->private_dir);
	if (a->private_fd >= 0)
		close(a->private_fd);
	handoff_fini(&a->now);
	hs_gate_free(a->gate);
	watch_free(a->watch);
	http_global_fini();
}

/* The program from its start to its end. */
static int run_program(struct agent *a)
{
	char **env = deliver_env(a);
	if (!env) {
		say("%s", rc_words(RC_NOMEM));
		return EXIT_OURS;
	}
	struct supervise *s = NULL;
	int status = supervise_begin(a, env, &s);
	deliver_env_free(env);
	if (status != 0)
		return status;
	say("generation %" PRId64 " of %s: program started", a->now.generation,
		a->now.user_id);

	struct follow *f = NULL;
	struct err e = { 0 };
	if (follow_start(a, s, &f, &e) != RC_OK)
		say("%s: the program runs, but nobody acknowledges, and a new "
		    "token will not be seen",
			e.text);
	status = supervise_loop(s);
	if (!follow_stop(f)) {
		deliver_remove(a);
		_exit(status);
	}
	supervise_free(s);
	return status;
}

static int run_once(const struct agent *a)
{
	struct err e = { 0 };
	if (agent_acknowledge(a, &e) != RC_OK) {
		say("%s", e.text);
		return EXIT_OURS;
	}
	say("generation %" PRId64 " of %s delivered to %s", a->now.generation,
		a->now.user_id, a->token_file);
	if (a->o.program[0])
		say("%s is not started: --once is for what starts it later",
			a->o.program[0]);
	return 0;
}

static int wait_and_run(struct agent *a)
{
	int status = agent_wait(a);
	if (status != 0)
		return status;
	struct err e = { 0 };
	if (deliver_file(a, &a->now, &e) != RC_OK) {
		say("%s", e.text);
		return EXIT_OURS;
	}
	if (a->o.once)
		return run_once(a);
	return run_program(a);
}

int agent_run(const struct options *o)
{
	signals_catch();
	struct agent a;
	struct err e = { 0 };
	int status = EXIT_OURS;
	if (agent_init(&a, o, &e) == RC_OK)
		status = wait_and_run(&a);
	else
		say("%s", *e.text ? e.text : rc_words(RC_NOMEM));
	deliver_remove(&a);
	agent_fini(&a);
	return status;
}
