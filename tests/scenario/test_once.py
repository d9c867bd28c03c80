"""A transaction is applied once, however often and by whatever way it comes,
and whatever happens to the service between its arrival and its answer.

The homeserver is away all the while: nobody but the transactions writes to the
store."""

import contextlib
import copy
import http.client
import signal
import subprocess
import urllib.parse

import pytest

from support import small
from support.load import PATHS, Connection, Transaction
from support.process import wait_until

STABLE, LEGACY = PATHS
ROOM = "!r:load.test"


@pytest.fixture
def alone(conduit_fake, muster_on):
    """A service without its homeserver, started."""
    conduit_fake.stop()
    muster = muster_on(conduit_fake, org=small.org("anna.vp"), rooms=[])
    muster.run("registration", expect=0)
    return serve(muster)


def serve(muster):
    muster.start(ready=False)
    muster.daemon.wait_for(lambda: small.status(muster), 20, "it serves")
    return muster


def transaction(id, number, membership="join"):
    """Two members, a name, what is put aside, and what leaves nothing."""
    def event(n, type, content, **more):
        return {"type": type, "room_id": ROOM, "event_id": f"${number}.{n}",
                "sender": "@a:load.test", "content": content,
                "origin_server_ts": 1700000000000 + number, **more}
    members = [event(n, "m.room.member", {"membership": membership},
                     state_key=f"@{n}:load.test") for n in (1, 2)]
    return Transaction(id, [
        members[0], "null", members[1],
        event(3, "m.room.name", {"name": str(number)}, state_key=""),
        event(4, "m.room.message", {"body": "x"})])


def put(muster, txn, path=STABLE):
    """The status of one request; None when there was no answer."""
    connection = Connection(muster.port, muster.registration["hs_token"])
    return connection.put(path + urllib.parse.quote(txn.id, safe=""),
                          txn.body, False, lambda: None, True)


class Seen:
    """What the store says, whether the service runs or not."""

    def __init__(self, muster):
        counts = muster.json("status")["transactions"]
        self.repeated = counts["repeated"]
        self.new = counts["seen"] - counts["repeated"]
        self.events = counts["events"]
        self.quarantined = counts["quarantined"]
        self.aside = [(row["txn_id"], row["index"])
                      for row in muster.json("quarantine")]
        self.members = dict(muster.query(
            "SELECT user_id, membership FROM membership WHERE room_id = ?",
            ROOM))

    def took(self, txn, membership="join"):
        """The same, and the transaction once."""
        then = copy.copy(self)
        then.new += 1
        then.events += txn.n_events
        then.quarantined += len(txn.aside)
        then.aside = self.aside + [(id, n) for id, n, _ in txn.aside]
        then.members = {"@1:load.test": membership,
                        "@2:load.test": membership}
        return then

    def __eq__(self, other):
        return self._but_repetitions() == other._but_repetitions()

    def _but_repetitions(self):
        return {k: v for k, v in vars(self).items() if k != "repeated"}

    def __repr__(self):
        return repr(vars(self))


def put_at_one_time(muster, requests):
    """The statuses. The end of each is sent when all else of all is there."""
    connections = []
    for txn, path in requests:
        connection = http.client.HTTPConnection(
            "127.0.0.1", muster.port, timeout=60)
        connection.putrequest("PUT", path + txn.id)
        connection.putheader(
            "Authorization", "Bearer " + muster.registration["hs_token"])
        connection.putheader("Content-Length", str(len(txn.body)))
        connection.endheaders()
        connection.send(txn.body[:-1])
        connections.append(connection)
    for connection, (txn, _) in zip(connections, requests):
        connection.send(txn.body[-1:])
    statuses = [c.getresponse().status for c in connections]
    for connection in connections:
        connection.close()
    return statuses


def test_it_comes_by_many_connections_at_one_time(alone):
    """AS-54: while the store is busy with another, they all wait for it."""
    for number in range(1, 11):
        txn = transaction(f"many-{number}", number)
        busy = Transaction(f"busy-{number}", ["null"] * 300)
        before = Seen(alone)
        assert put_at_one_time(alone, [(busy, STABLE)] + [
            (txn, STABLE), (txn, LEGACY)] * 8) == [200] * 17
        now = Seen(alone)
        assert now.repeated == before.repeated + 15
        assert now.new == before.new + 2
        assert now.events == before.events + busy.n_events + txn.n_events
        assert [row for row in now.aside if row[0] == txn.id] == [(txn.id, 1)]


def test_it_comes_again(alone):
    """AS-53, AS-56, AS-57: by either path, and after a restart and a kill."""
    txn = transaction("again/1", 1)
    left = transaction("again/2", 2, "leave")
    before = Seen(alone)
    assert [put(alone, txn), put(alone, left, LEGACY)] == [200, 200]
    once = before.took(txn).took(left, "leave")
    for happens in (lambda: None, alone.stop, alone.kill):
        happens()
        if not alone.running():
            serve(alone)
        for path in (STABLE, LEGACY):
            assert [put(alone, txn, path), put(alone, left, path)] == [
                200, 200]
        assert Seen(alone) == once
    assert Seen(alone).repeated == 12


