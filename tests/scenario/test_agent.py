"""muster-agent run: what the program gets, when it is started, how it ends and
how it comes to a newer token. Rotations are in test_agent_rotation.py, what is
done to processes in test_agent_processes.py."""

import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from support.agent import (AGENT, BOUND, ENV, REVOKED, STAY, TOKEN, TOKEN2,
                           USER, document, shell, tombstone, until, variables)
from support.tls import TlsFront


# --- what the program gets --------------------------------------------------


def test_environment(up):
    run = up.run(*shell(ENV), env={"MATRIX_ACCESS_TOKEN_FILE": "/stale",
                                   "MATRIX_USER_ID": "@stale:x",
                                   "MATRIX_ROOM": "kept"})
    assert run.ends() == 0
    assert variables(up.read("env")) == {
        "MATRIX_HOMESERVER": up.hs.url, "MATRIX_USER_ID": USER,
        "MATRIX_DEVICE_ID": "MUSTER", "MATRIX_ACCESS_TOKEN": TOKEN,
        "MATRIX_ROOM": "kept"}
    assert up.hs.asked[0] == ("/_matrix/client/v3/account/whoami", TOKEN)


def test_private_file(up):
    run = up.run("--for", "file", *shell(
        'stat -c "%a %n" "$MATRIX_ACCESS_TOKEN_FILE" '
        '"${MATRIX_ACCESS_TOKEN_FILE%/*}" > "$T/modes"; '
        'cat "$MATRIX_ACCESS_TOKEN_FILE" > "$T/token"; ' + ENV),
        env={"MATRIX_ACCESS_TOKEN": "stale"})
    assert run.ends() == 0
    got = variables(up.read("env"))
    path = got.pop("MATRIX_ACCESS_TOKEN_FILE")
    assert got == {"MATRIX_HOMESERVER": up.hs.url, "MATRIX_USER_ID": USER,
                   "MATRIX_DEVICE_ID": "MUSTER"}
    assert path.startswith(str(up.scratch) + "/")
    assert up.read("token") == TOKEN + "\n"
    assert up.read("modes") == f"600 {path}\n700 {os.path.dirname(path)}\n"
    assert os.listdir(up.scratch) == []


def test_private_file_elsewhere_when_tmpdir_is_bad(up):
    run = up.run("--for", "file", *shell(ENV), env={"TMPDIR": "/nonexistent"})
    assert run.ends() == 0
    path = variables(up.read("env"))["MATRIX_ACCESS_TOKEN_FILE"]
    assert path.startswith(("/dev/shm/", "/tmp/"))
    assert not os.path.exists(os.path.dirname(path))


def left_over(world, name, mode=0o700, **files):
    path = world.scratch / name
    path.mkdir(mode)
    path.chmod(mode)
    for file, text in files.items():
        (path / file).write_text(text)
    return path


def test_private_file_of_one_that_was_killed(up):
    """The next agent of the same user removes it, and nothing else."""
    held = up.run("--for", "file", *shell(STAY))
    up.read("up")
    mine, = os.listdir(up.scratch)
    killed = up.run("--for", "file", *shell(ENV + "; " + STAY))
    gone = pathlib.Path(variables(
        up.read("env"))["MATRIX_ACCESS_TOKEN_FILE"]).parent
    killed.process.kill()
    killed.ends()
    assert (gone / "access_token").read_text() == TOKEN + "\n"
    (gone / ".access_token.0123456789abcdef").write_text(TOKEN)
    left_over(up, "muster-agent.empty0")
    stay = {left_over(up, name, mode, **files).name for name, mode, files in [
        ("muster-agent.other0", 0o700, {"access_token": "x", "mine": "y"}),
        ("muster-agent.open00", 0o755, {"access_token": "x"}),
        ("muster-agent.longer0", 0o700, {"access_token": "x"}),
        ("muster-agent.d-t000", 0o700, {"access_token": "x"}),
        ("elsewhere", 0o700, {"access_token": "x"})]}
    (up.scratch / "muster-agent.link00").symlink_to(up.scratch / "elsewhere")
    (up.scratch / "muster-agent.file00").write_text("x")
    inside = left_over(up, "muster-agent.inside")
    (inside / "access_token").symlink_to(up.scratch / "muster-agent.file00")
    stay |= {mine, "muster-agent.link00", "muster-agent.file00", inside.name}
    if os.geteuid() == 0:
        path = left_over(up, "muster-agent.theirs", access_token="x")
        os.chown(path, 65534, 65534)
        stay.add(path.name)
    files = {path for path in up.scratch.rglob("*")
             if path.parent != gone and path.name != "muster-agent.empty0"
             and path != gone}
    run = up.run(*shell("exit 3"))
    assert run.ends() == 3
    assert set(os.listdir(up.scratch)) == stay
    assert set(up.scratch.rglob("*")) == files
    assert f"removed {gone}, which a muster-agent" in run.stderr()
    (up.tmp / "go").touch()
    assert held.ends() == 0
    assert mine not in os.listdir(up.scratch)


