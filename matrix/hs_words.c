/*
 * What a homeserver says of whose a token is, as far as it may be shown: it knows
 * the token, and may put it anywhere.
 */
#include <string.h>
#include <strings.h>

#include "matrix/hs.h"
#include "matrix/id.h"

#include "base/poison.h"

/* Whether the token is in a text, in whatever letters. */
static bool has_token(const char *text, const struct secret *token)
{
	for (; *text; text++)
		if (strncasecmp(text, secret_bytes(token), token->n) == 0)
			return true;
	return false;
}

static bool is_plain(const char *device)
{
	static const char marks[] = "._~=/+:-";
	for (; *device; device++) {
		const char c = *device;
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
			!(c >= '0' && c <= '9') && !strchr(marks, c))
			return false;
	}
	return true;
}

const char *hs_user_words(const char *user_id, const struct secret *token)
{
	return id_user_ok(user_id, NULL) && !has_token(user_id, token)
		? user_id
		: "something that is no user id";
}

const char *hs_device_words(const char *device, const struct secret *token)
{
	if (!*device)
		return "none";
	return is_plain(device) && !has_token(device, token)
		? device
		: "something that is no device id";
}
