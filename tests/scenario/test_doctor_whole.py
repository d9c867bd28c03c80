"""Doctor looks at everything else that can be wrong by itself, whether a service
runs or not: what a person wrote, secrets, the store, the runtime root, the
homeserver and the way there and back."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading

import pytest
import yaml

from support import agent, small
from support.fakehs import answer, hold
from support.muster import binary
from support.process import (
    CAP_CHOWN, MODES_DO_NOT_MATTER, environment, free_port, give_up)
from support.registering import yes_sayer
from support.small import AGENTS, HUMAN, full
from support.tls import TlsFront

AGENT = "anna.vp"


@pytest.fixture(params=["with a service", "without"])
def well(request, fakehs, muster_on, introduce):
    """(muster, homeserver): everything as declared, and nothing is wrong. In
    the end nothing secret was shown."""
    yield from _well(request.param, fakehs, muster_on, introduce)


@pytest.fixture(params=["with a service", "without"])
def well_on_conduit(request, conduit_fake, muster_on, introduce):
    """The same in Conduit's manner alone."""
    yield from _well(request.param, conduit_fake, muster_on, introduce)


@pytest.fixture
def stopped(conduit_fake, muster_on, introduce):
    """The same, and no service runs."""
    yield from _well("without", conduit_fake, muster_on, introduce)


def _well(how, hs, muster_on, introduce):
    # So that it asks about no token by itself meanwhile.
    muster = muster_on(hs, org=small.org(), handoff={"check": "24h"})
    introduce(muster, hs)
    hs.allow_registration = False
    muster.start()
    small.wait_settled(muster, hs)
    if how == "without":
        muster.stop()
    assert findings(muster) == []
    hs.clear_log()
    yield muster, hs
    muster.assert_no_secret_shown()


def findings(muster, **env):
    """What it finds; nothing is changed anywhere by asking."""
    old = muster.env
    muster.env = {**old, **env}
    try:
        got = muster.run("doctor", "--json")
        words = muster.run("doctor")
    finally:
        muster.env = old
    assert got.code == words.code == (3 if got.json["findings"] else 0), got
    assert got.json["service"] is muster.running()
    assert got.err == words.err == ""
    for f in got.json["findings"]:
        assert set(f) == {"check", "subject", "what", "why", "fix"}
        assert all(isinstance(v, str) and v for v in f.values())
        # In words: one line each, and why it matters below. The second time
        # some milliseconds are others.
        line, = {text for text in words.out.splitlines()
                 if text.startswith(f"{f['check']} ")
                 and alike(f["what"]) in alike(text)
                 and f["subject"] in text}
        assert f["fix"] in line
        assert f["why"] in words.out
    return got.json["findings"]


def alike(text):
    return re.sub(r"\d+", "0", text)


def the_finding(muster, check, what, **env):
    """The only one there is: (subject, fix)."""
    found = findings(muster, **env)
    assert len(found) == 1, found
    assert found[0]["check"] == check
    assert re.search(what, found[0]["what"]), found
    return found[0]["subject"], found[0]["fix"]


def do(muster, fix):
    for command in re.findall(r"`([^`]*)`", fix):
        if command.startswith("muster "):
            muster.run(*command.split()[1:], expect=0)
        elif command.startswith("chmod "):
            subprocess.run(command, shell=True, check=True, cwd=muster.dir)


# -- who is asked


def test_it_says_who_was_asked(well):
    muster, hs = well
    said = muster.run("doctor", expect=0).out
    assert ("the running service was asked about its agents" in said) is (
        muster.running())
    assert ("no service runs: the files, the store and the homeserver were"
            in said) is not muster.running()
    assert "nothing is wrong, in " in said
    # Its tokens are asked about by whoever knows them.
    asked = [r.headers["Authorization"].removeprefix("Bearer ")
             for r in hs.find("GET", "/whoami$")]
    theirs = {muster.handoff(a)["access_token"] for a in AGENTS}
    assert bool(theirs & set(asked)) is not muster.running()


