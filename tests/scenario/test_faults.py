"""The homeserver goes wrong, in every way it can: all is made in the end, and
nothing twice that anybody could see."""

import json
import os
import threading
from datetime import datetime

import pytest

from support import small
from support.fakehs import (answer, cut_off, delay, garbage, limited,
                            reset_after, reset_before)
from support.process import wait_until
from support.small import AGENTS, HUMAN, full

# Every kind of write there is; the first of some is the service's own user's,
# without whom nothing else is tried.
WRITES = [("POST", r"/register$", 1), ("PUT", r"/displayname$", 1),
          ("POST", r"/login$", 0), ("POST", r"/createRoom$", 0),
          ("POST", r"/createRoom$", 3), ("POST", r"/invite$", 0),
          ("POST", r"/join$", 0), ("PUT", r"/m\.direct$", 0)]
READS = [("GET", r"/versions$", 0), ("GET", r"/whoami$", 0),
         ("GET", r"/directory/room/", 1), ("GET", r"/capabilities$", 0),
         ("GET", r"/m\.direct$", 0)]


def all_wrong(hs, requests, action):
    return [hs.fault(method, path, action, skip=skip)
            for method, path, skip in requests]


def assert_made_once(hs):
    """Of everything that was done, whether it was answered or not."""
    made = [r.body["username"] for r in hs.find("POST", "/register$")
            if r.status != 400]
    assert {m: made.count(m) for m in made if made.count(m) > 2} == {}
    users = set(hs.world.users)
    assert len(users) == len({u.lower() for u in users})


DONE = {"500-done": answer(500, processed=True), "reset-after": reset_after(),
        "garbage": garbage(), "cut-off": cut_off()}
NOT_DONE = {"500": answer(500), "502": answer(502, b"<html>"),
            "reset-before": reset_before()}


@pytest.mark.parametrize("how", [reset_before(), answer(401, {
    "errcode": "M_UNKNOWN_TOKEN", "error": "odd"})], ids=["reset", "401"])
def test_one_request_breaks_again_and_again(conduit_fake, muster_on, how):
    """It is put off like any other: all the rest is made, by one worker."""
    hs = conduit_fake
    muster = muster_on(hs, org=small.org(), reconcile={"concurrency": 1})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    bad = hs.fault("PUT", r"anna\.vp.*/displayname$", how, times=None)
    muster.start(ready=False)
    failed = muster.daemon.wait_for(
        lambda: [r for r in muster.json("journal")
                 if r["kind"] == "profile" and r["state"] == "failed"], 20,
        "it to be said")
    assert [r["subject"] for r in failed] == [full("anna.vp")]
    assert "displayname" in failed[0]["error"]
    assert failed[0]["next_attempt_ms"] > 0
    wait_until(lambda: bad.hits >= 3, 20, "three tries")
    hs.clear_faults()
    small.wait_settled(muster, hs)
    tries = [r.index for r in hs.requests if r.fault]
    for others in ("ben.man", "cleo.ic"):
        assert any(tries[0] < r.index < tries[2] and others in str(r.body)
                   for r in hs.find("POST", r"/login$"))
    small.assert_as_declared(hs, muster)


@pytest.mark.parametrize("which", ["room", "direct"])
def test_rooms_that_are_not_finished(fresh_on_conduit, which):
    """Nobody could come into them: they are left, and others made."""
    muster, hs = fresh_on_conduit
    cut = []

    def handle(request, true=hs.handle):
        direct = bool((request.body or {}).get("is_direct"))
        if request.path.endswith("/createRoom") and len(cut) < 2 and (
                direct == (which == "direct")):
            cut.append(request)
            hs.cut_creations = 1
        return true(request)
    hs.handle = handle
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert len(cut) == 2
    half = [room for room in hs.world.rooms.values()
            if room.content("m.room.create").get("muster.key")
            and not room.content("m.room.guest_access")]
    assert len(half) == 2 and not any(room.joined for room in half)
    for room in half:
        del hs.world.rooms[room.room_id]
    small.assert_policy_rooms(hs, muster)
    small.assert_direct_rooms(hs, muster)


