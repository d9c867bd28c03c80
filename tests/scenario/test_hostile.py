"""What nobody should send: what is answered, what is in the store afterwards,
and that the service is well when it has seen all of it. The table is
support.hostile's."""

import http.client
import json
import socket
import sqlite3

import pytest

from support import hostile, small
from support.fakehs import FakeHS
from support.muster import Muster

COUNTED = ("seen", "repeated", "events", "quarantined")


class Service:
    """The small fleet's, served to a scripted homeserver."""

    def __init__(self, dir):
        self.hs = FakeHS(small.SERVER, "conduit").start()
        self.muster = Muster(dir, self.hs, org=small.org())
        self.muster.run("registration", expect=0)
        self.hs.add_appservice(self.muster.registration_path)
        self.muster.start()
        small.wait_settled(self.muster, self.hs)
        self.hs.clear_log()

    def send(self, text, waits=True):
        """The answer to these bytes, if anybody waits for it."""
        keys = self.muster.registration
        for word, value in (
                ("<token>", keys["hs_token"]), ("<as_token>", keys["as_token"]),
                ("<escaped>", "".join(
                    f"%{ord(c):02x}" for c in keys["hs_token"]))):
            text = text.replace(word, value)
        with socket.create_connection(
                ("127.0.0.1", self.muster.port), timeout=60) as s:
            s.sendall(text.encode("utf-8", "surrogateescape"))
            if not waits:
                return None, b""
            answer = http.client.HTTPResponse(s)
            answer.begin()
            return answer, answer.read()

    # -- what is in the store

    def rows(self):
        """({(room, user): membership}, {(room, type): content})"""
        return small.stored_memberships(self.muster), {
            (room, type): content for room, type, content in
            self.muster.query("SELECT room_id, type, content FROM room_state")}

    def newest(self):
        return self.muster.query("SELECT max(id) FROM quarantine")[0][0] or 0

    def aside(self, since):
        return self.muster.query(
            "SELECT txn_id, event_index, reason, bytes FROM quarantine "
            "WHERE id > ? ORDER BY id", since)

    def counted(self):
        return {name: small.status(self.muster)["transactions"][name]
                for name in COUNTED}

    # -- the end

    def assert_well(self):
        """It has nothing to do, has done nothing, and can start again."""
        assert self.muster.run("healthcheck", expect=0).out == "ready\n"
        small.wait_settled(self.muster, self.hs)
        assert self.hs.writes() == []
        small.assert_tokens(self.hs, self.muster)
        small.assert_policy_rooms(self.hs, self.muster)
        self.muster.restart()
        self.muster.stop()
        db = sqlite3.connect(self.muster.path("muster.db"))
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.close()

    def assert_discreet(self):
        """Its log says nothing of what was in the events, nor of tokens, right
        or wrong, in whatever place they came (AS-19, AS-46)."""
        self.muster.assert_no_secret_shown()
        for word in ("@before", "@u0", "Ca\\u0000rla", '"body"'):
            assert word not in self.muster.daemon.output()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One for all rows."""
    service = Service(tmp_path_factory.mktemp("hostile"))
    try:
        yield service
        service.assert_well()
        service.assert_discreet()
    finally:
        service.muster.close()
        service.hs.stop()
    assert service.hs.errors == []


def filled(value, n):
    """With the row's number in every place of it."""
    if isinstance(value, str):
        return value.replace("<n>", f"{n:04}")
    return {tuple(part.replace("<n>", f"{n:04}") for part in key):
            filled(what, n) for key, what in value.items()}


def assert_answer(row, status, answer, text):
    """All is JSON (AS-25); a refusal says what and why (AS-24), and what is
    done is done with 200 and no words (AS-27)."""
    assert answer.status == status, text
    if row.page and status != 200:
        return
    assert answer.headers["Content-Type"] == "application/json", text
    body = json.loads(text)
    if status == 200:
        assert body == {}
        return
    assert set(body) == {"errcode", "error"}
    assert row.errcode in (None, body["errcode"])
    assert body["error"] and isinstance(body["error"], str)
    if status == 405:
        assert answer.headers["Allow"] in ("PUT", "POST", "GET")


def news(before, after):
    assert set(before) <= set(after), "something is gone"
    return {key: value for key, value in after.items()
            if before.get(key) != value}


@pytest.mark.parametrize("n, row", list(enumerate(hostile.TABLE)), ids=[
    row.name for row in hostile.TABLE])
def test_hostile(service, n, row):
    members, states = service.rows()
    newest, counted = service.newest(), service.counted()
    for text, status in row.sends:
        answer, said = service.send(filled(text, n), status is not None)
        if answer:
            assert_answer(row, status, answer, said)
    now_members, now_states = service.rows()
    assert news(members, now_members) == filled(row.there, n)
    assert news(states, now_states) == filled(row.state, n)
    aside = service.aside(newest)
    assert [(txn, index) for txn, index, _, _ in aside] == [
        (filled(row.txn, n), index) for index, _ in row.aside]
    for (_, _, reason, kept), (_, part) in zip(aside, row.aside):
        assert part in reason
        assert len(kept.encode()) <= 65536
    assert {name: value - counted[name]
            for name, value in service.counted().items()
            if value != counted[name]} == row.rises
    assert service.muster.running()


def test_names():
    """Every row is found by its name, and there are enough of them."""
    names = [row.name for row in hostile.TABLE]
    assert len(names) == len(set(names)) >= 150
