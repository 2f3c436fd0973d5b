"""Which chat template a checkpoint has: transformers' versions have put it into four places."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jinja2 import Environment, TemplateError, TemplateSyntaxError

from gemtab.chat.generation_tags import GenerationTags
from gemtab.chat.template import TEMPLATE_NAME, TOKENIZER_CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError
from gemtab.media.rules import PROCESSOR_CONFIG_NAME

OLD_TEMPLATE_NAME = "chat_template.json"
"""Where processors of older releases keep the template."""

KEY = "chat_template"
DEFAULT = "default"
"""The name, among several templates, of the one for ordinary conversations."""


@dataclass(frozen=True)
class FoundTemplate:
    """The template, and what is to be said of it."""

    text: str
    notes: tuple[str, ...]


def has_template(files: Files) -> bool:
    """Whether there is one, whatever it is called."""
    return any(text.strip() for _, named in _places(files) for text in named.values())


def find_template(files: Files) -> FoundTemplate:
    """The template that transformers' tokenizer takes, or else its processor. Raises CheckpointError where there is
    none."""
    places = {place: named for place, named in _places(files) if any(text.strip() for text in named.values())}
    if not places:
        raise CheckpointError(
            f"{files.where} has no chat template: {TEMPLATE_NAME} is missing, {OLD_TEMPLATE_NAME} too, and neither "
            f"{TOKENIZER_CONFIG_NAME} nor {PROCESSOR_CONFIG_NAME} has {KEY}. A model that was not trained to chat has "
            "none: export its instruction-tuned version. For a model that you trained, put the template that it was "
            f"trained with into {TEMPLATE_NAME} there."
        )
    chosen, named = next(iter(places.items()))
    if not named.get(DEFAULT, "").strip():
        raise CheckpointError(
            f"{files.where}: {chosen} has the chat templates {', '.join(sorted(named))}, and none called {DEFAULT}, "
            f"which a chat needs. Put the one that is meant into {TEMPLATE_NAME} there."
        )
    _check_syntax(named[DEFAULT], f"{files.where}: the chat template of {chosen}")
    return FoundTemplate(named[DEFAULT], tuple(_notes(chosen, places)))


def _check_syntax(text: str, where: str) -> None:
    try:
        Environment(extensions=[GenerationTags, "jinja2.ext.loopcontrols"]).parse(text)
    except (TemplateError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
        raise CheckpointError(f"{where} cannot be read{line}: {error}. Correct it there.") from None


def _notes(chosen: str, places: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    text = places[chosen][DEFAULT]
    for place, named in places.items():
        if named.get(DEFAULT, text).strip() != text.strip():
            yield f"The chat template is that of {chosen}; {place} has another one, which is left out."
    others = [name for name, other in places[chosen].items() if other.strip() != text.strip()]
    if others:
        yield f"The chat template {DEFAULT} is taken; others are left out: {', '.join(sorted(others))}."


def _places(files: Files) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Templates by name at each place, in the order in which they are looked for."""
    own = files.find(TEMPLATE_NAME)
    yield TEMPLATE_NAME, {**files.additional_templates(), **({} if own is None else {DEFAULT: own})}
    for place in (TOKENIZER_CONFIG_NAME, OLD_TEMPLATE_NAME, PROCESSOR_CONFIG_NAME):
        yield place, _named((read_object(files, place) or {}).get(KEY), f"{files.where}: {place}")


def _named(found: object, where: str) -> Mapping[str, str]:
    """A template, a list of {name, template}, or templates by name."""
    if found is None or isinstance(found, str):
        return {DEFAULT: found or ""}
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        found = {one.get("name"): one.get("template") for one in found}
    if isinstance(found, dict) and all(isinstance(text, str) for pair in found.items() for text in pair):
        return found
    raise CheckpointError(
        f"{where}: {KEY} is neither a template nor a list of objects with name and template. Correct it, or put the "
        f"template into {TEMPLATE_NAME} there."
    )
