/*
 * tests/unit/model_case.c: random cases, in words, and made smaller.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/model.h"
#include "tests/unit/test.h"

#include "base/str.h"

#include "base/poison.h"

static const char *const what_words[WHAT_ALL] = {
	[GET_IN] = "gets in",
	[GET_INVITED] = "gets invited",
	[GET_OUT] = "gets out",
	[GET_BANNED] = "gets banned",
	[GET_UNBANNED] = "gets unbanned",
	[KNOCK_AT] = "knocks",
	[LOSE_ROOM] = "the room is deleted",
	[LOSE_POWER] = "the sender loses its power",
	[GAIN_POWER] = "the sender gets its power back",
	[UPGRADE] = "the room is upgraded",
	[TAKE_ALIAS] = "the alias is taken",
	[BE_FOREIGN] = "has an account that is not ours",
	[LOSE_STORE] = "the store is lost",
	[CHANGE] = "the company changes",
	[RESTART] = "the service is started again",
	[APPROVE] = "an operator approves",
	[RETRY] = "an operator retries",
	[WANT] = "the direct room is wanted",
	[A_DAY] = "a day goes by",
	[LOOK] = "a look",
};

/* --- making ---------------------------------------------------------------------- */

static void random_happening(
	const struct company *co, struct happening *h, struct chance *by)
{
	*h = (struct happening){ .user = (int)chance_of(by, USERS),
		.by = (int)chance_of(by, 3) ? ZED : (int)chance_of(by, PEOPLE),
		.told = chance_of(by, 4) > 0,
		.more = (int)chance_of(by, 8) };
	if (chance_of(by, 3) && h->user >= SENDER)
		h->user = (int)chance_of(by, PEOPLE);
	if (chance_of(by, 5) == 0)
		h->by = h->user;
	if (co->n_keys > 0)
		snprintf(h->key, sizeof(h->key), "%s",
			co->keys[chance_of(by, (unsigned)co->n_keys)]);
}

static enum what random_before(struct chance *by)
{
	static const enum what some[] = { GET_IN, GET_IN, GET_IN, GET_INVITED,
		GET_OUT, GET_OUT, GET_BANNED, KNOCK_AT, LOSE_ROOM, LOSE_POWER,
		UPGRADE, TAKE_ALIAS, BE_FOREIGN, LOSE_STORE };
	return some[chance_of(by, ARRAY_LEN(some))];
}

static enum what random_later(struct chance *by)
{
	static const enum what some[] = { GET_IN, GET_IN, GET_INVITED, GET_OUT,
		GET_OUT, GET_OUT, GET_OUT, GET_BANNED, GET_UNBANNED, KNOCK_AT,
		LOSE_ROOM, LOSE_POWER, GAIN_POWER, UPGRADE, TAKE_ALIAS, CHANGE,
		CHANGE, CHANGE, CHANGE, CHANGE, CHANGE, RESTART, APPROVE,
		APPROVE, RETRY, WANT, A_DAY, LOOK };
	return some[chance_of(by, ARRAY_LEN(some))];
}

/* Somebody often does the same again. */
static void again(struct model_case *c, struct chance *by)
{
	if (c->n == 0 || c->n == HAPPENINGS || chance_of(by, 4))
		return;
	c->happenings[c->n] = c->happenings[c->n - 1];
	c->happenings[c->n++].round++;
}

void case_make(struct model_case *c, struct company *company, uint64_t seed)
{
	struct chance by = { seed };
	*c = (struct model_case){ .company = company,
		.seed = seed,
		.whole = chance_of(&by, 3) > 0,
		.state = chance_of(&by, 6) == 0,
		.direct = chance_of(&by, 3),
		.direct_most =
			chance_of(&by, 2) ? SIZE_MAX : 1 + chance_of(&by, 4),
		.late = chance_of(&by, 3) * 20,
		.never = chance_of(&by, 3) * 15,
		.rounds = 1 + (int)chance_of(&by, 4) };
	if (chance_of(&by, 2)) {
		c->faults[NOT_DONE] = chance_of(&by, 12);
		c->faults[UNANSWERED] = chance_of(&by, 12);
		c->faults[LIED] = chance_of(&by, 5);
	}
	for (unsigned n = chance_of(&by, 4); n > 0; n--) {
		struct happening *h = &c->happenings[c->n++];
		random_happening(company, h, &by);
		h->what = random_before(&by);
		h->round = -1;
	}
	for (unsigned n = chance_of(&by, 5); n > 0 && c->n < HAPPENINGS; n--) {
		struct happening *h = &c->happenings[c->n++];
		random_happening(company, h, &by);
		h->what = random_later(&by);
		h->round = (int)chance_of(&by, (unsigned)c->rounds);
		again(c, &by);
	}
}

/* --- in words ------------------------------------------------------------------------ */

static void print_happening(const struct happening *h)
{
	const bool of_user = h->what <= KNOCK_AT || h->what == BE_FOREIGN ||
		h->what == RETRY;
	const bool of_room = h->what <= TAKE_ALIAS || h->what == WANT;
	if (h->round < 0)
		print_message("before: ");
	else
		print_message("round %d: ", h->round);
	print_message("%s%s%s%s%s", of_user ? user_ids[h->user] : "",
		of_user ? ": " : "", what_words[h->what], of_room ? ", " : "",
		of_room ? h->key : "");
	if (h->what <= TAKE_ALIAS)
		print_message(" (by %s%s)", user_ids[h->by],
			h->told ? "" : ", and no event says so");
	if (h->what == CHANGE || h->what == UPGRADE || h->what == TAKE_ALIAS ||
		h->what == LOSE_POWER)
		print_message(" (%d)", h->more);
	print_message("\n");
}

