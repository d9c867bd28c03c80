/*
 * The calls of the homeserver client: what each sends, as whom, and what it
 * takes from the answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/hs_fixture.h"

#include "base/poison.h"

/* --- the server -------------------------------------------------------- */

/* AS-107. */
static void versions(void **state)
{
	struct fixture *f = *state;
	char server[64] = "?";
	script_say(f->server, 200, "Server: Synapse/1.100\r\n",
		"{\"versions\":[\"v1.12\"]}");
	assert_ok(hs_versions(f->hs, server, &f->e), f->e);
	assert_string_equal(server, "Synapse/1.100");
	expect_sent(f, "GET /_matrix/client/versions", "");
	assert_false(sent_any_token(f));

	hs_says(f, 200, "{\"versions\":[]}");
	assert_ok(hs_versions(f->hs, NULL, &f->e), f->e);

	hs_says(f, 200, "{\"ok\":true}");
	assert_rc(hs_versions(f->hs, server, &f->e), RC_REMOTE);
	assert_string_equal(server, "Synapse/1.100");
}

static enum hs_kind detect(struct fixture *f)
{
	enum hs_kind kind = HS_UNKNOWN;
	assert_ok(hs_detect(f->hs, &kind, &f->e), f->e);
	assert_false(sent_any_token(f));
	return kind;
}

static void detects_by_header(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 200, "Server: Synapse/1.100\r\n",
		"{\"versions\":[]}");
	assert_int_equal(detect(f), HS_SYNAPSE);
	assert_int_equal(script_requests(f->server), 1);
}

/* What it says to other servers: where it says it to nobody else. */
static void detects_by_version(void **state)
{
	static const struct {
		const char *name;
		enum hs_kind kind;
	} cases[] = { { "Dendrite", HS_DENDRITE }, { "Synapse", HS_SYNAPSE },
		{ "Conduit", HS_CONDUIT }, { "unknown", HS_UNKNOWN },
		{ "Construct", HS_UNKNOWN } };
	struct fixture *f = *state;
	char body[100];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_say(f->server, 200, "Server: nginx\r\n",
			"{\"versions\":[]}");
		hs_says(f, 302, "");
		hs_says(f, 404, "404 page not found");
		snprintf(body, sizeof(body),
			"{\"server\":{\"name\":\"%s\",\"version\":\"1\"}}",
			cases[i].name);
		hs_says(f, 200, body);
		assert_int_equal(detect(f), cases[i].kind);
		expect_sent(f, "GET /_matrix/federation/v1/version", "");
	}
}

static void detects_by_greeting(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{\"versions\":[]}");
	hs_says(f, 200, "Hello from Conduit!");
	assert_int_equal(detect(f), HS_CONDUIT);
	expect_sent(f, "GET /", "");

	hs_says(f, 200, "{\"versions\":[]}");
	hs_says(f, 200, "hewwo from tuwunel woof!");
	assert_int_equal(detect(f), HS_TUWUNEL);
}

static void detects_by_name(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{\"versions\":[]}");
	hs_says(f, 404, "<html>");
	hs_says(f, 200, "{\"name\":\"Tuwunel\",\"version\":\"1.9.0\"}");
	assert_int_equal(detect(f), HS_TUWUNEL);
	expect_sent(f, "GET /_tuwunel/server_version", "");

	hs_says(f, 200, "{\"versions\":[]}");
	hs_says(f, 200, "hewwo from conduwuit woof!");
	hs_says(f, 404, "{\"errcode\":\"M_UNRECOGNIZED\"}");
	hs_says(f, 500, "{\"errcode\":\"M_UNKNOWN\"}");
	assert_int_equal(detect(f), HS_UNKNOWN);

	enum hs_kind kind = HS_SYNAPSE;
	hs_says(f, 200, "{\"versions\":[]}");
	break_connections(f);
	assert_rc(hs_detect(f->hs, &kind, &f->e), RC_NETWORK);
	assert_int_equal(kind, HS_SYNAPSE);
}

static void kinds_have_names(void **state)
{
	(void)state;
	assert_string_equal(hs_kind_name(HS_CONDUIT), "conduit");
	assert_string_equal(hs_kind_name(HS_UNKNOWN), "unknown");
	assert_int_equal(hs_kind_of("tuwunel"), HS_TUWUNEL);
	assert_int_equal(hs_kind_of("dendrite"), HS_DENDRITE);
	assert_int_equal(hs_kind_of("Synapse"), HS_UNKNOWN);
}

static void default_room_version(void **state)
{
	struct fixture *f = *state;
	char version[32];
	hs_says(f, 200,
		"{\"capabilities\":{\"m.room_versions\":{\"default\":\"12\"}}"
		"}");
	assert_ok(hs_default_room_version(f->hs, AGENT, version, &f->e), f->e);
	assert_string_equal(version, "12");
	expect_sent(f, "GET " V3 "/capabilities" AS_AGENT, "");
	hs_says(f, 200, "{\"capabilities\":{}}");
	assert_ok(hs_default_room_version(f->hs, NULL, version, &f->e), f->e);
	assert_string_equal(version, "");
}

static void whoami(void **state)
{
	struct fixture *f = *state;
	struct hs_whoami who;
	hs_says(f, 200,
		"{\"user_id\":\"@a:hs\",\"device_id\":\"D\",\"is_guest\":"
		"true}");
	assert_ok(hs_whoami(f->hs, AGENT, &who, &f->e), f->e);
	assert_string_equal(who.user_id, "@a:hs");
	assert_string_equal(who.device_id, "D");
	assert_true(who.guest);
	expect_sent(f, "GET " V3 "/account/whoami" AS_AGENT, "");
	assert_true(sent_token(f));

	hs_says(f, 200, "{\"user_id\":\"@bot:hs\"}");
	assert_ok(hs_whoami(f->hs, NULL, &who, &f->e), f->e);
	assert_string_equal(who.user_id, "@bot:hs");
	assert_string_equal(who.device_id, "");
	assert_false(who.guest);
	expect_sent(f, "GET " V3 "/account/whoami", "");

	hs_says(f, 200, "{\"user_id\":7}");
	assert_rc(hs_whoami(f->hs, NULL, &who, &f->e), RC_REMOTE);
	assert_non_null(strstr(f->e.text, "user_id"));
	assert_string_equal(who.user_id, "@bot:hs");
}

