"""Two services, as on two hosts, and one store, as on a network file system
(of a local disk: the code is the same): one acts at any time, the other one
waits, and nothing is lost or done twice when it takes over."""

import http.client
import os
import signal
import socket
import time

import pytest

from support import small
from support.fakehs import delay
from support.process import free_port, wait_until
from support.small import AGENTS, full
from support.tap import Tap

# How long the first one may be silent. It is late after half of it: long
# enough for a machine that is busy. Where it is waited for it is shorter.
TAKEOVER, SOON = 60, 10


def who_asked(request):
    """Which of the two a request is from: they say different names of one
    host."""
    if request.from_test:
        return None
    return {"127.0.0.1": "first", "localhost": "second"}[
        request.headers["Host"].split(":")[0]]


def turns(hs):
    """Who asked, each as long as it was the same: ["first", "second"]"""
    order = []
    for who in map(who_asked, hs.requests):
        if who and (not order or order[-1] != who):
            order.append(who)
    return order


def take_over_soon(*services):
    for muster in services:
        muster.write_config(store={"takeover": f"{SOON}s"})


def state_files(muster):
    return sorted(n for n in os.listdir(muster.path()) if n.startswith("state."))


@pytest.fixture
def two(fakehs, muster_on):
    """(first, second, homeserver): two services of one fleet; they know of each
    other, nothing runs. What the second writes it writes where the first
    does; where it listens is its own. The homeserver reaches the first, until
    turn_to() another."""
    hs = fakehs
    tap = Tap(0)
    store = {"network": True, "takeover": f"{TAKEOVER}s"}
    first = muster_on(hs, "first", org=small.org(), store=store,
                      homeserver={"public_url": hs.url},
                      appservice={"url": tap.url})
    second = muster_on(
        hs, "second", org=small.org(),
        store={**store, "path": first.path("muster.db")},
        handoff={"root": first.path("runtime")},
        homeserver={"url": hs.url.replace("127.0.0.1", "localhost"),
                    "public_url": hs.url},
        appservice={"url": tap.url,
                    "registration": first.path("registration.yaml")})
    tap.port = first.port
    hs.tap = tap
    first.run("registration", expect=0)
    hs.add_appservice(first.registration_path)
    hs.clear_log()
    yield first, second, hs
    for muster in (first, second):
        muster.signal(signal.SIGCONT)
    tap.close()


def turn_to(muster, hs):
    """As what stands before the two hosts does when one is not there."""
    hs.tap.port = muster.port


def start_first(first, hs):
    """It has the store, and is at work."""
    first.start(ready=False)
    first.daemon.wait_for(lambda: hs.requests, 30, "it asks something")


def wait_standing_by(muster):
    def says_so():
        status, doc = small.ask(muster, "/health/ready")
        return status == 503 and "waiting for the store" in doc["why_not"][0]
    muster.daemon.wait_for(says_so, 30, "it waits for the store")


def wait_taken_over(muster, hs):
    turn_to(muster, hs)
    muster.daemon.wait_for(
        lambda: small.ask(muster, "/health/ready")[0] == 200, 40,
        "it is ready")
    small.wait_settled(muster, hs)


def assert_as_declared(first, hs, crashed=False):
    small.assert_accounts(hs, first)
    small.assert_tokens(hs, first, crashed)
    small.assert_policy_rooms(hs, first)
    small.assert_direct_rooms(hs, first)


def test_the_second_waits_and_says_so(two):
    first, second, hs = two
    first.start()
    small.wait_settled(first, hs)
    begun = time.monotonic()
    second.start(ready=False)
    wait_standing_by(second)
    holder = f"pid {first.daemon.process.pid} on {socket.gethostname()} since 20"

    got = second.run("healthcheck", expect=3)
    assert holder in got.out
    for verb in ("status", "agents", "plan"):
        got = second.run(verb, expect=1)
        assert "waiting for the store" in got.err and holder in got.err
        assert f"{TAKEOVER} s" in got.err
    got = second.run("retry", expect=1)
    assert holder in got.err
    assert small.ask(second, "/health/live") == (200, {})
    # Not again and again: once a minute.
    assert 1 <= second.daemon.output().count("waiting for the store") <= (
        1 + (time.monotonic() - begun) / 60)
    assert holder in second.daemon.output()

    hs.clear_log()
    second.stop(5)
    assert hs.requests == []
    assert small.status(first)["ready"]
    first.stop()


def test_it_answers_on_the_health_port_and_not_the_homeserver(two):
    first, second, hs = two
    health = f"127.0.0.1:{free_port()}"
    second.write_config(ops={"listen": health})
    start_first(first, hs)
    second.start(ready=False)
    wait_standing_by(second)

    def ask(path):
        conn = http.client.HTTPConnection(health, timeout=20)
        conn.request("GET", path)
        got = conn.getresponse()
        body = got.read().decode()
        conn.close()
        return got.status, body
    second.daemon.wait_for(
        lambda: ask("/health/live")[0] == 200, 30, "it lives")
    for path in ("/health/ready", "/metrics"):
        status, body = ask(path)
        assert status == 503 and "waiting for the store" in body
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second.port), 5)


