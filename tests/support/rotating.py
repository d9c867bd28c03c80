"""A fleet on a real homeserver whose agents run, each under muster-agent, and a
human who talks to all of them all the time. What the service asks of the
homeserver goes through a gate that can be closed."""

import collections
import contextlib
import os
import re
import sys
import threading
import time

from support import small
from support.client import Client
from support.fleet import Fleet, real_homeserver
from support.listener import fingerprint
from support.muster import Muster, binary
from support.nioclient import NioClient
from support.process import Daemon, environment, wait_until
from support.tap import Asked

SERVER = "fleet.test"
HUMAN = f"@carla.ceo:{SERVER}"
AGENTS = ["ada", "ben", "cleo", "dora", "emil"]
TALK = f"#talk:{SERVER}"
LISTENER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "listener.py")
LOGIN = "POST .*/login$"
MOST = 5000  # messages that are sent when nobody ends it
WAIT = "2m"  # where it is not what is tested


class Held:
    """Requests that the gate keeps, `reached` once one is there, until it is
    opened or, of one of them, over() returns."""

    def __init__(self, pattern, after, over=None):
        self.pattern, self.after = re.compile(pattern), after
        self.over = over
        self.reached = threading.Event()
        self._open = threading.Event()

    def keep(self, what, after):
        if after != self.after or not self.pattern.search(what):
            return
        self.reached.set()
        if self.over is None:
            self._open.wait(120)
        elif not self._open.is_set():
            self.over()

    def wait(self, bound=30):
        wait_until(self.reached.is_set, bound, self.pattern.pattern, 0.005)

    def release(self):
        self._open.set()


class Gate(Asked):
    def __init__(self, *args):
        self.held = []
        self.refused_now = None
        super().__init__(*args)

    @contextlib.contextmanager
    def hold(self, pattern, after=False, over=None):
        """Requests like this one ("METHOD path") come to the homeserver only
        when they are released, or (`after`) its answers come back then."""
        held = Held(pattern, after, over)
        self.held.append(held)
        try:
            yield held
        finally:
            held.release()
            self.held.remove(held)

    @contextlib.contextmanager
    def refuse(self, pattern):
        """Requests like this one are answered 502 and do not come through."""
        self.refused_now = re.compile(pattern)
        try:
            yield
        finally:
            self.refused_now = None

    def _pass_on(self, method, path, headers, body):
        what = f"{method} {path.partition('?')[0]}"
        if self.refused_now and self.refused_now.search(what):
            return 502, b"{}", "application/json"
        for held in list(self.held):
            held.keep(what, False)
        answer = super()._pass_on(method, path, headers, body)
        for held in list(self.held):
            held.keep(what, True)
        return answer

    def logins(self, user_id):
        """How many succeeded."""
        return self.writes().count(("login", None, user_id))


class Talk(threading.Thread):
    """The human sends numbers, one after the other."""

    def __init__(self, fleet, said):
        super().__init__(daemon=True)
        self.fleet, self.room = fleet, fleet.room_id(TALK)
        self.said = said
        self.sent = []  # (text, when it was sent, when that was answered)
        self.most = MOST
        self.error = None

    def run(self):
        client = NioClient(self.fleet.hs.url, HUMAN, self.fleet.human.token)
        try:
            while len(self.sent) < self.most:
                text, began = f"{self.said} {len(self.sent)}", time.time()
                client.send(self.room, text)
                self.sent.append((text, began * 1000, time.time() * 1000))
        except Exception as e:  # pylint: disable=broad-except
            self.error = e
        finally:
            client.close()

    def texts(self):
        return [text for text, *_ in self.sent]

    def between(self, since_ms, until_ms):
        return [text for text, began, ended in self.sent
                if since_ms < began and ended < until_ms]

    def wait(self, more):
        """Until so many more are sent."""
        until = len(self.sent) + more
        wait_until(lambda: len(self.sent) >= until or self.error, 60 + more,
                   f"{more} more messages", every=0.01)
        assert self.error is None, self.error

    def finish(self, least=0):
        """No more, once there are so many."""
        self.most = max(least, len(self.sent) + 1)
        wait_until(lambda: not self.is_alive(), 60 + self.most -
                   len(self.sent), f"{self.most} messages")
        assert self.error is None, self.error
        return self.texts()


Life = collections.namedtuple("Life", "ms what words")


