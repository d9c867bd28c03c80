"""The program under test: its configuration in a folder of its own, its verbs,
its service, and what it leaves behind."""

import copy
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

import yaml

from support import printed
from support.process import Daemon, environment, free_port, wait_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# What a sanitizer says when it has found something.
FINDINGS = re.compile(
    r"ERROR: (?:Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer"
    r"|runtime error: ")

# Seconds in which a file may change and look the same.
SETTLES = 2.1


def binary(name="muster"):
    variable = name.upper().replace("-", "_") + "_BIN"
    return os.path.abspath(
        os.environ.get(variable) or os.path.join(TOP, "build", name))


def person(localpart, level, team=None, manager=None,
           department="Engineering", server="fleet.test", name=None):
    """One of an organisation, as org.json has them."""
    def full(local):
        return local and f"@{local}:{server}"
    return {"name": name or localpart.replace(".", " ").title(),
            "title": level, "level": level, "department": department,
            "team": team, "matrixId": full(localpart),
            "reportsTo": full(manager), "directReports": []}


def small_org(server="fleet.test"):
    """A human and six agents: two departments, two teams, every level."""
    def one(*args, **more):
        return person(*args, server=server, **more)
    return {"departments": [], "people": [
        one("carla.ceo", "CEO", department="Executive"),
        one("vera.vp", "VP", manager="carla.ceo"),
        one("dirk.dir", "Director", "Platform", "vera.vp"),
        one("mona.man", "Manager", "Platform", "dirk.dir"),
        one("ian.ic", "IC", "Platform", "mona.man"),
        one("iris.ic", "IC", "Platform", "mona.man"),
        one("sam.sales", "VP", "Field Sales", "carla.ceo",
            department="Sales")]}


def reference_fleet():
    """The folder of the reference fleet's files, or None."""
    return os.environ.get("MUSTER_FIXTURES")


def merged(base, over):
    """base with over's keys laid over it, level by level."""
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


