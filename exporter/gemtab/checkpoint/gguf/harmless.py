"""Normalise GGUF metadata: translate other spellings, and drop values that do not change the computation.

A value that could change the model stays, and is rejected with an error that names it.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TypeGuard

Given = Mapping[str, object]

SPELLINGS = {
    "rope.global.freq_base": "rope.freq_base",
    "rope.local.freq_base": "rope.freq_base_swa",
    "rope.scale_linear": "rope.scaling.factor",
}
"""Keys of older and other converters, with llama.cpp's current keys."""

TOWERS = ("vision.", "audio.", "mm.", "clip.")
"""Prefixes of keys that describe towers, which are left out."""

GEMMA3_27B_LAYERS = 62
"""Layers of the only Gemma 3 model whose scores are scaled by hidden / heads instead of the head size."""

_OFF_AT_0 = (
    "final_logit_softcapping",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "vocab_size",
    "rope.dimension_count",
    "rope.dimension_count_swa",
)
"""Keys that count as absent where they are 0, as in llama.cpp."""

_CLOSE = 1e-5
"""Relative difference of an f32 from the double that it was written from."""


def readable(given: Given, architecture: str, read: Collection[str]) -> dict[str, object]:
    """Return the metadata after `gemma3.` or `gemma4.` in llama.cpp's spelling, without values that have no effect.

    read: the keys that gemtab reads.
    """
    spelled = {key: value for key, value in given.items() if key not in SPELLINGS and not key.startswith(TOWERS)}
    for theirs, ours in SPELLINGS.items():
        if theirs in given:
            spelled.setdefault(ours, given[theirs])
    spelled = _with_scaling(spelled)
    computed = _computed(spelled, architecture)
    return {key: value for key, value in spelled.items() if not _is_harmless(key, value, computed, read)}


def _with_scaling(given: dict[str, object]) -> dict[str, object]:
    """Apply llama.cpp's rules for scaling positions: a factor without a type is linear; a factor of 0 or 1, and a type
    without a factor, mean no scaling."""
    kind, factor = given.get("rope.scaling.type", "linear"), given.get("rope.scaling.factor", 1.0)
    if kind not in ("linear", "none"):
        return given
    rest = {key: value for key, value in given.items() if key not in ("rope.scaling.type", "rope.scaling.factor")}
    off = kind == "none" or factor in (0, 1)
    return rest if off else {**rest, "rope.scaling.type": "linear", "rope.scaling.factor": factor}


def _is_harmless(key: str, value: object, computed: Given, read: Collection[str]) -> bool:
    if key in computed:
        return _says(value, computed[key])
    if key in read:
        return key in _OFF_AT_0 and value == 0
    return key == "rope.scaling.finetuned" or _is_nothing(value)


def _computed(given: Given, architecture: str) -> Given:
    """Return the values that gemtab computes with, by the keys that could state them, as far as the metadata allow."""
    found: dict[str, object] = {
        "attention.causal": True,
        "attention.layer_norm_epsilon": given.get("attention.layer_norm_rms_epsilon"),
        "attention.scale": 1.0 if architecture == "gemma4" else _gemma3_scale(given),
        "embedding_length_out": given.get("embedding_length"),
        "expert_weights_scale": 1.0,
        "logit_scale": 1.0,
        "residual_scale": 1.0,
        "rope.scaling.attn_factor": 1.0,
        "rope.scaling.original_context_length": given.get("context_length"),
        "tensor_data_layout": "reference",
    }
    if _is_number(hidden := given.get("embedding_length")):
        found["embedding_scale"] = math.sqrt(hidden)
    return {key: value for key, value in found.items() if value is not None}


def _gemma3_scale(given: Given) -> float | None:
    """Return the factor of Gemma 3's scores."""
    hidden, heads = given.get("embedding_length"), given.get("attention.head_count")
    width = given.get("attention.key_length")
    if given.get("block_count") == GEMMA3_27B_LAYERS and _is_number(hidden) and _is_number(heads) and heads:
        width = hidden / heads
    return width**-0.5 if _is_number(width) and width > 0 else None


def _says(value: object, computed: object) -> bool:
    """Whether the value equals the computed one, or is 0, which means "not stated" in llama.cpp."""
    if _is_number(value) and _is_number(computed):
        return value == 0 or math.isclose(value, computed, rel_tol=_CLOSE)
    return value == computed


def _is_nothing(value: object) -> bool:
    """Whether the value, or every element of an array, is empty, false or 0."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return all(_is_nothing(one) for one in value)
    return value in (None, False, 0, "")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
