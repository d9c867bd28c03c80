"""Rooms after they were made: people come and go, kick and ban, rename and
take; ours are kept as declared, and people's own affairs are left alone."""

import pytest

from support import small
from support.client import Client
from support.fakehs import answer, delay
from support.process import wait_until
from support.small import AGENTS, HUMAN, SENDER, SERVER, full

ALL = "all-employees"


@pytest.fixture
def joined(declared):
    """(muster, homeserver, human): the human has come in everywhere."""
    return small.come_in(*declared)


@pytest.fixture
def joined_on_conduit(declared_on_conduit):
    """The same in Conduit's manner alone."""
    return small.come_in(*declared_on_conduit)


def shown(muster, alias):
    """A room as `muster rooms` has it."""
    return next(r for r in muster.json("rooms")
                if r["alias"] == f"#{alias}:{SERVER}")


def test_as_declared(joined):
    muster, hs, _ = joined
    rooms = {r["alias"] or frozenset(r["declared"]): r
             for r in muster.json("rooms")}
    assert set(rooms) == {f"#{alias}:{SERVER}" for alias in small.ROOMS} | set(
        small.pairs_of(muster))
    for alias, members in small.ROOMS.items():
        room = rooms[f"#{alias}:{SERVER}"]
        assert room["room_id"] == hs.room(alias).room_id
        assert room["kind"] == "room"
        assert set(room["declared"]) == set(map(full, members))
        assert set(room["joined"]) == set(map(full, members)) | {full(SENDER)}
        assert [room[k] for k in ("invited", "missing", "extra", "held")] == [
            []] * 4
    for pair in small.pairs_of(muster):
        assert rooms[pair]["kind"] == "direct"
        assert set(rooms[pair]["joined"]) == pair


def test_a_kick_is_repaired(joined):
    muster, hs, human = joined
    room = hs.room(ALL)
    human.kick(room.room_id, full("ben.man"))
    wait_until(lambda: room.membership(full("ben.man")) == "join", 20,
               "the agent to be back")
    small.wait_settled(muster, hs)
    assert [(r.path.rpartition("/")[2], r.user) for r in hs.writes()] == [
        ("invite", full(SENDER)), ("join", full("ben.man"))]
    assert small.events_of(room, "ben.man") == [
        "invite", "join", "leave", "invite", "join"]


def test_newcomers_come_into_one_room_after_the_other(fresh_on_conduit):
    """Conduit would break one of two rooms that see somebody for the first
    time at the same moment."""
    muster, hs = fresh_on_conduit
    hs.fault("POST", r"/(createRoom|invite)$", delay(0.05), times=None)
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert hs.crossings == []
    # Those who are known cross: it is not simply one after the other.
    assert hs.log.most_in_flight > 1


@pytest.mark.parametrize("where", [ALL, "direct"])
def test_an_invitation_that_the_homeserver_lost(fresh_on_conduit, where):
    """It lists the member, and does not let them in: asked again."""
    muster, hs = fresh_on_conduit
    lost = []

    def lose():
        for room in hs.world.rooms.values():
            direct = not room.aliases and hs.admin.room is not room
            if not lost and room.membership(full("cleo.ic")) == "invite" and (
                    direct if where == "direct" else room is hs.room(ALL)):
                room.unfound.add(full("cleo.ic"))
                lost.append(room)

    def told(_n, phase, _method, _path):
        if phase == "after":
            with hs.lock:
                lose()
    hs.on_request(told)
    muster.start()
    small.wait_settled(muster, hs)
    room, = lost
    assert small.events_of(room, "cleo.ic") == ["invite", "invite", "join"]
    again = [r for r in hs.writes("POST", r"/invite$")
             if r.room == room.room_id
             and r.body["user_id"] == full("cleo.ic")][-1]
    assert again.user == full("ben.man" if where == "direct" else SENDER)


def test_an_invitation_that_never_was(fresh_on_conduit):
    """Answered with 200, and nothing came of it: found out when the join is
    refused, and asked again."""
    muster, hs = fresh_on_conduit
    lost = []

    def handle(request, true=hs.handle):
        if not lost and request.path.endswith("/invite") and (
                request.body["user_id"] == full("cleo.ic")):
            lost.append(request)
            return 200, {}, {}
        return true(request)
    hs.handle = handle
    muster.start()
    small.wait_settled(muster, hs)
    assert lost
    small.assert_as_declared(hs, muster)


