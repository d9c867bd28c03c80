"""`muster adopt`: what it refuses, what it asks for, and that it may be ended at
any moment."""

import glob
import os
import pty
import re
import select
import signal
import threading

import pytest

from support.client import V3, Client
from support.fakehs import answer, reset_before
from support.muster import binary, person
from support.oldfleet import OWNER_PASSWORD, OldFleet
from support.process import environment

SERVER = "fleet.test"
OWNER = "carla.ceo"
AGENTS = ("vera.vp", "dirk.dir", "mona.man")
PAIRS = (("carla.ceo", "vera.vp"), ("vera.vp", "dirk.dir"),
         ("dirk.dir", "mona.man"))


def full(localpart):
    return f"@{localpart}:{SERVER}"


def organisation():
    return {"departments": [], "people": [
        person(OWNER, "CEO", department="Executive"),
        person("vera.vp", "VP", manager=OWNER),
        person("dirk.dir", "Director", "Platform", "vera.vp"),
        person("mona.man", "Manager", "Platform", "dirk.dir")]}


def old_fleet(hs):
    """Complete: nothing of it is to be made again."""
    old = OldFleet(hs, OWNER, AGENTS)
    old.make_room("all-employees", AGENTS)
    old.make_room("engineering-leadership", AGENTS[:2])
    old.make_room("platform-team", AGENTS[1:], old.agents["dirk.dir"])
    for pair in PAIRS:
        old.make_direct(*pair)
    return old


class Moving:
    """An old fleet, and a service that is registered and never ran."""

    def __init__(self, hs, muster):
        self.hs, self.muster = hs, muster
        if hs.admin:
            hs.operator()
        self.old = old_fleet(hs)
        muster.write("secrets/owner", OWNER_PASSWORD)
        self.use_owner(OWNER)
        muster.run("registration", expect=0)
        hs.add_appservice(muster.registration_path)
        Client(hs.url, muster.registration["as_token"]).ok(
            "POST", f"{V3}/register", {
                "type": "m.login.application_service", "username": "muster",
                "inhibit_login": True})
        hs.wait_delivered()
        hs.clear_log()

    def use_owner(self, user):
        self.muster.write_config(homeserver={"admin": {
            "user": user, "password": {"file": "secrets/owner"}}})

    def nobody(self):
        """No owner is configured."""
        del self.muster.config["homeserver"]["admin"]
        self.muster.write_config()

    def launch(self):
        self.muster.daemon.launch(
            [binary(), "-c", self.muster.path("muster.yaml"), "adopt",
             "--yes"], env=environment(), cwd=self.muster.dir)

    def assert_untouched(self):
        """But for a session of the owner that was begun, and has ended."""
        for client in self.old.agents.values():
            assert client.whoami().status == 200
        assert all(r.path.endswith(("/login", "/logout"))
                   for r in self.hs.writes()), self.hs.writes()
        assert len(self.hs.user(OWNER).devices) == 1

    def assert_moved(self):
        """Served, everything is as it was before, and ours."""
        hs, muster, before = self.hs, self.muster, set(self.hs.world.rooms)
        muster.start()
        muster.wait_settled()
        assert set(hs.world.rooms) == before
        rooms = {r["alias"] or frozenset(r["declared"]): r
                 for r in muster.json("rooms")}
        assert {k: r["room_id"] for k, r in rooms.items()} == {
            **self.old.rooms, **self.old.direct}
        for room in rooms.values():
            assert room["missing"] == [] and room["held"] == []
        for localpart in AGENTS:
            token = muster.handoff(localpart)["access_token"]
            assert token in hs.tokens_of(localpart)
            assert set(hs.user(localpart).devices) == {"MUSTER"}
            assert self.old.agents[localpart].whoami().status == 401
        for room_id in self.old.rooms.values():
            assert hs.room(room_id).content("m.room.join_rules")[
                "join_rule"] == "invite"
            assert not hs.room(room_id).public


