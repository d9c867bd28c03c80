/*
 * matrix/http.c: one HTTP exchange by libcurl. A handle is reset before each
 * request, which keeps its connection and drops every option, so all of them
 * are set in one place, prepare().
 */
#include "matrix/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define TIMEOUT_MS 30000
#define CONNECT_MS 10000
/* Proxies close an idle connection after a minute or more: be first. */
#define IDLE_S 50
#define USER_AGENT "muster/" MUSTER_VERSION

struct http {
	CURL *curl;
	char *ca_file;
	char *unix_socket;
	const atomic_bool *stop;
	size_t max_answer;
	bool once, sent; /* the request that runs */
	enum http_trouble trouble;
	char words[CURL_ERROR_SIZE]; /* libcurl's, of the last failure */
};

enum rc http_global_init(struct err *e)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, RC_NOMEM, "libcurl could not be started");
	return RC_OK;
}

void http_global_fini(void)
{
	curl_global_cleanup();
}

static bool copy(const char *s, char **ret)
{
	if (s == NULL)
		return true;
	*ret = strdup(s);
	return *ret != NULL;
}

enum rc http_new(const struct http_options *o, struct http **ret, struct err *e)
{
	struct http *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return err_nomem(e);
	h->stop = o->stop;
	h->max_answer = o->max_answer > 0 ? o->max_answer : LIMIT_ANSWER;
	h->curl = curl_easy_init();
	if (h->curl == NULL || !copy(o->ca_file, &h->ca_file) ||
		!copy(o->unix_socket, &h->unix_socket)) {
		http_free(h);
		return err_nomem(e);
	}
	*ret = h;
	return RC_OK;
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	curl_easy_cleanup(h->curl);
	free(h->ca_file);
	free(h->unix_socket);
	free(h);
}

void http_answer_init(struct http_answer *a)
{
	*a = (struct http_answer){ .retry_after_ms = -1 };
	buf_init(&a->body, LIMIT_ANSWER);
}

void http_answer_free(struct http_answer *a)
{
	buf_wipe(&a->body);
}

void http_set_stop(struct http *h, const atomic_bool *stop)
{
	h->stop = stop;
}

static bool is_stopping(const struct http *h)
{
	return h->stop != NULL && atomic_load(h->stop);
}

/* libcurl asks at least once a second, also while nothing moves. */
static int on_progress(void *arg, curl_off_t dl_total, curl_off_t dl_now,
	curl_off_t ul_total, curl_off_t ul_now)
{
	(void)dl_total, (void)dl_now, (void)ul_total, (void)ul_now;
	return is_stopping(arg) ? 1 : 0;
}

/*
 * Called whenever the request is about to go out. When a kept connection breaks
 * before a byte of the answer came, libcurl sends it again by itself.
 */
static int on_send(
	void *arg, char *their_ip, char *our_ip, int their_port, int our_port)
{
	struct http *h = arg;
	(void)their_ip, (void)our_ip, (void)their_port, (void)our_port;
	bool again = h->sent;
	h->sent = true;
	return again && h->once ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Taking fewer bytes than were offered ends the transfer. */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct buf *body = arg;
	buf_addn(body, p, size * n);
	return buf_rc(body) == RC_OK ? size * n : 0;
}

/* A list element holds a copy of the token. */
static void headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *i = headers; i != NULL; i = i->next)
		wipe(i->data, strlen(i->data));
	curl_slist_free_all(headers);
}

static bool header_add(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);
	if (longer == NULL)
		return false;
	*headers = longer;
	return true;
}

static bool bearer_add(struct curl_slist **headers, const struct secret *bearer)
{
	struct buf line;
	buf_init(&line, LIMIT_SECRET_FILE + 64);
	buf_add(&line, "Authorization: Bearer ");
	buf_addn(&line, bearer->bytes, bearer->n);
	bool ok = buf_rc(&line) == RC_OK && header_add(headers, buf_str(&line));
	buf_wipe(&line);
	return ok;
}

