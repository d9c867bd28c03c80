"""A configuration that changes while the service runs: what is right takes
effect, what is wrong changes nothing, and both are said."""

import concurrent.futures
import json
import os
import re
import signal
import urllib.request

import pytest
import yaml

from support import small
from support.muster import merged
from support.process import free_port, wait_until, without_inotify

WRONG = "the changed configuration is wrong: the old one stays in force"
READ = "the configuration was read again"
TOKEN = re.compile("[0-9a-f]{64}")


def said(muster, msg, **want):
    """The lines of the log with this message, and these members."""
    found = []
    for line in muster.daemon.output().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("msg") == msg and all(
                row.get(k) == v for k, v in want.items()):
            found.append(row)
    return found


def wait_said(muster, msg, times=1, **want):
    """The last of them, once there are so many."""
    def there():
        found = said(muster, msg, **want)
        return len(found) >= times and found[-1]
    return muster.daemon.wait_for(there, 40, f"{msg!r} {want}")


def configuration(muster):
    return small.status(muster)["configuration"]


def replace(muster, name, text):
    """As editors and git write."""
    muster.write(name + ".new", text)
    os.rename(muster.path(name + ".new"), muster.path(name))


def configure(muster, **settings):
    """The same of settings: no half of it is read, and said."""
    muster.config = merged(muster.config, settings)
    replace(muster, "muster.yaml", yaml.safe_dump(
        muster.config, sort_keys=False))


def declare(muster, org):
    muster.org = org
    replace(muster, "org.json", json.dumps(org, indent=1))


def without_cleo():
    return small.org("anna.vp", "ben.man")


@pytest.fixture
def without_one(fakehs, muster_on):
    """(muster, homeserver): served and settled without cleo.ic, whom the
    homeserver keeps for us already."""
    return served_without_cleo(fakehs, muster_on)


@pytest.fixture
def without_one_on_conduit(conduit_fake, muster_on):
    """The same in Conduit's manner alone."""
    return served_without_cleo(conduit_fake, muster_on)


def served_without_cleo(hs, muster_on, before=None, **settings):
    muster = muster_on(hs, org=small.org(), **settings)
    muster.daemon.before = before
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.write_org(without_cleo())
    muster.start()
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)
    hs.clear_log()
    return muster, hs


def wait_cleo(muster, hs):
    muster.wait_handoff("cleo.ic")
    small.wait_settled(muster, hs)
    small.assert_as_declared(hs, muster)


# -- what is right


def test_somebody_joins_by_the_file_alone(without_one):
    muster, hs = without_one
    before = configuration(muster)
    assert before["error"] is None and before["registration"] == "current"
    declare(muster, small.org())
    wait_cleo(muster, hs)
    row = wait_said(muster, READ, why="a file changed")
    assert (row["agents"], row["agents_came"], row["agents_gone"],
            row["agents_changed"]) == (3, 1, 0, 0)
    # Her room with her manager comes, her team's and everybody's change.
    assert (row["rooms"], row["rooms_came"], row["rooms_gone"],
            row["rooms_changed"]) == (6, 1, 0, 2)
    assert configuration(muster)["loaded_ms"] > before["loaded_ms"]
    # Nobody else's account, token or room was touched.
    assert {r.body["username"] for r in hs.writes("POST", "/register$")} == {
        "cleo.ic"}
    assert len(hs.writes("POST", "/login$")) == 1
    assert len(hs.writes("POST", "/createRoom$")) == 1
    assert hs.find("PUT", "/send/m.room.message") == []


def test_somebody_joins_on_hangup(without_one_on_conduit):
    muster, hs = without_one_on_conduit
    declare(muster, small.org())
    muster.signal(signal.SIGHUP)
    wait_said(muster, READ, why="SIGHUP")
    wait_cleo(muster, hs)


def test_somebody_joins_where_nothing_tells_of_changes(
        conduit_fake, muster_on):
    """The system has no inotify for us, so it takes a look."""
    muster, hs = served_without_cleo(
        conduit_fake, muster_on, before=without_inotify,
        log={"level": "debug"})
    wait_said(muster, "changes of the configuration are watched for",
              by="looking")
    declare(muster, small.org())
    wait_cleo(muster, hs)


