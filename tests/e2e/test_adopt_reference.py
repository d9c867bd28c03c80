"""The example organisation, as its manager with passwords left it: a room for
all, for each department and team, and one for each pair. Nothing is missing, so
nothing is made when it is taken over."""

import sqlite3

import pytest

from support.client import V3, Client
from support.fleet import KINDS, ExampleFleet
from support.muster import binary
from support.oldfleet import OWNER_PASSWORD, OldFleet, password_of
from support.process import environment, wait_until

KILLED_AT = (1, 2, 4, 6, 9, 12)  # rooms and agents that were taken by then


def localpart(user_id):
    return user_id[1:].split(":")[0]


class Reference(ExampleFleet):
    killed = 0

    def old_life(self):
        hs, declared = self.hs, self.declared
        hs.start()
        self.password = OWNER_PASSWORD
        self.old = OldFleet(hs, localpart(self.HUMAN), sorted(
            localpart(a) for a in declared.agents))
        for alias, members in sorted(declared.rooms.items()):
            self.old.make_room(alias[1:].split(":")[0], sorted(
                localpart(m) for m in members))
        for pair in sorted(sorted(p) for p in declared.pairs):
            self.old.make_direct(*map(localpart, sorted(
                pair, key=self.HUMAN.__eq__)))

    def taken(self):
        """How many rooms and agents the store says are ours by now."""
        try:
            (n,), = self.muster.query(
                "SELECT count(*) FROM audit WHERE action = 'adopt'")
        except sqlite3.Error:
            return 0  # there is no store yet
        return n

    def kill_on_the_way(self):
        """Again and again, a little later each time."""
        daemon = self.muster.daemon
        for n in KILLED_AT:
            daemon.launch([binary(), "-c", self.muster.path("muster.yaml"),
                           "adopt", "--yes"], env=environment(),
                          cwd=self.muster.dir)
            wait_until(lambda n=n: self.taken() >= n or not daemon.running(),
                       60, f"{n} are taken", every=0.001)
            self.killed += daemon.running()
            daemon.kill()

    def bring_up(self, kill=False):
        self.old_life()
        self.run("registration")
        self.muster.write("secrets/human", OWNER_PASSWORD)
        if self.hs.kind == "synapse":
            assert self.hs.admin  # who has made no room
            self.muster.write("secrets/human", "operators-password")
            self.muster.write_config(homeserver={"admin": {
                "user": "operator", "password": {"file": "secrets/human"}}})
            self.hs.add_appservice(self.muster.registration_path)
        self.run("register")
        if kill:
            self.kill_on_the_way()
        self.adopted = self.muster.run(
            "adopt", "--yes", "--json", timeout=120)
        self.settle()
        return self


@pytest.fixture(scope="module", params=KINDS)
def reference(request, tmp_path_factory):
    fleet = Reference(
        request.param, str(tmp_path_factory.mktemp(request.param)))
    try:
        yield fleet.bring_up()
    finally:
        fleet.close()


def test_everybody_is_ours(reference):
    got = reference.adopted
    assert got.code == 0, got
    agents = reference.declared.agents
    assert {a["user_id"] for a in got.json["agents"] if a["handed_off"]} == (
        agents)
    assert got.json["direct_rooms"] == len(reference.declared.pairs)
    reference.assert_tokens_good()
    for client in reference.old.agents.values():
        assert client.whoami().status == 401


def test_power_of_the_owner_or_of_an_administrator(reference):
    rooms = reference.adopted.json["rooms"]
    by = {("administrator", "@operator:fleet.example")} if (
        reference.hs.kind == "synapse") else {("owner", reference.HUMAN)}
    assert {(r["is"], r["by"]) for r in rooms} == by
    sender = reference.service(reference.sender)
    for room in rooms:
        assert room["taken"]
        levels = sender.power_levels(room["room_id"])["users"]
        assert levels[reference.sender] == 100
        assert sender.state(room["room_id"], "m.room.join_rules")[
            "join_rule"] == "invite"


def test_no_room_is_new_and_no_message_is_lost(reference):
    old = reference.old
    rooms = {r["alias"] or frozenset(r["declared"]): r["room_id"]
             for r in reference.rooms()}
    assert rooms == {**old.rooms, **old.direct}
    for user_id in reference.declared.agents:
        me = reference.agent(user_id)
        mine = me.joined_rooms()
        assert mine <= set(rooms.values())
        for room_id in mine:
            assert old.said[room_id] in [
                e["event_id"] for e in me.messages(room_id)]
    reference.assert_direct_marked()


def test_no_old_password_works(reference):
    """Synapse lets one in beside a service: an administrator has changed it."""
    assert not any(
        a["old_password"] for a in reference.adopted.json["agents"])
    for user_id in reference.declared.agents:
        assert Client(reference.hs.url).call("POST", f"{V3}/login", {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password_of(user_id)}).status in (400, 403)


def test_a_restart_writes_nothing(reference):
    reference.muster.restart()
    reference.muster.wait_settled()
    assert reference.muster.json("status")["homeserver"]["writes"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_killed_on_the_way(kind, tmp_path):
    """What was done before stays, the rest is done, nothing is made twice."""
    fleet = Reference(kind, str(tmp_path))
    try:
        fleet.bring_up(kill=True)
        assert fleet.killed >= 1, fleet.muster.tail()
        assert fleet.adopted.code == 0, fleet.adopted
        test_no_room_is_new_and_no_message_is_lost(fleet)
        test_no_old_password_works(fleet)
        fleet.assert_tokens_good()
        for client in fleet.old.agents.values():
            assert client.whoami().status == 401
    finally:
        fleet.close()


def test_no_secret_is_shown(reference):
    reference.muster.assert_no_secret_shown()
    for secret in (OWNER_PASSWORD, "operators-password"):
        assert secret not in reference.adopted.out + reference.adopted.err
