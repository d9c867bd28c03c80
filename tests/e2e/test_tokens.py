"""What an agent gets: its token, used by a client that is not ours, and by a
program under muster-agent."""

import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from support.client import Client
from support.muster import FINDINGS, binary
from support.process import environment, wait_until
from support.synapse import Synapse


@pytest.fixture(scope="module")
def nio_agents(fleet):
    """{user id: a real client that has the agent's token from its file}, all
    synced."""
    from support.nioclient import NioClient
    clients = {}
    try:
        for user_id in sorted(fleet.declared.agents):
            got = fleet.muster.handoff(user_id[1:].split(":")[0])
            clients[user_id] = NioClient(
                got["homeserver"], got["user_id"], got["access_token"],
                got["device_id"]).sync()
        yield clients
    finally:
        for client in clients.values():
            client.close()


def room_ids(fleet):
    """{alias, or set of two: room id}"""
    return {r["alias"] or frozenset(r["declared"]): r["room_id"]
            for r in fleet.rooms()}


# -- a real client with the token of matrix.json


def test_token_is_the_agent_s_on_its_device(fleet, nio_agents):
    for user_id, client in nio_agents.items():
        assert client.whoami() == (user_id, "MUSTER")


def test_agent_sees_its_rooms_and_who_is_there(fleet, nio_agents):
    ids = room_ids(fleet)
    human = fleet.human_id
    for user_id, client in nio_agents.items():
        want = {ids[alias]: members | {fleet.sender}
                for alias, members in fleet.declared.rooms.items()
                if user_id in members}
        want |= {ids[pair]: set(pair) for pair in fleet.declared.pairs
                 if user_id in pair}
        # The human comes when she likes.
        seen = {room: members - {human}
                for room, members in client.rooms().items()}
        assert seen == {room: m - {human} for room, m in want.items()}
        assert client.invitations() == {}


def test_agent_sees_names(fleet, nio_agents):
    ids = room_ids(fleet)
    everybody = ids["#all-employees:fleet.example"]
    for client in nio_agents.values():
        room = client.nio.rooms[everybody]
        assert room.name == "All employees"
        assert room.join_rule == "invite"
        for other in fleet.declared.agents:
            assert room.user_name(other) == fleet.declared.names[other]


def test_direct_rooms_are_marked(fleet, nio_agents):
    """m.direct of every agent has all of its direct rooms and no other."""
    ids = room_ids(fleet)
    for user_id, client in nio_agents.items():
        others = fleet.declared.direct_of(user_id)
        if not others:
            assert fleet.agent(user_id).account_data("m.direct") is None
            continue
        assert client.direct_rooms() == {
            other: [ids[frozenset((user_id, other))]] for other in others}
    assert fleet.human.account_data("m.direct") in (None, {})


@pytest.mark.parametrize("kind", ["everybody", "leaders", "team", "direct"])
def test_what_one_says_the_others_hear(fleet, nio_agents, kind):
    ids = room_ids(fleet)
    key = {"everybody": "#all-employees:fleet.example",
           "leaders": "#research-leadership:fleet.example",
           "team": "#spare-parts-team:fleet.example",
           "direct": frozenset(("@asa.iyer:fleet.example",
                                "@gerda.madsen:fleet.example"))}[kind]
    members = fleet.declared.rooms[key] if kind != "direct" else key
    speaker, *others = sorted(members - {fleet.human_id})
    assert others
    text = f"{kind}: is everybody here?"
    nio_agents[speaker].send(ids[key], text)
    for other in others:
        heard = nio_agents[other].wait_message(text)
        assert heard == (ids[key], speaker, text)


def test_agent_and_human_talk_alone(fleet, nio_agents, nio_as):
    agent_id = "@tove.rantala:fleet.example"
    agent = nio_agents[agent_id]
    human = nio_as(fleet.hs, fleet.human_id, password=fleet.password)
    room = room_ids(fleet)[frozenset((agent_id, fleet.human_id))]
    human.wait(lambda: human.invitations().get(room) == agent_id
               or room in human.rooms(), "the invitation")
    human.join(room)
    human.wait(lambda: human.rooms().get(room) == {
        agent_id, fleet.human_id}, "the two in the room")
    assert human.nio.rooms[room].name == "Tove Rantala"
    human.send(room, "good morning")
    agent.wait_message("good morning", sender=fleet.human_id, room=room)
    agent.send(room, "good morning to you")
    human.wait_message("good morning to you", sender=agent_id, room=room)
    fleet.wait_member(room, fleet.human_id, "join")


def test_every_token_is_another(fleet):
    tokens = {fleet.muster.handoff(user_id[1:].split(":")[0])["access_token"]
              for user_id in fleet.declared.agents}
    assert len(tokens) == len(fleet.declared.agents)


def test_agents_have_one_device(fleet):
    for user_id in fleet.declared.agents:
        devices = fleet.agent(user_id).get("/devices").body["devices"]
        assert [d["device_id"] for d in devices] == ["MUSTER"]


# -- muster-agent


PROGRAM = """
import json, os, sys
out = {k: v for k, v in os.environ.items() if k.startswith("MATRIX_")}
path = os.environ.get("MATRIX_ACCESS_TOKEN_FILE")
if path:
    with open(path) as f:
        out["text"] = f.read()
    out["mode"] = os.stat(path).st_mode & 0o777
with open(sys.argv[1] + ".tmp", "w") as f:
    json.dump(out, f)
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
exec(sys.argv[2])
"""