def test_fingerprints(well_on_conduit):
    muster, _ = well_on_conduit

    def mark(secret):
        return hashlib.sha256(secret.encode()).hexdigest()[:8]
    expected = [
        ("as_token", mark(muster.registration["as_token"])),
        ("hs_token", mark(muster.registration["hs_token"])),
        ("homeserver.admin.password", mark("operators-password"))]
    assert [(s["name"], s["fingerprint"])
            for s in muster.json("doctor")["secrets"]] == expected
    line, = [text for text in muster.run("doctor").out.splitlines()
             if text.startswith("secrets, by fingerprint: ")]
    assert line.endswith(", ".join(" ".join(pair) for pair in expected))
    muster.write("secrets/admin-password", "operators-password\n")
    assert muster.json("doctor")["secrets"][2] == {
        "name": "homeserver.admin.password",
        "fingerprint": expected[2][1], "newline_trimmed": True}
    assert f"{expected[2][1]} (without the newline at its end)" in muster.run(
        "doctor").out


def test_a_service_that_waits(well_on_conduit):
    """And does not say how its agents are."""
    muster, _ = well_on_conduit
    if muster.running():
        muster.stop()

    class Waits(http.server.BaseHTTPRequestHandler):
        def address_string(self):
            return "somebody"

        def do_GET(self):  # pylint: disable=invalid-name
            body = b'{"errcode":"M_UNKNOWN","error":"it waits for the store"}'
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self):
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "muster", 0
    with contextlib.suppress(FileNotFoundError):
        os.unlink(muster.path("muster.sock"))
    with Server(muster.path("muster.sock"), Waits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        got = muster.run("doctor", "--json", expect=3).json
        server.shutdown()
    assert got["service"] is True
    found = got["findings"][0]
    assert found["check"] == "service"
    assert found["what"].endswith("it waits for the store")
    # Nobody listens for the homeserver, then.
    assert [f["check"] for f in got["findings"]] == ["service", "ping"]
    assert "nobody listens at appservice.listen" in got["findings"][1]["fix"]


# -- what a person wrote


def test_a_configuration_that_is_wrong(well):
    muster, _ = well
    text = muster.read("muster.yaml")
    muster.write("muster.yaml", text + "fleeet: {}\nlog: {level: loud}\n")
    line = len(text.splitlines()) + 1
    found = findings(muster)
    assert [f["check"] for f in found] == ["configuration"] * 2
    assert [f["subject"].split("muster.yaml:")[1].split(":")[0]
            for f in found] == [str(line), str(line + 1)]
    assert all("muster.yaml check`" in f["fix"] for f in found)
    assert ("goes on with what it had" in found[0]["why"]) is muster.running()


def test_no_configuration(well):
    muster, _ = well
    muster.stop()
    os.unlink(muster.path("muster.yaml"))
    found, = findings(muster)
    assert found["check"] == "configuration"
    assert found["subject"] == muster.path("muster.yaml")
    assert "`muster init`" in found["fix"]
    muster.write_config()


def test_a_fleet_that_is_wrong(well):
    muster, _ = well
    before = muster.org
    muster.write_org({"people": "none"})
    subject, _ = the_finding(muster, "configuration", "people")
    assert subject.startswith(muster.path("org.json:"))
    muster.write_org(before)
    assert findings(muster) == []


def instead(make):
    def spoil(muster):
        os.unlink(muster.path("secrets/admin-password"))
        make(muster.path("secrets/admin-password"))
    return spoil


@pytest.mark.parametrize("spoil, what", [
    (lambda m: os.chmod(m.path("secrets/admin-password"), 0o644),
     r"can be read by others \(mode 0644\)"),
    (lambda m: m.write("secrets/admin-password", '{"password": "x"}'),
     'has the key "password": .*`ARN:password::`'),
    (lambda m: m.write("secrets/admin-password", ""),
     "is empty: store the bare value there"),
    (lambda m: m.write("secrets/admin-password", "a\0b"),
     "has a control character in it"),
    (lambda m: m.write("secrets/admin-password", "x" * 20000),
     "is too large: more than 16384 bytes"),
    (instead(lambda path: os.symlink("/etc", path)),
     "is a directory, not a file"),
    (instead(os.mkfifo), "is a special file"),
    (instead(lambda path: os.symlink(path, path)), "symbolic link"),
    (lambda m: m.write("secrets/admin-password", " hidden-word"),
     "with a blank")])
def test_a_secret(well_on_conduit, spoil, what):
    """And what it names makes it well."""
    muster, _ = well_on_conduit
    path = muster.path("secrets/admin-password")
    spoil(muster)
    subject, fix = the_finding(muster, "secret", what)
    assert re.match(r"homeserver.admin.password \(\S+muster.yaml:\d+\)$",
                    subject)
    if not os.path.isfile(path):
        assert fix.startswith("put a file with the bare secret there: ")
        os.unlink(path)
    command = re.findall("`([^`]*)`", fix)[0]
    assert command == (f"chmod 600 {path}" if "0644" in what
                       else f"(umask 077; cat >{path})")
    subprocess.run(command, shell=True, check=True, cwd=muster.dir,
                   input=b"operators-password")
    assert findings(muster) == []


def test_a_secret_of_the_configuration(well_on_conduit):
    muster, _ = well_on_conduit
    muster.write_config(homeserver={"registration_token": "a-token "})
    _, fix = the_finding(muster, "secret", "begins or ends with a blank")
    assert re.match(r"correct it in \S+muster.yaml, line \d+; ", fix)
    muster.write_config(homeserver={"registration_token": "a-token"})
    os.chmod(muster.path("muster.yaml"), 0o644)
    _, fix = the_finding(muster, "secret", "which others can read")
    do(muster, fix)
    assert findings(muster) == []


def test_a_variable_that_is_not_here(well_on_conduit):
    muster, _ = well_on_conduit
    muster.write_config(homeserver={"registration_token": {"env": "WORD"}})
    _, fix = the_finding(muster, "secret", "the environment has no WORD")
    assert fix.startswith("give WORD the bare secret, where muster is started")
    muster.env = {"WORD": "server-wants-this-token"}
    assert findings(muster) == []
    shown = muster.json("doctor")["secrets"][-1]
    assert shown["name"] == "homeserver.registration_token"


@pytest.mark.parametrize("mode, done", [(0o644, "read"), (0o620, "changed")])
def test_a_registration_that_others_can_read(well, mode, done):
    muster, _ = well
    os.chmod(muster.registration_path, mode)
    subject, fix = the_finding(
        muster, "registration", f"can be {done} by others .mode {mode:04o}")
    assert subject == muster.registration_path
    # A group may, which the homeserver reads it by.
    subprocess.run(re.search("`(chmod [^`]*)`", fix)[1], shell=True,
                   check=True)
    assert findings(muster) == []
    os.chmod(muster.registration_path, 0o640)
    assert findings(muster) == []


def test_a_registration_that_is_gone(well):
    muster, _ = well
    os.rename(muster.registration_path, muster.path("moved"))
    _, fix = the_finding(muster, "registration", "there is no registration yet")
    assert fix == "`muster registration`, then `muster register`"
    os.rename(muster.path("moved"), muster.registration_path)


def test_a_registration_that_is_another_than_the_configuration_says(stopped):
    muster, _ = stopped
    port = free_port()
    muster.write_config(appservice={
        "url": f"http://127.0.0.1:{port}", "listen": f"127.0.0.1:{port}"})
    found = findings(muster)
    assert found[0]["check"] == "registration"
    assert "url is not what the configuration says" in found[0]["what"]
    do(muster, found[0]["fix"])
    assert findings(muster) == []


# -- there


class Garbage(threading.Thread):
    """Somebody who says something to whoever connects."""

    def __init__(self, says):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.says = says
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.server.accept()
                with conn:
                    conn.recv(4096)
                    conn.sendall(self.says)

    def end(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


PAGE = (b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n"
        b"Content-Type: text/html\r\nConnection: close\r\n\r\n<p>nginx</p>\n")
OBJECT = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
          b"{}")


def url_is(muster, url):
    """But agents go on with what they were told."""
    old = muster.config["homeserver"]
    muster.write_config(homeserver={
        "public_url": old.get("public_url", old["url"]), "url": url})


@pytest.mark.parametrize("url, what, fix", [
    ("http://nobody.invalid:6167", "nobody knows the name", "name service"),
    ("http://127.0.0.1:1", r"nobody listens there \(refused\)",
     "start the homeserver")])
def test_a_homeserver_that_is_not_there(stopped, url, what, fix):
    muster, hs = stopped
    old = hs.url
    url_is(muster, url)
    subject, said = the_finding(muster, "homeserver", what)
    assert re.match(r"homeserver.url \(\S+muster.yaml:2\)$", subject)
    assert fix in said and f"`curl -i {url}/_matrix/client/versions`" in said
    assert "proxy" not in said
    _, said = the_finding(muster, "homeserver", what,
                          https_proxy="http://127.0.0.1:2")
    assert "https_proxy is set, which muster does not use" in said
    url_is(muster, old)
    assert findings(muster) == []


@pytest.mark.parametrize("says, what", [
    (PAGE, "something else answers there, which is no homeserver .*404"),
    (OBJECT, "something else answers there, which is no homeserver"),
    (b"SSH-2.0-OpenSSH\r\n", "what answers there speaks no HTTP, or hangs up"),
    (b"", "what answers there speaks no HTTP, or hangs up")])
def test_something_else_answers(stopped, says, what):
    muster, _ = stopped
    other = Garbage(says)
    url_is(muster, f"http://127.0.0.1:{other.port}")
    the_finding(muster, "homeserver", what)
    other.end()


def test_tls(stopped, tmp_path):
    muster, hs = stopped
    url_is(muster, hs.url.replace("http:", "https:"))
    the_finding(muster, "homeserver", "does not speak TLS")
    front = TlsFront(hs.port, tmp_path)
    url_is(muster, front.url)
    _, fix = the_finding(muster, "homeserver", "certificate is not accepted")
    assert "homeserver.ca_file" in fix
    muster.write_config(homeserver={"ca_file": front.ca_file})
    assert findings(muster) == []
    url_is(muster, front.url.replace("https:", "http:"))
    the_finding(muster, "homeserver", "something else answers|no HTTP|no answer")


def test_a_homeserver_that_went_away(well):
    """The service runs on, and says how its agents are."""
    muster, hs = well
    hs.stop()
    the_finding(muster, "homeserver", r"nobody listens there \(refused\)")
    hs.start()


# -- and back


def registered_as(hs, **changes):
    """What the homeserver has is another than what is in the file."""
    with hs.lock:
        registration = next(iter(hs.appservices.values())).registration
    hs.register_appservice({**registration, **changes})


def test_the_way_back_leads_nowhere(well):
    muster, hs = well
    muster.write_config()
    registered_as(hs, url=f"http://127.0.0.1:{free_port()}")
    subject, fix = the_finding(
        muster, "ping", f"the homeserver does not get through to http://"
        f"127.0.0.1:{muster.port}")
    assert subject.startswith("appservice.url (")
    assert "we answer on this machine" in fix
    assert "set NO_PROXY=127.0.0.1 there" in fix and "as ours" not in fix
    _, fix = the_finding(muster, "ping", "does not get through",
                         HTTP_PROXY="http://127.0.0.1:2")
    assert "(as ours has, HTTP_PROXY)" in fix


def test_nobody_answers_on_the_way_back(stopped):
    """A firewall swallows it: the homeserver waits for longer than we do for
    its answer."""
    muster, hs = stopped
    ended = threading.Event()
    hs.fault("POST", r"/ping$", hold(ended), times=None)
    try:
        _, fix = the_finding(
            muster, "ping", "the homeserver gets no answer in time from "
            f"http://127.0.0.1:{muster.port} ")
        assert "we answer on this machine" in fix
    finally:
        ended.set()


def test_something_else_has_our_port(stopped):
    """And no service runs that answers there."""
    muster, _ = stopped
    taken = http.server.HTTPServer(
        ("127.0.0.1", muster.port), http.server.SimpleHTTPRequestHandler)
    taken.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=taken.serve_forever, daemon=True).start()
    _, fix = the_finding(muster, "ping", "the homeserver")
    assert "something else listens at appservice.listen (it answers 501)" in fix
    taken.shutdown()
    taken.server_close()
    assert findings(muster) == []


