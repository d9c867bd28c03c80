/*
 * The homeserver client: what every failure is called, in which words, and how
 * a rate limit is waited out.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "matrix/hs_priv.h"
#include "tests/unit/hs_fixture.h"

#include "base/poison.h"

/* --- failures ---------------------------------------------------------- */

/* An error code says more than its status, but for M_UNKNOWN (AS-129); AS-105,
 * AS-114. */
static void every_status_has_its_result(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int status;
		const char *errcode;
		enum rc rc;
	} cases[] = {
		{ 401, "M_UNKNOWN_TOKEN", RC_UNAUTHORIZED },
		{ 401, "M_MISSING_TOKEN", RC_UNAUTHORIZED },
		{ 403, "M_FORBIDDEN", RC_FORBIDDEN },
		{ 403, "M_EXCLUSIVE", RC_EXCLUSIVE },
		{ 400, "M_EXCLUSIVE", RC_EXCLUSIVE },
		{ 404, "M_NOT_FOUND", RC_NOT_FOUND },
		{ 404, "M_UNRECOGNIZED", RC_REMOTE },
		{ 400, "M_USER_IN_USE", RC_EXISTS },
		{ 400, "M_ROOM_IN_USE", RC_EXISTS },
		{ 409, "M_UNKNOWN", RC_EXISTS },
		{ 400, "M_BAD_JSON", RC_REMOTE },
		{ 413, "M_TOO_LARGE", RC_REMOTE },
		{ 500, "M_UNKNOWN", RC_REMOTE },
		{ 502, "M_CONNECTION_FAILED", RC_REMOTE },
		{ 503, "M_X", RC_REMOTE },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char body[128], want[128];
		snprintf(body, sizeof(body),
			"{\"errcode\":\"%s\",\"error\":\"some words\"}",
			cases[i].errcode);
		snprintf(want, sizeof(want),
			"POST " V3 "/rooms/%%21r/join: %d %s: some words",
			cases[i].status, cases[i].errcode);
		hs_says(f, cases[i].status, body);
		assert_rc(hs_join(f->hs, AGENT, "!r", &f->e), cases[i].rc);
		assert_string_equal(f->e.text, want);
		const struct hs_failure *failure = hs_failure(f->hs);
		assert_int_equal(failure->status, cases[i].status);
		assert_string_equal(failure->errcode, cases[i].errcode);
		assert_int_equal(failure->retry_after_ms, -1);
	}
	assert_int_equal(
		script_requests(f->server), sizeof(cases) / sizeof(cases[0]));
}

static void expect_failure(
	struct fixture *f, int status, const char *body, const char *text)
{
	hs_says(f, status, body);
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	char want[512];
	snprintf(want, sizeof(want), "POST " V3 "/logout: %s", text);
	assert_string_equal(f->e.text, want);
	assert_int_equal(hs_failure(f->hs)->status, status);
}

static void odd_answers_in_words(void **state)
{
	struct fixture *f = *state;
	expect_failure(f, 500, "",
		"500 with an empty answer (the homeserver's log may say why)");
	expect_failure(f, 502, "<html>\r\n<b>Bad", "502: <html>  <b>Bad");
	expect_failure(f, 404, "not here", "404: not here");
	expect_failure(f, 500, "{\"errcode\":\"M_X\"}",
		"500 M_X: "
		"{\"errcode\":\"M_X\"}");
	expect_failure(f, 500, "{\"errcode\":7,\"error\":\"a\\u001bb\\u0085\"}",
		"500: a b ");
	expect_failure(f, 500, "a\xff\xc3", "500: a??");
	expect_failure(f, 301, "moved",
		"301, a redirect: set the homeserver's URL to where it really "
		"answers");
	expect_failure(f, 200, "<html>",
		"200, but the answer is not a JSON object (1:1: found '<', "
		"expected a value): is a homeserver behind this URL?");
	hs_says(f, 200, "[]");
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	assert_non_null(strstr(f->e.text, "not a JSON object"));
	hs_says(f, 200, "");
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	hs_says(f, 201, "{}");
	assert_ok(hs_logout(f->hs, &f->e), f->e);
}

static void words_are_cut_at_200_bytes(void **state)
{
	struct fixture *f = *state;
	char body[600];
	/* 199 bytes, then a letter of two that does not fit any more */
	memset(body, 'w', sizeof(body));
	memcpy(body + 199, "\xc3\xa9", 2);
	body[599] = '\0';
	hs_says(f, 500, body);
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	const char *words = strstr(f->e.text, "500: ") + 5;
	assert_int_equal(strlen(words), 199);
	assert_int_equal(strspn(words, "w"), 199);
	memset(body, 'w', 599);
	hs_says(f, 500, body);
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	assert_int_equal(strlen(strstr(f->e.text, "500: ") + 5), 200);
}