@pytest.fixture
def moving(fakehs, muster_on):
    return Moving(fakehs, muster_on(fakehs, org=organisation()))


def said_of(result, what):
    """Each time it was told of."""
    return [line.split("  ", 2)[2] for line in result.out.splitlines()
            if line.startswith(f"  {what}  ")]


def test_all_of_it(moving):
    got = moving.muster.run("adopt", "--yes", expect=0)
    assert "@vera.vp:fleet.test  is ours now" in got.out
    assert got.out.splitlines()[-1] == "done: next, `muster serve`"
    assert said_of(got, f"#all-employees:{SERVER}") == [
        f"to be taken up: {full(OWNER)} gives power",
        f"is ours now: {full(OWNER)} gave power; only who is asked in comes in "
        "from now on; no longer in the public list of rooms"]
    assert said_of(got, "direct rooms") == [
        "0 of 3 are ours; others are looked for in each account that is taken "
        "over", "3 of 3 are ours"]
    hs = moving.hs
    assert len(hs.user(OWNER).devices) == 1
    # All without the service: agents could work, and nobody else comes in.
    for localpart in AGENTS:
        assert hs.tokens_of(localpart) == [
            moving.muster.handoff(localpart)["access_token"]]
        assert hs.user(localpart).displayname == localpart.replace(
            ".", " ").title()
    for room_id in moving.old.rooms.values():
        assert hs.room(room_id).content("m.room.join_rules")[
            "join_rule"] == "invite"
    # What the homeserver sent meanwhile was taken, but perhaps the last of it,
    # and not a word of that is between those to the person.
    assert 200 in {d.status for d in hs.deliveries}
    assert got.err == ""
    moving.assert_moved()
    assert moving.muster.run("plan").code == 0


class Killer:
    """Kills `muster adopt` at its nth write: before it is carried out, and then
    it never is; or after it, and then nobody is told."""

    def __init__(self, hs, phase):
        self.hs, self.phase = hs, phase
        self.left = None
        self.process = None
        self._known = threading.Event()  # which process that is
        hs.on_request(self._on_write)

    def _on_write(self, _index, phase, _method, _path):
        if phase != self.phase or self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            self._known.wait(60)
            self.process.kill()
            if phase == "before":
                self.hs.fault("*", "", reset_before())

    def run(self, moving, n):
        """False when it came to its end before."""
        self._known.clear()
        self.left = n
        moving.launch()
        self.process = moving.muster.daemon.process
        self._known.set()
        code = moving.muster.daemon.wait_exit(60)
        self.left = None
        self.hs.clear_faults()
        assert code in (0, -signal.SIGKILL), (n, moving.muster.tail())
        return code != 0


@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_at_any_write(fakehs, muster_on, phase):
    """Each request that changes something is the last one once. Another run does
    the rest, and nothing is made twice, lost, or left open."""
    hs, killer, n = fakehs, Killer(fakehs, phase), 0
    while n < 60:
        for id in list(hs.appservices):
            hs.unregister_appservice(id)
        hs.wipe()
        moving = Moving(hs, muster_on(hs, name=f"m{n}", org=organisation()))
        killed = killer.run(moving, n)
        if killed:
            moving.muster.run("adopt", "--yes", expect=0)
        moving.assert_moved()
        moving.muster.stop()
        if not killed:
            break
        n += 1
    assert 20 < n < 60


# -- what it refuses, before anything is changed


def test_wrong_password_of_the_owner(moving):
    moving.muster.write("secrets/owner", "not the owner's")
    got = moving.muster.run("adopt", "--yes", expect=1)
    assert ("the password of carla.ceo is not right: it is "
            "homeserver.admin.password") in got.err.splitlines()[-1]
    moving.assert_untouched()


