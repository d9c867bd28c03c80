/*
 * Giving the token to the program: in its environment, or in a file that is
 * replaced by rename.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

extern char **environ;

/* The variables that are ours; all of them are strings on the heap, which is
 * how deliver_env_free() knows them. */
static const char *const ours[] = { "MATRIX_HOMESERVER", "MATRIX_USER_ID",
	"MATRIX_DEVICE_ID", "MATRIX_ACCESS_TOKEN", "MATRIX_ACCESS_TOKEN_FILE" };

/* A new directory that only we can enter; memory before disk. */
static char *private_dir(void)
{
	const char *const in[] = { getenv("TMPDIR"), "/dev/shm", "/tmp" };
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		if (!in[i] || !*in[i])
			continue;
		char *dir = path_join(in[i], "muster-agent.XXXXXX");
		if (!dir)
			return NULL;
		if (mkdtemp(dir))
			return dir;
		free(dir);
	}
	return NULL;
}

/* The program may change its directory before it opens the file. */
static char *absolute(const char *path)
{
	char here[PATH_MAX];
	if (*path == '/' || !getcwd(here, sizeof(here)))
		return strdup(path);
	return path_join(here, path);
}

enum rc deliver_prepare(struct agent *a, struct err *e)
{
	if (a->o.how == FOR_ENV)
		return RC_OK;
	if (a->o.how != FOR_FILE)
		return err_set(e, RC_UNSUPPORTED,
			"--for template and --for openclaw are not in this "
			"version: say --for file or --for env");
	if (a->o.output) {
		a->token_file = absolute(a->o.output);
		return a->token_file ? RC_OK : err_nomem(e);
	}
	a->private_dir = private_dir();
	if (!a->private_dir)
		return err_set(e, RC_IO,
			"no private directory for the token in $TMPDIR, "
			"/dev/shm or /tmp: %s: make one writable, or say "
			"--output FILE",
			strerror(errno));
	a->token_file = path_join(a->private_dir, "access_token");
	return a->token_file ? RC_OK : err_nomem(e);
}

enum rc deliver_file(
	const struct agent *a, const struct handoff *h, struct err *e)
{
	if (a->o.how == FOR_ENV)
		return RC_OK;
	struct buf text;
	buf_init(&text, LIMIT_HANDOFF_FILE);
	buf_addn(&text, h->access_token.bytes, h->access_token.n);
	buf_addc(&text, '\n');
	enum rc rc = buf_rc(&text);
	if (rc == RC_OK)
		rc = file_replace(a->token_file, text.p, text.n, 0600, e);
	else
		rc = err_nomem(e);
	buf_wipe(&text);
	return rc;
}

void deliver_remove(const struct agent *a)
{
	if (!a->private_dir)
		return;
	if (a->token_file)
		unlink(a->token_file);
	rmdir(a->private_dir);
}

const char *deliver_pause_command(const struct agent *a)
{
	(void)a;
	return NULL;
}

const char *deliver_resume_command(const struct agent *a)
{
	(void)a;
	return NULL;
}

static bool is_ours(const char *variable)
{
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		size_t n = strlen(ours[i]);
		if (strncmp(variable, ours[i], n) == 0 && variable[n] == '=')
			return true;
	}
	return false;
}

static char *assign(const char *name, const char *value)
{
	size_t n = strlen(name) + strlen(value) + 2;
	char *s = malloc(n);
	if (s)
		snprintf(s, n, "%s=%s", name, value);
	return s;
}

char **deliver_env(const struct agent *a)
{
	const struct handoff *h = &a->now;
	const char *const values[ARRAY_LEN(ours)] = { agent_homeserver(a, h),
		h->user_id, h->device_id,
		a->o.how == FOR_ENV ? secret_bytes(&h->access_token) : NULL,
		a->o.how == FOR_FILE ? a->token_file : NULL };
	size_t n = 0;
	while (environ[n])
		n++;
	char **env = calloc(n + ARRAY_LEN(ours) + 1, sizeof(*env));
	if (!env)
		return NULL;
	size_t used = 0;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (!values[i])
			continue;
		env[used] = assign(ours[i], values[i]);
		if (!env[used++]) {
			deliver_env_free(env);
			return NULL;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			env[used++] = environ[i];
	return env;
}

void deliver_env_free(char **env)
{
	for (size_t i = 0; env && env[i] && is_ours(env[i]); i++) {
		wipe(env[i], strlen(env[i]));
		free(env[i]);
	}
	free(env);
}
