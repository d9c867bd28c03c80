"""How far each agent is with its token, for people."""

import contextlib
import json
import os
import re
import sqlite3
import threading
import time

import pytest

from support import small
from support.fakehs import hold
from support.small import AGENTS, full

AGENT = "anna.vp"


@pytest.fixture
def served(declared_on_conduit):
    yield declared_on_conduit
    declared_on_conduit[0].assert_no_secret_shown()


def columns(said, localpart=AGENT):
    line, = [x for x in said.splitlines() if x.startswith(full(localpart))]
    return re.split(r"  +", line.rstrip())


def test_agents_in_words(served):
    muster, _ = served
    said = muster.run("agents", expect=0).out
    assert re.split(r"  +", said.splitlines()[0].rstrip()) == [
        "AGENT", "NAME", "STATE", "GEN", "WRITTEN", "ACKED", "BY"]
    row = small.agent(muster, AGENT)

    def at(key):
        return time.strftime("%H:%MZ", time.gmtime(row[key] // 1000))
    assert columns(said) == [
        full(AGENT), AGENTS[AGENT][0], "handed_off", "1", at("written_ms")]
    path = os.path.join(muster.runtime_dir(AGENT), "ack.1.json")
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump({"generation": 1, "user_id": full(AGENT),
                   "device_id": "MUSTER", "at_ms": row["written_ms"] + 60000,
                   "agent": "task\u202e" + "x" * 40}, f)
    os.rename(path + ".tmp", path)
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "acknowledged", 20,
        "acknowledged")
    row = small.agent(muster, AGENT)
    # What an agent says of itself is cut, and no terminal obeys it.
    assert columns(muster.run("agents", expect=0).out) == [
        full(AGENT), AGENTS[AGENT][0], "acknowledged", "1", at("written_ms"),
        at("acked_ms"), "task?" + "x" * 19 + "\u2026"]
    muster.run("rotate", AGENT, "--now", expect=0)
    assert columns(muster.run("agents", expect=0).out)[3:6:2] == [
        "2", "gen 1"]
    for line in muster.run("agents", expect=0).out.splitlines():
        assert len(line) <= 100


def test_a_token_that_is_not_in_its_file_yet(served):
    """What is said to be written is: the time is not that of another one."""
    muster, hs = served
    go = threading.Event()
    hs.fault("POST", "/login$", hold(go), times=1)
    status, _ = small.ask(muster, "/v1/rotate", "POST", {
        "users": [AGENT], "now": True})
    assert status == 200
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "registered", 20,
        "its login")
    path = os.path.join(muster.runtime_dir(AGENT), "matrix.json")
    os.unlink(path)
    os.mkdir(path)
    go.set()
    muster.daemon.wait_for(lambda: small.agent(muster, AGENT)["error"], 20,
                           "its error")
    row = small.agent(muster, AGENT)
    assert (row["generation"], row["written_generation"]) == (2, 1)
    assert columns(muster.run("agents", expect=0).out)[2:5] == [
        "logged_in, error", "2", "gen 1"]
    os.rmdir(path)
    muster.run("retry", AGENT, expect=0)
    assert muster.wait_handoff(AGENT, generation=2)
    # The file is there before it is written down.
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["written_generation"] == 2, 20,
        "it to be known")
    assert re.fullmatch(
        r"\d\d:\d\dZ", columns(muster.run("agents", expect=0).out)[4])


def test_what_is_as_old_as_a_day_or_a_year(served):
    muster, _ = served
    muster.stop()
    day = int(time.time()) - 86400
    for at, said in ((1700000000, "2023-11-14"),
                     (day, time.strftime("%m-%d", time.gmtime(day)))):
        with contextlib.closing(
                sqlite3.connect(muster.path("muster.db"))) as db:
            db.execute("UPDATE handoff SET written_ms = ?", [at * 1000])
            db.commit()
        assert columns(muster.run("agents", expect=0).out)[4] == said
