"""`muster register` on a homeserver in Conduit's manner, from whatever state it
is in, and wherever it is killed."""

import os
import subprocess
import threading

import pytest

from support import small
from support.client import Client
from support.fakehs import hold
from support.muster import binary
from support.process import environment, wait_until
from support.registering import (
    Killer, another, assert_clean, commands, last, otherwise, yes_sayer)


@pytest.fixture
def ready(conduit_fake, muster_on):
    """(muster, homeserver): an administrator, a registration file, and the
    homeserver knows nothing of it yet."""
    conduit_fake.operator()
    muster = muster_on(conduit_fake, org=small.org())
    muster.run("registration", expect=0)
    return muster, conduit_fake


# -- killed


def test_killed_at_every_write(ready):
    """What is left there then, the next one takes away: tokens and session.
    And nothing is left to do."""
    muster, hs = ready
    killer = Killer(hs)
    index = 1
    while killer.run(muster, index, "register"):
        index += 1
        last = hs.writes()[-1]
        try:
            muster.run("register", expect=0)
            assert_clean(muster, hs)
            hs.clear_log()
            assert "already registered" in muster.run("register", expect=0).out
            assert hs.find("POST", r"/login$") == []
        except AssertionError as e:
            raise AssertionError(f"killed after {last.method} {last.path}\n{e}"
                                 ) from e
        hs.wipe()
        hs.operator()
    assert_clean(muster, hs)
    # login, (the note is refused), the command, its redaction, logout, the
    # service's user, the note, and the ping is no write.
    assert index >= 7


def test_killed_on_an_empty_server(conduit_fake, muster_on):
    """The account and its password are never without each other."""
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    muster.run("registration", expect=0)
    os.unlink(muster.path("secrets/admin-password"))
    killer, index = Killer(hs), 1
    while killer.run(muster, index, "register"):
        index += 1
        muster.run("register", expect=0)
        assert hs.user("operator").password == muster.read(
            "secrets/admin-password")
        assert commands(hs) == []
        assert hs.tokens_of("operator") == []
        hs.wipe()
        os.unlink(muster.path("secrets/admin-password"))
    assert index >= 7


def test_two_at_once(conduit_fake, muster_on):
    """Where there is nothing yet: the second one waits, and finds it done."""
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    os.unlink(muster.path("secrets/admin-password"))
    go_on = threading.Event()
    hs.fault("POST", r"/register$", hold(go_on))
    ran = []
    first = threading.Thread(target=lambda: ran.append(muster.run("register")))
    first.start()
    try:
        wait_until(lambda: os.path.exists(muster.registration_path), 30,
                   "the first one is at work")
        with subprocess.Popen(
                [binary(), "-c", muster.path("muster.yaml"), "register"],
                cwd=muster.dir, env=environment(), text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as second:
            assert "another `muster register` is at" in second.stderr.readline()
            go_on.set()
            out, err = second.communicate()
            assert second.returncode == 0, err
            assert "already registered: nothing to do" in out
    finally:
        go_on.set()
        first.join()
    assert ran[0].code == 0, ran
    assert hs.appservices["muster"].registration["as_token"] == (
        muster.registration["as_token"])
    assert commands(hs) == []
    assert hs.tokens_of("operator") == []


def test_what_somebody_typed_by_hand(ready):
    """Of our id; another's is another's affair."""
    muster, hs = ready
    admin = Client(hs.url).login("operator", "operators-password")
    room = admin.resolve(f"#admins:{small.SERVER}")
    bot = f"@conduit:{small.SERVER}"
    for name in ("muster", "another"):
        assert admin.send(room, f"{bot}: register-appservice\n```\nid: {name}\n"
                          f"as_token: of-{name}\n```")
    # Long ago.
    for number in range(150):
        admin.send(room, f"word {number}")
    muster.run("register", expect=0)
    said = "\n".join(commands(hs))
    assert "of-muster" not in said and "of-another" in said
    assert commands(hs)[-1] == "word 149"


# -- unregister


def test_unregister(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, hs)
    got = muster.run("unregister", expect=1)
    assert "end it first" in got.err.splitlines()[-1]
    muster.stop()
    tokens = {a: hs.tokens_of(a) for a in small.AGENTS}
    hs.clear_log()
    got = muster.run("unregister", expect=0)
    assert "does not take our token any more" in got.out
    assert hs.appservices == {}
    assert len(hs.tokens_of("operator")) == 1
    assert {a: hs.tokens_of(a) for a in small.AGENTS} == tokens
    # Nothing to do, and nothing done; no file, nothing that could be done.
    hs.clear_log()
    got = muster.run("unregister", "--json", expect=0)
    assert got.json == {"registered": False}
    assert "nothing to do" in got.err and hs.writes() == []
    # And back again.
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, hs)
    muster.stop()
    os.unlink(muster.registration_path)
    got = muster.run("unregister", expect=1)
    assert "there is no registration file" in got.err.splitlines()[-1]
    assert set(hs.appservices) == {"muster"}


