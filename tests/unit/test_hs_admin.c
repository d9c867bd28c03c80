/*
 * What administrators may, and the public list of rooms: what is sent, and what
 * it means when there is no such thing.
 */
#include <string.h>

#include "tests/unit/hs_fixture.h"

#include "base/poison.h"

#define ME "{\"user_id\":\"@boss:hs\"}"

static void who_is_an_administrator(void **state)
{
	struct fixture *f = *state;
	bool is = false;
	hs_says(f, 200, ME);
	hs_says(f, 200, "{\"admin\":true}");
	assert_ok(hs_is_admin(f->hs, &is, &f->e), f->e);
	assert_true(is);
	expect_sent(f, "GET /_synapse/admin/v1/users/%40boss%3Ahs/admin", "");
	hs_says(f, 200, "{\"admin\":false}");
	assert_ok(hs_is_admin(f->hs, &is, &f->e), f->e);
	assert_false(is);
	hs_says(f, 200, "{\"admin\":\"yes\"}");
	is = true;
	assert_ok(hs_is_admin(f->hs, &is, &f->e), f->e);
	assert_false(is);
}

/* Conduit has no such API, and Synapse tells only administrators. */
static void who_cannot_be_one(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *answer;
		enum rc rc;
	} cases[] = {
		{ 404, "{\"errcode\":\"M_UNRECOGNIZED\",\"error\":\"?\"}",
			RC_OK },
		{ 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"no\"}",
			RC_OK },
		{ 405, "", RC_OK },
		{ 401, "{\"errcode\":\"M_UNKNOWN_TOKEN\",\"error\":\"?\"}",
			RC_UNAUTHORIZED },
		{ 502, "<html>", RC_REMOTE },
	};
	hs_says(f, 200, ME);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool is = true;
		hs_says(f, cases[i].status, cases[i].answer);
		assert_rc(hs_is_admin(f->hs, &is, &f->e), cases[i].rc);
		assert_int_equal(is, cases[i].rc != RC_OK);
	}
}

static void power_by_an_administrator(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{}");
	assert_ok(
		hs_make_room_admin(f->hs, "!r:hs", "@muster:hs", &f->e), f->e);
	expect_sent(f,
		"POST /_synapse/admin/v1/rooms/%21r%3Ahs/make_room_admin",
		"{\"user_id\":\"@muster:hs\"}");
	hs_says(f, 400,
		"{\"errcode\":\"M_UNKNOWN\",\"error\":\"No local admin user in "
		"room\"}");
	assert_rc(hs_make_room_admin(f->hs, "!r:hs", "@muster:hs", &f->e),
		RC_REMOTE);
	assert_non_null(strstr(f->e.text, "No local admin user in room"));
}

static void another_password(void **state)
{
	struct fixture *f = *state;
	struct secret password = { 0 };
	assert_rc(secret_set(&password, "pa\"ss", 5), RC_OK);
	hs_says(f, 200, "{}");
	assert_ok(hs_reset_password(f->hs, "@a:hs", &password, &f->e), f->e);
	expect_sent(f, "POST /_synapse/admin/v1/reset_password/%40a%3Ahs",
		"{\"new_password\":\"pa\\\"ss\",\"logout_devices\":false}");
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"no\"}");
	assert_rc(hs_reset_password(f->hs, "@a:hs", &password, &f->e),
		RC_FORBIDDEN);
	assert_null(strstr(f->e.text, "pa\""));
	secret_fini(&password);
}

#define LIST V3 "/directory/list/room/%21r%3Ahs"

static void a_room_leaves_the_list(void **state)
{
	struct fixture *f = *state;
	bool was = false;
	hs_says(f, 200, "{\"visibility\":\"public\"}");
	hs_says(f, 200, "{}");
	assert_ok(hs_unlist_room(f->hs, "!r:hs", &was, &f->e), f->e);
	assert_true(was);
	expect_sent(f, "PUT " LIST, "{\"visibility\":\"private\"}");
	hs_says(f, 200, "{\"visibility\":\"private\"}");
	assert_ok(hs_unlist_room(f->hs, "!r:hs", &was, &f->e), f->e);
	assert_false(was);
	expect_sent(f, "GET " LIST, "");
	assert_int_equal(script_requests(f->server), 3);
	hs_says(f, 200, "{\"visibility\":\"public\"}");
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"no\"}");
	assert_rc(hs_unlist_room(f->hs, "!r:hs", &was, &f->e), RC_FORBIDDEN);
	assert_false(was);
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\",\"error\":\"none\"}");
	assert_rc(hs_unlist_room(f->hs, "!r:hs", NULL, &f->e), RC_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(who_is_an_administrator),
		CASE(who_cannot_be_one),
		CASE(power_by_an_administrator),
		CASE(another_password),
		CASE(a_room_leaves_the_list),
	};
	return RUN_HS(tests);
}
