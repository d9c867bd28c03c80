"""The main job, from an empty homeserver to agents that have their tokens."""

import os
import pathlib
import re
import sqlite3
import stat

import pytest
import yaml

from support import small
from support.client import V3, Client, Refused, quote
from support.conduit import ADMIN, ADMIN_PASSWORD, Conduit, binary
from support.process import wait_until

ROOT = pathlib.Path(__file__).parents[2]

# Who examples/fleet/config.yaml deploys, and how they are called.
AGENTS = {
    "adaeze.eriksen": "Adaeze Eriksen", "asa.tchaikov": "Åsa Tchaikov",
    "brigida.hashimoto": "Brigida Hashimoto", "asa.iyer": "Åsa Iyer",
    "gerda.madsen": "Gerda Madsen", "tove.rantala": "Tove Rantala",
    "bram.zoltan": "Bram Zoltan", "adaeze.verhoeven": "Adaeze Verhoeven",
    "alda.bekele": "Alda Bekele", "task.desk": "Task Desk"}
ROOM_NAMES = {
    "all-employees": "All employees",
    "research-leadership": "Research leadership",
    "research-insights-team": "Research Insights team",
    "field-service-leadership": "Field Service leadership",
    "spare-parts-team": "Spare Parts team"}


@pytest.fixture(scope="module")
def names():
    return {f"@{local}:fleet.example": name for local, name in AGENTS.items()}


# -- check, registration, register


def test_check(fleet, names):
    assert fleet.declared.names == {
        **names, fleet.human_id: "Philippa Tidewater"}
    got = fleet.steps["check"]
    assert got.code == 0, got
    for words in ("1001 people, 10 agents", "1 human", "5 rooms",
                  "14 direct rooms"):
        assert words in got.out, got


def test_registration(fleet):
    got = fleet.steps["registration"]
    assert got.code == 0, got
    assert "registration.yaml was written" in got.out
    mode = os.stat(fleet.muster.registration_path).st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_register(fleet):
    got = fleet.steps["register"]
    assert got.code == 0, got
    if fleet.hs.kind == "conduit":
        assert "made the account @philippa.tidewater:fleet.example" in got.out
        assert f"we are {fleet.sender}" in got.out
        assert stat.S_IMODE(os.stat(fleet.admin_password).st_mode) == 0o600
    else:
        assert "already registered: nothing to do" in got.out
    assert f"reaches us at {fleet.tap.url} in" in got.out


def test_synapse_is_told_the_line(fleet):
    if fleet.hs.kind != "synapse":
        pytest.skip("a matter of Synapse's")
    got = fleet.steps["register before"]
    assert got.code == 3, got
    assert "app_service_config_files" in got.out
    lines = [line.strip() for line in got.out.splitlines()]
    assert f"- {os.path.realpath(fleet.muster.registration_path)}" in lines


def test_register_again_does_nothing(fleet):
    got = fleet.steps["register again"]
    assert got.code == 0, got
    assert "already registered: nothing to do" in got.out
    assert "registering" not in got.out


def test_no_secret_is_shown(fleet):
    fleet.muster.assert_no_secret_shown()


def assert_command_is_redacted(admin, server_name, registration):
    """The last command in the admin room shows nothing any more."""
    room = admin.resolve(f"#admins:{server_name}")
    events = admin.messages(room, 50)
    commands = [e for e in events if e["type"] == "m.room.message"
                and e["sender"] == admin.user_id]
    assert commands and all(c["content"] == {} for c in commands), commands
    for secret in ("as_token", "hs_token"):
        assert registration[secret] not in str(events)
        for c in commands:
            one = admin.get(f"/rooms/{quote(room)}/event/"
                            f"{quote(c['event_id'])}")
            assert registration[secret].encode() not in one.raw


def sessions(admin):
    return [d["device_id"] for d in admin.ok(
        "GET", f"{V3}/devices")["devices"]]


def test_conduit_keeps_no_trace_of_the_command(fleet):
    if fleet.hs.kind != "conduit":
        pytest.skip("a matter of Conduit's")
    assert_command_is_redacted(
        fleet.human, "fleet.example", fleet.muster.registration)
    assert sessions(fleet.human) == [fleet.human.device_id]