def test_owner_who_has_no_power(moving):
    """All that is possible is done; what is missing is said, with who has it."""
    helga = moving.hs.human("helga", "helga's")
    helga.join(moving.old.rooms[f"#all-employees:{SERVER}"])
    got = moving.muster.run("adopt", "--yes", "--owner", "helga", "--json",
                            input="helga's\n", expect=3)
    rooms = {r["alias"]: r for r in got.json["rooms"]}
    lost = rooms[f"#all-employees:{SERVER}"]
    assert lost["is"] == "missing" and not lost["taken"]
    assert f"power in it has {full(OWNER)}: run" in lost["text"]
    assert rooms[f"#platform-team:{SERVER}"]["taken"]
    assert all(a["handed_off"] for a in got.json["agents"])
    assert got.json["left"] == 2
    assert got.err.splitlines()[-1] == (
        "muster: done, but for 2 that were left alone: see above")
    # They are in that room, and it is declared all the same.
    assert all(a["others"] == [] for a in got.json["agents"])
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_what_the_old_fleet_lacked(moving):
    """One is not in her room, and two have none of their own."""
    old, team = moving.old, f"#platform-team:{SERVER}"
    dirk, mona = old.agents["dirk.dir"], old.agents["mona.man"]
    mona.leave(old.rooms[team])
    two = frozenset((dirk.user_id, mona.user_id))
    gone = old.direct.pop(two)
    for client in (dirk, mona):
        client.leave(gone)
        client.ok("PUT", f"{V3}/user/{client.user_id}/account_data/m.direct",
                  {})
    got = moving.muster.run("adopt", "--yes", expect=0)
    assert said_of(got, team)[1].endswith(
        "; 1 of its 2 members is not in it: `muster serve` sees to that")
    assert said_of(got, "direct rooms")[1] == (
        "2 of 3 are ours; the others are for `muster serve`")
    got = moving.muster.run("adopt", "--dry-run", expect=0)
    assert said_of(got, "direct rooms") == [
        "2 of 3 are ours; the others are for `muster serve`"]
    moving.muster.start()
    moving.muster.wait_settled()
    rooms = {r["alias"] or frozenset(r["declared"]): r
             for r in moving.muster.json("rooms")}
    assert rooms[team]["missing"] == []
    assert rooms[two]["room_id"] not in (None, gone)


def test_rooms_that_nothing_declares(moving):
    """Each is told once, with who is in it."""
    old = moving.old
    two = old.agents["dirk.dir"].create_room(
        name="a project", invite=[full("mona.man")])
    old.agents["mona.man"].join(two)
    one = old.agents["vera.vp"].create_room(name="notes")
    got = moving.muster.run("adopt", "--yes", expect=0)
    said = [line.strip() for line in got.out.splitlines()
            if "nothing declares it" in line]
    assert sorted(said) == sorted([
        f"{two}  nothing declares it: left as it is, with "
        f"{full('dirk.dir')} and 1 more agent in it",
        f"{one}  nothing declares it: left as it is, with "
        f"{full('vera.vp')} in it"])
    moving.assert_moved()


def test_token_of_the_owner(moving):
    """It is used, and stays."""
    moving.nobody()
    got = moving.muster.run("adopt", "--yes", "--token",
                            input=moving.old.owner.token + "\n", expect=0)
    assert moving.old.owner.token not in got.out + got.err
    assert moving.old.owner.whoami().status == 200
    moving.assert_moved()


@pytest.mark.parametrize("words, given, said", [
    (["--token"], "nobodys_token", "does not know the token"),
    (["--token", "--owner", "helga"], None, "is that of @carla.ceo:"),
    (["--owner", "helga"], "", "first line of the standard input"),
    (["--owner", "vera.vp"], "anything", "is not right|in the namespace")])
def test_owner_who_is_none(moving, words, given, said):
    got = moving.muster.run(
        "adopt", "--yes", *words, expect=1,
        input=(moving.old.owner.token if given is None else given) + "\n")
    assert re.search(said, got.err.splitlines()[-1]), got
    moving.assert_untouched()


