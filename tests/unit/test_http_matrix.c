/*
 * The listener with the Application Service API's own routes: what every
 * endpoint has in common. Nothing is behind them, so a handler says no; but it
 * is asked.
 */
#include "tests/unit/http_listener.h"

#include <stdio.h>
#include <string.h>

#include "appservice/intake/intake.h"
#include "appservice/ops/api.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

static struct http_server *start_with(bool no_legacy, bool no_query_token)
{
	static struct intake in;
	struct http_server_options o = listener_options();

	o.routes = intake_routes;
	o.n_routes = intake_n_routes;
	o.arg = &in;
	o.no_legacy = no_legacy;
	o.no_query_token = no_query_token;
	return listener_start(&o);
}

static int setup(void **state)
{
	*state = start_with(false, false);
	return 0;
}

#define WITH_API(fn)                                                           \
	cmocka_unit_test_setup_teardown(fn, setup, listener_teardown)

/* A path that the pattern has: its parameters are "x". */
static void path_of(const char *pattern, char *out)
{
	while (*pattern) {
		if (*pattern == '{') {
			*out++ = 'x';
			pattern = strchr(pattern, '}') + 1;
		} else {
			*out++ = *pattern++;
		}
	}
	*out = '\0';
}

/* Asks for a route's path by some method, with these headers. */
static const char *ask(const struct http_server *s, const struct route *r,
	const char *method, const char *query, const char *heads)
{
	char path[200], request[1000];

	path_of(r->pattern, path);
	snprintf(request, sizeof(request),
		"%s %s%s HTTP/1.1\r\n" HOST CLOSE "%s\r\n", method, path, query,
		heads);
	return client_ask(s, request);
}

static void assert_answer(const struct route *r, const char *answer, int status,
	const char *errcode)
{
	if (client_status(answer) != status)
		fail_msg("%s %s: expected %d, heard %s", r->method, r->pattern,
			status, answer);
	assert_error_body(answer, errcode);
	assert_null(strstr(answer, TOKEN));
}

/* AS-40, AS-41, AS-42, AS-43, AS-45, AS-49 on every endpoint. */
static void test_token_everywhere(void **state)
{
	static const struct {
		const char *query, *heads;
		int status;
		const char *errcode;
	} refused[] = {
		{ "", "", 401, "M_MISSING_TOKEN" },
		{ "", "Authorization: Basic " TOKEN "\r\n", 401,
			"M_MISSING_TOKEN" },
		{ "", "Authorization: Bearer\r\n", 401, "M_MISSING_TOKEN" },
		{ "", AUTH AUTH, 401, "M_MISSING_TOKEN" },
		{ "", "Authorization: Bearer wrong\r\n", 403, "M_FORBIDDEN" },
		{ "?access_token=wrong", "", 403, "M_FORBIDDEN" },
		{ "?access_token=wrong", AUTH, 403, "M_FORBIDDEN" },
		{ "?access%5Ftoken=wrong", AUTH, 403, "M_FORBIDDEN" },
		{ "?access_token=" TOKEN, "Authorization: Bearer wrong\r\n",
			403, "M_FORBIDDEN" },
	};
	static const char *const taken[][2] = {
		{ "", AUTH },
		{ "", "authorization: bearer " TOKEN "\r\n" },
		{ "?access_token=" TOKEN, "" },
		{ "?access_token=" TOKEN, AUTH },
	};

	for (size_t i = 0; i < intake_n_routes; i++) {
		const struct route *r = &intake_routes[i];

		for (size_t k = 0; k < ARRAY_LEN(refused); k++)
			assert_answer(r,
				ask(*state, r, r->method, refused[k].query,
					refused[k].heads),
				refused[k].status, refused[k].errcode);
		for (size_t k = 0; k < ARRAY_LEN(taken); k++) {
			int status = client_status(ask(*state, r, r->method,
				taken[k][0], taken[k][1]));
			if (!status || status == 401 || status == 403)
				fail_msg("%s: %d", r->pattern, status);
		}
	}
}

/* AS-44: without the switch a token in the query alone is none; with both,
 * both still have to be right. */
static void test_query_token_off(void **state)
{
	struct http_server *s = start_with(false, true);

	(void)state;
	for (size_t i = 0; i < intake_n_routes; i++) {
		const struct route *r = &intake_routes[i];

		assert_answer(r,
			ask(s, r, r->method, "?access_token=" TOKEN, ""), 401,
			"M_MISSING_TOKEN");
		assert_answer(r, ask(s, r, r->method, "?access_token=x", ""),
			401, "M_MISSING_TOKEN");
		assert_answer(r, ask(s, r, r->method, "?access_token=x", AUTH),
			403, "M_FORBIDDEN");
		int status = client_status(
			ask(s, r, r->method, "?access_token=" TOKEN, AUTH));
		assert_true(status && status != 401 && status != 403);
	}
	http_server_stop(s, 1000);
}

