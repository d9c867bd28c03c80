/*
 * The verb init: a muster.yaml to begin with. What can be known is filled in:
 * the fleet's files that lie there, the homeserver that was named, here or in
 * these, or answers on this host, its name, and who would register the service
 * with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/ops/verbs.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/yaml.h"
#include "matrix/hs.h"
#include "matrix/id.h"

#include "base/poison.h"

#define ASK_MS 2000
#define ASKED 3 /* agents whose accounts are asked for */

/* Where homeservers listen when nobody says otherwise: Conduit; the others. */
static const char *const USUAL[] = { "http://127.0.0.1:6167",
	"http://127.0.0.1:8008" };

struct found {
	struct config_known known;
	struct arena arena; /* of the texts */
	bool answers;
	enum hs_kind kind;
	char its_name[256];    /* as the homeserver says it; "": does not */
	const char *in_files;  /* the server of the files' ids; NULL */
	const char *human;     /* localpart of the CEO of the files; NULL */
	const char *in_config; /* the homeserver that config.yaml names; NULL */
	const char *agents[ASKED]; /* localparts of some in the files */
	size_t n_agents;
	bool in_use; /* one of them has an account already */
};

/* --- the homeserver ------------------------------------------------------------- */

/* Something at this URL is a homeserver; what it says of itself. */
static bool ask(const char *url, struct found *f)
{
	struct hs_options o = { .url = url, .timeout_ms = ASK_MS };
	struct hs *hs = NULL;
	if (hs_new(&o, &hs, NULL) != RC_OK)
		return false;
	hs_hurry(hs, ASK_MS);
	f->answers = hs_detect(hs, &f->kind, NULL) == RC_OK;
	if (f->answers && hs_server_name(hs, f->its_name, NULL) != RC_OK)
		f->its_name[0] = '\0';
	hs_free(hs);
	return f->answers;
}

/* The one that the fleet's own files name is rather it than whatever listens
 * where homeservers do. */
static void find_homeserver(const struct cli *cli, struct found *f)
{
	struct config_known *k = &f->known;
	k->url = cli->homeserver ? cli->homeserver : f->in_config;
	bool found = k->url && ask(k->url, f);
	for (size_t i = 0; i < ARRAY_LEN(USUAL); i++) {
		if (found || cli->homeserver)
			break;
		found = ask(USUAL[i], f);
		if (found)
			k->url = USUAL[i];
	}
}

/* --- the fleet's files ------------------------------------------------------------ */

static void take_server(struct found *f, struct str server)
{
	const char *name = arena_strndup(&f->arena, server.p, server.n);
	if (name && id_server_ok(name))
		f->in_files = name;
}

static void take_human(struct found *f, struct str localpart)
{
	if (!f->human && id_localpart_ok(localpart))
		f->human = arena_strndup(&f->arena, localpart.p, localpart.n);
}

/* What the files say of whose they are; that they are right is `check`'s. */
static void take_id(struct found *f, const char *id, bool human)
{
	struct str localpart, server;
	if (!id || !id_split(id, '@', &localpart, &server))
		return;
	if (!f->in_files)
		take_server(f, server);
	if (human)
		take_human(f, localpart);
	else if (f->n_agents < ASKED && id_localpart_ok(localpart) &&
		(f->agents[f->n_agents] = arena_strndup(
			 &f->arena, localpart.p, localpart.n)))
		f->n_agents++;
}

/* Where its people say that its homeserver is. */
static void take_homeserver(struct found *f, const char *url)
{
	if (url && !config_fault(SET_HS_URL, url))
		f->in_config = arena_strndup(&f->arena, url, strlen(url));
}

static void take_config(struct found *f, const struct yaml_node *root)
{
	take_id(f, yaml_str(yaml_get(yaml_get(root, "ceo"), "matrixId")), true);
	take_homeserver(
		f, yaml_str(yaml_get(yaml_get(root, "matrix"), "homeserver")));
}

static bool read_there(const char *dir, const char *name, struct buf *text)
{
	char *path = path_join(dir, name);
	bool there = path && file_read(path, text, NULL) == RC_OK;
	free(path);
	return there;
}

static void look_at_config(const char *dir, struct found *f)
{
	struct yaml_doc doc = { 0 };
	struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE);
	if (read_there(dir, "config.yaml", &text)) {
		f->known.config = "config.yaml";
		if (yaml_parse(buf_str(&text), text.n, NULL, &doc, NULL) ==
			RC_OK)
			take_config(f, doc.root);
		yaml_doc_free(&doc);
	}
	buf_free(&text);
}

static void look_at_org(const char *dir, struct found *f)
{
	struct json *doc = NULL;
	struct buf text;
	buf_init(&text, LIMIT_ORG_FILE);
	if (read_there(dir, "org.json", &text)) {
		f->known.org = "org.json";
		if (json_parse(buf_str(&text), text.n, NULL, &doc, NULL) !=
			RC_OK)
			doc = NULL;
	}
	struct js people = js_get(json_root(doc), "people");
	for (size_t i = 0; i < js_len(people); i++)
		take_id(f, js_get_str(js_at(people, i), "matrixId"),
			text_eq(js_get_str(js_at(people, i), "level"), "CEO"));
	json_free(doc);
	buf_free(&text);
}

/* A fleet that lives there with passwords is moved over. Who is in a service's
 * namespace is not said to have an account. */
static void look_at_accounts(struct found *f)
{
	struct hs_options o = { .url = f->known.url, .timeout_ms = ASK_MS };
	struct hs *hs = NULL;
	if (!f->answers || !text_eq(f->known.server_name, f->in_files) ||
		hs_new(&o, &hs, NULL) != RC_OK)
		return;
	hs_hurry(hs, ASK_MS);
	for (size_t i = 0; i < f->n_agents && !f->in_use; i++)
		f->in_use =
			hs_username_free(hs, f->agents[i], NULL) == RC_EXISTS;
	hs_free(hs);
}

