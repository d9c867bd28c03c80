/*
 * A verb that is asked to end: what is begun is finished or taken back, and
 * nothing else is begun; asked twice, it ends at once.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "appservice/ops/verbs.h"

#include "base/poison.h"

static const char *told;

static void on_signal(int sig)
{
	const int saved = errno;
	(void)sig;
	if (atomic_exchange(&app_stop, true)) {
		atomic_store(&app_abort, true);
		return;
	}
	ssize_t done = write(STDERR_FILENO, told, strlen(told));
	(void)done;
	errno = saved;
}

void cli_catch_signals(const char *words)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	const struct sigaction act = { .sa_handler = on_signal };
	told = words;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		struct sigaction was;
		sigaction(ending[i], NULL, &was);
		if (was.sa_handler != SIG_IGN) /* nohup */
			sigaction(ending[i], &act, NULL);
	}
}