def test_no_agent_is_administrator(fleet):
    if fleet.hs.kind == "conduit":
        room = fleet.human.resolve("#admins:fleet.example")
        inside = {user for user, is_ in fleet.human.members(room).items()
                  if is_ in ("join", "invite")}
        assert inside == {"@conduit:fleet.example", fleet.human_id}
    else:
        db = sqlite3.connect(
            f"file:{fleet.hs.dir}/synapse.db?mode=ro", uri=True)
        assert db.execute(
            "SELECT name FROM users WHERE admin = 1").fetchall() == []
        db.close()


# -- a Conduit that has been there before


@pytest.fixture
def old_conduit(tmp_path):
    """Conduit with its administrator and a human."""
    if not binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    hs = Conduit("fleet.test", tmp_path / "hs").start()
    hs.human("alice")
    yield hs
    hs.kill()


def test_register_on_an_existing_conduit(old_conduit, muster_on):
    hs, muster = old_conduit, muster_on(old_conduit)
    muster.run("registration", expect=0)
    before = sessions(hs.admin)
    got = muster.run("register", expect=0)
    assert "made the account" not in got.out
    assert f"in #admins:fleet.test as @{ADMIN}:fleet.test" in got.out
    assert sessions(hs.admin) == before
    assert_command_is_redacted(hs.admin, "fleet.test", muster.registration)
    assert hs.ping(muster.registration).status == 502  # known, none listens
    assert "nothing to do" in muster.run("register", expect=0).out
    muster.assert_no_secret_shown(more=[ADMIN_PASSWORD])


def test_register_with_a_token_that_nobody_asks_for(tmp_path, muster_on):
    if not binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    hs = Conduit("fleet.test", tmp_path / "hs").start()
    try:
        muster = muster_on(hs)
        os.unlink(muster.path("secrets/admin-password"))
        muster.write("secrets/token", "not asked for")
        muster.write_config(homeserver={
            "registration_token": {"file": "secrets/token"}})
        got = muster.run("register", "--dry-run", expect=3)
        assert f"would make the account {ADMIN}" in got.out
        got = muster.run("register", expect=0)
        assert f"made the account @{ADMIN}:fleet.test" in got.out
    finally:
        hs.kill()


@pytest.mark.parametrize("file, pattern", [
    ("README.md", r"^CONDUIT_.*\bCONDUIT_LOG=(\S+)"),
    ("examples/local/conduit.env", r"^CONDUIT_LOG=(\S+)"),
    ("scripts/demo-conduit.yml", r"^ +CONDUIT_LOG: (\S+)")])
def test_no_token_in_the_log_of_conduit(tmp_path, muster_on, file, pattern):
    """With the settings that we tell to use: nobody listens where Conduit
    calls, and it does not tell where that was."""
    if not binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    log = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)[1]
    hs = Conduit("fleet.test", tmp_path / "hs", log=log).start()
    try:
        assert hs.admin
        muster = muster_on(hs)
        muster.run("register", expect=0)
        assert hs.ping(muster.registration).status == 502
        hs.stop()
        assert muster.registration["hs_token"] not in hs.log()
    finally:
        hs.kill()


def test_register_after_one_that_was_killed(old_conduit, muster_on):
    """As it looks then: a session of that device, and the command, answered
    and readable."""
    hs, muster = old_conduit, muster_on(old_conduit)
    muster.run("registration", expect=0)
    before = sessions(hs.admin)
    left = Client(hs.url).login(ADMIN, ADMIN_PASSWORD, "MUSTER_REGISTER")
    hs.add_appservice(muster.registration_path)
    assert len(sessions(hs.admin)) == len(before) + 1
    for number in range(120):
        hs.admin.send(hs.admin.resolve("#admins:fleet.test"), f"word {number}")
    got = muster.run("register", expect=0)
    assert f"took the tokens out of an older command by @{ADMIN}" in got.out
    assert sessions(hs.admin) == before
    assert left.get("/account/whoami").errcode == "M_UNKNOWN_TOKEN"
    room = hs.admin.resolve("#admins:fleet.test")
    for secret in ("as_token", "hs_token"):
        assert muster.registration[secret] not in str(
            hs.admin.messages(room, 100))
    assert "nothing to do" in muster.run("register", expect=0).out


