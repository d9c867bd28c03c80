"""A homeserver that limits, slows, fails and lies: what is waited for, how
long, what goes on meanwhile, and what is said of it. (test_faults.py has what
goes wrong once.)"""

import email.utils
import json
import math
import sqlite3
import threading
import time

import pytest

from support import small
from support.fakehs import answer, hold, limited
from support.fakehs.faults import Action
from support.process import wait_until
from support.small import HUMAN, SENDER, SERVER, about, full

ALL = "all-employees"
TEAM = "platform-team"
MOON = "the moon is in the wrong phase"


@pytest.fixture
def joined(declared):
    """(muster, homeserver, human): everybody has come in everywhere."""
    return small.come_in(*declared)


@pytest.fixture
def joined_on_conduit(declared_on_conduit):
    """The same in Conduit's manner alone."""
    return small.come_in(*declared_on_conduit)


def failed(muster):
    return [r for r in muster.json("journal") if r["state"] == "failed"]


def wait_failed(muster):
    return muster.daemon.wait_for(
        lambda: failed(muster), 20, "something to have failed")


def said_failed(muster):
    """The first step that failed, as the log says it; None."""
    return next((row for row in map(json.loads, filter(
        lambda line: line.startswith("{") and line.endswith("}"),
        muster.daemon.output().splitlines()))
        if row["msg"] == "a step failed"), None)


def change(muster, sql, *values):
    """In the store of a service that is stopped."""
    db = sqlite3.connect(muster.path("muster.db"))
    try:
        with db:
            return db.execute(sql, values).rowcount
    finally:
        db.close()


def wait_back(room, localpart, bound=20):
    wait_until(lambda: room.membership(full(localpart)) == "join", bound,
               f"{localpart} to be back")


def words(text, status=500):
    return answer(status, {"errcode": "M_UNKNOWN", "error": text})


# -- told to wait


def test_told_to_wait_until_a_time_of_day(fresh_on_conduit):
    """The third way to say it: a date, as proxies do."""
    muster, hs = fresh_on_conduit
    until, heard = [], []

    def refuse(_request):
        until.append(math.ceil(time.time()) + 4)
        heard.append(time.monotonic() + 1.5)
        return 429, {"errcode": "M_LIMIT_EXCEEDED", "error": "later"}, {
            "Retry-After": email.utils.formatdate(until[0], usegmt=True)}

    def keep(_index, phase, _method, _path):
        """What is on its way by then is answered when that was heard."""
        if phase == "before" and heard:
            time.sleep(max(0, heard[0] - time.monotonic()))
    hs.fault("POST", r"/createRoom$", Action(process=False, answer=refuse))
    hs.on_request(keep, reads=True)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    refused, = [r for r in hs.requests if r.status == 429]
    again = next(r for r in hs.requests[refused.index:]
                 if (r.path, r.body) == (refused.path, refused.body))
    waited_until = again.started + time.time() - time.monotonic()
    assert waited_until >= until[0] - 0.05
    # Nobody else has asked for anything either.
    over = until[0] - time.time() + time.monotonic()
    assert [r for r in hs.requests
            if heard[0] < r.started < over - 0.05] == []
    small.assert_as_declared(hs, muster)
    assert small.status(muster)["journal"]["failed"] == 0


def test_told_to_wait_for_longer_than_a_call_does(joined_on_conduit):
    """Then it is the journal that waits; and nobody asks meanwhile."""
    muster, hs, human = joined_on_conduit
    room = hs.room(ALL)
    hs.fault("POST", r"/invite$", limited(retry_after=600))
    human.kick(room.room_id, full("ben.man"))
    row, = wait_failed(muster)
    assert (row["kind"], row["subject"]) == ("invite", full("ben.man"))
    assert "limits our rate" in row["error"]
    pause = row["next_attempt_ms"] - row["updated_ms"]
    assert 590000 <= pause <= 600000
    hs.clear_log()
    human.kick(hs.room(ALL).room_id, full("cleo.ic"))
    hs.wait_quiet()
    assert hs.writes() == []


# -- failing


def attempts(muster, kind, localpart):
    """(attempt, pause in ms) of the one step that fails; None: not now."""
    rows = muster.query(
        "SELECT attempt, next_attempt_ms - updated_ms FROM journal "
        "WHERE state = 'failed' AND kind = ? AND subject = ?",
        kind, full(localpart))
    return rows[0] if rows else None