def test_the_id_comes_again_with_other_events(alone):
    """AS-58: a homeserver whose counter has begun again."""
    before = Seen(alone)
    first, second = transaction("1", 1), transaction("1", 2, "ban")
    assert [put(alone, t) for t in (first, second, second)] == [200] * 3
    alone.kill()
    serve(alone)
    assert put(alone, second, LEGACY) == 200
    now = Seen(alone)
    assert now == before.took(first).took(second, "ban")
    assert now.repeated == 2


# -- killed in the middle of it

BEFORE_COMMIT, AT_SYNC, AT_ANSWER = (
    "pwrite64", "fsync,fdatasync", "sendmsg,sendto,sendfile,writev")


@contextlib.contextmanager
def killed_at(muster, calls, nth):
    """kill -9 in place of a thread's nth system call of these names, counted
    from here on."""
    pid = muster.daemon.process.pid
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e",
         f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={nth}"])
    try:
        wait_until(lambda: tracer.poll() is not None or traced(pid), 20,
                   "it to be traced", every=0.01)
        if tracer.poll() is not None and muster.running():
            pytest.skip("strace may trace nobody who runs already")
        yield
    finally:
        tracer.kill()  # asked politely, it may wait for one that is gone
        tracer.wait()


def traced(pid):
    """All its threads are."""
    found = subprocess.run(
        f"cat /proc/{pid}/task/*/status", shell=True, capture_output=True,
        text=True).stdout
    who = [line.split()[1] for line in found.splitlines()
           if line.startswith("TracerPid:")]
    return who and "0" not in who


@pytest.mark.parametrize("calls, least, kept", [
    # The pages that it changes, each with what goes before it in the log;
    (BEFORE_COMMIT, 4, False),
    # then they are on the disk, which is no matter to who is only killed;
    (AT_SYNC, 1, True),
    # then it may be answered.
    (AT_ANSWER, 1, True)], ids=["before-commit", "at-sync", "at-answer"])
def test_killed_before_it_is_answered(alone, strace, calls, least, kept):
    """AS-55, AS-57: it is there as a whole or not at all, and comes again."""
    for nth in range(1, 100):
        txn = transaction(f"killed-{nth}", nth)
        before = Seen(alone)
        whole = before.took(txn)
        with killed_at(alone, calls, nth):
            status = put(alone, txn)
        if status == 200:
            break
        assert status is None
        process = alone.daemon.process
        assert process.wait(20) == -signal.SIGKILL, alone.tail()
        alone.kill()
        found = Seen(alone)
        assert found in (before, whole)
        if nth <= least:
            assert found == (whole if kept else before)
        serve(alone)
        assert [put(alone, txn), put(alone, txn, LEGACY)] == [200, 200]
        now = Seen(alone)
        assert now == whole
        assert now.repeated == found.repeated + (1 if found == before else 2)
    assert status == 200 and nth > least


# -- on the disk before it is answered


def calls_of(muster, strace_log, txn):
    """What the service asked of the system for one transaction, in order:
    "sync" and "answer"."""
    pid = muster.daemon.process.pid
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", strace_log, "-p", str(pid), "-e",
         f"trace={AT_SYNC},{AT_ANSWER}"])
    try:
        wait_until(lambda: tracer.poll() is not None or traced(pid), 20,
                   "it to be traced", every=0.01)
        if tracer.poll() is not None:
            pytest.skip("strace may trace nobody who runs already")
        assert put(muster, txn) == 200
    finally:
        tracer.terminate()
        tracer.wait()
    with open(strace_log, encoding="utf-8", errors="replace") as f:
        calls = ["sync" if "sync(" in line else "answer" for line in f
                 if "(" in line and "resumed" not in line]
    return calls[:calls.index("answer") + 1]


def message(n):
    return {"type": "m.room.message", "room_id": ROOM, "event_id": f"$m{n}",
            "sender": "@a:load.test", "origin_server_ts": 1,
            "content": {"body": "x"}}


def test_what_is_kept_is_on_the_disk_first(alone, strace, tmp_path):
    """AS-57. Of messages nothing is kept, and of a repetition nothing new:
    nobody waits for the disk because of them."""
    log = str(tmp_path / "calls")
    txn = transaction("kept", 1)
    for what, expected in [
            (txn, ["sync", "answer"]),
            (txn, ["answer"]),
            (Transaction("messages", [message(1), message(2)]), ["answer"]),
            (Transaction("aside", [message(3), "null"]), ["sync", "answer"]),
            (transaction("kept-2", 2), ["sync", "answer"])]:
        assert calls_of(alone, log, what) == expected, what.id
    # A kill takes none of it.
    before = Seen(alone)
    alone.kill()
    serve(alone)
    assert Seen(alone) == before and before.new == 4
    assert put(alone, Transaction("messages", [message(1), message(2)])) == 200
    assert Seen(alone) == before
