/*
 * tests/unit/test_base.c: errors, arenas, buffers, strings, secrets, time and
 * reports.
 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/str.h"

#include "base/poison.h"

static void err_text(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_rc(err_set(&e, RC_NOT_FOUND, "no %s", "file"), RC_NOT_FOUND);
	assert_rc(e.rc, RC_NOT_FOUND);
	assert_string_equal(e.text, "no file");
	assert_rc(err_wrap(&e, RC_IO, "reading %d", 7), RC_NOT_FOUND);
	assert_string_equal(e.text, "reading 7: no file");
	assert_rc(err_wrap(NULL, RC_IO, "x"), RC_IO);
	assert_rc(err_set(NULL, RC_BUSY, "x"), RC_BUSY);
	/* The old text as an argument of the new one. */
	err_set(&e, RC_IO, "again: %s", e.text);
	assert_string_equal(e.text, "again: reading 7: no file");
	assert_rc(err_nomem(&e), RC_NOMEM);
	assert_string_equal(e.text, "out of memory");
}

static void err_is_cut_between_characters(void **state)
{
	struct err e;
	char text[600];

	(void)state;
	/* 510 letters, then one character of two bytes: it does not fit. */
	memset(text, 'a', sizeof(text));
	memcpy(text + 510, "\xC3\xA9!", 4);
	err_set(&e, RC_INVALID, "%s", text);
	assert_int_equal(strlen(e.text), 510);
	text[509] = '\xC3';
	text[510] = '\xA9';
	text[511] = '!';
	err_set(&e, RC_INVALID, "%s", text);
	assert_int_equal(strlen(e.text), 511);
}

static void rc_has_words(void **state)
{
	(void)state;
	assert_string_equal(rc_words(RC_OK), "ok");
	assert_string_equal(rc_words(RC_STOPPING), "stopping");
	assert_string_equal(rc_words((enum rc)1000), "unknown result");
	assert_string_equal(rc_words((enum rc) - 1), "unknown result");
}

static void arena_gives_zeroed_memory(void **state)
{
	struct arena a = { 0 };
	static const size_t sizes[] = { 1, 7, 0, 300, 5000, 100000, 16 };

	(void)state;
	for (size_t round = 0; round < 50; round++) {
		size_t n = sizes[round % ARRAY_LEN(sizes)];
		unsigned char *p = arena_alloc(&a, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % sizeof(void *), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xAA, n);
	}
	assert_true(arena_ok(&a));
	arena_free(&a);
	assert_int_equal(a.used, 0);
	assert_string_equal(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
	assert_string_equal(arena_strdup(&a, "abc"), "abc");
	assert_string_equal(arena_strndup(&a, "abcdef", 2), "ab");
	assert_null(arena_strdup(&a, NULL));
	assert_true(arena_ok(&a));
	arena_free(&a);
}

static void arena_failure_is_sticky(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	/* The product is 8 in a size_t. */
	assert_null(arena_array(&a, SIZE_MAX / 8 + 2, 8));
	assert_false(arena_ok(&a));
	assert_null(arena_alloc(&a, 1));
	arena_free(&a);
	assert_true(arena_ok(&a));
	assert_null(arena_alloc(&a, SIZE_MAX - 3));
	assert_false(arena_ok(&a));
	arena_free(&a);
	assert_null(arena_strndup(&a, "", SIZE_MAX));
	assert_false(arena_ok(&a));
	arena_free(&a);
}

static void arena_push_grows(void **state)
{
	struct arena a = { 0 };
	int64_t *items = NULL;
	size_t n = 0;
	size_t cap = 0;

	(void)state;
	for (int64_t i = 0; i < 1000; i++) {
		int64_t *place =
			arena_push(&a, &items, &n, &cap, sizeof(*items));
		assert_non_null(place);
		assert_int_equal(*place, 0);
		*place = i * 3;
	}
	assert_int_equal(n, 1000);
	assert_true(cap >= n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(items[i], i * 3);
	/* A place that was used before is zeroed again. */
	n = 5;
	assert_int_equal(
		*(int64_t *)arena_push(&a, &items, &n, &cap, sizeof(*items)),
		0);
	assert_int_equal(n, 6);
	arena_free(&a);
}

static void buf_adds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(buf_str(&b), "");
	buf_add(&b, "ab");
	buf_addn(&b, "cde", 2);
	buf_addc(&b, '-');
	buf_addf(&b, "%s=%d", "k", 42);
	buf_add_hex(&b, "\x00\xFF\x1a", 3);
	assert_string_equal(buf_str(&b), "abcd-k=4200ff1a");
	assert_int_equal(b.n, 15);
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
	buf_add(&b, "again");
	char *text = buf_take(&b);
	assert_string_equal(text, "again");
	free(text);
	text = buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	buf_add(&b, "secret");
	buf_wipe(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 1000);
	buf_free(NULL);
	buf_wipe(NULL);
}

static void buf_keeps_its_cap(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	for (int i = 0; i < 10; i++)
		buf_add(&b, "0123456789");
	assert_rc(buf_rc(&b), RC_OK);
	assert_int_equal(b.n, 100);
	assert_true(b.cap <= 101);
	buf_addc(&b, 'x');
	assert_rc(buf_rc(&b), RC_TOO_LARGE);
	/* Sticky: what came before stays, nothing more is added. */
	buf_addn(&b, "", 0);
	buf_addf(&b, "y");
	assert_int_equal(b.n, 100);
	assert_null(buf_take(&b));
	buf_clear(&b);
	assert_rc(buf_rc(&b), RC_OK);
	/* All or nothing. */
	char big[102];
	memset(big, 'a', 101);
	big[101] = '\0';
	buf_add(&b, big);
	assert_rc(buf_rc(&b), RC_TOO_LARGE);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

static void buf_escapes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "\"\"" },
		{ "plain /", "\"plain /\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1F\x7F", "\"\\u0001\\u001f\x7F\"" },
		{ "caf\xC3\xA9 \xF0\x9F\x98\x80",
			"\"caf\xC3\xA9 \xF0\x9F\x98\x80\"" },
		{ "x\xFFy\xC3", "\"x\xEF\xBF\xBDy\xEF\xBF\xBD\"" },
		/* An overlong slash, byte by byte. */
		{ "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		buf_add_json_str(&b, cases[i].in);
		assert_string_equal(buf_str(&b), cases[i].out);
	}
	buf_clear(&b);
	buf_add_url(&b, "@a.b:c-d/e_f~ !#$%+\xC3\xA9Z9");
	assert_string_equal(
		buf_str(&b), "%40a.b%3Ac-d%2Fe_f~%20%21%23%24%25%2B%C3%A9Z9");
	buf_free(&b);
}

