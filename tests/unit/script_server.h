/*
 * tests/unit/script_server.h: an HTTP server that says what the test wrote
 * down, in that order, and remembers what it was asked. One thread serves all
 * connections and keeps them alive. Listens on 127.0.0.1 or a Unix socket.
 */
#ifndef TESTS_UNIT_SCRIPT_SERVER_H
#define TESTS_UNIT_SCRIPT_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct script;

/* unix_path NULL: a free TCP port. Never NULL (aborts instead). */
struct script *script_start(const char *unix_path);
void script_stop(struct script *s);
/* "http://127.0.0.1:PORT" */
const char *script_url(const struct script *s);

/* The next answer; head is further header lines ("X: y\r\n") or "". */
void script_say(
	struct script *s, int status, const char *head, const char *body);
/* The next request is answered, and then the connection is closed. */
void script_say_and_close(struct script *s, int status, const char *body);
/* The next request is met by a reset connection. */
void script_reset(struct script *s);
/* The next request is never answered. */
void script_be_silent(struct script *s);
/* The answer when nothing is written down; 500 if not set. */
void script_otherwise(struct script *s, int status, const char *body);

/* How many requests came, on how many connections. */
size_t script_requests(struct script *s);
size_t script_connections(struct script *s);
/* Request i (0 is the first): "GET /path HTTP/1.1", and everything. Stays
 * valid until the end; NULL when there was none. */
const char *script_line(struct script *s, size_t i);
const char *script_text(struct script *s, size_t i);
/* What came after the head. */
const char *script_body(struct script *s, size_t i);

#endif
