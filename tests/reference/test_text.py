"""The text stack on the reference backend against transformers, for every feature alone and together."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gemtab.backends.reference import KV, Caches, Reference, Run
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.graph import Graph, Shape, Weight
from gemtab.model.text import decoder_graph, embed_graph, fill_graph, text_graph
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ROUNDED, TRANSFORMERS_MAX
from tests.variants import AUDIO_ID, IMAGE_ID, VARIANTS, VIDEO_ID, load_transformers, transformers_logits

# More than twice the longest window, so that every window slides in prompt and decoding.
LENGTH = 56

# For sums in another order. An error in the computation is a thousand times larger.
ROUNDING = 5e-5


def prompt() -> list[int]:
    """Token ids with one placeholder of each medium, which are plain tokens if the checkpoint is text only."""
    ids = torch.randint(0, IMAGE_ID, (LENGTH,), generator=torch.Generator().manual_seed(1)).tolist()
    ids[10:13] = [IMAGE_ID, AUDIO_ID, VIDEO_ID]
    return list(ids)


def opened(folder: Path) -> tuple[CheckpointSpec, CheckpointWeights]:
    spec = load_spec(folder)
    return spec, CheckpointWeights(Checkpoint.open(folder), spec)


def inputs(ids: list[int], position: int = 0) -> dict[str, torch.Tensor]:
    positions = torch.arange(position, position + len(ids))
    return {"input_ids": torch.tensor(ids), "position_ids": positions}


Folder = Callable[[str], Path]


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_those_of_transformers(name: str, checkpoint_folder: Folder) -> None:
    folder = checkpoint_folder(name)
    spec, weights = opened(folder)
    expected = transformers_logits(load_transformers(folder), prompt())
    found = ReferenceText(spec.text, weights).logits(prompt())
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < TRANSFORMERS_MAX
    assert len(set(expected.argmax(-1).tolist())) > LENGTH // 2, "the logits do not depend on the prompt enough to test"


@pytest.mark.parametrize("name", ["shared_kv", "window", "everything", "mixed", "unified_12b"])
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_with_caches_give_the_logits_of_the_whole(name: str, chunk: int, checkpoint_folder: Folder) -> None:
    spec, weights = opened(checkpoint_folder(name))
    ids = prompt()
    whole = ReferenceText(spec.text, weights).logits(ids)
    text = ReferenceText(spec.text, weights)
    parts = torch.cat([text.logits(ids[i : i + chunk]) for i in range(0, LENGTH, chunk)])
    assert float((parts - whole).abs().max()) < ROUNDING


@pytest.mark.parametrize("name", VARIANTS)
def test_filling_and_one_step_give_the_last_logits_of_the_whole(name: str, checkpoint_folder: Folder) -> None:
    spec, weights = opened(checkpoint_folder(name))
    ids = prompt()
    whole = ReferenceText(spec.text, weights).logits(ids)
    caches: Caches = {}
    fill = Reference(fill_graph(spec.text), weights)
    assert fill.run(inputs(ids[:30]), caches) == {}
    fill.run(inputs(ids[30:-1], 30), caches)
    last = Reference(text_graph(spec.text), weights).run(inputs(ids[-1:], LENGTH - 1), caches)["logits"]
    assert float((last[0] - whole[-1]).abs().max()) < ROUNDING


@pytest.mark.parametrize("name", VARIANTS)
def test_embedding_and_decoder_make_the_text_graph(name: str, checkpoint_folder: Folder) -> None:
    spec, weights = opened(checkpoint_folder(name))
    ids = prompt()
    whole = ReferenceText(spec.text, weights).logits(ids)
    embedded = Reference(embed_graph(spec.text), weights).run({"input_ids": torch.tensor(ids)}, {})
    assert set(embedded) == ({"inputs_embeds", "per_layer_inputs"} if spec.text.per_layer_size else {"inputs_embeds"})
    decoder = Reference(decoder_graph(spec.text), weights)
    for kept, expected in ((0, whole), (1, whole[-1:]), (5, whole[-5:])):
        given = {**embedded, "position_ids": torch.arange(LENGTH), "num_logits_to_keep": torch.tensor(kept)}
        logits = decoder.run(given, {})["logits"]
        assert logits.shape == expected.shape
        assert float((logits - expected).abs().max()) < ROUNDING


class CountingWeights(CheckpointWeights):
    """A reader that records its reads."""

    def __init__(self, folder: Path, spec: CheckpointSpec) -> None:
        super().__init__(Checkpoint.open(folder), spec)
        self.reads: list[str] = []

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        self.reads.append(weight.name)
        return super().read_rows(weight, start, stop)


@pytest.mark.parametrize("name", ["everything", "mixed", "coded"])
def test_texts_that_run_together_read_weights_once_and_stay_apart(name: str, checkpoint_folder: Folder) -> None:
    """Each text has the logits that it has alone. Values are dropped after the last node that needs them."""
    spec, weights = opened(checkpoint_folder(name))
    texts = [prompt(), prompt()[20:3:-1], prompt()[30:31]]
    graph, counting = text_graph(spec.text), CountingWeights(checkpoint_folder(name), spec)
    runs = [Run({**inputs(ids)}) for ids in texts]
    most, nodes = 0, 0

    def after_node() -> None:
        nonlocal most, nodes
        most, nodes = max(most, len(runs[0].values)), nodes + 1

    found = Reference(graph, counting, layerwise=True).run_together(runs, after_node)
    for ids, outputs in zip(texts, found, strict=True):
        wanted = ReferenceText(spec.text, weights).logits(ids)
        tolerance = ROUNDED["f32"].max if name == "coded" else ROUNDING
        assert float((outputs["logits"] - wanted).abs().max()) < tolerance
    alone = CountingWeights(checkpoint_folder(name), spec)
    ReferenceText(spec.text, alone, layerwise=True).logits(texts[0])
    matrices = {weight.name for weight in graph.weights() if weight.role in ("matrix", "vector", "bound")}
    read, once = ([name for name in each.reads if name in matrices] for each in (counting, alone))
    assert read == once
    assert nodes == len(graph.nodes)
    assert most < 3 * len(spec.text.layers) + 10 < nodes / 4


@pytest.mark.parametrize("name", ["everything", "mixed"])
def test_layerwise_gives_the_same_and_keeps_nothing(name: str, checkpoint_folder: Folder) -> None:
    spec, weights = opened(checkpoint_folder(name))
    counting = CountingWeights(checkpoint_folder(name), spec)
    text = ReferenceText(spec.text, counting, layerwise=True)
    found = text.logits(prompt())
    assert float((found - ReferenceText(spec.text, weights).logits(prompt())).abs().max()) < ROUNDING
    before = counting.reads.count("layers.0.qkv")
    text.logits([1])
    assert counting.reads.count("layers.0.qkv") == before + 1
    table_rows = [name for name in counting.reads if name == "embed_tokens"]
    assert len(table_rows) < spec.text.vocabulary, "rows that no token asks for were looked up"


@pytest.mark.parametrize("name", ["everything", "mixed"])
@pytest.mark.parametrize("build", [embed_graph, text_graph, fill_graph, decoder_graph])
def test_every_op_returns_the_shape_that_the_builder_says(
    name: str, build: Callable[..., Graph], checkpoint_folder: Folder
) -> None:
    spec, weights = opened(checkpoint_folder(name))
    graph = build(spec.text)
    tokens, past, kept = 5, 9, 3
    sizes = {"T": tokens, "P+T": past + tokens, "kept": kept}
    caches: Caches = {}
    Reference(fill_graph(spec.text), weights).run(inputs(prompt()[:past]), caches)
    given: dict[str, torch.Tensor | KV] = {
        value.name: torch.ones([known(dim, sizes) for dim in value.shape]) for value in graph.inputs
    }
    given |= {"input_ids": torch.arange(tokens), "num_logits_to_keep": torch.tensor(kept)}
    given["position_ids"] = torch.arange(past, past + tokens)
    for node, results in Reference(graph, weights).steps(given, caches):
        given |= results
        for value in node.outputs:
            result = results[value.name]
            if isinstance(result, KV):
                assert value.dtype == "cache"
                assert result.v.shape == result.k.shape
                result = result.k
            else:
                assert value.dtype == ("f32" if result.is_floating_point() else "i32"), f"{node.op} at {node.label}"
            assert tuple(result.shape) == concrete(value.shape, sizes), f"{node.op} at {node.label}"


def known(dim: int | str, sizes: dict[str, int]) -> int:
    return dim if isinstance(dim, int) else sizes[dim]


def concrete(shape: Shape, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(known(dim, sizes) for dim in shape)
