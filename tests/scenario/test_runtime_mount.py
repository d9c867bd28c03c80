"""The runtime directory is a shared file system: it may not be mounted any more,
and be there again; and a file in it that could not be replaced is replaced
later."""

import os
import shutil
import subprocess

import pytest

from support import small
from support.process import wait_until
from support.rotations import AGENT, logins
from support.small import full

ELSEWHERE = "is on another file system than when the service began"


@pytest.fixture
def mount():
    """mount(path): an empty file system there, or (`share`) the one that is
    mounted at that path; unmounted in the end."""
    mounted = []

    def begin(path, share=None):
        what = ["--bind", share] if share else [
            "-t", "tmpfs", "-o", "mode=755", "none"]
        if subprocess.run(["mount", *what, path]).returncode != 0:
            pytest.skip("nothing may be mounted here")
        mounted.append(path)

        def end():
            subprocess.run(["umount", "-l", path], check=True)
            mounted.remove(path)
        return end
    yield begin
    for path in mounted:
        subprocess.run(["umount", "-l", path])


@pytest.fixture
def often(running):
    """It looks every second."""
    muster, hs = running
    muster.write_config(reconcile={"interval": "1s"})
    muster.restart()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


def told(muster, words, times=1):
    wait_until(lambda: muster.daemon.output().count(words) >= times, 20, words)


def test_a_share_that_is_not_mounted_costs_nobody_a_token(often, mount):
    muster, hs = often
    before = {a: muster.handoff(a) for a in small.AGENTS}
    end = mount(muster.runtime)
    told(muster, ELSEWHERE, 2)
    # Nor does anybody get one who needs it, of whom nobody would know.
    done = muster.run("rotate", AGENT, "--now")
    assert done.code != 0 and ELSEWHERE in done.out + done.err, done
    assert os.listdir(muster.runtime) == [] and not logins(hs)
    assert ELSEWHERE in small.agent(muster, AGENT)["error"]
    end()
    muster.wait_handoff(AGENT, generation=2)
    small.wait_settled(muster, hs)
    assert len(logins(hs)) == 1
    for a in small.AGENTS:
        if a != AGENT:
            assert muster.handoff(a) == before[a]


def test_a_share_that_is_mounted_again(often, mount, tmp_path):
    """Its device has another number, and the agents' files are on it."""
    muster, hs = often
    share = str(tmp_path / "share")
    os.mkdir(share)
    mount(share)
    shutil.copytree(muster.runtime, share, dirs_exist_ok=True)
    end_of_empty = mount(muster.runtime)
    told(muster, ELSEWHERE)
    # All of it is there at one time, as it is when a share is mounted.
    end = mount(muster.runtime, share)
    told(muster, "the runtime directory was mounted again")
    # What is gone from it now is gone.
    shutil.rmtree(muster.runtime_dir(AGENT))
    muster.wait_handoff(AGENT, generation=2)
    assert len(logins(hs)) == 1
    # And the one from before is another.
    times = muster.daemon.output().count("mounted again")
    end()
    end_of_empty()
    told(muster, "mounted again", times + 1)


def test_a_directory_that_cannot_be_looked_at_is_said_with_the_agent(
        often, tmp_path):
    muster, hs = often
    before = muster.handoff(AGENT)
    path = os.path.dirname(muster.runtime_dir(AGENT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(path, path + ".moved")
    os.symlink(elsewhere, path)
    wait_until(lambda: "is a symbolic link" in (
        small.agent(muster, AGENT)["error"] or ""), 20, "it is said")
    assert small.agent(muster, AGENT)["state"] == "handed_off"
    # It is one finding, not two.
    found = [f for f in muster.json("doctor")["findings"]
             if full(AGENT) == f["subject"]]
    assert [f["check"] for f in found] == ["directory"], found
    os.unlink(path)
    os.rename(path + ".moved", path)
    wait_until(lambda: small.agent(muster, AGENT)["error"] is None, 20,
               "nothing is said of it any more")
    assert muster.handoff(AGENT) == before and not logins(hs)
    assert os.listdir(elsewhere) == []


def test_a_tombstone_that_could_not_be_put_is_put_later(often):
    muster, hs = often
    path = os.path.join(muster.runtime_dir(AGENT), "matrix.json")
    os.unlink(path)
    os.mkdir(path)
    done = muster.run("revoke", AGENT, "--why", "a test", expect=0)
    assert "could not be replaced by a tombstone" in done.out
    error = small.agent(muster, AGENT)["error"]
    assert "; its tokens were ended, but its file" in error
    told(muster, "there is still no tombstone")
    os.rmdir(path)
    wait_until(lambda: os.path.exists(path), 20, "the tombstone")
    got = muster.handoff(AGENT)
    assert got["revoked_ms"] > 0 and got["user_id"] == full(AGENT)
    wait_until(lambda: small.agent(muster, AGENT)["error"] ==
               error.partition("; ")[0], 20, "nothing is said of it any more")
    assert small.agent(muster, AGENT)["state"] == "blocked"
    assert not logins(hs)
