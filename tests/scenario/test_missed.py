"""Events that nobody told of: the regular look finds what they would have
said, costs little, and knows what is older and what is newer."""

import re
import sqlite3
import time

import pytest

from support import small
from support.client import Client
from support.fakehs import FakeHS
from support.muster import person
from support.process import wait_until
from support.small import HUMAN, SENDER, full

ALL = "all-employees"
TEAM = "platform-team"
# What a service asks for when it comes, beside the look.
HELLO = r"/(versions|whoami|ping)$|^/$"


@pytest.fixture
def looking(fresh):
    """(muster, homeserver, human): everybody has come in everywhere, and the
    rooms are looked at every second."""
    muster, hs = fresh
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    return small.come_in(muster, hs)


@pytest.fixture
def joined(declared):
    """The same, and the next look is far away."""
    return small.come_in(*declared)


@pytest.fixture(params=["conduit", "synapse"])
def elevenths(request, muster_on):
    """As `looking`, and rooms are made in version 11, where nobody stands
    above all."""
    hs = FakeHS(small.SERVER, request.param, room_version="11").start()
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "1s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    yield small.come_in(muster, hs)
    muster.close()
    hs.stop()
    assert hs.errors == []


def looks(hs):
    return [r for r in hs.reads(r"/joined_rooms$") if r.user == full(SENDER)]


def wait_looks(hs, more):
    """Until so many more looks have begun."""
    before = len(looks(hs))
    wait_until(lambda: len(looks(hs)) >= before + more, 20, "more looks")


def each_look(hs):
    """What was asked for in each look that is over."""
    asked = [r for r in hs.requests if not re.search(HELLO, r.path)]
    begins = [n for n, r in enumerate(asked) if r in looks(hs)]
    return [asked[a:b] for a, b in zip(begins, begins[1:])]


def change(muster, sql, *values):
    """In the store of a service that is stopped."""
    db = sqlite3.connect(muster.path("muster.db"))
    try:
        with db:
            return db.execute(sql, values).rowcount
    finally:
        db.close()


def stored(muster, room, localpart):
    """(membership, source); None: nothing is known."""
    rows = muster.query(
        "SELECT membership, source FROM membership "
        "WHERE room_id = ? AND user_id = ?", room.room_id, full(localpart))
    return rows[0] if rows else None


def wait_back(room, localpart):
    wait_until(lambda: room.membership(full(localpart)) == "join", 20,
               f"{localpart} to be back")


# -- what it finds


def test_whatever_is_missed_is_found(looking):
    """People come and go, and ours are put out."""
    muster, hs, human = looking
    room, team = hs.room(ALL), hs.room(TEAM)
    guest = hs.human("guest")
    hs.lose_events(lambda event: True)
    human.invite(room.room_id, full("guest"))
    guest.join(room.room_id)
    human.kick(room.room_id, full("anna.vp"))
    Client(hs.url, muster.handoff("ben.man")["access_token"]).leave(
        team.room_id)
    wait_back(room, "anna.vp")
    wait_back(team, "ben.man")
    wait_until(lambda: stored(muster, room, "guest") is not None, 20,
               "the guest to be seen")
    guest.leave(room.room_id)
    human.leave(room.room_id)
    wait_until(lambda: stored(muster, room, "guest")[0] == "leave"
               and stored(muster, room, HUMAN)[0] == "leave", 20,
               "it to be seen that they have left")
    # Who has left by themselves is not asked again.
    wait_looks(hs, 2)
    assert room.membership(full(HUMAN)) == "leave"
    assert {(r.user, r.path.rpartition("/")[2]) for r in hs.writes()} == {
        (full(SENDER), "invite"), (full("anna.vp"), "join"),
        (full("ben.man"), "join")}


def test_what_else_has_changed_there(looking):
    """Where somebody has come or gone the whole room is looked at: its name
    is found to be another, too."""
    muster, hs, human = looking
    room = hs.room(ALL)
    name = room.content("m.room.name")["name"]
    hs.lose_events(lambda event: True)
    human.set_state(room.room_id, "m.room.name", {"name": "Mine"})
    human.kick(room.room_id, full("anna.vp"))
    wait_until(lambda: room.content("m.room.name")["name"] == name, 20,
               "its name to be put right")
    wait_back(room, "anna.vp")
    small.wait_settled(muster, hs)
    assert len(hs.writes()) == 3


def test_what_was_missed_while_we_were_away(joined):
    """The first look is at the start."""
    muster, hs, human = joined
    room = hs.room(ALL)
    muster.stop()
    hs.lose_events(lambda event: True)
    human.kick(room.room_id, full("ben.man"))
    muster.start()
    small.wait_settled(muster, hs)
    assert room.membership(full("ben.man")) == "join"
    assert [r.path.rpartition("/")[2] for r in hs.writes()] == [
        "invite", "join"]


