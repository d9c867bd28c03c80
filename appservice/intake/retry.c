/*
 * Reads what is in quarantine again, as the program reads events by now: one
 * event, or the whole of a transaction that was no JSON. What can be read has
 * its effect and leaves the quarantine in one store transaction; by its time,
 * as ever: what came later wins.
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/clock.h"
#include "base/limits.h"

#include "base/poison.h"

static const char partial_words[] =
	"what is kept of it is not all that came, or not as it came: it "
	"cannot be read again";

struct again {
	struct store *store;
	struct store_quarantined row;
	struct arena *a;
	struct batch b;
	struct intake_retry *ret;
};

static bool is_whole(const struct again *g)
{
	return g->row.index < 0;
}

/* It stays, with these words. */
static enum rc stays(struct again *g, const char *why, struct err *e)
{
	g->ret->reason = arena_strdup(g->a, why ? why : g->row.reason);
	if (!g->ret->reason)
		return err_nomem(e);
	if (g->row.partial)
		return RC_OK;
	return store_quarantine_reason(g->store, g->row.id, g->ret->reason, e);
}

/* A transaction is remembered, so that it has no second effect should it come
 * once more after all. */
static enum rc fold_whole(
	struct again *g, struct intake_result *r, bool *known, struct err *e)
{
	const char *txn = g->row.txn_id;

	*known = store_txn_seen(g->store, txn, g->b.digest);
	if (*known)
		return RC_OK;
	enum rc rc = batch_apply(g->store, &g->b, r, e);
	if (!rc)
		rc = batch_quarantine(g->store, txn, &g->b, e);
	if (!rc)
		rc = store_txn_add(
			g->store, txn, g->b.digest, g->row.received_ms, e);
	return rc;
}

/* Its event was counted when it came, but not as applied. */
static struct store_txn_counts counts_of(
	const struct again *g, const struct intake_result *r)
{
	if (is_whole(g))
		return batch_counts(&g->b, r);
	return (struct store_txn_counts){ .applied = (int64_t)r->applied };
}

static enum rc leaves(struct again *g, struct err *e)
{
	struct intake_result r = { 0 };
	bool known = false;

	enum rc rc = store_quarantine_remove(g->store, g->row.id, e);
	if (!rc)
		rc = is_whole(g) ? fold_whole(g, &r, &known, e)
				 : batch_apply(g->store, &g->b, &r, e);
	if (!rc && !known) {
		const struct store_txn_counts more = counts_of(g, &r);
		rc = store_txn_count(g->store, &more, e);
	}
	if (rc)
		return rc;
	g->ret->left = true;
	g->ret->changed = r.changed;
	g->ret->events = g->b.seen;
	g->ret->applied = r.applied;
	g->ret->quarantined = g->b.bad_seen;
	return RC_OK;
}

/* An event is read as the only one of a transaction. */
static enum rc read_again(struct again *g, struct err *e)
{
	struct buf text;
	bool not_json = false;

	buf_init(&text, 2 * LIMIT_EVENT);
	buf_addf(&text, is_whole(g) ? "%s" : "{\"events\":[%s]}", g->row.bytes);
	enum rc rc = buf_rc(&text);
	if (rc)
		err_nomem(e);
	else
		rc = batch_read(&g->b, (struct str){ text.p, text.n },
			g->row.received_ms, false, &not_json, e);
	buf_free(&text);
	return rc;
}

static enum rc audit(const struct again *g, struct err *e)
{
	const struct intake_retry *r = g->ret;
	const char *subject = arena_printf(g->a, "%lld", (long long)g->row.id);
	const char *detail = r->left
		? arena_printf(g->a,
			  "read: %zu events, %zu applied, %zu quarantined",
			  r->events, r->applied, r->quarantined)
		: arena_printf(g->a, "stays: %s", r->reason);
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "operator",
		.action = "quarantine_retry",
		.subject = subject,
		.detail = detail };

	if (!subject || !detail)
		return err_nomem(e);
	return store_audit_add(g->store, &row, e);
}

/* Everything between begin and commit. */
static enum rc retry(struct again *g, int64_t id, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = store_quarantine_get(g->store, id, g->a, &g->row, e);
	if (rc)
		return rc;
	if (g->row.partial) {
		rc = stays(g, partial_words, e);
		return rc ? rc : audit(g, e);
	}
	rc = read_again(g, &why);
	if (rc == RC_INVALID)
		rc = stays(g, why.text, e);
	else if (rc)
		return err_set(e, rc, "%s", why.text);
	else if (!is_whole(g) && g->b.bad_seen)
		rc = stays(g, g->b.bad[0].reason, e);
	else
		rc = leaves(g, e);
	return rc ? rc : audit(g, e);
}

enum rc intake_retry(struct store *s, int64_t id, struct arena *a,
	struct intake_retry *ret, struct err *e)
{
	struct intake_retry result = { 0 };
	struct again g = { .store = s, .a = a, .ret = &result };

	enum rc rc = store_begin(s, e);
	if (rc)
		return rc;
	rc = retry(&g, id, e);
	if (!rc)
		rc = store_commit(s, e);
	store_rollback(s);
	batch_free(&g.b);
	if (!rc)
		*ret = result;
	return rc;
}
