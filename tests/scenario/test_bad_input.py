"""What is wrong is found before anything is done, and said with its place and
with what to do."""

import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest
import yaml

from support import small
from support.client import V3
from support.fakehs import FakeHS, answer
from support.muster import binary
from support.process import free_port, wait_until
from support.small import full


@pytest.fixture
def ready(fresh_on_conduit):
    """(muster, homeserver): all is well, and a test makes it wrong."""
    return fresh_on_conduit


def refused(muster, hs, *words, verbs=("check", "serve"), code=2):
    """Every verb says it, nothing was done, and nothing of ours was made."""
    for verb in verbs:
        got = muster.run(verb, expect=code)
        for word in words:
            word = word.replace("DIR", muster.dir)
            assert re.search(word, got.err), f"{word!r} not in:\n{got.err}"
        assert got.err.splitlines()[-1].startswith("muster: ")
        assert got.out == ""
    assert hs.requests == []
    assert not os.path.exists(muster.path("muster.db"))
    assert not os.path.exists(muster.runtime)


def line_of(muster, text):
    """(line, column) of the value that follows this key."""
    lines = muster.read("muster.yaml").splitlines()
    line, = [n for n, found in enumerate(lines, 1) if text in found]
    return line, lines[line - 1].index(text) + len(text) + 1


# -- files


def test_no_configuration(ready):
    muster, hs = ready
    os.unlink(muster.path("muster.yaml"))
    refused(muster, hs, r"DIR/muster\.yaml: .*muster init",
            verbs=("check", "registration", "register", "serve", "status",
                   "config", "healthcheck"))


@pytest.mark.parametrize("text, said", [
    ("", r"homeserver\.url: must be given"),
    ("homeserver: [\n",
     r"DIR/muster\.yaml:2:1: the YAML cannot be read: did not find"),
    ("a: 1\n b: 2\n", r"DIR/muster\.yaml:2:\d+: "),
    ("homeserver:\n\turl: x\n", r"DIR/muster\.yaml:2:1: "),
    ("just words\n", r"DIR/muster\.yaml:1:1: .*must be a map of settings"),
    ("homeserver: {url: 'http://h', url: 'http://i'}\n", r":1:\d+: .*url"),
    ("\0\0\0", r"DIR/muster\.yaml")],
    ids=["empty", "open", "indented", "tab", "words", "twice", "zeros"])
def test_broken_configuration(ready, text, said):
    muster, hs = ready
    muster.write("muster.yaml", text)
    refused(muster, hs, said)


@pytest.mark.parametrize("path, value, said", [
    ("homeserver.urll", "http://127.0.0.1:1",
     r':\d+:\d+: unknown setting "homeserver\.urll": did you mean "url"\?'),
    ("reconsile.interval", "5m",
     r'unknown setting "reconsile": did you mean "reconcile"\?'),
    ("store.pth", "x", r'"store\.pth": did you mean "path"\?'),
    ("fleet.something_else", "x", r'unknown setting '
     r'"fleet\.something_else" \(`muster config` lists them\)'),
    ("homeserver.url", "127.0.0.1:6167", r"homeserver\.url: .*http://"),
    ("homeserver.server_name", "fleet test", r"no server name"),
    ("homeserver.kind", "dendrit",
     r'homeserver\.kind: .*conduit.*not "dendrit"'),
    ("reconcile.concurrency", 0, r"reconcile\.concurrency: .*1\.\.64"),
    ("reconcile.concurrency", "many", r"reconcile\.concurrency: .*1\.\.64"),
    ("reconcile.interval", "5 minutes", r"reconcile\.interval: .*5m"),
    ("appservice.listen", "29400", r"appservice\.listen: .*host:port"),
    ("appservice.sender", "Muster", r'appservice\.sender: "Muster" is no '
                                    r"localpart"),
    ("appservice.sender", "a+b", r'sender: "a\+b" is no localpart .* only '
                                 r"a-z 0-9 \. _ - may be in it"),
    ("appservice.sender", "a=b", r'appservice\.sender: "a=b" is no localpart'),
    ("appservice.sender", "a/b", r'appservice\.sender: "a/b" is no localpart'),
    ("appservice.sender", "conduit",
     r"appservice\.sender: @conduit is the homeserver's own user"),
    ("handoff.owner", "agent", r"handoff\.owner: .*1000:1000"),
    ("direct.team_peers", "sometimes",
     r"direct\.team_peers: .*true or false"),
    ("homeserver", "x", r"homeserver: must be a map of settings")])
