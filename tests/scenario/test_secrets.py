"""No token and no password is ever printed, logged, stored in the database or
given on a command line."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import threading

import pytest

from support import small
from support.fakehs import answer, delay
from support.muster import binary
from support.process import environment, wait_until
from support.small import AGENTS, DEPARTMENT, HUMAN, full

VERBS = ["check", "registration", "register", "status", "agents", "rooms",
         "plan", "journal", "quarantine", "audit", "healthcheck", "config",
         "help", "version"]


class CommandLines:
    """Every command line of a program of ours that was seen meanwhile."""

    def __init__(self, folder):
        self.seen = set()
        self._folder = folder.encode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.wait(0.002):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        line = f.read()
                except OSError:
                    continue
                if self._folder in line:
                    self.seen.add(line)

    def end(self):
        self._over.set()
        self._thread.join()
        return self.seen


def secrets_of(value, found):
    """Whatever a request or an answer calls a token or a password."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("access_token", "password") and inner:
                found.add(inner)
            secrets_of(inner, found)
    elif isinstance(value, list):
        for inner in value:
            secrets_of(inner, found)
    return found


def on_the_wire(hs):
    """All that went either way, and those that are long dead."""
    found = set()
    for r in hs.requests:
        secrets_of(r.body, found)
        secrets_of(r.answer, found)
        bearer = r.headers.get("Authorization", "")
        if bearer:
            found.add(bearer.removeprefix("Bearer "))
    return found


