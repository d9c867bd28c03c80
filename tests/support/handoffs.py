"""Files of the hand-off as somebody else may write them, and a store that is
lost."""

import glob
import hashlib
import json
import os


def forget(muster):
    """The store is lost."""
    for path in glob.glob(muster.path("muster.db*")):
        os.unlink(path)


def signed(fields):
    """A hand-off or a tombstone with the digest that belongs to it."""
    last = "revoked_ms" if "revoked_ms" in fields else "access_token"
    lines = [str(fields[k]) for k in ("generation", "user_id", "device_id",
                                      "homeserver", last)]
    digest = hashlib.sha256("".join(x + "\n" for x in lines).encode())
    return {**fields, "sha256": digest.hexdigest()}


def write_json(path, document):
    """Replaces a file as everybody does here: whole."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(document, f)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)
