/*
 * Whether a homeserver is on a network of one's own. OpenClaw connects to such
 * a one only when its configuration says that this is meant.
 */
#include <netinet/in.h>
#include <sys/socket.h>

#include <netdb.h>
#include <string.h>

#include "agent/ways_priv.h"
#include "base/str.h"

#include "base/poison.h"

/* Addresses that are nobody's on the public internet: those that begin with
 * these bits. */
static const struct {
	uint32_t net;
	int bits;
} nets4[] = {
	{ 0x00000000, 8 },  /* this network */
	{ 0x0A000000, 8 },  /* private */
	{ 0x64400000, 10 }, /* behind a carrier's translation */
	{ 0x7F000000, 8 },  /* this machine */
	{ 0xA9FE0000, 16 }, /* this link */
	{ 0xAC100000, 12 }, /* private */
	{ 0xC0000000, 24 }, /* protocols */
	{ 0xC0A80000, 16 }, /* private */
	{ 0xC6120000, 15 }, /* measurements */
	{ 0xE0000000, 3 },  /* many at once, and reserved */
};

static bool is_private4(uint32_t address)
{
	for (size_t i = 0; i < ARRAY_LEN(nets4); i++)
		if ((address ^ nets4[i].net) >> (32 - nets4[i].bits) == 0)
			return true;
	return false;
}

static uint32_t four_bytes(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		(uint32_t)p[2] << 8 | p[3];
}

static bool is_private6(const unsigned char a[16])
{
	static const unsigned char mapped[12] = { [10] = 0xFF, [11] = 0xFF };
	static const unsigned char zero[15];
	if (memcmp(a, mapped, sizeof(mapped)) == 0)
		return is_private4(four_bytes(a + 12));
	if (memcmp(a, zero, sizeof(zero)) == 0 && a[15] <= 1)
		return true;            /* none, or this machine */
	return (a[0] & 0xFE) == 0xFC || /* private */
		(a[0] == 0xFE && (a[1] & 0xC0) == 0x80); /* this link */
}

static bool is_private_address(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, a, sizeof(in));
		return is_private4(ntohl(in.sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, a, sizeof(in6));
		return is_private6(in6.sin6_addr.s6_addr);
	}
	return false;
}

/* The host of a URL, without the brackets of an address; "" when there is
 * none. */
static void host_of(const char *url, char *out, size_t room)
{
	const char *p = strstr(url, "://");
	*out = '\0';
	if (!p)
		return;
	p += 3;
	size_t n = strcspn(p, "/?#");
	for (size_t i = 0; i < n; i++) {
		if (p[i] != '@')
			continue;
		p += i + 1;
		n -= i + 1;
		i = (size_t)-1;
	}
	if (*p == '[')
		n = strcspn(++p, "]/");
	else if (memchr(p, ':', n))
		n = strcspn(p, ":");
	if (n >= room)
		return;
	memcpy(out, p, n);
	out[n] = '\0';
}

bool openclaw_is_private(const char *url)
{
	char host[256];
	struct addrinfo *found = NULL;
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
	bool any = false;

	if (text_starts(url, "http://"))
		return true;
	host_of(url, host, sizeof(host));
	if (!*host || getaddrinfo(host, NULL, &want, &found) != 0)
		return false;
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		any = any || is_private_address(a->ai_addr);
	freeaddrinfo(found);
	return any;
}
