"""What somebody has registered otherwise by hand, `muster register` finds out on
real homeservers by what they do."""

import pytest
import yaml

from support import small
from support.client import Client
from support.registering import otherwise


@pytest.fixture
def known(homeserver, muster_on, introduce):
    """(muster, homeserver): registered, and nothing is left to do."""
    muster = muster_on(homeserver, org=small.org())
    introduce(muster, homeserver)
    Client(homeserver.url).register(small.HUMAN, "a human's password")
    assert "nothing to do" in register(muster, 0).out
    yield muster, homeserver
    muster.assert_no_secret_shown()


def register(muster, expect):
    return muster.run("register", expect=expect, timeout=120)


@pytest.mark.parametrize("homeserver", ["conduit"], indirect=True)
@pytest.mark.parametrize("sender", ["somebody", small.HUMAN])
def test_by_hand(known, sender):
    muster, hs = known
    ways = otherwise(muster.registration)
    ways["sender"][0]["sender_localpart"] = sender
    if sender == small.HUMAN:  # who exists
        ways = {"sender": (ways["sender"][0], (
            "registered, but the service's user is @carla.ceo:fleet.test"))}
    for what, (changes, said) in ways.items():
        assert hs.command("unregister-appservice muster") == (
            "Appservice unregistered.")
        hs.add_appservice(muster.write("other.yaml", yaml.safe_dump(
            {**muster.registration, **changes})))
        got = register(muster, 0)
        assert said in got.out, (what, got)
        assert "the homeserver reaches us at" in got.out
        assert "nothing to do" in register(muster, 0).out


def loads_other(muster, hs, changes):
    """The file is as it was again, but the homeserver read another."""
    text = muster.read("registration.yaml")
    muster.write("registration.yaml", yaml.safe_dump(
        {**yaml.safe_load(text), **changes}))
    hs.restart()
    muster.write("registration.yaml", text)


@pytest.mark.parametrize("homeserver", ["synapse"], indirect=True)
def test_read_before_it_changed(known):
    muster, hs = known
    ways = otherwise(muster.registration)
    restart = f"so that it reads {muster.registration_path} as it is now"
    for what in "narrower", "wider":
        changes, said = ways[what]
        loads_other(muster, hs, changes)
        got = register(muster, 3)
        assert said in got.out and "Add this line" not in got.out
        assert restart in got.err and "restart Synapse" in got.err
    for what in "hs_token", "url", "no url":
        loads_other(muster, hs, ways[what][0])
        got = register(muster, 1)
        assert (f"if {muster.registration_path} has changed since the "
                "homeserver started: restart Synapse, and") in got.err
    hs.restart()
    assert "nothing to do" in register(muster, 0).out
