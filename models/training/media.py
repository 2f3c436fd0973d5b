"""Batches of images and of audio as the towers take them."""

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import Gemma4AudioFeatureExtractor

from . import drawings, speech
from .conversation import Example
from .drawings import CELL, Drawing
from .speech import Recording

PATCH = 16
AUDIO_LENGTH = 40_960
"""Samples of a training recording, 2.56 s: 256 frames, 64 soft tokens. Longer recordings are left out."""


@dataclass
class ImageBatch:
    """Images of one size. inputs: what `get_image_features` takes; cells: [B, N] class of each soft token, 0 is ground."""

    inputs: dict[str, Tensor]
    cells: Tensor
    examples: list[Example]


@dataclass
class AudioBatch:
    """Recordings of one length. inputs: what `get_audio_features` takes; words: the word numbers of each recording."""

    inputs: dict[str, Tensor]
    words: list[list[int]]
    examples: list[Example]


def patches(drawing: Drawing) -> tuple[Tensor, Tensor]:
    """An image's patches in [0, 1] ([N, 768]) and their (x, y) positions ([N, 2]), as Gemma4ImageProcessor makes them."""
    rows, columns = drawing.rows * CELL // PATCH, drawing.columns * CELL // PATCH
    pixels = np.asarray(drawing.paint(), np.float32) / 255
    cut = pixels.reshape(rows, PATCH, columns, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return torch.from_numpy(cut), torch.from_numpy(np.stack([x, y], -1))


_TASKS = ("caption_one", *("caption_two",) * 3, *("question",) * 4)
"""Tasks of images, by frequency: two shapes and their relation take longest to learn."""


def image_batch(rng: Random, size: int, training: bool = True) -> ImageBatch:
    """`size` random examples with an image, all of the same size in cells."""
    examples: list[Example] = []
    seen: list[Drawing] = []
    grid = rng.choice(drawings.GRIDS)
    while len(seen) < size:
        task = rng.choice(_TASKS)
        example, drawing = drawings.example(rng, task)
        if (drawing.columns, drawing.rows) == grid and not (training and drawing.held_out):
            examples.append(example)
            seen.append(drawing)
    pixels, positions = zip(*map(patches, seen), strict=True)
    inputs = {"pixel_values": torch.stack(pixels), "image_position_ids": torch.stack(positions)}
    return ImageBatch(inputs, torch.from_numpy(np.stack([drawing.cells() for drawing in seen])), examples)


class Microphone:
    """Turns recordings into features, with noise and level of their own each time."""

    def __init__(self, seed: int) -> None:
        self._noise = np.random.default_rng(seed)
        self._extractor = Gemma4AudioFeatureExtractor()

    def batch(self, recordings: list[Recording], rng: Random) -> AudioBatch:
        """The recordings as one batch, those that are too long left out."""
        kept, spoken = [], []
        for recording in recordings:
            audio = speech.recorded(recording, self._noise)
            if len(audio) <= AUDIO_LENGTH:
                kept.append(recording)
                spoken.append(audio)
        features = self._extractor(
            spoken, padding="max_length", max_length=AUDIO_LENGTH, pad_to_multiple_of=None, return_tensors="pt"
        )
        examples = [speech.example(rng, recording.said) for recording in kept]
        return AudioBatch(dict(features), list(speech.words_of(kept)), examples)
