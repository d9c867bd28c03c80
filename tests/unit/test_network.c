/*
 * tests/unit/test_network.c: which file systems are ones of a network.
 */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "store/network_priv.h"

#include "base/poison.h"

static void test_magics(void **state)
{
	(void)state;
	/* As statfs(2) and the kernel's magic.h have them. */
	assert_true(network_is_magic(0x6969));      /* NFS */
	assert_true(network_is_magic(0x517b));      /* SMB */
	assert_true(network_is_magic(0xff534d42));  /* CIFS */
	assert_true(network_is_magic(0xfe534d42));  /* SMB2 */
	assert_true(network_is_magic(0x65735546));  /* FUSE */
	assert_false(network_is_magic(0xef53));     /* ext4 */
	assert_false(network_is_magic(0x58465342)); /* XFS */
	assert_false(network_is_magic(0x9123683e)); /* Btrfs */
	assert_false(network_is_magic(0x01021994)); /* tmpfs */
	assert_false(network_is_magic(0x794c7630)); /* overlayfs */
	assert_false(network_is_magic(0));
}

static void test_wanted(void **state)
{
	(void)state;
	struct err e = { 0 };
	bool network = true;

	assert_ok(network_wanted("/proc", STORE_AUTO, &network, &e), e);
	assert_false(network);
	assert_ok(network_wanted("/proc", STORE_NETWORK, &network, &e), e);
	assert_true(network);
	assert_ok(network_wanted("/proc", STORE_LOCAL, &network, &e), e);
	assert_false(network);
	assert_rc(network_wanted("/nowhere", STORE_AUTO, &network, &e), RC_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_magics),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
