"""The directory: names of rooms, and which are listed."""

from .errors import Bare, Refusal
from .routing import route


class Directory:
    """A part of FakeHS."""

    @route("GET", "/directory/room/{alias}", auth="none unlocked")
    def resolve(self, _r, alias):
        return {"room_id": self.resolve_alias(alias),
                "servers": [self.server_name]}

    def resolve_alias(self, alias):
        """The room id. Asks the services about one that nobody set; so not
        under the lock."""
        with self.lock:
            known = self.world.aliases.get(alias)
            asked = [s for s in self.appservices.values()
                     if s.matches("aliases", alias)]
        for service in asked if known is None else ():
            if self._ask(service, alias):
                known = self.world.aliases.get(alias)
                if known is None and self.conduit:
                    raise Bare(500, "M_UNKNOWN", "Appservice lied to us. "
                               "Room does not exist.")
                break
        if known is None:
            raise Refusal(404, "M_NOT_FOUND", "Room with alias not found.")
        return known[0]

    @route("PUT", "/directory/room/{alias}")
    def set_alias(self, r, alias):
        room = self.world.rooms.get(r.body["room_id"])
        if room is None and not self.conduit:
            raise Refusal(400, "M_UNKNOWN", "Room does not exist")
        if not self.conduit and r.service is None and (
                r.user not in room.joined):
            raise Refusal(403, "M_FORBIDDEN",
                          "You must be in the room to create an alias for it")
        self._check_alias_right(r, alias)
        if alias in self.world.aliases:
            raise Bare(409, "M_UNKNOWN", "Alias already exists.")
        if room is None:  # Conduit does not look
            self.world.aliases[alias] = (r.body["room_id"], r.user)
        else:
            self.world.set_alias(alias, room, r.user)
        return {}

    @route("DELETE", "/directory/room/{alias}")
    def delete_alias(self, r, alias):
        self._check_alias_right(r, alias)
        if alias not in self.world.aliases:
            raise Refusal(404, "M_NOT_FOUND", "Alias not found.")
        room_id, owner = self.world.aliases[alias]
        room = self.world.rooms.get(room_id)
        if owner != r.user and (room is None or room.power(
                r.user) < room.needed_to_send("m.room.canonical_alias", True)):
            raise Refusal(403, "M_FORBIDDEN",
                          "User is not permitted to remove this alias.")
        del self.world.aliases[alias]
        if room is None:
            return {}
        # Conduit forgets with one alias that the others are the room's.
        room.aliases = [] if self.conduit else [
            a for a in room.aliases if a != alias]
        return {}

    @route("GET", "/rooms/{room}/aliases")
    def aliases(self, r, room):
        return {"aliases": self._seen_room(r, room).aliases}

    @route("GET", "/directory/list/room/{room}", auth="none")
    def visibility(self, _r, room):
        return {"visibility":
                "public" if self._room(room).public else "private"}

    @route("PUT", "/directory/list/room/{room}")
    def set_visibility(self, r, room):
        self._room(room).public = r.body.get("visibility") == "public"
        return {}