static void long_paths_are_cut_in_words_only(void **state)
{
	struct fixture *f = *state;
	char id[256];
	memset(id, 'x', sizeof(id));
	id[0] = '!';
	id[255] = '\0';
	hs_says(f, 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"no\"}");
	assert_rc(hs_join(f->hs, AGENT, id, &f->e), RC_FORBIDDEN);
	assert_non_null(strstr(f->e.text, "xxx\xe2\x80\xa6: 403 M_FORBIDDEN"));
	assert_true(strlen(f->e.text) < 220);
	assert_non_null(strstr(script_line(f->server, 0), "xxx/join?user_id="));
}

static void the_token_is_in_no_error_text(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 401,
		"{\"errcode\":\"M_UNKNOWN_TOKEN\",\"error\":\"Unknown " TOKEN
		" and " TOKEN "\"}");
	assert_rc(hs_logout(f->hs, &f->e), RC_UNAUTHORIZED);
	assert_null(strstr(f->e.text, "ekret"));
	assert_non_null(strstr(f->e.text, "Unknown *** and ***"));

	/* also where the cut goes through it */
	char body[512];
	memset(body, 'w', 195);
	snprintf(body + 195, sizeof(body) - 195, "%s", TOKEN);
	hs_says(f, 500, body);
	assert_rc(hs_logout(f->hs, &f->e), RC_REMOTE);
	assert_non_null(strstr(f->e.text, "www***"));
	assert_null(strstr(f->e.text, "as-"));

	break_connections(f);
	assert_rc(hs_logout(f->hs, &f->e), RC_NETWORK);
	assert_null(strstr(f->e.text, "ekret"));
	assert_int_equal(hs_failure(f->hs)->status, 0);
	assert_non_null(strstr(f->e.text, "POST " V3 "/logout: "));
}

static void ids_are_never_empty(void **state)
{
	struct fixture *f = *state;
	assert_rc(hs_join(f->hs, NULL, "", &f->e), RC_INVALID);
	assert_rc(hs_state(f->hs, NULL, "!r", "", "", &f->text, &f->e),
		RC_INVALID);
	assert_int_equal(script_requests(f->server), 0);
}

/* AS-126. */
static void a_body_too_large_is_not_sent(void **state)
{
	struct fixture *f = *state;
	const char *id = NULL;
	size_t n = 2 * 1024 * 1024;
	char *text = calloc(1, n + 1);
	memset(text, 'x', n);
	assert_rc(hs_send_text(
			  f->hs, NULL, "!r", "t", text, &f->arena, &id, &f->e),
		RC_TOO_LARGE);
	assert_int_equal(script_requests(f->server), 0);
	free(text);
}

static void urls_that_are_none(void **state)
{
	struct fixture *f = *state;
	const char *bad[] = { "", "localhost:8008", "ftp://hs", "http://",
		"http:///x", "http://user:pw@hs", "http://hs?x", "http://hs#x",
		"http://h s", "https://hs\n" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct hs_options o = { .url = bad[i] };
		struct hs *hs = NULL;
		assert_rc(hs_new(&o, &hs, &f->e), RC_INVALID);
		assert_null(hs);
		assert_null(strstr(f->e.text, "pw"));
	}
}

static void a_base_may_have_a_path_and_a_slash(void **state)
{
	struct fixture *f = *state;
	char url[128];
	snprintf(url, sizeof(url), "%s/prefix/", script_url(f->server));
	struct hs_options o = { .url = url }; /* no gate, no token */
	struct hs *hs = NULL;
	assert_ok(hs_new(&o, &hs, &f->e), f->e);
	hs_says(f, 200, "{}");
	assert_ok(hs_logout(hs, &f->e), f->e);
	expect_sent(f, "POST /prefix" V3 "/logout", "{}");
	assert_false(sent_any_token(f));
	hs_free(hs);
}

static void one_connection_for_many_calls(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{}");
	for (int i = 0; i < 10; i++)
		assert_ok(hs_join(f->hs, AGENT, "!r", &f->e), f->e);
	hs_says(f, 500, "");
	assert_rc(hs_join(f->hs, AGENT, "!r", &f->e), RC_REMOTE);
	assert_ok(hs_join(f->hs, AGENT, "!r", &f->e), f->e);
	assert_int_equal(script_connections(f->server), 1);
}

/* --- rate limits ------------------------------------------------------- */

