"""What is made from the tables of verbs, options and settings: it is as the
tables are, and can be used."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from support.muster import TOP, binary
from support.process import environment

MADE = ["completions", "docs/man", "scripts"]
# What is completed: the words so far, and some and all of what may follow.
WORDS = [
    (["st"], ["status"]), (["re"], ["register", "registration", "retire",
                                    "retry", "revoke"]),
    (["rotate", "--a"], ["--all"]),
    (["--json", "revoke", "--w"], ["--why"]),
    (["help", "heal"], ["healthcheck"]),
    (["quarantine", "re"], ["retry"]),
    (["plan", "--with", "ne"], ["new.yaml"]),
    (["-c", "x.yaml", "conf"], ["config"]),
    (["init", "fl"], ["fleet"])]


def run(*argv, **more):
    return subprocess.run(argv, text=True, capture_output=True, timeout=60,
                          env=environment(), check=False, **more)


def pages(top, *words):
    return run(sys.executable, os.path.join(top, "scripts/pages.py"), *words,
               binary(), binary("muster-agent"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "new.yaml").touch()
    (tmp_path / "fleet").mkdir()
    return tmp_path


@pytest.fixture
def copy(tmp_path):
    """Of all that is made, and of what makes it."""
    for name in MADE:
        shutil.copytree(os.path.join(TOP, name), tmp_path / name)
    return tmp_path


def test_they_are_as_the_tables_are():
    got = pages(TOP, "--check")
    assert (got.returncode, got.stderr) == (0, "")


@pytest.mark.parametrize("path, old, new", [
    ("docs/man/muster.1", ".It Fl -why Ar text\nOf", ".It Fl -why\nOf"),
    ("docs/man/muster.1", ".It Cm revoke Ar user", ".It Cm revoke"),
    ("docs/man/muster-agent.1", ".Op Fl -check Ar duration\n", ""),
    ("docs/man/muster.yaml.5", "Li 60s ; 3s to 10m", "Li 90s"),
    ("completions/_muster", "'serve:", "'sevre:")])
def test_what_is_not_so_is_told_and_mended(copy, path, old, new):
    before = (copy / path).read_text()
    assert old in before
    (copy / path).write_text(before.replace(old, new))
    got = pages(copy, "--check")
    assert got.returncode == 1
    assert got.stderr == f"{path} is not as the tables are: `make pages`\n"
    assert pages(copy).returncode == 0
    assert (copy / path).read_text() == before


@pytest.mark.parametrize("path, gone", [
    ("docs/man/muster.1", ".It Cm approve\n"),
    ("docs/man/muster.yaml.5", ".It Ic ops.listen\n"),
    ("docs/man/muster-agent.1", ".It Fl -once\n")])
def test_what_nobody_wrote_of_is_told(copy, path, gone):
    before = (copy / path).read_text()
    assert gone in before
    (copy / path).write_text(before.replace(gone, ""))
    got = pages(copy)
    assert got.returncode == 1 and "without a paragraph" in got.stderr


@pytest.mark.parametrize("page", sorted(
    glob.glob(os.path.join(TOP, "docs/man/*.[1-8]"))), ids=os.path.basename)
def test_a_page_has_no_mistake(page):
    got = run("mandoc", "-T", "lint", "-W", "warning", page)
    assert (got.returncode, got.stdout) == (0, "")


def test_the_examples_of_the_configuration(tmp_path):
    """Each can be checked: the one with files beside those of the example, and
    beside the page's own."""
    with open(os.path.join(TOP, "docs/man/muster.yaml.5"),
              encoding="utf-8") as f:
        shown = f.read().split(".Sh EXAMPLES")[1]
    files, organisation, by_hand = re.findall(
        r"^\.Bd [^\n]*\n(.*?)^\.Ed$", shown, re.S | re.M)
    example = os.path.join(TOP, "examples/fleet")
    for text, there, said in (
            (files, ("org.json", "config.yaml"), "1001 people, 10 agents, "),
            (files.replace("  config: config.yaml\n", ""), (),
             "3 people, 2 agents, 1 human "),
            (by_hand, (), "3 people, 2 agents, 1 human ")):
        (tmp_path / "muster.yaml").write_text(text)
        (tmp_path / "org.json").write_text(organisation)
        for name in there:
            shutil.copy(os.path.join(example, name), tmp_path)
        got = run(binary(), "check", cwd=tmp_path)
        assert got.returncode == 0 and f"is fine: {said}" in got.stdout, (
            text, got)


def test_all_verbs_and_settings_are_in_the_pages():
    tables = json.loads(run(binary(), "help", "--json").stdout)
    text = run("mandoc", "-T", "ascii", "-O", "width=200",
               os.path.join(TOP, "docs/man/muster.1")).stdout
    text = text.replace("\b", "")
    for row in tables["verbs"]:
        assert f"$ {row['example']}" in text


