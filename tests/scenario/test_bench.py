"""The programs that measure: what the load generator says it sent is in the
store, and it takes no answer for another; the bare loop makes what muster
makes, of its requests; and each measuring of a fleet, with a tiny one."""

import contextlib
import copy
import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from support import small
from support.muster import TOP, binary
from support.process import wait_until

sys.path.append(os.path.join(TOP, "tests", "bench"))

# pylint: disable=wrong-import-position
import handoff  # noqa: E402
import organisation  # noqa: E402
import page  # noqa: E402
import page_fleet  # noqa: E402
import page_handoff  # noqa: E402
import planning  # noqa: E402
import provision  # noqa: E402
import restart  # noqa: E402


def program(name):
    return os.path.join(os.path.dirname(binary()), "tests", "bench", name)


def run(name, *options, expect=0):
    done = subprocess.run(
        [program(name), *map(str, options)], capture_output=True, text=True,
        timeout=120, check=False)
    assert done.returncode == expect, done
    return json.loads(done.stdout)


def load(muster, *options):
    """(what it says, {(room, user): membership} that must be stored)."""
    token = muster.write("hs-token", muster.registration["hs_token"] + "\n")
    agents = muster.write("agents", "".join(
        f"{small.full(agent)}\n" for agent in small.AGENTS))
    said = run("load", "--port", muster.port, "--token-file", token,
               "--agents", agents, "--expect", muster.path("expected"),
               *options)
    return said, {(room, user): membership for room, user, membership in
                  map(str.split, muster.read("expected").splitlines())}


@pytest.mark.parametrize("kind, per, connection", [
    ("others", 30, "kept"), ("agents", 30, "kept"), ("mixed", 1, "new"),
    ("messages", 30, "new")])
def test_what_was_sent_is_stored(declared_on_conduit, kind, per, connection):
    muster, _ = declared_on_conduit
    before = small.stored_memberships(muster)
    counted = small.status(muster)["transactions"]
    said, expected = load(
        muster, "--kind", kind, "--per", per, "--transactions", 200,
        *["--new"] * (connection == "new"))
    assert said["transactions"] == 200 and said["errors"] == 0
    assert said["connection"] == connection
    assert 5 <= said["repeated"] <= 40
    assert said["events"] == (200 - said["repeated"]) * per
    assert {"messages": said["members"] == 0,
            "mixed": 0 < said["members"] < said["events"]}.get(
        kind, said["members"] == said["events"])
    after = small.stored_memberships(muster)
    assert {k: v for k, v in after.items() if k not in before} == expected
    assert bool(expected) == (kind != "messages")
    now = small.status(muster)["transactions"]
    assert now["repeated"] - counted["repeated"] == said["repeated"]
    assert now["events"] - counted["events"] == said["events"]


def test_fill(declared_on_conduit):
    """Everybody joins each room once."""
    muster, _ = declared_on_conduit
    said, expected = load(muster, "--kind", "fill", "--rooms", 2, "--per", 100,
                          "--events", 2000, "--repeats", 0)
    assert said["events"] == len(expected) == 2000
    assert set(expected.values()) == {"join"}
    stored = small.stored_memberships(muster)
    assert all(stored.get(key) == "join" for key in expected)


@pytest.mark.parametrize("status, body", [
    (500, b"{}"), (200, b"{ }"), (200, b'{"errcode":"M_UNKNOWN"}'),
    (200, b"{}{}"), (200, b""), (204, b"")])
def test_wrong_answers_are_noticed(tmp_path, status, body):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    token = tmp_path / "token"
    token.write_text("secret\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            said = run("load", "--port", server.server_port, "--token-file",
                       token, "--transactions", 3, expect=1)
        finally:
            server.shutdown()
            thread.join()
    assert said["errors"] == 10
    assert said["transactions"] == said["events"] == 0


def random_numbers(state):
    """splitmix64"""
    mask = 2 ** 64 - 1
    while True:
        state = (state + 0x9e3779b97f4a7c15) & mask
        z = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & mask
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & mask
        yield (z ^ (z >> 31)) >> 32


