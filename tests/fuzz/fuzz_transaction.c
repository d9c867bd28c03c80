/*
 * The body of a transaction, and all that is done with it: what a homeserver
 * sends again has no second effect, what is refused none at all but at its
 * third time, and whatever gets into the store is text.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"

#include "base/poison.h"

#define OTHER                                                                  \
	"{\"events\":[{\"type\":\"m.room.member\","                            \
	"\"event_id\":\"$another-than-any\",\"room_id\":\"!another:hs\","      \
	"\"sender\":\"@another:hs\",\"state_key\":\"@another:hs\","            \
	"\"origin_server_ts\":1,"                                              \
	"\"content\":{\"membership\":\"join\"}}]}"

#define MEMBERSHIPS                                                            \
	"SELECT room_id, user_id, membership FROM membership "                 \
	"ORDER BY room_id, user_id"
#define STATES                                                                 \
	"SELECT room_id, type, content, event_id, origin_ts "                  \
	"FROM room_state ORDER BY room_id, type"
/* Of the rooms that the plan knows. */
#define OURS                                                                   \
	"SELECT (SELECT count(*) FROM membership WHERE room_id IN "            \
	"('!r:hs', '!another:hs')) + (SELECT count(*) FROM room_state "        \
	"WHERE room_id IN ('!r:hs', '!another:hs'))"
/* A time that has not come yet is when it was read. */
#define TIMELESS                                                               \
	"SELECT room_id, type, content, event_id FROM room_state "             \
	"ORDER BY room_id, type"
#define NEWEST_KEPT                                                            \
	"SELECT txn_id, reason, bytes FROM quarantine "                        \
	"ORDER BY id DESC LIMIT 20"
#define LAST_KEPT "SELECT coalesce(max(id), 0) FROM quarantine"
#define KEPT "SELECT count(*) FROM quarantine WHERE id > ?1"
#define KEPT_WHOLE KEPT " AND event_index = -1"

/* A body under an id that no other input has. */
struct sent {
	struct intake in;
	char txn[32];
	const char *body;
	size_t n;
	struct store_txn_counts before;
	int64_t last_kept;
};

static enum rc take(struct sent *s, struct intake_result *r)
{
	struct err e = { 0 };

	*r = (struct intake_result){ 0 };
	enum rc rc = intake_transaction(&s->in, s->txn, s->body, s->n, r, &e);
	if (rc != RC_OK && rc != RC_INVALID)
		fuzz_broken(s->txn, 0, e.text);
	HOLDS(rc == RC_OK || fuzz_is_clean(e.text));
	return rc;
}

static struct store_txn_counts counts(const struct sent *s)
{
	struct store_txn_counts c = { 0 };

	HOLDS(store_txn_counts(s->in.store, &c, NULL) == RC_OK);
	return c;
}

static bool counted(const struct sent *s, int64_t seen, int64_t repeated,
	size_t events, size_t quarantined)
{
	struct store_txn_counts c = counts(s);

	return c.seen == s->before.seen + seen &&
		c.repeated == s->before.repeated + repeated &&
		c.events == s->before.events + (int64_t)events &&
		c.quarantined == s->before.quarantined + (int64_t)quarantined;
}

/* What went into quarantine since. */
static int64_t kept(const struct sent *s)
{
	return fuzz_sql(KEPT, s->last_kept);
}

/* --- what is in the store ------------------------------------------------- */

static struct sha256 sum;
static size_t texts;

static void add_text(const char *p, size_t n)
{
	HOLDS(strlen(p) == n && utf8_valid(p, n, NULL));
	sha256_add(&sum, p, n + 1);
	texts++;
}

struct holds {
	unsigned char sum[SHA256_LEN];
	size_t texts;
};

static struct holds look_at(const char *memberships, const char *states)
{
	struct holds h;

	texts = 0;
	sha256_begin(&sum);
	fuzz_sql_texts(memberships, add_text);
	fuzz_sql_texts(states, add_text);
	h.texts = texts;
	HOLDS(sha256_end(&sum, h.sum));
	return h;
}

static struct holds look(void)
{
	return look_at(MEMBERSHIPS, STATES);
}

static bool same(const struct holds *a, const struct holds *b)
{
	return memcmp(a->sum, b->sum, sizeof(a->sum)) == 0;
}

static bool is_as(const struct holds *before)
{
	struct holds now = look();

	return same(&now, before);
}

static void check_kept_texts(void)
{
	sha256_begin(&sum);
	fuzz_sql_texts(NEWEST_KEPT, add_text);
	unsigned char ignored[SHA256_LEN];
	HOLDS(sha256_end(&sum, ignored));
}

static enum rc make_room(
	struct store *s, const char *key, const char *room_id, struct err *e)
{
	const struct store_room room = { .key = key };

	enum rc rc = store_room_declare(s, &room, e);
	return rc ? rc : store_room_found(s, key, room_id, NULL, e);
}

/* As on a homeserver that nothing has happened on yet, but that two rooms of
 * ours are there. */
static void forget(struct store *s)
{
	struct err e = { 0 };

	HOLDS(store_begin(s, &e) == RC_OK);
	HOLDS(store_forget(s, &e) == RC_OK);
	HOLDS(make_room(s, "#r:hs", "!r:hs", &e) == RC_OK);
	HOLDS(make_room(s, "#another:hs", "!another:hs", &e) == RC_OK);
	HOLDS(store_commit(s, &e) == RC_OK);
}

/* --- the two ways --------------------------------------------------------- */

