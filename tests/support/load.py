"""Homeservers that send as much as they can: one transaction in flight each,
sent again until it is answered 200, whatever breaks meanwhile. What they sent
says what must be in the store."""

import collections
import http.client
import json
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from support.process import PATIENCE

SINCE = 1700000000000  # the time of the first event
MEMBERSHIPS = ("invite", "join", "leave", "ban", "knock")
STATES = ("m.room.name", "m.room.join_rules", "m.room.canonical_alias")
PATHS = ("/_matrix/app/v1/transactions/", "/transactions/")
# A transaction that is not taken for so long never will be.
LONGEST = 60
# Of those that were taken, so many may come again: the store knows 10,000.
REMEMBERED = 50
# Every how-manieth transaction of a sender that may is no JSON.
NO_JSON_EVERY = 40

# Each is put aside, and its neighbours are applied.
BAD_EVENTS = (
    'null', '[]', '-1.5e400', '"\\ud800"', '{"type":7}',
    '{"type":"m.room.member","state_key":"@a:b"}',
    '{"type":"m.room.member","state_key":null,"content":{}}',
    '{"type":"m.room.name","state_key":"","content":{"name":1.5},'
    '"room_id":12,"event_id":"$x","origin_server_ts":1}')


class Transaction:
    """An id and its events, bad ones as text; or, without any, a body that is
    no JSON."""

    def __init__(self, id, events, body=None):
        self.id = id
        self.is_json = body is None
        self.n_events = len(events)
        self.body = body or ('{"events":[' + ",".join(
            e if isinstance(e, str) else json.dumps(e) for e in events)
            + "]}").encode()
        self.good = [e for e in events if not isinstance(e, str)]
        self.aside = [(id, n, e) for n, e in enumerate(events)
                      if isinstance(e, str)]
        if not self.is_json:
            self.aside = [(id, -1, self.body.decode())]


class Expected:
    """What the store must say, of what was taken."""

    def __init__(self):
        self.transactions = self.events = 0
        self.newest = {}  # (room, user or type): the event that holds
        self.aside = []   # (transaction, index, bytes), oldest first

    def take(self, txn):
        self.transactions += 1
        self.events += txn.n_events
        self.aside += txn.aside
        for event in txn.good:
            key = subject(event)
            held = self.newest.get(key)
            if key and (held is None or event["origin_server_ts"]
                        >= held["origin_server_ts"]):
                self.newest[key] = event

    def memberships(self):
        return {key: e["content"]["membership"]
                for key, e in self.newest.items()
                if e["type"] == "m.room.member"}

    def states(self):
        return {key: e["event_id"] for key, e in self.newest.items()
                if e["type"] != "m.room.member"}


def subject(event):
    """What the event says something of; None: of nothing that is kept."""
    if event["type"] == "m.room.member":
        return event["room_id"], event["state_key"]
    if event["type"] in STATES:
        return event["room_id"], event["type"]
    return None


class Connection:
    """Sends transactions; by one connection as long as it holds, or by a new
    one for each, as Conduit does."""

    def __init__(self, port, token):
        self._conn = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=LONGEST * PATIENCE)
        self._token = token

    def put(self, path, body, in_query, sent, close):
        """The status; None when there was no answer, or nobody to send to.
        sent() is called when the request is on its way."""
        headers = {"Authorization": f"Bearer {self._token}",
                   "Content-Type": "application/json"}
        if in_query:
            path += "?access_token=" + self._token
        try:
            self._conn.request("PUT", path, body, headers)
            sent()
            answer = self._conn.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        if close:
            self.close()
        return answer.status

    def close(self):
        self._conn.close()