def test_register_where_a_token_is_needed(tmp_path, muster_on):
    """A Conduit that makes accounts only for a registration token."""
    if not binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    hs = Conduit("fleet.test", tmp_path / "hs",
                 registration_token="a-token").start()
    try:
        muster = muster_on(hs)
        os.unlink(muster.path("secrets/admin-password"))
        got = muster.run("register", expect=1)
        assert "asks for a registration token" in got.err, got
        muster.write("secrets/token", "not-a-token")
        muster.write_config(homeserver={
            "registration_token": {"file": "secrets/token"}})
        got = muster.run("register", expect=1)
        assert "is not the one that Conduit has" in got.err, got
        assert not os.path.exists(muster.path("secrets/admin-password"))
        muster.write("secrets/token", "a-token")
        muster.run("register", expect=0)
        muster.run("unregister", expect=0)
        hs.restart(allow_registration="false")
        muster.write("secrets/admin-password", "not-this-one")
        got = muster.run("register", expect=1)
        assert f"the password for {ADMIN} in " in got.err, got
        assert "is not right" in got.err, got
        muster.write_config(homeserver={"admin": {"user": "somebody.new"}})
        got = muster.run("register", expect=1)
        assert "makes no accounts, so not somebody.new either" in got.err, got
    finally:
        hs.kill()


def test_register_beside_other_services(old_conduit, muster_on):
    """What Conduit tells of them, and of what was registered before."""
    hs, muster = old_conduit, muster_on(old_conduit)
    muster.run("registration", expect=0)
    path = muster.write("other.yaml", yaml.safe_dump({
        "id": "old.fleet", "url": None, "as_token": "a", "hs_token": "h",
        "sender_localpart": "old", "namespaces": {"users": [
            {"exclusive": True, "regex": f"^@{muster.agents()[1]}:.*$"}]}}))
    hs.add_appservice(path)
    got = muster.run("register", expect=1)
    assert "in its namespace, which is old.fleet: two of them" in got.err, got
    hs.command("unregister-appservice old.fleet")
    muster.run("register", expect=0)
    os.unlink(muster.registration_path)
    got = muster.run("register", expect=0)
    assert '"muster" is registered there with another as_token' in got.out
    url = f"http://localhost:{muster.port}"
    muster.write_config(appservice={"url": url})
    got = muster.run("register", expect=0)
    assert f"which is {url} now" in got.out
    # A newcomer is somebody else's.
    path = muster.write("other.yaml", muster.read("other.yaml").replace(
        muster.agents()[1], "dora.ic"))
    hs.add_appservice(path)
    org, before = small.org(), small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    got = muster.run("register", expect=1)
    assert "in its namespace, which is old.fleet: two of them" in got.err, got
    hs.command("unregister-appservice old.fleet")
    muster.write_org(before)
    muster.run("register", expect=0)
    muster.write_config(appservice={"id": "muster-two"})
    got = muster.run("register", expect=1)
    assert "whose user is @muster:fleet.test, has the as_token" in got.err, got
    assert hs.command("list-appservices") == "Appservices (1): muster"


def test_new_tokens_while_it_serves(old_conduit, muster_on):
    """No transaction is refused: Conduit would wait for half a minute then."""
    hs, muster = old_conduit, muster_on(old_conduit)
    muster.run("register", expect=0)
    muster.start()
    muster.wait_settled()
    old = muster.registration
    muster.run("registration", "--new-tokens", expect=0)
    muster.run("register", expect=0)
    assert hs.ping(old).errcode == "M_UNKNOWN_TOKEN"
    assert hs.ping(muster.registration).status == 200
    human = hs.human("carla.ceo")
    human.join(human.resolve("#all-employees:fleet.test"))
    wait_until(lambda: muster.query(
        "SELECT 1 FROM membership WHERE user_id = ? AND membership = 'join'",
        human.user_id), 20, "the service hears of it")
    assert " 403 " not in hs.log()
    muster.assert_no_secret_shown(more=[old["as_token"], old["hs_token"]])


def test_register_dry_run(old_conduit, muster_on):
    hs, muster = old_conduit, muster_on(old_conduit)
    before = sessions(hs.admin)
    got = muster.run("register", "--dry-run", expect=3)
    assert f"would log in as {ADMIN}, an administrator" in got.out
    assert sessions(hs.admin) == before
    muster.write_config(homeserver={"admin": {"user": "somebody.new"}})
    got = muster.run("register", "--dry-run", expect=3)
    assert "would make the account somebody.new" in got.out
    muster.write_config(homeserver={"admin": {"user": ADMIN}})
    assert not os.path.exists(muster.registration_path)
    assert hs.command("list-appservices").startswith("Appservices (0)")
    muster.run("register", expect=0)
    got = muster.run("register", "--dry-run", expect=0)
    assert "nothing to do" in got.out
    assert sessions(hs.admin) == before


