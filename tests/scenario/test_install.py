"""`make install`: what is where, that it can be used from there, and that
nothing stays of it."""

import os
import re
import shutil
import subprocess

import pytest

from support.muster import TOP, binary
from support.process import environment

FILES = {
    "bin/muster", "bin/muster-agent", "share/man/man1/muster.1",
    "share/man/man1/muster-agent.1", "share/man/man5/muster.yaml.5",
    "share/bash-completion/completions/muster",
    "share/bash-completion/completions/muster-agent",
    "share/zsh/site-functions/_muster",
    "share/zsh/site-functions/_muster-agent",
    "share/fish/vendor_completions.d/muster.fish",
    "share/fish/vendor_completions.d/muster-agent.fish",
    "lib/systemd/system/muster.service", "lib/sysusers.d/muster.conf"}


def run(*argv, **more):
    env = {k: v for k, v in environment().items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(argv, text=True, capture_output=True, timeout=120,
                          env=env, check=False, **more)


def make(target, built, *words):
    """Of programs that are built already: -o takes them as they are."""
    got = run("make", "-s", "-C", TOP, target, f"B={built}",
              "-o", f"{built}/muster", "-o", f"{built}/muster-agent", *words)
    assert (got.returncode, got.stderr) == (0, "")


@pytest.fixture
def built(tmp_path):
    """A build folder with these programs in it, and room for more."""
    folder = tmp_path / "build"
    folder.mkdir()
    for name in ("muster", "muster-agent"):
        shutil.copy(binary(name), folder / name)
    return folder


def files(folder):
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, _, names in os.walk(folder) for name in names}


def test_below_another_root(built, tmp_path):
    root = tmp_path / "root"
    words = (f"DESTDIR={root}", "prefix=/opt/x")
    make("install", built, *words)
    assert files(root) == {f"opt/x/{name}" for name in FILES}
    for name in files(root):
        mode = (root / name).stat().st_mode & 0o777
        assert mode == (0o755 if "/bin/" in name else 0o644), name
    # The unit knows where it will be, and nothing of DESTDIR.
    unit = (root / "opt/x/lib/systemd/system/muster.service").read_text()
    assert "\nExecStart=/opt/x/bin/muster serve\n" in unit
    assert "/opt/x/lib/sysusers.d/muster.conf" in unit
    assert "@" not in re.sub("@system-service", "", unit)
    assert str(root) not in unit
    mine = root / "opt/x/bin/mine"
    mine.touch()
    make("uninstall", built, *words)
    assert files(root) == {"opt/x/bin/mine"}


def test_where_it_is_without_a_word(built, tmp_path):
    root = tmp_path / "root"
    make("install", built, f"DESTDIR={root}")
    assert files(root) == {f"usr/local/{name}" for name in FILES}
    other = tmp_path / "other"
    make("install", built, f"DESTDIR={other}", "PREFIX=/usr")
    assert files(other) == {f"usr/{name}" for name in FILES}


@pytest.fixture
def installed(built, tmp_path):
    make("install", built, f"prefix={tmp_path / 'here'}")
    return tmp_path / "here"


def test_the_programs_run_from_there(installed):
    assert run(installed / "bin/muster", "version").stdout.startswith(
        "muster ")
    assert run(installed / "bin/muster-agent", "version").stdout.startswith(
        "muster-agent ")


def verify(unit):
    return run("systemd-analyze", "verify", "--man=no",
               "--recursive-errors=no", unit)


def test_the_unit(installed):
    """systemd finds nothing to say of it."""
    unit = installed / "lib/systemd/system/muster.service"
    got = verify(unit)
    assert (got.returncode, got.stderr) == (0, "")
    # Which it does of one whose program is not there, or whose words are
    # none.
    (installed / "bin/muster").unlink()
    assert "is not executable" in verify(unit).stderr
    unit.write_text(unit.read_text().replace("ProtectHome", "ProtectHouse"))
    assert "ProtectHouse" in verify(unit).stderr


def test_the_unit_is_hardened(installed):
    """By systemd's own marks, from 0 (nothing is open) to 100."""
    got = run("systemd-analyze", "security", "--offline=yes",
              "--threshold=20", "--no-pager",
              installed / "lib/systemd/system/muster.service")
    assert got.returncode == 0, got.stdout


def test_the_user_of_the_unit(installed, tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    got = run("systemd-sysusers", f"--root={root}",
              "--replace=/usr/lib/sysusers.d/muster.conf", "--dry-run",
              installed / "lib/sysusers.d/muster.conf")
    assert got.returncode == 0, got.stderr
    assert "muster" in got.stdout + got.stderr
