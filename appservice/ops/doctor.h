/*
 * appservice/ops/doctor.h: everything that is wrong and stays so until somebody
 * does something, each with why it matters and what mends it. The running
 * service answers for its agents (it sees the runtime directory, and asks about
 * tokens all the time); the command line looks at everything else by itself,
 * and without a service at those as well.
 */
#ifndef APPSERVICE_OPS_DOCTOR_H
#define APPSERVICE_OPS_DOCTOR_H

#include "appservice/app.h"

/* {findings: [{check, subject, what, why, fix}], checked, service}: of the
 * agents. Looks at a file system that may hang: the caller does not hold the
 * fleet. */
MUST_CHECK enum rc view_doctor(struct app *app, struct buf *out, struct err *e);

struct doctor_case {
	struct app *app; /* loaded as far as it could be */
	bool readable;   /* its settings are */
	bool whole;      /* and nothing in it is wrong */
	const char *config_path;
	const struct report *report; /* what is */
	/* Of the running service: its document; NULL: none runs, or it says
	 * nothing, why. */
	const char *document, *silence;
	size_t document_n;
	bool listening;       /* the homeserver's pings are answered by us */
	const char *occupied; /* why not; NULL: the service does */
};
/* All of it, in the same form, and {secrets: [{name, fingerprint, newline_trimmed}]}. */
MUST_CHECK enum rc doctor_write(
	const struct doctor_case *c, struct buf *out, struct err *e);

/* An agent that never acknowledged anything gets so long to be started. */
#define ACK_FIRST_MS (INT64_C(10) * 60 * 1000)
/* Its token has been in its file for longer than the agent may take to
 * acknowledge it: wait_ms (handoff.wait), and ACK_FIRST_MS for its first. */
bool ack_is_late(
	const struct store_agent *row, int64_t wait_ms, int64_t now_ms);

#endif
