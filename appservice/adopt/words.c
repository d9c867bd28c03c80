/*
 * What was found, and what has become of it, for people and for programs.
 */
#include "appservice/adopt/adopt_priv.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

static const struct {
	const char *word, *words;
} agent_is[] = {
#define X(name, word, words) { word, words },
	ADOPT_AGENT_TABLE(X)
#undef X
};

static const char *const room_is[] = {
#define X(name, word) word,
	ADOPT_ROOM_TABLE(X)
#undef X
};

/* --- agents ----------------------------------------------------------------- */

static const char *what_to_do(const struct adopt_agent *agent, struct arena *a)
{
	const char *name = agent->person->localpart;
	switch (agent->is) {
	case ADOPT_AGENT_ADMIN:
		return arena_printf(a,
			": left alone, since its token would administer the "
			"homeserver: let it leave the admin room once another "
			"is in there, or run `muster adopt %s`",
			name);
	case ADOPT_AGENT_STRANGER:
		return arena_printf(a,
			": left alone; if it is the fleet's all the same, run "
			"`muster adopt %s`",
			name);
	case ADOPT_AGENT_REVOKED:
		return arena_printf(a,
			": `muster serve`, then `muster rotate %s` gives it a "
			"new one",
			name);
	case ADOPT_AGENT_OUTSIDE:
		return ": run `muster registration`, then `muster register`";
	case ADOPT_AGENT_ABSENT:
		return ": `muster serve` makes it";
	case ADOPT_AGENT_OURS:
		return "";
	default:
		return ": not named, left alone";
	}
}

/* What it had before, and of which is kept what stands behind. */
static const char *counts(const struct adopt_agent *agent, struct arena *a)
{
	return arena_printf(a, "%zu session%s, %zu room%s", agent->devices,
		agent->devices == 1 ? "" : "s", agent->rooms.n,
		agent->rooms.n == 1 ? "" : "s");
}

static const char *what_became(const struct adopt_agent *agent, struct arena *a)
{
	if (agent->why)
		return arena_printf(a, "%s: %s",
			agent->taken ? "is ours now, but"
				     : "could not be taken",
			agent->why);
	if (!agent->taken)
		return arena_printf(a, "%s (%s): to be taken over",
			agent_is[agent->is].words, counts(agent, a));
	return arena_printf(a, "is ours now (%s): %s%s", counts(agent, a),
		agent->handed_off ? "its new token is in the runtime directory"
				  : "`muster serve` gives it a token",
		agent->others.n == 0
			? ""
			: arena_printf(a, "; %zu room%s that nothing declares",
				  agent->others.n,
				  agent->others.n == 1 ? "" : "s"));
}

static const char *agent_words(const struct adopt_agent *agent, struct arena *a)
{
	return agent->take ? what_became(agent, a)
			   : arena_printf(a, "%s%s", agent_is[agent->is].words,
				     what_to_do(agent, a));
}

/* --- rooms ------------------------------------------------------------------ */

static const char *open_words(const struct adopt_room *r, struct arena *a)
{
	const char *gives = r->done ? "gave" : "gives";
	switch (r->is) {
	case ADOPT_ROOM_READY:
		return "our user has power in it";
	case ADOPT_ROOM_ADMIN:
		return arena_printf(
			a, "%s %s power, as an administrator", r->by, gives);
	default:
		return arena_printf(a, "%s %s power", r->by, gives);
	}
}

static const char *absent_words(const struct adopt_room *r, struct arena *a)
{
	return arena_printf(a,
		"; %zu of its %zu member%s %s not in it: `muster serve` sees "
		"to that",
		r->absent, r->room->n_members,
		r->room->n_members == 1 ? "" : "s",
		r->absent == 1 ? "is" : "are");
}

/* What of it is not as it was, and what is still to come. */
static const char *changes(const struct adopt_room *r, struct arena *a)
{
	return arena_printf(a, "%s%s%s%s",
		r->is == ADOPT_ROOM_ADMIN && r->unseen
			? "; no agent of ours is in it: is it the fleet's?"
			: "",
		r->closed ? "; only who is asked in comes in from now on" : "",
		r->unlisted ? "; no longer in the public list of rooms" : "",
		r->absent == 0 ? "" : absent_words(r, a));
}

static const char *room_words(const struct adopt_room *r, struct arena *a)
{
	switch (r->is) {
	case ADOPT_ROOM_NONE:
		return "not there yet: `muster serve` makes it";
	case ADOPT_ROOM_OURS:
		return "ours already";
	case ADOPT_ROOM_MISSING:
		return arena_printf(a, "left alone: %s", r->why);
	default:
		break;
	}
	const char *how = open_words(r, a);
	if (r->why)
		return arena_printf(a, "%s (%s): %s",
			r->done ? "is ours now, but" : "could not be taken up",
			how, r->why);
	return arena_printf(a, "%s: %s%s",
		r->done ? "is ours now" : "to be taken up", how, changes(r, a));
}

/* --- direct rooms ----------------------------------------------------------- */

static void tell_direct(const struct adopt *ad,
	void (*say)(void *arg, const char *line), void *arg)
{
	const size_t declared = ad->app->fleet.n_direct;
	struct arena a = { 0 };
	bool waits = false;
	for (size_t i = 0; i < ad->n_agents; i++)
		waits = waits || (ad->agents[i].take && !ad->agents[i].taken);
	const char *others = waits
		? "; others are looked for in each account that is taken over"
		: "; the others are for `muster serve`";
	const char *line = arena_printf(&a,
		"  direct rooms  %zu of %zu are ours%s", ad->direct, declared,
		ad->direct < declared ? others : "");
	if (declared > 0)
		say(arg, line ? line : "out of memory");
	arena_free(&a);
}

