"""A fleet whose organisation changes while it is served by a real homeserver:
one human who is in all its rooms of teams, and two departments. What is asked
of the homeserver, and what it sends, is written down on the way. Conduit is told
by the service who has come; Synapse knows from the start who may."""

import collections
import copy
import json
import os

from support import small
from support.client import Client
from support.fleet import Declared, Fleet, real_homeserver
from support.muster import Muster, person
from support.nioclient import NioClient
from support.process import wait_until
from support.tap import Asked, Tap

SERVER = "fleet.test"
HUMAN = f"@carla.ceo:{SERVER}"
SENDER = f"@muster:{SERVER}"
EVERYBODY = f"#o-all-employees:{SERVER}"

ROOMS = [
    {"alias": "o-all-employees", "members": {"everyone": True}},
    {"alias": "o-{department}-leadership",
     "members": {"level": ["VP", "Director"]}},
    {"alias": "o-{team}-team", "name": "Team {team}",
     "members": {"any": [{"team": "{team}"}, {"members": ["carla.ceo"]}]}}]

PEOPLE = [
    ("o-vera", "VP", None, "carla.ceo", "Works"),
    ("o-dirk", "Director", "Core", "o-vera", "Works"),
    ("o-mona", "Manager", "Core", "o-dirk", "Works"),
    ("o-ian", "IC", "Core", "o-mona", "Works"),
    ("o-iris", "IC", "Core", "o-mona", "Works"),
    ("o-ed", "IC", "Edge", "o-mona", "Works"),
    ("o-eve", "IC", "Edge", "o-mona", "Works"),
    ("o-sam", "VP", None, "carla.ceo", "Sales"),
    ("o-sia", "IC", "Field", "o-sam", "Sales"),
    ("o-sol", "IC", "Field", "o-sam", "Sales")]


# Who and what may be declared later.
LATER = [
    person("o-nia", "IC", "Edge", "o-mona", "Works", name="Nia"),
    person("o-una", "IC", "Core", "o-mona", "Works", name="Una"),
    person("o-rim", "Director", "Outer Rim", "o-vera", "Labs", name="Rim"),
    # The aliases of a team that two departments have.
    person("o-wes", "IC", "Works Core", "o-mona", "Works", name="Wes"),
    person("o-lea", "IC", "Labs Core", "o-mona", "Labs", name="Lea")]
DESK = {"alias": "o-desk", "members": {"members": ["o-ed", "carla.ceo"]},
        "extra_power": {"o-ed": 50}}


def full(localpart):
    return f"@{localpart}:{SERVER}"


def alias(name):
    return f"#o-{name}:{SERVER}"


def pair(one, two):
    return frozenset([full(one), full(two)])


def name_of(localpart):
    return localpart.removeprefix("o-").title()


def organisation():
    """As it is in the beginning."""
    return {"departments": [], "people": [
        person("carla.ceo", "CEO", department="Executive", name="Carla Ceo"),
        *(person(localpart, level, team, manager, department,
                 name=name_of(localpart))
          for localpart, level, team, manager, department in PEOPLE)]}


def changed(org, localpart, **fields):
    """The same with one person's fields changed."""
    org = copy.deepcopy(org)
    for p in org["people"]:
        if p["matrixId"] == full(localpart):
            p.update(fields)
    return org


def without(org, *localparts):
    gone = {full(localpart) for localpart in localparts}
    return {**org, "people": [
        p for p in org["people"] if p["matrixId"] not in gone]}


def joined(org, *more):
    return {**org, "people": org["people"] + list(more)}


class Policy(Declared):
    """What ROOMS make of an organisation."""

    def _rooms(self, staff, everybody):
        rooms = super()._rooms(staff, everybody)
        return {f"#o-{key[1:]}":
                members | self.humans if key.endswith(f"-team:{SERVER}")
                else members for key, members in rooms.items()}


