/*
 * tests/unit/test_intake_people.c: what events say of people: whom a message
 * mentions, and who took an agent out of a room.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/intake/intake_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/intake_fixture.h"

#include "base/poison.h"

#define B "@b:hs"
#define C "@c:hs"
#define X "@x:else"

/* --- mentions: reading ---------------------------------------------------------- */

/* Whom a content mentions, a space after each. */
static const char *mentioned(struct arena *a, const char *content)
{
	const char **ids = NULL, *text = "";
	size_t n = 99;

	mentions_read(str_of(content), a, &ids, &n);
	for (size_t i = 0; i < n; i++)
		text = arena_printf(a, "%s%s ", text, ids[i]);
	return text;
}

#define LINKED(id)                                                             \
	"{\"body\":\"B\",\"format\":\"org.matrix.custom.html\","               \
	"\"formatted_body\":\"<a href=\\\"https://matrix.to/#/" id             \
	"\\\">B</a>: hi\"}"

static void test_mentions(void **state)
{
	static const struct {
		const char *content, *want;
	} cases[] = {
		{ "{\"body\":\"hello\"}", "" },
		{ "{\"m.mentions\":{\"user_ids\":[\"@b:hs\"]},\"body\":\"hi\"}",
			"@b:hs " },
		{ "{\"m.mentions\":{\"user_ids\":[\"@b:hs\",\"@a:hs\"]}}",
			"@b:hs @a:hs " },
		{ "{\"body\":\"@b:hs: hi\"}", "@b:hs " },
		/* Each once, wherever it stands. */
		{ "{\"m.mentions\":{\"user_ids\":[\"@b:hs\",\"@b:hs\"]},"
		  "\"body\":\"@c:hs and @b:hs and @c:hs\"}",
			"@b:hs @c:hs " },
		/* The end of a sentence, brackets and the like are no part of
		 * it; ports and points inside are. */
		{ "{\"body\":\"Ask @b:hs.\"}", "@b:hs " },
		{ "{\"body\":\"Ask @b:hs...\"}", "@b:hs " },
		{ "{\"body\":\"_@b:hs_, __@c:hs__: @d:hs/ @e:hs- @f:hs= "
		  "@g:hs+\"}",
			"@b:hs @c:hs @d:hs @e:hs @f:hs @g:hs " },
		{ "{\"body\":\"@b:hs, @c:hs; @d:hs! (@e:hs) <@f:hs> "
		  "**@g:hs** '@h:hs'\"}",
			"@b:hs @c:hs @d:hs @e:hs @f:hs @g:hs @h:hs " },
		{ "{\"body\":\"@b:hs.example.org:8448 @c.d-e_f=g/h+i:hs-1\"}",
			"@b:hs.example.org:8448 @c.d-e_f=g/h+i:hs-1 " },
		{ "{\"body\":\"@b:hs\\n@c:hs\\t@d:hs\\u00e4\"}",
			"@b:hs @c:hs @d:hs " },
		{ "{\"body\":\"@@b:hs x@c:hs@d:hs\"}", "@b:hs @c:hs @d:hs " },
		/* Links to people, as clients write them who know no list; what
		 * is not a link to one is none. */
		{ LINKED("@b:hs"), "@b:hs " },
		{ LINKED("%40b%3Ahs"), "@b:hs " },
		{ LINKED("%40c.d%2fe%3ahs%3A8448?via=hs"), "@c.d/e:hs:8448 " },
		{ LINKED("@b:hs") " ", "@b:hs " },
		{ "{\"formatted_body\":\"<a "
		  "href='https://matrix.to/#/%40b%3Ahs'>"
		  "B</a><a href='https://matrix.to/#/@c:hs'>\"}",
			"@b:hs @c:hs " },
		{ LINKED("%23room%3Ahs"), "" },
		{ LINKED("!r:hs/$e?via=@b:hs"), "" },
		{ LINKED("%40b%3"), "" },
		{ LINKED("%40%00b%3Ahs"), "" },
		{ LINKED("%"), "" },
		{ "{\"formatted_body\":\"@b:hs https://matrix.to/#/\"}", "" },
		{ "{\"formatted_body\":[\"https://matrix.to/#/@b:hs\"]}", "" },
		/* Not ids. */
		{ "{\"body\":\"@b @b: @ @room a@b.example\"}", "" },
		{ "{\"body\":\"@b hs:\",\"m.mentions\":{\"user_ids\":"
		  "[\"b:hs\",\"@b\",\"#r:hs\",\"\",5,null,[\"@b:hs\"]]}}",
			"" },
		/* Of odd shapes. */
		{ "{\"m.mentions\":{\"user_ids\":\"@b:hs\"}}", "" },
		{ "{\"m.mentions\":{\"user_ids\":{\"@b:hs\":1}}}", "" },
		{ "{\"m.mentions\":[\"@b:hs\"]}", "" },
		{ "{\"m.mentions\":{\"room\":true},\"body\":\"@room\"}", "" },
		{ "{\"body\":[\"@b:hs\"]}", "" },
		{ "{\"body\":5,\"formatted_body\":\"@b:hs\"}", "" },
		{ "[\"@b:hs\"]", "" },
		{ "\"@b:hs\"", "" },
		{ "{\"body\":\"@b:hs\"", "" },
		{ "{\"body\":\"@b:hs\"} x", "" },
	};
	(void)state;
	struct arena a = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = mentioned(&a, cases[i].content);
		if (!text_eq(got, cases[i].want))
			fail_msg("%s: %s", cases[i].content, got);
	}
	arena_free(&a);
}

