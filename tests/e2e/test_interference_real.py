"""People interfere, in clients of their own and with the power that they have:
what they do to an agent is repaired once and then respected, and what they do
to a room is followed, or said and not fought."""

import json

import pytest

from support.changing import (
    HUMAN, ROOMS, SENDER, SERVER, Changing, alias, full)
from support.client import Refused
from support.fleet import KINDS
from support.process import wait_until

VAULT = {"alias": "o-vault", "strict": True,
         "members": {"members": ["o-ed", "carla.ceo"]}}
# Rooms that the human has made before there was a service.
TAKEN = [{"alias": f"o-{name}", "name": name.title(),
          "members": {"members": ["o-ian", "carla.ceo"]}}
         for name in ("annex", "atrium", "attic", "arcade", "alcove")]


def take_aliases(fleet):
    """The human stands above whomever it gives power, in its own rooms."""
    creators = fleet.version == "12"
    for rule in TAKEN:
        fleet.taken[alias(rule["name"].lower())] = fleet.human.create_room(
            name="Mine", preset="private_chat", room_alias_name=rule["alias"],
            **({} if creators else {"power_level_content_override": {
                "users": {HUMAN: 150}}}))


# A room has a creator above all from version 12 on.
@pytest.fixture(scope="module", params=[
    (kind, version) for kind in KINDS for version in ("11", "12")],
    ids="-".join)
def running(request, tmp_path_factory):
    kind, version = request.param
    fleet = Changing(
        kind, str(tmp_path_factory.mktemp(kind)), rooms=[*ROOMS, VAULT],
        later=TAKEN, version=version)
    fleet.version = version
    fleet.taken = {}
    try:
        yield fleet.bring_up(take_aliases)
    finally:
        fleet.close()


@pytest.fixture
def fleet(running):
    running.settle()
    running.asked.clear()
    yield running
    running.settle()
    for room in running.rooms():
        assert room["missing"] == [], room


def wait_back(fleet, room_id, agent, times):
    """Until the human sees the agent in the room for the how-manieth time."""
    def back():
        came = [m for _, user, m in fleet.member_events(room_id)
                if user == agent and m == "join"]
        return len(came) == times
    wait_until(back, 20, f"{agent} is back")
    fleet.wait_member(room_id, agent, "join")


def held(fleet, key):
    """(who, by whom, banned, how often) of a room."""
    room = fleet.room(key)
    assert room["held"] == [r["user_id"] for r in room["removals"]]
    return [(r["user_id"], r["by"], r["ban"], r["times"])
            for r in room["removals"]]


def wait_held(fleet, key, *want):
    wait_until(lambda: held(fleet, key) == list(want), 20, f"{want} are held")
    fleet.muster.wait_settled()


def trouble(fleet, key):
    return fleet.room(key)["held_why"]


# -- people and agents


def test_a_kick_is_repaired_once(fleet):
    key, agent = alias("core-team"), full("o-ian")
    room_id = fleet.ids()[key]
    fleet.human.kick(room_id, agent)
    wait_back(fleet, room_id, agent, 2)
    fleet.settle()
    assert held(fleet, key) == []
    assert fleet.done() == {("invite", key, agent): 1,
                            ("join", key, agent): 1}
    fleet.wait_shown(room_id, "Team Core", "o-dirk", "o-ian", "o-iris",
                     "o-mona")

    fleet.asked.clear()
    fleet.human.kick(room_id, agent)
    wait_held(fleet, key, (agent, HUMAN, False, 2))
    fleet.wait_shown(room_id, "Team Core", "o-dirk", "o-iris", "o-mona")
    assert fleet.done() == {}
    said = fleet.muster.run("rooms").out
    assert f"held: {agent} in {key}: removed by {HUMAN} at " in said
    assert fleet.muster.json("status")["held"] == 1
    assert fleet.muster.json("status")["ready"]
    # Its own rooms are as they were, also after a restart.
    fleet.muster.restart()
    fleet.muster.wait_settled()
    assert held(fleet, key) == [(agent, HUMAN, False, 2)]
    assert fleet.human.members(room_id)[agent] == "leave"

    fleet.muster.run("retry", "o-ian", expect=0)
    wait_back(fleet, room_id, agent, 3)
    assert held(fleet, key) == []


def test_a_ban_is_respected_at_once(fleet):
    key, agent = alias("edge-team"), full("o-eve")
    room_id = fleet.ids()[key]
    fleet.human.ban(room_id, agent)
    wait_held(fleet, key, (agent, HUMAN, True, 1))
    assert fleet.done() == {}
    said = fleet.muster.run("rooms").out
    assert f"held: {agent} in {key}: banned by {HUMAN} at " in said
    fleet.wait_shown(room_id, "Team Edge", "o-ed")
    # An operator asks, and the service has the power to take it back.
    fleet.muster.run("retry", "o-eve", expect=0)
    wait_back(fleet, room_id, agent, 2)
    assert held(fleet, key) == []
    assert fleet.done() == {
        ("unban", key, agent): 1, ("invite", key, agent): 1,
        ("join", key, agent): 1}


