"""A fleet as it was run before there was a service: every agent has a password
that one secret gives, the CEO's account makes public rooms, and one of each pair
makes their direct room."""

import hashlib
import hmac

from support.client import Client

SECRET = "the secret of the old fleet"
OWNER_PASSWORD = "the owner's password"
ROOMS = ("all-employees", "engineering-leadership", "platform-team")


def password_of(user_id):
    return hmac.new(SECRET.encode(), user_id.encode(),
                    hashlib.sha256).hexdigest()


class OldFleet:
    """`agents`: localparts, of whom each is registered and logged in."""

    def __init__(self, hs, owner, agents):
        self.hs = hs
        self.owner = Client(hs.url).register(owner, OWNER_PASSWORD)
        self.agents = {a: self.sign_in(a) for a in agents}
        self.rooms = {}   # {alias: room id}
        self.direct = {}  # {the two: room id}
        self.said = {}    # {room id: the id of a message}

    def full(self, localpart):
        return f"@{localpart}:{self.hs.server_name}"

    def sign_in(self, localpart):
        """By its password, as its program did at each start."""
        client, password = Client(self.hs.url), password_of(
            self.full(localpart))
        client.register(localpart, password)
        return Client(self.hs.url).login(localpart, password)

    def client(self, localpart):
        return self.agents.get(localpart, self.owner)

    def make_room(self, alias, members, maker=None):
        maker = maker or self.owner
        room = maker.create_room(
            preset="public_chat", visibility="public", name=alias,
            room_alias_name=alias)
        for localpart in members:
            if self.client(localpart) is not maker:
                self.client(localpart).join(room)
        self.rooms[f"#{alias}:{self.hs.server_name}"] = room
        self.said[room] = maker.send(room, f"welcome to {alias}")
        return room

    def make_direct(self, one, two):
        """one's room; both list it."""
        a, b = self.client(one), self.client(two)
        room = a.create_room(preset="trusted_private_chat", is_direct=True,
                             invite=[b.user_id])
        b.join(room)
        for me, other in ((a, b), (b, a)):
            marks = me.account_data("m.direct") or {}
            marks.setdefault(other.user_id, []).append(room)
            me.ok("PUT", "/_matrix/client/v3/user/"
                  f"{me.user_id}/account_data/m.direct", marks)
        self.direct[frozenset((a.user_id, b.user_id))] = room
        self.said[room] = a.send(room, f"{one} to {two}")
        return room