/* AS-88. */
static void ping(void **state)
{
	struct fixture *f = *state;
	int64_t ms = -1;
	hs_says(f, 200, "{\"duration_ms\":12}");
	assert_ok(hs_ping(f->hs, "muster 1", "t1", &ms, &f->e), f->e);
	assert_int_equal(ms, 12);
	expect_sent(f, "POST /_matrix/client/v1/appservice/muster%201/ping",
		"{\"transaction_id\":\"t1\"}");

	hs_says(f, 502,
		"{\"errcode\":\"M_CONNECTION_FAILED\","
		"\"error\":\"M_CONNECTION_FAILED: refused\"}");
	assert_rc(hs_ping(f->hs, "m", "t2", &ms, &f->e), RC_REMOTE);
	assert_string_equal(f->e.text,
		"POST /_matrix/client/v1/appservice/m/ping: 502 "
		"M_CONNECTION_FAILED: refused");
	assert_int_equal(ms, 12);
}

/* --- accounts ---------------------------------------------------------- */

/* AS-108, AS-109, AS-110, AS-111. */
static void registering(void **state)
{
	struct fixture *f = *state;
	struct secret password = { 0 };
	assert_rc(secret_set(&password, "pa\"ss", 5), RC_OK);

	hs_says(f, 200, "{\"user_id\":\"@agent-7:hs\",\"device_id\":null}");
	assert_ok(hs_register(f->hs, "agent-7", NULL, &f->e), f->e);
	expect_sent(f, "POST " V3 "/register",
		"{\"type\":\"m.login.application_service\","
		"\"username\":\"agent-7\",\"inhibit_login\":true}");
	assert_true(sent_token(f));

	hs_says(f, 200, "{\"user_id\":\"@agent-7:hs\"}");
	assert_ok(hs_register(f->hs, "agent-7", &password, &f->e), f->e);
	expect_sent(f, "POST " V3 "/register",
		"{\"type\":\"m.login.application_service\","
		"\"username\":\"agent-7\",\"inhibit_login\":true,"
		"\"password\":\"pa\\\"ss\"}");

	hs_says(f, 200, "{\"user_id\":\"@agent-8:hs\"}");
	assert_rc(hs_register(f->hs, "agent-7", NULL, &f->e), RC_REMOTE);
	hs_says(f, 400, "{\"errcode\":\"M_USER_IN_USE\",\"error\":\"taken\"}");
	assert_rc(hs_register(f->hs, "agent-7", NULL, &f->e), RC_EXISTS);
	secret_fini(&password);
}

/* AS-112. */
static void logging_in(void **state)
{
	struct fixture *f = *state;
	struct hs_session s = { 0 };
	hs_says(f, 200,
		"{\"user_id\":\"@a:hs\",\"access_token\":\"tok\","
		"\"device_id\":\"MUSTER\"}");
	assert_ok(
		hs_login(f->hs, "@a:hs", "MUSTER", "muster", &s, &f->e), f->e);
	assert_string_equal(s.user_id, "@a:hs");
	assert_string_equal(s.device_id, "MUSTER");
	assert_string_equal(secret_bytes(&s.token), "tok");
	expect_sent(f, "POST " V3 "/login",
		"{\"type\":\"m.login.application_service\",\"identifier\":"
		"{\"type\":\"m.id.user\",\"user\":\"@a:hs\"},"
		"\"device_id\":\"MUSTER\","
		"\"initial_device_display_name\":\"muster\"}");
	assert_true(sent_token(f));
	secret_fini(&s.token);
}

static void assert_no_logins(struct fixture *f)
{
	assert_non_null(strstr(
		f->e.text, "gives application services no logins (MSC4190)"));
	assert_non_null(strstr(f->e.text, "use a homeserver that gives them"));
}

/* AS-113, AS-114: one that has no logins for us, and one that refuses us. */
static void logins_that_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *answer;
		enum rc rc;
	} cases[] = {
		{ 400, "{\"errcode\":\"M_APPSERVICE_LOGIN_UNSUPPORTED\"}",
			RC_UNSUPPORTED },
		{ 400,
			"{\"errcode\":\"IO.ELEMENT.MSC4190."
			"M_APPSERVICE_LOGIN_UNSUPPORTED\"}",
			RC_UNSUPPORTED },
		{ 404, "{\"errcode\":\"M_UNRECOGNIZED\"}", RC_UNSUPPORTED },
		/* a proxy's words */
		{ 404, "", RC_REMOTE },
		{ 404, "{\"errcode\":\"M_NOT_FOUND\"}", RC_NOT_FOUND },
		{ 400, "{\"errcode\":\"M_EXCLUSIVE\"}", RC_EXCLUSIVE },
		/* nobody of this name, or a bad token */
		{ 403, "{\"errcode\":\"M_FORBIDDEN\"}", RC_FORBIDDEN },
		{ 401, "{\"errcode\":\"M_UNKNOWN_TOKEN\"}", RC_UNAUTHORIZED },
		{ 401, "{\"errcode\":\"M_MISSING_TOKEN\"}", RC_UNAUTHORIZED },
	};
	struct hs_session s = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		hs_says(f, cases[i].status, cases[i].answer);
		assert_rc(hs_login(f->hs, "@a:hs", NULL, NULL, &s, &f->e),
			cases[i].rc);
		if (cases[i].rc == RC_UNSUPPORTED)
			assert_no_logins(f);
	}
}

