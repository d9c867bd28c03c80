/*
 * tests/unit/folder.c: a folder for one test, and the files in it.
 */
#include "tests/unit/folder.h"

#include <sys/stat.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"

#include "base/poison.h"

static char folder[256];
static struct buf text;

int folder_make(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof(folder), "%s/muster-test-XXXXXX",
		tmp && *tmp ? tmp : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

void folder_remove_all(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *entry;
	char inner[1024];

	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (unlink(inner) != 0)
			folder_remove_all(inner);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

int folder_remove(void **state)
{
	(void)state;
	folder_remove_all(folder);
	buf_free(&text);
	return 0;
}

const char *in_folder(const char *name)
{
	static char paths[4][1024];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void put_file(const char *name, const char *what)
{
	struct err e = { 0 };
	char *dir = path_dir(in_folder(name));

	assert_non_null(dir);
	assert_ok(file_mkdirs(dir, 0700, &e), e);
	assert_ok(
		file_replace(in_folder(name), what, strlen(what), 0644, &e), e);
	free(dir);
}

const char *file_text(const char *name)
{
	buf_free(&text);
	buf_init(&text, 8 * MIB);
	if (file_read(in_folder(name), &text, NULL) != RC_OK)
		return NULL;
	return buf_str(&text);
}

unsigned file_mode(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(in_folder(name), &st), 0);
	return st.st_mode & 07777;
}
