"""The command line: every verb, its exit status and its documents, with the
service and without."""

import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest
import yaml

from support import small
from support.client import answers
from support.muster import binary
from support.process import environment, free_port
from support.small import AGENTS, DIRECT, HUMAN, ROOMS, SENDER, full

AGENT = {"user_id": str, "name": str, "department": str,
         "team": (str, type(None)), "level": str, "state": str,
         "leaving": bool,
         "device_id": (str, type(None)), "generation": int,
         "acked_generation": int, "since_ms": int,
         "error": (str, type(None))}
ROOM = {"alias": (str, type(None)), "room_id": (str, type(None)), "kind": str,
        "declared": list, "joined": list, "invited": list, "missing": list,
        "extra": list, "held": list, "removals": list,
        "held_why": (str, type(None)),
        "missing_since_ms": (int, type(None))}
STEP = {"kind": str, "subject": str, "room": (str, type(None)), "reason": str}
STATUS = {"version": str, "uptime_s": int, "ready": bool, "why_not": list,
          "agents": dict, "rooms": int, "direct_rooms": int, "journal": dict,
          "transactions": dict, "homeserver": dict}
JOURNAL = {"id": int, "kind": str, "subject": str, "room": (str, type(None)),
           "state": str, "attempt": int, "next_attempt_ms": int,
           "error": (str, type(None))}
# Accounts and names of four, three logins and hand-offs, six rooms, seven
# invitations and eight joins, three marks; a hand-off is no request.
STEPS = 8 + 6 + 6 + 15 + 3
WRITES = STEPS - 3
STATES = {"declared", "registered", "logged_in", "handed_off", "acknowledged",
          "retired", "blocked"}
KINDS = {"register", "login", "profile", "hand_off", "create_room",
         "set_state", "invite", "join", "kick", "leave", "direct_mark",
         "revoke"}
VIEWS = ["status", "agents", "rooms", "plan", "journal", "quarantine",
         "audit"]


def has(row, fields):
    for key, kind in fields.items():
        assert key in row, f"no {key}: {row}"
        assert isinstance(row[key], kind), f"{key}: {row[key]!r}"
        assert not (kind is int and isinstance(row[key], bool))
    return row


def documents(muster):
    """All of them, each with at least the fields that others hold on to."""
    docs = {verb: muster.json(verb) for verb in VIEWS}
    for row in docs["agents"]:
        assert has(row, AGENT)["state"] in STATES
    for row in docs["rooms"]:
        assert has(row, ROOM)["kind"] in ("room", "direct")
    for row in docs["plan"]["steps"]:
        assert has(row, STEP)["kind"] in KINDS
    for row in docs["journal"]:
        has(row, JOURNAL)
    now = has(docs["status"], STATUS)
    has(now["journal"], {"waiting": int, "failed": int})
    has(now["transactions"], {
        "seen": int, "repeated": int, "events": int, "applied": int,
        "quarantined": int, "ephemeral": int, "to_device": int,
        "device_lists": int, "key_counts": int, "refused": int,
        "last_ms": int})
    has(now, {"unanswered": int, "held": int, "troubles": int})
    has(now["direct"], {"mode": str, "declared": int, "wanted": int,
                        "made": int, "later": int, "per_minute": int,
                        "rate": int, "left_s": int})
    has(now["removals"], {"waiting": int, "agents": list,
                          "why": (str, type(None))})
    has(docs["plan"], {"steps": list, "removals": int})
    has(now["quarantine"], {"kept": int, "bytes": int, "dropped": int})
    has(now["homeserver"], {"kind": str, "version": (str, type(None)),
                            "requests": int, "writes": int})
    assert set(now["agents"]) <= STATES
    return docs


# -- what is


