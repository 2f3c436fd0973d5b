"""Random content and options for the kinds of image files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tests.media.images import Array, scene


@dataclass(frozen=True)
class Draw:
    """Random content and options of one file. All files of a kind differ in size and content."""

    random: np.random.Generator
    seed: int

    def pixels(self, channels: int = 3) -> Array:
        """[height, width, channels] of a scene of odd and even sizes."""
        height, width = self.random.integers(17, 150, 2)
        return scene(int(height), int(width), channels, self.seed)

    def image(self, channels: int = 3) -> Image.Image:
        pixels = self.pixels(channels)
        return Image.fromarray(pixels if channels > 1 else pixels[..., 0])

    def choice(self, *options: Any) -> Any:
        """One of the options: each in turn as the seed grows, so that a full draw has all of them."""
        return options[self.seed % len(options)]


Kind = Callable[[Draw], bytes]


SIDEWAYS = 6
"""The orientation of photos from phones held upright. The first of each kind has it, so that the smallest draw does."""


def orientation(seed: int) -> int:
    """1 to 8, each once in eight."""
    return (seed + SIDEWAYS - 1) % 8 + 1