def test_bad_setting(ready, path, value, said):
    muster, hs = ready
    section, _, key = path.partition(".")
    if key:
        muster.write_config(**{section: {key: value}})
    else:
        muster.write_config(**{section: value})
    line, = [n for n, text in enumerate(
        muster.read("muster.yaml").splitlines(), 1) if re.match(
        rf"\s*{key or section}:", text) and str(value) in text]
    at = path if "unknown" not in said or key != "interval" else section
    column = 3 if key and at == path else 1
    refused(muster, hs, said, rf"DIR/muster\.yaml:\d+:\d+: ")
    if "unknown" in said and at == path:
        refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: ",
                verbs=("check",))


@pytest.mark.parametrize("path, said", [
    ("store.path", "must not be empty"), ("ops.socket", "must not be empty"),
    ("fleet.config", "must not be empty"),
    ("homeserver.ca_file", "must not be empty"),
    ("appservice.registration", "must not be empty"),
    ("homeserver.registration_token", "must not be empty"),
    ("homeserver.registration_token.file", "must name a file"),
    ("homeserver.registration_token.env", "must name a variable")])
def test_empty_setting(ready, path, said):
    """Empty is not a value; and it is said where it stands."""
    muster, hs = ready
    section, key, *inner = path.split(".")
    muster.write_config(**{section: {key: {inner[0]: ""} if inner else ""}})
    line, column = line_of(muster, f"  {key}: " if not inner else f"  {key}:")
    if inner:
        line, column = line + 1, 5
    refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: {section}\.{key}: "
                        rf"{said}")


def test_socket_that_nobody_can_listen_on(ready):
    """A Unix socket's path has a bound."""
    muster, hs = ready
    name = "s" * (107 - len(muster.dir) - 1)
    muster.write_config(ops={"socket": name})
    muster.run("check", expect=0)
    muster.write_config(ops={"socket": name + "s"})
    line, column = line_of(muster, "socket: ")
    refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: ops\.socket: .* "
            r"at most 107 bytes, and .* has 108: choose a shorter one",
            verbs=("check", "serve", "status", "healthcheck"))


def test_certificate_authority_that_is_not_there(ready):
    """Only who asks the homeserver needs it."""
    muster, hs = ready
    muster.write_config(homeserver={"ca_file": "nope.pem"})
    line, column = line_of(muster, "ca_file: ")
    refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: "
            r"homeserver\.ca_file: DIR/nope\.pem does not exist",
            verbs=("check", "serve", "register"))
    muster.run("registration", expect=0)
    muster.run("status", expect=0)


# What a secret is, of the environment PW="fine" and BAD="{...}"; what check
# says of it, and its status; register never goes on without it.
SECRETS = [
    ({"env": "NO_PW"}, "the environment has no NO_PW", 0),
    ({"env": "EMPTY"}, "the environment has no EMPTY", 0),
    ({"file": "rt"}, "DIR/rt does not exist", 0),
    ({"env": "BAD"}, "BAD is a JSON object .*valueFrom", 2),
    ({"file": "bad"}, "DIR/bad is a JSON object .*valueFrom", 2),
    ({"file": "none"}, "DIR/none is empty", 2),
    ('{"a": "b"}', "its value is a JSON object", 2)]


@pytest.mark.parametrize("secret, said, code", SECRETS)
@pytest.mark.parametrize("path", [
    ("homeserver", "admin", "password"), ("homeserver", "registration_token")])
