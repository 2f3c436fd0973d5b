"""Render conversations to prompts by the bundle's chat_template.jinja, in transformers' environment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.nodes import Const, TemplateData

from gemtab.bundle.reading import read_object, read_text
from gemtab.chat.environment import environment
from gemtab.chat.facts import MEDIA, THOUGHTS
from gemtab.chat.spoken import ControlTokens, Cut, map_strings, reread, strings_in, whole
from gemtab.chat.well_formed import well_formed
from gemtab.errors import BundleError, UsageError

TEMPLATE_NAME = "chat_template.jinja"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"

Messages = Sequence[Mapping[str, Any]]

ARGUMENTS = "[].tool_calls[].function.arguments"
MAX_CHARACTERS = 16 << 20
"""Maximum characters of a prompt, more than any context holds."""


@dataclass(frozen=True)
class Written:
    """A rendered conversation. Twins may hide some characters of users' text; `cut` restores them."""

    text: str
    cut: Cut


class ChatTemplate:
    """Renders messages.

    Raises BundleError where the template cannot be read or rejects the conversation, UsageError where it does not take
    the conversation's media.
    """

    def __init__(self, folder: Path) -> None:
        self._where = folder / TEMPLATE_NAME
        source = read_text(folder, TEMPLATE_NAME)
        self._special = _special_tokens(read_object(folder, TOKENIZER_CONFIG_NAME))
        try:
            made = environment()
            self._template = made.from_string(source)
            nodes = made.parse(source)
        except (ValueError, TemplateError, RecursionError, SyntaxError) as error:
            raise BundleError(f"{self._where} cannot be used: {error}. Export the checkpoint again.") from error
        texts = [node.data for node in nodes.find_all(TemplateData)]
        self._literals = [*texts, *(n.value for n in nodes.find_all(Const) if isinstance(n.value, str))]

    def names(self, token: str) -> bool:
        """Whether the template itself writes `token`."""
        return any(token in text for text in self._literals)

    def render(
        self,
        messages: Messages,
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """Return the prompt, `<bos>` included. add_generation_prompt: end with the opening of the model's turn.

        As in transformers, control tokens spelled out in messages are control tokens.
        """
        options = {"enable_thinking": thinking, "add_generation_prompt": add_generation_prompt}
        return self._render([normal(message) for message in messages], _plain(tools), options)

    def write(
        self,
        messages: Messages,
        control: ControlTokens,
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        trusted: bool = False,
    ) -> Written:
        """As `render`, but twins hide control tokens spelled out in messages, so that they become text. trusted: only
        in the model's own messages, where ordinary tokens spelled them."""
        said = [normal(message) for message in messages]
        given = _plain(tools)
        render = partial(
            self._render, options={"enable_thinking": thinking, "add_generation_prompt": add_generation_prompt}
        )
        fence = self._special.get("escape_token")
        # Tool calls of the model keep their wire format, with fences around strings.
        outside_fences = control.without(fence) if fence else control
        twins = control.twins(list(strings_in([said, given])), self._literals)
        if twins is None:
            return Written(render(said, given), whole)

        def hidden(everywhere: bool) -> str:
            def hide(text: str, path: str) -> str:
                if path == ARGUMENTS:
                    return outside_fences.guard(text, twins)
                return control.guard(text, twins, everywhere)

            kept = [trusted and message.get("role") != "assistant" for message in said]
            messages = [
                message if keep else hidden_in
                for message, hidden_in, keep in zip(said, map_strings(said, hide), kept, strict=True)
            ]
            return reread(render(messages, given if trusted else map_strings(given, hide)), twins)

        some, all_ = hidden(False), hidden(True)
        # Where the template itself joins users' text into control tokens, every character that could begin one is
        # hidden.
        text = some if control.found(some) == control.found(all_) else all_
        return Written(text, partial(control.pieces, twins=twins))

    def _render(self, messages: list[dict[str, Any]], tools: object, options: Mapping[str, bool]) -> str:
        given = {**self._special, "messages": messages, "tools": tools, "documents": None, **options}
        parts, length = [], 0
        try:
            for part in self._template.generate(given):
                parts.append(part)
                length += len(part)
                if length > MAX_CHARACTERS:
                    break
        except MemoryError:
            raise
        except Exception as error:  # a template can raise any exception
            raise self._refusal(error, messages) from error
        if length > MAX_CHARACTERS:
            raise BundleError(
                f"{self._where} makes a prompt of more than {MAX_CHARACTERS:,} characters of this conversation. "
                "Export the checkpoint again."
            )
        return "".join(parts)

    def _refusal(self, error: Exception, messages: list[dict[str, Any]]) -> BundleError | UsageError:
        kinds = [kind for kind in MEDIA if any(_has(message, kind) for message in messages)]
        if kinds and isinstance(error, TypeError):
            return UsageError(
                f"{self._where} takes only text, and this conversation has {', '.join(kinds)} ({error}). Leave media "
                "out, or export the checkpoint again with a template that takes them."
            )
        return BundleError(f"{self._where} rejects this conversation: {error}.")


def normal(message: Mapping[str, Any]) -> dict[str, Any]:
    """Normalise a message as transformers does: drop members that are None, and copy thoughts to all their keys. Of
    media the template sees only the type."""
    kept: dict[str, Any] = {key: _plain(value) for key, value in message.items() if value is not None}
    if isinstance(kept.get("content"), list):
        kept["content"] = [_part(part) for part in kept["content"]]
    thought = next((kept[name] for name in THOUGHTS if name in kept), None)
    return kept if thought is None else {"thinking": thought, **kept, "reasoning_content": thought}


def _part(part: object) -> object:
    return {"type": part["type"]} if isinstance(part, dict) and "medium" in part else part


def _has(message: Mapping[str, Any], kind: str) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == kind for part in content)


def _plain(value: object) -> Any:  # noqa: ANN401
    """Return `value` in JSON types with well-formed strings: templates see nothing else."""
    if value is None or isinstance(value, bool):
        return value
    for kind, made in _SCALARS.items():
        if isinstance(value, kind):
            return made(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return f"<{type(value).__name__}>"


_SCALARS: dict[type, Callable[[Any], Any]] = {str: well_formed, int: int, float: float}


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens that templates write, by key (`bos_token`, …): a string, or the `content` of an
    object."""
    found = {name: value for name, value in config.items() if name.endswith("_token")}
    contents = {name: value.get("content") if isinstance(value, dict) else value for name, value in found.items()}
    return {name: content for name, content in contents.items() if isinstance(content, str)}
