"""A fleet that is as small as it can be and still has everything: a human and
three agents, of every kind of room one. What it must look like is written down
here by hand, and checked on the homeserver's side and on ours."""

import os
import stat

from support.client import Client
from support.muster import person
from support.process import wait_until

SERVER = "fleet.test"
SENDER = "muster"
HUMAN = "carla.ceo"
AGENTS = {  # localpart: (name, level, team, manager)
    "anna.vp": ("Anna Vp", "VP", None, HUMAN),
    "ben.man": ("Ben Man", "Manager", "Platform", "anna.vp"),
    "cleo.ic": ("Cléo \u201cC\u201d Ic", "IC", "Platform", "ben.man")}
DEPARTMENT = "Engineering"
ROOMS = {
    "all-employees": {HUMAN, *AGENTS},
    "engineering-leadership": {"anna.vp"},
    "platform-team": {"ben.man", "cleo.ic"}}
DIRECT = [("anna.vp", HUMAN), ("anna.vp", "ben.man"), ("ben.man", "cleo.ic")]


def full(localpart):
    return f"@{localpart}:{SERVER}"


def org(*localparts):
    """An org.json of the human and these agents, by default all."""
    return {"departments": [], "people": [
        person(HUMAN, "CEO", department="Executive", name="Carla Ceo"),
        *(person(localpart, level, team, manager, DEPARTMENT, name=name)
          for localpart, (name, level, team, manager) in AGENTS.items()
          if localpart in (localparts or AGENTS))]}


# -- how much of it a test has declared


def agents_of(muster):
    return {a: AGENTS[a] for a in muster.agents()}


def rooms_of(muster):
    """{alias: who is in it}, of the rules that its configuration has."""
    rules = muster.config.get("rooms")
    present = {HUMAN, *muster.agents()}
    return {alias: members & present for alias, members in ROOMS.items()
            if rules is None or alias in {rule["alias"] for rule in rules}}


def pairs_of(muster):
    """The direct rooms, each as a set of user ids."""
    present = {HUMAN, *muster.agents()}
    return [frozenset(map(full, pair)) for pair in DIRECT
            if set(pair) <= present]


# -- asking the service without starting a program


def ask(muster, path, method="GET", body=None):
    return muster.ask(path, method, body)


def status(muster):
    return ask(muster, "/v1/status")[1]


def steps(muster):
    """The plan of the running service as (kind, subject, room)."""
    return [(s["kind"], s["subject"], s["room"])
            for s in ask(muster, "/v1/plan")[1]["steps"]]


def agent(muster, localpart):
    """An agent's row, of the running service or of the store."""
    rows = muster.json("agents")
    return next(r for r in rows if r["user_id"] == full(localpart))


def wait_settled(muster, hs, bound=40):
    """Until the service is ready, has nothing more to do, and has been told
    everything that happened."""
    def settled():
        now = status(muster)
        left = steps(muster)
        return (now["ready"] and not left and all(
            s.idle() for s in hs.appservices.values())
            and steps(muster) == []) or None
    return muster.daemon.wait_for(settled, bound, "everything is as declared")


def come_in(muster, hs):
    """The human accepts every invitation: (muster, homeserver, human), and
    the log of requests empty."""
    human = hs.human(HUMAN)
    for room in list(hs.world.rooms.values()):
        if room.membership(full(HUMAN)) == "invite":
            human.join(room.room_id)
    wait_settled(muster, hs)
    hs.clear_log()
    return muster, hs, human


def write_store(hs):
    """Something that the service has to keep. By itself it tries whether it
    can, half a minute after it has last kept something."""
    user = full("passer-by")
    assert hs.push([{
        "type": "m.room.member", "event_id": "$kept", "sender": user,
        "room_id": f"!elsewhere:{SERVER}", "state_key": user,
        "origin_server_ts": 1, "content": {"membership": "join"}}],
        "to-be-kept").status == 200


# -- looking


def about(requests, localpart):
    """Those of the requests that somebody made, or that name them."""
    return [r for r in requests if r.user == full(localpart)
            or isinstance(r.body, dict)
            and r.body.get("user_id") == full(localpart)]


def removals(muster, room, localpart):
    """Who is known to have put them out of the room, oldest first."""
    return muster.query(
        "SELECT removed_by, ban FROM removal WHERE room_id = ? "
        "AND user_id = ? ORDER BY at_ms, id", room.room_id, full(localpart))


def reasons(muster, kind, localpart, alias):
    """Why this was done, of everything that was, oldest first."""
    return [reason for reason, in muster.query(
        "SELECT reason FROM journal WHERE kind = ? AND subject = ? "
        "AND room = ? AND state = 'done' ORDER BY id", kind,
        full(localpart), f"#{alias}:{SERVER}")]


def room_of(hs, pair):
    """The rooms of the homeserver that are between these two alone."""
    with hs.lock:
        return [room for room in hs.world.rooms.values()
                if not room.aliases and pair == {
                    key for (kind, key) in room.state
                    if kind == "m.room.member"}]


