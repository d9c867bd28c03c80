"""An application service of a few lines: it writes a registration file, takes
down what a homeserver sends it, and answers as it is told."""

import json
import os
import re
import secrets
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from support.client import V1, V3, Client
from support.process import wait_until


class AppService:
    def __init__(self, server_name, dir, id="probe", users="agent-.*",
                 aliases="agent-.*"):
        self.server_name = server_name
        self.received = []  # (method, path, query, headers, body)
        self.answer = 200   # a status, or a function of the path that gives it
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        host = re.escape(server_name)
        self.registration = {
            "id": id,
            "url": f"http://127.0.0.1:{self._server.server_port}",
            "as_token": "as" + secrets.token_hex(16),
            "hs_token": "hs" + secrets.token_hex(16),
            "sender_localpart": f"{id}-sender",
            "rate_limited": False,
            "namespaces": {
                "users": [{"exclusive": True, "regex": f"^@{users}:{host}$"}],
                "aliases": [
                    {"exclusive": True, "regex": f"^#{aliases}:{host}$"}],
                "rooms": []}}
        self.path = os.path.join(str(dir), f"{id}.yaml")
        with open(self.path, "w", encoding="utf-8") as f:
            yaml.safe_dump(self.registration, f)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _handler(service):
        class Handler(BaseHTTPRequestHandler):
            def _take(self):
                size = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(size)
                path, _, query = self.path.partition("?")
                with service._lock:
                    service.received.append((
                        self.command, path, urllib.parse.parse_qs(query),
                        self.headers, json.loads(raw) if raw else None))
                    status = service.answer
                if callable(status):
                    status = status(path)
                answer = b"{}" if status < 300 else (
                    b'{"errcode":"M_NOT_FOUND","error":"as told"}')
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = _take

            def log_message(self, *args):
                pass
        return Handler

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def client(self, url, acting_as=None):
        return Client(url, self.registration["as_token"], acting_as=acting_as)

    def ping(self, url):
        return self.client(url).call(
            "POST", f"{V1}/appservice/{self.registration['id']}/ping", {})

    def register(self, url, localpart, **more):
        return self.client(url).call("POST", V3 + "/register", {
            "type": "m.login.application_service", "username": localpart,
            "inhibit_login": True, **more})

    def login(self, url, localpart, **more):
        return self.client(url).call("POST", V3 + "/login", {
            "type": "m.login.application_service",
            "identifier": {"type": "m.id.user", "user": localpart}, **more})

    # -- what came

    def transactions(self):
        """(transaction id, events) in the order of arrival, repeats too."""
        with self._lock:
            return [(path.rpartition("/")[2], body["events"])
                    for method, path, _, _, body in self.received
                    if method == "PUT"]

    def events(self):
        return [e for _, events in self.transactions() for e in events]

    def wait_event(self, check, bound=10):
        def found():
            return next((e for e in self.events() if check(e)), None)
        return wait_until(found, bound, "an event to arrive")
