"""The Jinja environment in which transformers renders chat templates: sandboxed, with its own tojson and namespace."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from gemtab.chat.generation_tags import GenerationTags

MAX_DIGITS = 10_000
"""Maximum digits of a power, as in the tab."""


class _Environment(ImmutableSandboxedEnvironment):
    """Rejects powers that would take minutes, also at compile time."""

    intercepted_binops = frozenset({"**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        whole = isinstance(left, int) and isinstance(right, int)
        if whole and _digits(left) * right > MAX_DIGITS:
            raise TemplateError("the power is too large")
        return super().call_binop(context, operator, left, right)


def _digits(number: int) -> int:
    """Return the number of digits, the sign included; more than MAX_DIGITS for large numbers, which are not
    counted."""
    return len(str(number)) if number.bit_length() < MAX_DIGITS else MAX_DIGITS + 1


def environment() -> ImmutableSandboxedEnvironment:
    """Return a new environment."""
    made = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTags, "jinja2.ext.loopcontrols"])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    made.globals["dict"] = _Dict()
    made.globals["namespace"] = _Namespace
    return made


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


class _Dict:
    """Makes dictionaries, and exposes nothing else of Python."""

    def __call__(self, *args: Any, **named: Any) -> dict[Any, Any]:  # noqa: ANN401
        return dict(*args, **named)

    fromkeys: Callable[..., dict[Any, Any]] = staticmethod(dict.fromkeys)


class _Namespace(Namespace):
    """Rejects names that begin with an underscore: those are Python's own."""

    def __init__(*args: Any, **named: Any) -> None:  # noqa: ANN401
        self, *rest = args
        members = dict(*rest, **named)
        for name in members:
            _check_member(name)
        Namespace.__init__(self, members)

    def __setitem__(self, name: str, value: object) -> None:
        _check_member(name)
        Namespace.__setitem__(self, name, value)


def _check_member(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no attribute that begins with an underscore: {name!r}")
