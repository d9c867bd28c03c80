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
    muster.write_config(**settings)
    muster.reload()


# -- the end of a token


def test_a_device_is_left_after_all_tokens_were_ended(running):
    """So they were not: it is told, tried again, and no end before that."""
    muster, hs = running
    left = hs.fault("GET", r"/v3/devices$",
                    answer(200, {"devices": [{"device_id": "MUSTER"}]}),
                    times=None)
    muster.run("revoke", AGENT, expect=3)
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


def test_an_answer_in_the_last_of_its_patience(hurried):
    """It is about to go on with the token that it has: that one is not
    ended."""
    muster, hs = hurried
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    asked = begin(muster, AGENT)
    assert request(muster)["wait_ms"] == 10000
    # The service does not see it in time, but before the 10 s are over.
    muster.signal(signal.SIGSTOP)
    wait_age(file_of(muster, name="rotate.2.json"), 5.1)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    muster.signal(signal.SIGCONT)
    wait_rotation(muster, "unanswered")
    assert "too late" in run_of(muster, asked)[AGENT]["error"]
    assert not is_asked(muster, 2)
    assert muster.handoff(AGENT) == before and not logins(hs)
    assert before["access_token"] in hs.tokens_of(AGENT)


def test_a_login_whose_turn_comes_too_late(hurried):
    """The agent has paused in time, and goes on before the login is sent."""
    muster, hs = hurried
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


def test_a_login_that_would_have_to_wait_too_long(hurried):
    """The homeserver wants longer than the agent does: no login is made when
    it has gone on with its old token."""
    muster, hs = hurried
    acknowledge(muster, AGENT)
    before = muster.handoff(AGENT)
    hs.fault("POST", r"/v3/login$", limited(retry_after_ms=15000), times=1)
    begin(muster, AGENT)
    request(muster)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    wait_until(lambda: is_asked(muster, 3), 40, "another request")
    # Nothing but the login that was refused; it has gone on meanwhile.
    assert [r.status for r in logins(hs)] == [429]
    assert before["access_token"] in hs.tokens_of(AGENT)
    assert muster.handoff(AGENT) == before


# -- those that come by themselves


def grow_older(muster, hours):
    """All tokens, and what was done about them, are so much older when it
    starts again."""
    muster.stop()
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        for table, column in (("handoff", "written"), ("rotation", "state")):
            db.execute(f"UPDATE {table} SET {column}_ms = {column}_ms - ?",
                       [int(hours * 3600000)])
        db.commit()
    muster.start()


def generations(muster):
    return {a: muster.handoff(a)["generation"] for a in muster.agents()}


def test_what_is_said_of_all_is_true_of_each(running):
    """Also of one of whom something else was said, and of who comes later."""
    muster, _ = running
    muster.run("rotate", AGENT, "--every", "60s", expect=0)
    muster.run("rotate", "--all", "--every", "2h", expect=0)
    assert small.agent(muster, AGENT)["rotate_every_ms"] == 2 * 3600000
    before = generations(muster)
    assert before == {AGENT: 3, OTHER: 2, "cleo.ic": 2}
    muster.run("register", expect=0)  # the administrator is there from now on
    org = small.org()
    org["people"].append(small.person(
        "dan.ic", "IC", "Platform", OTHER, small.DEPARTMENT))
    muster.write_org(org)
    grow_older(muster, 1.5)
    muster.wait_handoff("dan.ic", generation=1)
    # Who would be due has its turn before these answers are seen.
    acknowledge(muster, OTHER)
    acknowledge(muster, "cleo.ic")
    assert generations(muster) == {**before, "dan.ic": 1}
    acknowledge(muster, AGENT, "dan.ic")
    grow_older(muster, 3)
    for a in muster.agents():
        assert request(muster, a)["why"] == "its token is as old as it may be"


# -- the service begins again


def test_an_acknowledgement_has_its_time_after_a_restart(running):
    muster, hs = running
    acknowledge(muster, AGENT)
    begin(muster, AGENT)
    request(muster)
    muster.answer_as_agent(AGENT, "paused", generation=2)
    muster.wait_handoff(AGENT, generation=2)
    wait_rotation(muster, "issued")
    muster.kill()
    muster.start()
    # It looks again and again.
    acknowledge(muster, OTHER)
    acknowledge(muster, "cleo.ic")
    assert rotation(muster) == "issued"
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")
    assert "has not acknowledged it" not in muster.daemon.output()
    assert len(logins(hs)) == 1


