"""The scripted homeserver's own promises: what the scenarios stand on. That
it answers as the real ones do is tests/e2e/test_fakehs_truth.py."""

import http.client
import threading
import time

import pytest

from support.appservice import AppService
from support.client import V3, Client, Refused, answers, quote
from support.fakehs import (answer, cut_off, delay, garbage, hold,
                            limited, reset_after, reset_before)
from support.process import wait_until

SERVER = "fleet.test"
LOGIN = r"/login$"


@pytest.fixture
def service(tmp_path):
    service = AppService(SERVER, tmp_path)
    yield service
    service.stop()


@pytest.fixture
def known(fakehs, service):
    """(homeserver, service): registered, its user and one agent made."""
    fakehs.add_appservice(service.path)
    assert service.register(fakehs.url, "probe-sender").status == 200
    assert service.register(fakehs.url, "agent-one").status == 200
    return fakehs, service


def program(hs, service, acting_as=None):
    """A caller with the service's token that is written down and disturbed,
    as muster is."""
    client = service.client(hs.url, acting_as)
    client.from_test = False
    return client


def log_in(caller, device="MUSTER"):
    return caller.post("/login", {
        "type": "m.login.application_service", "device_id": device,
        "identifier": {"type": "m.id.user", "user": "agent-one"}})


# -- the log


def test_log_tells_writes_from_reads(known):
    hs, service = known
    caller = program(hs, service, f"@agent-one:{SERVER}")
    caller.whoami()
    room = caller.create_room(preset="private_chat")
    caller.joined_members(room)
    caller.ok("POST", "/_matrix/client/v1/appservice/probe/ping", {})
    Client(hs.url).get("/login")  # the test's own
    assert [(r.method, r.status, r.write) for r in hs.requests] == [
        ("GET", 200, None), ("POST", 200, 1), ("GET", 200, None),
        ("POST", 200, None)]
    made, = hs.writes("POST", "/createRoom$")
    assert made.user == f"@agent-one:{SERVER}"
    assert made.body == {"preset": "private_chat"}
    assert made.answer == {"room_id": room}
    assert len(hs.reads()) == 2
    hs.clear_log()
    assert hs.requests == [] and hs.writes() == []


def test_log_sees_what_overlaps(known):
    hs, service = known
    caller = program(hs, service)
    rooms = [caller.create_room(), caller.create_room()]
    hs.clear_log()
    go = threading.Event()
    hs.fault("PUT", "/m.room.topic", hold(go), times=3)
    with_room = [threading.Thread(target=caller.set_state, args=(
        room, "m.room.topic", {"topic": str(n)}))
        for n, room in enumerate([rooms[0], rooms[0], rooms[1]])]
    for thread in with_room:
        thread.start()
    wait_until(lambda: len(hs.log.in_flight) == 3, 5, "all three")
    go.set()
    for thread in with_room:
        thread.join()
    assert hs.log.most_in_flight == 3
    assert {(a.room, b.room) for a, b in hs.log.overlaps} == {
        (rooms[0], rooms[0])}


# -- what goes wrong


def test_fault_with_an_answer(known):
    hs, service = known
    caller = program(hs, service)
    fault = hs.fault("POST", LOGIN, answer(500), times=2)
    got = [log_in(caller) for _ in range(3)]
    assert [(a.status, a.raw == b"") for a in got] == [
        (500, True), (500, True), (200, False)]
    assert fault.hits == 2
    assert len(hs.tokens_of("agent-one")) == 1  # the failed ones did nothing


def test_fault_waits_its_turn(known):
    hs, service = known
    caller = program(hs, service)
    hs.fault("POST", LOGIN, answer(502, {"errcode": "M_UNKNOWN"}), skip=1)
    assert [log_in(caller).status for _ in range(3)] == [200, 502, 200]
    hs.fault("*", "", answer(503), times=None)
    assert [caller.whoami().status for _ in range(3)] == [503] * 3
    hs.clear_faults()
    assert caller.whoami().status == 200


def test_fault_limited(known):
    hs, service = known
    caller = program(hs, service)
    for action in (limited(), limited(retry_after_ms=70),
                   limited(retry_after=2)):
        hs.fault("POST", LOGIN, action)
    got = [log_in(caller) for _ in range(3)]
    assert [a.status for a in got] == [429] * 3
    assert [a.errcode for a in got] == ["M_LIMIT_EXCEEDED"] * 3
    assert [a.body.get("retry_after_ms") for a in got] == [None, 70, None]
    assert [a.headers.get("Retry-After") for a in got] == [None, None, "2"]