def test_unregister_makes_no_account(ready):
    """Of an administrator whose name is wrong, or who has no password yet."""
    muster, hs = ready
    muster.run("register", expect=0)
    password, path = muster.read("secrets/admin-password"), muster.path(
        "secrets/admin-password")
    muster.write_config(homeserver={"admin": {
        "user": "opperator", "password": {"file": "secrets/admin-password"}}})
    users = set(hs.world.users)
    for there in (True, False):
        if not there:
            os.unlink(path)
        for words in (["unregister"], ["unregister", "--dry-run"]):
            got = muster.run(*words, expect=1)
            assert "there is no account opperator on the homeserver" in last(got)
            assert "CONDUIT_EMERGENCY_PASSWORD" in last(got)
        assert set(hs.world.users) == users and os.path.exists(path) == there
    muster.write_config(homeserver={"admin": {
        "user": "operator", "password": {"file": "secrets/admin-password"}}})
    got = muster.run("unregister", expect=1)
    assert "the account operator exists already: put its password" in last(got)
    muster.write("secrets/admin-password", "another")
    got = muster.run("unregister", expect=1)
    assert "the password for operator in " in last(got)
    muster.write("secrets/admin-password", password)
    muster.run("unregister", expect=0)


def test_unregister_what_is_not_ours(ready):
    """Another service of this id, with tokens of its own, and one of another
    id that has our token."""
    muster, hs = ready
    other = {**muster.registration, "as_token": "of-another"}
    hs.register_appservice(other)
    assert "nothing to do" in muster.run("unregister", expect=0).out
    hs.register_appservice({**muster.registration, "id": "another",
                            "sender_localpart": "someone"})
    admin = Client(hs.url, muster.registration["as_token"])
    admin.ok("POST", "/_matrix/client/v3/register", {
        "type": "m.login.application_service", "username": "someone",
        "inhibit_login": True})
    hs.clear_log()
    got = muster.run("unregister", expect=2)
    assert f"whose user is {small.full('someone')}" in got.err
    assert set(hs.appservices) == {"muster", "another"}
    assert hs.writes() == []


@pytest.mark.parametrize("words, said", [
    ("Failed to unregister appservice: Appservice not found",
     "Appservice not found"),
    ("error: unrecognized subcommand 'unregister-appservice'",
     "unrecognized subcommand")])
def test_unregister_refused(ready, words, said):
    muster, hs = ready
    muster.run("register", expect=0)
    hs.admin.command = lambda text: words
    got = muster.run("unregister", expect=1)
    assert said in got.err.splitlines()[-1]
    assert len(hs.tokens_of("operator")) == 1
    got = muster.run("register", "--dry-run", expect=3)
    assert ("registering it, or taking it back, was begun and not finished"
            ) in got.out


def test_unregister_where_a_file_is_wanted(synapse_fake, muster_on):
    hs, muster = synapse_fake, muster_on(synapse_fake, org=small.org())
    muster.run("registration", expect=0)
    assert "nothing to do" in muster.run("unregister", expect=0).out
    hs.add_appservice(muster.registration_path)
    got = muster.run("unregister", expect=3)
    assert ("Take this line out of app_service_config_files in "
            "homeserver.yaml:") in got.out
    hs.unregister_appservice("muster")
    assert "nothing to do" in muster.run("unregister", expect=0).out


# -- --dry-run


