"""Where a plane of a weight lies in a bundle."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """Where a plane lies: a file of the bundle (`onnx/…`), and the plane's first byte and size in it."""

    file: str
    offset: int
    bytes: int
