/*
 * appservice/reconcile/reconcile_priv.h: what the files of the loop share:
 * reconcile.c (the loop), ping.c, aliases.c.
 */
#ifndef APPSERVICE_RECONCILE_RECONCILE_PRIV_H
#define APPSERVICE_RECONCILE_RECONCILE_PRIV_H

#include <pthread.h>
#include <sys/stat.h>

#include "appservice/reconcile/pace.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/tokens/tokens.h"
#include "base/limits.h"

/* So many aliases are looked for at once; who asks for more asks again. */
#define ASKED_ALIASES 8

struct asked_alias {
	char alias[LIMIT_ID + 1];
	unsigned times;
	bool gone; /* it leads nowhere: known since the last look */
};

struct reconcile {
	struct app *app;
	struct hs **clients; /* one a worker */
	size_t n_clients;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool dirty, ended;
	bool doubt; /* something the homeserver said was lost: look soon */
	char ping_txn[24]; /* of the ping that is out; "" none is */
	bool ping_came;    /* it arrived here */
	struct reconcile_state state;
	struct pace direct; /* rooms that were made */
	/* In the order in which they were asked for; the loop takes them out. */
	struct asked_alias asked[ASKED_ALIASES];
	size_t n_asked;

	/* The loop's own. */
	int64_t looked_ms, next_look_ms, next_ping_ms; /* monotonic */
	int64_t next_attempt_ms;                       /* wall */
	bool looked;           /* the first look is over */
	int failures;          /* since a plan was performed to its end */
	int rounds;            /* since the last rest */
	bool tokens_trouble;   /* was there the last time */
	bool rotating;         /* rotations have not ended */
	size_t direct_from;    /* whose turn it is */
	int64_t held_pause_ms; /* between looks at held rooms; 0: none are */
	int64_t next_held_ms;  /* monotonic */
	struct stat registration_seen; /* the file, the last time */
	uint64_t troubles; /* a hash of those that were told of last */
	struct tokens_lost lost;
};

/* Whatever of a text there is room for. */
void reconcile_say(char *to, size_t size, const char *text);

/* Does the homeserver reach us? Asks it, when that is not known and it is time.
 * By the loop's thread. */
void ping_try(struct reconcile *r);

/* Looks where the aliases lead that were asked for, and lets the plan set those
 * that lead nowhere; how many these were. And when that plan was performed: they
 * are asked for no more. By the loop's thread. */
size_t aliases_look(struct reconcile *r);
void aliases_done(struct reconcile *r, size_t n);

#endif
