"""The verbs that ask the service for something about people and rooms:
retire, approve, retry, direct; and how what they are about is shown."""

import sqlite3
import time

import pytest

from support import small
from support.client import Client
from support.fakehs import answer, delay
from support.process import wait_until
from support.small import AGENTS, HUMAN, SENDER, SERVER, full

ALL = "all-employees"
PLATFORM = "platform-team"
FORBIDDEN = {"errcode": "M_FORBIDDEN", "error": "the words of the homeserver"}


def alias(name):
    return f"#{name}:{SERVER}"


def shown(muster, name):
    """A room as `muster rooms` has it."""
    return next(r for r in muster.json("rooms") if r["alias"] == alias(name))


def audited(muster, action):
    """(actor, subject, detail) of what was asked for, oldest first."""
    return [(r["actor"], r["subject"], r["detail"])
            for r in reversed(muster.json("audit")) if r["action"] == action]


def serve_with(muster, hs, org, settled=True):
    """The service with another organisation."""
    muster.stop()
    muster.write_org(org)
    muster.start()
    if settled:
        small.wait_settled(muster, hs)
    return muster


def human_in(muster, hs):
    """The fleet's human, who has come into the rooms of the policy."""
    human = hs.human(HUMAN)
    for name in small.ROOMS:
        if hs.room(name).membership(full(HUMAN)) == "invite":
            human.join(hs.room(name).room_id)
    small.wait_settled(muster, hs)
    return human


def kick_twice(muster, hs, human, name, agent):
    """The second time it stays out."""
    room = hs.room(name)
    for again in (True, False):
        human.kick(room.room_id, full(agent), "out of here")
        if again:
            wait_until(lambda: room.membership(full(agent)) == "join", 20,
                       "it to be back")
    small.wait_settled(muster, hs)
    assert room.membership(full(agent)) == "leave"
    return room


def away(muster, hs):
    """The homeserver is down, and the service knows."""
    muster.stop()
    hs.stop()
    muster.start(ready=False)
    muster.daemon.wait_for(
        lambda: small.status(muster)["why_not"], 20, "it to answer")


# -- what is shown


def test_nothing_unusual(declared_on_conduit):
    muster, _ = declared_on_conduit
    now = muster.json("status")
    del now["direct"]["rate"]
    assert now["direct"] == {
        "mode": "eager", "declared": 3, "wanted": 3, "made": 3, "later": 0,
        "per_minute": 600, "left_s": 0}
    assert now["removals"] == {"waiting": 0, "agents": [], "why": None}
    assert (now["held"], now["troubles"]) == (0, 0)
    for room in muster.json("rooms"):
        assert (room["held"], room["removals"], room["held_why"],
                room["missing_since_ms"]) == ([], [], None, None)
    assert [a["leaving"] for a in muster.json("agents")] == [False] * 3
    assert muster.json("plan") == {"steps": [], "removals": 0}
    assert ("direct rooms eager: 3 pairs declared, 3 of 3 rooms made\n"
            in muster.run("status", expect=0).out)


def test_direct_rooms_on_their_way(fresh_on_conduit):
    """How many, how fast, and how long it takes."""
    muster, hs = fresh_on_conduit
    muster.write_config(direct={"per_minute": 1})
    muster.start()
    muster.daemon.wait_for(
        lambda: small.status(muster)["direct"]["made"] == 1, 20, "the first")
    direct = small.status(muster)["direct"]
    del direct["rate"]
    assert direct == {"mode": "eager", "declared": 3, "wanted": 3, "made": 1,
                      "later": 2, "per_minute": 1, "left_s": 120}
    assert ("1 of 3 rooms made; 2 to be made, 1 a minute, 2:00 minutes left"
            in muster.run("status").out)
    assert len([r for r in muster.json("rooms")
                if r["kind"] == "direct"]) == 3