def test_a_direct_room_without_its_invitation(fresh_on_conduit):
    """Conduit makes the room, and ignores that it could not invite."""
    muster, hs = fresh_on_conduit
    lost = []

    def handle(request, true=hs.handle):
        if request.path.endswith("/createRoom") and not lost and (
                full(HUMAN) in request.body.get("invite", [])):
            lost.append(request)
            request.body["invite"] = []
        return true(request)
    hs.handle = handle
    muster.start()
    small.wait_settled(muster, hs)
    assert lost
    small.assert_direct_rooms(hs, muster)


def test_the_store_goes_in_the_middle_of_a_plan(fresh_on_conduit):
    """The plan ends there: it is said once, not for each step that is left."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"concurrency": 1})

    def remove(n, phase, _method, _path):
        if (n, phase) == (3, "before"):
            os.unlink(muster.path("muster.db"))
    hs.on_request(remove)
    muster.start(ready=False)

    def said():
        now = small.ask(muster, "/health/ready")[1]
        return not now["ready"] and any(
            "store" in why for why in now["why_not"])
    muster.daemon.wait_for(said, 20, "it is said")
    # A probe may find out before the plan does.
    muster.daemon.wait_for(
        lambda: "the store cannot be used" in muster.daemon.output(), 20,
        "the plan to end")
    # Transactions are refused and come again; nothing is asked for any more.
    wait_until(lambda: not hs.log.in_flight, 20, "the last answer")
    lines = muster.daemon.output().splitlines()
    assert sum("the store cannot be used" in line for line in lines) == 1
    # What was under way then could not be written down, and no more.
    assert sum("a step failed" in line for line in lines) <= 1
    assert len(hs.writes()) == 3
    muster.stop()


def test_a_pause_of_hours(fresh_on_conduit):
    """An hour is waited, and neither two nor none."""
    muster, hs = fresh_on_conduit
    hs.fault("POST", r"/createRoom$", answer(
        503, {"errcode": "M_UNKNOWN", "error": "closed"},
        {"Retry-After": "7200"}), skip=2)
    muster.start(ready=False)
    failed, = muster.daemon.wait_for(
        lambda: [r for r in muster.json("journal")
                 if r["state"] == "failed"], 20, "it to be said")
    pause = failed["next_attempt_ms"] - failed["updated_ms"]
    assert abs(pause - 3600000) < 60000
    wait_until(lambda: len(hs.find("POST", r"/createRoom$")) == 6, 20,
               "the rest to be made")
    hs.wait_quiet()
    # Something happens, and another round comes.
    human = hs.human(HUMAN)
    human.join(hs.room("all-employees").room_id)
    wait_until(lambda: full(HUMAN) in [
        r for r in muster.json("rooms")
        if r["alias"] == "#all-employees:fleet.test"][0]["joined"], 20,
        "it to be known")
    hs.wait_quiet()
    assert len(hs.find("POST", r"/createRoom$")) == 6


@pytest.mark.parametrize("how", DONE)
def test_every_write_is_done_but_not_answered(fresh, how):
    """AS-123."""
    every_write_goes_wrong_once(*fresh, DONE[how])


@pytest.mark.parametrize("how", NOT_DONE)
def test_every_write_is_not_done(fresh_on_conduit, how):
    every_write_goes_wrong_once(*fresh_on_conduit, NOT_DONE[how])


def every_write_goes_wrong_once(muster, hs, action):
    faults = all_wrong(hs, WRITES, action)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert [f.hits for f in faults] == [1] * len(faults)
    small.assert_as_declared(hs, muster)
    assert_made_once(hs)
    assert {a["state"] for a in muster.json("agents")} == {"handed_off"}
    assert {a["error"] for a in muster.json("agents")} == {None}


@pytest.mark.parametrize("action", [
    answer(500), reset_before(), garbage()],
    ids=["500", "reset", "garbage"])
def test_every_read_goes_wrong_once(fresh_on_conduit, action):
    muster, hs = fresh_on_conduit
    faults = all_wrong(hs, READS, action)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert [f.hits for f in faults] == [1] * len(faults)
    small.assert_as_declared(hs, muster)


@pytest.mark.parametrize("path", [r"/joined_rooms$", r"/joined_members$"])
def test_a_look_goes_wrong_once(declared_on_conduit, path):
    """That is the homeserver's fault, and nobody says that it is the
    store's."""
    muster, hs = declared_on_conduit
    muster.stop()
    hs.clear_log()
    fault = hs.fault("GET", path, answer(500))
    said = len(muster.daemon.output())
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert fault.hits == 1
    assert "the store cannot be used" not in muster.daemon.output()[said:]
    assert hs.writes() == []


