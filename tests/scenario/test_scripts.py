"""The scripts that prepare a build: long steps show that they live, and every
failure ends in one sentence that says what to do."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from support.muster import TOP
from support.process import wait_until

SCRIPTS = os.path.join(TOP, "scripts")


def environment(**more):
    """Ours, without what a `make` around us has left there."""
    return {**{k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}, **more}


def run(*argv, **env):
    return subprocess.run(argv, env=environment(**env), timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


def assert_sentence(text, *words):
    """The last line is one, and has these."""
    last = text.splitlines()[-1]
    assert re.fullmatch(r"\S.*[a-z].*\.", last), text
    for word in words:
        assert word in last, text


def program(path, *lines):
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


# -- alive.sh


@pytest.fixture
def alive(tmp_path):
    """alive(command, ...) starts it, with its output in out.txt."""
    started = []

    def start(*command):
        with open(tmp_path / "out.txt", "w", encoding="utf-8") as out:
            started.append(subprocess.Popen(
                ["sh", os.path.join(SCRIPTS, "alive.sh"), "brewing",
                 str(tmp_path / "logs" / "brewing.log"), "heat the water",
                 *command], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True))
        return started[-1]
    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def test_a_long_step_lives(alive, tmp_path):
    os.mkfifo(tmp_path / "go")
    process = alive("sh", "-c", f"read line < {tmp_path / 'go'}; echo $line")
    wait_until(lambda: re.fullmatch(r"(\.\.\. brewing, \d+ s\n)+", (
        tmp_path / "out.txt").read_text()), 10, "signs of life")
    (tmp_path / "go").write_text("tea\n")
    assert process.wait(60) == 0
    assert (tmp_path / "logs" / "brewing.log").read_text() == "tea\n"
    assert "tea" not in (tmp_path / "out.txt").read_text()


def test_a_short_step_is_silent(alive, tmp_path):
    assert alive("true").wait(60) == 0
    assert (tmp_path / "out.txt").read_text() == ""


def test_a_step_fails(alive, tmp_path):
    assert alive("sh", "-c", "echo too cold >&2; exit 7").wait(60) == 1
    said = (tmp_path / "out.txt").read_text()
    assert said.startswith("too cold\n")
    assert_sentence(said, "brewing failed (7)", "heat the water",
                    str(tmp_path / "logs" / "brewing.log"))


def test_a_step_is_interrupted(alive, tmp_path):
    """What it runs ends with it."""
    process = alive("sh", "-c", f"echo $$ > {tmp_path / 'pid'}; "
                    f"mkfifo {tmp_path / 'never'}; "
                    f"exec cat {tmp_path / 'never'}")
    pid = wait_until(lambda: os.path.exists(tmp_path / "never") and
                     (tmp_path / "pid").read_text().strip(), 10, "its start")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "its end")


# -- what uses it


def test_compiler_fails(tmp_path):
    got = run("make", "-C", TOP, "demo", f"B={tmp_path}", "CC=false")
    assert got.returncode == 2
    ours = [line for line in got.stderr.splitlines()
            if not line.startswith("make")]
    assert_sentence("\n".join(ours), "compiling failed", "build/compile.log")
    assert "== A homeserver" not in got.stdout


@pytest.fixture
def tree(tmp_path):
    """A checkout with no more than the environment's script needs."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "requirements.txt").write_text("nothing==0\n")
    return tmp_path


def test_no_venv(tree):
    python = program(tree / "bin" / "python", "echo no ensurepip", "exit 1")
    got = run("sh", str(tree / "scripts" / "ensure-venv.sh"),
              PYTHON=str(python))
    assert got.returncode == 1
    assert "no ensurepip" in got.stderr
    assert_sentence(got.stderr, "python3-venv", "build/venv.log")


def test_no_python(tree):
    got = run("sh", str(tree / "scripts" / "ensure-venv.sh"),
              PYTHON="/nowhere/python")
    assert got.returncode == 1
    assert_sentence(got.stderr, "python3")


def test_pip_fails(tree):
    """And the next time it is tried again."""
    python = program(
        tree / "bin" / "python", "case $* in *pip*) echo unreachable; exit 1;;"
        " *venv*) mkdir -p build/venv/bin && cp \"$0\" build/venv/bin;; esac")
    for _ in range(2):
        got = run("sh", str(tree / "scripts" / "ensure-venv.sh"),
                  PYTHON=str(python))
        assert got.returncode == 1
        assert "unreachable" in got.stderr
        assert_sentence(got.stderr, "PyPI", "build/venv.log")


@pytest.mark.parametrize("broken", ["update", "install"])
def test_apt_fails(tmp_path, broken):
    bin = tmp_path / "bin"
    program(bin / "dpkg-query", "exit 1")
    program(bin / "id", "echo 0")
    program(bin / "apt-get", f"case $* in *{broken}*) echo E: no; exit 100;;"
            " esac")
    got = run("sh", os.path.join(SCRIPTS, "ensure-packages.sh"), "lint",
              PATH=f"{bin}:{os.environ['PATH']}")
    assert got.returncode == 1
    assert_sentence(got.stderr, f"apt-get {broken} failed", "shellcheck")


def test_nobody_may_install(tmp_path):
    bin = tmp_path / "bin"
    program(bin / "dpkg-query", "exit 1")
    program(bin / "id", "echo 1000")
    program(bin / "sudo", "exit 1")
    got = run("sh", os.path.join(SCRIPTS, "ensure-packages.sh"), "lint",
              PATH=f"{bin}:{os.environ['PATH']}")
    assert got.returncode == 1
    assert_sentence(got.stderr, "apt-get install", "shellcheck")


