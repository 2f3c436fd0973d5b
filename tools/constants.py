"""Constants of Python modules as JSON, with what is said of them: `npm run gen` makes TypeScript of them.

Reads `{module: [name, …]}` from standard input and prints `{module: {name: {"value": text, "doc": text}}}`. `value` is
the constant as JSON, in which infinity is `Infinity`, bytes are a string of their numbers, a set is a sorted list, and
a Literal is the list of its choices.
"""

import ast
import importlib
import inspect
import json
import sys
from itertools import pairwise
from types import ModuleType
from typing import get_args


def constants(wanted: dict[str, list[str]]) -> dict[str, dict[str, dict[str, str]]]:
    """The constants by module and name."""
    return {name: _of_module(importlib.import_module(name), names) for name, names in wanted.items()}


def _of_module(module: ModuleType, names: list[str]) -> dict[str, dict[str, str]]:
    docs = _docs(module)
    values = {name: json.dumps(getattr(module, name), default=_plain) for name in names}
    return {name: {"value": value, "doc": docs.get(name, "")} for name, value in values.items()}


def _plain(value: object) -> str | list[str]:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return sorted(value) if isinstance(value, set | frozenset) else list(get_args(value))


def _docs(module: ModuleType) -> dict[str, str]:
    """The string that follows an assignment, by the name that is assigned."""
    body = ast.parse(inspect.getsource(module)).body
    found: dict[str, str] = {}
    for node, after in pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = inspect.cleandoc(str(after.value.value))
            found |= {target.id: text for target in _targets(node) if isinstance(target, ast.Name)}
    return found


def _targets(node: ast.stmt) -> list[ast.expr]:
    match node:
        case ast.Assign():
            return node.targets
        case ast.AnnAssign():
            return [node.target]
        case _:
            return []


if __name__ == "__main__":
    print(json.dumps(constants(json.load(sys.stdin))))