def test_somebody_else_answers_anything(stopped):
    """On our port, or wherever the homeserver was sent to."""
    muster, hs = stopped
    with yes_sayer(muster.port):
        _, fix = the_finding(muster, "ping", "but not us")
        assert "something else has appservice.listen" in fix
    with yes_sayer() as url:
        muster.write_config(appservice={"url": url})
        muster.run("registration", expect=0)
        registered_as(hs, url=url)
        _, fix = the_finding(
            muster, "ping", f"the homeserver reaches something at {url}")
        assert fix.startswith("correct appservice.url, then")


def test_an_address_that_is_not_this_machine_s(stopped):
    muster, hs = stopped
    hs.fault("POST", r"/ping$", answer(
        502, {"errcode": "M_CONNECTION_FAILED"}), times=None)
    muster.write_config(appservice={"listen": f"192.0.2.7:{free_port()}"})
    _, fix = the_finding(muster, "ping", "does not get through")
    assert fix.startswith("correct appservice.listen, with an address of this "
                          "machine: 192.0.2.7:")
    assert fix.endswith(": cannot listen there: "
                        "Cannot assign requested address")


def test_who_listens_has_another_registration(stopped):
    muster, hs = stopped
    muster.start()
    registration = muster.registration
    registration["hs_token"] = "f" * 64
    # Of its own file it would have taken the new token up by itself.
    muster.write("other.yaml", yaml.safe_dump(registration))
    muster.write_config(appservice={"registration": "other.yaml"})
    registered_as(hs, hs_token="f" * 64)
    _, fix = the_finding(muster, "ping", "the homeserver")
    assert "has read another registration" in fix
    muster.restart()
    small.wait_settled(muster, hs)
    assert findings(muster) == []