class _Socket(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("muster", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Result:
    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<exit {self.code}\n{self.out}\n{self.err}>"


def _token_of(path):
    """That of a hand-off, which a test may have broken; None."""
    if not os.path.isfile(path):  # a pipe has no end
        return None
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f).get("access_token")
    except (OSError, ValueError, AttributeError):
        return None


class Muster:
    """A folder with a muster.yaml, and the program run on it."""

    def __init__(self, dir, homeserver, /, org=None, fleet=None, **settings):
        """`homeserver` has url and server_name. The fleet is `org`, by
        default small_org(), or what `fleet` (the section of that name) says;
        `settings` are laid over the rest: reconcile={"interval": "1s"}."""
        self.dir = str(dir)
        os.makedirs(self.dir, exist_ok=True)
        self.server_name = homeserver.server_name
        self.port = free_port()
        self.env = {}  # more of it for every run
        self._results = []
        self.daemon = Daemon("muster serve", self.path("serve.log"))
        if fleet is None:
            self.write_org(org or small_org(self.server_name))
            fleet = {"org": "org.json"}
        listen = f"127.0.0.1:{self.port}"
        self.config = merged({
            "homeserver": {"url": homeserver.url,
                           "server_name": homeserver.server_name},
            "appservice": {"listen": listen, "url": f"http://{listen}"},
            "fleet": fleet}, settings)
        if homeserver.kind in ("conduit", "tuwunel"):
            self.config["homeserver"].setdefault("admin", {
                "user": "operator",
                "password": {"file": "secrets/admin-password"}})
            self.write("secrets/admin-password", "operators-password")
        self.write_config()

    # -- files

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def write_org(self, org):
        self.org = org
        self.write("org.json", json.dumps(org, indent=1))

    def write_config(self, **settings):
        """Lays these over the configuration and writes it."""
        self.config = merged(self.config, settings)
        self.write("muster.yaml", yaml.safe_dump(
            self.config, sort_keys=False, allow_unicode=True))

    def age(self):
        """Until a service that is started does not read its files again, as
        it does when they may have been written twice in one tick: that is a
        look at the agents' files, too."""
        newest = max(os.stat(path).st_ctime for path in [
            self.registration_path, *map(self.path, os.listdir(self.dir))])
        wait_until(lambda: time.time() > newest + SETTLES, 5,
                   "its files to be older")

    def without(self, *localparts):
        """The organisation without these people."""
        gone = {f"@{p}:{self.server_name}" for p in localparts}
        org = copy.deepcopy(self.org)
        org["people"] = [
            p for p in org["people"] if p["matrixId"] not in gone]
        return org

    def agents(self):
        """The localparts of everybody in the organisation but the CEO."""
        return [p["matrixId"][1:].split(":")[0] for p in self.org["people"]
                if p["level"] != "CEO"]

    def full_id(self, localpart):
        return f"@{localpart}:{self.server_name}"

    @property
    def registration(self):
        """What the registration file says."""
        return yaml.safe_load(self.read(
            self.config["appservice"].get("registration",
                                          "registration.yaml")))

    @property
    def registration_path(self):
        return self.path(self.config["appservice"].get(
            "registration", "registration.yaml"))

    # -- verbs

    def _environment(self):
        return environment(**self.env)

    def run(self, *words, timeout=60, expect=None, input=None):
        """A verb; `expect`: the exit status that it must have."""
        argv = [binary(), "-c", self.path("muster.yaml"), *words]
        try:
            done = subprocess.run(
                argv, env=self._environment(), cwd=self.dir, timeout=timeout,
                capture_output=True, text=True, errors="replace",
                input=input or "")
        except subprocess.TimeoutExpired as e:
            raise AssertionError(
                f"{words} took more than {timeout} s: {e.stdout} {e.stderr}"
            ) from None
        result = Result(done.returncode, done.stdout, done.stderr)
        self._results.append((words, result))
        if expect is not None:
            assert result.code == expect, f"{words}: {result}"
        return result

    def json(self, *words, timeout=60):
        """A verb's --json document."""
        result = self.run(*words, "--json", timeout=timeout)
        assert result.code in (0, 3), f"{words}: {result}"
        return result.json

    # -- the service

    def start(self, ready=True, bound=60):
        """`serve` in the background; by default until it is ready."""
        self.daemon.launch(
            [binary(), "-c", self.path("muster.yaml"), "serve"],
            env=self._environment(), cwd=self.dir)
        if ready:
            self.wait_ready(bound)
        return self

    def ask(self, path, method="GET", body=None):
        """(status, document) of the service's admin API, without starting a
        program; OSError when nobody answers. A body that is no text is sent
        as JSON."""
        conn = _Socket(self.path(
            self.config.get("ops", {}).get("socket", "muster.sock")), 20)
        try:
            conn.request(method, path, body if body is None or isinstance(
                body, str) else json.dumps(body))
            got = conn.getresponse()
            return got.status, json.loads(got.read())
        except http.client.HTTPException as e:
            raise OSError(str(e)) from e
        finally:
            conn.close()

    def wait_ready(self, bound=60):
        def ready():
            status = self.ask("/v1/status")[1]
            return status.get("ready") is True and status
        return self.daemon.wait_for(ready, bound, "it is ready")

    def wait_settled(self, bound=60):
        """Until what is, is what should be: ready, and no step in the plan.
        The last status."""
        status = self.wait_ready(bound)

        def settled():
            return self.ask("/v1/plan")[1].get("steps") == []
        self.daemon.wait_for(settled, bound, "the plan is empty")
        return status

    def running(self):
        return self.daemon.running()

    def stop(self, bound=20):
        """SIGTERM, and its exit status must be 0."""
        code = self.daemon.stop(bound)
        assert code in (None, 0), f"serve ended with {code}\n{self.tail()}"
        return code

    def kill(self):
        self.daemon.kill()

    def restart(self, ready=True):
        self.stop()
        return self.start(ready)

    def signal(self, number):
        self.daemon.signal(number)

    def reload(self, bound=40):
        """SIGHUP, and until the running service has read its files because of
        it: it reads files of which it finds out by itself, too, and young ones
        a second time."""
        because = '"why":"SIGHUP"'
        before = self.daemon.output().count(because)
        self.signal(signal.SIGHUP)
        self.daemon.wait_for(
            lambda: self.daemon.output().count(because) > before, bound,
            "it to be read")

    def tail(self, lines=40):
        return self.daemon.tail(lines)

    # -- what it leaves behind

    def query(self, sql, *values):
        """Rows of the store."""
        path = self.path(self.config.get("store", {}).get("path", "muster.db"))
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    @property
    def runtime(self):
        return self.path(self.config.get("handoff", {}).get("root", "runtime"))

    def runtime_dir(self, localpart):
        """Where the agent's files are; None when there is nothing yet. The
        directory of a department that it has left stays, empty."""
        found = None
        if not os.path.isdir(self.runtime):
            return None
        for department in sorted(os.listdir(self.runtime)):
            path = os.path.join(self.runtime, department, localpart)
            if os.path.exists(os.path.join(path, "matrix.json")):
                return path
            if os.path.isdir(path):
                found = found or path
        return found

    def handoff(self, localpart):
        """What was handed to an agent, or the tombstone that is there
        ("revoked_ms"), checked for being whole; or None."""
        folder = self.runtime_dir(localpart)
        try:
            with open(os.path.join(folder or "", "matrix.json"),
                      encoding="utf-8") as f:
                got = json.load(f)
        except FileNotFoundError:
            return None
        last = "revoked_ms" if "revoked_ms" in got else "access_token"
        parts = [str(got[k]) for k in ("generation", "user_id", "device_id",
                                       "homeserver", last)]
        digest = hashlib.sha256(
            "".join(p + "\n" for p in parts).encode()).hexdigest()
        assert got["sha256"] == digest, "a hand-off file that is not whole"
        return got

    def wait_handoff(self, localpart, generation=None, bound=60):
        def there():
            got = self.handoff(localpart)
            return got and "access_token" in got and generation in (
                None, got["generation"]) and got
        return wait_until(there, bound, f"a token for {localpart}")

    def handoff_names(self, localpart):
        folder = self.runtime_dir(localpart)
        return sorted(os.listdir(folder)) if folder else []

    def answer_as_agent(self, localpart, kind="ack", generation=None, of=None):
        """Writes what the agent's side writes: ack.<n>.json or
        paused.<n>.json, whole at once; `of`: the hand-off that it has."""
        got = of or self.handoff(localpart)
        generation = generation or got["generation"]
        path = os.path.join(
            self.runtime_dir(localpart), f"{kind}.{generation}.json")
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            json.dump({"generation": generation, "user_id": got["user_id"],
                       "device_id": got["device_id"], "at_ms": 1,
                       "agent": "test"}, f)
        os.rename(path + ".tmp", path)

    # -- everything it ever said

    def output(self):
        """All that any run printed."""
        parts = [self.daemon.output()]
        for words, result in self._results:
            parts += [f"$ muster {' '.join(words)}", result.out, result.err]
        return "\n".join(parts)

    def _registered(self):
        """The tokens of the registration file; a test may have broken it."""
        try:
            told = self.registration
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return set()
        return {told.get("as_token"), told.get("hs_token")} if isinstance(
            told, dict) else set()

    def secrets(self):
        """Every secret that it has now: what nothing may show."""
        found = self._registered()
        for folder, _, names in os.walk(self.path("secrets")):
            for name in names:
                found.add(self.read(os.path.join(folder, name)).strip())
        for folder, _, names in os.walk(self.runtime):
            if "matrix.json" in names:
                found.add(_token_of(os.path.join(folder, "matrix.json")))
        return {s for s in found if s and isinstance(s, str)}

    def assert_no_secret_shown(self, more=()):
        """Neither printed, nor in the store."""
        said = self.output()
        for secret in self.secrets() | set(more):
            assert secret not in said, f"printed: {secret[:6]}..."
        store = self.config.get("store", {}).get("path", "muster.db")
        for suffix in ("", "-wal"):
            if os.path.exists(self.path(store + suffix)):
                with open(self.path(store + suffix), "rb") as f:
                    kept = f.read()
                for secret in self.secrets() | set(more):
                    assert secret.encode() not in kept, (
                        f"in {store}{suffix}: {secret[:6]}...")

    def assert_no_findings(self):
        """No sanitizer complained."""
        found = FINDINGS.search(self.output())
        assert not found, self.output()[found.start():][:6000]

    def close(self):
        """The end of a test: whatever still runs ends, and its sanitizers
        had nothing to say."""
        try:
            printed.keep(*self.secrets())
            self.daemon.stop()
        finally:
            self.daemon.kill()
        self.assert_no_findings()
