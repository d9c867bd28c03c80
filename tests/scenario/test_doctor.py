"""What is wrong with tokens and their files is named, with what mends it; and
how far each agent is with its token is to be seen."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from support import small
from support.client import Client
from support.fakehs import answer
from support.process import free_port
from support.small import AGENTS, full

AGENT = "anna.vp"
OTHER = "ben.man"
HOUR = 3600 * 1000


@pytest.fixture
def fresh_ones(fresh_on_conduit):
    """(muster, homeserver), nothing done yet; one department has a name of two
    words. In the end nothing secret was shown."""
    muster, hs = fresh_on_conduit
    hs.allow_registration = False
    org = small.org()
    next(p for p in org["people"] if AGENT in p["matrixId"])[
        "department"] = "Field Ops"
    muster.write_org(org)
    muster.write_config(reconcile={"interval": "5m"}, handoff={"wait": "2s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    yield muster, hs
    muster.assert_no_secret_shown()


@pytest.fixture
def served(fresh_ones):
    """Everything as declared, and nobody mends by himself what a test
    breaks."""
    muster, hs = fresh_ones
    muster.age()
    muster.start()
    small.wait_settled(muster, hs)
    return muster, hs


def folder(muster, localpart=AGENT):
    return muster.runtime_dir(localpart)


def file_of(muster, localpart=AGENT):
    return os.path.join(folder(muster, localpart), "matrix.json")


def symptoms(muster, agents=len(AGENTS)):
    """[(check, subject, what, fix)], of the running service or without."""
    got = muster.run("doctor", "--json")
    assert got.code == (3 if got.json["findings"] else 0), got
    assert set(got.json) == {"findings", "checked", "service", "secrets"}
    assert got.json["service"] is muster.running()
    assert got.json["checked"] >= agents
    for f in got.json["findings"]:
        assert set(f) == {"check", "subject", "what", "why", "fix"}
        assert all(isinstance(v, str) and v for v in f.values())
    return [(f["check"], f["subject"], f["what"], f["fix"])
            for f in got.json["findings"]]


def the_symptom(muster, check, words, localpart=AGENT):
    """The only one there is; what mends it."""
    found = symptoms(muster)
    assert len(found) == 1, found
    assert found[0][:2] == (check, full(localpart))
    assert words in found[0][2]
    # The same in words, in one line.
    said = muster.run("doctor", expect=3)
    line, = [text for text in said.out.splitlines() if full(localpart) in text]
    assert line.startswith(f"{check} ") and found[0][3] in line
    assert said.err == ""
    return found[0][3]


def commands(fix):
    """What stands between backticks, of muster's the words after it."""
    return re.findall(r"`([^`]*)`", fix)


def do(muster, fix):
    """Every command that it names, in its order."""
    for command in commands(fix):
        if command.startswith("muster "):
            muster.run(*command.split()[1:], expect=0)
        else:
            subprocess.run(command, shell=True, check=True, cwd=muster.dir)


def assert_well(muster):
    assert symptoms(muster) == []
    assert re.search(r"^nothing is wrong, in \d+ looks$",
                     muster.run("doctor", expect=0).out, re.M)


def change(muster, sql, *values):
    """Of the store of a service that has ended."""
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        db.execute(sql, values)
        db.commit()


def acknowledge(muster, localpart=AGENT):
    muster.answer_as_agent(localpart)
    muster.daemon.wait_for(
        lambda: small.agent(muster, localpart)["state"] == "acknowledged", 20,
        f"{localpart} acknowledged")


def asked_who(hs):
    return [r for r in hs.requests if r.path.endswith("/account/whoami")]


# -- nothing


def test_nothing_is_wrong(served):
    muster, hs = served
    assert_well(muster)
    assert "no service runs" not in muster.run("doctor", expect=0).out
    assert small.ask(muster, "/v1/doctor")[1]["findings"] == []
    muster.stop()
    hs.clear_log()
    assert symptoms(muster) == []
    # It asks about the tokens itself, as nobody else does; and whom its own
    # token stands for, whether it may be each agent, and not somebody else.
    assert len(asked_who(hs)) == 2 * len(AGENTS) + 2
    # And nothing is changed by it.
    assert hs.find("PUT", "") == [] and {
        r.path for r in hs.find("POST", "")} == {
            "/_matrix/client/v3/register",
            "/_matrix/client/v1/appservice/muster/ping"}
    assert "no service runs" in muster.run("doctor", expect=0).out


