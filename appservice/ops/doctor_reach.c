/*
 * What is in the way between us and the homeserver: of our requests to it, and
 * of its transactions to us.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/doctor_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define CALL_MS 10000 /* nobody waits longer for one answer */

/* --- there --------------------------------------------------------------------- */

/* The first of the variables that send requests elsewhere; NULL: none. */
static const char *proxy_here(void)
{
	static const char *const names[] = { "http_proxy", "https_proxy",
		"all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return names[i];
	}
	return NULL;
}

static const struct {
	const char *what, *fix;
} by_trouble[] = {
	[HTTP_FINE] = { "it gives no answer", NULL },
	[HTTP_NAME_UNKNOWN] = { "nobody knows the name of its host",
		"correct it, or the name service (of the containers' "
		"network)" },
	[HTTP_REFUSED] = { "nobody listens there (refused)",
		"start the homeserver, or correct the address" },
	[HTTP_UNREACHABLE] = { "there is no way there",
		"correct the address, or the route" },
	[HTTP_SILENT] = { "no answer comes from there",
		"look for a firewall (security group) between them, or at the "
		"homeserver's log" },
	[HTTP_TLS] = { "what answers does not speak TLS, or not ours",
		"say http:// where the homeserver has no certificate, or the "
		"port of the proxy that has one" },
	[HTTP_CERTIFICATE] = { "its certificate is not accepted",
		"name its authority in homeserver.ca_file, and the host as the "
		"certificate has it" },
	[HTTP_NOT_HTTP] = { "what answers there speaks no HTTP, or hangs up",
		"correct the port, or say https:// where it speaks TLS" },
};

static void find_unreached(struct doctor *d, const char *url,
	enum http_trouble t, const char *said)
{
	const char *what = by_trouble[t].what, *fix = by_trouble[t].fix;
	const char *proxy = proxy_here();
	if (t == HTTP_FINE) {
		what = hs_failure(d->plain)->status
			? "something else answers there, which is no "
			  "homeserver"
			: what;
		fix = "correct the address, or see to the homeserver";
	}
	const char *more = proxy && t != HTTP_FINE && t != HTTP_TLS &&
			t != HTTP_CERTIFICATE
		? arena_printf(d->a,
			  "; %s is set, which muster does not use: the "
			  "homeserver has to be reached without a proxy",
			  proxy)
		: "";
	doctor_find(d, doctor_at(d, SET_HS_URL),
		arena_printf(d->a, "%s: %s (%s)", url, what, said),
		"without the homeserver nothing can be done, nor known",
		arena_printf(d->a,
			"%s: `curl -i %s/_matrix/client/versions` has to list "
			"versions%s",
			fix, doctor_quote(d->a, url), more));
}

void check_homeserver(struct doctor *d)
{
	const char *url = config_text(&d->app->config, SET_HS_URL);
	struct err e = { 0 };
	d->checked++;
	if (!url)
		return;
	enum rc rc = app_client_plain(d->app, &d->plain, &e);
	if (rc != RC_OK) {
		doctor_find(d, doctor_at(d, SET_HS_URL),
			arena_strdup(d->a, e.text),
			"nothing can be asked of it", "do what it says");
		return;
	}
	hs_hurry(d->plain, CALL_MS);
	rc = app_detect(d->app, d->plain, &e);
	if (rc == RC_OK) /* which need not have asked */
		rc = hs_versions(d->plain, NULL, &e);
	if (rc == RC_OK)
		d->has |= HAS_HOMESERVER;
	else
		find_unreached(d, url, hs_trouble(d->plain),
			arena_strdup(d->a, e.text));
}

/* --- and back -------------------------------------------------------------------- */

/* Where we would be asked on this machine. */
static const char *own_address(struct doctor *d)
{
	const char *listen = config_text(&d->app->config, SET_AS_LISTEN);
	const char *port = listen ? strrchr(listen, ':') : NULL;
	if (!port)
		return NULL;
	if (text_starts(listen, "0.0.0.0:"))
		return arena_printf(d->a, "127.0.0.1%s", port);
	if (text_starts(listen, "[::]:"))
		return arena_printf(d->a, "[::1]%s", port);
	return listen;
}

/* The status of a ping as the homeserver sends it; 0: no answer. */
static int ping_ourselves(struct doctor *d)
{
	static const char body[] = "{\"transaction_id\":\"doctor\"}";
	const char *address = own_address(d);
	const struct http_options o = { 0 };
	const struct http_request q = { .method = "POST",
		.url = address
			? arena_printf(d->a, "http://%s%s/_matrix/app/v1/ping",
				  address, app_base_path(d->app))
			: NULL,
		.bearer = &d->app->reg.hs_token,
		.body = body,
		.body_n = sizeof(body) - 1,
		.timeout_ms = CALL_MS };
	struct http_answer answer;
	struct http *http = NULL;
	int status = 0;
	http_answer_init(&answer);
	if (q.url && http_new(&o, &http, NULL) == RC_OK &&
		http_do(http, &q, &answer, NULL) == RC_OK)
		status = answer.status;
	http_answer_free(&answer);
	http_free(http);
	return status;
}