def test_fault_breaks_the_connection(known):
    hs, service = known
    caller = program(hs, service)
    hs.fault("POST", LOGIN, reset_before())
    with pytest.raises(OSError):
        log_in(caller)
    assert hs.tokens_of("agent-one") == []
    hs.fault("POST", LOGIN, reset_after())
    with pytest.raises(OSError):
        log_in(caller)
    assert len(hs.tokens_of("agent-one")) == 1  # done, but nobody was told


def test_fault_spoils_the_answer(known):
    hs, service = known
    caller = program(hs, service)
    hs.fault("POST", LOGIN, garbage())
    got = log_in(caller)
    assert got.status == 200 and got.raw.startswith(b"<html>")
    assert len(hs.tokens_of("agent-one")) == 1
    hs.fault("POST", LOGIN, cut_off())
    with pytest.raises(http.client.IncompleteRead):
        log_in(caller)


def test_lies(known):
    """It says that it did; neither is it so, nor does anybody hear of it."""
    hs, service = known
    assert service.register(hs.url, "agent-two").status == 200
    one, two = (f"@agent-one:{SERVER}", f"@agent-two:{SERVER}")
    caller, other = program(hs, service), program(hs, service, two)
    room = caller.create_room(preset="private_chat", invite=[one])
    at, told = f"/rooms/{quote(room)}", len(hs.room(room).events)
    hs.lie("POST", "/(invite|join|kick)(/|$)", times=4)
    hs.lie("PUT", "/state/", skip=1)
    assert caller.post(at + "/invite", {"user_id": two}).body == {}
    assert program(hs, service, one).join(room) == room
    assert other.post(at + "/join").body == {"room_id": room}
    assert caller.post(at + "/kick", {"user_id": one}).status == 200
    assert caller.members(room) == {
        f"@probe-sender:{SERVER}": "join", one: "invite"}
    assert len(hs.room(room).events) == told
    assert caller.set_state(room, "m.room.topic", {"topic": "one"})
    made = caller.set_state(room, "m.room.topic", {"topic": "two"})
    assert made.startswith("$") and made not in hs.world.events
    assert caller.state(room, "m.room.topic") == {"topic": "one"}
    # The truth again.
    caller.invite(room, two)
    assert other.join(room) == room
    assert [r.status for r in hs.writes("POST", "/invite$")] == [200, 200]


def test_fault_delays(known):
    hs, service = known
    hs.fault("GET", "whoami", delay(0.3))
    began = time.monotonic()
    assert program(hs, service).whoami().status == 200
    assert time.monotonic() - began >= 0.3


def test_watchers_see_every_write_before_and_after(known):
    hs, service = known
    caller = program(hs, service)
    seen = []
    hs.on_request(lambda index, phase, method, path: seen.append(
        (index, phase, len(hs.tokens_of("agent-one")), path[-6:])))
    caller.whoami()
    log_in(caller)
    assert seen == [(1, "before", 0, "/login"), (1, "after", 1, "/login")]


# -- its life


def test_restart_keeps_and_wipe_forgets(known):
    hs, service = known
    room = program(hs, service).create_room(room_alias_name="agent-hall")
    url = hs.url
    hs.stop()
    assert not answers(url)
    hs.start()
    assert hs.url == url and hs.room("agent-hall").room_id == room
    hs.wipe()
    assert hs.room("agent-hall") is None and hs.user("agent-one") is None
    status = program(hs, service).whoami().status
    # Synapse has the registration in its configuration.
    assert status == (401 if hs.conduit else 200)


def test_stop_breaks_what_is_open(known):
    hs, service = known
    hs.fault("GET", "whoami", delay(20))
    errors = []

    def wait():
        try:
            program(hs, service).whoami()
        except (OSError, http.client.HTTPException) as e:
            errors.append(e)
    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: hs.log.in_flight, 5, "the request to be there")
    hs.stop()
    thread.join(15)
    assert errors and not thread.is_alive()


# -- pushing