static bool headers_make(
	const struct http_request *q, struct curl_slist **headers)
{
	if (!header_add(headers, "Accept: application/json"))
		return false;
	/* No `Expect: 100-continue` before large bodies: it costs a second
	 * where the server does not know it. */
	if (q->body != NULL &&
		(!header_add(headers, "Content-Type: application/json") ||
			!header_add(headers, "Expect:")))
		return false;
	return q->bearer == NULL || q->bearer->n == 0 ||
		bearer_add(headers, q->bearer);
}

/* A token with a line end in it would add headers of its own. */
static bool bearer_ok(const struct secret *bearer)
{
	if (bearer == NULL)
		return true;
	if (bearer->n > LIMIT_SECRET_FILE)
		return false;
	for (size_t i = 0; i < bearer->n; i++) {
		unsigned char c = (unsigned char)bearer->bytes[i];
		if (c <= 0x20 || c >= 0x7f)
			return false;
	}
	return true;
}

#define SET(option, value)                                                     \
	do {                                                                   \
		if (curl_easy_setopt(c, option, value) != CURLE_OK)            \
			return false;                                          \
	} while (0)

/* What does not depend on the request. */
static bool prepare(struct http *h)
{
	CURL *c = h->curl;
	curl_easy_reset(c);
	h->words[0] = '\0';
	SET(CURLOPT_ERRORBUFFER, h->words);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	/* The homeserver is a neighbour: a proxy in the environment is meant
	 * for the world outside and would see the token. */
	SET(CURLOPT_PROXY, "");
	/* An encoded id may begin with dots: the path is ours, not a file's. */
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_MAXAGE_CONN, (long)IDLE_S);
	SET(CURLOPT_USERAGENT, USER_AGENT);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, h);
	SET(CURLOPT_PREREQFUNCTION, on_send);
	SET(CURLOPT_PREREQDATA, h);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	if (h->ca_file != NULL)
		SET(CURLOPT_CAINFO, h->ca_file);
	if (h->unix_socket != NULL)
		SET(CURLOPT_UNIX_SOCKET_PATH, h->unix_socket);
	return true;
}

static bool prepare_request(struct http *h, const struct http_request *q,
	struct curl_slist *headers, struct buf *body)
{
	CURL *c = h->curl;
	long timeout = q->timeout_ms > 0 ? q->timeout_ms : TIMEOUT_MS;
	h->once = q->once;
	h->sent = false;
	SET(CURLOPT_URL, q->url);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_WRITEDATA, body);
	SET(CURLOPT_TIMEOUT_MS, timeout);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		timeout < CONNECT_MS ? timeout : (long)CONNECT_MS);
	if (q->body != NULL) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_n);
		SET(CURLOPT_POSTFIELDS, q->body);
	}
	SET(CURLOPT_CUSTOMREQUEST, q->method);
	return true;
}
#undef SET

static enum http_trouble trouble_of_errno(const struct http *h)
{
	long error = 0;
	(void)curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &error);
	switch (error) {
	case ECONNREFUSED:
		return HTTP_REFUSED;
	case ENETUNREACH:
	case EHOSTUNREACH:
		return HTTP_UNREACHABLE;
	default:
		return HTTP_FINE;
	}
}

static enum http_trouble trouble_of(const struct http *h, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_NAME_UNKNOWN;
	case CURLE_COULDNT_CONNECT:
		return trouble_of_errno(h);
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_SILENT;
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return HTTP_CERTIFICATE;
	case CURLE_GOT_NOTHING:
	case CURLE_WEIRD_SERVER_REPLY:
		return HTTP_NOT_HTTP;
	case CURLE_UNSUPPORTED_PROTOCOL:
		return h->sent ? HTTP_NOT_HTTP : HTTP_FINE;
	default:
		return HTTP_FINE;
	}
}

