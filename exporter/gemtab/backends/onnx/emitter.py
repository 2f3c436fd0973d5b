"""The builder of an ONNX graph: nodes, constants, and weights in external data files."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Attr, Graph, Node, Value, Weight
from gemtab.quantize import PlaneSpec, StorageFormat, planes, storage_format

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""

BATCH, TOKENS, PAST, TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
"""Symbolic sizes. transformers.js makes empty caches from them: 1 for `batch_size`, 0 for others."""

ROWS = {"pixel_values": "max_patches", "pixel_position_ids": "max_patches", "input_features": "frames"}
"""Names of the axis after the batch, by the input of a tower."""

Dims = tuple[int | str, ...]
"""A shape in ONNX."""

TO_END = np.iinfo(np.int64).max
"""The stop of a slice to the end."""

DTYPES = {"f32": ir.DataType.FLOAT, "i32": ir.DataType.INT64}
"""ONNX dtypes of graph values: ids and positions are 64-bit, as all ONNX language models have them."""

_PLANE_DTYPES = {
    "u8": ir.DataType.UINT8,
    "f16": ir.DataType.FLOAT16,
    "f32": ir.DataType.FLOAT,
    "i32": ir.DataType.INT32,
}

Attribute = int | float | str | tuple[int, ...] | ir.Graph | None


class Emitter:
    """Collects the nodes, inputs and initializers of one ONNX graph.

    A graph value [T, …] becomes an ONNX value [batch_size, T, …]. A cache becomes a pair, keys and values, each
    [batch_size, kv_heads, P + T, head_size].
    """

    def __init__(
        self,
        graph: Graph,
        weight_format: WeightFormat,
        locations: Mapping[tuple[str, str], Location],
        data_folder: Path,
    ) -> None:
        self.graph = graph
        self._main: list[ir.Node] = []
        self.nodes = self._main
        self.inputs: dict[str, ir.Value] = {}
        self.initializers: dict[str, ir.Value] = {}
        self.caches: dict[str, tuple[ir.Value, ir.Value]] = {}
        self._format = weight_format
        self._locations = locations
        self._data_folder = data_folder
        self._values: dict[str, ir.Value] = {}
        self._made: dict[Hashable, ir.Value] = {}
        self._label = ""
        self._count = 0
        rows = {value.shape[0]: ROWS[value.name] for value in graph.inputs if value.name in ROWS}
        self._axes = rows or {"T": TOKENS}

    # --- graph values -----------------------------------------------------------------------------------

    def input(self, name: str, shape: Dims, dtype: ir.DataType) -> ir.Value:
        """Return the ONNX graph's input of this name. The first call declares the input."""
        if name not in self.inputs:
            self.inputs[name] = ir.val(name, dtype, shape)
        return self.inputs[name]

    def define(self, value: Value, emitted: ir.Value) -> None:
        """Record the ONNX value of a graph value."""
        self._values[value.name] = emitted

    def get(self, value: Value) -> ir.Value:
        """Return the ONNX value of a graph value."""
        return self._values[value.name]

    def dims(self, value: Value) -> Dims:
        """Return the ONNX shape of a graph value: a batch axis before the value's own axes; none for a scalar.

        The batch is 1 if the first size is a number, as that of a table of distances.
        """
        if not value.shape:
            return ()
        batch: int | str = 1 if isinstance(value.shape[0], int) else BATCH
        return (batch, *(self._axes.get(dim, dim) for dim in value.shape))

    @contextmanager
    def at(self, node: Node) -> Iterator[None]:
        """Name the ONNX nodes that are added inside after the graph node's location in the model."""
        self._label = f"{node.label}.{node.op}"
        yield

    @contextmanager
    def body(self) -> Iterator[list[ir.Node]]:
        """Collect the nodes that are added inside for a subgraph."""
        outer, self.nodes = self.nodes, []
        yield self.nodes
        self.nodes = outer

    # --- nodes ------------------------------------------------------------------------------------------

    def op(self, op_type: str, *inputs: ir.Value, domain: str = "", **attributes: Attribute) -> ir.Value:
        """Add a node with one output."""
        return self.op_many(op_type, 1, *inputs, domain=domain, **attributes)[0]

    def op_many(
        self, op_type: str, outputs: int, *inputs: ir.Value, domain: str = "", **attributes: Attribute
    ) -> list[ir.Value]:
        """Add a node with several outputs."""
        self._count += 1
        name = f"{self._label}/{op_type}.{self._count}"
        values = [ir.val(name if i == 0 else f"{name}.{i}") for i in range(outputs)]
        self.nodes.append(ir.node(op_type, inputs, attributes, domain=domain, outputs=values, name=name))
        return values

    def once(self, key: Hashable, make: Callable[[], ir.Value]) -> ir.Value:
        """Return the value of `make`, called once per key. Emits into the main graph, so that subgraphs can read the
        value."""
        if key not in self._made:
            inner, self.nodes = self.nodes, self._main
            self._made[key] = make()
            self.nodes = inner
        return self._made[key]

    def constant(self, value: npt.ArrayLike | Attr, dtype: npt.DTypeLike) -> ir.Value:
        """Return a constant. Equal constants are stored once."""
        array = np.asarray(value, dtype)
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            self._made[key] = self._initializer(ir.tensor(array, name=f"constant.{len(self.initializers)}"))
        return self._made[key]

    def f32(self, value: npt.ArrayLike | Attr) -> ir.Value:
        """Return an f32 constant."""
        return self.constant(value, np.float32)

    def i64(self, value: npt.ArrayLike | Attr) -> ir.Value:
        """Return an i64 constant."""
        return self.constant(value, np.int64)

    # --- weights ----------------------------------------------------------------------------------------

    def format_of(self, weight: Weight) -> StorageFormat:
        """Return the format that the weight is stored in."""
        return storage_format(weight, self._format)

    def plane(self, weight: Weight, name: str) -> ir.Value:
        """Return the plane `name` of a weight, as stored."""
        key = ("plane", weight.name, name)
        if key not in self._made:
            (spec,) = [plane for plane in planes(weight, self._format) if plane.name == name]
            self._made[key] = self._initializer(self._external(weight, spec))
        return self._made[key]

    def values(self, weight: Weight) -> npt.NDArray[np.float32]:
        """Return the values of a small weight, for decisions at export."""
        (spec,) = planes(weight, self._format)
        return np.asarray(self._external(weight, spec).numpy(), np.float32)

    def plane_f32(self, weight: Weight, name: str) -> ir.Value:
        """Return the plane `name` of a weight as f32. An engine folds the cast when it loads the graph."""
        plane = self.plane(weight, name)
        if plane.dtype == ir.DataType.FLOAT:
            return plane
        return self.once(("f32", weight.name, name), lambda: self.cast(plane, ir.DataType.FLOAT))

    def _external(self, weight: Weight, spec: PlaneSpec) -> ir.ExternalTensor:
        at = self._locations[weight.name, spec.name]
        return ir.ExternalTensor(
            Path(at.file).name,
            at.offset,
            at.bytes,
            _PLANE_DTYPES[spec.dtype],
            shape=ir.Shape(spec.shape),
            name=f"{weight.name}.{spec.name}",
            base_dir=self._data_folder,
        )

    def _initializer(self, tensor: ir.TensorProtocol) -> ir.Value:
        assert tensor.name is not None
        value = ir.val(tensor.name, tensor.dtype, tensor.shape.numpy(), const_value=tensor)
        self.initializers[tensor.name] = value
        return value

    # --- frequent nodes ---------------------------------------------------------------------------------

    def cast(self, x: ir.Value, dtype: ir.DataType) -> ir.Value:
        """x in another dtype."""
        return self.op("Cast", x, to=int(dtype))

    def reshape(self, x: ir.Value, *shape: int) -> ir.Value:
        """x in another shape. 0 keeps the size of that axis, -1 is inferred."""
        return self.op("Reshape", x, self.i64(shape))

    def unsqueeze(self, x: ir.Value, *axes: int) -> ir.Value:
        """x with axes of size 1 inserted."""
        return self.op("Unsqueeze", x, self.i64(axes))

    def slice(self, x: ir.Value, start: int, stop: int, axis: int, step: int = 1) -> ir.Value:
        """x[start:stop:step] along an axis."""
        return self.op("Slice", x, self.i64([start]), self.i64([stop]), self.i64([axis]), self.i64([step]))

    def size(self, x: ir.Value, axis: int) -> ir.Value:
        """The size of x along an axis, a scalar i64."""
        return self.op("Squeeze", self.op("Shape", x, start=axis, end=axis + 1))
