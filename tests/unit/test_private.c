/*
 * tests/unit/test_private.c: whether a homeserver is on a network of one's
 * own. Addresses only: a name would be asked for on the network.
 */
#include "tests/unit/test.h"

#include "agent/ways_priv.h"

#include "base/poison.h"

static void test_private(void **state)
{
	static const char *const urls[] = { "http://anything.example",
		"https://10.0.0.1", "https://10.255.255.255:8448/x",
		"https://172.16.0.1", "https://172.31.255.255",
		"https://192.168.1.1", "https://127.0.0.1:6167",
		"https://169.254.1.1", "https://100.64.0.1",
		"https://100.127.255.255", "https://0.0.0.0",
		"https://198.18.0.1", "https://198.19.255.255",
		"https://[::1]:8448", "https://[fc00::1]", "https://[fdff::1]",
		"https://[fe80::1]", "https://[::ffff:10.0.0.1]",
		"https://user:pass@10.0.0.1/", "https://192.0.0.8",
		"https://240.0.0.1" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		if (!openclaw_is_private(urls[i]))
			fail_msg("public: %s", urls[i]);
}

static void test_public(void **state)
{
	static const char *const urls[] = { "https://8.8.8.8",
		"https://9.255.255.255", "https://11.0.0.0",
		"https://172.15.255.255", "https://172.32.0.0",
		"https://192.167.255.255", "https://192.169.0.0",
		"https://126.255.255.255", "https://128.0.0.0",
		"https://100.63.255.255", "https://100.128.0.0",
		"https://198.17.255.255", "https://198.20.0.0",
		"https://[2001:db8::1]:443", "https://[fbff::1]",
		"https://[::ffff:8.8.8.8]", "https://223.255.255.255",
		"https://10.0.0.1@8.8.8.8", "https://", "nonsense", "" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		if (openclaw_is_private(urls[i]))
			fail_msg("private: %s", urls[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_public),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
