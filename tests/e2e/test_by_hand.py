"""A fleet that stands in muster.yaml itself: agents, humans, a policy and
direct rooms of its own choice."""

import json
import os

import pytest

from support.client import V3, Client, quote
from support.fleet import KINDS, Fleet, real_homeserver
from support.muster import Muster
from support.process import wait_until

SERVER = "hand.test"
ANNA = f"@anna:{SERVER}"
BERT = f"@bert:{SERVER}"

FLEET = {
    "humans": [{"id": ANNA, "name": "Anna"}, BERT],
    "agents": [
        {"id": "lab-helper", "name": "Helper", "department": "Lab",
         "team": "Night Shift", "level": "Manager", "manager": ANNA},
        {"id": "lab-scribe", "name": "Scribe of the Lab",
         "department": "Lab", "team": "Night Shift", "level": "IC",
         "manager": "lab-helper"},
        {"id": "lab-guard", "department": "Front Desk"},
        {"id": "lab-cook", "name": "Köchin ☕"}]}
NAMES = {"lab-helper": "Helper", "lab-scribe": "Scribe of the Lab",
         "lab-guard": "Lab Guard", "lab-cook": "Köchin ☕"}
ROOMS = [
    {"alias": "lab-everybody", "name": "The Lab", "topic": "all that happens",
     "members": {"everyone": True}},
    {"alias": "lab-{department}", "members": {"department": "{department}"}},
    {"alias": "lab-{team}-shift", "name": "{team}",
     "members": {"team": "{team}"}},
    {"alias": "lab-heads", "members": {"level": ["Manager", "VP"]}}]
DEPARTMENTS = {"lab-helper": "Lab", "lab-scribe": "Lab",
               "lab-guard": "Front Desk", "lab-cook": "_"}


@pytest.fixture(scope="module", params=KINDS)
def hand(request, tmp_path_factory):
    dir = str(tmp_path_factory.mktemp(request.param))
    hs = real_homeserver(request.param, SERVER, os.path.join(dir, "hs"))
    muster = Muster(os.path.join(dir, "muster"), hs, fleet=FLEET)
    muster.write_config(
        namespace={"prefix": "lab-"}, rooms=ROOMS,
        appservice={"id": "laboratory", "sender": "lab-keeper",
                    "sender_name": "Keeper of Rooms"},
        direct={"manager_report": True, "manager_peers": False,
                "team_peers": False},
        handoff={"root": "hand/over", "device_id": "DESK"},
        store={"path": "lab.db"}, reconcile={"concurrency": 2})
    fleet = Fleet(hs, muster, ANNA)
    try:
        fleet.run("check")
        muster.run("registration", expect=0)
        if hs.kind == "synapse":
            hs.start([muster.registration_path])
        else:
            hs.start()
        for name in ("anna", "bert"):
            hs.human(name)
        muster.run("register", expect=0)
        fleet.settle()
        yield fleet
    finally:
        try:
            muster.close()
        finally:
            hs.kill()


def ids(*names):
    return {f"@{name}:{SERVER}" for name in names}


def test_check(hand):
    got = hand.steps["check"]
    assert got.code == 0, got
    assert "6 people, 4 agents, 2 humans" in got.out


def test_registration_has_the_prefix(hand):
    reg = hand.muster.registration
    assert (reg["id"], reg["sender_localpart"]) == (
        "laboratory", "lab-keeper")
    users = [n["regex"] for n in reg["namespaces"]["users"]]
    assert any("@lab-" in regex for regex in users), users
    # So nobody but the service may have such a name.
    got = Client(hand.hs.url).call("POST", f"{V3}/register", {
        "username": "lab-thief", "password": "a password",
        "auth": {"type": "m.login.dummy"}})
    assert got.status == 400 and got.errcode == "M_EXCLUSIVE", got


def test_agents(hand):
    got = {a["user_id"]: a for a in hand.first["agents"]}
    assert set(got) == ids(*NAMES)
    for user_id, row in got.items():
        name = user_id[1:].split(":")[0]
        assert row["state"] == "handed_off", row
        assert row["name"] == hand.human.displayname(user_id) == NAMES[name]
        assert row["device_id"] == "DESK"
        assert os.path.exists(hand.muster.path(
            "hand", "over", DEPARTMENTS[name], name, "matrix.json"))
        me = hand.agent(user_id).whoami().body
        assert (me["user_id"], me["device_id"]) == (user_id, "DESK")
    assert hand.human.displayname(hand.sender) == "Keeper of Rooms"


def test_rooms(hand):
    rooms = {r["alias"]: r for r in hand.first["rooms"]
             if r["kind"] == "room"}
    want = {"lab-everybody": ids("anna", "bert", *NAMES),
            "lab-lab": ids("lab-helper", "lab-scribe"),
            "lab-front-desk": ids("lab-guard"),
            "lab-night-shift-shift": ids("lab-helper", "lab-scribe"),
            "lab-heads": ids("lab-helper")}
    assert {alias: set(r["declared"]) for alias, r in rooms.items()} == {
        f"#{name}:{SERVER}": members for name, members in want.items()}
    for room in rooms.values():
        humans = set(room["declared"]) & {ANNA, BERT}
        assert set(room["joined"]) == (
            set(room["declared"]) - humans | {hand.sender})
        assert set(room["invited"]) == humans