def dry(muster, hs, *words, expect=3):
    """What a dry run says; it changes neither the homeserver, but for a session
    that it ends, nor a file."""
    def files():
        return {name: os.stat(muster.path(name)).st_mtime_ns
                for name in os.listdir(muster.dir)}
    before, sessions = files(), hs.tokens_of("operator")
    hs.clear_log()
    got = muster.run(*words, "--dry-run", expect=expect)
    assert [r for r in hs.writes()
            if not r.path.endswith(("/login", "/logout"))
            and r.body != {"inhibit_login": True}] == []
    assert files() == before and hs.tokens_of("operator") == sessions
    if expect == 3:
        assert got.err.splitlines()[-1].endswith(
            "nothing was changed: that would be done without --dry-run")
    return got


def test_dry_run(conduit_fake, muster_on):
    """From an empty server to one where nothing is left to do."""
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    os.unlink(muster.path("secrets/admin-password"))
    got = dry(muster, hs, "register")
    assert f"would write {muster.registration_path}" in got.out
    assert "would make the account operator, with a password for it" in got.out
    assert "would register it by a message" in got.out
    got = dry(muster, hs, "unregister", expect=1)
    assert "there is no registration file" in got.err
    muster.run("register", expect=0)
    assert "nothing to do" in dry(muster, hs, "register", expect=0).out
    # Somebody more.
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    got = dry(muster, hs, "register")
    assert f"registered, but without {small.full('dora.ic')}" in got.out
    assert "would log in as operator, an administrator" in got.out
    assert not hs.appservices["muster"].owns(small.full("dora.ic"))
    got = dry(muster, hs, "unregister")
    assert "would take it back in #admins:fleet.test" in got.out
    assert dry(muster, hs, "register", "--json").json == {"registered": False}
    assert set(hs.appservices) == {"muster"}


def test_dry_run_says_what_is_in_the_way(ready):
    muster, hs = ready
    password = muster.read("secrets/admin-password")
    muster.write("secrets/admin-password", "another")
    got = dry(muster, hs, "register", expect=1)
    assert "the password for operator in " in last(got)
    os.unlink(muster.path("secrets/admin-password"))
    got = dry(muster, hs, "register", expect=1)
    assert "the account operator exists already" in got.err
    muster.write("secrets/admin-password", password)
    Client(hs.url).register("somebody", password)
    muster.write_config(homeserver={"admin": {"user": "somebody"}})
    got = dry(muster, hs, "register", expect=1)
    assert "@somebody:fleet.test is no administrator" in last(got)
    assert hs.tokens_of("somebody")[1:] == []
    muster.config["homeserver"].pop("admin")
    muster.write_config()
    got = dry(muster, hs, "register", expect=2)
    assert "homeserver.admin is not set" in got.err
    # Registered by hand: works, but for the user that is not made yet.
    hs.add_appservice(muster.registration_path)
    got = dry(muster, hs, "register")
    assert "would make @muster:fleet.test" in got.out
    muster.run("register", expect=0)
    assert "nothing to do" in dry(muster, hs, "register", expect=0).out


def test_dry_run_where_a_file_is_wanted(synapse_fake, muster_on):
    hs, muster = synapse_fake, muster_on(synapse_fake, org=small.org())
    hs.clear_log()
    got = muster.run("register", "--dry-run", expect=3)
    assert "app_service_config_files" in got.out
    assert not os.path.exists(muster.registration_path)
    got = muster.run("plan", "--dry-run", expect=2)
    assert "--dry-run is of `muster register`" in got.err


# -- each its own sentence and fix


def test_a_registration_token_is_needed(conduit_fake, muster_on):
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    hs.registration_token = "the token"
    os.unlink(muster.path("secrets/admin-password"))
    got = dry(muster, hs, "register", expect=1)
    assert "would not make the account operator: set homeserver." in last(got)
    got = muster.run("register", expect=1)
    assert ("asks for a registration token to make the account operator: set "
            "homeserver.registration_token") in last(got)
    muster.write("secrets/token", "another")
    muster.write_config(homeserver={
        "registration_token": {"file": "secrets/token"}})
    got = muster.run("register", expect=1)
    assert "is not the one that Conduit has" in last(got)
    hs.allow_registration = False
    got = muster.run("register", expect=1)
    assert "makes no accounts" in last(got)
    assert "CONDUIT_ALLOW_REGISTRATION=true" in last(got)
    # With a password, and without the account.
    muster.write("secrets/admin-password", "a password")
    got = muster.run("register", expect=1)
    assert "nor make that account: the homeserver makes no acc" in last(got)
    os.unlink(muster.path("secrets/admin-password"))
    hs.allow_registration = True
    muster.write("secrets/token", "the token")
    dry(muster, hs, "register")
    muster.run("register", expect=0)