def test_nobody_owns_anything(moving):
    moving.nobody()
    got = moving.muster.run("adopt", "--dry-run", "--json", expect=3)
    assert {r["is"] for r in got.json["rooms"]} == {"agent", "missing"}
    moving.assert_untouched()


def test_it_is_not_registered(fakehs, muster_on):
    muster = muster_on(fakehs, org=organisation())
    got = muster.run("adopt", "--yes", expect=2)
    assert "muster registration" in got.err.splitlines()[-1]
    muster.run("registration", expect=0)
    got = muster.run("adopt", "--yes", expect=1)
    assert "run `muster register` first" in got.err.splitlines()[-1]


def test_a_name_that_is_no_agents(moving):
    got = moving.muster.run("adopt", "somebody", "--yes", expect=2)
    assert "somebody is no agent of the fleet" in got.err
    moving.assert_untouched()


def test_outside_the_namespace(moving):
    """Somebody new, whom nobody has registered yet."""
    org = organisation()
    org["people"].append(person("nina.new", "IC", "Platform", "mona.man"))
    moving.muster.write_org(org)
    got = moving.muster.run("adopt", "--yes", "--json", expect=3)
    nina, = (a for a in got.json["agents"] if a["is"] == "outside")
    assert nina["user_id"] == full("nina.new")
    assert "muster registration" in nina["text"]


def test_two_aliases_of_one_room(moving):
    """It is one room's; the other alias gets a room of its own."""
    team, leaders = (f"#{name}:{SERVER}" for name in (
        "platform-team", "engineering-leadership"))
    hs = moving.hs
    with hs.lock:
        hs.world.aliases[team] = hs.world.aliases[leaders]
    got = moving.muster.run("adopt", "--yes", "--json", expect=0)
    rooms = {r["alias"]: r for r in got.json["rooms"]}
    assert rooms[leaders]["room_id"] == moving.old.rooms[leaders]
    assert (rooms[team]["is"], rooms[team]["room_id"]) == ("none", None)
    moving.muster.start()
    moving.muster.wait_settled()
    now = {r["alias"]: r["room_id"] for r in moving.muster.json("rooms")
           if r["kind"] == "room"}
    assert now[leaders] == moving.old.rooms[leaders]
    assert now[team] not in (None, *moving.old.rooms.values())


def test_direct_rooms_that_nobody_lists(moving):
    """A room of the two alone is theirs; one with a name, that one has left, or in
    which somebody else was, is not."""
    old, hs, muster = moving.old, moving.hs, moving.muster
    vera, dirk, mona = (old.agents[a] for a in AGENTS)
    for client in (vera, dirk, mona):
        client.ok("PUT", f"{V3}/user/{client.user_id}/account_data/m.direct",
                  {})
    # These two have none any more, as one of them has left it.
    gone = old.direct.pop(frozenset((dirk.user_id, mona.user_id)))
    dirk.leave(gone)
    named = dirk.create_room(invite=[mona.user_id], name="a project")
    mona.join(named)
    third = dirk.create_room(invite=[mona.user_id, vera.user_id])
    for client in (mona, vera):
        client.join(third)
    vera.leave(third)
    got = muster.run("adopt", "--yes", "--json", expect=0)
    others = {a["user_id"]: set(a["others"]) for a in got.json["agents"]}
    assert others == {full("vera.vp"): set(), full("dirk.dir"): {
        named, third}, full("mona.man"): {named, third, gone}}
    assert got.json["direct_rooms"] == len(old.direct)
    before = set(hs.world.rooms)
    muster.start()
    muster.wait_settled()
    made, = set(hs.world.rooms) - before
    direct = {frozenset(r["declared"]): r["room_id"]
              for r in muster.json("rooms") if r["kind"] == "direct"}
    assert direct == {**old.direct, frozenset(
        (dirk.user_id, mona.user_id)): made}
    marks = Client(hs.url, muster.registration["as_token"],
                   acting_as=vera.user_id).account_data("m.direct")
    assert marks == {u: [r] for u, r in (
        (full(OWNER), direct[frozenset((full(OWNER), vera.user_id))]),
        (dirk.user_id, direct[frozenset((dirk.user_id, vera.user_id))]))}