@pytest.mark.parametrize("errcode, status, what", [
    ("M_CONNECTION_TIMEOUT", 504, "gets no answer in time"),
    ("M_URL_NOT_SET", 400, "without a URL"),
    ("M_FORBIDDEN", 403, "under another id"),
    ("M_UNRECOGNIZED", 404, None)])
def test_what_the_homeserver_says_of_the_way(stopped, errcode, status, what):
    muster, hs = stopped
    hs.fault("POST", r"/ping$", answer(status, {"errcode": errcode}),
             times=None)
    if what:
        the_finding(muster, "ping", what)
    else:  # it is too old to be asked
        assert findings(muster) == []


# -- whom it takes us for


def test_a_homeserver_that_does_not_know_us(well):
    muster, hs = well
    hs.unregister_appservice("muster")
    _, fix = the_finding(muster, "sender", "does not know our as_token")
    assert ("where that belongs" in fix) is not hs.conduit
    hs.add_appservice(muster.registration_path)
    assert findings(muster) == []


def test_a_token_of_another_sender(well_on_conduit):
    muster, hs = well_on_conduit
    registered_as(hs, sender_localpart="anna.vp")
    the_finding(muster, "sender", f"takes us for {full('anna.vp')}")
    registered_as(hs, sender_localpart="nobody")
    _, fix = the_finding(muster, "sender", "takes us for somebody else")
    assert fix == "`muster register`"


