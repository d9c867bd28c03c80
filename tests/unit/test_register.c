/*
 * tests/unit/test_register.c: registering with a homeserver, against a server
 * that answers as Conduit does.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"
#include "matrix/http.h"
#include "registration/registration_priv.h"
#include "tests/unit/httpstub.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define SERVER "anycompany.corp"
#define ADMIN "manu.mishra"
#define PASSWORD "correct horse"
#define MINE "aaron"

enum bot { BOT_WORKS, BOT_REFUSES, BOT_QUOTES, BOT_SILENT, BOT_CHATS };

/* A homeserver, and what it has been asked. */
struct conduit {
	const char *server;
	/* the service's side */
	bool registered, sender_made;
	bool bare;           /* its own user without a server */
	char namespace[256]; /* of users, as registered */
	char memo[1024];
	const char *ping_errcode; /* NULL: works */
	sem_t *ping_waits;        /* for this; NULL: for nothing */
	int ping_status;
	/* the administrator's side */
	char password[128];        /* "": the account does not exist */
	bool open, member, ticket; /* it asks for a token to register */
	int session;               /* number of open ones */
	enum bot bot;
	char command[4096];
	bool sent, redacted, unsaid; /* unsaid: the bot's answer */
	int redact_status;           /* 0: works */
	int drop;                    /* sends whose answer gets lost */
	int writes, logins;
};

static struct {
	char dir[200], password_file[256], file[256];
	struct conduit hs;
	struct httpstub *stub;
	struct hs_gate *gate;
	struct hs *as, *plain;
	struct registration reg;
	struct secret password;
	struct register_options o;
	struct buf said;
} t;

/* --- the homeserver --------------------------------------------------- */

static int refuse(struct buf *out, int status, const char *errcode)
{
	buf_addf(out, "{\"errcode\":\"%s\",\"error\":\"%s: no.\"}", errcode,
		errcode);
	return status;
}

static int ok(struct buf *out, const char *json)
{
	buf_add(out, json);
	return 200;
}

static bool is_as(const struct httpstub_request *q)
{
	return text_eq(q->bearer, secret_bytes(&t.reg.as_token));
}

/* The user that a request with our token acts for; 0 when it may go on. */
static int assert_user(struct conduit *c, const struct httpstub_request *q,
	struct buf *out, const char **user)
{
	const char *as = strstr(q->target, "user_id=");
	static char id[256];

	if (!is_as(q) || !c->registered)
		return refuse(out, 401, "M_UNKNOWN_TOKEN");
	snprintf(id, sizeof(id), "@muster:%s", c->server);
	*user = as ? as + 8 : id;
	if (as && !text_eq(*user, id)) {
		/* "^@(a|b):server" in the registration */
		char want[64];

		snprintf(want, sizeof(want), "%.*s", (int)strcspn(as + 9, ":"),
			as + 9);
		return strstr(c->namespace, want)
			? refuse(out, 403, "M_FORBIDDEN")
			: refuse(out, 400, "M_EXCLUSIVE");
	}
	return c->sender_made ? 0 : refuse(out, 403, "M_FORBIDDEN");
}

static int whoami(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	const char *user = NULL;
	int refused = assert_user(c, q, out, &user);

	if (refused)
		return refused;
	if (c->bare && !strstr(q->target, "user_id="))
		user = "muster";
	buf_addf(out, "{\"user_id\":\"%s\",\"is_guest\":false}", user);
	return 200;
}

/* At most a minute, so that a test that fails comes to its end. */
static void wait_for(sem_t *what)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	while (sem_timedwait(what, &until) != 0 && errno == EINTR)
		;
}

static int ping(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	if (!is_as(q) || !c->registered)
		return refuse(out, 401, "M_UNKNOWN_TOKEN");
	if (!strstr(q->target, "/appservice/muster/ping"))
		return refuse(out, 403, "M_FORBIDDEN");
	if (c->ping_waits)
		wait_for(c->ping_waits);
	if (c->ping_errcode)
		return refuse(out, c->ping_status, c->ping_errcode);
	return ok(out, "{\"duration_ms\":3}");
}

static int session(struct conduit *c, struct buf *out)
{
	c->session++;
	buf_addf(out,
		"{\"access_token\":\"admin-token\",\"device_id\":\"D\","
		"\"user_id\":\"@" ADMIN ":%s\"}",
		c->server);
	return 200;
}

