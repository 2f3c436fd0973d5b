"""Write a chat's files: those of models/tiny, with the published models' ids and sizes."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gemtab.media.rules import PROCESSOR_CONFIG_NAME
from gemtab.resources import tiny_checkpoint

SPECIAL_IDS = {
    "<pad>": 0,
    "<eos>": 1,
    "<bos>": 2,
    "<unk>": 3,
    "<mask>": 4,
    "<|tool>": 46,
    "<tool|>": 47,
    "<|tool_call>": 48,
    "<tool_call|>": 49,
    "<|tool_response>": 50,
    "<tool_response|>": 51,
    '<|"|>': 52,
    "<|think|>": 98,
    "<|channel>": 100,
    "<channel|>": 101,
    "<|turn>": 105,
    "<turn|>": 106,
}
"""Ids of special tokens in the published tokenizer; config.json has the others."""

_MEDIA_KEYS = {
    "<|image>": "boi_token_id",
    "<|image|>": "image_token_id",
    "<image|>": "eoi_token_id",
    "<|audio>": "boa_token_id",
    "<|audio|>": "audio_token_id",
    "<audio|>": "eoa_token_index",
    "<|video|>": "video_token_id",
}

_STOPS = ("<eos>", "<turn|>", "<|tool_response>")
_IMAGE_TOKENS = 280


def write_chat_files(folder: Path, config: dict[str, Any]) -> None:
    """Write tokenizer, template, generation config and processor config that fit the model's config.json."""
    tiny = tiny_checkpoint()
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny / name).read_bytes())
    ids = {**SPECIAL_IDS, **{token: config[key] for token, key in _MEDIA_KEYS.items()}}
    tokenizer = grown_tokenizer(_read(tiny / "tokenizer.json"), ids, config["text_config"]["vocab_size"])
    _write(folder / "tokenizer.json", tokenizer, indent=None)
    generation = {**_read(tiny / "generation_config.json"), "eos_token_id": [ids[token] for token in _STOPS]}
    _write(folder / "generation_config.json", generation)
    unified = config["model_type"] == "gemma4_unified"
    _write(folder / PROCESSOR_CONFIG_NAME, _processor(_read(tiny / PROCESSOR_CONFIG_NAME), unified))


def grown_tokenizer(tokenizer: dict[str, Any], special: dict[str, int], size: int) -> dict[str, Any]:
    """Return a BPE tokenizer of `size` entries: special tokens at their ids, then the tokenizer's own pieces, then
    joined pairs of pieces, each with its merge."""
    grown = copy.deepcopy(tokenizer)
    model = grown["model"]
    own = [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece not in special]
    free = iter(sorted(set(range(size)) - set(special.values())))
    vocabulary = {**special, **dict(zip(own, free, strict=False))}
    for left, right in _pairs(own):
        if left + right not in vocabulary:
            if (number := next(free, None)) is None:
                break
            vocabulary[left + right] = number
            model["merges"].append([left, right])
    model["vocab"] = dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))
    for token in grown["added_tokens"]:
        token["id"] = special[token["content"]]
    grown["added_tokens"].sort(key=lambda token: token["id"])
    return grown


def _pairs(pieces: list[str]) -> Iterator[tuple[str, str]]:
    joined = [piece for piece in pieces if not piece.startswith("<0x")]
    return ((left, right) for left in joined for right in joined)


def _processor(tiny: dict[str, Any], unified: bool) -> dict[str, Any]:
    processor = {**tiny, "image_seq_length": _IMAGE_TOKENS}
    processor["image_processor"] = {**tiny["image_processor"], "max_soft_tokens": _IMAGE_TOKENS}
    if not unified:
        return processor
    processor["feature_extractor"] = {
        "feature_extractor_type": tiny["feature_extractor"]["feature_extractor_type"],
        "sampling_rate": tiny["feature_extractor"]["sampling_rate"],
        "audio_samples_per_token": 640,
    }
    renamed: dict[str, Any] = json.loads(json.dumps(processor).replace('"Gemma4', '"Gemma4Unified'))
    return renamed


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: dict[str, Any], indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