def test_secret_that_cannot_be_read(ready, path, secret, said, code):
    """It is said where it stands; what needs none goes on without it."""
    muster, hs = ready
    said = said.replace("DIR", muster.dir)
    muster.env = {"BAD": '{"password": "hidden-word"}', "EMPTY": ""}
    muster.write("bad", '{"password": "hidden-word"}')
    muster.write("none", "\n")
    value = secret
    for key in reversed(path[1:]):
        value = {key: value}
    muster.config["homeserver"].get("admin", {}).pop("password", None)
    muster.write_config(homeserver=value)
    place = (rf"{muster.dir}/muster\.yaml:\d+:\d+: (warning: )?"
             rf"{'.'.join(path)}: {said}")
    made = secret == {"file": "rt"} and path[-1] == "password"
    got = muster.run("check", expect=code)
    assert bool(re.search(place, got.err)) is not made, got
    assert ("warning: " in got.err) is (code == 0 and not made)
    if not made:
        assert re.search(place, muster.run("register", expect=2).err)
        assert hs.requests == []
    told = muster.run("config", expect=0)
    assert bool(re.search(place, told.err)) is not made
    row, = [line for line in told.out.splitlines()
            if line.startswith(".".join(path))]
    assert "(secret, cannot be read)" in row
    for verb in ("registration", "status", "agents"):
        assert muster.run(verb, expect=0).err == ""
    muster.start()
    assert muster.run("healthcheck", expect=0).out == "ready\n"
    assert "hidden-word" not in muster.output()
    muster.assert_no_secret_shown()


@pytest.mark.parametrize("user, said", [
    ("@operator:other.test", "@operator:other.test is of another server"),
    ("@operator", '"@operator" is no user id: expected @name:fleet.test'),
    ("@:fleet.test", '"@:fleet.test" is no user id'),
    ("operator:fleet.test", '"operator:fleet.test" is no user id')])
def test_administrator_who_is_none(ready, user, said):
    muster, hs = ready
    muster.write_config(homeserver={"admin": {"user": user}})
    line, column = line_of(muster, "    user: ")
    refused(muster, hs, rf"muster\.yaml:{line}:{column}: "
                        rf"homeserver\.admin\.user: {said}")


@pytest.mark.parametrize("user", [
    "anna.vp", "@anna.vp:fleet.test", "Anna.VP", "muster"])
def test_administrator_who_is_ours(ready, user):
    """An agent has no password, and is never made an administrator."""
    muster, hs = ready
    muster.write_config(homeserver={"admin": {"user": user}})
    line, column = line_of(muster, "    user: ")
    refused(muster, hs, rf"muster\.yaml:{line}:{column}: "
                        r"homeserver\.admin\.user: .* name a human")


@pytest.mark.parametrize("user", ["bot-admin", "Bot-admin"])
def test_administrator_within_the_prefix(ready, user):
    muster, hs = ready
    muster.write_config(
        namespace={"prefix": "bot-"},
        homeserver={"admin": {"user": user}},
        fleet={"org": None, "agents": [{"id": "bot-one", "name": "One"}]})
    refused(muster, hs, r"muster\.yaml:\d+:\d+: homeserver\.admin\.user: "
                        r"[Bb]ot-admin is an agent, or would be")


def test_bad_setting_of_the_environment(ready):
    muster, hs = ready
    muster.env = {"MUSTER_RECONCILE_INTERVAL": "often"}
    said = r"MUSTER_RECONCILE_INTERVAL: must be a duration in 1s\.\.24h, " \
           r"such as 5m\n"
    refused(muster, hs, said)
    muster.env = {"MUSTER_RECONCILE_INTERVAL": "500ms"}
    refused(muster, hs, said)


@pytest.mark.parametrize("style", ["json", "text"])
def test_warnings_of_the_service_are_lines_of_its_log(ready, style):
    muster, hs = ready
    muster.env = {"MUSTER_UNKNOWN": "x", "MUSTER_LOG_FORMAT": style}
    muster.write_config(rooms=[
        {"alias": "x", "members": {"everyone": True}},
        {"alias": "nobody", "members": {"department": "None"}}])
    line = muster.read("muster.yaml").splitlines().index("- alias: nobody") + 1
    told = muster.run("registration", expect=0).err
    assert "warning: the environment's MUSTER_UNKNOWN is no" in told
    muster.start(ready=False)
    muster.daemon.wait_for(lambda: small.status(muster), 20, "it serves")
    said = muster.daemon.output().splitlines()
    if style == "text":
        assert all(re.match(r"\d{4}-\S+ (info|warn) ", text) for text in said)
        return
    found = [row for row in map(json.loads, said)
             if row["msg"] == "a warning about the configuration"]
    assert {row["level"] for row in found} == {"warn"}
    assert [(row["file"], row["line"]) for row in found] == [
        ("", 0), (muster.path("muster.yaml"), line)]
    assert "MUSTER_UNKNOWN is no setting" in found[0]["text"]
    assert '"nobody"' in found[1]["text"]