static int make_user(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	struct json *doc = NULL;
	const char *password;
	int status = 200;

	assert_rc(
		json_parse(q->body, strlen(q->body), NULL, &doc, NULL), RC_OK);
	password = js_get_str(json_root(doc), "password");
	if (strstr(q->body, "m.login.application_service")) {
		if (!is_as(q) || !c->registered) {
			status = refuse(out, 401, "M_UNKNOWN_TOKEN");
		} else if (c->sender_made) {
			status = refuse(out, 400, "M_USER_IN_USE");
		} else {
			c->sender_made = strstr(q->body, "inhibit_login");
			buf_add(out, "{\"user_id\":\"@muster:" SERVER "\"}");
		}
	} else if (!c->open) {
		status = refuse(out, 403, "M_FORBIDDEN");
	} else if (c->password[0]) {
		status = refuse(out, 400, "M_USER_IN_USE");
	} else if (c->ticket || !strstr(q->body, "m.login.dummy")) {
		status = 401;
		buf_addf(out,
			"{\"flows\":[{\"stages\":[\"%s\"]}],"
			"\"session\":\"s\"}",
			c->ticket ? "m.login.registration_token"
				  : "m.login.dummy");
	} else {
		snprintf(c->password, sizeof(c->password), "%s", password);
		status = session(c, out);
	}
	json_free(doc);
	return status;
}

static int login(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	struct json *doc = NULL;
	const char *password;
	bool right;

	/* Not who is tried for being somebody else's. */
	c->logins += strstr(q->body, ADMIN) != NULL;
	assert_rc(
		json_parse(q->body, strlen(q->body), NULL, &doc, NULL), RC_OK);
	password = js_get_str(json_root(doc), "password");
	right = c->password[0] && text_eq(password, c->password);
	json_free(doc);
	return right ? session(c, out) : refuse(out, 403, "M_FORBIDDEN");
}

/* Reads the command as Conduit does: a bare fence, YAML, a bare fence. */
static void bot_reads(struct conduit *c)
{
	const char *start = "@conduit:" SERVER ": register-appservice\n```\n";
	const char *regex = strstr(c->command, "regex: \"");

	assert_true(text_starts(c->command, start));
	assert_true(text_ends(c->command, "\n```\n"));
	assert_non_null(regex);
	if (c->bot != BOT_WORKS && c->bot != BOT_CHATS)
		return;
	c->registered = true;
	snprintf(c->namespace, sizeof(c->namespace), "%.*s",
		(int)strcspn(regex + 8, "\""), regex + 8);
}

static int send_message(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	struct json *doc = NULL;

	if (!c->member)
		return refuse(out, 403, "M_FORBIDDEN");
	assert_rc(
		json_parse(q->body, strlen(q->body), NULL, &doc, NULL), RC_OK);
	snprintf(c->command, sizeof(c->command), "%s",
		js_get_str(json_root(doc), "body"));
	json_free(doc);
	c->sent = true;
	bot_reads(c);
	if (c->drop-- > 0)
		return 0;
	return ok(out, "{\"event_id\":\"$command\"}");
}

static void message(
	struct jb *b, const char *id, const char *sender, const char *body)
{
	jb_obj(b, NULL);
	jb_str(b, "type", "m.room.message");
	jb_str(b, "event_id", id);
	jb_str(b, "sender", sender);
	jb_obj(b, "content");
	jb_str(b, "msgtype", "m.text");
	jb_str(b, "body", body);
	jb_end_obj(b);
	jb_end_obj(b);
}

static int messages(struct conduit *c, struct buf *out)
{
	const char *bot = "@conduit:" SERVER;
	char text[256];
	struct jb b;

	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_arr(&b, "chunk");
	if (c->bot == BOT_CHATS)
		message(&b, "$9", bot, "Appservice registered with ID: other.");
	if (c->bot == BOT_WORKS || c->bot == BOT_CHATS)
		message(&b, "$8", bot,
			"Appservice registered with ID: muster.");
	if (c->bot == BOT_REFUSES)
		message(&b, "$8", bot,
			"Could not parse appservice config: missing field `x`");
	if (c->bot == BOT_QUOTES) {
		snprintf(text, sizeof(text),
			"Failed to register appservice: what is %s",
			secret_bytes(&t.reg.as_token));
		message(&b, "$8", bot, text);
	}
	if (c->bot == BOT_SILENT || c->bot == BOT_CHATS)
		message(&b, "$7", bot, "New user @x registered.");
	/* A member may say anything, and what is older is no answer. */
	message(&b, "$6", "@x:" SERVER,
		"Failed to register appservice: not by the bot");
	message(&b, "$command", "@" ADMIN ":" SERVER, c->command);
	message(&b, "$5", bot, "Appservice registered with ID: muster.");
	jb_end_arr(&b);
	jb_end_obj(&b);
	return 200;
}