def test_output_file_stays(up):
    run = up.run("--for", "file", "--output", "token", *shell("cd /; " + ENV),
                 popen={"cwd": up.tmp})
    assert run.ends() == 0
    path = variables(up.read("env"))["MATRIX_ACCESS_TOKEN_FILE"]
    assert path == str(up.tmp / "token")
    assert up.read("token") == TOKEN + "\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_homeserver_overruled(world):
    world.hs.start()
    world.hand_off(url="http://127.0.0.1:1")
    for slashes in ("", "/", "//"):
        run = world.run(
            "--homeserver", world.hs.url + slashes, *shell(ENV))
        assert run.ends() == 0
        assert variables(
            world.read("env"))["MATRIX_HOMESERVER"] == world.hs.url


def test_homeserver_of_the_environment(world):
    """The fleet's own variable, which says how the agent reaches it."""
    world.hs.start()
    world.hand_off(url="http://127.0.0.1:1")
    run = world.run(*shell(ENV), env={"MATRIX_HOMESERVER": world.hs.url + "/"})
    assert run.ends() == 0
    assert variables(world.read("env"))["MATRIX_HOMESERVER"] == world.hs.url
    run = world.run("--homeserver", world.hs.url, *shell(ENV),
                    env={"MATRIX_HOMESERVER": "http://127.0.0.1:1"})
    assert run.ends() == 0


def test_program_starts_as_if_alone(up):
    """Our signal mask and what we ignore is not the program's."""
    run = up.run(*shell('grep ^Sig /proc/self/status > "$T/sig"; ' + ENV))
    assert run.ends() == 0
    up.read("env")
    masks = dict(line.split() for line in
                 (up.tmp / "sig").read_text().splitlines())
    assert int(masks["SigBlk:"], 16) == 0
    assert int(masks["SigIgn:"], 16) & 1 << signal.SIGPIPE - 1 == 0


def test_token_is_in_no_argument(up):
    run = up.run("--for", "file", *shell(STAY))
    up.read("up")
    for pid in [run.pid] + [pid for pid, _ in run.children()]:
        assert TOKEN.encode() not in pathlib.Path(
            f"/proc/{pid}/cmdline").read_bytes()
    assert TOKEN.encode() not in pathlib.Path(
        f"/proc/{run.pid}/environ").read_bytes()
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_nobody_looks_into_the_agent_but_into_the_program(humble):
    """A process without core dumps belongs to root in /proc."""
    run = humble.run(*shell(STAY))
    humble.read("up")
    [(program, _)] = run.children()
    assert os.stat(f"/proc/{run.pid}/environ").st_uid == 0
    assert os.stat(f"/proc/{program}/environ").st_uid == humble.uid
    (humble.tmp / "go").touch()
    run.ends()  # LeakSanitizer, where it is built in, may object


# --- acknowledging ----------------------------------------------------------


def test_acknowledgement(up):
    before = int(time.time() * 1000)
    run = up.run(*shell("exit 0"))
    assert run.ends() == 0
    ack = up.ack()
    assert before <= ack.pop("at_ms") <= int(time.time() * 1000)
    assert ack == {"generation": 1, "user_id": USER, "device_id": "MUSTER",
                   "agent": f"{socket.gethostname()}/{run.pid}"}
    assert sorted(os.listdir(up.runtime)) == ["ack.1.json", "matrix.json"]


def test_acknowledgement_has_the_given_name(up):
    assert up.run(*shell("exit 0"),
                  env={"MUSTER_AGENT_NAME": "task/7"}).ends() == 0
    assert up.ack()["agent"] == "task/7"


def test_acknowledgement_is_tried_again(up):
    (up.runtime / "ack.1.json").mkdir()
    run = up.run(*shell(STAY))
    run.says("acknowledging generation 1")
    (up.runtime / "ack.1.json").rmdir()
    until(up.ack, "the acknowledgement")
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert run.stderr().count("acknowledging generation 1") == 1


def test_once(up):
    output = up.tmp / "token"
    run = up.run("--once", "--for", "file", "--output", str(output))
    assert run.ends() == 0
    assert output.read_text() == TOKEN + "\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert up.ack()["generation"] == 1


def test_once_does_not_start_a_program_that_is_named(up):
    output = up.tmp / "token"
    run = up.run("--once", "--for", "file", "--output", str(output), "--",
                 "touch", str(up.tmp / "started"))
    assert run.ends() == 0
    assert output.read_text() == TOKEN + "\n"
    assert up.ack()["generation"] == 1
    assert not (up.tmp / "started").exists()
    assert "touch is not started: --once" in run.stderr()


def test_once_fails_when_it_cannot_acknowledge(up):
    (up.runtime / "ack.1.json").mkdir()
    run = up.run("--once", "--for", "file", "--output", str(up.tmp / "token"))
    assert run.ends() == 125
    assert "acknowledging generation 1" in run.stderr()


@pytest.mark.parametrize("output, words", [
    ("no/token", "there is no directory {tmp}/no: make it, or name a file "
     "elsewhere"),
    ("scratch", "it is a directory: name a file in it"),
    ("scratch/", "it is a directory: name a file in it"),
])
def test_output_that_cannot_be_written(world, output, words):
    """Said before anything is waited for: nothing is handed over."""
    run = world.run("--for", "file", "--output", f"{world.tmp}/{output}",
                    *shell(STAY))
    assert run.ends() == 125
    assert words.format(tmp=world.tmp) in run.stderr()
    assert f"{world.tmp}/{output}: " in run.stderr()
    assert "waiting" not in run.stderr()
    assert os.listdir(world.scratch) == []