def test_missing_files_of_the_fleet(ready):
    """Said where they are named."""
    muster, hs = ready
    os.unlink(muster.path("org.json"))
    line, column = line_of(muster, "org: ")
    refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: fleet\.org: "
                        r"there is no such file: DIR/org\.json")
    muster.write_org(small.org())
    muster.write_config(fleet={"config": "config.yaml"})
    line, column = line_of(muster, "config: ")
    refused(muster, hs, rf"DIR/muster\.yaml:{line}:{column}: fleet\.config: "
                        r"there is no such file: DIR/config\.yaml")


def findings(muster):
    """Of `check --json`: (file, line, column, text) of each."""
    doc = muster.run("check", "--json", expect=2).json
    assert doc["ok"] is False
    assert all(f["warning"] is False for f in doc["findings"])
    return [(os.path.relpath(f["file"], muster.dir) if "/" in f["file"]
             else f["file"], f["line"], f["column"], f["text"])
            for f in doc["findings"]]


def test_findings_as_a_document(ready):
    """Whatever is wrong: each with its file, line and column apart."""
    muster, _ = ready
    os.unlink(muster.path("org.json"))
    line, column = line_of(muster, "org: ")
    assert findings(muster) == [(
        "muster.yaml", line, column, "fleet.org: there is no such file: " +
        muster.path("org.json"))]
    muster.env = {"MUSTER_FLEET_ORG": "gone.json"}
    assert findings(muster) == [(
        "MUSTER_FLEET_ORG", 0, 0, "fleet.org: there is no such file: " +
        muster.path("gone.json"))]
    muster.env = {}
    muster.write("muster.yaml", "")
    found = findings(muster)
    assert {f[:3] for f in found} == {("muster.yaml", 1, 1)}
    assert [f[3].split(":")[0] for f in found] == [
        "homeserver.url", "homeserver.server_name", "fleet"]
    muster.write("muster.yaml", "a:\n  b: [\n")
    (file, line, column, text), = findings(muster)
    assert (file, line, column) == ("muster.yaml", 3, 1)
    assert ":" not in text[:3]
    muster.write("muster.yaml", "words\n")
    assert findings(muster) == [
        ("muster.yaml", 1, 1, "the file must be a map of settings")]
    os.unlink(muster.path("muster.yaml"))
    (file, line, column, text), = findings(muster)
    assert (file, line, column) == ("muster.yaml", 0, 0)
    assert text.startswith("there is no configuration here")
    os.mkdir(muster.path("muster.yaml"))
    (file, line, column, text), = findings(muster)
    assert (file, line, column) == ("muster.yaml", 0, 0)
    assert "directory" in text


def test_everything_wrong_is_said_at_once(ready):
    """In the configuration and in the fleet's files."""
    muster, _ = ready
    org = small.org()
    org["people"][2]["level"] = "Boss"
    muster.write_org(org)
    muster.write_config(log={"level": "loud"}, namespace={"prefix": "con"})
    found = findings(muster)
    assert [f[0] for f in found] == ["muster.yaml", "muster.yaml", "org.json"]
    assert "log.level" in found[0][3] and "namespace.prefix" in found[1][3]
    assert "Boss" in found[2][3]


@pytest.mark.parametrize("text, said", [
    ('{"people": [\n {"name": }', r"org\.json:2:11: "),
    ('{"people": [\n {"name": "Ann,\n  "level": "IC"}]}',
     r'org\.json:2:16: found the end of the line in a string, expected a '
     'closing "'),
    ("", r"org\.json(:1:1)?: "), ("[]", r"org\.json(:1:1)?: "),
    ("{}", r'org\.json:1:1: expected "people"'),
    ('{"people": 3}', r'org\.json:1:\d+: expected "people".*found'),
    ('{"people": [\n  {"name": "X"}]}', r'org\.json:2:3: .*"matrixId" is '
                                        "missing"),
    ('{"people": [\n  7]}', r"org\.json:2:3: people\[0\]: expected a person"),
    ('{"people": [],\n "people": []}',
     r'org\.json:2:2: found the key "people" a second time')],
    ids=["open", "quote", "empty", "list", "nothing", "number", "no-id",
         "no-person", "twice"])
def test_broken_organisation(ready, text, said):
    muster, hs = ready
    muster.write("org.json", text)
    refused(muster, hs, said)


