/*
 * How far a new token is, for people: see rotation_words.h.
 */
#include "appservice/ops/rotation_words.h"
#include "base/str.h"

#include "base/poison.h"

static const char *const words[ROTATION_STATES] = {
	[ROTATION_NONE] = "not asked for",
	[ROTATION_WAITING] = "waiting for its turn",
	[ROTATION_ASKED] = "asked to pause",
	[ROTATION_CLEAR] = "logging in",
	[ROTATION_ISSUED] = "waiting for its acknowledgement",
	[ROTATION_DONE] = "done",
	[ROTATION_UNANSWERED] = "did not pause",
	[ROTATION_UNACKNOWLEDGED] = "did not acknowledge",
	[ROTATION_STOPPED] = "not begun",
	[ROTATION_FAILED] = "failed",
};

const char *rotation_words(enum rotation_state st)
{
	return st < ROTATION_STATES ? words[st] : "unknown";
}

/* ROTATION_STATES: none of them. */
static enum rotation_state state_of(const char *name)
{
	enum rotation_state st = ROTATION_NONE;
	while (st < ROTATION_STATES && !text_eq(name, rotation_state_name(st)))
		st++;
	return st;
}

const char *rotation_words_of(const char *name)
{
	const enum rotation_state st = state_of(name);
	return st < ROTATION_STATES ? words[st] : name;
}

bool rotation_is_over(const char *name)
{
	const enum rotation_state st = state_of(name);
	return st >= ROTATION_DONE && st < ROTATION_STATES;
}
