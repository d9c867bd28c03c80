/*
 * matrix/id.c: taking Matrix identifiers apart, checking and making them.
 */
#include "matrix/id.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "matrix/id_priv.h"

#include "base/poison.h"

#define LOCALPART_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._=-/+"

bool id_split(
	const char *id, char sigil, struct str *localpart, struct str *server)
{
	size_t n = strlen(id);
	if (n > LIMIT_ID || id[0] != sigil)
		return false;
	const char *colon = strchr(id, ':');
	if (colon == NULL || colon[1] == '\0')
		return false;

	*localpart = (struct str){ id + 1, (size_t)(colon - id) - 1 };
	*server = str_of(colon + 1);
	return true;
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || is_upper(c) || is_digit(c);
}

/* What is wrong with a localpart that we would make; NULL: nothing. */
static const char *localpart_fault(struct str localpart)
{
	if (localpart.n == 0)
		return "has an empty localpart";
	for (size_t i = 0; i < localpart.n; i++) {
		char c = localpart.p[i];
		if (is_upper(c))
			return "has an upper-case letter";
		if (c == '\0' || strchr(LOCALPART_CHARS, c) == NULL)
			return "has a character other than "
			       "a-z 0-9 . _ = - / +";
	}
	return NULL;
}

bool id_localpart_ok(struct str localpart)
{
	return localpart_fault(localpart) == NULL;
}

bool id_user_ok(const char *user_id, const char **why)
{
	struct str localpart, server;
	const char *fault = NULL;
	if (user_id[0] != '@')
		fault = "does not begin with @";
	else if (strlen(user_id) > LIMIT_ID)
		fault = "is longer than 255 bytes";
	else if (!id_split(user_id, '@', &localpart, &server))
		fault = "has no server name";
	else if (!id_server_ok(server.p))
		fault = "has a server part that is no server name";
	else
		fault = localpart_fault(localpart);

	if (fault != NULL && why != NULL)
		*why = fault;
	return fault == NULL;
}

/* The host up to `]`: hex digits, colons and the dots of an embedded IPv4. */
static const char *skip_ipv6(const char *s)
{
	const char *start = s;
	while (is_digit(*s) || (*s >= 'a' && *s <= 'f') ||
		(*s >= 'A' && *s <= 'F') || *s == ':' || *s == '.')
		s++;
	size_t n = (size_t)(s - start);
	return n >= 2 && n <= 45 && *s == ']' ? s + 1 : NULL;
}

static const char *skip_host(const char *s)
{
	if (*s == '[')
		return skip_ipv6(s + 1);
	const char *start = s;
	while (is_alnum(*s) || *s == '-' || *s == '.')
		s++;
	return s > start ? s : NULL;
}

bool id_server_ok(const char *server)
{
	if (strlen(server) > LIMIT_ID)
		return false;
	const char *rest = skip_host(server);
	if (rest == NULL)
		return false;
	if (*rest == '\0')
		return true;

	struct str port = str_of(rest + 1);
	int64_t number = 0;
	return *rest == ':' && port.n <= 5 && port.n > 0 && is_digit(*port.p) &&
		str_i64(port, 0, 65535, &number);
}

bool id_alias_ok(const char *alias)
{
	struct str localpart, server;
	return id_split(alias, '#', &localpart, &server) && localpart.n > 0 &&
		utf8_valid(localpart.p, localpart.n, NULL) &&
		id_server_ok(server.p);
}

bool id_room_ok(const char *room_id)
{
	return room_id[0] == '!' && room_id[1] != '\0';
}

bool id_is_local(const char *id, const char *server_name)
{
	const char *colon = strchr(id, ':');
	return (id[0] == '@' || id[0] == '#') && colon != NULL &&
		strcmp(colon + 1, server_name) == 0;
}

char *id_user(struct arena *a, const char *localpart, const char *server)
{
	return arena_printf(a, "@%s:%s", localpart, server);
}

char *id_alias(struct arena *a, const char *localpart, const char *server)
{
	return arena_printf(a, "#%s:%s", localpart, server);
}

/* Unicode's White_Space, and the byte order mark, which others count too. */
static bool is_space(uint32_t cp)
{
	return (cp >= 0x09 && cp <= 0x0d) || cp == 0x20 || cp == 0x85 ||
		cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
		cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
		cp == 0x3000 || cp == 0xfeff;
}

static bool is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f);
}

char *alias_part(struct arena *a, const char *name)
{
	size_t left = strlen(name);
	struct buf out;
	buf_init(&out, 4 * left + 1);

	for (bool in_space = false; left > 0;) {
		uint32_t cp = 0;
		size_t n = utf8_next(name, left, &cp);
		if (n == 0) { /* a broken byte is replaced as a colon is */
			n = 1;
			cp = ':';
		}
		name += n;
		left -= n;

		bool space = is_space(cp);
		if (space || cp == ':' || is_control(cp)) {
			if (!space || !in_space)
				buf_addc(&out, '-');
		} else {
			char utf8[4];
			buf_addn(&out, utf8, utf8_put(utf8, lower_cp(cp)));
		}
		in_space = space;
	}

	char *ret = NULL;
	if (buf_rc(&out) == RC_OK)
		ret = arena_strdup(a, buf_str(&out));
	buf_free(&out);
	return ret;
}
