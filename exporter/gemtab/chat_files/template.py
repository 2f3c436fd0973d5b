"""Find a checkpoint's chat template: transformers' versions have saved it in four locations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jinja2 import Environment, TemplateError, TemplateSyntaxError

from gemtab.chat.generation_tags import GenerationTags
from gemtab.chat.template import TEMPLATE_NAME, TOKENIZER_CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError
from gemtab.media.rules import PROCESSOR_CONFIG_NAME

OLD_TEMPLATE_NAME = "chat_template.json"
"""The file in which processors of older releases keep the template."""

KEY = "chat_template"
DEFAULT = "default"
"""The name of the template for ordinary conversations, among several templates."""


@dataclass(frozen=True)
class FoundTemplate:
    """The template, and notes on it."""

    text: str
    notes: tuple[str, ...]


def has_template(files: Files) -> bool:
    """Whether the checkpoint has a template of any name."""
    return any(text.strip() for _, named in _sources(files) for text in named.values())


def find_template(files: Files) -> FoundTemplate:
    """Return the template that transformers' tokenizer takes, else its processor's. Raises CheckpointError where the
    checkpoint has none."""
    sources = {source: named for source, named in _sources(files) if any(text.strip() for text in named.values())}
    if not sources:
        raise CheckpointError(
            f"{files.where} has no chat template: {TEMPLATE_NAME} and {OLD_TEMPLATE_NAME} are missing, and neither "
            f"{TOKENIZER_CONFIG_NAME} nor {PROCESSOR_CONFIG_NAME} has {KEY}. A model that was not trained to chat has "
            "none: export its instruction-tuned version. For a model that you trained, save the template of its "
            f"training as {TEMPLATE_NAME}."
        )
    chosen, named = next(iter(sources.items()))
    if not named.get(DEFAULT, "").strip():
        raise CheckpointError(
            f"{files.where}: {chosen} has the chat templates {', '.join(sorted(named))}, and none called {DEFAULT}, "
            f"which a chat needs. Save the one to use as {TEMPLATE_NAME}."
        )
    _check_syntax(named[DEFAULT], f"{files.where}: the chat template of {chosen}")
    return FoundTemplate(named[DEFAULT], tuple(_notes(chosen, sources)))


def _check_syntax(text: str, where: str) -> None:
    try:
        Environment(extensions=[GenerationTags, "jinja2.ext.loopcontrols"]).parse(text)
    except (TemplateError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
        raise CheckpointError(f"{where} cannot be read{line}: {error}. Correct the template.") from None


def _notes(chosen: str, sources: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    text = sources[chosen][DEFAULT]
    for source, named in sources.items():
        if named.get(DEFAULT, text).strip() != text.strip():
            yield f"The chat template is from {chosen}; {source} has another one, which is left out."
    others = [name for name, other in sources[chosen].items() if other.strip() != text.strip()]
    if others:
        yield f"The chat template {DEFAULT} is used; others are left out: {', '.join(sorted(others))}."


def _sources(files: Files) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield each location and its templates by name, in the order of precedence."""
    own = files.find(TEMPLATE_NAME)
    yield TEMPLATE_NAME, {**files.additional_templates(), **({} if own is None else {DEFAULT: own})}
    for source in (TOKENIZER_CONFIG_NAME, OLD_TEMPLATE_NAME, PROCESSOR_CONFIG_NAME):
        yield source, _named((read_object(files, source) or {}).get(KEY), f"{files.where}: {source}")


def _named(found: object, where: str) -> Mapping[str, str]:
    """Return templates by name, from a template, a list of {name, template}, or an object."""
    if found is None or isinstance(found, str):
        return {DEFAULT: found or ""}
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        found = {one.get("name"): one.get("template") for one in found}
    if isinstance(found, dict) and all(isinstance(text, str) for pair in found.items() for text in pair):
        return found
    raise CheckpointError(
        f"{where}: {KEY} is neither a template nor a list of objects with name and template. Correct it, or save the "
        f"template as {TEMPLATE_NAME}."
    )
