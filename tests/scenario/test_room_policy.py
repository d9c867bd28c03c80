"""What the policy says of a room, on the homeserver: when the room is made, and
when the policy changes while the service runs."""

from support import small
from support.small import HUMAN, SENDER, SERVER, full

ALL, LEADERS = "all-employees", "engineering-leadership"
TEAM = "platform-team"


def policy(**team):
    return [
        {"alias": ALL, "members": {"everyone": True}},
        {"alias": "{department}-leadership",
         "members": {"level": ["VP", "Director"]}},
        {"alias": "{team}-team", **team}]


def change(muster, hs, **settings):
    hs.clear_log()
    muster.write_config(**settings)
    muster.reload()
    small.wait_settled(muster, hs)


def states_set(hs):
    return sorted(r.path.split("/state/")[1].strip("/")
                  for r in hs.writes("PUT", "/state/"))


def assert_members(room, *localparts):
    assert room.joined == {full(SENDER), *map(full, localparts)}


RICH = {
    "name": "Team {team}", "topic": "{team}, of {department}",
    "join_rule": {"restricted": "{department}-leadership"},
    "history": "joined", "encryption": True,
    "extra_power": {"Manager": 50, "cleo.ic": 10},
    "members": {"any": [{"team": "{team}"},
                        {"level": "VP", "department": "{department}"}],
                "except": {"members": ["nobody"]}}}


def assert_rich(hs):
    room = hs.room(TEAM)
    assert_members(room, "anna.vp", "ben.man", "cleo.ic")
    assert room.content("m.room.name") == {"name": "Team Platform"}
    assert room.content("m.room.topic")["topic"] == "Platform, of Engineering"
    assert room.content("m.room.join_rules") == {
        "join_rule": "restricted", "allow": [
            {"type": "m.room_membership",
             "room_id": hs.room(LEADERS).room_id}]}
    assert room.content("m.room.history_visibility") == {
        "history_visibility": "joined"}
    assert room.content("m.room.encryption")["algorithm"] == (
        "m.megolm.v1.aes-sha2")
    assert {who: room.power(full(who))
            for who in ("anna.vp", "ben.man", "cleo.ic")} == {
        "anna.vp": 0, "ben.man": 50, "cleo.ic": 10}
    assert room.power(full(SENDER)) >= 100


def test_made_with_all_of_it(fresh):
    muster, hs = fresh
    muster.write_config(rooms=policy(**RICH))
    got = muster.run("check")
    assert "encrypt" in got.out + got.err
    muster.start()
    small.wait_settled(muster, hs)
    assert_rich(hs)
    # In the same state it is left, and found, alone.
    hs.clear_log()
    muster.restart()
    small.wait_settled(muster, hs)
    assert hs.writes() == []


def test_all_of_it_while_it_runs(declared):
    """In the room that is there, and taken back but for the encryption, which
    cannot be."""
    muster, hs = declared
    room = hs.room(TEAM)
    name = room.content("m.room.name")
    change(muster, hs, rooms=policy(**RICH))
    assert hs.room(TEAM) is room
    assert_rich(hs)
    assert states_set(hs) == [
        "m.room.encryption", "m.room.history_visibility",
        "m.room.join_rules", "m.room.name", "m.room.power_levels",
        "m.room.topic"]
    change(muster, hs, rooms=policy(
        members={"team": "{team}"}, history="shared", topic="Work"))
    assert_members(room, "ben.man", "cleo.ic")
    assert room.content("m.room.name") == name
    assert room.content("m.room.topic")["topic"] == "Work"
    assert room.content("m.room.join_rules")["join_rule"] == "invite"
    assert room.content("m.room.history_visibility") == {
        "history_visibility": "shared"}
    assert "m.room.encryption" not in states_set(hs)


def test_who_is_named_and_who_is_left_out(fresh):
    muster, hs = fresh
    muster.write_config(rooms=[
        {"alias": "picked", "join_rule": "public",
         "members": {"members": ["ben.man", full(HUMAN)]}},
        {"alias": "others",
         "members": {"all": [{"everyone": True},
                             {"department": "Engineering"}],
                     "except": [{"level": "Manager"}, {"team": "Sales"}]}}])
    muster.run("registration", expect=0)
    hs.unregister_appservice("muster")
    hs.add_appservice(muster.registration_path)
    muster.start()
    small.wait_settled(muster, hs)
    picked, others = hs.room("picked"), hs.room("others")
    assert_members(picked, "ben.man")
    assert picked.membership(full(HUMAN)) == "invite"
    assert_members(others, "anna.vp", "cleo.ic")
    # Whoever knows the alias may come into the one, and stays; listed it is
    # not.
    guest = hs.human("guest")
    guest.join(f"#picked:{SERVER}")
    small.wait_settled(muster, hs)
    assert full("guest") in picked.joined and picked.public is False
    assert others.content("m.room.join_rules")["join_rule"] == "invite"
