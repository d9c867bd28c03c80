"""What is left after restarts, kill -9, a lost database, and a homeserver that
goes and comes."""

import glob
import os
import random
import sqlite3
import threading

import pytest

from support.fleet import Fleet, brought_up, real_homeserver
from support.muster import Muster, small_org
from support.process import wait_until

SERVER = "recovery.test"
HUMAN = f"@carla.ceo:{SERVER}"
KILLS = 10

# A second fleet on the same homeserver: what the kills are for.
KILLED = {
    "appservice": {"id": "killed", "sender": "killed"},
    "namespace": {"prefix": "k-"},
    "rooms": [{"alias": "k-everybody", "members": {"everyone": True}},
              {"alias": "k-{team}", "members": {"team": "{team}"}}]}


def killed_fleet():
    def one(name, team, manager):
        return {"id": f"k-{name}", "name": name.title(), "department": "Lab",
                "team": team, "level": "IC", "manager": manager}
    return {"humans": [{"id": HUMAN, "name": "Carla Ceo"}], "agents": [
        one("head", None, HUMAN),
        *(one(f"a{i}", "North", "k-head") for i in range(3)),
        *(one(f"b{i}", "South", "k-a0") for i in range(3))]}


class World:
    """A homeserver, a fleet that is served on it, and one that has only its
    registration there."""

    def __init__(self, kind, dir):
        self.hs = real_homeserver(kind, SERVER, os.path.join(dir, "hs"))
        served = Muster(os.path.join(dir, "served"), self.hs,
                        org=small_org(SERVER))
        killed = Muster(os.path.join(dir, "killed"), self.hs,
                        fleet=killed_fleet())
        killed.write_config(**KILLED)
        self.musters = [served, killed]
        self.served, self.killed = (
            Fleet(self.hs, muster, HUMAN) for muster in self.musters)

    def bring_up(self):
        for muster in self.musters:
            muster.run("registration", expect=0)
        if self.hs.kind == "synapse":
            self.hs.start([m.registration_path for m in self.musters])
        else:
            self.hs.start()
        self.hs.human("carla.ceo")
        for muster in self.musters:
            muster.run("register", expect=0)
        self.served.settle()
        return self

    def close(self):
        try:
            for muster in self.musters:
                muster.close()
        finally:
            self.hs.kill()


world = brought_up(World)


@pytest.fixture
def served(world):
    """The served fleet, and the test begins when it is settled."""
    if not world.served.muster.running():
        world.served.muster.start()
    world.served.muster.wait_settled()
    return world.served


