"""What a handler raises to answer with something else than 200."""


class Refusal(Exception):
    """An answer with a Matrix error. errcode None: an empty body, which is
    what a panic in Conduit looks like from outside."""

    def __init__(self, status, errcode=None, text="", more=None):
        super().__init__(f"{status} {errcode} {text}")
        self.status = status
        self.errcode = errcode
        self.text = text
        self.more = more or {}  # further keys of the body


class Bare(Refusal):
    """One whose text stands as it is, without the errcode before it."""


def panic():
    return Refusal(500)


class Missing(Exception):
    """A request's body lacks something."""


class Body(dict):
    """A request's body."""

    def __missing__(self, key):
        raise Missing(f"missing field `{key}`")
