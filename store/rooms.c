/*
 * store/rooms.c: rooms as they are declared and found, and who should be in
 * them.
 */
#include "base/clock.h"
#include "store/store_priv.h"

#include "base/poison.h"

enum rc store_room_declare(
	struct store *s, const struct store_room *r, struct err *e)
{
	return store_write(s, SQL_ROOM_DECLARE,
		ARGS(T(r->key), N(r->direct), T(r->rule)), e);
}

/* Whoever is there and not among the users goes. */
static enum rc undeclare_others(struct store *s, const char *key,
	const struct names *users, struct err *e)
{
	struct arena a = { 0 };
	const char **known = NULL;
	size_t n = 0;

	enum rc rc =
		store_names(s, SQL_MEMBERS_OF, ARGS(T(key)), &a, &known, &n, e);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (!names_has(users, known[i]))
			rc = store_write(s, SQL_MEMBER_UNDECLARE,
				ARGS(T(key), T(known[i])), e);
	arena_free(&a);
	return rc;
}

/* Rows that stay are not written again: at a start thousands of rooms are
 * declared as they were. */
enum rc store_room_members_declare(struct store *s, const char *key,
	const char *const *users, size_t n, struct err *e)
{
	struct names names;

	enum rc rc = names_init(&names, users, n, e);
	if (rc != RC_OK)
		return rc;
	rc = undeclare_others(s, key, &names, e);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = store_write(s, SQL_MEMBER_DECLARE,
			ARGS(T(key), T(names.v[i]), N(clock_wall_ms())), e);
	names_fini(&names);
	if (rc == RC_NOT_FOUND)
		rc = err_set(e, rc, "no room %s in the store", key);
	return rc;
}

enum rc store_room_found(struct store *s, const char *key, const char *room_id,
	const char *maker, struct err *e)
{
	store_lock(s);
	ids_rooms_changed(&s->ids);
	enum rc rc = store_change(s, SQL_ROOM_PLACE,
		ARGS(T(key), T(room_id), T(maker), N(clock_wall_ms())), "room",
		key, e);
	store_unlock(s);
	return rc;
}

enum rc store_room_lost(struct store *s, const char *key, struct err *e)
{
	return store_room_found(s, key, NULL, NULL, e);
}

enum rc store_forget(struct store *s, struct err *e)
{
	static const enum sql all[] = { SQL_FORGET_ROOMS, SQL_FORGET_MEMBERS,
		SQL_FORGET_STATE, SQL_FORGET_MARKS, SQL_FORGET_OLD_ROOMS,
		SQL_FORGET_REMOVALS, SQL_FORGET_ROTATIONS };

	store_lock(s);
	ids_rooms_changed(&s->ids);
	store_unlock(s);
	enum rc rc = store_write(s, SQL_FORGET_AGENTS, NO_ARGS, e);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(all); i++)
		rc = store_write(s, all[i], NO_ARGS, e);
	return rc;
}

enum rc store_room_rename(
	struct store *s, const char *from, const char *to, struct err *e)
{
	store_lock(s);
	ids_rooms_changed(&s->ids);
	store_unlock(s);
	enum rc rc = store_change(s, SQL_ROOM_RENAME, ARGS(T(from), T(to)),
		"room to be renamed to", to, e);
	return rc ? rc : store_write(s, SQL_ROOM_PLACELESS, ARGS(T(from)), e);
}

enum rc store_room_unrule(struct store *s, const char *key, struct err *e)
{
	return store_write(s, SQL_ROOM_UNRULE, ARGS(T(key)), e);
}

enum rc store_room_replaced(struct store *s, const char *key,
	const char *new_room_id, struct err *e)
{
	enum rc rc = store_write(
		s, SQL_ROOM_TO_OLD, ARGS(T(key), T(new_room_id)), e);

	if (rc == RC_OK)
		rc = store_write(s, SQL_OLD_ROOM_NOT, ARGS(T(new_room_id)), e);
	return rc ? rc : store_room_found(s, key, new_room_id, NULL, e);
}

enum rc store_room_given_up(struct store *s, const char *key, struct err *e)
{
	enum rc rc = store_write(s, SQL_ROOM_TO_OLD, ARGS(T(key), T("")), e);

	return rc ? rc : store_room_lost(s, key, e);
}

enum rc store_old_room_is(
	struct store *s, const char *room_id, bool *ret, struct err *e)
{
	int64_t n = 0;

	return store_ask(s, SQL_OLD_ROOM_IS, ARGS(T(room_id)), ret, &n, e);
}

enum rc store_old_room_left(struct store *s, const char *room_id, struct err *e)
{
	return store_write(s, SQL_OLD_ROOM_NOT, ARGS(T(room_id)), e);
}

enum rc store_room_want(
	struct store *s, const char *key, bool *new, struct err *e)
{
	bool there = false;
	int64_t wanted = 0;
	enum rc rc =
		store_ask(s, SQL_ROOM_WANTED, ARGS(T(key)), &there, &wanted, e);

	if (rc == RC_OK && !there)
		return err_set(e, RC_NOT_FOUND,
			"no direct room is declared for %s", key);
	if (new)
		*new = !wanted;
	if (rc == RC_OK && !wanted)
		rc = store_write(s, SQL_ROOM_WANT, ARGS(T(key)), e);
	return rc;
}

enum rc store_room_looked(struct store *s, const char *key, int64_t now_ms,
	int64_t missing_ms, struct err *e)
{
	return store_write(
		s, SQL_ROOM_LOOKED, ARGS(T(key), N(now_ms), N(missing_ms)), e);
}

enum rc store_room_hold(struct store *s, const char *key, const char *why,
	int64_t now_ms, struct err *e)
{
	return store_write(
		s, SQL_ROOM_HOLD, ARGS(T(key), T(why), N(now_ms)), e);
}

enum rc store_room_unconfirmed(struct store *s, const char *room_id,
	int64_t before_ms, bool *ret, struct err *e)
{
	return store_ask(s, SQL_ROOM_UNCONFIRMED,
		ARGS(T(room_id), N(before_ms)), ret, NULL, e);
}

enum rc store_mark_add(struct store *s, const char *room_id,
	const char *user_id, struct err *e)
{
	return store_write(s, SQL_MARK_ADD, ARGS(T(room_id), T(user_id)), e);
}