@pytest.mark.parametrize("ids", [False, True])
def test_bare_loop_commits_what_it_counts(tmp_path, ids):
    store = tmp_path / "bare.db"
    said = run("bare", "--store", store, "--per", 1 if ids else 30,
               "--transactions", 200, "--seed", 7, *["--ids"] * ids)
    assert said["transactions"] == 200
    numbers = random_numbers(7)
    expected = {}
    for _ in range(200 * (1 if ids else 30)):
        room, user, word = ((next(numbers) * n) >> 32 for n in (200, 1000, 5))
        expected[room << 32 | user] = word
        if ids:
            for _ in range(4):
                next(numbers)
    with contextlib.closing(sqlite3.connect(store)) as db:
        assert dict(db.execute("SELECT key, word FROM membership")) == expected
        assert db.execute("SELECT count(*) FROM seen").fetchone() == (
            200 if ids else 0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert said["rows"] == len(expected)


# -- fleets


# A chief, two heads; teams of three, two and two.
TINY = [[3, 2], [2]]
PEOPLE, AGENTS = 10, 9
# Three rooms of teams, two of leaders, one of everybody.
ROOMS, MEMBERSHIPS = 6, 7 + 5 + 10
# Manager and report 9, of one manager 2 (the two heads, two directors), and of
# one team 1 more. Each head has one with the chief, who is a human.
PAIRS, WITH_A_HUMAN = 12, 2


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(provision, "CORES", None)
    return organisation.make(provision.SERVER, TINY)


def members(hs):
    """{alias: who is what in it}"""
    return {alias: {key: event["content"]["membership"]
                    for (kind, key), event in
                    hs.world.rooms[room_id].state.items()
                    if kind == "m.room.member"}
            for alias, (room_id, *_) in hs.world.aliases.items()
            if not alias.startswith("#admins:")}


@pytest.fixture
def made(tiny, tmp_path):
    """(making, script, what is in the rooms): muster has made it."""
    making = provision.Making(str(tmp_path / "making"), tiny)
    with provision.homeserver("scripted", str(tmp_path), making) as hs:
        try:
            making.make(hs, 60)
            making.muster.stop()
            yield making, provision.Script(hs.requests), members(hs)
        finally:
            making.close()


def test_bare_loop_makes_the_same_fleet(made, tmp_path):
    making, script, rooms = made
    assert len(rooms) == ROOMS
    counts = script.counts()
    # A plan that is made between two transactions of one new room looks at
    # the state that is still missing.
    assert counts.pop("alias") >= ROOMS and counts.pop("other", 0) >= 0
    assert counts == {
        "register": AGENTS + 1, "displayname": AGENTS + 1, "login": AGENTS,
        "capabilities": ROOMS, "createRoom": ROOMS,
        "invite": MEMBERSHIPS, "join": MEMBERSHIPS - 1}
    assert not [r for r, kind in zip(script.requests, script.kinds)
                if kind in ("alias", "other") and r.method != "GET"]
    path = script.write(str(tmp_path / "all"))
    last = sum(r.method != "GET" for r in script.requests)
    with provision.homeserver("scripted", str(tmp_path), making) as hs:
        def while_it_runs(n, phase, *_):
            if (n, phase) == (last, "before"):
                wait_until(lambda: 200 in {d.status for d in hs.deliveries},
                           10, "the bare loop takes a transaction")
        hs.on_request(while_it_runs)
        said = provision.replay(program("replay"), making, hs, path)
        assert said["requests"] == len(script.requests) == len(hs.requests)
        assert members(hs) == rooms
        assert 200 in {d.status for d in hs.deliveries}
        sent = [(r.method, r.path, r.body) for r in hs.requests]
        for what in ("/register", "/createRoom"):
            assert sorted(str(r.body) for r in script.requests
                          if r.path.endswith(what)) == sorted(
                str(body) for _, path, body in sent if path.endswith(what))


def test_bare_loop_makes_accounts_alone(made, tmp_path):
    making, script, _ = made
    path = script.write(str(tmp_path / "tokens"), ("register", "login"))
    with provision.homeserver("scripted", str(tmp_path), making) as hs:
        said = provision.replay(program("replay"), making, hs, path)
        assert said["requests"] == 2 * AGENTS + 1
        assert 0 < said["accounts_s"] <= said["seconds"]
        assert not members(hs)
        assert len(hs.world.tokens) == AGENTS


def test_bare_loop_notices_another_answer(made, tmp_path):
    making, script, _ = made
    path = script.write(str(tmp_path / "all"))
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    fields = lines[-1].split("\t")
    fields[2] = "201"
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join([*lines[:-1], "\t".join(fields), ""]))
    with provision.homeserver("scripted", str(tmp_path), making) as hs:
        said = run("replay", "--url", hs.url, "--token-file",
                   making.token_file, "--listen", making.muster.port, path,
                   expect=1)
    assert said["wrong"] == 1


