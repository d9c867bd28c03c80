"""Direct rooms of a large fleet: when two first need theirs, so many a minute,
and those of before found again, once."""

import os

import pytest

from support import small
from support.client import Client
from support.fakehs import delay
from support.muster import person
from support.process import wait_until
from support.small import HUMAN, SENDER, full

ALL, TEAM = "all-employees", "platform-team"


@pytest.fixture
def on_demand(fresh):
    """(muster, homeserver, human): no direct room yet."""
    muster, hs = fresh
    muster.write_config(direct={"create": "on_demand"})
    muster.start()
    small.wait_settled(muster, hs)
    return small.come_in(muster, hs)


def agent(muster, hs, localpart):
    return Client(hs.url, muster.handoff(localpart)["access_token"])


def pair(*localparts):
    return frozenset(map(full, localparts))


def direct_rooms(hs):
    """Who has one."""
    return sorted(sorted(
        key for kind, key in room.state if kind == "m.room.member")
        for room in hs.world.rooms.values() if not room.aliases
        and not (hs.admin and room is hs.admin.room))


def wait_room(muster, hs, *localparts):
    """Both are in it, or asked, and it is listed."""
    wait_until(lambda: small.room_of(hs, pair(*localparts)), 20,
               f"a room of {localparts}")
    small.wait_settled(muster, hs)
    room, = small.room_of(hs, pair(*localparts))
    return room


def test_somebody_is_mentioned(on_demand):
    """By one of ours: of the pair that is meant, and of no other."""
    muster, hs, _ = on_demand
    assert direct_rooms(hs) == []
    agent(muster, hs, "cleo.ic").mention(
        hs.room(TEAM).room_id, "Would you look?", full("ben.man"))
    room = wait_room(muster, hs, "ben.man", "cleo.ic")
    assert room.joined == pair("ben.man", "cleo.ic")
    assert direct_rooms(hs) == [[full("ben.man"), full("cleo.ic")]]
    marks = hs.user("cleo.ic").account_data["m.direct"]
    assert marks == {full("ben.man"): [room.room_id]}
    # Again, and answered: they have one.
    hs.clear_log()
    agent(muster, hs, "ben.man").mention(
        hs.room(TEAM).room_id, "I will", full("cleo.ic"))
    hs.wait_delivered()
    small.wait_settled(muster, hs)
    assert [r for r in hs.writes() if not r.path.count("/send/")] == []


def test_a_human_is_answered_and_is_named_in_the_text(on_demand):
    muster, hs, human = on_demand
    where = hs.room(ALL).room_id
    said = human.send(where, f"Good morning, {full('anna.vp')}!")
    room = wait_room(muster, hs, "anna.vp", HUMAN)
    assert room.membership(full(HUMAN)) == "invite"
    agent(muster, hs, "ben.man").reply(
        where, said, "Good morning", full("anna.vp"))
    room = wait_room(muster, hs, "anna.vp", "ben.man")
    assert room.joined == pair("anna.vp", "ben.man")
    assert len(direct_rooms(hs)) == 2


def test_who_is_no_pair_and_who_only_talks(on_demand):
    muster, hs, human = on_demand
    where = hs.room(ALL).room_id
    hs.clear_log()
    human.mention(where, "Cleo?", full("cleo.ic"), full(SENDER))
    human.send(where, "Where is everybody?")
    agent(muster, hs, "ben.man").send(where, "Anna, Cleo: here")
    hs.wait_delivered()
    small.wait_settled(muster, hs)
    assert direct_rooms(hs) == []
    assert [r for r in hs.writes() if not r.path.count("/send/")] == []


# -- those of before


def test_they_are_found_once(declared):
    """By the lists of both sides, in one pass over each agent's rooms; then
    nobody is asked again."""
    muster, hs = declared
    rooms = direct_rooms(hs)
    muster.stop()
    # What one of the two has not listed is found by the other's list.
    del hs.user("ben.man").account_data["m.direct"][full("anna.vp")]
    for name in ("muster.db", "muster.db-wal", "muster.db-shm"):
        if os.path.exists(muster.path(name)):
            os.unlink(muster.path(name))
    hs.clear_log()
    muster.start()
    small.wait_settled(muster, hs)
    assert direct_rooms(hs) == rooms and len(rooms) == 3
    assert hs.find("POST", "/createRoom$") == []
    passes = [r.user for r in hs.reads(r"/joined_rooms$")
              if r.user != full(SENDER)]
    assert sorted(passes) == sorted(map(full, small.AGENTS))
    assert full("anna.vp") in hs.user("ben.man").account_data["m.direct"]
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert [r for r in hs.requests if r.user in map(full, small.AGENTS)
            and not r.path.endswith("/whoami")] == []


# -- so many a minute


def team(n):
    people = [person(HUMAN, "CEO", department="Executive")]
    people += [person(f"ic{i:02}", "IC", "Platform", HUMAN)
               for i in range(n)]
    return {"departments": [], "people": people}


def test_so_many_a_minute(conduit_fake, muster_on):
    """No more within it, whatever else happens; the rest is counted."""
    hs = conduit_fake
    muster = muster_on(hs, org=team(6), direct={"per_minute": 5},
                       reconcile={"interval": "1s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()

    def made():
        return [r for r in hs.writes("POST", "/createRoom$")
                if r.body.get("is_direct")]
    wait_until(lambda: len(made()) >= 5, 20, "five direct rooms")
    room = hs.room(ALL)
    human = hs.human(HUMAN)
    human.join(room.room_id)
    human.kick(room.room_id, full("ic03"))
    wait_until(lambda: room.membership(full("ic03")) == "join", 20,
               "it to be back")
    looked = len(hs.reads(r"/joined_rooms$"))
    wait_until(lambda: len(hs.reads(r"/joined_rooms$")) >= looked + 3, 20,
               "three more looks")
    direct = small.status(muster)["direct"]
    begun = [r.started for r in made()]
    assert all(b - a > 50 for a, b in zip(begun, begun[5:]))
    del direct["rate"]
    # Each of six with the human, and every two. A machine that takes a minute
    # for all of this has more than five, and is no faster than it may be.
    made_now, left = direct.pop("made"), direct.pop("left_s")
    assert direct == {
        "mode": "eager", "declared": 21, "wanted": 21,
        "later": 21 - made_now, "per_minute": 5}
    assert (made_now, left) == (5, 192) or (
        len(begun) > 5 and left >= 12 * (21 - made_now))


def test_the_homeserver_is_slower_than_that(conduit_fake, muster_on):
    """Then that is the rate, and the time that is left."""
    hs = conduit_fake
    muster = muster_on(hs, org=team(16), reconcile={"concurrency": 1})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    hs.fault("POST", "/createRoom$", delay(0.5), times=1000)
    muster.start(ready=False)

    def known():
        direct = small.status(muster)["direct"]
        return direct["rate"] > 0 and direct
    direct = muster.daemon.wait_for(known, 60, "it to be known how it goes")
    # Two a second at most, of ten that it may be.
    assert direct["per_minute"] == 600 and direct["rate"] <= 150
    assert direct["left_s"] >= direct["later"] * 60 / direct["rate"] > 0
