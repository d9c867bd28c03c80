/*
 * tests/fuzz/fuzz.h: what the fuzz targets share. A target is a file
 * fuzz_NAME.c with LLVMFuzzerTestOneInput(), which is given an input and checks
 * what must hold whatever the input is. libFuzzer makes inputs up (`make
 * fuzz`); replay.c takes those of corpus/NAME/ (`make test`).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdnoreturn.h>

#include "base/arena.h"
#include "base/str.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Ends the program with the words what does not hold. */
#define HOLDS(x) ((x) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #x))
noreturn void fuzz_broken(const char *file, int line, const char *what);

/* The input up to its first NUL, as a string; to be freed. */
char *fuzz_text(const uint8_t *p, size_t n);
/* The text stands somewhere in it. */
bool fuzz_has(const void *p, size_t n, const char *text);
/* Takes a line off. */
struct str fuzz_line(struct str *rest);

/* The whole text matches an extended regular expression. Which is compiled
 * once for each place it stands at. */
#define MATCHES(pattern, text)                                                 \
	__extension__({                                                        \
		static void *compiled;                                         \
		fuzz_matches(&compiled, "^(" pattern ")$", text);              \
	})
bool fuzz_matches(void **compiled, const char *pattern, const char *text);
/* "[host]:port" as Matrix has it, told by other means than id.c's. */
bool fuzz_is_server(const char *text);
/* UTF-8 without NUL and control characters. */
bool fuzz_is_clean(const char *text);

/* A folder that goes with the program. */
const char *fuzz_dir(void);
/* A store in it, opened at the first call. */
struct store *fuzz_store(void);

/* The first column of the first row of a query on the store's file, by a
 * connection of its own; the parameter ?1, if it has one, is `number`. */
int64_t fuzz_sql(const char *sql, int64_t number);
/* Calls fn for each text of each row. */
void fuzz_sql_texts(const char *sql, void (*fn)(const char *p, size_t n));

#endif