def test_unregister_and_register_again(old_conduit, muster_on):
    hs, muster = old_conduit, muster_on(old_conduit)
    muster.run("register", expect=0)
    muster.start()
    muster.wait_settled()
    muster.stop()
    agent = muster.agents()[0]
    token = muster.handoff(agent)["access_token"]
    before = sessions(hs.admin)
    muster.run("unregister", expect=0)
    assert hs.ping(muster.registration).errcode == "M_UNKNOWN_TOKEN"
    assert hs.command("list-appservices").startswith("Appservices (0)")
    assert sessions(hs.admin) == before
    # What an agent was given goes on.
    assert Client(hs.url, token).get("/account/whoami").status == 200
    assert "nothing to do" in muster.run("unregister", expect=0).out
    muster.run("register", expect=0)
    muster.start()
    muster.wait_settled()
    assert muster.handoff(agent)["access_token"] == token


def test_register_with_a_wrong_password(old_conduit, muster_on):
    muster = muster_on(old_conduit)
    muster.write("secrets/admin-password", "not-that-one\n")
    got = muster.run("register", "--dry-run", expect=1)
    assert f"the password for {ADMIN} in " in got.err, got
    got = muster.run("register", expect=1)
    assert "password" in got.err and ADMIN in got.err, got
    assert "not-that-one" not in got.out + got.err
    reg = muster.registration
    assert old_conduit.ping(reg).errcode == "M_UNKNOWN_TOKEN"
    assert sessions(old_conduit.admin) == [old_conduit.admin.device_id]


def test_register_by_one_who_is_no_administrator(old_conduit, muster_on):
    muster = muster_on(old_conduit)
    muster.write_config(homeserver={"admin": {"user": "alice"}})
    muster.write("secrets/admin-password", "a human's password\n")
    for words in (("register", "--dry-run"), ("register",)):
        got = muster.run(*words, expect=1)
        assert "is no administrator" in got.err, got
    assert old_conduit.ping(muster.registration).errcode == "M_UNKNOWN_TOKEN"


def test_register_by_the_emergency_password(tmp_path, muster_on):
    """A Conduit without any user, where the first one to come would be the
    administrator: none of ours is."""
    if not binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    hs = Conduit("fleet.test", tmp_path / "hs",
                 emergency_password="in-an-emergency").start()
    try:
        muster = muster_on(hs, homeserver={"admin": {
            "user": "conduit", "password": {"file": "secrets/emergency"}}})
        muster.write("secrets/emergency", "in-an-emergency\n")
        muster.run("registration", expect=0)
        got = muster.run("register", expect=0)
        assert "take CONDUIT_EMERGENCY_PASSWORD away now" in got.out
        muster.start()
        muster.wait_settled()
        bot = Client(hs.url).login("conduit", "in-an-emergency")
        assert sessions(bot) == [bot.device_id]
        room = bot.resolve("#admins:fleet.test")
        assert bot.members(room) == {bot.user_id: "join"}
        said = str(bot.messages(room, 50))
        assert "Appservice registered with ID: muster." in said
        for secret in ("as_token", "hs_token"):
            assert muster.registration[secret] not in said
        muster.assert_no_secret_shown()
    finally:
        hs.kill()


# -- the agents


def test_agents_are_handed_over(fleet, names):
    got = {a["user_id"]: a for a in fleet.first["agents"]}
    assert set(got) == set(names)
    for user_id, row in got.items():
        assert row["state"] == "handed_off", row
        assert row["name"] == names[user_id]
        assert (row["device_id"], row["generation"]) == ("MUSTER", 1)
        assert row["error"] is None
        assert row["department"] == fleet.declared.department.get(user_id)


def test_service_is_ready_and_all_is_as_declared(fleet):
    status = fleet.first["status"]
    assert status["ready"] and status["why_not"] == []
    assert status["agents"] == {"handed_off": 10}
    assert (status["rooms"], status["direct_rooms"]) == (5, 14)
    assert status["journal"] == {"waiting": 0, "failed": 0}
    assert status["homeserver"]["kind"] == fleet.hs.kind
    assert fleet.first["plan"].code == 0, fleet.first["plan"]
    assert fleet.muster.run("healthcheck").code == 0


def test_hand_off_files(fleet, names):
    for user_id in names:
        local = user_id[1:].split(":")[0]
        department = fleet.declared.department.get(user_id) or "_"
        path = fleet.muster.path("runtime", department, local, "matrix.json")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        got = fleet.muster.handoff(local)
        assert got["user_id"] == user_id
        assert got["homeserver"] == fleet.hs.url
        assert (got["muster"], got["generation"]) == (1, 1)