def memberships(hs):
    """{(room id, user id): membership}, but of the admin room."""
    with hs.lock:
        return {(room.room_id, key): event["content"]["membership"]
                for room in hs.world.rooms.values()
                if not (hs.admin and room is hs.admin.room)
                for (kind, key), event in room.state.items()
                if kind == "m.room.member"}


def stored_memberships(muster):
    return {(room, user): membership for room, user, membership in
            muster.query("SELECT room_id, user_id, membership "
                         "FROM membership")}


def events_of(room, localpart):
    """How a member's state went: ["invite", "join"]"""
    return [e["content"]["membership"] for e in room.events
            if e["type"] == "m.room.member"
            and e["state_key"] == full(localpart)]


def assert_accounts(hs, muster):
    """Each of ours is there, nobody else is, and looks as it should."""
    agents = agents_of(muster)
    others = {full(HUMAN), full("operator"), full("conduit")}
    assert set(hs.world.users) - others == set(map(full, [SENDER, *agents]))
    for localpart in [SENDER, *agents]:
        user = hs.user(localpart)
        assert user.registered
        assert bool(user.password) == hs.conduit, localpart
    for localpart, (name, *_) in agents.items():
        assert hs.user(localpart).displayname == name
        assert set(hs.user(localpart).devices) == {"MUSTER"}
    assert hs.user(SENDER).displayname == "Muster"
    assert hs.user(SENDER).devices == {}


def assert_tokens(hs, muster, crashed=False):
    """Every agent's file is whole, private, alone but for the writers' lock (a
    writer that was killed may leave its half), and its token good."""
    for localpart in agents_of(muster):
        folder = muster.path("runtime", DEPARTMENT, localpart)
        for name in os.listdir(folder):
            assert name in ("matrix.json", ".matrix.json.lock") or (
                crashed and name.startswith(".matrix.json."))
            mode = os.stat(os.path.join(folder, name)).st_mode
            assert stat.S_IMODE(mode) == 0o600
        got = muster.handoff(localpart)
        assert got["user_id"] == full(localpart)
        assert got["device_id"] == "MUSTER"
        assert got["homeserver"] == muster.config["homeserver"]["url"]
        who = Client(hs.url, got["access_token"]).whoami()
        assert who.status == 200, (localpart, who)
        assert who.body["user_id"] == full(localpart)
        assert who.body["device_id"] == "MUSTER"
        assert not who.body.get("is_guest")


def assert_policy_rooms(hs, muster, human="invite"):
    for alias, members in rooms_of(muster).items():
        room = hs.room(alias)
        assert room, f"no room {alias}"
        assert {key: e["content"]["membership"]
                for (kind, key), e in room.state.items()
                if kind == "m.room.member"} == {
            full(SENDER): "join",
            **{full(m): human if m == HUMAN else "join" for m in members}}
        assert room.content("m.room.join_rules")["join_rule"] == "invite"
        assert room.public is False
        assert room.power(full(SENDER)) >= 100
        assert room.power(full(HUMAN)) == 100
        assert all(room.power(full(a)) == 0 for a in AGENTS)
        # Nobody sees an invitation twice, or joins twice.
        for member in members:
            came = human if member == HUMAN else "join"
            assert events_of(room, member) == ["invite", "join"][
                :1 if came == "invite" else 2]


def assert_direct_rooms(hs, muster, human="invite"):
    """One for each pair, none of the service's user, marked on the agents'
    sides only."""
    found = {}
    for pair in pairs_of(muster):
        rooms = room_of(hs, pair)
        assert len(rooms) == 1, (pair, rooms)
        room = found[pair] = rooms[0]
        assert room.creators() & set(map(full, AGENTS))
        for user in pair:
            assert room.membership(user) == (
                human if user == full(HUMAN) else "join")
        name = room.content("m.room.name").get("name")
        if full(HUMAN) in pair:
            other, = pair - {full(HUMAN)}
            assert name == AGENTS[other[1:].split(":")[0]][0]
        else:
            assert name is None
    for localpart in agents_of(muster):
        marks = hs.user(localpart).account_data.get("m.direct", {})
        assert marks == {
            other: [found[pair].room_id] for pair in found
            if full(localpart) in pair
            for other in pair - {full(localpart)}}
    if full(HUMAN) in hs.world.users:
        assert "m.direct" not in hs.user(HUMAN).account_data


def assert_as_declared(hs, muster, human="invite", crashed=False):
    """All of it, on both sides."""
    try:
        assert_accounts(hs, muster)
        assert_tokens(hs, muster, crashed)
        assert_policy_rooms(hs, muster, human)
        assert_direct_rooms(hs, muster, human)
        ours = len(rooms_of(muster)) + len(pairs_of(muster))
        assert len(hs.world.rooms) == ours + hs.conduit, "a room too many"
        wait_until(lambda: stored_memberships(muster) == memberships(hs), 10,
                   "the store knows who is in which room")
    except AssertionError as e:
        raise AssertionError(f"{e}\n{hs.world.snapshot()}\n"
                             f"{muster.tail(60)}") from e