def test_direct_rooms_that_are_not_to_be_made(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.write_config(direct={"create": "on_demand"})
    before = muster.json("rooms")
    assert {r["kind"] for r in before} == {"room"}
    muster.start()
    small.wait_settled(muster, hs)
    direct = small.status(muster)["direct"]
    assert (direct["mode"], direct["declared"], direct["wanted"]) == (
        "on_demand", 3, 0)
    assert {r["kind"] for r in muster.json("rooms")} == {"room"}
    assert "direct rooms: 0" in muster.run("rooms", expect=0).out


def test_who_is_kept_out(declared_on_conduit):
    muster, hs = declared_on_conduit
    human = human_in(muster, hs)
    kick_twice(muster, hs, human, ALL, "cleo.ic")
    human.ban(hs.room(ALL).room_id, full("ben.man"))
    small.wait_settled(muster, hs)
    room = shown(muster, ALL)
    assert room["missing"] == []
    assert room["held"] == [full("ben.man"), full("cleo.ic")]
    banned, kicked = room["removals"]
    assert (banned["user_id"], banned["by"], banned["ban"]) == (
        full("ben.man"), full(HUMAN), True)
    assert (kicked["user_id"], kicked["by"], kicked["ban"],
            kicked["times"]) == (full("cleo.ic"), full(HUMAN), False, 2)
    assert kicked["at_ms"] > 0
    text = muster.run("rooms", expect=0).out
    assert (f"held: {full('cleo.ic')} in {alias(ALL)}: removed by "
            f"{full(HUMAN)} at ") in text
    assert f", twice: `muster retry {full('cleo.ic')}` asks it in again" in (
        text)
    assert f"held: {full('ben.man')} in {alias(ALL)}: banned by" in text
    assert small.status(muster)["held"] == 2


def test_a_room_in_trouble(synapse_fake, muster_on):
    """Somebody took the service's power: said where the room is shown."""
    hs = synapse_fake
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    room = hs.room(PLATFORM)
    levels = room.content("m.room.power_levels")
    with hs.lock:
        hs.world.append(room, full(SENDER), "m.room.power_levels", {
            **levels, "users": {**levels["users"], full(SENDER): 0}}, "")
    muster.daemon.wait_for(
        lambda: small.status(muster)["troubles"] == 1, 20, "trouble")
    rooms = {r["alias"]: r["held_why"] for r in muster.json("rooms")}
    assert rooms[alias(ALL)] is None
    assert "has power 0 in it" in rooms[alias(PLATFORM)]
    assert f"trouble: {alias(PLATFORM)}: the service's own user has power" in (
        muster.run("rooms", expect=0).out)
    got = muster.run("retry", "#" + PLATFORM, expect=1)
    assert rooms[alias(PLATFORM)] in got.err


# -- retire, approve


def test_one_of_three_needs_nobody(declared_on_conduit):
    muster, hs = declared_on_conduit
    serve_with(muster, hs, muster.without("cleo.ic"))
    agent = small.agent(muster, "cleo.ic")
    assert (agent["state"], agent["leaving"]) == ("retired", False)
    assert [a["user_id"] for a in muster.json("agents")][-1] == full("cleo.ic")
    got = muster.run("approve", expect=0)
    assert got.out == (
        "nobody waits to be let go: there is nothing to approve\n")
    assert muster.run("approve", "--json").json["asked"]["agents"] == []
    assert muster.run("retire", "cleo.ic", expect=0).out == (
        f"{full('cleo.ic')} is retired already\n")
    assert audited(muster, "approve") == []


@pytest.fixture
def emptied(declared_on_conduit):
    """Two of three are declared no more: too many to go by themselves."""
    muster, hs = declared_on_conduit
    serve_with(muster, hs, small.org("anna.vp"))
    return muster, hs


def test_too_many_wait(emptied):
    muster, hs = emptied
    now = small.status(muster)
    gone = [full("ben.man"), full("cleo.ic")]
    why = ("2 of 3 agents are not declared any more: nothing of it is done "
           "until `muster approve`")
    assert now["removals"] == {"waiting": 2, "agents": gone, "why": why}
    assert now["ready"]
    assert [(a["user_id"], a["state"], a["leaving"])
            for a in muster.json("agents")] == [
        (full("anna.vp"), "handed_off", False),
        (gone[0], "handed_off", True), (gone[1], "handed_off", True)]
    text = muster.run("status", expect=0).out
    assert why in text and f"  {gone[0]}\n" in text
    assert "handed_off, leaving" in muster.run("agents").out
    got = muster.run("plan", expect=0)
    assert "nothing of it is done until `muster approve`" in got.out
    assert muster.json("plan")["removals"] == 2
    assert hs.writes("POST", r"/leave$") == []


def test_approve(emptied):
    """Not said before it is so, however long that takes."""
    muster, hs = emptied
    hs.fault("POST", r"/(leave|logout/all)$", delay(0.5), times=None)
    got = muster.run("approve", expect=0)
    assert got.out == ("2 agents are retired: out of their rooms, their tokens "
                       "are ended\n")
    for agent in ("ben.man", "cleo.ic"):
        assert small.agent(muster, agent)["state"] == "retired"
        assert hs.room(ALL).membership(full(agent)) == "leave"
        assert hs.tokens_of(agent) == []
        assert hs.user(agent).registered
    assert hs.room(ALL).membership(full("anna.vp")) == "join"
    assert audited(muster, "approve") == [
        ("operator", None, "2 of 3 agents may leave")]
    assert small.status(muster)["removals"]["waiting"] == 0
    assert muster.run("approve", expect=0).out.startswith("nobody waits")


def test_retire_one_who_waits(emptied):
    muster, hs = emptied
    got = muster.run("retire", "ben.man", "--json", expect=0).json
    assert got["result"] == "done"
    assert got["asked"]["user_id"] == full("ben.man")
    assert got["progress"]["state"] == "retired"
    assert small.agent(muster, "ben.man")["state"] == "retired"
    assert ("operator", full("ben.man"), "it may leave") in audited(
        muster, "retire")
    assert hs.room(ALL).membership(full("ben.man")) == "leave"


def test_retire_one_of_all_and_it_fails(declared_on_conduit):
    """It does not wait for anybody any more; the others do."""
    muster, hs = declared_on_conduit
    serve_with(muster, hs, small.org("nobody"))
    assert small.status(muster)["removals"]["waiting"] == 3
    hs.fault("POST", r"/logout/all", answer(403, FORBIDDEN), times=None)
    got = muster.run("retire", full("ben.man"), expect=1)
    assert FORBIDDEN["error"] in got.err.splitlines()[-1]
    now = small.status(muster)["removals"]
    others = [full("anna.vp"), full("cleo.ic")]
    assert (now["waiting"], now["agents"]) == (2, others)
    assert muster.run("approve", "--json").json["asked"]["agents"] == others


@pytest.mark.parametrize("user, said", [
    ("anna.vp", "is declared: take it out of the files first"),
    (HUMAN, "is a human"), (SENDER, "is the service's own user"),
    ("nobody", "there is no @nobody:fleet.test"),
    ("@x:else.where", "there is no @x:else.where"),
    ("", "is no user"), ("A B", "is no user")])
def test_who_is_not_retired(declared_on_conduit, user, said):
    muster, hs = declared_on_conduit
    got = muster.run("retire", user, expect=2)
    assert said in got.err and got.out == ""
    assert audited(muster, "retire") == []
    assert hs.requests == []


def test_approve_and_it_fails(emptied):
    muster, hs = emptied
    hs.fault("POST", r"/logout/all", answer(403, FORBIDDEN), times=None)
    got = muster.run("approve", "--json", expect=1)
    assert got.json["result"] == "failed"
    failed = got.json["progress"]["failed"]
    assert {(f["kind"], f["subject"]) for f in failed} == {
        ("revoke", full("ben.man")), ("revoke", full("cleo.ic"))}
    assert FORBIDDEN["error"] in got.err.splitlines()[-1]


def test_approve_while_the_homeserver_is_away(emptied):
    """It is written down, and goes on when it is back."""
    muster, hs = emptied
    away(muster, hs)
    got = muster.run("approve", "--json", expect=3)
    assert got.json["result"] == "pending"
    assert got.json["progress"]["pending"] > 0
    assert "it is written down, and goes on by itself" in got.err
    hs.restart()
    muster.daemon.wait_for(
        lambda: small.agent(muster, "cleo.ic")["state"] == "retired", 80,
        "them to be retired")


# -- retry


def test_nothing_to_try_again(declared_on_conduit):
    muster, hs = declared_on_conduit
    assert muster.run("retry", expect=0).out == "no step has failed\n"
    assert muster.run("retry", "cleo.ic", expect=0).out == (
        f"nothing of {full('cleo.ic')} had failed, and nobody keeps it out\n")
    assert muster.run("retry", alias(ALL), expect=0).out == (
        f"{alias(ALL)} is as declared, as far as it can be\n")
    assert muster.run("retry", "#" + ALL, expect=0)
    done = muster.json("journal")[0]["id"]
    assert muster.run("retry", str(done), expect=0).out == (
        f"step {done} is done: only what has failed is tried again\n")
    assert hs.requests == []


@pytest.mark.parametrize("what, said", [
    ("99999", "no step 99999 in the journal"),
    ("nobody", "there is no @nobody:fleet.test"),
    ("#nowhere", "no room #nowhere:fleet.test is declared"),
    ("", "is no user"), ("0", "is no user")])
def test_what_cannot_be_tried_again(declared_on_conduit, what, said):
    muster, _ = declared_on_conduit
    if what == "0":
        said = "there is no @0:fleet.test"
    got = muster.run("retry", what, expect=2)
    assert said in got.err and got.out == ""


def failing(muster, hs):
    """One agent's invitation into one room is refused, and has been so often
    that it is tried again by itself in minutes only."""
    human_in(muster, hs)
    room = hs.room(PLATFORM)
    fault = hs.fault("POST", r"/invite$", answer(500, {
        "errcode": "M_UNKNOWN", "error": FORBIDDEN["error"]}), times=None)
    with hs.lock:
        hs.world.set_member(room, full("cleo.ic"), full("cleo.ic"), "leave")
    failed = muster.daemon.wait_for(lambda: next(
        (r for r in small.ask(muster, "/v1/journal")[1]
         if r["state"] == "failed"), None), 60, "a step that fails")
    assert (failed["kind"], failed["subject"]) == ("invite", full("cleo.ic"))
    muster.stop()
    db = sqlite3.connect(muster.path("muster.db"))
    with db:
        db.execute("UPDATE journal SET attempt = 1000, next_attempt_ms = ? "
                   "WHERE state = 'failed'",
                   (int(time.time() * 1000) + 1800000,))
    db.close()
    muster.start()
    return room, fault, failed


@pytest.mark.parametrize("what", ["step", "user", "room", "all"])
def test_try_again(declared_on_conduit, what):
    """At once, not when its pause is over."""
    muster, hs = declared_on_conduit
    room, fault, failed = failing(muster, hs)
    words = {"step": [str(failed["id"])], "user": ["cleo.ic"],
             "room": ["#" + PLATFORM], "all": []}[what]
    got = muster.run("retry", *words, expect=1)
    assert FORBIDDEN["error"] in got.err.splitlines()[-1]
    assert f"step {failed['id']} failed: invite {full('cleo.ic')}" in got.out
    fault.left = 0
    got = muster.run("retry", *words, "--json", expect=0)
    assert got.json["result"] == "done"
    assert got.json["progress"]["failed"] == []
    if what in ("user", "room"):
        assert room.membership(full("cleo.ic")) == "join"
    else:
        assert room.membership(full("cleo.ic")) in ("invite", "join")
    rows = audited(muster, "retry")
    assert len(rows) == 2 and {r[0] for r in rows} == {"operator"}
    assert {r[1] for r in rows} == {{
        "step": str(failed["id"]), "user": full("cleo.ic"),
        "room": alias(PLATFORM), "all": None}[what]}


def test_ask_in_who_was_kicked_twice(declared_on_conduit):
    muster, hs = declared_on_conduit
    human = human_in(muster, hs)
    room = kick_twice(muster, hs, human, ALL, "cleo.ic")
    hs.fault("POST", r"/(invite|join)$", delay(1), times=2)
    got = muster.run("retry", "cleo.ic", expect=0)
    assert got.out == f"{full('cleo.ic')} is in {alias(ALL)} again, or invited\n"
    assert room.membership(full("cleo.ic")) == "join"
    assert shown(muster, ALL)["held"] == []
    assert audited(muster, "retry") == [
        ("operator", full("cleo.ic"),
         "0 failed steps, kept out of 1 rooms")]
    # It counts anew.
    human.kick(room.room_id, full("cleo.ic"))
    wait_until(lambda: room.membership(full("cleo.ic")) == "join", 20,
               "it to be back")


@pytest.mark.parametrize("allowed", [True, False])
def test_ask_in_who_was_banned(declared_on_conduit, allowed):
    muster, hs = declared_on_conduit
    human = human_in(muster, hs)
    room = hs.room(ALL)
    human.ban(room.room_id, full("cleo.ic"))
    small.wait_settled(muster, hs)
    if not allowed:
        hs.fault("POST", r"/unban$", answer(403, FORBIDDEN), times=None)
    got = muster.run("retry", full("cleo.ic"), expect=0 if allowed else 1)
    if allowed:
        assert room.membership(full("cleo.ic")) == "join"
        assert shown(muster, ALL)["held"] == []
        return
    assert (f"is still kept out of 1 room: {alias(ALL)}: " in got.err
            and FORBIDDEN["error"] in got.err)
    assert room.membership(full("cleo.ic")) == "ban"
    assert shown(muster, ALL)["held"] == [full("cleo.ic")]
    assert audited(muster, "refuse_unban")[0][:2] == (
        "homeserver", full("cleo.ic"))


def test_try_again_who_is_blocked(conduit_fake, muster_on):
    """Once the account that was in the way is gone."""
    hs = conduit_fake
    Client(hs.url).register("cleo.ic", "somebody's password")
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    assert small.agent(muster, "cleo.ic")["state"] == "blocked"
    got = muster.run("retry", "cleo.ic", expect=1)
    assert f"{full('cleo.ic')} is blocked: " in got.err
    assert small.agent(muster, "cleo.ic")["state"] == "blocked"
    with hs.lock:
        del hs.world.users[full("cleo.ic")]
    got = muster.run("retry", "cleo.ic", expect=0)
    assert got.out == f"{full('cleo.ic')} is not blocked any more\n"
    assert small.agent(muster, "cleo.ic")["state"] == "handed_off"
    assert hs.room(PLATFORM).membership(full("cleo.ic")) == "join"


def test_try_again_a_room_that_is_held(conduit_fake, muster_on):
    """Its alias leads to somebody else's room."""
    hs = conduit_fake
    human = hs.human(HUMAN)
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    human.create_room(room_alias_name=PLATFORM, preset="private_chat")
    hs.add_appservice(muster.registration_path)
    muster.start()
    muster.daemon.wait_for(
        lambda: small.status(muster)["troubles"] == 1, 20, "trouble")
    why = shown(muster, PLATFORM)["held_why"]
    assert "take the alias off that room" in why
    assert f"trouble: {alias(PLATFORM)}: {why}" in muster.run("rooms").out
    assert "troubles     1: `muster rooms` says" in muster.run("status").out
    got = muster.run("retry", "#" + PLATFORM, expect=1)
    assert "take the alias off that room" in got.err.splitlines()[-1]
    with hs.lock:
        del hs.world.aliases[alias(PLATFORM)]
    got = muster.run("retry", "#" + PLATFORM, expect=0)
    assert got.out == (
        f"{alias(PLATFORM)} is as declared, as far as it can be\n")
    assert hs.room(PLATFORM).membership(full("cleo.ic")) == "join"
    assert small.status(muster)["troubles"] == 0


def test_try_again_while_the_homeserver_is_away(declared_on_conduit):
    muster, hs = declared_on_conduit
    human = human_in(muster, hs)
    room = kick_twice(muster, hs, human, ALL, "cleo.ic")
    away(muster, hs)
    got = muster.run("retry", "cleo.ic", expect=3)
    assert got.err.startswith("muster: pending: it is written down")
    hs.restart()
    wait_until(lambda: room.membership(full("cleo.ic")) == "join", 80,
               "it to be back")


# -- direct


@pytest.fixture
def on_demand(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.write_config(direct={"create": "on_demand"})
    muster.start()
    small.wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs


def test_make_a_direct_room(on_demand):
    muster, hs = on_demand
    hs.fault("POST", r"/createRoom$", delay(1))
    got = muster.run("direct", "cleo.ic", full("ben.man"), expect=0)
    pair = frozenset((full("ben.man"), full("cleo.ic")))
    small.wait_settled(muster, hs)
    room, = small.room_of(hs, pair)
    assert got.out == room.room_id + "\n"
    assert {room.membership(user) for user in pair} == {"join"}
    assert audited(muster, "direct") == [
        ("operator", f"{full('ben.man')} {full('cleo.ic')}",
         "a direct room is wanted")]
    got = muster.run("direct", "ben.man", "cleo.ic", expect=0)
    assert got.out == f"{room.room_id} is there already\n"
    doc = muster.run("direct", "ben.man", "cleo.ic", "--json").json
    assert (doc["result"], doc["asked"]["room_id"]) == ("done", room.room_id)
    assert len(audited(muster, "direct")) == 1
    direct = small.status(muster)["direct"]
    assert (direct["wanted"], direct["made"]) == (1, 1)


def test_make_a_direct_room_with_a_human(on_demand):
    muster, hs = on_demand
    got = muster.run("direct", HUMAN, "anna.vp", "--json", expect=0).json
    room, = small.room_of(hs, frozenset((full(HUMAN), full("anna.vp"))))
    assert got["progress"]["room_id"] == room.room_id
    assert room.membership(full(HUMAN)) == "invite"


@pytest.mark.parametrize("two, said", [
    (["anna.vp", "cleo.ic"], "are no declared pair: they are neither"),
    ([HUMAN, "cleo.ic"], "are no declared pair: they are neither"),
    (["ben.man", "ben.man"], "is named twice"),
    (["ben.man", "nobody"], "there is no @nobody:fleet.test"),
    ([SENDER, "ben.man"], "there is no @muster:fleet.test"),
    (["ben.man"], "direct takes the two users")])
def test_no_direct_room_for_these(on_demand, two, said):
    muster, hs = on_demand
    got = muster.run("direct", *two, expect=2)
    assert said in got.err and got.out == ""
    assert hs.requests == []


@pytest.mark.parametrize("setting", ["manager_report", "team_peers"])
def test_which_setting_declares_the_pair(fresh_on_conduit, setting):
    muster, hs = fresh_on_conduit
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", "Platform", "anna.vp", small.DEPARTMENT))
    muster.write_org(org)
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.write_config(direct={setting: False, "create": "on_demand"})
    muster.start()
    pair = {"manager_report": ("ben.man", "cleo.ic"),
            "team_peers": ("dora.ic", "cleo.ic")}[setting]
    if setting == "manager_report":
        muster.stop()
        muster.write_config(direct={"team_peers": False})
        muster.start()
    got = muster.run("direct", *pair, expect=2)
    assert f"with direct.{setting}: true they would be" in got.err


def test_direct_rooms_are_off(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    muster.write_config(direct={"create": "off"})
    muster.start()
    got = muster.run("direct", "ben.man", "cleo.ic", expect=2)
    assert "direct.create is off" in got.err
    assert small.status(muster)["direct"]["mode"] == "off"


def test_a_direct_room_that_cannot_be_made(on_demand):
    muster, hs = on_demand
    hs.fault("POST", r"/createRoom$", answer(403, FORBIDDEN), times=None)
    got = muster.run("direct", "ben.man", "cleo.ic", expect=1)
    assert FORBIDDEN["error"] in got.err.splitlines()[-1]


# -- the API, and without a service


@pytest.mark.parametrize("words", [
    ["retire", "cleo.ic"], ["approve"], ["retry"], ["retry", "cleo.ic"],
    ["direct", "ben.man", "cleo.ic"]])
def test_without_the_service(fresh_on_conduit, words):
    muster, _ = fresh_on_conduit
    got = muster.run(*words, expect=1)
    assert "is `muster serve` running?" in got.err and got.out == ""


@pytest.mark.parametrize("path, body, code", [
    ("/v1/retire", None, 400), ("/v1/retire", {"user": 7}, 400),
    ("/v1/retire", "no json", 400), ("/v1/retire", [], 400),
    ("/v1/retry", {"step": "x"}, 400), ("/v1/retry", {"step": -1}, 400),
    ("/v1/retry", {"room": None}, 400), ("/v1/retry", {"user": None}, 400),
    ("/v1/direct", None, 400), ("/v1/direct", {"users": ["a"]}, 400),
    ("/v1/direct", {"users": [1, 2]}, 400),
    ("/v1/direct", {"users": ["ben.man", "x"]}, 404),
    ("/v1/retry", {}, 200), ("/v1/retry", None, 200),
    ("/v1/approve", {}, 200), ("/v1/retire", {"user": "anna.vp"}, 400),
    ("/v1/retire", {"user": "x"}, 404)])
def test_the_admin_api(declared_on_conduit, path, body, code):
    muster, _ = declared_on_conduit
    got, doc = small.ask(muster, path, "POST", body)
    assert got == code, doc
    assert ("asked_ms" in doc) is (code == 200)
    assert ("errcode" in doc and "error" in doc) is (code != 200)
    assert small.ask(muster, "/v1/progress")[0] == 400
    assert small.ask(muster, path)[0] in (404, 405)
