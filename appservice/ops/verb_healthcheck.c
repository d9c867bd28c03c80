/*
 * `muster healthcheck`: what a container's health check runs. Of the service
 * beside it, over its socket; or of a homeserver, whose image may have nothing
 * else to ask with.
 */
#include <stdio.h>

#include "appservice/ops/verbs.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/hs.h"

#include "base/poison.h"

/* Less than the five seconds after which ECS ends a check: what is wrong is
 * said before that. */
#define PROBE_MS 4000
#define WAIT_MAX_MS (INT64_C(24) * 3600 * 1000)
#define POLL_MS 200
#define SAY_MS 10000 /* how often it is said that we wait */

/* What the service says of itself; the exit status says it in short. */
static int tell_health(const struct cli *cli, const struct http_answer *answer)
{
	bool ready = answer->status == 200;
	if (cli->json)
		puts(buf_str(&answer->body));
	else
		print_view("health", buf_str(&answer->body), answer->body.n);
	return ready ? EXIT_OK : EXIT_DIFFERS;
}

/* The document of one that is asked from outside; why NULL: it answers. */
static void print_document(const char *why)
{
	struct buf out;
	struct jb b;
	buf_init(&out, LIMIT_DOCUMENT);
	jb_init(&b, &out);
	jb_obj(&b, NULL);
	jb_bool(&b, "ready", !why);
	jb_arr(&b, "why_not");
	if (why)
		jb_str(&b, NULL, why);
	jb_end_arr(&b);
	jb_end_obj(&b);
	puts(buf_str(&out));
	buf_free(&out);
}

/* One that does not answer, and why. */
static int tell_silence(const struct cli *cli, int status, const struct err *e)
{
	if (cli->json)
		print_document(e->text);
	return cli_fail(status, "%s", e->text);
}

static int ask_service(struct cli *cli)
{
	struct app app;
	struct http_answer answer;
	struct err e = { 0 };
	http_answer_init(&answer);
	int status = cli_load_socket(cli, &app);
	if (status == EXIT_OK) {
		enum rc rc = cli_ask(&app, "GET", "/health/ready", &answer, &e);
		if (rc == RC_NETWORK)
			cli_silence(&app, &e);
		status = rc == RC_OK ? tell_health(cli, &answer)
				     : tell_silence(cli, EXIT_FAILED, &e);
	}
	http_answer_free(&answer);
	app_free(&app);
	return status;
}

/* One request and no second, for whoever runs us may ask again; or until it
 * answers, for at most wait_ms. */
static enum rc look(struct hs *hs, int64_t wait_ms, struct err *e)
{
	const int64_t began = clock_mono_ms();
	int64_t told = began;
	enum rc rc = hs_versions(hs, NULL, e);
	while (rc != RC_OK && clock_mono_ms() - began < wait_ms) {
		if (clock_mono_ms() - told >= SAY_MS) {
			told = clock_mono_ms();
			fprintf(stderr,
				"muster: waiting (%lld of %lld s): %s\n",
				(long long)(told - began) / 1000,
				(long long)wait_ms / 1000, e->text);
		}
		clock_sleep_ms(POLL_MS);
		rc = hs_versions(hs, NULL, e);
	}
	return rc;
}

static int get_wait(const struct cli *cli, int64_t *ret)
{
	if (cli->wait && !str_duration(str_of(cli->wait), WAIT_MAX_MS, ret))
		return cli_fail(EXIT_WRONG,
			"--wait %s: expected a duration such as 30s or 2m, of "
			"at most a day",
			cli->wait);
	return EXIT_OK;
}

static int ask_homeserver(const struct cli *cli)
{
	const struct hs_options o = {
		.url = cli->homeserver, .timeout_ms = PROBE_MS, .patience_ms = 1
	};
	struct hs *hs = NULL;
	struct err e = { 0 };
	int64_t wait_ms = 0;
	int status = get_wait(cli, &wait_ms);
	if (status != EXIT_OK)
		return status;
	enum rc rc = hs_new(&o, &hs, &e);
	if (rc != RC_OK)
		return tell_silence(
			cli, rc == RC_INVALID ? EXIT_WRONG : EXIT_FAILED, &e);
	rc = look(hs, wait_ms, &e);
	hs_free(hs);
	if (rc != RC_OK)
		return tell_silence(cli, EXIT_FAILED, &e);
	if (cli->json)
		print_document(NULL);
	else
		puts("the homeserver answers");
	return EXIT_OK;
}

int verb_healthcheck(struct cli *cli)
{
	if (cli->wait && !cli->homeserver)
		return cli_fail(EXIT_WRONG, "--wait goes with --homeserver");
	return cli->homeserver ? ask_homeserver(cli) : ask_service(cli);
}
