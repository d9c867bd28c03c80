"""The first minute: what `muster init` writes, of what it finds, and what it
says."""

import json
import os
import shlex
import socket
import subprocess

import pytest
import yaml

from support import small
from support.fakehs import FakeHS
from support.muster import binary
from support.process import environment, free_port, wait_until

NEXT = ["check", "register", "serve"]
CONFIG = {"ceo": {"name": "Carla Ceo", "matrixId": small.full(small.HUMAN)},
          "departments": {small.DEPARTMENT: {
              "enabled": True, "vp": 1, "directors": 0, "managers": 0,
              "ics": 0}}}


@pytest.fixture
def run(tmp_path):
    def run(*words, **env):
        return subprocess.run(
            [binary(), *words], cwd=tmp_path, text=True, timeout=60,
            capture_output=True, env=environment(**env))
    return run


@pytest.fixture
def nobody():
    """A URL at which nothing listens; so that it is not looked for one."""
    return f"http://127.0.0.1:{free_port()}"


def written(folder):
    with open(folder / "muster.yaml", encoding="utf-8") as f:
        return yaml.safe_load(f)


def said(out):
    """{what: of it}, and the commands that follow."""
    head, tail = out.split("next:\n")
    rows = {line[:13].strip(): line[13:] for line in head.splitlines()[1:]
            if not line.startswith(" ")}
    return rows, [line.strip() for line in tail.splitlines()]


def test_an_empty_folder(run, nobody, tmp_path):
    """What is written can be checked as it stands."""
    got = run("init", "--homeserver", nobody)
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout.startswith("muster.yaml was written\n")
    rows, commands = said(got.stdout)
    assert rows["homeserver"] == f"{nobody}, which does not answer now"
    assert rows["server name"] == (
        "unknown: correct homeserver.server_name")
    assert rows["fleet"] == "one agent by hand: see fleet.agents"
    assert commands == [f"muster {verb}" for verb in NEXT]
    config = written(tmp_path)
    assert config["homeserver"]["url"] == nobody
    assert config["homeserver"]["server_name"] == "example.org"
    assert config["homeserver"]["admin"]["user"] == "admin"
    assert config["fleet"] == {
        "agents": [{"id": "helper", "name": "Helper", "department": "Lab"}]}
    got = run("check")
    assert got.returncode == 0, got.stderr
    assert got.stdout == (
        "muster.yaml is fine: 1 person, 1 agent, 0 humans of the fleet; "
        "1 room and 0 direct rooms\n")


def test_it_is_never_written_over(run, nobody, tmp_path):
    path = tmp_path / "muster.yaml"
    path.write_text("mine\n")
    got = run("init", "--homeserver", nobody)
    assert got.returncode == 1 and got.stdout == ""
    assert got.stderr == (
        "muster: muster.yaml is there already: it is left alone\n")
    assert path.read_text() == "mine\n"
    # Nor where a link points to something that is not there yet.
    os.unlink(path)
    os.symlink("elsewhere.yaml", path)
    got = run("init", "--homeserver", nobody)
    assert got.returncode == 1 and "is there already" in got.stderr
    assert os.listdir(tmp_path) == ["muster.yaml"]


def test_a_folder_that_is_not_there(run, nobody, tmp_path):
    got = run("init", "new/folder", "--homeserver", nobody, "--server-name",
              "x.example")
    assert got.returncode == 0
    assert written(tmp_path / "new/folder")["homeserver"][
        "server_name"] == "x.example"
    rows, commands = said(got.stdout)
    assert rows["server name"] == "x.example (as given)"
    assert commands == [
        f"muster -c new/folder/muster.yaml {verb}" for verb in NEXT]
    assert run(*commands[0].split()[1:]).returncode == 0
    # They can be typed as they are said, whatever it is called.
    for folder in ("a b", "it's $HOME;"):
        got = run("init", folder, "--homeserver", nobody)
        words = shlex.split(said(got.stdout)[1][0])
        assert words == ["muster", "-c", f"{folder}/muster.yaml", "check"]


