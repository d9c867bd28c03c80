"""What lies in the hand-off directory may be unreadable, unwritable, damaged or
from another time: no good token is ended for it, and every agent gets one in
the end."""

import json
import os
import shutil
import stat
import time

import pytest

from support import small
from support.fakehs import answer, garbage
from support.handoffs import forget, signed, write_json
from support.muster import binary
from support.process import (CAP_CHOWN, MODES_DO_NOT_MATTER, Daemon,
                             environment, give_up, wait_until)
from support.small import AGENTS, full

AGENT = "anna.vp"


def file_of(muster, localpart=AGENT):
    return os.path.join(muster.runtime_dir(localpart), "matrix.json")


def state_of(muster, localpart=AGENT):
    state, = muster.query(
        "SELECT state, generation FROM agent WHERE user_id = ?",
        full(localpart))
    return state


def wait_said(muster, words):
    """Until a line of its log has these words."""
    wait_until(lambda: words in muster.daemon.output(), 20, repr(words))


def wait_error(muster, words):
    """Until the agent's row says this, and what it says."""
    def there():
        error = small.agent(muster, AGENT)["error"] or ""
        return words in error and error
    return muster.daemon.wait_for(there, 20, f"the error {words!r}")


def wait_handed_over(muster, generation=None):
    """Until the store knows that the agent's file is there."""
    wait_until(lambda: state_of(muster)[0] == "handed_off" and generation in (
        None, state_of(muster)[1]), 20, f"{generation} handed off")
    return muster.handoff(AGENT)


