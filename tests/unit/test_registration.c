/*
 * tests/unit/test_registration.c: the registration, its file and its
 * namespaces. Names of tests say which item of the specification they hold.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/yaml.h"
#include "registration/registration_priv.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define SERVER "anycompany.corp"

static char dir[200];
static char path[256];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/muster-registration-XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/registration.yaml", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static const char *const few_users[] = {
	"@aaron.phillips:" SERVER,
	"@b-c_d=e/f+g:" SERVER,
	"@zoe:" SERVER,
};
static const char *const few_aliases[] = {
	"#all-employees:" SERVER,
	"#r&d-[x]-{y}-team:" SERVER,
	"#what?-(a|b)*-$1^2\\3:" SERVER,
	"#z\xc3\xbcrich:" SERVER,
};

static struct registration_want want(void)
{
	return (struct registration_want){
		.id = "muster",
		.url = "http://127.0.0.1:29400",
		.sender_localpart = "muster",
		.server_name = SERVER,
		.users = few_users,
		.n_users = ARRAY_LEN(few_users),
		.aliases = few_aliases,
		.n_aliases = ARRAY_LEN(few_aliases),
	};
}

static void make(const struct registration_want *w, struct registration *ret)
{
	struct err e = { 0 };

	assert_ok(registration_make(w, ret, &e), e);
}

static void put(const char *text, unsigned mode)
{
	struct err e = { 0 };

	assert_ok(file_replace(path, text, strlen(text), mode, &e), e);
}

/* Reads text as a file; it must be refused with `fault` after the path. */
static void refused(const char *text, const char *fault)
{
	struct registration r = { 0 };
	struct err e = { 0 };
	char expected[512];

	put(text, 0600);
	assert_rc(registration_read(path, &r, NULL, &e), RC_INVALID);
	snprintf(expected, sizeof(expected), "%s:%s", path, fault);
	assert_string_equal(e.text, expected);
	assert_null(r.id);
}

static void accepted(const char *text, struct registration *ret)
{
	struct err e = { 0 };

	put(text, 0600);
	assert_ok(registration_read(path, ret, NULL, &e), e);
}

#define WITHOUT_NAMESPACES                                                     \
	"id: \"a\"\n"                                                          \
	"url: \"http://h:1\"\n"                                                \
	"as_token: \"one\"\n"                                                  \
	"hs_token: \"two\"\n"                                                  \
	"sender_localpart: \"s\"\n"

/* --- making ----------------------------------------------------------- */

static bool is_hex64(const struct secret *s)
{
	const char *p = secret_bytes(s);

	return s->n == 64 && strspn(p, "0123456789abcdef") == 64;
}

/* AS-03. */
static void as_03_tokens_are_random(void **state)
{
	struct registration a = { 0 }, b = { 0 };
	struct registration_want w = want();

	(void)state;
	make(&w, &a);
	make(&w, &b);
	assert_true(is_hex64(&a.as_token));
	assert_true(is_hex64(&a.hs_token));
	assert_true(is_hex64(&b.as_token));
	assert_string_not_equal(
		secret_bytes(&a.as_token), secret_bytes(&a.hs_token));
	assert_string_not_equal(
		secret_bytes(&a.as_token), secret_bytes(&b.as_token));
	assert_string_not_equal(
		secret_bytes(&a.hs_token), secret_bytes(&b.hs_token));
	registration_free(&a);
	registration_free(&b);
}

static void as_10_patterns_are_literal(void **state)
{
	struct registration r = { 0 };
	struct registration_want w = want();

	(void)state;
	make(&w, &r);
	assert_int_equal(r.ns[NS_USERS].n, 1);
	assert_true(r.ns[NS_USERS].items[0].exclusive);
	assert_string_equal(r.ns[NS_USERS].items[0].regex,
		"^@(aaron\\.phillips|b-c_d=e/f\\+g|zoe):anycompany\\.corp$");
	assert_int_equal(r.ns[NS_ALIASES].n, 1);
	assert_true(r.ns[NS_ALIASES].items[0].exclusive);
	assert_string_equal(r.ns[NS_ALIASES].items[0].regex,
		"^#(all-employees|r&d-\\[x]-\\{y}-team|"
		"what\\?-\\(a\\|b\\)\\*-\\$1\\^2\\\\3|z\xc3\xbcrich)"
		":anycompany\\.corp$");
	assert_int_equal(r.ns[NS_ROOMS].n, 0);
	assert_false(r.rate_limited);
	for (size_t i = 0; i < ARRAY_LEN(few_aliases); i++)
		assert_true(
			registration_matches(&r, NS_ALIASES, few_aliases[i]));
	registration_free(&r);

	w.n_aliases = 0;
	w.prefix = "agent-";
	make(&w, &r);
	assert_string_equal(r.ns[NS_USERS].items[0].regex,
		"^@agent-[a-z0-9._=/+-]+:anycompany\\.corp$");
	assert_int_equal(r.ns[NS_ALIASES].n, 0);
	assert_true(registration_matches(&r, NS_USERS, "@agent-1:" SERVER));
	assert_false(registration_matches(&r, NS_USERS, "@agent-:" SERVER));
	assert_false(registration_matches(&r, NS_USERS, "@agent-A:" SERVER));
	assert_false(registration_matches(&r, NS_USERS, "@zoe:" SERVER));
	registration_free(&r);
}

