"""The example that each verb's help shows works when it is typed, beside the
files of the example fleet."""

import json
import os
import shutil
import subprocess

import pytest

from support.fakehs import FakeHS
from support.fleet import EXAMPLE
from support.muster import Muster, binary
from support.process import environment

SERVER = "fleet.example"
URL = "http://127.0.0.1:6167"  # of a homeserver, in the examples
# What else than 0 is right: something is found; who is declared is not let go;
# the registration is not taken back from a service that runs.
STATUS = {"doctor": 3, "retire": 2, "unregister": 1}
SAID = {"retire": "take it out of the files first",
        "unregister": "`muster serve` is running"}


@pytest.fixture
def typed(tmp_path):
    """typed(command): what comes of it where the service runs."""
    (tmp_path / "bin").mkdir()
    for name in ("muster", "muster-agent"):
        os.symlink(binary(name), tmp_path / "bin" / name)
    hs = FakeHS(SERVER, "conduit").start()
    muster = Muster(tmp_path / "muster", hs, fleet={
        "config": "config.yaml", "org": "org.json"})
    for name in ("config.yaml", "org.json"):
        shutil.copy(os.path.join(EXAMPLE, name), muster.path(name))

    def run(command):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            command.replace(URL, hs.url), shell=True, cwd=muster.dir,
            text=True, capture_output=True, timeout=60,
            env=environment(PATH=path))
    try:
        hs.operator()
        muster.run("register", expect=0)
        muster.start()
        muster.wait_settled()
        yield run
    finally:
        muster.close()
        hs.stop()


def of_help(text):
    return text.split("\nexample:\n  $ ")[1].rstrip("\n")


def test_what_is_typed(typed):
    verbs = json.loads(typed("muster help --json").stdout)["verbs"]
    for verb in verbs:
        name = verb["name"]
        assert of_help(typed(f"muster {name} --help").stdout) == (
            verb["example"])
        if name == "serve":
            continue
        got = typed(verb["example"])
        assert got.returncode == STATUS.get(name, 0), (verb["example"], got)
        assert SAID.get(name, "") in got.stderr, got
    # It was revoked.
    assert typed("muster retry asa.iyer").returncode == 0
    got = typed(of_help(typed("muster-agent run --help").stdout))
    assert (got.returncode, got.stdout) == (
        0, f"@asa.iyer:{SERVER}\n"), got.stderr