def test_output_that_is_the_hand_off_itself(up):
    """Where its token was written over it, the service would make another,
    and so on for ever."""
    before = (up.runtime / "matrix.json").read_text()
    run = up.run("--for", "file", "--output",
                 f"{up.runtime}/../aaron.phillips/matrix.json", *shell(STAY))
    assert run.ends() == 125
    assert "it is the hand-off itself: name a file elsewhere" in run.stderr()
    assert "waiting" not in run.stderr()
    assert (up.runtime / "matrix.json").read_text() == before


def test_output_where_we_may_not_write(humble):
    place = humble.tmp / "closed"
    place.mkdir(mode=0o555)
    run = humble.run("--for", "file", "--output", str(place / "token"),
                     *shell(STAY))
    assert run.ends() == 125
    assert "Permission denied: give our user the right to it" in run.stderr()
    assert "waiting" not in run.stderr()


def test_what_a_killed_writer_left_beside_the_output_goes(up):
    """Only of this very name, and only what nobody can be writing now."""
    hex_ = "0123456789abcdef"
    old = [f".token.{hex_}", f".token.{hex_[::-1]}"]
    kept = [f".other.{hex_}", f".token.{hex_[1:]}", f".token.{hex_}0",
            f"token.{hex_}", f".token.{hex_.upper()}", "token.old"]
    fresh = ".token.00000000deadbeef"
    for name in old + kept + [fresh]:
        (up.tmp / name).write_text(TOKEN2)
    for name in old + kept:
        then = time.time() - 61
        os.utime(up.tmp / name, (then, then))
    (up.tmp / ".token.ffffffffffffffff").mkdir()
    os.utime(up.tmp / ".token.ffffffffffffffff", (1, 1))
    run = up.run("--once", "--for", "file", "--output", str(up.tmp / "token"))
    assert run.ends() == 0
    there = set(os.listdir(up.tmp))
    assert not there & set(old)
    assert there >= {*kept, fresh, "token", ".token.ffffffffffffffff"}
    assert up.read("token") == TOKEN + "\n"


# --- exit status ------------------------------------------------------------


@pytest.mark.parametrize("args, words", [
    ([], "which program?"),
    (["--for", "openssl", "--", "true"],
     "there are env, file, template and openclaw"),
    (["--paws", "x", "--", "true"],
     "--paws: not an option: did you mean --pause?"),
    (["--paws=x", "--", "true"],
     "--paws: not an option: did you mean --pause?"),
    (["--hesitate=x", "--", "true"],
     "--hesitate: not an option of this version; it has --runtime, "),
    (["--reload", "now", "--", "true"], "none, restart and signal:NAME"),
    (["--for", "file", "--reload", "signal:TERM", "--", "true"],
     "is one of HUP, INT, QUIT, USR1, USR2 and WINCH"),
    (["--reload", "signal:HUP", "--", "true"], "say --reload restart"),
    (["--for", "file", "--pause", "x", "--", "true"], "belong together"),
    (["--for", "file", "--resume", "x", "--", "true"], "belong together"),
    (["--for", "file", "--pause", "", "--resume", "x", "--", "true"],
     "need a command"),
    (["--reload", "none", "--pause", "x", "--resume", "x", "--", "true"],
     "takes no other one"),
    (["--output", "x", "--", "true"], "--output needs"),
    (["--for", "file", "--template", "x", "--", "true"],
     "--template needs --for template"),
    (["--for", "template", "--output", "x", "--", "true"],
     "--for template needs --template"),
    (["--for", "template", "--template", "x", "--", "true"],
     "--for template needs --output"),
    (["--for", "file", "--workspace", "x", "--", "true"],
     "--workspace needs --for openclaw"),
    (["--for", "file", "--merge", "x", "--", "true"],
     "--merge needs --for openclaw"),
    (["--once", "--for", "file", "--output", "x", "--reload", "none"],
     "leave out --pause, --resume and --reload"),
    (["--check", "500ms", "--", "true"], "from 1 s to 3600 s"),
    (["-q", "--", "true"], "-q: not an option"),
    (["--deadline", "10", "--", "true"], "--deadline 10: expected"),
    (["--deadline"], "--deadline: needs a value"),
    (["--runtime", "", "--", "true"], "--runtime"),
    (["--homeserver", "conduit:6167", "--", "true"], "http://"),
    (["--homeserver", "http:///", "--", "true"], "--homeserver http:///: "),
    (["--once", "--for", "file"], "--output"),
    (["--once", "--for", "env"], "--for file"),
])
def test_wrong_use(up, args, words):
    run = up.run(*args)
    assert run.ends() == 125
    assert words in run.stderr()
    assert run.stderr().count("\n") == 1
    assert up.hs.asked == []


@pytest.mark.parametrize("url, words", [
    ("conduit:6167", " conduit:6167: expected a URL"),
    ("http://" + "x" * 1017, " is longer than 1023 bytes"),
])
def test_homeserver_of_the_environment_that_is_none(up, url, words):
    run = up.run("--", "true", env={"MATRIX_HOMESERVER": url})
    assert run.ends() == 125
    assert "MATRIX_HOMESERVER" + words in run.stderr()


