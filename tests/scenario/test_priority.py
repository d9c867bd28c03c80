"""What comes first: the service's own user, then one agent after the other
with what it needs to work, then people, then direct rooms, then what is only
for show."""

import threading

import pytest

from support import small
from support.fakehs import hold
from support.muster import person
from support.process import wait_until
from support.small import HUMAN, SENDER, full

ALL = "all-employees"


def company(n):
    """So many agents, in teams of ten, of one manager, who is a person."""
    people = [person(HUMAN, "CEO", department="Executive", name="Carla")]
    people += [person(f"agent{i:03}", "IC", f"Team {i // 10}", HUMAN)
               for i in range(n)]
    return {"departments": [], "people": people}


def agent(i):
    return full(f"agent{i:03}")


def place(hs, method, path, check=lambda r: True):
    """Where such requests stand among all: indexes, from the first on."""
    return [r.index for r in hs.find(method, path) if check(r)]


def named(user_id):
    return lambda r: user_id in (r.user, r.body.get("user_id"),
                                 f"@{r.body.get('username')}:fleet.test")


@pytest.fixture(params=[1, 8])
def made(conduit_fake, muster_on, request):
    """(muster, homeserver): sixty agents from nothing; by one worker, and by
    as many as there are."""
    hs = conduit_fake
    muster = muster_on(
        hs, org=company(60), reconcile={"concurrency": request.param},
        direct={"manager_peers": False, "team_peers": False})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    return muster, hs


def test_from_nothing(made):
    muster, hs = made
    direct = place(hs, "POST", "/createRoom$",
                   lambda r: r.body.get("is_direct"))
    rooms = place(hs, "POST", "/createRoom$",
                  lambda r: not r.body.get("is_direct"))
    registers = place(hs, "POST", "/register$")
    joins = place(hs, "POST", "/join$")
    assert (len(direct), len(rooms), len(registers)) == (60, 7, 61)
    # The service's own user before all.
    sender = place(hs, "*", "/(register|displayname)$", named(full(SENDER)))
    assert hs.writes()[0].index == sender[0]
    assert sender[-1] < min(i for i in registers if i != sender[0])
    # Agents are made in their order, and the rooms of the first ones before
    # the accounts of those who are far behind.
    logins = {r.body["identifier"]["user"]: r.index
              for r in hs.find("POST", "/login$")}
    first = place(hs, "POST", "/join$", lambda r: r.user == agent(0))
    assert len(first) == 2 and len(logins) == 60
    assert logins[agent(0)] < first[0]
    assert first[-1] < registers[-1]
    assert first[-1] < logins[agent(40)]
    last = place(hs, "POST", "/join$", lambda r: r.user == agent(59))
    assert len(last) == 2 and last[0] > registers[-1]
    # People are asked when agents are there; then come direct rooms.
    human = place(hs, "POST", "/invite$", named(full(HUMAN)))
    assert len(human) == 1
    # What is under way when something else begins, on a busy machine, too.
    slack = 4 * muster.config["reconcile"]["concurrency"]
    assert human[0] > sorted(joins)[-1] - slack
    assert human[0] < direct[0] + slack
    assert sorted(joins)[-1] < direct[0] + slack
    # Their lists last of all.
    marks = place(hs, "PUT", r"/m\.direct$")
    assert len(marks) == 60 and marks[0] > direct[-1]
    assert hs.log.overlaps == [] and hs.crossings == []


