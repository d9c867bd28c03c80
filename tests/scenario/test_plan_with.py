"""`plan --with`: what another configuration would change, before it does."""

import hashlib
import json
import os

import yaml

from support import small
from support.muster import person
from support.process import wait_until
from support.small import AGENTS, HUMAN, SERVER, full

ALL, PLATFORM = f"#all-employees:{SERVER}", f"#platform-team:{SERVER}"
LEADERS = f"#engineering-leadership:{SERVER}"
EMPTY = {"agents_join": [], "agents_leave": [], "approve": False, "moves": [],
         "rooms_made": [], "rooms_renamed": [], "rooms_dissolved": [],
         "rooms_changed": [], "direct_rooms": 0, "names": [],
         "humans_invited": 0, "kicked": 0}


def new(muster, org=None, folder="new", **settings):
    """Another configuration in a folder of its own; its path."""
    config = dict(muster.config, **settings)
    path = muster.write(f"{folder}/new.yaml", yaml.safe_dump(config))
    muster.write(f"{folder}/org.json", json.dumps(org or muster.org))
    return path


def with_(muster, path, expect=3):
    """Its document, and its words."""
    doc = muster.run("plan", "--with", path, "--json", expect=expect).json
    text = muster.run("plan", "--with", path, expect=expect).out
    assert set(doc) == {"steps", "summary", "removals"}
    assert set(doc["summary"]) == set(EMPTY)
    return doc, text


def edited(muster, localpart, **changes):
    org = json.loads(json.dumps(muster.org))
    for p in org["people"]:
        if p["matrixId"] == full(localpart):
            p.update(changes)
    return org


AGAIN = b'"msg":"the configuration was read again"'