class Quiet:
    """Whether anything happened that an agent or the service could see."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.since = {a: fleet.agent(a).sync()["next_batch"]
                      for a in fleet.agents()}
        self.seen = fleet.muster.json("status")["transactions"]["seen"]

    def assert_nothing_new(self):
        for agent, since in self.since.items():
            rooms = self.fleet.agent(agent).sync(since).get("rooms", {})
            for kind in ("invite", "leave"):
                assert not rooms.get(kind), (agent, rooms)
            for room, news in rooms.get("join", {}).items():
                assert not news["timeline"]["events"], (agent, room, news)

    def assert_no_transaction(self):
        now = self.fleet.muster.json("status")["transactions"]["seen"]
        assert now == self.seen


def ids_of_rooms(fleet):
    return {r["alias"] or frozenset(r["declared"]): r["room_id"]
            for r in fleet.rooms()}


def hand_off_bytes(fleet):
    """{path: all that is in it}"""
    found = {}
    for path in glob.glob(fleet.muster.path("runtime", "*", "*",
                                            "matrix.json")):
        with open(path, "rb") as f:
            found[path] = f.read()
    return found


def rows_of_agents(fleet):
    """But not when a token was last seen, which the service looks at in its own
    time."""
    return [{k: v for k, v in row.items() if k != "token_seen_ms"}
            for row in fleet.muster.json("agents")]


def remove_store(fleet):
    for path in glob.glob(fleet.muster.path("muster.db*")):
        os.unlink(path)


# -- nothing to do


def wait_told(fleet):
    """Until an event has told of every membership: nothing is on its way."""
    wait_until(lambda: fleet.muster.query(
        "SELECT * FROM membership WHERE source <> 'event'") == [], 20,
        "every membership by an event")


def test_restart_writes_nothing(served):
    wait_told(served)
    quiet, rooms = Quiet(served), ids_of_rooms(served)
    files = hand_off_bytes(served)
    assert len(files) == 6
    served.muster.restart()
    asked = served.muster.json("status")["homeserver"]
    assert asked["writes"] == 0
    # One look at each room, and versions, whoami, joined_rooms, ping.
    n = len([r for r in served.rooms() if r["kind"] == "room"])
    assert asked["requests"] <= n + 4, asked
    assert served.muster.run("plan").code == 0
    assert ids_of_rooms(served) == rooms
    assert hand_off_bytes(served) == files
    quiet.assert_nothing_new()
    quiet.assert_no_transaction()


def test_kill_when_idle_loses_nothing(served):
    quiet, rooms = Quiet(served), ids_of_rooms(served)
    agents = rows_of_agents(served)
    served.muster.kill()
    served.muster.start()
    assert served.muster.json("status")["homeserver"]["writes"] == 0
    assert ids_of_rooms(served) == rooms
    assert rows_of_agents(served) == agents
    quiet.assert_nothing_new()


def test_what_nobody_listened_to_is_repaired(served):
    """By the first look: Conduit does not send again what it could not
    deliver before half a minute is over and something else happens."""
    agent = f"@iris.ic:{SERVER}"
    room_id = served.room_id(f"#platform-team:{SERVER}")
    served.muster.stop()
    served.agent(agent).leave(room_id)
    served.muster.start()
    served.muster.wait_settled()
    assert served.store_members(room_id)[agent] == "join"
    served.wait_same_members()


# -- a database that is lost


def test_lost_store_is_found_again(served):
    quiet, rooms = Quiet(served), ids_of_rooms(served)
    files = hand_off_bytes(served)
    served.muster.stop()
    remove_store(served)
    served.muster.start()
    served.muster.wait_settled()
    assert ids_of_rooms(served) == rooms
    assert hand_off_bytes(served) == files
    served.assert_tokens_good()
    served.assert_no_room_twice()
    served.assert_direct_marked()
    quiet.assert_nothing_new()
    agents = served.muster.json("agents")
    assert {a["state"] for a in agents} == {"handed_off"}
    done = {(action, subject) for action, subject in served.muster.query(
        "SELECT action, subject FROM audit")}
    for agent in agents:
        assert ("take_over", agent["user_id"]) in done
        assert ("take_over_token", agent["user_id"]) in done
        devices = served.agent(agent["user_id"]).get("/devices").body
        assert len(devices["devices"]) == 1
    served.wait_same_members()


def test_lost_store_and_a_lost_file(served):
    """Only the agent whose file is gone gets a new token, and a generation
    that nobody had."""
    files, agent = hand_off_bytes(served), f"@ian.ic:{SERVER}"
    lost = served.muster.path("runtime", "Engineering", "ian.ic",
                              "matrix.json")
    served.muster.stop()
    remove_store(served)
    os.unlink(lost)
    served.muster.start()
    served.muster.wait_settled()
    now = hand_off_bytes(served)
    assert set(now) == set(files)
    assert [path for path in now if now[path] != files[path]] == [lost]
    served.assert_tokens_good()
    devices = served.agent(agent).get("/devices").body["devices"]
    assert [d["device_id"] for d in devices] == ["MUSTER"]
    served.assert_no_room_twice()


def test_lost_file(served):
    """The store knows the generation: the new file's is higher."""
    before = served.muster.handoff("mona.man")
    served.muster.stop()
    os.unlink(served.muster.path("runtime", "Engineering", "mona.man",
                                 "matrix.json"))
    served.muster.start()
    served.muster.wait_settled()
    after = served.muster.handoff("mona.man")
    assert after["generation"] == before["generation"] + 1
    assert after["access_token"] != before["access_token"]
    served.assert_tokens_good()


