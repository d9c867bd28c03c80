"""`muster register` and `unregister` where the admin room is Tuwunel's: other
words, and a registration is taken out before it comes back."""

import os
import signal
import threading

import pytest

from support import small
from support.client import Client
from support.process import wait_until
from support.registering import (
    Killer, another, assert_clean, commands, last, otherwise, start)


@pytest.fixture
def ready(tuwunel_fake, muster_on):
    """(muster, homeserver): an administrator, a registration file, and the
    homeserver knows nothing of it yet."""
    tuwunel_fake.operator()
    muster = muster_on(tuwunel_fake, org=small.org())
    muster.run("registration", expect=0)
    return muster, tuwunel_fake


def sent(hs):
    """The first lines of what muster typed into the admin room."""
    return [r.body["body"].split("\n")[0]
            for r in hs.find("PUT", "/send/m.room.message/")]


def test_register_and_back(ready):
    muster, hs = ready
    got = muster.run("register", expect=0)
    assert sent(hs) == ["!admin appservices register"]
    assert "the homeserver reaches us at " in got.out
    assert_clean(muster, hs)
    hs.clear_log()
    assert "nothing to do" in muster.run("register", expect=0).out
    assert hs.writes() == []
    muster.start()
    muster.wait_settled()
    muster.stop()
    hs.clear_log()
    got = muster.run("unregister", expect=0)
    assert sent(hs) == ["!admin appservices unregister muster"]
    assert "does not take our token any more" in got.out
    assert hs.appservices == {} and len(hs.tokens_of("operator")) == 1


def test_an_empty_server(tuwunel_fake, muster_on):
    hs, muster = tuwunel_fake, muster_on(tuwunel_fake, org=small.org())
    hs.registration_token = "the token"
    os.unlink(muster.path("secrets/admin-password"))
    got = muster.run("register", expect=1)
    assert "(TUWUNEL_REGISTRATION_TOKEN)" in last(got)
    muster.write("secrets/token", "the token")
    muster.write_config(homeserver={
        "registration_token": {"file": "secrets/token"}})
    muster.run("register", expect=0)
    assert hs.tokens_of("operator") == [] and set(hs.appservices) == {"muster"}


def test_the_emergency_password(tuwunel_fake, muster_on):
    hs = tuwunel_fake
    hs.operator("forgotten")
    hs.emergency_password = hs.world.users[hs.bot_id].password = "in need"
    muster = muster_on(hs, org=small.org(), homeserver={"admin": {
        "user": "conduit", "password": {"file": "secrets/admin-password"}}})
    muster.write("secrets/admin-password", "in need")
    got = muster.run("register", expect=0)
    assert ("take TUWUNEL_EMERGENCY_PASSWORD away now and restart Tuwunel"
            ) in got.out


@pytest.mark.parametrize("logged", ["", (
    "|level|span|message|\n|--|--|--|\n|info|admin|something|\n\n")])
def test_what_differs_is_replaced(ready, logged):
    """Another URL, then other tokens."""
    muster, hs = ready
    hs.admin.logged = logged
    muster.run("register", expect=0)
    hs.clear_log()
    muster.write_config(appservice={"url": f"http://localhost:{muster.port}"})
    got = muster.run("register", expect=0)
    assert ("Tuwunel has \"muster\" and replaces nothing: taking it out, and "
            "registering it again") in got.out
    assert sent(hs) == ["!admin appservices register",
                        "!admin appservices unregister muster",
                        "!admin appservices register"]
    assert hs.appservices["muster"].registration["url"] == (
        f"http://localhost:{muster.port}")
    assert_clean(muster, hs)
    old = muster.registration["as_token"]
    muster.run("registration", "--new-tokens", expect=0)
    got = muster.run("register", expect=0)
    now = muster.registration["as_token"]
    assert now != old
    assert hs.appservices["muster"].registration["as_token"] == now
    assert_clean(muster, hs)
    muster.assert_no_secret_shown(more=[old])


