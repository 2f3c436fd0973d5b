"""All files of a chat."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gemtab.bundle.manifest import Input
from gemtab.chat.generation_config import GENERATION_CONFIG_NAME
from gemtab.chat.template import TEMPLATE_NAME, TOKENIZER_CONFIG_NAME
from gemtab.chat.tokenizer import TOKENIZER_NAME
from gemtab.chat.well_formed import well_formed
from gemtab.chat_files.ends import generation_config
from gemtab.chat_files.processor import processor_config
from gemtab.chat_files.template import find_template
from gemtab.chat_files.tokenizer import Vocabulary, read_tokenizer
from gemtab.chat_files.tokenizer_config import tokenizer_config
from gemtab.checkpoint.config import CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError
from gemtab.media.rules import PROCESSOR_CONFIG_NAME
from gemtab.model.spec import ModelSpec

TEXT_FILES = (GENERATION_CONFIG_NAME, TOKENIZER_NAME, TOKENIZER_CONFIG_NAME, TEMPLATE_NAME)
"""Those of a chat in text alone."""


@dataclass(frozen=True)
class ChatFiles:
    """texts: by name in the bundle; notes: see `gemtab.bundle.manifest.Manifest`."""

    texts: Mapping[str, str]
    notes: tuple[str, ...]


def model_inputs(spec: ModelSpec) -> tuple[Input, ...]:
    """All that the model takes, text always."""
    seen: tuple[Input, ...] = ("image", "video") if spec.vision else ()
    heard: tuple[Input, ...] = ("audio",) if spec.audio else ()
    return ("text", *seen, *heard)


def chat_files(files: Files, spec: ModelSpec, inputs: Sequence[Input]) -> ChatFiles:
    """The files of a chat that takes `inputs` with the model `spec`. A text is the checkpoint's own, byte for byte,
    where nothing in it has to change.

    Raises CheckpointError where something that a chat needs is neither there nor known otherwise.
    """
    template = find_template(files)
    tokenizer = read_tokenizer(files, spec.text.vocabulary, template.text)
    vocabulary = tokenizer.vocabulary
    special, told_of_special = tokenizer_config(files, vocabulary, inputs)
    _check_placeholders(files, spec, vocabulary, special, inputs)
    generation, told_of_ends = generation_config(files, vocabulary, special, template.text, spec.text.vocabulary)
    texts = {
        TEMPLATE_NAME: template.text,
        TOKENIZER_NAME: tokenizer.text,
        TOKENIZER_CONFIG_NAME: _as_it_is_or_written(files, TOKENIZER_CONFIG_NAME, special),
        GENERATION_CONFIG_NAME: _as_it_is_or_written(files, GENERATION_CONFIG_NAME, generation),
    }
    notes = (*files.notes(), *template.notes, *tokenizer.notes, *told_of_special, *told_of_ends)
    if tuple(inputs) == ("text",):
        return ChatFiles(_in_utf8(texts), notes)
    processor, told_of_media = processor_config(files, spec, inputs)
    texts[PROCESSOR_CONFIG_NAME] = _as_it_is_or_written(files, PROCESSOR_CONFIG_NAME, processor)
    return ChatFiles(_in_utf8(texts), (*notes, *told_of_media))


def _in_utf8(texts: Mapping[str, str]) -> dict[str, str]:
    """JSON may spell surrogates that are no characters; what is read of them later is U+FFFD."""
    return {name: well_formed(text) for name, text in texts.items()}


def _check_placeholders(
    files: Files, spec: ModelSpec, vocabulary: Vocabulary, special: Mapping[str, Any], inputs: Sequence[Input]
) -> None:
    """Raises CheckpointError where the tokens that stand for media are not those for which the model takes media."""
    for one in inputs:
        if one == "text":
            continue
        name = "audio_token" if one == "audio" else "image_token"
        number = vocabulary.ids[special[name]]
        if number not in spec.text.media_ids:
            raise CheckpointError(
                f"{files.where}: {name} is {special[name]} of id {number} by the tokenizer, but {CONFIG_NAME} has no "
                f"such {name}_id: the model would not see {one} there. Take both files of one model, or add --inputs "
                "text."
            )


def _as_it_is_or_written(files: Files, name: str, content: Mapping[str, Any]) -> str:
    """The text of the checkpoint's file where it says the same, else `content` as JSON."""
    if json.dumps(read_object(files, name)) == json.dumps(content):  # 64.0 equals 64, but is not the same text
        return files.text(name)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