static void slices(void **state)
{
	struct str s = str_of("a/b//c");
	bool found;

	(void)state;
	assert_true(str_starts(s, "a/"));
	assert_true(str_starts(s, ""));
	assert_false(str_starts(str_of("a"), "ab"));
	assert_true(str_eq(str_cut(&s, '/', &found), "a"));
	assert_true(found);
	assert_true(str_eq(str_cut(&s, '/', NULL), "b"));
	assert_true(str_eq(str_cut(&s, '/', NULL), ""));
	assert_true(str_eq(str_cut(&s, '/', &found), "c"));
	assert_false(found);
	assert_int_equal(s.n, 0);
	assert_true(str_eq(str_cut(&s, '/', &found), ""));
	assert_false(found);
	assert_false(str_eq(str_of("ab"), "a"));
	assert_true(str_eq((struct str){ NULL, 0 }, ""));
}

static void texts(void **state)
{
	(void)state;
	assert_true(text_eq("a", "a"));
	assert_false(text_eq("a", "A"));
	assert_true(text_eq(NULL, NULL));
	assert_false(text_eq(NULL, ""));
	assert_true(text_starts("abc", "ab"));
	assert_false(text_starts("a", "ab"));
	assert_true(text_ends("abc", "bc"));
	assert_false(text_ends("c", "bc"));
	assert_true(text_eq_nocase("Bearer", "bEARER"));
	assert_false(text_eq_nocase("Bearer", "Beare"));
	assert_false(text_eq_nocase("\xC3\x89", "\xC3\xA9"));
}

