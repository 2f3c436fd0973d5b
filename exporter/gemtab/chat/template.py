"""Conversations to prompts, by the bundle's chat_template.jinja, in the environment that transformers gives it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gemtab.chat.generation_tags import GenerationTags
from gemtab.errors import BundleError

TEMPLATE_NAME = "chat_template.jinja"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"


class ChatTemplate:
    """Renders messages. Raises BundleError where the template cannot be read or refuses the conversation."""

    def __init__(self, folder: Path) -> None:
        self._where = folder / TEMPLATE_NAME
        try:
            self._template = _environment().from_string(self._where.read_text(encoding="utf-8"))
            self._special = _special_tokens(json.loads((folder / TOKENIZER_CONFIG_NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TemplateError) as error:
            raise BundleError(f"{self._where} cannot be used: {error}. Export the checkpoint again.") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt, `<bos>` included; add_generation_prompt: it ends with the opening of the model's turn."""
        try:
            return self._template.render(
                **self._special,
                messages=messages,
                tools=tools,
                enable_thinking=thinking,
                add_generation_prompt=add_generation_prompt,
            )
        except TemplateError as error:
            raise BundleError(f"{self._where} refuses this conversation: {error}.") from error


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and its like, which templates write themselves: a string, or an object with it in `content`."""
    found = {name: value for name, value in config.items() if name.endswith("_token")}
    contents = {name: value.get("content") if isinstance(value, dict) else value for name, value in found.items()}
    return {name: content for name, content in contents.items() if isinstance(content, str)}


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTags, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    return environment


def _tojson(value: object, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    # jinja2's own filter escapes for HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