# -- a homeserver that goes


def join_told(fleet, room_id, user_id):
    """[(when,)] of the event that has told of a join; [] when none has."""
    return fleet.muster.query(
        "SELECT origin_ts FROM membership WHERE room_id = ? AND user_id = ? "
        "AND membership = 'join' AND source = 'event'", room_id, user_id)


def test_homeserver_is_restarted(world, served):
    muster, agent = served.muster, f"@ian.ic:{SERVER}"
    room_id = served.room_id(f"#platform-team:{SERVER}")
    muster.write_config(reconcile={"interval": "1s"})
    muster.restart()
    try:
        world.hs.stop()

        def noticed():
            status = muster.json("status")
            return not status["ready"] and status["why_not"]
        why = wait_until(noticed, 30, "it is not ready any more", every=0.2)
        assert why and muster.run("healthcheck").code == 3
        assert muster.running()
        world.hs.start()
        muster.wait_ready(90)
        told = join_told(served, room_id, agent)
        served.agent(agent).leave(room_id)
        wait_until(lambda: join_told(served, room_id, agent)
                   not in (told, []), 60, "it is back")
    finally:
        muster.write_config(reconcile={"interval": "5m"})
        muster.stop()
    served.assert_tokens_good()


def test_homeserver_comes_later(world, served):
    muster = served.muster
    muster.stop()
    world.hs.stop()
    try:
        muster.start(ready=False)
        wait_until(lambda: muster.json("status")["why_not"] if os.path.exists(
            muster.path("muster.sock")) else None, 30, "it says why")
        assert muster.json("status")["ready"] is False
    finally:
        world.hs.start()
    muster.wait_ready(90)
    assert muster.run("plan").code == 0
    assert muster.json("status")["homeserver"]["writes"] == 0


# -- kill -9 at any moment


def has_come_to(muster, step):
    """So many steps were done, or all that there are: what a kill left in
    doubt may need none."""
    try:
        (done, open_), = muster.query(
            "SELECT max(done_no), sum(state <> 'done') FROM journal")
    except sqlite3.Error:
        return step == 0  # there is no store yet
    return (done or 0) >= step or (done and not open_)


def test_killed_at_any_moment(world):
    """Provisioning from nothing, killed ten times on the way: in the end
    everything is there once."""
    fleet, muster = world.killed, world.killed.muster
    seed = int(os.environ.get("MUSTER_TEST_SEED") or random.randrange(2**32))
    print(f"MUSTER_TEST_SEED={seed}")
    random_ = random.Random(seed)
    steps = len(muster.json("plan")["steps"])
    assert steps > 60
    moments = sorted(random_.randrange(steps) for _ in range(KILLS))
    for moment in moments:
        muster.start(ready=False)
        wait_until(lambda m=moment: has_come_to(muster, m)
                   or not muster.running(), 60, f"step {moment}", every=0.002)
        assert muster.running(), muster.tail()
        # Somewhere in the middle of what is under way then.
        threading.Event().wait(random_.random() * 0.1)
        muster.kill()
    muster.start()
    muster.wait_settled(90)

    assert muster.run("plan").code == 0
    assert {a["state"] for a in muster.json("agents")} == {"handed_off"}
    fleet.assert_tokens_good()
    fleet.assert_no_room_twice()
    fleet.assert_direct_marked()
    fleet.wait_same_members()
    for agent in muster.json("agents"):
        assert fleet.human.displayname(agent["user_id"]) == agent["name"]
        state = fleet.agent(agent["user_id"]).sync()
        assert not state["rooms"].get("invite"), agent
    asked = {room for room, _ in fleet.human.sync()["rooms"].get(
        "invite", {}).items()}
    ours = {r["room_id"] for r in fleet.rooms() + world.served.rooms()
            if HUMAN in r["declared"]}
    assert asked == ours