def test_without_a_directory_to_look_in(up):
    run = up.run("--", "true", env={"RUNTIME_PATH": ""})
    assert run.ends() == 125
    assert "RUNTIME_PATH" in run.stderr()


@pytest.mark.parametrize("args, status, words", [
    (["help"], 0, "--deadline"), (["--help"], 0, "--deadline"),
    (["version"], 0, "muster-agent 0."), (["run", "--help"], 0, "--runtime"),
    (["-h"], 0, "--deadline"), (["run", "-h"], 0, "--runtime"),
    (["-V"], 0, "muster-agent 0."),
    (["dance"], 125, ""), ([], 125, ""),
])
def test_verbs(args, status, words):
    done = subprocess.run([AGENT, *args], capture_output=True, text=True,
                          timeout=BOUND)
    assert done.returncode == status
    assert words in done.stdout
    assert bool(done.stderr) == (status != 0)


@pytest.mark.parametrize("name", ["two\nlines", "x" * 128, b"\xff"])
def test_a_name_that_cannot_acknowledge(up, name):
    run = up.run(*shell("true"), env={"MUSTER_AGENT_NAME": name})
    assert run.ends() == 125
    assert "MUSTER_AGENT_NAME" in run.stderr()
    assert up.hs.asked == []


def test_nothing_before_the_deadline(world):
    world.hs.start()
    began = time.monotonic()
    run = world.run("--deadline", "1500ms", *shell(STAY))
    assert run.ends() == 124
    assert time.monotonic() - began > 1.4
    assert "the directory is not there" in run.stderr()
    assert "within 1.5 s" in run.stderr().splitlines()[-1]
    assert not (world.tmp / "up").exists()


def test_one_look_with_no_deadline(up):
    assert up.run("--deadline", "0s", *shell("exit 5")).ends() == 5


def test_program_that_cannot_be_started(up):
    plain = up.tmp / "plain"
    plain.write_text("no program")
    run = up.run("--for", "file", "--", str(plain))
    assert run.ends() == 126
    assert "could not be started" in run.stderr()
    assert up.ack() is None
    assert os.listdir(up.scratch) == []


def test_program_that_is_not_there(up):
    run = up.run("--", "no-such-program-anywhere")
    assert run.ends() == 127
    assert "no-such-program-anywhere: not found" in run.stderr()
    assert up.ack() is None


@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137),
    ("kill -TERM $$", 143), ("kill -SEGV $$", 139),
])
def test_status_of_the_program(up, script, status):
    run = up.run("--for", "file", *shell(script))
    assert run.ends() == status
    assert os.listdir(up.scratch) == []


# --- signals ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"])
def test_signals_reach_the_program(up, name):
    run = up.run(*shell(f"trap 'echo {name} > $T/got; exit 42' {name}; "
                        + STAY))
    up.read("up")
    run.send(getattr(signal, "SIG" + name))
    assert run.ends() == 42
    assert up.read("got") == name + "\n"


def test_program_that_dies_of_the_signal(up):
    run = up.run("--for", "file", *shell(STAY))
    up.read("up")
    run.send(signal.SIGTERM)
    assert run.ends() == 143
    assert os.listdir(up.scratch) == []


def test_signals_pass_a_homeserver_that_hangs(up):
    run = up.run("--for", "file", *shell(STAY))
    up.read("up")
    up.hs.awake.clear()
    asked = len(up.hs.asked)
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: len(up.hs.asked) > asked, "a request")
    began = time.monotonic()
    run.send(signal.SIGTERM)
    assert run.ends() == 143
    assert time.monotonic() - began < 4
    assert os.listdir(up.scratch) == []


def test_ended_while_the_homeserver_hangs(up):
    up.hs.awake.clear()
    run = up.run(*shell(STAY))
    until(lambda: up.hs.asked, "a request")
    began = time.monotonic()
    run.send(signal.SIGTERM)
    assert run.ends() == 143
    assert time.monotonic() - began < 4


def test_ended_while_it_waits(world):
    run = world.run("--for", "file", *shell(STAY))
    run.says("waiting")
    began = time.monotonic()
    run.send(signal.SIGTERM)
    assert run.ends() == 143
    assert time.monotonic() - began < 5
    assert not (world.tmp / "up").exists()
    assert os.listdir(world.scratch) == []


def test_orphans_are_buried(up):
    """As process 1 it would inherit them; it asks for that."""
    run = up.run(*shell('(true & true & true &); '
                        '(sh -c \'while [ ! -e "$T/parent" ]; do sleep 0.05; '
                        'ps -o ppid= $$ >> "$T/parents"; done\' & ); '
                        + STAY))
    up.read("up")
    until(lambda: str(run.pid) in up.read("parents").split(),
          "the agent to be an orphan's parent")
    (up.tmp / "parent").touch()
    until(lambda: len(run.children()) == 1, "one child, and no zombie")
    assert run.children()[0][1] != "Z"
    (up.tmp / "go").touch()
    assert run.ends() == 0


# --- waiting ----------------------------------------------------------------