static void numbers(void **state)
{
	static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "01",
		"00", "-0", "-01", "1.0", "1e3", "0x1", "a", "--1",
		"9223372036854775808", "-9223372036854775809",
		"99999999999999999999999" };
	int64_t v = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_i64(str_of(bad[i]), INT64_MIN, INT64_MAX, &v));
	assert_int_equal(v, 77);
	assert_true(str_i64(str_of("0"), 0, 0, &v));
	assert_int_equal(v, 0);
	assert_true(str_i64(
		str_of("9223372036854775807"), INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MAX);
	assert_true(str_i64(
		str_of("-9223372036854775808"), INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MIN);
	assert_true(str_i64(str_of("10"), 1, 10, &v));
	assert_false(str_i64(str_of("11"), 1, 10, &v));
	assert_false(str_i64(str_of("0"), 1, 10, &v));
	assert_int_equal(v, 10);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{ "500ms", 500 },
		{ "0s", 0 },
		{ "5s", 5000 },
		{ "5m", 300000 },
		{ "1h", 3600000 },
		{ "2d", 172800000 },
	};
	static const char *const bad[] = { "", "5", "s", "5 s", "5S", "-5s",
		"1.5s", "5sec", "05s", "3d", "172800001ms",
		"99999999999999999999s" };
	int64_t ms = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(str_duration(str_of(good[i].text), 172800000, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	ms = -1;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_duration(str_of(bad[i]), 172800000, &ms));
	assert_int_equal(ms, -1);
}

static void utf8(void **state)
{
	static const struct {
		const char *p;
		size_t n, bad;
	} wrong[] = {
		{ "\x80", 1, 0 },
		{ "ab\xC3", 3, 2 },
		{ "\xC0\xAF", 2, 0 },         /* overlong */
		{ "\xE0\x80\xAF", 3, 0 },     /* overlong */
		{ "\xF0\x80\x80\xAF", 4, 0 }, /* overlong */
		{ "x\xED\xA0\x80", 4, 1 },    /* surrogate */
		{ "\xF4\x90\x80\x80", 4, 0 }, /* over U+10FFFF */
		{ "\xF5\x80\x80\x80", 4, 0 },
		{ "\xFF", 1, 0 },
		{ "12345678\xC3(", 10, 8 },
		{ "\xE2\x82(", 3, 0 },
	};
	static const char fine[] =
		"12345678 \xC3\xA9 \xE2\x82\xAC "
		"\xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF \xED\x9F\xBF";
	uint32_t cp = 0;
	char out[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		size_t bad = 99;
		assert_false(utf8_valid(wrong[i].p, wrong[i].n, &bad));
		assert_int_equal(bad, wrong[i].bad);
		assert_false(utf8_valid(wrong[i].p, wrong[i].n, NULL));
	}
	assert_true(utf8_valid(fine, sizeof(fine), NULL));
	assert_true(utf8_valid(NULL, 0, NULL));
	assert_int_equal(utf8_next("\xE2\x82\xAC", 3, &cp), 3);
	assert_int_equal(cp, 0x20AC);
	assert_int_equal(utf8_next("\xF0\x9F\x98\x80", 4, &cp), 4);
	assert_int_equal(cp, 0x1F600);
	assert_int_equal(utf8_next("\xF0\x9F\x98\x80", 3, &cp), 0);
	assert_int_equal(utf8_next("", 0, &cp), 0);
	assert_int_equal(utf8_put(out, 'A'), 1);
	assert_memory_equal(out, "A", 1);
	assert_int_equal(utf8_put(out, 0xE9), 2);
	assert_memory_equal(out, "\xC3\xA9", 2);
	assert_int_equal(utf8_put(out, 0x20AC), 3);
	assert_memory_equal(out, "\xE2\x82\xAC", 3);
	assert_int_equal(utf8_put(out, 0x1F600), 4);
	assert_memory_equal(out, "\xF0\x9F\x98\x80", 4);
}

static void distances(void **state)
{
	char word[80];

	(void)state;
	assert_int_equal(str_distance("level", "level", 5), 0);
	assert_int_equal(str_distance("levle", "level", 5), 1);
	assert_int_equal(str_distance("url", "uri", 5), 1);
	assert_int_equal(str_distance("listen", "lsten", 5), 1);
	assert_int_equal(str_distance("lsten", "listen", 5), 1);
	assert_int_equal(str_distance("kitten", "sitting", 5), 3);
	assert_int_equal(str_distance("", "abc", 5), 3);
	assert_int_equal(str_distance("kitten", "sitting", 2), 2);
	memset(word, 'a', 79);
	word[79] = '\0';
	assert_int_equal(str_distance(word, "a", 4), 4);
	assert_int_equal(str_distance(word, word, 4), 0);
}

static void places(void **state)
{
	static const char text[] = "ab\n\xC3\xA9x\n";
	int line, column;

	(void)state;
	text_place(text, 0, &line, &column);
	assert_int_equal(line, 1);
	assert_int_equal(column, 1);
	text_place(text, 5, &line, &column);
	assert_int_equal(line, 2);
	assert_int_equal(column, 2);
	text_place(text, 7, &line, &column);
	assert_int_equal(line, 3);
	assert_int_equal(column, 1);
}

/* AS-46. */
static void secrets(void **state)
{
	struct secret s = { 0 };
	char mark[9];

	(void)state;
	assert_false(secret_is_set(&s));
	assert_null(secret_bytes(&s));
	assert_false(secret_equal(&s, "", 0));
	secret_fingerprint(&s, mark);
	assert_string_equal(mark, "--------");

	assert_rc(secret_set(&s, "abcd", 3), RC_OK);
	assert_true(secret_is_set(&s));
	assert_string_equal(secret_bytes(&s), "abc");
	assert_true(secret_equal(&s, "abc", 3));
	assert_false(secret_equal(&s, "abd", 3));
	assert_false(secret_equal(&s, "abcd", 4));
	assert_false(secret_equal(&s, "ab", 2));
	assert_false(secret_equal(&s, NULL, 0));
	assert_true(sha256_equal("abcdefghijklmnopqrstuvwxyz012345",
		"abcdefghijklmnopqrstuvwxyz012345"));
	assert_false(sha256_equal("abcdefghijklmnopqrstuvwxyz012345",
		"abcdefghijklmnopqrstuvwxyz012346"));
	assert_false(sha256_equal("abcdefghijklmnopqrstuvwxyz012345",
		"bbcdefghijklmnopqrstuvwxyz012345"));
	secret_fingerprint(&s, mark);
	assert_string_equal(mark, "ba7816bf");
	/* From its own bytes. */
	assert_rc(secret_set(&s, s.bytes + 1, 2), RC_OK);
	assert_string_equal(secret_bytes(&s), "bc");
	secret_fini(&s);
	secret_fini(&s);
	secret_fini(NULL);
	assert_false(secret_is_set(&s));
}

static void randomness(void **state)
{
	struct secret a = { 0 };
	struct secret b = { 0 };
	bool seen[6] = { false };

	(void)state;
	assert_rc(secret_random_hex(&a, 32), RC_OK);
	assert_rc(secret_random_hex(&b, 32), RC_OK);
	assert_int_equal(a.n, 64);
	assert_int_equal(strspn(secret_bytes(&a), "0123456789abcdef"), 64);
	assert_false(secret_equal(&a, b.bytes, b.n));
	assert_rc(secret_random_hex(&a, 65), RC_INVALID);
	assert_int_equal(a.n, 64);
	secret_fini(&a);
	secret_fini(&b);

	assert_int_equal(random_below(0), 0);
	assert_int_equal(random_below(1), 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t v = random_below(6);
		assert_true(v < 6);
		seen[v] = true;
	}
	for (size_t i = 0; i < 6; i++)
		assert_true(seen[i]);
}

static void digests(void **state)
{
	static const char abc[] = "ba7816bf8f01cfea414140de5dae2223"
				  "b00361a396177a9cb410ff61f20015ad";
	static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb924"
				    "27ae41e4649b934ca495991b7852b855";
	char hex[SHA256_HEX];
	unsigned char digest[SHA256_LEN];
	struct sha256 h;

	(void)state;
	assert_true(sha256_hex("abc", 3, hex));
	assert_string_equal(hex, abc);
	assert_true(sha256_hex("", 0, hex));
	assert_string_equal(hex, empty);
	sha256_begin(&h);
	sha256_add(&h, "a", 1);
	sha256_add(&h, "", 0);
	sha256_add(&h, "bc", 2);
	assert_true(sha256_end(&h, digest));
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(hex, abc);
	/* Ended: it gives no second digest. */
	assert_false(sha256_end(&h, digest));
}

static void times(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1772712000123, "2026-03-05T12:00:00.123Z" },
		{ 951825599999, "2000-02-29T11:59:59.999Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ -1, "1970-01-01T00:00:00.000Z" },
	};
	char out[25];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_format(cases[i].ms, out);
		assert_string_equal(out, cases[i].text);
	}
	assert_true(clock_wall_ms() > 1700000000000);
	int64_t before = clock_mono_us();
	clock_sleep_ms(5);
	assert_true(clock_mono_us() - before >= 5000);
	clock_sleep_ms(0);
	clock_sleep_ms(-1);
}

