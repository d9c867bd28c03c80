"""muster-agent run --for template and --for openclaw: what the program finds,
and what is said when it cannot be given."""

import json
import os
import stat
import subprocess

import pytest

from support.agent import (
    ENV, STAY, TOKEN, TOKEN2, USER, shell, until, variables)

SEED = {
    "agents": {"defaults": {"heartbeat": {"every": "5m"}}},
    "channels": {"matrix": {
        "enabled": True, "homeserver": "http://old:6167", "userId": "@old:x",
        "accessToken": "old", "autoJoin": "always"}},
    "gateway": {"mode": "local", "port": 20206}}


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def load(path):
    return json.loads(path.read_text())


# -- template


def template(world, text, name="config.in"):
    path = world.tmp / name
    path.write_text(text)
    return ["--for", "template", "--template", str(path),
            "--output", str(world.tmp / "config")]


def test_template_is_filled(world):
    world.hs.start()
    world.hand_off()
    options = template(world, "user = {{user_id}}\ntoken = {{access_token}}\n"
                       "at = {{homeserver}} as {{device_id}}, "
                       "{{generation}}\n")
    run = world.run(*options, *shell(ENV + '; cat "$T/config" > "$T/seen"'))
    assert run.ends() == 0
    assert (world.tmp / "seen").read_text() == (
        f"user = {USER}\ntoken = {TOKEN}\nat = {world.hs.url} as MUSTER, 1\n")
    assert mode(world.tmp / "config") == 0o600
    # The token is nowhere else.
    assert variables(world.read("env")) == {
        "MATRIX_HOMESERVER": world.hs.url, "MATRIX_USER_ID": USER,
        "MATRIX_DEVICE_ID": "MUSTER"}
    assert world.ack()["generation"] == 1


def test_template_of_json(world):
    world.hs.start()
    world.hand_off(device='a "b" \\ c')
    world.hs.tokens[TOKEN] = (USER, 'a "b" \\ c')
    options = template(
        world, '{"token": "{{access_token}}", "device": {{device_id}}}')
    run = world.run(*options, *shell("exit 3"))
    assert run.ends() == 3
    assert load(world.tmp / "config") == {
        "token": TOKEN, "device": 'a "b" \\ c'}


def test_template_follows_a_new_token(world):
    world.hs.start()
    world.hand_off()
    options = template(world, "{{generation}} {{access_token}}")
    run = world.run(*options, *shell(STAY))
    world.read("up")
    before = os.stat(world.tmp / "config").st_ino
    # What stands in the template now does not matter any more.
    (world.tmp / "config.in").write_text("{{broken")
    world.hand_off(generation=2, token=TOKEN2)
    until(lambda: world.ack(2), "the acknowledgement")
    assert (world.tmp / "config").read_text() == f"2 {TOKEN2}"
    assert os.stat(world.tmp / "config").st_ino != before
    (world.tmp / "go").touch()
    assert run.ends() == 0


def test_template_for_an_init_container(world):
    world.hs.start()
    world.hand_off()
    run = world.run("--once", *template(world, "{{access_token}}\n"))
    assert run.ends() == 0
    assert (world.tmp / "config").read_text() == TOKEN + "\n"
    assert world.ack()["generation"] == 1


@pytest.mark.parametrize("text, name, words", [
    ("a\n b {{acess_token}}", "t", "t:2:4: {{acess_token}} is no placeholder"),
    ("{{access_token", "t", "t:1:1: {{access_token without its end"),
    ('{"a": "{{access_token}}" "b"}', "t.json", "t.json:1:26: found '\"'"),
])
def test_template_is_checked_before_anything(world, text, name, words):
    """The homeserver is not there, nor is a hand-off."""
    run = world.run(*template(world, text, name), *shell("exit 0"))
    assert run.ends() == 125
    assert words in run.stderr()
    assert "waiting" not in run.stderr()
    assert not (world.tmp / "config").exists()


