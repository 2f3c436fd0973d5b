"""The fingerprint of an export's inputs: exports with the same fingerprint write the same weights."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from gemtab import __version__
from gemtab.resources import code_digest

_MADE_OF = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")

_LENGTH_BYTES = 8
_MAX_BYTES = 1 << 20
_MAX_HEADER_BYTES = 100_000_000
"""Maximum size of a safetensors header, as its readers have it; a damaged file may declare any size."""


def fingerprint(source: Path, adapters: Sequence[Path], options: str) -> str:
    """Return a digest of the checkpoint and the adapters (sizes, times and headers of their files, not the values), of
    the options that decide the written weights, and of this version of gemtab."""
    files = [list(_described(folder)) for folder in (source, *adapters)]
    text = json.dumps([__version__, code_digest(), files, options])
    return hashlib.sha256(text.encode()).hexdigest()


def _described(folder: Path) -> Iterator[tuple[str, int, int, str]]:
    found = [folder] if folder.is_file() else [path for each in _MADE_OF for path in sorted(folder.glob(each))]
    for path in filter(Path.is_file, found):
        stat = path.stat()
        yield path.name, stat.st_size, stat.st_mtime_ns, hashlib.sha256(_head(path)).hexdigest()


def _head(path: Path) -> bytes:
    """Return a JSON file, a safetensors header with the length before it, or the beginning of a GGUF file."""
    with path.open("rb") as file:
        if path.suffix != ".safetensors":
            return file.read(_MAX_BYTES)
        return file.read(min(int.from_bytes(file.read(_LENGTH_BYTES), "little"), _MAX_HEADER_BYTES))