def test_what_kind_it_is_cannot_be_told_at_first(fresh_on_conduit):
    """An account without a password would count as a guest for ever."""
    muster, hs = fresh_on_conduit
    hs.fault("GET", "^/$", answer(500))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert small.status(muster)["homeserver"]["kind"] == "conduit"


# -- refusals that stay


def covers(*localparts):
    escaped = "|".join(a.replace(".", r"\.") for a in localparts)
    return [{"exclusive": True, "regex": f"^@({escaped}):fleet\\.test$"}]


def without(*localparts):
    """What must be declared when these are not to be had."""
    return small.org(*(a for a in AGENTS if a not in localparts))


def assert_others_declared(muster, hs, blocked):
    """All but the blocked one; and that is said, and is no failure."""
    row = small.agent(muster, blocked)
    assert row["state"] == "blocked"
    now = small.status(muster)
    assert now["ready"] and now["why_not"] == []
    assert now["agents"] == {"handed_off": 2, "blocked": 1}
    assert now["journal"] == {"waiting": 0, "failed": 0}
    assert muster.run("plan", "--json", expect=0).json["steps"] == []
    missing = {room["alias"]: room["missing"]
               for room in muster.json("rooms") if room["kind"] == "room"}
    assert missing["#all-employees:fleet.test"] == [full(blocked)]
    for alias, members in small.ROOMS.items():
        room = hs.room(alias)
        assert room.membership(full(blocked)) is None
        for member in members - {blocked, HUMAN}:
            assert room.membership(full(member)) == "join"
    made = [p for p in small.pairs_of(muster) if small.room_of(hs, p)]
    assert made == [p for p in small.pairs_of(muster)
                    if full(blocked) not in p]
    return row["error"]


def test_one_agent_is_outside_the_namespace(fresh):
    """AS-105, AS-130."""
    muster, hs = fresh
    narrow = {**muster.registration, "namespaces": {
        **muster.registration["namespaces"],
        "users": covers("anna.vp", "ben.man")}}
    hs.register_appservice(narrow)
    muster.start()
    small.wait_settled(muster, hs)
    why = assert_others_declared(muster, hs, "cleo.ic")
    assert "muster register" in why
    assert hs.user("cleo.ic") is None
    assert '"level":"warn"' in muster.daemon.output()


def test_one_name_is_taken_by_somebody(fakehs, muster_on):
    hs = fakehs
    somebody = hs.human("cleo.ic")
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    why = assert_others_declared(muster, hs, "cleo.ic")
    assert "another id" in why and "`muster adopt cleo.ic`" in why
    assert somebody.whoami().status == 200  # nobody took the session
    assert hs.user("cleo.ic").displayname != "Cléo \u201cC\u201d Ic"
    assert muster.handoff("cleo.ic") is None
    # It stays so, and nothing is tried again.
    muster.stop()
    hs.clear_log()
    muster.start()
    small.wait_settled(muster, hs)
    assert hs.writes() == []


def test_one_name_is_taken_by_somebody_without_a_session(
        conduit_fake, muster_on):
    """That we asked before, and got no answer to who it is, makes it no more
    ours."""
    hs = conduit_fake
    hs.human("cleo.ic").post("/logout", {})
    assert hs.user("cleo.ic").devices == {}
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    asked = hs.fault("GET", r"cleo\.ic.*|/devices", answer(500), times=2)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    assert asked.hits == 2
    assert_others_declared(muster, hs, "cleo.ic")
    assert muster.handoff("cleo.ic") is None


