"""An organisation that changes while the service runs: of what somebody who
moves, is promoted, leaves or comes back changes, exactly that is done, and no
room is made twice."""

import collections
import copy
import os
import signal

import pytest

from support import small
from support.client import Client
from support.muster import person
from support.small import HUMAN, SENDER, SERVER, full

PLATFORM = ["ben.man", "cleo.ic", "dora.ic"]
DATA = ["emil.man", "fred.ic"]
ALL = ["anna.vp", *PLATFORM, *DATA]


def company():
    """A human, a head, and two teams."""
    return {"departments": [], "people": [
        person(HUMAN, "CEO", department="Executive", name="Carla Ceo"),
        person("anna.vp", "VP", None, HUMAN),
        person("ben.man", "Manager", "Platform", "anna.vp"),
        person("cleo.ic", "IC", "Platform", "ben.man"),
        person("dora.ic", "IC", "Platform", "ben.man"),
        person("emil.man", "Manager", "Data", "anna.vp"),
        person("fred.ic", "IC", "Data", "emil.man")]}


def edited(muster, *localparts, **changes):
    org = copy.deepcopy(muster.org)
    for p in org["people"]:
        if p["matrixId"] in map(full, localparts):
            p.update(changes)
    return org


@pytest.fixture
def served(conduit_fake, muster_on):
    """(muster, homeserver): everything as declared, and the log of requests
    empty. The registration has the names that teams get later."""
    hs = conduit_fake
    later = company()
    later["people"] += [
        person("later.one", "IC", "Core", "anna.vp"),
        person("later.two", "IC", None, "anna.vp", "Research")]
    muster = muster_on(hs, org=later)
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.write_org(company())
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


def change(muster, hs, org):
    """Until the running service has done what comes of it."""
    muster.write_org(org)
    muster.reload()
    small.wait_settled(muster, hs)


def local(user_id):
    return user_id[1:].split(":")[0]


def names_of(room):
    return sorted(alias[1:].split(":")[0] for alias in room.aliases)


def done(hs):
    """What was written, each with how often, but for who has which direct
    rooms: "cleo.ic leave platform-team"."""
    found = collections.Counter()
    for r in hs.writes():
        if "/account_data/" in r.path:
            continue
        words = [local(r.user or full(SENDER)), r.path.split("/")[-1]]
        if r.method == "PUT" and "/state/" in r.path:
            words[1] = r.path.split("/state/")[1].strip("/")
        if words[1] == "createRoom":
            words.append("direct" if r.body.get("is_direct")
                         else r.body["room_alias_name"])
        elif r.room:
            words.append((names_of(hs.world.rooms[r.room]) or ["direct"])[0])
        if r.body and "user_id" in r.body:
            words.append(local(r.body["user_id"]))
        found[" ".join(words)] += 1
    hs.clear_log()
    return dict(found)


def assert_members(hs, alias, *localparts):
    assert hs.room(alias).joined == {full(SENDER), *map(full, localparts)}


def ids(hs):
    return set(hs.world.rooms)


def test_somebody_changes_team(served):
    """Out of one room and into the other, and two direct rooms more: with
    whom it worked before it keeps the one that is there."""
    muster, hs = served
    rooms = ids(hs)
    change(muster, hs, edited(muster, "cleo.ic", team="Data",
                              reportsTo=full("emil.man")))
    assert done(hs) == {
        "cleo.ic leave platform-team": 1, "muster invite data-team cleo.ic": 1,
        "cleo.ic join data-team": 1, "cleo.ic createRoom direct": 2,
        "emil.man join direct": 1, "fred.ic join direct": 1}
    assert_members(hs, "platform-team", "ben.man", "dora.ic")
    assert_members(hs, "data-team", "cleo.ic", *DATA)
    assert len(ids(hs) - rooms) == 2
    # Back again: every room is there already.
    rooms = ids(hs)
    change(muster, hs, edited(muster, "cleo.ic", team="Platform",
                              reportsTo=full("ben.man")))
    assert done(hs) == {
        "cleo.ic leave data-team": 1,
        "muster invite platform-team cleo.ic": 1,
        "cleo.ic join platform-team": 1}
    assert ids(hs) == rooms


