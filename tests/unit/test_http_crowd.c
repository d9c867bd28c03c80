/*
 * The listener among many strangers: whatever they do with their connections,
 * who has the token gets through.
 */
#include "tests/unit/http_listener.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "base/poison.h"

#define TXN REQ("PUT " V1 "/transactions/1", HOST AUTH)

static char heard[10000];

/* --- a crowd -------------------------------------------------------------- */

#define CROWD_MAX 5000

static int crowd[CROWD_MAX];

/* All connected; those that were cut off stay in it. */
static void crowd_come(const struct http_server *s, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		crowd[i] = client_connect(s);
		if (text)
			client_say(crowd[i], text);
	}
}

static void crowd_say(size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		client_say(crowd[i], text);
}

static void crowd_go(size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(crowd[i]);
}

/* As many as the process can have, with the listener's own beside them. */
static size_t crowd_size(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	size_t room = limit.rlim_cur / 2;
	return room < CROWD_MAX ? room : CROWD_MAX;
}

static void transaction_on(int fd)
{
	assert_true(client_say(fd, TXN "Content-Length: 2\r\n\r\n{}"));
	client_hear_until(fd, "\"two words\":null}", heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
}

static void transactions(const struct http_server *s, int n)
{
	for (int i = 0; i < n; i++) {
		int fd = client_connect(s);
		transaction_on(fd);
		close(fd);
	}
}

/* How many of them are answered while a request takes long. */
static int answered_meanwhile(const int *fds, size_t n)
{
	bool answered[16] = { false };
	int ret = 0;

	while (atomic_load(&listener_slow) == 1) {
		for (size_t i = 0; i < n; i++)
			if (!answered[i] &&
				recv(fds[i], heard, sizeof(heard),
					MSG_DONTWAIT) > 0) {
				answered[i] = true;
				ret++;
			}
		clock_sleep_ms(1);
	}
	return ret;
}

/* The same of seven connections that came one after the other and stay. */
static int spread(const struct http_server *s)
{
	int fds[8];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_connect(s);
		transaction_on(fds[i]);
	}
	listener_slow_ms = 6000; /* a machine that is busy is slow, too */
	atomic_store(&listener_slow, 0);
	assert_true(client_say(fds[0], REQ("GET /slow", HOST "\r\n")));
	for (int i = 0; i < 5000 && !atomic_load(&listener_slow); i++)
		clock_sleep_ms(1);
	assert_int_equal(atomic_load(&listener_slow), 1);
	for (size_t i = 1; i < ARRAY_LEN(fds); i++)
		assert_true(client_say(fds[i], TXN "\r\n"));
	const int ret = answered_meanwhile(fds + 1, ARRAY_LEN(fds) - 1);
	assert_int_equal(atomic_load(&listener_slow), 2);
	listener_slow_ms = 300;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	return ret;
}

/* One request that takes long does not hold up the most of them: where the
 * machine does not let a thread run that was woken, another takes more, so not
 * every time. */
static void test_spread(void **state)
{
	int answered = 0;

	for (int i = 0; i < 5 && answered < 4; i++)
		answered = spread(*state);
	assert_true(answered >= 4);
}

static size_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_idle(void **state)
{
	crowd_come(*state, 500, NULL);
	transactions(*state, 50);
	crowd_go(500);
}

static void test_half_heads(void **state)
{
	crowd_come(*state, 500, "PUT " V1 "/transactions/1 HTTP/1.1\r\nHost:");
	transactions(*state, 50);
	crowd_go(500);
}

static void test_one_byte_now_and_then(void **state)
{
	crowd_come(*state, 500, "GET /");
	for (int i = 0; i < 10; i++) {
		crowd_say(500, "a");
		transactions(*state, 5);
	}
	crowd_go(500);
}

/* They have shown no token, or have a route that needs none. */
static void test_half_bodies(void **state)
{
	crowd_come(*state, 500,
		REQ("DELETE /open/a", HOST "Content-Length: 100\r\n\r\nx"));
	transactions(*state, 50);
	crowd_go(500);
}

/* Who has shown the token keeps its connection, the oldest of all, while many
 * more strangers come than are let in. */
static void test_thousands(void **state)
{
	size_t n = crowd_size();
	int kept = client_connect(*state);

	transaction_on(kept);
	crowd_come(*state, n, NULL);
	transaction_on(kept);
	/* Of 1,024 connections, the room of each thread, and what else is
	 * open. */
	assert_in_range(descriptors(), n, n + 1500);
	transactions(*state, 50);
	crowd_say(n, "GET /");
	transaction_on(kept);
	transactions(*state, 50);
	close(kept);
	crowd_go(n);
}