def test_pushes_in_transactions(known):
    hs, service = known
    caller = program(hs, service, f"@agent-one:{SERVER}")
    hs.pause_delivery()
    room = caller.create_room(preset="private_chat")
    for n in range(60):
        caller.send(room, str(n))
    hs.resume_delivery()
    hs.wait_delivered()
    sizes = [len(events) for _, events in service.transactions()]
    created = len(hs.room(room).events) - 60
    assert sum(sizes) == 60 + created
    assert sizes == ([1, 30, 30, sum(sizes) - 61] if hs.conduit
                     else [1, sum(sizes) - 1])
    ids = [txn for txn, _ in service.transactions()]
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 43 for i in ids) if hs.conduit else ids == ["1", "2"]
    assert [e["event_id"] for e in service.events()] == [
        e["event_id"] for e in hs.room(room).events]
    _, path, query, headers, _ = service.received[-1]
    token = service.registration["hs_token"]
    assert path.startswith("/_matrix/app/v1/transactions/")
    assert headers["Authorization"] == f"Bearer {token}"
    assert query == ({"access_token": [token]} if hs.conduit else {})


def test_pushes_again_until_taken(known):
    hs, service = known
    refusals = iter([500, 403])
    service.answer = lambda path: next(refusals, 200)
    hs.retry_after = 0.05
    program(hs, service).create_room()
    hs.wait_delivered()
    first = service.transactions()[:3]
    assert len({txn for txn, _ in first}) == 1
    assert [d.status for d in hs.deliveries[:3]] == [500, 403, 200]
    assert [[e["event_id"] for e in events] for _, events in first] == [
        [e["event_id"] for e in first[0][1]]] * 3


def test_can_wait_for_something_new_as_conduit_does(known):
    hs, service = known
    hs.wait_delivered()
    hs.retry_needs_event, hs.retry_after = True, 0.05
    refusals = iter([500])
    service.answer = lambda path: next(refusals, 200)
    caller = program(hs, service)
    hs.pause_delivery()
    room = caller.create_room()
    hs.resume_delivery()
    wait_until(lambda: hs.deliveries and hs.deliveries[-1].status == 500, 5,
               "the refusal")
    time.sleep(0.3)
    assert hs.deliveries[-1].status == 500
    caller.send(room, "something new")
    hs.wait_delivered()
    assert service.events()[-1]["type"] == "m.room.message"


def test_pushes_only_what_is_of_interest(known):
    hs, service = known
    alice, bob = hs.human("alice"), hs.human("bob")
    hs.wait_delivered()
    service.received.clear()
    room = alice.create_room(preset="private_chat", invite=[bob.user_id])
    bob.join(room)
    alice.send(room, "between us")
    hs.wait_delivered()
    assert service.events() == []
    agent = f"@agent-one:{SERVER}"
    alice.invite(room, agent)
    alice.send(room, "it has not joined")
    service.client(hs.url, agent).join(room)
    alice.send(room, "it has")
    service.client(hs.url, agent).leave(room)
    alice.send(room, "it has left")
    hs.wait_delivered()
    assert [e["content"].get("membership") or e["content"]["body"]
            for e in service.events()] == ["invite", "join", "it has", "leave"]


def test_loses_events_and_pushes_by_hand(known):
    hs, service = known
    hs.wait_delivered()
    service.received.clear()
    hs.lose_events(lambda e: e["type"] == "m.room.message")
    caller = program(hs, service)
    room = caller.create_room()
    caller.send(room, "nobody hears")
    hs.wait_delivered()
    assert "m.room.message" not in [e["type"] for e in service.events()]
    hs.lose_events(None)
    assert hs.push([{"type": "x"}], "again").taken
    assert service.transactions()[-1] == ("again", [{"type": "x"}])


# -- what people do


@pytest.fixture
def people(known):
    """(homeserver, alice, bob, their room): alice has 100."""
    hs, _ = known
    alice, bob = hs.human("alice"), hs.human("bob")
    room = alice.create_room(preset="private_chat", room_version="11",
                             invite=[bob.user_id])
    bob.join(room)
    return hs, alice, bob, room


def test_people_talk(people):
    hs, alice, bob, room = people
    asked = bob.mention(room, "Alice?", alice.user_id)
    answered = alice.reply(room, asked, "yes?", bob.user_id)
    assert [e["content"] for e in hs.room(room).events[-2:]] == [
        {"msgtype": "m.text", "body": "Alice?",
         "m.mentions": {"user_ids": [alice.user_id]}},
        {"msgtype": "m.text", "body": "yes?",
         "m.mentions": {"user_ids": [bob.user_id]},
         "m.relates_to": {"m.in_reply_to": {"event_id": asked}}}]
    assert [e["event_id"] for e in hs.room(room).events[-2:]] == [
        asked, answered]


