"""Started again: nothing is done twice, whatever of ours was lost."""

import glob
import json
import os
import shutil

import pytest

from support import small
from support.client import Client
from support.process import free_port, wait_until
from support.small import AGENTS, DEPARTMENT, HUMAN, ROOMS, full


def forget(muster):
    """The store is lost."""
    for path in glob.glob(muster.path("muster.db*")):
        os.unlink(path)


def handed_over(muster):
    """{localpart: (generation, token)}"""
    files = {a: muster.handoff(a) for a in AGENTS}
    return {a: (f["generation"], f["access_token"])
            for a, f in files.items()}


def serve_again(muster, hs):
    hs.clear_log()
    muster.start()
    small.wait_settled(muster, hs)


@pytest.fixture
def stopped(declared):
    """(muster, homeserver): all was made, the human came in, and the service
    has ended."""
    return end_of(*declared)


@pytest.fixture
def stopped_on_conduit(declared_on_conduit):
    """The same in Conduit's manner alone."""
    return end_of(*declared_on_conduit)


def end_of(muster, hs):
    human = hs.human(HUMAN)
    for room in list(hs.world.rooms.values()):
        if room.membership(full(HUMAN)) == "invite":
            human.join(room.room_id)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster, human="join")
    muster.stop()
    return muster, hs


def test_nothing_to_do(stopped):
    muster, hs = stopped
    files = {a: muster.handoff(a) for a in AGENTS}
    serve_again(muster, hs)
    assert hs.writes() == []
    assert small.status(muster)["homeserver"]["writes"] == 0
    asked = sorted(f"{r.method} {r.path.rpartition('/')[2]}"
                   for r in hs.requests)
    assert asked == sorted(
        ["GET versions", "GET whoami", "GET joined_rooms", "POST ping"]
        + ["GET joined_members"] * len(ROOMS))
    assert {r.room for r in hs.find("GET", "joined_members")} == {
        hs.room(alias).room_id for alias in ROOMS}
    assert small.status(muster)["homeserver"]["requests"] == len(hs.requests)
    assert {a: muster.handoff(a) for a in AGENTS} == files
    muster.stop()


def test_nothing_to_do_before_the_human_has_answered(declared):
    muster, hs = declared
    muster.stop()
    serve_again(muster, hs)
    assert hs.writes() == []
    small.assert_as_declared(hs, muster)


def test_lost_store(stopped):
    """What is there is found: rooms, direct rooms, tokens, marks."""
    muster, hs = stopped
    before = handed_over(muster)
    forget(muster)
    serve_again(muster, hs)
    assert handed_over(muster) == before
    assert hs.writes("POST", "/login$") == []
    assert hs.writes("POST", "/createRoom$") == []
    assert hs.writes("PUT") == []  # no mark, no name, no state
    assert hs.writes("POST", "/(invite|join|leave)$") == []
    assert {r.answer["errcode"] for r in hs.writes()} == {"M_USER_IN_USE"}
    assert len(hs.writes()) == 1 + len(AGENTS)
    small.assert_as_declared(hs, muster, human="join")


def test_lost_store_with_open_invitations(declared):
    muster, hs = declared
    muster.stop()
    forget(muster)
    serve_again(muster, hs)
    assert hs.writes("POST", "/(invite|join)$") == []
    small.assert_as_declared(hs, muster)


def test_lost_store_does_not_ask_back_who_has_left(stopped_on_conduit):
    muster, hs = stopped_on_conduit
    room = hs.room("all-employees")
    Client(hs.url).login(HUMAN, "a human's password").leave(room.room_id)
    forget(muster)
    serve_again(muster, hs)
    assert room.membership(full(HUMAN)) == "leave"
    assert hs.writes("POST", "/invite$") == []


def test_lost_store_and_one_lost_file(stopped):
    muster, hs = stopped
    before = handed_over(muster)
    forget(muster)
    os.unlink(muster.path("runtime", DEPARTMENT, "ben.man", "matrix.json"))
    serve_again(muster, hs)
    login, = hs.writes("POST", "/login$")
    assert login.body["identifier"]["user"] == full("ben.man")
    assert login.body["device_id"] == "MUSTER"
    after = handed_over(muster)
    assert after["ben.man"] == (1, login.answer["access_token"])
    for other in ("anna.vp", "cleo.ic"):
        assert after[other] == before[other]
    small.assert_as_declared(hs, muster, human="join")