/* --- descriptors ---------------------------------------------------------- */

static rlim_t set_limit(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlim_t was = limit.rlim_cur;
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return was;
}

static void connect_to(int fd, const struct http_server *s)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)http_server_port(s)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	assert_int_equal(
		connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
}

/* When there are no more, strangers go; and when none is there to go, it is
 * tried again. */
static void test_no_descriptors(void **state)
{
	enum { STRANGERS = 100 };
	int last = -1;

	for (size_t i = 0; i < STRANGERS; i++)
		crowd[i] = socket(AF_INET, SOCK_STREAM, 0);
	int mine = socket(AF_INET, SOCK_STREAM, 0);
	int late = socket(AF_INET, SOCK_STREAM, 0);
	last = late;
	rlim_t was = set_limit((rlim_t)last + 5);
	for (size_t i = 0; i < STRANGERS; i++)
		connect_to(crowd[i], *state);
	connect_to(mine, *state);
	transaction_on(mine);
	crowd_go(STRANGERS);
	close(mine);

	set_limit((rlim_t)3);
	connect_to(late, *state);
	client_say(late, TXN CLOSE "\r\n");
	clock_sleep_ms(50);
	set_limit(was);
	client_hear_all(late, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
	close(late);
}

/* --- answers that are not read -------------------------------------------- */

static void wait_descriptors(size_t n)
{
	for (int i = 0; i < 1000 && descriptors() != n; i++)
		clock_sleep_ms(10);
	assert_int_equal(descriptors(), n);
}

/* The deadline is also for the answer: who reads nothing is cut off. */
static void test_answer_not_read(void **state)
{
	struct http_server_options o = listener_options();

	(void)state;
	o.deadline_ms = 3000; /* until then it can be seen that it is there */
	struct http_server *s = listener_start(&o);
	size_t before = descriptors();
	int fd = client_connect(s);

	client_say(fd, REQ("GET /big", HOST AUTH CLOSE "\r\n"));
	wait_descriptors(before + 2);
	wait_descriptors(before + 1); /* ours */
	size_t n = 0;
	for (;;) {
		ssize_t got = recv(fd, heard, sizeof(heard), 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	assert_in_range(n, 1, LISTENER_BIG - 1);
	close(fd);
	http_server_stop(s, 1000);
}

/* Sends a whole large body, and only then looks for the answer: it is there,
 * although nobody has read the body. AS-47 */
static void refused_with_body(
	const struct http_server *s, const char *head, int status)
{
	char *body = calloc(1, 500000);
	int fd = client_connect(s);

	assert_non_null(body);
	client_say(fd, head);
	assert_true(client_say_n(fd, body, 500000));
	client_hear_all(fd, heard, sizeof(heard));
	if (client_status(heard) != status || errno == ECONNRESET)
		fail_msg("%s: heard %s", head, heard);
	close(fd);
	free(body);
}

static void test_refused_is_heard(void **state)
{
#define BIG "Content-Length: 500000\r\n\r\n"
	size_t before = descriptors();

	errno = 0;
	for (int i = 0; i < 10; i++) {
		refused_with_body(*state,
			REQ("PUT " V1 "/transactions/1", HOST BIG), 401);
		refused_with_body(*state,
			REQ("PUT " V1 "/transactions/1",
				HOST "Authorization: Bearer x\r\n" BIG),
			403);
		refused_with_body(*state, REQ("PUT /no", HOST AUTH BIG), 404);
		refused_with_body(*state, REQ("PUT /open/a", HOST BIG), 405);
		refused_with_body(*state, TXN BIG, 413);
		refused_with_body(
			*state, REQ("PUT /a", "Host : x\r\n" BIG), 400);
	}
	/* Nothing is left of them. */
	wait_descriptors(before);
}

/* One that goes on sending is not listened to for ever. */
static void test_linger_ends(void **state)
{
	static char lot[100000];
	int fd = client_connect(*state), sent = 0;

	client_say(fd, REQ("PUT /no", HOST "Content-Length: 99999999\r\n\r\n"));
	while (sent < 10000 && client_say_n(fd, lot, sizeof(lot)))
		sent++;
	assert_in_range(sent, 1, 9999);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LISTENER(test_idle),
		WITH_LISTENER(test_spread),
		WITH_LISTENER(test_half_heads),
		WITH_LISTENER(test_one_byte_now_and_then),
		WITH_LISTENER(test_half_bodies),
		WITH_LISTENER(test_thousands),
		WITH_LISTENER(test_no_descriptors),
		cmocka_unit_test(test_answer_not_read),
		WITH_LISTENER(test_refused_is_heard),
		WITH_LISTENER(test_linger_ends),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
