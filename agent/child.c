/*
 * A child: started so that "not found" and "cannot be run" are told apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"

#include "base/poison.h"

extern char **environ;

/* A pipe that closes when the program is executed. */
static bool exec_pipe(int fds[2])
{
	if (pipe(fds) != 0)
		return false;
	if (fcntl(fds[0], F_SETFD, FD_CLOEXEC) == 0 &&
		fcntl(fds[1], F_SETFD, FD_CLOEXEC) == 0)
		return true;
	close(fds[0]);
	close(fds[1]);
	return false;
}

/* Nothing to read; and what a hook prints is not the program's output. */
static bool redirect(void)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
		dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

/* In the child: only what is safe after a fork beside another thread. */
__attribute__((noreturn)) static void become(
	const struct child *c, pid_t parent, int report)
{
	if (c->group)
		setpgid(0, 0);
	/* Killed, we cannot tell it to end, and two of it are one too many. */
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != parent)
		_exit(EXIT_SIGNAL + SIGTERM);
	/* A signal that comes from here on is the program's own. */
	signals_restore();
	if (!c->hook || redirect()) {
		environ = c->env;
		execvp(c->argv[0], c->argv);
	}
	int why = errno;
	ssize_t done = write(report, &why, sizeof(why));
	(void)done;
	_exit(EXIT_NO_PROGRAM);
}

/* The reason why the program was not executed; 0: it was. */
static int exec_result(int fd)
{
	int why = 0;
	ssize_t n;
	do
		n = read(fd, &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(why) ? why : 0;
}

static int not_started(const char *name, int why)
{
	if (why == ENOENT) {
		say("%s: not found", name);
		return EXIT_NO_PROGRAM;
	}
	say("%s: could not be started: %s", name, strerror(why));
	return EXIT_NO_START;
}

int child_start(const struct child *c, pid_t *ret)
{
	int fds[2];
	if (!exec_pipe(fds)) {
		say("%s: no pipe: %s", c->argv[0], strerror(errno));
		return EXIT_OURS;
	}
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		become(c, parent, fds[1]);
	int why = errno;
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		say("%s: no process: %s", c->argv[0], strerror(why));
		return EXIT_OURS;
	}
	why = exec_result(fds[0]);
	close(fds[0]);
	if (why == 0) {
		*ret = pid;
		return 0;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return not_started(c->argv[0], why);
}

int child_status(int status)
{
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status)
				   : WEXITSTATUS(status);
}