/* AS-113: what GET /login says, to whoever asks. */
static void logins_that_are_offered(void **state)
{
	struct fixture *f = *state;
#define FLOW(type) "{\"type\":\"" type "\"}"
	static const struct {
		int status;
		const char *answer;
		enum rc rc;
	} cases[] = {
		{ 200,
			"{\"flows\":[" FLOW("m.login.password") "," FLOW(
				"m.login.application_service") "]}",
			RC_OK },
		{ 200, "{\"flows\":[" FLOW("m.login.password") "]}",
			RC_UNSUPPORTED },
		{ 200, "{\"flows\":[null,5,{\"type\":5}]}", RC_UNSUPPORTED },
		{ 200, "{\"flows\":[]}", RC_UNSUPPORTED },
		{ 404, "{\"errcode\":\"M_UNRECOGNIZED\"}", RC_UNSUPPORTED },
		/* which say nothing of it */
		{ 200, "{}", RC_OK },
		{ 200, "{\"flows\":{}}", RC_OK },
		{ 404, "", RC_OK },
		{ 403, "{\"errcode\":\"M_FORBIDDEN\"}", RC_OK },
		{ 405, "{\"errcode\":\"M_UNRECOGNIZED\"}", RC_OK },
		/* nor do these, and a login would do no better */
		{ 502, "", RC_REMOTE },
		{ 200, "hello", RC_REMOTE },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		hs_says(f, cases[i].status, cases[i].answer);
		assert_rc(hs_login_offered(f->hs, &f->e), cases[i].rc);
		expect_sent(f, "GET " V3 "/login", "");
		assert_false(sent_any_token(f));
		if (cases[i].rc == RC_UNSUPPORTED)
			assert_no_logins(f);
	}
}

static void a_login_answer_must_be_whole(void **state)
{
	struct fixture *f = *state;
	struct hs_session s = { .user_id = "before" };
	const char *bad[] = {
		"{\"user_id\":\"@a:hs\",\"device_id\":\"D\"}",
		"{\"user_id\":\"@a:hs\",\"access_token\":\"tok\"}",
		"{\"access_token\":\"tok\",\"device_id\":\"D\"}",
		"{\"user_id\":\"@b:hs\",\"access_token\":\"tok\","
		"\"device_id\":\"D\"}",
		"{\"user_id\":\"@a:hs\",\"access_token\":\"tok\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		hs_says(f, 200, bad[i]);
		assert_rc(hs_login(f->hs, "@a:hs", NULL, NULL, &s, &f->e),
			RC_REMOTE);
		assert_null(strstr(f->e.text, "tok\""));
	}
	assert_string_equal(s.user_id, "before");
	assert_null(s.token.bytes);
}

static void logging_in_by_password(void **state)
{
	struct fixture *f = *state;
	struct hs_session s = { 0 };
	struct secret password = { 0 };
	assert_rc(secret_set(&password, "pw", 2), RC_OK);
	hs_says(f, 200,
		"{\"user_id\":\"@admin:hs\",\"access_token\":\"tok\","
		"\"device_id\":\"D\"}");
	assert_ok(
		hs_login_password(f->hs, "admin", &password, &s, &f->e), f->e);
	assert_string_equal(s.user_id, "@admin:hs");
	expect_sent(f, "POST " V3 "/login",
		"{\"type\":\"m.login.password\",\"identifier\":"
		"{\"type\":\"m.id.user\",\"user\":\"admin\"},"
		"\"password\":\"pw\","
		"\"initial_device_display_name\":\"muster\"}");
	assert_false(sent_any_token(f));
	secret_fini(&s.token);

	/* Of one device. */
	hs_use_device(f->hs, "ONE");
	hs_says(f, 200,
		"{\"user_id\":\"@admin:hs\",\"access_token\":\"tok\","
		"\"device_id\":\"ONE\"}");
	assert_ok(
		hs_login_password(f->hs, "admin", &password, &s, &f->e), f->e);
	assert_non_null(strstr(script_text(f->server, 1),
		"\"password\":\"pw\",\"device_id\":\"ONE\","));

	/* The token is used from now on. */
	assert_rc(hs_use_token(f->hs, &s.token), RC_OK);
	hs_says(f, 200, "{}");
	assert_ok(hs_logout(f->hs, &f->e), f->e);
	expect_sent(f, "POST " V3 "/logout", "{}");
	assert_non_null(strstr(script_text(f->server, 2),
		"\r\nAuthorization: Bearer tok\r\n"));
	secret_fini(&s.token);
	secret_fini(&password);
}

/* AS-139: for one of our users, and never for who has the token. */
static void ending_all_tokens_of_a_user(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{}");
	assert_ok(hs_logout_all(f->hs, AGENT, &f->e), f->e);
	expect_sent(f, "POST " V3 "/logout/all" AS_AGENT, "{}");
	assert_true(sent_token(f));
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\"}");
	assert_rc(hs_logout_all(f->hs, AGENT, &f->e), RC_FORBIDDEN);

	script_otherwise(f->server, 200, "{}");
	assert_rc(hs_logout_all(f->hs, NULL, &f->e), RC_INVALID);
	assert_rc(hs_logout_all(f->hs, "", &f->e), RC_INVALID);
	assert_int_equal(script_requests(f->server), 2);
}

#define SESSION                                                                \
	"{\"user_id\":\"@h:hs\",\"access_token\":\"t\",\"device_id\":\"D\"}"

static void a_name_is_free(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{\"available\":true}");
	assert_ok(hs_username_free(f->hs, "a=b", &f->e), f->e);
	expect_sent(f, "GET " V3 "/register/available?username=a%3Db", "");
	assert_false(sent_any_token(f));
	hs_says(f, 400, "{\"errcode\":\"M_USER_IN_USE\"}");
	assert_rc(hs_username_free(f->hs, "a", &f->e), RC_EXISTS);
}

