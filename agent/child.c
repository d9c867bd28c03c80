/*
 * The program as our child: started so that "not found" and "cannot be run"
 * are told apart, given our signals, and its end made ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
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

__attribute__((noreturn)) static void become(
	char **program, char **env, int report)
{
	/* A signal that comes from here on is the program's own. */
	signals_restore();
	environ = env;
	execvp(program[0], program);
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

int child_start(char **program, char **env, pid_t *ret)
{
	int fds[2];
	if (!exec_pipe(fds)) {
		say("%s: no pipe: %s", program[0], strerror(errno));
		return EXIT_OURS;
	}
	pid_t pid = fork();
	if (pid == 0)
		become(program, env, fds[1]);
	int why = errno;
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		say("%s: no process: %s", program[0], strerror(why));
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
	if (why == ENOENT) {
		say("%s: not found", program[0]);
		return EXIT_NO_PROGRAM;
	}
	say("%s: could not be started: %s", program[0], strerror(why));
	return EXIT_NO_START;
}

/* Buries every dead child (as process 1 we inherit strangers); true when the
 * program is among them. */
static bool reap(pid_t pid, int *ret_status)
{
	bool ended = false;
	for (;;) {
		int status;
		pid_t who = waitpid(-1, &status, WNOHANG);
		if (who < 0 && errno == EINTR)
			continue;
		if (who <= 0)
			return ended;
		if (who != pid)
			continue;
		ended = true;
		*ret_status = WIFSIGNALED(status)
			? EXIT_SIGNAL + WTERMSIG(status)
			: WEXITSTATUS(status);
	}
}

int child_wait(pid_t pid)
{
	for (;;) {
		int status = EXIT_OURS;
		int sig = signals_next();
		if (sig == SIGCHLD) {
			if (reap(pid, &status))
				return status;
		} else if (sig != 0) {
			kill(pid, sig);
		}
	}
}
