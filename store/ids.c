/*
 * store/ids.c: the numbers of room and user ids. The newest of them are known
 * without asking the database: a transaction of thirty member events would ask
 * sixty times, mostly for the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static struct known_id *place_of(struct ids *t, const char *id)
{
	return &t->known[text_hash(id) % ARRAY_LEN(t->known)];
}

static bool look_up(struct ids *t, const char *id, int64_t *no)
{
	const struct known_id *k = place_of(t, id);

	if (!k->id || strcmp(k->id, id) != 0)
		return false;
	*no = k->no;
	return true;
}

/* Takes the place of another. What cannot be kept is asked for again. */
static void keep(struct ids *t, const char *id, int64_t no)
{
	struct known_id *k = place_of(t, id);
	char *copy = strdup(id);

	if (!copy)
		return;
	free(k->id);
	*k = (struct known_id){ .id = copy, .no = no };
}

static enum rc ask(struct store *s, const char *id, int64_t *no, struct err *e)
{
	bool row = false;
	sqlite3_stmt *q = stmt_get(s, SQL_ID_GET, ARGS(T(id)));
	enum rc rc = stmt_step(s, q, &row, e);

	*no = rc == RC_OK && row ? sqlite3_column_int64(q, 0) : 0;
	stmt_done(q);
	return rc;
}

enum rc id_number(struct store *s, const char *id, int64_t *no, struct err *e)
{
	if (look_up(&s->ids, id, no))
		return RC_OK;
	enum rc rc = ask(s, id, no, e);
	if (rc == RC_OK && *no)
		keep(&s->ids, id, *no);
	return rc;
}

enum rc id_number_make(
	struct store *s, const char *id, int64_t *no, struct err *e)
{
	enum rc rc = id_number(s, id, no, e);

	if (rc != RC_OK || *no)
		return rc;
	rc = store_write(s, SQL_ID_ADD, ARGS(T(id)), e);
	if (rc != RC_OK)
		return rc;
	*no = sqlite3_last_insert_rowid(s->db);
	s->ids.unsure = true;
	keep(&s->ids, id, *no);
	return RC_OK;
}

void ids_rooms_changed(struct ids *t)
{
	t->rooms++;
}

static enum rc ask_key(
	struct store *s, const char *room_id, bool *ret, struct err *e)
{
	sqlite3_stmt *q = stmt_get(s, SQL_ROOM_HAS_KEY, ARGS(T(room_id)));
	enum rc rc = stmt_step(s, q, ret, e);

	stmt_done(q);
	return rc;
}

static enum rc has_key(
	struct store *s, const char *room_id, bool *ret, struct err *e)
{
	struct known_id *k = place_of(&s->ids, room_id);
	bool known = k->id && strcmp(k->id, room_id) == 0;

	if (known && k->looked == s->ids.rooms + 1) {
		*ret = k->has_key;
		return RC_OK;
	}
	enum rc rc = ask_key(s, room_id, ret, e);
	if (rc == RC_OK && known) {
		k->looked = s->ids.rooms + 1;
		k->has_key = *ret;
	}
	return rc;
}

enum rc store_room_has_key(
	struct store *s, const char *room_id, bool *ret, struct err *e)
{
	bool has = false;

	store_lock(s);
	enum rc rc = has_key(s, room_id, &has, e);
	store_unlock(s);
	if (rc == RC_OK)
		*ret = has;
	return rc;
}

void ids_settle(struct ids *t, bool committed)
{
	if (!committed)
		t->rooms++;
	if (t->unsure && !committed)
		ids_fini(t);
	t->unsure = false;
}

void ids_fini(struct ids *t)
{
	for (size_t i = 0; i < ARRAY_LEN(t->known); i++) {
		free(t->known[i].id);
		t->known[i] = (struct known_id){ .id = NULL };
	}
}
