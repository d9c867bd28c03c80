"""A full Matrix client (matrix-nio) for tests that want to see what a person
or an agent program sees: rooms with their names and members, invitations,
messages as they come."""

import asyncio
import time

import nio

from support.client import Client
from support.process import PATIENCE


class NioError(AssertionError):
    pass


def _good(answer):
    if isinstance(answer, nio.ErrorResponse):
        raise NioError(str(answer))
    return answer


class NioClient:
    """Plain calls around the asynchronous client, on a loop of their own."""

    def __init__(self, url, user_id, token=None, device_id="TEST"):
        self._loop = asyncio.new_event_loop()
        self.user_id = user_id
        self.nio = self._do(self._make(url, user_id, device_id))
        self.seen = []  # (room id, sender, text), oldest first
        self.nio.add_event_callback(self._saw, nio.RoomMessageText)
        if token:
            self.nio.restore_login(user_id, device_id, token)

    @staticmethod
    async def _make(url, user_id, device_id):
        return nio.AsyncClient(url, user_id, device_id)

    def _do(self, call):
        return self._loop.run_until_complete(call)

    async def _saw(self, room, event):
        self.seen.append((room.room_id, event.sender, event.body))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._do(self.nio.close())
        self._loop.close()

    @property
    def token(self):
        return self.nio.access_token

    def login(self, password):
        _good(self._do(self.nio.login(password)))
        return self

    def sync(self, timeout=0):
        """One round, `timeout` seconds at most when nothing is new."""
        _good(self._do(self.nio.sync(
            timeout=int(timeout * 1000), full_state=False)))
        return self

    def rooms(self):
        """{room id: set of joined members}, as of the last sync."""
        return {room_id: {user for user in room.users
                          if user not in room.invited_users}
                for room_id, room in self.nio.rooms.items()}

    def room_names(self):
        """{room id: the name a person is shown}"""
        return {room_id: room.display_name
                for room_id, room in self.nio.rooms.items()}

    def invitations(self):
        """{room id: who invites}"""
        return {room_id: room.inviter
                for room_id, room in self.nio.invited_rooms.items()}

    def wait(self, check, what, bound=15):
        """Syncs until check() is true."""
        end = time.monotonic() + bound * PATIENCE
        while True:
            self.sync(timeout=0.5)
            got = check()
            if got:
                return got
            if time.monotonic() > end:
                raise NioError(f"not within {bound} s: {what}")

    def wait_message(self, text, sender=None, room=None, bound=15):
        """Until a message says this; (room id, sender, text)."""
        def come():
            return next((m for m in self.seen if m[2] == text
                         and sender in (None, m[1])
                         and room in (None, m[0])), None)
        return come() or self.wait(come, f"message {text!r}", bound)

    def direct_rooms(self):
        """{other: [room id, ...]}, the m.direct of this user."""
        return _good(self._do(self.nio.list_direct_rooms())).rooms

    def whoami(self):
        """(user id, device id) of the token."""
        got = _good(self._do(self.nio.whoami()))
        return got.user_id, got.device_id

    def join(self, room):
        # Not nio's own: it sends no body, which Conduit refuses.
        return Client(self.nio.homeserver, self.token).join(room)

    def send(self, room, text):
        return _good(self._do(self.nio.room_send(
            room, "m.room.message", {"msgtype": "m.text", "body": text}
        ))).event_id

    def create_direct(self, user_id, name=None):
        return _good(self._do(self.nio.room_create(
            is_direct=True, invite=[user_id], name=name,
            preset=nio.RoomPreset.trusted_private_chat))).room_id
