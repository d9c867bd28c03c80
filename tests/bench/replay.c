/*
 * The limit of making a fleet: requests that the service made once, sent again
 * to an empty homeserver with a number of them in flight, by nothing but
 * libcurl. A line of the file is a request, its fields separated by tabs:
 *
 *   method, path, status, which come before (numbers of lines from 0,
 *   separated by commas), whose answer names the room (or nothing), body
 *
 * {room} in a path is that room's id. A request is sent when those before it
 * are answered, the first of the file first. With --listen it is the
 * application service as well, which takes everything and knows nothing.
 * Prints one JSON object.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/bench/common.h"

#include "base/poison.h"

#define MAX_FLYING 64
#define FILE_MAX (256 * MIB)
#define HEAD_MAX 16384
#define WRONG_TOLD 5
#define LOGIN "/_matrix/client/v3/login"

static const char usage[] = "usage: replay --url URL --token-file FILE "
			    "[--flying N] [--listen PORT] "
			    "REQUESTS\n";

struct request {
	const char *method, *path, *body;
	char *url;   /* NULL while it waits for the room's id */
	long status; /* that is wanted */
	int room;    /* whose answer names the room; -1: none */
	char *named; /* the room's id that the answer had, percent-encoded */
	int waits;   /* for so many others */
	int edges;   /* those who wait for it; -1: none */
	bool names;  /* somebody wants to know the room's id */
};

struct edge {
	int request, next;
};

struct replay {
	const char *base, *token_file, *file;
	unsigned flying;
	uint16_t port;
	struct buf text, token;
	struct request *all;
	struct edge *edges;
	int *heap;
	int n, cap, n_edges, edges_cap, n_heap, open;
	int wrong;
	uint64_t began, accounts_ns; /* accounts: until the last login */
	struct times times;
	struct curl_slist *headers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "replay: %s: %s\n", what, why);
	exit(1);
}

static void *grown(void *array, size_t used, size_t more, size_t size)
{
	void *longer = calloc(used + more, size);

	if (!longer)
		fail("memory", "there is no more");
	if (used)
		memcpy(longer, array, used * size);
	free(array);
	return longer;
}

/* --- the file ---------------------------------------------------------------- */

static void add_edge(struct replay *r, int before, int request)
{
	if (before < 0 || before >= request)
		fail(r->file, "a request comes before one that it waits for");
	if (r->n_edges == r->edges_cap) {
		r->edges = grown(r->edges, (size_t)r->n_edges,
			(size_t)r->n_edges + 1024, sizeof(*r->edges));
		r->edges_cap += r->n_edges + 1024;
	}
	r->edges[r->n_edges] = (struct edge){ request, r->all[before].edges };
	r->all[before].edges = r->n_edges++;
	r->all[request].waits++;
}

static int number(const struct replay *r, struct str s)
{
	int64_t v = 0;

	if (!str_i64(s, 0, INT32_MAX, &v))
		fail(r->file, "not a number where one must be");
	return (int)v;
}

/* The text of the file is ours: fields end where their tab was. */
static const char *ended(struct str s)
{
	((char *)(uintptr_t)s.p)[s.n] = '\0';
	return s.p;
}

static void make_url(struct replay *r, struct request *q, const char *room)
{
	static const char place[] = "{room}";
	const char *at = strstr(q->path, place);
	struct buf url;

	buf_init(&url, HEAD_MAX);
	buf_add(&url, r->base);
	if (at && room) {
		buf_addn(&url, q->path, (size_t)(at - q->path));
		buf_add(&url, room);
		buf_add(&url, at + sizeof(place) - 1);
	} else {
		buf_add(&url, q->path);
	}
	q->url = buf_take(&url);
	if (!q->url)
		fail(r->file, "a path that is too long");
}

static void read_line(struct replay *r, struct str line)
{
	struct str f[6] = { 0 };
	const int i = r->n;

	for (size_t k = 0; k < ARRAY_LEN(f); k++)
		f[k] = str_cut(&line, '\t', NULL);
	if (r->n == r->cap) {
		r->all = grown(r->all, (size_t)r->n, (size_t)r->n + 1024,
			sizeof(*r->all));
		r->cap += r->n + 1024;
	}
	struct request *q = &r->all[r->n++];
	*q = (struct request){ .status = number(r, f[2]),
		.room = f[4].n ? number(r, f[4]) : -1,
		.edges = -1 };
	while (f[3].n)
		add_edge(r, number(r, str_cut(&f[3], ',', NULL)), i);
	if (q->room >= i)
		fail(r->file, "a room that comes later");
	if (q->room >= 0)
		r->all[q->room].names = true;
	q->method = ended(f[0]);
	q->path = ended(f[1]);
	q->body = f[5].n ? ended(f[5]) : NULL;
	if (q->room < 0)
		make_url(r, q, NULL);
}

