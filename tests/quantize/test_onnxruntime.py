"""ONNX Runtime as an oracle: its quantizer gives the same scales and codes, and its MatMulNBits reads the planes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits

from gemtab.quantize import BLOCK, PlainFormat, pack, padded_columns, unpack

Array = npt.NDArray[Any]
BITS: dict[PlainFormat, int] = {"q4": 4, "q8": 8}
QUANTIZERS: dict[PlainFormat, Any] = {"q4": quantize_matmul_4bits, "q8": quantize_matmul_8bits}


def onnxruntime_quantises(tensor: torch.Tensor, weight_format: PlainFormat) -> tuple[Array, Array]:
    """Codes [rows, blocks, bytes] and f32 scales [rows, blocks] of ONNX Runtime's symmetric quantizer."""
    rows, columns = tensor.shape
    blocks, bits = padded_columns(columns) // BLOCK, BITS[weight_format]
    codes = np.zeros((rows, blocks, BLOCK * bits // 8), np.uint8)
    scales = np.zeros(rows * blocks, np.float32)
    zero_points = np.zeros(rows * (blocks * bits + 7) // 8, np.uint8)
    QUANTIZERS[weight_format](codes, tensor.T.contiguous().numpy(), scales, zero_points, BLOCK, rows, columns, True)
    return codes, scales.reshape(rows, blocks)


def unpacked_codes(codes: Array, weight_format: PlainFormat) -> Array:
    if weight_format == "q8":
        return codes.astype(np.int64)
    return np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:-1], -1).astype(np.int64)


@pytest.mark.parametrize("weight_format", ["q4", "q8"])
def test_same_codes_and_scales_where_f16_holds_the_scale(weight_format: PlainFormat) -> None:
    """Every block's largest value is an f16 multiple of the half range, so that rounding does not change the scale.
    Then all bytes must be equal."""
    generator = torch.Generator().manual_seed(4)
    half_range = 2 ** (BITS[weight_format] - 1)
    scales = (torch.rand(64, 5, generator=generator) + 0.5).half().float()
    blocks = (torch.rand(64, 5, BLOCK, generator=generator) * 2 - 1) * 0.95 * half_range * scales[..., None]
    signs = torch.where(torch.rand(64, 5, generator=generator) < 0.5, -1.0, 1.0)
    blocks[..., 11] = half_range * scales * signs
    tensor = blocks.flatten(1)
    codes, ort_scales = onnxruntime_quantises(tensor, weight_format)
    ours = pack(tensor, weight_format)
    assert np.array_equal(ours["scales"], ort_scales.astype(np.float16))
    assert np.array_equal(ours["codes"], codes)


@pytest.mark.parametrize("weight_format", ["q4", "q8"])
def test_any_tensor_differs_only_by_the_rounding_of_the_scale(weight_format: PlainFormat) -> None:
    tensor = torch.randn(96, 320, generator=torch.Generator().manual_seed(5))
    codes, scales = onnxruntime_quantises(tensor, weight_format)
    ours = pack(tensor, weight_format)
    assert np.array_equal(ours["scales"], scales.astype(np.float16))
    difference = np.abs(unpacked_codes(ours["codes"], weight_format) - unpacked_codes(codes, weight_format))
    assert difference.max() <= 1
    # A code may differ if a value is within half_range * 2^-11 steps of a half: at most 1.6 % (q4), 12 % (q8).
    assert (difference > 0).mean() < {"q4": 0.016, "q8": 0.12}[weight_format]


@pytest.mark.parametrize("columns", [64, 32, 57, 100])
@pytest.mark.parametrize("weight_format", ["q4", "q8"])
def test_matmulnbits_computes_with_our_bytes(weight_format: PlainFormat, columns: int) -> None:
    generator = torch.Generator().manual_seed(columns)
    tensor, x = torch.randn(24, columns, generator=generator), torch.randn(3, columns, generator=generator)
    packed = pack(tensor, weight_format)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["y"],
        domain="com.microsoft",
        K=columns,
        N=24,
        bits=BITS[weight_format],
        block_size=BLOCK,
    )
    graph = helper.make_graph(
        [node],
        "matmul",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 24])],
        [
            numpy_helper.from_array(packed["codes"], "codes"),
            numpy_helper.from_array(packed["scales"].astype(np.float32), "scales"),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    assert isinstance(model, onnx.ModelProto)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.numpy()})
    expected = x @ unpack(packed, weight_format, (24, columns)).T
    assert np.abs(found - expected.numpy()).max() < 1e-4