void case_print(const struct model_case *c)
{
	static const char *const modes[] = { "eager", "on_demand", "off" };
	company_print(c->company);
	print_message("%s; direct rooms: %s, %zu at a time; of a hundred steps "
		      "%u are not done, %u not answered, %u a lie, of events "
		      "%u late, %u never; %d rounds; seed %llu%s\n",
		c->whole ? "everything was as declared" : "nothing was there",
		modes[c->direct], c->direct_most, c->faults[NOT_DONE],
		c->faults[UNANSWERED], c->faults[LIED], c->late, c->never,
		c->rounds, (unsigned long long)c->seed,
		c->state ? "; with state" : "");
	for (size_t i = 0; i < c->n; i++)
		print_happening(&c->happenings[i]);
}

/* --- smaller --------------------------------------------------------------------------- */

/* Keeps it when it still fails. */
static bool try_case(struct model_case *c, const struct model_case *smaller)
{
	if (!model_run(smaller, false)[0])
		return false;
	*c = *smaller;
	return true;
}

static bool fewer_happenings(struct model_case *c)
{
	bool any = false;
	for (size_t i = 0; i < c->n;) {
		struct model_case s = *c;
		s.n--;
		for (size_t k = i; k < s.n; k++)
			s.happenings[k] = s.happenings[k + 1];
		if (try_case(c, &s))
			any = true;
		else
			i++;
	}
	return any;
}

static bool try_number(struct model_case *c, unsigned *number, unsigned to)
{
	const unsigned was = *number;
	if (was == to)
		return false;
	*number = to;
	if (model_run(c, false)[0])
		return true;
	*number = was;
	return false;
}

static bool fewer_faults(struct model_case *c)
{
	bool any = try_number(c, &c->late, 0);
	any |= try_number(c, &c->never, 0);
	for (enum fault f = NOT_DONE; f < FAULTS; f++)
		any |= try_number(c, &c->faults[f], 0);
	struct model_case s = *c;
	s.state = false;
	any |= c->state && try_case(c, &s);
	s = *c;
	s.direct = DIRECT_OFF;
	any |= c->direct != DIRECT_OFF && try_case(c, &s);
	s = *c;
	s.direct_most = SIZE_MAX;
	any |= c->direct_most != SIZE_MAX && try_case(c, &s);
	s = *c;
	s.whole = true;
	any |= !c->whole && try_case(c, &s);
	for (size_t i = 0; i < c->n; i++) {
		s = *c;
		s.happenings[i].told = true;
		any |= !c->happenings[i].told && try_case(c, &s);
	}
	return any;
}

/* With another company. */
static bool try_company(struct model_case *c, const struct company *smaller)
{
	static struct company places[2];
	struct company *at = c->company == &places[0] ? &places[1] : &places[0];
	*at = *smaller;
	if (!company_load(at))
		return false;
	struct model_case s = *c;
	s.company = at;
	if (!model_run(&s, false)[0]) {
		company_free(at);
		return false;
	}
	if (c->company == &places[0] || c->company == &places[1])
		company_free(c->company);
	*c = s;
	return true;
}

static bool fewer_people(struct model_case *c)
{
	bool any = false;
	for (int u = PEOPLE - 1; u >= 0; u--) {
		struct company s = *c->company;
		bool was = false;
		for (size_t v = 0; v < s.n; v++) {
			was |= s.versions[v].people[u].in;
			s.versions[v].people[u].in = false;
		}
		any |= was && try_company(c, &s);
	}
	return any;
}

static bool fewer_rules(struct model_case *c)
{
	bool any = false;
	for (size_t i = 0; i < RULES; i++) {
		struct company s = *c->company;
		bool was = false;
		for (size_t v = 0; v < s.n; v++) {
			was |= s.versions[v].rules[i].kind != RULE_NONE;
			s.versions[v].rules[i].kind = RULE_NONE;
		}
		any |= was && try_company(c, &s);
	}
	return any;
}

/* Versions that are more like the one before. */
static bool fewer_changes(struct model_case *c)
{
	bool any = false;
	if (c->company->n > 1) {
		struct company s = *c->company;
		s.n--;
		any = try_company(c, &s);
	}
	for (size_t v = 1; v < c->company->n; v++) {
		for (int u = 0; u < PEOPLE; u++) {
			struct company s = *c->company;
			struct spec_person *p = &s.versions[v].people[u];
			if (memcmp(p, &s.versions[v - 1].people[u],
				    sizeof(*p)) == 0)
				continue;
			*p = s.versions[v - 1].people[u];
			any |= try_company(c, &s);
		}
	}
	return any;
}

static bool plainer_rules(struct model_case *c)
{
	bool any = false;
	for (size_t i = 0; i < RULES; i++) {
		struct company s = *c->company;
		bool was = false;
		for (size_t v = 0; v < s.n; v++) {
			struct spec_rule *r = &s.versions[v].rules[i];
			was |= r->strict || r->topic || r->join != JOIN_INVITE;
			*r = (struct spec_rule){ .kind = r->kind };
		}
		any |= was && try_company(c, &s);
	}
	return any;
}

void model_shrink(struct model_case *c)
{
	bool any = true;
	for (int i = 0; i < 8 && any; i++) {
		any = fewer_happenings(c);
		any |= fewer_people(c);
		any |= fewer_rules(c);
		any |= fewer_faults(c);
		any |= plainer_rules(c);
		any |= fewer_changes(c);
	}
}