class Running(Daemon):
    """muster-agent, and the listener that it runs. Its folder stays over all
    its starts."""

    def __init__(self, fleet, localpart, folder, *options):
        os.makedirs(folder)
        super().__init__(
            f"muster-agent of {localpart}", os.path.join(folder, "log"))
        self.fleet, self.localpart, self.folder = fleet, localpart, folder
        self.options = options
        self.user_id = fleet.muster.full_id(localpart)

    def begin(self):
        """Starts it; until the listener listens with the token that is
        there."""
        known = len(self.life())
        self.launch(
            [binary("muster-agent"), "run", "--runtime",
             self.fleet.muster.runtime_dir(self.localpart), *self.options,
             "--", sys.executable, LISTENER, self.folder,
             self.fleet.room_id(TALK)],
            env=environment(MUSTER_AGENT_NAME=f"{self.localpart} of the test"))
        self.wait_for(lambda: "start" in [
            one.what for one in self.life()[known:]], 30, "it listens")
        return self

    def acknowledged(self):
        """Until the service knows that it has its token; the agent's row."""
        def there():
            row = self.row()
            return row["state"] == "acknowledged" and row
        return self.wait_for(there, 30, "it is acknowledged")

    def row(self):
        return small.agent(self.fleet.muster, self.localpart)

    def names(self):
        return self.fleet.muster.handoff_names(self.localpart)

    def wait_name(self, kind):
        """Until a file of this kind ("paused") comes that is not there."""
        old = self.names()
        return lambda bound=30: wait_until(
            lambda: [n for n in self.names() if n.startswith(kind + ".")
                     and n not in old], bound, f"{kind} of {self.localpart}",
            every=0.002)

    def _lines(self, name):
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.folder, name), encoding="utf-8") as f:
                return f.read().splitlines()
        return []

    def heard(self):
        return self._lines("heard")

    def life(self):
        return [Life(int(ms), what, words) for ms, what, *words in
                map(str.split, self._lines("life"))]

    def wait_heard(self, texts, bound=60):
        """Until it has heard as many; they must be these, in this order."""
        self.wait_for(lambda: len(self.heard()) >= len(texts), bound,
                      f"{len(texts)} messages (there are {len(self.heard())})")
        assert self.heard() == texts, [
            pair for pair in zip(self.heard(), texts) if pair[0] != pair[1]][:3]

    def assert_good(self):
        """The listener runs on its one device, with the token that is in the
        file, and the homeserver knows it."""
        got = self.fleet.muster.handoff(self.localpart)
        me = Client(self.fleet.hs.url, got["access_token"]).whoami()
        assert me.status == 200, me
        assert (me.body["user_id"], me.body["device_id"]) == (
            self.user_id, "MUSTER")
        devices = {one.words[0] for one in self.life() if one.what == "start"}
        assert devices == {"MUSTER"}
        self.wait_for(
            lambda: [one.words[-1] for one in self.life()
                     if one.what in ("start", "token")][-1]
            == fingerprint(got["access_token"]), 10, "it uses its token")

    def token(self):
        return self.fleet.muster.handoff(self.localpart)["access_token"]

    def end(self):
        """It ends as its program does, which kept where it was."""
        assert self.stop() in (None, 0), self.tail()


class Rotating(Fleet):
    """`ada` and the others, all in one room with the human."""

    def __init__(self, kind, dir):
        hs = real_homeserver(kind, SERVER, os.path.join(dir, "hs"))
        muster = Muster(os.path.join(dir, "muster"), hs, fleet={
            "humans": [{"id": HUMAN, "name": "Carla Ceo"}],
            "agents": [{"id": name, "name": name.title(), "department": "Lab",
                        "level": "IC"} for name in AGENTS]})
        super().__init__(hs, muster, HUMAN)
        self.gate = Gate(hs.url, lambda: muster.registration["as_token"])
        muster.write_config(
            rooms=[{"alias": "talk", "members": {"everyone": True}}],
            direct={"create": "off"}, handoff={"wait": WAIT},
            homeserver={"url": self.gate.url, "public_url": hs.url})
        self.talks = 0

    def bring_up(self):
        self.muster.run("registration", expect=0)
        if self.hs.kind == "synapse":
            self.hs.start([self.muster.registration_path])
        else:
            self.hs.start()
        self.hs.human("carla.ceo", self.password)
        self.run("register", expect=0)
        self.settle()
        self.human.join(self.room_id(TALK))
        return self

    def set(self, **handoff):
        """Settings of the hand-off, in the running service."""
        self.muster.write_config(handoff=handoff)
        self.muster.restart()

    @contextlib.contextmanager
    def without_gate(self):
        """The service asks the homeserver itself."""
        for url in (self.hs.url, self.gate.url):
            self.muster.write_config(homeserver={"url": url})
            self.muster.restart()
            if url != self.gate.url:
                yield

    def is_dead(self, token):
        me = Client(self.hs.url, token).whoami()
        assert me.status == 200 or (me.status, me.errcode) == (
            401, "M_UNKNOWN_TOKEN"), me
        return me.status == 401

    @contextlib.contextmanager
    def talking(self):
        self.talks += 1
        talk = Talk(self, f"talk {self.talks}, message")
        talk.start()
        try:
            yield talk
        finally:
            talk.most = 0
            talk.join(60)

    def slow_logins(self, talk, more):
        """Each is done, and tells so when the human has said so much more: who
        is not paused meanwhile knows by then what became of its old token."""
        return self.gate.hold(LOGIN, after=True, over=lambda: talk.wait(more))

    def ask_rotation(self, *localparts):
        """Without waiting for what comes of it."""
        status, asked = small.ask(self.muster, "/v1/rotate", "POST",
                                  {"users": list(localparts)})
        assert status == 200, asked

    def wait_done(self, *localparts, state="done", bound=40):
        for a in localparts:
            self.muster.daemon.wait_for(
                lambda a=a: small.agent(self.muster, a)["rotation"] == state,
                bound, f"the rotation of {a} is {state}")

    def close(self):
        try:
            self.muster.close()
        finally:
            self.hs.kill()
            self.gate.close()
