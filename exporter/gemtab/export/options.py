"""What a user may choose of an export, and what is chosen where they say nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gemtab.bundle.manifest import Input, WeightFormat
from gemtab.chat_files import model_inputs
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.errors import UsageError

DEFAULT_CONTEXT = 32_768
"""Tokens that a bundle's caches may hold where the model takes more and nobody says otherwise."""

MOST_CONTEXT = 1 << 19
"""Tokens beyond which no plan is made: caches would be cut into more parts than a plan describes. Published models take
262,144 at most."""


def check_weights(spec: CheckpointSpec, weights: WeightFormat, adapters: Sequence[Path]) -> None:
    """Raises UsageError where the format is not for these weights."""
    codes = spec.text.codes
    if codes is None:
        if weights == "qat":
            raise UsageError("--weights qat: this checkpoint has no codes of its own. Choose f32, f16, q8 or q4.")
        return
    if weights != "qat":
        raise UsageError(
            f"--weights {weights}: this checkpoint was trained with codes of its own, which other formats would lose. "
            "Leave --weights out, or choose qat."
        )
    if adapters:
        raise UsageError("--adapter: adapters cannot be merged into codes. Merge them into the unquantised checkpoint.")


def choose_weights(spec: CheckpointSpec) -> WeightFormat:
    """The format for a checkpoint where none is asked for: its own codes, or 4 bits."""
    return "qat" if spec.text.codes else "q4"


def choose_context(spec: CheckpointSpec, wanted: int | None) -> int:
    """The bundle's context. Raises UsageError where the model cannot have the one that is wanted."""
    most = min(spec.text.max_positions, MOST_CONTEXT)
    if wanted is None:
        return min(most, DEFAULT_CONTEXT)
    if not 1 <= wanted <= most:
        raise UsageError(f"--context {wanted} is out of range: this model takes 1 to {most:,} tokens.")
    return wanted


def choose_inputs(spec: CheckpointSpec, wanted: Sequence[str] | None) -> tuple[Input, ...]:
    """What the bundle takes, text always. Raises UsageError where the model does not take what is wanted."""
    known = model_inputs(spec)
    if wanted is None:
        return known
    for name in wanted:
        if name not in known:
            raise UsageError(f"--inputs: this model takes {', '.join(known)}, not {name!r}.")
    return tuple(name for name in known if name == "text" or name in wanted)


def limited_to(spec: CheckpointSpec, inputs: Sequence[Input]) -> CheckpointSpec:
    """The model without the towers that these inputs do not need."""
    seen = "image" in inputs or "video" in inputs
    text = replace(spec.text, image_blocks=spec.text.image_blocks and seen)
    return replace(
        spec, text=text, vision=spec.vision if seen else None, audio=spec.audio if "audio" in inputs else None
    )