def test_inotify_is_used(conduit_fake, muster_on):
    muster, _ = served_without_cleo(
        conduit_fake, muster_on, log={"level": "debug"})
    wait_said(muster, "changes of the configuration are watched for",
              by="inotify")


def test_a_file_that_comes_to_be_named(without_one_on_conduit):
    """muster.yaml names another file, and from then on that one counts."""
    muster, hs = without_one_on_conduit
    muster.write("other.json", json.dumps(without_cleo()))
    muster.write_config(fleet={"org": "other.json"})
    wait_said(muster, READ)
    muster.org = small.org()
    replace(muster, "other.json", json.dumps(small.org()))
    wait_cleo(muster, hs)


def test_a_reloadable_setting(without_one_on_conduit):
    muster, _ = without_one_on_conduit
    muster.write_config(log={"format": "text"})
    wait_until(lambda: re.search(
        rf"^\S+ info  {READ}.* why=", muster.daemon.output(), re.M), 20,
        "a line for people")


def test_the_interval_is_shorter_from_now_on(without_one_on_conduit):
    """The next look is not the one that was set before."""
    muster, hs = without_one_on_conduit
    reads = len(hs.reads(r"/joined_members$"))
    muster.write_config(reconcile={"interval": "1s"})
    wait_until(lambda: len(hs.reads(r"/joined_members$")) >= reads + 6, 30,
               "look after look")


def test_touched_and_nothing_else(without_one_on_conduit):
    """It is read, and nothing is written: neither to the store nor to the
    homeserver, of which nothing is asked either."""
    muster, hs = without_one_on_conduit
    muster.reload()  # young files are not read a second time then
    times = len(said(muster, READ, why="a file changed"))
    small.write_store(hs)
    hs.wait_quiet()
    hs.clear_log()
    wal = os.stat(muster.path("muster.db-wal"))
    os.utime(muster.path("org.json"))
    row = wait_said(muster, READ, times + 1, why="a file changed")
    assert {row[f"{what}_{how}"] for what in ("agents", "rooms")
            for how in ("came", "gone", "changed")} == {0}
    small.wait_settled(muster, hs)
    now = os.stat(muster.path("muster.db-wal"))
    assert (now.st_size, now.st_mtime_ns) == (wal.st_size, wal.st_mtime_ns)
    assert hs.requests == []


# -- what is wrong


def test_a_half_written_file_changes_nothing(without_one):
    muster, hs = without_one
    text = json.dumps(small.org(), indent=1)
    half = text[:text.index("cleo.ic") + 4]
    replace(muster, "org.json", half)  # no smaller half is seen
    line = half.count("\n") + 1
    row = wait_said(muster, "a finding about the changed configuration")
    assert row["file"] == muster.path("org.json") and row["line"] == line
    assert row["level"] == "warn" and row["column"] > 0
    wait_said(muster, WRONG, findings=1)
    now = configuration(muster)
    assert now["error"].startswith(f"{muster.path('org.json')}:{line}:")
    assert now["registration"] == "current"
    assert small.status(muster)["ready"]
    assert f"org.json:{line}:" in muster.run("status", expect=0).out
    assert {a["user_id"] for a in muster.json("agents")} == {
        small.full("anna.vp"), small.full("ben.man")}
    assert hs.writes() == []
    # Once for each state of the files, however often it is looked at; a
    # signal asks for the words again.
    muster.signal(signal.SIGHUP)
    wait_said(muster, WRONG, times=2)
    assert len(said(muster, WRONG)) == 2
    declare(muster, small.org())
    wait_cleo(muster, hs)
    assert configuration(muster)["error"] is None
    assert len(said(muster, WRONG)) == 2
    assert "wrong" not in muster.run("status", expect=0).out