def test_before_anything_was_started(fresh_ones):
    muster, hs = fresh_ones
    found = symptoms(muster, agents=0)
    assert [f[:2] for f in found] == [("sender", full("muster"))]
    assert "does not exist yet" in found[0][2]
    assert not os.path.exists(muster.path("muster.db"))
    assert not os.path.exists(muster.path("runtime"))
    do(muster, found[0][3])
    assert symptoms(muster, agents=0) == []


def test_use(served):
    muster, _ = served
    muster.run("doctor", "everything", expect=2)
    assert "doctor [--json]" in muster.run("doctor", "--help", expect=0).out
    assert "muster: " not in muster.run("doctor", expect=0).err


# -- who else can see and change it


def shown(path):
    os.chmod(path, 0o640)


def linked(path):
    os.link(path, os.path.dirname(path) + "/kept")


def given_away(path):
    os.chown(path, 4711, -1)


def not_for_its_owner(path):
    os.chmod(path, 0o200)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may")


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("spoil, words", [
    (shown, "can be read by others"), (linked, "has another name"),
    pytest.param(given_away, "belongs to another user", marks=root_only),
    (not_for_its_owner, "cannot be read by its owner")])
def test_a_file_that_others_can_read(served, spoil, words, running):
    muster, hs = served
    if not running:
        muster.stop()
    old = muster.handoff(AGENT)["access_token"]
    spoil(file_of(muster))
    fix = the_symptom(muster, "file", words)
    assert f"muster rotate {full(AGENT)} --now" in fix
    if running:
        do(muster, fix)
        assert old not in hs.tokens_of(AGENT)
        if spoil is linked:
            os.unlink(folder(muster) + "/kept")
        assert_well(muster)
    else:
        assert "`muster serve`" in fix
    muster.assert_no_secret_shown({old})


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("which", ["", "..", "../.."])
def test_a_directory_that_others_can_write(served, which, running):
    muster, _ = served
    if not running:
        muster.stop()
    os.chmod(os.path.join(folder(muster), which), 0o777)
    found = symptoms(muster)
    # Everybody's is below the root.
    if which == "../..":
        assert found.pop(0)[:3] == (
            "root", muster.runtime, "everybody can write there")
    assert len(found) == (len(AGENTS) if which == "../.." else 1)
    for check, _, what, _ in found:
        assert check == "directory" and "can be written by others" in what
    mine = next(f for f in found if f[1] == full(AGENT))
    assert commands(mine[3])[0].startswith("chmod go-w '") or which == "../.."
    do(muster, mine[3])
    assert_well(muster)


def test_a_root_in_which_everybody_has_their_own(served):
    muster, _ = served
    os.chmod(muster.runtime, 0o1777)
    assert_well(muster)


@root_only
def test_a_directory_that_is_not_the_agents(fresh_ones):
    muster, hs = fresh_ones
    muster.write_config(handoff={"owner": "4711:4711"})
    muster.start()
    small.wait_settled(muster, hs)
    assert_well(muster)
    os.chown(folder(muster), 0, 0)
    # Who reads it has to think that the file is somebody else's.
    directory, file = symptoms(muster)
    assert directory[:2] == ("directory", full(AGENT))
    assert "is not the agent's" in directory[2]
    assert commands(directory[3]) == [f"chown 4711:4711 '{folder(muster)}'"]
    assert file[:2] == ("file", full(AGENT))
    do(muster, directory[3])
    assert_well(muster)


def test_a_directory_on_another_device(served):
    muster, _ = served
    path = folder(muster)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none",
                       path]).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        found = symptoms(muster)
        assert [f[:2] for f in found] == [
            ("directory", full(AGENT)), ("file", full(AGENT))]
        assert "another device than handoff.root" in found[0][2]
        do(muster, found[0][3])
    finally:
        subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL)
    assert_well(muster)


