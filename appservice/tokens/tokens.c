/*
 * Tokens that are between their login and their file. Few at any time, so a
 * list is enough. And whether there are logins to be had.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* A homeserver that gives no logins is another one before it gives some. */
#define NO_LOGINS_MS 3600000

struct held {
	struct held *next;
	char *user_id;
	int64_t generation;
	struct secret token;
};

/* Who was asked what, and until when it may answer (boot time). */
struct asked {
	struct asked *next;
	enum question what;
	int64_t generation, until_ms, wait_ms;
	char user_id[];
};

struct tokens {
	pthread_mutex_t lock;
	struct held *first;
	struct asked *asked;
	/* The loop's own. */
	int64_t due_ms, check_ms; /* monotonic */
	size_t turn;
	char checked[TOKENS_USER_MAX];

	/* Held while one asks: the others wait for its answer. */
	pthread_mutex_t asking;
	bool logins;           /* are given */
	int64_t none_until_ms; /* monotonic */
	struct err none_why;

	char *root;      /* NULL: not looked at yet */
	uint64_t device; /* that it is on */
};

struct tokens *tokens_new(void)
{
	struct tokens *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->asking, NULL);
	return t;
}

/* The lock is held. */
static struct asked *unlink_asked(struct tokens *t, const char *user_id)
{
	for (struct asked **at = &t->asked; *at; at = &(*at)->next) {
		struct asked *a = *at;
		if (!text_eq(a->user_id, user_id))
			continue;
		*at = a->next;
		return a;
	}
	return NULL;
}

static void held_free(struct held *h)
{
	secret_fini(&h->token);
	free(h->user_id);
	free(h);
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	while (t->asked)
		free(unlink_asked(t, t->asked->user_id));
	while (t->first) {
		struct held *h = t->first;
		t->first = h->next;
		held_free(h);
	}
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->asking);
	free(t->root);
	free(t);
}

/* Takes a user's token off the list; the lock is held. */
static struct held *unlink_held(struct tokens *t, const char *user_id)
{
	for (struct held **at = &t->first; *at; at = &(*at)->next) {
		struct held *h = *at;
		if (!text_eq(h->user_id, user_id))
			continue;
		*at = h->next;
		return h;
	}
	return NULL;
}

enum rc tokens_keep(struct tokens *t, const char *user_id, int64_t generation,
	const struct secret *token)
{
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return RC_NOMEM;
	h->generation = generation;
	h->user_id = strdup(user_id);
	enum rc rc = h->user_id
		? secret_set(&h->token, secret_bytes(token), token->n)
		: RC_NOMEM;
	if (rc != RC_OK) {
		held_free(h);
		return rc;
	}
	pthread_mutex_lock(&t->lock);
	struct held *old = unlink_held(t, user_id);
	h->next = t->first;
	t->first = h;
	pthread_mutex_unlock(&t->lock);
	if (old)
		held_free(old);
	return RC_OK;
}

bool tokens_take(struct tokens *t, const char *user_id, int64_t *generation,
	struct secret *token)
{
	pthread_mutex_lock(&t->lock);
	struct held *h = unlink_held(t, user_id);
	pthread_mutex_unlock(&t->lock);
	if (!h)
		return false;
	*generation = h->generation;
	*token = h->token;
	h->token = (struct secret){ 0 };
	held_free(h);
	return true;
}

