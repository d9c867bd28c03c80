"""An agent that is not registered yet when somebody invites it."""

import sqlite3
import time
import urllib.parse

import pytest

from support.client import V3, Client, Refused, quote
from support.process import wait_until
from support.tap import Tap

NEWCOMER = "iris.ic"


@pytest.fixture
def tapped(homeserver, muster_on, introduce):
    """(muster, homeserver, tap): served, and all as declared but for the
    newcomer: registering it is put off for half an hour."""
    hs = homeserver
    muster = muster_on(hs)
    tap = Tap(muster.port)
    muster.write_config(appservice={"url": tap.url})
    introduce(muster, hs)
    org = muster.org
    muster.write_org(muster.without(NEWCOMER))
    muster.start()
    muster.wait_settled()
    muster.stop()
    db = sqlite3.connect(muster.path("muster.db"))
    with db:
        db.execute(
            "INSERT INTO journal (kind, subject, state, attempt, created_ms, "
            "updated_ms, next_attempt_ms) VALUES "
            "('register', ?, 'failed', 1, 1, 1, ?)",
            (muster.full_id(NEWCOMER), int(time.time() * 1000) + 1800000))
    db.close()
    muster.write_org(org)
    muster.start()
    assert state(muster) == "declared"
    yield muster, hs, tap
    tap.close()


def state(muster):
    return next(a["state"] for a in muster.json("agents")
                if a["user_id"] == muster.full_id(NEWCOMER))


def exists(muster, hs):
    """Can the service act as it?"""
    try:
        Client(hs.url, muster.registration["as_token"],
               acting_as=muster.full_id(NEWCOMER)).joined_rooms()
    except Refused:
        return False
    return True


def users_asked(tap):
    return [(urllib.parse.unquote(path).rpartition("/")[2], status)
            for path, status in tap.asked() if "/users/" in path]


def test_somebody_invites_an_agent_that_is_not_there_yet(tapped):
    """AS-91. Synapse asks us when it sees the invitation; Conduit asks for
    nobody, so we are asked in its place."""
    muster, hs, tap = tapped
    newcomer = muster.full_id(NEWCOMER)
    assert not exists(muster, hs)
    human = hs.human("hanna")
    room_id = human.create_room()
    human.invite(room_id, newcomer)
    if hs.kind == "synapse":
        wait_until(lambda: users_asked(tap), 30, "it asks")
        assert users_asked(tap) == [(newcomer, 200)]
    else:
        assert users_asked(tap) == []
        token = muster.registration["hs_token"]
        assert tap.pass_on(
            "GET", "/_matrix/app/v1/users/" + quote(newcomer),
            {"Authorization": f"Bearer {token}"}, b"") == (200, b"{}")
    assert exists(muster, hs)
    assert state(muster) != "declared"
    # The invitation holds, and the rest of it is done as ever.
    muster.wait_settled()
    agent = Client(hs.url, muster.handoff(NEWCOMER)["access_token"])
    me = agent.whoami()
    assert me.status == 200 and not me.body.get("is_guest")
    agent.join(room_id)
    assert newcomer in human.joined_members(room_id)


def test_rooms_and_users_that_are_none(tapped):
    """What people mistype: nothing is made for it."""
    muster, hs, tap = tapped
    human = hs.human("hanna")
    for alias in ("platform-teem", "muster"):
        got = human.call("GET", f"{V3}/directory/room/" + quote(
            f"#{alias}:{hs.server_name}"))
        assert got.status == 404
    assert human.resolve(f"#platform-team:{hs.server_name}")
    room_id = human.create_room()
    human.call("POST", f"{V3}/rooms/{quote(room_id)}/invite",
               {"user_id": f"@nobody.there:{hs.server_name}"})
    assert [s for path, s in tap.asked() if s != 404] == []
    assert state(muster) == "declared"
