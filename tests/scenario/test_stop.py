"""SIGTERM: the service ends with status 0 within its 10 seconds, whatever it
is doing, and the next one goes on."""

import os
import signal
import socket
import threading

import pytest

from support import small
from support.fakehs import delay
from support.process import wait_until

BOUND = 10


class Silent:
    """Takes connections, and says nothing."""
    kind = "synapse"
    server_name = small.SERVER

    def __init__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(16)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def take(self):
        """The next connection, once something was sent on it."""
        self._socket.settimeout(20)
        connection, _ = self._socket.accept()
        connection.settimeout(20)
        assert connection.recv(1000)
        return connection

    def close(self):
        self._socket.close()


def stopped_well(muster):
    assert muster.stop(BOUND) == 0
    assert '"msg":"stopped"' in muster.tail(3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle(fresh_on_conduit, number):
    muster, hs = fresh_on_conduit
    muster.start()
    small.wait_settled(muster, hs)
    muster.signal(number)
    assert muster.daemon.wait_exit(BOUND) == 0
    with pytest.raises(OSError):
        small.status(muster)


def test_a_signal_that_is_not_for_us(fresh_on_conduit):
    """It does not make us deaf to the next."""
    muster, hs = fresh_on_conduit
    muster.start()
    small.wait_settled(muster, hs)
    muster.signal(signal.SIGUSR1)
    stopped_well(muster)


def test_hangup_is_no_end(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.start()
    small.wait_settled(muster, hs)
    muster.signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in muster.tail(), 10, "a word about it")
    assert small.status(muster)["ready"]
    stopped_well(muster)


@pytest.mark.parametrize("index", [1, 8, 16, 24])
def test_in_the_middle(fresh_on_conduit, index):
    """What runs is finished, nothing new is begun."""
    muster, hs = fresh_on_conduit
    asked, over = [], threading.Event()

    def on_write(n, phase, _method, _path):
        if n < index or phase != "before" or over.is_set():
            return
        if n == index:
            asked.append(n)
            muster.signal(signal.SIGTERM)
        # What others ask for at the same time is no further, either.
        wait_until(lambda: '"msg":"stopping"' in muster.tail(), 10, "it")
    hs.on_request(on_write)
    muster.start(ready=False)
    assert muster.daemon.wait_exit(BOUND + 20) == 0
    over.set()
    assert asked == [index]
    assert index <= len(hs.writes()) < index + 8  # one for each worker
    assert hs.log.in_flight == []
    assert muster.run("plan").code == 3
    # What was finished is known: no row was left in the middle.
    assert muster.query("SELECT kind, subject FROM journal "
                        "WHERE state = 'running'") == []
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


def test_homeserver_hangs_in_the_middle(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    hs.fault("POST", r"/(login|createRoom)$", delay(60), times=None)
    muster.start(ready=False)
    wait_until(lambda: len(hs.log.in_flight) >= 4, 20, "all to wait")
    stopped_well(muster)
    hs.clear_faults()
    muster.start(ready=False)
    small.wait_settled(muster, hs)


def test_shared_file_system_hangs(fresh_on_conduit, hangs):
    muster, hs = fresh_on_conduit
    flag, seen = hangs(muster, "matrix.json")
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    flag.touch()
    wait_until(seen.exists, 20, "a look to hang")
    assert muster.stop(BOUND) == 0
    assert "shared file system" in muster.tail(3)


def test_shared_file_system_hangs_from_the_start(fresh_on_conduit, hangs):
    muster, _ = fresh_on_conduit
    flag, seen = hangs(muster, "/runtime")
    flag.touch()
    muster.start(ready=False)
    wait_until(seen.exists, 20, "the start to hang")
    assert muster.stop(BOUND) == 0
    assert "shared file system" in muster.tail(3)


def test_homeserver_never_says_anything(muster_on):
    hs = Silent()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    muster.start(ready=False)
    connection = hs.take()
    stopped_well(muster)
    connection.close()
    hs.close()


def test_homeserver_is_not_there(muster_on):
    hs = Silent()
    hs.close()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    muster.start(ready=False)
    muster.daemon.wait_for(lambda: small.status(muster), 20, "it serves")
    stopped_well(muster)


def test_asked_twice(fresh_on_conduit):
    """At once, then."""
    muster, hs = fresh_on_conduit
    hs.fault("POST", r"/login$", delay(60), times=None)
    muster.start(ready=False)
    wait_until(lambda: len(hs.log.in_flight) >= 3, 20, "all to wait")
    muster.signal(signal.SIGTERM)
    wait_until(lambda: '"msg":"stopping"' in muster.tail(), 10, "it to hear")
    muster.signal(signal.SIGTERM)
    assert muster.daemon.wait_exit(BOUND) == 0


def test_somebody_holds_a_connection(declared_on_conduit):
    """Half a request, and one that is idle."""
    muster, _ = declared_on_conduit
    held = []
    for sent in (b"", b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x",
                 b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x\r\n"
                 b"Authorization: Bearer " +
                 muster.registration["hs_token"].encode() +
                 b"\r\nContent-Length: 100\r\n\r\n{"):
        held.append(socket.create_connection(("127.0.0.1", muster.port), 10))
        held[-1].sendall(sent)
    stopped_well(muster)
    for connection in held:
        connection.close()


def test_while_being_told(declared_on_conduit):
    """Deliveries during the end are taken, or come again. AS-161."""
    muster, hs = declared_on_conduit
    room = hs.room("all-employees").room_id
    over = threading.Event()

    def push():
        n = 0
        while not over.is_set():
            n += 1
            hs.push([{"type": "m.room.member", "room_id": room,
                      "event_id": f"${n}", "sender": small.full("visitor"),
                      "state_key": f"@visitor{n}:{small.SERVER}",
                      "origin_server_ts": n, "content": {
                          "membership": "invite"}}], f"txn-{n}")
    thread = threading.Thread(target=push)
    thread.start()
    try:
        wait_until(lambda: len([d for d in hs.deliveries if d.taken and
                                d.txn_id.startswith("txn-")]) > 20, 20,
                   "some to be taken")
        stopped_well(muster)
    finally:
        over.set()
        thread.join()
    taken = [d for d in hs.deliveries
             if d.status == 200 and d.txn_id.startswith("txn-")]
    known = muster.query("SELECT count(*) FROM membership "
                         "WHERE user_id LIKE '@visitor%'")
    assert known[0][0] >= len(taken)
    assert {d.status for d in hs.deliveries} <= {200, 503, None}
