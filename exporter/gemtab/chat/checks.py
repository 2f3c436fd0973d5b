"""Reject invalid options and messages with an error that names them. Twin: webruntime/src/api/options.ts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from gemtab.chat.facts import MEDIA, SETTINGS
from gemtab.errors import UsageError

WHOLE = {"top_k", "seed", "max_tokens"}
"""Settings that are integers."""

ROLES = ("system", "user", "assistant", "tool")
_MESSAGE = ("role", "content", "tool_calls")
_READ_BY_TEMPLATES = ("name", "tool_call_id", "tool_responses", "reasoning_content", "thinking", "reasoning")


def fits(name: str, found: object) -> bool:
    """Whether `found` is a valid value of the setting `name`."""
    least, most = SETTINGS[name]
    if isinstance(found, bool) or not isinstance(found, int if name in WHOLE else int | float):
        return False
    return math.isfinite(found) and least <= found <= most


def expected(name: str) -> str:
    """Return the valid values of the setting `name`, in words."""
    least, most = SETTINGS[name]
    kind = "a whole number" if name in WHOLE else "a number"
    return f"{kind} from {least:g} on" if most == math.inf else f"{kind} from {least:g} to {most:.10g}"


def check_settings(**found: object) -> None:
    """Raise UsageError for a value outside SETTINGS."""
    for name, value in found.items():
        if not fits(name, value):
            raise UsageError(f"{name}: found {value!r}; expected {expected(name)}.")


def check_flags(**found: object) -> None:
    """Raise UsageError for a value that is neither True nor False."""
    for name, value in found.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name}: found {value!r}; expected True or False.")


def check_messages(found: object) -> None:
    """Raise UsageError where `found` is not a list of messages."""
    if isinstance(found, str | Mapping) or not isinstance(found, Sequence):
        raise UsageError(f"messages: found {_words(found)}; expected a list.")
    for index, message in enumerate(found):
        where = f"messages[{index}]"
        _check_members(message, (*_MESSAGE, *_READ_BY_TEMPLATES), where)
        _check_choice(message.get("role"), ROLES, f"{where}.role")
        check_content(message.get("content"), f"{where}.content")
        _check_calls(message.get("tool_calls"), f"{where}.tool_calls")


def check_content(found: object, where: str = "content") -> None:
    """Raise UsageError where `found` is neither text nor a list of parts. where: the location for the message."""
    if isinstance(found, str):
        return
    if not isinstance(found, list | tuple):
        raise UsageError(f"{where}: found {_words(found)}; expected text, or a list of parts.")
    for index, part in enumerate(found):
        _check_part(part, f"{where}[{index}]")


def _check_part(part: object, where: str) -> None:
    if not isinstance(part, Mapping):
        raise UsageError(f"{where}: found {_words(part)}; expected a part, such as {{'type': 'text', 'text': …}}.")
    kind = part.get("type")
    _check_choice(kind, ("text", *MEDIA), f"{where}.type")
    member = "text" if kind == "text" else "medium"
    _check_members(part, ("type", member), where)
    value = part.get(member)
    if kind == "text" and not isinstance(value, str):
        raise UsageError(f"{where}.text: found {_words(value)}; expected text.")
    if kind != "text" and getattr(value, "kind", None) != kind:
        raise UsageError(f"{where}.medium: found {_words(value)}; expected a Medium of that kind, from MediaReader.")


def _check_calls(found: object, where: str) -> None:
    if found is None:
        return
    calls = found if isinstance(found, list | tuple) else [found]
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            wanted = "{'type': 'function', 'function': {'name': …, 'arguments': …}}"
            raise UsageError(f"{where}: found {_words(call)}; expected {wanted}.")


def _check_members(found: object, known: Iterable[str], where: str) -> None:
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: found {_words(found)}; expected a dictionary.")
    for name in found:
        if name not in known:
            raise UsageError(f"{where}.{name}: unknown member.{_nearest(name, known)}")


def _check_choice(found: Any, known: Sequence[str], where: str) -> None:  # noqa: ANN401
    if found not in known:
        choices = ", ".join(f'"{name}"' for name in known)
        raise UsageError(f"{where}: {_words(found)} is not known. Choose one of {choices}.{_nearest(found, known)}")


def _nearest(found: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(found).lower(), list(known), 1)
    return f' Did you mean "{close[0]}"?' if close else ""


def _words(found: object) -> str:
    return repr(found) if isinstance(found, str | int | float | None) else f"a {type(found).__name__}"
