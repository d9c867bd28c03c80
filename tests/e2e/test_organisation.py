"""An organisation that changes while the service runs: its files are replaced
and nothing else is done. Exactly the difference comes of it, seen by the human's
own client and by what was asked of the homeserver."""

import collections
import json
import os
import re

import pytest
import yaml

from support import small
from support.changing import (
    DESK, EVERYBODY, HUMAN, LATER, Changing, alias, changed, full,
    joined, organisation, pair, without)
from support.fleet import brought_up
from support.process import wait_until


running = brought_up(Changing)


@pytest.fixture
def fleet(running):
    """It is as in the beginning; in the end it is as it was left declared."""
    if running.muster.org != organisation():
        running.declare(organisation())
    running.settle()
    running.assert_as_declared()
    yield running
    running.settle()
    running.assert_as_declared()


def come(room, *localparts):
    """Invited by the service, joined by themselves."""
    return [(word, room, full(one)) for one in localparts
            for word in ("invite", "join")]


def go(room, *localparts):
    return [("leave", room, full(one)) for one in localparts]


def meet(one, two):
    """The direct room of two agents: one makes it, the other comes, both keep
    it in their lists."""
    return [("create", pair(one, two), None),
            ("join", pair(one, two), full(max(one, two)))]


def lists(*localparts):
    return [("account data", "m.direct", full(one)) for one in localparts]


def counted(*parts):
    return collections.Counter(step for part in parts for step in part)


def test_somebody_joins(fleet):
    nia, = (p for p in LATER if p["matrixId"] == full("o-nia"))
    got = fleet.change(joined(organisation(), nia))
    peers = ["o-ed", "o-eve", "o-ian", "o-iris", "o-mona"]
    assert got == counted(
        [("register", None, "o-nia"), ("name", None, full("o-nia")),
         ("login", None, full("o-nia"))],
        come(EVERYBODY, "o-nia"), come(alias("edge-team"), "o-nia"),
        *(meet("o-nia", other) for other in peers),
        lists("o-nia", *peers))
    nia = fleet.agent(full("o-nia"))
    assert nia.whoami().body["user_id"] == full("o-nia")
    edge = fleet.ids()[alias("edge-team")]
    fleet.wait_shown(edge, "Team Edge", "o-ed", "o-eve", "o-nia")
    assert fleet.shown_name(edge, full("o-nia")) == "Nia"


def test_somebody_leaves_and_is_declared_again(fleet):
    mates = ["o-sam", "o-sia"]
    ids = fleet.ids()
    got = fleet.change(without(organisation(), "o-sol"))
    assert got == counted(
        [("end tokens", None, full("o-sol"))],
        go(EVERYBODY, "o-sol"), go(alias("field-team"), "o-sol"),
        *(go(pair("o-sol", mate), "o-sol") for mate in mates))
    field = ids[alias("field-team")]
    fleet.wait_shown(field, "Team Field", "o-sia")
    got = fleet.change(organisation())
    assert got == counted(
        [("login", None, full("o-sol"))],
        come(EVERYBODY, "o-sol"), come(alias("field-team"), "o-sol"),
        *(come_again(mate, "o-sol") for mate in mates))
    assert fleet.ids() == ids


def come_again(other, one):
    """Into the direct room in which the other one still is."""
    return come(pair(other, one), one)


def test_somebody_changes_team(fleet):
    core, edge = (fleet.ids()[alias(f"{team}-team")]
                  for team in ("core", "edge"))
    got = fleet.change(changed(organisation(), "o-eve", team="Core"))
    # Everybody else of her new team is her peer or manager already.
    assert got == counted(
        go(alias("edge-team"), "o-eve"), come(alias("core-team"), "o-eve"),
        meet("o-dirk", "o-eve"), lists("o-dirk", "o-eve"))
    fleet.wait_shown(core, "Team Core", "o-dirk", "o-eve", "o-ian", "o-iris",
                     "o-mona")
    fleet.wait_shown(edge, "Team Edge", "o-ed")


def test_somebody_is_promoted(fleet, nio_as):
    got = fleet.change(changed(organisation(), "o-mona", level="Director"))
    leaders = alias("works-leadership")
    assert got == counted(come(leaders, "o-mona"))
    token = fleet.muster.handoff("o-vera")["access_token"]
    vera = nio_as(fleet.hs, full("o-vera"), token=token, device_id="MUSTER")
    vera.sync()
    assert vera.rooms()[fleet.ids()[leaders]] == {
        fleet.sender, full("o-vera"), full("o-dirk"), full("o-mona")}


def test_somebody_gets_a_new_name(fleet):
    got = fleet.change(changed(organisation(), "o-ian", name="Ian Newman"))
    assert got == counted([("name", None, full("o-ian"))])
    for room in (EVERYBODY, alias("core-team")):
        wait_until(lambda: fleet.shown_name(
            fleet.ids()[room], full("o-ian")) == "Ian Newman", 20,
            f"his name in {room}")


