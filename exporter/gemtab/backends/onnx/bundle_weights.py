"""Reads the weights of a bundle through its ONNX graphs, which describe the data files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from gemtab.bundle.folder import read_manifest
from gemtab.bundle.manifest import FileEntry, WeightFormat
from gemtab.bundle.onnx_files import AUDIO_STEM, DECODER_STEM, EMBED_STEM, FOLDER, VISION_STEM, graph_file
from gemtab.bundle.reading import inside
from gemtab.errors import BundleError
from gemtab.graph import Weight
from gemtab.quantize import Planes, planes, storage_format, unpack


class BundleWeights:
    """Reads a bundle's weights as f32. Raises BundleError for a missing weight and for damaged files."""

    def __init__(self, folder: Path, weight_format: WeightFormat) -> None:
        self._format = weight_format
        self._folder = folder
        files = read_manifest(folder).files
        self._tensors: dict[str, ir.TensorProtocol] = {}
        text = [graph_file(stem, weight_format) for stem in (EMBED_STEM, DECODER_STEM)]
        towers = [graph_file(stem, weight_format) for stem in (VISION_STEM, AUDIO_STEM)]
        for file in (*text, *(tower for tower in towers if tower in files)):
            path = folder / file
            try:
                model = ir.load(path)
            except Exception as error:  # protobuf and onnx-ir raise their own kinds
                raise BundleError(f"{path} cannot be read: {error}. Export the checkpoint again.") from error
            for name, value in model.graph.initializers.items():
                if value.const_value is not None:
                    _check_listed(value.const_value, path, files)
                    self._tensors.setdefault(name, value.const_value)

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight, f32."""
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 of the first axis, f32."""
        stored = self.read_planes(weight, start, stop)
        return unpack(stored, storage_format(weight, self._format), (stop - start, *weight.shape[1:]))

    def read_planes(self, weight: Weight, start: int, stop: int) -> Planes:
        """Return the planes of rows start … stop - 1."""
        specs = planes(weight, self._format)
        return {plane.name: self._plane(weight, plane.name)[start:stop].copy() for plane in specs}

    def _plane(self, weight: Weight, plane: str) -> npt.NDArray[Any]:
        name = f"{weight.name}.{plane}"
        if name not in self._tensors:
            raise BundleError(f"The bundle's ONNX graphs have no initializer {name}. Export the checkpoint again.")
        try:
            tensor = self._tensors[name]
            return self._mapped(tensor) if isinstance(tensor, ir.ExternalTensor) else np.asarray(tensor.numpy())
        except Exception as error:  # onnx-ir raises its own kinds
            raise BundleError(f"The bundle's data of {name} cannot be read: {error}. Export again.") from error

    def _mapped(self, tensor: ir.ExternalTensor) -> npt.NDArray[Any]:
        """Return the data of an external tensor. onnx-ir rejects files with several links, such as those of a hub's
        cache."""
        path = inside(self._folder, f"{FOLDER}/{tensor.location}")
        shape = tuple(int(size) for size in tensor.shape.numpy())
        return np.memmap(path, tensor.dtype.numpy(), "r", tensor.offset or 0, shape)


def _check_listed(tensor: ir.TensorProtocol, graph: Path, files: Mapping[str, FileEntry]) -> None:
    """Raise BundleError if the tensor is in a file that the manifest, and so its digests, does not cover."""
    if isinstance(tensor, ir.ExternalTensor):
        location = str(tensor.location)
        if f"{graph.parent.name}/{location}" not in files:
            raise BundleError(
                f"{graph} reads {location}, which the manifest does not list. Export the checkpoint again."
            )
