/*
 * A transaction of the homeserver, committed: its events and its id in one
 * store transaction, so that a repetition is recognised whenever it comes.
 * Whether it is one is asked inside that transaction; of two at the same time
 * the second waits and finds what the first has done.
 */
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/clock.h"
#include "base/limits.h"

#include "base/poison.h"

/* Which transaction was refused last, how often, and the digest of its body:
 * "2 <hex> txn-id". */
#define NOTE_REFUSED "transaction_refused"
/* At this attempt it is set aside, or the queue would stand still for ever. */
#define LAST_ATTEMPT 3

/* An event that we keep state from may be redacted later. Once: a transaction
 * has room for 200,000 redactions. */
static enum rc apply_redaction(struct store *s, const struct batch_event *ev,
	bool *changed, struct err *e)
{
	struct arena a = { 0 };
	struct store_state state = { 0 };
	struct buf left;

	buf_init(&left, LIMIT_EVENT);
	enum rc rc = store_state_of_event(
		s, ev->room_id, ev->redacts, &a, &state, e);
	if (!rc)
		rc = redact_content(state.type, state.content, &left, e);
	if (!rc)
		rc = store_state_redact(
			s, ev->room_id, state.type, buf_str(&left), e);
	if (!rc)
		*changed = !text_eq(buf_str(&left), state.content);
	buf_free(&left);
	arena_free(&a);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static bool is_out(const struct batch_event *ev)
{
	return text_eq(ev->membership, "leave") ||
		text_eq(ev->membership, "ban");
}

/* Somebody is out of a room: by whom is what an agent's place there depends
 * on. */
static enum rc apply_removal(
	struct store *s, const struct batch_event *ev, struct err *e)
{
	const struct store_removal r = {
		.room_id = ev->room_id,
		.user_id = ev->user_id,
		.by = ev->sender,
		.ban = text_eq(ev->membership, "ban"),
		.at_ms = ev->origin_ts,
		.event_id = ev->event_id,
	};
	return store_removal_add(s, &r, e);
}

static enum rc apply_event(struct store *s, const struct batch_event *ev,
	bool *changed, struct err *e)
{
	if (ev->redacts)
		return apply_redaction(s, ev, changed, e);
	if (ev->mentions)
		return mentions_apply(s, ev, changed, e);
	if (!ev->membership)
		return store_state_set(s, ev->room_id, ev->type, ev->content,
			ev->event_id, ev->sender, ev->origin_ts, changed, e);
	struct store_membership m = {
		.room_id = ev->room_id,
		.user_id = ev->user_id,
		.membership = ev->membership,
		.event_id = ev->event_id,
		.origin_ts = ev->origin_ts,
		.source = "event",
	};
	enum rc rc = is_out(ev) ? apply_removal(s, ev, e) : RC_OK;
	return rc ? rc : store_membership_set(s, &m, changed, e);
}

enum rc batch_apply(struct store *s, const struct batch *b,
	struct intake_result *ret, struct err *e)
{
	for (size_t i = 0; i < b->n; i++) {
		bool changed = false;
		enum rc rc = apply_event(s, &b->events[i], &changed, e);
		/* Of other rooms the plan knows nothing. */
		ret->changed |= changed && b->events[i].mentions;
		if (!rc && changed && !ret->changed)
			rc = store_room_has_key(
				s, b->events[i].room_id, &ret->changed, e);
		if (rc)
			return rc;
		ret->applied++;
	}
	return RC_OK;
}

enum rc batch_quarantine(struct store *s, const char *txn_id,
	const struct batch *b, struct err *e)
{
	for (size_t i = 0; i < b->n_bad; i++) {
		struct store_quarantined q = {
			.txn_id = txn_id,
			.index = b->bad[i].index,
			.bytes = b->bad[i].bytes,
			.reason = b->bad[i].reason,
			.received_ms = b->now_ms,
			.partial = b->bad[i].partial,
		};
		enum rc rc = store_quarantine_add(s, &q, e);
		if (rc)
			return rc;
	}
	if (b->bad_seen > b->n_bad)
		return store_quarantine_skip(
			s, (int64_t)(b->bad_seen - b->n_bad), e);
	return RC_OK;
}

struct store_txn_counts batch_counts(
	const struct batch *b, const struct intake_result *r)
{
	const size_t *n = b->extras.n;

	return (struct store_txn_counts){
		.events = (int64_t)b->seen,
		.applied = (int64_t)r->applied,
		.quarantined = (int64_t)b->bad_seen,
		.ephemeral = (int64_t)n[EXTRA_EPHEMERAL],
		.to_device = (int64_t)n[EXTRA_TO_DEVICE],
		.device_lists = (int64_t)n[EXTRA_DEVICE_LISTS],
		.key_counts =
			(int64_t)(n[EXTRA_KEY_COUNTS] + n[EXTRA_FALLBACK_KEYS]),
	};
}

static enum rc count(struct store *s, struct store_txn_counts more,
	int64_t now_ms, struct err *e)
{
	more.seen = 1;
	more.last_ms = now_ms;
	return store_txn_count(s, &more, e);
}

static enum rc count_repeated(struct store *s, int64_t now_ms, struct err *e)
{
	return count(s, (struct store_txn_counts){ .repeated = 1 }, now_ms, e);
}

/* Everything between begin and commit. */
static enum rc write_batch(struct store *s, const char *txn_id,
	const struct batch *b, struct intake_result *ret, struct err *e)
{
	ret->events = b->seen;
	ret->repeated = store_txn_seen(s, txn_id, b->digest);
	if (ret->repeated)
		return count_repeated(s, b->now_ms, e);
	ret->quarantined = b->bad_seen;
	enum rc rc = batch_apply(s, b, ret, e);
	if (!rc)
		rc = batch_quarantine(s, txn_id, b, e);
	if (!rc)
		rc = store_txn_add(s, txn_id, b->digest, b->now_ms, e);
	return rc ? rc : count(s, batch_counts(b, ret), b->now_ms, e);
}

static enum rc end(struct store *s, enum rc rc, struct err *e)
{
	if (!rc)
		rc = store_commit(s, e);
	if (rc)
		store_rollback(s);
	return rc;
}

/* The note of the last refusal. */
struct refusals {
	const char *txn_id; /* NULL: nothing was refused */
	int64_t times;
	struct str digest; /* of the body, in hex */
};

static enum rc read_refusals(
	struct store *s, struct arena *a, struct refusals *ret, struct err *e)
{
	const char *note = NULL;
	enum rc rc = store_note_get(s, NOTE_REFUSED, a, &note, e);

	*ret = (struct refusals){ .txn_id = NULL };
	if (rc || !note)
		return rc;
	struct str rest = str_of(note);
	struct str times = str_cut(&rest, ' ', NULL);
	ret->digest = str_cut(&rest, ' ', NULL);
	if (str_i64(times, 1, LAST_ATTEMPT, &ret->times))
		ret->txn_id = rest.p;
	return RC_OK;
}

/* A transaction that comes whole at last begins to count anew. */
static enum rc forget_refusals(
	struct intake *in, const char *txn_id, struct err *e)
{
	struct refusals r = { .txn_id = NULL };
	struct arena a = { 0 };

	if (atomic_load(&in->nothing_refused))
		return RC_OK;
	enum rc rc = read_refusals(in->store, &a, &r, e);
	if (!rc && text_eq(r.txn_id, txn_id))
		rc = store_note_set(in->store, NOTE_REFUSED, NULL, e);
	else if (!rc && !r.txn_id)
		atomic_store(&in->nothing_refused, true);
	arena_free(&a);
	return rc;
}

static enum rc set_all_aside(struct store *s, const char *txn_id,
	struct str body, const char *reason, struct arena *a, struct err *e)
{
	struct store_quarantined q = {
		.txn_id = txn_id,
		.index = -1,
		.reason = reason,
		.received_ms = clock_wall_ms(),
	};
	q.bytes = batch_excerpt(a, body, &q.partial);

	if (!q.bytes)
		return err_nomem(e);
	enum rc rc = store_quarantine_add(s, &q, e);
	return rc ? rc
		  : count(s, (struct store_txn_counts){ .quarantined = 1 },
			    q.received_ms, e);
}

/* How often this transaction was refused before. Its body may differ a little
 * each time (Synapse tells how old its events are), but when it was set aside
 * already and our 200 did not arrive, it must be that one. */
static int64_t times_before(const struct refusals *r, const char *txn_id,
	const char *digest, bool *again)
{
	bool set_aside = r->times == LAST_ATTEMPT;

	*again = false;
	if (!text_eq(r->txn_id, txn_id))
		return 0;
	*again = set_aside && str_eq(r->digest, digest);
	return set_aside ? 0 : r->times;
}

static enum rc note_refusal(struct store *s, const char *txn_id,
	const char *digest, int64_t times, struct arena *a, struct err *e)
{
	const char *note =
		arena_printf(a, "%d %s %s", (int)times, digest, txn_id);

	return note ? store_note_set(s, NOTE_REFUSED, note, e) : err_nomem(e);
}

/* Everything between begin and commit for a body that cannot be used. */
static enum rc write_refusal(struct store *s, const char *txn_id,
	struct str body, const char *reason, struct intake_result *ret,
	struct err *e)
{
	const struct store_txn_counts refused = { .refused = 1 };
	struct refusals r = { .txn_id = NULL };
	struct arena a = { 0 };
	char digest[SHA256_HEX];

	if (!sha256_hex(body.p, body.n, digest))
		return err_nomem(e);
	enum rc rc = read_refusals(s, &a, &r, e);
	int64_t times = times_before(&r, txn_id, digest, &ret->repeated) + 1;
	if (!rc && ret->repeated)
		rc = count_repeated(s, clock_wall_ms(), e);
	else if (!rc)
		rc = note_refusal(s, txn_id, digest, times, &a, e);
	if (!rc && !ret->repeated && times == LAST_ATTEMPT) {
		ret->quarantined = 1;
		rc = set_all_aside(s, txn_id, body, reason, &a, e);
	} else if (!rc && !ret->repeated) {
		rc = store_txn_count(s, &refused, e);
	}
	arena_free(&a);
	return rc;
}

/*
 * Of a transaction without anything to keep only the id is written, and of one
 * that was repeated only that it was. After a power cut, which takes them away,
 * it may come once more, and again has no effect. So nobody has to wait for the
 * disk: most of what a homeserver sends is messages.
 */
static enum rc begin(struct store *s, const char *txn_id, const struct batch *b,
	struct err *e)
{
	bool light =
		(!b->n && !b->bad_seen) || store_txn_seen(s, txn_id, b->digest);

	return light ? store_begin_light(s, e) : store_begin(s, e);
}

/* A body that cannot be used is refused, so that one that was cut off comes
 * again whole; but not for ever. */
static enum rc refuse(struct intake *in, const char *txn_id, struct str body,
	struct intake_result *ret, struct err *e)
{
	struct store *s = in->store;
	struct err why = e ? *e : (struct err){ .text = "not usable" };

	enum rc rc = store_begin(s, e);
	if (rc)
		return rc;
	atomic_store(&in->nothing_refused, false);
	rc = write_refusal(s, txn_id, body, why.text, ret, e);
	rc = end(s, rc, e);
	if (rc || ret->quarantined || ret->repeated)
		return rc;
	return err_set(e, RC_INVALID, "%s", why.text);
}

enum rc intake_transaction(struct intake *in, const char *txn_id,
	const char *body, size_t n, struct intake_result *ret, struct err *e)
{
	struct str text = { body, n };
	struct intake_result result = { 0 };
	struct batch b;

	enum rc rc = batch_read(&b, text, clock_wall_ms(),
		in->mentions && atomic_load(in->mentions), &result.not_json, e);
	if (rc == RC_INVALID) {
		rc = refuse(in, txn_id, text, &result, e);
		goto out;
	}
	if (!rc)
		rc = begin(in->store, txn_id, &b, e);
	if (rc)
		goto out;
	rc = write_batch(in->store, txn_id, &b, &result, e);
	if (!rc)
		rc = forget_refusals(in, txn_id, e);
	rc = end(in->store, rc, e);
out:
	batch_free(&b);
	if (!rc || rc == RC_INVALID)
		*ret = result;
	return rc;
}
