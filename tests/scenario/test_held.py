"""Rooms of others that ours lead to: we do not stay where nothing comes of it,
and what is said of it is what is so now."""

import json

import pytest

from support import small
from support.fakehs import FakeHS, answer
from support.process import wait_until
from support.small import HUMAN, SENDER, SERVER, full

ALL = "all-employees"
TEAM = "platform-team"
NOTHING = "nothing can be done about a room"


@pytest.fixture(params=["conduit", "synapse"])
def elevenths(request, muster_on):
    """(muster, homeserver): they know of each other, and rooms are made in
    version 11, where nobody stands above all."""
    hs = FakeHS(SERVER, request.param, room_version="11").start()
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "2s"})
    muster.run("registration", expect=0)
    yield muster, hs
    muster.close()
    hs.stop()
    assert hs.errors == []


def introduced(muster, hs, human=None):
    """(muster, homeserver, human): served, and the human is everywhere."""
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    human = human or hs.human(HUMAN)
    for room in list(hs.world.rooms.values()):
        if room.membership(full(HUMAN)) == "invite":
            human.join(room.room_id)
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs, human


def errors(muster):
    """What was said loudly, the oldest first."""
    return [line for line in map(json.loads, filter(
        lambda line: line.startswith("{"),
        muster.daemon.output().splitlines())) if line["level"] == "error"]


def held(muster, alias):
    (why,), = muster.query("SELECT held FROM room WHERE key = ?",
                           f"#{alias}:{SERVER}")
    return why


def wait_held(muster, alias, words):
    return muster.daemon.wait_for(
        lambda: words in (held(muster, alias) or ""), 20,
        f"{alias} to be held: {words}")


def wait_looks(hs, n=3):
    """Those at held rooms are as often by then."""
    def looks():
        return len([r for r in hs.reads(r"/joined_rooms$")
                    if r.user == full(SENDER)])
    at = looks()
    wait_until(lambda: looks() >= at + n, 40, "some looks")


def open_room(human, **more):
    """Whoever likes may come in; we have no power there."""
    return human.create_room(preset="public_chat", **more)


def ours(room):
    return small.events_of(room, SENDER)


def wait_adopted(muster, hs, room, alias):
    for agent in small.ROOMS[alias] - {HUMAN}:
        wait_until(lambda agent=agent: room.membership(full(agent)) == "join",
                   30, f"{agent} to be in the room")
    small.wait_settled(muster, hs)
    assert hs.room(alias) is room
    assert held(muster, alias) is None


def test_an_alias_leads_to_a_room_that_is_open_to_all(elevenths):
    """Looked into once, and left again. Who wants us there gives us power and
    asks us in."""
    muster, hs = elevenths
    human = hs.human(HUMAN)
    open_room(human, room_alias_name=TEAM)
    room = hs.room(TEAM)
    introduced(muster, hs, human)
    wait_held(muster, TEAM, "power 0")
    assert ours(room) == ["join", "leave"]
    wait_looks(hs)
    muster.restart()
    wait_looks(hs)
    small.wait_settled(muster, hs)
    assert ours(room) == ["join", "leave"]
    assert len([e for e in errors(muster) if e["msg"] == NOTHING]) == 1
    # Asked in, but without power: we stay, since they want us there.
    human.invite(room.room_id, full(SENDER))
    wait_until(lambda: ours(room)[-1] == "join", 30, "it to come in")
    wait_looks(hs)
    assert ours(room) == ["join", "leave", "invite", "join"]
    human.set_power(room.room_id, {full(SENDER): 100})
    wait_adopted(muster, hs, room, TEAM)
    assert ours(room) == ["join", "leave", "invite", "join"]