/* --- what nothing declares -------------------------------------------------- */

/* Has one of the first n agents told of it? */
static bool is_told(const struct adopt *ad, size_t n, const char *room_id)
{
	for (size_t i = 0; i < n; i++)
		if (adopt_contains(&ad->agents[i].others, room_id))
			return true;
	return false;
}

static const char *other_words(const struct adopt *ad, size_t first,
	const char *room_id, struct arena *a)
{
	size_t more = 0;
	for (size_t i = first + 1; i < ad->n_agents; i++)
		more += adopt_contains(&ad->agents[i].others, room_id);
	const char *who = ad->agents[first].person->user_id;
	return more == 0
		? arena_printf(a,
			  "  %s  nothing declares it: left as it is, with %s "
			  "in "
			  "it",
			  room_id, who)
		: arena_printf(a,
			  "  %s  nothing declares it: left as it is, with %s "
			  "and %zu more agent%s in it",
			  room_id, who, more, more == 1 ? "" : "s");
}

/* Once each, however many are in it. */
static void tell_others(const struct adopt *ad,
	void (*say)(void *arg, const char *line), void *arg)
{
	struct arena a = { 0 };
	for (size_t i = 0; i < ad->n_agents; i++) {
		const struct hs_ids *others = &ad->agents[i].others;
		for (size_t k = 0; k < others->n; k++) {
			if (is_told(ad, i, others->ids[k]))
				continue;
			const char *line =
				other_words(ad, i, others->ids[k], &a);
			say(arg, line ? line : "out of memory");
		}
	}
	arena_free(&a);
}

/* --- all of it -------------------------------------------------------------- */

static void tell_passwords(const struct adopt *ad,
	void (*say)(void *arg, const char *line), void *arg)
{
	struct arena a = { 0 };
	size_t n = 0;
	for (size_t i = 0; i < ad->n_agents; i++)
		n += ad->agents[i].taken && ad->agents[i].password;
	const char *line = n == 0
		? NULL
		: arena_printf(&a,
			  "the old passwords of %zu agent%s may still work on "
			  "this homeserver: have an administrator change them, "
			  "or run `muster adopt --owner` with one the next "
			  "time",
			  n, n == 1 ? "" : "s");
	if (line)
		say(arg, line);
	arena_free(&a);
}

void adopt_tell(const struct adopt *ad,
	void (*say)(void *arg, const char *line), void *arg)
{
	struct arena a = { 0 };
	for (size_t i = 0; i < ad->n_agents; i++) {
		const struct adopt_agent *agent = &ad->agents[i];
		const char *line = arena_printf(&a, "  %s  %s",
			agent->person->user_id, agent_words(agent, &a));
		say(arg, line ? line : "out of memory");
	}
	for (size_t i = 0; i < ad->n_rooms; i++) {
		const struct adopt_room *r = &ad->rooms[i];
		const char *line = arena_printf(
			&a, "  %s  %s", r->room->key, room_words(r, &a));
		say(arg, line ? line : "out of memory");
	}
	arena_free(&a);
	tell_direct(ad, say, arg);
	tell_others(ad, say, arg);
	tell_passwords(ad, say, arg);
}

static void write_agent(const struct adopt_agent *agent, struct jb *b)
{
	struct arena a = { 0 };
	jb_obj(b, NULL);
	jb_str(b, "user_id", agent->person->user_id);
	jb_str(b, "is", agent_is[agent->is].word);
	jb_bool(b, "take", agent->take);
	jb_bool(b, "taken", agent->taken);
	jb_bool(b, "handed_off", agent->handed_off);
	jb_int(b, "sessions", (int64_t)agent->devices);
	jb_int(b, "rooms", (int64_t)agent->rooms.n);
	jb_arr(b, "others");
	for (size_t i = 0; i < agent->others.n; i++)
		jb_str(b, NULL, agent->others.ids[i]);
	jb_end_arr(b);
	jb_bool(b, "old_password", agent->taken && agent->password);
	jb_str(b, "text", agent_words(agent, &a));
	jb_end_obj(b);
	arena_free(&a);
}

static void write_room(const struct adopt_room *r, struct jb *b)
{
	struct arena a = { 0 };
	jb_obj(b, NULL);
	jb_str(b, "alias", r->room->key);
	jb_str(b, "room_id", r->room_id);
	jb_str(b, "is", room_is[r->is]);
	jb_str(b, "by", r->by);
	jb_bool(b, "taken", r->done);
	jb_bool(b, "unlisted", r->unlisted);
	jb_bool(b, "closed", r->closed);
	jb_int(b, "absent", (int64_t)r->absent);
	jb_str(b, "text", room_words(r, &a));
	jb_end_obj(b);
	arena_free(&a);
}

void adopt_write_json(const struct adopt *ad, bool dry_run, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_bool(&b, "dry_run", dry_run);
	jb_arr(&b, "agents");
	for (size_t i = 0; i < ad->n_agents; i++)
		write_agent(&ad->agents[i], &b);
	jb_end_arr(&b);
	jb_arr(&b, "rooms");
	for (size_t i = 0; i < ad->n_rooms; i++)
		write_room(&ad->rooms[i], &b);
	jb_end_arr(&b);
	jb_int(&b, "direct_rooms", (int64_t)ad->direct);
	jb_int(&b, "open", (int64_t)adopt_open(ad));
	jb_int(&b, "left", (int64_t)adopt_left(ad));
	jb_end_obj(&b);
}
