"""Who leaves the fleet though something stands in the way."""

import os

from support import small
from support.small import full

ALL = "all-employees"


def file_of(muster, localpart):
    return os.path.join(muster.runtime_dir(localpart), "matrix.json")


# -- the file is no file


def test_a_leaver_made_a_directory_of_its_file(declared_on_conduit):
    """Its tokens are ended all the same, once, and what is there is told."""
    muster, hs = declared_on_conduit
    muster.stop()
    os.unlink(file_of(muster, "cleo.ic"))
    os.makedirs(os.path.join(
        muster.path("runtime", small.DEPARTMENT, "cleo.ic"), "matrix.json",
        "mine"))
    muster.write_org(muster.without("cleo.ic"))
    muster.start()
    small.wait_settled(muster, hs)
    gone = small.agent(muster, "cleo.ic")
    assert gone["state"] == "retired"
    assert "tombstone" in gone["error"] and "matrix.json" in gone["error"]
    assert hs.tokens_of("cleo.ic") == []
    assert hs.room(ALL).membership(full("cleo.ic")) == "leave"
    assert len(hs.writes("POST", "/logout/all$")) == 1
    assert small.status(muster)["journal"] == {"waiting": 0, "failed": 0}