/* 40 in the list, 40 in the text, or half of each: the first 32. */
static void test_mentions_limit(void **state)
{
	(void)state;
	struct arena a = { 0 };
	struct buf text;
	const char **ids = NULL;
	size_t n = 0;

	buf_init(&text, 64 * KIB);
	for (int in_list = 0; in_list <= 40; in_list += 20) {
		buf_clear(&text);
		buf_addf(&text, "{\"m.mentions\":{\"user_ids\":[");
		for (int i = 0; i < in_list; i++)
			buf_addf(&text, "%s\"@u%02d:hs\"", i ? "," : "", i);
		buf_addf(&text, "]},\"body\":\"");
		for (int i = in_list; i < 40; i++)
			buf_addf(&text, "@u%02d:hs ", i);
		buf_addf(&text, "\"}");
		mentions_read(str_of(buf_str(&text)), &a, &ids, &n);
		assert_int_equal(n, 32);
		assert_string_equal(ids[0], "@u00:hs");
		assert_string_equal(ids[31], "@u31:hs");
	}
	buf_free(&text);
	arena_free(&a);
}

/* An id may have 255 bytes; one that is longer is none, nor a part of it. */
static void test_mentions_of_any_length(void **state)
{
	(void)state;
	struct arena a = { 0 };
	char long_id[260];

	for (size_t n = 254; n <= 258; n++) {
		memset(long_id, 'u', n);
		long_id[0] = '@';
		memcpy(long_id + n - 3, ":hs", 4);
		bool fits = n <= 255;
		const char *want = fits ? arena_printf(&a, "%s ", long_id) : "";
		assert_string_equal(
			mentioned(&a,
				arena_printf(&a, "{\"body\":\"%s\"}", long_id)),
			want);
		assert_string_equal(
			mentioned(&a,
				arena_printf(&a,
					"{\"formatted_body\":\""
					"https://matrix.to/#/%%40%s\"}",
					long_id + 1)),
			want);
		assert_string_equal(
			mentioned(&a,
				arena_printf(&a,
					"{\"m.mentions\":{\"user_ids\":"
					"[\"%s\"]}}",
					long_id)),
			want);
	}
	/* A long text of nothing but beginnings is read in no time. */
	struct buf text;
	buf_init(&text, MIB);
	buf_addf(&text, "{\"body\":\"");
	for (size_t i = 0; i < 60000; i++)
		buf_addc(&text, '@');
	buf_addf(&text, "b:hs\"}");
	assert_string_equal(mentioned(&a, buf_str(&text)), "@b:hs ");
	buf_free(&text);
	arena_free(&a);
}

