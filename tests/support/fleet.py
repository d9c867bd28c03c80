"""A fleet on a real homeserver: what its files declare, worked out here by the
words of the policy and not by the program, and what the homeserver says of it.
"""

import itertools
import json
import os
import re
import shutil
import unicodedata

import pytest
import yaml

from support import conduit
from support.client import Client
from support.muster import TOP, Muster
from support.process import wait_until
from support.synapse import Synapse
from support.tap import Tap

EXAMPLE = os.path.join(TOP, "examples", "fleet")
KINDS = ["synapse", "conduit"]


def brought_up(make, scope="module", **settings):
    """A fixture: make(kind, folder, **settings), on each kind of
    homeserver; one for all tests of a module, so a test leaves it as it found
    it."""
    @pytest.fixture(scope=scope, params=KINDS)
    def fleet(request, tmp_path_factory):
        fleet = make(request.param,
                     str(tmp_path_factory.mktemp(request.param)), **settings)
        try:
            yield fleet.bring_up()
        finally:
            fleet.close()
    return fleet


def real_homeserver(kind, server_name, dir, **settings):
    """A real one, not started; settings are its own."""
    if kind == "synapse":
        return Synapse(server_name, dir, **settings)
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    return conduit.Conduit(server_name, dir, **settings)


def by_name(person):
    """People are sorted as people read: accents do not count."""
    plain = unicodedata.normalize("NFKD", person["name"])
    return plain.encode("ascii", "ignore").lower(), person["name"]


def as_part(name):
    """A name as part of an alias."""
    return re.sub(r"\s+", "-", name.lower())


class Declared:
    """What must come of `people` (of the files, all of them deployed or
    humans), by the default policy. `everybody`: the whole organisation."""

    def __init__(self, server_name, people, bot=None, everybody=None):
        self.server_name = server_name
        self.humans = {p["matrixId"] for p in people if p["level"] == "CEO"}
        self.names = {p["matrixId"]: p["name"] for p in people}
        if bot:
            self.names[bot] = bot[1:].split(":")[0].replace(".", " ").title()
        self.agents = set(self.names) - self.humans
        self.department = {p["matrixId"]: p["department"] for p in people}
        staff = [p for p in people if p["level"] != "CEO"]
        self.rooms = self._rooms(staff, everybody or people)
        self.pairs = self._pairs(people, staff)

    def _rooms(self, staff, everybody):
        """{alias: members}"""
        of_team = {}
        for p in everybody:
            if p["team"]:
                of_team.setdefault(p["team"], set()).add(p["department"])
        rooms = {"all-employees": set(self.names)}
        for p in staff:
            here = as_part(p["department"])
            if p["level"] in ("VP", "Director"):
                rooms.setdefault(f"{here}-leadership", set()).add(
                    p["matrixId"])
            if p["team"]:
                name = as_part(p["team"]) + "-team"
                if len(of_team[p["team"]]) > 1:
                    name = f"{here}-{name}"
                rooms.setdefault(name, set()).add(p["matrixId"])
        return {f"#{name}:{self.server_name}": members
                for name, members in rooms.items()}

    @staticmethod
    def _pairs(people, staff):
        """Sets of two: manager and report, peers, people of one team."""
        ids = {p["matrixId"] for p in people}
        pairs = {frozenset((p["matrixId"], p["reportsTo"]))
                 for p in staff if p["reportsTo"] in ids}
        for a, b in itertools.combinations(staff, 2):
            peers = a["reportsTo"] and a["reportsTo"] == b["reportsTo"]
            mates = a["team"] and (a["department"], a["team"]) == (
                b["department"], b["team"])
            if peers or mates:
                pairs.add(frozenset((a["matrixId"], b["matrixId"])))
        return pairs

    def direct_of(self, user_id):
        """Whom this one has a direct room with."""
        return {other for pair in self.pairs if user_id in pair
                for other in pair if other != user_id}


