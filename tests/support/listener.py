"""An agent's program: it follows one room and writes down every message.

    listener.py FOLDER ROOM

Its token is in MATRIX_ACCESS_TOKEN, or in the file of MATRIX_ACCESS_TOKEN_FILE,
which it reads again before each request. As bots do, it keeps where it is when it ends in an orderly way (SIGTERM); whoever ended
otherwise takes what comes from then on, and has lost what came meanwhile. In
FOLDER:

    heard   a line for each message
    life    "start DEVICE TOKEN", "token TOKEN", "stop", "dead": each with the
            time in front; of a token the beginning of its SHA-256
"""

import hashlib
import http.client
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from support.client import Client, quote  # noqa: E402

FILTER = {"presence": {"types": []}, "account_data": {"types": []},
          "room": {"timeline": {"limit": 100}, "ephemeral": {"types": []},
                   "account_data": {"types": []},
                   "state": {"types": ["m.room.create"]}}}
SEEN = 200
POLL_MS = 2000
THINK = 0.1
SECONDS = 60  # that a dead token is replaced in


class Stop(BaseException):
    """SIGTERM."""


class Dead(Exception):
    """The homeserver does not know our token."""


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def allow(stop):
    """Only while we wait for the homeserver it may end us."""
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK if stop else signal.SIG_BLOCK, [signal.SIGTERM])


class Listener:
    def __init__(self, folder, room):
        self.folder, self.room = folder, room
        self.client = Client(os.environ["MATRIX_HOMESERVER"], self._token())
        self.client.from_test = False
        self.since = None
        self.seen = []  # the room's last events

    @staticmethod
    def _token():
        path = os.environ.get("MATRIX_ACCESS_TOKEN_FILE")
        if not path:
            return os.environ["MATRIX_ACCESS_TOKEN"]
        with open(path, encoding="ascii") as f:
            return f.read().strip()

    def _write(self, name, lines):
        with open(os.path.join(self.folder, name), "a",
                  encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))

    def note(self, *words):
        self._write("life", [" ".join([str(int(time.time() * 1000)), *words])])

    # -- the homeserver

    def _ask(self, path, **query):
        """Until it answers; for as long as we may be ended."""
        while True:
            allow(True)
            try:
                got = self.client.get(path, **query)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            finally:
                allow(False)
            if got.status == 200:
                return got.body
            if got.errcode == "M_UNKNOWN_TOKEN":
                raise Dead
            time.sleep(0.05)

    def ask(self, path, **query):
        """The same, with another token if need be."""
        while True:
            self._look()
            try:
                return self._ask(path, **query)
            except Dead:
                self._wait_for_another()

    def _look(self):
        token = self._token()
        if token != self.client.token:
            self.client.token = token
            self.note("token", fingerprint(token))

    def _wait_for_another(self):
        if "MATRIX_ACCESS_TOKEN_FILE" not in os.environ:
            raise Dead
        end = time.monotonic() + SECONDS
        while self._token() == self.client.token:
            if time.monotonic() > end:
                raise Dead
            allow(True)
            time.sleep(0.02)
            allow(False)

    def _before(self, token):
        """What was left out of a sync, oldest first."""
        found = []
        while token:
            got = self.ask(f"/rooms/{quote(self.room)}/messages", dir="b",
                           limit=100, **{"from": token})
            for event in got["chunk"]:
                if event["event_id"] in self.seen:
                    return found[::-1]
                found.append(event)
            token = got.get("end") if got["chunk"] else None
        return found[::-1]

    # -- its life

    def _sync(self):
        query = {"filter": json.dumps(FILTER), "timeout": 0}
        if self.since:
            query.update(since=self.since, timeout=POLL_MS)
        got = self.ask("/sync", **query)
        timeline = got.get("rooms", {}).get("join", {}).get(
            self.room, {}).get("timeline", {})
        events = timeline.get("events", [])
        if self.since and timeline.get("limited"):
            events = self._before(timeline.get("prev_batch")) + events
        # Conduit gives one twice that came while it answered.
        events = [e for e in events if e["event_id"] not in self.seen]
        if self.since:
            self._write("heard", [
                e["content"]["body"] for e in events
                if e["type"] == "m.room.message"])
        self.seen = [*self.seen, *(e["event_id"] for e in events)][-SEEN:]
        self.since = got["next_batch"]

    @staticmethod
    def _think():
        """Else it would ask for each message alone."""
        allow(True)
        time.sleep(THINK)
        allow(False)

    def begin(self):
        path = os.path.join(self.folder, "sync.json")
        try:
            with open(path, encoding="utf-8") as f:
                self.since, self.seen = json.load(f)
            os.unlink(path)
        except FileNotFoundError:
            self._sync()
        device = self.ask("/account/whoami")["device_id"]
        self.note("start", device, fingerprint(self.client.token))

    def end(self):
        if self.since:
            with open(os.path.join(self.folder, "sync.json"), "w",
                      encoding="utf-8") as f:
                json.dump([self.since, self.seen], f)
        self.note("stop")

    def run(self):
        try:
            self.begin()
            while True:
                self._sync()
                self._think()
        except Stop:
            self.end()
            return 0
        except Dead:
            self.note("dead")
            return 1


def stop(*_):
    raise Stop


if __name__ == "__main__":
    allow(False)
    signal.signal(signal.SIGTERM, stop)
    sys.exit(Listener(*sys.argv[1:]).run())
