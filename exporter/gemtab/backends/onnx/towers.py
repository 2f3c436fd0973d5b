"""The towers' ops in plain operators, for a batch of images or stretches of audio.

The graph describes one image or stretch of audio. The inputs of the ONNX graph are a batch [B, N, …], which processors
pad to one length. So ops that combine rows use only valid rows. A patch is valid if its position is at least 0, a frame
if `input_features_mask` [B, N] bool is true. Padding is at the end, where causal ops do not see it. The output has no
padding: [soft tokens of the whole batch, hidden], in the order of the placeholders.
"""

import numpy as np
import onnx_ir as ir

from gemtab.backends import sinusoids as table
from gemtab.backends.onnx.attention import MASKED, attention_weights, rotate
from gemtab.backends.onnx.emitter import BATCH, ROWS, TO_END, Emitter
from gemtab.backends.onnx.weights import lookup
from gemtab.graph import Node, Value, known

POSITIONS, FEATURES, FEATURES_MASK = "pixel_position_ids", "input_features", "input_features_mask"

SOFT_TOKENS = ("image_features", "audio_features")
"""Outputs without padding, and so without a batch axis."""


# --- valid rows -----------------------------------------------------------------------------------------


def soft_tokens(e: Emitter, features: ir.Value) -> ir.Value:
    """Return features [B, T, hidden] without padding: [soft tokens, hidden]."""
    valid = _valid_audio_rows(e, 1) if _input(e).name == FEATURES else _valid_cells(e)
    kept = e.op("Squeeze", e.op("NonZero", e.reshape(valid, -1)), e.i64([0]))
    (output,) = e.graph.outputs.values()
    return e.op("Gather", e.reshape(features, -1, known(output.shape[-1])), kept, axis=0)


def _input(e: Emitter) -> Value:
    """The tower's first input: pixels or audio."""
    return e.graph.inputs[0]


def _rows_a_token(value: Value) -> int:
    """Rows of a value per soft token: 4 if its shape begins with `4T`."""
    rows = value.shape[0]
    assert isinstance(rows, str)
    return int(rows.removesuffix("T") or 1)


def _valid_audio_rows(e: Emitter, rows_a_token: int) -> ir.Value:
    """Which rows of audio are valid, [B, rows] bool: those whose first frame is valid. A row is of `stride` frames."""
    stride = _rows_a_token(_input(e)) // rows_a_token

    def make() -> ir.Value:
        mask = e.input(FEATURES_MASK, (BATCH, ROWS[FEATURES]), ir.DataType.BOOL)
        return mask if stride == 1 else e.slice(mask, 0, TO_END, 1, stride)

    return e.once(("valid audio rows", stride), make)


def _valid_patches(e: Emitter) -> ir.Value:
    """Which patches are valid, [B, N] bool."""
    return e.once("valid patches", lambda: e.op("GreaterOrEqual", _axis(e, _positions(e), 0), e.i64(0)))


def _valid_cells(e: Emitter) -> ir.Value:
    """Which soft tokens are valid, [B, T] bool: the first ones, as many as the valid patches fill."""
    valid, cell_patches = _valid_patches(e), _rows_a_token(_input(e))
    if cell_patches == 1:
        return valid
    count = e.op("ReduceSum", e.cast(valid, ir.DataType.INT64), e.i64([-1]), keepdims=1)
    return e.op("Less", _cells(e, cell_patches), e.op("Div", count, e.i64(cell_patches)))


def _cells(e: Emitter, cell_patches: int) -> ir.Value:
    """The indices 0 … T - 1 of the cells of the padded input, each of `cell_patches` patches."""

    def make() -> ir.Value:
        count = e.op("Div", e.size(_positions(e), 1), e.i64(cell_patches))
        return e.op("Range", e.i64(0), count, e.i64(1))

    return e.once("cells", make)


def _positions(e: Emitter) -> ir.Value:
    """The patches' positions (x, y) [B, N, 2]; -1 in padding."""
    (positions,) = [value for value in e.graph.inputs if value.name == POSITIONS]
    return e.get(positions)