def test_broken_configuration_of_the_fleet(ready):
    muster, hs = ready
    muster.write_config(fleet={"config": "config.yaml"})
    muster.write("config.yaml", "departments:\n  - x\n bad")
    refused(muster, hs, r"DIR/config\.yaml:3:2: ")
    muster.write("config.yaml", "matrix:\n  domain: other.test\n")
    refused(muster, hs, r'DIR/config\.yaml:2:11: matrix\.domain is '
                        r'"other\.test".*"fleet\.test"')
    # A typo would deploy nobody, and nobody would be told.
    muster.write("config.yaml", "departmnts:\n  Engineering: {enabled: true}")
    refused(muster, hs, r'DIR/config\.yaml:1:1: "departments" is missing',
            r'DIR/config\.yaml:1:1: warning: "departmnts" is not read: did you '
            "mean departments")


def test_organisation_of_another_server(ready):
    """One finding, not one for everybody."""
    muster, hs = ready
    muster.write_config(homeserver={"server_name": "other.test"})
    refused(muster, hs, r"DIR/org\.json:\d+:\d+: 4 of 4 user ids are of the "
            r"server fleet\.test, .*homeserver\.server_name is other\.test")
    finding, = muster.run("check", "--json", expect=2).json["findings"]
    assert not finding["warning"]


# -- people and rooms: (whose entry, the change, where it is said, what)


@pytest.mark.parametrize("who, change, key, said", [
    (2, {"matrixId": "@ben.man:other.test"}, "matrixId",
     r'"@ben\.man:other\.test" is not of this server'),
    (2, {"matrixId": "@anna.vp:fleet.test"}, "matrixId",
     r"@anna\.vp:fleet\.test is there twice: also at DIR/org\.json:"),
    (2, {"matrixId": "@Anna.vp:fleet.test"}, "matrixId",
     r"differs from @anna\.vp:fleet\.test \(DIR/org\.json:\d+\) only in upper "
     r"and lower case"),
    (2, {"matrixId": "@ben man:fleet.test"}, "matrixId",
     r'user id "@ben man:fleet\.test" has a character other than'),
    (2, {"matrixId": "@:fleet.test"}, "matrixId", r'"@:fleet\.test"'),
    (2, {"matrixId": "ben.man"}, "matrixId", r'"ben\.man" is no user id'),
    (2, {"matrixId": "@" + "b" * 250 + ":fleet.test"}, "matrixId",
     "is 262 bytes long; 255 are allowed"),
    (2, {"matrixId": "@ben/man:fleet.test"}, "matrixId", "directory"),
    (2, {"matrixId": "@muster:fleet.test"}, "matrixId",
     "service's own user"),
    (2, {"matrixId": "@conduit:fleet.test"}, "matrixId",
     "homeserver's own user"),
    (3, {"reportsTo": "@nobody:fleet.test"}, "reportsTo",
     r"@cleo\.ic:fleet\.test reports to @nobody:fleet\.test, who is not "
     "there"),
    (1, {"reportsTo": "@cleo.ic:fleet.test"}, "reportsTo",
     r"the reports go round in a circle: @anna\.vp:fleet\.test, who reports "
     r"to @cleo\.ic"),
    (3, {"level": "Boss"}, "level",
     r'people\[3\]\.level: "Boss" is no level: expected .*IC'),
    (3, {"name": 7}, "name", r"people\[3\]\.name: expected a text"),
    (3, {"name": "Cleo\x1b[2J"}, "name",
     r"people\[3\]\.name has a control character \(U\+001B\)"),
    (3, {"name": "x" * 257}, "name",
     r"people\[3\]\.name is 257 characters long; 256 are allowed"),
    (3, {"department": "Eng\n"}, "department",
     r"people\[3\]\.department has a control character \(U\+000A\)"),
    (1, {"department": ".."}, "matrixId", r'department "\.\." cannot be'),
    (3, {"team": "x" * 300}, None, "long")],
    ids=["domain", "twice", "case", "grammar", "empty", "bare", "long",
         "slash", "sender", "bot", "manager", "circle", "level", "name",
         "control", "long-name", "control-department", "department", "team"])