def test_a_room_fails_and_others_go_on(joined):
    """With growing pauses, in the homeserver's own words; and once it works
    it is done."""
    muster, hs, human = joined
    room, team = hs.room(ALL), hs.room(TEAM)
    with hs.lock:
        for sender, membership in ((SENDER, "invite"), (HUMAN, "join")):
            hs.world.set_member(team, full(sender), full(HUMAN), membership)
    hs.fault("POST", f"{room.room_id}/invite$", words(MOON), times=None)
    human.kick(room.room_id, full("cleo.ic"))
    pauses = {}

    def seen():
        """On a machine that is busy one may be over before it is seen."""
        got = attempts(muster, "invite", "cleo.ic")
        if got:
            pauses[got[0]] = got[1]
        return max(pauses, default=0) >= 4
    wait_until(seen, 30, "four attempts", every=0.02)
    for n, pause in pauses.items():
        assert pause <= 1000 * 2 ** (n - 1), pauses
    tried = hs.find("POST", f"{room.room_id}/invite$")
    for n, (one, next_one) in enumerate(zip(tried, tried[1:])):
        assert next_one.started - one.ended >= 0.49 * 2 ** n, (n, tried)
    row, = wait_failed(muster)
    assert (row["kind"], row["subject"], row["room"]) == (
        "invite", full("cleo.ic"), f"#{ALL}:{SERVER}")
    assert MOON in row["error"] and "500" in row["error"]
    # Ready all the same; another room is kept meanwhile.
    assert small.status(muster)["ready"]
    human.kick(team.room_id, full("ben.man"))
    wait_back(team, "ben.man")
    # Nothing was asked for too early, and nothing twice at a time.
    assert hs.log.overlaps == []
    hs.clear_faults()
    wait_back(room, "cleo.ic", 30)
    small.wait_settled(muster, hs)
    wait_until(lambda: small.status(muster)["journal"] == {
        "waiting": 0, "failed": 0}, 10, "nothing to be left")


def test_the_pause_is_bounded(joined_on_conduit):
    """However often it has failed it is tried again, in minutes."""
    muster, hs, human = joined_on_conduit
    room = hs.room(ALL)
    hs.fault("POST", f"{room.room_id}/invite$", words(MOON), times=None)
    human.kick(room.room_id, full("cleo.ic"))
    wait_failed(muster)
    muster.stop()
    assert change(muster, "UPDATE journal SET attempt = 1000, "
                  "next_attempt_ms = 0 WHERE state = 'failed'") == 1
    muster.start()

    def tried():
        got = attempts(muster, "invite", "cleo.ic")
        return got and got[0] == 1001 and got
    _, pause = muster.daemon.wait_for(tried, 20, "the next attempt")
    assert 140000 <= pause <= 300000  # half of it at least


def test_what_fails_in_the_middle_keeps_its_order(fresh_on_conduit):
    """Of a room that is being made: who was not invited does not join, and
    everybody is in it in the end, once."""
    muster, hs = fresh_on_conduit
    hs.fault("POST", r"/invite$", words(MOON), times=3)
    hs.fault("POST", r"/createRoom$", words(MOON), times=2, skip=1)
    hs.latency = 0.01
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    hs.wait_quiet()  # the log has the last answer, too
    assert hs.log.overlaps == []
    assert [r for r in hs.find("POST", "/join$") if r.status != 200] == []


def test_a_page_in_place_of_every_answer(fresh_on_conduit):
    """200, and not JSON: a proxy's, and nothing was done."""
    muster, hs = fresh_on_conduit
    page = answer(200, b"<html>Please log in</html>",
                  {"Content-Type": "text/html"})
    kinds = [r"/register$", r"/displayname$", r"/login$", r"/createRoom$",
             r"/invite$", r"/join$", r"/m\.direct$", r"/joined_rooms$"]
    faults = [hs.fault("*", kind, page) for kind in kinds]
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert [f.hits for f in faults] == [1] * len(faults)
    small.assert_as_declared(hs, muster)


def test_a_homeserver_that_hangs(joined_on_conduit):
    """A call has its time. Meanwhile other rooms are kept; it is tried again,
    and nothing is done twice."""
    muster, hs, human = joined_on_conduit
    room, team = hs.room(ALL), hs.room(TEAM)
    with hs.lock:
        for sender, membership in ((SENDER, "invite"), (HUMAN, "join")):
            hs.world.set_member(team, full(sender), full(HUMAN), membership)
    woken = threading.Event()
    hung = hs.fault("POST", f"{room.room_id}/join$", hold(woken))
    muster.stop()  # so that it finds both at once
    human.kick(room.room_id, full("cleo.ic"))
    human.kick(team.room_id, full("ben.man"))
    muster.start(ready=False)
    try:
        wait_until(lambda: hung.hits, 20, "it to hang")
        wait_back(team, "ben.man")
        assert hs.log.in_flight
        # The journal has it until it is tried again, the log for ever.
        row = wait_until(lambda: said_failed(muster), 45, "it to fail")
        assert (row["kind"], row["subject"]) == ("join", full("cleo.ic"))
        assert "no answer in time" in row["error"]
        wait_back(room, "cleo.ic")
    finally:
        woken.set()
    small.wait_settled(muster, hs)
    assert small.status(muster)["ready"]
    assert small.events_of(room, "cleo.ic")[-3:] == [
        "leave", "invite", "join"]


