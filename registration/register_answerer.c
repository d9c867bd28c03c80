/*
 * registration/register_answerer.c: who answers where the homeserver sends what
 * is for us? It says that it was answered, not by whom.
 */
#include "base/limits.h"
#include "matrix/http.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

#define ASK_MS 5000 /* it has just answered the homeserver */

bool registration_answered_blindly(const struct registration *r)
{
	static const char body[] = "{}";
	const struct http_options o = { 0 };
	struct http_request q = { .method = "POST",
		.body = body,
		.body_n = sizeof(body) - 1,
		.timeout_ms = ASK_MS };
	struct http_answer answer;
	struct http *http = NULL;
	struct buf url;
	bool blindly = false;

	if (!r->url)
		return false;
	buf_init(&url, LIMIT_SMALL_BODY);
	http_answer_init(&answer);
	buf_addf(&url, "%s/_matrix/app/v1/ping", r->url);
	q.url = buf_str(&url);
	if (buf_rc(&url) == RC_OK && http_new(&o, &http, NULL) == RC_OK &&
		http_do(http, &q, &answer, NULL) == RC_OK)
		blindly = answer.status >= 200 && answer.status < 300;
	http_answer_free(&answer);
	http_free(http);
	buf_free(&url);
	return blindly;
}
