"""Who leaves the fleet though something stands in the way: the store is lost,
a human has the name now, others are on their way, the file is no file."""

import json
import os

import pytest

from support import small
from support.client import Client
from support.handoffs import forget, signed, write_json
from support.muster import person
from support.process import wait_until
from support.small import HUMAN, SENDER, full

ALL = "all-employees"
TEAM = "platform-team"
FOUND = "was found by its file"


def file_of(muster, localpart):
    return os.path.join(muster.runtime_dir(localpart), "matrix.json")


def reload(muster, org, **settings):
    """Until the running service has read it."""
    muster.write_org(org)
    if settings:
        muster.write_config(**settings)
    muster.reload()


def begin_anew(muster, hs, org):
    """The store is lost, and this is declared from now on."""
    muster.stop()
    forget(muster)
    muster.write_org(org)
    hs.clear_log()
    muster.start()
    small.wait_settled(muster, hs)


def is_dead(hs, token):
    return Client(hs.url, token).whoami().status == 401


# -- the store is lost


def test_somebody_left_and_the_store_is_lost(declared):
    """Its file tells of it: it is retired like any, out of its direct room as
    well, which nobody else remembers."""
    muster, hs = declared
    token = muster.handoff("cleo.ic")["access_token"]
    direct, = small.room_of(hs, {full("ben.man"), full("cleo.ic")})
    rooms = set(hs.world.rooms)
    begin_anew(muster, hs, muster.without("cleo.ic"))
    gone = small.agent(muster, "cleo.ic")
    assert (gone["state"], gone["generation"], gone["department"],
            gone["device_id"]) == ("retired", 1, small.DEPARTMENT, "MUSTER")
    for room in (hs.room(ALL), hs.room(TEAM), direct):
        assert room.membership(full("cleo.ic")) == "leave"
    assert direct.membership(full("ben.man")) == "join"
    assert is_dead(hs, token)
    assert hs.tokens_of("cleo.ic") == []
    grave = muster.handoff("cleo.ic")
    assert grave["generation"] == 1 and "revoked_ms" in grave
    assert set(hs.world.rooms) == rooms
    assert muster.daemon.output().count(FOUND) == 1
    # Nothing is left to do, nor to ask.
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert [r for r in hs.requests if r.user == full("cleo.ic")] == []
    # Declared again it is the same agent.
    muster.stop()
    muster.write_org(small.org())
    muster.start()
    small.wait_settled(muster, hs)
    assert muster.handoff("cleo.ic")["generation"] == 2
    assert hs.room(TEAM).membership(full("cleo.ic")) == "join"


def test_most_left_and_the_store_is_lost(declared_on_conduit):
    """Too many to go by themselves, as with a store."""
    muster, hs = declared_on_conduit
    begin_anew(muster, hs, small.org("anna.vp"))
    assert small.status(muster)["removals"]["agents"] == [
        full("ben.man"), full("cleo.ic")]
    assert hs.room(ALL).membership(full("cleo.ic")) == "join"
    assert hs.tokens_of("cleo.ic")
    muster.run("approve", expect=0)
    for agent in ("ben.man", "cleo.ic"):
        assert small.agent(muster, agent)["state"] == "retired"
        assert hs.tokens_of(agent) == []
        assert hs.room(ALL).membership(full(agent)) == "leave"


def test_somebody_had_left_when_the_store_was_lost(declared_on_conduit):
    """A tombstone tells of who is retired, and that is all there is to it."""
    muster, hs = declared_on_conduit
    muster.stop()
    muster.write_org(muster.without("cleo.ic"))
    muster.start()
    small.wait_settled(muster, hs)
    before = muster.handoff("cleo.ic")
    begin_anew(muster, hs, muster.org)
    assert small.agent(muster, "cleo.ic")["state"] == "retired"
    assert muster.handoff("cleo.ic") == before
    assert [r for r in hs.writes() if r.user == full("cleo.ic")] == []
    # Nor is it a third of three.
    assert small.status(muster)["removals"]["waiting"] == 0


def test_an_agent_of_two_places_is_taken_by_the_newer(declared_on_conduit):
    muster, hs = declared_on_conduit
    before = muster.handoff("cleo.ic")
    del before["sha256"]
    for department, generation in (("Aardvarks", 3), ("Zebras", 2)):
        folder = muster.path("runtime", department, "cleo.ic")
        os.makedirs(folder)
        write_json(os.path.join(folder, "matrix.json"), signed(
            {**before, "generation": generation}))
    begin_anew(muster, hs, muster.without("cleo.ic"))
    gone = small.agent(muster, "cleo.ic")
    assert (gone["state"], gone["generation"], gone["department"]) == (
        "retired", 3, "Aardvarks")


def spoil(muster, localpart, document=None, text=None):
    """What somebody has put into a directory of that name."""
    folder = muster.path("runtime", "Planted", localpart)
    os.makedirs(folder)
    path = os.path.join(folder, "matrix.json")
    if document:
        write_json(path, document)
    elif text is not None:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return folder


def test_what_else_lies_there(fresh_on_conduit):
    """Anybody may have written it. Nothing follows from it, and it is said
    once."""
    muster, hs = fresh_on_conduit
    org = small.org()
    later = [person(name, "IC", "Platform", "ben.man") for name in (
        "torn", "other", "wrong", "far", "pipe", "noaccount")]
    muster.write_org({**org, "people": org["people"] + later})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.write_org(org)
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    muster.stop()
    good = muster.handoff("anna.vp")
    del good["sha256"]
    spoil(muster, "torn", text='{"muster":1,"gener')
    spoil(muster, "other", signed(good))  # another's
    spoil(muster, "wrong", {**signed({**good, "user_id": full("wrong")}),
                            "generation": 2})
    spoil(muster, "far", signed({**good, "user_id": full("far"),
                                 "generation": 9_000_000}))
    os.mkfifo(os.path.join(spoil(muster, "pipe"), "matrix.json"))
    # Whole, but of nobody whom the homeserver knows; a human; a stranger.
    spoil(muster, "noaccount", signed({**good, "user_id": full("noaccount")}))
    hs.human(HUMAN)
    spoil(muster, HUMAN, signed({**good, "user_id": full(HUMAN)}))
    hs.human("stranger")
    spoil(muster, "stranger", signed({**good, "user_id": full("stranger")}))
    os.symlink(muster.runtime_dir("anna.vp"),
               muster.path("runtime", "Planted", "linked"))
    os.symlink("Planted", muster.path("runtime", "Again"))
    hs.clear_log()
    muster.start()

    def looks():
        return len([r for r in hs.reads(r"/joined_rooms$")
                    if r.user == full(SENDER)])
    wait_until(lambda: looks() >= 4, 20, "some looks")
    small.wait_settled(muster, hs)
    assert hs.writes() == []
    assert [a["user_id"] for a in muster.json("agents")] == [
        full(a) for a in small.AGENTS]
    told = [line for line in map(json.loads, filter(
        lambda line: line.startswith("{"),
        muster.daemon.output().splitlines()))
        if "are of no agent that is known" in line["msg"]]
    assert [line["files"] for line in told] == [5]
    asked = [r for r in hs.reads(r"/whoami$")
             if r.query.get("user_id") == full("noaccount")]
    assert len(asked) == 1
    assert FOUND not in muster.daemon.output()


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
