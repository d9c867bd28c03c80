"""OpenClaw itself, as a container runs it: under muster-agent, with a workspace
as the reference fleet writes one. scripts/ensure-openclaw.sh installs it."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from support.client import Client, quote
from support.muster import FINDINGS, TOP, binary
from support.process import Daemon, environment, free_port, wait_until

INSTALLED = os.path.join(TOP, "build", "openclaw")


def installation():
    """{step: seconds} of its installation."""
    with open(os.path.join(INSTALLED, "took"), encoding="ascii") as f:
        return {step: int(s) for step, s in map(str.split, f)}


class OpenClaw:
    """One agent. `muster` has handed it over, or will."""

    def __init__(self, dir, muster, localpart, model):
        self.dir = str(dir)
        self.localpart = localpart
        self.user_id = muster.full_id(localpart)
        self.muster = muster
        self.model = model
        self.port = free_port()
        self.work = os.path.join(self.dir, "workspace")
        self.state = os.path.join(self.dir, "home", ".openclaw")
        self.log = os.path.join(self.dir, "openclaw.log")
        os.makedirs(self.work)
        os.makedirs(self.state, mode=0o700)
        # That it has installed the channel itself, and where.
        shutil.copytree(os.path.join(INSTALLED, "state", "state"),
                        os.path.join(self.state, "state"))
        self.write_seed()
        self.daemon = Daemon(
            f"muster-agent {localpart}", os.path.join(self.dir, "agent.log"))

    def write_seed(self, **more):
        """The fleet's openclaw.json, but for what this version of OpenClaw no
        longer knows and what is not on this machine."""
        matrix = {
            "enabled": True, "homeserver": "http://conduit.old:6167",
            "userId": self.user_id, "actions": {"memberInfo": False},
            "dm": {"policy": "open", "allowFrom": ["*"]},
            "threadReplies": "always", "replyToMode": "all",
            "groupPolicy": "open", "groupAllowFrom": ["*"],
            "groups": {"*": {"requireMention": True, "systemPrompt":
                             "You are a helper. Stay in character."}},
            "autoJoin": "always", "joinIntro": False}
        seed = {
            "models": self.model.config(),
            "tools": {"profile": "full",
                      "subagents": {"tools": {"deny": ["message"]}}},
            "agents": {"defaults": {
                "model": {"primary": self.model.model},
                "heartbeat": {"every": "24h"}, "skipBootstrap": True,
                "thinkingDefault": "off", "verboseDefault": "off"}},
            "plugins": {"allow": ["matrix"],
                        "entries": {"matrix": {"enabled": True}}},
            "channels": {"matrix": matrix},
            "update": {"checkOnStart": False},
            "logging": {"file": self.log},
            "gateway": {"mode": "local", "port": self.port,
                        "bind": "loopback"}, **more}
        self.write("openclaw.json", json.dumps(seed, indent=2))
        self.write("SOUL.md", "# A soul\n")

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as f:
            f.write(text)

    def environment(self):
        """The reference fleet's task definition, and what keeps OpenClaw from
        talking to the world."""
        return environment(
            HOME=os.path.join(self.dir, "home"),
            PATH=os.path.join(INSTALLED, "bin") + ":" + os.environ["PATH"],
            AGENT_MATRIX_ID=self.user_id, WORKSPACE_PATH=self.work,
            RUNTIME_PATH=self.muster.runtime_dir(self.localpart),
            OPENCLAW_NO_AUTO_UPDATE=1, DO_NOT_TRACK=1)

    # -- running

    def start(self):
        self.daemon.launch(
            [binary("muster-agent"), "run", "--for", "openclaw", "--",
             "openclaw", "gateway", "run"],
            env=self.environment(), cwd=self.work)
        return self

    def failing(self):
        """What is not ready, by its own account; None while it does not
        answer."""
        try:
            got = Client(f"http://127.0.0.1:{self.port}").call(
                "GET", "/readyz", timeout=5)
        except OSError:
            return None
        return got.body.get("failing")

    def wait_ready(self, bound=300):
        self.daemon.wait_for(
            lambda: self.failing() == [], bound, "OpenClaw is ready")
        return self

    def stop(self):
        return self.daemon.stop(bound=60)

    def cli(self, *words, timeout=300):
        """Its own command line, as somebody in the container uses it."""
        done = subprocess.run(
            ["openclaw", *words], env=self.environment(), cwd=self.work,
            capture_output=True, text=True, errors="replace",
            timeout=timeout)
        assert done.returncode == 0, (
            f"openclaw {words}: {done.returncode}\n{done.stdout}\n"
            f"{done.stderr}")
        return done.stdout

    def channel(self):
        """Its channel's account, as `channels status --probe` has it."""
        text = self.cli("channels", "status", "--probe", "--json")
        accounts = json.loads(text[text.index("{"):])["channelAccounts"]
        return accounts["matrix"][0]

    def is_listening(self):
        """Its channel, by the newest word of its client's log."""
        found = re.findall(
            r"SyncApi\.stop|starting provider", self.daemon.output())
        return found[-1:] == ["starting provider"]

    def logins(self):
        """How often its channel was up: /readyz says so before that."""
        return self.output().count("matrix: logged in as")

    # -- what it has

    @property
    def include(self):
        path = os.path.join(self.state, "muster", "matrix.json")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    @property
    def config(self):
        path = os.path.join(self.state, "openclaw.json")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def output(self):
        """All that was printed, and OpenClaw's own log."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return self.daemon.output() + f.read()

    def said(self):
        """What muster-agent said."""
        return [line for line in self.daemon.output().splitlines()
                if line.startswith("muster-agent: ")]

    def processes(self):
        """{pid: (when it started, words)} of everything that it has started,
        itself too."""
        found, more = {}, [self.daemon.process.pid]
        while more:
            pid = more.pop()
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode(errors="replace").split("\0")
                with open(f"/proc/{pid}/task/{pid}/children",
                          encoding="ascii") as f:
                    more += map(int, f.read().split())
                found[pid] = (started(pid), words)
            except OSError:
                continue
        return found

    def close(self):
        """Its end, with everything that it started."""
        if self.daemon.running():
            processes = self.processes()
            try:
                self.daemon.stop(bound=60)
            finally:
                for pid, (then, _) in processes.items():
                    if started(pid) == then:
                        os.kill(pid, signal.SIGKILL)
        found = FINDINGS.search(self.daemon.output())
        assert not found, self.daemon.output()[found.start():][:6000]


def started(pid):
    """By the kernel's clock; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


