/*
 * The verb for what could not be read: it shows it, or has the running service
 * read one of it again.
 */
#include <stdio.h>

#include "appservice/ops/verbs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* Beside the table: how much is there no more. */
static int tell_dropped(struct cli *cli)
{
	struct buf doc;
	struct json *status = NULL;
	int64_t dropped = 0;
	buf_init(&doc, LIMIT_DOCUMENT);
	int ret = cli_document(cli, "status", &doc);
	if (ret == EXIT_OK &&
		json_parse(doc.p, doc.n, NULL, &status, NULL) == RC_OK &&
		js_get_i64(js_get(json_root(status), "quarantine"), "dropped",
			&dropped) &&
		dropped > 0)
		printf("%lld older ones had to leave\n", (long long)dropped);
	json_free(status);
	buf_free(&doc);
	return ret;
}

static int show(struct cli *cli)
{
	int status = verb_view(cli);
	return status == EXIT_OK && !cli->json ? tell_dropped(cli) : status;
}

/* The service's answer, in words. */
static int tell(const struct cli *cli, const char *id, struct js doc)
{
	bool applied = false;
	int64_t events = 0, quarantined = 0;
	js_get_bool(doc, "applied", &applied);
	js_get_i64(doc, "events", &events);
	js_get_i64(doc, "quarantined", &quarantined);
	if (!applied)
		return cli_fail(EXIT_FAILED, "%s stays in quarantine: %s", id,
			js_get_str(doc, "reason"));
	if (cli->json)
		return EXIT_OK;
	printf("%s was read and has left the quarantine", id);
	if (events != 1)
		printf(": %lld events", (long long)events);
	if (quarantined > 0)
		printf(", %lld of which are in it now by themselves",
			(long long)quarantined);
	putchar('\n');
	return EXIT_OK;
}

static int take_answer(
	const struct cli *cli, const char *id, const struct http_answer *answer)
{
	struct json *doc = NULL;
	struct err e = { 0 };
	if (json_parse(answer->body.p, answer->body.n, NULL, &doc, &e) != RC_OK)
		return cli_fail(
			EXIT_FAILED, "the service's answer: %s", e.text);
	int status = EXIT_FAILED;
	if (answer->status == 200) {
		if (cli->json)
			puts(buf_str(&answer->body));
		status = tell(cli, id, json_root(doc));
	} else {
		cli_fail(status, "%s", js_get_str(json_root(doc), "error"));
	}
	json_free(doc);
	return status;
}

static int retry(struct cli *cli, const char *id)
{
	struct app app;
	struct http_answer answer;
	struct err e = { 0 };
	char path[80];
	http_answer_init(&answer);
	snprintf(path, sizeof(path), "/v1/quarantine/%s/retry", id);
	int status = cli_load_socket(cli, &app);
	if (status == EXIT_OK) {
		enum rc rc = cli_ask(&app, "POST", path, &answer, &e);
		if (rc == RC_NETWORK)
			cli_silence(&app, &e);
		status = rc == RC_OK ? take_answer(cli, id, &answer)
				     : cli_fail(rc == RC_TIMEOUT ? EXIT_DIFFERS
								 : EXIT_FAILED,
					       "%s", e.text);
	}
	http_answer_free(&answer);
	app_free(&app);
	return status;
}

int verb_quarantine(struct cli *cli)
{
	int64_t id = 0;
	if (cli->argc == 0)
		return show(cli);
	if (!text_eq(cli->argv[0], "retry"))
		return cli_fail(EXIT_WRONG,
			"quarantine takes no \"%s\": `muster quarantine` shows "
			"it, `muster quarantine retry ID` reads one again",
			cli->argv[0]);
	if (cli->argc != 2 ||
		!str_i64(str_of(cli->argv[1]), 1, JSON_INT_MAX, &id))
		return cli_fail(EXIT_WRONG,
			"quarantine retry takes the id of one event: `muster "
			"quarantine` lists them");
	return retry(cli, cli->argv[1]);
}