def test_what_we_did_and_nobody_confirmed(fresh):
    """Looked after, each room once: has it come true, and is it so still?"""
    muster, hs = fresh
    hs.lose_events(lambda event: event["type"] == "m.room.member")
    muster.start()
    small.wait_settled(muster, hs)
    assert stored(muster, hs.room(ALL), "ben.man") == ("join", "action")
    room = hs.room(ALL)
    hs.human(HUMAN).leave(room.room_id)
    muster.stop()
    assert change(muster, "UPDATE member SET origin_ts = origin_ts - 60000")
    hs.clear_log()
    muster.start()
    small.wait_settled(muster, hs)
    whole = [r.room for r in hs.reads(r"/state$")]
    assert sorted(whole) == sorted(
        hs.room(alias).room_id for alias in small.ROOMS)
    assert stored(muster, room, HUMAN) == ("leave", "poll")
    # Confirmed now, it is not looked at again.
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.reads(r"/state$") == [] and hs.writes() == []


# -- what it costs


def test_a_look_costs_one_request_a_room(looking):
    """And one for where we are; nothing for direct rooms, nothing else. It
    is not always the same time until the next one."""
    muster, hs, _ = looking
    wait_looks(hs, 5)
    rooms = {hs.room(alias).room_id for alias in small.ROOMS}
    assert len(each_look(hs)) >= 4
    for asked in each_look(hs):
        assert [(r.method, r.user) for r in asked] == [
            ("GET", full(SENDER))] * (1 + len(rooms))
        assert [r.path.rpartition("/")[2] for r in asked] == [
            "joined_rooms"] + ["joined_members"] * len(rooms)
        assert {r.room for r in asked[1:]} == rooms
    begun = [r.started for r in looks(hs)]
    pauses = [b - a for a, b in zip(begun, begun[1:])]
    assert min(pauses) >= 0.89
    assert len({round(p, 3) for p in pauses}) > 1


def crowd():
    """A team of ten, of which every two have a room: 45, and a manager's."""
    people = [person(HUMAN, "CEO", department="Executive"),
              person("anna.vp", "VP", None, HUMAN)]
    people += [person("ben.man", "Manager", "Platform", "anna.vp")]
    people += [person(f"ic{n}", "IC", "Platform", "ben.man")
               for n in range(9)]
    return {"departments": [], "people": people}


