"""Rooms of others that ours lead to, and names of ours that lead nowhere."""

import pytest

from support import small
from support.fakehs import FakeHS
from support.process import wait_until
from support.small import HUMAN, SERVER, full

ALL = "all-employees"
TEAM = "platform-team"


@pytest.fixture(params=["conduit", "synapse"])
def elevenths(request, muster_on):
    """(muster, homeserver): they know of each other, and rooms are made in
    version 11, where nobody stands above all."""
    hs = FakeHS(SERVER, request.param, room_version="11").start()
    muster = muster_on(hs, org=small.org(), reconcile={"interval": "2s"})
    muster.run("registration", expect=0)
    yield muster, hs
    muster.close()
    hs.stop()
    assert hs.errors == []


def introduced(muster, hs, human=None):
    """(muster, homeserver, human): served, and the human is everywhere."""
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    human = human or hs.human(HUMAN)
    for room in list(hs.world.rooms.values()):
        if room.membership(full(HUMAN)) == "invite":
            human.join(room.room_id)
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs, human


def test_an_old_name_that_leads_nowhere(elevenths):
    """It is not among the room's names any more: no homeserver would take
    them."""
    muster, hs, human = introduced(*elevenths)
    room = hs.room(ALL)
    with hs.lock:
        hs.world.append(room, full(HUMAN), "m.room.canonical_alias", {
            "alias": f"#dead:{SERVER}", "alt_aliases": [
                f"#dead-too:{SERVER}", f"#{TEAM}:{SERVER}",
                f"#{ALL}:{SERVER}"]}, "")
    wait_until(lambda: room.content("m.room.canonical_alias") == {
        "alias": f"#{ALL}:{SERVER}", "alt_aliases": []}, 20,
        "the names to be right")
    small.wait_settled(muster, hs)
    assert small.status(muster)["journal"]["failed"] == 0
    # One that leads to it stays.
    human.set_alias(f"#everybody:{SERVER}", room.room_id)
    human.set_state(room.room_id, "m.room.canonical_alias", {
        "alias": f"#everybody:{SERVER}"})
    wait_until(lambda: room.content("m.room.canonical_alias") == {
        "alias": f"#{ALL}:{SERVER}",
        "alt_aliases": [f"#everybody:{SERVER}"]}, 20, "the name to be right")