#define LIMITED(ms)                                                            \
	"{\"errcode\":\"M_LIMIT_EXCEEDED\",\"error\":\"slow\","                \
	"\"retry_after_ms\":" #ms "}"

static int64_t timed_logout(struct fixture *f)
{
	int64_t start = clock_mono_ms();
	assert_ok(hs_logout(f->hs, &f->e), f->e);
	return clock_mono_ms() - start;
}

/* AS-125. */
static void retry_after_header_comes_first(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 429, "Retry-After: 1\r\n", LIMITED(59000));
	hs_says(f, 200, "{}");
	int64_t took = timed_logout(f);
	assert_true(took >= 990 && took < 50000);
	assert_int_equal(script_requests(f->server), 2);
	assert_string_equal(
		script_text(f->server, 0), script_text(f->server, 1));
	assert_int_equal(hs_gate_requests(f->gate), 2);
	assert_int_equal(hs_gate_writes(f->gate), 2);
}

/* AS-125. */
static void then_the_body(void **state)
{
	struct fixture *f = *state;
	/* Longer than our own would be each time, which is 1 and 2 s at most. */
	hs_says(f, 429, LIMITED(1500));
	script_say(f->server, 429, "Retry-After: 0\r\n", LIMITED(2500));
	hs_says(f, 200, "{}");
	int64_t took = timed_logout(f);
	assert_true(took >= 3990);
	assert_int_equal(script_requests(f->server), 3);
}

/* AS-125. */
static void then_our_own_back_off(void **state)
{
	struct fixture *f = *state;
	hs_says(f, 429, "");
	hs_says(f, 200, "{}");
	int64_t took = timed_logout(f);
	assert_true(took >= 490 && took < 50000);
}

static void long_pauses_are_the_callers(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 429, "Retry-After: 61\r\n", LIMITED(100));
	int64_t start = clock_mono_ms();
	assert_rc(hs_logout(f->hs, &f->e), RC_LIMITED);
	assert_true(clock_mono_ms() - start < 50000);
	const struct hs_failure *failure = hs_failure(f->hs);
	assert_int_equal(failure->status, 429);
	assert_string_equal(failure->errcode, "M_LIMIT_EXCEEDED");
	assert_true(failure->retry_after_ms > 30000 &&
		failure->retry_after_ms <= 61000);
	assert_non_null(strstr(f->e.text, "POST " V3 "/logout: "));
	char said[32];
	snprintf(said, sizeof(said), " %lld s",
		(long long)(failure->retry_after_ms + 999) / 1000);
	assert_non_null(strstr(f->e.text, said));
}

static void a_pause_of_days_is_an_hour(void **state)
{
	struct fixture *f = *state;
	script_say(f->server, 429, "Retry-After: 864000\r\n", "");
	assert_rc(hs_logout(f->hs, &f->e), RC_LIMITED);
	assert_true(hs_failure(f->hs)->retry_after_ms <= 3600000);
}

static void many_short_pauses_add_up(void **state)
{
	struct fixture *f = *state;
	f->hs->spend_max_ms = 250;
	for (int i = 0; i < 10; i++)
		hs_says(f, 429, LIMITED(100));
	assert_rc(hs_logout(f->hs, &f->e), RC_LIMITED);
	assert_int_equal(script_requests(f->server), 3);
}

static void a_pause_holds_everybody_back(void **state)
{
	struct fixture *f = *state;
	struct hs *patient = make_client(f), *hasty = make_client(f);
	f->hs->pause_max_ms = hasty->pause_max_ms = 100;
	script_otherwise(f->server, 200, "{}");
	hs_says(f, 429, LIMITED(4000));

	int64_t start = clock_mono_ms();
	assert_rc(hs_logout(f->hs, &f->e), RC_LIMITED);
	assert_rc(hs_logout(hasty, &f->e), RC_LIMITED);
	assert_int_equal(hs_failure(hasty)->status, 0);
	assert_int_equal(script_requests(f->server), 1);
	assert_ok(hs_logout(patient, &f->e), f->e);
	int64_t took = clock_mono_ms() - start;
	assert_true(took >= 3990 && took < 50000);
	assert_ok(hs_logout(f->hs, &f->e), f->e);
	hs_free(patient);
	hs_free(hasty);
}

