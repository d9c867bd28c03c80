"""The table of routes, and who may call them."""

import re

ROUTES = []

# {name} in a pattern stands for one part of the path.
PREFIX = r"^/_matrix/client/(?:r0|v1|v3)"


class Route:
    def __init__(self, method, pattern, auth, handler):
        self.method = method
        self.auth = auth
        self.handler = handler
        regex = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", pattern)
        self.regex = re.compile(
            (regex if pattern.startswith("/_matrix") or pattern == "/"
             else PREFIX + regex) + "$")


def route(method, pattern, auth="user"):
    """auth: "user" needs somebody to act as; "service" is for a service's
    token, or none; "none" takes anybody."""
    def mark(handler):
        ROUTES.append(Route(method, pattern, auth, handler.__name__))
        return handler
    return mark


def find(method, raw_path):
    """(route, its path's parts, not decoded), or (None, other methods exist)."""
    known = False
    for candidate in ROUTES:
        found = candidate.regex.match(raw_path)
        if found:
            if candidate.method == method:
                return candidate, found.groupdict()
            known = True
    return None, known
