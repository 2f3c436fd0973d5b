"""Products with rounded activations, for matrices with integer weights: see GraphBuilder.linear."""

import onnx_ir as ir

from gemtab.backends.onnx.emitter import Dims, Emitter
from gemtab.backends.onnx.weights import matmul
from gemtab.graph import Weight


def rounded_linear(
    e: Emitter, x: ir.Value, weight: Weight, input_scales: Weight, output_scales: Weight, rows: int, lead: Dims
) -> ir.Value:
    """rounded(rounded(x) @ weight[:rows].T) for x [*lead, columns]: [*lead, rows]."""
    before, after = e.plane(input_scales, "values"), e.plane(output_scales, "values")
    if len(set(e.values(input_scales).tolist())) == 1:
        y = matmul(e, _rounded(e, x, e.slice(before, 0, 1, 0), _has_off(e, input_scales)), weight, lead)
    else:
        y = _by_source(e, x, weight, before, _has_off(e, input_scales), lead)
    scales = e.slice(after, 0, 1, 0)
    if len(weight.parts) > 1:
        by_source = [e.op("Expand", e.slice(after, i, i + 1, 0), e.i64([size])) for i, size in enumerate(weight.parts)]
        scales = e.op("Concat", *by_source, axis=0)
    if rows < weight.shape[0]:
        y = e.slice(y, 0, rows, -1)
        scales = scales if len(weight.parts) == 1 else e.slice(scales, 0, rows, 0)
    return _rounded(e, y, scales, _has_off(e, output_scales))


def _by_source(e: Emitter, x: ir.Value, weight: Weight, before: ir.Value, off: bool, lead: Dims) -> ir.Value:
    """The product, if sources round x differently: multiply by the whole matrix for each source, keep the source's
    rows.

    Published checkpoints do not need this: all sources of a matrix share the scale of x.
    """
    kept, first = [], 0
    for index, size in enumerate(weight.parts):
        y = matmul(e, _rounded(e, x, e.slice(before, index, index + 1, 0), off), weight, lead)
        kept.append(e.slice(y, first, first + size, -1))
        first += size
    return e.op("Concat", *kept, axis=-1)


def _has_off(e: Emitter, scales: Weight) -> bool:
    return 0.0 in e.values(scales).tolist()


def _rounded(e: Emitter, x: ir.Value, scale: ir.Value, off: bool) -> ir.Value:
    """clamp(round(x / scale), -128, 127) * scale. off: some scales are 0, which leaves x as it is."""
    is_off = e.op("Equal", scale, e.f32(0.0)) if off else None
    unit = scale if is_off is None else e.op("Where", is_off, e.f32(1.0), scale)
    numbers = e.op("Clip", e.op("Round", e.op("Div", x, unit)), e.f32(-128.0), e.f32(127.0))
    y = e.op("Mul", numbers, unit)
    return y if is_off is None else e.op("Where", is_off, x, y)
