"""Settings that reach further than one value: structures in the environment,
names that are none, a prefix that covers too much; and what `status` counts."""

import json
import os
import re
import subprocess

import pytest

from support import small
from support.muster import binary
from support.process import environment, wait_until


@pytest.fixture
def configured(conduit_fake, muster_on):
    """A muster with a right configuration, and nothing done."""
    return muster_on(conduit_fake, org=small.org())


def check(muster, **variables):
    return subprocess.run(
        [binary(), "-c", muster.path("muster.yaml"), "check", "--json"],
        env=environment(**variables), capture_output=True, text=True,
        check=False)


# What is shown of each setting that nobody has set; None: nothing.
DEFAULTS = {
    "homeserver.kind": "auto", "homeserver.admin.user": None,
    "homeserver.admin.password": None, "homeserver.registration_token": None,
    "homeserver.ca_file": None, "appservice.id": "muster",
    "appservice.sender": "muster", "appservice.sender_name": "Muster",
    "appservice.listen": "127.0.0.1:29400",
    "appservice.url": "http://127.0.0.1:29400",
    "appservice.registration": "DIR/registration.yaml",
    "appservice.legacy_paths": "true", "appservice.query_token": "true",
    "namespace": "declared", "namespace.prefix": None, "fleet.config": None,
    "fleet.humans": None, "fleet.agents": None,
    "direct.manager_report": "true", "direct.manager_peers": "true",
    "direct.team_peers": "true", "handoff.root": "DIR/runtime",
    "handoff.device_id": "MUSTER", "handoff.owner": None,
    "store.path": "DIR/muster.db", "store.network": "auto",
    "store.takeover": "60s", "reconcile.concurrency": "8",
    "reconcile.interval": "5m", "reconcile.password": "random",
    "ops.socket": "DIR/muster.sock", "ops.listen": None,
    "log.level": "info", "log.format": "json",
    "rooms": "[{alias: all-employees, members: {everyone: true}}, "
             '{alias: "{department}-leadership", '
             "members: {level: [VP, Director]}}, "
             '{alias: "{team}-team", members: {team: "{team}"}}]'}
NEEDED = {"homeserver.url", "homeserver.server_name", "fleet.org"}


def settings_of(muster):
    return {row["path"]: row for row in muster.json("config")["settings"]}


@pytest.fixture
def all_set(configured):
    """Every setting has a value that is not its default."""
    muster = configured
    muster.write("ca.pem", "")
    muster.write("config.yaml", "departments: {}\n")
    muster.write_config(
        homeserver={"public_url": "http://elsewhere:1", "kind": "synapse",
                    "registration_token": "a-token", "ca_file": "ca.pem"},
        appservice={"id": "other", "sender": "other", "sender_name": "Other",
                    "registration": "other.yaml", "legacy_paths": False,
                    "query_token": False},
        fleet={"config": "config.yaml", "humans": ["@kim:elsewhere.org"],
               "agents": [{"id": "extra"}]},
        rooms=[{"alias": "hall", "members": {"everyone": True}}],
        direct={"manager_report": False, "manager_peers": False,
                "team_peers": False},
        handoff={"root": "other", "device_id": "OTHER", "owner": "1:1"},
        store={"path": "other.db", "network": True, "takeover": "90s"},
        reconcile={"concurrency": 3, "interval": "7m", "password": "none"},
        ops={"socket": "other.sock", "listen": "127.0.0.1:29499"},
        log={"level": "debug", "format": "text"})
    return muster