def test_a_running_service_is_asked_whatever_the_file_is(without_one):
    """It has what it read before: a file that is no YAML, as an editor that
    died leaves it, makes nobody end a container. It listens where environment
    and default say."""
    muster, _ = without_one
    path = muster.path("muster.yaml")
    with open(path, encoding="utf-8") as f:
        good = f.read()
    muster.write("muster.yaml", good + "log: {level: \n")
    wait_said(muster, WRONG, findings=1)
    assert json.loads(muster.run("healthcheck", "--json", expect=0).out) == {
        "ready": True, "why_not": []}
    assert muster.json("status")["configuration"]["error"].startswith(path)
    assert len(muster.json("agents")) == 2
    muster.run("retry", expect=0)
    assert f"{path}:" in muster.run("check", expect=2).err
    muster.stop()
    for verb in ("status", "healthcheck", "retry"):
        assert f"{path}:" in muster.run(verb, expect=2).err
    muster.write("muster.yaml", good)
    muster.run("healthcheck", expect=1)


def test_all_findings_are_said(without_one_on_conduit):
    muster, hs = without_one_on_conduit
    configure(
        muster, reconcile={"interval": "soon"}, log={"level": "loud"},
        homeserver={"url": "nowhere"})
    wait_said(muster, WRONG, findings=3)
    rows = said(muster, "a finding about the changed configuration")
    assert [r["text"].split(":")[0] for r in rows] == [
        "homeserver.url", "reconcile.interval", "log.level"]
    assert all(r["line"] > 0 for r in rows)


@pytest.mark.parametrize("name", ["org.json", "muster.yaml"])
def test_a_file_that_is_gone(without_one_on_conduit, name):
    muster, hs = without_one_on_conduit
    os.rename(muster.path(name), muster.path("away"))
    wait_said(muster, WRONG)
    assert name in configuration(muster)["error"]
    muster.org = small.org()
    muster.write("org.json", json.dumps(small.org()))
    if name == "muster.yaml":
        os.rename(muster.path("away"), muster.path(name))
    wait_cleo(muster, hs)
    assert configuration(muster)["error"] is None


def test_a_setting_that_holds_until_the_end(without_one_on_conduit):
    muster, hs = without_one_on_conduit
    configure(muster, handoff={"root": "elsewhere"},
              appservice={"sender_name": "Sergeant"})
    row = wait_said(muster, "a warning about the configuration", times=2)
    texts = [r["text"] for r in said(
        muster, "a warning about the configuration")]
    assert texts == [
        f"{path}: a change of it takes effect at the next start: until then "
        "it is as it was" for path in ("appservice.sender_name",
                                       "handoff.root")]
    assert row["file"] == muster.path("muster.yaml")
    lines = muster.read("muster.yaml").splitlines()
    assert "elsewhere" in lines[row["line"] - 1]
    assert configuration(muster)["error"] is None
    declare(muster, small.org())
    wait_until(lambda: os.path.exists(muster.path(
        "runtime", small.DEPARTMENT, "cleo.ic", "matrix.json")), 40,
        "a token where the service has handed over from the start")
    assert not os.path.exists(muster.path("elsewhere"))
    assert hs.user(small.SENDER).displayname == "Muster"


def test_metrics_say_so(conduit_fake, muster_on):
    port = free_port()
    muster, _ = served_without_cleo(
        conduit_fake, muster_on, ops={"listen": f"127.0.0.1:{port}"})

    def gauge():
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as got:
            text = got.read().decode()
        return [int(re.search(rf"^muster_{name} (\d)$", text, re.M).group(1))
                for name in ("configuration_wrong", "registration_outdated")]
    assert gauge() == [0, 0]
    muster.write("org.json", "{")
    wait_said(muster, WRONG)
    assert gauge() == [1, 0]


# -- who is outside the registered namespace


@pytest.fixture
def before_cleo(conduit_fake, muster_on, introduce):
    """(muster, homeserver): in Conduit's manner, introduced before anybody
    knew of cleo.ic; served and settled."""
    return introduced_without_cleo(conduit_fake, muster_on, introduce)


def introduced_without_cleo(hs, muster_on, introduce, **settings):
    muster = muster_on(hs, org=without_cleo(), **settings)
    introduce(muster, hs)
    muster.start()
    muster.wait_settled()
    hs.wait_quiet()
    hs.clear_log()
    return muster, hs


