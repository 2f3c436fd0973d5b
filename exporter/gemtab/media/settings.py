"""Numbers of processor_config.json, as far as they can be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemtab.errors import CheckpointError


@dataclass(frozen=True)
class Settings:
    """A section of processor_config.json, or with an empty name the whole. Raises CheckpointError for values that
    cannot be; settings left out have the default that is asked with."""

    values: Mapping[str, Any]
    section: str = ""

    def part(self, name: str, missing: str) -> "Settings":
        """The section of this name. missing: what is said where there is none."""
        found = self.values.get(name)
        if found is None:
            raise CheckpointError(f"processor_config.json has no {name}: {missing}")
        if not isinstance(found, Mapping):
            raise CheckpointError(f"processor_config.json: {name} is {_shown(found)}; expected an object.")
        return Settings(found, name)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        found = self.values.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise self._refused(name, found, f"a whole number from {least} to {most}")
        return found

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        found = self.values.get(name, default)
        number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
        if not number or not least <= found <= most:
            raise self._refused(name, found, f"a number from {least:g} to {most:g}")
        return float(found)

    def text(self, name: str, default: object) -> str:
        """A text."""
        found = self.values.get(name, default)
        if not isinstance(found, str):
            raise self._refused(name, found, "a text")
        return found

    def _refused(self, name: str, found: object, expected: str) -> CheckpointError:
        where = f" of {self.section}" if self.section else ""
        return CheckpointError(f"processor_config.json sets {name}{where} to {_shown(found)}; expected {expected}.")


def _shown(found: object) -> str:
    return repr(found) if isinstance(found, str | int | float | None) else f"a {type(found).__name__}"
