"""Validates untrusted JSON against a pydantic model, and stops at the first error.

pydantic collects all errors before it raises. For a few megabytes of invalid input this takes minutes and gigabytes. So
objects with many members are validated in parts, and lists stop at their first error (`fail_fast` in the schemas).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from gemtab.bundle.reading import AGAIN, parse_json
from gemtab.errors import BundleError

Model = TypeVar("Model", bound=BaseModel)

Maps = Mapping[str, tuple[TypeAdapter[Any], int]]
"""Fields of a model that are maps: by the field's name, the validator of a part of the map, and the most members."""

_AT_ONCE = 100
"""Members of a map that are validated together."""

_MAX_MEMBERS = 64
"""Most members of any other object."""

_MAX_VALUES = 500_000
"""Most members and items of a file. A plan of E2B has 60,000."""

_FREE = frozenset({"constants", "inputs", "outputs"})
"""Maps inside other objects, by the field's name."""

_MAX_FREE = 1_000
"""Most members of such a map."""


def parse(model: type[Model], text: str, path: Path, maps: Maps) -> Model:
    """Parse JSON as `model`, without conversions: a number in quotes is an error, as in the tab.

    path: of the file, for errors. maps: fields of `model` that are maps. Raises BundleError.
    """
    content = parse_json(text, path)
    if not isinstance(content, dict):
        raise BundleError(f"{path} is damaged: it is no JSON object. {AGAIN}")
    taken = {name: content[name] for name in maps if isinstance(content.get(name), dict)}
    for name, value in taken.items():
        _check_count(name, len(value), maps[name][1], path)
    rest = {**content, **{name: {} for name in taken}}
    _check_members([rest, *(list(value.values()) for value in taken.values())], path)
    whole = _validated(TypeAdapter(model), rest, path, ())
    parts = {name: _validated_map(name, value, maps[name][0], path) for name, value in taken.items()}
    made: Model = whole.model_copy(update=parts)
    return made


def _validated_map(name: str, value: dict[str, Any], adapter: TypeAdapter[Any], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in _chunks(value):
        found |= _validated(adapter, some, path, (name,))
    return found


def _chunks(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(value.items())
    for first in range(0, len(items), _AT_ONCE):
        yield dict(items[first : first + _AT_ONCE])


def _validated(adapter: TypeAdapter[Any], value: object, path: Path, location: tuple[str, ...]) -> Any:  # noqa: ANN401
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in (*location, *first["loc"]))
        said = f"{where}: {first['msg']}".removeprefix(": ")
        raise BundleError(
            f"{path} is damaged, or of another version of gemtab: {said}. Export the checkpoint again."
        ) from None


def _check_members(content: object, path: Path) -> None:
    """Raise BundleError if an object, or the whole file, has too many members."""
    waiting: list[tuple[str, object]] = [("", content)]
    count = 0
    while waiting:
        name, value = waiting.pop()
        count += len(value) if isinstance(value, dict | list) else 0
        _check_count("it", count, _MAX_VALUES, path)
        if isinstance(value, dict):
            _check_count(name, len(value), _MAX_FREE if name in _FREE else _MAX_MEMBERS, path)
            waiting.extend(item for item in value.items() if isinstance(item[1], dict | list))
        elif isinstance(value, list):
            waiting.extend((name, one) for one in value if isinstance(one, dict | list))


def _check_count(name: str, count: int, most: int, path: Path) -> None:
    if count > most:
        raise BundleError(f"{path} is damaged: {name or 'it'} has {count} members, more than {most}. {AGAIN}")
