"""Who leaves the fleet though something stands in the way: a human has the name
now, others are on their way, the file is no file."""

import os
import signal

import pytest

from support import small
from support.client import Client
from support.muster import person
from support.process import wait_until
from support.small import HUMAN, full

ALL = "all-employees"
READ = '"the configuration was read again"'


def file_of(muster, localpart):
    return os.path.join(muster.runtime_dir(localpart), "matrix.json")


def reload(muster, org, **settings):
    """Until the running service has read it."""
    before = muster.daemon.output().count(READ)
    muster.write_org(org)
    if settings:
        muster.write_config(**settings)
    muster.signal(signal.SIGHUP)
    muster.daemon.wait_for(
        lambda: muster.daemon.output().count(READ) > before, 40,
        "it to be read")


def is_dead(hs, token):
    return Client(hs.url, token).whoami().status == 401


# -- a human has its name


def humans(*more):
    return {"fleet": {"org": "org.json", "humans": [
        {"id": full(localpart), "name": localpart} for localpart in more]}}


@pytest.mark.parametrize("registered_again", [True, False])
def test_an_agent_becomes_a_human(declared, registered_again):
    """What it had been given is of no use any more; its rooms are its own."""
    muster, hs = declared
    token = muster.handoff("cleo.ic")["access_token"]
    rooms = [room for room in hs.world.rooms.values()
             if room.membership(full("cleo.ic")) == "join"]
    hs.clear_log()
    if not registered_again:
        muster.write_config(homeserver={"admin": None})
        muster.restart()
    reload(muster, muster.without("cleo.ic"), **humans("cleo.ic"))
    wait_until(lambda: is_dead(hs, token), 20, "its token to end")
    wait_until(lambda: "revoked_ms" in muster.handoff("cleo.ic"), 20,
               "a tombstone")
    small.wait_settled(muster, hs)
    for room in rooms:
        assert room.membership(full("cleo.ic")) == "join"
    assert hs.user("cleo.ic").devices == {}
    # Nothing is done in its name.
    assert [r for r in hs.writes() if r.user == full("cleo.ic")
            and r.headers["Authorization"] != f"Bearer {token}"] == []
    assert full("cleo.ic") not in {
        a["user_id"] for a in muster.json("agents")}
    before = muster.handoff("cleo.ic")
    # Once.
    hs.clear_log()
    reload(muster, muster.org)
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert muster.handoff("cleo.ic") == before


def test_an_agent_becomes_a_human_and_its_file_is_gone(declared):
    """Then nobody can end its token without being it, and that is said."""
    muster, hs = declared
    os.unlink(file_of(muster, "cleo.ic"))
    reload(muster, muster.without("cleo.ic"), **humans("cleo.ic"))
    muster.daemon.wait_for(
        lambda: [r for r in muster.json("audit") if r["action"] == "retire"
                 and "end the session of its device MUSTER" in r["detail"]],
        20, "it to be said")
    small.wait_settled(muster, hs)
    assert hs.tokens_of("cleo.ic")


# -- others are on their way


TWELVE = [f"a{n:02}" for n in range(12)]


def twelve(first):
    """A head, and those of twelve from there on."""
    return {"departments": [], "people": [
        person(HUMAN, "CEO", department="Executive", name="Carla Ceo"),
        *(person(name, "IC", "Platform", HUMAN) for name in TWELVE[first:])]}


def test_one_more_leaves_while_others_are_let_go(conduit_fake, muster_on):
    """Five of twelve may; while they go, a sixth is one of six."""
    hs = conduit_fake
    muster = muster_on(hs, org=twelve(0), direct={"create": "off"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    stuck = [full("a04")]

    def handle(request, true=hs.handle):
        if request.path.endswith("/logout/all") and (
                request.query.get("user_id") in stuck):
            return 500, {"errcode": "M_UNKNOWN", "error": "not now"}, {}
        return true(request)
    hs.handle = handle
    reload(muster, twelve(5))
    small.wait_settled(muster, hs)
    assert small.status(muster)["removals"]["waiting"] == 5
    assert small.ask(muster, "/v1/approve", "POST")[0] == 200
    for name in TWELVE[:4]:
        muster.daemon.wait_for(
            lambda name=name: small.agent(muster, name)["state"] == "retired"
            and hs.room(ALL).membership(full(name)) == "leave", 20,
            f"{name} to leave")
    reload(muster, twelve(6))
    muster.daemon.wait_for(
        lambda: small.status(muster)["removals"]["waiting"] == 1, 20,
        "the sixth to be asked about")
    assert small.status(muster)["removals"]["agents"] == [full("a05")]
    assert hs.tokens_of("a05")
    # Once they have gone it is one of seven.
    stuck.clear()
    muster.run("retry", expect=0)
    wait_until(lambda: not hs.tokens_of("a05"), 20, "it to leave as well")
    small.wait_settled(muster, hs)
    assert not hs.tokens_of("a04")


# -- the file is no file


def test_a_leaver_made_a_directory_of_its_file(declared_on_conduit):
    """Its tokens are ended all the same, once, and what is there is told."""
    muster, hs = declared_on_conduit
    muster.stop()
    os.unlink(file_of(muster, "cleo.ic"))
    os.makedirs(os.path.join(
        muster.path("runtime", small.DEPARTMENT, "cleo.ic"), "matrix.json",
        "mine"))
    muster.write_org(muster.without("cleo.ic"))
    muster.start()
    small.wait_settled(muster, hs)
    gone = small.agent(muster, "cleo.ic")
    assert gone["state"] == "retired"
    assert "tombstone" in gone["error"] and "matrix.json" in gone["error"]
    assert hs.tokens_of("cleo.ic") == []
    assert hs.room(ALL).membership(full("cleo.ic")) == "leave"
    assert len(hs.writes("POST", "/logout/all$")) == 1
    assert small.status(muster)["journal"] == {"waiting": 0, "failed": 0}