# -- check-layers.sh

FOLDERS = ("base", "matrix", "handoff", "registration", "store",
           "appservice/fleet", "appservice/intake", "agent", "tests/unit")


@pytest.fixture
def layers(tmp_path):
    """layers(file, line) checks a tree of one file for each folder, and this
    one with this line."""
    def check(name, line):
        for folder in FOLDERS:
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            module = os.path.basename(folder)
            (tmp_path / folder / f"{module}.c").write_text(
                "#include <stdlib.h>\n" + (
                    f'#include "{folder}/{module}_priv.h"\n'
                    '#include "base/poison.h"\n'))
        (tmp_path / "scripts").mkdir()
        shutil.copy(os.path.join(SCRIPTS, "check-layers.sh"),
                    tmp_path / "scripts")
        with open(tmp_path / name, "a", encoding="utf-8") as f:
            f.write(line + "\n")
        return run("sh", str(tmp_path / "scripts" / "check-layers.sh"))
    return check


@pytest.mark.parametrize("name, line, why", [
    ("matrix/matrix.c", '#include "store/store.h"', "layering"),
    ("base/base.c", '#include "matrix/hs.h"', "layering"),
    ("store/store.c", '#include "appservice/app.h"', "layering"),
    ("agent/agent.c", '#include "store/store.h"', "layering"),
    ("matrix/matrix.c", '  #  include\t"store/store.h"', "layering"),
    ("matrix/matrix.c", '#include"store/store.h"', "layering"),
    ("matrix/matrix.c", '#include "../store/store.h"', "from the top"),
    ("matrix/matrix.c", '#include "matrix/../store/store.h"', "from the top"),
    ("matrix/matrix.c", '#include "./hs.h"', "from the top"),
    ("matrix/matrix.c", '#include "hs.h"', "from the top"),
    ("matrix/matrix.c", '#include "/usr/include/sqlite3.h"', "from the top"),
    ("matrix/matrix.c", '#include "sqlite3.h"', "from the top"),
    ("matrix/matrix.c", '#include "json.h"', "from the top"),
    ("matrix/matrix.c", '#include "json-c/json.h"', "from the top"),
    ("matrix/matrix.c", "#include <json-c/json.h>", "not its home"),
    ("matrix/matrix.c", "#include <json.h>", "nobody we know"),
    ("matrix/matrix.c", "#include <json_object.h>", "nobody we know"),
    ("matrix/matrix.c", "#include <json-c/json_tokener.h>", "nobody we know"),
    ("matrix/matrix.c", "#include <linkhash.h>", "nobody we know"),
    ("matrix/matrix.c", "#include <store/store.h>", "nobody we know"),
    ("matrix/matrix.c", "#include <sqlite3.h>", "not its home"),
    ("base/base.c", "#include <curl/curl.h>", "not its home"),
    ("store/store.c", "#include <openssl/evp.h>", "not its home"),
    ("store/store.c", "#include STORE_HEADER", "neither"),
    ("store/store.c", '#include_next "base/base.h"', "neither"),
    ("matrix/matrix.c", '#include "base/json_priv.h"', "private"),
    ("appservice/intake/intake.c",
     '#include "appservice/fleet/fleet_priv.h"', "private"),
    ("appservice/intake/intake.c",
     '#include "appservice/http_server_priv.h"', "private"),
    ("appservice/fleet/fleet.c", '#include "base/clock.h"', "no clock"),
    ("base/base.c", '#include "tests/unit/test.h"', "knows no test"),
    ("tests/unit/test_fleet.c", '#include "store/store_priv.h"', "private"),
    ("tests/unit/fixture.c", '#include "store/store_priv.h"', "private"),
    ("tests/unit/test_fleet.c", '#include "../../store/store.h"',
     "from the top"),
])
def test_walks_past_a_door(layers, name, line, why):
    got = layers(name, line)
    assert got.returncode != 0, got
    said, = got.stdout.splitlines()
    assert said.startswith(name + ":") and why in said, got
    assert said.endswith(line)


@pytest.mark.parametrize("name, line", [
    ("matrix/matrix.c", '#include "base/json.h"'),
    ("registration/registration.c", '#include "matrix/hs.h" /* "x" */'),
    ("appservice/intake/intake.c", '#include "appservice/fleet/fleet.h"'),
    ("matrix/matrix.c", " * #include <json.h>"),
    ("matrix/matrix.c", "#include <sys/prctl.h>"),
    ("matrix/http.c", "#include <curl/curl.h>"),
    ("base/json_write.c", "#include <json-c/json.h>"),
    ("base/json_write.c", '#include "base/json_priv.h"'),
    ("tests/unit/test_store_more.c", '#include "store/store_priv.h"'),
    ("tests/unit/test_fleet.c", '#include "appservice/fleet/fleet_priv.h"'),
    ("tests/unit/test_fleet.c", "#include <cmocka.h>"),
])
def test_goes_through_the_door(layers, name, line):
    got = layers(name, line)
    assert got.returncode == 0, got
    assert got.stdout == "layers: every include points down\n"


def test_our_own_layers():
    got = run("sh", os.path.join(SCRIPTS, "check-layers.sh"))
    assert got.returncode == 0, got.stdout
