"""Everything together at a lower rate: images and audio are answered by the text stack, and text rows keep holding."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from transformers import Gemma4ForConditionalGeneration, GemmaTokenizer

from . import batches, examples, forward, media, rendering, towers
from .batches import Batch
from .calibrate import calibrate
from .conversation import Example
from .optimise import Schedule, prefetched, run

JOINT_STEPS, RATE = 7000, 8e-4
TEXT_PACE = 0.5
"""The text stack, which is finished but for what it reads of images and audio, learns at so much of the rate: at all of
it, it lost up to two in a hundred answers."""
TEXT_SHARE = 0.08
"""How much of the text stack's weights, in the end, is what they were before: it brings back most of what was lost."""
IMAGES, RECORDINGS = 16, 40
_ROW = 144
"""Tokens of a row with one image or recording: 70 soft tokens at most, and a short question and answer."""

MediaBatch = media.ImageBatch | media.AudioBatch


class Mixer:
    """The model's losses on text, images and audio."""

    def __init__(self, model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, work: Path, seed: int) -> None:
        self._model, self._work, self._seed = model.model, work, seed
        self._sampler = rendering.Sampler(tokens)
        self._image, self._audio = model.config.image_token_id, model.config.audio_token_id
        self._cap = model.config.text_config.final_logit_softcapping
        self._layers = [torch.compile(layer, dynamic=False) for layer in model.model.language_model.layers]

    def losses(self, first: int) -> Iterator[Tensor]:
        """An endless stream of losses: of seven steps four on text, two on images, one on audio."""
        seed = self._seed + first
        samples = (self._sampler(one) for one in examples.training_examples(seed))
        text = prefetched(batches.batches(samples))
        images = prefetched(towers.image_batches(IMAGES, seed))
        audio = prefetched(towers.audio_batches(self._work, RECORDINGS, seed))
        order = Random(seed)
        while True:
            kind = order.choice("ttttppa")
            with torch.autocast("cpu", torch.bfloat16):
                if kind == "t":
                    loss = self._text(next(text))
                else:
                    loss = self._media(next(images) if kind == "p" else next(audio))
            yield loss

    def _text(self, batch: Batch, embeddings: Tensor | None = None) -> Tensor:
        stack = self._model.language_model
        hidden = forward.hidden_states(stack, batch, embeddings, self._layers)
        return forward.loss(hidden, stack.embed_tokens.weight, batch.labels, self._cap)

    def _media(self, batch: MediaBatch) -> Tensor:
        """Return the loss of answers about images or recordings, whose soft tokens replace the placeholders."""
        if isinstance(batch, media.ImageBatch):
            token, soft = self._image, torch.cat(self._model.get_image_features(**batch.inputs).pooler_output)
            counts = [batch.cells.shape[1]] * len(batch.examples)
        else:
            heard = self._model.get_audio_features(**batch.inputs)
            token, soft = self._audio, heard.pooler_output[heard.attention_mask]
            counts = heard.attention_mask.sum(1).tolist()
        packed = self._packed(batch.examples, counts)
        masked = packed.ids == token
        packed = replace(packed, ids=packed.ids.masked_fill(masked, 0))
        words = self._model.language_model.embed_tokens(packed.ids)
        return self._text(packed, words.masked_scatter(masked[..., None], soft.to(words.dtype)))

    def _packed(self, asked: list[Example], counts: list[int]) -> Batch:
        """One row an example."""
        samples = [self._sampler(one, count) for one, count in zip(asked, counts, strict=True)]
        return batches.one_a_row(samples, _ROW)


def train_joint(model: Gemma4ForConditionalGeneration, tokens: GemmaTokenizer, work: Path, seed: int) -> None:
    """All weights together; they change in place."""
    text = model.model.language_model
    before = {name: weight.clone() for name, weight in text.state_dict().items()}
    mixer = Mixer(model, tokens, work, seed)
    run(model.model, mixer.losses, Schedule(JOINT_STEPS, RATE), work / "joint.pt", pace=_pace)
    for name, weight in text.state_dict().items():
        weight.lerp_(before[name], TEXT_SHARE)


def _pace(name: str) -> float:
    return TEXT_PACE if name.startswith("language_model.") else 1.0


def bound_towers(model: Gemma4ForConditionalGeneration, work: Path, seed: int) -> None:
    """Gives the clipped linears finite bounds, in place."""
    images, audio = towers.image_batches(8, seed), towers.audio_batches(work, 32, seed)
    calibrate(model, (inputs for _ in range(12) for inputs in (next(images).inputs, next(audio).inputs)))
