/*
 * Cuts off connections whose time is over, and counts running requests. One
 * thread sleeps until the next deadline; without connections it sleeps until
 * one comes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "appservice/http_server_priv.h"
#include "base/clock.h"
#include "base/poison.h"

#define NEVER INT64_MAX

struct watched {
	struct watched *next, **link;
	int fd;
	int64_t deadline_ms; /* monotonic */
};

/* Waits for a change, at most until the moment given. */
static void wait_until(struct watch *w, int64_t mono_ms)
{
	struct timespec at = {
		.tv_sec = (time_t)(mono_ms / 1000),
		.tv_nsec = (long)(mono_ms % 1000) * 1000000,
	};

	if (mono_ms == NEVER)
		pthread_cond_wait(&w->changed, &w->lock);
	else
		pthread_cond_timedwait(&w->changed, &w->lock, &at);
}

/* Cuts off those whose time is over; the next moment to look. */
static int64_t cut_off(struct watch *w)
{
	int64_t now = clock_mono_ms(), next = NEVER;

	for (struct watched *c = w->connections; c; c = c->next) {
		if (c->deadline_ms <= now) {
			/* The library sees the end of the connection and
			 * closes it. */
			shutdown(c->fd, SHUT_RDWR);
			c->deadline_ms = NEVER;
		}
		if (c->deadline_ms < next)
			next = c->deadline_ms;
	}
	return next;
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		w->wake_ms = cut_off(w);
		wait_until(w, w->wake_ms);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* With the lock held. The thread is woken only when it would look too late,
 * which is rare: most deadlines move on before they come. */
static void set_deadline(struct watch *w, struct watched *c, int64_t mono_ms)
{
	c->deadline_ms = mono_ms;
	if (mono_ms < w->wake_ms)
		pthread_cond_broadcast(&w->changed);
}

static void renew_deadline(struct watch *w, struct watched *c)
{
	set_deadline(w, c, clock_mono_ms() + w->deadline_ms);
}

static int init_condition(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int error = pthread_condattr_init(&attr);

	if (error)
		return error;
	error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (!error)
		error = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return error;
}

static enum rc start_failed(struct err *e, int error)
{
	return err_set(e, RC_IO, "starting a thread: %s", strerror(error));
}

enum rc watch_start(struct watch *w, int64_t deadline_ms, struct err *e)
{
	int error;

	*w = (struct watch){ .deadline_ms = deadline_ms };
	error = pthread_mutex_init(&w->lock, NULL);
	if (error)
		return start_failed(e, error);
	error = init_condition(&w->changed);
	if (error) {
		pthread_mutex_destroy(&w->lock);
		return start_failed(e, error);
	}
	error = pthread_create(&w->thread, NULL, watch_main, w);
	if (error) {
		pthread_cond_destroy(&w->changed);
		pthread_mutex_destroy(&w->lock);
		return start_failed(e, error);
	}
	w->running = true;
	return RC_OK;
}

struct watched *watch_open(struct watch *w, int fd)
{
	struct watched *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	pthread_mutex_lock(&w->lock);
	c->next = w->connections;
	c->link = &w->connections;
	if (c->next)
		c->next->link = &c->next;
	w->connections = c;
	renew_deadline(w, c);
	pthread_mutex_unlock(&w->lock);
	return c;
}

void watch_close(struct watch *w, struct watched *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&w->lock);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	pthread_mutex_unlock(&w->lock);
	free(c);
}

bool watch_begin(struct watch *w, struct watched *c)
{
	bool taken;

	pthread_mutex_lock(&w->lock);
	renew_deadline(w, c);
	taken = !w->stopping;
	if (taken)
		w->active++;
	pthread_mutex_unlock(&w->lock);
	return taken;
}

void watch_handler(struct watch *w, struct watched *c, bool in)
{
	pthread_mutex_lock(&w->lock);
	if (in)
		set_deadline(w, c, NEVER);
	else
		renew_deadline(w, c);
	pthread_mutex_unlock(&w->lock);
}

void watch_end(struct watch *w, struct watched *c)
{
	pthread_mutex_lock(&w->lock);
	renew_deadline(w, c);
	w->active--;
	if (!w->active && w->stopping)
		pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void watch_drain(struct watch *w, int64_t wait_ms)
{
	int64_t until = clock_mono_ms() + wait_ms;

	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	while (w->active && clock_mono_ms() < until)
		wait_until(w, until);
	pthread_mutex_unlock(&w->lock);
}

void watch_finish(struct watch *w)
{
	if (!w->running)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	w->running = false;
}