def test_old_direct_rooms_are_looked_at_a_few_at_a_time(
        conduit_fake, muster_on):
    hs = conduit_fake
    muster = muster_on(hs, org=crowd(), reconcile={"interval": "1s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    muster.stop()
    # One has left its room, and nobody told of it.
    room, = small.room_of(hs, {full("ic3"), full("ic7")})
    hs.lose_events(lambda event: True)
    with hs.lock:
        hs.world.set_member(room, full("ic7"), full("ic7"), "leave")
    hs.lose_events(None)
    day = 24 * 3600 * 1000
    old = change(muster, "UPDATE room SET looked_ms = looked_ms - ? "
                 "WHERE direct = 1", day + 1000)
    assert old == 47
    hs.clear_log()
    muster.start()
    wait_back(room, "ic7")
    small.wait_settled(muster, hs)
    wait_looks(hs, 4)
    policy = {hs.room(alias).room_id for alias in small.ROOMS}
    direct = [[r for r in asked if r.path.endswith("/joined_members")
               and r.room not in policy] for asked in each_look(hs)]
    counts = [len(asked) for asked in direct]
    # The first look of a service has others to think of.
    assert counts[:3] == [0, 32, 15] and set(counts[3:]) == {0}, counts
    seen = [r.room for asked in direct for r in asked]
    assert len(set(seen)) == 47
    # By somebody who is in it, and never by the service's own user.
    for r in (r for asked in direct for r in asked):
        assert r.user in hs.world.rooms[r.room].joined and (
            r.user != full(SENDER))
    assert [r.path.rpartition("/")[2] for r in hs.writes()] == [
        "invite", "join"]


def change_direct_rooms(muster, hs, how):
    """While the service is away and nobody tells of it; then they are old."""
    muster.stop()
    hs.lose_events(lambda event: True)
    with hs.lock:
        how()
    hs.lose_events(None)
    assert change(muster, "UPDATE room SET looked_ms = 1 WHERE direct = 1")
    hs.clear_log()
    muster.start()
    wait_looks(hs, 4)


@pytest.mark.parametrize("out, by", [
    ("ben.man", "cleo.ic"), ("cleo.ic", "ben.man"), ("anna.vp", HUMAN)])
def test_one_of_a_pair_is_put_out_and_nobody_told(elevenths, out, by):
    """It cannot look into the room any more, and the room is there all the
    same. Of a human's room only Synapse tells that."""
    muster, hs, _ = elevenths
    if hs.conduit and by == HUMAN:
        return
    pair = {full(out), full(by)}
    room, = small.room_of(hs, pair)
    # Who has as much power as the other one cannot be put out.
    Client(hs.url, muster.handoff(out)["access_token"]).set_power(
        room.room_id, {full(out): 0})
    change_direct_rooms(muster, hs, lambda: hs.world.set_member(
        room, full(by), full(out), "leave"))
    small.wait_settled(muster, hs)
    assert small.room_of(hs, pair) == [room]
    assert hs.writes() == []
    assert small.status(muster)["held"] == 1
    held = next(r for r in muster.json("rooms") if r["held"])
    assert held["removals"][0]["by"] == full(by)


def test_a_direct_room_is_gone(looking):
    """Two looks say so, and not on two days."""
    muster, hs, _ = looking
    pair = {full("ben.man"), full("cleo.ic")}
    room, = small.room_of(hs, pair)
    change_direct_rooms(muster, hs, lambda: hs.world.forget_room(room))
    wait_until(lambda: small.room_of(hs, pair), 20, "another room")
    small.wait_settled(muster, hs)
    other, = small.room_of(hs, pair)
    assert other is not room and other.joined == pair
    assert len(hs.find("POST", "/createRoom$")) == 1


# -- after a transaction that could not be read


def test_a_refused_transaction_makes_us_look(joined):
    """Soon, but not again and again."""
    muster, hs, human = joined
    room = hs.room(ALL)
    hs.lose_events(lambda event: True)
    human.kick(room.room_id, full("ben.man"))
    begun = time.monotonic()
    for n in range(20):
        assert hs.push([], f"bad-{n}", raw=b'{"events": [').status == 400
    wait_back(room, "ben.man")
    small.wait_settled(muster, hs)
    for n in range(20, 40):
        assert hs.push([], f"bad-{n}", raw=b"").status == 400
    wait_until(lambda: len(looks(hs)) >= 2, 20, "another look")
    times = [r.started for r in looks(hs)]
    assert times[1] - times[0] >= 4.99
    # As many looks as there were reasons for; the next regular one is
    # minutes away.
    assert len(times) <= 1 + (time.monotonic() - begun) / 5
    assert len(hs.writes()) == 2


# -- older and newer


def event(room, localpart, membership, ts, name):
    return {"type": "m.room.member", "room_id": room.room_id,
            "event_id": f"${name}", "sender": full(localpart),
            "state_key": full(localpart), "origin_server_ts": ts,
            "content": {"membership": membership}}


def push(hs, *events):
    assert hs.push(list(events), events[0]["event_id"]).status == 200


def test_a_look_wins_over_what_is_older_and_not_over_what_is_newer(joined):
    muster, hs, human = joined
    room, guest = hs.room(ALL), hs.human("guest")
    before = int(time.time() * 1000) - 5000
    hs.lose_events(lambda event: True)
    human.invite(room.room_id, full("guest"))
    guest.join(room.room_id)
    muster.restart()
    small.wait_settled(muster, hs)
    assert stored(muster, room, "guest")[0] == "join"
    push(hs, event(room, "guest", "leave", before, "old-leave"))
    assert stored(muster, room, "guest")[0] == "join"
    push(hs, event(room, "guest", "leave", int(time.time() * 1000),
                   "new-leave"))
    assert stored(muster, room, "guest") == ("leave", "event")
    # And the other way round: a look finds that somebody is not there.
    human.leave(room.room_id)
    muster.restart()
    small.wait_settled(muster, hs)
    assert stored(muster, room, HUMAN)[0] == "leave"
    push(hs, event(room, HUMAN, "join", before, "old-join"))
    assert stored(muster, room, HUMAN)[0] == "leave"
    # The guest is there, whatever was said of it.
    assert stored(muster, room, "guest")[0] == "join"
    push(hs, event(room, HUMAN, "join", int(time.time() * 1000),
                   "new-join"))
    assert stored(muster, room, HUMAN) == ("join", "event")
    assert hs.writes() == []


def test_an_old_kick_comes_after_a_look(joined):
    """The agent is there: nothing is done about it, and nothing held against
    it."""
    muster, hs, human = joined
    room = hs.room(ALL)
    sent = event(room, "ben.man", "leave",
                 int(time.time() * 1000) - 60000, "old-kick")
    push(hs, {**sent, "sender": full(HUMAN)})
    small.wait_settled(muster, hs)
    assert stored(muster, room, "ben.man")[0] == "join"
    assert hs.writes() == []


def test_old_state_comes_after_a_look(looking):
    muster, hs, human = looking
    room = hs.room(ALL)
    name = room.content("m.room.name")["name"]
    old = {"type": "m.room.name", "room_id": room.room_id, "state_key": "",
           "event_id": "$old-name", "sender": full(HUMAN),
           "origin_server_ts": int(time.time() * 1000) - 60000,
           "content": {"name": "Once upon a time"}}
    push(hs, old)
    wait_looks(hs, 2)
    assert hs.reads(r"/state") == [] and hs.writes() == []
    # One that is newer is believed; the homeserver, which is asked before
    # anything is set, knows better.
    push(hs, {**old, "event_id": "$new-name",
              "origin_server_ts": int(time.time() * 1000)})
    wait_until(lambda: hs.reads(r"/state/m\.room\.name"), 20,
               "it to be asked")
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert room.content("m.room.name")["name"] == name
