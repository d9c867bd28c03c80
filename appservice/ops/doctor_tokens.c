/*
 * What is wrong with agents and their tokens: who has none, whose does not work,
 * who has not acknowledged theirs, and what was asked for and is not done.
 */
#include "appservice/ops/doctor_priv.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* So long all tokens may be asked about. */
#define ASK_MS 20000

/* --- agents ------------------------------------------------------------------- */

static void find_blocked(struct doctor *d, const struct patient *p)
{
	const struct store_agent *row = &p->row;
	const char *error = row->error ? row->error : "nobody knows why";
	const char *retry = doctor_verb(d, "retry", row->user_id, "");
	doctor_find(d, row->user_id,
		arena_printf(d->a, "it is blocked: %s", error),
		"the service does nothing about it by itself",
		row->generation > 0 ? doctor_verb(d, "rotate", row->user_id, "")
			: text_starts(error, OUTSIDE)
			? "`muster registration`, `muster register`, and "
			  "SIGHUP to the service"
			: arena_printf(
				  d->a, "do what it says; then %s", retry));
}

/* Another check tells of it: it had a token, or has one and was to have
 * another. */
static bool is_told_elsewhere(const struct patient *p)
{
	return p->row.revoke_ms || patient_is_without(p) ||
		tokens_is_unseen(&p->row) ||
		(patient_has_file(p) &&
			p->row.rotation.state >= ROTATION_UNANSWERED);
}

static void check_agent(struct doctor *d, struct patient *p)
{
	const struct store_agent *row = &p->row;
	if (row->state == AGENT_BLOCKED && !row->revoke_ms) {
		find_blocked(d, p);
		return;
	}
	if (!row->error || is_told_elsewhere(p))
		return;
	doctor_find(d, row->user_id,
		arena_printf(d->a, "it could not be given a%s token: %s",
			row->generation > 0 ? " new" : "", row->error),
		row->generation > 0
			? "it goes on with its old one"
			: "it can neither read nor write before it has one",
		arena_printf(d->a,
			"see to what it says; it is tried again by itself, and "
			"at once with %s",
			doctor_verb(d, "retry", row->user_id, "")));
}

void check_agents(struct doctor *d)
{
	doctor_each(d, check_agent);
}

/* --- tokens ------------------------------------------------------------------- */

static void find_without(struct doctor *d, const struct patient *p)
{
	const struct store_agent *row = &p->row;
	doctor_find(d, row->user_id,
		arena_printf(d->a, "%s since %s%s%s",
			row->state == AGENT_LOGGED_IN
				? "its token is not in its file yet"
				: "it has no token that works",
			doctor_time(d->a, row->since_ms),
			row->error ? ": " : "", row->error ? row->error : ""),
		"it can neither read nor write until it has a new one",
		d->serving
			? arena_printf(d->a,
				  "`muster journal` says what is in the way; "
				  "it is tried again by itself, and at once "
				  "with `muster retry %s`",
				  row->user_id)
			: "`muster serve` gives it a new one");
}

/* The service asks about them all the time, and says with the agent what it was
 * told. */
static void check_without(struct doctor *d, struct patient *p)
{
	const struct store_agent *row = &p->row;
	const int64_t age = d->now_ms - row->since_ms;
	if (patient_is_without(p) && !row->revoke_ms &&
		(row->error || age > d->wait_ms || age < 0))
		find_without(d, p);
}

static void find_dead(
	struct doctor *d, const struct patient *p, const char *what)
{
	doctor_find(d, p->row.user_id, what,
		"it can neither read nor write until it has a new one",
		doctor_verb(d, "rotate", p->row.user_id, " --now"));
}

/* Any failure but RC_REVOKED is that of the homeserver, and the rest is not
 * asked about. */
static enum rc ask(struct doctor *d, struct patient *p, struct err *e)
{
	struct hs_whoami me = { 0 };
	enum rc rc = tokens_whoami(d->app, &p->file, &me, e);
	if (rc == RC_REVOKED)
		find_dead(d, p, "the homeserver does not know its token");
	else if (rc == RC_OK &&
		(!text_eq(me.user_id, p->row.user_id) ||
			!text_eq(me.device_id, d->device)))
		find_dead(d, p,
			arena_printf(d->a,
				"its token is that of %s on the device \"%s\"",
				hs_user_words(
					me.user_id, &p->file.access_token),
				hs_device_words(
					me.device_id, &p->file.access_token)));
	return rc == RC_REVOKED ? RC_OK : rc;
}

static bool has_whole_file(const struct patient *p)
{
	return p->looked && patient_has_file(p) && p->read == RC_OK &&
		!p->wrong;
}

