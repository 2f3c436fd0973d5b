"""JavaScript that tests run in pages is in typed files (`playwright_tests/in_page`), not in strings of Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gemtab.resources import REPOSITORY

IN_PAGE = REPOSITORY / "playwright_tests" / "in_page"
FOLDERS = ("benchmarks", "playwright_tests", "real_tests", "tests")
SCRIPT = re.compile(r"=>|\bawait \w|\bdocument\.|\bnavigator\.|\b(const|let) [\w{}\[\], ]+ = ")
MAX_LINES, MAX_CHARACTERS = 3, 200
"""The limits of one short expression."""

NO_SCRIPTS = {Path("tests/house/test_in_page.py"), Path("playwright_tests/in_page/__init__.py")}


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (REPOSITORY / folder).rglob("*.py"))


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines and texts of string literals; those in f-strings with their parts joined."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def is_long(text: str) -> bool:
    return len(text) > MAX_CHARACTERS or len(text.strip().splitlines()) > MAX_LINES


def test_no_script_is_written_in_a_string() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in sources()
        if path.relative_to(REPOSITORY) not in NO_SCRIPTS
        for line, text in strings(ast.parse(path.read_text()))
        if is_long(text) and SCRIPT.search(text) and "<html" not in text
    ]
    assert found == [], f"move to {IN_PAGE.relative_to(REPOSITORY)}, as functions with types"


def test_tests_and_typed_functions_know_each_other() -> None:
    """Every function that a test names is there, and none is left that nobody names."""
    code = {path: path.read_text() for path in sources()}
    named = {name for text in code.values() for name in re.findall(r"in_page\(['\"]([\w-]+\.\w+)['\"]\)", text)}
    exported = {
        f"{path.stem}.{name}"
        for path in IN_PAGE.glob("*.ts")
        if path.stem != "site"
        for name in re.findall(r"^export (?:async )?(?:function|const) (\w+)", path.read_text(), re.MULTILINE)
    }
    assert named == exported