static int account_data(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	const char *user = NULL;
	int refused = assert_user(c, q, out, &user);

	if (refused)
		return refused;
	assert_true(text_eq(q->method, "PUT") || text_eq(q->method, "GET"));
	if (text_eq(q->method, "PUT")) {
		snprintf(c->memo, sizeof(c->memo), "%s", q->body);
		return ok(out, "{}");
	}
	return c->memo[0] ? ok(out, c->memo) : refuse(out, 404, "M_NOT_FOUND");
}

static int admin_answer(
	struct conduit *c, const struct httpstub_request *q, struct buf *out)
{
	if (!text_eq(q->bearer, "admin-token") || c->session == 0)
		return refuse(out, 401, "M_UNKNOWN_TOKEN");
	if (strstr(q->target, "/rooms/!admins/send/m.room.message/"))
		return send_message(c, q, out);
	if (strstr(q->target, "/rooms/!admins/messages"))
		return messages(c, out);
	if (strstr(q->target, "/rooms/!admins/redact/$command/")) {
		if (c->redact_status)
			return refuse(out, c->redact_status, "M_UNKNOWN");
		c->redacted = true;
		return ok(out, "{\"event_id\":\"$r\"}");
	}
	if (strstr(q->target, "/rooms/!admins/redact/$8/")) {
		c->unsaid = true;
		return ok(out, "{\"event_id\":\"$r\"}");
	}
	if (strstr(q->target, "/logout")) {
		c->session--;
		return ok(out, "{}");
	}
	return refuse(out, 404, "M_UNRECOGNIZED");
}

static int conduit_answer(
	void *arg, const struct httpstub_request *q, struct buf *out)
{
	struct conduit *c = arg;

	if (!text_eq(q->method, "GET"))
		c->writes++;
	if (text_ends(q->target, "/client/versions"))
		return ok(out, "{\"versions\":[\"v1.11\"]}");
	if (strstr(q->target, "/account/whoami"))
		return whoami(c, q, out);
	if (strstr(q->target, "/ping"))
		return ping(c, q, out);
	if (strstr(q->target, "/account_data/muster.registration"))
		return account_data(c, q, out);
	if (strstr(q->target, "/directory/room/#admins:" SERVER)) {
		if (!text_eq(c->server, SERVER))
			return refuse(out, 404, "M_NOT_FOUND");
		return ok(out, "{\"room_id\":\"!admins\",\"servers\":[]}");
	}
	if (text_ends(q->target, "/v3/register"))
		return make_user(c, q, out);
	if (text_ends(q->target, "/v3/login"))
		return login(c, q, out);
	return admin_answer(c, q, out);
}

/* --- set-up ----------------------------------------------------------- */

static void say(void *arg, const char *line)
{
	(void)arg;
	buf_addf(&t.said, "%s\n", line);
}

static void make_registration(void)
{
	static const char *const users[] = { "@" MINE ":" SERVER };
	static const char *const aliases[] = { "#all:" SERVER };
	struct registration_want w = { .id = "muster",
		.url = "http://127.0.0.1:29400",
		.sender_localpart = "muster",
		.server_name = SERVER,
		.users = users,
		.n_users = 1,
		.aliases = aliases,
		.n_aliases = 1 };
	struct err e = { 0 };

	assert_ok(registration_make(&w, &t.reg, &e), e);
}