static void ask_all(struct doctor *d)
{
	const int64_t until = clock_mono_ms() + ASK_MS;
	struct err e = { 0 };
	enum rc rc = RC_OK;
	size_t of = 0, asked = 0;
	for (size_t i = 0; i < d->n; i++) {
		struct patient *p = &d->patients[i];
		if (!has_whole_file(p))
			continue;
		of++;
		if (rc == RC_OK && clock_mono_ms() > until)
			rc = err_set(&e, RC_TIMEOUT, "it took longer than %d s",
				ASK_MS / 1000);
		if (rc == RC_OK)
			rc = ask(d, p, &e);
		asked += rc == RC_OK;
	}
	if (asked < of)
		doctor_find(d, d->url,
			arena_printf(d->a,
				"%zu of %zu tokens were not asked about: %s",
				of - asked, of, e.text),
			"whether they work nobody knows",
			"see that the homeserver answers, or let `muster "
			"serve` ask, one by one");
}

void check_tokens(struct doctor *d)
{
	doctor_each(d, check_without);
	/* Of one that does not answer another check tells. */
	if (!d->serving && (d->has & HAS_HOMESERVER))
		ask_all(d);
}

/* --- acknowledgements ------------------------------------------------------------ */

bool ack_is_late(const struct store_agent *row, int64_t wait_ms, int64_t now_ms)
{
	const bool first = row->acked_generation == 0;
	const int64_t most =
		first && wait_ms < ACK_FIRST_MS ? ACK_FIRST_MS : wait_ms;
	return row->declared && row->state == AGENT_HANDED_OFF &&
		row->acked_generation < row->generation &&
		row->written_ms > 0 && now_ms - row->written_ms > most;
}

static void check_ack(struct doctor *d, struct patient *p)
{
	const struct store_agent *row = &p->row;
	if (!ack_is_late(row, d->wait_ms, d->now_ms) || !p->path)
		return;
	const char *path = doctor_quote(d->a, p->path);
	const char *when = doctor_time(d->a, row->written_ms);
	if (row->acked_generation == 0)
		doctor_find(d, row->user_id,
			arena_printf(d->a,
				"nobody runs it: a token is in its file since "
				"%s, and none was ever acknowledged",
				when),
			"it answers nobody",
			arena_printf(d->a,
				"start it: `muster-agent run --runtime %s -- "
				"PROGRAM`",
				path));
	else
		doctor_find(d, row->user_id,
			arena_printf(d->a,
				"it acknowledged generation %lld, and not "
				"%lld, which is in its file since %s",
				(long long)row->acked_generation,
				(long long)row->generation, when),
			"its program may go on with a token that has ended",
			arena_printf(d->a,
				"see that its muster-agent runs and finds %s, "
				"else start it again",
				path));
}

void check_acks(struct doctor *d)
{
	doctor_each(d, check_ack);
}

/* --- what was asked for ------------------------------------------------------------ */

static void check_rotation(struct doctor *d, struct patient *p)
{
	const struct store_rotation *r = &p->row.rotation;
	const bool failed = r->state == ROTATION_UNANSWERED ||
		r->state == ROTATION_STOPPED || r->state == ROTATION_FAILED;
	/* Of one that was not acknowledged another check tells. */
	if (!failed || p->row.state == AGENT_BLOCKED || p->row.revoke_ms)
		return;
	doctor_find(d, p->row.user_id,
		arena_printf(d->a,
			"it was to have a new token, and has its old one (%s "
			"at %s)%s%s",
			rotation_state_name(r->state),
			doctor_time(d->a, r->state_ms), r->error ? ": " : "",
			r->error ? r->error : ""),
		"its token is older than somebody wanted it to be",
		arena_printf(d->a,
			"see that its muster-agent runs; then %s, or with "
			"--now without asking it",
			doctor_verb(d, "rotate", p->row.user_id, "")));
}

void check_rotations(struct doctor *d)
{
	doctor_each(d, check_rotation);
}

static void check_revocation(struct doctor *d, struct patient *p)
{
	const struct store_agent *row = &p->row;
	if (!row->revoke_ms)
		return;
	doctor_find(d, row->user_id,
		arena_printf(d->a,
			"its tokens are to be ended since %s, and are not",
			doctor_time(d->a, row->revoke_ms)),
		"who has one can act as the agent until then",
		d->serving ? "let the homeserver answer: `muster journal` says "
			     "what is in the way; it is tried again by itself"
			   : "`muster serve` ends them");
}

void check_revocations(struct doctor *d)
{
	doctor_each(d, check_revocation);
}