static void read_requests(struct replay *r)
{
	struct err e = { 0 };

	buf_init(&r->text, FILE_MAX);
	if (file_read(r->file, &r->text, &e) != RC_OK)
		fail(r->file, e.text);
	struct str rest = { r->text.p, r->text.n };
	while (rest.n)
		read_line(r, str_cut(&rest, '\n', NULL));
	if (!r->n)
		fail(r->file, "there is nothing in it");
	r->heap = grown(NULL, 0, (size_t)r->n, sizeof(*r->heap));
	r->open = r->n;
}

static void make_headers(struct replay *r)
{
	struct err e = { 0 };
	char line[LIMIT_SECRET_FILE + 64];

	buf_init(&r->token, LIMIT_SECRET_FILE);
	if (file_read(r->token_file, &r->token, &e) != RC_OK)
		fail(r->token_file, e.text);
	snprintf(line, sizeof(line), "Authorization: Bearer %.*s",
		(int)strcspn(buf_str(&r->token), "\n"), buf_str(&r->token));
	r->headers = curl_slist_append(NULL, line);
	r->headers =
		curl_slist_append(r->headers, "Content-Type: application/json");
	r->headers = curl_slist_append(r->headers, "Expect:");
}

/* --- what is to be sent next --------------------------------------------------- */

static void push(struct replay *r, int request)
{
	int at = r->n_heap++;

	for (; at > 0 && r->heap[(at - 1) / 2] > request; at = (at - 1) / 2)
		r->heap[at] = r->heap[(at - 1) / 2];
	r->heap[at] = request;
	pthread_cond_signal(&r->changed);
}

static int pop(struct replay *r)
{
	int top = r->heap[0], moved = r->heap[--r->n_heap], at = 0;

	for (int child = 1; child < r->n_heap; child = 2 * at + 1) {
		if (child + 1 < r->n_heap &&
			r->heap[child + 1] < r->heap[child])
			child++;
		if (r->heap[child] >= moved)
			break;
		r->heap[at] = r->heap[child];
		at = child;
	}
	r->heap[at] = moved;
	return top;
}

/* The lock is held. */
static void done(struct replay *r, struct request *q, uint64_t took)
{
	(void)!times_add(&r->times, took);
	if (!strcmp(q->path, LOGIN))
		r->accounts_ns = now_ns() - r->began;
	if (--r->open == 0)
		pthread_cond_broadcast(&r->changed);
	for (int i = q->edges; i >= 0; i = r->edges[i].next)
		if (--r->all[r->edges[i].request].waits == 0)
			push(r, r->edges[i].request);
}

/* --- the exchange ---------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	buf_addn(arg, p, size * n);
	return size * n;
}

static void take_room(struct replay *r, struct request *q, struct buf *answer)
{
	struct json *doc = NULL;
	struct buf id;

	if (json_parse(buf_str(answer), answer->n, NULL, &doc, NULL) != RC_OK ||
		!js_get_str(json_root(doc), "room_id"))
		fail(q->path, "an answer without room_id");
	buf_init(&id, HEAD_MAX);
	buf_add_url(&id, js_get_str(json_root(doc), "room_id"));
	q->named = buf_take(&id);
	json_free(doc);
	if (!q->named)
		fail(r->file, "out of memory");
}

static void check(struct replay *r, const struct request *q, CURLcode code,
	long status, const struct buf *answer)
{
	if (code == CURLE_OK && status == q->status)
		return;
	pthread_mutex_lock(&r->lock);
	if (r->wrong++ < WRONG_TOLD)
		fprintf(stderr, "replay: %s %s: %s %ld instead of %ld: %s\n",
			q->method, q->url, curl_easy_strerror(code), status,
			q->status, buf_str(answer));
	pthread_mutex_unlock(&r->lock);
}

static void send_it(
	struct replay *r, CURL *c, struct request *q, struct buf *answer)
{
	long status = 0;

	/* The room's request is done, so nobody changes it. */
	if (!q->url)
		make_url(r, q, r->all[q->room].named);
	buf_clear(answer);
	curl_easy_setopt(c, CURLOPT_URL, q->url);
	if (q->body) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
		curl_easy_setopt(
			c, CURLOPT_POSTFIELDSIZE, (long)strlen(q->body));
	} else {
		curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	CURLcode code = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	check(r, q, code, status, answer);
	if (q->names)
		take_room(r, q, answer);
}

static void *send_all(void *arg)
{
	struct replay *r = arg;
	CURL *c = curl_easy_init();
	struct buf answer;

	if (!c)
		fail("libcurl", "no handle");
	buf_init(&answer, LIMIT_ANSWER);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
	pthread_mutex_lock(&r->lock);
	while (r->open > 0) {
		if (r->n_heap == 0) {
			pthread_cond_wait(&r->changed, &r->lock);
			continue;
		}
		struct request *q = &r->all[pop(r)];
		pthread_mutex_unlock(&r->lock);
		uint64_t from = now_ns();
		send_it(r, c, q, &answer);
		uint64_t took = now_ns() - from;
		pthread_mutex_lock(&r->lock);
		done(r, q, took);
	}
	pthread_mutex_unlock(&r->lock);
	buf_free(&answer);
	curl_easy_cleanup(c);
	return NULL;
}

