/*
 * Giving the token to the program, each program in its way: in its
 * environment, in a file of its own, in a file of the program's own form, or
 * as OpenClaw wants it. Files are replaced by rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/ways_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

extern char **environ;

char *path_absolute(const char *path)
{
	char here[PATH_MAX];
	if (*path == '/' || !getcwd(here, sizeof(here)))
		return strdup(path);
	return path_join(here, path);
}

/* --- for file --------------------------------------------------------- */

static enum rc set_output(struct agent *a, struct err *e)
{
	a->token_file = path_absolute(a->o.output);
	return a->token_file ? RC_OK : err_nomem(e);
}

static enum rc prepare_file(struct agent *a, struct err *e)
{
	if (a->o.output)
		return set_output(a, e);
	a->private_dir = scratch_new(&a->private_fd);
	if (!a->private_dir)
		return err_set(e, RC_IO,
			"no private directory for the token in $TMPDIR, "
			"/dev/shm or /tmp: %s: make one writable, or say "
			"--output FILE",
			strerror(errno));
	a->token_file = path_join(a->private_dir, SCRATCH_FILE);
	return a->token_file ? RC_OK : err_nomem(e);
}

static enum rc write_token(const struct agent *a, const struct handoff *h,
	struct buf *text, struct err *e)
{
	(void)a;
	buf_addn(text, h->access_token.bytes, h->access_token.n);
	buf_addc(text, '\n');
	return buf_rc(text) == RC_OK ? RC_OK : err_nomem(e);
}

/* --- for template ----------------------------------------------------- */

static enum rc prepare_template(struct agent *a, struct err *e)
{
	struct buf text;
	enum rc rc = set_output(a, e);
	if (rc != RC_OK)
		return rc;
	buf_init(&text, LIMIT_CONFIG_FILE);
	rc = file_read(a->o.template, &text, e);
	if (rc == RC_OK)
		rc = template_new(buf_str(&text), text.n, a->o.template,
			template_is_json_name(a->o.output) ||
				template_is_json_name(a->o.template),
			&a->filled, e);
	buf_wipe(&text);
	return rc;
}

static enum rc write_template(const struct agent *a, const struct handoff *h,
	struct buf *text, struct err *e)
{
	return template_fill(a->filled, h, agent_homeserver(a, h), text, e);
}

/* --- for openclaw ----------------------------------------------------- */

static enum rc prepare_openclaw(struct agent *a, struct err *e)
{
	enum rc rc = openclaw_new(&a->o, &a->openclaw, e);
	if (rc != RC_OK)
		return rc;
	a->token_file = strdup(openclaw_include(a->openclaw));
	return a->token_file ? RC_OK : err_nomem(e);
}

/* --- the table -------------------------------------------------------- */

static const struct {
	/* NULL: there is nothing to prepare. */
	enum rc (*prepare)(struct agent *a, struct err *e);
	/* What is to be in the file; NULL: nothing is. */
	enum rc (*text)(const struct agent *a, const struct handoff *h,
		struct buf *text, struct err *e);
} ways[] = {
	[FOR_ENV] = { NULL, NULL },
	[FOR_FILE] = { prepare_file, write_token },
	[FOR_TEMPLATE] = { prepare_template, write_template },
	[FOR_OPENCLAW] = { prepare_openclaw, NULL },
};

/* A file there cannot be replaced by rename. */
static enum rc check_name(int dirfd, const char *name, struct err *e)
{
	struct stat st;
	if (*name &&
		(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
			!S_ISDIR(st.st_mode)))
		return RC_OK;
	return err_set(e, RC_INVALID, "it is a directory: name a file in it");
}

/* The file of this name in the directory is the one that path leads to. */
static bool is_file(int dirfd, const char *name, const char *path)
{
	struct stat there, other;
	return fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		stat(path, &other) == 0 && there.st_dev == other.st_dev &&
		there.st_ino == other.st_ino;
}

static bool is_hand_off(const struct agent *a, int dirfd, const char *name)
{
	struct stat dir, runtime;
	return text_eq(name, HANDOFF_FILE) && fstat(dirfd, &dir) == 0 &&
		stat(a->o.runtime, &runtime) == 0 &&
		dir.st_dev == runtime.st_dev && dir.st_ino == runtime.st_ino;
}

/* What is read again must not be written over. */
static enum rc check_place(
	const struct agent *a, int dirfd, const char *name, struct err *e)
{
	if (a->o.template && is_file(dirfd, name, a->o.template))
		return err_set(e, RC_INVALID,
			"it is the template itself, which would be gone: name "
			"another file");
	if (is_hand_off(a, dirfd, name))
		return err_set(e, RC_INVALID,
			"it is the hand-off itself: name a file elsewhere");
	return RC_OK;
}

/* What would be found out only when there is a token; and whoever was killed in
 * the middle of it has left one beside the file. */