def test_somebody_is_promoted_and_has_another_name(served):
    muster, hs = served
    change(muster, hs, edited(muster, "ben.man", level="Director"))
    assert done(hs) == {"muster invite engineering-leadership ben.man": 1,
                        "ben.man join engineering-leadership": 1}
    assert_members(hs, "engineering-leadership", "anna.vp", "ben.man")
    # What a human is invited to has the agent's name.
    change(muster, hs, edited(muster, "anna.vp", name="Anna Maria"))
    assert done(hs) == {"anna.vp displayname": 1,
                        "anna.vp m.room.name direct": 1}
    assert hs.user("anna.vp").displayname == "Anna Maria"
    room, = small.room_of(hs, {full(HUMAN), full("anna.vp")})
    assert room.content("m.room.name") == {"name": "Anna Maria"}


def test_a_team_is_renamed(served):
    """It keeps its room; who knows the old alias finds it."""
    muster, hs = served
    room = hs.room("platform-team")
    said = room.content("m.room.name")["name"]
    change(muster, hs, edited(muster, *PLATFORM, team="Core"))
    got = done(hs)
    assert hs.room("core-team") is room and hs.room("platform-team") is room
    assert_members(hs, "core-team", *PLATFORM)
    assert room.content("m.room.name")["name"] != said
    assert room.content("m.room.canonical_alias") == {
        "alias": f"#core-team:{SERVER}",
        "alt_aliases": [f"#platform-team:{SERVER}"]}
    assert not [what for what in got if "createRoom" in what
                or "invite" in what or "join" in what or "leave" in what]
    # Another team takes the old name: that is another room.
    change(muster, hs, edited(muster, *DATA, team="Platform"))
    assert hs.room("core-team") is room
    assert hs.room("platform-team") is hs.room("data-team") is not room
    assert_members(hs, "platform-team", *DATA)
    assert not [what for what in done(hs) if "createRoom" in what]


def test_a_team_takes_a_name_whose_room_is_there(served):
    """That room is taken up, since the service has power in it; the old one is
    left."""
    muster, hs = served
    old = hs.room("platform-team")
    human = Client(hs.url).login(HUMAN, "a human's password") if hs.user(
        HUMAN) else hs.human(HUMAN)
    human.create_room(room_alias_name="harbour-team", preset="private_chat",
                      invite=[full(SENDER)], power_level_content_override={
                          "users": {full(SENDER): 100}})
    room = hs.room("harbour-team")
    change(muster, hs, edited(muster, *PLATFORM, team="Harbour"))
    assert hs.room("harbour-team") is room is not old
    assert {room.membership(full(who)) for who in PLATFORM} == {"join"}
    assert {old.membership(full(who)) for who in PLATFORM} == {"leave"}


def test_a_team_is_renamed_back_and_forth(served):
    """However often: whoever comes to it waits for its new name."""
    muster, hs = served
    room = hs.room("data-team")
    for i in range(10):
        team = "Data" if i % 2 else "Core"
        change(muster, hs, edited(muster, *DATA, team=team))
        assert hs.room(f"{team.lower()}-team") is room
    org = edited(muster, *DATA, team="Core")
    org["people"].append(person("later.one", "IC", "Core", "emil.man"))
    muster.write_org(org)
    muster.signal(signal.SIGHUP)
    muster.daemon.wait_for(
        lambda: room.membership(full("later.one")) == "join", 20,
        "the new one to be in the room")
    assert hs.room("core-team") is room


