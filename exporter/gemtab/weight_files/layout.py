"""Compute the locations of a graph's weights in its external data files, before any file is written.

Planes are in the order of the weights, each aligned and padded to 256 bytes, so that a reader may round a plane's end
up to whole words.
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
"""Maximum bytes of a data file: files below 2 GB work with every web server, browser and 32-bit length."""


@dataclass(frozen=True)
class Layout:
    """The data files of one graph. locations: of planes, by (weight name, plane name). files: sizes in bytes by
    name."""

    weights: tuple[Weight, ...]
    locations: dict[tuple[str, str], Location]
    files: dict[str, int]


def lay_out(stem: str, weights: Sequence[Weight], weight_format: WeightFormat, file_bytes: int = FILE_BYTES) -> Layout:
    """Lay out the weights of the graph `stem`.

    A plane is in one file. A new file begins where a plane would exceed `file_bytes`; a larger plane has a file of its
    own. Raises OutputError where there would be too many files.
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
            f"{stem} needs more than {MOST_DATA_FILES} data files of {file_bytes:,} bytes, the maximum of ONNX readers "
            "in browsers. Choose smaller weights."
        )
    files = {data_file(stem, weight_format, index): size for index, size in enumerate(sizes) if size}
    return Layout(tuple(weights), locations, files)
