"""A scripted homeserver: it answers as Conduit or as Synapse does, or as Conduit
with what is known of Tuwunel's other ways; keeps all in memory, pushes
transactions, writes down every request, and goes wrong when and how a test
wants it to.

    hs = FakeHS("fleet.test", "conduit").start()
    hs.fault("POST", r"/login$", limited(retry_after_ms=50), times=2)
    hs.on_request(lambda n, phase, method, path: ...)
    ...
    assert hs.writes() == []

Calls that carry `X-From-Test` (support.client.Client) are the test's own: they
are served, but neither written down nor disturbed.
"""

import json
import re
import threading
import time
import traceback
from urllib.parse import quote, unquote

import yaml

from ..client import Client
from ..process import free_port, wait_until
from .accounts import Accounts
from .admin import AdminRoom, TuwunelRoom
from .directory import Directory
from .errors import Bare, Body, Missing, Refusal
from .faults import (  # noqa: F401, what tests import from here
    answer, cut_off, delay, garbage, hold, lie, limited, reset_after,
    reset_before)
from .push import Appservice
from .rooms import Rooms
from .routing import find, route
from .server import Server
from .world import Denied, World

SYNAPSE_VERSION = "Synapse/1.163.2"


class FakeHS(Accounts, Rooms, Directory, Server):
    # How the pushing behaves; settable at any time.
    retry_after = 0.1         # seconds until a refused transaction comes again
    retry_needs_event = False  # as Conduit: only when something new came, too
    push_timeout = 30.0
    # What an application service's login gets: "given"; "refused", as Synapse
    # does when the registration says so; "not listed" among the ways to log in
    # either; "none", as where somebody else does all of that.
    service_logins = "given"
    clock_off = 0             # seconds that its clock is before ours
    # Whether it talks to other servers, to whom it says its name.
    federates = False
    # So many rooms are not finished: as Conduit leaves them when it is killed.
    cut_creations = 0

    def __init__(self, server_name, manner, room_version=None,
                 registration_token=None, emergency_password=None):
        assert manner in ("conduit", "tuwunel", "synapse")
        super().__init__(free_port())
        self.server_name = server_name
        self.manner = self.kind = manner
        self.tuwunel = manner == "tuwunel"
        self.conduit = manner == "conduit" or self.tuwunel
        self.room_version = room_version or ("12" if self.conduit else "11")
        self.room_versions = [str(v) for v in range(6, 13)]
        self.batch = 30 if self.conduit else 100
        self.lightning = self.conduit
        self.allow_registration = True
        self.registration_token = registration_token
        self.emergency_password = emergency_password
        self.lock = threading.RLock()
        self.deliveries = []
        self._bringing = []
        self.errors = []  # tracebacks: must stay empty
        # (user, request, request): brought into a first room by both at one
        # time, which on Conduit leaves one of the two rooms broken.
        self.crossings = []
        self.appservices = {}
        self.by_file = set()  # ids: no command changes them
        self._lost = lambda event: False
        self._running = False
        self._new_world()

    def _new_world(self):
        self.world = World(self.server_name)
        self.bot_id = self.world.full_id("conduit") if self.conduit else None
        room = TuwunelRoom if self.tuwunel else AdminRoom
        self.admin = room(self) if self.conduit else None
        self.world.on_event = self._on_event

    # -- its life

    def start(self):
        """Listens, always on the same port."""
        self.listen()
        self._running = True
        for service in self.appservices.values():
            service.start()
        return self

    def stop(self):
        """Everything breaks off; what it knows it keeps."""
        if not self._running:
            return
        self._running = False
        self.hang_up()
        for service in self.appservices.values():
            service.close()

    kill = stop

    def restart(self):
        self.stop()
        return self.start()

    def wipe(self):
        """Forgets everything, as with a new database. In Conduit's manner the
        registrations go too; Synapse has them in its configuration."""
        running = self._running
        self.stop()
        with self.lock:
            kept = [] if self.conduit else [
                s.registration for s in self.appservices.values()]
            self.appservices = {}
            self.by_file = set()
            self._new_world()
        for registration in kept:
            self.register_appservice(registration)
        if running:
            self.start()

    # -- application services

    def check_appservice(self, registration):
        """Only whether it could be taken up."""
        Appservice(self, registration)

    def register_appservice(self, registration):
        """Takes up a registration; one of the same id is replaced."""
        service = Appservice(self, registration)
        with self.lock:
            old = self.appservices.get(service.id)
            if old:
                service.inherit(old)
            self.appservices[service.id] = service
            if self.tuwunel and service.sender not in self.world.users:
                self.world.add_user(service.sender, "")
        if old:
            threading.Thread(target=old.close, daemon=True).start()
        if self._running:
            service.start()

    def unregister_appservice(self, id):
        with self.lock:
            service = self.appservices.pop(id)
            self.by_file.discard(id)
        threading.Thread(target=service.close, daemon=True).start()

    def add_appservice(self, path):
        """A registration file, as an operator would give it to the server."""
        with open(path, encoding="utf-8") as f:
            registration = yaml.safe_load(f)
        self.by_file.add(registration["id"])
        self.register_appservice(registration)
        return self

    def _on_event(self, event, room, position):
        for service in self.appservices.values():
            if service.wants(event, room) and not self._lost(event):
                service.enqueue(event, room, position)

    def as_pushed(self, event, service):
        """The event as it stands in a transaction; under the lock."""
        if self.conduit:
            return event
        age = int(time.time() * 1000) - event["origin_server_ts"]
        unsigned = {**event["unsigned"], "age": age}
        if event["content"].get("membership") == "invite" and (
                service.owns(event.get("state_key", ""))):
            room = self.world.rooms.get(event["room_id"])
            unsigned["invite_room_state"] = [
                {k: e[k] for k in ("type", "sender", "content", "state_key")}
                for (kind, _), e in (room.state if room else {}).items()
                if kind in (
                    "m.room.create", "m.room.join_rules", "m.room.name",
                    "m.room.canonical_alias")]
        # Its old format: what is in unsigned stands outside once more.
        outside = {k: unsigned[k] for k in (
            "age", "prev_content", "invite_room_state") if k in unsigned}
        return {**event, "unsigned": unsigned, **outside,
                "user_id": event["sender"]}

    # -- scripting the pushing

    def pause_delivery(self):
        """What happens is queued."""
        for service in self.appservices.values():
            service.pause(True)

    def resume_delivery(self):
        for service in self.appservices.values():
            service.pause(False)

    def lose_events(self, check):
        """Events for which check(event) is true are never pushed (None: all
        are again)."""
        self._lost = check or (lambda event: False)

    def push(self, events, txn_id="by-hand", raw=None, id=None):
        """A transaction by hand, whatever is in it; the attempt."""
        service = (self.appservices[id] if id
                   else next(iter(self.appservices.values())))
        return service.send(txn_id, events, json.dumps(
            {"events": events}).encode() if raw is None else raw)

    def wait_delivered(self, bound=10):
        """Until nothing is queued or on its way."""
        wait_until(lambda: all(s.idle() for s in self.appservices.values()),
                   bound, "everything to be delivered")

    # -- the log

    @property
    def requests(self):
        return list(self.log.all)

    def writes(self, method="*", path_regex=""):
        return [r for r in self.find(method, path_regex) if r.write]

    def reads(self, path_regex=""):
        return [r for r in self.find("GET", path_regex) if not r.write]

    def find(self, method="*", path_regex=""):
        return [r for r in self.requests
                if method in ("*", r.method) and re.search(path_regex, r.path)]

    def clear_log(self):
        self.log.clear()

    def wait_quiet(self, seconds=0.5, bound=30):
        """Until nothing was asked for so long, and nothing waits to go out."""
        seen = [len(self.requests), time.monotonic()]

        def quiet():
            now, count = time.monotonic(), len(self.requests)
            if count != seen[0] or self.log.in_flight or not all(
                    s.paused or s.idle() for s in self.appservices.values()):
                seen[:] = [count, now]
            return now - seen[1] >= seconds
        wait_until(quiet, bound, f"{seconds} s without a request")

    # -- for tests to look at, and to set the scene

    def human(self, localpart, password="a human's password"):
        """A new account, logged in; in Conduit's manner never the admin."""
        if self.admin and not self.admin.has_admin():
            self.operator()
        return Client(self.url).register(localpart, password)

    def operator(self, localpart="operator", password="operators-password"):
        """The server's administrator."""
        return Client(self.url).register(localpart, password)

    def user(self, localpart):
        return self.world.users.get(self.world.full_id(localpart))

    def room(self, alias):
        """By alias (with or without # and server) or room id; or None."""
        if alias.startswith("!"):
            return self.world.rooms.get(alias)
        if not alias.startswith("#"):
            alias = f"#{alias}:{self.server_name}"
        known = self.world.aliases.get(alias)
        return known and self.world.rooms.get(known[0])

    def tokens_of(self, localpart):
        """Every token that is good for this user now."""
        user_id = self.world.full_id(localpart)
        with self.lock:
            return [t for t, (owner, _) in self.world.tokens.items()
                    if owner == user_id]

    def end_tokens(self, localpart):
        """As an administrator, or the user's own logout, does."""
        with self.lock:
            user_id = self.world.full_id(localpart)
            self.world.drop_devices(self.world.users[user_id])

    def command(self, text):
        """What the bot of the admin room answers."""
        with self.lock:
            return self.admin.command(text)

    def delete_room(self, alias):
        """As an administrator does: everybody out, and all of it forgotten.
        Synapse's services hear of the leaves; of Conduit, which has no such
        command, the rows of its database are gone."""
        with self.lock:
            room = self.room(alias)
            if not self.conduit:
                for user_id in [key for (kind, key) in room.state
                                if kind == "m.room.member" and room.membership(
                                    key) in ("join", "invite", "knock")]:
                    self.world.set_member(room, user_id, user_id, "leave")
            self.world.forget_room(room)

    # -- answering

    def pick(self, conduit, synapse):
        return Refusal(*(conduit if self.conduit else synapse))

    def handle(self, request):
        """(status, body, headers)"""
        headers = {} if self.conduit else {"Server": SYNAPSE_VERSION}
        try:
            return 200, self._dispatch(request), headers
        except Denied as e:
            refusal = Refusal(403, "M_FORBIDDEN", "Event is not authorized."
                              if self.conduit else str(e))
            if e.banned and not self.conduit:
                refusal.errcode = "M_BAD_STATE"
        except Refusal as e:
            refusal = e
        except Missing as e:
            refusal = Refusal(400, "M_BAD_JSON", str(e))
        except Exception:  # a fault of this program, not of a test's
            self.errors.append(traceback.format_exc())
            refusal = Refusal(500)
        return refusal.status, self._error(refusal), headers

    def _error(self, refusal):
        if refusal.errcode is None:
            return refusal.more or None
        text = refusal.text
        if self.conduit and not isinstance(refusal, Bare):
            text = f"{refusal.errcode}: {text}"
        return {"errcode": refusal.errcode, "error": text, **refusal.more}

    def process(self, request):
        if not self._brings(request):
            return super().process(request)
        with self.lock:
            known = {key for room in self.world.rooms.values()
                     for kind, key in room.state if kind == "m.room.member"}
            new = self._brings(request) - known
            self.crossings += [
                (user, other, request) for user in new
                for other, users in self._bringing if user in users]
            self._bringing.append((request, new))
        try:
            return super().process(request)
        finally:
            with self.lock:
                self._bringing.remove((request, new))

    def _brings(self, r):
        """Whom a request brings into a room."""
        body = r.body if isinstance(r.body, dict) else {}
        if r.path.endswith("/invite"):
            return {body.get("user_id")}
        if r.path.endswith("/createRoom"):
            service = next(iter(self.appservices.values()), None)
            return {r.query.get("user_id") or service and service.sender,
                    *body.get("invite", [])}
        return set()

    def _dispatch(self, r):
        found, parts = find(r.method, r.raw_path)
        r.device = None
        self._know_token(r)
        if found is None:
            raise Refusal(405 if parts else 404, "M_UNRECOGNIZED",
                          "Unrecognized request")
        with self.lock:
            self._authenticate(r, found.auth)
        self._parse(r)
        handler = getattr(self, found.handler)
        parts = {name: unquote(part) for name, part in parts.items()}
        if "unlocked" in found.auth:
            return handler(r, **parts)
        with self.lock:
            return handler(r, **parts)

    def _parse(self, r):
        if r.method == "GET":
            return
        if r.raw and not isinstance(r.body, dict):
            raise self.pick(
                (400, "M_BAD_JSON", "Failed to deserialize request."),
                (400, "M_NOT_JSON", "Content not JSON."))
        r.body = Body(r.body or {})

    # -- who calls

    def _know_token(self, r):
        """Whose token it is; r.owner is (user, device) of a user's."""
        scheme, _, token = r.headers.get("Authorization", "").partition(" ")
        by_header = scheme.lower() == "bearer"
        if not by_header:
            token = r.query.get("access_token", "")
        r.owner = self.world.tokens.get(token)
        r.service = next((s for s in self.appservices.values()
                          if s.registration["as_token"] == token), None)
        r.unknown_token = bool(token) and not (r.owner or r.service)
        if r.unknown_token and (by_header and self.conduit
                                or r.path.endswith("/versions")):
            self._refuse_token()

    def _refuse_token(self):
        more = {} if self.conduit else {"soft_logout": False}
        raise Refusal(401, "M_UNKNOWN_TOKEN", "Unknown access token.", more)

    def _authenticate(self, r, auth):
        if auth.startswith("none"):
            return
        if auth.startswith("service"):
            if r.owner and "appservice" in r.path and not self.conduit:
                raise Refusal(403, "M_FORBIDDEN", "not a service")
            if r.owner:
                raise self.pick(
                    (401, "M_UNAUTHORIZED", "Only appservice access tokens "
                     "should be used on this endpoint."),
                    (401, "M_UNKNOWN_TOKEN", "Unrecognised access token"))
            return
        if r.owner:
            r.user, r.device = r.owner
        elif r.service:
            self._assert_user(r)
        elif r.unknown_token:
            if self.conduit:
                raise Refusal(500)
            self._refuse_token()
        else:
            raise Refusal(401, "M_MISSING_TOKEN", "Missing access token.")

    def _assert_user(self, r):
        user_id = r.query.get("user_id", r.service.sender)
        if not r.service.owns(user_id):
            if self.conduit and not (
                    user_id.startswith("@") and ":" in user_id):
                raise Refusal(400, "M_INVALID_USERNAME",
                              "Username is invalid.")
            raise self.pick(
                (400, "M_EXCLUSIVE", "User is not in namespace."),
                (403, "M_FORBIDDEN", "Application service cannot masquerade "
                 f"as this user ({user_id})."))
        # Synapse lets the sender act before anybody registered it.
        sender = not self.conduit and user_id == r.service.sender
        if sender and user_id not in self.world.users:
            self.world.add_user(user_id).registered = False
        if not sender and not self.world.has_user(user_id):
            raise self.pick(
                (403, "M_FORBIDDEN", "User does not exist."),
                (403, "M_FORBIDDEN", "Application service has not registered "
                 f"this user ({user_id})"))
        r.user = user_id

    # -- the server itself

    @route("GET", "/_matrix/client/versions", auth="none")
    def versions(self, _r):
        return {"versions": ["r0.5.0", "r0.6.0", *(
            f"v1.{n}" for n in range(1, 13))], "unstable_features": {}}

    @route("GET", "/_matrix/key/v2/server", auth="none")
    def keys(self, _r):
        if not self.federates:
            raise Refusal(500, "M_UNKNOWN", "Federation is disabled.")
        return {"server_name": self.server_name, "verify_keys": {}}

    @route("GET", "/", auth="none")
    def root(self, _r):
        if self.tuwunel:
            return b"hewwo from tuwunel woof!"
        if self.conduit:
            return b"Hello from Conduit!"
        raise Refusal(404, "M_UNRECOGNIZED", "Unrecognized request")

    @route("GET", "/capabilities")
    def capabilities(self, _r):
        return {"capabilities": {"m.room_versions": {
            "default": self.room_version,
            "available": {v: "stable" for v in self.room_versions}}}}

    @route("POST", "/appservice/{id}/ping", auth="service unlocked")
    def ping(self, r, id):
        service = r.service
        if service is None:
            raise Refusal(401, "M_MISSING_TOKEN", "Missing token.")
        if service.id != id:
            raise Refusal(403, "M_FORBIDDEN", "Appservice ID specified in path "
                          "does not match the requesting access token")
        if service.registration["url"] is None:
            raise Refusal(400, "M_URL_NOT_SET", "no url")
        began = time.monotonic()
        try:
            status, body = service.call(
                "POST", "/_matrix/app/v1/ping", json.dumps(
                    {"transaction_id": r.body.get("transaction_id")}
                    if "transaction_id" in r.body or not self.conduit
                    else {}))
        except TimeoutError:
            raise Refusal(504, "M_CONNECTION_TIMEOUT", "timed out") from None
        except OSError as e:
            raise Refusal(502, "M_CONNECTION_FAILED", str(e)) from None
        if status >= 400 and self.conduit:
            raise Refusal(502, "M_CONNECTION_FAILED", f"status {status}")
        if not 200 <= status < 300 and not self.conduit:
            raise Refusal(502, "M_BAD_STATUS", "Bad status", {
                "status": status, "body": body.decode(errors="replace")})
        return {"duration_ms": int((time.monotonic() - began) * 1000)}

    def _ask(self, service, alias):
        """Does the service say that it has made this alias?"""
        try:
            status, _ = service.call(
                "GET", "/_matrix/app/v1/rooms/" + quote(alias, safe=""))
        except OSError:
            return False
        return status < 400 if self.conduit else status == 200
