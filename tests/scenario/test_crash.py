"""kill -9 at every write of a whole provisioning, before the homeserver has
done it and after, and then another start: nothing is lost, and nothing is done
twice that anybody could see. The same with what only a change brings, and at
every system call by which a token's file comes to be."""

import glob
import os
import shutil
import threading

import pytest

from support import small
from support.muster import binary
from support.process import wait_until


# Accounts and names of three, two logins; a room with three invitations and
# two joins; two direct rooms with one join; two marks.
WRITES = 6 + 2 + 6 + 3 + 2


class Crash:
    """Kills the service at the nth write."""

    def __init__(self, muster, hs):
        self.muster = muster
        self.at = None
        self.process = None
        self._known = threading.Event()  # which process that is
        hs.on_request(self._on_write)

    def arm(self, index, phase):
        self.at = (index, phase)

    def _on_write(self, index, phase, _method, _path):
        if (index, phase) == self.at:
            self.at = None
            self._known.wait(60)
            self.process.kill()

    def serve(self):
        """Until it was killed; False when it came to its end before."""
        self._known.clear()
        self.muster.start(ready=False)
        self.process = self.muster.daemon.process
        self._known.set()
        wait_until(lambda: self.process.poll() is not None or (
            self.at is not None and self._idle()), 30, "the kill")
        killed = self.at is None
        self.muster.kill()
        return killed

    def _idle(self):
        return idle(self.muster)


def idle(muster):
    try:
        return small.status(muster)["ready"] and small.steps(muster) == []
    except OSError:
        return False


def start_over(muster, hs):
    """A new homeserver, and nothing of ours but the registration."""
    for path in glob.glob(muster.path("muster.db*")):
        os.unlink(path)
    shutil.rmtree(muster.runtime, ignore_errors=True)
    hs.wipe()
    if hs.conduit:
        hs.add_appservice(muster.registration_path)
    hs.clear_log()


def assert_registered_once(hs):
    made = [r.body["username"] for r in hs.find("POST", "/register$")
            if r.answer and "user_id" in r.answer]
    assert len(made) == len(set(made)) == 3


@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_at_every_write(fakehs, muster_on, phase):
    hs = fakehs
    muster = muster_on(
        hs, org=small.org("anna.vp", "ben.man"),
        rooms=[{"alias": "all-employees", "members": {"everyone": True}}],
        # Once with much in flight, once with every step by itself.
        reconcile={"concurrency": 8 if hs.conduit else 1})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    crash = Crash(muster, hs)
    index = 0
    while True:
        index += 1
        crash.arm(index, phase)
        if not crash.serve():
            break
        where = f"killed {phase} write {index}: {hs.writes()[index - 1:]}"
        try:
            muster.start(ready=False)
            small.wait_settled(muster, hs)
            small.assert_as_declared(hs, muster, crashed=True)
            assert_registered_once(hs)
        except AssertionError as e:
            raise AssertionError(f"{where}\n{e}") from e
        muster.kill()
        start_over(muster, hs)
    assert index == WRITES + 1  # every one had its turn


# -- a change: the room has another name, a new human has no power in it, and
# one agent should not be there any more

CHANGES = 3


def declare(muster, name, levels, humans):
    muster.config["rooms"] = [
        {"alias": "heads", "name": name, "members": {"level": levels}}]
    muster.write_config(fleet={"humans": humans})


def served(muster, hs):
    muster.start(ready=False)
    small.wait_settled(muster, hs)


def seen(room, since):
    """What has happened since then: who went, and what was set."""
    gone = [(e["state_key"], e["content"]["membership"])
            for e in room.events[since:] if e["type"] == "m.room.member"]
    return gone, sorted(e["type"] for e in room.events[since:]
                        if e["type"] != "m.room.member")


@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_at_every_change(fakehs, muster_on, phase):
    hs = fakehs
    muster = muster_on(
        hs, org=small.org("anna.vp", "ben.man"),
        direct={"manager_report": False, "manager_peers": False,
                "team_peers": False},
        reconcile={"concurrency": 8 if hs.conduit else 1})
    declare(muster, "Heads", ["VP", "Manager"], [])
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    crash = Crash(muster, hs)
    index = 0
    while True:
        served(muster, hs)
        muster.kill()
        hs.clear_log()
        room = hs.room("heads")
        assert room.membership(small.full("ben.man")) == "join"
        since = len(room.events)
        index += 1
        dora = small.full(f"dora{index}")  # power is never taken away
        declare(muster, f"Heads {index}", ["VP"], [dora])
        crash.arm(index, phase)
        if not crash.serve():
            break
        where = f"killed {phase} write {index}: {hs.writes()[index - 1:]}"
        try:
            served(muster, hs)
            assert seen(room, since) == (
                [(small.full("ben.man"), "leave")],
                ["m.room.name", "m.room.power_levels"])
            assert room.content("m.room.name") == {"name": f"Heads {index}"}
            assert room.power(dora) == 100
            assert small.memberships(hs) == small.stored_memberships(muster)
        except AssertionError as e:
            raise AssertionError(f"{where}\n{e}") from e
        muster.kill()
        declare(muster, "Heads", ["VP", "Manager"], [])
    assert index == CHANGES + 1


# -- handing over, which sends nothing that could be seen


def serve_until(muster, call, nth):
    """kill -9 in place of a thread's nth system call of this name; False when
    all was done before."""
    muster.daemon.launch(
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e",
         f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}",
         binary(), "-c", muster.path("muster.yaml"), "serve"],
        env=muster._environment(), cwd=muster.dir)
    process = muster.daemon.process
    wait_until(lambda: process.poll() is not None or idle(muster), 30,
               "the kill")
    killed = process.poll() is not None
    muster.kill()
    return killed


def logins(hs):
    """{agent: how many}"""
    found = [r.body["identifier"]["user"] for r in hs.find("POST", "/login$")
             if r.status == 200]
    return {user: found.count(user) for user in set(found)}


@pytest.mark.parametrize("call, least", [
    # Two files; for each one the mode, and that of each new directory;
    ("fchmod", 2 + 3),
    # the file and its directory, and the one above each new directory;
    ("fsync", 2 * 2 + 3),
    ("renameat", 2)])
def test_killed_while_it_hands_over(conduit_fake, muster_on, strace, call,
                                    least):
    """The file is there and whole, or it is not there. If it is, it is taken
    over, and nobody logs in again."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org("anna.vp", "ben.man"), rooms=[],
                       direct={"manager_report": False},
                       reconcile={"concurrency": 1})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    nth = 1
    while serve_until(muster, call, nth):
        try:
            want = {small.full(a): 1 + (small.full(a) in logins(hs) and
                                        muster.handoff(a) is None)
                    for a in muster.agents()}
            served(muster, hs)
            small.assert_accounts(hs, muster)
            small.assert_tokens(hs, muster, crashed=True)
            assert logins(hs) == want
        except AssertionError as e:
            raise AssertionError(f"killed at {call} {nth}\n{e}") from e
        muster.kill()
        start_over(muster, hs)
        nth += 1
    assert nth > least
