"""The admin room of Conduit, and of Tuwunel, whose words are others: the bot, its
commands, and who becomes admin."""

import re
import shlex

import yaml

from .push import BadRegistration

FENCE = "```"


class AdminRoom:
    def __init__(self, hs):
        self.hs = hs
        self.world = hs.world
        self.bot = self.world.full_id("conduit")
        self.alias = f"#admins:{self.world.server_name}"
        self.world.add_user(self.bot, "")
        self.room = self._make()

    def _make(self):
        world, bot = self.world, self.bot
        room = world.make_room(
            bot, {"room_version": self.hs.room_version}, self.hs.room_version)
        world.set_member(room, bot, bot, "join")
        users = {} if room.twelve else {bot: 100}
        for kind, content in (
                ("m.room.power_levels", {"users": users}),
                ("m.room.join_rules", {"join_rule": "invite"}),
                ("m.room.history_visibility", {"history_visibility": "shared"}),
                ("m.room.name", {"name": f"{world.server_name} Admin Room"}),
                ("m.room.canonical_alias", {"alias": self.alias})):
            world.append(room, bot, kind, content, "")
        world.set_alias(self.alias, room, bot)
        return room

    def has_admin(self):
        return len(self.room.joined) > 1

    def make_admin(self, user_id):
        world, room = self.world, self.room
        world.set_member(room, self.bot, user_id, "invite")
        world.set_member(room, user_id, user_id, "join")
        levels = room.content("m.room.power_levels")
        world.append(room, self.bot, "m.room.power_levels", {
            **levels, "users": {**levels["users"], user_id: 100}}, "")

    def saw(self, event):
        """A message in the room; a command is answered by another."""
        body = event["content"].get("body")
        if event["type"] != "m.room.message" or not isinstance(body, str):
            return
        if event["sender"] == self.bot and not self.hs.emergency_password:
            return
        found = re.match(re.escape(self.bot) + r"(?::? |:?$)", body)
        if found:
            self.reply(self.command(body[found.end():]))

    def reply(self, text):
        self.world.append(self.room, self.bot, "m.room.message", {
            "msgtype": "m.text", "body": text})

    def command(self, text):
        lines = [line for line in text.split("\n") if line.strip()]
        words = shlex.split(lines[0]) if lines else [""]
        name = words[0].replace("_", "-")
        run = {"register-appservice": self._register,
               "unregister-appservice": self._unregister,
               "list-appservices": self._list,
               "list-local-users": self._users,
               "create-user": self._create_user,
               "reset-password": self._reset_password,
               "deactivate-user": self._deactivate}.get(name)
        if run is None:
            return f"error: unrecognized subcommand '{words[0]}'"
        try:
            return run(words[1:], lines[1:])
        except (IndexError, KeyError):
            return f"error: wrong arguments for {name}"

    # -- the commands

    def _register(self, _words, lines):
        if len(lines) < 2 or lines[0] != FENCE or lines[-1] != FENCE:
            return ("Expected code block in command body. "
                    "Add --help for details.")
        try:
            registration = yaml.safe_load("\n".join(lines[1:-1]))
            if not isinstance(registration, dict):
                raise BadRegistration("invalid type, expected a map")
            self.hs.register_appservice(registration)
        except re.error as e:
            return ("Failed to register appservice: Could build regular "
                    f"expression: {e}")
        except (yaml.YAMLError, BadRegistration) as e:
            return f"Could not parse appservice config: {e}"
        return f"Appservice registered with ID: {registration['id']}."

    def _unregister(self, words, _lines):
        if words[0] not in self.hs.appservices:
            return "Failed to unregister appservice: Appservice not found"
        self.hs.unregister_appservice(words[0])
        return "Appservice unregistered."

    def _list(self, _words, _lines):
        ids = sorted(self.hs.appservices)
        return f"Appservices ({len(ids)}): {', '.join(ids)}"

    def _users(self, _words, _lines):
        users = sorted(
            u.user_id for u in self.world.users.values() if u.password)
        return "\n".join(
            [f"Found {len(users)} local user account(s):", *users])

    def _create_user(self, words, _lines):
        user_id = self.world.full_id(words[0])
        password = words[1] if len(words) > 1 else "made-by-the-bot"
        self.world.add_user(user_id, password)
        return (f"Created user with user_id: {user_id} and password: "
                f"{password}")

    def _reset_password(self, words, _lines):
        user = self.world.users[self.world.full_id(words[0])]
        user.password = "made-by-the-bot"
        return (f"Successfully reset the password for user {user.user_id}: "
                f"{user.password}")

    def _deactivate(self, words, _lines):
        user = self.world.users[words[-1]]
        self.world.drop_devices(user)
        user.password = ""
        return f"User {user.user_id} has been deactivated"


