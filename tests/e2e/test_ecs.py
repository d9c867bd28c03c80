"""The task definitions of deploy/ecs, run: each container's own command, with its
variables, secrets and health check, in its order, as a process on loopback. The
homeserver is a real Conduit."""

import json
import os
import re
import shutil
import stat
import sys

import pytest

from support import conduit
from support.client import Client
from support.ecs import FOLDER, Task, example, read
from support.muster import TOP, binary
from support.process import free_port, wait_until

VALUES = example()
SERVER = "fleet.example"
HUMAN = "philippa.tidewater"
PASSWORD = "a password of the human's"
TOKEN = "who has this may register"
SECRETS = {
    VALUES["ADMIN_SECRET"]: json.dumps(
        {"username": HUMAN, "password": PASSWORD}),
    VALUES["REGISTRATION_SECRET"]: json.dumps({"token": TOKEN})}
AGENT = "brigida.hashimoto"
DEPARTMENT = "Research"
# An image may have variables of its own, for another place.
OF_THE_IMAGE = {
    "MUSTER_APPSERVICE_LISTEN": "0.0.0.0:1",
    "MUSTER_APPSERVICE_REGISTRATION": "/nowhere/registration.yaml",
    "MUSTER_HANDOFF_ROOT": "/nowhere/runtime",
    "MUSTER_OPS_SOCKET": "/nowhere/muster.sock",
    "MUSTER_STORE_PATH": "/nowhere/muster.db"}
# What an agent's program would be: it says whose the token is that it finds.
PROGRAM = """#!/bin/sh
echo "started as $MATRIX_USER_ID: $*"
trap 'echo ended; exit 0' TERM
while :; do sleep 1; done
"""


class Fleet:
    """What lies on EFS, and the homeserver's task on it."""

    def __init__(self, dir):
        self.dir = str(dir)
        self.port, self.events = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.efs = {name: os.path.join(self.dir, name)
                    for name in ("conduit", "muster", "runtime", "workspaces")}
        for path in self.efs.values():
            os.mkdir(path, 0o755)
        self.values = os.path.join(self.dir, "values.env")
        self._write_values()
        self.moved = [("6167", str(self.port)), ("29400", str(self.events)),
                      ("/dev/shm", self.dir),
                      # This one may be built without the other.
                      ("rocksdb", "sqlite")]
        self._write_fleet()
        self.tasks = 0

    def _write_values(self):
        """example.env, for the example fleet and one of its agents."""
        ours = {**VALUES, "SERVER_NAME": SERVER, "PUBLIC_URL": self.url,
                "AGENT": AGENT, "AGENT_NAME": AGENT.replace(".", "_"),
                "AGENT_DEPARTMENT": DEPARTMENT}
        with open(self.values, "w", encoding="utf-8") as f:
            f.writelines(f"{k}={v}\n" for k, v in ours.items())

    def _write_fleet(self):
        for name in ("org.json", "config.yaml"):
            shutil.copy(os.path.join(TOP, "examples", "fleet", name),
                        self.efs["muster"])
        shutil.copy(os.path.join(FOLDER, "muster.yaml"), self.efs["muster"])

    def task(self, name, volumes, programs, **more):
        self.tasks += 1
        dir = os.path.join(self.dir, f"task{self.tasks}")
        os.mkdir(dir)
        return Task(read(name, self.values), dir, volumes, SECRETS, programs,
                    self.moved, **more)

    def homeserver(self):
        return self.task(
            "homeserver.json", self.efs,
            {"conduit": conduit.binary(), "muster": binary()},
            image_variables=OF_THE_IMAGE)

    def handoff(self):
        """What an agent's access point shows."""
        return os.path.join(self.efs["runtime"], DEPARTMENT, AGENT)

    def registration(self):
        with open(os.path.join(self.efs["muster"], "registration.yaml"),
                  encoding="utf-8") as f:
            return dict(re.findall(r"^(\w+_token): *\"?(\w+)", f.read(), re.M))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    return Fleet(tmp_path_factory.mktemp("efs"))


@pytest.fixture(scope="module")
def up(fleet):
    """(fleet, task): started in its order, and healthy."""
    task = fleet.homeserver()
    try:
        task.start()
        muster = task.containers["muster"]
        muster.wait_for(muster.healthy, 120, "its health check passes")
        yield fleet, task
        task.stop()
        task.assert_no_findings()
    finally:
        task.kill()


def agents(fleet):
    """{user: state}, by the hand-off's own files."""
    return os.listdir(fleet.handoff())


def test_the_pair_comes_up_by_itself(up):
    fleet, task = up
    said = task.output()
    assert list(task.containers) == ["conduit", "register", "muster"]
    assert "the homeserver takes our token" in said["register"]
    assert task.containers["register"].exit_codes == [0]
    # The first account is the one of the secret, by its password.
    human = Client(fleet.url).login(HUMAN, PASSWORD)
    assert human.resolve(f"#admins:{SERVER}")
    assert os.path.exists(os.path.join(fleet.handoff(), "matrix.json"))
    assert os.path.exists(os.path.join(fleet.efs["muster"], "muster.db"))
    assert stat.S_IMODE(os.stat(os.path.join(
        fleet.efs["muster"], "registration.yaml")).st_mode) == 0o600