def test_a_name_that_no_string_can_hold(declared_on_conduit):
    """Conduit takes one with a NUL. Its bearer's events go to quarantine, and
    the look finds out who is in the room all the same."""
    muster, hs = declared_on_conduit
    human = hs.human(HUMAN)
    human.set_displayname("Ca\0rla")
    room = hs.room(ALL)
    human.join(room.room_id)
    wait_until(lambda: muster.json("quarantine"), 20, "the event to be kept")
    muster.restart()
    small.wait_settled(muster, hs)
    assert full(HUMAN) in shown(muster, ALL)["joined"]
    assert "could not be looked at" not in muster.daemon.output()
    # Nor does it disturb a look at everything there is in the room.
    hs.fault("POST", r"/invite$", answer(403, {
        "errcode": "M_FORBIDDEN", "error": "not now"}))
    human.kick(room.room_id, full("ben.man"))
    wait_until(lambda: room.membership(full("ben.man")) == "join", 20,
               "the agent to be back")


def test_a_ban_is_held(joined):
    muster, hs, human = joined
    room = hs.room(ALL)
    human.ban(room.room_id, full("cleo.ic"))
    small.wait_settled(muster, hs)
    wait_until(lambda: shown(muster, ALL)["held"] == [full("cleo.ic")], 10,
               "it to be said")
    assert shown(muster, ALL)["missing"] == []
    assert muster.run("plan", "--json", expect=0).json["steps"] == []
    assert small.status(muster)["ready"]
    # Nor does anything but the ban's end change that: not even a restart.
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert room.membership(full("cleo.ic")) == "ban"
    # Its other rooms are as they were.
    assert hs.room("platform-team").membership(full("cleo.ic")) == "join"


def test_who_leaves_is_let_go(joined_on_conduit):
    muster, hs, human = joined_on_conduit
    room = hs.room(ALL)
    human.leave(room.room_id)
    small.wait_settled(muster, hs)
    assert shown(muster, ALL)["missing"] == [full(HUMAN)]
    assert muster.run("plan", expect=0)
    assert hs.writes() == []
    assert room.membership(full(HUMAN)) == "leave"


def test_an_agent_that_left_comes_back(joined_on_conduit):
    muster, hs, _ = joined_on_conduit
    room = hs.room("platform-team")
    agent = Client(hs.url, muster.handoff("cleo.ic")["access_token"])
    agent.leave(room.room_id)
    wait_until(lambda: room.membership(full("cleo.ic")) == "join", 20,
               "the agent to be back")


def test_a_guest_may_stay(joined_on_conduit):
    """Whom a person asks in is that person's affair."""
    muster, hs, human = joined_on_conduit
    guest = hs.human("guest")
    room = hs.room(ALL)
    human.invite(room.room_id, full("guest"))
    guest.join(room.room_id)
    small.wait_settled(muster, hs)
    assert shown(muster, ALL)["extra"] == [full("guest")]
    assert hs.writes() == []
    assert room.membership(full("guest")) == "join"


def test_an_agent_where_it_does_not_belong(joined_on_conduit):
    """It leaves by itself; nobody is kicked."""
    muster, hs, _ = joined_on_conduit
    room = hs.room("engineering-leadership")
    with hs.lock:
        hs.world.set_member(room, full(SENDER), full("cleo.ic"), "invite")
        hs.world.set_member(room, full("cleo.ic"), full("cleo.ic"), "join")
    wait_until(lambda: room.membership(full("cleo.ic")) == "leave", 20,
               "it to leave")
    small.wait_settled(muster, hs)
    left, = hs.writes()
    assert left.user == full("cleo.ic") and left.path.endswith("/leave")


def test_a_name_is_put_right(joined_on_conduit):
    muster, hs, human = joined_on_conduit
    room = hs.room(ALL)
    name = room.content("m.room.name")["name"]
    human.set_state(room.room_id, "m.room.name", {"name": "Mine"})
    wait_until(lambda: room.content("m.room.name")["name"] == name, 20,
               "its name")
    small.wait_settled(muster, hs)
    assert len(hs.writes()) == 1