def test_only_who_is_named(moving):
    got = moving.muster.run("adopt", "dirk.dir", "--yes", "--json", expect=3)
    assert [a["user_id"] for a in got.json["agents"] if a["taken"]] == [
        full("dirk.dir")]
    assert moving.old.agents["vera.vp"].whoami().status == 200
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_the_homeserver_goes_away(moving):
    """It ends with what was done, and another run does the rest."""
    moving.hs.fault("POST", "/logout/all", reset_before(), skip=1, times=None)
    got = moving.muster.run("adopt", "--yes", "--json", expect=1)
    assert "logout/all" in got.err.splitlines()[-1]
    assert [a["taken"] for a in got.json["agents"]].count(True) == 1
    moving.hs.clear_faults()
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_an_old_program_that_goes_on(moving):
    """What still has a session is none of ours, and somebody must stop it."""
    moving.hs.fault("POST", "/logout/all", answer(200, {}))
    got = moving.muster.run("adopt", "--yes", "--json", expect=3)
    left, = (a for a in got.json["agents"] if not a["taken"])
    assert "is its old program still logging in? Stop it" in left["text"]
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_a_name_that_is_right_is_left(moving):
    vera = moving.old.agents["vera.vp"]
    vera.ok("PUT", f"{V3}/profile/{vera.user_id}/displayname",
            {"displayname": "Vera Vp"})
    moving.hs.clear_log()
    moving.muster.run("adopt", "--yes", expect=0)
    named = [r.path for r in moving.hs.writes()
             if r.path.endswith("/displayname")]
    assert len(named) == 2 and not any("vera.vp" in path for path in named)


def test_one_that_is_refused_is_in_nobodys_way(moving):
    moving.hs.fault("POST", "/logout/all", answer(
        403, {"errcode": "M_FORBIDDEN", "error": "not this one"}))
    got = moving.muster.run("adopt", "--yes", "--json", expect=3)
    taken = {a["user_id"]: a["taken"] for a in got.json["agents"]}
    assert list(taken.values()).count(True) == 2
    refused, = (a for a in got.json["agents"] if not a["taken"])
    assert "could not be taken: " in refused["text"]
    assert "not this one" in refused["text"]
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_a_signal_ends_it_in_good_order(moving):
    hs = moving.hs

    def on_write(_index, phase, _method, path):
        if phase == "before" and path.endswith("/logout/all"):
            moving.muster.daemon.signal(signal.SIGTERM)
    hs.on_request(on_write)
    moving.launch()
    assert moving.muster.daemon.wait_exit(60) == 1
    hs.watchers.clear()
    assert "nothing is lost" in moving.muster.tail()
    assert len(hs.user(OWNER).devices) == 1  # its session has ended
    moving.muster.run("adopt", "--yes", expect=0)
    moving.assert_moved()


def test_an_administrator_is_no_agent_unawares(conduit_fake, muster_on):
    """The first who registered with Conduit was an agent of the old fleet."""
    moving = Moving(conduit_fake, muster_on(conduit_fake, org=organisation()))
    admins = moving.hs.room("admins")
    with moving.hs.lock:
        moving.hs.world.set_member(
            admins, moving.hs.bot_id, full("mona.man"), "invite")
        moving.hs.world.set_member(
            admins, full("mona.man"), full("mona.man"), "join")
    got = moving.muster.run("adopt", "--yes", "--json", expect=3)
    mona, = (a for a in got.json["agents"] if a["is"] == "administrator")
    assert mona["user_id"] == full("mona.man") and not mona["taken"]
    assert moving.old.agents["mona.man"].whoami().status == 200
    got = moving.muster.run("adopt", "mona.man", "--yes", expect=0)
    moving.assert_moved()