def test_an_operator_looks_into_an_open_room_again(elevenths):
    """Power is given, and nobody asks us in."""
    muster, hs = elevenths
    human = hs.human(HUMAN)
    open_room(human, room_alias_name=TEAM)
    room = hs.room(TEAM)
    introduced(muster, hs, human)
    wait_held(muster, TEAM, "ask it in")
    human.set_power(room.room_id, {full(SENDER): 100})
    muster.run("retry", "#" + TEAM, expect=0)
    wait_adopted(muster, hs, room, TEAM)
    assert ours(room) == ["join", "leave", "join"]


def test_a_room_was_replaced_by_one_that_is_open_to_all(elevenths):
    muster, hs, human = introduced(*elevenths)
    old, theirs = hs.room(ALL), hs.room(open_room(human))
    human.set_state(old.room_id, "m.room.tombstone", {
        "body": "over there", "replacement_room": theirs.room_id})
    wait_held(muster, ALL, theirs.room_id)
    wait_looks(hs)
    assert ours(theirs) == ["join", "leave"]
    assert old.membership(full("ben.man")) == "join"
    # What to do about it is about the upgrade.
    assert "take the upgrade back" in held(muster, ALL)
    assert "alias" not in held(muster, ALL)


def test_what_is_said_of_a_held_room_is_what_is_so(elevenths):
    """We may not come in; then we may, and have no power there."""
    muster, hs, human = introduced(*elevenths)
    old = hs.room(ALL)
    new = hs.room(human.create_room(preset="private_chat"))
    human.set_state(old.room_id, "m.room.tombstone", {
        "body": "over there", "replacement_room": new.room_id})
    wait_held(muster, ALL, "may not join")
    assert "alias" not in held(muster, ALL)
    human.invite(new.room_id, full(SENDER))
    wait_held(muster, ALL, "power 0")
    wait_looks(hs)
    assert len([e for e in errors(muster) if e["msg"] == NOTHING]) == 2
    assert ours(new) == ["invite", "join"]


def test_an_upgrade_is_taken_back(elevenths):
    """It is the room that says so, and nobody else has to be asked."""
    muster, hs, human = introduced(*elevenths)
    room = hs.room(ALL)
    human.set_state(room.room_id, "m.room.tombstone", {
        "body": "over there", "replacement_room": "!nowhere:fleet.test"})
    wait_held(muster, ALL, "!nowhere:fleet.test")
    hs.fault("GET", "/directory/room/", answer(500, {
        "errcode": "M_UNKNOWN", "error": "not now"}), times=None)
    human.set_state(room.room_id, "m.room.tombstone", {})
    human.kick(room.room_id, full("cleo.ic"))
    wait_until(lambda: room.membership(full("cleo.ic")) == "join", 20,
               "it to be back")
    small.wait_settled(muster, hs)
    assert held(muster, ALL) is None


def test_an_old_name_that_leads_nowhere(elevenths):
    """It is not among the room's names any more: no homeserver would take
    them."""
    muster, hs, human = introduced(*elevenths)
    room = hs.room(ALL)
    with hs.lock:
        hs.world.append(room, full(HUMAN), "m.room.canonical_alias", {
            "alias": f"#dead:{SERVER}", "alt_aliases": [
                f"#dead-too:{SERVER}", f"#{TEAM}:{SERVER}",
                f"#{ALL}:{SERVER}"]}, "")
    wait_until(lambda: room.content("m.room.canonical_alias") == {
        "alias": f"#{ALL}:{SERVER}", "alt_aliases": []}, 20,
        "the names to be right")
    small.wait_settled(muster, hs)
    assert small.status(muster)["journal"]["failed"] == 0
    # One that leads to it stays.
    human.set_alias(f"#everybody:{SERVER}", room.room_id)
    human.set_state(room.room_id, "m.room.canonical_alias", {
        "alias": f"#everybody:{SERVER}"})
    wait_until(lambda: room.content("m.room.canonical_alias") == {
        "alias": f"#{ALL}:{SERVER}",
        "alt_aliases": [f"#everybody:{SERVER}"]}, 20, "the name to be right")