def test_power_is_put_right(joined):
    """The human keeps 100, and what else was set stays."""
    muster, hs, human = joined
    room = hs.room(ALL)
    levels = room.content("m.room.power_levels")
    human.set_state(room.room_id, "m.room.power_levels", {
        **levels, "invite": 50,
        "users": {**levels["users"], full(HUMAN): 50, full("anna.vp"): 10}})
    wait_until(lambda: room.power(full(HUMAN)) == 100, 20, "the power")
    small.wait_settled(muster, hs)
    assert room.power(full("anna.vp")) == 10
    assert room.content("m.room.power_levels")["invite"] == 50
    assert len(hs.writes()) == 1


def test_name_and_power_are_put_right(joined_on_conduit):
    """Both at once: two steps, each with its own row."""
    muster, hs, human = joined_on_conduit
    room = hs.room(ALL)
    name = room.content("m.room.name")["name"]
    levels = room.content("m.room.power_levels")
    muster.stop()
    human.set_state(room.room_id, "m.room.name", {"name": "Mine"})
    human.set_state(room.room_id, "m.room.power_levels", {
        **levels, "users": {**levels["users"], full(HUMAN): 50}})
    muster.start()
    small.wait_settled(muster, hs)
    assert room.content("m.room.name")["name"] == name
    assert room.power(full(HUMAN)) == 100
    assert len(hs.writes()) == 2
    assert '"level":"error"' not in muster.daemon.output()
    assert sorted(
        (r["subject"], r["attempt"]) for r in muster.json("journal")
        if r["kind"] == "set_state") == [
        ("m.room.name", 1), ("m.room.power_levels", 1)]


def test_people_talk(joined_on_conduit):
    """What is said in a room is no work, and nothing to remember."""
    muster, hs, human = joined_on_conduit
    for n in range(20):
        human.send(hs.room(ALL).room_id, f"Good morning {n}")
    small.wait_settled(muster, hs)
    assert hs.requests == []
    with open(muster.path("muster.db"), "rb") as f:
        assert b"Good morning" not in f.read()


def test_room_version_of_the_old_kind(muster_on):
    """Where the maker is no creator, it has power 100 by name."""
    from support.fakehs import FakeHS
    hs = FakeHS(SERVER, "conduit", room_version="10").start()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert hs.room(ALL).content("m.room.power_levels")["users"] == {
        full(SENDER): 100, full(HUMAN): 100}
    muster.stop()
    hs.stop()


@pytest.mark.parametrize("manner", ["conduit", "synapse"])
def test_power_in_words(muster_on, manner):
    """AS-155: rooms of before version 10 have levels in strings. What is right
    is left alone; what is mended is told in numbers."""
    from support.fakehs import FakeHS
    hs = FakeHS(SERVER, manner, room_version="9").start()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    muster, hs, _ = small.come_in(muster, hs)
    room = hs.room(ALL)

    def set_levels(**users):
        """As they may come from another server."""
        with hs.lock:
            hs.world.append(room, full(HUMAN), "m.room.power_levels", {
                **room.content("m.room.power_levels"), "invite": " 050 ",
                "users": {full(SENDER): " 100", **users}}, "")
        small.wait_settled(muster, hs)

    set_levels(**{full(HUMAN): " +100 ", full("anna.vp"): "10"})
    assert hs.writes() == []
    set_levels(**{full(HUMAN): "50", full("anna.vp"): "10"})
    assert len(hs.writes()) == 1
    levels = room.content("m.room.power_levels")
    assert levels["users"] == {
        full(SENDER): 100, full(HUMAN): 100, full("anna.vp"): 10}
    assert levels["invite"] == 50
    muster.stop()
    hs.stop()
    assert hs.errors == []


def test_an_alias_that_is_taken_is_taken_over(fakehs, muster_on):
    """The room of before, whose maker left us in it, is used on."""
    hs = fakehs
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    room_id = human.create_room(
        room_alias_name="platform-team", preset="private_chat",
        name="Platform team", invite=[full(SENDER)],
        power_level_content_override={"users": {
            full(SENDER): 100,
            **({} if hs.conduit else {full(HUMAN): 100})}})
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    room = hs.room("platform-team")
    assert room.room_id == room_id
    for agent in small.ROOMS["platform-team"]:
        assert room.membership(full(agent)) == "join"
    made = [r.body.get("room_alias_name")
            for r in hs.writes("POST", "/createRoom$")]
    assert "platform-team" not in made and ALL in made