/* --- mentions: what comes of them -------------------------------------------------- */

#define PAIR "@a:hs @b:hs"
#define SAID(id, sender, content)                                              \
	"{\"type\":\"m.room.message\",\"event_id\":\"" id                      \
	"\",\"room_id\":\"" R "\",\"sender\":\"" sender                        \
	"\",\"origin_server_ts\":1,\"content\":" content "}"

static void declare_people(struct store_fixture *f)
{
	static const char *const users[] = { A, B };
	const struct store_agent a = { .user_id = A }, b = { .user_id = B },
				 s = { .user_id = "@s:hs", .sender = true };
	const struct store_room pair = { .key = PAIR, .direct = true };

	intake_own_room(f);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &a, 1, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &b, 1, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &s, 1, &f->e), f->e);
	assert_ok(store_room_declare(f->s, &pair, &f->e), f->e);
	assert_ok(
		store_room_members_declare(f->s, PAIR, users, 2, &f->e), f->e);
	assert_ok(store_room_members_declare(f->s, "#r:hs", users, 2, &f->e),
		f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	/* The times in these tests are small. */
	store_fixture_sql(f, "UPDATE declared_member SET since_ms = 0");
}

static struct intake_result take(
	struct store_fixture *f, bool mentions, const char *body)
{
	static int txns;
	struct intake in = { .store = f->s };
	struct intake_result r = { 0 };
	char txn[20];

	const atomic_bool reads = mentions;
	in.mentions = &reads;
	snprintf(txn, sizeof(txn), "t%d", txns++);
	assert_ok(intake_transaction(&in, txn, body, strlen(body), &r, &f->e),
		f->e);
	assert_int_equal(r.quarantined, 0);
	return r;
}

static bool is_wanted(struct store_fixture *f)
{
	struct store_room r = { .key = NULL };

	assert_ok(store_room_get(f->s, PAIR, &f->a, &r, &f->e), f->e);
	return r.wanted;
}

static void test_a_mention_wants_a_room(void **state)
{
	struct store_fixture *f = *state;
	static const char *const nothing[] = {
		SAID("$1", A, "{\"body\":\"@c:hs and @a:hs\"}"),
		SAID("$1", C, "{\"body\":\"@b:hs @a:hs\"}"),
		SAID("$1", A, "{\"body\":\"\"}"),
		SAID("$1", A, "[\"@b:hs\"]"),
		"{\"type\":\"m.room.message\",\"room_id\":\"" R
		"\",\"content\":{\"body\":\"@b:hs\"}}",
		"{\"type\":\"m.room.message\",\"sender\":\"" A
		"\",\"content\":{\"body\":\"@b:hs\"}}",
		"{\"type\":\"m.room.message\",\"sender\":5,\"room_id\":\"" R
		"\",\"content\":{\"body\":\"@b:hs\"}}",
		"{\"type\":\"m.room.encrypted\",\"sender\":\"" A
		"\",\"room_id\":\"" R "\",\"content\":{\"body\":\"@b:hs\"}}",
	};
	char body[1000];

	declare_people(f);
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		snprintf(body, sizeof(body), TXN("%s"), nothing[i]);
		struct intake_result r = take(f, true, body);
		if (r.changed || is_wanted(f))
			fail_msg("case %zu is no reason for a room", i);
	}
	/* Where nobody asks for it messages are not read. */
	assert_false(take(f, false, TXN(SAID("$2", A, "{\"body\":\"@b:hs\"}")))
			     .changed);
	assert_false(is_wanted(f));
	assert_true(
		take(f, true, TXN(SAID("$3", A, "{\"body\":\"@c:hs, @b:hs\"}")))
			.changed);
	assert_true(is_wanted(f));
	/* It is wanted already, whoever says so. */
	assert_false(take(f, true, TXN(SAID("$4", B, "{\"body\":\"@a:hs\"}")))
			     .changed);
}

