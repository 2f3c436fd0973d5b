"""The location of a plane of a weight in a bundle."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """A plane's file in the bundle (`onnx/…`), first byte and size in bytes."""

    file: str
    offset: int
    bytes: int
