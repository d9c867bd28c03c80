"""The demonstration: `make demo`. A homeserver, the example fleet, nine agents
without passwords, and a human who asks them something.

    demo.py [FOLDER]

What it makes is in FOLDER, by default build/demo. Every failure ends in one
sentence that says what to do.
"""

import contextlib
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))

# pylint: disable=wrong-import-position
from support.client import Client, Refused, answers  # noqa: E402
from support.muster import binary  # noqa: E402
from support.process import Daemon, environment, free_port  # noqa: E402

GIVEN = os.environ.get("HOMESERVER_URL", "").rstrip("/")
CA_FILE = os.environ.get("MUSTER_HOMESERVER_CA_FILE")
if CA_FILE:
    CA_FILE = Client.ca_file = os.path.abspath(CA_FILE)
# A homeserver that is not ours remembers us: so do we, by its address.
DIR = os.path.abspath(sys.argv[1]) if sys.argv[1:] else os.path.join(
    ROOT, "build", "demo" + re.sub(r"\W+", "-", GIVEN.partition(":")[2]))
MUSTER = binary("muster")
AGENT = binary("muster-agent")
EXAMPLE = os.path.join(ROOT, "examples", "fleet")
SERVER_NAME = "fleet.example"
CEO = "philippa.tidewater"
KEEP = os.environ.get("KEEP", "") not in ("", "0")
# On a homeserver that is not ours: whose account registers muster there, and
# asks the agents.
ACCOUNT = os.environ.get("MUSTER_HOMESERVER_ADMIN_USER", "").partition(
    ":")[0].lstrip("@")
PASSWORD = os.environ.get("MUSTER_HOMESERVER_ADMIN_PASSWORD")


class Stop(Exception):
    """A failure, in one sentence that says what to do."""


class Unread(Exception):
    """Nobody reads our output any more."""


# What the world around us may do to us at any point.
TROUBLE = (OSError, http.client.HTTPException, ValueError, LookupError,
           StopIteration, AssertionError, subprocess.SubprocessError)


# --- what is printed ----------------------------------------------------------

def put(line):
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise Unread from None


def step(text):
    put(f"\n== {text}")


def say(text):
    put(f"   {text}")


def last_line(text, otherwise="it said nothing"):
    return (text.strip().splitlines() or [otherwise])[-1]


def first_line(e):
    """An exception's words as a part of a sentence."""
    text = str(e).strip().splitlines()
    return text[0].rstrip(".:") if text else type(e).__name__


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
            try:
                say(f"... {self.what}, {time.monotonic() - start:.0f} s"
                    f"{self.detail()}")
            except (Stop, Unread, *TROUBLE):
                pass  # whoever waits finds out as well

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def gone(hs):
    """What to say when the homeserver is not there any more; None: it is."""
    daemon = getattr(hs, "daemon", None)
    if daemon and not daemon.running():
        return (f"The homeserver ended while it was needed: see why in "
                f"{daemon.log}, and run `make demo` again.")
    if hs and not daemon and not answers(hs.url):
        return (f"The homeserver at {hs.url} does not answer any more: see "
                "its log, start it, and run `make demo` again.")
    return None


class Watch:
    """Notices that a homeserver is gone: one of ours has ended, another one
    does not answer three times."""

    def __init__(self, hs):
        self.hs = hs
        self.looked = time.monotonic()
        self.silent = 0

    def look(self):
        if not self.hs or time.monotonic() < self.looked + 1:
            return
        why = gone(self.hs)
        self.silent = self.silent + 1 if why else 0
        self.looked = time.monotonic()
        if why and self.silent == (1 if hasattr(self.hs, "daemon") else 3):
            raise Stop(why)


