"""The ways to get logits, one function each.

Every backend is fed the same tokens: a prompt, then its continuation, token by token. The logits that follow the
prompt and each of these tokens but the last are those by which the backend would have chosen the continuation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import torch

from gemtab.backends.media import Rows, block_numbers
from gemtab.backends.onnx.run import OnnxText, OnnxTower
from gemtab.backends.reference import KV, Reference
from gemtab.backends.webgpu.executor import Executor
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import TOWER_STEMS
from gemtab.chat.media import TEXT_ONLY, Encoder, Item, PlacedItem, encode_items
from gemtab.model.spec import ModelSpec
from gemtab.model.text import decoder_graph, embed_graph
from gemtab.model.towers import tower_graphs
from gemtab.parity.compare import Logits
from gemtab.parity.edge import EdgeWatch
from gemtab.quantize import WeightReader

MOST_KEPT_BYTES = 4 << 30
"""Weights that take more than this in f32 are read layer by layer."""


@dataclass(frozen=True)
class Continued:
    """A prompt's ids, the ids that follow it, and the media among the prompt's."""

    prompt: list[int]
    continuation: list[int]
    items: tuple[PlacedItem, ...] = ()


def continue_greedily(
    executor: Executor,
    prompt: Sequence[int],
    steps: int,
    items: tuple[PlacedItem, ...] = (),
    encoder: Encoder = TEXT_ONLY,
) -> Continued:
    """The prompt with the `steps` ids that a plan makes of it."""
    executor.reset()
    executor.set_sampling()
    executor.fill(prompt[:-1], encode_items(items, encoder))
    continuation = [executor.decode(prompt[-1])]
    while len(continuation) < steps:
        continuation.append(executor.decode())
    return Continued(list(prompt), continuation, items)


def webgpu_logits(
    executor: Executor, texts: Sequence[Continued], encoder: Encoder = TEXT_ONLY, watch: EdgeWatch | None = None
) -> list[Logits]:
    """A plan's logits, [steps, vocabulary] a text: the prompt by `fill`, the rest by `decode`.

    watch: looks at the caches after each text.
    """

    def logits(text: Continued) -> Logits:
        executor.reset()
        executor.fill(text.prompt[:-1], encode_items(text.items, encoder))
        rows = []
        for token in [text.prompt[-1], *text.continuation[:-1]]:
            executor.decode(token)
            rows.append(executor.read_logits()[0])
        if watch:
            watch.look()
        return np.stack(rows)

    return [logits(text) for text in texts]


def onnx_logits(folder: Path, weight_format: WeightFormat, texts: Sequence[Continued]) -> list[Logits]:
    """The ONNX graphs' logits, [steps, vocabulary] a text: the prompt in one step, the rest one by one."""
    model = OnnxText(folder, weight_format)

    towers = cache(lambda tower: OnnxTower(folder, TOWER_STEMS[tower], weight_format))

    def encode(item: Item) -> torch.Tensor:
        return towers(item.tower).encode(item.inputs())

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
        (rows,) = Reference(tower_graphs(spec)[item.tower], weights, layerwise).run(inputs, {}).values()
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


def _rows(items: Sequence[PlacedItem], encode: Callable[[Item], torch.Tensor]) -> list[Rows]:
    return [Rows(placed.position, encode(placed.item), placed.item.tower == "image") for placed in items]