def test_a_registration_token_is_not_needed(conduit_fake, muster_on):
    """It is no obstacle, where the homeserver asks for none."""
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    os.unlink(muster.path("secrets/admin-password"))
    muster.write("secrets/token", "a token")
    muster.write_config(homeserver={
        "registration_token": {"file": "secrets/token"}})
    muster.run("register", expect=0)
    assert set(hs.appservices) == {"muster"}


def test_a_wrong_password_where_nobody_registers(ready):
    muster, hs = ready
    hs.allow_registration = False
    muster.write("secrets/admin-password", "a password")
    got = muster.run("register", expect=1)
    assert "the password for operator in " in last(got)
    assert "is not right" in last(got)


def test_the_first_user_is_somebody_else(conduit_fake, muster_on):
    hs, muster = conduit_fake, muster_on(conduit_fake, org=small.org())
    hs.operator("forgotten")
    os.unlink(muster.path("secrets/admin-password"))
    got = muster.run("register", expect=1)
    assert ("@operator:fleet.test is no administrator of the homeserver, since "
            "it is not the first account there") in last(got)
    assert "CONDUIT_EMERGENCY_PASSWORD" in last(got)
    assert hs.tokens_of("operator") == []


def test_the_emergency_password(conduit_fake, muster_on):
    hs = conduit_fake
    hs.operator("forgotten")
    hs.emergency_password = hs.world.users[hs.bot_id].password = "in need"
    for user in ("conduit", hs.bot_id):
        muster = muster_on(hs, org=small.org(), homeserver={"admin": {
            "user": user, "password": {"file": "secrets/admin-password"}}})
        muster.write("secrets/admin-password", "in need")
        got = muster.run("register", expect=0)
        assert "take CONDUIT_EMERGENCY_PASSWORD away now" in got.out
        assert hs.tokens_of("conduit") == []
        muster.write("secrets/admin-password", "in vain")
        muster.write_config(appservice={"sender": "another"})
        got = muster.run("register", expect=1)
        assert "the emergency password in " in last(got)
        # No account is made that has the name already.
        os.unlink(muster.path("secrets/admin-password"))
        hs.clear_log()
        for words in (["register"], ["register", "--dry-run"], ["unregister"]):
            got = muster.run(*words, expect=2)
            assert ("write the one that Conduit has in "
                    "CONDUIT_EMERGENCY_PASSWORD into ") in last(got)
        assert hs.writes() == []
        assert not os.path.exists(muster.path("secrets/admin-password"))
        hs.unregister_appservice("muster")


def test_the_administrator_belongs_to_a_service(ready):
    muster, hs = ready
    hs.register_appservice({
        "id": "other", "url": None, "as_token": "a", "hs_token": "h",
        "sender_localpart": "other", "namespaces": {"users": [
            {"exclusive": True, "regex": "^@operator:fleet.test$"}]}})
    got = muster.run("register", expect=1)
    assert "operator is in the namespace of a service" in last(got)


@pytest.mark.parametrize("prefix, line", [
    ("claw-", "namespace: {prefix: claw-}"), ("", "namespace: {prefix: agent-}")])
def test_too_many_for_a_message(ready, prefix, line):
    muster, hs = ready
    org = small.org()
    if prefix:
        org["people"] = [p for p in org["people"] if p["level"] == "CEO"]
    for number in range(2500):
        name = f"{chr(97 + number % 26)}.somebody.of.such.a.name.{number}"
        org["people"].append(small.person(
            prefix + name, "IC", None, small.HUMAN, small.DEPARTMENT))
    muster.write_config(direct={"manager_peers": False})
    muster.write_org(org)
    got = muster.run("register", expect=1)
    assert last(got).endswith(line), last(got)[-300:]
    assert commands(hs) == [] and hs.find("POST", r"/login$") == []


# -- others, and what was before


