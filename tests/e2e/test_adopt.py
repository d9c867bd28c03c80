"""A fleet that was run with passwords is taken over: its accounts, its rooms and
what was said in them, while the homeserver keeps its database."""

import json
import os
import re
import sqlite3

import pytest

from support import small
from support.client import V3, Client, quote
from support.fleet import KINDS, Fleet, real_homeserver
from support.muster import Muster, person, small_org
from support.oldfleet import OWNER_PASSWORD, OldFleet, password_of
from support.process import wait_until

SERVER = "adopt.test"
HUMAN = f"@carla.ceo:{SERVER}"
OLD = ("vera.vp", "dirk.dir", "mona.man", "ian.ic")
FULL = {f"@{a}:{SERVER}" for a in OLD}
PAIRS = (("carla.ceo", "vera.vp"), ("vera.vp", "dirk.dir"),
         ("dirk.dir", "mona.man"), ("mona.man", "ian.ic"))
ALL = f"#all-employees:{SERVER}"
LEADERS = f"#engineering-leadership:{SERVER}"
TEAM = f"#platform-team:{SERVER}"
SALES = f"#field-sales-team:{SERVER}"


def full(localpart):
    return f"@{localpart}:{SERVER}"


def rows(document, key, of):
    return {row[of]: row for row in document[key]}


class Moved(Fleet):
    """The old fleet, then the service; `steps` has what each verb said."""

    def __init__(self, kind, dir):
        hs = real_homeserver(kind, SERVER, os.path.join(dir, "hs"))
        org = small_org(SERVER)
        org["people"].append(
            person("ada.ic", "IC", "Platform", "mona.man", server=SERVER))
        muster = Muster(os.path.join(dir, "muster"), hs, org=org)
        super().__init__(hs, muster, HUMAN)
        self.password = OWNER_PASSWORD

    def live_the_old_life(self):
        hs = self.hs
        hs.start()
        self.old = OldFleet(hs, "carla.ceo", OLD)
        self.old.make_room("all-employees", OLD)
        self.old.make_room("engineering-leadership", OLD[:2])
        # The power in this one is an agent's.
        self.old.make_room("platform-team", OLD[2:],
                           self.old.agents["dirk.dir"])
        for pair in PAIRS:
            self.old.make_direct(*pair)
        # Nobody has declared this one.
        self.project = self.old.agents["ian.ic"].create_room(
            preset="private_chat", name="a project",
            invite=[full("mona.man")])
        self.old.agents["mona.man"].join(self.project)
        # Of an agent's name, and in none of the fleet's rooms.
        self.sam = Client(hs.url).register("sam.sales", "sam's own password")
        # A human who is not of the fleet has taken an alias.
        self.bob = Client(hs.url).register("bob", "bob's own password")
        self.sales = self.bob.create_room(
            preset="public_chat", room_alias_name="field-sales-team")
        # Synapse lists what its rules let it.
        self.listed = {r: self.visibility(r) for r in self.old.rooms.values()}
        # What the secret scheme could do until now.
        assert Client(hs.url).login(
            "ian.ic", password_of(full("ian.ic"))).whoami().status == 200

    def register(self):
        muster, hs = self.muster, self.hs
        muster.run("registration", expect=0)
        if hs.kind == "conduit":
            admin = {"user": "carla.ceo",
                     "password": {"file": "secrets/admin-password"}}
            muster.write("secrets/admin-password", OWNER_PASSWORD)
            muster.write_config(homeserver={"admin": admin})
            self.run("register", expect=0)
        else:
            hs.add_appservice(muster.registration_path)
            self.run("register", expect=0)
        # As a service made it that lost its store before it logged in.
        self.service().ok("POST", f"{V3}/register", {
            "type": "m.login.application_service", "username": "iris.ic",
            "inhibit_login": True})

    def visibility(self, room_id):
        return self.bob.get(f"/directory/list/room/{quote(room_id)}").body[
            "visibility"]

    def adopt(self, step, *words):
        if self.hs.kind != "conduit" and "--owner" not in words:
            words += "--owner", "carla.ceo"
        return self.run("adopt", step, *words,
                        input=OWNER_PASSWORD + "\n")

    def run(self, verb, step=None, *words, **more):
        result = self.muster.run(verb, *words, timeout=120, **more)
        self.steps[step or verb] = result
        return result

    def bring_up(self):
        self.live_the_old_life()
        self.register()
        self.muster.start()
        self.muster.wait_settled()
        self.before = {verb: self.muster.json(verb)
                       for verb in ("agents", "rooms")}
        self.before["held"] = self.muster.query(
            "SELECT held FROM room WHERE key = ?", ALL)
        self.adopt("running", "--yes")
        self.adopt("dry running", "--dry-run", "--json")
        self.steps["nobody's power"] = None
        if self.hs.kind != "conduit":
            self.run("adopt", "nobody's power", "--dry-run", "--json")
        self.muster.stop()
        self.untouched = [
            c.whoami().status for c in self.old.agents.values()]
        self.adopt("not confirmed")
        self.adopt("adopt", "--yes", "--json")
        self.adopt("again", "--yes", "--json")
        if self.hs.kind != "conduit":
            assert self.hs.admin
            self.run("adopt", "by an administrator", "--dry-run", "--json",
                     "--owner", "operator", input="operators-password\n")
        self.owner_sessions = len(
            self.old.owner.get("/devices").body["devices"])
        self.handed = {a: self.muster.handoff(a) for a in OLD + ("iris.ic",)}
        self.settle()
        return self

    def close(self):
        try:
            self.muster.close()
        finally:
            self.hs.kill()


