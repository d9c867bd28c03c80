"""A fleet made from nothing, by muster and by tests/bench/replay: the same
requests, sent again to an empty homeserver by a loop that knows nothing else.

What muster asks for is taken down by the scripted homeserver; the real one is
asked for the same, and how many requests muster needed there is said as well.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import time
from urllib.parse import quote, unquote

import organisation
from service import Measured, age, pin
from support import conduit
from support.fakehs import FakeHS
from support.muster import Muster
from support.synapse import Synapse

SERVER = "fleet.example"
FLYING = 8  # the default of reconcile.concurrency
CORES = (0, 1)  # the homeserver's, and that of whoever asks it; None: any

# What the service asks once, as it connects; it is in no script.
CONNECTING = re.compile(
    r"^GET (/|.*/(versions|whoami|joined_rooms|login|#admins:[^/]*))$|/ping$")
DECLARED = "as declared, as far as it can be"
ROOM = re.compile(r"/rooms/(![^/]+)")


class Failed(Exception):
    pass


# -- the requests


class Script:
    """The log of a scripted homeserver as lines for tests/bench/replay, and
    what is known of each request."""

    def __init__(self, requests):
        self.requests = [
            r for r in requests
            if not CONNECTING.search(f"{r.method} {r.path}")]
        self.kinds = [self._kind(r) for r in self.requests]
        self.rooms = {}   # room id: the number of the request that made it
        self.accounts = {}  # user id: the last request of the account
        self.brought = {}   # user id: the last one that brought it in
        self.members = {}   # (room, user): the last one about it
        self.aliases = {}
        self.asked = []     # what a room's maker asked before it made it
        self.after = []
        self.room_of = []
        for n, request in enumerate(self.requests):
            self._link(n, request, self.kinds[n])

    @staticmethod
    def _kind(r):
        for end in ("register", "login", "displayname", "capabilities",
                    "createRoom", "invite", "join"):
            if r.path.endswith("/" + end):
                return end
        return "alias" if "/directory/room/" in r.path else "other"

    def _link(self, n, r, kind):
        """What must be over before it; the room's maker, if it is in one."""
        after, body = set(), r.body or {}
        room = ROOM.search(r.path)
        maker = self.rooms.get(room[1]) if room else None
        who = r.query.get("user_id")
        if maker is not None:
            after.add(maker)
        if kind in ("register", "displayname", "login"):
            who = {"register": lambda: f"@{body['username']}:{SERVER}",
                   "displayname": lambda: unquote(r.path.split("/")[-2]),
                   "login": lambda: body["identifier"]["user"]}[kind]()
            # The sender's account comes before all.
            after.add(self.accounts.get(who, min(
                self.accounts.values(), default=None)))
            if kind != "login":
                self.accounts[who] = n
        elif kind == "alias":
            self.aliases[unquote(r.path.split("/")[-1])] = n
        elif kind == "capabilities":
            after.add(min(self.accounts.values()))
            self.asked.append(n)
        elif kind == "createRoom":
            after |= {min(self.accounts.values()), self.aliases.get(
                f"#{body.get('room_alias_name')}:{SERVER}"),
                self.asked.pop(0) if self.asked else None}
            self.rooms[r.answer["room_id"]] = n
        elif kind == "invite":
            # A newcomer comes into one room after the other: Conduit
            # confuses those who come into two at once.
            who = body["user_id"]
            after |= {self.accounts.get(who), self.brought.get(who)}
            self.brought[who] = self.members[room[1], who] = n
        elif kind == "join":
            after |= {self.accounts.get(who), self.members.get((room[1], who))}
            self.members[room[1], who] = n
        self.after.append(sorted(after - {None}))
        self.room_of.append(maker)

    def _path(self, r, maker):
        path = r.raw_path
        if maker is not None:
            path = re.sub(r"/rooms/[^/]+", "/rooms/{room}", path)
        query = "&".join(f"{quote(k)}={quote(v, safe='')}"
                         for k, v in r.query.items())
        return path + ("?" + query if query else "")

    def _kept(self, n, places):
        """What must be over before it, of those that are there: for another
        what that one waits for."""
        for a in self.after[n]:
            yield from [a] if a in places else self._kept(a, places)

    def write(self, path, kinds=None):
        """All of them, or those of these kinds alone."""
        places = {}
        with open(path, "w", encoding="utf-8") as f:
            for n, r in enumerate(self.requests):
                if kinds and self.kinds[n] not in kinds:
                    continue
                places[n] = len(places)
                maker = self.room_of[n]
                f.write("\t".join([
                    r.method, self._path(r, maker), str(r.status),
                    ",".join(sorted({str(places[a]) for a in
                                     self._kept(n, places)}, key=int)),
                    "" if maker is None else str(places[maker]),
                    r.raw.decode()]) + "\n")
        return path

    def counts(self):
        found = {}
        for kind in self.kinds:
            found[kind] = found.get(kind, 0) + 1
        return found


