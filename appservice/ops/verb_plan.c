/*
 * The verb for the plan.
 */
#include "appservice/ops/verbs.h"

#include "base/poison.h"

int verb_plan(struct cli *cli)
{
	return verb_view(cli);
}
