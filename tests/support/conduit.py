"""A real Conduit of its own for a test, when the machine has one: the binary
that CONDUIT_BIN names, else `conduit` in PATH. Configured by its environment
alone; a folder, a port on loopback, SQLite, no federation."""

import os
import shutil

import yaml

from support.client import V1, Client, answers
from support.process import Daemon, environment, free_port, wait_until

ADMIN = "operator"
ADMIN_PASSWORD = "operators-password"


def binary():
    """Its path, or None."""
    named = os.environ.get("CONDUIT_BIN")
    return shutil.which(named) if named else shutil.which("conduit")


class Conduit:
    kind = "conduit"

    def __init__(self, server_name, dir, **settings):
        """Settings are Conduit's own keys, e.g. emergency_password="x"."""
        self.server_name = server_name
        self.dir = str(dir)
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self._admin = None
        self.daemon = Daemon("conduit", os.path.join(self.dir, "conduit.log"))

    def _environment(self):
        settings = {
            "server_name": self.server_name, "database_backend": "sqlite",
            "database_path": os.path.join(self.dir, "database"),
            "address": "127.0.0.1", "port": self.port,
            "allow_registration": "true", "allow_federation": "false",
            "allow_check_for_updates": "false", "trusted_servers": "[]",
            "log": "warn", **self.settings}
        return environment(CONDUIT_CONFIG="", **{
            "CONDUIT_" + key.upper(): value
            for key, value in settings.items() if value is not None})

    def start(self, bound=30):
        self.daemon.launch([binary()], env=self._environment(), cwd=self.dir)
        self.daemon.wait_for(lambda: answers(self.url), bound,
                             "it answers /versions")
        return self

    def stop(self):
        # It lets long polls run out for 30 s before it goes.
        return self.daemon.stop(bound=40)

    def kill(self):
        self.daemon.kill()

    def wipe(self):
        """Its database is gone, while it does not run."""
        shutil.rmtree(os.path.join(self.dir, "database"))
        self._admin = None

    def restart(self, **settings):
        self.settings.update(settings)
        self.stop()
        return self.start()

    @property
    def admin(self):
        """The server's administrator: the first user, made when first asked
        for, so before anybody else registers."""
        if self._admin is None:
            self._admin = Client(self.url).register(ADMIN, ADMIN_PASSWORD)
        return self._admin

    def command(self, text, bound=10):
        """Types a command into the admin room; the bot's answer."""
        room = self.admin.resolve(f"#admins:{self.server_name}")
        bot = f"@conduit:{self.server_name}"
        event = self.admin.send(room, f"{bot}: {text}")

        def answer():
            after = []
            for e in self.admin.messages(room, 20):
                if e["event_id"] == event:
                    break
                if e["sender"] == bot and e["type"] == "m.room.message":
                    after.append(e["content"]["body"])
            return after and after[-1]
        return wait_until(answer, bound, f"the bot answers {text[:40]!r}")

    def add_appservice(self, path):
        """Takes up a registration file, by the admin room."""
        with open(path, encoding="utf-8") as f:
            text = f.read().strip()
        reg = yaml.safe_load(text)
        got = self.command(f"register-appservice\n```\n{text}\n```")
        assert got == f"Appservice registered with ID: {reg['id']}.", got
        return self

    def human(self, localpart, password="a human's password"):
        """A new account, logged in; never the administrator."""
        assert self.admin
        return Client(self.url).register(localpart, password)

    def ping(self, reg):
        return Client(self.url, reg["as_token"]).call(
            "POST", f"{V1}/appservice/{reg['id']}/ping", {})

    def log(self):
        return self.daemon.output()
