/*
 * The verbs that show what is: asked of the running service over its socket,
 * else made from the files and the store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/verbs.h"
#include "appservice/ops/views.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/http.h"

#include "base/poison.h"

static enum rc ask(const struct app *app, const char *method, const char *path,
	const char *body, struct http_answer *answer, struct err *e)
{
	const struct http_options o = { .unix_socket = config_text(
						&app->config, SET_OPS_SOCKET),
		.max_answer = LIMIT_DOCUMENT };
	struct http *http = NULL;
	struct buf url;
	buf_init(&url, LIMIT_SMALL_BODY);
	buf_addf(&url, "http://muster%s", path);
	const struct http_request q = { .method = method,
		.url = buf_str(&url),
		.body = body,
		.body_n = body ? strlen(body) : 0,
		.once = !text_eq(method, "GET") };
	enum rc rc = buf_rc(&url);
	if (rc == RC_OK)
		rc = http_new(&o, &http, e);
	if (rc == RC_OK)
		rc = http_do(http, &q, answer, e);
	http_free(http);
	buf_free(&url);
	return rc;
}

enum rc cli_ask(const struct app *app, const char *method, const char *path,
	struct http_answer *answer, struct err *e)
{
	return ask(app, method, path, NULL, answer, e);
}

enum rc cli_post(const struct app *app, const char *path, const char *body,
	struct http_answer *answer, struct err *e)
{
	return ask(app, "POST", path, body, answer, e);
}

void cli_silence(const struct app *app, struct err *e)
{
	err_set(e, RC_NETWORK,
		"no service answers at %s: is `muster serve` running?",
		config_text(&app->config, SET_OPS_SOCKET));
}

/* Why it answers something else: in its own words, where it has some. */
static enum rc not_answered(const struct http_answer *answer, struct err *e)
{
	struct json *doc = NULL;
	const char *why = NULL;
	if (json_parse(answer->body.p, answer->body.n, NULL, &doc, NULL) ==
		RC_OK)
		why = js_get_str(json_root(doc), "error");
	enum rc rc = why && answer->status == 503
		? err_set(e, RC_PENDING, "%s", why)
		: err_set(e, RC_REMOTE, "the service answered %d: %s",
			  answer->status, buf_str(&answer->body));
	json_free(doc);
	return rc;
}

static enum rc from_service(
	struct app *app, const char *name, struct buf *out, struct err *e)
{
	struct http_answer answer;
	char path[64];
	http_answer_init(&answer);
	snprintf(path, sizeof(path), "/v1/%s", name);
	enum rc rc = cli_ask(app, "GET", path, &answer, e);
	if (rc == RC_OK && answer.status != 200)
		rc = not_answered(&answer, e);
	if (rc == RC_OK)
		buf_addn(out, answer.body.p, answer.body.n);
	http_answer_free(&answer);
	return rc;
}

/* Nobody answers: what is declared, beside what the store knows. */
static int from_files(
	struct cli *cli, struct app *app, const char *name, struct buf *out)
{
	struct err e = { 0 };
	app_free(app);
	int status = cli_load(cli, app, FOR_FILES);
	if (status != EXIT_OK)
		return status;
	enum rc rc = store_open_readonly(
		config_text(&app->config, SET_STORE_PATH), &app->store, &e);
	if (rc == RC_NOT_FOUND) /* never started: nothing is known yet */
		rc = RC_OK;
	if (rc == RC_OK)
		rc = view_by_name(name)->write(app, out, &e);
	if (rc == RC_OK)
		rc = buf_rc(out);
	return rc == RC_OK ? EXIT_OK : cli_fail(EXIT_FAILED, "%s", e.text);
}

int cli_document(struct cli *cli, const char *name, struct buf *out)
{
	struct app app;
	struct err e = { 0 };
	int status = cli_load_socket(cli, &app);
	if (status == EXIT_OK) {
		enum rc rc = from_service(&app, name, out, &e);
		if (rc == RC_NETWORK)
			status = from_files(cli, &app, name, out);
		else if (rc != RC_OK)
			status = cli_fail(EXIT_FAILED, "%s", e.text);
	}
	app_free(&app);
	return status;
}

/* `plan` with steps: fine, but not as declared. */
static int status_of(const char *name, const struct buf *doc)
{
	struct json *json = NULL;
	int status = EXIT_OK;
	const char *list = text_eq(name, "plan") ? "steps" : NULL;
	if (!list || json_parse(doc->p, doc->n, NULL, &json, NULL) != RC_OK)
		return EXIT_OK;
	if (js_len(js_get(json_root(json), list)) > 0)
		status = EXIT_DIFFERS;
	json_free(json);
	return status;
}

int verb_view(struct cli *cli)
{
	struct buf doc;
	const char *name = cli->verb->name;
	buf_init(&doc, LIMIT_DOCUMENT);
	int status = cli_document(cli, name, &doc);
	if (status == EXIT_OK) {
		if (cli->json)
			puts(buf_str(&doc));
		else
			print_view(name, buf_str(&doc), doc.n);
		status = status_of(name, &doc);
	}
	buf_free(&doc);
	return status;
}
