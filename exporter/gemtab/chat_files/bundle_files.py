"""Make all files of a chat."""

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
"""The files of a chat without media."""


@dataclass(frozen=True)
class ChatFiles:
    """texts: contents by name in the bundle. notes: see `gemtab.bundle.manifest.Manifest`."""

    texts: Mapping[str, str]
    notes: tuple[str, ...]


def model_inputs(spec: ModelSpec) -> tuple[Input, ...]:
    """Return all inputs of the model, text included."""
    visual: tuple[Input, ...] = ("image", "video") if spec.vision else ()
    audio: tuple[Input, ...] = ("audio",) if spec.audio else ()
    return ("text", *visual, *audio)


def chat_files(files: Files, spec: ModelSpec, inputs: Sequence[Input]) -> ChatFiles:
    """Make the files of a chat that takes `inputs` with the model `spec`. A file in which nothing has to change is the
    checkpoint's own, byte for byte.

    Raises CheckpointError where something that a chat needs is neither in the checkpoint nor known.
    """
    template = find_template(files)
    tokenizer = read_tokenizer(files, spec.text.vocabulary, template.text)
    vocabulary = tokenizer.vocabulary
    special, special_notes = tokenizer_config(files, vocabulary, inputs)
    _check_placeholders(files, spec, vocabulary, special, inputs)
    generation, end_notes = generation_config(files, vocabulary, special, template.text, spec.text.vocabulary)
    texts = {
        TEMPLATE_NAME: template.text,
        TOKENIZER_NAME: tokenizer.text,
        TOKENIZER_CONFIG_NAME: _as_it_is_or_written(files, TOKENIZER_CONFIG_NAME, special),
        GENERATION_CONFIG_NAME: _as_it_is_or_written(files, GENERATION_CONFIG_NAME, generation),
    }
    notes = (*files.notes(), *template.notes, *tokenizer.notes, *special_notes, *end_notes)
    if tuple(inputs) == ("text",):
        return ChatFiles(_in_utf8(texts), notes)
    processor, media_notes = processor_config(files, spec, inputs)
    texts[PROCESSOR_CONFIG_NAME] = _as_it_is_or_written(files, PROCESSOR_CONFIG_NAME, processor)
    return ChatFiles(_in_utf8(texts), (*notes, *media_notes))


def _in_utf8(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts with U+FFFD for lone surrogates, which JSON can spell."""
    return {name: well_formed(text) for name, text in texts.items()}


def _check_placeholders(
    files: Files, spec: ModelSpec, vocabulary: Vocabulary, special: Mapping[str, Any], inputs: Sequence[Input]
) -> None:
    """Raise CheckpointError where the tokenizer's placeholders are not the ids for which the model takes media."""
    for one in inputs:
        if one == "text":
            continue
        name = "audio_token" if one == "audio" else "image_token"
        number = vocabulary.ids[special[name]]
        if number not in spec.text.media_ids:
            raise CheckpointError(
                f"{files.where}: {name} is {special[name]} with id {number} in the tokenizer, but {CONFIG_NAME} has no "
                f"such {name}_id, so the model would ignore {one}. Take both files from one model, or add --inputs "
                "text."
            )


def _as_it_is_or_written(files: Files, name: str, content: Mapping[str, Any]) -> str:
    """Return the text of the checkpoint's file where its content is the same, else `content` as JSON."""
    if json.dumps(read_object(files, name)) == json.dumps(content):  # 64.0 equals 64, but is not the same text
        return files.text(name)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