# -- a homeserver, alone on its core


class Homeserver:
    """An empty one that knows the registration; `kind`: scripted, conduit,
    synapse, or real, which is the one of them that counts."""

    def __init__(self, kind, folder, registration):
        kind = manner() if kind == "real" else kind
        self.real = kind != "scripted"
        ours = os.sched_getaffinity(0)
        if CORES:  # its threads inherit it
            os.sched_setaffinity(0, {CORES[0]})
        try:
            if not self.real:
                self.hs = FakeHS(SERVER, manner()).start()
            elif kind == "conduit":
                self.hs = conduit.Conduit(SERVER, folder)
                self.hs.start()
                self.hs.admin  # noqa: B018, the first user is one
            else:
                self.hs = Synapse(SERVER, folder).start([])
            self.hs.add_appservice(registration)
        finally:
            os.sched_setaffinity(0, ours)

    def close(self):
        if self.real:
            self.hs.kill()
        else:
            self.hs.stop()
            if self.hs.errors:
                raise Failed(self.hs.errors[0])


def manner():
    """Conduit is what counts, where there is one."""
    return reals()[0]


def reals():
    return ["conduit"] * bool(conduit.binary()) + ["synapse"]


class _Place:
    """Where the homeserver will be, for the configuration."""

    def __init__(self, kind, server_name=SERVER):
        self.kind = kind
        self.server_name = server_name
        self.url = "http://127.0.0.1:9"


# -- muster


class Making(Measured):
    def __init__(self, folder, org):
        shutil.rmtree(folder, ignore_errors=True)
        self.muster = Muster(os.path.join(folder, "muster"), _Place(manner()),
                             org=org, direct={"create": "off"})
        self.daemon = self.muster.daemon
        self.daemon.before = pin(CORES[1]) if CORES else None
        self.read = 0  # of its log
        self.muster.run("registration", expect=0)
        self.token_file = self.muster.write(
            "secrets/as-token", self.muster.registration["as_token"] + "\n")

    def _files(self):
        for folder, _, names in os.walk(self.muster.runtime):
            if "matrix.json" in names:
                yield os.path.join(folder, "matrix.json")

    def declared_at(self):
        """When the log said that nothing is left to do; None. Reads only what
        is new in it: whoever is measured has this core."""
        with open(self.daemon.log, encoding="utf-8") as f:
            f.seek(self.read)
            text = f.read()
        self.read += len(text.rpartition("\n")[0].encode())
        for line in text.splitlines() if DECLARED in text else ():
            if DECLARED in line:
                at = json.loads(line)["ts"].replace("Z", "+00:00")
                return datetime.datetime.fromisoformat(at).timestamp()
        return None

    def forget_log(self):
        os.truncate(self.daemon.log, 0)
        self.read = 0

    def make(self, hs, bound):
        """From exec until the plan is empty."""
        self.muster.write_config(homeserver={"url": hs.url})
        age(self.muster)
        began = time.time()
        self.muster.start(ready=False)
        ended = self.daemon.wait_for(
            self.declared_at, bound, "everything is made")
        cpu = self.cpu_seconds()
        status = self.muster.wait_settled(bound)
        files = [os.stat(path).st_mtime for path in self._files()]
        done, failed = self.muster.query(
            "SELECT sum(state = 'done'), sum(state = 'failed') FROM journal"
        )[0]
        if failed or len(files) != len(self.muster.agents()):
            raise Failed(f"{failed} steps failed, {len(files)} files, "
                         f"{done} steps done: {self.muster.tail(5)}")
        return {
            "agents": len(files), "tokens_s": max(files) - began,
            "first_token_s": min(files) - began,
            "seconds": ended - began, "cpu_s": cpu,
            "private": self.memory()[0],
            "requests": status["homeserver"]["requests"],
            "writes": status["homeserver"]["writes"]}

    def memberships(self):
        """As declared in rooms of the policy, and how many rooms."""
        (n,), = self.muster.query(
            "SELECT count(*) FROM declared_member AS m JOIN room AS r "
            "ON r.key = m.room_key WHERE r.direct = 0")
        (rooms,), = self.muster.query(
            "SELECT count(*) FROM room WHERE direct = 0")
        return n, rooms

    def close(self):
        self.muster.close()


