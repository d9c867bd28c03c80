"""OpenClaw under `muster-agent run --for openclaw`: it starts, answers, loses
nothing in a rotation and in a restart, is silent when its token is revoked, and
comes back. The tests go on where the one before has left the agent."""

import json
import threading
import time

import pytest

from support.client import Client
from support.openclaw import installation
from support.process import wait_until


pytestmark = pytest.mark.timeout(1200)

# Questions that are open at one time. When OpenClaw has been away it looks at
# the newest ten events of each room and at no older ones: its sync asks for no
# more. While it is away these are answers that it was at, and questions.
AT_ONCE = 4


def whoami(world, token):
    return Client(world.hs.url, token).whoami()


def test_starts_and_answers(world, measured):
    for step, seconds in installation().items():
        measured(f"installing {step}", f"{seconds} s")
    measured("homeserver", world.hs.kind)
    began = time.monotonic()
    world.claw.start().wait_ready()
    measured("start to ready", time.monotonic() - began)
    asking = world.asking
    took = asking.wait_answer(asking.ask("first"))
    measured("the first answer", took)
    measured("the second answer", asking.wait_answer(asking.ask("second")))
    assert len(asking.answers("first")) == 1


def test_has_what_was_handed_over(world):
    claw, got = world.claw, world.muster.handoff("helper")
    assert claw.include == {
        "homeserver": got["homeserver"], "userId": claw.user_id,
        "deviceId": "MUSTER", "accessToken": got["access_token"]}
    assert claw.channel()["running"] is True
    wait_until(lambda: world.agent()["state"] == "acknowledged", 120,
               "the acknowledgement is known")


def test_no_token_where_others_look(world):
    """Neither in arguments nor in environments, nor in what was printed."""
    claw = world.claw
    secrets = {claw.include["accessToken"],
               claw.config["gateway"]["auth"]["token"]}
    processes = claw.processes()
    assert any("gateway" in words for _, words in processes.values())
    for pid, (_, words) in processes.items():
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                seen = f.read().decode(errors="replace") + " ".join(words)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        assert not [s for s in secrets if s in seen], words
    for secret in secrets:
        assert secret not in claw.output()


class Asker(threading.Thread):
    """Asks all the time, until it is left."""

    def __init__(self, asking):
        super().__init__()
        self.asking, self.words, self.over = asking, [], threading.Event()

    def open(self):
        return [w for w in self.words if not self.asking.answers(w)]

    def run(self):
        while not self.over.is_set() and len(self.words) < 60:
            if len(self.open()) < AT_ONCE:
                self.words.append(
                    self.asking.ask(f"rotation-{len(self.words)}"))
            self.over.wait(0.7)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_rotation_loses_nothing(world, measured):
    """Somebody asks all the time: before, in the middle and after."""
    asking, claw = world.asking, world.claw
    before = world.muster.handoff("helper")
    with Asker(asking) as asker:
        wait_until(lambda: len(asker.words) >= 2, 120, "questions")
        done = world.muster.run("rotate", "helper", timeout=400)
        rotated = time.monotonic()
        assert done.code == 0, done
        after = world.muster.handoff("helper")
        for word in list(asker.words):
            asking.wait_answer(word)
        wait_until(lambda: asking.asked[asker.words[-1]] > rotated, 120,
                   "a question after it")
    for word in asker.words:
        asking.wait_answer(word)
    assert after["generation"] == before["generation"] + 1
    assert after["device_id"] == before["device_id"]
    assert after["access_token"] != before["access_token"]
    assert claw.include["accessToken"] == after["access_token"]
    # Each was answered by the program that was paused: it was not started
    # again.
    assert sum("program started" in line for line in claw.said()) == 1
    measured("questions asked in and around a rotation",
             str(len(asker.words)))
    measured("the longest time without an answer in a rotation",
             longest_gap(asking, asker.words))


def longest_gap(asking, words):
    """Seconds between two answers, while somebody asked all the time."""
    times = sorted(min(asking.answers(word)) for word in words)
    return max(b - a for a, b in zip(times, times[1:]))


def test_rotation_is_acknowledged(world):
    generation = world.muster.handoff("helper")["generation"]
    wait_until(lambda: world.agent()["acked_generation"] == generation, 120,
               "the acknowledgement is known")


