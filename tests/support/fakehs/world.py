"""What the scripted homeserver knows: users, rooms, events, and the rules by
which an event is allowed. No network, no lock; one thread at a time."""

import base64
import hashlib
import itertools
import json
import math
import secrets
import string
import time

from support import printed

ALNUM = string.ascii_letters + string.digits


class Denied(Exception):
    """An event that the room's rules do not allow. `why` is for a person;
    `banned` marks the one case that Synapse tells apart."""

    def __init__(self, why, banned=False):
        super().__init__(why)
        self.banned = banned


def random_text(n):
    return "".join(secrets.choice(ALNUM) for _ in range(n))


def hash_id(*parts):
    """43 characters, as a SHA-256 in URL-safe base64."""
    digest = hashlib.sha256("\xff".join(map(str, parts)).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Device:
    def __init__(self, display_name):
        self.display_name = display_name
        self.tokens = []


class User:
    def __init__(self, user_id, password):
        self.user_id = user_id
        self.password = password  # "" or None: nobody logs in by password
        self.registered = True
        self.displayname = None
        self.avatar_url = None
        self.devices = {}
        self.account_data = {}
        self.sent = {}  # (path) -> event id: what was sent already


class Room:
    def __init__(self, number, room_id, version):
        self.number = number  # in the order of their making
        self.room_id = room_id
        self.version = version
        self.events = []
        self.state = {}
        self.joined = set()
        self.aliases = []  # the server's list of what points here
        self.public = False
        self.unfound = set()  # members that only a list of all shows

    @property
    def twelve(self):
        return int(self.version) >= 12

    def content(self, kind, key=""):
        event = self.state.get((kind, key))
        return event["content"] if event else {}

    def membership(self, user_id):
        return self.content("m.room.member", user_id).get("membership")

    def creators(self):
        create = self.state[("m.room.create", "")]
        return {create["sender"],
                *create["content"].get("additional_creators", [])}

    def power(self, user_id):
        """What a user may do; a creator of version 12 may do anything."""
        levels = self.state.get(("m.room.power_levels", ""))
        if self.twelve and user_id in self.creators():
            return math.inf
        if levels is None:
            return 100 if user_id in self.creators() else 0
        content = levels["content"]
        return level(content.get("users", {}).get(
            user_id, content.get("users_default", 0)))

    def needed(self, action):
        """invite, kick, ban, redact"""
        default = 0 if action == "invite" else 50
        return level(self.content("m.room.power_levels").get(action, default))

    def needed_to_send(self, kind, is_state):
        levels = self.content("m.room.power_levels")
        if kind in levels.get("events", {}):
            return level(levels["events"][kind])
        if is_state:
            return level(levels.get("state_default", 50)) if levels else 0
        return level(levels.get("events_default", 0))

    def visible_to(self, user_id):
        return (user_id in self.joined or
                self.content("m.room.history_visibility").get(
                    "history_visibility") == "world_readable")


# -- the rules


def level(value):
    """Before version 10 a string will do."""
    return int(value) if isinstance(value, str) else value


def check_event(world, room, event):
    """Raises Denied. Of the rules of room versions 10 to 12, those that a
    member of one server can run into."""
    kind, sender = event["type"], event["sender"]
    if kind == "m.room.create":
        return
    if kind == "m.room.member":
        check_member(world, room, event)
        return
    if sender not in room.joined:
        raise Denied(f"{sender} not in room {room.room_id}")
    key = event.get("state_key")
    if room.power(sender) < room.needed_to_send(kind, key is not None):
        raise Denied("you have not the power to send that")
    if key is not None and key.startswith("@") and key != sender:
        raise Denied("that is another user's state")
    if kind == "m.room.power_levels":
        check_levels(room, sender, event["content"])


def check_member(world, room, event):
    sender, target = event["sender"], event["state_key"]
    now, new = room.membership(target), event["content"].get("membership")
    if target in room.unfound:
        now = None
    rule = {"join": check_join, "invite": check_invite, "leave": check_leave,
            "ban": check_ban}.get(new)
    if rule is None:
        raise Denied(f"no such membership: {new}")
    rule(world, room, sender, target, now)


def check_join(world, room, sender, target, now):
    if sender != target:
        raise Denied("nobody joins for another")
    if now == "ban":
        raise Denied("banned", banned=True)
    if len(room.events) == 1 and sender in room.creators():
        return
    rules = room.content("m.room.join_rules")
    rule = rules.get("join_rule", "invite")
    if rule == "public" or now in ("join", "invite"):
        return
    if rule in ("restricted", "knock_restricted"):
        for allow in rules.get("allow", []):
            other = world.rooms.get(allow.get("room_id"))
            if other and target in other.joined:
                return
    raise Denied("You are not invited to this room.")


def check_invite(world, room, sender, target, now):
    if sender not in room.joined:
        raise Denied(f"{sender} not in room {room.room_id}")
    if now == "ban":
        raise Denied("Cannot invite user who was banned", banned=True)
    if now == "join":
        raise Denied(f"{target} is already in the room.")
    if room.power(sender) < room.needed("invite"):
        raise Denied("you have not the power to invite")


def check_leave(world, room, sender, target, now):
    if sender == target:
        if now not in ("join", "invite", "knock"):
            raise Denied(f"{sender} not in room {room.room_id}")
        return
    if sender not in room.joined:
        raise Denied(f"{sender} not in room {room.room_id}")
    if now == "ban" and room.power(sender) < room.needed("ban"):
        raise Denied("you have not the power to unban")
    if room.power(sender) < room.needed("kick") or (
            room.power(sender) <= room.power(target)):
        raise Denied(f"You cannot kick user {target}.")


def check_ban(world, room, sender, target, now):
    if sender not in room.joined:
        raise Denied(f"{sender} not in room {room.room_id}")
    if room.power(sender) < room.needed("ban") or (
            room.power(sender) <= room.power(target)):
        raise Denied(f"You cannot ban user {target}.")


def check_levels(room, sender, new):
    """Nobody gives, takes or touches more than he has."""
    users = new.get("users", {})
    if room.twelve and room.creators() & set(users):
        raise Denied("a creator must not appear in content.users")
    if ("m.room.power_levels", "") not in room.state:
        return
    old, mine = room.content("m.room.power_levels"), room.power(sender)
    defaults = {"users_default": 0, "events_default": 0, "state_default": 50,
                "ban": 50, "redact": 50, "kick": 50, "invite": 0}
    pairs = [(level(old.get(k, d)), level(new.get(k, d)))
             for k, d in defaults.items()]
    for part in ("events", "notifications"):
        was, becomes = old.get(part, {}), new.get(part, {})
        pairs += [(level(was.get(k)), level(becomes.get(k)))
                  for k in {*was, *becomes}]
    was = old.get("users", {})
    for user in {*was, *users}:
        pair = (level(was.get(user)), level(users.get(user)))
        if pair[0] != pair[1] and user != sender and (
                pair[0] is not None and pair[0] >= mine):
            raise Denied("you cannot change the level of your equal")
        pairs.append(pair)
    for before, after in pairs:
        if before != after and any(
                x is not None and x > mine for x in (before, after)):
            raise Denied("You don't have permission to add ops level greater "
                         "than your own")


# What a redaction leaves of an event's content, beside these nothing.
KEPT = {"m.room.member": {"membership"},
        "m.room.join_rules": {"join_rule", "allow"},
        "m.room.history_visibility": {"history_visibility"},
        "m.room.power_levels": {
            "ban", "events", "events_default", "invite", "kick", "redact",
            "state_default", "users", "users_default"}}


def redact(event):
    if event["type"] != "m.room.create":
        kept = KEPT.get(event["type"], set())
        event["content"] = {
            k: v for k, v in event["content"].items() if k in kept}
    event.pop("redacts", None)
    event["unsigned"].pop("prev_content", None)


def has_float(value):
    if isinstance(value, dict):
        return any(has_float(v) for v in value.values())
    if isinstance(value, list):
        return any(has_float(v) for v in value)
    return isinstance(value, float)


class World:
    """All of it. `on_event(event, room, position)` is told of every
    new event."""

    def __init__(self, server_name):
        self.server_name = server_name
        self.users = {}
        self.tokens = {}  # token -> (user id, device id)
        self.rooms = {}
        self.aliases = {}  # alias -> (room id, who set it)
        self.events = {}
        self.on_event = lambda event, room, position: None
        self._count = itertools.count(1)
        self._rooms = itertools.count(1)

    def full_id(self, localpart):
        return f"@{localpart}:{self.server_name}"

    # -- accounts

    def add_user(self, user_id, password=None):
        printed.keep(password)
        user = self.users[user_id] = User(user_id, password)
        return user

    def has_user(self, user_id):
        return user_id in self.users and self.users[user_id].registered

    def issue(self, user, device_id, display_name, token, replace):
        """A token of a device, which is made if need be; `replace` ends the
        device's others."""
        device_id = device_id or random_text(10)
        device = user.devices.get(device_id)
        if device is None:
            device = user.devices[device_id] = Device(display_name)
        if replace:
            for old in device.tokens:
                del self.tokens[old]
            device.tokens = []
        device.tokens.append(token)
        self.tokens[token] = (user.user_id, device_id)
        printed.keep(token)
        return device_id

    def drop_device(self, user, device_id):
        device = user.devices.pop(device_id, None)
        for token in device.tokens if device else ():
            self.tokens.pop(token, None)

    def drop_devices(self, user):
        for device_id in list(user.devices):
            self.drop_device(user, device_id)

    # -- events

    def make_room(self, sender, content, version):
        """A room with its first event."""
        number = next(self._rooms)
        if int(version) >= 12:
            room_id = "!" + hash_id("room", number, secrets.token_hex(8))
        else:
            room_id = f"!{random_text(18)}:{self.server_name}"
        room = self.rooms[room_id] = Room(number, room_id, version)
        self.append(room, sender, "m.room.create", content, "")
        return room

    def append(self, room, sender, kind, content, state_key=None,
               unsigned=None, redacts=None, ts=None):
        """Checks it, and makes it part of the room; the event."""
        position = next(self._count)
        event = {
            "content": content, "type": kind,
            "event_id": "$" + hash_id(room.room_id, position, kind),
            "sender": sender, "room_id": room.room_id,
            "origin_server_ts": ts or int(time.time() * 1000)}
        unsigned = dict(unsigned or {})
        if state_key is not None:
            event["state_key"] = state_key
        check_event(self, room, event)
        if state_key is not None:
            before = room.state.get((kind, state_key))
            if before is not None:
                unsigned["prev_content"] = before["content"]
                unsigned["prev_sender"] = before["sender"]
            room.state[(kind, state_key)] = event
            room.unfound.discard(state_key)
        if redacts is not None:
            event["redacts"] = redacts
        event["unsigned"] = unsigned
        room.events.append(event)
        self.events[event["event_id"]] = event
        if kind == "m.room.member":
            joined = content.get("membership") == "join"
            (room.joined.add if joined else room.joined.discard)(state_key)
        if redacts in self.events:
            redact(self.events[redacts])
        self.on_event(event, room, position)
        return event

    def member_content(self, user_id, membership, **more):
        """A member event's content, with the profile that goes with it."""
        content = {"membership": membership, **more}
        user = self.users.get(user_id)
        if user and membership in ("join", "invite"):
            if user.displayname is not None:
                content["displayname"] = user.displayname
            if user.avatar_url is not None:
                content["avatar_url"] = user.avatar_url
        return content

    def set_member(self, room, sender, target, membership, **more):
        return self.append(
            room, sender, "m.room.member",
            self.member_content(target, membership, **more), target)

    def rooms_of(self, user_id):
        return [r for r in self.rooms.values() if user_id in r.joined]

    def forget_room(self, room):
        """As if it had never been."""
        del self.rooms[room.room_id]
        for event in room.events:
            del self.events[event["event_id"]]
        for alias in [a for a, (id, _) in self.aliases.items()
                      if id == room.room_id]:
            del self.aliases[alias]

    def set_alias(self, alias, room, user_id):
        self.aliases[alias] = (room.room_id, user_id)
        room.aliases.append(alias)

    def snapshot(self):
        """For a failing test's message: who is in which room."""
        return json.dumps({
            room.room_id: {"aliases": room.aliases, "members": {
                key: e["content"].get("membership")
                for (kind, key), e in room.state.items()
                if kind == "m.room.member"}}
            for room in self.rooms.values()}, indent=1)
