"""The peers: short programs around other libraries for application services
(tests/bench/peers), installed from their registries, measured like muster."""

import contextlib
import filecmp
import glob
import os
import re
import secrets
import shutil
import sqlite3
import subprocess

from service import Measured, listens, pin
from support.muster import TOP
from support.process import Daemon, environment, free_port

SERVER = "fleet.example"
SOURCES = os.path.join(TOP, "tests", "bench", "peers")
NODE_DIR = os.path.join(TOP, "build", "bench", "peers", "node")
GO_PROGRAM = os.path.join(TOP, "build", "bench", "peers", "mautrix")

# name: (the table that memberships are in, extra arguments)
PEERS = {
    "mautrix-go": ("mx_user_profile", []),
    "matrix-appservice": ("membership", []),
    "matrix-bot-sdk, a commit for each transaction": ("membership", []),
    "matrix-bot-sdk, a commit for each event": ("membership", ["--each"]),
}


class Unusable(Exception):
    """What is missing to install or run the peers."""


def _call(argv, cwd, what):
    log = os.path.join(TOP, "build", "bench", "install.log")
    with open(log, "ab") as out:
        try:
            done = subprocess.run(
                argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, check=False)
        except OSError as e:
            raise Unusable(f"{what}: {e}") from None
    if done.returncode:
        raise Unusable(f"{what} failed; its output is in {log}")


def _go_is_new_enough():
    with open(os.path.join(SOURCES, "mautrix", "go.mod"),
              encoding="utf-8") as f:
        need = re.search(r"^go (\d+)\.(\d+)", f.read(), re.M).groups()
    try:
        said = subprocess.run(["go", "env", "GOVERSION"], check=False,
                              capture_output=True, text=True).stdout
    except OSError:
        said = ""
    have = re.match(r"go(\d+)\.(\d+)", said)
    if not have or tuple(map(int, have.groups())) < tuple(map(int, need)):
        raise Unusable(f"mautrix-go needs Go {'.'.join(need)}; the PATH has "
                       f"{said.strip() or 'none'}: install a newer one")


def _copy_node_sources():
    """True when what is installed beside them is what they ask for."""
    os.makedirs(NODE_DIR, exist_ok=True)
    source = os.path.join(SOURCES, "node")
    for name in os.listdir(source):
        shutil.copy(os.path.join(source, name), NODE_DIR)
    return os.path.isdir(os.path.join(NODE_DIR, "node_modules")) and (
        os.path.exists(_stamp()) and filecmp.cmp(
            _stamp(), os.path.join(source, "package-lock.json"), False))


def _stamp():
    return os.path.join(NODE_DIR, "installed")


def install():
    """Each from its registry, in the versions that are written down."""
    if not _copy_node_sources():
        _call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
              NODE_DIR, "installing the peers on Node")
        shutil.copy(os.path.join(NODE_DIR, "package-lock.json"), _stamp())
    node_program()
    _go_is_new_enough()
    _call(["go", "build", "-buildvcs=false", "-o", GO_PROGRAM, "."],
          os.path.join(SOURCES, "mautrix"), "building mautrix-go's program")


def node_program():
    """The Node that came with the packages: the one they are made for."""
    found = glob.glob(os.path.join(
        NODE_DIR, "node_modules", "node-linux-*", "bin", "node"))
    if not found:
        raise Unusable("the registry has no Node for this kind of processor")
    return found[0]


def versions():
    """{name: version} of what was installed."""
    with open(os.path.join(SOURCES, "mautrix", "go.mod"),
              encoding="utf-8") as f:
        go = dict(re.findall(r"^\t(\S+) v(\S+)$", f.read(), re.M))
    with open(os.path.join(SOURCES, "node", "package.json"),
              encoding="utf-8") as f:
        node = dict(re.findall(r'"([^"]+)": "(\d+\.[^"]+)"', f.read()))
    node_version = subprocess.run(
        [node_program(), "--version"], check=True, capture_output=True,
        text=True).stdout.strip()
    go_version = subprocess.run(
        ["go", "env", "GOVERSION"], check=True, capture_output=True,
        text=True).stdout.strip()
    return {
        "mautrix-go": f"{go['maunium.net/go/mautrix']} (mattn/go-sqlite3 "
                      f"{go['github.com/mattn/go-sqlite3']}, {go_version})",
        "matrix-appservice": f"{node['matrix-appservice']} (better-sqlite3 "
                             f"{node['better-sqlite3']}, Node "
                             f"{node_version})",
        "matrix-bot-sdk": f"{node['@vector-im/matrix-bot-sdk']} (the same)"}


class Peer(Measured):
    """One of them with a store of its own."""

    def __init__(self, name, folder, core=0):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.name = name
        self.table, extra = PEERS[name]
        self.port = free_port()
        self.store = os.path.join(folder, "peer.db")
        self.token_file = os.path.join(folder, "token")
        with open(os.open(self.token_file, os.O_WRONLY | os.O_CREAT, 0o600),
                  "w", encoding="ascii") as f:
            f.write(secrets.token_hex(32) + "\n")
        self.daemon = Daemon(name, os.path.join(folder, "log"))
        self.daemon.before = pin(core)
        program = [GO_PROGRAM] if name == "mautrix-go" else [
            node_program(), os.path.join(
                NODE_DIR, ("bot-sdk" if "bot" in name else name) + ".js")]
        self.argv = [*program, *extra, str(self.port), self.token_file,
                     self.store, SERVER]

    def start(self):
        self.daemon.launch(self.argv, env=environment(NODE_ENV="production"))
        self.daemon.wait_for(lambda: listens(self.port), 20, "it listens")
        return self

    def load_options(self):
        return ["--port", str(self.port), "--token-file", self.token_file,
                "--server", SERVER]

    def stored(self):
        """{(room, user): membership}"""
        with contextlib.closing(sqlite3.connect(self.store)) as db:
            return {(room, user): membership for room, user, membership in
                    db.execute("SELECT room_id, user_id, membership "
                               f"FROM {self.table}")}

    def close(self):
        self.daemon.kill()