def test_display_names(fleet, names):
    for user_id, name in {**names, fleet.sender: "Muster"}.items():
        assert fleet.human.displayname(user_id) == name


def test_display_names_in_the_rooms(fleet, names):
    """The name was there before the first room: members carry it."""
    room = fleet.room("#all-employees:fleet.example")["room_id"]
    for user_id, name in {**names, fleet.sender: "Muster"}.items():
        member = fleet.service(fleet.sender).state(
            room, "m.room.member", user_id)
        assert member["displayname"] == name


# -- the rooms


def test_rooms_are_those_of_the_policy(fleet):
    rooms = [r for r in fleet.first["rooms"] if r["kind"] == "room"]
    assert {r["alias"] for r in rooms} == {
        f"#{name}:fleet.example" for name in ROOM_NAMES}
    for room in rooms:
        members = fleet.declared.rooms[room["alias"]]
        assert set(room["declared"]) == members
        assert set(room["joined"]) == (
            members - {fleet.human_id} | {fleet.sender})
        assert fleet.human.resolve(room["alias"]) == room["room_id"]
        for none in ("missing", "extra", "held"):
            assert room[none] == []


def test_direct_rooms_are_those_of_the_policy(fleet):
    rooms = [r for r in fleet.first["rooms"] if r["kind"] == "direct"]
    assert {frozenset(r["declared"]) for r in rooms} == fleet.declared.pairs
    assert len(rooms) == len({r["room_id"] for r in rooms}) == 14
    for room in rooms:
        assert set(room["joined"]) == (
            set(room["declared"]) - {fleet.human_id})
        assert fleet.sender not in fleet.insider(room).members(
            room["room_id"])


def test_nobody_else_gets_into_a_room(fleet):
    public = fleet.human.ok("GET", f"{V3}/publicRooms")["chunk"]
    listed = {r["room_id"] for r in public}
    stranger = fleet.hs.human("stranger.one")
    for room in fleet.rooms():
        room_id = room["room_id"]
        insider = fleet.insider(room)
        rules = insider.state(room_id, "m.room.join_rules")
        assert rules["join_rule"] == "invite"
        assert room_id not in listed
        seen = stranger.get(f"/directory/list/room/{quote(room_id)}")
        assert seen.body.get("visibility") == "private", seen
        with pytest.raises(Refused):
            stranger.join(room_id)
        assert stranger.get(
            f"/rooms/{quote(room_id)}/joined_members").status == 403


def test_room_names(fleet):
    for room in fleet.rooms():
        name = fleet.insider(room).state(room["room_id"], "m.room.name")
        if room["kind"] == "room":
            local = room["alias"][1:].split(":")[0]
            assert name == {"name": ROOM_NAMES[local]}
        elif fleet.human_id not in room["declared"]:
            assert name is None


def test_power(fleet):
    """Humans 100; the service keeps its rooms, as the creator or by 100."""
    for room in fleet.rooms():
        if room["kind"] == "direct":
            continue
        insider = fleet.insider(room)
        events = insider.ok(
            "GET", f"{V3}/rooms/{quote(room['room_id'])}/state")
        create = next(e for e in events if e["type"] == "m.room.create")
        power = next(e for e in events if e["type"] == "m.room.power_levels")
        assert create["sender"] == fleet.sender
        users = power["content"]["users"]
        if int(create["content"]["room_version"]) >= 12:
            assert users == {fleet.human_id: 100}
        else:
            assert users == {fleet.human_id: 100, fleet.sender: 100}
        assert "additional_creators" not in create["content"]


def test_human_is_asked_and_does_not_have_to_come(fleet):
    """The first look of the human's own client: invitations, no rooms."""
    rooms = [r for r in fleet.first["rooms"]
             if fleet.human_id in r["declared"]]
    assert len(rooms) == 3  # everybody, and one with each VP
    asked = fleet.first["sync"]["rooms"]["invite"]
    joined = fleet.first["sync"]["rooms"].get("join", {})
    for room in rooms:
        assert fleet.human_id in room["invited"]
        assert fleet.human_id not in room["joined"]
        assert room["room_id"] in asked
        assert room["room_id"] not in joined
    ours = {r["room_id"] for r in fleet.first["rooms"]}
    assert ours & set(asked) == {r["room_id"] for r in rooms}


