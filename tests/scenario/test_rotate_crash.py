"""kill -9 of the service at every point of a rotation, with a real muster-agent
on the other side: in the end there is one good token, which its program has and
has acknowledged; and no token is ended while a program goes on with it."""

import os
import signal
import subprocess
import threading

import pytest

from support import rotations, small
from support.fakehs import reset_before
from support.muster import binary
from support.process import Daemon, environment, wait_until
from support.rotations import AGENT, begin, logins, wait_rotation


class Running(Daemon):
    """muster-agent with a program that is told of a pause."""

    def __init__(self, muster):
        super().__init__("muster-agent", muster.path("agent.log"))
        self.muster = muster
        self.notes, self.token = muster.path("notes"), muster.path("token")
        self.launch(
            [binary("muster-agent"), "run", "--runtime",
             muster.runtime_dir(AGENT), "--for", "file", "--output",
             self.token, "--pause", f"echo paused >> {self.notes}",
             "--resume", f"echo on >> {self.notes}", "--", "sleep", "1000"],
            env=environment(), cwd=muster.dir)

    def is_paused(self):
        return self._read(self.notes)[-1:] == ["paused"]

    def has(self):
        return self._read(self.token)[0]

    @staticmethod
    def _read(path):
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return f.read().split()


@pytest.fixture
def rotating(running):
    """(muster, homeserver, agent): it has acknowledged its token, and is
    paused at every login from here on, or that is noted."""
    muster, hs = running
    agent = Running(muster)
    at_work = []

    def watch(_, phase, method, path):
        if method == "POST" and path.endswith("/v3/login") and (
                not agent.is_paused()):
            at_work.append(phase)
    try:
        muster.daemon.wait_for(
            lambda: small.agent(muster, AGENT)["state"] == "acknowledged", 20,
            "its acknowledgement")
        hs.on_request(watch)
        yield muster, hs, agent
        assert at_work == [], "a login while its program was at work"
    finally:
        agent.stop()


def kill_at_request(muster, hs, when):
    """At the login: not yet done, or done and not answered."""
    dead = threading.Event()

    def kill(_, phase, method, path):
        if (phase == when and method == "POST" and
                path.endswith("/v3/login") and not dead.is_set()):
            muster.kill()
            dead.set()
    if when == "before":
        hs.fault("POST", r"/v3/login$", reset_before(), times=1)
    hs.on_request(kill)
    begin(muster, AGENT)
    wait_until(dead.is_set, 20, "the login")


def is_traced(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return "TracerPid:\t0\n" not in f.read()


def kill_at_call(muster, agent, call):
    """In place of a thread's first system call of this name that is about the
    agent's directory, when that has been asked."""
    agent.signal(signal.SIGSTOP)
    begin(muster, AGENT)
    rotations.request(muster)
    process = muster.daemon.process
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(process.pid),
         "-P", muster.runtime_dir(AGENT), "-e", f"trace={call}", "-e",
         f"inject={call}:signal=KILL:when=1"])
    try:
        wait_until(lambda: is_traced(process.pid), 20, "strace")
        agent.signal(signal.SIGCONT)
        wait_until(lambda: process.poll() is not None, 20, f"its {call}")
    finally:
        tracer.kill()
        tracer.wait()
        muster.kill()


def kill_when(muster, what, happened):
    begin(muster, AGENT)
    wait_until(happened, 20, what, every=0.002)
    muster.kill()


def stored(muster):
    (state,), = muster.query("SELECT state FROM rotation")
    return state


POINTS = {
    "its request is written": lambda muster, hs, agent: kill_when(
        muster, "a request", lambda: "rotate.2.json" in
        muster.handoff_names(AGENT)),
    "it is paused": lambda muster, hs, agent: kill_when(
        muster, "a pause", agent.is_paused),
    "its answer is there": lambda muster, hs, agent: kill_when(
        muster, "its answer", lambda: "paused.2.json" in
        muster.handoff_names(AGENT)),
    "its token is doubted": lambda muster, hs, agent: kill_at_request(
        muster, hs, "before"),
    "the login is done": lambda muster, hs, agent: kill_at_request(
        muster, hs, "after"),
    "its file is about to be replaced": lambda muster, hs, agent: kill_at_call(
        muster, agent, "renameat"),
    "its file is replaced": lambda muster, hs, agent: kill_at_call(
        muster, agent, "fsync"),
    "that is written down": lambda muster, hs, agent: kill_when(
        muster, "the hand-off", lambda: stored(muster) == "issued")}


@pytest.mark.parametrize("point", POINTS)
def test_killed_when(rotating, point, request):
    muster, hs, agent = rotating
    if "file is" in point:
        request.getfixturevalue("strace")
    POINTS[point](muster, hs, agent)
    muster.start()
    wait_rotation(muster, "done", bound=40)
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "acknowledged", 20,
        "its acknowledgement")
    wait_until(lambda: not agent.is_paused(), 20, "its program to go on")
    now = muster.handoff(AGENT)
    assert now["generation"] >= 2 and agent.has() == now["access_token"]
    assert hs.tokens_of(AGENT) == [now["access_token"]]
    assert len(logins(hs)) in (1, 2)
    assert agent.running()
    small.wait_settled(muster, hs)
