"""A homeserver that gives application services no logins: said to whoever must
act, with each agent, and left alone; all that needs no token is done."""

import os

import pytest

from support import small
from support.process import wait_until
from support.small import AGENTS, full

WORDS = "this homeserver gives application services no logins (MSC4190)"


def asked(hs):
    """How often it was asked about logins, and for one."""
    return [len(hs.find(method, r"/login$")) for method in ("GET", "POST")]


def wait_looks(hs, more):
    """Until the service has looked at everything so often again."""
    def looks():
        return len(hs.find("GET", r"/joined_rooms$"))
    before = looks()
    wait_until(lambda: looks() >= before + more, 30, f"{more} more looks")


def attempts(muster):
    """Of each agent's login."""
    return sorted((r["subject"], r["attempt"]) for r in muster.json("journal")
                  if r["kind"] == "login")


@pytest.fixture
def fresh_on_synapse(synapse_fake, muster_on):
    muster = muster_on(synapse_fake, org=small.org())
    muster.run("registration", expect=0)
    synapse_fake.add_appservice(muster.registration_path)
    return muster, synapse_fake


@pytest.mark.parametrize("logins, most", [
    ("refused", [1, 1]), ("not listed", [1, 0]), ("none", [1, 0])])
def test_agents_wait(fresh_on_synapse, logins, most):
    """AS-113, AS-114: one question, or one login, and not another one within
    the hour. AS-109: accounts are made all the same."""
    muster, hs = fresh_on_synapse
    hs.service_logins = logins
    muster.write_config(reconcile={"interval": "1s", "concurrency": 1})
    muster.start()
    muster.daemon.wait_for(lambda: all(
        WORDS in (small.agent(muster, a)["error"] or "") for a in AGENTS),
        20, "all agents say why")
    assert "use a homeserver that gives them" in muster.run("agents").out
    # That many looks take longer than the first pause after a failure.
    wait_looks(hs, 3)
    assert asked(hs) == most
    assert attempts(muster) == sorted((full(a), 1) for a in AGENTS)
    assert {small.agent(muster, a)["state"] for a in AGENTS} == {"registered"}
    muster.daemon.wait_for(
        lambda: {kind for kind, _, _ in small.steps(muster)} == {
            "login", "hand_off"}, 20, "all else is done")
    assert small.status(muster)["ready"]
    small.assert_policy_rooms(hs, muster)
    small.assert_direct_rooms(hs, muster)
    # Who has mended that starts anew, and need not wait.
    hs.service_logins = "given"
    muster.stop()
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert [small.agent(muster, a)["error"] for a in AGENTS] == [None] * 3


def test_one_that_gives_no_more(declared_on_conduit):
    """AS-114: an agent that is new then; the others keep what they have."""
    muster, hs = declared_on_conduit
    tokens = {a: muster.handoff(a)["access_token"] for a in AGENTS}
    lost = "anna.vp"
    hs.service_logins = "refused"
    muster.stop()
    hs.clear_log()
    os.unlink(os.path.join(muster.runtime_dir(lost), "matrix.json"))
    muster.start()
    muster.daemon.wait_for(
        lambda: WORDS in (small.agent(muster, lost)["error"] or ""), 20,
        "it says why")
    assert asked(hs) == [1, 1]
    for a in set(AGENTS) - {lost}:
        assert small.agent(muster, a)["error"] is None
        assert muster.handoff(a)["access_token"] == tokens[a]
        assert tokens[a] in hs.tokens_of(a)