# -- the agent is to have none any more


LEAVER = "cleo.ic"
CHART = """\
departments:
  Engineering: {enabled: true, vp: %d, directors: 0, managers: 0, ics: 0}
"""


def revoked(muster):
    assert small.ask(muster, "/v1/revoke", "POST", {"user": LEAVER})[0] == 200


def retired(muster):
    muster.write_org(muster.without(LEAVER))
    reload(muster)


def human(muster):
    muster.write_org(muster.without(LEAVER))
    reload(muster, fleet={"humans": [{"id": full(LEAVER), "name": "Cleo"}]})


def not_deployed(muster):
    muster.write("config.yaml", CHART % 2)
    reload(muster)


def stored_rotation(muster):
    """Its state; None: there is none any more."""
    rows = muster.query(
        "SELECT state FROM rotation WHERE user_id = ?", full(LEAVER))
    return rows[0][0] if rows else None


@pytest.mark.parametrize("state", ["asked", "clear"])
@pytest.mark.parametrize("happen", [revoked, retired, human, not_deployed])
def test_no_new_token_for_who_is_to_have_none(fresh_on_conduit, happen, state):
    """The rotation ends at once, though the end of the token may take long, and
    does not stand in the way of others for ever."""
    muster, hs = fresh_on_conduit
    org = small.org()
    for person in org["people"][2:]:
        person.update(level="VP", team=None, reportsTo=full(small.HUMAN))
    muster.write_org(org)
    muster.write("config.yaml", CHART % 3)
    muster.write_config(fleet={"config": "config.yaml"},
                        reconcile={"interval": "1m"}, handoff={"wait": "1m"})
    muster.start()
    small.wait_settled(muster, hs)
    acknowledge(muster, LEAVER)
    hs.clear_log()
    hs.fault("POST", r"/v3/login$", answer(503, {"errcode": "M_UNKNOWN"}),
             times=None)
    begin(muster, LEAVER)
    folder = muster.runtime_dir(LEAVER)
    request(muster, LEAVER)
    if state == "clear":
        muster.answer_as_agent(LEAVER, "paused", generation=2)
        muster.daemon.wait_for(lambda: logins(hs), 20, "a login")
    # The request can be seen before the row says that it was made.
    wait_until(lambda: stored_rotation(muster) == state, 20,
               f"the rotation to be {state}")
    hs.fault("POST", r"/logout(/all)?$", answer(503, {"errcode": "M_UNKNOWN"}),
             times=None)
    happen(muster)
    muster.daemon.wait_for(
        lambda: stored_rotation(muster) in ("failed", None), 20,
        "the rotation to end")
    # Nobody pauses for it any more. Who has paused does not go on before a
    # login that may be under way.
    if state == "asked":
        assert "rotate.2.json" not in os.listdir(folder)
    assert hs.tokens_of(LEAVER)
    hs.clear_faults()
    wait_until(lambda: not hs.tokens_of(LEAVER), 40, "its token to end")
    small.wait_settled(muster, hs)
    assert not [r for r in logins(hs) if r.status == 200]
    assert stored_rotation(muster) is None


# -- somebody is faster


def test_another_time_to_wait_is_set_meanwhile(hurried):
    """What the request said holds."""
    muster, hs = hurried
    acknowledge(muster, AGENT, OTHER)
    begin(muster, AGENT)
    assert request(muster)["wait_ms"] == 10000
    reload(muster, handoff={"wait": "5m"})
    begin(muster, OTHER)
    assert request(muster, OTHER)["wait_ms"] == 300000
    wait_rotation(muster, "unanswered")
    assert not is_asked(muster, 2) and is_asked(muster, 2, OTHER)
    # Half of two seconds is over already; of five minutes it is not.
    reload(muster, handoff={"wait": "2s"})
    wait_age(file_of(muster, OTHER, "rotate.2.json"), 2)
    muster.answer_as_agent(OTHER, "paused", generation=2)
    muster.wait_handoff(OTHER, generation=2)
    assert len(logins(hs)) == 1