static int setup(void **state)
{
	static const char *const probes[] = { "@" MINE ":" SERVER };
	struct err e = { 0 };

	(void)state;
	memset(&t, 0, sizeof(t));
	snprintf(t.dir, sizeof(t.dir), "%s/muster-register-XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.password_file, sizeof(t.password_file), "%s/secrets/admin",
		t.dir);
	snprintf(t.file, sizeof(t.file), "%s/registration.yaml", t.dir);
	make_registration();
	assert_ok(registration_write(t.file, &t.reg, &e), e);
	t.hs = (struct conduit){
		.server = SERVER, .open = true, .member = true
	};
	snprintf(t.hs.password, sizeof(t.hs.password), PASSWORD);
	t.stub = httpstub_start(conduit_answer, &t.hs);
	assert_non_null(t.stub);
	t.gate = hs_gate_new();
	assert_non_null(t.gate);
	struct hs_options ho = { .url = httpstub_url(t.stub),
		.gate = t.gate,
		.token = &t.reg.as_token };
	assert_ok(hs_new(&ho, &t.as, &e), e);
	ho.token = NULL;
	assert_ok(hs_new(&ho, &t.plain, &e), e);
	assert_rc(secret_set(&t.password, PASSWORD, strlen(PASSWORD)), RC_OK);
	buf_init(&t.said, LIMIT_SMALL_BODY);
	t.o = (struct register_options){ .as = t.as,
		.plain = t.plain,
		.reg = &t.reg,
		.server_name = SERVER,
		.kind = HS_CONDUIT,
		.registration_path = t.file,
		.admin_user = ADMIN,
		.admin_password_file = t.password_file,
		.admin_password = &t.password,
		.probe_users = probes,
		.n_probe = 1,
		.say = say };
	return 0;
}

static void assert_no_secret(const char *text)
{
	assert_null(strstr(text, secret_bytes(&t.reg.as_token)));
	assert_null(strstr(text, secret_bytes(&t.reg.hs_token)));
	assert_null(strstr(text, PASSWORD));
	assert_null(strstr(text, "admin-token"));
	if (t.hs.password[0])
		assert_null(strstr(text, t.hs.password));
}

/* Whatever the test was: no session stays open, no tokens stay readable, no
 * secret was said. */
static int teardown(void **state)
{
	char secrets[256];

	(void)state;
	assert_int_equal(t.hs.session, 0);
	assert_int_equal(t.hs.redacted, t.hs.sent && !t.hs.redact_status);
	assert_no_secret(buf_str(&t.said));
	buf_free(&t.said);
	hs_free(t.as);
	hs_free(t.plain);
	hs_gate_free(t.gate);
	httpstub_stop(t.stub);
	registration_free(&t.reg);
	secret_fini(&t.password);
	unlink(t.password_file);
	unlink(t.file);
	snprintf(secrets, sizeof(secrets), "%s/secrets", t.dir);
	rmdir(secrets);
	return rmdir(t.dir);
}

static void registers(void)
{
	struct err e = { 0 };

	assert_ok(registration_register(&t.o, &e), e);
	assert_true(t.hs.registered);
	assert_true(t.hs.sender_made);
}

/* Fails so, with all of `words` in the text. */
static void fails(enum rc rc, const char *words)
{
	struct err e = { 0 };
	enum rc got = registration_register(&t.o, &e);

	assert_no_secret(e.text);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, e.text);
	assert_rc(got, rc);
}

/* --- tests ------------------------------------------------------------ */

static void existing_server(void **state)
{
	(void)state;
	registers();
	assert_int_equal(t.hs.logins, 1);
	assert_string_equal(t.hs.password, PASSWORD);
	assert_string_equal(t.hs.namespace, "^@(aaron):anycompany\\\\.corp$");
}

