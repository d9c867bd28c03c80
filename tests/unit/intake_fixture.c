/*
 * tests/unit/intake_fixture.c: the calls that every test of the intake makes.
 */
#include "tests/unit/intake_fixture.h"

#include <string.h>

#include "base/poison.h"

void intake_own_room(struct store_fixture *f)
{
	const struct store_room room = { .key = "#r:hs" };

	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_room_declare(f->s, &room, &f->e), f->e);
	assert_ok(store_room_found(f->s, "#r:hs", R, NULL, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
}

struct intake_result intake_take(
	struct store_fixture *f, const char *txn, const char *body)
{
	struct intake in = { .store = f->s };
	struct intake_result r = { 0 };

	assert_ok(intake_transaction(&in, txn, body, strlen(body), &r, &f->e),
		f->e);
	return r;
}

enum rc intake_try(struct store_fixture *f, const char *txn, const char *body,
	size_t n, struct intake_result *r)
{
	struct intake in = { .store = f->s };

	*r = (struct intake_result){ 0 };
	return intake_transaction(&in, txn, body, n, r, &f->e);
}

const char *intake_membership(struct store_fixture *f, const char *user)
{
	const char *was = NULL;

	assert_ok(
		store_membership_get(f->s, R, user, &f->a, &was, &f->e), f->e);
	return was;
}

struct store_txn_counts intake_counts(struct store_fixture *f)
{
	struct store_txn_counts c = { 0 };

	assert_ok(store_txn_counts(f->s, &c, &f->e), f->e);
	return c;
}

size_t intake_quarantined(
	struct store_fixture *f, struct store_quarantined **ret)
{
	size_t n = 0;

	assert_ok(store_quarantine_list(f->s, &f->a, ret, &n, &f->e), f->e);
	return n;
}
