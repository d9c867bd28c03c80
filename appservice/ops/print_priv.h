/*
 * appservice/ops/print_priv.h: what the files that print documents share.
 */
#ifndef APPSERVICE_OPS_PRINT_PRIV_H
#define APPSERVICE_OPS_PRINT_PRIV_H

#include "base/arena.h"
#include "base/json.h"

#define MAX_COLUMNS 8

struct table {
	struct arena a;
	size_t columns;
	const char **cells; /* row by row, titles first */
	size_t n, cap;
};

/* The next one, from left to right; NULL is an empty one. */
void table_cell(struct table *t, const char *text);
void table_int(struct table *t, int64_t v);
void table_titles(struct table *t, size_t n, const char *const *names);
/* And frees it. */
void table_print(struct table *t);

/* A member that is a time; "" where there is none. */
const char *doc_when(struct arena *a, struct js row, const char *key);
/* A member that is a number, else 0. */
int64_t doc_number(struct js row, const char *key);
/* At most so many characters of what a stranger wrote, with nothing in it that
 * a terminal would obey. */
const char *doc_excerpt(struct arena *a, const char *text, size_t most);

/* print_agents.c */
void print_agents(struct js doc);
void print_doctor(struct js doc);

#endif