def test_a_variable_that_overrules_the_file(conduit_fake, muster_on):
    """Is named, with the line that has no effect."""
    muster = muster_on(conduit_fake, org=small.org())
    muster.write_config(store={"path": "file.db"})
    line = 1 + muster.read("muster.yaml").splitlines().index(
        "  path: file.db")
    muster.env = {"MUSTER_STORE_PATH": "other.db", "MUSTER_LOG_LEVEL": "warn"}
    rows = settings_of(muster)
    row = rows["store.path"]
    assert row["value"].endswith("/other.db")
    assert (row["from"], row["variable"], row["overruled_line"]) == (
        "environment", "MUSTER_STORE_PATH", line)
    assert rows["log.level"]["variable"] == "MUSTER_LOG_LEVEL"
    assert "overruled_line" not in rows["log.level"]
    assert "variable" not in rows["homeserver.url"]
    told = muster.run("config", expect=0).out
    assert re.search(rf"^store.path +MUSTER_STORE_PATH, not line {line} +no "
                     r"+\S+/other.db$", told, re.M)
    assert re.search("^log.level +MUSTER_LOG_LEVEL +yes +warn$", told, re.M)


def test_every_setting_by_an_empty_variable(all_set):
    """It sets the default, whatever the file says, and nothing crashes."""
    muster = all_set
    paths = settings_of(muster)
    assert set(DEFAULTS) | NEEDED <= set(paths)
    for path in paths:
        name = "MUSTER_" + path.replace(".", "_").upper()
        muster.env = {name: ""}
        if path in NEEDED:
            for verb in ("check", "config"):
                got = muster.run(verb, expect=2)
                assert f"{name}: must be given" in got.err or (
                    "fleet" in path and "fleet.org" in got.err)
            continue
        assert muster.run("check").code == 0, path
        row = settings_of(muster)[path]
        if path in DEFAULTS:
            want = DEFAULTS[path]
            assert row["value"] == (
                want and want.replace("DIR", muster.dir)), path
            assert row["from"] == "environment"
    muster.env = {"MUSTER_" + path.replace(".", "_").upper(): ""
                  for path in DEFAULTS}
    rows = settings_of(muster)
    for path, want in DEFAULTS.items():
        assert rows[path]["value"] == (
            want and want.replace("DIR", muster.dir)), path


def test_an_empty_variable_is_not_nought(fresh_on_conduit):
    """The service works with the default's numbers and names."""
    muster, hs = fresh_on_conduit
    muster.write_config(handoff={"device_id": "OTHER"},
                        reconcile={"concurrency": 3, "interval": "1s"})
    muster.env = {"MUSTER_RECONCILE_CONCURRENCY": "",
                  "MUSTER_RECONCILE_INTERVAL": "",
                  "MUSTER_HANDOFF_DEVICE_ID": "", "MUSTER_STORE_PATH": ""}
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


def test_structures_by_the_environment(configured):
    got = check(configured, MUSTER_FLEET_HUMANS='["@kim:elsewhere.org"]',
                MUSTER_ROOMS="[{alias: Town-Hall, members: "
                             "{everyone: true}}]")
    assert got.returncode == 0, got.stderr
    doc = json.loads(got.stdout)
    assert (doc["humans"], doc["rooms"]) == (2, 1)


@pytest.mark.parametrize("name, text, said", [
    ("MUSTER_ROOMS", "[{alis: x}]",
     'MUSTER_ROOMS:1:3: rooms[0]: unknown key "alis": did you mean alias?'),
    ("MUSTER_ROOMS", "[{alias: x, members: {everyone: 1}}]",
     "MUSTER_ROOMS:1:33: rooms[0].members.everyone: expected true"),
    ("MUSTER_ROOMS", "[{", "MUSTER_ROOMS:2:1: "),
    ("MUSTER_ROOMS", "hall", "MUSTER_ROOMS:1:1: rooms: expected a list"),
    ("MUSTER_FLEET_HUMANS", "kim",
     "MUSTER_FLEET_HUMANS:1:1: fleet.humans: expected a list"),
    ("MUSTER_FLEET_HUMANS", "[{id: kim, nam: K}]",
     'MUSTER_FLEET_HUMANS:1:12: fleet.humans[0]: unknown key "nam"'),
    ("MUSTER_FLEET_AGENTS", "[{id: anna.vp}]",
     "MUSTER_FLEET_AGENTS:1:7: @anna.vp:fleet.test is there twice"),
    ("MUSTER_FLEET_AGENTS", "[a]",
     "MUSTER_FLEET_AGENTS:1:2: fleet.agents[0]: expected a map")])