static void *raise_flag(void *arg)
{
	clock_sleep_ms(150);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void stopping_ends_a_pause(void **state)
{
	struct fixture *f = *state;
	pthread_t t;
	hs_says(f, 429, LIMITED(30000));
	pthread_create(&t, NULL, raise_flag, &f->stop);
	int64_t start = clock_mono_ms();
	assert_rc(hs_logout(f->hs, &f->e), RC_STOPPING);
	assert_true(clock_mono_ms() - start < 25000);
	assert_int_equal(script_requests(f->server), 1);
	pthread_join(t, NULL);
}

static void stopping_ends_a_request(void **state)
{
	struct fixture *f = *state;
	pthread_t t;
	script_be_silent(f->server);
	pthread_create(&t, NULL, raise_flag, &f->stop);
	int64_t start = clock_mono_ms();
	assert_rc(hs_logout(f->hs, &f->e), RC_STOPPING);
	assert_true(clock_mono_ms() - start < 25000);
	pthread_join(t, NULL);
}

/* As often as it may. */
static bool count_down(void *arg)
{
	int *left = arg;
	return (*left)-- > 0;
}

static void asked_before_each_request(void **state)
{
	struct fixture *f = *state;
	int left = 2;
	struct hs_options o = { .url = script_url(f->server),
		.may_send = count_down,
		.arg = &left };
	struct hs *hs = NULL;
	assert_ok(hs_new(&o, &hs, &f->e), f->e);
	/* Also before one that is sent again. */
	hs_says(f, 429, LIMITED(1));
	hs_says(f, 200, "{}");
	assert_ok(hs_logout(hs, &f->e), f->e);
	assert_int_equal(left, 0);
	assert_rc(hs_logout(hs, &f->e), RC_STOPPING);
	assert_non_null(strstr(f->e.text, "not sent"));
	assert_int_equal(script_requests(f->server), 2);
	hs_free(hs);
}

static void silence_times_out(void **state)
{
	struct fixture *f = *state;
	struct hs_options o = { .url = script_url(f->server),
		.timeout_ms = 100 };
	struct hs *hs = NULL;
	assert_ok(hs_new(&o, &hs, &f->e), f->e);
	script_be_silent(f->server);
	assert_rc(hs_logout(hs, &f->e), RC_TIMEOUT);
	assert_non_null(strstr(f->e.text, "POST " V3 "/logout: "));
	hs_free(hs);
}

struct worker {
	pthread_t thread;
	struct fixture *f;
	struct hs *hs;
	int done;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct err e;
	for (int i = 0; i < 25; i++) {
		if (hs_join(w->hs, AGENT, "!r", &e) == RC_OK)
			w->done++;
	}
	return NULL;
}

static void many_threads_share_a_gate(void **state)
{
	struct fixture *f = *state;
	struct worker workers[4] = { 0 };
	script_otherwise(f->server, 200, "{}");
	for (int i = 0; i < 5; i++)
		hs_says(f, 429, LIMITED(60));
	for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
		workers[i].hs = make_client(f);
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].done, 25);
		hs_free(workers[i].hs);
	}
	assert_int_equal(hs_gate_requests(f->gate), 105);
	assert_int_equal(hs_gate_writes(f->gate), 105);
	assert_int_equal(script_requests(f->server), 105);
}

static void reads_are_no_writes(void **state)
{
	struct fixture *f = *state;
	script_otherwise(f->server, 200, "{\"versions\":[]}");
	assert_ok(hs_versions(f->hs, NULL, &f->e), f->e);
	assert_ok(hs_join(f->hs, NULL, "!r", &f->e), f->e);
	hs_says(f, 200, "{\"duration_ms\":1}");
	int64_t ms = 0;
	assert_ok(hs_ping(f->hs, "muster", "t", &ms, &f->e), f->e);
	assert_int_equal(hs_gate_requests(f->gate), 3);
	assert_int_equal(hs_gate_writes(f->gate), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_status_has_its_result),
		CASE(odd_answers_in_words),
		CASE(words_are_cut_at_200_bytes),
		CASE(long_paths_are_cut_in_words_only),
		CASE(the_token_is_in_no_error_text),
		CASE(ids_are_never_empty),
		CASE(a_body_too_large_is_not_sent),
		CASE(urls_that_are_none),
		CASE(a_base_may_have_a_path_and_a_slash),
		CASE(one_connection_for_many_calls),
		CASE(retry_after_header_comes_first),
		CASE(then_the_body),
		CASE(then_our_own_back_off),
		CASE(long_pauses_are_the_callers),
		CASE(a_pause_of_days_is_an_hour),
		CASE(many_short_pauses_add_up),
		CASE(a_pause_holds_everybody_back),
		CASE(stopping_ends_a_pause),
		CASE(stopping_ends_a_request),
		CASE(asked_before_each_request),
		CASE(silence_times_out),
		CASE(many_threads_share_a_gate),
		CASE(reads_are_no_writes),
	};
	return RUN_HS(tests);
}
