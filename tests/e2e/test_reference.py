"""The reference fleet's own files, read as they are (MUSTER_FIXTURES names
their folder): what its manager made with passwords, made without."""

import json
import os
import shutil

import pytest

from support.fleet import KINDS, Declared, Fleet, real_homeserver
from support.muster import Muster, reference_fleet

SERVER = "anycompany.corp"
HUMAN = f"@manu.mishra:{SERVER}"
BOT = f"@task.assignments:{SERVER}"

pytestmark = pytest.mark.skipif(
    not reference_fleet(), reason="MUSTER_FIXTURES is not set")


def read(name):
    with open(os.path.join(reference_fleet(), name), encoding="utf-8") as f:
        return json.load(f)


@pytest.fixture(scope="module", params=KINDS)
def reference(request, tmp_path_factory):
    dir = str(tmp_path_factory.mktemp(request.param))
    hs = real_homeserver(request.param, SERVER, os.path.join(dir, "hs"))
    muster = Muster(os.path.join(dir, "muster"), hs, fleet={
        "config": "config.yaml", "org": "org.json"})
    for name in ("config.yaml", "org.json"):
        shutil.copyfile(os.path.join(reference_fleet(), name),
                        muster.path(name))
    fleet = Fleet(hs, muster, HUMAN)
    fleet.declared = Declared(
        SERVER, read("deployed-org.json")["people"], bot=BOT,
        everybody=read("org.json")["people"])
    try:
        fleet.run("check")
        muster.run("registration", expect=0)
        if hs.kind == "synapse":
            hs.start([muster.registration_path])
        else:
            hs.start()
        hs.human("manu.mishra")
        fleet.run("register")
        fleet.settle()
        yield fleet
    finally:
        try:
            muster.close()
        finally:
            hs.kill()


def test_check_and_register(reference):
    got = reference.steps["check"]
    assert got.code == 0, got
    assert "1001 people, 10 agents, 1 human" in got.out
    assert "25 direct rooms" in got.out
    assert reference.steps["register"].code == 0


def test_nine_agents_and_the_bot(reference):
    got = {a["user_id"]: a for a in reference.first["agents"]}
    people = {p["matrixId"]: p for p in read("deployed-org.json")["people"]
              if p["level"] != "CEO"}
    assert len(people) == 9
    assert set(got) == set(people) | {BOT}
    for user_id, person in people.items():
        row = got[user_id]
        assert row["state"] == "handed_off", row
        for key in ("name", "department", "team", "level"):
            assert row[key] == person[key]
        assert reference.human.displayname(user_id) == person["name"]
        local = user_id[1:].split(":")[0]
        assert os.path.exists(reference.muster.path(
            "runtime", person["department"], local, "matrix.json"))
    assert got[BOT]["state"] == "handed_off"
    reference.assert_tokens_good()


def test_rooms_of_the_default_policy(reference):
    rooms = {r["alias"]: r for r in reference.first["rooms"]
             if r["kind"] == "room"}
    assert set(rooms) == {f"#{name}:{SERVER}" for name in (
        "all-employees", "engineering-leadership", "frontend-team",
        "infrastructure-team")} == set(reference.declared.rooms)
    for alias, room in rooms.items():
        members = reference.declared.rooms[alias]
        assert set(room["declared"]) == members
        assert set(room["joined"]) == members - {HUMAN} | {reference.sender}
    everybody = rooms[f"#all-employees:{SERVER}"]
    assert len(everybody["declared"]) == 11
    assert everybody["invited"] == [HUMAN]
    assert [r["alias"] for r in rooms.values() if BOT in r["declared"]] == [
        f"#all-employees:{SERVER}"]


def test_25_direct_rooms(reference):
    rooms = [r for r in reference.first["rooms"] if r["kind"] == "direct"]
    assert len(rooms) == len({r["room_id"] for r in rooms}) == 25
    assert {frozenset(r["declared"]) for r in rooms} == (
        reference.declared.pairs)
    reference.assert_direct_marked()


def test_all_of_it_is_there_once(reference):
    assert reference.first["plan"].code == 0
    reference.assert_no_room_twice()
    reference.wait_same_members()


def test_restart_writes_nothing(reference):
    """Its manager sent 310 requests here."""
    reference.muster.restart()
    asked = reference.muster.json("status")["homeserver"]
    assert asked["writes"] == 0
    assert asked["requests"] <= 4 + 4, asked


def test_no_secret_is_shown(reference):
    reference.muster.assert_no_secret_shown()
