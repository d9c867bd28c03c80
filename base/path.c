/*
 * base/path.c: paths, and the directories on the way there.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#include "base/poison.h"

static enum rc make_dir(const char *path, unsigned mode, struct err *e)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return RC_OK;
	int error = errno;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return RC_OK;
		error = ENOTDIR;
	}
	return file_error(e, error, "cannot make the directory %s", path);
}

enum rc file_mkdirs(const char *path, unsigned mode, struct err *e)
{
	char *copy = strdup(path);
	enum rc rc = RC_OK;

	if (!copy)
		return err_nomem(e);
	/* Each parent in turn, by ending the string at its slash. */
	for (char *at = copy; rc == RC_OK && *at; at++) {
		if (*at != '/' || at == copy || at[-1] == '/')
			continue;
		*at = '\0';
		rc = make_dir(copy, mode, e);
		*at = '/';
	}
	if (rc == RC_OK)
		rc = make_dir(copy, mode, e);
	free(copy);
	return rc;
}

enum rc file_mkdirs_of(const char *path, unsigned mode, struct err *e)
{
	char *dir = path_dir(path);
	enum rc rc = dir ? file_mkdirs(dir, mode, e) : err_nomem(e);

	free(dir);
	return rc;
}

char *path_join(const char *base, const char *path)
{
	size_t n = strlen(base);

	if (path[0] == '/' || n == 0)
		return strdup(path);
	const char *slash = base[n - 1] == '/' ? "" : "/";
	size_t room = n + strlen(slash) + strlen(path) + 1;
	char *joined = malloc(room);
	if (joined)
		snprintf(joined, room, "%s%s%s", base, slash, path);
	return joined;
}

char *path_dir(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	while (n > 1 && path[n - 1] == '/')
		n--;
	return n == 0 ? strdup(".") : strndup(path, n);
}
