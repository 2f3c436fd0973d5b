"""Checks a bundle's graphs with the onnx package: its checker and strict shape inference."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import onnx

from gemtab.backends.onnx.contrib import MATMUL_N_BITS, contrib_operators, product_fault
from gemtab.backends.onnx.emitter import MICROSOFT
from gemtab.bundle.reading import inside
from gemtab.errors import BundleError, GemtabError

_MAX_CHARACTERS = 600


def check_graph(folder: Path, file: str) -> int:
    """Check the graph `file` of the bundle at `folder`, with its data files. Return the number of nodes.

    No weights are read, so a graph of gigabytes takes a fraction of a second. Raises BundleError, which names the file
    and the node, if the checker or strict shape inference finds a fault, if the shape of an output cannot be inferred,
    or if a tensor's data do not have the size of its shape.
    """
    path = inside(folder, file)
    with _named(path):
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                _check_data(folder, Path(file).parent, path, tensor)
        _detach_data(model)
        with contrib_operators():
            onnx.checker.check_model(model, full_check=True, check_custom_domain=True)
            inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        _check_shapes(path, inferred.graph)
    return len(model.graph.node)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn errors of protobuf and onnx into BundleError."""
    try:
        yield
    except GemtabError:
        raise
    except Exception as error:
        raise _invalid(path, " ".join(str(error).split())[:_MAX_CHARACTERS]) from error


def _check_data(folder: Path, beside: Path, path: Path, tensor: onnx.TensorProto) -> None:
    at = {entry.key: entry.value for entry in tensor.external_data}
    data = inside(folder, f"{beside}/{at['location']}")
    begin, length, end = int(at.get("offset", 0)), int(at["length"]), data.stat().st_size
    needed = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * prod(tensor.dims)
    if length != needed or begin + length > end:
        raise _invalid(
            path,
            f"{tensor.name} of shape {list(tensor.dims)} takes {needed:,} bytes, where the graph gives {length:,} from "
            f"byte {begin:,} of {data.name}, which has {end:,}",
        )


def _detach_data(model: onnx.ModelProto) -> None:
    """Replace tensors in data files by inputs of their type and shape.

    The checker opens data files, and rejects links, such as the files of a hub's cache.
    """
    held = [tensor for tensor in model.graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL]
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.input.append(value)
    del model.graph.initializer[:]
    model.graph.initializer.extend(held)


def _check_shapes(path: Path, graph: onnx.GraphProto) -> None:
    """Raise BundleError if the shape of a node's output is unknown, or if a product's inputs do not fit."""
    shapes = {
        value.name: [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    for node in graph.node:
        for output in node.output:
            if output and output not in shapes:
                raise _invalid(path, f"the shape of {output} does not follow from node {node.name} ({node.op_type})")
        fault = product_fault(node, shapes) if (node.domain, node.op_type) == (MICROSOFT, MATMUL_N_BITS) else None
        if fault:
            raise _invalid(path, f"node {node.name} ({node.op_type}): {fault}")


def _invalid(path: Path, words: str) -> BundleError:
    return BundleError(
        f"{path} is not a valid ONNX graph: {words.rstrip('.')}. Export the checkpoint again; please report this if "
        "the bundle is one that this gemtab made."
    )
