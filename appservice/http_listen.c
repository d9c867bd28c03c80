/*
 * Listening sockets. They are made here and not by the HTTP library because it
 * knows no Unix sockets, and says nothing when an address is taken.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "appservice/http_server_priv.h"
#include "base/poison.h"

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Splits "host:port" and "[v6]:port". */
static bool split_address(
	struct arena *a, const char *address, char **host, char **port)
{
	const char *colon = strrchr(address, ':');
	int64_t number;

	if (!colon || colon == address ||
		!str_i64(str_of(colon + 1), 0, 65535, &number))
		return false;
	if (address[0] == '[') {
		if (colon - address < 3 || colon[-1] != ']')
			return false;
		*host = arena_strndup(
			a, address + 1, (size_t)(colon - address - 2));
	} else {
		*host = arena_strndup(a, address, (size_t)(colon - address));
		if (*host && strchr(*host, ':'))
			return false;
	}
	*port = arena_strdup(a, colon + 1);
	return true;
}

static enum rc bind_failed(struct err *e, const char *address)
{
	int error = errno;

	if (error == EADDRINUSE)
		return err_set(e, RC_BUSY,
			"%s: another program listens there already; stop it, "
			"or choose another address",
			address);
	return err_set(e, RC_IO, "%s: cannot listen there: %s", address,
		strerror(error));
}

/* The port that the system chose, or -1. */
static int bound_port(int fd)
{
	struct sockaddr_storage at;
	socklen_t n = sizeof(at);
	char port[8];
	int64_t number;

	if (getsockname(fd, (struct sockaddr *)&at, &n) ||
		getnameinfo((struct sockaddr *)&at, n, NULL, 0, port,
			sizeof(port), NI_NUMERICSERV) ||
		!str_i64(str_of(port), 1, 65535, &number))
		return -1;
	return (int)number;
}

static enum rc listen_at(const struct addrinfo *at, const char *address,
	int *ret_fd, int *ret_port, struct err *e)
{
	int on = 1;
	int fd = socket(at->ai_family, SOCKET_FLAGS, 0);
	int port;

	if (fd < 0)
		return bind_failed(e, address);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		bind(fd, at->ai_addr, at->ai_addrlen) ||
		listen(fd, SOMAXCONN)) {
		enum rc rc = bind_failed(e, address);
		close(fd);
		return rc;
	}
	port = bound_port(fd);
	if (port < 0) {
		close(fd);
		return err_set(e, RC_IO, "%s: the port is not known", address);
	}
	*ret_fd = fd;
	*ret_port = port;
	return RC_OK;
}

enum rc listen_tcp(
	const char *address, int *ret_fd, int *ret_port, struct err *e)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *list = NULL;
	struct arena a = { 0 };
	char *host = NULL, *port = NULL;
	enum rc rc = RC_OK;
	int why;

	if (!split_address(&a, address, &host, &port)) {
		rc = err_set(e, RC_INVALID,
			"%s: expected host:port, such as 127.0.0.1:29400 or "
			"[::1]:29400",
			address);
		goto out;
	}
	if (!arena_ok(&a)) {
		rc = err_nomem(e);
		goto out;
	}
	why = getaddrinfo(host, port, &hints, &list);
	if (why) {
		rc = err_set(
			e, RC_INVALID, "%s: %s", address, gai_strerror(why));
		goto out;
	}
	rc = listen_at(list, address, ret_fd, ret_port, e);
out:
	if (list)
		freeaddrinfo(list);
	arena_free(&a);
	return rc;
}

/* Removes what a server that was killed left behind; RC_BUSY when somebody
 * answers on it. */
static enum rc remove_stale(
	const char *path, const struct sockaddr_un *at, struct err *e)
{
	struct stat st;
	enum rc rc = RC_OK;
	int fd;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return RC_OK;
		return bind_failed(e, path);
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, RC_INVALID,
			"%s: is there already and is no socket; remove it, or "
			"choose another path",
			path);
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	if (fd < 0)
		return bind_failed(e, path);
	/* EAGAIN: somebody listens and is too busy to accept. */
	if (!connect(fd, (const struct sockaddr *)at, sizeof(*at)) ||
		errno == EAGAIN) {
		errno = EADDRINUSE;
		rc = bind_failed(e, path);
	} else if (errno != ECONNREFUSED || unlink(path)) {
		rc = bind_failed(e, path);
	}
	close(fd);
	return rc;
}

enum rc listen_unix(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	enum rc rc;
	int fd;

	if (!n || n >= sizeof(at.sun_path))
		return err_set(e, RC_INVALID,
			"%s: a socket's path has 1 to %zu bytes; choose a "
			"shorter one",
			path, sizeof(at.sun_path) - 1);
	memcpy(at.sun_path, path, n);
	rc = remove_stale(path, &at, e);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	if (fd < 0)
		return bind_failed(e, path);
	/* Linux gives the file the socket's own mode: set before bind() there
	 * is no moment at which others could connect. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) ||
		bind(fd, (const struct sockaddr *)&at, sizeof(at)) ||
		chmod(path, S_IRUSR | S_IWUSR) || listen(fd, SOMAXCONN)) {
		rc = bind_failed(e, path);
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return RC_OK;
}
