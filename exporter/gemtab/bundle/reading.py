"""Reads files of an untrusted bundle: regular files inside the folder, up to a bound for each kind."""

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
    """Return the most bytes of a file that is read whole; None for other files, such as weights."""
    if file in _SIZES:
        return _SIZES[file]
    if file.startswith("plan/") and file.endswith(".json"):
        return limits.PLAN_BYTES
    if file.endswith(".wgsl"):
        return limits.SHADER_BYTES
    return limits.CONFIG_BYTES if file.endswith(".json") else None


def inside(folder: Path, file: str) -> Path:
    """Return the path of a file of the bundle.

    Raises BundleError if the file is missing, is no regular file, or is a link out of the folder. Links to the blobs of
    a hub's cache are permitted: downloads consist of them.
    """
    path = folder / file
    try:
        root, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path, strict=True))
        kind = real.stat().st_mode
    except FileNotFoundError:
        raise BundleError(f"{folder} has no {file}. {AGAIN}") from None
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
    """Return the content of a file of the bundle. Raises BundleError as `inside` does, and for a file that is larger
    than its kind may be."""
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
    """Return the text of a file. Raises BundleError as `read_bytes` does, and for bytes that are not UTF-8."""
    try:
        return read_bytes(folder, file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / file} is not UTF-8: {error}. {AGAIN}") from None


def read_object(folder: Path, file: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raises BundleError as `read_text` does, and for anything else."""
    found = parse_json(read_text(folder, file), folder / file)
    if not isinstance(found, dict):
        raise BundleError(f"{folder / file} is no JSON object. {AGAIN}")
    return found


def parse_json(text: str, where: Path) -> object:
    """Parse JSON. where: the file, for errors. Raises BundleError for text that is no JSON or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BundleError(f"{where} is nested too deeply. {AGAIN}") from None
    except ValueError as error:
        raise BundleError(f"{where} is damaged: it is not JSON ({error}). {AGAIN}") from None