@pytest.mark.parametrize("running", [True, False])
def test_a_link_in_place_of_a_directory(served, running):
    muster, _ = served
    if not running:
        muster.stop()
    path = folder(muster)
    os.rename(path, path + ".moved")
    os.symlink(path + ".moved", path)
    the_symptom(muster, "directory", "cannot be looked at")


# -- is it what was handed over


def gone(muster):
    os.unlink(file_of(muster))


def all_gone(muster):
    os.rename(folder(muster), muster.path("elsewhere"))


def damaged(muster):
    with open(file_of(muster), "r+", encoding="utf-8") as f:
        f.truncate(40)


def of_another_agent(muster):
    with open(file_of(muster, OTHER), encoding="utf-8") as f:
        other = f.read()
    with open(file_of(muster), "w", encoding="utf-8") as f:
        f.write(other)


def a_folder(muster):
    os.unlink(file_of(muster))
    os.mkdir(os.path.join(muster.runtime, "Field Ops", AGENT, "matrix.json"))


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("spoil, words", [
    (gone, "its file is gone"), (all_gone, "its file is gone"),
    (damaged, "its file cannot be used: "), (of_another_agent, "is another agent's"),
    (a_folder, "is no regular file")])
def test_a_file_that_is_not_as_it_was_handed_over(
        served, spoil, words, running):
    muster, hs = served
    if not running:
        muster.stop()
    before = muster.handoff(AGENT)
    spoil(muster)
    fix = the_symptom(muster, "file", words)
    if spoil is a_folder:
        os.rmdir(os.path.join(
            muster.runtime, "Field Ops", AGENT, "matrix.json"))
    if running:
        muster.run("rotate", full(AGENT), "--now", expect=0)
        assert spoil is a_folder or commands(fix) == [
            f"muster rotate {full(AGENT)} --now"]
    else:
        assert "`muster serve`" in fix
        muster.start()
        small.wait_settled(muster, hs)
    assert muster.handoff(AGENT)["generation"] > before["generation"]
    assert_well(muster)


def test_a_file_of_another_generation(served):
    muster, _ = served
    with open(file_of(muster), encoding="utf-8") as f:
        old = f.read()
    muster.run("rotate", AGENT, expect=0)
    with open(file_of(muster), "w", encoding="utf-8") as f:
        f.write(old)
    the_symptom(muster, "file", "has another generation: 1, and not 2")
    muster.stop()
    the_symptom(muster, "file", "has another generation: 1, and not 2")


def test_a_file_that_comes_back_after_a_revocation(served):
    muster, _ = served
    with open(file_of(muster), encoding="utf-8") as f:
        old = f.read()
    muster.run("revoke", AGENT, expect=0)
    blocked, = symptoms(muster)
    assert blocked[0] == "agent"
    with open(file_of(muster), "w", encoding="utf-8") as f:
        f.write(old)
    found = symptoms(muster)
    assert [f[0] for f in found] == ["agent", "file"]
    assert "were taken away" in found[1][2]
    do(muster, found[1][3])
    assert symptoms(muster) == [blocked]
    muster.assert_no_secret_shown({json.loads(old)["access_token"]})


# -- does its token work


def test_a_token_that_the_homeserver_has_ended(served):
    muster, hs = served
    muster.stop()
    hs.end_tokens(AGENT)
    fix = the_symptom(muster, "token", "does not know its token")
    assert commands(fix) == [
        "muster serve", f"muster rotate {full(AGENT)} --now"]
    muster.start()
    do(muster, commands(fix)[1].join("``"))
    small.wait_settled(muster, hs)
    assert_well(muster)
    muster.stop()
    assert_well(muster)


def test_a_token_of_somebody_else(served):
    muster, hs = served
    muster.stop()
    got = {a: muster.handoff(a)["access_token"] for a in (AGENT, OTHER)}
    with hs.lock:
        tokens = hs.world.tokens
        tokens[got[AGENT]], tokens[got[OTHER]] = (
            tokens[got[OTHER]], tokens[got[AGENT]])
    assert {(f[0], f[1]) for f in symptoms(muster)} == {
        ("token", full(AGENT)), ("token", full(OTHER))}