def wait_for(check, seconds, what, advice, detail=lambda: "", hs=None):
    """Until check(); at once an end when the homeserver `hs` is gone."""
    end = time.monotonic() + seconds
    watch = Watch(hs)
    with Alive(f"waiting until {what}", detail):
        while True:
            found = check()
            if found:
                return found
            watch.look()
            if time.monotonic() > end:
                raise Stop(f"After {seconds} s it is not so that {what}: "
                           f"{advice}.")
            time.sleep(0.1)


# --- signals --------------------------------------------------------------------

class Signals:
    held = came = False


def on_signals(handler):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def interrupted(*_):
    """Once; what comes after it does not disturb the cleaning up."""
    if Signals.held:
        Signals.came = True
        return
    on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


@contextlib.contextmanager
def undisturbed():
    """A signal waits, so that we know of whatever is being started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    Signals.held = True
    try:
        yield
    finally:
        Signals.held = False
    if Signals.came:
        interrupted()


Daemon.starting = staticmethod(undisturbed)


# --- the homeserver -------------------------------------------------------------

def assert_url(url):
    """Its form, before anything is made."""
    try:
        at = urllib.parse.urlsplit(url)
        good = (at.scheme in ("http", "https") and at.hostname
                and at.port != 0 and "@" not in at.netloc
                and not at.query and not at.fragment)
    except ValueError:
        good = False
    if not good:
        raise Stop(f"HOMESERVER_URL is {url}, which is no homeserver's "
                   "address: give it as http://HOST:PORT or https://HOST.")


# What has a system trust a private authority, on Debian.
TRUST = ("copy its certificate to /usr/local/share/ca-certificates/NAME.crt "
         "and run update-ca-certificates")


def assert_answers(url):
    try:
        got = Client(url).call("GET", "/_matrix/client/versions", timeout=10)
    except ssl.SSLCertVerificationError as e:
        known = CA_FILE or "this system's certificate authorities"
        raise Stop(f"HOMESERVER_URL is {url}, but {known} cannot vouch for it "
                   f"({e.verify_message}): if it is the right one, have this "
                   f"system trust its authority ({TRUST}).") from None
    except (OSError, http.client.HTTPException) as e:
        raise Stop(f"HOMESERVER_URL is {url}, but no homeserver answers there "
                   f"({first_line(e)}): start it, or correct the address."
                   ) from None
    if got.status != 200 or "versions" not in got.body:
        raise Stop(f"HOMESERVER_URL is {url}, but what answers there "
                   f"({got.status}) is no homeserver: correct the address.")


def assert_agents_trust(url):
    """muster takes an authority from a file; the agents do not."""
    if not CA_FILE or not url.startswith("https:"):
        return
    client = Client(url)
    client.ca_file = None
    try:
        client.call("GET", "/_matrix/client/versions", timeout=10)
    except ssl.SSLCertVerificationError:
        raise Stop("The agents trust this system's certificate authorities "
                   f"alone, which cannot vouch for {url}: {TRUST}, or set "
                   "MUSTER_HOMESERVER_PUBLIC_URL to an address that they can "
                   "use.") from None


class Given:
    """HOMESERVER_URL: one that runs already and is not ours to stop."""
    kind = "given"

    def __init__(self):
        self.url = GIVEN
        assert_url(self.url)
        if not ACCOUNT:
            raise Stop(
                f"HOMESERVER_URL is {self.url}, where no account is made that "
                "you have not named: set MUSTER_HOMESERVER_ADMIN_USER to the "
                "human who is to ask the agents (on Conduit an "
                "administrator), and MUSTER_HOMESERVER_ADMIN_PASSWORD unless "
                "that account is to be made.")
        assert_answers(self.url)
        assert_agents_trust(
            os.environ.get("MUSTER_HOMESERVER_PUBLIC_URL") or self.url)
        self.server_name = os.environ.get("HOMESERVER_NAME") or self._name()

    def start(self):
        pass

    def _name(self):
        """Where it is open to other servers it tells."""
        got = Client(self.url).call("GET", "/_matrix/key/v2/server")
        name = got.status == 200 and got.body.get("server_name")
        if not name:
            raise Stop(f"The homeserver at {self.url} does not say its name: "
                       "set HOMESERVER_NAME to it, the part after the colon "
                       "in its user ids.")
        return name

    def stop(self):
        pass


class InDocker:
    """`docker compose up conduit`, from scripts/demo-conduit.yml."""
    kind = "conduit"
    url = "http://127.0.0.1:6167"
    server_name = SERVER_NAME
    compose = ["docker", "compose", "-f",
               os.path.join(ROOT, "scripts", "demo-conduit.yml"), "-p", "muster-demo"]

    def start(self):
        env = dict(os.environ, CONDUIT_SERVER_NAME=SERVER_NAME)
        done = subprocess.run([*self.compose, "up", "-d", "conduit"], env=env,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Stop("`docker compose up conduit` failed: "
                       f"{last_line(done.stderr)}; mend that, "
                       "or put a `conduit` into the PATH.")
        wait_for(lambda: answers(self.url), 120, "Conduit answers",
                 "see `docker compose logs conduit`")

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


def find_homeserver(given):
    """The first of those that there are, not started; says which."""
    if given:
        say(f"using the one at HOMESERVER_URL: {given.url} "
            f"({given.server_name})")
        return given
    from support import conduit  # pylint: disable=import-outside-toplevel
    named = os.environ.get("CONDUIT_BIN")
    if named and not conduit.binary():
        raise Stop(f"CONDUIT_BIN is {named}, which is no executable: correct "
                   "it, or unset it.")
    if conduit.binary():
        say(f"Conduit: {conduit.binary()}, with an empty database")
        return conduit.Conduit(SERVER_NAME, os.path.join(DIR, "hs"), log="error")
    if docker_answers():
        say("Conduit in a container: docker compose up conduit")
        return InDocker()
    from support import synapse  # pylint: disable=import-outside-toplevel
    say("Synapse from PyPI (no HOMESERVER_URL, no conduit, no Docker engine)")
    return synapse.Synapse(SERVER_NAME, os.path.join(DIR, "hs"))


# --- muster -----------------------------------------------------------------------

CONFIG = """\
homeserver:
  url: {url}
  server_name: {name}
  admin: {{user: "{human}", password: {{file: secrets/password}}}}