enum http_trouble http_trouble(const struct http *h)
{
	return h->trouble;
}

static enum rc failed(
	struct http *h, CURLcode code, const struct buf *body, struct err *e)
{
	const char *words =
		h->words[0] != '\0' ? h->words : curl_easy_strerror(code);
	/* libcurl calls it a protocol, as that of a URL. */
	if (code == CURLE_UNSUPPORTED_PROTOCOL && h->sent)
		return err_set(e, RC_NETWORK, "what answers speaks no HTTP: %s",
			words);
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		if (is_stopping(h))
			return err_set(
				e, RC_STOPPING, "given up: we are stopping");
		return err_set(e, RC_NETWORK,
			"the connection broke before an answer came");
	case CURLE_OUT_OF_MEMORY:
		return err_nomem(e);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, RC_TIMEOUT, "no answer in time: %s", words);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(
			e, RC_INVALID, "not an http or https URL: %s", words);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return err_set(e, RC_NETWORK,
			"the server's certificate is not accepted (is the CA "
			"file the right one?): %s",
			words);
	default:
		break;
	}
	if (buf_rc(body) == RC_TOO_LARGE)
		return err_set(e, RC_TOO_LARGE,
			"the answer is larger than %zu bytes", body->max);
	if (buf_rc(body) != RC_OK)
		return err_nomem(e);
	return err_set(e, RC_NETWORK, "%s", words);
}

static void read_date(struct http *h, struct http_answer *a)
{
	struct curl_header *date = NULL;
	a->date_ms = 0;
	if (curl_easy_header(h->curl, "Date", 0, CURLH_HEADER, -1, &date) !=
		CURLHE_OK)
		return;
	time_t at = curl_getdate(date->value, NULL);
	if (at > 0)
		a->date_ms = (int64_t)at * 1000;
}

static void read_head(struct http *h, struct http_answer *a)
{
	long status = 0;
	(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	a->status = (int)status;

	/* Zero is what libcurl says both of none and of one it cannot read. */
	curl_off_t wait = 0;
	(void)curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &wait);
	a->retry_after_ms = -1;
	if (wait > 0 && wait <= INT32_MAX)
		a->retry_after_ms = (int64_t)wait * 1000;

	struct curl_header *server = NULL;
	a->server[0] = '\0';
	if (curl_easy_header(h->curl, "Server", 0, CURLH_HEADER, -1, &server) !=
		CURLHE_OK)
		return;
	size_t n = 0;
	for (const char *p = server->value; *p != '\0'; p++) {
		if (n + 1 < sizeof(a->server) && *p >= ' ' && *p < 0x7f)
			a->server[n++] = *p;
	}
	a->server[n] = '\0';
}

enum rc http_do(struct http *h, const struct http_request *q,
	struct http_answer *a, struct err *e)
{
	if (is_stopping(h))
		return err_set(e, RC_STOPPING, "given up: we are stopping");
	if (!bearer_ok(q->bearer))
		return err_set(e, RC_INVALID,
			"the access token holds characters that cannot be "
			"sent (a space or a line end?)");

	enum rc rc = RC_OK;
	struct curl_slist *headers = NULL;
	h->trouble = HTTP_FINE;
	buf_wipe(&a->body);
	a->body.max = h->max_answer;

	if (!headers_make(q, &headers) || !prepare(h) ||
		!prepare_request(h, q, headers, &a->body)) {
		rc = err_nomem(e);
		goto out;
	}
	CURLcode code = curl_easy_perform(h->curl);
	h->trouble = trouble_of(h, code);
	if (code == CURLE_OK) {
		read_head(h, a);
		read_date(h, a);
	} else {
		rc = failed(h, code, &a->body, e);
	}
out:
	/* The handle forgets the token, the body and where to write. */
	curl_easy_reset(h->curl);
	headers_free(headers);
	if (rc != RC_OK)
		buf_wipe(&a->body);
	return rc;
}
