/*
 * The listener on the wire: how slow a request may be, on which sockets it
 * comes, and what happens to it at the end.
 */
#include "tests/unit/http_listener.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "base/poison.h"

static char heard[10000];

#define TXN REQ("PUT " V1 "/transactions/1", HOST AUTH)

/* --- deadlines ------------------------------------------------------------ */

/* By then what ends has ended, also where a machine is busy. */
#define AT_LAST_MS 25000
/* Tries of what a machine that is busy may be too slow for. */
#define TRIES 10

/* Sends one byte every 50 ms; how long until the other side closed. */
static int64_t dribble(int fd, const char *byte)
{
	int64_t begun = clock_mono_ms();
	char c;

	while (clock_mono_ms() - begun < AT_LAST_MS) {
		if (!client_say(fd, byte))
			break;
		clock_sleep_ms(50);
		ssize_t got = recv(fd, &c, 1, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
	}
	return clock_mono_ms() - begun;
}

static void test_deadline(void **state)
{
	struct http_server_options o = listener_options();

	(void)state;
	o.deadline_ms = 400;
	listener_slow_ms = 1000;
	struct http_server *s = listener_start(&o);

	/* headers that do not end */
	int fd = client_connect(s);
	client_say(fd, "GET /nothing HTTP/1.1\r\nX-A: ");
	assert_in_range(dribble(fd, "a"), 200, AT_LAST_MS - 1);
	close(fd);

	/* a body that does not end */
	fd = client_connect(s);
	client_say(fd, TXN "Content-Length: 1000\r\n\r\n");
	assert_in_range(dribble(fd, "a"), 200, AT_LAST_MS - 1);
	close(fd);

	/* nothing at all */
	fd = client_connect(s);
	int64_t begun = clock_mono_ms();
	assert_int_equal(client_hear_all(fd, heard, sizeof(heard)), 0);
	assert_in_range(clock_mono_ms() - begun, 200, 9000);
	close(fd);

	/* the handler's time is not the client's */
	int status = 0;
	for (int i = 0; i < TRIES && status != 200; i++)
		status = client_status(
			client_ask(s, REQ("GET /slow", HOST CLOSE "\r\n")));
	assert_int_equal(status, 200);

	http_server_stop(s, 1000);
	listener_slow_ms = 300;
}

/* How long a head of a second and a half and a body without an end may take. */
static int64_t head_and_body(const struct http_server *s)
{
	int64_t begun = clock_mono_ms();
	int fd = client_connect(s);

	client_say(fd, TXN "Content-Length: 1000\r\nX: ");
	while (clock_mono_ms() - begun < 1500) {
		client_say(fd, "a");
		clock_sleep_ms(50);
	}
	client_say(fd, "\r\n\r\n");
	dribble(fd, "a");
	close(fd);
	return clock_mono_ms() - begun;
}

/* Head and body of a first request have one deadline together: the body has
 * only what the head has left. */
static void test_one_deadline(void **state)
{
	struct http_server_options o = listener_options();
	int64_t took = AT_LAST_MS;

	(void)state;
	o.deadline_ms = 2000;
	struct http_server *s = listener_start(&o);
	for (int i = 0; i < TRIES && took > 3300; i++)
		took = head_and_body(s);
	assert_in_range(took, 1900, 3300);
	http_server_stop(s, 1000);
}

/* A transaction, and another one on that connection when it was idle for longer
 * than a stranger may be; how many were answered before it was closed. */
static int idle_between(const struct http_server *s)
{
	int fd = client_connect(s), answered = 0;
	char c;

	while (answered < 2 && client_say(fd, TXN "\r\n") &&
		recv(fd, &c, 1, MSG_PEEK) == 1) {
		client_hear_until(
			fd, "\"two words\":null}", heard, sizeof(heard));
		assert_int_equal(client_status(heard), 200);
		answered++;
		clock_sleep_ms(700);
	}
	if (answered == 2)
		assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
	return answered;
}

/* Who has shown the token may be idle for longer, and not for ever. */
static void test_idle_deadline(void **state)
{
	struct http_server_options o = listener_options();
	int answered = 0;

	(void)state;
	o.deadline_ms = 400;
	struct http_server *s = listener_start(&o);
	for (int i = 0; i < TRIES && answered < 2; i++)
		answered = idle_between(s);
	assert_int_equal(answered, 2);
	http_server_stop(s, 1000);
}

/* --- sockets -------------------------------------------------------------- */

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"",
		":1",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"::1:80",
		"[::1]",
		"[]:80",
		"[::1:80",
		"no.such.host.invalid:80",
	};
	struct http_server_options o = listener_options();
	struct http_server *s = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o.listen = bad[i];
		if (http_server_start(&o, &s, &e) != RC_INVALID)
			fail_msg("'%s' was taken", bad[i]);
		assert_null(s);
	}
	/* taken already */
	char taken[32];
	snprintf(
		taken, sizeof(taken), "127.0.0.1:%d", http_server_port(*state));
	o.listen = taken;
	assert_rc(http_server_start(&o, &s, &e), RC_BUSY);
	assert_non_null(strstr(e.text, taken));
	/* both, or none */
	o.unix_path = "/tmp/x";
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
	o.listen = o.unix_path = NULL;
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
}

