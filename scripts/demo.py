"""The demonstration: `make demo`. A homeserver, the example fleet, nine agents
without passwords, and a human who asks them something.

What it makes is in build/demo. Every failure ends in one sentence that says
what to do.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))

# pylint: disable=wrong-import-position
from support.client import Client, answers  # noqa: E402
from support.process import Daemon, environment, free_port  # noqa: E402

GIVEN = os.environ.get("HOMESERVER_URL", "").rstrip("/")
# A homeserver that is not ours remembers us: so do we, by its address.
DIR = os.path.join(ROOT, "build", "demo" + re.sub(r"\W+", "-", GIVEN[4:]))
MUSTER = os.path.join(ROOT, "build", "muster")
AGENT = os.path.join(ROOT, "build", "muster-agent")
EXAMPLE = os.path.join(ROOT, "examples", "fleet")
SERVER_NAME = "fleet.example"
KEEP = os.environ.get("KEEP", "") not in ("", "0")


class Stop(Exception):
    """A failure, in one sentence that says what to do."""


# --- what is printed ----------------------------------------------------------

def step(text):
    print(f"\n== {text}", flush=True)


def say(text):
    print(f"   {text}", flush=True)


class Alive:
    """Says every few seconds that a long step still goes on."""

    def __init__(self, what, detail=lambda: ""):
        self.what = what
        self.detail = detail
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        start = time.monotonic()
        while not self.over.wait(5):
            say(f"... {self.what}, {time.monotonic() - start:.0f} s"
                f"{self.detail()}")

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def wait_for(check, seconds, what, advice, detail=lambda: ""):
    end = time.monotonic() + seconds
    with Alive(f"waiting until {what}", detail):
        while True:
            found = check()
            if found:
                return found
            if time.monotonic() > end:
                raise Stop(f"After {seconds} s it is not so that {what}: "
                           f"{advice}.")
            time.sleep(0.1)


# --- the homeserver -------------------------------------------------------------

class Given:
    """HOMESERVER_URL: one that runs already and is not ours to stop."""
    kind = "given"

    def __init__(self):
        self.url = GIVEN
        if not answers(self.url):
            raise Stop(f"HOMESERVER_URL is {self.url}, but no homeserver "
                       "answers there: start it, or correct the address.")
        self.server_name = os.environ.get("HOMESERVER_NAME") or self._name()

    def _name(self):
        for path, key in (("/_matrix/key/v2/server", "server_name"),
                          ("/.well-known/matrix/server", "m.server")):
            try:
                with urllib.request.urlopen(self.url + path, timeout=5) as f:
                    return json.load(f)[key]
            except (OSError, ValueError, KeyError):
                continue
        raise Stop("The homeserver does not say its name: give it as "
                   "HOMESERVER_NAME=example.org.")

    def stop(self):
        pass


class InDocker:
    """`docker compose up conduit`, from docker-compose.yml."""
    kind = "conduit"
    url = "http://127.0.0.1:6167"
    server_name = SERVER_NAME
    compose = ["docker", "compose", "-f",
               os.path.join(ROOT, "docker-compose.yml"), "-p", "muster-demo"]

    def start(self):
        env = dict(os.environ, CONDUIT_SERVER_NAME=SERVER_NAME)
        done = subprocess.run([*self.compose, "up", "-d", "conduit"], env=env,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Stop("`docker compose up conduit` failed: "
                       f"{done.stderr.strip().splitlines()[-1]}; mend that, "
                       "or put a `conduit` into the PATH.")
        wait_for(lambda: answers(self.url), 120, "Conduit answers",
                 "see `docker compose logs conduit`")
        return self

    def stop(self):
        subprocess.run([*self.compose, "down", "-v"], capture_output=True,
                       check=False)


def docker_answers():
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True,
                              timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def find_homeserver():
    """The first of those that there are; says which."""
    if GIVEN:
        hs = Given()
        say(f"using the one at HOMESERVER_URL: {hs.url} ({hs.server_name})")
        return hs
    from support import conduit  # pylint: disable=import-outside-toplevel
    named = os.environ.get("CONDUIT_BIN")
    if named and not conduit.binary():
        raise Stop(f"CONDUIT_BIN is {named}, which is no executable: correct "
                   "it, or unset it.")
    if conduit.binary():
        say(f"Conduit: {conduit.binary()}, with an empty database")
        return conduit.Conduit(SERVER_NAME, os.path.join(DIR, "hs")).start()
    if docker_answers():
        say("Conduit in a container: docker compose up conduit")
        return InDocker().start()
    from support import synapse  # pylint: disable=import-outside-toplevel
    say("Synapse from PyPI (no HOMESERVER_URL, no conduit, no Docker engine)")
    with Alive("starting Synapse"):
        return synapse.Synapse(SERVER_NAME, os.path.join(DIR, "hs")).start()


# --- muster -----------------------------------------------------------------------

CONFIG = """\
homeserver:
  url: {url}
  server_name: {name}
  admin: {{user: {ceo}, password: {{file: secrets/password}}}}
