"""The HTTP side of the scripted homeserver: connections, the log of requests,
faults, and who is told before and after a request."""

import email.utils
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .faults import Fault, lie


class Request:
    """One request as the log keeps it."""

    def __init__(self, method, path, query, headers, raw):
        self.method = method
        self.path = urllib.parse.unquote(path)
        self.raw_path = path
        self.query = query
        self.headers = headers
        self.raw = raw
        self.body = None  # parsed, when it is JSON
        self.index = 0    # of all
        self.write = None  # which write it is, counted from 1; None: a read
        self.user = None  # who acted
        self.service = None  # the application service whose token it had
        self.status = None
        self.answer = None
        self.fault = None
        self.connection = None  # the other side's port: which one it came by
        self.started = time.monotonic()
        self.ended = None
        self.from_test = headers.get("X-From-Test") is not None
        if raw:
            try:
                self.body = json.loads(raw)
            except ValueError:
                pass

    @property
    def room(self):
        found = re.search(r"/(?:rooms|join)/([!#][^/]*)", self.path)
        return found and found[1]

    def __repr__(self):
        who = self.user or "-"
        return f"<{self.index} {self.method} {self.path} {who} {self.status}>"


class Log:
    """What came, in order; only what the program under test sent."""

    def __init__(self):
        self.all = []
        self.writes = 0
        self.lock = threading.Lock()
        self.in_flight = []
        self.most_in_flight = 0
        self.overlaps = []  # pairs of writes to one room at one time

    def begin(self, request):
        with self.lock:
            request.index = len(self.all) + 1
            if request.method != "GET" and not request.path.endswith("/ping"):
                self.writes += 1
                request.write = self.writes
            self.all.append(request)
            self.overlaps += [
                (other, request) for other in self.in_flight
                if request.write and other.write
                and request.room and other.room == request.room]
            self.in_flight.append(request)
            self.most_in_flight = max(
                self.most_in_flight, len(self.in_flight))

    def end(self, request):
        with self.lock:
            request.ended = time.monotonic()
            if request in self.in_flight:
                self.in_flight.remove(request)

    def clear(self):
        with self.lock:
            self.all = []
            self.writes = 0
            self.most_in_flight = 0
            self.overlaps = []


class Server:
    """Listens while it is started; `handle(request)` gives the answer as
    (status, body, headers)."""

    latency = 0.0  # seconds that every request takes

    def __init__(self, port):
        self.port = port
        self.log = Log()
        self.faults = []
        self.watchers = []
        self._server = None
        self._connections = set()

    def handle(self, request):
        raise NotImplementedError

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def listen(self):
        self._server = _Listener(("127.0.0.1", self.port), _Handler)
        self._server.hs = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,),
                         daemon=True).start()

    def hang_up(self):
        """Nobody listens any more, and every connection breaks."""
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        for connection in list(self._connections):
            _break(connection)

    # -- scripting

    def fault(self, method, path_regex, action, times=1, skip=0):
        """From now on the next `times` (None: all) requests of `method` ("*":
        any) whose decoded path fits go wrong as `action` says (faults.py)."""
        fault = Fault(method, path_regex, action, times, skip)
        self.faults.append(fault)
        return fault

    def lie(self, method, path_regex, times=1, skip=0):
        """From now on the next `times` such requests are answered as if they
        had been carried out, and nothing is done."""
        return self.fault(method, path_regex, lie(), times, skip)

    def clear_faults(self):
        self.faults = []

    def on_request(self, callback, reads=False):
        """callback(index, phase, method, path) around each write, the nth of
        which has index n; with `reads`, around every request. Phase "before":
        nothing is done yet; "after": done, but not answered. It runs in the
        request's own thread, so it may kill the program under test."""
        self.watchers.append((callback, reads))

    def _tell(self, request, phase):
        for callback, reads in list(self.watchers):
            index = request.index if reads else request.write
            if index is not None:
                callback(index, phase, request.method, request.path)

    def _fault_for(self, request):
        with self.log.lock:
            for fault in self.faults:
                if fault.take(request.method, request.path):
                    return fault.action
        return None

    def process(self, request):
        """The answer, and what the fault makes of the connection."""
        if request.from_test:
            return self.handle(request), None
        self.log.begin(request)
        try:
            self._tell(request, "before")
            fault = request.fault = self._fault_for(request)
            if fault and fault.until:
                fault.until.wait(60)
            if fault and fault.wait:
                time.sleep(fault.wait)
            got = None
            if fault is None or fault.process:
                got = self.handle(request)
            if self.latency:
                time.sleep(self.latency)
            self._tell(request, "after")
            if fault and fault.answer:
                got = (fault.answer(request) if callable(fault.answer)
                       else fault.answer)
            if got is not None:
                request.status, request.answer = got[0], got[1]
            return got, fault
        finally:
            self.log.end(request)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _break(connection):
    """A connection ends with a reset, not with a polite close."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.hs._connections.add(self.connection)

    def finish(self):
        self.server.hs._connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # the other side is gone

    def _take(self):
        hs = self.server.hs
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(size)
        path, _, query = self.path.partition("?")
        request = Request(self.command, path,
                          dict(urllib.parse.parse_qsl(
                              query, keep_blank_values=True)),
                          self.headers, raw)
        request.connection = self.client_address[1]
        got, fault = hs.process(request)
        if got is None or (fault and fault.reset):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self._answer(*got, cut=bool(fault and fault.cut))

    def _answer(self, status, body, headers, cut):
        if isinstance(body, (dict, list)):
            headers = {"Content-Type": "application/json", **headers}
            body = json.dumps(body, ensure_ascii=False).encode()
        body = body or b""
        self.send_response_only(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Date", email.utils.formatdate(
            time.time() + self.server.hs.clock_off, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self._headers_buffer.append(b"\r\n")
        head = b"".join(self._headers_buffer)
        self._headers_buffer = []
        if cut:
            body = body[:len(body) // 2]
            self.close_connection = True
        self.wfile.write(head + body)

    do_GET = do_PUT = do_POST = do_DELETE = _take

    def log_message(self, *args):
        pass