def test_rotation_waits_for_an_answer_that_is_being_written(world):
    """The token that it would be given with is dead after it."""
    asking = world.asking
    before = world.muster.handoff("helper")
    release = world.model.hold("slow")
    asking.ask("slow")
    wait_until(lambda: world.model.was_asked("slow"), 120,
               "the model is asked")
    done = []
    rotating = threading.Thread(target=lambda: done.append(
        world.muster.run("rotate", "helper", timeout=400)))
    rotating.start()
    try:
        wait_until(lambda: not world.claw.is_listening(), 120,
                   "the channel has stopped listening")
    finally:
        release.set()
        rotating.join()
    assert done[0].code == 0, done
    asking.wait_answer("slow")
    asking.wait_answer(asking.ask("after-slow"))
    assert world.muster.handoff("helper")["generation"] == (
        before["generation"] + 1)


def test_rotation_does_not_take_an_answer_away(world):
    """Which takes longer than anybody waits: the agent keeps its token."""
    asking = world.asking
    world.set_wait("1m")
    before = world.muster.handoff("helper")
    release = world.model.hold("endless")
    asking.ask("endless")
    try:
        wait_until(lambda: world.model.was_asked("endless"), 120,
                   "the model is asked")
        done = world.muster.run("rotate", "helper", timeout=400)
    finally:
        release.set()
        world.set_wait("5m")
    assert done.code != 0, done
    assert world.muster.handoff("helper") == before
    asking.wait_answer("endless")
    asking.wait_answer(asking.ask("after-endless"))


def test_restart_keeps_the_conversation(world, measured):
    """muster-agent ends and comes back, as a task does; somebody asks in
    between."""
    asking, claw = world.asking, world.claw
    asking.wait_answer(asking.ask("before-restart"))
    config = claw.config
    began = time.monotonic()
    assert claw.stop() == 0
    measured("SIGTERM to its end", time.monotonic() - began)
    asking.ask("while-down", after="before-restart")
    claw.start()
    measured("answer to what was asked while it was down, from the question",
             asking.wait_answer("while-down"))
    assert claw.include["deviceId"] == "MUSTER"
    assert claw.config["gateway"]["auth"] == config["gateway"]["auth"]
    # The model is told of what was said before.
    asking.wait_answer(asking.ask("after-restart", after="before-restart"))
    told = [json.dumps(body) for body in world.model.asked]
    assert any(all(f"question {word}" in text for word in (
        "before-restart", "while-down", "after-restart")) for text in told)
    assert len(asking.answers("second")) == 1


def test_own_changes_survive_a_restart(world):
    claw = world.claw
    claw.cli("config", "set", "agents.defaults.heartbeat.every", "12h")
    claw.write("SOUL.md", "# Another soul\n")
    claw.stop()
    claw.start().wait_ready()
    assert claw.config["agents"]["defaults"]["heartbeat"]["every"] == "12h"
    asking = world.asking
    asking.wait_answer(asking.ask("own-changes"))


def test_silent_when_revoked(world, measured):
    asking, claw = world.asking, world.claw
    token = claw.include["accessToken"]
    began = time.monotonic()
    done = world.muster.run("revoke", "helper", "--why", "a test", timeout=180)
    assert done.code == 0, done
    assert whoami(world, token).status == 401
    wait_until(lambda: any("revoked" in line for line in claw.said()), 120,
               "muster-agent has seen it")
    wait_until(lambda: claw.failing() == ["matrix"], 180,
               "OpenClaw has noticed")
    measured("revoked until OpenClaw says that its channel fails",
             time.monotonic() - began)
    asked = len(world.model.asked)
    asking.ask("revoked")
    # Its own look at the channel: it takes seconds, and finds nothing.
    assert claw.channel()["probe"]["ok"] is False
    assert asking.answers("revoked") == []
    assert not any("question revoked" in json.dumps(body)
                   for body in world.model.asked[asked:])
    assert claw.daemon.running()
    assert world.agent()["state"] == "blocked"


def test_comes_back(world, measured):
    asking, claw = world.asking, world.claw
    began, logins = time.monotonic(), claw.logins()
    done = world.muster.run("rotate", "helper", timeout=400)
    assert done.code == 0, done
    assert whoami(world, claw.include["accessToken"]).status == 200
    # What is asked before that is lost: it did not end its sync by itself.
    wait_until(lambda: claw.logins() > logins, 180, "its channel is up again")
    measured("rotate after a revocation until its channel is up",
             time.monotonic() - began)
    measured("the first answer after that",
             asking.wait_answer(asking.ask("back")))


def test_nothing_was_printed_in_the_end(world):
    """Of all tokens that there were."""
    token = world.claw.include["accessToken"]
    assert token not in world.claw.output()
    world.muster.assert_no_secret_shown(more=[token])
