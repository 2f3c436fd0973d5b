"""How pictures and clips become patches: what processor_config.json says, and the sizes that follow from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gemtab.bundle.soft_tokens import BUDGETS, FRAME_TOKENS, IMAGE_TOKENS
from gemtab.errors import CheckpointError, UsageError
from gemtab.media.limits import MOST_VIDEO_BYTES

LongAudio = Literal["segments", "refuse"]
"""What becomes of a sound that is longer than a model hears at once."""

PROCESSOR_CONFIG_NAME = "processor_config.json"
"""What a checkpoint says of how pictures and sound become the towers' inputs."""

DEFAULT_FRAMES = 32
"""Frames of a video that are seen at most, where processor_config.json says nothing."""

MOST_CHOSEN_FRAMES = 4096
"""The most that processor_config.json may say of them."""

BICUBIC = 3
"""Pillow's number for the only filter that is implemented."""

IMAGE_SETTINGS: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_resize": True,
    "do_rescale": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
    "resample": BICUBIC,
    "rescale_factor": 1 / 255,
}
"""Settings of transformers' processors that every Gemma 4 has alike; another value is refused."""


@dataclass(frozen=True)
class ImageRules:
    """How a picture is cut.

    patch: pixels on a side of a patch. pooling: patches on a side of the square that becomes one soft token.
    max_soft_tokens: one of BUDGETS. merged: that square itself is the patch (models without a vision tower).
    """

    patch: int
    pooling: int
    max_soft_tokens: int
    merged: bool

    @property
    def side(self) -> int:
        """Pixels on a side of one soft token."""
        return self.patch * self.pooling

    @property
    def cut(self) -> int:
        """Pixels on a side of what the model is given as one row."""
        return self.side if self.merged else self.patch

    def within(self, soft_tokens: int) -> "ImageRules":
        """The same with another budget. Raises UsageError when it is none of BUDGETS."""
        if soft_tokens not in BUDGETS:
            allowed = ", ".join(map(str, BUDGETS))
            raise UsageError(f"A picture can have at most {allowed} tokens, not {soft_tokens}. Choose one of these.")
        return replace(self, max_soft_tokens=soft_tokens)


@dataclass(frozen=True)
class VideoRules:
    """How a clip is cut: `frames` of them at most, each a picture under `image`."""

    image: ImageRules
    frames: int

    def check(self) -> None:
        """Raises UsageError where so many frames take more memory than there may be."""
        count, tokens = self.frames, self.image.max_soft_tokens
        if count * tokens * self.image.side**2 * 3 * 4 > MOST_VIDEO_BYTES:
            raise UsageError(
                f"{count} frames of up to {tokens} tokens take too much memory. Choose fewer frames or less detail."
            )


def image_rules(processor: Mapping[str, Any]) -> ImageRules:
    """The rules for pictures in a parsed processor_config.json. Raises CheckpointError for what is not known."""
    return _rules(processor, "image_processor", max_soft_tokens=IMAGE_TOKENS)


def video_rules(processor: Mapping[str, Any]) -> VideoRules:
    """The rules for clips in a parsed processor_config.json. Raises CheckpointError for what is not known."""
    rules = _rules(processor, "video_processor", max_soft_tokens=FRAME_TOKENS)
    section = processor["video_processor"]
    frames = size_in(section, "video_processor", "num_frames", DEFAULT_FRAMES, most=MOST_CHOSEN_FRAMES)
    return VideoRules(rules, frames)


def _rules(processor: Mapping[str, Any], section: str, max_soft_tokens: int) -> ImageRules:
    """Settings left out have transformers' defaults, `max_soft_tokens` among them."""
    settings = section_of(processor, section)
    for name, expected in IMAGE_SETTINGS.items():
        if (found := settings.get(name, expected)) != expected:
            raise CheckpointError(
                f"processor_config.json sets {name} of {section} to {found}; only {expected} is known."
            )
    budget = settings.get("max_soft_tokens", max_soft_tokens)
    if budget not in BUDGETS:
        raise CheckpointError(
            f"processor_config.json sets max_soft_tokens of {section} to {budget}, not one of {BUDGETS}."
        )
    return ImageRules(
        patch=size_in(settings, section, "patch_size", 16, most=128),
        pooling=size_in(settings, section, "pooling_kernel_size", 3, most=32),
        max_soft_tokens=budget,
        merged="Unified" in str(settings.get(f"{section}_type", processor.get("processor_class", ""))),
    )


def section_of(processor: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """A part of processor_config.json. Raises CheckpointError where there is none."""
    settings = processor.get(section)
    if settings is None:
        raise CheckpointError(f"processor_config.json has no {section}: the model was saved without its processor.")
    if not isinstance(settings, dict):
        raise CheckpointError(f"processor_config.json: {section} is no object. Save the model's processor again.")
    return settings


def size_in(settings: Mapping[str, Any], section: str, name: str, default: int, *, least: int = 1, most: int) -> int:
    """A whole number of a section, in bounds that no model comes near. Raises CheckpointError for another value."""
    found = settings.get(name, default)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise CheckpointError(
            f"processor_config.json sets {name} of {section} to {str(found)[:40]}; expected a whole number from "
            f"{least} to {most}."
        )
    return found


def _unknown(section: str, name: str, found: object, expected: object) -> CheckpointError:
    return CheckpointError(
        f"processor_config.json sets {name} of {section} to {found}; gemtab knows {expected}. "
        "Such a model's pictures cannot be prepared."
    )


def target_size(height: int, width: int, rules: ImageRules) -> tuple[int, int]:
    """(height, width) in pixels that a picture is resized to: the aspect ratio is kept as far as both sides are
    multiples of `rules.side` and the budget holds.
    """
    scale = math.sqrt(rules.max_soft_tokens * rules.side**2 / (height * width))
    rows = math.floor(scale * height / rules.side)
    columns = math.floor(scale * width / rules.side)
    # Sides that would vanish belong to pictures longer than the whole budget laid in one line.
    if rows == 0:
        rows, columns = 1, rules.max_soft_tokens
    elif columns == 0:
        rows, columns = rules.max_soft_tokens, 1
    return rows * rules.side, columns * rules.side