def test_a_ban_that_its_human_takes_back(fleet):
    key, agent = alias("field-team"), full("o-sia")
    room_id = fleet.ids()[key]
    fleet.human.ban(room_id, agent)
    wait_held(fleet, key, (agent, HUMAN, True, 1))
    fleet.human.unban(room_id, agent)
    wait_back(fleet, room_id, agent, 2)
    assert held(fleet, key) == []


def test_an_agent_that_a_human_invites_elsewhere(fleet):
    """Into a declared room of others: it joins, as agents' programs do, and
    leaves again by itself."""
    key, agent = alias("core-team"), full("o-sol")
    room_id = fleet.ids()[key]
    fleet.human.invite(room_id, agent)
    wait_until(lambda: fleet.human.members(room_id).get(agent) == "leave",
               20, "the invitation is declined")
    fleet.muster.wait_settled()
    assert fleet.done() == {("leave", key, agent): 1}


def test_guests_of_a_human(fleet):
    """One in a strict room is put out, one in another room stays."""
    vault, core = (fleet.ids()[alias(n)] for n in ("vault", "core-team"))
    guest = fleet.hs.human("guest.of.carla")
    for room_id in (core, vault):
        fleet.human.invite(room_id, guest.user_id)
    guest.join(core)
    try:
        guest.join(vault)
    except Refused:
        pass  # put out before
    wait_until(lambda: fleet.human.members(vault)[guest.user_id] == "leave",
               20, "the guest is put out")
    event = fleet.human.all_state(vault)[("m.room.member", guest.user_id)]
    assert event["sender"] == SENDER
    assert event["content"]["reason"] == "not declared in this room"
    fleet.wait_member(core, guest.user_id, "join")
    fleet.muster.wait_settled()
    assert fleet.room(alias("core-team"))["extra"] == [guest.user_id]
    assert guest.joined_rooms() == {core}
    # A join that was before the kick may be heard of after it, and then the
    # guest is put out once more, which Synapse refuses.
    kicks = fleet.done(("kick", vault, guest.user_id))
    assert set(kicks) == {("kick", alias("vault"), guest.user_id)}
    assert kicks.total() <= 2
    guest.leave(core)


# -- power


def test_nobody_takes_the_service_s_power_in_its_own_rooms(fleet):
    """It made them: it is the creator, or has as much as the human."""
    room_id = fleet.ids()[alias("core-team")]
    before = fleet.human.power_levels(room_id)
    for level in (0, 99):
        with pytest.raises(Refused):
            fleet.human.set_power(room_id, {SENDER: level})
    assert fleet.human.power_levels(room_id) == before
    fleet.muster.wait_settled()
    assert fleet.done() == {}


def test_a_human_who_lowers_its_own_power_gets_it_back(fleet):
    key = alias("field-team")
    room_id = fleet.ids()[key]
    fleet.human.set_power(room_id, {HUMAN: 50})
    wait_until(lambda: fleet.human.power_levels(room_id)["users"].get(
        HUMAN) == 100, 20, "100 again")
    fleet.muster.wait_settled()
    assert fleet.done() == {("set", key, "m.room.power_levels"): 1}


def declare_taken(fleet, name):
    """One more of the rooms whose alias is taken comes to be declared; (its
    alias, the room of the human's)."""
    rule, = (r for r in TAKEN if r["alias"] == f"o-{name}")
    fleet.configure(rooms=[*fleet.muster.config["rooms"], rule])
    fleet.muster.wait_settled()
    return alias(name), fleet.taken[alias(name)]


def wait_adopted(fleet, key, room_id):
    def adopted():
        room = fleet.room(key)
        return room["room_id"] == room_id and room["held_why"] is None
    wait_until(adopted, 30, f"{key} is the room that there was")
    fleet.settle()
    name = key[3:].split(":")[0].title()
    fleet.wait_shown(room_id, name, "o-ian")
    assert fleet.human.resolve(key) == room_id
    assert fleet.human.state(room_id, "m.room.canonical_alias")[
        "alias"] == key
    assert not any(word == "create" for word, *_ in fleet.asked.writes())


def give_power(fleet, room_id, level=100):
    fleet.human.set_power(room_id, {SENDER: level})


def test_an_alias_of_a_room_in_which_the_service_has_power(fleet):
    room_id = fleet.taken[alias("atrium")]
    fleet.human.invite(room_id, SENDER)
    give_power(fleet, room_id)
    key, _ = declare_taken(fleet, "atrium")
    wait_adopted(fleet, key, room_id)