static void registering_a_human(void **state)
{
	struct fixture *f = *state;
	struct hs_session s = { 0 };
	struct secret password = { 0 }, ticket = { 0 };
	assert_rc(secret_set(&password, "pw", 2), RC_OK);
	assert_rc(secret_set(&ticket, "let-me-in", 9), RC_OK);

	hs_says(f, 200, SESSION);
	assert_ok(hs_register_password(f->hs, "h", &password, NULL, &s, &f->e),
		f->e);
	assert_string_equal(s.user_id, "@h:hs");
	expect_sent(f, "POST " V3 "/register",
		"{\"username\":\"h\",\"password\":\"pw\","
		"\"initial_device_display_name\":\"muster\","
		"\"auth\":{\"type\":\"m.login.dummy\"}}");
	assert_false(sent_any_token(f));
	secret_fini(&s.token);

	/* Conduit needs the token alone, Synapse the dummy stage after it. */
	hs_says(f, 401,
		"{\"flows\":[],\"session\":\"S\","
		"\"completed\":[\"m.login.registration_token\"]}");
	hs_says(f, 200, SESSION);
	assert_ok(
		hs_register_password(f->hs, "h", &password, &ticket, &s, &f->e),
		f->e);
	assert_string_equal(script_body(f->server, 1),
		"{\"username\":\"h\",\"password\":\"pw\","
		"\"initial_device_display_name\":\"muster\","
		"\"auth\":{\"type\":\"m.login.registration_token\","
		"\"token\":\"let-me-in\"}}");
	expect_sent(f, "POST " V3 "/register",
		"{\"username\":\"h\",\"password\":\"pw\","
		"\"initial_device_display_name\":\"muster\","
		"\"auth\":{\"type\":\"m.login.dummy\",\"session\":\"S\"}}");
	secret_fini(&s.token);

	/* A wrong token is not tried again. */
	hs_says(f, 401, "{\"flows\":[],\"session\":\"S\",\"completed\":[]}");
	assert_rc(
		hs_register_password(f->hs, "h", &password, &ticket, &s, &f->e),
		RC_UNAUTHORIZED);
	assert_int_equal(script_requests(f->server), 4);

	/* Nor is one that it does not ask for an obstacle. */
	hs_says(f, 401,
		"{\"flows\":[{\"stages\":[\"m.login.dummy\"]}],"
		"\"session\":\"S\",\"completed\":[]}");
	hs_says(f, 200, SESSION);
	assert_ok(
		hs_register_password(f->hs, "h", &password, &ticket, &s, &f->e),
		f->e);
	expect_sent(f, "POST " V3 "/register",
		"{\"username\":\"h\",\"password\":\"pw\","
		"\"initial_device_display_name\":\"muster\","
		"\"auth\":{\"type\":\"m.login.dummy\"}}");
	secret_fini(&s.token);
	hs_says(f, 400, "{\"errcode\":\"M_USER_IN_USE\"}");
	assert_rc(hs_register_password(f->hs, "h", &password, NULL, &s, &f->e),
		RC_EXISTS);
	secret_fini(&password);
	secret_fini(&ticket);
}

/* AS-120. */
static void devices(void **state)
{
	struct fixture *f = *state;
	bool has = false;
	size_t n = 0;
	const char *two = "{\"devices\":[{\"device_id\":\"A\"},"
			  "{\"device_id\":\"MUSTER\"}]}";
	hs_says(f, 200, two);
	assert_ok(hs_device(f->hs, AGENT, "MUSTER", &has, &n, &f->e), f->e);
	assert_true(has);
	assert_int_equal(n, 2);
	expect_sent(f, "GET " V3 "/devices" AS_AGENT, "");
	hs_says(f, 200, two);
	assert_ok(hs_device(f->hs, AGENT, "muster", &has, &n, &f->e), f->e);
	assert_false(has);
	hs_says(f, 200, "{\"devices\":{}}");
	assert_rc(hs_device(f->hs, AGENT, "A", &has, &n, &f->e), RC_REMOTE);
	assert_int_equal(n, 2);
}

/* AS-102. */
static void display_names(void **state)
{
	struct fixture *f = *state;
	const char *name = "x";
	hs_says(f, 200, "{\"displayname\":\"Ada\"}");
	assert_ok(hs_display_name(f->hs, AGENT, &f->arena, &name, &f->e), f->e);
	assert_string_equal(name, "Ada");
	expect_sent(f,
		"GET " V3 "/profile/%40agent-a%2Bb%3D2f%2Fc%3Ahs.example"
		"%3A8448/displayname",
		"");
	const char *none[] = { "{}", "{\"displayname\":null}",
		"{\"displayname\":\"\"}" };
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		hs_says(f, 200, none[i]);
		name = "x";
		assert_ok(
			hs_display_name(f->hs, AGENT, &f->arena, &name, &f->e),
			f->e);
		assert_null(name);
	}
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\"}");
	name = "x";
	assert_ok(hs_display_name(f->hs, AGENT, &f->arena, &name, &f->e), f->e);
	assert_null(name);

	hs_says(f, 200, "{}");
	assert_ok(hs_set_display_name(
			  f->hs, "@a:hs", "@a:hs", "A \"B\" \xc3\xa9", &f->e),
		f->e);
	expect_sent(f,
		"PUT " V3 "/profile/%40a%3Ahs/displayname?user_id=%40a%3Ahs",
		"{\"displayname\":\"A \\\"B\\\" \xc3\xa9\"}");
}

static void account_data(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{ \"@b:hs\" : [ \"!r/x\" ] }");
	assert_ok(hs_account_data(f->hs, "@a:hs", "m.direct", &f->text, &f->e),
		f->e);
	assert_string_equal(buf_str(&f->text), "{\"@b:hs\":[\"!r/x\"]}");
	expect_sent(f,
		"GET " V3 "/user/%40a%3Ahs/account_data/m.direct"
		"?user_id=%40a%3Ahs",
		"");
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\"}");
	assert_rc(hs_account_data(f->hs, "@a:hs", "m.x", &f->text, &f->e),
		RC_NOT_FOUND);
	assert_string_equal(buf_str(&f->text), "{\"@b:hs\":[\"!r/x\"]}");

	hs_says(f, 200, "{}");
	assert_ok(hs_set_account_data(
			  f->hs, "@a:hs", "m.direct", "{\"x\":[]}", &f->e),
		f->e);
	expect_sent(f,
		"PUT " V3 "/user/%40a%3Ahs/account_data/m.direct"
		"?user_id=%40a%3Ahs",
		"{\"x\":[]}");
}

