/*
 * tests/fuzz/replay.c: gives a target each input of its corpus, as one test.
 * The program is called test_fuzz_NAME; given files, it takes these instead.
 * The last line before a crash is the input that it was.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "tests/fuzz/fuzz.h"

#include "base/poison.h"

#define PREFIX "test_fuzz_"

static char corpus[300];
static char **given;

static void replay(const char *path)
{
	struct buf text;
	struct err e = { 0 };

	buf_init(&text, LIMIT_TRANSACTION);
	assert_ok(file_read(path, &text, &e), e);
	printf("%s\n", path);
	fflush(stdout);
	/* A block of just this size: a byte too far is seen. */
	uint8_t *exact = malloc(text.n ? text.n : 1);
	assert_non_null(exact);
	if (text.n)
		memcpy(exact, text.p, text.n);
	LLVMFuzzerTestOneInput(exact, text.n);
	free(exact);
	buf_free(&text);
}

static int is_input(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void replay_corpus(void **state)
{
	struct dirent **entries = NULL;
	char path[600];

	(void)state;
	int n = scandir(corpus, &entries, is_input, alphasort);
	if (n < 1)
		fail_msg("%s: no input; run it from the top", corpus);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", corpus,
			entries[i]->d_name);
		replay(path);
		free(entries[i]);
	}
	free(entries);
}

static void replay_given(void **state)
{
	(void)state;
	for (char **path = given; *path; path++)
		replay(*path);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];
	bool named = strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0;

	snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s",
		named ? name + sizeof(PREFIX) - 1 : name);
	given = argv + 1;
	const struct CMUnitTest tests[] = {
		{ corpus, argc > 1 ? replay_given : replay_corpus, NULL, NULL,
			NULL },
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
