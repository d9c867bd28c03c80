"""New tokens for agents that run, and none for those who are to have none, on
real homeservers. The programs are bots: one that is not ended as it should be
loses what comes before it is back."""

import signal

import pytest

from support import small
from support.fleet import brought_up
from support.muster import FINDINGS
from support.process import wait_until
from support.rotating import AGENTS, LOGIN, WAIT, Rotating, Running

FILE = ("--for", "file")  # and --reload none: the program looks by itself


world = brought_up(Rotating)


@pytest.fixture
def fleet(world):
    """Served, and nothing is to be done."""
    if not world.muster.running():
        world.muster.start()
    world.muster.wait_settled()
    world.gate.clear()
    return world


@pytest.fixture
def run(fleet, tmp_path):
    """run("ada", options): an agent that runs and is known to do so."""
    running = []

    def begin(localpart, *options):
        one = Running(fleet, localpart, str(tmp_path / localpart), *options)
        running.append(one)
        one.begin().acknowledged()
        return one
    yield begin
    try:
        for one in running:
            one.end()
            assert not FINDINGS.search(one.output()), one.output()
    finally:
        for one in running:
            one.kill()


def check(*agents):
    """They have good tokens, and wait for nothing."""
    for one in agents:
        one.acknowledged()
        one.assert_good()
        assert one.running()


# -- nothing is lost


def test_a_thousand_messages_around_a_rotation(fleet, run):
    again, looks = run("ada"), run("ben", *FILE)
    agents = [again, looks]
    old = [fleet.muster.handoff(one.localpart) for one in agents]
    with fleet.talking() as talk:
        talk.wait(300)
        # So few that the service waits for so long for its answer.
        with fleet.slow_logins(talk, 25):
            done = fleet.muster.run(
                "rotate", "ada", "ben", expect=0, timeout=200)
        talk.wait(300)
        texts = talk.finish(1000)
    assert "2 agents have a new token" in done.out
    for one, before in zip(agents, old):
        one.wait_heard(texts)
        after = fleet.muster.handoff(one.localpart)
        assert after["generation"] == before["generation"] + 1
        assert after["device_id"] == before["device_id"] == "MUSTER"
        # Conduit ends the old token by the login; others let it live.
        lives = fleet.hs.kind != "conduit"
        assert ("lets an old token live" in done.out) == lives
        assert fleet.is_dead(before["access_token"]) != lives
        assert fleet.gate.logins(one.user_id) == 1
    check(*agents)
    # The one was ended for it, in order, while the human talked on.
    stop, start = again.life()[-2:]
    assert (stop.what, start.what) == ("stop", "start")
    assert len(talk.between(stop.ms, start.ms)) >= 24
    assert [one.what for one in looks.life()][:1] == ["start"]
    assert "stop" not in [one.what for one in looks.life()]


def test_all_of_them_while_the_human_talks(fleet, run):
    agents = [run(a, *(FILE if i % 2 else ())) for i, a in enumerate(AGENTS)]
    before = [one.row()["generation"] for one in agents]
    with fleet.talking() as talk:
        talk.wait(30)
        with fleet.slow_logins(talk, 5):
            done = fleet.muster.run(
                "rotate", "--all", expect=0, timeout=200)
        talk.wait(30)
        texts = talk.finish()
    assert f"{len(AGENTS)} agents have a new token" in done.out
    for one in agents:
        one.wait_heard(texts)
    check(*agents)
    assert [one.row()["generation"] for one in agents] == [
        n + 1 for n in before]


def test_an_agent_that_does_not_answer_keeps_its_token(fleet, run):
    fleet.set(wait="2s")
    one = run("ada")
    before, life = fleet.muster.handoff("ada"), one.life()
    one.signal(signal.SIGSTOP)
    try:
        with fleet.talking() as talk:
            said = fleet.muster.run("rotate", "ada", expect=1)
            texts = talk.finish()
        one.wait_heard(texts)
    finally:
        one.signal(signal.SIGCONT)
        fleet.set(wait=WAIT)
    assert "@ada:fleet.test: it did not pause in time" in said.out
    assert fleet.muster.handoff("ada") == before
    check(one)
    assert one.life() == life
    assert fleet.gate.logins(one.user_id) == 0


# -- somebody is killed in the middle


@pytest.mark.parametrize("moment", ["asked", "logged in", "written"])
def test_the_service_is_killed(fleet, run, moment):
    one = run("ada")
    before = one.row()["generation"]
    with fleet.talking() as talk, fleet.gate.hold(
            LOGIN, after=True) as login:
        talk.wait(10)
        reached = {"asked": one.wait_name("rotate"), "logged in": login.wait,
                   "written": lambda: wait_until(
                       lambda: fleet.muster.handoff("ada")["generation"]
                       > before, 30, "the file", every=0.001)}[moment]
        if moment == "written":
            login.release()
        elif moment == "asked":
            one.signal(signal.SIGSTOP)  # else it may be paused by then
        fleet.ask_rotation("ada")
        reached()
        fleet.muster.kill()
        one.signal(signal.SIGCONT)
        login.release()
        talk.wait(10)
        fleet.muster.start()
        fleet.wait_done("ada")
        talk.wait(10)
        texts = talk.finish()
    one.wait_heard(texts)
    check(one)
    assert one.row()["generation"] > before
    # Without it the token that it had would have been replaced for nothing.
    assert fleet.gate.logins(one.user_id) == (2 if moment == "logged in" else 1)