def test_one_name_is_taken_by_us(fakehs, muster_on):
    """It has our device: it was ours before the store was. AS-111."""
    hs = fakehs
    hs.human("cleo.ic")
    hs.user("cleo.ic").devices["MUSTER"] = hs.user(
        "cleo.ic").devices.popitem()[1]
    hs.world.tokens = {t: (u, "MUSTER") if u == full("cleo.ic") else (u, d)
                       for t, (u, d) in hs.world.tokens.items()}
    hs.user("cleo.ic").password = "x" if hs.conduit else ""
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert ("take_over", full("cleo.ic")) in [
        (row["action"], row["subject"]) for row in muster.json("audit")]


# -- told to wait


@pytest.mark.parametrize("how, least", [
    ({"retry_after": 1}, 1.0), ({"retry_after_ms": 400}, 0.4), ({}, 0.05),
    ({"retry_after": 1, "retry_after_ms": 100}, 1.0)],
    ids=["header", "body", "neither", "both"])
def test_rate_limit(fresh_on_conduit, how, least):
    """The whole service holds back as long as it is told to."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"concurrency": 1})
    hs.fault("POST", r"/(login|createRoom)$", limited(**how))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    refused, = [r for r in hs.requests if r.status == 429]
    next_one = hs.requests[refused.index]
    assert (next_one.path, next_one.body) == (refused.path, refused.body)
    assert next_one.started - refused.ended >= least - 0.01
    small.assert_as_declared(hs, muster)
    assert_made_once(hs)
    assert small.status(muster)["journal"]["failed"] == 0


def test_rate_limits_everywhere(fresh):
    muster, hs = fresh
    for method, path, _ in WRITES[:4] + WRITES[5:]:
        hs.fault(method, path, limited(retry_after_ms=60), times=2)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert [r.status for r in hs.requests].count(429) == 14
    assert {r.status for r in hs.writes()} == {200, 429}


def test_slow_answers(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    hs.latency = 0.05
    hs.fault("POST", r"/join$", delay(1))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert {r.status for r in hs.writes()} == {200}


# -- not there


def test_it_goes_away_in_the_middle(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    gone = threading.Event()

    def on_write(index, phase, _method, _path):
        if index == 15 and phase == "after" and not gone.is_set():
            gone.set()
            threading.Thread(target=hs.stop).start()
    hs.on_request(on_write)
    muster.start(ready=False)

    def noticed():
        now = small.status(muster)
        return not now["ready"] and any(
            f"port {hs.port}" in why for why in now["why_not"])
    muster.daemon.wait_for(noticed, 20, "it says that nobody answers")
    assert muster.run("healthcheck").code == 3
    hs.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert_made_once(hs)


def tries(muster):
    """(when, how long until the next one) of each failed attempt, in s."""
    lines = [json.loads(line) for line in muster.daemon.output().splitlines()
             if '"again_in_ms"' in line]
    return [(datetime.fromisoformat(line["ts"]).timestamp(),
             line["again_in_ms"] / 1000) for line in lines
            if line["msg"] == "the homeserver cannot be used"]


def wait_tries(muster, count):
    return muster.daemon.wait_for(
        lambda: len(tries(muster)) >= count and tries(muster), 20,
        f"{count} attempts")


def test_it_is_tried_with_growing_pauses(fresh_on_conduit):
    """1, 2, 4 s, up to half of it less; and from 1 s again when it was there
    in between."""
    muster, hs = fresh_on_conduit
    muster.write_config(reconcile={"interval": "1s"})
    hs.stop()
    muster.start(ready=False)
    seen = wait_tries(muster, 3)
    for (_, pause), whole in zip(seen, (1, 2, 4)):
        assert whole / 2 <= pause <= whole, seen
    for (at, pause), (after, _) in zip(seen, seen[1:]):
        assert after - at >= pause - 0.01, seen
    hs.start()
    small.wait_settled(muster, hs)
    before = len(tries(muster))
    hs.stop()
    seen = wait_tries(muster, before + 1)
    assert 0.5 <= seen[before][1] <= 1, seen


def test_it_is_away_while_nothing_is_to_do(declared_on_conduit):
    """A homeserver's restart is nothing to speak of."""
    muster, hs = declared_on_conduit
    hs.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []


# -- pushing