static void nobody_declared(void **state)
{
	struct registration r = { 0 };
	struct registration_want w = want();

	(void)state;
	w.n_users = 0;
	make(&w, &r);
	assert_int_equal(r.ns[NS_USERS].n, 0);
	assert_true(registration_owns(&r, SERVER, "@muster:" SERVER));
	registration_free(&r);
}

static void make_refuses(void **state)
{
	static const char *const strangers[] = { "@a:other.corp" };
	static const char *const bare[] = { "aaron" };
	const struct {
		const char *id, *url, *sender, *server, *prefix, *words;
		const char *const *users;
	} cases[] = {
		{ .id = "", .words = "appservice.id is empty" },
		{ .id = "a|b",
			.words = "appservice.id has a |, which Synapse "
				 "refuses" },
		{ .sender = "A",
			.words = "appservice.sender may only have a-z 0-9 . _ "
				 "- and /" },
		{ .sender = "a+b",
			.words = "appservice.sender has a = or +, which "
				 "Synapse refuses" },
		{ .url = "127.0.0.1:29400",
			.words = "appservice.url does not start with http:// "
				 "or https://" },
		{ .url = "http://", .words = "appservice.url has no host" },
		{ .url = "http://a b",
			.words = "appservice.url has a character that a URL "
				 "may not have" },
		{ .url = "http://h/?a=b",
			.words = "appservice.url has more than a host, a port "
				 "and a path" },
		{ .server = "any company",
			.words = "homeserver.server_name is \"any company\", "
				 "which is no server name" },
		{ .prefix = "agent:",
			.words = "namespace.prefix is \"agent:\", but may only "
				 "have a-z 0-9 . _ = - / and +" },
		{ .users = strangers,
			.words = "@a:other.corp cannot be in the namespace: it "
				 "is no id of anycompany.corp" },
		{ .users = bare,
			.words = "aaron cannot be in the namespace: it is no "
				 "id of anycompany.corp" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct registration_want w = want();
		struct registration r = { 0 };
		struct err e = { 0 };

		w.id = cases[i].id ? cases[i].id : w.id;
		w.url = cases[i].url ? cases[i].url : w.url;
		w.prefix = cases[i].prefix;
		if (cases[i].sender)
			w.sender_localpart = cases[i].sender;
		if (cases[i].server)
			w.server_name = cases[i].server;
		if (cases[i].users) {
			w.users = cases[i].users;
			w.n_users = 1;
		}
		assert_rc(registration_make(&w, &r, &e), RC_INVALID);
		assert_string_equal(e.text, cases[i].words);
		assert_null(r.id);
	}
}

/* --- matching --------------------------------------------------------- */

static const char *const humans[] = { "@manu.mishra:" SERVER,
	"@conduit:" SERVER, "@:" SERVER, "@muster:" SERVER, "" };

/* Names as organisations have them, and names that try to be patterns. */
static size_t make_names(struct arena *a, const char ***ret)
{
	static const char *const first[] = { "aaron", "beth", "c", "dan.e",
		"e_f", "g-h", "i=j", "k+l", "m/n", "0" };
	static const char *const last[] = { "phillips", "lee", "o.neil", "x+",
		"..", "-", "_", "=", "a/b", "9", "smith", "jones", "kim",
		"diaz", "khan", "cruz", "wu", "li", "ng", "fox", "ray", "day",
		"may", "roy", "gil", "sun", "ali", "cho", "das", "eno" };
	size_t n = 0, cap = 0;

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		for (size_t k = 0; k < ARRAY_LEN(last); k++)
			*(const char **)arena_push(a, ret, &n, &cap,
				sizeof(**ret)) = arena_printf(a, "@%s.%s:%s",
				first[i], last[k], SERVER);
	return n;
}

/* What must not match: near misses of id. */
static size_t near_misses(struct arena *a, const char *id, const char **ret)
{
	size_t n = 0;
	const char *colon = strchr(id, ':');
	char *copy;

	for (const char *dot = strchr(id, '.'); dot;
		dot = strchr(dot + 1, '.')) {
		copy = arena_strdup(a, id);
		copy[dot - id] = 'Z';
		ret[n++] = copy;
	}
	ret[n++] = arena_printf(a, "%s.evil.com", id);
	ret[n++] = arena_printf(a, "%sx", id);
	ret[n++] = arena_printf(a, "%s\n", id);
	ret[n++] = arena_printf(a, "@x%s", id);
	ret[n++] = arena_printf(a, "@#%s", id + 1);
	ret[n++] = arena_printf(a, "%.*s#%s", (int)(colon - id), id, colon);
	ret[n++] = arena_printf(a, "%.*s:other.corp", (int)(colon - id), id);
	ret[n++] = arena_printf(a, "#%s", id + 1);
	ret[n++] = id + 1;
	copy = arena_strdup(a, id);
	copy[1] = '~';
	ret[n++] = copy;
	return n;
}

static void posix_agrees(const regex_t *posix, const char *id, bool matches)
{
	assert_int_equal(
		regexec(posix, id, 0, NULL, 0), matches ? 0 : REG_NOMATCH);
}

static void as_10_every_id_and_no_other(void **state)
{
	struct arena a = { 0 };
	struct registration r = { 0 };
	struct registration_want w = want();
	const char **names;
	const char *misses[32];
	regex_t posix;

	(void)state;
	w.n_users = make_names(&a, &names);
	w.users = names;
	assert_int_equal(w.n_users, 300);
	make(&w, &r);
	assert_int_equal(regcomp(&posix, r.ns[NS_USERS].items[0].regex,
				 REG_EXTENDED | REG_NOSUB),
		0);
	for (size_t i = 0; i < w.n_users; i++) {
		size_t n = near_misses(&a, names[i], misses);

		assert_true(registration_matches(&r, NS_USERS, names[i]));
		assert_true(registration_owns(&r, SERVER, names[i]));
		posix_agrees(&posix, names[i], true);
		for (size_t k = 0; k < n; k++) {
			assert_false(
				registration_matches(&r, NS_USERS, misses[k]));
			assert_false(registration_owns(&r, SERVER, misses[k]));
			posix_agrees(&posix, misses[k], false);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(humans); i++)
		assert_false(registration_matches(&r, NS_USERS, humans[i]));
	regfree(&posix);
	registration_free(&r);
	arena_free(&a);
}

/* The pattern, given to PCRE2 instead of being taken apart, says the same. */
static void both_ways_of_matching_agree(void **state)
{
	struct arena a = { 0 };
	struct registration r = { 0 }, by_pcre = { 0 };
	struct registration_want w = want();
	struct namespace ns = { 0 };
	struct err e = { 0 };
	const char **names;
	const char *misses[32];

	(void)state;
	w.n_users = make_names(&a, &names);
	w.users = names;
	make(&w, &r);
	ns.regex = arena_printf(&a, "(?:)%s", r.ns[NS_USERS].items[0].regex);
	assert_ok(namespace_compile(&ns, &e), e);
	by_pcre.sender_localpart = "muster";
	by_pcre.ns[NS_USERS].items = &ns;
	by_pcre.ns[NS_USERS].n = 1;
	for (size_t i = 0; i < w.n_users; i++) {
		size_t n = near_misses(&a, names[i], misses);

		assert_true(registration_matches(&by_pcre, NS_USERS, names[i]));
		assert_true(registration_owns(&by_pcre, SERVER, names[i]));
		for (size_t k = 0; k < n; k++)
			assert_false(registration_matches(
				&by_pcre, NS_USERS, misses[k]));
	}
	namespace_free(&ns);
	registration_free(&r);
	arena_free(&a);
}

static void python_agrees(void **state)
{
	static const char program[] =
		"import re,sys\n"
		"l=sys.stdin.buffer.read().decode().split('\\n')\n"
		"p=re.compile(l[0])\n"
		"sys.exit(0 if all((p.match(s[1:]) is not None)==(s[0]=='+')"
		" for s in l[1:] if s) else 9)\n";
	struct arena a = { 0 };
	struct registration r = { 0 };
	struct registration_want w = want();
	const char **names;
	const char *misses[32];
	char command[400];
	FILE *f;

	(void)state;
	if (system("python3 -c 'import re' 2>/dev/null") != 0)
		return;
	put(program, 0600);
	snprintf(command, sizeof(command), "python3 %s", path);
	w.n_users = make_names(&a, &names);
	w.users = names;
	make(&w, &r);
	f = popen(command, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", r.ns[NS_USERS].items[0].regex);
	for (size_t i = 0; i < w.n_users; i++) {
		size_t n = near_misses(&a, names[i], misses);

		fprintf(f, "+%s\n", names[i]);
		for (size_t k = 0; k < n; k++)
			if (!strchr(misses[k], '\n'))
				fprintf(f, "-%s\n", misses[k]);
	}
	assert_int_equal(pclose(f), 0);
	registration_free(&r);
	arena_free(&a);
}

static void ten_thousand_names(void **state)
{
	struct arena a = { 0 };
	struct registration r = { 0 }, again = { 0 };
	struct registration_want w = want();
	struct err e = { 0 };
	const char **names = NULL;
	size_t n = 0, cap = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		*(const char **)arena_push(
			&a, &names, &n, &cap, sizeof(*names)) =
			arena_printf(&a, "@person.%05d:%s", i, SERVER);
	w.users = names;
	w.n_users = n;
	make(&w, &r);
	assert_ok(registration_write(path, &r, &e), e);
	assert_ok(registration_read(path, &again, NULL, &e), e);
	for (size_t i = 0; i < n; i++)
		assert_true(registration_owns(&again, SERVER, names[i]));
	assert_false(
		registration_owns(&again, SERVER, "@person.10000:" SERVER));
	assert_false(registration_owns(&again, SERVER, "@person.0000:" SERVER));
	registration_free(&r);
	registration_free(&again);
	arena_free(&a);
}

/* AS-11. */
static void as_11_ours_is_a_whole_match_here(void **state)
{
	struct registration r = { 0 };

	(void)state;
	accepted(WITHOUT_NAMESPACES
		"namespaces:\n"
		"  users:\n"
		"    - {regex: '@_irc_.*', exclusive: true}\n"
		"    - {regex: '@bob:.*', exclusive: false}\n",
		&r);
	assert_true(
		registration_owns(&r, "example.org", "@_irc_a:example.org"));
	assert_true(registration_owns(&r, "example.org", "@bob:example.org"));
	assert_true(registration_owns(&r, "example.org", "@s:example.org"));
	assert_false(registration_owns(&r, "example.org", "@_irc_a:other.org"));
	assert_false(registration_owns(&r, "example.org", "@s:other.org"));
	assert_false(
		registration_owns(&r, "example.org", "@_irc_a:Example.org"));
	assert_false(
		registration_owns(&r, "example.org", "@x@_irc_a:example.org"));
	assert_false(
		registration_owns(&r, "example.org", "_irc_a:example.org"));
	assert_false(registration_owns(&r, "example.org", "@_irc_a"));
	/* Homeservers search, wherever it stands. */
	assert_true(
		registration_matches(&r, NS_USERS, "@x@_irc_a:example.org"));
	assert_true(registration_matches(&r, NS_USERS, "@_irc_a:other.org"));
	assert_false(registration_matches(&r, NS_ALIASES, "@bob:other.org"));
	registration_free(&r);
}

/* AS-10. */
static void as_10_vectors(void **state)
{
	struct registration r = { 0 };

	(void)state;
	accepted(WITHOUT_NAMESPACES "namespaces:\n"
				    "  users:\n"
				    "    - regex: '^@_irc_.*:example\\.org$'\n"
				    "      exclusive: true\n",
		&r);
	assert_true(registration_matches(&r, NS_USERS, "@_irc_a:example.org"));
	assert_false(
		registration_matches(&r, NS_USERS, "@x@_irc_a:example.org"));
	assert_false(registration_matches(
		&r, NS_USERS, "@_irc_a:example.org.evil.com"));
	assert_false(registration_matches(&r, NS_USERS, "@_irc_a:exampleXorg"));
	registration_free(&r);
}

static void a_pattern_cannot_hold_us_up(void **state)
{
	struct registration r = { 0 };

	(void)state;
	accepted(WITHOUT_NAMESPACES
		"namespaces:\n"
		"  users:\n"
		"    - {regex: '^(a+)+$', exclusive: true}\n",
		&r);
	assert_true(registration_matches(&r, NS_USERS, "aaaa"));
	assert_false(registration_matches(&r, NS_USERS,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
	assert_false(registration_matches(&r, NS_USERS, "a\xff"));
	registration_free(&r);
}

/* What only looks like a list of names is PCRE2's. */
static void nearly_a_list(void **state)
{
	static const struct {
		const char *regex, *yes, *no;
	} cases[] = {
		{ "^@(a|b)+:s$", "@ab:s", "@c:s" },
		{ "^@(a|b*):s$", "@bbb:s", "@c:s" },
		{ "^@(a|b):s", "@b:s2", "@c:s" },
		{ "@(a|b):s$", "x@b:s", "@c:s" },
		{ "^@(a|\\d):s$", "@7:s", "@d:s" },
		{ "^@((a)|b):s$", "@a:s", "@(a):s" },
		{ "^@(a|b):s$|c", "c", "@d:s" },
		{ "^@(a|):s$", "@:s", "@b:s" },
		{ "^@(a.c|b):s$", "@axc:s", "@ac:s" },
		{ "^@(a|b):s.$", "@a:sx", "@a:s" },
		{ "^@(\\.|\\||\\\\):s$", "@\\:s", "@a:s" },
		{ "^(a|ab)(c|bcd)$", "abcd", "acd" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct namespace ns = { .regex = cases[i].regex };
		struct registration r = { .ns[NS_USERS] = { &ns, 1 } };
		struct err e = { 0 };

		assert_ok(namespace_compile(&ns, &e), e);
		assert_true(registration_matches(&r, NS_USERS, cases[i].yes));
		assert_false(registration_matches(&r, NS_USERS, cases[i].no));
		namespace_free(&ns);
	}
}

static void looking_at_patterns(void **state)
{
	static const struct {
		const char *regex;
		bool anchored, portable;
	} cases[] = {
		{ "^@_irc_.*:example\\.org$", true, true },
		{ "^@(a|b):s$", true, true },
		{ "^@a$|^@b$", false, true },
		{ "^@a:s", false, true },
		{ "@a:s$", false, true },
		{ "^@a:s\\$", false, true },
		{ "^@[$]", false, true },
		{ "^@[]|]x$", true, true },
		{ "^@(?:a|b):s$", true, false },
		{ "^@\\d+:s$", true, false },
		{ "", false, true },
		{ "^", false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct namespace_traits t = namespace_look(cases[i].regex);

		assert_int_equal(t.anchored, cases[i].anchored);
		assert_int_equal(t.portable, cases[i].portable);
	}
}

/* --- the file --------------------------------------------------------- */

static void as_01_read_back(void **state)
{
	struct registration r = { 0 }, again = { 0 };
	struct registration_want w = want();
	const char *what = NULL;
	struct err e = { 0 };

	(void)state;
	make(&w, &r);
	assert_ok(registration_write(path, &r, &e), e);
	assert_ok(registration_read(path, &again, NULL, &e), e);
	assert_true(registration_same(&r, &again, &what));
	assert_null(what);
	assert_true(secret_equal(
		&r.as_token, secret_bytes(&again.as_token), again.as_token.n));
	assert_true(secret_equal(
		&r.hs_token, secret_bytes(&again.hs_token), again.hs_token.n));
	assert_string_equal(again.id, "muster");
	assert_string_equal(again.url, "http://127.0.0.1:29400");
	assert_string_equal(again.sender_localpart, "muster");
	assert_string_equal(again.ns[NS_ALIASES].items[0].regex,
		r.ns[NS_ALIASES].items[0].regex);
	assert_false(again.rate_limited);
	registration_free(&r);
	registration_free(&again);
}

/* AS-13. */
static void as_13_the_text(void **state)
{
	struct registration r = { 0 };
	struct registration_want w = want();
	struct buf text;

	(void)state;
	w.n_users = 1;
	w.n_aliases = 0;
	make(&w, &r);
	secret_fini(&r.as_token);
	secret_fini(&r.hs_token);
	assert_rc(secret_set(&r.as_token, "123", 3), RC_OK);
	assert_rc(secret_set(&r.hs_token, "0e1", 3), RC_OK);
	buf_init(&text, LIMIT_REGISTRATION_FILE);
	assert_rc(registration_yaml(&r, &text), RC_OK);
	assert_non_null(strstr(buf_str(&text), "as_token: \"123\"\n"));
	assert_non_null(strstr(buf_str(&text), "hs_token: \"0e1\"\n"));
	/* AS-15: said, because nobody says what it is when it is not. */
	assert_non_null(strstr(buf_str(&text), "rate_limited: false\n"));
	assert_non_null(strstr(buf_str(&text),
		"regex: \"^@(aaron\\\\.phillips):anycompany\\\\.corp$\"\n"));
	assert_non_null(strstr(buf_str(&text), "exclusive: true\n"));
	assert_null(strstr(buf_str(&text), "rooms"));
	buf_free(&text);
	registration_free(&r);
}

/* AS-01. */
static void as_01_each_key_is_required(void **state)
{
	static const char *const lines[] = { "id: a\n", "url: http://h:1\n",
		"as_token: one\n", "hs_token: two\n", "sender_localpart: s\n",
		"namespaces: {}\n" };
	static const char *const keys[] = { "id", "url", "as_token", "hs_token",
		"sender_localpart", "namespaces" };
	struct registration r = { 0 };
	struct buf text;
	char fault[64];

	(void)state;
	buf_init(&text, LIMIT_SMALL_BODY);
	for (size_t without = 0; without <= ARRAY_LEN(lines); without++) {
		buf_clear(&text);
		for (size_t i = 0; i < ARRAY_LEN(lines); i++)
			if (i != without)
				buf_add(&text, lines[i]);
		if (without == ARRAY_LEN(lines)) {
			accepted(buf_str(&text), &r);
			continue;
		}
		snprintf(fault, sizeof(fault), "1:1: %s is missing",
			keys[without]);
		refused(buf_str(&text), fault);
	}
	/* What homeservers make of a file that does not say. */
	assert_true(r.rate_limited);
	registration_free(&r);
	buf_free(&text);
}

/* AS-05. */
static void as_05_no_traffic(void **state)
{
	struct registration r = { 0 }, again = { 0 };
	struct registration_want w = want();
	struct err e = { 0 };
	struct buf text;

	(void)state;
	w.url = NULL;
	make(&w, &r);
	buf_init(&text, LIMIT_REGISTRATION_FILE);
	assert_rc(registration_yaml(&r, &text), RC_OK);
	assert_non_null(strstr(buf_str(&text), "\nurl: null\n"));
	buf_free(&text);
	assert_ok(registration_write(path, &r, &e), e);
	assert_ok(registration_read(path, &again, NULL, &e), e);
	assert_null(again.url);
	assert_true(registration_same(&r, &again, NULL));
	registration_free(&r);
	registration_free(&again);
	refused("id: a\nurl: \"null\"\nas_token: b\nhs_token: c\n"
		"sender_localpart: s\nnamespaces: {}\n",
		"2:6: url does not start with http:// or https://");
}

/* AS-06, AS-07. */
static void as_06_07_url(void **state)
{
	struct registration r = { 0 };
	struct registration_want w = want();

	(void)state;
	w.url = "https://host:8/bridge/x/";
	make(&w, &r);
	assert_string_equal(r.url, "https://host:8/bridge/x");
	registration_free(&r);
	w.url = "http://host:8//";
	make(&w, &r);
	assert_string_equal(r.url, "http://host:8");
	registration_free(&r);
	accepted("id: a\nurl: http://[::1]:1/\nas_token: b\nhs_token: c\n"
		 "sender_localpart: s\nnamespaces: {}\n",
		&r);
	assert_string_equal(r.url, "http://[::1]:1");
	registration_free(&r);
}

#define REST "hs_token: two\nurl: null\nsender_localpart: s\nnamespaces: {}\n"

/* AS-04, AS-14. */
static void as_04_14_values(void **state)
{
	(void)state;
	refused("id: a\nas_token: 'a b'\n" REST,
		"2:11: as_token has a character other than A-Z a-z 0-9 - . _ "
		"~");
	refused("id: a\nas_token: ''\n" REST, "2:11: as_token is empty");
	refused("id: a\nas_token: 12\n" REST,
		"2:11: as_token must be a text: put it in quotes");
	refused("id: a\nas_token: two\n" REST,
		"3:11: hs_token is the same as as_token: each needs its own");
	refused("id: 'a|b'\nas_token: b\n" REST,
		"1:5: id has a |, which Synapse refuses");
	refused("id: a\nas_token: b\nsender_localpart: '@s:x'\nhs_token: c\n"
		"url: null\nnamespaces: {}\n",
		"3:19: sender_localpart may only have a-z 0-9 . _ - and /");
}

/* AS-08. */
static void as_08_namespaces(void **state)
{
	(void)state;
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  users:\n"
				   "    - regex: 'a'\n",
		"8:7: namespaces.users has no exclusive: true or false");
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  aliases:\n"
				   "    - exclusive: true\n",
		"8:7: namespaces.aliases has no regex");
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  rooms:\n"
				   "    - regex: 'a'\n"
				   "      exclusive: \"true\"\n",
		"9:18: exclusive must be true or false, not a text");
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  users:\n"
				   "    - 'a'\n",
		"8:7: namespaces.users must be a map, not a text");
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  users: {}\n",
		"7:10: namespaces.users must be a list, not a map");
	refused(WITHOUT_NAMESPACES "namespaces: []\n",
		"6:13: namespaces must be a map, not a list");
	refused(WITHOUT_NAMESPACES "namespaces:\n"
				   "  users:\n"
				   "    - exclusive: true\n"
				   "      regex: '@(a'\n",
		"9:14: the pattern does not compile: missing closing "
		"parenthesis, after 3 bytes");
}

/* AS-15, AS-16, AS-17, AS-18. */
static void as_15_to_18_optional(void **state)
{
	struct registration r = { 0 };

	(void)state;
	accepted(WITHOUT_NAMESPACES "namespaces: {}\n"
				    "rate_limited: false\n"
				    "receive_ephemeral: true\n"
				    "protocols: [irc]\n"
				    "io.element.msc4190: true\n"
				    "x: {y: [1, 2]}\n",
		&r);
	assert_false(r.rate_limited);
	registration_free(&r);
	refused(WITHOUT_NAMESPACES "namespaces: {}\nrate_limited: 'no'\n",
		"7:15: rate_limited must be true or false, not a text");
	refused(WITHOUT_NAMESPACES "namespaces: {}\nprotocols: irc\n",
		"7:12: protocols must be a list, not a text");
}

static void not_a_registration(void **state)
{
	struct registration r = { 0 };
	struct err e = { 0 };

	(void)state;
	refused("- a\n",
		"1:1: is no registration: a map with id, url, "
		"as_token … was expected");
	refused("",
		"1:1: is no registration: a map with id, url, as_token … "
		"was expected");
	put("id: [\n", 0600);
	assert_rc(registration_read(path, &r, NULL, &e), RC_INVALID);
	assert_non_null(strstr(e.text, "registration.yaml:2:1: "));
	unlink(path);
	assert_rc(registration_read(path, &r, NULL, &e), RC_NOT_FOUND);
	assert_non_null(strstr(e.text, path));
}

/* AS-19. */
static void as_19_mode(void **state)
{
	struct registration r = { 0 }, again = { 0 };
	struct registration_want w = want();
	struct report report;
	struct err e = { 0 };
	struct stat st;

	(void)state;
	put("old", 0644);
	make(&w, &r);
	assert_ok(registration_write(path, &r, &e), e);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	report_init(&report);
	assert_ok(registration_read(path, &again, &report, &e), e);
	assert_int_equal(report.n, 0);
	report_free(&report);
	registration_free(&r);
	registration_free(&again);
}

/* The homeserver may read it by a group, and nobody else. */
static void others_do_not_read_it(void **state)
{
	static const struct {
		mode_t mode;
		const char *said; /* NULL: nothing */
	} cases[] = { { 0600, NULL }, { 0400, NULL }, { 0640, NULL },
		{ 0440, NULL }, { 0644, "can be read by others (mode 0644)" },
		{ 0604, "can be read by others (mode 0604): `chmod 600` it" },
		{ 0660, "can be changed by others (mode 0660)" },
		{ 0602, "can be changed by others (mode 0602)" } };
	struct registration r = { 0 };
	struct registration_want w = want();
	struct err e = { 0 };

	(void)state;
	make(&w, &r);
	assert_ok(registration_write(path, &r, &e), e);
	registration_free(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(chmod(path, cases[i].mode), 0);
		enum rc rc = registration_read(path, &r, NULL, &e);
		registration_free(&r);
		assert_int_equal(rc, cases[i].said ? RC_INVALID : RC_OK);
		if (cases[i].said)
			assert_non_null(strstr(e.text, cases[i].said));
	}
}

/* Written again, it is still for the group that it was for. */
static void a_group_goes_on_reading_it(void **state)
{
	struct registration r = { 0 };
	struct registration_want w = want();
	struct err e = { 0 };
	struct stat st;
	const gid_t gid = geteuid() == 0 ? 4711 : getegid();

	(void)state;
	make(&w, &r);
	assert_ok(registration_write(path, &r, &e), e);
	assert_int_equal(chown(path, (uid_t)-1, gid), 0);
	assert_int_equal(chmod(path, 0440), 0);
	assert_ok(registration_write(path, &r, &e), e);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_gid, gid);
	registration_free(&r);
	if (geteuid() != 0)
		return;
	/* Whoever is none of it says so, and leaves the file as it was. */
	make(&w, &r);
	assert_int_equal(chown(path, 4712, gid), 0);
	assert_int_equal(chown(dir, 4712, (gid_t)-1), 0);
	assert_int_equal(seteuid(4712), 0);
	enum rc rc = registration_write(path, &r, &e);
	assert_int_equal(seteuid(0), 0);
	registration_free(&r);
	assert_int_equal(rc, RC_IO);
	assert_non_null(strstr(e.text, "can be read by group 4711"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_gid, gid);
}

static void warnings_have_their_place(void **state)
{
	struct registration r = { 0 };
	struct report report;
	struct err e = { 0 };

	(void)state;
	put(WITHOUT_NAMESPACES "namespaces:\n"
			       "  users:\n"
			       "    - {exclusive: true, regex: '^@\\d+:s'}\n",
		0600);
	report_init(&report);
	assert_ok(registration_read(path, &r, &report, &e), e);
	assert_int_equal(report.n, 2);
	assert_true(report.items[0].warning);
	assert_int_equal(report.items[0].line, 8);
	assert_int_equal(report.items[0].column, 32);
	assert_true(text_starts(
		report.items[0].text, "the pattern is not anchored"));
	assert_true(text_starts(report.items[1].text, "the pattern uses"));
	report_free(&report);
	registration_free(&r);
}

static void what_differs(void **state)
{
	static const char *const other_users[] = { "@zoe:" SERVER };
	struct registration_want w = want(), x;
	struct registration a = { 0 }, b = { 0 };
	const char *what = NULL;
	const char *const names[] = { "id", "url", "url", "sender_localpart",
		"namespaces.users", "namespaces.aliases" };

	(void)state;
	make(&w, &a);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		x = w;
		if (i == 0)
			x.id = "other";
		else if (i == 1)
			x.url = "http://other";
		else if (i == 2)
			x.url = NULL;
		else if (i == 3)
			x.sender_localpart = "other";
		else if (i == 4) {
			x.users = other_users;
			x.n_users = 1;
		} else
			x.n_aliases = 0;
		make(&x, &b);
		assert_false(registration_same(&a, &b, &what));
		assert_string_equal(what, names[i]);
		registration_free(&b);
	}
	make(&w, &b);
	b.rate_limited = true;
	assert_false(registration_same(&a, &b, &what));
	assert_string_equal(what, "rate_limited");
	registration_free(&b);
	registration_free(&a);
}

/* AS-02, and the id. */
static void as_02_tokens_are_kept(void **state)
{
	struct registration_want w = want();
	struct registration old = { 0 }, new = { 0 };

	(void)state;
	make(&w, &old);
	w.n_users = 1;
	make(&w, &new);
	assert_rc(registration_keep_tokens(&new, &old), RC_OK);
	assert_string_equal(new.id, old.id);
	assert_string_equal(
		secret_bytes(&new.as_token), secret_bytes(&old.as_token));
	assert_string_equal(
		secret_bytes(&new.hs_token), secret_bytes(&old.hs_token));
	assert_ptr_not_equal(
		secret_bytes(&new.as_token), secret_bytes(&old.as_token));
	registration_free(&old);
	registration_free(&new);
	registration_free(&new);
	registration_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_03_tokens_are_random),
		cmocka_unit_test(as_10_patterns_are_literal),
		cmocka_unit_test(nobody_declared),
		cmocka_unit_test(make_refuses),
		cmocka_unit_test(as_10_every_id_and_no_other),
		cmocka_unit_test(both_ways_of_matching_agree),
		cmocka_unit_test(python_agrees),
		cmocka_unit_test(ten_thousand_names),
		cmocka_unit_test(as_11_ours_is_a_whole_match_here),
		cmocka_unit_test(as_10_vectors),
		cmocka_unit_test(a_pattern_cannot_hold_us_up),
		cmocka_unit_test(nearly_a_list),
		cmocka_unit_test(looking_at_patterns),
		cmocka_unit_test(as_01_read_back),
		cmocka_unit_test(as_13_the_text),
		cmocka_unit_test(as_01_each_key_is_required),
		cmocka_unit_test(as_05_no_traffic),
		cmocka_unit_test(as_06_07_url),
		cmocka_unit_test(as_04_14_values),
		cmocka_unit_test(as_08_namespaces),
		cmocka_unit_test(as_15_to_18_optional),
		cmocka_unit_test(not_a_registration),
		cmocka_unit_test(as_19_mode),
		cmocka_unit_test(others_do_not_read_it),
		cmocka_unit_test(a_group_goes_on_reading_it),
		cmocka_unit_test(warnings_have_their_place),
		cmocka_unit_test(what_differs),
		cmocka_unit_test(as_02_tokens_are_kept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