appservice:
  listen: 127.0.0.1:{port}
  url: http://127.0.0.1:{port}
fleet:
  config: config.yaml
  org: org.json
log: {{format: text}}
"""


def copy_fleet(server_name, human):
    """The example files; their domain becomes the homeserver's name, and
    their first human the one who was named."""
    for name in ("config.yaml", "org.json"):
        with open(os.path.join(EXAMPLE, name), encoding="utf-8") as f:
            text = f.read()
        if server_name != SERVER_NAME:
            text = re.sub(rf"(:|domain: )\"?{re.escape(SERVER_NAME)}\b",
                          rf"\g<1>{server_name}", text)
        text = text.replace(f"@{CEO}:", f"@{human}:")
        with open(os.path.join(DIR, name), "w", encoding="utf-8") as f:
            f.write(text)


def load_fleet():
    with open(os.path.join(DIR, "org.json"), encoding="utf-8") as f:
        return json.load(f)["people"]


def letters(text):
    return re.sub(r"\W+", "", text)


def shown(done):
    """What a verb said; a last line that only says it again is left out."""
    lines = done.stdout.splitlines()
    for line in done.stderr.splitlines():
        if letters(line.removeprefix("muster: ")) not in letters(done.stdout):
            lines.append(line)
    return lines


def output_of(argv):
    with undisturbed():
        process = subprocess.Popen(
            argv, env=muster_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            out, err = process.communicate()
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def muster(*args, quiet=False, may=(0,)):
    """Runs a verb and shows what it says."""
    if not quiet:
        put(f"   $ muster {' '.join(args)}")
    done = output_of([MUSTER, "-c", os.path.join(DIR, "muster.yaml"), *args])
    if not quiet:
        for line in shown(done):
            put(f"     {line}")
    if done.returncode not in may:
        words = last_line(done.stderr or done.stdout)
        raise Stop(f"`muster {args[0]}` ended with {done.returncode} "
                   f"({words.removeprefix('muster: ')}): mend that, and run "
                   "`make demo` again.")
    return done


def muster_environment():
    """Ours, with the caller's settings for a homeserver of their own."""
    env = environment(**{
        k: v for k, v in os.environ.items()
        if GIVEN and k.startswith("MUSTER_HOMESERVER_") and k not in (
            "MUSTER_HOMESERVER_URL", "MUSTER_HOMESERVER_SERVER_NAME")})
    if GIVEN:
        env["MUSTER_HOMESERVER_ADMIN_USER"] = ACCOUNT
    if GIVEN and CA_FILE:
        env["MUSTER_HOMESERVER_CA_FILE"] = CA_FILE
    return env


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

