/*
 * The listener's routes, tokens, parameters and errors.
 */
#include "tests/unit/http_listener.h"

#include <stdio.h>
#include <string.h>

#include "appservice/intake/intake.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

/* --- routes --------------------------------------------------------------- */

static void test_routes(void **state)
{
	static const struct client_case cases[] = {
		{ REQ("GET /nothing", ""), 200, "\r\n\r\n{}" },
		{ REQ("GET /nothing?x=1&y", ""), 200, "\r\n\r\n{}" },
		{ REQ("GET /open/a", ""), 200, "\"p0\":\"a\"" },
		{ REQ("GET " V1 "/two/a/x/b", AUTH), 200,
			"\"p0\":\"a\",\"p1\":\"b\"" },
		{ REQ("GET /metrics", ""), 200,
			"Content-Type: text/plain\r\n" },
		{ REQ("GET /fails", ""), 409, "M_UNKNOWN" },
		/* no such path, whoever asks */
		{ REQ("GET /", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/a/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/a/b", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET //nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothing/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /Nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothin", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothingg", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/users/", AUTH), 404, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/two/a/y/b", AUTH), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /_matrix/foo", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("PUT /_matrix/app/v2/transactions/1", AUTH), 404,
			"M_UNRECOGNIZED" },
		/* no such method, whoever asks */
		{ REQ("POST /open/a", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("OPTIONS /open/a", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/ping", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/transactions/1", AUTH), 405,
			"M_UNRECOGNIZED" },
		{ REQ("put " V1 "/transactions/1", AUTH), 405,
			"M_UNRECOGNIZED" },
	};

	client_cases(*state, cases, ARRAY_LEN(cases));
}

static void test_allow(void **state)
{
	const char *answer =
		client_ask(*state, REQ("POST /open/a", HOST CLOSE "\r\n"));

	assert_int_equal(client_status(answer), 405);
	assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, DELETE\r\n"));
	answer = client_ask(*state, REQ("GET /no", HOST CLOSE "\r\n"));
	assert_null(strstr(answer, "Allow"));
}

static void test_error_replaces_answer(void **state)
{
	const char *answer =
		client_ask(*state, REQ("GET /fails", HOST CLOSE "\r\n"));

	assert_non_null(strstr(answer,
		"\r\n\r\n{\"errcode\":\"M_UNKNOWN\","
		"\"error\":\"there is \\\"one\\\" already\"}"));
	assert_null(strstr(answer, "half"));
}

static void test_base_path(void **state)
{
	static const struct client_case cases[] = {
		{ REQ("GET /bridge/x/nothing", ""), 200, "{}" },
		{ REQ("GET /bridge/x/open/a", ""), 200, "\"p0\":\"a\"" },
		{ REQ("POST /bridge/x" V1 "/ping", AUTH), 200, "\"n\":0" },
		{ REQ("GET /nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/xnothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/x", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/x//nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("POST /bridge/x/nothing", ""), 405, "M_UNRECOGNIZED" },
	};
	struct http_server_options o = listener_options();

	(void)state;
	o.base_path = "/bridge/x/";
	struct http_server *s = listener_start(&o);
	client_cases(s, cases, ARRAY_LEN(cases));
	http_server_stop(s, 1000);
}

/* AS-28, AS-29: decoded once, and after the path was cut at its slashes. */
static void test_decoding(void **state)
{
	static const struct client_case cases[] = {
		{ REQ("GET /open/%40a%3Ahs", ""), 200, "\"p0\":\"@a:hs\"" },
		{ REQ("GET /open/@a:hs", ""), 200, "\"p0\":\"@a:hs\"" },
		{ REQ("GET /open/a+b", ""), 200, "\"p0\":\"a+b\"" },
		{ REQ("GET /open/a%2Bb", ""), 200, "\"p0\":\"a+b\"" },
		{ REQ("GET /open/a%2fb", ""), 200, "\"p0\":\"a/b\"" },
		{ REQ("GET /open/%252F", ""), 200, "\"p0\":\"%2F\"" },
		{ REQ("GET /open/%2e%2E", ""), 200, "\"p0\":\"..\"" },
		{ REQ("GET /open/%2525", ""), 200, "\"p0\":\"%25\"" },
		{ REQ("GET /open/a;b=c", ""), 200, "\"p0\":\"a;b=c\"" },
		{ REQ("GET /open/%23r%3Ahs", ""), 200, "\"p0\":\"#r:hs\"" },
		{ REQ("GET /open/%E2%82%AC", ""), 200,
			"\"p0\":\"\xe2\x82\xac\"" },
		{ REQ("GET /open/a%20b", ""), 200, "\"p0\":\"a b\"" },
		/* the rest of the path, slashes raw or not */
		{ REQ("GET " V1 "/users/@a/b:hs", AUTH), 200,
			"\"p0\":\"@a/b:hs\"" },
		{ REQ("GET " V1 "/users/%40a%2Fb%3Ahs", AUTH), 200,
			"\"p0\":\"@a/b:hs\"" },
		{ REQ("GET " V1 "/users/@a/b/:hs/", AUTH), 200,
			"\"p0\":\"@a/b/:hs/\"" },
		/* broken */
		{ REQ("GET /open/%", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%4", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%zz", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%-1", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/a%00b", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%ff", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%c0%af", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%ed%a0%80", ""), 400, "M_INVALID_PARAM" },
	};

	client_cases(*state, cases, ARRAY_LEN(cases));
}

/* AS-30: in a query names and values are decoded, and `+` is a space; of repeated
 * keys the first one counts. */
static void test_query(void **state)
{
	static const struct client_case cases[] = {
		{ REQ("GET /open/a", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q=x", ""), 200, "\"q\":\"x\"" },
		{ REQ("GET /open/a?p=1&q=%40a%2Bb%3Ahs", ""), 200,
			"\"q\":\"@a+b:hs\"" },
		{ REQ("GET /open/a?q=a+b", ""), 200, "\"q\":\"a b\"" },
		{ REQ("GET /open/a?q=1&q=2", ""), 200, "\"q\":\"1\"" },
		{ REQ("GET /open/a?Q=x", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q", ""), 200, "\"q\":\"\"" },
		{ REQ("GET /open/a?q=", ""), 200, "\"q\":\"\"" },
		{ REQ("GET /open/a?q=%zz", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q=a%26b", ""), 200, "\"q\":\"a&b\"" },
		/* names */
		{ REQ("GET /open/a?%71=x", ""), 200, "\"q\":\"x\"" },
		{ REQ("GET /open/a?%71=1&q=2", ""), 200, "\"q\":\"1\"" },
		{ REQ("GET /open/a?%2571=x", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?%51=x", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q%00=1&q%zz=2&q%ff=3&%=4&q=5", ""), 200,
			"\"q\":\"5\"" },
		{ REQ("GET /open/a?two+words=a%2Bb", ""), 200,
			"\"two words\":\"a+b\"" },
		{ REQ("GET /open/a?two%20words=x", ""), 200,
			"\"two words\":\"x\"" },
		{ REQ("GET /open/a?two%2Bwords=x", ""), 200,
			"\"two words\":null" },
		/* AS-48: a handler does not see the token */
		{ REQ("GET " V1 "/two/a/x/b?q=c&access_token=" TOKEN, ""), 200,
			"\"token\":null,\"q\":\"c\"" },
		{ REQ("GET " V1 "/two/a/x/b?q=c&access%5Ftoken=" TOKEN, AUTH),
			200, "\"token\":null,\"q\":\"c\"" },
	};

	client_cases(*state, cases, ARRAY_LEN(cases));
}

/* --- tokens --------------------------------------------------------------- */

#define PING(query, heads) REQ("POST " V1 "/ping" query, heads)

/* AS-40 to AS-45 */
static void test_auth(void **state)
{
	static const struct client_case cases[] = {
		{ PING("", AUTH), 200, "\"n\":0" },
		{ PING("?access_token=" TOKEN, ""), 200, "\"n\":0" },
		{ PING("?access_token=" TOKEN, AUTH), 200, "\"n\":0" },
		{ PING("?access_token=hs%2Dtoken-for-tests", ""), 200,
			"\"n\":0" },
		{ PING("?access%5Ftoken=" TOKEN, ""), 200, "\"n\":0" },
		{ PING("?%61ccess_token=" TOKEN, AUTH), 200, "\"n\":0" },
		{ PING("", "authorization: bEARER " TOKEN "\r\n"), 200,
			"\"n\":0" },
		{ PING("", "Authorization: Bearer  " TOKEN "\r\n"), 200,
			"\"n\":0" },
		{ PING("", "Authorization: Bearer " TOKEN " \t \r\n"), 200,
			"\"n\":0" },
		/* none, or none that can be read */
		{ PING("", ""), 401, "M_MISSING_TOKEN" },
		{ PING("?Access_Token=" TOKEN, ""), 401, "M_MISSING_TOKEN" },
		{ PING("?access%255Ftoken=" TOKEN, ""), 401,
			"M_MISSING_TOKEN" },
		{ PING("?access+token=" TOKEN, ""), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token", ""), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token=", ""), 401, "M_MISSING_TOKEN" },
		{ PING("", "Authorization: \r\n"), 401, "M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer \r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: " TOKEN "\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Basic " TOKEN "\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer " TOKEN " x\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", AUTH AUTH), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token=" TOKEN, "Authorization: Basic x\r\n"),
			401, "M_MISSING_TOKEN" },
		/* a wrong one anywhere */
		{ PING("", "Authorization: Bearer x\r\n"), 403, "M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer hs-token-for-test\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer " TOKEN "s\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer HS-token-for-tests\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("?access_token=x", ""), 403, "M_FORBIDDEN" },
		{ PING("?access_token=x", AUTH), 403, "M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN, "Authorization: Bearer x\r\n"),
			403, "M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN "&access_token=x", ""), 403,
			"M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN "&access_token=x", AUTH), 403,
			"M_FORBIDDEN" },
		{ PING("?access%5ftoken=x", ""), 403, "M_FORBIDDEN" },
		{ PING("?access%5Ftoken=x", AUTH), 403, "M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN "&access_toke%6E=x", AUTH), 403,
			"M_FORBIDDEN" },
		/* an open route looks at none */
		{ REQ("GET /nothing?access_token=x",
			  "Authorization: Bearer x\r\n"),
			200, "{}" },
		/* a wrong path says nothing about the token */
		{ REQ("GET /_matrix/foo?access_token=x", ""), 404,
			"M_UNRECOGNIZED" },
	};

	client_cases(*state, cases, ARRAY_LEN(cases));
}

/* AS-46, AS-47: refused before the body is looked at, and without a word of the
 * token. */
static void test_auth_before_body(void **state)
{
	int before = atomic_load(&listener_handled);
	const char *answer = client_ask(*state,
		PING("",
			HOST CLOSE "Authorization: Bearer secret-guess\r\n"
				   "Content-Length: 4\r\n\r\nnope"));

	assert_int_equal(client_status(answer), 403);
	assert_null(strstr(answer, "secret-guess"));
	assert_null(strstr(answer, TOKEN));
	assert_int_equal(atomic_load(&listener_handled), before);
}

static void test_token_needed(void **state)
{
	struct http_server_options o = listener_options();
	struct http_server *s = NULL;
	struct err e = { 0 };

	(void)state;
	o.token_digest = NULL;
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
	assert_null(s);
	/* Without such a route none is needed. */
	o = listener_open_options();
	s = listener_start(&o);
	http_server_stop(s, 1000);
}

/* The Application Service API's own routes, with nothing behind them. */
static void test_intake_routes(void **state)
{
	static const struct client_case cases[] = {
		{ REQ("POST " V1 "/ping", AUTH), 200, "\r\n\r\n{}" },
		{ REQ("POST /_matrix/app/unstable/fi.mau.msc2659/ping", AUTH),
			200, "\r\n\r\n{}" },
		{ REQ("PUT " V1 "/transactions/1%2F2", AUTH), 503,
			"M_UNKNOWN" },
		{ REQ("PUT /transactions/1", AUTH), 503, "M_UNKNOWN" },
		{ REQ("PUT /transactions/1", ""), 401, "M_MISSING_TOKEN" },
		{ REQ("GET " V1 "/users/@a/b:hs", AUTH), 503, "M_UNKNOWN" },
		{ REQ("GET /rooms/%23a:hs", AUTH), 503, "M_UNKNOWN" },
		{ REQ("GET /rooms/%23a:hs", ""), 401, "M_MISSING_TOKEN" },
		{ REQ("GET " V1 "/thirdparty/user/irc", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET " V1 "/thirdparty/user", AUTH), 400,
			"M_MISSING_PARAM" },
		{ REQ("GET " V1 "/thirdparty/user?alias=x", AUTH), 400,
			"M_MISSING_PARAM" },
		{ REQ("GET " V1 "/thirdparty/user?userid=x", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET " V1 "/thirdparty/location?alias=x", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET /_matrix/app/unstable/thirdparty/location", AUTH),
			400, "M_MISSING_PARAM" },
		{ REQ("POST /users/@a:b", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("DELETE " V1 "/thirdparty/user", ""), 405,
			"M_UNRECOGNIZED" },
		{ REQ("POST "
		      "/_matrix/app/unstable/org.matrix.msc3983/keys/claim",
			  AUTH),
			404, "M_UNRECOGNIZED" },
	};
	struct http_server_options o = listener_options();
	struct intake in = { 0 };

	(void)state;
	o.routes = intake_routes;
	o.n_routes = intake_n_routes;
	o.arg = &in;
	struct http_server *s = listener_start(&o);
	client_cases(s, cases, ARRAY_LEN(cases));
	http_server_stop(s, 1000);
}

/* AS-32 */
static void test_errors(void **state)
{
	static const struct {
		enum rc rc;
		int status;
		const char *errcode;
	} cases[] = {
		{ RC_NOMEM, 500, "M_UNKNOWN" },
		{ RC_INVALID, 400, "M_INVALID_PARAM" },
		{ RC_NOT_FOUND, 404, "M_NOT_FOUND" },
		{ RC_EXISTS, 409, "M_UNKNOWN" },
		{ RC_TOO_LARGE, 413, "M_TOO_LARGE" },
		{ RC_BUSY, 503, "M_UNKNOWN" },
		{ RC_IO, 500, "M_UNKNOWN" },
		{ RC_NETWORK, 502, "M_UNKNOWN" },
		{ RC_TIMEOUT, 504, "M_UNKNOWN" },
		{ RC_UNAUTHORIZED, 401, "M_UNKNOWN_TOKEN" },
		{ RC_FORBIDDEN, 403, "M_FORBIDDEN" },
		{ RC_EXCLUSIVE, 400, "M_EXCLUSIVE" },
		{ RC_LIMITED, 429, "M_LIMIT_EXCEEDED" },
		{ RC_REMOTE, 502, "M_UNKNOWN" },
		{ RC_CORRUPT, 500, "M_UNKNOWN" },
		{ RC_STOPPING, 503, "M_UNKNOWN" },
		{ RC_OK, 500, "M_UNKNOWN" },
		{ (enum rc)1000, 500, "M_UNKNOWN" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_call c = { .status = 200 };
		char want[100];

		buf_init(&c.answer, LIMIT_DOCUMENT);
		http_call_error(&c, cases[i].rc, "why");
		assert_int_equal(c.status, cases[i].status);
		snprintf(want, sizeof(want),
			"{\"errcode\":\"%s\",\"error\":\"why\"}",
			cases[i].errcode);
		assert_string_equal(buf_str(&c.answer), want);
		buf_free(&c.answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LISTENER(test_routes),
		WITH_LISTENER(test_allow),
		WITH_LISTENER(test_error_replaces_answer),
		cmocka_unit_test(test_base_path),
		WITH_LISTENER(test_decoding),
		WITH_LISTENER(test_query),
		WITH_LISTENER(test_auth),
		WITH_LISTENER(test_auth_before_body),
		cmocka_unit_test(test_token_needed),
		cmocka_unit_test(test_intake_routes),
		cmocka_unit_test(test_errors),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
