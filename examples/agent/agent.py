#!/usr/bin/env python3
"""A small agent: answers what it is asked, in every room it is in.

It needs nothing but Python and the variables that `muster-agent run` gives:

    muster-agent run --runtime DIR -- python3 agent.py "Ada Example" "VP of X"

A message of a person (m.text) is a question; the answer is a notice, so that
agents do not answer each other for ever.
"""

import itertools
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HOMESERVER = os.environ["MATRIX_HOMESERVER"].rstrip("/")
ME = os.environ["MATRIX_USER_ID"]


def token():
    """From the file where there is one: it may be replaced while we run."""
    path = os.environ.get("MATRIX_ACCESS_TOKEN_FILE")
    if path:
        with open(path, encoding="ascii") as f:
            return f.read().strip()
    return os.environ["MATRIX_ACCESS_TOKEN"]


def call(method, path, body=None, timeout=60):
    request = urllib.request.Request(
        f"{HOMESERVER}/_matrix/client/v3{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token()}",
                 "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)


def sync(since):
    query = {"timeout": 20000 if since else 0}
    if since:
        query["since"] = since
    return call("GET", "/sync?" + urllib.parse.urlencode(query))


def questions(state):
    for room, what in state.get("rooms", {}).get("join", {}).items():
        for event in what.get("timeline", {}).get("events", []):
            content = event.get("content", {})
            if (event.get("type") == "m.room.message"
                    and content.get("msgtype") == "m.text"
                    and event.get("sender") != ME):
                yield room, event["sender"], content.get("body", "")


def answer(room, text, number):
    # The same id when it is sent again: no answer twice.
    txn = f"{os.getpid()}-{int(time.time())}-{number}"
    call("PUT", f"/rooms/{urllib.parse.quote(room, safe='')}/send/"
         f"m.room.message/{txn}", {"msgtype": "m.notice", "body": text})


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else ME
    title = sys.argv[2] if len(sys.argv) > 2 else "agent"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    numbers = itertools.count(1)
    since = sync(None)["next_batch"]  # what was said before is not for us
    print(f"{name} is listening", flush=True)
    while True:
        try:
            state = sync(since)
            for room, sender, text in questions(state):
                print(f"{sender} asked: {text}", flush=True)
                answer(room, f"{name}, {title}: I am here.", next(numbers))
            since = state["next_batch"]
        except urllib.error.HTTPError as e:
            print(f"{name}: the homeserver answered {e.code}", flush=True)
            time.sleep(2)
        except OSError as e:
            print(f"{name}: {e}", flush=True)
            time.sleep(2)


if __name__ == "__main__":
    main()