def test_nobody_registers_without_the_token(up):
    fleet, _ = up
    got = Client(fleet.url).call(
        "POST", "/_matrix/client/v3/register",
        {"username": "stranger", "password": "x",
         "auth": {"type": "m.login.dummy"}})
    assert got.status != 200, got


def test_a_web_client_stays_where_it_was_sent(up):
    fleet, _ = up
    got = Client(fleet.url).call("GET", "/.well-known/matrix/client")
    assert got.body["m.homeserver"]["base_url"].rstrip("/") == fleet.url


def assert_no_secret(task, *more):
    for name, text in task.output().items():
        for secret in (PASSWORD, TOKEN, *more):
            assert secret not in text, f"{name} has {secret}"


def test_no_secret_is_logged(up):
    fleet, task = up
    assert_no_secret(task, *fleet.registration().values())


def test_entry_point(up, tmp_path):
    """muster-agent as process 1 of the agent's container."""
    fleet, _ = up
    work = os.path.join(fleet.efs["workspaces"], AGENT)
    os.mkdir(work)
    with open(os.path.join(work, "openclaw.json"), "w",
              encoding="utf-8") as f:
        json.dump({"channels": {"matrix": {"enabled": True}}}, f)
    program = tmp_path / "openclaw"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    task = fleet.task(
        "agent.json", {"handoff": fleet.handoff(), "workspace": work},
        {"muster-agent": binary("muster-agent"), "openclaw": str(program)})
    agent = task.containers["agent"]
    try:
        task.start()
        agent.wait_for(
            lambda: f"started as @{AGENT}:{SERVER}: gateway run"
            in agent.output(), 60, "the program runs")
        wait_until(lambda: "ack.1.json" in agents(fleet), 20,
                   "the acknowledgement")
        assert task.stop() == {"agent": 0}
        assert "ended" in agent.output()
    finally:
        task.kill()
    assert_no_secret(task, token(fleet))
    with open(os.path.join(task.dir, ".openclaw", "muster", "matrix.json"),
              encoding="utf-8") as f:
        assert json.load(f)["accessToken"] == token(fleet)


def token(fleet):
    with open(os.path.join(fleet.handoff(), "matrix.json"),
              encoding="utf-8") as f:
        return json.load(f)["access_token"]


def test_init_container(up, tmp_path):
    """The token is there before the program starts, which sees nothing of the
    hand-off."""
    fleet, _ = up
    volume = tmp_path / "token"
    volume.mkdir(0o700)
    task = fleet.task(
        "agent-init.json", {"handoff": fleet.handoff(), "token": volume},
        {"muster-agent": binary("muster-agent"), "python3": sys.executable},
        cwd=os.path.join(TOP, "examples", "agent"),
        more={"PYTHONUNBUFFERED": "1"})
    agent = task.containers["agent"]
    try:
        task.start()
        assert task.containers["token"].exit_codes == [0]
        assert (volume / "access_token").read_text() == token(fleet) + "\n"
        assert "handoff" not in json.dumps(agent.definition)
        agent.wait_for(
            lambda: f"@{AGENT}:{SERVER} is listening" in agent.output(), 60,
            "it has synced with its token")
        assert task.stop() == {"agent": 0}
    finally:
        task.kill()
    assert_no_secret(task, token(fleet))


# The last: it ends what the others share.


def test_again_on_the_same_disk(up):
    """A deployment: everything ends in the other order, and comes up again
    with what lies there. Nothing is made twice."""
    fleet, task = up
    before = token(fleet), fleet.registration()
    codes = task.stop()
    assert list(codes) == ["muster", "conduit"]
    assert codes["muster"] == 0
    second = fleet.homeserver()
    try:
        second.start()
        muster = second.containers["muster"]
        muster.wait_for(muster.healthy, 120, "its health check passes")
        assert "nothing to do" in second.containers["register"].output()
        assert (token(fleet), fleet.registration()) == before
        assert Client(fleet.url, token(fleet)).call(
            "GET", "/_matrix/client/v3/account/whoami").status == 200
        # Conduit goes on when muster has gone, and does not tell the token of
        # the events that it cannot deliver now.
        assert muster.stop(30) == 0
        human = Client(fleet.url).login(HUMAN, PASSWORD)
        room = human.resolve(f"#all-employees:{SERVER}")
        human.join(room)
        human.send(room, "is anybody there?")
        second.stop()
        assert_no_secret(second, *before[1].values())
        second.assert_no_findings()
    finally:
        second.kill()


def test_conduit_runs_on_when_the_files_are_wrong(tmp_path):
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    fleet = Fleet(tmp_path)
    os.unlink(os.path.join(fleet.efs["muster"], "org.json"))
    task = fleet.homeserver()
    try:
        task.start()
        assert task.containers["register"].exit_codes == [2]
        assert task.containers["muster"].wait_exit(20) == 2
        assert "org.json" in task.containers["muster"].output()
        assert task.containers["conduit"].healthy()
        assert list(task.stop()) == ["conduit"]
    finally:
        task.kill()