def test_somebody_whom_the_human_talks_to_gets_a_new_name(fleet):
    """The direct room with a human is named after the agent."""
    talk = frozenset([full("o-vera"), HUMAN])
    room_id = fleet.ids()[talk]
    got = fleet.change(changed(organisation(), "o-vera", name="Véra Née"))
    assert got == counted(
        [("name", None, full("o-vera")),
         ("set", talk, "m.room.name")])
    # The event is sent by her; the service is not in there.
    if fleet.hs.kind == "synapse":
        event = fleet.human.all_state(room_id)[("m.room.name", "")]
        assert event["sender"] == full("o-vera")
    wait_until(lambda: fleet.see()[room_id] == (
        "Véra Née", {HUMAN, full("o-vera")}), 20, "the room's name")
    wait_until(lambda: fleet.shown_name(room_id, full("o-vera")) ==
               "Véra Née", 20, "her name")


def test_a_team_is_renamed(fleet):
    """It keeps its room, and whoever is in it."""
    old, new_alias = alias("edge-team"), alias("outer-rim-team")
    room_id = fleet.ids()[old]
    before = fleet.member_events(room_id)
    org = organisation()
    for one in ("o-ed", "o-eve"):
        org = changed(org, one, team="Outer  Rim")
    got = fleet.change(org)
    assert got == counted(
        [("alias", new_alias, None),
         ("set", old, "m.room.canonical_alias"),
         ("set", old, "m.room.name")])
    assert fleet.ids()[new_alias] == room_id
    assert old not in fleet.ids()
    assert fleet.human.resolve(new_alias) == room_id
    assert fleet.human.resolve(old) == room_id
    fleet.wait_shown(room_id, "Team Outer  Rim", "o-ed", "o-eve")
    assert fleet.human.state(room_id, "m.room.canonical_alias")[
        "alias"] == new_alias
    assert fleet.member_events(room_id) == before

    # And back: the alias that it had leads to it already.
    got = fleet.change(organisation())
    assert got == counted(
        [("set", old, "m.room.canonical_alias"),
         ("set", old, "m.room.name")])
    assert fleet.ids()[old] == room_id
    assert fleet.member_events(room_id) == before


def test_a_team_is_dissolved_and_declared_again(fleet):
    edge, team = alias("edge-team"), ["o-ed", "o-eve"]
    room_id = fleet.ids()[edge]
    org = organisation()
    for one in team:
        org = changed(org, one, team=None)
    assert fleet.change(org) == counted(go(edge, *team))
    assert edge not in fleet.ids()
    # The service stays, and so does the human.
    fleet.wait_shown(room_id, "Team Edge")
    assert fleet.human.resolve(edge) == room_id

    assert fleet.change(organisation()) == counted(come(edge, *team))
    assert fleet.ids()[edge] == room_id
    fleet.wait_shown(room_id, "Team Edge", *team)


def test_a_department_is_split(fleet):
    """The team that goes keeps its room, and gets a leader. A token lies in
    the department's folder, so there is a new one."""
    org = changed(organisation(), "o-ed", department="Labs")
    org = changed(org, "o-eve", department="Labs", level="Director")
    edge = fleet.ids()[alias("edge-team")]
    before = fleet.member_events(edge)
    was = fleet.muster.handoff("o-ed")
    got = fleet.change(org)
    assert got == counted(
        [("create", alias("labs-leadership"), None)],
        come(alias("labs-leadership"), "o-eve"),
        [("login", None, full("o-ed")), ("login", None, full("o-eve"))])
    assert fleet.ids()[alias("edge-team")] == edge
    assert fleet.member_events(edge) == before
    assert fleet.muster.runtime_dir("o-ed") == fleet.muster.path(
        "runtime", "Labs", "o-ed")
    assert fleet.muster.handoff("o-ed")["generation"] > was["generation"]