def newcomer_to(team):
    """The organisation with cleo.ic in a team of her own: an alias more."""
    org = small.org()
    org["people"][-1]["team"] = team
    return org


def wait_in(muster, hs, alias="optics-team"):
    muster.wait_handoff("cleo.ic")
    muster.wait_settled()
    assert small.agent(muster, "cleo.ic")["error"] is None
    assert hs.room(alias).membership(small.full("cleo.ic")) == "join"


def assert_registered_well(muster, hs, old):
    """The tokens are the same, the file is what the homeserver knows, and the
    message that had them is gone from the room."""
    new = muster.registration
    assert new["as_token"] == old["as_token"]
    assert new["hs_token"] == old["hs_token"]
    assert "cleo" in new["namespaces"]["users"][0]["regex"]
    command = hs.find("PUT", "/send/m.room.message")[-1]
    redaction = hs.find("PUT", "/redact/")[-1]
    assert command.answer["event_id"] in redaction.path
    assert redaction.status == 200
    muster.assert_no_secret_shown()


def test_conduit_is_told_of_a_newcomer(before_cleo):
    muster, hs = before_cleo
    old = muster.registration
    declare(muster, newcomer_to("Optics"))
    wait_in(muster, hs)
    assert_registered_well(muster, hs, old)
    assert len(hs.find("PUT", "/send/m.room.message")) == 1
    assert configuration(muster)["registration"] == "current"
    row = muster.json("audit")[0]
    assert (row["actor"], row["action"], row["subject"]) == (
        "muster", "register", small.full(small.SENDER))
    assert small.full("cleo.ic") in row["detail"]
    # And nothing more at the next start.
    muster.stop()
    hs.clear_log()
    muster.start()
    muster.wait_settled()
    assert hs.writes() == []


def test_conduit_is_told_at_the_start(before_cleo):
    muster, hs = before_cleo
    old = muster.registration
    muster.stop()
    declare(muster, newcomer_to("Optics"))
    muster.start()
    wait_in(muster, hs)
    assert_registered_well(muster, hs, old)


def test_a_team_that_is_new_is_enough(before_cleo):
    """Nobody new, but an alias."""
    muster, hs = before_cleo
    old = muster.registration
    org = without_cleo()
    org["people"][-1]["team"] = "Optics"
    declare(muster, org)
    muster.daemon.wait_for(
        lambda: hs.room("optics-team") is not None, 40, "the room is there")
    assert "optics" in muster.registration["namespaces"]["aliases"][0]["regex"]
    assert muster.registration["as_token"] == old["as_token"]
    assert len(hs.find("PUT", "/send/m.room.message")) == 1


def test_whoever_leaves_is_acted_for_until_retired(before_cleo):
    """A new registration covers the accounts that we still have to leave."""
    muster, hs = before_cleo
    org = newcomer_to("Optics")
    org["people"] = [p for p in org["people"] if p["name"] != "Ben Man"]
    org["people"][-1]["reportsTo"] = small.full("anna.vp")
    declare(muster, org)
    muster.wait_handoff("cleo.ic")
    users = muster.registration["namespaces"]["users"][0]["regex"]
    assert "ben" in users and "cleo" in users


def test_conduit_refuses(before_cleo):
    """Said in its words, in nobody's way, and tried again."""
    muster, hs = before_cleo
    muster.write("secrets/admin-password", "not the operator's\n")
    org = newcomer_to("Platform")
    org["people"].append(small.person(
        "dan.ic", "IC", "Platform", "ben.man", small.DEPARTMENT))
    declare(muster, org)
    row = wait_said(muster, "the registration is behind the fleet's files, "
                    "and could not be made anew")
    assert "admin-password is not right" in row["error"]
    assert row["again_in_ms"] > 0
    muster.daemon.wait_for(
        lambda: [small.agent(muster, a)["state"] for a in (
            "anna.vp", "ben.man", "cleo.ic", "dan.ic")] == [
            "handed_off", "handed_off", "blocked", "blocked"], 30,
        "the others are as they should be")
    assert configuration(muster)["registration"] == "outdated"
    assert "registration does not cover" in muster.run("status").out
    muster.write("secrets/admin-password", "operators-password\n")
    muster.wait_handoff("cleo.ic")
    muster.wait_handoff("dan.ic")
    assert configuration(muster)["registration"] == "current"
    muster.assert_no_secret_shown()


