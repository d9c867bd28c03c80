"""The real client against the real homeservers, without the program: what the
end-to-end tests see with is in order."""

from support.appservice import AppService
from support.client import quote

SERVER = "fleet.test"
AGENT = f"@agent-one:{SERVER}"


def test_talks_with_an_agent(homeserver, nio_as, tmp_path):
    service = AppService(SERVER, tmp_path)
    try:
        homeserver.start().add_appservice(service.path)
        url = homeserver.url
        service.register(url, "probe-sender")
        service.register(url, "agent-one")
        token = service.login(
            url, "agent-one", device_id="MUSTER").body["access_token"]
        alice = homeserver.human("alice", "alice's password")
        human = nio_as(homeserver, alice.user_id, password="alice's password")
        agent = nio_as(homeserver, AGENT, token=token, device_id="MUSTER")

        room = human.create_direct(AGENT, name="Agent One")
        agent.wait(lambda: agent.invitations().get(room) == alice.user_id,
                   "the invitation")
        agent.join(room)
        human.wait(lambda: human.rooms().get(room) == {alice.user_id, AGENT},
                   "the agent in the room")
        assert human.room_names()[room] == "Agent One"
        human.send(room, "hello")
        assert agent.wait_message("hello") == (room, alice.user_id, "hello")
        agent.send(room, "hello yourself")
        human.wait_message("hello yourself", sender=AGENT, room=room)
        members = f"/rooms/{quote(room)}/joined_members"
        assert service.client(url, AGENT).get(members).status == 200
        service.wait_event(
            lambda e: e["content"].get("body") == "hello yourself")
    finally:
        homeserver.stop()
        service.stop()