def test_file_that_comes_late(world):
    world.hs.start()
    run = world.run(*shell("exit 3"))
    run.says("the directory is not there")
    world.runtime.mkdir(parents=True)
    run.says("matrix.json: is not there")
    world.hand_off()
    assert run.ends() == 3
    assert world.ack()["generation"] == 1


def test_homeserver_that_comes_late(world):
    world.hand_off()
    run = world.run(*shell("exit 3"))
    run.says(world.hs.url)
    world.hs.start()
    assert run.ends() == 3


@pytest.mark.parametrize("text, words", [
    ("", "is empty"),
    (document("http://x")[:120], "is not a JSON object"),
    ("[]", "is not a JSON object"),
    ('{"token": "abc"}', "not written by muster"),
    ('{"muster": 2}', "newer muster"),
    (document("http://x", generation=1.5), '"generation" is'),
    (document("http://x", sha256="0" * 64), '"sha256" is not'),
    (document("http://x", access_token=None), '"access_token" is null'),
    (" " * 20000, "larger than"),
])
def test_bad_file_then_a_good_one(world, text, words):
    world.hs.start()
    world.hand_off(text)
    run = world.run(*shell("exit 3"))
    run.says(words)
    assert run.process.poll() is None
    world.hand_off()
    assert run.ends() == 3


@pytest.mark.parametrize("link", [False, True])
def test_something_else_than_the_directory_is_named(up, link):
    """Nobody is told to remove it: there is a token in it."""
    named = up.runtime / "matrix.json"
    if link:
        named = up.tmp / "link"
        named.symlink_to(up.runtime)
    run = up.run("--deadline", "0s", *shell(STAY),
                 env={"RUNTIME_PATH": str(named)})
    assert run.ends() == 124
    assert (f"{named}: is a symbolic link or no directory: name the agent's "
            "directory itself") in run.stderr()
    assert "remove" not in run.stderr()


def test_private_authority(world, tmp_path_factory):
    world.hs.start()
    front = TlsFront(world.hs.port, tmp_path_factory.mktemp("tls"))
    try:
        world.hand_off(url=front.url)
        run = world.run("--deadline", "5s", *shell(STAY))
        assert run.ends() == 124
        assert "certificate" in run.stderr()
        run = world.run("--ca-file", front.ca_file, *shell(ENV))
        assert run.ends() == 0
        assert variables(
            world.read("env"))["MATRIX_HOMESERVER"] == front.url
    finally:
        front.close()


def test_authority_is_checked_before_anything(world):
    run = world.run("--ca-file", "/nowhere/ca.pem", *shell(STAY))
    assert run.ends() == 125
    assert "--ca-file: /nowhere/ca.pem does not exist" in run.stderr()
    assert "waiting" not in run.stderr()


@pytest.mark.parametrize("make, words", [
    (lambda path: os.mkfifo(path), "is a pipe"),
    (lambda path: path.mkdir(), "is a directory"),
    (lambda path: path.symlink_to("/etc/passwd"), "is a symbolic link"),
])
def test_no_file_then_a_good_one(world, make, words):
    world.hs.start()
    world.runtime.mkdir(parents=True)
    path = world.runtime / "matrix.json"
    make(path)
    run = world.run(*shell("exit 3"))
    run.says(words)
    if path.is_dir():
        path.rmdir()
    world.hand_off()
    assert run.ends() == 3


def test_file_that_we_may_not_read(humble):
    (humble.runtime / "matrix.json").chmod(0)
    run = humble.run(*shell("exit 3"))
    run.says(f"belongs to uid {humble.uid}, mode 000")
    (humble.runtime / "matrix.json").chmod(0o600)
    assert run.ends() == 3


@pytest.mark.parametrize("who", [
    ("@somebody.else:anycompany.corp", "MUSTER"), (USER, "OTHER"),
    (USER, None)])
def test_token_of_somebody_else(up, who):
    up.hs.tokens[TOKEN] = who
    run = up.run(*shell(STAY))
    assert run.ends() == 125
    assert who[0] in run.stderr()
    assert not (up.tmp / "up").exists()
    assert up.ack() is None


@pytest.mark.parametrize("who, words", [
    ((TOKEN, "MUSTER"), "is something that is no user id, device MUSTER"),
    ((f"@{TOKEN}:anycompany.corp", "MUSTER"),
     "is something that is no user id, device MUSTER"),
    ((f"@{TOKEN.upper()}:x", TOKEN.upper()),
     "is something that is no user id, device something that is no device id"),
    ((USER, f"dev-{TOKEN}"), "device something that is no device id"),
    ((USER, "two words"), "device something that is no device id")])
def test_token_in_the_homeservers_answer(up, who, words):
    """What knows the token may say it again, and is not repeated."""
    up.hs.tokens[TOKEN] = who
    run = up.run(*shell(STAY))
    assert run.ends() == 125
    assert words in run.stderr()
    assert TOKEN.lower() not in run.stderr().lower()


def test_file_of_somebody_else(up):
    """As the environment says who we are, no other token is tried."""
    other = "@b:anycompany.corp"
    up.hand_off(user=other)
    run = up.run(*shell("exit 3"), env={"AGENT_MATRIX_ID": USER})
    run.says(f"is for {other}, and AGENT_MATRIX_ID says that we are {USER}")
    assert up.hs.asked == []
    up.hand_off()
    assert run.ends() == 3


