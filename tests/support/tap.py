"""What stands between a homeserver and the service, hands everything through,
and keeps what came: Tap the transactions, Asked the service's requests."""

import http.client
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Tap:
    """`url` is what the homeserver is told; `port` is where the service
    listens. While nobody listens there it answers 502; while `refuse` is true,
    to transactions."""

    def __init__(self, port):
        self.port = port
        self.refuse = False
        self._taken = []  # (path with query, headers, body), oldest first
        self._answered = []  # the bodies of those that were answered 200
        self._asked = []  # (path, status)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _handler(tap):
        class Handler(BaseHTTPRequestHandler):
            def _through(self):
                body = self.rfile.read(
                    int(self.headers.get("Content-Length") or 0))
                headers = {k: v for k, v in self.headers.items()
                           if k.lower() in ("authorization", "content-type")}
                if self.command == "PUT":
                    with tap._lock:
                        tap._taken.append((self.path, headers, body))
                status, answer = tap.pass_on(
                    self.command, self.path, headers, body)
                if self.command == "PUT" and status == 200:
                    with tap._lock:
                        tap._answered.append(body)
                if self.command == "GET":
                    with tap._lock:
                        tap._asked.append(
                            (self.path.partition("?")[0], status))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = _through

            def log_message(self, *args):
                pass
        return Handler

    def pass_on(self, method, path, headers, body):
        """One request to the service; (status, body)."""
        if self.refuse and method == "PUT":
            return 502, b"{}"
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            conn.request(method, path, body, headers)
            got = conn.getresponse()
            return got.status, got.read()
        except (OSError, http.client.HTTPException):
            return 502, b"{}"
        finally:
            conn.close()

    def transactions(self):
        with self._lock:
            return list(self._taken)

    def taken(self):
        """The bodies of those that the service took."""
        with self._lock:
            return list(self._answered)

    def asked(self):
        with self._lock:
            return list(self._asked)

    def send_again(self, transaction):
        """What the homeserver sent once, once more; (status, body)."""
        path, headers, body = transaction
        return self.pass_on("PUT", path, headers, body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


# What the service writes, and whom or what that is about: a word, and a
# pattern of "METHOD /path" whose groups are (room id, rest).
_WRITES = [(word, re.compile(pattern)) for word, pattern in (
    ("register", r"POST /register$"),
    ("login", r"POST /login$"),
    ("end tokens", r"POST /logout/all$"),
    ("name", r"PUT /profile/[^/]+/displayname$"),
    ("create", r"POST /createRoom$"),
    ("join", r"POST /join/([^/]+)$"),
    ("join", r"POST /rooms/([^/]+)/join$"),
    ("invite", r"POST /rooms/([^/]+)/invite$"),
    ("leave", r"POST /rooms/([^/]+)/leave$"),
    ("kick", r"POST /rooms/([^/]+)/kick$"),
    ("unban", r"POST /rooms/([^/]+)/unban$"),
    ("set", r"PUT /rooms/([^/]+)/state/([^/]+)/?$"),
    ("alias", r"PUT /directory/room/([^/]+)$"),
    ("no alias", r"DELETE /directory/room/([^/]+)$"),
    ("account data", r"PUT /user/[^/]+/account_data/([^/]+)$"))]


def _what(method, path, body, acting):
    """What a write does, in words: (word, of what or where, who)"""
    def plain(text):
        return urllib.parse.unquote(text)
    for word, pattern in _WRITES:
        found = pattern.match(f"{method} {path}")
        if not found:
            continue
        if word == "register":
            return word, None, body["username"]
        if word == "login":
            return word, None, body["identifier"]["user"]
        if word == "create":
            return word, body.get("room_alias_name") or frozenset(
                [acting, *body["invite"]]), None
        at = [plain(group) for group in found.groups()] or [None]
        if word == "set":
            return word, at[0], at[1]
        return word, at[0], body.get("user_id", acting)
    return method, plain(path), acting


class Asked:
    """`url` is what the service is told as the homeserver's; `target` is
    where that one is. While nobody listens there, it answers 502."""

    def __init__(self, target, as_token):
        """`as_token()`: only what is asked with it counts."""
        self.target = urllib.parse.urlsplit(target)
        self._as_token = as_token
        self._writes = []  # (word, what or where, who), those that succeeded
        self._refused = []
        self._reads = []  # paths
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _handler(asked):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _through(self):
                body = self.rfile.read(
                    int(self.headers.get("Content-Length") or 0))
                headers = {k: v for k, v in self.headers.items()
                           if k.lower() in ("authorization", "content-type")}
                status, answer, kind = asked._pass_on(
                    self.command, self.path, headers, body)
                if headers.get("Authorization") == (
                        f"Bearer {asked._as_token()}"):
                    asked._write_down(self.command, self.path, body, status)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_DELETE = _through

            def log_message(self, *args):
                pass
        return Handler

    def _pass_on(self, method, path, headers, body):
        conn = http.client.HTTPConnection(
            self.target.hostname, self.target.port, timeout=60)
        try:
            conn.request(method, path, body or None, headers)
            got = conn.getresponse()
            return got.status, got.read(), got.headers.get(
                "Content-Type", "application/json")
        except (OSError, http.client.HTTPException):
            return 502, b"{}", "application/json"
        finally:
            conn.close()

    def _write_down(self, method, path, body, status):
        path, _, query = path.partition("?")
        path = re.sub(r"^/_matrix/client/[^/]+", "", path)
        with self._lock:
            if method == "GET":
                self._reads.append(urllib.parse.unquote(path))
                return
            acting = urllib.parse.parse_qs(query).get("user_id", [None])[0]
            what = _what(method, path, json.loads(body or b"{}"), acting)
            if status == 200:
                self._writes.append(what)
            else:
                self._refused.append((status, *what))

    def writes(self):
        with self._lock:
            return list(self._writes)

    def refused(self):
        with self._lock:
            return list(self._refused)

    def reads(self):
        with self._lock:
            return list(self._reads)

    def clear(self):
        with self._lock:
            self._writes, self._refused, self._reads = [], [], []

    def close(self):
        self._server.shutdown()
        self._server.server_close()
