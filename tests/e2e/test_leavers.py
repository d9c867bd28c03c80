"""Agents who are declared no longer: out of every room, without a token, and
their messages remain; and who comes back is who it was. Many at once are only
let go when somebody says so."""

import os

import pytest

from support import small
from support.changing import (
    EVERYBODY, HUMAN, PEOPLE, Changing, alias, full, organisation, pair,
    without)
from support.client import V3, Client
from support.fleet import brought_up
from support.handoffs import forget, signed, write_json


running = brought_up(Changing)


@pytest.fixture
def fleet(running):
    """Everybody is there."""
    if running.muster.org != organisation():
        running.declare(organisation())
    running.settle()
    running.assert_as_declared()
    running.asked.clear()
    return running


def state_of(fleet, localpart):
    return small.agent(fleet.muster, localpart)["state"]


def devices(fleet, localpart):
    return fleet.service(full(localpart)).ok("GET", V3 + "/devices")[
        "devices"]


def removals(fleet):
    return fleet.muster.json("status")["removals"]


def assert_gone(fleet, localpart, token):
    """Out of every room, and nobody can do anything in its name."""
    user_id = full(localpart)
    assert state_of(fleet, localpart) == "retired"
    who = Client(fleet.hs.url, token, user_id).whoami()
    assert (who.status, who.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert devices(fleet, localpart) == []
    assert fleet.service(user_id).joined_rooms() == set()
    tombstone = fleet.muster.handoff(localpart)
    assert "access_token" not in tombstone
    assert tombstone["user_id"] == user_id and tombstone["revoked_ms"] > 0


def test_one_leaves_and_comes_back(fleet):
    ids, edge = fleet.ids(), fleet.ids()[alias("edge-team")]
    was = fleet.muster.handoff("o-eve")
    eve = fleet.agent(full("o-eve"))
    said = eve.send(edge, "I was here")
    direct = ids[pair("o-eve", "o-mona")]
    alone = eve.send(direct, "and here")
    fleet.nio.wait_message("I was here", full("o-eve"), edge)

    fleet.declare(without(organisation(), "o-eve"))
    fleet.settle()
    assert_gone(fleet, "o-eve", was["access_token"])
    assert fleet.muster.handoff("o-eve")["generation"] == was["generation"]
    fleet.wait_shown(ids[EVERYBODY], "O all employees", *(
        person[0] for person in PEOPLE if person[0] != "o-eve"))
    fleet.wait_shown(edge, "Team Edge", "o-ed")
    assert fleet.member(edge, full("o-eve"))["membership"] == "leave"
    # She left by herself, and what she said is hers.
    left = fleet.human.all_state(edge)[("m.room.member", full("o-eve"))]
    assert left["sender"] == full("o-eve")
    for room, event_id, reader in (
            (edge, said, fleet.human),
            (direct, alone, fleet.agent(full("o-mona")))):
        event, = (e for e in reader.messages(room) if
                  e["event_id"] == event_id)
        assert event["sender"] == full("o-eve")
        assert event["content"]["body"] in ("I was here", "and here")
    assert fleet.human.displayname(full("o-eve")) == "Eve"
    assert removals(fleet)["waiting"] == 0

    fleet.asked.clear()
    fleet.declare(organisation())
    got = fleet.muster.wait_handoff("o-eve")
    fleet.settle()
    assert got["generation"] == was["generation"] + 1
    assert got["access_token"] != was["access_token"]
    me = Client(fleet.hs.url, got["access_token"]).whoami().body
    assert (me["user_id"], me["device_id"]) == (full("o-eve"), "MUSTER")
    assert [d["device_id"] for d in devices(fleet, "o-eve")] == ["MUSTER"]
    # The account is the one that there was, and so are all rooms.
    assert not any(word in ("register", "create", "name")
                   for word, *_ in fleet.done())
    assert fleet.ids() == ids
    fleet.wait_shown(edge, "Team Edge", "o-ed", "o-eve")
    assert fleet.service(full("o-mona")).joined_members(direct) == {
        full("o-eve"), full("o-mona")}
    fleet.assert_as_declared()
    fleet.muster.assert_no_secret_shown(more=[was["access_token"]])


def test_one_left_while_the_store_was_lost(fleet):
    """Her file tells of her. One that somebody has planted, of an account that
    there is not, does not tell anything."""
    was = fleet.muster.handoff("o-eve")
    rooms = fleet.service(full("o-eve")).joined_rooms()
    assert len(rooms) > 2
    planted = fleet.muster.path("runtime", "Planted", "o-nia")
    os.makedirs(planted)
    write_json(os.path.join(planted, "matrix.json"), signed(
        {**{k: v for k, v in was.items() if k != "sha256"},
         "user_id": full("o-nia")}))
    fleet.muster.stop()
    forget(fleet.muster)
    fleet.muster.write_org(without(organisation(), "o-eve"))
    fleet.muster.start()
    fleet.settle()
    assert_gone(fleet, "o-eve", was["access_token"])
    assert fleet.muster.handoff("o-eve")["generation"] == was["generation"]
    assert full("o-nia") not in {
        a["user_id"] for a in fleet.muster.json("agents")}
    assert "revoked_ms" not in fleet.muster.handoff("o-nia")
    fleet.declare(organisation())
    got = fleet.muster.wait_handoff("o-eve", was["generation"] + 1)
    fleet.settle()
    assert Client(fleet.hs.url, got["access_token"]).whoami().status == 200
    fleet.assert_as_declared()


def assert_nothing_done(fleet, waiting, of):
    """They are as they were; and it is said."""
    assert fleet.done() == {}
    now = removals(fleet)
    assert now["waiting"] == waiting
    assert now["why"] == (
        f"{waiting} of {of} agents are not declared any more: nothing of it "
        "is done until `muster approve`")
    plan = fleet.muster.run("plan")
    assert plan.code == 0 and "muster approve" in plan.out
    shown = fleet.muster.run("status").out
    assert now["why"] in shown
    return now["agents"]


def test_an_empty_organisation_dissolves_nothing(fleet):
    org = organisation()
    everybody = sorted(p["matrixId"] for p in org["people"]
                       if p["level"] != "CEO")
    tokens = {one: fleet.muster.handoff(one[1:].split(":")[0])
              for one in everybody}
    rooms = {one: fleet.service(one).joined_rooms() for one in everybody}
    fleet.declare({**org, "people": [
        p for p in org["people"] if p["level"] == "CEO"]})
    fleet.muster.wait_settled()
    assert assert_nothing_done(fleet, 10, 10) == everybody
    # The company's own room, which has only its human now.
    assert [r["alias"] for r in fleet.rooms()] == [EVERYBODY]
    fleet.muster.restart()
    fleet.muster.wait_settled()
    fleet.asked.clear()
    assert_nothing_done(fleet, 10, 10)
    assert {one: fleet.service(one).joined_rooms() for one in everybody
            } == rooms
    for one, token in tokens.items():
        assert Client(fleet.hs.url, token["access_token"]).whoami(
            ).status == 200
        assert fleet.muster.handoff(one[1:].split(":")[0]) == token

    fleet.asked.clear()
    fleet.declare(org)
    fleet.settle()
    assert fleet.done() == {}
    assert removals(fleet)["waiting"] == 0
    fleet.assert_as_declared()


def test_more_than_a_third_waits_for_somebody(fleet):
    five = ["o-ed", "o-eve", "o-sam", "o-sia", "o-sol"]
    tokens = {one: fleet.muster.handoff(one)["access_token"] for one in five}
    fleet.declare(without(organisation(), *five))
    fleet.muster.wait_settled()
    assert assert_nothing_done(fleet, 5, 10) == sorted(map(full, five))
    for one, token in tokens.items():
        assert Client(fleet.hs.url, token).whoami().status == 200
        assert fleet.service(full(one)).joined_rooms()
    # One of them at an operator's word, and then the others.
    fleet.muster.run("retire", "o-sam", expect=0)
    assert_gone(fleet, "o-sam", tokens["o-sam"])
    assert state_of(fleet, "o-sia") == "handed_off"
    fleet.muster.run("approve", expect=0)
    fleet.settle()
    for one, token in tokens.items():
        assert_gone(fleet, one, token)
    assert removals(fleet) == {"waiting": 0, "agents": [], "why": None}


def test_a_third_goes_at_once(fleet):
    three = ["o-sam", "o-sia", "o-sol"]
    tokens = {one: fleet.muster.handoff(one)["access_token"] for one in three}
    fleet.declare(without(organisation(), *three))
    fleet.settle()
    for one, token in tokens.items():
        assert_gone(fleet, one, token)
    # Their team and department are none any more. The service stays.
    for room in ("field-team", "sales-leadership"):
        room_id = fleet.human.resolve(alias(room))
        assert fleet.service(fleet.sender).joined_members(room_id) <= {
            fleet.sender, HUMAN}
    assert len(fleet.agents()) == 7