def test_file_that_is_older_than_what_was_acknowledged(up):
    """Put back out of a backup: in words, and by whether its token works."""
    (up.runtime / "ack.3.json").write_text(json.dumps({
        "generation": 3, "user_id": USER, "device_id": "MUSTER", "at_ms": 1,
        "agent": "x"}))
    (up.runtime / "rotate.4.json").write_text("{}")
    del up.hs.tokens[TOKEN]
    run = up.run(*shell("exit 3"))
    run.says("generation 1 is older than generation 3, which was acknowledged "
             "here, and the homeserver does not know its token")
    up.hs.tokens[TOKEN] = (USER, "MUSTER")
    run.says("but the homeserver knows its token: taken")
    assert run.ends() == 3
    up.hand_off(generation=3)
    run = up.run(*shell("exit 3"))
    assert run.ends() == 3
    assert "is older than" not in run.stderr()


def test_token_that_is_not_known_then_a_newer_one(up):
    del up.hs.tokens[TOKEN]
    run = up.run(*shell(ENV))
    run.says("does not know the token of generation 1")
    up.hand_off(generation=2, token=TOKEN2)
    assert run.ends() == 0
    assert variables(up.read("env"))["MATRIX_ACCESS_TOKEN"] == TOKEN2
    assert up.ack(1) is None
    assert up.ack(2)["generation"] == 2


def test_token_that_is_not_known_until_the_deadline(up):
    up.hs.tokens = {}
    run = up.run("--deadline", "5s", *shell(STAY))
    assert run.ends() == 124
    assert "does not know the token" in run.stderr().splitlines()[-1]


def test_token_that_was_revoked_then_a_newer_one(up):
    up.hand_off(tombstone(up.hs.url))
    run = up.run(*shell(ENV))
    run.says(REVOKED + ": waiting for a new one")
    assert "torn" not in run.stderr() and up.hs.asked == []
    up.hand_off(generation=2, token=TOKEN2)
    assert run.ends() == 0
    assert variables(up.read("env"))["MATRIX_ACCESS_TOKEN"] == TOKEN2
    assert up.ack(1) is None
    assert up.ack(2)["generation"] == 2


def test_token_that_was_revoked_until_the_deadline(up):
    up.hand_off(tombstone(up.hs.url))
    run = up.run("--deadline", "1s", *shell(STAY))
    assert run.ends() == 124
    last = run.stderr().splitlines()[-1]
    assert last.endswith("within 1 s: matrix.json: " + REVOKED)


@pytest.mark.parametrize("after", ["0", "600"])
def test_rate_limit_until_the_deadline(up, after):
    """However long the homeserver wants a pause, ours is the deadline."""
    up.hs.tokens[TOKEN] = 429
    up.hs.retry_after = after
    run = up.run("--deadline", "5s", *shell(STAY))
    assert run.ends() == 124
    assert "limits our rate" in run.stderr()


def test_homeserver_that_fails_then_recovers(up):
    up.hs.tokens[TOKEN] = 502
    run = up.run(*shell("exit 3"))
    run.says("502")
    up.hs.tokens[TOKEN] = (USER, "MUSTER")
    assert run.ends() == 3


# --- another directory of the same name -------------------------------------


def replace_directory(world, **fields):
    """Another takes its place, with a file of its own, as after a restore;
    the one that was there goes on under another name, with a file that is
    newest of all and not for us. Its path."""
    gone = world.runtime.with_name("gone")
    new, world.runtime = world.runtime, world.runtime.with_name("new")
    world.hand_off(**fields)
    new.rename(gone)
    world.runtime.rename(new)
    world.runtime = gone
    world.hand_off(generation=9, token=TOKEN2)
    world.runtime = new
    return gone


def test_directory_is_replaced_while_it_waits(world):
    world.hs.start()
    world.runtime.mkdir(parents=True)
    run = world.run(*shell(f'[ "$MATRIX_ACCESS_TOKEN" = {TOKEN} ] && exit 3'))
    run.says("matrix.json: is not there")
    gone = replace_directory(world)
    assert run.ends() == 3
    assert world.ack()["generation"] == 1
    assert os.listdir(gone) == ["matrix.json"]