class Agent:
    """muster-agent run, with a program that says what it was given and then
    ends by `end`."""

    def __init__(self, fleet, user_id, said, *options, end="pass"):
        self.said = str(said)
        self.process = subprocess.Popen(
            [binary("muster-agent"), "run", "--runtime",
             fleet.muster.runtime_dir(user_id[1:].split(":")[0]), *options,
             "--", sys.executable, "-c", PROGRAM, self.said, end],
            env=environment(), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def given(self):
        wait_until(lambda: os.path.exists(self.said)
                   or self.process.poll() is not None, 30, "the program ran")
        if not os.path.exists(self.said):
            raise AssertionError(self.process.stdout.read())
        with open(self.said, encoding="utf-8") as f:
            return json.load(f)

    def end(self):
        """(exit status, what was printed)"""
        try:
            out, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            raise AssertionError(f"muster-agent does not end: {out}") from None
        assert not FINDINGS.search(out), out
        return self.process.returncode, out


def agent_row(fleet, user_id):
    return next(a for a in fleet.muster.json("agents")
                if a["user_id"] == user_id)


def acknowledged(fleet, user_id):
    def there():
        row = agent_row(fleet, user_id)
        return row["state"] == "acknowledged" and row
    return wait_until(there, 20, f"{user_id} acknowledged", every=0.2)


def test_muster_agent_for_env(fleet, tmp_path):
    user_id = "@alda.bekele:fleet.example"
    agent = Agent(fleet, user_id, tmp_path / "said", "--for", "env",
                  end="import sys; sys.exit(7)")
    given = agent.given()
    status, out = agent.end()
    assert status == 7, out
    handed = fleet.muster.handoff("alda.bekele")
    assert given == {
        "MATRIX_HOMESERVER": fleet.hs.url, "MATRIX_USER_ID": user_id,
        "MATRIX_DEVICE_ID": "MUSTER",
        "MATRIX_ACCESS_TOKEN": handed["access_token"]}
    me = Client(given["MATRIX_HOMESERVER"], given["MATRIX_ACCESS_TOKEN"])
    assert me.whoami().body["user_id"] == user_id
    assert handed["access_token"] not in out
    row = acknowledged(fleet, user_id)
    assert row["acked_generation"] == row["generation"]


def test_muster_agent_for_file(fleet, tmp_path):
    user_id = "@bram.zoltan:fleet.example"
    output = tmp_path / "token"
    agent = Agent(fleet, user_id, tmp_path / "said", "--for", "file",
                  "--output", str(output),
                  end="import os, signal; os.kill(os.getpid(), "
                      "signal.SIGTERM)")
    given = agent.given()
    status, out = agent.end()
    assert status == 128 + signal.SIGTERM, out
    handed = fleet.muster.handoff("bram.zoltan")
    assert given["text"] == handed["access_token"] + "\n"
    assert given["mode"] == 0o600
    assert given["MATRIX_ACCESS_TOKEN_FILE"] == str(output)
    assert "MATRIX_ACCESS_TOKEN" not in given
    assert handed["access_token"] not in out
    acknowledged(fleet, user_id)


def test_muster_agent_hands_signals_through(fleet, tmp_path):
    """SIGTERM to muster-agent ends the program, and its status is ours."""
    agent = Agent(
        fleet, "@asa.iyer:fleet.example", tmp_path / "said",
        end="import signal, time, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
            "open(sys.argv[1] + '.ready', 'w').close()\n"
            "while True: time.sleep(60)")
    agent.given()
    wait_until(lambda: (tmp_path / "said.ready").exists(), 20, "it waits")
    acknowledged(fleet, "@asa.iyer:fleet.example")
    agent.process.send_signal(signal.SIGTERM)
    status, out = agent.end()
    assert status == 42, out


def test_acknowledgement_file(fleet, tmp_path):
    agent = Agent(fleet, "@gerda.madsen:fleet.example", tmp_path / "said")
    agent.given()
    assert agent.end()[0] == 0
    acknowledged(fleet, "@gerda.madsen:fleet.example")
    folder = fleet.muster.runtime_dir("gerda.madsen")
    with open(os.path.join(folder, "ack.1.json"), encoding="utf-8") as f:
        ack = json.load(f)
    assert (ack["generation"], ack["user_id"], ack["device_id"]) == (
        1, "@gerda.madsen:fleet.example", "MUSTER")
    token = fleet.muster.handoff("gerda.madsen")["access_token"]
    assert token not in json.dumps(ack)
    mode = os.stat(os.path.join(folder, "matrix.json")).st_mode
    assert stat.S_IMODE(mode) == 0o600


# -- a homeserver that gives none


@pytest.fixture
def own_synapse(tmp_path):
    hs = Synapse("fleet.test", tmp_path / "synapse")
    yield hs
    hs.kill()


def test_a_service_that_gets_no_logins(own_synapse, muster_on):
    """AS-109, AS-113: Synapse, told by the registration to give it none. Its
    accounts are made; once that line is gone they get their tokens."""
    hs = own_synapse
    muster = muster_on(hs)
    muster.run("registration", expect=0)
    before = muster.read("registration.yaml")
    with open(muster.registration_path, "a", encoding="utf-8") as f:
        f.write("io.element.msc4190: true\n")
    hs.start([muster.registration_path])
    muster.start()
    muster.daemon.wait_for(lambda: all(
        "no logins (MSC4190)" in (agent["error"] or "")
        for agent in muster.json("agents")), 60, "all agents say why")
    assert {a["state"] for a in muster.json("agents")} == {"registered"}
    muster.stop()
    with open(muster.registration_path, "w", encoding="utf-8") as f:
        f.write(before)
    hs.restart()
    muster.start()
    muster.wait_settled()
    for agent in muster.agents():
        me = Client(hs.url, muster.handoff(agent)["access_token"]).whoami()
        assert me.body["user_id"] == muster.full_id(agent)
