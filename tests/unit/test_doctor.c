/*
 * What doctor says without looking anywhere: who is late, how paths are quoted,
 * what agents that it could not look at are told of.
 */
#include "tests/unit/test.h"

#include <string.h>

#include "appservice/ops/doctor_priv.h"
#include "tests/unit/handoff_fixture.h"
#include "tests/unit/store_fixture.h"

#include "base/poison.h"

#define WRITTEN INT64_C(1700000000000)
#define WAIT 30000
#define MINUTE 60000

static bool late_after(int64_t ms, int64_t acked, int64_t wait)
{
	const struct store_agent row = { .user_id = "@a:s",
		.declared = true,
		.state = AGENT_HANDED_OFF,
		.generation = 3,
		.acked_generation = acked,
		.written_ms = WRITTEN };
	return ack_is_late(&row, wait, WRITTEN + ms);
}

static void who_runs_has_as_long_as_a_rotation_waits(void **state)
{
	(void)state;
	assert_false(late_after(0, 2, WAIT));
	assert_false(late_after(30000, 2, WAIT));
	assert_true(late_after(30001, 2, WAIT));
	assert_true(late_after(30001, 1, WAIT));
	/* The clock was set back. */
	assert_false(late_after(-MINUTE, 2, WAIT));
}

static void who_never_ran_has_ten_minutes(void **state)
{
	(void)state;
	assert_false(late_after(10 * MINUTE, 0, WAIT));
	assert_true(late_after(10 * MINUTE + 1, 0, WAIT));
	/* Or longer, where everybody has. */
	assert_false(late_after(10 * MINUTE + 1, 0, 11 * MINUTE));
	assert_true(late_after(11 * MINUTE + 1, 0, 11 * MINUTE));
}

static void others_are_not_late(void **state)
{
	(void)state;
	const struct store_agent late = { .user_id = "@a:s",
		.declared = true,
		.state = AGENT_HANDED_OFF,
		.generation = 3,
		.acked_generation = 2,
		.written_ms = WRITTEN };
	const int64_t now = WRITTEN + 60 * MINUTE;
	struct store_agent row = late;
	assert_true(ack_is_late(&row, WAIT, now));
	row.acked_generation = 3;
	assert_false(ack_is_late(&row, WAIT, now));
	row = late;
	row.declared = false;
	assert_false(ack_is_late(&row, WAIT, now));
	row = late;
	row.written_ms = 0;
	assert_false(ack_is_late(&row, WAIT, now));
	for (int st = 0; st < AGENT_STATES; st++) {
		row = late;
		row.state = (enum agent_state)st;
		assert_int_equal(
			ack_is_late(&row, WAIT, now), st == AGENT_HANDED_OFF);
	}
}

static void paths_as_a_shell_takes_them(void **state)
{
	(void)state;
	static const char *const table[][2] = {
		{ "runtime/Sales/a.b-c_d", "runtime/Sales/a.b-c_d" },
		{ "Field Ops/a", "'Field Ops/a'" },
		{ "", "''" },
		{ "$HOME/`x`", "'$HOME/`x`'" },
		{ "it's", "'it'\\''s'" },
		{ "R&D", "'R&D'" },
		{ "L\xc3\xa4nder", "'L\xc3\xa4nder'" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_string_equal(doctor_quote(&a, table[i][0]), table[i][1]);
	arena_free(&a);
}

static void commands_need_a_service(void **state)
{
	(void)state;
	struct arena a = { 0 };
	struct doctor d = { .a = &a, .serving = true };
	assert_string_equal(doctor_verb(&d, "rotate", "@a:s", " --now"),
		"`muster rotate @a:s --now`");
	d.serving = false;
	assert_string_equal(doctor_verb(&d, "retry", "@a:s", ""),
		"`muster serve`, then `muster retry @a:s`");
	arena_free(&a);
}

static void those_that_there_was_no_time_for(void **state)
{
	(void)state;
	struct arena a = { 0 };
	struct patient all[3] = { { .path = "runtime/_/a" } };
	struct doctor d = { .a = &a,
		.root = "runtime",
		.check = "directory",
		.patients = all,
		.n = 3 };
	check_directories(&d);
	assert_int_equal(d.n_findings, 0);
	d.unseen = 2;
	check_directories(&d);
	assert_int_equal(d.n_findings, 1);
	assert_string_equal(d.findings[0].subject, "runtime");
	assert_string_equal(d.findings[0].check, "directory");
	assert_string_equal(d.findings[0].what,
		"2 of 3 directories were not looked at: it took longer than 20 "
		"s");
	assert_int_equal(d.checked, 6);
	arena_free(&a);
}

/* The store knows this generation of the token to be in its file. */
static void hand_off(struct store_fixture *f, int64_t generation)
{
	struct handoff h = { 0 };
	char digest[SHA256_HEX];
	spot_make(&h, generation);
	sha256_hex(secret_bytes(&h.access_token), h.access_token.n, digest);
	WRITE(f,
		store_agent_handed_off(f->s, SPOT_USER, "MUSTER", generation,
			digest, WRITTEN, &f->e));
	handoff_fini(&h);
}

/* The file that was seen is newer than the row that was read before. */
static void a_token_that_is_handed_over_meanwhile(void **state)
{
	struct store_fixture *f = *state;
	void *spot_state = NULL;
	assert_int_equal(spot_set_up(&spot_state), 0);
	struct spot *spot = spot_state;
	struct app app = { .store = f->s };
	struct patient p = { .path = spot->path };
	struct doctor d = { .app = &app,
		.a = &f->a,
		.public_url = SPOT_URL,
		.device = "MUSTER",
		.uid = -1,
		.gid = -1,
		.patients = &p,
		.n = 1 };
	const struct store_agent anna = { .user_id = SPOT_USER };
	WRITE(f, store_agent_declare(f->s, &anna, WRITTEN, &f->e));
	hand_off(f, 1);
	assert_ok(store_agent_get(f->s, SPOT_USER, &f->a, &p.row, &f->e), f->e);
	hand_off(f, 2);
	spot_write(spot->fd, 2);
	doctor_look(&d);
	check_files(&d);
	assert_int_equal(d.n_findings, 0);
	assert_int_equal(p.row.generation, 2);
	/* One that nobody handed over is another matter. */
	spot_write(spot->fd, 3);
	doctor_look(&d);
	check_files(&d);
	assert_int_equal(d.n_findings, 1);
	assert_string_equal(d.findings[0].what,
		"its file has another generation: 3, and not 2");
	handoff_fini(&p.file);
	spot_tear_down(&spot_state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_runs_has_as_long_as_a_rotation_waits),
		cmocka_unit_test(who_never_ran_has_ten_minutes),
		cmocka_unit_test(others_are_not_late),
		cmocka_unit_test(paths_as_a_shell_takes_them),
		cmocka_unit_test(commands_need_a_service),
		cmocka_unit_test(those_that_there_was_no_time_for),
		STORE_TEST(a_token_that_is_handed_over_meanwhile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
