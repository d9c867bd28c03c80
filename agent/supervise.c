/*
 * The main thread while the program runs: it starts and ends processes, hands
 * signals on and buries the dead (as process 1 also strangers), and does what
 * the other thread asks for, one order at a time.
 *
 * The program leads a process group of its own, so that what it has started can
 * be ended with it. Only where we have a terminal's keyboard it stays in ours:
 * ^C and ^Z then reach it as they reach every program.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"

#include "base/poison.h"

#define STOP_MS 10000 /* a program's own, to end; as container engines have */
#define GROUP_MS 50   /* how often we look whether its group is gone */
#define GONE_MS 2000  /* what is killed has gone by then, or is stuck */

enum order_kind { ORDER_STOP, ORDER_START, ORDER_SIGNAL, ORDER_COMMAND };

/* What is asked for; lies on the other thread's stack. */
struct order {
	enum order_kind kind;
	char **env;
	const char *command;
	int signal;
	int64_t limit_ms;
	enum rc rc;
	int status; /* of the command */
	bool done;
};

struct supervise {
	const struct agent *a;
	int signals, wake; /* descriptors */
	bool terminal;     /* is ours */

	pthread_mutex_t lock;
	pthread_cond_t change;
	struct order *next; /* under the lock; NULL: none */
	bool over;          /* under the lock: none is taken any more */

	/* The main thread's. */
	struct order *now;
	pid_t program; /* 0: none runs */
	pid_t group;   /* of the program that is being ended */
	pid_t hook;
	int64_t by_ms; /* what is to end has to by then; 0: nothing is to */
	bool killed;   /* it did not */
	bool told;     /* the group, that it is to end */
	bool ending;   /* somebody wants it to: it is not started again */
	int status;    /* of the program's end */
};

/* --- the other thread ------------------------------------------------------ */

