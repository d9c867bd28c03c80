"""One OpenClaw under muster-agent, on a real homeserver: Conduit where there
is one, else Synapse. It takes half a minute to start, so it is one for all
tests, which run in their order."""

import os

import pytest

from support import conduit
from support.conduit import Conduit
from support.model_server import ModelServer
from support.muster import Muster
from support.openclaw import INSTALLED, Asking, OpenClaw
from support.process import wait_until
from support.synapse import Synapse

SERVER = "claw.test"
HUMAN = "hana"
AGENT = "helper"

figures = []  # (what, how much), to be printed in the end


def pytest_terminal_summary(terminalreporter):
    if figures:
        terminalreporter.write_sep("-", "measured")
    for what, value in figures:
        terminalreporter.write_line(f"{what:<58} {value}")


@pytest.fixture(scope="session")
def measured():
    """measured(what, value) is printed in the end."""
    def note(what, value):
        figures.append((what, f"{value:.1f} s"
                        if isinstance(value, float) else value))
    return note


class World:
    def __init__(self, dir):
        kind = Conduit if conduit.binary() else Synapse
        self.hs = kind(SERVER, dir / "hs")
        self.muster = Muster(dir / "muster", self.hs, fleet={
            "humans": [f"@{HUMAN}:{SERVER}"],
            "agents": [{"id": AGENT, "name": "Helper"},
                       {"id": "other", "name": "Other"}]},
            handoff={"wait": "5m"})
        self.model = ModelServer()
        self.claw = None

    def bring_up(self, dir):
        self.muster.run("registration", expect=0)
        if self.hs.kind == "conduit":
            self.hs.start()
            assert self.hs.admin
            self.muster.run("register", expect=0, timeout=120)
        else:
            self.hs.start([self.muster.registration_path])
        human = self.hs.human(HUMAN)
        self.muster.start()
        self.muster.wait_settled()
        room = human.resolve(f"#all-employees:{SERVER}")
        wait_until(lambda: room in human.sync()["rooms"].get("invite", {}),
                   30, "the invitation")
        human.join(room)
        self.asking = Asking(human, room, self.muster.full_id(AGENT))
        self.claw = OpenClaw(dir / "claw", self.muster, AGENT, self.model)
        return self

    def set_wait(self, wait):
        """How long an agent may take to pause, in the running service."""
        self.muster.write_config(handoff={"wait": wait})
        self.muster.restart()

    def agent(self):
        """What the service says of it."""
        return next(a for a in self.muster.json("agents")
                    if a["user_id"] == self.claw.user_id)

    def close(self):
        try:
            if self.claw:
                self.claw.close()
            self.muster.close()
        finally:
            self.hs.kill()
            self.model.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    assert os.path.isdir(INSTALLED), "scripts/ensure-openclaw.sh installs it"
    dir = tmp_path_factory.mktemp("openclaw")
    world = World(dir)
    try:
        yield world.bring_up(dir)
    finally:
        world.close()