def test_wrong_person(ready, who, change, key, said):
    muster, hs = ready
    org = small.org()
    org["people"][who].update(change)
    muster.write_org(org)
    # Where it stands: the key's line within that person's entry.
    lines = muster.read("org.json").splitlines()
    starts = [n for n, text in enumerate(lines, 1) if text == "  {"]
    at = r"\d+"
    if key:
        at = next(n for n in range(starts[who], len(lines))
                  if lines[n - 1].startswith(f'   "{key}"'))
    refused(muster, hs, rf"DIR/org\.json:{at}:\d+: .*{said}")


@pytest.mark.parametrize("rooms, said", [
    ([{"alias": "x", "members": {"everyone": True}},
      {"alias": "x", "members": {"level": ["VP"]}}],
     r"muster\.yaml:\d+:\d+: two rooms would have the alias #x:fleet\.test.*"
     "give one rule another alias"),
    ([{"alias": "{team}-team", "members": {"team": "{team}"}},
      {"alias": "platform-team", "members": {"everyone": True}}],
     r"two rooms would have the alias #platform-team:fleet\.test"),
    ([{"alias": "Admins", "members": {"everyone": True}}],
     r"muster\.yaml:\d+:\d+: #admins is Conduit's own room of "
     "administrators: choose another alias"),
    ([{"alias": "x", "members": {"levl": ["VP"]}}], r"levl"),
    ([{"alias": "x"}], "members"), ([{"members": {"everyone": True}}],
                                    "alias"), ("x", "rooms"),
    ([{"alias": "x", "members": {"level": ["Vp"]}}], r"did you mean VP")],
    ids=["same", "made-same", "admins", "key", "no-members", "no-alias", "text",
         "level"])
def test_wrong_room(ready, rooms, said):
    muster, hs = ready
    muster.write_config(rooms=rooms)
    refused(muster, hs, said)


def test_a_human_in_the_namespace(ready):
    muster, hs = ready
    muster.write_config(namespace={"prefix": "carla"})
    refused(muster, hs, r"@carla\.ceo:fleet\.test is a human, but in the "
                        "namespace of the agents")


def test_chosen_agents_outside_the_namespace(ready):
    """Whom the fleet's configuration chooses is held to the prefix too."""
    muster, hs = ready
    muster.write_config(fleet={"config": "config.yaml"},
                        namespace={"prefix": "agent-"})
    muster.write("config.yaml", """\
departments:
  Engineering: {enabled: true, vp: 1, directors: 0, managers: 0, ics: 0}
""")
    refused(muster, hs, r"DIR/org\.json:\d+:\d+: @anna\.vp:fleet\.test is not "
            r'in the namespace: an agent\'s id must start with "agent-"')


def test_an_agent_who_became_human(ready):
    """The registration of before still covers that person."""
    muster, hs = ready
    muster.write_config(fleet={"humans": [full("cleo.ic")]})
    refused(muster, hs, r"registration\.yaml: the namespace covers "
            r"@cleo\.ic:fleet\.test, who is human.*muster registration",
            verbs=("serve",))
    muster.run("registration", expect=0)
    assert "cleo" not in muster.read("registration.yaml")


# -- the registration


def test_no_registration(ready):
    muster, hs = ready
    os.unlink(muster.registration_path)
    refused(muster, hs, r"DIR/registration\.yaml: there is no registration "
            "yet: run `muster registration`", verbs=("serve",), code=1)


@pytest.mark.parametrize("text", ["", "id: [", "- 1\n", "id: muster\n"])
def test_broken_registration(ready, text):
    muster, hs = ready
    muster.write("registration.yaml", text)
    refused(muster, hs, r"registration\.yaml", verbs=("serve",))


@pytest.mark.parametrize("section, key, value", [
    ("appservice", "url", "http://127.0.0.1:9"),
    ("appservice", "id", "other"), ("appservice", "sender", "other")])
def test_another_registration(ready, section, key, value):
    muster, hs = ready
    muster.write_config(**{section: {key: value}})
    refused(muster, hs, r"registration\.yaml: .* is not what the "
            "configuration says: run `muster registration`",
            verbs=("serve",))


def test_unknown_token(fakehs, muster_on):
    """The homeserver was not told of us, or of other tokens. AS-136."""
    muster = muster_on(fakehs, org=small.org())
    muster.run("registration", expect=0)
    got = muster.run("serve", expect=1)
    assert "run `muster register`" in got.err.splitlines()[-1]
    assert fakehs.writes() == []
    fakehs.register_appservice({**muster.registration, "as_token": "other"})
    muster.run("serve", expect=1)
    assert fakehs.writes() == []


