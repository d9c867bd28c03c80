/*
 * store/rows.c: rows as arrays in an arena, with texts that repeat kept once,
 * and sorted lists of names to compare rows with.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* Where s is, or where it would be put; cap is a power of two with room. */
static const char **slot_of(const char **slots, size_t cap, const char *s)
{
	size_t i = (size_t)text_hash(s) & (cap - 1);

	while (slots[i] && strcmp(slots[i], s) != 0)
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static bool intern_grow(struct intern *t)
{
	size_t cap = t->cap == 0 ? 256 : t->cap * 2;
	const char **slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i])
			*slot_of(slots, cap, t->slots[i]) = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->cap = cap;
	return true;
}

const char *intern(struct intern *t, const char *s)
{
	if (!s)
		return NULL;
	if (t->n >= t->cap / 4 * 3 && !intern_grow(t)) {
		t->a->failed = true;
		return NULL;
	}
	const char **slot = slot_of(t->slots, t->cap, s);
	if (!*slot) {
		*slot = arena_strdup(t->a, s);
		t->n += *slot != NULL;
	}
	return *slot;
}

void intern_fini(struct intern *t)
{
	free(t->slots);
	*t = (struct intern){ 0 };
}

/* The count saves the copies of an array that grows. */
enum rc rows_count(struct store *s, enum sql id, size_t *ret, struct err *e)
{
	bool row = false;

	if (id == SQL_STATEMENTS)
		return RC_OK;
	sqlite3_stmt *q = stmt_get(s, id, NO_ARGS);
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		*ret = (size_t)sqlite3_column_int64(q, 0);
	stmt_done(q);
	return rc;
}

enum rc rows_read(struct store *s, const struct rows *r, struct intern *t,
	void *ret, size_t *ret_n, struct err *e)
{
	void *array = NULL;
	size_t n = 0, cap = 0;

	enum rc rc = rows_count(s, r->count, &cap, e);
	if (rc != RC_OK)
		return rc;
	if (cap > 0)
		array = arena_array(t->a, cap, r->size);

	sqlite3_stmt *q = stmt_get(s, r->list, r->args, r->n_args);
	for (bool row = true; row && arena_ok(t->a);) {
		rc = stmt_step(s, q, &row, e);
		if (rc != RC_OK || !row)
			break;
		void *element = arena_push(t->a, &array, &n, &cap, r->size);
		if (element)
			r->read(q, element, t);
	}
	stmt_done(q);

	if (rc == RC_OK && !arena_ok(t->a))
		rc = err_nomem(e);
	if (rc == RC_OK) {
		memcpy(ret, &array, sizeof(array));
		*ret_n = n;
	}
	return rc;
}

enum rc store_list(struct store *s, const struct rows *r, struct arena *a,
	void *ret, size_t *n, struct err *e)
{
	struct intern t = { .a = a };

	store_lock(s);
	enum rc rc = rows_read(s, r, &t, ret, n, e);
	store_unlock(s);
	intern_fini(&t);
	return rc;
}

int64_t sql_limit(size_t limit)
{
	return limit > INT64_MAX ? INT64_MAX : (int64_t)limit;
}

static void read_name(sqlite3_stmt *q, void *element, struct intern *t)
{
	const char **name = element;

	*name = column_text(q, 0, t->a);
}

enum rc store_names(struct store *s, enum sql id, const struct arg *args,
	size_t n_args, struct arena *a, const char ***ret, size_t *n,
	struct err *e)
{
	const struct rows rows = {
		.list = id,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = n_args,
		.size = sizeof(**ret),
		.read = read_name,
	};

	return store_list(s, &rows, a, ret, n, e);
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

enum rc names_init(
	struct names *t, const char *const *v, size_t n, struct err *e)
{
	t->v = calloc(n + 1, sizeof(*t->v));
	t->n = n;
	if (!t->v)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		t->v[i] = v[i];
	qsort(t->v, n, sizeof(*t->v), by_name);
	return RC_OK;
}

bool names_has(const struct names *t, const char *name)
{
	return bsearch(&name, t->v, t->n, sizeof(*t->v), by_name) != NULL;
}

void names_fini(struct names *t)
{
	free(t->v);
	*t = (struct names){ 0 };
}
