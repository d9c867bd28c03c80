"""kill -9 of muster-agent at every system call of a delivery, from the look at
the hand-off to the acknowledgement."""

import collections
import re
import stat

from support.agent import AGENT, TOKEN, TOKEN2

# What a delivery is made of; what only reads leaves everything as it is for the
# next of these.
CALLS = "openat,write,fchmod,fsync,close,renameat,unlinkat,connect,sendto"


def once(world, output, *strace):
    env = {"ASAN_OPTIONS": "detect_leaks=0"} if strace else {}
    run = world.run(
        *strace[1:], *([AGENT, "run"] if strace else []), "--once", "--for",
        "file", "--output", str(output), env=env,
        popen={"binary": strace[0], "verb": False} if strace else None)
    return run.ends()


def calls(trace):
    """[(name, the how-manieth of its name)] from the first look on."""
    counted = collections.Counter()
    found = []
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if not match:
            continue
        counted[match[1]] += 1
        if found or "runtime/Research" in line:
            found.append((match[1], counted[match[1]]))
    return found


def test_killed_while_it_delivers(up, strace):
    """The old token or the new one is in the file, whole; it is acknowledged
    only when it is the new one; and the next agent makes it good."""
    output = up.tmp / "token"
    trace = up.tmp / "trace"

    def again():
        for path in up.runtime.iterdir():
            path.unlink()
        for path in up.tmp.glob(".token.*"):
            path.unlink()
        output.write_text(TOKEN + "\n")
        output.chmod(0o600)
        up.hand_off(generation=2, token=TOKEN2)

    again()
    assert once(up, output, "strace", "-f", "-qq", "-o", str(trace), "-e",
                f"trace={CALLS}") == 0
    moments = calls(trace)
    names = {name for name, _ in moments}
    assert {"openat", "write", "fsync", "renameat", "connect"} <= names
    assert len(moments) > 20
    seen, killed = set(), 0
    for name, nth in moments:
        again()
        status = once(up, output, "strace", "-f", "-qq", "-o", "/dev/null",
                      "-e", f"trace={name}", "-e",
                      f"inject={name}:signal=KILL:when={nth}")
        where = f"killed at {name} {nth}"
        assert status in (-9, 0), where  # 0: there were fewer this time
        killed += status == -9
        text = output.read_text()
        assert text in (TOKEN + "\n", TOKEN2 + "\n"), where
        assert stat.S_IMODE(output.stat().st_mode) == 0o600, where
        acknowledged = (up.runtime / "ack.2.json").exists()
        assert not acknowledged or text == TOKEN2 + "\n", where
        seen.add((text, acknowledged))
        assert once(up, output) == 0, where
        assert output.read_text() == TOKEN2 + "\n", where
        assert up.ack(2)["generation"] == 2, where
    assert killed > len(moments) / 2
    assert seen == {(TOKEN + "\n", False), (TOKEN2 + "\n", False),
                    (TOKEN2 + "\n", True)}
