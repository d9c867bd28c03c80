"""The disk of the store is full: transactions are refused with nothing of them
kept, and taken as soon as there is room."""

import contextlib
import os
import subprocess

import pytest

from support import small
from support.load import PATHS, Connection, Transaction
from support.process import wait_until

ROOM = "!r:load.test"
PAGE = 4096
MEMBERS = 100


class Disk:
    """A file system of its own."""
    SIZE = 64 << 20

    def __init__(self, path):
        self.path = str(path)
        self._filler = os.path.join(self.path, "filler")

    def fill(self, left):
        """But for so many bytes; as much as is on it already stays."""
        with open(self._filler, "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while f.write(b"x" * PAGE):
                    pass
            f.truncate(f.tell() - left)

    def make_room(self):
        os.unlink(self._filler)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={Disk.SIZE}",
                       "none", path]).returncode != 0:
        pytest.skip("nothing may be mounted here")
    yield Disk(path)
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def served(disk, conduit_fake, muster_on):
    """A service whose store is on the small disk, settled."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org("anna.vp"), rooms=[],
                       store={"path": os.path.join(disk.path, "muster.db")})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    return muster, hs


def large(number):
    """Some 30 pages: members, then what is put aside."""
    members = [{
        "type": "m.room.member", "room_id": ROOM, "sender": "@a:load.test",
        "event_id": f"${number}.{n}", "state_key": f"@{number}.{n}:load.test",
        "origin_server_ts": 1700000000000 + number,
        "content": {"membership": "join"}} for n in range(MEMBERS)]
    return Transaction(f"large-{number}", members + ['"%s"' % ("x" * 30000)])


def put(muster, txn):
    connection = Connection(muster.port, muster.registration["hs_token"])
    return connection.put(PATHS[0] + txn.id, txn.body, False, lambda: None,
                          True)


def kept(muster):
    """All that the store says of transactions."""
    counts = small.status(muster)["transactions"]
    return {
        "new": counts["seen"] - counts["repeated"],
        "events": counts["events"], "quarantined": counts["quarantined"],
        "aside": muster.query("SELECT count(*) FROM quarantine")[0][0],
        "members": muster.query("SELECT count(*) FROM membership "
                                "WHERE room_id = ?", ROOM)[0][0]}


def with_one_more(before):
    return {"new": before["new"] + 1,
            "events": before["events"] + MEMBERS + 1,
            "quarantined": before["quarantined"] + 1,
            "aside": before["aside"] + 1,
            "members": before["members"] + MEMBERS}


def until_refused(muster, numbers):
    """The store has made room ahead for some; the first for which there is
    none, and what was kept before it."""
    for number in numbers:
        txn, before = large(number), kept(muster)
        status = put(muster, txn)
        if status != 200:
            assert 500 <= status < 600
            return txn, before
        assert kept(muster) == with_one_more(before)
    raise AssertionError("nothing was refused")


def test_the_disk_is_full(served, disk):
    """AS-32, AS-55: wherever in a transaction that is found out."""
    muster, hs = served
    numbers = iter(range(1, 2000))
    for turn in range(8):
        disk.fill(turn * 2 * PAGE)
        txn, before = until_refused(muster, numbers)
        assert kept(muster) == before
        assert 500 <= put(muster, txn) < 600  # it comes again, too early
        assert kept(muster) == before
        disk.make_room()
        assert put(muster, txn) == 200
        assert kept(muster) == with_one_more(before)
        assert put(muster, txn) == 200
        assert kept(muster) == with_one_more(before)
    muster.kill()
    assert muster.query("PRAGMA integrity_check") == [("ok",)]
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert put(muster, txn) == 200
    assert kept(muster) == with_one_more(before)


def test_it_says_so(served, disk):
    """And that is over with the full disk."""
    muster, hs = served
    disk.fill(0)
    txn, _ = until_refused(muster, range(1, 200))

    def said():
        now = small.ask(muster, "/health/ready")[1]
        return not now["ready"] and any(
            "make room on the disk" in why for why in now["why_not"])
    wait_until(said, 20, "it to be said")
    disk.make_room()
    small.wait_settled(muster, hs)
    assert put(muster, txn) == 200
