"""Splits of attention: every visible key is in exactly one split, and workgroups fit every device."""

import re
from math import ceil, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.split_attention import (
    MAX_SPLITS,
    WORKGROUPS,
    Shape,
    Splits,
    shape_of,
    split_kernel,
    splits_of,
)
from gemtab.backends.webgpu.steps import Attend, Cache
from gemtab.bundle.plan import Limits, evaluate
from gemtab.graph import Value

LIMIT = Limits().maxStorageBufferBindingSize
BYTES = {"f32": 4, "vec4<f32>": 16}


def step_of(heads: int, kv_heads: int, size: int, window: int | None = None) -> Attend:
    q = Value("q", ("T", heads, size), "f32")
    return Attend(q, heads, Cache("kv", kv_heads, size, window), 1.0, Value("out", q.shape, "f32"), "layer")


def dealt(
    step: Attend, segments: list[tuple[int, int]], tokens: int = 1, activation: Activation = "f16"
) -> tuple[Shape, Splits]:
    shape = shape_of(step, activation)
    assert shape is not None
    splits = splits_of(step, shape, segments, tokens, LIMIT)
    assert splits is not None
    return shape, splits


@given(
    rows=st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
    heads=st.sampled_from([1, 2, 8, 16]),
    size=st.sampled_from([64, 128, 256, 512]),
    tokens=st.sampled_from([1, 3, 8]),
    activation=st.sampled_from(["f32", "f16"]),
    at=st.floats(0, 1),
)
def test_splits_hold_all_keys_and_no_workgroup_is_idle(
    rows: list[int], heads: int, size: int, tokens: int, activation: Activation, at: float
) -> None:
    segments = [(sum(rows[:i]), count) for i, count in enumerate(rows)]
    shape, splits = dealt(step_of(heads, 1, size), segments, tokens, activation)
    end = max(tokens, round(at * sum(rows)))
    used = 0
    for (first, count), piece in zip(segments, splits.pieces, strict=True):
        seen = min(count, max(0, end - first))
        number = evaluate(piece.splits, {"P": end - tokens, "T": tokens, "C": sum(rows)})
        assert number <= min(piece.slots, splits.most)
        if seen:
            # As the shader has it.
            keys_each = max(shape.least, ceil(ceil(seen / shape.tile) / splits.most)) * shape.tile
            assert (number - 1) * keys_each < seen <= number * keys_each
            assert piece.base == used, "slots in use are side by side"
        else:
            assert number == 0
        used += number
    assert used <= splits.slots


def test_a_large_gpu_is_busy_early_and_splits_grow_with_length() -> None:
    """E2B: eight query heads on one KV head."""
    shape, splits = dealt(step_of(8, 1, 512), [(0, 8192), (8192, 8192), (16384, 16384), (32768, 32768), (65536, 65536)])
    groups = 8 // shape.heads

    def workgroups(position: int) -> int:
        return groups * sum(evaluate(piece.splits, {"P": position, "T": 1, "C": 1 << 17}) for piece in splits.pieces)

    assert workgroups(0) == groups
    assert workgroups(1000) >= 32
    assert workgroups(8000) >= 128
    assert workgroups(131_000) <= len(splits.pieces) * WORKGROUPS
    assert splits.most <= MAX_SPLITS
    _, ring = dealt(step_of(8, 1, 256, window=512), [(0, 768)])
    in_ring = [
        evaluate(ring.pieces[0].splits, {"P": position, "T": 1, "C": 4096}) for position in (0, 31, 32, 511, 4000)
    ]
    assert in_ring == [1, 1, 2, 16, 16]


@pytest.mark.parametrize("activation", ["f32", "f16"])
@pytest.mark.parametrize("size", [20, 32, 64, 68, 96, 128, 192, 256, 260, 512, 1024])
@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 11, 16])
def test_workgroups_take_no_more_memory_than_every_device_has(activation: Activation, size: int, heads: int) -> None:
    step = step_of(heads, 1, size)
    shape = shape_of(step, activation)
    assert shape is not None and heads % shape.heads == 0
    splits = splits_of(step, shape, [(0, 4096)], 1, LIMIT)
    assert splits is not None
    text = split_kernel(step, shape, splits, ring=False).render()
    arrays = re.findall(r"var<workgroup> \w+: array<(.+), (\d+)>;", text)
    assert len(arrays) == text.count("var<workgroup>")
    assert sum(BYTES[kind] * int(count) for kind, count in arrays) <= Limits().maxComputeWorkgroupStorageSize
    assert prod(map(int, re.findall(r"@workgroup_size\((\d+)\)", text))) <= Limits().maxComputeInvocationsPerWorkgroup


def test_what_fits_no_workgroup_or_binding_has_no_splits() -> None:
    assert shape_of(step_of(1, 1, 4096), "f32") is None
    step = step_of(2, 1, 64)
    shape = shape_of(step, "f32")
    assert shape is not None
    small = splits_of(step, shape, [(0, 256), (256, 256)], 16, 65536)
    assert small is not None and small.most < 8
    assert splits_of(step, shape, [(0, 64)] * 8, 64, 16384) is None