@pytest.mark.parametrize("known", [True, False])
def test_homeserver_of_another_name(fakehs, muster_on, known):
    """It takes our token, by a mistake in one of the two configurations."""
    muster = muster_on(fakehs, org=small.org())
    muster.run("registration", expect=0)
    other = FakeHS("other.test", fakehs.manner).start()
    other.add_appservice(muster.registration_path)
    if known:
        service = other.appservices["muster"]
        other.world.add_user(service.sender, "x")
    muster.write_config(homeserver={"url": other.url})
    got = muster.run("serve", expect=2)
    assert "fleet.test" in got.err and "homeserver.url" in got.err
    got = muster.run("register", expect=2)
    assert "fleet.test" in got.err and "homeserver.server_name" in got.err
    # A proxy in trouble says nothing of the name.
    if fakehs.conduit and not known:
        other.fault("GET", r"/directory/room/", answer(
            502, b"<html>bad gateway</html>"), times=None)
        got = muster.run("register", expect=1)
        assert "502" in got.err and "correct homeserver" not in got.err
    assert other.writes() == []
    other.stop()


# -- what is in the way


def test_runtime_root_cannot_be_written(ready):
    muster, hs = ready
    muster.write("runtime", "a file in its place\n")
    got = muster.run("serve", expect=1)
    assert "handoff.root" in got.err and muster.runtime in got.err
    assert hs.requests == []


def test_a_folder_of_an_agent_cannot_be_made(ready):
    """The others get theirs; it is said whose is missing and why."""
    muster, hs = ready
    os.makedirs(muster.path("runtime", small.DEPARTMENT))
    muster.write(f"runtime/{small.DEPARTMENT}/ben.man", "in its place\n")
    muster.start()
    muster.daemon.wait_for(
        lambda: small.status(muster)["journal"]["failed"], 20, "it is said")
    row = small.agent(muster, "ben.man")
    assert "ben.man" in row["error"] and row["generation"] == 0
    assert muster.handoff("anna.vp") and muster.handoff("cleo.ic")
    # Conduit ends the old token at a login: none is tried in vain.
    assert full("ben.man") not in [
        r.body["identifier"]["user"] for r in hs.writes("POST", "/login$")]
    os.unlink(muster.path("runtime", small.DEPARTMENT, "ben.man"))
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert small.agent(muster, "ben.man")["error"] is None


def test_store_of_a_newer_version(ready):
    muster, hs = ready
    muster.start()
    small.wait_settled(muster, hs)
    muster.stop()
    hs.clear_log()
    db = sqlite3.connect(muster.path("muster.db"))
    db.execute("PRAGMA user_version = 4711")
    db.close()
    before = open(muster.path("muster.db"), "rb").read()
    for verb in ("serve", "status", "plan"):
        got = muster.run(verb, expect=1)
        assert "newer" in got.err and "4711" in got.err
    assert open(muster.path("muster.db"), "rb").read() == before
    assert hs.requests == []


@pytest.mark.parametrize("what", ["text", "other", "cut"])
def test_store_that_is_none(ready, what):
    muster, hs = ready
    path = muster.path("muster.db")
    if what == "text":
        muster.write("muster.db", "dear diary\n" * 500)
    elif what == "other":
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE recipe (name TEXT)")
        db.commit()
        db.close()
    else:
        muster.start()
        small.wait_settled(muster, hs)
        muster.stop()
        hs.clear_log()
        with open(path, "r+b") as f:
            f.truncate(5000)
    before = open(path, "rb").read()
    for verb in ("serve", "status"):
        got = muster.run(verb, expect=1)
        assert path in got.err
    assert open(path, "rb").read() == before
    assert hs.requests == []