def test_the_files_that_lie_there(run, nobody, tmp_path):
    (tmp_path / "org.json").write_text(json.dumps(small.org()))
    got = run("init", "--homeserver", nobody)
    rows, _ = said(got.stdout)
    assert rows["fleet"] == "org.json"
    assert rows["server name"] == f"{small.SERVER} (as in the fleet's files)"
    assert rows["admin"].startswith(f"{small.HUMAN}: ")
    config = written(tmp_path)
    assert config["fleet"] == {"org": "org.json"}
    assert config["homeserver"]["server_name"] == small.SERVER
    assert config["homeserver"]["admin"] == {
        "user": small.HUMAN, "password": {"file": "secrets/admin-password"}}
    assert run("check").returncode == 0
    os.unlink(tmp_path / "muster.yaml")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    rows, _ = said(run("init", "--homeserver", nobody).stdout)
    assert rows["fleet"] == "org.json, config.yaml"
    assert written(tmp_path)["fleet"] == {
        "config": "config.yaml", "org": "org.json"}
    got = run("check")
    assert got.returncode == 0 and " 1 agent" in got.stdout, got.stderr


def test_a_config_without_an_organisation(run, nobody, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    got = run("init", "--homeserver", nobody)
    rows, _ = said(got.stdout)
    assert rows["fleet"] == (
        "one agent by hand, as config.yaml is nothing without org.json: see "
        "fleet.agents")
    assert written(tmp_path)["homeserver"]["server_name"] == small.SERVER
    assert run("check").returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"people": 7}',
                                  '{"people": [null, {"matrixId": 3}, '
                                  '{"matrixId": "@a:b # c"}]}'])
def test_files_that_are_wrong(run, nobody, tmp_path, text):
    """They are named all the same; `check` says what is wrong with them."""
    (tmp_path / "org.json").write_text(text)
    (tmp_path / "config.yaml").write_text(text)
    got = run("init", "--homeserver", nobody)
    assert (got.returncode, got.stderr) == (0, "")
    assert written(tmp_path)["homeserver"]["server_name"] == "example.org"
    got = run("check")
    assert got.returncode == 2 and "org.json:" in got.stderr


def test_commented_lines_are_the_defaults(run, nobody, tmp_path):
    """All of them can be used as they stand."""
    run("init", "--homeserver", nobody)
    path = tmp_path / "muster.yaml"
    text = path.read_text()
    lines = [line.replace("# ", "", 1) if line.lstrip().startswith("# ")
             and ":" in line.split("#")[1] else line
             for line in text.splitlines()[4:]]
    before = run("check").stdout
    path.write_text("\n".join(lines) + "\n")
    config = yaml.safe_load(path.read_text())
    assert config["reconcile"]["concurrency"] == 8
    assert config["homeserver"]["public_url"] == config["homeserver"]["url"]
    assert [rule["alias"] for rule in config["rooms"]] == [
        "all-employees", "{department}-leadership", "{team}-team"]
    assert "namespace.prefix" in text
    again = run("check")
    assert (again.returncode, again.stdout) == (0, before), again.stderr


def test_what_the_homeserver_says(run, fakehs, tmp_path):
    """Where it is given, its kind; on Synapse nobody registers by hand."""
    (tmp_path / "org.json").write_text(json.dumps(small.org()))
    got = run("init", "--homeserver", fakehs.url)
    rows, _ = said(got.stdout)
    assert rows["homeserver"] == f"{fakehs.url} ({fakehs.kind})"
    assert ("admin" in rows) is (fakehs.kind == "conduit")
    assert (written(tmp_path)["homeserver"]["admin"] is None) is (
        fakehs.kind != "conduit")
    got = run("check")
    assert got.returncode == 0, got.stderr


def test_a_fleet_that_lives_there_already(run, fakehs, tmp_path):
    """With passwords; a new one has nothing to take over."""
    (tmp_path / "org.json").write_text(json.dumps(small.org()))
    assert fakehs.human(small.HUMAN)
    for made, verbs in (("bob", NEXT), ("ben.man", [
            "check", "register", "adopt --dry-run", "serve"])):
        fakehs.human(made)
        got = run("init", "--homeserver", fakehs.url)
        commands = said(got.stdout)[1]
        assert commands == [f"muster {verb}" for verb in verbs], got
        assert ("have accounts already" in got.stdout) is (verbs != NEXT)
        os.unlink(tmp_path / "muster.yaml")