class TuwunelRoom(AdminRoom):
    """As its source has it, 1.9.0 (src/admin, src/service/admin): commands begin
    with `!admin` or the bot's id and are split at blanks; an answer is a notice
    that replies to the command, and a failure's words are in a fence."""

    # What it logs at a command stands above the answer.
    logged = ""

    def saw(self, event):
        body = event["content"].get("body")
        if event["type"] != "m.room.message" or not isinstance(body, str):
            return
        if event["sender"] == self.bot and not self.hs.emergency_password:
            return
        if not body.startswith(("!admin", self.bot)):
            return
        lines = [line for line in body.split("\n") if line.strip()]
        self.world.append(self.room, self.bot, "m.room.message", {
            "msgtype": "m.notice", "body": self.command("\n".join(lines)),
            "m.relates_to": {"m.in_reply_to": {"event_id": event["event_id"]}}})

    def command(self, text):
        lines = text.split("\n")
        words = lines[0].split()[1:]
        run = {"register": self._register, "unregister": self._unregister,
               "list": self._list}.get(words[1] if words[1:] else "")
        if words[:1] != ["appservices"] or run is None:
            return f"error: unrecognized subcommand '{words[-1]}'"
        if run == self._unregister and len(words) != 3:
            return f"error: unexpected argument '{words[-1]}' found"
        try:
            return self.logged + run(words[2:], lines[1:])
        except BadRegistration as e:
            return (self.logged + "Command failed with error:\n"
                    f"{FENCE}\n{e}\n{FENCE}")

    def _register(self, _words, lines):
        if len(lines) < 2 or not lines[0].strip().startswith(FENCE) or (
                lines[-1].strip() != FENCE):
            raise BadRegistration("Expected code block in command body. "
                                  "Add --help for details.")
        try:
            registration = yaml.safe_load("\n".join(lines[1:-1]))
            if not isinstance(registration, dict):
                raise BadRegistration("invalid type, expected a map")
            self.hs.check_appservice(registration)
        except (yaml.YAMLError, BadRegistration) as e:
            raise BadRegistration("Could not parse appservice config as YAML: "
                                  f"{e}") from None
        except re.error as e:
            raise BadRegistration(f"Failed to register appservice: {e}"
                                  ) from None
        id = registration["id"]
        for other in self.hs.appservices.values():
            if other.id == id:
                raise BadRegistration(
                    f"Failed to register appservice: Duplicate id: {id}")
            if other.registration["as_token"] == registration["as_token"]:
                raise BadRegistration("Failed to register appservice: "
                                      f"Duplicate as_token: {other.id} {id}")
        self.hs.register_appservice(registration)
        return f"Appservice registered with ID: {id}"

    def _unregister(self, words, _lines):
        failed = "Failed to unregister appservice: "
        if words[0] not in self.hs.appservices:
            raise BadRegistration(failed + "Appservice not found")
        if words[0] in self.hs.by_file:
            raise BadRegistration(failed + "Cannot unregister config appservice")
        self.hs.unregister_appservice(words[0])
        return "Appservice unregistered."