def test_template_that_is_not_there(world):
    run = world.run("--for", "template", "--template", "/nowhere/t",
                    "--output", str(world.tmp / "config"), *shell("exit 0"))
    assert run.ends() == 125
    assert "/nowhere/t does not exist" in run.stderr()


def test_template_that_would_be_written_over(world):
    """Filled once, it would have no placeholders for the next token."""
    text = '{"token": "{{access_token}}"}'
    args = template(world, text, "t.json")
    (world.tmp / "l.json").symlink_to("t.json")
    for name in ("t.json", "l.json"):
        args[args.index("--template") + 1] = str(world.tmp / name)
        args[args.index("--output") + 1] = f"{world.tmp}/scratch/../t.json"
        run = world.run(*args, *shell("exit 0"))
        assert run.ends() == 125
        assert "t.json: it is the template itself" in run.stderr()
        assert "waiting" not in run.stderr()
    assert (world.tmp / "t.json").read_text() == text


# -- openclaw


@pytest.fixture
def claw(world):
    """A world with the workspace of an agent of OpenClaw; claw.run(…) is
    --for openclaw on it."""
    world.work = world.tmp / "work"
    world.work.mkdir()
    (world.work / "openclaw.json").write_text(json.dumps(SEED))
    (world.work / "SOUL.md").write_text("a soul")
    world.home = world.tmp / "home"
    world.home.mkdir()
    world.state = world.home / ".openclaw"
    world.include = world.state / "muster" / "matrix.json"
    run = world.run

    def for_openclaw(*args, env=None, **more):
        return run("--for", "openclaw", *args, env={
            "HOME": str(world.home), "WORKSPACE_PATH": str(world.work),
            **(env or {})}, **more)
    world.run = for_openclaw
    return world


def test_openclaw_finds_everything(claw):
    claw.hs.start()
    claw.hand_off()
    run = claw.run(*shell(ENV), env={
        "OPENCLAW_INCLUDE_ROOTS": "/etc/openclaw",
        "MATRIX_DEFAULT_ACCESS_TOKEN": "overrules",
        "MATRIX_PASSWORD": "is not needed", "MATRIX_ACCESS_TOKEN": "old",
        "OPENCLAW_WORKSPACE": "/somewhere/else"})
    assert run.ends() == 0
    assert load(claw.include) == {
        "homeserver": claw.hs.url, "userId": USER, "deviceId": "MUSTER",
        "accessToken": TOKEN}
    assert mode(claw.include) == 0o600
    config = load(claw.state / "openclaw.json")
    assert mode(claw.state / "openclaw.json") == 0o600
    assert config["channels"]["matrix"] == {
        "enabled": True, "autoJoin": "always",
        "network": {"dangerouslyAllowPrivateNetwork": True},
        "$include": str(claw.include)}
    assert config["agents"]["defaults"]["workspace"] == str(claw.work)
    assert config["gateway"]["port"] == 20206
    assert (claw.state / "workspace" / "SOUL.md").read_text() == "a soul"
    env = dict(line.split("=", 1) for line in claw.read("env").splitlines())
    assert env["OPENCLAW_INCLUDE_ROOTS"] == (
        f"/etc/openclaw:{claw.state / 'muster'}")
    assert env["OPENCLAW_WORKSPACE"] == str(claw.work)
    assert {k: v for k, v in env.items() if k.startswith("MATRIX_")} == {
        "MATRIX_HOMESERVER": claw.hs.url, "MATRIX_USER_ID": USER,
        "MATRIX_DEVICE_ID": "MUSTER"}
    # Neither the token of Matrix nor that of the gateway.
    assert TOKEN not in claw.read("env")
    assert config["gateway"]["auth"]["token"] not in claw.read("env")
    assert config["gateway"]["auth"]["token"] not in run.stderr()


