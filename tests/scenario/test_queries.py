"""What a homeserver asks the service: is there such a user, such a room, such a
network, and does it hear a ping. The AS numbers are those of the list of what
an application service must do."""

import concurrent.futures
import http.client
import json
import signal
import sqlite3
import threading
import time
import urllib.parse

import pytest

from support import small
from support.appservice import AppService
from support.client import Client, V3
from support.fakehs import answer, delay, hold
from support.process import wait_until
from support.small import AGENTS, HUMAN, SENDER, full

NOW = "/_matrix/app/v1"
THEN = "/_matrix/app/unstable"
PATHS = ["/_matrix/app/v1/users/", "/users/"]


def sent(muster, path, method="GET", body=None, token=True):
    """A request to the Application Service API, for answer_to()."""
    heads = {"Authorization": f"Bearer {muster.registration['hs_token']}"}
    conn = http.client.HTTPConnection("127.0.0.1", muster.port, timeout=60)
    conn.request(method, path, body, heads if token else {})
    return conn


def answer_to(conn):
    """(status, document)"""
    try:
        got = conn.getresponse()
        assert got.getheader("Content-Type").startswith("application/json")
        return got.status, json.loads(got.read())
    finally:
        conn.close()


def ask(muster, path, method="GET", body=None, token=True):
    """(status, document) of the Application Service API."""
    return answer_to(sent(muster, path, method, body, token))


def user(muster, user_id, path=PATHS[0]):
    return ask(muster, path + urllib.parse.quote(user_id, safe=""))


def errcode(got):
    assert set(got[1]) == {"errcode", "error"} and got[1]["error"]
    return got[0], got[1]["errcode"]


NONE = (404, "M_NOT_FOUND")


@pytest.fixture
def absent(fresh):
    """(muster, homeserver, localpart): served, and as declared but for one
    agent: registering it has failed, and is to be tried again in half an
    hour."""
    muster, hs = fresh
    muster.write_config(reconcile={"concurrency": 1})
    hs.fault("POST", r"/register$", answer(500, {
        "errcode": "M_UNKNOWN", "error": "not now"}), times=None, skip=3)
    muster.start()
    muster.daemon.wait_for(
        lambda: small.status(muster)["journal"]["failed"] == 1, 20,
        "one step fails")
    muster.stop()
    hs.clear_faults()
    missing, = [a for a in AGENTS if hs.user(a) is None]
    db = sqlite3.connect(muster.path("muster.db"))
    with db:
        db.execute(
            "UPDATE journal SET next_attempt_ms = ? WHERE state = 'failed'",
            (int(time.time() * 1000) + 1800000,))
    db.close()
    muster.start()
    hs.wait_quiet()
    assert hs.user(missing) is None
    assert small.agent(muster, missing)["state"] == "declared"
    hs.clear_log()
    return muster, hs, missing


def registers(hs):
    return hs.find("POST", r"/register$")


# -- users


@pytest.mark.parametrize("path", PATHS, ids=["stable", "legacy"])
def test_a_declared_agent_is_registered_at_once(absent, path):
    """AS-91: before the answer; and the rest of it follows."""
    muster, hs, who = absent
    assert user(muster, full(who), path) == (200, {})
    assert hs.user(who).registered
    register, = registers(hs)
    assert register.body["username"] == who
    assert register.body["inhibit_login"] is True
    assert small.agent(muster, who)["state"] != "declared"
    # AS-91b: again, and by the other path
    for other in PATHS:
        assert user(muster, full(who), other) == (200, {})
    small.wait_settled(muster, hs)
    assert len(registers(hs)) == 1
    small.assert_as_declared(hs, muster)
    assert ("register", full(who), "done") in [
        (s["kind"], s["subject"], s["state"])
        for s in muster.json("journal")]


