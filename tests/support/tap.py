"""Stands between a homeserver and the service: hands everything through, and
keeps the transactions that came, and what was asked."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Tap:
    """`url` is what the homeserver is told; `port` is where the service
    listens. While nobody listens there, it answers 502."""

    def __init__(self, port):
        self.port = port
        self._taken = []  # (path with query, headers, body), oldest first
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