/* Of a room that is none of ours as well, and whichever of the two it is. */
static void test_a_mention_elsewhere(void **state)
{
	struct store_fixture *f = *state;

	declare_people(f);
	assert_true(take(f, true,
		TXN("{\"type\":\"m.room.message\",\"event_id\":\"$1\","
		    "\"room_id\":\"!other:hs\",\"sender\":\"" B
		    "\",\"origin_server_ts\":1,\"content\":{\"m.mentions\":"
		    "{\"user_ids\":[\"" A "\"]}}}"))
			    .changed);
	assert_true(is_wanted(f));
}

/* --- removals --------------------------------------------------------------------- */

#define BY(id, sender, user, what, ts)                                         \
	"{\"type\":\"m.room.member\",\"event_id\":\"" id "\",\"room_id\":\"" R \
	"\",\"sender\":\"" sender "\",\"state_key\":\"" user                   \
	"\",\"origin_server_ts\":" ts ",\"content\":{\"membership\":\"" what   \
	"\"}}"

/* "user by when[ ban]; …" */
static const char *removals(struct store_fixture *f)
{
	struct store_snapshot all = { .n_rooms = 9 };
	const char *text = "";

	assert_ok(store_snapshot(f->s, &f->a, &all, &f->e), f->e);
	for (size_t i = 0; i < all.n_removals; i++) {
		const struct store_removal *r = &all.removals[i];
		text = arena_printf(&f->a, "%s%s %s %lld%s; ", text, r->user_id,
			r->by ? r->by : "-", (long long)r->at_ms,
			r->ban ? " ban" : "");
	}
	return text;
}

static void test_who_removed_an_agent(void **state)
{
	struct store_fixture *f = *state;

	declare_people(f);
	take(f, false,
		TXN(BY("$1", A, A, "join", "10") "," BY(
			"$2", B, B, "join", "10")));
	assert_string_equal(removals(f), "");
	take(f, false, TXN(BY("$3", X, A, "leave", "20")));
	assert_string_equal(removals(f), A " " X " 20; ");
	assert_string_equal(intake_membership(f, A), "leave");
	/* The same event in another transaction is the same. */
	take(f, false, TXN(BY("$3", X, A, "leave", "20")));
	assert_string_equal(removals(f), A " " X " 20; ");
	/* It went by itself; and we did it. */
	take(f, false,
		TXN(BY("$4", B, B, "leave", "20") "," BY(
			"$5", "@s:hs", A, "leave", "30")));
	assert_string_equal(removals(f), A " " X " 20; " B " " B " 20; ");
	/* Others come and go as they like. */
	take(f, false, TXN(BY("$6", X, C, "ban", "20")));
	assert_string_equal(removals(f), A " " X " 20; " B " " B " 20; ");
	/* Who is asked in is not removed. */
	take(f, false,
		TXN(BY("$7", X, A, "invite", "40") "," BY(
			"$8", A, A, "knock", "50")));
	assert_string_equal(removals(f), A " " X " 20; " B " " B " 20; ");
}

static void test_bans(void **state)
{
	struct store_fixture *f = *state;

	declare_people(f);
	take(f, false,
		TXN(BY("$1", A, A, "join", "10") "," BY(
			"$2", X, A, "ban", "20")));
	assert_string_equal(removals(f), A " " X " 20 ban; ");
	assert_string_equal(intake_membership(f, A), "ban");
	/* It is taken back, which is no removal, even in one transaction with
	 * the next. */
	take(f, false,
		TXN(BY("$3", X, A, "leave", "30") "," BY("$4", A, A, "join",
			"40") "," BY("$5", X, A, "leave", "50")));
	assert_string_equal(removals(f), A " " X " 50; ");
	assert_string_equal(intake_membership(f, A), "leave");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mentions),
		cmocka_unit_test(test_mentions_limit),
		cmocka_unit_test(test_mentions_of_any_length),
		STORE_TEST(test_a_mention_wants_a_room),
		STORE_TEST(test_a_mention_elsewhere),
		STORE_TEST(test_who_removed_an_agent),
		STORE_TEST(test_bans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