def test_names_and_topics(hand):
    for alias, name, topic in (
            ("lab-everybody", "The Lab", "all that happens"),
            ("lab-lab", "Lab Lab", None),
            ("lab-night-shift-shift", "Night Shift", None)):
        room_id = hand.room_id(f"#{alias}:{SERVER}")
        insider = hand.service(hand.sender)
        assert insider.state(room_id, "m.room.name")["name"] == name
        shown = insider.state(room_id, "m.room.topic")
        assert (shown and shown["topic"]) == topic


def test_both_humans_have_power(hand):
    for room in hand.rooms():
        if room["kind"] == "room":
            users = hand.service(hand.sender).state(
                room["room_id"], "m.room.power_levels")["users"]
            assert (users[ANNA], users[BERT]) == (100, 100)


def test_direct_rooms(hand):
    pairs = {frozenset(r["declared"]) for r in hand.rooms()
             if r["kind"] == "direct"}
    assert pairs == {frozenset((ANNA, f"@lab-helper:{SERVER}")),
                     frozenset(ids("lab-helper", "lab-scribe"))}
    hand.assert_direct_marked()


def test_humans_come_in(hand):
    bert = hand.hs.human("visitor")  # on Conduit never the administrator
    room_id = hand.room_id(f"#lab-everybody:{SERVER}")
    hand.human.join(room_id)
    hand.wait_member(room_id, ANNA, "join")
    # 100 is enough to bring somebody else.
    hand.human.invite(room_id, bert.user_id)
    bert.join(room_id)
    hand.wait_member(room_id, bert.user_id, "join")
    assert hand.room(f"#lab-everybody:{SERVER}")["extra"] == [bert.user_id]
    assert hand.muster.run("plan").code == 0


def test_one_more_agent(hand):
    """Somebody new in the file: registered, in its rooms, handed over; with
    a prefix nothing has to be registered anew."""
    agents = FLEET["agents"] + [
        {"id": "lab-new", "name": "New One", "department": "Lab",
         "team": "Night Shift", "manager": "lab-helper"}]
    new = f"@lab-new:{SERVER}"
    try:
        hand.muster.write_config(fleet={"agents": agents})
        hand.muster.run("check", expect=0)
        hand.muster.restart()
        hand.muster.wait_settled()
        assert new in hand.room(f"#lab-night-shift-shift:{SERVER}")["joined"]
        assert hand.agent(new).whoami().body["user_id"] == new
        assert hand.human.displayname(new) == "New One"
        hand.room_id({new, f"@lab-helper:{SERVER}"})
        hand.assert_no_room_twice()
        hand.assert_direct_marked()
        hand.wait_same_members()
    finally:
        hand.muster.write_config(fleet={"agents": FLEET["agents"]})


def test_agent_that_changes_department(hand):
    """It joins the rooms of the new one, and leaves them when it goes."""
    cook, lab = f"@lab-cook:{SERVER}", f"#lab-lab:{SERVER}"
    agents = [dict(a) for a in FLEET["agents"]]
    agents[3]["department"] = "Lab"
    try:
        hand.muster.write_config(fleet={"agents": agents})
        hand.muster.restart()
        hand.muster.wait_settled()
        assert cook in hand.room(lab)["joined"]
        assert hand.room_id(lab) in hand.agent(cook).joined_rooms()
        # Its file is where its new place is.
        assert os.path.exists(hand.muster.path(
            "hand", "over", "Lab", "lab-cook", "matrix.json"))
        # And nowhere else.
        assert not os.path.exists(hand.muster.path(
            "hand", "over", "_", "lab-cook", "matrix.json"))
    finally:
        hand.muster.write_config(fleet={"agents": FLEET["agents"]})
    hand.muster.restart()
    hand.muster.wait_settled()
    assert cook not in hand.room(lab)["joined"]
    assert cook not in hand.room(lab)["extra"]
    assert hand.service(hand.sender).members(
        hand.room_id(lab))[cook] == "leave"
    with open(hand.muster.path("hand", "over", "_", "lab-cook",
                               "matrix.json"), encoding="utf-8") as f:
        handed = json.load(f)
    assert handed["generation"] == 3
    me = Client(hand.hs.url, handed["access_token"]).whoami()
    assert me.status == 200 and me.body["user_id"] == cook
    hand.wait_same_members()


def test_no_secret_is_shown(hand):
    hand.muster.assert_no_secret_shown()


def test_wrong_configuration_starts_nothing(hand):
    """A human in the namespace: refused with the name, and the service that
    runs goes on."""
    wait_until(hand.muster.running, 10, "the service runs")
    broken = dict(FLEET, humans=[f"@lab-anna:{SERVER}"])
    old = hand.muster.config
    try:
        hand.muster.write_config(fleet=broken)
        got = hand.muster.run("check")
        assert got.code == 2
        assert "lab-anna" in got.out + got.err
        assert "muster.yaml:" in got.out + got.err
    finally:
        hand.muster.config = old
        hand.muster.write_config()
    seen = hand.service(hand.sender).get(
        f"/profile/{quote('@lab-anna:' + SERVER)}")
    assert seen.body.get("displayname") is None
