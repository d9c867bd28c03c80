/*
 * tests/unit/test.h: cmocka's includes in the order it needs, and the few
 * words all unit tests share.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "base/base.h"

/* RC_OK, or the error's text as the failure's message. */
#define assert_ok(call, e)                                                     \
	do {                                                                   \
		enum rc rc_ = (call);                                          \
		if (rc_ != RC_OK)                                              \
			fail_msg(                                              \
				"%s: %s: %s", #call, rc_words(rc_), (e).text); \
	} while (0)
#define assert_rc(call, want) assert_int_equal((call), (want))

#endif
