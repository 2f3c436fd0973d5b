"""Batches of pictures and of sound as the towers take them."""

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import Gemma4AudioFeatureExtractor

from . import pictures, speech
from .conversation import Example
from .pictures import CELL, Picture
from .speech import Clip

PATCH = 16
SOUND_LENGTH = 40_960
"""Samples of a training clip, 2.56 s: 256 frames, 64 soft tokens. Longer clips are left out."""


@dataclass
class PictureBatch:
    """Pictures of one size. inputs: what `get_image_features` takes; cells: [B, N] class of each soft token, 0 is ground."""

    inputs: dict[str, Tensor]
    cells: Tensor
    examples: list[Example]


@dataclass
class SoundBatch:
    """Clips of one length. inputs: what `get_audio_features` takes; words: the word numbers of each clip."""

    inputs: dict[str, Tensor]
    words: list[list[int]]
    examples: list[Example]


def patches(picture: Picture) -> tuple[Tensor, Tensor]:
    """A picture's patches in [0, 1] ([N, 768]) and their (x, y) positions ([N, 2]), as Gemma4ImageProcessor makes them."""
    rows, columns = picture.rows * CELL // PATCH, picture.columns * CELL // PATCH
    pixels = np.asarray(picture.paint(), np.float32) / 255
    cut = pixels.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return torch.from_numpy(cut), torch.from_numpy(np.stack([x, y], -1))


_TASKS = ("caption_one", *("caption_two",) * 3, *("question",) * 4)
"""How often pictures come with which task: two shapes and how they lie take longest to learn."""


def picture_batch(rng: Random, size: int, training: bool = True) -> PictureBatch:
    """`size` random examples with a picture, all of the same size in cells."""
    examples: list[Example] = []
    seen: list[Picture] = []
    grid = rng.choice(pictures.GRIDS)
    while len(seen) < size:
        task = rng.choice(_TASKS)
        example, picture = pictures.example(rng, task)
        if (picture.columns, picture.rows) == grid and not (training and picture.held_out):
            examples.append(example)
            seen.append(picture)
    pixels, positions = zip(*map(patches, seen), strict=True)
    inputs = {"pixel_values": torch.stack(pixels), "image_position_ids": torch.stack(positions)}
    return PictureBatch(inputs, torch.from_numpy(np.stack([picture.cells() for picture in seen])), examples)


class Microphone:
    """Turns clips into features, with noise and level of their own each time."""

    def __init__(self, seed: int) -> None:
        self._noise = np.random.default_rng(seed)
        self._extractor = Gemma4AudioFeatureExtractor()

    def batch(self, clips: list[Clip], rng: Random) -> SoundBatch:
        """The clips as one batch, those that are too long left out."""
        kept, sounds = [], []
        for clip in clips:
            sound = speech.recorded(clip, self._noise)
            if len(sound) <= SOUND_LENGTH:
                kept.append(clip)
                sounds.append(sound)
        features = self._extractor(
            sounds, padding="max_length", max_length=SOUND_LENGTH, pad_to_multiple_of=None, return_tensors="pt"
        )
        examples = [speech.example(rng, clip.said) for clip in kept]
        return SoundBatch(dict(features), list(speech.words_of(kept)), examples)
