"""The image and video settings of processor_config.json, and the sizes that follow from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gemtab.bundle.soft_tokens import BUDGETS, FRAME_TOKENS, IMAGE_TOKENS
from gemtab.errors import CheckpointError, UsageError
from gemtab.media.limits import MAX_VIDEO_BYTES

LongAudio = Literal["segments", "refuse"]
"""How audio longer than one segment is handled: cut into segments, or rejected."""

PROCESSOR_CONFIG_NAME = "processor_config.json"
"""The checkpoint's file with the settings that turn media into the towers' inputs."""

DEFAULT_FRAMES = 32
"""Maximum frames of a video where processor_config.json does not set them."""

MAX_CHOSEN_FRAMES = 4096
"""Upper bound on the frames that processor_config.json may set."""

BICUBIC = 3
"""Pillow's number of the bicubic filter, the only one that is implemented."""

IMAGE_SETTINGS: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_resize": True,
    "do_rescale": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
    "resample": BICUBIC,
    "rescale_factor": 1 / 255,
}
"""Settings of transformers' processors that are the same in every Gemma 4. Other values are rejected."""


@dataclass(frozen=True)
class ImageRules:
    """How an image is resized and cut.

    patch: pixels on a side of a patch. pooling: patches on a side of the square that becomes one soft token.
    max_soft_tokens: one of BUDGETS. merged: one row holds that whole square (models without a vision tower).
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
        """Pixels on a side of one row of the model's input."""
        return self.side if self.merged else self.patch

    def within(self, soft_tokens: int) -> "ImageRules":
        """Return these rules with another budget. Raises UsageError where `soft_tokens` is not one of BUDGETS."""
        if soft_tokens not in BUDGETS:
            allowed = ", ".join(map(str, BUDGETS))
            raise UsageError(f"The most tokens of an image can be {allowed}, not {soft_tokens}. Choose one of these.")
        return replace(self, max_soft_tokens=soft_tokens)


@dataclass(frozen=True)
class VideoRules:
    """How a video is cut: at most `frames` frames, each an image under `image`."""

    image: ImageRules
    frames: int

    def check(self) -> None:
        """Raise UsageError where the frames could take more memory than MAX_VIDEO_BYTES."""
        count, tokens = self.frames, self.image.max_soft_tokens
        if count * tokens * self.image.side**2 * 3 * 4 > MAX_VIDEO_BYTES:
            raise UsageError(
                f"{count} frames of up to {tokens} tokens take too much memory. Choose fewer frames or less detail."
            )


def image_rules(processor: Mapping[str, Any]) -> ImageRules:
    """Read the image rules from a parsed processor_config.json. Raises CheckpointError for unknown values."""
    return _rules(processor, "image_processor", max_soft_tokens=IMAGE_TOKENS)


def video_rules(processor: Mapping[str, Any]) -> VideoRules:
    """Read the video rules from a parsed processor_config.json. Raises CheckpointError for unknown values."""
    rules = _rules(processor, "video_processor", max_soft_tokens=FRAME_TOKENS)
    section = processor["video_processor"]
    frames = size_in(section, "video_processor", "num_frames", DEFAULT_FRAMES, most=MAX_CHOSEN_FRAMES)
    return VideoRules(rules, frames)


def _rules(processor: Mapping[str, Any], section: str, max_soft_tokens: int) -> ImageRules:
    """Read the rules of a section. Missing settings get transformers' defaults; that of the budget is
    `max_soft_tokens`."""
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
    """Return a section of processor_config.json. Raises CheckpointError where it is missing or not an object."""
    settings = processor.get(section)
    if settings is None:
        raise CheckpointError(f"processor_config.json has no {section}: the model was saved without its processor.")
    if not isinstance(settings, dict):
        raise CheckpointError(f"processor_config.json: {section} is not an object. Save the model's processor again.")
    return settings


def size_in(settings: Mapping[str, Any], section: str, name: str, default: int, *, least: int = 1, most: int) -> int:
    """Return an integer setting within bounds far from any real model's. Raises CheckpointError for other values."""
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
        "Images cannot be prepared for such a model."
    )


def target_size(height: int, width: int, rules: ImageRules) -> tuple[int, int]:
    """Return (height, width) in pixels to which an image of `height` × `width` is resized.

    The aspect ratio is kept as closely as the budget and sides that are multiples of `rules.side` allow.
    """
    scale = math.sqrt(rules.max_soft_tokens * rules.side**2 / (height * width))
    rows = math.floor(scale * height / rules.side)
    columns = math.floor(scale * width / rules.side)
    # A side becomes 0 where the image is longer than the whole budget in one row or column.
    if rows == 0:
        rows, columns = 1, rules.max_soft_tokens
    elif columns == 0:
        rows, columns = rules.max_soft_tokens, 1
    return rows * rules.side, columns * rules.side
