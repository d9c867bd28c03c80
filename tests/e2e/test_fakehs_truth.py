"""The scripted homeserver answers as the real ones do: one walk through the
calls that matter, taken on both, compared answer by answer."""

import pytest

from support.appservice import AppService
from support.client import Client, quote
from support.conduit import Conduit, binary
from support.fakehs import FakeHS
from support.process import wait_until
from support.synapse import Synapse
from support.walk import AGENT, OTHER, SENDER, SERVER, Walk, take


def compare(real, fake):
    differ = [f"{r[0]}: really {r[1:]}, scripted {f[1:]}"
              for r, f in zip(real.seen, fake.seen, strict=True) if r != f]
    assert not differ, "\n".join(differ)
    assert fake.told == real.told
    assert sorted(fake.told_keys) == sorted(real.told_keys)
    assert fake.tokens == real.tokens and fake.txn_ids == real.txn_ids
    assert fake.memberships == real.memberships
    assert fake.state_types == real.state_types
    assert fake.powers_kept == real.powers_kept
    assert fake.upgrades == real.upgrades


needs_conduit = pytest.mark.skipif(not binary(), reason="no Conduit here")


@needs_conduit
def test_conduit(tmp_path):
    real = take(Conduit(SERVER, tmp_path), "conduit", tmp_path)
    compare(real, take(FakeHS(SERVER, "conduit"), "conduit", tmp_path))


@pytest.mark.parametrize("version", ["10", "12"])
def test_synapse(tmp_path, version):
    real = take(Synapse(SERVER, tmp_path, default_room_version=version),
                "synapse", tmp_path)
    fake = FakeHS(SERVER, "synapse", room_version=version)
    compare(real, take(fake, "synapse", tmp_path))


def delete(hs, dir):
    """What is left of a room that an administrator has deleted: of each call
    the answer, and who the service hears has left."""
    service = AppService(SERVER, dir)
    try:
        hs.start()
        hs.add_appservice(service.path)
        for localpart in ("probe-sender", "agent-one", "agent-two"):
            service.register(hs.url, localpart)
        walk = Walk(hs, service, "synapse")
        sender, alice = walk.as_user(SENDER), hs.human("alice")
        room = sender.create_room(
            room_alias_name="agent-hall", name="Hall",
            invite=[AGENT, OTHER, alice.user_id])
        walk.as_user(AGENT).join(room)
        alice.join(room)
        hs.delete_room(room)
        service.answer = lambda path: 404 if "/rooms/" in path else 200
        walk.note("alias", sender.get(
            f"/directory/room/{quote('#agent-hall:' + SERVER)}"))
        walk.of_a_room(room, "deleted")
        walk.note("state by a human", alice.get(
            f"/rooms/{quote(room)}/state"))
        walk.note("message by an agent", walk.as_user(AGENT).put(
            f"/rooms/{quote(room)}/send/m.room.message/1", {"body": "x"}))
        walk.note("made again", sender.post(
            "/createRoom", {"room_alias_name": "agent-hall"}))
        assert walk.as_user(AGENT).joined_rooms() == set()
        last = sender.send(sender.create_room(), "the last")
        service.wait_event(lambda e: e.get("event_id") == last, 30)
        return walk.seen, sorted(
            (e["sender"], e["state_key"]) for e in service.events()
            if e["room_id"] == room
            and e["content"].get("membership") == "leave")
    finally:
        hs.stop()
        service.stop()


def test_a_deleted_room(tmp_path):
    """Conduit has no such command; what it says of a room that it does not know
    is in the walk."""
    real = delete(Synapse(SERVER, tmp_path), tmp_path)
    assert real[1]
    assert delete(FakeHS(SERVER, "synapse"), tmp_path) == real


def talk(hs, dir):
    """What the admin room's bot answers to commands right and wrong."""
    service = AppService(SERVER, dir, users="agent-.*")
    with open(service.path, encoding="utf-8") as f:
        text = f.read()
    fence = "```"
    try:
        hs.start()
        operator = hs.human("alice") and (
            Client(hs.url).login("operator", "operators-password"))
        room = operator.resolve(f"#admins:{SERVER}")
        bot = f"@conduit:{SERVER}"
        answers = []
        for command in (
                "list-appservices",
                f"register-appservice\n{fence}yaml\n{text}\n{fence}",
                f"register-appservice\n{fence}\nid: [\n{fence}",
                f"register-appservice\n{fence}\n"
                + text.replace("agent-.*", "(?=x)") + f"\n{fence}",
                f"register-appservice\n{fence}\n{text}\n{fence}",
                f"register-appservice\n{fence}\n{text}\n{fence}",
                "list_appservices", "unregister-appservice probe",
                "unregister-appservice probe", "list-local-users"):
            event = operator.send(room, f"{bot}: {command}")
            answers.append(bot_answer(operator, room, event, bot))
        operator.send(room, "no command")
        return answers
    finally:
        hs.stop()
        service.stop()


def bot_answer(operator, room, event, bot):
    def first():
        bodies = []
        for e in operator.messages(room):
            if e["event_id"] == event:
                break
            if e["sender"] == bot and e["type"] == "m.room.message":
                # Past the colon each has its own words for what is wrong.
                bodies.append(e["content"]["body"].split(": ")[0])
        return bodies and bodies[-1]
    return wait_until(first, 10, "the bot to answer")


@needs_conduit
def test_admin_room(tmp_path):
    real = talk(Conduit(SERVER, tmp_path), tmp_path)
    assert talk(FakeHS(SERVER, "conduit"), tmp_path) == real
