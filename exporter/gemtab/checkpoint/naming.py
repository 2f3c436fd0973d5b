"""What a checkpoint is called: as its folder or file, but for those in a hub's cache, which are called by digests."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = "models--"
_SNAPSHOTS = "snapshots"
_DIGEST = re.compile(r"(sha256[-:_]?)?[0-9a-f]{40,}")


@dataclass(frozen=True)
class Name:
    """text: what to call it, which says nothing of where it lies; repository: its id on a hub, where that is known."""

    text: str
    repository: str | None = None


def name_of(path: Path, own: str | None = None) -> Name:
    """The name of the folder or file at `path`; one in the cache of huggingface_hub is named after its repository, or
    as the link to it, since the file itself lies there under its digest.

    own: what the file calls itself; it counts where the path names a digest only.
    """
    given = Path(os.path.abspath(path))
    repository = _repository(given) or _repository(given.resolve())
    is_file = given.is_file()
    if repository is not None and not is_file:
        return Name(repository, repository)
    called = given.stem if is_file and given.suffix == ".gguf" else given.name
    if _DIGEST.fullmatch(called):
        called = (own or repository or called).replace("/", "-")
    return Name(called, repository)


def _repository(path: Path) -> str | None:
    """The id of the repository in whose snapshot the path lies: `…/models--maker--model/snapshots/COMMIT`."""
    for folder in (path, *path.parents):
        outer = folder.parent.parent.name
        if folder.parent.name == _SNAPSHOTS and outer.startswith(_REPOSITORY):
            return outer.removeprefix(_REPOSITORY).replace("--", "/")
    return None