/* Has the order done; its result. */
static enum rc ask(struct supervise *s, struct order *o)
{
	pthread_mutex_lock(&s->lock);
	if (s->over) {
		pthread_mutex_unlock(&s->lock);
		return RC_STOPPING;
	}
	s->next = o;
	uint64_t one = 1;
	ssize_t n = write(s->wake, &one, sizeof(one));
	(void)n;
	while (!o->done)
		pthread_cond_wait(&s->change, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return o->rc;
}

enum rc supervise_stop(struct supervise *s)
{
	struct order o = { .kind = ORDER_STOP };
	return ask(s, &o);
}

enum rc supervise_start(struct supervise *s, char **env)
{
	struct order o = { .kind = ORDER_START, .env = env };
	return ask(s, &o);
}

enum rc supervise_signal(struct supervise *s, int sig)
{
	struct order o = { .kind = ORDER_SIGNAL, .signal = sig };
	return ask(s, &o);
}

enum rc supervise_command(struct supervise *s, const char *what,
	const char *command, char **env, int64_t limit_ms, struct err *e)
{
	struct order o = { .kind = ORDER_COMMAND,
		.command = command,
		.env = env,
		.limit_ms = limit_ms };
	enum rc rc = ask(s, &o);
	if (rc == RC_TIMEOUT)
		return err_set(e, rc,
			"%s: did not end within %g s and was killed", what,
			(double)limit_ms / 1000);
	if (rc != RC_OK)
		return err_set(e, rc, "%s: could not be started", what);
	if (o.status == 0)
		return RC_OK;
	return err_set(e, RC_IO, "%s: ended with status %d", what, o.status);
}

/* --- the main thread ------------------------------------------------------- */

static void answer(struct supervise *s, enum rc rc, int status)
{
	struct order *o = s->now;
	s->now = NULL;
	if (!o)
		return;
	pthread_mutex_lock(&s->lock);
	o->rc = rc;
	o->status = status;
	o->done = true;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
}

static int start_program(struct supervise *s, char **env)
{
	const struct child c = {
		.argv = s->a->o.program, .env = env, .group = !s->terminal
	};
	return child_start(&c, &s->program);
}

static bool stopping(const struct supervise *s)
{
	return s->now && s->now->kind == ORDER_STOP;
}

static void begin_stop(struct supervise *s)
{
	if (!s->program) {
		answer(s, RC_OK, 0);
		return;
	}
	s->group = s->program;
	s->killed = s->told = false;
	s->by_ms = clock_mono_ms() + STOP_MS;
	kill(s->program, SIGTERM);
	kill(s->program, SIGCONT); /* a stopped one has no ear for it */
}

static void begin_command(struct supervise *s)
{
	char pid[48];
	snprintf(pid, sizeof(pid), "MUSTER_PROGRAM_PID=%ld", (long)s->program);
	size_t n = 0;
	while (s->now->env[n])
		n++;
	char **env = calloc(n + 2, sizeof(*env));
	if (!env) {
		answer(s, RC_NOMEM, 0);
		return;
	}
	memcpy(env, s->now->env, n * sizeof(*env));
	env[n] = pid;
	char sh[] = "/bin/sh", option[] = "-c";
	char *command = strdup(s->now->command);
	char *argv[] = { sh, option, command, NULL };
	const struct child c = {
		.argv = argv, .env = env, .group = true, .hook = true
	};
	int status = command ? child_start(&c, &s->hook) : EXIT_OURS;
	free(command);
	free(env);
	if (status != 0) {
		answer(s, RC_IO, status);
		return;
	}
	s->killed = false;
	s->by_ms = clock_mono_ms() + s->now->limit_ms;
}

/* Begins what is asked for, and ends it where that is all; what to exit with
 * when that is our end. */
static int begin(struct supervise *s)
{
	int status = 0;
	switch (s->now->kind) {
	case ORDER_STOP:
		begin_stop(s);
		break;
	case ORDER_SIGNAL:
		if (s->program)
			kill(s->program, s->now->signal);
		answer(s, RC_OK, 0);
		break;
	case ORDER_COMMAND:
		begin_command(s);
		break;
	case ORDER_START:
		status = start_program(s, s->now->env);
		answer(s, status == 0 ? RC_OK : RC_STOPPING, 0);
		break;
	}
	return status;
}

static struct order *take_order(struct supervise *s)
{
	uint64_t count;
	ssize_t n = read(s->wake, &count, sizeof(count));
	(void)n;
	pthread_mutex_lock(&s->lock);
	struct order *o = s->next;
	s->next = NULL;
	pthread_mutex_unlock(&s->lock);
	return o;
}

/* When nothing is under way. False: that could not be begun, and we end. */
static bool begin_next(struct supervise *s)
{
	if (s->now)
		return true;
	s->now = take_order(s);
	int status = s->now ? begin(s) : 0;
	if (status != 0)
		s->status = status;
	return status == 0;
}

/* The terminal sends to the whole group: the program has it already. While it
 * is down for another start, only what would have ended it counts. */
static void hand_on(struct supervise *s, int sig, bool from_terminal)
{
	if (signals_is_end(sig))
		s->ending = true;
	if (!s->program || (s->terminal && from_terminal))
		return;
	kill(s->program, sig);
	/* Paused as it may be, it is not to sleep through its end. */
	if (signals_is_end(sig))
		kill(s->program, SIGCONT);
}

/* What a dead child was to us; true when it was the program, and not because of
 * us. */
static bool buried(struct supervise *s, pid_t pid, int status)
{
	if (pid == s->hook) {
		s->hook = 0;
		s->by_ms = 0;
		answer(s, s->killed ? RC_TIMEOUT : RC_OK, child_status(status));
	}
	if (pid != s->program)
		return false;
	s->program = 0;
	s->status = child_status(status);
	return !stopping(s);
}

/* Buries every dead child; true when the program ended by itself. */
static bool bury(struct supervise *s)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return false;
		if (buried(s, pid, status))
			return true;
	}
}

/* What signals are there; true when the program ended by itself. */
static bool take_signals(struct supervise *s)
{
	bool from_terminal = false, dead = false;
	int sig;
	while ((sig = signals_next(s->signals, &from_terminal)) != 0) {
		if (sig == SIGCHLD)
			dead = true;
		else
			hand_on(s, sig, from_terminal);
	}
	return dead && bury(s);
}

