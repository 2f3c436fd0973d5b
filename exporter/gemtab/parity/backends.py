"""Logits of each backend, one function a backend.

Every backend gets the same tokens: a prompt, then its continuation, token by token. The compared logits are those from
which the backend would choose each token of the continuation.
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
from gemtab.backends.reference import Reference, Run
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import TOWER_STEMS
from gemtab.chat.media import TEXT_ONLY, Encoder, Item, Prompt, PromptItem, encode_items
from gemtab.graph import Graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import decoder_graph, embed_graph
from gemtab.model.towers import tower_graphs
from gemtab.parity.compare import Logits
from gemtab.parity.edge import EdgeWatch
from gemtab.parity.progress import Advance, fill_work, nobody
from gemtab.quantize import WeightReader

MAX_KEPT_BYTES = 4 << 30
"""Maximum f32 size of a tower's weights that stay in memory; larger ones are read again for each image or audio."""


@dataclass(frozen=True)
class Continued:
    """A prompt's ids, the ids of its continuation, and the media in the prompt."""

    prompt: list[int]
    continuation: list[int]
    items: tuple[PromptItem, ...] = ()


def continue_greedily(
    executor: TextEngine,
    prompts: Sequence[Prompt],
    steps: int,
    encoder: Encoder = TEXT_ONLY,
    watch: EdgeWatch | None = None,
    advance: Advance = nobody,
) -> tuple[list[Continued], list[Logits]]:
    """Return each prompt with the `steps` ids with which a plan continues it, and the logits [steps, vocabulary] of
    each text, as `webgpu_logits` returns them.

    watch: looks at the caches after each text.
    """
    texts, logits = [], []
    executor.set_sampling()
    for prompt in prompts:
        _fill(executor, prompt.ids, prompt.items, encoder, advance)
        continuation: list[int] = []
        rows = []
        for _ in range(steps):
            continuation.append(executor.decode(None if continuation else prompt.ids[-1]))
            rows.append(executor.read_logits()[0])
            advance(1)
        if watch:
            watch.look()
        texts.append(Continued(list(prompt.ids), continuation, prompt.items))
        logits.append(np.stack(rows))
    return texts, logits


def webgpu_logits(
    executor: TextEngine,
    texts: Sequence[Continued],
    encoder: Encoder = TEXT_ONLY,
    watch: EdgeWatch | None = None,
    advance: Advance = nobody,
) -> list[Logits]:
    """Return a plan's logits, [steps, vocabulary] f32 for each text: the prompt goes through `fill`, the rest through
    `decode`.

    watch: looks at the caches after each text.
    """

    def logits(text: Continued) -> Logits:
        _fill(executor, text.prompt, text.items, encoder, advance)
        rows = []
        for token in [text.prompt[-1], *text.continuation[:-1]]:
            executor.decode(token)
            rows.append(executor.read_logits()[0])
            advance(1)
        if watch:
            watch.look()
        return np.stack(rows)

    return [logits(text) for text in texts]


def _fill(
    executor: TextEngine, prompt: Sequence[int], items: Sequence[PromptItem], encoder: Encoder, advance: Advance
) -> None:
    """Fill empty caches with all of a prompt but its last token, which `decode` takes."""
    executor.reset()
    filled = 0

    def after_chunk(tokens: int) -> None:
        nonlocal filled
        advance(fill_work(filled + tokens) - fill_work(filled))
        filled += tokens

    executor.fill(prompt[:-1], encode_items(items, encoder), after_chunk)


def onnx_logits(
    folder: Path, weight_format: WeightFormat, texts: Sequence[Continued], advance: Advance = nobody
) -> list[Logits]:
    """Return the ONNX graphs' logits, [steps, vocabulary] f32 for each text: the prompt in one step, the rest one by
    one."""
    model = OnnxText(folder, weight_format)

    towers = cache(lambda tower: OnnxTower(folder, TOWER_STEMS[tower], weight_format))

    def encode(item: Item) -> torch.Tensor:
        return towers(item.tower).encode(item.inputs())

    def logits(text: Continued) -> Logits:
        model.rewind(0)
        rows = [model.see(text.prompt, _rows(text.items, encode), keep=1)[-1].numpy()]
        advance(fill_work(len(text.prompt) - 1) + 1)
        for token in text.continuation[:-1]:
            rows.append(model.step([token]).numpy())
            advance(1)
        return np.stack(rows)

    return [logits(text) for text in texts]


def reference_logits(
    spec: ModelSpec, weights: WeightReader, texts: Sequence[Continued], advance: Advance = nobody
) -> list[Logits]:
    """Return the reference's logits, [steps, vocabulary] f32 for each text. All tokens of all texts run in one step, so
    that a checkpoint too large for memory is read once. Advances by `reference_work`."""
    towers = cache(lambda tower: _tower(tower_graphs(spec)[tower], weights))
    embed, decoder = (Reference(graph(spec.text), weights, layerwise=True) for graph in (embed_graph, decoder_graph))

    def encode(item: Item) -> torch.Tensor:
        inputs = {name: torch.from_numpy(array) for name, array in item.inputs().items()}
        (rows,) = towers(item.tower).run(inputs, {}).values()
        return rows

    def started(text: Continued) -> Run:
        ids = torch.tensor([*text.prompt, *text.continuation[:-1]], dtype=torch.int32)
        inputs = embed.run({"input_ids": ids}, {})
        media = _rows(text.items, encode)
        inputs["inputs_embeds"] = inputs["inputs_embeds"].clone()
        for one in media:
            inputs["inputs_embeds"][one.position : one.end] = one.rows
        inputs["block_ids"] = block_numbers(range(len(ids)), media)
        inputs["position_ids"] = torch.arange(len(ids), dtype=torch.int32)
        inputs["num_logits_to_keep"] = torch.tensor(len(text.continuation), dtype=torch.int32)
        return Run({**inputs})

    runs = []
    for text in texts:
        runs.append(started(text))
        advance(1)
    towers.cache_clear()  # frees the memory of their weights
    found = decoder.run_together(runs, lambda: advance(1))
    return [np.asarray(outputs["logits"].numpy(), dtype=np.float32) for outputs in found]


def _tower(graph: Graph, weights: WeightReader) -> Reference:
    size = sum(4 * prod(weight.shape) for weight in graph.weights())
    return Reference(graph, weights, layerwise=size > MAX_KEPT_BYTES)


def reference_work(spec: ModelSpec, texts: int) -> int:
    """Return the total by which `reference_logits` advances."""
    return texts + len(decoder_graph(spec.text).nodes)


def _rows(items: Sequence[PromptItem], encode: Callable[[Item], torch.Tensor]) -> list[Rows]:
    return [Rows(entry.position, encode(entry.item), entry.item.tower == "image") for entry in items]
