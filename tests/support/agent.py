"""muster-agent as a container runs it: the real program, a runtime directory,
and a homeserver that knows one call, whoami.

The program comes from MUSTER_AGENT_BIN (default: build/muster-agent). The
hand-off files are made here, by the description of their format and not by the
code that is tested.
"""

import ctypes
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import threading
import time

from support import printed
from support.process import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENT = os.environ.get("MUSTER_AGENT_BIN", str(ROOT / "build/muster-agent"))
USER = "@aaron.phillips:anycompany.corp"
TOKEN = "syt_first_0123456789abcdef"
TOKEN2 = "syt_second_fedcba9876543210"
BOUND = 20 * PATIENCE  # seconds; what takes longer never comes


def until(condition, what="the condition"):
    """Waits until condition() is true, and gives what it returned."""
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {BOUND} s")


def signal_quietly(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def is_alive(pid):
    """Not gone, and not only unburied."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Homeserver:
    """Answers whoami for the tokens it knows."""

    def __init__(self):
        self.tokens = {TOKEN: (USER, "MUSTER"), TOKEN2: (USER, "MUSTER")}
        self.asked = []  # (path, token)
        self.at = []     # when
        self.retry_after = "0"
        self.awake = threading.Event()  # cleared: no answer until it is set
        self.awake.set()
        homeserver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                token = self.headers.get("Authorization", "")[7:]
                homeserver.at.append(time.monotonic())
                homeserver.asked.append((self.path, token))
                homeserver.awake.wait(BOUND)
                who = homeserver.tokens.get(token)
                if who is None:
                    self.answer(401, {"errcode": "M_UNKNOWN_TOKEN",
                                      "error": "Unknown access token."})
                elif isinstance(who, int):
                    self.answer(who, {"errcode": "M_UNKNOWN",
                                      "error": "scripted"})
                else:
                    body = {"user_id": who[0]}
                    if who[1] is not None:
                        body["device_id"] = who[1]
                    self.answer(200, body)

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", homeserver.retry_after)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server.daemon_threads = True
        self.server.server_bind()
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = None

    def start(self):
        """Until now connections are refused."""
        self.server.server_activate()
        self.thread = threading.Thread(
            target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        self.awake.set()
        if self.thread:
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


def document(url, generation=1, token=TOKEN, user=USER, device="MUSTER",
             **more):
    lines = [str(generation), user, device, url, token]
    digest = hashlib.sha256("".join(x + "\n" for x in lines).encode())
    return json.dumps({
        "muster": 1, "generation": generation, "user_id": user,
        "device_id": device, "homeserver": url, "access_token": token,
        "issued_ms": 1772000000000, "sha256": digest.hexdigest(), **more})


def tombstone(url, generation=1, revoked_ms=1772000000001):
    lines = [str(generation), USER, "MUSTER", url, str(revoked_ms)]
    digest = hashlib.sha256("".join(x + "\n" for x in lines).encode())
    return json.dumps({
        "muster": 1, "generation": generation, "user_id": USER,
        "device_id": "MUSTER", "homeserver": url, "revoked_ms": revoked_ms,
        "sha256": digest.hexdigest()})


REVOKED = "the token was revoked at 2026-02-25T06:13:20.001Z (generation 1)"


class Run:
    """One muster-agent and what it said."""

    def __init__(self, world, args, env, **popen):
        world.runs += 1
        self.out = world.tmp / f"out.{world.runs}"
        self.err = world.tmp / f"err.{world.runs}"
        printed.keep(TOKEN, TOKEN2)
        printed.follow(str(self.err))
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*popen.pop("before", []), popen.pop("binary", AGENT), *args],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                **popen)
        self.pid = self.process.pid

    def stderr(self):
        return self.err.read_text()

    def says(self, words):
        until(lambda: words in self.stderr(), f"{words!r} in {self.err}")

    def ends(self):
        return self.process.wait(BOUND)

    def send(self, sig):
        self.process.send_signal(sig)

    def children(self):
        """(pid, state) of the processes whose parent we are."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                text = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            state, parent = text.rpartition(")")[2].split()[:2]
            if int(parent) == self.pid:
                found.append((int(entry), state))
        return found


