"""`make demo`: what scripts/demo.py shows, and that each of its failures ends
in one sentence."""

import os
import re
import signal
import subprocess
import sys
import threading
import uuid

import pytest

from support import conduit
from support.client import Client
from support.fakehs import FakeHS
from support.fleet import KINDS
from support.muster import FINDINGS, TOP
from support.process import (
    PATIENCE, environment, free_port, wait_until)
from support.tls import TlsFront

SERVER = "fleet.example"
# A human who was named: made where there is none yet.
NAMED = {"HOMESERVER_NAME": SERVER,
         "MUSTER_HOMESERVER_ADMIN_USER": "philippa.tidewater"}


class Demo:
    """scripts/demo.py in a folder of the test's, as `make demo` starts it."""

    def __init__(self, dir, read_until=None, **env):
        """`read_until`: nobody reads on behind a line with this."""
        self.dir = str(dir)
        self.read_until = read_until
        self.mark = "DEMO_TEST=" + uuid.uuid4().hex
        name, value = self.mark.split("=")
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(TOP, "scripts", "demo.py"),
             self.dir], env=environment(**{name: value}, **env), cwd=TOP,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self.read_until and self.read_until in line:
                self.process.stdout.close()
                return

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_line(self, part, bound=60):
        def said():
            assert self.process.poll() is None or part in self.output, (
                self.output)
            return part in self.output
        wait_until(said, bound, f"the demonstration says {part}", every=0.01)

    def end(self, bound=60):
        """Its exit status; with it everything that it started is gone."""
        try:
            status = self.process.wait(bound * PATIENCE)
            self.reader.join()
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"it still runs after {bound} s:\n{self.output}") from None
        assert self.children() == {}, self.output
        return status

    def children(self):
        """{pid: name} of all that have its mark in their environment."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if self.mark.encode() not in f.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                    found[int(pid)] = f.read().strip()
            except OSError:
                pass
        return found

    def kill_homeserver(self, name="conduit"):
        pid, = (pid for pid, comm in self.children().items() if comm == name)
        os.kill(pid, signal.SIGKILL)

    def assert_failed(self, *words, bound=60):
        """It ended badly, and its last line is a sentence with these."""
        assert self.end(bound) == 1, self.output
        assert "Traceback" not in self.output, self.output
        last = self.lines[-1]
        assert last.startswith("The demonstration failed. "), self.output
        assert last.endswith("."), self.output
        for word in words:
            assert word in last, self.output

    def close(self):
        for pid in self.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


@pytest.fixture
def demo(tmp_path):
    """demo(**environment) starts it; whatever is left of it is ended."""
    made = []

    def start(**env):
        made.append(Demo(tmp_path / "demo", **env))
        return made[-1]
    yield start
    for one in made:
        one.close()


@pytest.fixture
def with_conduit():
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")


def checkout():
    """{path: (time, size)} of all that is no build's."""
    found = {}
    for folder, folders, names in os.walk(TOP):
        folders[:] = [f for f in folders if f not in (
            "__pycache__", ".git", "build")]
        for name in names:
            path = os.path.join(folder, name)
            at = os.lstat(path)
            found[path] = (at.st_mtime_ns, at.st_size)
    return found


def assert_no_findings(dir):
    """No sanitizer complained in any log."""
    for folder, _, names in os.walk(dir):
        for name in names:
            if name.endswith(".log"):
                with open(os.path.join(folder, name), encoding="utf-8",
                          errors="replace") as f:
                    assert not FINDINGS.search(f.read()), name


def environment_for(kind, tmp_path):
    """Where there is this homeserver and no other; a setting that is meant
    for another muster is of no consequence."""
    elsewhere = {"MUSTER_HOMESERVER_URL": "http://127.0.0.1:1",
                 "MUSTER_HOMESERVER_ADMIN_USER": "somebody"}
    if kind == "synapse":
        (tmp_path / "bin").mkdir()
        return {**elsewhere, "PATH": str(tmp_path / "bin")}
    if not conduit.binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    return {**elsewhere, "CONDUIT_BIN": conduit.binary()}


