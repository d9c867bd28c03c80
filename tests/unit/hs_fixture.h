/*
 * tests/unit/hs_fixture.h: a homeserver client against a scripted server, for
 * the tests of the client.
 */
#ifndef TESTS_UNIT_HS_FIXTURE_H
#define TESTS_UNIT_HS_FIXTURE_H

#include <stdatomic.h>

#include "matrix/hs.h"
#include "tests/unit/script_server.h"
#include "tests/unit/test.h"

#define TOKEN "as-Sekret_0123456789"
#define AGENT "@agent-a+b=2f/c:hs.example:8448"
#define AS_AGENT "?user_id=%40agent-a%2Bb%3D2f%2Fc%3Ahs.example%3A8448"
#define V3 "/_matrix/client/v3"

struct fixture {
	struct script *server;
	struct hs_gate *gate;
	struct hs *hs;
	struct secret token;
	struct arena arena;
	struct buf text;
	atomic_bool stop;
	struct err e;
};

int hs_setup(void **state);
/* Fails when the token was in a URL. */
int hs_teardown(void **state);
/* One more client of the same gate. */
struct hs *make_client(struct fixture *f);

/* The next answer. */
void hs_says(struct fixture *f, int status, const char *body);
/* A connection that was kept is replaced once: two have to break. */
void break_connections(struct fixture *f);
/* The last request was this. */
void expect_sent(struct fixture *f, const char *line, const char *body);
/* It had the token; it had any. */
bool sent_token(struct fixture *f);
bool sent_any_token(struct fixture *f);

/* Runs the group with libcurl started. */
#define RUN_HS(tests)                                                          \
	(hs_begin() ? hs_end(cmocka_run_group_tests(tests, NULL, NULL)) : 1)
#define CASE(f) cmocka_unit_test_setup_teardown(f, hs_setup, hs_teardown)
bool hs_begin(void);
int hs_end(int failed);

#endif
