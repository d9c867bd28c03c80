/*
 * tests/unit/intake_fixture.h: transactions as text, given to a real store.
 */
#ifndef TESTS_UNIT_INTAKE_FIXTURE_H
#define TESTS_UNIT_INTAKE_FIXTURE_H

#include "tests/unit/store_fixture.h"

#include "appservice/intake/intake.h"

#define R "!r:hs"
#define A "@a:hs"

/* A member event; the time and the id are parts of the text. */
#define MEMBER(id, user, what, ts)                                             \
	"{\"type\":\"m.room.member\",\"event_id\":\"" id "\",\"room_id\":\"" R \
	"\",\"sender\":\"@s:hs\",\"state_key\":\"" user                        \
	"\",\"origin_server_ts\":" ts ",\"content\":{\"membership\":\"" what   \
	"\"}}"
#define STATE(type, id, ts, content)                                           \
	"{\"type\":\"" type "\",\"event_id\":\"" id "\",\"room_id\":\"" R      \
	"\",\"sender\":\"@s:hs\",\"state_key\":\"\",\"origin_server_ts\":" ts  \
	",\"content\":" content "}"
#define MESSAGE(id)                                                            \
	"{\"type\":\"m.room.message\",\"event_id\":\"" id                      \
	"\",\"room_id\":\"" R "\",\"sender\":\"@s:hs\","                       \
	"\"origin_server_ts\":1,\"content\":{\"body\":\"x\"}}"
#define TXN(events) "{\"events\":[" events "]}"

/* R is a room of ours, whose news the plan wants. */
void intake_own_room(struct store_fixture *f);
/* Must be taken. */
struct intake_result intake_take(
	struct store_fixture *f, const char *txn, const char *body);
enum rc intake_try(struct store_fixture *f, const char *txn, const char *body,
	size_t n, struct intake_result *r);
/* What the store says afterwards. */
const char *intake_membership(struct store_fixture *f, const char *user);
struct store_txn_counts intake_counts(struct store_fixture *f);
size_t intake_quarantined(
	struct store_fixture *f, struct store_quarantined **ret);

#endif
