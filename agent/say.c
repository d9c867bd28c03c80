/*
 * What the agent tells people: plain lines among the program's own output.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

#include "base/poison.h"

void say(const char *fmt, ...)
{
	char line[1024] = "muster-agent: ";
	size_t n = strlen(line);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	/* Some words are the homeserver's, or a stranger's file name. */
	for (; line[n]; n++)
		if ((unsigned char)line[n] < 0x20 || line[n] == 0x7f)
			line[n] = '?';
	line[n++] = '\n';
	/* One write, so that lines of two processes do not mix. */
	ssize_t done = write(STDERR_FILENO, line, n);
	(void)done;
}
