"""Nothing secret was printed by any test: tests/run runs this after all others,
over what they wrote down (support/printed.py)."""

import json
import os

import pytest

from support import printed

TOKEN = "c0ffee" * 8


@pytest.mark.parametrize("text, found", [
    (f"he said {TOKEN}.", True), (f'{{"token":"{TOKEN}"}}', True),
    (f"http://x/?access_token={TOKEN}&a=1", True), ("it is a long word", True),
    ("Authorization: Bearer abcdefghijk", True),
    ("syt_YW5uYQ_abcdefghijklmnopqrst_0aB1cD", True),
    (TOKEN[:-1], False), ("Authorization: Bearer ***", False), ("", False)])
def test_a_secret_would_be_found(tmp_path, text, found):
    (tmp_path / "1.secrets").write_text(
        json.dumps(TOKEN) + "\n" + json.dumps("a long word") + "\n",
        encoding="utf-8")
    (tmp_path / "2.said").write_text(
        json.dumps({"test": "x", "text": text}) + "\n", encoding="utf-8")
    search = printed.Search(tmp_path)
    assert [row[0] for row in search.shown] == ["x"] * found
    assert TOKEN not in str(search.shown)


def test_nothing_that_any_test_printed():
    where = os.environ.get("TEST_PRINTED")
    assert where and os.path.isdir(where), (
        "the other tests have to run before, by tests/run")
    search = printed.Search(where)
    assert search.shown == []
    # And there was something to look at.
    assert search.texts > 100 and search.characters > 100000
    assert len(search.secrets) > 100