class Fleet:
    """A service with its homeserver, both to be started; `human` is the
    fleet's CEO, who is also the administrator where `register` makes one."""

    def __init__(self, hs, muster, human):
        self.hs = hs
        self.muster = muster
        self.human_id = human
        self.password = "a human's password"
        self.steps = {}  # each verb's result, by its name
        self.first = {}  # how it looked when it was settled
        self._human = None

    @property
    def sender(self):
        return self.muster.full_id(
            self.muster.config["appservice"].get("sender", "muster"))

    def run(self, verb, step=None, **more):
        result = self.muster.run(verb, timeout=120, **more)
        self.steps[step or verb] = result
        return result

    def settle(self):
        """serve, until all is as declared; what is seen then is kept."""
        self.muster.start()
        self.muster.wait_settled()
        self.first = {verb: self.muster.json(verb)
                      for verb in ("status", "agents", "rooms")}
        self.first["plan"] = self.muster.run("plan")
        self.first["sync"] = self.human.sync()

    # -- who can be asked

    @property
    def human(self):
        if self._human is None:
            self._human = Client(self.hs.url).login(
                self.human_id[1:].split(":")[0], self.password)
        return self._human

    def service(self, user_id=None):
        """The service itself, or as an agent, by its token."""
        return Client(self.hs.url, self.muster.registration["as_token"],
                      acting_as=user_id)

    def agent(self, user_id):
        """An agent, by the token that was handed to it."""
        got = self.muster.handoff(user_id[1:].split(":")[0])
        return Client(got["homeserver"], got["access_token"], user_id)

    def insider(self, room):
        """Somebody who is in the room (one of the rooms document)."""
        if room["kind"] == "room":
            return self.service(self.sender)
        return self.service(next(
            u for u in room["joined"] if u != self.human_id))

    def agents(self):
        """Their ids, but of those who have left."""
        return [a["user_id"] for a in self.muster.json("agents")
                if a["state"] != "retired"]

    # -- what is

    def rooms(self):
        return self.muster.json("rooms")

    def room(self, key):
        """A room by its alias, or by the set of its two."""
        return next(r for r in self.rooms()
                    if key in (r["alias"], set(r["declared"]))
                    and (r["kind"] == "direct") == isinstance(key, set))

    def room_id(self, key):
        return self.room(key)["room_id"]

    def store_members(self, room_id):
        return dict(self.muster.query(
            "SELECT user_id, membership FROM membership WHERE room_id = ?",
            room_id))

    def assert_tokens_good(self):
        """Every agent's file has a token of this agent, on its device."""
        for user_id in self.agents():
            got = self.muster.handoff(user_id[1:].split(":")[0])
            assert got["user_id"] == user_id
            me = self.agent(user_id).whoami()
            assert me.status == 200, (user_id, me)
            assert (me.body["user_id"], me.body["device_id"]) == (
                user_id, "MUSTER")

    def assert_no_room_twice(self):
        """What agents and service are in on the homeserver is one room for
        each alias and one for each pair, finished, and nothing else."""
        everybody = self.agents() + [self.sender]
        joined = {}
        for user_id in everybody:
            for room_id in self.service(user_id).joined_rooms():
                joined.setdefault(room_id, set()).add(user_id)
        rooms = {r["room_id"]: r for r in self.rooms()}
        assert set(joined) == set(rooms), {
            r: joined.get(r) for r in set(joined) ^ set(rooms)}
        assert len(rooms) == len(self.rooms())
        for room_id, room in rooms.items():
            here = self.insider(room)
            agents = set(room["declared"]) & set(everybody)
            if room["kind"] == "direct":
                assert joined[room_id] == agents, room
                assert set(here.members(room_id)) == set(room["declared"])
                continue
            assert joined[room_id] == agents | {self.sender}, room
            assert here.resolve(room["alias"]) == room_id
            assert here.state(room_id, "m.room.name") == {
                "name": room["name"]}
            assert here.state(room_id, "m.room.canonical_alias")[
                "alias"] == room["alias"]
            assert here.state(room_id, "m.room.join_rules")[
                "join_rule"] == "invite"
            power = here.state(room_id, "m.room.power_levels")["users"]
            assert power.get(self.human_id) == 100, room

    def assert_direct_marked(self):
        """m.direct of every agent: its direct rooms, each once."""
        want = {user_id: {} for user_id in self.agents()}
        for room in self.rooms():
            if room["kind"] == "direct":
                one, two = room["declared"]
                for me, other in ((one, two), (two, one)):
                    if me in want:
                        want[me][other] = [room["room_id"]]
        for user_id, rooms in want.items():
            have = self.agent(user_id).account_data("m.direct")
            assert (have or {}) == rooms, user_id

    def wait_same_members(self, bound=20):
        """Until the store has, for every room, exactly the members that the
        homeserver tells an insider of."""
        def same():
            for room in self.rooms():
                if not room["room_id"]:
                    continue
                have = self.store_members(room["room_id"])
                want = self.insider(room).members(room["room_id"])
                if have != want:
                    differ.append((room["alias"], have, want))
                    return False
            return True
        differ = []
        try:
            wait_until(same, bound, "every membership as it is", every=0.1)
        except AssertionError as e:
            raise AssertionError(f"{e}: {differ[-1:]}") from None

    def wait_member(self, room_id, user_id, membership, source="event",
                    bound=20):
        """Until the store has this membership, from where it must be."""
        def there():
            row = self.muster.query(
                "SELECT membership, source FROM membership "
                "WHERE room_id = ? AND user_id = ?", room_id, user_id)
            return row == [(membership, source)]
        return wait_until(
            there, bound, f"{user_id} is {membership} by {source}")


