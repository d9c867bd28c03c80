/*
 * tests/unit/test_log.c: the lines of the log, as they arrive on stderr.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

#include "base/poison.h"

#define TS_LEN 24

static int saved, ends[2];

/* Puts a pipe in the place of stderr. */
static int set_up(void **state)
{
	(void)state;
	saved = dup(STDERR_FILENO);
	if (saved < 0 || pipe(ends) != 0)
		return -1;
	return dup2(ends[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* What one read gives: a line is one write. */
static char *line(void)
{
	static char text[8192];
	ssize_t n = read(ends[0], text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(text[n - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	return text;
}

static void assert_timestamp(const char *ts)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	for (size_t i = 0; i < TS_LEN; i++) {
		if (form[i] == 'd')
			assert_in_range(ts[i], '0', '9');
		else
			assert_int_equal(ts[i], form[i]);
	}
}

static void writes_json(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	log_info("transaction stored", LS("txn", "a \"b\"\n\x1b\xFF"),
		LI("events", -3), LS("none", NULL));
	const char *text = line();
	assert_memory_equal(text, "{\"ts\":\"", 7);
	assert_timestamp(text + 7);
	assert_string_equal(text + 7 + TS_LEN,
		"\",\"level\":\"info\",\"msg\":\"transaction stored\","
		"\"txn\":\"a \\\"b\\\"\\u000a\\u001b\xEF\xBF\xBD\","
		"\"events\":-3,\"none\":\"\"}\n");
}

/* A log that cannot be written changes nothing for its caller. */
static void survives_a_closed_stderr(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	close(STDERR_FILENO);
	errno = EDOM;
	log_info("lost", LI("n", 1));
	int after = errno;
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(after, EDOM);
}

static void writes_text(void **state)
{
	static const char *const levels[] = { "error", "warn ", "info ",
		"debug" };

	(void)state;
	log_setup(LOG_DEBUG, LOG_TEXT);
	for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
		log_line((enum log_level)level, "message", NULL, 0);
		const char *text = line();
		assert_timestamp(text);
		assert_int_equal(text[TS_LEN], ' ');
		assert_memory_equal(text + TS_LEN + 1, levels[level], 5);
		assert_string_equal(text + TS_LEN + 6, " message\n");
	}
	log_warn("two words", LS("id", "@a:b"), LI("n", 5),
		LS("t", "with space"), LS("q", "a=b"), LS("empty", ""),
		LS("line", "x\ny"));
	assert_string_equal(line() + TS_LEN,
		" warn  two words id=@a:b n=5 t=\"with space\" q=\"a=b\" "
		"empty=\"\" line=\"x\\u000ay\"\n");
}

static void obeys_its_level(void **state)
{
	(void)state;
	log_setup(LOG_WARN, LOG_TEXT);
	assert_true(log_enabled(LOG_ERROR));
	assert_true(log_enabled(LOG_WARN));
	assert_false(log_enabled(LOG_INFO));
	log_info("not this", LI("n", 1));
	log_debug("nor this", LI("n", 1));
	log_error("this", LI("n", 1));
	assert_string_equal(line() + TS_LEN, " error this n=1\n");
}

/* Only ever less. */
static void is_limited(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	log_at_most(LOG_ERROR);
	assert_false(log_enabled(LOG_WARN));
	log_at_most(LOG_DEBUG);
	assert_false(log_enabled(LOG_WARN));
	assert_true(log_enabled(LOG_ERROR));
}

static void cuts_long_values(void **state)
{
	char value[3000];
	struct json *doc = NULL;
	struct err e = { 0 };

	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	log_info("long", LS("a", value), LI("after", 1));
	const char *text = line();
	assert_ok(json_parse(text, strlen(text), NULL, &doc, &e), e);
	const char *a = js_get_str(json_root(doc), "a");
	assert_int_equal(strlen(a), 1024 + 3);
	assert_string_equal(a + 1024, "\xE2\x80\xA6");
	assert_true(js_has(json_root(doc), "after"));
	json_free(doc);
}

/* However long, a line is valid JSON of at most PIPE_BUF bytes. */
static void cuts_long_lines(void **state)
{
	char value[1025];
	struct err e = { 0 };

	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	for (size_t n = 0; n <= 1024; n++) {
		struct json *doc = NULL;
		memset(value, n % 3 ? 'v' : '\x01', n);
		value[n] = '\0';
		log_info("long", LS("a", value), LS("b", value), LS("c", value),
			LS("d", value), LI("e", INT64_MIN), LS("f", value));
		const char *text = line();
		size_t len = strlen(text);
		assert_in_range(len, 1, 4096);
		assert_ok(json_parse(text, len, NULL, &doc, &e), e);
		assert_true(js_has(json_root(doc), "a"));
		json_free(doc);
	}
	memset(value, '\x01', 1024);
	log_line(LOG_INFO, value, NULL, 0);
	assert_in_range(strlen(line()), 4000, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			survives_a_closed_stderr, set_up, tear_down),
		cmocka_unit_test_setup_teardown(writes_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			obeys_its_level, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_limited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			cuts_long_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			cuts_long_lines, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