static void the_own_user_is_asked_once(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{\"user_id\":\"@own:hs\"}");
	hs_says(f, 200, "{}");
	hs_says(f, 200, "{}");
	assert_ok(hs_account_data(f->hs, NULL, "m.x", &f->text, &f->e), f->e);
	assert_ok(hs_account_data(f->hs, NULL, "m.x", &f->text, &f->e), f->e);
	assert_int_equal(script_requests(f->server), 3);
	expect_sent(f, "GET " V3 "/user/%40own%3Ahs/account_data/m.x", "");

	/* Or is told. */
	struct hs_whoami who = { 0 };
	hs_says(f, 200, "{\"user_id\":\"@renamed:hs\"}");
	hs_says(f, 200, "{}");
	assert_ok(hs_whoami(f->hs, NULL, &who, &f->e), f->e);
	assert_ok(hs_account_data(f->hs, NULL, "m.x", &f->text, &f->e), f->e);
	assert_int_equal(script_requests(f->server), 5);
	expect_sent(f, "GET " V3 "/user/%40renamed%3Ahs/account_data/m.x", "");
	/* Whom we stand for is somebody else. */
	hs_says(f, 200, "{\"user_id\":\"@a:hs\"}");
	hs_says(f, 200, "{}");
	assert_ok(hs_whoami(f->hs, "@a:hs", &who, &f->e), f->e);
	assert_ok(hs_account_data(f->hs, NULL, "m.x", &f->text, &f->e), f->e);
	expect_sent(f, "GET " V3 "/user/%40renamed%3Ahs/account_data/m.x", "");

	/* Another token is another user. */
	assert_rc(hs_use_token(f->hs, &f->token), RC_OK);
	hs_says(f, 200, "{\"user_id\":\"@other:hs\"}");
	hs_says(f, 200, "{}");
	assert_ok(hs_set_account_data(f->hs, NULL, "m.x", "{}", &f->e), f->e);
	expect_sent(f, "PUT " V3 "/user/%40other%3Ahs/account_data/m.x", "{}");
}

/* --- rooms ------------------------------------------------------------- */

/* AS-133. */
static void making_and_finding_rooms(void **state)
{
	struct fixture *f = *state;
	const char *id = NULL;
	hs_says(f, 200, "{\"room_id\":\"!abc\"}");
	assert_ok(hs_create_room(f->hs, AGENT, "{\"name\":\"x\"}", &f->arena,
			  &id, &f->e),
		f->e);
	assert_string_equal(id, "!abc");
	expect_sent(f, "POST " V3 "/createRoom" AS_AGENT, "{\"name\":\"x\"}");
	hs_says(f, 200, "{\"room_id\":\"abc\"}");
	assert_rc(hs_create_room(f->hs, NULL, "{}", &f->arena, &id, &f->e),
		RC_REMOTE);
	hs_says(f, 400, "{\"errcode\":\"M_ROOM_IN_USE\"}");
	assert_rc(hs_create_room(f->hs, NULL, "{}", &f->arena, &id, &f->e),
		RC_EXISTS);
	assert_string_equal(id, "!abc");

	hs_says(f, 200, "{\"room_id\":\"!r:hs\",\"servers\":[]}");
	assert_ok(hs_resolve_alias(f->hs, "#a/b c:hs", &f->arena, &id, &f->e),
		f->e);
	assert_string_equal(id, "!r:hs");
	expect_sent(f, "GET " V3 "/directory/room/%23a%2Fb%20c%3Ahs", "");
	assert_false(sent_any_token(f));

	hs_says(f, 200, "{}");
	assert_ok(hs_set_alias(f->hs, "#a:hs", "!r:hs", &f->e), f->e);
	expect_sent(f, "PUT " V3 "/directory/room/%23a%3Ahs",
		"{\"room_id\":\"!r:hs\"}");
	hs_says(f, 409, "{\"errcode\":\"M_UNKNOWN\"}");
	assert_rc(hs_set_alias(f->hs, "#a:hs", "!r:hs", &f->e), RC_EXISTS);

	hs_says(f, 200, "{}");
	assert_ok(hs_delete_alias(f->hs, "#a/b:hs", &f->e), f->e);
	expect_sent(f, "DELETE " V3 "/directory/room/%23a%2Fb%3Ahs", "");
	assert_true(sent_token(f));
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\"}");
	assert_rc(hs_delete_alias(f->hs, "#a:hs", &f->e), RC_NOT_FOUND);
	hs_says(f, 400, "{\"errcode\":\"M_EXCLUSIVE\"}");
	assert_rc(hs_delete_alias(f->hs, "#a:hs", &f->e), RC_EXCLUSIVE);
	assert_rc(hs_delete_alias(f->hs, "", &f->e), RC_INVALID);
	assert_int_equal(hs_gate_writes(f->gate), 8);
}

static void what_must_not_be_done_twice(void **state)
{
	struct fixture *f = *state;
	const char *id = NULL;
	hs_says(f, 200, "{}");
	assert_ok(hs_join(f->hs, NULL, "!r", &f->e), f->e);
	script_reset(f->server);
	assert_rc(hs_create_room(f->hs, NULL, "{}", &f->arena, &id, &f->e),
		RC_NETWORK);
	script_reset(f->server);
	assert_rc(hs_register(f->hs, "a", NULL, &f->e), RC_NETWORK);
	assert_int_equal(script_requests(f->server), 3);
}

static void coming_and_going(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{}");
	assert_ok(hs_invite(f->hs, NULL, "!r:hs", "@a:hs", &f->e), f->e);
	expect_sent(f, "POST " V3 "/rooms/%21r%3Ahs/invite",
		"{\"user_id\":\"@a:hs\"}");
	assert_ok(hs_join(f->hs, AGENT, "!r", &f->e), f->e);
	expect_sent(f, "POST " V3 "/rooms/%21r/join" AS_AGENT, "{}");
	assert_ok(hs_leave(f->hs, AGENT, "!r", &f->e), f->e);
	expect_sent(f, "POST " V3 "/rooms/%21r/leave" AS_AGENT, "{}");
	assert_ok(hs_kick(f->hs, NULL, "!r", "@a:hs", "gone", &f->e), f->e);
	expect_sent(f, "POST " V3 "/rooms/%21r/kick",
		"{\"user_id\":\"@a:hs\",\"reason\":\"gone\"}");
	assert_ok(hs_kick(f->hs, NULL, "!r", "@a:hs", NULL, &f->e), f->e);
	expect_sent(
		f, "POST " V3 "/rooms/%21r/kick", "{\"user_id\":\"@a:hs\"}");
}

