/*
 * tests/unit/model_perform.c: steps are taken in an order in which the performer
 * could take them: what they need has succeeded, what they come after has
 * ended, those of one lane one after the other; else as it happens.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/model.h"

#include "base/str.h"

#include "base/poison.h"

#define STEPS 512

struct task {
	bool ended, good;
};

struct doing {
	struct world *w;
	const struct plan *p;
	struct task tasks[STEPS];
	int before[STEPS]; /* the step before it in its lane; NOBODY */
	size_t open, open_soon;
};

/* --- the journal ---------------------------------------------------------------- */

static struct tried *tried_of(struct world *w, const struct step *st)
{
	for (size_t i = 0; i < w->n_tried; i++) {
		struct tried *t = &w->tried[i];
		if (t->kind == st->kind && text_eq(t->subject, st->subject) &&
			(st->where ? text_eq(t->where, st->where) : !t->where))
			return t;
	}
	return NULL;
}

static void forget(struct world *w, const struct tried *t)
{
	const int key = company_key(w->company, t->where);
	if (t->unsure && t->kind == STEP_CREATE_ROOM && key != NOBODY)
		w->half_made[key] = true;
	if (t->unsure && t->kind == STEP_REGISTER)
		w->half_known[user_of(t->subject)] = true;
}

/* Rows of steps that are planned no longer go. */
static void journal_sync(struct world *w, const struct plan *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < w->n_tried; i++)
		w->tried[i].planned = false;
	for (size_t i = 0; w->n_tried > 0 && i < p->n; i++) {
		struct tried *t = tried_of(w, &p->steps[i]);
		if (t)
			t->planned = true;
	}
	for (size_t i = 0; i < w->n_tried; i++)
		if (w->tried[i].planned)
			w->tried[kept++] = w->tried[i];
		else
			forget(w, &w->tried[i]);
	w->n_tried = kept;
}

static void journal_done(struct world *w, struct tried *t)
{
	*t = w->tried[--w->n_tried];
}

static const char *lasting(const char *text)
{
	const int room = text && *text == '!' ? room_of_id(text) : NOBODY;
	return room == NOBODY ? text : room_ids[room];
}

static struct tried *journal_row(struct world *w, const struct step *st)
{
	struct tried *t = tried_of(w, st);
	if (t || w->n_tried == TRIED)
		return t;
	t = &w->tried[w->n_tried++];
	*t = (struct tried){ .kind = st->kind,
		.subject = st->subject,
		.where = lasting(st->where) };
	return t;
}

/* --- one step --------------------------------------------------------------------- */

static uint64_t chance_about(
	const struct world *w, const struct step *st, uint64_t more)
{
	uint64_t by = mix(w->c->seed, (uint64_t)st->kind + 100 * more);
	by = mix(by, text_hash(st->subject));
	return mix(by, st->where ? text_hash(st->where) : 0);
}

/* Of what is looked at again. */
static bool may_be_a_lie(const struct world *w, const struct step *st)
{
	return w->lies < 2 &&
		(st->kind == STEP_INVITE || st->kind == STEP_JOIN ||
			st->kind == STEP_KICK ||
			(st->kind == STEP_LEAVE && st->room));
}

static enum fault fault_of(
	const struct world *w, const struct step *st, int attempts)
{
	unsigned at =
		(unsigned)(chance_about(w, st, 1 + (uint64_t)attempts) % 100);
	if (w->round >= w->c->rounds)
		return DONE;
	for (enum fault f = NOT_DONE; f < FAULTS; f++) {
		if (at < w->c->faults[f])
			return f != LIED || may_be_a_lie(w, st) ? f : DONE;
		at -= w->c->faults[f];
	}
	return DONE;
}

static void trace_step(const struct world *w, const struct step *st,
	enum fault fault, bool good)
{
	static const char *const words[] = { "", ": not done", ": no answer",
		": a lie" };
	trace(w, "  %s %s%s%s%s%s%s%s%s", step_kind_name(st->kind), st->subject,
		st->where ? " in " : "", st->where ? st->where : "",
		st->from ? " until now " : "", st->from ? st->from : "",
		st->room_id ? " " : "", st->room_id ? st->room_id : "",
		fault != DONE  ? words[fault]
			: good ? ""
			       : ": failed");
}