@pytest.fixture(scope="module", params=KINDS)
def moved(request, tmp_path_factory):
    fleet = Moved(request.param, str(tmp_path_factory.mktemp(request.param)))
    try:
        yield fleet.bring_up()
    finally:
        fleet.close()


def test_without_it_the_fleet_is_blocked(moved):
    """What there is to mend."""
    states = {a["user_id"]: a["state"] for a in moved.before["agents"]}
    blocked = {u for u, state in states.items() if state == "blocked"}
    assert blocked == FULL | {full("iris.ic"), full("sam.sales")}
    assert all("muster adopt" in a["error"] for a in moved.before["agents"]
               if a["state"] == "blocked")
    rooms = rows({"rooms": moved.before["rooms"]}, "rooms", "alias")
    (why,), = moved.before["held"]
    assert why.endswith("or stop the service and run `muster adopt`")
    assert full("ada.ic") not in rooms[ALL]["joined"]


def test_a_running_service_has_the_store(moved):
    got = moved.steps["running"]
    assert got.code == 1
    assert "stop the service" in got.err.splitlines()[-1]
    assert moved.untouched == [200] * len(OLD)


def test_dry_run_says_and_does_nothing(moved):
    got = moved.steps["dry running"]
    assert got.code == 3, got
    agents = rows(got.json, "agents", "user_id")
    assert {u: a["is"] for u, a in agents.items()} == {
        **{u: "old" for u in FULL}, full("iris.ic"): "unused",
        full("sam.sales"): "stranger", full("ada.ic"): "ours"}
    assert agents[full("ian.ic")]["sessions"] >= 2
    assert not any(a["taken"] for a in agents.values())
    rooms = rows(got.json, "rooms", "alias")
    owner = {"is": "owner", "by": HUMAN}
    for alias, want in ((ALL, owner), (LEADERS, owner), (TEAM, {
            "is": "agent", "by": full("dirk.dir")})):
        assert {k: rooms[alias][k] for k in want} == want
        assert rooms[alias]["room_id"] == moved.old.rooms[alias]
    assert rooms[SALES]["is"] == "missing"
    assert "nobody whom we may act for is in it" in rooms[SALES]["text"]