/* A room that there is not, in the words of Conduit, and a homeserver that is
 * in trouble. */
static void joining_no_room(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 500,
		"{\"errcode\":\"M_UNKNOWN\",\"error\":"
		"\"No server available to assist in joining.\"}");
	assert_rc(hs_join(f->hs, NULL, "!none:hs", &f->e), RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, "No server available"));
	hs_says(f, 500,
		"{\"errcode\":\"M_UNKNOWN\",\"error\":"
		"\"Federation is disabled.\"}");
	assert_rc(hs_join(f->hs, NULL, "!r:away", &f->e), RC_NOT_FOUND);
	hs_says(f, 500,
		"{\"errcode\":\"M_UNKNOWN\",\"error\":\"Database error.\"}");
	assert_rc(hs_join(f->hs, NULL, "!r:hs", &f->e), RC_REMOTE);
}

/* The ban is gone already: 403 of Synapse, 400 of Conduit. */
static void taking_back_no_ban(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 403,
		"{\"errcode\":\"M_BAD_STATE\",\"error\":\"Cannot unban "
		"user who was not banned (membership=leave)\"}");
	assert_ok(hs_unban(f->hs, NULL, "!r:hs", "@a:hs", &f->e), f->e);
	expect_sent(f, "POST " V3 "/rooms/%21r%3Ahs/unban",
		"{\"user_id\":\"@a:hs\"}");
	hs_says(f, 400,
		"{\"errcode\":\"M_BAD_STATE\",\"error\":\"M_BAD_STATE: "
		"Cannot unban a user who is not banned.\"}");
	assert_ok(hs_unban(f->hs, NULL, "!r:hs", "@a:hs", &f->e), f->e);
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"No.\"}");
	assert_rc(hs_unban(f->hs, NULL, "!r:hs", "@a:hs", &f->e), RC_FORBIDDEN);
	assert_non_null(strstr(f->e.text, "No."));
}

/* What is no use trying again, and what somebody has to see to. */
static void a_kick_that_is_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *answer;
		enum rc rc;
	} cases[] = {
		{ 400,
			"{\"errcode\":\"M_BAD_STATE\",\"error\":"
			"\"M_BAD_STATE: Cannot kick a user who is not in the "
			"room.\"}",
			RC_NOT_FOUND },
		{ 403,
			"{\"errcode\":\"M_BAD_STATE\",\"error\":\"Cannot kick "
			"user who was banned\"}",
			RC_NOT_FOUND },
		{ 403,
			"{\"errcode\":\"M_FORBIDDEN\",\"error\":\"The target "
			"user is not in the room\"}",
			RC_NOT_FOUND },
		{ 404, "{\"errcode\":\"M_NOT_FOUND\"}", RC_NOT_FOUND },
		{ 403,
			"{\"errcode\":\"M_FORBIDDEN\",\"error\":\"You cannot "
			"kick user @a:hs.\"}",
			RC_FORBIDDEN },
		{ 403, "{\"errcode\":\"M_FORBIDDEN\"}", RC_FORBIDDEN },
		{ 400, "{\"errcode\":\"M_BAD_JSON\"}", RC_REMOTE },
		{ 500, "", RC_REMOTE },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		hs_says(f, cases[i].status, cases[i].answer);
		assert_rc(hs_kick(f->hs, NULL, "!r", "@a:hs", NULL, &f->e),
			cases[i].rc);
		assert_non_null(strstr(f->e.text, "/kick: "));
	}
	script_reset(f->server);
	assert_rc(hs_kick(f->hs, NULL, "!r", "@a:hs", NULL, &f->e), RC_NETWORK);
}

/* AS-135. */
static void joined(void **state)
{
	struct fixture *f = *state;
	struct hs_ids ids = { 0 };
	hs_says(f, 200, "{\"joined_rooms\":[\"!a\",\"!b:hs\"]}");
	assert_ok(hs_joined_rooms(f->hs, AGENT, &f->arena, &ids, &f->e), f->e);
	assert_int_equal(ids.n, 2);
	assert_string_equal(ids.ids[0], "!a");
	assert_string_equal(ids.ids[1], "!b:hs");
	expect_sent(f, "GET " V3 "/joined_rooms" AS_AGENT, "");
	hs_says(f, 200, "{\"joined_rooms\":\"!a\"}");
	assert_rc(hs_joined_rooms(f->hs, NULL, &f->arena, &ids, &f->e),
		RC_REMOTE);
	assert_int_equal(ids.n, 2);

	hs_says(f, 200,
		"{\"joined\":{\"@a:hs\":{\"display_name\":null},"
		"\"@:hs\":{\"display_name\":\"a\\u0000b\"}}}");
	assert_ok(hs_joined_members(f->hs, NULL, "!r", &f->arena, &ids, &f->e),
		f->e);
	assert_int_equal(ids.n, 2);
	assert_string_equal(ids.ids[0], "@a:hs");
	assert_string_equal(ids.ids[1], "@:hs");
	expect_sent(f, "GET " V3 "/rooms/%21r/joined_members", "");
	hs_says(f, 200, "{\"joined\":{}}");
	assert_ok(hs_joined_members(f->hs, NULL, "!r", &f->arena, &ids, &f->e),
		f->e);
	assert_int_equal(ids.n, 0);
	hs_says(f, 200, "{}");
	assert_rc(hs_joined_members(f->hs, NULL, "!r", &f->arena, &ids, &f->e),
		RC_REMOTE);
}