def test_another_server_s_name(stopped):
    muster, hs = stopped
    hs.fault("GET", r"/whoami$", answer(200, {"user_id": "@muster:x.test"}),
             times=None)
    subject, _ = next((f["subject"], f["what"]) for f in findings(muster)
                      if f["check"] == "sender")
    assert subject.startswith("homeserver.server_name (")


def namespaces(muster, users):
    return {**muster.registration["namespaces"],
            "users": [{"exclusive": True, "regex": users}]}


@pytest.mark.parametrize("left, missed", [
    ("cleo.ic", "anna.vp"), ("anna.vp", "ben.man")])
def test_a_namespace_that_is_narrower(well, left, missed):
    """Whoever of the fleet is still in it."""
    muster, hs = well
    registered_as(hs, namespaces=namespaces(
        muster, f"^@{re.escape(left)}:fleet\\.test$"))
    found = [f for f in findings(muster) if f["check"] == "namespace"]
    assert [f["subject"] for f in found] == [full(missed)]
    assert found[0]["fix"].startswith(
        "`muster register`" if hs.conduit else "start the homeserver again")
    assert "not in the one that the homeserver has" in found[0]["what"]


def test_a_namespace_that_is_wider(well):
    muster, hs = well
    registered_as(hs, namespaces=namespaces(muster, r"^@.*:fleet\.test$"))
    subject, fix = the_finding(
        muster, "namespace", "and not in that of our registration")
    assert subject == full(HUMAN)
    assert (fix == "`muster register`") is hs.conduit


