/*
 * The hand-off itself: its values, its digest, and where it lies.
 */
#include "handoff/handoff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

bool handoff_is_far(int64_t generation, int64_t known)
{
	return generation - known > HANDOFF_GENERATION_LEAP;
}

bool handoff_value_ok(const char *s, size_t max)
{
	if (!s)
		return false;
	size_t n = strlen(s);
	if (n == 0 || n > max || !utf8_valid(s, n, NULL))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static bool who_ok(int64_t generation, const char *user_id,
	const char *device_id, const char *homeserver)
{
	return generation >= 1 && generation <= HANDOFF_GENERATION_MAX &&
		handoff_value_ok(user_id, LIMIT_ID) &&
		handoff_value_ok(device_id, LIMIT_ID) &&
		handoff_value_ok(homeserver, LIMIT_HANDOFF_FILE);
}

static bool token_ok(const struct secret *token)
{
	/* A NUL in the token would end it early on the other side. */
	const char *bytes = secret_bytes(token);
	return handoff_value_ok(bytes, LIMIT_HANDOFF_FILE) &&
		strlen(bytes) == token->n;
}

/* Takes over what *made has, if all of it is there. */
static enum rc set(struct handoff *h, struct handoff *made)
{
	if (!made->user_id || !made->device_id || !made->homeserver) {
		handoff_fini(made);
		return RC_NOMEM;
	}
	handoff_fini(h);
	*h = *made;
	return RC_OK;
}

enum rc handoff_set(struct handoff *h, int64_t generation, const char *user_id,
	const char *device_id, const char *homeserver,
	const struct secret *token, int64_t issued_ms)
{
	if (!who_ok(generation, user_id, device_id, homeserver) ||
		!token_ok(token) || issued_ms < 0 || issued_ms > JSON_INT_MAX)
		return RC_INVALID;
	struct handoff made = { .generation = generation,
		.issued_ms = issued_ms };
	enum rc rc =
		secret_set(&made.access_token, secret_bytes(token), token->n);
	if (rc != RC_OK)
		return rc;
	made.user_id = strdup(user_id);
	made.device_id = strdup(device_id);
	made.homeserver = strdup(homeserver);
	return set(h, &made);
}

enum rc handoff_set_revoked(struct handoff *h, const struct handoff_grave *g)
{
	if (!who_ok(g->generation, g->user_id, g->device_id, g->homeserver) ||
		g->revoked_ms < 1 || g->revoked_ms > JSON_INT_MAX)
		return RC_INVALID;
	struct handoff made = { .generation = g->generation,
		.revoked_ms = g->revoked_ms,
		.user_id = strdup(g->user_id),
		.device_id = strdup(g->device_id),
		.homeserver = strdup(g->homeserver) };
	return set(h, &made);
}

void handoff_fini(struct handoff *h)
{
	if (!h)
		return;
	free(h->user_id);
	free(h->device_id);
	free(h->homeserver);
	secret_fini(&h->access_token);
	*h = (struct handoff){ 0 };
}

static void add_line(struct sha256 *sum, const char *value)
{
	sha256_add(sum, value, strlen(value));
	sha256_add(sum, "\n", 1);
}

static void add_number(struct sha256 *sum, int64_t value)
{
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, value);
	add_line(sum, text);
}

void handoff_digest(const struct handoff *h, char out[SHA256_HEX])
{
	struct sha256 sum;
	sha256_begin(&sum);
	add_number(&sum, h->generation);
	add_line(&sum, h->user_id);
	add_line(&sum, h->device_id);
	add_line(&sum, h->homeserver);
	if (h->revoked_ms)
		add_number(&sum, h->revoked_ms);
	else
		add_line(&sum, secret_bytes(&h->access_token));
	unsigned char bytes[SHA256_LEN];
	out[0] = '\0';
	if (sha256_end(&sum, bytes))
		hex_encode(bytes, sizeof(bytes), out);
}

char *handoff_path(
	const char *root, const char *department, const char *localpart)
{
	struct buf b;
	buf_init(&b, LIMIT_HANDOFF_FILE);
	buf_addf(&b, "%s/%s/%s", root,
		department && *department ? department : "_", localpart);
	char *path = buf_take(&b);
	buf_free(&b);
	return path;
}
