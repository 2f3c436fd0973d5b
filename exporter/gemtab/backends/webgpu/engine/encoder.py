"""Encodes media with a bundle's towers, each image and stretch of audio once."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gemtab.backends.webgpu.engine.load import load_tower
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.backends.webgpu.engine.tower import Tower
from gemtab.bundle.limits import MEDIA_ROWS_BYTES
from gemtab.bundle.manifest import Tower as TowerName


class Item(Protocol):
    """An image or a stretch of audio in a prompt."""

    @property
    def key(self) -> str:
        """Identifies the content: equal content has an equal key."""
        ...

    @property
    def tower(self) -> TowerName:
        """The tower that encodes the item."""
        ...

    @property
    def inputs(self) -> Callable[[], Mapping[str, np.ndarray]]:
        """Returns the inputs of the tower's graph, by name."""
        ...


class TowerEncoder:
    """Encodes media for the text model `executor` of the bundle in `folder`, on the model's device.

    encoded: number of items that a tower has encoded.
    """

    def __init__(self, folder: Path, executor: TextEngine) -> None:
        self._folder = folder
        self._device = executor.runner.device
        self._manifest = executor.manifest
        self._towers: dict[str, Tower] = {}
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self.encoded = 0

    def rows(self, item: Item) -> object:
        """Return the item's rows [tokens, hidden] f32 in a GPU buffer."""
        if item.key not in self._kept:
            self._kept[item.key], _ = self._tower(item).encode_to_buffer(item.inputs())
            self.encoded += 1
        self._kept.move_to_end(item.key)
        self._forget()
        return self._kept[item.key]

    def _tower(self, item: Item) -> Tower:
        if item.tower not in self._towers:
            self._towers[item.tower] = load_tower(self._folder, item.tower, self._device, self._manifest)
        return self._towers[item.tower]

    def _forget(self) -> None:
        """Drop the least recently used buffers. They are not destroyed: submitted steps may still read them."""
        while len(self._kept) > 1 and sum(buffer.size for buffer in self._kept.values()) > MEDIA_ROWS_BYTES:
            self._kept.popitem(last=False)
