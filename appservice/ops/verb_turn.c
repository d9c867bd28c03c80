/*
 * One at a time of the verbs that write the registration and register it: two
 * at once would each make tokens, and each put its own into force.
 */
#define _DEFAULT_SOURCE /* flock() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "appservice/ops/verbs.h"

#include "base/poison.h"

/* The folder of the configuration: it is there before anything else is, and
 * nothing is left behind in it. */
static int open_folder(const char *config_path)
{
	char dir[4096];
	const char *slash = strrchr(config_path, '/');
	const size_t n = slash ? (size_t)(slash - config_path) : 0;
	if (n >= sizeof(dir))
		return -1;
	memcpy(dir, config_path, n);
	dir[n] = '\0';
	return open(n           ? dir
			: slash ? "/"
				: ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cli_turn_begin(const struct cli *cli)
{
	int fd = cli->dry_run ? -1 : open_folder(cli->config_path);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return fd;
	fprintf(stderr,
		"another `muster register` is at work here: waiting "
		"for its end\n");
	while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
		;
	return fd;
}

void cli_turn_end(int turn)
{
	if (turn >= 0)
		close(turn);
}
