"""Media to rows of embeddings by a bundle's towers, each picture and sound once."""

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
    """An image or audio of a prompt."""

    @property
    def key(self) -> str:
        """Names its content: equal content has an equal key."""
        ...

    @property
    def tower(self) -> TowerName:
        """The tower that encodes it."""
        ...

    @property
    def inputs(self) -> Callable[[], Mapping[str, np.ndarray]]:
        """Makes the inputs of the tower's graph, by name."""
        ...


class TowerEncoder:
    """Encodes for the text model `executor` of the bundle in `folder`, on its device.

    encoded: how many items went through a tower.
    """

    def __init__(self, folder: Path, executor: TextEngine) -> None:
        self._folder = folder
        self._device = executor.runner.device
        self._manifest = executor.manifest
        self._towers: dict[str, Tower] = {}
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self.encoded = 0

    def rows(self, item: Item) -> object:
        """The item's rows as a buffer on the GPU."""
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
        """Drop the buffers that were used longest ago. A buffer is not destroyed: a step that was given it may not have
        run yet."""
        while len(self._kept) > 1 and sum(buffer.size for buffer in self._kept.values()) > MEDIA_ROWS_BYTES:
            self._kept.popitem(last=False)