class Sender(threading.Thread):
    """A homeserver. `random` decides what it sends. `watcher` is told by
    sent() while an answer is due, and may do what it likes to the service,
    and by answered(). `no_json`: also what is no JSON; of the senders to one
    service one may, since it knows only which one it refused last."""

    def __init__(self, name, port, token, random, watcher, no_json=False):
        super().__init__(name=name, daemon=True)
        self.random = random
        self.watcher = watcher
        self.no_json = no_json
        self.expected = Expected()
        self.sent = 0      # requests that may have arrived
        self.answers = collections.Counter()
        self.failure = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._mine = Connection(port, token)
        self._other = Connection(port, token)
        self._pool = ThreadPoolExecutor(1)
        self._taken = collections.deque(maxlen=REMEMBERED)
        self._clock = SINCE
        self._count = 0
        self.rooms = [f"!{name}{n}:load.test" for n in range(3)]
        self.users = [f"@{name}{n}:load.test" for n in range(20)]

    # -- its life

    def run(self):
        try:
            while not self._over.is_set():
                self._turn()
        except BaseException as e:  # noqa: B902, told by finish()
            self.failure = e
        finally:
            self._pool.shutdown()
            self._mine.close()
            self._other.close()

    def finish(self):
        """Nothing more after the one that is in flight, which is taken
        first."""
        self._over.set()
        self.join(2 * LONGEST * PATIENCE)
        assert not self.is_alive(), f"{self.name} waits for an answer"
        if self.failure:
            raise self.failure

    def _turn(self):
        if self._taken and self.random.random() < 0.1:
            self.deliver(self.random.choice(self._taken))
            return
        txn = self._next()
        self.deliver(txn)
        self.expected.take(txn)
        if not txn.is_json:
            self.deliver(txn)  # as if its answer had been lost
            return
        # Of one id the last is known.
        for old in [t for t in self._taken if t.id == txn.id]:
            self._taken.remove(old)
        self._taken.append(txn)

    # -- what it sends

    def _next(self):
        self._count += 1
        if self.no_json and self._count % NO_JSON_EVERY == 0:
            return self._no_json()
        number = self.random.choice([0, 1, 1, 1, 2, 5, 10, 30])
        events = [self._event() for _ in range(number)]
        txn = Transaction(f"{self.name}-{self._count}", events)
        if self._taken and txn.good and self.random.random() < 0.03:
            # The homeserver's counter has begun again.
            txn = Transaction(self.random.choice(self._taken).id, events)
        return txn

    def _no_json(self):
        """Refused twice, then put aside: counted as no event."""
        return Transaction(f"{self.name}-{self._count}", [],
                           b'{"events":[%d' % self._count)

    def _event(self):
        kind = self.random.random()
        if kind < 0.06:
            return self.random.choice(BAD_EVENTS)
        if kind < 0.2:
            return self._any("m.room.message", {"body": "x"})
        if kind < 0.3:
            return self._any(self.random.choice(STATES),
                             {"x": str(self._clock)}, "")
        return self._any("m.room.member", {
            "membership": self.random.choice(MEMBERSHIPS)},
            self.random.choice(self.users))

    def _any(self, type, content, state_key=None):
        """Most are newer than all before; some are of the same time as the
        last, and some come late."""
        ts = self._clock = self._clock + self.random.choice([0, 1, 1, 1])
        if self.random.random() < 0.1:
            ts -= self.random.randrange(1, 100)
        event = {"type": type, "room_id": self.random.choice(self.rooms),
                 "event_id": f"${self.name}-{self._count}-"
                             f"{self.random.getrandbits(48):x}",
                 "sender": self.users[0], "origin_server_ts": ts,
                 "content": content}
        if state_key is not None:
            event["state_key"] = state_key
        return event

    # -- how it sends

    def deliver(self, txn):
        """Until it is answered 200."""
        end = time.monotonic() + LONGEST * PATIENCE
        while True:
            statuses = self._attempt(txn)
            if 200 in statuses:
                return
            assert set(statuses) <= {None, 400}, (txn.id, statuses)
            assert 400 not in statuses or not txn.is_json, txn.body
            assert time.monotonic() < end, f"{txn.id} is never taken"
            if 400 not in statuses:
                time.sleep(0.002)  # nobody is there: as a homeserver waits

    def _attempt(self, txn):
        """Once, or from two connections at one time."""
        if txn.is_json and self.random.random() < 0.1:
            other = self._pool.submit(self._put, self._other, txn,
                                      self._manner())
            return self._put(self._mine, txn, self._manner()), other.result()
        return (self._put(self._mine, txn, self._manner()),)

    def _manner(self):
        """By which path, the token where, the connection kept or not."""
        return (self.random.choice(PATHS), self.random.random() < 0.5,
                self.random.random() < 0.5)

    def _put(self, connection, txn, manner):
        path, in_query, close = manner

        def sent():
            with self._lock:
                self.sent += 1
            self.watcher.sent()
        status = connection.put(
            path + urllib.parse.quote(txn.id, safe=""), txn.body, in_query,
            sent, close)
        if status:
            with self._lock:
                self.answers[status] += 1
            self.watcher.answered()
        return status
