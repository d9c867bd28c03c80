/*
 * store/audit.c: who did what, when. Rows are only ever added: triggers refuse
 * anything else.
 */
#include "store/store_priv.h"

#include "base/poison.h"

enum rc store_audit_add(
	struct store *s, const struct store_audit *row, struct err *e)
{
	return store_write(s, SQL_AUDIT_ADD,
		ARGS(N(row->ms), T(row->actor), T(row->action), T(row->subject),
			T(row->detail)),
		e);
}

static void read_audit(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_audit *row = element;

	*row = (struct store_audit){
		.ms = sqlite3_column_int64(q, 0),
		.actor = column_intern(q, 1, t),
		.action = column_intern(q, 2, t),
		.subject = column_intern(q, 3, t),
		.detail = column_text(q, 4, t->a),
	};
}

enum rc store_audit_list(struct store *s, size_t limit, struct arena *a,
	struct store_audit **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { N(sql_limit(limit)) };
	const struct rows rows = {
		.list = SQL_AUDIT_LIST,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = ARRAY_LEN(args),
		.size = sizeof(**ret),
		.read = read_audit,
	};

	return store_list(s, &rows, a, ret, n, e);
}
