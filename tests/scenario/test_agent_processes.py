"""What muster-agent does to its program's processes: another start with a newer
token, its process group, a terminal, and its own violent end."""

import contextlib
import os
import pty
import signal

import pytest

from support.agent import (AGENT, NOTE, NOTING, TOKEN, TOKEN2, is_alive, shell,
                           until)


def noted(world, run):
    world.wait_log("start", TOKEN)
    until(world.ack, "the acknowledgement")
    return run


def program_of(run):
    [(pid, _)] = run.children()
    return pid


def test_group_of_its_own(up):
    run = noted(up, up.run(*shell(NOTING)))
    program = program_of(run)
    assert os.getpgid(program) == program
    (up.tmp / "go").touch()
    assert run.ends() == 7


# A child in the background; its pid is in the file child.
CHILD = ('sh -c \'{trap}; echo $$ > "$T/child.new"; '
         'mv "$T/child.new" "$T/child"; while :; do sleep 0.1; done\' & ')


def test_what_the_program_has_started_ends_with_it(up):
    """And is asked to before it is killed."""
    child = CHILD.format(trap='trap "echo child >> $T/log; exit" TERM')
    run = noted(up, up.run(*shell(child + NOTING)))
    pid = int(up.read("child"))
    (up.tmp / "child").unlink()
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    until(lambda: not is_alive(pid), "the end of its child")
    up.wait_log("start", TOKEN, "TERM", "child", "start", TOKEN2)
    (up.tmp / "go").touch()
    assert run.ends() == 7
    os.kill(int(up.read("child")), signal.SIGKILL)


def test_program_that_does_not_end_is_killed(up):
    """With its child, both deaf."""
    child = CHILD.format(trap='trap "" TERM')
    deaf = NOTING.replace('trap "note TERM; exit 5" TERM', 'trap "" TERM')
    run = noted(up, up.run(*shell(child + deaf)))
    program, pid = program_of(run), int(up.read("child"))
    up.hand_off(generation=2, token=TOKEN2)
    run.says("the program did not end within 10 s: killed")
    until(lambda: up.ack(2), "the acknowledgement")
    assert not is_alive(program)
    until(lambda: not is_alive(pid), "the end of its child")
    up.wait_log("start", TOKEN, "start", TOKEN2)
    (up.tmp / "go").touch()
    assert run.ends() == 7
    os.kill(int(up.read("child")), signal.SIGKILL)


SLOW = NOTING.replace(
    'note TERM; exit 5',
    'note TERM; while [ ! -e $T/may ]; do sleep 0.02; done; exit 5')


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_ended_while_it_is_to_start_again(up, sig):
    run = noted(up, up.run(*shell(SLOW)))
    up.hand_off(generation=2, token=TOKEN2)
    up.wait_log("TERM")
    run.send(sig)
    if sig == signal.SIGTERM:  # it ends by itself; the other ends it
        (up.tmp / "may").touch()
    assert run.ends() == (5 if sig == signal.SIGTERM else 130)
    assert "started again" not in run.stderr()
    assert up.ack(2) is None


def test_other_signals_while_it_is_down(up):
    """Nobody is there to hear them, and they end nobody."""
    run = noted(up, up.run(*shell(NOTING)))
    up.request()
    until(up.paused, "the answer")
    for sig in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        run.send(sig)
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    up.wait_log("start", TOKEN, "TERM", "start", TOKEN2)
    (up.tmp / "go").touch()
    assert run.ends() == 7


def test_end_that_was_asked_for_is_no_other_start(up):
    """The program is on its way out when a newer token comes."""
    run = noted(up, up.run(*shell(SLOW)))
    run.send(signal.SIGTERM)
    up.wait_log("TERM")
    up.hand_off(generation=2, token=TOKEN2)
    run.says("generation 2 delivered")
    (up.tmp / "may").touch()
    assert run.ends() == 5
    assert up.log().count("start") == 1