static bool do_step(struct world *w, const struct step *st)
{
	struct tried *t = journal_row(w, st);
	bool unsure = t && t->unsure;
	w->fault = fault_of(w, st, t ? t->attempts : 0);
	w->lies += w->fault == LIED;
	const bool good = model_step(w, st, &unsure);
	trace_step(w, st, w->fault, good);
	w->fault = DONE;
	w->progress |= good;
	if (t && good) {
		journal_done(w, t);
	} else if (t) {
		t->unsure = unsure;
		t->attempts++;
	}
	known_deliver(w, false);
	return good;
}

/* --- which is next ------------------------------------------------------------------ */

enum may { WAITS, READY, DROPPED };

static enum may may_begin(const struct doing *d, size_t i)
{
	const struct step *st = &d->p->steps[i];
	bool dropped = false;
	if (d->before[i] != NOBODY && !d->tasks[d->before[i]].ended)
		return WAITS;
	for (size_t k = 0; k < STEP_AFTER; k++)
		if (st->after[k] >= 0 && !d->tasks[st->after[k]].ended)
			return WAITS;
	for (size_t k = 0; k < STEP_NEEDS; k++) {
		if (st->need[k] < 0)
			continue;
		if (!d->tasks[st->need[k]].ended)
			return WAITS;
		dropped |= !d->tasks[st->need[k]].good;
	}
	if (st->last && d->open_soon > 0)
		return WAITS;
	return dropped ? DROPPED : READY;
}

static void end_step(struct doing *d, size_t i, bool good)
{
	d->tasks[i] = (struct task){ .ended = true, .good = good };
	d->open--;
	d->open_soon -= !d->p->steps[i].last;
}

/* One of those that may begin: the first (their order is their priority), or,
 * since several are done at a time, some other. NOBODY: none may. */
static int next_step(struct doing *d)
{
	const struct world *w = d->w;
	const bool first = w->c->seed % 3 == 0;
	uint64_t best = UINT64_MAX;
	int ret = NOBODY;
	for (size_t i = 0; i < d->p->n && !(first && ret != NOBODY); i++) {
		if (d->tasks[i].ended)
			continue;
		const enum may may = may_begin(d, i);
		if (may == DROPPED)
			end_step(d, i, false);
		if (may != READY)
			continue;
		const uint64_t by = chance_about(
			w, &d->p->steps[i], 1000 + (uint64_t)w->round);
		if (ret == NOBODY || by < best) {
			best = by;
			ret = (int)i;
		}
	}
	return ret;
}

/* Something pressed, or the service ended, after so many steps. */
static size_t most_steps(const struct world *w)
{
	const uint64_t by = mix(w->c->seed, 4242 + (uint64_t)w->round);
	return w->round < w->c->rounds && by % 4 == 0 ? by / 4 % 8 : SIZE_MAX;
}

void model_perform(struct world *w, const struct plan *p)
{
	struct doing d = { .w = w, .p = p, .open = p->n };
	int lanes[STEPS];
	if (p->n > STEPS || p->lanes > STEPS) {
		wrong(w, "a plan of %zu steps", p->n);
		return;
	}
	journal_sync(w, p);
	for (int i = 0; i < p->lanes; i++)
		lanes[i] = NOBODY;
	for (size_t i = 0; i < p->n; i++) {
		d.before[i] = lanes[p->steps[i].lane];
		lanes[p->steps[i].lane] = (int)i;
		d.open_soon += !p->steps[i].last;
	}
	for (size_t most = most_steps(w); most > 0 && d.open > 0; most--) {
		const size_t open = d.open;
		const int i = next_step(&d);
		if (i == NOBODY && d.open == open) {
			wrong(w, "no step of the plan can be begun");
			return;
		}
		if (i == NOBODY)
			continue;
		end_step(&d, (size_t)i, do_step(w, &p->steps[i]));
		if (w->wrong[0])
			return;
	}
}
