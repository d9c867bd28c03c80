"""What nobody told the service: it was away, its listener refused, or the
homeserver waits before it sends again. A look finds what people have done, and
who; what comes late of it changes nothing any more."""

import itertools
import json

import pytest

from support import small
from support.changing import EVERYBODY, HUMAN, Changing, alias, full, pair
from support.fleet import brought_up
from support.process import wait_until


running = brought_up(Changing, reconcile={"interval": "2s"})


@pytest.fixture
def fleet(running):
    """In the end nothing is refused, and all that was not sent is."""
    running.settle()
    running.asked.clear()
    yield running
    running.tap.refuse = False
    if not running.muster.running():
        running.muster.start()
    nudge_until(running, lambda: True)
    running.settle()


def delivered(fleet, event_id):
    """Whether a transaction with this event was taken by the service."""
    return any(event_id.encode() in body
               for body in fleet.tap.taken())


def nudge_until(fleet, check, bound=90):
    """Conduit sends again what it could not when there is something new, and
    its pause is over; so there is, until a message of it and `check` are so.
    """
    room_id = fleet.ids()[EVERYBODY]
    said = []
    numbers = itertools.count()

    def come():
        said.append(fleet.human.send(room_id, f"nudge {next(numbers)}"))
        return any(delivered(fleet, one) for one in said) and check()
    wait_until(come, bound, "the homeserver sends again", every=0.5)


def newest(fleet, room_id, user_id):
    """The member event that is the last one of somebody, as the human can
    read it: (event id, who did it, what)"""
    event = fleet.human.all_state(room_id)[("m.room.member", user_id)]
    return event["event_id"], event["sender"], event["content"]["membership"]


def kick(fleet, key, localpart):
    """The human kicks; the event's id."""
    room_id = fleet.ids()[key]
    fleet.human.kick(room_id, full(localpart))
    return next(event_id for event_id, user, membership in
                reversed(fleet.member_events(room_id))
                if (user, membership) == (full(localpart), "leave"))


def joins(fleet, key, localpart):
    return [m for _, user, m in fleet.member_events(fleet.ids()[key])
            if user == full(localpart)].count("join")


def removals(fleet, key, localpart):
    """(who, when), as the store has them."""
    return fleet.muster.query(
        "SELECT removed_by, event_id FROM removal WHERE room_id = ? AND "
        "user_id = ? ORDER BY at_ms", fleet.ids()[key], full(localpart))


def refuse(fleet):
    """Nothing is taken from here on; and the homeserver has found out."""
    fleet.tap.refuse = True
    seen = len(fleet.tap.transactions())
    fleet.human.send(fleet.ids()[EVERYBODY], "is anybody there?")
    wait_until(lambda: len(fleet.tap.transactions()) > seen, 20,
               "a transaction is refused")


def test_kicked_while_nothing_is_taken(fleet):
    """Back by a look alone; the event, which comes later, counts for the kick
    that is known, and not for a second one."""
    key = alias("core-team")
    refuse(fleet)
    event_id = kick(fleet, key, "o-ian")
    wait_until(lambda: joins(fleet, key, "o-ian") == 2, 20, "he is back")
    assert not delivered(fleet, event_id)
    assert removals(fleet, key, "o-ian") == [(HUMAN, event_id)]
    assert fleet.done() == {("invite", key, full("o-ian")): 1,
                            ("join", key, full("o-ian")): 1}
    fleet.tap.refuse = False
    nudge_until(fleet, lambda: delivered(fleet, event_id))
    fleet.settle()
    assert fleet.store_members(fleet.ids()[key])[full("o-ian")] == "join"
    assert removals(fleet, key, "o-ian") == [(HUMAN, event_id)]
    assert fleet.room(key)["held"] == []
    assert joins(fleet, key, "o-ian") == 2
    assert sum(fleet.done().values()) == 2


def test_kicked_twice_while_nothing_is_taken(fleet):
    """Looks count what they find: it is held, and by whom is known."""
    key = alias("edge-team")
    refuse(fleet)
    first = kick(fleet, key, "o-eve")
    wait_until(lambda: joins(fleet, key, "o-eve") == 2, 20, "she is back")
    second = kick(fleet, key, "o-eve")
    wait_until(lambda: fleet.room(key)["held"] == [full("o-eve")], 20,
               "she is held")
    removal, = fleet.room(key)["removals"]
    assert (removal["by"], removal["times"], removal["ban"]) == (
        HUMAN, 2, False)
    assert [one for _, one in removals(fleet, key, "o-eve")] == [
        first, second]
    fleet.muster.wait_settled()
    assert joins(fleet, key, "o-eve") == 2
    fleet.tap.refuse = False
    nudge_until(fleet, lambda: delivered(fleet, second))
    fleet.settle()
    assert fleet.room(key)["held"] == [full("o-eve")]
    assert len(removals(fleet, key, "o-eve")) == 2
    fleet.muster.run("retry", "o-eve", expect=0)
    wait_until(lambda: joins(fleet, key, "o-eve") == 3, 20, "she is back")