def test_a_file_that_is_half_written(fleet):
    """The old organisation stays in force; then the file is whole."""
    una, = (p for p in LATER if p["matrixId"] == full("o-una"))
    org = joined(organisation(), una)
    whole = json.dumps(org, indent=1)
    fleet.asked.clear()
    path = fleet.muster.path("org.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write(whole[:len(whole) // 2])
        f.flush()

        def wrong():
            return small.status(fleet.muster)["configuration"]["error"]
        error = fleet.muster.daemon.wait_for(wrong, 30, "it is seen")
        place = re.match(re.escape(path) + r":(\d+):\d+: ", error)
        assert place, error
        assert int(place[1]) == whole[:len(whole) // 2].count("\n") + 1
        fleet.muster.wait_settled()
        assert fleet.done() == {}
        f.write(whole[len(whole) // 2:])
    fleet.muster.org = org
    fleet.muster.wait_handoff("o-una")
    fleet.settle()
    assert small.status(fleet.muster)["configuration"]["error"] is None
    peers = ["o-dirk", "o-ed", "o-eve", "o-ian", "o-iris", "o-mona"]
    assert fleet.done() == counted(
        [("register", None, "o-una"), ("name", None, full("o-una")),
         ("login", None, full("o-una"))],
        come(EVERYBODY, "o-una"), come(alias("core-team"), "o-una"),
        *(meet("o-una", other) for other in peers),
        lists("o-una", *peers))


def test_the_policy_says_more_of_a_room(fleet):
    """muster.yaml: a topic, one more room, a level."""
    was = fleet.muster.config["rooms"]
    more = [{**was[0], "topic": "Hello"}, *was[1:], DESK]
    fleet.asked.clear()
    fleet.configure(rooms=more)
    fleet.settle()
    desk = alias("desk")
    assert fleet.done() == counted(
        [("set", EVERYBODY, "m.room.topic"), ("create", desk, None),
         ("invite", desk, HUMAN)], come(desk, "o-ed"),
        [("set", desk, "m.room.power_levels")][:0])
    desk_id = fleet.ids()[desk]
    levels = fleet.human.power_levels(desk_id)["users"]
    assert (levels[full("o-ed")], levels[HUMAN]) == (50, 100)
    assert fleet.human.state(fleet.ids()[EVERYBODY], "m.room.topic")[
        "topic"] == "Hello"
    fleet.asked.clear()
    fleet.configure(rooms=was)
    fleet.settle()
    assert fleet.done() == counted(go(desk, "o-ed"))
    # What the policy says nothing of stays.
    assert fleet.human.state(fleet.ids()[EVERYBODY], "m.room.topic")[
        "topic"] == "Hello"


def test_fewer_are_deployed(fleet):
    """config.yaml of the fleet says who is: its departments are switched on
    and off, and in the end there is no such file any more."""
    def write(sales):
        counts = {"vp": 1, "directors": 1, "managers": 1, "ics": 5}
        text = yaml.safe_dump({
            "ceo": {"name": "Carla Ceo", "matrixId": HUMAN},
            "departments": {"Works": {"enabled": True, **counts},
                            "Sales": {"enabled": sales, **counts}}})
        return fleet.muster.write("config.yaml.new", text)

    def out(one, *others):
        return [("end tokens", None, full(one)), *go(EVERYBODY, one),
                *(("leave", frozenset([full(one), other]), full(one))
                  for other in others)]

    sam, sia, sol = map(full, ("o-sam", "o-sia", "o-sol"))
    vera = full("o-vera")
    ids, path = fleet.ids(), fleet.muster.path("config.yaml")
    os.rename(write(True), path)
    fleet.asked.clear()
    fleet.configure(fleet={"config": "config.yaml"})
    fleet.settle()
    # Of Sales its VP, to whom no director reports.
    assert fleet.done() == counted(
        out("o-sia", sam, sol), out("o-sol", sam, sia),
        go(alias("field-team"), "o-sia", "o-sol"))
    fleet.asked.clear()
    was = fleet.loaded_ms()
    os.rename(write(False), path)
    fleet.wait_read(was)
    fleet.settle()
    # In their direct rooms the others are no more.
    assert fleet.done() == counted(
        out("o-sam", vera, HUMAN, sia, sol),
        go(alias("sales-leadership"), "o-sam"))
    assert len(fleet.agents()) == 7
    fleet.asked.clear()
    del fleet.muster.config["fleet"]["config"]
    fleet.configure()
    fleet.settle()
    # Nobody of ours was left in those rooms of two; in the others the service
    # was, or the other one.
    again = [frozenset([sam, other]) for other in (HUMAN, sia, sol)] + [
        frozenset([sia, sol])]
    assert {key for key, room_id in fleet.ids().items()
            if room_id != ids[key]} == set(again)
    fleet.names.update((fleet.ids()[key], key) for key in again)
    assert fleet.done() == counted(
        [("login", None, one) for one in (sam, sia, sol)],
        come(EVERYBODY, "o-sam", "o-sia", "o-sol"),
        come(alias("sales-leadership"), "o-sam"),
        come(alias("field-team"), "o-sia", "o-sol"),
        come_again("o-vera", "o-sam"),
        [("create", frozenset([sam, HUMAN]), None)],
        meet("o-sam", "o-sia"), meet("o-sam", "o-sol"),
        meet("o-sia", "o-sol"), lists("o-sam", "o-sia", "o-sol"))


def test_a_team_comes_to_be_in_two_departments(fleet):
    """They share no room: who is in the majority keeps the one there was."""
    old = alias("core-team")
    works, labs = alias("works-core-team"), alias("labs-core-team")
    room_id = fleet.ids()[old]
    got = fleet.change(changed(organisation(), "o-ian", department="Labs"))
    assert got == counted(
        [("alias", works, None), ("set", old, "m.room.canonical_alias"),
         ("set", old, "m.room.name")],
        go(old, "o-ian"),
        [("create", labs, None), ("invite", labs, HUMAN),
         ("login", None, full("o-ian"))], come(labs, "o-ian"))
    assert fleet.ids()[works] == room_id
    fleet.wait_shown(fleet.ids()[labs], "Team Labs Core", "o-ian")
    fleet.wait_shown(room_id, "Team Works Core", "o-dirk", "o-iris",
                     "o-mona")
