/*
 * tests/unit/http_listener.h: a listener with routes made for tests, and a
 * client that sends bytes as they are.
 */
#ifndef TESTS_UNIT_HTTP_LISTENER_H
#define TESTS_UNIT_HTTP_LISTENER_H

#include "tests/unit/test.h"

#include <stdatomic.h>

#include "appservice/http_server.h"

#define TOKEN "hs-token-for-tests"
#define AUTH "Authorization: Bearer " TOKEN "\r\n"
#define HOST "Host: x\r\n"
#define CLOSE "Connection: close\r\n"
#define V1 "/_matrix/app/v1"
#define REQ(line, heads) line " HTTP/1.1\r\n" heads

/* How many requests the handlers saw. */
extern atomic_int listener_handled;
/* GET /big has so many bytes: more than sockets hold. */
#define LISTENER_BIG 64000000
/* GET /slow takes this long; 1 while it does, 2 afterwards. */
extern int listener_slow_ms;
extern atomic_int listener_slow;

struct http_server_options listener_options(void);
/* The same with only the routes that need no token, and no token. */
struct http_server_options listener_open_options(void);
struct http_server *listener_start(const struct http_server_options *o);
/* cmocka's setup and teardown; *state is the struct http_server. */
int listener_setup(void **state);
int listener_teardown(void **state);
#define WITH_LISTENER(fn)                                                      \
	cmocka_unit_test_setup_teardown(fn, listener_setup, listener_teardown)

/* A connection whose reads and writes give up after 10 s. */
int client_connect(const struct http_server *s);
/* False when the other side has gone. */
bool client_say(int fd, const char *text);
bool client_say_n(int fd, const char *text, size_t n);
/* Everything until the other side closes; how many bytes. */
size_t client_hear_all(int fd, char *out, size_t size);
/* Until this text is there, else the test fails. */
void client_hear_until(int fd, const char *text, char *out, size_t size);

/* One request on a connection of its own; the answer, until the next call. */
const char *client_ask(const struct http_server *s, const char *request);
int client_status(const char *answer); /* 0: no answer */
/* A refusal's body is an object with this errcode and an error, as JSON. */
void assert_error_body(const char *answer, const char *errcode);

struct client_case {
	const char *request; /* Host, Connection and a blank line are added */
	int status;
	const char *want; /* a part of the answer; for a refusal its errcode */
};
void client_cases(
	const struct http_server *s, const struct client_case *cases, size_t n);

#endif