def test_account_that_lost_its_store(moving):
    """Made by us, and never logged in to: the service cannot know it."""
    org = organisation()
    org["people"].append(person("nina.new", "IC", "Platform", "mona.man"))
    moving.muster.write_org(org)
    moving.muster.run("registration", expect=0)
    moving.hs.add_appservice(moving.muster.registration_path)
    Client(moving.hs.url, moving.muster.registration["as_token"]).ok(
        "POST", f"{V3}/register", {
            "type": "m.login.application_service", "username": "nina.new",
            "inhibit_login": True})
    got = moving.muster.run("adopt", "--yes", "--json", expect=0)
    nina, = (a for a in got.json["agents"] if a["is"] == "unused")
    assert nina["user_id"] == full("nina.new") and nina["handed_off"]


def test_tokens_that_were_taken_away_stay_so(moving):
    """The store is lost, and only a tombstone tells."""
    moving.muster.run("adopt", "--yes", expect=0)
    moving.muster.start()
    moving.muster.wait_settled()
    moving.muster.run("revoke", "vera.vp", expect=0)
    moving.muster.stop()
    for path in glob.glob(moving.muster.path("muster.db*")):
        os.unlink(path)
    got = moving.muster.run("adopt", "--yes", "--json", expect=3)
    vera, = (a for a in got.json["agents"] if a["is"] == "revoked")
    assert vera["user_id"] == full("vera.vp") and not vera["taken"]
    assert moving.hs.tokens_of("vera.vp") == []


# -- at a terminal


def at_a_terminal(moving, *words, answers=()):
    """What a person sees who answers each question (a part of it) so; and the
    exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(moving.muster.dir)
        os.execve(binary(), [binary(), "-c", "muster.yaml", "adopt", *words],
                  environment())
    seen, answers = b"", list(answers)
    try:
        while True:
            ready, _, _ = select.select([fd], [], [], 60)
            assert ready, seen
            try:
                more = os.read(fd, 4096)
            except OSError:  # how Linux says that nobody is left
                break
            if not more:
                break
            seen += more
            if answers and answers[0][0].encode() in seen:
                os.write(fd, answers.pop(0)[1].encode() + b"\n")
    finally:
        os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert not answers, (answers, seen)
    return seen.decode(), code


def test_a_person_is_asked(moving):
    moving.nobody()
    seen, code = at_a_terminal(moving, answers=[
        ("Who made them?", OWNER), ("not kept: ", OWNER_PASSWORD),
        ("[y/N]", "y")])
    assert code == 0, seen
    assert OWNER_PASSWORD not in seen
    moving.assert_moved()


def test_a_person_is_asked_for_another_owner(moving):
    """Who is configured has no power anywhere: a person knows who has."""
    moving.hs.human("helga", OWNER_PASSWORD)
    moving.use_owner("helga")
    seen, code = at_a_terminal(moving, answers=[
        ("Who made them?", OWNER), (f"of {OWNER}, ", OWNER_PASSWORD),
        ("[y/N]", "y")])
    assert code == 0, seen
    assert {len(moving.hs.user(u).devices) for u in ("helga", OWNER)} == {1}
    moving.assert_moved()


@pytest.mark.parametrize("answers", [
    [("Who made them?", "\x03")], [("Who made them?", ""), ("[y/N]", "\x03")]])
def test_a_signal_is_no_answer(moving, answers):
    """Whoever ends it at a question is asked no other one."""
    moving.nobody()
    seen, code = at_a_terminal(moving, answers=answers)
    assert "nothing was done" in seen.splitlines()[-1]
    assert seen.count("[y/N]") == len(answers) - 1
    assert code in (1, 3)
    moving.assert_untouched()


def test_a_person_says_no(moving):
    seen, code = at_a_terminal(
        moving, "--json", answers=[("[y/N]", "n")])
    assert '"dry_run":false' in seen
    assert code == 3 and "nothing was done" in seen
    moving.assert_untouched()
