"""muster-agent in a rotation: asked for it in rotate.<generation>.json, it
pauses its program, answers paused.<generation>.json, and goes on with the newer
token or with the one that it has. Either side may be killed at any moment."""

import os
import signal
import subprocess
import time

import pytest
import support.agent

from support.agent import (BOUND, NOTING, PAUSE, RESUME, REVOKED, TOKEN, TOKEN2,
                           USER, is_alive, shell, tombstone, until)

RESTART = ("--for", "env")  # and so --reload restart
COMMANDS = ("--for", "file", "--pause", PAUSE, "--resume", RESUME)
LONG = 600000  # ms: what ends earlier was not the time
SHORT = 9000   # ms: 4 s to pause in, and no need to wait for long


def run_noting(world, *args, **more):
    run = world.run(*args, *shell(NOTING), **more)
    world.wait_log("start", TOKEN)
    until(world.ack, "the acknowledgement")
    return run


def end(world, run):
    (world.tmp / "go").touch()
    assert run.ends() == 7


# --- all goes well ----------------------------------------------------------


def test_program_that_is_started_again(up):
    run = run_noting(up, *RESTART)
    before = int(time.time() * 1000)
    up.request(why="yearly")
    paused = until(up.paused, "the answer")
    assert up.log() == ["start", TOKEN, "TERM"]  # ended before the answer
    assert before <= paused.pop("at_ms") <= int(time.time() * 1000)
    assert paused == {"generation": 2, "user_id": USER, "device_id": "MUSTER",
                      "agent": f"{os.uname().nodename}/{run.pid}"}
    run.says("generation 2 is to replace the token: yearly: paused for at "
             "most 600 s")
    assert run.children() == []
    up.hand_off(generation=2, token=TOKEN2)
    up.wait_log("TERM", "start", TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    end(up, run)


def test_program_with_commands_of_its_own(up):
    output = up.tmp / "token"
    pause = (PAUSE + '; ls "$RUNTIME_PATH" > "$T/there"; env > "$T/env"; '
             'ps -o pid= -p $MUSTER_PROGRAM_PID > "$T/pid"; echo out')
    resume = RESUME + f' && cat {output} >> "$T/log"'
    run = run_noting(up, "--for", "file", "--output", str(output),
                     "--pause", pause, "--resume", resume)
    [(program, _)] = run.children()
    up.request()
    until(up.paused, "the answer")
    assert up.log()[2:] == ["pause"]
    assert "paused.2.json" not in up.read("there")
    assert int(up.read("pid")) == program
    assert TOKEN not in up.read("env")
    assert f"MATRIX_USER_ID={USER}" in up.read("env")
    up.hand_off(generation=2, token=TOKEN2)
    up.wait_log("pause", "resume", TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    assert run.children()[0][0] == program
    assert "out" in run.stderr() and run.out.read_text() == ""
    end(up, run)


def test_commands_around_another_start(up):
    run = run_noting(up, *RESTART, "--pause", PAUSE, "--resume", RESUME)
    up.request()
    until(up.paused, "the answer")
    assert up.log() == ["start", TOKEN, "pause"]
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    until(lambda: sorted(up.log()[3:]) == sorted(
        ["TERM", "start", TOKEN2, "resume"]), "all of it")
    end(up, run)


def test_program_that_looks_by_itself(up):
    output = up.tmp / "token"
    run = run_noting(up, "--for", "file", "--output", str(output))
    up.request()
    until(up.paused, "the answer")
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    assert output.read_text() == TOKEN2 + "\n"
    assert up.log() == ["start", TOKEN]
    end(up, run)


def test_program_that_is_told_by_a_signal(up):
    run = run_noting(up, "--for", "file", "--reload", "signal:USR1")
    up.request()
    until(up.paused, "the answer")
    assert up.log() == ["start", TOKEN]
    up.hand_off(generation=2, token=TOKEN2)
    up.wait_log("start", TOKEN, "USR1")
    until(lambda: up.ack(2), "the acknowledgement")
    end(up, run)


@pytest.mark.parametrize("args, words", [
    (RESTART, ["TERM", "start", TOKEN2]),
    (("--for", "file", "--reload", "restart"), ["TERM", "start", TOKEN2]),
    (("--for", "file", "--reload", "signal:SIGUSR1"), ["USR1"]),
    (COMMANDS, []),
])
def test_nobody_asks_before(up, args, words):
    """A newer token is there: the old one may be dead already."""
    run = run_noting(up, *args)
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    up.wait_log(*["start", TOKEN, *words])
    assert up.paused() is None
    end(up, run)


def test_program_that_takes_no_other_token_does_not_answer(up):
    run = run_noting(up, "--reload", "none")
    up.request()
    run.says("takes no other one: not answered")
    up.wait_looked_at()
    assert up.paused() is None
    assert up.log() == ["start", TOKEN]
    end(up, run)


# --- nothing comes of it ----------------------------------------------------


@pytest.mark.parametrize("args, words", [
    (RESTART, ["TERM", "start", TOKEN]),
    (COMMANDS, ["pause", "resume"]),
])
def test_it_is_taken_back(up, args, words):
    run = run_noting(up, *args)
    up.request(wait_ms=LONG)
    until(up.paused, "the answer")
    up.take_back()
    up.wait_log(*words)
    run.says("did not come about: going on with generation 1")
    # And the next one is answered as if nothing had been.
    up.request(3)
    until(lambda: up.paused(3), "the answer")
    up.hand_off(generation=3, token=TOKEN2)
    until(lambda: up.ack(3), "the acknowledgement")
    end(up, run)


def test_nothing_comes_in_time(up):
    run = run_noting(up, *COMMANDS)
    asked = len(up.hs.asked)
    up.request(wait_ms=SHORT)
    up.wait_log("pause", "resume")
    assert up.hs.asked[asked:] == [(up.hs.asked[0][0], TOKEN)]
    assert up.paused()
    # What comes later is taken all the same.
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    end(up, run)


def test_token_that_is_dead_when_nothing_came(up):
    """Whoever has logged in is about to write; a program that went on with a
    dead token would lose what is sent meanwhile."""
    run = run_noting(up, *COMMANDS)
    del up.hs.tokens[TOKEN]
    up.request(wait_ms=SHORT)
    until(up.paused, "the answer")
    run.says("is late, and the program stays paused: the homeserver does not "
             "know the token of generation 1")
    assert up.log()[2:] == ["pause"]
    up.hand_off(generation=2, token=TOKEN2)
    up.wait_log("pause", "resume")
    until(lambda: up.ack(2), "the acknowledgement")
    assert run.stderr().count("is late") == 1
    end(up, run)


def test_homeserver_that_fails_when_nothing_came(up):
    run = run_noting(up, *COMMANDS)
    up.hs.tokens[TOKEN] = 502
    up.request(wait_ms=SHORT)
    run.says("is late, and the program stays paused: homeserver")
    assert up.log()[2:] == ["pause"]
    up.hs.tokens[TOKEN] = (USER, "MUSTER")
    up.wait_log("pause", "resume")
    end(up, run)


def test_token_is_revoked_in_the_pause(up):
    run = run_noting(up, *COMMANDS)
    del up.hs.tokens[TOKEN]
    up.request(wait_ms=SHORT)
    until(up.paused, "the answer")
    up.hand_off(tombstone(up.hs.url))
    run.says(REVOKED)
    run.says("is late, and the program stays paused")
    assert up.log()[2:] == ["pause"]
    up.hand_off(generation=3, token=TOKEN2)
    up.wait_log("pause", "resume")
    until(lambda: up.ack(3), "the acknowledgement")
    end(up, run)


def test_next_one_before_the_first_is_over(up):
    """The service was started anew: the program is paused already."""
    run = run_noting(up, *COMMANDS)
    up.request(2)
    until(lambda: up.paused(2), "the first answer")
    up.take_back(2)
    up.request(3)
    until(lambda: up.paused(3), "the second answer")
    up.hand_off(generation=3, token=TOKEN2)
    until(lambda: up.ack(3), "the acknowledgement")
    pauses = up.log().count("pause")
    assert pauses in (1, 2)  # 2: it had gone on when the second one came
    assert up.log().count("resume") == pauses
    assert up.log()[-1] == "resume"
    end(up, run)


def test_requests_that_are_none(up):
    """Of a generation that it has, damaged, or no file."""
    up.hand_off(generation=4)
    run = up.run(*COMMANDS, *shell(NOTING))
    until(lambda: up.ack(4), "the acknowledgement")
    up.request(3)
    up.request(4)
    os.mkfifo(up.runtime / "rotate.5.json")
    (up.runtime / "rotate.06.json").write_text("{}")
    up.wait_looked_at()
    up.request(7)
    until(lambda: up.paused(7), "the answer to a good one")
    assert sorted(path.name for path in up.runtime.glob("paused.*")) == [
        "paused.7.json"]
    up.take_back(7)
    up.wait_log("pause", "resume")
    end(up, run)


# --- what was asked before it came ------------------------------------------


def test_old_request_at_the_start(up):
    up.request(age=3600, wait_ms=30000)
    run = run_noting(up, *COMMANDS)
    up.wait_looked_at()
    assert up.log() == ["start", TOKEN]
    assert up.paused() is None
    up.request(3)
    until(lambda: up.paused(3), "the answer to a newer one")
    up.take_back(3)
    up.wait_log("pause", "resume")
    end(up, run)


@pytest.mark.parametrize("args", [RESTART, COMMANDS, ("--for", "file"),
                                  ("--for", "env", "--reload", "none")])
def test_fresh_request_at_the_start(up, args):
    """Nothing runs yet, so it is paused, whatever it is; and starts with the
    newer one."""
    up.request(age=1, wait_ms=30000)
    run = up.run(*args, *shell(NOTING))
    until(up.paused, "the answer")
    run.says("generation 2 is to replace the token: the program is started "
             "with that one")
    assert up.log() == []
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    up.wait_log("start", TOKEN2)
    end(up, run)
    assert up.log() == ["start", TOKEN2] and up.ack(1) is None


def test_fresh_request_at_the_start_is_taken_back(up):
    up.request(age=1, wait_ms=LONG)
    run = up.run(*COMMANDS, *shell(NOTING))
    until(up.paused, "the answer")
    up.take_back()
    up.wait_log("start", TOKEN)
    end(up, run)


@pytest.mark.parametrize("args", [("--deadline", "1500ms"),
                                  ("--deadline", "0s")])
def test_fresh_request_until_the_deadline(up, args):
    """The token that is there is good: better than none."""
    up.request(wait_ms=LONG)
    run = run_noting(up, *args, "--for", "file")
    end(up, run)


def test_fresh_request_at_the_start_of_which_nothing_comes(up):
    up.request(wait_ms=SHORT)
    run = run_noting(up, *COMMANDS)
    assert up.paused()
    end(up, run)


# --- commands that fail -----------------------------------------------------


# The pid of what it waits for is in the file sleep.
HANG = ('; sleep 1000 & echo $! > "$T/sleep.new"; '
        'mv "$T/sleep.new" "$T/sleep"; wait')


def test_pause_that_fails(up):
    """No answer, and the program goes on in case it was half way there."""
    run = run_noting(up, "--for", "file", "--pause", PAUSE + "; exit 9",
                     "--resume", RESUME)
    up.request()
    run.says("the rotation to generation 2 is not answered: the command that "
             "pauses the program: ended with status 9")
    up.wait_log("pause", "resume")
    up.wait_looked_at()
    assert up.paused() is None
    assert up.log().count("pause") == 1
    end(up, run)


def test_pause_that_hangs(up):
    """It and what it has started are killed, and nothing is answered."""
    pause = PAUSE + HANG
    run = run_noting(up, "--for", "file", "--pause", pause, "--resume", RESUME)
    up.request(wait_ms=SHORT)
    run.says("did not end within 4 s and was killed")
    up.wait_log("pause", "resume")
    assert up.paused() is None
    sleep = int(up.read("sleep"))
    until(lambda: not is_alive(sleep), "the end of what it had started")
    end(up, run)


@pytest.fixture
def refusing(up):
    """(variables of the environment, the file while which no command can be
    started, that from which on it is an hour later)"""
    library, no, later = (up.tmp / n for n in ("refuse.so", "no", "later"))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(
        os.path.dirname(support.agent.__file__), "refuse.c")], check=True)
    return {"LD_PRELOAD": str(library), "REFUSE_WHILE": str(no),
            "LATER_WHEN": str(later),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
            + ":verify_asan_link_order=0:detect_leaks=0"}, no, later