def test_another_service_has_an_agent_of_ours(ready):
    muster, hs = ready
    hs.register_appservice(another("old.fleet", "^@cleo.*:fleet.test$"))
    got = muster.run("register", "--dry-run", expect=3)
    assert ("a service on the homeserver has @cleo.ic:fleet.test in its "
            'namespace: "muster" with another as_token would be') in got.out
    got = muster.run("register", expect=1)
    assert ("another service on the homeserver has @cleo.ic:fleet.test in its "
            "namespace, which is old.fleet: two of them") in last(got)
    hs.register_appservice(another("bridge", "^@b-.*$"))
    got = muster.run("register", expect=1)
    assert "one of bridge, old.fleet: two of them" in last(got)
    # Nothing with tokens was sent.
    assert not any("register-appservice" in c for c in commands(hs))
    assert len(hs.tokens_of("operator")) == 1
    hs.unregister_appservice("old.fleet")
    muster.run("register", expect=0)
    assert set(hs.appservices) == {"bridge", "muster"}


def test_another_service_has_a_newcomer(ready):
    """Found also where ours is registered already, and told by its id."""
    muster, hs = ready
    hs.register_appservice(another("bridge", "^@dora.*:fleet.test$"))
    muster.run("register", expect=0)
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    got = muster.run("register", "--dry-run", expect=1)
    assert ("another service on the homeserver has @dora.ic:fleet.test in its "
            "namespace: two of them") in last(got)
    got = muster.run("register", expect=1)
    assert ("another service on the homeserver has @dora.ic:fleet.test in its "
            "namespace, which is bridge: two of them") in last(got)
    assert not hs.appservices["muster"].owns(small.full("dora.ic"))
    assert_clean(muster, hs)
    hs.unregister_appservice("bridge")
    muster.run("register", expect=0)
    assert hs.appservices["muster"].owns(small.full("dora.ic"))