def test_people_put_out_and_let_in(people):
    hs, alice, bob, room = people
    alice.kick(room, bob.user_id, "a while")
    event = alice.all_state(room)["m.room.member", bob.user_id]
    assert (event["sender"], event["content"]["reason"]) == (
        alice.user_id, "a while")
    assert bob.post(f"/rooms/{quote(room)}/join").status == 403
    alice.ban(room, bob.user_id)
    with pytest.raises(Refused):
        alice.invite(room, bob.user_id)
    assert alice.members(room)[bob.user_id] == "ban"
    alice.unban(room, bob.user_id)
    alice.invite(room, bob.user_id)
    bob.join(room)
    assert alice.joined_members(room) == {alice.user_id, bob.user_id}


def test_people_give_and_take_power(people):
    _, alice, bob, room = people
    alice.set_power(room, {bob.user_id: 50}, events_default=10)
    levels = alice.power_levels(room)
    assert levels["users"] == {alice.user_id: 100, bob.user_id: 50}
    assert levels["events_default"] == 10
    with pytest.raises(Refused):
        bob.set_power(room, {bob.user_id: 100})
    alice.set_power(room, {bob.user_id: None})
    assert alice.power_levels(room) == {
        **levels, "users": {alice.user_id: 100}}


def test_people_upgrade(people):
    hs, alice, bob, room = people
    alias = f"#lounge:{SERVER}"
    alice.set_alias(alias, room)
    rooms = len(hs.world.rooms)
    with pytest.raises(Refused):
        bob.upgrade(room, "11")
    # Only Conduit has made a room by then.
    assert len(hs.world.rooms) - rooms == (1 if hs.conduit else 0)
    assert "m.room.tombstone" not in {k for k, _ in alice.all_state(room)}
    new = alice.upgrade(room, "11")
    stone = alice.state(room, "m.room.tombstone")
    assert stone["replacement_room"] == new
    assert alice.resolve(alias) == new
    assert hs.room(new).joined == {alice.user_id}
    assert hs.room(room).joined == {alice.user_id, bob.user_id}
    with pytest.raises(Refused):
        bob.send(room, "too late")
    alice.delete_alias(alias)
    assert alice.resolve(alias) is None


def test_a_room_is_deleted(known):
    hs, service = known
    hs.wait_delivered()
    service.received.clear()
    sender, agent = service.client(hs.url), f"@agent-one:{SERVER}"
    one = service.client(hs.url, agent)
    room = sender.create_room(room_alias_name="agent-hall", invite=[agent])
    kept = sender.create_room()
    one.join(room)
    hs.delete_room("agent-hall")
    assert sender.joined_rooms() == {kept} and one.joined_rooms() == set()
    assert hs.room(room) is None and hs.room("agent-hall") is None
    service.answer = 404
    assert sender.resolve(f"#agent-hall:{SERVER}") is None
    service.answer = 200
    for client in (sender, one):
        got = client.get(f"/rooms/{quote(room)}/joined_members")
        assert (got.status, got.errcode) == (403, "M_FORBIDDEN")
    assert one.post(f"/rooms/{quote(room)}/join").status == (
        500 if hs.conduit else 404)
    hs.wait_delivered()
    left = {e["state_key"] for e in service.events()
            if e["content"].get("membership") == "leave"}
    assert left == (set() if hs.conduit else {agent, f"@probe-sender:{SERVER}"})
    # The next one of that name is another.
    assert sender.create_room(room_alias_name="agent-hall") != room
    assert len({r.number for r in hs.world.rooms.values()}) == len(
        hs.world.rooms)


# -- what is one manner's own


def test_conduit_makes_the_first_user_admin(conduit_fake):
    hs = conduit_fake
    assert not hs.admin.has_admin()
    first, second = hs.operator(), Client(hs.url).register("alice", "secret!")
    assert first.joined_rooms() == {hs.admin.room.room_id}
    assert second.joined_rooms() == set()
    assert hs.admin.alias == f"#admins:{SERVER}"


def test_conduit_spares_who_does_not_log_in(conduit_fake, service):
    conduit_fake.add_appservice(service.path)
    service.register(conduit_fake.url, "agent-one")
    assert not conduit_fake.admin.has_admin()
    service.register(conduit_fake.url, "agent-two", inhibit_login=False)
    assert f"@agent-two:{SERVER}" in conduit_fake.admin.room.joined


