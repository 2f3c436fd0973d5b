"""The options of an export, and their defaults."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gemtab.bundle.manifest import Input, WeightFormat
from gemtab.chat_files import model_inputs
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.errors import UsageError

DEFAULT_CONTEXT = 32_768
"""Default maximum of a bundle's context, in tokens."""

MAX_CONTEXT = 1 << 19
"""Maximum context of a plan, in tokens: beyond it, caches would need more segments than a plan describes. Published
models have at most 262,144."""


def check_weights(spec: CheckpointSpec, weights: WeightFormat, adapters: Sequence[Path]) -> None:
    """Raise UsageError where the format does not suit the checkpoint's weights."""
    codes = spec.text.codes
    if codes is None:
        if weights == "qat":
            raise UsageError("--weights qat: this checkpoint is not pre-quantized. Choose f32, f16, q8 or q4.")
        return
    if weights != "qat":
        raise UsageError(
            f"--weights {weights}: this checkpoint is pre-quantized, and another format would lose its integer "
            "weights. Leave --weights out, or choose qat."
        )
    if adapters:
        raise UsageError("--adapter: adapters cannot be merged into integer weights. Use the unquantized checkpoint.")


def choose_weights(spec: CheckpointSpec) -> WeightFormat:
    """Return the default format: qat for a pre-quantized checkpoint, else q4."""
    return "qat" if spec.text.codes else "q4"


def choose_context(spec: CheckpointSpec, wanted: int | None) -> int:
    """Return the bundle's context in tokens. Raises UsageError where `wanted` is not within the model's range."""
    most = min(spec.text.max_positions, MAX_CONTEXT)
    if wanted is None:
        return min(most, DEFAULT_CONTEXT)
    if not 1 <= wanted <= most:
        raise UsageError(f"--context {wanted} is out of range: expected 1 to {most:,} tokens for this model.")
    return wanted


def choose_inputs(spec: CheckpointSpec, wanted: Sequence[str] | None) -> tuple[Input, ...]:
    """Return the bundle's inputs, text always included. Raises UsageError for inputs that the model does not take."""
    known = model_inputs(spec)
    if wanted is None:
        return known
    for name in wanted:
        if name not in known:
            raise UsageError(f"--inputs: this model takes {', '.join(known)}, not {name!r}.")
    return tuple(name for name in known if name == "text" or name in wanted)


def limited_to(spec: CheckpointSpec, inputs: Sequence[Input]) -> CheckpointSpec:
    """Return the model without the towers that these inputs do not need."""
    seen = "image" in inputs or "video" in inputs
    text = replace(spec.text, image_blocks=spec.text.image_blocks and seen)
    return replace(
        spec, text=text, vision=spec.vision if seen else None, audio=spec.audio if "audio" in inputs else None
    )
