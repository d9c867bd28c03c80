"""Rotations and revocations when something comes between: somebody else is
faster, slower, or writes into the agent's directory; the service is killed, or
begins again with another configuration or an older store."""

import contextlib
import os
import signal
import sqlite3
import threading
import time

import pytest

from support import small
from support.fakehs import answer, delay, hold, limited
from support.handoffs import signed, write_json
from support.process import wait_until
from support.rotations import (
    AGENT, ALL, acknowledge, begin, logins, request, rotation, run_of,
    wait_rotation)
from support.small import full

READ = '"the configuration was read again"'
OTHER = "ben.man"


def file_of(muster, localpart=AGENT, name="matrix.json"):
    return os.path.join(muster.runtime_dir(localpart), name)


def is_asked(muster, generation, localpart=AGENT):
    return f"rotate.{generation}.json" in muster.handoff_names(localpart)


def wait_age(path, seconds):
    """Until the file is so old."""
    written = os.stat(path).st_mtime
    wait_until(lambda: time.time() - written >= seconds, seconds + 10,
               f"{path} to be {seconds} s old")


def hs_waits(hs, method, path):
    """The homeserver does not answer this; call what is returned."""
    go = threading.Event()
    hs.fault(method, path, hold(go), times=None)

    def release():
        hs.clear_faults()
        go.set()
    return release


def reload(muster, **settings):
    """Until the running service has read it."""
    before = muster.daemon.output().count(READ)
    muster.write_config(**settings)
    muster.signal(signal.SIGHUP)
    muster.daemon.wait_for(
        lambda: muster.daemon.output().count(READ) > before, 40,
        "it to be read")


# -- the end of a token


def test_a_device_is_left_after_all_tokens_were_ended(running):
    """So they were not: it is told, tried again, and no end before that."""
    muster, hs = running
    left = hs.fault("GET", r"/v3/devices$",
                    answer(200, {"devices": [{"device_id": "MUSTER"}]}),
                    times=None)
    muster.run("revoke", AGENT, expect=1)
    muster.daemon.wait_for(lambda: hs.find("GET", r"/v3/devices$"), 20,
                           "it to ask for devices")
    row = small.agent(muster, AGENT)
    assert row["state"] == "registered" and row["revoke_ms"] > 0
    assert muster.json("status")["revocations"] == {
        "pending": 1, "agents": [full(AGENT)]}
    assert "access_token" in muster.handoff(AGENT)  # no tombstone yet
    assert "still has 1 device" in muster.output()
    hs.clear_faults()
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "blocked", 60,
        "it to be blocked")
    assert "revoked_ms" in muster.handoff(AGENT)
    assert muster.json("status")["revocations"]["pending"] == 0


def test_an_agent_has_written_a_newer_file_itself(running):
    """Its tombstone takes the place of that, too."""
    muster, hs = running
    got = muster.handoff(AGENT)
    write_json(file_of(muster), signed({
        **got, "generation": 7, "access_token": "the agent's own"}))
    muster.run("revoke", AGENT, expect=0)
    grave = muster.handoff(AGENT)
    assert grave["generation"] == 7 and grave["revoked_ms"] > 0
    row = small.agent(muster, AGENT)
    assert row["state"] == "blocked"
    assert "could not be replaced" not in row["error"]
    assert not hs.tokens_of(AGENT)
    # And the next token comes after that.
    muster.run("rotate", AGENT, expect=0)
    assert muster.handoff(AGENT)["generation"] == 8


# -- too late for a login


def test_an_answer_in_the_last_of_its_patience(running):
    """It is about to go on with the token that it has: that one is not
    ended."""
    muster, hs = running
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    asked = begin(muster, AGENT)
    assert request(muster)["wait_ms"] == 4000
    # The service does not see it in time, but before the 4 s are over.
    muster.signal(signal.SIGSTOP)
    wait_age(file_of(muster, name="rotate.2.json"), 2.1)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    muster.signal(signal.SIGCONT)
    wait_rotation(muster, "unanswered")
    assert "too late" in run_of(muster, asked)[AGENT]["error"]
    assert not is_asked(muster, 2)
    assert muster.handoff(AGENT) == before and not logins(hs)
    assert before["access_token"] in hs.tokens_of(AGENT)


def test_a_login_whose_turn_comes_too_late(running):
    """The agent has paused in time, and goes on before the login is sent."""
    muster, hs = running
    acknowledge(muster, AGENT)
    muster.restart()  # it asks once more whether there are logins
    before = muster.handoff(AGENT)
    go = hs_waits(hs, "GET", r"/v3/login$")
    try:
        begin(muster, AGENT)
        request(muster)
        muster.answer_as_agent(AGENT, "paused", generation=2)
        wait_rotation(muster, "unanswered")
        assert not is_asked(muster, 2)
    finally:
        go()
    # The agent goes on: from here on its token must be good.
    muster.daemon.wait_for(lambda: "it was too late for a login" in (
        muster.daemon.output()), 20, "the login to be given up")
    hs.wait_quiet()
    assert not logins(hs) and muster.handoff(AGENT) == before
    assert before["access_token"] in hs.tokens_of(AGENT)


def test_a_login_that_would_have_to_wait_too_long(running):
    """The homeserver wants longer than the agent does: no login is made when
    it has gone on with its old token."""
    muster, hs = running
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    hs.fault("POST", r"/v3/login$", limited(retry_after_ms=9000), times=1)
    begin(muster, AGENT)
    request(muster)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    wait_until(lambda: is_asked(muster, 3), 40, "another request")
    # Nothing but the login that was refused; it has gone on meanwhile.
    assert [r.status for r in logins(hs)] == [429]
    assert before["access_token"] in hs.tokens_of(AGENT)
    assert muster.handoff(AGENT) == before
