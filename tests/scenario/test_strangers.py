"""What the service does with others than the homeserver that connect to where
the Application Service API is served, and with a homeserver of old manners."""

import http.client
import json
import resource
import socket

import pytest

from support import small
from support.process import wait_until
from support.small import HUMAN, full


def connect(muster):
    return socket.create_connection(("127.0.0.1", muster.port), 60)


@pytest.fixture
def room_for_crowds():
    """Descriptors for both sides of what the tests open."""
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (was[1], was[1]))
    yield was[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


def ended(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("text", [
    b"", b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x\r\nX:"])
def test_five_hundred_of_them(settled_on_conduit, room_for_crowds, text):
    """What happens on the homeserver arrives nevertheless, while they are all
    there: nobody's time has to be over first."""
    muster, hs = settled_on_conduit
    crowd = [connect(muster) for _ in range(500)]
    for stranger in crowd:
        stranger.sendall(text)
    human = hs.human(HUMAN)
    room = hs.room("all-employees")
    assert room.membership(full(HUMAN)) == "invite"
    for change, want in ((human.join, "join"), (human.leave, "leave")):
        change(room.room_id)
        wait_until(lambda: small.stored_memberships(muster)[
            (room.room_id, full(HUMAN))] == want, 20, "the news to arrive")
        gone = [stranger for stranger in crowd if ended(stranger)]
        # With fewer descriptors the oldest of them had to go.
        assert gone == [] or room_for_crowds < 4096
        for stranger in crowd:
            if text and stranger not in gone:
                stranger.sendall(b"a")
    for stranger in crowd:
        stranger.close()
    muster.assert_no_findings()


def ask(muster, method, path, token=True):
    connection = http.client.HTTPConnection("127.0.0.1", muster.port, timeout=60)
    headers = {"Authorization": "Bearer " + muster.registration["hs_token"]}
    connection.request(method, path, b"{}" if method != "GET" else None,
                       headers if token else {})
    answer = connection.getresponse()
    doc = json.loads(answer.read())
    connection.close()
    return answer.status, doc.get("errcode")


def by_query(muster, path):
    return path + "?access_token=" + muster.registration["hs_token"]


PING = "/_matrix/app/v1/ping"
OLD_PING = "/_matrix/app/unstable/fi.mau.msc2659/ping"


def test_old_manners(settled_on_conduit):
    """AS-44, AS-97, AS-98: taken, unless they are switched off; then Conduit,
    which sends the token twice, is still understood."""
    muster, hs = settled_on_conduit
    assert ask(muster, "POST", OLD_PING) == (200, None)
    assert ask(muster, "POST", by_query(muster, PING), token=False) == (
        200, None)
    muster.write_config(appservice={"legacy_paths": False,
                                    "query_token": False})
    muster.stop()
    muster.start()
    small.wait_settled(muster, hs)
    for method, path in (("POST", OLD_PING), ("PUT", "/transactions/1"),
                         ("GET", "/users/@a:b"), ("GET", "/rooms/%23a:b")):
        assert ask(muster, method, path) == (404, "M_UNRECOGNIZED")
    assert ask(muster, "POST", PING) == (200, None)
    assert ask(muster, "POST", by_query(muster, PING)) == (200, None)
    assert ask(muster, "POST", by_query(muster, PING), token=False) == (
        401, "M_MISSING_TOKEN")