def test_directory_is_replaced_while_the_program_runs(up):
    output = up.tmp / "token"
    run = up.run("--for", "file", "--output", str(output), *shell(STAY))
    up.read("up")
    until(lambda: up.ack(1), "the acknowledgement")
    gone = replace_directory(up, generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement of the newer one")
    assert output.read_text() == TOKEN2 + "\n"
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert sorted(os.listdir(gone)) == ["ack.1.json", "matrix.json"]
    assert up.ack(9) is None


# --- a new generation while the program runs --------------------------------


def test_new_generation_into_the_file(up):
    output = up.tmp / "token"
    run = up.run("--for", "file", "--output", str(output), *shell(STAY))
    up.read("up")
    with open(output) as held:
        up.hand_off(generation=2, token=TOKEN2)
        until(lambda: output.read_text() == TOKEN2 + "\n", "the new token")
        assert held.read() == TOKEN + "\n"  # replaced, not rewritten
    until(lambda: up.ack(2), "the acknowledgement")
    assert up.ack(2)["user_id"] == USER
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert len(run.children()) == 1
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert run.stderr().count(" delivered to ") == 1
    assert "generation 2 delivered" in run.stderr()


LATER = 1772000000001  # than what document() says of the time of issue


@pytest.mark.parametrize("generation", [1, 7])
def test_generations_that_begin_again(world, generation):
    """The service has lost store and directory; the token is another."""
    world.hs.start()
    world.hand_off(generation=7)
    output = world.tmp / "token"
    run = world.run("--for", "file", "--output", str(output), *shell(STAY))
    until(lambda: world.ack(7), "the first acknowledgement")
    shutil.rmtree(world.runtime)
    world.hand_off(generation=generation, token=TOKEN2, issued_ms=LATER)
    until(lambda: world.ack(generation), "the acknowledgement")
    assert output.read_text() == TOKEN2 + "\n"
    run.says(f"generation {generation} was issued after generation 7")
    (world.tmp / "go").touch()
    assert run.ends() == 0
    assert len(os.listdir(world.runtime)) == 2


@pytest.mark.parametrize("generation", [6, 7])
def test_older_file_of_somebody_else_is_told_apart(up, generation):
    up.hand_off(generation=7)
    run = up.run(*shell(STAY))
    until(lambda: up.ack(7), "the acknowledgement")
    up.hand_off(generation=generation, token=TOKEN2, issued_ms=1,
                user="@b:anycompany.corp")
    run.says(f"generation {generation} is for @b:anycompany.corp")
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert run.stderr().count("@b:anycompany.corp") == 1


def test_older_file_is_not_taken(world):
    """A lower generation has to be another token that was issued later, and
    the homeserver to know it."""
    world.hs.start()
    world.hand_off(generation=7)
    output = world.tmp / "token"
    run = world.run("--for", "file", "--output", str(output), *shell(STAY))
    until(lambda: world.ack(7), "the first acknowledgement")
    asked = len(world.hs.asked)
    world.hand_off(generation=6, token=TOKEN2)  # out of a backup
    run.says("generation 6 is older than generation 7")
    world.wait_looked_at()
    world.hand_off(generation=6, issued_ms=LATER)
    world.wait_looked_at()
    assert len(world.hs.asked) == asked
    del world.hs.tokens[TOKEN2]
    world.hand_off(generation=6, token=TOKEN2, issued_ms=LATER)
    run.says("does not know the token of generation 6")
    assert output.read_text() == TOKEN + "\n"
    assert world.ack(6) is None
    world.hs.tokens[TOKEN2] = (USER, "MUSTER")
    until(lambda: world.ack(6), "the acknowledgement")
    assert output.read_text() == TOKEN2 + "\n"
    (world.tmp / "go").touch()
    assert run.ends() == 0


def test_new_generation_is_not_for_an_environment_that_stays(up):
    run = up.run("--reload", "none", *shell(STAY))
    up.read("up")
    up.hand_off(generation=2, token=TOKEN2)
    run.says("generation 2 is there")
    looks = len(up.hs.asked)
    up.hand_off(generation=3, token=TOKEN2)
    run.says("generation 3 is there")
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert run.stderr().count("generation 2 is there") == 1
    assert "generation 1 is there" not in run.stderr()
    assert up.ack(2) is None
    assert len(up.hs.asked) == looks


def test_new_generation_that_is_not_good(up):
    output = up.tmp / "token"
    run = up.run("--for", "file", "--output", str(output), *shell(STAY))
    up.read("up")
    del up.hs.tokens[TOKEN2]
    up.hand_off(generation=2, token=TOKEN2)
    run.says("does not know the token of generation 2")
    up.hand_off(generation=3, token=TOKEN2, user="@b:anycompany.corp")
    run.says("generation 3 is for @b:anycompany.corp")
    up.hs.tokens[TOKEN2] = ("@b:anycompany.corp", "MUSTER")
    up.hand_off(generation=4, token=TOKEN2)
    run.says("its token is @b:anycompany.corp")
    assert output.read_text() == TOKEN + "\n"
    up.hs.tokens[TOKEN2] = (USER, "MUSTER")
    until(lambda: output.read_text() == TOKEN2 + "\n", "the new token")
    until(lambda: up.ack(4), "the acknowledgement")
    (up.tmp / "go").touch()
    assert run.ends() == 0
    assert up.ack(2) is None and up.ack(3) is None


def test_newer_token_that_is_not_good_is_tried_less_and_less(up):
    """And a newer one than that at once."""
    run = up.run("--for", "file", *shell(STAY))
    until(lambda: up.ack(1), "the acknowledgement")
    del up.hs.tokens[TOKEN2]
    up.hand_off(generation=2, token=TOKEN2)

    def asked():
        return [at for at, (_, token) in zip(up.hs.at, list(up.hs.asked))
                if token == TOKEN2]
    at = until(lambda: len(asked()) >= 4 and asked(), "four questions")
    assert at[3] - at[2] >= 2  # half of the third pause, at least
    assert run.stderr().count("does not know the token") == 1
    up.hand_off(generation=3, token="syt_third")
    up.wait_looked_at()
    assert up.hs.asked[-1][1] == "syt_third"
    before = len(asked())
    up.hs.tokens["syt_third"] = (USER, "MUSTER")
    until(lambda: up.ack(3), "the acknowledgement")
    assert len(asked()) == before
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_token_is_revoked_while_the_program_runs(up):
    """It keeps what it has, hears of it once, and gets the next one."""
    output = up.tmp / "token"
    run = up.run("--for", "file", "--output", str(output), *shell(STAY))
    up.read("up")
    until(lambda: up.ack(1), "the acknowledgement")
    up.hand_off(tombstone(up.hs.url))
    run.says(REVOKED + ": waiting for a new one")
    up.wait_looked_at()
    assert run.stderr().count(REVOKED) == 1
    assert output.read_text() == TOKEN + "\n"
    assert run.process.poll() is None
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: output.read_text() == TOKEN2 + "\n", "the new token")
    until(lambda: up.ack(2), "the acknowledgement")
    (up.tmp / "go").touch()
    assert run.ends() == 0


