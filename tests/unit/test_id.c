/*
 * Identifiers: taking apart what others made, the strict grammar for what we
 * make, and aliases from names.
 */
#include <string.h>

#include "base/base.h"
#include "matrix/id.h"
#include "matrix/id_priv.h"
#include "tests/unit/test.h"

#include "base/poison.h"

static void expect_split(
	const char *id, char sigil, const char *localpart, const char *server)
{
	struct str l = { 0 }, s = { 0 };
	assert_true(id_split(id, sigil, &l, &s));
	assert_true(str_eq(l, localpart));
	assert_true(str_eq(s, server));
}

/* AS-91e, AS-142, AS-143. */
static void split_takes_historical_ids(void **state)
{
	(void)state;
	expect_split("@alice:example.org", '@', "alice", "example.org");
	expect_split("@:hs", '@', "", "hs");
	expect_split(
		"@\xc3\x9cn\xc3\xaf C:hs", '@', "\xc3\x9cn\xc3\xaf C", "hs");
	expect_split("@a:[1234:5678::abcd]:5678", '@', "a",
		"[1234:5678::abcd]:5678");
	expect_split("#room:hs:8448", '#', "room", "hs:8448");
}

static void split_refuses(void **state)
{
	(void)state;
	struct str l = { "x", 1 }, s = { "y", 1 };
	const char *bad[] = { "", "@", "@alice", "@alice:", "alice:hs",
		"#alice:hs", "!room:hs" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(id_split(bad[i], '@', &l, &s));
	assert_true(str_eq(l, "x") && str_eq(s, "y"));
}

static void split_counts_255_bytes(void **state)
{
	(void)state;
	struct str l, s;
	char id[300];
	memset(id, 'a', sizeof(id));
	memcpy(id, "@b:", 3);
	id[255] = '\0';
	assert_true(id_split(id, '@', &l, &s));
	assert_int_equal(s.n, 252);
	id[255] = 'a';
	id[256] = '\0';
	assert_false(id_split(id, '@', &l, &s));
}

/* AS-140. */
static void localparts(void **state)
{
	(void)state;
	const char *good[] = { "a", "0", "agent-7", "a.b_c=d/e+f",
		"abcdefghijklmnopqrstuvwxyz0123456789._=-/+" };
	const char *bad[] = { "", "A", "a b", "a:b", "\xc3\xa9", "a@b", "a\n",
		"a,b", "#a", "a%41", "a\x7f" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(id_localpart_ok(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(id_localpart_ok(str_of(bad[i])));
	assert_false(id_localpart_ok((struct str){ "a\0b", 3 }));
}

/* AS-140. */
static void user_ids_say_why_not(void **state)
{
	(void)state;
	static const struct {
		const char *id, *why;
	} bad[] = {
		{ "alice:hs", "does not begin with @" },
		{ "@alice", "has no server name" },
		{ "@alice:", "has no server name" },
		{ "@:hs", "has an empty localpart" },
		{ "@Alice:hs", "has an upper-case letter" },
		{ "@al ice:hs",
			"has a character other than "
			"a-z 0-9 . _ = - / +" },
		{ "@alice:h_s", "has a server part that is no server name" },
		{ "@alice:hs:port",
			"has a server part that is no server name" },
	};
	const char *why = NULL;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(id_user_ok(bad[i].id, &why));
		assert_string_equal(why, bad[i].why);
	}
	assert_true(id_user_ok("@agent-a+b=2f/c:example.org:8448", NULL));

	char id[300];
	memset(id, 'a', sizeof(id));
	id[0] = '@';
	memcpy(id + 252, ":hs", 4);
	assert_true(id_user_ok(id, &why));
	memcpy(id + 252, "a:hs", 5);
	assert_false(id_user_ok(id, &why));
	assert_string_equal(why, "is longer than 255 bytes");
	assert_false(id_user_ok(id, NULL));
}

/* AS-143. */
static void servers(void **state)
{
	(void)state;
	const char *good[] = { "matrix.org", "matrix.org:8888", "localhost",
		"1.2.3.4", "1.2.3.4:1234", "[1234:5678::abcd]",
		"[1234:5678::abcd]:5678", "[::1]", "[::ffff:1.2.3.4]:1",
		"Example.ORG", "a-b.c", "hs:65535" };
	const char *bad[] = { "", ":8448", "a_b", "a b", "hs:", "hs:x", "hs:1x",
		"hs:65536", "hs:123456", "hs:-1", "hs:+1", "[::1", "[]",
		"[::1]x", "[g::]", "::1", "a/b", "a\n", "\xc3\xa9.org",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0]" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!id_server_ok(good[i]))
			fail_msg("%s is a server name", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (id_server_ok(bad[i]))
			fail_msg("%s is no server name", bad[i]);
	}
}

/* AS-144, AS-145. */
static void aliases_and_rooms(void **state)
{
	(void)state;
	assert_true(id_alias_ok("#all:hs"));
	assert_true(id_alias_ok("#\xc3\x84 b/c:hs:1"));
	assert_false(id_alias_ok("#:hs"));
	assert_false(id_alias_ok("#all"));
	assert_false(id_alias_ok("@all:hs"));
	assert_false(id_alias_ok("#a\xff:hs"));
	assert_false(id_alias_ok("#a:b c"));

	assert_true(id_room_ok("!abc:hs"));
	assert_true(id_room_ok("!abcdefghijklmnopqrstuvwxyzABCDEFGHIJ_-01234"));
	assert_true(id_room_ok("!x"));
	assert_false(id_room_ok("!"));
	assert_false(id_room_ok(""));
	assert_false(id_room_ok("#a:hs"));
}

static void local_means_this_server_exactly(void **state)
{
	(void)state;
	assert_true(id_is_local("@a:hs:8448", "hs:8448"));
	assert_true(id_is_local("#a:hs", "hs"));
	assert_false(id_is_local("@a:hs:8448", "hs"));
	assert_false(id_is_local("@a:HS", "hs"));
	assert_false(id_is_local("@a:hs.evil", "hs"));
	assert_false(id_is_local("!a:hs", "hs"));
	assert_false(id_is_local("@a", "a"));
}

static void making_ids(void **state)
{
	(void)state;
	struct arena a = { 0 };
	assert_string_equal(id_user(&a, "agent-7", "hs:1"), "@agent-7:hs:1");
	assert_string_equal(id_alias(&a, "all", "hs"), "#all:hs");
	arena_free(&a);
}

static void expect_alias(const char *name, const char *want)
{
	struct arena a = { 0 };
	const char *got = alias_part(&a, name);
	assert_non_null(got);
	assert_string_equal(got, want);
	arena_free(&a);
}

static void alias_parts(void **state)
{
	(void)state;
	expect_alias("", "");
	expect_alias("engineering", "engineering");
	expect_alias("Research & Development", "research-&-development");
	expect_alias("a  \t b\n\nc", "a-b-c");
	expect_alias(" a ", "-a-");
	expect_alias("a: b", "a--b");
	expect_alias("a\x01\x02"
		     "b",
		"a--b");
	/* no-break space, ideographic space, line separator, NEL: one run */
	expect_alias("a\xc2\xa0\xe3\x80\x80\xe2\x80\xa8\xc2\x85"
		     "b",
		"a-b");
	/* Ä Ö Ü ẞ, Greek with a final capital sigma, Cyrillic */
	expect_alias("\xc3\x84\xc3\x96\xc3\x9c\xe1\xba\x9e",
		"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f");
	expect_alias("\xce\x9f\xce\xa3", "\xce\xbf\xcf\x83");
	expect_alias("\xd0\x94\xd0\xb0", "\xd0\xb4\xd0\xb0");
	/* Deseret, beyond 16 bits; Ⱥ, which grows by a byte */
	expect_alias("\xf0\x90\x90\x80", "\xf0\x90\x90\xa8");
	expect_alias("\xc8\xba\xc8\xba", "\xe2\xb1\xa5\xe2\xb1\xa5");
	/* a broken byte */
	expect_alias("a\xff"
		     "b",
		"a-b");
	expect_alias("a\xc3", "a-");
	/* an emoji and punctuation stay */
	expect_alias("\xf0\x9f\xa6\x9e Team!", "\xf0\x9f\xa6\x9e-team!");
}

/* Both numbers are Python 3.11's, from str.lower() of every code point. */
static void lower_case_of_every_code_point(void **state)
{
	(void)state;
	size_t changed = 0;
	uint64_t hash = 0;
	for (uint32_t cp = 0; cp < 0x110000; cp++) {
		uint32_t low = lower_cp(cp);
		if (low == cp)
			continue;
		changed++;
		hash = hash * 1000003 + cp;
		hash = hash * 1000003 + low;
	}
	assert_int_equal(changed, 1433);
	assert_true(hash == UINT64_C(7172502218069604440));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_takes_historical_ids),
		cmocka_unit_test(split_refuses),
		cmocka_unit_test(split_counts_255_bytes),
		cmocka_unit_test(localparts),
		cmocka_unit_test(user_ids_say_why_not),
		cmocka_unit_test(servers),
		cmocka_unit_test(aliases_and_rooms),
		cmocka_unit_test(local_means_this_server_exactly),
		cmocka_unit_test(making_ids),
		cmocka_unit_test(alias_parts),
		cmocka_unit_test(lower_case_of_every_code_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