@pytest.mark.parametrize("moment", ["paused", "written"])
def test_the_agent_is_killed(fleet, run, moment):
    one = run("ada")
    before = one.row()["generation"]
    with fleet.talking() as talk, fleet.gate.hold(LOGIN) as login:
        talk.wait(10)
        paused = one.wait_name("paused")
        fleet.ask_rotation("ada")
        paused()
        if moment == "written":
            one.signal(signal.SIGSTOP)
        else:
            one.kill()
        login.release()
        fleet.muster.wait_handoff("ada", generation=before + 1)
        one.kill()
        talk.wait(10)
        one.begin()
        fleet.wait_done("ada")
        texts = talk.finish()
    one.wait_heard(texts)
    check(one)


def test_a_homeserver_that_hangs_at_the_login(fleet, run):
    """Longer than the agent waits: its program goes on with what it has, and
    gets the new token in the end."""
    fleet.set(wait="10s")
    one = run("ada", *FILE)
    before = one.row()["generation"]
    with fleet.talking() as talk:
        with fleet.gate.hold(LOGIN) as login:
            talk.wait(10)
            fleet.ask_rotation("ada")
            login.wait()
            one.wait_for(lambda: "did not come about" in one.output(), 20,
                         "it goes on with its old token")
            talk.wait(10)
        fleet.wait_done("ada")
        talk.wait(10)
        texts = talk.finish()
    fleet.set(wait=WAIT)
    one.wait_heard(texts)
    check(one)
    assert one.row()["generation"] > before


def test_a_homeserver_that_is_away_at_the_login(fleet, run):
    """For longer than the agent waits: its program goes on with what it has,
    and is paused again before that is replaced."""
    fleet.set(wait="10s")
    one = run("ada")
    before = one.row()["generation"]
    with fleet.talking() as talk:
        with fleet.gate.refuse(LOGIN):
            talk.wait(10)
            fleet.ask_rotation("ada")
            one.wait_for(lambda: "did not come about" in one.output(), 20,
                         "it goes on with its old token")
            talk.wait(10)
        with fleet.slow_logins(talk, 10):
            fleet.wait_done("ada")
        talk.wait(10)
        texts = talk.finish()
    fleet.set(wait=WAIT)
    one.wait_heard(texts)
    check(one)
    assert one.row()["generation"] > before


# -- at once


def test_a_token_in_the_wrong_hands(fleet, run):
    one = run("ben", *FILE)
    old = one.token()
    fleet.muster.run("rotate", "ben", "--now", "--why", "a laptop is lost",
                     expect=0)
    assert fleet.is_dead(old)
    with fleet.talking() as talk:
        texts = talk.finish(10)
    one.wait_heard(texts)
    check(one)
    assert [(r["actor"], r["detail"]) for r in fleet.muster.json("audit")
            if r["action"] == "rotate"][:2] == [
        ("muster", "a laptop is lost"),
        ("operator", "at once, 1 agent: a laptop is lost")]


def test_a_token_that_was_ended_behind_our_back(fleet, run):
    fleet.set(check="200ms")
    one = run("cleo", *FILE)
    old = one.token()
    agent = fleet.agent(one.user_id)
    assert agent.post("/logout").status == 200
    one.wait_for(lambda: one.token() != old, 30, "another token")
    assert fleet.is_dead(old)
    fleet.muster.daemon.wait_for(
        lambda: one.row()["acked_generation"] == one.row()["generation"]
        == fleet.muster.handoff("cleo")["generation"], 20, "it has it")
    with fleet.talking() as talk:
        texts = talk.finish(10)
    one.wait_heard(texts)
    check(one)
    fleet.set(check="1m")


# -- none any more


def pending(fleet):
    return fleet.muster.json("status")["revocations"]


def test_revoke_while_the_homeserver_is_down(fleet):
    """Pending, also after a restart of the service; then done, and proved."""
    muster, user_id = fleet.muster, fleet.muster.full_id("emil")
    old = muster.handoff("emil")
    assert not fleet.is_dead(old["access_token"])
    with fleet.without_gate():
        fleet.hs.kill()
        try:
            said = muster.run("revoke", "emil", "--why", "it talks too much")
            assert said.code in (1, 3), said
            assert "by itself" in said.err, said
            assert pending(fleet) == {"pending": 1, "agents": [user_id]}
            muster.kill()
            muster.start(ready=False)
            muster.daemon.wait_for(
                lambda: small.status(muster)["why_not"], 20, "it says why")
            assert pending(fleet) == {"pending": 1, "agents": [user_id]}
            assert muster.handoff("emil") == old
        finally:
            fleet.hs.start()
        muster.daemon.wait_for(
            lambda: small.agent(muster, "emil")["state"] == "blocked", 60,
            "it is blocked")
        assert fleet.is_dead(old["access_token"])
        assert pending(fleet) == {"pending": 0, "agents": []}
        assert muster.handoff("emil")["revoked_ms"] > 0
        assert ("muster", "its tokens were ended, and no device is left") in [
            (r["actor"], r["detail"]) for r in muster.json("audit")
            if (r["action"], r["subject"]) == ("revoke", user_id)]
    muster.wait_settled()
    muster.run("rotate", "emil", expect=0)
    assert not fleet.is_dead(muster.handoff("emil")["access_token"])


def test_no_secret_is_shown(fleet):
    fleet.muster.assert_no_secret_shown()
