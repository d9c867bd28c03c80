"""End to end: the program against real homeservers, seen by a real client."""

import pytest

from support.fleet import ExampleFleet, brought_up
from support.nioclient import NioClient


# The example fleet, served: check, registration, register, serve. One for all
# tests, so a test leaves the agents where they belong.
fleet = brought_up(ExampleFleet, "session")


@pytest.fixture
def nio_as():
    """nio_as(homeserver, user_id, token=... | password=...): a client that is
    logged in; all are closed in the end."""
    clients = []

    def make(hs, user_id, token=None, password=None, device_id="TEST"):
        client = NioClient(hs.url, user_id, token, device_id)
        clients.append(client)
        return client.login(password) if password else client
    yield make
    for client in clients:
        client.close()
