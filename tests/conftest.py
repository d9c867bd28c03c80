"""What all tests can ask for. Servers are told of by `kind`, `url` and
`server_name`, and understand start, stop, kill, restart, add_appservice(path)
and human(localpart), whether scripted or real."""

import os
import shutil
import signal

import pytest

from support import conduit, printed, synapse
from support.fakehs import FakeHS
from support.muster import Muster

SERVER = "fleet.test"

# Started in the background we may have been made to ignore these; what we
# start would inherit that, and muster-agent leaves ignored signals ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


printed.install()


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_printed():
    """What is said by ours is searched for secrets: by tests/printed, when
    tests/run runs all of them, else here."""
    yield
    printed.finish()
    if not os.environ.get("TEST_PRINTED"):
        assert printed.Search(printed.folder()).shown == []
        shutil.rmtree(printed.folder())


def _fake(manner):
    hs = FakeHS(SERVER, manner).start()
    yield hs
    hs.stop()
    assert hs.errors == [], "the scripted homeserver failed:\n" + "\n".join(
        hs.errors)


@pytest.fixture(params=["conduit", "synapse"])
def fakehs(request):
    """A scripted homeserver, started; each test runs in both manners."""
    yield from _fake(request.param)


@pytest.fixture
def conduit_fake():
    """A scripted homeserver in Conduit's manner, started."""
    yield from _fake("conduit")


@pytest.fixture
def tuwunel_fake():
    """A scripted homeserver in Tuwunel's manner, started."""
    yield from _fake("tuwunel")


@pytest.fixture
def synapse_fake():
    """A scripted homeserver in Synapse's manner, started."""
    yield from _fake("synapse")


@pytest.fixture(params=["synapse", "conduit"])
def homeserver(request, tmp_path):
    """A real homeserver, not started: Synapse, and Conduit where there is
    one."""
    dir = tmp_path / request.param
    if request.param == "synapse":
        hs = synapse.Synapse(SERVER, dir)
    elif conduit.binary():
        hs = conduit.Conduit(SERVER, dir)
    else:
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    yield hs
    if hs.daemon.running():
        hs.daemon.kill()


@pytest.fixture
def muster_on(tmp_path):
    """muster_on(homeserver, **settings) makes a Muster for it (its folder:
    `name`). All are ended, and must have pleased their sanitizers."""
    made = []

    def make(hs, name="muster", **settings):
        made.append(Muster(tmp_path / name, hs, **settings))
        return made[-1]
    yield make
    for muster in made:
        muster.close()


@pytest.fixture
def introduce():
    """introduce(muster, homeserver) starts the homeserver, if need be, and
    makes the two known to each other, as an operator would."""
    def by_file(muster, hs):
        muster.run("registration", expect=0)
        if isinstance(hs, synapse.Synapse) and not hs.daemon.running():
            hs.start([muster.registration_path])
        else:
            hs.add_appservice(muster.registration_path)

    def make_known(muster, hs):
        if hs.kind == "synapse":
            return by_file(muster, hs)
        if isinstance(hs, conduit.Conduit) and not hs.daemon.running():
            hs.start()
        # Somebody else than a human of the test becomes the administrator.
        if not (hs.admin.has_admin() if isinstance(hs, FakeHS) else hs.admin):
            hs.operator()
        return muster.run("register", expect=0, timeout=120)
    return make_known
