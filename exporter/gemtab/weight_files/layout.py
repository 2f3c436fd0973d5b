"""The layout of a graph's weights in its external data files, computed before any file is written.

Planes are in the order of the weights. Each begins at a multiple of 256 bytes and is padded to one, so that a reader
may round the end of a plane up to whole words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import MAX_DATA_FILES, data_file
from gemtab.errors import OutputError
from gemtab.graph import Weight
from gemtab.quantize import planes

ALIGNMENT = 256
"""Bytes: the location of a plane is a multiple of this."""

FILE_BYTES = 1_900_000_000
"""Most bytes of a data file. All web servers, browsers and 32-bit lengths can handle files below 2 GB."""


@dataclass(frozen=True)
class Layout:
    """The data files of one graph. locations: of each plane, by (weight name, plane name). files: bytes by name."""

    weights: tuple[Weight, ...]
    locations: dict[tuple[str, str], Location]
    files: dict[str, int]


def lay_out(stem: str, weights: Sequence[Weight], weight_format: WeightFormat, file_bytes: int = FILE_BYTES) -> Layout:
    """Return the layout of the weights of the graph `stem`.

    A plane is in one file. If a plane does not fit the current file of `file_bytes`, a new file begins. A plane larger
    than `file_bytes` has a file of its own. Raises OutputError for more than MAX_DATA_FILES files.
    """
    locations: dict[tuple[str, str], Location] = {}
    sizes = [0]
    for weight in weights:
        for plane in planes(weight, weight_format):
            if sizes[-1] and sizes[-1] + plane.bytes > file_bytes:
                sizes.append(0)
            file = data_file(stem, weight_format, len(sizes) - 1)
            locations[weight.name, plane.name] = Location(file, sizes[-1], plane.bytes)
            sizes[-1] += plane.bytes + -plane.bytes % ALIGNMENT
    if len(sizes) > MAX_DATA_FILES:
        raise OutputError(
            f"{stem} needs more than {MAX_DATA_FILES} data files of {file_bytes:,} bytes, which ONNX readers in "
            "browsers reject. Choose smaller weights."
        )
    files = {data_file(stem, weight_format, index): size for index, size in enumerate(sizes) if size}
    return Layout(tuple(weights), locations, files)