def test_wrong_structure_in_the_environment(configured, name, text, said):
    """The place is in the variable."""
    got = check(configured, **{name: text})
    assert got.returncode == 2
    assert any(line.startswith(said) for line in got.stderr.splitlines()), got
    finding = json.loads(got.stdout)["findings"][0]
    assert (finding["file"], finding["line"], finding["column"]) == (
        name, *map(int, said.split(":")[1:3]))


@pytest.mark.parametrize("public", [None, "http://conduit.internal:6167"])
def test_slashes_at_the_end_of_a_url(fresh_on_conduit, public):
    """They are not handed on: others put a path behind it. AS-07."""
    muster, hs = fresh_on_conduit
    muster.write_config(homeserver={
        "url": hs.url + "//", "public_url": public and public + "/"})
    rows = settings_of(muster)
    assert rows["homeserver.url"]["value"] == hs.url
    assert rows["homeserver.public_url"]["value"] == (public or hs.url)
    muster.start()
    small.wait_settled(muster, hs)
    assert small.status(muster)["homeserver"]["url"] == hs.url
    assert muster.handoff("anna.vp")["homeserver"] == (public or hs.url)
    assert f'"homeserver":"{hs.url}"' in muster.daemon.output()
    assert f"{hs.url}/" not in muster.daemon.output()


def test_what_holds_is_shown(configured):
    """Also where it is the value of another setting, or no single one."""
    muster = configured
    os.unlink(muster.path("org.json"))  # which `config` does not need
    rows = settings_of(muster)
    for path, want in DEFAULTS.items():
        if rows[path]["from"] == "default":
            assert rows[path]["value"] == (
                want and want.replace("DIR", muster.dir)), path
    url = muster.config["homeserver"]["url"]
    assert (rows["homeserver.public_url"]["value"],
            rows["homeserver.public_url"]["from"]) == (url, "default")
    assert rows["namespace"]["value"] == "declared"
    muster.write_config(namespace={"prefix": "x-"})
    rows = settings_of(muster)
    assert (rows["namespace"]["value"], rows["namespace"]["from"],
            rows["namespace"]["line"]) == (
        "{prefix: x-}", "file", rows["namespace.prefix"]["line"])


def test_the_default_policy_as_text_is_the_default(configured):
    muster = configured
    without = muster.json("rooms"), muster.run("check", expect=0).out
    muster.env = {"MUSTER_ROOMS": settings_of(muster)["rooms"]["value"]}
    assert (muster.json("rooms"), muster.run("check", expect=0).out) == without
    muster.env = {"MUSTER_ROOMS": "[]"}
    assert muster.json("rooms") != without[0]


def test_structures_are_shown(configured):
    muster = configured
    muster.write_config(
        rooms=[{"alias": "hall", "members": {"level": ["VP"]},
                "strict": False, "topic": None, "name": "1 \"x\""}])
    muster.env = {"MUSTER_FLEET_HUMANS": "['@kim:e.org', {id: lee, name: no}]",
                  "MUSTER_FLEET_AGENTS": "[]"}
    rows = settings_of(muster)
    assert [json.loads(rows[path]["value"]) for path in (
        "rooms", "fleet.humans", "fleet.agents")] == [
        muster.config["rooms"],
        ["@kim:e.org", {"id": "lee", "name": "no"}], []]
    # In words as well; a long one widens no other line.
    muster.env = {"MUSTER_FLEET_AGENTS": str(
        [{"id": f"agent-{i}", "team": True} for i in range(99)])}
    lines = {line.split()[0]: line for line in muster.run(
        "config", expect=0).out.splitlines()}
    assert json.dumps(muster.config["rooms"]) in lines["rooms"]
    assert '{"id": "agent-98", "team": true}]' in lines["fleet.agents"]
    assert len(lines["log.level"]) < 80


def test_variable_that_is_no_setting(configured):
    got = check(configured, MUSTER_RECONCILE_CONCURENCY="3")
    assert got.returncode == 0
    assert "MUSTER_RECONCILE_CONCURENCY is no setting" in got.stdout