/* AS-21, AS-33: every other method of every path, also HEAD, which Matrix does
 * not know, with or without a token, and what Allow then says. */
static void test_methods(void **state)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "POST",
		"DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X" };

	for (size_t i = 0; i < intake_n_routes; i++) {
		const struct route *r = &intake_routes[i];
		char allow[64];

		snprintf(allow, sizeof(allow), "\r\nAllow: %s\r\n", r->method);
		for (size_t k = 0; k < ARRAY_LEN(methods); k++) {
			if (!strcmp(methods[k], r->method))
				continue;
			const char *answer = ask(
				*state, r, methods[k], "", k % 2 ? "" : AUTH);
			if (strcmp(methods[k], "HEAD") != 0)
				assert_answer(r, answer, 405, "M_UNRECOGNIZED");
			else
				assert_int_equal(client_status(answer), 405);
			assert_non_null(strstr(answer, allow));
		}
	}
}

/* AS-20, AS-22, AS-23: what there is not is unrecognized, whoever asks; a
 * thing that there is not, on a path that there is, is not found. */
static void test_unknown(void **state)
{
	static const char *const paths[] = {
		"GET " V1 "/nope",
		"PUT /_matrix/app/v2/transactions/1",
		"POST /_matrix/app/unstable/org.matrix.msc3983/keys/claim",
		"GET /_matrix/foo",
		"GET /_matrix",
		"GET /",
		"GET " V1 "/users",
		"GET " V1 "/users/",
		"GET " V1 "/rooms/",
		"PUT " V1 "/transactions",
		"PUT " V1 "/transactions/",
		"PUT " V1 "/transactions/1/2",
		"PUT " V1 "//transactions/1",
		"PUT /" V1 "/transactions/1",
		"PUT " V1 "/transactions/1/",
		"PUT " V1 "/./transactions/1",
		"PUT " V1 "/x/../transactions/1",
		"PUT " V1 "/x/%2e%2E/transactions/1",
		"PUT " V1 "/..%2Fv1/transactions/1",
		"PUT /_matrix/app/V1/transactions/1",
		"PUT /_matrix%2Fapp/v1/transactions/1",
		"PUT /_matrix/app/v%31/transactions/1",
		"PUT " V1 "/transactions;x/1",
		"PUT " V1 "/transactions%00/1",
		"POST " V1 "/ping/",
		"GET /health/live",
	};
	static const char *const heads[] = { "", AUTH,
		"Authorization: Bearer wrong\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		for (size_t k = 0; k < ARRAY_LEN(heads); k++) {
			char request[500];
			snprintf(request, sizeof(request),
				"%s HTTP/1.1\r\n" HOST "%s\r\n", paths[i],
				heads[k]);
			const char *answer = client_ask(*state, request);
			if (client_status(answer) != 404)
				fail_msg("%s: %s", request, answer);
			assert_error_body(answer, "M_UNRECOGNIZED");
		}
	static const struct client_case found[] = {
		{ REQ("GET " V1 "/users/x", AUTH), 503, "M_UNKNOWN" },
		{ REQ("GET " V1 "/rooms/x", AUTH), 503, "M_UNKNOWN" },
		{ REQ("GET " V1 "/thirdparty/protocol/x", AUTH), 404,
			"M_NOT_FOUND" },
	};
	client_cases(*state, found, ARRAY_LEN(found));
}

/* AS-91a: an id that cannot be decoded names nobody. Of a transaction it is a
 * mistake. */
static void test_malformed_ids(void **state)
{
	static const char *const ids[] = { "%", "%4", "%zz", "a%00b", "%ff",
		"%c0%af", "%ed%a0%80", "%f4%90%80%80" };
	static const char *const lookups[] = { V1 "/users/", V1 "/rooms/",
		"/users/", "/rooms/", V1 "/thirdparty/protocol/" };
	char line[200];

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct client_case one = { line, 404, "M_NOT_FOUND" };
		for (size_t k = 0; k < ARRAY_LEN(lookups); k++) {
			snprintf(line, sizeof(line),
				"GET %s%s HTTP/1.1\r\n" AUTH, lookups[k],
				ids[i]);
			client_cases(*state, &one, 1);
		}
		snprintf(line, sizeof(line),
			"PUT " V1 "/transactions/%s HTTP/1.1\r\n" AUTH, ids[i]);
		one = (struct client_case){ line, 400, "M_INVALID_PARAM" };
		client_cases(*state, &one, 1);
	}
}

