"""Unexpected values, and locations in JSON to put them."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.hard.mutant import Json, Raw

Place = tuple[Json, Any]
"""A container, and the key or index of something in it."""

DEPTHS = (600, 5_000, 100_000)

NUMBERS: tuple[Json, ...] = (
    -1,
    0,
    1,
    3,
    -(2**31),
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**53,
    2**63,
    2**64,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    Raw("1e999"),
    Raw("-1e999"),
    Raw("9" * 5000),
    "5",
    None,
    True,
    [],
)

PATHS = (
    "../secret.bin",
    "../../../../etc/passwd",
    "/etc/passwd",
    "shaders/../../evil.wgsl",
    "..",
    ".",
    "",
    "plan",
    ".hidden",
    "a//b",
    "a/./b",
    "a\\..\\b",
    "C:\\windows\\win.ini",
    "nul\u0000.bin",
    "x" * 300,
    "x" * 100_000,
    "http://evil.example/plan.json",
    "//evil.example/plan.json",
    "data:application/json,{}",
    "%2e%2e/secret.bin",
    "plan/f32.json?x=1#y",
    "plan/f32.json/",
    "gemtab.json",
    "\u202eexe.nosj",
    "__proto__",
    "constructor",
    "/dev/zero",
    "/dev/stdin",
)

TEXTS = (
    "",
    " ",
    "[/]",
    "[/bold] [link=http://evil.example]here[/link]",
    "[red",
    "\\[",
    "\u001b]52;c;ZXZpbA==\u0007",
    "\u001b[2J\u001b]0;title\u0007",
    "\rover",
    "\u202egnp.exe",
    "\u0000",
    "\ud800",
    "x" * 200_000,
    "\n" * 2000,
    "{{ 7 * 7 }}",
    "<img src=x onerror=alert(1)>",
    "__proto__",
    "A\u0300" * 500,
)

KEYS = (
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "",
    "\u0000",
    "\ud800",
    "then",
    "x" * 10_000,
    "format ",
)


def deep(rng: Random) -> Raw:
    """Brackets or braces within each other."""
    depth = rng.choice(DEPTHS)
    if rng.random() < 0.5:
        return Raw("[" * depth + "]" * depth)
    return Raw('{"a":' * depth + "1" + "}" * depth)


def other(value: Json, rng: Random) -> Json:
    """Something of another type."""
    choices: list[Callable[[], Json]] = [
        lambda: None,
        lambda: True,
        lambda: 7,
        lambda: -1.5,
        lambda: rng.choice(TEXTS),
        list,
        dict,
        lambda: [None],
        lambda: {"a": {"b": []}},
        lambda: [value],
        lambda: {"value": value},
        lambda: deep(rng),
    ]
    return rng.choice(choices)()


def positions(tree: Json, test: Callable[[Json], bool] = lambda _: True) -> list[Place]:
    """Where values are that the test takes, at any depth."""
    return [place for place in _walk(tree) if test(place[0][place[1]])]


def _walk(tree: Json) -> Iterator[Place]:
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in members:
        yield tree, key
        yield from _walk(value)


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: Json) -> bool:
    return isinstance(value, str)


def shallow(tree: Json, rng: Random, test: Callable[[Json], bool] = lambda _: True) -> Place:
    """A place, drawn by names from the outside in, so that large tables do not take all the draws."""
    for _ in range(64):
        found = _descend(tree, rng)
        if test(found[0][found[1]]):
            return found
    return rng.choice(positions(tree, test))


def _descend(tree: Json, rng: Random) -> Place:
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = rng.choice(keys)
        value = node[key]
        if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
            return node, key
        node = value


def damage_text(content: bytes, rng: Random) -> bytes:
    """The bytes of a text file as no reader wants them."""
    text = content.decode("utf-8", "replace")
    cut = rng.randrange(len(content))
    depth = rng.choice(DEPTHS)
    choices: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b"\xef\xbb\xbf" + content,
        lambda: text.encode("utf-16"),
        lambda: content[:cut],
        lambda: content[:cut] + b"\xff\xfe\x80" + content[cut:],
        lambda: content + b"\x00" * 4096,
        lambda: content + content,
        lambda: content[:cut] + b"\x00" + content[cut:],
        lambda: b"null",
        lambda: b"[]",
        lambda: b"{}",
        lambda: b'"text"',
        lambda: b"12",
        lambda: b"<!doctype html><title>404</title>",
        lambda: b"[" * depth + b"]" * depth,
        lambda: b'{"a":' * depth + b"1" + b"}" * depth,
        lambda: b"[" * depth,
        lambda: b"\x80" * 100,
        lambda: b" " * (4 << 20) + content,
    ]
    return rng.choice(choices)()


def duplicate_key(text: str, rng: Random) -> str:
    """One of the names of an object stands twice in it, the first time with null."""
    parts = text.split('": ')
    at = rng.randrange(1, len(parts))
    name = parts[at - 1].rsplit('"', 1)[1]
    before = parts[at - 1][: -len(name)]
    return '": '.join([*parts[: at - 1], f'{before}{name}": null, "{name}', *parts[at:]])
