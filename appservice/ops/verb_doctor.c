/*
 * `muster doctor`: the running service says how its agents are; the rest is
 * looked at from here, and without a service all of it.
 */
#include <stdio.h>

#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "appservice/ops/doctor.h"
#include "appservice/ops/verbs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define OCCUPIED                                                               \
	"`muster serve` runs nowhere, and something else has "                 \
	"appservice.listen: end it, or give one of the two another port"

struct visit {
	struct app app;
	struct report report;
	struct doctor_case c;
	struct buf document;
	struct err silence, deafness;
	struct intake intake;
	struct http_server *server;
};

/* Whatever is wrong with it is among the findings. */
static enum rc load(struct visit *v, const char *path, struct err *e)
{
	struct err wrong = { 0 };
	app_init(&v->app);
	enum rc rc = app_load(&v->app, path, FOR_SERVICE, &v->report, &wrong);
	if (rc == RC_NOMEM)
		return err_nomem(e);
	v->c = (struct doctor_case){ .app = &v->app,
		.readable = v->app.config.readable,
		.whole = rc == RC_OK,
		.config_path = path,
		.report = &v->report };
	return RC_OK;
}

/* Says it in its words, where it does not say how its agents are. */
static void take_answer(struct visit *v, const struct http_answer *answer)
{
	struct json *doc = NULL;
	const char *why = NULL;
	if (answer->status == 200) {
		buf_addn(&v->document, answer->body.p, answer->body.n);
		v->c.document = buf_str(&v->document);
		v->c.document_n = v->document.n;
		return;
	}
	if (json_parse(answer->body.p, answer->body.n, NULL, &doc, NULL) ==
		RC_OK)
		why = js_get_str(json_root(doc), "error");
	err_set(&v->silence, RC_PENDING, "the service answers %d: %s",
		answer->status, why ? why : "it does not say why");
	v->c.silence = v->silence.text;
	json_free(doc);
}

static void ask_service(struct visit *v)
{
	struct http_answer answer;
	if (!v->c.readable || !config_text(&v->app.config, SET_OPS_SOCKET))
		return;
	http_answer_init(&answer);
	enum rc rc =
		cli_ask(&v->app, "GET", "/v1/doctor", &answer, &v->silence);
	if (rc == RC_OK)
		take_answer(v, &answer);
	else if (rc != RC_NETWORK)
		v->c.silence = v->silence.text;
	http_answer_free(&answer);
}

/* Where no service does. Transactions that come meanwhile are refused, and come
 * again. */
static void answer_pings(struct visit *v)
{
	struct registration reg = { 0 };
	const char *path = config_text(&v->app.config, SET_AS_REGISTRATION);
	if (v->c.document || v->c.silence || !v->c.whole ||
		registration_read(path, &reg, NULL, NULL) != RC_OK)
		return;
	enum rc rc = cli_listen(
		&v->app, &reg.hs_token, &v->intake, &v->server, &v->deafness);
	registration_free(&reg);
	if (rc != RC_OK)
		err_wrap(&v->deafness, rc,
			"correct appservice.listen, with an address of this "
			"machine");
	v->c.listening = rc == RC_OK;
	v->c.occupied = rc == RC_OK ? NULL
		: rc == RC_BUSY     ? OCCUPIED
				    : v->deafness.text;
}

static int tell(const struct cli *cli, const struct buf *out)
{
	struct json *doc = NULL;
	int status = EXIT_OK;
	if (cli->json)
		puts(buf_str(out));
	else
		print_view("doctor", buf_str(out), out->n);
	if (json_parse(out->p, out->n, NULL, &doc, NULL) == RC_OK &&
		js_len(js_get(json_root(doc), "findings")) > 0)
		status = EXIT_DIFFERS;
	json_free(doc);
	return status;
}

int verb_doctor(struct cli *cli)
{
	struct visit v = { 0 };
	struct buf out;
	struct err e = { 0 };
	report_init(&v.report);
	buf_init(&v.document, LIMIT_DOCUMENT);
	buf_init(&out, LIMIT_DOCUMENT);
	enum rc rc = load(&v, cli->config_path, &e);
	if (rc == RC_OK) {
		ask_service(&v);
		answer_pings(&v);
		rc = doctor_write(&v.c, &out, &e);
	}
	if (rc == RC_OK)
		rc = buf_rc(&out);
	int status = rc == RC_OK
		? tell(cli, &out)
		: cli_fail(EXIT_FAILED, "%s", *e.text ? e.text : rc_words(rc));
	http_server_stop(v.server, 2000);
	app_free(&v.app);
	report_free(&v.report);
	buf_free(&v.document);
	buf_free(&out);
	return status;
}