def test_a_human_leaves_while_nothing_is_taken(fleet):
    """And is not asked again; a room that gets another name at the same time
    gets its own back."""
    key = alias("field-team")
    room_id = fleet.ids()[key]
    refuse(fleet)
    fleet.human.set_state(room_id, "m.room.name", {"name": "Mine"})
    fleet.human.kick(room_id, full("o-sia"))
    sol = fleet.agent(full("o-sol"))
    wait_until(lambda: sol.state(room_id, "m.room.name") == {
        "name": "Team Field"}, 20, "the name is as declared")
    wait_until(lambda: joins(fleet, key, "o-sia") == 2, 20, "she is back")
    fleet.human.leave(room_id)
    fleet.wait_member(room_id, HUMAN, "leave", source="poll")
    fleet.muster.wait_settled()
    assert fleet.room(key)["missing"] == [HUMAN]
    assert fleet.room(key)["invited"] == []
    assert fleet.done() == {
        ("set", key, "m.room.name"): 1, ("invite", key, full("o-sia")): 1,
        ("join", key, full("o-sia")): 1}
    # Somebody who has the right asks it in again.
    fleet.service(fleet.sender).invite(room_id, HUMAN)
    fleet.human.join(room_id)


def test_what_happens_while_the_service_is_down(fleet):
    """The first look of the next start finds it."""
    core, edge = alias("core-team"), alias("edge-team")
    ids = fleet.ids()
    refuse(fleet)
    fleet.muster.stop()
    kicked = kick(fleet, core, "o-iris")
    iris = joins(fleet, core, "o-iris")
    fleet.agent(full("o-ed")).leave(ids[edge])
    fleet.human.set_state(ids[edge], "m.room.name", {"name": "Mine"})
    ed = joins(fleet, edge, "o-ed")
    fleet.asked.clear()
    fleet.muster.start()
    fleet.muster.wait_settled()
    assert joins(fleet, core, "o-iris") == iris + 1
    assert joins(fleet, edge, "o-ed") == ed + 1
    assert fleet.human.state(ids[edge], "m.room.name") == {
        "name": "Team Edge"}
    # The one was kicked, and the other went by himself: only that counts.
    assert removals(fleet, core, "o-iris") == [(HUMAN, kicked)]
    assert fleet.done() == {
        ("invite", core, full("o-iris")): 1, ("join", core, full("o-iris")): 1,
        ("invite", edge, full("o-ed")): 1, ("join", edge, full("o-ed")): 1,
        ("set", edge, "m.room.name"): 1}
    fleet.tap.refuse = False
    nudge_until(fleet, lambda: delivered(fleet, kicked))
    fleet.settle()
    assert sum(fleet.done().values()) == 5


def test_a_homeserver_that_waits_before_it_sends_again(fleet):
    """Everything is well on our side; it was refused once, and is silent now.
    (Conduit for half a minute and more, Synapse for some seconds.)"""
    key = alias("core-team")
    refuse(fleet)
    event_id = kick(fleet, key, "o-dirk")
    fleet.tap.refuse = False
    wait_until(lambda: joins(fleet, key, "o-dirk") == 2, 20, "he is back")
    if fleet.hs.kind == "conduit":
        assert not delivered(fleet, event_id)
    assert removals(fleet, key, "o-dirk") == [(HUMAN, event_id)]
    nudge_until(fleet, lambda: delivered(fleet, event_id))
    fleet.settle()
    assert removals(fleet, key, "o-dirk") == [(HUMAN, event_id)]
    assert joins(fleet, key, "o-dirk") == 2
    assert fleet.room(key)["held"] == []


def test_an_old_event_that_comes_once_more(fleet):
    """In a transaction that is new: as by a homeserver that has lost count."""
    key = alias("sales-leadership")
    room_id = fleet.ids()[key]
    fleet.agent(full("o-sam")).leave(room_id)
    event = fleet.wait_taken(lambda e: e.get("state_key") == full("o-sam") and
                             e["room_id"] == room_id and
                             e["content"]["membership"] == "leave")
    wait_until(lambda: fleet.service(fleet.sender).members(room_id)[
        full("o-sam")] == "join", 20, "he is back")
    fleet.settle()
    was = fleet.done()
    path, headers, _ = fleet.tap.transactions()[-1]
    again = (path.split("?")[0] + "-once-more", headers,
             json.dumps({"events": [event]}).encode())
    assert fleet.tap.send_again(again)[0] == 200
    fleet.muster.wait_settled()
    assert fleet.store_members(room_id)[full("o-sam")] == "join"
    assert fleet.done() == was


def test_one_leaves_a_direct_room(fleet):
    """Direct rooms are not looked at so often: the event does it, whenever it
    comes."""
    both = pair("o-ian", "o-mona")
    room_id = fleet.ids()[both]
    refuse(fleet)
    fleet.agent(full("o-ian")).leave(room_id)
    looks = len([r for r in fleet.asked.reads() if "joined_members" in r])
    wait_until(lambda: len([r for r in fleet.asked.reads() if
                            "joined_members" in r]) >= looks + 12, 30,
               "two looks")
    assert not any(room_id in read for read in fleet.asked.reads())
    fleet.tap.refuse = False
    mona = fleet.service(full("o-mona"))
    nudge_until(fleet, lambda: mona.joined_members(room_id) == both)
    assert fleet.done() == {
        ("invite", both, full("o-ian")): 1, ("join", both, full("o-ian")): 1}


def test_looks_cost_little(fleet):
    """One read for each room of the policy, and one of where the service is."""
    rooms = len([r for r in fleet.rooms() if r["kind"] == "room"])
    fleet.asked.clear()

    def began():
        """Where in what is read each look begins."""
        return [n for n, read in enumerate(reads()) if
                read == "/joined_rooms"]
    reads = fleet.asked.reads
    wait_until(lambda: len(began()) >= 3, 30, "two looks")
    first, second, third, *_ = began()
    looks = reads()[first:third]
    assert {read.rpartition("/")[2] for read in looks} == {
        "joined_rooms", "joined_members"}
    assert (second - first, third - second) == (1 + rooms, 1 + rooms)
    assert fleet.done() == {}
    assert small.status(fleet.muster)["ready"]