def test_registered_with_another_token(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    os.unlink(muster.registration_path)
    got = muster.run("register", expect=0)
    assert '"muster" is registered there with another as_token' in got.out
    assert hs.appservices["muster"].registration["as_token"] == (
        muster.registration["as_token"])


def test_another_service_has_our_token(ready):
    muster, hs = ready
    token = muster.registration["as_token"]
    hs.register_appservice(another("zulu", "^@z-.*$", as_token=token))
    Client(hs.url, token).ok("POST", "/_matrix/client/v3/register", {
        "type": "m.login.application_service", "username": "zulu-bot",
        "inhibit_login": True})
    hs.clear_log()
    got = muster.run("register", expect=1)
    assert ("another service on the homeserver, whose user is "
            "@zulu-bot:fleet.test, has the as_token of") in last(got)
    assert hs.writes() == [] and set(hs.appservices) == {"zulu"}
    os.unlink(muster.registration_path)
    muster.run("register", expect=0)


def test_another_service_has_our_token_and_no_user(ready):
    """Nobody there says who we are; the list of services does."""
    muster, hs = ready
    token = muster.registration["as_token"]
    hs.register_appservice(another("alpha", "^@a-.*$"))
    hs.register_appservice(another("zulu", "^@z-.*$", as_token=token))
    got = muster.run("register", "--dry-run", expect=1)
    assert "whose user is yet to be made there, has the as_token" in last(got)
    got = muster.run("register", expect=1)
    assert ("another service on the homeserver, which is zulu, has the "
            "as_token of") in last(got)
    assert set(hs.appservices) == {"alpha", "zulu"}
    assert_clean(muster, hs)
    os.unlink(muster.registration_path)
    muster.run("register", expect=0)


def test_another_appservice_id(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    muster.write_config(appservice={"id": "muster-two"})
    got = muster.run("register", expect=1)
    assert "registered with the id muster, which is muster-two now" in got.out
    assert "hs_token" not in got.out
    assert "whose user is @muster:fleet.test, has the as_token" in last(got)
    assert "run `muster unregister` with it first" in last(got)
    assert set(hs.appservices) == {"muster"}
    muster.env = {"MUSTER_APPSERVICE_ID": "muster"}
    muster.run("unregister", expect=0)
    muster.env = {}
    muster.run("register", expect=0)
    assert set(hs.appservices) == {"muster-two"}


def test_it_says_what_differs(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    before = f"http://127.0.0.1:{muster.port}"
    after = f"http://localhost:{muster.port}"
    muster.write_config(appservice={"url": after})
    got = muster.run("register", expect=0)
    assert (f"registered with the url {before}, which is {after} now"
            ) in got.out
    assert f"the homeserver reaches us at {after} in " in got.out
    muster.write_config(rooms=[
        {"alias": "all-employees", "members": {"everyone": True}}])
    muster.write_org(muster.without("cleo.ic"))
    got = muster.run("register", expect=0)
    assert "registered with another namespace of users" in got.out
    assert "registered with another namespace of aliases" in got.out
    assert "which is" not in got.out
    muster.write_config(appservice={"sender": "other"})
    got = muster.run("register", expect=0)
    assert "the service's user is @muster:fleet.test" in got.out
    registration = muster.registration
    muster.write("registration.yaml", muster.read("registration.yaml").replace(
        registration["hs_token"], "h" * 64))
    got = muster.run("register", expect=0)
    assert "registered, but the hs_token has changed since" in got.out
    assert "nothing to do" in muster.run("register", expect=0).out


def test_somebody_else_answers_the_ping(ready):
    """The homeserver is content with it."""
    muster, hs = ready
    with yes_sayer() as url:
        muster.write_config(appservice={"url": url})
        got = muster.run("register", expect=1)
        assert (f"the homeserver reaches something at {url} (appservice.url), "
                "but not us") in last(got)
        assert_clean(muster, hs)
        # As it was registered.
        got = muster.run("register", expect=1)
        assert "but not us" in last(got)
    muster.write_config(appservice={"url": f"http://127.0.0.1:{muster.port}"})
    muster.run("register", expect=0)


@pytest.mark.parametrize("what", [
    "hs_token", "url", "no url", "sender", "narrower", "wider"])
def test_registered_otherwise_by_hand(ready, what):
    """Since it was registered by us, and noted so: by what the homeserver
    does it is found out."""
    muster, hs = ready
    muster.run("register", expect=0)
    changes, said = otherwise(muster.registration)[what]
    hs.register_appservice({**muster.registration, **changes})
    got = muster.run("register", "--dry-run", expect=3)
    assert said in got.out and "would register it" in got.out
    got = muster.run("register", expect=0)
    assert said in got.out
    assert hs.appservices["muster"].registration == muster.registration
    hs.clear_log()
    assert "nothing to do" in muster.run("register", expect=0).out
    assert hs.writes() == []
    assert_clean(muster, hs)


# -- new tokens


class Chatter:
    """A human who never stops talking."""

    def __init__(self, client, room):
        self.sent = []
        self._client, self._room = client, room
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.wait(0.01):
            self.sent.append(self._client.send(
                self._room, f"word {len(self.sent)}"))

    def end(self):
        self._over.set()
        self._thread.join()


@pytest.fixture
def talking(ready):
    """(muster, homeserver, chatter): served, everything as declared."""
    muster, hs = ready
    carla = Client(hs.url).register(small.HUMAN, "a human's password")
    muster.run("register", expect=0)
    muster.start()
    small.wait_settled(muster, hs)
    room = hs.room("all-employees").room_id
    carla.join(room)
    hs.wait_delivered()
    hs.deliveries.clear()
    chatter = Chatter(carla, room)
    yield muster, hs, chatter
    chatter.end()


def assert_new_tokens(muster, hs, old, chatter):
    """In force on both sides, every transaction was taken at the first try,
    and the old ones are good for nothing."""
    now = muster.registration
    assert now["as_token"] != old["as_token"]
    assert now["hs_token"] != old["hs_token"]
    assert not os.path.exists(muster.registration_path + ".next")
    assert hs.appservices["muster"].registration["hs_token"] == (
        now["hs_token"])
    wait_until(lambda: len(chatter.sent) > 20, 20, "he talks")
    chatter.end()
    hs.wait_delivered()
    assert {d.status for d in hs.deliveries} == {200}
    # A transaction that was under way when it was registered anew may come
    # once more, as itself.
    told = {(e["event_id"], d.txn_id) for d in hs.deliveries for e in d.events
            if e["event_id"] in set(chatter.sent)}
    assert sorted(event for event, _ in told) == sorted(chatter.sent)
    # The service acts by the new one: there is somebody more.
    org = small.org()
    org["people"].append(small.person(
        "dora.ic", "IC", None, "ben.man", small.DEPARTMENT))
    muster.write_org(org)
    wait_until(lambda: muster.handoff("dora.ic"), 30, "a newcomer's token")
    listener = Client(f"http://127.0.0.1:{muster.port}", old["hs_token"])
    got = listener.call("PUT", "/_matrix/app/v1/transactions/of-old", {
        "events": []})
    assert got.status == 403


def test_new_tokens(talking):
    muster, hs, chatter = talking
    old = muster.registration
    got = muster.run("registration", "--new-tokens", expect=0)
    assert "`muster register` puts them into force" in got.err
    waiting = muster.read("registration.yaml.next")
    assert os.stat(muster.path("registration.yaml.next")).st_mode & 0o777 == (
        0o600)
    assert muster.registration == old
    got = muster.run("registration", "--new-tokens", expect=0)
    assert "were waiting already" in got.err
    assert muster.read("registration.yaml.next") == waiting
    got = muster.run("register", expect=0)
    assert "with the new tokens" in got.out
    assert muster.read("registration.yaml") == waiting
    assert_new_tokens(muster, hs, old, chatter)
    assert "nothing to do" in muster.run("register", expect=0).out
    muster.assert_no_secret_shown(more=[old["as_token"], old["hs_token"]])


def test_new_tokens_survive_every_kill(talking):
    """Of `register`; the service goes on, whoever knows which tokens."""
    muster, hs, chatter = talking
    killer, index = Killer(hs), 1
    while True:
        old = muster.registration
        muster.run("registration", "--new-tokens", expect=0)
        killed = killer.run(muster, index, "register")
        if not killed:
            break
        index += 1
        muster.run("register", expect=0)
        assert muster.registration["as_token"] != old["as_token"]
        assert "as_token" not in str(commands(hs))
    assert_new_tokens(muster, hs, old, chatter)
    assert index >= 7


def test_unregister_with_new_tokens(ready):
    """Whichever the homeserver knows, when `register` was killed: it knows
    none afterwards, and the next one is by the new ones."""
    muster, hs = ready
    muster.run("register", expect=0)
    killer, index = Killer(hs), 1
    muster.run("registration", "--new-tokens", expect=0)
    while killer.run(muster, index, "register"):
        index += 1
        got = muster.run("unregister", expect=0)
        assert hs.appservices == {}, (index, got)
        assert_clean(muster, hs)
        new = muster.read("registration.yaml.next")
        muster.run("register", expect=0)
        assert muster.read("registration.yaml") == new
        muster.run("registration", "--new-tokens", expect=0)
    assert index >= 7


def test_new_tokens_that_cannot_be_read(ready):
    muster, hs = ready
    muster.run("register", expect=0)
    old = hs.appservices["muster"].registration
    muster.write("registration.yaml.next", "id: [")
    got = muster.run("register", expect=2)
    assert "registration.yaml.next:2:1: " in last(got)
    assert "remove that file, and run `muster registration --new" in last(got)
    got = muster.run("registration", "--new-tokens", expect=2)
    assert "registration.yaml.next:2:1: " in last(got)
    assert "remove that file, and run `muster registration --new" in last(got)
    assert hs.appservices["muster"].registration == old
    assert muster.registration["as_token"] == old["as_token"]


def test_new_tokens_while_nobody_serves(talking):
    """What was not delivered meanwhile is, later."""
    muster, hs, chatter = talking
    muster.stop()
    old = muster.registration
    muster.run("registration", "--new-tokens", expect=0)
    muster.start()  # by the old ones
    muster.stop()
    muster.run("register", expect=0)
    muster.start()
    chatter.end()
    hs.wait_delivered()
    told = {e["event_id"] for d in hs.deliveries if d.status == 200
            for e in d.events}
    assert set(chatter.sent) <= told
    assert muster.registration["as_token"] != old["as_token"]


def test_new_tokens_where_a_file_is_wanted(synapse_fake, muster_on):
    hs, muster = synapse_fake, muster_on(synapse_fake, org=small.org())
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    old = muster.registration
    muster.run("registration", "--new-tokens", expect=0)
    muster.run("register", expect=3)
    assert muster.registration["as_token"] != old["as_token"]
    # Until it is restarted the old ones hold, and then the new ones.
    muster.run("plan", expect=0)
    hs.stop()
    hs.add_appservice(muster.registration_path)
    hs.start()
    assert "nothing to do" in muster.run("register", expect=0).out
    human = hs.human(small.HUMAN)
    human.join(hs.room("all-employees").room_id)
    hs.wait_delivered()
    assert hs.deliveries[-1].status == 200
