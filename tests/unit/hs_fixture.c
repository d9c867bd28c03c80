/*
 * tests/unit/hs_fixture.c: setting up a homeserver client and looking at what
 * it sent.
 */
#include "tests/unit/hs_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix/http.h"

#include "base/poison.h"

struct hs *make_client(struct fixture *f)
{
	struct hs *hs = NULL;
	struct hs_options o = {
		.url = script_url(f->server),
		.token = &f->token,
		.gate = f->gate,
		.stop = &f->stop,
	};
	if (hs_new(&o, &hs, &f->e) != RC_OK)
		abort();
	return hs;
}

int hs_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->server = script_start(NULL);
	f->gate = hs_gate_new();
	buf_init(&f->text, 4096);
	if (secret_set(&f->token, TOKEN, strlen(TOKEN)) != RC_OK)
		return -1;
	f->hs = make_client(f);
	*state = f;
	return 0;
}

int hs_teardown(void **state)
{
	struct fixture *f = *state;
	int leaked = 0;
	for (size_t i = 0; i < script_requests(f->server); i++) {
		if (strstr(script_line(f->server, i), "ekret") != NULL ||
			strstr(script_line(f->server, i), "access_token"))
			leaked = -1;
	}
	hs_free(f->hs);
	hs_gate_free(f->gate);
	secret_fini(&f->token);
	arena_free(&f->arena);
	buf_free(&f->text);
	script_stop(f->server);
	free(f);
	return leaked;
}

void hs_says(struct fixture *f, int status, const char *body)
{
	script_say(f->server, status, "", body);
}

void break_connections(struct fixture *f)
{
	script_reset(f->server);
	script_reset(f->server);
}

void expect_sent(struct fixture *f, const char *line, const char *body)
{
	size_t last = script_requests(f->server) - 1;
	char want[1024];
	snprintf(want, sizeof(want), "%s HTTP/1.1", line);
	assert_string_equal(script_line(f->server, last), want);
	assert_string_equal(script_body(f->server, last), body);
}

bool sent_token(struct fixture *f)
{
	return strstr(script_text(f->server, script_requests(f->server) - 1),
		       "\r\nAuthorization: Bearer " TOKEN "\r\n") != NULL;
}

bool sent_any_token(struct fixture *f)
{
	return strstr(script_text(f->server, script_requests(f->server) - 1),
		       "Authorization") != NULL;
}

bool hs_begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	return http_global_init(NULL) == RC_OK;
}

int hs_end(int failed)
{
	http_global_fini();
	return failed;
}
