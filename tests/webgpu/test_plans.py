"""Plans of whole models: their dispatches, the limits, and the models that the compiler rejects."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemtab.backends.webgpu.compile import build_text_plan
from gemtab.backends.webgpu.engine.device import ADAPTER, open_device
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.place import place
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits, Plan, ScratchBuffer, StateBuffer, WeightBuffer, evaluate
from gemtab.checkpoint.config import parse_config
from gemtab.errors import CheckpointError, DeviceError
from gemtab.graph import GraphBuilder
from gemtab.model.spec import TextSpec
from gemtab.model.text import fill_graph, text_graph
from gemtab.quantize import planes
from gemtab.synth import published_config
from tests.checkpoint.published import CONFIGS
from tests.variants import variant

SMALL = Limits(maxStorageBufferBindingSize=65536)


def plan_of(spec: TextSpec, weight_format: WeightFormat, limits: Limits, context: int, media: bool = False) -> Plan:
    """The f32 plan of a model without weights: plans need only their locations."""
    found = [(weight, plane) for weight in text_graph(spec).weights() for plane in planes(weight, weight_format)]
    locations = {(weight.name, str(plane.name)): Location("weights", 0, plane.bytes) for weight, plane in found}
    stored = StoredWeights(weight_format, locations, lambda _: [1.0], limits.maxStorageBufferBindingSize)
    builder, _ = build_text_plan(fuse(fill_graph(spec, media)), fuse(text_graph(spec)), stored, "f32", context, limits)
    return builder.finish({})


def spec_of(name: str) -> TextSpec:
    return parse_config(CONFIGS[name], name).text


def layers_of(plan: Plan, program: str, tokens: int, position: int) -> dict[int, int]:
    """Dispatches of a step by layer, without the merges of attention's splits."""
    sizes = {"T": tokens, "P": position, "C": plan.context}
    counts: dict[int, int] = {}
    for dispatch in plan.programs[program].dispatches:
        runs = 0 not in [evaluate(expr, sizes) for expr in dispatch.grid]
        if runs and dispatch.label.startswith("layers.") and not dispatch.kernel.startswith("attention-merge."):
            layer = int(dispatch.label.split(".")[1])
            counts[layer] = counts.get(layer, 0) + 1
    return counts


@pytest.mark.parametrize("name", CONFIGS)
def test_a_decode_layer_takes_few_dispatches(name: str) -> None:
    spec = spec_of(name)
    counts = layers_of(plan_of(spec, "q4", Limits(), context=4096), "decode", 1, 3000)
    assert sorted(counts) == list(range(len(spec.layers)))
    # With experts: two more norms, the router's scores and choice, two matrices (one in two pieces), and their sum.
    most = 15 if spec.layers[0].moe else 11 if spec.per_layer_size else 8
    assert max(counts.values()) <= most


@pytest.mark.parametrize("size", ["12B", "26B-A4B", "31B"])
def test_an_image_of_the_largest_budget_is_filled_in_one_chunk(size: str) -> None:
    """Its tokens see each other, and so must be filled in one step."""
    spec = parse_config(published_config(size), size).text
    assert spec.image_blocks
    plan = plan_of(spec, "q4", Limits(), context=4096, media=True)
    assert plan.programs["fill"].max_tokens >= 1120


def test_the_experts_of_a_layer_are_cut_between_experts() -> None:
    plan = plan_of(spec_of("26B-A4B"), "q4", Limits(), context=4096)
    expert = 2 * 704 * 2816 // 2
    sizes = [
        buffer.bytes
        for name, buffer in plan.buffers.items()
        if name.startswith("layers.0.experts.gate_up_proj:codes") and isinstance(buffer, WeightBuffer)
    ]
    assert sum(sizes) == 128 * expert
    assert len(sizes) == 2 and all(size % expert == 0 for size in sizes)
    runs = [d for d in plan.programs["decode"].dispatches if d.label == "layers.0.experts" and "glu" in d.kernel]
    ranges = [(d.params[-4], d.params[-3]) for d in runs if d.params is not None]
    assert ranges == [(0, 67), (67, 61)]


def test_prompt_tokens_skip_the_layers_that_share_kv() -> None:
    """E2B: `fill` skips layers 15 to 34, and computes only K and V of layer 14, the last that owns a cache."""
    plan = plan_of(spec_of("E2B"), "q4", Limits(), context=4096)
    counts = layers_of(plan, "fill", 256, 0)
    assert sorted(counts) == list(range(15))
    assert counts[14] == 2
    last = [d for d in plan.programs["fill"].dispatches if d.label.startswith("layers.14.")]
    rows = last[0].params
    assert rows is not None
    first_row, row_count = rows[0], rows[1]
    assert (first_row, row_count) == (8 * 512, 2 * 512)