def test_a_homeserver_that_says_its_name(run, fakehs, tmp_path):
    fakehs.federates = True
    org = json.dumps(small.org()).replace(small.SERVER, "other.example")
    (tmp_path / "org.json").write_text(org)
    got = run("init", "--homeserver", fakehs.url)
    rows, _ = said(got.stdout)
    assert rows["server name"] == f"{small.SERVER} (as it says)"
    assert "the fleet's files are of other.example: correct one" in got.stdout
    config = written(tmp_path)["homeserver"]
    assert config["server_name"] == small.SERVER
    if fakehs.kind == "conduit":
        # The human of the files is of another server.
        assert config["admin"]["user"] == "admin"


def bound_to(turn):
    """The usual ports are everybody's: one test at a time."""
    try:
        turn.bind("\0muster tests 6167")
    except OSError:
        return False
    return True


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_it_is_found_on_this_host(run, tmp_path):
    """On whatever is there."""
    with socket.socket(socket.AF_UNIX) as turn:
        wait_until(lambda: bound_to(turn), 60, "the usual port")
        hs = FakeHS(small.SERVER, "conduit")
        hs.port = 6167
        try:
            hs.start()
        except OSError:
            hs = None  # somebody's own homeserver
        try:
            got = run("init")
        finally:
            if hs:
                hs.stop()
    rows, _ = said(got.stdout)
    if hs:
        assert rows["homeserver"] == (
            "http://127.0.0.1:6167 (conduit, found there)")
        assert written(tmp_path)["homeserver"]["url"] == (
            "http://127.0.0.1:6167")
        assert {r.method for r in hs.requests} == {"GET"}
    else:
        assert got.returncode == 0


def with_homeserver(folder, url):
    (folder / "org.json").write_text(json.dumps(small.org()))
    (folder / "config.yaml").write_text(yaml.safe_dump(
        {**CONFIG, "matrix": {"homeserver": url, "domain": small.SERVER}}))


def test_the_homeserver_of_the_fleet_s_files(run, fakehs, tmp_path, nobody):
    """It is the one, if it answers; who was given is asked instead."""
    with_homeserver(tmp_path, fakehs.url)
    rows, _ = said(run("init").stdout)
    assert rows["homeserver"] == (
        f"{fakehs.url} ({fakehs.kind}, as in config.yaml)")
    assert written(tmp_path)["homeserver"]["url"] == fakehs.url
    assert run("check").returncode == 0
    fakehs.clear_log()
    rows, _ = said(run("init", "other", "--homeserver", nobody).stdout)
    assert rows["homeserver"] == f"{nobody}, which does not answer now"
    assert fakehs.requests == []


@pytest.mark.parametrize("url, named", [
    (None, True), ("conduit.example:6167", False), ([], False)])
def test_the_homeserver_of_the_files_does_not_answer(
        run, tmp_path, nobody, url, named):
    """Then whoever answers on this host is it, and only then it."""
    with_homeserver(tmp_path, nobody if named else url)
    with socket.socket(socket.AF_UNIX) as turn:
        wait_until(lambda: bound_to(turn), 60, "the usual port")
        there = any(is_open(port) for port in (6167, 8008))
        rows, _ = said(run("init").stdout)
    if there:
        assert ", found there)" in rows["homeserver"]
    elif named:
        assert rows["homeserver"] == (
            f"{nobody}, as in config.yaml, which does not answer now")
        assert written(tmp_path)["homeserver"]["url"] == nobody
    else:
        assert rows["homeserver"].startswith("none answers on this host")


@pytest.mark.parametrize("words, why", [
    (["--homeserver", "localhost:6167"], "must begin with http:// or"),
    (["--homeserver", "http://x/ #y"], "has a character"),
    (["--server-name", "a b"], "is no server name")])
def test_what_is_given_is_checked(run, tmp_path, words, why):
    got = run("init", *words)
    assert got.returncode == 2 and why in got.stderr
    assert os.listdir(tmp_path) == []