def test_pause_that_cannot_be_started(up, refusing):
    """Not answered; and the program is not taken for a command that has not
    ended in its time."""
    env, no, later = refusing
    run = up.run("--for", "file", "--pause", PAUSE, "--resume", RESUME, "--",
                 "sleep", "1000", env=env)
    until(up.ack, "the acknowledgement")
    [program] = run.children()
    no.touch()
    up.request()
    run.says("is not answered: the command that pauses the program: could "
             "not be started")
    run.says("the command that resumes the program: could not be started")
    up.take_back()
    no.unlink()
    later.touch()
    # What was late would be ended before it does anything else.
    up.request(generation=3)
    until(lambda: up.paused(3), "the answer")
    assert run.children() == [program]
    assert "killed" not in run.stderr()
    assert up.paused() is None and up.log() == ["pause"]
    run.send(signal.SIGTERM)
    assert run.ends() == 128 + signal.SIGTERM


def test_resume_that_fails_is_tried_again(up):
    resume = RESUME + '; [ -e "$T/may" ]'
    run = run_noting(up, "--for", "file", "--pause", PAUSE, "--resume", resume)
    up.request()
    until(up.paused, "the answer")
    up.hand_off(generation=2, token=TOKEN2)
    run.says("the command that resumes the program: ended with status 1")
    assert up.ack(2) is None
    (up.tmp / "may").touch()
    until(lambda: up.ack(2), "the acknowledgement")
    assert run.stderr().count("ended with status 1") == 1
    end(up, run)