static const char *host_of(struct doctor *d, const char *url)
{
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	return *host == '['
		? arena_strndup(d->a, host + 1, strcspn(host + 1, "]"))
		: arena_strndup(d->a, host, strcspn(host, ":/"));
}

/* The homeserver gets no answer, or a refusal: who gives it one? */
static const char *fix_back(struct doctor *d, const char *url)
{
	const char *proxy = proxy_here();
	int status = ping_ourselves(d);
	if (status == 401 || status == 403)
		return "what listens there has read another registration: "
		       "start the service again with this one";
	if (status >= 300)
		return arena_printf(d->a,
			"something else listens at appservice.listen (it "
			"answers %d): give one of the two another port",
			status);
	if (status == 0)
		return "nobody listens at appservice.listen: `muster serve`, "
		       "and its log says why not";
	return arena_printf(d->a,
		"we answer on this machine: on the homeserver's `curl -i %s` "
		"has to answer 404 with M_UNRECOGNIZED; else correct "
		"appservice.url, or the firewall; where its environment has a "
		"proxy%s%s%s, set NO_PROXY=%s there. Where it does answer, the "
		"homeserver has another URL or hs_token of ours: %s",
		doctor_quote(d->a, url), proxy ? " (as ours has, " : "",
		proxy ? proxy : "", proxy ? ")" : "", host_of(d, url),
		doctor_fix_registered(d));
}

static const struct {
	const char *errcode, *what;
} by_errcode[] = {
	{ "M_CONNECTION_FAILED",
		"the homeserver does not get through to %s, or is refused "
		"there" },
	{ "M_CONNECTION_TIMEOUT",
		"the homeserver gets no answer in time from %s" },
	{ "M_BAD_STATUS", "the homeserver is turned away at %s" },
};

static const char *unreached(
	struct doctor *d, const char *errcode, const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(by_errcode); i++)
		if (text_eq(errcode, by_errcode[i].errcode)) {
			const char *of = strstr(by_errcode[i].what, "%s");
			return arena_printf(d->a, "%.*s%s%s",
				(int)(of - by_errcode[i].what),
				by_errcode[i].what, url, of + 2);
		}
	return NULL;
}

/* It answers us, and a ping within CALL_MS not: it waits longer than that. */
static void find_no_way_back(
	struct doctor *d, enum rc rc, const char *url, const char *said)
{
	const char *errcode = rc == RC_TIMEOUT ? "M_CONNECTION_TIMEOUT"
					       : hs_failure(d->as)->errcode;
	const char *what = unreached(d, errcode, url);
	const char *fix = NULL;
	if (what)
		fix = d->occupied && ping_ourselves(d) == 0
			? arena_strdup(d->a, d->occupied)
			: fix_back(d, url);
	else if (text_eq(errcode, "M_URL_NOT_SET"))
		what = "the homeserver has a registration of ours without a "
		       "URL",
		fix = doctor_fix_registered(d);
	else if (text_eq(errcode, "M_FORBIDDEN"))
		what = "the homeserver knows our token under another id",
		fix = "go back to the old appservice.id, or with it `muster "
		      "unregister` first; then `muster register`";
	else
		return; /* it cannot ping, or not now: nothing is known */
	doctor_find(d, doctor_at(d, SET_AS_URL),
		arena_printf(d->a, "%s (%s%s)", what,
			rc == RC_TIMEOUT ? "" : "it said: ", said),
		"no message and no member's coming and going is heard of", fix);
}

/* The homeserver is content with it. */
static void find_another(struct doctor *d, const char *url)
{
	doctor_find(d, doctor_at(d, SET_AS_URL),
		arena_printf(d->a,
			"the homeserver reaches something at %s, but not us: "
			"it answers anybody, with no token too",
			url),
		"what the homeserver sends is taken by somebody else, and is "
		"lost to us",
		d->occupied ? arena_strdup(d->a, d->occupied)
			    : "correct appservice.url, then `muster register`; "
			      "or end that program");
}

void check_way_back(struct doctor *d)
{
	const char *url = d->app->reg.url;
	struct err e = { 0 };
	int64_t took = 0;
	d->checked++;
	if (!url)
		return;
	enum rc rc = hs_ping(d->as, d->app->reg.id, "doctor", &took, &e);
	if (rc != RC_OK)
		find_no_way_back(d, rc, url, arena_strdup(d->a, e.text));
	else if (registration_answered_blindly(&d->app->reg))
		find_another(d, url);
}
