"""Everything that a program of ours prints in any test, and every secret that
there was meanwhile: written down while the tests run, and searched when they
have ended.

In a folder (TEST_PRINTED, which tests/run sets; else one of this session) each
process of tests has `<n>.said`, lines of {"test", "text"}, and `<n>.secrets`,
one a line as JSON."""

import glob
import json
import os
import re
import subprocess
import tempfile
import threading

FOLDER = os.environ.get("TEST_PRINTED")
OURS = ("muster", "muster-agent")
# Shorter ones are words that a test may well print for another reason.
SHORTEST = 12
# What nobody has to have written down: Synapse's tokens, and whatever is sent
# as one.
SHAPES = [re.compile(r"\bsyt_[A-Za-z0-9]+_[A-Za-z]{20}_[A-Za-z0-9]+\b"),
          re.compile(r"\bBearer\s+(?!\*\*\*)[A-Za-z0-9._~+/=-]{8,}")]

_on = False  # nobody but tests writes it down
_lock = threading.Lock()
_kept = set()
_logs = {}


def folder():
    global FOLDER  # pylint: disable=global-statement
    with _lock:
        if FOLDER is None:
            FOLDER = tempfile.mkdtemp(prefix="muster-printed-")
        os.makedirs(FOLDER, exist_ok=True)
    return FOLDER


def _append(kind, value):
    if not _on:
        return
    path = os.path.join(folder(), f"{os.getpid()}.{kind}")
    with _lock, open(path, "a", encoding="utf-8") as f:
        f.write(json.dumps(value) + "\n")


def keep(*secrets):
    """These are not to be seen."""
    for secret in secrets:
        if isinstance(secret, str) and len(secret) >= SHORTEST and (
                secret not in _kept):
            _kept.add(secret)
            _append("secrets", secret)


def say(text):
    """That was printed."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if text:
        _append("said", {"test": os.environ.get("PYTEST_CURRENT_TEST", "-"),
                         "text": text})


def follow(log):
    """A program of ours prints into this file."""
    if log not in _logs:
        _logs[log] = os.environ.get("PYTEST_CURRENT_TEST", "-")


def finish():
    """What is in those files by now was printed."""
    for log, test in _logs.items():
        if os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as f:
                _append("said", {"test": test, "text": f.read()})
    _logs.clear()


def is_ours(argv, names=OURS):
    words = [argv] if isinstance(argv, (str, bytes, os.PathLike)) else argv
    return any(os.path.basename(os.fsdecode(word).split(" ")[0]) in names
               for word in words if isinstance(word, (str, bytes,
                                                      os.PathLike)))


class Popen(subprocess.Popen):
    """What ours say to whoever listens."""

    def communicate(self, *args, **more):
        out, err = super().communicate(*args, **more)
        if is_ours(self.args):
            say(err)
            # What an agent's program prints is its own.
            if not is_ours(self.args, ["muster-agent"]):
                say(out)
        return out, err


def install():
    """From now on it is written down."""
    global _on  # pylint: disable=global-statement
    _on = True
    subprocess.Popen = Popen


# -- searching


def _lines(where, kind):
    for path in sorted(glob.glob(os.path.join(where, f"*.{kind}"))):
        with open(path, encoding="utf-8") as f:
            for line in f:
                yield json.loads(line)


class Search:
    """shown: [(test, beginning of what was seen, where)]"""

    def __init__(self, where):
        self.secrets = set(_lines(where, "secrets"))
        self.words = {s for s in self.secrets if re.fullmatch(r"\w+", s)}
        self.others = self.secrets - self.words
        self.shown, self.characters, self.texts = [], 0, 0
        for row in _lines(where, "said"):
            self.look(row["test"], row["text"])

    def look(self, test, text):
        self.texts += 1
        self.characters += len(text)
        found = {word for word in re.findall(r"\w{%d,}" % SHORTEST, text)
                 if word in self.words}
        found |= {secret for secret in self.others if secret in text}
        for shape in SHAPES:
            found |= set(shape.findall(text))
        for secret in sorted(found):
            at = text.index(secret)
            self.shown.append((test, secret[:6] + "...", text[
                max(at - 80, 0):at] + "***" + text[
                    at + len(secret):at + len(secret) + 40]))
