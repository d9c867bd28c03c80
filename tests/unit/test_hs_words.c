/*
 * tests/unit/test_hs_words.c: what is shown of a homeserver's words, which may
 * have a token in them.
 */
#include "tests/unit/test.h"

#include "matrix/hs.h"

#include "base/poison.h"

#define NO_USER "something that is no user id"
#define NO_DEVICE "something that is no device id"

static struct secret token;

static int make_token(void **state)
{
	(void)state;
	return secret_set(&token, "s3cr3t", 6) == RC_OK ? 0 : -1;
}

static int free_token(void **state)
{
	(void)state;
	secret_fini(&token);
	return 0;
}

static void test_users(void **state)
{
	(void)state;
	assert_string_equal(hs_user_words("@a:hs", &token), "@a:hs");
	assert_string_equal(hs_user_words("", &token), NO_USER);
	assert_string_equal(hs_user_words("a", &token), NO_USER);
	assert_string_equal(hs_user_words("@a\n:hs", &token), NO_USER);
	assert_string_equal(hs_user_words("@s3cr3t:hs", &token), NO_USER);
	assert_string_equal(hs_user_words("@a:S3CR3T", &token), NO_USER);
}

static void test_devices(void **state)
{
	(void)state;
	assert_string_equal(hs_device_words("MUSTER", &token), "MUSTER");
	assert_string_equal(hs_device_words("", &token), "none");
	assert_string_equal(hs_device_words("a b", &token), NO_DEVICE);
	assert_string_equal(hs_device_words("x-s3cr3t", &token), NO_DEVICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_devices),
	};
	return cmocka_run_group_tests(tests, make_token, free_token);
}