static void backoff(void **state)
{
	static const struct {
		int attempt;
		int64_t low, high;
	} cases[] = {
		{ 0, 50, 100 },
		{ 1, 50, 100 },
		{ 2, 100, 200 },
		{ 4, 400, 800 },
		{ 5, 500, 1000 },
		{ 1000000, 500, 1000 },
	};
	bool varied = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t first = backoff_ms(cases[i].attempt, 100, 1000);
		for (int k = 0; k < 100; k++) {
			int64_t v = backoff_ms(cases[i].attempt, 100, 1000);
			assert_in_range(v, cases[i].low, cases[i].high);
			varied = varied || v != first;
		}
	}
	assert_true(varied);
	assert_int_equal(backoff_ms(3, 0, 1000), 0);
	assert_true(backoff_ms(60, 1, INT64_MAX) >= INT64_C(1) << 58);
	assert_true(backoff_ms(200, 1, INT64_MAX) >= INT64_MAX / 2);
}

static void reports_of_parsers(void **state)
{
	struct report r;
	static const struct {
		const char *text, *said;
		int line, column;
	} cases[] = {
		{ "dir/a:b.yaml:12:3: a tab: no", "a tab: no", 12, 3 },
		{ "4:5: odd", "odd", 4, 5 },
		{ "dir/a:b.yaml: is gone", "is gone", 0, 0 },
		{ "cannot open it: 7", "cannot open it: 7", 0, 0 },
		{ "dir/a:b.yaml:1:", "1:", 0, 0 },
		{ "1:0: from nought", "1:0: from nought", 0, 0 },
		{ "", "", 0, 0 },
	};

	(void)state;
	report_init(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		report_parsed(&r, "dir/a:b.yaml", cases[i].text);
		assert_string_equal(r.items[i].file, "dir/a:b.yaml");
		assert_string_equal(r.items[i].text, cases[i].said);
		assert_int_equal(r.items[i].line, cases[i].line);
		assert_int_equal(r.items[i].column, cases[i].column);
	}
	report_free(&r);
}

