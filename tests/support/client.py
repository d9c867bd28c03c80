"""A Matrix client of a few lines, for tests that play a human, an agent's own
program or the application service, against whatever homeserver."""

import http.client
import itertools
import json
import socket
import ssl
import urllib.parse

from support import printed

V3 = "/_matrix/client/v3"
V1 = "/_matrix/client/v1"


def quote(text):
    return urllib.parse.quote(text, safe="")


class Refused(AssertionError):
    """An answer that the test did not ask for."""


class Answer:
    def __init__(self, status, headers, raw):
        self.status = status
        self.headers = headers
        self.raw = raw
        try:
            self.body = json.loads(raw) if raw else {}
        except ValueError:
            self.body = {}

    @property
    def errcode(self):
        return self.body.get("errcode") if isinstance(self.body, dict) else None

    def __repr__(self):
        return f"<{self.status} {self.raw[:300]!r}>"


class Client:
    """Calls as one user: by that user's token, or by a service's token with
    `acting_as` in the query. Methods in words raise Refused unless the answer
    is 200; call() and its friends return whatever it is."""

    _txn = itertools.count(1)
    # The scripted homeserver leaves a test's own calls out of its log and its
    # faults. False: it takes them for the program's.
    from_test = True
    # An https server's authority; None: those that the system trusts.
    ca_file = None

    def __init__(self, url, token=None, user_id=None, device_id=None,
                 acting_as=None):
        self.url = url.rstrip("/")
        self.token = token
        self.user_id = user_id or acting_as
        self.device_id = device_id
        self.acting_as = acting_as

    # -- the wire

    def call(self, method, path, body=None, query=None, raw=None,
             headers=None, timeout=30):
        """One request on a connection of its own. `path` from the root."""
        query = dict(query or {})
        if self.acting_as:
            query.setdefault("user_id", self.acting_as)
        if query:
            path += "?" + urllib.parse.urlencode(query)
        send = {"X-From-Test": "1"} if self.from_test else {}
        if self.token:
            send["Authorization"] = f"Bearer {self.token}"
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            send["Content-Type"] = "application/json"
        send.update(headers or {})
        where = urllib.parse.urlsplit(self.url)
        conn = self._connection(where, timeout)
        try:
            conn.request(method, where.path + path, data, send)
            got = conn.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            conn.close()

    def _connection(self, where, timeout):
        if where.scheme != "https":
            return http.client.HTTPConnection(
                where.hostname, where.port, timeout=timeout)
        return http.client.HTTPSConnection(
            where.hostname, where.port, timeout=timeout,
            context=ssl.create_default_context(cafile=self.ca_file))

    def ok(self, method, path, body=None, query=None):
        got = self.call(method, path, body, query)
        if got.status != 200:
            raise Refused(f"{method} {path}: {got}")
        return got.body

    def get(self, path, **query):
        return self.call("GET", V3 + path, query=query)

    def post(self, path, body=None, **query):
        return self.call("POST", V3 + path, {} if body is None else body, query)

    def put(self, path, body=None, **query):
        return self.call("PUT", V3 + path, {} if body is None else body, query)

    def delete(self, path, **query):
        return self.call("DELETE", V3 + path, query=query)

    # -- accounts

    def register(self, localpart, password):
        """A human's account; the client's user from now on."""
        got = self.ok("POST", V3 + "/register", {
            "username": localpart, "password": password,
            "auth": {"type": "m.login.dummy"}})
        return self._logged_in(got)

    def login(self, user, password, device_id=None):
        body = {"type": "m.login.password", "password": password,
                "identifier": {"type": "m.id.user", "user": user}}
        if device_id:
            body["device_id"] = device_id
        return self._logged_in(self.ok("POST", V3 + "/login", body))

    def _logged_in(self, got):
        self.token = got["access_token"]
        printed.keep(self.token)
        self.user_id = got["user_id"]
        self.device_id = got["device_id"]
        return self

    def whoami(self):
        return self.get("/account/whoami")

    def set_displayname(self, name):
        self.ok("PUT", f"{V3}/profile/{quote(self.user_id)}/displayname",
                {"displayname": name})

    def displayname(self, user_id):
        return self.get(
            f"/profile/{quote(user_id)}/displayname").body.get("displayname")

    # -- rooms

    def create_room(self, **body):
        return self.ok("POST", V3 + "/createRoom", body)["room_id"]

    def resolve(self, alias):
        """The room id, or None."""
        return self.get(f"/directory/room/{quote(alias)}").body.get("room_id")

    def invite(self, room, user_id):
        self.ok("POST", f"{V3}/rooms/{quote(room)}/invite",
                {"user_id": user_id})

    def join(self, room):
        return self.ok("POST", f"{V3}/join/{quote(room)}", {})["room_id"]

    def leave(self, room):
        self.ok("POST", f"{V3}/rooms/{quote(room)}/leave", {})

    def kick(self, room, user_id, reason="test"):
        self.ok("POST", f"{V3}/rooms/{quote(room)}/kick",
                {"user_id": user_id, "reason": reason})

    def ban(self, room, user_id, reason="test"):
        self.ok("POST", f"{V3}/rooms/{quote(room)}/ban",
                {"user_id": user_id, "reason": reason})

    def unban(self, room, user_id):
        self.ok("POST", f"{V3}/rooms/{quote(room)}/unban",
                {"user_id": user_id})

    def joined_rooms(self):
        return set(self.ok("GET", V3 + "/joined_rooms")["joined_rooms"])

    def joined_members(self, room):
        return set(self.ok(
            "GET", f"{V3}/rooms/{quote(room)}/joined_members")["joined"])

    def members(self, room):
        """{user id: membership} of everybody there ever was."""
        got = self.ok("GET", f"{V3}/rooms/{quote(room)}/members")
        return {e["state_key"]: e["content"]["membership"]
                for e in got["chunk"]}

    def state(self, room, kind, key=""):
        """The content, or None."""
        got = self.get(f"/rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}")
        return got.body if got.status == 200 else None

    def set_state(self, room, kind, content, key=""):
        return self.ok(
            "PUT", f"{V3}/rooms/{quote(room)}/state/{quote(kind)}/{quote(key)}",
            content)["event_id"]

    def all_state(self, room):
        """{(type, key): event}"""
        got = self.ok("GET", f"{V3}/rooms/{quote(room)}/state")
        return {(e["type"], e["state_key"]): e for e in got}

    def power_levels(self, room):
        return self.state(room, "m.room.power_levels")

    def set_power(self, room, levels, **more):
        """Gives {user id: level}, None for the default; `more` are other
        parts of the content, such as events_default=0."""
        content = {**(self.power_levels(room) or {}), **more}
        users = {**content.get("users", {}), **levels}
        content["users"] = {
            user: level for user, level in users.items() if level is not None}
        return self.set_state(room, "m.room.power_levels", content)

    def upgrade(self, room, version):
        """The new room's id. Who makes it is in it, nobody else is."""
        return self.ok("POST", f"{V3}/rooms/{quote(room)}/upgrade",
                       {"new_version": version})["replacement_room"]

    def set_alias(self, alias, room):
        self.ok("PUT", f"{V3}/directory/room/{quote(alias)}",
                {"room_id": room})

    def delete_alias(self, alias):
        self.ok("DELETE", f"{V3}/directory/room/{quote(alias)}")

    def send(self, room, text):
        return self.send_event(
            room, "m.room.message", {"msgtype": "m.text", "body": text})

    def mention(self, room, text, *user_ids, **more):
        """A message that is for somebody."""
        return self.send_event(room, "m.room.message", {
            "msgtype": "m.text", "body": text,
            "m.mentions": {"user_ids": list(user_ids)}, **more})

    def reply(self, room, event_id, text, *user_ids):
        """To a message; as clients do, it mentions whom it is for."""
        return self.mention(room, text, *user_ids, **{
            "m.relates_to": {"m.in_reply_to": {"event_id": event_id}}})

    def send_event(self, room, kind, content):
        txn = f"t{next(self._txn)}.{id(self)}"
        return self.ok("PUT", f"{V3}/rooms/{quote(room)}/send/{quote(kind)}/"
                       f"{txn}", content)["event_id"]

    def messages(self, room, limit=50):
        """The newest events first."""
        return self.ok("GET", f"{V3}/rooms/{quote(room)}/messages",
                       query={"dir": "b", "limit": limit})["chunk"]

    def sync(self, since=None, timeout=0):
        """One /sync as this user; `timeout` in ms is how long it may wait."""
        query = {"timeout": timeout}
        if since:
            query["since"] = since
        return self.ok("GET", f"{V3}/sync", query=query)

    def account_data(self, kind):
        got = self.get(
            f"/user/{quote(self.user_id)}/account_data/{quote(kind)}")
        return got.body if got.status == 200 else None


def answers(url, path="/_matrix/client/versions"):
    """Is there a server that answers 200?"""
    try:
        return Client(url).call("GET", path).status == 200
    except (OSError, http.client.HTTPException, socket.timeout):
        return False
