"""People interfere: they kick and ban agents, take power, upgrade and delete
rooms, and take aliases. What may be an accident is repaired once; what is
somebody's will is respected, and said."""

import json
import sqlite3
import time

import pytest

from support import small
from support.client import Client
from support.fakehs import FakeHS, answer
from support.process import wait_until
from support.small import HUMAN, SENDER, SERVER, about, full, removals

ALL = "all-employees"
TEAM = "platform-team"


@pytest.fixture
def joined(declared):
    """(muster, homeserver, human): the human has come in everywhere."""
    return small.come_in(*declared)


@pytest.fixture
def looking(fresh):
    """The same, and the rooms are looked at every second."""
    muster, hs = fresh
    muster.write_config(reconcile={"interval": "1s"})
    return served(muster, hs)


def served(muster, hs):
    muster.start()
    small.wait_settled(muster, hs)
    return small.come_in(muster, hs)


@pytest.fixture(params=["conduit", "synapse"])
def elevenths(request, muster_on):
    """(muster, homeserver): they know of each other, and rooms are made in
    version 11, where nobody stands above all."""
    hs = FakeHS(SERVER, request.param, room_version="11").start()
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "2s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    yield muster, hs
    muster.close()
    hs.stop()
    assert hs.errors == []


def wait_back(room, localpart, bound=20):
    wait_until(lambda: room.membership(full(localpart)) == "join", bound,
               f"{localpart} to be back")


def kick(muster, hs, human, room, localpart):
    """And what comes of it."""
    human.kick(room.room_id, full(localpart))
    small.wait_settled(muster, hs)


def said(muster, level, text):
    """The log's lines of a level in which this is said."""
    return [line for line in map(json.loads, filter(
        lambda line: line.startswith("{"),
        muster.daemon.output().splitlines()))
        if line["level"] == level and text in json.dumps(line)]


def wait_said(muster, level, text):
    """The same, when there are any: a plan follows what was heard."""
    return muster.daemon.wait_for(
        lambda: said(muster, level, text), 20, f"{text!r} in the log")


# -- agents who are put out


def test_a_kick_is_repaired_and_it_is_known_whose_it_was(joined):
    muster, hs, human = joined
    room = hs.room(ALL)
    kick(muster, hs, human, room, "ben.man")
    wait_back(room, "ben.man")
    small.wait_settled(muster, hs)
    assert removals(muster, room, "ben.man") == [(full(HUMAN), 0)]
    assert small.reasons(muster, "invite", "ben.man", ALL)[-1] == (
        f"was removed by {full(HUMAN)}")
    assert len(hs.writes()) == 2


def test_a_second_kick_is_held(joined):
    muster, hs, human = joined
    room, other = hs.room(ALL), hs.room(TEAM)
    with hs.lock:
        for sender, membership in ((SENDER, "invite"), (HUMAN, "join")):
            hs.world.set_member(other, full(sender), full(HUMAN), membership)
    kick(muster, hs, human, room, "ben.man")
    wait_back(room, "ben.man")
    small.wait_settled(muster, hs)
    hs.clear_log()
    kick(muster, hs, human, room, "ben.man")
    assert removals(muster, room, "ben.man") == [(full(HUMAN), 0)] * 2
    assert muster.run("plan", "--json", expect=0).json["steps"] == []
    assert small.status(muster)["held"] == 1
    assert small.status(muster)["ready"]
    # Somebody else is still helped, in the same room, and so is this one
    # in another.
    kick(muster, hs, human, room, "cleo.ic")
    kick(muster, hs, human, other, "ben.man")
    wait_back(room, "cleo.ic")
    wait_back(other, "ben.man")
    small.wait_settled(muster, hs)
    muster.restart()
    small.wait_settled(muster, hs)
    assert [r for r in about(hs.writes(), "ben.man")
            if r.room == room.room_id] == []
    assert len(hs.writes()) == 4
    assert small.events_of(room, "ben.man")[-1] == "leave"
    assert small.status(muster)["held"] == 1