/* The program is gone; what it had started has to go, too. */
static void end_group(struct supervise *s)
{
	bool left = s->group && !s->terminal && kill(-s->group, 0) == 0;
	if (left && !s->ending) {
		if (!s->told && !s->killed)
			kill(-s->group, SIGTERM);
		s->told = true;
		return;
	}
	s->group = 0;
	s->by_ms = 0;
	answer(s, RC_OK, 0);
}

/* What has to have ended by now is killed; and let be when that is no use. */
static void lose_patience(struct supervise *s)
{
	if (s->by_ms == 0 || clock_mono_ms() < s->by_ms)
		return;
	bool before = s->killed;
	s->by_ms = 0;
	s->killed = true;
	if (s->hook) {
		kill(-s->hook, SIGKILL);
		return;
	}
	if (before) {
		s->group = 0;
		return;
	}
	say("the program did not end within %d s: killed", STOP_MS / 1000);
	s->by_ms = clock_mono_ms() + GONE_MS;
	if (s->program)
		kill(s->program, SIGKILL);
	if (s->group && !s->terminal)
		kill(-s->group, SIGKILL);
}

/* How long nothing may happen, for poll(). */
static int patience(const struct supervise *s)
{
	if (stopping(s) && !s->program)
		return GROUP_MS;
	if (s->by_ms == 0)
		return -1;
	int64_t left = s->by_ms - clock_mono_ms();
	return left > 0 ? (int)left : 0;
}

/* Nothing is done any more: says so to whoever asks. */
static void close_shop(struct supervise *s)
{
	if (s->hook) {
		kill(-s->hook, SIGKILL);
		while (waitpid(s->hook, NULL, 0) < 0 && errno == EINTR)
			;
		s->hook = 0;
	}
	answer(s, RC_STOPPING, 0);
	pthread_mutex_lock(&s->lock);
	s->over = true;
	s->now = s->next;
	s->next = NULL;
	pthread_mutex_unlock(&s->lock);
	answer(s, RC_STOPPING, 0);
}

/* One step; false: it is over, and s->status is what to exit with. */
static bool step(struct supervise *s)
{
	struct pollfd fds[] = { { .fd = s->signals, .events = POLLIN },
		{ .fd = s->wake, .events = POLLIN } };
	(void)poll(fds, ARRAY_LEN(fds), patience(s));
	/* Before an order is begun: a program that has ended by itself is not
	 * one that we end. */
	if (take_signals(s))
		return false;
	lose_patience(s);
	if (stopping(s) && !s->program)
		end_group(s);
	if (s->ending && !s->program && !stopping(s))
		return false;
	return begin_next(s);
}

int supervise_loop(struct supervise *s)
{
	while (step(s))
		;
	close_shop(s);
	return s->status;
}

/* Whether what is typed comes to us. */
static bool at_keyboard(void)
{
	int fd = STDIN_FILENO;
	return isatty(fd) && tcgetpgrp(fd) == getpgrp();
}

void supervise_free(struct supervise *s)
{
	if (!s)
		return;
	if (s->signals >= 0)
		close(s->signals);
	if (s->wake >= 0)
		close(s->wake);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct supervise *supervise_new(const struct agent *a)
{
	struct supervise *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->a = a;
	s->signals = -1;
	s->terminal = at_keyboard();
	/* What the program leaves behind comes to us, also where we are not
	 * process 1, or it might stay in its group unburied for ever. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake >= 0 && signals_hold(&s->signals))
		return s;
	supervise_free(s);
	return NULL;
}

int supervise_begin(const struct agent *a, char **env, struct supervise **ret)
{
	struct supervise *s = supervise_new(a);
	if (!s) {
		say("the program cannot be watched over: %s", strerror(errno));
		return EXIT_OURS;
	}
	/* One that came while nothing was held any more would be lost. */
	int status = signals_caught() ? EXIT_SIGNAL + signals_caught()
				      : start_program(s, env);
	if (status == 0)
		*ret = s;
	else
		supervise_free(s);
	return status;
}
