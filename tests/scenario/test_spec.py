"""The service's side of the Application Service API, where it takes more than
one request to see it. tests/spec-items.md says where each of its items, AS-01
and so on, is tested."""

import concurrent.futures
import os
import re
import sqlite3
import threading

import pytest

from support import small
from support.client import Client
from support.fakehs import reset_after
from support.process import wait_until
from support.small import AGENTS, HUMAN, SENDER, full

V1 = "/_matrix/app/v1"
ROOM = "!elsewhere:fleet.test"
VISITOR = "@visitor:fleet.test"


def ask(muster, method, path, body=None, **more):
    """As the homeserver asks it."""
    return Client(f"http://127.0.0.1:{muster.port}",
                  muster.registration["hs_token"]).call(
        method, path, body, **more)


def member(membership="join", n=1, user=VISITOR, room=ROOM, **more):
    return {"type": "m.room.member", "event_id": f"${n}", "room_id": room,
            "sender": user, "state_key": user, "origin_server_ts": n,
            "content": {"membership": membership}, **more}


def put(muster, txn, *events, path=V1):
    return ask(muster, "PUT", f"{path}/transactions/{txn}",
               {"events": list(events)})


def taken(muster, txn, *events, path=V1):
    """What was counted: (seen, repeated, events)."""
    before = small.status(muster)["transactions"]
    got = put(muster, txn, *events, path=path)
    assert (got.status, got.body) == (200, {})
    now = small.status(muster)["transactions"]
    return tuple(now[k] - before[k] for k in ("seen", "repeated", "events"))


def stored(muster, user=VISITOR, room=ROOM):
    return small.stored_memberships(muster).get((room, user))


NEW, KNOWN = (1, 0, 1), (1, 1, 0)


# -- exactly once


def test_once(declared_on_conduit):
    """AS-53, AS-56, AS-57: also on the legacy path, also after the end."""
    muster, _ = declared_on_conduit
    assert taken(muster, "1", member()) == NEW
    assert taken(muster, "1", member()) == KNOWN
    assert taken(muster, "1", member(), path="") == KNOWN
    assert taken(muster, "2", member("leave", 2), path="") == NEW
    assert taken(muster, "2", member("leave", 2)) == KNOWN
    muster.kill()
    muster.start()
    assert taken(muster, "1", member()) == KNOWN
    assert taken(muster, "2", member("leave", 2), path="") == KNOWN
    assert stored(muster) == "leave"


def test_one_id_for_two_transactions(declared_on_conduit):
    """AS-58: a homeserver may begin to count anew. AS-59: what an event says
    of its age changes from one attempt to the next, and does not count."""
    muster, _ = declared_on_conduit
    assert taken(muster, "1", member()) == NEW
    assert taken(muster, "1", member("leave", 2)) == NEW
    assert stored(muster) == "leave"
    assert taken(muster, "1", member("leave", 2, unsigned={
        "age": 7})) == KNOWN
    assert taken(muster, "1", member("leave", 2), member("join", 3)) == (
        1, 0, 2)
    assert stored(muster) == "join"


def test_one_event_in_two_transactions(declared_on_conduit):
    """AS-60: the second time it changes nothing."""
    muster, _ = declared_on_conduit
    taken(muster, "1", member("join", 1))
    taken(muster, "2", member("leave", 2))
    taken(muster, "3", member("join", 1))
    assert stored(muster) == "leave"


def test_one_transaction_many_times_at_once(declared_on_conduit):
    """AS-54: whoever is answered 200, the events are there by then."""
    muster, _ = declared_on_conduit
    events = [member("join", 1, f"@u{n}:hs") for n in range(100)]
    before = small.status(muster)["transactions"]

    def once(_):
        got = put(muster, "same", *events)
        return got.status, stored(muster, "@u99:hs")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(once, range(16))) == {(200, "join")}
    now = small.status(muster)["transactions"]
    assert now["seen"] == before["seen"] + 16
    assert now["repeated"] == before["repeated"] + 15
    assert now["events"] == before["events"] + 100


