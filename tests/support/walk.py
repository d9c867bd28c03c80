"""One walk through the calls that matter, taken on a real homeserver and on the
scripted one, to be compared answer by answer."""

import collections
import urllib.parse

from support.appservice import AppService
from support.client import Client, quote

SERVER = "walk.test"
SENDER = f"@probe-sender:{SERVER}"
AGENT = f"@agent-one:{SERVER}"
OTHER = f"@agent-two:{SERVER}"
NOBODY = f"@agent-nobody:{SERVER}"


class Walk:
    """Takes calls and keeps of each what must be the same everywhere: status,
    errcode, and which keys the answer has."""

    # What one server adds to an answer and nobody may depend on.
    EXTRA = {"home_server", "well_known", "servers", "expires_in_ms",
             "session", "params", "completed", "flows", "is_guest",
             "soft_logout", "start", "end", "state", "error", "status",
             "body", "m.get_login_token", "age", "user_id",
             "replaces_state"}

    def __init__(self, hs, service, manner):
        self.hs, self.service, self.manner = hs, service, manner
        self.seen = []

    def note(self, label, got):
        keys = ()
        if isinstance(got.body, dict) and got.status == 200:
            keys = tuple(sorted(k for k in got.body if k not in self.EXTRA
                                and not k.startswith("org.")))
        self.seen.append((label, got.status, got.errcode, keys))
        return got

    def as_user(self, user_id):
        return self.service.client(self.hs.url, acting_as=user_id)

    # -- the parts of the walk

    def before_the_sender(self):
        service, url = self.service, self.hs.url
        anon, bad = Client(url), Client(url, "nonsense")
        self.note("no token", anon.get("/account/whoami"))
        self.note("bad token", bad.get("/account/whoami"))
        self.note("bad token, versions",
                  bad.call("GET", "/_matrix/client/versions"))
        self.note("unknown path", anon.get("/nothing/here"))
        self.note("wrong method", anon.delete("/joined_rooms"))
        self.note("login of nobody", service.login(url, "agent-nobody"))
        self.note("whoami, no sender",
                  service.client(url).get("/account/whoami"))
        self.note("joined_rooms, no sender",
                  service.client(url).get("/joined_rooms"))
        self.note("register sender", service.register(url, "probe-sender"))
        self.note("whoami", service.client(url).get("/account/whoami"))
        self.note("ping", service.ping(url))
        self.note("ping of another id", service.client(url).call(
            "POST", "/_matrix/client/v1/appservice/other/ping", {}))

    def accounts(self):
        service, url = self.service, self.hs.url
        anon = Client(url)
        flow = {"auth": {"type": "m.login.dummy"}}
        self.note("asserting nobody",
                  self.as_user(NOBODY).get("/account/whoami"))
        self.note("asserting a stranger",
                  self.as_user(f"@human:{SERVER}").get("/account/whoami"))
        self.note("asserting nonsense",
                  self.as_user("nonsense").get("/account/whoami"))
        self.note("register agent", service.register(url, "agent-one"))
        self.note("register it again", service.register(url, "agent-one"))
        self.note("register with a password", service.register(
            url, "agent-two", password="forgotten at once"))
        self.note("register a stranger", service.register(url, "human"))
        self.note("register a bad name", service.register(url, "agent- "))
        self.note("register without a token", anon.post("/register", {
            "type": "m.login.application_service", "username": "agent-x"}))
        self.note("a human takes an agent's name", anon.post("/register", {
            "username": "agent-x", "password": "long enough", **flow}))
        self.note("register without auth", anon.post("/register", {
            "username": "carol", "password": "long enough"}))
        self.human = self.hs.human("alice", "alice's password")
        self.other_human = self.hs.human("bob", "bob's password")
        self.note("a taken name", anon.post("/register", {
            "username": "alice", "password": "long enough", **flow}))
        self.note("is free", anon.get("/register/available", username="dan"))
        self.note("is taken", anon.get("/register/available",
                                       username="alice"))
        self.note("wrong password", anon.post("/login", {
            "type": "m.login.password", "password": "wrong",
            "identifier": {"type": "m.id.user", "user": "alice"}}))
        self.note("password of nobody", anon.post("/login", {
            "type": "m.login.password", "password": "wrong",
            "identifier": {"type": "m.id.user", "user": "nobody"}}))
        self.note("an agent by password", anon.post("/login", {
            "type": "m.login.password", "password": "forgotten at once",
            "identifier": {"type": "m.id.user", "user": "agent-two"}}))
        self.note("login flows", anon.get("/login"))

    def sessions(self):
        service, url = self.service, self.hs.url
        first = self.note("login", service.login(
            url, "agent-one", device_id="MUSTER"))
        agent = Client(url, first.body["access_token"])
        self.note("own whoami", agent.get("/account/whoami"))
        self.note("own devices", agent.get("/devices"))
        self.note("devices by the service",
                  self.as_user(AGENT).get("/devices"))
        self.note("its device", agent.get("/devices/MUSTER"))
        self.note("no such device", agent.get("/devices/OTHER"))
        again = self.note("login again, same device", service.login(
            url, AGENT, device_id="MUSTER"))
        self.note("the old token", agent.get("/account/whoami"))
        new = Client(url, again.body["access_token"])
        self.note("the new token", new.get("/account/whoami"))
        self.note("login upper case", service.login(url, "AGENT-ONE",
                                                    device_id="MUSTER"))
        self.note("login of a stranger", service.login(url, "alice"))
        self.note("login without a token", Client(url).post("/login", {
            "type": "m.login.application_service",
            "identifier": {"type": "m.id.user", "user": "agent-one"}}))
        self.note("login with a user's token", self.human.post("/login", {
            "type": "m.login.application_service",
            "identifier": {"type": "m.id.user", "user": "agent-one"}}))
        self.note("register with a user's token", self.human.post(
            "/register", {"type": "m.login.application_service",
                          "username": "agent-three"}))
        self.note("rename a device", self.as_user(AGENT).put(
            "/devices/MUSTER", {"display_name": "muster"}))
        if self.manner == "conduit":
            self.note("make a device by the service",
                      self.as_user(AGENT).put("/devices/NEW", {}))
        self.note("delete a device by the service",
                  self.as_user(AGENT).delete("/devices/MUSTER"))
        throwaway = Client(url, service.login(
            url, "agent-one", device_id="OTHER").body["access_token"])
        self.note("logout", throwaway.post("/logout"))
        self.note("after logout", throwaway.get("/account/whoami"))
        if self.manner == "conduit":
            # Synapse takes the service's own token for a session here.
            self.note("logout by the service",
                      self.as_user(AGENT).post("/logout"))
            last = Client(url, service.login(
                url, "agent-one", device_id="MUSTER").body["access_token"])
            self.note("logout all by itself", last.post("/logout/all"))
        self.note("logout all by the service",
                  self.as_user(AGENT).post("/logout/all"))
        self.note("after it", new.get("/account/whoami"))
        self.note("devices after it", self.as_user(AGENT).get("/devices"))
        self.agent = Client(url, service.login(
            url, "agent-one", device_id="MUSTER").body["access_token"],
            user_id=AGENT)

    def profiles(self):
        agent = self.as_user(AGENT)
        name = f"/profile/{quote(AGENT)}/displayname"
        self.note("name", agent.get(name))
        self.note("set name", agent.put(name, {"displayname": "Agent One"}))
        got = self.note("name again", agent.get(name))
        assert got.body["displayname"] == "Agent One"
        self.note("avatar", agent.put(
            f"/profile/{quote(AGENT)}/avatar_url",
            {"avatar_url": "mxc://walk.test/x"}))
        self.note("profile", agent.get(f"/profile/{quote(AGENT)}"))
        self.note("profile of nobody", agent.get(f"/profile/{quote(NOBODY)}"))
        data = f"/user/{quote(AGENT)}/account_data/m.direct"
        self.note("no data", agent.get(data))
        self.note("set data", agent.put(data, {"@a:b": ["!r"]}))
        got = self.note("data by its own token", self.agent.get(data))
        assert got.body == {"@a:b": ["!r"]}
        self.note("another's data", self.agent.get(
            f"/user/{quote(self.human.user_id)}/account_data/m.direct"))
        self.note("capabilities", agent.get("/capabilities"))

    def rooms(self):
        service = self.as_user(SENDER)
        agent, other = self.as_user(AGENT), self.as_user(OTHER)
        human = self.human
        make = {"preset": "private_chat", "room_alias_name": "agent-hall",
                "name": "Hall", "topic": "Talk", "invite": [AGENT]}
        room = self.note("create", service.post("/createRoom", make))
        room = quote(room.body["room_id"])
        alias = quote(f"#agent-hall:{SERVER}")
        self.room, self.alias = room, alias
        self.note("alias taken", service.post("/createRoom", make))
        self.note("alias not ours", service.post(
            "/createRoom", {"room_alias_name": "elsewhere"}))
        self.note("a human takes our alias", human.post(
            "/createRoom", {"room_alias_name": "agent-mine"}))
        self.note("a human sets our alias", human.put(
            f"/directory/room/{quote('#agent-mine:' + SERVER)}",
            {"room_id": urllib.parse.unquote(self.room)}))
        self.note("resolve", service.get(f"/directory/room/{alias}"))
        self.service.answer = lambda path: 404 if "/rooms/" in path else 200
        self.note("resolve unknown", service.get(
            f"/directory/room/{quote('#agent-none:' + SERVER)}"))
        self.note("resolve unknown, not ours", service.get(
            f"/directory/room/{quote('#none:' + SERVER)}"))
        self.service.answer = 200
        self.note("set another alias", service.put(
            f"/directory/room/{quote('#agent-two:' + SERVER)}",
            {"room_id": urllib.parse.unquote(room)}))
        self.note("set it again", service.put(
            f"/directory/room/{quote('#agent-two:' + SERVER)}",
            {"room_id": urllib.parse.unquote(room)}))
        self.note("set one not ours", service.put(
            f"/directory/room/{quote('#mine:' + SERVER)}",
            {"room_id": urllib.parse.unquote(room)}))
        self.note("delete alias", service.delete(
            f"/directory/room/{quote('#agent-two:' + SERVER)}"))
        at = f"/rooms/{room}"
        self.note("members unseen", other.get(at + "/members"))
        self.note("joined_members unseen", human.get(at + "/joined_members"))
        self.note("join uninvited", other.post(at + "/join"))
        self.note("join by alias uninvited", other.post(f"/join/{alias}"))
        self.note("join", agent.post(f"/join/{alias}"))
        self.note("join again", agent.post(at + "/join"))
        self.note("invite a member", service.post(
            at + "/invite", {"user_id": AGENT}))
        self.note("invite", service.post(at + "/invite", {"user_id": OTHER}))
        self.note("invite twice", service.post(
            at + "/invite", {"user_id": OTHER}))
        self.note("invite by a stranger", human.post(
            at + "/invite", {"user_id": self.other_human.user_id}))
        self.note("invite nobody", service.post(
            at + "/invite", {"user_id": NOBODY}))
        self.note("decline", other.post(at + "/leave"))
        self.note("leave again", other.post(at + "/leave"))
        self.note("leave never in", human.post(at + "/leave"))
        self.note("kick who never was", service.post(
            at + "/kick", {"user_id": f"@never:{SERVER}"}))
        self.note("kick by one without power", agent.post(
            at + "/kick", {"user_id": SENDER}))
        self.note("kick", service.post(
            at + "/kick", {"user_id": AGENT, "reason": "x"}))
        self.note("back uninvited", agent.post(at + "/join"))
        self.note("send after the kick", agent.put(
            at + "/send/m.room.message/1", {"body": "x", "msgtype": "m.text"}))
        self.note("ban", service.post(at + "/ban", {"user_id": OTHER}))
        self.note("invite a banned one", service.post(
            at + "/invite", {"user_id": OTHER}))
        self.note("join banned", other.post(at + "/join"))
        self.note("unban", service.post(at + "/unban", {"user_id": OTHER}))
        self.note("invite after all", service.post(
            at + "/invite", {"user_id": AGENT}))
        self.note("rejoin", agent.post(at + "/join"))
        self.note("join unknown room", agent.post(
            f"/join/{quote('!nowhere:' + SERVER)}"))
        self.note("join unknown alias", agent.post(
            f"/join/{quote('#nowhere:' + SERVER)}"))
        self.note("leave unknown room", agent.post(
            f"/rooms/{quote('!nowhere:' + SERVER)}/leave"))
        self.note("invite to unknown room", agent.post(
            f"/rooms/{quote('!nowhere:' + SERVER)}/invite",
            {"user_id": OTHER}))
        self.note("joined_rooms", agent.get("/joined_rooms"))
        got = self.note("joined_members", service.get(at + "/joined_members"))
        assert set(got.body["joined"]) == {SENDER, AGENT}
        assert got.body["joined"][AGENT]["display_name"] == "Agent One"
        self.note("joined_members by another of ours",
                  other.get(at + "/joined_members"))
        self.note("members by one who left", other.get(at + "/members"))
        got = self.note("members", service.get(at + "/members"))
        self.memberships = sorted(
            (e["state_key"], e["content"]["membership"])
            for e in got.body["chunk"])

    def state(self):
        service, agent = self.as_user(SENDER), self.as_user(AGENT)
        human, at = self.human, f"/rooms/{self.room}"
        got = service.get(at + "/state")
        self.state_types = sorted({e["type"] for e in got.body})
        self.note("all state unseen", human.get(at + "/state"))
        for key in ("m.room.name", "m.room.topic", "m.room.join_rules",
                    "m.room.history_visibility", "m.room.create",
                    "m.room.canonical_alias", "m.room.power_levels"):
            got = self.note(key, service.get(f"{at}/state/{key}"))
        self.note("no such state", service.get(at + "/state/m.nothing"))
        self.note("state unseen", human.get(at + "/state/m.room.name"))
        self.note("state with an empty key",
                  service.get(at + "/state/m.room.name/"))
        self.note("set name", service.put(
            at + "/state/m.room.name", {"name": "The Hall"}))
        self.note("set name without power", agent.put(
            at + "/state/m.room.name", {"name": "Mine"}))
        self.note("send", agent.put(
            at + "/send/m.room.message/a", {"body": "x", "msgtype": "m.text"}))
        one = self.note("send idempotent", agent.put(
            at + "/send/m.room.message/b", {"body": "x", "msgtype": "m.text"}))
        two = agent.put(
            at + "/send/m.room.message/b", {"body": "x", "msgtype": "m.text"})
        assert one.body == two.body
        self.note("send a float", agent.put(
            at + "/send/m.room.message/c",
            {"body": "x", "msgtype": "m.text", "n": 1.5}))
        self.note("state of a float", service.put(
            at + "/state/x.float", {"n": 1.5}))
        self.note("send not JSON", agent.call(
            "PUT", "/_matrix/client/v3" + at + "/send/m.room.message/d",
            raw=b"{"))
        self.note("event", agent.get(f"{at}/event/{one.body['event_id']}"))
        self.note("no such event", agent.get(at + "/event/$nothing"))
        self.note("redact", agent.put(
            f"{at}/redact/{quote(one.body['event_id'])}/r1", {"reason": "x"}))
        got = agent.get(f"{at}/event/{one.body['event_id']}")
        assert got.body["content"] == {}
        self.note("messages", self.agent.get(
            at + "/messages", dir="b", limit=5))
        if self.manner == "conduit":
            self.note("messages by the service",
                      agent.get(at + "/messages", dir="b"))
            self.note("sync by the service", agent.get("/sync"))
        self.note("messages unseen", human.get(at + "/messages", dir="b"))
        self.note("join_rules", service.put(
            at + "/state/m.room.join_rules", {"join_rule": "public"}))
        self.note("join public", human.post(at + "/join"))
        self.note("canonical alias that is not", service.put(
            at + "/state/m.room.canonical_alias",
            {"alias": f"#agent-none:{SERVER}"}))

    def powers(self):
        service, human = self.as_user(SENDER), self.human
        creator_in_it = {"users": {SENDER: 100}}
        got = self.note("creator among the powers", service.post(
            "/createRoom", {"power_level_content_override": creator_in_it}))
        got = self.note("create with powers", service.post("/createRoom", {
            "preset": "private_chat", "invite": [human.user_id],
            "creation_content": {"m.federate": False, "x.kept": "yes"},
            "initial_state": [{
                "type": "m.room.guest_access", "state_key": "",
                "content": {"guest_access": "forbidden"}}],
            "power_level_content_override": {
                "users": {human.user_id: 100} if self.twelve else
                {human.user_id: 100, SENDER: 100}, "invite": 50}}))
        at = f"/rooms/{quote(got.body['room_id'])}"
        self.note("human joins", human.post(at + "/join"))
        created = service.get(at + "/state/m.room.create").body
        assert created["x.kept"] == "yes" and created["m.federate"] is False
        self.note("human kicks the creator", human.post(
            at + "/kick", {"user_id": SENDER}))
        powers = self.note(
            "powers", service.get(at + "/state/m.room.power_levels")).body
        self.powers_kept = (powers["invite"], sorted(powers["users"].items()))
        self.note("human lowers the tombstone", human.put(
            at + "/state/m.room.power_levels",
            {**powers, "events": {"m.room.tombstone": 100}}))
        self.note("human raises above himself", human.put(
            at + "/state/m.room.power_levels",
            {**powers, "users_default": 120}))
        old = self.note("create of version 9", service.post(
            "/createRoom", {"room_version": "9"}))
        at = f"/rooms/{quote(old.body['room_id'])}"
        powers = service.get(at + "/state/m.room.power_levels").body
        self.note("powers in words", service.put(
            at + "/state/m.room.power_levels",
            {**powers, "users": {SENDER: " +100 "}, "state_default": "050"}))
        self.note("by the power of words", service.put(
            at + "/state/m.room.name", {"name": "Words"}))
        direct = self.note("direct", self.as_user(AGENT).post("/createRoom", {
            "preset": "trusted_private_chat", "is_direct": True,
            "invite": [OTHER]}))
        at = f"/rooms/{quote(direct.body['room_id'])}"
        self.note("other joins", self.as_user(OTHER).post(at + "/join"))
        self.note("other names it", self.as_user(OTHER).put(
            at + "/state/m.room.name", {"name": "Two"}))
        self.note("upgrade", service.post(
            f"/rooms/{self.room}/upgrade", {"new_version": "11"}))
        self.note("tombstone", service.get(
            f"/rooms/{self.room}/state/m.room.tombstone"))
        self.note("alias moved", service.get(f"/directory/room/{self.alias}"))

    def interference(self):
        """What humans do in a room of ours."""
        service, agent = self.as_user(SENDER), self.as_user(AGENT)
        other, human, bob = self.as_user(OTHER), self.human, self.other_human
        room = service.create_room(
            preset="private_chat", room_version="11", name="Yard",
            room_alias_name="agent-yard",
            invite=[AGENT, OTHER, human.user_id, bob.user_id],
            power_level_content_override={
                "users": {SENDER: 100, human.user_id: 100}})
        at = f"/rooms/{quote(room)}"
        for who in (agent, other, human, bob):
            who.join(room)
        self.note("human kicks", human.post(
            at + "/kick", {"user_id": AGENT, "reason": "go"}))
        self.note("human kicks again", human.post(
            at + "/kick", {"user_id": AGENT, "reason": "really"}))
        self.note("human kicks an equal", human.post(
            at + "/kick", {"user_id": SENDER}))
        self.note("human bans", human.post(at + "/ban", {"user_id": OTHER}))
        self.note("human bans again", human.post(
            at + "/ban", {"user_id": OTHER}))
        self.note("human bans who never was", human.post(
            at + "/ban", {"user_id": f"@never:{SERVER}"}))
        self.note("kick who is banned", human.post(
            at + "/kick", {"user_id": f"@never:{SERVER}"}))
        self.note("ban without power", bob.post(
            at + "/ban", {"user_id": human.user_id}))
        self.note("ban without a name", human.post(at + "/ban", {}))
        self.note("banned one leaves", other.post(at + "/leave"))
        self.note("unban without power", bob.post(
            at + "/unban", {"user_id": OTHER}))
        self.note("unban who is not banned", human.post(
            at + "/unban", {"user_id": AGENT}))
        self.note("unban who is in", human.post(
            at + "/unban", {"user_id": bob.user_id}))
        self.note("unban who never was", human.post(
            at + "/unban", {"user_id": f"@nobody:{SERVER}"}))
        self.note("human unbans", human.post(
            at + "/unban", {"user_id": OTHER}))
        self.note("back after the ban, uninvited", other.post(at + "/join"))
        service.invite(room, AGENT)
        agent.join(room)
        self.note("upgrade without power", bob.post(
            at + "/upgrade", {"new_version": "11"}))
        self.note("upgrade by one outside", other.post(
            at + "/upgrade", {"new_version": "11"}))
        self.note("upgrade to no version", human.post(
            at + "/upgrade", {"new_version": "x"}))
        assert service.resolve(f"#agent-yard:{SERVER}") == room
        self.upgraded(room, human, human.upgrade(room, "11"), bob)
        twelve = service.create_room(
            preset="private_chat", room_version="12",
            power_level_content_override={"users": {human.user_id: 100}},
            invite=[human.user_id])
        human.join(twelve)
        self.note("upgrade of a creator's room", human.post(
            f"/rooms/{quote(twelve)}/upgrade", {"new_version": "12"}))
        new = service.upgrade(twelve, "12")
        self.upgrades.append(service.power_levels(new)["users"])

    def upgraded(self, old, human, new, stranger):
        """What a human's upgrade leaves, here and there."""
        service = self.as_user(SENDER)
        self.upgrades = [
            service.resolve(f"#agent-yard:{SERVER}") == new,
            human.state(old, "m.room.tombstone")["replacement_room"] == new,
            human.state(new, "m.room.create")["predecessor"]["room_id"] == old,
            human.members(new), human.joined_members(old),
            human.state(new, "m.room.name"),
            human.state(new, "m.room.join_rules"),
            human.power_levels(new)["users"],
            human.power_levels(old)["events_default"],
            human.power_levels(old)["invite"]]
        self.note("the service sees the new room", service.get(
            f"/rooms/{quote(new)}/joined_members"))
        self.note("join the new room uninvited", service.post(
            f"/rooms/{quote(new)}/join"))
        human.invite(new, SENDER)
        self.note("join the new room", service.post(
            f"/rooms/{quote(new)}/join"))
        self.note("the new room's canonical alias", service.get(
            f"/rooms/{quote(new)}/state/m.room.canonical_alias"))
        self.note("the old room's canonical alias", service.get(
            f"/rooms/{quote(old)}/state/m.room.canonical_alias"))
        self.note("send in the old room", stranger.put(
            f"/rooms/{quote(old)}/send/m.room.message/old",
            {"body": "x", "msgtype": "m.text"}))
        self.note("leave the old room", service.post(
            f"/rooms/{quote(old)}/leave"))

    def no_such_room(self):
        self.of_a_room(f"!nowhere:{SERVER}", "unknown room")

    def of_a_room(self, room, label):
        """Every call that names one."""
        service, at = self.as_user(SENDER), f"/rooms/{quote(room)}"
        for method, path, body in (
                ("GET", "/joined_members", None), ("GET", "/members", None),
                ("GET", "/state", None), ("GET", "/state/m.room.name", None),
                ("PUT", "/state/m.room.name", {"name": "x"}),
                ("PUT", "/send/m.room.message/nowhere",
                 {"msgtype": "m.text", "body": "x"}),
                ("POST", "/join", {}), ("POST", "/leave", {}),
                ("POST", "/invite", {"user_id": AGENT}),
                ("POST", "/kick", {"user_id": AGENT}),
                ("POST", "/ban", {"user_id": AGENT}),
                ("POST", "/unban", {"user_id": AGENT}),
                ("POST", "/upgrade", {"new_version": "11"})):
            self.note(f"{label}: {method} {path}", service.call(
                method, "/_matrix/client/v3" + at + path, body))
        self.note(f"{label}: alias", service.put(
            f"/directory/room/{quote('#agent-nowhere:' + SERVER)}",
            {"room_id": room}))
        self.note(f"{label}: joined_rooms", service.get("/joined_rooms"))
        assert room not in service.joined_rooms()

    def pings(self):
        """What the service hears of a ping that it refuses, and none."""
        self.service.answer = lambda path: 403 if "/ping" in path else 200
        self.note("ping refused", self.service.ping(self.hs.url))
        self.service.answer = 200
        self.note("ping by a user", self.human.call(
            "POST", "/_matrix/client/v1/appservice/probe/ping", {}))

    def pushed(self):
        """All that the service was told, once it has come."""
        text = self.as_user(SENDER).create_room(preset="private_chat")
        last = self.as_user(SENDER).send(text, "the last")
        self.service.wait_event(lambda e: e.get("event_id") == last, 30)
        # Either may send one twice.
        events = {e["event_id"]: e for e in self.service.events()}.values()
        self.told = collections.Counter(
            (e["type"], e["content"].get("membership")) for e in events)
        self.told_keys = {
            (e["type"], tuple(sorted(set(e) - self.EXTRA)),
             tuple(sorted(set(e.get("unsigned", {})) - self.EXTRA
                          - {"transaction_id"})))
            for e in events if e["type"] == "m.room.member"}
        puts = [r for r in self.service.received if r[0] == "PUT"]
        self.tokens = {("access_token" in query, headers["Authorization"]
                        == "Bearer " + self.service.registration["hs_token"])
                       for _, _, query, headers, _ in puts}
        self.txn_ids = {len(path.rpartition("/")[2]) == 43
                        for _, path, _, _, _ in puts}

    @property
    def twelve(self):
        got = self.as_user(SENDER).get("/capabilities").body
        return got["capabilities"]["m.room_versions"]["default"] == "12"

    def walk(self):
        for part in (self.before_the_sender, self.accounts, self.sessions,
                     self.profiles, self.rooms, self.state, self.powers,
                     self.interference, self.no_such_room, self.pings,
                     self.pushed):
            part()
        return self


def take(hs, manner, dir):
    service = AppService(SERVER, dir)
    try:
        hs.start()
        hs.add_appservice(service.path)
        return Walk(hs, service, manner).walk()
    finally:
        hs.stop()
        service.stop()
