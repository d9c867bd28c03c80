"""From an empty homeserver to everything as declared."""

import re

import pytest

from support import small
from support.fakehs import delay
from support.small import AGENTS, HUMAN, SENDER, full


def test_from_nothing_to_everything(fresh):
    muster, hs = fresh
    before = muster.run("plan", "--json")
    assert before.code == 3
    kinds = [step["kind"] for step in before.json["steps"]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "register": 4, "profile": 4, "login": 3, "hand_off": 3,
        "create_room": 6, "invite": 7, "join": 8, "direct_mark": 3}
    assert hs.requests == []  # planning asks nobody
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    # As many writes as were planned; what is handed off is no request.
    writes = [r for r in hs.writes() if r.status == 200]
    assert len(writes) == len(kinds) - kinds.count("hand_off")
    assert all(r.status < 400 or r.method == "GET" for r in hs.requests)
    after = muster.run("plan", "--json", expect=0)
    assert after.json["steps"] == []


def test_accounts_are_made_as_they_should(fresh):
    """AS-108, AS-109, AS-115."""
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    made = hs.find("POST", r"/register$")
    assert made[0].body["username"] == SENDER
    assert hs.writes()[0] is made[0]
    assert sorted(r.body["username"] for r in made) == sorted(
        [SENDER, *AGENTS])
    for r in made:
        assert r.body["type"] == "m.login.application_service"
        assert r.body["inhibit_login"] is True
        assert ("password" in r.body) == hs.conduit
    if hs.conduit:
        passwords = {r.body["password"] for r in made}
        assert len(passwords) == 4
        assert all(re.fullmatch(r"[0-9a-f]{32,}", p) for p in passwords)
    logins = hs.find("POST", r"/login$")
    assert sorted(r.body["identifier"]["user"] for r in logins) == sorted(
        map(full, AGENTS))
    assert {r.body["device_id"] for r in logins} == {"MUSTER"}
    assert {muster.handoff(a)["generation"] for a in AGENTS} == {1}


def test_a_name_stands_before_the_first_invitation(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    hs.fault("PUT", "/displayname$", delay(0.5), times=2, skip=1)
    muster.start()
    small.wait_settled(muster, hs)
    for agent in AGENTS:
        named, = hs.find("PUT", rf"/profile/{re.escape(full(agent))}/display")
        shown = [r for r in hs.writes() if isinstance(r.body, dict) and (
            r.body.get("user_id") == full(agent)
            or full(agent) in r.body.get("invite", []))]
        made = [r for r in hs.find("POST", "/createRoom$")
                if r.user == full(agent)]
        assert shown
        assert named.ended < min(r.started for r in shown + made)


def test_who_does_what_in_a_room(fresh):
    """The service's user makes and invites; agents join as themselves.
    AS-153."""
    muster, hs = fresh
    muster.start()
    small.wait_settled(muster, hs)
    joins = hs.find("POST", r"/join")
    assert len(joins) == 6 + 2  # in rooms of the policy, in direct rooms
    assert {r.user for r in joins} == set(map(full, AGENTS))
    assert {r.user for r in hs.find("POST", "/invite$")} == {full(SENDER)}
    made = hs.find("POST", "/createRoom$")
    assert [r.user for r in made if not r.body.get("is_direct")] == [
        full(SENDER)] * 3
    direct = [r for r in made if r.body.get("is_direct")]
    assert len(direct) == 3
    assert {r.user for r in direct} <= set(map(full, AGENTS))
    assert not any(full(SENDER) in (r.user, *r.body["invite"])
                   for r in direct)
    assert not any(r.user == full(HUMAN) for r in hs.requests)
    marks = hs.find("PUT", r"/account_data/m\.direct$")
    assert sorted(r.user for r in marks) == sorted(map(full, AGENTS))


def test_a_room_is_never_worked_on_twice_at_once(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    hs.latency = 0.01
    muster.start()
    small.wait_settled(muster, hs)
    assert hs.log.overlaps == []
    assert hs.log.most_in_flight > 1


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_in_flight_than_allowed(fresh_on_conduit, most):
    muster, hs = fresh_on_conduit
    hs.latency = 0.01
    muster.write_config(reconcile={"concurrency": most})
    muster.start()
    small.wait_settled(muster, hs)
    assert hs.log.most_in_flight == most
    small.assert_as_declared(hs, muster)


def test_connections_are_kept(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"concurrency": 2})
    muster.start()
    small.wait_settled(muster, hs)
    assert len(hs.requests) > 40
    assert len({r.connection for r in hs.requests}) == 2


def test_the_human_comes_in(fresh):
    muster, hs = fresh
    human = hs.human(HUMAN)
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    invited = [room.room_id for room in hs.world.rooms.values()
               if room.membership(full(HUMAN)) == "invite"]
    assert len(invited) == 2
    for room in invited:
        human.join(room)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster, human="join")
    assert hs.writes() == []