def test_a_lost_file_gets_a_larger_generation(stopped_on_conduit):
    muster, hs = stopped_on_conduit
    before = handed_over(muster)
    os.unlink(muster.path("runtime", DEPARTMENT, "ben.man", "matrix.json"))
    serve_again(muster, hs)
    login, = hs.writes()
    assert login.path.endswith("/login")
    after = handed_over(muster)
    assert after["ben.man"] == (2, login.answer["access_token"])
    assert {a: after[a] for a in ("anna.vp", "cleo.ic")} == {
        a: before[a] for a in ("anna.vp", "cleo.ic")}
    small.assert_as_declared(hs, muster, human="join")


def test_lost_store_and_a_file_whose_token_is_dead(stopped_on_conduit):
    """AS-137."""
    muster, hs = stopped_on_conduit
    for token in hs.tokens_of("cleo.ic"):
        del hs.world.tokens[token]
    hs.user("cleo.ic").devices["MUSTER"].tokens = []
    forget(muster)
    serve_again(muster, hs)
    login, = hs.writes("POST", "/login$")
    assert login.body["identifier"]["user"] == full("cleo.ic")
    assert muster.handoff("cleo.ic")["generation"] == 2
    small.assert_as_declared(hs, muster, human="join")


def test_a_broken_file_is_replaced(stopped_on_conduit):
    muster, hs = stopped_on_conduit
    path = muster.path("runtime", DEPARTMENT, "anna.vp", "matrix.json")
    generation = 1
    for broken in (b"", b"{", bytes(64), b'{"muster":1}', b"[1,2,3]"):
        with open(path, "wb") as f:
            f.write(broken)
        serve_again(muster, hs)
        assert [r.path.rpartition("/")[2] for r in hs.writes()] == ["login"]
        generation += 1
        assert muster.handoff("anna.vp")["generation"] == generation
        muster.stop()
    small.assert_as_declared(hs, muster, human="join")


def test_somebody_elses_file_is_replaced(stopped_on_conduit):
    muster, hs = stopped_on_conduit
    folder = muster.path("runtime", DEPARTMENT)
    shutil.copy(os.path.join(folder, "anna.vp", "matrix.json"),
                os.path.join(folder, "ben.man", "matrix.json"))
    serve_again(muster, hs)
    assert len(hs.writes("POST", "/login$")) == 1
    small.assert_as_declared(hs, muster, human="join")


def test_everything_of_ours_is_lost(stopped_on_conduit):
    """Only the registration is left: rooms stay, tokens are new."""
    muster, hs = stopped_on_conduit
    forget(muster)
    shutil.rmtree(muster.runtime)
    serve_again(muster, hs)
    assert len(hs.writes("POST", "/login$")) == len(AGENTS)
    assert hs.writes("POST", "/createRoom$") == []
    small.assert_as_declared(hs, muster, human="join")


def test_the_homeserver_was_wiped(stopped):
    """Its database is new: all is made again, and no old token handed out."""
    muster, hs = stopped
    old = handed_over(muster)
    hs.wipe()
    if hs.conduit:
        hs.add_appservice(muster.registration_path)
    forget(muster)
    serve_again(muster, hs)
    after = handed_over(muster)
    assert all(after[a][1] != old[a][1] and after[a][0] > old[a][0]
               for a in AGENTS)
    small.assert_as_declared(hs, muster)


@pytest.mark.parametrize("sender_is_there", [True, False])
def test_the_homeserver_was_wiped_and_we_were_not(stopped, sender_is_there):
    """The store tells of what is no more: it is found out, said, and all is
    made again; `register` may have made our own user already."""
    muster, hs = stopped
    old = handed_over(muster)
    hs.wipe()
    if hs.conduit:
        hs.add_appservice(muster.registration_path)
    if sender_is_there:
        service = hs.appservices["muster"]
        hs.world.add_user(service.sender, "x" if hs.conduit else None)
    serve_again(muster, hs)
    after = handed_over(muster)
    assert all(after[a][1] != old[a][1] and after[a][0] > old[a][0]
               for a in AGENTS)
    small.assert_as_declared(hs, muster)
    assert "has forgotten our accounts" in muster.daemon.output()
    assert [r["action"] for r in muster.json("audit")].count("forget") == 1


