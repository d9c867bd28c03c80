/*
 * Signals in two phases. While we wait for the hand-off, those that end a
 * process raise the stop flag and the others stay pending. Once the program is
 * to start, all are blocked, in every thread, and are read one by one.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent.h"

#include "base/poison.h"

static const int ending[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
static const int others[] = { SIGUSR1, SIGUSR2, SIGWINCH };

atomic_bool agent_stop;
static atomic_int caught;
static sigset_t found_mask; /* as we were started */
static struct sigaction found_pipe;

static void on_ending(int sig)
{
	atomic_store(&caught, sig);
	atomic_store(&agent_stop, true);
}

static void held_set(sigset_t *set, bool all)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		sigaddset(set, others[i]);
	for (size_t i = 0; all && i < ARRAY_LEN(ending); i++)
		sigaddset(set, ending[i]);
}

void signals_catch(void)
{
	sigset_t held;
	held_set(&held, false);
	pthread_sigmask(SIG_BLOCK, &held, &found_mask);

	/* Ignored children would be buried without us hearing of it. */
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigaction(SIGCHLD, &act, NULL);
	act.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &act, &found_pipe);

	act.sa_handler = on_ending;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		struct sigaction old;
		sigaction(ending[i], NULL, &old);
		if (old.sa_handler != SIG_IGN) /* nohup */
			sigaction(ending[i], &act, NULL);
	}
}

int signals_caught(void)
{
	return atomic_load(&caught);
}

bool signals_hold(int *ret_fd)
{
	sigset_t held;
	held_set(&held, true);
	pthread_sigmask(SIG_BLOCK, &held, NULL);
	int fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return false;
	*ret_fd = fd;
	return true;
}

int signals_next(int fd, bool *from_terminal)
{
	struct signalfd_siginfo info;
	ssize_t n;
	do
		n = read(fd, &info, sizeof(info));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(info))
		return 0;
	*from_terminal = info.ssi_code == SI_KERNEL;
	return (int)info.ssi_signo;
}

bool signals_is_end(int sig)
{
	return sig == SIGTERM || sig == SIGINT || sig == SIGQUIT;
}

void signals_restore(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		struct sigaction act;
		sigaction(ending[i], NULL, &act);
		if (act.sa_handler == on_ending)
			signal(ending[i], SIG_DFL);
	}
	sigaction(SIGPIPE, &found_pipe, NULL);
	pthread_sigmask(SIG_SETMASK, &found_mask, NULL);
}