def test_deliveries_come_late(fresh):
    """Everything is made without having been told of anything; then all the
    news come at once."""
    muster, hs = fresh
    hs.pause_delivery()
    muster.start()
    muster.daemon.wait_for(lambda: small.steps(muster) == [], 20, "no step")
    done = hs.log.writes
    hs.resume_delivery()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    assert hs.log.writes == done  # old news make no work


def test_lost_events_are_repaired_by_looking(fresh_on_conduit):
    muster, hs = fresh_on_conduit
    human = hs.human(HUMAN)
    muster.write_config(reconcile={"interval": "1s"})
    muster.start()
    small.wait_settled(muster, hs)
    room = hs.room("all-employees")
    human.join(room.room_id)
    small.wait_settled(muster, hs)
    hs.lose_events(lambda event: True)
    human.kick(room.room_id, full("ben.man"))
    wait_until(lambda: room.membership(full("ben.man")) == "join", 20,
               "the agent to be back")
    assert small.events_of(room, "ben.man") == [
        "invite", "join", "leave", "invite", "join"]


def push(hs, txn_id, *events):
    got = hs.push([{"event_id": f"${txn_id}.{n}", "sender": full(HUMAN),
                    "origin_server_ts": 1700000000000 + n, **event}
                   for n, event in enumerate(events)], txn_id)
    assert got.status == 200
    return got


def test_a_transaction_comes_again(declared):
    """Also after a kill right behind its answer; also long after."""
    muster, hs = declared
    news = [{"type": "m.room.member", "room_id": "!elsewhere:fleet.test",
             "state_key": "@visitor:fleet.test",
             "content": {"membership": "join"}},
            {"type": "m.room.member", "room_id": 12, "state_key": None,
             "content": {}}]
    before = small.status(muster)["transactions"]
    push(hs, "again-1", *news)
    once = small.status(muster)["transactions"]
    assert (once["seen"], once["events"], once["quarantined"]) == (
        before["seen"] + 1, before["events"] + 2, before["quarantined"] + 1)
    gone = dict(news[0], content={"membership": "leave"},
                origin_server_ts=1700000001000)
    push(hs, "again-2", gone)
    row = ("SELECT membership FROM membership WHERE user_id = ?",
           "@visitor:fleet.test")
    assert muster.query(*row) == [("leave",)]
    push(hs, "again-1", *news)
    muster.kill()
    muster.start()
    push(hs, "again-1", *news)
    push(hs, "again-2", gone)
    now = small.status(muster)["transactions"]
    assert now["repeated"] == before["repeated"] + 3
    assert now["quarantined"] == once["quarantined"]
    assert now["events"] == once["events"] + 1
    assert len(muster.json("quarantine")) == 1
    assert muster.query(*row) == [("leave",)]
    assert hs.writes() == []


def test_killed_right_behind_an_answer(declared_on_conduit):
    """What was answered 200 is kept. AS-57."""
    muster, hs = declared_on_conduit
    for n in range(5):
        push(hs, f"kept-{n}", {
            "type": "m.room.member", "room_id": f"!r{n}:fleet.test",
            "state_key": "@visitor:fleet.test",
            "content": {"membership": "invite"}})
        muster.kill()
        assert muster.query("SELECT count(*) FROM membership "
                            "WHERE user_id = '@visitor:fleet.test'") == [
            (n + 1,)]
        muster.start(ready=False)
        muster.daemon.wait_for(lambda: small.status(muster), 20, "an answer")


def test_what_cannot_be_made_is_tried_with_growing_pauses(fresh_on_conduit):
    """And the rest is there meanwhile; nobody is asked again and again."""
    muster, hs = fresh_on_conduit
    fault = hs.fault("POST", r"/createRoom$", answer(500), times=None)
    muster.start(ready=False)

    def made():
        now = small.status(muster)
        return now["ready"] and now["journal"]["failed"] == 6
    muster.daemon.wait_for(made, 60, "all else is made")
    small.assert_tokens(hs, muster)
    hs.clear_log()
    before = fault.hits
    wait_until(lambda: fault.hits >= before + 2 * 6, 60, "more attempts")
    assert len(hs.requests) <= 5 * len(hs.writes())
    assert {r.path.rpartition("/")[2] for r in hs.writes()} == {"createRoom"}
    hs.clear_faults()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
