"""From the scripted homeserver to an application service: what is of interest
to it, in transactions, one in flight, sent again until they are taken."""

import http.client
import json
import re
import threading
import time
import urllib.parse

from support import printed

from .world import hash_id


class BadRegistration(Exception):
    pass


class Delivery:
    """One attempt at a transaction."""

    def __init__(self, service, txn_id, events):
        self.service = service
        self.txn_id = txn_id
        self.events = events
        self.status = None  # None: no answer
        self.error = None

    @property
    def taken(self):
        return self.status is not None and self.status < 400

    def __repr__(self):
        return (f"<{self.txn_id} {len(self.events)} events: "
                f"{self.status or self.error}>")


class Appservice:
    """A registration, and the queue and thread that belong to it."""

    def __init__(self, hs, registration):
        self.hs = hs
        self.registration = registration
        self.namespaces = self._compile(registration)
        for key in ("id", "as_token", "hs_token", "sender_localpart"):
            if not isinstance(registration.get(key), str):
                raise BadRegistration(f"missing field `{key}`")
        if "url" not in registration:
            raise BadRegistration("missing field `url`")
        printed.keep(registration["as_token"], registration["hs_token"])
        self.queue = []  # (room's number, position, event)
        self.active = None  # (transaction id, events)
        self.changed = threading.Condition()
        self.new_since_failure = False
        self.paused = False
        self.closed = False
        self.count = 0
        self._matched = {}
        self._thread = None

    @staticmethod
    def _compile(registration):
        spaces = registration.get("namespaces")
        if not isinstance(spaces, dict):
            raise BadRegistration("missing field `namespaces`")
        out = {}
        for kind in ("users", "aliases", "rooms"):
            out[kind] = []
            for entry in spaces.get(kind, []):
                if set(entry) < {"exclusive", "regex"}:
                    raise BadRegistration("missing field in a namespace")
                # Rust's engine has no look-around and no back-references.
                if re.search(r"\(\?[=!<]|\\[1-9]", entry["regex"]):
                    raise re.error("look-around is not supported")
                out[kind].append(
                    (re.compile(entry["regex"]), entry["exclusive"]))
        return out

    @property
    def id(self):
        return self.registration["id"]

    @property
    def sender(self):
        return self.hs.world.full_id(self.registration["sender_localpart"])

    def matches(self, kind, name, exclusively=False):
        """As the real ones do: a search, not a match of the whole."""
        known = self._matched.get((kind, name))
        if known is None:
            hits = [exclusive for regex, exclusive in self.namespaces[kind]
                    if regex.search(name)]
            known = self._matched[(kind, name)] = (bool(hits), any(hits))
        return known[1] if exclusively else known[0]

    def owns(self, user_id, exclusively=False):
        return user_id == self.sender or self.matches(
            "users", user_id, exclusively)

    def wants(self, event, room):
        if self.owns(event["sender"]):
            return True
        if event["type"] == "m.room.member" and self.owns(event["state_key"]):
            return True
        return (any(self.owns(user) for user in room.joined)
                or any(self.matches("aliases", a) for a in room.aliases)
                or self.matches("rooms", room.room_id))

    # -- the queue

    def enqueue(self, event, room, position):
        with self.changed:
            self.queue.append((room.number, position, event))
            self.new_since_failure = True
            self.changed.notify_all()

    def idle(self):
        with self.changed:
            return not self.queue and self.active is None

    def inherit(self, old):
        """What another registration of this id left to be sent."""
        with old.changed:
            old.closed = True
            old.changed.notify_all()
            self.queue, self.active = old.queue, old.active
            self.count, self.paused = old.count, old.paused

    def start(self):
        self.closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        if self._thread:
            self._thread.join(5)

    def pause(self, paused):
        with self.changed:
            self.paused = paused
            self.changed.notify_all()

    def _run(self):
        batch = 1  # the first goes alone, what gathers meanwhile together
        failures = 0
        while True:
            with self.changed:
                while not self.closed and (self.paused or not (
                        self.active or self.queue)):
                    if not self.paused:
                        batch = 1
                    self.changed.wait(1)
                if self.closed:
                    return
                if self.active is None:
                    self.active = self._take(batch)
                txn_id, events = self.active
                self.new_since_failure = False
            delivery = self.send(txn_id, events)
            if delivery.taken:
                failures = 0
                with self.changed:
                    self.active = None
                    self.changed.notify_all()
                batch = self.hs.batch
            else:
                failures += 1
                self._wait_to_retry(failures)

    def _take(self, most):
        self.queue.sort(key=lambda item: item[:2])
        batch, self.queue = self.queue[:most], self.queue[most:]
        self.count += 1
        if self.hs.conduit:
            txn_id = hash_id(self.id, *(item[:2] for item in batch))
        else:
            txn_id = str(self.count)
        return txn_id, [event for _, _, event in batch]

    def _wait_to_retry(self, failures):
        """A moment; and where the test wants it as Conduit does it, until
        something new has come as well."""
        wait = self.hs.retry_after
        if self.hs.retry_needs_event:
            wait *= failures ** 2
        end = time.monotonic() + wait
        with self.changed:
            while not self.closed:
                left = end - time.monotonic()
                if left <= 0 and (self.new_since_failure
                                  or not self.hs.retry_needs_event):
                    return
                self.changed.wait(left if left > 0 else 1)

    # -- the wire

    def call(self, method, path, body=None):
        """(status, raw answer) of the service; OSError when there is none."""
        where = urllib.parse.urlsplit(self.registration["url"].rstrip("/"))
        token = self.registration["hs_token"]
        path = where.path + path
        if self.hs.conduit:
            path += f"?access_token={token}"
        conn = http.client.HTTPConnection(
            where.hostname, where.port or 80, timeout=self.hs.push_timeout)
        try:
            conn.request(method, path, body, {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json"})
            got = conn.getresponse()
            return got.status, got.read()
        except http.client.HTTPException as e:
            raise OSError(f"no answer: {e!r}") from e
        finally:
            conn.close()

    def send(self, txn_id, events, raw=None):
        """One attempt at a transaction, taken down in hs.deliveries."""
        delivery = Delivery(self.id, txn_id, events)
        if raw is None:
            with self.hs.lock:
                raw = json.dumps({"events": [
                    self.hs.as_pushed(e, self) for e in events]}).encode()
        if self.registration["url"] is None:
            delivery.status = 200
            return delivery
        try:
            delivery.status, _ = self.call(
                "PUT", "/_matrix/app/v1/transactions/" +
                urllib.parse.quote(txn_id, safe=""), raw)
        except OSError as e:
            delivery.error = str(e) or type(e).__name__
        with self.hs.lock:
            self.hs.deliveries.append(delivery)
        return delivery
