"""Scenarios: the program against the scripted homeserver."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

pytest.register_assert_rewrite("support.small", "support.registering")

from support import agent, small  # noqa: E402


@pytest.fixture
def settled(fakehs, muster_on, introduce):
    """(muster, homeserver): the small fleet, served, everything as declared,
    and the log of requests empty."""
    return _settle(fakehs, muster_on, introduce)


@pytest.fixture
def settled_on_conduit(conduit_fake, muster_on, introduce):
    """The same in Conduit's manner alone."""
    return _settle(conduit_fake, muster_on, introduce)


def _settle(hs, muster_on, introduce):
    muster = muster_on(hs)
    introduce(muster, hs)
    muster.start()
    muster.wait_settled()
    hs.wait_quiet()
    hs.clear_log()
    return muster, hs


@pytest.fixture
def fresh(fakehs, muster_on):
    """(muster, homeserver): support.small's fleet; they know of each other,
    and nothing is done yet."""
    return _introduced(fakehs, muster_on)


@pytest.fixture
def fresh_on_conduit(conduit_fake, muster_on):
    """The same in Conduit's manner alone."""
    return _introduced(conduit_fake, muster_on)


def _introduced(hs, muster_on):
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    return muster, hs


@pytest.fixture
def declared(fresh):
    """(muster, homeserver): served, everything as declared, and the log of
    requests empty."""
    return _served(*fresh)


@pytest.fixture
def declared_on_conduit(fresh_on_conduit):
    """The same in Conduit's manner alone."""
    return _served(*fresh_on_conduit)


def _served(muster, hs):
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


@pytest.fixture
def running(fresh_on_conduit):
    """(muster, homeserver): everything as declared; an agent has a minute to
    answer, for what may not become too late."""
    return _rotates(*fresh_on_conduit, "1m")


@pytest.fixture
def hurried(fresh_on_conduit):
    """The same, but an agent has 10 s, and its last 5 s are too late: where the
    time is to run out."""
    return _rotates(*fresh_on_conduit, "10s")


def _rotates(muster, hs, wait):
    muster.write_config(reconcile={"interval": "1m"}, handoff={"wait": wait})
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


@pytest.fixture
def hurried_six(fresh_on_conduit):
    """`hurried`, with six agents."""
    muster, hs = fresh_on_conduit
    org = small.org()
    ben = next(p for p in org["people"] if "ben.man" in p["matrixId"])
    for n in range(1, 4):
        org["people"].append({**ben, "matrixId": small.full(f"extra.{n}"),
                              "name": f"Extra {n}", "level": "IC"})
    muster.write_org(org)
    muster.write_config(reconcile={"interval": "1m"}, handoff={"wait": "10s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    muster.wait_settled()
    hs.wait_quiet()
    return muster, hs


@pytest.fixture
def hangs(tmp_path):
    """hangs(muster, path): from flag.touch() on, whatever does something to
    that path hangs, as with NFS when its server is away: not even a signal
    brings it back. Gives (flag, seen): seen is there once one hangs."""
    flag, seen = tmp_path / "hang", tmp_path / "seen"

    def prepare(muster, path):
        library = str(tmp_path / "hang.so")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, os.path.join(
                os.path.dirname(agent.__file__), "hang.c")],
            check=True)
        muster.env.update({
            "LD_PRELOAD": library, "HANG_AT": path, "HANG_WHILE": str(flag),
            "HANG_SEEN": str(seen),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
            + ":verify_asan_link_order=0:detect_leaks=0"})
        return flag, seen
    yield prepare
    flag.unlink(missing_ok=True)


@pytest.fixture
def strace():
    """The program that kills at a system call."""
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no strace here, or it may trace nobody")


# --- muster-agent -----------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    w = agent.World(tmp_path)
    yield w
    w.end()


@pytest.fixture
def up(world):
    """A homeserver that runs and a hand-off that is there."""
    world.hs.start()
    world.hand_off()
    return world


@pytest.fixture
def humble():
    # Not tmp_path, whose parents others may not enter.
    tmp = pathlib.Path(tempfile.mkdtemp())
    tmp.chmod(0o777)
    w = agent.Humble(tmp)
    w.hs.start()
    w.hand_off()
    yield w
    try:
        w.end()
    finally:
        shutil.rmtree(tmp)