@pytest.mark.parametrize("weight_format", ["f32", "q4"])
def test_every_binding_fits_small_limits(weight_format: WeightFormat, tmp_path: Path) -> None:
    from gemtab.checkpoint import load_spec

    spec = load_spec(variant("everything", tmp_path)).text
    plan = plan_of(spec, weight_format, SMALL, context=1024)
    most = SMALL.maxStorageBufferBindingSize
    at_end = {"T": 1, "P": 1024, "C": 1024}
    for name, buffer in plan.buffers.items():
        size = evaluate(buffer.bytes, at_end) if isinstance(buffer, StateBuffer | ScratchBuffer) else buffer.bytes
        assert size <= most, f"{name} takes {size}"
    if weight_format == "f32":
        pieces = [name for name in plan.buffers if name.startswith("embed_tokens_per_layer:values:")]
        assert len(pieces) > 1


def test_caches_grow_in_segments_that_double() -> None:
    plan = plan_of(spec_of("E2B"), "q4", Limits(), context=131_072)
    keys = [b for name, b in plan.buffers.items() if name.startswith("kv.14:keys") and isinstance(b, StateBuffer)]
    row_bytes = 512 * 4
    sizes = [evaluate(buffer.bytes, {"T": 1, "P": 0, "C": 131_072}) // row_bytes for buffer in keys]
    assert sizes == [4096, 4096, 8192, 16384, 32768, 65536]


def test_programs_do_not_run_what_the_context_has_not_reached() -> None:
    plan = plan_of(spec_of("E2B"), "q4", Limits(), context=131_072)
    near, far = layers_of(plan, "decode", 1, 100), layers_of(plan, "decode", 1, 131_000)
    assert near[14] == 11
    assert far[14] == 11 + 5


def test_every_file_byte_of_a_weight_is_read_once() -> None:
    """The pieces of a weight have no gaps and no overlap."""
    plan = plan_of(spec_of("E2B"), "q4", Limits(), context=4096)
    pieces = [
        buffer
        for name, buffer in plan.buffers.items()
        if name.startswith("embed_tokens_per_layer:codes") and isinstance(buffer, WeightBuffer)
    ]
    assert len(pieces) > 1
    end = 0
    for piece in sorted(pieces, key=lambda p: p.offset):
        assert piece.offset == end
        end += piece.bytes
    assert end == 262_144 * 35 * 256 // 2


def test_an_op_without_a_kernel_is_rejected_by_an_error_that_names_it() -> None:
    b = GraphBuilder("lone")
    with b.at("layers.3.mlp"):
        y = b.gelu_tanh(b.input("x", ("T", 8)))
    with pytest.raises(CheckpointError, match=r"gelu_tanh at layers\.3\.mlp has no WebGPU kernel"):
        fuse(b.finish(y=y))


def test_limits_too_small_for_a_row_are_rejected() -> None:
    with pytest.raises(DeviceError, match="raise the limit"):
        plan_of(spec_of("E2B"), "f32", Limits(maxStorageBufferBindingSize=4096), context=512)


def test_an_adapter_with_too_small_limits_is_rejected() -> None:
    with pytest.raises(DeviceError, match=r"max-storage-buffer-binding-size = [\d,]+, but this plan needs"):
        open_device(Limits(maxStorageBufferBindingSize=1 << 40))


def test_an_adapter_is_chosen_by_a_part_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    best = open_device(Limits()).name
    monkeypatch.setenv(ADAPTER, best[1:-1].upper())
    assert open_device(Limits()).name == best
    monkeypatch.setenv(ADAPTER, "no such GPU")
    with pytest.raises(DeviceError, match="GEMTAB_ADAPTER is 'no such GPU'.*: found .*" + re.escape(best)):
        open_device(Limits())


lifetimes = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers(1, 50)),
    min_size=1,
    max_size=30,
)


@given(lifetimes)
def test_values_alive_together_never_share_a_slot(values: dict[str, tuple[int, int, int]]) -> None:
    lives = {name: (born, born + length) for name, (born, length, _) in values.items()}
    sizes = {name: 4 * size for name, (_, _, size) in values.items()}
    chosen, slots = place(lives, sizes)
    for name, (born, died) in lives.items():
        assert sizes[name] <= slots[chosen[name]]
        for other, (other_born, other_died) in lives.items():
            if other != name and chosen[other] == chosen[name]:
                assert died < other_born or other_died < born


def test_slots_are_shared() -> None:
    plan = plan_of(spec_of("E2B"), "q4", Limits(), context=4096)
    scratch = [buffer for buffer in plan.buffers.values() if isinstance(buffer, ScratchBuffer)]
    assert sum(evaluate(size, {}) for size in plan.slots) < sum(evaluate(buffer.bytes, {}) for buffer in scratch) / 10
