"""Who is in which room: the store says what the homeserver says, whoever came
or went, and each transaction counts once."""

import concurrent.futures
import json
import re

import pytest

from support.client import V3, quote
from support.process import wait_until

EVERYBODY = "#all-employees:fleet.example"


@pytest.fixture
def settled(fleet):
    """The fleet; in the end nobody is missing, and the store and the
    homeserver are of one opinion about every room."""
    fleet.muster.wait_settled()
    yield fleet
    fleet.muster.wait_settled()
    fleet.wait_same_members()
    for room in fleet.rooms():
        assert room["missing"] in ([], [fleet.human_id]), room
        assert room["held"] == []


def join_everybody(fleet):
    """The human in the room of all; its id."""
    room_id = fleet.room_id(EVERYBODY)
    fleet.human.join(room_id)
    fleet.wait_member(room_id, fleet.human_id, "join")
    return room_id


def member_event(fleet, room_id, user_id, asked=None):
    """(membership, time of its event), as the homeserver has it."""
    events = fleet.service(asked or fleet.sender).ok(
        "GET", f"{V3}/rooms/{quote(room_id)}/members")["chunk"]
    return next((e["content"]["membership"], e["origin_server_ts"])
                for e in events if e["state_key"] == user_id)


def wait_back(fleet, room_id, user_id, since, asked=None):
    """Until the agent has joined anew, and an event of it was delivered."""
    def back():
        row = fleet.muster.query(
            "SELECT membership, origin_ts FROM membership WHERE room_id = ? "
            "AND user_id = ? AND source = 'event'", room_id, user_id)
        return row and row[0][0] == "join" and row[0][1] not in (
            since, None) and row[0]
    got = wait_until(back, 30, f"{user_id} is back")
    assert got == member_event(fleet, room_id, user_id, asked)


def test_all_rows_are_what_the_homeserver_says(settled):
    fleet = settled
    fleet.wait_same_members()
    # And there is no row of a room that nobody told us of.
    known = {r["room_id"] for r in fleet.rooms()}
    rows = {room for room, in fleet.muster.query(
        "SELECT DISTINCT room_id FROM membership")}
    assert known <= rows
    assert fleet.muster.query(
        "SELECT count(*) FROM membership WHERE room_id = ? AND "
        "membership = 'join'", fleet.room_id(EVERYBODY))[0][0] >= 11


def test_rows_have_the_homeserver_s_times(settled):
    fleet = settled
    room_id = fleet.room_id("#spare-parts-team:fleet.example")
    events = fleet.service(fleet.sender).ok(
        "GET", f"{V3}/rooms/{quote(room_id)}/members")["chunk"]
    want = {e["state_key"]: e["origin_server_ts"] for e in events}
    wait_until(lambda: dict(fleet.muster.query(
        "SELECT user_id, origin_ts FROM membership WHERE room_id = ?",
        room_id)) == want, 20, "the times of the events")


def test_agent_that_leaves_comes_back(settled):
    fleet, agent = settled, "@alda.bekele:fleet.example"
    room_id = fleet.room_id("#spare-parts-team:fleet.example")
    before = member_event(fleet, room_id, agent)
    fleet.agent(agent).leave(room_id)
    wait_back(fleet, room_id, agent, before[1])


def test_agent_that_leaves_a_direct_room_comes_back(settled):
    fleet = settled
    pair = {"@asa.iyer:fleet.example", "@gerda.madsen:fleet.example"}
    room_id = fleet.room_id(pair)
    for agent in sorted(pair):
        other, = pair - {agent}
        before = member_event(fleet, room_id, agent, asked=other)
        fleet.agent(agent).leave(room_id)
        wait_back(fleet, room_id, agent, before[1], asked=other)
        assert fleet.room_id(pair) == room_id
        assert fleet.agent(agent).joined_members(room_id) == pair


def test_kicked_agent_comes_back(settled):
    fleet, agent = settled, "@asa.iyer:fleet.example"
    room_id = join_everybody(fleet)
    before = member_event(fleet, room_id, agent)
    fleet.human.kick(room_id, agent)
    wait_back(fleet, room_id, agent, before[1])


def test_banned_agent_is_held_until_it_is_forgiven(settled):
    fleet, agent = settled, "@brigida.hashimoto:fleet.example"
    room_id = join_everybody(fleet)
    fleet.human.ban(room_id, agent)
    fleet.wait_member(room_id, agent, "ban")
    fleet.wait_same_members()
    assert fleet.room(EVERYBODY)["held"] == [agent]
    assert fleet.muster.run("plan").code == 0
    assert fleet.muster.json("status")["ready"]
    fleet.human.unban(room_id, agent)
    fleet.wait_member(room_id, agent, "join", bound=30)


def test_guest_of_a_human_is_shown_and_stays(settled):
    fleet = settled
    room_id = join_everybody(fleet)
    guest = fleet.hs.human("guest.of.honour")
    fleet.human.invite(room_id, guest.user_id)
    fleet.wait_member(room_id, guest.user_id, "invite")
    assert guest.user_id in fleet.room(EVERYBODY)["invited"]
    guest.join(room_id)
    fleet.wait_member(room_id, guest.user_id, "join")
    fleet.wait_same_members()
    room = fleet.room(EVERYBODY)
    assert room["extra"] == [guest.user_id]
    assert guest.user_id in room["joined"]
    assert fleet.muster.run("plan").code == 0
    fleet.human.kick(room_id, guest.user_id)
    fleet.wait_member(room_id, guest.user_id, "leave")
    assert fleet.room(EVERYBODY)["extra"] == []