# -- lying


def asked(hs, what, localpart):
    return [r for r in about(hs.writes("POST", f"/{what}$"), localpart)
            if r.path.endswith(what)]


def lying(hs, what, room, localpart, times):
    """Says of so many requests that they were carried out, and they were
    not. The list of them."""
    told = []

    def handle(request, true=hs.handle):
        body = request.body if isinstance(request.body, dict) else {}
        here = hs.room(room)
        if (len(told) < times and here and request.room == here.room_id
                and request.path.endswith(what) and full(localpart) in (
                    body.get("user_id"), request.query.get("user_id"))):
            told.append(request)
            return 200, {"room_id": request.room} if what == "join" else {}, {}
        return true(request)
    hs.handle = handle
    return told


@pytest.mark.parametrize("lies", [1, 99])
def test_an_invitation_that_is_said_to_be_made(fresh, lies):
    """Looked up, and made again; then held."""
    muster, hs = fresh
    told = lying(hs, "invite", ALL, "cleo.ic", lies)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    room = hs.room(ALL)
    assert len([r for r in about(hs.writes("POST", "/invite$"), "cleo.ic")
                if r.room == room.room_id]) == 2
    assert small.status(muster)["ready"]
    wait_until(lambda: failed(muster) == [], 10, "nothing to have failed")
    if lies == 1:
        small.assert_as_declared(hs, muster)
        assert small.status(muster)["held"] == 0
        return
    assert len(told) == 2
    assert room.membership(full("cleo.ic")) is None
    assert small.status(muster)["held"] == 1
    assert hs.room(TEAM).membership(full("cleo.ic")) == "join"
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []


@pytest.mark.parametrize("lies", [1, 99])
def test_a_repair_that_is_said_to_be_made(joined, lies):
    """The same of somebody who was put out before: of whom the homeserver
    goes on to say that."""
    muster, hs, human = joined
    room = hs.room(ALL)
    told = lying(hs, "invite", ALL, "cleo.ic", lies)
    human.kick(room.room_id, full("cleo.ic"))
    if lies == 1:
        wait_back(room, "cleo.ic")
        small.wait_settled(muster, hs)
        assert small.status(muster)["held"] == 0
        return
    wait_until(lambda: small.status(muster)["held"] == 1, 20,
               "it to be held")
    small.wait_settled(muster, hs)
    assert len(told) == 2
    assert room.membership(full("cleo.ic")) == "leave"
    wait_until(lambda: failed(muster) == [], 10, "nothing to have failed")
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []


@pytest.mark.parametrize("lies", [1, 2])
def test_a_join_that_is_said_to_be_made(fresh, lies):
    """Found when the next look, or an event, says that it is only invited;
    then it joins again."""
    muster, hs = fresh
    muster.write_config(reconcile={"interval": "2s"})
    told = lying(hs, "join", ALL, "cleo.ic", lies)
    muster.start()
    wait_until(lambda: len(told) == lies, 20, "the lies to be told")
    room = hs.room(ALL)
    wait_back(room, "cleo.ic")
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    # One for each lie, one that was true, and no more.
    joins = [r for r in hs.writes("POST", "/join$") if r.room == room.room_id
             and r.user in (full("cleo.ic"), None)]
    assert len(joins) == lies + 1


def test_a_humans_invitation_that_is_said_to_be_made(fresh):
    """Looked after when nobody has confirmed it; made again once."""
    muster, hs = fresh
    hs.human(HUMAN)
    told = lying(hs, "invite", ALL, HUMAN, 99)
    muster.start()
    small.wait_settled(muster, hs)
    for n in (1, 2, 2):
        assert len(told) == n
        assert hs.room(ALL).membership(full(HUMAN)) is None
        muster.stop()
        change(muster, "UPDATE member SET origin_ts = origin_ts - 60000 "
               "WHERE source = 2")
        muster.start()
        small.wait_settled(muster, hs)
    assert len(told) == 2
    assert small.status(muster)["held"] == 1
