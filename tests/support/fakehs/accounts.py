"""Accounts, sessions, devices, profiles and account data."""

import re

from .errors import Refusal, panic
from .routing import route
from .world import random_text

SERVICE_TYPE = "m.login.application_service"
LIGHTNING = " \u26a1\ufe0f"
LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


class Accounts:
    """A part of FakeHS."""

    # -- making accounts

    @route("POST", "/register", auth="service")
    def register(self, r):
        body = r.body
        by_service = body.get("type") == SERVICE_TYPE
        username = str(body.get("username") or random_text(10))
        if self.conduit or not by_service:
            username = username.lower()
        user_id = self.world.full_id(username)
        if by_service and r.service is None:
            raise self.pick((401, "M_MISSING_TOKEN",
                             "Missing appservice token."),
                            (400, "M_UNKNOWN", "Appservice token must be "
                             f"provided when using a type of {SERVICE_TYPE}"))
        if not self.allow_registration and r.service is None:
            raise Refusal(403, "M_FORBIDDEN", "Registration has been disabled.")
        if (self.conduit or not by_service) and (
                not LOCALPART.fullmatch(username) or len(user_id) > 255):
            raise Refusal(400, "M_INVALID_USERNAME", "Username is invalid.")
        if self.world.has_user(user_id):
            raise Refusal(400, "M_USER_IN_USE",
                          "Desired user ID is already taken.")
        self._check_reserved(r, user_id, by_service)
        if r.service is None:
            self._check_stage(body)
        elif self.service_logins != "given" and not body.get("inhibit_login"):
            raise Refusal(400, "M_APPSERVICE_LOGIN_UNSUPPORTED",
                          "This appservice has MSC4190 enabled, so the "
                          "inhibit_login parameter must be set to true.")
        user = self.world.add_user(user_id, body.get("password") or "")
        user.displayname = username + (LIGHTNING if self.lightning else "")
        return self._registered(r, user)

    def _check_reserved(self, r, user_id, by_service):
        if by_service:
            if not r.service.owns(user_id):
                raise Refusal(400, "M_EXCLUSIVE", "User is not in namespace.")
        elif any(s.owns(user_id, exclusively=True)
                 for s in self.appservices.values()):
            raise Refusal(400, "M_EXCLUSIVE",
                          "User id reserved by appservice.")

    def _check_stage(self, body):
        """User-interactive authentication, of one stage."""
        stage = ("m.login.registration_token" if self.registration_token
                 else "m.login.dummy")
        auth = body.get("auth") or {}
        if auth.get("type") != stage or (
                self.registration_token
                and auth.get("token") != self.registration_token):
            raise self._stages(stage)

    @staticmethod
    def _stages(stage):
        return Refusal(401, None, "", {
            "flows": [{"stages": [stage]}], "params": {},
            "session": random_text(24)})

    def _registered(self, r, user):
        answer = {"user_id": user.user_id}
        if not self.conduit:
            answer["home_server"] = self.server_name
        if r.body.get("inhibit_login"):
            return {**answer, **({"device_id": None} if self.conduit else {})}
        answer["device_id"], answer["access_token"] = self._open(user, r.body)
        if self.admin and not self.admin.has_admin():
            self.admin.make_admin(user.user_id)
        return answer

    @route("GET", "/register/available", auth="none")
    def available(self, r):
        if self.world.has_user(self.world.full_id(
                r.query.get("username", ""))):
            raise Refusal(400, "M_USER_IN_USE",
                          "Desired user ID is already taken.")
        if self.tuwunel and any(
                s.owns(self.world.full_id(r.query.get("username", "")),
                       exclusively=True) for s in self.appservices.values()):
            raise Refusal(400, "M_EXCLUSIVE",
                          "Username is reserved by an appservice.")
        return {"available": True}

    # -- sessions

    @route("GET", "/login", auth="none")
    def login_flows(self, _r):
        if self.service_logins == "none":
            raise Refusal(404, "M_UNRECOGNIZED", "Unrecognized request")
        return {"flows": [{"type": "m.login.password"}, *(
            [{"type": SERVICE_TYPE}]
            if self.service_logins != "not listed" else [])]}

    def _open(self, user, body):
        """A session: (device, token). Another login on a device ends the
        older token in Conduit; in Synapse both live."""
        token = (random_text(32) if self.conduit
                 else f"syt_{random_text(12)}_{random_text(20)}_1")
        device_id = self.world.issue(
            user, body.get("device_id"),
            body.get("initial_device_display_name"), token,
            replace=self.conduit and not self.tuwunel)
        return device_id, token

    @route("POST", "/login", auth="service")
    def login(self, r):
        if self.service_logins == "none":
            raise Refusal(404, "M_UNRECOGNIZED", "Unrecognized request")
        name = str((r.body.get("identifier") or {}).get("user")
                   or r.body.get("user") or "")
        if not name:
            raise Refusal(403, "M_FORBIDDEN", "Bad login type.")
        if self.conduit:
            name = name.lower()
        user_id = name if name.startswith("@") else self.world.full_id(name)
        user = self.world.users.get(user_id)
        kind = r.body.get("type")
        if kind == SERVICE_TYPE:
            self._check_service_login(r, user_id, user)
        elif kind == "m.login.password":
            self._check_password(r, user_id, user)
        else:
            raise Refusal(400, "M_UNKNOWN", "Unsupported login type.")
        device_id, token = self._open(user, r.body)
        return {"user_id": user_id, "access_token": token,
                "home_server": self.server_name, "device_id": device_id}

    def _check_service_login(self, r, user_id, user):
        if r.service is None:
            raise Refusal(401, "M_MISSING_TOKEN", "Missing appservice token.")
        if self.service_logins != "given":
            raise Refusal(400, "M_APPSERVICE_LOGIN_UNSUPPORTED",
                          "This appservice has MSC4190 enabled, so appservice "
                          "login cannot be used.")
        if not r.service.owns(user_id):
            raise self.pick((400, "M_EXCLUSIVE", "User is not in namespace."),
                            (403, "M_FORBIDDEN", "Invalid access_token"))
        if user is None:
            raise panic() if self.conduit else Refusal(
                404, "M_UNKNOWN", "No row found (users)")

    def _check_password(self, r, user_id, user):
        if self.conduit and not self.tuwunel and any(
                s.owns(user_id, exclusively=True)
                for s in self.appservices.values()):
            raise Refusal(400, "M_EXCLUSIVE",
                          "User id reserved by appservice.")
        password = user.password if user else None
        if user and user_id == self.bot_id:
            password = self.emergency_password
        if self.conduit and user and not password:
            raise Refusal(403, "M_USER_DEACTIVATED",
                          "The user has been deactivated")
        # Synapse does not keep the password a service registers with.
        kept = self.conduit or not any(
            s.owns(user_id) for s in self.appservices.values())
        if not password or not kept or r.body.get("password") != password:
            raise Refusal(403, "M_FORBIDDEN", "Wrong username or password.")

    @route("POST", "/logout")
    def logout(self, r):
        if r.device is None and self.conduit:
            raise panic()
        if r.device:
            self.world.drop_device(self.world.users[r.user], r.device)
        return {}

    @route("POST", "/logout/all")
    def logout_all(self, r):
        if self.conduit and r.service is None:
            raise Refusal(401, "M_MISSING_TOKEN", "Missing appservice token.")
        self.world.drop_devices(self.world.users[r.user])
        return {}

    @route("GET", "/account/whoami")
    def whoami(self, r):
        answer = {"user_id": r.user}
        if not self.conduit:
            answer["is_guest"] = False
        if r.device:
            answer["device_id"] = r.device
            if self.conduit and not self.world.users[r.user].password:
                answer["is_guest"] = True
        return answer

    # -- devices

    def _device(self, r, device_id):
        device = self.world.users[r.user].devices[device_id]
        return {"device_id": device_id, "display_name": device.display_name,
                "last_seen_ip": None, "last_seen_ts": 1,
                **({} if self.conduit else {"user_id": r.user})}

    def _check_device(self, r, device_id):
        if device_id not in self.world.users[r.user].devices:
            raise Refusal(404, "M_NOT_FOUND", "Device not found.")

    @route("GET", "/devices")
    def devices(self, r):
        user = self.world.users[r.user]
        return {"devices": [self._device(r, d) for d in user.devices]}

    @route("GET", "/devices/{device}")
    def device(self, r, device):
        self._check_device(r, device)
        return self._device(r, device)

    @route("PUT", "/devices/{device}")
    def rename_device(self, r, device):
        self._check_device(r, device)
        user = self.world.users[r.user]
        user.devices[device].display_name = r.body.get("display_name")
        return {}

    @route("DELETE", "/devices/{device}")
    def delete_device(self, r, device):
        if r.service and self.conduit:
            raise panic()
        if r.service:
            self.world.drop_device(self.world.users[r.user], device)
            return {}
        self._check_device(r, device)
        raise self._stages("m.login.password")

    # -- profiles

    @route("GET", "/profile/{user}", auth="none")
    def profile(self, _r, user):
        user = self._profile(user)
        return {key: value for key, value in (
            ("displayname", user.displayname),
            ("avatar_url", user.avatar_url)) if value is not None}

    @route("GET", "/profile/{user}/displayname", auth="none")
    def displayname(self, r, user):
        got = self.profile(r, user)
        return {k: v for k, v in got.items() if k == "displayname"}

    @route("GET", "/profile/{user}/avatar_url", auth="none")
    def avatar(self, r, user):
        got = self.profile(r, user)
        return {k: v for k, v in got.items() if k == "avatar_url"}

    def _profile(self, user_id):
        if not self.world.has_user(user_id):
            raise self.pick(
                (404, "M_NOT_FOUND", "Profile was not found."),
                (404, "M_UNKNOWN", "No row found (profiles)"))
        return self.world.users[user_id]

    @route("PUT", "/profile/{user}/displayname")
    def set_displayname(self, r, user):
        return self._set_profile(r, user, "displayname")

    @route("PUT", "/profile/{user}/avatar_url")
    def set_avatar(self, r, user):
        return self._set_profile(r, user, "avatar_url")

    def _set_profile(self, r, user_id, key):
        """Conduit does not look at the path: it is the acting user's."""
        if not self.conduit and user_id != r.user:
            raise Refusal(400, "M_UNKNOWN", "Cannot set another user's profile")
        user = self.world.users[r.user]
        setattr(user, key, r.body.get(key))
        for room in self.world.rooms_of(r.user):
            self.world.set_member(room, r.user, r.user, "join")
        return {}

    # -- account data

    def _own_data(self, r, user_id):
        if not self.conduit and user_id != r.user:
            raise Refusal(403, "M_FORBIDDEN",
                          "Cannot get account data for other users.")
        return self.world.users[r.user].account_data

    @route("GET", "/user/{user}/account_data/{kind}")
    def account_data(self, r, user, kind):
        data = self._own_data(r, user)
        if kind not in data:
            raise Refusal(404, "M_NOT_FOUND", "Data not found.")
        return data[kind]

    @route("PUT", "/user/{user}/account_data/{kind}")
    def set_account_data(self, r, user, kind):
        self._own_data(r, user)[kind] = r.body
        return {}