class ExampleFleet(Fleet):
    """examples/fleet, with its service and everything in between."""

    HUMAN = "@philippa.tidewater:fleet.example"

    def __init__(self, kind, dir):
        hs = real_homeserver(kind, "fleet.example", os.path.join(dir, "hs"))
        muster = Muster(os.path.join(dir, "muster"), hs, fleet={
            "config": "config.yaml", "org": "org.json"})
        super().__init__(hs, muster, self.HUMAN)
        for name in ("config.yaml", "org.json"):
            shutil.copy(os.path.join(EXAMPLE, name), muster.path(name))
        self.tap = Tap(muster.port)
        self.admin_password = muster.path("secrets", "human")
        admin = {"user": "philippa.tidewater",
                 "password": {"file": "secrets/human"}}
        muster.write_config(
            appservice={"url": self.tap.url},
            homeserver={"admin": admin} if kind == "conduit" else {})
        self.declared = self._declared()

    def _declared(self):
        """Of the example's config.yaml: how many of each level, by name."""
        with open(self.muster.path("config.yaml"), encoding="utf-8") as f:
            config = yaml.safe_load(f)
        with open(self.muster.path("org.json"), encoding="utf-8") as f:
            everybody = json.load(f)["people"]
        chosen = [p for p in everybody if p["level"] == "CEO"]
        for department, want in config["departments"].items():
            if not want["enabled"]:
                continue
            above = {self.HUMAN}
            for level, key in (("VP", "vp"), ("Director", "directors"),
                               ("Manager", "managers"), ("IC", "ics")):
                found = sorted((p for p in everybody if p["level"] == level
                                and p["department"] == department
                                and p["reportsTo"] in above),
                               key=by_name)[:want[key]]
                above = {p["matrixId"] for p in found}
                chosen += found
        return Declared("fleet.example", chosen, everybody=everybody,
                        bot=config["commandCenter"]
                        ["taskAssignmentBotMatrixId"])

    def bring_up(self):
        self.run("check")
        self.run("registration")
        if self.hs.kind == "conduit":
            self.hs.start()
        else:
            self.hs.start([])
            self.hs.human("philippa.tidewater", self.password)
            self.run("register", step="register before")
            self.hs.add_appservice(self.muster.registration_path)
        self.run("register")
        self.run("register", step="register again")
        if self.hs.kind == "conduit":
            with open(self.admin_password, encoding="ascii") as f:
                self.password = f.read().strip()
        self.settle()
        return self

    def close(self):
        try:
            self.muster.close()
        finally:
            self.hs.kill()
            self.tap.close()