def test_prefix_that_covers_the_homeserver_s_bot(configured):
    """Found by `check`, and the registration that is there stays."""
    configured.run("registration", expect=0)
    before = configured.read("registration.yaml")
    configured.write_config(namespace={"prefix": "con"})
    for verb in ("check", "registration"):
        got = configured.run(verb, expect=2)
        assert "covers @conduit" in got.err
    assert configured.read("registration.yaml") == before


def test_namespace_by_the_environment(configured):
    """In both forms of the file, and instead of what the file says."""
    muster = configured

    def of(**env):
        muster.env = env
        row = settings_of(muster)["namespace.prefix"]
        return row["value"], row["from"]

    muster.write_config(namespace={"prefix": "x-"})
    assert of() == ("x-", "file")
    for text in ("declared", ""):
        assert of(MUSTER_NAMESPACE=text) == (None, "environment")
        muster.run("check", expect=0)
    assert of(MUSTER_NAMESPACE_PREFIX="") == (None, "environment")
    for env in ({"MUSTER_NAMESPACE": "{prefix: agent-}"},
                {"MUSTER_NAMESPACE_PREFIX": "agent-"},
                {"MUSTER_NAMESPACE": "", "MUSTER_NAMESPACE_PREFIX": "agent-"},
                {"MUSTER_NAMESPACE": '{"prefix": "agent-"}',
                 "MUSTER_NAMESPACE_PREFIX": ""}):
        assert of(**env) == ("agent-", "environment")
        got = muster.run("check", expect=2)
        assert 'an agent\'s id must start with "agent-"' in got.err
    muster.write_config(namespace="declared")
    assert of(MUSTER_NAMESPACE="{prefix: agent-}") == ("agent-", "environment")


@pytest.mark.parametrize("env, said", [
    ({"MUSTER_NAMESPACE": "{prefix: con}"},
     r"MUSTER_NAMESPACE:1:10: namespace\.prefix: \"con\" covers @conduit"),
    ({"MUSTER_NAMESPACE": "{prefx: a-}"},
     r'MUSTER_NAMESPACE:1:2: unknown setting "namespace\.prefx": did you mean '
     '"prefix"'),
    ({"MUSTER_NAMESPACE": "{prefix: "}, r"MUSTER_NAMESPACE:\d+:\d+: "),
    ({"MUSTER_NAMESPACE": "agent-"},
     'MUSTER_NAMESPACE: must be one of declared, not "agent-"'),
    ({"MUSTER_NAMESPACE": "declared", "MUSTER_NAMESPACE_PREFIX": "a-"},
     "MUSTER_NAMESPACE_PREFIX: MUSTER_NAMESPACE is set as well")])
def test_wrong_namespace_by_the_environment(configured, env, said):
    configured.env = env
    assert re.search(said, configured.run("check", expect=2).err)


def test_status_counts_who_has_not_answered(settled):
    muster, _ = settled
    now = small.status(muster)
    invited = sum(len(r["invited"]) for r in muster.json("rooms"))
    assert invited > 0
    assert (now["unanswered"], now["held"]) == (invited, 0)


def test_store_that_is_taken_away(settled):
    """Nothing can be kept any more: it is said, and nothing is ready."""
    muster, _ = settled
    os.unlink(muster.path("muster.db"))
    why = wait_until(lambda: small.status(muster)["why_not"], 10,
                     "the service is not ready")
    assert any("was removed or replaced" in w for w in why)
    muster.run("healthcheck", expect=3)


def test_generation_that_nobody_counts_to(settled):
    """A file with a huge generation, whole but not ours, is replaced."""
    muster, _ = settled
    muster.stop()
    path = os.path.join(muster.runtime_dir(muster.agents()[0]), "matrix.json")
    with open(path, encoding="utf-8") as f:
        doc = json.load(f)
    doc["generation"] = 2**53 - 1
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f)
    muster.start()
    muster.wait_settled()
    assert muster.handoff(muster.agents()[0])["generation"] == 2
