/*
 * tests/unit/httpstub.h: an HTTP server for tests of clients: a thread that
 * takes one request after the other, hands it to a function, and closes the
 * connection with the answer.
 */
#ifndef TESTS_UNIT_HTTPSTUB_H
#define TESTS_UNIT_HTTPSTUB_H

#include "base/buf.h"

struct httpstub_request {
	const char *method;
	const char *target; /* percent-decoded, query included */
	const char *bearer; /* "" when there is none */
	const char *body;
};

/* Fills the body of the answer and returns its status; 0 closes the
 * connection without one. Runs in the server's thread. */
typedef int httpstub_answer(
	void *arg, const struct httpstub_request *q, struct buf *body);

struct httpstub;

/* On 127.0.0.1 and a free port; NULL when that is not possible. */
struct httpstub *httpstub_start(httpstub_answer *answer, void *arg);
/* "http://127.0.0.1:PORT". */
const char *httpstub_url(const struct httpstub *s);
/* Waits for the running request. */
void httpstub_stop(struct httpstub *s);

#endif