def test_the_homeserver_is_wiped_while_we_run(fresh_on_conduit):
    """It becomes ready again only when all is there again. AS-105."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    old = handed_over(muster)
    hs.wipe()
    wait_until(lambda: not small.status(muster)["ready"], 20, "not ready")
    hs.add_appservice(muster.registration_path)
    small.wait_settled(muster, hs, 90)
    after = handed_over(muster)
    assert all(after[a][1] != old[a][1] for a in AGENTS)
    small.assert_tokens(hs, muster)
    small.assert_policy_rooms(hs, muster)


def test_another_address_of_the_homeserver(stopped):
    """Agents are told, with the token they have."""
    muster, hs = stopped
    before = handed_over(muster)
    hs.stop()
    hs.port = free_port()
    hs.start()
    muster.write_config(homeserver={"url": hs.url})
    serve_again(muster, hs)
    assert hs.writes() == []
    for a in AGENTS:
        got = muster.handoff(a)
        assert got["homeserver"] == hs.url
        assert (got["generation"], got["access_token"]) == (
            before[a][0] + 1, before[a][1])
    small.assert_as_declared(hs, muster, human="join")


def test_another_public_address(stopped_on_conduit):
    muster, hs = stopped_on_conduit
    muster.write_config(
        homeserver={"public_url": "http://homeserver.example:6167"})
    serve_again(muster, hs)
    assert hs.writes() == []
    assert {muster.handoff(a)["homeserver"] for a in AGENTS} == {
        "http://homeserver.example:6167"}


def test_more_people(stopped):
    """One more is declared and deployed: that one waits for the registration,
    the others do not; then only what that one needs is done."""
    muster, hs = stopped
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", "Platform", "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    # Nobody can register again by itself.
    muster.write_config(homeserver={"admin": None})
    serve_again(muster, hs)
    row = small.agent(muster, "dora.ic")
    assert row["state"] == "blocked" and "muster register" in row["error"]
    assert hs.writes("POST", "/(login|createRoom|invite)$") == []
    muster.stop()
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    serve_again(muster, hs)
    dora = full("dora.ic")
    assert {r.body["username"] for r in hs.writes("POST", "/register$")} == {
        "dora.ic"}
    assert {r.body["identifier"]["user"]
            for r in hs.writes("POST", "/login$")} == {dora}
    made = hs.writes("POST", "/createRoom$")
    assert len(made) == 2  # with the manager, and with the other report
    assert all(r.body["is_direct"] for r in made)
    for alias in ("all-employees", "platform-team"):
        assert hs.room(alias).membership(dora) == "join"
    assert hs.room("engineering-leadership").membership(dora) is None


def test_a_person_less(stopped_on_conduit):
    """Who is declared no more is retired: out of its rooms, its tokens are
    ended, its account stays."""
    muster, hs = stopped_on_conduit
    muster.write_org(muster.without("cleo.ic"))
    serve_again(muster, hs)
    assert [(a["user_id"], a["state"]) for a in muster.json("agents")] == [
        (full("anna.vp"), "handed_off"), (full("ben.man"), "handed_off"),
        (full("cleo.ic"), "retired")]
    assert hs.room("platform-team").membership(full("cleo.ic")) == "leave"
    assert hs.room("all-employees").membership(full("cleo.ic")) == "leave"
    assert hs.tokens_of("cleo.ic") == []
    assert hs.user("cleo.ic").registered
    grave = json.loads(muster.read("runtime/Engineering/cleo.ic/matrix.json"))
    assert grave["revoked_ms"] > 0 and "access_token" not in grave
    assert {r.path.rsplit("/", 1)[1] for r in hs.writes()} == {
        "all", "leave"}


def test_delivered_while_it_was_away(stopped_on_conduit):
    """What happened meanwhile is not lost."""
    muster, hs = stopped_on_conduit
    human = Client(hs.url).login(HUMAN, "a human's password")
    room = hs.room("all-employees")
    human.leave(room.room_id)
    wait_until(lambda: any(not d.taken for d in hs.deliveries), 10,
               "a delivery to fail")
    serve_again(muster, hs)
    wait_until(lambda: small.stored_memberships(muster)[
        (room.room_id, full(HUMAN))] == "leave", 10, "the news to arrive")
