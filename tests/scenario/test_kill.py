"""kill -9 at random moments while homeservers send as much as they can: at
the end the store has what they sent and saw answered, once.

TEST_KILLS says how often (300), TEST_SEED which random moments (1)."""

import os
import random
import signal
import threading
import time

import pytest

from support import small
from support.client import Client
from support.load import Sender
from support.process import PATIENCE

KILLS = int(os.environ.get("TEST_KILLS", "300"))
SEED = int(os.environ.get("TEST_SEED", "1"))
AGENT = small.full("anna.vp")


class Killer:
    """Starts the service and kills it, again and again. The senders tell it
    what they do."""

    def __init__(self, muster, dice):
        self.muster = muster
        self.random = dice
        self._served = threading.Event()
        self._lock = threading.Lock()
        self._armed = None  # the next to send waits for so long, and kills
        self._killed = threading.Event()

    def sent(self):
        with self._lock:
            wait, self._armed = self._armed, None
        if wait is not None:
            time.sleep(wait)
            self.muster.signal(signal.SIGKILL)
            self._killed.set()

    def answered(self):
        self._served.set()

    def once(self):
        """One life of it."""
        self.muster.start(ready=False)
        when = self.random.random()
        if when < 0.2:  # while it starts
            time.sleep(self.random.uniform(0, 0.06))
        else:
            self._served.clear()
            self._wait(self._served)
            time.sleep(self.random.uniform(0, 0.12))
        if when > 0.6:  # while it has a transaction in hand
            self._killed.clear()
            with self._lock:
                self._armed = self.random.uniform(0, 0.002)
            self._wait(self._killed)
        process = self.muster.daemon.process
        self.muster.kill()
        assert process.returncode == -signal.SIGKILL, self.muster.tail()

    def _wait(self, event):
        assert event.wait(20 * PATIENCE), (
            f"nothing is taken any more\n{self.muster.tail()}")


class Leaver:
    """An agent that leaves a room of the policy whenever it is in it: the
    service brings it back, in steps of its journal."""

    def __init__(self, muster, hs):
        self.room = hs.room("all-employees")
        self.client = Client(
            hs.url, muster.handoff("anna.vp")["access_token"], AGENT)
        self.left = 0
        self._next = 0  # twice within respect.window, and it is left alone

    def leave(self):
        if self.room.membership(AGENT) == "join" and (
                time.monotonic() >= self._next):
            self.client.leave(self.room.room_id)
            self.left += 1
            self._next = time.monotonic() + 1.5

    def assert_brought_back_once(self):
        assert small.events_of(self.room, "anna.vp") == (
            ["invite", "join"] + ["leave", "invite", "join"] * self.left)


def counted(muster):
    now = small.status(muster)["transactions"]
    return {k: now[k] for k in ("seen", "repeated", "events", "quarantined")}


class Pushed:
    """What the scripted homeserver has sent by itself, since then."""

    def __init__(self, hs):
        self._hs = hs
        self._before = len(hs.deliveries)

    def attempts(self):
        return self._hs.deliveries[self._before:]

    def events(self):
        """{transaction: how many}"""
        return {d.txn_id: len(d.events) for d in self.attempts()}

    def answered(self):
        return sum(d.taken for d in self.attempts())


def assert_store(muster, senders):
    """Every event of theirs, and nothing else of their rooms."""
    memberships = dict(((room, user), membership) for room, user, membership
                       in muster.query(
                           "SELECT room_id, user_id, membership "
                           "FROM membership WHERE room_id LIKE '%:load.test'"))
    states = dict(((room, type), event) for room, type, event in muster.query(
        "SELECT room_id, type, event_id FROM room_state "
        "WHERE room_id LIKE '%:load.test'"))
    want_memberships, want_states = {}, {}
    for sender in senders:
        want_memberships |= sender.expected.memberships()
        want_states |= sender.expected.states()
    assert memberships == want_memberships
    assert states == want_states
    assert muster.query("PRAGMA integrity_check") == [("ok",)]
    assert muster.query("PRAGMA foreign_key_check") == []


def assert_aside(muster, senders):
    """Of each sender the last, in their order: a thousand are kept in all."""
    kept = [(row["txn_id"], row["index"], row["bytes"])
            for row in muster.json("quarantine")]
    wanted = [s.expected.aside for s in senders]
    assert len(kept) == min(1000, sum(map(len, wanted)))
    for sender, want in zip(senders, wanted):
        mine = [row for row in kept if row[0].startswith(sender.name + "-")]
        assert mine == want[len(want) - len(mine):]


def assert_counted(more, senders, pushed):
    """`more` than before was counted. How many were committed though their
    answer was lost."""
    distinct = (sum(s.expected.transactions for s in senders)
                + len(pushed.events()))
    events = (sum(s.expected.events for s in senders)
              + sum(pushed.events().values()))
    assert more["seen"] - more["repeated"] == distinct, more
    assert more["events"] == events, more
    assert more["quarantined"] == sum(
        len(s.expected.aside) for s in senders), more
    asked = sum(s.sent for s in senders) + len(pushed.attempts())
    answered = sum(s.answers[200] for s in senders) + pushed.answered()
    assert answered <= more["seen"] <= asked, more
    return more["seen"] - answered


@pytest.mark.timeout(300 + 2 * KILLS)
def test_killed_at_random_moments(conduit_fake, muster_on):
    """AS-53, AS-55, AS-57, AS-63: nothing is lost, and nothing counts twice."""
    hs = conduit_fake
    muster = muster_on(
        hs, org=small.org("anna.vp"), direct={"manager_report": False},
        respect={"window": "1s"},
        rooms=[{"alias": "all-employees", "members": {"everyone": True}}])
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    before, pushed = counted(muster), Pushed(hs)
    muster.kill()

    dice = random.Random(SEED)
    killer, leaver = Killer(muster, dice), Leaver(muster, hs)
    senders = [Sender(name, muster.port, muster.registration["hs_token"],
                      random.Random(f"{name} {SEED}"), killer,
                      no_json=name == "a") for name in ("a", "b")]
    for sender in senders:
        sender.start()
    for _ in range(KILLS):
        killer.once()
        if dice.random() < 0.1:
            leaver.leave()
        if dice.random() < 0.03:
            hs.restart()
    muster.start(ready=False)
    for sender in senders:
        sender.finish()
    small.wait_settled(muster, hs)

    more = {k: n - before[k] for k, n in counted(muster).items()}
    lost = assert_counted(more, senders, pushed)
    assert_store(muster, senders)
    assert_aside(muster, senders)
    leaver.assert_brought_back_once()
    # About every other kill meets one. Without any this would test little.
    assert lost or KILLS < 300
    print(f"{KILLS} kills (seed {SEED}): {more}; {lost} were committed and "
          f"not answered; {leaver.left} times an agent was brought back")
