/*
 * store/window.c: the last transactions of the homeserver. They are rows, and
 * in memory, where each new one is looked for: a hash of its id, and the
 * beginning of its digest, which no two different lists of events share.
 */
#include <string.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static struct window_entry entry_of(
	const char *txn_id, const unsigned char digest[SHA256_LEN])
{
	struct window_entry entry = { .id = text_hash(txn_id) };

	memcpy(&entry.digest, digest, sizeof(entry.digest));
	return entry;
}

static bool same(struct window_entry a, struct window_entry b)
{
	return a.id == b.id && a.digest == b.digest;
}

/* First of a chain of entries; 0: none, else the slot and one. */
static uint16_t *chain_of(struct window *w, struct window_entry entry)
{
	return &w->first[(entry.id ^ entry.digest) % ARRAY_LEN(w->first)];
}

static void unlink_slot(struct window *w, size_t slot)
{
	uint16_t *link = chain_of(w, w->entries[slot]);

	while (*link && *link != slot + 1)
		link = &w->next[*link - 1];
	if (*link)
		*link = w->next[slot];
}

static void put(struct window *w, int64_t seq, struct window_entry entry)
{
	size_t slot = (size_t)(seq % STORE_TXN_WINDOW);
	uint16_t *first;

	unlink_slot(w, slot);
	first = chain_of(w, entry);
	w->entries[slot] = entry;
	w->next[slot] = *first;
	*first = (uint16_t)(slot + 1);
	w->last_seq = seq;
}

bool window_has(struct window *w, const char *txn_id,
	const unsigned char digest[SHA256_LEN])
{
	struct window_entry entry = entry_of(txn_id, digest);

	for (uint16_t at = *chain_of(w, entry); at; at = w->next[at - 1])
		if (same(w->entries[at - 1], entry))
			return true;
	return false;
}

int64_t window_add(struct window *w, const char *txn_id,
	const unsigned char digest[SHA256_LEN])
{
	put(w, w->last_seq + 1, entry_of(txn_id, digest));
	w->unsure = true;
	return w->last_seq;
}

void window_settle(struct window *w, bool committed)
{
	w->stale |= w->unsure && !committed;
	w->unsure = false;
}

static enum rc read_rows(
	struct window *w, struct store *s, sqlite3_stmt *q, struct err *e)
{
	bool row = false;
	enum rc rc = stmt_step(s, q, &row, e);

	while (rc == RC_OK && row) {
		const char *id = (const char *)sqlite3_column_text(q, 1);
		const void *digest = sqlite3_column_blob(q, 2);
		if (!id || !digest)
			return err_nomem(e);
		put(w, sqlite3_column_int64(q, 0), entry_of(id, digest));
		rc = stmt_step(s, q, &row, e);
	}
	return rc;
}

enum rc window_load(struct store *s, struct err *e)
{
	s->window = (struct window){ .stale = true };
	sqlite3_stmt *q = stmt_get(s, SQL_TXN_WINDOW, NO_ARGS);
	enum rc rc = read_rows(&s->window, s, q, e);
	stmt_done(q);
	s->window.stale = rc != RC_OK;
	return rc;
}