bool tokens_in_hand(struct tokens *t, const char *user_id)
{
	bool found = false;
	pthread_mutex_lock(&t->lock);
	for (struct held *h = t->first; h && !found; h = h->next)
		found = text_eq(h->user_id, user_id);
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* --- who was asked what ----------------------------------------------------- */

enum rc tokens_ask(struct tokens *t, const char *user_id, enum question what,
	int64_t generation, int64_t wait_ms)
{
	const size_t n = strlen(user_id) + 1;
	struct asked *a = malloc(sizeof(*a) + n);
	if (!a)
		return RC_NOMEM;
	a->what = what;
	a->generation = generation;
	a->wait_ms = wait_ms;
	a->until_ms = clock_boot_ms() + wait_ms;
	memcpy(a->user_id, user_id, n);
	pthread_mutex_lock(&t->lock);
	struct asked *old = unlink_asked(t, user_id);
	a->next = t->asked;
	t->asked = a;
	pthread_mutex_unlock(&t->lock);
	free(old);
	return RC_OK;
}

bool tokens_left_ms(struct tokens *t, const char *user_id, enum question what,
	int64_t generation, int64_t *ret, int64_t *ret_wait)
{
	bool found = false;
	pthread_mutex_lock(&t->lock);
	for (struct asked *a = t->asked; a && !found; a = a->next) {
		found = a->what == what && a->generation == generation &&
			text_eq(a->user_id, user_id);
		if (found)
			*ret = a->until_ms - clock_boot_ms();
		if (found && ret_wait)
			*ret_wait = a->wait_ms;
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

bool tokens_due(struct tokens *t, int64_t every_ms)
{
	const int64_t now = clock_mono_ms();
	if (now < t->due_ms)
		return false;
	t->due_ms = now + every_ms;
	return true;
}

bool tokens_check_due(struct tokens *t, int64_t every_ms)
{
	const int64_t now = clock_mono_ms();
	const bool first = t->check_ms == 0;
	if (!first && now < t->check_ms)
		return false;
	t->check_ms = now + every_ms;
	return !first;
}

char *tokens_checked_last(struct tokens *t)
{
	return t->checked;
}

size_t tokens_turn(struct tokens *t, size_t n, size_t many)
{
	const size_t from = n > 0 ? t->turn % n : 0;
	t->turn = from + many;
	return from;
}

/* --- are there logins ------------------------------------------------------- */

/* The lock is held. */
static void there_are_none(struct tokens *t, const struct err *why)
{
	t->logins = false;
	t->none_until_ms = clock_mono_ms() + NO_LOGINS_MS;
	t->none_why = *why;
}

enum rc tokens_may_log_in(struct tokens *t, struct hs *hs, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = RC_OK;

	pthread_mutex_lock(&t->asking);
	if (clock_mono_ms() < t->none_until_ms) {
		why = t->none_why;
		rc = RC_UNSUPPORTED;
	} else if (!t->logins) {
		rc = hs_login_offered(hs, &why);
		t->logins = rc == RC_OK;
		if (rc == RC_UNSUPPORTED)
			there_are_none(t, &why);
	}
	pthread_mutex_unlock(&t->asking);
	return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
}

void tokens_no_logins(struct tokens *t, const struct err *why)
{
	pthread_mutex_lock(&t->asking);
	there_are_none(t, why);
	pthread_mutex_unlock(&t->asking);
}

void tokens_ask_again(struct tokens *t)
{
	pthread_mutex_lock(&t->asking);
	t->none_until_ms = 0;
	pthread_mutex_unlock(&t->asking);
}

int64_t tokens_no_logins_ms(struct tokens *t)
{
	pthread_mutex_lock(&t->asking);
	int64_t ms = t->none_until_ms - clock_mono_ms();
	pthread_mutex_unlock(&t->asking);
	return ms > 0 ? ms : 0;
}

/* --- the root ------------------------------------------------------------------ */

bool tokens_is_root(struct tokens *t, const char *root, uint64_t device)
{
	pthread_mutex_lock(&t->lock);
	if (!text_eq(t->root, root)) {
		free(t->root);
		t->root = strdup(root);
		t->device = device;
	}
	/* Without memory for its name it cannot be another. */
	const bool is = !t->root || t->device == device;
	pthread_mutex_unlock(&t->lock);
	return is;
}

void tokens_set_root(struct tokens *t, uint64_t device)
{
	pthread_mutex_lock(&t->lock);
	t->device = device;
	pthread_mutex_unlock(&t->lock);
}
