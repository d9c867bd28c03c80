"""Somebody joins the organisation while the service runs: org.json is replaced
and nothing else is done. Seen by a client of the newcomer's own."""

import json
import os

from support import small
from support.conduit import Conduit
from support.process import wait_until


def replace(muster, org):
    """As editors and git write."""
    muster.org = org
    path = muster.write("org.json.new", json.dumps(org))
    os.rename(path, muster.path("org.json"))


def test_somebody_joins(homeserver, muster_on, introduce, nio_as):
    """On Conduit the service registers the newcomer's name by itself; to
    Synapse it was known before."""
    hs = homeserver
    alone = isinstance(hs, Conduit)
    before = small.org("anna.vp", "ben.man")
    muster = muster_on(hs, org=before if alone else small.org())
    introduce(muster, hs)
    old = muster.registration
    muster.write_org(before)
    muster.start()
    muster.wait_settled()
    others = {a: muster.handoff(a) for a in ("anna.vp", "ben.man")}

    replace(muster, small.org())
    got = muster.wait_handoff("cleo.ic")
    muster.wait_settled()
    cleo = nio_as(hs, small.full("cleo.ic"), token=got["access_token"],
                  device_id=got["device_id"])
    assert cleo.whoami() == (small.full("cleo.ic"), "MUSTER")
    ids = {r["alias"] or frozenset(r["declared"]): r["room_id"]
           for r in muster.json("rooms")}
    sender, ben = small.full(small.SENDER), small.full("ben.man")
    me = small.full("cleo.ic")
    want = {
        ids[small.full("all-employees").replace("@", "#")]: {
            sender, small.full("anna.vp"), ben, me},
        ids[small.full("platform-team").replace("@", "#")]: {sender, ben, me},
        ids[frozenset([ben, me])]: {ben, me}}
    wait_until(lambda: cleo.sync().rooms() == want, 20, "her rooms")
    # Nobody else was touched.
    assert {a: muster.handoff(a) for a in others} == others
    new = muster.registration
    assert (new["as_token"], new["hs_token"]) == (
        old["as_token"], old["hs_token"])
    assert ("cleo" in old["namespaces"]["users"][0]["regex"]) == (not alone)
    assert "cleo" in new["namespaces"]["users"][0]["regex"]
    if alone:
        # What was typed into the admin room is not there any more.
        room = hs.admin.resolve(f"#admins:{small.SERVER}")
        said = json.dumps(hs.admin.messages(room, 100))
        assert new["as_token"] not in said and new["hs_token"] not in said
    muster.assert_no_secret_shown()