def test_an_alias_of_a_room_that_the_service_may_not_join(fleet):
    key, room_id = declare_taken(fleet, "attic")
    assert "may not join" in trouble(fleet, key)
    assert room_id in trouble(fleet, key)
    assert fleet.room(key)["room_id"] is None
    assert fleet.muster.json("status")["troubles"] == 1
    assert f"trouble: {key}: " in fleet.muster.run("rooms").out
    assert fleet.done(("join", room_id, None)) == {}
    give_power(fleet, room_id)
    fleet.human.invite(room_id, SENDER)
    wait_adopted(fleet, key, room_id)
    assert fleet.muster.json("status")["troubles"] == 0


def test_an_alias_of_a_room_without_power(fleet):
    room_id = fleet.taken[alias("annex")]
    fleet.human.invite(room_id, SENDER)
    key, _ = declare_taken(fleet, "annex")
    assert f"in which {SENDER} has power 0: give it 100" in trouble(
        fleet, key)
    give_power(fleet, room_id)
    wait_adopted(fleet, key, room_id)


def levels_of(fleet, why):
    """The levels of the lines of the log that give this reason."""
    lines = [json.loads(line) for line in
             fleet.muster.daemon.output().splitlines()
             if line.startswith("{")]
    return [line["level"] for line in lines if line.get("why") == why]


def test_a_human_takes_the_service_s_power(fleet):
    """Where it can: in a room that was its own. It is said, and who did it;
    and it is over when the human gives it back."""
    room_id = fleet.taken[alias("alcove")]
    fleet.human.invite(room_id, SENDER)
    give_power(fleet, room_id)
    key, _ = declare_taken(fleet, "alcove")
    wait_adopted(fleet, key, room_id)
    fleet.asked.clear()
    give_power(fleet, room_id, None)
    why = wait_until(lambda: trouble(fleet, key), 20, "it is said")
    assert why == (
        f"the service's own user has power 0 in it since {HUMAN} changed the "
        "levels, which does not keep the room as declared: give "
        f"{SENDER} 100")
    fleet.muster.wait_settled()
    assert fleet.muster.json("status")["ready"]
    assert wait_until(lambda: levels_of(fleet, why), 20, "the log says it"
                      ) == ["error"]
    # The name that somebody gives it now stays.
    event = fleet.human.set_state(
        room_id, "m.room.name", {"name": "Mine again"})
    wait_until(lambda: any(event.encode() in body for _, _, body in
                           fleet.tap.transactions()), 20, "it was sent")
    fleet.settle()
    assert fleet.done() == {}
    assert levels_of(fleet, why) == ["error"]
    give_power(fleet, room_id)
    wait_until(lambda: trouble(fleet, key) is None, 20, "all is well")
    fleet.settle()
    fleet.wait_shown(room_id, "Alcove", "o-ian")
    assert fleet.done() == {("set", key, "m.room.name"): 1}


# -- upgrades


def test_a_room_of_the_human_s_is_upgraded(fleet):
    """Followed as soon as the service is let in: everybody of ours comes, and
    leaves the old one."""
    room_id = fleet.taken[alias("arcade")]
    fleet.human.invite(room_id, SENDER)
    give_power(fleet, room_id)
    key, _ = declare_taken(fleet, "arcade")
    wait_adopted(fleet, key, room_id)
    assert_followed(fleet, key, room_id, "o-ian")


def assert_followed(fleet, key, old, *localparts):
    new = fleet.human.upgrade(old, fleet.version)
    why = wait_until(lambda: trouble(fleet, key), 20, "it is said")
    assert "the upgraded room" in why and new in why
    give_power(fleet, new)
    fleet.human.invite(new, SENDER)
    wait_until(lambda: fleet.room(key)["room_id"] == new, 30,
               "the new one is followed")
    fleet.settle()
    assert fleet.human.resolve(key) == new
    assert fleet.human.joined_members(new) == {
        HUMAN, SENDER, *map(full, localparts)}
    wait_until(lambda: fleet.human.joined_members(old) == {HUMAN}, 20,
               "the old one is left")
    wait_until(lambda: fleet.see().get(new, (0, set()))[1] == {
        HUMAN, SENDER, *map(full, localparts)}, 20, "the human sees them")


def test_a_room_of_the_service_s_is_upgraded(fleet):
    """By the human, who has 100 in it. From version 12 on that is only up to
    who has made it, and that is the service."""
    key = alias("core-team")
    old = fleet.ids()[key]
    team = ("o-dirk", "o-ian", "o-iris", "o-mona")
    if fleet.version == "11":
        return assert_followed(fleet, key, old, *team)
    with pytest.raises(Refused):
        fleet.human.upgrade(old, fleet.version)
    fleet.settle()
    assert fleet.ids()[key] == old
    assert fleet.human.resolve(key) == old
    assert fleet.human.state(old, "m.room.tombstone") is None
    fleet.wait_shown(old, "Team Core", *team)
    assert fleet.done() == {}
