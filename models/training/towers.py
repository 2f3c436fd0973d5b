"""Training the towers alone, each with a throw-away head: in joint training both would sit on plateaus for hours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from transformers import Gemma4ForConditionalGeneration

from . import media, speech
from .drawings import CLASSES
from .optimise import Schedule, prefetched, run

RECORDINGS, PICO_RECORDINGS = 12_000, 4_000
AUDIO_STEPS, AUDIO_BATCH = 2100, 48
VISION_STEPS, VISION_BATCH = 4500, 12


class Hearing(nn.Module):
    """The audio tower and a CTC head over words."""

    def __init__(self, model: Gemma4ForConditionalGeneration) -> None:
        super().__init__()
        self.tower, self.embed = model.model.audio_tower, model.model.embed_audio
        self.head = nn.Linear(model.config.text_config.hidden_size, len(speech.WORDS) + 1)

    def loss(self, batch: media.AudioBatch) -> Tensor:
        """CTC loss of the words, the blank being the last class."""
        heard = self.tower(batch.inputs["input_features"], batch.inputs["input_features_mask"])
        scores = self.head(self.embed(inputs_embeds=heard.last_hidden_state)).float().log_softmax(-1)
        return nn.functional.ctc_loss(
            scores.transpose(0, 1),
            torch.tensor([word for words in batch.words for word in words]),
            heard.attention_mask.sum(1),
            torch.tensor([len(words) for words in batch.words]),
            blank=len(speech.WORDS),
            zero_infinity=True,
        )


class Sight(nn.Module):
    """The vision tower and heads that predict, for each soft token, its shape and its position."""

    def __init__(self, model: Gemma4ForConditionalGeneration) -> None:
        super().__init__()
        self.tower, self.embed = model.model.vision_tower, model.model.embed_vision
        width = model.config.text_config.hidden_size
        self.shape, self.place = nn.Linear(width, len(CLASSES) + 1), nn.Linear(width, 2)

    def loss(self, batch: media.ImageBatch) -> Tensor:
        """Cross-entropy of the shape, the ground weighing a twentieth, and squared error of the place in cells."""
        positions = batch.inputs["image_position_ids"]
        seen = self.tower(batch.inputs["pixel_values"], positions).last_hidden_state
        soft = self.embed(inputs_embeds=seen).view(*batch.cells.shape, -1)
        weight = torch.ones(len(CLASSES) + 1).index_fill(0, torch.tensor([0]), 0.05)
        shape = nn.functional.cross_entropy(self.shape(soft).float().flatten(0, 1), batch.cells.flatten(), weight)
        columns = int(positions[0, :, 0].max()) // 3 + 1
        cell = torch.arange(batch.cells.shape[1])
        place = torch.stack([cell % columns, cell // columns], -1).float().expand(*batch.cells.shape, 2)
        return shape + 0.05 * nn.functional.mse_loss(self.place(soft).float(), place)


def audio_batches(work: Path, size: int, seed: int) -> Iterator[media.AudioBatch]:
    """An endless stream of recordings of the training set."""
    rng, microphone = Random(seed), media.Microphone(seed)
    recordings = speech.pool("many", RECORDINGS, work) + speech.pool("pico", PICO_RECORDINGS, work)
    while True:
        yield microphone.batch(rng.sample(recordings, size), rng)


def image_batches(size: int, seed: int) -> Iterator[media.ImageBatch]:
    """An endless stream of images."""
    rng = Random(seed)
    while True:
        yield media.image_batch(rng, size)


def _bf16(loss: Callable[..., Tensor], batches: Iterator[object]) -> Iterator[Tensor]:
    for batch in prefetched(batches):
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(batch)
        yield value


def train_audio(model: Gemma4ForConditionalGeneration, work: Path, seed: int) -> None:
    """The audio tower alone; its weights in `model` change in place."""
    hearing = Hearing(model)
    schedule = Schedule(AUDIO_STEPS, 2e-3)
    run(
        hearing,
        lambda first: _bf16(hearing.loss, audio_batches(work, AUDIO_BATCH, seed + first)),
        schedule,
        work / "audio.pt",
    )


def train_vision(model: Gemma4ForConditionalGeneration, work: Path, seed: int) -> None:
    """The vision tower alone; its weights in `model` change in place."""
    sight = Sight(model)
    schedule = Schedule(VISION_STEPS, 3e-3)
    run(
        sight,
        lambda first: _bf16(sight.loss, image_batches(VISION_BATCH, seed + first)),
        schedule,
        work / "vision.pt",
    )