def contents(folder):
    """Every file, by what is in it; but that the service reads young files
    twice, which it does in its own time."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    found[path] = hashlib.sha256(b"".join(
                        line for line in f if AGAIN not in line)).hexdigest()
    return found


def wait_said(muster, hs):
    """Until the service has nothing more to log of what it did."""
    def said():
        log = muster.daemon.output()
        return "as declared, as far as it can be" in log and log.count(
            '"msg":"transaction"') == len([d for d in hs.deliveries
                                           if d.taken])
    wait_until(said, 20, "everything is in the log")


def test_the_same(declared_on_conduit):
    muster, hs = declared_on_conduit
    doc, text = with_(muster, new(muster), expect=0)
    assert doc == {"steps": [], "summary": EMPTY, "removals": 0}
    assert text == "no steps\n"
    assert hs.requests == []


def test_somebody_joins(declared_on_conduit):
    muster, hs = declared_on_conduit
    org = small.org()
    org["people"].append(person("dora.ic", "IC", "Platform", "ben.man",
                                small.DEPARTMENT))
    doc, text = with_(muster, new(muster, org))
    summary = doc["summary"]
    assert summary == {**EMPTY, "agents_join": [full("dora.ic")],
                       "direct_rooms": 2}
    assert f"join the fleet: 1: {full('dora.ic')}\n" in text
    assert "direct rooms to be made: 2\n" in text
    assert {s["kind"] for s in doc["steps"]} == {
        "register", "profile", "login", "hand_off", "invite", "join",
        "create_room", "direct_mark"}
    assert text.splitlines()[-1] == f"{len(doc['steps'])} steps"
    assert muster.run("plan", "--json", expect=0).json["steps"] == []
    assert hs.requests == []


def test_somebody_leaves_and_all_but_one(declared_on_conduit):
    muster, _ = declared_on_conduit
    doc, text = with_(muster, new(muster, small.org("anna.vp", "ben.man")))
    assert doc["summary"] == {**EMPTY, "agents_leave": [full("cleo.ic")]}
    assert doc["removals"] == 0
    assert ("revoke", full("cleo.ic")) in {
        (s["kind"], s["subject"]) for s in doc["steps"]}
    assert f"leave the fleet: 1: {full('cleo.ic')}\n" in text
    gone = [full("ben.man"), full("cleo.ic")]
    doc, text = with_(muster, new(muster, small.org("anna.vp")))
    assert doc["removals"] == 2
    assert doc["summary"] == {
        **EMPTY, "agents_leave": gone, "approve": True,
        "rooms_dissolved": [PLATFORM]}
    assert ("2 agents would be retired: more than a third of the fleet: "
            "nothing of that is done until `muster approve`\n") in text
    assert f"rooms dissolved: 1: {PLATFORM}\n" in text


def test_somebody_is_promoted_and_moves(declared_on_conduit):
    muster, _ = declared_on_conduit
    org = edited(muster, "ben.man", level="Director", team=None,
                 name="Benedict Man")
    doc, text = with_(muster, new(muster, org))
    assert doc["summary"] == {
        **EMPTY,
        "moves": [{"user_id": full("ben.man"), "out_of": [PLATFORM],
                   "into": [LEADERS]}],
        "rooms_changed": doc["summary"]["rooms_changed"],
        "names": [{"user_id": full("ben.man"), "from": "Ben Man",
                   "to": "Benedict Man"}]}
    assert f"  {full('ben.man')}: out of {PLATFORM}; into {LEADERS}\n" in text
    assert (f"  {full('ben.man')}: \"Ben Man\" becomes \"Benedict Man\"\n"
            in text)


def test_somebody_goes_to_another_department(declared_on_conduit):
    """Its file is elsewhere then, with another token."""
    muster, _ = declared_on_conduit
    org = edited(muster, "cleo.ic", department="Sales")
    doc, _ = with_(muster, new(muster, org))
    assert [(s["kind"], s["reason"]) for s in doc["steps"]
            if s["subject"] == full("cleo.ic")
            and s["kind"] in ("login", "hand_off")] == [
        ("login", "its department is another: its file is elsewhere"),
        ("hand_off", "its token is not in the runtime directory")]
    muster.stop()
    muster.write_org(org)
    assert muster.json("plan")["steps"] == doc["steps"]


def test_two_become_a_pair(declared_on_conduit):
    """A direct room is no change of rooms."""
    muster, _ = declared_on_conduit
    org = edited(muster, "cleo.ic", reportsTo=full("anna.vp"))
    doc, _ = with_(muster, new(muster, org))
    assert doc["summary"] == {**EMPTY, "direct_rooms": 1}


def test_a_team_is_renamed(declared_on_conduit):
    muster, _ = declared_on_conduit
    org = json.loads(json.dumps(muster.org).replace('"Platform"', '"Base"'))
    doc, text = with_(muster, new(muster, org))
    base = f"#base-team:{SERVER}"
    assert doc["summary"]["rooms_renamed"] == [
        {"from": PLATFORM, "to": base}]
    assert doc["summary"]["rooms_dissolved"] == []
    assert doc["summary"]["rooms_made"] == []
    assert doc["summary"]["moves"] == []
    assert f"  {PLATFORM} becomes {base}, and keeps its room\n" in text


def test_a_room_more_and_a_topic(declared_on_conduit):
    muster, _ = declared_on_conduit
    path = new(muster, rooms=[
        {"alias": "all-employees", "topic": "Everybody",
         "members": {"everyone": True}},
        {"alias": "engineering-leadership", "members": {"level": ["VP"]}},
        {"alias": "platform-team", "members": {"team": "Platform"}},
        {"alias": "lunch", "members": {"level": ["IC", "VP", "CEO"]}}])
    doc, text = with_(muster, path)
    lunch = f"#lunch:{SERVER}"
    assert doc["summary"]["rooms_made"] == [lunch]
    assert doc["summary"]["moves"] == [
        {"user_id": full(a), "out_of": [], "into": [lunch]}
        for a in ("anna.vp", "cleo.ic")]
    assert {"room": ALL, "type": "m.room.topic"} in (
        doc["summary"]["rooms_changed"])
    assert f"rooms made: 1: {lunch}\n" in text
    assert f"  {ALL}: m.room.topic\n" in text or (
        f"  {ALL}: m.room.topic" in text)


def test_many(declared_on_conduit):
    """Ten by name, the others counted."""
    muster, _ = declared_on_conduit
    org = small.org()
    for n in range(13):
        org["people"].append(person(f"x{n:02}", "IC", "Platform", "ben.man",
                                    small.DEPARTMENT))
    doc, text = with_(muster, new(muster, org))
    assert len(doc["summary"]["agents_join"]) == 13
    line = next(t for t in text.splitlines() if t.startswith("join the fleet"))
    assert line.startswith(f"join the fleet: 13: {full('x00')}, ")
    assert line.endswith(f"{full('x09')} and 3 more")


def test_nothing_is_touched(declared_on_conduit):
    """Neither while the service runs, nor when it does not, nor when nothing
    was ever started."""
    muster, hs = declared_on_conduit
    path = new(muster, small.org("anna.vp", "ben.man"))
    hs.wait_quiet()
    wait_said(muster, hs)
    before = contents(muster.dir)
    with_(muster, path)
    after = contents(muster.dir)
    assert {p for p in before | after if before.get(p) != after.get(p)} <= {
        muster.path("muster.db-shm")}
    muster.stop()
    before = contents(muster.dir)
    doc, _ = with_(muster, path)
    assert doc["summary"]["agents_leave"] == [full("cleo.ic")]
    after = contents(muster.dir)
    left = {p: v for p, v in after.items()
            if not p.endswith(("-shm", "-wal"))}
    assert left == {p: v for p, v in before.items()
                    if not p.endswith(("-shm", "-wal"))}
    assert muster.json("agents")[-1]["state"] == "handed_off"
    assert hs.requests == []


def test_before_anything_was_started(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    path = new(muster)
    before = contents(muster.dir)
    doc, _ = with_(muster, path)
    assert doc["summary"]["agents_join"] == sorted(map(full, AGENTS))
    assert doc["summary"]["rooms_made"] == [ALL, LEADERS, PLATFORM]
    assert doc["summary"]["direct_rooms"] == 3
    assert doc["summary"]["moves"] == []
    # Into the three rooms where it is; the direct one is another matter.
    assert doc["summary"]["humans_invited"] == sum(
        HUMAN in members for members in small.ROOMS.values())
    assert contents(muster.dir) == before
    assert not os.path.exists(muster.runtime)
    assert hs.requests == []


def test_it_comes_true(declared_on_conduit):
    """The plan of the new files, once they are served, was the one said."""
    muster, hs = declared_on_conduit
    org = edited(muster, "ben.man", level="Director", name="Benedict Man")
    doc, _ = with_(muster, new(muster, org))
    muster.stop()
    muster.write_org(org)
    assert muster.json("plan")["steps"] == doc["steps"]
    muster.start()
    small.wait_settled(muster, hs)
    assert hs.user("ben.man").displayname == "Benedict Man"
    assert with_(muster, new(muster), expect=0)[0]["steps"] == []


def test_another_homeserver(declared_on_conduit):
    muster, hs = declared_on_conduit
    other = dict(muster.config["homeserver"], url="http://127.0.0.1:1")
    got = muster.run("plan", "--with", new(muster, homeserver=other), expect=2)
    assert "homeserver.url is http://127.0.0.1:1" in got.err
    assert hs.url in got.err and got.out == ""
    other = dict(muster.config["homeserver"], server_name="else.test")
    org = json.loads(json.dumps(muster.org).replace(SERVER, "else.test"))
    got = muster.run("plan", "--with", new(muster, org, homeserver=other),
                     expect=2)
    assert "homeserver.server_name is else.test" in got.err
    assert "a plan is made for one homeserver" in got.err


def test_what_is_wrong_with_it(declared_on_conduit):
    """As `check` says it; what is wrong with the old files is no matter."""
    muster, _ = declared_on_conduit
    path = new(muster, edited(muster, "ben.man", level="Boss"))
    got = muster.run("plan", "--with", path, expect=2)
    there = muster.path("new", "org.json")
    assert f"{there}:" in got.err and "Boss" in got.err and got.out == ""
    got = muster.run("plan", "--with", muster.path("none.yaml"), expect=2)
    assert f"none.yaml: there is no such file: make it of a copy of " \
        f"{muster.path('muster.yaml')}" in got.err
    path = new(muster)
    os.unlink(muster.path("org.json"))
    with_(muster, path, expect=0)


def test_wrong_use(declared_on_conduit):
    muster, _ = declared_on_conduit
    path = new(muster)
    got = muster.run("rooms", "--with", path, expect=2)
    assert "--with is of `muster plan`" in got.err
    assert "--with needs a value" in muster.run("plan", "--with", expect=2).err
    got = muster.run("plan", path, expect=2)
    assert "takes no argument" in got.err
