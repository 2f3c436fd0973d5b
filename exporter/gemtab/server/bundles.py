"""Find the bundles to serve, with their names."""

import os
from pathlib import Path

from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.errors import UsageError


def find_bundles(folders: list[Path]) -> dict[str, Path]:
    """Return name -> folder of each bundle among `folders` or directly inside one of them.

    Raises UsageError where a folder does not exist or has no bundle, and where two bundles have the same name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for bundle in _bundles_in(folder):
            name = bundle.resolve().name
            if found.get(name, bundle).resolve() != bundle.resolve():
                raise UsageError(
                    f"Two bundles are called {name}: {found[name]} and {bundle}. Rename one, or serve them separately."
                )
            found[name] = bundle
    return found


def _bundles_in(folder: Path) -> list[Path]:
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder} to serve.")
    if os.path.isfile(folder / MANIFEST_NAME):
        return [folder]
    found = (path.parent for path in folder.glob(f"*/{MANIFEST_NAME}") if os.path.isfile(path))
    inside = sorted(path for path in found if not path.name.startswith("."))
    if not inside:
        raise UsageError(
            f"{folder} has no bundle: neither it nor a subfolder has a {MANIFEST_NAME}. "
            "Make one with `gemtab export CHECKPOINT OUT`."
        )
    return inside
