"""Reading a bundle's files without trusting who wrote them: inside the folder, regular, and no larger than they may
be."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from gemtab.bundle import limits
from gemtab.bundle.manifest import MANIFEST_NAME
from gemtab.errors import BundleError

AGAIN = "Copy or export the bundle again."

_SIZES = {
    MANIFEST_NAME: limits.MANIFEST_BYTES,
    "tokenizer.json": limits.TOKENIZER_BYTES,
    "chat_template.jinja": limits.TEMPLATE_BYTES,
}


def max_bytes(file: str) -> int | None:
    """How large a file of a bundle may be that is read as a whole; None for weights and the like, which are not."""
    if file in _SIZES:
        return _SIZES[file]
    if file.startswith("plan/") and file.endswith(".json"):
        return limits.PLAN_BYTES
    if file.endswith(".wgsl"):
        return limits.SHADER_BYTES
    return limits.CONFIG_BYTES if file.endswith(".json") else None


def inside(folder: Path, file: str) -> Path:
    """The path of a file of the bundle.

    Raises BundleError where the file is missing, is not a regular file, or is a link to a place outside the folder.
    Links into the store of a hub's cache are the files of a download.
    """
    path = folder / file
    try:
        root, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path, strict=True))
        kind = real.stat().st_mode
    except FileNotFoundError:
        raise BundleError(f"{folder} lacks {file}. {AGAIN}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be opened ({error}). {AGAIN}") from None
    if not stat.S_ISREG(kind):
        raise BundleError(f"{path} is not a regular file. {AGAIN}")
    if not (real.is_relative_to(root) or _is_blob(root, real)):
        raise BundleError(f"{path} is a link out of the bundle's folder, which is not followed. {AGAIN}")
    return path


def _is_blob(root: Path, real: Path) -> bool:
    return root.parent.name == "snapshots" and real.parent == root.parent.parent / "blobs"


def read_bytes(folder: Path, file: str) -> bytes:
    """A whole file of the bundle. Raises BundleError as `inside` does, and where the file is larger than its kind may
    be."""
    path, most = inside(folder, file), max_bytes(file) or limits.CONFIG_BYTES
    try:
        with path.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}). {AGAIN}") from error
    if len(content) > most:
        raise BundleError(f"{path} is larger than the {most:,} bytes that it may have. {AGAIN}")
    return content


def read_text(folder: Path, file: str) -> str:
    """As `read_bytes`, of a text in UTF-8."""
    try:
        return read_bytes(folder, file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / file} is not UTF-8: {error}. {AGAIN}") from None


def read_object(folder: Path, file: str) -> dict[str, Any]:
    """As `read_text`, of JSON with an object in it."""
    found = parse_json(read_text(folder, file), folder / file)
    if not isinstance(found, dict):
        raise BundleError(f"{folder / file} is not an object of JSON. {AGAIN}")
    return found


def parse_json(text: str, where: Path) -> object:
    """What JSON says. Raises BundleError where it is none, or is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BundleError(f"{where} is nested too deeply. {AGAIN}") from None
    except ValueError as error:
        raise BundleError(f"{where} is damaged: it is not JSON ({error}). {AGAIN}") from None