def test_answer_that_cannot_be_written(up):
    (up.runtime / "paused.2.json").mkdir()
    run = run_noting(up, *COMMANDS)
    up.request()
    run.says("answering the rotation to generation 2")
    (up.runtime / "paused.2.json").rmdir()
    until(up.paused, "the answer")
    up.take_back()
    up.wait_log("pause", "resume")
    end(up, run)


# --- the end in the middle --------------------------------------------------


@pytest.mark.parametrize("args, status", [(RESTART, 5), (COMMANDS, 5)])
def test_ended_in_the_pause(up, args, status):
    run = run_noting(up, *args)
    up.request()
    until(up.paused, "the answer")
    run.send(signal.SIGTERM)
    assert run.ends() == status
    assert up.log().count("TERM") == 1
    assert "started again" not in run.stderr()


@pytest.mark.parametrize("which", ["pause", "resume"])
def test_ended_in_a_command(up, which):
    run = run_noting(
        up, "--for", "file", "--pause", PAUSE + HANG * (which == "pause"),
        "--resume", RESUME + HANG * (which == "resume"))
    up.request()
    if which == "resume":
        until(up.paused, "the answer")
        up.hand_off(generation=2, token=TOKEN2)
    up.wait_log(which)
    sleep = int(up.read("sleep"))
    run.send(signal.SIGTERM)
    assert run.ends() == 5
    until(lambda: not is_alive(sleep), "the end of what it had started")