@pytest.mark.parametrize("kind", KINDS)
def test_demo(demo, kind, tmp_path):
    before = checkout()
    shown = demo(**environment_for(kind, tmp_path))
    assert shown.end(bound=240) == 0, shown.output
    assert "   10 of 10 agents answered, @adaeze.eriksen:fleet.example in " \
        "private as well" in shown.lines
    assert "     nothing to do: everything is as declared" in shown.lines
    assert "   muster serve ended with 0" in shown.lines
    assert shown.lines[-1] == (
        "That was it: agents with accounts, rooms and tokens. The only "
        "password that anybody knows is the human's.")
    told = [line for line in shown.lines
            if "app_service_config_files" in line]
    assert len(told) == (kind == "synapse"), told
    assert_no_findings(tmp_path)
    assert checkout() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays(demo, with_conduit, number, tmp_path):
    """KEEP=1: until the signal, and then it ends as it does without."""
    shown = demo(KEEP="1")
    shown.wait_line("by hand     build/muster -c")
    names = sorted(shown.children().values())
    assert names.count("muster-agent") == 10, names
    assert "conduit" in names and "muster" in names
    url, = re.findall(r"homeserver  (http://\S+) \(fleet", shown.output)
    password, = re.findall(
        r"log in as   philippa.tidewater, the password is in (\S+)",
        shown.output)
    with open(password, encoding="ascii") as f:
        Client(url).login("philippa.tidewater", f.read().strip())
    shown.process.send_signal(number)
    assert shown.end() == 0, shown.output
    assert "   muster serve ended with 0" in shown.lines
    assert_no_findings(tmp_path)


@pytest.mark.parametrize("point", ["== A homeserver", "== The service"])
def test_interrupted(demo, with_conduit, point):
    shown = demo()
    shown.wait_line(point)
    shown.process.send_signal(signal.SIGINT)
    shown.assert_failed("Interrupted")


def test_nobody_reads_on(demo, with_conduit):
    """As in `make demo | head`: it ends all the same, and so does all that
    it has started."""
    assert demo(read_until="== The service").end() == 1


@pytest.fixture
def tls(tmp_path_factory):
    """tls(port): TLS in front of it."""
    made = []

    def front(port):
        made.append(TlsFront(port, tmp_path_factory.mktemp("tls")))
        return made[-1]
    yield front
    for one in made:
        one.close()


def test_https(demo, tls, with_conduit, tmp_path_factory):
    """All of it, through TLS; but the agents, who have no file for an
    authority."""
    hs = conduit.Conduit(SERVER, tmp_path_factory.mktemp("hs")).start()
    try:
        front = tls(hs.port)
        shown = demo(**NAMED, HOMESERVER_URL=front.url,
                     MUSTER_HOMESERVER_CA_FILE=os.path.relpath(
                         front.ca_file, TOP),
                     MUSTER_HOMESERVER_PUBLIC_URL=hs.url)
        assert shown.end() == 0, shown.output
        assert "10 of 10 agents answered" in shown.output
    finally:
        hs.kill()


def test_conduit_in_use(demo, with_conduit, tmp_path_factory):
    """Its administrator registers and asks; nobody else is made who is no
    agent."""
    hs = conduit.Conduit(SERVER, tmp_path_factory.mktemp("hs")).start()
    try:
        operator = hs.admin
        shown = demo(HOMESERVER_URL=hs.url, HOMESERVER_NAME=SERVER,
                     MUSTER_HOMESERVER_ADMIN_USER=operator.user_id,
                     MUSTER_HOMESERVER_ADMIN_PASSWORD=conduit.ADMIN_PASSWORD)
        assert shown.end() == 0, shown.output
        assert f"{operator.user_id} asks: Who is here?" in shown.output
        assert "10 of 10 agents answered" in shown.output
        assert conduit.ADMIN_PASSWORD not in shown.output
        assert operator.get("/register/available",
                            username="philippa.tidewater").status == 200
        assert operator.joined_members(operator.resolve(
            f"#admins:{SERVER}")) == {operator.user_id, f"@conduit:{SERVER}"}
    finally:
        hs.kill()


# -- failures


@pytest.mark.parametrize("url", [
    "127.0.0.1:6167", "localhost", "ftp://127.0.0.1", "http://",
    "http://127.0.0.1:port", "http://[::1"])