def test_direct_room_with_a_human_has_the_agent_s_name(fleet):
    """All that an invitation shows on Conduit is the room's name."""
    for room in fleet.first["rooms"]:
        if room["kind"] == "room" or fleet.human_id not in room["declared"]:
            continue
        agent, = set(room["declared"]) - {fleet.human_id}
        shown = fleet.first["sync"]["rooms"]["invite"][room["room_id"]]
        name, = (e["content"]["name"]
                 for e in shown["invite_state"]["events"]
                 if e["type"] == "m.room.name")
        assert name == fleet.declared.names[agent]


def test_human_joins_and_the_transaction_says_so(fleet):
    room = fleet.room("#all-employees:fleet.example")
    fleet.human.join(room["room_id"])
    fleet.wait_member(room["room_id"], fleet.human_id, "join")
    theirs, = [e for e in fleet.human.get(
        f"/rooms/{quote(room['room_id'])}/members").body["chunk"]
        if e["state_key"] == fleet.human_id]
    assert theirs["content"]["membership"] == "join"
    assert fleet.muster.query(
        "SELECT origin_ts FROM membership WHERE room_id = ? AND user_id = ?",
        room["room_id"], fleet.human_id) == [(theirs["origin_server_ts"],)]
    room = fleet.room("#all-employees:fleet.example")
    assert fleet.human_id in room["joined"]
    assert fleet.human_id not in room["invited"]
    assert fleet.muster.run("plan").code == 0


# -- somebody else's account


def test_homeserver_with_a_new_database(homeserver, muster_on, introduce):
    """Our store tells of the old one: found out, and all is made again."""
    hs = homeserver
    muster = muster_on(hs)
    hs.start()
    introduce(muster, hs)
    muster.start()
    muster.wait_settled()
    old = {a["user_id"]: a["generation"] for a in muster.json("agents")}
    rooms = {r["room_id"] for r in muster.json("rooms")}
    muster.stop()
    hs.stop()
    hs.wipe()
    hs.start()
    introduce(muster, hs)
    muster.start()
    muster.wait_settled()
    assert "has forgotten our accounts" in muster.daemon.output()
    agents = muster.json("agents")
    assert {a["state"] for a in agents} == {"handed_off"}
    for agent in agents:
        assert agent["generation"] > old[agent["user_id"]]
        localpart = agent["user_id"][1:].split(":")[0]
        token = muster.handoff(localpart)["access_token"]
        me = Client(hs.url, token).whoami()
        assert me.body["user_id"] == agent["user_id"]
        assert Client(hs.url, token).joined_rooms()
    assert not rooms & {r["room_id"] for r in muster.json("rooms")}
    assert all(r["missing"] == [] for r in muster.json("rooms"))


def test_account_that_is_not_ours(homeserver, muster_on, introduce):
    """An account of an agent's name, made by a password before there was a
    registration: that agent is blocked, the account untouched, everybody
    else is done."""
    hs, name = homeserver, "ian.ic"
    muster = muster_on(hs)
    hs.start()
    foreign = hs.human(name, "a password of his own")
    foreign.set_displayname("Somebody Else")
    introduce(muster, hs)
    muster.start()
    muster.wait_settled()

    got = {a["user_id"]: a for a in muster.json("agents")}
    blocked = got.pop(muster.full_id(name))
    assert blocked["state"] == "blocked"
    assert "not ours" in blocked["error"] and "adopt" in blocked["error"]
    assert blocked["generation"] == 0
    assert len(got) == 5
    assert {a["state"] for a in got.values()} == {"handed_off"}
    assert muster.handoff(name) is None
    assert muster.run("plan").code == 0
    assert muster.json("status")["agents"] == {
        "handed_off": 5, "blocked": 1}

    assert foreign.whoami().status == 200
    assert foreign.displayname(foreign.user_id).startswith("Somebody Else")
    assert foreign.joined_rooms() == set()
    assert [d["device_id"] for d in foreign.ok("GET", f"{V3}/devices")[
        "devices"]] == [foreign.device_id]
    for room in muster.json("rooms"):
        if room["kind"] == "direct":
            assert (foreign.user_id in room["declared"]) == (
                room["room_id"] is None), room
        else:
            assert (foreign.user_id in room["declared"]) == (
                foreign.user_id in room["missing"]), room
    # Not asked again with every look.
    assert muster.restart() and muster.json("status")[
        "homeserver"]["writes"] == 0