def test_at_once_while_another_rotation_is_given_up(fresh_on_conduit, hangs):
    """It takes its place, however long that takes."""
    muster, hs = fresh_on_conduit
    flag, seen = hangs(muster, AGENT)
    muster.write_config(reconcile={"interval": "1m"}, handoff={"wait": "10s"})
    muster.start()
    small.wait_settled(muster, hs)
    acknowledge(muster, AGENT)
    hs.clear_log()
    first = begin(muster, AGENT)
    request(muster)
    # When it looks again it is too late; and its disk is slow.
    muster.signal(signal.SIGSTOP)
    wait_age(file_of(muster, name="rotate.2.json"), 5.1)
    flag.touch()
    muster.signal(signal.SIGCONT)
    wait_until(seen.exists, 20, "it to hang")
    status, asked = small.ask(muster, "/v1/rotate", "POST", {
        "users": [AGENT], "now": True, "why": "stolen"})
    assert status == 200 and asked["run"] != first["run"]
    assert rotation(muster) == "waiting" and not logins(hs)
    flag.unlink()
    muster.daemon.wait_for(lambda: muster.handoff(AGENT)["generation"] > 1, 20,
                           "a newer token")
    wait_rotation(muster, "done")
    assert run_of(muster, asked)[AGENT]["state"] == "done"
    assert len(logins(hs)) == 1


def test_somebody_asks_for_the_same_while_an_agent_is_asked(
        fresh_on_conduit, hangs):
    """The request that the agent may have seen stays: it would not look at
    another one of its number."""
    muster, hs = fresh_on_conduit
    flag, seen = hangs(muster, AGENT)
    muster.write_config(reconcile={"interval": "1m"}, handoff={"wait": "20s"})
    muster.start()
    small.wait_settled(muster, hs)
    acknowledge(muster, AGENT)
    flag.touch()
    begin(muster, AGENT)
    wait_until(seen.exists, 20, "it to hang")
    asked = begin(muster, AGENT)
    flag.unlink()
    wait_until(lambda: is_asked(muster, 2), 20, "the request", every=0.002)
    there = os.stat(file_of(muster, name="rotate.2.json"))
    wait_rotation(muster, "asked")
    assert os.stat(
        file_of(muster, name="rotate.2.json")).st_mtime == there.st_mtime
    muster.answer_as_agent(AGENT, "paused", generation=2)
    muster.wait_handoff(AGENT, generation=2)
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")
    assert run_of(muster, asked)[AGENT]["state"] == "done"


# -- another configuration, an older store


def test_another_name_of_the_homeserver_in_the_middle(hurried_six):
    """A token that is not known to be good is good until it is known to be
    dead: nobody loses one without a pause."""
    muster, hs = hurried_six
    everyone = sorted(muster.agents())
    acknowledge(muster, *everyone)
    tokens = {a: muster.handoff(a)["access_token"] for a in everyone}
    begin(muster, "--all")
    request(muster, everyone[0])
    muster.kill()
    hs.clear_log()
    hs.fault("GET", r"/whoami$", delay(1.2), times=None)
    url = hs.url.replace("127.0.0.1", "localhost")
    muster.write_config(homeserver={"public_url": url},
                        reconcile={"concurrency": 2}, handoff={"wait": "1m"})
    muster.start()
    muster.daemon.wait_for(
        lambda: all(muster.handoff(a)["homeserver"] == url for a in everyone),
        40, "all files to be right")
    muster.daemon.wait_for(
        lambda: sum(rotation(muster, a) == "asked" for a in everyone) == 4, 40,
        "four to be asked")
    assert not logins(hs)
    for a in everyone:
        assert muster.handoff(a)["access_token"] == tokens[a]
        assert hs.tokens_of(a) == [tokens[a]]
    # And each gets its new one when it has paused.
    for a in everyone:
        generation = request(muster, a)["generation"]
        muster.answer_as_agent(a, "paused", generation=generation)
        muster.wait_handoff(a, generation=generation)
        muster.answer_as_agent(a)
    for a in everyone:
        wait_rotation(muster, "done", a)
    assert len(logins(hs)) == len(everyone)


def answer_request(muster, generation):
    """As an agent does."""
    muster.daemon.wait_for(lambda: is_asked(muster, generation), 20,
                           f"a request for generation {generation}")
    muster.answer_as_agent(AGENT, "paused", generation=generation)
    muster.wait_handoff(AGENT, generation=generation)
    muster.answer_as_agent(AGENT)
    wait_rotation(muster, "done")