static void fresh_server(void **state)
{
	static const struct secret none = { 0 };
	struct err e = { 0 };
	struct buf text;
	struct stat st;
	char secrets[256];

	(void)state;
	t.hs.password[0] = '\0';
	t.o.admin_password = &none;
	registers();
	assert_int_equal(strlen(t.hs.password), 64);
	buf_init(&text, LIMIT_SECRET_FILE);
	assert_ok(file_read(t.password_file, &text, &e), e);
	assert_string_equal(buf_str(&text), t.hs.password);
	buf_free(&text);
	assert_int_equal(stat(t.password_file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(secrets, sizeof(secrets), "%s/secrets", t.dir);
	assert_int_equal(stat(secrets, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* The password was made by somebody else, the account not yet. */
static void fresh_server_with_a_password(void **state)
{
	(void)state;
	t.hs.password[0] = '\0';
	registers();
	assert_string_equal(t.hs.password, PASSWORD);
}

static void fresh_but_closed(void **state)
{
	(void)state;
	t.hs.password[0] = '\0';
	t.hs.open = false;
	t.o.admin_password = NULL;
	fails(RC_FORBIDDEN, "CONDUIT_ALLOW_REGISTRATION=true");
	assert_int_equal(access(t.password_file, F_OK), -1);
	assert_null(strstr(buf_str(&t.said), "made a password"));
}

/* A token that the server does not take; where it asks for none it is no
 * obstacle. */
static void fresh_with_a_wrong_token(void **state)
{
	struct secret token = { 0 };

	(void)state;
	t.hs.password[0] = '\0';
	t.o.admin_password = NULL;
	assert_rc(secret_set(&token, "not-this-one", 12), RC_OK);
	t.o.registration_token = &token;
	t.hs.ticket = true;
	fails(RC_UNAUTHORIZED,
		"the registration token in homeserver.registration_token is "
		"not the one that Conduit has (CONDUIT_REGISTRATION_TOKEN): ");
	t.hs.open = false;
	fails(RC_FORBIDDEN, "makes no accounts, so not " ADMIN " either: ");
	fails(RC_FORBIDDEN, "M_FORBIDDEN");
	assert_int_equal(access(t.password_file, F_OK), -1);
	t.hs.open = true;
	t.hs.ticket = false;
	registers();
	t.o.registration_token = NULL;
	secret_fini(&token);
}

static void no_password_for_an_account(void **state)
{
	(void)state;
	t.o.admin_password = NULL;
	fails(RC_EXISTS,
		"the account " ADMIN " exists already: put its "
		"password into /");
	assert_int_equal(access(t.password_file, F_OK), -1);
	t.o.admin_password_file = NULL;
	fails(RC_INVALID, "homeserver.admin.password is not set");
}

/* A file that could not be read is not overwritten. */
static void a_password_file_is_kept(void **state)
{
	char secrets[256];
	struct err e = { 0 };

	(void)state;
	snprintf(secrets, sizeof(secrets), "%s/secrets", t.dir);
	assert_ok(file_mkdirs(secrets, 0700, &e), e);
	assert_ok(file_replace(t.password_file, "x", 1, 0600, &e), e);
	t.o.admin_password = NULL;
	fails(RC_EXISTS, "no password was read from it");
	assert_int_equal(access(t.password_file, F_OK), 0);
	assert_false(t.hs.sent);
}

static void wrong_password(void **state)
{
	(void)state;
	snprintf(t.hs.password, sizeof(t.hs.password), "another");
	fails(RC_FORBIDDEN, "the password for " ADMIN " in /");
	assert_false(t.hs.sent);
	t.hs.open = false;
	fails(RC_FORBIDDEN, "does not take the password for " ADMIN);
	t.o.admin_user = "conduit";
	fails(RC_FORBIDDEN, "CONDUIT_EMERGENCY_PASSWORD");
}

static void not_an_administrator(void **state)
{
	(void)state;
	t.hs.member = false;
	fails(RC_FORBIDDEN,
		"is no administrator of the homeserver: have it "
		"invited to #admins:" SERVER);
}

static void no_administrator_configured(void **state)
{
	(void)state;
	t.o.admin_user = NULL;
	fails(RC_INVALID, "homeserver.admin is not set");
	fails(RC_INVALID, "start Conduit with CONDUIT_EMERGENCY_PASSWORD");
	assert_int_equal(t.hs.writes, 0);
}

static void the_bot_refuses(void **state)
{
	(void)state;
	t.hs.bot = BOT_REFUSES;
	fails(RC_REMOTE,
		"Conduit cannot read the registration: \"Could not "
		"parse appservice config: missing field `x`\"");
	assert_true(t.hs.redacted);
}

static void the_bot_quotes_a_token(void **state)
{
	(void)state;
	t.hs.bot = BOT_QUOTES;
	fails(RC_REMOTE,
		"Conduit does not take the registration: \"(its words "
		"have a token in them)\"");
	assert_true(t.hs.redacted);
	assert_true(t.hs.unsaid);
}

static void the_bot_is_silent(void **state)
{
	struct err e = { 0 };
	bool entered = false;

	(void)state;
	t.hs.bot = BOT_SILENT;
	assert_rc(register_conduit(&t.o, 200, false, &entered, &e), RC_TIMEOUT);
	assert_true(entered);
	assert_non_null(strstr(e.text,
		"did not answer the command in 200 ms, "
		"it only said: New user @x "
		"registered.: look into #admins"));
	assert_true(t.hs.redacted);
}

static void the_bot_says_more(void **state)
{
	(void)state;
	t.hs.bot = BOT_CHATS;
	registers();
}

static void a_lost_answer(void **state)
{
	(void)state;
	t.hs.drop = 1;
	registers();
	assert_true(t.hs.redacted);
}

static void lost_answers(void **state)
{
	(void)state;
	t.hs.drop = 2;
	fails(RC_NETWORK, "/send/m.room.message");
	assert_non_null(strstr(buf_str(&t.said), "may have arrived"));
	t.hs.sent = false; /* nobody can know what to redact */
}

static void redaction_refused(void **state)
{
	(void)state;
	t.hs.redact_status = 403;
	fails(RC_FORBIDDEN,
		"registered, but the message $command in "
		"#admins:" SERVER);
	t.hs.registered = false;
	t.hs.bot = BOT_REFUSES;
	fails(RC_REMOTE, "Conduit cannot read the registration");
	assert_non_null(strstr(buf_str(&t.said), "redact it by hand"));
}

static void already_registered(void **state)
{
	int writes;

	(void)state;
	registers();
	writes = t.hs.writes;
	t.hs.logins = 0;
	registers();
	/* The ping is a POST. */
	assert_int_equal(t.hs.writes, writes + 1);
	assert_int_equal(t.hs.logins, 0);
	assert_non_null(strstr(buf_str(&t.said), "already registered"));
	/* Somebody else registered us: no memo. */
	t.hs.memo[0] = '\0';
	t.o.admin_user = NULL;
	registers();
	assert_int_equal(t.hs.logins, 0);
}

static void registered_without_the_sender(void **state)
{
	(void)state;
	t.hs.registered = true;
	snprintf(t.hs.namespace, sizeof(t.hs.namespace), "^@(" MINE ")");
	t.o.admin_user = NULL;
	registers();
	assert_int_equal(t.hs.logins, 0);
}

/* Works, but nobody noted how it came to be: done once more, if it can be. */
static void registered_by_hand(void **state)
{
	(void)state;
	t.hs.registered = t.hs.sender_made = true;
	snprintf(t.hs.namespace, sizeof(t.hs.namespace), "^@(" MINE ")");
	snprintf(t.hs.password, sizeof(t.hs.password), "another");
	registers();
	assert_false(t.hs.sent);
	assert_non_null(strstr(buf_str(&t.said), "(not looked for tokens"));
	assert_non_null(strstr(buf_str(&t.said), "already registered"));
	snprintf(t.hs.password, sizeof(t.hs.password), PASSWORD);
	registers();
	assert_true(t.hs.sent);
	t.hs.logins = 0;
	registers();
	assert_int_equal(t.hs.logins, 0);
}

static void a_changed_namespace(void **state)
{
	static const char *const probes[] = { "@" MINE ":" SERVER };

	(void)state;
	t.hs.registered = t.hs.sender_made = true;
	snprintf(t.hs.namespace, sizeof(t.hs.namespace), "^@(beth)");
	t.o.probe_users = probes;
	registers();
	assert_int_equal(t.hs.logins, 1);
	assert_non_null(strstr(t.hs.namespace, MINE));
}

static void changed_aliases(void **state)
{
	(void)state;
	registers();
	namespace_free(&t.reg.ns[NS_ALIASES].items[0]);
	t.reg.ns[NS_ALIASES].n = 0;
	registers();
	assert_int_equal(t.hs.logins, 2);
	registers();
	assert_int_equal(t.hs.logins, 2);
}

static void another_servers_name(void **state)
{
	(void)state;
	t.hs.server = "other.corp";
	fails(RC_INVALID, " has no #admins:" SERVER);
	assert_int_equal(t.hs.writes, 0);
	t.hs.registered = true;
	fails(RC_INVALID, " has no #admins:" SERVER);
	assert_int_equal(t.hs.writes, 0);
	t.hs.sender_made = true;
	fails(RC_INVALID,
		"the homeserver is other.corp, the configuration "
		"says " SERVER);
	assert_int_equal(t.hs.writes, 0);
}

static void it_would_match_the_bot(void **state)
{
	struct namespace wide = { .regex = "^@.*:" SERVER "$" };
	struct err e = { 0 };

	(void)state;
	assert_ok(namespace_compile(&wide, &e), e);
	namespace_free(&t.reg.ns[NS_USERS].items[0]);
	t.reg.ns[NS_USERS].items[0] = wide;
	fails(RC_INVALID, "the users namespace matches @conduit:" SERVER);
	assert_int_equal(t.hs.writes, 0);
}

static void too_long_for_a_message(void **state)
{
	struct buf big;
	const char *before = t.reg.ns[NS_USERS].items[0].regex;

	(void)state;
	buf_init(&big, MIB);
	for (int i = 0; i < 62 * 1024; i++)
		buf_addc(&big, 'a');
	t.reg.ns[NS_USERS].items[0].regex = buf_str(&big);
	fails(RC_TOO_LARGE, "into muster.yaml: namespace: {prefix: agent-}");
	t.reg.ns[NS_USERS].items[0].regex = before;
	buf_free(&big);
	assert_int_equal(t.hs.writes, 0);
}

/* AS-89. */
static void ping_fails(void **state)
{
	static const struct {
		int status;
		const char *errcode, *words;
	} cases[] = {
		{ 502, "M_CONNECTION_FAILED",
			"the homeserver does not get through to "
			"http://127.0.0.1:29400 (appservice.url)" },
		{ 504, "M_CONNECTION_TIMEOUT",
			"the homeserver got no answer in time from "
			"http://127.0.0.1:29400 (appservice.url)" },
		{ 502, "M_BAD_STATUS",
			"the homeserver was turned away at "
			"http://127.0.0.1:29400 (appservice.url)" },
		{ 400, "M_URL_NOT_SET",
			"the homeserver has a registration without a URL" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		t.hs.registered = t.hs.redacted = false;
		t.hs.ping_status = cases[i].status;
		t.hs.ping_errcode = cases[i].errcode;
		fails(RC_REMOTE, cases[i].words);
		assert_true(t.hs.registered);
		assert_true(t.hs.redacted);
		assert_int_equal(t.hs.session, 0);
	}
	t.o.admin_user = NULL;
	fails(RC_REMOTE, "a registration without a URL");
}

/* Conduit waits for 30 s: as long as we do. */
static void ping_takes_its_time(void **state)
{
	sem_t end;

	(void)state;
	assert_int_equal(sem_init(&end, 0, 0), 0);
	t.hs.ping_waits = &end;
	hs_hurry(t.as, 2000);
	fails(RC_TIMEOUT,
		"the homeserver got no answer in time from "
		"http://127.0.0.1:29400 (appservice.url)");
	assert_int_equal(sem_post(&end), 0);
	httpstub_stop(t.stub);
	t.stub = NULL;
	assert_int_equal(sem_destroy(&end), 0);
}

/* What is noted is what we have; but somebody may have registered another URL or
 * hs_token by hand since: it is said, and done once more. */
static void ping_fails_later(void **state)
{
	(void)state;
	registers();
	t.hs.logins = 0;
	t.hs.ping_status = 502;
	t.hs.ping_errcode = "M_CONNECTION_FAILED";
	fails(RC_REMOTE, "the homeserver does not get through to");
	assert_int_equal(t.hs.logins, 1);
	assert_non_null(strstr(buf_str(&t.said),
		"registered, but with another URL or hs_token, or the "
		"homeserver does not get through to"));
	t.o.admin_user = NULL;
	fails(RC_REMOTE, "URL or hs_token: set homeserver.admin, and");
}

/* A URL that does not work was registered; the one of before is back. */
static void there_and_back(void **state)
{
	const char *before = t.reg.url;

	(void)state;
	registers();
	t.reg.url = "http://127.0.0.1:1";
	t.hs.ping_status = 502;
	t.hs.ping_errcode = "M_CONNECTION_FAILED";
	fails(RC_REMOTE, "does not get through to http://127.0.0.1:1");
	t.reg.url = before;
	t.hs.logins = 0;
	fails(RC_REMOTE, "does not get through to http://127.0.0.1:29400");
	assert_int_equal(t.hs.logins, 1);
	/* The same when the bot's answer is the last that we saw of it. */
	t.reg.url = "http://127.0.0.1:1";
	t.hs.bot = BOT_REFUSES;
	fails(RC_REMOTE, "Conduit cannot read");
	t.reg.url = before;
	t.hs.bot = BOT_WORKS;
	t.hs.ping_errcode = NULL;
	t.hs.logins = 0;
	registers();
	assert_int_equal(t.hs.logins, 1);
}

/* AS-162. */
static void no_traffic_wanted(void **state)
{
	(void)state;
	t.reg.url = NULL;
	t.hs.ping_status = 400;
	t.hs.ping_errcode = "M_URL_NOT_SET";
	registers();
}

/* As Dendrite: no ping, and its own user without the server's name. */
static void no_ping(void **state)
{
	(void)state;
	t.o.kind = HS_DENDRITE;
	t.hs.registered = t.hs.sender_made = t.hs.bare = true;
	snprintf(t.hs.namespace, sizeof(t.hs.namespace), "^@(" MINE ")");
	t.hs.ping_status = 404;
	t.hs.ping_errcode = "M_UNRECOGNIZED";
	registers();
	assert_non_null(
		strstr(buf_str(&t.said), "the first event will show it"));
	assert_non_null(strstr(buf_str(&t.said), "already registered"));
	/* A proxy's 404 is another matter. */
	t.hs.ping_errcode = "M_NOT_FOUND";
	fails(RC_NOT_FOUND, "M_NOT_FOUND");
}

static void unreachable(void **state)
{
	(void)state;
	httpstub_stop(t.stub);
	t.stub = NULL;
	fails(RC_NETWORK, "no homeserver answers: is it running");
}

static void by_file(void **state)
{
	static const struct {
		enum hs_kind kind;
		const char *words;
	} cases[] = {
		{ HS_SYNAPSE,
			"Add this line to app_service_config_files in "
			"homeserver.yaml: - " },
		{ HS_DENDRITE,
			"app_service_api.config_files in dendrite.yaml: "
			"- " },
		{ HS_TUWUNEL, "appservice_dir names in tuwunel.toml: /" },
		{ HS_UNKNOWN, "homeserver.kind can say it): /" },
	};
	char line[300];

	(void)state;
	t.o.admin_user = NULL; /* with one, Tuwunel has another way */
	snprintf(line, sizeof(line), "- %s\n", t.file);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		t.o.kind = cases[i].kind;
		fails(RC_PENDING, cases[i].words);
		fails(RC_PENDING, "run `muster register` again");
	}
	assert_non_null(strstr(buf_str(&t.said), line));
	assert_int_equal(t.hs.writes, 0);
	/* After the restart it is there. */
	t.o.kind = HS_SYNAPSE;
	t.hs.registered = true;
	snprintf(t.hs.namespace, sizeof(t.hs.namespace), "^@(" MINE ")");
	registers();
	assert_int_equal(t.hs.logins, 0);
	assert_string_equal(t.hs.memo, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(existing_server),
		TEST(fresh_server),
		TEST(fresh_server_with_a_password),
		TEST(fresh_but_closed),
		TEST(fresh_with_a_wrong_token),
		TEST(no_password_for_an_account),
		TEST(a_password_file_is_kept),
		TEST(wrong_password),
		TEST(not_an_administrator),
		TEST(no_administrator_configured),
		TEST(the_bot_refuses),
		TEST(the_bot_quotes_a_token),
		TEST(the_bot_is_silent),
		TEST(the_bot_says_more),
		TEST(a_lost_answer),
		TEST(lost_answers),
		TEST(redaction_refused),
		TEST(already_registered),
		TEST(registered_without_the_sender),
		TEST(registered_by_hand),
		TEST(a_changed_namespace),
		TEST(changed_aliases),
		TEST(another_servers_name),
		TEST(it_would_match_the_bot),
		TEST(too_long_for_a_message),
		TEST(ping_fails),
		TEST(ping_takes_its_time),
		TEST(ping_fails_later),
		TEST(there_and_back),
		TEST(no_traffic_wanted),
		TEST(no_ping),
		TEST(unreachable),
		TEST(by_file),
	};
	int failed;

	if (http_global_init(NULL) != RC_OK)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_global_fini();
	return failed;
}