def test_names_and_topics_come_last(conduit_fake, muster_on):
    """What is only for show waits until all have their rooms."""
    hs = conduit_fake
    rules = [{"alias": ALL, "members": {"everyone": True}},
             {"alias": "{team}-team", "members": {"team": "{team}"}}]
    muster = muster_on(
        hs, org=company(20), reconcile={"concurrency": 1}, rooms=rules,
        direct={"manager_peers": False, "team_peers": False})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    muster.stop()
    hs.clear_log()
    # Another topic, another name of somebody, five agents more; and one of
    # those who are there was put out.
    rules[0]["topic"] = "Everybody"
    org = company(25)
    org["people"][1]["name"] = "Somebody Else"
    muster.write_org(org)
    muster.write_config(rooms=rules)
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    human = hs.human(HUMAN)
    human.join(hs.room(ALL).room_id)
    human.kick(hs.room(ALL).room_id, agent(7))
    muster.start(ready=False)
    small.wait_settled(muster, hs)
    topic, = place(hs, "PUT", r"/state/m\.room\.topic")
    name, = place(hs, "PUT", r"/profile/@agent000:fleet\.test/displayname$")
    direct = place(hs, "POST", "/createRoom$",
                   lambda r: r.body.get("is_direct"))
    back, = place(hs, "POST", "/join$", lambda r: r.user == agent(7))
    assert len(direct) == 5
    assert back < direct[0] and max(direct) < min(topic, name)
    assert max(place(hs, "POST", "/(register|login|invite|join)$")) < min(
        topic, name)
    assert hs.user("agent000").displayname == "Somebody Else"


def test_a_kick_during_a_long_run_of_direct_rooms(conduit_fake, muster_on):
    """Is repaired before they are done: they are in the background."""
    hs = conduit_fake
    org = company(40)
    muster = muster_on(hs, org=org, reconcile={"concurrency": 2},
                       direct={"per_minute": 60000, "manager_peers": False})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    human = hs.human(HUMAN)
    # 40 with the human, 4 teams of ten with 45 pairs each.
    pairs = 40 + 4 * 45
    seen, go_on = threading.Event(), threading.Event()
    direct = []

    def watch(_index, phase, _method, path):
        if phase == "before" and path.endswith("/createRoom"):
            request = next(r for r in reversed(hs.requests)
                           if r.path == path)
            if request.body.get("is_direct"):
                direct.append(request)
                if len(direct) >= 20:
                    seen.set()
                    go_on.wait(60)
    hs.on_request(watch)
    hs.latency = 0.02
    muster.start(ready=False)
    try:
        wait_until(seen.is_set, 60, "twenty direct rooms")
        room = hs.room(ALL)
        human.join(room.room_id)
        human.kick(room.room_id, agent(3))
        hs.wait_delivered()
    finally:
        go_on.set()
    wait_until(lambda: room.membership(agent(3)) == "join", 40,
               "the agent to be back")
    hs.latency = 0
    small.wait_settled(muster, hs)
    made = place(hs, "POST", "/createRoom$",
                 lambda r: r.body.get("is_direct"))
    assert len(made) == pairs
    back = place(hs, "POST", "/join$", lambda r: r.user == agent(3)
                 and r.room == room.room_id)[-1]
    assert back < made[-20]


def test_somebody_new_during_a_long_run_of_direct_rooms(
        conduit_fake, muster_on):
    """A regular look is not put off either."""
    hs = conduit_fake
    muster = muster_on(hs, org=company(30), direct={"manager_peers": False},
                       reconcile={"concurrency": 1, "interval": "1s"})
    muster.run("registration", expect=0)
    hs.add_appservice(muster.registration_path)
    human = hs.human(HUMAN)
    stop = threading.Event()
    hs.fault("POST", "/createRoom$", hold(stop), skip=14)
    hs.latency = 0.02
    muster.start(ready=False)
    wait_until(lambda: [r for r in hs.log.in_flight if r.body
                        and r.body.get("is_direct")], 40, "a direct room")
    hs.lose_events(lambda event: event["type"] == "m.room.member")
    room = hs.room(ALL)
    human.join(room.room_id)
    human.kick(room.room_id, agent(3))
    stop.set()
    wait_until(lambda: room.membership(agent(3)) == "join", 40,
               "the agent to be back")
    back = place(hs, "POST", "/join$", lambda r: r.user == agent(3)
                 and r.room == room.room_id)[-1]
    hs.latency = 0
    hs.lose_events(None)
    small.wait_settled(muster, hs)
    made = place(hs, "POST", "/createRoom$",
                 lambda r: r.body.get("is_direct"))
    assert len(made) == 30 + 3 * 45 and back < made[-10]