def run_agent(muster, localpart):
    done = subprocess.run(
        [binary("muster-agent"), "run", "--runtime",
         muster.path("runtime", DEPARTMENT, localpart), "--for", "env", "--",
         "/bin/sh", "-c", 'test -n "$MATRIX_ACCESS_TOKEN" && echo has it'],
        capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 0, done
    assert done.stdout == "has it\n"
    return done.stdout + done.stderr


def assert_not_in(text, secrets, where):
    if isinstance(text, str):
        text = text.encode()
    for secret in secrets:
        assert secret.encode() not in text, f"{secret[:4]}... in {where}"


def in_the_store(muster):
    for name in os.listdir(muster.dir):
        if name.startswith("muster.db"):
            with open(muster.path(name), "rb") as f:
                yield name, f.read()


def assert_kept(muster, hs, more=()):
    secrets = muster.secrets() | on_the_wire(hs) | set(more)
    assert len(secrets) >= 2 + len(AGENTS)
    assert_not_in(muster.output(), secrets, "the output")
    for name, content in in_the_store(muster):
        assert_not_in(content, secrets, name)
    return secrets


def test_register_is_interrupted_while_the_homeserver_is_silent(
        conduit_fake, muster_on):
    """Nothing lies about yet: at once."""
    hs = conduit_fake
    hs.operator()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.fault("GET", r"/whoami$", delay(60), times=None)
    register = subprocess.Popen(
        [binary(), "-c", muster.path("muster.yaml"), "register"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=muster.dir,
        env=environment())
    wait_until(lambda: hs.find("GET", r"/whoami$"), 20, "it waits")
    register.send_signal(signal.SIGINT)
    said = register.communicate(timeout=60)[0].decode()
    assert register.returncode == 1
    assert "stopping" in said.splitlines()[-1]
    assert hs.writes() == []


def waits_for_answer(hs):
    """It has said what it wants, and reads the room, as it did before that."""
    said = hs.find("PUT", r"/send/")
    return said and hs.find("GET", r"/messages")[-1].index > said[-1].index


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_register_is_interrupted(conduit_fake, muster_on, number):
    """The tokens do not stay in the admin room, nor does the session."""
    hs = conduit_fake
    hs.operator()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.fault("GET", r"/messages", answer(200, {"chunk": []}), times=None)
    register = subprocess.Popen(
        [binary(), "-c", muster.path("muster.yaml"), "register"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=muster.dir,
        env=environment())
    wait_until(lambda: waits_for_answer(hs), 20, "it waits")
    register.send_signal(number)
    said = register.communicate(timeout=60)[0].decode()
    assert register.returncode == 1
    assert said.splitlines()[-1].endswith("interrupted: run it again")
    command, = hs.find("PUT", r"/send/")
    redaction, = hs.find("PUT", r"/redact/")
    assert command.answer["event_id"] in redaction.path
    assert redaction.status == 200
    assert len(hs.find("POST", r"/logout$")) == 1
    assert_not_in(said, muster.secrets(), "the output")
    # Once more, and it is done.
    hs.clear_faults()
    muster.run("register", expect=0)


def test_a_whole_life(fakehs, muster_on):
    """From registering on an empty server to the end, with all verbs."""
    hs = fakehs
    muster = muster_on(hs, org=small.org(), log={"level": "debug"})
    lines = CommandLines(muster.dir)
    if hs.conduit:
        os.unlink(muster.path("secrets", "admin-password"))
        made = muster.run("register", expect=0)
        assert "made a password" in made.out
    else:
        muster.run("register", expect=3)
        hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    assert any(name == "muster.db-wal" for name, _ in in_the_store(muster))
    assert_kept(muster, hs)
    for verb in VERBS:
        muster.run(verb)
        muster.run(verb, "--json")
    agents = run_agent(muster, "anna.vp")
    wait_until(lambda: small.agent(muster, "anna.vp")["state"] ==
               "acknowledged", 10, "the agent's answer")
    # A second generation, so that there is a dead token.
    os.unlink(muster.path("runtime", DEPARTMENT, "ben.man", "matrix.json"))
    muster.restart()
    small.wait_settled(muster, hs)
    assert muster.handoff("ben.man")["generation"] == 2
    muster.stop()
    for verb in VERBS:
        muster.run(verb)
    secrets = assert_kept(muster, hs)
    assert_not_in(agents, secrets, "the agent's words")
    seen = lines.end()
    assert len(seen) >= len(VERBS)
    for line in seen:
        assert_not_in(line, secrets, "a command line")


def test_files_are_private(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    os.chmod(muster.dir, 0o755)
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, hs)

    def mode(*parts):
        return stat.S_IMODE(os.stat(muster.path(*parts)).st_mode)
    assert mode("registration.yaml") == 0o600
    assert mode("muster.db") == mode("muster.db-wal") == 0o600
    assert mode("muster.sock") == 0o600
    for agent in AGENTS:
        assert mode("runtime", DEPARTMENT, agent, "matrix.json") == 0o600


def test_directories_that_are_not_there(conduit_fake, muster_on):
    """Are made for whatever the configuration wants in them."""
    muster = muster_on(conduit_fake, org=small.org())
    conduit_fake.operator()
    muster.write_config(store={"path": "kept/here/muster.db"},
                        ops={"socket": "run/muster.sock"},
                        appservice={"registration": "made/reg.yaml"})
    os.chmod(muster.dir, 0o755)
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, conduit_fake)
    for folder, mode in (("kept", 0o700), ("kept/here", 0o700),
                         ("run", 0o700), ("made", 0o755)):
        assert stat.S_IMODE(os.stat(muster.path(folder)).st_mode) == mode
    muster.stop()
    # Where they cannot be, it says which and why.
    muster.write("kept/file", "no directory")
    muster.write_config(store={"path": "kept/file/muster.db"})
    got = muster.run("serve", expect=1)
    assert got.err.splitlines()[-1] == (
        "muster: store.path: cannot make the directory "
        f"{muster.path('kept/file')}: Not a directory: remove what is in its "
        "place, or name another")


def test_passwords_are_never_the_same(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.start()
    small.wait_settled(muster, hs)
    passwords = [r.body["password"] for r in hs.find("POST", "/register$")]
    assert len(set(passwords)) == len(passwords) == 1 + len(AGENTS)


@pytest.mark.parametrize("broken", [
    '{"access_token":"%s","user_id":',
    '{"access_token":"%s"}',
    '{"access_token":"%s","user_id":"@other:fleet.test","device_id":"X"}',
    '{"errcode":"M_UNKNOWN","error":"made %s"}'])
def test_what_a_confused_homeserver_repeats(fresh_on_conduit, broken):
    """Answers that cannot be used may have a token in them; refusals may
    repeat ours."""
    muster, hs = fresh_on_conduit
    token = "leakedLEAKEDleakedLEAKED"
    ours = muster.registration["as_token"]
    hs.fault("POST", r"/login$", answer(200, (broken % token).encode()))
    hs.fault("POST", r"/invite$", answer(
        403, {"errcode": "M_FORBIDDEN", "error": f"what is {ours} to me"}))
    hs.fault("POST", r"/createRoom$", answer(
        500, f"<p>Authorization: Bearer {ours}</p>".encode()))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    muster.run("journal")
    muster.run("agents", "--json")
    assert_kept(muster, hs, more={token})
    assert '"level":"warn"' in muster.daemon.output()


def set_secrets(muster, registration_token):
    muster.config["homeserver"].update({
        "admin": {"user": "operator", "password": {"env": "ADMIN_WORD"}},
        "registration_token": registration_token})
    muster.write_config()


def test_secrets_by_other_ways(conduit_fake, muster_on):
    """In the configuration itself, or in the environment: shown as a
    fingerprint."""
    muster = muster_on(conduit_fake, org=small.org())
    set_secrets(muster, "plain-registration-token")
    muster.env = {"ADMIN_WORD": "operators-password"}
    shown = muster.run("config", expect=0).out
    assert "operators-password" not in shown
    assert "plain-registration-token" not in shown
    rows = {row["path"]: row for row in muster.json("config")["settings"]}
    # The first 8 hex of the SHA-256 of each.
    assert rows["homeserver.admin.password"]["fingerprint"] == "7302e121"
    assert rows["homeserver.registration_token"]["fingerprint"] == "ed5390ba"
    muster.env = {"ADMIN_WORD": '{"password": "operators-password"}'}
    told = muster.run("config", "--json", expect=0)
    assert "valueFrom" in told.out
    assert "operators-password" not in told.out + told.err


@pytest.mark.parametrize("keys, of_password, of_token", [
    (["username", "password"], "password", "username"),
    (["password", "word"], "password", "password"),
    (["secret", "token", "registration_token"], "secret", "registration_token"),
    (["homeserver.admin.password", "ssword"], *["homeserver.admin.password"] * 2),
])
def test_the_key_that_is_meant(
        conduit_fake, muster_on, keys, of_password, of_token):
    """Not the name beside the password, where it can be told."""
    muster = muster_on(conduit_fake, org=small.org())
    set_secrets(muster, {"env": "TOKEN_WORD"})
    whole = json.dumps(dict.fromkeys(keys, "hidden-word"))
    muster.env = {"ADMIN_WORD": whole, "TOKEN_WORD": whole}
    got = muster.run("register", expect=2)
    assert f"as in: `ARN:{of_password}::`" in got.err
    assert re.findall("as in: `ARN:([^:]*)::`", got.err) == [
        of_password, of_token]


@pytest.mark.parametrize("value, said", [
    ('{"password": "hidden-word"}',
     'it has the key "password": end .* with it: `ARN:password::`$'),
    ('{"username": "hidden-user", "password": "hidden-word", "n": 1}',
     'it has the keys "username", "password": .* as in: `ARN:.+::`$'),
    ('{"hidden word": "x"}', r"`valueFrom` \(ARN:key::\)$"),
    ('{"a": {"hidden": 1}}', r"`valueFrom` \(ARN:key::\)$"),
    ('{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1"}',
     'keys "a", "b", "c", "d", [.]{3}: end'),
    (' \n{"password": "hidden-word"}', 'it has the key "password": '),
    ('\ufeff{"password": "hidden-word"}', 'it has the key "password": '),
    ('\t"hidden-word"', "store it without the quotes, or .*ARN:key::"),
    ('"hidden-word"', "store it without the quotes, or .*ARN:key::")])
def test_a_secret_that_came_whole(conduit_fake, muster_on, value, said):
    """Of one with keys the key was forgotten in `valueFrom`."""
    muster = muster_on(conduit_fake, org=small.org())
    muster.env = {"WORD": value}
    muster.config["homeserver"]["registration_token"] = {
        "file": "secrets/token"}
    muster.config["homeserver"]["admin"]["password"] = {"env": "WORD"}
    muster.write("secrets/token", value + "\n")
    muster.write_config()
    got = muster.run("register", expect=2)
    for line in (r"^\S+muster.yaml:\d+:\d+: homeserver.admin.password: "
                 f"WORD is .*{said}",
                 r"homeserver.registration_token: \S+/secrets/token is "
                 f".*{said}"):
        assert re.search(line, got.err, re.M), (line, got.err)
    assert "hidden" not in got.err + got.out
    assert conduit_fake.requests == []


@pytest.mark.parametrize("value, good", [
    ("operators-password\n", True), ("operators-password\r\n", True),
    ("operators-password\n\n", True), ("operators-password", False),
    ("operators-password\n ", None), ("\noperators-password", None),
    ("operators-password\t", None), ("operators\npassword", None),
    ("operators-password\x7f", None), ("\ufeffoperators-password", None),
    ("operators-password\u00a0", None), ("\u3000operators-password", None)])
@pytest.mark.parametrize("way", ["file", "env"])
def test_newlines_at_the_end_of_a_secret(conduit_fake, muster_on, way, value,
                                         good):
    """Are not taken for a part of it, which is said: whoever takes them has
    another secret. Other blanks are refused."""
    muster = muster_on(conduit_fake, org=small.org())
    conduit_fake.operator(password="operators-password")
    muster.write("secrets/word", value)
    muster.env = {"WORD": value}
    muster.config["homeserver"]["admin"]["password"] = {
        way: "secrets/word" if way == "file" else "WORD"}
    muster.write_config()
    got = muster.run("check", expect=2 if good is None else 0)
    if good is None:
        assert re.search("password: .*(blank|control character)", got.err)
        return
    noted = re.search(r"^\S+:\d+: warning: homeserver.admin.password: "
                      r"\S+ ends with a newline.* fingerprint is 7302e121$",
                      got.err, re.M)
    assert bool(noted) is good, got
    rows = {row["path"]: row for row in muster.json("config")["settings"]}
    row = rows["homeserver.admin.password"]
    assert (row["fingerprint"], row["newline_trimmed"]) == ("7302e121", good)
    muster.run("register", expect=0)


@pytest.mark.parametrize("mode, word", [
    (0o644, "read"), (0o640, "read"), (0o604, "read"), (0o620, "changed"),
    (0o602, "changed"), (0o600, None), (0o400, None)])
def test_a_secret_that_others_can_read(conduit_fake, muster_on, mode, word):
    muster = muster_on(conduit_fake, org=small.org())
    conduit_fake.operator(password="operators-password")
    path = muster.path("secrets/admin-password")
    os.chmod(path, mode)
    for verb in ("check", "register"):
        got = muster.run(verb, expect=2 if word else 0)
        said = (f"homeserver.admin.password: {path} can be {word} by others "
                f"(mode {mode:04o}): `chmod 600` it")
        assert (said in got.err) is bool(word), got
        if word:
            assert conduit_fake.requests == []


@pytest.mark.parametrize("mode, refused", [
    (0o644, True), (0o620, True), (0o600, False)])
def test_a_secret_in_a_configuration_that_others_can_read(
        conduit_fake, muster_on, mode, refused):
    muster = muster_on(conduit_fake, org=small.org())
    conduit_fake.operator()
    os.chmod(muster.path("muster.yaml"), 0o644)
    muster.run("check", expect=0)
    muster.write_config(homeserver={"registration_token": "hidden-word-here"})
    os.chmod(muster.path("muster.yaml"), mode)
    for verb in ("check", "register"):
        got = muster.run(verb, expect=2 if refused else 0)
        assert ("homeserver.registration_token: its value stands in the "
                "configuration, which others can read: `chmod 600 "
                f"{muster.path('muster.yaml')}`, or put it into a file of its "
                "own: {file: PATH}" in got.err) is refused, got
        assert "hidden" not in got.out + got.err
    assert conduit_fake.requests == [] or not refused
    # That of a variable does not stand there.
    muster.env = {"MUSTER_HOMESERVER_REGISTRATION_TOKEN": "hidden-word-here"}
    muster.run("check", expect=0)


@pytest.mark.parametrize("mode, word", [
    (0o644, "read"), (0o604, "read"), (0o660, "changed"), (0o640, None)])
def test_a_registration_that_others_can_read(fresh_on_conduit, mode, word):
    """But for a group, by which the homeserver reads it."""
    muster, hs = fresh_on_conduit
    path = muster.registration_path
    os.chmod(path, mode)
    for verb in ("registration", "register", "serve")[:3 if word else 2]:
        got = muster.run(verb, expect=2 if word else 0)
        said = (f"{path} can be {word} by others (mode {mode:04o}): "
                "`chmod 600` it")
        assert (said in got.err) is bool(word), got
    assert hs.requests == [] or not word
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


def test_fingerprints_at_the_start(settled_on_conduit):
    muster, _ = settled_on_conduit
    line, = [text for text in muster.daemon.output().splitlines()
             if "secrets by their fingerprints" in text]
    said = json.loads(line)

    def mark(secret):
        return hashlib.sha256(secret.encode()).hexdigest()[:8]
    assert said["as_token"] == mark(muster.registration["as_token"])
    assert said["hs_token"] == mark(muster.registration["hs_token"])
    assert said["admin_password"] == mark("operators-password")
    assert said["registration_token"] == "--------"


PASSWORD = "MUSTER_HOMESERVER_ADMIN_PASSWORD"


@pytest.mark.parametrize("value", [
    "operators-password", "{file: secrets/pw}", "{env: WORD}",
    "{ env: 'WORD' }"])
def test_secrets_by_a_variable_in_the_file_s_forms(conduit_fake, muster_on,
                                                   value):
    muster = muster_on(conduit_fake, org=small.org())
    conduit_fake.operator(password="operators-password")
    muster.write("secrets/admin-password", "another-password\n")
    muster.write("secrets/pw", "operators-password\n")
    muster.env = {PASSWORD: value, "WORD": "operators-password"}
    rows = {row["path"]: row for row in muster.json("config")["settings"]}
    row = rows["homeserver.admin.password"]
    assert (row["fingerprint"], row["from"]) == ("7302e121", "environment")
    assert row.get("file") == (
        muster.path("secrets/pw") if "file" in value else None)
    assert row.get("env") == ("WORD" if "env" in value else None)
    muster.run("check", expect=0)
    muster.run("register", expect=0)
    muster.assert_no_secret_shown(more={"operators-password"})


@pytest.mark.parametrize("value, said", [
    ('{"password": "hidden-word"}', "its value is a JSON object .*valueFrom"),
    ('{"file": "hidden-word"}', "its value is a JSON object .*valueFrom"),
    ('{"file": "hidden-word", "env": 1}', "is a JSON object .*valueFrom"),
    ("{hidden-word", "its value is a JSON object"),
    ("{hidden: word}", "its value is a JSON object"),
    ("{file: ''}", "must name a file"),
    ("{env: }", "must be a text, .file: PATH. or .env: NAME."),
    ("{file: a, env: b}", "must be a text, .file: PATH. or .env: NAME."),
    ("{secret: arn, key: x}", ".secret: ARN. is not supported"),
    ('"hidden-word"', "its value is a quoted JSON string")])
def test_secret_of_a_variable_that_is_none(conduit_fake, muster_on, value,
                                           said):
    muster = muster_on(conduit_fake, org=small.org())
    muster.env = {PASSWORD: value}
    for verb in ("check", "register"):
        got = muster.run(verb, expect=2)
        assert re.search(
            rf"^{PASSWORD}(:1:1)?: .*{said}", got.err, re.M), got
        assert "hidden" not in got.err + got.out
    assert conduit_fake.requests == []


def test_a_registration_token_and_an_admin_by_environment(conduit_fake,
                                                          muster_on):
    hs = conduit_fake
    hs.registration_token = "server-wants-this-token"
    muster = muster_on(hs, org=small.org())
    set_secrets(muster, {"file": "secrets/registration-token"})
    muster.write("secrets/registration-token", "server-wants-this-token\n")
    muster.env = {"ADMIN_WORD": "operators-long-password"}
    muster.run("register", expect=0)
    assert hs.user("operator").password == "operators-long-password"
    muster.start()
    small.wait_settled(muster, hs)
    assert_kept(muster, hs, more={
        "operators-long-password", "server-wants-this-token"})
    # The message that carried the tokens was redacted, the session ended.
    assert all(token not in str(event) for event in hs.admin.room.events
               for token in (muster.registration["as_token"],
                             muster.registration["hs_token"]))
    assert hs.tokens_of("operator") == []


def test_the_log_says_who_and_what(declared):
    """That nothing secret is in it does not mean that nothing is."""
    muster, _ = declared
    said = muster.daemon.output()
    for localpart in AGENTS:
        assert said.count(full(localpart)) >= 4
    assert full(HUMAN) in said