def test_power_that_is_missing_is_said_with_who_has_it(moved):
    got = moved.steps["nobody's power"]
    if moved.hs.kind == "conduit":  # the owner is its administrator
        assert got is None
        return
    assert got.code == 3
    rooms = rows(got.json, "rooms", "alias")
    assert rooms[ALL]["is"] == "missing"
    assert f"`muster adopt --owner {HUMAN}`" in rooms[ALL]["text"]
    assert rooms[TEAM]["by"] == full("dirk.dir")


def test_nothing_without_a_yes(moved):
    got = moved.steps["not confirmed"]
    assert got.code == 3 and "--yes" in got.err.splitlines()[-1]


def test_accounts_are_ours(moved):
    got = moved.steps["adopt"]
    assert got.code == 3, got  # sam's account, and bob's room
    agents = rows(got.json, "agents", "user_id")
    taken = FULL | {full("iris.ic")}
    assert {u for u, a in agents.items() if a["taken"]} == taken
    for localpart, file in moved.handed.items():
        assert agents[full(localpart)]["handed_off"]
        me = Client(moved.hs.url, file["access_token"]).whoami()
        assert (me.body["user_id"], me.body["device_id"]) == (
            full(localpart), "MUSTER")
    for localpart, client in moved.old.agents.items():
        assert client.whoami().status == 401
        devices = moved.agent(full(localpart)).get("/devices").body["devices"]
        assert [d["device_id"] for d in devices] == ["MUSTER"]
    done = {(a, s) for a, s in moved.muster.query(
        "SELECT action, subject FROM audit WHERE actor = 'muster adopt'")}
    assert {("adopt", u) for u in taken} <= done


def test_old_passwords_are_worth_nothing(moved):
    """On Synapse only an administrator could change them, and the owner is
    none: that is said."""
    got = rows(moved.steps["adopt"].json, "agents", "user_id")
    for localpart in OLD:
        answer = Client(moved.hs.url).call("POST", f"{V3}/login", {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": localpart},
            "password": password_of(full(localpart))})
        may_work = got[full(localpart)]["old_password"]
        assert may_work == (answer.status == 200), answer
        assert may_work == (moved.hs.kind == "synapse")
    said = "old passwords of 4 agents" in moved.steps["adopt"].err
    assert said == (moved.hs.kind == "synapse")


def test_rooms_and_messages_stay(moved):
    rooms = {r["alias"] or frozenset(r["declared"]): r
             for r in moved.rooms()}
    for key, room_id in {**moved.old.rooms, **moved.old.direct}.items():
        assert rooms[key]["room_id"] == room_id, key
    for localpart in OLD:
        me = moved.agent(full(localpart))
        mine = me.joined_rooms()
        for room_id, event in moved.old.said.items():
            if room_id in mine:
                assert event in [
                    e["event_id"] for e in me.messages(room_id)]
    assert moved.project in moved.agent(full("ian.ic")).joined_rooms()
    agents = rows(moved.steps["adopt"].json, "agents", "user_id")
    assert agents[full("ian.ic")]["others"] == [moved.project]
    assert moved.steps["adopt"].json["direct_rooms"] == len(PAIRS)


def test_power_is_taken_over(moved):
    sender = moved.service(moved.sender)
    got = rows(moved.steps["adopt"].json, "rooms", "alias")
    for alias, room_id in moved.old.rooms.items():
        assert got[alias]["taken"], got[alias]
        assert sender.power_levels(room_id)["users"][moved.sender] == 100
        assert sender.state(room_id, "m.room.join_rules")[
            "join_rule"] == "invite"
        assert got[alias]["unlisted"] == (moved.listed[room_id] == "public")
        assert moved.visibility(room_id) == "private"
    members = moved.room(ALL)
    assert {full("ada.ic"), full("iris.ic"), HUMAN, *FULL} <= set(
        members["joined"])
    # Of the owner, what was begun for them has ended.
    assert moved.owner_sessions == 1


def test_what_is_somebody_elses_is_left_alone(moved):
    agents = rows(moved.steps["adopt"].json, "agents", "user_id")
    assert agents[full("sam.sales")]["is"] == "stranger"
    assert "`muster adopt sam.sales`" in agents[full("sam.sales")]["text"]
    assert moved.sam.whoami().status == 200
    rooms = rows(moved.steps["adopt"].json, "rooms", "alias")
    assert not rooms[SALES]["taken"]
    assert moved.sender not in moved.bob.joined_members(moved.sales)


