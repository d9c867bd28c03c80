"""What a homeserver sends and we cannot read: kept, shown, read again; and what
the log says of a transaction."""

import json
import sqlite3

import pytest

from support import small
from support.process import wait_until
from support.small import HUMAN, full

ROOM = "!elsewhere:fleet.test"
VISITOR = "@visitor:fleet.test"


def member(who, membership="join", **more):
    return {"type": "m.room.member", "room_id": ROOM, "sender": full(HUMAN),
            "state_key": who, "event_id": f"${who}.{membership}",
            "origin_server_ts": 1700000000000,
            "content": {"membership": membership}, **more}


def push(hs, events, txn_id, raw=None):
    got = hs.push(events, txn_id, raw)
    return got.status


def as_if_upgraded(muster, id, event):
    """What is kept under this id is something that can be read."""
    db = sqlite3.connect(muster.path("muster.db"), timeout=10)
    with db:
        db.execute("UPDATE quarantine SET bytes = ? WHERE id = ?",
                   (json.dumps(event), id))
    db.close()


def stored(muster, user):
    return muster.query(
        "SELECT membership FROM membership WHERE user_id = ?", user)


def test_read_again(declared):
    """AS-52: what was put aside is not lost."""
    muster, hs = declared
    assert muster.json("quarantine") == []
    odd = member(VISITOR, room_id=12)
    assert push(hs, [member("@other:fleet.test"), odd], "odd") == 200
    row, = muster.json("quarantine")
    assert (row["id"], row["txn_id"], row["index"], row["partial"]) == (
        1, "odd", 1, False)
    assert json.loads(row["bytes"]) == odd
    assert "room_id: expected a string" in row["reason"]
    shown = muster.run("quarantine", expect=0).out
    assert "room_id: expected a string" in shown and "odd" in shown
    assert max(map(len, shown.splitlines())) < 200

    # Nothing has changed: it stays, and why is said.
    got = muster.run("quarantine", "retry", "1", expect=1)
    assert got.out == "" and "1 stays in quarantine: room_id" in got.err
    got = muster.run("quarantine", "retry", "1", "--json", expect=1)
    assert got.json == {"id": 1, "applied": False, "reason": row["reason"],
                        "events": 0, "quarantined": 0}
    assert stored(muster, VISITOR) == []

    as_if_upgraded(muster, 1, member(VISITOR))
    got = muster.run("quarantine", "retry", "1", "--json", expect=0)
    assert got.json == {"id": 1, "applied": True, "reason": None,
                        "events": 1, "quarantined": 0}
    assert stored(muster, VISITOR) == [("join",)]
    assert muster.json("quarantine") == []
    now = small.status(muster)
    assert now["quarantine"] == {"kept": 0, "bytes": 0, "dropped": 0}
    audit = [r for r in muster.json("audit")
             if r["action"] == "quarantine_retry"]
    assert [(r["actor"], r["subject"], r["detail"].split(":")[0])
            for r in audit] == [("operator", "1", "read")] + 2 * [
                ("operator", "1", "stays")]
    got = muster.run("quarantine", "retry", "1", expect=1)
    assert "no 1 in the quarantine" in got.err
    muster.assert_no_secret_shown()


def test_what_is_read_again_makes_work(declared_on_conduit):
    """The kick of an agent, that could not be read: it is asked in again."""
    muster, hs = declared_on_conduit
    room = hs.room("all-employees")
    assert push(hs, [member(full("ben.man"), room_id=5)], "kick") == 200
    # It makes the service look, which would find that he is in the room.
    wait_until(lambda: hs.reads("/joined_rooms$"), 20, "the look")
    newest = room.state[("m.room.member", full("ben.man"))]
    as_if_upgraded(muster, 1, member(
        full("ben.man"), "leave", room_id=room.room_id,
        origin_server_ts=newest["origin_server_ts"] + 1))
    hs.wait_quiet()
    hs.clear_log()
    got = muster.run("quarantine", "retry", "1", expect=0)
    assert got.out == "1 was read and has left the quarantine\n"
    wait_until(lambda: hs.writes(), 20, "something is done about it")


def test_a_whole_transaction(declared_on_conduit):
    """AS-51: what is no JSON is refused twice, then kept as it came."""
    muster, hs = declared_on_conduit
    for status in (400, 400, 200):
        assert push(hs, None, "cut", b'{"events":[') == status
    row, = muster.json("quarantine")
    assert (row["index"], row["bytes"]) == (-1, '{"events":[')
    assert " all " in muster.run("quarantine", expect=0).out
    got = muster.run("quarantine", "retry", "1", expect=1)
    assert "stays in quarantine: the body is not JSON" in got.err
    as_if_upgraded(muster, 1, {"events": [member(VISITOR), 5]})
    got = muster.run("quarantine", "retry", "1", expect=0)
    assert "2 events, 1 of which are in it now by themselves" in got.out
    assert stored(muster, VISITOR) == [("join",)]
    row, = muster.json("quarantine")
    assert (row["txn_id"], row["index"], row["bytes"]) == ("cut", 1, "5")


