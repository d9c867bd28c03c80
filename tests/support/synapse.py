"""A real Synapse of its own for a test: a folder, a port on loopback, SQLite,
no federation, nothing reported to anybody, no limits that a test could hit."""

import glob
import hashlib
import hmac
import os
import secrets
import sys

import yaml

from support.client import Client, answers, quote
from support.process import Daemon, environment, free_port

SECRET = "for tests"  # who has it makes administrators
NO_LIMIT = {"per_second": 100000, "burst_count": 100000}


class Synapse:
    kind = "synapse"

    def __init__(self, server_name, dir, **settings):
        self.server_name = server_name
        self.dir = str(dir)
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self.appservices = []
        self._admin = None
        self.daemon = Daemon("synapse", self._path("synapse.log"))

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _config(self):
        limits = {key: NO_LIMIT for key in (
            "rc_message", "rc_registration", "rc_admin_redaction",
            "rc_room_creation", "rc_registration_token_validity",
            "rc_third_party_invite", "rc_media_create", "rc_reports",
            "rc_delayed_event_mgmt", "rc_user_directory")}
        limits["rc_login"] = {"address": NO_LIMIT, "account": NO_LIMIT,
                              "failed_attempts": NO_LIMIT}
        limits["rc_joins"] = {"local": NO_LIMIT, "remote": NO_LIMIT}
        limits["rc_joins_per_room"] = NO_LIMIT
        limits["rc_invites"] = {"per_room": NO_LIMIT, "per_user": NO_LIMIT,
                                "per_issuer": NO_LIMIT}
        return {
            "server_name": self.server_name,
            "pid_file": self._path("synapse.pid"),
            "listeners": [{
                "port": self.port, "type": "http", "tls": False,
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"]}]}],
            "database": {"name": "sqlite3",
                         "args": {"database": self._path("synapse.db")}},
            "media_store_path": self._path("media"),
            "signing_key_path": self._path("signing.key"),
            "registration_shared_secret": SECRET,
            "macaroon_secret_key": "for tests", "form_secret": "for tests",
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "bcrypt_rounds": 4,
            "report_stats": False,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "federation_domain_whitelist": [],
            "allow_public_rooms_over_federation": False,
            "presence": {"enabled": False},
            "url_preview_enabled": False,
            # Else a first sync may be two minutes old.
            "caches": {"sync_response_cache_duration": "0s"},
            "app_service_config_files": self.appservices,
            **limits, **self.settings}

    def _write_config(self):
        with open(self._path("homeserver.yaml"), "w", encoding="utf-8") as f:
            yaml.safe_dump(self._config(), f)
        if not os.path.exists(self._path("signing.key")):
            import signedjson.key
            with open(self._path("signing.key"), "w", encoding="utf-8") as f:
                signedjson.key.write_signing_keys(
                    f, [signedjson.key.generate_signing_key(
                        "a_" + secrets.token_hex(2))])

    def start(self, appservices=None, bound=60):
        """Starts it, with the registration files given (else: those it was
        given last), and waits until it answers."""
        if appservices is not None:
            self.appservices = [str(path) for path in appservices]
        self._write_config()
        self.daemon.launch(
            [sys.executable, "-m", "synapse.app.homeserver",
             "-c", self._path("homeserver.yaml")],
            env=environment(), cwd=self.dir)
        self.daemon.wait_for(lambda: answers(self.url), bound,
                             "it answers /versions")
        return self

    def stop(self):
        return self.daemon.stop()

    def kill(self):
        self.daemon.kill()

    def wipe(self):
        """Its database is gone, while it does not run."""
        for path in glob.glob(self._path("synapse.db*")):
            os.unlink(path)
        self._admin = None

    def restart(self):
        self.stop()
        return self.start()

    def add_appservice(self, path):
        """Takes up a registration file, as an operator would: a line of its
        configuration and a restart."""
        files = [f for f in self.appservices if f != str(path)] + [str(path)]
        self.stop()
        return self.start(files)

    def human(self, localpart, password="a human's password"):
        """A new account, logged in."""
        return Client(self.url).register(localpart, password)

    @property
    def admin(self):
        """The server's administrator, made when first asked for."""
        if self._admin is None:
            client, path = Client(self.url), "/_synapse/admin/v1/register"
            nonce = client.ok("GET", path)["nonce"]
            parts = (nonce, "operator", "operators-password", "admin")
            client.ok("POST", path, {
                "nonce": nonce, "username": parts[1], "password": parts[2],
                "admin": True, "mac": hmac.new(
                    SECRET.encode(), "\0".join(parts).encode(),
                    hashlib.sha1).hexdigest()})
            self._admin = client.login(*parts[1:3])
        return self._admin

    def delete_room(self, room):
        """As an administrator does: everybody out, and all of it forgotten."""
        self.admin.ok("DELETE", f"/_synapse/admin/v1/rooms/{quote(room)}", {})

    def log(self):
        return self.daemon.output()