def test_a_team_is_dissolved_and_there_again(served):
    muster, hs = served
    room = hs.room("data-team")
    rooms = ids(hs)
    change(muster, hs, edited(muster, *DATA, team=None))
    assert done(hs) == {f"{who} leave data-team": 1 for who in DATA}
    assert_members(hs, "data-team")
    assert f"#data-team:{SERVER}" not in {
        r["alias"] for r in muster.json("rooms")}
    change(muster, hs, edited(muster, *DATA, team="Data"))
    assert hs.room("data-team") is room and ids(hs) == rooms
    assert_members(hs, "data-team", *DATA)
    assert done(hs) == {
        **{f"muster invite data-team {who}": 1 for who in DATA},
        **{f"{who} join data-team": 1 for who in DATA}}


def test_a_department_is_split(served):
    """A room for the new one's heads; a team that goes there stays as it is,
    and so does the old department."""
    muster, hs = served
    rooms = ids(hs)
    org = edited(muster, *DATA, department="Research")
    for p in org["people"]:
        if p["matrixId"] == full("emil.man"):
            p["level"] = "VP"
    change(muster, hs, org)
    got = done(hs)
    assert hs.room("research-leadership").room_id in ids(hs) - rooms
    assert len(ids(hs) - rooms) == 1
    assert_members(hs, "research-leadership", "emil.man")
    assert_members(hs, "engineering-leadership", "anna.vp")
    assert_members(hs, "data-team", *DATA)
    # Their directories are those of the new department.
    assert got == {
        "muster createRoom research-leadership": 1,
        "muster invite research-leadership emil.man": 1,
        "emil.man join research-leadership": 1,
        "muster login": len(DATA)}
    for who in DATA:
        assert {department for department in ("Engineering", "Research")
                if os.path.exists(muster.path(
                    "runtime", department, who, "matrix.json"))} == {
            "Research"}


def test_somebody_leaves_and_comes_back(served):
    """The same account, the same rooms, the next generation."""
    muster, hs = served
    whole, rooms = muster.org, ids(hs)
    assert muster.handoff("fred.ic")["generation"] == 1
    change(muster, hs, muster.without("fred.ic"))
    direct, = small.room_of(hs, {full("emil.man"), full("fred.ic")})
    assert done(hs) == {
        "fred.ic all": 1, "fred.ic leave all-employees": 1,
        "fred.ic leave data-team": 1, "fred.ic leave direct": 1}
    assert direct.joined == {full("emil.man")}
    assert hs.tokens_of("fred.ic") == []
    assert hs.user("fred.ic").registered
    assert muster.handoff("fred.ic")["generation"] == 1
    assert "revoked_ms" in muster.handoff("fred.ic")
    assert small.agent(muster, "fred.ic")["state"] == "retired"
    change(muster, hs, whole)
    assert muster.wait_handoff("fred.ic")["generation"] == 2
    got = done(hs)
    assert not [what for what in got if "register" in what
                or "createRoom" in what or "displayname" in what]
    assert ids(hs) == rooms
    assert_members(hs, "all-employees", *ALL)
    assert_members(hs, "data-team", *DATA)
    assert direct.joined == {full("emil.man"), full("fred.ic")}
    assert small.agent(muster, "fred.ic")["state"] == "handed_off"


def test_leaves_that_are_heard_of_late(served):
    """Again and again somebody leaves and comes back before the homeserver tells
    of it: nobody has put them out."""
    muster, hs = served
    whole = muster.org
    direct, = small.room_of(hs, {full("emil.man"), full("fred.ic")})
    for _ in range(3):
        for service in hs.appservices.values():
            service.pause(True)
        for org, state in ((muster.without("fred.ic"), "retired"),
                           (whole, "handed_off")):
            muster.write_org(org)
            muster.reload()
            muster.daemon.wait_for(
                lambda: small.agent(muster, "fred.ic")["state"] == state
                and small.steps(muster) == [], 40, f"{state}")
        for service in hs.appservices.values():
            service.pause(False)
        small.wait_settled(muster, hs)
        assert direct.joined == {full("emil.man"), full("fred.ic")}
        assert_members(hs, "data-team", *DATA)
    assert [r["held"] for r in muster.json("rooms") if r["held"]] == []