# --- does the token still work? ---------------------------------------------


def test_idle(up):
    """A look at the directory, and at nothing in it; no request."""
    run = up.run("--for", "file", *shell(STAY))
    up.read("up")
    until(up.ack, "the acknowledgement")
    up.wait_idle()
    assert len(up.hs.asked) == 1
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement of the newer one")
    up.wait_idle()
    assert len(up.hs.asked) == 2
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_directory_that_tells_of_itself(up):
    """On a local disk a newer file is seen before the next look is due, which
    is 0.8 s after the last one at the soonest. By the times of the files, as
    we may be slow, and of most of them, as it may be."""
    run = up.run("--for", "file", *shell(STAY))
    until(up.ack, "the acknowledgement")
    took = []
    for generation in range(2, 22):
        up.hand_off(generation=generation,
                    token=TOKEN2 if generation % 2 == 0 else TOKEN)
        at = (up.runtime / "matrix.json").stat().st_ctime
        until(lambda: up.ack(generation), "the acknowledgement")
        there = up.runtime / f"ack.{generation}.json"
        took.append(there.stat().st_ctime - at)
    assert sorted(took)[len(took) // 2] < 0.4, took
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_token_is_asked_for_now_and_then(up):
    run = up.run("--check", "1s", "--for", "file", *shell(STAY))
    until(lambda: len(up.hs.asked) >= 4, "questions")
    assert {token for _, token in up.hs.asked} == {TOKEN}
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_token_that_dies_is_asked_for_more_often(up):
    """And told of once; and once more when it comes back."""
    run = up.run("--check", "4s", "--for", "file", *shell(STAY))
    up.read("up")
    until(lambda: len(up.hs.asked) >= 1, "the first question")
    del up.hs.tokens[TOKEN]

    def gaps():
        return [b - a for a, b in zip(up.hs.at, up.hs.at[1:])]
    until(lambda: sum(gap < gaps()[0] / 2 for gap in gaps()) >= 2,
          "questions that come sooner")
    assert run.stderr().count("does not know the token") == 1
    up.hand_off(generation=2, token=TOKEN2)
    until(lambda: up.ack(2), "the acknowledgement")
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_revoked_token_is_asked_for_no_more_often(up):
    """Nothing newer is about to come."""
    run = up.run("--check", "3s", "--for", "file", *shell(STAY))
    up.read("up")
    del up.hs.tokens[TOKEN]
    up.hand_off(tombstone(up.hs.url))
    run.says(REVOKED)
    asked = len(up.hs.at)
    until(lambda: len(up.hs.at) >= asked + 3, "questions")
    gaps = [b - a for a, b in zip(up.hs.at[asked:], up.hs.at[asked + 1:])]
    assert min(gaps) > 2
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_homeserver_that_fails_says_nothing_of_the_token(up):
    run = up.run("--check", "1s", "--for", "file", *shell(STAY))
    up.read("up")
    up.hs.tokens[TOKEN] = 502
    run.says("502")
    up.hs.tokens[TOKEN] = (USER, "MUSTER")
    asked = len(up.hs.asked)
    until(lambda: len(up.hs.asked) >= asked + 2, "questions")
    assert "does not know" not in run.stderr()
    assert run.process.poll() is None
    (up.tmp / "go").touch()
    assert run.ends() == 0


def test_libraries():
    """Those that the agent needs, and the compiler's own."""
    listed = subprocess.run(["readelf", "-d", AGENT], capture_output=True,
                            text=True, check=True, timeout=BOUND).stdout
    needed = {line.split("[")[1].split(".so")[0]
              for line in listed.splitlines() if "(NEEDED)" in line}
    compilers = {"libasan", "libubsan", "libtsan", "libgcc_s", "libc", "libm",
                 "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert needed - compilers == {"libcurl", "libjson-c", "libcrypto"}


def test_damage_while_the_program_runs(up):
    run = up.run("--for", "file", *shell(STAY))
    up.read("up")
    up.hand_off("{")
    run.says("is not a JSON object")
    (up.runtime / "matrix.json").unlink()
    os.mkfifo(up.runtime / "matrix.json")
    run.says("is a pipe")
    run.send(signal.SIGTERM)
    assert run.ends() == 143
    assert os.listdir(up.scratch) == []