def test_killed_at_every_write(ready):
    """Also between taking it out and putting it back."""
    muster, hs = ready
    killer, index, port = Killer(hs), 1, muster.port
    urls = [f"http://localhost:{port}", f"http://127.0.0.1:{port}"]
    while killer.run(muster, index, "register"):
        index += 1
        muster.run("register", expect=0)
        assert_clean(muster, hs)
        assert hs.appservices["muster"].registration["url"] == (
            muster.registration["url"])
        hs.clear_log()
        assert "nothing to do" in muster.run("register", expect=0).out
        assert hs.find("POST", r"/login$") == []
        muster.write_config(appservice={"url": urls[index % 2]})
    assert_clean(muster, hs)
    assert index >= 10


def test_a_signal_while_it_is_out(ready):
    """It ends once it is back."""
    muster, hs = ready
    muster.run("register", expect=0)
    muster.write_config(appservice={"url": f"http://localhost:{muster.port}"})
    taken, begun = [], threading.Event()

    def told(_index, phase, _method, path):
        if phase == "after" and not hs.appservices and not taken:
            taken.append(path)
            begun.wait(60)
            process.send_signal(signal.SIGTERM)
    hs.on_request(told)
    process = start(muster, "register")
    begun.set()
    process.communicate(timeout=60)
    assert taken and set(hs.appservices) == {"muster"}
    assert_clean(muster, hs)
    muster.run("register", expect=0)


def test_it_does_not_come_back(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    muster.write_config(appservice={"url": f"http://localhost:{muster.port}"})
    run, calls = hs.admin.command, []

    def command(text):
        calls.append(text)
        return ("Command failed with error:\n```\nFailed to register "
                "appservice: the disk is full\n```"
                if len(calls) == 3 else run(text))
    hs.admin.command = command
    got = muster.run("register", expect=1)
    assert ("was taken out and is not back: run `muster register` again: "
            "Tuwunel does not take the registration: \"Failed to register "
            "appservice: the disk is full\"") in last(got)
    assert_clean(muster, hs)
    muster.run("register", expect=0)
    assert set(hs.appservices) == {"muster"}


def test_registered_by_a_file(ready):
    """No command changes it; what works is left alone."""
    muster, hs = ready
    hs.add_appservice(muster.registration_path)
    got = muster.run("register", expect=0)
    assert "already registered: nothing to do" in got.out
    hs.clear_log()
    assert "nothing to do" in muster.run("register", expect=0).out
    assert hs.writes() == []
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    for _ in range(2):
        got = muster.run("register", expect=3)
        assert '"muster" is registered by a file there' in got.out
        assert ("Put this file into the directory that appservice_dir names "
                "in tuwunel.toml:") in got.out
        assert_clean(muster, hs)
    hs.add_appservice(muster.registration_path)
    assert "nothing to do" in muster.run("register", expect=0).out
    got = muster.run("unregister", expect=3)
    assert "Take this file out of the directory" in got.out
    hs.unregister_appservice("muster")
    assert "nothing to do" in muster.run("unregister", expect=0).out


@pytest.mark.parametrize("what", [
    "hs_token", "url", "no url", "narrower", "wider"])
def test_registered_otherwise_by_hand(ready, what):
    muster, hs = ready
    muster.run("register", expect=0)
    changes, said = otherwise(muster.registration)[what]
    hs.register_appservice({**muster.registration, **changes})
    got = muster.run("register", expect=0)
    assert said in got.out
    assert hs.appservices["muster"].registration == muster.registration
    assert "nothing to do" in muster.run("register", expect=0).out
    assert_clean(muster, hs)


def newcomer(muster):
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)


