"""kill -9 at every write of a whole provisioning, before the homeserver has
done it and after, and then another start: nothing is lost, and nothing is done
twice that anybody could see."""

import glob
import os
import shutil

import pytest

from support import small
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
        hs.on_request(self._on_write)

    def arm(self, index, phase):
        self.at = (index, phase)

    def _on_write(self, index, phase, _method, _path):
        if (index, phase) == self.at:
            self.at = None
            self.process.kill()

    def serve(self):
        """Until it was killed; False when it came to its end before."""
        self.muster.start(ready=False)
        self.process = self.muster.daemon.process
        wait_until(lambda: self.process.poll() is not None or (
            self.at is not None and self._idle()), 30, "the kill")
        killed = self.at is None
        self.muster.kill()
        return killed

    def _idle(self):
        try:
            return small.status(self.muster)["ready"] and (
                small.steps(self.muster) == [])
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