@pytest.mark.parametrize("fault", [
    answer(500, {"errcode": "M_UNKNOWN"}), answer(429, {
        "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 100000}),
    answer(401, {"errcode": "M_FORBIDDEN"})])
def test_a_homeserver_that_does_not_say(served, fault):
    """One question is enough."""
    muster, hs = served
    muster.stop()
    hs.clear_log()
    hs.fault("GET", r"/account/whoami$", fault, times=None)
    first, found = symptoms(muster)
    assert first[:2] == ("sender", full("muster"))
    assert found[:2] == ("token", hs.url)
    assert f"{len(AGENTS)} of {len(AGENTS)} tokens were not asked" in found[2]
    assert len(asked_who(hs)) <= 2


def test_a_homeserver_that_is_down(served):
    muster, hs = served
    muster.stop()
    hs.stop()
    found, = symptoms(muster)
    assert found[0] == "homeserver" and found[1].startswith("homeserver.url")
    assert "nobody listens there (refused)" in found[2]


def test_a_running_service_knows_which_tokens_work(fresh_ones):
    """It asks, one after the other; nobody asks again for the answer."""
    muster, hs = fresh_ones
    muster.write_config(handoff={"check": "100ms"})
    muster.start()
    small.wait_settled(muster, hs)
    assert_well(muster)
    hs.fault("POST", r"/v3/login$", answer(403, {"errcode": "M_FORBIDDEN"}),
             times=None)
    hs.end_tokens(AGENT)
    muster.daemon.wait_for(
        lambda: "403" in (small.agent(muster, AGENT)["error"] or ""), 20,
        "the login to fail")
    fix = the_symptom(muster, "token", "it has no token that works since ")
    assert f"muster retry {full(AGENT)}" in fix
    hs.clear_faults()
    muster.run("retry", full(AGENT), expect=0)
    small.wait_settled(muster, hs)
    assert_well(muster)


# -- has it been acknowledged


@pytest.mark.parametrize("running", [True, False])
def test_nobody_runs_it(fresh_ones, running):
    muster, hs = fresh_ones
    port = free_port()
    muster.write_config(ops={"listen": f"127.0.0.1:{port}"})
    muster.start()
    small.wait_settled(muster, hs)
    assert_well(muster)
    muster.stop()
    change(muster, "UPDATE handoff SET written_ms = written_ms - ? "
           "WHERE user_id = ?", HOUR, full(AGENT))
    if running:
        muster.start()
        small.wait_settled(muster, hs)
    fix = the_symptom(muster, "acknowledgement", "nobody runs it")
    assert f"--runtime '{folder(muster)}'" in fix
    assert muster.json("status")["acknowledgements"] == {"late": 1}
    assert "late         1 agent has not ack" in muster.run("status").out
    if running:
        assert late(port) == "1"
        acknowledge(muster)
        assert late(port) == "0"
        assert muster.json("status")["acknowledgements"] == {"late": 0}
        assert "late  " not in muster.run("status").out
        assert_well(muster)


def late(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                timeout=20) as got:
        return re.search(r"^muster_acknowledgements_late (\d+)$",
                         got.read().decode(), re.M)[1]


def test_a_newer_generation_is_not_acknowledged(served):
    """Who runs has less time than who is to be started."""
    muster, _ = served
    acknowledge(muster)
    muster.run("rotate", AGENT, "--now", expect=0)
    written = small.agent(muster, AGENT)["written_ms"]
    found = muster.daemon.wait_for(lambda: symptoms(muster), 20, "it is late")
    assert time.time() * 1000 - written > 2000
    assert found[0][0] == "acknowledgement" and len(found) == 1
    the_symptom(muster, "acknowledgement",
                "it acknowledged generation 1, and not 2")
    # One who never did has ten minutes.
    muster.run("rotate", OTHER, "--now", expect=0)
    acknowledge(muster)
    assert_well(muster)


# -- what was asked for


def test_a_rotation_that_was_not_answered(served):
    muster, _ = served
    acknowledge(muster)
    muster.run("rotate", AGENT, "--why", "spring", expect=1)
    fix = the_symptom(muster, "rotation", "unanswered")
    said = muster.run("agents", expect=0).out
    line, = [x for x in said.splitlines() if x.startswith("rotation: ")]
    assert line.startswith(
        f"rotation: {full(AGENT)}: it did not pause in time: it keeps its old "
        "token; where its program has ended, `muster rotate --now` gives it a "
        "new one (")
    assert line.endswith(": spring)")
    assert "muster serve" not in fix
    muster.run("rotate", full(AGENT), "--now", expect=0)
    acknowledge(muster)
    assert_well(muster)
    assert "rotation: " not in muster.run("agents", expect=0).out


def test_a_revocation_that_is_pending(served):
    muster, hs = served
    hs.fault("*", r"/logout/all$", answer(503, {"errcode": "M_UNKNOWN"}),
             times=None)
    muster.run("revoke", AGENT, "--why", "stolen", expect=3)
    the_symptom(muster, "revocation", "are to be ended since ")
    said = muster.run("agents", expect=0).out
    line, = [x for x in said.splitlines() if x.startswith("to be ended: ")]
    assert full(AGENT) in line and line.endswith(": stolen")
    muster.stop()
    assert "`muster serve`" in the_symptom(
        muster, "revocation", "are to be ended since ")
    hs.clear_faults()
    muster.start()
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["state"] == "blocked", 30,
        "it to be blocked")
    fix = the_symptom(muster, "agent", "it is blocked: ")
    do(muster, fix)
    assert_well(muster)


# -- agents without


def test_an_account_that_is_not_ours(conduit_fake, muster_on):
    hs = conduit_fake
    hs.operator()
    Client(hs.url).register("cleo.ic", "somebody's password")
    hs.allow_registration = False
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    fix = the_symptom(muster, "agent", "it is blocked: ", "cleo.ic")
    assert commands(fix) == [f"muster retry {full('cleo.ic')}"]
    with hs.lock:
        del hs.world.users[full("cleo.ic")]
    do(muster, fix)
    assert_well(muster)
    muster.assert_no_secret_shown()


def test_a_hand_off_that_cannot_be_written(fresh_ones):
    """It is told with the agent, tried again, and forgotten when it was."""
    muster, hs = fresh_ones
    os.makedirs(muster.path("runtime"))
    muster.write("runtime/Field Ops", "no directory\n")
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["error"], 20, "the error")
    row = small.agent(muster, AGENT)
    assert (row["state"], row["generation"]) == ("registered", 0)
    said = muster.run("agents", expect=0).out
    line, = [x for x in said.splitlines() if x.startswith(full(AGENT))]
    assert "registered, error" in line and line.endswith(row["error"])
    the_symptom(muster, "agent", f"could not be given a token: {row['error']}")
    os.unlink(muster.path("runtime/Field Ops"))
    muster.run("retry", expect=0)
    small.wait_settled(muster, hs)
    assert ", error" not in muster.run("agents", expect=0).out
    assert_well(muster)


def test_the_error_of_an_agent_that_has_a_token(served):
    """It could not have a new one, and has its old one."""
    muster, hs = served
    before = muster.handoff(AGENT)
    os.rename(folder(muster), muster.path("moved"))
    path = muster.path("runtime", "Field Ops", AGENT)
    with open(path, "w", encoding="utf-8"):
        pass
    muster.run("rotate", AGENT, "--now")
    muster.daemon.wait_for(
        lambda: small.agent(muster, AGENT)["error"], 20, "the error")
    said = muster.run("agents", expect=0).out
    assert "handed_off, error" in said
    assert "rotation: " in said
    os.unlink(path)
    muster.run("retry", full(AGENT), expect=0)
    muster.wait_handoff(AGENT, generation=before["generation"] + 1)
    small.wait_settled(muster, hs)
    assert ", error" not in muster.run("agents", expect=0).out
    assert_well(muster)
