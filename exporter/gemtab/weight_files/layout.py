"""Where the planes of a graph's weights lie in its external data files, known before any of them is written.

Planes lie in the order of the weights, each at a multiple of 256 bytes and padded to one, so that a reader may round a
plane's end up to whole words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import MOST_DATA_FILES, data_file
from gemtab.errors import OutputError
from gemtab.graph import Weight
from gemtab.quantize import planes

ALIGNMENT = 256
FILE_BYTES = 1_900_000_000
"""Files below 2 GB pass through every web server, browser and 32-bit length on the way."""


@dataclass(frozen=True)
class Layout:
    """The data files of one graph: where each plane lies, by (weight name, plane name), and each file's size."""

    weights: tuple[Weight, ...]
    locations: dict[tuple[str, str], Location]
    files: dict[str, int]


def lay_out(stem: str, weights: Sequence[Weight], weight_format: WeightFormat, file_bytes: int = FILE_BYTES) -> Layout:
    """The layout of the weights of the graph `stem`.

    An initializer lies in one file: when a plane no longer fits a file of `file_bytes`, the next file begins, and a
    larger plane has one to itself. Raises OutputError where the files would be too many.
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
    if len(sizes) > MOST_DATA_FILES:
        raise OutputError(
            f"{stem} needs more than {MOST_DATA_FILES} data files of {file_bytes:,} bytes, which ONNX readers in "
            "browsers refuse. Choose smaller weights."
        )
    files = {data_file(stem, weight_format, index): size for index, size in enumerate(sizes) if size}
    return Layout(tuple(weights), locations, files)
