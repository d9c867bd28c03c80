/*
 * store/lease_who.c: who a process is, in words that another one can check. A
 * process of another machine, or of another container, is never known to be
 * dead: its silence says it in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "store/network_priv.h"

#include "base/poison.h"

/* The beginning of a file of /proc, "" when there is none. */
static void read_some(const char *path, char *out, size_t room)
{
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, out, room - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
}

/* Its state (one letter) and when it began, which stand behind its name, and
 * that may be anything. */
static bool read_stat(int64_t pid, char *state, char *began, size_t room)
{
	char path[64], text[1024];
	bool more = true;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	read_some(path, text, sizeof(text));
	const char *end = strrchr(text, ')');
	if (!end || end[1] != ' ')
		return false;
	struct str rest = str_of(end + 2), field = { 0 };
	*state = *rest.p;
	/* The state is the third field; the twenty-second is wanted. */
	for (int i = 3; i <= 22 && more; i++)
		field = str_cut(&rest, ' ', &more);
	if (!more || field.n == 0 || field.n >= room)
		return false;
	memcpy(began, field.p, field.n);
	began[field.n] = '\0';
	return true;
}

void who_am_i(struct who *ret)
{
	char state;

	memset(ret, 0, sizeof(*ret));
	if (gethostname(ret->host, sizeof(ret->host) - 1) != 0)
		snprintf(ret->host, sizeof(ret->host), "an unknown host");
	read_some("/proc/sys/kernel/random/boot_id", ret->boot,
		sizeof(ret->boot));
	ret->boot[strcspn(ret->boot, "\n")] = '\0';
	ssize_t n = readlink(
		"/proc/self/ns/pid", ret->space, sizeof(ret->space) - 1);
	ret->space[n > 0 ? n : 0] = '\0';
	ret->pid = getpid();
	if (!read_stat(ret->pid, &state, ret->began, sizeof(ret->began)))
		ret->began[0] = '\0';
}

bool who_is_dead(const struct who *w)
{
	struct who me;
	char state, began[32];

	who_am_i(&me);
	if (!*w->boot || !*w->space || !*w->began || w->pid <= 0 ||
		!text_eq(w->boot, me.boot) || !text_eq(w->space, me.space) ||
		!text_eq(w->host, me.host))
		return false;
	if (kill((pid_t)w->pid, 0) != 0)
		return errno == ESRCH;
	/* The number may be another's by now; or nobody has asked yet how it
	 * ended. */
	return read_stat(w->pid, &state, began, sizeof(began)) &&
		(state == 'Z' || state == 'X' || !text_eq(began, w->began));
}
