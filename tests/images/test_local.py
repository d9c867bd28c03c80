"""examples/local: each service's command, as docker-compose.yml has it, run
without containers on the real Conduit; and docker-compose.yml as its parser
reads it."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest
import yaml

from support import conduit
from support.client import Client, answers
from support.muster import TOP, binary
from support.process import Daemon, environment, free_port, wait_until

LOCAL = os.path.join(TOP, "examples", "local")
CEO = "@philippa.tidewater:fleet.example"
OTHERS = {"conduit", "element"}  # their images are others'


def compose():
    with open(os.path.join(TOP, "docker-compose.yml"), encoding="utf-8") as f:
        return yaml.safe_load(f)["services"]


def here(path):
    """A path of the containers as one of this tree."""
    return path.replace("/examples/", os.path.join(TOP, "examples/"))


def command_of(service):
    """What a container runs, here; those of other images have a script of
    that name."""
    service, name = compose()[service], service
    if name in OTHERS:
        return ["sh", os.path.join(LOCAL, f"{name}.sh")]
    return [here(w) for w in service["entrypoint"] + service["command"]]


# Programs for the other architecture, as `make test` builds them, and what runs
# them.
ARM64 = os.path.join(TOP, "build", "static-arm64")
QEMU = shutil.which("qemu-aarch64-static")


def link(path, target):
    os.symlink(os.path.abspath(target), path)


def emulate(path, target):
    with open(path, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\nexec {QEMU} '{target}' \"$@\"\n")
    os.chmod(path, 0o755)


class Local:
    """All of it, in a folder."""

    def __init__(self, dir, arm64=False):
        self.dir = str(dir)
        self.bin = os.path.join(self.dir, "bin")
        os.makedirs(self.bin)
        for name in ("muster", "muster-agent"):
            path = os.path.join(self.bin, name)
            if arm64:
                emulate(path, os.path.join(ARM64, name))
            else:
                link(path, binary(name))
        link(os.path.join(self.bin, "conduit"), conduit.binary())
        self.web = os.path.join(self.dir, "element-web")
        os.makedirs(self.web)
        with open(os.path.join(self.web, "index.html"), "w") as f:
            f.write("Element")
        self.ports = [free_port() for _ in range(3)]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.daemons = {}

    def environment(self):
        return environment(
            STATE=os.path.join(self.dir, "state"), ELEMENT_WEB=self.web,
            HOMESERVER_PORT=self.ports[0], APPSERVICE_PORT=self.ports[1],
            ELEMENT_PORT=self.ports[2],
            PATH=f"{self.bin}:{os.environ['PATH']}")

    def path(self, *parts):
        return os.path.join(self.dir, "state", *parts)

    def once(self, service):
        done = subprocess.run(
            command_of(service), env=self.environment(), cwd=self.dir,
            capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, service):
        daemon = self.daemons.setdefault(service, Daemon(
            service, os.path.join(self.dir, f"{service}.log")))
        daemon.launch(command_of(service), env=self.environment(),
                      cwd=self.dir)
        return daemon

    def muster(self, *words):
        done = subprocess.run(
            ["muster", "-c", os.path.join(LOCAL, "muster.yaml"), *words],
            env={**self.environment(),
                 "MUSTER_OPS_SOCKET": self.path("muster.sock"),
                 "MUSTER_STORE_PATH": self.path("muster.db")},
            capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    def up(self, agents):
        """muster before the homeserver: it waits for that by itself."""
        self.once("secrets")
        service = self.start("muster")
        self.start("conduit").wait_for(lambda: answers(self.url), 30,
                                       "it answers")
        service.wait_for(lambda: self.muster("healthcheck")[0] == 0, 60,
                         "it is ready")
        for name in agents:
            self.start(name)
        self.start("element")
        wait_until(lambda: all(
            self.states()[n] == "acknowledged" for n in agents), 60,
            "the agents have their tokens")

    def states(self):
        rows = json.loads(self.muster("agents", "--json")[1])
        return {service_name(r["user_id"]): r["state"] for r in rows}

    def down(self):
        for name in [n for n in self.daemons if n not in
                     ("muster", "conduit")] + ["muster", "conduit"]:
            if name in self.daemons:
                self.daemons[name].stop(bound=40)

    def kill(self):
        for daemon in self.daemons.values():
            daemon.kill()


def service_name(user_id):
    name = user_id[1:].split(":")[0].replace(".", "-")
    return "agent" if name == "adaeze-eriksen" else name


def agents():
    return [n for n, s in compose().items()
            if here(s.get("entrypoint", [""])[-1]).endswith("/agent.sh")]


@pytest.fixture(params=["here", "arm64"])
def local(request, tmp_path):
    """With the programs under test, and with those for arm64 under
    qemu-user."""
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    arm64 = request.param == "arm64"
    if arm64 and not (QEMU and all(
            os.path.exists(os.path.join(ARM64, n))
            for n in ("muster", "muster-agent"))):
        pytest.skip("scripts/static.sh arm64 muster muster-agent was not run")
    local = Local(tmp_path, arm64)
    yield local
    local.kill()


def asks(local, text):
    """The human, with the password of the file that `welcome` names, asks in
    the room for everyone; who answered."""
    said = local.once("welcome")
    assert f"http://127.0.0.1:{local.ports[2]}" in said
    with open(re.search(r"in the file (.+?)(,|$)", said, re.M)[1],
              encoding="ascii") as f:
        human = Client(local.url).login("philippa.tidewater", f.read().strip())
    try:
        room = human.resolve("#all-employees:fleet.example")
        human.join(room)
        human.send(room, text)

        def answered():
            found = set()
            for e in human.messages(room, 100):
                if e["content"].get("body") == text:
                    return found
                if e["content"].get("msgtype") == "m.notice":
                    found.add(e["sender"])
            return found
        return wait_until(lambda: len(answered()) == 10 and answered(), 60,
                          "ten agents answer")
    finally:
        human.post("/_matrix/client/v3/logout")


def test_the_commands_of_compose_without_containers(local):
    names = agents()
    assert len(names) == 10
    local.up(names)
    assert set(local.states()) == set(names)
    wait_until(lambda: all("is listening" in local.daemons[n].output()
                           for n in names), 60, "they listen")
    first = asks(local, "Who is here?")
    assert len(first) == 10 and CEO not in first
    # Nobody makes an account without the token, and no log has one.
    got = Client(local.url).call(
        "POST", "/_matrix/client/v3/register",
        {"username": "eve", "password": "x" * 20,
         "auth": {"type": "m.login.dummy"}})
    assert got.status == 401
    assert_no_token_said(local)
    # Element is told where to go.
    at = f"http://127.0.0.1:{local.ports[2]}/config.json"
    with urllib.request.urlopen(at, timeout=10) as answer:
        server = json.load(answer)["default_server_config"]["m.homeserver"]
    assert server == {"base_url": local.url, "server_name": "fleet.example"}
    got = Client(local.url).call("GET", "/.well-known/matrix/client")
    assert got.body["m.homeserver"]["base_url"].rstrip("/") == local.url
    # Down and up again keeps everything.
    before = json.loads(local.muster("rooms", "--json")[1])
    with open(local.path("secrets", "registration-token")) as f:
        token = f.read()
    local.down()
    for name in names + ["element"]:
        local.daemons.pop(name)
    local.up(names)
    with open(local.path("secrets", "registration-token")) as f:
        assert f.read() == token
    rooms = {r["room_id"] for r in before}
    assert rooms == {r["room_id"] for r in json.loads(
        local.muster("rooms", "--json")[1])}
    assert "already registered" in local.daemons["muster"].output()
    generations = [r["generation"] for r in json.loads(
        local.muster("agents", "--json")[1])]
    assert generations == [1] * 10
    wait_until(lambda: all(
        local.daemons[n].output().count("is listening") == 2
        for n in names), 60, "they listen again")
    assert asks(local, "And now?") == first
    local.down()


def assert_no_token_said(local):
    with open(local.path("registration.yaml"), encoding="utf-8") as f:
        reg = yaml.safe_load(f)
    with open(local.path("secrets", "registration-token")) as f:
        secrets = [f.read(), reg["as_token"], reg["hs_token"]]
    with open(local.path("secrets", "human-password")) as f:
        secrets.append(f.read().strip())
    assert all(len(s) > 10 for s in secrets)
    for daemon in local.daemons.values():
        for secret in secrets:
            assert secret not in daemon.output(), daemon.name


def test_secrets_are_private_and_made_once(tmp_path):
    env = environment(STATE=str(tmp_path))
    made = []
    for _ in range(2):
        subprocess.run(command_of("secrets"), env=env, check=True, timeout=30)
        for name in ("secrets/registration-token", "conduit/conduit.toml"):
            assert os.stat(tmp_path / name).st_mode & 0o777 == 0o600
            made.append((tmp_path / name).read_text())
    assert made[:2] == made[2:]
    assert re.fullmatch(r"[0-9a-f]{48}", made[0])
    assert made[1] == f'[global]\nregistration_token = "{made[0]}"\n'


def test_compose_is_what_its_parser_takes(tmp_path):
    """podman-compose; all that it asks of podman here is its version."""
    (tmp_path / "podman").write_text("#!/bin/sh\necho podman version 4.3.1\n")
    (tmp_path / "podman").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "podman_compose", "--profile", "fleet",
         "config"], cwd=TOP, capture_output=True, text=True, timeout=60,
        env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"), check=False)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == set(compose())
    for name, service in services.items():
        waits = service.get("depends_on", {})
        if name not in ("secrets", "conduit", "muster"):
            assert waits["muster"]["condition"] == "service_healthy", name
        if name not in OTHERS:
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
        if name in agents() or name == "muster":
            assert "runtime:/runtime" in service["volumes"], name
    assert [n for n, s in services.items()
            if "conduit-config:" in str(s["volumes"])] == [
                n for n in services if n in ("conduit", "secrets")]
    # `secrets`, whose image has the folder, must be the first to have it.
    assert services["conduit"]["attach"] is False
    assert services["muster"]["healthcheck"]["test"] == [
        "CMD", "muster", "healthcheck"]
    # Where its condition is not looked at, it fails until muster is ready.
    assert services["welcome"]["restart"] == "on-failure"
    # One agent by default, and all with the profile.
    assert [n for n in agents() if "profiles" not in services[n]] == ["agent"]


def test_what_compose_mounts_is_there():
    for name, service in compose().items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert os.path.exists(os.path.join(TOP, source)), name


def test_targets_of_the_images():
    with open(os.path.join(TOP, "Dockerfile"), encoding="utf-8") as f:
        targets = re.findall(r"^FROM .* AS (\S+)$", f.read(), re.M)
    wanted = {s["build"]["target"] for s in compose().values()
              if "build" in s}
    assert wanted <= set(targets)
    assert {"muster", "muster-agent"} <= set(targets)


def test_each_image_is_built_once():
    """Services that build one image do it all at one time, and some builders
    then refuse the second: "already exists". Nobody looks for it elsewhere."""
    services = {n: s for n, s in compose().items() if n not in OTHERS}
    builders = {s["image"]: n for n, s in services.items() if "build" in s}
    assert sorted(s["image"] for s in services.values() if "build" in s) == (
        sorted({s["image"] for s in services.values()}))
    # By services that run whatever is chosen, and by default.
    assert builders == {"muster": "secrets", "muster-example-agent": "agent"}
    for name, service in services.items():
        assert service["pull_policy"] == "never", name


def test_an_end_takes_as_long_as_it_needs():
    """Conduit lets requests end for 30 s, muster what runs for 7 s; without a
    word of ours it is 10 s with one engine, and none at all with another."""
    seconds = {"30s": 30, "1m": 60}
    grace = {n: seconds[s["stop_grace_period"]]
             for n, s in compose().items() if n != "element"}
    assert grace["conduit"] > 30
    assert all(g > 10 for g in grace.values())


def test_pages_say_where_the_profile_stands():
    """Before the verb; and `down` without it leaves nine agents running."""
    for page in ("README.md", "docker-compose.yml", "examples/local/README.md"):
        with open(os.path.join(TOP, page), encoding="utf-8") as f:
            said = re.findall(r"(docker compose )?--profile fleet(?: (\w+))?",
                              f.read())
        assert said == [("docker compose ", "up"),
                        ("docker compose ", "down")], page
