/*
 * One HTTP exchange: what goes over the wire, the connection that stays, and
 * every way in which no answer comes.
 */
#include "matrix/http.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "tests/unit/script_server.h"
#include "tests/unit/test.h"

#include "base/poison.h"

struct fixture {
	struct script *server;
	struct http *http;
	struct http_answer answer;
	atomic_bool stop;
	struct err e;
	char url[128];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->server = script_start(NULL);
	struct http_options o = { .stop = &f->stop, .max_answer = 64 * KIB };
	http_answer_init(&f->answer);
	snprintf(f->url, sizeof(f->url), "%s/x", script_url(f->server));
	*state = f;
	return http_new(&o, &f->http, &f->e) == RC_OK ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_free(f->http);
	http_answer_free(&f->answer);
	script_stop(f->server);
	free(f);
	return 0;
}

static enum rc get(struct fixture *f)
{
	struct http_request q = { .method = "GET", .url = f->url };
	return http_do(f->http, &q, &f->answer, &f->e);
}

static void sends_what_it_is_given(void **state)
{
	struct fixture *f = *state;
	struct secret token = { 0 };
	assert_rc(secret_set(&token, "t0ken", 5), RC_OK);
	script_otherwise(f->server, 200, "{}");
	struct http_request q = {
		.method = "PUT",
		.url = f->url,
		.bearer = &token,
		.body = "{\"a\":1}",
		.body_n = 7,
	};
	assert_ok(http_do(f->http, &q, &f->answer, &f->e), f->e);
	const char *text = script_text(f->server, 0);
	assert_string_equal(script_line(f->server, 0), "PUT /x HTTP/1.1");
	assert_string_equal(script_body(f->server, 0), "{\"a\":1}");
	assert_non_null(strstr(text, "\r\nAuthorization: Bearer t0ken\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Length: 7\r\n"));
	assert_null(strstr(text, "Expect"));

	q = (struct http_request){ .method = "DELETE", .url = f->url };
	assert_ok(http_do(f->http, &q, &f->answer, &f->e), f->e);
	text = script_text(f->server, 1);
	assert_string_equal(script_line(f->server, 1), "DELETE /x HTTP/1.1");
	assert_null(strstr(text, "Authorization"));
	assert_null(strstr(text, "Content-Type"));
	secret_fini(&token);
}

static void reads_status_head_and_body(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 418,
		"Server: Synapse/1.2 \x01x\r\nRetry-After: 7\r\n"
		"Date: Thu, 26 Nov 2026 11:43:09 GMT\r\n",
		"short");
	assert_ok(get(f), f->e);
	assert_int_equal(f->answer.status, 418);
	assert_string_equal(buf_str(&f->answer.body), "short");
	assert_string_equal(f->answer.server, "Synapse/1.2 x");
	assert_int_equal(f->answer.retry_after_ms, 7000);
	assert_int_equal(f->answer.date_ms, INT64_C(1795693389000));

	char head[300];
	memset(head, 'a', sizeof(head));
	memcpy(head, "Server: ", 8);
	memcpy(head + 200, "\r\nRetry-After: soon\r\n", 22);
	script_say(f->server, 200, head, "");
	assert_ok(get(f), f->e);
	assert_int_equal(strlen(f->answer.server), 63);
	assert_int_equal(f->answer.retry_after_ms, -1);
	assert_int_equal(f->answer.body.n, 0);

	script_say(f->server, 200, "", "{}");
	assert_ok(get(f), f->e);
	assert_string_equal(f->answer.server, "");
	assert_int_equal(f->answer.retry_after_ms, -1);
	assert_int_equal(f->answer.date_ms, 0);
}

static void keeps_the_connection(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{}");
	for (int i = 0; i < 5; i++)
		assert_ok(get(f), f->e);
	assert_int_equal(script_requests(f->server), 5);
	assert_int_equal(script_connections(f->server), 1);
}

static void replaces_a_closed_connection(void **state)
{
	struct fixture *f = *state;
	script_say_and_close(f->server, 200, "first");
	script_say(f->server, 200, "", "second");
	assert_ok(get(f), f->e);
	assert_ok(get(f), f->e);
	assert_string_equal(buf_str(&f->answer.body), "second");
	assert_int_equal(script_connections(f->server), 2);
}

static void a_broken_kept_connection_is_replaced_once(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 200, "", "first");
	script_reset(f->server);
	script_say(f->server, 200, "", "third");
	assert_ok(get(f), f->e);
	assert_ok(get(f), f->e);
	assert_string_equal(buf_str(&f->answer.body), "third");
	assert_int_equal(script_requests(f->server), 3);

	script_reset(f->server);
	script_reset(f->server);
	assert_rc(get(f), RC_NETWORK);
	assert_int_equal(script_requests(f->server), 5);
}

static void once_is_once(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 200, "", "{}");
	assert_ok(get(f), f->e);
	script_reset(f->server);
	struct http_request q = {
		.method = "POST",
		.url = f->url,
		.body = "{}",
		.body_n = 2,
		.once = true,
	};
	assert_rc(http_do(f->http, &q, &f->answer, &f->e), RC_NETWORK);
	assert_int_equal(script_requests(f->server), 2);
}

static void a_reset_is_a_network_error(void **state)
{
	struct fixture *f = *state;
	script_reset(f->server);
	assert_rc(get(f), RC_NETWORK);
	assert_true(strlen(f->e.text) > 0);
}

static void nobody_listens(void **state)
{
	struct fixture *f = *state;
	struct script *gone = script_start(NULL);
	snprintf(f->url, sizeof(f->url), "%s/", script_url(gone));
	script_stop(gone);
	assert_rc(get(f), RC_NETWORK);
	assert_non_null(strstr(f->e.text, "127.0.0.1"));
	assert_int_equal(http_trouble(f->http), HTTP_REFUSED);
}

