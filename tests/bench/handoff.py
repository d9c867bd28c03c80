"""The hand-off: how long a token takes from the homeserver's answer to the
agent's file and from there to its program, how fast many are exchanged, next to
a loop that only logs in, and what muster-agent does when there is nothing to do.

The agents of a fleet are those of whom nobody runs: they are exchanged without
being asked."""

import contextlib
import ctypes
import glob
import json
import os
import select
import shutil
import statistics
import struct
import subprocess
import threading
import time
import urllib.parse

import organisation
import provision
from provision import FLYING, SERVER, Failed, Making, homeserver, reals
from service import pin
from support import agent as one_agent
from support import small
from support.muster import binary
from support.process import environment, wait_until

IN_OPEN, IN_MOVED_TO, IN_ISDIR = 0x20, 0x80, 0x40000000
EVENT = struct.Struct("iIII")


class Notified:
    """What inotify says of directories: (time, path of the directory, name,
    mask), oldest first."""

    def __init__(self, paths, mask):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC)
        self.events = []
        self._paths = {}
        for path in paths:
            wd = self._libc.inotify_add_watch(
                self._fd, os.fsencode(path), mask)
            if wd < 0:
                raise OSError(ctypes.get_errno(), path)
            self._paths[wd] = path
        reader, self._end = os.pipe()
        self._thread = threading.Thread(
            target=self._read, args=(reader,), daemon=True)
        self._thread.start()

    def _read(self, end):
        while end not in select.select([self._fd, end], [], [])[0]:
            data, now = os.read(self._fd, 1 << 16), time.time()
            while data:
                wd, mask, _, size = EVENT.unpack_from(data)
                name = data[16:16 + size].rstrip(b"\0").decode()
                self.events.append((now, self._paths[wd], name, mask))
                data = data[16 + size:]
        os.close(end)

    def close(self):
        os.close(self._end)
        self._thread.join()
        os.close(self._fd)


# -- a fleet


class Handing(Making):
    """A fleet without rooms."""

    def __init__(self, folder, org):
        super().__init__(folder, org)
        self.muster.write_config(rooms=[])

    def files(self):
        return sorted(glob.glob(
            self.muster.path("runtime", "*", "*", "matrix.json")))

    def rotate(self, **body):
        """Until all is over; (when it was asked for, how many)."""
        began = time.time()
        status, asked = small.ask(self.muster, "/v1/rotate", "POST", body)
        if status != 200:
            raise Failed(f"rotate: {asked}")

        def over():
            got = small.ask(
                self.muster, f"/v1/progress?since_ms=0&run={asked['run']}")[1]
            return got["pending"] == 0 and got["rotations"]
        # As seldom as the verb asks.
        states = [r["state"] for r in wait_until(
            over, 120, "all rotations are over",
            every=1 if body.get("all") else 0.05)]
        if set(states) != {"done"}:
            raise Failed(f"rotations: {states}")
        return began, len(states)

    def rotate_all(self):
        """From the request until the last file is there."""
        began, n = self.rotate(all=True)
        # Of a rename.
        written = [os.stat(path).st_ctime for path in self.files()]
        if min(written) < began or len(written) != n:
            raise Failed(f"{len(written)} files for {n} agents")
        return {"agents": n, "seconds": max(written) - began,
                "began": began, "last": max(written)}

    def logins(self, path):
        """The bare loop's requests: a login of each."""
        with open(path, "w", encoding="utf-8") as f:
            for row in self.muster.json("agents"):
                body = {"type": "m.login.application_service",
                        "identifier": {"type": "m.id.user",
                                       "user": row["user_id"]},
                        "device_id": "MUSTER",
                        "initial_device_display_name": "muster"}
                f.write("\t".join(["POST", "/_matrix/client/v3/login", "200",
                                   "", "", json.dumps(body)]) + "\n")
        return path


@contextlib.contextmanager
def _fleet(kind, folder, agents):
    org = organisation.first(organisation.reference(SERVER), agents)
    making = Handing(folder, org)
    with homeserver(kind, folder, making) as hs:
        try:
            making.make(hs, 60 + agents)
            yield making, hs
        finally:
            making.close()


def answered(hs):
    """The list to which the time of each login's answer is added."""
    times = []

    def note(_, phase, __, path):
        if phase == "after" and path.endswith("/login"):
            times.append(time.time())
    hs.on_request(note)
    return times


def login_to_file(folder, times):
    """Milliseconds from the homeserver's answer until the file is there, of
    one agent after the other."""
    with _fleet("scripted", folder, times) as (making, hs):
        login = answered(hs)
        folders = [os.path.dirname(path) for path in making.files()]
        seen = Notified(folders, IN_MOVED_TO)
        took = []
        try:
            for row in making.muster.json("agents"):
                login.clear()
                seen.events.clear()
                making.rotate(users=[row["user_id"]])
                at, = (at for at, _, name, _ in seen.events
                       if name == "matrix.json")
                took.append(1000 * (at - login[0]))
        finally:
            seen.close()
        return took


def many(folder, agents):
    """Seconds from the first answer until the last file is there."""
    with _fleet("scripted", folder, agents) as (making, hs):
        login = answered(hs)
        result = making.rotate_all()
        result["written_s"] = result["last"] - min(login)
        return result