def test_conduit_emergency_password(conduit_fake):
    hs = conduit_fake
    with pytest.raises(AssertionError):
        Client(hs.url).login("conduit", "in need")
    hs.emergency_password = "in need"
    bot = Client(hs.url).login("conduit", "in need")
    room = bot.resolve(f"#admins:{SERVER}")
    bot.send(room, f"@conduit:{SERVER}: list-appservices")
    assert bot.messages(room)[0]["content"]["body"] == "Appservices (0): "


def test_conduit_registration_token(conduit_fake):
    hs = conduit_fake
    hs.registration_token = "let me in"
    body = {"username": "alice", "password": "secret!",
            "auth": {"type": "m.login.dummy"}}
    assert Client(hs.url).post("/register", body).status == 401
    body["auth"] = {"type": "m.login.registration_token", "token": "let me in"}
    assert Client(hs.url).post("/register", body).status == 200


def test_conduit_asks_the_service_for_an_alias(conduit_fake, service):
    hs = conduit_fake
    hs.add_appservice(service.path)
    alias = quote(f"#agent-none:{SERVER}")
    got = Client(hs.url).get(f"/directory/room/{alias}")
    assert (got.status, got.body["error"]) == (
        500, "Appservice lied to us. Room does not exist.")
    service.answer = 404
    assert Client(hs.url).get(f"/directory/room/{alias}").status == 404
    assert service.received[-1][:2] == (
        "GET", f"/_matrix/app/v1/rooms/{alias}")


def test_synapse_asks_for_one_of_the_services_users(synapse_fake, service):
    hs = synapse_fake
    hs.add_appservice(service.path)
    service.register(hs.url, "agent-one")
    room = service.client(hs.url, f"@agent-one:{SERVER}").create_room()
    sender = service.client(hs.url)
    assert sender.joined_members(room) == {f"@agent-one:{SERVER}"}


def test_what_tells_them_apart(fakehs):
    got = Client(fakehs.url).call("GET", "/")
    versions = Client(fakehs.url).call("GET", "/_matrix/client/versions")
    if fakehs.conduit:
        assert got.raw == b"Hello from Conduit!"
        assert versions.headers.get("Server") is None
    else:
        assert got.status == 404
        assert versions.headers["Server"].startswith("Synapse/1.")


def test_restricted_rooms(known):
    hs, service = known
    alice, bob = hs.human("alice"), hs.human("bob")
    hall = alice.create_room(preset="private_chat")
    side = alice.create_room(initial_state=[{
        "type": "m.room.join_rules", "state_key": "", "content": {
            "join_rule": "restricted", "allow": [
                {"type": "m.room_membership", "room_id": hall}]}}])
    assert bob.post(f"/join/{quote(side)}").status == 403
    alice.invite(hall, bob.user_id)
    bob.join(hall)
    assert bob.join(side) == side


def test_own_mistakes_are_not_hidden(conduit_fake):
    conduit_fake.admin = None  # nothing that a request could do
    conduit_fake.world = None
    assert Client(conduit_fake.url).get("/profile/x").status == 500
    assert "Traceback" in conduit_fake.errors.pop()


def test_upgrade_keeps_conduits_lapse(conduit_fake, service):
    """Conduit forgets with one deleted alias that the others are the
    room's: an upgrade then leaves them behind."""
    hs = conduit_fake
    hs.add_appservice(service.path)
    service.register(hs.url, "probe-sender")
    sender = service.client(hs.url)
    old = sender.create_room(room_alias_name="agent-a")
    alias = f"#agent-b:{SERVER}"
    sender.put(f"/directory/room/{quote(alias)}", {"room_id": old})
    sender.delete(f"/directory/room/{quote(alias)}")
    sender.ok("POST", f"{V3}/rooms/{quote(old)}/upgrade",
              {"new_version": "11"})
    assert sender.resolve(f"#agent-a:{SERVER}") == old


def test_registering_again_keeps_what_waits(known):
    hs, service = known
    hs.wait_delivered()
    hs.pause_delivery()
    room = program(hs, service).create_room()
    hs.add_appservice(service.path)
    hs.resume_delivery()
    hs.wait_delivered()
    assert [e["type"] for e in service.events()
            if e["room_id"] == room][:2] == ["m.room.create", "m.room.member"]
