/*
 * Bytes as they are, on a connection to a real listener with the routes of the
 * Application Service API and a store. It answers with what HTTP has, nothing
 * happens without the token, and another request is served as ever.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "appservice/http_server.h"
#include "appservice/intake/intake.h"

#include "base/poison.h"

#define TOKEN "fuzz-token"
#define GOOD                                                                   \
	"GET /_matrix/app/v1/users/%40known%3Ahs HTTP/1.1\r\nHost: x\r\n"      \
	"Authorization: Bearer " TOKEN "\r\n\r\n"
#define ANSWER_MAX 65536

static struct http_server *server;
static char path[400];
static atomic_int asked; /* what the handlers were asked for */

static void on_change(void *arg)
{
	(void)arg;
	atomic_fetch_add(&asked, 1);
}

static void on_ping(void *arg, const char *txn)
{
	(void)arg;
	HOLDS(!txn || utf8_valid(txn, strlen(txn), NULL));
	atomic_fetch_add(&asked, 1);
}

static enum rc on_name(void *arg, const char *name, struct err *e)
{
	(void)arg;
	(void)e;
	HOLDS(*name && utf8_valid(name, strlen(name), NULL));
	atomic_fetch_add(&asked, 1);
	return text_eq(name, "@known:hs") ? RC_OK : RC_NOT_FOUND;
}

static void stop(void)
{
	http_server_stop(server, 2000);
}

static void start(void)
{
	static struct intake in = { .changed = on_change,
		.pinged = on_ping,
		.need_user = on_name,
		.has_alias = on_name };
	static unsigned char digest[SHA256_LEN];
	struct http_server_options o = {
		.unix_path = path,
		.routes = intake_routes,
		.n_routes = intake_n_routes,
		.token_digest = digest,
		.arg = &in,
	};
	struct err e = { 0 };

	in.store = fuzz_store();
	snprintf(path, sizeof(path), "%s/socket", fuzz_dir());
	HOLDS(sha256(TOKEN, strlen(TOKEN), digest));
	if (http_server_start(&o, &server, &e) != RC_OK)
		fuzz_broken(path, 0, e.text);
	HOLDS(atexit(stop) == 0);
}

static int64_t transactions(void)
{
	struct store_txn_counts c = { 0 };

	HOLDS(store_txn_counts(fuzz_store(), &c, NULL) == RC_OK);
	return c.seen;
}

/* --- a client ------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	HOLDS(fd >= 0);
	HOLDS(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path));
	HOLDS(connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Until the other side ends it, or `until` is there. That it does nothing for
 * so long is what must not be. */
static size_t hear(int fd, char *out, const char *until)
{
	size_t n = 0;

	out[0] = '\0';
	while (n < ANSWER_MAX && !(until && strstr(out, until))) {
		ssize_t got = recv(fd, out + n, ANSWER_MAX - n, 0);
		HOLDS(got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
		if (got <= 0)
			break;
		n += (size_t)got;
		out[n] = '\0';
	}
	return n;
}

/* The connection is kept. */
static void check_good(void)
{
	static char answer[ANSWER_MAX + 1];
	static int fd = -1;

	for (int dials = 0; dials < 2; dials++) {
		if (fd < 0)
			fd = dial();
		if (send(fd, GOOD, strlen(GOOD), MSG_NOSIGNAL) > 0 &&
			hear(fd, answer, "\r\n\r\n{}"))
			break;
		close(fd);
		fd = -1;
	}
	HOLDS(text_starts(answer, "HTTP/1.1 200 "));
	HOLDS(text_ends(answer, "\r\n\r\n{}"));
}

static void check_answers(const char *answer)
{
	if (!*answer)
		return;
	HOLDS(MATCHES("HTTP/1[.][01] "
		      "(100|200|40[0134568]|41[134]|431|501|505) (.|[\r\n])*",
		answer));
}

/* The bytes may hold the token, or something that means it. */
static bool may_know(const uint8_t *p, size_t n)
{
	return fuzz_has(p, n, TOKEN) || memchr(p, '%', n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char answer[ANSWER_MAX + 1];

	if (!server)
		start();
	int was_asked = atomic_load(&asked);
	int64_t were = transactions();
	int fd = dial();
	/* In one piece, so that the head and what follows come together. An
	 * end that comes with a later piece the library may not see; then it
	 * waits for its deadline. */
	send(fd, p, n, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	hear(fd, answer, NULL);
	close(fd);
	check_answers(answer);
	if (!may_know(p, n))
		HOLDS(atomic_load(&asked) == was_asked &&
			transactions() == were);
	check_good();
	return 0;
}
