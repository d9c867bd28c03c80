"""Somebody joins the organisation after the registration was made, where the
service cannot register again by itself: it goes on, the newcomer waits for the
registration, and then comes in."""

from support import small


def without_last(org):
    """The organisation before cleo.ic came, and with her a team of her own."""
    return {**org, "people": org["people"][:-1]}


def with_team(org, team):
    """cleo.ic, the last one, in another team: another room with an alias."""
    *others, last = org["people"]
    return {**org, "people": others + [{**last, "team": team}]}


def serve_until_idle(muster):
    muster.start(ready=False)

    def idle():
        now = small.status(muster)
        journal = now["journal"]
        return (now["ready"] and journal["waiting"] == 0) or None
    muster.daemon.wait_for(idle, 40, "nothing is waiting")


def test_newcomer_waits_for_the_registration(fakehs, muster_on, introduce):
    org = small.org()
    muster = muster_on(fakehs, org=without_last(org))
    introduce(muster, fakehs)
    admin = muster.config["homeserver"].get("admin")
    # So that nobody can register again by itself.
    muster.write_config(homeserver={"admin": None})
    muster.start()
    muster.wait_settled()
    muster.stop()

    muster.write_org(with_team(org, "Optics"))
    serve_until_idle(muster)
    row = small.agent(muster, "cleo.ic")
    assert row["state"] == "blocked"
    assert "muster register" in row["error"]
    assert "run `muster registration`" in muster.output()
    others = [r["state"] for r in muster.json("agents")
              if r["user_id"] != row["user_id"]]
    assert set(others) == {"handed_off"}
    muster.stop()

    muster.run("registration", expect=0)
    if fakehs.kind == "synapse":
        fakehs.add_appservice(muster.registration_path)
    else:
        muster.write_config(homeserver={"admin": admin})
        muster.run("register", expect=0)
    muster.start()
    muster.wait_settled()
    row = small.agent(muster, "cleo.ic")
    assert (row["state"], row["error"]) == ("handed_off", None)
    rooms = {r["alias"] for r in muster.json("rooms") if r["room_id"]}
    assert f"#optics-team:{small.SERVER}" in rooms