@pytest.fixture
def served(fresh_on_conduit):
    """(muster, homeserver): everything as declared, a look every second, and
    the log of requests empty."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


@pytest.fixture
def stopped(served):
    """The same, and the service has ended."""
    served[0].stop()
    return served


# -- a file of which nothing is known


def not_ours_to_read(muster):
    path = file_of(muster)
    os.chmod(path, 0)
    return lambda: os.chmod(path, 0o600)


def of_a_newer_version(muster):
    path = file_of(muster)
    with open(path, encoding="utf-8") as f:
        before = json.load(f)
    write_json(path, {**before, "muster": 2})
    return lambda: write_json(path, before)


UNKNOWN = pytest.mark.parametrize("spoil, words", [
    (not_ours_to_read, "mode 000"), (of_a_newer_version, "newer muster")])


@UNKNOWN
def test_a_look_at_an_unreadable_file_changes_nothing(stopped, spoil, words):
    muster, hs = stopped
    before, known = muster.handoff(AGENT), state_of(muster)
    mend = spoil(muster)
    muster.daemon.before = give_up(*MODES_DO_NOT_MATTER)
    muster.start()
    wait_said(muster, words)
    small.wait_settled(muster, hs)
    assert state_of(muster) == known == ("handed_off", 1)
    mend()
    assert hs.writes() == []
    assert muster.handoff(AGENT) == before
    assert before["access_token"] in hs.tokens_of(AGENT)


@UNKNOWN
def test_an_unreadable_file_is_no_reason_for_a_login(stopped, spoil, words):
    """The store knows nothing of the token, and the file is not to be read."""
    muster, hs = stopped
    before = muster.handoff(AGENT)
    forget(muster)
    mend = spoil(muster)
    muster.daemon.before = give_up(*MODES_DO_NOT_MATTER)
    muster.start(ready=False)
    wait_error(muster, words)
    mend()
    small.wait_settled(muster, hs)
    assert hs.writes("POST", "/login$") == []
    assert muster.handoff(AGENT) == before
    small.assert_as_declared(hs, muster)


# -- a directory that takes no file


def wait_refused_before_login(muster, hs, words):
    """Until a login failed for this reason; the homeserver was not asked, so
    that the token that the agent may run with is as good as before."""
    error = wait_error(muster, words)
    assert hs.writes("POST", "/login$") == []
    return error


def test_a_directory_in_the_place_of_the_file(stopped):
    muster, hs = stopped
    token = muster.handoff(AGENT)["access_token"]
    os.unlink(file_of(muster))
    os.mkdir(file_of(muster))
    muster.start(ready=False)
    wait_refused_before_login(muster, hs, "is a directory")
    assert token in hs.tokens_of(AGENT)
    os.rmdir(file_of(muster))
    small.wait_settled(muster, hs)
    assert len(hs.writes("POST", "/login$")) == 1
    small.assert_as_declared(hs, muster)


def test_a_file_that_others_can_read(stopped):
    """It is private again at the next look, and what to do is said."""
    muster, hs = stopped
    before, path = muster.handoff(AGENT), file_of(muster)
    os.chmod(path, 0o644)
    muster.start()
    wait_said(muster, "could be read by others")
    small.wait_settled(muster, hs)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert muster.handoff(AGENT) == before
    assert hs.writes() == []
    # Until its next token, and for ever: written down when it was said.
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["exposed_ms"], 20, "that it was")
    told = [f for f in muster.run("--json", "doctor", expect=3).json[
        "findings"] if f["subject"] == full(AGENT)]
    assert any("others could read" in f["what"] and "rotate" in f["fix"] and
               "--now" in f["fix"] for f in told), told
    assert [r["subject"] for r in muster.json("audit")
            if r["action"] == "exposed"] == [full(AGENT)]
    muster.run("rotate", AGENT, "--now", expect=0)
    assert small.agent(muster, AGENT)["exposed_ms"] is None


def test_halves_of_a_killed_writer(stopped):
    """They go after a minute; nobody knows before whether it still writes."""
    muster, hs = stopped
    folder = muster.runtime_dir(AGENT)
    old = os.path.join(folder, ".matrix.json.00000000deadbeef")
    new = os.path.join(folder, ".matrix.json.0123456789abcdef")
    for half in (old, new):
        with open(half, "w", encoding="utf-8") as f:
            f.write("{")
        os.chmod(half, 0o600)
    os.utime(old, (time.time() - 62, time.time() - 62))
    muster.start()
    wait_until(lambda: not os.path.exists(old), 20, "the half is swept")
    small.wait_settled(muster, hs)
    assert os.path.exists(new)
    small.assert_as_declared(hs, muster, crashed=True)


AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give directories away")


@AS_ROOT
def test_a_directory_that_cannot_be_written(stopped):
    muster, hs = stopped
    token = muster.handoff(AGENT)["access_token"]
    folder = muster.runtime_dir(AGENT)
    os.unlink(file_of(muster))
    os.chown(folder, 12345, 12345)
    muster.daemon.before = give_up(*MODES_DO_NOT_MATTER)
    muster.start(ready=False)
    wait_refused_before_login(muster, hs, "cannot write matrix.json")
    assert token in hs.tokens_of(AGENT)
    os.chown(folder, 0, 0)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


@AS_ROOT
@pytest.mark.parametrize("missing", [(CAP_CHOWN,), MODES_DO_NOT_MATTER],
                         ids=["chown", "dac_override"])
def test_an_owner_that_we_cannot_write_for(stopped, missing):
    muster, hs = stopped
    token = muster.handoff(AGENT)["access_token"]
    os.unlink(file_of(muster))
    muster.write_config(handoff={"owner": "12345:12345"})
    muster.daemon.before = give_up(*missing)
    muster.start(ready=False)
    error = wait_refused_before_login(muster, hs, "handoff.owner")
    assert "CAP_CHOWN and CAP_DAC_OVERRIDE" in error
    assert token in hs.tokens_of(AGENT)
    muster.stop()
    muster.daemon.before = None
    muster.start()
    small.wait_settled(muster, hs)
    assert os.stat(file_of(muster)).st_uid == 12345
    small.assert_as_declared(hs, muster)


# -- asking whether a file's token is still good


@pytest.mark.parametrize("action", [
    answer(502, b"<html>"), answer(500, {"errcode": "M_UNKNOWN"}),
    answer(401, b"<html>"), answer(401, {"errcode": "M_USER_LOCKED"}),
    answer(403, {"errcode": "M_FORBIDDEN"}), garbage()],
    ids=["502", "500", "401-of-a-proxy", "401-locked", "403", "garbage"])
def test_no_answer_is_no_refusal(stopped, action):
    """Only when the homeserver says so is a token not good. AS-138."""
    muster, hs = stopped
    before = {a: muster.handoff(a) for a in AGENTS}
    forget(muster)
    # The first who asks is the service itself.
    fault = hs.fault("GET", "/whoami$", action, skip=1, times=len(AGENTS))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert fault.hits == len(AGENTS)
    assert hs.writes("POST", "/login$") == []
    assert {a: muster.handoff(a) for a in AGENTS} == before
    small.assert_as_declared(hs, muster)


def test_a_refusal_that_stays(stopped):
    """It is told of with the agent, and is not taken for one of the service's
    own token. AS-130."""
    muster, hs = stopped
    before = muster.handoff(AGENT)
    forget(muster)
    hs.fault("GET", "/whoami$", answer(401, b"<html>"), skip=1, times=None)
    muster.start(ready=False)
    wait_error(muster, "is the token in its file still good?")
    assert "the homeserver cannot be used" not in muster.daemon.output()
    hs.clear_faults()
    small.wait_settled(muster, hs)
    assert muster.handoff(AGENT) == before


@pytest.mark.parametrize("token", ["unknown", "not a token"])
def test_a_token_that_is_none(stopped, token):
    muster, hs = stopped
    write_json(file_of(muster), signed(
        {**muster.handoff(AGENT), "access_token": token}))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    login, = hs.writes("POST", "/login$")
    got = muster.handoff(AGENT)
    assert (got["generation"], got["access_token"]) == (
        2, login.answer["access_token"])


# -- a file that is ahead


def ahead(before, generation):
    """A file of a later generation, whole, whose token nobody knows."""
    return signed({**before, "generation": generation,
                   "access_token": "nobody's"})


def test_a_file_that_gets_ahead_during_the_login(stopped):
    """What was logged in is handed off all the same, once."""
    muster, hs = stopped
    path, before = file_of(muster), muster.handoff(AGENT)
    os.unlink(path)

    def get_ahead(_index, phase, _method, request_path):
        if phase == "after" and request_path.endswith("/login"):
            write_json(path, ahead(before, 7))
    hs.on_request(get_ahead)
    muster.start(ready=False)
    got = wait_handed_over(muster, 8)
    login, = hs.writes("POST", "/login$")
    assert (got["generation"], got["access_token"]) == (
        8, login.answer["access_token"])
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


@pytest.mark.parametrize("there, after", [
    (1_000_001, 1_000_002), (1_000_002, 2), (1 << 40, 2)])
def test_a_generation_out_of_reach(stopped, there, after):
    """The agent can write into its directory, and cannot use its numbers up."""
    muster, hs = stopped
    write_json(file_of(muster), ahead(muster.handoff(AGENT), there))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    login, = hs.writes("POST", "/login$")
    got = muster.handoff(AGENT)
    assert (got["generation"], got["access_token"]) == (
        after, login.answer["access_token"])
    assert state_of(muster) == ("handed_off", after)
    small.assert_as_declared(hs, muster)


def test_a_good_token_at_a_generation_out_of_reach(stopped):
    """Where the store is lost as well."""
    muster, hs = stopped
    before = muster.handoff(AGENT)
    write_json(file_of(muster), signed({**before, "generation": 1 << 40}))
    forget(muster)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert len(hs.writes("POST", "/login$")) == 1
    assert muster.handoff(AGENT)["generation"] == 1
    small.assert_as_declared(hs, muster)


# -- a tombstone


def grave(before, generation):
    """In the place of this hand-off."""
    kept = {k: before[k] for k in ("muster", "user_id", "device_id",
                                   "homeserver")}
    return signed({**kept, "generation": generation,
                   "revoked_ms": 1772000000001})


@pytest.mark.parametrize("lost", [False, True])
def test_generations_go_on_after_a_tombstone(stopped, lost):
    """Whether there is a store that knows better or not. Nobody is asked
    whether what is not there is a good token."""
    muster, hs = stopped
    write_json(file_of(muster), grave(muster.handoff(AGENT), 7))
    if lost:
        forget(muster)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    got = muster.handoff(AGENT)
    login, = hs.writes("POST", "/login$")
    assert (got["generation"], got["access_token"]) == (
        8, login.answer["access_token"])
    assert "ahead of the store" not in muster.daemon.output()
    # Of each other agent once, where the store does not know.
    others = {f"Bearer {muster.handoff(a)['access_token']}"
              for a in AGENTS if a != AGENT} if lost else set()
    as_token = f"Bearer {muster.registration['as_token']}"
    assert {r.headers["Authorization"] for r in hs.find("GET", "/whoami$")} - {
        as_token} == others
    small.assert_as_declared(hs, muster)


def test_a_tombstone_while_it_runs(served):
    """The next look finds it, says what it is, and brings a new token."""
    muster, hs = served
    write_json(file_of(muster), grave(muster.handoff(AGENT), 1))
    wait_said(muster, "the token was revoked at 2026-02-25T06:13:20.001Z "
              "(generation 1)")
    wait_handed_over(muster, 2)
    assert len(hs.writes("POST", "/login$")) == 1


def test_a_tombstone_that_comes_during_the_login(stopped):
    """The file comes after it."""
    muster, hs = stopped
    path, before = file_of(muster), muster.handoff(AGENT)
    os.unlink(path)

    def bury(_index, phase, _method, request_path):
        if phase == "after" and request_path.endswith("/login"):
            write_json(path, grave(before, 2))
    hs.on_request(bury)
    muster.start(ready=False)
    got = wait_handed_over(muster, 3)
    login, = hs.writes("POST", "/login$")
    assert (got["generation"], got["access_token"]) == (
        3, login.answer["access_token"])
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


# -- the store is lost, and files with it


def wait_acknowledged(muster, generation):
    wait_until(lambda: state_of(muster) == ("acknowledged", generation), 20,
               f"{generation} acknowledged")


def test_an_old_answer_is_not_for_the_new_token(served):
    """The file is lost, the answer to it is not."""
    muster, hs = served
    muster.answer_as_agent(AGENT)
    wait_acknowledged(muster, 1)
    muster.stop()
    forget(muster)
    os.unlink(file_of(muster))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert state_of(muster) == ("handed_off", 2)
    assert muster.handoff(AGENT)["generation"] == 2


def test_an_answer_before_there_is_a_file(stopped):
    muster, hs = stopped
    before = muster.handoff(AGENT)
    os.unlink(file_of(muster))
    answered = os.path.join(muster.runtime_dir(AGENT), "ack.2.json")

    def answer_early(_index, phase, _method, path):
        if phase == "after" and path.endswith("/login"):
            write_json(answered, {
                "generation": 2, "user_id": full(AGENT), "agent": "stale",
                "device_id": before["device_id"], "at_ms": 1})
    hs.on_request(answer_early)
    muster.start(ready=False)
    wait_handed_over(muster, 2)
    assert not os.path.exists(answered)
    small.wait_settled(muster, hs)
    muster.answer_as_agent(AGENT)
    wait_acknowledged(muster, 2)


def test_everything_is_lost_while_an_agent_runs(served, tmp_path):
    """Generations begin again at 1; the agent that runs takes the token."""
    muster, hs = served
    output = tmp_path / "token"

    def token_is_there():
        return output.exists() and output.read_text().strip() == (
            muster.handoff(AGENT)["access_token"])
    agent = Daemon("muster-agent", str(tmp_path / "agent.log"))
    agent.launch([binary("muster-agent"), "run", "--runtime",
                  muster.runtime_dir(AGENT), "--for", "file",
                  "--output", str(output), "--", "sleep", "300"],
                 env=environment())
    try:
        wait_acknowledged(muster, 1)
        assert token_is_there()
        muster.stop()
        forget(muster)
        shutil.rmtree(muster.runtime)
        muster.start(ready=False)
        small.wait_settled(muster, hs)
        wait_acknowledged(muster, 1)
        assert token_is_there()
        assert muster.handoff(AGENT)["access_token"] in hs.tokens_of(AGENT)
        assert "the service counts anew" in agent.output()
    finally:
        agent.stop()
        agent.kill()