/* --- what is made of it ------------------------------------------------------------- */

static void conclude(const struct cli *cli, struct found *f)
{
	struct config_known *k = &f->known;
	k->server_name = cli->server_name ? cli->server_name
		: *f->its_name            ? f->its_name
					  : f->in_files;
	/* Elsewhere the registration is named in the configuration. */
	bool by_admin = !f->answers || f->kind == HS_CONDUIT ||
		f->kind == HS_TUWUNEL || f->kind == HS_UNKNOWN;
	bool ours = f->human && text_eq(k->server_name, f->in_files);
	if (by_admin)
		k->admin = ours ? f->human : "admin";
}

static void say_homeserver(const struct cli *cli, const struct found *f)
{
	const struct config_known *k = &f->known;
	const char *from = cli->homeserver ? ""
		: k->url == f->in_config   ? ", as in config.yaml"
					   : ", found there";
	if (!k->url)
		puts("homeserver   none answers on this host: correct "
		     "homeserver.url");
	else if (!f->answers)
		printf("homeserver   %s%s, which does not answer now\n", k->url,
			from);
	else
		printf("homeserver   %s (%s%s)\n", k->url,
			hs_kind_name(f->kind), from);
}

static void say_name(const struct cli *cli, const struct found *f)
{
	const struct config_known *k = &f->known;
	if (!k->server_name)
		puts("server name  unknown: correct homeserver.server_name");
	else
		printf("server name  %s (%s)\n", k->server_name,
			cli->server_name       ? "as given"
				: *f->its_name ? "as it says"
					       : "as in the fleet's files");
	if (k->server_name && f->in_files &&
		!text_eq(k->server_name, f->in_files))
		printf("             the fleet's files are of %s: correct one "
		       "of them\n",
			f->in_files);
}

static void say_fleet(const struct found *f)
{
	const struct config_known *k = &f->known;
	if (k->org)
		printf("fleet        %s%s\n", k->org,
			k->config ? ", config.yaml" : "");
	else
		printf("fleet        one agent by hand%s: see fleet.agents\n",
			k->config ? ", as config.yaml is nothing without "
				    "org.json"
				  : "");
	if (f->in_use)
		puts("             agents of it have accounts already: adopt "
		     "takes them over");
	if (k->admin)
		printf("admin        %s: on an empty homeserver the account is "
		       "made, else put its\n"
		       "             password into secrets/admin-password\n",
			k->admin);
}

/* As one word of a shell's. */
static void say_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._/-+:@%,=";
	bool quote = word[strspn(word, plain)] != '\0';
	fputs(quote ? "'" : "", stdout);
	for (const char *at = word; *at; at++)
		if (*at == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*at);
	fputs(quote ? "'" : "", stdout);
}

static void say_next(const struct found *f, const char *dir, const char *path)
{
	static const char *const next[] = { "check", "register",
		"adopt --dry-run", "serve" };
	puts("next:");
	for (size_t i = 0; i < ARRAY_LEN(next); i++) {
		if (text_starts(next[i], "adopt") && !f->in_use)
			continue;
		fputs("  muster ", stdout);
		if (!text_eq(dir, ".")) {
			fputs("-c ", stdout);
			say_word(path);
			putchar(' ');
		}
		puts(next[i]);
	}
}

static int refuse_option(const struct cli *cli)
{
	const char *wrong = NULL;
	if (cli->homeserver &&
		(wrong = config_fault(SET_HS_URL, cli->homeserver)))
		return cli_fail(EXIT_WRONG, "--homeserver %s: %s",
			cli->homeserver, wrong);
	if (cli->server_name &&
		(wrong = config_fault(SET_HS_NAME, cli->server_name)))
		return cli_fail(EXIT_WRONG, "--server-name %s: %s",
			cli->server_name, wrong);
	return EXIT_OK;
}

static enum rc write_there(
	const char *dir, const char *path, struct found *f, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_CONFIG_FILE);
	config_write_template(&f->known, &text);
	enum rc rc = buf_rc(&text) == RC_OK ? file_mkdirs(dir, 0755, e)
					    : err_nomem(e);
	if (rc == RC_OK)
		rc = file_create(path, text.p, text.n, 0644, e);
	buf_free(&text);
	return rc;
}

static enum rc init(
	const struct cli *cli, const char *dir, const char *path, struct err *e)
{
	struct found f = { 0 };
	/* Before anybody is asked; to write it is refused as well. */
	if (access(path, F_OK) == 0)
		return err_set(e, RC_EXISTS,
			"%s is there already: it is left alone", path);
	arena_init(&f.arena);
	look_at_config(dir, &f);
	look_at_org(dir, &f);
	find_homeserver(cli, &f);
	conclude(cli, &f);
	look_at_accounts(&f);
	enum rc rc = write_there(dir, path, &f, e);
	if (rc == RC_OK) {
		printf("%s was written\n", path);
		say_homeserver(cli, &f);
		say_name(cli, &f);
		say_fleet(&f);
		say_next(&f, dir, path);
	}
	arena_free(&f.arena);
	return rc;
}

int verb_init(struct cli *cli)
{
	const char *dir = cli->argc > 0 ? cli->argv[0] : ".";
	struct err e = { 0 };
	int status = refuse_option(cli);
	if (status != EXIT_OK)
		return status;
	char *path = path_join(text_eq(dir, ".") ? "" : dir, "muster.yaml");
	enum rc rc = path ? init(cli, dir, path, &e) : err_nomem(&e);
	free(path);
	return rc == RC_OK ? EXIT_OK : cli_fail(EXIT_FAILED, "%s", e.text);
}
