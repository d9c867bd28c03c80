"""What doctor concludes from what a homeserver does is right of real ones."""

import email.utils
import re
import time
import urllib.request

import pytest
import yaml

from support import small
from support.client import V3, Client, quote
from support.process import free_port
from support.small import HUMAN, full

CLOSED = {"conduit": {"registration_token": "server-wants-this-token"},
          "synapse": {"enable_registration": False}}
OPENED = {"conduit": {"registration_token": None},
          "synapse": {"enable_registration": True}}


@pytest.fixture(params=["with a service", "without"])
def well(request, homeserver, muster_on, introduce):
    muster = muster_on(homeserver, org=small.org())
    introduce(muster, homeserver)
    set_up(homeserver, CLOSED)
    muster.start()
    muster.wait_settled()
    if request.param == "without":
        muster.stop()
    assert findings(muster) == []
    yield muster, homeserver
    muster.assert_no_secret_shown()


def set_up(hs, settings):
    hs.settings.update(settings[hs.kind])
    hs.restart()


def findings(muster):
    got = muster.run("doctor", "--json", timeout=120)
    assert got.code == (3 if got.json["findings"] else 0), got
    assert got.json["service"] is muster.running()
    return [(f["check"], f["subject"], f["what"], f["fix"])
            for f in got.json["findings"]]


def the_finding(muster, check, what):
    found = [f for f in findings(muster) if f[0] == check]
    assert len(found) == 1, findings(muster)
    assert what in found[0][2]
    return found[0][1], found[0][3]


def registered_as(muster, hs, **changes):
    """What the homeserver has is another than what is in the file; Synapse
    reads the file that is there when it starts."""
    text = muster.read("registration.yaml")
    other = {**yaml.safe_load(text), **changes}
    if hs.kind == "conduit":
        hs.add_appservice(muster.write("other.yaml", yaml.safe_dump(other)))
        return
    muster.write("registration.yaml", yaml.safe_dump(other))
    hs.restart()
    muster.write("registration.yaml", text)


def mend(muster, hs, fix):
    """As it says; then nothing is wrong, and with a service if there was one.
    """
    serving = muster.running()
    if hs.kind == "synapse":
        assert fix.startswith("start the homeserver again") or (
            "of ours: start the homeserver again" in fix)
        hs.restart()
    else:
        assert "`muster register`" in fix
        muster.run("register", expect=0, timeout=120)
    assert findings(muster) == []
    assert muster.running() is serving


def test_it_says_its_time(homeserver):
    homeserver.start()
    with urllib.request.urlopen(homeserver.url + "/_matrix/client/versions",
                                timeout=20) as got:
        at = email.utils.parsedate_to_datetime(got.headers["Date"])
    assert abs(at.timestamp() - time.time()) < 20


def test_open_registration(well):
    muster, hs = well
    set_up(hs, OPENED)
    subject, _ = the_finding(muster, "accounts", "can make an account")
    assert subject == hs.url
    set_up(hs, CLOSED)
    assert findings(muster) == []


def test_namespaces(well):
    muster, hs = well
    spaces = muster.registration["namespaces"]

    def users(regex):
        return {**spaces, "users": [{"exclusive": True, "regex": regex}]}
    registered_as(muster, hs, namespaces=users(r"^@cleo\.ic:fleet\.test$"))
    subject, fix = the_finding(
        muster, "namespace", "not in the one that the homeserver has")
    assert subject == full("anna.vp")
    mend(muster, hs, fix)
    # But for the operator, who is to mend it.
    registered_as(muster, hs, namespaces=users(r"^@[^o].*:fleet\.test$"))
    subject, fix = the_finding(
        muster, "namespace", "not in that of our registration")
    assert subject == full(HUMAN)
    mend(muster, hs, fix)


def test_the_way_back(well):
    muster, hs = well
    registered_as(muster, hs, url=f"http://127.0.0.1:{free_port()}")
    _, fix = the_finding(muster, "ping", "does not get through")
    assert "we answer on this machine" in fix
    mend(muster, hs, fix)
    registered_as(muster, hs, hs_token="e" * 64)
    _, fix = the_finding(muster, "ping", (
        "is turned away" if hs.kind == "synapse" else "or is refused there"))
    mend(muster, hs, fix)
    registered_as(muster, hs, url=None)
    _, fix = the_finding(muster, "ping", "without a URL")
    mend(muster, hs, fix)


def test_another_sender(well):
    muster, hs = well
    registered_as(muster, hs, sender_localpart="somebody")
    _, fix = the_finding(muster, "sender", "takes us for")
    mend(muster, hs, fix)


def test_a_homeserver_that_does_not_know_us(well):
    muster, hs = well
    registered_as(muster, hs, as_token="e" * 64)
    subject, fix = the_finding(muster, "sender", "does not know our as_token")
    assert subject == full("muster") and "`muster register`" in fix
    mend(muster, hs, fix)


def test_a_homeserver_that_is_away(well):
    muster, hs = well
    hs.stop()
    assert [f[0] for f in findings(muster)] == ["homeserver"]
    hs.start()


@pytest.mark.parametrize("homeserver", ["conduit"], indirect=True)
def test_an_agent_that_is_administrator(homeserver, muster_on):
    """As the first user of a new Conduit is, whoever that is."""
    hs = homeserver.start()
    muster = muster_on(hs, org=small.org())
    muster.run("registration", expect=0)
    muster.run("register", expect=0, timeout=120)  # the operator is the first
    service = Client(hs.url, muster.registration["as_token"])
    service.ok("POST", V3 + "/register", {
        "type": "m.login.application_service", "username": "ben.man",
        "inhibit_login": True})
    operator = Client(hs.url).login("operator", "operators-password")
    room = operator.resolve("#admins:fleet.test")
    assert "administrator" not in {f[0] for f in findings(muster)}
    operator.invite(room, full("ben.man"))
    service.ok("POST", f"{V3}/join/{quote(room)}", {},
               {"user_id": full("ben.man")})
    subject, fix = the_finding(muster, "administrator", room)
    assert subject == full("ben.man")
    assert re.search(r"`/kick @ben\.man:fleet\.test`", fix)
    operator.kick(room, full("ben.man"))
    assert "administrator" not in {f[0] for f in findings(muster)}