def test_a_strangers_room_is_not_taken_unawares(moved):
    """An administrator of Synapse has power also in it: a person may know it."""
    got = moved.steps.get("by an administrator")
    if moved.hs.kind == "conduit":  # whose administrators have not
        assert got is None
        return
    sales = rows(got.json, "rooms", "alias")[SALES]
    assert (sales["is"], sales["by"]) == (
        "administrator", full("operator"))
    assert sales["text"].endswith(
        "; no agent of ours is in it: is it the fleet's?")


def test_a_second_run_finds_nothing_to_do(moved):
    got = moved.steps["again"]
    assert got.code == 3
    agents = rows(got.json, "agents", "user_id")
    assert {u for u, a in agents.items() if a["take"]} == set()
    assert {agents[u]["is"] for u in FULL} == {"ours"}
    assert got.json["open"] == 0 and got.json["left"] == 2


def test_the_plan_is_at_its_end(moved):
    assert moved.first["plan"].code == 0
    ours = {r["room_id"] for r in moved.rooms()}
    for localpart in OLD:
        rooms = moved.agent(full(localpart)).joined_rooms() - ours
        mine = {moved.project} if localpart in ("ian.ic", "mona.man") else set()
        assert rooms == mine, localpart


def test_no_secret_is_shown(moved):
    moved.muster.assert_no_secret_shown()
    for result in filter(None, moved.steps.values()):
        assert OWNER_PASSWORD not in result.out + result.err


def test_z_by_name_and_by_another_owner(moved):
    """Last, since it changes what the others look at."""
    moved.muster.stop()
    got = moved.run("adopt", "named", "sam.sales", "--yes", "--json",
                    "--owner", "bob", input="bob's own password\n")
    assert got.code == 0, got
    assert rows(got.json, "agents", "user_id")[full("sam.sales")]["handed_off"]
    assert rows(got.json, "rooms", "alias")[SALES]["by"] == moved.bob.user_id
    assert moved.sam.whoami().status == 401
    moved.muster.start()
    moved.muster.wait_settled()
    wait_until(lambda: full("sam.sales") in moved.bob.joined_members(
        moved.sales), 30, "sam is in the room of his team")
    assert moved.room_id(SALES) == moved.sales
    moved.assert_tokens_good()
    moved.assert_direct_marked()


@pytest.mark.parametrize("homeserver", ["synapse"], indirect=True)
def test_an_account_that_was_deactivated(homeserver, muster_on, introduce):
    """Synapse logs nobody in then; what helps is said, and does."""
    hs = homeserver.start()
    muster = muster_on(hs, org=small.org())
    Client(hs.url).register("cleo.ic", "a human's password")
    cleo = quote(small.full("cleo.ic"))
    hs.admin.ok("POST", f"/_synapse/admin/v1/deactivate/{cleo}", {})
    introduce(muster, hs)
    hs.add_appservice(muster.registration_path)
    muster.run("register", expect=0, timeout=120)
    got = muster.run("adopt", "cleo.ic", "--yes", expect=3, timeout=120)
    said = re.search(r"is ours now, but: .*was deactivated on the homeserver: "
                     r"have an administrator make it active again \(Synapse: "
                     r"`PUT (/\S+)` with (\{.*?\})\)", got.out)
    assert said, got
    assert json.loads(said[2]) == {"deactivated": False}
    assert hs.admin.ok("GET", said[1])["deactivated"] is True
    # Synapse 1.163 does it for nobody where its database is SQLite.
    hs.stop()
    with sqlite3.connect(os.path.join(hs.dir, "synapse.db")) as db:
        db.execute("UPDATE users SET deactivated = 0 WHERE name = ?",
                   (small.full("cleo.ic"),))
    db.close()
    hs.start()
    muster.start()
    muster.wait_handoff("cleo.ic")