def test_stopped_program_hears_of_its_end(up):
    run = run_noting(up, "--for", "file",
                     "--pause", "kill -STOP $MUSTER_PROGRAM_PID",
                     "--resume", "kill -CONT $MUSTER_PROGRAM_PID")
    up.request()
    until(up.paused, "the answer")
    run.send(signal.SIGTERM)
    assert run.ends() == 5


def test_program_ends_by_itself_in_the_pause(up):
    run = run_noting(up, *COMMANDS)
    up.request()
    until(up.paused, "the answer")
    end(up, run)


PHASES = {
    # phase: (options, what has to be in the log when the agent is killed)
    "command that pauses": (
        ("--for", "file", "--pause", PAUSE + "; sleep 1000",
         "--resume", RESUME), "pause"),
    "paused by a command": (COMMANDS, "pause"),
    "ended for it": (RESTART, "TERM"),
    "command that resumes": (
        ("--for", "file", "--pause", PAUSE,
         "--resume", RESUME + "; sleep 1000"), "resume"),
    "started again": (RESTART, TOKEN2),
}


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("phase", PHASES)
def test_agent_is_killed(up, phase, dead):
    """Its program ends with it, cleanly; the next agent goes on with whatever
    file is there, and waits where its token is dead."""
    args, word = PHASES[phase]
    run = run_noting(up, *args)
    [(program, _)] = run.children()
    up.request()
    if phase in ("command that resumes", "started again"):
        until(up.paused, "the answer")
        up.hand_off(generation=2, token=TOKEN2)
    elif phase != "command that pauses":
        until(up.paused, "the answer")
    until(lambda: word in up.log(), word)
    children = [pid for pid, _ in run.children()]
    run.send(signal.SIGKILL)
    run.ends()
    for pid in [program, *children]:
        until(lambda: not is_alive(pid), "the end of its children")
    if phase != "command that resumes":
        assert "TERM" in up.log()  # and so with its own handler

    (up.tmp / "log").unlink()
    for answer in up.runtime.glob("paused.*"):
        answer.unlink()
    if dead:
        del up.hs.tokens[TOKEN]
    later = up.run(*COMMANDS, *shell(NOTING))
    if phase not in ("command that resumes", "started again"):
        if dead:
            later.says("does not know the token of generation 1")
        else:
            until(up.paused, "the answer of the next one")
        up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    up.wait_log("start", TOKEN2)
    assert up.log() == ["start", TOKEN2]
    end(up, later)


def test_bound():
    """What these tests wait for is shorter than what they must not wait for."""
    assert BOUND * 1000 < LONG