def test_what_is_no_longer_whole(declared_on_conduit):
    muster, hs = declared_on_conduit
    assert push(hs, [member(VISITOR, room_id="x" * 70000)], "long") == 200
    row, = muster.json("quarantine")
    assert row["partial"] and len(row["bytes"]) == 65536
    got = muster.run("quarantine", "retry", "1", expect=1)
    assert "not all that came" in got.err


@pytest.mark.parametrize("words", [
    ["retry"], ["retry", "x"], ["retry", "0"], ["retry", "-1"],
    ["retry", "1x"], ["retry", "01"], ["retry", ""], ["again", "1"], ["1"]])
def test_wrong_use(declared_on_conduit, words):
    muster, _ = declared_on_conduit
    got = muster.run("quarantine", "--", *words, expect=2)
    assert got.out == "" and "muster quarantine" in got.err


def test_nobody_to_ask(declared_on_conduit):
    muster, _ = declared_on_conduit
    assert small.ask(muster, "/v1/quarantine/9/retry", "POST")[0] == 404
    assert small.ask(muster, "/v1/quarantine/x/retry", "POST")[0] == 400
    assert small.ask(muster, "/v1/quarantine/9/retry")[0] == 405
    muster.stop()
    got = muster.run("quarantine", "retry", "1", expect=1)
    assert "no service answers" in got.err


def test_a_terminal_is_not_obeyed(declared_on_conduit):
    """Colours, a changed title, a text that runs the other way."""
    muster, hs = declared_on_conduit
    odd = b'{"events":[{"type":"\x1b[31m\x1b]0;x\x07\xe2\x80\xae"}]}'
    assert push(hs, None, "\x1b[2J", odd) == 200
    shown = muster.run("quarantine", expect=0).out
    assert "?[31m?]0;x??" in shown and "?[2J" in shown
    assert "\x1b" not in shown and "\u202e" not in shown
    assert muster.json("quarantine")[0]["txn_id"] == "\x1b[2J"


def test_how_many_left(declared_on_conduit):
    muster, hs = declared_on_conduit
    assert push(hs, 1003 * [5], "many") == 200
    assert push(hs, 2 * [6], "more") == 200
    shown = muster.run("quarantine", expect=0).out
    assert shown.endswith("\n5 older ones had to leave\n")
    assert len(shown.splitlines()) == 1 + 1000 + 1
    now = small.status(muster)
    assert now["quarantine"] == {"kept": 1000, "bytes": 1000, "dropped": 5}
    assert now["transactions"]["quarantined"] == 1005


# -- the log


def lines(muster, txn):
    found = [json.loads(line)
             for line in muster.daemon.output().splitlines()
             if line.startswith("{")]
    return [line for line in found if line.get("txn") == txn]


def test_the_log_has_a_line_for_each_transaction(declared):
    muster, hs = declared
    secret = "a-word-nobody-should-read"
    events = [
        member(VISITOR, content={"membership": "join", "reason": secret}),
        member(f"@{secret}:fleet.test"),
        {"type": "m.room.message", "room_id": ROOM, "sender": VISITOR,
         "event_id": "$m", "origin_server_ts": 1,
         "content": {"body": secret}},
        member(VISITOR, membership=secret),
        member(VISITOR, room_id=[secret]), secret, {secret: secret}]
    assert push(hs, events, "seen") == 200
    assert push(hs, events, "seen") == 200
    for text in (f'{{"{secret}', f'{{"events": "{secret}"}}',
                 f'["{secret}"]'):
        assert push(hs, None, "unseen", text.encode()) in (200, 400)
    once, again = lines(muster, "seen")
    assert once["msg"] == again["msg"] == "transaction"
    assert (once["events"], once["applied"], once["quarantined"],
            once["repeated"]) == (7, 2, 4, 0)
    assert (again["events"], again["applied"], again["quarantined"],
            again["repeated"]) == (7, 0, 0, 1)
    assert once["us"] > 0 and again["us"] > 0
    refused = lines(muster, "unseen")
    assert [r["msg"] for r in refused] == [
        "transaction refused", "transaction refused", "transaction"]
    # Never what was in it, nor a token.
    assert secret not in muster.daemon.output()
    muster.assert_no_secret_shown()