def test_second_service_on_one_store(ready):
    """AS-163: two that share an address would have to share the ids that they
    have seen; one store has one service."""
    muster, hs = ready
    muster.write_config(handoff={"check": "24h"})
    muster.start()
    small.wait_settled(muster, hs)
    hs.wait_quiet()
    hs.clear_log()
    shutil.copy(muster.path("muster.yaml"), muster.path("second.yaml"))
    with open(muster.path("second.yaml"), encoding="utf-8") as f:
        config = yaml.safe_load(f)
    config["appservice"]["listen"] = f"127.0.0.1:{free_port()}"
    config["ops"] = {"socket": "second.sock"}
    muster.write("second.yaml", yaml.safe_dump(config))
    done = subprocess.run(
        [binary(), "-c", muster.path("second.yaml"), "serve"],
        capture_output=True, text=True, timeout=30, cwd=muster.dir)
    assert done.returncode == 1, done
    assert re.search(rf"muster\.db is in use: .* is held by pid "
                     rf"{muster.daemon.process.pid} on ", done.stderr)
    assert hs.requests == []
    assert small.status(muster)["ready"]


def test_somebody_else_listens_there(ready):
    muster, hs = ready
    muster.write_config(appservice={"listen": f"127.0.0.1:{hs.port}"})
    got = muster.run("serve", expect=1)
    assert "appservice.listen" in got.err and str(hs.port) in got.err
    assert hs.requests == []


# -- no homeserver


def test_unreachable_homeserver(conduit_fake, muster_on):
    """AS-160: the service listens first, goes on, says so, and becomes ready
    when it comes up."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    hs.stop()
    muster.start(ready=False)
    # It answers us before it has asked the homeserver the first time.
    now = muster.daemon.wait_for(lambda: next((
        now for now in [small.status(muster)]
        if any(f"port {hs.port}" in why for why in now["why_not"])), None),
        20, "it says why it is not ready")
    assert now["ready"] is False
    assert any(f"no homeserver answers at {hs.url}: start it" in why
               for why in now["why_not"])
    code, health = small.ask(muster, "/health/ready")
    assert code == 503 and not health["ready"]
    assert any(f"port {hs.port}" in why for why in health["why_not"])
    assert small.ask(muster, "/health/live")[0] == 200
    got = muster.run("healthcheck", expect=3)
    assert re.fullmatch(rf"not ready: .*port {hs.port}.*\n", got.out)
    assert not muster.run("healthcheck", "--json", expect=3).json["ready"]
    assert f"port {hs.port}" in muster.run("status", expect=0).out
    assert "again" in muster.daemon.output()
    hs.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert small.ask(muster, "/health/ready") == (
        200, {"ready": True, "why_not": []})
    assert muster.run("healthcheck").code == 0


def test_it_is_no_homeserver(fresh_on_conduit):
    """Something answers there, but nothing of Matrix."""
    muster, hs = fresh_on_conduit
    hs.fault("*", "", answer(200, b"<html>It works!</html>"), times=None)
    muster.start(ready=False)

    def said():
        return any("is a homeserver behind this URL" in why
                   for why in small.status(muster)["why_not"])
    muster.daemon.wait_for(said, 20, "it is said")
    hs.clear_faults()
    small.wait_settled(muster, hs)


def test_homeserver_does_not_reach_us(conduit_fake, muster_on):
    """All is made; but ready it is only when it is told what happens."""
    hs = conduit_fake
    nobody = f"http://127.0.0.1:{free_port()}"
    muster = muster_on(hs, org=small.org(), appservice={"url": nobody})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: small.steps(muster) == [] and len(
            small.status(muster)["why_not"]) == 1, 20, "all is made")
    why, = small.status(muster)["why_not"]
    assert "ping" in why and "M_CONNECTION_FAILED" in why
    assert nobody in why and "muster register" in why
    small.assert_tokens(hs, muster)
    small.assert_policy_rooms(hs, muster)
    # The first delivery is as good as a ping.
    hs.register_appservice({
        **muster.registration, "url": f"http://127.0.0.1:{muster.port}"})
    hs.human("guest").get(f"{V3}/nothing")
    wait_until(lambda: small.status(muster)["ready"], 20, "it is ready")


def test_the_token_is_taken_away_while_it_runs(declared_on_conduit):
    """AS-136."""
    muster, hs = declared_on_conduit
    hs.unregister_appservice("muster")
    muster.write_config(reconcile={"interval": "1s"})
    muster.stop()
    got = muster.run("serve", expect=1)
    assert "run `muster register`" in got.err
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    hs.unregister_appservice("muster")

    def said():
        return any("muster register" in why
                   for why in small.status(muster)["why_not"])
    muster.daemon.wait_for(said, 20, "it is said")
    hs.add_appservice(muster.registration_path)
    small.wait_settled(muster, hs)
