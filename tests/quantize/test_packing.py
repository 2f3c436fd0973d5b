"""Round trips, the layout, and the error of packed weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gemtab.errors import CheckpointError
from gemtab.graph import Role, Weight
from gemtab.quantize import DequantisedWeights, PlainFormat, pack, packed_rows, planes, storage_format, unpack

FORMATS: tuple[PlainFormat, ...] = ("f32", "f16", "q8", "q4")
BITS: dict[PlainFormat, int] = {"q8": 8, "q4": 4}

# Awkward sizes: one column, part of a block, whole blocks, one column more; leading axes of matrices and experts.
shapes = st.tuples(st.integers(1, 5), st.sampled_from([1, 7, 31, 32, 33, 57, 64, 100])) | st.tuples(
    st.integers(1, 3), st.integers(1, 4), st.sampled_from([24, 32, 72])
)


def random(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def weight(shape: tuple[int, ...], role: Role = "matrix", name: str = "w") -> Weight:
    return Weight(name, shape, role, (name,))


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1), weight_format=st.sampled_from(FORMATS))
def test_planes_are_what_was_announced(shape: tuple[int, ...], seed: int, weight_format: PlainFormat) -> None:
    packed = pack(random(shape, seed), weight_format)
    dtypes = {"u8": "uint8", "f16": "float16", "f32": "float32", "i32": "int32"}
    announced = planes(weight(shape), weight_format)
    assert list(packed) == [plane.name for plane in announced]
    for plane in announced:
        array = packed[plane.name]
        assert (array.shape, array.dtype.name, array.nbytes) == (plane.shape, dtypes[plane.dtype], plane.bytes)
        assert array.flags.c_contiguous


@settings(deadline=None)
@given(
    shape=shapes, seed=st.integers(0, 2**32 - 1), exponent=st.integers(-8, 8), weight_format=st.sampled_from(FORMATS)
)
def test_error_is_within_half_a_step(
    shape: tuple[int, ...], seed: int, exponent: int, weight_format: PlainFormat
) -> None:
    tensor = random(shape, seed, 2.0**exponent)
    found = unpack(pack(tensor, weight_format), weight_format, shape)
    assert found.shape == shape
    error = (found - tensor).abs()
    if weight_format == "f32":
        assert torch.equal(found, tensor)
    elif weight_format == "f16":
        assert bool((error <= tensor.abs() * 2.0**-11 + 2.0**-25).all())
    else:
        # Half a step of the block's scale; a whole step at the positive end of the range, which is one step short; and
        # the code times the rounding of the scale to f16, which has steps of 2^-24 for subnormal scales.
        largest = blockwise_largest(tensor)
        most = 2 ** (BITS[weight_format] - 1)
        scale = largest / most
        opposite = torch.where(error > scale / 2 * 1.002, 1.0, 0.5)
        assert bool((error <= scale * opposite * 1.002 + largest * 2.0**-11 + most * 2.0**-25).all())


def blockwise_largest(tensor: torch.Tensor) -> torch.Tensor:
    columns = tensor.shape[-1]
    padded = torch.nn.functional.pad(tensor.abs(), (0, -columns % 32)).reshape(*tensor.shape[:-1], -1, 32)
    largest: torch.Tensor = padded.amax(-1, keepdim=True).expand_as(padded).flatten(-2)[..., :columns]
    return largest


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1), weight_format=st.sampled_from(("q8", "q4")))
def test_packing_again_changes_nothing(shape: tuple[int, ...], seed: int, weight_format: PlainFormat) -> None:
    once = unpack(pack(random(shape, seed), weight_format), weight_format, shape)
    again = unpack(pack(once, weight_format), weight_format, shape)
    assert torch.equal(once, again)


@pytest.mark.parametrize("weight_format", FORMATS)
def test_rows_pack_alone_as_in_the_whole(weight_format: PlainFormat) -> None:
    tensor = random((12, 57), 0)
    whole = pack(tensor, weight_format)
    part = pack(tensor[5:9], weight_format)
    for name, array in part.items():
        assert np.array_equal(array, whole[name][5:9])


def test_q4_layout_by_hand() -> None:
    """-8 … 7 then zeros, scale 1: code q + 8, earlier column in the low nibble, padding is the code of zero."""
    tensor = torch.zeros(1, 40)
    tensor[0, :16] = torch.arange(-8, 8)
    packed = pack(tensor, "q4")
    assert packed["codes"][0, 0, :8].tolist() == [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]
    assert packed["codes"][0, 0, 8:].tolist() == [0x88] * 8
    assert packed["codes"][0, 1].tolist() == [0x88] * 16
    assert packed["scales"][0].tolist() == [1.0, 0.0]


def test_q8_layout_by_hand() -> None:
    tensor = torch.zeros(1, 32)
    tensor[0, :4] = torch.tensor([-128.0, 127.0, 1.0, -1.0])
    packed = pack(tensor, "q8")
    assert packed["codes"][0, 0, :5].tolist() == [0, 255, 129, 127, 128]
    assert packed["scales"].tolist() == [[1.0]]


def test_codes_are_taken_against_the_scale_as_stored() -> None:
    """With the scale before rounding, one that f16 rounds down by 2^-12 would put the last column a step too low."""
    tensor = torch.tensor([[-8.0 * (1 + 2.0**-12), 3.5 * (1 + 2.0**-13), *[0.0] * 30]])
    packed = pack(tensor, "q4")
    assert packed["scales"].tolist() == [[1.0]]
    assert packed["codes"][0, 0, 0] == 0 | (12 << 4)


@pytest.mark.parametrize("weight_format", ["f16", "q8", "q4"])
def test_what_does_not_fit_f16_is_rejected(weight_format: PlainFormat) -> None:
    with pytest.raises(CheckpointError, match=r"the maximum of f16 is 65504.*--weights f32"):
        pack(torch.full((2, 32), 1e8), weight_format)


def test_what_does_not_fit_f16_is_named() -> None:
    class Large:
        def read(self, weight: Weight) -> torch.Tensor:
            return self.read_rows(weight, 0, weight.shape[0])

        def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
            return torch.full((stop - start, *weight.shape[1:]), 1e8)

    with pytest.raises(CheckpointError, match=r"layers\.3\.mlp\.up_proj: .*the maximum of f16 is 65504"):
        packed_rows(Large(), weight((2, 32), name="layers.3.mlp.up_proj"), "q4", 0, 2)


@pytest.mark.parametrize(
    ("role", "name", "expected"),
    [
        ("matrix", "layers.0.qkv", "q4"),
        ("table", "embed_tokens", "q4"),
        ("experts", "layers.0.experts.down_proj", "q4"),
        ("vector", "norm", "f32"),
        ("matrix", "layers.0.router.proj", "f32"),
        ("matrix", "centroids", "f32"),
    ],
)
def test_what_is_stored_how(role: Role, name: str, expected: PlainFormat) -> None:
    assert storage_format(weight((4, 32), role, name), "q4") == expected


class Given:
    """A reader of one tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def read(self, weight: Weight) -> torch.Tensor:
        assert weight.shape == self.tensor.shape
        return self.tensor

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        return self.read(weight)[start:stop]


def test_dequantised_weights_are_what_the_planes_stand_for() -> None:
    tensor = random((6, 50), 3)
    reader = DequantisedWeights(Given(tensor), "q4")
    expected = unpack(pack(tensor, "q4"), "q4", (6, 50))
    assert not torch.equal(expected, tensor)
    assert torch.equal(reader.read(weight((6, 50))), expected)
    assert torch.equal(reader.read_rows(weight((6, 50)), 2, 5), expected[2:5])
    assert torch.equal(reader.read(weight((6, 50), "vector")), tensor)


@pytest.mark.parametrize("weight_format", FORMATS)
def test_an_ordering_is_kept_to_the_last_number(weight_format: PlainFormat) -> None:
    """As many numbers as Gemma has tokens, which f16 could not distinguish."""
    order = torch.randperm(262_144, generator=torch.Generator().manual_seed(5))
    ordering = weight((len(order),), "ordering")
    (plane,) = planes(ordering, weight_format)
    assert (plane.name, plane.dtype, plane.bytes) == ("values", "i32", 4 * len(order))
    packed = pack(order.float(), "i32")
    assert packed["values"].dtype == np.int32
    assert torch.equal(unpack(packed, "i32", ordering.shape), order.float())