class Asking:
    """A human who asks an agent in a room, each question by a word of its
    own, and looks for the answers."""

    def __init__(self, human, room, agent):
        self.human, self.room, self.agent = human, room, agent
        self.asked = {}  # word: when
        self.ids = {}    # word: event id
        self.seen = {}   # event id: event
        self.lock = threading.Lock()

    def ask(self, word, after=None):
        """`after`: the word whose thread it goes on with, which to OpenClaw
        is one conversation."""
        # As people's clients write it: OpenClaw wants to see it in the text.
        link = f'<a href="https://matrix.to/#/{self.agent}">Helper</a>'
        more = {"format": "org.matrix.custom.html",
                "formatted_body": f"{link}: question {word}"}
        if after:
            more["m.relates_to"] = {
                "rel_type": "m.thread", "event_id": self.ids[after]}
        self.ids[word] = self.human.mention(
            self.room, f"{self.agent}: question {word}", self.agent, **more)
        self.asked[word] = time.monotonic()
        return word

    def said(self):
        """{event id: event} of all that the agent has said here."""
        with self.lock:
            self._look()
            return {key: event for key, event in self.seen.items()
                    if event["sender"] == self.agent
                    and event["type"] == "m.room.message"}

    def _look(self):
        page = {"dir": "b", "limit": 50}
        while page:
            got = self.human.get(
                f"/rooms/{quote(self.room)}/messages", **page).body
            new = [event for event in got["chunk"]
                   if event["event_id"] not in self.seen]
            self.seen.update((event["event_id"], event) for event in new)
            page = new and "end" in got and {**page, "from": got["end"]}

    def answers(self, word):
        """When it was answered, each time, by the homeserver's clock."""
        return [event["origin_server_ts"] / 1000
                for event in self.said().values()
                if re.search(rf"\banswer {word}\b(?!-)",
                             event["content"].get("body", ""))]

    def wait_answer(self, word, bound=240):
        """Until it is answered; how many seconds that took from when it was
        asked."""
        wait_until(lambda: self.answers(word), bound, f"an answer to {word}")
        return time.monotonic() - self.asked[word]