/* AS-123. */
static void room_state(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 200, "{\"name\":\"x/y\"}");
	assert_ok(
		hs_state(f->hs, NULL, "!r", "m.room.name", "", &f->text, &f->e),
		f->e);
	assert_string_equal(buf_str(&f->text), "{\"name\":\"x/y\"}");
	expect_sent(f, "GET " V3 "/rooms/%21r/state/m.room.name", "");
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\"}");
	assert_rc(hs_state(f->hs, AGENT, "!r", "m.room.member", "@a:hs",
			  &f->text, &f->e),
		RC_NOT_FOUND);
	expect_sent(f,
		"GET " V3 "/rooms/%21r/state/m.room.member/%40a%3Ahs" AS_AGENT,
		"");
	hs_says(f, 200, "{\"event_id\":\"$1\"}");
	assert_ok(hs_set_state(f->hs, NULL, "!r", "m.room.topic", "",
			  "{\"topic\":\"t\"}", &f->e),
		f->e);
	expect_sent(f, "PUT " V3 "/rooms/%21r/state/m.room.topic",
		"{\"topic\":\"t\"}");
}

#define NAME(more) "{\"type\":\"m.room.name\"" more "}"
#define REST ",\"event_id\":\"$1\",\"sender\":\"@a:hs\""

static void all_state_of_a_room(void **state)
{
	struct fixture *f = *state;
	static const char *const wanted[] = { "m.room.name", "m.room.member",
		NULL };
	struct hs_state_events s = { 0 };
	static const char answer[] =
		"[{\"type\":\"m.room.name\",\"state_key\":"
		"\"\",\"event_id\":"
		"\"$1\",\"sender\":\"@a:hs\",\"origin_"
		"server_ts\":"
		"1700000000123,\"content\":{\"name\":\"a/"
		"b \\u0000\",\"n\":1}},"
		"{\"type\":\"m.room.topic\",\"state_key\":"
		"\"\",\"event_id\":"
		"\"$2\",\"sender\":\"@a:hs\",\"content\":{"
		"}},"
		/* what is no state event */
		"null,7,[],{}," NAME(
			REST ",\"content\":{"
			     "}") "," NAME(REST ",\"state_key\":7,"
						"\"content\":{}") "," NAME(REST
			",\"state_key\":\"\",\"content\":["
			"]") "," NAME(",\"state_key\":"
				      "\"\",\"content\":{}"
				      ",\"sender\":\"@a:"
				      "hs\"") "," NAME(","
						       "\""
						       "st"
						       "at"
						       "e_"
						       "ke"
						       "y"
						       "\""
						       ":"
						       "\""
						       "\""
						       ","
						       "\""
						       "co"
						       "nt"
						       "en"
						       "t"
						       "\""
						       ":{"
						       "},"
						       "\""
						       "ev"
						       "en"
						       "t_"
						       "id"
						       "\""
						       ":"
						       "\""
						       "$1"
						       "\"") ","
							     "{\"type\":\"m."
							     "room.member\","
							     "\"state_key\":\"@"
							     "b:hs\","
							     "\"event_id\":\"$"
							     "3\",\"sender\":"
							     "\"@c:hs\","
							     "\"origin_server_"
							     "ts\":\"soon\","
							     "\"content\":{"
							     "\"membership\":"
							     "\"ban\"}}]";
	hs_says(f, 200, answer);
	assert_ok(hs_room_state(
			  f->hs, AGENT, "!r:hs", wanted, &f->arena, &s, &f->e),
		f->e);
	expect_sent(f, "GET " V3 "/rooms/%21r%3Ahs/state" AS_AGENT, "");
	assert_int_equal(s.n, 2);
	assert_string_equal(s.items[0].type, "m.room.name");
	assert_string_equal(s.items[0].state_key, "");
	assert_string_equal(
		s.items[0].content, "{\"name\":\"a/b \xef\xbf\xbd\",\"n\":1}");
	assert_string_equal(s.items[0].event_id, "$1");
	assert_string_equal(s.items[0].sender, "@a:hs");
	assert_true(s.items[0].origin_ts == INT64_C(1700000000123));
	assert_string_equal(s.items[1].type, "m.room.member");
	assert_string_equal(s.items[1].state_key, "@b:hs");
	assert_string_equal(s.items[1].content, "{\"membership\":\"ban\"}");
	assert_string_equal(s.items[1].sender, "@c:hs");
	assert_int_equal(s.items[1].origin_ts, 0);

	hs_says(f, 200, answer);
	assert_ok(hs_room_state(f->hs, NULL, "!r", NULL, &f->arena, &s, &f->e),
		f->e);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.items[1].content, "{}");
	hs_says(f, 200, answer);
	assert_ok(hs_room_state(f->hs, NULL, "!r",
			  (const char *const[]){ NULL }, &f->arena, &s, &f->e),
		f->e);
	assert_int_equal(s.n, 0);
}

static void a_state_that_is_no_list(void **state)
{
	struct fixture *f = *state;
	struct hs_state_events s = { .n = 9 };
	static const char *const bad[] = { "{}", "\"[]\"", "[", "[]]", "null",
		"" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		hs_says(f, 200, bad[i]);
		assert_rc(hs_room_state(f->hs, NULL, "!r", NULL, &f->arena, &s,
				  &f->e),
			RC_REMOTE);
		assert_non_null(strstr(f->e.text, "not a JSON array"));
	}
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\"}");
	assert_rc(hs_room_state(f->hs, NULL, "!r", NULL, &f->arena, &s, &f->e),
		RC_FORBIDDEN);
	hs_says(f, 404, "{\"errcode\":\"M_NOT_FOUND\"}");
	assert_rc(hs_room_state(f->hs, NULL, "!r", NULL, &f->arena, &s, &f->e),
		RC_NOT_FOUND);
	assert_int_equal(s.n, 9);
}

