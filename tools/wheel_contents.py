"""Build hook of the wheel: what it carries besides the package's own folder.

An editable install carries nothing: `gemtab.resources` finds everything in the repository.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTENTS = {
    "dist/site": "gemtab/site",
    "shaders": "gemtab/shaders",
    "models/tiny": "gemtab/tiny",
}
"""Folder of the repository -> folder of the wheel; `gemtab.resources` reads them."""


class WheelContents(BuildHookInterface):  # type: ignore[misc]  # hatchling carries no types
    """Adds the folders of CONTENTS to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it writes a wheel; `version` is `standard` or `editable`."""
        if version == "editable":
            return
        missing = [folder for folder in CONTENTS if not (Path(self.root) / folder).is_dir()]
        if missing:
            raise SystemExit(f"The wheel needs {', '.join(missing)}: run `make build` first.")
        build_data["force_include"].update(CONTENTS)
