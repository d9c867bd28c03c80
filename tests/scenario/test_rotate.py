"""New tokens for agents that run, and none for those who are to have none: what
the service's side of it does, with the agent's side played here by hand."""

import contextlib
import glob
import json
import os
import re
import sqlite3
import threading

import pytest

from support import small
from support.fakehs import answer, hold, reset_after
from support.process import wait_until
from support.rotations import (
    AGENT, ALL, acknowledge, begin, logins, request, rotation, run_of,
    wait_rotation)
from support.small import full


# -- in two phases


def test_an_agent_pauses_before_its_token_is_exchanged(running):
    muster, hs = running
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    asked = begin(muster, AGENT)
    got = request(muster)
    assert got == {"generation": 2, "wait_ms": 60000, "why": ""}
    # Nothing happens before it has paused.
    assert muster.handoff(AGENT) == before and not logins(hs)
    assert rotation(muster) == "asked"
    muster.answer_as_agent(AGENT, "paused", generation=2)
    after = muster.wait_handoff(AGENT, generation=2)
    assert after["device_id"] == before["device_id"]
    assert after["access_token"] != before["access_token"]
    wait_rotation(muster, "issued")
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")
    assert len(logins(hs)) == 1
    row = small.agent(muster, AGENT)
    assert (row["generation"], row["acked_generation"], row["acked_by"]) == (
        2, 2, "test")
    assert run_of(muster, asked)[AGENT]["state"] == "done"
    assert not muster.json("plan")["steps"]


def test_the_verb_waits_and_says_what_was_done(running):
    muster, _ = running
    # Nobody runs: there is nobody to ask.
    done = muster.run("rotate", AGENT, "--why", "spring cleaning", expect=0)
    assert "1 agent has a new token" in done.out
    assert muster.handoff(AGENT)["generation"] == 2
    assert "rotate." not in " ".join(muster.handoff_names(AGENT))
    rows = [r for r in muster.json("audit") if r["action"] == "rotate"]
    assert {(r["actor"], r["detail"]) for r in rows} == {
        ("operator", "1 agent: spring cleaning"),
        ("muster", "spring cleaning")}


def test_an_agent_that_does_not_answer_keeps_its_token(hurried):
    muster, hs = hurried
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    done = muster.run("rotate", AGENT, expect=1)
    assert f"{full(AGENT)}: it did not pause in time" in done.out
    assert "`muster rotate --now` gives it a new one" in done.out
    assert "\nrotations    1 unanswered\n" in muster.run("status").out
    assert "1 of 1 agents" in done.err
    assert muster.handoff(AGENT) == before and not logins(hs)
    # An agent that looks only now shall not pause for nothing.
    assert "rotate.2.json" not in muster.handoff_names(AGENT)
    # Its number is not used again: who has seen it may answer it late.
    muster.answer_as_agent(AGENT, "paused", generation=2)
    begin(muster, AGENT)
    assert request(muster)["generation"] == 3
    muster.answer_as_agent(AGENT, "paused", generation=3)
    assert muster.wait_handoff(AGENT, generation=3)


def test_the_number_that_was_not_answered_is_left_out_at_once_too(hurried):
    muster, _ = hurried
    acknowledge(muster, AGENT)
    muster.run("rotate", AGENT, expect=1)
    muster.run("rotate", AGENT, "--now", expect=0)
    assert muster.handoff(AGENT)["generation"] == 3


def test_no_login_before_the_file_can_be_written(hurried):
    """The old token is as good as before, and nothing else is said of it."""
    muster, hs = hurried
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    path = os.path.join(muster.runtime_dir(AGENT), "matrix.json")
    # When young files of the configuration are read a second time, those of
    # agents are looked at, too.
    muster.reload()
    begin(muster, AGENT)
    request(muster)
    os.rename(path, path + ".kept")
    os.mkdir(path)
    muster.answer_as_agent(AGENT, "paused", generation=2, of=before)
    wait_rotation(muster, "unanswered")
    assert "is a directory" in small.agent(muster, AGENT)["rotation_error"]
    os.rmdir(path)
    os.rename(path + ".kept", path)
    assert small.agent(muster, AGENT)["error"] is None
    assert not logins(hs) and before["access_token"] in hs.tokens_of(AGENT)


def test_an_answer_for_somebody_else_is_none(hurried):
    muster, hs = hurried
    acknowledge(muster, AGENT)
    begin(muster, AGENT)
    path = os.path.join(muster.runtime_dir(AGENT), "paused.2.json")
    request(muster)
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"generation": 2, "user_id": full("ben.man"),
                   "device_id": "MUSTER", "at_ms": 1, "agent": "x"}, f)
    wait_rotation(muster, "unanswered")
    assert not logins(hs)