static enum rc check_output(
	const struct agent *a, int dirfd, const char *name, struct err *e)
{
	enum rc rc = check_name(dirfd, name, e);
	if (rc == RC_OK)
		rc = check_place(a, dirfd, name, e);
	if (rc == RC_OK)
		rc = file_clean_at(dirfd, name, e);
	return rc == RC_OK ? file_try_at(dirfd, name, 0600, -1, -1, e) : rc;
}

static enum rc open_output(const char *dir, int *ret_fd, struct err *e)
{
	*ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd >= 0)
		return RC_OK;
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(e, RC_NOT_FOUND,
			"there is no directory %s: make it, or name a file "
			"elsewhere",
			dir);
	return file_error(e, errno, "%s", dir);
}

static enum rc prepare_output(const struct agent *a, struct err *e)
{
	const char *path = a->token_file;
	const char *slash = strrchr(path, '/');
	char *dir = path_dir(path);
	int fd = -1;
	enum rc rc = dir ? open_output(dir, &fd, e) : err_nomem(e);
	if (rc == RC_OK)
		rc = check_output(a, fd, slash ? slash + 1 : path, e);
	if (fd >= 0)
		close(fd);
	free(dir);
	return rc == RC_OK ? rc : err_wrap(e, rc, "the token for %s", path);
}

enum rc deliver_prepare(struct agent *a, struct err *e)
{
	scratch_sweep();
	enum rc rc =
		ways[a->o.how].prepare ? ways[a->o.how].prepare(a, e) : RC_OK;
	return rc == RC_OK && a->token_file ? prepare_output(a, e) : rc;
}

enum rc deliver_file(
	const struct agent *a, const struct handoff *h, struct err *e)
{
	struct buf text;
	if (a->openclaw)
		return openclaw_deliver(
			a->openclaw, h, agent_homeserver(a, h), e);
	if (!ways[a->o.how].text)
		return RC_OK;
	buf_init(&text, 2 * LIMIT_CONFIG_FILE);
	enum rc rc = ways[a->o.how].text(a, h, &text, e);
	if (rc == RC_OK)
		rc = file_replace(a->token_file, text.p, text.n, 0600, e);
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

void deliver_free(struct agent *a)
{
	template_free(a->filled);
	openclaw_free(a->openclaw);
}

const char *deliver_pause_command(const struct agent *a)
{
	return a->openclaw ? openclaw_pause(a->openclaw) : NULL;
}

const char *deliver_resume_command(const struct agent *a)
{
	return a->openclaw ? openclaw_resume(a->openclaw) : NULL;
}

/* --- the program's environment ---------------------------------------- */

/* The variables that are ours; all of them are strings on the heap, which is
 * how deliver_env_free() knows them. */
static const char *const ours[] = { "MATRIX_HOMESERVER", "MATRIX_USER_ID",
	"MATRIX_DEVICE_ID", "MATRIX_ACCESS_TOKEN", "MATRIX_ACCESS_TOKEN_FILE",
	OPENCLAW_ROOTS, OPENCLAW_WORKSPACE };

static bool is_ours(const char *variable)
{
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		size_t n = strlen(ours[i]);
		if (strncmp(variable, ours[i], n) == 0 && variable[n] == '=')
			return true;
	}
	return false;
}

/* What the program finds in our environment stays, but what is ours, and what
 * would overrule it. */
static bool is_dropped(const struct agent *a, const char *variable)
{
	return is_ours(variable) ||
		(a->openclaw && openclaw_overrules(variable));
}

static char *assign(const char *name, const char *value)
{
	size_t n = strlen(name) + strlen(value) + 2;
	char *s = malloc(n);
	if (s)
		snprintf(s, n, "%s=%s", name, value);
	return s;
}

/* Those that are ours, to the front of env; false: no memory. */
static bool assign_ours(const struct agent *a, char **env, size_t *used)
{
	const struct handoff *h = &a->now;
	const char *const values[ARRAY_LEN(ours)] = { agent_homeserver(a, h),
		h->user_id, h->device_id,
		a->o.how == FOR_ENV ? secret_bytes(&h->access_token) : NULL,
		a->o.how == FOR_FILE ? a->token_file : NULL,
		/* Where it is not ours to say, as we found it. */
		a->openclaw ? openclaw_roots(a->openclaw)
			    : getenv(OPENCLAW_ROOTS),
		a->openclaw ? openclaw_workspace(a->openclaw)
			    : getenv(OPENCLAW_WORKSPACE) };
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (!values[i])
			continue;
		env[*used] = assign(ours[i], values[i]);
		if (!env[*used])
			return false;
		(*used)++;
	}
	return true;
}

char **deliver_env(const struct agent *a)
{
	size_t n = 0, used = 0;
	while (environ[n])
		n++;
	char **env = calloc(n + ARRAY_LEN(ours) + 1, sizeof(*env));
	if (!env)
		return NULL;
	if (!assign_ours(a, env, &used)) {
		deliver_env_free(env);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_dropped(a, environ[i]))
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
