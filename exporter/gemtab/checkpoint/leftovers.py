"""Tensors of a checkpoint that have no place in its model.

A few kinds are known to be left over, and are named in the summary. Any other could change what the model computes,
and is refused: a bias, a classifier's head, the scale of codes, half of an adapter.
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
    (_ADAPTER, "an adapter's part: merge the adapter and save again, or name it by --adapter"),
    (_CODES, "a part of quantised weights, which no quantization_config describes: export the unquantised checkpoint"),
    (_OTHER_HEADS, "the head of a classifier or reward model, which writes no text"),
    (r".*\.bias", "a bias, which the architecture does not have"),
)
"""What a tensor is likely to be, by its name."""


def leftovers(tensors: Tensors, spec: CheckpointSpec, weights: Iterable[Weight]) -> tuple[str, ...]:
    """A sentence for each kind of tensors that are left over; `weights` are all that the whole model reads.

    Raises CheckpointError for tensors of no known kind. Reads none.
    """
    placed = {
        name
        for weight in weights
        for source in weight.sources
        for name in stored_names(weight, spec.tensor_name(source))
    }
    strange: list[str] = []
    found: dict[str, list[str]] = {}
    kinds = _kinds(spec)
    for name in tensors.names():
        if name not in placed:
            kind = next((kind for kind, is_one in kinds.items() if is_one(name)), None)
            (strange if kind is None else found.setdefault(kind, [])).append(name)
    if strange:
        raise CheckpointError(
            f"{tensors.folder}: the model has no place for {_listed(strange)}{_hint(strange[0])}. Left out, the model "
            "would answer otherwise than it was trained to. Is the config this checkpoint's own?"
        )
    return tuple(
        f"Left out, since the model does not use them: {kind}, {_listed(names)}." for kind, names in found.items()
    )


def _kinds(spec: CheckpointSpec) -> dict[str, Callable[[str], object]]:
    """What is known to be left over, by what it is called in a summary."""
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
        kinds["the embedding of an assistant, which is given its target's"] = spec.tensor_name(EMBEDDING).__eq__
    for tower, described in (("vision", spec.vision), ("audio", spec.audio)):
        if described is None:
            pattern = rf"(model\.)?({'|'.join(_TOWERS[tower])})\..+"
            kinds[f"the {tower} part, which config.json does not describe"] = re.compile(pattern).fullmatch
    return kinds


def _hint(name: str) -> str:
    return next((f" ({hint})" for pattern, hint in _HINTS if re.fullmatch(pattern, name)), "")


def _listed(names: list[str], most: int = 3) -> str:
    """The first names; of many only one."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1:,} more"