def _bare(program, making, hs, script):
    done = subprocess.run(
        [program, "--url", hs.url, "--token-file", making.token_file,
         "--flying", str(FLYING), script], stdout=subprocess.PIPE, text=True,
        check=False,
        preexec_fn=pin(provision.CORES[1]) if provision.CORES else None)
    if done.returncode:
        raise Failed(f"the bare loop got other answers: {done.stdout}")
    return json.loads(done.stdout)


def beside_the_loop(program, kind, folder, agents, rounds, say):
    """muster and the bare loop, in turns, on one homeserver."""
    runs = []
    with _fleet(kind, folder, agents) as (making, hs):
        script = making.logins(os.path.join(folder, "logins.txt"))
        for n in range(1, rounds + 1):
            runs.append({"muster": making.rotate_all(),
                         "bare": _bare(program, making, hs, script)})
            say(f"{agents} tokens exchanged on {kind}, round {n}: "
                f"{runs[-1]['muster']['seconds']:.3f} s, bare "
                f"{runs[-1]['bare']['seconds']:.3f} s")
    return runs


# -- muster-agent


class Agent:
    """Runs `sleep`, with a scripted homeserver that knows it."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        self.runtime = os.path.join(folder, "runtime")
        self.local = os.path.join(folder, "local")
        os.makedirs(self.runtime)
        os.makedirs(self.local)
        self.hs = one_agent.Homeserver()
        self.hs.start()
        self.process = None
        self.generation = 0

    def token(self):
        return f"token-{self.generation}"

    def hand_over(self):
        """The next generation; when it was there."""
        self.generation += 1
        self.hs.tokens[self.token()] = (one_agent.USER, "MUSTER")
        path = os.path.join(self.runtime, "matrix.json")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(one_agent.document(
                self.hs.url, self.generation, self.token()))
        os.chmod(path + ".new", 0o600)
        at = time.time()
        os.rename(path + ".new", path)
        return at

    def has(self):
        """The generation of the token that the program's file has."""
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.local, "token"),
                      encoding="ascii") as f:
                return int(f.read().split("-")[1])
        return 0

    def acknowledged(self):
        return os.path.exists(
            os.path.join(self.runtime, f"ack.{self.generation}.json"))

    def start(self):
        with open(os.path.join(self.local, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [binary("muster-agent"), "run", "--runtime", self.runtime,
                 "--for", "file", "--output",
                 os.path.join(self.local, "token"), "--", "sleep", "1000"],
                env=environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)
        wait_until(self.acknowledged, 20, "the first acknowledgement")

    def wait_settled(self):
        """A directory that was just changed is looked into for a while: opened,
        its file, and once more to list it."""
        seen = Notified([self.runtime], IN_OPEN)
        try:
            wait_until(lambda: len(seen.events) >= 3 and all(
                mask & IN_ISDIR for *_, mask in seen.events[-3:]), 20,
                "it looks at nothing but the directory")
        finally:
            seen.close()

    def private(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return int(fields["RssAnon"].split()[0]) * 1024

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.hs.stop()


def file_to_program(folder, times):
    """Milliseconds from the hand-off until the program's file is replaced."""
    agent = Agent(folder)
    agent.hand_over()
    took = []
    try:
        agent.start()
        seen = Notified([agent.local], IN_MOVED_TO)
        try:
            for _ in range(times):
                seen.events.clear()
                at = agent.hand_over()
                wait_until(agent.acknowledged, 20, "its acknowledgement",
                           every=0.005)
                there, = (at for at, _, name, _ in seen.events
                          if name == "token")
                if agent.has() != agent.generation:
                    raise Failed("the program has an older token")
                took.append(1000 * (there - at))
        finally:
            seen.close()
        return took
    finally:
        agent.close()


def idle(folder, seconds):
    """What it asks for in so long when nothing happens."""
    agent = Agent(folder)
    agent.hand_over()
    try:
        agent.start()
        agent.wait_settled()
        asked = len(agent.hs.asked)
        seen = Notified([agent.runtime], IN_OPEN)
        try:
            time.sleep(seconds)  # that is what is measured
            events = list(seen.events)
        finally:
            seen.close()
        return {
            "seconds": seconds, "private": agent.private(),
            "directory": sum(bool(mask & IN_ISDIR) for *_, mask in events),
            "files": sum(not mask & IN_ISDIR for *_, mask in events),
            "whoami": sum(
                urllib.parse.urlsplit(path).path.endswith("/whoami")
                for path, _ in agent.hs.asked[asked:]),
            "requests": len(agent.hs.asked) - asked}
    finally:
        agent.close()


def measure(program, folder, agents, rounds, say, times=30, seconds=130,
            kinds=(*reals(), "scripted")):
    """agents: (of the fleet of many, of that beside the loop)"""
    place = os.path.join(folder, "handoff")
    result = {"agents": list(agents)}
    result["login_to_file_ms"] = login_to_file(place, times)
    say("from the login's answer to the file: "
        f"{statistics.median(result['login_to_file_ms']):.2f} ms")
    result["file_to_program_ms"] = file_to_program(place, times)
    say("from the file to the program: "
        f"{statistics.median(result['file_to_program_ms']):.2f} ms")
    result["many"] = many(place, agents[0])
    say(f"{agents[0]} agents written in {result['many']['written_s']:.2f} s")
    for kind in kinds:
        result[kind] = beside_the_loop(
            program, kind, place, agents[1], rounds, say)
    result["idle"] = idle(place, seconds)
    say(f"muster-agent, idle: {result['idle']}")
    shutil.rmtree(place, ignore_errors=True)
    return result