def test_program_that_is_gone_when_it_is_to_start_again(up):
    program = up.tmp / "program"
    program.write_text("#!/bin/sh\n" + NOTING)
    program.chmod(0o755)
    run = noted(up, up.run("--", str(program)))
    up.request()
    until(up.paused, "the answer")
    program.unlink()
    up.hand_off(generation=2, token=TOKEN2)
    assert run.ends() == 127
    assert f"{program}: not found" in run.stderr()
    assert up.ack(2) is None


def descriptors(world, run):
    """How many it has, but of the directory, which it opens to look."""
    found = []
    for name in os.listdir(f"/proc/{run.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{run.pid}/fd/{name}"))
    return len([path for path in found
                if not path.startswith(str(world.runtime))])


def test_many_restarts(up):
    run = noted(up, up.run(*shell(NOTING)))

    def restart(generation):
        token = TOKEN2 if generation % 2 == 0 else TOKEN
        up.hand_off(generation=generation, token=token)
        until(lambda: up.ack(generation), "the acknowledgement")
        up.wait_log("TERM", "start", token)

    restart(2)
    up.wait_idle(1)
    fds = descriptors(up, run)
    for generation in range(3, 13):
        restart(generation)
    assert len(run.children()) == 1
    until(lambda: descriptors(up, run) == fds,
          "as many descriptors as before")
    (up.tmp / "go").touch()
    assert run.ends() == 7


def test_agent_that_is_killed_takes_its_program_along(up):
    run = noted(up, up.run(*shell(NOTING)))
    program = program_of(run)
    run.send(signal.SIGKILL)
    run.ends()
    until(lambda: not is_alive(program), "the end of the program")
    assert up.log() == ["start", TOKEN, "TERM"]


def test_program_has_no_descriptor_of_ours(up):
    """Neither the first nor the second one."""
    fds = 'ls -l /proc/self/fd | grep -c -e "anon_inode" -e socket -e pipe ' \
          '>> "$T/fds" || :; '
    run = noted(up, up.run(*shell(fds + NOTING)))
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    (up.tmp / "go").touch()
    assert run.ends() == 7
    # One of either: the pipe to grep.
    assert up.read("fds").split() == ["1", "1"]


# --- at a terminal ----------------------------------------------------------


def at_terminal(world, script, *args):
    """(pid, descriptor of the keyboard)."""
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(world.scratch),
           "RUNTIME_PATH": str(world.runtime), "T": str(world.tmp)}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    pid, keyboard = pty.fork()
    if pid == 0:
        os.execve(AGENT, [AGENT, "run", *args, *shell(script)], env)
    return pid, keyboard


def status_of(pid, keyboard):
    """Reads what it prints, so that it can end."""
    while True:
        try:
            if not os.read(keyboard, 4096):
                break
        except OSError:
            break
    os.close(keyboard)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_interrupt_key_comes_once(up):
    """To the program and to what it has started, as without us."""
    pid, keyboard = at_terminal(
        up, NOTE + 'trap "note INT" INT; note start $MATRIX_ACCESS_TOKEN; '
        'sh -c \'trap "echo child >> $T/log; exit" INT; echo up >> $T/log; '
        'while :; do sleep 0.05; done\'; '
        'while [ ! -e "$T/go" ]; do sleep 0.02; done; exit 7')
    up.wait_log("start", TOKEN, "up")
    os.write(keyboard, b"\x03")
    up.wait_log("up", "child", "INT")
    (up.tmp / "go").touch()
    assert status_of(pid, keyboard) == 7
    assert up.log()[3:] == ["child", "INT"]


def test_program_may_read_the_keyboard(up):
    pid, keyboard = at_terminal(
        up, 'echo start $MATRIX_ACCESS_TOKEN >> "$T/log"; read x; '
            'echo "$x" >> "$T/log"; exit 3')
    up.wait_log("start", TOKEN)
    os.write(keyboard, b"typed\n")
    assert status_of(pid, keyboard) == 3
    assert up.log()[-1] == "typed"


def test_restart_at_a_terminal(up):
    pid, keyboard = at_terminal(up, NOTING)
    up.wait_log("start", TOKEN)
    until(up.ack, "the acknowledgement")
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    up.wait_log("start", TOKEN, "TERM", "start", TOKEN2)
    (up.tmp / "go").touch()
    assert status_of(pid, keyboard) == 7