def test_asked_twice_at_once_and_by_the_loop(absent):
    """AS-91b: one registration. Two may wait for it; a third is told to come
    again, and transactions are taken meanwhile."""
    muster, hs, who = absent
    go_on = threading.Event()
    hs.fault("POST", r"/register$", hold(go_on))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(user, muster, full(who), PATHS[0])]
        wait_until(lambda: registers(hs), 20, "it registers")
        # Connected now, so not to the thread that waits.
        asked.append(pool.submit(user, muster, full(who), PATHS[1]))
        # Something that the loop has to look at as well.
        got = hs.push([{
            "type": "m.room.join_rules", "event_id": "$x",
            "sender": full(HUMAN), "state_key": "", "origin_server_ts": 1,
            "room_id": muster.json("rooms")[0]["room_id"],
            "content": {"join_rule": "invite", "x": 1}}])
        assert got.status == 200
        asked.append(pool.submit(user, muster, full(who)))
        # Whichever of these came last.
        told, waiting = concurrent.futures.wait(
            asked[1:], 60, concurrent.futures.FIRST_COMPLETED)
        go_on.set()
        assert [errcode(f.result()) for f in told] == [(503, "M_UNKNOWN")]
        assert [f.result() for f in (asked[0], *waiting)] == [(200, {})] * 2
    small.wait_settled(muster, hs)
    assert len(registers(hs)) == 1
    small.assert_as_declared(hs, muster)


def test_who_is_there_is_not_asked_for(declared):
    """AS-91b: no call to the homeserver for those that exist."""
    muster, hs = declared
    hs.wait_quiet()
    hs.clear_log()
    for who in (*AGENTS, SENDER):
        for path in PATHS:
            assert user(muster, full(who), path) == (200, {})
    # AS-28, AS-29: as it comes, decoded once
    assert ask(muster, PATHS[0] + full("ben.man")) == (200, {})
    assert ask(muster, PATHS[0] + "%40ben%2Eman%3Afleet.test") == (200, {})
    assert errcode(ask(muster, PATHS[0] + "%2540ben.man%3Afleet.test")) == NONE
    assert hs.requests == []


STRANGERS = [
    full(HUMAN), full("nobody"), "@{}2:fleet.test", "@x{}:fleet.test",
    full("CLEO.IC"), full("conduit"), "@{}:other.test", "@{}:fleet.test:8448", "@{}:fleet.tes", "@{}", "{}",
    "{}:fleet.test", "#{}:fleet.test", "@@{}:fleet.test", "@{}:fleet.test ",
    " @{}:fleet.test", "@{}/x:fleet.test", "@:fleet.test", "@", ":", "@{}:",
    "@{}:[::1]:8448", "@{}:fleet.test\n", "@{}:FLEET.TEST", "%", "\u20ac"]


def test_who_is_none_of_ours(absent):
    """AS-91a, AS-91e, AS-11: and the homeserver is not asked. Nor may anybody
    else ask."""
    muster, hs, who = absent
    for path in PATHS:
        for id in STRANGERS:
            assert errcode(user(muster, id.format(who), path)) == NONE, id
        assert errcode(ask(muster, path + full(who), token=False)) == (
            401, "M_MISSING_TOKEN")
    assert hs.requests == []


@pytest.mark.parametrize("broken", [
    answer(500, {"errcode": "M_UNKNOWN", "error": "x"}),
    answer(404, {"errcode": "M_NOT_FOUND", "error": "x"}),
    answer(403, {"errcode": "M_FORBIDDEN", "error": "x"}),
    answer(502, b"<html>")], ids=["500", "404", "403", "proxy"])
def test_the_homeserver_refuses(absent, broken):
    """AS-91c: then it cannot be said; and it is tried again when asked."""
    muster, hs, who = absent
    hs.fault("POST", r"/register$", broken, times=None)
    assert errcode(user(muster, full(who))) == (502, "M_UNKNOWN")
    assert hs.user(who) is None
    hs.clear_faults()
    assert user(muster, full(who)) == (200, {})
    # Meanwhile it may have been tried again without being asked.
    assert {r.status for r in registers(hs)[:-1]} == {broken.answer[0]}
    assert registers(hs)[-1].status == 200
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