def test_an_alias_that_is_taken_and_a_join_that_breaks(
        conduit_fake, muster_on):
    """It is told as what it is, not as a room that may not be joined."""
    hs = conduit_fake
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    human.create_room(room_alias_name="platform-team", preset="private_chat",
                      invite=[full(SENDER)],
                      power_level_content_override={
                          "users": {full(SENDER): 100}})
    hs.fault("POST", r"/join$", answer(502, b"<html>proxy</html>"))
    hs.add_appservice(muster.registration_path)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert "502" in muster.daemon.output()
    assert "take the alias off" not in muster.daemon.output()


def test_an_alias_that_is_taken_by_a_closed_room(fakehs, muster_on):
    """It is said, with what to do; everything else is made."""
    hs = fakehs
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    human.create_room(room_alias_name="platform-team", preset="private_chat")
    hs.add_appservice(muster.registration_path)
    muster.start()
    wait_until(lambda: small.status(muster)["ready"], 20, "it is ready")
    assert "invite @muster:fleet.test with power 100" in muster.daemon.output()
    assert muster.run("plan").code == 0, "it is held, which is no step"
    assert small.status(muster)["journal"]["failed"] == 0
    small.assert_tokens(hs, muster)
    small.assert_direct_rooms(hs, muster)
    # Once somebody has done that, it goes on by itself.
    human.invite(hs.room("platform-team").room_id, full(SENDER))
    with hs.lock:
        room = hs.room("platform-team")
        levels = dict(room.content("m.room.power_levels"))
        users = {**levels.get("users", {}), full(SENDER): 100}
        hs.world.append(room, full(HUMAN), "m.room.power_levels",
                        {**levels, "users": users}, "")
    wait_until(lambda: hs.room("platform-team").membership(
        full("cleo.ic")) == "join", 60, "the room is adopted")
    small.wait_settled(muster, hs)


def test_direct_rooms_of_before_are_found(fakehs, muster_on):
    """An agent's m.direct names them: no second one is made."""
    hs = fakehs
    tokens = {a: Client(hs.url).register(a, "of-before-5d81c0") for a in (
        "ben.man", "cleo.ic")}
    for a in tokens:
        hs.user(a).devices["MUSTER"] = hs.user(a).devices.popitem()[1]
        hs.world.tokens[tokens[a].token] = (full(a), "MUSTER")
    ben, cleo = tokens["ben.man"], tokens["cleo.ic"]
    room_id = ben.create_room(
        is_direct=True, preset="trusted_private_chat",
        invite=[full("cleo.ic")])
    cleo.join(room_id)
    ben.put(f"/user/{full('ben.man')}/account_data/m.direct",
            {full("cleo.ic"): [room_id], "@friend:elsewhere": ["!other"]})
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    pair = frozenset(map(full, ("ben.man", "cleo.ic")))
    assert [r.room_id for r in small.room_of(hs, pair)] == [room_id]
    marks = hs.user("ben.man").account_data["m.direct"]
    assert marks[full("cleo.ic")] == [room_id]
    assert marks["@friend:elsewhere"] == ["!other"]
    assert set(marks) == {
        full("cleo.ic"), full("anna.vp"), "@friend:elsewhere"}
    assert hs.user("cleo.ic").account_data["m.direct"] == {
        full("ben.man"): [room_id]}


def test_an_agent_is_shown_by_another_name(fresh):
    """What the homeserver adds to a new account's name does not stay."""
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    for agent, (name, *_) in AGENTS.items():
        assert hs.user(agent).displayname == name
        for room in hs.world.rooms.values():
            member = room.content("m.room.member", full(agent))
            assert member.get("displayname") in (None, name)


def test_unknown_aliases_are_not_claimed(declared):
    """The homeserver asks us, believes us, and fails if we lie."""
    muster, hs = declared
    human = hs.human("guest")
    assert human.resolve(f"#{ALL}:{SERVER}") == hs.room(ALL).room_id
    with hs.lock:
        del hs.world.aliases[f"#platform-team:{SERVER}"]
    assert human.get(f"/directory/room/%23platform-team%3A{SERVER}"
                     ).status in (404, 500)
    assert human.get(f"/directory/room/%23no-such-team%3A{SERVER}"
                     ).status == 404