def _axis(e: Emitter, positions: ir.Value, axis: int) -> ir.Value:
    """The x (0) or y (1) of positions [B, N, 2]: [B, N]."""
    return e.once(("axis", positions.name, axis), lambda: e.op("Gather", positions, e.i64(axis), axis=2))


# --- images ---------------------------------------------------------------------------------------------


def embed_positions(e: Emitter, node: Node) -> ir.Value:
    """table[px * position_step] + table[py * position_step + axis_step]. Padding gets position 0; its sum is unused."""
    steps = np.array([0, node.integer("axis_step")])
    positions = e.op("Max", e.get(node.value(0)), e.i64(0))
    rows = e.op("Add", e.op("Mul", positions, e.i64(node.integer("position_step"))), e.i64(steps))
    return e.op("ReduceSum", lookup(e, node.weight(1), rows, 3), e.i64([2]), keepdims=0)


def axial_rope(e: Emitter, node: Node) -> ir.Value:
    """Rotate the first half of each head [B, N, heads, size] by the x of its position, the second half by the y."""
    half = known(node.output.shape[-1]) // 2
    positions, theta = e.get(node.value(1)), node.number("theta")
    halves = e.op_many("Split", 2, e.get(node.value(0)), axis=-1, num_outputs=2)
    rotated = [rotate(e, x, half, _axis(e, positions, axis), theta, half // 2) for axis, x in enumerate(halves)]
    return e.op("Concat", *rotated, axis=-1)


def full_attention(e: Emitter, node: Node) -> ir.Value:
    """Attention of every patch over all patches of its own image, one KV head at a time.

    The scores of one head take 25 MB for an image of 2,520 patches; those of all heads would not fit a browser's
    memory.
    """
    heads, size = (known(dim) for dim in node.output.shape[1:])
    kv_heads = known(node.value(1).shape[1])
    q, k, v = (e.get(node.value(index)) for index in range(3))
    q = e.reshape(q, 0, 0, kv_heads, heads // kv_heads, size)
    body = _kv_head_body(e, node)
    attended = e.op("Scan", q, k, v, body=body, num_scan_inputs=3, scan_input_axes=(2, 2, 2), scan_output_axes=(2,))
    attended.dtype = ir.DataType.FLOAT
    attended.shape = ir.Shape((*e.dims(node.output)[:2], kv_heads, heads // kv_heads, size))
    return e.reshape(attended, 0, 0, heads, size)


def _kv_head_body(e: Emitter, node: Node) -> ir.Graph:
    """The body of the Scan: attention of q [B, N, query heads, size] over one KV head, k and v [B, N, size]."""
    name = f"{node.label}.heads"
    q, k, v = (ir.val(f"{name}.{part}", ir.DataType.FLOAT) for part in "qkv")
    with e.body() as nodes:
        keys, values = e.unsqueeze(e.op("Transpose", k, perm=(0, 2, 1)), 1), e.unsqueeze(v, 1)
        scores = e.op("MatMul", e.op("Transpose", q, perm=(0, 2, 1, 3)), keys)
        seen = e.once("seen patches", lambda: e.unsqueeze(_valid_patches(e), 1, 2))
        weights = attention_weights(e, scores, node.number("scale"), seen)
        attended = e.op("Transpose", e.op("MatMul", weights, values), perm=(0, 2, 1, 3))
        attended.dtype = ir.DataType.FLOAT
    return ir.Graph([q, k, v], [attended], nodes=nodes, name=f"{name}.body")


def pool(e: Emitter, node: Node) -> ir.Value:
    """The mean of each cell's patches, [B, T, width], by a matrix of zeros and ones. Cells of padding are 0."""
    x, positions, side = e.get(node.value(0)), e.get(node.value(1)), node.integer("side")
    across, down = (e.op("Div", _axis(e, positions, axis), e.i64(side)) for axis in (0, 1))
    columns = e.op("Add", e.op("ReduceMax", across, e.i64([-1]), keepdims=1), e.i64(1))
    # Padding gets no cell (-1): the division turned its position -1 into 0.
    cell = e.op("Where", _valid_patches(e), e.op("Add", across, e.op("Mul", columns, down)), e.i64(-1))
    belongs = e.op("Equal", e.unsqueeze(_cells(e, side**2), 0, 2), e.unsqueeze(cell, 1))
    return e.op("Mul", e.op("MatMul", e.cast(belongs, ir.DataType.FLOAT), x), e.f32(side**-2))


# --- audio ----------------------------------------------------------------------------------------------


def subsample(e: Emitter, node: Node) -> ir.Value:
    """Convolution of x [B, frames, bins, channels]. Padding is set to 0 first: an earlier convolution may have filled
    the rows."""
    valid = _valid_audio_rows(e, _rows_a_token(node.value(0)))
    x = e.op("Mul", e.get(node.value(0)), e.cast(e.unsqueeze(valid, 2, 3), ir.DataType.FLOAT))
    channels_first = e.op("Transpose", x, perm=(0, 3, 1, 2))
    convolved = e.op("Conv", channels_first, e.plane(node.weight(1), "values"), strides=(2, 2), pads=(1, 1, 1, 1))
    return e.op("Transpose", convolved, perm=(0, 2, 3, 1))


def causal_depthwise(e: Emitter, node: Node) -> ir.Value:
    """Causal convolution of each channel of x [B, T, channels]."""
    channels, _, size = node.weight(1).shape
    channels_first = e.op("Transpose", e.get(node.value(0)), perm=(0, 2, 1))
    kernel = e.plane(node.weight(1), "values")
    return e.op("Transpose", e.op("Conv", channels_first, kernel, group=channels, pads=(size - 1, 0)), perm=(0, 2, 1))


def sinusoids(e: Emitter, node: Node) -> ir.Value:
    """A constant table [1, count, width], for the whole batch."""
    count, width = (known(dim) for dim in node.output.shape)
    return e.f32(table.sinusoids(count, width)[None])


def local_attention(e: Emitter, node: Node) -> ir.Value:
    """Attention of q [B, T, heads, size] over windows of k and v, gathered as [B, T, window, heads, size]."""
    q, k, v = (e.get(node.value(index)) for index in range(3))
    heads, size = (known(dim) for dim in node.output.shape[1:])
    window, cap = node.integer("window"), e.f32(node.number("cap"))
    relative = e.slice(e.reshape(e.get(node.value(3)), 1, -1, heads, size), 0, window, 1)
    dim_scale = e.op("Softplus", e.plane(node.weight(4), "values"))
    q = e.op("Mul", e.op("Mul", q, dim_scale), e.f32(node.number("scale")))
    before = _rows_before(e, q, window)
    near = e.op("Max", before, e.i64(0))
    keys = e.op("Mul", e.op("Gather", k, near, axis=1), e.f32(node.number("key_scale")))
    products = e.op("Mul", e.unsqueeze(q, 2), e.op("Add", keys, e.unsqueeze(relative, 1)))
    scores = e.op("ReduceSum", products, e.i64([-1]), keepdims=1)
    scores = e.op("Mul", e.op("Tanh", e.op("Div", scores, cap)), cap)
    seen = e.unsqueeze(e.op("GreaterOrEqual", before, e.i64(0)), 2, 3)
    weights = e.op("Softmax", e.op("Where", seen, scores, e.f32(MASKED)), axis=2)
    return e.op("ReduceSum", e.op("Mul", weights, e.op("Gather", v, near, axis=1)), e.i64([2]), keepdims=0)


def _rows_before(e: Emitter, x: ir.Value, window: int) -> ir.Value:
    """The indices [T, window] of the rows at distances 0 … window - 1 before each row of x [B, T, …]. Before the first
    row they are negative."""

    def make() -> ir.Value:
        rows = e.op("Range", e.i64(0), e.size(x, 1), e.i64(1))
        return e.op("Sub", e.unsqueeze(rows, 1), e.i64(np.arange(window)))

    return e.once(("rows before", window), make)