static void says_what_was_in_the_way(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 200, "", "{}");
	assert_ok(get(f), f->e);
	assert_int_equal(http_trouble(f->http), HTTP_FINE);
	snprintf(f->url, sizeof(f->url), "http://nobody.invalid:1/");
	assert_rc(get(f), RC_NETWORK);
	assert_int_equal(http_trouble(f->http), HTTP_NAME_UNKNOWN);
	/* What is no URL was never anywhere. */
	snprintf(f->url, sizeof(f->url), "ftp://127.0.0.1/");
	assert_rc(get(f), RC_INVALID);
	assert_int_equal(http_trouble(f->http), HTTP_FINE);
}

static void a_silent_server_times_out(void **state)
{
	struct fixture *f = *state;
	script_be_silent(f->server);
	struct http_request q = {
		.method = "GET", .url = f->url, .timeout_ms = 150
	};
	int64_t start = clock_mono_ms();
	assert_rc(http_do(f->http, &q, &f->answer, &f->e), RC_TIMEOUT);
	int64_t took = clock_mono_ms() - start;
	assert_true(took >= 100 && took < 25000);
}

static void *raise_flag(void *arg)
{
	clock_sleep_ms(100);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void the_stop_flag_ends_a_request(void **state)
{
	struct fixture *f = *state;
	script_be_silent(f->server);
	pthread_t t;
	pthread_create(&t, NULL, raise_flag, &f->stop);
	int64_t start = clock_mono_ms();
	assert_rc(get(f), RC_STOPPING);
	assert_true(clock_mono_ms() - start < 25000);
	pthread_join(t, NULL);

	size_t before = script_requests(f->server);
	assert_rc(get(f), RC_STOPPING);
	assert_int_equal(script_requests(f->server), before);
}

static void an_answer_has_a_limit(void **state)
{
	struct fixture *f = *state;
	size_t n = 64 * KIB;
	char *big = calloc(1, n + 2);
	memset(big, ' ', n);
	script_say(f->server, 200, "", big);
	assert_ok(get(f), f->e);
	assert_int_equal(f->answer.body.n, n);

	big[n] = ' ';
	script_say(f->server, 200, "", big);
	assert_rc(get(f), RC_TOO_LARGE);
	assert_int_equal(f->answer.body.n, 0);

	/* and the client goes on working */
	script_say(f->server, 200, "", "{}");
	assert_ok(get(f), f->e);
	free(big);
}

static void redirects_are_not_followed(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 302, "Location: http://127.0.0.1:1/\r\n", "");
	assert_ok(get(f), f->e);
	assert_int_equal(f->answer.status, 302);
	assert_int_equal(script_requests(f->server), 1);
}

static void only_http_is_spoken(void **state)
{
	struct fixture *f = *state;
	snprintf(f->url, sizeof(f->url), "file:///etc/hostname");
	assert_rc(get(f), RC_INVALID);
}

static void a_token_cannot_add_headers(void **state)
{
	struct fixture *f = *state;
	const char *bad[] = { "a\r\nX: y", "a b", "a\n", "\xc3\xa9" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct secret token = { 0 };
		assert_rc(secret_set(&token, bad[i], strlen(bad[i])), RC_OK);
		struct http_request q = {
			.method = "GET", .url = f->url, .bearer = &token
		};
		assert_rc(http_do(f->http, &q, &f->answer, &f->e), RC_INVALID);
		secret_fini(&token);
	}
	assert_int_equal(script_requests(f->server), 0);
}

static void dots_in_a_path_stay(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{}");
	snprintf(f->url, sizeof(f->url), "%s/a/../b/.", script_url(f->server));
	assert_ok(get(f), f->e);
	assert_string_equal(
		script_line(f->server, 0), "GET /a/../b/. HTTP/1.1");
}

static void proxies_of_the_environment_are_ignored(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{}");
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	enum rc rc = get(f);
	unsetenv("http_proxy");
	assert_rc(rc, RC_OK);
}

static void speaks_over_a_unix_socket(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/muster-http-XXXXXX";
	char path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	struct script *server = script_start(path);
	script_say(server, 200, "", "{\"here\":1}");

	struct http_options o = { .unix_socket = path };
	struct http *http = NULL;
	assert_ok(http_new(&o, &http, &f->e), f->e);
	struct http_request q = { .method = "GET",
		.url = "http://localhost/v1/status" };
	assert_ok(http_do(http, &q, &f->answer, &f->e), f->e);
	assert_string_equal(buf_str(&f->answer.body), "{\"here\":1}");
	assert_string_equal(script_line(server, 0), "GET /v1/status HTTP/1.1");

	http_free(http);
	script_stop(server);
	unlink(path);
	rmdir(dir);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sends_what_it_is_given),
		CASE(reads_status_head_and_body),
		CASE(keeps_the_connection),
		CASE(replaces_a_closed_connection),
		CASE(a_broken_kept_connection_is_replaced_once),
		CASE(once_is_once),
		CASE(a_reset_is_a_network_error),
		CASE(nobody_listens),
		CASE(says_what_was_in_the_way),
		CASE(a_silent_server_times_out),
		CASE(the_stop_flag_ends_a_request),
		CASE(an_answer_has_a_limit),
		CASE(redirects_are_not_followed),
		CASE(only_http_is_spoken),
		CASE(a_token_cannot_add_headers),
		CASE(dots_in_a_path_stay),
		CASE(proxies_of_the_environment_are_ignored),
		CASE(speaks_over_a_unix_socket),
	};
	struct err e;
	signal(SIGPIPE, SIG_IGN);
	if (http_global_init(&e) != RC_OK)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_global_fini();
	return failed;
}
