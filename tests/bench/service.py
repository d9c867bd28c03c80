"""muster as it is measured: `muster serve` with the example fleet, known to a
scripted homeserver, everything as declared before the load begins."""

import contextlib
import glob
import os
import shutil
import socket
import sqlite3
import struct
import time

from support.fakehs import FakeHS
from support.muster import TOP, Muster, binary
from support.process import environment, wait_until

SERVER = "fleet.example"
EXAMPLE = os.path.join(TOP, "examples", "fleet")


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


SETTLES = 2.1  # seconds


def age(muster):
    """Waits until its files are so old that they can't have been written twice
    in one tick: the service reads again those that are not."""
    newest = max(os.stat(path).st_ctime for path in
                 glob.glob(muster.path("*.yaml")) + [muster.path("org.json")]
                 if os.path.exists(path))
    time.sleep(max(0, newest + SETTLES - time.time()))


def pin(core):
    """For Daemon.before."""
    return lambda: os.sched_setaffinity(0, {core})


class Measured:
    """What is measured is a process that keeps memberships in SQLite."""

    daemon = None  # support.process.Daemon

    @property
    def pid(self):
        return self.daemon.process.pid

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """(private, resident) in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return tuple(int(fields[name].split()[0]) * 1024
                     for name in ("RssAnon", "VmRSS"))


class Service(Measured):
    """Its `folder` is made anew; the store is in it."""

    def __init__(self, folder, core=0):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.hs = FakeHS(SERVER, "conduit").start()
        self.muster = Muster(
            os.path.join(folder, "muster"), self.hs,
            fleet={"config": os.path.join(EXAMPLE, "config.yaml"),
                   "org": os.path.join(EXAMPLE, "org.json")})
        self.daemon = self.muster.daemon
        self.core = core
        self.daemon.before = pin(core)
        self.muster.run("registration", expect=0)
        self.hs.add_appservice(self.muster.registration_path)
        self.token_file = self.muster.write(
            "secrets/hs-token", self.muster.registration["hs_token"] + "\n")
        self.agents_file = None

    def start(self, under=()):
        """Until everything is as declared and nothing is on its way; `under`:
        the words of a program that runs it."""
        age(self.muster)
        if under:
            self._launch(*under)
        else:
            self.muster.start(ready=False)
        self.muster.wait_settled()
        self.hs.wait_quiet()
        if not self.agents_file:
            self.agents_file = self.muster.write("agents.txt", "".join(
                a["user_id"] + "\n" for a in self.muster.json("agents")))
        return self

    def _launch(self, *under):
        self.daemon.launch(
            [*under, binary(), "-c", self.muster.path("muster.yaml"),
             "serve"], env=environment(), cwd=self.muster.dir)

    def start_again(self):
        """After time_to_listen(): as start(), from there."""
        self.muster.wait_settled()
        self.hs.wait_quiet()

    def load_options(self):
        return ["--port", str(self.muster.port), "--token-file",
                self.token_file, "--agents", self.agents_file, "--server",
                SERVER]

    def time_to_listen(self):
        """Milliseconds from exec to the first connection that is accepted. It
        runs then; it did not before."""
        reader, writer = os.pipe()

        def before():
            os.sched_setaffinity(0, {self.core})
            os.write(writer, struct.pack("d", time.monotonic()))
        self.daemon.before = before
        try:
            self._launch()
            began, = struct.unpack("d", os.read(reader, 8))
        finally:
            self.daemon.before = pin(self.core)
            os.close(reader)
            os.close(writer)
        while not listens(self.muster.port):
            assert self.daemon.running() and time.monotonic() - began < 30, \
                f"it does not listen:\n{self.daemon.tail()}"
        return (time.monotonic() - began) * 1000

    def _query(self, sql):
        path = self.muster.path("muster.db")
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as db:
            return db.execute(sql).fetchall()

    def stored(self):
        """{(room, user): membership}"""
        return {(room, user): membership for room, user, membership in
                self._query("SELECT room_id, user_id, membership "
                            "FROM membership")}

    def count(self):
        (n,), = self._query("SELECT count(*) FROM membership")
        return n

    def wait_counted(self, n, bound=10):
        return wait_until(lambda: self.count() >= n, bound, f"{n} rows")

    def stop(self):
        self.muster.stop()

    def close(self):
        try:
            self.muster.close()
        finally:
            self.hs.stop()
