"""Rooms: making them, who is in them, their state and what is said there."""

from . import world as rules
from .errors import Bare, Refusal, panic
from .routing import route

# What Synapse writes out; Conduit leaves out what is the default.
SYNAPSE_LEVELS = {
    "users_default": 0, "events_default": 0, "state_default": 50, "ban": 50,
    "kick": 50, "redact": 50, "invite": 50, "historical": 100,
    "events": {"m.room.name": 50, "m.room.power_levels": 100,
               "m.room.history_visibility": 100, "m.room.canonical_alias": 50,
               "m.room.avatar": 50, "m.room.tombstone": 100,
               "m.room.server_acl": 100, "m.room.encryption": 100}}

# What an upgrade takes along.
TRANSFERRED = ("m.room.server_acl", "m.room.encryption", "m.room.name",
               "m.room.avatar", "m.room.topic", "m.room.guest_access",
               "m.room.history_visibility", "m.room.join_rules",
               "m.room.power_levels")


class Rooms:
    """A part of FakeHS."""

    # -- helpers

    def _room(self, room_id):
        room = self.world.rooms.get(room_id)
        if room is None:
            raise self.pick(
                (403, "M_FORBIDDEN",
                 "You don't have permission to view this room."),
                (403, "M_FORBIDDEN", "Unknown room"))
        return room

    def _room_to_write(self, r, room_id):
        """Where an event is to go. Of a room that it does not know Conduit
        finds out late."""
        if room_id not in self.world.rooms:
            if self.conduit:
                raise Bare(500, "M_UNKNOWN", "non-create event for room of "
                           f"unknown version in {room_id}")
            raise Refusal(403, "M_FORBIDDEN",
                          f"User {r.user} not in room {room_id}")
        return self.world.rooms[room_id]

    def _room_of_member(self, room_id, nobody):
        """Where a membership is to end: `nobody` is what Conduit says of one
        that there is not."""
        room = self.world.rooms.get(room_id)
        if room is None:
            raise self.pick((400, "M_BAD_STATE", nobody),
                            (404, "M_UNKNOWN", "Not a known room"))
        return room

    def _is_already(self, room, r, target, membership):
        """Then there is no new event: where the reason is the same, and for
        Synapse the sender."""
        event = room.state.get(("m.room.member", target))
        return event is not None and (
            event["content"].get("membership") == membership
            and event["content"].get("reason") == r.body.get("reason")
            and (self.conduit or event["sender"] == r.user))

    def _target(self, r):
        if "user_id" not in r.body and not self.conduit:
            raise Refusal(400, "M_MISSING_PARAM",
                          "Missing params: ['user_id']")
        return r.body["user_id"]

    def _seen_room(self, r, room_id):
        room = self._room(room_id)
        # Synapse shows those who left what was there when they did.
        left = not self.conduit and room.membership(r.user) in ("leave", "ban")
        if not left and not room.visible_to(r.user):
            raise Refusal(403, "M_FORBIDDEN",
                          "You don't have permission to view this room.")
        return room

    def _member(self, room, r, target, membership):
        more = {k: r.body[k] for k in ("reason", "is_direct") if k in r.body}
        return self.world.set_member(room, r.user, target, membership, **more)

    # -- making rooms

    @route("POST", "/createRoom")
    def create_room(self, r):
        body = r.body
        alias = self._wanted_alias(r, body.get("room_alias_name"))
        version = body.get("room_version") or self.room_version
        if version not in self.room_versions:
            raise Refusal(400, "M_UNSUPPORTED_ROOM_VERSION",
                          "This server does not support that room version.")
        preset = body.get("preset") or (
            "public_chat" if body.get("visibility") == "public"
            else "private_chat")
        levels = self._levels(r, version, preset)
        room = self.world.make_room(
            r.user, self._create_content(r, version, preset), version)
        self._fill(r, room, preset, levels, alias)
        for user_id in body.get("invite", []):
            try:
                self.world.set_member(
                    room, r.user, user_id, "invite",
                    **({"is_direct": True} if body.get("is_direct") else {}))
            except rules.Denied:
                if not self.conduit:
                    raise
        if alias:
            self.world.set_alias(alias, room, r.user)
        room.public = body.get("visibility") == "public"
        return {"room_id": room.room_id}

    def _wanted_alias(self, r, name):
        if name is None:
            return None
        alias = f"#{name}:{self.server_name}"
        if alias in self.world.aliases:
            raise Refusal(400, "M_ROOM_IN_USE", "Room alias already exists.")
        self._check_alias_right(r, alias)
        return alias

    def _check_alias_right(self, r, alias):
        if r.service:
            if not r.service.matches("aliases", alias):
                raise Refusal(400, "M_EXCLUSIVE",
                              "Room alias is not in namespace.")
        elif any(s.matches("aliases", alias, exclusively=True)
                 for s in self.appservices.values()):
            raise Refusal(400, "M_EXCLUSIVE",
                          "Room alias reserved by appservice.")

    def _create_content(self, r, version, preset):
        content = dict(r.body.get("creation_content") or {})
        content["room_version"] = version
        if int(version) < 11:
            content["creator"] = r.user
        invited = r.body.get("invite", [])
        if int(version) >= 12 and preset == "trusted_private_chat" and invited:
            content["additional_creators"] = sorted(
                {*invited, *content.get("additional_creators", [])})
        return content

    def _levels(self, r, version, preset):
        """The power levels a room starts with."""
        twelve = int(version) >= 12
        users = {} if twelve else {r.user: 100}
        if preset == "trusted_private_chat" and not twelve:
            users.update((u, 100) for u in r.body.get("invite", []))
        if self.conduit:
            levels = {"users": users} if users else {}
            if twelve:
                levels["events"] = {"m.room.tombstone": 150}
        else:
            levels = {**SYNAPSE_LEVELS, "users": users,
                      "events": dict(SYNAPSE_LEVELS["events"])}
            if preset != "public_chat":
                levels["invite"] = 0
            if twelve:
                levels["events"]["m.room.tombstone"] = 150
        levels.update(r.body.get("power_level_content_override") or {})
        return levels

    def _fill(self, r, room, preset, levels, alias):
        body, world = r.body, self.world
        world.set_member(room, r.user, r.user, "join",
                         **({"is_direct": bool(body.get("is_direct"))}
                            if self.conduit else {}))
        if self.cut_creations > 0:
            self.cut_creations -= 1
            raise panic()
        if room.twelve and not self.conduit and r.user in levels["users"]:
            raise Refusal(400, "M_UNKNOWN", f"Creator user {r.user} must not "
                          "appear in content.users")
        public = preset == "public_chat"
        state = [("m.room.power_levels", levels)]
        if alias:
            state.append(("m.room.canonical_alias", {"alias": alias}))
        state += [
            ("m.room.join_rules",
             {"join_rule": "public" if public else "invite"}),
            ("m.room.history_visibility", {"history_visibility": "shared"}),
            ("m.room.guest_access",
             {"guest_access": "forbidden" if public else "can_join"})]
        initial = body.get("initial_state", [])
        if not self.conduit:  # there it stands in place of the preset's
            named = {event["type"] for event in initial}
            state = [item for item in state if item[0] not in named]
        for kind, content in state:
            world.append(room, r.user, kind, content, "")
        for event in initial:
            world.append(room, r.user, event["type"], event["content"],
                         event.get("state_key", ""))
        if body.get("name"):
            world.append(room, r.user, "m.room.name",
                         {"name": body["name"]}, "")
        if body.get("topic"):
            topic = body["topic"]
            world.append(room, r.user, "m.room.topic", {
                "topic": topic,
                "m.topic": {"m.text": [{"body": topic}]}}, "")

    @route("POST", "/rooms/{room}/upgrade")
    def upgrade(self, r, room):
        world, version = self.world, r.body.get("new_version")
        if version not in self.room_versions:
            raise Refusal(400, "M_UNSUPPORTED_ROOM_VERSION",
                          "This server does not support that room version.")
        old = world.rooms.get(room)
        if old is None:
            raise (Bare(500, "M_UNKNOWN",
                        "Found room without m.room.create event.")
                   if self.conduit else
                   Refusal(404, "M_NOT_FOUND", f"Unknown room id {room}"))
        content = {**old.content("m.room.create"), "room_version": version,
                   "predecessor": {"room_id": old.room_id}}
        content.pop("creator", None)
        if int(version) < 11:
            content["creator"] = r.user
        stone = {"body": "This room has been replaced"}
        if not self.conduit:  # Conduit makes a room before it finds out
            rules.check_event(world, old, {
                "type": "m.room.tombstone", "sender": r.user,
                "state_key": "", "content": stone})
        new = world.make_room(r.user, content, version)
        stone["replacement_room"] = new.room_id
        world.append(old, r.user, "m.room.tombstone", stone, "")
        world.set_member(new, r.user, r.user, "join")
        for kind in TRANSFERRED:
            if (kind, "") in old.state:
                world.append(new, r.user, kind,
                             self._transferred(kind, old, new, r.user), "")
        for (kind, user), event in list(old.state.items()):
            if not self.conduit and kind == "m.room.member" and (
                    event["content"].get("membership") == "ban"):
                world.set_member(new, r.user, user, "ban")
        for alias in list(old.aliases):
            world.set_alias(alias, new, r.user)
        if not self.conduit:
            self._finish_upgrade(r, old, new)
        levels = old.content("m.room.power_levels")
        level = max(50, levels.get("users_default", 0) + 1)
        try:
            world.append(old, r.user, "m.room.power_levels", {
                **levels, "events_default": level, "invite": level}, "")
        except rules.Denied:
            pass
        return {"replacement_room": new.room_id}

    def _finish_upgrade(self, r, old, new):
        content = old.content("m.room.canonical_alias")
        old.aliases = []
        if content:
            self.world.append(old, r.user, "m.room.canonical_alias", {}, "")
            self.world.append(
                new, r.user, "m.room.canonical_alias", content, "")
        if old.twelve and not new.twelve:
            # It lent the creator power for the time of the copying.
            self.world.append(new, r.user, "m.room.power_levels",
                              new.content("m.room.power_levels"), "")

    @staticmethod
    def _transferred(kind, old, new, creator):
        content = old.content(kind)
        if kind != "m.room.power_levels":
            return content
        users = dict(content.get("users", {}))
        if new.twelve:
            users.pop(creator, None)
        elif old.twelve:
            users.update((user, 2 ** 53 - 1) for user in old.creators())
        return {**content, "users": users}

    # -- membership

    @route("POST", "/join/{room}", auth="user unlocked")
    def join_by_name(self, r, room):
        if self.conduit and not r.raw:
            raise Refusal(400, "M_BAD_JSON", "Failed to deserialize request.")
        if room.startswith("#"):
            room = self.resolve_alias(room)
        with self.lock:
            return self._join(r, room)

    @route("POST", "/rooms/{room}/join")
    def join(self, r, room):
        return self._join(r, room)

    def _join(self, r, room_id):
        room = self.world.rooms.get(room_id)
        if room is None:
            text = "No server available to assist in joining."
            raise Bare(500 if self.conduit else 404, "M_UNKNOWN", text)
        if r.user not in room.joined:
            self._member(room, r, r.user, "join")
        return {"room_id": room_id}

    @route("POST", "/rooms/{room}/invite")
    def invite(self, r, room):
        room = self._room(room)
        if r.user not in room.joined:
            raise Refusal(403, "M_FORBIDDEN",
                          "You don't have permission to view this room.")
        target = self._target(r)
        if self.conduit or room.membership(target) != "invite":
            self._member(room, r, target, "invite")
        return {}

    @route("POST", "/rooms/{room}/leave")
    def leave(self, r, room):
        room = self.world.rooms.get(room)
        if room is None:
            if self.conduit:
                return {}
            raise Refusal(404, "M_UNKNOWN", "Not a known room")
        now = room.membership(r.user)
        if now is None and self.conduit or now == "leave" and not self.conduit:
            return {}
        self._member(room, r, r.user, "leave")
        return {}

    @route("POST", "/rooms/{room}/kick")
    def kick(self, r, room):
        nobody = "Cannot kick a user who is not in the room."
        room, target = self._room_of_member(room, nobody), self._target(r)
        now = room.membership(target)
        if self.conduit:
            if now is None:
                raise Refusal(400, "M_BAD_STATE", nobody)
            if self._is_already(room, r, target, "leave"):
                return {}
        elif now == "ban":
            raise Refusal(403, "M_BAD_STATE", "Cannot kick user who was banned")
        elif now in (None, "leave"):
            raise Refusal(403, "M_FORBIDDEN",
                          "The target user is not in the room")
        self._member(room, r, target, "leave")
        return {}

    @route("POST", "/rooms/{room}/ban")
    def ban(self, r, room):
        if self.conduit or room in self.world.rooms:
            room = self._room_to_write(r, room)
        else:
            room = self._room(room)
        target = self._target(r)
        if not self._is_already(room, r, target, "ban"):
            self._member(room, r, target, "ban")
        return {}

    @route("POST", "/rooms/{room}/unban")
    def unban(self, r, room):
        nobody = "Cannot unban a user who is not banned."
        room, target = self._room_of_member(room, nobody), self._target(r)
        now = room.membership(target)
        # Conduit puts out whom it finds, banned or not.
        if now is None and self.conduit:
            raise Refusal(400, "M_BAD_STATE", nobody)
        if now not in (None, "ban") and not self.conduit:
            raise Refusal(403, "M_BAD_STATE", "Cannot unban user who was not "
                          f"banned (membership={now})")
        self._member(room, r, target, "leave")
        return {}

    @route("POST", "/rooms/{room}/forget")
    def forget(self, r, room):
        return {}

    @route("GET", "/joined_rooms")
    def joined_rooms(self, r):
        return {"joined_rooms": [
            room.room_id for room in self.world.rooms_of(r.user)]}

    @route("GET", "/rooms/{room}/joined_members")
    def joined_members(self, r, room):
        room = self._room(room)
        # Synapse asks only that one of the service's users is in the room.
        by_another = not self.conduit and r.service and any(
            r.service.owns(user) for user in room.joined)
        if not by_another and not room.visible_to(r.user):
            raise Refusal(403, "M_FORBIDDEN",
                          "You don't have permission to view this room.")
        joined = {}
        for user_id in sorted(room.joined):
            user = self.world.users[user_id]
            joined[user_id] = {"display_name": user.displayname}
            if user.avatar_url is not None or not self.conduit:
                joined[user_id]["avatar_url"] = user.avatar_url
        return {"joined": joined}

    @route("GET", "/rooms/{room}/members")
    def members(self, r, room):
        room = self._seen_room(r, room)
        wanted = None if self.conduit else r.query.get("membership")
        return {"chunk": [
            e for (kind, _), e in room.state.items()
            if kind == "m.room.member"
            and wanted in (None, e["content"].get("membership"))]}

    # -- state and messages

    @route("GET", "/rooms/{room}/state")
    def all_state(self, r, room):
        return list(self._seen_room(r, room).state.values())

    @route("GET", "/rooms/{room}/state/{kind}")
    def state(self, r, room, kind):
        return self.keyed_state(r, room, kind, "")

    @route("GET", "/rooms/{room}/state/{kind}/{key}")
    def keyed_state(self, r, room, kind, key):
        room = self._seen_room(r, room)
        event = room.state.get((kind, key))
        if event is None:
            raise Refusal(404, "M_NOT_FOUND", "State event not found.")
        return event if r.query.get("format") == "event" else event["content"]

    @route("PUT", "/rooms/{room}/state/{kind}")
    def set_state(self, r, room, kind):
        return self.set_keyed_state(r, room, kind, "")

    @route("PUT", "/rooms/{room}/state/{kind}/{key}")
    def set_keyed_state(self, r, room, kind, key):
        room = self._room_to_write(r, room)
        self._check_content(r.body)
        if kind == "m.room.power_levels" and not self.conduit:
            self._check_levels(r.body)
        if kind == "m.room.canonical_alias":
            self._check_canonical(room, r.body)
        before = room.state.get((kind, key))
        if not self.conduit and before and before["content"] == r.body and (
                before["sender"] == r.user):
            return {"event_id": before["event_id"]}
        event = self.world.append(room, r.user, kind, r.body, key,
                                  ts=self._timestamp(r))
        return {"event_id": event["event_id"]}

    def _check_content(self, content):
        if rules.has_float(content):
            raise self.pick((400, "M_INVALID_PARAM",
                             "Event content provided is invalid"),
                            (400, "M_BAD_JSON", "Bad JSON value: float"))

    @staticmethod
    def _check_levels(content):
        """From clients Synapse takes numbers only, in rooms of any version."""
        for name, value in [(k, v) for part in (
                content, *(content.get(k, {}) for k in (
                    "events", "notifications", "users")))
                            for k, v in part.items()]:
            if isinstance(value, str):
                raise Refusal(400, "M_BAD_JSON", f'"{name}": {value!r} is not '
                              "of type 'integer'")

    def _check_canonical(self, room, content):
        named = [content.get("alias"), *content.get("alt_aliases", [])]
        for alias in filter(None, named):
            if self.world.aliases.get(alias, [None])[0] != room.room_id:
                raise self.pick(
                    (403, "M_FORBIDDEN", "You are only allowed to send "
                     "canonical_alias events when it's aliases already exists"),
                    (400, "M_BAD_ALIAS",
                     f"Room alias {alias} does not point to the room"))

    @staticmethod
    def _timestamp(r):
        return int(r.query["ts"]) if r.service and "ts" in r.query else None

    @route("PUT", "/rooms/{room}/send/{kind}/{txn}")
    def send(self, r, room, kind, txn):
        room = self._room_to_write(r, room)
        # Synapse takes all a service's users for one here; Conduit does not.
        owner = self.world.users[
            r.service.sender if r.service and not self.conduit else r.user]
        done = owner.sent.get((r.device, r.path))
        if done:
            return {"event_id": done}
        self._check_content(r.body)
        event = self.world.append(
            room, r.user, kind, r.body, unsigned={"transaction_id": txn},
            ts=self._timestamp(r))
        owner.sent[(r.device, r.path)] = event["event_id"]
        if self.admin and room is self.admin.room:
            self.admin.saw(event)
        return {"event_id": event["event_id"]}

    @route("PUT", "/rooms/{room}/redact/{event}/{txn}")
    def redact(self, r, room, event, txn):
        room = self._room(room)
        target = self.world.events.get(event)
        if target and target["sender"] != r.user and (
                room.power(r.user) < room.needed("redact")):
            raise rules.Denied("you have not the power to redact that")
        content = {k: r.body[k] for k in ("reason",) if k in r.body}
        if int(room.version) >= 11:
            content["redacts"] = event
        made = self.world.append(room, r.user, "m.room.redaction", content,
                                 redacts=event)
        return {"event_id": made["event_id"]}

    @route("GET", "/rooms/{room}/event/{event}")
    def event(self, r, room, event):
        found = self.world.events.get(event)
        if found is None or found["room_id"] != room:
            raise Refusal(404, "M_NOT_FOUND", "Event not found.")
        self._seen_room(r, room)
        return found

    @route("GET", "/rooms/{room}/messages")
    def messages(self, r, room):
        if self.conduit and r.device is None:
            raise panic()
        room, limit = self._room(room), int(r.query.get("limit", 10))
        if not room.visible_to(r.user):
            if self.conduit:
                return {"start": "0", "chunk": []}
            raise Refusal(403, "M_FORBIDDEN", f"User {r.user} not in room")
        back = r.query.get("dir") != "f"
        at = int(r.query.get("from") or (len(room.events) if back else 0))
        end = max(0, at - limit) if back else min(
            len(room.events), at + limit)
        chunk = room.events[end:at][::-1] if back else room.events[at:end]
        answer = {"start": str(at), "chunk": chunk}
        if chunk:
            answer["end"] = str(end)
        return answer

    @route("GET", "/sync")
    def sync(self, r):
        """Conduit's answer to a service. Clients are not served: the tests
        that need one use a real homeserver."""
        if self.conduit and r.device is None:
            raise panic()
        raise Refusal(404, "M_UNRECOGNIZED", "Unrecognized request")