def replay(program, making, hs, script):
    done = subprocess.run(
        [program, "--url", hs.url, "--token-file", making.token_file,
         "--flying", str(FLYING), "--listen", str(making.muster.port), script],
        stdout=subprocess.PIPE, text=True, check=False,
        preexec_fn=pin(CORES[1]) if CORES else None)
    if done.returncode:
        raise Failed(f"the bare loop got other answers: {done.stdout}")
    return json.loads(done.stdout)


# -- one after the other


@contextlib.contextmanager
def homeserver(kind, folder, making):
    path = os.path.join(folder, "hs")
    shutil.rmtree(path, ignore_errors=True)
    hs = Homeserver(kind, path, making.muster.registration_path)
    try:
        yield hs.hs
    finally:
        hs.close()
        shutil.rmtree(path, ignore_errors=True)


def _bare(program, kind, folder, making, script):
    with homeserver(kind, folder, making) as hs:
        return replay(program, making, hs, script)


def _muster(kind, folder, org, bound):
    """(result, the scripted homeserver's log, whose it was)"""
    making = Making(folder, org)
    with homeserver(kind, folder, making) as hs:
        try:
            result = making.make(hs, bound)
            result["memberships"], result["rooms"] = making.memberships()
            making.muster.stop()
            return result, hs.requests if kind == "scripted" else None, making
        finally:
            making.close()


def _counts(script, result):
    """Requests for each agent, membership and room, and all others."""
    kinds = script.counts()
    account = sum(kinds.get(k, 0) for k in (
        "register", "login", "displayname")) - 2  # the sender's two
    member = kinds.get("invite", 0) + kinds.get("join", 0)
    room = sum(kinds.get(k, 0) for k in ("alias", "capabilities", "createRoom"))
    return {
        "kinds": kinds,
        "an_agent": account / result["agents"],
        "a_membership": member / result["memberships"],
        "a_room": room / result["rooms"],
        "others": kinds.get("other", 0),
        "others_are": [f"{r.method} {r.path} {r.status}" for r, kind in
                       zip(script.requests, script.kinds) if kind == "other"]}


def measure_one(program, kind, folder, org, scripts, rounds, bound, say):
    """muster and the two bare loops in turns."""
    runs = []
    for n in range(1, rounds + 1):
        made, _, making = _muster(kind, folder, org, bound)
        tokens = _bare(program, kind, folder, making, scripts["tokens"])
        everything = _bare(program, kind, folder, making, scripts["all"])
        runs.append({"muster": made, "tokens": tokens, "all": everything})
        say(f"{made['agents']} agents, {kind}, round {n}: tokens in "
            f"{made['tokens_s']:.2f} s, bare {tokens['accounts_s']:.2f} s; "
            f"all in {made['seconds']:.2f} s, bare "
            f"{everything['seconds']:.2f} s; {made['requests']} requests, "
            f"bare {everything['requests']}; CPU {made['cpu_s']:.2f} s, bare "
            f"{everything['cpu_s']:.2f} s")
    return runs


def fleets(agents):
    whole = organisation.reference(SERVER)
    return [organisation.first(whole, n) for n in agents]


def measure(program, folder, orgs, rounds, say, kinds=("scripted", "real")):
    """[{agents, counts, scripted: [round], real: [round]}]"""
    results = []
    for org in orgs:
        n = len(org["people"]) - 1
        bound = 60 + n
        place = os.path.join(folder, "provision")
        first, log, _ = _muster("scripted", place, org, bound)
        script = Script(log)
        paths = {
            "tokens": script.write(os.path.join(folder, "tokens.txt"),
                                   ("register", "login")),
            "all": script.write(os.path.join(folder, "all.txt"))}
        result = {"agents": n, "manner": manner(),
                  "memberships": first["memberships"], "rooms": first["rooms"],
                  "counts": _counts(script, first)}
        say(f"{n} agents: {result['counts']}")
        for kind in kinds:
            result[kind] = measure_one(program, kind, place, org, paths,
                                       rounds, bound, say)
        results.append(result)
        shutil.rmtree(place, ignore_errors=True)
    return results