# -- how it is set up


@pytest.mark.parametrize("off, words", [
    (90, r"its clock is \d+ s before ours"),
    (-7200, r"its clock is 7\d\d\d s behind ours"), (10, None), (-10, None)])
def test_clocks(well, off, words):
    muster, hs = well
    hs.clock_off = off
    if words:
        _, fix = the_finding(muster, "clock", words)
        assert "`timedatectl set-ntp true`" in fix
    else:
        assert findings(muster) == []


def test_open_registration(well):
    muster, hs = well
    users = len(hs.world.users)
    hs.allow_registration = True
    subject, fix = the_finding(
        muster, "accounts", "whoever reaches it can make an account")
    assert subject == hs.url
    assert ("CONDUIT_REGISTRATION_TOKEN" if hs.conduit
            else "enable_registration: false") in fix
    assert len(hs.world.users) == users
    hs.registration_token = "server-wants-this-token"
    assert findings(muster) == []


@pytest.mark.parametrize("flows, opened", [
    ([["m.login.terms", "m.login.dummy"]], True),
    ([["m.login.recaptcha"], ["m.login.dummy"]], True),
    ([["m.login.recaptcha", "m.login.dummy"]], False),
    ([["m.login.email.identity"]], False), ([], False)])
def test_ways_to_register(stopped, flows, opened):
    muster, hs = stopped
    hs.fault("POST", r"/register$", answer(401, {
        "flows": [{"stages": stages} for stages in flows], "session": "x"}),
        times=None)
    assert [f["check"] for f in findings(muster)] == ["accounts"] * opened


def test_a_registration_that_is_limited(stopped):
    """Nothing is known then."""
    muster, hs = stopped
    hs.fault("POST", r"/register$", answer(
        500, {"errcode": "M_UNKNOWN"}), times=None)
    assert findings(muster) == []


@pytest.mark.parametrize("who", ["anna.vp", "cleo.ic", "muster"])
def test_an_agent_that_is_administrator(well_on_conduit, who):
    muster, hs = well_on_conduit
    with hs.lock:
        hs.admin.make_admin(full(who))
    subject, fix = the_finding(muster, "administrator",
                               "in #admins:fleet.test")
    assert subject == full(who) and f"`/kick {full(who)}`" in fix
    with hs.lock:
        hs.world.set_member(hs.admin.room, hs.admin.bot, full(who), "leave")
    assert findings(muster) == []


# -- the store


def damage(muster, table):
    """The page where the table begins is full of something else."""
    with contextlib.closing(sqlite3.connect(muster.path("muster.db"))) as db:
        page, = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?",
                           (table,)).fetchone()
        size, = db.execute("PRAGMA page_size").fetchone()
    with open(muster.path("muster.db"), "r+b") as f:
        f.seek((page - 1) * size)
        f.write(b"\xff" * size)


@pytest.mark.parametrize("table", ["audit", "agent"])
def test_a_store_that_is_damaged(stopped, table):
    """Also where nobody reads just now."""
    muster, hs = stopped
    damage(muster, table)
    found, = findings(muster)
    assert found["check"] == "store"
    assert "malformed" in found["what"] or "is damaged (" in found["what"]
    shutil.move(muster.path("muster.db"), muster.path("muster.db.damaged"))
    assert "muster.db.damaged`" in found["fix"]
    muster.start()
    small.wait_settled(muster, hs)
    assert findings(muster) == []


def findings_of_code(muster):
    """The first finding, where the rest cannot be looked at."""
    got = muster.run("doctor", "--json")
    assert got.code == 3, got
    return got.json["findings"][0]


def test_a_store_of_something_else(stopped):
    muster, _ = stopped
    muster.write("muster.db", "no database, but a text\n" * 100)
    subject, _ = the_finding(muster, "store", "not a database")
    assert subject == muster.path("muster.db")