def test_human_who_declines_is_not_asked_again(settled):
    fleet = settled
    pair = {"@adaeze.eriksen:fleet.example", fleet.human_id}
    room_id = fleet.room_id(pair)
    fleet.human.leave(room_id)
    fleet.wait_member(room_id, fleet.human_id, "leave")
    assert fleet.muster.run("plan").code == 0
    room = fleet.room(pair)
    assert room["missing"] == [fleet.human_id]
    assert room["invited"] == []
    fleet.wait_same_members()
    assert fleet.store_members(room_id)[fleet.human_id] == "leave"


def test_agent_in_somebody_else_s_room(settled):
    """A row for every member event that is delivered; but what is not ours
    is not touched."""
    fleet, agent = settled, "@task.desk:fleet.example"
    host = fleet.hs.human("host.of.a.room")
    room_id = host.create_room(name="elsewhere", preset="private_chat")
    host.invite(room_id, agent)
    fleet.wait_member(room_id, agent, "invite")
    fleet.agent(agent).join(room_id)
    fleet.wait_member(room_id, agent, "join")
    assert fleet.store_members(room_id)[agent] == "join"
    assert room_id not in {r["room_id"] for r in fleet.rooms()}
    assert fleet.muster.run("plan").code == 0
    assert host.members(room_id)[agent] == "join"
    fleet.agent(agent).leave(room_id)
    fleet.wait_member(room_id, agent, "leave")


# -- exactly once


def counters(fleet):
    return fleet.muster.json("status")["transactions"]


def everything(fleet):
    """All rows that a transaction could change; but not when the service last
    saw an agent's token, which it looks at in its own time."""
    def rows(table):
        columns = [name for name, in fleet.muster.query(
            "SELECT name FROM pragma_table_info(?)", table)
            if name != "token_seen_ms"]
        assert len(columns) > 4
        return fleet.muster.query(
            f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2")
    return [rows(table) for table in (
        "membership", "room_state", "agent", "journal", "quarantine", "audit")]


def effects(fleet):
    """What a second effect would show in."""
    status = fleet.muster.json("status")
    return (everything(fleet), status["homeserver"]["writes"],
            status["transactions"]["events"],
            status["transactions"]["quarantined"])


def newest_with(fleet, check):
    """The last transaction that has such an event."""
    def found():
        return next((t for t in reversed(fleet.tap.transactions())
                     if any(check(e) for e in json.loads(t[2])["events"])),
                    None)
    return wait_until(found, 20, "the transaction")


def wait_quiet(fleet):
    """Until every transaction that was sent is done with."""
    wait_until(lambda: counters(fleet)["seen"] >= len(
        fleet.tap.transactions()), 20, "all transactions are counted")
    fleet.muster.wait_settled()


def test_transaction_that_comes_again_has_no_second_effect(settled):
    """An agent left and came back; then the transaction in which it left
    comes once more, on the stable and on the old path."""
    fleet, agent = settled, "@adaeze.verhoeven:fleet.example"
    room_id = fleet.room_id("#spare-parts-team:fleet.example")
    before = member_event(fleet, room_id, agent)
    fleet.agent(agent).leave(room_id)
    left = newest_with(fleet, lambda e: e.get("state_key") == agent and
                       e["content"].get("membership") == "leave" and
                       e.get("room_id") == room_id)
    wait_back(fleet, room_id, agent, before[1])
    wait_quiet(fleet)
    was, repeated = effects(fleet), counters(fleet)["repeated"]

    path, headers, body = left
    old = re.sub(r"^/_matrix/app/v1", "", path)
    assert old != path
    for again in (left, (old, headers, body)):
        status, answer = fleet.tap.send_again(again)
        assert (status, json.loads(answer)) == (200, {})
    assert counters(fleet)["repeated"] == repeated + 2
    assert effects(fleet) == was
    assert member_event(fleet, room_id, agent)[0] == "join"


def test_transaction_that_comes_many_times_at_once(settled):
    fleet = settled
    wait_quiet(fleet)
    last = fleet.tap.transactions()[-1]
    was, repeated = effects(fleet), counters(fleet)["repeated"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(fleet.tap.send_again, [last] * 16))
    assert {status for status, _ in got} == {200}
    assert counters(fleet)["repeated"] == repeated + 16
    assert effects(fleet) == was


def test_transaction_of_nobody(settled):
    """Without the token, or with another one, nothing is taken."""
    fleet = settled
    path, _, body = fleet.tap.transactions()[-1]
    path = path.split("?")[0] + "-forged"
    wait_quiet(fleet)
    was, seen = effects(fleet), counters(fleet)["seen"]
    for headers, status, errcode in (
            ({}, 401, "M_MISSING_TOKEN"),
            ({"Authorization": "Bearer wrong"}, 403, "M_FORBIDDEN")):
        got = fleet.tap.send_again((path, headers, body))
        assert got[0] == status
        assert json.loads(got[1])["errcode"] == errcode
    assert counters(fleet)["seen"] == seen
    assert effects(fleet) == was