PASSWORD_FILE = os.path.join(DIR, "secrets", "password")


def human_account(hs, localpart):
    """Logs in; the account is made where `register` has not made it."""
    password = PASSWORD
    if not password:
        if not os.path.exists(PASSWORD_FILE):
            with open(PASSWORD_FILE, "w", encoding="ascii",
                      opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(os.urandom(16).hex())
        with open(PASSWORD_FILE, encoding="ascii") as f:
            password = f.read().strip()
    client = Client(hs.url)
    try:
        return client.login(localpart, password)
    except Refused as e:
        if PASSWORD:
            raise Stop(f"The homeserver does not let {localpart} in with "
                       "MUSTER_HOMESERVER_ADMIN_PASSWORD "
                       f"({first_line(e)}): correct that, or "
                       "MUSTER_HOMESERVER_ADMIN_USER.") from None
    try:
        return client.register(localpart, password)
    except Refused as e:
        raise Stop(f"The human {localpart} can neither log in nor be "
                   f"registered on this homeserver ({first_line(e)}): make "
                   "the account, and set MUSTER_HOMESERVER_ADMIN_USER and "
                   "MUSTER_HOMESERVER_ADMIN_PASSWORD to it.") from None


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
                put(f"     {e['sender']}: {e['content']['body']}")
    missing = sorted(set(expect) - set(answered))
    if missing:
        raise Stop(f"{', '.join(missing)} did not answer within {seconds} s: "
                   f"see the logs in {DIR}.")
    return answered


def ended(stop):
    """Its exit status; one that does not end is killed by stop()."""
    try:
        return stop()
    except TROUBLE as e:
        say(first_line(e))
        return None


# --- all of it -------------------------------------------------------------------------

class Demo:
    def __init__(self, given):
        self.given = given
        self.hs = None
        self.service = None
        self.agents = []

    def prepare(self):
        step("A homeserver")
        self.hs = find_homeserver(self.given)
        with Alive("starting the homeserver"):
            self.hs.start()
        copy_fleet(self.hs.server_name, ACCOUNT if GIVEN else CEO)
        people = load_fleet()
        self.ceo = next(p for p in people if p["level"] == "CEO")
        self.people = {p["matrixId"]: p for p in people}
        os.makedirs(os.path.join(DIR, "secrets"), mode=0o700, exist_ok=True)
        with open(os.path.join(DIR, "muster.yaml"), "w",
                  encoding="utf-8") as f:
            f.write(CONFIG.format(
                url=self.hs.url, name=self.hs.server_name, port=free_port(),
                human=self.ceo["matrixId"][1:].split(":")[0]))

    def serve(self):
        step("The fleet's files, and the registration")
        muster("check")
        muster("registration")
        register(self.hs)
        step("The service")
        self.service = Daemon("muster serve", os.path.join(DIR, "serve.log"))
        put("   $ muster serve")
        start = time.monotonic()
        self.service.launch(
            [MUSTER, "-c", os.path.join(DIR, "muster.yaml"), "serve"],
            env=muster_environment(), cwd=DIR)
        wait_for(self._ready, 120, "the service is ready",
                 f"see {self.service.log}", self._to_go, self.hs)
        say(f"ready after {time.monotonic() - start:.1f} s: accounts, rooms "
            "and tokens are there, no password was used")

    def _to_go(self):
        waiting = document("status")["journal"]["waiting"]
        return f", {waiting} steps to go"

    def _ready(self):
        if not self.service.running():
            raise Stop(f"`muster serve` ended ({self.service.tail(1)}): mend "
                       "that, and run `make demo` again.")
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
                 f"see the agent-*.log files in {DIR}", hs=self.hs)
        wait_for(lambda: all("is listening" in a.output()
                             for a in self.agents), 60,
                 "every agent listens",
                 f"see the agent-*.log files in {DIR}", hs=self.hs)
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
        say(f"log in as   {localpart}, the password is "
            + ("the one that you gave" if GIVEN and PASSWORD
               else f"in {PASSWORD_FILE}"))
        say("with any Matrix client, e.g. Element: Sign in, Edit the "
            "homeserver, enter the address above")
        say(f"by hand     build/muster -c {os.path.join(DIR, 'muster.yaml')} "
            "agents")
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            say("")

    def all(self):
        self.prepare()
        self.serve()
        self.start_agents()
        self.talk()
        self.show()
        if KEEP:
            self.stay()

    def words(self, e):
        """What an exception means to whoever looks at the demonstration."""
        if isinstance(e, Stop):
            return str(e)
        daemon = getattr(self.hs, "daemon", None)
        if daemon and daemon.running():
            try:  # its connections break a moment before it has ended
                daemon.process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        return gone(self.hs) or (
            f"{first_line(e)}: see the logs in {DIR}, mend that, and run "
            "`make demo` again.")

    def clean_up(self):
        """Ends everything that was started, whatever fails on the way."""
        step("Cleaning up")
        for agent in self.agents:
            agent.signal(signal.SIGTERM)
        for agent in self.agents:
            ended(agent.stop)
        if self.service:
            say(f"muster serve ended with {ended(self.service.stop)}")
        if self.hs:
            with Alive("stopping the homeserver"):
                ended(getattr(self.hs, "kill", self.hs.stop))
        say(f"its files stay in {DIR}"
            + ("" if GIVEN else " until the next time"))