static const struct route *stable_of(const struct route *old)
{
	for (size_t i = 0; i < intake_n_routes; i++)
		if (!(intake_routes[i].flags & ROUTE_LEGACY) &&
			intake_routes[i].handler == old->handler &&
			strcmp(strrchr(intake_routes[i].pattern, '/'),
				strrchr(old->pattern, '/')) == 0)
			return &intake_routes[i];
	fail_msg("%s has no stable path", old->pattern);
	return NULL;
}

/* What is behind the date. */
static const char *less_date(const char *answer)
{
	return strstr(answer, "GMT");
}

/* AS-97, AS-99: at the older paths all is the same, also the second time. */
static void test_legacy_is_the_same(void **state)
{
	char first[1000];
	size_t n = 0;

	for (size_t i = 0; i < intake_n_routes; i++) {
		const struct route *old = &intake_routes[i], *now;

		if (!(old->flags & ROUTE_LEGACY))
			continue;
		now = stable_of(old);
		assert_string_equal(old->method, now->method);
		assert_int_equal(old->max_body, now->max_body);
		assert_int_equal(old->flags, now->flags | ROUTE_LEGACY);
		snprintf(first, sizeof(first), "%s",
			less_date(ask(*state, now, now->method, "", AUTH)));
		assert_string_equal(
			less_date(ask(*state, old, old->method, "", AUTH)),
			first);
		assert_string_equal(
			less_date(ask(*state, old, old->method, "", AUTH)),
			first);
		n++;
	}
	/* transactions, ping, users, rooms, five of third parties */
	assert_int_equal(n, 9);
}

/* AS-98, AS-34: off, they are not there; and nothing ever sends elsewhere. */
static void test_legacy_off(void **state)
{
	struct http_server *s = start_with(true, false);

	(void)state;
	for (size_t i = 0; i < intake_n_routes; i++) {
		const struct route *r = &intake_routes[i];
		const char *answer = ask(s, r, r->method, "", AUTH);

		assert_null(strstr(answer, "Location"));
		if (r->flags & ROUTE_LEGACY)
			assert_answer(r, answer, 404, "M_UNRECOGNIZED");
		else
			assert_null(strstr(answer, "M_UNRECOGNIZED"));
		if (r->flags & ROUTE_LEGACY)
			assert_answer(r, ask(s, r, "DELETE", "", ""), 404,
				"M_UNRECOGNIZED");
	}
	http_server_stop(s, 1000);
}

/* AS-26, AS-27: no content type is asked for; a success is `{}`. */
static void test_ping_body(void **state)
{
#define PING "POST " V1 "/ping HTTP/1.1\r\n" HOST AUTH CLOSE
	static const char *const requests[] = {
		PING "Content-Length: 2\r\n\r\n{}",
		PING "Content-Length: 2\r\n"
		     "Content-Type: application/json; charset=utf-8\r\n\r\n{}",
		PING "Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}",
		PING "Content-Length: 2\r\nContent-Type: \r\n\r\n{}",
		PING "\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const char *answer = client_ask(*state, requests[i]);

		assert_int_equal(client_status(answer), 200);
		assert_non_null(strstr(
			answer, "\r\nContent-Type: application/json\r\n"));
		assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n{}");
	}
}

static bool below_matrix(const struct route *r)
{
	return !strncmp(r->pattern, "/_matrix", strlen("/_matrix"));
}

/* AS-164: health is outside of /_matrix, and at no path of the API. */
static void test_health_is_elsewhere(void **state)
{
	struct http_server *s = start_with(false, false);

	(void)state;
	for (size_t i = 0; i < api_n_routes; i++)
		assert_false(below_matrix(&api_routes[i]));
	for (size_t i = 0; i < health_n_routes; i++) {
		const struct route *r = &health_routes[i];

		assert_false(below_matrix(r));
		assert_answer(
			r, ask(s, r, r->method, "", ""), 404, "M_UNRECOGNIZED");
	}
	http_server_stop(s, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_token_everywhere),
		cmocka_unit_test(test_query_token_off),
		WITH_API(test_methods),
		WITH_API(test_unknown),
		WITH_API(test_malformed_ids),
		WITH_API(test_legacy_is_the_same),
		cmocka_unit_test(test_legacy_off),
		WITH_API(test_ping_body),
		cmocka_unit_test(test_health_is_elsewhere),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
