"""Child processes of the tests: started with their output in a file, waited
for with a bound, ended by their own id."""

import collections
import contextlib
import ctypes
import errno
import os
import random
import signal
import socket
import subprocess
import time

from support import printed


# Below the ports that Linux takes for outgoing connections: one of those may
# be gone before it is listened on. So that runs beside each other do not take
# each other's, each has blocks of ports of its own; a socket whose name nobody
# else can have says whose, and is gone when its process is.
_BLOCK = 500
_blocks = random.sample(range(10000, 32000, _BLOCK), 22000 // _BLOCK)
_claims = []
_ports = collections.deque()


def _claim_block():
    while _blocks:
        first = _blocks.pop()
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0muster tests {first}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        _ports.extendleft(range(first, first + _BLOCK))
        return
    raise OSError("others have every block of ports")


def free_port():
    """A port of 127.0.0.1 that nobody listens on just now."""
    for _ in range(len(_ports)):
        _ports.rotate(1)
        if _is_free(_ports[0]):
            return _ports[0]
    _claim_block()
    return free_port()


def _is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# Bounds say how long something takes on a machine that is ours alone, with
# sanitizers. One that is busy gets this many times as long before it fails.
PATIENCE = 3


def wait_until(check, bound, what, every=0.05):
    """Calls check() until it gives something true, which is returned; fails
    after `bound` seconds, saying what was waited for and what came last."""
    end = time.monotonic() + bound * PATIENCE
    last = None
    while True:
        last = check()
        if last:
            return last
        if time.monotonic() >= end:
            raise AssertionError(
                f"not within {bound} s: {what} (last: {last!r})")
        time.sleep(every)


def environment(**more):
    """This process's environment for a program of the tests: nothing between
    it and loopback, and no setting of the caller's that is meant for another
    muster or Conduit."""
    env = {k: v for k, v in os.environ.items()
           if k.lower() not in ("http_proxy", "https_proxy", "all_proxy")
           and not k.startswith("CONDUIT_")
           and (not k.startswith("MUSTER_") or k in PASSED_ON)}
    env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
    env.update({k: str(v) for k, v in more.items()})
    return env


# Settings of the tests themselves, which do not overrule a configuration.
PASSED_ON = ("MUSTER_BIN", "MUSTER_AGENT_BIN", "MUSTER_FIXTURES")


_libc = ctypes.CDLL(None)
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 0, 1, 2
PR_CAPBSET_DROP = 24


def give_up(*capabilities):
    """For Daemon.before: a program that root starts has these no more. Who
    is not root has none."""
    def drop():
        for capability in capabilities:
            _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    return drop


# What lets root read and write whatever the modes of files say.
MODES_DO_NOT_MATTER = (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8),
                ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16),
                ("filter", ctypes.POINTER(_Instruction))]


INOTIFY_INIT1 = {"x86_64": 294, "aarch64": 26}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2


def without_inotify():
    """For Daemon.before: inotify_init1() says that there are too many."""
    number = INOTIFY_INIT1[os.uname().machine]
    code = (_Instruction * 4)(
        (0x20, 0, 0, 0),                              # load the call's number
        (0x15, 0, 1, number),                         # that one?
        (0x06, 0, 0, 0x00050000 | errno.EMFILE),      # then an error
        (0x06, 0, 0, 0x7fff0000))                     # else allowed
    program = _Program(4, code)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                   ctypes.byref(program), 0, 0):
        raise OSError("no seccomp")


class Daemon:
    """A program that runs in the background. Its output is appended to
    `log`, over all its starts."""

    # Around each start; for a program that must not be interrupted between
    # that and knowing what it has started.
    starting = staticmethod(contextlib.nullcontext)

    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.process = None
        self.before = None  # called in the child before the program starts
        self.exit_codes = []

    def launch(self, argv, env=None, cwd=None):
        assert not self.running(), f"{self.name} runs already"
        if printed.is_ours(argv):
            printed.follow(self.log)
        with open(self.log, "ab") as log, self.starting():
            self.process = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
                preexec_fn=self.before)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_for(self, check, bound, what):
        """wait_until(), but at once an error when the program has ended."""
        def alive_and_ready():
            try:
                ready = check()
            except OSError:
                ready = False
            if not ready and not self.running():
                raise AssertionError(
                    f"{self.name} ended with {self.process.returncode} "
                    f"before {what}:\n{self.tail()}")
            return ready
        try:
            return wait_until(alive_and_ready, bound, f"{self.name}: {what}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None

    def wait_exit(self, bound):
        """Its exit status; it must end by itself within the bound."""
        try:
            code = self.process.wait(bound * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {bound} s\n"
                f"{self.tail()}") from None
        if self.process is not None:
            self.exit_codes.append(code)
            self.process = None
        return code

    def signal(self, number):
        if self.running():
            os.kill(self.process.pid, number)

    def stop(self, bound=20):
        """SIGTERM; its exit status, or None when it did not run. One that
        does not end is killed, and that is an error."""
        if self.process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(bound)
        except AssertionError:
            self.kill()
            raise

    def kill(self):
        """kill -9, whatever it is doing."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait(60)
        self.process = None

    def output(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def tail(self, lines=30):
        return "\n".join(self.output().splitlines()[-lines:])