def test_the_homeserver_is_away(absent):
    """AS-91c: as long as it is; those that exist still do."""
    muster, hs, who = absent
    hs.stop()
    assert errcode(user(muster, full(who))) in [
        (502, "M_UNKNOWN"), (503, "M_UNKNOWN")]
    muster.daemon.wait_for(lambda: not small.status(muster)["ready"], 20,
                           "it is not ready")
    assert errcode(user(muster, full(who))) == (503, "M_UNKNOWN")
    other = next(a for a in AGENTS if a != who)
    assert user(muster, full(other)) == (200, {})
    hs.start()
    muster.wait_ready()
    assert user(muster, full(who)) == (200, {})


def test_before_it_is_connected(fresh):
    muster, hs = fresh
    hs.stop()
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: "trying again" in muster.tail(), 20, "it has tried")
    for path in PATHS:
        assert errcode(user(muster, full("ben.man"), path)) == (
            503, "M_UNKNOWN")
        assert errcode(user(muster, full("nobody"), path)) == NONE
    hs.start()
    muster.wait_ready()
    assert user(muster, full("ben.man")) == (200, {})


def test_it_takes_too_long(absent):
    """AS-91d: answered all the same, and the work goes on."""
    muster, hs, who = absent
    go_on = threading.Event()
    hs.fault("POST", r"/register$", hold(go_on))
    try:
        assert errcode(user(muster, full(who))) == (504, "M_UNKNOWN")
        register, = registers(hs)
        assert register.status is None
    finally:
        go_on.set()
    wait_until(lambda: user(muster, full(who)) == (200, {}), 20, "it is there")
    small.wait_settled(muster, hs)
    assert len(registers(hs)) == 1


def test_what_it_needs_fails(fresh):
    """AS-91c: nobody is registered before the service's own user; that is
    known at once."""
    muster, hs = fresh
    hs.fault("POST", r"/register$", answer(500, {
        "errcode": "M_UNKNOWN", "error": "x"}), times=None)
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: small.status(muster)["journal"]["failed"] == 1, 20,
        "the first step fails")
    assert errcode(user(muster, full("ben.man"))) == (502, "M_UNKNOWN")
    assert hs.user("ben.man") is None
    hs.clear_faults()
    small.wait_settled(muster, hs)
    assert user(muster, full("ben.man")) == (200, {})


def test_a_name_that_somebody_has(fakehs, muster_on):
    """The account is not ours: we do not say that it is."""
    hs = fakehs
    hs.human("cleo.ic")
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    assert small.agent(muster, "cleo.ic")["state"] == "blocked"
    hs.clear_log()
    assert errcode(user(muster, full("cleo.ic"))) == NONE
    assert hs.requests == []


def test_somebody_takes_the_name_meanwhile(absent):
    """M_USER_IN_USE is judged as ever: here the agent is blocked."""
    muster, hs, who = absent
    hs.fault("POST", r"/register$", answer(400, {
        "errcode": "M_USER_IN_USE", "error": "taken"}))
    hs.fault("GET", r"/devices$", answer(200, {
        "devices": [{"device_id": "SOMEBODYS"}]}))
    hs.fault("GET", r"/devices/MUSTER$", answer(404, {
        "errcode": "M_NOT_FOUND", "error": "none"}))
    assert errcode(user(muster, full(who))) == NONE
    assert small.agent(muster, who)["state"] == "blocked"


def test_it_stops_meanwhile(absent):
    muster, hs, who = absent
    go_on = threading.Event()
    hs.fault("POST", r"/register$", hold(go_on))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            asked = pool.submit(user, muster, full(who))
            wait_until(lambda: registers(hs), 20, "it registers")
            muster.signal(signal.SIGTERM)
            assert errcode(asked.result()) == (503, "M_UNKNOWN")
        finally:
            go_on.set()
    muster.stop()


def test_it_asks_during_our_own_request(absent):
    """AS-65: the only worker waits for the homeserver, which waits for us."""
    muster, hs, who = absent
    seen = []
    over = threading.Event()

    def on_write(_index, phase, _method, path):
        if phase == "before" and path.endswith("/invite") and not seen:
            seen.append(user(muster, full(who)))
            over.set()
    hs.on_request(on_write)
    room = hs.room("all-employees")
    other = next(a for a in AGENTS if a != who)
    Client(hs.url, muster.handoff(other)["access_token"]).leave(room.room_id)
    assert over.wait(60)
    # The loop was busy: not yet, but soon.
    assert errcode(seen[0]) == (504, "M_UNKNOWN")
    wait_until(lambda: room.membership(full(other)) == "join", 20, "it is back")
    wait_until(lambda: user(muster, full(who)) == (200, {}), 20, "it is there")
    assert len(registers(hs)) == 1


