"""What can be made to go wrong with a request."""

import re

from .world import hash_id


class Fault:
    """What happens to the next `times` requests that fit, after letting
    `skip` of them pass."""

    def __init__(self, method, path_regex, action, times, skip):
        self.method = method
        self.path = re.compile(path_regex)
        self.action = action
        self.left = times
        self.skip = skip
        self.hits = 0

    def take(self, method, path):
        """Is it this request's turn?"""
        if self.left == 0 or self.method not in ("*", method) or (
                not self.path.search(path)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True


class Action:
    """process: is the request carried out? answer: (status, body, headers)
    in place of the true one, with process=True of what was really done; or
    what gives it for a request.
    reset: the connection breaks instead of an answer. cut: only half of the
    answer comes. wait: seconds before anything; until: an event before it."""

    def __init__(self, process=True, answer=None, reset=False, cut=False,
                 wait=0.0, until=None):
        self.process = process
        self.answer = answer
        self.reset = reset
        self.cut = cut
        self.wait = wait
        self.until = until


def answer(status, body=None, headers=None, processed=False):
    """That answer. `body`: None for an empty one, a dict for JSON, bytes."""
    return Action(process=processed, answer=(status, body, headers or {}))


def limited(retry_after_ms=None, retry_after=None):
    """429, with the body's retry_after_ms, the Retry-After header (seconds),
    both, or neither."""
    body = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}
    if retry_after_ms is not None:
        body["retry_after_ms"] = retry_after_ms
    return answer(429, body, {} if retry_after is None else {
        "Retry-After": str(retry_after)})


def lie():
    """As if it had been carried out, and it was not."""
    return Action(process=False, answer=_as_if_done)


def _as_if_done(request):
    body = {}
    if request.path.endswith("/join") or "/join/" in request.path:
        body = {"room_id": request.room}
    elif re.search(r"/(state|send|redact)/", request.path):
        body = {"event_id": "$" + hash_id("a lie", request.index)}
    return 200, body, {}


def delay(seconds):
    return Action(wait=seconds)


def hold(event):
    """Not before this threading.Event is set; at most a minute."""
    return Action(until=event)


def reset_before():
    """Not carried out, and the connection breaks."""
    return Action(process=False, reset=True)


def reset_after():
    """Carried out, but the answer is lost."""
    return Action(reset=True)


def garbage(body=b"<html>not what you asked for</html>"):
    """Carried out, but the answer is not JSON."""
    return answer(200, body, {"Content-Type": "text/html"}, processed=True)


def cut_off():
    """Carried out, but half of the answer is missing."""
    return Action(cut=True)
