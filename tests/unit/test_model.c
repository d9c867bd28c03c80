/*
 * tests/unit/test_model.c: a model check of the plan. Of a hundred thousand
 * random cases (model.h) each must come to an end, in what is declared, and
 * break none of its promises on the way (model_check.c).
 *
 * TEST_SEED and TEST_CASES choose other ones. What fails is made as small as it
 * can be, and told.
 */
#include <stdlib.h>

#include "tests/unit/model.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define CASES 100000
#define CASES_A_COMPANY 400

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void tell(struct model_case *c, const char *what)
{
	print_message("%s\nmade smaller:\n", what);
	model_shrink(c);
	case_print(c);
	(void)model_run(c, true);
}

static void plan_comes_to_an_end(void **state)
{
	static struct company company;
	const uint64_t seed = number("TEST_SEED", 1);
	const uint64_t cases = number("TEST_CASES", CASES);
	(void)state;
	print_message("TEST_SEED=%llu TEST_CASES=%llu\n",
		(unsigned long long)seed, (unsigned long long)cases);
	bool loaded = false;
	for (uint64_t i = 0; i < cases; i++) {
		struct model_case c;
		for (uint64_t k = 0; i % CASES_A_COMPANY == 0 && k < 100; k++) {
			struct chance by = { mix(mix(seed, i), k) };
			if (loaded)
				company_free(&company);
			company_make(&company, &by);
			loaded = company_load(&company);
			if (loaded)
				break;
		}
		assert_true(loaded);
		case_make(&c, &company, mix(seed, i));
		const char *what = model_run(&c, false);
		if (!what[0])
			continue;
		print_message("case %llu: ", (unsigned long long)i);
		tell(&c, what);
		fail();
	}
	company_free(&company);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_comes_to_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