def test_a_disk_that_is_full(conduit_fake, muster_on, introduce, tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none",
                       path]).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        muster = muster_on(conduit_fake, org=small.org(),
                           store={"path": str(path / "muster.db")})
        introduce(muster, conduit_fake)
        conduit_fake.allow_registration = False
        subject, fix = the_finding(muster, "space", "only 1[56] MiB are free")
        assert subject == str(path / "muster.db") and "`df -h " in fix
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_network_file_system_that_is_said_to_be_none(stopped, tmp_path):
    muster, _ = stopped
    library = str(tmp_path / "nfs.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(
        os.path.dirname(agent.__file__), "nfs.c")], check=True)
    env = {"LD_PRELOAD": library,
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
           + ":verify_asan_link_order=0:detect_leaks=0"}
    assert findings(muster, **env) == []
    muster.write_config(store={"network": False})
    subject, _ = the_finding(
        muster, "space", "on a network file system, and is said not to", **env)
    assert subject.startswith("store.network (")
    assert findings(muster) == []


# -- the runtime root


def test_a_root_that_is_no_directory(stopped):
    muster, _ = stopped
    shutil.move(muster.runtime, muster.path("moved"))
    muster.write("runtime", "a file\n")
    found = findings_of_code(muster)
    assert (found["check"], found["subject"]) == ("root", muster.runtime)
    assert "it cannot be opened: Not a directory" in found["what"]


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may")


@root_only
def test_agents_that_cannot_enter(well_on_conduit):
    muster, _ = well_on_conduit
    muster.stop()
    muster.write_config(handoff={"owner": "4711:4711"})
    os.chmod(muster.runtime, 0o700)
    found = [f for f in findings(muster) if f["check"] == "root"]
    assert [f["fix"] for f in found] == [f"`chmod o+x {muster.runtime}`"]
    assert "(4711:4711) cannot enter" in found[0]["what"]
    do(muster, found[0]["fix"])
    assert "root" not in [f["check"] for f in findings(muster)]
    # Or as one of a group, or as whose it is.
    os.chmod(muster.runtime, 0o710)
    os.chown(muster.runtime, 0, 4711)
    assert "root" not in [f["check"] for f in findings(muster)]


def without(muster, *capabilities, check="root"):
    """What it says of this to one who has no power over files."""
    done = subprocess.run(
        [binary(), "-c", "muster.yaml", "doctor", "--json"], cwd=muster.dir,
        env=environment(), capture_output=True, text=True, timeout=60,
        preexec_fn=give_up(*capabilities))
    return [f for f in json.loads(done.stdout)["findings"]
            if f["check"] == check]


@root_only
@pytest.mark.parametrize("path, done", [
    ("kept/muster.db", "written"), ("kept/further/muster.db", "made")])
def test_a_directory_of_the_store_that_cannot_be_had(stopped, path, done):
    muster, _ = stopped
    muster.write_config(store={"path": path})
    os.mkdir(muster.path("kept"))
    assert without(muster, *MODES_DO_NOT_MATTER, check="store") == []
    os.chmod(muster.path("kept"), 0o555)
    found, = without(muster, *MODES_DO_NOT_MATTER, check="store")
    assert found["what"] == (
        f"its directory ./{os.path.dirname(path)} cannot be "
        f"{done}: Permission denied")
    os.chmod(muster.path("kept"), 0o700)
    command, = re.findall("`([^`]*)`", found["fix"])
    subprocess.run(command, shell=True, check=True, cwd=muster.dir)
    assert without(muster, *MODES_DO_NOT_MATTER, check="store") == []
    assert os.path.isdir(os.path.dirname(muster.path(path)))


@root_only
def test_files_that_cannot_be_given_away(stopped):
    muster, _ = stopped
    assert without(muster, CAP_CHOWN) == []
    muster.write_config(handoff={"owner": "4711:4711"})
    found, = without(muster, CAP_CHOWN)
    assert "a file cannot be put there: " in found["what"]
    assert "own" in found["what"]


@root_only
@pytest.mark.parametrize("root", ["runtime", "runtime/further/down"])
def test_a_root_that_cannot_be_written(stopped, root):
    muster, _ = stopped
    muster.write_config(handoff={"root": root})
    assert without(muster, *MODES_DO_NOT_MATTER) == []
    os.chmod(muster.path("runtime"), 0o555)
    found, = without(muster, *MODES_DO_NOT_MATTER)
    assert found["subject"].endswith(root)
    assert "Permission denied" in found["what"]
    assert found["why"] == "no agent can be given its token"
    os.chmod(muster.path("runtime"), 0o755)
    assert not os.path.exists(muster.path("runtime/further"))