class World:
    def __init__(self, tmp):
        self.tmp = tmp
        self.runtime = tmp / "runtime" / "Research" / "aaron.phillips"
        self.scratch = tmp / "scratch"  # $TMPDIR of the agent
        self.scratch.mkdir()
        self.hs = Homeserver()
        self.runs = 0
        self.live = []

    def hand_off(self, text=None, **fields):
        """Replaces the file, as the service does."""
        self.runtime.mkdir(parents=True, exist_ok=True)
        new = self.runtime / ".new"
        new.write_text(text if text is not None
                       else document(fields.pop("url", self.hs.url), **fields))
        new.chmod(0o600)
        new.rename(self.runtime / "matrix.json")

    def run(self, *args, env=None, popen=None):
        full = {"PATH": os.environ["PATH"], "TMPDIR": str(self.scratch),
                "RUNTIME_PATH": str(self.runtime), "T": str(self.tmp),
                **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                full.setdefault(name, os.environ[name])
        popen = dict(popen or {})
        verb = ["run"] if popen.pop("verb", True) else []
        run = Run(self, verb + list(args), full, **popen)
        self.live.append(run)
        return run

    def answer(self, kind, generation):
        path = self.runtime / f"{kind}.{generation}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def ack(self, generation=1):
        return self.answer("ack", generation)

    def paused(self, generation=2):
        return self.answer("paused", generation)

    def request(self, generation=2, wait_ms=600000, why="", age=0):
        """Asks for a rotation, as the service does."""
        new = self.runtime / ".asked"
        new.write_text(json.dumps({
            "generation": generation, "wait_ms": wait_ms, "why": why}))
        then = time.time() - age
        os.utime(new, (then, then))
        new.rename(self.runtime / f"rotate.{generation}.json")

    def take_back(self, generation=2):
        (self.runtime / f"rotate.{generation}.json").unlink()

    def log(self):
        """What the test's programs have noted."""
        path = self.tmp / "log"
        return path.read_text().split() if path.is_file() else []

    def wait_log(self, *words):
        until(lambda: self.log()[-len(words):] == list(words),
              f"{words} at the end of the log")

    def wait_idle(self, looks=3):
        """Until the directory was opened so often, and nothing in it."""
        libc, in_open, in_isdir = ctypes.CDLL(None), 0x20, 0x40000000
        with open(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC),
                  "rb", buffering=0) as events:
            assert libc.inotify_add_watch(
                events.fileno(), os.fsencode(self.runtime), in_open) >= 0
            seen = []

            def idle():
                data = events.read(65536) or b""
                while data:
                    _, mask, _, size = struct.unpack_from("iIII", data)
                    if mask & in_isdir:
                        seen.append(mask)
                    else:
                        seen.clear()
                    data = data[16 + size:]
                return len(seen) >= looks
            until(idle, "looks at nothing but the directory")

    def wait_looked_at(self):
        """Until the file that is there was read, and what follows is done:
        the second look begins when the first is over."""
        libc, in_close_nowrite = ctypes.CDLL(None), 0x10
        with open(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC),
                  "rb", buffering=0) as events:
            path = os.fsencode(self.runtime / "matrix.json")
            assert libc.inotify_add_watch(
                events.fileno(), path, in_close_nowrite) >= 0
            size, seen = 16, bytearray()  # of an event without a name

            def twice():
                # Of a directory that stays the same only the first are read.
                os.utime(self.runtime)
                seen.extend(events.read(64 * size) or b"")
                return len(seen) >= 2 * size
            until(twice, "two looks")

    def read(self, name):
        """A file that the program made (whole, by rename)."""
        return until(lambda: (self.tmp / name).is_file(), name) and (
            self.tmp / name).read_text()

    def end(self):
        try:
            for run in self.live:
                assert TOKEN not in run.stderr() + run.out.read_text()
                assert TOKEN2 not in run.stderr() + run.out.read_text()
            assert all("?" not in path for path, _ in self.hs.asked)
        finally:
            for run in self.live:
                if run.process.poll() is None:
                    for pid, _ in run.children():
                        signal_quietly(pid, signal.SIGKILL)
                    run.process.kill()
                    run.process.wait()
            self.hs.stop()


class Humble(World):
    """A world whose agent is not root, also where the tests are."""

    def __init__(self, tmp):
        super().__init__(tmp)
        self.uid = os.geteuid() or 65534
        self.binary = tmp / "muster-agent"
        shutil.copy(AGENT, self.binary)

    def run(self, *args, env=None, popen=None):
        popen = {"binary": str(self.binary)}
        if os.geteuid() == 0:
            popen.update(user=self.uid, group=self.uid, extra_groups=[])
            for path in [self.tmp, *self.tmp.rglob("*")]:
                os.chown(path, self.uid, self.uid)
        return super().run(*args, env=env, popen=popen)


# Programs for /bin/sh; $T is the test's directory.
ENV = 'env > "$T/env.new" && mv "$T/env.new" "$T/env"'
STAY = 'echo > "$T/up.new" && mv "$T/up.new" "$T/up"; ' \
       'while [ ! -e "$T/go" ]; do sleep 0.05; done'

# Notes what happens to it: its token, and the signals.
NOTE = ('note() { echo "$*" >> "$T/log"; }; '
        'for s in TERM USR1; do trap "note $s" $s; done; ')
NOTING = (NOTE + 'trap "note TERM; exit 5" TERM; '
          'note start ${MATRIX_ACCESS_TOKEN:-$(cat '
          '${MATRIX_ACCESS_TOKEN_FILE:-/dev/null})}; '
          'while [ ! -e "$T/go" ]; do sleep 0.02; done; exit 7')
PAUSE = 'echo pause >> "$T/log"'
RESUME = 'echo resume >> "$T/log"'


def shell(script):
    return ["--", "/bin/sh", "-c", script]


def variables(text):
    return dict(line.split("=", 1) for line in text.splitlines()
                if line.startswith("MATRIX_"))