def test_before_anything_was_started(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    docs = documents(muster)
    got = muster.run("healthcheck", "--json", expect=1)
    assert got.json["ready"] is False
    why, = got.json["why_not"]
    assert why.startswith("no service answers at ")
    assert got.err == f"muster: {why}\n"
    assert sorted(r["user_id"] for r in docs["agents"]) == sorted(
        map(full, AGENTS))
    assert {r["state"] for r in docs["agents"]} == {"declared"}
    assert [r["room_id"] for r in docs["rooms"]] == [None] * 6
    assert [r["missing"] for r in docs["rooms"]] == [
        r["declared"] for r in docs["rooms"]]
    assert len(docs["plan"]["steps"]) == STEPS
    assert docs["journal"] == docs["quarantine"] == docs["audit"] == []
    now = docs["status"]
    assert (now["ready"], now["why_not"]) == (
        False, ["the service is not running"])
    assert now["agents"] == {"declared": 3}
    assert hs.requests == []
    assert not os.path.exists(muster.path("muster.db"))  # looking makes none
    codes = {verb: muster.run(verb).code for verb in VIEWS}
    assert codes == {**dict.fromkeys(VIEWS, 0), "plan": 3}
    assert muster.run("healthcheck").code == 1


def test_with_the_service_and_without(declared):
    muster, _ = declared
    running = documents(muster)
    assert {r["state"] for r in running["agents"]} == {"handed_off"}
    assert {r["generation"] for r in running["agents"]} == {1}
    assert {r["device_id"] for r in running["agents"]} == {"MUSTER"}
    assert {r["state"] for r in running["journal"]} == {"done"}
    assert len(running["journal"]) == STEPS
    now = running["status"]
    assert now["ready"] and now["why_not"] == []
    assert now["agents"] == {"handed_off": 3}
    assert (now["rooms"], now["direct_rooms"]) == (3, 3)
    assert now["transactions"]["events"] > 20
    assert now["homeserver"]["writes"] == WRITES
    assert muster.run("healthcheck", expect=0).out == "ready\n"
    assert muster.json("healthcheck") == {"ready": True, "why_not": []}
    muster.stop()
    stopped = documents(muster)
    for verb in ("agents", "rooms", "plan", "journal", "quarantine", "audit"):
        assert stopped[verb] == running[verb], verb
    assert stopped["status"]["ready"] is False
    assert stopped["status"]["homeserver"]["kind"] == (
        now["homeserver"]["kind"])
    for key in ("agents", "rooms", "direct_rooms", "journal", "transactions"):
        assert stopped["status"][key] == now[key]
    got = muster.run("healthcheck", expect=1)
    assert "no service answers" in got.err


def test_after_a_crash(declared_on_conduit):
    """A socket that nobody listens on any more is no service."""
    muster, _ = declared_on_conduit
    muster.kill()
    assert os.path.exists(muster.path("muster.sock"))
    assert documents(muster)["status"]["ready"] is False
    assert muster.run("healthcheck").code == 1
    muster.start()
    assert muster.json("status")["ready"]


@pytest.mark.parametrize("broken", [
    "no-org", "odd-org", "no-config", "odd-setting"])
def test_a_running_service_is_asked_whatever_its_files_say(
        declared_on_conduit, broken):
    """It serves on with what it has read, since what is there now is wrong."""
    muster, _ = declared_on_conduit
    before = documents(muster)
    if broken == "no-org":
        os.unlink(muster.path("org.json"))
    elif broken == "odd-org":
        muster.write("org.json", '{"people": [')
    elif broken == "no-config":
        muster.write_config(fleet={"config": "nowhere.yaml"})
    else:
        muster.write_config(
            homeserver={"url": "nowhere", "kind": "x"}, unknown={"a": 1})
    now = documents(muster)
    for verb in ("agents", "rooms", "plan", "quarantine", "audit"):
        assert now[verb] == before[verb], verb
    got = muster.run("healthcheck", expect=0)
    assert (got.out, got.err) == ("ready\n", "")
    muster.run("check", expect=2)
    # When nobody answers the files are needed; a health check needs none.
    muster.stop()
    for verb in VIEWS:
        got = muster.run(verb, expect=2)
        assert "finding" in got.err and got.out == ""
    got = muster.run("healthcheck", expect=1)
    assert "no service answers" in got.err


@pytest.mark.parametrize("text, said", [
    ("ops: [", r"muster\.yaml:2:1: "),
    ("ops: {socket: [x]}", r"muster\.yaml:1:15: ops\.socket: must be a "),
    ("- ops", r"muster\.yaml:1:1: .*must be a map of settings")])
def test_where_the_service_is_asked_cannot_be_read(
        declared_on_conduit, text, said):
    """One that runs where it is looked for without a word of the file:
    test_reload.py."""
    muster, _ = declared_on_conduit
    muster.stop()
    muster.write("muster.yaml", text + "\n")
    for verb in ("status", "healthcheck"):
        assert re.search(said, muster.run(verb, expect=2).err)


def test_the_service_listens_elsewhere_and_that_cannot_be_read(
        conduit_fake, muster_on):
    """Only the file has said where: nobody is guessed to be there."""
    muster = muster_on(conduit_fake, ops={"socket": "elsewhere.sock"})
    muster.run("registration", expect=0)
    conduit_fake.add_appservice(muster.registration_path)
    muster.start()
    muster.run("healthcheck", expect=0)
    muster.write("muster.yaml", "ops: [\n")
    for verb in ("status", "healthcheck"):
        assert re.search(r"muster\.yaml:2:1: ", muster.run(verb, expect=2).err)


def test_in_words(declared_on_conduit):
    """For people: every name is there, every line fits its columns."""
    muster, hs = declared_on_conduit
    said = {verb: muster.run(verb, expect=0).out for verb in VIEWS}
    for agent, (name, *_) in AGENTS.items():
        line, = [text for text in said["agents"].splitlines()
                 if text.startswith(full(agent))]
        assert name in line and "handed_off" in line
    for alias in ROOMS:
        assert f"#{alias}:{small.SERVER}" in said["rooms"]
        assert hs.room(alias).room_id in said["rooms"]
    assert "nothing to do" in said["plan"]
    assert said["journal"].count("done") == STEPS
    assert "ready" in said["status"] and hs.url in said["status"]
    # The human has not answered: in each room, and in the direct one.
    asked = sum(HUMAN in members for members in ROOMS.values()) + sum(
        HUMAN in pair for pair in DIRECT)
    assert f"not our turn {asked} invitations" in said["status"]
    assert "nothing" in said["quarantine"]
    for text in said.values():
        assert text.endswith("\n") and "(null)" not in text


def test_probes_write_nothing(declared_on_conduit):
    """While the service has shown by itself that it can."""
    muster, hs = declared_on_conduit
    small.write_store(hs)
    hs.wait_quiet()
    assert small.ask(muster, "/health/ready")[0] == 200
    before = muster.query("SELECT * FROM note ORDER BY name")
    size = os.path.getsize(muster.path("muster.db-wal"))
    for _ in range(20):
        assert small.ask(muster, "/health/ready")[0] == 200
        assert small.status(muster)["ready"]
    assert os.path.getsize(muster.path("muster.db-wal")) == size
    assert muster.query("SELECT * FROM note ORDER BY name") == before


def test_over_tcp(fresh_on_conduit):
    """Health for those who cannot reach the socket; nothing else there.
    AS-164."""
    muster, hs = fresh_on_conduit
    port = free_port()
    muster.write_config(ops={"listen": f"127.0.0.1:{port}"})
    muster.start()
    url = f"http://127.0.0.1:{port}"
    assert answers(url, "/health/live") and answers(url, "/health/ready")
    for path in ("/v1/agents", "/v1/status", "/", "/health"):
        assert not answers(url, path)
    # As `wget --spider` asks.
    for path in ("/health/live", "/health/ready", "/metrics"):
        got = urllib.request.urlopen(
            urllib.request.Request(url + path, method="HEAD"), timeout=20)
        assert got.read() == b"" and int(got.headers["Content-Length"]) > 0
    hs.stop()


def metrics(url):
    """{name and labels: number}; every line is of the text format."""
    got = urllib.request.urlopen(url + "/metrics", timeout=20)
    assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values, described = {}, set()
    for line in got.read().decode().splitlines():
        told = re.fullmatch(r"# (HELP|TYPE) (muster_[a-z_]+) (.+)", line)
        if told:
            assert told[1] == "HELP" or told[3] in ("gauge", "counter")
            assert (told[1], told[2]) not in described
            described.add((told[1], told[2]))
            continue
        name, labels, value = re.fullmatch(
            r'(muster_[a-z_]+)(\{[a-z]+="[^"]*"\})? ([0-9.]+)',
            line).groups()
        assert {("HELP", name), ("TYPE", name)} <= described
        assert name + (labels or "") not in values
        values[name + (labels or "")] = float(value)
    return values


def test_metrics(fresh_on_conduit):
    """They say what `status` says."""
    muster, hs = fresh_on_conduit
    port = free_port()
    muster.write_config(ops={"listen": f"127.0.0.1:{port}"})
    muster.start()
    small.wait_settled(muster, hs)
    got = metrics(f"http://127.0.0.1:{port}")
    now = small.status(muster)
    assert got["muster_ready"] == 1 and got["muster_plan_steps"] == 0
    assert got[f'muster_build_info{{version="{now["version"]}"}}'] == 1
    assert {state: got[f'muster_agents{{state="{state}"}}'] for state in (
        "declared", "registered", "logged_in", "handed_off", "acknowledged",
        "retired", "blocked")} == {
        "declared": 0, "registered": 0, "logged_in": 0,
        "handed_off": len(AGENTS), "acknowledged": 0, "retired": 0,
        "blocked": 0}
    assert got['muster_rooms{kind="room"}'] == len(ROOMS)
    assert got['muster_rooms{kind="direct"}'] == len(DIRECT)
    assert got["muster_unanswered_invitations"] == now["unanswered"] > 0
    assert got["muster_held_members"] == got["muster_troubles"] == 0
    assert got["muster_removals_waiting"] == 0
    assert {of: got[f'muster_direct_rooms{{of="{of}"}}'] for of in (
        "declared", "wanted", "made", "later")} == {
        "declared": 3, "wanted": 3, "made": 3, "later": 0}
    assert {mode: got[f'muster_direct_mode{{mode="{mode}"}}'] for mode in (
        "eager", "on_demand", "off")} == {
        "eager": 1, "on_demand": 0, "off": 0}
    assert got["muster_direct_per_minute"] == 600
    assert got["muster_direct_left_seconds"] == 0
    assert got['muster_journal_steps{state="failed"}'] == 0
    assert got["muster_transactions_total"] == now["transactions"]["seen"] > 0
    assert got["muster_events_total"] == now["transactions"]["events"] > 0
    assert got["muster_homeserver_requests_total"] == len(hs.requests)
    assert got["muster_homeserver_writes_total"] == len(hs.writes())
    assert got["muster_transaction_last_timestamp_seconds"] == (
        now["transactions"]["last_ms"] / 1000)
    hs.stop()


def test_the_admin_api_of_others(declared_on_conduit):
    muster, _ = declared_on_conduit
    for verb in VIEWS:
        code, doc = small.ask(muster, f"/v1/{verb}")
        assert code == 200
        if verb not in ("status", "audit"):
            assert doc == muster.json(verb)
        assert small.ask(muster, f"/v1/{verb}", "POST", {})[0] == 405
    for deed in ("rotate", "revoke", "retire", "retry", "approve", "direct"):
        assert small.ask(muster, f"/v1/{deed}")[0] == 405
    for method in ("GET", "POST"):
        assert small.ask(muster, "/v1/nothing", method)[0] == 404
        assert small.ask(muster, "/nothing", method)[0] == 404


def test_the_admin_api_counts_us(declared_on_conduit):
    """Looking asks the homeserver nothing."""
    muster, hs = declared_on_conduit
    documents(muster)
    assert hs.requests == []


# -- files


def test_check(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    got = muster.run("check", expect=0)
    assert "4 people, 3 agents, 1 human" in got.out
    assert muster.json("check") == {
        "ok": True, "findings": [], "people": 4, "agents": 3, "humans": 1,
        "rooms": len(ROOMS), "direct_rooms": len(DIRECT)}
    # The bot is an agent, but nobody of the organisation; nor is a guest.
    muster.write_config(fleet={"config": "config.yaml",
                               "humans": ["@guest:else.test"]})
    muster.write("config.yaml", f"""\
commandCenter: {{taskAssignmentBotMatrixId: "{full("bot")}"}}
departments:
  Engineering: {{enabled: true, vp: 1, directors: 0, managers: 0, ics: 0}}
""")
    got = muster.run("check", expect=0)
    assert "4 people, 2 agents, 2 humans of the fleet" in got.out
    assert muster.json("check")["people"] == 4
    org = small.org()
    org["people"][1]["level"] = "Boss"
    muster.write_org(org)
    got = muster.run("check", "--json", expect=2)
    finding, = got.json["findings"]
    assert got.json["ok"] is False
    assert (finding["file"], finding["warning"]) == (
        muster.path("org.json"), False)
    assert f"{muster.path('org.json')}:{finding['line']}:" in got.err
    assert "Boss" in finding["text"]
    assert hs.requests == []


def test_registration(conduit_fake, muster_on):
    muster = muster_on(conduit_fake, org=small.org())
    first = muster.run("registration", "--json", expect=0).json
    assert first["written"] is True
    assert first["path"] == muster.registration_path
    before = muster.read("registration.yaml")
    again = muster.run("registration", "--json", expect=0).json
    assert again == {**first, "written": False}
    assert muster.read("registration.yaml") == before
    muster.run("registration", expect=0)
    tokens = {k: muster.registration[k] for k in ("as_token", "hs_token")}
    assert len(set(tokens.values())) == 2
    assert all(len(t) == 64 and set(t) <= set("0123456789abcdef")
               for t in tokens.values())
    # What the configuration says differs: rewritten, with the tokens it had.
    muster.write_config(appservice={"url": "http://elsewhere:1234"})
    assert muster.run("registration", "--json").json["written"] is True
    now = muster.registration
    assert now["url"] == "http://elsewhere:1234"
    assert {k: now[k] for k in tokens} == tokens
    assert now["sender_localpart"] == SENDER and now["id"] == "muster"
    # Slashes at the end are none of the URL.
    muster.write_config(appservice={"url": "http://elsewhere:1234//"})
    assert muster.run("registration", "--json").json["written"] is False
    assert muster.registration == now
    assert conduit_fake.requests == []


def test_register_on_conduit(conduit_fake, muster_on):
    hs = conduit_fake
    muster = muster_on(hs, org=small.org())
    got = muster.run("register", expect=0)
    assert "the homeserver reaches us" in got.out
    assert set(hs.appservices) == {"muster"}
    assert hs.appservices["muster"].registration["as_token"] == (
        muster.registration["as_token"])
    sent = len([e for e in hs.admin.room.events
                if e["type"] == "m.room.message"])
    got = muster.run("register", "--json", expect=0)
    assert got.json == {"registered": True}
    assert "already registered" in got.err
    assert len([e for e in hs.admin.room.events
                if e["type"] == "m.room.message"]) == sent
    # Also while the service runs, which then answers the homeserver.
    muster.start()
    got = muster.run("register", expect=0)
    assert "already registered" in got.out
    assert ("appservice.listen is in use: a running `muster serve`, or another "
            "`muster register`, answers the homeserver, presumably") in got.out
    muster.stop()
    # Somebody more: registered anew.
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    muster.run("register", expect=0)
    assert hs.appservices["muster"].owns(full("dora.ic"))


def test_register_as_a_whole_user_id(conduit_fake, muster_on):
    """An administrator's name, with its server or without: also where the
    account is made."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org(), homeserver={
        "admin": {"user": full("operator"),
                  "password": {"file": "secrets/made"}}})
    muster.run("register", expect=0)
    assert set(hs.appservices) == {"muster"}
    assert hs.user("operator").password == muster.read("secrets/made")
    muster.run("register", expect=0)


def test_register_where_a_file_is_wanted(synapse_fake, muster_on):
    hs = synapse_fake
    muster = muster_on(hs, org=small.org())
    got = muster.run("register", expect=3)
    assert "app_service_config_files" in got.out
    assert f"- {os.path.realpath(muster.registration_path)}" in got.out
    assert muster.run("register", "--json", expect=3).json == {
        "registered": False}
    hs.add_appservice(muster.registration_path)
    assert "already registered" in muster.run("register", expect=0).out


def test_register_goes_wrong(conduit_fake, muster_on):
    hs = conduit_fake
    hs.operator(password="another password")
    muster = muster_on(hs, org=small.org())
    got = muster.run("register", expect=1)
    assert "password for operator" in got.err.splitlines()[-1]
    muster.config["homeserver"].pop("admin")
    muster.write_config()
    got = muster.run("register", expect=2)
    assert "homeserver.admin" in got.err.splitlines()[-1]
    hs.stop()
    got = muster.run("register", "--json", expect=1)
    assert got.json == {"registered": False}
    assert f"port {hs.port}" in got.err.splitlines()[-1]


@pytest.mark.parametrize("kind", ["auto", "conduit"])
@pytest.mark.parametrize("words", [
    ["register"], ["register", "--dry-run"], ["unregister"], ["adopt"],
    ["adopt", "--dry-run"]])
def test_no_homeserver_answers(conduit_fake, muster_on, words, kind):
    muster = muster_on(conduit_fake, org=small.org())
    muster.run("registration", expect=0)
    nobody = f"http://127.0.0.1:{free_port()}"
    muster.write_config(homeserver={"url": nobody, "kind": kind})
    got = muster.run(*words, expect=1)
    assert (f"no homeserver answers at {nobody}: start it, or correct "
            "homeserver.url; `muster doctor` looks closer (") in got.err


def test_config(fresh_on_conduit):
    muster, _ = fresh_on_conduit
    muster.env = {"MUSTER_RECONCILE_INTERVAL": "7m",
                  "MUSTER_LOG_FORMAT": "text"}
    doc = muster.json("config")
    rows = {row["path"]: row for row in doc["settings"]}
    assert doc["file"] == muster.path("muster.yaml")
    assert (rows["reconcile.interval"]["value"],
            rows["reconcile.interval"]["from"]) == ("7m", "environment")
    assert (rows["reconcile.concurrency"]["value"],
            rows["reconcile.concurrency"]["from"]) == ("8", "default")
    assert rows["homeserver.server_name"]["from"] == "file"
    assert rows["homeserver.server_name"]["line"] == 3
    text = muster.run("config", expect=0).out
    assert all(path in text for path in rows)


def test_every_setting_by_the_environment(fresh_on_conduit):
    """No setting is left out, and each has the name that it should have."""
    muster, _ = fresh_on_conduit
    values = {"homeserver.kind": "synapse", "appservice.id": "other",
              "handoff.device_id": "OTHER", "store.path": "other.db",
              "reconcile.password": "none", "direct.team_peers": "false",
              "ops.socket": "other.sock", "log.level": "debug",
              "homeserver.public_url": "http://elsewhere:1"}
    muster.env = {"MUSTER_" + path.replace(".", "_").upper(): value
                  for path, value in values.items()}
    rows = {row["path"]: row for row in muster.json("config")["settings"]}
    for path, value in values.items():
        assert rows[path]["from"] == "environment"
        assert rows[path]["value"].endswith(value), rows[path]


# -- wrong use


def use(tmp_path, *words, **env):
    return subprocess.run([binary(), *words], cwd=tmp_path, text=True,
                          capture_output=True, env=environment(**env),
                          timeout=30)


def test_one_document_whatever_comes_of_it(tmp_path):
    """What has none says so, and does nothing."""
    assert use(tmp_path, "init", "--json").returncode == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words, said", [
    (["statsu"], 'there is no verb "statsu": did you mean "status"?'),
    (["agent"], 'did you mean "agents"?'),
    (["Serve"], 'did you mean "serve"?'),
    # or whose beginning was written
    (["health"], 'did you mean "healthcheck"?'),
    (["reg"], 'did you mean "registration"?'),
    (["un"], "`muster help` lists them"),
    (["frobnicate"], "`muster help` lists them"),
    ([""], "`muster help` lists them"),
    (["help", "statsu"], 'did you mean "status"?'),
    (["status", "now"], 'takes no argument "now"'),
    (["approve", "all"], 'takes no argument "all"'),
    (["retire"], "retire takes one user"),
    (["direct", "a"], "direct takes the two users"),
    (["direct", "a", "b", "c"], 'takes no argument "c"'),
    (["status", "--with", "x"], "--with is of `muster plan`"),
    (["status", "--homeserver", "http://x"], "--homeserver is of `muster init`"),
    (["healthcheck", "--wait", "5s"], "--wait goes with --homeserver"),
    (["healthcheck", "--homeserver", "http://x", "--wait", "soon"],
     "--wait soon: expected a duration"),
    (["plan", "--jsn"],
     'there is no option "--jsn": did you mean "--json"?'),
    (["rotate", "--evry=12h"],
     'there is no option "--evry": did you mean "--every"?'),
    (["--evry", "12h", "rotate"], 'did you mean "--every"?'),
    # --now is near, but not of this one
    (["plan", "--mow"],
     'there is no option "--mow": `muster help plan` lists them'),
    (["rotate", "--mow"], 'did you mean "--now"?'),
    (["plan", "--al"], "--all is of `muster rotate`"),
    (["--what", "status"],
     'there is no option "--what": `muster help status` lists them'),
    (["-x"], 'there is no option "-x": `muster help VERB` lists them'),
    # A letter is no option because one begins with it.
    (["-v"], 'there is no option "-v": `muster help VERB` lists them'),
    (["register", "-n"],
     'there is no option "-n": `muster help register` lists them'),
    (["-dn", "register"], 'there is no option "-d"'),
    (["-c"], "--config needs a value: FILE"),
    (["rotate", "--every"], "--every needs a value: T"),
    (["--json=yes", "status"], "--json takes no value"),
    (["init", "--json"], "init has no document: leave out --json"),
    (["status", "--why", "x"], "--why is of `muster rotate`"),
    ([], "usage: muster")])
def test_wrong_use(tmp_path, words, said):
    got = use(tmp_path, *words)
    assert got.returncode == 2
    assert got.stdout == ""
    assert said in got.stderr


def test_help_and_version(tmp_path):
    got = use(tmp_path, "help")
    # Each explanation begins in one column, also below long arguments.
    lines = got.stdout.split("\n\n")[1].splitlines()
    assert sum(x.startswith(("  init ", "  rotate ")) for x in lines) == 2
    for line in lines:
        assert line.startswith(("  init ", "  rotate ")) or (
            line[32] == " " != line[33]), line
    assert got.returncode == 0 and got.stderr == ""
    assert got.stdout == use(tmp_path, "--help").stdout
    verbs = [line.split()[0] for line in got.stdout.splitlines()
             if line.startswith("  ") and line[2] != " "]
    assert {"init", "check", "registration", "register", "serve", "config",
            "healthcheck", "help", "version", "retry", "approve", "retire",
            "direct", *VIEWS} <= set(verbs)
    for verb in verbs:
        one = use(tmp_path, "help", verb)
        assert one.returncode == 0 and f" {verb}" in one.stdout
        assert one.stdout == use(tmp_path, verb, "x", "--help").stdout
        assert ("--json" in one.stdout) is (verb != "init")
    version = use(tmp_path, "version").stdout
    assert version == use(tmp_path, "--version").stdout
    assert version == "muster " + json.loads(
        use(tmp_path, "version", "--json").stdout)["version"] + "\n"


def test_help_as_a_document(tmp_path):
    """The tables from which completions and manual pages are made."""
    tables = json.loads(use(tmp_path, "help", "--json").stdout)
    verbs = {row["name"]: row for row in tables["verbs"]}
    assert list(verbs) == [
        line.split()[0] for line in use(tmp_path, "help").stdout.splitlines()
        if line.startswith("  ") and line[2] != " "]
    assert verbs["rotate"]["args"].startswith("USER...|--all ")
    options = {row["name"]: row for row in tables["options"]}
    assert options["why"] == {
        "name": "why", "value": "TEXT", "verbs": ["rotate", "revoke"],
        "help": options["why"]["help"]}
    assert options["json"]["verbs"] == []
    settings = {row["path"]: row for row in tables["settings"]}
    assert settings["store.takeover"]["allowed"] == "3s..10m"
    assert settings["store.takeover"]["default"] == "60s"
    assert settings["homeserver.url"]["default"] is None
    assert settings["log.level"]["reloadable"] is True
    one = json.loads(use(tmp_path, "help", "revoke", "--json").stdout)
    assert one["verbs"] == [verbs["revoke"]]
    assert {row["name"] for row in one["options"]} == {
        "config", "json", "help", "version", "why"}


def test_the_example_of_each_verb(fresh_on_conduit):
    """Each stands in the help of its verb, uses nothing but what this verb
    takes, and is no wrong use."""
    muster, _ = fresh_on_conduit
    shutil.copy(muster.path("muster.yaml"), muster.path("new.yaml"))
    os.symlink(".", muster.path("fleet"))
    bin_dir = muster.path("bin")
    os.mkdir(bin_dir)
    os.symlink(binary(), os.path.join(bin_dir, "muster"))
    env = environment(PATH=f"{bin_dir}:{os.environ['PATH']}")
    rows = json.loads(use(muster.dir, "help", "--json").stdout)
    for row in rows["verbs"]:
        name, example = row["name"], row["example"]
        assert re.match(rf"muster (-\S+ \S+ )?{name}\b", example), row
        assert use(muster.dir, name, "--help").stdout.endswith(
            f"\nexample:\n  $ {example}\n")
        taken = {f"--{o['name']}" for o in rows["options"]
                 if not o["verbs"] or name in o["verbs"]}
        assert set(re.findall(r"--[a-z-]+", example)) <= taken, row
        # These two would stay, or talk to the homeserver.
        if name in ("serve", "register"):
            continue
        os.makedirs(muster.path("elsewhere"), exist_ok=True)
        got = subprocess.run(
            ["sh", "-c", example], text=True, capture_output=True, env=env,
            cwd=muster.path("elsewhere" if name == "init" else "."),
            timeout=60)
        assert got.returncode in (0, 1, 3), (example, got.stderr)


def test_where_options_stand(fresh_on_conduit):
    muster, _ = fresh_on_conduit
    path = muster.path("muster.yaml")
    ways = [use("/", "-c", path, "agents", "--json"),
            use("/", "--json", "agents", "-c", path),
            use("/", "agents", "--json", f"--config={path}"),
            use("/", "agents", "--json", MUSTER_CONFIG=path),
            use(muster.dir, "agents", "--json")]
    assert [w.returncode for w in ways] == [0] * len(ways)
    assert len({w.stdout for w in ways}) == 1


def test_the_output_cannot_be_written(fresh_on_conduit):
    muster, _ = fresh_on_conduit
    with open("/dev/full", "wb") as full_disk:
        done = subprocess.run(
            [binary(), "-c", muster.path("muster.yaml"), "agents"],
            stdout=full_disk, stderr=subprocess.PIPE, text=True,
            env=environment())
    assert done.returncode == 1
    assert "was not written" in done.stderr


def test_a_row_for_every_member(declared):
    """Other programs may read this table."""
    muster, hs = declared
    rows = muster.query(
        "SELECT typeof(room_id), typeof(user_id), typeof(membership) "
        "FROM membership")
    assert set(rows) == {("text",) * 3}
    human = hs.human(HUMAN)
    human.join(hs.room("all-employees").room_id)
    small.wait_settled(muster, hs)
    assert small.stored_memberships(muster) == small.memberships(hs)