class Changing(Fleet):
    """`kind`: of the homeserver. Everybody is there once it is brought up,
    the human in every room."""

    def __init__(self, kind, dir, rooms=ROOMS, later=(DESK,), version="12",
                 **settings):
        """`later`: rooms that may come to be declared; `version`: of new
        rooms."""
        # A number in its environment is no text to Conduit.
        hs = real_homeserver(
            kind, SERVER, os.path.join(dir, "hs"), default_room_version=
            version if kind == "synapse" else json.dumps(version))
        muster = Muster(os.path.join(dir, "muster"), hs, organisation())
        super().__init__(hs, muster, HUMAN)
        self.tap = Tap(muster.port)
        self.asked = Asked(
            hs.url, lambda: muster.registration["as_token"])
        muster.write_config(
            rooms=rooms, appservice={"url": self.tap.url},
            homeserver={"url": self.asked.url, "public_url": hs.url},
            **settings)
        self.nio = NioClient(hs.url, HUMAN, device_id="NIO")
        self.later = later
        self.names = {}  # {room id: alias or pair}, those that it had first

    def bring_up(self, before=None):
        """before(self): when there is only the human."""
        if self.hs.kind == "synapse":
            # So that they are in the registration.
            rooms = self.muster.config["rooms"]
            self.muster.write_org(joined(organisation(), *LATER))
            self.muster.write_config(rooms=[*rooms, *self.later])
            self.muster.run("registration", expect=0)
            self.muster.write_org(organisation())
            self.muster.write_config(rooms=rooms)
        else:
            self.muster.run("registration", expect=0)
        self.hs.start()
        assert self.hs.admin
        self.hs.human("carla.ceo", self.password)
        self.nio.login(self.password)
        if before:
            before(self)
        if self.hs.kind == "synapse":
            self.hs.add_appservice(self.muster.registration_path)
        self.muster.run("register", expect=0)
        self.muster.start()
        self.settle()
        return self

    def settle(self):
        """Until all is as declared, the human has come wherever invited, and
        every transaction has arrived."""
        self.muster.wait_settled()
        for room in self.rooms():
            if HUMAN in room["invited"]:
                self.human.join(room["room_id"])
                self.wait_member(room["room_id"], HUMAN, "join")
        self.muster.wait_settled()
        self.wait_same_members()
        self.wait_answered()
        self.learn()

    def wait_answered(self):
        """Until nothing is under way: what the homeserver has done may be seen
        before it has answered."""
        wait_until(lambda: not self.muster.query(
            "SELECT 1 FROM journal WHERE state = 'running'"), 20,
            "every step is answered")

    def learn(self):
        """The rooms by their ids; the names that they had first."""
        now = {r["room_id"]: r["alias"] or frozenset(r["declared"])
               for r in self.rooms() if r["room_id"]}
        self.names = {**now, **self.names}

    def ids(self):
        """{alias or pair: room id}"""
        return {r["alias"] or frozenset(r["declared"]): r["room_id"]
                for r in self.rooms()}

    def close(self):
        try:
            self.nio.close()
            self.muster.close()
        finally:
            self.hs.kill()
            self.tap.close()
            self.asked.close()

    # -- changing it

    def loaded_ms(self):
        return small.status(self.muster)["configuration"]["loaded_ms"]

    def declare(self, org):
        """Replaces org.json, as editors and git write, and waits until it has
        been read. Nothing else is done."""
        self.muster.org = org
        self._replace("org.json", json.dumps(org, indent=1))

    def configure(self, **settings):
        """The same for muster.yaml."""
        was = self.loaded_ms()
        self.muster.write_config(**settings)
        self.wait_read(was)

    def _replace(self, name, text):
        was = self.loaded_ms()
        os.rename(self.muster.write(name + ".new", text),
                  self.muster.path(name))
        self.wait_read(was)

    def wait_read(self, was):
        """Until a change is in force that was not at loaded_ms() `was`."""
        self.muster.daemon.wait_for(
            lambda: self.loaded_ms() > was, 30, "the change has been read")

    def change(self, org):
        """declare() and settle(); what the service has written since then, as
        a Counter of (word, room or what, who)."""
        self.learn()
        self.asked.clear()
        self.declare(org)
        self.settle()
        return self.done()

    def done(self, *may_be_refused):
        """What the service has written since asked.clear(), and nothing else
        was refused; but how it registers itself anew with Conduit."""
        self.wait_answered()

        def counts(what):
            return what[-3:] not in (
                ("register", None, "muster"),
                ("POST", "/appservice/muster/ping", None),
                ("account data", "muster.registration", None))
        refused = [what for what in self.asked.refused()
                   if counts(what) and what[1:] not in may_be_refused]
        assert not refused, refused
        return collections.Counter(
            (word, self._named(what), who) for word, what, who in
            filter(counts, self.asked.writes()))

    def _named(self, what):
        if isinstance(what, str) and what.startswith("o-"):
            return f"#{what}:{SERVER}"  # createRoom has only the localpart
        return self.names.get(what, what)

    # -- how it must be

    @property
    def policy(self):
        return Policy(SERVER, self.muster.org["people"])

    def assert_as_declared(self):
        """On the homeserver, room by room, as the organisation says."""
        policy, ids = self.policy, self.ids()
        differ = set(ids) ^ (set(policy.rooms) | policy.pairs)
        assert not differ, differ
        for key, room_id in ids.items():
            want = policy.rooms.get(key) or key
            if key in policy.rooms:
                want = want | {SENDER}
                here = self.service(SENDER)
                assert here.resolve(key) == room_id
                assert here.state(room_id, "m.room.canonical_alias")[
                    "alias"] == key
            else:
                here = self.service(min(set(key) - {HUMAN}))
            assert here.joined_members(room_id) == want, key
        for user_id in policy.agents:
            assert self.human.displayname(user_id) == policy.names[user_id]
            # Of rooms that it had before, the one that it has is the first.
            marks = self.marks(user_id)
            assert {other: rooms[0] for other, rooms in marks.items() if
                    frozenset([user_id, other]) in ids} == {
                other: ids[frozenset([user_id, other])]
                for other in policy.direct_of(user_id)}, user_id
        self.assert_tokens_good()
        # No room twice: an agent is in nothing that is not told of above, but
        # in direct rooms of pairs that were declared before.
        known = set(ids.values()) | set(self.names)
        for user_id in policy.agents:
            inside = self.service(user_id).joined_rooms()
            declared = {room_id for key, room_id in ids.items() if user_id in
                        (policy.rooms.get(key) or key)}
            assert declared <= inside
            for room_id in inside - declared:
                assert isinstance(self.names.get(room_id), frozenset), room_id
        assert self.service(SENDER).joined_rooms() <= known

    def marks(self, user_id):
        return self.service(user_id).account_data("m.direct") or {}

    def wait_taken(self, check):
        """Until the service has taken such an event; it."""
        def found():
            return next((e for body in self.tap.taken()
                         for e in json.loads(body)["events"] if check(e)),
                        None)
        return wait_until(found, 20, "the event is sent")

    # -- what the human's own client shows

    def see(self):
        """{room id: (name, {members})}, as it shows them now."""
        self.nio.sync()
        members, names = self.nio.rooms(), self.nio.room_names()
        return {room: (names[room], members[room]) for room in members}

    def wait_shown(self, room_id, name, *localparts, bound=20):
        """Until the human's client shows the room by this name, with these,
        the service and the human in it."""
        want = name, {HUMAN, SENDER, *map(full, localparts)}

        def shown():
            seen.append(self.see().get(room_id))
            return seen[-1] == want
        seen = []
        try:
            wait_until(shown, bound, f"{want} is shown")
        except AssertionError as e:
            raise AssertionError(f"{e}: {seen[-1]}") from None

    def shown_name(self, room_id, user_id):
        """As whom somebody is shown in a room."""
        self.nio.sync()
        return self.nio.nio.rooms[room_id].user_name(user_id)

    def member_events(self, room_id, client=None):
        """[(event id, user id, membership)] of a room, the oldest first."""
        got = (client or self.human).messages(room_id, 500)
        return [(e["event_id"], e["state_key"], e["content"]["membership"])
                for e in reversed(got) if e["type"] == "m.room.member"]

    def member(self, room_id, user_id, client=None):
        """A member event's content, as the human can read it."""
        return (client or self.human).state(room_id, "m.room.member", user_id)

    def reader(self):
        """A client that is not of ours, as the human."""
        return Client(self.hs.url, self.human.token, HUMAN)