/* --- the application service ------------------------------------------------------- */

/* Bytes of a whole request at the beginning of p; 0: it is not all there. */
static size_t whole(const char *p, size_t n)
{
	static const char length[] = "\ncontent-length:";
	const char *end = strstr(p, "\r\n\r\n");

	if (!end)
		return 0;
	size_t head = (size_t)(end - p) + 4;
	for (const char *at = p; at + sizeof(length) < end; at++)
		if (!strncasecmp(at, length, sizeof(length) - 1))
			head += strtoul(at + sizeof(length) - 1, NULL, 10);
	return head <= n ? head : 0;
}

static bool answer_all(int fd, struct buf *in)
{
	static const char taken[] = "HTTP/1.1 200 OK\r\n"
				    "Content-Type: application/json\r\n"
				    "Content-Length: 2\r\n\r\n{}",
			  unknown[] = "HTTP/1.1 404 Not Found\r\n"
				      "Content-Type: application/json\r\n"
				      "Content-Length: 25\r\n\r\n"
				      "{\"errcode\":\"M_NOT_FOUND\"}";
	size_t n = in->n ? whole(in->p, in->n) : 0;

	while (n > 0) {
		bool get = !strncmp(in->p, "GET ", 4);
		const char *text = get ? unknown : taken;
		if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
			return false;
		in->n -= n;
		memmove(in->p, in->p + n, in->n + 1);
		n = in->n ? whole(in->p, in->n) : 0;
	}
	return true;
}

static void *serve_one(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	struct buf in;
	char piece[65536];
	ssize_t n = 0;

	buf_init(&in, LIMIT_TRANSACTION);
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
		buf_addn(&in, piece, (size_t)n);
		if (buf_rc(&in) != RC_OK || !answer_all(fd, &in))
			break;
	}
	close(fd);
	buf_free(&in);
	return NULL;
}

static void *serve(void *arg)
{
	const int listener = (int)(intptr_t)arg;
	const int on = 1;
	pthread_t thread;

	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&thread, NULL, serve_one,
			    (void *)(intptr_t)fd) != 0)
			fail("a thread", "cannot be started");
		pthread_detach(thread);
	}
	return NULL;
}

static void listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(fd, 128) < 0)
		fail("--listen", strerror(errno));
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
		fail("a thread", "cannot be started");
	pthread_detach(thread);
}

/* --- all of it --------------------------------------------------------------------- */

static void run(struct replay *r)
{
	pthread_t threads[MAX_FLYING];

	for (int i = 0; i < r->n; i++)
		if (r->all[i].waits == 0)
			push(r, i);
	r->began = now_ns();
	for (unsigned i = 0; i < r->flying; i++)
		if (pthread_create(&threads[i], NULL, send_all, r) != 0)
			fail("a thread", "cannot be started");
	for (unsigned i = 0; i < r->flying; i++)
		pthread_join(threads[i], NULL);
}

static void report(struct replay *r)
{
	const double seconds = (double)(now_ns() - r->began) / 1e9;
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	times_sort(&r->times);
	printf("{\"requests\": %d, \"flying\": %u, \"seconds\": %.6f, "
	       "\"accounts_s\": %.6f, \"wrong\": %d, \"cpu_s\": %.3f, ",
		r->n, r->flying, seconds, (double)r->accounts_ns / 1e9,
		r->wrong,
		(double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			(double)(used.ru_utime.tv_usec +
				used.ru_stime.tv_usec) /
				1e6);
	times_print(&r->times);
	puts("}");
}

static void read_options(struct replay *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "token-file", required_argument, NULL, 't' },
		{ "flying", required_argument, NULL, 'f' },
		{ "listen", required_argument, NULL, 'l' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 'u':
			r->base = optarg;
			break;
		case 't':
			r->token_file = optarg;
			break;
		case 'f':
			r->flying = (unsigned)option_number(
				optarg, 1, MAX_FLYING, usage);
			break;
		case 'l':
			r->port = (uint16_t)option_number(
				optarg, 1, 65535, usage);
			break;
		default:
			wrong_use(usage);
		}
	if (optind + 1 != argc || !r->base || !r->token_file)
		wrong_use(usage);
	r->file = argv[optind];
}

static void forget(struct replay *r)
{
	for (int i = 0; i < r->n; i++) {
		free(r->all[i].url);
		free(r->all[i].named);
	}
	free(r->all);
	free(r->edges);
	free(r->heap);
	buf_free(&r->text);
	buf_wipe(&r->token);
	curl_slist_free_all(r->headers);
	times_fini(&r->times);
	curl_global_cleanup();
}

int main(int argc, char **argv)
{
	struct replay r = { .flying = 8,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER };

	read_options(&r, argc, argv);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
		!times_init(&r.times))
		fail("libcurl", "cannot be started");
	read_requests(&r);
	make_headers(&r);
	if (r.port)
		listen_on(r.port);
	run(&r);
	report(&r);
	const bool wrong = r.wrong > 0;
	forget(&r);
	return wrong ? 1 : 0;
}