def test_no_administrator_is_made(before_cleo):
    """Of a name that is misspelt: somebody did register us."""
    muster, hs = before_cleo
    users = set(hs.world.users)
    muster.write_config(homeserver={"admin": {"user": "opperator"}})
    declare(muster, newcomer_to("Platform"))
    row = wait_said(muster, "the registration is behind the fleet's files, "
                    "and could not be made anew")
    assert "there is no account opperator on the homeserver" in row["error"]
    assert set(hs.world.users) == users
    muster.write_config(homeserver={"admin": {"user": "operator"}})
    muster.wait_handoff("cleo.ic")


@pytest.mark.parametrize("kind", ["synapse", "conduit"])
def test_by_hand_and_without_a_restart(
        kind, request, muster_on, introduce):
    """Where the service cannot do it by itself it names the commands, and a
    signal afterwards is enough."""
    hs = request.getfixturevalue(f"{kind}_fake")
    muster = muster_on(hs, org=without_cleo())
    introduce(muster, hs)
    muster.write_config(homeserver={"admin": None})
    muster.start()
    muster.wait_settled()
    declare(muster, newcomer_to("Optics"))
    row = wait_said(muster, "the registration is behind the fleet's files: "
                    "run `muster registration`, then `muster register`, and "
                    "send SIGHUP")
    assert row["first"] == small.full("cleo.ic")
    muster.daemon.wait_for(
        lambda: small.agent(muster, "cleo.ic")["state"] == "blocked", 30,
        "she is blocked")
    assert "SIGHUP" in small.agent(muster, "cleo.ic")["error"]
    assert configuration(muster)["registration"] == "outdated"
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.signal(signal.SIGHUP)
    wait_in(muster, hs)
    assert configuration(muster)["registration"] == "current"
    assert said(muster, "stopping") == []


@pytest.mark.parametrize("which", ["as_token", "hs_token"])
def test_a_registration_of_others_is_not_taken(before_cleo, which):
    """Other tokens than those that the listener and the clients have."""
    muster, _ = before_cleo
    text = muster.read("registration.yaml")
    token = muster.registration[which]
    muster.write("registration.yaml", text.replace(token, "0" * 64))
    muster.signal(signal.SIGHUP)
    row = wait_said(muster, "the registration stays as it was")
    assert "other tokens" in row["error"] and not TOKEN.search(row["error"])
    assert small.status(muster)["ready"]
    muster.write("registration.yaml", text)


# -- while others look


def test_exchanged_while_others_look(without_one_on_conduit):
    """Views, health and the homeserver's questions go on meanwhile."""
    muster, hs = without_one_on_conduit
    as_of = {"hs_token": muster.registration["hs_token"]}
    stop = []

    def look(path):
        n = 0
        while not stop:
            status, doc = small.ask(muster, path)
            assert status == 200, doc
            n += 1
        return n

    def ask():
        n = 0
        while not stop:
            user = urllib.request.Request(
                f"http://127.0.0.1:{muster.port}/_matrix/app/v1/users/"
                "%40anna.vp%3Afleet.test", headers={
                    "Authorization": "Bearer " + as_of["hs_token"]})
            with urllib.request.urlopen(user, timeout=20) as got:
                assert got.status == 200
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        try:
            lookers = [pool.submit(look, f"/v1/{view}") for view in (
                "agents", "rooms", "plan", "status")] + [pool.submit(ask)]
            for i in range(10):
                declare(muster, [small.org, without_cleo][i % 2]())
                muster.signal(signal.SIGHUP)
                wait_said(muster, READ, times=i + 1, why="SIGHUP")
        finally:
            stop.append(True)
        assert all(looker.result() > 0 for looker in lookers)
    declare(muster, small.org())
    muster.reload()
    small.wait_settled(muster, hs)
    assert small.agent(muster, "cleo.ic")["state"] == "handed_off"
    assert hs.room("platform-team").membership(small.full("cleo.ic")) == "join"