def test_not_stored_is_not_done(declared_on_conduit):
    """AS-32, AS-55: somebody holds the store. It is not taken, and not
    remembered."""
    muster, _ = declared_on_conduit
    db = sqlite3.connect(muster.path("muster.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    got = put(muster, "held", member())
    assert got.status in (500, 503) and got.errcode == "M_UNKNOWN"
    db.execute("ROLLBACK")
    db.close()
    assert stored(muster) is None
    assert taken(muster, "held", member()) == NEW
    assert stored(muster) == "join"


def test_in_its_order(declared_on_conduit):
    """AS-63: of one moment, the last to come is what holds."""
    muster, _ = declared_on_conduit
    taken(muster, "1", *(
        member(what, 7, event_id=f"${n}") for n, what in enumerate(
            ("invite", "join", "leave", "knock", "ban"))))
    assert stored(muster) == "ban"
    taken(muster, "2", member("leave", 7, event_id="$9"))
    assert stored(muster) == "leave"


# -- who is meant


def test_who_looks_like_an_agent(declared_on_conduit):
    """AS-11, AS-12: an agent's name on another server is a stranger's."""
    muster, hs = declared_on_conduit
    room = hs.room("all-employees").room_id
    stranger = "@anna.vp:other.test"
    assert taken(muster, "1", member("leave", 1, stranger, room)) == NEW
    assert stored(muster, stranger, room) == "leave"
    assert stored(muster, full("anna.vp"), room) == "join"
    assert ask(muster, "GET", f"{V1}/users/{stranger}").status == 404
    assert ask(muster, "GET", f"{V1}/users/{full('anna.vp')}").status == 200
    assert small.steps(muster) == []
    assert hs.writes() == []


def test_our_own_echo(declared_on_conduit):
    """AS-68: what we did comes back to us, and makes no work."""
    muster, hs = declared_on_conduit
    members = [e for room in hs.world.rooms.values() for e in room.events
               if e["type"] == "m.room.member"
               and e["sender"] in map(full, [SENDER, *AGENTS])]
    assert len(members) > 15
    before = small.stored_memberships(muster)
    assert hs.push(members, "echo").status == 200
    small.wait_settled(muster, hs)
    assert small.stored_memberships(muster) == before
    assert hs.writes() == []


def test_invitations_arrive(declared_on_conduit):
    """AS-67, AS-69: with what the room looks like, which proves nothing."""
    muster, hs = declared_on_conduit
    agent = full("anna.vp")
    taken(muster, "1", member("invite", 1, agent, sender=VISITOR, unsigned={
        "invite_room_state": [{
            "type": "m.room.create", "state_key": "", "sender": agent,
            "content": {"room_version": "12"}}, {
            "type": "m.room.member", "state_key": VISITOR, "sender": VISITOR,
            "content": {"membership": "join"}}]}))
    assert stored(muster, agent) == "invite"
    assert stored(muster) is None
    assert hs.writes() == []


# -- while something else goes on


def test_answers_while_the_homeserver_does_not(declared_on_conduit):
    """AS-64, AS-65, AS-91d: neither a transaction nor a question waits for a
    call of ours, which may itself wait for their answer."""
    muster, hs = declared_on_conduit
    human = hs.human(HUMAN)
    go_on = threading.Event()
    hs.on_request(lambda *_: go_on.wait(120), reads=True)
    try:
        human.join(hs.room("all-employees").room_id)
        human.kick(hs.room("all-employees").room_id, full("ben.man"))
        hs.wait_delivered()
        wait_until(lambda: hs.log.in_flight, 20, "a call of ours")
        assert taken(muster, "1", member()) == NEW
        assert ask(muster, "POST", f"{V1}/ping", {}).status == 200
        for path in (f"users/{full('anna.vp')}",
                     "rooms/%23all-employees:fleet.test"):
            assert ask(muster, "GET", f"{V1}/{path}").status == 200
        assert hs.log.in_flight
    finally:
        go_on.set()
    small.wait_settled(muster, hs)
    assert hs.room("all-employees").membership(full("ben.man")) == "join"


def test_listens_before_it_calls(fresh):
    """AS-83, AS-90, AS-160: whoever is called can ask back, and at once."""
    muster, hs = fresh
    heard = []

    def ask_back(index, phase, method, path):
        try:
            got = ask(muster, "POST", f"{V1}/ping", {"transaction_id": "x"})
            heard.append(f"{got.status} {got.body}")
        except OSError as e:
            heard.append(f"{method} {path}: {e}")
    hs.on_request(ask_back, reads=True)
    muster.start()
    small.wait_settled(muster, hs)
    assert len(heard) > 40 and set(heard) == {"200 {}"}


def test_who_is_there_is_not_asked_for(declared_on_conduit):
    """AS-91b, AS-91c: asked again, at once, by either path, and while the
    homeserver is away: what is there is there, and nothing is called for it."""
    muster, hs = declared_on_conduit
    there = [f"{path}/{what}" for path in (V1, "") for what in (
        f"users/{full('anna.vp')}", f"users/{full(SENDER)}",
        "rooms/%23all-employees:fleet.test")]

    def answers():
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            return [got.status for got in pool.map(
                lambda path: ask(muster, "GET", path), there * 4)]
    assert answers() == [200] * len(there) * 4
    assert hs.requests == []
    hs.stop()
    assert answers() == [200] * len(there) * 4
    hs.start()
    small.wait_settled(muster, hs)


# -- where it is


def test_under_a_path(conduit_fake, muster_on):
    """AS-06, AS-97: every path, the legacy ones too, hangs under the one of
    appservice.url."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    base = "/bridge/x"
    muster.write_config(appservice={
        "url": f"http://127.0.0.1:{muster.port}{base}/"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    assert muster.registration["url"].endswith(base)
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert taken(muster, "1", member(), path=base + V1) == NEW
    assert taken(muster, "1", member(), path=base) == KNOWN
    for path in (f"{base}{V1}/ping",
                 f"{base}/_matrix/app/unstable/fi.mau.msc2659/ping"):
        assert ask(muster, "POST", path, {}).status == 200
    user = f"users/{full('anna.vp')}"
    assert ask(muster, "GET", f"{base}{V1}/{user}").status == 200
    assert ask(muster, "GET", f"{base}/{user}").status == 200
    for path in (f"{V1}/{user}", f"/{user}", f"{base}{base}/{user}",
                 f"{base}//{user}", f"{base}x/{user}"):
        got = ask(muster, "GET", path)
        assert (got.status, got.errcode) == (404, "M_UNRECOGNIZED"), path
    assert put(muster, "2", member("leave", 2)).status == 404
    assert stored(muster) == "join"


# -- how it calls


# Whose account it is, is not for us; nor are sessions that are not ours.
NEVER = (r"/account/(password|deactivate|3pid)", r"/refresh$",
         r"/logout(/all)?$", r"/v3/(sync|events)$", r"/initialSync$")


def test_calls(fresh):
    """Of all calls from an empty homeserver to everything as declared: the
    token stands in the header alone (AS-100); an agent that acts is named, the
    service's own user is not (AS-101); it is who is acted for (AS-104);
    accounts and sessions are left alone (AS-103, AS-139); no device (AS-106)
    and no time (AS-124) is given, nothing is polled (AS-131)."""
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    as_token = muster.registration["as_token"]
    ours = {f"Bearer {as_token}", *(
        f"Bearer {muster.handoff(a)['access_token']}" for a in AGENTS)}
    acting = set()
    for r in hs.requests:
        assert set(r.query) <= {"user_id"}, r
        assert r.headers["Authorization"] in (None, *ours), r
        assert as_token not in r.raw_path
        if "user_id" in r.query:
            assert r.headers["Authorization"] == f"Bearer {as_token}"
            acting.add(r.query["user_id"])
        assert not any(re.search(path, r.path) for path in NEVER), r
        owner = re.search(r"/(?:profile|user)/(@[^/]*)/", r.path)
        if owner and r.write:
            assert owner[1] == r.query.get("user_id", full(SENDER)), r
    assert acting == set(map(full, AGENTS))
    assert len(hs.requests) > 40


def test_registers_as_itself(conduit_fake, muster_on):
    """AS-101: also what is noted at the homeserver names nobody."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    hs.operator()
    muster.run("register", expect=0)
    note = r"/account_data/muster\.registration$"
    assert [r.user for r in hs.find("PUT", note) if r.status == 200] == [
        full(SENDER)]
    muster.run("register", expect=0)
    assert [r.user for r in hs.find("GET", note)] == [full(SENDER)]
    assert full(SENDER) not in [r.query.get("user_id") for r in hs.requests]


def test_names_of_our_own(conduit_fake, muster_on):
    """AS-149: ours are no `m.`, and each has the service's name first."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    hs.operator()
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, hs)
    names = set()
    for r in hs.writes():
        names.update(re.findall(r"/(?:account_data|state|send)/([^/]+)",
                                r.path))
        body = r.body if isinstance(r.body, dict) else {}
        names.update(body.get("creation_content", {}))
        names.update(e["type"] for e in body.get("initial_state", []))
    assert {name for name in names if not name.startswith("m.")} == {
        "muster.key", "muster.registration"}
    assert {name for name in names if name.startswith("m.")} <= {
        "m.direct", "m.room.guest_access", "m.room.message", "m.room.name",
        "m.room.power_levels"}


def test_a_message_is_sent_once(conduit_fake, muster_on):
    """AS-121, AS-122: when its answer is lost it is sent again as the same;
    another is another."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    hs.operator()
    send = r"/send/m\.room\.message/"
    hs.fault("PUT", send, reset_after())
    muster.run("register", expect=0)
    first, again = hs.find("PUT", send)
    assert first.path == again.path and first.raw == again.raw
    said = [e for e in hs.admin.room.events if e["type"] == "m.room.message"
            and e["sender"] == full("operator")]
    assert len(said) == 1
    muster.write_config(appservice={"url": "http://127.0.0.1:9"})
    muster.run("register", expect=1)
    assert first.path != hs.find("PUT", send)[-1].path


# -- what its registration says


@pytest.mark.parametrize("prefix", [None, "bot-"])
def test_registration(conduit_fake, muster_on, prefix):
    """AS-01, AS-15, AS-16, AS-17: all that must be in it; no typing and no
    receipts are wanted, and no network is served. AS-02: what stands for us
    stays as it is when it is written anew."""
    agents = [{"id": f"{prefix or ''}one", "name": "One"}]
    fleet = {"agents": agents, "humans": [full(HUMAN)]}
    muster = muster_on(conduit_fake, fleet=fleet, **(
        {"namespace": {"prefix": prefix}} if prefix else {}))
    muster.run("registration", expect=0)
    was = muster.registration
    assert set(was) == {"id", "url", "as_token", "hs_token",
                        "sender_localpart", "rate_limited", "namespaces"}
    for entries in was["namespaces"].values():
        for entry in entries:
            assert set(entry) == {"regex", "exclusive"}
            assert entry["exclusive"] is True
    assert os.stat(muster.registration_path).st_mode & 0o777 == 0o600
    agents.append({"id": f"{prefix or ''}two", "name": "Two"})
    muster.write_config(fleet=fleet)
    muster.run("registration", expect=0)
    assert {k: v for k, v in muster.registration.items()
            if k != "namespaces"} == {
        k: v for k, v in was.items() if k != "namespaces"}