def test_at_once_waits_for_nobody(running):
    muster, hs = running
    acknowledge(muster, AGENT)
    muster.run("rotate", AGENT, "--now", "--why", "laptop lost", expect=0)
    assert muster.handoff(AGENT)["generation"] == 2
    assert len(logins(hs)) == 1


def test_an_old_token_that_would_live_on_is_ended_at_once(fresh):
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    old = muster.handoff(AGENT)["access_token"]
    said = muster.run("rotate", AGENT, expect=0)
    # Conduit ends it by the login itself.
    assert ("lets an old token live" in said.out) is not hs.conduit
    assert (old in hs.tokens_of(AGENT)) is not hs.conduit
    second = muster.handoff(AGENT)["access_token"]
    muster.run("rotate", AGENT, "--now", expect=0)
    third = muster.handoff(AGENT)["access_token"]
    assert set(hs.tokens_of(AGENT)) == {third}
    assert third not in (old, second)


# -- and what is in the way is said


@pytest.fixture
def silence():
    """What waits for it is answered at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("words, path, step", [
    (("revoke", AGENT), r"/logout/all$", "revoke"),
    (("rotate", AGENT, "--now"), r"/v3/login$", "login")])
def test_a_homeserver_that_does_not_answer_is_named(
        running, silence, words, path, step):
    muster, hs = running
    hs.fault("POST", path, hold(silence), times=1)
    done = muster.run(*words, expect=3)
    assert re.search(
        f"pending: .*: the step {step} of {full(AGENT)} is at work for "
        r"\d+ s: it has no answer yet$", done.err.strip())
    assert "muster plan" not in done.err


def test_a_look_that_does_not_end_is_named(running, silence):
    """No step is at work while the homeserver is asked what there is."""
    muster, hs = running
    muster.write_config(reconcile={"interval": "1s"})
    hs.fault("GET", r"/joined_rooms$", hold(silence), times=1)
    looks = len([r for r in hs.requests if r.path.endswith("/joined_rooms")])
    muster.restart(ready=False)
    wait_until(lambda: len([r for r in hs.requests
                            if r.path.endswith("/joined_rooms")]) > looks,
               20, "the look")
    done = muster.run("revoke", AGENT, expect=3)
    assert re.search(
        r"pending: .*: the homeserver is asked what there is, for \d+ s "
        "already: nothing is begun before that is known$", done.err.strip())


def test_an_agent_that_has_time_is_named(running):
    muster, _ = running
    muster.write_config(reconcile={"interval": "1m"},
                        handoff={"wait": "10m"})
    muster.restart()
    acknowledge(muster, AGENT)
    asked = begin(muster, AGENT)
    request(muster)
    status, got = small.ask(
        muster, f"/v1/progress?since_ms=0&run={asked['run']}")
    assert (status, got["in_way"]) == (200, f"{full(AGENT)}: asked to pause")
    # People read words, programs the state.
    assert got["rotations"][0]["state"] == "asked"
    line, = [x for x in muster.run("agents", expect=0).out.splitlines()
             if x.startswith("rotation: ")]
    assert line.startswith(
        f"rotation: {full(AGENT)}: asked to pause (since ")


def test_who_is_named_twice_gets_one_token(running):
    muster, hs = running
    asked = begin(muster, AGENT, full(AGENT), "ben.man", AGENT)
    assert asked["agents"] == [full(AGENT), full("ben.man")]
    for a in (AGENT, "ben.man"):
        muster.wait_handoff(a, generation=2)
    assert [r["detail"] for r in muster.json("audit")
            if (r["action"], r["actor"]) == ("rotate", "operator")] == [
        "2 agents"]
    assert len(logins(hs)) == 2


# -- many


def test_all_agents_a_few_at_a_time(running):
    muster, hs = running
    acknowledge(muster, *ALL)
    asked = begin(muster, "--all")
    assert sorted(asked["agents"]) == sorted(map(full, ALL))
    for a in ALL:
        request(muster, a)
        muster.answer_as_agent(a, "paused", generation=2)
        muster.wait_handoff(a, generation=2)
        muster.answer_as_agent(a)
    for a in ALL:
        wait_rotation(muster, "done", a)
    assert len(logins(hs)) == len(ALL)


def test_two_that_do_not_acknowledge_stop_the_rest(hurried_six):
    muster, hs = hurried_six
    everyone = sorted(muster.agents())
    acknowledge(muster, *everyone)
    asked = begin(muster, "--all")
    few = everyone[:4]  # at a time
    wait_until(lambda: all(
        "rotate.2.json" in muster.handoff_names(a) for a in few), 20,
        "four requests")
    for a in few:
        muster.answer_as_agent(a, "paused", generation=2)
    muster.daemon.wait_for(
        lambda: rotation(muster, everyone[5]) == "stopped", 30, "it to stop")
    states = {a: r["state"] for a, r in run_of(muster, asked).items()}
    assert [states[a] for a in everyone].count("unacknowledged") >= 2
    assert states[everyone[5]] == "stopped"
    assert muster.handoff(everyone[5])["generation"] == 1
    assert f"rotate.2.json" not in muster.handoff_names(everyone[5])
    # One that acknowledges late has its token all the same.
    muster.answer_as_agent(everyone[0])
    wait_rotation(muster, "done", everyone[0])


# -- killed in the middle


def test_a_service_that_was_killed_asks_again(running):
    muster, hs = running
    acknowledge(muster, AGENT)
    begin(muster, AGENT)
    assert request(muster)["generation"] == 2
    muster.kill()
    muster.start()
    wait_until(lambda: "rotate.3.json" in muster.handoff_names(AGENT), 20,
               "another request")
    assert "rotate.2.json" not in muster.handoff_names(AGENT)
    muster.answer_as_agent(AGENT, "paused", generation=3)
    muster.wait_handoff(AGENT, generation=3)
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")
    assert len(logins(hs)) == 1


@pytest.mark.parametrize("written", [True, False])
def test_a_service_that_was_killed_after_the_login(running, written):
    """Its file is there already, but nothing of it was written down: its agent
    may go on with it, and keeps it. Or it is not there, and the token is
    lost."""
    muster, hs = running
    acknowledge(muster, AGENT)
    begin(muster, AGENT)
    request(muster)
    before = muster.handoff(AGENT)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    after = muster.wait_handoff(AGENT, generation=2)
    wait_rotation(muster, "issued")
    muster.kill()
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        db.execute("UPDATE agent SET state = 'logged_in' WHERE user_id = ?",
                   [full(AGENT)])
        db.execute("DELETE FROM handoff WHERE user_id = ? AND generation = 2",
                   [full(AGENT)])
        db.execute("UPDATE rotation SET state = 'clear' WHERE user_id = ?",
                   [full(AGENT)])
        db.commit()
    if not written:
        with open(os.path.join(muster.runtime_dir(AGENT), "matrix.json"), "w",
                  encoding="utf-8") as f:
            json.dump(before, f)
    muster.start()
    wait_rotation(muster, "issued")
    got = muster.handoff(AGENT)
    assert len(logins(hs)) == (1 if written else 2)
    assert got["generation"] == (2 if written else 3)
    assert (got == after) is written
    assert got["access_token"] in hs.tokens_of(AGENT)
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")


def test_a_login_that_fails_too_long_is_asked_for_again(hurried):
    """The agent goes on with its old token, which is good: nothing is done
    behind its back."""
    muster, hs = hurried
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    hs.fault("POST", r"/v3/login$", answer(503, {"errcode": "M_UNKNOWN"}),
             times=None)
    begin(muster, AGENT)
    request(muster)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    wait_until(lambda: "rotate.3.json" in muster.handoff_names(AGENT), 30,
               "another request")
    assert "rotate.2.json" not in muster.handoff_names(AGENT)
    assert muster.handoff(AGENT) == before
    assert before["access_token"] in hs.tokens_of(AGENT)
    hs.clear_faults()
    done = len(logins(hs))
    assert rotation(muster) == "asked" and len(logins(hs)) == done
    muster.answer_as_agent(AGENT, "paused", generation=3)
    muster.wait_handoff(AGENT, generation=3)
    assert len(logins(hs)) == done + 1


def test_a_login_of_which_nobody_knows_what_came_of_it(running):
    """The old token is dead: a new one is got, however late."""
    muster, hs = running
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    hs.fault("POST", r"/v3/login$", reset_after(), times=1)
    begin(muster, AGENT)
    request(muster)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    got = muster.daemon.wait_for(
        lambda: muster.handoff(AGENT)["generation"] > 1 and
        muster.handoff(AGENT), 30, "a newer token")
    assert got["access_token"] != before["access_token"]
    assert got["access_token"] in hs.tokens_of(AGENT)


# -- by themselves


def test_a_token_gets_no_older_than_it_may(running):
    muster, hs = running
    muster.run("rotate", AGENT, "--every", "60s", expect=0)
    assert small.agent(muster, AGENT)["rotate_every_ms"] == 60000
    muster.stop()
    # Said without a service.
    for bad in ("60", "soon", "-1s", "1s", "59s", "0s", "3651d"):
        done = muster.run("rotate", AGENT, "--every", bad, expect=2)
        assert f"--every {bad}: expected a duration" in done.err
    # A minute later, and an hour after the last.
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        db.execute("UPDATE handoff SET written_ms = written_ms - 7200000")
        db.commit()
    muster.start()
    muster.wait_handoff(AGENT, generation=3)
    assert muster.handoff("ben.man")["generation"] == 1
    muster.run("rotate", AGENT, "--every", "never", expect=0)
    assert small.agent(muster, AGENT)["rotate_every_ms"] == 0


def asked_of(muster):
    """The agent's row, without the service's own look at its token."""
    return {k: v for k, v in small.agent(muster, AGENT).items()
            if k != "token_seen_ms"}


def test_the_end_of_a_schedule_makes_no_new_token(running):
    muster, hs = running
    muster.run("rotate", "--all", "--every", "1h", expect=0)
    muster.run("rotate", AGENT, "--every", "2h", expect=0)
    made, before = len(logins(hs)), asked_of(muster)
    assert before["rotate_every_ms"] == 7200000
    muster.run("rotate", AGENT, "--every", "never", "--now", expect=2)
    status, said = small.ask(muster, "/v1/rotate", "POST", {
        "users": [AGENT], "every_ms": 0, "now": True})
    assert status == 400 and "makes no new token" in json.dumps(said)
    assert asked_of(muster) == before

    done = muster.run("rotate", AGENT, "--every", "never", "--why", "calm",
                      expect=0)
    assert done.out == (
        "1 agent gets no new token by itself any more: only that was changed, "
        "and every token is as it was\n")
    after = asked_of(muster)
    assert after == {**before, "rotate_every_ms": after["rotate_every_ms"]}
    assert after["rotate_every_ms"] <= 0  # also not by what holds for all
    assert small.agent(muster, "ben.man")["rotate_every_ms"] == 3600000
    done = muster.run("rotate", "--all", "--every", "never", expect=0)
    assert done.out.startswith("no agent gets a new token by itself any more:")
    assert [small.agent(muster, a)["rotate_every_ms"] for a in ALL] == (
        [0] * len(ALL))
    # Of an agent that can have no token, too.
    muster.run("revoke", AGENT, expect=0)
    muster.run("rotate", AGENT, "--every", "never", expect=0)
    assert small.agent(muster, AGENT)["state"] == "blocked"
    assert len(logins(hs)) == made
    assert [r["detail"] for r in muster.json("audit")
            if (r["action"], r["actor"]) == ("rotate", "operator")][:3] == [
        "no more by itself, 1 agent", "no more by itself, all agents",
        "no more by itself, 1 agent: calm"]


# -- none any more


def test_revoke_ends_the_token_and_blocks_the_agent(running):
    muster, hs = running
    old = muster.handoff(AGENT)["access_token"]
    done = muster.run("revoke", AGENT, "--why", "it talks too much", expect=0)
    assert "blocked until" in done.out
    assert not hs.tokens_of(AGENT)
    assert muster.handoff(AGENT)["revoked_ms"] > 0
    row = small.agent(muster, AGENT)
    assert row["state"] == "blocked" and "it talks too much" in row["error"]
    assert not muster.json("plan")["steps"]
    assert [(r["actor"], r["detail"]) for r in muster.json("audit")
            if r["action"] == "revoke"] == [
        ("muster", "its tokens were ended, and no device is left"),
        ("operator", "it talks too much")]
    # Nothing gives it one behind the operator's back.
    muster.restart()
    small.wait_settled(muster, hs)
    assert "revoked_ms" in muster.handoff(AGENT)
    muster.run("revoke", AGENT, expect=0)
    muster.run("rotate", AGENT, expect=0)
    got = muster.handoff(AGENT)
    assert got["generation"] == 2 and got["access_token"] != old
    muster.assert_no_secret_shown({old})


def test_revoke_says_when_no_tombstone_could_be_put(running):
    muster, hs = running
    path = os.path.join(muster.runtime_dir(AGENT), "matrix.json")
    os.unlink(path)
    os.mkdir(path)
    done = muster.run("revoke", AGENT, expect=0)
    assert "its file could not be replaced by a tombstone: " in done.out
    assert "a tombstone is in the place" not in done.out
    assert not hs.tokens_of(AGENT)


def test_a_lost_store_gives_a_revoked_agent_no_token(running):
    """Only the tombstone tells of it then."""
    muster, hs = running
    muster.run("revoke", AGENT, expect=0)
    muster.stop()
    for path in glob.glob(muster.path("muster.db*")):
        os.unlink(path)
    muster.start()
    small.wait_settled(muster, hs)
    row = small.agent(muster, AGENT)
    assert row["state"] == "blocked" and "taken away" in row["error"]
    assert "revoked_ms" in muster.handoff(AGENT) and not hs.tokens_of(AGENT)
    muster.run("rotate", AGENT, expect=0)
    assert muster.wait_handoff(AGENT, generation=2)


def test_retry_gives_a_revoked_agent_a_token(running):
    muster, _ = running
    muster.run("revoke", AGENT, expect=0)
    muster.run("retry", AGENT, expect=0)
    assert muster.wait_handoff(AGENT, generation=2)
    row, = [r for r in muster.json("audit") if r["action"] == "retry"]
    assert row["detail"].startswith(
        "it may have a token again; it was blocked: its tokens were taken")
    muster.run("retry", AGENT, expect=0)
    assert [r["detail"] for r in muster.json("audit")
            if r["action"] == "retry"][0] == (
        "0 failed steps, kept out of 0 rooms")


@pytest.mark.parametrize("how", [[], ["--now"]])
@pytest.mark.parametrize("runs", [True, False])
def test_rotate_gives_a_revoked_agent_a_token(running, runs, how):
    muster, _ = running
    if runs:
        acknowledge(muster, AGENT)
    muster.run("revoke", AGENT, expect=0)
    assert small.ask(muster, "/v1/rotate", "POST", {
        "users": [AGENT], "why": "calm again", "now": bool(how)})[0] == 200
    assert muster.wait_handoff(AGENT, generation=2)
    assert sorted((r["actor"], r["subject"], r["detail"].split(", ")[-1])
                  for r in muster.json("audit") if r["action"] == "rotate"
                  ) == [
        ("muster", full(AGENT), "calm again"),
        ("operator", None, "1 agent: calm again")]


def test_revoke_while_the_homeserver_is_down(running):
    muster, hs = running
    hs.fault("*", r"/logout/all$", answer(503, {"errcode": "M_UNKNOWN"}),
             times=None)
    said = muster.run("revoke", AGENT, "--why", "it babbles", expect=3)
    assert "pending" in said.err and "503" in said.err
    assert muster.json("status")["revocations"] == {
        "pending": 1, "agents": [full(AGENT)]}
    # Who asks once more does not make it younger, or forget the reason.
    since = small.agent(muster, AGENT)["revoke_ms"]
    muster.run("revoke", AGENT, expect=3)
    row = small.agent(muster, AGENT)
    assert (row["revoke_ms"], row["revoke_why"]) == (since, "it babbles")
    # Its state says so, and nobody gives it a token meanwhile.
    done = muster.run("rotate", AGENT, expect=1)
    assert "are to be ended" in done.err and "`muster status`" in done.err
    muster.kill()
    hs.clear_faults()
    muster.start()
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "blocked", 30,
        "it to be blocked")
    assert not hs.tokens_of(AGENT)
    assert "revoked_ms" in muster.handoff(AGENT)


@pytest.mark.parametrize("words", [
    ["rotate"], ["rotate", AGENT, "--all"], ["rotate", "nobody"],
    ["rotate", small.HUMAN], ["rotate", small.SENDER],
    ["rotate", AGENT, "--why", "x" * 201], ["revoke"],
    ["rotate", small.HUMAN, "--every", "never"],
    ["rotate", small.SENDER, "--every", "never"],
    ["rotate", "nobody", "--every", "never"],
    ["revoke", "nobody"], ["revoke", small.HUMAN], ["revoke", small.SENDER],
    ["agents", "--now"], ["retry", "--why", "x"]])
def test_wrong_use(running, words):
    muster, hs = running
    muster.run(*words, expect=2)
    assert not logins(hs)


# -- is it still good


def test_a_token_that_the_homeserver_has_ended_is_replaced(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"interval": "1m"},
                        handoff={"check": "100ms"})
    muster.start()
    small.wait_settled(muster, hs)
    muster.daemon.wait_for(
        lambda: all(small.agent(muster, a)["token_seen_ms"] for a in ALL), 20,
        "all tokens seen")
    hs.end_tokens(AGENT)
    got = muster.wait_handoff(AGENT, generation=2)
    assert got["access_token"] in hs.tokens_of(AGENT)
    small.wait_settled(muster, hs)
    assert muster.handoff("ben.man")["generation"] == 1
