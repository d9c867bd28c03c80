/*
 * registration/side.c: whom a homeserver counts as a service's, by what it does.
 */
#include <string.h>

#include "base/str.h"
#include "registration/registration_priv.h"

#include "base/poison.h"

/* Of Synapse's two refusals this one is about the namespace; the other says
 * that there is no such user yet. */
static enum ns_side side_of_refusal(enum hs_kind kind, const char *words)
{
	if (strstr(words, "masquerade"))
		return NS_OUTSIDE;
	return kind == HS_UNKNOWN || kind == HS_DENDRITE ? NS_UNSAID
							 : NS_INSIDE;
}

enum rc registration_side(struct hs *as, enum hs_kind kind, const char *user_id,
	enum ns_side *ret, struct err *e)
{
	struct hs_whoami who = { 0 };
	struct err why = { 0 };
	enum rc rc = hs_whoami(as, user_id, &who, &why);

	switch (rc) {
	case RC_OK:
		*ret = NS_INSIDE;
		return RC_OK;
	case RC_EXCLUSIVE:
		*ret = NS_OUTSIDE;
		return RC_OK;
	case RC_FORBIDDEN:
		*ret = side_of_refusal(kind, why.text);
		return RC_OK;
	default:
		return err_set(e, rc, "%s", why.text);
	}
}