def test_openclaw_s_workspace_is_where_the_fleet_mounts_it(claw):
    """In a tree of its own: /workspace is in the root, where nothing of a test
    belongs."""
    root = claw.tmp / "root"
    root.mkdir()
    script = f"""
set -e
mount -t tmpfs none {root}
for d in /*; do
    [ -d "$d" ] && [ "$d" != /workspace ] || continue
    if [ -L "$d" ]; then ln -s "$(readlink "$d")" "{root}$d"
    else mkdir "{root}$d"; mount --rbind "$d" "{root}$d"; fi
done
mkdir {root}/workspace
mount --bind {claw.work} {root}/workspace
exec chroot {root} "$@"
"""
    if subprocess.run(["unshare", "--mount", "true"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("nothing may be mounted here")
    claw.hs.start()
    claw.hand_off()
    run = claw.run(*shell(ENV), env={"WORKSPACE_PATH": ""}, popen={
        "before": ["unshare", "--mount", "sh", "-c", script, "sh"]})
    assert run.ends() == 0, run.stderr()
    assert "OPENCLAW_WORKSPACE=/workspace\n" in claw.read("env")
    config = load(claw.state / "openclaw.json")
    assert config["agents"]["defaults"]["workspace"] == "/workspace"
    assert (claw.state / "workspace" / "SOUL.md").read_text() == "a soul"


def test_openclaw_gets_a_new_token_by_rename(claw):
    claw.hs.start()
    claw.hand_off()
    run = claw.run(*shell(STAY))
    claw.read("up")
    # Whoever has it open sees what it was: it was never unlinked before the
    # new one had its name, nor written over.
    with open(claw.include, encoding="utf-8") as old:
        claw.hand_off(generation=2, token=TOKEN2)
        until(lambda: claw.ack(2), "the acknowledgement")
        assert json.load(old)["accessToken"] == TOKEN
    assert load(claw.include)["accessToken"] == TOKEN2
    (claw.tmp / "go").touch()
    assert run.ends() == 0
    # OpenClaw's configuration still leads to it.
    assert claw.include.exists()


def test_openclaw_keeps_what_the_agent_changed(claw):
    claw.hs.start()
    claw.hand_off()
    assert claw.run(*shell("exit 0")).ends() == 0
    path = claw.state / "openclaw.json"
    config = load(path)
    gateway = config["gateway"]["auth"]["token"]
    config["agents"]["defaults"]["heartbeat"]["every"] = "1h"
    path.write_text("// mine\n" + json.dumps(config))
    (claw.state / "workspace" / "SOUL.md").write_text("my soul")
    seed = json.loads(json.dumps(SEED))
    seed["gateway"]["port"] = 20207
    seed["agents"]["defaults"]["heartbeat"]["every"] = "10m"
    (claw.work / "openclaw.json").write_text(json.dumps(seed))
    (claw.work / "SOUL.md").write_text("another soul")
    (claw.work / "USER.md").write_text("a user")
    assert claw.run(*shell("exit 0")).ends() == 0
    config = load(path)
    assert config["agents"]["defaults"]["heartbeat"]["every"] == "1h"
    assert config["gateway"]["port"] == 20207
    assert config["gateway"]["auth"]["token"] == gateway
    assert (claw.state / "workspace" / "SOUL.md").read_text() == "my soul"
    assert (claw.state / "workspace" / "USER.md").read_text() == "a user"


def test_openclaw_s_seed_is_checked_before_anything(claw):
    (claw.work / "openclaw.json").write_text('{\n "a": }')
    run = claw.run(*shell("exit 0"))
    assert run.ends() == 125
    assert "work/openclaw.json:2:7: found '}'" in run.stderr()
    assert "waiting" not in run.stderr()
    (claw.work / "openclaw.json").unlink()
    run = claw.run(*shell("exit 0"))
    assert run.ends() == 125
    assert "there is no configuration of OpenClaw" in run.stderr()
    assert not claw.state.exists()


def test_openclaw_for_an_init_container(claw):
    claw.hs.start()
    claw.hand_off()
    run = claw.run("--once")
    assert run.ends() == 0
    assert load(claw.include)["accessToken"] == TOKEN
    assert "$include" in (claw.state / "openclaw.json").read_text()