appservice:
  listen: 127.0.0.1:{port}
  url: http://127.0.0.1:{port}
fleet:
  config: config.yaml
  org: org.json
log: {{format: text}}
"""


def copy_fleet(server_name):
    """The example files; their domain becomes the homeserver's name."""
    for name in ("config.yaml", "org.json"):
        with open(os.path.join(EXAMPLE, name), encoding="utf-8") as f:
            text = f.read()
        if server_name != SERVER_NAME:
            text = re.sub(rf"(:|domain: )\"?{re.escape(SERVER_NAME)}\b",
                          rf"\g<1>{server_name}", text)
        with open(os.path.join(DIR, name), "w", encoding="utf-8") as f:
            f.write(text)


def load_fleet():
    with open(os.path.join(DIR, "org.json"), encoding="utf-8") as f:
        return json.load(f)["people"]


def muster(*args, quiet=False, may=(0,)):
    """Runs a verb and shows what it says."""
    if not quiet:
        print(f"   $ muster {' '.join(args)}", flush=True)
    done = subprocess.run(
        [MUSTER, "-c", os.path.join(DIR, "muster.yaml"), *args],
        env=muster_environment(), capture_output=True, text=True, check=False)
    if not quiet:
        for line in (done.stdout + done.stderr).splitlines():
            print(f"     {line}", flush=True)
    if done.returncode not in may:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Stop(f"`muster {args[0]}` ended with {done.returncode}: "
                   f"{words[-1] if words else 'it said nothing'}")
    return done


def muster_environment():
    """Ours, with the caller's settings for a homeserver of their own."""
    return environment(**{k: v for k, v in os.environ.items()
                          if k.startswith("MUSTER_HOMESERVER_")})


def document(verb):
    return json.loads(muster(verb, "--json", quiet=True, may=(0, 3)).stdout)


def register(hs):
    done = muster("register", may=(0, 3))
    if done.returncode == 0:
        return
    if not hasattr(hs, "add_appservice"):
        raise Stop("Do what `muster register` says above, then run `make "
                   "demo` again with the same HOMESERVER_URL.")
    say("adding that line to this Synapse's configuration and restarting it")
    with Alive("restarting Synapse"):
        hs.add_appservice(os.path.join(DIR, "registration.yaml"))
    muster("register")


# --- the human -----------------------------------------------------------------------

def human_account(hs, localpart):
    """Logs in; the account is made where `register` has not made it."""
    path = os.path.join(DIR, "secrets", "password")
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii",
                  opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(os.urandom(16).hex())
    with open(path, encoding="ascii") as f:
        password = f.read().strip()
    client = Client(hs.url)
    try:
        return client.login(localpart, password)
    except AssertionError:
        try:
            return client.register(localpart, password)
        except AssertionError as e:
            raise Stop(f"The human {localpart} can neither log in nor be "
                       f"registered on this homeserver ({e}): make the "
                       "account, and put its password into "
                       f"{path}.") from None