def test_the_service_registers_again(ready):
    """By itself, as on Conduit; and its accounts are no guests."""
    muster, hs = ready
    muster.run("register", expect=0)
    muster.start()
    muster.wait_settled()
    hs.clear_log()
    newcomer(muster)
    muster.wait_handoff("dora.ic")
    assert sent(hs) == [
        "!admin appservices register", "!admin appservices unregister muster",
        "!admin appservices register"]
    assert hs.appservices["muster"].registration == muster.registration
    made, = [r for r in hs.find("POST", r"/register$")
             if r.body.get("username") == "dora.ic" and r.status == 200]
    assert made.body["password"]
    assert_clean(muster, hs)


def test_the_service_cannot_change_a_file(ready):
    muster, hs = ready
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.run("register", expect=0)
    before = muster.read("registration.yaml")
    muster.start()
    muster.wait_settled()
    newcomer(muster)
    muster.daemon.wait_for(
        lambda: "the registration is behind the fleet's files: run `muster "
        "registration`" in muster.daemon.output(), 40, "it says so")
    assert hs.appservices["muster"].registration == muster.registration
    assert muster.read("registration.yaml") == before
    assert_clean(muster, hs)


def test_without_an_administrator(ready):
    muster, hs = ready
    muster.config["homeserver"].pop("admin")
    muster.write_config()
    got = muster.run("register", expect=3)
    assert "appservice_dir names in tuwunel.toml:" in got.out
    assert "(or set homeserver.admin" in got.out
    assert hs.writes() == []
    hs.add_appservice(muster.registration_path)
    assert "nothing to do" in muster.run("register", expect=0).out


def test_what_somebody_typed_by_hand(ready):
    muster, hs = ready
    admin = Client(hs.url).login("operator", "operators-password")
    room = admin.resolve(f"#admins:{small.SERVER}")
    for begin in ("!admin appservices", f"@conduit:{small.SERVER} appservices"):
        assert admin.send(room, f"{begin} register\n```yaml\nid: muster\n"
                          "as_token: of-muster\n```")
    assert admin.send(room, "!admin appservices register\n```\nid: another\n"
                      "as_token: of-another\n```")
    muster.run("register", expect=0)
    said = "\n".join(commands(hs))
    assert "of-muster" not in said and "of-another" in said


def test_another_service_has_an_agent_of_ours(ready):
    muster, hs = ready
    hs.register_appservice(another("old.fleet", "^@cleo.*:fleet.test$"))
    got = muster.run("register", expect=1)
    assert ("another service on the homeserver has @cleo.ic:fleet.test in its "
            "namespace, which is old.fleet: two of them") in last(got)
    assert 'send "!admin appservices unregister ID"' in last(got)
    assert not any("as_token" in c for c in commands(hs))


def test_what_the_bot_does_not_take(ready):
    muster, hs = ready
    for said, words in (
            ("Command failed with error:\n```\nCould not parse appservice "
             "config as YAML: missing field `x`\n```",
             'Tuwunel cannot read the registration: "Could not parse '
             'appservice config as YAML: missing field `x`"'),
            ("error: unrecognized subcommand 'appservices'",
             "Tuwunel does not know the command to register")):
        hs.admin.command = lambda text, said=said: said
        got = muster.run("register", expect=1)
        assert words in last(got)
        assert_clean(muster, hs)


def test_dry_run(ready):
    muster, hs = ready
    hs.clear_log()
    got = muster.run("register", "--dry-run", expect=3)
    assert "would register it by a message" in got.out
    # By hand, and nobody noted that.
    hs.register_appservice(muster.registration)
    got = muster.run("register", "--dry-run", expect=3)
    assert "would look for tokens that may lie in #admins" in got.out
    assert [r for r in hs.writes()
            if not r.path.endswith(("/login", "/logout"))] == []
    assert len(hs.tokens_of("operator")) == 1


def test_an_id_that_no_command_can_name(ready):
    muster, hs = ready
    muster.write_config(appservice={"id": "the muster"})
    muster.run("register", expect=0)
    got = muster.run("unregister", expect=2)
    assert "no command of Tuwunel can name it" in last(got)
    wait_until(lambda: set(hs.appservices) == {"the muster"}, 1, "it stays")