def exchange(muster, generation):
    """One rotation as it should be."""
    begin(muster, AGENT)
    answer_request(muster, generation)


@pytest.fixture
def restored(running):
    """(muster, homeserver, its hand-off): stopped, with the store as it was
    when its agent was asked for generation 2; it has generation 3 by now."""
    muster, hs = running
    acknowledge(muster, AGENT)
    begin(muster, AGENT)
    request(muster)
    wait_rotation(muster, "asked")
    kept = muster.path("kept.db")
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db, \
            contextlib.closing(sqlite3.connect(kept)) as to:
        db.backup(to)
    answer_request(muster, 2)
    exchange(muster, 3)
    muster.stop()
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(muster.path("muster.db" + suffix))
    os.rename(kept, muster.path("muster.db"))
    hs.clear_log()
    return muster, hs, muster.handoff(AGENT)


@pytest.mark.parametrize("then", [
    # Asked for generation 2; clear to log in for it; logged in, and the file
    # not yet written.
    "UPDATE rotation SET state = 'asked'",
    "UPDATE rotation SET state = 'clear'",
    "UPDATE rotation SET state = 'clear', generation = 2;"
    "UPDATE agent SET state = 'logged_in', generation = 2 "
    "WHERE generation = 1 AND user_id = '" + full(AGENT) + "'"])
def test_a_store_from_a_backup(restored, then):
    """The newer token that the agent has by now is good, and stays until it
    has paused."""
    muster, hs, now = restored
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        db.executescript(then)
        assert db.execute("SELECT answering, asked FROM rotation").fetchall(
            ) == [(1, 2)]
    muster.start()
    small.wait_settled(muster, hs)
    row = muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["generation"] >= 3 and
        small.agent(muster, AGENT), 20, "the file to be known")
    assert not logins(hs)
    assert muster.handoff(AGENT)["access_token"] == now["access_token"]
    assert hs.tokens_of(AGENT) == [now["access_token"]]
    if row["rotation"] != "done":
        answer_request(muster, 4)
        assert len(logins(hs)) == 1


# -- who has just begun to run


MANY = [f"a{n:02}" for n in range(80)]  # more than are looked at each second


def test_many_that_have_just_acknowledged_are_asked(conduit_fake, muster_on):
    """Before it is said of one that nobody runs it, it is looked whether it has
    answered, whosever turn it is."""
    hs = conduit_fake
    muster = muster_on(
        hs, fleet={"agents": [{"id": a, "name": a, "department": "Lab",
                               "level": "IC"} for a in MANY]},
        rooms=[], direct={"create": "off"}, handoff={"wait": "1m"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    muster.wait_settled()
    # By then nothing is pressing.
    wait_until(lambda: all(
        time.time() - row["since_ms"] / 1000 > 6 for row in
        muster.json("agents")), 30, "all have had their tokens for a while")
    hs.clear_log()
    for a in MANY:
        muster.answer_as_agent(a)
    begin(muster, "--all")
    muster.daemon.wait_for(
        lambda: len([row for row in muster.json("agents")
                     if row["rotation"] == "asked"]) == 4, 20, "some are asked")
    assert not logins(hs)
    assert {row["rotation"] for row in muster.json("agents")} == {
        "waiting", "asked"}


def test_one_that_acknowledges_while_others_log_in_is_asked(running):
    """Nobody ran it when it was asked for; somebody does when its turn comes."""
    muster, hs = running
    muster.write_config(reconcile={"concurrency": 1})
    muster.restart()
    small.wait_settled(muster, hs)
    hs.clear_log()
    old = muster.handoff(OTHER)["access_token"]
    release = hs_waits(hs, "POST", "/login$")
    begin(muster, AGENT, OTHER)
    muster.daemon.wait_for(
        lambda: logins(hs), 20, "the login of the first")
    assert rotation(muster, OTHER) == "clear"
    muster.answer_as_agent(OTHER)
    release()
    wait_rotation(muster, "asked", OTHER)
    assert len(logins(hs)) == 1 and old in hs.tokens_of(OTHER)
    muster.answer_as_agent(OTHER, "paused", generation=2)
    assert muster.wait_handoff(OTHER, generation=2)
    wait_rotation(muster, "issued", OTHER)
    wait_rotation(muster, "done")