def ask(human, room, text, expect, seconds=60):
    """Sends a question and prints who answers, until `expect` have."""
    say(f"{human.user_id} asks: {text}")
    since = human.sync()["next_batch"]
    human.send(room, text)
    answered = {}
    end = time.monotonic() + seconds
    while len(answered) < len(expect) and time.monotonic() < end:
        state = human.sync(since=since, timeout=5000)
        since = state["next_batch"]
        events = (state.get("rooms", {}).get("join", {}).get(room, {})
                  .get("timeline", {}).get("events", []))
        for e in events:
            if (e.get("sender") in expect and e["sender"] not in answered
                    and e.get("content", {}).get("msgtype") == "m.notice"):
                answered[e["sender"]] = e["content"]["body"]
                print(f"     {e['sender']}: {e['content']['body']}",
                      flush=True)
    missing = sorted(set(expect) - set(answered))
    if missing:
        raise Stop(f"{', '.join(missing)} did not answer within {seconds} s: "
                   f"see the logs in {DIR}.")
    return answered


def ended(daemon):
    """Its exit status; one that does not end is killed by stop()."""
    try:
        return daemon.stop()
    except AssertionError as e:
        say(str(e).splitlines()[0])
        return None


# --- all of it -------------------------------------------------------------------------

class Demo:
    def __init__(self):
        self.hs = None
        self.service = None
        self.agents = []

    def prepare(self):
        step("A homeserver")
        self.hs = find_homeserver()
        copy_fleet(self.hs.server_name)
        people = load_fleet()
        self.ceo = next(p for p in people if p["level"] == "CEO")
        self.people = {p["matrixId"]: p for p in people}
        os.makedirs(os.path.join(DIR, "secrets"), mode=0o700, exist_ok=True)
        with open(os.path.join(DIR, "muster.yaml"), "w",
                  encoding="utf-8") as f:
            f.write(CONFIG.format(
                url=self.hs.url, name=self.hs.server_name, port=free_port(),
                ceo=self.ceo["matrixId"][1:].split(":")[0]))

    def serve(self):
        step("The fleet's files, and the registration")
        muster("check")
        muster("registration")
        register(self.hs)
        step("The service")
        self.service = Daemon("muster serve", os.path.join(DIR, "serve.log"))
        print("   $ muster serve", flush=True)
        start = time.monotonic()
        self.service.launch(
            [MUSTER, "-c", os.path.join(DIR, "muster.yaml"), "serve"],
            env=muster_environment(), cwd=DIR)
        wait_for(self._ready, 120, "the service is ready",
                 f"see {self.service.log}", self._to_go)
        say(f"ready after {time.monotonic() - start:.1f} s: accounts, rooms "
            "and tokens are there, no password was used")

    def _to_go(self):
        waiting = document("status")["journal"]["waiting"]
        return f", {waiting} steps to go"

    def _ready(self):
        if not self.service.running():
            raise Stop(f"`muster serve` ended: {self.service.tail(1)}")
        done = muster("healthcheck", quiet=True, may=(0, 1, 3))
        return done.returncode == 0

    def start_agents(self):
        step("One small agent program for each, under muster-agent")
        for row in document("agents"):
            self._start_agent(row)
        say(f"$ muster-agent run --runtime runtime/<Department>/<agent> "
            "-- python3 agent.py ...")

        def all_taken():
            states = [a["state"] for a in document("agents")]
            return all(s == "acknowledged" for s in states)
        wait_for(all_taken, 60, "every agent has taken its token",
                 f"see the agent-*.log files in {DIR}")
        wait_for(lambda: all("is listening" in a.output()
                             for a in self.agents), 60,
                 "every agent listens",
                 f"see the agent-*.log files in {DIR}")
        say(f"{len(self.agents)} agents have taken their tokens and listen")

    def _start_agent(self, row):
        localpart = row["user_id"][1:].split(":")[0]
        title = self.people.get(row["user_id"], {}).get("title", "task bot")
        daemon = Daemon(localpart, os.path.join(DIR, f"agent-{localpart}.log"))
        runtime = os.path.join(DIR, "runtime", row["department"] or "_",
                               localpart)
        daemon.launch(
            [AGENT, "run", "--runtime", runtime, "--", sys.executable,
             os.path.join(ROOT, "examples", "agent", "agent.py"),
             row["name"], title], env=environment(), cwd=DIR)
        self.agents.append(daemon)

    def talk(self):
        step("A human asks")
        localpart = self.ceo["matrixId"][1:].split(":")[0]
        human = human_account(self.hs, localpart)
        rooms = document("rooms")
        everyone = next(r for r in rooms if r["alias"]
                        and r["alias"].startswith("#all-employees:"))
        direct = next(r for r in rooms if r["kind"] == "direct"
                      and human.user_id in r["declared"])
        for room in (everyone, direct):
            human.join(room["room_id"])
        agents = [u for u in everyone["declared"] if u != human.user_id]
        say(f"in {everyone['alias']}:")
        answered = ask(human, everyone["room_id"], "Who is here?", agents)
        other = [u for u in direct["declared"] if u != human.user_id]
        say(f"in the direct room with {other[0]}:")
        ask(human, direct["room_id"], "Are you here, too?", other)
        say(f"{len(answered)} of {len(agents)} agents answered, "
            f"{other[0]} in private as well")

    def show(self):
        step("What is there")
        muster("agents")
        muster("rooms")
        muster("plan")

    def stay(self):
        localpart = self.ceo["matrixId"][1:].split(":")[0]
        step("KEEP=1: it stays until you press Ctrl-C")
        say(f"homeserver  {self.hs.url} ({self.hs.server_name})")
        say(f"log in as   {localpart}, the password is in "
            f"{os.path.join(DIR, 'secrets', 'password')}")
        say("with any Matrix client, e.g. Element: Sign in, Edit the "
            "homeserver, enter the address above")
        say(f"by hand     build/muster -c {os.path.join(DIR, 'muster.yaml')} "
            "agents")
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            say("")

    def clean_up(self):
        """Ends everything that was started, whatever fails on the way."""
        step("Cleaning up")
        for agent in self.agents:
            agent.signal(signal.SIGTERM)
        for agent in self.agents:
            ended(agent)
        if self.service:
            say(f"muster serve ended with {ended(self.service)}")
        if self.hs:
            with Alive("stopping the homeserver"):
                if hasattr(self.hs, "kill"):
                    self.hs.kill()
                else:
                    self.hs.stop()
        say(f"its files stay in {DIR}"
            + ("" if GIVEN else " until the next time"))


def interrupted(*_):
    """Once; what comes after it does not disturb the cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def only_one():
    """Held for as long as we run: two would share one folder."""
    lock = open(DIR + ".lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("The demonstration runs already in this folder: end that one "
              "first.", file=sys.stderr)
        sys.exit(1)
    return lock


def main():
    os.makedirs(os.path.dirname(DIR), exist_ok=True)
    lock = only_one()
    if not GIVEN:
        shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(DIR, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    demo = Demo()
    failed = None
    try:
        demo.prepare()
        demo.serve()
        demo.start_agents()
        demo.talk()
        demo.show()
        if KEEP:
            demo.stay()
    except Stop as e:
        failed = str(e)
    except AssertionError as e:
        failed = f"{str(e).splitlines()[0]}; the logs are in {DIR}."
    except KeyboardInterrupt:
        failed = "Interrupted."
    except BrokenPipeError:  # nobody reads us any more: end what we started
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        failed = "Its output was closed."
    finally:
        demo.clean_up()
    lock.close()
    if failed:
        print(f"\nThe demonstration failed. {failed}", file=sys.stderr)
        return 1
    print("\nThat was it: agents with accounts, rooms and tokens, and not one "
          "password.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
