"""Name a checkpoint: by its folder or file, or by its repository in a hub's cache, where files have digests as
names."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = "models--"
_SNAPSHOTS = "snapshots"
_DIGEST = re.compile(r"(sha256[-:_]?)?[0-9a-f]{40,}")


@dataclass(frozen=True)
class Name:
    """text: the name, without any path. repository: the id on a hub, if known."""

    text: str
    repository: str | None = None


def name_of(path: Path, own: str | None = None) -> Name:
    """Return the name of the folder or file at `path`. In the cache of huggingface_hub a folder has its repository's
    name, and a file the name of its link, since the file itself is stored under its digest.

    own: the name inside the file, used where the path has only a digest.
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
    """Return the repository's id for a path in its snapshot: `…/models--maker--model/snapshots/COMMIT`."""
    for folder in (path, *path.parents):
        outer = folder.parent.parent.name
        if folder.parent.name == _SNAPSHOTS and outer.startswith(_REPOSITORY):
            return outer.removeprefix(_REPOSITORY).replace("--", "/")
    return None
