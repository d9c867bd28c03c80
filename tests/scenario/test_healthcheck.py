"""`muster healthcheck --homeserver`: whether a homeserver answers, as the health
check of its container asks. (Of the service: test_verbs.py.)"""

import json
import socket
import subprocess

import pytest

from support.conduit import Conduit, binary as conduit_binary
from support.fakehs import answer
from support.muster import binary
from support.process import environment, free_port


def probe(tmp_path, url, *words, **env):
    """In an empty folder: there is no configuration."""
    return subprocess.run(
        [binary(), "healthcheck", "--homeserver", url, *words], text=True,
        cwd=tmp_path, capture_output=True, env=environment(**env), timeout=60)


def test_it_answers(fakehs, tmp_path):
    got = probe(tmp_path, fakehs.url)
    assert (got.returncode, got.stdout, got.stderr) == (
        0, "the homeserver answers\n", "")
    request, = fakehs.requests
    assert (request.method, request.path) == (
        "GET", "/_matrix/client/versions")
    assert "authorization" not in {h.lower() for h in request.headers}
    got = probe(tmp_path, fakehs.url + "/", "--json")
    assert got.returncode == 0 and got.stderr == ""
    assert json.loads(got.stdout) == {"ready": True, "why_not": []}


def test_neither_files_nor_proxies_matter(conduit_fake, tmp_path):
    (tmp_path / "muster.yaml").write_text("homeserver: {url: 7\n")
    dead = f"http://127.0.0.1:{free_port()}"
    got = probe(tmp_path, conduit_fake.url, http_proxy=dead, NO_PROXY="",
                no_proxy="", MUSTER_HOMESERVER_URL=dead,
                MUSTER_CONFIG="/nowhere/muster.yaml")
    assert got.returncode == 0, got


def test_nobody_is_there(tmp_path):
    port = free_port()
    got = probe(tmp_path, f"http://127.0.0.1:{port}", "--json")
    assert got.returncode == 1
    why, = json.loads(got.stdout)["why_not"]
    assert json.loads(got.stdout)["ready"] is False
    assert f"127.0.0.1 port {port}" in why
    assert got.stderr == f"muster: {why}\n"


@pytest.mark.parametrize("what, said", [
    (answer(502, b"<html>bad gateway</html>"), "502"),
    (answer(503), "503 with an empty answer"),
    (answer(302, headers={"Location": "/"}), "302, a redirect"),
    (answer(200, b"<html>welcome</html>"), "/_matrix/client/versions"),
    (answer(200, {"versions": "v1.11"}), "list of versions"),
    (answer(200, {}), "list of versions"),
    (answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "later",
                  "retry_after_ms": 60000}), "limits our rate")])
def test_something_else_answers(conduit_fake, tmp_path, what, said):
    """It is asked once: whoever runs the check does it again."""
    conduit_fake.fault("GET", r"/versions$", what)
    got = probe(tmp_path, conduit_fake.url)
    assert got.returncode == 1 and got.stdout == ""
    assert got.stderr.count("\n") == 1 and said in got.stderr, got
    assert len(conduit_fake.requests) == 1


def test_it_takes_the_connection_and_says_nothing(tmp_path):
    """The check ends by itself, and says why."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        got = probe(tmp_path,
                    f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert got.returncode == 1
    assert "no answer in time" in got.stderr, got


@pytest.mark.parametrize("url", [
    "", "127.0.0.1:6167", "ftp://127.0.0.1", "http://", "http:///x",
    "http://user:password@127.0.0.1"])
def test_no_url(tmp_path, url):
    got = probe(tmp_path, url)
    assert got.returncode == 2 and got.stdout == ""
    assert "the homeserver's URL" in got.stderr
    assert "password@" not in got.stderr


def test_conduit_itself(tmp_path):
    if not conduit_binary():
        pytest.skip("no Conduit here: CONDUIT_BIN names none")
    hs = Conduit("fleet.test", tmp_path / "hs")
    assert probe(tmp_path, hs.url).returncode == 1
    hs.start()
    try:
        assert probe(tmp_path, hs.url).returncode == 0
    finally:
        hs.kill()


def test_it_waits_until_it_answers(fakehs, tmp_path):
    fakehs.fault("GET", r"/versions$", answer(502, b"not yet"), times=3)
    got = probe(tmp_path, fakehs.url, "--wait", "5m")
    assert (got.returncode, got.stdout) == (0, "the homeserver answers\n")
    assert len(fakehs.requests) == 4


def test_it_waits_no_longer(tmp_path):
    got = probe(tmp_path, f"http://127.0.0.1:{free_port()}", "--wait", "300ms")
    assert got.returncode == 1 and "onnect" in got.stderr