def test_it_comes_before_everything_else(fresh_on_conduit):
    """Somebody waits: the account is made before the others."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"concurrency": 1})
    asked = []

    def ask_meanwhile(_index, phase, _method, path):
        """For the last agent, while the first one has its turn."""
        made = [r.body["username"] for r in registers(hs)]
        if phase == "before" and path.endswith("/register") and (
                len(made) == 2):
            last = sorted(set(AGENTS) - set(made))[-1]
            asked.append((made[1], last, sent(muster, PATHS[0] + full(last))))
    hs.on_request(ask_meanwhile)
    # After that, so that it has been read when the answer comes.
    hs.fault("POST", r"/register$", delay(1.5), skip=1)
    muster.start(ready=False)
    wait_until(lambda: asked, 20, "the first agent's turn")
    (first, last, question), = asked
    assert answer_to(question) == (200, {})
    assert [r.body["username"] for r in registers(hs)][:3] == [
        SENDER, first, last]
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


# -- rooms


def test_rooms(fakehs, muster_on):
    """AS-91: only those of the policy that exist; AS-28, AS-29."""
    muster = muster_on(fakehs, org=small.org(), rooms=[
        {"alias": "all-employees", "members": {"everyone": True}},
        {"alias": "dev/ops", "members": {"level": "IC"}}])
    muster.run("registration", expect=0)
    fakehs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, fakehs)
    fakehs.clear_log()
    for path in (NOW + "/rooms/", "/rooms/"):
        for there in ("%23all-employees%3Afleet.test",
                      "%23all-employees:fleet.test",
                      "%23dev/ops:fleet.test", "%23dev%2Fops%3Afleet.test"):
            assert ask(muster, path + there) == (200, {}), there
        for none in ("#nowhere:fleet.test", "#all-employees:other.test",
                     "#all-employees:fleet.test:8448", "#all-employees",
                     "all-employees", "@anna.vp:fleet.test", "#", ":",
                     "#dev%2Fops:fleet.test", "#ALL-EMPLOYEES:fleet.test",
                     "@anna.vp:fleet.test @ben.man:fleet.test",
                     "@anna.vp:fleet.test @carla.ceo:fleet.test",
                     fakehs.room("all-employees").room_id):
            got = ask(muster, path + urllib.parse.quote(none, safe=""))
            assert errcode(got) == NONE, none
    # It is looked where they lead, and nothing has to be done.
    small.wait_settled(muster, fakehs)
    assert fakehs.writes() == []
    muster.stop()
    # A room that is declared no more is none that we vouch for; one that is
    # declared and not made yet does not exist.
    muster.write_config(rooms=[
        {"alias": "dev/ops", "members": {"level": "IC"}},
        {"alias": "new", "members": {"everyone": True}}])
    fakehs.stop()
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: "trying again" in muster.tail(), 20, "it has tried")
    assert ask(muster, "/rooms/%23dev%2Fops%3Afleet.test") == (200, {})
    for none in ("all-employees", "new"):
        assert errcode(
            ask(muster, f"/rooms/%23{none}%3Afleet.test")) == NONE
    fakehs.start()


def test_an_alias_is_gone(fresh):
    """Somebody took it off the room (an administrator may): the homeserver asks
    for it when somebody wants to go there, and by then it is missed."""
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    human = hs.human("hanna")
    room, alias = hs.room("platform-team"), "#platform-team:fleet.test"
    with hs.lock:
        hs.clear_log()
        room.aliases.remove(hs.world.aliases.pop(alias) and alias)
    wait_until(lambda: human.resolve(alias), 30, "it leads somewhere again")
    assert human.resolve(alias) == room.room_id
    small.wait_settled(muster, hs)
    assert [(w.method, urllib.parse.unquote(w.path)) for w in hs.writes()] == [
        ("PUT", f"{V3}/directory/room/{alias}")]
    assert "the alias of a room leads nowhere" in muster.tail(60)
    # Not again for who only asks.
    assert ask(muster, NOW + "/rooms/" + urllib.parse.quote(alias))[0] == 200
    small.wait_settled(muster, hs)
    assert len(hs.writes()) == 1


# -- ping


PINGS = [
    (b'{"transaction_id":"meow"}', (200, None)),
    (b'{"transaction_id":null}', (200, None)),
    (b'{"transaction_id":5}', (200, None)),
    (b'{}', (200, None)), (b'', (200, None)), (None, (200, None)),
    (b'{', (400, "M_NOT_JSON")), (b'\xff', (400, "M_NOT_JSON")),
    (b'nope', (400, "M_NOT_JSON")), (b'[]', (400, "M_BAD_JSON")),
    (b'"x"', (400, "M_BAD_JSON")), (b'null', (400, "M_BAD_JSON"))]


def test_ping(declared_on_conduit):
    """AS-83, AS-84, AS-85."""
    muster, hs = declared_on_conduit
    for path in (NOW + "/ping", THEN + "/fi.mau.msc2659/ping"):
        for body, want in PINGS:
            got = ask(muster, path, "POST", body)
            assert (got == (200, {})) if want[1] is None else (
                errcode(got) == want), body
            assert errcode(ask(muster, path, "POST", body, token=False)) == (
                401, "M_MISSING_TOKEN")
    assert hs.requests == []


def why_not(muster):
    return small.status(muster)["why_not"]


def test_our_ping_goes_to_somebody_else(fakehs, muster_on, tmp_path):
    """AS-86: it was answered well, but not by us."""
    hs = fakehs
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    other = AppService(hs.server_name, tmp_path, id="other")
    try:
        hs.register_appservice(
            {**muster.registration, "url": other.registration["url"]})
        muster.start(ready=False)
        muster.daemon.wait_for(
            lambda: any("reaches somebody at " in why
                        for why in why_not(muster)), 20, "it is noticed")
        assert [p[1] for p in other.received if "/ping" in p[1]] == [
            NOW + "/ping"]
        id, = [p[4]["transaction_id"] for p in other.received
               if "/ping" in p[1]]
        assert id.startswith("muster-")
        assert not small.status(muster)["ready"]
        # Nobody has pinged us yet; whoever does it with the token does.
        assert ask(muster, NOW + "/ping", "POST", b"{")[0] == 400
        assert any("reaches somebody" in why for why in why_not(muster))
        assert ask(muster, NOW + "/ping", "POST",
                   b'{"transaction_id":"another"}') == (200, {})
        assert not any("reaches" in why for why in why_not(muster))
    finally:
        other.stop()


def test_our_ping_comes_to_us(declared):
    """AS-83, AS-86: an id of its own for each start."""
    muster, hs = declared
    muster.restart()
    pings = [r for r in hs.requests if r.path.endswith("/ping")]
    assert len(pings) == 1 and pings[0].status == 200
    assert pings[0].body["transaction_id"].startswith("muster-")
    muster.restart()
    pings = [r for r in hs.requests if r.path.endswith("/ping")]
    assert len({p.body["transaction_id"] for p in pings}) == 2


# -- networks


def test_third_party(declared_on_conduit):
    """AS-92, AS-95: we have none; look-ups need what is looked up."""
    muster, hs = declared_on_conduit
    for base in (NOW + "/thirdparty", THEN + "/thirdparty"):
        for path in ("/protocol/irc", "/user/irc", "/location/irc",
                     "/user/irc?network=freenode&nickname=jim",
                     "/user?userid=%40a%3Afleet.test", "/user?userid=",
                     "/location?alias=%23a%3Afleet.test"):
            assert errcode(ask(muster, base + path)) == NONE, path
        for path in ("/user", "/location", "/user?alias=x",
                     "/location?userid=x", "/user?network=freenode"):
            assert errcode(ask(muster, base + path)) == (
                400, "M_MISSING_PARAM"), path
    assert hs.requests == []