def only_one():
    """Held for as long as we run: two would share one folder."""
    os.makedirs(os.path.dirname(DIR), exist_ok=True)
    lock = open(DIR + ".lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Stop(f"The demonstration runs already in {DIR}: end that one "
                   "first.") from None
    return lock


def run(demo):
    """All of it, and its end; the sentence why it failed, or None."""
    try:
        demo.all()
    except KeyboardInterrupt:
        return "Interrupted."
    except Unread:
        return "Its output was closed."
    except (Stop, *TROUBLE) as e:
        return demo.words(e)
    finally:
        on_signals(signal.SIG_IGN)
        try:
            demo.clean_up()
        except Unread:  # nobody sees it, and it is done all the same
            sys.stdout = open(os.devnull, "w", encoding="utf-8")
            demo.clean_up()
    return None


def main():
    try:
        demo = Demo(Given() if GIVEN else None)
        lock = only_one()
        if not GIVEN:
            shutil.rmtree(DIR, ignore_errors=True)
        os.makedirs(DIR, exist_ok=True)
        on_signals(interrupted)
        failed = run(demo)
        lock.close()
    except Stop as e:
        failed = str(e)
    except OSError as e:
        failed = f"{first_line(e)}: mend that, and run `make demo` again."
    if failed:
        print(f"\nThe demonstration failed. {failed}", file=sys.stderr)
        return 1
    print("\nThat was it: agents with accounts, rooms and tokens. The only "
          "password that anybody knows is the human's.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
