"""What tests of `muster register` have in common: what lies in the admin room,
other services, and killing it in the middle."""

import contextlib
import http.server
import os
import signal
import subprocess
import threading

from support.muster import binary
from support.process import environment


def last(got):
    return got.err.splitlines()[-1]


@contextlib.contextmanager
def yes_sayer(port=0):
    """Something that answers 200 to whatever anybody asks; its URL."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{there.server_port}"
        there.shutdown()


def another(id, regex, **more):
    return {"id": id, "url": None, "as_token": f"a-{id}", "hs_token": "h",
            "sender_localpart": f"{id}-bot", "namespaces": {"users": [
                {"exclusive": True, "regex": regex}]}, **more}


def otherwise(registration):
    """{what: (what somebody has changed by hand in what the homeserver has,
    what `muster register` says then)}, of the small fleet."""
    spaces = registration["namespaces"]

    def users(regex):
        return {"namespaces": {
            **spaces, "users": [{"exclusive": True, "regex": regex}]}}
    return {
        "hs_token": ({"hs_token": "e" * 64},
                     "registered, but with another URL or hs_token, or "),
        "url": ({"url": "http://127.0.0.1:1"},
                "registered, but with another URL or hs_token, or "),
        "no url": ({"url": None}, "registered, but the homeserver has a "
                   "registration without a URL"),
        "sender": ({"sender_localpart": "somebody"},
                   "registered, but the service's user is another than "
                   "@muster:fleet.test, and does not exist"),
        "narrower": (users(r"^@cleo\.ic:fleet\.test$"),
                     "registered, but without @anna.vp:fleet.test"),
        # But for the operator, who is to mend it.
        "wider": (users(r"^@[^o].*:fleet\.test$"),
                  "registered, but with @carla.ceo:fleet.test in the "
                  "namespace, who is not in that of "),
    }


def commands(hs):
    """What was typed into the admin room and can still be read there."""
    return [e["content"]["body"] for e in hs.admin.room.events
            if e["type"] == "m.room.message" and e["sender"] != hs.bot_id
            and "body" in e["content"]]


def assert_clean(muster, hs):
    """No token of ours can be read in the admin room, no session is left."""
    said = str([e["content"] for e in hs.admin.room.events])
    for secret in muster.secrets():
        assert secret not in said
    # A command of one line has none in it, whosever.
    assert [c for c in commands(hs) if "\n" in c] == []
    assert len(hs.tokens_of("operator")) == 1  # of the one who made it


def start(muster, *words):
    return subprocess.Popen(
        [binary(), "-c", muster.path("muster.yaml"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=muster.dir,
        env=environment())


class Killer:
    """Kills a program in the moment after the nth write that it asks for was
    done, and before it hears of it."""

    def __init__(self, hs):
        self.hs = hs
        self.index = 0
        hs.on_request(self._told)

    def _told(self, index, phase, _method, _path):
        if phase == "after" and index == self.index:
            os.kill(self.process.pid, signal.SIGKILL)

    def run(self, muster, index, *words):
        """Whether it came to that."""
        self.hs.clear_log()
        self.index = None
        self.process = start(muster, *words)
        self.index = index
        said = self.process.communicate(timeout=60)[0].decode()
        self.index = None
        assert self.process.returncode in (0, -signal.SIGKILL), said
        return self.process.returncode != 0