static void reports(void **state)
{
	struct report r;
	struct buf out;

	(void)state;
	report_init(&r);
	buf_init(&out, 100000);
	report_error(&r, "a.yaml", 3, 7, "no such key \"%s\"", "x");
	report_warning(&r, "b.json", 0, 0, "old");
	report_error(&r, "c.json", 2, 0, "odd");
	report_error(&r, NULL, 0, 0, "nothing to do");
	assert_int_equal(r.n, 4);
	assert_int_equal(r.errors, 3);
	report_write(&r, &out);
	assert_string_equal(buf_str(&out),
		"a.yaml:3:7: no such key \"x\"\n"
		"b.json: warning: old\n"
		"c.json:2: odd\n"
		"nothing to do\n");
	report_free(&r);
	assert_int_equal(r.n, 0);

	/* Many warnings do not hide an error, and errors are counted on. */
	for (int i = 0; i < 150; i++)
		report_warning(&r, "w", 1, 1, "%d", i);
	assert_int_equal(r.n, 100);
	for (int i = 0; i < 107; i++)
		report_error(&r, "e", 1, 1, "%d", i);
	assert_int_equal(r.n, 200);
	assert_int_equal(r.errors, 107);
	buf_clear(&out);
	report_write(&r, &out);
	assert_true(text_ends(buf_str(&out), "e:1:1: 99\nand 7 more errors\n"));
	report_free(&r);
	report_free(NULL);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_text),
		cmocka_unit_test(err_is_cut_between_characters),
		cmocka_unit_test(rc_has_words),
		cmocka_unit_test(arena_gives_zeroed_memory),
		cmocka_unit_test(arena_failure_is_sticky),
		cmocka_unit_test(arena_push_grows),
		cmocka_unit_test(buf_adds),
		cmocka_unit_test(buf_keeps_its_cap),
		cmocka_unit_test(buf_escapes),
		cmocka_unit_test(slices),
		cmocka_unit_test(texts),
		cmocka_unit_test(numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(utf8),
		cmocka_unit_test(distances),
		cmocka_unit_test(places),
		cmocka_unit_test(secrets),
		cmocka_unit_test(randomness),
		cmocka_unit_test(digests),
		cmocka_unit_test(times),
		cmocka_unit_test(backoff),
		cmocka_unit_test(reports),
		cmocka_unit_test(reports_of_parsers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