def test_who_was_held_and_is_let_in_by_a_person(joined):
    """Who is invited joins: the one who put it out has asked it in."""
    muster, hs, human = joined
    room = hs.room(ALL)
    for _ in range(2):
        human.kick(room.room_id, full("ben.man"))
        small.wait_settled(muster, hs)
    assert room.membership(full("ben.man")) == "leave"
    human.invite(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")


def test_kicks_far_apart_are_repaired(fresh):
    muster, hs = fresh
    muster.write_config(respect={"window": "1s"})
    muster, hs, human = served(muster, hs)
    room = hs.room(ALL)
    for n in range(1, 4):
        kick(muster, hs, human, room, "ben.man")
        wait_back(room, "ben.man")
        small.wait_settled(muster, hs)
        last, = muster.query("SELECT max(at_ms) FROM removal")[0]
        wait_until(lambda: time.time() * 1000 > last + 1100, 5,  # noqa: B023
                   "the window to be over")
        assert small.events_of(room, "ben.man").count("leave") == n
    # Two are kept, whatever there were.
    assert len(removals(muster, room, "ben.man")) == 2


def test_a_ban_is_held_until_it_is_taken_back(joined):
    muster, hs, human = joined
    room = hs.room(ALL)
    human.ban(room.room_id, full("ben.man"))
    small.wait_settled(muster, hs)
    assert removals(muster, room, "ben.man") == [(full(HUMAN), 1)]
    assert muster.run("plan", "--json", expect=0).json["steps"] == []
    assert small.status(muster)["held"] == 1
    assert [r for r in about(hs.requests, "ben.man")
            if not r.path.endswith("/whoami")] == []
    human.unban(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")
    small.wait_settled(muster, hs)
    assert removals(muster, room, "ben.man") == []
    assert small.status(muster)["held"] == 0


def test_a_ban_that_nobody_told_us_was_taken_back(elevenths):
    """A look cannot see it, so that an operator asks: there is no ban to be
    taken back any more, and the agent is asked in."""
    muster, hs, human = served(*elevenths)
    room = hs.room(ALL)
    human.ban(room.room_id, full("ben.man"))
    small.wait_settled(muster, hs)
    assert small.status(muster)["held"] == 1
    for service in hs.appservices.values():
        service.pause(True)
    human.unban(room.room_id, full("ben.man"))
    muster.run("retry", "ben.man", expect=0)
    assert room.membership(full("ben.man")) == "join"
    for service in hs.appservices.values():
        service.pause(False)
    small.wait_settled(muster, hs)
    assert room.membership(full("ben.man")) == "join"
    assert small.status(muster)["held"] == 0


def test_kicks_that_nobody_told_of(looking):
    """The look finds them, and whose they were; they count like others."""
    muster, hs, human = looking
    room = hs.room(ALL)
    hs.lose_events(lambda event: event["type"] == "m.room.member")
    human.kick(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")
    wait_until(lambda: removals(muster, room, "ben.man") == [
        (full(HUMAN), 0)], 10, "it to be known who it was")
    assert small.reasons(muster, "invite", "ben.man", ALL)[-1] == (
        f"was removed by {full(HUMAN)}")
    human.kick(room.room_id, full("ben.man"))
    wait_until(lambda: removals(muster, room, "ben.man") == [
        (full(HUMAN), 0)] * 2, 10, "the second one to be found")
    small.wait_settled(muster, hs)
    assert small.events_of(room, "ben.man")[-1] == "leave"
    assert small.status(muster)["held"] == 1


def test_a_ban_that_nobody_told_of(looking):
    muster, hs, human = looking
    room = hs.room(ALL)
    hs.lose_events(lambda event: event["type"] == "m.room.member")
    human.ban(room.room_id, full("ben.man"))
    wait_until(lambda: removals(muster, room, "ben.man") == [
        (full(HUMAN), 1)], 10, "it to be found")
    small.wait_settled(muster, hs)
    assert about(hs.writes(), "ben.man") == []
    assert small.status(muster)["held"] == 1
    hs.lose_events(None)
    human.unban(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")


def test_told_late_of_a_kick_that_a_look_has_found(looking):
    """It is one kick, and not two."""
    muster, hs, human = looking
    room = hs.room(ALL)
    hs.pause_delivery()
    human.kick(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")
    hs.resume_delivery()
    small.wait_settled(muster, hs)
    assert removals(muster, room, "ben.man") == [(full(HUMAN), 0)]
    assert small.status(muster)["held"] == 0


def test_an_agent_that_leaves_by_itself(joined):
    """Once it may be a slip; twice it is somebody's will, too."""
    muster, hs, _ = joined
    room = hs.room(TEAM)
    agent = Client(hs.url, muster.handoff("cleo.ic")["access_token"])
    agent.leave(room.room_id)
    small.wait_settled(muster, hs)
    wait_back(room, "cleo.ic")
    small.wait_settled(muster, hs)
    assert removals(muster, room, "cleo.ic") == [(full("cleo.ic"), 0)]
    assert small.reasons(muster, "invite", "cleo.ic", TEAM)[-1] == (
        "has left by itself")
    agent.leave(room.room_id)
    small.wait_settled(muster, hs)
    assert room.membership(full("cleo.ic")) == "leave"
    assert small.status(muster)["held"] == 1


@pytest.mark.parametrize("by", ["kick", "ban"])
def test_an_agent_is_put_out_of_its_direct_room(elevenths, by):
    """That stands at once: another room would be no repair."""
    muster, hs, human = served(*elevenths)
    pair = frozenset((full("anna.vp"), full(HUMAN)))
    room, = small.room_of(hs, pair)
    Client(hs.url, muster.handoff("anna.vp")["access_token"]).set_power(
        room.room_id, {full("anna.vp"): 0})
    small.wait_settled(muster, hs)
    getattr(human, by)(room.room_id, full("anna.vp"))
    small.wait_settled(muster, hs)
    muster.restart()
    small.wait_settled(muster, hs)
    assert small.room_of(hs, pair) == [room]
    assert hs.writes() == []
    assert room.membership(full("anna.vp")) == {
        "kick": "leave", "ban": "ban"}[by]
    assert small.status(muster)["held"] == 1


# -- who should not be there


def strict(muster):
    muster.write_config(rooms=[
        {"alias": ALL, "members": {"everyone": True}},
        {"alias": TEAM, "members": {"team": "Platform"}, "strict": True}])


def test_a_guest_is_put_out_where_the_policy_says_so(fresh):
    muster, hs = fresh
    strict(muster)
    muster, hs, human = served(muster, hs)
    guest, room, other = hs.human("guest"), hs.room(TEAM), hs.room(ALL)
    hs.human("invited")
    with hs.lock:
        hs.world.set_member(room, full(SENDER), full("invited"), "invite")
    for where in (room, other):
        with hs.lock:
            hs.world.set_member(where, full(SENDER), full("guest"), "invite")
        guest.join(where.room_id)
    wait_until(lambda: room.membership(full("guest")) == "leave", 20,
               "the guest to be put out")
    wait_until(lambda: room.membership(full("invited")) == "leave", 20,
               "the invitation to be taken back")
    small.wait_settled(muster, hs)
    # Where nothing was said, guests are a person's own affair.
    assert other.membership(full("guest")) == "join"
    kicks = hs.writes()
    assert {(r.path.rpartition("/")[2], r.user, r.room) for r in kicks} == {
        ("kick", full(SENDER), room.room_id)}
    assert len(kicks) == len({r.body["user_id"] for r in kicks}) == 2


def test_who_is_never_put_out(elevenths):
    """The service's own user, ours, those who are declared; and whoever has
    as much power as we, of whom that is said."""
    muster, hs = elevenths
    muster.write_config(rooms=[
        {"alias": ALL, "members": {"everyone": True}, "strict": True},
        {"alias": TEAM, "members": {"team": "Platform"}, "strict": True}])
    muster, hs, human = served(muster, hs)
    mighty, team, everybody = hs.human("mighty"), hs.room(TEAM), hs.room(ALL)
    with hs.lock:
        levels = everybody.content("m.room.power_levels")
        hs.world.append(everybody, full(SENDER), "m.room.power_levels", {
            **levels, "users": {**levels["users"], full("mighty"): 100}}, "")
        hs.world.set_member(
            everybody, full(SENDER), full("mighty"), "invite")
        hs.world.set_member(everybody, full("mighty"), full("mighty"), "join")
        # An agent of ours, where it is not declared.
        hs.world.set_member(team, full(SENDER), full("anna.vp"), "invite")
        hs.world.set_member(team, full("anna.vp"), full("anna.vp"), "join")
    wait_until(lambda: team.membership(full("anna.vp")) == "leave", 20,
               "the agent to leave")
    small.wait_settled(muster, hs)
    left, = hs.writes()
    assert (left.user, left.path.rpartition("/")[2]) == (
        full("anna.vp"), "leave")
    assert everybody.membership(full("mighty")) == "join"
    trouble, = wait_said(muster, "error", full("mighty"))
    assert trouble["room"] == f"#{ALL}:{SERVER}"
    assert "strict" in trouble["why"] and "power" in trouble["why"]
    # With less of it, they go.
    mighty.set_power(everybody.room_id, {full("mighty"): 0})
    wait_until(lambda: everybody.membership(full("mighty")) == "leave", 20,
               "them to be put out")


def test_an_agent_is_brought_where_it_does_not_belong(joined):
    """By a person; it leaves by itself, whether it was only invited or has
    joined."""
    muster, hs, human = joined
    room = hs.room("engineering-leadership")
    with hs.lock:
        hs.world.set_member(room, full(SENDER), full(HUMAN), "invite")
        hs.world.set_member(room, full(HUMAN), full(HUMAN), "join")
    human.invite(room.room_id, full("cleo.ic"))
    wait_until(lambda: small.events_of(room, "cleo.ic") == [
        "invite", "leave"], 20, "it to decline")
    agent = Client(hs.url, muster.handoff("cleo.ic")["access_token"])
    small.wait_settled(muster, hs)
    hs.pause_delivery()
    human.invite(room.room_id, full("cleo.ic"))
    agent.join(room.room_id)
    hs.resume_delivery()
    wait_until(lambda: room.membership(full("cleo.ic")) == "leave", 20,
               "it to leave")
    small.wait_settled(muster, hs)
    assert {(r.user, r.path.rpartition("/")[2]) for r in hs.writes()} == {
        (full("cleo.ic"), "leave")}
    assert removals(muster, room, "cleo.ic") == []


# -- power


def of_theirs(hs, human, alias):
    """A room that a person has made, in which they have more power than
    anybody: declared, and ours to keep."""
    twelve = hs.room_version == "12"
    return hs.room(human.create_room(
        room_alias_name=alias, preset="private_chat", invite=[full(SENDER)],
        power_level_content_override={"users": {
            full(SENDER): 100, **({} if twelve else {full(HUMAN): 150})}}))


@pytest.fixture
def adopted(fakehs, muster_on):
    """(muster, homeserver, human, room): the team's room is a person's."""
    hs = fakehs
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "2s"})
    muster.run("registration", expect=0)
    room = of_theirs(hs, human, TEAM)
    hs.add_appservice(muster.registration_path)
    muster, hs, human = served_with(muster, hs, human)
    assert hs.room(TEAM) is room
    return muster, hs, human, room


def served_with(muster, hs, human):
    muster.start()
    small.wait_settled(muster, hs)
    for room in list(hs.world.rooms.values()):
        if room.membership(human.user_id) == "invite":
            human.join(room.room_id)
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs, human


def test_power_is_taken_from_us_and_given_back(adopted):
    muster, hs, human, room = adopted
    name = room.content("m.room.name")["name"]
    human.set_power(room.room_id, {full(SENDER): 0}, invite=50)
    human.set_state(room.room_id, "m.room.name", {"name": "Mine"})
    human.kick(room.room_id, full("ben.man"))
    small.wait_settled(muster, hs)
    trouble, = wait_said(muster, "error", "power 0")
    assert trouble["room"] == f"#{TEAM}:{SERVER}"
    assert full(HUMAN) in trouble["why"] and full(SENDER) in trouble["why"]
    # Never fought.
    assert hs.writes() == []
    assert small.status(muster)["ready"]
    # The rest goes on, and it is not said again.
    other = hs.room(ALL)
    human.kick(other.room_id, full("cleo.ic"))
    small.wait_settled(muster, hs)
    wait_back(other, "cleo.ic")
    hs.clear_log()
    looks = len(hs.reads(r"/joined_rooms$"))
    wait_until(lambda: len(hs.reads(r"/joined_rooms$")) >= looks + 2, 20,
               "two more looks")
    assert hs.writes() == []
    assert len(said(muster, "error", "power 0")) == 1
    # Given back, it is kept again.
    human.set_power(room.room_id, {full(SENDER): 100})
    wait_until(lambda: room.content("m.room.name")["name"] == name, 20,
               "its name to be put right")
    wait_back(room, "ben.man")
    small.wait_settled(muster, hs)
    assert hs.find("PUT", r"/m\.room\.power_levels") == []


def test_we_are_put_out_ourselves(adopted):
    """Nobody can do anything then, and that is said; until we are asked in."""
    muster, hs, human, room = adopted
    human.kick(room.room_id, full(SENDER))
    muster.daemon.wait_for(lambda: said(
        muster, "error", "nothing can be done about a room"), 20,
        "it to be said")
    small.wait_settled(muster, hs)
    human.kick(room.room_id, full("ben.man"))
    other = hs.room(ALL)
    human.kick(other.room_id, full("cleo.ic"))
    wait_back(other, "cleo.ic")
    small.wait_settled(muster, hs)
    assert room.membership(full("ben.man")) == "leave"
    assert hs.find("POST", "/createRoom$") == []
    human.invite(room.room_id, full(SENDER))
    wait_back(room, "ben.man", 30)
    small.wait_settled(muster, hs)
    assert hs.room(TEAM) is room


# -- aliases


def test_an_alias_that_is_taken_by_a_room_without_power(fakehs, muster_on):
    """Held, with what is missing; adopted once it is there."""
    hs = fakehs
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "2s"})
    muster.run("registration", expect=0)
    room = of_theirs(hs, human, TEAM)
    human.set_power(room.room_id, {full(SENDER): None})
    hs.add_appservice(muster.registration_path)
    muster, hs, human = served_with(muster, hs, human)
    held, = muster.query("SELECT held FROM room WHERE key = ?",
                         f"#{TEAM}:{SERVER}")[0]
    assert room.room_id in held and "power 0" in held
    assert len(said(muster, "error", "nothing can be done about a room")) == 1
    assert muster.run("plan", expect=0)
    assert room.membership(full("ben.man")) is None
    human.set_power(room.room_id, {full(SENDER): 100})
    wait_back(room, "ben.man", 30)
    wait_back(room, "cleo.ic")
    small.wait_settled(muster, hs)
    assert hs.room(TEAM) is room
    assert hs.find("POST", "/createRoom$") == []
    assert muster.query("SELECT held FROM room WHERE key = ?",
                        f"#{TEAM}:{SERVER}") == [(None,)]


def test_a_bot_names_a_room_as_often_as_we_do(joined):
    """Nobody is served by a war of names at the speed of machines. Ten minutes
    later it is tried once more, and if the bot is tired it is over."""
    muster, hs, human = joined
    room = hs.room(ALL)
    ours, theirs = room.content("m.room.name")["name"], []
    tired = []

    def name_it(_index, phase, _method, path):
        if phase == "after" and "/m.room.name" in path and not tired:
            theirs.append(f"Theirs {len(theirs)}")
            human.set_state(room.room_id, "m.room.name", {"name": theirs[-1]})
    hs.on_request(name_it)
    human.set_state(room.room_id, "m.room.name", {"name": "Theirs"})
    wait_until(lambda: len(theirs) == 15, 30, "the war")
    # Whatever else there is to do is done, by plans that have this in them.
    human.kick(room.room_id, full("ben.man"))
    wait_back(room, "ben.man")
    wait_until(lambda: small.steps(muster) == [
        ("set_state", "m.room.name", f"#{ALL}:{SERVER}")], 20, "the rest")
    assert len(theirs) == 15
    assert room.content("m.room.name")["name"] == theirs[-1]
    failed, = [row for row in muster.json("journal")
               if row["state"] == "failed"]
    assert "undone by somebody" in failed["error"]
    assert failed["next_attempt_ms"] > time.time() * 1000 + 60_000
    assert len(said(muster, "warn", "a step failed")) == 1
    tired.append(True)
    muster.stop()
    db = sqlite3.connect(muster.path("muster.db"))
    with db:
        db.execute("UPDATE journal SET updated_ms = updated_ms - 600000, "
                   "next_attempt_ms = 0")
    db.close()
    muster.start()
    wait_until(lambda: room.content("m.room.name")["name"] == ours, 20,
               "the last word")


# -- rooms that are upgraded


def assert_moved(muster, hs, old, new):
    """From the old room to the new one; everybody, and in this order."""
    small.wait_settled(muster, hs)
    assert hs.room(ALL) is new
    for member in small.ROOMS[ALL] | {SENDER}:
        assert new.membership(full(member)) == "join", member
    wait_until(lambda: old.membership(full(SENDER)) == "leave", 20,
               "the old room to be left")
    small.wait_settled(muster, hs)
    leaves = [r.user for r in hs.writes("POST", "/leave$")
              if r.room == old.room_id and r.status == 200]
    assert sorted(leaves) == sorted(map(full, [SENDER, *small.AGENTS]))
    assert leaves[-1] == full(SENDER)
    assert old.membership(full(HUMAN)) == "join"  # that is theirs to do
    # Of the old one nothing is left; a restart has nothing to do.
    assert muster.query("SELECT count(*) FROM old_room") == [(0,)]
    assert hs.find("POST", "/createRoom$") == []
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert [r for r in hs.requests if r.room == old.room_id] == []


@pytest.mark.parametrize("version", ["11", "12"])
def test_a_room_is_upgraded_and_we_are_asked_in(elevenths, version):
    """AS-156."""
    muster, hs = elevenths
    muster.write_config(reconcile={"interval": "24h"})  # no look in between
    muster, hs, human = served(muster, hs)
    old = hs.room(ALL)
    hs.pause_delivery()
    new = hs.room(human.upgrade(old.room_id, version))
    human.invite(new.room_id, full(SENDER))
    hs.resume_delivery()
    wait_back(new, "cleo.ic")
    assert_moved(muster, hs, old, new)
    assert said(muster, "error", "nothing can be done about a room") == []
    assert new.content("m.room.canonical_alias")["alias"] == (
        f"#{ALL}:{SERVER}")
    # From now on it is this one that is kept.
    human.kick(new.room_id, full("cleo.ic"))
    wait_back(new, "cleo.ic")


def test_a_room_is_upgraded_and_nobody_asks_us_in(elevenths):
    """Held until somebody does; nobody leaves the old one before."""
    muster, hs, human = served(*elevenths)
    old = hs.room(ALL)
    new = hs.room(human.upgrade(old.room_id, "12"))
    small.wait_settled(muster, hs)
    muster.daemon.wait_for(lambda: said(
        muster, "error", new.room_id), 20, "it to be said")
    small.wait_settled(muster, hs)
    assert old.membership(full("ben.man")) == "join"
    assert hs.find("POST", "/(createRoom|leave|invite)$") == []
    human.invite(new.room_id, full(SENDER))
    wait_back(new, "cleo.ic", 30)
    assert_moved(muster, hs, old, new)


def tries(hs, room_id):
    """How often we tried to come into a room."""
    return len([r for r in hs.writes("POST", "/join")
                if room_id in r.path and r.user == full(SENDER)])


def test_a_room_says_that_it_was_replaced_by_one_of_theirs(elevenths):
    """By hand, so that the alias stays where it is. It is held and stays so;
    who asks us in makes an end of it."""
    muster, hs, human = served(*elevenths)
    old, theirs = hs.room(ALL), human.create_room(preset="private_chat")
    human.set_state(old.room_id, "m.room.tombstone",
                    {"body": "over there", "replacement_room": theirs})
    muster.daemon.wait_for(lambda: said(muster, "error", theirs), 20,
                           "it to be said")
    wait_until(lambda: tries(hs, theirs) >= 4, 30, "it to be looked at again")
    assert len(said(muster, "error", "nothing can be done about a room")) == 1
    assert said(muster, "info", "something can be done") == []
    assert old.membership(full("ben.man")) == "join"
    human.set_power(theirs, {full(SENDER): 100})
    human.invite(theirs, full(SENDER))
    wait_back(hs.room(theirs), "cleo.ic", 30)
    assert_moved(muster, hs, old, hs.room(theirs))


@pytest.mark.parametrize("nowhere", ["!nowhere:fleet.test", "!nowhere"])
def test_a_room_says_that_it_was_replaced_by_none(elevenths, nowhere):
    """It is held, with the reason, until the room says something else."""
    muster, hs, human = served(*elevenths)
    room = hs.room(ALL)
    human.set_state(room.room_id, "m.room.tombstone",
                    {"body": "over there", "replacement_room": nowhere})
    muster.daemon.wait_for(lambda: said(muster, "error", nowhere), 20,
                           "it to be said")
    small.wait_settled(muster, hs)
    assert nowhere in muster.query("SELECT held FROM room WHERE key = ?",
                                   f"#{ALL}:{SERVER}")[0][0]
    assert small.status(muster)["journal"]["failed"] == 0
    human.set_state(room.room_id, "m.room.tombstone", {})
    human.kick(room.room_id, full("cleo.ic"))
    wait_back(room, "cleo.ic", 30)


def test_two_rooms_say_that_the_other_one_has_replaced_them(elevenths):
    """A person who wants to go back: where we are is where we stay, until one
    of the two says something else."""
    muster, hs, human = served(*elevenths)
    old = hs.room(ALL)
    new = hs.room(human.create_room(
        preset="private_chat", invite=[full(SENDER)],
        power_level_content_override={"users": {
            full(HUMAN): 100, full(SENDER): 100}}))
    for room, other in ((new, old), (old, new)):
        human.set_state(room.room_id, "m.room.tombstone", {
            "body": "over there", "replacement_room": other.room_id})
    muster.daemon.wait_for(lambda: said(
        muster, "error", "nothing can be done about a room"), 30,
        "it to be said")
    at = looks(hs)
    wait_until(lambda: looks(hs) >= at + 3, 30, "some looks")
    held, = muster.query("SELECT held FROM room WHERE key = ?",
                         f"#{ALL}:{SERVER}")[0]
    assert old.room_id in held and new.room_id in held
    assert len(said(muster, "error", "nothing can be done about a room")) == 1
    assert hs.writes("DELETE", "/directory/") == []
    assert old.membership(full("ben.man")) == "join"
    human.set_state(new.room_id, "m.room.tombstone", {})
    wait_back(new, "cleo.ic", 30)
    assert_moved(muster, hs, old, new)


def test_an_upgrade_that_nobody_told_of(elevenths):
    """A look at the room finds it, once something makes it look."""
    muster, hs, human = served(*elevenths)
    old = hs.room(ALL)
    hs.lose_events(lambda event: True)
    new = hs.room(human.upgrade(old.room_id, "12"))
    human.invite(new.room_id, full(SENDER))
    human.leave(old.room_id)
    wait_back(new, "cleo.ic", 30)
    wait_until(lambda: old.membership(full(SENDER)) == "leave", 20,
               "the old room to be left")
    assert hs.find("POST", "/createRoom$") == []


def test_a_human_of_a_room_of_theirs_upgrades_it(adopted):
    """Also one that was never made by us, in the version that the
    homeserver has."""
    muster, hs, human, old = adopted
    new = hs.room(human.upgrade(old.room_id, hs.room_version))
    human.invite(new.room_id, full(SENDER))
    wait_back(new, "cleo.ic", 30)
    wait_back(new, "ben.man")
    wait_until(lambda: old.membership(full(SENDER)) == "leave", 20,
               "the old room to be left")
    small.wait_settled(muster, hs)
    assert hs.room(TEAM) is new


# -- rooms that are gone


def looks(hs):
    return len([r for r in hs.reads(r"/joined_rooms$")
                if r.user == full(SENDER)])


def looks_before_rooms(hs):
    """A list to which is added, for each room that is made from here on, how
    many looks there were before."""
    before = []

    def seen(_index, phase, _method, path):
        if phase == "before" and path.endswith("/createRoom"):
            before.append(looks(hs))
    hs.on_request(seen)
    return before


def test_a_deleted_room_is_made_again(looking):
    """After two looks, not after one; with everybody in it."""
    muster, hs, _ = looking
    old = hs.room(ALL)
    between = looks_before_rooms(hs)
    with hs.lock:
        hs.clear_log()
        hs.delete_room(ALL)
    wait_until(lambda: hs.room(ALL) and hs.room(ALL).membership(
        full("ben.man")) == "join", 20, "it to be there again")
    small.wait_settled(muster, hs)
    assert len(between) == 1 and between[0] >= 2
    new = hs.room(ALL)
    assert new is not old
    assert {new.membership(full(m)) for m in small.AGENTS} == {"join"}
    assert new.membership(full(HUMAN)) == "invite"
    assert muster.run("plan", expect=0)


@pytest.mark.parametrize("status", [403, 404])
def test_a_room_is_out_of_reach_for_one_look(looking, status):
    muster, hs, _ = looking
    room = hs.room(ALL)
    code = {403: "M_FORBIDDEN", 404: "M_NOT_FOUND"}[status]
    gone = answer(status, {"errcode": code, "error": "not now"})
    # Where the alias leads is only asked when its members are not told.
    alias = hs.fault("GET", f"/directory/room/#{ALL}", answer(
        404, {"errcode": "M_NOT_FOUND", "error": "no such alias"}))
    members = hs.fault("GET", f"{room.room_id}/joined_members", gone)
    muster.daemon.wait_for(lambda: said(
        muster, "warn", "it is looked for once more"), 20, "one look to miss")
    assert (members.hits, alias.hits) == (1, 1)
    before = looks(hs)
    wait_until(lambda: looks(hs) >= before + 3, 20, "more looks")
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert hs.room(ALL) is room
    assert muster.query("SELECT missing_ms FROM room WHERE key = ?",
                        f"#{ALL}:{SERVER}") == [(0,)]
    # Two that do not follow each other are no two.
    hs.fault("GET", f"/directory/room/#{ALL}", answer(
        404, {"errcode": "M_NOT_FOUND", "error": "no such alias"}))
    hs.fault("GET", f"{room.room_id}/joined_members", gone)
    muster.daemon.wait_for(lambda: len(said(
        muster, "warn", "it is looked for once more")) == 2, 20,
        "another look to miss")
    before = looks(hs)
    wait_until(lambda: looks(hs) >= before + 2, 20, "more looks")
    assert hs.writes() == []


def test_a_room_refuses_to_be_looked_at(looking):
    """As long as its alias leads to it and we may read it, it is there."""
    muster, hs, _ = looking
    room = hs.room(ALL)
    fault = hs.fault("GET", f"{room.room_id}/joined_members", answer(
        403, {"errcode": "M_FORBIDDEN", "error": "no"}), times=3)
    wait_until(lambda: fault.hits == 3, 20, "three looks")
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert hs.room(ALL) is room


def test_the_service_has_left_a_room(looking):
    """By somebody who has its token. It may not come back, and nobody put it
    out: another room is made, by two looks, and the agents leave this one."""
    muster, hs, _ = looking
    old = hs.room(TEAM)
    between = looks_before_rooms(hs)
    with hs.lock:
        hs.clear_log()
    Client(hs.url, muster.registration["as_token"],
           acting_as=full(SENDER)).leave(old.room_id)
    wait_until(lambda: hs.room(TEAM) is not old and hs.room(TEAM), 40,
               "another room to be made")
    new = hs.room(TEAM)
    for agent in ("ben.man", "cleo.ic"):
        wait_back(new, agent, 30)
        wait_until(lambda who=full(agent): old.membership(who) == "leave", 20,
                   "the old room to be left")
    small.wait_settled(muster, hs)
    assert len(between) == 1 and between[0] >= 2
    assert new.content("m.room.name") == old.content("m.room.name")
    assert muster.query("SELECT * FROM old_room") == []
    assert muster.run("plan", expect=0)