static int connect_unix(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A socket file that nobody listens on. */
static void leave_stale(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
}

static void test_unix(void **state)
{
	char dir[] = "/tmp/test_http_server.XXXXXX";
	char path[64], file[64];
	struct http_server_options o = listener_options();
	struct http_server *second = NULL;
	struct err e = { 0 };
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	o.listen = NULL;
	o.unix_path = path;

	leave_stale(path);
	umask(0);
	struct http_server *s = listener_start(&o);
	umask(022);
	assert_int_equal(http_server_port(s), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	int fd = connect_unix(path);
	assert_true(fd >= 0);
	client_say(fd, REQ("GET /open/a", HOST CLOSE "\r\n"));
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
	close(fd);

	/* Somebody answers on it: that one keeps it. */
	assert_rc(http_server_start(&o, &second, &e), RC_BUSY);
	assert_non_null(strstr(e.text, path));
	fd = connect_unix(path);
	assert_true(fd >= 0);
	close(fd);

	http_server_stop(s, 1000);
	assert_int_equal(access(path, F_OK), -1);

	/* A file that is no socket stays. */
	fclose(fopen(file, "w"));
	o.unix_path = file;
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	assert_int_equal(access(file, F_OK), 0);
	unlink(file);
	o.unix_path = "";
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	o.unix_path = "/tmp/"
		      "a-path-that-is-longer-than-the-one-hundred-and-seven-"
		      "bytes-that-the-system-has-room-for-in-the-address-of-a-"
		      "socket";
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	o.unix_path = "/no/such/directory/socket";
	assert_rc(http_server_start(&o, &second, &e), RC_IO);
	rmdir(dir);
}

/* --- stop ----------------------------------------------------------------- */

struct stopping {
	struct http_server *s;
	int wait_ms;
	atomic_bool done;
};

static void *stop_main(void *arg)
{
	struct stopping *st = arg;

	http_server_stop(st->s, st->wait_ms);
	atomic_store(&st->done, true);
	return NULL;
}

static void wait_for(const atomic_int *what, int value)
{
	for (int i = 0; i < AT_LAST_MS / 10 && atomic_load(what) != value; i++)
		clock_sleep_ms(10);
	assert_int_equal(atomic_load(what), value);
}

/* AS-161: what runs gets its answer; what comes now is sent away. */
static void test_stop_waits(void **state)
{
	struct http_server_options o = listener_options();
	struct http_server *s = listener_start(&o);
	struct stopping st = { .s = s, .wait_ms = AT_LAST_MS };
	pthread_t thread;
	int running = client_connect(s), idle[3];

	(void)state;
	listener_slow_ms = 6000;
	atomic_store(&listener_slow, 0);
	assert_true(client_say(running, REQ("GET /slow", HOST CLOSE "\r\n")));
	wait_for(&listener_slow, 1);
	/* Connected now, so not to the thread that is busy. */
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		idle[i] = client_connect(s);
		assert_true(client_say(idle[i], TXN "\r\n"));
		client_hear_until(
			idle[i], "\"two words\":null}", heard, sizeof(heard));
	}
	assert_int_equal(pthread_create(&thread, NULL, stop_main, &st), 0);
	clock_sleep_ms(1000);
	bool early = atomic_load(&st.done);
	size_t sent_away = 0;
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		client_say(idle[i], TXN "\r\n");
		client_hear_all(idle[i], heard, sizeof(heard));
		sent_away += client_status(heard) == 503;
		assert_error_body(heard, "M_UNKNOWN");
		close(idle[i]);
	}
	client_hear_all(running, heard, sizeof(heard));
	close(running);
	pthread_join(thread, NULL);
	assert_false(early);
	assert_int_equal(client_status(heard), 200);
	assert_int_equal(atomic_load(&listener_slow), 2);
	assert_int_equal(sent_away, ARRAY_LEN(idle));
	listener_slow_ms = 300;
}

/* It does not wait for one that never comes to its end. */
static void test_stop_gives_up(void **state)
{
	struct http_server_options o = listener_options();
	struct http_server *s = listener_start(&o);
	int fd = client_connect(s);

	(void)state;
	assert_true(client_say(fd, TXN "Content-Length: 1000\r\n\r\nx"));
	clock_sleep_ms(100);
	int64_t begun = clock_mono_ms();
	http_server_stop(s, 300);
	assert_in_range(clock_mono_ms() - begun, 250, AT_LAST_MS);
	assert_int_equal(client_hear_all(fd, heard, sizeof(heard)), 0);
	close(fd);
	http_server_stop(NULL, 0);
}

/* One that waits does not hold up the others. */
static void test_threads(void **state)
{
	int fds[3];

	listener_slow_ms = 6000;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_connect(*state);
		client_say(fds[i], REQ("GET /slow", HOST CLOSE "\r\n"));
	}
	int64_t begun = clock_mono_ms();
	size_t quick = 0;
	/* A connection may meet a busy thread; most do not. */
	for (int i = 0; i < 8; i++) {
		client_ask(*state, REQ("GET /nothing", HOST CLOSE "\r\n"));
		quick += clock_mono_ms() - begun < 3000;
		begun = clock_mono_ms();
	}
	assert_in_range(quick, 5, 8);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		client_hear_all(fds[i], heard, sizeof(heard));
		assert_int_equal(client_status(heard), 200);
		close(fds[i]);
	}
	listener_slow_ms = 300;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_one_deadline),
		cmocka_unit_test(test_idle_deadline),
		WITH_LISTENER(test_addresses),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
		WITH_LISTENER(test_threads),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