def test_a_fleet_from_nothing_is_measured(tiny, tmp_path):
    result, = provision.measure(
        program("replay"), str(tmp_path), [tiny], 1, lambda text: None,
        kinds=("scripted",))
    assert (result["memberships"], result["rooms"]) == (MEMBERSHIPS, ROOMS)
    counts = result["counts"]
    assert counts["an_agent"] == 3 and counts["a_membership"] <= 2
    assert counts["others"] == 0, counts["others_are"]
    (one,) = result["scripted"]
    assert one["muster"]["agents"] == AGENTS
    assert 0 < one["muster"]["tokens_s"] <= one["muster"]["seconds"]
    assert one["all"]["requests"] > one["tokens"]["requests"]


def test_the_plan_alone_is_measured(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SERVER", provision.SERVER)
    result, = planning.measure(
        program("plan"), str(tmp_path), [("tiny", tiny)], lambda text: None)
    nothing, present = result["nothing"], result["present"]
    for got in (nothing, present):
        assert (got["people"], got["agents"]) == (PEOPLE, AGENTS)
        assert (got["pairs"], got["rooms"]) == (PAIRS, ROOMS)
        assert got["plan_ms"] > 0 and got["snapshot_ms"] > 0
        assert got["peak"] > got["peak_private"] > 0
    assert present["n_steps"] == 0 and nothing["n_steps"] == (
        2 + 4 * AGENTS + ROOMS + 2 * MEMBERSHIPS - 1 + 2 * PAIRS - WITH_A_HUMAN
        + AGENTS)


def test_a_restart_and_a_move_are_measured(tiny, tmp_path):
    result = restart.measure(
        program("plan"), str(tmp_path), 1, lambda text: None, org=tiny)
    (one,) = result["runs"]
    assert one["writes"] == 0 and one["reads"] <= ROOMS + 5
    assert 0 < one["private"] <= one["private_peak"]
    # Into a team of two: a room with each.
    assert result["move"]["kinds"] == {
        "invite": 1, "leave": 1, "join": 3, "create_room": 2,
        "direct_mark": 3}


def plan_result(people, pairs, ms, memory):
    return {"people": people, "pairs": pairs, "n_steps": 7, "rooms": 5,
            "snapshot_ms": ms, "plan_ms": ms, "anon_loaded": 1e6,
            "peak_private": memory}


def all_met():
    """Each just as wanted, or the last that is."""
    made = {"agents": 9, "first_token_s": 1, "tokens_s": 2, "seconds": 4,
            "requests": 80, "cpu_s": 1}
    round_ = {"muster": made, "tokens": {"accounts_s": 1.8},
              "all": {"seconds": 3.6, "requests": 70, "cpu_s": 0.1}}
    start = {"seconds": 3, "cpu_s": 1.99, "private_peak": 19.9e6,
             "private_later": 1e6, "writes": 0, "reads": 10}
    plans = [{state: plan_result(*of, 199e6) for state in (
        "nothing", "present")} for of in (
            (10, 100, 1), (10, 100, 1), (100, 1000, 20))]
    return {
        "provision": [{
            "agents": 9, "manner": "conduit", "memberships": 20, "rooms": 5,
            "counts": {"an_agent": 3, "a_membership": 2, "a_room": 3,
                       "others": 0},
            "scripted": [round_] * 3, "real": copy.deepcopy([round_] * 3)}],
        "restart": {
            "runs": [start] * 3, "whole": plan_result(10, 100, 1, 1e6),
            "move": {**plan_result(10, 100, 9.9, 1e6), "missing": [],
                     "more": [], "seconds": 1, "cpu_s": 0.1}},
        "plan": plans}


@pytest.mark.parametrize("path, value, missed", [
    ("provision 0 scripted 0 tokens accounts_s", 1.7, 1),
    ("provision 0 real 0 all seconds", 3.5, 1),
    ("provision 0 counts an_agent", 3.1, 1),
    ("provision 0 counts a_membership", 2.1, 1),
    ("restart runs 0 cpu_s", 2, 1),
    ("restart runs 0 private_peak", 20e6, 1),
    ("restart runs 0 writes", 1, 1),
    ("restart runs 0 reads", 11, 1),
    ("restart move plan_ms", 10, 1),
    ("restart move missing", [["join", "@a:b", "#c:b"]], 1),
    ("restart move more", [["join", "@a:b", "#c:b"]], 1),
    ("plan 2 present snapshot_ms", 4980, 2),  # and it has grown too much
    ("plan 2 nothing peak_private", 200e6, 1),
    ("plan 1 nothing plan_ms", 0.9, 1),
    ("plan 0 nothing plan_ms", 0.1, 0)])
def test_what_is_wanted_of_a_fleet(path, value, missed):
    fleet = all_met()
    found = page.Targets()
    page_fleet.targets(found, fleet)
    assert found.missed == [] and len(found.rows) == 6 + 6 + 6
    *way, last = (int(w) if w.isdigit() else w for w in path.split())
    there = fleet
    for key in way:
        there = there[key]
    there[last] = value
    found = page.Targets()
    page_fleet.targets(found, fleet)
    assert len(found.missed) == missed, found.missed


def test_what_the_page_says_of_a_fleet():
    said = page_fleet.words(all_met())
    assert said["tokens"].splitlines()[2:] == [
        "| 9 agents, Conduit | 1.00 | 2.00 | 4 | 5 | 90 % |",
        "| 9 agents, scripted | 1.00 | 2.00 | 4 | 5 | 90 % |"]
    assert said["everything"].splitlines()[2] == (
        "| 9 agents, Conduit | 4.00 | 80 | 18 | 19 | 90 % | 1.00 | 0.10 |")
    assert said["plan"].splitlines()[-1] == (
        "| 100 people, all present | 1,000 | 7 | 20.0 | 20.0 | 40.00 | 1.0 "
        "| 199.0 |")
    are_in_the_page(said)


def are_in_the_page(said):
    with open(os.path.join(TOP, "tests", "bench", "page.md"),
              encoding="utf-8") as f:
        text = f.read()
    assert all(f"${name}" in text for name in said)


# -- the hand-off


def test_the_hand_off_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(provision, "CORES", None)
    got = handoff.measure(
        program("replay"), str(tmp_path), (5, 4), 1, lambda text: None,
        times=3, seconds=2, kinds=("scripted",))
    for key in ("login_to_file_ms", "file_to_program_ms"):
        assert len(got[key]) == 3 and min(got[key]) > 0
    assert got["many"]["agents"] == 5
    assert 0 < got["many"]["written_s"] < got["many"]["seconds"]
    (one,) = got["scripted"]
    assert one["muster"]["agents"] == one["bare"]["requests"] == 4
    assert one["muster"]["seconds"] > 0 and one["bare"]["seconds"] > 0
    idle = got["idle"]
    assert idle["directory"] > 0 and idle["private"] > 0
    assert (idle["files"], idle["requests"]) == (0, 0)


def handed_over():
    """Each just as wanted, or the last that is."""
    round_ = {"muster": {"agents": 100, "seconds": 1.2},
              "bare": {"seconds": 1.0}}
    return {
        "login_to_file_ms": [1, *[4.9] * 8, 50],
        "file_to_program_ms": [1, *[49] * 8, 500],
        "many": {"agents": 1000, "written_s": 1.99},
        "conduit": copy.deepcopy([round_] * 3), "scripted": [round_] * 3,
        "idle": {"seconds": 100, "directory": 110, "files": 0, "whoami": 2,
                 "requests": 2, "private": 2.9e6}}


@pytest.mark.parametrize("path, value, missed", [
    ("login_to_file_ms 1", 5, 1), ("login_to_file_ms 9", 4, 0),
    ("file_to_program_ms 1", 50, 1), ("many written_s", 2, 1),
    ("conduit 0 muster seconds", 1.3, 1), ("scripted 0 muster seconds", 9, 0),
    ("idle directory", 111, 1), ("idle files", 1, 1), ("idle whoami", 3, 1),
    ("idle requests", 3, 1), ("idle private", 3e6, 1)])
def test_what_is_wanted_of_the_hand_off(path, value, missed):
    got = handed_over()
    found = page.Targets()
    page_handoff.targets(found, got)
    assert found.missed == [] and len(found.rows) == 9
    *way, last = (int(w) if w.isdigit() else w for w in path.split())
    there = got
    for key in way:
        there = there[key]
    there[last] = value
    if path == "conduit 0 muster seconds":  # the median round's
        got["conduit"] = got["conduit"][:1]
    if path == "idle whoami":
        got["idle"]["requests"] = value
    found = page.Targets()
    page_handoff.targets(found, got)
    assert len(found.missed) == missed, found.missed


def test_what_the_page_says_of_the_hand_off():
    said = page_handoff.words(handed_over())
    assert said["latency"].splitlines()[2:] == [
        "| the login's answer to the file | 4.90 | 4.90 | 50.00 |",
        "| the file to the program | 49.00 | 49.00 | 500.00 |"]
    assert said["exchange"].splitlines()[2:] == [
        "| 100 agents, Conduit | 1.200 | 1.000 | 1.20 |",
        "| 100 agents, scripted | 1.200 | 1.000 | 1.20 |"]
    assert "| opens of the directory | 110 |" in said["idle"]
    are_in_the_page(said)
