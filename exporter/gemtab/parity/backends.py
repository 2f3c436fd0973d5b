"""The ways to get logits, one function each.

Every backend is fed the same tokens: a prompt, then its continuation, token by token. The logits that follow the
prompt and each of these tokens but the last are those by which the backend would have chosen the continuation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from gemtab.backends.media import Media, Rows, block_numbers
from gemtab.backends.onnx.run import OnnxText, OnnxTower
from gemtab.backends.reference import KV, Reference
from gemtab.backends.webgpu.executor import Executor
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import AUDIO_STEM, VISION_STEM
from gemtab.chat.media import Encoder, Item, PlacedItem
from gemtab.errors import UsageError
from gemtab.graph import Graph
from gemtab.model.audio import audio_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import decoder_graph, embed_graph
from gemtab.model.vision import vision_graph
from gemtab.parity.compare import Logits
from gemtab.quantize import WeightReader

MOST_KEPT_BYTES = 4 << 30
"""Weights that take more than this in f32 are read layer by layer."""


class _NoEncoder:
    def rows(self, item: Item) -> object:
        raise UsageError(f"This prompt has a medium of {item.tokens} tokens, and nothing to encode it with.")


NONE = _NoEncoder()
"""For prompts of text alone."""


@dataclass(frozen=True)
class Continued:
    """A prompt's ids, the ids that follow it, and the media among the prompt's."""

    prompt: list[int]
    continuation: list[int]
    items: tuple[PlacedItem, ...] = ()


def continue_greedily(
    executor: Executor, prompt: Sequence[int], steps: int, items: tuple[PlacedItem, ...] = (), encoder: Encoder = NONE
) -> Continued:
    """The prompt with the `steps` ids that a plan makes of it."""
    executor.reset()
    executor.set_sampling()
    executor.fill(prompt[:-1], _on_gpu(items, encoder))
    continuation = [executor.decode(prompt[-1])]
    while len(continuation) < steps:
        continuation.append(executor.decode())
    return Continued(list(prompt), continuation, items)


def webgpu_logits(executor: Executor, texts: Sequence[Continued], encoder: Encoder = NONE) -> list[Logits]:
    """A plan's logits, [steps, vocabulary] a text: the prompt by `fill`, the rest by `decode`."""

    def logits(text: Continued) -> Logits:
        executor.reset()
        executor.fill(text.prompt[:-1], _on_gpu(text.items, encoder))
        rows = []
        for token in [text.prompt[-1], *text.continuation[:-1]]:
            executor.decode(token)
            rows.append(executor.read_logits()[0])
        return np.stack(rows)

    return [logits(text) for text in texts]


def onnx_logits(folder: Path, weight_format: WeightFormat, texts: Sequence[Continued]) -> list[Logits]:
    """The ONNX graphs' logits, [steps, vocabulary] a text: the prompt in one step, the rest one by one."""
    model = OnnxText(folder, weight_format)

    def encode(item: Item) -> torch.Tensor:
        stem = {"image": VISION_STEM, "audio": AUDIO_STEM}[item.tower]
        batch = {name: torch.from_numpy(array)[None] for name, array in item.inputs().items()}
        if "pixel_position_ids" in batch:
            batch["pixel_position_ids"] = batch["pixel_position_ids"].to(torch.int64)
        if "input_features" in batch:
            batch["input_features_mask"] = torch.ones(batch["input_features"].shape[:2], dtype=torch.bool)
        return OnnxTower(folder, stem, weight_format).run(**batch)

    def logits(text: Continued) -> Logits:
        model.rewind(0)
        first = model.see(text.prompt, _rows(text.items, encode))[-1]
        rest = [model.step([token]).numpy() for token in text.continuation[:-1]]
        return np.stack([first.numpy(), *rest])

    return [logits(text) for text in texts]


def reference_logits(spec: ModelSpec, weights: WeightReader, texts: Sequence[Continued]) -> list[Logits]:
    """The reference's logits, [steps, vocabulary] a text: all tokens in one step, so that a checkpoint too large for
    memory is read once a text."""
    graphs = embed_graph(spec.text), decoder_graph(spec.text)
    layerwise = sum(4 * prod(weight.shape) for graph in graphs for weight in graph.weights()) > MOST_KEPT_BYTES
    embed, decoder = (Reference(graph, weights, layerwise) for graph in graphs)

    def encode(item: Item) -> torch.Tensor:
        inputs = {name: torch.from_numpy(array) for name, array in item.inputs().items()}
        (rows,) = Reference(tower_graph(spec, item.tower), weights, layerwise).run(inputs, {}).values()
        return rows

    def logits(text: Continued) -> Logits:
        ids = torch.tensor([*text.prompt, *text.continuation[:-1]], dtype=torch.int32)
        caches: dict[str, KV] = {}
        inputs = embed.run({"input_ids": ids}, caches)
        media = _rows(text.items, encode)
        inputs["inputs_embeds"] = inputs["inputs_embeds"].clone()
        for one in media:
            inputs["inputs_embeds"][one.position : one.end] = one.rows
        inputs["block_ids"] = block_numbers(range(len(ids)), media)
        inputs["position_ids"] = torch.arange(len(ids), dtype=torch.int32)
        inputs["num_logits_to_keep"] = torch.tensor(len(text.continuation), dtype=torch.int32)
        return np.asarray(decoder.run(inputs, caches)["logits"].numpy(), dtype=np.float32)

    return [logits(text) for text in texts]


def tower_graph(spec: ModelSpec, tower: Literal["image", "audio"]) -> Graph:
    """The graph that makes rows of pictures or sound."""
    if tower == "image" and spec.vision is not None:
        return vision_graph(spec.vision, spec.text)
    if tower == "audio" and spec.audio is not None:
        return audio_graph(spec.audio, spec.text)
    raise UsageError(f"This model takes no {tower}.")


def _on_gpu(items: Sequence[PlacedItem], encoder: Encoder) -> list[Media]:
    return [
        Media(placed.position, placed.item.tokens, encoder.rows(placed.item), placed.item.tower == "image")
        for placed in items
    ]


def _rows(items: Sequence[PlacedItem], encode: Callable[[Item], torch.Tensor]) -> list[Rows]:
    return [Rows(placed.position, encode(placed.item), placed.item.tower == "image") for placed in items]
