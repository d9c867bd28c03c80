"""tests/spec-items.md is true: every item of the Application Service API has a
test that names it, or a reason to have none."""

import ast
import os
import re

import pytest

from support.muster import TOP

TESTS = os.path.join(TOP, "tests")
NUMBERS = [*range(1, 36), *range(40, 157), *range(160, 165)]
ITEMS = [f"AS-{n:02}" for n in NUMBERS] + [f"AS-91{c}" for c in "abcde"]


def table():
    """[(item, what, tests)] as they stand in the document."""
    with open(os.path.join(TESTS, "spec-items.md"), encoding="utf-8") as f:
        return re.findall(r"^\| (AS-\S+) \| (.+?) \| (.+) \|$", f.read(),
                          re.M)


def places(text):
    """"`file` one, two, `file` three" as [(file, name)]."""
    found = []
    for part in text.split(", "):
        file, name = re.fullmatch(r"(?:`([\w./]+)` )?(\w+)", part).groups()
        found.append((file or found[-1][0], name))
    return found


def comment_above(lines, first):
    """The number of the first line of what is said right above this one."""
    while first > 0 and lines[first - 1].lstrip().startswith(
            ("#", "/*", " *", "*")):
        first -= 1
    return first


def python_definition(source, name):
    lines = source.splitlines()
    for node in ast.parse(source).body:
        names = [target.id for target in getattr(node, "targets", ())
                 if isinstance(target, ast.Name)]
        if name in (*names, getattr(node, "name", None)):
            first = min([node.lineno, *(
                d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
            return "\n".join(
                lines[comment_above(lines, first):node.end_lineno])
    return ""


def c_definition(source, name):
    lines = source.splitlines()
    for first, line in enumerate(lines):
        if re.match(rf"static void {name}\(", line):
            last = lines.index("}", first)
            return "\n".join(lines[comment_above(lines, first):last])
    return ""


def definition(file, name):
    with open(os.path.join(TESTS, file), encoding="utf-8") as f:
        source = f.read()
    if file.endswith(".c"):
        # Only what is run counts.
        return c_definition(source, name) if len(re.findall(
            rf"\b{name}\b", source)) > 1 else ""
    return python_definition(source, name)


def test_every_item_is_there():
    assert sorted(item for item, _, _ in table()) == sorted(ITEMS)


@pytest.mark.parametrize("item, tests", [
    (item, tests) for item, _, tests in table()],
    ids=[item for item, _, _ in table()])
def test_item(item, tests):
    if re.match(r"(does not apply|not done): \w.{10}", tests):
        return
    for file, name in places(tests):
        assert re.search(rf"\b{item}\b", definition(file, name)), (
            f"{file}: {name} does not name {item}, or is not there")