/* What could not be read cannot be read by the same program later. */
static void check_retry(struct sent *s, const struct holds *held)
{
	struct intake_retry r = { 0 };
	struct arena a = { 0 };
	struct err e = { 0 };
	int64_t id = fuzz_sql(LAST_KEPT, 0), were = kept(s);
	const struct store_txn_counts before = counts(s);

	if (intake_retry(s->in.store, id, &a, &r, &e) != RC_OK)
		fuzz_broken("retried", 0, e.text);
	const struct store_txn_counts after = counts(s);
	HOLDS(!r.left && !r.changed && !r.applied);
	HOLDS(r.reason && *r.reason && fuzz_is_clean(r.reason));
	HOLDS(is_as(held) && kept(s) == were);
	HOLDS(!memcmp(&before, &after, sizeof(before)));
	arena_free(&a);
}

/* A homeserver that counts from one again. */
static void check_other(struct sent *s, const struct holds *held)
{
	struct intake_result r;

	s->body = OTHER;
	s->n = strlen(OTHER);
	HOLDS(take(s, &r) == RC_OK && !r.repeated);
	HOLDS(r.applied == 1 && r.changed && !is_as(held));
}

/* So many commits an input is worth. */
#define ALONE_MAX 12

/* Each event in a transaction of its own: what is wrong with one costs the
 * others nothing. */
static void check_alone(struct sent *s, struct str body, size_t bad)
{
	struct str events, event;
	struct extras extras = { 0 };
	struct intake_result r;
	bool not_json = false;
	const struct holds at_once = look_at(MEMBERSHIPS, TIMELESS);
	size_t length = strlen(s->txn), n = 0;

	forget(s->in.store);
	HOLDS(split_begin(body, &events, &extras, &not_json, NULL) == RC_OK);
	while (split_next(&events, &event)) {
		struct buf alone;
		buf_init(&alone, 1 << 24);
		buf_add(&alone, "{\"events\":[");
		buf_addn(&alone, event.p, event.n);
		buf_add(&alone, "]}");
		s->body = alone.p;
		s->n = alone.n;
		snprintf(s->txn + length, sizeof(s->txn) - length, ".%zu", n++);
		HOLDS(take(s, &r) == RC_OK && !r.repeated && r.events == 1);
		HOLDS(r.quarantined <= bad);
		bad -= r.quarantined;
		buf_free(&alone);
	}
	HOLDS(bad == 0);
	const struct holds one_by_one = look_at(MEMBERSHIPS, TIMELESS);
	HOLDS(same(&at_once, &one_by_one));
}

static bool may_redact(const struct sent *s)
{
	return fuzz_has(s->body, s->n, "redact") ||
		fuzz_has(s->body, s->n, "\\u");
}

static void check_taken(struct sent *s, const struct intake_result *first)
{
	struct intake_result r;
	struct holds held = look();
	const struct str body = { s->body, s->n };
	size_t bad = first->quarantined;
	int64_t want = bad < 1000 ? (int64_t)bad : 1000;

	HOLDS(!first->repeated && !first->not_json);
	HOLDS(first->applied + bad <= first->events);
	HOLDS(first->changed == (fuzz_sql(OURS, 0) > 0));
	HOLDS(first->applied > 0 || !held.texts);
	/* What is redacted may never have been there. */
	if (!may_redact(s))
		HOLDS(!first->applied == !held.texts);
	HOLDS(counted(s, 1, 0, first->events, bad));
	HOLDS(counts(s).applied == s->before.applied + (int64_t)first->applied);
	HOLDS(kept(s) == want);
	for (int64_t again = 1; again <= 2; again++) {
		HOLDS(take(s, &r) == RC_OK && r.repeated);
		HOLDS(!r.changed && !r.applied && !r.quarantined);
		HOLDS(counted(s, 1 + again, again, first->events, bad));
		HOLDS(is_as(&held) && kept(s) == want);
	}
	if (bad)
		check_retry(s, &held);
	if (first->events > 1 && first->events <= ALONE_MAX)
		check_alone(s, body, bad);
	else
		check_other(s, &held);
}

static void check_refused(struct sent *s, const struct holds *before)
{
	struct intake_result r;

	HOLDS(is_as(before) && counted(s, 0, 0, 0, 0));
	HOLDS(kept(s) == 0);
	HOLDS(take(s, &r) == RC_INVALID && !r.repeated);
	HOLDS(is_as(before) && counted(s, 0, 0, 0, 0));
	HOLDS(kept(s) == 0);
	HOLDS(take(s, &r) == RC_OK && !r.repeated && r.quarantined == 1);
	HOLDS(is_as(before) && counted(s, 1, 0, 0, 1));
	HOLDS(kept(s) == 1);
	HOLDS(fuzz_sql(KEPT_WHOLE, s->last_kept) == 1);
	HOLDS(take(s, &r) == RC_OK && r.repeated);
	HOLDS(is_as(before) && counted(s, 2, 1, 0, 1));
	HOLDS(kept(s) == 1);
	check_retry(s, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int number;
	struct sent s = {
		.in = { .store = fuzz_store() },
		.body = (const char *)p,
		.n = n,
	};
	struct intake_result r;

	snprintf(s.txn, sizeof(s.txn), "input %d", ++number);
	forget(s.in.store);
	s.before = counts(&s);
	s.last_kept = fuzz_sql(LAST_KEPT, 0);
	struct holds empty = look();
	HOLDS(!empty.texts);
	if (take(&s, &r) == RC_OK)
		check_taken(&s, &r);
	else
		check_refused(&s, &empty);
	check_kept_texts();
	return 0;
}
