"""Find tensors of a checkpoint that its model does not use.

A few kinds are known, and are named in the summary. Any other tensor could change what the model computes, and is an
error: a bias, a classifier's head, scales of integer weights, half of an adapter.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from gemtab.checkpoint.codes import stored_names
from gemtab.checkpoint.head import EMBEDDING, HEAD
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError
from gemtab.graph import Weight

_TOWERS: Final = {
    "vision": ("vision_tower", "vision_embedder", "embed_vision"),
    "audio": ("audio_tower", "embed_audio"),
}

_ADAPTER: Final = r".*\blora_\w+.*|.*\bbase_layer\b.*"
_CODES: Final = (
    r".*\.((weight|input|output|embedding|k|v|\w+_activation)_scale|scales|"
    r"\w*(_scale_inv|zero_point|zeros|qweight|_packed|g_idx|absmax|quant_map|quant_state\S*|SCB))"
)
_OTHER_HEADS: Final = r"(.*\.)?(score|classifier|qa_outputs|v_head|value_head|reward_head)\b.*"

_HINTS: Final = (
    (_ADAPTER, "a part of an adapter: merge the adapter and save again, or name the adapter by --adapter"),
    (_CODES, "a part of quantized weights without a quantization_config: export the unquantized checkpoint"),
    (_OTHER_HEADS, "the head of a classifier or reward model, which does not write text"),
    (r".*\.bias", "a bias, which the architecture does not have"),
)
"""Explanations of tensors, by patterns of their names."""


def leftovers(tensors: Tensors, spec: CheckpointSpec, weights: Iterable[Weight]) -> tuple[str, ...]:
    """Return a sentence for each kind of unused tensors. weights: all weights that the whole model reads.

    Raises CheckpointError for tensors of no known kind. Reads no values.
    """
    used = {
        name
        for weight in weights
        for source in weight.sources
        for name in stored_names(weight, spec.tensor_name(source))
    }
    strange: list[str] = []
    found: dict[str, list[str]] = {}
    kinds = _kinds(spec)
    for name in tensors.names():
        if name not in used:
            kind = next((kind for kind, is_one in kinds.items() if is_one(name)), None)
            (strange if kind is None else found.setdefault(kind, [])).append(name)
    if strange:
        raise CheckpointError(
            f"{tensors.folder}: the model has no use for {_listed(strange)}{_hint(strange[0])}. Without them, the "
            "model would answer differently than trained. Check that config.json belongs to this checkpoint."
        )
    return tuple(
        f"Left out, since the model does not use them: {kind}, {_listed(names)}." for kind, names in found.items()
    )


def _kinds(spec: CheckpointSpec) -> dict[str, Callable[[str], object]]:
    """Return the known kinds of unused tensors, by their names in a summary."""
    sharing = "|".join(str(layer.index) for layer in spec.text.layers if not layer.owns_kv)
    shared = rf"{re.escape(spec.text_prefix)}layers\.({sharing})\.self_attn\.(k_proj|v_proj|k_norm|v_norm)\..+"
    kinds: dict[str, Callable[[str], object]] = {
        "rotary tables": re.compile(r"(.+\.)?rotary_emb(_local)?\.(\w+_)?inv_freq").fullmatch,
        "position ids": re.compile(r"(.+\.)?position_ids").fullmatch,
    }
    if sharing:
        kinds["keys and values of layers that share another's"] = re.compile(shared).fullmatch
    if spec.text.tied:
        kinds["a copy of the embedding as head"] = HEAD.__eq__
    elif spec.assistant:
        kinds["the embedding of a draft model, which uses its target's"] = spec.tensor_name(EMBEDDING).__eq__
    for tower, described in (("vision", spec.vision), ("audio", spec.audio)):
        if described is None:
            pattern = rf"(model\.)?({'|'.join(_TOWERS[tower])})\..+"
            kinds[f"the {tower} part, which config.json does not describe"] = re.compile(pattern).fullmatch
    return kinds


def _hint(name: str) -> str:
    return next((f" ({hint})" for pattern, hint in _HINTS if re.fullmatch(pattern, name)), "")


def _listed(names: list[str], most: int = 3) -> str:
    """Return the names; only the first one of many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1:,} more"
