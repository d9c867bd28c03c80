"""Scenarios: the program against the scripted homeserver."""

import pytest


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