def test_no_url(demo, url, tmp_path):
    demo(HOMESERVER_URL=url).assert_failed(url, "http://HOST:PORT")
    assert os.listdir(tmp_path) == []


def test_nobody_answers(demo, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    demo(**NAMED, HOMESERVER_URL=url).assert_failed(url, "start it")
    assert os.listdir(tmp_path) == []


def test_nobody_is_named(demo, tmp_path):
    """Then nobody is made, and nothing asked."""
    hs = FakeHS(SERVER, "conduit").start()
    try:
        demo(HOMESERVER_URL=hs.url, HOMESERVER_NAME=SERVER).assert_failed(
            hs.url, "MUSTER_HOMESERVER_ADMIN_USER",
            "MUSTER_HOMESERVER_ADMIN_PASSWORD")
        assert hs.requests == []
    finally:
        hs.stop()
    assert os.listdir(tmp_path) == []


def test_it_does_not_say_its_name(demo, tmp_path):
    hs = FakeHS(SERVER, "conduit").start()
    try:
        demo(HOMESERVER_URL=hs.url,
             MUSTER_HOMESERVER_ADMIN_USER="operator").assert_failed(
            hs.url, "HOMESERVER_NAME")
    finally:
        hs.stop()
    assert os.listdir(tmp_path) == []


def test_wrong_password(demo):
    hs = FakeHS(SERVER, "conduit").start()
    try:
        hs.operator()
        demo(HOMESERVER_URL=hs.url, HOMESERVER_NAME=SERVER,
             MUSTER_HOMESERVER_ADMIN_USER="operator",
             MUSTER_HOMESERVER_ADMIN_PASSWORD="wrong").assert_failed(
            "`muster register` ended with 1", "password", "operator")
        assert set(hs.world.users) == {
            f"@{name}:{SERVER}" for name in ("operator", "conduit")}
    finally:
        hs.stop()


def test_something_else_answers(demo, tmp_path):
    hs = FakeHS(SERVER, "conduit").start()
    try:
        demo(**NAMED, HOMESERVER_URL=hs.url + "/matrix").assert_failed(
            "/matrix", "404", "correct the address")
    finally:
        hs.stop()
    assert os.listdir(tmp_path) == []


def test_unknown_authority(demo, tls, tmp_path):
    hs = FakeHS(SERVER, "conduit").start()
    try:
        front = tls(hs.port)
        demo(**NAMED, HOMESERVER_URL=front.url).assert_failed(
            front.url, "certificate authorities", "update-ca-certificates")
        demo(**NAMED, HOMESERVER_URL=front.url,
             MUSTER_HOMESERVER_CA_FILE=front.ca_file).assert_failed(
            "The agents trust", front.url, "MUSTER_HOMESERVER_PUBLIC_URL")
    finally:
        hs.stop()
    assert os.listdir(tmp_path) == []


def test_it_runs_already(demo, tmp_path, with_conduit):
    first = demo(KEEP="1")
    first.wait_line("== A homeserver")
    demo(KEEP="1").assert_failed("runs already", str(tmp_path / "demo"))
    assert first.process.poll() is None
    first.process.send_signal(signal.SIGTERM)
    first.assert_failed("Interrupted")


@pytest.mark.parametrize("point", [
    "== The service", "== One small agent", "== A human asks",
    "asks: Who is here?"])
def test_homeserver_is_killed(demo, tmp_path, with_conduit, point):
    """In the middle: it is noticed at once, and its log is named."""
    shown = demo()
    shown.wait_line(point)
    shown.kill_homeserver()
    shown.assert_failed("homeserver", str(tmp_path / "demo/hs/conduit.log"),
                        bound=20)
    assert "muster serve ended with 0" in shown.output


def test_given_homeserver_goes_away(demo):
    """One that is not ours: nothing but its silence tells."""
    hs = FakeHS(SERVER, "conduit").start()
    try:
        hs.on_request(lambda index, phase, *_: index == 20 and (
            threading.Thread(target=hs.stop).start()))
        shown = demo(**NAMED, HOMESERVER_URL=hs.url)
        shown.assert_failed(hs.url, "does not answer any more", "start it",
                            bound=30)
    finally:
        hs.stop()
    assert hs.errors == []
