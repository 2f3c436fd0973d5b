"""The counts of `python -m benchmarks.plans`, on the tiny model and on a few layers of published shape."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plans
from benchmarks.plans import GREEDY, Model, active_bytes, count, live_cache, model, own_sampling
from benchmarks.traffic import bundle_traffic, bytes_of, reads, sampler_bytes
from gemtab.backends.webgpu.lower import MAXIMA_GROUP, MAXIMA_SLICE
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import running
from gemtab.checkpoint import load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.export import export_bundle
from gemtab.model.text import text_graph
from gemtab.synth import published_config
from gemtab.synth.mobile import as_mobile
from tests.silent import Silent
from tests.variants import TINY

POSITIONS = [0, 30, 63, 64, 100, 511]


def few_layers(size: str, weights: WeightFormat, layers: int, experts: int | None = None) -> Model:
    config = published_config(size, layers, experts)
    spec = parse_config(as_mobile(config, size) if weights == "qat" else config, size).text
    return model(spec, weights, own_sampling(TINY), context=4096)


@pytest.fixture(scope="module")
def tiny() -> Model:
    return model(load_spec(TINY).text, "q4", own_sampling(TINY), context=512)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_token_reads_active_weights_and_live_cache_once(tiny: Model, position: int) -> None:
    found = count(tiny, position)
    assert found.weights == pytest.approx(active_bytes(text_graph(tiny.spec), "q4", tiny.spec), rel=1e-3)
    assert found.cache == live_cache(tiny.spec, position)
    assert found.ratio == pytest.approx(1, abs=2e-3)
    # Four query heads to a KV head, all in one workgroup.
    assert found.issued == found.cache
    assert found.merges == len(tiny.spec.layers)


def test_a_kv_head_of_512_is_loaded_by_two_workgroups_of_its_eight_query_heads() -> None:
    e2b = few_layers("E2B", "q4", 5)
    found = count(e2b, 999)
    full = [layer.attention for layer in e2b.spec.layers if layer.attention.window is None]
    assert [(one.head_size, one.kv_heads) for one in full] == [(512, 1)]
    assert found.issued == found.cache + 1000 * 512 * 2 * 2


def test_prompt_tokens_load_keys_for_each_head_and_token(tiny: Model) -> None:
    tokens, position = 16, 40
    dispatches = running(tiny.plan.programs["fill"], {"T": tokens, "P": position, "C": 512})
    found = [reads(tiny.plan, one, tiny.spec) for one in dispatches if "attention" in one.kernel]
    issued = [bytes_of(one.issued, tokens, position, 512) for one in found]
    # The first layers slide: 4 heads of 32 in f16, keys and values, of 56 positions of a window of 64.
    assert issued[0] == tokens * 4 * 56 * 32 * 2 * 2
    assert bytes_of(found[0].cache, tokens, position, 512) == 56 * 32 * 2 * 2


def test_single_workgroups(tiny: Model) -> None:
    """Norms over the width, and the end of the sampler: a token has one row of each."""
    decode = tiny.plan.programs["decode"]
    alone = [one for one in decode.dispatches if one.kernel.startswith("add_norm")]
    found = count(tiny, 100)
    assert len(alone) < found.single < found.dispatches
    assert plans._workgroups(decode.dispatches[-1], {"T": 1, "P": 100, "C": 512}) == 1
    wide = decode.dispatches[-1].model_copy(update={"grid": (2, "T", ("ceildiv", "P", 64))})
    assert plans._workgroups(wide, {"T": 3, "P": 100, "C": 512}) == 2 * 3 * 2


def test_the_sampler_at_the_models_own_settings(tiny: Model) -> None:
    settings = json.loads((TINY / "generation_config.json").read_text())
    assert (tiny.sampling.temperature, tiny.sampling.top_k, tiny.sampling.top_p) == (1.0, 64, 0.95)
    assert (settings["temperature"], settings["top_k"], settings["top_p"]) == (1.0, 64, 0.95)
    logits, groups = 2048 * 4, -(-2048 // MAXIMA_GROUP)
    slices = groups * MAXIMA_GROUP // MAXIMA_SLICE
    assert sampler_bytes(tiny.plan, GREEDY) == logits + groups * 8
    # A word a slice, once for each byte of the 64th largest and once to choose 64 slices.
    assert sampler_bytes(tiny.plan, tiny.sampling) == logits + 5 * slices * 4 + 64 * MAXIMA_SLICE * 4


def test_integer_weights_have_dispatches_that_round() -> None:
    plain, codes = (count(few_layers("E2B", weights, 5), 1000) for weights in ("q4", "qat"))
    assert codes.dispatches > plain.dispatches
    assert codes.weights < plain.weights
    assert codes.cache == plain.cache
    assert codes.ratio == pytest.approx(1, abs=2e-3)


def test_of_experts_the_active_ones_are_read() -> None:
    moe = few_layers("26B-A4B", "q4", 2, experts=16)
    assert count(moe, 1000).ratio == pytest.approx(1, abs=2e-3)


def test_the_counts_of_a_bundle(tmp_path: Path) -> None:
    """Those that the benchmark of a GPU reads: of each of its plans, without its weights."""
    bundle = tmp_path / "tiny"
    export_bundle(TINY, bundle, "q4", context=512, force=False, progress=Silent())
    for data in bundle.rglob("*.onnx_data*"):
        data.unlink()
    found = json.loads(json.dumps(bundle_traffic(bundle)))
    assert set(found) == {"f16", "f32"}
    # The head: 2,048 rows of 160 columns in q4, five blocks of 16 bytes and a scale of 2.
    heads = [
        one for one in found["f16"] if one["kernel"].startswith("matmul") and "embed_tokens:codes" in one["buffers"]
    ]
    assert heads
    for head in heads:
        assert bytes_of(tuples(head["weights"]), 1, 0, 512) == 2048 * 5 * (16 + 2)
        assert (head["cache"], head["issued"]) == (0, 0)


def tuples(expression: Any) -> Any:
    """An expression as JSON has it, as Python has it."""
    return tuple(map(tuples, expression)) if isinstance(expression, list) else expression