/* A room of five thousand people, of whom only its name is asked for. */
static void state_of_a_large_room(void **state)
{
	struct fixture *f = *state;
	struct hs_state_events s = { 0 };
	struct buf answer;
	buf_init(&answer, LIMIT_ANSWER);
	buf_add(&answer, "[");
	for (int i = 0; i < 5000; i++)
		buf_addf(&answer,
			"{\"type\":\"m.room.member\",\"state_key\":\"@a%d:hs\""
			",\"content\":{\"membership\":\"join\",\"displayname\":"
			"\"A name of some length, as people have them\"},"
			"\"event_id\":\"$%d\",\"sender\":\"@a%d:hs\","
			"\"unsigned\""
			":{\"age\":1},\"origin_server_ts\":%d,\"room_id\":\"!"
			"r\"},",
			i, i, i, i);
	buf_add(&answer, NAME(REST ",\"state_key\":\"\",\"content\":{}") "]");
	assert_int_equal(buf_rc(&answer), RC_OK);
	hs_says(f, 200, buf_str(&answer));
	assert_ok(hs_room_state(f->hs, NULL, "!r",
			  (const char *const[]){ "m.room.name", NULL },
			  &f->arena, &s, &f->e),
		f->e);
	assert_int_equal(s.n, 1);
	assert_true(f->arena.used < 1024);
	hs_says(f, 200, buf_str(&answer));
	assert_ok(hs_room_state(f->hs, NULL, "!r",
			  (const char *const[]){ "m.room.member", NULL },
			  &f->arena, &s, &f->e),
		f->e);
	assert_int_equal(s.n, 5000);
	buf_free(&answer);
}

static void what_does_not_fit_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct buf small;
	buf_init(&small, 8);
	buf_add(&small, "before");
	hs_says(f, 200, "{\"name\":\"longer than eight\"}");
	assert_rc(hs_state(f->hs, NULL, "!r", "t", "", &small, &f->e),
		RC_TOO_LARGE);
	assert_string_equal(buf_str(&small), "before");
	buf_free(&small);
}

/* AS-127, AS-146. */
static void messages(void **state)
{
	struct fixture *f = *state;
	const char *id = NULL;
	hs_says(f, 200, "{\"event_id\":\"$e\"}");
	assert_ok(hs_send_text(f->hs, AGENT, "!r", "muster-1", "a\nb",
			  &f->arena, &id, &f->e),
		f->e);
	assert_string_equal(id, "$e");
	expect_sent(f,
		"PUT " V3 "/rooms/%21r/send/m.room.message/muster-1" AS_AGENT,
		"{\"msgtype\":\"m.text\",\"body\":\"a\\nb\"}");
	hs_says(f, 200, "{}");
	assert_rc(hs_send_text(
			  f->hs, NULL, "!r", "t", "x", &f->arena, &id, &f->e),
		RC_REMOTE);

	hs_says(f, 200, "{\"event_id\":\"$x\"}");
	assert_ok(hs_redact(f->hs, NULL, "!r", "$a/b+c", "t2", "why", &f->e),
		f->e);
	expect_sent(f, "PUT " V3 "/rooms/%21r/redact/%24a%2Fb%2Bc/t2",
		"{\"reason\":\"why\"}");
}

static void recent_messages(void **state)
{
	struct fixture *f = *state;
	struct hs_messages m = { 0 };
	hs_says(f, 200,
		"{\"chunk\":["
		"{\"type\":\"m.room.message\",\"event_id\":\"$2\","
		"\"sender\":\"@conduit:hs\",\"content\":"
		"{\"msgtype\":\"m.text\",\"body\":\"two\"}},"
		"{\"type\":\"m.room.message\",\"event_id\":\"$r\","
		"\"sender\":\"@a:hs\",\"content\":{}},"
		"{\"type\":\"m.room.message\",\"event_id\":\"$i\","
		"\"sender\":\"@a:hs\",\"content\":"
		"{\"msgtype\":\"m.image\",\"body\":\"cat\"}},"
		"{\"type\":\"m.room.message\",\"event_id\":\"$1\","
		"\"sender\":\"@b:hs\",\"content\":"
		"{\"msgtype\":\"m.notice\",\"body\":\"one\"}}],"
		"\"end\":\"t/1\"}");
	assert_ok(
		hs_recent_messages(f->hs, "!r", NULL, 10, &f->arena, &m, &f->e),
		f->e);
	expect_sent(f, "GET " V3 "/rooms/%21r/messages?dir=b&limit=10", "");
	assert_int_equal(m.n, 2);
	assert_string_equal(m.older, "t/1");
	assert_string_equal(m.items[0].event_id, "$2");
	assert_string_equal(m.items[0].sender, "@conduit:hs");
	assert_string_equal(m.items[0].body, "two");
	assert_string_equal(m.items[1].body, "one");
	hs_says(f, 200, "{\"chunk\":[],\"end\":\"t/0\"}");
	assert_ok(hs_recent_messages(
			  f->hs, "!r", m.older, 10, &f->arena, &m, &f->e),
		f->e);
	expect_sent(f,
		"GET " V3 "/rooms/%21r/messages?dir=b&limit=10&from=t%2F1", "");
	assert_int_equal(m.n, 0);
	assert_null(m.older);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(versions),
		CASE(detects_by_header),
		CASE(detects_by_greeting),
		CASE(detects_by_name),
		CASE(detects_by_version),
		CASE(kinds_have_names),
		CASE(default_room_version),
		CASE(whoami),
		CASE(ping),
		CASE(registering),
		CASE(logging_in),
		CASE(logins_that_are_refused),
		CASE(logins_that_are_offered),
		CASE(a_login_answer_must_be_whole),
		CASE(logging_in_by_password),
		CASE(ending_all_tokens_of_a_user),
		CASE(a_name_is_free),
		CASE(registering_a_human),
		CASE(devices),
		CASE(display_names),
		CASE(account_data),
		CASE(the_own_user_is_asked_once),
		CASE(making_and_finding_rooms),
		CASE(what_must_not_be_done_twice),
		CASE(coming_and_going),
		CASE(joining_no_room),
		CASE(taking_back_no_ban),
		CASE(a_kick_that_is_refused),
		CASE(joined),
		CASE(room_state),
		CASE(all_state_of_a_room),
		CASE(a_state_that_is_no_list),
		CASE(state_of_a_large_room),
		CASE(what_does_not_fit_is_an_error),
		CASE(messages),
		CASE(recent_messages),
	};
	return RUN_HS(tests);
}
