"""What a test of a rotation asks the service for, and looks for, with the agent's
side played by hand."""

import json
import os

from support import small
from support.small import AGENTS

AGENT = "anna.vp"
ALL = sorted(AGENTS)


def rotation(muster, localpart=AGENT):
    return small.agent(muster, localpart)["rotation"]


def wait_rotation(muster, state, localpart=AGENT, bound=20):
    return muster.daemon.wait_for(
        lambda: rotation(muster, localpart) == state, bound,
        f"{localpart} {state}")


def request(muster, localpart=AGENT, bound=20):
    """The request that lies in its directory."""
    def there():
        names = [n for n in muster.handoff_names(localpart)
                 if n.startswith("rotate.")]
        if not names:
            return None
        path = os.path.join(muster.runtime_dir(localpart), names[-1])
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    return muster.daemon.wait_for(there, bound, f"a request to {localpart}")


def acknowledge(muster, *localparts):
    """The agents run, and have their tokens."""
    for a in localparts:
        muster.answer_as_agent(a)
    for a in localparts:
        muster.daemon.wait_for(
            lambda a=a: small.agent(muster, a)["state"] == "acknowledged", 20,
            f"{a} acknowledged")


def logins(hs):
    return [r for r in hs.requests if r.method == "POST" and
            r.path.endswith("/v3/login")]


def begin(muster, *words):
    """Asks for it, and does not wait for what becomes of it."""
    body = {"all": True} if words == ("--all",) else {"users": list(words)}
    status, asked = small.ask(muster, "/v1/rotate", "POST", body)
    assert status == 200, asked
    return asked


def run_of(muster, asked):
    status, got = small.ask(
        muster, f"/v1/progress?since_ms=0&run={asked['run']}")
    assert status == 200, got
    return {r["user_id"].split(":")[0][1:]: r for r in got["rotations"]}
