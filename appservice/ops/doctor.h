/*
 * appservice/ops/doctor.h: everything that is wrong and stays so until somebody
 * does something, each with why it matters and what mends it. The running
 * service answers with it (it sees the runtime directory, and asks about tokens
 * all the time); without one the command line looks by itself.
 */
#ifndef APPSERVICE_OPS_DOCTOR_H
#define APPSERVICE_OPS_DOCTOR_H

#include "appservice/app.h"

/* {findings: [{check, subject, what, why, fix}], checked, service}. Looks at a
 * file system that may hang: the caller does not hold the fleet. */
MUST_CHECK enum rc view_doctor(struct app *app, struct buf *out, struct err *e);

/* An agent that never acknowledged anything gets so long to be started. */
#define ACK_FIRST_MS (INT64_C(10) * 60 * 1000)
/* Its token has been in its file for longer than the agent may take to
 * acknowledge it: wait_ms (handoff.wait), and ACK_FIRST_MS for its first. */
bool ack_is_late(
	const struct store_agent *row, int64_t wait_ms, int64_t now_ms);

#endif