def test_the_first_ends(two):
    first, second, hs = two
    first.start()
    small.wait_settled(first, hs)
    second.start(ready=False)
    wait_standing_by(second)
    first.stop()
    wait_taken_over(second, hs)
    assert turns(hs) == ["first", "second"]
    assert_as_declared(first, hs)
    second.stop()


def test_the_first_is_killed_in_the_middle(two):
    """On one host that is known at once; what it had begun goes on."""
    first, second, hs = two
    hs.fault("POST", "/createRoom$", delay(3), times=3)
    start_first(first, hs)
    second.start(ready=False)
    wait_standing_by(second)
    wait_until(lambda: hs.find("POST", "/createRoom$"), 30, "a room is made")
    first.kill()
    wait_taken_over(second, hs)
    assert turns(hs) == ["first", "second"]
    assert_as_declared(first, hs, crashed=True)
    second.stop()


def test_the_first_stands_still(two):
    """It comes back, does nothing any more, and ends."""
    first, second, hs = two
    take_over_soon(first, second)
    first.start()
    small.wait_settled(first, hs)
    second.start(ready=False)
    wait_standing_by(second)
    first.signal(signal.SIGSTOP)
    wait_taken_over(second, hs)
    generations = {a: first.handoff(a)["generation"] for a in AGENTS}
    files = state_files(first)
    hs.clear_log()

    first.signal(signal.SIGCONT)
    assert first.daemon.wait_exit(20) == 1
    assert "the store is lost to another service" in first.tail()
    assert "first" not in turns(hs)
    assert {a: first.handoff(a)["generation"] for a in AGENTS} == generations
    assert state_files(first) == files
    assert small.status(second)["ready"]
    assert_as_declared(first, hs)

    # Started again it is the one that waits.
    first.start(ready=False)
    wait_standing_by(first)
    second.stop()
    wait_taken_over(first, hs)
    first.stop()


def test_it_stands_still_with_a_step_half_done(two):
    """The answer to a login comes to one who may write no token any more."""
    first, second, hs = two
    take_over_soon(first, second)
    hs.fault("POST", "/login$", delay(3), times=len(AGENTS))
    start_first(first, hs)
    second.start(ready=False)
    wait_until(lambda: len(hs.find("POST", "/login$")) == len(AGENTS), 30,
               "all log in")
    # Nothing is on its way to it, where it would be waited for.
    wait_until(lambda: all(s.idle() for s in hs.appservices.values()), 30,
               "the homeserver has told it everything")
    first.signal(signal.SIGSTOP)
    wait_taken_over(second, hs)
    tokens = {a: first.handoff(a) for a in AGENTS}
    hs.clear_log()
    first.signal(signal.SIGCONT)
    assert first.daemon.wait_exit(20) == 1
    assert {a: first.handoff(a) for a in AGENTS} == tokens
    assert "first" not in turns(hs)
    assert_as_declared(first, hs, crashed=True)
    second.stop()


def test_verbs_without_the_service(two):
    """They read what nobody has, and say who has it else."""
    first, second, hs = two
    first.start()
    small.wait_settled(first, hs)
    for verb in ("agents", "plan"):
        got = second.run(verb, expect=1)
        assert f"in use, by pid {first.daemon.process.pid} on " in got.err
        assert "socket" in got.err
    # Nor is a registration made without those who are leaving.
    second.write_org(small.org("anna.vp", "ben.man"))
    got = second.run("registration", expect=1)
    assert "in use, by pid" in got.err
    second.write_org(small.org())
    first.kill()
    agents = second.json("agents")
    assert {a["user_id"]: a["state"] for a in agents} == {
        full(a): "handed_off" for a in AGENTS}
    assert not [n for n in os.listdir(first.path()) if n.endswith("-shm")]


def test_from_a_local_disk_and_back(two):
    first, _, hs = two
    first.write_config(store={"network": False})
    first.start()
    small.wait_settled(first, hs)
    first.stop()
    assert state_files(first) == []

    first.write_config(store={"network": True})
    hs.clear_log()
    first.start()
    small.wait_settled(first, hs)
    assert hs.writes() == []
    first.stop()
    assert "state.1.db" in state_files(first)
    assert not os.path.exists(first.path("muster.db"))

    first.write_config(store={"network": "auto"})
    hs.clear_log()
    first.start()
    small.wait_settled(first, hs)
    assert hs.writes() == []
    assert state_files(first) == []
    small.assert_as_declared(hs, first)
    first.stop()