# -- completions


@pytest.mark.parametrize("words, wanted", WORDS)
def test_bash(folder, words, wanted):
    got = run("bash", "-c", '. "$0"; COMP_WORDS=(muster "$@"); COMP_CWORD=$#; '
              '_muster; printf "%s\\n" "${COMPREPLY[@]}"',
              os.path.join(TOP, "completions/muster"), *words, cwd=folder)
    assert got.stderr == ""
    assert sorted(got.stdout.split()) == wanted


@pytest.mark.parametrize("words, wanted", WORDS)
def test_fish(folder, words, wanted):
    got = run("fish", "--no-config", "-c",
              "source $argv[1]; complete -C $argv[2]",
              os.path.join(TOP, "completions/muster.fish"),
              " ".join(["muster", *words]), cwd=folder)
    assert got.stderr == ""
    assert {line.split("\t")[0].rstrip("/")
            for line in got.stdout.splitlines()} == set(wanted)


ZSH = """
_arguments() {
	if [[ $1 = -C ]]; then
		state=$want
		line=($verb)
	else
		print -rl -- "$@"
	fi
}
_describe() { print -rl -- ${(P)2} }
want=$2 verb=$3
source $1
"""


def zsh(*words, program="muster"):
    got = run("zsh", "-f", "-c", ZSH, "zsh",
              os.path.join(TOP, f"completions/_{program}"), *words)
    assert got.stderr == ""
    return got.stdout.splitlines()


def test_zsh():
    tables = json.loads(run(binary(), "help", "--json").stdout)
    assert [line.split(":")[0] for line in zsh("verb", "")] == [
        row["name"] for row in tables["verbs"]]
    assert zsh("rest", "revoke")[0] == (
        "--why[the reason, for the agent, the log and the audit]:TEXT:")
    assert "--with[another configuration]:NEW.yaml:_files" in zsh(
        "rest", "plan")
    assert zsh("rest", "init")[-1] == "*:folder:_files -/"
    assert zsh("rest", "quarantine")[-1] == "*:word:(retry)"
    for row in tables["verbs"]:
        assert any(line.startswith("--config[")
                   for line in zsh("rest", row["name"]))


def test_of_muster_agent(folder):
    def bash(*words):
        return run("bash", "-c", '. "$0"; COMP_WORDS=(muster-agent "$@"); '
                   'COMP_CWORD=$#; _muster_agent; '
                   'printf "%s\\n" "${COMPREPLY[@]}"',
                   os.path.join(TOP, "completions/muster-agent"), *words,
                   cwd=folder).stdout.split()
    assert bash("r") == ["run"]
    assert bash("run", "--ru") == ["--runtime"]
    assert bash("run", "--runtime", "fl") == ["fleet"]
    assert fish("run --work", folder) == ["--workspace"]
    got = zsh("rest", "run", program="muster-agent")
    assert any(line.startswith("--workspace[") for line in got)


def fish(line, folder):
    """What `muster-agent line` may become."""
    got = run("fish", "--no-config", "-c",
              "source $argv[1]; complete -C $argv[2]",
              os.path.join(TOP, "completions/muster-agent.fish"),
              f"muster-agent {line}", cwd=folder)
    assert got.stderr == ""
    return [line.split("\t")[0] for line in got.stdout.splitlines()]


# Words of an option's own, and what is behind `--`, as a line of its own.
@pytest.mark.parametrize("line, wanted", [
    ("run --for f", ["file"]), ("run --reload r", ["restart"]),
    ("run -- ./pro", ["./program"]), ("run --once -- true ne", ["new.yaml"]),
    ("run -- true --for ne", ["new.yaml"])])
def test_of_muster_agent_s_program(folder, line, wanted):
    program = folder / "program"
    program.touch()
    program.chmod(0o755)
    got = run("bash", "-c", '. "$0"; COMP_WORDS=(muster-agent "$@"); '
              'COMP_CWORD=$#; _muster_agent; printf "%s\n" "${COMPREPLY[@]}"',
              os.path.join(TOP, "completions/muster-agent"), *line.split(),
              cwd=folder)
    assert (got.stderr, got.stdout.split()) == ("", wanted)
    assert fish(line, folder) == wanted


def test_of_muster_agent_s_program_in_zsh():
    got = zsh("rest", "run", program="muster-agent")
    assert got[0] == "-S"  # no options behind `--`
    assert got[-2:] == ["(-)1:program:_command_names -e", "*::argument:_normal"]
    assert any(line.endswith(":WAY:(env file template openclaw)")
               for line in got)
