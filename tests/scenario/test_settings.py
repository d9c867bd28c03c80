"""Settings that reach further than one value: structures in the environment,
names that are none, a prefix that covers too much; and what `status` counts."""

import json
import os
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


def test_structures_by_the_environment(configured):
    got = check(configured, MUSTER_FLEET_HUMANS='["@kim:elsewhere.org"]',
                MUSTER_ROOMS="[{alias: Town-Hall, members: "
                             "{everyone: true}}]")
    assert got.returncode == 0, got.stderr
    doc = json.loads(got.stdout)
    assert (doc["humans"], doc["rooms"]) == (2, 1)
    got = check(configured, MUSTER_ROOMS="[{alis: x}]")
    assert got.returncode == 2
    assert 'unknown key "alis": did you mean alias?' in got.stderr
    got = check(configured, MUSTER_ROOMS="[{")
    assert got.returncode == 2
    assert "MUSTER_ROOMS" in got.stderr


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
